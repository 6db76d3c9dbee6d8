"""Finding the format of a file, and what no file of any format may hold."""

import gzip
import os
import zipfile

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from gated_lift.readers import text_file
from gated_lift.readers.detections import FORMATS, read_detections
from gated_lift.readers.detectors import source
from gated_lift.readers.detectors.frames import frame_of_name
from gated_lift.skeleton import COCO_17

CHOSEN = {"coco": "coco"}  # results without boxes may be AlphaPose's too


@pytest.mark.parametrize("name", files.TEXTS)
def test_each_format_is_found_from_its_content(tmp_path, name):
    path = files.TEXTS[name](tmp_path / "file.json")
    read = read_detections(path, format=CHOSEN.get(name))
    assert read.format == name and len(read.frame) in (2, 8)
    # Whatever the file is called, packed or not.
    packed = tmp_path / "elsewhere" / "renamed_0.data"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    again = read_detections(packed, format=CHOSEN.get(name))
    np.testing.assert_array_equal(again.keypoints, read.keypoints)
    assert again.format == name


def test_every_format_says_what_it_is_and_is_listed_under_its_name():
    assert all(name == each.name and each.what for name, each in FORMATS.items())
    assert set(files.TEXTS) <= set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_another_format_than_the_one_named_are_refused(tmp_path, name):
    for other, write in files.TEXTS.items():
        if other == name or {other, name} <= {"coco", "alphapose", "detectron2"} or "ultra" in name:
            continue
        path = write(tmp_path / f"{other}.json")
        with pytest.raises(ValueError, match=path.name):
            read_detections(path, format=name)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"format": "openpoze"}, "format is 'openpoze': choose from openpose, alphapose, "),
        ({"skeleton": "coco"}, "skeleton is 'coco': choose from h36m_17, coco_17"),
        ({"fps": 0.0}, "fps is '0.0', not frames a second"),
        ({"fps": float("nan")}, "fps is 'nan', not frames a second"),
        ({"image_size": (0, 5)}, "image_size is 0 × 5, not a width and height"),
        ({"image_size": (200_000, 5)}, "image_size is 200000 × 5, not a width and height"),
    ],
)
def test_arguments_that_cannot_be_meant_are_named(tmp_path, arguments, why):
    with pytest.raises(ValueError, match=why):
        read_detections(files.mmpose(tmp_path / "v.json"), **arguments)


def test_a_smaller_image_than_people_stand_in_is_named(tmp_path):
    path = files.mmpose(tmp_path / "v.json")
    assert read_detections(path, image_size=files.SIZE).image_size == files.SIZE
    with pytest.raises(ValueError, match=r"frame 0: 136 of 136 keypoints lie outside the 200x50 image"):
        read_detections(path, image_size=(200, 50))
    frames = files.mmpose_frames(files.people(COCO_17))
    frames[2]["instances"][0]["keypoints"][3] = [-13000, 20]
    with pytest.raises(ValueError, match=r"frame 2: the keypoint \(-13000, 20\) lies far outside a 1280x720"):
        read_detections(files.write(path, frames), image_size=files.SIZE)


def test_nothing_is_missing_or_empty_without_a_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_detections(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no \.json or \.txt file"):
        read_detections(tmp_path)
    path = tmp_path / "file.json"
    for content, why in (
        (b"", "file.json is empty"),
        (b" \r\n", "file.json is empty"),
        (b"\xff\xfe[\0]\0", r"file.json is not a file of keypoints \(its text is not UTF-8 at byte 0\)"),
        (b"[" * 100, "file.json is not a file of keypoints"),
        (b"[" * 100_000, "file.json is not a file of keypoints"),
        (b"[]", "file.json is in no format that is known here"),
        (b"{}", "file.json is in no format that is known here"),
        (b"[[[]]]", "file.json is in no format that is known here"),
        (b"null", "file.json is in no format that is known here"),
        (b"a\0b", r"file.json is not a file of keypoints \(it holds zero bytes\)"),
        (b"PK\3\4 and so on", r"file.json is not a whole \.npz archive"),
        (b"\x1f\x8b\x08 and so on", "its gzip is damaged"),
        (gzip.compress(b"[1]" * 10_000)[:-20], "its gzip is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=why):
            read_detections(path)
        for name in FORMATS:
            with pytest.raises(ValueError, match=r"file\.json"):
                read_detections(path, format=name)


def test_bombs_and_endless_lines_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_BYTES", 10**6)
    path = tmp_path / "file.json"
    for data in (b"1" * (10**6 + 1), gzip.compress(b"[" + b" " * 10**7 + b"]")):
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"file\.json is not .* more than 1000000 bytes\): split it by frames"
        ):
            read_detections(path)
    monkeypatch.setattr(source, "MAX_PARTS", 1000)
    path.write_text("[" + "[]," * 2000 + "[]]")
    with pytest.raises(ValueError, match="more than 1000 lists and dictionaries"):
        read_detections(path)
    # An array that its archive declares to be larger than what there is.
    header = (tmp_path / "h.npy").open("wb")
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 2, 17, 2)}
    )
    header.close()
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.write(tmp_path / "h.npy", "keypoints.npy")
    with pytest.raises(ValueError, match=r"b\.npz: keypoints\.npy declares"):
        read_detections(tmp_path / "b.npz")


def test_an_endless_file_is_not_read_to_its_end(tmp_path, monkeypatch):
    """A special file has no size: no more than the limit is read."""
    assert text_file.GZIP_MAGIC == b"\x1f\x8b"
    monkeypatch.setattr(source, "MAX_BYTES", 10**5)
    with pytest.raises(ValueError, match=r"more than 100000 bytes|holds zero bytes"):
        source.open_source("/dev/zero")


def test_folders_that_mix_formats_are_named(tmp_path):
    files.openpose(tmp_path)
    files.write(tmp_path / "clip_1.txt", "0 1 2")
    with pytest.raises(ValueError, match=r"mixes \.json and \.txt files"):
        read_detections(tmp_path)
    (tmp_path / "clip_1.txt").unlink()
    files.mmpose(tmp_path / "zz_77.json")
    with pytest.raises(ValueError, match=r"zz_77\.json is not a frame of OpenPose"):
        read_detections(tmp_path)
    files.mmpose(tmp_path / "two" / "a.json")
    files.mmpose(tmp_path / "two" / "b.json")
    with pytest.raises(ValueError, match=r"holds 2 files, a\.json among them, that are not one detector's"):
        read_detections(tmp_path / "two")


@pytest.mark.parametrize("folder", [False, True])
def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, folder):
    path = files.openpose(tmp_path / "op") if folder else files.mmpose(tmp_path / "v.json")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "iterdir" if folder else "open", refuse)
    with pytest.raises(ValueError, match=r"cannot be read \(Permission denied\): check its permissions"):
        read_detections(path)


def test_a_row_that_comes_twice_counts_once(tmp_path):
    frames = files.mmpose_frames(files.people(COCO_17))
    frames[1]["instances"] *= 2
    read = read_detections(files.write(tmp_path / "v.json", frames))
    assert read.frame.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("clip_000000000012_keypoints.json", 12),
        ("cam01.0040.json", 40),
        ("12.jpg", 12),
        ("frame_7.json.gz", 7),
        ("a.mp4_3.txt", 3),
        ("nothing.json", None),
        ("1" * 30 + ".json", None),
    ],
)
def test_frames_of_names(name, frame):
    assert frame_of_name(name) == frame


def test_paths_may_be_text(tmp_path):
    path = files.mmpose(tmp_path / "v.json")
    assert read_detections(os.fspath(path)).source == str(path)
