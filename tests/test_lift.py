"""The command from a detector's file to people: what it writes, what it says, and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_pipeline import LIFTER

from experiments import lift
from experiments.lift import LiftConfig, command, parse_heights, parse_size
from gated_lift.exports import read_people
from gated_lift.video import lift as video


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A small network and the causal tracker, in a folder of its own."""
    monkeypatch.setattr(video, "load_lifter", lambda: LIFTER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_arguments_the_example_is_lifted(quick, capsys):
    assert command(["--tracker", "online"]) == 0
    told = capsys.readouterr().out
    folder = quick / "lifted" / "two_people"
    assert {path.name for path in folder.iterdir()} == {"report.html", "people.npz", "people.csv"}
    people = read_people(folder / "people.npz")
    assert people.joints.shape == (2, 100, 17, 3) and people.fps == 60 and people.image_size == (1088, 1920)
    assert people.camera.focal[0] == pytest.approx(1681.24)
    assert (
        "person 1" in told and "person 2" in told and str(folder.relative_to(quick) / "report.html") in told
    )
    # Its own output may be written again; that of another file may not, unless it is said.
    assert command(["--tracker", "online", "--exports", "json"]) == 0
    assert json.loads((folder / "people.json").read_text())
    again = [str(lift.EXAMPLE), "--output", "lifted/two_people"]
    assert command(again) == 2
    error = capsys.readouterr().err.strip()
    assert "report.html exists: choose another name, or pass overwrite=True (--overwrite)" in error


def test_what_would_stop_the_writing_stops_the_reading(quick, capsys, monkeypatch):
    monkeypatch.setattr(lift, "lift_file", lambda *given, **more: pytest.fail("the file was read"))
    (quick / "out").mkdir()
    (quick / "out" / "people.csv").write_text("mine")
    (quick / "out" / "people_Ada.trc").write_text("mine")
    (quick / "file").write_text("")
    (quick / "film.mp4").write_text("no film")
    for arguments, message in (
        (["--output", "out"], "people.csv exists"),
        (["--output", "out", "--exports", "trc"], "people_Ada.trc exists"),
        (["--output", "file/out"], "file is no folder"),
        (["--movie", "film.avi"], "film.avi ends in '.avi'"),
        (["--movie", "film.mp4"], "film.mp4 exists"),
        (["--video", "gone.mp4"], "gone.mp4 is not there"),
        (["--video", "film.mp4"], "film.mp4 cannot be read as a video"),
    ):
        assert command([str(lift.EXAMPLE), *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert len(list(quick.rglob("*"))) == 5


def test_several_videos_have_a_folder_each_and_one_that_is_wrong_stops_no_other(quick, capsys, monkeypatch):
    lifted = []
    monkeypatch.setattr(lift, "lift", lambda config: lifted.append((config.keypoints, config.output)))
    assert command(["a.json", "b/"]) == 0
    assert lifted == [((Path("a.json"),), Path("lifted/a")), ((Path("b"),), Path("lifted/b"))]
    for arguments, message in (
        (["a.json", "b/a.json"], "a.json and b/a.json, which would both be written to lifted/a"),
        (["a.json", "b.json", "--video", "a.mp4"], "video is of one video"),
        (["k/a_01_keypoints.json", "k/a_02_keypoints.json"], "2 files that are single frames"),
        (["a.json", "b.json", "--camera-path", "a.txt"], "camera-path is of one video"),
    ):
        lifted.clear()
        assert command(arguments) == 2 and not lifted
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    monkeypatch.undo()
    monkeypatch.chdir(quick)
    monkeypatch.setattr(video, "load_lifter", lambda: LIFTER)
    known = ["--intrinsics", str(lift.EXAMPLE_CAMERA), "--people", "2", "--tracker", "online"]
    assert command(["gone.json", str(lift.EXAMPLE), *known, "--output", "out"]) == 2
    told = capsys.readouterr()
    assert "gone.json is not there" in told.err and told.err.count("\n") == 1
    assert "2 of 2" in told.out and (quick / "out" / "two_people" / "report.html").exists()
    assert not (quick / "out" / "gone").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.npz"], "nothing.npz is not there: give the file or the folder that a detector wrote"),
        (["empty.json"], "empty.json"),
        (["keypoints.csv"], "does not say how large the images are"),
        (["keypoints.csv", "--image-size", "1920"], "image-size is '1920': give WIDTHxHEIGHT"),
        (["keypoints.csv", "--image-size", "1920x1080"], "how many frames a second"),
        (["keypoints.csv", "--image-size", "64x64", "--fps", "1e-9"], "fps is '1e-09', not frames a second"),
        (["keypoints.csv", "--format", "excel"], "format is 'excel': choose from"),
        (["keypoints.csv", "--exports", "fbx"], "exports has fbx: choose from"),
        (["keypoints.csv", "--heights", "178"], "heights has '178': give NAME=METRES"),
        (
            ["keypoints.csv", "--intrinsics", "none.yml", "--fps", "30", "--image-size", "64x64"],
            "none.yml is no file",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(quick, capsys, arguments, message):
    (quick / "empty.json").write_text("")
    rows = [f"{frame},left_hip,{10 + frame},20" for frame in range(3)]
    (quick / "keypoints.csv").write_text("\n".join(["frame,joint,x,y", *rows]))
    before = set(quick.rglob("*"))
    assert command(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("gated-lift: ") and error.count("\n") == 1 and message in error
    assert set(quick.rglob("*")) == before


def test_sizes_and_heights_of_the_command_line():
    assert parse_size("1920x1080") == (1920, 1080) and parse_size(None) is None
    for text in ("0x10", "1920", "axb", "1920x1080x3"):
        with pytest.raises(ValueError, match="give WIDTHxHEIGHT in pixels"):
            parse_size(text)
    config = LiftConfig(height=1.7, heights=("person 1=1.8", "a=b=1.6"))
    assert parse_heights(config) == {"": 1.7, "person 1": 1.8, "a=b": 1.6}
    with pytest.raises(ValueError, match="heights has 'x=tall'"):
        parse_heights(LiftConfig(heights=("x=tall",)))


def test_the_example_is_small_and_says_whose_it_is():
    folder = lift.EXAMPLE.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
    licence = (folder / "LICENSE").read_text()
    assert "BSD 3-Clause" in licence and "MediaPipe" in licence
    with np.load(lift.EXAMPLE) as example:
        assert example["landmarks"].shape == (100, 2, 33, 4)
