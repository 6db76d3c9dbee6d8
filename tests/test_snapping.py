"""Joints that a detector puts on whoever covers them: who that is, for how long, and where."""

import numpy as np

from gated_lift.synthetic.snapping import coverers, held, snapped


def test_numbers_are_held_for_so_many_seconds():
    rng = np.random.default_rng(0)
    values = held(rng.random, (20, 2000), 0.5, 50.0)
    assert values.shape == (20, 2000) and abs(values.mean() - 0.5) < 0.03
    runs = (np.diff(values) != 0).sum() + 20
    assert abs(20 * 2000 / runs / 50 - 0.5) < 0.05, "mean length of a stretch in seconds"


def test_who_covers_is_nearer_to_the_camera_and_the_nearest_in_the_image():
    middle = np.array([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0], [31.0, 0.0]])[:, None]
    depth = np.array([2.0, 4.0, 3.0, 5.0])[:, None]
    found = np.ones((4, 1), bool)
    assert coverers(middle, depth, found)[:, 0].tolist() == [-1, 0, 0, 2]
    found[2] = False
    assert coverers(middle, depth, found)[:, 0].tolist() == [-1, 0, 0, 1]


def test_moved_joints_are_those_of_the_coverer_and_no_other_changes():
    rng = np.random.default_rng(1)
    keypoints, there = rng.random((2, 5, 4, 2)), rng.random((2, 5, 4, 2))
    confidence, sure = rng.random((2, 5, 4)), rng.random((2, 5, 4))
    coverer = np.array([[-1] * 5, [0] * 5])
    moved = np.zeros((2, 5, 4), bool)
    moved[1, 2:4, 1:] = True
    order = np.broadcast_to([0, 2, 1, 3], (2, 5, 4))
    found, trust = snapped(keypoints, confidence, (there, sure), moved, coverer, order)
    np.testing.assert_array_equal(found[1, 2:4, 1:], there[0, 2:4][:, [2, 1, 3]])
    np.testing.assert_array_equal(trust[1, 2:4, 1:], sure[0, 2:4][:, [2, 1, 3]])
    np.testing.assert_array_equal(found[~moved], keypoints[~moved])
    np.testing.assert_array_equal(trust[~moved], confidence[~moved])
