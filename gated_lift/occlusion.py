"""Simulated long occlusions (Eqs. 10, 11) and the values that stand in for hidden keypoints."""

from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float, Int, Num, PRNGKeyArray
from scipy.stats import irwinhall

Fill = Literal["interpolate", "cubic", "zero"]

# Seconds after which one hidden stretch is as good as another.
OLDEST_GAP = 2.0

# How `fill_gaps_cubic` estimates speeds and how far it trusts them, in seconds, chosen on motion capture seen
# with 2 px of noise, both correlated in time and white.
SPEED_SECONDS = 0.1  # visible frames count exp(-age / this) towards the speed at the edge of a gap
SPEED_OFFSET = 0.04  # added to their mean age: a speed from few frames is too noisy to be taken whole
SHORT_GAP = 0.2  # in gaps much shorter than this, speeds add more noise than they explain
LONG_GAP = 2.5  # in gaps much longer than this, they have nothing to say about the middle
COAST_SECONDS = 0.2  # where nobody is seen again, the last speed dies away like this

# Masks are drawn inside jitted steps at ratios that are only known there, so quantiles come from a table. Its
# nodes crowd at both ends (a cosine), where the quantile function of a mean of uniforms is steep.
_TABLE_RATIOS = (1 - np.cos(np.linspace(0, np.pi, 1025))) / 2


@lru_cache(maxsize=64)
def _bates_quantiles(kernel_frames: int) -> np.ndarray:
    # The distribution function on a grid, inverted by interpolation: SciPy's own inverse takes seconds and is
    # off at the ends for large K. Beyond eight standard deviations there is nothing to resolve.
    reach = 8 / np.sqrt(12 * kernel_frames)
    grid = np.linspace(max(0.0, 0.5 - reach), min(1.0, 0.5 + reach), 4097)
    grid = np.unique(np.concatenate([[0.0], grid, [1.0]]))
    return np.interp(_TABLE_RATIOS, irwinhall.cdf(grid * kernel_frames, kernel_frames), grid)


def threshold(ratio: Float[Array, "*batch"] | float, kernel_frames: int) -> Float[Array, "*batch"]:
    """θ of Eq. 10 for a wanted share of hidden joints.

    P̂ of Eq. 11 is the mean of K independent uniforms, which follows the Bates(K) distribution; a joint is
    hidden where P̂ > θ, so θ is that distribution's (1 − ratio) quantile. ``ratio`` in [0, 1] may be traced;
    ``kernel_frames`` is K ≥ 1 in frames. Raises ValueError for K < 1 and, where it is concrete, for a ratio
    outside [0, 1].
    """
    _check_kernel(kernel_frames)
    if not isinstance(ratio, jax.core.Tracer):
        shares = np.asarray(ratio)
        if not np.all((shares >= 0) & (shares <= 1)):
            raise ValueError(
                f"ratio is {ratio}: give the hidden share as a number from 0 to 1, not in per cent"
            )
    table = _bates_quantiles(kernel_frames)
    visible = 1 - jnp.asarray(ratio, jnp.float32)
    return _interp(visible, jnp.asarray(_TABLE_RATIOS, jnp.float32), jnp.asarray(table, jnp.float32))


# One program, as is drawing a mask below: both are also called where nothing is jitted around them.
_interp = jax.jit(jnp.interp)


def _check_kernel(kernel_frames: int) -> None:
    if kernel_frames < 1:
        raise ValueError(
            f"kernel_frames is {kernel_frames}: the box filter of Eq. 11 needs at least one frame"
        )


def sample_mask(
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    ratio: Float[Array, "..."] | float,
    kernel_frames: int,
    whole_body: Bool[Array, "..."] | bool = False,
) -> Bool[Array, "*batch frames joints"]:
    """Draws occlusion masks by Eqs. 10 and 11: M = [P̂ > θ], P̂ = box filter of length K over uniform noise.

    shape: (..., frames, joints) of the mask; True means hidden.
    ratio: expected share of hidden joints in [0, 1], one number or one a mask (leading axes of ``shape``).
    kernel_frames: K; longer kernels make longer runs (at 50 fps and ratio 0.5, K = 25 gives about 11 frames).
    whole_body: where True the joints share one noise sequence, so that the person is fully hidden or fully
    visible; one boolean or one a mask.

    The noise is K − 1 frames longer than the mask, so every frame is filtered over K values and edges are not
    biased. Raises ValueError as `threshold` does, for a ``shape`` without frames and joints, and for a
    ``ratio`` or ``whole_body`` that is neither one value nor one a mask.
    """
    if len(shape) < 2:
        raise ValueError(f"shape is {shape}: give (..., frames, joints)")
    _check_kernel(kernel_frames)
    batch = shape[:-2]
    for name, value in (("ratio", ratio), ("whole_body", whole_body)):
        if jnp.shape(value) not in ((), tuple(batch)):
            raise ValueError(
                f"{name} has shape {jnp.shape(value)}, shape is {shape}: give one value, or one a mask "
                f"{tuple(batch)}"
            )
    return _mask(key, tuple(shape), threshold(ratio, kernel_frames), kernel_frames, whole_body)


@partial(jax.jit, static_argnums=(1, 3))
def _mask(key: Any, shape: tuple[int, ...], limit: Any, kernel_frames: int, whole_body: Any) -> Any:
    *batch, frames, joints = shape
    # Sixteen random bits a value are plenty for a mean that is only compared with a threshold, and cost half.
    bits = jax.random.bits(key, (*batch, frames + kernel_frames - 1, joints), jnp.uint16)
    # Integer sums are exact, unlike a running float sum, whose rounding would drift along the clip.
    totals = jnp.cumsum(bits.astype(jnp.uint32), axis=-2)
    before = jnp.pad(totals, [(0, 0)] * len(batch) + [(1, 0), (0, 0)])[..., :frames, :]
    sums = totals[..., kernel_frames - 1 :, :] - before
    filtered = (sums.astype(jnp.float32) / kernel_frames + 0.5) / 2**16
    whole = jnp.broadcast_to(jnp.asarray(whole_body), tuple(batch))[..., None, None]
    filtered = jnp.where(whole, jnp.broadcast_to(filtered[..., :1], filtered.shape), filtered)
    return filtered > jnp.broadcast_to(limit, tuple(batch))[..., None, None]


def fill_gaps(
    keypoints: Float[Array, "*batch frames joints coordinates"],
    occluded: Bool[Array, "*batch frames joints"],
    causal: bool = False,
    times: Num[Array, " frames"] | None = None,
) -> Float[Array, "*batch frames joints coordinates"]:
    """Replaces hidden keypoints by linear interpolation in time between the nearest visible ones.

    Before the first and after the last visible frame the nearest visible value is held. With ``causal`` no
    later frame is read: the last visible value is held. A joint without any visible frame (with ``causal``,
    without one so far) takes the mean of the person's other filled joints on that frame, and zero, the centre
    of a normalised screen, where there is none. ``times`` are the frames' rising times, in any unit,
    where they are not evenly spaced. Hidden values are never read: they may be NaN.
    """
    frames = occluded.shape[-2]
    axis = occluded.ndim - 2
    here = jax.lax.broadcasted_iota(jnp.int32, occluded.shape, axis)
    previous, following = frames_around(occluded, axis)
    has_previous, has_following = previous >= 0, (following < frames) & (not causal)
    start = jnp.clip(jnp.where(has_previous, previous, following), 0, frames - 1)
    stop = jnp.clip(jnp.where(has_following, following, previous), 0, frames - 1)
    visible = zero_gaps(keypoints, occluded)

    def value_at(index: Array) -> Array:
        return jnp.take_along_axis(visible, index[..., None], axis=-3)

    stamps = jnp.arange(frames, dtype=jnp.int32) if times is None else times
    span = stamps[stop] - stamps[start]
    span = jnp.where(span > 0, span, jnp.ones_like(span))  # replaced before the division, not after
    weight = ((stamps[here] - stamps[start]) / span).astype(keypoints.dtype)[..., None]
    filled = value_at(start) * (1 - weight) + value_at(stop) * weight
    filled = jnp.where((start == stop)[..., None], value_at(start), filled)
    known = (has_previous | has_following)[..., None]
    return jnp.where(known, filled, joint_mean(filled, known))


def fill_gaps_cubic(
    keypoints: Float[Array, "*batch frames joints coordinates"],
    occluded: Bool[Array, "*batch frames joints"],
    causal: bool = False,
    times: Num[Array, " frames"] | None = None,
    fps: float = 50.0,
) -> Float[Array, "*batch frames joints coordinates"]:
    """`fill_gaps` with curves for straight lines: a gap of T seconds from x₀ to x₁, with u from 0 to 1, is

        x₀ + u (x₁ - x₀) + α T (u (1 - u)² (v₀ - s) - u² (1 - u) (v₁ - s)),   s = (x₁ - x₀) / T,
        α = exp(-T / LONG_GAP) / (1 + (SHORT_GAP / T)²),

    which for α = 1 is the cubic with the speeds v₀ and v₁ at its ends (Hermite's) and for α = 0 the line.
    A speed compares the visible frame at the gap's edge with the mean of those behind it, and is zero where
    there is none. Before the first and after the last visible frame, and with ``causal`` in every gap, the
    joint coasts: x₀ + v₀ τ (1 - exp(-t / τ)) after t seconds.

    times: the frames' rising stamps, ``fps`` of them a second (fps = 1 for stamps in seconds). What is never
    visible, and everything else, is as in `fill_gaps`. Hidden values are never read.
    """
    filled = fill_gaps(keypoints, occluded, causal, times)
    frames, axis = occluded.shape[-2], occluded.ndim - 2
    stamps = jnp.arange(frames, dtype=jnp.int32) if times is None else times

    def seconds_between(first: Array, second: Array) -> Array:
        # Stamps are subtracted before they are rounded to seconds: late in a long clip, too little is left.
        return (second - first).astype(keypoints.dtype) / fps

    visible = zero_gaps(keypoints, occluded)
    here = jax.lax.broadcasted_iota(jnp.int32, occluded.shape, axis)
    previous, following = frames_around(occluded, axis)
    has_previous, has_following = previous >= 0, (following < frames) & (not causal)
    start, stop = jnp.maximum(previous, 0), jnp.minimum(following, frames - 1)

    def look_up(values: Array, index: Array) -> Array:
        return jnp.take_along_axis(values, index[..., None], axis=-3)

    steps = seconds_between(stamps[:-1], stamps[1:])
    forward = look_up(_edge_speed(visible, occluded, jnp.pad(steps, (1, 0))), start)
    since = seconds_between(stamps[start], stamps[here])[..., None]
    correction = jnp.where((occluded & has_previous)[..., None], coast(forward, since), 0)
    if not causal:
        # Seen in a mirror of time, what follows comes before, and speeds change their sign.
        late_first, hidden = jnp.flip(visible, axis), jnp.flip(occluded, axis)
        backward = jnp.flip(_edge_speed(late_first, hidden, jnp.pad(steps[::-1], (1, 0))), axis)
        backward = look_up(backward, stop)
        until = seconds_between(stamps[here], stamps[stop])[..., None]
        unseen_yet = (occluded & has_following & ~has_previous)[..., None]
        correction = jnp.where(unseen_yet, coast(backward, until), correction)
        inside = (occluded & has_previous & has_following)[..., None]
        span = jnp.where(inside, since + until, 1)
        u = since / span
        slope = (look_up(visible, stop) - look_up(visible, start)) / span
        trust = jnp.exp(-span / LONG_GAP) / (1 + (SHORT_GAP / span) ** 2)
        curve = u * (1 - u) ** 2 * (forward - slope) + u**2 * (1 - u) * (backward + slope)
        correction = jnp.where(inside, trust * span * curve, correction)
    known = (has_previous | has_following)[..., None]
    curved = filled + correction
    return jnp.where(known, curved, joint_mean(curved, known))


def _edge_speed(
    visible: Float[Array, "*batch frames joints coordinates"],
    occluded: Bool[Array, "*batch frames joints"],
    steps: Float[Array, " frames"],
) -> Float[Array, "*batch frames joints coordinates"]:
    """(x - m) / (a + SPEED_OFFSET) on every frame: m is the mean of the earlier visible values with weights
    exp(-age / SPEED_SECONDS), and a the mean of their ages. Zero where nothing was visible before.

    visible: hidden values are zero. steps: seconds since the frame before.
    """
    axis = occluded.ndim - 2
    values, seen = jnp.moveaxis(visible, axis, 0), jnp.moveaxis(~occluded, axis, 0)[..., None]

    # One frame after another: sums over halves, in parallel, take three times as long on a processor.
    def step(sums: EdgeSums, frame: tuple[Array, Array, Array]) -> tuple[EdgeSums, Array]:
        return edge_step(sums, *frame)

    nothing = jnp.zeros_like(values[0])
    start = EdgeSums(nothing[..., :1], nothing[..., :1], nothing)
    _, speeds = jax.lax.scan(step, start, (values, seen.astype(visible.dtype), steps))
    return jnp.moveaxis(speeds, 0, axis)


class EdgeSums(NamedTuple):
    """What `edge_step` keeps of the frames before: their weights' sum, that of weight times age in seconds,
    and that of weight times value.
    """

    weight: Float[Array, "*batch joints 1"]
    ages: Float[Array, "*batch joints 1"]
    total: Float[Array, "*batch joints coordinates"]


def edge_step(sums: EdgeSums, value: Array, seen: Array, elapsed: Any) -> tuple[EdgeSums, Array]:
    """The sums with one frame more, and the speed of `_edge_speed` on that frame.

    value: zero where hidden. seen (..., joints, 1): 1 where visible and 0 elsewhere, in the dtype of value.
    elapsed: seconds since the frame before.
    """
    count, ages, total = sums
    keep = jnp.exp(-elapsed / SPEED_SECONDS)
    count, ages, total = keep * count, keep * (ages + elapsed * count), keep * total
    known = count > 1e-30
    weight = jnp.where(known, count, 1)
    speed = (value - total / weight) / (ages / weight + SPEED_OFFSET)
    return EdgeSums(count + seen, ages, total + value), jnp.where(known, speed, 0)


def coast(speed: Array, time: Array) -> Array:
    """How far a joint that is not seen again has gone after ``time`` seconds, v τ (1 - exp(-t / τ))."""
    return speed * COAST_SECONDS * -jnp.expm1(-time / COAST_SECONDS)


def joint_mean(
    keypoints: Float[Array, "*batch joints coordinates"], known: Bool[Array, "*batch joints one"]
) -> Float[Array, "*batch one coordinates"]:
    """Mean over the joints that are ``known``, zero where none is."""
    total = jnp.sum(jnp.where(known, keypoints, jnp.zeros_like(keypoints)), axis=-2, keepdims=True)
    count = jnp.sum(known, axis=-2, keepdims=True).astype(keypoints.dtype)
    return total / jnp.maximum(count, 1)


def gap_age(
    occluded: Bool[Array, "*batch frames joints"],
    times: Float[Array, " frames"],
    causal: bool = False,
) -> Float[Array, "*batch frames joints"]:
    """Seconds between each frame and the nearest one on which the joint is visible: 0 where it is, and at
    most `OLDEST_GAP`, also where the joint is never visible. In the dtype of ``times``.

    times: the frames' rising times in seconds (`frame_times`). With ``causal`` only earlier frames count.
    """
    before, after = nearest_visible(occluded, times)
    stamps = jnp.broadcast_to(times[:, None], occluded.shape)
    age = stamps - before if causal else jnp.minimum(stamps - before, after - stamps)
    return jnp.minimum(age, OLDEST_GAP)


def frames_around(
    hidden: Bool[Array, "*shape"], axis: int
) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
    """The last frame up to each that is not ``hidden``, -1 where there is none, and the first from it on, the
    number of frames where there is none. int32. axis: that of the frames, from 0.
    """
    here = jax.lax.broadcasted_iota(jnp.int32, hidden.shape, axis)
    before = jax.lax.cummax(jnp.where(hidden, -1, here), axis=axis)
    after = jax.lax.cummin(jnp.where(hidden, hidden.shape[axis], here), axis=axis, reverse=True)
    return before, after


def nearest_visible(
    occluded: Bool[Array, "*batch frames joints"], times: Float[Array, " frames"]
) -> tuple[Float[Array, "*batch frames joints"], Float[Array, "*batch frames joints"]]:
    """The times of the last frame up to each frame on which the joint is visible, and of the first from it
    on; minus and plus infinity where there is none.
    """
    axis = occluded.ndim - 2
    stamps = jnp.broadcast_to(jnp.expand_dims(times, [*range(axis), axis + 1]), occluded.shape)
    never = jnp.full_like(stamps, jnp.inf)
    before = jax.lax.cummax(jnp.where(occluded, -never, stamps), axis=axis)
    after = jax.lax.cummin(jnp.where(occluded, never, stamps), axis=axis, reverse=True)
    return before, after


def frame_times(frames: Any, fps: Any, dtype: DTypeLike = jnp.float32) -> Float[Array, " frames"]:
    """The times in seconds of frames at a steady rate, the first at 0. frames: how many, a whole number or,
    in programs for any length (`programs`), a symbolic one.
    """
    return jnp.arange(frames, dtype=dtype) / jnp.asarray(fps, dtype)


def run_length(occluded: Bool[Array, "*batch frames joints"]) -> Int[Array, "*batch frames joints"]:
    """Length in frames of the hidden run that each joint is in on each frame, 0 where it is visible. int32.

    A run that begins before the first frame or ends after the last one counts with what is seen of it.
    """
    previous, following = frames_around(occluded, occluded.ndim - 2)
    return jnp.where(occluded, following - previous - 1, 0)


def zero_gaps(
    keypoints: Float[Array, "*batch frames joints coordinates"],
    occluded: Bool[Array, "*batch frames joints"],
) -> Float[Array, "*batch frames joints coordinates"]:
    """Replaces hidden keypoints by zero, as in the paper; hidden values are never read and may be NaN."""
    return jnp.where(occluded[..., None], jnp.zeros_like(keypoints), keypoints)


def fill(
    keypoints: Float[Array, "*batch frames joints coordinates"],
    occluded: Bool[Array, "*batch frames joints"],
    how: Fill,
    causal: bool = False,
    times: Num[Array, " frames"] | None = None,
    fps: float = 50.0,
) -> Float[Array, "*batch frames joints coordinates"]:
    """`fill_gaps` for ``interpolate``, `fill_gaps_cubic` for ``cubic``, `zero_gaps` for ``zero``; raises
    ValueError for another name.
    """
    if how == "interpolate":
        return fill_gaps(keypoints, occluded, causal, times)
    if how == "cubic":
        return fill_gaps_cubic(keypoints, occluded, causal, times, fps)
    if how == "zero":
        return zero_gaps(keypoints, occluded)
    raise ValueError(f"fill is {how!r}: choose 'interpolate', 'cubic' or 'zero'")


class MaskDistribution(NamedTuple):
    """What a training window's mask is drawn from.

    masked_share: share of the windows that get a mask at all; the others teach the fully visible case.
    ratio: (low, high) of the hidden share, drawn uniformly for every masked window.
    kernel_frames: K of Eq. 11; a batch is divided evenly among the values.
    whole_body_share: share of the masked windows whose joints are hidden all together.
    """

    masked_share: float = 0.5
    ratio: tuple[float, float] = (0.02, 0.75)
    kernel_frames: tuple[int, ...] = (25, 75)
    whole_body_share: float = 0.15


def sample_training_masks(
    key: PRNGKeyArray, shape: tuple[int, int, int], distribution: MaskDistribution
) -> Bool[Array, "batch frames joints"]:
    """Draws one mask a window from ``distribution``. shape: (batch, frames, joints)."""
    batch, frames, joints = shape
    share_key, ratio_key, whole_key, mask_key = jax.random.split(key, 4)
    masked = jax.random.bernoulli(share_key, distribution.masked_share, (batch,))
    low, high = distribution.ratio
    ratio = jnp.where(masked, jax.random.uniform(ratio_key, (batch,), minval=low, maxval=high), 0.0)
    whole_body = jax.random.bernoulli(whole_key, distribution.whole_body_share, (batch,))
    # K fixes the noise's size, so it belongs to a position in the batch; which window is there is random.
    kernels = distribution.kernel_frames
    bounds = [batch * index // len(kernels) for index in range(len(kernels) + 1)]
    masks = [
        sample_mask(
            part_key, (stop - start, frames, joints), ratio[start:stop], kernel, whole_body[start:stop]
        )
        for part_key, kernel, start, stop in zip(
            jax.random.split(mask_key, len(kernels)), kernels, bounds, bounds[1:], strict=False
        )
    ]
    return jnp.concatenate(masks)
