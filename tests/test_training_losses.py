"""Every training loss against NumPy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import TINY

from experiments.training import batches
from experiments.training.losses import LOSSES, training_loss
from gated_lift.skeleton import H36M_17


def weighted_mean(values, weight):
    return (values * weight).sum() / weight.sum()


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_match_numpy(loss):
    """Frames beyond the end of a clip count for nothing, nor do the steps to them."""
    rng = np.random.default_rng(0)
    target, poses = rng.normal([0, 0, 4], size=(2, 3, 6, 17, 3))
    weight = np.array([[1.0] * 6, [1.0] * 4 + [0.0] * 2, [1.0] + [0.0] * 5])
    poses[weight == 0] = 99.0
    batch = batches.Batch(*[None] * 3, jnp.asarray(target, jnp.float32), jnp.asarray(weight, jnp.float32))
    config = dataclasses.replace(TINY, loss=loss, velocity_weight=0.7)

    def mean(values, weight):
        return jnp.sum(values * weight) / jnp.sum(weight)

    found = training_loss(config, jnp.asarray(poses, jnp.float32), batch, mean)
    error, steps = poses - target, weight[:, 1:]
    distance = np.linalg.norm(error, axis=-1)
    if loss == "sequence":
        limbs = {"knee": 2.5, "ankle": 2.5, "elbow": 4.0, "wrist": 4.0}
        still = np.array([limbs.get(name.split("_")[-1], 1.0) for name in H36M_17.names])
        moved = still[:, None] * np.diff(1000 * poses, axis=1) ** 2
        expected = weighted_mean(((1000 * error) ** 2).mean((2, 3)), weight)
        expected += 5 * weighted_mean(moved.mean((2, 3)), steps)
    else:
        frames = {
            "squared": (distance**2).mean(-1),
            "distance": distance.mean(-1),
            "absolute": 1000 * np.abs(error).mean((2, 3)),
            "depth_weighted": (distance / np.maximum(target[..., 2], 0.5)).mean(-1),
        }
        expected = weighted_mean(frames[loss], weight)
    expected += 0.7 * weighted_mean((np.diff(error, axis=1) ** 2).sum(-1).mean(-1), steps)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
