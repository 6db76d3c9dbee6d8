"""Poses from pixels with tiny random networks of every kind."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables
from scenes import on_the_spot
from scipy.spatial.transform import Rotation

from gated_lift import pipeline
from gated_lift.cameras import up_of
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.checkpoints import with_training
from gated_lift.networks.factorized import FactorizedLifter
from gated_lift.networks.protocol import Hints, lift_clip
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import frame_times
from gated_lift.pipeline import recover
from gated_lift.recovery.lifting import lift, lift_pixels
from gated_lift.recovery.observation import Clock, network_frames, observe, turn_back
from gated_lift.skeleton import H36M_17
from solvers import Camera, Extrinsics, project

CAMERA = Camera(focal=(800.0, 800.0), center=(960.0, 540.0))
TEMPORAL = TemporalLifter("two_stream", 8, (3, 3), framing="person", mask_channels="age", fill="cubic")
NETWORKS = {
    "temporal": TEMPORAL,
    "causal": TemporalLifter("two_stream", 8, (3, 3), mask_channels="age", causal=True),
    "attention": AttentionLifter(window=9, patch=3, channels=8, heads=2, depth=1, slide=4),
    "factorized": FactorizedLifter(window=12, bases=3, features=6, hidden=7, slide=5),
    "sequence": SequenceLifter(channels=8, window=3),
}


def loaded(network):
    frames = network.receptive_field
    shapes = jax.eval_shape(
        network.init, jax.random.key(0), jnp.zeros((1, frames, 17, 2)), jnp.zeros((1, frames, 17), bool)
    )
    return with_training(network, random_variables(shapes, seed=0), {"skeleton": "h36m_17"})


LIFTERS = {kind: loaded(network) for kind, network in NETWORKS.items()}


def clip(frames, hidden=0.3, fps=50.0):
    """Two people who sway; one of them is out of sight at the end, the other in part."""
    rng = np.random.default_rng(0)
    times = np.arange(frames) / fps
    body = 0.4 * rng.normal(size=(2, 1, 17, 3))
    path = np.stack([np.sin(times) - 0.3, 0.1 * np.cos(2 * times), 4 + 0.3 * np.sin(times)], axis=-1)
    sway = 0.1 * np.sin(3 * times[:, None] + np.arange(17))[None, ..., None]
    joints = (path[None, :, None] + body + sway).astype(np.float32)
    occluded = rng.random(joints.shape[:-1]) < hidden
    if hidden:
        occluded[0, -2:, 3] = occluded[1, -3:] = True
    return joints, np.array(project(jnp.asarray(joints), CAMERA)), occluded


def lengthened(values, frames):
    more = frames - values.shape[1]
    return jnp.asarray(np.pad(values, [(0, 0), (0, more)] + [(0, 0)] * (values.ndim - 2), mode="edge"))


@partial(jax.jit, static_argnums=(0, 1))
def lift_fast(kind, fps, keypoints, occluded, length=None):
    frames = keypoints.shape[1]
    clock = None
    if fps != 50.0:
        clock = Clock(fps, frames if length is None else length, network_frames(frames, fps, 50.0))
    return lift_pixels(LIFTERS[kind], keypoints, occluded, CAMERA, True, clock, length)


def about_vertical(joints, degrees):
    """What a camera that is turned about its own vertical sees."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    return (joints @ turn.T).astype(np.float32), turn


# Frames at another rate are brought to the network's before any network sees them.
RATES = [*((kind, 50.0) for kind in NETWORKS), ("temporal", 30.0)]
OTHERS = [pytest.param(kind, 30.0, marks=pytest.mark.thorough) for kind in NETWORKS if kind != "temporal"]


@pytest.mark.parametrize(("kind", "fps"), [*RATES, *OTHERS])
def test_padding_has_no_say(kind, fps):
    """Also where people are hidden at the end."""
    _, keypoints, occluded = clip(40, fps=fps)
    exact = lift_fast(kind, fps, keypoints, occluded)
    padded = lift_fast(kind, fps, lengthened(keypoints, 64), lengthened(occluded, 64), 40)
    np.testing.assert_allclose(padded[:, :40], exact, atol=2e-5)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_padding_has_no_say_in_clips_shorter_than_a_window(kind):
    _, keypoints, occluded = clip(6)
    exact = lift_fast(kind, 50.0, keypoints, occluded)
    padded = lift_fast(kind, 50.0, lengthened(keypoints, 64), lengthened(occluded, 64), 6)
    np.testing.assert_allclose(padded[:, :6], exact, atol=2e-5)


@pytest.mark.parametrize(("kind", "fps"), RATES)
def test_double_precision_is_kept(kind, fps, float64):
    # In single precision the program of the clips with padding.
    _, keypoints, occluded = clip(40, fps=fps)
    single = lift_fast(kind, fps, keypoints, occluded)
    keypoints = keypoints.astype(np.float64)
    # Flax's layer norm and the z-scores of the rivals mix precisions, as JAX does by default.
    with jax.numpy_dtype_promotion("strict" if kind in ("temporal", "causal") else "standard"):
        double = lift_fast(kind, fps, lengthened(keypoints, 64), lengthened(occluded, 64), 40)
    assert double.dtype == jnp.float64 and single.dtype == jnp.float32
    np.testing.assert_allclose(double[:, :40], single, atol=1e-3)


def test_lift_is_observe_lift_clip_and_the_turn_back():
    _, keypoints, occluded = clip(20)
    lifter = LIFTERS["temporal"]
    times = frame_times(20, 50.0)

    @jax.jit
    def by_hand(keypoints, occluded):
        seen = observe(TEMPORAL, keypoints, occluded, CAMERA, lifter.focal, times)
        answers = lift_clip(
            TEMPORAL, lifter.variables, seen.keypoints, seen.occluded, lifter.skeleton, True, seen.age
        )
        return answers, turn_back(answers, seen.turn)

    def run(lifter, *arrays):
        return jax.jit(lambda *arrays: lift(lifter, *arrays, CAMERA, 50.0))(*arrays)

    answers, expected = by_hand(keypoints, occluded)
    found = run(lifter, keypoints, occluded)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(np.asarray(found - answers)).max() > 0.05
    grid = run(lifter, keypoints[:, None], occluded[:, None])
    assert grid.shape == (2, 1, 20, 17, 3)
    unturned = run(lifter._replace(turned=False), keypoints, occluded)
    assert np.abs(np.asarray(found - unturned)).max() > 1e-3


@pytest.mark.parametrize("target", ["pose", "root"])
@pytest.mark.parametrize("fps", [50.0, 30.0])
def test_what_a_turned_camera_sees_is_turned(target, fps):
    """Poses and roots come back in the axes of the camera."""
    lifter = loaded(TEMPORAL.clone(target=target))
    joints, keypoints, occluded = clip(20, hidden=0.0, fps=fps)
    aside, turn = about_vertical(joints, 35)
    run = jax.jit(lambda keypoints: lift(lifter, keypoints, jnp.asarray(occluded), CAMERA, fps))
    straight, found = run(keypoints), run(np.array(project(jnp.asarray(aside), CAMERA)))
    assert found.shape[-2] == {"pose": 17, "root": 1}[target]
    np.testing.assert_allclose(found, np.asarray(straight) @ turn.T, atol=1e-4)


def test_one_motion_at_any_rate_has_one_pose():
    _, keypoints, occluded = clip(101, hidden=0.0)
    expected = lift_fast("temporal", 50.0, keypoints, occluded)
    for fps in (25.0, 100.0):
        _, sampled, none = clip(int(2 * fps) + 1, hidden=0.0, fps=fps)
        found = lift_fast("temporal", fps, sampled, none)
        step = round(max(fps, 50.0) / min(fps, 50.0))
        fine, coarse = (found, expected) if fps > 50 else (expected, found)
        np.testing.assert_allclose(fine[:, ::step], coarse, atol=0.02)


def test_hidden_keypoints_are_never_read():
    _, keypoints, occluded = clip(20)
    spoiled = np.where(occluded[..., None], np.nan, keypoints)
    for fps in (50.0, 30.0):
        clean = lift_fast("temporal", fps, keypoints, occluded)
        np.testing.assert_array_equal(lift_fast("temporal", fps, spoiled, occluded), clean)


def test_wrong_arguments_are_refused_as_recover_does():
    _, keypoints, occluded = clip(20)
    with pytest.raises(ValueError, match="fps is missing"):
        lift(LIFTERS["temporal"], keypoints, occluded, CAMERA)
    with pytest.raises(ValueError, match="keypoints has 16 joints"):
        lift(LIFTERS["temporal"], keypoints[:, :, 1:], occluded[:, :, 1:], CAMERA, 50.0)


TILTED = loaded(TEMPORAL.clone(tilt=True, confidence=True))


@partial(jax.jit, static_argnames="clock")
def lift_told(keypoints, occluded, up, clock=None):
    return lift_pixels(TILTED, keypoints, occluded, CAMERA, True, clock, None, Hints(up))


def test_a_network_that_reads_the_vertical_is_told_it_in_its_own_axes():
    """Zeros are as good as nothing; a mirrored film with a mirrored vertical gives mirrored poses; and a
    vertical a frame that does not change is one for all.
    """
    _, keypoints, occluded = clip(20)
    up = np.float32([[0.1, -0.9, -0.4]]) / np.linalg.norm([0.1, -0.9, -0.4])
    told = np.asarray(lift_told(keypoints, occluded, up))
    np.testing.assert_array_equal(
        lift_told(keypoints, occluded, np.zeros_like(up)), lift_told(keypoints, occluded, None)
    )
    assert np.abs(told - np.asarray(lift_told(keypoints, occluded, None))).max() > 1e-4
    np.testing.assert_allclose(
        lift_told(keypoints, occluded, np.broadcast_to(up, (20, 3))), told, rtol=1e-5, atol=1e-5
    )
    mirror = np.array(H36M_17.mirror)
    flipped = keypoints[:, :, mirror].copy()
    flipped[..., 0] = 2 * CAMERA.center[0] - flipped[..., 0]
    mirrored = lift_told(flipped, occluded[:, :, mirror], up * np.float32([-1, 1, 1]))
    expected = told[:, :, mirror] * np.float32([-1, 1, 1])
    np.testing.assert_allclose(mirrored, expected, rtol=1e-4, atol=1e-4)


def test_recover_tells_the_vertical_of_a_moving_camera_and_the_confidence(monkeypatch):
    """A camera path's vertical is that of `up`."""
    monkeypatch.setattr(pipeline, "solve_trajectory", on_the_spot)
    _, keypoints, occluded = clip(20, hidden=0.0)
    up = up_of(0.4, 0.2)
    # Rows are the camera's axes in the world; the world's z in camera axes is the third column.
    rotation = Rotation.align_vectors([up], [[0, 0, 1]])[0].as_matrix()
    still = Extrinsics(
        np.broadcast_to(rotation, (20, 3, 3)).astype(np.float32), np.zeros((20, 3), np.float32)
    )
    options = {"pose_smoothing": 0.0, "keep_absent": True}
    doubted = np.full(occluded.shape, 0.5, np.float32)
    doubted[:, 10:] = 0.9
    told = recover(TILTED, keypoints, occluded, CAMERA, 50.0, doubted, up=up, **options)
    moved = recover(TILTED, keypoints, occluded, CAMERA, 50.0, doubted, extrinsics=still, **options)
    sure = recover(TILTED, keypoints, occluded, CAMERA, 50.0, np.ones_like(doubted), up=up, **options)
    assert np.abs(np.asarray(sure.poses) - told.poses).max() > 1e-4
    poses = np.einsum("ij,pfnj->pfni", rotation, np.asarray(moved.poses))
    np.testing.assert_allclose(poses, told.poses, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"up is \(0, 0, 0\): give a vector of length 1"):
        recover(TILTED, keypoints, occluded, CAMERA, 50.0, up=(0, 0, 0))
