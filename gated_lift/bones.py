"""Bones that keep their lengths: one body a person instead of one a frame."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.variation import scale_bones


def constant_bones(
    poses: Float[Array, "*people frames joints 3"],
    skeleton: Skeleton,
    weight: Float[Array, "*people frames joints"] | Bool[Array, "*people frames joints"] | None = None,
) -> Float[Array, "*people frames joints 3"]:
    """x'_j = x'_parent(j) + ℓ_j d_j: the same directions d_j of bones with one length a bone and person.

    ℓ_j is the weighted median over the frames, of a left and a right bone together, so that a few bad frames
    change nothing. weight: how far each joint is to be believed, zero or more; a bone counts with the smaller
    one of its two ends, ``~occluded`` leaves out what was hidden. A bone without any weight on either side
    takes the median of all its frames.

    poses: metres, in any axes; the root stays. Bones that are not finite are left out, and stay so together
    with what hangs from them. A bone without length has no direction and stays as it is. Raises ValueError
    for another number of joints, for weights of another shape and for no frames.
    """
    if poses.shape[-2] != skeleton.num_joints:
        raise ValueError(
            f"poses has {poses.shape[-2]} joints, skeleton {skeleton.name} has {skeleton.num_joints}: pass "
            "the skeleton that the poses come in"
        )
    if poses.shape[-3] == 0:
        raise ValueError(f"poses has shape {poses.shape}, without frames: pass at least one")
    if weight is None:
        weight = jnp.ones(poses.shape[:-1], poses.dtype)
    elif weight.shape != poses.shape[:-1]:
        raise ValueError(
            f"weight has shape {weight.shape}, poses {poses.shape}: pass one weight a joint, "
            f"{poses.shape[:-1]}"
        )
    weight = weight.astype(poses.dtype)
    # The root is its own parent here: a bone without length.
    parents = jnp.array([joint if parent < 0 else parent for joint, parent in enumerate(skeleton.parents)])
    bones = poses - poses[..., parents, :]
    square = jnp.sum(jnp.where(jnp.isfinite(bones), bones, 0) ** 2, axis=-1)
    usable = jnp.all(jnp.isfinite(bones), axis=-1) & (square > 0)
    # Safe before the root is taken: the derivative of a square root at zero is infinite.
    lengths = jnp.sqrt(jnp.where(usable, square, 1))
    counted = jnp.where(usable, jnp.minimum(weight, weight[..., parents]), 0)
    # Both sides of the body in one list: of a bone in the middle, every frame is there twice.
    order = jnp.array(skeleton.mirror)

    def both_sides(values: Array) -> Array:
        return jnp.concatenate([values, values[..., order]], axis=-2)

    counted, countable = both_sides(counted), both_sides(usable.astype(poses.dtype))
    believed = jnp.any(counted > 0, axis=-2, keepdims=True)
    median = _weighted_median(both_sides(lengths), jnp.where(believed, counted, countable))[..., None, :]
    factors = jnp.where(usable, median / lengths, 1)
    return scale_bones(poses, factors, skeleton)


def _weighted_median(
    values: Float[Array, "*people frames joints"], weight: Float[Array, "*people frames joints"]
) -> Float[Array, "*people joints"]:
    """Half of the weight lies below it and half above; the middle of two values where both would do."""
    order = jnp.argsort(values, axis=-2)
    values, weight = (jnp.take_along_axis(each, order, axis=-2) for each in (values, weight))
    below = jnp.cumsum(weight, axis=-2)
    half = below[..., -1:, :] / 2
    last = values.shape[-2] - 1

    def first(reached: Bool[Array, "*people frames joints"]) -> Array:
        index = jnp.minimum(jnp.sum(~reached, axis=-2, keepdims=True), last)
        return jnp.take_along_axis(values, index, axis=-2)[..., 0, :]

    return (first((below >= half) & (below > 0)) + first(below > half)) / 2
