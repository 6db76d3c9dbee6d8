"""Bodies as capsules, and which joints they hide from a camera."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gated_lift.skeleton import Skeleton

Number = float | int

# Metres. Each bone is named by the joint at its far end; its capsule has this radius. About half the width of
# a clothed adult's limbs; a trunk is wider than deep, and its radius lies between.
BONE_RADII: Mapping[str, float] = MappingProxyType(
    {
        "hip": 0.14,
        "left_hip": 0.11,
        "right_hip": 0.11,
        "left_knee": 0.09,
        "right_knee": 0.09,
        "left_ankle": 0.06,
        "right_ankle": 0.06,
        "left_heel": 0.04,
        "right_heel": 0.04,
        "left_big_toe": 0.04,
        "right_big_toe": 0.04,
        "left_small_toe": 0.03,
        "right_small_toe": 0.03,
        "spine": 0.14,
        "thorax": 0.15,
        "neck_base": 0.07,
        "neck": 0.07,
        "head": 0.11,
        "nose": 0.09,
        "left_eye": 0.07,
        "right_eye": 0.07,
        "left_ear": 0.07,
        "right_ear": 0.07,
        "left_shoulder": 0.07,
        "right_shoulder": 0.07,
        "left_elbow": 0.05,
        "right_elbow": 0.05,
        "left_wrist": 0.04,
        "right_wrist": 0.04,
    }
)

# Frames computed at once. It bounds the memory of a long clip: each frame takes P (P − 1) J B numbers a
# temporary.
CHUNK_FRAMES = 256


class Occlusion(NamedTuple):
    """hidden: (P, F, J) bool, True = hidden. coverage: (P, F, J) in [0, 1], above one half where hidden."""

    hidden: Array
    coverage: Array


def body_occlusion(
    poses: Float[Array, "people frames joints 3"],
    skeleton: Skeleton,
    radii: Mapping[str, float] = BONE_RADII,
    margin: Number = 0.03,
) -> Occlusion:
    """hidden ⇔ dist([0, x], bone) < radius for a bone of another person that lies nearer than the joint x.

    The bone is first cut to the slab between the camera and the joint, 0 < c · x/|x| < |x|, so that what is
    behind the joint (or the camera) never hides it; a hand that rests on someone, inside the surface of the
    capsule but before its axis, stays visible. With d the distance of what is left from the line of sight,
    coverage falls smoothly (3t² − 2t³) from 1 at d = radius − margin through 1/2 at the radius to 0 at radius
    + margin (the margin is at most the radius), and is the largest over all bones and people.

    poses: metres in camera axes, the camera at the origin. radii: metres of each bone's capsule by the name
    of the joint at its far end. margin: metres. Nobody hides themselves: joints lie inside their own limbs,
    and detectors are trained to see through those. A bone with an end that is not finite hides nothing; a
    joint that is not finite is reported as not hidden by anyone, and so is one on the camera. Joints behind
    the
    camera have no image: mask them by their depth.

    Differentiable, with finite gradients. Frames are independent and computed `CHUNK_FRAMES` at a time.
    Raises ValueError when the joints do not match the skeleton, a bone has no radius, or a radius or the
    margin is not positive.
    """
    people, frames, joints, _ = poses.shape
    if joints != skeleton.num_joints:
        raise ValueError(
            f"poses has {joints} joints, but {skeleton.name} has {skeleton.num_joints}: pass the skeleton "
            "that the poses come in"
        )
    names = [skeleton.names[child] for _, child in skeleton.bones]
    missing = [name for name in names if name not in radii]
    if missing:
        raise ValueError(f"radii lacks {missing}: give the bone that ends in each joint a radius in metres")
    not_positive = {name: radii[name] for name in names if not radii[name] > 0}
    if not_positive or not margin > 0:
        raise ValueError(f"radii {not_positive} or margin {margin} is not positive: pass metres above zero")

    radius = jnp.array([radii[name] for name in names], poses.dtype)[None, None, None, :]
    others = tuple(tuple(q for q in range(people) if q != p) for p in range(people))

    def frame(pose: Array) -> Array:
        return _frame_coverage(pose, skeleton.bones, others, radius, jnp.minimum(radius, margin))

    by_frame = jnp.moveaxis(poses, 1, 0)
    if frames <= CHUNK_FRAMES:
        coverage = jax.vmap(frame)(by_frame)
    else:
        coverage = jax.lax.map(frame, by_frame, batch_size=CHUNK_FRAMES)
    coverage = jnp.moveaxis(coverage, 0, 1)
    return Occlusion(coverage > 0.5, coverage)


def _frame_coverage(
    pose: Array,
    bones: tuple[tuple[int, int], ...],
    others: tuple[tuple[int, ...], ...],
    radius: Array,
    margin: Array,
) -> Array:
    """Coverage (P, J) of one frame's joints ``pose`` (P, J, 3) by the bones of the people in ``others`` (P, P
    − 1).
    """
    people, joints, _ = pose.shape
    if people < 2:
        return jnp.zeros((people, joints), pose.dtype)

    # Every `where` below replaces the input of a division or root, because its gradient would be NaN
    # otherwise.
    finite = jnp.all(jnp.isfinite(pose), axis=-1)
    pose = jnp.where(finite[..., None], pose, 0)
    square = jnp.sum(pose**2, axis=-1)
    target = square > 1e-12
    length = jnp.sqrt(jnp.where(target, square, 1))
    ray = pose / length[..., None]

    parents, children = (jnp.array(ends) for ends in zip(*bones, strict=True))
    index = jnp.array(others)
    solid = (finite[:, parents] & finite[:, children])[index]
    start, bone = pose[:, parents][index], (pose[:, children] - pose[:, parents])[index]

    # From here on (P, others, J, bones), one array a coordinate: the compiler fuses them into one pass.
    a = [start[:, :, None, :, axis] for axis in range(3)]
    e = [bone[:, :, None, :, axis] for axis in range(3)]
    d = [ray[:, None, :, None, axis] for axis in range(3)]
    length, target = length[:, None, :, None], target[:, None, :, None]
    a_along, e_along = _dot(a, d), _dot(e, d)

    # Cut the bone a + u e, 0 <= u <= 1, to the slab between the camera and the joint.
    level = jnp.abs(e_along) < 1e-9
    slope = jnp.where(level, 1, e_along)
    at_camera, at_joint = -a_along / slope, (length - a_along) / slope
    low = jnp.where(level, 0, jnp.clip(jnp.minimum(at_camera, at_joint), 0, 1))
    high = jnp.where(level, 1, jnp.clip(jnp.maximum(at_camera, at_joint), 0, 1))
    between = jnp.where(level, (a_along > 0) & (a_along < length), low < high)

    # Seen along the ray, the bone is a segment in a plane and the ray a point.
    a_across = [a_i - a_along * d_i for a_i, d_i in zip(a, d, strict=True)]
    e_across = [e_i - e_along * d_i for e_i, d_i in zip(e, d, strict=True)]
    extent = _dot(e_across, e_across)
    end_on = extent < 1e-12
    u = jnp.clip(jnp.where(end_on, 0, -_dot(a_across, e_across)) / jnp.where(end_on, 1, extent), low, high)
    nearest = [a_i + u * e_i for a_i, e_i in zip(a_across, e_across, strict=True)]
    distance = jnp.sqrt(jnp.maximum(_dot(nearest, nearest), 1e-12))

    t = jnp.clip((radius + margin - distance) / (2 * margin), 0, 1)
    coverage = jnp.where(between & target & solid[:, :, None, :], t**2 * (3 - 2 * t), 0)
    return jnp.max(coverage, axis=(1, 3))


def _dot(a: list[Array], b: list[Array]) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
