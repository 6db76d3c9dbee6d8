"""A model of a 2D keypoint detector: what it would report for true keypoints that are partly hidden."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Number = float | int


class Detections(NamedTuple):
    """keypoints: (..., F, J, 2) pixels. confidence: (..., F, J) in [0, 1]."""

    keypoints: Array
    confidence: Array


class DetectorConfig(NamedTuple):
    """How a detector errs. Lengths are fractions of the person's height in pixels, times seconds.

    noise, hidden_noise: standard deviation of each coordinate where coverage is 0 and 1, linear between.
    0.008 is 2 px for a person 250 px tall.
    noise_seconds: time constant of the noise; its autocorrelation is exp(−t / noise_seconds).
    outlier_rate, hidden_outlier_rate: share of frames with a gross error where coverage is 0 and 1.
    outlier_seconds: mean time for which a gross error holds.
    outlier_size: mean length of a gross error; each is between half and one and a half of it.
    swap_rate: share of frames on which the whole person's left and right are exchanged.
    swap_seconds: mean time for which a swap holds.
    confidence_logit, coverage_logit, error_logit: confidence = σ(confidence_logit − coverage_logit · coverage
    − error_logit · log(1 + |error| / 1 % of the height)). By default a visible joint has about 0.93, one that
    is half hidden 0.36, a hidden one 0.05, and half of the gross errors on visible joints stay above 0.3.
    """

    noise: Number = 0.008
    hidden_noise: Number = 0.05
    noise_seconds: Number = 0.2
    outlier_rate: Number = 0.005
    hidden_outlier_rate: Number = 0.1
    outlier_seconds: Number = 0.15
    outlier_size: Number = 0.15
    swap_rate: Number = 0.002
    swap_seconds: Number = 0.15
    confidence_logit: Number = 3.8
    coverage_logit: Number = 4.0
    error_logit: Number = 1.7


def _check(keypoints: Array, coverage: Array, height: Array, config: DetectorConfig, joints: int) -> None:
    if coverage.shape != keypoints.shape[:-1] or height.shape != keypoints.shape[:-2]:
        raise ValueError(
            f"keypoints has shape {keypoints.shape}, coverage {coverage.shape} and person_height_px "
            f"{height.shape}: pass (..., F, J, 2), (..., F, J) and (..., F)"
        )
    if joints != keypoints.shape[-2]:
        raise ValueError(
            f"mirror has {joints} joints and keypoints {keypoints.shape[-2]}: pass the mirror of their "
            "skeleton"
        )
    for name in ("noise_seconds", "outlier_seconds", "swap_seconds"):
        if not getattr(config, name) > 0:
            raise ValueError(f"config.{name} is {getattr(config, name)}: pass seconds above zero")
    for name in ("outlier_rate", "hidden_outlier_rate", "swap_rate"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"config.{name} is {getattr(config, name)}: pass a share between 0 and 1")


def _uniform(word: Array, shift: int, num_bits: int, dtype: jnp.dtype) -> Array:
    """Uniform in (0, 1) from some bits of a random word; other bits of the same word are independent of it.

    A training step pays for random words, and no draw here needs all 32 bits of one.
    """
    cut = (word >> shift) & jnp.uint32(2**num_bits - 1)
    return (cut.astype(dtype) + 0.5) * 2.0**-num_bits


def _normal(word: Array, shift: int, dtype: jnp.dtype) -> Array:
    """Standard normal from 16 bits of a random word: within 4.3, in 65 536 steps of equal probability."""
    return math.sqrt(2) * jax.lax.erf_inv(2 * _uniform(word, shift, 16, dtype) - 1)


def detect(
    key: Array,
    keypoints: Float[Array, "*batch frames joints 2"],
    coverage: Float[Array, "*batch frames joints"],
    person_height_px: Float[Array, "*batch frames"],
    config: DetectorConfig,
    fps: Number | Float[Array, ""],
    mirror: tuple[int, ...] | None = None,
) -> Detections:
    """detected = true + h σ(coverage) n + h g, with h the person's height in pixels and n, g random in time.

    n is a stationary first-order autoregression, n_t = a n_{t−1} + √(1 − a²) e_t with a = exp(−1 / (fps τ)),
    so that its autocorrelation in seconds is the same at every frame rate. g is zero but for gross errors: a
    uniform variable that is renewed at random times (on average every `outlier_seconds`) says whether there
    is one, which way and how far, so that one error holds for several frames. Both start in their stationary
    state: the first frame is like any other.

    keypoints: true pixels, origin top left. coverage: 0 (visible) to 1 (hidden), as `bodies.body_occlusion`
    gives it. person_height_px: the person's size in the picture, for example that of the keypoints' box.
    fps: frames a second. mirror: `Skeleton.mirror`; without it left and right are never exchanged.
    A joint that is not finite, or whose person's height is not finite and positive, is reported as (0, 0)
    with confidence 0, as detectors report a miss, and touches no other joint. A NaN coverage counts as
    hidden. Deterministic per key; dtypes follow ``keypoints``. Raises ValueError for shapes that do not fit,
    a rate outside [0, 1], or a time or frame rate that is not positive.
    """
    _check(
        keypoints, coverage, person_height_px, config, keypoints.shape[-2] if mirror is None else len(mirror)
    )
    if isinstance(fps, float | int) and not fps > 0:
        raise ValueError(f"fps is {fps}: pass frames a second, above zero")
    dtype = keypoints.dtype
    fps = jnp.asarray(fps, dtype)
    *batch, frames, joints, _ = keypoints.shape

    # Mask first: what is not finite must not reach a sum or a product.
    sized = jnp.isfinite(person_height_px) & (person_height_px > 0)
    seen = jnp.all(jnp.isfinite(keypoints), axis=-1) & sized[..., None]
    keypoints = jnp.where(seen[..., None], keypoints, 0)
    height = jnp.where(sized, person_height_px, 1)[..., None]
    coverage = jnp.where(jnp.isnan(coverage), 1, jnp.clip(coverage, 0, 1))

    words = _words_in_time(key, (frames, *batch, joints), config, fps)
    noise_x, noise_y, outlier, swap = (jnp.moveaxis(word, 0, len(batch)) for word in words)

    if mirror is not None:
        order = jnp.array(mirror)
        swapped = (_uniform(swap, 8, 24, dtype) < config.swap_rate)[..., None] & seen & seen[..., order]
        keypoints = jnp.where(swapped[..., None], keypoints[..., order, :], keypoints)
        coverage = jnp.where(swapped, coverage[..., order], coverage)

    deviation = config.noise + (config.hidden_noise - config.noise) * coverage
    rate = config.outlier_rate + (config.hidden_outlier_rate - config.outlier_rate) * coverage
    gross = _uniform(outlier, 16, 16, dtype) < rate
    turn = 2 * math.pi * _uniform(outlier, 8, 8, dtype)
    length = config.outlier_size * (0.5 + _uniform(outlier, 0, 8, dtype))
    length = jnp.where(gross, length, 0)
    error_x = deviation * noise_x + length * jnp.cos(turn)
    error_y = deviation * noise_y + length * jnp.sin(turn)

    error = jnp.sqrt(error_x**2 + error_y**2 + 1e-12)
    logit = config.confidence_logit - config.coverage_logit * coverage
    confidence = jax.nn.sigmoid(logit - config.error_logit * jnp.log1p(100 * error))
    detected = keypoints + jnp.stack([error_x, error_y], axis=-1) * height[..., None]
    return Detections(jnp.where(seen[..., None], detected, 0), jnp.where(seen, confidence, 0))


_State = tuple[Array, Array, Array, Array]


def _words_in_time(key: Array, shape: tuple[int, ...], config: DetectorConfig, fps: Array) -> _State:
    """Draws what is random, correlated over the first axis (frames): two noises and two held random words.

    Noises and outlier words have ``shape`` (F, ..., J), swap words (F, ...): a swap exchanges all joints.
    """
    dtype = fps.dtype
    keep = jnp.exp(-1 / (fps * config.noise_seconds))
    gain = jnp.sqrt(-jnp.expm1(-2 / (fps * config.noise_seconds)))
    renew_outlier = -jnp.expm1(-1 / (fps * config.outlier_seconds))
    renew_swap = -jnp.expm1(-1 / (fps * config.swap_seconds))

    def step(state: _State, fresh: list[Array]) -> tuple[_State, _State]:
        x, y, outlier, swap = state
        noise, fresh_outlier, fresh_swap, chance, swap_chance = fresh
        state = (
            keep * x + gain * _normal(noise, 16, dtype),
            keep * y + gain * _normal(noise, 0, dtype),
            jnp.where(_uniform(chance, 8, 24, dtype) < renew_outlier, fresh_outlier, outlier),
            jnp.where(_uniform(swap_chance, 8, 24, dtype) < renew_swap, fresh_swap, swap),
        )
        return state, state

    shapes = (shape, shape, shape[:-1], shape, shape[:-1])
    keys = jax.random.split(key, len(shapes))
    # Drawn flat: XLA takes several times as long to compile the same draw of an array of many dimensions.
    fresh = [
        jax.random.bits(k, (math.prod(s),), jnp.uint32).reshape(s) for k, s in zip(keys, shapes, strict=True)
    ]
    noise, outlier, swap = (draw[0] for draw in fresh[:3])
    first = (_normal(noise, 16, dtype), _normal(noise, 0, dtype), outlier, swap)
    _, rest = jax.lax.scan(step, first, [draw[1:] for draw in fresh])
    return jax.tree.map(lambda start, later: jnp.concatenate([start[None], later]), first, rest)


# How detectors' confidences differ from `detect`'s, on the logistic scale: the range of the slope, and the
# standard deviations of a detector's offset and of each joint's own.
SLOPES, OFFSET_STD, JOINT_STD = (0.3, 1.2), 0.7, 0.7


def as_another_detector(
    key: Array, confidence: Float[Array, "frames joints"]
) -> Float[Array, "frames joints"]:
    """The confidence that another detector would tell of the same joints, σ(a · logit(c) + b + n): a and b
    are drawn once, n for every joint and frame, so that who reads it learns no more than that a higher one
    tends to be nearer to the truth.
    """
    slope_key, offset_key, joint_key = jax.random.split(key, 3)
    slope = jax.random.uniform(slope_key, (), confidence.dtype, *SLOPES)
    offset = OFFSET_STD * jax.random.normal(offset_key, (), confidence.dtype)
    own = JOINT_STD * jax.random.normal(joint_key, confidence.shape, confidence.dtype)
    logit = jnp.log(jnp.clip(confidence, 1e-4, 1 - 1e-4))
    logit -= jnp.log1p(-jnp.clip(confidence, 1e-4, 1 - 1e-4))
    return jax.nn.sigmoid(slope * logit + offset + own)


def hidden_by_confidence(
    confidence: Float[Array, "*batch"], threshold: Number | Float[Array, ""] = 0.3
) -> Bool[Array, "*batch"]:
    """occluded = ¬(confidence >= threshold): True where a joint counts as hidden. A NaN confidence is
    hidden.
    """
    return ~(confidence >= threshold)
