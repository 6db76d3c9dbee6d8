"""Windows with gaps that the infill network is trained on, and what its answers cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.judge_infill import errors, gaps_of
from experiments.training.batches import make_bank
from experiments.training.gaps import (
    Drawn,
    GapDistribution,
    LiftedNoise,
    draw_gaps,
    draw_windows,
    errors_of,
    half_bodies,
    slow_noise,
)
from gated_lift.networks.infill import Correction, Motion, MotionInfill, fill_motion
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

JUDGED = jax.jit(lambda drawn, correction: errors_of(drawn, correction, 25.0))
NETWORK = MotionInfill(window=64, patch=4, channels=8, heads=2, depth=1)


@pytest.fixture(scope="module")
def drawn():
    bank = make_bank((generated.crossing_pair(frames=200, fps=50.0, seed=0),))
    frames = jnp.array([100, 5, 250, 395])
    exact = LiftedNoise(exact_share=1.0)
    # Clips are 200 frames, and windows 128 of them: the second begins before its clip.
    draw = jax.jit(lambda key: draw_windows(key, bank, frames, NETWORK, GapDistribution(), exact))
    return draw(jax.random.key(0))


def test_windows_show_people_from_the_side_of_the_person(drawn):
    motion = drawn.motion
    assert motion.poses.shape == (4, 64, 17, 3) and not np.any(drawn.poses[:, :, 0])
    seen = ~np.asarray(motion.occluded)
    np.testing.assert_allclose(np.asarray(motion.poses)[seen], np.asarray(drawn.poses)[seen], atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(motion.root)[seen[..., 0]], np.asarray(drawn.root)[seen[..., 0]], atol=1e-5
    )
    assert not motion.absent[0].any() and motion.absent[1, :20].all() and motion.absent[3, -20:].all()
    assert np.asarray(motion.occluded)[np.asarray(motion.absent)].all()
    left = np.asarray(drawn.poses[:, 32, 4] - drawn.poses[:, 32, 1])
    assert (left[:, 1] > 0.5 * np.linalg.norm(left, axis=-1)).all()


def test_gaps_begin_and_end_where_the_person_is_seen():
    absent = np.zeros((64, 64), bool)
    absent[:32, :20] = True
    gaps = GapDistribution(more_share=0.0, joint_share=0.0)
    draw = jax.jit(lambda key, absent: draw_gaps(key, absent, 25.0, gaps))
    hidden = np.asarray(draw(jax.random.key(1), jnp.asarray(absent)))
    for window, gone in zip(hidden, absent, strict=True):
        frames = np.flatnonzero(window.any(-1) & ~gone)
        assert len(frames) and (np.diff(frames) == 1).all()
        assert (
            not window[frames[0] - 3 : frames[0]].any() and not window[frames[-1] + 1 : frames[-1] + 4].any()
        )
    whole = hidden.all(-1) & ~absent
    assert 0.5 < whole.any(-1).mean() < 1  # the others hide a part


def test_half_bodies_are_parts():
    parts = half_bodies()
    names = np.array(H36M_17.names)
    assert parts.any(1).all() and not parts.all(1).any() and not parts[:, 0].any()
    assert any(set(names[row]) == {"left_elbow", "left_wrist"} for row in parts)
    assert any({"left_ankle", "right_ankle"} <= set(names[row]) and row.sum() == 6 for row in parts)


def test_noise_is_as_large_on_every_frame():
    noise = np.asarray(jax.jit(lambda key: slow_noise(key, (4000, 17, 1), 8))(jax.random.key(0)))
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.06)
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.4


def path_errors(velocity, spread=0.2):
    """Of a straight walk whose middle is hidden, 2 cm off at the gap's first end."""
    root = jnp.stack([jnp.arange(20.0) * 0.04, jnp.zeros(20), jnp.zeros(20)], axis=-1)[None]
    occluded = jnp.zeros((1, 20, 17), bool).at[:, 8:12].set(True)
    poses = jnp.zeros((1, 20, 17, 3))
    filled = fill_motion(poses, root.at[0, :8, 1].add(0.02), occluded, 25.0)
    drawn = Drawn(Motion(*filled, occluded, jnp.zeros((1, 20), bool)), poses, root)
    zero = jnp.zeros((1, 20, 17))
    correction = Correction(poses, velocity, zero, jnp.full((1, 20, 2), spread))
    return JUDGED(drawn, correction)


def test_paths_run_from_end_to_end():
    nothing = jnp.zeros((1, 20, 3))
    found = path_errors(nothing)
    np.testing.assert_array_equal(np.flatnonzero(found.path_counts[0]), np.arange(8, 12))
    assert np.abs(found.path[0, 8:12]).max() < 4e-3  # what its ends are off is not its fault
    # What all steps have in common is taken away by the ends, what one has is not.
    common = path_errors(nothing.at[0, :, 0].set(1.0))
    np.testing.assert_allclose(common.path[0, 8:12], found.path[0, 8:12], atol=1e-5)
    single = path_errors(nothing.at[0, 10, 0].set(1.0))
    difference = np.asarray(single.path - found.path)[0, 8:12, 0]
    np.testing.assert_allclose(difference, 0.04 * np.array([-0.2, -0.4, 0.4, 0.2]), atol=1e-5)
    # A bridge of five steps.
    bridge = 0.2**2 / 25 * np.array([4, 6, 6, 4]) / 5
    np.testing.assert_allclose(found.path_variance[0, 8:12, 0], bridge, rtol=1e-4)


def test_what_a_gap_adds_is_judged_apart_from_its_ends():
    hidden = np.zeros((1, 10), bool)
    hidden[0, 4:7], hidden[0, 9] = True, True
    counts, before, after = gaps_of(hidden)
    np.testing.assert_array_equal(np.flatnonzero(counts[0]), [4, 5, 6])
    assert before[0, 5] == 3 and after[0, 5] == 7
    truth = np.random.default_rng(0).normal(size=(1, 10, 17, 3)).astype(np.float32)
    poses = truth - truth[:, :, :1]
    root = truth[:, :, 0] + np.linspace(0, 0.9, 10)[None, :, None] * np.array([1.0, 0, 0])
    whole, beyond, pose, aligned = errors(root, poses, truth, hidden, counts)
    np.testing.assert_allclose(whole, 500, rtol=1e-5)
    assert max(beyond, pose, aligned) < 1e-2
