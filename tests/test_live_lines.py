"""Lines of a stream: what is read, which frame a line is, and what is written."""

import json

import numpy as np
import pytest

from gated_lift.live.lines import Line, Pace, next_frame, read_line, record_of, skeleton_of_line
from gated_lift.live.stream import LiveFrame
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17
from solvers import Status

POINTS = [[100.0 + joint, 200, 0.9] for joint in range(17)]


def line(number=1, **value):
    return read_line(json.dumps({"people": [{"keypoints": POINTS}]} | value).encode(), number)


def test_a_line_of_ones_own():
    found = line(frame=7, time=0.25, people=[{"id": 3, "keypoints": POINTS}, {"id": 0, "keypoints": POINTS}])
    assert (found.number, found.frame, found.time, found.ids) == (1, 7, 0.25, (3, 0))
    np.testing.assert_array_equal(found.people, [POINTS, POINTS])
    assert skeleton_of_line(found, None) == COCO_17 and skeleton_of_line(found, H36M_17) == H36M_17
    # Without confidence every joint is sure; null is hidden.
    found = line(people=[{"keypoints": [[None, None], [5, 6]]}])
    assert found.ids is None and found.frame is None and found.time is None
    np.testing.assert_array_equal(found.people, [[[np.nan, np.nan, 1], [5, 6, 1]]])
    nobody = line(people=[])
    assert nobody.people.shape == (0, 0, 3) and nobody.ids is None


def test_openposes_dictionary_of_a_frame():
    flat = [number for joint in range(25) for number in (10 * joint, 20, 0.5)]
    people = [
        {"person_id": [-1], "pose_keypoints_2d": flat, "hand_left_keypoints_2d": []},
        {"person_id": [-1], "pose_keypoints_2d": []},
    ]
    found = line(version=1.3, people=people)
    assert found.people.shape == (1, 25, 3) and found.ids is None and found.people[0, 3, 0] == 30
    assert skeleton_of_line(found, BODY_25) == BODY_25
    assert line(people=[{"person_id": [4], "pose_keypoints_2d": flat}]).ids == (4,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"keypoints", r"line 5 is not a frame of people \(Expecting value"),
        (b"\xff", r"line 5 is not a frame of people \(its text is not UTF-8"),
        (b"[1]", r"line 5 is not a frame of people \(no list of people\)"),
        (b'{"people": 3}', "line 5 is not a frame of people"),
        (b'{"people": [3]}', "line 5, person 0 has no pose_keypoints_2d: write one frame a line"),
        (
            b'{"people": [{"keypoints": [1, 2, 3]}]}',
            "line 5, person 0: keypoints is not n × n numbers: write",
        ),
        (b'{"people": [{"keypoints": [[1, 2], [1]]}]}', "line 5, person 0: keypoints is not n × n numbers"),
        (b'{"people": [{"keypoints": [["1", 2]]}]}', "line 5, person 0: keypoints is not n × n numbers"),
        (b'{"people": [{"keypoints": [[1, 2, 3, 4]]}]}', "person 0: keypoints has 4 numbers a joint"),
        (b'{"people": [{"keypoints": [[1, 1e999]]}]}', "1e999 is no finite number"),
        (
            b'{"people": [{"keypoints": [[1, 2]]}, {"keypoints": [[1, 2], [3, 4]]}]}',
            "people of 1 and 2 joints",
        ),
        (
            b'{"people": [{"keypoints": [[1, 2]], "id": "A"}]}',
            "person 0: id is 'A', not a person's whole number",
        ),
        (
            b'{"people": [{"keypoints": [[1, 2]], "id": 1}, {"keypoints": [[1, 2]]}]}',
            r"line 5 has the ids \[1, -1\]: give everybody an id of their own, or nobody",
        ),
        (
            b'{"people": [{"keypoints": [[1, 2]], "id": 1}, {"keypoints": [[1, 2]], "id": 1}]}',
            r"line 5 has the ids \[1, 1\]",
        ),
        (b'{"people": [], "frame": -1}', "line 5: frame is '-1', not a whole number from 0"),
        (b'{"people": [], "time": "now"}', "line 5: time is 'now', not seconds"),
    ],
)
def test_what_is_no_frame_names_the_line_and_the_mend(text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_line(text, 5)
    assert "\n" not in str(raised.value)


def test_sixteen_joints_are_no_skeleton():
    with pytest.raises(ValueError, match=r"line 1 has 16 joints a person.*name a skeleton"):
        skeleton_of_line(line(people=[{"keypoints": POINTS[:16]}]), None)


def numbers(lines, fps=30.0):
    """(number, lost) of every line; None stands for one that could not be read."""
    pace, found = Pace(), []
    for each in lines:
        if each is None:
            pace = pace.without_line()
            continue
        pace, number, lost = next_frame(pace, Line(1, *each, np.zeros((0, 0, 3)), None), fps)
        found.append((number, lost))
    return found


def test_frames_are_numbered_by_the_lines_their_own_numbers_or_their_times():
    unknown = (None, None)
    assert numbers([unknown] * 3) == [(0, 0), (1, 0), (2, 0)]
    assert numbers([unknown, None, None, unknown]) == [(0, 0), (3, 2)]
    assert numbers([None, unknown, unknown]) == [(1, 0), (2, 0)]
    assert numbers([(7, None), (8, None), (12, None), unknown]) == [(7, 0), (8, 0), (12, 3), (13, 0)]
    assert numbers([(0, 5.0), (2, 5.1), (3, 5.2)]) == [(0, 0), (2, 1), (3, 0)]
    times = [(None, time) for time in (9.0, 9.031, 9.07, 9.1, 9.201, 9.233)]
    assert numbers(times) == [(0, 0), (1, 0), (2, 0), (3, 0), (6, 2), (7, 0)]


def test_times_do_not_drift():
    # Twenty a second are every third or second frame of thirty.
    found = numbers([(None, t / 20) for t in range(201)])
    assert found[-1][0] == 300 and {lost for _, lost in found} == {0, 1}
    # Thirty-one are thirty, and a loss is one nevertheless.
    times = [t / 31 for t in range(100)] + [99 / 31 + 0.1 + t / 31 for t in range(10)]
    found = numbers([(None, time) for time in times])
    assert [lost for _, lost in found[:100]] == [0] * 100 and sum(lost for _, lost in found) in (1, 2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(3, None), (3, None)], "line 1: frame is 3 after 3: write frames in their order"),
        ([(None, 1.0), (None, 1.0)], "line 1: time is 1.0 after 1.0: write frames in their order"),
        ([(0, 1.0), (1, 0.5)], "line 1: time is 0.5 after 1.0"),
    ],
)
def test_what_does_not_grow_is_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        numbers(lines)


def test_what_is_written():
    joints = np.full((2, 17, 3), 1.23456)
    joints[1] = np.nan
    frame = LiveFrame(
        frame=3,
        lag=2,
        ids=(4, 6),
        joints=joints,
        root=joints[:, 0],
        lagged_root=np.full((2, 3), np.nan),
        status=np.array([Status.CONVERGED, Status.TOO_FEW_OBSERVATIONS]),
        hidden=np.eye(2, 17, dtype=bool),
        left_out=(9,),
    )
    record = json.loads(json.dumps(record_of(33, 1.5, frame), allow_nan=False))
    first, second = record.pop("people")
    assert record == {"frame": 33, "time": 1.5, "lagged_frame": 31, "left_out": [9]}
    assert first["id"] == 4 and first["status"] == "converged" and first["joints"] == [[1.2346] * 3] * 17
    assert first["root"] == [1.2346] * 3 and first["hidden"] == [True] + [False] * 16
    assert second["status"] == "too_few_observations"
    assert second["joints"] is second["root"] is second["lagged_root"] is first["lagged_root"] is None
    assert record_of(0, None, None) == {"frame": 0, "people": []}
