"""The detector model's statistics: how large, how long, how often, and what it says of itself."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.detector import DetectorConfig, detect, hidden_by_confidence

DEFAULT = DetectorConfig()
NOISE_ONLY = DetectorConfig(outlier_rate=0.0, hidden_outlier_rate=0.0, swap_rate=0.0)
OUTLIERS_ONLY = DetectorConfig(noise=0.0, hidden_noise=0.0, outlier_rate=0.05, hidden_outlier_rate=0.3)
PEOPLE, FRAMES, JOINTS, HEIGHT = 400, 60, 17, 250.0

run = jax.jit(detect, static_argnames=("config", "mirror"))


def errors(config, coverage=0.0, fps=50.0, seed=0):
    """Detections of joints at the origin: what is reported is the error. In pixels, with the confidences."""
    shape = (PEOPLE, FRAMES, JOINTS)
    detections = run(
        jax.random.key(seed),
        jnp.zeros((*shape, 2)),
        jnp.full(shape, coverage, jnp.float32),
        jnp.full(shape[:-1], HEIGHT),
        config,
        fps,
    )
    return np.asarray(detections.keypoints, np.float64), np.asarray(detections.confidence, np.float64)


def correlation(noise, lag):
    return (noise[:, lag:] * noise[:, :-lag]).mean() / (noise**2).mean()


def test_visible_noise_is_two_pixels_for_a_person_of_250_pixels():
    noise, _ = errors(NOISE_ONLY)
    np.testing.assert_allclose(noise.std(), 2.0, rtol=0.02)
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.03)
    x, y = noise[..., 0].ravel(), noise[..., 1].ravel()
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.02
    # Normal tails, drawn from 16 bits.
    np.testing.assert_allclose((np.abs(noise) > 4.0).mean(), 0.0455, rtol=0.06)


def test_noise_grows_with_coverage_and_the_persons_size():
    stds = [errors(NOISE_ONLY, coverage)[0].std() for coverage in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(stds, np.array([0.008, 0.029, 0.05]) * HEIGHT, rtol=0.03)
    keypoints = jnp.zeros((FRAMES, JOINTS, 2))
    args = (jax.random.key(0), keypoints, jnp.zeros((FRAMES, JOINTS)))
    small = run(*args, jnp.full(FRAMES, 100.0), NOISE_ONLY, 50.0).keypoints
    large = run(*args, jnp.full(FRAMES, 300.0), NOISE_ONLY, 50.0).keypoints
    np.testing.assert_allclose(large, 3 * small, rtol=1e-5)


@pytest.mark.parametrize("fps", [10.0, 25.0, 50.0, 100.0])
def test_noise_forgets_at_the_same_rate_at_every_frame_rate(fps):
    noise, _ = errors(NOISE_ONLY, fps=fps)
    for lag in (1, max(1, round(0.2 * fps))):
        np.testing.assert_allclose(correlation(noise, lag), np.exp(-lag / fps / 0.2), atol=0.03)


def test_the_first_frame_is_like_any_other():
    noise, confidence = errors(DEFAULT, 0.5)
    spread = np.abs(noise).mean(axis=(0, 2, 3))
    for edge in (0, 1, -1):
        np.testing.assert_allclose(spread[edge], spread.mean(), rtol=0.05)
        np.testing.assert_allclose(confidence[:, edge].mean(), confidence.mean(), rtol=0.05)


@pytest.mark.parametrize("fps", [25.0, 50.0])
@pytest.mark.parametrize(("coverage", "rate"), [(0.0, 0.05), (1.0, 0.3)])
def test_gross_errors_have_their_rate_size_and_duration(fps, coverage, rate):
    error, _ = errors(OUTLIERS_ONLY, coverage, fps)
    length = np.linalg.norm(error, axis=-1) / HEIGHT
    gross = length > 0
    np.testing.assert_allclose(gross.mean(), rate, rtol=0.08)
    assert length[gross].min() > 0.074 and length[gross].max() < 0.226
    np.testing.assert_allclose(length[gross].mean(), 0.15, rtol=0.03)
    # Renewed with probability 1 - exp(-1 / (fps tau)), and then free of error with probability 1 - rate.
    ends = (gross[:, :-1] & ~gross[:, 1:]).sum() / gross[:, :-1].sum()
    np.testing.assert_allclose(ends, (1 - np.exp(-1 / (fps * 0.15))) * (1 - rate), rtol=0.1)
    # While one holds it does not move, and errors point every way.
    held = gross[:, :-1] & gross[:, 1:]
    same = np.all(error[:, :-1] == error[:, 1:], axis=-1)[held].mean()
    keep = np.exp(-1 / (fps * 0.15))
    np.testing.assert_allclose(same, keep / (keep + (1 - keep) * rate), atol=0.015)
    direction = error[gross] / np.linalg.norm(error[gross], axis=-1, keepdims=True)
    assert np.abs(direction.mean(axis=0)).max() < 0.06


def test_confidence_falls_with_coverage_noise_and_gross_errors():
    means = [errors(DEFAULT, coverage)[1].mean() for coverage in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(later < earlier - 0.05 for earlier, later in pairwise(means))
    assert means[0] > 0.9 and means[-1] < 0.1

    error, confidence = errors(NOISE_ONLY)
    length = np.linalg.norm(error, axis=-1)
    assert confidence[length > 4].mean() < confidence[length < 1].mean() - 0.02
    error, confidence = errors(DEFAULT)
    gross = np.linalg.norm(error, axis=-1) > 0.06 * HEIGHT
    assert confidence[gross].mean() < 0.45 < 0.9 < confidence[~gross].mean()
    # Some gross errors must be believed: a mask alone does not save the lifter.
    assert 0.3 < (confidence[gross] >= 0.3).mean() < 0.8


def test_confidence_threshold_separates_visible_from_hidden():
    shares = [float(hidden_by_confidence(jnp.array(errors(DEFAULT, c)[1])).mean()) for c in (0.0, 0.5, 1.0)]
    assert shares[0] < 0.01 and 0.2 < shares[1] < 0.8 and shares[2] > 0.99


def test_hidden_by_confidence_at_the_threshold():
    confidence = jnp.array([0.0, 0.29999, 0.3, 0.5, jnp.nan])
    np.testing.assert_array_equal(hidden_by_confidence(confidence), [True, True, False, False, True])
    np.testing.assert_array_equal(hidden_by_confidence(confidence, 0.6), [True] * 5)


@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_swaps_exchange_the_whole_person_at_their_rate(fps):
    config = DetectorConfig(
        noise=0.0, hidden_noise=0.0, outlier_rate=0.0, hidden_outlier_rate=0.0, swap_rate=0.1
    )
    shape = (PEOPLE * 4, FRAMES, JOINTS)
    truth = jnp.broadcast_to(jnp.arange(JOINTS, dtype=jnp.float32)[:, None], (*shape, 2))
    args = (truth, jnp.zeros(shape), jnp.full(shape[:-1], HEIGHT), config, fps)
    seen = np.asarray(run(jax.random.key(0), *args, H36M_17.mirror).keypoints)[..., 0]
    swapped = np.isclose(seen, np.array(H36M_17.mirror)[None, None]).all(-1)
    assert (swapped | np.isclose(seen, np.arange(17)[None, None]).all(-1)).all()
    np.testing.assert_allclose(swapped.mean(), 0.1, rtol=0.1)
    ends = (swapped[:, :-1] & ~swapped[:, 1:]).sum() / swapped[:, :-1].sum()
    np.testing.assert_allclose(ends, (1 - np.exp(-1 / (fps * 0.15))) * 0.9, rtol=0.12)
    never = np.asarray(run(jax.random.key(0), *args).keypoints)
    np.testing.assert_allclose(never, truth, atol=1e-4)


def random_inputs(seed=0):
    rng = np.random.default_rng(seed)
    keypoints = jnp.array(rng.uniform(0, 1000, (2, 30, JOINTS, 2)), jnp.float32)
    coverage = jnp.array(rng.uniform(0, 1, (2, 30, JOINTS)), jnp.float32)
    return keypoints, coverage, jnp.full((2, 30), HEIGHT)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_what_is_not_finite_is_a_miss_and_touches_nothing_else(bad):
    config = DetectorConfig(swap_rate=0.5)
    keypoints, coverage, height = random_inputs()
    key = jax.random.key(0)
    clean = run(key, keypoints, coverage, height, config, 50.0, H36M_17.mirror)
    broken = run(
        key,
        keypoints.at[0, 5:9, 3, 0].set(bad).at[1, 2].set(bad),
        coverage,
        height.at[0, 20].set(bad).at[0, 21].set(0.0),
        config,
        50.0,
        H36M_17.mirror,
    )
    lost = np.zeros((2, 30, JOINTS), bool)
    lost[0, 5:9, 3] = lost[1, 2] = lost[0, 20:22] = True
    assert not np.asarray(broken.confidence)[lost].any() and not np.asarray(broken.keypoints)[lost].any()
    assert np.isfinite(broken.keypoints).all() and np.isfinite(broken.confidence).all()
    # The lost joint's mirror image has nothing to be exchanged with; every other is unchanged to the bit.
    same = ~lost
    same[0, 5:9, H36M_17.mirror[3]] = False
    np.testing.assert_array_equal(np.asarray(broken.keypoints)[same], np.asarray(clean.keypoints)[same])
    np.testing.assert_array_equal(np.asarray(broken.confidence)[same], np.asarray(clean.confidence)[same])


def test_a_nan_coverage_counts_as_hidden():
    keypoints, coverage, height = random_inputs()
    key = jax.random.key(0)
    unknown = run(key, keypoints, jnp.full_like(coverage, jnp.nan), height, DEFAULT, 50.0)
    hidden = run(key, keypoints, jnp.ones_like(coverage), height, DEFAULT, 50.0)
    np.testing.assert_array_equal(unknown.keypoints, hidden.keypoints)
    np.testing.assert_array_equal(unknown.confidence, hidden.confidence)


def test_detections_are_deterministic_per_key_and_batch_under_vmap():
    keypoints, coverage, height = random_inputs()
    first, again, other = (
        run(jax.random.key(s), keypoints, coverage, height, DEFAULT, 50.0) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    assert np.abs(np.asarray(first.keypoints - other.keypoints)).max() > 1

    keys = jax.random.split(jax.random.key(0), 2)
    batch = jax.jit(jax.vmap(lambda k, x, c, h: detect(k, x, c, h, DEFAULT, 50.0)))
    batched = batch(keys, keypoints, coverage, height)
    alone = run(keys[1], keypoints[1], coverage[1], height[1], DEFAULT, 50.0)
    np.testing.assert_allclose(batched.keypoints[1], alone.keypoints, rtol=1e-6)


def test_one_frame_and_double_precision(float64):
    keypoints = jnp.ones((1, JOINTS, 2), jnp.float64)
    found = run(jax.random.key(0), keypoints, jnp.zeros((1, JOINTS)), jnp.full((1,), HEIGHT), DEFAULT, 50.0)
    assert found.keypoints.dtype == found.confidence.dtype == jnp.float64
    assert found.keypoints.shape == (1, JOINTS, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coverage": jnp.zeros((2, 30, 16))}, r"coverage \(2, 30, 16\)"),
        ({"person_height_px": jnp.ones((2, 29))}, r"person_height_px \(2, 29\)"),
        ({"mirror": (0, 1)}, r"mirror has 2 joints and keypoints 17"),
        ({"fps": 0.0}, r"fps is 0.0"),
        ({"config": DetectorConfig(noise_seconds=0.0)}, r"config.noise_seconds is 0.0"),
        ({"config": DetectorConfig(outlier_rate=1.5)}, r"config.outlier_rate is 1.5"),
    ],
)
def test_bad_input_is_refused_without_the_shape_checker(change, message):
    keypoints, coverage, height = random_inputs()
    good = {"coverage": coverage, "person_height_px": height, "config": DEFAULT, "fps": 50.0, "mirror": None}
    with pytest.raises(ValueError, match=message):
        detect.__wrapped__(jax.random.key(0), keypoints, **(good | change))
