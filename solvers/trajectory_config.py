"""Settings of the trajectory solve, and what its arguments have to be."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers.pinhole import (
    Camera,
    Extrinsics,
    Intrinsics,
    as_array,
    has_arrays,
    is_traced,
    shape_of,
    split_camera,
)
from solvers.robust import LOSSES, Loss
from solvers.trajectory_rows import MILLIMETRES

# The camera and the rate at which lambda_1 and lambda_2 mean what Eq. 9 says: pixels of the paper's cameras,
# frames of its films. Elsewhere the solvers resize the image and scale the weights to these two.
REFERENCE_FPS = 50.0
REFERENCE_FOCAL = 1145.0


class TrajectoryConfig(NamedTuple):
    """Settings of Eq. 9 and of its solution.

    Pixels are those of the image resized to a focal length of `REFERENCE_FOCAL`, and the weights those at
    `REFERENCE_FPS` frames a second: the same motion filmed at another size or rate gets the same path.

    velocity_weight, acceleration_weight: lambda_1 and lambda_2, for squared pixels against squared
    millimetres; one number, or three for the axes that are solved in (people hardly move up and down).
    max_steps: most Gauss-Newton steps, rejected ones included.
    tolerance: metres; a person has converged when no coordinate moves by more (or by more than rounding
    allows).
    window: frames that are solved together, one window after the other; None solves the whole clip at once.
    The
        paper uses 100. The last window may be shorter.
    keypoint_std: standard deviation of a visible keypoint in pixels, which scales the covariance and nothing
    else.
    size_std: relative standard deviation of a person's size. One camera cannot tell a small person near by
        from a tall one farther off: it adds size_std^2 C C^T to the covariance, and changes nothing else.
    bias_std: standard deviation in pixels of errors that all joints of a person share for many frames, which
        no path through them averages out: it adds (bias_std / f)^2 (|C|^2 I - C C^T), f the geometric mean
        of the focal lengths, to the covariance, and changes nothing else.
    loss: what a joint's pixel error e costs: "squared" e^2; "huber" e^2 up to s = loss_scale, 2 s e - s^2
        beyond; "geman_mcclure" e^2 / (1 + e^2 / s^2), at most s^2, started from Huber's solution, for which
        max_steps counts anew. The robust ones bound what a wrongly detected joint can do.
    distance_range: metres from the camera, nearest and farthest, between which people are believed to stand;
        somebody who is outside on more than a tenth of the frames that show them gets the status
        IMPLAUSIBLE_DISTANCE. (0.0, inf) believes everything.
    loss_scale: s, in pixels, positive; None takes 5 for Huber's loss and 20 for Geman-McClure's, which suit
        people some 400 px tall. "squared" has none.
    """

    velocity_weight: Any = 1.0
    acceleration_weight: Any = 1.0
    max_steps: int = 60
    tolerance: float = 1e-7
    window: int | None = None
    keypoint_std: Any = 1.0
    size_std: Any = 0.0
    bias_std: Any = 0.0
    loss: str = "squared"
    loss_scale: float | None = None
    distance_range: tuple[float, float] = (0.3, 100.0)

    @classmethod
    def from_noise(
        cls,
        keypoint_std: Any,
        speed_std: Any,
        acceleration_std: Any,
        fps: float | None = None,
        **settings: Any,
    ) -> "TrajectoryConfig":
        """Weights from what they stand for. Eq. 9 is then 2 sigma_px^2 times the negative logarithm of the
        posterior, up to a constant, for independent Gaussian keypoint errors, velocities and accelerations:

            lambda_1 = (sigma_px 50 / (1000 sigma_v))^2,   lambda_2 = (sigma_px 50^2 / (1000 sigma_a))^2

        with `REFERENCE_FPS` = 50, from which the solve goes on to the clip's own rate.

        keypoint_std: pixels of the image resized to `REFERENCE_FOCAL`; speed_std: metres a second;
        acceleration_std: metres a second squared, each for one coordinate, one number or three for the axes;
        infinity leaves the term out. fps: accepted for callers of version 0.1 and without influence, because
        the solve itself is told the rate. settings: the other fields. Raises ValueError for what is not
        positive.
        """
        named = {"keypoint_std": keypoint_std, "speed_std": speed_std, "acceleration_std": acceleration_std}
        if fps is not None:
            check_rate(fps)
        for name, value in named.items():
            shapes = [(), (3,)] if name in ("speed_std", "acceleration_std") else [()]
            if shape_of(value) not in shapes:
                three = ", or three for the axes" if len(shapes) > 1 else ""
                raise ValueError(f"{name} has shape {shape_of(value)}: pass one number{three}")
            if not is_traced(value) and not np.all(np.asarray(value) > 0):
                raise ValueError(f"{name} is {value}: pass a positive number")

        def weight(std: Any, rate: float) -> Any:
            if has_arrays(std):
                std = jnp.stack([jnp.asarray(value) for value in std])
            std = std if isinstance(std, Array) else np.asarray(std, float)
            return (keypoint_std * rate / (MILLIMETRES * std)) ** 2

        return cls(
            weight(speed_std, REFERENCE_FPS),
            weight(acceleration_std, REFERENCE_FPS**2),
            keypoint_std=keypoint_std,
            **settings,
        )


DEFAULT_CONFIG = TrajectoryConfig()


class Spreads(NamedTuple):
    """The standard deviations of `TrajectoryConfig` that scale the covariance."""

    keypoint_std: Any
    size_std: Any
    bias_std: Any


class Settings(NamedTuple):
    """What `TrajectoryConfig` comes to in numbers: the two weights have three each, whatever they came as, so
    that the compiled function is the same.
    """

    weights: tuple[Any, Any]
    spreads: Spreads
    loss: Loss
    distances: Any


def _remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Plain numbers are read once: reading them again would take a tenth of a short clip's solve. Arrays are
    read every time.
    """
    cached = functools.lru_cache(maxsize=64)(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            hash(arguments)
        except TypeError:
            return function(*arguments)
        return cached(*arguments)

    return call


@_remembered
def read_config(config: TrajectoryConfig, dtype: Any) -> Settings:
    """Its numbers; ValueError for those that are out of range and not traced."""
    _check_config(config)
    _check_loss(config)

    def per_axis(weight: Any) -> Any:
        weight = as_array(weight, dtype)
        return jnp.broadcast_to(weight, (3,)) if isinstance(weight, Array) else np.broadcast_to(weight, (3,))

    loss, usual = LOSSES[config.loss]
    scale = usual if config.loss_scale is None else config.loss_scale
    return Settings(
        (per_axis(config.velocity_weight), per_axis(config.acceleration_weight)),
        Spreads(*(as_array(getattr(config, name), dtype) for name in Spreads._fields)),
        loss() if usual is None else loss(as_array(scale, dtype)),
        np.asarray(config.distance_range, dtype),
    )


def check_rate(fps: Any) -> None:
    """ValueError for what is no number, and for a concrete number that is not finite and positive."""
    if shape_of(fps) != ():
        raise ValueError(f"fps has shape {shape_of(fps)}: pass one number of frames a second")
    if not is_traced(fps) and not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}: pass the clip's frames a second, finite and above zero")


@_remembered
def read_rate(fps: Any, dtype: Any) -> Any:
    """fps in ``dtype``, checked."""
    check_rate(fps)
    return as_array(fps, dtype)


def at_rate(weights: tuple[Array, Array], fps: Array) -> tuple[Array, Array]:
    """lambda_1 (fps / 50)^2 and lambda_2 (fps / 50)^4: speeds and accelerations of one size cost the same at
    every rate. NaN where a weight or the rate is out of range, which makes a status, and whose gradient is
    zero.
    """
    running = jnp.isfinite(fps) & (fps > 0)
    ratio = jnp.where(running, fps, REFERENCE_FPS) / REFERENCE_FPS

    def scaled(weight: Array, power: int) -> Array:
        sound = jnp.isfinite(weight) & (weight >= 0)
        value = jnp.where(sound, weight, jnp.ones_like(weight)) * ratio**power
        return jnp.where(sound & running, value, jnp.nan)

    return scaled(weights[0], 2), scaled(weights[1], 4)


@_remembered
def read_camera(camera: Camera, dtype: Any, lead: tuple[int, ...], first: int | None = 0) -> Intrinsics:
    """Its numbers; ValueError for leading axes that are not the first of ``lead`` or 1, and for concrete
    focal lengths that are not positive, on frames before ``first`` excepted (None: on all).
    """
    intrinsics = split_camera(camera, dtype)
    _check_camera(intrinsics, lead, first)
    return intrinsics


class Arguments(NamedTuple):
    """What a clip is made of, checked, still in the dtypes it came in and where it was. begin: the first
    frame that has a say, or None. velocity, velocity_std: both or neither.
    """

    poses: Any
    keypoints: Any
    occluded: Any
    confidence: Any
    extrinsics: Extrinsics | None
    begin: Any
    velocity: Any = None
    velocity_std: Any = None

    @property
    def dtype(self) -> Any:
        """That of the arithmetic."""
        return arithmetic_dtype(self.poses.dtype)

    def cast(self) -> "Arguments":
        """Floating point arrays in ``dtype``, and begin within the clip. For jitted code: what stands at a
        hidden joint may be NaN, and a conversion outside would show it to `jax.debug_nans`.
        """

        def converted(values: Any) -> Any:
            return None if values is None else jnp.asarray(values).astype(self.dtype)

        count = jnp.asarray(self.poses.shape[-3])
        return self._replace(
            poses=converted(self.poses),
            keypoints=converted(self.keypoints),
            confidence=converted(self.confidence),
            velocity=converted(self.velocity),
            velocity_std=converted(self.velocity_std),
            begin=None if self.begin is None else jnp.clip(jnp.asarray(self.begin, count.dtype), 0, count),
        )


def read_arguments(
    poses: Any,
    keypoints: Any,
    occluded: Any,
    confidence: Any,
    extrinsics: Extrinsics | None,
    begin: Any,
    velocity: Any = None,
    velocity_std: Any = None,
) -> Arguments:
    """The arguments of a clip; ValueError for what a solver cannot take."""
    poses, keypoints, occluded = (
        as_given(name, values)
        for name, values in (("poses", poses), ("keypoints", keypoints), ("occluded", occluded))
    )
    check_arrays(poses, keypoints, occluded)
    *people, frames, _, _ = poses.shape
    if confidence is not None:
        confidence = as_given("confidence", confidence)
        check_confidence(confidence, poses.shape[:-1])
    dtype = arithmetic_dtype(poses.dtype)
    begin = None if begin is None else read_begin(begin, frames)
    path = None
    if extrinsics is not None:
        path = check_path(extrinsics, tuple(people), frames, dtype, first_frame(begin))
    if velocity is not None or velocity_std is not None:
        velocity, velocity_std = _read_velocity(velocity, velocity_std, poses.shape[:-2])
    return Arguments(poses, keypoints, occluded, confidence, path, begin, velocity, velocity_std)


def _read_velocity(velocity: Any, velocity_std: Any, lead: tuple[int, ...]) -> tuple[Any, Any]:
    """Both as they were given; ValueError for one without the other, other shapes, and concrete deviations
    that are not positive.
    """
    if velocity is None or velocity_std is None:
        missing = "velocity" if velocity is None else "velocity_std"
        raise ValueError(f"{missing} is missing: pass velocity and velocity_std together, or neither")
    velocity, velocity_std = as_given("velocity", velocity), as_given("velocity_std", velocity_std)
    for name, values, shapes in (
        ("velocity", velocity, ((*lead, 3),)),
        ("velocity_std", velocity_std, ((*lead, 3), (*lead, 1))),
    ):
        if values.shape not in shapes or not jnp.issubdtype(values.dtype, jnp.floating):
            raise ValueError(
                f"{name} has shape {values.shape} and dtype {values.dtype}, poses has leading axes {lead}: "
                f"pass floating point numbers, {' or '.join(map(str, shapes))}"
            )
    if not is_traced(velocity_std) and np.any(np.asarray(velocity_std) <= 0):
        raise ValueError(
            "velocity_std holds numbers that are not positive: pass metres a second, infinite where nothing "
            "is known"
        )
    return velocity, velocity_std


def arithmetic_dtype(given: Any) -> Any:
    """The dtype that a solver computes in: float32 for shorter ones, which have too few digits for a path."""
    dtype = jax.dtypes.canonicalize_dtype(given)
    return dtype if jnp.finfo(dtype).bits >= 32 else np.dtype(np.float32)


def refuse_masked(name: str, values: Any) -> None:
    """Raises ValueError, naming the argument and the mend, for one of NumPy's masked arrays.

    JAX takes none, and NumPy's own functions would drop the mask in silence: what a detector missed has to
    come as ``occluded``.
    """
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.count_masked(values))
        raise ValueError(
            f"{name} is a masked array with {masked} of {values.size} values masked: give its data and mark "
            f"what is masked as hidden, {name}.filled(0) and occluded | np.ma.getmaskarray({name}).any(-1)"
        )


def as_given(name: str, values: Any) -> Any:
    """An array where it is, NumPy's on the host: converting it would cost a tenth of a short clip's solve.
    Raises ValueError for a masked array, whose mask every conversion would drop.
    """
    refuse_masked(name, values)
    if isinstance(values, Array | np.ndarray):
        return values
    return jnp.asarray(values) if has_arrays(values) else np.asarray(values)


def read_begin(begin: Any, frames: int) -> Any:
    if np.shape(begin) != () or not jnp.issubdtype(jnp.result_type(begin), jnp.integer):
        raise ValueError(f"begin is {begin!r}: pass one whole number of frames")
    if not is_traced(begin) and not 0 <= begin < frames:
        raise ValueError(f"begin is {begin}, the clip has {frames} frames: pass 0 to {frames - 1}")
    return begin if isinstance(begin, Array) else np.asarray(begin, np.int32)


def first_frame(begin: Any) -> int | None:
    """The first frame whose numbers have to be sound, None where that is not known before tracing ends."""
    if begin is None:
        return 0
    return None if is_traced(begin) else int(begin)


def check_arrays(poses: Any, keypoints: Any, occluded: Any) -> None:
    wanted = "poses (..., F, J, 3), keypoints (..., F, J, 2), occluded (..., F, J)"
    if poses.ndim < 3 or poses.shape[-1] != 3:
        raise ValueError(f"poses has shape {poses.shape}: pass {wanted}")
    if keypoints.ndim < 3 or keypoints.shape[-1] != 2:
        raise ValueError(f"keypoints has shape {keypoints.shape}: pass {wanted}, without confidences")
    for name, values in (("poses", poses), ("keypoints", keypoints)):
        if not jnp.issubdtype(values.dtype, jnp.floating):
            raise ValueError(f"{name} has dtype {values.dtype}: pass floating point numbers")
    if occluded.dtype != jnp.bool_:
        raise ValueError(f"occluded has dtype {occluded.dtype}: pass booleans, True = hidden")
    if 0 in poses.shape:
        raise ValueError(
            f"poses has shape {poses.shape}, which is empty: pass a person, a frame and a joint at least"
        )
    for name, shape in (("keypoints", keypoints.shape[:-1]), ("occluded", occluded.shape)):
        if shape == poses.shape[:-1]:
            continue
        if len(shape) == poses.ndim - 1:
            for axis, what in ((-1, "joints"), (-2, "frames")):
                if shape[axis] != poses.shape[axis - 1]:
                    raise ValueError(
                        f"{name} has {shape[axis]} {what}, poses has {poses.shape[axis - 1]}: "
                        f"bring both to the same {what}"
                    )
        raise ValueError(f"{name} has leading axes {shape}, poses has {poses.shape[:-1]}: pass {wanted}")


def check_confidence(confidence: Any, wanted: tuple[int, ...]) -> None:
    if confidence.shape != wanted:
        raise ValueError(
            f"confidence has shape {confidence.shape}, poses has leading axes {wanted}: "
            "pass one number a joint, (..., F, J)"
        )
    if not jnp.issubdtype(confidence.dtype, jnp.floating):
        raise ValueError(f"confidence has dtype {confidence.dtype}: pass floating point numbers")


def _check_config(config: TrajectoryConfig) -> None:
    for name in ("velocity_weight", "acceleration_weight", *Spreads._fields):
        value = getattr(config, name)
        if shape_of(value) != () and (shape_of(value) != (3,) or not name.endswith("_weight")):
            three = ", or three for the axes" if name.endswith("_weight") else ""
            raise ValueError(f"config.{name} has shape {shape_of(value)}: pass one number{three}")
        if is_traced(value):
            continue
        numbers = np.asarray(value)
        if not np.all(np.isfinite(numbers) & (numbers >= 0)):
            raise ValueError(f"config.{name} is {value}: pass a finite number that is not negative")
    distances = config.distance_range
    if np.shape(distances) != (2,) or not 0 <= distances[0] < distances[1]:
        raise ValueError(
            f"config.distance_range is {distances}: pass the nearest and the farthest metres, "
            "(0.3, 100.0) for instance"
        )
    if config.max_steps < 1 or not config.tolerance > 0:
        raise ValueError(
            f"config.max_steps is {config.max_steps} and config.tolerance {config.tolerance}: "
            "both must be positive"
        )
    if config.window is not None and config.window < 1:
        raise ValueError(
            f"config.window is {config.window}: pass a number of frames, or None for the whole clip"
        )


def _check_loss(config: TrajectoryConfig) -> None:
    if config.loss not in LOSSES:
        raise ValueError(f"config.loss is {config.loss!r}: choose from {', '.join(LOSSES)}")
    scale = config.loss_scale
    if scale is None:
        return
    if config.loss == "squared":
        raise ValueError(f"config.loss_scale is {scale}, but the squared loss has none: choose a robust loss")
    if shape_of(scale) != ():
        raise ValueError(f"config.loss_scale has shape {shape_of(scale)}: pass one number")
    if not is_traced(scale) and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"config.loss_scale is {scale}: pass pixels, finite and above zero")


def _check_camera(camera: Intrinsics, lead: tuple[int, ...], first: int | None) -> None:
    for values in jax.tree.leaves(camera):
        if values.ndim > len(lead) or any(
            size not in (1, wanted) for size, wanted in zip(values.shape, lead, strict=False)
        ):
            raise ValueError(
                f"camera has leading axes {values.shape}, poses has {lead}: "
                "pass one camera, or one for each of the first axes of poses"
            )
    for name, values in (("fx", camera.fx), ("fy", camera.fy)):
        if is_traced(values):
            continue
        numbers = np.asarray(values)
        if numbers.ndim == len(lead) and numbers.shape[-1:] != (1,):
            numbers = numbers[..., numbers.shape[-1] if first is None else first :]
        if not np.all(np.isfinite(numbers) & (numbers > 0)):
            raise ValueError(f"camera.focal has {name} = {numbers}: pass positive pixels")


# How far R R^T may be from the identity, as an estimated or rounded rotation is.
ROTATION_TOLERANCE = 1e-3


def check_path(
    extrinsics: Extrinsics, people: tuple[int, ...], frames: int, dtype: Any, first: int | None = 0
) -> Extrinsics:
    """The camera's pose in ``dtype``; ValueError for other shapes, and for concrete rotations that are none,
    on frames before ``first`` excepted (None: on all).
    """
    rotation, position = (as_array(values, dtype) for values in extrinsics)
    for name, values, size in (("rotation", rotation, (3, 3)), ("position", position, (3,))):
        lead, own = values.shape[: -len(size)], values.shape[-len(size) :]
        if own != size or not lead or lead[-1] not in (1, frames) or lead[:-1] not in ((), people):
            raise ValueError(
                f"extrinsics.{name} has shape {values.shape}, poses has leading axes {(*people, frames)}: "
                f"pass (..., F, {', '.join(map(str, size))}) with the people of poses or none, and its "
                "frames or one"
            )
    if is_traced(rotation):
        return Extrinsics(rotation, position)
    numbers = np.asarray(rotation)
    if numbers.shape[-3] > 1:
        numbers = numbers[..., frames if first is None else first :, :, :]
    if not np.all(is_rotation(numbers)):
        raise ValueError(
            "extrinsics.rotation holds a matrix that is no rotation: pass orthonormal rows with determinant "
            "1, from world to camera axes"
        )
    return Extrinsics(rotation, position)


def is_rotation(rotation: Any) -> Any:
    """(..., 3, 3) -> (...): whether the rows are orthonormal and right-handed; not where they are NaN."""
    x, y, z = (rotation[..., k, :] for k in range(3))
    handed = jnp.cross if isinstance(rotation, Array) else np.cross
    products = [(x * x, 1), (y * y, 1), (z * z, 1), (x * y, 0), (x * z, 0), (y * z, 0), (handed(x, y) * z, 1)]
    close = [abs(product.sum(axis=-1) - value) <= ROTATION_TOLERANCE for product, value in products]
    return functools.reduce(lambda left, right: left & right, close)
