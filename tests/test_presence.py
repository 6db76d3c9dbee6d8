import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.recovery.presence import present_frames


def oracle(seen, longest_gap, fps):
    present = np.zeros_like(seen)
    frames = np.flatnonzero(seen)
    for before, after in zip(frames, [*frames[1:], frames[-1]] if len(frames) else [], strict=True):
        present[before] = True
        if (after - before) / fps <= longest_gap:
            present[before : after + 1] = True
    return present


@pytest.mark.parametrize("longest_gap", [0.0, 0.35, 2.0, np.inf])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_presence_is_from_first_to_last_sight_but_for_long_gaps(longest_gap, share):
    seen = np.random.default_rng(0).random((20, 60)) < share
    expected = np.stack([oracle(person, longest_gap, 10.0) for person in seen])
    np.testing.assert_array_equal(present_frames(jnp.asarray(seen), longest_gap, 10.0), expected)


def test_gaps_are_seconds():
    seen = np.zeros((1, 100), bool)
    seen[0, [10, 60]] = True
    assert present_frames(jnp.asarray(seen), 1.0, 50.0).sum() == 51
    assert present_frames(jnp.asarray(seen), 1.0, 25.0).sum() == 2
