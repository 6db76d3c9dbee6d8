"""Hidings, and places that contradict the film, on people who stand where the test puts them."""

import numpy as np

from experiments import judge_unseen as asked
from gated_lift.synthetic import generated

POSES = generated.crossing_pair(frames=8, fps=50.0, seed=0).poses[0]
# Camera axes: x right, y down, z ahead.
STANDING = np.stack([POSES[..., 0], -POSES[..., 2], POSES[..., 1]], axis=-1)
STANDING = STANDING - STANDING[:, :1]


def test_hidings_begin_and_end_in_the_film():
    hidden = np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 1], bool)
    assert list(asked.stretches(hidden)) == [slice(3, 5), slice(7, 8)]
    assert not list(asked.stretches(np.ones(4, bool))) and not list(asked.stretches(np.zeros(4, bool)))


def test_a_place_in_the_open_is_moved_behind_who_is_nearer():
    nearer = STANDING + np.array([0.0, 0.0, 3.0])
    covered = STANDING + np.array([0.0, 0.0, 5.0])
    aside = STANDING + np.array([1.5, 0.0, 5.0])
    before = STANDING + np.array([0.0, 0.0, 2.0])
    assert asked.behind(covered, nearer).all()
    assert not asked.behind(aside, nearer).any() and not asked.behind(before, nearer).any()
    np.testing.assert_array_equal(asked.moved_behind(covered, nearer), covered[:, 0])
    moved = asked.moved_behind(aside, nearer)
    assert np.all(moved[:, 0] < 1.0) and np.all(moved[:, 0] >= 0) and np.all(moved[:, 2] == 5.0)
    assert asked.behind(aside + (moved - aside[:, 0])[:, None], nearer).all()


def test_a_line_tells_how_many_frames_contradict_and_what_moving_them_does():
    truth = np.zeros((4, 3))
    root = np.array([[0.0, 0, 1], [0, 0, 2], [3, 0, 0], [4, 0, 0]])
    allowed = root.copy()
    allowed[2] = [1.0, 0, 0]
    (line,) = asked.rows("film", [asked.Hiding(0.3, root, truth, allowed)])
    assert line == ["film", "0.2 to 0.5 s", "1", "25.0", "2500", "2000", "3000", "1000"]
