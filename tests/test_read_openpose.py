"""OpenPose's folders, files and joints."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from experiments.missing_joints import of_body_25b
from gated_lift.readers.detections import read_detections
from gated_lift.readers.detectors.layouts import tell_25
from gated_lift.skeleton import BODY_25, BODY_25B, COCO_18, HALPE_26, VITPOSE_25

REAL = Path(__file__).parents[2] / "shared" / "data" / "detections_2d" / "openpose_body25b"


@pytest.mark.parametrize("skeleton", [BODY_25, BODY_25B, COCO_18, HALPE_26], ids=lambda s: s.name)
def test_a_folder_is_read(tmp_path, skeleton):
    found = files.people(skeleton)
    read = read_detections(files.openpose(tmp_path, found))
    assert read.format == "openpose" and read.skeleton == skeleton and read.source == str(tmp_path)
    assert read.frame.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and read.num_frames == 4
    np.testing.assert_allclose(read.keypoints, found[..., :2].reshape(8, -1, 2), rtol=1e-6)
    np.testing.assert_allclose(read.confidence, found[..., 2].reshape(8, -1), rtol=1e-6)
    assert read.ids is None and read.fps is None and read.times is None and read.image_size is None


def test_missing_files_and_joints_and_nobody(tmp_path):
    found = files.people(BODY_25)
    found[1, 0, 3] = 0
    files.openpose(tmp_path, found)
    (tmp_path / "clip_000000000000_keypoints.json").unlink()
    files.write(tmp_path / "clip_000000000002_keypoints.json", {"version": 1.3, "people": []})
    files.write(tmp_path / "clip_000000000009_keypoints.json", {"version": 1.3, "people": []})
    read = read_detections(tmp_path, fps=25, image_size=files.SIZE)
    assert read.frame.tolist() == [1, 1, 3, 3] and read.num_frames == 10
    assert np.isnan(read.keypoints[0, 3]).all() and read.confidence[0, 3] == 0
    assert np.isfinite(read.keypoints).sum() == 4 * 50 - 2
    assert (read.fps, read.image_size) == (25, files.SIZE)


def test_a_single_file_packed_or_with_an_older_key(tmp_path):
    found = files.people(BODY_25)
    files.openpose(tmp_path, found, first=7)
    path = tmp_path / "clip_000000000008_keypoints.json"
    read = read_detections(path)
    assert read.frame.tolist() == [8, 8] and read.num_frames == 9
    packed = tmp_path / "packed" / (path.name + ".gz")
    packed.parent.mkdir()
    older = path.read_text().replace("pose_keypoints_2d", "pose_keypoints")
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + older.encode().replace(b" ", b"\r\n")))
    for where in (packed, packed.parent):
        again = read_detections(where)
        assert again.frame.tolist() == [8, 8]
        np.testing.assert_array_equal(again.keypoints, read.keypoints)


def test_tracked_people_have_ids(tmp_path):
    files.openpose(tmp_path)
    for path in tmp_path.iterdir():
        value = json.loads(path.read_text())
        for number, person in enumerate(value["people"]):
            person["person_id"] = [5 - number]
        files.write(path, value)
    assert read_detections(tmp_path).ids.tolist() == [5, 4] * 4
    value["people"][1]["person_id"] = [5]
    files.write(path, value)
    with pytest.raises(ValueError, match=r"frame \d: two people have the id 5: correct the ids"):
        read_detections(tmp_path)


@pytest.mark.parametrize("lowest", [0, -1])
def test_shares_of_the_image_become_pixels(tmp_path, lowest):
    found = files.people(BODY_25)
    shares = found / (*files.SIZE, 1)
    if lowest:
        shares[..., :2] = 2 * shares[..., :2] - 1
    shares[0, 0, 4] = 0
    files.openpose(tmp_path, shares)
    with pytest.raises(ValueError, match=r"shares of the image's width and height: give image_size="):
        read_detections(tmp_path)
    read = read_detections(tmp_path, image_size=files.SIZE)
    assert np.isnan(read.keypoints[0, 4]).all()
    np.testing.assert_allclose(read.keypoints[2:], found[1:, :, :, :2].reshape(6, 25, 2), rtol=1e-5)


@pytest.mark.parametrize("skeleton", [BODY_25, BODY_25B], ids=lambda s: s.name)
@pytest.mark.parametrize("side", ["left", "right"])
def test_people_seen_from_the_side_are_asked_for_or_told_right(tmp_path, skeleton, side):
    found = files.people(skeleton)
    found[..., 0] = 300 + (found[..., 0] - 300) / 10
    hidden = [joint for joint, name in enumerate(skeleton.names) if name.startswith(side)]
    found[:, :, hidden] = 0
    files.openpose(tmp_path, found)
    with pytest.raises(ValueError, match="which are body_25 or body_25b: name the skeleton"):
        read_detections(tmp_path)
    found[1, 0] = files.people(skeleton)[1, 0]
    assert read_detections(files.openpose(tmp_path, found)).skeleton == skeleton


def test_a_number_that_is_no_frame_is_named(tmp_path):
    files.openpose(tmp_path)
    files.write(tmp_path / "clip_20260102030405.json", {"people": []})
    with pytest.raises(ValueError, match="goes to frame 20260102030405, beyond 3999999: number the frames"):
        read_detections(tmp_path)


def test_joints_that_could_be_in_two_orders_are_asked_for(tmp_path):
    """Four joints of each person: nothing that geometry could tell the two orders by."""
    found = files.people(BODY_25)
    found[:, :, 4:] = 0
    files.openpose(tmp_path, found)
    with pytest.raises(ValueError, match="25 joints a person, which are body_25 or body_25b: name the skel"):
        read_detections(tmp_path)
    assert read_detections(tmp_path, skeleton="body_25b").skeleton == BODY_25B
    assert read_detections(tmp_path, skeleton=BODY_25).skeleton == BODY_25
    with pytest.raises(ValueError, match="25 joints a person, skeleton coco_17 has 17"):
        read_detections(tmp_path, skeleton="coco_17")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            {"people": [{"pose_keypoints_2d": [1, 2]}]},
            "person 0: pose_keypoints_2d has 2 numbers, not x, y, c",
        ),
        ({"people": [{"pose_keypoints_2d": [1, 2, "a"]}]}, "person 0: pose_keypoints_2d is not n numbers"),
        ({"people": [{"pose_keypoints_2d": [1, 2, 0.5]}]}, "has 1 joints a person, the files before it 25"),
        ({"people": [{}]}, "person 0 has no pose_keypoints_2d"),
        ({"people": [3]}, "person 0 has no pose_keypoints_2d"),
        ({"persons": []}, "is not a frame of OpenPose"),
        ('{"people": [', "is not a file of keypoints"),
        ({"people": [{"pose_keypoints_2d": [1e300] * 75}]}, r"\d, frame 3: the keypoint .* far outside any"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, value, why):
    files.openpose(tmp_path)
    path = tmp_path / "clip_000000000003_keypoints.json"
    files.write(path, value)
    with pytest.raises(ValueError, match=why) as caught:
        read_detections(tmp_path)
    assert path.name in str(caught.value) or "frame 3" in str(caught.value)


def test_folders_of_two_cameras_and_files_without_numbers_are_named(tmp_path):
    files.openpose(tmp_path)
    text = (tmp_path / "clip_000000000003_keypoints.json").read_text()
    files.write(tmp_path / "other_3.json", text)
    with pytest.raises(ValueError, match=r"two files of frame 3, clip_0+3_keypoints\.json and other_3\.json"):
        read_detections(tmp_path)
    (tmp_path / "other_3.json").rename(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"other\.json has no frame number in its name"):
        read_detections(tmp_path)


@pytest.mark.skipif(not REAL.exists(), reason="the real detections are not beside this checkout")
@pytest.mark.parametrize("camera", ["cam01", "cam02"])
def test_real_files_are_told_apart(tmp_path, camera):
    read = read_detections(REAL / f"{camera}_json")
    assert read.skeleton == BODY_25B and read.frame.tolist() == sorted(list(range(40, 50)) * 3)
    # The same people in BODY_25's order.
    hip = [BODY_25B.names.index(f"{side}_hip") for side in ("left", "right")]
    shoulder = [BODY_25B.names.index(f"{side}_shoulder") for side in ("left", "right")]
    points = np.concatenate([read.keypoints, read.confidence[..., None]], axis=-1)
    named = {name: points[:, joint] for joint, name in enumerate(BODY_25B.names)}
    named["hip"], named["neck_base"] = points[:, hip].mean(1), points[:, shoulder].mean(1)
    moved = np.nan_to_num(np.stack([named[name] for name in BODY_25.names], axis=1))
    files.openpose(tmp_path, moved.reshape(10, 3, 25, 3).astype(np.float64), first=40)
    assert read_detections(tmp_path).skeleton == BODY_25


@pytest.mark.skipif(not REAL.exists(), reason="the real detections are not beside this checkout")
@pytest.mark.parametrize("hidden", [0, 0.3])
def test_no_single_person_is_told_to_be_in_another_order(hidden):
    found = np.load(REAL.parent / "pose2sim_twoperson.npz")
    rows = np.concatenate([found["openpose_man"], found["openpose_bystander"]]).reshape(-1, 25, 3)[::4]
    rng = np.random.default_rng(0)
    for skeleton in (BODY_25B, BODY_25, VITPOSE_25):
        people = np.nan_to_num(of_body_25b(rows, skeleton))
        people[rng.random(people.shape[:2]) < hidden] = 0
        told = [tell_25(person[None, :, :2], person[None, :, 2]) for person in people]
        assert set(told) <= {None, skeleton} and skeleton in told
