"""Gaps and ages frame by frame, against those of whole clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.live.observing import fill_frame, forget_gaps, start_gaps
from gated_lift.occlusion import fill, frame_times, gap_age


@pytest.mark.parametrize("how", ["interpolate", "cubic"])
def test_gaps_are_filled_as_a_causal_clips_are(how):
    rng = np.random.default_rng(0)
    rays = np.cumsum(0.02 * rng.normal(size=(2, 80, 17, 2)), axis=1).astype(np.float32)
    occluded = np.repeat(rng.random((2, 16, 17)) < 0.5, 5, axis=1)
    occluded[0, :, 3] = occluded[1, :12] = True  # never seen; nobody yet
    rays[occluded] = np.nan

    @jax.jit  # eager code is a program for every operation
    def whole(rays, occluded):
        times = frame_times(80, 30.0)
        return fill(rays, occluded, how, True, times, fps=1.0), gap_age(occluded, times, True)

    expected, ages = whole(rays, occluded)
    step = jax.jit(lambda state, *frame: fill_frame(how, state, *frame, 1 / 30))
    state, filled, since = start_gaps(2, 17), [], []
    for t in range(80):
        state, seen = step(state, np.nan_to_num(rays[:, t]), occluded[:, t])
        filled.append(seen.rays)
        since.append(np.minimum(seen.since, 2))
    np.testing.assert_allclose(np.stack(filled, 1), expected, atol=1e-6)
    np.testing.assert_allclose(np.stack(since, 1), ages, atol=1e-5)

    # A place that somebody else takes knows nothing, and the other place all.
    other = forget_gaps(state, jnp.array([True, False]))
    for new, old, nobody in zip(*map(jax.tree.leaves, (other, state, start_gaps(2, 17))), strict=True):
        np.testing.assert_array_equal(new[0], nobody[0])
        np.testing.assert_array_equal(new[1], old[1])
