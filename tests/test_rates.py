"""Frames of slower videos on a network's frames, against interpolation written out."""

import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.synthetic.rates import at_slower_rates

FRAMES, STEPS, PHASES = 27, (1.0, 2.0, 5 / 3, 4.4), (0.0, 0.5, 0.3, 0.9)
SLOW = (jnp.array(STEPS), jnp.array(PHASES))
CURVE = np.random.default_rng(0).normal(size=(4, FRAMES, 3, 2)).cumsum(axis=1).astype(np.float32)


def kept(step, phase):
    """The times that a slower video has within the window."""
    times = (np.arange(FRAMES) + phase) * step
    return times[times <= FRAMES - 1 + 1e-6]


@pytest.mark.parametrize("causal", [False, True])
def test_what_lies_between_is_interpolated_or_held(causal):
    shown = np.zeros(CURVE.shape[:-1], bool)
    values, hidden = at_slower_rates(jnp.asarray(CURVE), jnp.asarray(shown), *SLOW, causal=causal)
    assert not hidden.any()
    frames = np.arange(FRAMES)
    for window, (step, phase) in enumerate(zip(STEPS, PHASES, strict=True)):
        times = kept(step, phase)
        for series in np.ndindex(3, 2):
            curve = CURVE[(window, slice(None), *series)]
            there = np.interp(times, frames, curve)
            held = there[np.maximum(np.searchsorted(times, frames + 1e-3, side="right") - 1, 0)]
            expected = held if causal else np.interp(frames, times, there)
            got = np.asarray(values)[(window, slice(None), *series)]
            np.testing.assert_allclose(got, expected, atol=1e-4)
    np.testing.assert_array_equal(values[0], CURVE[0])


def test_a_joint_is_hidden_where_a_kept_frame_beside_it_is():
    hidden = np.zeros(CURVE.shape[:-1], bool)
    hidden[:, 9:11, 1] = True  # frame 10 is kept by the second window's even frames, 9 is not
    phases = jnp.array([0.0, 0.0, 0.0, 0.0])
    values, found = at_slower_rates(jnp.asarray(CURVE), jnp.asarray(hidden), SLOW[0], phases)
    found = np.asarray(found)
    assert not found[..., [0, 2]].any()
    np.testing.assert_array_equal(found[0], hidden[0])
    np.testing.assert_array_equal(np.flatnonzero(found[1, :, 1]), [9, 10, 11])
    np.testing.assert_array_equal(np.asarray(values)[1, ~found[1, :, 1], 1].shape, (24, 2))
