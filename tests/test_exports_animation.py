"""BVH files, read back by bvhio, and the animations that BVH and GLB are made of."""

import numpy as np
import pytest
from exported import lifted_people, y_up

from gated_lift.exports import export
from gated_lift.exports.animation import animate
from gated_lift.exports.rig import build_rig
from gated_lift.readers.motion import read_clips
from gated_lift.skeleton import H36M_17

MILLIMETRE = 1e-3
RIG = build_rig(H36M_17)
JOINT_NAMES = [RIG.names[node] for node in RIG.joint_nodes]


def read_bvh(path):
    """Joints (frames, 17, 3) in metres as bvhio places them, and the seconds between frames."""
    bvhio = pytest.importorskip("bvhio", reason="bvhio is in the extra test")
    container = bvhio.readAsBvh(str(path))
    root = bvhio.convertBvhToHierarchy(container.Root)
    nodes = {joint.Name: joint for joint, _, _ in root.layout()}
    frames = []
    for frame in range(container.FrameCount):
        root.loadPose(frame)
        frames.append([list(nodes[name].PositionWorld) for name in JOINT_NAMES])
    return np.array(frames) / 100, container.FrameTime


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_rigid_motion_comes_back_from_bvh_to_a_millimetre(tmp_path, axes):
    people = lifted_people(30, axes=axes)
    paths = export(people, tmp_path / "clip.bvh")
    assert [path.name for path in paths] == ["clip_anna.bvh", "clip_bob_2.bvh"]
    for person, path in enumerate(paths):
        joints, step = read_bvh(path)
        first, last = np.flatnonzero(people.present[person])[[0, -1]]
        there = people.present[person, first : last + 1]
        assert len(joints) == last + 1 - first and step == pytest.approx(1 / 50)
        wanted = y_up(people)[person, first : last + 1]
        assert np.max(np.linalg.norm(joints[there] - wanted[there], axis=-1)) < MILLIMETRE / 10


def test_own_files_can_be_trained_on(tmp_path):
    people = lifted_people(30, gap=False)
    paths = export(people, tmp_path / "clip.bvh")
    clips = read_clips(paths)
    assert [clip.subject for clip in clips] == ["clip_anna", "clip_bob_2"]
    for joints, path, clip in zip(people.joints, paths, clips, strict=True):
        np.testing.assert_allclose(clip.poses[0], joints, atol=MILLIMETRE)
        assert (clip.fps, clip.split, clip.source) == (50, "train", str(path)) and abs(clip.floor_z) < 0.02


def test_gaps_hold_the_nearest_frame(tmp_path):
    people = lifted_people(30)
    joints, _ = read_bvh(export(people, tmp_path / "clip.bvh")[0])
    np.testing.assert_allclose(joints[20:23], joints[[19, 19, 19]], atol=1e-6)
    np.testing.assert_allclose(joints[23:25], joints[[25, 25]], atol=1e-6)


def test_bones_that_breathe_get_their_median_length_and_the_error_is_what_that_costs(tmp_path):
    """With 10 mm of noise a joint and axis (16 mm a joint), keeping lengths moves joints by half as much."""
    people = lifted_people(30, noise=0.01, gap=False)
    joints, _ = read_bvh(export(people, tmp_path / "clip.bvh")[0])
    error = np.linalg.norm(joints - y_up(people)[0], axis=-1)
    assert 0.005 < np.mean(error) < 0.01 and np.max(error) < 0.04
    lengths = np.linalg.norm(joints - joints[:, [max(p, 0) for p in H36M_17.parents]], axis=-1)
    assert np.max(np.ptp(lengths, axis=0)) < MILLIMETRE / 10


def test_the_rest_pose_is_a_t_pose_that_faces_forward(tmp_path):
    people = lifted_people(4, gap=False)
    lines = export(people, tmp_path / "clip.bvh")[0].read_text().split("\n")
    assert lines[:2] == ["HIERARCHY", "ROOT Hips"] and "MOTION" in lines and "Frames: 4" in lines
    offset = {}
    for index, line in enumerate(lines):
        if line.strip().startswith(("JOINT", "ROOT")):
            offset[line.split()[1]] = np.array(lines[index + 2].split()[1:], float)
    left_arm = offset["LeftArm"] + offset["LeftForeArm"] + offset["LeftHand"]
    assert left_arm[0] > 50 and np.all(left_arm[1:] == 0)  # centimetres
    np.testing.assert_array_equal(offset["RightForeArm"], offset["LeftForeArm"] * [-1, 1, 1])
    assert offset["LeftLeg"][1] < -30 and offset["Spine"][1] > 10 and not np.any(offset["LeftHip"])
    assert all(len(line.split()) == 3 + 3 * RIG.num_nodes for line in lines[lines.index("MOTION") + 3 : -1])


def test_an_uneven_rate_is_interpolated_for_bvh(tmp_path):
    people = lifted_people(31, gap=False)
    kept = np.array([0, 1, 2, *range(4, 31)])
    per_frame = ("joints", "root", "covariance", "present", "residual", "keypoints", "confidence", "hidden")
    uneven = people._replace(
        **{name: getattr(people, name)[:, kept] for name in per_frame}, times=people.times[kept]
    )
    joints, _ = read_bvh(export(uneven, tmp_path / "clip.bvh")[0])
    error = np.linalg.norm(joints - y_up(people)[0], axis=-1)
    assert len(joints) == 31 and np.max(np.delete(error, 3, axis=0)) < MILLIMETRE
    assert np.max(error[3]) < 10 * MILLIMETRE


def test_an_animation_is_about_the_persons_own_frames():
    people = lifted_people(30)
    animation = animate(people, 1, rigid=True)
    assert animation.start == 5 and len(animation.joints) == 22 and np.all(animation.there)
    assert np.sum(~animate(people, 0, rigid=True).there) == 5
