"""MediaPipe's landmarks and ultralytics' label files: coordinates as shares of the image."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from gated_lift.readers.detections import read_detections
from gated_lift.skeleton import COCO_17, MEDIAPIPE_33

REAL = Path(__file__).parents[2] / "shared" / "data" / "detections_2d"


def check(read, found, tolerance=1e-5):
    rows = found.shape[0] * found.shape[1]
    assert read.frame.tolist() == np.repeat(np.arange(len(found)), found.shape[1]).tolist()
    np.testing.assert_allclose(read.keypoints, found[..., :2].reshape(rows, -1, 2), rtol=tolerance)
    np.testing.assert_allclose(read.confidence, found[..., 2].reshape(rows, -1), rtol=1e-5)


# ---------------------------------------------------------------------------------------------- MediaPipe


def test_mediapipe_in_three_layouts(tmp_path):
    found = files.people(MEDIAPIPE_33)
    path = files.mediapipe_json(tmp_path / "m.json", found)
    read = read_detections(path)
    assert read.format == "mediapipe" and read.skeleton == MEDIAPIPE_33 and read.ids is None
    assert (read.fps, read.image_size, read.num_frames) == (25.0, files.SIZE, 4)
    np.testing.assert_allclose(read.times, [0, 0.04, 0.08, 0.12])
    check(read, found)
    stamps = [5.0, 45.0, 85.0, 165.0]
    arrays = {"landmarks": files.landmarks(found), "image_size": files.SIZE, "fps": 25}
    np.savez(tmp_path / "m.npz", **arrays, timestamp_ms=stamps)
    read = read_detections(tmp_path / "m.npz")
    assert read.fps == 25
    np.testing.assert_allclose(read.times, np.array(stamps) / 1000)
    check(read, found)
    path = files.mediapipe_csv(tmp_path / "m.csv", found)
    read = read_detections(path)
    assert read.format == "mediapipe" and read.image_size is None and read.times is None
    check(read, found)
    first, *lines = path.read_text().splitlines()
    lines = [f"{line},{stamps[int(line[0])]}" for line in lines if not line.startswith("2,")]
    read = read_detections(files.write(path, "\n".join([f"{first},timestampMs", *lines])))
    np.testing.assert_allclose(read.times, [0.005, 0.045, 0.105, 0.165])
    # Single images have one stamp, which tells nothing; and times that go back are no video's.
    np.savez(tmp_path / "m.npz", **arrays, timestampMs=[0, 0, 0, 0])
    assert read_detections(tmp_path / "m.npz").times is None
    np.savez(tmp_path / "m.npz", **arrays, timestampMs=[0, 40, 30, 80])
    with pytest.raises(ValueError, match=r"m\.npz: frame 2 is not later than the frame before it"):
        read_detections(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", **arrays, timestampMs=[0, 40])
    with pytest.raises(ValueError, match=r"timestampMs has shape \(2,\), landmarks"):
        read_detections(tmp_path / "m.npz")


def test_presence_counts_and_landmarks_outside_do_not(tmp_path):
    found = files.people(MEDIAPIPE_33, count=1)
    marks = np.concatenate([files.landmarks(found), np.full((4, 1, 33, 1), 0.5)], axis=-1)
    marks[0, 0, 5, 0] = 1.2
    marks[0, 0, 6, 1] = -4.5
    np.savez(tmp_path / "m.npz", landmarks=marks[:, 0])
    with pytest.raises(ValueError, match=r"m\.npz has coordinates up to .*: give image_size="):
        read_detections(tmp_path / "m.npz")
    read = read_detections(tmp_path / "m.npz", image_size=files.SIZE)
    assert (read.confidence[0, 5:7] == 0).all() and np.isnan(read.keypoints[0, 5:7]).all()
    np.testing.assert_allclose(read.confidence[1:], found[1:, 0, :, 2] / 2, rtol=1e-6)


def test_other_spellings_of_landmarks(tmp_path):
    found = files.people(MEDIAPIPE_33, count=1)
    value = json.loads(files.mediapipe_json(tmp_path / "m.json", found).read_text())
    plain = [{"poseLandmarks": result["landmarks"][0]} for result in value["results"]]
    plain[2] = {"pose_landmarks": None}
    read = read_detections(files.write(tmp_path / "m.json", plain), image_size=files.SIZE)
    assert read.frame.tolist() == [0, 1, 3] and read.num_frames == 4 and read.fps is None


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (("results", 1, "landmarks", 0), [], "frame 1, person 0 has 0 landmarks, expected 33"),
        (("results", 1, "landmarks", 0, 4), {"x": 1}, "frame 1, person 0, landmark 4 has no x and y"),
        (("results", 1, "landmarks", 0, 4, "x"), "a", "frame 1, person 0, landmark 4: x is no number"),
        (("results", 1, "landmarks"), 3, "frame 1: landmarks is int, expected a list"),
        (("results", 1, "frame"), 0, "has frame 0 twice"),
        (("fps",), -3, "fps is '-3', not frames a second"),
        (("image_width",), 3.5, "the image's size is 3.5 × 720"),
    ],
)
def test_what_is_wrong_with_mediapipe_is_named(tmp_path, place, value, why):
    path = files.mediapipe_json(tmp_path / "m.json")
    held = json.loads(path.read_text())
    part = held
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(ValueError, match=why):
        read_detections(files.write(path, held))


def test_other_skeletons_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has MediaPipe's landmarks, skeleton is coco_17: leave it out"):
        read_detections(files.mediapipe_json(tmp_path / "m.json"), skeleton="coco_17")


@pytest.mark.skipif(not REAL.exists(), reason="the real detections are not beside this checkout")
@pytest.mark.parametrize("camera", ["cam01", "cam02"])
def test_real_json_and_csv_agree(camera):
    first = read_detections(REAL / "mediapipe" / f"{camera}_pose_landmarker.json")
    second = read_detections(REAL / "mediapipe" / f"{camera}_long.csv", fps=60.0)
    assert (first.fps, first.image_size) == (60.0, (1088, 1920))
    assert first.frame.tolist() == second.frame.tolist() == list(range(40, 50))
    np.testing.assert_allclose(first.keypoints, second.keypoints, atol=2e-3)
    np.testing.assert_allclose(first.confidence, second.confidence, atol=1e-4)


@pytest.mark.skipif(not REAL.exists(), reason="the real detections are not beside this checkout")
def test_real_pedestrians():
    read = read_detections(REAL / "vtest_mediapipe.npz")
    assert read.format == "npz" and read.skeleton == MEDIAPIPE_33 and read.num_frames == 240
    assert (read.fps, read.image_size) == (10.0, (768, 576)) and np.isfinite(read.keypoints).all()


# -------------------------------------------------------------------------------------------- ultralytics


@pytest.mark.parametrize("conf", [False, True])
@pytest.mark.parametrize("ids", [False, True])
def test_label_files(tmp_path, conf, ids):
    found = files.people(COCO_17)
    files.ultralytics_txt(tmp_path, found, conf, ids)
    with pytest.raises(ValueError, match="give image_size="):
        read_detections(tmp_path)
    read = read_detections(tmp_path, image_size=files.SIZE)
    assert read.format == "ultralytics" and read.skeleton == COCO_17 and read.num_frames == 4
    check(read, found, 1e-4)
    assert (read.ids.tolist() == [3, 4] * 4) if ids else read.ids is None


def test_a_lone_last_number_is_asked_for_where_it_may_be_both(tmp_path):
    files.ultralytics_txt(tmp_path, files.people(COCO_17, count=1))
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace(" 3\n", " 1\n"))
    with pytest.raises(ValueError, match="choose the format ultralytics_conf or ultralytics_ids"):
        read_detections(tmp_path, image_size=files.SIZE)
    read = read_detections(tmp_path, format="ultralytics_ids", image_size=files.SIZE)
    assert read.ids.tolist() == [1] * 4
    read = read_detections(tmp_path, format="ultralytics_conf", image_size=files.SIZE)
    assert read.ids is None


def test_people_without_an_id_and_empty_and_missing_files(tmp_path):
    files.ultralytics_txt(tmp_path, files.people(COCO_17))
    (tmp_path / "clip_2.txt").write_text("")
    (tmp_path / "clip_3.txt").unlink()
    (tmp_path / "clip_4.txt").write_text((tmp_path / "clip_4.txt").read_text().replace(" 3\n", "\r\n"))
    read = read_detections(tmp_path, image_size=files.SIZE)
    assert read.frame.tolist() == [0, 0, 3, 3] and read.ids.tolist() == [3, 4, -1, 4]
    (tmp_path / "clip_5.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(
        ValueError, match=r"clip_5\.txt, line 1, has 3 numbers, expected 56 to 58 of 17 joints"
    ):
        read_detections(tmp_path, image_size=files.SIZE)
    (tmp_path / "clip_5.txt").write_text("nobody\n")
    with pytest.raises(ValueError, match=r"clip_5\.txt, line 1, has other than numbers"):
        read_detections(tmp_path, image_size=files.SIZE)
    for path in tmp_path.iterdir():
        path.write_text("")
    with pytest.raises(ValueError, match="holds empty files only"):
        read_detections(tmp_path, image_size=files.SIZE)


def test_labels_in_pixels_are_refused(tmp_path):
    found = files.people(COCO_17)
    found[..., :2] *= files.SIZE
    files.ultralytics_txt(tmp_path, found)
    with pytest.raises(ValueError, match=r"frame 3: a coordinate of .*, but the file's are shares"):
        read_detections(tmp_path, image_size=files.SIZE)


def test_json_of_every_frame_in_one_file_or_many(tmp_path):
    found = files.people(COCO_17)
    path = files.ultralytics_json(tmp_path / "all.json", found)
    read = read_detections(path)
    assert read.format == "ultralytics" and read.ids.tolist() == [3, 4] * 4
    check(read, found)
    value = json.loads(path.read_text())
    for frame, shown in enumerate([*value, []]):
        files.write(tmp_path / "each" / f"frame{frame}.json", shown)
    read = read_detections(tmp_path / "each")
    check(read, found)
    assert read.num_frames == 5
    assert read_detections(tmp_path / "each" / "frame2.json").frame.tolist() == [2, 2]
    value[1][0]["keypoints"]["y"] = [1, 2]
    with pytest.raises(ValueError, match=r"frame 1, person 0: y has shape \(2,\), expected 17 numbers"):
        read_detections(files.write(path, value))
    del value[1][0]["keypoints"]
    with pytest.raises(ValueError, match="frame 1, person 0 has no keypoints with x and y"):
        read_detections(files.write(path, value))
