"""Files with everybody in a list: AlphaPose, COCO and Detectron2, MMPose, easy_ViTPose, rtmlib."""

import json

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from gated_lift.readers.detections import read_detections
from gated_lift.skeleton import COCO_17, COCO_18, COCO_133, HALPE_26, VITPOSE_25


def check(read, found, ids=None):
    rows = found.shape[0] * found.shape[1]
    assert read.frame.tolist() == np.repeat(np.arange(len(found)), found.shape[1]).tolist()
    assert read.num_frames == len(found)
    np.testing.assert_allclose(read.keypoints, found[..., :2].reshape(rows, -1, 2), rtol=1e-5)
    np.testing.assert_allclose(read.confidence, found[..., 2].reshape(rows, -1), rtol=1e-5)
    assert (ids is None and read.ids is None) or read.ids.tolist() == ids * len(found)


# ---------------------------------------------------------------------------------------------- AlphaPose


@pytest.mark.parametrize("skeleton", [COCO_17, HALPE_26, COCO_133], ids=lambda s: s.name)
def test_alphapose(tmp_path, skeleton):
    found = files.people(skeleton)
    read = read_detections(files.alphapose(tmp_path / "alphapose-results.json", found))
    assert read.format == "alphapose" and read.skeleton == skeleton
    check(read, found, [1, 2])
    # The folder that it stands in, beside a video.
    (tmp_path / "clip.mp4").write_bytes(b"x")
    check(read_detections(tmp_path), found, [1, 2])


@pytest.mark.parametrize(("idx", "number"), [(3, 3), ([4], 4), (2.0, 2), ("9", 9), (None, None), ([], None)])
def test_alphapose_ids_come_in_many_forms(tmp_path, idx, number):
    found = files.people(COCO_17, count=1)
    ids = read_detections(files.alphapose(tmp_path / "a.json", found, idx=idx)).ids
    assert ids is None if number is None else ids.tolist() == [number] * 4


def test_alphapose_confidence_of_the_larger_scale_and_order_of_images(tmp_path):
    found = files.people(COCO_17)
    found[..., 2] *= 5
    entries = json.loads(files.alphapose(tmp_path / "a.json", found).read_text())
    read = read_detections(files.write(tmp_path / "a.json", entries[::-1]))
    np.testing.assert_allclose(read.confidence[1], found[0, 0, :, 2] / 6, rtol=1e-5)
    assert read.frame.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and read.ids.tolist() == [2, 1] * 4


@pytest.mark.parametrize(("people", "joints"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_in_openposes_joints(tmp_path, people, joints):
    found = files.people(COCO_18)
    value = {
        f"{frame}.jpg": {"version": "AlphaPose v0.3", people: [{joints: files.flat(each)} for each in shown]}
        for frame, shown in enumerate(found)
    }
    read = read_detections(files.write(tmp_path / "a.json", value))
    assert read.format == "alphapose" and read.skeleton == COCO_18
    check(read, found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"keypoints": [1.0, 2.0]}, "image 0.jpg, entry 0: 2 numbers, not x, y, c"),
        ({"keypoints": "none"}, "image 0.jpg, entry 0: keypoints is not n numbers"),
        ({"keypoints": [True] * 51}, "image 0.jpg, entry 0: keypoints is not n numbers"),
        ({"idx": "him"}, "image 0.jpg, entry 0: idx is 'him', not a person's whole number"),
        ({"idx": [1, 2]}, r"image 0.jpg, entry 0: idx is '\[1, 2\]', not a person's"),
        ({"idx": 1}, r"frame 0: two people have the id 1: correct the ids, or remove all"),
        ({"image_id": "a.jpg"}, None),
        ({"keypoints": [0.0] * 51}, "shows nobody on any frame"),
        ({"keypoints": [1.0, 2.0, float("nan")] * 17}, "shows nobody on any frame"),
        ({"keypoints": [1.0, 2.0, -1.0] * 17}, "shows nobody on any frame"),
        ({"keypoints": [1.0, float("inf"), 0.5] * 17}, "frame 0: an infinite coordinate"),
        ({"keypoints": [1.0, 3.0, float("inf")] * 17}, "frame 0: an infinite confidence"),
        (
            {"keypoints": [1e7, 3.0, 0.5] * 17},
            r"frame 0: the keypoint \(1e\+07, 3\) lies far outside any image",
        ),
    ],
)
def test_what_is_wrong_with_alphapose_is_named(tmp_path, change, why):
    path = files.alphapose(tmp_path / "a.json", files.people(COCO_17), **change)
    if why is None:  # a single image whatever its name
        entries = json.loads(path.read_text())[:2]
        assert read_detections(files.write(path, entries)).frame.tolist() == [0, 0]
        entries[1]["image_id"] = "b.jpg"
        files.write(path, entries)
        why = "the image 'a.jpg' has no frame number|the image 'b.jpg' has no frame number"
    with pytest.raises(ValueError, match=why) as caught:
        read_detections(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_models_must_not_be_mixed(tmp_path):
    entries = json.loads(files.alphapose(tmp_path / "a.json", files.people(COCO_17)).read_text())
    entries += json.loads(files.alphapose(tmp_path / "a.json", files.people(HALPE_26)).read_text())
    with pytest.raises(ValueError, match="entry 8: 26 joints, but 17 before it"):
        read_detections(files.write(tmp_path / "a.json", entries))


# ------------------------------------------------------------------------------------ COCO and Detectron2


def test_coco_results(tmp_path):
    found = files.people(COCO_17)
    read = read_detections(files.coco(tmp_path / "r.json", found), format="coco")
    assert read.skeleton == COCO_17
    check(read, found)


def test_detectron2_results_are_asked_for_unless_they_hold_logits(tmp_path):
    found = files.people(COCO_17)
    box = {"bbox": [1.0, 2.0, 3.0, 4.0]}
    path = files.coco(tmp_path / "r.json", found, **box)
    with pytest.raises(ValueError, match="may be in the format coco or detectron2: choose one with format"):
        read_detections(path)
    check(read_detections(path, format="coco"), found)
    found[0, 0, 0, 2] = 0.05
    read = read_detections(files.coco(path, found, **box), format="detectron2")
    np.testing.assert_allclose(read.keypoints[0], found[0, 0, :, :2] + 0.5, rtol=1e-6)
    assert read.confidence[0, 0] == pytest.approx(0.3, abs=0.002)
    found[..., 2] = np.linspace(-3, 9, found[..., 2].size).reshape(found.shape[:-1])
    found[0, 0, 3, 2] = 2
    read = read_detections(files.coco(path, found, **box))
    assert read.format == "detectron2" and read.confidence[0, 3] == pytest.approx(0.3, abs=1e-3)
    assert (np.diff(read.confidence[1:].ravel()) > 0).all() and read.confidence.max() < 1


def test_results_without_a_box_may_be_two_formats(tmp_path):
    with pytest.raises(ValueError, match="may be in the format alphapose or coco"):
        read_detections(files.coco(tmp_path / "r.json"))


def test_coco_annotations(tmp_path):
    found = files.people(COCO_17)
    found[..., 2] = 2
    found[0, 0, 3] = 0
    found[0, 0, 4, 2] = 1
    value = {
        "images": [{"id": frame, "width": 1280, "height": 720} for frame in range(4)],
        "annotations": [
            {"image_id": frame, "keypoints": files.flat(each), "iscrowd": 0}
            for frame, shown in enumerate(found)
            for each in shown
        ],
    }
    value["annotations"].append({"image_id": 2, "iscrowd": 1})
    path = files.write(tmp_path / "a.json", value)
    read = read_detections(path)
    assert read.format == "coco" and read.image_size == (1280, 720)
    assert read.confidence[0, 2:6].tolist() == [1, 0, 0.5, 1]
    with pytest.raises(ValueError, match=r"is of a 1280x720 video, image_size is 640x480"):
        read_detections(path, image_size=(640, 480))
    value["images"][1]["width"] = 640
    with pytest.raises(ValueError, match="mixes images of 640x720 and 1280x720"):
        read_detections(files.write(path, value))
    value["images"][1]["width"] = "wide"
    with pytest.raises(ValueError, match="image 1: its size is wide × 720"):
        read_detections(files.write(path, value))


# ------------------------------------------------------------------------------------------------- MMPose


@pytest.mark.parametrize("skeleton", [COCO_17, COCO_133], ids=lambda s: s.name)
def test_mmpose_of_the_inferencer_and_of_a_demo(tmp_path, skeleton):
    found = files.people(skeleton)
    read = read_detections(files.mmpose(tmp_path / "video.json", found))
    assert read.format == "mmpose" and read.skeleton == skeleton
    check(read, found)
    demo = {"meta_info": {"dataset_name": "coco"}, "instance_info": files.mmpose_frames(found)}
    check(read_detections(files.write(tmp_path / "demo.json", demo)), found)


def test_mmpose_of_images(tmp_path):
    found = files.people(COCO_17)
    for entry in files.mmpose_frames(found):
        files.write(tmp_path / f"{entry['frame_id']:06}.json", entry["instances"])
    files.write(tmp_path / "000000.json", [])
    read = read_detections(tmp_path)
    assert read.format == "mmpose" and read.frame.tolist() == [1, 1, 2, 2, 3, 3]
    np.testing.assert_allclose(read.keypoints, found[1:, ..., :2].reshape(6, 17, 2), rtol=1e-6)
    assert read_detections(tmp_path / "000002.json").frame.tolist() == [2, 2]


def test_raw_maxima_count_as_one_at_most(tmp_path):
    found = files.people(COCO_17)
    found[0, 0, :3, 2] = 1.2, 0, -0.1
    read = read_detections(files.mmpose(tmp_path / "video.json", found))
    assert read.confidence[0, :3].tolist() == [1, 0, 0] and np.isnan(read.keypoints[0, 1:3]).all()


def test_frames_out_of_order_and_twice(tmp_path):
    frames = files.mmpose_frames(files.people(COCO_17))
    read = read_detections(files.write(tmp_path / "v.json", frames[::-1]))
    assert read.frame.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    frames[2]["frame_id"] = 1
    with pytest.raises(ValueError, match=r"v\.json has frame 1 twice"):
        read_detections(files.write(tmp_path / "v.json", frames))
    frames[2]["frame_id"] = -1
    with pytest.raises(ValueError, match="entry 2: frame_id is '-1', not a whole number from 0"):
        read_detections(files.write(tmp_path / "v.json", frames))
    frames[2]["frame_id"] = 5_000_000
    with pytest.raises(ValueError, match="frame 5000000 is not from 0 to 3999999"):
        read_detections(files.write(tmp_path / "v.json", frames))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"keypoints": [[1, 2]] * 16}, "frame 0, instance 0: keypoint_scores has shape"),
        ({"keypoints": [1, 2] * 17}, "frame 0, instance 0: keypoints has shape .34,., expected n × 2"),
        ({"keypoints": [[1, 2, 3]] * 17}, "frame 0, instance 0: keypoints has shape .17, 3., expected n × 2"),
        ({"keypoint_scores": None}, "frame 0, instance 0: keypoint_scores is not 17 numbers"),
    ],
)
def test_what_is_wrong_with_mmpose_is_named(tmp_path, change, why):
    frames = files.mmpose_frames(files.people(COCO_17))
    frames[0]["instances"][0].update(change)
    with pytest.raises(ValueError, match=why):
        read_detections(files.write(tmp_path / "v.json", frames))


# ----------------------------------------------------------------------------------- easy_ViTPose, rtmlib


@pytest.mark.parametrize("skeleton", [COCO_17, VITPOSE_25, COCO_133], ids=lambda s: s.name)
def test_easy_vitpose(tmp_path, skeleton):
    found = files.people(skeleton)
    path = files.easy_vitpose(tmp_path / "v.json", found, skeleton)
    read = read_detections(path)
    assert read.format == "easy_vitpose" and read.skeleton == skeleton
    check(read, found, [5, 6])
    value = json.loads(path.read_text())
    value["keypoints"] += [{}, {}]
    assert read_detections(files.write(path, value)).num_frames == 6
    value["keypoints"][1]["5"] = {}
    with pytest.raises(ValueError, match=r"v\.json, frame 1, id '5' is not n × 3 numbers"):
        read_detections(files.write(path, value))


@pytest.mark.parametrize("skeleton", [COCO_17, COCO_18, HALPE_26, COCO_133], ids=lambda s: s.name)
def test_rtmlib(tmp_path, skeleton):
    found = files.people(skeleton)
    for path in (files.rtmlib_json(tmp_path / "r.json", found), files.rtmlib_npz(tmp_path / "r.npz", found)):
        read = read_detections(path)
        assert read.format == "rtmlib" and read.skeleton == skeleton
        check(read, found)


def test_rtmlib_row_by_row(tmp_path):
    found = files.people(HALPE_26).reshape(8, 26, 3)
    frame = np.array([0, 0, 1, 1, 2, 2, 9, 9])
    path = files.rtmlib_npz(tmp_path / "r.npz", found, frame=frame, fps=25.0, image_size=[1280, 720])
    read = read_detections(path)
    assert read.frame.tolist() == frame.tolist() and read.num_frames == 10
    assert (read.fps, read.image_size) == (25.0, (1280, 720))
    assert read_detections(path, fps=30.0).fps == 30.0
    files.rtmlib_npz(path, found, frame=frame[:-1])
    with pytest.raises(ValueError, match=r"frame has shape \(7,\), expected a whole number for each of 8"):
        read_detections(path)
    np.savez(path, keypoints=found[..., :2], scores=found[:5, :, 2])
    with pytest.raises(ValueError, match=r"keypoints has shape .*, scores .*: save both of the same frames"):
        read_detections(path)
