"""TRC and C3D files, read back as Pose2Sim and as ezc3d read them."""

import numpy as np
import pytest
from exported import lifted_people, y_up

from gated_lift.exports import export
from gated_lift.exports.markers import marker_names
from gated_lift.exports.timing import evenly
from gated_lift.skeleton import BODY_25, H36M_17

pandas = pytest.importorskip("pandas", reason="pandas is in the extra test")
MILLIMETRE = 1e-3


def read_trc(path):
    """Rate, units, marker names, times and coordinates, from the places where Pose2Sim looks for them."""
    lines = path.read_text().splitlines()
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [name for name in lines[3].split("\t")[2:] if name]
    table = pandas.read_csv(path, sep="\t", skiprows=4)
    assert list(table.columns[2:5]) == ["X1", "Y1", "Z1"] and len(table.columns) == 2 + 3 * len(names)
    values = table.to_numpy(dtype=float)
    return head, names, values[:, 0], values[:, 1], values[:, 2:].reshape(len(table), -1, 3)


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_a_marker_file_a_person_gives_joints_back(tmp_path, axes):
    people = lifted_people(axes=axes)
    paths = export(people, tmp_path / "clip.trc")
    assert [path.name for path in paths] == ["clip_anna.trc", "clip_bob_2.trc"]
    for person, path in enumerate(paths):
        head, names, numbers, times, joints = read_trc(path)
        assert path.read_text().startswith(f"PathFileType\t4\t(X/Y/Z)\t{path.name}\n")
        assert head["Units"] == "m" and float(head["DataRate"]) == 50 and int(head["NumFrames"]) == 60
        assert names == list(marker_names(H36M_17)) and int(head["NumMarkers"]) == 17
        np.testing.assert_array_equal(numbers, np.arange(1, 61))
        np.testing.assert_allclose(times, people.times, atol=1e-6)
        np.testing.assert_allclose(joints, y_up(people)[person], atol=1e-6)  # NaN where nobody is


def test_gaps_are_nan_in_every_field(tmp_path):
    """OpenSim 4.6 refuses lines that end with an empty field."""
    people = lifted_people()
    export(people, tmp_path / "clip.trc")
    rows = (tmp_path / "clip_anna.trc").read_text().splitlines()[5:]
    assert rows[21].split("\t")[2:] == ["NaN"] * 51
    assert all(len(row.split("\t")) == 53 for row in rows)


def test_layout_is_that_of_a_real_file(tmp_path):
    """Line by line what Pose2Sim wrote: words of the head, fields of every line."""
    export(lifted_people(gap=False), tmp_path / "clip.trc")
    lines = (tmp_path / "clip_anna.trc").read_text().splitlines()
    assert lines[1].split("\t") == [
        *("DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"),
        *("OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"),
    ]
    fields = 2 + 3 * 17
    assert [len(line.split("\t")) for line in lines[3:]] == [fields] * (2 + 60)
    assert lines[3].startswith("Frame#\tTime\tHip\t\t\tRHip\t\t\t") and lines[4].startswith(
        "\t\tX1\tY1\tZ1\tX2"
    )


def test_markers_have_pose2sims_names_where_the_joint_is_the_same():
    names = dict(zip(H36M_17.names, marker_names(H36M_17), strict=True))
    assert names["right_shoulder"] == "RShoulder" and names["left_ankle"] == "LAnkle"
    assert names["hip"] == "Hip" and names["head"] == "Head"
    assert {names["thorax"], names["neck"], names["spine"]}.isdisjoint({"Neck", "Nose", "Head"})
    assert len(set(names.values())) == 17
    assert {"LBigToe", "RHeel", "Nose", "Neck"} <= set(marker_names(BODY_25))


@pytest.mark.parametrize("axes", ["world", "camera"])
@pytest.mark.parametrize("up", [None, "z"])
def test_one_c3d_holds_everybody(tmp_path, axes, up):
    ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is in the extra exports")
    people = lifted_people(axes=axes)
    assert export(people, tmp_path / "clip.c3d", up=up) == (tmp_path / "clip.c3d",)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.c3d"]
    file = ezc3d.c3d(str(tmp_path / "clip.c3d"))
    point = file["parameters"]["POINT"]
    markers = marker_names(H36M_17)
    expected = [f"{person}:{marker}" for person in ("anna", "bob_2") for marker in markers]
    assert point["LABELS"]["value"] == expected and point["UNITS"]["value"][0] == "mm"
    assert point["RATE"]["value"][0] == 50 and file["header"]["points"]["frame_rate"] == 50
    screen = [point[name]["value"][0] for name in ("X_SCREEN", "Y_SCREEN")]
    assert screen == (["+X", "+Z"] if up == "z" else ["+X", "+Y"])
    # From (3, points, frames) to (people, frames, joints, 3).
    joints = file["data"]["points"][:3].reshape(3, 2, 17, 60).transpose(1, 3, 2, 0) / 1000
    residuals = file["data"]["meta_points"]["residuals"].reshape(2, 17, 60).swapaxes(1, 2)
    wanted = y_up(people)
    if up == "z":
        x, y, z = np.moveaxis(wanted, -1, 0)
        wanted = np.stack([x, -z, y], axis=-1)
    np.testing.assert_array_equal(residuals == -1, ~np.broadcast_to(people.present[..., None], (2, 60, 17)))
    shown = people.present
    np.testing.assert_allclose(joints[shown], wanted[shown], atol=1e-6)
    assert np.all(np.isnan(joints[~shown]))


def test_one_person_has_plain_labels_and_a_crowd_has_room_and_short_names(tmp_path):
    ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is in the extra exports")
    people = lifted_people(4, gap=False)
    pick = [0] * 20
    per_person = ("joints", "root", "status", "present", "residual", "keypoints", "confidence", "hidden")
    per_person += ("size", "size_std")
    crowd = people._replace(
        **{name: getattr(people, name)[pick] for name in per_person},
        covariance=None,
        names=("somebody with a very long name indeed",) * 20,
    )
    export(crowd, tmp_path / "crowd.c3d")
    point = ezc3d.c3d(str(tmp_path / "crowd.c3d"))["parameters"]["POINT"]
    labels = point["LABELS"]["value"] + point["LABELS2"]["value"]  # C3D lists hold 255
    assert len(set(labels)) == 340 and max(len(label) for label in labels) <= 32
    one = crowd._replace(**{name: getattr(crowd, name)[:1] for name in per_person}, names=("a",))
    export(one, tmp_path / "one.c3d")
    assert ezc3d.c3d(str(tmp_path / "one.c3d"))["parameters"]["POINT"]["LABELS"]["value"] == list(
        marker_names(H36M_17)
    )


def test_more_frames_than_a_c3d_counts_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("ezc3d", reason="ezc3d is in the extra exports")
    monkeypatch.setattr("gated_lift.exports.c3d.MAX_FRAMES", 59)
    with pytest.raises(ValueError, match="60 frames and C3D holds 59"):
        export(lifted_people(), tmp_path / "a.c3d")


def test_an_uneven_rate_is_made_even_only_where_a_format_has_no_times(tmp_path):
    people = lifted_people(61)
    assert evenly(people) is people
    # The same clip without every third frame.
    kept = np.array([frame for frame in range(61) if frame % 3 != 1])
    per_frame = ("joints", "root", "covariance", "present", "residual", "keypoints", "confidence", "hidden")
    uneven = people._replace(
        **{name: getattr(people, name)[:, kept] for name in per_frame}, times=people.times[kept]
    )
    even = evenly(uneven)
    np.testing.assert_allclose(even.times, people.times, atol=1e-9)
    np.testing.assert_array_equal(even.joints[:, kept], uneven.joints)
    both = np.roll(people.present, 1, axis=1) & np.roll(people.present, -1, axis=1)
    np.testing.assert_array_equal(even.present[:, 1:-1:3], both[:, 1:-1:3])
    between = even.joints[:, 1:-1:3][both[:, 1:-1:3]]
    np.testing.assert_allclose(between, people.joints[:, 1:-1:3][both[:, 1:-1:3]], atol=0.01)
    *_, times, _ = read_trc(export(uneven, tmp_path / "a.trc")[0])
    np.testing.assert_allclose(times, uneven.times, atol=1e-6)
