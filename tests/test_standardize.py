"""z-scores against NumPy, and back."""

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.networks.standardize import Standardize, statistics_of

SAMPLE = np.random.default_rng(0).normal([3.0, -2.0], [0.5, 4.0], (200, 5, 2))


def test_a_sample_has_mean_zero_and_deviation_one():
    statistics = statistics_of(SAMPLE)
    scores = Standardize((5, 2)).apply({"statistics": statistics}, jnp.asarray(SAMPLE, jnp.float32))
    np.testing.assert_allclose(scores.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(0), 1, atol=1e-5)
    back = Standardize((5, 2)).apply({"statistics": statistics}, scores, method="undo")
    np.testing.assert_allclose(back, SAMPLE, atol=1e-5)


def test_what_never_changes_is_divided_by_one():
    statistics = statistics_of(np.full((10, 5, 2), 7.0))
    np.testing.assert_array_equal(statistics["std"], 1)
    np.testing.assert_array_equal(statistics["mean"], 7)


def test_nothing_changes_until_statistics_are_set():
    variables = Standardize((5, 2)).init(jax.random.key(0), jnp.zeros((5, 2)))
    assert set(variables) == {"statistics"}
    values = jnp.asarray(SAMPLE, jnp.float32)
    np.testing.assert_array_equal(Standardize((5, 2)).apply(variables, values), values)
