"""Eq. 3 against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.losses import squared_joint_error


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
