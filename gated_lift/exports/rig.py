"""Bones as rotations: a skeleton's rest pose, the rotations that take it to joints, and the way back.

Joints say where bones point and not how they are turned about themselves, and one rotation cannot bring two
bones of a branching joint to where they are if the angle between them changes. So a rig has a node for every
joint, and at a branching joint one more node a bone, without an offset of its own: every bone then has one
node that swings it, and joints come back exactly as far as bones keep their lengths.

The rest pose is a T-pose that faces +z with y up, its left side at +x. Nodes are not rotated in it.

Twist, the turn of a bone about itself, comes from what the joints tell:

- Where a left and a right bone branch off (hips, shoulders) the joint's node has a full frame: x along the
  line from right to left, y as near as possible along the bone that comes from the root (at the root itself,
  along the bone that goes up the middle).
- The bone that leads to such a joint turns about itself with that joint's line.
- Thighs and upper arms turn so that the plane in which the knee or the elbow is bent is the plane of its
  hinge. Where that joint is bent by less than `LEAST_BEND` the plane is not told: the angle is interpolated
  between the frames before and after, and is that of the rest pose where the joint is never bent.
- Everything else swings on the shortest way from where its parent holds it.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from gated_lift.skeleton import Skeleton

LEAST_BEND = math.radians(20)
_SWEEPS = 20  # of all bones: of lifted people nothing changes any more after ten

_LEFT, _RIGHT, _UP, _DOWN, _FRONT, _BACK = (
    (1.0, 0.0, 0.0),
    (-1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, -1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.0, 0.0, -1.0),
)
# Where the bone to a joint points in the rest pose, by what the joint's name ends in; sides are asked next.
_DIRECTIONS = {
    "knee": _DOWN,
    "ankle": _DOWN,
    "toe": _FRONT,
    "foot_index": _FRONT,
    "heel": _BACK,
    "neck_base": _DOWN,  # formats that have it hang from the nose
    "hip": _DOWN,
}
# The axis about which the joint bends from the rest pose: knees backward, elbows forward.
_HINGES = {"left_knee": _LEFT, "right_knee": _LEFT, "left_elbow": _DOWN, "right_elbow": _UP}


class Rig(NamedTuple):
    """Nodes of a skeleton, every parent before its children.

    names: of the nodes. parents: indices of nodes, -1 for the root.
    joint: the skeleton's joint at which the node stands.
    bone: the joint to which the bone that the node turns leads, or -1 for nodes that turn no bone by
        themselves: ends, and joints where bones branch off.
    offset: from the parent's place in the rest pose, with a length of one, or zeros for nodes that stand
        where their parent does.
    """

    skeleton: Skeleton
    names: tuple[str, ...]
    parents: tuple[int, ...]
    joint: tuple[int, ...]
    bone: tuple[int, ...]
    offset: Float[np.ndarray, "nodes 3"]

    @property
    def num_nodes(self) -> int:
        return len(self.names)

    @property
    def joint_nodes(self) -> tuple[int, ...]:
        """The node of every joint, in the skeleton's order: the one whose offset is the bone to it."""
        first: dict[int, int] = {}
        for node, joint in enumerate(self.joint):
            first.setdefault(joint, node)
        return tuple(first[joint] for joint in range(self.skeleton.num_joints))


# What animation programs call the nodes of H36M_17's joints, and of the bones that branch off from a joint.
_NODE_NAMES = {
    "hip": "Hips",
    "right_hip": "RightUpLeg",
    "right_knee": "RightLeg",
    "right_ankle": "RightFoot",
    "left_hip": "LeftUpLeg",
    "left_knee": "LeftLeg",
    "left_ankle": "LeftFoot",
    "spine": "Spine",
    "thorax": "Chest",
    "neck": "Head",
    "head": "HeadTop",
    "left_shoulder": "LeftArm",
    "left_elbow": "LeftForeArm",
    "left_wrist": "LeftHand",
    "right_shoulder": "RightArm",
    "right_elbow": "RightForeArm",
    "right_wrist": "RightHand",
    "hip to right_hip": "RightHip",
    "hip to left_hip": "LeftHip",
    "hip to spine": "LowerBack",
    "thorax to neck": "Neck",
    "thorax to left_shoulder": "LeftShoulder",
    "thorax to right_shoulder": "RightShoulder",
}


def build_rig(skeleton: Skeleton) -> Rig:
    """The nodes of a skeleton in the order in which files list them: depth first, children by their joints.

    Joints of `H36M_17` get the names that animation programs give them, others keep their own, and the node
    of a bone that branches off is called "parent_to_child".
    """
    children = [
        [child for child, parent in enumerate(skeleton.parents) if parent == joint]
        for joint in range(skeleton.num_joints)
    ]
    known = skeleton.name == "h36m_17"
    rows: list[tuple[str, int, int, int, tuple[float, float, float]]] = []

    def add(joint: int, parent: int, offset: tuple[float, float, float]) -> None:
        name = skeleton.names[joint]
        single = children[joint][0] if len(children[joint]) == 1 else -1
        rows.append((_NODE_NAMES[name] if known else name, parent, joint, single, offset))
        node = len(rows) - 1
        for child in children[joint]:
            above = node
            if single < 0:
                key = f"{name} to {skeleton.names[child]}"
                title = _NODE_NAMES[key] if known else key.replace(" ", "_")
                rows.append((title, node, joint, child, (0.0, 0.0, 0.0)))
                above = len(rows) - 1
            add(child, above, _direction(skeleton, child))

    add(skeleton.parents.index(-1), -1, (0.0, 0.0, 0.0))
    names, parents, joint, bone, offset = zip(*rows, strict=True)
    return Rig(skeleton, names, parents, joint, bone, np.array(offset))


def solve_rotations(
    rig: Rig, joints: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, "frames nodes 4"]:
    """Every node's rotation against its parent (the root's: against the axes), quaternions x, y, z, w.

    joints: finite, in axes with y up; their unit does not matter. A bone without length points as its parent
    holds it. The signs are such that a quaternion lies nearest to that of the frame before.

    Raises ValueError for another number of joints, no frames, and joints that are not finite.
    """
    if joints.shape[1] != rig.skeleton.num_joints or len(joints) == 0:
        raise ValueError(
            f"joints have shape {joints.shape}: give frames, one at least, of the "
            f"{rig.skeleton.num_joints} joints of {rig.skeleton.name}"
        )
    if not np.all(np.isfinite(joints)):
        raise ValueError("joints are not finite: fill frames without a person first")
    joints = joints.astype(np.float64)
    lines = {joint: pair for joint in range(rig.skeleton.num_joints) if (pair := _pair(rig.skeleton, joint))}
    world: list[Rotation] = []
    local = np.empty((len(joints), rig.num_nodes, 4))
    still = Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (len(joints), 1)))
    for node, (parent, joint, bone) in enumerate(zip(rig.parents, rig.joint, rig.bone, strict=True)):
        held = world[parent] if parent >= 0 else still
        if bone >= 0:
            turn = _turn_bone(rig.skeleton, joints, held, bone, lines)
        elif joint in lines:
            turn = _turn_frame(rig.skeleton, joints, held, joint, lines[joint])
        else:
            turn = still
        world.append(held * turn)
        local[:, node] = turn.as_quat()
    # A quaternion and its opposite are one rotation: interpolation between frames needs the nearer one.
    flips = np.where(np.sum(local[1:] * local[:-1], axis=-1) < 0, -1.0, 1.0)
    local[1:] *= np.cumprod(flips, axis=0)[..., None]
    return local


def place_joints(
    rig: Rig,
    rotations: Float[np.ndarray, "frames nodes 4"],
    root: Float[np.ndarray, "frames 3"],
    lengths: Float[np.ndarray, "#frames joints"],
) -> Float[np.ndarray, "frames joints 3"]:
    """Forward kinematics: x_node = x_parent + R_parent (ℓ_joint · offset), R_node = R_parent R_local.

    lengths: of the bone that leads to each joint, the root's is ignored; one row, or one a frame. Root,
    lengths and result have one unit.
    """
    world: list[Rotation] = []
    places: list[np.ndarray] = []
    for node, (parent, joint) in enumerate(zip(rig.parents, rig.joint, strict=True)):
        local = Rotation.from_quat(rotations[:, node])
        if parent < 0:
            world.append(local)
            places.append(root)
            continue
        offset = np.zeros_like(root) + lengths[:, joint, None] * rig.offset[node]
        places.append(places[parent] + world[parent].apply(offset))
        world.append(world[parent] * local)
    return np.stack([places[node] for node in rig.joint_nodes], axis=1)


def keep_lengths(
    skeleton: Skeleton,
    joints: Float[np.ndarray, "frames joints 3"],
    lengths: Float[np.ndarray, " joints"],
) -> Float[np.ndarray, "frames joints 3"]:
    """Joints moved a little so that every bone has its length (named by the joint that it leads to).

    Bone after bone, both ends move by half of what it is too long or too short, over and over. What is left
    after `_SWEEPS` is far below a millimetre. Setting lengths from the root outwards instead would add up
    every bone's change at hands and feet. Bones without length stay as they are.
    """
    joints = joints.copy()
    for _ in range(_SWEEPS):
        for parent, child in skeleton.bones:
            bone = joints[:, child] - joints[:, parent]
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            half = (length - lengths[child]) / (2 * np.where(length > 1e-9, length, np.inf)) * bone
            joints[:, parent] += half
            joints[:, child] -= half
    return joints


def _direction(skeleton: Skeleton, joint: int) -> tuple[float, float, float]:
    name = skeleton.names[joint]
    for ending, direction in _DIRECTIONS.items():
        # The centre of the hips is below what it hangs from; a left or a right hip is beside it.
        if name.endswith(ending) and (ending != "hip" or name == "hip"):
            return direction
    return _LEFT if joint in skeleton.left else _RIGHT if joint in skeleton.right else _UP


def _pair(skeleton: Skeleton, joint: int) -> tuple[int, int] | None:
    """The left and the right joint that branch off from this one, if two do that point apart at rest."""
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        if skeleton.parents[left] == joint == skeleton.parents[right]:
            return (left, right) if _direction(skeleton, left) == _LEFT else None
    return None


def _turn_frame(
    skeleton: Skeleton, joints: np.ndarray, held: Rotation, joint: int, pair: tuple[int, int]
) -> Rotation:
    """The rotation of a joint with a left and a right bone, against its parent's."""
    along = skeleton.parents[joint]
    middle = [
        child
        for child, parent in enumerate(skeleton.parents)
        if parent == joint and child not in skeleton.left + skeleton.right
    ]
    if along >= 0:
        rest, second = _direction(skeleton, joint), joints[:, joint] - joints[:, along]
    elif middle:
        rest, second = _direction(skeleton, middle[0]), joints[:, middle[0]] - joints[:, joint]
    else:
        rest, second = _UP, held.apply(np.array(_UP))
    line = joints[:, pair[0]] - joints[:, pair[1]]
    swing = _shortest(np.array(_LEFT), held.apply(line, inverse=True))
    sine, cosine = _angle(swing, np.array(_LEFT), np.array(rest), held.apply(second, inverse=True))
    return swing * _twist(np.array(_LEFT), _interpolated(sine, cosine, 0.0))


def _turn_bone(
    skeleton: Skeleton,
    joints: np.ndarray,
    held: Rotation,
    bone: int,
    lines: dict[int, tuple[int, int]],
) -> Rotation:
    """The rotation that brings a bone from where its parent's node holds it to where it is."""
    rest = np.array(_direction(skeleton, bone))
    vector = joints[:, bone] - joints[:, skeleton.parents[bone]]
    swing = _shortest(rest, held.apply(vector, inverse=True))
    following = [child for child, parent in enumerate(skeleton.parents) if parent == bone]
    name = skeleton.names[bone]
    if bone in lines:
        left, right = lines[bone]
        second, about, least = joints[:, left] - joints[:, right], _LEFT, 0.0
    elif name in _HINGES and len(following) == 1:
        lower = joints[:, following[0]] - joints[:, bone]
        second, about, least = np.cross(_unit(vector), _unit(lower)), _HINGES[name], math.sin(LEAST_BEND)
    else:
        return swing
    sine, cosine = _angle(swing, rest, np.array(about), held.apply(second, inverse=True))
    return swing * _twist(rest, _interpolated(sine, cosine, least))


def _angle(
    swing: Rotation, axis: np.ndarray, rest: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine, times the length of what of ``second`` is across the axis, of the angle about the
    axis from ``rest`` to ``second`` once the bone has been swung.
    """
    local = swing.apply(second, inverse=True)
    return local @ np.cross(axis, rest), local @ rest


def _interpolated(sine: np.ndarray, cosine: np.ndarray, least: float) -> np.ndarray:
    """The angle on every frame, radians, interpolated where its sine and cosine are no longer than
    ``least``.
    """
    told: Bool[np.ndarray, " frames"] = np.hypot(sine, cosine) > max(least, 1e-9)
    frames = np.flatnonzero(told)
    if not len(frames):
        return np.zeros(len(sine))
    return np.interp(np.arange(len(sine)), frames, np.unwrap(np.arctan2(sine[frames], cosine[frames])))


def _twist(axis: np.ndarray, angle: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(angle[:, None] * axis)


def _shortest(rest: np.ndarray, vectors: np.ndarray) -> Rotation:
    """The shortest rotations of a unit vector to each of the vectors (n, 3); none where these are zero.

    q = (r × d, 1 + r · d), normalised. Straight back, where any way is the shortest, it is half a turn about
    an axis across ``rest``.
    """
    unit = _unit(vectors)
    unit = np.where(np.any(unit != 0, axis=-1, keepdims=True), unit, rest)
    real = 1 + unit @ rest
    across = np.roll(rest, 1)  # rest lies along an axis, so this is another one
    axis = np.where((real < 1e-9)[:, None], across, np.cross(rest, unit))
    return Rotation.from_quat(np.concatenate([axis, np.maximum(real, 0)[:, None]], axis=-1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) of length one; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.where(length > 1e-9, length, 1), 0)
