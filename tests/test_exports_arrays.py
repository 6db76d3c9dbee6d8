"""Lifted people as `.npz`, JSON and CSV, read back."""

import csv
import json

import numpy as np
import pytest
from exported import lifted_people, same

from gated_lift.exports import export, export_all, read_people
from gated_lift.exports.axes import describe, turn_people, turn_to
from solvers import Status


@pytest.mark.parametrize("up", [None, "y", "z"])
@pytest.mark.parametrize("axes", ["world", "camera"])
def test_an_archive_gives_everything_back_exactly(tmp_path, axes, up):
    people = lifted_people(axes=axes)
    assert export(people, tmp_path / "a.npz", up=up) == (tmp_path / "a.npz",)
    assert same(people, read_people(tmp_path / "a.npz"))


@pytest.mark.parametrize("up", [None, "y"])
@pytest.mark.parametrize("axes", ["world", "camera"])
def test_json_gives_everything_back_to_its_decimals(tmp_path, axes, up):
    people = lifted_people(axes=axes)
    export(people, tmp_path / "a.json", up=up)
    back = read_people(tmp_path / "a.json")
    assert same(people, back, decimals=2.9)  # pixels have three decimals
    np.testing.assert_allclose(people.joints, back.joints, atol=1e-6)
    np.testing.assert_allclose(people.covariance, back.covariance, atol=1e-11)


def test_optional_fields_may_be_none(tmp_path):
    people = lifted_people()
    people = people._replace(covariance=None, extrinsics=None, size=None, size_std=None)
    people = people._replace(camera=people.camera._replace(radial=None))
    for name in ("a.npz", "a.json"):
        export(people, tmp_path / name)
        back = read_people(tmp_path / name)
        assert back.covariance is None and back.extrinsics is None and back.camera.radial is None
        assert back.size is None and back.size_std is None


def test_an_archive_explains_itself_without_this_package(tmp_path):
    people = lifted_people()
    export(people, tmp_path / "a.npz", up="y")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["status_names"].tolist() == [Status.CONVERGED.name, Status.PARTLY_SEEN.name]
        assert file["names"].tolist() == ["anna", "bob/2"]
        assert file["skeleton_names"].tolist() == list(people.skeleton.names)
        assert file["skeleton_parents"].tolist() == list(people.skeleton.parents)
        assert file["fps"] == 50.0 and "y up" in str(file["axes"]) and "joints" in str(file["units"])
        # In the file the head is above the feet along y, and by as much as it was along z.
        np.testing.assert_array_equal(file["joints"][..., 1], people.joints[..., 2])


def test_json_is_json_and_says_what_its_numbers_are(tmp_path):
    people = lifted_people(axes="camera")
    export(people, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text("utf-8")

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    told = json.loads(text, parse_constant=refuse)
    assert told["axes_in_words"] == describe("camera", None) and "joints" in told["units"]
    assert told["software"].keys() >= {"gated-lift", "numpy"} and told["fps"] == 50.0
    bob = told["people"][1]
    assert bob["status"]["name"] == "PARTLY_SEEN" and len(bob["status"]["advice"]) > 10
    assert bob["joints"][0] == [[None] * 3] * 17 and bob["present"][:6] == [False] * 5 + [True]


def test_a_table_has_a_row_a_joint_of_everybody_present(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is in the extra test")
    people = lifted_people()
    export(people, tmp_path / "a.csv")
    table = pandas.read_csv(tmp_path / "a.csv")
    assert len(table) == 17 * people.present.sum()
    assert set(table["unit"]) == {"m"} and set(table["axes"]) == {"world: z up"}
    for person, name in enumerate(people.names):
        rows = table[table["person"] == name].pivot(index="frame", columns="joint")
        frames = rows.index.to_numpy()
        np.testing.assert_array_equal(frames, np.flatnonzero(people.present[person]))
        order = list(people.skeleton.names)
        for axis, column in enumerate("xyz"):
            found = rows[column][order].to_numpy()
            np.testing.assert_allclose(found, people.joints[person, frames, :, axis], atol=1e-6)
        np.testing.assert_array_equal(rows["hidden"][order], people.hidden[person, frames].astype(int))
        np.testing.assert_allclose(rows["u"][order], people.keypoints[person, frames, :, 0], atol=1e-3)
        np.testing.assert_allclose(rows["confidence"][order], people.confidence[person, frames], atol=1e-4)
        np.testing.assert_allclose(rows["time"][order[0]], people.times[frames], atol=1e-6)


def test_a_table_of_many_frames_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("gated_lift.exports.csv_file._CHUNK", 7)
    people = lifted_people()
    export(people, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    keys = [(int(row["frame"]), people.names.index(row["person"])) for row in rows[::17]]
    assert keys == sorted(keys) and len(keys) == people.present.sum()


@pytest.mark.parametrize("axes", ["world", "camera"])
@pytest.mark.parametrize("up", ["y", "z"])
def test_turns_are_rotations_that_keep_the_camera_in_place(axes, up):
    people = lifted_people(axes=axes)
    turn = turn_to(axes, up)
    matrix = np.eye(3)[list(turn.order)] * np.array(turn.sign)[:, None]
    assert np.linalg.det(matrix) == 1
    turned = turn_people(people, up)
    np.testing.assert_allclose(turned.joints, people.joints @ matrix.T.astype(np.float32), atol=1e-6)
    expected = matrix @ people.covariance @ matrix.T
    np.testing.assert_allclose(turned.covariance, expected, atol=1e-7)
    # Up in the image, or the world's up, is up in the file.
    level = turned.joints[..., "xyz".index(up)]
    assert np.all((level[..., 10] - level[..., 3])[people.present] > 1)
    if axes == "world":
        for each in (people, turned):
            seen = (each.joints - each.extrinsics.position[0]) @ each.extrinsics.rotation[0].T
            pixels = 1000 * seen[0, 0, :, :2] / seen[0, 0, :, 2:] + 500
            shown = ~people.hidden[0, 0]
            np.testing.assert_allclose(pixels[shown], people.keypoints[0, 0][shown], atol=0.01)


def test_nobody_is_an_empty_table_and_an_archive_of_nobody(tmp_path):
    people = lifted_people()
    nobody = people._replace(
        **{
            name: getattr(people, name)[:0]
            for name in ("joints", "root", "covariance", "status", "present", "residual", "keypoints")
        },
        confidence=people.confidence[:0],
        hidden=people.hidden[:0],
        size=people.size[:0],
        size_std=people.size_std[:0],
        names=(),
    )
    written = export_all(nobody, tmp_path, "nobody", ("npz", "json", "csv"))
    assert len((tmp_path / "nobody.csv").read_text().splitlines()) == 1
    for path in written[:2]:
        assert read_people(path).joints.shape == (0, 60, 17, 3) and read_people(path).names == ()
    for name in ("trc", "bvh"):
        with pytest.raises(ValueError, match="nobody is present"):
            export(nobody, tmp_path / f"x.{name}")


def damaged(tmp_path, change):
    export(lifted_people(4, gap=False), tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text())
    change(told)
    (tmp_path / "b.json").write_text(json.dumps(told))
    return tmp_path / "b.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.clear(),
        lambda told: told.update(version=99),
        lambda told: told.pop("people"),
        lambda told: told.update(people=3),
        lambda told: told.pop("axes"),
        lambda told: told.update(axes="mars"),
        lambda told: told.update(up="x"),
        lambda told: told.update(fps="fast"),
        lambda told: told.update(times=[0.0, 0.0, 0.0, 0.0]),
        lambda told: told.update(image_size=[]),
        lambda told: told.update(camera=None),
        lambda told: told["skeleton"].update(parents=[0] * 17),
        lambda told: told["skeleton"].update(parents=[-1, 2, 1, *[0] * 14]),
        lambda told: told["skeleton"].update(left=[99] * 6),
        lambda told: told["people"][0].pop("joints"),
        lambda told: told["people"][0]["joints"].pop(),
        lambda told: told["people"][1].update(status={"number": "x"}),
        lambda told: told["people"][1].update(status={"number": 10**12}),
        lambda told: told.update(extrinsics={"rotation": [1.0]}),
    ],
)
def test_damaged_json_is_an_error_of_one_line_that_names_the_file(tmp_path, change):
    path = damaged(tmp_path, change)
    with pytest.raises(ValueError, match=r"b\.json") as error:
        read_people(path)
    assert "\n" not in str(error.value)


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros(3))
    with pytest.raises(ValueError, match="lacks joints"):
        read_people(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        read_people(tmp_path / "none.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.json"])
def test_a_file_that_was_cut_off_is_an_error_that_names_it(tmp_path, name):
    export(lifted_people(4, gap=False), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for size in range(0, len(data) - 2, len(data) // 7):
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(ValueError, match=name) as error:
            read_people(tmp_path / name)
        assert "\n" not in str(error.value)
