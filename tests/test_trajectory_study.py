"""The studies' own arithmetic; what they solve is tested with the solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments.trajectory import calibration
from experiments.trajectory.calibration import CalibrationConfig, coverage, fit_regions, run_calibration
from experiments.trajectory.cameras import mistake
from experiments.trajectory.film import Scene, draw_gaps
from experiments.trajectory.noise import FIRST_GUESS, Fit, Noise, error_likelihood
from experiments.trajectory.streaming import StreamingConfig, frames_until_seen, run_streaming
from experiments.trajectory.windows import by_distance, measure, seam_steps
from gated_lift.cameras import Extrinsics
from solvers import TrajectorySolution


def solution_of(root, covariance):
    status = jnp.zeros(root.shape[0], jnp.int32)
    return TrajectorySolution(jnp.asarray(root), status, status, status, covariance=jnp.asarray(covariance))


def test_gaps_are_as_long_as_asked_and_apart():
    gap = draw_gaps(np.random.default_rng(0), 40, 500, 50.0, (0.2, 4.0))
    lengths, pauses = [], []
    for row in gap:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        begins, ends = edges[::2], edges[1::2]
        lengths += list(ends - begins)
        pauses += list(begins[1:] - ends[:-1])
        assert not row[:50].any() and not row[-50:].any()
    assert min(lengths) >= 10 and max(lengths) <= 200 and max(lengths) > 100
    assert min(pauses) >= 50 and max(pauses) <= 150


def test_coverage_of_errors_that_are_as_stated():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(3, 3)) * 0.1
    error = rng.normal(size=(20, 1000, 3)) @ factor.T
    truth = rng.normal(size=error.shape)
    covariance = np.broadcast_to(factor @ factor.T, (20, 1000, 3, 3))
    gap = jnp.asarray(rng.uniform(size=(20, 1000)) < 0.5)
    stated = solution_of(truth + error, covariance)
    for shares in coverage(stated, jnp.asarray(truth), gap, (0.5, 0.9)).values():
        np.testing.assert_allclose(shares, (0.5, 0.9), atol=0.02)
    twice = solution_of(truth + 2 * error, covariance)
    for shares in coverage(twice, jnp.asarray(truth), gap, (0.5, 0.9)).values():
        assert shares[0] < 0.2 and shares[1] < 0.6
    right, wrong = (error_likelihood(found, jnp.asarray(truth), gap) for found in (stated, twice))
    assert right > wrong


def test_a_mistaken_camera_is_off_by_what_is_asked():
    pose = Extrinsics(jnp.broadcast_to(jnp.eye(3), (30, 200, 3, 3)), jnp.zeros((30, 200, 3)))
    wrong = mistake(jax.random.key(0), pose, 2.0, 50.0)
    product = np.asarray(wrong.rotation) @ np.swapaxes(wrong.rotation, -1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-5)
    cosine = (np.trace(np.asarray(wrong.rotation), axis1=-2, axis2=-1) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    # Each of three axes wanders by 2 degrees and 2 cm.
    np.testing.assert_allclose(np.sqrt((angle**2).mean()), 2 * np.sqrt(3), rtol=0.2)
    np.testing.assert_allclose(np.sqrt((np.asarray(wrong.position) ** 2).mean()), 0.02, rtol=0.2)
    none = mistake(jax.random.key(0), pose, 0.0, 50.0)
    np.testing.assert_array_equal(none.rotation, pose.rotation)


def test_an_unknown_objective_is_refused(tmp_path):
    config = CalibrationConfig((tmp_path / "none.npz",), objective="luck")
    with pytest.raises(ValueError, match="objective is 'luck': choose evidence or errors"):
        run_calibration(config)


def test_frames_until_somebody_is_seen_again():
    gap = np.array([[0, 1, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1]], bool)
    found = frames_until_seen(gap)
    np.testing.assert_array_equal(found, [[0, 2, 1, 0, np.inf, np.inf], [1, 0, 0, 0, 0, np.inf]])


def test_a_stretch_that_is_shorter_than_the_lags_is_refused(tmp_path):
    config = StreamingConfig((tmp_path / "none.npz",), frames=200, lags=(5, 100))
    with pytest.raises(ValueError, match="frames is 200: pass more than twice the longest lag, 100"):
        run_streaming(config)


def test_jumps_at_seams_of_a_path_made_by_hand():
    """Two people over three windows of four frames: a jump at each seam, the last window of one is lost."""
    truth = np.zeros((2, 12, 3), np.float32)
    truth[..., 0] = np.arange(12)
    gap = np.zeros((2, 12), bool)
    gap[0, 2:5] = True
    root = truth + np.repeat(np.float32([0, 0.3, 0.1]), 4)[None, :, None] * np.float32([0, 0, 1])
    root[1, 8:] = np.nan
    both = np.isfinite(root).all(axis=-1)
    both[0, 11] = False
    np.testing.assert_array_equal(np.flatnonzero(seam_steps(12, 4)), (3, 7))
    seams = measure(root, truth, gap, 4, both)
    assert (seams.windows, seams.paths) == (1, 1)
    np.testing.assert_allclose(seams.share, 4 / 24)
    # Person 0's first seam is inside its gap; person 1's second one has no answer behind it.
    np.testing.assert_allclose(seams.at_seams, ((0.2 + 0.3) / 2, 0.3), rtol=1e-5)
    np.testing.assert_allclose(seams.elsewhere, (0, 0), atol=1e-6)
    np.testing.assert_allclose(seams.root, ((3 * 0.3 + 3 * 0.1 + 4 * 0.3) / 16, 0.3 / 3), rtol=1e-5)
    np.testing.assert_allclose(seams.where_windows_fail, 0.1, rtol=1e-5)
    distance, error = by_distance(np.linalg.norm(root - truth, axis=-1), both, 4)
    np.testing.assert_array_equal(distance, (-2, -1, 0, 1))
    # Two frames on either side of each seam, but for what person 1 has lost.
    np.testing.assert_allclose(error, ((0 + 0.3) / 2, (0 + 0.3) / 2, 0.7 / 3, 0.7 / 3), rtol=1e-5)
    with pytest.raises(ValueError, match="frames is 12, which windows of 5 do not divide"):
        measure(root, truth, gap, 5, both)


def test_frames_at_the_ends_of_a_stretch_are_near_no_seam():
    values = np.arange(12.0)[None]
    _, means = by_distance(values, np.ones((1, 12), bool), 4)
    np.testing.assert_allclose(means, [(2 + 6) / 2, (3 + 7) / 2, (4 + 8) / 2, (5 + 9) / 2])


def test_regions_are_fitted_to_hold_what_they_say(monkeypatch, tmp_path):
    """Errors whose spread along the ray is ten times what the weights say: size_std has to make up for it."""
    rng = np.random.default_rng(2)
    noise = Noise(*FIRST_GUESS[:5], size_std=0.002, bias_std=1e-4)
    spread = np.array([0.01, 0.01, 0.1])
    root = np.array([0.0, 0.0, 10.0]) + np.zeros((4, 500, 3))
    error = rng.normal(size=root.shape) * spread

    def solve(scene, values, fps, world, loss):
        size, bias = np.asarray(values, float)[5:]
        covariance = np.diag([0.01**2 + bias**2, 0.01**2 + bias**2, 0.01**2 + (10 * size) ** 2])
        return solution_of(root + error, np.broadcast_to(covariance, (4, 500, 3, 3)))

    monkeypatch.setattr(calibration, "solve", solve)
    monkeypatch.setattr(calibration, "truth", lambda scene, world: jnp.asarray(root))
    gap = jnp.asarray(rng.uniform(size=(4, 500)) < 0.3)
    scene = Scene(None, None, None, gap, None, None)
    config = CalibrationConfig((tmp_path / "none.npz",))
    fit = fit_regions(Fit(noise, 6.0), config, scene, 50.0, Console(quiet=True))
    np.testing.assert_allclose(fit.noise.size_std, 0.01, rtol=0.1)
    assert fit.tail > 15 and fit.noise[:5] == noise[:5]
    found = solve(scene, fit.noise, 50.0, True, "squared")
    for shares in coverage(found, jnp.asarray(root), gap, (0.5, 0.9), fit.tail).values():
        np.testing.assert_allclose(shares, (0.5, 0.9), atol=0.04)
