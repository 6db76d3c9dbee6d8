"""The one call that carries the whole job, with random weights and with those that ship."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables
from scenes import STANDING

from gated_lift import load_lifter, metrics
from gated_lift.cameras import VirtualCamera, camera_to_world, look_at, screen_focal, world_to_camera
from gated_lift.lifting import lift
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.checkpoints import with_training
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.pipeline import SHORTEST, has_path, recover, solved
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17, convert
from gated_lift.synthetic import generated
from solvers import Camera, Extrinsics, Status, TrajectoryConfig, project

CAMERA = Camera(focal=(1145.0, 1145.0), center=(960.0, 540.0))
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
    if isinstance(network, AttentionLifter):
        standing = np.repeat(standing[1:, None], network.patch, axis=1).mean((0, 1))
        standing = np.tile(standing, network.patch)
    head["bias"] = standing.ravel().astype(np.float32)
    head["kernel"] = 0.05 * head["kernel"]
    return with_training(network, variables, {"skeleton": "h36m_17"})


LIFTER = loaded(RANDOM)


def seen_from(position, aim, walk):
    """Joints in the axes of a camera that stands still, and its extrinsics."""
    position, aim = jnp.array([position]), jnp.array([aim])
    extrinsics = Extrinsics(look_at(position, aim, jnp.zeros(1)), position)
    return world_to_camera(jnp.asarray(walk, position.dtype)[None], extrinsics), extrinsics


def walking(frames=60, fps=50.0, **settings):
    """One person who walks past the camera; keypoints without noise."""
    walk = generated.walk(frames, fps=fps, speed=1.0, start=(-0.5 * frames / fps, 0.0), **settings)
    joints, extrinsics = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], walk)
    return joints, np.array(project(joints, CAMERA)), extrinsics


def people(count=3, frames=60, hidden=0.3):
    _, keypoints, _ = walking(frames)
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([keypoints] * count) + rng.normal(size=(count, frames, 17, 2))
    keypoints += 40 * np.arange(count)[:, None, None, None]
    return keypoints.astype(np.float32), rng.random(keypoints.shape[:-1]) < hidden


def values_of(found):
    return {
        name: np.asarray(getattr(found, name))
        for name in ("joints", "root", "poses", "status", "present", "residual")
    }


# ------------------------------------------------------------------------------------------- what comes out


@pytest.fixture(scope="module")
def shipped():
    return load_lifter()


def test_a_walk_is_recovered_by_the_weights_that_ship(shipped):
    joints, keypoints, _ = walking(100)
    found = recover(shipped, keypoints, np.zeros(keypoints.shape[:-1], bool), CAMERA, 50.0)
    assert found.axes == "camera" and int(found.status[0]) == Status.CONVERGED
    assert 1000 * metrics.pa_mpjpe(found.poses, joints - joints[..., :1, :]).mean() < 25
    assert 1000 * metrics.root_error(found.root, joints[..., 0, :]).mean() < 120
    np.testing.assert_allclose(found.joints, found.poses + found.root[..., None, :], atol=1e-6)
    assert 0 < float(found.residual.max()) < 10 and found.present.all()


@pytest.fixture(scope="module")
def rates(shipped):
    """Errors in mm of one motion filmed at six rates: (pose, root)."""
    errors = {}
    for fps in (10.0, 25.0, 30.0, 50.0, 60.0, 120.0):
        joints, keypoints, _ = walking(int(6 * fps) + 1, fps)
        found = recover(shipped, keypoints, np.zeros(keypoints.shape[:-1], bool), CAMERA, fps)
        pose = metrics.pa_mpjpe(found.poses, joints - joints[..., :1, :]).mean()
        root = metrics.root_error(found.root, joints[..., 0, :]).mean()
        errors[fps] = 1000 * float(pose), 1000 * float(root)
    return errors


def test_one_motion_at_six_frame_rates_has_one_error(rates):
    pose, root = np.array(list(rates.values())).T
    assert pose.max() / pose.min() <= 1.03, rates
    assert root.max() / root.min() <= 1.03, rates


def test_one_scene_at_three_image_sizes_has_one_path(shipped):
    joints, _, _ = walking(60)
    found = {}
    for scale in (1.0, 1 / 3, 1 / 6):
        camera = Camera(focal=(1145 * scale, 1145 * scale), center=(960 * scale, 540 * scale))
        keypoints = np.array(project(joints, camera))
        found[scale] = recover(shipped, keypoints, np.zeros(keypoints.shape[:-1], bool), camera, 50.0)
    for other in found.values():
        np.testing.assert_allclose(other.root, found[1.0].root, atol=2e-3)
        np.testing.assert_allclose(other.poses, found[1.0].poses, atol=1e-3)


@pytest.mark.parametrize("degrees", [20, 45])
def test_people_off_the_axis_are_lifted_as_those_on_it(degrees):
    """A camera that is turned about its own vertical sees the same person: only the axes differ."""
    joints, _, _ = walking(40)
    wide = Camera(focal=(700.0, 700.0), center=(960.0, 540.0))
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    turned = jnp.asarray(np.asarray(joints) @ turn.T.astype(np.float32))
    seen = np.zeros(joints.shape[:-1], bool)
    straight = recover(LIFTER, np.array(project(joints, wide)), seen, wide, 50.0)
    aside = recover(LIFTER, np.array(project(turned, wide)), seen, wide, 50.0)
    np.testing.assert_allclose(aside.poses, np.asarray(straight.poses) @ turn.T, atol=2e-4)


def test_the_camera_need_not_be_the_training_camera():
    """The same rays seen by a wider, distorted lens give the same poses."""
    joints, keypoints, _ = walking(40)
    wide = Camera((800.0, 820.0), (960.0, 540.0), (-0.1, 0.02, 0.0), (1e-3, -5e-4))
    seen = np.zeros(joints.shape[:-1], bool)
    expected = recover(LIFTER, keypoints, seen, CAMERA, 50.0)
    found = recover(LIFTER, np.array(project(joints, wide)), seen, wide, 50.0)
    np.testing.assert_allclose(found.poses, expected.poses, atol=5e-4)


def test_world_axes_are_the_cameras_turned(shipped):
    """For a camera that stands still, solving in the world is solving before the camera."""
    _, keypoints, extrinsics = walking(60)
    seen = np.zeros(keypoints.shape[:-1], bool)
    before = recover(shipped, keypoints, seen, CAMERA, 50.0, covariance=True)
    world = recover(shipped, keypoints, seen, CAMERA, 50.0, covariance=True, extrinsics=extrinsics)
    assert world.axes == "world"
    np.testing.assert_allclose(world.joints, camera_to_world(before.joints, extrinsics), atol=1e-4)
    np.testing.assert_allclose(world.joints, world.poses + world.root[..., None, :], atol=1e-5)
    rotation = np.asarray(extrinsics.rotation[0])
    expected = rotation.T @ np.asarray(before.covariance) @ rotation
    np.testing.assert_allclose(world.covariance, expected, atol=1e-4)
    np.testing.assert_allclose(world.residual, before.residual, atol=1e-3)


def test_how_sure_the_roots_of_lifted_people_are(shipped):
    joints, keypoints, _ = walking(100)
    found = recover(shipped, keypoints, np.zeros(keypoints.shape[:-1], bool), CAMERA, 50.0, covariance=True)
    error = np.asarray(found.root - joints[..., 0, :])
    distance = np.einsum("pfi,pfi->pf", error, np.linalg.solve(found.covariance, error[..., None])[..., 0])
    assert distance.mean() < 8  # of three coordinates: 3 on average over many people
    plain = recover(
        shipped,
        keypoints,
        np.zeros(keypoints.shape[:-1], bool),
        CAMERA,
        50.0,
        covariance=True,
        trajectory=TrajectoryConfig(keypoint_std=2.0),
    )
    assert (np.linalg.det(plain.covariance) < np.linalg.det(found.covariance)).all()


# --------------------------------------------------------------------------------------- people and frames


def test_nobody_is_there_before_the_first_and_after_the_last_sight():
    keypoints, occluded = people(4, 80, hidden=0.0)
    occluded[0, :30] = True
    occluded[1, 60:] = True
    occluded[2, 20:70] = True
    found = recover(LIFTER, keypoints, occluded, CAMERA, 10.0)
    shorter = recover(LIFTER, keypoints, occluded, CAMERA, 10.0, longest_gap=10.0)
    frames = np.arange(80)
    expected = np.array([frames >= 30, frames < 60, (frames < 20) | (frames >= 70), frames >= 0])
    np.testing.assert_array_equal(found.present, expected)
    assert shorter.present[2].all()
    for values in (found.joints[..., 0, 0], found.root[..., 0], found.poses[..., 5, 1]):
        np.testing.assert_array_equal(np.isfinite(values), expected)
    everywhere = recover(LIFTER, keypoints, occluded, CAMERA, 10.0, keep_absent=True)
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
        for person in (0, 2):
            for name, values in values_of(other).items():
                np.testing.assert_array_equal(values[person], values_of(clean)[name][person], err_msg=name)


def test_leading_axes_are_people():
    keypoints, occluded = people(4)
    flat = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    grid = recover(LIFTER, keypoints.reshape(2, 2, 60, 17, 2), occluded.reshape(2, 2, 60, 17), CAMERA, 50.0)
    one = recover(LIFTER, keypoints[1], occluded[1], CAMERA, 50.0)
    assert (
        grid.joints.shape == (2, 2, 60, 17, 3) and one.joints.shape == (60, 17, 3) and one.status.shape == ()
    )
    np.testing.assert_array_equal(grid.joints.reshape(flat.joints.shape), flat.joints)
    np.testing.assert_allclose(one.joints, flat.joints[1], atol=1e-5)


def test_everybody_may_have_a_camera_of_their_own():
    joints, _, _ = walking(40)
    focal = np.array([[900.0, 900.0], [1300.0, 1310.0]])
    center = np.array([[960.0, 540.0], [640.0, 360.0]])
    seen = np.zeros((2, 40, 17), bool)
    both = Camera(focal, center)
    keypoints = np.array(project(jnp.concatenate([joints] * 2), both))
    found = recover(LIFTER, keypoints, seen, both, 50.0)
    for person in range(2):
        own = Camera(focal[person], center[person])
        alone = recover(LIFTER, keypoints[person], seen[person], own, 50.0)
        np.testing.assert_allclose(found.joints[person], alone.joints, atol=1e-4)
        by_frame = Camera(*(np.broadcast_to(v[person], (40, 2)) for v in (focal, center)))
        framewise = recover(LIFTER, keypoints[person], seen[person], by_frame, 50.0)
        np.testing.assert_allclose(framewise.joints, alone.joints, atol=1e-4)


def test_smoothing_and_constant_bones_are_offered(shipped):
    stand = generated.stand(120, heading=-1.57)
    joints, _ = seen_from([0.0, -4.0, 1.4], [0.0, 0.0, 1.0], stand)
    noise = np.random.default_rng(0).normal(0, 2, (*joints.shape[:-1], 2))
    keypoints = (np.array(project(joints, CAMERA)) + noise).astype(np.float32)
    seen = np.zeros(keypoints.shape[:-1], bool)

    def bones(poses):
        ends = np.array(H36M_17.bones)
        return np.linalg.norm(
            np.asarray(poses)[:, :, ends[:, 0]] - np.asarray(poses)[:, :, ends[:, 1]], axis=-1
        )

    def trembling(poses):
        return np.linalg.norm(np.diff(np.asarray(poses), 2, axis=1), axis=-1).mean() * 50**2

    rough = recover(shipped, keypoints, seen, CAMERA, 50.0, pose_smoothing=0.0)
    smooth = recover(shipped, keypoints, seen, CAMERA, 50.0, pose_smoothing=0.1)
    rigid = recover(shipped, keypoints, seen, CAMERA, 50.0, constant_bones=True)
    assert trembling(smooth.poses) < 0.3 * trembling(rough.poses)
    assert bones(rough.poses).std(axis=1).max() > 1e-3
    assert bones(rigid.poses).std(axis=1).max() < 1e-5


# ---------------------------------------------------------------------------------- shapes and compilation


KINDS = {
    "temporal": LIFTER,
    "attention": loaded(AttentionLifter(window=9, patch=3, channels=8, heads=2, depth=1, slide=4)),
}


@pytest.mark.parametrize(
    ("fps", "extra"),
    [
        (50.0, {}),
        (30.0, {"covariance": True}),
        (120.0, {"extrinsics": True}),
    ],
)
def test_padding_has_no_say(fps, extra, float64):
    """Traced, a clip keeps its length; otherwise it is padded: the answers are the same."""
    keypoints, occluded = people(2, 70)
    keypoints = keypoints.astype(np.float64)
    occluded[0, :9] = occluded[1, 50:] = True
    settings = dict(extra)
    if settings.pop("extrinsics", False):
        _, extrinsics = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], generated.walk(4))
        shift = np.linspace(0, 0.5, 70)[:, None] * np.array([1.0, 0.2, 0.1])
        rotation = np.broadcast_to(np.asarray(extrinsics.rotation, np.float64), (70, 3, 3))
        settings["extrinsics"] = Extrinsics(rotation, np.asarray(extrinsics.position, np.float64) + shift)
    padded = recover(LIFTER, keypoints, occluded, CAMERA, fps, **settings)
    exact = jax.jit(lambda k, o: recover(LIFTER, k, o, CAMERA, fps, **settings))(keypoints, occluded)
    assert padded.joints.dtype == jnp.float64
    for name, values in values_of(exact).items():
        np.testing.assert_allclose(values_of(padded)[name], values, atol=1e-6, err_msg=name)
    if exact.covariance is not None:
        np.testing.assert_allclose(padded.covariance, exact.covariance, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("kind", ["temporal", "attention"])
def test_padding_has_no_say_in_single_precision(kind):
    keypoints, occluded = people(2, 70)
    lifter = KINDS[kind]
    padded = recover(lifter, keypoints, occluded, CAMERA, 30.0)
    exact = jax.jit(lambda k, o: recover(lifter, k, o, CAMERA, 30.0))(keypoints, occluded)
    np.testing.assert_allclose(padded.joints, exact.joints, atol=1e-4)


def test_clips_of_many_lengths_are_few_compilations():
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    keypoints, occluded = people(1, 3 * SHORTEST)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for frames in np.linspace(7, 3 * SHORTEST, 50).astype(int):
            found = recover(LIFTER, keypoints[:, :frames], occluded[:, :frames], CAMERA, 50.0)
            assert found.joints.shape == (1, frames, 17, 3)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(compiled) <= 6


def test_gradients_of_others_stay_finite():
    """Who cannot be solved has no gradient, and leaves those of the others and of shared weights finite."""
    keypoints, occluded = people(4, 40)
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
        return jnp.sum(jnp.where(has_path(found.status)[:, None, None, None], found.joints, 0) ** 2)

    slopes = jax.jit(jax.grad(size, argnums=(0, 1, 2)))(LIFTER.variables, jnp.asarray(behind), 1.0)
    for slope in jax.tree.leaves(slopes):
        assert np.isfinite(slope).all()
    assert np.abs(slopes[1][0]).max() > 0 and not np.asarray(slopes[1][1:]).any()
    assert float(jnp.abs(slopes[2])) > 0


def test_hidden_keypoints_may_be_nan_while_nan_are_hunted():
    keypoints, occluded = people(2, 40)
    clean = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    keypoints[occluded] = np.nan
    with jax.debug_nans(True):
        spoiled = recover(LIFTER, keypoints, occluded, CAMERA, 50.0)
    for name, values in values_of(spoiled).items():
        np.testing.assert_array_equal(values, values_of(clean)[name])


# ------------------------------------------------------------------------------------------ what is refused


def test_a_missing_frame_rate_says_why():
    keypoints, occluded = people(1, 20)
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
    keypoints, occluded = people(3, 20)
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
    keypoints, occluded = people(2, 20)
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
    found = recover(shipped, keypoints, np.zeros(keypoints.shape[:-1], bool), CAMERA, 50.0)
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


# -------------------------------------------------------------------------------------------- its two halves


def test_lift_is_the_first_half():
    keypoints, occluded = people(2, 40)
    for fps in (50.0, 24.0):
        poses = lift(LIFTER, keypoints, occluded, CAMERA, fps)
        found = recover(LIFTER, keypoints, occluded, CAMERA, fps, keep_absent=True, pose_smoothing=0.0)
        np.testing.assert_allclose(poses, found.poses, atol=5e-5)


def test_confidences_weigh_the_solve():
    keypoints, occluded = people(2, 40)
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
    converted, hidden = convert(jnp.asarray(keypoints), jnp.asarray(seen), COCO_17, H36M_17)
    found = recover(shipped, converted, hidden, CAMERA, 50.0, skeleton=H36M_17)
    assert int(found.status[0]) == Status.CONVERGED
