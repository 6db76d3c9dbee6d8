"""People without an answer: nobody else pays for them, in answers or in gradients, and each is told why."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle
from test_camera_path import shaken

from solvers import (
    Camera,
    Extrinsics,
    Status,
    TrajectoryConfig,
    feed,
    solve_focal,
    solve_trajectory,
    start_stream,
)

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
PEOPLE, FRAMES, JOINTS = 3, 12, 6
SPOILT = 1


def problem():
    """Three people with everything of their own, seen by cameras that move."""
    scene = oracle.walking_people(PEOPLE, FRAMES, joints=JOINTS, hidden=0.2, gap=2, seed=3)
    path = shaken(FRAMES, PEOPLE)
    given = {
        "poses": scene.poses,
        "keypoints": scene.keypoints,
        "focal": np.tile(oracle.FOCAL, (PEOPLE, 1)),
        "center": np.tile(oracle.CENTER, (PEOPLE, 1)),
        "position": path.position,
        "weights": np.array([0.3, 1.5]),
        "confidence": np.random.default_rng(0).uniform(0.5, 1, scene.occluded.shape),
        "scale": np.array(4.0),
    }
    return given, path.rotation, scene.occluded


def first_visible(occluded):
    return 3, int(np.argmin(occluded[SPOILT, 3]))


def spoil(kind, given, rotation, occluded):
    given = {name: values.copy() for name, values in given.items()}
    rotation, occluded = rotation.copy(), occluded.copy()
    frame, joint = first_visible(occluded)
    status = Status.NON_FINITE
    if kind == "never seen":
        occluded[SPOILT], status = True, Status.TOO_FEW_OBSERVATIONS
    elif kind == "one joint":
        occluded[SPOILT, :, 1:], status = True, Status.TOO_FEW_OBSERVATIONS
    elif kind == "NaN keypoint":
        given["keypoints"][SPOILT, frame, joint] = np.nan
    elif kind == "huge keypoint":
        given["keypoints"][SPOILT, frame, joint] = 1e200
    elif kind == "NaN pose":
        given["poses"][SPOILT, frame, joint, 2] = np.nan
    elif kind == "behind the camera":
        # Seen through a point: left and right, up and down exchanged.
        given["keypoints"][SPOILT] = 2 * np.array(oracle.CENTER) - given["keypoints"][SPOILT]
        status = Status.BEHIND_CAMERA
    elif kind == "NaN focal length":
        given["focal"][SPOILT, 1] = np.nan
    elif kind == "negative focal length":
        given["focal"][SPOILT] = -1100
    elif kind == "NaN center":
        given["center"][SPOILT, 0] = np.nan
    elif kind == "negative confidence":
        given["confidence"][SPOILT, frame, joint] = -1.0
    elif kind == "NaN position":
        given["position"][SPOILT, 3, 0] = np.nan
    elif kind == "no rotation":
        rotation[SPOILT, 3] *= np.nan
    elif kind == "poses in centimetres":
        given["poses"][SPOILT] *= 100
        status = Status.IMPLAUSIBLE_DISTANCE
    return given, rotation, occluded, status


@functools.partial(jax.jit, static_argnames="loss")
def slopes(given, rotation, occluded, use, loss):
    """The slope of a number made of the roots of who is solved and in ``use``, and the solution."""

    def number(given):
        config = TrajectoryConfig(
            *given["weights"],
            tolerance=1e-13,
            loss=loss,
            loss_scale=None if loss == "squared" else given["scale"],
        )
        found = solve_trajectory(
            given["poses"],
            given["keypoints"],
            occluded,
            Camera(given["focal"], given["center"]),
            config,
            confidence=given["confidence"],
            extrinsics=Extrinsics(rotation, given["position"]),
        )
        solved = (found.status <= Status.MAX_STEPS) & use
        probe = jnp.asarray(np.random.default_rng(5).normal(size=found.root.shape))
        root = jnp.where(solved[:, None, None], found.root, 0)
        return jnp.sum(probe * root) + jnp.sum(jnp.where(solved, found.cost, 0)), found

    (_, found), slope = jax.value_and_grad(number, has_aux=True)(given)
    return slope, found


KINDS = [
    "never seen",
    "one joint",
    "NaN keypoint",
    "huge keypoint",
    "NaN pose",
    "behind the camera",
    "NaN focal length",
    "negative focal length",
    "NaN center",
    "negative confidence",
    "NaN position",
    "no rotation",
    "poses in centimetres",
]


@pytest.mark.parametrize("loss", ["squared", pytest.param("geman_mcclure", marks=pytest.mark.thorough)])
def test_gradients_of_the_others_are_as_without_them(float64, loss):
    given, rotation, occluded = problem()
    others = np.arange(PEOPLE) != SPOILT
    expected, clean = slopes(given, rotation, occluded, others, loss)
    np.testing.assert_array_equal(clean.status, Status.CONVERGED)
    for kind in KINDS:
        changed = spoil(kind, given, rotation, occluded)
        slope, found = slopes(*changed[:3], np.ones(PEOPLE, bool), loss)
        assert int(found.status[SPOILT]) == changed[3], (kind, found.status)
        np.testing.assert_array_equal(found.root[others], clean.root[others], err_msg=kind)
        assert np.isnan(found.root[SPOILT]).all() and np.isnan(found.residual[SPOILT]).all()
        for name, values in slope.items():
            assert np.isfinite(values).all(), (kind, name)
            if name in ("weights", "scale"):
                np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-12, err_msg=kind)
                continue
            np.testing.assert_array_equal(values[SPOILT], 0, err_msg=f"{kind} {name}")
            assert np.abs(values[others]).reshape(PEOPLE - 1, -1).max(axis=1).min() > 0, (kind, name)
            np.testing.assert_allclose(
                values[others], expected[name][others], rtol=1e-9, atol=1e-12, err_msg=f"{kind} {name}"
            )


def test_weights_out_of_range_leave_no_gradient(float64):
    given, rotation, occluded = problem()
    for wrong in ([-1.0, 1.0], [1.0, np.nan], [np.inf, 1.0]):
        slope, found = slopes(
            given | {"weights": np.array(wrong)}, rotation, occluded, np.ones(PEOPLE, bool), "squared"
        )
        np.testing.assert_array_equal(found.status, Status.NON_FINITE)
        for name, values in slope.items():
            np.testing.assert_array_equal(values, 0, err_msg=f"{name} {wrong}")


def test_who_stands_behind_the_camera_takes_no_steps(float64):
    # Four people, as below: the same program.
    scene = oracle.walking_people(4, FRAMES, hidden=0.2, gap=2, seed=3)
    mirrored = scene.keypoints.copy()
    mirrored[SPOILT] = 2 * np.array(oracle.CENTER) - mirrored[SPOILT]
    found = solve_trajectory(scene.poses, mirrored, scene.occluded, CAMERA, TrajectoryConfig(0.3, 1.5))
    assert found.status[SPOILT] == Status.BEHIND_CAMERA
    assert found.num_steps[SPOILT] <= np.delete(found.num_steps, SPOILT).min()


# ------------------------------------------------------------------------------------ plausible distances


def at_distance(depths):
    """One person a depth, or a depth a frame, exactly seen."""
    scene = oracle.walking_people(len(depths), FRAMES, hidden=0.0, noise=0.0)
    root = np.zeros((len(depths), FRAMES, 3))
    root[..., 2] = np.asarray(depths).reshape(len(depths), -1)
    points = scene.poses + root[:, :, None]
    keypoints = points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER
    return scene._replace(keypoints=keypoints, root=root)


@pytest.mark.thorough
def test_distances_that_nobody_believes(float64):
    scene = at_distance([4.0, 90.0, 130.0, 1e5])
    good, odd = Status.CONVERGED, Status.IMPLAUSIBLE_DISTANCE
    found = solve_trajectory(*scene[:3], CAMERA)
    assert [int(s) for s in found.status] == [good, good, odd, odd]
    assert np.isnan(found.root[2:]).all() and np.isnan(found.cost[2:]).all()
    for distances, expected in {
        (3.0, 100.0): [good, good, odd, odd],
        (5.0, np.inf): [odd, good, good, good],
    }.items():
        found = solve_trajectory(*scene[:3], CAMERA, TrajectoryConfig(distance_range=distances))
        assert [int(s) for s in found.status] == expected
    focal = solve_focal(*(v[:2] for v in scene[:3]), CAMERA, TrajectoryConfig(distance_range=(0.3, 50.0)))
    assert int(focal.trajectory.status[1]) in (odd, Status.UNOBSERVABLE)


def test_a_tenth_of_the_frames_may_be_far(float64):
    depths = np.full((2, 40), 99.0)
    depths[0, 20:24] = 101.0
    depths[1, 20:26] = 101.0
    scene = oracle.walking_people(2, 40, hidden=0.0, noise=0.0)
    points = scene.poses + np.stack([0 * depths, 0 * depths, depths], axis=-1)[:, :, None]
    keypoints = points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER
    loose = TrajectoryConfig(1e-9, 1e-9)
    found = solve_trajectory(scene.poses, keypoints, scene.occluded, CAMERA, loose)
    assert [int(s) for s in found.status] == [Status.CONVERGED, Status.IMPLAUSIBLE_DISTANCE]
    # Frames that show nobody do not count.
    occluded = scene.occluded.copy()
    occluded[1, 20:26] = True
    assert (
        int(solve_trajectory(scene.poses, keypoints, occluded, CAMERA, loose).status[1]) == Status.CONVERGED
    )


def test_a_stream_that_nobody_believes():
    scene = at_distance([4.0, 130.0])
    state = start_stream(2, scene.poses.shape[2], CAMERA, lag=3)
    for t in range(5):
        state, found = feed(
            state, *(values[:, t].astype(np.float32) for values in scene[:2]), scene.occluded[:, t]
        )
        assert [int(s) for s in found.status] == [Status.CONVERGED, Status.IMPLAUSIBLE_DISTANCE]
        assert np.isfinite(found.root[0]).all() and np.isnan(found.root[1]).all()


@pytest.mark.parametrize("distances", [(1.0, 0.5), (-1.0, 5.0), (np.nan, 5.0), (1.0, np.nan), (1.0,), 3.0])
def test_a_range_that_is_none(distances):
    scene = at_distance([4.0])
    with pytest.raises(ValueError, match=r"config\.distance_range is .*: pass the nearest and the farthest"):
        solve_trajectory(*scene[:3], CAMERA, TrajectoryConfig(distance_range=distances))


# ---------------------------------------------------------------------------------------------- residual


def test_residual_is_the_root_mean_square_of_the_visible_joints(float64):
    # As many people and frames as where some are far: the same program.
    scene = oracle.walking_people(2, 40, hidden=0.4, gap=6)
    camera = Camera(np.array(oracle.FOCAL) / 3, np.array(oracle.CENTER) / 3)
    found = solve_trajectory(scene.poses, scene.keypoints / 3, scene.occluded, camera)
    points = scene.poses + np.asarray(found.root)[:, :, None]
    error = points[..., :2] / points[..., 2:] * camera.focal + camera.center - scene.keypoints / 3
    square = np.where(scene.occluded, np.nan, (error**2).sum(axis=-1))
    seen = (~scene.occluded).any(axis=-1)
    np.testing.assert_array_equal(np.isnan(found.residual), ~seen)
    expected = np.sqrt(np.nanmean(square[seen], axis=-1))
    np.testing.assert_allclose(np.asarray(found.residual)[seen], expected, rtol=1e-9)
