"""Simulated occlusions against the exact Bates distribution; filled gaps against NumPy's interpolation."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift import occlusion
from gated_lift.occlusion import (
    MaskDistribution,
    frame_times,
    frames_around,
    run_length,
    sample_mask,
    sample_training_masks,
    threshold,
    zero_gaps,
)

draw = jax.jit(sample_mask, static_argnames=("shape", "kernel_frames"))
# One program a call, where eager code is one for every operation.
fill = jax.jit(occlusion.fill, static_argnames=("how", "causal", "fps"))
fill_gaps = jax.jit(occlusion.fill_gaps, static_argnames="causal")
fill_gaps_cubic = jax.jit(occlusion.fill_gaps_cubic, static_argnames=("causal", "fps"))
gap_age = jax.jit(occlusion.gap_age, static_argnames="causal")


def bates_cdf(value, kernel_frames):
    """P(mean of K uniforms <= value) by the Irwin-Hall sum in exact arithmetic."""
    total = Fraction(float(value)) * kernel_frames
    terms = (
        (-1) ** k * math.comb(kernel_frames, k) * (total - k) ** kernel_frames
        for k in range(math.floor(total) + 1)
    )
    return float(sum(terms) / math.factorial(kernel_frames))


def run_lengths(mask):
    """Lengths of the hidden runs that lie inside the clip, for (clips, frames)."""
    lengths = []
    for flags in mask:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
        runs = edges.reshape(-1, 2)
        inside = (runs[:, 0] > 0) & (runs[:, 1] < len(flags))
        lengths += list((runs[:, 1] - runs[:, 0])[inside])
    return np.array(lengths)


# ---------------------------------------------------------------------------------------- Eqs. 10, 11


@pytest.mark.parametrize("kernel_frames", [1, 25, 100])
def test_threshold_is_the_bates_quantile(kernel_frames):
    for ratio in (0.02, 0.1, 0.25, 0.5, 0.75, 0.98):
        hidden = 1 - bates_cdf(threshold(ratio, kernel_frames), kernel_frames)
        assert hidden == pytest.approx(ratio, abs=2e-4)
    assert float(threshold(0.5, kernel_frames)) == pytest.approx(0.5, abs=1e-6)


def test_threshold_takes_many_ratios_and_traced_ones():
    ratios = jnp.array([0.1, 0.5, 0.9])
    expected = [float(threshold(float(ratio), 25)) for ratio in ratios]
    np.testing.assert_allclose(threshold(ratios, 25), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(threshold, static_argnums=1)(ratios, 25), expected, rtol=1e-6)
    assert expected == sorted(expected, reverse=True)


@pytest.mark.parametrize("kernel_frames", [1, 25, 100])
def test_drawn_ratios_match_the_asked_ones(kernel_frames):
    asked = jnp.array([0.1, 0.25, 0.5, 0.75])
    mask = draw(jax.random.key(0), (1600, 300, 17), jnp.tile(asked, 400), kernel_frames)
    assert mask.dtype == jnp.bool_ and mask.shape == (1600, 300, 17)
    # Two million values a ratio, alike over K frames: a standard deviation of at most 0.35 %.
    np.testing.assert_allclose(mask.mean((1, 2)).reshape(400, 4).mean(0), asked, atol=0.01)


def test_edges_are_as_often_hidden_as_the_middle():
    mask = np.asarray(draw(jax.random.key(1), (8000, 12, 17), 0.25, 25))
    # 136 000 independent draws a frame: a standard deviation of 0.12 %.
    np.testing.assert_allclose(mask.mean(axis=(0, 2)), 0.25, atol=0.006)


def test_longer_kernels_make_longer_runs():
    means = []
    for kernel_frames in (25, 100):
        mask = np.asarray(draw(jax.random.key(2), (20, 3000, 4), 0.5, kernel_frames))
        means.append(run_lengths(np.moveaxis(mask, 1, 2).reshape(-1, 3000)).mean())
    assert means[0] == pytest.approx(11, abs=1)
    assert means[1] == pytest.approx(22, abs=2)


def test_joints_and_clips_are_hidden_independently():
    mask = np.asarray(draw(jax.random.key(3), (20000, 1, 4), 0.5, 25), float)[:, 0]
    np.testing.assert_allclose(np.corrcoef(mask.T), np.eye(4), atol=0.03)
    first, second = mask[:-1].ravel(), mask[1:].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


@pytest.mark.parametrize("whole_body", [False, True])
def test_extreme_ratios_hide_nothing_or_everything(whole_body):
    shape = (3, 40, 17)
    assert not draw(jax.random.key(0), shape, 0.0, 1, whole_body).any()
    assert draw(jax.random.key(0), shape, 1.0, 1, whole_body).all()
    assert not draw(jax.random.key(0), shape, 0.0, 25, whole_body).any()
    assert draw(jax.random.key(0), shape, 1.0, 25, whole_body).all()


def test_whole_bodies_share_one_sequence():
    whole_body = jnp.array([True, False])
    mask = np.asarray(draw(jax.random.key(4), (2, 4000, 17), 0.5, 25, whole_body))
    assert (mask[0] == mask[0][:, :1]).all()
    assert not (mask[1] == mask[1][:, :1]).all()
    assert 0.3 < mask[0].mean() < 0.7
    assert draw(jax.random.key(4), (50, 17), 0.5, 25, True).shape == (50, 17)


def test_every_clip_has_its_own_traced_ratio():
    ratios = jnp.array([0.0, 0.2, 0.8, 1.0])
    mask = draw(jax.random.key(5), (4, 20000, 17), ratios, 25)
    np.testing.assert_allclose(mask.mean((1, 2)), ratios, atol=0.01)


def test_masks_are_decided_by_the_key():
    shape = (2, 50, 17)
    first, again = (draw(jax.random.key(6), shape, 0.5, 25) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != draw(jax.random.key(7), shape, 0.5, 25)).any()
    np.testing.assert_array_equal(first, sample_mask(jax.random.key(6), shape, 0.5, 25))


def test_long_clips_do_not_drift():
    # Sums of 16-bit noise pass 2**32 after 131 072 frames; only their differences count.
    mask = np.asarray(draw(jax.random.key(8), (300_000, 2), 0.5, 25))
    np.testing.assert_allclose(mask.reshape(3, -1).mean(axis=1), 0.5, atol=0.02)


@pytest.mark.parametrize("kernel_frames", [0, -100])
def test_kernels_below_one_frame_are_refused(kernel_frames):
    with pytest.raises(ValueError, match=f"kernel_frames is {kernel_frames}"):
        threshold(0.5, kernel_frames)
    with pytest.raises(ValueError, match=f"kernel_frames is {kernel_frames}"):
        sample_mask(jax.random.key(0), (10, 17), 0.5, kernel_frames)


@pytest.mark.parametrize("ratio", [-0.01, 1.01, 50.0, math.nan])
def test_ratios_outside_zero_to_one_are_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio is .* from 0 to 1, not in per cent"):
        sample_mask(jax.random.key(0), (10, 17), ratio, 1)
    with pytest.raises(ValueError, match="ratio is"):
        threshold(jnp.array([0.5, ratio]), 1)


def test_short_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape is \(17,\): give \(..., frames, joints\)"):
        sample_mask(jax.random.key(0), (17,), 0.5, 1)


def test_settings_that_fit_no_mask_are_refused():
    with pytest.raises(ValueError, match=r"ratio has shape \(3,\), shape is \(2, 10, 17\): give one"):
        sample_mask(jax.random.key(0), (2, 10, 17), jnp.full(3, 0.5), 1)
    with pytest.raises(ValueError, match=r"whole_body has shape \(2,\), shape is \(10, 17\)"):
        sample_mask(jax.random.key(0), (10, 17), 0.5, 1, jnp.array([True, False]))


def test_training_masks_follow_their_distribution():
    distribution = MaskDistribution(0.6, (0.3, 0.5), (1, 25), 0.25)
    sample = jax.jit(sample_training_masks, static_argnums=(1, 2))
    mask = np.asarray(sample(jax.random.key(9), (4001, 120, 6), distribution))
    assert mask.shape == (4001, 120, 6)
    hidden = mask.mean(axis=(1, 2))
    assert (hidden > 0).mean() == pytest.approx(0.6, abs=0.03)
    assert hidden.mean() == pytest.approx(0.6 * 0.4, abs=0.02)
    whole = (mask == mask[..., :1]).all(axis=(1, 2)) & (hidden > 0)
    assert whole.sum() / (hidden > 0).sum() == pytest.approx(0.25, abs=0.03)
    # The first half of the batch has K = 1, the second K = 25.
    flat = np.moveaxis(mask, 1, 2)
    early, late = run_lengths(flat[:2000].reshape(-1, 120)), run_lengths(flat[2000:].reshape(-1, 120))
    assert early.mean() < 2.2 and late.mean() > 6


def test_training_masks_can_be_switched_off_or_always_on():
    off = MaskDistribution(masked_share=0.0, kernel_frames=(1,))
    assert not sample_training_masks(jax.random.key(0), (16, 10, 17), off).any()
    on = MaskDistribution(masked_share=1.0, ratio=(1.0, 1.0), kernel_frames=(1,))
    assert sample_training_masks(jax.random.key(0), (16, 10, 17), on).all()


# --------------------------------------------------------------------------------------- filled gaps


def random_clip(seed, shape=(3, 30, 5), hidden=0.6):
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(size=(*shape, 2)).astype(np.float32)
    occluded = rng.random(shape) < hidden
    occluded[0, :, 0] = True  # never visible
    occluded[0, :10, 1] = True  # hidden at the start
    occluded[0, 20:, 2] = True  # hidden at the end
    occluded[0, :, 3] = True
    occluded[0, 7, 3] = False  # visible once
    occluded[0, :, 4] = False  # always visible
    return keypoints, occluded


def interpolated(keypoints, occluded, times):
    """Joint by joint with np.interp, in float64; joints without any visible frame stay NaN, then take the
    mean.
    """
    filled = np.full(keypoints.shape, np.nan)
    for index in np.ndindex(*keypoints.shape[:-3], keypoints.shape[-2]):
        *clip, joint = index
        seen = ~occluded[(*clip, slice(None), joint)]
        for coordinate in range(keypoints.shape[-1]):
            values = keypoints[(*clip, slice(None), joint, coordinate)].astype(np.float64)
            if seen.any():
                filled[(*clip, slice(None), joint, coordinate)] = np.interp(times, times[seen], values[seen])
    return with_mean(filled)


def with_mean(filled):
    """NaN joints take the mean of the others on the same frame, zero without any."""
    known = np.isfinite(filled)
    mean = np.where(known, filled, 0).sum(axis=-2, keepdims=True) / np.maximum(
        known.sum(-2, keepdims=True), 1
    )
    return np.where(known, filled, mean)


def held(keypoints, occluded):
    """Frame by frame: the last visible value, the others' mean before the first."""
    filled, last = np.zeros(keypoints.shape), np.full(keypoints[..., 0, :, :].shape, np.nan)
    for frame in range(keypoints.shape[-3]):
        last = np.where(occluded[..., frame, :, None], last, keypoints[..., frame, :, :])
        filled[..., frame, :, :] = with_mean(last)
    return filled


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_interpolated(seed):
    keypoints, occluded = random_clip(seed)
    filled = fill_gaps(keypoints, occluded)
    assert filled.dtype == jnp.float32
    np.testing.assert_allclose(filled, interpolated(keypoints, occluded, np.arange(30.0)), atol=1e-6)
    # Visible keypoints keep their very bits, and a joint without any is where the others are.
    np.testing.assert_array_equal(np.asarray(filled)[~occluded], keypoints[~occluded])
    np.testing.assert_allclose(filled[0, :, 0], np.asarray(filled)[0, :, 1:].mean(axis=1), atol=1e-6)
    assert not np.asarray(fill_gaps(keypoints, np.ones_like(occluded))).any()


def test_gaps_are_interpolated_in_uneven_time():
    keypoints, occluded = random_clip(3)
    times = np.cumsum(np.random.default_rng(4).integers(1, 9, 30)).astype(np.int32) - 50
    filled = fill_gaps(
        keypoints=jnp.asarray(keypoints), occluded=jnp.asarray(occluded), times=jnp.asarray(times)
    )
    np.testing.assert_allclose(filled, interpolated(keypoints, occluded, times.astype(float)), atol=1e-6)


def test_causal_gaps_hold_the_last_value_and_read_no_later_frame():
    keypoints, occluded = random_clip(5)
    causal = jax.jit(lambda keypoints, occluded: fill_gaps(keypoints, occluded, causal=True))
    filled = np.asarray(causal(keypoints, occluded))
    np.testing.assert_allclose(filled, held(keypoints, occluded), atol=1e-6)
    np.testing.assert_array_equal(filled[~occluded], keypoints[~occluded])
    for frame in (0, 9, 20):
        later, mask = keypoints.copy(), occluded.copy()
        later[:, frame + 1 :] += 1.0
        mask[:, frame + 1 :] ^= True
        np.testing.assert_array_equal(np.asarray(causal(later, mask))[:, : frame + 1], filled[:, : frame + 1])


@pytest.mark.parametrize("how", ["interpolate", "cubic", "zero"])
@pytest.mark.parametrize("causal", [False, True])
def test_hidden_values_never_leak(how, causal):
    keypoints, occluded = random_clip(6)
    clean = fill(jnp.asarray(keypoints), jnp.asarray(occluded), how, causal)
    for poison in (np.nan, np.inf, 1e30):
        dirty = np.where(occluded[..., None], np.float32(poison), keypoints)
        np.testing.assert_array_equal(fill(jnp.asarray(dirty), jnp.asarray(occluded), how, causal), clean)


@pytest.mark.parametrize("how", ["interpolate", "cubic", "zero"])
def test_gradients_are_finite_and_skip_hidden_values(how):
    keypoints, occluded = random_clip(7)
    dirty = np.where(occluded[..., None], np.float32(np.nan), keypoints)
    slope = jax.jit(jax.grad(lambda keypoints: jnp.sum(fill(keypoints, jnp.asarray(occluded), how) ** 2)))
    gradient = slope(dirty)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[occluded].any() and np.asarray(gradient)[~occluded].any()


@pytest.mark.parametrize("causal", [False, True])
def test_gaps_age_from_the_nearest_visible_frame(causal):
    _, occluded = random_clip(11, shape=(2, 30, 5))
    uneven = np.cumsum(np.random.default_rng(12).integers(1, 9, 30)) / 50 - 1
    for times in (np.asarray(frame_times(30, 12.5)), uneven.astype(np.float32)):
        expected = np.full(occluded.shape, 2.0, np.float32)
        for clip, frame, joint in np.ndindex(occluded.shape):
            away = times - times[frame]
            away = np.abs(away[~occluded[clip, :, joint] & ((away <= 0) | (not causal))])
            expected[clip, frame, joint] = min([*away, 2.0])
        age = gap_age(jnp.asarray(occluded), jnp.asarray(times), causal)
        assert age.dtype == jnp.float32 and expected.max() == 2
        np.testing.assert_allclose(age, expected, atol=1e-6)
        if not causal:
            np.testing.assert_array_equal(age == 0, ~occluded)


def test_ages_and_fills_do_not_depend_on_the_frame_rate():
    """The same gaps filmed at 25 frames a second and, every frame between them included, at 50."""
    _, occluded = random_clip(13, shape=(1, 20, 5))
    twice = np.repeat(occluded, 2, axis=1)[:, :-1]
    twice[:, 1::2] = occluded[:, :-1] | occluded[:, 1:]
    line = np.arange(20)[None, :, None, None] + np.zeros((1, 20, 5, 2))
    lines = np.arange(39)[None, :, None, None] / 2 + np.zeros((1, 39, 5, 2))
    slow = gap_age(jnp.asarray(occluded), frame_times(20, 25))
    fast = gap_age(jnp.asarray(twice), frame_times(39, 50))
    np.testing.assert_allclose(fast[:, ::2], slow, atol=1e-6)
    filled = fill_gaps(jnp.asarray(line, jnp.float32), jnp.asarray(occluded))
    finer = fill_gaps(jnp.asarray(lines, jnp.float32), jnp.asarray(twice))
    np.testing.assert_allclose(finer[:, ::2], filled, atol=1e-5)


def test_zero_gaps_only_touches_hidden_keypoints():
    keypoints, occluded = random_clip(8)
    np.testing.assert_array_equal(
        zero_gaps(jnp.asarray(keypoints), jnp.asarray(occluded)), np.where(occluded[..., None], 0, keypoints)
    )


def test_gaps_are_filled_in_double_precision(float64):
    keypoints, occluded = random_clip(9)
    filled = fill_gaps(jnp.asarray(keypoints, jnp.float64), jnp.asarray(occluded))
    assert filled.dtype == jnp.float64
    # Weights are ratios of whole frames, rounded once; float32 ones would err by 1e-7.
    np.testing.assert_allclose(filled, interpolated(keypoints, occluded, np.arange(30.0)), atol=1e-7)


def test_an_unknown_fill_is_named():
    keypoints, occluded = random_clip(10)
    with pytest.raises(ValueError, match="fill is 'spline': choose 'interpolate', 'cubic' or 'zero'"):
        occlusion.fill.__wrapped__(keypoints, occluded, "spline")


# ------------------------------------------------------------------------------------------- curves


def curved(keypoints, occluded, seconds, causal=False):
    """Joint by joint and gap by gap in float64, from the formulas; joints without any visible frame take the
    mean.
    """
    filled = np.full(keypoints.shape, np.nan)

    def speed(values, times, last):
        ages = times[last] - times[:last]
        weights = np.exp(-ages / 0.1)
        if not last:
            return np.zeros(2)
        behind = np.average(values[:last], axis=0, weights=weights)
        return (values[last] - behind) / (np.average(ages, weights=weights) + 0.04)

    for clip, joint in np.ndindex(keypoints.shape[0], keypoints.shape[2]):
        seen = np.flatnonzero(~occluded[clip, :, joint])
        values, times = keypoints[clip, seen, joint].astype(float), seconds[seen]
        for frame, now in enumerate(seconds):
            before = np.searchsorted(seen, frame, side="right") - 1
            after = before + 1
            if before >= 0 and seen[before] == frame:
                filled[clip, frame, joint] = values[before]
                continue
            forward = speed(values, times, before) if before >= 0 else None
            has_after = after < len(seen) and not causal
            if has_after:
                backward = -speed(values[::-1], -times[::-1], len(seen) - 1 - after)
            if forward is not None and has_after:
                span = times[after] - times[before]
                u = (now - times[before]) / span
                slope = (values[after] - values[before]) / span
                trust = np.exp(-span / 2.5) / (1 + (0.2 / span) ** 2)
                ends = [slope + trust * (each - slope) for each in (forward, backward)]
                basis = [2 * u**3 - 3 * u**2 + 1, -2 * u**3 + 3 * u**2, u**3 - 2 * u**2 + u, u**3 - u**2]
                points = (values[before], values[after], span * ends[0], span * ends[1])
                filled[clip, frame, joint] = sum(map(np.multiply, basis, points))
            elif forward is not None:
                coast = 0.2 * (1 - np.exp(-(now - times[before]) / 0.2))
                filled[clip, frame, joint] = values[before] + forward * coast
            elif has_after:
                coast = 0.2 * (1 - np.exp(-(times[after] - now) / 0.2))
                filled[clip, frame, joint] = values[after] - backward * coast
    return with_mean(filled)


@pytest.mark.parametrize("causal", [False, True])
def test_curves_are_hermite_cubics_with_speeds_that_are_trusted_less_in_short_and_long_gaps(causal):
    keypoints, occluded = random_clip(13)
    filled = np.asarray(fill_gaps_cubic(keypoints, occluded, causal=causal))
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~occluded], keypoints[~occluded])
    np.testing.assert_allclose(filled, curved(keypoints, occluded, np.arange(30) / 50, causal), atol=2e-5)
    stamps = np.cumsum(np.random.default_rng(14).integers(1, 9, 30)).astype(np.int32) - 50
    expected = curved(keypoints, occluded, stamps / 60, causal)
    uneven = fill_gaps_cubic(
        jnp.asarray(keypoints), jnp.asarray(occluded), causal, jnp.asarray(stamps), fps=60.0
    )
    np.testing.assert_allclose(uneven, expected, atol=2e-5)
    seconds = jnp.asarray(stamps / 60, jnp.float32)
    real = fill_gaps_cubic(jnp.asarray(keypoints), jnp.asarray(occluded), causal, seconds, fps=1.0)
    np.testing.assert_allclose(real, expected, atol=2e-4)


def test_steady_motion_is_nearly_a_line_and_a_turn_is_better_than_one():
    """Points on a circle, hidden for half a second: the line cuts the corner, the curve does not."""
    angle = np.arange(100, dtype=np.float32)[:, None, None] / 50 * 3
    keypoints = jnp.asarray(np.concatenate([np.cos(angle), np.sin(angle)], axis=-1), jnp.float32)
    occluded = jnp.zeros((100, 1), bool).at[40:65].set(True)
    line, curve = (
        np.linalg.norm(np.asarray(fill(keypoints, occluded, how)) - keypoints, axis=-1)[40:65].max()
        for how in ("interpolate", "cubic")
    )
    assert line > 0.25 and curve < 0.45 * line
    # The same motion at half the frame rate gets the same curve, but for the coarser mean of speeds.
    slow = fill(keypoints[::2], occluded[::2], "cubic", fps=25.0)
    np.testing.assert_allclose(slow, fill(keypoints, occluded, "cubic")[::2], atol=0.06)
    steady = jnp.asarray(np.linspace(0, 1, 100)[:, None, None] * np.ones(2), jnp.float32)
    np.testing.assert_allclose(fill(steady, occluded, "cubic")[40:65], steady[40:65], atol=0.02)


def test_long_gaps_tend_to_the_line_and_coasting_ends():
    rng = np.random.default_rng(15)
    keypoints = jnp.asarray(np.cumsum(rng.normal(size=(3000, 2, 2)), axis=0), jnp.float32)
    occluded = jnp.zeros((3000, 2), bool).at[30:2400].set(True).at[2450:].set(True)
    line, curve = (np.asarray(fill(keypoints, occluded, how)) for how in ("interpolate", "cubic"))
    np.testing.assert_allclose(curve[30:2400], line[30:2400], atol=1e-3)
    assert np.abs(np.diff(curve[2900:], axis=0)).max() < 1e-3
    steepest = np.abs(np.diff(np.asarray(keypoints), axis=0)).max() * 50
    assert np.abs(curve[2450:] - line[2450:]).max() <= 0.2 * steepest


def test_causal_curves_read_no_later_frame():
    keypoints, occluded = random_clip(16)
    filled = np.asarray(fill_gaps_cubic(jnp.asarray(keypoints), jnp.asarray(occluded), True))
    later, mask = keypoints.copy(), occluded.copy()
    later[:, 15:] += 1.0
    mask[:, 15:] ^= True
    changed = np.asarray(fill_gaps_cubic(jnp.asarray(later), jnp.asarray(mask), True))
    np.testing.assert_allclose(changed[:, :15], filled[:, :15], atol=1e-6)


def test_frames_around_those_of_a_mask_made_by_hand():
    hidden = jnp.array([[True, False, True, True, False, True]])
    for mask, axis in ((hidden, 1), (hidden.T, 0)):
        before, after = frames_around(mask, axis)
        np.testing.assert_array_equal(np.ravel(before), [-1, 1, 1, 1, 4, 4])
        np.testing.assert_array_equal(np.ravel(after), [1, 1, 4, 4, 4, 6])


def test_run_lengths_of_a_mask_made_by_hand():
    hidden = jnp.array([[1, 1, 0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0], [1] * 8], bool).T
    found = run_length(hidden)
    np.testing.assert_array_equal(found.T, [[2, 2, 0, 1, 0, 3, 3, 3], [0] * 8, [8] * 8])
    assert found.dtype == jnp.int32
