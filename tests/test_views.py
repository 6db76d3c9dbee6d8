"""What a camera and a detector make of known motion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from silent_detector import SILENT

from gated_lift.cameras import Extrinsics, look_at
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import FARTHEST_OFF, NEAREST, view
from solvers import Camera

JOINTS, FRAMES = H36M_17.num_joints, 6
CAMERA = Camera(focal=jnp.array([1100.0, 1200.0]), center=jnp.array([500.0, 400.0]))
POSITION = np.array([0.5, -4.0, 1.5])
EXTRINSICS = Extrinsics(
    look_at(jnp.asarray(POSITION, jnp.float32), jnp.array([0.0, 0.0, 1.0]), jnp.array(0.1))[None],
    jnp.asarray(POSITION, jnp.float32)[None],
)

FARTHER = np.array([[[[0.0, 8.0, 0.0]]]], np.float32)

see = jax.jit(view, static_argnames=("detector", "fps", "skeleton"))


def world(seed=0, people=()):
    poses = np.random.default_rng(seed).uniform(-0.5, 0.5, (*people, FRAMES, JOINTS, 3))
    poses[..., 2] += 1.0
    return jnp.asarray(poses, jnp.float32)


def look(poses, detector=SILENT, key=0, extrinsics=EXTRINSICS, **settings):
    return see(jax.random.key(key), poses, CAMERA, extrinsics, detector, 50.0, H36M_17, **settings)


def test_a_silent_detector_reports_the_projection():
    poses = world()
    seen = look(poses)
    rotation = np.asarray(EXTRINSICS.rotation[0], np.float64)
    joints = (np.asarray(poses, np.float64) - POSITION) @ rotation.T
    np.testing.assert_allclose(seen.joints, joints, atol=1e-5)
    pixels = joints[..., :2] / joints[..., 2:] * [1100.0, 1200.0] + [500.0, 400.0]
    np.testing.assert_allclose(seen.keypoints, pixels, atol=1e-2)
    assert not seen.occluded.any() and seen.occluded.dtype == jnp.bool_


def test_noise_grows_with_the_persons_size_in_the_image():
    noisy = SILENT._replace(noise=0.01)
    near, far = (
        look(world(people=(60,)), noisy),
        look(world(people=(60,)) + FARTHER, noisy),
    )
    for seen, low, high in ((near, 3.0, 5.5), (far, 11.0, 13.5)):
        depth = np.asarray(seen.joints[..., :1, 2])
        assert low < depth.min() and depth.max() < high
        clean = look_clean(seen.joints)
        height = 1200.0 * 1.7 / depth
        np.testing.assert_allclose(
            ((np.asarray(seen.keypoints) - clean) / height[..., None]).std(), 0.01, rtol=0.05
        )


def look_clean(joints):
    joints = np.asarray(joints, np.float64)
    return joints[..., :2] / joints[..., 2:] * [1100.0, 1200.0] + [500.0, 400.0]


def test_coverage_hides():
    coverage = jnp.zeros((FRAMES, JOINTS)).at[2:4, 5].set(1.0)
    seen = look(world(), DetectorConfig(noise=0.0, outlier_rate=0.0, swap_rate=0.0), coverage=coverage)
    np.testing.assert_array_equal(seen.occluded, np.asarray(coverage) == 1)


def test_joints_behind_the_camera_or_far_outside_the_image_are_hidden():
    # Camera axes are world axes turned: x right, z up → y down, y forward → z.
    straight = Extrinsics(jnp.array([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]]), jnp.zeros((1, 3)))
    # The image is 1000 px wide with f_x = 1100: an offset of two half widths is x / z = 1000 / 1100.
    edge = FARTHEST_OFF * 500.0 / 1100.0
    points = np.zeros((1, JOINTS, 3), np.float32)
    points[0, :, 1] = 4.0
    points[0, 1] = [0.0, -4.0, 0.0]  # behind
    points[0, 2] = [0.0, NEAREST - 0.01, 0.0]  # before the lens
    points[0, 3] = [4.0 * edge + 0.02, 4.0, 0.0]  # outside
    points[0, 4] = [4.0 * edge - 0.02, 4.0, 0.0]  # just inside
    points[0, 5] = [0.0, 0.0, 0.0]  # at the lens
    seen = look(jnp.asarray(points), extrinsics=straight)
    np.testing.assert_array_equal(np.flatnonzero(seen.occluded[0]), [1, 2, 3, 5])
    assert np.isfinite(seen.keypoints).all() and np.isfinite(seen.joints).all()
    # Truth is told of hidden joints too.
    np.testing.assert_allclose(seen.joints[0, 1], [0.0, 0.0, -4.0], atol=1e-6)


def test_a_moving_camera_sees_each_frame_from_its_own_place():
    poses = jnp.broadcast_to(world()[:1], (FRAMES, JOINTS, 3))
    steps = jnp.stack([jnp.linspace(0.0, 0.5, FRAMES), jnp.zeros(FRAMES), jnp.zeros(FRAMES)], axis=-1)
    moving = Extrinsics(jnp.broadcast_to(EXTRINSICS.rotation, (FRAMES, 3, 3)), EXTRINSICS.position + steps)
    seen = look(poses, extrinsics=moving)
    still = look(poses - steps[:, None])
    np.testing.assert_allclose(seen.joints, still.joints, atol=1e-5)
    np.testing.assert_allclose(seen.keypoints, still.keypoints, atol=1e-2)


def test_views_are_decided_by_the_key():
    first, again, other = (look(world(), DetectorConfig(), key) for key in (1, 1, 2))
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    np.testing.assert_array_equal(first.occluded, again.occluded)
    assert (np.asarray(first.keypoints) != np.asarray(other.keypoints)).any()


def test_extrinsics_of_another_length_are_refused():
    with pytest.raises(ValueError, match="extrinsics has 3 frames and points 6"):
        look(world(), extrinsics=Extrinsics(jnp.zeros((3, 3, 3)), jnp.zeros((3, 3))))
