"""From pixels and a camera to what a lifter's network reads: the one way, for training and for use.

A network reads rays about the middle of the person, at its own frame rate and at one focal length, with the
gaps filled. So neither the image size nor the lens, where the person stands in the picture nor the frame rate
of the video reaches it.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.networks.protocol import Hints, Lifter, readable
from gated_lift.occlusion import OLDEST_GAP, fill, frame_times, gap_age, nearest_visible, zero_gaps
from solvers import Camera, normalize

# Seconds: the direction that a person is seen in is averaged with weights that fall as exp(−|t| / this).
TURN_SECONDS = 0.5

# Seconds: what lies between two frames that show a joint counts as seen, unless they are further apart.
LONGEST_STEP = 0.21

# X/Z or Y/Z of the steepest ray: what lies beyond is a stray detection.
STEEPEST = 8.0


class Observation(NamedTuple):
    """What a network reads of people, frame by frame at its own rate.

    keypoints (..., T, J, 2): X/Z and Y/Z of the rays in axes that have the person in the middle, times a
    focal length; gaps filled. occluded (..., T, J): True where the joint was not seen.
    age (..., T, J): `occlusion.gap_age`, seconds.
    turn (..., T, 3, 3): the rotation from camera axes to those axes, x_turned = turn x_camera.
    hints: in those axes too.
    """

    keypoints: Float[Array, "*people T J 2"]
    occluded: Bool[Array, "*people T J"]
    age: Float[Array, "*people T J"]
    turn: Float[Array, "*people T 3 3"]
    hints: Hints = Hints()


def observe(
    lifter: Lifter,
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
    camera: Camera,
    focal: Any,
    times: Float[Array, " F"],
    turned: bool = True,
    length: Any = None,
    hints: Hints = Hints(),
) -> Observation:
    """Undoes the lens, fills gaps, turns the rays until the person is in the middle, and scales them.

    lifter: says how gaps are filled, and whether later frames may be read. keypoints: pixels; hidden ones are
    never read and may be NaN. camera: one, or one for each of the leading axes (and frames).
    focal: what rays are multiplied by, `cameras.screen_focal` of the cameras of training.
    times: of the frames, seconds, rising: at the network's own rate where the network is to lift them (see
    `observe_clip` for other rates); frames that only help to fill gaps may lie further apart.
    turned: False leaves the person where the camera sees them, for networks that were trained so elsewhere.
    length: frames that count, perhaps traced; the last of them is repeated on those after it.
    hints: for networks that read them: the world's vertical in camera axes (..., F or 1, 3), and the doubt
        (..., F, J).
    """
    filled = _filled_rays(lifter, keypoints, occluded, camera, times, length)
    if length is not None:
        here = jnp.minimum(jnp.arange(occluded.shape[-2], dtype=jnp.int32), length - 1)
        filled = jnp.take(filled, here, axis=-3)
    age = gap_age(occluded, times, lifter.causal)
    return _turned(lifter, filled, occluded, age, focal, times, turned, hints)


class Clock(NamedTuple):
    """How the frames of a clip lie among those of a network.

    rate: the clip's frames a second, perhaps traced. length: frames of the clip that count, perhaps traced;
    the last of them is repeated on those after it. frames: how many of the network's there are.
    """

    rate: Any
    length: Any
    frames: int


def network_frames(frames: int, rate: float, network_rate: float) -> int:
    """Frames at the network's rate from a clip's first frame to its last, or to just beyond it."""
    return math.ceil(round((frames - 1) * network_rate / rate, 6)) + 1


def observe_clip(
    lifter: Lifter,
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
    camera: Camera,
    focal: Any,
    clock: Clock,
    turned: bool = True,
    hints: Hints = Hints(),
) -> Observation:
    """`observe` of clips at any frame rate, on the network's frames.

    Between two frames rays are interpolated linearly (a causal network is given the earlier one). A joint
    counts as seen there when both frames show it and lie at most `LONGEST_STEP` apart; otherwise its age is
    the time to the nearest frame that shows it.
    """
    frames, dtype = keypoints.shape[-3], keypoints.dtype
    rate = jnp.asarray(clock.rate, dtype)
    times, wanted = frame_times(frames, rate, dtype), frame_times(clock.frames, lifter.fps, dtype)
    filled = _filled_rays(lifter, keypoints, occluded, camera, times, clock.length)
    before, after = nearest_visible(occluded, times)

    place = jnp.minimum(wanted * rate, jnp.asarray(clock.length - 1, dtype))
    lower, share = between_frames(place)
    if lifter.causal:
        share = jnp.zeros_like(share)
    upper = jnp.minimum(lower + (share > 0).astype(lower.dtype), frames - 1)
    mixed = mix_frames(filled, lower, upper, share, axis=-3)
    hidden = occluded[..., lower, :] | occluded[..., upper, :]
    far_apart = (share > 0) & (1 / rate > LONGEST_STEP)
    hidden = hidden | jnp.broadcast_to(far_apart[:, None], hidden.shape)
    now = jnp.broadcast_to(wanted[:, None], hidden.shape)
    age = now - before[..., lower, :]
    if not lifter.causal:
        age = jnp.minimum(age, after[..., upper, :] - now)
    age = jnp.where(hidden, jnp.clip(age, 0, OLDEST_GAP), jnp.zeros_like(age))
    up, doubt = hints
    if up is not None and up.shape[-2] > 1:
        up = jnp.take(up, lower, axis=-2)  # cameras turn little from one frame to the next
    if doubt is not None:
        doubt = mix_frames(doubt[..., None], lower, upper, share, axis=-3)[..., 0]
    return _turned(lifter, mixed, hidden, age, focal, wanted, turned, Hints(up, doubt))


def from_network_frames(
    lifter: Lifter, values: Float[Array, "*people T N 3"], clock: Clock, frames: int
) -> Float[Array, "*people F N 3"]:
    """What was found on the network's frames, on the clip's: the way back of `observe_clip`."""
    place = frame_times(frames, jnp.asarray(clock.rate, values.dtype), values.dtype) * lifter.fps
    lower, share = between_frames(jnp.minimum(place, jnp.asarray(clock.frames - 1, values.dtype)))
    return mix_frames(values, lower, jnp.minimum(lower + 1, clock.frames - 1), share, axis=-3)


def turn_back(
    answers: Float[Array, "*people T N 3"], turn: Float[Array, "*people T 3 3"]
) -> Float[Array, "*people T N 3"]:
    """Camera axes from those of an `Observation`: turnᵀ x, for poses and for roots."""
    # A sum of products, not a matmul: accelerators run float32 matmuls at reduced precision by default.
    return jnp.sum(turn[..., None, :, :] * answers[..., :, None], axis=-2)


def turn_to(
    points: Float[Array, "*people T N 3"], turn: Float[Array, "*people T 3 3"]
) -> Float[Array, "*people T N 3"]:
    """The axes of an `Observation` from those of the camera: turn x."""
    return jnp.sum(turn[..., None, :, :] * points[..., None, :], axis=-1)


def _filled_rays(
    lifter: Lifter, keypoints: Array, occluded: Array, camera: Camera, times: Array, length: Any
) -> Array:
    """X/Z and Y/Z of the rays, with what stands for hidden ones; frames from ``length`` on show nobody."""
    rays = normalize(zero_gaps(keypoints, occluded), camera)
    if length is not None:
        counted = jnp.arange(occluded.shape[-2]) < length
        occluded = occluded | ~jnp.broadcast_to(counted[:, None], occluded.shape)
    # What is to be zero is filled too, to know where the person is.
    how = "interpolate" if lifter.fill == "zero" else lifter.fill
    return fill(rays, occluded, how, lifter.causal, times, fps=1.0)


def _turned(
    lifter: Lifter,
    rays: Array,
    occluded: Array,
    age: Array,
    focal: Any,
    times: Array,
    turned: bool,
    hints: Hints,
) -> Observation:
    if turned:
        turn = turn_towards(_smooth(direction_of(rays), times, lifter.causal))
    else:
        turn = jnp.broadcast_to(jnp.eye(3, dtype=rays.dtype), (*rays.shape[:-2], 3, 3))
    up, doubt = readable(lifter, hints)
    if up is not None:
        up = jnp.broadcast_to(up, (*turn.shape[:-2], 3))
        up = turn_to(up[..., None, :], turn)[..., 0, :]
    if doubt is not None:
        doubt = jnp.where(occluded, jnp.zeros_like(doubt), doubt)
    shown = in_turned_axes(lifter, rays, occluded, turn, focal)
    return Observation(shown, occluded, age, turn, Hints(up, doubt))


def in_turned_axes(
    lifter: Lifter,
    rays: Float[Array, "*people J 2"],
    occluded: Bool[Array, "*people J"],
    turn: Float[Array, "*people 3 3"],
    focal: Any,
) -> Float[Array, "*people J 2"]:
    """The keypoints of an `Observation`: filled rays in the axes of ``turn``, times the focal length."""
    points = turn_to(jnp.concatenate([rays, jnp.ones_like(rays[..., :1])], axis=-1), turn)
    ahead = jnp.maximum(points[..., 2:], 1 / STEEPEST)
    scaled = points[..., :2] / ahead * jnp.asarray(focal, rays.dtype)
    return zero_gaps(scaled, occluded) if lifter.fill == "zero" else scaled


def direction_of(rays: Float[Array, "*people J 2"]) -> Float[Array, "*people 3"]:
    """The mean of a person's filled rays, each of length 1: where the camera sees the person."""
    steep = jnp.clip(rays, -STEEPEST, STEEPEST)
    points = jnp.concatenate([steep, jnp.ones_like(steep[..., :1])], axis=-1)
    unit = points * jax.lax.rsqrt(jnp.sum(points**2, axis=-1, keepdims=True))
    return jnp.mean(unit, axis=-2)


def turn_towards(direction: Float[Array, "*people 3"]) -> Float[Array, "*people 3 3"]:
    """Rotations that take a direction with z > 0, as that of every person is, to straight ahead: about the
    camera's vertical first, so that what is level stays level.
    """
    x, y, z = jnp.moveaxis(direction, -1, 0)
    level = jax.lax.rsqrt(x * x + z * z)
    length = jax.lax.rsqrt(x * x + y * y + z * z)
    forward = jnp.stack([x, y, z], axis=-1) * length[..., None]
    right = jnp.stack([z * level, jnp.zeros_like(x), -x * level], axis=-1)
    return jnp.stack([right, jnp.cross(forward, right), forward], axis=-2)


def _smooth(values: Array, times: Array, causal: bool) -> Array:
    """The mean (..., T, C) over time with weights exp(−|Δt| / TURN_SECONDS); of earlier frames alone if
    causal. Ends are continued by their values.
    """
    series = jnp.moveaxis(values, -2, 0)
    keep = jnp.exp(-jnp.diff(times) / TURN_SECONDS).astype(values.dtype)

    def follow(series: Array, keep: Array) -> Array:
        def step(mean: Array, each: tuple[Array, Array]) -> tuple[Array, Array]:
            value, share = each
            mean = share * mean + (1 - share) * value
            return mean, mean

        _, rest = jax.lax.scan(step, series[0], (series[1:], keep))
        return jnp.concatenate([series[:1], rest])

    means = follow(series, keep)
    if not causal:
        means = (means + follow(series[::-1], keep[::-1])[::-1]) / 2
    return jnp.moveaxis(means, 0, -2)


def between_frames(place: Array) -> tuple[Array, Array]:
    """The frame at or before each place and the share of the next one; places on a frame but for rounding
    are on it.
    """
    # The hundred-thousandth frame of a long clip is known to a few hundredths in single precision.
    near = 1e-3 + 4 * jnp.finfo(place.dtype).eps * place
    lower = jnp.floor(place + near)
    share = place - lower
    return lower.astype(jnp.int32), jnp.where(share < near, jnp.zeros_like(share), share)


def mix_frames(values: Array, lower: Array, upper: Array, share: Array, axis: int) -> Array:
    """Linear between two frames each, ``share`` of the upper one."""
    shape = [1] * values.ndim
    shape[axis] = len(share)
    share = jnp.broadcast_to(
        share.reshape(shape), (*values.shape[:axis], len(share), *values.shape[axis + 1 :])
    )
    return jnp.take(values, lower, axis) * (1 - share) + jnp.take(values, upper, axis) * share
