"""Where cameras stand and how they move: extrinsics, screen normalisation, static and hand-held virtual
cameras.

Axes: the world is right-handed with z up; a camera's x points right, y down and z forward. Lengths are
metres, image coordinates pixels with the origin at the top left, angles radians, frequencies hertz.
Intrinsics and projection live in `solvers.Camera` and `solvers.project`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers import Camera, Extrinsics

Number = float | int
Range = tuple[Number, Number]


class VirtualCamera(NamedTuple):
    """What a static virtual camera is drawn from. Every (low, high) range is sampled uniformly.

    width, height: image size in pixels. The principal point is its middle.
    focal: pixels, the same for x and y. 1145 px is Human3.6M's, a field of view of 47 degrees.
    distance: horizontal metres between the camera and its target.
    elevation: metres of the camera above the world's z = 0.
    roll_std: standard deviation of the roll about the optical axis, radians.
    aim_jitter: the farthest that the target may lie from the image centre, as fractions of half the width and
    height.
    """

    width: int = 1000
    height: int = 1000
    focal: Range = (1145.0, 1145.0)
    distance: Range = (2.5, 8.0)
    elevation: Range = (0.5, 2.5)
    roll_std: Number = math.radians(2.0)
    aim_jitter: tuple[Number, Number] = (0.35, 0.1)


def screen_focal(camera: VirtualCamera = VirtualCamera()) -> float:
    """Focal length in units of half the image's width, 2f/w, of cameras like these: what rays are multiplied
    by to be as large as keypoints on a screen that goes from −1 to 1.
    """
    return sum(camera.focal) / camera.width


def up_of(tilt: Number, roll: Number = 0.0) -> tuple[float, float, float]:
    """The world's vertical in the axes of a camera that looks ``tilt`` radians below the horizon and is then
    rolled by ``roll`` radians, clockwise as its operator sees it: (0, −1, 0) for a level one.
    """
    return (-math.sin(roll) * math.cos(tilt), -math.cos(roll) * math.cos(tilt), -math.sin(tilt))


class Wander(NamedTuple):
    """Band-limited noise: a sum of sinusoids with random phases and frequencies spread evenly over a
    logarithmic band.

    rms: root mean square of each axis over a long time. band: hertz. falloff: the amplitude falls as
    frequency to minus this power.
    """

    rms: Number
    band: Range
    falloff: Number


class HandheldCamera(NamedTuple):
    """What a hand-held camera is drawn from; `view` says where it stands and the rest how it moves.

    walking: the probability that the operator walks with the person. One who stands only pans, drifts and
    trembles.
    follow: the share of the person's motion over the ground that a walking operator copies.
    step_rate: steps a second, the frequency of the vertical bob. The lateral sway has half of it (left,
    right).
    bob, sway: amplitudes in metres of the vertical bob and of the lateral sway while walking.
    lag: time constant in seconds of the critically damped filter by which the aim follows the person.
    max_lag: bound on that lag as a fraction of the distance, so that a sprinting person stays in view.
    drift: slow motion of the hands, metres. aim_drift: slow aiming error, radians.
    tremor: rotation noise of yaw, pitch and roll, radians.
    """

    view: VirtualCamera = VirtualCamera()
    walking: Number = 0.5
    follow: Range = (0.7, 1.0)
    step_rate: Range = (1.7, 1.9)
    bob: Range = (0.02, 0.03)
    sway: Range = (0.015, 0.025)
    lag: Range = (0.1, 0.2)
    max_lag: Number = 0.15
    drift: Wander = Wander(rms=0.03, band=(0.05, 0.4), falloff=1.0)
    aim_drift: Wander = Wander(rms=math.radians(1.0), band=(0.05, 0.5), falloff=1.0)
    tremor: Wander = Wander(rms=math.radians(0.15), band=(4.0, 10.0), falloff=1.0)


def _per_frame(points: Array, extrinsics: Extrinsics) -> tuple[Array, Array]:
    """Rotation (..., F, 1, 3, 3) and position (..., F, 1, 3), broadcast to the frames of ``points`` and no
    further.

    Leading axes must be equal or absent: aligning (B,) with (B, P) from the right would mix batch and people
    silently.
    """
    rotation, position = extrinsics
    *batch, frames, _, _ = points.shape
    if rotation.shape[-2:] != (3, 3) or position.shape != rotation.shape[:-1]:
        raise ValueError(
            f"extrinsics has rotation {rotation.shape} and position {position.shape}: pass (..., F, 3, 3) "
            "and (..., F, 3)"
        )
    *lead, camera_frames, _ = position.shape
    if camera_frames not in (1, frames):
        raise ValueError(
            f"extrinsics has {camera_frames} frames and points {frames}: pass one camera a frame, or one "
            "(F = 1) for all"
        )
    if lead and len(lead) != len(batch):
        raise ValueError(
            f"extrinsics has leading axes {tuple(lead)} and points {tuple(batch)}: give it as many (of size "
            "1 where a camera is shared), or none"
        )
    rotation = jnp.broadcast_to(rotation, (*batch, frames, 3, 3))
    position = jnp.broadcast_to(position, (*batch, frames, 3))
    return rotation[..., None, :, :], position[..., None, :]


def world_to_camera(
    points: Float[Array, "*batch frames joints 3"], extrinsics: Extrinsics
) -> Float[Array, "*batch frames joints 3"]:
    """x_camera = R (x_world − c), metres.

    ``extrinsics`` has the leading axes of ``points`` or none, and F frames or one. Raises ValueError
    otherwise.
    """
    rotation, position = _per_frame(points, extrinsics)
    # A sum of products, not a matmul: accelerators run float32 matmuls at reduced precision by default.
    return jnp.sum(rotation * (points - position)[..., None, :], axis=-1)


def camera_to_world(
    points: Float[Array, "*batch frames joints 3"], extrinsics: Extrinsics
) -> Float[Array, "*batch frames joints 3"]:
    """x_world = Rᵀ x_camera + c, metres; the inverse of `world_to_camera`, with the same shapes and
    errors.
    """
    rotation, position = _per_frame(points, extrinsics)
    return jnp.sum(rotation * points[..., :, None], axis=-2) + position


def normalize_screen(
    keypoints: Float[Array, "*batch 2"], width: Number, height: Number
) -> Float[Array, "*batch 2"]:
    """x ↦ 2x/w − 1, y ↦ 2y/w − h/w (VideoPose3D's): pixels to [−1, 1] across the width, aspect ratio kept.

    Raises ValueError when ``width`` or ``height`` is not positive.
    """
    _check_image(width, height)
    x, y = keypoints[..., 0], keypoints[..., 1]
    return jnp.stack([x * (2 / width) - 1, y * (2 / width) - height / width], axis=-1)


def denormalize_screen(
    keypoints: Float[Array, "*batch 2"], width: Number, height: Number
) -> Float[Array, "*batch 2"]:
    """The inverse of `normalize_screen`: [−1, 1] across the width to pixels, with the same errors."""
    _check_image(width, height)
    x, y = keypoints[..., 0], keypoints[..., 1]
    return jnp.stack([(x + 1) * (width / 2), (y + height / width) * (width / 2)], axis=-1)


def _check_image(width: Number, height: Number) -> None:
    if not (width > 0 and height > 0):
        raise ValueError(
            f"width is {width} and height {height}: pass the image size in pixels, both above zero"
        )


def rotation_matrix(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
    """The rotation by |v| radians about v (Rodrigues' formula), the identity for v = 0.

    1 + a [v]× + b [v]×² with a = sin|v| / |v|, b = (1 − cos|v|) / |v|² and [v]×² = v vᵀ − |v|² 1

    Both factors are smooth functions of |v|², so values and derivatives of every order are finite and right
    everywhere, at v = 0 too.
    """
    square = jnp.sum(vector**2, axis=-1)
    small = square < 1
    # Replace the input, not the result: the gradient of a root at zero is not finite.
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    # The closed forms' derivatives lose their digits towards zero; the series keep them.
    near = jnp.where(small, square, 0.0)
    first = jnp.where(small, _series(near, 1), jnp.sin(angle) / angle)
    second = jnp.where(small, _series(near, 2), 2 * (jnp.sin(angle / 2) / angle) ** 2)
    x, y, z = jnp.moveaxis(vector, -1, 0)
    zero = jnp.zeros_like(x)
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    identity = jnp.expand_dims(jnp.eye(3, dtype=vector.dtype), range(x.ndim))
    first, second, square = (factor[..., None, None] for factor in (first, second, square))
    # Products of numbers, not a matmul: accelerators run float32 matmuls at reduced precision by default.
    outer = vector[..., :, None] * vector[..., None, :]
    return identity + first * cross + second * (outer - square * identity)


def _series(square: Array, order: int) -> Array:
    """Σ_k (−square)^k / (2k + order)!, exact to float64's last digits below 1."""
    total = jnp.zeros_like(square)
    for k in reversed(range(10)):
        total = 1 / math.factorial(2 * k + order) - square * total
    return total


def look_at(
    position: Float[Array, "*batch 3"], target: Float[Array, "*batch 3"], roll: Float[Array, "*batch"]
) -> Float[Array, "*batch 3 3"]:
    """Rotation from world to camera axes of a camera at ``position`` (metres) that looks at ``target``.

    Forward is the direction to the target, right is horizontal, down completes the frame; then ``roll``
    radians about forward, positive clockwise as the operator sees it. Looking straight up or down, where
    "right" is undefined, it is world x; a camera on its own target looks along world y. Both are exact and
    have finite gradients.
    """
    offset = target - position
    square = jnp.sum(offset**2, axis=-1, keepdims=True)
    nowhere = square < 1e-18
    ahead = jnp.broadcast_to(jnp.array([0.0, 1.0, 0.0], offset.dtype), offset.shape)
    # Replace the input, not the result: the gradient of a normalised zero vector is NaN.
    offset = jnp.where(nowhere, ahead, offset)
    forward = offset * jax.lax.rsqrt(jnp.where(nowhere, 1.0, square))

    horizontal_square = jnp.sum(forward[..., :2] ** 2, axis=-1, keepdims=True)
    vertical = horizontal_square < 1e-10
    zero = jnp.zeros_like(forward[..., 0])
    sign = jnp.where(forward[..., 2] < 0, -1.0, 1.0).astype(forward.dtype)
    forward = jnp.where(vertical, jnp.stack([zero, zero, sign], axis=-1), forward)
    level = jnp.stack([forward[..., 1], -forward[..., 0], zero], axis=-1)
    level = level * jax.lax.rsqrt(jnp.where(vertical, 1.0, horizontal_square))
    east = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0], forward.dtype), forward.shape)
    right = jnp.where(vertical, east, level)
    down = jnp.cross(forward, right)

    cos, sin = jnp.cos(roll)[..., None], jnp.sin(roll)[..., None]
    return jnp.stack([cos * right + sin * down, cos * down - sin * right, forward], axis=-2)


def _uniforms(key: Array, ranges: tuple[Range, ...], dtype: jnp.dtype) -> list[Array]:
    """One scalar from each (low, high). A single draw: each costs a training step time, and XLA time to
    compile.
    """
    draws = jax.random.uniform(key, (len(ranges),), dtype)
    return [low + (high - low) * draws[i] for i, (low, high) in enumerate(ranges)]


def _check_view(config: VirtualCamera) -> None:
    _check_image(config.width, config.height)
    for name in ("focal", "distance", "elevation"):
        low, high = getattr(config, name)
        if high < low or (name != "elevation" and low <= 0):
            raise ValueError(
                f"config.{name} is ({low}, {high}): pass (low, high), low first"
                + ("" if name == "elevation" else " and above zero")
            )


def _place(key: Array, config: VirtualCamera, dtype: jnp.dtype) -> tuple[Camera, Array, Array, Array, Array]:
    """Draws intrinsics, horizontal direction (2,) from the target, distance, elevation, and angles (yaw,
    pitch, roll).
    """
    _check_view(config)
    uniform_key, roll_key = jax.random.split(key)
    ranges = (config.focal, config.distance, config.elevation, (0.0, 2 * math.pi), (-1.0, 1.0), (-1.0, 1.0))
    focal, distance, elevation, azimuth, *offset = _uniforms(uniform_key, ranges, dtype)
    direction = jnp.stack([jnp.cos(azimuth), jnp.sin(azimuth)])
    half_size = jnp.array([config.width / 2, config.height / 2], dtype)
    aim = jnp.arctan(jnp.stack(offset) * half_size * jnp.array(config.aim_jitter, dtype) / focal)
    roll = jax.random.normal(roll_key, (1,), dtype) * config.roll_std
    camera = Camera(focal=jnp.stack([focal, focal]), center=half_size)
    return camera, direction, distance, elevation, jnp.concatenate([aim, roll])


def _aim(position: Array, target: Array, angles: Array) -> Array:
    """Rotations (F, 3, 3) that put ``target`` (F, 3) at the angles (F, yaw, pitch) right of and below the
    optical axis.
    """
    level = look_at(position, target, jnp.zeros_like(angles[:, 2]))
    reach = jnp.sqrt(jnp.sum((target - position) ** 2, axis=-1, keepdims=True) + 1e-12)
    shift = jnp.tan(angles[:, :2]) * reach
    aim = target - shift[:, :1] * level[:, 0] - shift[:, 1:] * level[:, 1]
    return look_at(position, aim, angles[:, 2])


def sample_static_camera(
    key: Array, target: Float[Array, "3"], config: VirtualCamera
) -> tuple[Camera, Extrinsics]:
    """A camera that stands anywhere on a ring around ``target`` (world metres) and looks at it, roughly.

    The azimuth is uniform over the circle; `VirtualCamera` names the other draws. The extrinsics have one
    frame. Deterministic per key. Raises ValueError for an empty or non-positive range.
    """
    camera, direction, distance, elevation, angles = _place(key, config, target.dtype)
    position = jnp.concatenate([target[:2] + distance * direction, elevation[None]])[None]
    return camera, Extrinsics(_aim(position, target[None], angles[None]), position)


NUM_TONES = 6


def wander(
    key: Array, times: Float[Array, " frames"], configs: tuple[Wander, ...], num_axes: int
) -> Float[Array, "kinds frames axes"]:
    """Σ_k a_k sin(2π f_k t + φ_k): band-limited noise at ``times`` (seconds), independent on every axis.

    One block of the result for each of ``configs``. A function of time, not of frames: the same key at
    another frame rate samples the same motion. The peak is at most √(2 · NUM_TONES) times the rms. Raises
    ValueError when a band is not 0 < low <= high.
    """
    for config in configs:
        low, high = config.band
        if not 0 < low <= high:
            raise ValueError(
                f"configs has the band ({low}, {high}): pass (low, high) in hertz with 0 < low <= high"
            )
    dtype = times.dtype
    lows = jnp.array([config.band[0] for config in configs], dtype)[:, None, None]
    widths = jnp.array([math.log(config.band[1] / config.band[0]) for config in configs], dtype)[
        :, None, None
    ]
    falloff = jnp.array([config.falloff for config in configs], dtype)[:, None, None]
    rms = jnp.array([config.rms for config in configs], dtype)[:, None, None]

    # One frequency in each of NUM_TONES slices of the band: every draw fills the band and none leaves it.
    # Drawn flat: XLA takes six times as long to compile the same draw of a four-dimensional array.
    shape = (2, len(configs), num_axes, NUM_TONES)
    draws = jax.random.uniform(key, (math.prod(shape),), dtype).reshape(shape)
    slices = jnp.arange(NUM_TONES, dtype=dtype)[None, None, :]
    exponent = (slices + draws[0]) * widths / NUM_TONES
    relative, weight = jnp.exp(exponent), jnp.exp(-falloff * exponent)
    amplitude = rms * weight * jnp.sqrt(2 / jnp.sum(weight**2, axis=-1, keepdims=True))
    # Whole turns are dropped before the sine: float32 keeps few digits of the phase of a long clip.
    turns = times[None, :, None, None] * (lows * relative)[:, None] + draws[1][:, None]
    tones = jnp.sin(2 * math.pi * (turns - jnp.floor(turns)))
    return jnp.sum(amplitude[:, None] * tones, axis=-1)


def _follow(path: Array, decay: Array) -> Array:
    """The path (F, 3) behind two low-pass filters in a row, y_t = d y_{t-1} + (1 − d) x_t, both started on
    it.
    """

    def step(state: tuple[Array, Array], point: Array) -> tuple[tuple[Array, Array], Array]:
        once = decay * state[0] + (1 - decay) * point
        twice = decay * state[1] + (1 - decay) * once
        return (once, twice), twice

    # Not an associative scan: that takes XLA ten times as long to compile and is no faster on short windows.
    return jax.lax.scan(step, (path[0], path[0]), path)[1]


def sample_handheld_camera(
    key: Array, targets: Float[Array, "frames 3"], fps: Number | Float[Array, ""], config: HandheldCamera
) -> tuple[Camera, Extrinsics]:
    """A camera in someone's hands that keeps ``targets`` (a person's path, world metres) in view.

    position(t) = m + g (s(t) − m) + r e + drift(t) + sway(t), with m the middle of the path, s the path as
    the operator sees it (filtered by the lag), g the share that a walking operator copies (0 for one who
    stands), e a random horizontal direction and r = distance + (1 − g) max_t |s − m|. So the person never
    walks through the camera: the distance stays above `view.distance`'s low end but for lag, drift and sway.
    The aim lags the person by a critically damped filter that starts on the person; slow aiming errors and
    tremor (4–10 Hz) turn the camera on all axes.

    Smooth, deterministic per key, with every frequency in hertz at any ``fps``. Raises ValueError for bad
    ranges, no frame, or a frame rate that is not positive (when it is a Python number).
    """
    frames = targets.shape[0]
    if frames == 0:
        raise ValueError("targets has 0 frames: pass at least one")
    if isinstance(fps, float | int) and not fps > 0:
        raise ValueError(f"fps is {fps}: pass frames a second, above zero")
    dtype = targets.dtype
    place_key, walk_key, gait_key, wander_key = jax.random.split(key, 4)
    camera, direction, distance, elevation, angles = _place(place_key, config.view, dtype)

    walking = jax.random.bernoulli(walk_key, config.walking).astype(dtype)
    ranges = (config.follow, config.step_rate, config.bob, config.sway, config.lag, (0.0, 1.0), (0.0, 1.0))
    follow, step_rate, bob, sway, lag, bob_phase, sway_phase = _uniforms(gait_key, ranges, dtype)
    follow, bob, sway = walking * follow, walking * bob, walking * sway

    fps = jnp.asarray(fps, dtype)
    times = jnp.arange(frames, dtype=dtype) / fps
    # Backward Euler: behind a person at constant speed this filter is late by exactly `lag` at any frame
    # rate.
    decay = fps * lag / (1 + fps * lag)
    behind = _follow(targets, decay) - targets
    bound = config.max_lag * distance
    behind = behind * bound * jax.lax.rsqrt(bound**2 + jnp.sum(behind**2, axis=-1, keepdims=True))
    seen = targets + behind

    ground = seen[:, :2]
    middle = (jnp.max(ground, axis=0, keepdims=True) + jnp.min(ground, axis=0, keepdims=True)) / 2
    left_over = (1 - follow) * (ground - middle)
    radius = distance + jnp.sqrt(jnp.max(jnp.sum(left_over**2, axis=-1)) + 1e-12)
    base = middle + follow * (ground - middle) + radius * direction[None]
    base = jnp.concatenate([base, jnp.full((frames, 1), 1.0, dtype) * elevation], axis=-1)
    lateral = jnp.stack([-direction[1], direction[0], jnp.zeros((), dtype)])[None]
    up = jnp.array([[0.0, 0.0, 1.0]], dtype)

    def steps(rate: Array, offset: Array) -> Array:
        return jnp.sin(2 * math.pi * ((times * rate + offset) % 1.0))[:, None]

    drift, aim_drift, tremor = wander(wander_key, times, (config.drift, config.aim_drift, config.tremor), 3)
    position = (
        base
        + drift
        + bob * steps(step_rate, bob_phase) * up
        + sway * steps(step_rate / 2, sway_phase) * lateral
    )

    return camera, Extrinsics(_aim(position, seen, angles[None] + aim_drift + tremor), position)
