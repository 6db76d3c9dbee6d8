"""Robust losses and confidences in Eq. 9: against SciPy, with gross outliers, and by differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import trajectory_oracle as oracle

from gated_lift.synthetic.detector import DetectorConfig, detect
from solvers import Camera, Status, TrajectoryConfig, solve_trajectory
from solvers.gauss_newton import _conjugate_gradients
from solvers.joints import lay_out
from solvers.robust import LOSSES, GemanMcClure, Huber, Squared

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
SCALES = {"squared": None, "huber": 4.0, "geman_mcclure": 9.0}


# The losses.


@pytest.mark.parametrize("loss", [Squared(), Huber(3.0), GemanMcClure(3.0)])
def test_losses_are_what_they_are_called(float64, loss):
    error = np.array([0.0, 1e-200, 0.5, 2.9, 3.1, 10.0, 1e4])
    square = jnp.asarray(error**2)
    expected = {
        Squared: error**2,
        Huber: np.where(error <= 3, error**2, 6 * error - 9),
        GemanMcClure: error**2 / (1 + error**2 / 9),
    }[type(loss)]

    def cost(square):
        return square * loss.share(square)

    np.testing.assert_allclose(cost(square), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.slope(square), jax.vmap(jax.grad(cost))(square), rtol=1e-7)
    for before in range(len(error)):
        change = square[before] - square
        decrease = loss.decrease(jnp.full_like(square, square[before]), square, change)
        np.testing.assert_allclose(decrease, expected[before] - expected, rtol=1e-10, atol=1e-10)


@pytest.mark.default_flags
@pytest.mark.parametrize("loss", [Squared(), Huber(3.0), GemanMcClure(3.0)])
def test_losses_have_finite_derivatives_at_no_error(loss):
    def cost(point):
        square = jnp.sum(point * point)
        return square * loss.share(square)

    still = jnp.zeros(2)
    np.testing.assert_array_equal(jax.grad(cost)(still), 0)
    np.testing.assert_allclose(jax.hessian(cost)(still), 2 * np.eye(2))


# Outliers.


def detected_people():
    """Walkers with a left and a right limb on either side, as a detector with correlated noise sees them."""
    scene = oracle.walking_people(10, 100, hidden=0.2, gap=10, noise=0.0)
    poses = np.array(scene.poses)
    poses[:, :, 2::2] = poses[:, :, 1::2] * [-1, 1, -1]
    points = poses + scene.root[:, :, None]
    keypoints = points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER
    height = oracle.FOCAL[1] * 1.7 / scene.root[..., 2]
    found = detect(
        jax.random.key(0),
        *(jnp.asarray(values, jnp.float32) for values in (keypoints, np.zeros(keypoints.shape[:-1]), height)),
        DetectorConfig(outlier_rate=0.0),
        50.0,
    )
    return scene._replace(poses=poses, keypoints=np.asarray(found.keypoints))


def anywhere(keypoints):
    """One joint in ten lies anywhere in the image."""
    rng = np.random.default_rng(1)
    wrong = rng.uniform(size=keypoints.shape[:-1]) < 0.1
    return np.where(wrong[..., None], rng.uniform(0, 1024, keypoints.shape).astype(np.float32), keypoints)


def swapped(keypoints):
    """Left and right are exchanged in one pair of joints in ten."""
    keypoints = keypoints.copy()
    left, right = keypoints[:, :, 1::2].copy(), keypoints[:, :, 2::2].copy()
    wrong = np.random.default_rng(2).uniform(size=(*left.shape[:-1], 1)) < 0.1
    keypoints[:, :, 1::2], keypoints[:, :, 2::2] = np.where(wrong, (right, left), (left, right))
    return keypoints


@pytest.mark.thorough
def test_outliers_move_robust_roots_little_and_squared_ones_much():
    scene = detected_people()

    def median_error(keypoints, loss):
        poses = jnp.asarray(scene.poses, jnp.float32)
        config = TrajectoryConfig(loss=loss)
        solution = solve_trajectory(poses, keypoints, jnp.asarray(scene.occluded), CAMERA, config)
        np.testing.assert_array_equal(solution.status, Status.CONVERGED)
        return np.median(np.linalg.norm(solution.root - scene.root, axis=-1))

    squared = median_error(scene.keypoints, "squared")
    for loss in LOSSES:
        clean = median_error(scene.keypoints, loss)
        assert clean < 1.2 * squared, loss
        for spoil in (anywhere, swapped):
            ratio = median_error(spoil(scene.keypoints), loss) / clean
            assert ratio > 2 if loss == "squared" else ratio < 1.2, (loss, spoil.__name__, ratio)


# Minimum and derivatives.


def small_problem():
    """Two people of nine joints, eleven frames; a few joints are far off, and confidences differ."""
    scene = oracle.walking_people(2, 11, joints=9, hidden=0.2, gap=2, seed=3)
    rng = np.random.default_rng(8)
    keypoints = scene.keypoints + 80 * rng.normal(size=(2, 11, 9, 2)) * (rng.random((2, 11, 9, 1)) < 0.1)
    return scene._replace(keypoints=keypoints), rng.uniform(0.1, 1.0, size=scene.occluded.shape)


@functools.partial(jax.jit, static_argnames="loss")
def probed(given, poses, occluded, loss):
    """The slope in ``given`` of a number made of all roots, that number, and the solution."""

    def number(given):
        config = TrajectoryConfig(tolerance=1e-13, loss=loss, loss_scale=given.get("scale"), max_steps=200)
        solution = solve_trajectory(
            poses, given["keypoints"], occluded, CAMERA, config, confidence=given["confidence"]
        )
        probe = jnp.asarray(np.random.default_rng(5).normal(size=solution.root.shape))
        return jnp.sum(jnp.where(jnp.isfinite(solution.root), probe * solution.root, 0)), solution

    (value, solution), slope = jax.value_and_grad(number, has_aux=True)(given)
    return slope, value, solution


def problem_for(loss):
    scene, confidence = small_problem()
    given = {"keypoints": jnp.asarray(scene.keypoints), "confidence": jnp.asarray(confidence)}
    if loss != "squared":
        given["scale"] = jnp.asarray(SCALES[loss], jnp.float64)
    return scene, given


def robust_cost(square, loss):
    """rho and d rho / d e^2"""
    scale = SCALES[loss]
    if loss == "squared":
        return square, np.ones_like(square)
    if loss == "geman_mcclure":
        return square / (1 + square / scale**2), (1 + square / scale**2) ** -2
    error = np.sqrt(square)
    far = error > scale
    return np.where(far, 2 * scale * error - scale**2, square), np.where(far, scale / error, 1)


def minimum(root, poses, keypoints, occluded, confidence, loss):
    """SciPy's minimum of the robust Eq. 9 near ``root`` for one person, and the cost there."""
    weight = confidence[~occluded]

    def cost(millimetres):
        residual, jacobian = oracle.residuals_and_jacobian(
            millimetres.reshape(root.shape) / 1000, poses, keypoints, occluded, (1.0, 1.0)
        )
        count = len(weight)
        value, slope = robust_cost(residual[:count] ** 2 + residual[count : 2 * count] ** 2, loss)
        smooth = residual[2 * count :]
        pull = np.concatenate([np.tile(weight * slope, 2) * residual[: 2 * count], smooth])
        return weight @ value + smooth @ smooth, 2 * jacobian.T @ pull / 1000

    found = scipy.optimize.minimize(
        cost, 1000 * root.ravel(), jac=True, method="BFGS", options={"gtol": 1e-7}
    )
    assert np.abs(found.jac).max() < 1e-5
    return found.x.reshape(root.shape) / 1000, found.fun


@pytest.mark.parametrize("loss", ["huber", pytest.param("geman_mcclure", marks=pytest.mark.thorough)])
def test_minimum_is_that_of_scipy(float64, loss):
    scene, given = problem_for(loss)
    _, _, solution = probed(given, jnp.asarray(scene.poses), jnp.asarray(scene.occluded), loss)
    np.testing.assert_array_equal(solution.status, Status.CONVERGED)
    for person in range(2):
        parts = (values[person] for values in scene[:3])
        start = np.asarray(solution.root[person]) if loss == "squared" else scene.root[person]
        root, cost = minimum(start, *parts, np.asarray(given["confidence"])[person], loss)
        np.testing.assert_allclose(solution.root[person], root, atol=1e-6, rtol=0)
        np.testing.assert_allclose(solution.cost[person], cost, rtol=1e-9)


# The squared loss has its own test, with the trajectory's.
@pytest.mark.parametrize("loss", ["huber", "geman_mcclure"])
def test_gradients_match_central_differences(float64, loss):
    scene, given = problem_for(loss)
    fixed = jnp.asarray(scene.poses), jnp.asarray(scene.occluded)
    slope, _, _ = probed(given, *fixed, loss)
    rng = np.random.default_rng(7)
    for name, values in given.items():
        direction = rng.normal(size=values.shape)
        step = 1e-4 if name == "keypoints" else 1e-5
        ahead, behind = (
            probed(given | {name: values + s * direction}, *fixed, loss)[1] for s in (step, -step)
        )
        found = np.sum(slope[name] * direction)
        np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-4, err_msg=name)
    np.testing.assert_array_equal(np.asarray(slope["confidence"])[scene.occluded], 0)


def test_an_indefinite_lane_stays_finite_and_spoils_no_other(float64):
    """Away from its minimum a robust cost curves downwards here and there: no solution, and no overflow."""
    rng = np.random.default_rng(0)
    curvature = rng.uniform(0.3, 1.0, size=(5, 6, 3))
    curvature[..., 1] *= rng.choice([-1.0, 1.0], size=(5, 6))
    curvature[..., 2] *= -1
    force = jnp.asarray(rng.normal(size=(5, 6, 3)))
    found = _conjugate_gradients(lambda v: curvature * v, lambda v: v, force)
    np.testing.assert_allclose(found[..., 0], (force / curvature)[..., 0], rtol=1e-12)
    assert np.abs(found).max() < 1e3


@pytest.mark.parametrize("scale", [-1.0, 0.0, np.nan, np.inf])
def test_a_traced_scale_out_of_range_becomes_a_status(float64, scale):
    scene, given = problem_for("huber")
    given["scale"] = jnp.asarray(scale, jnp.float64)
    slope, _, solution = probed(given, jnp.asarray(scene.poses), jnp.asarray(scene.occluded), "huber")
    np.testing.assert_array_equal(solution.status, Status.NON_FINITE)
    assert all(np.isfinite(values).all() for values in slope.values())


# Confidences.


def with_confidence(scene, confidence, **changes):
    arguments = {name: jnp.asarray(values) for name, values in scene._asdict().items() if name != "root"}
    arguments |= {name: jnp.asarray(values) for name, values in changes.items()}
    for name in ("poses", "keypoints"):
        arguments[name] = arguments[name].astype(jnp.float32)
    confidence = None if confidence is None else jnp.asarray(confidence, jnp.float32)
    return solve_trajectory(**arguments, camera=CAMERA, confidence=confidence)


def assert_same(first, second, people=slice(None)):
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one[people], other[people])


@pytest.mark.thorough
def test_confidences_at_their_ends_and_spoilt_ones():
    scene, confidence = small_problem()
    some = np.random.default_rng(6).uniform(size=scene.occluded.shape) < 0.2
    ones = np.ones_like(confidence)
    # The numbers that are solved are the same bit by bit; two compiled programs may round them differently.
    clip = [jnp.asarray(values) for values in scene[:3]]
    assert_same(jax.tree.leaves(lay_out(*clip, jnp.asarray(ones))), jax.tree.leaves(lay_out(*clip)))
    weighed, plain = with_confidence(scene, ones), with_confidence(scene, None)
    np.testing.assert_allclose(weighed.root, plain.root, atol=2e-6, rtol=0)
    np.testing.assert_array_equal(weighed.status, plain.status)

    # Zero is hidden, whatever stands there.
    hidden = with_confidence(scene, confidence, occluded=scene.occluded | some)
    assert_same(with_confidence(scene, np.where(some, 0.0, confidence)), hidden)
    keypoints = np.where(some[..., None], np.nan, scene.keypoints)
    assert_same(with_confidence(scene, np.where(some, 0.0, confidence), keypoints=keypoints), hidden)

    clean = with_confidence(scene, confidence)
    nobody_looks = np.where(scene.occluded, np.nan, confidence)
    assert_same(with_confidence(scene, nobody_looks), clean)
    frame, joint = np.argwhere(~scene.occluded[1])[3]
    for wrong in (np.nan, np.inf, -0.1):
        spoilt = confidence.copy()
        spoilt[1, frame, joint] = wrong
        found = with_confidence(scene, spoilt)
        assert [Status(int(status)) for status in found.status] == [Status.CONVERGED, Status.NON_FINITE]
        assert np.isnan(found.root[1]).all()
        assert_same(found, clean, people=0)

    # Joints are counted, not weighed: one frame with two faint joints is enough.
    faint = np.zeros_like(confidence)
    faint[:, 4, :2] = 0.01
    found = with_confidence(scene, faint, occluded=np.zeros_like(scene.occluded))
    np.testing.assert_array_equal(found.status, Status.CONVERGED)
    found = with_confidence(scene, np.where(np.arange(9) == 1, 0.0, faint))
    np.testing.assert_array_equal(found.status, Status.TOO_FEW_OBSERVATIONS)


# Bad input.


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"confidence": np.ones((2, 11, 8), np.float32)}, r"confidence has shape \(2, 11, 8\), .*pass one"),
        ({"confidence": np.ones((11, 9), np.float32)}, r"confidence has shape \(11, 9\)"),
        ({"confidence": np.ones((2, 11, 9), np.int32)}, "confidence has dtype int32: pass floating"),
        ({"confidence": np.ones((2, 11, 9), bool)}, "confidence has dtype bool: pass floating"),
        ({"config": TrajectoryConfig(loss="cauchy")}, "config.loss is 'cauchy': choose from squared, huber"),
        ({"config": TrajectoryConfig(loss="huber", loss_scale=0.0)}, r"config\.loss_scale is 0\.0: pass pix"),
        ({"config": TrajectoryConfig(loss="huber", loss_scale=np.inf)}, r"config\.loss_scale is inf"),
        ({"config": TrajectoryConfig(loss="huber", loss_scale=np.nan)}, r"config\.loss_scale is nan"),
        ({"config": TrajectoryConfig(loss="huber", loss_scale=np.ones(2))}, r"loss_scale has shape \(2,\)"),
        ({"config": TrajectoryConfig(loss_scale=5.0)}, r"loss_scale is 5\.0, but the squared loss has none"),
    ],
)
def test_bad_input_names_the_argument_and_the_mend(changes, message):
    scene, _ = small_problem()
    with pytest.raises(ValueError, match=message):
        solve_trajectory(*scene[:3], CAMERA, **changes)
