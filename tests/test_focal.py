"""A focal length found together with the paths: against an independent minimiser, and what it does where the
clip does not tell it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import trajectory_oracle as oracle
from test_camera_path import before, shaken

from solvers import Camera, Extrinsics, Status, TrajectoryConfig, solve_focal

PEOPLE, FRAMES, JOINTS = 2, 30, 6
TRUE = Camera(oracle.FOCAL, oracle.CENTER)
CONFIG = TrajectoryConfig(0.02, 0.3, keypoint_std=2.0)


def scene_of(seed=0, **settings):
    return oracle.walking_people(PEOPLE, FRAMES, seed=seed, joints=JOINTS, gap=8, distance=3.0, **settings)


def arrays(scene):
    return jnp.asarray(scene.poses), jnp.asarray(scene.keypoints), jnp.asarray(scene.occluded)


def guess(factor):
    return Camera((factor * oracle.FOCAL[0], factor * oracle.FOCAL[1]), oracle.CENTER)


def config_for(factor):
    """What comes to `CONFIG` in the image as it is: the solve resizes it as a guess of this factor has it."""
    return CONFIG._replace(
        velocity_weight=CONFIG.velocity_weight / factor**2,
        acceleration_weight=CONFIG.acceleration_weight / factor**2,
        keypoint_std=CONFIG.keypoint_std / factor,
    )


def stacked(unknown, scene):
    """Residuals of everybody at (log focal factor, roots)."""
    focal = tuple(np.exp(unknown[0]) * value for value in oracle.FOCAL)
    roots = unknown[1:].reshape(PEOPLE, FRAMES, 3)
    weights = CONFIG.velocity_weight, CONFIG.acceleration_weight
    each = zip(roots, scene.poses, scene.keypoints, scene.occluded, strict=True)
    return np.concatenate(
        [oracle.residuals_and_jacobian(*person, weights, focal=focal)[0] for person in each]
    )


@pytest.fixture(scope="module")
def solved():
    with jax.enable_x64(True):
        scene = scene_of()
        found = solve_focal(*arrays(scene), guess(1.3), config_for(1.3), covariance=True)
        return scene, jax.tree.map(np.asarray, found)


def test_focal_length_paths_and_how_sure_against_an_independent_minimiser(solved):
    scene, found = solved
    start = np.concatenate([[0.0], scene.root.ravel()])
    best = scipy.optimize.least_squares(stacked, start, args=(scene,), xtol=1e-14, ftol=1e-14, gtol=1e-10)
    factor = np.exp(best.x[0])
    assert found.status == Status.CONVERGED
    np.testing.assert_allclose(found.focal, factor * np.array(oracle.FOCAL), rtol=1e-6)
    np.testing.assert_allclose(found.trajectory.root, best.x[1:].reshape(PEOPLE, FRAMES, 3), atol=1e-5)
    np.testing.assert_allclose(1.3**2 * np.sum(found.trajectory.cost), 2 * best.cost, rtol=1e-9)
    covariance = CONFIG.keypoint_std**2 * np.linalg.inv(best.jac.T @ best.jac)
    np.testing.assert_allclose(found.focal_std / found.focal, np.sqrt(covariance[0, 0]), rtol=1e-4)
    roots = covariance[1:, 1:].reshape(PEOPLE, FRAMES, 3, PEOPLE, FRAMES, 3)
    for person in range(PEOPLE):
        for frame in (0, FRAMES // 2, FRAMES - 1):
            expected = roots[person, frame, :, person, frame]
            np.testing.assert_allclose(
                found.trajectory.covariance[person, frame], expected, rtol=1e-3, atol=1e-9
            )
    np.testing.assert_array_equal(found.size, 1.0)
    np.testing.assert_array_equal(found.size_std, 0.0)


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_any_first_guess_leads_to_the_same_focal_length(float64, solved, factor):
    scene, expected = solved
    found = solve_focal(*arrays(scene), guess(factor), config_for(factor), covariance=True)
    assert found.status == Status.CONVERGED
    np.testing.assert_allclose(found.focal, expected.focal, rtol=1e-6)
    np.testing.assert_allclose(found.trajectory.root, expected.trajectory.root, atol=1e-5)


def test_flat_people_tell_no_focal_length(float64, solved):
    scene, _ = solved
    flat = scene.poses * [1, 1, 0]
    points = flat + np.array([0.0, 0, 3])
    keypoints = np.stack(
        [oracle.FOCAL[i] * points[..., i] / points[..., 2] + oracle.CENTER[i] for i in range(2)], axis=-1
    )
    found = solve_focal(
        *arrays(scene._replace(poses=flat, keypoints=keypoints)), guess(1.3), CONFIG, covariance=True
    )
    assert found.status == Status.UNOBSERVABLE
    assert np.all(np.asarray(found.trajectory.status) == Status.UNOBSERVABLE)
    for values in (found.focal, found.focal_std, found.size, found.trajectory.root, found.trajectory.cost):
        assert np.all(np.isnan(values))


def test_a_person_who_cannot_be_solved_has_no_say(float64, solved):
    scene, _ = solved
    keypoints, occluded = scene.keypoints.copy(), scene.occluded.copy()
    keypoints[1, 3] = np.nan
    occluded[1, 3] = False
    spoilt = solve_focal(
        *arrays(scene._replace(keypoints=keypoints, occluded=occluded)), guess(1.3), CONFIG, covariance=True
    )
    hidden = scene.occluded.copy()
    hidden[1] = True
    alone = solve_focal(*arrays(scene._replace(occluded=hidden)), guess(1.3), CONFIG, covariance=True)
    assert spoilt.status == alone.status == Status.CONVERGED
    assert list(spoilt.trajectory.status) == [Status.CONVERGED, Status.NON_FINITE]
    assert list(alone.trajectory.status) == [Status.CONVERGED, Status.TOO_FEW_OBSERVATIONS]
    np.testing.assert_array_equal(spoilt.focal, alone.focal)
    np.testing.assert_array_equal(spoilt.trajectory.root[0], alone.trajectory.root[0])
    assert np.all(np.isnan(spoilt.trajectory.root[1]))

    hidden[0] = True
    nobody = solve_focal(*arrays(scene._replace(occluded=hidden)), guess(1.3), CONFIG, covariance=True)
    assert nobody.status == Status.TOO_FEW_OBSERVATIONS and np.all(np.isnan(nobody.focal))


@pytest.mark.thorough
def test_clips_in_float32_each_with_a_size_before_a_moving_camera_and_outliers():
    # Two clips: people a tenth larger than their poses, and people as large as those.
    scenes = [before(scene_of(seed, noise=0.0), shaken(FRAMES, seed=5)) for seed in (1, 2)]
    poses, keypoints, occluded = (
        jnp.stack([jnp.asarray(getattr(scene, name)) for scene in scenes])
        for name in ("poses", "keypoints", "occluded")
    )
    poses = poses.astype(jnp.float32) / jnp.array([1.1, 1.0], jnp.float32)[:, None, None, None, None]
    rotation, position = shaken(FRAMES, seed=5)
    # The camera walks two metres, which are the yardstick.
    drift = np.linspace(0, 2, FRAMES)[:, None] * np.array([1.0, 0, 0])
    points = np.stack([scene.root for scene in scenes])[..., None, :] + np.stack(
        [np.einsum("fji,pfkj->pfki", rotation, scene.poses) for scene in scenes]
    )
    seen = np.einsum("fij,cpfkj->cpfki", rotation, points - (position + drift)[:, None])
    keypoints = np.stack(
        [oracle.FOCAL[i] * seen[..., i] / seen[..., 2] + oracle.CENTER[i] for i in range(2)], axis=-1
    )
    rng = np.random.default_rng(3)
    wrong = rng.uniform(size=keypoints.shape[:-1]) < 0.05
    keypoints[wrong] += rng.normal(size=(int(wrong.sum()), 2)) * 150
    config = TrajectoryConfig(1e-4, 1.0, keypoint_std=0.1, size_std=0.1, loss="geman_mcclure")
    found = solve_focal(
        poses,
        jnp.asarray(keypoints, jnp.float32),
        occluded,
        guess(0.9),
        config,
        extrinsics=Extrinsics(rotation, position + drift),
        solve_size=True,
    )
    assert found.focal.shape == (2, 2) and found.trajectory.root.shape == (2, PEOPLE, FRAMES, 3)
    assert np.all(np.asarray(found.status) == Status.CONVERGED)
    np.testing.assert_allclose(found.focal[:, 0], oracle.FOCAL[0], rtol=0.01)
    np.testing.assert_allclose(found.size, [1.1, 1.0], atol=0.03)
    assert np.all(np.asarray(found.size_std) < 0.03)
    assert found.trajectory.covariance is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": CONFIG._replace(window=10)}, "config.window is 10: a focal length belongs to the whole"),
        ({"solve_size": True}, "config.size_std is 0.0: to solve for a size, say how much sizes vary"),
        ({"camera": Camera(np.ones((2, 2)), np.ones(2))}, r"camera has leading axes \(2,\) in fx"),
        ({"poses": np.zeros((30, 6, 3), np.float32)}, r"poses has shape \(30, 6, 3\): pass \(..., P, F, J"),
        ({"config": CONFIG._replace(keypoint_std=-1.0)}, "config.keypoint_std"),
        ({"extrinsics": Extrinsics(np.ones((1, 3, 3)), np.zeros((1, 3)))}, "holds a matrix that is no rot"),
    ],
)
def test_bad_input_is_refused(change, message):
    scene = scene_of()
    given = {
        "poses": scene.poses.astype(np.float32),
        "keypoints": scene.keypoints.astype(np.float32),
        "occluded": scene.occluded,
        "camera": guess(1.0),
        "config": CONFIG,
    }
    with pytest.raises(ValueError, match=message):
        solve_focal(**(given | change))
