"""Tables and archives: plain CSV and npz, DeepLabCut, SLEAP, VideoPose3D."""

import pickle
import sys

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from gated_lift.readers.detections import read_detections
from gated_lift.readers.detectors import table
from gated_lift.readers.detectors.layouts import named_skeleton, plain_name
from gated_lift.skeleton import BODY_25B, COCO_17, H36M_17, MEDIAPIPE_33, SKELETONS


def check(read, found, ids=None):
    rows = found.shape[0] * found.shape[1]
    assert read.frame.tolist() == np.repeat(np.arange(len(found)), found.shape[1]).tolist()
    np.testing.assert_allclose(read.keypoints, found[..., :2].reshape(rows, -1, 2), rtol=1e-5)
    np.testing.assert_allclose(read.confidence, found[..., 2].reshape(rows, -1), rtol=1e-5)
    assert (ids is None and read.ids is None) or read.ids.tolist() == ids * len(found)


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        *[
            ("LShoulder", "left_shoulder"),
            ("shoulder_L", "left_shoulder"),
            ("left shoulder", "left_shoulder"),
        ],
        *[("Right-Wrist", "right_wrist"), ("wristRight", "right_wrist"), ("rknee", "right_knee")],
        *[("LBigToe", "left_big_toe"), ("Pelvis", "hip"), ("HeadTop", "head"), ("nose", "nose")],
        *[("MidHip", "hip"), ("left_hand_12", "left_hand_12"), ("leftear", "left_ear")],
    ],
)
def test_names_are_compared_in_one_spelling(name, plain):
    assert plain_name(name) == plain


def test_the_skeletons_own_names_stay():
    for skeleton in SKELETONS.values():
        assert tuple(map(plain_name, skeleton.names)) == skeleton.names


def test_a_skeleton_of_names(tmp_path):
    names = ["RWrist", "tail", "Nose", "LWrist", "hip", "R_Elbow", "l_elbow", "RShoulder"]
    skeleton, index = named_skeleton(names, None, "csv", tmp_path)
    assert skeleton.name == "csv_8" and skeleton.names[0] == "hip" and skeleton.parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(skeleton.parents) if joint)
    assert [plain_name(names[each]) for each in index] == list(skeleton.names)
    parent = {
        name: skeleton.names[above] for name, above in zip(skeleton.names, skeleton.parents, strict=True)
    }
    assert parent["right_wrist"] == "right_elbow" and parent["right_elbow"] == "right_shoulder"
    assert parent["left_wrist"] == "left_elbow" and parent["tail"] == "hip"
    paired = {skeleton.names[joint] for joint in (*skeleton.left, *skeleton.right)}
    assert paired == {"left_wrist", "right_wrist", "left_elbow", "right_elbow"}
    # A known skeleton is recognised in any order, and one that is given picks its joints.
    assert named_skeleton(COCO_17.names[::-1], None, "csv", tmp_path) == (COCO_17, list(range(16, -1, -1)))
    skeleton, index = named_skeleton(names, COCO_17, "csv", tmp_path)
    assert skeleton == COCO_17 and index[0] == 2 and index[1] == -1 and index[10] == 0
    with pytest.raises(ValueError, match="names the joint nose twice"):
        named_skeleton(["nose", "Nose"], None, "csv", tmp_path)
    with pytest.raises(ValueError, match=r"names the joints tail, .*none of which coco_17 has"):
        named_skeleton(["tail", "paw"], COCO_17, "csv", tmp_path)


# ---------------------------------------------------------------------------------------------------- CSV


def test_csv(tmp_path):
    found = files.people(H36M_17)
    path = files.plain_csv(tmp_path / "k.csv", found)
    read = read_detections(path)
    assert read.format == "csv" and read.skeleton == H36M_17 and read.times is None
    check(read, found, [7, 8])
    text = path.read_text()
    # Another system's habits: a mark, decimal commas between semicolons, other ends of lines, no order.
    first, *lines = text.splitlines()
    rng = np.random.default_rng(0)
    lines = [lines[at] for at in rng.permutation(len(lines))]
    other = "\r\n".join([first, *lines]).replace(",", ";").replace(".", ",")
    path.write_bytes(b"\xef\xbb\xbf" + other.encode())
    check(read_detections(path), found, [7, 8])
    path.write_text(text.replace(",", "\t"))
    check(read_detections(path), found, [7, 8])


def test_csv_of_numbered_joints_and_named_people(tmp_path):
    found = files.people(COCO_17)
    lines = ["frame,person,joint,x,y,confidence"]
    for frame, person, joint in np.ndindex(found.shape[:3]):
        x, y, c = found[frame, person, joint]
        lines.append(f"{frame},{('Ann', 'Bob')[person]},{joint},{x},{y},{c}")
    path = files.write(tmp_path / "k.csv", "\n".join(lines))
    read = read_detections(path, skeleton=COCO_17)
    check(read, found, [0, 1])
    assert read.names == ("Ann", "Bob")
    with pytest.raises(ValueError, match="joint 16, but skeleton small has 16: number joints from 0"):
        small = COCO_17._replace(name="small", names=COCO_17.names[:16], parents=COCO_17.parents[:16])
        read_detections(path, skeleton=small)


def test_csv_with_time_stamps(tmp_path):
    lines = ["time,joint,x,y", "0.5,nose,10,20", "0.1,nose,30,40", "0.1,left_hip,31,"]
    read = read_detections(files.write(tmp_path / "t.csv", "\n".join(lines)))
    assert read.frame.tolist() == [0, 1] and read.times.tolist() == [0.1, 0.5] and read.num_frames == 2
    nose = read.skeleton.names.index("nose")
    np.testing.assert_array_equal(read.keypoints[:, nose], [[30, 40], [10, 20]])
    assert read.confidence.tolist() == [[1.0, 0.0] if nose == 0 else [0.0, 1.0]] * 2
    lines = ["frame,time,joint,x,y", "2,1.0,nose,10,20", "5,1.3,nose,30,40", "6,1.5,nose,30,40"]
    read = read_detections(files.write(tmp_path / "t.csv", "\n".join(lines)))
    np.testing.assert_allclose(read.times, [0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5])
    for bad, why in (
        ("7,1.5,nose,1,2", "frame 7 is not later than the frame before it"),
        ("6,1.6,nose,1,2", "line 5: frame 6 has two times"),
        ("7,,nose,1,2", "line 5: time is no number of seconds"),
    ):
        with pytest.raises(ValueError, match=why):
            read_detections(files.write(tmp_path / "t.csv", "\n".join([*lines, bad])))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1,7,nose,1,2", "line 3 has 5 cells, the first line 6: separate columns by semicolons or tabs"),
        ("1,7,nose,1,5,2,0,9", "line 3 has 8 cells, the first line 6"),
        ("x,7,nose,1,2,0.5", "line 3: frame is 'x', not a number"),
        ("-1,7,nose,1,2,0.5", "line 3: frame is -1, not a whole number from 0"),
        ("1.5,7,nose,1,2,0.5", "line 3: frame is 1.5, not a whole number from 0"),
        ("0,7,nose,1,2,0.5", "line 3: the joint comes twice on frame 0: give people ids of their own"),
        ("1,7,nose,one,2,0.5", "line 3: x is 'one', not a number"),
        ("1,7,nose,inf,2,0.5", "frame 1: an infinite coordinate"),
        ('1,7,"nose,1,2,0.5', "line 3 is no line of a table"),
        ("5000000,7,nose,1,2,0.5", "frame 5000000 is not from 0 to 3999999"),
    ],
)
def test_what_is_wrong_with_a_csv_is_named(tmp_path, line, why):
    path = files.write(tmp_path / "k.csv", f"frame,id,joint,x,y,confidence\n0,7,nose,30,40,0.9\n{line}\n")
    with pytest.raises(ValueError, match=why):
        read_detections(path)


def test_tables_of_nothing_but_different_names_cost_no_memory(tmp_path, monkeypatch):
    lines = ["frame,joint,x,y", *(f"{number},joint {number},1,2" for number in range(1001))]
    with pytest.raises(ValueError, match="names 1001 joints, more than 1000"):
        read_detections(files.write(tmp_path / "k.csv", "\n".join(lines)))
    monkeypatch.setattr(table, "MAX_KEYPOINTS", 1000)
    with pytest.raises(ValueError, match="has 40 people of 40 joints on all frames together, more than"):
        read_detections(files.write(tmp_path / "k.csv", "\n".join(lines[:41])))
    columns = [f"animal{number},part{number}" for number in range(9)]
    rows = ["scorer" + ",net" * 18, "individuals", "bodyparts", "coords" + ",x,y" * 9, "0" + ",5" * 18]
    for column in columns:
        rows[1] += f",{column.split(',')[0]}" * 2
        rows[2] += f",{column.split(',')[1]}" * 2
    with pytest.raises(ValueError, match="has 9 individuals with 9 body parts, few of which they share"):
        read_detections(files.write(tmp_path / "d.csv", "\n".join(rows)))


def test_headers_that_lack_or_repeat_a_column(tmp_path):
    with pytest.raises(ValueError, match="in no format that is known here"):
        read_detections(files.write(tmp_path / "k.csv", "frame,joint,x\n0,nose,1\n"))
    with pytest.raises(ValueError, match="has no column y, and has frame, joint, x: name the columns"):
        read_detections(tmp_path / "k.csv", format="csv")
    with pytest.raises(ValueError, match="names a column twice"):
        read_detections(files.write(tmp_path / "k.csv", "frame,joint,x,y,y\n0,nose,1,2,3\n"))
    with pytest.raises(ValueError, match="has no line below its first"):
        read_detections(files.write(tmp_path / "k.csv", "frame,joint,x,y\n"))


# ---------------------------------------------------------------------------------------------------- npz


def test_npz(tmp_path):
    found = files.people(MEDIAPIPE_33)
    path = tmp_path / "k.npz"
    np.savez(path, keypoints=found, fps=25, image_size=files.SIZE, ids=[4, 9])
    read = read_detections(path)
    assert read.format == "npz" and read.skeleton == MEDIAPIPE_33 and read.fps == 25
    check(read, found, [4, 9])
    assert read.names == ()
    np.savez(path, keypoints=found, ids=["Mia", " Ada\t1 "])
    read = read_detections(path)
    assert read.names == ("Ada 1", "Mia") and read.ids[:2].tolist() == [1, 0]
    np.savez(path, keypoints=found, ids=["Mia", "Mia"])
    with pytest.raises(ValueError, match="frame 0: two people have the id Mia: correct the ids"):
        read_detections(path)
    keypoints, confidence = found[..., :2], found[..., 2]
    np.savez(path, keypoints=keypoints[:, 0], confidence=confidence[:, 0], times=[0, 1, 3, 4])
    read = read_detections(path)
    check(read, found[:, :1])
    assert read.times.tolist() == [0, 1, 3, 4]
    np.savez(path, keypoints=keypoints, joint_names=MEDIAPIPE_33.names, ids=[[1, -1], [1, 2], [2, 1], [1, 2]])
    read = read_detections(path)
    assert read.ids.tolist() == [1, -1, 1, 2, 2, 1, 1, 2] and (read.confidence == 1).all()
    np.savez(path, keypoints=keypoints, skeleton="mediapipe_33")
    assert read_detections(path).skeleton == MEDIAPIPE_33


def test_npz_of_joints_that_several_skeletons_have(tmp_path):
    path = tmp_path / "k.npz"
    np.savez(path, keypoints=files.people(COCO_17))
    with pytest.raises(ValueError, match="17 joints a person, which are h36m_17 or coco_17: name the"):
        read_detections(path)
    assert read_detections(path, skeleton="coco_17").skeleton == COCO_17
    for skeleton in (each for each in SKELETONS.values() if each.num_joints == 25):
        np.savez(path, keypoints=files.people(skeleton))
        assert read_detections(path).skeleton == skeleton


FOUND = files.people(BODY_25B)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"keypoints": FOUND[..., :1]}, "keypoints has shape .*, expected .frames, people, joints, 2 or 3"),
        ({"keypoints": FOUND[:0]}, "keypoints has shape"),
        ({"keypoints": FOUND.astype(str)}, "keypoints is <U32, not an array of numbers"),
        ({"keypoints": FOUND.astype(object)}, "holds pickled Python objects"),
        ({"keypoints": FOUND, "confidence": FOUND}, "confidence .*: give one number a keypoint"),
        ({"keypoints": FOUND * 2}, "confidence reaches 1.9, expected 0 to 1"),
        ({"keypoints": FOUND, "fps": [1, 2]}, "fps has shape .2,., expected one number"),
        ({"keypoints": FOUND, "fps": np.nan}, "fps is 'nan', not frames a second"),
        ({"keypoints": FOUND, "image_size": [0, 2]}, "image_size is 0.0 × 2.0, not a width and height"),
        ({"keypoints": FOUND, "skeleton": "dog"}, "skeleton is 'dog', and keypoints have 25 joints"),
        ({"keypoints": FOUND, "joint_names": ["a"]}, "joint_names has shape .1,."),
        ({"keypoints": FOUND, "times": [0, 1, 1, 2]}, "times has shape .* seconds that rise"),
        ({"keypoints": FOUND, "ids": [1, 2, 3]}, "ids has shape .3,."),
        ({"keypoints": FOUND, "ids": [1, 1]}, "frame 0: two people have the id 1"),
        ({"keypoints": FOUND, "ids": [1, 1.5]}, "ids is '1.5', not a person's whole number"),
        ({"points": FOUND}, "in no format that is known here"),
    ],
)
def test_what_is_wrong_with_an_npz_is_named(tmp_path, arrays, why):
    arrays = dict(arrays)
    if arrays.get("keypoints") is not None and "reaches" in why:
        arrays["keypoints"] = np.concatenate([FOUND[..., :2], np.full((*FOUND.shape[:3], 1), 1.9)], axis=-1)
    np.savez(tmp_path / "k.npz", **arrays)
    with pytest.raises(ValueError, match=why) as caught:
        read_detections(tmp_path / "k.npz")
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------------- VideoPose3D


def test_videopose3d_needs_leave_to_unpickle(tmp_path):
    path = files.videopose3d(tmp_path / "data_2d_custom_clip.npz")
    with pytest.raises(ValueError, match="pass allow_pickle=True only for a file from someone you trust"):
        read_detections(path)
    read = read_detections(path, allow_pickle=True)
    assert read.format == "videopose3d" and read.skeleton == COCO_17 and read.image_size == files.SIZE
    np.testing.assert_allclose(read.keypoints, files.people(COCO_17)[:, 0, :, :2], rtol=1e-6)
    assert (read.confidence == 1).all()


# ----------------------------------------------------------------------------------------------- DeepLabCut


def test_deeplabcut_csv(tmp_path):
    found = files.people(COCO_17)
    path = files.deeplabcut_csv(tmp_path / "d.csv", found)
    read = read_detections(path)
    assert read.format == "deeplabcut" and read.skeleton == COCO_17
    check(read, found, [0, 1])
    assert read.names == ("mouse0", "mouse1")
    single = [line for line in path.read_text().splitlines() if not line.startswith("individuals")]
    single = [",".join(line.split(",")[: 1 + 3 * 17]) for line in single]
    check(read_detections(files.write(path, "\n".join(single))), found[:, :1])
    single[4] = single[4].replace("1,", "1,,", 1)
    with pytest.raises(ValueError, match="line 5 has 53 cells, expected 52"):
        read_detections(files.write(path, "\n".join(single)))


def hdf_table(path, found, names, kind=None):
    """What pandas' ``to_hdf(format="table")`` writes of DeepLabCut's frame, as far as it is read."""
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra h5")
    columns = [
        ("net", f"mouse{person}", name, coord)
        for person in range(found.shape[1])
        for name in names
        for coord in ("x", "y", "likelihood")
    ]
    values = found.reshape(len(found), -1)
    table = np.zeros(len(found), [("index", "<i8"), ("values_block_0", "<f8", (values.shape[1],))])
    table["index"], table["values_block_0"] = np.arange(len(found)), values
    with h5py.File(path, "w") as file:
        held = file.create_dataset("df_with_missing/table", data=table)
        held.attrs["values_block_0_kind"] = np.bytes_(kind or pickle.dumps(columns, protocol=0))
    return path


def test_deeplabcut_h5(tmp_path):
    found = files.people(COCO_17)
    read = read_detections(hdf_table(tmp_path / "d.h5", found, COCO_17.names))
    assert read.format == "deeplabcut" and read.skeleton == COCO_17
    check(read, found, [0, 1])


def test_deeplabcuts_names_are_read_without_running_anything(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    path = hdf_table(
        tmp_path / "d.h5", files.people(COCO_17), COCO_17.names, pickle.dumps([Evil()], protocol=0)
    )
    with pytest.raises(ValueError, match=r"d\.h5: values_block_0 cannot be unpickled.*do not trust it"):
        read_detections(path)
    hdf_table(path, files.people(COCO_17), COCO_17.names, pickle.dumps([("a", "b", "x")], protocol=0))
    with pytest.raises(ValueError, match="the names of values_block_0 do not fit its columns"):
        read_detections(path)


@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_tables_that_pandas_wrote(tmp_path, layout):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("tables", reason="pytables is not installed")
    found = files.people(COCO_17)
    parts = ["net"], ["Ann", "Bob"], COCO_17.names, ["x", "y", "likelihood"]
    columns = pandas.MultiIndex.from_product(parts, names=["scorer", "individuals", "bodyparts", "coords"])
    frame = pandas.DataFrame(found.reshape(4, -1), columns=columns)
    frame.to_hdf(tmp_path / "d.h5", key="df_with_missing", mode="w", format=layout)
    check(read_detections(tmp_path / "d.h5"), found, [0, 1])
    frame.to_csv(tmp_path / "d.csv")
    check(read_detections(tmp_path / "d.csv"), found, [0, 1])


# ---------------------------------------------------------------------------------------------------- SLEAP


def sleap(path, found, names, **more):
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra h5")
    arrays = {
        "tracks": found[..., :2].transpose(1, 3, 2, 0),
        "point_scores": found[..., 2].transpose(1, 2, 0),
        "node_names": np.array([name.encode() for name in names]),
        "track_names": np.array([b"track_0", b"track_1"]),
    }
    with h5py.File(path, "w") as file:
        for name, values in {**arrays, **more}.items():
            if values is not None:
                file[name] = values
    return path


def test_sleap(tmp_path):
    found = files.people(COCO_17)
    names = [name.title().replace("_", " ") for name in COCO_17.names]
    read = read_detections(sleap(tmp_path / "s.h5", found, names))
    assert read.format == "sleap" and read.skeleton == COCO_17
    check(read, found, [0, 1])
    assert read.names == ("track_0", "track_1")
    found[1, 1] = np.nan
    read = read_detections(sleap(tmp_path / "s.h5", found, names, point_scores=None))
    assert read.ids.tolist() == [0, 1, 0, 0, 1, 0, 1] and (read.confidence == 1).all()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"node_names": np.array([b"nose"])}, "tracks has shape .* and node_names .1,., expected"),
        ({"tracks": np.zeros(3)}, "tracks has shape .3,."),
        ({"point_scores": np.zeros((2, 17, 3))}, "tracks has shape .* and point_scores .2, 17, 3."),
        ({"tracks": np.array([b"a"])}, "tracks is .*, not an array of numbers"),
    ],
)
def test_what_is_wrong_with_sleap_is_named(tmp_path, more, why):
    path = sleap(tmp_path / "s.h5", files.people(COCO_17), COCO_17.names, **more)
    with pytest.raises(ValueError, match=why):
        read_detections(path)


def test_sizes_that_a_file_only_declares_cost_no_memory(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra h5")
    path = sleap(tmp_path / "s.h5", files.people(COCO_17), COCO_17.names, tracks=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("tracks", (10, 2, 17, 10**9), chunks=(1, 1, 1, 10), dtype="f8")
    with pytest.raises(ValueError, match=r"tracks has shape .*, more than is read at once"):
        read_detections(path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    path = sleap(tmp_path / "s.h5", files.people(COCO_17), COCO_17.names)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"s\.h5 is an HDF5 file, which needs h5py: pip install .*\[h5\]"):
        read_detections(path)


def test_damaged_hdf5_is_refused(tmp_path):
    path = sleap(tmp_path / "s.h5", files.people(COCO_17), COCO_17.names)
    data = path.read_bytes()
    outcomes = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        broken = bytearray(data[: len(data) if seed % 3 else int(rng.integers(9, len(data)))])
        for _ in range(3):
            broken[int(rng.integers(8, len(broken)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        try:
            read_detections(path)
            outcomes.add("read")
        except ValueError as error:
            assert str(path) in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes
