"""Roots in world axes, before cameras whose motion is known: against the same problem without one, and an
independent minimiser.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import trajectory_oracle as oracle
from scipy.spatial.transform import Rotation

from solvers import (
    Camera,
    Extrinsics,
    Status,
    TrajectoryConfig,
    TrajectorySolution,
    joint_covariance,
    solve_trajectory,
)

CAMERA = Camera(oracle.FOCAL, oracle.CENTER)


def arrays(scene, dtype=np.float32):
    return jnp.asarray(scene.poses, dtype), jnp.asarray(scene.keypoints, dtype), jnp.asarray(scene.occluded)


def shaken(frames, people=None, seed=0):
    """A camera that turns by a few degrees and moves by some centimetres, once or for each of the people."""
    rng = np.random.default_rng(seed)
    shape = (frames,) if people is None else (people, frames)
    turns = np.array([1.2, -0.4, 0.3]) + np.cumsum(0.01 * rng.normal(size=(*shape, 3)), axis=-2)
    rotation = Rotation.from_euler("xyz", turns.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)
    steps = np.cumsum(0.02 * rng.normal(size=(*shape, 3)), axis=-2)
    return Extrinsics(rotation, np.array([3.0, -2.0, 1.5]) + steps)


def before(scene, extrinsics):
    """What the moving camera sees of the scene, whose roots are read as world metres seen from 6 m away."""
    rotation, position = extrinsics
    world = np.einsum("...ji,...j->...i", rotation, scene.root + np.array([0, 0, 2])) + position
    world = np.broadcast_to(world[:, :1], world.shape) + scene.root - scene.root[:, :1]
    root = np.einsum("...ij,...j->...i", rotation, world - position)
    points = scene.poses + root[:, :, None]
    keypoints = np.stack(
        [oracle.FOCAL[i] * points[..., i] / points[..., 2] + oracle.CENTER[i] for i in range(2)], axis=-1
    )
    noise = np.random.default_rng(1).normal(size=keypoints.shape)
    return scene._replace(keypoints=keypoints + 2 * noise, root=world)


@pytest.mark.thorough
def test_a_camera_that_stands_still_only_turns_the_answer(float64):
    scene = oracle.walking_people(2, 60, gap=10)
    pose = jax.tree.map(lambda values: np.repeat(values[None, :1], 2, axis=0).repeat(60, axis=1), shaken(1))
    people = arrays(scene, np.float64)
    config = TrajectoryConfig(size_std=0.05)
    expected = solve_trajectory(*people, CAMERA, config, covariance=True)
    found = solve_trajectory(*people, CAMERA, config, extrinsics=pose, covariance=True)
    rotation, position = pose.rotation[0, 0], pose.position[0, 0]
    np.testing.assert_allclose(found.root, np.asarray(expected.root) @ rotation + position, atol=1e-7)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-9)
    np.testing.assert_allclose(
        found.covariance, rotation.T @ np.asarray(expected.covariance) @ rotation, rtol=1e-6, atol=1e-12
    )
    joints = joint_covariance(expected, people[0], config, pose_std=0.02)
    turned = joint_covariance(found, people[0], config, pose_std=0.02, extrinsics=pose)
    np.testing.assert_allclose(turned, rotation.T @ np.asarray(joints) @ rotation, rtol=1e-6, atol=1e-12)
    # The joints of people of random sizes, each as unsure as is said.
    rng = np.random.default_rng(0)
    root, offset = np.asarray(expected.root)[0, 30], scene.poses[0, 30, 5]
    alone = np.asarray(expected.covariance)[0, 30] - 0.05**2 * np.outer(root, root)
    place = root + rng.multivariate_normal(np.zeros(3), alone, 100_000) + offset
    place = place + 0.05 * rng.normal(size=(len(place), 1)) * (root + offset)
    place = place + 0.02 * rng.normal(size=place.shape)
    np.testing.assert_allclose(joints[0, 30, 5], np.cov(place.T), rtol=0.03, atol=2e-5)


def test_joints_are_as_unsure_as_their_root_at_least():
    root = jnp.asarray([[[0.1, 0.2, 4.0]]])
    status = jnp.zeros(1, jnp.int32)
    poses = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 4, 3)), jnp.float32)
    bare = TrajectorySolution(root, status, jnp.zeros(1), status)
    with pytest.raises(ValueError, match="solution has no covariance: solve with covariance=True"):
        joint_covariance(bare, poses)
    solution = bare._replace(covariance=jnp.eye(3)[None, None])
    same = joint_covariance(solution, poses)
    np.testing.assert_array_equal(same, np.broadcast_to(np.eye(3), (1, 1, 4, 3, 3)))
    each = joint_covariance(solution, poses, pose_std=np.arange(4))
    np.testing.assert_allclose(each[0, 0, :, 0, 0], 1 + np.arange(4) ** 2)


def test_a_moving_camera_against_an_independent_minimiser(float64):
    extrinsics = shaken(60, people=2)
    scene = before(oracle.walking_people(2, 60, gap=6), extrinsics)
    weights = (0.05, 0.2)
    people, config = arrays(scene, np.float64), TrajectoryConfig(*weights)
    found = solve_trajectory(*people, CAMERA, config, extrinsics=extrinsics, covariance=True)
    for person in range(2):

        def residuals(unknown, person=person):
            world = unknown.reshape(-1, 3)
            rotation, position = extrinsics.rotation[person], extrinsics.position[person]
            root = np.einsum("fij,fj->fi", rotation, world - position)
            points = scene.poses[person] + root[:, None]
            error = np.stack(
                [oracle.FOCAL[i] * points[..., i] / points[..., 2] + oracle.CENTER[i] for i in range(2)], -1
            )
            error = (error - scene.keypoints[person])[~scene.occluded[person]]
            velocity = 1000 * np.diff(world, axis=0)
            smooth = [np.sqrt(weights[0]) * velocity, np.sqrt(weights[1]) * np.diff(velocity, axis=0)]
            return np.concatenate([part.ravel() for part in (error, *smooth)])

        start = scene.root[person].ravel()
        best = scipy.optimize.least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-12)
        np.testing.assert_allclose(found.root[person], best.x.reshape(-1, 3), atol=1e-6)
        np.testing.assert_allclose(found.cost[person], 2 * best.cost, rtol=1e-8)


def test_the_world_is_smoother_than_what_a_shaking_camera_sees(float64):
    extrinsics = shaken(60, people=2)
    scene = before(oracle.walking_people(2, 60, gap=30), extrinsics)
    config = TrajectoryConfig(0.02, 0.2)
    people = arrays(scene, np.float64)
    world = solve_trajectory(*people, CAMERA, config, extrinsics=extrinsics, covariance=True).root
    seen = solve_trajectory(*people, CAMERA, config, covariance=True).root
    back = np.einsum("pfji,pfj->pfi", extrinsics.rotation, np.asarray(seen)) + extrinsics.position
    gap = slice(15, 45)
    world_error, seen_error = (
        np.linalg.norm(np.asarray(root)[:, gap] - scene.root[:, gap], axis=-1).mean()
        for root in (world, back)
    )
    assert world_error < 0.7 * seen_error


@pytest.mark.thorough
def test_far_from_the_origin_nothing_is_lost():
    extrinsics = shaken(60)
    scene = before(oracle.walking_people(2, 60), extrinsics)
    far = np.array([5e4, -2e4, 100.0])
    near = solve_trajectory(*arrays(scene), CAMERA, extrinsics=extrinsics)
    moved = solve_trajectory(
        *arrays(scene), CAMERA, extrinsics=Extrinsics(extrinsics.rotation, extrinsics.position.round(2) + far)
    )
    np.testing.assert_allclose(
        np.asarray(moved.root, np.float64) - far, near.root, atol=0.02
    )  # float32 itself steps by 4 mm there
    np.testing.assert_allclose(moved.cost, near.cost, rtol=0.2)


@pytest.mark.thorough
def test_derivative_in_the_position(float64):
    extrinsics = shaken(60, people=2)
    scene = before(oracle.walking_people(2, 60), extrinsics)
    people = arrays(scene, np.float64)
    probe = np.random.default_rng(2).normal(size=(2, 60, 3))

    def value(position):
        moved = Extrinsics(extrinsics.rotation, position)
        return jnp.sum(probe * solve_trajectory(*people, CAMERA, extrinsics=moved).root)

    run = jax.jit(jax.value_and_grad(value))
    position = jnp.asarray(extrinsics.position)
    _, slope = run(position)
    direction = np.random.default_rng(3).normal(size=position.shape)
    step = 1e-4
    ahead, back = (run(position + sign * step * direction)[0] for sign in (1, -1))
    difference = (ahead - back) / (2 * step)
    np.testing.assert_allclose(jnp.sum(slope * direction), difference, rtol=1e-4)


def test_poses_that_are_none():
    scene = oracle.walking_people(2, 12)
    people, good = arrays(scene), shaken(12, people=2)
    for broken, message in (
        (good._replace(rotation=good.rotation[:, :5]), r"extrinsics.rotation has shape \(2, 5, 3, 3\)"),
        (good._replace(position=good.position[..., :2]), r"extrinsics.position has shape \(2, 12, 2\)"),
        (good._replace(rotation=2 * good.rotation), "extrinsics.rotation holds a matrix that is no rotation"),
        (good._replace(rotation=good.rotation[..., ::-1]), "a matrix that is no rotation"),
    ):
        with pytest.raises(ValueError, match=message):
            solve_trajectory(*people, CAMERA, extrinsics=broken)
    rotation = good.rotation.copy()
    rotation[0, 3, 1, 1] = np.nan
    solve = jax.jit(lambda extrinsics: solve_trajectory(*people, CAMERA, extrinsics=extrinsics))
    spoilt, clean = solve(good._replace(rotation=rotation)), solve(good)
    assert [Status(int(status)) for status in spoilt.status] == [Status.NON_FINITE, Status.CONVERGED]
    assert np.isnan(spoilt.root[0]).all()
    np.testing.assert_array_equal(spoilt.root[1], clean.root[1])
