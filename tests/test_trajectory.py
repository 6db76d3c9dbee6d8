"""Eq. 9: against an independent oracle, from far starts, with spoilt people, and its derivatives by
differences.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle

from solvers import Camera, Extrinsics, Status, TrajectoryConfig, describe_status, project, solve_trajectory
from solvers.trajectory_rows import factored_smoothness

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)
WEIGHTS = [(1.0, 1.0), (0.01, 0.01), (0.0, 1.0), (1.0, 0.0)]
# Two people over 200 frames in double precision are one program, and with covariances one more, for every
# test that needs no other shape.
LONG = 200


def arrays(scene, dtype=np.float32):
    return jnp.asarray(scene.poses, dtype), jnp.asarray(scene.keypoints, dtype), jnp.asarray(scene.occluded)


def expected_roots(scene, dtype, weights):
    """The oracle sees the numbers that the solver sees: rounded to ``dtype``."""
    poses, keypoints = (
        np.asarray(values.astype(dtype), np.float64) for values in (scene.poses, scene.keypoints)
    )
    return np.stack(
        [
            oracle.solve(scene.root[i], poses[i], keypoints[i], scene.occluded[i], weights)
            for i in range(len(poses))
        ]
    )


@pytest.mark.parametrize(
    "frames, gap, dtype, limit",
    # Rounding grows with the length: single precision has to hold on the long clip.
    [
        (LONG, 40, np.float64, 1e-6),
        pytest.param(1000, 200, np.float32, 1e-4, marks=pytest.mark.default_flags),
    ],
)
def test_matches_the_oracle(frames, gap, dtype, limit):
    scene = oracle.walking_people(2, frames, gap=gap)
    with jax.enable_x64(dtype == np.float64):
        for weights in WEIGHTS:
            solution = solve_trajectory(*arrays(scene, dtype), CAMERA, TrajectoryConfig(*weights))
            assert solution.root.dtype == dtype
            np.testing.assert_array_equal(solution.status, Status.CONVERGED)
            expected = expected_roots(scene, dtype, weights)
            np.testing.assert_allclose(
                solution.root, expected, atol=limit, rtol=0, err_msg=f"weights {weights}"
            )
            for person in range(2):
                residual, _ = oracle.residuals_and_jacobian(
                    expected[person], *(values[person] for values in scene[:3]), weights
                )
                np.testing.assert_allclose(solution.cost[person], residual @ residual, rtol=1e-4)


@pytest.mark.thorough
def test_far_starts_end_at_the_same_minimum():
    # 100 m and behind the camera are beyond what is promised, and work.
    depths = np.array([4.0, 1.0, 3.0, 10.0, 30.0, 100.0, -5.0])
    scene = oracle.walking_people(1, 60, gap=20)
    starts = np.zeros((len(depths), 60, 3), np.float32)
    starts[..., 2] = depths[:, None]
    people = [jnp.repeat(values, len(depths), axis=0) for values in arrays(scene)]
    for weights in WEIGHTS:
        solution = solve_trajectory(*people, CAMERA, TrajectoryConfig(*weights), jnp.asarray(starts))
        np.testing.assert_array_equal(solution.status, Status.CONVERGED)
        expected = np.repeat(expected_roots(scene, np.float32, weights), len(depths), axis=0)
        np.testing.assert_allclose(solution.root, expected, atol=5e-6, rtol=0)


def spoil(scene):
    """Person 1 to 9 spoilt, each in one way; the rest, and person 0 and 10, as they were."""
    poses, keypoints, occluded = (np.array(values) for values in scene[:3])
    keypoints[1, 5, np.argmin(occluded[1, 5])] = np.nan
    poses[2, 6, np.argmin(occluded[2, 6]), 1] = np.inf
    occluded[3] = True
    occluded[4] = True
    occluded[4, 20, 3] = False
    behind = scene.root[5] * [1, 1, -1]
    points = poses[5] + behind[:, None]
    keypoints[5] = points[..., :2] / points[..., 2:] * oracle.FOCAL + oracle.CENTER
    keypoints[6] = project(jnp.asarray(points, jnp.float32), CAMERA)
    # One joint in every frame shows rays only.
    occluded[7] = True
    occluded[7, :, 0] = False
    keypoints[8] = np.where(occluded[8][..., None], np.nan, keypoints[8])
    poses[8] = np.where(occluded[8][..., None], np.nan, poses[8])
    keypoints[9, 4, np.argmin(occluded[9, 4])] = 1e30
    return scene._replace(poses=poses, keypoints=keypoints, occluded=occluded)


def test_spoilt_people_get_their_status_and_change_nobody_else():
    scene = oracle.walking_people(11, 60, gap=20)
    clean = solve_trajectory(*arrays(scene), CAMERA)
    np.testing.assert_array_equal(clean.status, Status.CONVERGED)
    mixed = solve_trajectory(*arrays(spoil(scene)), CAMERA)
    expected = [Status.CONVERGED] * 11
    expected[1:8] = [
        Status.NON_FINITE,
        Status.NON_FINITE,
        Status.TOO_FEW_OBSERVATIONS,
        Status.TOO_FEW_OBSERVATIONS,
        Status.BEHIND_CAMERA,
        Status.BEHIND_CAMERA,
        Status.TOO_FEW_OBSERVATIONS,
    ]
    expected[9] = Status.NON_FINITE
    assert [Status(int(status)) for status in mixed.status] == expected
    # Person 8 is spoilt only where nobody looks.
    for person in (0, 8, 10):
        for before, after in zip(clean[:4], mixed[:4], strict=True):
            np.testing.assert_array_equal(before[person], after[person])
    for person in (1, 2, 3, 4, 5, 6, 7, 9):
        assert np.isnan(mixed.root[person]).all() and np.isnan(mixed.cost[person])


def in_two_rows(values):
    """(4, ...) -> (2, 2, ...)"""
    return values.reshape(2, 2, *values.shape[1:])


def test_too_few_observations_for_the_weights_at_hand():
    # Leading axes and frames as where the former are tested, so that both are one program.
    scene = oracle.walking_people(4, 20, hidden=0.0)
    occluded = np.ones_like(scene.occluded)
    occluded[0, 3, :2] = False  # one telling frame
    occluded[1, [1, 6], :2] = False  # two
    occluded[2, :19, :2] = False  # all but one
    occluded[3, :, :2] = False  # all
    people = [in_two_rows(values) for values in arrays(scene._replace(occluded=occluded))]
    few, good = Status.TOO_FEW_OBSERVATIONS, Status.CONVERGED
    for weights, expected in {
        (1.0, 0.0): [good, good, good, good],
        (1.0, 1.0): [good, good, good, good],
        (0.0, 1.0): [few, good, good, good],
        (0.0, 0.0): [few, few, few, good],
    }.items():
        solution = solve_trajectory(*people, CAMERA, TrajectoryConfig(*weights))
        assert [Status(int(status)) for status in solution.status.ravel()] == expected, weights
        found = np.isfinite(solution.root).all(axis=(2, 3)).ravel()
        np.testing.assert_array_equal(found, np.array(expected) == good)


@pytest.mark.parametrize("frames", [1, *(pytest.param(each, marks=pytest.mark.thorough) for each in (2, 3))])
def test_shortest_clips(float64, frames):
    scene = oracle.walking_people(1, frames, hidden=0.0)
    solution = solve_trajectory(*arrays(scene, np.float64), CAMERA)
    expected = expected_roots(scene, np.float64, (1.0, 1.0))
    np.testing.assert_allclose(solution.root, expected, atol=1e-7, rtol=0)


@pytest.mark.thorough
def test_windows_are_clips_of_their_own():
    scene = oracle.walking_people(2, 47)
    solution = solve_trajectory(*arrays(scene), CAMERA, TrajectoryConfig(window=20))
    np.testing.assert_array_equal(solution.status, Status.CONVERGED)
    cost = np.zeros(2)
    for window in (slice(0, 20), slice(20, 40), slice(40, 47)):
        piece = oracle.Scene(*(values[:, window] for values in scene))
        expected = expected_roots(piece, np.float32, (1.0, 1.0))
        np.testing.assert_allclose(solution.root[:, window], expected, atol=1e-5, rtol=0)
        for person in range(2):
            residual, _ = oracle.residuals_and_jacobian(
                expected[person], *(values[person] for values in piece[:3]), (1.0, 1.0)
            )
            cost[person] += residual @ residual
    np.testing.assert_allclose(solution.cost, cost, rtol=1e-4)


def test_a_hidden_window_fails_alone():
    scene = oracle.walking_people(2, 47)
    scene.occluded[1, 20:40] = True
    solution = solve_trajectory(*arrays(scene), CAMERA, TrajectoryConfig(window=20))
    assert [int(status) for status in solution.status] == [Status.CONVERGED, Status.TOO_FEW_OBSERVATIONS]
    lost = np.isnan(solution.root).all(axis=2)
    np.testing.assert_array_equal(lost[1], (np.arange(47) >= 20) & (np.arange(47) < 40))
    assert np.isfinite(solution.root[0]).all()


def test_max_steps_returns_the_best_root_so_far():
    scene = oracle.walking_people(1, 20)
    start = jnp.asarray(np.broadcast_to([0.0, 0.0, 30.0], (1, 20, 3)), jnp.float32)
    solution = solve_trajectory(*arrays(scene), CAMERA, TrajectoryConfig(max_steps=3), start)
    assert int(solution.status[0]) == Status.MAX_STEPS
    assert int(solution.num_steps[0]) == 3
    assert np.isfinite(solution.root).all()
    residual, _ = oracle.residuals_and_jacobian(
        np.asarray(solution.root[0], np.float64), *(values[0] for values in scene[:3]), (1.0, 1.0)
    )
    np.testing.assert_allclose(solution.cost[0], residual @ residual, rtol=1e-4)


def test_cameras_of_people_and_frames_and_lenses(float64):
    scene = oracle.walking_people(2, 12, noise=0.0, hidden=0.0)
    points = jnp.asarray(scene.poses + scene.root[:, :, None])
    # One program for a focal length of each frame, a center of each person and a lens of all.
    focal = np.array([[1000.0, 1010.0], [1300.0, 1290.0]])
    camera = Camera(
        focal[:, None] + np.arange(12)[None, :, None],
        np.array([[500.0, 510.0], [520.0, 530.0]]),
        radial=(-0.2, 0.1, -0.02),
        tangential=(-9e-4, -2e-3),
    )
    # Exact keypoints and next to no smoothing: the truth is the minimum.
    solution = solve_trajectory(
        scene.poses,
        project(points, camera),
        scene.occluded,
        camera,
        TrajectoryConfig(1e-12, 1e-12),
        jnp.asarray(scene.root),
    )
    np.testing.assert_array_equal(solution.status, Status.CONVERGED)
    np.testing.assert_allclose(solution.root, scene.root, atol=1e-8, rtol=0)


def test_leading_axes_jit_and_vmap():
    scene = oracle.walking_people(4, 20)
    expected = in_two_rows(expected_roots(scene, np.float32, (1.0, 1.0)))
    grid = [in_two_rows(values) for values in arrays(scene)]
    mapped = jax.jit(jax.vmap(lambda *clip: solve_trajectory(*clip, CAMERA)))
    for solution in (solve_trajectory(*grid, CAMERA), mapped(*grid)):
        np.testing.assert_allclose(solution.root, expected, atol=1e-5, rtol=0)
        assert solution.status.shape == solution.cost.shape == solution.num_steps.shape == (2, 2)


# Derivatives.


def small_problem(weights, gap=4):
    scene = oracle.walking_people(2, 11, joints=5, hidden=0.3, gap=gap, seed=3)
    camera = (
        np.array(oracle.FOCAL),
        np.array(oracle.CENTER),
        np.array([-0.1, 0.05, 0.0]),
        np.array([1e-3, -1e-3]),
    )
    given = {
        "poses": scene.poses,
        "keypoints": scene.keypoints,
        "camera": camera,
        "weights": weights,
    }
    # With dtypes of their own, where Python's numbers have weak ones: each mixture would compile anew.
    return jax.tree.map(np.float64, given), jnp.asarray(scene.occluded)


def solved_root(given, occluded):
    weights = TrajectoryConfig(*given["weights"], tolerance=1e-13)
    solution = solve_trajectory(
        given["poses"], given["keypoints"], occluded, Camera(*given["camera"]), weights
    )
    return solution.root, solution.cost


@jax.jit
def reverse_slope(given, occluded, probe):
    return jax.grad(lambda given: jnp.sum(probe * solved_root(given, occluded)[0]))(given)


@jax.jit
def forward_slopes(given, occluded, direction):
    """The root and cost, and how they change with ``given`` in ``direction``."""
    return jax.jvp(lambda given: solved_root(given, occluded), (given,), (direction,))


def random_direction(given, name):
    """A change of ``name`` alone, in proportion to its entries."""
    rng = np.random.default_rng(7)
    return {
        key: jax.tree.map(
            lambda v, share=float(key == name): np.float64(share * rng.normal(size=v.shape) * np.abs(v)),
            value,
        )
        for key, value in given.items()
    }


def test_gradients_match_central_differences_forward_and_reverse(float64):
    probe = jnp.asarray(np.random.default_rng(5).normal(size=(2, 11, 3)))
    for weights in [(1.0, 1.0), (1e-4, 1e-2), (0.3, 0.0)]:
        given, occluded = small_problem(weights)
        gradient = reverse_slope(given, occluded, probe)
        for name in given:
            direction = random_direction(given, name)
            one_sided = name == "weights" and 0.0 in weights
            if one_sided:
                direction["weights"] = (direction["weights"][0], np.float64(1.0))
            _, (root_dot, cost_dot) = forward_slopes(given, occluded, direction)
            slope = jnp.sum(probe * root_dot)
            parts = jax.tree.map(jnp.vdot, gradient, direction)
            np.testing.assert_allclose(
                sum(jax.tree.leaves(parts)), slope, rtol=1e-8, err_msg=f"{name} {weights}"
            )

            def moved(step, given=given, occluded=occluded, direction=direction):
                shifted = jax.tree.map(lambda a, b: np.float64(a + step * b), given, direction)
                (root, cost), _ = forward_slopes(shifted, occluded, direction)
                return np.array([jnp.sum(probe * root), *cost])

            if one_sided:
                h = 1e-6
                numeric = (-3 * moved(0.0) + 4 * moved(h) - moved(2 * h)) / (2 * h)
            else:
                h = 1e-4 if name == "weights" else 1e-6
                numeric = (moved(h) - moved(-h)) / (2 * h)
            np.testing.assert_allclose([slope, *cost_dot], numeric, rtol=1e-4, err_msg=f"{name} {weights}")


# Bad input.


def good_arguments():
    return dict(zip(("poses", "keypoints", "occluded"), arrays(oracle.walking_people(1, 5)), strict=True))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a | {"poses": a["poses"][0, 0]}, r"poses has shape \(17, 3\)"),
        (lambda a: a | {"poses": a["poses"][..., :2]}, r"poses has shape \(1, 5, 17, 2\)"),
        (lambda a: a | {"keypoints": a["poses"]}, r"keypoints has shape .* without confidences"),
        (lambda a: a | {"keypoints": a["keypoints"][:, :, :16]}, "keypoints has 16 joints, poses has 17"),
        (lambda a: a | {"occluded": a["occluded"][:, :4]}, "occluded has 4 frames, poses has 5"),
        (lambda a: a | {"occluded": a["occluded"][0]}, r"occluded has leading axes \(5, 17\)"),
        (
            lambda a: a | {"occluded": a["occluded"].astype(jnp.float32)},
            "occluded has dtype float32: pass booleans",
        ),
        (lambda a: a | {"poses": a["poses"].astype(jnp.int32)}, "poses has dtype int32"),
        (lambda a: {name: values[:, :0] for name, values in a.items()}, "which is empty"),
        (lambda a: a | {"camera": Camera((0.0, 1.0), (0.0, 0.0))}, r"camera\.focal has fx = 0.0"),
        (lambda a: a | {"camera": Camera((1.0, np.nan), (0.0, 0.0))}, r"camera\.focal has fy = nan"),
        (lambda a: a | {"camera": Camera(np.ones((3, 2)), (0.0, 0.0))}, r"camera has leading axes \(3,\)"),
        (
            lambda a: a | {"config": TrajectoryConfig(velocity_weight=-1.0)},
            r"config\.velocity_weight is -1\.0",
        ),
        (
            lambda a: a | {"config": TrajectoryConfig(acceleration_weight=np.nan)},
            r"acceleration_weight is nan",
        ),
        (
            lambda a: a | {"config": TrajectoryConfig(velocity_weight=np.ones(2))},
            r"velocity_weight has shape \(2,\)",
        ),
        (lambda a: a | {"config": TrajectoryConfig(window=0)}, r"config\.window is 0"),
        (lambda a: a | {"config": TrajectoryConfig(max_steps=0)}, r"config\.max_steps is 0"),
        (lambda a: a | {"initial_root": jnp.zeros((5, 3))}, r"initial_root has shape \(5, 3\)"),
    ],
)
def test_bad_input_names_the_argument_and_the_mend(change, message):
    arguments = change({**good_arguments()})
    arguments.setdefault("camera", CAMERA)
    with pytest.raises(ValueError, match=message):
        solve_trajectory(**arguments)


def test_traced_focal_and_weights_out_of_range_become_a_status():
    arguments = good_arguments()

    @jax.jit
    def status(focal, weight):
        camera = Camera(focal, CAMERA.center)
        return solve_trajectory(**arguments, camera=camera, config=TrajectoryConfig(weight)).status

    assert int(status(jnp.asarray(CAMERA.focal), 1.0)[0]) == Status.CONVERGED
    assert int(status(jnp.asarray((1145.0, -1.0)), 1.0)[0]) == Status.NON_FINITE
    assert int(status(jnp.asarray(CAMERA.focal), -1.0)[0]) == Status.NON_FINITE
    assert int(status(jnp.asarray(CAMERA.focal), jnp.nan)[0]) == Status.NON_FINITE


def test_every_status_has_advice():
    # What to look at, which no other status' sentence names.
    advice = {
        Status.CONVERGED: "^The trajectory minimises Eq. 9.$",
        Status.MAX_STEPS: "raise max_steps",
        Status.TOO_FEW_OBSERVATIONS: "join the clip with its neighbours.*velocity_weight a positive value",
        Status.NON_FINITE: "mark such joints as occluded",
        Status.BEHIND_CAMERA: "x right, y down, z forward.*origin at the top left",
        Status.UNOBSERVABLE: "join the clip with others of the same camera",
        Status.IMPLAUSIBLE_DISTANCE: "distance_range.*pixels.*metres.*focal length",
        Status.MISFIT: "y pointing up.*COCO.*millimetres.*principal point.*exchanged identities",
        Status.PARTLY_SEEN: "seen on no frame",
    }
    assert list(advice) == list(Status)
    for status, pattern in advice.items():
        matching = [other for other in Status if re.search(pattern, describe_status(other))]
        assert matching == [status], pattern
        # As a solution holds it.
        assert describe_status(jnp.asarray(int(status))) == describe_status(status)
    with pytest.raises(ValueError, match="99"):
        describe_status(99)


@pytest.mark.parametrize("weights", [*WEIGHTS, (0.0, 0.0), (1e-4, 1e2), (3.0, 1e-5)])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 50])
def test_factored_smoothness_is_the_smoothness(float64, weights, frames):
    velocity = np.random.default_rng(4).normal(size=(max(frames - 1, 0), 3))
    axes = np.array([1.0, 0.1, 7.0])
    first, second = (weight * axes for weight in weights)
    speed, turn = factored_smoothness(frames, jnp.asarray(first), jnp.asarray(second))
    assert speed.shape == turn.shape == velocity.shape
    rows = speed[:-1] * velocity[:-1] + turn[:-1] * np.diff(velocity, axis=0)
    expected = first * np.sum(velocity**2, axis=0) + second * np.sum(np.diff(velocity, axis=0) ** 2, axis=0)
    found = np.sum(rows**2, axis=0) + np.sum((speed[-1:] * velocity[-1:]) ** 2, axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# ------------------------------------------------------------------------------------------- how sure it is


def oracle_rows(scene, root, weights):
    """Residuals and dense Jacobian of the first person at ``root``."""
    residual, jacobian = oracle.residuals_and_jacobian(
        np.asarray(root, np.float64), scene.poses[0], scene.keypoints[0], scene.occluded[0], weights
    )
    return residual, jacobian.toarray()


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.01, 0.01), (1.0, 0.0)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-7), pytest.param(np.float32, 1e-3, marks=pytest.mark.thorough)]
)
def test_covariance_is_the_dense_inverse(weights, dtype, tolerance):
    scene = oracle.walking_people(2, LONG, gap=60)
    config = TrajectoryConfig(*weights, keypoint_std=3.0)
    with jax.enable_x64(dtype == np.float64):
        solution = solve_trajectory(*arrays(scene, dtype), CAMERA, config, covariance=True)
    _, jacobian = oracle_rows(scene, solution.root[0], weights)
    inverse = np.linalg.inv(jacobian.T @ jacobian).reshape(LONG, 3, LONG, 3)
    expected = 9.0 * inverse[np.arange(LONG), :, np.arange(LONG)]
    np.testing.assert_allclose(solution.covariance[0], expected, rtol=tolerance, atol=tolerance * 1e-6)
    assert float(solution.covariance[0, 100, 2, 2]) > 2 * float(solution.covariance[0, 10, 2, 2])


def test_covariance_costs_nothing_else(float64):
    scene = oracle.walking_people(2, LONG)
    people = arrays(scene, np.float64)
    plain = solve_trajectory(*people, CAMERA)
    sure = solve_trajectory(*people, CAMERA, covariance=True)
    np.testing.assert_allclose(plain.root, sure.root, atol=1e-6)
    assert plain.covariance is None and plain.log_evidence is None
    wide = TrajectoryConfig(size_std=0.05)
    spread = solve_trajectory(*people, CAMERA, wide, covariance=True)
    np.testing.assert_allclose(
        spread.covariance,
        sure.covariance + 0.0025 * sure.root[..., :, None] * sure.root[..., None, :],
        rtol=1e-4,
    )
    shifted = solve_trajectory(*people, CAMERA, TrajectoryConfig(bias_std=3.0), covariance=True)
    root = np.asarray(sure.root)
    added = np.asarray(shifted.covariance - sure.covariance)
    # Nothing along the ray, and three pixels across it.
    square = (root**2).sum(axis=-1)
    along = np.einsum("pfi,pfij,pfj->pf", root, added, root) / square
    np.testing.assert_allclose(along, 0, atol=1e-7)
    expected = 2 * 9.0 * square / (oracle.FOCAL[0] * oracle.FOCAL[1])
    np.testing.assert_allclose(np.trace(added, axis1=-2, axis2=-1), expected, rtol=0.01)


@pytest.mark.thorough
def test_windows_and_unsolved_people_have_their_covariances(float64):
    scene = oracle.walking_people(2, 60)
    occluded = scene.occluded.copy()
    occluded[1] = True
    people = arrays(scene._replace(occluded=occluded), np.float64)
    found = solve_trajectory(*people, CAMERA, TrajectoryConfig(window=30, keypoint_std=3.0), covariance=True)
    assert found.covariance.shape == (2, 60, 3, 3) and found.log_evidence.shape == (2,)
    assert np.isnan(found.covariance[1]).all() and np.isnan(found.log_evidence[1])
    for begin in (0, 30):
        part = slice(begin, begin + 30)
        window = oracle.Scene(*(values[:1, part] for values in scene))
        _, jacobian = oracle_rows(window, found.root[0, part], (1.0, 1.0))
        inverse = np.linalg.inv(jacobian.T @ jacobian).reshape(30, 3, 30, 3)
        expected = 9.0 * inverse[np.arange(30), :, np.arange(30)]
        np.testing.assert_allclose(found.covariance[0, part], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.thorough
def test_weights_by_axis(float64):
    # A still camera's axes rotate with the world: weights of one axis follow it.
    scene = oracle.walking_people(2, LONG, gap=60)
    quarter = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    weights = np.array([0.01, 1.0, 0.1])
    turned = Extrinsics(quarter[None], np.zeros((1, 3)))
    people = arrays(scene, np.float64)
    found = solve_trajectory(*people, CAMERA, TrajectoryConfig(weights, 2 * weights), covariance=True)
    swapped = TrajectoryConfig(weights[::-1], 2 * weights[::-1])
    world = solve_trajectory(*people, CAMERA, swapped, extrinsics=turned, covariance=True)
    np.testing.assert_allclose(world.root, np.asarray(found.root) @ quarter, atol=1e-6)
    np.testing.assert_allclose(world.log_evidence, found.log_evidence, rtol=1e-6)
    residual, jacobian = oracle_rows(scene, found.root[0], (1.0, 1.0))
    scale = np.ones(len(residual))
    smooth = 2 * int((~scene.occluded[0]).sum())
    for order in (1, 2):
        length = LONG - order
        scale[smooth : smooth + 3 * length] = np.tile(np.sqrt(order * weights), length)
        smooth += 3 * length
    gradient = (jacobian * scale[:, None] ** 2).T @ residual
    curvature = (jacobian * scale[:, None]).T @ (jacobian * scale[:, None])
    assert np.abs(np.linalg.solve(curvature, gradient)).max() < 1e-6


@pytest.mark.thorough
def test_evidence_is_that_of_the_dense_gaussian(float64):
    # Against the density of a Gaussian model that is linear in a path near the solution, with a flat prior on
    # where the path begins as the limit of a wide one.
    scene = oracle.walking_people(1, 30, gap=8)
    values = []
    for weights, keypoint_std in (((1.0, 1.0), 2.0), ((0.05, 0.3), 3.0)):
        config = TrajectoryConfig(*weights, keypoint_std=keypoint_std)
        solution = solve_trajectory(*arrays(scene, np.float64), CAMERA, config, covariance=True)
        residual, jacobian = oracle_rows(scene, solution.root[0], weights)
        seen = 2 * int((~scene.occluded[0]).sum())
        shown, smooth = jacobian[:seen], jacobian[seen:]
        prior = np.linalg.inv(smooth.T @ smooth / keypoint_std**2 + np.eye(90) / 1e4**2)
        spread = shown @ prior @ shown.T + keypoint_std**2 * np.eye(seen)
        offset = residual[:seen] - shown @ np.asarray(solution.root[0]).ravel()
        sign, logarithm = np.linalg.slogdet(spread)
        assert sign > 0
        values.append(
            (
                float(solution.log_evidence[0]),
                -(offset @ np.linalg.solve(spread, offset) + logarithm) / 2,
            )
        )
    (first, dense_first), (second, dense_second) = values
    np.testing.assert_allclose(first - second, dense_first - dense_second, rtol=1e-3)


def test_weights_from_noise():
    config = TrajectoryConfig.from_noise(2.0, 0.5, 4.0, window=100)
    np.testing.assert_allclose(config.velocity_weight, (2 * 50 / 500) ** 2)
    np.testing.assert_allclose(config.acceleration_weight, (2 * 2500 / 4000) ** 2)
    assert config.keypoint_std == 2.0 and config.window == 100
    # The solve is told the rate; callers of 0.1 told this function, which changes nothing any more.
    assert TrajectoryConfig.from_noise(2.0, 0.5, 4.0, 25.0, window=100) == config
    assert TrajectoryConfig.from_noise(2.0, 0.5, np.inf, 50.0).acceleration_weight == 0
    axes = TrajectoryConfig.from_noise(2.0, (0.5, 0.5, 0.1), 4.0, 50.0)
    np.testing.assert_allclose(axes.velocity_weight, [0.04, 0.04, 1.0])
    for name, arguments in {
        "keypoint_std": (0.0, 1.0, 1.0, 50.0),
        "speed_std": (1.0, -1.0, 1.0, 50.0),
        "acceleration_std": (1.0, 1.0, np.nan, 50.0),
    }.items():
        with pytest.raises(ValueError, match=f"{name} is .*: pass a positive number"):
            TrajectoryConfig.from_noise(*arguments)
    with pytest.raises(ValueError, match=r"fps is 0\.0: pass the clip's frames a second"):
        TrajectoryConfig.from_noise(1.0, 1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"config.size_std is -0.1: pass a finite number"):
        solve_trajectory(
            *arrays(oracle.walking_people(1, 5)), CAMERA, TrajectoryConfig(size_std=-0.1), covariance=True
        )


# ------------------------------------------------------------------------------ velocities from elsewhere

KNOWN = slice(90, 111)  # steps to these frames are known: those of a gap of 20 frames


def known_scene(dtype=np.float64):
    scene = oracle.walking_people(2, LONG, gap=20, hidden=0.0, noise=0.0)
    velocity = np.zeros((2, LONG, 3), dtype)
    velocity[:, 1:] = 50 * np.diff(scene.root, axis=1)
    deviation = np.full((2, LONG, 3), np.inf, dtype)
    deviation[:, KNOWN] = 0.5
    return scene, velocity, deviation


@pytest.mark.thorough
def test_known_velocities_lead_through_a_gap(float64):
    scene, velocity, deviation = known_scene()
    velocity[~np.isfinite(deviation)] = np.nan
    config = TrajectoryConfig(1.0, 1.0, keypoint_std=20.0)
    given = arrays(scene, np.float64)
    plain = solve_trajectory(*given, CAMERA, config, covariance=True)
    found = solve_trajectory(
        *given, CAMERA, config, covariance=True, velocity=velocity, velocity_std=deviation
    )
    inside, ends = slice(90, 110), np.array([89, 110])
    off = [np.linalg.norm(each.root - scene.root, axis=-1) for each in (plain, found)]
    # The frames at the ends stay where they are: the gap pulls at them as it did.
    np.testing.assert_allclose(off[1][:, ends], off[0][:, ends], atol=0.02)
    assert off[1][:, inside].max() < 1.2 * off[1][:, ends].max() < off[0][:, inside].max()
    # A bridge of steps that are each off by 0.5 m/s, wider in the middle than at its ends.
    middle = np.sqrt(np.asarray(found.covariance)[0, 100, 0, 0])
    bridge = 0.5 / 50 * np.sqrt(21 / 4)
    assert 0.7 * bridge < middle < 1.5 * bridge


def test_nothing_known_is_eq_9(float64):
    scene, velocity, deviation = known_scene()
    given, config = arrays(scene, np.float64), TrajectoryConfig(1.0, 1.0, keypoint_std=20.0)
    plain = solve_trajectory(*given, CAMERA, config, covariance=True)
    nothing = np.full_like(deviation, np.inf)
    found = solve_trajectory(*given, CAMERA, config, covariance=True, velocity=velocity, velocity_std=nothing)
    for name in ("root", "covariance", "log_evidence", "cost"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"velocity": np.zeros((1, 5, 3))},
            "velocity_std is missing: pass velocity and velocity_std together",
        ),
        ({"velocity_std": np.ones((1, 5, 3))}, "velocity is missing"),
        (
            {"velocity": np.zeros((5, 3)), "velocity_std": np.ones((1, 5, 3))},
            r"velocity has shape \(5, 3\) .* pass floating point numbers, \(1, 5, 3\)",
        ),
        (
            {"velocity": np.zeros((1, 5, 3)), "velocity_std": np.zeros((1, 5, 1))},
            "velocity_std holds numbers that are not positive",
        ),
    ],
)
def test_velocities_that_cannot_be_meant_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        solve_trajectory(**good_arguments(), camera=CAMERA, **change)
