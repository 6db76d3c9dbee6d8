"""What a network reads, whatever the camera, the place in the picture and the frame rate."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import frame_times
from gated_lift.recovery.observation import (
    LONGEST_STEP,
    Clock,
    from_network_frames,
    network_frames,
    observe,
    observe_clip,
    turn_back,
    turn_to,
)
from solvers import Camera, project

CAMERA = Camera(focal=(900.0, 900.0), center=(960.0, 540.0))
LIFTER = TemporalLifter(channels=4, filter_widths=(3,))
FOCAL = 2.29


def moving(seconds, fps, seed=0):
    """A body of 17 joints that crosses the picture, swaying: camera-space joints at any rate."""
    times = np.arange(round(seconds * fps) + 1) / fps
    body = 0.4 * np.random.default_rng(seed).normal(size=(17, 3))
    path = np.stack(
        [1.5 * np.sin(0.8 * times) + 1, 0.2 * np.sin(2 * times), 4 + 0.5 * np.cos(times)], axis=-1
    )
    sway = 0.1 * np.sin(3 * times[:, None] + np.arange(17))[..., None]
    return jnp.asarray(path[None, :, None] + body + sway, jnp.float32)


def clip(seconds=1.0, fps=50.0, hidden=0.3, seed=0):
    joints = moving(seconds, fps)
    occluded = jnp.asarray(np.random.default_rng(seed).random(joints.shape[:-1]) < hidden)
    return joints, project(joints, CAMERA), occluded


# Jitted: eager code is a program for every operation.
@partial(jax.jit, static_argnames=("lifter", "fps", "turned"))
def seen(lifter, keypoints, occluded, fps=50.0, camera=CAMERA, turned=True, length=None):
    times = frame_times(keypoints.shape[1], fps)
    return observe(lifter, keypoints, occluded, camera, FOCAL, times, turned, length)


@partial(jax.jit, static_argnames=("lifter", "clock"))
def seen_by_clock(lifter, keypoints, occluded, clock):
    return observe_clip(lifter, keypoints, occluded, CAMERA, FOCAL, clock)


def test_the_person_is_in_the_middle_and_level_stays_level():
    joints, keypoints, occluded = clip(hidden=0.0)
    found = seen(LIFTER, keypoints, occluded)
    square = np.asarray(found.turn @ jnp.swapaxes(found.turn, -1, -2))
    np.testing.assert_allclose(square, np.broadcast_to(np.eye(3), square.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(found.turn), 1, atol=1e-5)
    assert np.abs(found.keypoints.mean(axis=-2)).max() < 0.25
    assert np.abs(joints[..., :2].mean(axis=-2) / joints[..., 2].mean(axis=-1)[..., None]).max() > 0.3
    np.testing.assert_allclose(found.turn[..., 0, 1], 0, atol=1e-6)  # the right of the turned axes is level
    # Turned joints are seen where the network is told.
    turned = turn_to(joints, found.turn)
    np.testing.assert_allclose(found.keypoints, FOCAL * turned[..., :2] / turned[..., 2:], atol=1e-4)
    np.testing.assert_allclose(turn_back(turned, found.turn), joints, atol=1e-5)
    assert np.abs(np.diff(np.asarray(found.turn), axis=1)).max() < 0.03


def test_without_a_turn_rays_are_those_of_the_camera():
    joints, keypoints, occluded = clip(hidden=0.0)
    found = seen(LIFTER, keypoints, occluded, turned=False)
    np.testing.assert_array_equal(found.turn, np.broadcast_to(np.eye(3), found.turn.shape))
    np.testing.assert_allclose(found.keypoints, FOCAL * joints[..., :2] / joints[..., 2:], atol=1e-4)


@pytest.mark.parametrize("how", ["interpolate", "cubic", "zero"])
def test_hidden_keypoints_are_never_read(how):
    lifter = LIFTER.clone(fill=how)
    _, keypoints, occluded = clip()
    clean = seen(lifter, keypoints, occluded)
    spoiled = seen(lifter, jnp.where(occluded[..., None], jnp.nan, keypoints), occluded)
    for before, after in zip(clean[:4], spoiled[:4], strict=True):
        np.testing.assert_array_equal(before, after)
    assert (np.asarray(clean.keypoints)[occluded] == 0).all() == (how == "zero")


def test_a_causal_network_is_shown_nothing_later():
    lifter = LIFTER.clone(causal=True)
    _, keypoints, occluded = clip()
    later = keypoints.at[:, 30:].add(50.0)
    for fps in (50.0, 20.0):
        frames = network_frames(51, fps, 50.0)
        clock = Clock(fps, 51, frames)
        first, second = (seen_by_clock(lifter, values, occluded, clock) for values in (keypoints, later))
        before = round(29 * 50 / fps)
        for one, other in zip(first[:4], second[:4], strict=True):
            np.testing.assert_array_equal(one[:, :before], other[:, :before])
            assert (
                one.dtype == bool or (one[:, before + 3 :] != other[:, before + 3 :]).any() or one.ndim == 3
            )


def test_a_clip_at_the_networks_rate_is_what_it_reads():
    _, keypoints, occluded = clip()
    direct = seen(LIFTER, keypoints, occluded)
    through = seen_by_clock(LIFTER, keypoints, occluded, Clock(50.0, 51, 51))
    for one, other in zip(direct[:4], through[:4], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("fps", [10.0, 25.0, 30.0, 60.0, 120.0])
def test_one_motion_at_any_rate_is_one_input(fps):
    _, keypoints, occluded = clip(2.0, 50.0, hidden=0.0)
    _, sampled, none = clip(2.0, fps, hidden=0.0)
    frames = network_frames(sampled.shape[1], fps, 50.0)
    found = seen_by_clock(LIFTER, sampled, none, Clock(fps, sampled.shape[1], frames))
    expected = seen(LIFTER, keypoints, occluded)
    assert frames == 101 and not found.occluded.any() and not found.age.any()
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.02)
    poses = turn_to(moving(2.0, 50.0), expected.turn)
    clock = Clock(fps, sampled.shape[1], frames)
    back = jax.jit(lambda poses: from_network_frames(LIFTER, poses, clock, sampled.shape[1]))(poses)
    np.testing.assert_allclose(back, turn_to(moving(2.0, fps), from_turn(expected.turn, fps)), atol=0.01)


def from_turn(turn, fps):
    """Every frame's turn, read off at another rate."""
    places = np.arange(round(2 * fps) + 1) * 50 / fps
    lower, share = np.floor(places + 1e-6).astype(int), places - np.floor(places + 1e-6)
    upper = np.minimum(lower + 1, turn.shape[1] - 1)
    turn = np.asarray(turn)
    return jnp.asarray(turn[:, lower] * (1 - share)[:, None, None] + turn[:, upper] * share[:, None, None])


def test_ages_between_frames_are_times_to_the_nearest_sight():
    """30 frames a second: a joint that shows on frames 0 and 30 alone."""
    _, keypoints, _ = clip(2.0, 30.0)
    occluded = np.ones((1, 61, 17), bool)
    occluded[:, [0, 30]] = False
    found = seen_by_clock(LIFTER, keypoints, jnp.asarray(occluded), Clock(30.0, 61, 101))
    now = np.arange(101) / 50
    expected = np.minimum(np.abs(now), np.abs(now - 1))
    assert list(np.flatnonzero(~np.asarray(found.occluded[0, :, 0]))) == [0, 50]
    np.testing.assert_allclose(found.age[0, :, 3], expected, atol=1e-5)


def test_joints_that_show_on_one_frame_are_seen_late_in_a_long_clip():
    """Half an hour at 30 frames a second: the times of frames are no longer exact in single precision."""
    frames = 54_000
    occluded = np.ones((1, frames, 1), bool)
    occluded[:, ::30] = False
    clock = Clock(30.0, frames, network_frames(frames, 30.0, 50.0))
    read = jax.jit(lambda *clip: observe_clip(LIFTER, *clip, CAMERA, FOCAL, clock, turned=False))
    found = read(jnp.full((1, frames, 1, 2), 500.0), jnp.asarray(occluded))
    shown = np.flatnonzero(~np.asarray(found.occluded[0, :, 0]))
    np.testing.assert_array_equal(shown, np.arange(0, clock.frames - 1, 50))
    assert float(found.age.max()) < 1.0


def test_frames_far_apart_show_nothing_between_them():
    fps = 0.9 / LONGEST_STEP
    _, keypoints, occluded = clip(2.0, fps, hidden=0.0)
    frames = network_frames(keypoints.shape[1], fps, 50.0)
    found = seen_by_clock(LIFTER, keypoints, occluded, Clock(fps, keypoints.shape[1], frames))
    assert found.occluded.mean() > 0.9 and not found.occluded[:, 0].any()
    assert 0.4 / fps < float(found.age.max()) <= 0.5 / fps + 1e-4


@pytest.mark.parametrize("how", ["interpolate", "cubic"])
def test_frames_after_the_last_have_no_say(how):
    lifter = LIFTER.clone(fill=how)
    _, keypoints, occluded = clip()
    longer = [
        np.pad(values, [(0, 0), (0, 40)] + [(0, 0)] * (values.ndim - 2), mode="edge")
        for values in (keypoints, occluded)
    ]
    exact = seen(lifter, keypoints, occluded)
    padded = jax.jit(lambda length: seen(lifter, *map(jnp.asarray, longer), length=length))(51)
    for one, other in zip(exact[:4], padded[:4], strict=True):
        np.testing.assert_allclose(one, other[:, :51], atol=1e-5)
