"""Forms in which arguments come: cameras, windows, traced numbers, short dtypes, NaN where nobody looks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle

from solvers import (
    Camera,
    Extrinsics,
    Status,
    TrajectoryConfig,
    feed,
    normalize,
    project,
    solve_focal,
    solve_trajectory,
    start_stream,
)
from solvers.trajectory import _fold, _unfold

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
STILL = Extrinsics(np.eye(3)[None], np.zeros((1, 3)))


def short(people, frames, dtype=np.float32, **settings):
    scene = oracle.walking_people(people, frames, joints=6, hidden=0.2, **settings)
    return scene._replace(poses=scene.poses.astype(dtype), keypoints=scene.keypoints.astype(dtype))


# Each is a program of its own, with two solves in it: intrinsics and poses come together, in one form and in
# another. People are told apart before windows are cut; a camera of each without frames is solved elsewhere.
FORMS = {
    "one of all, one pose of each person": (
        Camera(np.tile(oracle.FOCAL, (1, 1, 1)), np.tile(oracle.CENTER, (1, 1, 1))),
        Extrinsics(*(np.stack([v, v]) for v in STILL)),
    ),
    "one of each frame": (
        Camera(np.broadcast_to(oracle.FOCAL, (2, 11, 2)), oracle.CENTER),
        Extrinsics(*(np.repeat(v, 11, axis=0) for v in STILL)),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.thorough
def test_a_last_window_of_one_frame(form):
    # A remainder of one frame used to be cut out of a camera with one frame.
    camera, extrinsics = FORMS[form]
    scene = short(2, 11)
    found = solve_trajectory(*scene[:3], camera, TrajectoryConfig(window=5), extrinsics=extrinsics)
    np.testing.assert_array_equal(found.status, Status.CONVERGED)
    for begin in range(0, 11, 5):
        part = slice(begin, begin + 5)
        alone = solve_trajectory(*(values[:, part] for values in scene[:3]), CAMERA)
        np.testing.assert_allclose(found.root[:, part], alone.root, atol=2e-5, rtol=0)


@pytest.mark.parametrize("length", range(1, 12))
def test_windows_of_any_length_are_cut_and_put_together(length):
    # Whatever has one frame is everybody's in every window; the last window may be any shorter.
    frames, people = 11, 2
    values = jnp.arange(3 * frames * people).reshape(3, frames, people)
    whole = frames - frames % length
    pieces = []
    for begin, end in ((0, whole), (whole, frames)):
        size = min(length, end - begin)
        if not size:
            continue
        cut = _fold(values, begin, end, size)
        windows = (end - begin) // size
        assert cut.shape == (3, size, windows * people)
        np.testing.assert_array_equal(cut[:, :, :people], values[:, begin : begin + size])
        still = _fold(values[:, :1], begin, end, size)
        np.testing.assert_array_equal(still, jnp.tile(values[:, :1], (1, 1, windows)))
        pieces.append(_unfold(jnp.moveaxis(cut, 0, 1), people))
    together = jnp.concatenate(pieces, axis=1)
    np.testing.assert_array_equal(together, jnp.transpose(values, (2, 1, 0)))


@pytest.mark.thorough
def test_every_number_may_be_traced_by_itself(float64):
    scene = short(2, 9, np.float64)
    expected = solve_trajectory(
        *scene[:3],
        CAMERA._replace(radial=(-0.1, 0.02, 0.0), tangential=(1e-3, 0.0)),
        TrajectoryConfig((1.0, 0.5, 1.0), 2.0, keypoint_std=2.0, size_std=0.1, bias_std=0.2),
        covariance=True,
        extrinsics=STILL,
    )

    @jax.jit
    def solve(one, zero):
        camera = Camera(
            (oracle.FOCAL[0] * one, oracle.FOCAL[1]),
            [oracle.CENTER[0], oracle.CENTER[1] * one],
            radial=(-0.1 * one, 0.02, zero),
            tangential=[1e-3, zero],
        )
        rotation = [[[one, zero, 0.0], [0.0, one, zero], [zero, 0.0, one]]]
        config = TrajectoryConfig(
            (one, 0.5 * one, 1.0), 2 * one, keypoint_std=2 * one, size_std=0.1 * one, bias_std=0.2 * one
        )
        return solve_trajectory(
            *scene[:3],
            camera,
            config,
            covariance=True,
            extrinsics=Extrinsics(rotation, [(zero, 0.0, zero)]),
        )

    found = solve(1.0, 0.0)
    np.testing.assert_allclose(found.root, expected.root, atol=1e-9)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-6)
    weight = jax.jit(lambda one: TrajectoryConfig.from_noise(2 * one, (one, 1.0, 0.5), 3 * one)[0])(1.0)
    plain = TrajectoryConfig.from_noise(2.0, (1.0, 1.0, 0.5), 3.0)
    np.testing.assert_allclose(weight, plain.velocity_weight)


def test_a_leading_axis_of_one_is_everybodys():
    scene = short(2, 5)  # one program with the windows above
    expected = solve_trajectory(*scene[:3], CAMERA)
    points = jnp.asarray(scene.poses) + jnp.asarray(scene.root, jnp.float32)[:, :, None]
    for lead in ((1,), (1, 1), (2, 1), (1, 5)):
        camera = Camera(np.broadcast_to(oracle.FOCAL, (*lead, 2)), np.broadcast_to(oracle.CENTER, (*lead, 2)))
        if lead == (1, 5):  # each is a program of its own; that of (1, 1) is among the `FORMS`
            found = solve_trajectory(*scene[:3], camera)
            np.testing.assert_allclose(found.root, expected.root, atol=1e-6)
        pixels = project(points, camera)
        np.testing.assert_array_equal(pixels, project(points, CAMERA))
        np.testing.assert_array_equal(normalize(pixels, camera), normalize(pixels, CAMERA))


def with_rubbish(scene):
    """NaN at every hidden joint; every frame shows somebody."""
    poses, keypoints = (np.where(scene.occluded[..., None], np.nan, v).astype(np.float32) for v in scene[:2])
    confidence = np.where(scene.occluded, np.nan, 1.0).astype(np.float32)
    assert (~scene.occluded).any(axis=-1).all()
    return poses, keypoints, scene.occluded, confidence


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.thorough
def test_hidden_rubbish_reaches_no_arithmetic_that_is_looked_at(on_device):
    scene = short(2, 8, distance=3.0)
    poses, keypoints, occluded, confidence = with_rubbish(scene)
    lens = CAMERA._replace(radial=(-0.1, 0.0, 0.0))
    if on_device:
        poses, keypoints, confidence = map(jnp.asarray, (poses, keypoints, confidence))
    with jax.debug_nans(True):
        for dtype in (np.float32, np.float64):  # NumPy's usual one is cast on the way
            given = poses, keypoints if on_device else keypoints.astype(dtype), occluded
            found = solve_trajectory(*given, lens, confidence=confidence, covariance=True)
            np.testing.assert_array_equal(found.status, Status.CONVERGED)
        focal = solve_focal(poses, keypoints, occluded, CAMERA, confidence=confidence)
        assert np.all(np.asarray(focal.trajectory.status) <= Status.UNOBSERVABLE)
    state = start_stream(2, 6, CAMERA, TrajectoryConfig(), lag=3)
    for t in range(8):
        # As long as the window is not full there is no frame of `lag` ago, which is an answer of NaN.
        frame = [values[:, t] for values in (poses, keypoints, occluded)]
        trust = confidence[:, t]
        with jax.debug_nans(t >= 3):
            state, found = feed(state, *frame, confidence=trust)
    assert np.isfinite(found.root).all() and np.isfinite(found.lagged).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.thorough
def test_short_floats_are_computed_in_float32(dtype):
    scene = short(2, 5)
    poses = jnp.asarray(scene.poses).astype(dtype)
    found = solve_trajectory(poses, scene.keypoints, scene.occluded, CAMERA, covariance=True)
    same = solve_trajectory(poses.astype(jnp.float32), scene.keypoints, scene.occluded, CAMERA)
    assert found.root.dtype == found.covariance.dtype == jnp.float32
    np.testing.assert_array_equal(found.status, Status.CONVERGED)
    np.testing.assert_allclose(found.root, same.root, atol=1e-6)
    with pytest.raises(ValueError, match="whose digits do not suffice for a path: pass float32"):
        start_stream(2, 6, CAMERA, dtype=dtype)


@pytest.mark.parametrize("name", ["poses", "keypoints", "occluded", "confidence", "initial_root"])
def test_a_masked_array_is_refused(name):
    scene = short(1, 5)
    given = {
        "poses": scene.poses,
        "keypoints": scene.keypoints,
        "occluded": scene.occluded,
        "confidence": np.ones(scene.occluded.shape, np.float32),
        "initial_root": scene.root.astype(np.float32),
    }
    given[name] = np.ma.masked_array(given[name], np.zeros(given[name].shape, bool))
    with pytest.raises(ValueError, match=rf"{name} is a masked array.*give its data.*{name}\.filled\(0\)"):
        solve_trajectory(**given, camera=CAMERA)


def test_a_keypoint_without_a_ray_leaves_the_start_finite():
    # So far off that the lens model has no ray there; undoing the lens used to run to 1e8.
    scene = short(2, 12)
    camera = Camera((1400.0, 1400.0), (512.0, 515.0), radial=(-0.2, 0.0, 0.0))
    points = scene.poses + scene.root[:, :, None]
    keypoints = np.array(project(jnp.asarray(points, jnp.float32), camera))
    config = TrajectoryConfig(loss="geman_mcclure")
    clean = solve_trajectory(scene.poses, keypoints, scene.occluded, camera, config)
    np.testing.assert_array_equal(clean.status, Status.CONVERGED)
    joint = int(np.argmin(scene.occluded[0, 4]))
    keypoints[0, 4, joint] = [9000.0, -7000.0]
    found = solve_trajectory(scene.poses, keypoints, scene.occluded, camera, config)
    np.testing.assert_array_equal(found.status, Status.CONVERGED)
    np.testing.assert_allclose(found.root, clean.root, atol=0.1)
