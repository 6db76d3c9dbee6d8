"""Bones to rotations and back, for any skeleton, and what turns bones about themselves."""

import numpy as np
import pytest
from exported import lifted_people, y_up
from scipy.spatial.transform import Rotation

from gated_lift.exports.rig import build_rig, keep_lengths, place_joints, solve_rotations
from gated_lift.skeleton import H36M_17, SKELETONS
from gated_lift.synthetic.generated import Gesture, walk

RIG = build_rig(H36M_17)
JOINT = {name: index for index, name in enumerate(H36M_17.names)}


def bone_lengths(joints, skeleton):
    return np.linalg.norm(joints - joints[:, [max(parent, 0) for parent in skeleton.parents]], axis=-1)


def local(rotations, name):
    return Rotation.from_quat(rotations[:, RIG.names.index(name)])


def walking(frames=100):
    poses = walk(frames, gestures=(Gesture("raise", "left", 0.3, 1.4),)).astype(np.float64)
    return np.stack([poses[..., 0], poses[..., 2], -poses[..., 1]], axis=-1)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_joints_come_back_for_any_skeleton_and_any_pose(skeleton):
    joints = np.random.default_rng(3).normal(size=(20, skeleton.num_joints, 3))
    rig = build_rig(skeleton)
    assert all(parent < node for node, parent in enumerate(rig.parents))
    assert len(set(rig.names)) == rig.num_nodes
    rotations = solve_rotations(rig, joints)
    root = joints[:, rig.joint[0]]
    back = place_joints(rig, rotations, root, bone_lengths(joints, skeleton))
    np.testing.assert_allclose(back, joints, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1, atol=1e-12)
    assert np.all(np.sum(rotations[1:] * rotations[:-1], axis=-1) >= 0)


def test_the_rest_pose_needs_no_rotation():
    lengths = np.full((1, 17), 0.3)
    still = np.tile([0.0, 0.0, 0.0, 1.0], (1, RIG.num_nodes, 1))
    rest = place_joints(RIG, still, np.zeros((1, 3)), lengths)
    rotations = solve_rotations(RIG, rest)
    np.testing.assert_allclose(np.abs(rotations[..., 3]), 1, atol=1e-12)


def test_turning_the_whole_body_turns_the_root_alone():
    joints = walking(20)
    turn = Rotation.from_euler("YXZ", [200, 30, -50], degrees=True)
    before = solve_rotations(RIG, joints)
    after = solve_rotations(RIG, turn.apply(joints.reshape(-1, 3)).reshape(joints.shape))
    between = (turn * local(before, "Hips")).inv() * local(after, "Hips")
    assert np.max(between.magnitude()) < 1e-6
    for name in RIG.names[1:]:
        assert np.max((local(before, name).inv() * local(after, name)).magnitude()) < 1e-6, name


def test_knees_and_elbows_are_hinges_where_they_are_bent():
    """A walk bends knees backward and elbows forward, about one axis each, with no other part."""
    rotations = solve_rotations(RIG, walking())
    for name, axis, sign in (
        ("LeftLeg", 0, 1),
        ("RightLeg", 0, 1),
        ("LeftForeArm", 1, -1),
        ("RightForeArm", 1, 1),
    ):
        vector = local(rotations, name).as_rotvec(degrees=True)
        bent = np.abs(vector[:, axis]) > 21
        assert bent.sum() > 20 and np.all(sign * vector[bent, axis] > 0), name
        assert np.max(np.abs(np.delete(vector[bent], axis, axis=1))) < 1e-6, name


def test_rotations_are_smooth_through_straight_knees():
    rotations = solve_rotations(RIG, walking())
    steps = 2 * np.arccos(np.clip(np.sum(rotations[1:] * rotations[:-1], axis=-1), -1, 1))
    assert np.max(np.degrees(steps)) < 15  # a frame; a raised arm takes half of it


def test_hips_and_chest_have_full_frames():
    joints = walking(10)
    rotations = solve_rotations(RIG, joints)
    pelvis = local(rotations, "Hips")
    line = joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]
    line /= np.linalg.norm(line, axis=-1, keepdims=True)
    np.testing.assert_allclose(pelvis.apply([1, 0, 0]), line, atol=1e-9)
    # The walk goes along the world's +x, so the pelvis faces +x, and so does the chest, but for their swing.
    chest = pelvis * local(rotations, "LowerBack") * local(rotations, "Spine") * local(rotations, "Chest")
    for frame in (pelvis, chest):
        assert np.min(frame.apply([0, 0, 1]) @ np.array([1.0, 0, 0])) > 0.9


def test_bones_without_length_and_bones_straight_back_have_rotations():
    joints = np.repeat(walking(1), 3, axis=0)
    joints[1, JOINT["left_wrist"]] = joints[1, JOINT["left_elbow"]]
    joints[2, JOINT["left_ankle"]] = 2 * joints[2, JOINT["left_hip"]] - joints[2, JOINT["left_knee"]]
    joints[2, JOINT["head"]] = joints[2, JOINT["thorax"]]
    rotations = solve_rotations(RIG, joints)
    assert np.all(np.isfinite(rotations))
    back = place_joints(RIG, rotations, joints[:, 0], bone_lengths(joints, H36M_17))
    np.testing.assert_allclose(back, joints, atol=1e-9)
    nothing = solve_rotations(RIG, np.zeros((2, 17, 3)))
    np.testing.assert_allclose(nothing[..., 3], 1)


def test_people_of_the_tests_come_back():
    joints = y_up(lifted_people(20, gap=False))[0]
    back = place_joints(RIG, solve_rotations(RIG, joints), joints[:, 0], bone_lengths(joints, H36M_17))
    np.testing.assert_allclose(back, joints, atol=1e-12)


def test_bones_get_their_lengths_with_little_motion():
    noise = np.random.default_rng(5).normal(scale=0.01, size=(50, 17, 3))
    rigid = walking(50)
    lengths = bone_lengths(rigid, H36M_17)[0]
    kept = keep_lengths(H36M_17, rigid + noise, lengths)
    np.testing.assert_allclose(bone_lengths(kept, H36M_17), np.tile(lengths, (50, 1)), atol=2e-5)
    moved = np.linalg.norm(kept - rigid - noise, axis=-1)
    assert np.mean(moved) < 0.01  # of 16 mm that the noise moved them
    np.testing.assert_allclose(keep_lengths(H36M_17, rigid, lengths), rigid, atol=1e-6)


def test_joints_of_another_number_and_nan_are_refused():
    with pytest.raises(ValueError, match="17 joints of h36m_17"):
        solve_rotations(RIG, np.zeros((2, 16, 3)))
    with pytest.raises(ValueError, match="not finite"):
        solve_rotations(RIG, np.full((2, 17, 3), np.nan))
