"""Eq. 3 and the rivals' losses against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.losses import (
    NEAREST_DEPTH,
    absolute_coordinate_error,
    depth_weighted_distance,
    squared_joint_error,
    squared_step,
    squared_velocity_error,
)


def poses(seed, shape=(4, 5, 17, 3)):
    return np.random.default_rng(seed).normal(size=shape)


def test_squared_error_of_every_joint():
    predicted, target = poses(0), poses(1)
    errors = squared_joint_error(jnp.asarray(predicted, jnp.float32), jnp.asarray(target, jnp.float32))
    assert errors.shape == (4, 5, 17) and errors.dtype == jnp.float32
    np.testing.assert_allclose(errors, np.linalg.norm(predicted - target, axis=-1) ** 2, rtol=1e-5)


def test_known_values():
    predicted = jnp.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.1]])
    np.testing.assert_allclose(squared_joint_error(predicted, jnp.zeros((2, 3))), [25.0, 0.01], rtol=1e-6)


@pytest.mark.default_flags
def test_gradient_is_twice_the_difference_and_finite_at_zero():
    predicted, target = jnp.asarray(poses(0), jnp.float32), jnp.asarray(poses(1), jnp.float32)
    gradient = jax.grad(lambda predicted: squared_joint_error(predicted, target).sum())
    np.testing.assert_allclose(gradient(predicted), 2 * (predicted - target), rtol=1e-5)
    assert not np.asarray(gradient(target)).any()


def test_double_precision_is_kept(float64):
    predicted, target = poses(0), poses(1)
    errors = squared_joint_error(jnp.asarray(predicted), jnp.asarray(target))
    np.testing.assert_allclose(errors, ((predicted - target) ** 2).sum(-1), rtol=1e-14)


def test_nothing_is_broadcast():
    with pytest.raises(
        ValueError, match=r"predicted has shape \(4, 17, 3\) and target \(1, 17, 3\): pass one target"
    ):
        squared_joint_error.__wrapped__(jnp.zeros((4, 17, 3)), jnp.zeros((1, 17, 3)))


def test_motion_is_compared_with_motion():
    predicted, target = poses(0), poses(1)
    steps, wanted = np.diff(predicted, axis=1), np.diff(target, axis=1)
    predicted, target = jnp.asarray(predicted, jnp.float32), jnp.asarray(target, jnp.float32)
    found = squared_velocity_error(predicted, target)
    assert found.shape == (4, 4, 17)
    np.testing.assert_allclose(found, ((steps - wanted) ** 2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(squared_step(predicted), (steps**2).sum(-1), rtol=1e-4)
    # A constant offset is no motion.
    np.testing.assert_allclose(squared_velocity_error(predicted, predicted + 1.0), 0, atol=1e-10)


def test_absolute_errors_are_summed_over_coordinates():
    predicted, target = poses(0), poses(1)
    found = absolute_coordinate_error(jnp.asarray(predicted, jnp.float32), jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(found, np.abs(predicted - target).sum(-1), rtol=1e-5)


def test_distances_count_by_depth():
    predicted, target = poses(0, (4, 5, 1, 3)), poses(1, (4, 5, 1, 3)) + np.array([0, 0, 5])
    arrays = jnp.asarray(predicted, jnp.float32), jnp.asarray(target, jnp.float32)
    expected = np.linalg.norm(predicted - target, axis=-1) / target[..., 2]
    np.testing.assert_allclose(depth_weighted_distance(*arrays), expected, rtol=1e-5)
    near = jnp.array([[[0.0, 0.0, 0.1]]])
    np.testing.assert_allclose(depth_weighted_distance(near + 1.0, near), 3**0.5 / NEAREST_DEPTH, rtol=1e-6)
    assert np.isfinite(jax.grad(lambda root: depth_weighted_distance(root, near).sum())(near)).all()


@pytest.mark.parametrize("loss", [squared_velocity_error, absolute_coordinate_error, depth_weighted_distance])
def test_no_loss_broadcasts(loss):
    with pytest.raises(ValueError, match=r"\(1, 4, 17, 3\)"):
        loss.__wrapped__(jnp.ones((2, 4, 17, 3)), jnp.ones((1, 4, 17, 3)))
