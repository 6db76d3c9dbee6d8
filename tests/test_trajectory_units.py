"""λ in physical units: one motion filmed at several rates, and at several image sizes, has one path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle

from solvers import (
    REFERENCE_FOCAL,
    REFERENCE_FPS,
    Camera,
    Status,
    TrajectoryConfig,
    feed,
    solve_focal,
    solve_trajectory,
    start_stream,
)

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
SECONDS = 1.2
# Frames of the film at the highest rate, to which those at the others are filled up.
MOST = round(120 * SECONDS) + 1


def filmed(fps, hidden=(0.5, 0.7)):
    """One person who walks for 1.2 s, one joint pair in view of every frame but those of a gap; a curve that
    is the same at every rate.
    """
    time = np.arange(round(SECONDS * fps) + 1) / fps
    root = np.stack([0.6 * np.sin(2 * time), 0.1 * np.cos(3 * time), 4 + 0.5 * np.sin(1.5 * time)], axis=-1)
    body = np.random.default_rng(0).normal(size=(1, 9, 3)) * [0.2, 0.45, 0.15]
    poses = body + 0.05 * np.sin(2 * np.pi * time)[:, None, None]
    points = poses + root[:, None]
    # Errors that are smooth in time, so that they are the same at every rate too.
    error = 3 * np.sin(5 * time)[:, None, None] * np.array([1.0, -0.5])
    keypoints = points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER + error
    occluded = np.broadcast_to(((time > hidden[0]) & (time < hidden[1]))[:, None], poses.shape[:2])
    return oracle.Scene(poses, keypoints, occluded, root)


def solve_film(scene, config, camera=CAMERA, **rate):
    """The root of a film that stands after frames without a say: one program for the films of all rates."""
    begin = MOST - len(scene.root)
    filled = [np.concatenate([np.zeros_like(v, shape=(begin, *v.shape[1:])), v]) for v in scene[:3]]
    found = solve_trajectory(*filled, camera, config, begin=begin, **rate)
    assert found.status == Status.CONVERGED
    return np.asarray(found.root)[begin:]


def at_rate(weights, fps):
    return weights[0] * (fps / 50) ** 2, weights[1] * (fps / 50) ** 4


@pytest.mark.parametrize("fps", [10, 25, 30, 50, 60, 120])
def test_a_rate_scales_the_weights_of_eq_9(float64, fps):
    scene, weights = filmed(fps), (0.3, 2.0)
    found = solve_film(scene, TrajectoryConfig(*weights), fps=fps)
    expected = oracle.solve(scene.root, *scene[:3], at_rate(weights, fps))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_one_motion_has_one_path_at_every_rate(float64):
    # A sum over frames is an integral times the rate: joints that are seen count by their number, and only
    # what is hidden hangs on the weights alone. Of smooth motion both are the same at every rate.
    config = TrajectoryConfig(1e-3, 1.0)
    paths = {}
    for fps in (10, 25, 30, 50, 60, 120):
        scene = filmed(fps)
        paths[fps] = solve_film(scene, config, fps=fps)[:: fps // 5]
        paths[fps, "as 50"] = solve_film(scene, config)[:: fps // 5]
    for fps in (10, 25, 30, 60, 120):
        assert np.abs(paths[fps] - paths[50]).max() < 0.03, fps
    assert np.abs(paths[10, "as 50"] - paths[50]).max() > 0.06


def resized(scene, factor):
    camera = Camera(np.array(oracle.FOCAL) * factor, np.array(oracle.CENTER) * factor)
    return scene._replace(keypoints=scene.keypoints * factor), camera


# Every loss is a program of its own, and both robust ones take their scale from the same place.
@pytest.mark.parametrize("loss", ["squared", pytest.param("geman_mcclure", marks=pytest.mark.thorough)])
def test_one_film_has_one_path_at_every_size(float64, loss):
    scene = oracle.walking_people(2, 40, gap=8)
    config = TrajectoryConfig(0.3, 2.0, keypoint_std=2.0, size_std=0.03, bias_std=0.5, loss=loss)
    expected = solve_trajectory(*scene[:3], CAMERA, config, covariance=True)
    if loss == "squared":
        paths = [oracle.solve(scene.root[i], *(v[i] for v in scene[:3]), (0.3, 2.0)) for i in range(2)]
        np.testing.assert_allclose(expected.root, paths, atol=1e-6, rtol=0)
    for width in (1920, 640, 320):
        factor = width / 1000
        small, camera = resized(scene, factor)
        found = solve_trajectory(*small[:3], camera, config, covariance=True)
        for name in ("root", "cost", "covariance", "log_evidence"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-9)
        # What is seen in the image is told in its own pixels.
        np.testing.assert_allclose(found.residual, factor * expected.residual, rtol=1e-6)


def test_the_reference_is_what_it_was(float64):
    assert (REFERENCE_FPS, REFERENCE_FOCAL) == (50.0, 1145.0)
    scene = oracle.walking_people(2, 20, gap=4)
    camera = Camera((1145.0, 1145.0), oracle.CENTER)
    found = solve_trajectory(*scene[:3], camera)
    for person in range(2):
        values = [v[person] for v in (scene.root, *scene[:3])]
        expected = oracle.solve(*values, (1.0, 1.0), focal=(1145.0, 1145.0))
        np.testing.assert_allclose(found.root[person], expected, atol=1e-7, rtol=0)
    again = solve_trajectory(*scene[:3], camera, fps=50)
    np.testing.assert_array_equal(found.root, again.root)


def test_a_focal_length_of_its_own_for_every_frame(float64):
    # A zoom: the image is resized frame by frame.
    scene = oracle.walking_people(2, 20, gap=4)
    zoom = np.linspace(0.5, 2.0, 20)[:, None]
    camera = Camera(np.array(oracle.FOCAL) * zoom, np.array(oracle.CENTER) * zoom)
    camera = Camera(*(np.broadcast_to(v, (2, 20, 2)) for v in camera[:2]))
    found = solve_trajectory(scene.poses, scene.keypoints * zoom[:, None], scene.occluded, camera)
    expected = solve_trajectory(*scene[:3], CAMERA)
    np.testing.assert_allclose(found.root, expected.root, atol=1e-8)


@jax.jit
def probe_film(focal, fps):
    """A number made of the root, the solution, and the number's slopes in the focal length and the rate."""
    scene = filmed(25)
    probe = np.random.default_rng(1).normal(size=scene.root.shape)

    def value(focal, fps):
        camera = Camera((focal, 1.01 * focal), oracle.CENTER)
        config = TrajectoryConfig(0.3, 2.0, tolerance=1e-13)
        found = solve_trajectory(*scene[:3], camera, config, fps=fps)
        return jnp.sum(jnp.where(jnp.isfinite(found.root), probe * found.root, 0)), found

    (number, found), slopes = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(focal, fps)
    return number, found, slopes


@pytest.mark.thorough
def test_derivatives_in_the_focal_length_and_the_rate(float64):
    at = np.array([900.0, 25.0])
    _, found, slopes = probe_film(*at)
    assert found.status == Status.CONVERGED
    for k, step in enumerate((1e-2, 1e-3)):
        ahead, back = (probe_film(*(at + sign * step * np.eye(2)[k]))[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[k], (ahead - back) / (2 * step), rtol=1e-5)


def test_a_rate_that_is_none(float64):
    scene = filmed(25)
    _, found, slopes = probe_film(np.float64(900.0), np.float64(10.0))
    assert found.status == Status.CONVERGED and slopes[1] != 0
    for fps in (0.0, -25.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"fps is .*: pass the clip's frames a second"):
            solve_trajectory(*scene[:3], CAMERA, fps=fps)
        with pytest.raises(ValueError, match="fps is"):
            start_stream(1, 9, CAMERA, fps=fps)
        _, found, slopes = probe_film(np.float64(900.0), np.float64(fps))
        assert found.status == Status.NON_FINITE and np.isnan(found.root).all()
        assert slopes[1] == 0


def test_one_number_of_frames_a_second():
    with pytest.raises(ValueError, match=r"fps has shape \(2,\): pass one number"):
        solve_trajectory(
            *(jnp.asarray(v, jnp.float32) for v in filmed(10)[:2]),
            filmed(10).occluded,
            CAMERA,
            fps=(25.0, 30.0),
        )


def test_a_focal_length_is_found_at_the_clips_own_rate(float64):
    scene = oracle.walking_people(2, 30, joints=6, gap=8, distance=3.0)
    config = TrajectoryConfig(0.02, 0.3, keypoint_std=2.0)
    guess = Camera((1.3 * oracle.FOCAL[0], 1.3 * oracle.FOCAL[1]), oracle.CENTER)
    expected = solve_focal(*scene[:3], guess, config)
    # As at 50 frames a second with the weights that come to the same.
    slow = TrajectoryConfig(0.02 * 4, 0.3 * 16, keypoint_std=2.0)
    found = solve_focal(*scene[:3], guess, slow, fps=25.0)
    np.testing.assert_allclose(found.focal, expected.focal, rtol=1e-7)
    np.testing.assert_allclose(found.trajectory.root, expected.trajectory.root, atol=1e-7)
    # And in an image of half the size.
    small, camera = resized(scene, 0.5)
    camera = Camera(1.3 * camera.focal, camera.center)
    half = solve_focal(*small[:3], camera, config)
    np.testing.assert_allclose(half.focal, expected.focal / 2, rtol=1e-7)
    np.testing.assert_allclose(half.focal_std, expected.focal_std / 2, rtol=1e-6)
    np.testing.assert_allclose(half.trajectory.root, expected.trajectory.root, atol=1e-7)


def test_a_stream_keeps_its_rate_and_its_size(float64):
    scene, camera = resized(filmed(25), 0.4)
    state = start_stream(1, 9, camera, TrajectoryConfig(0.3, 2.0), lag=40, dtype=jnp.float64, fps=25.0)
    for frame in zip(*scene[:3], strict=True):
        state, estimate = feed(state, *(values[None] for values in frame))
    whole = solve_film(scene, TrajectoryConfig(0.3, 2.0), camera, fps=25.0)
    np.testing.assert_allclose(estimate.root[0], whole[-1], atol=1e-7)
    assert np.abs(estimate.root[0] - solve_film(scene, TrajectoryConfig(), camera)[-1]).max() > 1e-4
