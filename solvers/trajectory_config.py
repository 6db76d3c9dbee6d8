"""Settings of the trajectory solve, and what its arguments have to be."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers.pinhole import Camera, Extrinsics, Intrinsics, as_array, split_camera
from solvers.robust import LOSSES, Loss
from solvers.trajectory_rows import MILLIMETRES


class TrajectoryConfig(NamedTuple):
    """Settings of Eq. 9 and of its solution.

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

    @classmethod
    def from_noise(
        cls, keypoint_std: Any, speed_std: Any, acceleration_std: Any, fps: float, **settings: Any
    ) -> "TrajectoryConfig":
        """Weights from what they stand for. Eq. 9 is then 2 sigma_px^2 times the negative logarithm of the
        posterior, up to a constant, for independent Gaussian keypoint errors, velocities and accelerations:

            lambda_1 = (sigma_px fps / (1000 sigma_v))^2,   lambda_2 = (sigma_px fps^2 / (1000 sigma_a))^2

        keypoint_std: pixels; speed_std: metres a second; acceleration_std: metres a second squared, each for
        one coordinate, one number or three for the axes; infinity leaves the term out; fps: frames a second.
        settings: the other fields. Raises ValueError for what is not positive.
        """
        named = {"keypoint_std": keypoint_std, "speed_std": speed_std, "acceleration_std": acceleration_std}
        for name, value in (*named.items(), ("fps", fps)):
            shapes = [(), (3,)] if name in ("speed_std", "acceleration_std") else [()]
            if np.shape(value) not in shapes:
                three = ", or three for the axes" if len(shapes) > 1 else ""
                raise ValueError(f"{name} has shape {np.shape(value)}: pass one number{three}")
            if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) > 0):
                raise ValueError(f"{name} is {value}: pass a positive number")

        def weight(std: Any, rate: float) -> Any:
            std = std if isinstance(std, Array) else np.asarray(std, float)
            return (keypoint_std * rate / (MILLIMETRES * std)) ** 2

        return cls(
            weight(speed_std, fps), weight(acceleration_std, fps**2), keypoint_std=keypoint_std, **settings
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
    )


@_remembered
def read_camera(camera: Camera, dtype: Any, lead: tuple[int, ...]) -> Intrinsics:
    """Its numbers; ValueError for leading axes that are not the first of ``lead``, and for concrete focal
    lengths that are not positive.
    """
    intrinsics = split_camera(camera, dtype)
    _check_camera(intrinsics, lead)
    return intrinsics


def check_arguments(
    poses: Array, keypoints: Array, occluded: Array, confidence: Any, extrinsics: Extrinsics | None
) -> tuple[Array | None, Extrinsics | None]:
    """confidence and extrinsics in the dtype of ``poses``; ValueError for what a solver cannot take."""
    check_arrays(poses, keypoints, occluded)
    *people, frames, _, _ = poses.shape
    if confidence is not None:
        confidence = jnp.asarray(confidence)
        check_confidence(confidence, poses.shape[:-1])
        confidence = confidence.astype(poses.dtype)
    path = None if extrinsics is None else check_path(extrinsics, tuple(people), frames, poses.dtype)
    return confidence, path


def check_arrays(poses: Array, keypoints: Array, occluded: Array) -> None:
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


def check_confidence(confidence: Array, wanted: tuple[int, ...]) -> None:
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
        if np.shape(value) != () and (np.shape(value) != (3,) or not name.endswith("_weight")):
            three = ", or three for the axes" if name.endswith("_weight") else ""
            raise ValueError(f"config.{name} has shape {np.shape(value)}: pass one number{three}")
        if isinstance(value, jax.core.Tracer):
            continue
        numbers = np.asarray(value)
        if not np.all(np.isfinite(numbers) & (numbers >= 0)):
            raise ValueError(f"config.{name} is {value}: pass a finite number that is not negative")
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
    if np.shape(scale) != ():
        raise ValueError(f"config.loss_scale has shape {np.shape(scale)}: pass one number")
    if not isinstance(scale, jax.core.Tracer) and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"config.loss_scale is {scale}: pass pixels, finite and above zero")


def _check_camera(camera: Intrinsics, lead: tuple[int, ...]) -> None:
    for values in jax.tree.leaves(camera):
        if values.ndim > len(lead) or values.shape != lead[: values.ndim]:
            raise ValueError(
                f"camera has leading axes {values.shape}, poses has {lead}: "
                "pass one camera, or one for each of the first axes of poses"
            )
    for name, values in (("fx", camera.fx), ("fy", camera.fy)):
        if isinstance(values, jax.core.Tracer):
            continue
        numbers = np.asarray(values)
        if not np.all(np.isfinite(numbers) & (numbers > 0)):
            raise ValueError(f"camera.focal has {name} = {numbers}: pass positive pixels")


# How far R R^T may be from the identity, as an estimated or rounded rotation is.
ROTATION_TOLERANCE = 1e-3


def check_path(extrinsics: Extrinsics, people: tuple[int, ...], frames: int, dtype: Any) -> Extrinsics:
    rotation, position = (as_array(values, dtype) for values in extrinsics)
    for name, values, size in (("rotation", rotation, (3, 3)), ("position", position, (3,))):
        lead, own = values.shape[: -len(size)], values.shape[-len(size) :]
        if own != size or not lead or lead[-1] not in (1, frames) or lead[:-1] not in ((), people):
            raise ValueError(
                f"extrinsics.{name} has shape {values.shape}, poses has leading axes {(*people, frames)}: "
                f"pass (..., F, {', '.join(map(str, size))}) with the people of poses or none, and its "
                "frames or one"
            )
    if not isinstance(rotation, jax.core.Tracer) and not bool(np.all(is_rotation(np.asarray(rotation)))):
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
