"""The network that corrects a cubic through gaps of 3D motion: what it reads, leaves alone and promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.networks import checkpoints, weights
from gated_lift.networks.infill import (
    BLEND_SECONDS,
    Motion,
    MotionInfill,
    _overlapping,
    corrected_poses,
    describe_infill,
    fill_motion,
    heading_axes,
    path_velocity,
)
from gated_lift.recovery.observation import turn_to
from gated_lift.synthetic import generated

TINY = MotionInfill(window=16, patch=4, channels=8, heads=2, depth=1)


def walking(frames=16, fps=25.0, heading=0.4):
    walk = generated.walk(frames, fps=fps, speed=1.2, heading=heading).astype(np.float32)[None]
    return jnp.asarray(walk - walk[:, :, :1]), jnp.asarray(walk[:, :, 0])


def motion(first=6, last=11):
    poses, root = walking()
    occluded = np.zeros((1, 16, 17), bool)
    occluded[:, first:last] = True
    filled = fill_motion(poses, root, jnp.asarray(occluded), TINY.fps)
    return Motion(*filled, jnp.asarray(occluded), jnp.zeros((1, 16), bool)), poses, root


@pytest.fixture(scope="module")
def variables():
    return jax.jit(TINY.init)(jax.random.key(0), TINY.blank())


def test_an_untrained_network_leaves_the_cubic(variables):
    given, _, _ = motion()
    found = jax.jit(TINY.apply)(variables, given)
    assert not np.any(found.poses) and not np.any(found.velocity)
    corrected = corrected_poses(given.poses, found.poses, given.occluded, TINY.fps)
    np.testing.assert_array_equal(corrected, given.poses)
    assert np.all(found.pose_std[..., 1:] > 0) and np.all(found.spread > 0)


def test_visible_joints_stay_and_corrections_begin_at_nothing():
    occluded = np.zeros((1, 16, 17), bool)
    occluded[:, 4:12, 5] = True
    filled = jnp.zeros((1, 16, 17, 3))
    found = np.asarray(corrected_poses(filled, jnp.ones_like(filled), jnp.asarray(occluded), 25.0))
    assert not found[~occluded].any()
    share = found[0, 4:12, 5, 0]
    np.testing.assert_allclose(share, share[::-1], rtol=1e-6)
    np.testing.assert_allclose(share[0], 1 - np.exp(-0.04 / BLEND_SECONDS), rtol=1e-5)
    assert (np.diff(share[:4]) > 0).all() and share.max() < 1


def test_what_is_hidden_is_never_read():
    poses, root = walking()
    occluded = np.zeros((1, 16, 17), bool)
    occluded[:, 6:11] = True
    fill = jax.jit(fill_motion)
    clean = fill(poses, root, jnp.asarray(occluded), 25.0)
    spoilt = fill(poses.at[:, 6:11].set(jnp.nan), root.at[:, 6:11].set(jnp.nan), jnp.asarray(occluded), 25.0)
    for one, other in zip(clean, spoilt, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.asarray(clean[0])[~occluded], np.asarray(poses)[~occluded])
    assert not np.any(clean[0][:, :, 0])  # the root is the origin


def test_answers_of_neighbours_fade_into_each_other():
    steady = jnp.ones((1, 4, 8, 1))
    np.testing.assert_allclose(_overlapping(steady, 4)[0, 2:-2, 0], 1, rtol=1e-6)
    rising = jnp.arange(4, dtype=jnp.float32)[None, :, None, None] * jnp.ones((1, 4, 8, 1))
    assert (np.diff(np.asarray(_overlapping(rising, 4))[0, 2:-2, 0]) > 0).all()


@pytest.mark.parametrize("heading", (1.0, -2.5))
def test_the_heading_is_where_a_person_looks(heading):
    poses, root = walking(heading=heading)
    axes = heading_axes(poses, jnp.ones((1, 16), bool), 25.0)
    np.testing.assert_allclose(axes[0] @ axes[0].T, np.eye(3), atol=1e-5)
    forward = np.asarray(turn_to(root[:, -1:] - root[:, :1], axes))[0, 0]
    assert abs(forward[1]) < 0.1 * forward[0]


def test_velocities_lead_from_frame_to_frame():
    _, root = walking()
    speed = path_velocity(root, 25.0)
    np.testing.assert_allclose(root[:, :1] + jnp.cumsum(speed, axis=1) / 25, root, atol=1e-5)


def test_weights_are_saved_and_loaded(variables, tmp_path):
    checkpoints.save(tmp_path, 3, variables, {"network": describe_infill(TINY), "words": "of training"})
    loaded = checkpoints.load_infill(tmp_path)
    assert loaded.network == TINY and loaded.description["words"] == "of training"
    for one, other in zip(jax.tree.leaves(loaded.variables), jax.tree.leaves(variables), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="not describe a lifter that is known here"):
        checkpoints.load_lifter(tmp_path)
    lifter = describe_infill(TINY) | {"kind": "TemporalLifter"}
    checkpoints.save(tmp_path, 4, variables, {"network": lifter})
    with pytest.raises(ValueError, match=r"does not describe an infill network.*TemporalLifter"):
        checkpoints.load_infill(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    (
        ({"patch": 3}, "window is 16: give a multiple of patch 3"),
        ({"window": 15, "patch": 5}, "patch is 5: give a multiple of 2"),
        ({"heads": 3}, "channels is 8: give a multiple of heads 3"),
        ({"depth": 0}, "depth is 0: give a whole number, 1 or more"),
        ({"fps": 0.0}, "fps is 0.0: give frames a second, finite and above zero"),
    ),
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        TINY.clone(**settings).check_settings()


def test_other_windows_are_refused(variables):
    given, _, _ = motion()
    with pytest.raises(ValueError, match="motion has 12 frames and 17 joints, the network reads 16 and 17"):
        TINY.apply(variables, jax.tree.map(lambda values: values[:, :12], given))


def test_the_weights_that_ship_load_and_correct_a_gap_a_little():
    loaded = checkpoints.load_infill()
    assert sum(path.stat().st_size for path in weights.INFILL.rglob("*") if path.is_file()) < 5e6
    assert weights.INFILL.name not in weights.SHIPPED  # no lifter
    found = loaded.network.apply(loaded.variables, loaded.network.blank())
    assert 0 < np.abs(found.poses).max() < 0.3 and np.isfinite(found.velocity).all()
