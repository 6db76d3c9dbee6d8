"""Two people in one world: captured couples, and single-person captures put together so that they meet.

Everything follows from the clips, the parts and the seed. Choices are drawn from the raw words of NumPy's
PCG64, whose stream NumPy promises to keep, unlike those of its distributions.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Float64

from gated_lift.clips import MotionClip, validate
from gated_lift.skeleton import H36M_17 as SKELETON

# across: paths that cross. past: in opposite directions, shoulder by shoulder. around: one walks in a bend
# about another who stays in place. beside: both stay in place, near each other. dance: a captured couple.
Kind = Literal["across", "past", "around", "beside", "dance"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Nobody of a pair that is put together comes nearer than this: between hips over the ground, and between any
# two joints, metres.
ROOT_CLEARANCE = 0.45
JOINT_CLEARANCE = 0.12
# How near people are meant to come, hip to hip, metres; widened by steps until the clearances hold.
MEETING_GAP = {"across": (0.7, 1.7), "past": (0.6, 1.5), "around": (0.8, 1.4), "beside": (0.6, 1.4)}
WIDEN, WIDEST = 0.05, 2.0
# Angle between the directions in which two people walk, radians.
TURN = {
    "across": (math.radians(60), math.radians(120)),
    "past": (math.radians(170), math.radians(190)),
}
# A stretch of a clip is travelled when it goes at least this fast (m/s) and straight (net over length of the
# path), and in place when the hips stay this near (m) to their mean. Feet are on the floor: the lowest joint
# is at a height (m) where ankles may be; some captures state a wrong floor.
TRAVEL_SPEED, STRAIGHT, IN_PLACE = 0.5, 0.85, 0.5
LOWEST_JOINT = (-0.03, 0.12)
# Frames between the stretches of a clip that are looked at.
STRIDE = 10


class Part(NamedTuple):
    """So many scenes of one kind, all of one length in frames."""

    kind: Kind
    scenes: int
    frames: int


class PlacedPair(NamedTuple):
    """Two people in one world, z up, floor at z = 0.

    poses: (2, F, 17, 3) metres. meeting: the frame for which their nearness was arranged; the middle one for
    people who stay together. sources, starts: name of each person's clip and its first frame there.
    """

    kind: Kind
    poses: Float64[np.ndarray, "2 frames joints 3"]
    fps: float
    meeting: int
    sources: tuple[str, str]
    starts: tuple[int, int]
    licence: str


def place_pairs(clips: Sequence[MotionClip], parts: Sequence[Part], seed: int) -> tuple[PlacedPair, ...]:
    """Chooses stretches of ``clips`` and puts pairs into one world, the scenes of ``parts`` in order.

    Single people of different subjects are preferred, and clips are used in turn. Within a part no two scenes
    share both clips (couples: no two share a frame). What is drawn for a part does not depend on the others.
    Raises ValueError for no clips, clips of different rates or of another skeleton, an unknown kind, parts
    that ask for nothing, and when the clips hold too little of the motion that a part needs.
    """
    if not clips:
        raise ValueError("clips is empty: pass the clips of one split")
    for clip in clips:
        validate(clip)
        if clip.fps != clips[0].fps or clip.skeleton != SKELETON:
            raise ValueError(
                f"clip {clip.name!r} has {clip.fps} frames a second and skeleton {clip.skeleton.name}: bring "
                f"all to {clips[0].fps} with clips.resample and to {SKELETON.name} with skeleton.convert"
            )
    placed: list[PlacedPair] = []
    for number, part in enumerate(parts):
        if part.kind not in KINDS:
            raise ValueError(f"kind is {part.kind!r}: choose from {', '.join(KINDS)}")
        if part.scenes < 1 or part.frames < 2:
            raise ValueError(f"{part} asks for nothing: pass at least one scene, of two frames or more")
        words = np.random.PCG64([seed, number])
        if part.kind == "dance":
            placed += _place_couples(words, clips, part)
        else:
            placed += _place_singles(words, clips, part)
    return tuple(placed)


class _Stretch(NamedTuple):
    """Where in a clip."""

    clip: MotionClip
    start: int


def _uniform(words: np.random.PCG64, low: float, high: float) -> float:
    # NumPy keeps the stream of raw words, but not that of its distributions.
    return low + (high - low) * (int(words.random_raw()) >> 11) * 2.0**-53


def _pick(words: np.random.PCG64, count: int) -> int:
    return int(_uniform(words, 0.0, float(count)))


def _place_couples(words: np.random.PCG64, clips: Sequence[MotionClip], part: Part) -> list[PlacedPair]:
    stretches = [
        _Stretch(clip, start)
        for clip in clips
        if len(clip.poses) == 2
        for start in range(0, clip.poses.shape[1] - part.frames + 1, part.frames)
    ]
    if len(stretches) < part.scenes:
        raise ValueError(
            f"clips hold {len(stretches)} stretches of {part.frames} frames of couples, {part} needs "
            f"{part.scenes}: pass longer or more clips of two people, or ask for less"
        )
    placed = []
    for _ in range(part.scenes):
        clip, start = stretches.pop(_pick(words, len(stretches)))
        poses = clip.poses[:, start : start + part.frames].astype(np.float64)
        poses -= np.array([*poses[:, :, 0, :2].mean(axis=(0, 1)), clip.floor_z])
        first, _, second = clip.name.partition("+")
        placed.append(
            PlacedPair(
                part.kind,
                _turned(poses, _uniform(words, 0.0, 2 * math.pi)),
                clip.fps,
                part.frames // 2,
                (first, second or first),
                (start, start),
                clip.licence,
            )
        )
    return placed


def _place_singles(words: np.random.PCG64, clips: Sequence[MotionClip], part: Part) -> list[PlacedPair]:
    moves: tuple[Callable[..., bool], Callable[..., bool]] = {
        "across": (_travels, _travels),
        "past": (_travels, _travels),
        "around": (_stays, _travels),
        "beside": (_stays, _stays),
    }[part.kind]
    choices = [_stretches(clips, part.frames, move) for move in moves]
    ordered = [(a, b) for a in choices[0] for b in choices[1] if a != b]
    possible = len({frozenset(pair) for pair in ordered})
    if possible < part.scenes:
        raise ValueError(
            f"clips make {possible} pairs for {part}: {len(choices[0])} and {len(choices[1])} of them have "
            f"{part.frames} frames of the motion it needs; pass longer or more clips, or ask for less"
        )
    uses: Counter[str] = Counter()
    taken: set[frozenset[str]] = set()
    placed: list[PlacedPair] = []
    # Some pairs cannot be kept clear of each other; drawing again costs little.
    for _ in range(200 * part.scenes):
        if len(placed) == part.scenes:
            break
        first = _draw_stretch(words, choices[0], uses, None)
        second = _draw_stretch(words, choices[1], uses, first.clip)
        pair = frozenset((first.clip.name, second.clip.name))
        settled = None if len(pair) < 2 or pair in taken else _put_together(words, first, second, part)
        if settled is not None:
            taken.add(pair)
            placed.append(settled)
    if len(placed) < part.scenes:
        raise ValueError(
            f"clips gave {len(placed)} scenes that keep people {ROOT_CLEARANCE} m apart for {part}: pass "
            "more clips, or ask for less"
        )
    return placed


# Stretches by the name of their clip.
_Choice = dict[str, list[_Stretch]]


def _stretches(clips: Sequence[MotionClip], frames: int, fits: Callable[..., bool]) -> _Choice:
    found: _Choice = {}
    for clip in clips:
        if len(clip.poses) != 1:
            continue
        for start in range(0, clip.poses.shape[1] - frames + 1, STRIDE):
            poses = clip.poses[0, start : start + frames].astype(np.float64)
            lowest = poses[..., 2].min() - clip.floor_z
            if LOWEST_JOINT[0] <= lowest <= LOWEST_JOINT[1] and fits(poses[:, 0, :2], clip.fps):
                found.setdefault(clip.name, []).append(_Stretch(clip, start))
    return found


def _travels(path: np.ndarray, fps: float) -> bool:
    net = np.linalg.norm(path[-1] - path[0])
    length = np.linalg.norm(np.diff(path, axis=0), axis=-1).sum()
    return bool(net >= TRAVEL_SPEED * (len(path) - 1) / fps and net >= STRAIGHT * length)


def _stays(path: np.ndarray, fps: float) -> bool:
    del fps
    return bool(np.linalg.norm(path - path.mean(axis=0), axis=-1).max() <= IN_PLACE)


def _draw_stretch(
    words: np.random.PCG64, choice: _Choice, uses: Counter[str], other: MotionClip | None
) -> _Stretch:
    """From one of the clips drawn least often so far, and of another subject than ``other`` where there is
    one.
    """
    names = list(choice)
    if other is not None:
        subjects = [name for name in names if choice[name][0].clip.subject != other.subject]
        # Where there is only the same clip, the caller draws again.
        names = subjects or [name for name in names if name != other.name] or names
    least = min(uses[name] for name in names)
    names = [name for name in names if uses[name] == least]
    name = names[_pick(words, len(names))]
    uses[name] += 1
    return choice[name][_pick(words, len(choice[name]))]


def _put_together(words: np.random.PCG64, first: _Stretch, second: _Stretch, part: Part) -> PlacedPair | None:
    """Both on one floor, as near as the kind wants and clearances allow; None where they allow nothing."""
    frames, kind = part.frames, part.kind
    meeting = frames // 2
    if kind in TURN:
        meeting = round(frames * _uniform(words, 0.4, 0.6))
    a, b = (_levelled(*stretch, frames) for stretch in (first, second))
    a, b = (_turned(poses, _uniform(words, 0.0, 2 * math.pi)) for poses in (a, b))
    side = 1 if _uniform(words, 0.0, 1.0) < 0.5 else -1
    gap = _uniform(words, *MEETING_GAP[kind])
    turn = _uniform(words, *TURN.get(kind, (0.0, 2 * math.pi)))
    steps = np.arange(0, WIDEST - gap, WIDEN)
    if kind in TURN:
        a_path, b_path = a[:, 0, :2], b[:, 0, :2]
        b = _turned(b, side * turn + _heading(a_path) - _heading(b_path))
        b_path = b[:, 0, :2]
        # For straight paths the two are nearest at the meeting when what parts them is across their relative
        # motion.
        relative = (b_path[-1] - b_path[0]) - (a_path[-1] - a_path[0])
        away = _across(relative) * (1 if _uniform(words, 0.0, 1.0) < 0.5 else -1)
        a, b = _moved(a, -a_path[meeting]), _moved(b, -b_path[meeting])
        tries = ((a, _moved(b, away * (gap + step))) for step in steps)
    elif kind == "around":
        a = _moved(a, -a[:, 0, :2].mean(axis=0))
        tries = ((a, walk_around(b, gap + step, side, turn)) for step in steps)
    else:
        a, b = (_moved(poses, -poses[:, 0, :2].mean(axis=0)) for poses in (a, b))
        away = np.array([math.cos(turn), math.sin(turn)])
        tries = ((a, _moved(b, away * (gap + step))) for step in steps)
    for pair in tries:
        if _are_clear(*pair):
            return PlacedPair(
                kind,
                np.stack(pair),
                first.clip.fps,
                meeting,
                (first.clip.name, second.clip.name),
                (first.start, second.start),
                "; ".join(dict.fromkeys((first.clip.licence, second.clip.licence))),
            )
    return None


def _levelled(clip: MotionClip, start: int, frames: int) -> np.ndarray:
    return clip.poses[0, start : start + frames].astype(np.float64) - np.array([0.0, 0.0, clip.floor_z])


def _turned(poses: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
    """About the world's vertical axis, by one angle or one a frame."""
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    x, y, z = np.moveaxis(poses, -1, 0)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)


def _moved(poses: np.ndarray, ground: np.ndarray) -> np.ndarray:
    return poses + np.array([*ground, 0.0])


def _heading(path: np.ndarray) -> float:
    return math.atan2(*(path[-1] - path[0])[::-1])


def _across(direction: np.ndarray) -> np.ndarray:
    return np.array([-direction[1], direction[0]]) / max(np.linalg.norm(direction), 1e-9)


def _are_clear(a: np.ndarray, b: np.ndarray) -> bool:
    roots = np.linalg.norm(a[:, 0, :2] - b[:, 0, :2], axis=-1)
    return bool(roots.min() >= ROOT_CLEARANCE and nearest_joints(np.stack([a, b])) >= JOINT_CLEARANCE)


def nearest_joints(poses: Float[np.ndarray, "2 frames joints 3"]) -> float:
    """The least distance between a joint of one person and a joint of the other on any frame, metres."""
    a, b = poses
    return float(np.linalg.norm(a[:, :, None] - b[:, None], axis=-1).min())


def walk_around(
    poses: Float64[np.ndarray, "frames joints 3"], radius: float, side: int, angle: float
) -> Float64[np.ndarray, "frames joints 3"]:
    """A straight walk wrapped round a circle of ``radius`` metres about the world's vertical axis.

    With s metres along the line from the first hips to the last and l to its left, the hips go to (radius −
    side · l) at the angle ``angle`` + side · s / radius, and the whole body turns as the path does. side: +1
    is anticlockwise seen from above. Bodies stay rigid; feet that stood slide by some centimetres.
    """
    path = poses[:, 0, :2]
    straight = _turned(_moved(poses, -path[0]), -_heading(path))
    along, left = straight[:, 0, 0], straight[:, 0, 1]
    place = angle + side * along / radius
    # Straight ahead on the circle is a quarter turn on from the direction out of its middle.
    body = _turned(straight - straight[:, :1] * np.array([1.0, 1.0, 0.0]), place + side * math.pi / 2)
    distance = radius - side * left
    ground = np.stack([distance * np.cos(place), distance * np.sin(place), np.zeros_like(place)], axis=-1)
    return body + ground[:, None]
