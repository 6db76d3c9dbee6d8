"""Files that appear whole or not at all, and what is refused before anything is written."""

import os

import numpy as np
import pytest
from exported import lifted_people

from gated_lift.exports import EXPORTS, export, export_all
from gated_lift.exports.files import ascii_names, file_names, require
from gated_lift.outputs import write_whole

for library in ("ezc3d", "pygltflib"):
    pytest.importorskip(library, reason=f"{library} is in the extra exports")


def test_an_existing_file_stays_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"a\.csv exists.*--overwrite"):
        export(lifted_people(), path)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == ["a.csv"]
    export(lifted_people(), path, overwrite=True)
    assert path.read_text().startswith("frame,time")


def test_one_existing_file_of_a_set_stops_all(tmp_path):
    (tmp_path / "clip.csv").write_text("mine")
    with pytest.raises(FileExistsError):
        export_all(lifted_people(), tmp_path, "clip", ("npz", "csv"))
    assert os.listdir(tmp_path) == ["clip.csv"]


@pytest.mark.parametrize("error", [RuntimeError("full"), KeyboardInterrupt(), OSError(28, "No space left")])
def test_a_writer_that_fails_leaves_nothing_and_what_was_there(tmp_path, error):
    (tmp_path / "a").write_text("old")

    def good(path):
        path.write_text("new")

    def bad(path):
        path.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_whole({tmp_path / "a": good, tmp_path / "b": bad}, overwrite=True)
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_folders_are_made_and_those_that_cannot_be_are_named(tmp_path):
    written = export(lifted_people(), tmp_path / "new" / "folder" / "a.csv")
    assert written[0].exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/a\.csv cannot be written") as error:
        export(lifted_people(), tmp_path / "file" / "a.csv")
    assert "\n" not in str(error.value)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        export(lifted_people(), tmp_path / "new", "csv", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"locked.*choose a folder"):
        export(lifted_people(), locked / "a.csv")


def test_everything_is_written_as_one_set_with_a_file_a_person_where_needed(tmp_path):
    written = export_all(lifted_people(8, gap=False), tmp_path, "clip", up="z")
    expected = {f"clip.{name}" for name in ("npz", "json", "csv", "c3d", "glb")}
    expected |= {f"clip_{person}.{name}" for person in ("anna", "bob_2") for name in ("trc", "bvh")}
    assert {path.name for path in written} == expected == set(os.listdir(tmp_path))


def test_formats_are_found_from_suffixes_in_any_case(tmp_path):
    export(lifted_people(), tmp_path / "a.CSV")
    export(lifted_people(), tmp_path / "a.txt", "csv")
    assert (tmp_path / "a.CSV").read_bytes() == (tmp_path / "a.txt").read_bytes()
    with pytest.raises(ValueError, match=r"fbx.*give one of npz, json"):
        export(lifted_people(), tmp_path / "a.fbx")


def test_names_become_names_of_files_that_are_unlike():
    names = ("a/b", "../etc", "", "...", "Anna", "anna", "Łukasz 王", "con", "x" * 300, "x" * 300)
    assert file_names(names[:8]) == (
        "a_b",
        "etc",
        "person",
        "person_2",
        "Anna",
        "anna_2",
        "Łukasz_王",
        "con_",
    )
    for name in file_names(names):
        assert len(name.encode()) < 200 and "/" not in name
    assert len({name.casefold() for name in file_names(names)}) == len(names)
    assert file_names(("a", "a", "a_2")) == ("a", "a_2", "a_2_2")


def test_names_for_ascii_formats_are_short_and_unlike():
    names = ascii_names(("José", "王", "王", "a_long_name_1", "a_long_name_2"), longest=8)
    assert names == ("Jose", "person", "person_2", "a_long_n", "a_long_2")


def test_a_missing_library_names_the_extra():
    with pytest.raises(ImportError, match=r"no_such_library.*gated-lift\[exports\]"):
        require("no_such_library", "C3D")


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"joints": p.joints[:, :0]}, "0 frames"),
        (lambda p: {"joints": p.joints[..., :2]}, r"give \(people, frames, joints, 3\)"),
        (lambda p: {"joints": p.joints[:, :, :3]}, "h36m_17 has 17"),
        (lambda p: {"hidden": p.hidden[:1]}, "hidden has shape"),
        (lambda p: {"names": ("one",)}, "names are 1"),
        (lambda p: {"fps": 0.0}, "fps is 0.0"),
        (lambda p: {"times": p.times[::-1].copy()}, "times are not"),
        (lambda p: {"axes": "mars"}, "axes is 'mars'"),
    ],
)
def test_people_that_do_not_fit_together_are_refused(tmp_path, name, change, message):
    people = lifted_people(4, gap=False)
    with pytest.raises(ValueError, match=message) as error:
        export(people._replace(**change(people)), tmp_path / f"a.{name}")
    assert "\n" not in str(error.value) and not os.listdir(tmp_path)


def test_only_y_is_up_where_the_format_says_so(tmp_path):
    for name in ("bvh", "glb"):
        with pytest.raises(ValueError, match="take y as up"):
            export(lifted_people(), tmp_path / f"a.{name}", up="z")


@pytest.mark.parametrize("name", ["trc", "c3d", "bvh", "glb"])
def test_who_is_never_there_is_left_out_and_one_frame_is_enough(tmp_path, name):
    people = lifted_people(1, gap=False)
    absent = people.present.copy()
    absent[1] = False
    joints = np.where(absent[..., None, None], people.joints, np.nan).astype(np.float32)
    alone = people._replace(present=absent, joints=joints)
    assert export(alone, tmp_path / f"a.{name}") == (tmp_path / f"a.{name}",)
    with pytest.raises(ValueError, match=f"nobody is present on any frame, and a {name.upper()}"):
        export(people._replace(present=absent & False), tmp_path / f"b.{name}")


def test_another_format_is_a_function_and_a_line(tmp_path, monkeypatch):
    """What docs/exports.md says of a format of one's own."""

    def plan(people, path, up):
        return {path: lambda part: part.write_text(" ".join(people.names))}

    monkeypatch.setitem(EXPORTS, "names", plan)
    (path,) = export(lifted_people(), tmp_path / "clip.names")
    assert path.read_text() == "anna bob/2"
