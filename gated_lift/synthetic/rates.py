"""What is left of a detector's frames where the video has fewer of them than the network reads."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.recovery.observation import between_frames

# The share of a frame that is rounding.
NEAR = 1e-3


def at_slower_rates(
    values: Float[Array, "batch frames joints dims"],
    occluded: Bool[Array, "batch frames joints"],
    step: Float[Array, " batch"],
    phase: Float[Array, " batch"],
    causal: bool = False,
) -> tuple[Float[Array, "batch frames joints dims"], Bool[Array, "batch frames joints"]]:
    """What `recovery.observation.observe_clip` makes of the same people in videos of fewer frames a second.

    Each window keeps only the frames at (phase + k) · step, k = 0, 1, …, in frames of the network; between
    two of them values are interpolated linearly (``causal``: the earlier one is held), and a joint is hidden
    where one of the two is. Before the first and after the last, that one is held. What is kept lies between
    frames itself unless ``step`` is whole, and is interpolated likewise.

    values: pixels, or anything else that goes with the joints; hidden ones are finite. step: the network's
    frame rate by the video's, 1 or more. phase: 0 to below 1. Windows are at least one ``step`` long.
    """
    frames = values.shape[1]
    now = jnp.arange(frames, dtype=values.dtype)[None]
    step, phase = (each.astype(values.dtype)[:, None] for each in (step, phase))
    last = jnp.floor((frames - 1) / step - phase + NEAR)
    place = jnp.clip(now / step - phase, 0, jnp.maximum(last, 0))
    lower, share = between_frames(place)
    lower, share = lower.astype(values.dtype), jnp.where(causal, 0, share)
    before = _between(values, occluded, (lower + phase) * step)
    after = _between(values, occluded, (jnp.minimum(lower + 1, jnp.maximum(last, 0)) + phase) * step)
    mixed = before[0] * (1 - share[..., None, None]) + after[0] * share[..., None, None]
    return mixed, before[1] | (after[1] & (share > 0)[..., None])


def _between(values: Array, occluded: Array, time: Array) -> tuple[Array, Array]:
    """Values and occlusion (B, T, J) at times (B, T) in frames, interpolated."""
    time = jnp.clip(time, 0, values.shape[1] - 1)
    first, share = between_frames(time)
    second = jnp.minimum(first + 1, values.shape[1] - 1)

    def take(array: Array, index: Array) -> Array:
        return jnp.take_along_axis(array, index.reshape(*index.shape, *[1] * (array.ndim - 2)), axis=1)

    weight = share[..., None, None]
    mixed = take(values, first) * (1 - weight) + take(values, second) * weight
    return mixed, take(occluded, first) | (take(occluded, second) & (share > 0)[..., None])
