"""Keypoint formats as plain data, and conversion between them by joint name."""

from typing import NamedTuple

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

SKELETONS = {skeleton.name: skeleton for skeleton in (H36M_17, COCO_17, BODY_25)}

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


def convert(
    values: Float[Array, "*batch source_joints dims"],
    occluded: Bool[Array, "*batch source_joints"],
    source: Skeleton,
    target: Skeleton,
    in_time: bool = True,
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

    Units and dtype of ``values`` (pixels, metres) are kept. Raises ValueError when the joint counts do not
    match the skeletons, the leading axes differ, ``occluded`` is not boolean, or a joint of ``target`` cannot
    be built.
    """
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

    def joint(name: str) -> tuple[Array, Array]:
        if name in source.names:
            index = source.names.index(name)
            return values[..., index, :], occluded[..., index]
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
