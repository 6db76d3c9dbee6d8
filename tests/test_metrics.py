"""Metrics against loops in float64 NumPy and SciPy, and by what they must not change under."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gated_lift import metrics

SHAPE = (2, 5, 17, 3)  # people, frames, joints, coordinates


def poses(seed, noise=0.1):
    """Two noisy views of the same people, about 4 m before the camera."""
    rng = np.random.default_rng(seed)
    target = rng.normal(size=SHAPE) * 0.4 + np.array([0.5, -0.2, 4.0])
    return (target + rng.normal(size=SHAPE) * noise).astype(np.float32), target.astype(np.float32)


def mask(seed):
    rng = np.random.default_rng(seed)
    valid = rng.random(SHAPE[:-1]) < 0.6
    valid[..., :4] = True  # enough joints for a unique fit
    return valid


def oracle_pa(predicted, target, valid=None):
    """Procrustes by SciPy's Kabsch solver, frame by frame, in float64."""
    valid = np.ones(predicted.shape[:-1], bool) if valid is None else valid
    errors = np.full(predicted.shape[:-1], np.nan)
    for index in np.ndindex(predicted.shape[:-2]):
        seen = valid[index]
        p, t = predicted[index].astype(np.float64), target[index].astype(np.float64)
        p_mean, t_mean = p[seen].mean(axis=0), t[seen].mean(axis=0)
        rotation, _ = Rotation.align_vectors(t[seen] - t_mean, p[seen] - p_mean)
        turned = rotation.apply(p - p_mean)
        scale = (turned[seen] * (t[seen] - t_mean)).sum() / (turned[seen] ** 2).sum()
        errors[index] = np.linalg.norm(scale * turned + t_mean - t, axis=-1)
    return errors


def oracle_n(predicted, target, valid=None):
    """One scale a frame by least squares in float64."""
    valid = np.ones(predicted.shape[:-1], bool) if valid is None else valid
    errors = np.full(predicted.shape[:-1], np.nan)
    for index in np.ndindex(predicted.shape[:-2]):
        p, t = predicted[index].astype(np.float64), target[index].astype(np.float64)
        seen = valid[index]
        scale = np.linalg.lstsq(p[seen].reshape(-1, 1), t[seen].reshape(-1), rcond=None)[0][0]
        errors[index] = np.linalg.norm(scale * p - t, axis=-1)
    return errors


@pytest.mark.parametrize("masked", [False, pytest.param(True, marks=pytest.mark.default_flags)])
@pytest.mark.parametrize(
    ("metric", "oracle"), [(metrics.pa_mpjpe, oracle_pa), (metrics.n_mpjpe, oracle_n)], ids=["pa", "n"]
)
def test_aligned_errors_match_the_oracle(metric, oracle, masked):
    predicted, target = poses(0)
    valid = mask(1) if masked else None
    errors = jax.jit(metric)(predicted, target, None if valid is None else jnp.asarray(valid))
    assert errors.shape == SHAPE[:-1] and errors.dtype == jnp.float32
    np.testing.assert_allclose(errors, oracle(predicted, target, valid), atol=2e-6)


def test_mpjpe_and_root_error_match_a_loop():
    predicted, target = poses(2)
    expected = np.zeros(SHAPE[:-1])
    for index in np.ndindex(SHAPE[:-1]):
        expected[index] = (
            sum((float(a) - float(b)) ** 2 for a, b in zip(predicted[index], target[index], strict=True))
            ** 0.5
        )
    np.testing.assert_allclose(
        metrics.mpjpe(jnp.asarray(predicted), jnp.asarray(target)), expected, rtol=1e-5
    )
    roots = metrics.root_error(jnp.asarray(predicted[:, :, 0]), jnp.asarray(target[:, :, 0]))
    np.testing.assert_allclose(roots, expected[:, :, 0], rtol=1e-5)


@pytest.mark.usefixtures("float64")
def test_float64_stays_float64():
    predicted, target = (jnp.asarray(a, jnp.float64) for a in poses(3))
    errors = metrics.pa_mpjpe(predicted, target)
    assert errors.dtype == jnp.float64
    np.testing.assert_allclose(errors, oracle_pa(np.asarray(predicted), np.asarray(target)), atol=1e-12)


def test_velocity_and_acceleration_match_a_loop():
    predicted, target = poses(4)
    fps = 50.0
    velocity = np.zeros((2, 4, 17))
    acceleration = np.zeros((2, 3, 17))
    p, t = predicted.astype(np.float64), target.astype(np.float64)
    for f in range(4):
        velocity[:, f] = np.linalg.norm(((p[:, f + 1] - p[:, f]) - (t[:, f + 1] - t[:, f])) * fps, axis=-1)
    for f in range(3):
        second = [x[:, f + 2] - 2 * x[:, f + 1] + x[:, f] for x in (p, t)]
        acceleration[:, f] = np.linalg.norm((second[0] - second[1]) * fps**2, axis=-1)
    predicted, target = jnp.asarray(predicted), jnp.asarray(target)
    np.testing.assert_allclose(metrics.mpjve(predicted, target, fps), velocity, rtol=1e-4)
    np.testing.assert_allclose(metrics.acceleration_error(predicted, target, fps), acceleration, rtol=1e-4)


def test_velocity_has_units():
    """One metre per second of drift reads 1, whatever the frame rate."""
    for fps in (25.0, 50.0):
        drift = jnp.arange(6.0)[:, None, None] / fps * jnp.array([[[1.0, 0.0, 0.0]]]) * jnp.ones((1, 2, 1))
        np.testing.assert_allclose(metrics.mpjve(drift, jnp.zeros_like(drift), fps), 1.0, rtol=1e-5)
        np.testing.assert_allclose(
            metrics.acceleration_error(drift, jnp.zeros_like(drift), fps), 0.0, atol=2e-4
        )


def test_pck_and_auc_match_a_loop():
    predicted, target = poses(5, noise=0.06)
    distance = np.linalg.norm(predicted.astype(np.float64) - target, axis=-1)
    hits = np.mean([distance <= step * 0.005 for step in range(31)], axis=0)
    predicted, target = jnp.asarray(predicted), jnp.asarray(target)
    np.testing.assert_array_equal(metrics.pck(predicted, target), distance <= 0.15)
    np.testing.assert_array_equal(metrics.pck(predicted, target, threshold=0.08), distance <= 0.08)
    assert 0.2 < hits.mean() < 0.8  # or the comparison would say little
    np.testing.assert_allclose(metrics.auc(predicted, target), hits, atol=1e-6)
    np.testing.assert_array_equal(metrics.auc(target, target), 1.0)


def test_pck_counts_nan_as_a_miss():
    predicted = jnp.full((1, 2, 3), jnp.nan)
    np.testing.assert_array_equal(metrics.pck(predicted, jnp.zeros((1, 2, 3))), 0.0)


def test_pa_ignores_similarities_and_keeps_reflections():
    predicted, target = poses(6)
    rotation = Rotation.from_euler("xyz", [0.7, -1.9, 2.8]).as_matrix().astype(np.float32)
    moved = 1.7 * predicted @ rotation.T + np.array([3.0, -1.0, 0.5], np.float32)
    plain = metrics.pa_mpjpe(jnp.asarray(predicted), jnp.asarray(target))
    np.testing.assert_allclose(metrics.pa_mpjpe(jnp.asarray(moved), jnp.asarray(target)), plain, atol=1e-5)
    similar = (1.7 * target @ rotation.T - 2.0).astype(np.float32)
    assert metrics.pa_mpjpe(jnp.asarray(similar), jnp.asarray(target)).max() < 1e-5
    mirrored = target * np.array([-1, 1, 1], np.float32)
    errors = metrics.pa_mpjpe(jnp.asarray(mirrored), jnp.asarray(target))
    np.testing.assert_allclose(errors, oracle_pa(mirrored, target), atol=5e-6)
    assert errors.mean() > 0.1


def test_n_ignores_scale_but_neither_translation_nor_rotation():
    predicted, target = (jnp.asarray(a) for a in poses(7))
    plain = metrics.n_mpjpe(predicted, target)
    np.testing.assert_allclose(metrics.n_mpjpe(3.0 * predicted, target), plain, atol=3e-6)
    assert metrics.n_mpjpe(0.5 * target, target).max() < 2e-6
    sideways = target + jnp.array([1.0, 0.0, 0.0])[None, None, None]
    assert metrics.n_mpjpe(sideways, target).mean() > 0.5
    turned = target[..., jnp.array([1, 0, 2])] * jnp.array([1.0, -1.0, 1.0])[None, None, None]
    assert metrics.n_mpjpe(turned, target).mean() > 0.1


def test_n_does_not_excuse_a_person_behind_the_camera():
    _, target = (jnp.asarray(a) for a in poses(8))
    np.testing.assert_allclose(metrics.n_mpjpe(-target, target), jnp.linalg.norm(target, axis=-1), rtol=1e-6)


@pytest.mark.parametrize("metric", [metrics.pa_mpjpe, metrics.n_mpjpe], ids=["pa", "n"])
def test_joints_outside_the_mask_neither_enter_the_fit_nor_leak(metric):
    predicted, target = poses(9)
    valid = mask(10)
    clean = np.asarray(metric(jnp.asarray(predicted), jnp.asarray(target), jnp.asarray(valid)))
    for junk in (np.nan, np.inf, 1e3):
        spoilt = np.where(valid[..., None], predicted, np.float32(junk))
        spoilt_target = np.where(valid[..., None], target, np.float32(-junk))
        errors = np.asarray(metric(jnp.asarray(spoilt), jnp.asarray(spoilt_target), jnp.asarray(valid)))
        np.testing.assert_array_equal(errors[valid], clean[valid])
        mean = metrics.masked_mean(jnp.asarray(errors), jnp.asarray(valid))
        np.testing.assert_allclose(mean, clean[valid].mean(), rtol=1e-5)
    unmasked = np.asarray(metric(jnp.asarray(predicted), jnp.asarray(target)))
    assert np.abs(unmasked - clean).max() > 1e-3  # the mask does change the fit


@pytest.mark.parametrize("metric", [metrics.pa_mpjpe, metrics.n_mpjpe], ids=["pa", "n"])
def test_a_bad_frame_leaves_the_others_alone(metric):
    predicted, target = poses(11)
    clean = np.asarray(metric(jnp.asarray(predicted), jnp.asarray(target)))
    predicted[1, 2] = np.nan
    errors = np.asarray(metric(jnp.asarray(predicted), jnp.asarray(target)))
    assert np.isnan(errors[1, 2]).all()
    keep = np.ones(SHAPE[:2], bool)
    keep[1, 2] = False
    np.testing.assert_array_equal(errors[keep], clean[keep])


@pytest.mark.default_flags
def test_degenerate_frames_are_finite():
    _, target = poses(12)
    target = target[:1, :1]
    flat = np.full_like(target, 0.1)
    line = np.linspace(0, 1, 17, dtype=np.float32)[:, None] * np.array([1, 2, 3], np.float32)
    about_mean = np.linalg.norm(target - target.mean(axis=-2, keepdims=True), axis=-1)
    # Coinciding predictions can only be moved to the target's mean.
    np.testing.assert_allclose(
        metrics.pa_mpjpe(jnp.asarray(flat), jnp.asarray(target)), about_mean, atol=1e-6
    )
    # Rounding in the mean of coinciding joints must not set the scale: it stays 1 for an unseen joint.
    valid = jnp.arange(17)[None, None] < 16
    goal_mean = target[0, 0, :16].mean(axis=0)
    for place in np.random.default_rng(15).normal(size=(20, 3)):
        strayed = np.broadcast_to(place, target.shape).astype(np.float32).copy()
        strayed[..., 16, :] += 1.0
        moved = metrics.align_procrustes(jnp.asarray(strayed), jnp.asarray(target), valid)[0, 0, 16]
        np.testing.assert_allclose(np.linalg.norm(moved - goal_mean), math.sqrt(3), rtol=1e-5)
    # A target without extent is met by a scale of zero.
    np.testing.assert_allclose(metrics.pa_mpjpe(jnp.asarray(target), jnp.asarray(flat)), 0.0, atol=1e-6)
    np.testing.assert_allclose(metrics.pa_mpjpe(jnp.asarray(flat), jnp.asarray(flat)), 0.0, atol=1e-6)
    onto_line = metrics.pa_mpjpe(jnp.asarray(target), jnp.asarray(line[None, None]))
    assert np.isfinite(onto_line).all()
    from_line = metrics.pa_mpjpe(jnp.asarray(-line[None, None]), jnp.asarray(line[None, None]))
    np.testing.assert_allclose(from_line, 0.0, atol=2e-6)  # a half turn about any axis across the line
    zero = jnp.zeros_like(jnp.asarray(target))
    np.testing.assert_allclose(
        metrics.n_mpjpe(zero, jnp.asarray(target)), np.linalg.norm(target, axis=-1), rtol=1e-6
    )


@pytest.mark.parametrize("metric", [metrics.pa_mpjpe, metrics.n_mpjpe], ids=["pa", "n"])
def test_frames_without_a_valid_joint_have_no_fit(metric):
    predicted, target = (jnp.asarray(a) for a in poses(13))
    valid = np.ones(SHAPE[:-1], bool)
    valid[0, 1] = False
    errors = np.asarray(metric(predicted, target, jnp.asarray(valid)))
    assert np.isnan(errors[0, 1]).all() and np.isfinite(np.delete(errors.reshape(10, 17), 1, axis=0)).all()


@pytest.mark.default_flags
def test_mpjpe_has_a_finite_gradient_at_the_target():
    _, target = poses(14)
    gradient = jax.grad(lambda p: metrics.mpjpe(p, jnp.asarray(target)).sum())(jnp.asarray(target))
    np.testing.assert_array_equal(gradient, 0.0)


def test_masked_mean():
    values = jnp.array([[1.0, jnp.nan], [3.0, 5.0]])
    where = jnp.array([[True, False], [True, True]])
    np.testing.assert_allclose(metrics.masked_mean(values, where), 3.0)
    np.testing.assert_allclose(metrics.masked_mean(values, where, axis=0), [2.0, 5.0])
    assert np.isnan(metrics.masked_mean(values))  # NaN inside the selection is not hidden
    nothing = metrics.masked_mean(values, jnp.array([[False, False], [True, True]]), axis=1)
    assert np.isnan(nothing[0]) and nothing[1] == 4.0


def test_masked_mean_is_exact_over_a_whole_data_set():
    values = jnp.asarray(0.05 + np.arange(3_000_000) % 7 * 0.001, jnp.float32)
    expected = np.asarray(values, np.float64).mean()
    np.testing.assert_allclose(metrics.masked_mean(values), expected, rtol=1e-5)


def test_root_error_inside_full_occlusions():
    occluded = jnp.array([[[True, True], [True, False], [True, True]]])
    np.testing.assert_array_equal(metrics.fully_hidden(occluded), [[True, False, True]])
    roots = jnp.array([[[3.0, 4.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    inside = metrics.masked_mean(
        metrics.root_error(roots, jnp.zeros_like(roots)), metrics.fully_hidden(occluded)
    )
    np.testing.assert_allclose(inside, 3.0)


def test_consecutive():
    valid = jnp.array([True, True, False, True, True, True])[:, None]
    np.testing.assert_array_equal(metrics.consecutive(valid, 2)[:, 0], [True, False, False, True, True])
    np.testing.assert_array_equal(metrics.consecutive(valid, 3)[:, 0], [False, False, False, True])
    with pytest.raises(ValueError, match="valid has 6 frames, frames is 7"):
        metrics.consecutive(valid, 7)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.mpjpe,
        metrics.pa_mpjpe,
        metrics.n_mpjpe,
        metrics.pck,
        metrics.auc,
        metrics.root_error,
        lambda p, t: metrics.mpjve(p, t, 50.0),
        lambda p, t: metrics.acceleration_error(p, t, 50.0),
    ],
)
@pytest.mark.parametrize("other", [(1, 5, 17, 3), (5, 17, 3), (2, 5, 1, 3), (2, 5, 17, 2)])
def test_nothing_is_broadcast(metric, other):
    with pytest.raises(ValueError) as caught:
        metric(jnp.zeros(SHAPE), jnp.zeros(other))
    assert str(SHAPE) in str(caught.value) and str(other) in str(caught.value)


def test_bad_arguments_name_themselves():
    zeros = jnp.zeros(SHAPE)
    with pytest.raises(ValueError, match=r"valid has shape \(5, 17\)"):
        metrics.pa_mpjpe(zeros, zeros, jnp.ones((5, 17), bool))
    with pytest.raises(ValueError, match=r"where has shape \(17,\), values has \(5, 17\)"):
        metrics.masked_mean(jnp.zeros((5, 17)), jnp.ones((17,), bool))
    with pytest.raises(ValueError, match=r"fps is 0\.0"):
        metrics.mpjve(zeros, zeros, 0.0)
    with pytest.raises(ValueError, match="predicted has 2 frames"):
        metrics.acceleration_error(zeros[:, :2], zeros[:, :2], 50.0)
    with pytest.raises(ValueError, match=r"threshold is -0\.1"):
        metrics.pck(zeros, zeros, -0.1)
    with pytest.raises(ValueError, match="threshold is nan"):
        metrics.pck(zeros, zeros, float("nan"))


# World axes


WORLD = (2, 250, 5, 3)  # two chunks of 100 frames and what is left over


def world_paths(seed=20):
    """People who walk about, and predictions that drift, are turned and too small."""
    rng = np.random.default_rng(seed)
    target = np.cumsum(rng.normal(size=(2, 250, 1, 3)) * 0.02, axis=1) + rng.normal(size=WORLD) * 0.3
    turn = Rotation.from_euler("xyz", [0.3, -0.5, 1.2]).as_matrix()
    drift = np.linspace(0, 1, 250)[:, None, None] * np.array([0.4, 0.1, 0.0])
    predicted = 0.8 * (target + drift + rng.normal(size=WORLD) * 0.05) @ turn.T + 3.0
    return predicted.astype(np.float32), target.astype(np.float32)


def oracle_similarity(source, goal, scaled=True):
    """The similarity by SciPy's Kabsch solver in float64, as a function of points (n, 3)."""
    s_mean, g_mean = source.mean(axis=0), goal.mean(axis=0)
    rotation, _ = Rotation.align_vectors(goal - g_mean, source - s_mean)
    turned = rotation.apply(source - s_mean)
    scale = (turned * (goal - g_mean)).sum() / (turned**2).sum() if scaled else 1.0
    return lambda points: scale * rotation.apply(points - s_mean) + g_mean


W_MPJPE, WA_MPJPE, RTE = map(jax.jit, (metrics.w_mpjpe, metrics.wa_mpjpe, metrics.root_translation_error))


@pytest.mark.parametrize(("metric", "fitted"), [(W_MPJPE, 2), (WA_MPJPE, 100)], ids=["w", "wa"])
def test_world_errors_are_aligned_chunk_by_chunk(metric, fitted):
    predicted, target = world_paths()
    valid = np.random.default_rng(21).random(WORLD[:-1]) < 0.8
    spoilt = np.where(valid[..., None], predicted, np.float32(np.nan))
    errors = np.asarray(metric(spoilt, target, valid))
    assert errors.shape == WORLD[:-1] and errors.dtype == np.float32
    expected = np.full(WORLD[:-1], np.nan)
    for person in range(2):
        for start in (0, 100, 200):
            cut, seen = (person, slice(start, start + 100)), (person, slice(start, start + fitted))
            use = valid[seen] if fitted == 2 else valid[cut]
            p, t = (values[seen if fitted == 2 else cut].astype(np.float64) for values in (predicted, target))
            move = oracle_similarity(p[use], t[use])
            moved = move(predicted[cut].reshape(-1, 3).astype(np.float64)).reshape(-1, 5, 3)
            expected[cut] = np.linalg.norm(moved - target[cut], axis=-1)
    np.testing.assert_allclose(errors[valid], expected[valid], atol=2e-5)
    assert np.isnan(errors[~valid]).all()


def test_a_chunk_whose_first_frames_are_not_seen_has_no_error():
    predicted, target = world_paths()
    valid = np.ones(WORLD[:-1], bool)
    valid[0, 100:102] = False
    errors = np.asarray(W_MPJPE(predicted, target, valid))
    lost = np.zeros(WORLD[:-1], bool)
    lost[0, 100:200] = True
    np.testing.assert_array_equal(np.isnan(errors), lost)
    with pytest.raises(ValueError, match="chunk_frames is 1: give 2 or more"):
        metrics.w_mpjpe(jnp.asarray(predicted), jnp.asarray(target), chunk_frames=1)


def test_the_roots_error_is_a_share_of_its_way():
    predicted, target = (values[:, :, 0] for values in world_paths())
    valid = np.ones((2, 250), bool)
    valid[0, 30:60] = False
    spoilt = np.where(valid[..., None], predicted, np.float32(np.nan))
    errors = np.asarray(RTE(spoilt, target, valid))
    for person, seen in enumerate(valid):
        p, t = (values[person].astype(np.float64) for values in (predicted, target))
        way = np.linalg.norm(np.diff(t, axis=0), axis=-1).sum()
        moved = oracle_similarity(p[seen], t[seen], scaled=False)(p)
        expected = np.linalg.norm(moved - t, axis=-1) / way
        np.testing.assert_allclose(errors[person, seen], expected[seen], atol=1e-6)
    assert np.isnan(errors[~valid]).all()
    assert np.isnan(RTE(predicted, np.ones_like(target), valid)).all()
    assert np.isnan(RTE(predicted, target, np.zeros_like(valid))).all()


def test_jitter_matches_a_loop_and_has_units():
    """x = t³ has a jerk of 6 m/s³, at any frame rate."""
    _, target = world_paths()
    p = target[:, :6].astype(np.float64)
    expected = [
        np.linalg.norm(p[:, k + 3] - 3 * p[:, k + 2] + 3 * p[:, k + 1] - p[:, k], axis=-1) for k in range(3)
    ]
    found = metrics.jitter(jnp.asarray(target[:, :6]), 50.0)
    np.testing.assert_allclose(found, np.stack(expected, axis=1) * 50.0**3, rtol=1e-4)
    for fps in (5.0, 10.0):
        cubic = (np.arange(6) / fps)[:, None, None] ** 3 * np.array([1.0, 0, 0])
        np.testing.assert_allclose(metrics.jitter(jnp.asarray(cubic, jnp.float32), fps), 6.0, rtol=2e-3)


def test_feet_slide_where_the_truth_stands():
    """One ankle stands, then lifts off; the other is low but walks. Sinking into the floor is no slide."""
    truth = np.zeros((6, 2, 3), np.float32)
    truth[:, :, 2] = 0.08
    truth[4:, 0, 2] = 0.3
    truth[:, 1, 0] = 0.05 * np.arange(6)  # 2.5 m/s
    contact = np.asarray(metrics.foot_contact(jnp.asarray(truth), 50.0))
    np.testing.assert_array_equal(contact, [[True, False]] * 3 + [[False, False]] * 2)
    predicted = truth.copy()
    predicted[:, 0] += 0.01 * np.arange(6)[:, None] * np.array([0.6, 0.8, -1.0], np.float32)
    slide = metrics.foot_slide(jnp.asarray(predicted), 50.0)
    np.testing.assert_allclose(slide, [[0.5, 2.5]] * 5, rtol=1e-4)
    np.testing.assert_allclose(metrics.masked_mean(slide, jnp.asarray(contact)), 0.5, rtol=1e-4)
    with pytest.raises(ValueError, match=r"ankles has shape \(6, 2, 2\): give \(\.\.\., frames, ankles, 3\)"):
        metrics.foot_slide(jnp.zeros((6, 2, 2)), 50.0)


def test_bad_arguments_of_world_metrics_name_themselves():
    zeros = jnp.zeros((4, 5, 3))
    for metric in (metrics.w_mpjpe, metrics.wa_mpjpe, metrics.root_translation_error):
        with pytest.raises(ValueError, match=r"target has shape \(3, 5, 3\), predicted has \(4, 5, 3\)"):
            metric(zeros, zeros[:3])
    with pytest.raises(ValueError, match=r"valid has shape \(5,\), the frames of predicted \(4,\)"):
        metrics.root_translation_error(zeros[:, 0], zeros[:, 0], jnp.ones(5, bool))
    with pytest.raises(ValueError, match="predicted has 1 frames: the way of a path"):
        metrics.root_translation_error(zeros[:1, 0], zeros[:1, 0])
    with pytest.raises(ValueError, match="joints has 3 frames: a difference of order 3 needs 4"):
        metrics.jitter(zeros[:3], 50.0)
    with pytest.raises(ValueError, match="ankles has 1 frames"):
        metrics.foot_contact(zeros[:1], 50.0)
