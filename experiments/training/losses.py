"""What training minimises, one function a loss."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from experiments.training.batches import SKELETON, Batch
from experiments.training.configs import TrainConfig
from gated_lift.losses import (
    absolute_coordinate_error,
    depth_weighted_distance,
    squared_joint_error,
    squared_step,
    squared_velocity_error,
)
from gated_lift.metrics import mpjpe
from gated_lift.networks.protocol import Target
from gated_lift.networks.sequence import smoothness_weights

SMOOTHNESS = 5.0  # Hossain & Little's weight of it

# Of values with weights, (B, n) a frame or (B, n − 1) a step.
Mean = Callable[[jax.Array, jax.Array], jax.Array]


def squared(poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """Eq. 3, square metres."""
    return mean(squared_joint_error(poses, batch.target).mean(-1), batch.weight)


def distance(poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """VideoPose3D's, metres."""
    return mean(mpjpe(poses, batch.target).mean(-1), batch.weight)


def sequence(poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """Hossain & Little's: squares, and how little the joints move. Square millimetres, means over
    coordinates.
    """
    motion = squared_step(poses) * smoothness_weights(SKELETON)[None, None]
    return 1e6 / 3 * (squared(poses, batch, mean) + SMOOTHNESS * mean(motion.mean(-1), step_weight(batch)))


def absolute(poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """Lin & Lee's, millimetres, a mean over coordinates."""
    return 1e3 / 3 * mean(absolute_coordinate_error(poses, batch.target).mean(-1), batch.weight)


def depth_weighted(poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """That of VideoPose3D's trajectory network, a ratio."""
    return mean(depth_weighted_distance(poses, batch.target).mean(-1), batch.weight)


class Loss(NamedTuple):
    """of(poses, batch, mean): the loss of poses (B, n, J, 3) against the batch's targets, one number.

    target: what a network answers with that it is for. motion: whether it needs consecutive outputs.
    """

    of: Callable[[jax.Array, Batch, Mean], jax.Array]
    target: Target = "pose"
    motion: bool = False


# A new loss is one more line here.
LOSSES = {
    "squared": Loss(squared),
    "distance": Loss(distance),
    "sequence": Loss(sequence, motion=True),
    "absolute": Loss(absolute),
    "depth_weighted": Loss(depth_weighted, target="root"),
}


def training_loss(config: TrainConfig, poses: jax.Array, batch: Batch, mean: Mean) -> jax.Array:
    """The configuration's loss of poses (B, n, J, 3), with its velocity term."""
    value = LOSSES[config.loss].of(poses, batch, mean)
    if config.velocity_weight:
        error = squared_velocity_error(poses, batch.target).mean(-1)
        value += config.velocity_weight * mean(error, step_weight(batch))
    return value


def step_weight(batch: Batch) -> jax.Array:
    """(B, n − 1): a step counts where the frame that it leads to does."""
    return batch.weight[:, 1:]


def check_loss_fits(config: TrainConfig, target: Target) -> None:
    """Raises ValueError for a loss that is not known or not for networks with this ``target``, and where
    motion is to be judged and a window has no consecutive outputs.
    """
    if config.loss not in LOSSES:
        raise ValueError(f"loss is {config.loss!r}: choose one of {', '.join(LOSSES)}")
    loss = LOSSES[config.loss]
    if loss.target != target:
        fitting = ", ".join(name for name, other in LOSSES.items() if other.target == target)
        raise ValueError(
            f"loss is {config.loss} and network.target {target}: {config.loss} is for networks that answer "
            f"with the {loss.target}; choose one of {fitting}"
        )
    consecutive = config.chunk_frames > 1 and config.chunk_stride == 1
    for name, asked in (("velocity_weight", config.velocity_weight > 0), ("loss", loss.motion)):
        if asked and not consecutive:
            raise ValueError(
                f"{name} is {getattr(config, name)} and a window has {config.chunk_frames} outputs "
                f"{config.chunk_stride} frames apart: motion needs consecutive ones, chunk_frames above 1 "
                "and chunk_stride 1"
            )
