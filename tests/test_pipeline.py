"""The one call that carries the whole job, with random weights and with those that ship.

Every combination of options, of a length bucket and of a number of people compiles `recover` anew, which is
nearly all the time that this file takes: so the random network is called with four people at 50 fps, the one
that ships with one person and ``covariance``, wherever a test does not need something else.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables
from scenes import STANDING, on_the_spot

from experiments.compilations import compilations
from gated_lift import load_lifter, metrics, pipeline
from gated_lift.bones import constant_bones as with_constant_bones
from gated_lift.cameras import VirtualCamera, camera_to_world, look_at, screen_focal, world_to_camera
from gated_lift.networks.checkpoints import LoadedInfill, with_training
from gated_lift.networks.infill import MotionInfill
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.pipeline import has_path, recover, solved
from gated_lift.recovery import sharing
from gated_lift.recovery.lengths import SHORTEST
from gated_lift.recovery.lifting import lift
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17, convert
from gated_lift.synthetic import generated
from solvers import Camera, Extrinsics, Status, TrajectoryConfig, TrajectorySolution
from solvers import project as project_eagerly

CAMERA = Camera(focal=(1145.0, 1145.0), center=(960.0, 540.0))
# Each one program a shape, where operation by operation they would be dozens.
pa_mpjpe, root_error = jax.jit(metrics.pa_mpjpe), jax.jit(metrics.root_error)
project, turn_to_camera, watch = jax.jit(project_eagerly), jax.jit(world_to_camera), jax.jit(look_at)
RANDOM = TemporalLifter("two_stream", 8, (3, 3), framing="person", mask_channels="age")


def loaded(network):
    frames = network.receptive_field
    shapes = jax.eval_shape(
        network.init, jax.random.key(0), jnp.zeros((1, frames, 17, 2)), jnp.zeros((1, frames, 17), bool)
    )
    variables = random_variables(shapes, seed=0)
    # About a standing person, so that a path can be found.
    head = variables["params"]["head"]
    standing = np.concatenate([STANDING - STANDING[:1], np.zeros((17, 1))], axis=-1)
    head["bias"] = standing.ravel().astype(np.float32)
    head["kernel"] = 0.05 * head["kernel"]
    return with_training(network, variables, {"skeleton": "h36m_17"})


LIFTER = loaded(RANDOM)


def seen_from(position, aim, walk):
    """Joints in the axes of a camera that stands still, and its extrinsics."""
    position, aim = jnp.array([position]), jnp.array([aim])
    extrinsics = Extrinsics(watch(position, aim, jnp.zeros(1)), position)
    return turn_to_camera(jnp.asarray(walk, position.dtype)[None], extrinsics), extrinsics


def walking(frames=60, fps=50.0, **settings):
    """One person who walks past the camera; keypoints without noise."""
    walk = generated.walk(frames, fps=fps, speed=1.0, start=(-0.5 * frames / fps, 0.0), **settings)
    joints, extrinsics = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], walk)
    return joints, np.array(project(joints, CAMERA)), extrinsics


def people(frames=60, hidden=0.3, count=4):
    _, keypoints, _ = walking(frames)
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([keypoints] * count) + rng.normal(size=(count, frames, 17, 2))
    keypoints += 40 * np.arange(count)[:, None, None, None]
    return keypoints.astype(np.float32), rng.random(keypoints.shape[:-1]) < hidden


def recover_shipped(shipped, keypoints, camera=CAMERA, **settings):
    seen = np.zeros(keypoints.shape[:-1], bool)
    return recover(shipped, keypoints, seen, camera, 50.0, covariance=True, **settings)


def values_of(found):
    return {
        name: np.asarray(getattr(found, name))
        for name in ("joints", "root", "poses", "status", "present", "residual")
    }


def near_the_middle(poses, keypoints, occluded, camera, config, *, covariance, extrinsics, begin, **_):
    """Takes the place of the solve, which takes most of the time of compiling: a root that depends on what
    the solve is given, of everybody and of each.
    """
    del config, begin
    shown = ~occluded[..., None]
    middle = jnp.sum(jnp.where(shown, keypoints, 0), 2) / jnp.maximum(jnp.sum(shown, 2), 1)
    offset = (middle - camera.center) / camera.focal[:, None]
    root = jnp.concatenate([offset, jnp.ones_like(offset[..., :1])], -1) + poses[:, :, 3]
    root = 4.0 * root + extrinsics.position[None]
    count, frames = root.shape[:2]
    zeros = jnp.zeros((count, frames))
    spread = jnp.broadcast_to(jnp.eye(3), (count, frames, 3, 3)) if covariance else None
    status = jnp.zeros(count, jnp.int32)
    told = {"cost": zeros[:, 0], "num_steps": status, "residual": zeros, "covariance": spread}
    return TrajectorySolution(root=root, status=status, **told)


def check_people_are_shared():
    """For a process with four devices, in which `test_loop` looks at training too."""
    assert jax.device_count() == 4
    pipeline.solve_trajectory = near_the_middle
    keypoints, occluded = people(count=5)
    focal = (1000.0 + 50 * np.arange(5)[:, None] + np.zeros(2)).astype(np.float32)
    camera = Camera(focal, np.array([960.0, 540.0], np.float32))  # one for each, one for all
    extrinsics = Extrinsics(np.eye(3)[None].astype(np.float32), np.array([[0.1, -1.5, 0.2]], np.float32))

    def found():
        confidence = np.where(occluded, 0.0, 0.8).astype(np.float32)
        answer = recover(LIFTER, keypoints, occluded, camera, 50.0, confidence, extrinsics, covariance=True)
        return jax.tree.map(np.asarray, answer)

    shared = found()
    several, pipeline.sharers, sharing.sharers = sharing.sharers, *2 * (lambda rows: 1,)
    alone = found()
    sharing.sharers = several
    for one, other in zip(jax.tree.leaves(shared), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    assert alone.joints.shape[0] == 5 and np.ptp(alone.root[:, 0, 0]) > 0.01


# ------------------------------------------------------------------------------------------- what comes out


@pytest.fixture(scope="module")
def shipped():
    return load_lifter()


def test_a_walk_is_recovered_by_the_weights_that_ship(shipped):
    joints, keypoints, _ = walking(100)
    found = recover_shipped(shipped, keypoints)
    assert found.axes == "camera" and int(found.status[0]) == Status.CONVERGED
    assert 1000 * pa_mpjpe(found.poses, joints - joints[..., :1, :]).mean() < 25
    assert 1000 * root_error(found.root, joints[..., 0, :]).mean() < 190
    np.testing.assert_allclose(found.joints, found.poses + found.root[..., None, :], atol=1e-6)
    assert 0 < float(found.residual.max()) < 10 and found.present.all()
    alone = recover_shipped(shipped, keypoints[0])
    assert alone.joints.shape == (100, 17, 3) and alone.status.shape == ()
    np.testing.assert_array_equal(alone.joints, found.joints[0])


def errors_at(fps, shipped):
    """Errors in mm of one motion filmed at this rate, each a program of its own: (pose, root). More of them
    are judged by `python -m experiments.robustness`.
    """
    joints, keypoints, _ = walking(int(2.5 * fps) + 1, fps)
    seen = np.zeros(keypoints.shape[:-1], bool)
    found = recover(shipped, keypoints, seen, CAMERA, fps, covariance=fps == 50.0)
    pose = pa_mpjpe(found.poses, joints - joints[..., :1, :]).mean()
    root = root_error(found.root, joints[..., 0, :]).mean()
    return 1000 * float(pose), 1000 * float(root)


@pytest.mark.parametrize("others", [[10.0], pytest.param([10.0, 120.0], marks=pytest.mark.thorough)])
def test_one_motion_has_one_error_at_every_frame_rate(shipped, others):
    errors = {fps: errors_at(fps, shipped) for fps in (50.0, *others)}
    pose, root = np.array(list(errors.values())).T
    assert pose.max() / pose.min() <= 1.03, errors
    assert root.max() / root.min() <= 1.03, errors


def test_one_scene_at_three_image_sizes_has_one_path(shipped):
    joints, _, _ = walking(60)
    found = {}
    for scale in (1.0, 1 / 3, 1 / 6):
        camera = Camera(focal=(1145 * scale, 1145 * scale), center=(960 * scale, 540 * scale))
        keypoints = np.array(project(joints, camera))
        found[scale] = recover_shipped(shipped, keypoints, camera)
    for other in found.values():
        np.testing.assert_allclose(other.root, found[1.0].root, atol=2e-3)
        np.testing.assert_allclose(other.poses, found[1.0].poses, atol=1e-3)


def test_people_off_the_axis_are_lifted_as_those_on_it():
    """A camera that is turned about its own vertical sees the same person: only the axes differ."""
    joints, _, _ = walking(40)
    wide = Camera(focal=(700.0, 700.0), center=(960.0, 540.0))
    turns = []
    for degrees in (0, 20, 45, -45):
        angle = np.deg2rad(degrees)
        turns.append([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = np.einsum("pij,fnj->pfni", np.array(turns), joints[0]).astype(np.float32)
    seen = np.zeros(turned.shape[:-1], bool)
    found = recover(LIFTER, np.array(project(jnp.asarray(turned), wide)), seen, wide, 50.0)
    expected = np.einsum("pij,fnj->pfni", np.array(turns), found.poses[0])
    np.testing.assert_allclose(found.poses, expected, atol=2e-4)


def test_world_axes_are_the_cameras_turned(shipped):
    """For a camera that stands still, solving in the world is solving before the camera, whose vertical is
    told in either way.
    """
    _, keypoints, extrinsics = walking(60)
    before = recover_shipped(shipped, keypoints, up=np.asarray(extrinsics.rotation[0])[:, 2])
    world = recover_shipped(shipped, keypoints, extrinsics=extrinsics)
    assert world.axes == "world"
    np.testing.assert_allclose(world.joints, camera_to_world(before.joints, extrinsics), atol=1e-4)
    np.testing.assert_allclose(world.joints, world.poses + world.root[..., None, :], atol=1e-5)
    rotation = np.asarray(extrinsics.rotation[0])
    expected = rotation.T @ np.asarray(before.covariance) @ rotation
    np.testing.assert_allclose(world.covariance, expected, atol=1e-4)
    np.testing.assert_allclose(world.residual, before.residual, atol=1e-3)


def test_how_sure_the_roots_of_lifted_people_are(shipped):
    joints, keypoints, _ = walking(100)
    found = recover_shipped(shipped, keypoints)
    error = np.asarray(found.root - joints[..., 0, :])
    distance = np.einsum("pfi,pfi->pf", error, np.linalg.solve(found.covariance, error[..., None])[..., 0])
    assert distance.mean() < 8  # of three coordinates: 3 on average over many people
    plain = recover_shipped(shipped, keypoints, trajectory=TrajectoryConfig(keypoint_std=2.0))
    assert (np.linalg.det(plain.covariance) < np.linalg.det(found.covariance)).all()


# --------------------------------------------------------------------------------------- people and frames


def test_nobody_is_there_before_the_first_and_after_the_last_sight():
    keypoints, occluded = people(80, hidden=0.0)
    occluded[0, :30] = True
    occluded[1, 60:] = True
    occluded[2, 20:70] = True
    found = recover(LIFTER, keypoints, occluded, CAMERA, 50.0, longest_gap=1.0)
    shorter = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    frames = np.arange(80)
    expected = np.array([frames >= 30, frames < 60, (frames < 20) | (frames >= 70), frames >= 0])
    np.testing.assert_array_equal(found.present, expected)
    assert shorter.present[2].all()
    for values in (found.joints[..., 0, 0], found.root[..., 0], found.poses[..., 5, 1]):
        np.testing.assert_array_equal(np.isfinite(values), expected)
    everywhere = recover(LIFTER, keypoints, occluded, CAMERA, 50.0, longest_gap=1.0, keep_absent=True)
    assert np.isfinite(everywhere.joints).all()
    np.testing.assert_array_equal(everywhere.present, expected)
    np.testing.assert_array_equal(
        np.where(expected[..., None], everywhere.root, 0), np.nan_to_num(found.root)
    )


def test_one_bad_person_changes_nobody_else():
    keypoints, occluded = people()
    clean = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    hidden = occluded.copy()
    hidden[1] = True
    far = keypoints.copy()
    far[1] = 960 + 1e-3 * far[1]
    lost = {int(Status.BEHIND_CAMERA), int(Status.IMPLAUSIBLE_DISTANCE)}
    for changed, mask, statuses in (
        (keypoints, hidden, {int(Status.TOO_FEW_OBSERVATIONS)}),
        (far, occluded, lost),
    ):
        other = recover(LIFTER, changed, mask, CAMERA, 50.0)
        assert int(other.status[1]) in statuses
        assert np.isnan(other.joints[1]).all() and not bool(has_path(other.status)[1])
        for person in (0, 2, 3):
            for name, values in values_of(other).items():
                np.testing.assert_array_equal(values[person], values_of(clean)[name][person], err_msg=name)


UNTRAINED = MotionInfill(window=32, patch=4, channels=8, heads=2, depth=1)


def test_hidings_are_filled_and_the_rest_stays():
    keypoints, occluded = people(hidden=0.0)
    occluded[:2, 20:36] = True
    variables = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(UNTRAINED.init, jax.random.key(0), UNTRAINED.blank()),
    )
    given = (LIFTER, keypoints, occluded, CAMERA, 50.0)
    plain, found = recover(*given), recover(*given, infill=LoadedInfill(UNTRAINED, variables, {}))
    np.testing.assert_array_equal(found.status, plain.status)
    seen = ~occluded.all(-1)
    # Poses outside hidings stay; so do paths of those who are not hidden, but for how sums are rounded.
    np.testing.assert_allclose(np.asarray(found.poses)[seen], np.asarray(plain.poses)[seen], atol=1e-6)
    np.testing.assert_allclose(found.root[2:], plain.root[2:], atol=2e-3)
    assert np.abs(np.asarray(found.poses - plain.poses))[~seen].max() > 1e-3
    assert np.isfinite(np.asarray(found.root)).all()


def test_an_infill_network_for_other_joints_is_refused():
    keypoints, occluded = people(hidden=0.0)
    network = LoadedInfill(UNTRAINED.clone(num_joints=5), {}, {})
    with pytest.raises(ValueError, match="infill is for 5 joints, lifter for 17"):
        recover(LIFTER, keypoints, occluded, CAMERA, 50.0, infill=network)


def test_leading_axes_are_people():
    keypoints, occluded = people()
    flat = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    grid = recover(LIFTER, keypoints.reshape(2, 2, 60, 17, 2), occluded.reshape(2, 2, 60, 17), CAMERA, 50.0)
    assert grid.joints.shape == (2, 2, 60, 17, 3) and grid.status.shape == (2, 2)
    np.testing.assert_array_equal(grid.joints.reshape(flat.joints.shape), flat.joints)


@pytest.mark.thorough
def test_everybody_may_have_a_camera_of_their_own():
    """Nor need they be that of training: the same rays seen by wider, distorted lenses give the same."""
    joints, _, _ = walking(40)
    seen = np.zeros((4, 40, 17), bool)
    expected = recover(LIFTER, np.array(project(jnp.concatenate([joints] * 4), CAMERA)), seen, CAMERA, 50.0)
    own = Camera(
        focal=np.array([[900.0, 900.0], [1300.0, 1310.0], [800.0, 820.0], [700.0, 700.0]]),
        center=np.array([[960.0, 540.0], [640.0, 360.0], [960.0, 540.0], [500.0, 500.0]]),
        radial=np.array([[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [-0.1, 0.02, 0.0], [-0.05, 0.01, 0.0]]),
        tangential=np.array([[0.0, 0.0], [0.0, 0.0], [1e-3, -5e-4], [-1e-3, 1e-3]]),
    )
    found = recover(LIFTER, np.array(project(jnp.concatenate([joints] * 4), own)), seen, own, 50.0)
    np.testing.assert_allclose(found.poses, expected.poses, atol=5e-4)


def test_smoothing_takes_out_what_trembles():
    stand = generated.stand(120, heading=-1.57)
    joints, _ = seen_from([0.0, -4.0, 1.4], [0.0, 0.0, 1.0], stand)
    noise = np.random.default_rng(0).normal(0, 2, (4, *joints.shape[1:-1], 2))
    keypoints = (np.array(project(joints, CAMERA)) + noise).astype(np.float32)
    seen = np.zeros(keypoints.shape[:-1], bool)

    def trembling(poses):
        return np.linalg.norm(np.diff(np.asarray(poses), 2, axis=1), axis=-1).mean() * 50**2

    rough, smooth = (
        recover(LIFTER, keypoints, seen, CAMERA, 50.0, pose_smoothing=seconds) for seconds in (1e-6, 0.1)
    )
    assert trembling(smooth.poses) < 0.3 * trembling(rough.poses)


def test_the_first_half_is_lift_and_bones_can_be_constant(monkeypatch):
    # Paths are not the matter here, and solving them is most of what is compiled: no test of paths has these
    # options, which decide what is compiled anew.
    monkeypatch.setattr(pipeline, "solve_trajectory", on_the_spot)
    keypoints, occluded = people(40)
    settings = {"keep_absent": True, "pose_smoothing": 0.0, "constant_bones": True}
    found = recover(LIFTER, keypoints, occluded, CAMERA, 30.0, **settings)
    poses = jax.jit(lambda *arrays: lift(LIFTER, *arrays, CAMERA, 30.0))(keypoints, occluded)
    expected = jax.jit(with_constant_bones, static_argnums=1)(poses, H36M_17)
    np.testing.assert_allclose(expected, found.poses, atol=5e-5)
    ends = np.array(H36M_17.bones)
    bones = np.linalg.norm(np.asarray(found.poses)[:, :, ends[:, 0]] - found.poses[:, :, ends[:, 1]], axis=-1)
    assert bones.std(axis=1).max() < 1e-5


# ---------------------------------------------------------------------------------- shapes and compilation


def test_padding_has_no_say(float64):
    """Traced, a clip keeps its length; otherwise it is padded: the answers are the same."""
    joints, _, _ = walking(70, 120.0)
    zoom = np.linspace(1000, 1200, 70)[None, :, None] * np.ones((2, 1, 2))
    camera = Camera(zoom, np.broadcast_to(np.array([960.0, 540.0]), (2, 70, 2)))
    keypoints = np.array(project(jnp.concatenate([joints.astype(float)] * 2), camera))
    occluded = np.random.default_rng(0).random(keypoints.shape[:-1]) < 0.3
    occluded[0, :9] = occluded[1, 50:] = True
    _, extrinsics = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], generated.walk(4))
    shift = np.linspace(0, 0.5, 70)[:, None] * np.array([1.0, 0.2, 0.1])
    rotation = np.broadcast_to(np.asarray(extrinsics.rotation, np.float64), (70, 3, 3))
    moving = Extrinsics(rotation, np.asarray(extrinsics.position, np.float64) + shift)

    def run(keypoints, occluded):
        return recover(LIFTER, keypoints, occluded, camera, 120.0, covariance=True, extrinsics=moving)

    padded, exact = run(keypoints, occluded), jax.jit(run)(keypoints, occluded)
    assert padded.joints.dtype == jnp.float64 and bool(has_path(padded.status).all())
    for name, values in values_of(exact).items():
        np.testing.assert_allclose(values_of(padded)[name], values, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(padded.covariance, exact.covariance, rtol=1e-4, atol=1e-9)


def test_clips_of_many_lengths_are_few_compilations(monkeypatch):
    # The solve is no program of its own, but most of what is compiled. No test of paths has this
    # option, which decides what is compiled anew.
    monkeypatch.setattr(pipeline, "solve_trajectory", on_the_spot)
    keypoints, occluded = people(2 * SHORTEST)
    with compilations() as compiled:
        for frames in np.linspace(7, 2 * SHORTEST, 50).astype(int):
            clip = keypoints[:, :frames], occluded[:, :frames]
            found = recover(LIFTER, *clip, CAMERA, 50.0, pose_smoothing=0.0)
            assert found.joints.shape == (4, frames, 17, 3)
    assert len(compiled) <= 4, len(compiled)


@pytest.mark.thorough
def test_gradients_of_others_stay_finite():
    """Who cannot be solved has no gradient, and leaves those of the others and of shared weights finite.
    What is found on the way is what a call that pads finds, in single precision.
    """
    keypoints, occluded = people(40)
    behind = np.array(keypoints)
    behind[2] = 960 + 1e-3 * behind[2]
    occluded[1] = True
    occluded[3] = True
    occluded[3, 7, 4] = False

    def size(variables, keypoints, weight):
        found = recover(
            LIFTER._replace(variables=variables),
            keypoints,
            jnp.asarray(occluded),
            CAMERA,
            50.0,
            trajectory=TrajectoryConfig(velocity_weight=weight),
        )
        known = has_path(found.status)[:, None, None, None]
        return jnp.sum(jnp.where(known, found.joints, 0) ** 2), found

    run = jax.jit(jax.grad(size, argnums=(0, 1, 2), has_aux=True))
    slopes, exact = run(LIFTER.variables, jnp.asarray(behind), 1.0)
    for slope in jax.tree.leaves(slopes):
        assert np.isfinite(slope).all()
    assert np.abs(slopes[1][0]).max() > 0 and not np.asarray(slopes[1][1:]).any()
    assert float(jnp.abs(slopes[2])) > 0
    padded = recover(LIFTER, behind, occluded, CAMERA, 50.0)
    np.testing.assert_array_equal(padded.status, exact.status)
    np.testing.assert_allclose(padded.joints, exact.joints, atol=1e-4)


def test_hidden_keypoints_may_be_nan_while_nan_are_hunted():
    keypoints, occluded = people(40)
    clean = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    keypoints[occluded] = np.nan
    with jax.debug_nans(True):
        spoiled = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    for name, values in values_of(spoiled).items():
        np.testing.assert_array_equal(values, values_of(clean)[name])


# ------------------------------------------------------------------------------------------ what is refused


def test_a_missing_frame_rate_says_why():
    keypoints, occluded = people(20)
    with pytest.raises(ValueError, match=r"fps is missing: pass the video's frames a second"):
        recover(LIFTER, keypoints, occluded, CAMERA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": np.array([30.0, 30.0])}, "fps is array"),
        ({"skeleton": COCO_17}, r"keypoints are in coco_17, the lifter was trained on h36m_17: convert"),
        ({"skeleton": BODY_25}, r"keypoints are in body_25"),
        ({"camera": [CAMERA, CAMERA]}, "camera is list: pass one Camera"),
        ({"camera": CAMERA._replace(focal=(1145.0,))}, r"camera.focal has shape \(1,\)"),
        ({"camera": CAMERA._replace(focal=np.ones((5, 2)))}, r"camera.focal has shape \(5, 2\)"),
        ({"camera": CAMERA._replace(focal=(20.0, 20.0))}, "camera.focal is 20 px, .* millimetres"),
        ({"camera": CAMERA._replace(focal=(0.9, 0.9))}, "camera.focal is 0.9 px"),
        ({"camera": CAMERA._replace(center=(0.0, 0.0))}, r"camera.center is \(0, 0\)"),
        ({"lifter": RANDOM}, "lifter is TemporalLifter: pass what load_lifter returns"),
        ({"flip": "no"}, "flip is 'no': pass True or False"),
        ({"covariance": 1}, "covariance is 1"),
        ({"pose_smoothing": -1.0}, "pose_smoothing is -1.0"),
        ({"longest_gap": float("nan")}, "longest_gap is nan"),
        ({"confidence": np.ones((3, 20, 16), np.float32)}, "confidence has shape"),
        ({"extrinsics": (np.eye(3), np.zeros(3))}, "extrinsics.rotation has shape"),
        ({"keypoints": np.ma.zeros((3, 20, 17, 2))}, "keypoints is a masked array"),
        ({"keypoints": np.zeros((3, 20, 16, 2), np.float32)}, "keypoints has 16 joints"),
        ({"keypoints": np.zeros((3, 0, 17, 2), np.float32), "occluded": np.zeros((3, 0, 17), bool)}, "empty"),
    ],
)
def test_bad_input_names_the_argument(changes, message):
    keypoints, occluded = people(20, count=3)
    arguments = {
        "lifter": LIFTER,
        "keypoints": keypoints,
        "occluded": occluded,
        "camera": CAMERA,
        "fps": 50.0,
    }
    # Without the suite's own check of annotations, as users call it.
    with pytest.raises(ValueError, match=message):
        recover.__wrapped__(**(arguments | changes))


def test_keypoints_in_shares_of_the_image_are_refused():
    keypoints, occluded = people(20)
    keypoints[1] /= np.array([1920, 1080])
    with pytest.raises(ValueError, match=r"keypoints of person 1 lie between .* multiply them by its width"):
        recover(LIFTER, keypoints, occluded, CAMERA, 50.0)


def first_mistakes():
    _, keypoints, _ = walking(100)
    nose = 2 * keypoints[..., 9, :] - (keypoints[..., 11, :] + keypoints[..., 14, :]) / 2
    coco = [
        keypoints[..., H36M_17.names.index(name), :]
        if name in H36M_17.names
        else nose
        if name == "nose"
        else keypoints[..., 10, :]
        for name in COCO_17.names
    ]
    return {
        "y upwards": np.array([0, 1080]) + np.array([1, -1]) * keypoints,
        "x and y exchanged": keypoints[..., ::-1],
        "COCO's order": np.stack(coco, axis=-2),
    }


@pytest.mark.parametrize("mistake", list(first_mistakes()))
def test_first_mistakes_have_a_status(shipped, mistake):
    keypoints = first_mistakes()[mistake].astype(np.float32)
    found = recover_shipped(shipped, keypoints)
    assert int(found.status[0]) == Status.MISFIT and not bool(solved(found.status)[0])


def test_half_of_a_body_has_a_status_and_a_wide_covariance(shipped):
    joints, keypoints, _ = walking(100)
    occluded = np.zeros(keypoints.shape[:-1], bool)
    whole = recover(shipped, keypoints, occluded, CAMERA, 50.0, covariance=True)
    occluded[..., [0, 1, 2, 3, 4, 5, 6]] = True
    half = recover(shipped, keypoints, occluded, CAMERA, 50.0, covariance=True)
    assert int(half.status[0]) == Status.PARTLY_SEEN and bool(solved(half.status)[0])
    error = np.asarray(half.root - joints[..., 0, :])
    distance = np.einsum("pfi,pfi->pf", error, np.linalg.solve(half.covariance, error[..., None])[..., 0])
    assert distance.mean() < 8
    assert np.trace(half.covariance[0, 50]) > 5 * np.trace(whole.covariance[0, 50])


# ---------------------------------------------------------------------------------------------- what weighs


def test_confidences_weigh_the_solve():
    keypoints, occluded = people(40)
    confidence = np.full(occluded.shape, 0.5, np.float32)
    halved = recover(LIFTER, keypoints, occluded, CAMERA, 50.0, confidence=confidence)
    doubled = TrajectoryConfig(velocity_weight=2.0, acceleration_weight=2.0)
    stiffer = recover(LIFTER, keypoints, occluded, CAMERA, 50.0, trajectory=doubled)
    np.testing.assert_allclose(halved.root, stiffer.root, atol=1e-4)
    confidence[0, :, 3] = 0
    dropped = recover(LIFTER, keypoints, occluded, CAMERA, 50.0, confidence=confidence)
    assert int(dropped.hidden.no_confidence[0]) == int((~occluded[0, :, 3]).sum())


def test_screen_focal_is_that_of_the_normalised_screen():
    camera = VirtualCamera(width=1920, height=1080, focal=(1400.0, 1600.0))
    assert screen_focal(camera) == pytest.approx(2 * 1500 / 1920)


def test_converted_keypoints_are_taken(shipped):
    """COCO's keypoints by name, as the error for another skeleton says."""
    keypoints = first_mistakes()["COCO's order"].astype(np.float32)
    seen = np.zeros(keypoints.shape[:-1], bool)
    converted, hidden = jax.jit(convert, static_argnums=(2, 3))(
        jnp.asarray(keypoints), jnp.asarray(seen), COCO_17, H36M_17
    )
    found = recover(shipped, converted, hidden, CAMERA, 50.0, covariance=True, skeleton=H36M_17)
    assert int(found.status[0]) == Status.CONVERGED
