"""Hidings of whole people, filled by an untrained network: the cubic, at any frame rate and in any axes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_infill import TINY

from gated_lift.networks.checkpoints import LoadedInfill
from gated_lift.networks.infill import fill_motion
from gated_lift.recovery.infilling import hidings, infill, turn_upright
from gated_lift.recovery.observation import Clock, network_frames
from gated_lift.synthetic import generated

NETWORK = TINY.clone(window=32)
UNTRAINED = LoadedInfill(NETWORK, jax.jit(NETWORK.init)(jax.random.key(0), NETWORK.blank()), {})


@functools.cache
def compiled(fps, frames):
    clock = Clock(fps, frames, network_frames(frames, fps, NETWORK.fps))
    return jax.jit(lambda poses, root, seen, level: infill(UNTRAINED, poses, root, seen, clock, level))


def filled(fps, frames, hidden, level):
    walk = generated.walk(frames, fps=fps, speed=1.2).astype(np.float32)[None]
    seen = np.ones((1, frames), bool)
    seen[:, hidden] = False
    poses, root = jnp.asarray(walk - walk[:, :, :1]), jnp.asarray(walk[:, :, 0])
    return compiled(fps, frames)(poses, root, jnp.asarray(seen), level), poses, root, seen


def test_an_untrained_network_gives_the_cubic():
    fps, hidden = 30.0, slice(14, 26)
    found, poses, root, seen = filled(fps, 60, hidden, jnp.eye(3)[None, None])
    # From where the person is seen last to where they are seen again.
    travelled = found.velocity[:, 14:27].sum(1) / fps
    np.testing.assert_allclose(travelled, root[:, 26] - root[:, 13], atol=1e-5)
    occluded = jnp.broadcast_to(~jnp.asarray(seen)[..., None], poses.shape[:-1])
    cubic, path = fill_motion(poses, root, occluded, fps)
    np.testing.assert_allclose(found.poses, cubic, atol=1e-5)
    np.testing.assert_array_equal(found.poses[seen], poses[seen])
    np.testing.assert_allclose(found.velocity[:, 1:], jnp.diff(path, axis=1) * fps, atol=1e-3)
    known = np.isfinite(found.velocity_std).all(-1)[0]
    np.testing.assert_array_equal(np.flatnonzero(known), np.arange(14, 27))
    # Of a Brownian motion, the same at every rate.
    np.testing.assert_allclose(found.velocity_std[0, 20] / np.sqrt(fps), [0.2, 0.2, 0.06], rtol=1e-4)
    assert (found.pose_std[0, hidden, 1:] > 0).all() and not found.pose_std[seen].any()


def test_axes_are_those_that_came():
    level = turn_upright(jnp.array([[0.0, -1.0, 0.0]]))[:, None]
    found, *_ = filled(30.0, 60, slice(14, 26), level)
    plain, *_ = filled(30.0, 60, slice(14, 26), jnp.eye(3)[None, None])
    np.testing.assert_allclose(found.poses, plain.poses, atol=1e-5)
    np.testing.assert_allclose(found.velocity, plain.velocity, atol=1e-3)
    np.testing.assert_allclose(found.velocity_std[0, 20] / np.sqrt(30), [0.2, 0.06, 0.2], rtol=1e-4)


@pytest.mark.parametrize("up", ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.6, -0.64, -0.48)))
def test_level_axes_are_rotations_with_the_vertical_up(up):
    axes = np.asarray(turn_upright(jnp.array(up)))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) > 0
    np.testing.assert_allclose(axes @ np.array(up), [0, 0, 1], atol=1e-6)


def test_only_hidings_that_begin_and_end_and_last_are_filled():
    seen = np.ones((1, 400), bool)
    for first, last in ((0, 30), (50, 60), (100, 111), (140, 365), (380, 400)):
        seen[:, first:last] = False
    gap, absent = hidings(jnp.asarray(seen), 50.0)
    np.testing.assert_array_equal(np.flatnonzero(gap[0]), [*range(100, 111), *range(140, 365)])
    np.testing.assert_array_equal(np.flatnonzero(absent[0]), [*range(30), *range(380, 400)])
    assert not hidings(jnp.asarray(seen), 30.0)[0][0, 140]  # too long for the window
