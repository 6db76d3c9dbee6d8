"""Keypoint formats as plain data, and conversion between them by joint name."""

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.occlusion import fill_gaps


class Skeleton(NamedTuple):
    """An immutable tree of joints.

    names: one name a joint, in the order of the arrays.
    parents: index of each joint's parent; the root has -1 and stands first.
    left, right: indices of paired joints, in matching order; flipping an image swaps them.
    """

    name: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def num_joints(self) -> int:
        return len(self.names)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) of every bone."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def mirror(self) -> tuple[int, ...]:
        """Permutation that swaps left and right joints; its own inverse."""
        order = list(range(self.num_joints))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)


# VideoPose3D's order of Human3.6M's joints.
H36M_17 = Skeleton(
    name="h36m_17",
    names=(
        "hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)

# COCO's seventeen keypoints hang from the nose: COCO has no hip centre.
COCO_17 = Skeleton(
    name="coco_17",
    names=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    parents=(-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    left=(1, 3, 5, 7, 9, 11, 13, 15),
    right=(2, 4, 6, 8, 10, 12, 14, 16),
)

# OpenPose BODY_25, rooted at its first joint so that the order of the arrays is OpenPose's own.
BODY_25 = Skeleton(
    name="body_25",
    names=(
        "nose",
        "neck_base",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11),
    left=(5, 6, 7, 12, 13, 14, 16, 18, 19, 20, 21),
    right=(2, 3, 4, 9, 10, 11, 15, 17, 22, 23, 24),
)

# OpenPose's older order of eighteen: COCO's keypoints with the base of the neck between the shoulders.
COCO_18 = Skeleton(
    name="coco_18",
    names=(
        "nose",
        "neck_base",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    parents=(-1, 0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
    left=(5, 6, 7, 11, 12, 13, 15, 17),
    right=(2, 3, 4, 8, 9, 10, 14, 16),
)

_FEET = (
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)

# OpenPose BODY_25B: COCO's seventeen, MPII's upper neck and top of the head, and the feet. Its neck is the
# upper end of the neck, as Human3.6M's is, not the base of the neck of BODY_25; it has no hip centre.
BODY_25B = Skeleton(
    name="body_25b",
    names=(*COCO_17.names, "neck", "head", *_FEET),
    parents=(*COCO_17.parents, 0, 17, 15, 19, 15, 16, 22, 16),
    left=(*COCO_17.left, 19, 20, 21),
    right=(*COCO_17.right, 22, 23, 24),
)

# Halpe's head is the top of the head, its neck the base of the neck, its hip the centre of the hips.
HALPE_26 = Skeleton(
    name="halpe_26",
    names=(
        *(*COCO_17.names, "head", "neck_base", "hip"),
        *("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    ),
    parents=(*COCO_17.parents, 0, 0, 18, 15, 16, 20, 21, 15, 16),
    left=(*COCO_17.left, 20, 22, 24),
    right=(*COCO_17.right, 21, 23, 25),
)

# The order of easy_ViTPose's models with feet: COCO's names with the base of the neck and the hip centre.
VITPOSE_25 = Skeleton(
    name="vitpose_25",
    names=(
        *(*COCO_17.names[:5], "neck_base", *COCO_17.names[5:13], "hip", *COCO_17.names[13:]),
        *_FEET,
    ),
    parents=(-1, 0, 0, 1, 2, 0, 5, 5, 6, 7, 8, 9, 5, 5, 5, 12, 13, 15, 16, 17, 19, 17, 18, 22, 18),
    left=(1, 3, 6, 8, 10, 12, 15, 17, 19, 20, 21),
    right=(2, 4, 7, 9, 11, 13, 16, 18, 22, 23, 24),
)

# MediaPipe's foot index is the tip of the foot, which no other format names.
MEDIAPIPE_33 = Skeleton(
    name="mediapipe_33",
    names=(
        *("nose", "left_eye_inner", "left_eye", "left_eye_outer"),
        *("right_eye_inner", "right_eye", "right_eye_outer"),
        *("left_ear", "right_ear", "left_mouth", "right_mouth", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky"),
        *("left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
        *("left_foot_index", "right_foot_index"),
    ),
    parents=(
        *(-1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23, 24),
        *(25, 26, 27, 28, 29, 30),
    ),
    left=(1, 2, 3, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
    right=(4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32),
)


def _whole_body() -> Skeleton:
    """COCO-WholeBody: COCO's seventeen, feet, 68 points of the face and 21 of each hand.

    Points of the face are numbered as the 68 of the iBUG annotation: ``right_face_k`` is point k, and
    ``left_face_k`` the one that mirrors it; points on the middle are ``face_k``. Those of a hand are numbered
    from its root, four a finger from the thumb on.
    """
    middle = (8, *range(27, 31), 33, 51, 57, 62, 66)
    pairs = (
        *((k, 16 - k) for k in range(8)),
        *((k, 43 - k) for k in range(17, 22)),
        *((31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        *((48, 54), (49, 53), (50, 52), (58, 56), (59, 55), (60, 64), (61, 63), (67, 65)),
    )
    face = {k: f"face_{k}" for k in middle}
    face |= {k: f"right_face_{k}" for k, _ in pairs} | {k: f"left_face_{of}" for of, k in pairs}
    names = (
        *(*COCO_17.names, *_FEET, *(face[k] for k in range(68))),
        *(f"{side}_hand_{k}" for side in ("left", "right") for k in range(21)),
    )
    hands = tuple(
        wrist if k == 0 else first if k % 4 == 1 else first + k - 1
        for wrist, first in ((9, 91), (10, 112))
        for k in range(21)
    )
    left = tuple(index for index, name in enumerate(names) if name.startswith("left_"))
    return Skeleton(
        name="coco_133",
        names=names,
        parents=(*COCO_17.parents, 15, 17, 15, 16, 20, 16, *(0,) * 68, *hands),
        left=left,
        right=tuple(names.index(names[index].replace("left_", "right_", 1)) for index in left),
    )


COCO_133 = _whole_body()

SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        *(H36M_17, COCO_17, BODY_25),
        *(COCO_18, BODY_25B, HALPE_26, COCO_133, MEDIAPIPE_33, VITPOSE_25),
    )
}

# A joint that a format lacks is the midpoint of two that it has: COCO and OpenPose name no spine, for
# example.
MIDPOINTS = {
    "hip": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "neck_base": ("left_shoulder", "right_shoulder"),
    "spine": ("hip", "thorax"),
    "neck": ("thorax", "nose"),
    "head": ("left_ear", "right_ear"),
}

# The midpoints that are the joint by definition, or nearly: detectors define the base of the neck as the
# middle of the shoulders, and the centre of the hips as the middle of these. The others are guesses: the ears
# are not the top of the head.
EXACT_MIDPOINTS = ("hip", "thorax", "neck_base")

# What `convert` does about a joint that the source lacks.
Missing = Literal["midpoint", "hidden"]

# By skeleton, what the shipped gated lifters do better with: midpoints in every format, as rendered
# detections of many people and real ones of two say (docs/formats.md has the numbers and the commands), also
# for "small", in whose training joints that formats lack were hidden; there the difference is small. A lifter
# without gates, such as the shipped "plain", needs midpoints always.
BETTER_MISSING: dict[str, Missing] = dict.fromkeys(SKELETONS, "midpoint")


def convert(
    values: Float[Array, "*batch source_joints dims"],
    occluded: Bool[Array, "*batch source_joints"],
    source: Skeleton,
    target: Skeleton,
    in_time: bool = True,
    missing: Missing = "midpoint",
) -> tuple[Float[Array, "*batch target_joints dims"], Bool[Array, "*batch target_joints"]]:
    """Reorders joints from one format to another by name, with their occlusion bits (True = hidden).

    A joint that ``source`` lacks is the midpoint of the two parts that `MIDPOINTS` names, (a + b) / 2, which
    may be midpoints themselves. Where one of them is hidden, say b, it is a + d / 2: d is b − a, interpolated
    in time between the nearest frames on which both are visible and held before the first and after the last.
    Where they never are, left and right are taken to lie behind each other, as in a view from the side: the
    midpoint is the visible one of them. Any other midpoint (spine, neck) is hidden then, and every midpoint
    is on frames that show neither part.

    in_time: the axis before the joints holds a clip's frames in order, as everywhere here. With False, and
    where there is no such axis, a midpoint is hidden wherever one of its parts is.

    missing: what to do about a joint that ``source`` lacks. "midpoint" computes it whenever `MIDPOINTS` has a
    rule. "hidden" invents no joint: only the `EXACT_MIDPOINTS` are computed, where ``source`` has both parts,
    and every other joint that it lacks comes out hidden on all frames, with zeros for values.

    Units and dtype of ``values`` (pixels, metres) are kept. Raises ValueError when the joint counts do not
    match the skeletons, the leading axes differ, ``occluded`` is not boolean, ``missing`` is neither of the
    two, or a joint of ``target`` cannot be built; with "hidden" only a target of which ``source`` gives no
    joint at all cannot.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"missing is {missing!r}: choose from {', '.join(get_args(Missing))}")
    if values.shape[-2] != source.num_joints or occluded.shape[-1] != source.num_joints:
        raise ValueError(
            f"values has {values.shape[-2]} joints and occluded {occluded.shape[-1]}, but {source.name} has "
            f"{source.num_joints}: pass the skeleton that the arrays come in"
        )
    if occluded.shape != values.shape[:-1]:
        raise ValueError(
            f"values has shape {values.shape} and occluded {occluded.shape}: pass (..., J, dims) and "
            "(..., J) with the same leading axes"
        )
    if occluded.dtype != jnp.bool_:
        raise ValueError(f"occluded has dtype {occluded.dtype}: pass booleans, True = hidden")

    def given(name: str) -> bool:
        """Whether the source has the joint, or both parts of a midpoint that is the joint by definition."""
        parts = MIDPOINTS[name] if name in EXACT_MIDPOINTS else ()
        return name in source.names or (bool(parts) and all(part in source.names for part in parts))

    if missing == "hidden" and not any(given(name) for name in target.names):
        raise ValueError(
            f"source {source.name} has no joint of target {target.name}: name the joints of the source as "
            "the skeletons of gated_lift.skeleton do"
        )

    def joint(name: str) -> tuple[Array, Array]:
        if name in source.names:
            index = source.names.index(name)
            return values[..., index, :], occluded[..., index]
        if missing == "hidden" and not given(name):
            return jnp.zeros_like(values[..., 0, :]), jnp.ones_like(occluded[..., 0])
        if name not in MIDPOINTS:
            raise ValueError(
                f"target {target.name} needs the joint {name!r}, which source {source.name} neither has nor "
                "can interpolate: add a rule to skeleton.MIDPOINTS or choose another target"
            )
        first, second = (joint(part) for part in MIDPOINTS[name])
        if not in_time or values.ndim < 3:
            return (first[0] + second[0]) / 2, first[1] | second[1]
        return _midpoint(first, second, MIDPOINTS[name][0].startswith("left_"))

    joints = [joint(name) for name in target.names]
    return (
        jnp.stack([value for value, _ in joints], axis=-2),
        jnp.stack([hidden for _, hidden in joints], axis=-1),
    )


def _midpoint(first: tuple[Array, Array], second: tuple[Array, Array], sides: bool) -> tuple[Array, Array]:
    """The midpoint of two joints over a clip's frames, each with its occlusion bits, as `convert` says.

    sides: they are the left and the right one of a pair.
    """
    (here, here_hidden), (there, there_hidden) = first, second
    both, either = ~here_hidden & ~there_hidden, ~here_hidden | ~there_hidden
    # Zero where they are never seen together: the midpoint is then the visible one itself.
    offset = fill_gaps((there - here)[..., None, :], ~both[..., None])[..., 0, :]
    guess = jnp.where(here_hidden[..., None], there - offset / 2, here + offset / 2)
    known = either if sides else either & jnp.any(both, axis=-1, keepdims=True)
    return jnp.where((known & ~both)[..., None], guess, (here + there) / 2), ~known
