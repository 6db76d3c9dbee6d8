"""Keypoints on the other side or on somebody else are hidden; those that only look so are not."""

import numpy as np
import pytest
from tracked import crossing, detections_of, project, walkers

from gated_lift.skeleton import H36M_17
from gated_lift.tracking import track
from gated_lift.tracking.figure import figure_of
from gated_lift.tracking.swaps import taken_back

FIGURE = figure_of(H36M_17)
PAIRED = np.array([H36M_17.mirror[joint] != joint for joint in range(17)])


def scene(fps=30.0, noise=0.004, seed=0):
    """Keypoints (2, frames, 17, 2) of two people who cross, everything seen, and the times."""
    rng = np.random.default_rng(seed)
    poses = walkers(3.0, fps, lanes=((1, 0.0), (-1, 1.5)))
    # Walking away from the camera a little, so that left and right can be told.
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    pictures = np.stack([project(pose @ turn.T) for pose in poses])
    height = np.ptp(pictures[..., 1], axis=2).max()
    keypoints = pictures + rng.normal(0, noise * height, pictures.shape)
    return keypoints, np.arange(keypoints.shape[1]) / fps


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_nothing_is_taken_back_where_nothing_is_wrong(fps):
    keypoints, times = scene(fps)
    back = taken_back(keypoints, np.zeros(keypoints.shape[:3], bool), times, FIGURE)
    assert back.mean() < 1e-3


@pytest.mark.parametrize("fps", [15.0, 30.0])
def test_exchanged_sides_are_hidden_for_as_long_as_they_last(fps):
    keypoints, times = scene(fps)
    swapped = (times > 0.6) & (times < 0.9)
    keypoints[0, swapped] = keypoints[0, swapped][:, list(H36M_17.mirror)]
    back = taken_back(keypoints, np.zeros(keypoints.shape[:3], bool), times, FIGURE)
    assert back[0, swapped][:, PAIRED].mean() > 0.9
    assert back[0, ~swapped].mean() < 0.02 and back[1].mean() < 0.01
    assert not back[..., ~PAIRED].any()


def test_a_joint_on_somebody_else_is_hidden_and_comes_back():
    keypoints, times = scene()
    away = (times > 0.5) & (times < 0.9)
    elbow, wrist = H36M_17.names.index("left_elbow"), H36M_17.names.index("left_wrist")
    for joint in (elbow, wrist):
        keypoints[1, away, joint] = keypoints[0, away, joint] + 1.0
    back = taken_back(keypoints, np.zeros(keypoints.shape[:3], bool), times, FIGURE)
    assert back[1, away][:, [elbow, wrist]].mean() > 0.9
    assert back[0].mean() < 0.01
    back[1, away] = False
    assert back[1].mean() < 0.01


def test_a_jump_to_nobody_is_not_for_here_and_hidden_keypoints_stay_out():
    keypoints, times = scene()
    keypoints[1, 20:24, 3] += 400.0
    hidden = np.zeros(keypoints.shape[:3], bool)
    hidden[0, :, 5] = True
    keypoints[0, :, 5] = np.nan
    back = taken_back(keypoints, hidden, times, FIGURE)
    assert not back[1, 20:24, 3].any() and not back[0, :, 5].any()


def test_track_hides_them_with_people_of_the_file_too():
    made, person = crossing(seconds=3.0, hidden=0.0, shake=False)
    wrist = H36M_17.names.index("right_wrist")
    keypoints = made.keypoints.copy()
    for frame in range(20, 28):
        first, second = (np.flatnonzero((made.frame == frame) & (person == p))[0] for p in (0, 1))
        keypoints[second, wrist] = keypoints[first, wrist]
    tracks = track(made._replace(keypoints=keypoints, ids=person), ids="file")
    assert tracks.hidden[1, 20:28, wrist].all() and not tracks.hidden[0, 20:28, wrist].any()
    np.testing.assert_array_equal(tracks.confidence[1, 20:28, wrist], 0.9)


def test_nobody_and_one_frame():
    for people, frames in ((0, 5), (2, 0), (2, 1)):
        shape = (people, frames, 17)
        back = taken_back(np.zeros((*shape, 2)), np.zeros(shape, bool), np.arange(frames) / 30.0, FIGURE)
        assert back.shape == shape and not back.any()
    made, _ = detections_of([np.zeros((1, 17, 2))], np.ones((1, 1), bool))
    assert track(made).keypoints.shape[0] in (0, 1)
