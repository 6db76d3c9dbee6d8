"""Human3.6M's layout with generated motion: cameras, recorded takes, a training step and the evaluation."""

import json

import human36m_files as files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from human36m_files import read
from scipy.spatial.transform import Rotation

from gated_lift.readers.human36m import (
    RESOLUTIONS,
    action_of,
    read_cameras,
    read_takes,
    record,
    resect_cameras,
    write_cameras,
)
from gated_lift.readers.videopose3d import (
    KEPT_JOINTS,
    read_positions_2d,
    read_positions_3d,
)
from gated_lift.skeleton import COCO_17, H36M_17, convert
from solvers import TrajectoryConfig, project

# With the weights of the paper, short paths are drawn together by some centimetres. One for all tests: each
# is compiled anew.
LIGHT = TrajectoryConfig(velocity_weight=1e-4, acceleration_weight=1e-4)


@pytest.fixture(scope="module", autouse=True)
def surroundings():
    """Optax's schedules mix dtypes themselves, which strict promotion would refuse."""
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("human36m"))


@pytest.fixture(scope="module")
def takes(folder):
    """The detector's takes of two subjects, cameras from the ground truth."""
    return read(folder, "data_2d_h36m_cpn.npz", "data_2d_h36m_gt.npz", ("S1", "S11"))


def take_of(takes, name, view):
    return next(take for take in takes if take.name == name and take.view == view)


# ---------------------------------------------------------------------------------------------- cameras


def test_cameras_are_found_from_the_files(takes):
    for subject in ("S1", "S11"):
        for view, known in enumerate(files.cameras()[subject]):
            camera, extrinsics, resolution = take_of(takes, f"{subject}/Walking", view).seen_by
            assert resolution == RESOLUTIONS[view]
            np.testing.assert_allclose(camera.focal, known["focal"], rtol=2e-3)
            np.testing.assert_allclose(camera.center, known["center"], atol=3)
            np.testing.assert_allclose(extrinsics.position[0], known["position"], atol=0.01)
            turn = Rotation.from_matrix(extrinsics.rotation[0] @ known["rotation"].T).magnitude()
            assert turn < np.linalg.norm(known["tangential"]) + 1e-3


def test_found_cameras_see_the_ground_truth(folder):
    for take in read(folder, "data_2d_h36m_gt.npz", None, ("S11",)):
        seen = project(jnp.asarray(take.joints), take.seen_by.camera)
        inside = ((take.keypoints >= 0) & (take.keypoints <= take.seen_by.resolution)).all(axis=-1)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(seen[inside], take.keypoints[inside], atol=0.03)


def test_hidden_keypoints_find_no_camera_but_spoil_none(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    truth = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    hidden = np.random.default_rng(0).uniform(size=truth.views[0].occluded.shape) < 0.3
    gaps = truth._replace(
        views=tuple(
            view._replace(
                keypoints=np.where(hidden[..., None], np.float32(np.nan), view.keypoints), occluded=hidden
            )
            for view in truth.views
        )
    )
    for found, whole in zip(
        resect_cameras(gaps, clips)["S9"], resect_cameras(truth, clips)["S9"], strict=True
    ):
        np.testing.assert_allclose(found.camera.focal, whole.camera.focal, rtol=1e-3)
        np.testing.assert_allclose(found.extrinsics.position, whole.extrinsics.position, atol=5e-3)


def test_detections_find_no_cameras(folder):
    with pytest.raises(ValueError, match=r"data_2d_h36m_cpn\.npz: truth of S9 view 0 is \d\.\d+ px off"):
        read(folder, "data_2d_h36m_cpn.npz", None, ("S9",))


def test_cameras_are_found_from_humans_own_joints_alone(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    truth = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    with pytest.raises(ValueError, match="truth has the layout coco"):
        resect_cameras(truth._replace(layout="coco", skeleton=COCO_17), clips)
    with pytest.raises(ValueError, match="resolutions are given for 3"):
        resect_cameras(truth, clips, RESOLUTIONS[:3])
    gap = truth._replace(views=tuple(view for view in truth.views if view.view != 1))
    with pytest.raises(ValueError, match=r"the views \[0, 2, 3\] of S9"):
        resect_cameras(gap, clips)
    unseen = truth.views[0]._replace(occluded=np.ones_like(truth.views[0].occluded))
    with pytest.raises(ValueError, match="truth of S9 view 0 has no keypoint"):
        resect_cameras(truth._replace(views=(unseen,)), clips)


def test_a_camera_file_is_read(tmp_path):
    held = files.camera_file()
    for views in held.values():
        # A quaternion is as good as a matrix, and a lens may be left out.
        matrix = np.array(views[1]["rotation"])
        views[1]["rotation"] = Rotation.from_matrix(matrix).as_quat(scalar_first=True).tolist()
        del views[2]["radial"], views[2]["tangential"]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(held))
    found = read_cameras(path)
    assert tuple(found) == files.SUBJECTS
    for subject, views in files.cameras().items():
        for view, known in enumerate(views):
            camera, extrinsics, resolution = found[subject][view]
            assert resolution == RESOLUTIONS[view]
            for name in ("focal", "center", "radial", "tangential"):
                expected = 0 if view == 2 and name in ("radial", "tangential") else known[name]
                np.testing.assert_allclose(getattr(camera, name), expected + np.zeros(len(known[name])))
            np.testing.assert_allclose(extrinsics.rotation, known["rotation"][None], atol=1e-12)
            np.testing.assert_allclose(extrinsics.position, known["position"][None])
    again = read_cameras(write_cameras(tmp_path / "again.json", found))
    jax.tree.map(np.testing.assert_array_equal, again, found)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("focal", None, "focal is missing"),
        ("skew", 0.1, "skew is unknown"),
        ("focal", [1145.0], r"focal is \[1145.0\], expected finite numbers of shape \(2,\)"),
        ("radial", [1.0, 2.0, float("nan")], "radial is"),
        ("center", "middle", "center is middle"),
        ("focal", [1145.0, -1.0], "pixels, above zero"),
        ("resolution", [0, 1000], "resolution 0 × 1000"),
        ("rotation", [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "is none: give orthonormal rows"),
        ("rotation", [0.0, 0.0, 0.0, 0.0], "a quaternion of length one"),
        ("rotation", [1.0, 0.0], r"rotation is \[1.0, 0.0\], expected .* \(3, 3\) or \(4,\)"),
    ],
)
def test_a_wrong_camera_file_is_refused(tmp_path, key, value, message):
    held = files.camera_file()
    held["S5"][2] |= {key: value}
    if value is None:
        del held["S5"][2][key]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=rf"cameras\.json: camera 2 of S5.*{message}"):
        read_cameras(path)


def test_a_file_that_is_no_camera_file_is_refused(tmp_path):
    path = tmp_path / "cameras.json"
    texts = {"{": "is not a camera file", "[1]": "it holds list", '{"S1": [3]}': "S1 is int"}
    for text, message in texts.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_cameras(path)


# ------------------------------------------------------------------------------------------------ takes


def test_takes_are_joined_from_the_three_files(folder, tmp_path):
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(files.camera_file()))
    found = read(folder, "data_2d_h36m_cpn.npz", cameras, ("S9", "S11"))
    names = ["S9/Directions", "S9/Directions 1", "S9/Walking", "S11/Directions 1", "S11/Walking"]
    assert [take.name for take in found] == [name for name in names for _ in range(4)]
    assert [take.view for take in found] == [0, 1, 2, 3] * 5
    take = take_of(found, "S11/Directions 1", 2)
    assert (take.subject, take.action) == ("S11", "Directions")
    known = files.cameras()["S11"][2]
    world = files.motion()["S11"]["Directions 1"][:, KEPT_JOINTS].astype(np.float64)
    expected = (world - known["position"]) @ known["rotation"].T
    np.testing.assert_allclose(take.joints, expected, atol=1e-5)
    assert take.keypoints.shape == (40, 17, 2) and not take.occluded.any()
    off = take.keypoints - files.project(world, known)
    assert 2.5 < off.std() < 3.5


def test_keypoints_far_outside_the_image_are_hidden(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    file = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    cameras = resect_cameras(file, clips)
    keypoints = file.views[0].keypoints.copy()
    keypoints[3, 5] = (500, 1101)
    keypoints[4, 6] = (-101, 500)
    keypoints[5, 7] = (1103, 500)
    moved = file._replace(views=(file.views[0]._replace(keypoints=keypoints),))
    (take,) = record(moved, clips, cameras)
    hidden = np.zeros(take.occluded.shape, bool)
    hidden[4, 6] = hidden[5, 7] = True  # the image is 1000 × 1002
    np.testing.assert_array_equal(take.occluded, hidden)
    np.testing.assert_array_equal(np.isnan(take.keypoints), np.repeat(hidden[..., None], 2, axis=-1))


@pytest.mark.parametrize(
    ("take", "action"),
    [("Directions", "Directions"), ("Directions 1", "Directions"), ("WalkTogether 12", "WalkTogether")],
)
def test_takes_are_named_by_their_action(take, action):
    assert action_of(take) == action


def test_pickles_are_refused_unless_asked_for(folder):
    with pytest.raises(ValueError, match="can run any code"):
        read_takes(folder / "data_3d_h36m.npz", folder / "data_2d_h36m_gt.npz", subjects=("S9",))


def test_keypoints_in_cocos_order_are_converted(folder, tmp_path):
    raw = np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True)["positions_2d"].item()
    rng = np.random.default_rng(0)
    coco = {"S9": {"Walking": [rng.uniform(0, 1000, image.shape) for image in raw["S9"]["Walking"]]}}
    coco["S9"]["Walking"][1][5, 11] = np.nan  # a left hip: the hip's centre is hidden too
    pairs = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": pairs}
    np.savez_compressed(tmp_path / "coco.npz", positions_2d=coco, metadata=metadata)
    found = read(folder, tmp_path / "coco.npz", "data_2d_h36m_gt.npz", ("S9",))
    assert [take.view for take in found] == [0, 1, 2, 3]
    source = coco["S9"]["Walking"][1][:40].astype(np.float32)
    expected, hidden = convert(jnp.asarray(source), jnp.asarray(np.isnan(source).any(-1)), COCO_17, H36M_17)
    np.testing.assert_array_equal(found[1].occluded, hidden)
    assert hidden[5, 0] and hidden[5, 4] and hidden.sum() == 3  # the spine hangs from the hip's centre
    np.testing.assert_array_equal(found[1].keypoints, expected)


def test_views_without_a_camera_or_known_joints_are_refused(folder, tmp_path):
    held = files.camera_file()
    held["S9"].pop()
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(held))
    with pytest.raises(ValueError, match="cameras have 3 views of S9, S9/Directions has one numbered 3"):
        read(folder, "data_2d_h36m_cpn.npz", cameras, ("S9",))
    raw = dict(np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True))
    metadata = raw["metadata"].item() | {"layout_name": "strange"}
    np.savez_compressed(tmp_path / "strange.npz", positions_2d=raw["positions_2d"], metadata=metadata)
    with pytest.raises(ValueError, match="file has the layout strange"):
        read(folder, tmp_path / "strange.npz", "data_2d_h36m_gt.npz", ("S9",))
