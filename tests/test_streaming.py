"""The fixed-lag form: equal to the whole clip while that fits, and what it keeps of older frames afterwards.

A stream compiles for seconds: all tests share two kinds, a plain one in float64 and one in float32 that has
everything (world axes, confidences, a robust loss).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import trajectory_oracle as oracle

from solvers import Camera, Extrinsics, Status, TrajectoryConfig, feed, forget, start_stream, window_root
from solvers.streaming import _feed

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
PEOPLE, JOINTS, LAG = 3, 6, 12
SCALE = 20.0
ORIGIN = np.array([7.0, 0.0, 0.0])


def walk(frames, gap=0):
    return oracle.walking_people(PEOPLE, frames, joints=JOINTS, hidden=0.3, gap=gap)


# -------------------------------------------------------------------- float64, squared loss, a still camera


def plain_stream(weights):
    return start_stream(PEOPLE, JOINTS, CAMERA, TrajectoryConfig(*weights), lag=LAG, dtype=jnp.float64)


def feed_plain(state, scene, frames):
    for t in frames:
        state, estimate = feed(state, scene.poses[:, t], scene.keypoints[:, t], scene.occluded[:, t])
        np.testing.assert_array_equal(estimate.status, Status.CONVERGED)
    return state, estimate


def expected_roots(scene, frames, weights):
    people = [[values[i, frames] for values in (scene.root, *scene[:3])] for i in range(PEOPLE)]
    return np.stack([oracle.solve(*person, weights) for person in people])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.01, 0.01), (0.0, 1.0), (1.0, 0.0)])
def test_a_lag_that_covers_the_clip_gives_the_whole_clips_answer(float64, weights):
    scene = walk(LAG + 1, gap=3)
    state, fed = plain_stream(weights), 0
    for frames in (1, 2, 8, LAG, LAG + 1):
        state, estimate = feed_plain(state, scene, range(fed, frames))
        fed = frames
        found = np.asarray(window_root(state))
        expected = expected_roots(scene, slice(frames), weights)
        np.testing.assert_allclose(found[:, LAG + 1 - frames :], expected, atol=1e-6, rtol=0)
        assert np.isnan(found[:, : LAG + 1 - frames]).all()
        np.testing.assert_array_equal(estimate.root, found[:, -1])
        np.testing.assert_array_equal(estimate.lagged, found[:, 0])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.01, 0.01), (0.0, 1.0), (1.0, 0.0)])
def test_older_frames_are_kept_as_a_prior(float64, weights):
    frames = 50
    scene = walk(frames)
    # Few joints in the last frames, so that a window alone would be unsure.
    scene.occluded[:, -LAG - 3 :, 2:] = True
    state, _ = feed_plain(plain_stream(weights), scene, range(frames))
    window = slice(frames - LAG - 1, frames)
    whole = expected_roots(scene, slice(frames), weights)[:, window]
    alone = expected_roots(scene, window, weights)
    found = np.asarray(window_root(state))
    # What is left is the linearisation of frames that had left when the last ones came.
    assert np.abs(found - whole).max() < 0.02 * np.abs(alone - whole).max()
    assert np.abs(found - whole).max() < 2e-3


def test_sizes_do_not_depend_on_what_was_fed(float64):
    scene = walk(20)
    state = plain_stream((1.0, 1.0))
    for t in range(20):
        after, _ = feed_plain(state, scene, [t])
        assert jax.tree.structure(state) == jax.tree.structure(after)
        kinds = ([(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(either)] for either in (state, after))
        assert next(kinds) == next(kinds)
        state = after


# ------------------------------------ float32, Geman-McClure's loss, confidences, a camera that moves


def camera_path(frames):
    """(F, 3, 3) and (F, 3): it turns and walks."""
    time = np.arange(frames) / 50
    turn = 0.3 * np.sin(2 * time)
    zero, one = np.zeros(frames), np.ones(frames)
    rows = [[np.cos(turn), zero, -np.sin(turn)], [zero, one, zero], [np.sin(turn), zero, np.cos(turn)]]
    rotation = np.moveaxis(np.array(rows), -1, 0)
    return Extrinsics(rotation, np.stack([0.3 * time, 0.1 * np.cos(time), -0.2 * time], axis=-1) + ORIGIN)


def film(frames, gap=0):
    """A clip of world roots before the moving camera, some joints wrong, with confidences."""
    scene, path = walk(frames, gap), camera_path(frames)
    scene.occluded[:, 0] = False
    rng = np.random.default_rng(1)
    root = scene.root + ORIGIN
    poses = np.einsum("fij,pfkj->pfki", path.rotation, scene.poses)
    points = np.einsum("fij,pfj->pfi", path.rotation, root - path.position)[:, :, None] + poses
    noise = scene.keypoints - project_plainly(scene.poses + scene.root[:, :, None])
    keypoints = project_plainly(points) + noise
    keypoints[rng.uniform(size=keypoints.shape[:-1]) < 0.1] += 90.0
    confidence = rng.uniform(0.3, 1.0, size=keypoints.shape[:-1])
    return scene._replace(poses=poses, keypoints=keypoints, root=root), confidence, path


def project_plainly(points):
    return points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER


def moving_stream():
    config = TrajectoryConfig(0.1, 1.0, loss="geman_mcclure", loss_scale=SCALE)
    return start_stream(PEOPLE, JOINTS, CAMERA, config, lag=LAG, moving=True)


def feed_film(state, scene, confidence, path, frames):
    """The state after the frames, and estimates with frames first."""
    found = []
    for t in frames:
        seen = (values[:, t] for values in scene[:3])
        pose = Extrinsics(path.rotation[t], path.position[t])
        state, estimate = feed(state, *seen, confidence=confidence[:, t], extrinsics=pose)
        found.append(estimate)
    return state, jax.tree.map(lambda *values: np.stack(values), *found)


def robust_minimum(scene, confidence, path, person):
    """The minimum of the robust cost near the truth, by SciPy, which knows nothing of a solver's rows."""
    frames, shown = len(scene.root[person]), ~scene.occluded[person]

    def rows(values):
        root = values.reshape(frames, 3)
        before = np.einsum("fij,fj->fi", path.rotation, root - path.position)
        error = (project_plainly(scene.poses[person] + before[:, None]) - scene.keypoints[person])[shown]
        share = 1 / (1 + (error**2).sum(axis=-1) / SCALE**2)
        velocity = 1000 * np.diff(root, axis=0)
        parts = [
            np.sqrt(confidence[person][shown] * share)[:, None] * error,
            np.sqrt(0.1) * velocity,
            np.diff(velocity, axis=0),
        ]
        return np.concatenate([part.ravel() for part in parts])

    return scipy.optimize.least_squares(rows, scene.root[person].ravel(), xtol=1e-10).x.reshape(frames, 3)


@pytest.mark.thorough
def test_world_axes_confidences_and_a_robust_loss():
    scene, confidence, path = film(LAG + 1, gap=3)
    state, found = feed_film(moving_stream(), scene, confidence, path, range(LAG + 1))
    np.testing.assert_array_equal(found.status[-1], Status.CONVERGED)
    expected = np.stack([robust_minimum(scene, confidence, path, person) for person in range(PEOPLE)])
    np.testing.assert_allclose(window_root(state), expected, atol=1e-4, rtol=0)
    assert state.roots.dtype == jnp.float32


def test_hidden_for_longer_than_the_window():
    gap, frames = 4 * LAG, 8 * LAG
    scene, confidence, path = film(frames, gap)
    _, found = feed_film(moving_stream(), scene, confidence, path, range(frames))
    np.testing.assert_array_equal(found.status, Status.CONVERGED)
    assert np.isfinite(found.root).all() and np.isfinite(found.lagged[LAG:]).all()
    assert np.isnan(found.lagged[:LAG]).all()
    error = np.linalg.norm(found.root - np.moveaxis(scene.root, 1, 0), axis=-1)
    lagged = np.linalg.norm(found.lagged[LAG:] - np.moveaxis(scene.root, 1, 0)[:-LAG], axis=-1)
    before, after = (frames - gap) // 2, (frames + gap) // 2
    # People walk on for a second as they walked, and are found again at once.
    assert error[before:after].max() < 1.5
    assert lagged[LAG:before].max() < 0.1 and lagged[after:].max() < 0.1 and error[after + 5 :].max() < 0.2


def test_spoilt_people_get_their_status_and_change_nobody_else():
    frames = 3 * LAG
    scene, confidence, path = film(frames)
    clean_state, clean = feed_film(moving_stream(), scene, confidence, path, range(frames))
    np.testing.assert_array_equal(clean.status, Status.CONVERGED)

    poses, keypoints, occluded = (values.copy() for values in scene[:3])
    confidence = confidence.copy()
    occluded[1, [4, 9, 14]] = False
    keypoints[1, 4, 0] = np.nan
    poses[1, 9, 2] = np.inf
    confidence[1, 14, 3] = -0.1
    keypoints[1, 18], occluded[1, 18] = 1e30, False
    # Person 2 comes after seven frames and is behind the camera, as detections have it, for two more.
    occluded[2, :7] = True
    keypoints[2, :7] = np.nan
    occluded[2, 7:9] = False
    before = np.einsum("fij,fj->fi", path.rotation, scene.root[2] - path.position) * [1, 1, -1]
    keypoints[2, 7:9] = project_plainly(poses[2] + before[:, None])[7:9]
    spoilt = scene._replace(poses=poses, keypoints=keypoints, occluded=occluded)
    state, found = feed_film(moving_stream(), spoilt, confidence, path, range(frames))

    for either in ("root", "lagged", "status", "num_steps"):
        np.testing.assert_array_equal(getattr(found, either)[:, 0], getattr(clean, either)[:, 0])
    for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(clean_state), strict=True):
        if left.ndim and left.shape[-1] == PEOPLE:
            np.testing.assert_array_equal(left[..., 0], right[..., 0])

    expected = np.full(frames, int(Status.CONVERGED))
    expected[[4, 9, 14, 18]] = Status.NON_FINITE
    np.testing.assert_array_equal(found.status[:, 1], expected)
    # The frame counts as hidden: there is an answer, and a good one.
    assert np.isfinite(found.root[:, 1]).all()
    assert np.linalg.norm(found.root[4:, 1] - clean.root[4:, 1], axis=-1).max() < 0.2
    assert np.linalg.norm(found.root[-1, 1] - clean.root[-1, 1]) < 1e-2

    few, behind = Status.TOO_FEW_OBSERVATIONS, Status.BEHIND_CAMERA
    np.testing.assert_array_equal(found.status[:9, 2], [few] * 7 + [behind] * 2)
    assert np.isnan(found.root[:9, 2]).all()
    assert np.isfinite(found.root[-1, 2]).all() and found.status[-1, 2] == Status.CONVERGED


def test_a_place_that_somebody_else_takes():
    frames = 2 * LAG
    scene, confidence, path = film(frames)
    state, _ = feed_film(moving_stream(), scene, confidence, path, range(LAG + 2))
    other = forget(state, np.array([False, True, False]))
    assert np.isnan(window_root(other)[1]).all()
    np.testing.assert_array_equal(window_root(other)[::2], window_root(state)[::2])
    for values in scene[:2]:
        values[1] = values[0]
    scene.occluded[1] = scene.occluded[0]
    confidence[1] = confidence[0]
    _, found = feed_film(other, scene, confidence, path, range(LAG + 2, frames))
    assert np.linalg.norm(found.root[-1, 1] - found.root[-1, 0]) < 0.1
    with pytest.raises(ValueError, match=r"people has shape \(2,\).*pass 3 booleans"):
        forget(state, np.zeros(2, bool))


def test_a_traced_rotation_that_is_none_hides_the_frame():
    scene, confidence, path = film(3)
    state, _ = feed_film(moving_stream(), scene, confidence, path, range(2))
    rotation = np.broadcast_to(path.rotation[2], (PEOPLE, 3, 3)).astype(np.float32).copy()
    rotation[1] *= 2
    position = np.broadcast_to(path.position[2], (PEOPLE, 3)).astype(np.float32)
    # What `feed` calls under a caller's jit; this call compiles nothing new.
    arrays = (jnp.asarray(values[:, 2], jnp.float32) for values in scene[:2])
    _, found = _feed(
        state,
        *arrays,
        jnp.asarray(scene.occluded[:, 2]),
        jnp.asarray(confidence[:, 2], jnp.float32),
        Extrinsics(rotation, position),
    )
    good, wrong = Status.CONVERGED, Status.NON_FINITE
    assert [int(status) for status in found.status] == [good, wrong, good]
    assert np.isfinite(found.root).all()


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lag": 0}, "lag is 0: pass a whole number, 1 at least"),
        ({"lag": 2.5}, "lag is 2.5: pass a whole number"),
        ({"lag": True}, "lag is True: pass a whole number"),
        ({"people": 0}, "people is 0: pass"),
        ({"joints": -3}, "joints is -3: pass"),
        ({"dtype": jnp.int32}, "dtype is int32: pass float32"),
        ({"dtype": jnp.float64}, "dtype is float64, which JAX has switched off"),
        ({"config": TrajectoryConfig(window=20)}, r"config\.window is 20: a stream has its lag instead"),
        ({"config": TrajectoryConfig(0.0, 0.0)}, "leaves an axis without either"),
        ({"config": TrajectoryConfig(np.array([1.0, 0.0, 1.0]), 0.0)}, "leaves an axis without either"),
        ({"config": TrajectoryConfig(loss="luck")}, r"config\.loss is 'luck'"),
        ({"camera": Camera((0.0, 1.0), (0.0, 0.0))}, r"camera\.focal has fx = 0.0"),
        ({"camera": Camera(np.ones((2, 2)), (0.0, 0.0))}, r"camera has leading axes \(2,\)"),
    ],
)
def test_a_stream_that_cannot_start_names_the_argument_and_the_mend(change, message):
    arguments = {"people": PEOPLE, "joints": JOINTS, "camera": CAMERA, "lag": LAG} | change
    with pytest.raises(ValueError, match=message):
        start_stream(**arguments)


POSE = Extrinsics(np.eye(3), np.zeros(3))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"poses": np.zeros((2, JOINTS, 3))},
            "poses has 2 people, the stream was started for 3",
        ),
        ({"keypoints": np.zeros((PEOPLE, 7, 2))}, "keypoints has 7 joints, the stream was started for 6"),
        ({"poses": np.zeros((PEOPLE, 1, JOINTS, 3))}, r"poses has shape .*: pass one frame of everybody"),
        ({"keypoints": np.zeros((PEOPLE, JOINTS, 3))}, r"keypoints has shape \(3, 6, 3\): pass one frame"),
        ({"occluded": np.zeros((PEOPLE, JOINTS))}, "occluded has dtype float64: pass booleans"),
        ({"poses": np.zeros((PEOPLE, JOINTS, 3), int)}, "poses has dtype int64: pass floating point"),
        ({"confidence": np.zeros((PEOPLE, 5))}, "confidence has 5 joints"),
        ({"confidence": np.zeros((PEOPLE, JOINTS), int)}, "confidence has dtype int64"),
        ({"extrinsics": None}, "extrinsics are missing: the stream was started with moving=True"),
        (
            {"extrinsics": POSE._replace(rotation=np.ones((3, 3)))},
            r"extrinsics\.rotation holds a matrix",
        ),
        ({"extrinsics": POSE._replace(rotation=np.eye(2))}, r"extrinsics\.rotation has shape \(2, 2\)"),
        (
            {"extrinsics": POSE._replace(position=np.zeros((2, 3)))},
            r"extrinsics\.position has shape",
        ),
    ],
)
def test_a_frame_that_does_not_fit_names_the_argument_and_the_mend(change, message):
    frame = {
        "poses": np.zeros((PEOPLE, JOINTS, 3)),
        "keypoints": np.zeros((PEOPLE, JOINTS, 2)),
        "occluded": np.zeros((PEOPLE, JOINTS), bool),
        "extrinsics": POSE,
    }
    with pytest.raises(ValueError, match=message):
        feed(moving_stream(), **(frame | change))


def test_a_stream_in_camera_axes_takes_no_extrinsics():
    state = start_stream(1, 2, CAMERA)
    with pytest.raises(ValueError, match=r"extrinsics were passed, .* start it with moving=True"):
        feed(state, np.zeros((1, 2, 3)), np.zeros((1, 2, 2)), np.ones((1, 2), bool), extrinsics=POSE)
