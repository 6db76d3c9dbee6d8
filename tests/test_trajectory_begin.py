"""Leading frames that have no say: as if the clip began after them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle
from test_camera_path import shaken

from solvers import Camera, Extrinsics, Status, TrajectoryConfig, solve_trajectory

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
FRAMES = 23
DOUBLE, SINGLE = (np.float64, 1e-6), (np.float32, 1e-4)


def padded(values, begin, rng):
    """The frames of ``values`` from ``begin`` on (axis 1), after rubbish."""
    rubbish = rng.choice([np.nan, np.inf, -1e30, 3.0], size=values[:, :begin].shape)
    return np.concatenate([rubbish, values[:, begin:]], axis=1)


def rubbish_before(scene, begin, dtype):
    rng = np.random.default_rng(begin)
    poses, keypoints = (padded(v, begin, rng).astype(dtype) for v in scene[:2])
    occluded = scene.occluded.copy()
    occluded[:, :begin] = rng.random(occluded[:, :begin].shape) < 0.5
    return poses, keypoints, occluded


def solve_padded(scene, begin, config):
    """The answer with rubbish before ``begin``."""
    return solve_trajectory(*rubbish_before(scene, begin, np.float64), CAMERA, config, begin=begin)


def solve(people, begin, config, given):
    return solve_trajectory(*people, CAMERA, config, covariance=True, begin=begin, **given)


# One program for every beginning.
solve_traced = jax.jit(solve, static_argnames="config")


def solve_both(scene, begin, dtype, config, extrinsics=None, initial=None, traced=False):
    """The answer with rubbish before ``begin`` and that of the clip alone, with covariances; the latter in
    double precision.
    """
    people = rubbish_before(scene, begin, dtype)

    def late(values, lead):
        if values.shape[lead] == 1:
            return values
        values = values.copy()
        values[(slice(None),) * lead + (slice(begin),)] = np.nan
        return values

    given, alone = {}, {}
    if extrinsics is not None:
        leads = [v.ndim - own for v, own in zip(extrinsics, (3, 2), strict=True)]
        given["extrinsics"] = Extrinsics(*map(late, extrinsics, leads))
        # The clip alone has a path of each person whatever the form, so that it is one program for all forms.
        shapes = (*scene.root.shape[:2], 3, 3), scene.root.shape
        alone["extrinsics"] = Extrinsics(
            *(np.broadcast_to(v, shape)[:, begin:] for v, shape in zip(extrinsics, shapes, strict=True))
        )
    if initial is not None:
        given["initial_root"], alone["initial_root"] = late(initial, 1), initial[:, begin:]

    with jax.enable_x64(True):
        expected = solve_trajectory(
            *(v[:, begin:] for v in scene[:2]),
            scene.occluded[:, begin:],
            CAMERA,
            config,
            covariance=True,
            **alone,
        )
    with jax.enable_x64(dtype == np.float64):
        return (solve_traced if traced else solve)(people, begin, config, given), expected


def check(found, expected, begin, limit):
    np.testing.assert_array_equal(found.status, expected.status)
    for name in ("root", "covariance", "residual"):
        value = np.asarray(getattr(found, name))
        assert value.shape[1] == FRAMES and np.isnan(value[:, :begin]).all(), name
    np.testing.assert_allclose(found.root[:, begin:], expected.root, atol=limit, rtol=0)
    rtol = 100 * limit
    np.testing.assert_allclose(found.covariance[:, begin:], expected.covariance, rtol=rtol, atol=rtol * 1e-4)
    np.testing.assert_allclose(found.residual[:, begin:], expected.residual, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=rtol)
    np.testing.assert_allclose(found.log_evidence, expected.log_evidence, rtol=rtol)


@pytest.mark.parametrize(
    "begin, dtype, limit, traced",
    # Every clip alone is a length of its own, and so a program of its own: the first and the last beginnings.
    # Single precision has the answers of double, of which the clip alone is the same program.
    [
        *(pytest.param(begin, *DOUBLE, True, marks=pytest.mark.thorough) for begin in (0, 22)),
        (1, *DOUBLE, True),
        (1, *SINGLE, False),
    ],
)
def test_as_if_the_clip_began_there(begin, dtype, limit, traced):
    scene = oracle.walking_people(3, FRAMES, hidden=0.3, gap=4)
    scene.occluded[1] = True  # somebody who is never seen
    scene.occluded[1, :begin] = False  # but before
    scene.occluded[:, -1, :4] = scene.occluded[1, -1:, :1]
    scene.occluded[[0, 2], -1, :4] = False
    config = TrajectoryConfig(0.2, 1.5, keypoint_std=2.0, size_std=0.02, bias_std=0.3)
    found, expected = solve_both(scene, begin, dtype, config, traced=traced)
    assert [int(s) for s in expected.status] == [Status.CONVERGED, Status.TOO_FEW_OBSERVATIONS, 0]
    check(found, expected, begin, limit)


@pytest.mark.parametrize(
    "form, traced",
    [("still", False), ("path", False), ("path of each", True)],
)
@pytest.mark.thorough
def test_before_cameras_that_move_and_that_do_not(form, traced, float64):
    begin = 11
    path = shaken(FRAMES, 2 if form == "path of each" else None)
    if form == "still":
        path = Extrinsics(path.rotation[:1], path.position[:1])
    scene = oracle.walking_people(2, FRAMES, hidden=0.3, gap=3)
    # The walkers as the camera sees them, and where that is in the world.
    initial = np.einsum("...ji,...j->...i", path.rotation, scene.root) + path.position
    dtype, limit = DOUBLE
    config = TrajectoryConfig(0.2, 1.5, loss="huber")
    found, expected = solve_both(
        scene, begin, dtype, config, extrinsics=path, initial=initial.astype(dtype), traced=traced
    )
    np.testing.assert_array_equal(expected.status, Status.CONVERGED)
    check(found, expected, begin, limit)


def expected_root(scene, person, begin, weights):
    """The path of one person over the frames from ``begin`` on, by the oracle."""
    return oracle.solve(*(values[person, begin:] for values in (scene.root, *scene[:3])), weights)


def test_weights_that_need_every_frame_count_from_the_beginning(float64):
    scene = oracle.walking_people(2, FRAMES, hidden=0.0)
    few, good = Status.TOO_FEW_OBSERVATIONS, Status.CONVERGED
    scene.occluded[1, FRAMES - 1] = True
    for begin in (7, FRAMES - 1):
        found = solve_padded(scene, begin, TrajectoryConfig(0.0, 0.0))
        assert [int(s) for s in found.status] == [good, few]
        expected = expected_root(scene, 0, begin, (0.0, 0.0))
        np.testing.assert_allclose(found.root[0, begin:], expected, atol=1e-6)
    # Two frames tell a path if only accelerations cost something; one does where there is no other.
    scene.occluded[0, -2] = True
    for begin, status in ((FRAMES - 3, good), (FRAMES - 2, few), (FRAMES - 1, good)):
        found = solve_padded(scene, begin, TrajectoryConfig(0.0, 1.0))
        assert int(found.status[0]) == status
        if status == good:
            expected = expected_root(scene, 0, begin, (0.0, 1.0))
            np.testing.assert_allclose(found.root[0, begin:], expected, atol=1e-6)


def test_a_camera_of_every_frame_is_not_looked_at_before_the_beginning(float64):
    scene = oracle.walking_people(2, FRAMES, hidden=0.2)
    focal = np.broadcast_to(oracle.FOCAL, (2, FRAMES, 2)).copy()
    focal[:, :6] = np.nan
    camera = Camera(focal, oracle.CENTER)
    found = solve_trajectory(*scene[:3], camera, begin=6)
    expected = [expected_root(scene, person, 6, (1.0, 1.0)) for person in range(2)]
    np.testing.assert_allclose(found.root[:, 6:], expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"camera\.focal has fx"):
        solve_trajectory(*scene[:3], camera, begin=5)


@pytest.mark.default_flags
def test_gradients_are_those_of_differences_and_none_before_the_beginning(float64):
    scene, begin = oracle.walking_people(2, FRAMES, hidden=0.2), 5
    rng = np.random.default_rng(2)
    probe = rng.normal(size=scene.root.shape)

    def value(poses, keypoints, weight):
        config = TrajectoryConfig(weight, 1.5, tolerance=1e-13)
        found = solve_trajectory(poses, keypoints, scene.occluded, CAMERA, config, begin=begin)
        return jnp.sum(jnp.where(jnp.isfinite(found.root), probe * found.root, 0))

    # One program, of which the differences take the values.
    run = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))
    given = scene.poses, scene.keypoints, np.float64(0.2)
    _, slopes = run(*given)
    for k, step in enumerate((1e-5, 1e-3, 1e-4)):
        direction = rng.normal(size=given[k].shape)
        ahead, behind = (
            run(*given[:k], given[k] + sign * step * direction, *given[k + 1 :])[0] for sign in (1, -1)
        )
        np.testing.assert_allclose(
            np.sum(slopes[k] * direction), (ahead - behind) / (2 * step), rtol=1e-5, err_msg=str(k)
        )
    for slope in slopes[:2]:
        np.testing.assert_array_equal(slope[:, :begin], 0)
        assert np.abs(slope[:, begin:]).max() > 0


@pytest.mark.parametrize(
    "begin, message",
    [
        (-1, "begin is -1, the clip has 23 frames: pass 0 to 22"),
        (23, "begin is 23, the clip has 23 frames"),
        (1.5, "begin is 1.5: pass one whole number"),
        (np.array([1, 2]), "pass one whole number of frames"),
    ],
)
def test_a_beginning_that_is_none(begin, message):
    scene = oracle.walking_people(1, FRAMES)
    with pytest.raises(ValueError, match=message):
        solve_trajectory(*(np.asarray(v, np.float32) for v in scene[:2]), scene.occluded, CAMERA, begin=begin)


def test_windows_have_no_late_beginning():
    scene = oracle.walking_people(1, FRAMES)
    with pytest.raises(ValueError, match=r"begin is 3 and config\.window 10: windows count from the first"):
        solve_trajectory(
            *(np.asarray(v, np.float32) for v in scene[:2]),
            scene.occluded,
            CAMERA,
            TrajectoryConfig(window=10),
            begin=3,
        )
