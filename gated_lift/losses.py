"""Training losses, elementwise: the caller reduces."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gated_lift.metrics import mpjpe

NEAREST_DEPTH = 0.5  # metres


def squared_joint_error(
    predicted: Float[Array, "*batch joints 3"], target: Float[Array, "*batch joints 3"]
) -> Float[Array, "*batch joints"]:
    """‖X̂ᵢ − X*ᵢ‖² of Eq. 3 for every joint; its mean over joints and samples is the paper's loss.

    Metres in, square metres out. Raises ValueError when the shapes differ: nothing is broadcast.
    """
    _check_same_shape(predicted, target)
    return jnp.sum(jnp.square(predicted - target), axis=-1)


def squared_velocity_error(
    predicted: Float[Array, "*batch frames joints 3"], target: Float[Array, "*batch frames joints 3"]
) -> Float[Array, "*batch steps joints"]:
    """‖(X̂ₜ₊₁ − X̂ₜ) − (X*ₜ₊₁ − X*ₜ)‖² for every joint and step: Eq. 3 of the joints' motion.

    Metres in, square metres per square frame out, frames − 1 of them. Raises ValueError when the shapes
    differ.
    """
    _check_same_shape(predicted, target)
    return squared_step(predicted - target)


def squared_step(poses: Float[Array, "*batch frames joints 3"]) -> Float[Array, "*batch steps joints"]:
    """‖Xₜ₊₁ − Xₜ‖² for every joint and step, square metres per square frame: what Hossain & Little keep
    small.
    """
    return jnp.sum(jnp.square(poses[..., 1:, :, :] - poses[..., :-1, :, :]), axis=-1)


def absolute_coordinate_error(
    predicted: Float[Array, "*batch joints 3"], target: Float[Array, "*batch joints 3"]
) -> Float[Array, "*batch joints"]:
    """Σ |X̂ᵢ − X*ᵢ| over the coordinates of every joint, metres: Lin & Lee's loss. Raises ValueError when the
    shapes differ.
    """
    _check_same_shape(predicted, target)
    return jnp.sum(jnp.abs(predicted - target), axis=-1)


def depth_weighted_distance(
    predicted: Float[Array, "*batch frames joints 3"], target: Float[Array, "*batch frames joints 3"]
) -> Float[Array, "*batch frames joints"]:
    """‖r̂ − r*‖ / z*, the relative error of a place in camera space: the loss of VideoPose3D's trajectory
    network.

    Metres in, a ratio out. The true depth z* is at least `NEAREST_DEPTH` here, so that nobody beside the lens
    decides a batch. The gradient is finite where both are equal. Raises ValueError when the shapes differ.
    """
    return mpjpe(predicted, target) / jnp.maximum(target[..., 2], NEAREST_DEPTH)


def _check_same_shape(predicted: Array, target: Array) -> None:
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted has shape {predicted.shape} and target {target.shape}: pass one target a prediction"
        )
