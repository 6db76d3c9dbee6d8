"""The causal tracker, its parts, and what it promises of states."""

import numpy as np
import pytest
from tracked import crossing

from gated_lift.skeleton import H36M_17
from gated_lift.tracking import Frame, OnlineSettings, start, step
from gated_lift.tracking.figure import centres, figure_of, sizes
from gated_lift.tracking.similarity import boxes, likeness, overlaps


def run(made, frames=None):
    state, ids = start(H36M_17), []
    for number in range(made.num_frames if frames is None else frames):
        rows = np.flatnonzero(made.frame == number)
        frame = Frame(number / made.fps, made.keypoints[rows], made.confidence[rows])
        state, found = step(state, frame)
        ids.append(found)
    return state, ids


def test_a_later_frame_changes_nothing_before():
    made, _ = crossing(seconds=3.0)
    _, all_ids = run(made)
    _, some = run(made, 50)
    for a, b in zip(some, all_ids, strict=False):
        np.testing.assert_array_equal(a, b)


def test_a_state_is_not_changed_by_a_step():
    made, _ = crossing(seconds=2.0)
    state, _ = run(made, 20)
    kept = [np.array(values) for values in state[4:]]
    rows = np.flatnonzero(made.frame == 20)
    step(state, Frame(20 / made.fps, made.keypoints[rows], made.confidence[rows]))
    for a, b in zip(kept, state[4:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_who_is_too_little_seen_has_no_id_and_who_is_lost_is_forgotten():
    made, _ = crossing(seconds=2.0)
    state, _ = run(made, 20)
    assert len(state.ids) == 2
    unseen = Frame(20 / made.fps, made.keypoints[:1], np.zeros((1, 17)))
    after, ids = step(state, unseen)
    assert ids.tolist() == [-1] and len(after.ids) == 2
    later, _ = step(after, Frame(9.0, np.zeros((0, 17, 2)), np.zeros((0, 17))))
    assert len(later.ids) == 0 and later.next_id == 2


def test_bad_frames_and_settings_are_named():
    state = start(H36M_17)
    with pytest.raises(ValueError, match=r"pass .rows, 17, 2."):
        step(state, Frame(0.0, np.zeros((1, 3, 2)), np.zeros((1, 3))))
    state, _ = step(state, Frame(0.0, np.zeros((0, 17, 2)), np.zeros((0, 17))))
    with pytest.raises(ValueError, match="pass frames in order"):
        step(state, Frame(0.0, np.zeros((0, 17, 2)), np.zeros((0, 17))))
    with pytest.raises(ValueError, match=r"settings.remember is 0"):
        start(H36M_17, OnlineSettings(remember=0.0))


def test_sizes_and_centres_do_not_depend_on_what_is_hidden():
    made, _ = crossing(seconds=2.0, shake=False)
    figure = figure_of(H36M_17)
    seen = np.ones(made.confidence.shape, bool)
    legs = seen.copy()
    legs[:, [2, 3, 5, 6]] = False  # knees and ankles
    whole, half = sizes(made.keypoints, seen, figure), sizes(made.keypoints, legs, figure)
    assert 0.8 < np.median(half / whole) < 1.1
    a, b = centres(made.keypoints, seen, whole, figure), centres(made.keypoints, legs, half, figure)
    np.testing.assert_allclose(a, b)
    upper = seen.copy()
    upper[:, [0, 1, 2, 3, 4, 5, 6, 7]] = False  # nothing below the chest
    c = centres(made.keypoints, upper, whole, figure)
    assert np.median(np.linalg.norm(a - c, axis=-1) / whole) < 0.1
    nothing = np.zeros_like(seen)
    assert np.isnan(sizes(made.keypoints, nothing, figure)).all()
    assert np.isnan(centres(made.keypoints, nothing, whole, figure)).all()


def test_likeness_is_cocos_measure_and_sees_through_exchanged_sides():
    figure = figure_of(H36M_17)
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 100, (1, 17, 2))
    seen = np.ones((1, 17), bool)
    size, still = np.array([100.0]), np.zeros(1)
    assert likeness(a, seen, a, seen, size, still, figure)[0, 0] == pytest.approx(1.0)
    moved = a + np.array([10.0, 0.0])
    expected = np.exp(-100 / (2 * 100**2 * figure.spread)).mean()
    assert likeness(a, seen, moved, seen, size, still, figure)[0, 0] == pytest.approx(expected)
    mirrored = a[:, list(H36M_17.mirror)]
    assert likeness(a, seen, mirrored, seen, size, still, figure)[0, 0] == pytest.approx(0.9)
    one = np.arange(17)[None] == 3
    assert likeness(a, one, a, seen, size, still, figure)[0, 0] == 0


def test_overlaps_of_boxes():
    a = np.array([[0.0, 0, 2, 2], [5, 5, 5, 5]])
    b = np.array([[1.0, 1, 3, 3], [5, 5, 5, 5]])
    np.testing.assert_allclose(overlaps(a, b), [[1 / 7, 0], [0, 0]])
    points = np.array([[[1.0, 2], [3, 0], [9, 9]]])
    np.testing.assert_array_equal(boxes(points, np.array([[True, True, False]])), [[1, 0, 3, 2]])
