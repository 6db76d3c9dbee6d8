"""Pairs of people who hide each other before a hand-held camera: a generator, and a frozen set to judge on.

Couples come as they were captured; other pairs are two single-person captures put into one world so that
they walk across, past or around each other or stand side by side. A hand-held camera follows them, bodies
hide bodies, and a simulated detector reports what it finds. Everything follows from the clips and a
`Recipe`. Choices are drawn from the raw words of NumPy's PCG64, whose stream NumPy promises to keep, cameras
and detections in float64 on the CPU, and every number is stored as a multiple of a unit far coarser than
float64's rounding, so that other machines get the same integers and the same hash.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64

from gated_lift import captures
from gated_lift.bodies import body_occlusion
from gated_lift.cameras import Extrinsics, HandheldCamera, VirtualCamera, sample_handheld_camera
from gated_lift.cameras import world_to_camera as to_camera
from gated_lift.clips import MotionClip, validate
from gated_lift.detector import DetectorConfig
from gated_lift.npz import read_npz
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.views import view
from solvers import Camera, project

# across: paths that cross. past: in opposite directions, shoulder by shoulder. around: one walks in a bend
# about another who stays in place. beside: both stay in place, near each other. dance: a captured couple.
Kind = Literal["across", "past", "around", "beside", "dance"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Nobody of a pair that is put together comes nearer than this: between hips over the ground, and between any
# two joints, metres.
ROOT_CLEARANCE = 0.45
JOINT_CLEARANCE = 0.12
# How near people are meant to come, hip to hip, metres; widened by steps until the clearances hold.
MEETING_GAP = {"across": (0.5, 0.8), "past": (0.5, 0.8), "around": (0.8, 1.1), "beside": (0.6, 0.9)}
WIDEN, WIDEST = 0.05, 1.5
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

# What the stored integers count: pixels, metres, entries of a rotation matrix.
PIXEL, METRE, TURN_ENTRY = 1 / 20, 1e-4, 1e-6


class Part(NamedTuple):
    """So many scenes of one kind, all of one length in frames."""

    kind: Kind
    scenes: int
    frames: int


class Recipe(NamedTuple):
    """What a set is made from besides the clips.

    takes: cameras that are tried for each scene; the one that sees most joints hidden by bodies, less those
    outside the image, is kept. camera: a phone's full-HD video by default, held at chest to eye height.
    """

    seed: int
    parts: tuple[Part, ...]
    takes: int = 8
    camera: HandheldCamera = HandheldCamera(
        view=VirtualCamera(
            width=1920,
            height=1080,
            focal=(1400.0, 1600.0),
            distance=(3.5, 6.0),
            elevation=(1.2, 1.7),
            aim_jitter=(0.15, 0.1),
        )
    )
    detector: DetectorConfig = DetectorConfig()


# The frozen set: this recipe on the validation split of `cmu_single.npz` and `cmu_pairs.npz`.
EVALUATION_NAME = "moving-pairs-v1"
EVALUATION = Recipe(
    seed=20200,
    parts=(
        Part("across", 12, 125),
        Part("past", 12, 125),
        Part("around", 8, 175),
        Part("beside", 6, 400),
        Part("dance", 8, 400),
    ),
)
EVALUATION_SHA256 = ""


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


class MovingPair(NamedTuple):
    """A scene as its camera saw it, in stored units turned back to pixels and metres, joints of `SKELETON`.

    keypoints: (2, F, 17, 2) pixels as the detector reports them. occluded: (2, F, 17) what a lifter is told:
    the detector is unsure of the joint, or it is outside the image. covered: (2, F, 17) the other body hides
    the joint, which no detector tells. joints: (2, F, 17, 3) true, camera axes, metres. camera: intrinsics
    (2,). extrinsics: (F, 3, 3) and (F, 3), the world's floor at z = 0. kind, meeting, sources, starts and
    licence as in `PlacedPair`.
    """

    kind: Kind
    keypoints: Float32[np.ndarray, "2 frames joints 2"]
    occluded: Bool[np.ndarray, "2 frames joints"]
    covered: Bool[np.ndarray, "2 frames joints"]
    joints: Float32[np.ndarray, "2 frames joints 3"]
    camera: Camera
    extrinsics: Extrinsics
    width: int
    height: int
    fps: float
    meeting: int
    sources: tuple[str, str]
    starts: tuple[int, int]
    licence: str


def moving_pairs(clips: Sequence[MotionClip], recipe: Recipe) -> tuple[MovingPair, ...]:
    """The scenes of ``recipe`` from ``clips`` of one split, in the order of its parts; see `place_pairs`."""
    placed = place_pairs(clips, recipe)
    return tuple(film_pair(pair, recipe, index) for index, pair in enumerate(placed))


def evaluation_set(clips: Sequence[MotionClip]) -> tuple[MovingPair, ...]:
    """`EVALUATION` from the validation split of ``clips``, which are all of both capture files.

    Raises ValueError when its hash is not `EVALUATION_SHA256`, or when the clips do not suffice.
    """
    _, validation = captures.split(clips)
    return check_fingerprint(moving_pairs(validation, EVALUATION))


def check_fingerprint(
    pairs: tuple[MovingPair, ...], expected: str = EVALUATION_SHA256, where: str = "the set just built"
) -> tuple[MovingPair, ...]:
    """Returns ``pairs`` when their `fingerprint` is ``expected``; raises ValueError with the mend if not."""
    found = fingerprint(pairs)
    if found != expected:
        raise ValueError(
            f"{where} has sha256 {found}, expected {expected}: results on it cannot be compared. Either the "
            "captures, the code or JAX's random numbers are of another version: take the .npz that "
            f"write_pairs made of {EVALUATION_NAME}, or call your set by another name"
        )
    return pairs


# Placing


def place_pairs(clips: Sequence[MotionClip], recipe: Recipe) -> tuple[PlacedPair, ...]:
    """Chooses clips and stretches of them, and puts pairs into one world, as ``recipe`` says.

    Within a recipe and kind no two scenes share both clips (couples: no two share a frame). Raises ValueError
    for no clips, clips of different rates or of another skeleton, an unknown kind, parts that are not
    positive, and when the clips hold too few stretches of a part's length.
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
    words = np.random.PCG64(recipe.seed)
    placed: list[PlacedPair] = []
    for part in recipe.parts:
        if part.kind not in KINDS:
            raise ValueError(f"kind is {part.kind!r}: choose from {', '.join(KINDS)}")
        if part.scenes < 1 or part.frames < 2:
            raise ValueError(f"part {part} is empty: ask for at least one scene of two frames")
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
    return int(_uniform(words, 0, count))


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
                _turned(poses, _uniform(words, 0, 2 * math.pi)),
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
    names = [[clip for group in choice.values() for clip in group] for choice in choices]
    # Unordered where both people do the same.
    possible = len(
        {frozenset((a, b)) if moves[0] == moves[1] else (a, b) for a in names[0] for b in names[1] if a != b}
    )
    if possible < part.scenes:
        raise ValueError(
            f"clips hold {possible} pairs for {part}: {len(names[0])} and {len(names[1])} clips have "
            f"{part.frames} frames of the motion it needs; pass longer or more clips, or ask for less"
        )
    taken: set[frozenset[str]] = set()
    placed: list[PlacedPair] = []
    # Some pairs cannot be kept clear of each other; drawing them again costs little.
    for _ in range(200 * part.scenes):
        if len(placed) == part.scenes:
            break
        first = _draw_stretch(words, choices[0], ())
        second = _draw_stretch(words, choices[1], (first.clip.subject,))
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


_Choice = dict[str, dict[str, list[_Stretch]]]


def _stretches(clips: Sequence[MotionClip], frames: int, fits: Callable[..., bool]) -> _Choice:
    """Stretches that fit, by subject and clip."""
    found: _Choice = {}
    for clip in clips:
        if len(clip.poses) != 1:
            continue
        for start in range(0, clip.poses.shape[1] - frames + 1, STRIDE):
            poses = clip.poses[0, start : start + frames].astype(np.float64)
            lowest = poses[..., 2].min() - clip.floor_z
            if LOWEST_JOINT[0] <= lowest <= LOWEST_JOINT[1] and fits(poses[:, 0, :2], clip.fps):
                by_clip = found.setdefault(clip.subject, {})
                by_clip.setdefault(clip.name, []).append(_Stretch(clip, start))
    return found


def _travels(path: np.ndarray, fps: float) -> bool:
    net = np.linalg.norm(path[-1] - path[0])
    length = np.linalg.norm(np.diff(path, axis=0), axis=-1).sum()
    return bool(net >= TRAVEL_SPEED * (len(path) - 1) / fps and net >= STRAIGHT * length)


def _stays(path: np.ndarray, fps: float) -> bool:
    del fps
    return bool(np.linalg.norm(path - path.mean(axis=0), axis=-1).max() <= IN_PLACE)


def _draw_stretch(words: np.random.PCG64, choice: _Choice, others: tuple[str, ...]) -> _Stretch:
    """A subject first, then one of their clips, so that who was captured most does not fill the set. Not one
    of ``others`` where there is a choice.
    """
    subjects = [subject for subject in choice if subject not in others] or list(choice)
    by_clip = choice[subjects[_pick(words, len(subjects))]]
    stretches = list(by_clip.values())[_pick(words, len(by_clip))]
    return stretches[_pick(words, len(stretches))]


def _put_together(words: np.random.PCG64, first: _Stretch, second: _Stretch, part: Part) -> PlacedPair | None:
    """Both on one floor, as near as the kind wants and clearances allow; None where they allow nothing."""
    frames, kind = part.frames, part.kind
    meeting = frames // 2
    if kind in TURN:
        meeting = round(frames * _uniform(words, 0.4, 0.6))
    a, b = (_levelled(*stretch, frames) for stretch in (first, second))
    a, b = (_turned(poses, _uniform(words, 0, 2 * math.pi)) for poses in (a, b))
    side = 1 if _uniform(words, 0, 1) < 0.5 else -1
    gap = _uniform(words, *MEETING_GAP[kind])
    turn = _uniform(words, *TURN.get(kind, (0, 2 * math.pi)))
    steps = np.arange(0, WIDEST - gap, WIDEN)
    if kind in TURN:
        a_path, b_path = a[:, 0, :2], b[:, 0, :2]
        b = _turned(b, side * turn + _heading(a_path) - _heading(b_path))
        b_path = b[:, 0, :2]
        # For straight paths the two are nearest at the meeting when what parts them is across their relative
        # motion.
        relative = (b_path[-1] - b_path[0]) - (a_path[-1] - a_path[0])
        away = _across(relative) * (1 if _uniform(words, 0, 1) < 0.5 else -1)
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
                first.clip.licence,
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


# Filming


class _Shot(NamedTuple):
    keypoints: Array
    occluded: Array
    covered: Array
    joints: Array
    camera: Camera
    extrinsics: Extrinsics


@partial(jax.jit, static_argnames=("fps", "takes", "config", "detector"))
def _shoot(
    key: Array, poses: Array, fps: float, takes: int, config: HandheldCamera, detector: DetectorConfig
) -> _Shot:
    camera_key, detector_key = jax.random.split(key)
    targets = jnp.mean(poses[:, :, 0], axis=0)
    size = jnp.array([config.view.width, config.view.height], poses.dtype)

    def outside(joints: Array, camera: Camera) -> Array:
        pixels = project(joints, camera)
        return (joints[..., 2] <= 0) | jnp.any((pixels < 0) | (pixels >= size), axis=-1)

    def take(key: Array) -> tuple[Array, Array, Camera, Extrinsics]:
        camera, extrinsics = sample_handheld_camera(key, targets, fps, config)
        joints = to_camera(poses, extrinsics)
        coverage = body_occlusion(joints, SKELETON).coverage
        missed = outside(joints, camera)
        score = jnp.sum((coverage > 0.5) & ~missed) - jnp.sum(missed)
        return score, coverage, camera, extrinsics

    score, *rest = jax.vmap(take)(jax.random.split(camera_key, takes))
    best = jnp.argmax(score)
    coverage, camera, extrinsics = jax.tree.map(lambda values: values[best], rest)
    seen = view(detector_key, poses, camera, extrinsics, detector, fps, SKELETON, coverage)
    occluded = seen.occluded | outside(seen.joints, camera)
    return _Shot(seen.keypoints, occluded, coverage > 0.5, seen.joints, camera, extrinsics)


def film_pair(pair: PlacedPair, recipe: Recipe, index: int) -> MovingPair:
    """``pair`` before a hand-held camera that follows the point between both, and before a detector.

    index: which scene of the recipe it is; camera and detector are drawn from the recipe's seed and this.
    Computed in float64 on the CPU, then rounded to the stored units. Raises ValueError for takes < 1.
    """
    if recipe.takes < 1:
        raise ValueError(f"takes is {recipe.takes}: try at least one camera")
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        key = jax.random.fold_in(jax.random.key(recipe.seed, impl="threefry2x32"), index)
        shot = jax.tree.map(
            np.asarray,
            _shoot(key, jnp.asarray(pair.poses), pair.fps, recipe.takes, recipe.camera, recipe.detector),
        )
    counted = _Counted(
        keypoints=_count(shot.keypoints, PIXEL),
        occluded=shot.occluded,
        covered=shot.covered,
        joints=_count(shot.joints, METRE),
        intrinsics=_count(np.stack([shot.camera.focal, shot.camera.center]), PIXEL),
        rotation=_count(shot.extrinsics.rotation, TURN_ENTRY),
        position=_count(shot.extrinsics.position, METRE),
        size=np.array([recipe.camera.view.width, recipe.camera.view.height], np.int32),
        meeting=np.array(pair.meeting, np.int32),
        starts=np.array(pair.starts, np.int32),
    )
    return _uncounted(counted, pair.kind, pair.fps, pair.sources, pair.licence)


# Storing


class _Counted(NamedTuple):
    """A scene in whole units: what is hashed and written. All int32 but the two masks."""

    keypoints: np.ndarray
    occluded: np.ndarray
    covered: np.ndarray
    joints: np.ndarray
    intrinsics: np.ndarray
    rotation: np.ndarray
    position: np.ndarray
    size: np.ndarray
    meeting: np.ndarray
    starts: np.ndarray


# Which axis of a scene's array runs over frames; the others hold one entry a scene.
_FRAME_AXIS = {"keypoints": 1, "occluded": 1, "covered": 1, "joints": 1, "rotation": 0, "position": 0}
# Shapes without the frames.
_SHAPES = {
    "keypoints": (2, SKELETON.num_joints, 2),
    "occluded": (2, SKELETON.num_joints),
    "covered": (2, SKELETON.num_joints),
    "joints": (2, SKELETON.num_joints, 3),
    "intrinsics": (2, 2),
    "rotation": (3, 3),
    "position": (3,),
    "size": (2,),
    "meeting": (),
    "starts": (2,),
}


def _count(values: np.ndarray, unit: float) -> np.ndarray:
    whole = np.rint(np.asarray(values, np.float64) / unit)
    # A keypoint may be flung far away, but a number that int32 cannot hold is an error of ours.
    if not np.all(np.abs(whole) < 2**31):
        raise ValueError(f"values reach {np.abs(values).max()}, too far for int32 in units of {unit}")
    return whole.astype(np.int32)


def _value(whole: np.ndarray, unit: float) -> np.ndarray:
    return (whole * unit).astype(np.float32)


def _counted(pair: MovingPair) -> _Counted:
    """Exact: float32 holds the units of what lies within a kilometre and 400 000 pixels."""
    return _Counted(
        keypoints=_count(pair.keypoints, PIXEL),
        occluded=pair.occluded,
        covered=pair.covered,
        joints=_count(pair.joints, METRE),
        intrinsics=_count(np.stack([pair.camera.focal, pair.camera.center]), PIXEL),
        rotation=_count(pair.extrinsics.rotation, TURN_ENTRY),
        position=_count(pair.extrinsics.position, METRE),
        size=np.array([pair.width, pair.height], np.int32),
        meeting=np.array(pair.meeting, np.int32),
        starts=np.array(pair.starts, np.int32),
    )


def _uncounted(
    counted: _Counted, kind: Kind, fps: float, sources: tuple[str, str], licence: str
) -> MovingPair:
    focal, center = _value(counted.intrinsics, PIXEL)
    width, height = (int(side) for side in counted.size)
    first, second = (int(start) for start in counted.starts)
    return MovingPair(
        kind=kind,
        keypoints=_value(counted.keypoints, PIXEL),
        occluded=counted.occluded,
        covered=counted.covered,
        joints=_value(counted.joints, METRE),
        camera=Camera(focal, center),
        extrinsics=Extrinsics(_value(counted.rotation, TURN_ENTRY), _value(counted.position, METRE)),
        width=width,
        height=height,
        fps=fps,
        meeting=int(counted.meeting),
        sources=sources,
        starts=(first, second),
        licence=licence,
    )


def fingerprint(pairs: Sequence[MovingPair]) -> str:
    """sha256 of the scenes' integers, masks and names in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for pair in pairs:
        words = (pair.kind, *pair.sources, repr(float(pair.fps)), pair.licence)
        digest.update("\0".join(words).encode() + b"\0\0")
        for name, array in _counted(pair)._asdict().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype("u1" if array.dtype == bool else "<i4").tobytes())
    return digest.hexdigest()


def write_pairs(path: str | Path, pairs: Sequence[MovingPair]) -> Path:
    """Writes scenes to a ``.npz`` that needs no pickle; `read_pairs` gives them back exactly.

    Frames of all scenes lie one after another; ``length`` cuts them. Raises ValueError for no scenes, or
    scenes that differ in rate or licence.
    """
    if not pairs:
        raise ValueError("pairs is empty: there is nothing to write")
    if len({(pair.fps, pair.licence) for pair in pairs}) > 1:
        raise ValueError("pairs differ in fps or licence: write them to files of their own")
    counted = [_counted(pair) for pair in pairs]
    arrays = {}
    for name in _Counted._fields:
        values = [getattr(scene, name) for scene in counted]
        if name in _FRAME_AXIS:
            arrays[name] = np.concatenate([np.moveaxis(v, _FRAME_AXIS[name], 0) for v in values])
        else:
            arrays[name] = np.stack(values)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        allow_pickle=False,
        **arrays,
        length=np.array([pair.keypoints.shape[1] for pair in pairs], np.int32),
        kind=np.array([pair.kind for pair in pairs]),
        sources=np.array([pair.sources for pair in pairs]),
        fps=np.array(pairs[0].fps, np.float64),
        licence=np.array(pairs[0].licence),
        units=np.array([PIXEL, METRE, TURN_ENTRY]),
        joint_names=np.array(SKELETON.names),
        parents=np.array(SKELETON.parents, np.int32),
    )
    return path


def read_pairs(path: str | Path, expected: str | None = EVALUATION_SHA256) -> tuple[MovingPair, ...]:
    """Reads what `write_pairs` wrote; ``expected`` is the hash that it must have, None for any.

    Never unpickles. Raises FileNotFoundError for a missing file and ValueError, naming it, for a broken or
    altered one.
    """
    names = (
        *_Counted._fields,
        "length",
        "kind",
        "sources",
        "fps",
        "licence",
        "units",
        "joint_names",
        "parents",
    )
    arrays = read_npz(path, names)

    def fail(what: str) -> None:
        raise ValueError(f"{path}: {what}; write the file again with moving_pairs.write_pairs")

    length = arrays["length"]
    if length.ndim != 1 or length.dtype != np.int32 or not len(length) or np.any(length < 1):
        fail(f"length has shape {length.shape} and dtype {length.dtype}, expected a positive int32 a scene")
    scenes, frames = len(length), sum(int(count) for count in length)
    for name, shape in _SHAPES.items():
        dtype = np.bool_ if name in ("occluded", "covered") else np.int32
        wanted = (frames if name in _FRAME_AXIS else scenes, *shape)
        if arrays[name].shape != wanted or arrays[name].dtype != dtype:
            fail(f"{name} has shape {arrays[name].shape} and dtype {arrays[name].dtype}, expected {wanted}")
    for name, wanted in (("kind", (scenes,)), ("sources", (scenes, 2)), ("licence", ())):
        if arrays[name].shape != wanted or arrays[name].dtype.kind != "U":
            fail(f"{name} has shape {arrays[name].shape}, expected strings {wanted}")
    unknown = sorted(set(arrays["kind"].tolist()) - set(KINDS))
    if unknown:
        fail(f"kind is {unknown}, expected {', '.join(KINDS)}")
    fps = arrays["fps"]
    if fps.shape != () or fps.dtype.kind != "f" or not (np.isfinite(fps) and fps > 0):
        fail(f"fps is {fps}, expected one positive number")
    for name, held in (
        ("units", [PIXEL, METRE, TURN_ENTRY]),
        ("joint_names", [*SKELETON.names]),
        ("parents", [*SKELETON.parents]),
    ):
        if arrays[name].tolist() != held:
            fail(f"{name} is {arrays[name].tolist()}, expected {held}")

    pairs, begin = [], 0
    for scene, count in enumerate(length):
        cut = slice(begin, begin + int(count))
        begin = cut.stop
        counted = _Counted(
            **{
                name: np.moveaxis(arrays[name][cut], 0, _FRAME_AXIS[name])
                if name in _FRAME_AXIS
                else arrays[name][scene]
                for name in _Counted._fields
            }
        )
        first, second = arrays["sources"][scene].tolist()
        kind: Kind = arrays["kind"][scene].item()
        pairs.append(_uncounted(counted, kind, float(fps), (first, second), str(arrays["licence"])))
    found = tuple(pairs)
    return found if expected is None else check_fingerprint(found, expected, str(path))
