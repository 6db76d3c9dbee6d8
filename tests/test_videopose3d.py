"""VideoPose3D's layouts, written here exactly as its scripts write them and read back."""

import numpy as np
import pytest

from gated_lift.readers.videopose3d import KEPT_JOINTS, match_captures, read_positions_2d, read_positions_3d
from gated_lift.skeleton import COCO_17, H36M_17

H36M_SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
COCO_SYMMETRY = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]


def positions_3d():
    rng = np.random.default_rng(0)
    return {
        "S9": {"Directions": rng.normal(size=(5, 32, 3)), "Walking 1": rng.normal(size=(4, 32, 3))},
        "S11": {"Directions": rng.normal(size=(6, 32, 3)), "Directions 1": rng.normal(size=(3, 32, 3))},
    }


def positions_2d(extra=2, views=4, columns=2):
    rng = np.random.default_rng(1)
    return {
        subject: {
            action: [rng.uniform(0, 1000, (len(poses) + extra, 17, columns)) for _ in range(views)]
            for action, poses in takes.items()
        }
        for subject, takes in positions_3d().items()
    }


def metadata(layout="h36m", joints=17, symmetry=H36M_SYMMETRY, **more):
    return {"layout_name": layout, "num_joints": joints, "keypoints_symmetry": symmetry} | more


def write(tmp_path, **objects):
    np.savez_compressed(tmp_path / "data.npz", **objects)
    return tmp_path / "data.npz"


def test_captures_are_read(tmp_path):
    data = positions_3d()
    clips = read_positions_3d(write(tmp_path, positions_3d=data), allow_pickle=True)
    assert [clip.name for clip in clips] == ["S9/Directions", "S9/Walking 1", "S11/Directions 1"]
    assert [clip.poses.shape for clip in clips] == [(1, 5, 17, 3), (1, 4, 17, 3), (1, 3, 17, 3)]
    assert clips[0].skeleton == H36M_17 and clips[0].fps == 50.0 and "Human3.6M" in clips[0].licence
    assert {clip.split for clip in clips} == {"validation"}
    # The published order of the seventeen, written out so that the removal list is checked against something
    # else.
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    assert list(KEPT_JOINTS) == kept
    np.testing.assert_allclose(clips[1].poses[0], data["S9"]["Walking 1"][:, kept], rtol=1e-6)


def test_the_damaged_take_is_dropped_by_an_argument(tmp_path):
    path = write(tmp_path, positions_3d=positions_3d())
    everything = read_positions_3d(path, allow_pickle=True, exclude=())
    assert "S11/Directions" in [clip.name for clip in everything]
    chosen = read_positions_3d(path, allow_pickle=True, subjects=("S11",))
    assert [clip.name for clip in chosen] == ["S11/Directions 1"]
    with pytest.raises(ValueError, match="no subject S1: choose from S9, S11"):
        read_positions_3d(path, allow_pickle=True, subjects=("S1",))
    with pytest.raises(ValueError, match="no take left"):
        read_positions_3d(
            path, allow_pickle=True, subjects=("S9",), exclude=(("S9", "Directions"), ("S9", "Walking 1"))
        )
    with pytest.raises(ValueError, match="subjects is a collection"):
        read_positions_3d(path, allow_pickle=True, subjects="S9")


@pytest.mark.parametrize("read", [read_positions_3d, read_positions_2d])
def test_pickles_are_refused_unless_asked_for(tmp_path, read):
    path = write(tmp_path, positions_3d=positions_3d(), positions_2d=positions_2d(), metadata=metadata())
    with pytest.raises(ValueError, match=r"data\.npz: .*can run any code.*allow_pickle=True only"):
        read(path)
    assert read(path, allow_pickle=True)


def test_detections_are_read(tmp_path):
    data = positions_2d()
    file = read_positions_2d(write(tmp_path, positions_2d=data, metadata=metadata()), allow_pickle=True)
    assert file.layout == "h36m" and file.skeleton == H36M_17
    assert (file.left, file.right) == (H36M_17.left, H36M_17.right)
    assert len(file.views) == 16
    third = file.views[2]
    assert (third.subject, third.action, third.view, third.resolution) == ("S9", "Directions", 2, None)
    np.testing.assert_allclose(third.keypoints, data["S9"]["Directions"][2], rtol=1e-6)
    assert third.keypoints.dtype == np.float32 and not third.occluded.any() and (third.confidence == 1).all()


def test_detections_in_ones_own_videos_are_read(tmp_path):
    keypoints = np.random.default_rng(2).uniform(0, 500, (7, 17, 3)).astype(np.float32)
    keypoints[2, 5, 0] = np.nan
    keypoints[3, 6, 1] = np.inf
    data = {"a.mp4": {"custom": [keypoints]}, "b.mp4": {"custom": [keypoints[:2]]}}
    about = metadata("coco", symmetry=COCO_SYMMETRY, video_metadata={"a.mp4": {"w": 1920, "h": 1080}})
    file = read_positions_2d(write(tmp_path, positions_2d=data, metadata=about), allow_pickle=True)
    assert file.skeleton == COCO_17
    first, second = file.views
    assert first.resolution == (1920, 1080) and second.resolution is None
    hidden = np.zeros((7, 17), bool)
    hidden[2, 5] = hidden[3, 6] = True
    np.testing.assert_array_equal(first.occluded, hidden)
    np.testing.assert_array_equal(np.isnan(first.keypoints), np.repeat(hidden[..., None], 2, axis=-1))
    np.testing.assert_array_equal(first.confidence, np.where(hidden, 0, keypoints[..., 2]))


@pytest.mark.parametrize("columns", [2, 3])
def test_what_the_detector_did_not_find_is_hidden(tmp_path, columns):
    """Scripts leave zeros, NaN or a confidence of zero; a keypoint on the image's edge stays."""
    keypoints = np.random.default_rng(2).uniform(1, 500, (12, 17, columns)).astype(np.float32)
    keypoints[..., 2:] = 0.9
    keypoints[4:6] = 0
    keypoints[6, 3, :2] = 0  # (0, 0), whatever the confidence says
    keypoints[7, 4, 0] = keypoints[8, 4, 1] = 0  # on an edge
    hidden = np.zeros((12, 17), bool)
    hidden[4:6] = hidden[6, 3] = True
    if columns == 3:
        keypoints[9, 5, 2] = 0
        keypoints[10, 5, 2] = np.nan
        keypoints[11, 5, 2] = -1
        hidden[9:, 5] = True
    data = {"a.mp4": {"custom": [keypoints]}}
    about = metadata("coco", symmetry=COCO_SYMMETRY)
    path = write(tmp_path, positions_2d=data, metadata=about)
    (view,) = read_positions_2d(path, allow_pickle=True).views
    np.testing.assert_array_equal(view.occluded, hidden)
    np.testing.assert_array_equal(np.isnan(view.keypoints), np.repeat(hidden[..., None], 2, axis=-1))
    np.testing.assert_array_equal(view.confidence == 0, hidden)
    assert view.confidence[6, 4] == pytest.approx(0.9 if columns == 3 else 1)


def test_other_layouts_keep_their_own_symmetry(tmp_path):
    data = {"S1": {"Box": [np.zeros((3, 15, 2))]}}
    about = metadata("humaneva15", joints=15, symmetry=[[2, 3], [5, 6]])
    file = read_positions_2d(write(tmp_path, positions_2d=data, metadata=about), allow_pickle=True)
    assert file.skeleton is None and (file.left, file.right) == ((2, 3), (5, 6))


def test_detections_that_outrun_the_capture_are_cut(tmp_path):
    path = write(
        tmp_path, positions_3d=positions_3d(), positions_2d=positions_2d(extra=3), metadata=metadata()
    )
    clips = read_positions_3d(path, allow_pickle=True)
    file = read_positions_2d(path, allow_pickle=True)
    pairs = match_captures(file.views, clips)
    assert len(pairs) == 12  # three takes in four views; the damaged take has no capture
    data = positions_2d(extra=3)
    for cut, clip in pairs:
        assert (cut.subject, cut.action) == (clip.subject, clip.action)
        frames = clip.poses.shape[1]
        assert cut.confidence.shape == cut.occluded.shape == (frames, 17)
        np.testing.assert_allclose(cut.keypoints, data[cut.subject][cut.action][cut.view][:frames], rtol=1e-6)


def test_detections_that_end_early_are_refused(tmp_path):
    path = write(
        tmp_path, positions_3d=positions_3d(), positions_2d=positions_2d(extra=-1), metadata=metadata()
    )
    clips = read_positions_3d(path, allow_pickle=True)
    file = read_positions_2d(path, allow_pickle=True)
    with pytest.raises(ValueError, match="S9/Directions view 0 has 4 frames of keypoints, its capture 5"):
        match_captures(file.views, clips)
    with pytest.raises(ValueError, match="no take of views"):
        match_captures(file.views, [clips[0]._replace(action="Phoning")])


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([1, 2], "positions_3d is"),
        ({"S1": [1]}, "positions_3d is not a dictionary of subjects and actions"),
        ({"S1": {"Walk": "text"}}, "S1/Walk is str, not an array"),
        (
            {"S1": {"Walk": np.zeros((3, 17, 3))}},
            r"S1/Walk has shape \(3, 17, 3\), expected \(frames, 32, 3\)",
        ),
        ({"S1": {"Walk": np.zeros((3, 32, 2))}}, r"S1/Walk has shape \(3, 32, 2\)"),
        ({"S1": {"Walk": np.zeros((0, 32, 3))}}, "S1/Walk has no frames"),
        (
            {"S1": {"Walk": np.full((3, 32, 3), np.nan)}},
            "'S1/Walk' are not finite at person 0, frame 0, joint 0",
        ),
        ({"S1": {}}, "no take left"),
    ],
)
def test_wrong_captures_are_refused(tmp_path, positions, message):
    holder = np.empty((), dtype=object)
    holder[()] = positions
    with pytest.raises(ValueError, match=message) as caught:
        read_positions_3d(write(tmp_path, positions_3d=holder), allow_pickle=True)
    assert "data.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": {"layout_name": "h36m"}}, "metadata is not a dictionary with layout_name, num_joints"),
        ({"metadata": metadata(symmetry=[[1, 2], [3]])}, "does not pair joints out of 17"),
        ({"metadata": metadata("x", symmetry=[[1], [17]])}, "does not pair joints out of 17"),
        ({"metadata": metadata(symmetry=7)}, "malformed"),
        ({"metadata": metadata(symmetry=H36M_SYMMETRY[::-1])}, "is not h36m_17: rename"),
        ({"metadata": metadata("coco")}, "is not coco_17: rename"),
        (
            {"metadata": metadata("x", joints=16, symmetry=[[1], [2]])},
            r"view 0 has shape \(7, 17, 2\), expected \(frames, 16, 2 or 3\)",
        ),
        ({"metadata": metadata(video_metadata={"S9": {"w": 10}})}, "video_metadata of S9"),
        (
            {"metadata": metadata(video_metadata={"S9": {"w": 0, "h": 9}})},
            "video_metadata of S9 is 0.0 × 9.0",
        ),
        ({"metadata": metadata(video_metadata=[1])}, "video_metadata is list"),
        ({"positions_2d": {"S9": {"Walk": 3}}}, "S9/Walk is int, not a list of views"),
        ({"positions_2d": {"S9": {"Walk": np.zeros(())}}}, "S9/Walk is ndarray, not a list of views"),
        ({"positions_2d": {"S9": {"Walk": [np.zeros((0, 17, 2))]}}}, "S9/Walk view 0 has no frames"),
        (
            {"positions_2d": {"S9": {"Walk": [np.zeros((4, 25, 2))]}}},
            r"shape \(4, 25, 2\), expected \(frames, 17",
        ),
        ({"positions_2d": {"S9": {"Walk": []}}}, "has no keypoints"),
    ],
)
def test_wrong_detections_are_refused(tmp_path, changes, message):
    objects = {"positions_2d": positions_2d(), "metadata": metadata()} | changes
    with pytest.raises(ValueError, match=message) as caught:
        read_positions_2d(write(tmp_path, **objects), allow_pickle=True)
    assert "data.npz" in str(caught.value)


def test_a_file_without_the_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.npz lacks positions_3d and holds poses"):
        read_positions_3d(write(tmp_path, poses=np.zeros(3)), allow_pickle=True)
