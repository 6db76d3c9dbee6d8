"""Whittaker's smoother against a dense solution, in seconds, and its derivatives by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import smooth


def dense(values, seconds, fps, weight=None):
    """(F, C) by normal equations in float64."""
    frames = len(values)
    weight = np.ones(frames) if weight is None else weight
    second = np.diff(np.eye(frames), n=2, axis=0)
    matrix = np.diag(weight) + (seconds * fps) ** 4 * second.T @ second
    return np.linalg.solve(matrix, weight[:, None] * np.where(weight[:, None] > 0, values, 0))


def noisy(frames, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, channels)), axis=0) + rng.normal(size=(frames, channels))


@pytest.mark.parametrize("fps", [10.0, 25.0, 50.0, 120.0])
@pytest.mark.parametrize("frames", [3, 4, 5, 40, 41])
def test_is_the_dense_solution(float64, fps, frames):
    values = noisy(frames)
    weight = np.random.default_rng(1).uniform(0.2, 2, frames)
    if frames > 5:
        weight[[0, 7, 8, 9, frames - 1]] = 0
    values[weight == 0] = np.nan
    found = smooth(values, 0.05, fps, weight)
    np.testing.assert_allclose(found, dense(values, 0.05, fps, weight), rtol=1e-7, atol=1e-9)


def test_half_of_a_movement_of_two_pi_time_constants_at_every_rate(float64):
    seconds = 0.1
    for fps in (30.0, 60.0, 120.0):
        time = np.arange(round(20 * fps)) / fps
        for factor, gain in ((0.5, 1 / 17), (1.0, 0.5), (3.0, 81 / 82)):
            wave = np.sin(time / (seconds * factor))[:, None]
            found = np.asarray(smooth(wave, seconds, fps))
            middle = slice(len(time) // 4, -len(time) // 4)
            kept = (found[middle] * wave[middle]).sum() / (wave[middle] ** 2).sum()
            np.testing.assert_allclose(kept, gain, atol=0.01)


def test_leading_axes_are_smoothed_by_themselves(float64):
    values = np.stack([[noisy(20, 3, seed=3 * i + j) for j in range(3)] for i in range(2)])
    weight = np.random.default_rng(1).uniform(0.2, 2, (2, 3, 20))
    found = smooth(values, 0.1, 25, weight)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(found[i, j], dense(values[i, j], 0.1, 25, weight[i, j]), rtol=1e-7)


def test_float32_over_a_long_clip():
    values = (10 * np.sin(np.arange(10_000) / 500)[:, None] + noisy(10_000, 1) * 0.01).astype(np.float32)
    found = smooth(values, 0.5, 120.0)
    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        expected = smooth(values.astype(np.float64), 0.5, 120.0)
    assert np.abs(np.asarray(found) - np.asarray(expected)).max() < 1e-3


def test_constants_and_straight_lines_stay():
    time = np.arange(2000, dtype=np.float32)[:, None]
    for values in (np.full_like(time, 3.7), 0.25 * time - 7):
        np.testing.assert_array_equal(smooth(values, 0.5, 120.0), values)
        weight = np.ones(2000, np.float32)
        weight[700:900] = 0
        found = smooth(np.where(weight[:, None] > 0, values, np.nan), 0.1, 60.0, weight)
        np.testing.assert_allclose(found, values, atol=2e-4 * np.abs(values).max())


def test_no_time_is_no_change(float64):
    values = noisy(12)
    values[3] = np.nan
    weight = np.ones(12)
    weight[3] = 0
    np.testing.assert_array_equal(smooth(values, 0.0, 30.0, weight), values)
    good = np.nan_to_num(values)
    traced = jax.jit(lambda seconds: smooth(good, seconds, 30.0))
    np.testing.assert_array_equal(traced(0.0), good)
    assert np.isfinite(jax.grad(lambda seconds: jnp.sum(traced(seconds) ** 2))(0.0))
    np.testing.assert_allclose(traced(0.1), dense(good, 0.1, 30.0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("begin", [0, 3, 6])
def test_frames_before_the_beginning_have_no_say(float64, begin):
    values = noisy(15)
    values[:begin] = np.nan
    found = jax.jit(lambda begin: smooth(values, 0.1, 30.0, begin=begin))(begin)
    np.testing.assert_array_equal(found[:begin], values[:begin])
    np.testing.assert_allclose(found[begin:], dense(values[begin:], 0.1, 30.0), rtol=1e-7, atol=1e-9)


def test_few_frames(float64):
    one, two = np.array([[3.0]]), np.array([[3.0], [5.0]])
    np.testing.assert_array_equal(smooth(one, 0.1, 30.0), one)
    np.testing.assert_allclose(smooth(two, 0.1, 30.0), two)
    alone = np.full((6, 1), np.nan)
    alone[2] = 4.0
    weight = (np.arange(6) == 2).astype(float)
    np.testing.assert_array_equal(smooth(alone, 0.1, 30.0, weight), np.full((6, 1), 4.0))
    assert np.isnan(smooth(alone, 0.1, 30.0, np.zeros(6))).all()
    # A NaN that has a say spoils its own channel.
    both = np.concatenate([alone, np.ones((6, 1))], axis=1)
    found = np.asarray(smooth(both, 0.1, 30.0))
    assert np.isnan(found[:, 0]).all()
    np.testing.assert_allclose(found[:, 1], 1.0)


def test_derivatives_are_those_of_differences(float64):
    values, weight = noisy(13), np.random.default_rng(1).uniform(0.2, 2, 13)
    weight[[4, 5]] = 0
    probe = np.random.default_rng(2).normal(size=values.shape)

    @jax.jit
    def number(values, weight, seconds, fps):
        return jnp.sum(probe * smooth(values, seconds, fps, weight))

    at = (jnp.asarray(values), jnp.asarray(weight), jnp.asarray(0.07), jnp.asarray(30.0))
    slopes = jax.grad(number, argnums=(0, 1, 2, 3))(*at)
    rng = np.random.default_rng(3)
    for k, value in enumerate(at):
        # A weight of zero has no say, and none in a derivative.
        direction = rng.normal(size=value.shape) * (np.asarray(value) != 0)
        step = 1e-5 * direction
        ahead, back = (number(*at[:k], value + sign * step, *at[k + 1 :]) for sign in (1, -1))
        np.testing.assert_allclose(jnp.vdot(slopes[k], step), (ahead - back) / 2, rtol=1e-5)
    values[4] = np.nan
    for slope in jax.grad(number, argnums=(0, 1, 2, 3))(jnp.asarray(values), *at[1:]):
        assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"values": np.zeros(5)}, r"values has shape \(5,\): pass"),
        ({"values": np.zeros((5, 2), int)}, "values has dtype int64"),
        ({"values": np.ma.masked_array(np.zeros((5, 2)))}, "values is a masked array"),
        ({"weight": np.zeros((5, 2))}, r"weight has shape \(5, 2\), values \(5, 2\)"),
        ({"weight": -np.ones(5)}, "weight holds a number that is negative"),
        ({"seconds": -0.1}, r"seconds is -0\.1: pass one time constant"),
        ({"fps": 0.0}, r"fps is 0\.0"),
        ({"begin": 5}, "begin is 5, the clip has 5 frames"),
    ],
)
def test_bad_input_names_the_argument_and_the_mend(change, message):
    with pytest.raises(ValueError, match=message):
        smooth(**({"values": np.zeros((5, 2)), "seconds": 0.1, "fps": 30.0} | change))
