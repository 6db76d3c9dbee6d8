"""Cameras found from what they see, against the cameras themselves and a projection in NumPy."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gated_lift.synthetic import generated
from solvers import resect

FOCAL, CENTER = np.array([1145.3, 1143.1]), np.array([512.5, 515.4])
RADIAL, TANGENTIAL = np.array([-0.207, 0.247, -0.0031]), np.array([-0.0014, -0.00097])
POSITION = np.array([2.7, 3.9, 1.6])
# Rows are the camera's right, down and forward: it looks at about the middle of the room.
FORWARD = np.array([-0.8, -0.65, -0.16]) / np.linalg.norm([-0.8, -0.65, -0.16])
RIGHT = np.cross(FORWARD, [0.02, 0.01, 1.0]) / np.linalg.norm(np.cross(FORWARD, [0.02, 0.01, 1.0]))
ROTATION = np.stack([RIGHT, np.cross(FORWARD, RIGHT), FORWARD])


def world_points(frames=60):
    people = [
        generated.walk(frames, start=(-1.2, 0.3), heading=angle, turn_rate=0.5) for angle in (0.0, 1.6, 4.0)
    ]
    return np.concatenate(people).reshape(-1, 3).astype(np.float64)


def slopes(points):
    seen = (points - POSITION) @ ROTATION.T
    assert (seen[:, 2] > 1).all()
    return seen[:, :2] / seen[:, 2:]


def radial_growth(square):
    return 1 + RADIAL[0] * square + RADIAL[1] * square**2 + RADIAL[2] * square**3


def opencv(points):
    """OpenCV's documentation of its lens model, term by term."""
    x, y = slopes(points).T
    p1, p2 = TANGENTIAL
    square = x**2 + y**2
    x_lens = x * radial_growth(square) + 2 * p1 * x * y + p2 * (square + 2 * x**2)
    y_lens = y * radial_growth(square) + p1 * (square + 2 * y**2) + 2 * p2 * x * y
    return np.stack([x_lens, y_lens], axis=-1) * FOCAL + CENTER


def human36m(points):
    """Human3.6M's formula: the tangential pair the other way round, no factor 2 in the cross term."""
    slope = slopes(points)
    square = (slope**2).sum(axis=-1, keepdims=True)
    pair = TANGENTIAL[::-1]
    lens = slope * (radial_growth(square) + slope @ pair[:, None]) + pair * square
    return lens * FOCAL + CENTER


def test_a_camera_is_found_from_what_it_sees():
    points = world_points()
    found = resect(points, opencv(points))
    assert found.rms < 1e-6
    np.testing.assert_allclose(found.camera.focal, FOCAL, rtol=1e-7)
    np.testing.assert_allclose(found.camera.center, CENTER, rtol=1e-7)
    np.testing.assert_allclose(found.camera.radial, RADIAL, atol=1e-4)
    np.testing.assert_allclose(found.camera.tangential, TANGENTIAL, atol=1e-7)
    np.testing.assert_allclose(found.extrinsics.rotation, ROTATION[None], atol=1e-8)
    np.testing.assert_allclose(found.extrinsics.position, POSITION[None], atol=1e-7)


def test_rounding_to_float32_does_little():
    points = world_points()
    found = resect(points.astype(np.float32), opencv(points).astype(np.float32))
    assert found.rms < 1e-3
    np.testing.assert_allclose(found.camera.focal, FOCAL, rtol=1e-4)
    np.testing.assert_allclose(found.extrinsics.rotation, ROTATION[None], atol=1e-4)
    np.testing.assert_allclose(found.extrinsics.position, POSITION[None], atol=1e-3)


def test_the_formula_of_human36m_is_this_camera_turned_a_little():
    # x (p·x) is what a small turn by p does to the image, but for a shift of the centre.
    points = world_points()
    found = resect(points, human36m(points))
    assert found.rms < 5e-3
    turn = Rotation.from_matrix(found.extrinsics.rotation[0] @ ROTATION.T).magnitude()
    assert turn < 2.5e-3
    np.testing.assert_allclose(found.camera.focal, FOCAL, rtol=2e-3)


def test_noise_averages_out():
    points = world_points()
    noisy = opencv(points) + np.random.default_rng(0).normal(size=(len(points), 2))
    found = resect(points, noisy)
    assert 1.3 < found.rms < 1.5  # of two coordinates with one pixel each
    np.testing.assert_allclose(found.extrinsics.position, POSITION[None], atol=0.05)


@pytest.mark.parametrize(
    ("points", "keypoints", "message"),
    [
        (np.zeros((30, 2)), np.zeros((30, 2)), r"pass \(N, 3\) and \(N, 2\)"),
        (np.zeros((30, 3)), np.zeros((29, 2)), r"pass \(N, 3\) and \(N, 2\)"),
        (np.zeros((19, 3)), np.zeros((19, 2)), "at least 20"),
        (np.full((30, 3), np.nan), np.zeros((30, 2)), "not finite"),
        (np.zeros((30, 3)), np.zeros((30, 2)), "coincide"),
    ],
)
def test_bad_correspondences_are_refused(points, keypoints, message):
    with pytest.raises(ValueError, match=message):
        resect(points, keypoints)


def test_points_in_a_plane_are_refused():
    points = world_points()
    points[:, 2] = 0
    with pytest.raises(ValueError, match="in a plane"):
        resect(points, opencv(points))


def test_a_mirrored_image_is_refused():
    points = world_points()
    with pytest.raises(ValueError, match="mirrored"):
        resect(points, opencv(points) * [-1, 1])
