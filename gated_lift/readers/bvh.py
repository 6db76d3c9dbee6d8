"""Motion in BVH, which animation programs and motion capture exchange: a skeleton's rest pose as text, then a
line of channels a frame.

The joints' names are those of the common rigs (`conventions.LIMBS`): of CMU's database, Mixamo, MotionBuilder
and HumanIK, Xsens, Rokoko, Perception Neuron, Unity, Unreal, Blender, 3ds Max, Daz, and of this project's own
files (`gated_lift.exports.bvh`). Of the trunk, thorax is where the neck begins, neck the joint "Head", which
is the base of the skull, and head that joint's end. The hip is the middle of both thighs' joints. Spine is
the joint of the chain from hip to thorax that is nearest to its middle: there it is in CMU's skeletons (0.47
± 0.03 of the way), and rigs have one to five joints on the way. Rigs place the joints of the trunk some
centimetres apart from each other, and nothing here makes up for that.

The format says no unit, and not which way is up. The unit is what makes the skeleton a person
(`conventions.UNITS`); y or z is up, whichever points from feet to head on most frames, or in the rest pose
where the motion favours neither. Position channels take the place of a joint's offset, as in Blender.
"""

import logging
import math
import re
from array import array
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from gated_lift.clips import MotionClip
from gated_lift.readers.conventions import (
    Up,
    ascents,
    clip_of,
    find,
    find_limbs,
    find_unit,
    floor_below,
    in_float32,
    listed,
    plain,
    subject_of,
    turned,
    vertical,
)
from gated_lift.readers.text_file import decode, read_bytes
from gated_lift.skeleton import H36M_17

LOGGER = logging.getLogger("gated_lift")

MAX_BYTES = 2**28  # an hour of 120 frames a second has about as many
MAX_NODES = 1000
RATES = (1.0, 1000.0)  # frames a second

# What rigs call the joints of the trunk, in the words of `conventions.plain`.
_NECK = ("neck", "neck01", "neck1", "neck0", "lowerneck", "necklower")
_HEAD = ("head", "head01")
_TOP = ("headtop", "headtopend", "headend", "headnub", "headsite", "head01site")
# A joint for the spine lies no farther from the middle of the trunk than this share of its length.
_MIDDLE = 0.25

_WHAT, _MEND = "a BVH file", "export the motion again"


class Node(NamedTuple):
    """parent: index, -1 for the root. offset: from the parent in the rest pose. channels: kind ("position" or
    "rotation") and axis (0, 1, 2), in their order. column: of the first one in a frame's numbers.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[tuple[str, int], ...]
    column: int
    is_end: bool


def read_bvh(path: str | Path, up: Up | None = None, unit: float | None = None) -> tuple[MotionClip, ...]:
    """The clip of a file: one person, `H36M_17`, metres, z up, at the file's own frame rate (`clips.resample`
    brings it to another), for training, with the file's stem for name, subject and action.

    up: the file's axis that points up. unit: metres. Both are found from the skeleton and the motion unless
    they are given; what was found is logged.

    Frames at the beginning on which no joint is rotated are left out where others follow: a rest pose that
    stands before the motion, as in the conversions of CMU's database.

    Raises FileNotFoundError for a missing file and ValueError, naming the file, and the line or frame where
    there is one, for anything else that is wrong: a file that is cut off, channels that do not fit, numbers
    that are none, a rate outside `RATES`, joints that lack, a size that is no person's.
    """
    path = Path(path)
    text = decode(read_bytes(path, _WHAT, _MEND, MAX_BYTES, "cut it into parts"), path, _WHAT, _MEND)
    start = re.search(r"(?im)^[ \t]*MOTION[ \t\r]*$", text)
    if start is None:
        raise _error(path, "it has no line MOTION")
    nodes = _read_hierarchy(text[: start.start()], path)
    fps, motion = _read_motion(text[start.end() :], text.count("\n", 0, start.end()) + 1, nodes, path)
    joints = _find_joints(nodes, path)
    with np.errstate(all="ignore"):  # what overflows is not finite, and refused
        poses = _poses(nodes, joints, _without_rest(nodes, motion))
        rest = _poses(nodes, joints, None)
        if not np.all(np.isfinite(poses)):
            raise _error(path, "its joints are not finite")
        name, metres = find_unit(poses, path) if unit is None else ("given", unit)
        axis = up or vertical(ascents(poses)) or vertical(ascents(rest)) or "y"
        placed = in_float32(turned(poses[None] * metres, axis), path)
    LOGGER.info("%s: %d frames at %.6g frames/s, unit: %s, up: %s", path.name, len(poses), fps, name, axis)
    if up is None and axis != (vertical(ascents(rest)) or axis):
        LOGGER.warning(
            "%s: its rest pose stands along another axis than its people: %s is taken to be up", path, axis
        )
    stem = path.name.removesuffix(path.suffix)
    return (clip_of(placed, fps, stem, subject_of(stem), stem, floor_below(placed)),)


def _read_hierarchy(text: str, path: Path) -> list[Node]:
    """The nodes, every parent before its children, end sites among them."""
    words = text.replace("{", " { ").replace("}", " } ").split()
    nodes: list[Node] = []
    open_nodes: list[int] = []
    columns, at = 0, 0

    def numbers(first: int, count: int) -> tuple[float, ...]:
        try:
            found = tuple(float(word) for word in words[first : first + count])
        except ValueError:
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            raise _error(path, f"OFFSET of {nodes[open_nodes[-1]].name} is not {count} numbers")
        return found

    while at < len(words):
        word = words[at].upper()
        if word == "HIERARCHY" and not nodes:
            at += 1
        elif word in ("ROOT", "JOINT", "END"):
            if (word == "ROOT") != (not nodes):
                raise _error(
                    path, "it has not one ROOT, which everything hangs from", "give one person a file"
                )
            brace = words.index("{", at) if "{" in words[at : at + 12] else len(words)
            parent = open_nodes[-1] if open_nodes else -1
            if brace == len(words) or (nodes and parent < 0) or len(nodes) == MAX_NODES:
                raise _error(path, f"its skeleton ends, or is no tree, at {word} {len(nodes)}")
            name = " ".join(words[at + 1 : brace])[:60]
            nodes.append(Node(name, parent, (0.0, 0.0, 0.0), (), columns, word == "END"))
            open_nodes.append(len(nodes) - 1)
            at = brace + 1
        elif word == "}" and open_nodes:
            open_nodes.pop()
            at += 1
        elif word == "OFFSET" and open_nodes:
            x, y, z = numbers(at + 1, 3)
            nodes[open_nodes[-1]] = nodes[open_nodes[-1]]._replace(offset=(x, y, z))
            at += 4
        elif word == "CHANNELS" and open_nodes:
            node = nodes[open_nodes[-1]]
            counted = words[at + 1] if at + 1 < len(words) else ""
            count = int(counted) if counted.isascii() and counted.isdigit() and len(counted) < 3 else -1
            named = [each.lower() for each in words[at + 2 : at + 2 + max(count, 0)]]
            channels = tuple((each[1:], "xyz".find(each[:1])) for each in named)
            known = all(kind in ("position", "rotation") and axis >= 0 for kind, axis in channels)
            if len(channels) != count or not known or len(set(channels)) != count or node.is_end:
                raise _error(path, f"CHANNELS of {node.name} are not that many positions and rotations")
            nodes[open_nodes[-1]] = node._replace(channels=node.channels + channels)
            columns += count
            at += 2 + count
        else:
            raise _error(path, f"{words[at][:40]!r} is no part of a skeleton")
    if open_nodes or not nodes:
        raise _error(path, "its skeleton ends before its last bracket" if nodes else "it has no skeleton")
    return nodes


def _read_motion(
    text: str, line: int, nodes: list[Node], path: Path
) -> tuple[float, Float[np.ndarray, "frames channels"]]:
    """Frames a second, and a row of numbers a frame. line: of the file, the one on which the text begins."""
    columns = sum(len(node.channels) for node in nodes)
    # Numbered as editors do.
    rows = [(line + at, row) for at, row in enumerate(text.split("\n")) if row.strip()]
    said = []
    for (_, row), words in zip(rows, (r"frames", r"frame\s+time"), strict=False):
        match = re.fullmatch(rf"\s*{words}\s*:\s*(\S+)\s*", row, re.IGNORECASE)
        said += [match[1]] if match else []
    if len(said) < 2:
        raise _error(path, "behind MOTION there are no lines Frames and Frame Time")
    counted, stepped = said
    count = int(counted) if counted.isascii() and counted.isdigit() and len(counted) < 10 else 0
    if not count:
        raise _error(path, f"Frames is {counted[:20]!r}, not a number above 0")
    step = _number(stepped)
    if not RATES[0] <= 1 / (step or math.inf) <= RATES[1]:
        raise _error(
            path,
            f"Frame Time is {stepped[:20]!r}, not seconds of {RATES[0]:g} to {RATES[1]:g} frames a second",
            "correct it, such as 0.02",
        )
    if not columns:
        raise _error(path, "its skeleton has no channels")
    if len(rows) - 2 != count:
        raise _error(
            path,
            f"Frames is {count} and {len(rows) - 2} lines of numbers follow",
            "the file is cut off: export it again, or correct Frames",
        )
    numbers = array("d")
    for frame, (at, row) in enumerate(rows[2:]):
        before = len(numbers)
        try:
            numbers.extend(map(float, row.split()))
        except ValueError:
            raise _error(path, f"line {at}, frame {frame}, has a word that is no number") from None
        if len(numbers) - before != columns:
            raise _error(
                path,
                f"line {at}, frame {frame}, has {len(numbers) - before} numbers for {columns} channels",
            )
    motion = np.array(numbers).reshape(count, columns)
    broken = np.flatnonzero(~np.all(np.isfinite(motion), axis=1))
    if len(broken):
        at = rows[2 + broken[0]][0]
        raise _error(path, f"line {at}, frame {broken[0]}, has a number that is not finite", "cut it there")
    return 1 / step, motion


def _number(word: str) -> float:
    """The number that a word is, 0 if it is none."""
    try:
        return float(word)
    except ValueError:
        return 0.0


def _find_joints(nodes: list[Node], path: Path) -> dict[str, tuple[int, ...]]:
    """The node of every joint of `H36M_17`; a joint is the middle of two nodes where there are two."""
    # End sites are named after what they end, so that no name is theirs and a joint's too.
    names = [f"{nodes[node.parent].name}_Site" if node.is_end else node.name for node in nodes]
    known = plain(names)
    found: dict[str, tuple[int, ...]] = {joint: (at,) for joint, at in find_limbs(known).items()}
    neck, skull = find(known, _NECK), find(known, _HEAD)
    for joint, at in (("thorax", neck), ("neck", skull), ("head", find(known, _TOP))):
        if at is not None:
            found[joint] = (at,)
    sides = {part: [f"{side}_{part}" for side in ("left", "right")] for part in ("hip", "shoulder")}
    if all(joint in found for joint in sides["hip"]):
        found["hip"] = tuple(found[joint][0] for joint in sides["hip"])
    if neck is None and all(joint in found for joint in sides["shoulder"]):
        found["thorax"] = tuple(found[joint][0] for joint in sides["shoulder"])
    lacking = [joint for joint in H36M_17.names if joint not in found and joint != "spine"]
    if lacking:
        held = listed([node.name for node in nodes if not node.is_end])
        raise ValueError(
            f"{path}: no joint is known to be {', '.join(lacking)}, among {held}: "
            "rename them as MotionBuilder does (Hips, LeftUpLeg, LeftLeg, LeftFoot, Spine, Neck, Head, "
            "LeftArm, LeftForeArm, LeftHand; an End Site for the top of the head)"
        )
    for side in ("left", "right"):
        for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            chain = [found[f"{side}_{joint}"][0] for joint in limb]
            if any(above not in _ancestors(nodes, below) for above, below in pairwise(chain)):
                raise ValueError(
                    f"{path}: {', '.join(nodes[at].name for at in chain)} do not hang from each other, as "
                    f"{side} {', '.join(limb)} do: rename the joints as MotionBuilder does"
                )
    found["spine"] = _find_spine(nodes, found)
    return found


def _find_spine(nodes: list[Node], found: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The node nearest to the middle of the way from the hip to the thorax in the rest pose; those of both
    where none is.
    """
    rest = _place(nodes, {at for each in found.values() for at in each}, None)
    hip, thorax = (np.mean([rest[at][0] for at in found[joint]], axis=0) for joint in ("hip", "thorax"))
    way = thorax - hip
    chain = _ancestors(nodes, found["thorax"][0])
    shares = {at: float((rest[at][0] - hip) @ way / max(way @ way, 1e-30)) for at in chain}
    off = {at: abs(share - 0.5) for at, share in shares.items() if abs(share - 0.5) <= _MIDDLE}
    if off:
        return (min(off, key=lambda at: off[at]),)
    # Both thighs and the thorax, so that the middle of all is that of hip and thorax: as many of each.
    hips, tops = found["hip"], found["thorax"]
    return hips * len(tops) + tops * len(hips)


def _ancestors(nodes: list[Node], at: int) -> list[int]:
    above = []
    while nodes[at].parent >= 0:
        at = nodes[at].parent
        above.append(at)
    return above


def _without_rest(nodes: list[Node], motion: np.ndarray) -> np.ndarray:
    """The motion from the first frame on which a joint below the root is rotated; all of it if none is."""
    columns = [
        node.column + place
        for node in nodes[1:]
        for place, (kind, _) in enumerate(node.channels)
        if kind == "rotation"
    ]
    rotated = np.flatnonzero(np.any(motion[:, columns] != 0, axis=1))
    return motion[rotated[0] :] if len(rotated) else motion


def _poses(
    nodes: list[Node], joints: dict[str, tuple[int, ...]], motion: np.ndarray | None
) -> Float[np.ndarray, "frames 17 3"]:
    """Joints in the file's unit and axes; motion None: those of the rest pose, one frame."""
    placed = _place(nodes, {at for each in joints.values() for at in each}, motion)
    means = [np.mean([placed[at] for at in joints[name]], axis=0) for name in H36M_17.names]
    return np.stack(means, axis=1)


def _place(nodes: list[Node], wanted: set[int], motion: np.ndarray | None) -> dict[int, np.ndarray]:
    """Forward kinematics of the wanted nodes and those above them: x = x_parent + R_parent · offset, (frames,
    3) each, and R = R_parent · R₁ · R₂ · R₃ in the order of the channels.
    """
    needed = wanted | {above for at in wanted for above in _ancestors(nodes, at)}
    frames = 1 if motion is None else len(motion)
    placed: dict[int, np.ndarray] = {}
    world: dict[int, Rotation] = {}
    for at in sorted(needed):
        node = nodes[at]
        offset = np.tile(np.array(node.offset), (frames, 1))
        local = Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1)))
        if motion is not None:
            own = motion[:, node.column : node.column + len(node.channels)]
            turns = [place for place, (kind, _) in enumerate(node.channels) if kind == "rotation"]
            for place, (kind, axis) in enumerate(node.channels):
                if kind == "position":
                    offset[:, axis] = own[:, place]
            if turns:
                order = "".join("XYZ"[node.channels[place][1]] for place in turns)
                local = Rotation.from_euler(order, own[:, turns], degrees=True)
        if node.parent < 0:
            placed[at], world[at] = offset, local
        else:
            placed[at] = placed[node.parent] + world[node.parent].apply(offset)
            world[at] = world[node.parent] * local
    return placed


def _error(path: Path, what: str, mend: str = _MEND) -> ValueError:
    return ValueError(f"{path} is not {_WHAT} as it should be ({what}): {mend}")
