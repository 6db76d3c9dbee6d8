"""The command that answers lines: its answers to good and bad ones, and how it ends.

Lifting itself is tested where it is; here it is a stand-in, so that nothing is compiled.
"""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from test_live_lines import POINTS

from experiments import lift, live
from gated_lift.live import LiveFrame
from gated_lift.skeleton import COCO_17, H36M_17

ARGUMENTS = ["--live", "--fps", "30", "--image-size", "1920x1080", "--focal", "1400"]


class Terminal(io.StringIO):
    """What was written, and when it was flushed."""

    flushed = 0

    def flush(self):
        self.flushed += 1


@pytest.fixture
def stand_in(monkeypatch):
    """Frames count people; the skeleton is asked for only once; the calls are kept."""
    calls = []

    def start(lifter, camera, fps, people, skeleton, **settings):
        calls.append((skeleton, settings, camera))
        return SimpleNamespace(settings=SimpleNamespace(skeleton=skeleton), frame=0)

    def step(state, keypoints, confidence, ids, lost):
        calls.append((keypoints, confidence, ids, lost))
        if keypoints.shape[1] != state.settings.skeleton.num_joints:
            raise ValueError("keypoints has another shape")
        count = len(keypoints)
        frame = LiveFrame(
            *(0, 15, tuple(range(count)), np.ones((count, 17, 3)), np.ones((count, 3)), np.ones((count, 3))),
            *(np.zeros(count, int), np.zeros((count, 17), bool), ()),
        )
        return state, frame

    monkeypatch.setattr(live, "load_lifter", lambda weights: SimpleNamespace(network=weights))
    monkeypatch.setattr(live, "check_live", lambda *settings: None)
    monkeypatch.setattr(live, "start_live", start)
    monkeypatch.setattr(live, "step_live", step)
    return calls


def run(monkeypatch, text, arguments=(), sink=None):
    sink = Terminal() if sink is None else sink
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    monkeypatch.setattr(sys, "stdout", sink)
    code = lift.command([*ARGUMENTS, *arguments])
    return code, sink


def as_line(**value):
    return json.dumps({"people": [{"keypoints": POINTS}]} | value).encode() + b"\n"


def test_a_line_a_frame(monkeypatch, stand_in, capsys):
    text = as_line(people=[]) + as_line() + b"\n" + as_line(frame=5, time=0.2)
    code, sink = run(monkeypatch, text)
    assert code == 0 and not capsys.readouterr().err
    answers = [json.loads(each) for each in sink.getvalue().splitlines()]
    assert [each["frame"] for each in answers] == [0, 1, 5] and sink.flushed == 3
    assert [len(each["people"]) for each in answers] == [0, 1, 1] and answers[2]["time"] == 0.2
    (skeleton, settings, camera), *steps = stand_in
    assert skeleton == COCO_17 and camera.focal == (1400.0, 1400.0) and settings["lag"] == 0.5
    assert [lost for *_, lost in steps] == [0, 3]


def test_a_named_skeleton_is_started_before_the_first_line(monkeypatch, stand_in):
    code, sink = run(monkeypatch, b"", ["--skeleton", "h36m_17", "--no-robust"])
    assert code == 0 and not sink.getvalue()
    assert stand_in[0][0] == H36M_17 and stand_in[0][1]["trajectory"].loss == "squared"


def test_bad_lines_are_answered_and_the_stream_goes_on(monkeypatch, stand_in, capsys):
    monkeypatch.setattr(live, "MAX_LINE", 2000)
    long = b" " * 4500 + b"\n"
    body_25 = as_line(people=[{"keypoints": [[1, 2, 1]] * 25}])
    code, sink = run(monkeypatch, as_line() + b"{\n" + b"x" + long + body_25 + as_line())
    assert code == 1
    answers = [json.loads(each) for each in sink.getvalue().splitlines()]
    assert [each.get("frame") for each in answers] == [0, None, None, None, 4]
    assert [each.get("line") for each in answers] == [None, 2, 3, 4, None]
    assert answers[1]["error"].startswith("line 2 is not a frame of people")
    assert answers[2]["error"] == "line 3 is longer than 2000 bytes: write one frame a line"
    assert answers[3]["error"] == "line 4: keypoints has another shape"
    told = capsys.readouterr().err.splitlines()
    assert told == [f"gated-lift: {each['error']}" for each in answers if "error" in each]


def test_whoever_listens_may_go(monkeypatch, stand_in, capsys, tmp_path):
    class Gone(Terminal):
        def flush(self):
            raise BrokenPipeError

        def fileno(self):
            return file.fileno()

    with (tmp_path / "out").open("w") as file:
        code, _ = run(monkeypatch, as_line() * 3, sink=Gone())
    assert code == 0 and not capsys.readouterr().err

    class Stopped(Terminal):
        def flush(self):
            raise KeyboardInterrupt

    code, _ = run(monkeypatch, as_line(), sink=Stopped())
    assert code == 130 and not capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "nowhere"], "there are no weights 'nowhere'"),
        (["--weights", "two_stream"], "lifter has a network that reads later frames: a stream needs"),
        (["--skeleton", "stick"], "skeleton is 'stick': choose from h36m_17"),
        (["--image-size", "big"], "image-size is 'big': give WIDTHxHEIGHT"),
        (["--tilt", "95"], "tilt is 95.0: give degrees between -80 and 80"),
        (["--fov", "60"], "focal and fov both say what the camera is"),
    ],
)
def test_a_stream_that_cannot_begin_says_why(monkeypatch, capsys, arguments, message):
    code, sink = run(monkeypatch, as_line(), arguments)
    error = capsys.readouterr().err
    assert code == 2 and not sink.getvalue() and error.count("\n") == 1
    assert error.startswith("gated-lift: ") and message in error
