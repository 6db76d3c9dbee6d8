"""BVH files of several rigs, and damaged ones. Those of this project's own come back in
`test_exports_animation`.
"""

import logging

import numpy as np
import pytest

from experiments.fuzzing import samples
from gated_lift.clips import resample
from gated_lift.readers.bvh import read_bvh
from gated_lift.readers.conventions import turned
from gated_lift.skeleton import H36M_17

CMU_UNIT = 0.0254 / 0.45

# As the conversions of CMU's database have it.
_CMU_TRUNK = (
    *(
        ("LowerBack", "Hips", (0, 0, 0)),
        ("Spine", "LowerBack", (0, 2.2, 0)),
        ("Spine1", "Spine", (0, 2.2, 0)),
    ),
    *(
        ("Neck", "Spine1", (0, 0, 0)),
        ("Neck1", "Neck", (-0.1, 1.4, 0.3)),
        ("Head", "Neck1", (0.2, 1.5, -0.3)),
    ),
    ("End", "Head", (0.1, 1.5, -0.1)),
)


def _cmu_arm(side, sign):
    return (
        (f"{side}Shoulder", "Spine1", (0, 0, 0)),
        (f"{side}Arm", f"{side}Shoulder", (3.3 * sign, 0.9, 0.1)),
        (f"{side}ForeArm", f"{side}Arm", (5 * sign, 0, 0)),
        (f"{side}Hand", f"{side}ForeArm", (3.4 * sign, 0, 0)),
        (f"{side}FingerBase", f"{side}Hand", (0, 0, 0)),
        ("End", f"{side}FingerBase", (0.7 * sign, 0, 0)),
    )


def _cmu_leg(side, sign):
    return (
        (f"{side[0]}HipJoint", "Hips", (0, 0, 0)),
        (f"{side}UpLeg", f"{side[0]}HipJoint", (1.8 * sign, -1.7, 0.8)),
        (f"{side}Leg", f"{side}UpLeg", (2.4 * sign, -6.6, 0)),
        (f"{side}Foot", f"{side}Leg", (2.5 * sign, -6.9, 0)),
        (f"{side}ToeBase", f"{side}Foot", (0.2 * sign, -0.5, 2)),
        ("End", f"{side}ToeBase", (0, 0, 1)),
    )


CMU = (
    ("Hips", None, (0, 0, 0)),
    *_cmu_leg("Left", 1),
    *_cmu_leg("Right", -1),
    *_CMU_TRUNK,
    *_cmu_arm("Left", 1),
    *_cmu_arm("Right", -1),
)


def joint(clip, name):
    return clip.poses[0, :, H36M_17.names.index(name)]


def placed_by_bvhio(path, wanted):
    """Places of joints (frames, joints, 3) by their names, in the file's unit and axes."""
    bvhio = pytest.importorskip("bvhio", reason="bvhio is in the extra test")
    container = bvhio.readAsBvh(str(path))
    root = bvhio.convertBvhToHierarchy(container.Root)
    frames = []
    for frame in range(container.FrameCount):
        root.loadPose(frame)
        places = {node.Name: node.PositionWorld for node, *_ in root.layout()}
        frames.append([[place.x, place.y, place.z] for place in (places[name] for name in wanted)])
    return np.array(frames)


def test_cmus_files_lose_their_rest_pose_and_are_in_cmus_unit(tmp_path, caplog):
    motion = samples.swinging(4, CMU, at=(1.0, 17.0, -2.0))
    motion[0, 3:] = 0
    path = samples.bvh(tmp_path / "02_01.bvh", motion, CMU, seconds=0.0083333, order="ZYX")
    with caplog.at_level(logging.INFO, "gated_lift"):
        (clip,) = read_bvh(path)
    assert caplog.messages == [
        "02_01.bvh: 3 frames at 120 frames/s, unit: inches / 0.45, up: y",
    ]
    assert clip.fps == pytest.approx(120, abs=0.001) and clip.name == clip.subject == clip.action == "02_01"
    names = {
        **{"spine": "Spine", "thorax": "Neck", "neck": "Head", "left_hip": "LeftUpLeg"},
        **{"right_ankle": "RightFoot", "left_shoulder": "LeftArm", "right_wrist": "RightHand"},
    }
    expected = CMU_UNIT * turned(placed_by_bvhio(path, names.values()), "y")[1:]
    found = np.stack([joint(clip, name) for name in names], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        joint(clip, "hip"), (joint(clip, "left_hip") + joint(clip, "right_hip")) / 2, atol=1e-6
    )
    head = np.linalg.norm(joint(clip, "head") - joint(clip, "neck"), axis=-1)
    np.testing.assert_allclose(head, CMU_UNIT * np.linalg.norm((0.1, 1.5, -0.1)), atol=1e-5)


def test_a_mixamo_figure_with_z_up_comes_out_standing(tmp_path, caplog):
    """The rest pose has y up, the motion z: the root stands everything up, as programs with z up write it."""
    rig = tuple(
        (name if name == "End" else f"mixamorig:{name}", parent and f"mixamorig:{parent}", offset)
        for name, parent, offset in samples.RIG
    )
    motion = np.zeros((3, 3 + 3 * sum(name != "End" for name, *_ in rig)))
    motion[:, :3] = [(0, 0, 100), (10, 0, 100), (20, 0, 100)]
    motion[:, 4] = 90  # about x, of the order ZXY
    motion[:, -1] = (0, 10, 20)
    with caplog.at_level(logging.INFO, "gated_lift"):
        (clip,) = read_bvh(samples.bvh(tmp_path / "m.bvh", motion, rig))
    # Nothing turns on the first frame but the root.
    assert "2 frames at 50 frames/s, unit: centimetres, up: z" in caplog.text
    assert "its rest pose stands along another axis" in caplog.text
    expected = {
        **{"hip": (0.1, 0, 0.95), "left_hip": (0.19, 0, 0.95), "left_knee": (0.19, 0, 0.52)},
        **{"right_ankle": (0.01, 0, 0.09), "spine": (0.1, 0, 1.22), "thorax": (0.1, 0, 1.5)},
        **{"neck": (0.1, -0.02, 1.6), "head": (0.1, -0.02, 1.79), "right_wrist": (-0.63, 0, 1.47)},
    }
    for name, place in expected.items():
        np.testing.assert_allclose(joint(clip, name)[0], place, atol=1e-6, err_msg=name)
    assert clip.floor_z == pytest.approx(0.09 - 0.065, abs=1e-6)
    # Who knows better says so.
    (lying,) = read_bvh(tmp_path / "m.bvh", up="y", unit=0.02)
    np.testing.assert_allclose(lying.poses[0, :, :, 1], -2 * clip.poses[0, :, :, 2], atol=1e-5)


def test_positions_of_joints_take_the_place_of_offsets_and_rigs_without_a_spine_have_its_middle(tmp_path):
    path = samples.bvh(tmp_path / "a.bvh", samples.swinging(2))
    (whole,) = read_bvh(path)
    head, _, tail = path.read_text().partition("JOINT LeftLeg\n{\nOFFSET 0 -43 0\nCHANNELS 3 ")
    assert tail
    position = 3 + 3 * [name for name, *_ in samples.RIG if name != "End"].index("LeftLeg")
    motion = samples.swinging(2)
    moved = np.insert(motion, [position], [0, -43, 0], axis=1)
    text = f"{head}JOINT LeftLeg\n{{\nOFFSET 9 9 9\nCHANNELS 6 Xposition Yposition Zposition {tail}"
    body = text[: text.index("MOTION")] + "MOTION\nframes:\t2 \nFrame Time:0.02\n\n"
    path.write_text(body + "\n".join(" ".join(map(str, row)) for row in moved) + "\n\n", newline="\r\n")
    (clip,) = read_bvh(path)
    np.testing.assert_allclose(clip.poses, whole.poses, atol=1e-6)
    # The trunk is one long neck.
    for old, new in {10: 0, 12: 0, 13: 0, 15: 50}.items():
        body = body.replace(f"OFFSET 0 {old} 0", f"OFFSET 0 {new} 0")
    path.write_text(body + "\n".join(" ".join(map(str, row)) for row in moved))
    (clip,) = read_bvh(path)
    middle = (joint(clip, "hip") + joint(clip, "thorax")) / 2
    np.testing.assert_allclose(joint(clip, "spine"), middle, atol=1e-6)


def test_one_frame_is_enough_and_other_rates_are_resampled(tmp_path):
    assert read_bvh(samples.bvh(tmp_path / "a+b.bvh", samples.swinging(1)))[0].subject == "a_b"
    (clip,) = read_bvh(samples.bvh(tmp_path / "a.bvh", samples.swinging(13), seconds=1 / 120))
    assert resample(clip, 50.0).poses.shape[1] == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Frame Time: 0.02", "Frame Time: 0", "Frame Time is '0', not seconds of 1 to 1000 frames a second"),
        ("Frame Time: 0.02", "Frame Time: 20ms", "Frame Time is '20ms'"),
        ("Frame Time: 0.02\n", "", "behind MOTION there are no lines Frames and Frame Time"),
        ("Frames: 3", "Frames: 5", r"Frames is 5 and 3 lines of numbers follow.*cut off"),
        ("Frames: 3", "Frames: three", "Frames is 'three', not a number above 0"),
        ("CHANNELS 3 Z", "CHANNELS 2 Z", "'Yrotation' is no part of a skeleton"),
        ("Zrotation Xrotation Yrotation\nJOINT Spine\n", "Zscale Xrotation Yrotation\nJOINT Spine\n",
         "CHANNELS of Hips are not that many positions and rotations"),
        ("JOINT LeftHand\n", "ROOT LeftHand\n", "it has not one ROOT.*one person a file"),
        ("OFFSET 0 -43 0", "OFFSET 0 nan 0", "OFFSET of LeftLeg is not 3 numbers"),
        ("0.0 100.0 0.0", "0.0 nan 0.0", r"line \d+, frame 0, has a number that is not finite"),
        ("0.0 100.0 0.0", "0.0 oh 0.0", r"line \d+, frame 0, has a word that is no number"),
        ("0.0 100.0 0.0", "0.0 0.0", r"line \d+, frame 0, has 62 numbers for 63 channels"),
        ("MOTION\n", "", "it has no line MOTION"),
        ("}\nMOTION", "MOTION", "its skeleton ends before its last bracket"),
        ("JOINT Head\n", "JOINT Skull\n",
         "no joint is known to be neck, head, among Hips, Spine, Spine1, .*: rename them as MotionBuilder"),
        ("JOINT LeftHand\n", "JOINT RightFoot\n", "no joint is known to be left_wrist, among"),
        ("OFFSET 0 19 0", "OFFSET 0 0 0", "head stands where neck does, so that bone has no length"),
        ("0.0 100.0 0.0", "0.0 1e9 0.0", "joints are .* m from the origin"),
        ("0.0 100.0 0.0", "0.0 1e308 1e308", "its joints are not finite|m from the origin"),
    ],
)  # fmt: skip
def test_damage_is_an_error_of_one_line_that_names_the_file(tmp_path, old, new, message):
    path = samples.bvh(tmp_path / "bad.bvh", samples.swinging(3))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        read_bvh(path)
    assert "bad.bvh" in str(caught.value) and "\n" not in str(caught.value)


def test_limbs_that_do_not_hang_together_and_people_of_no_size_are_refused(tmp_path):
    names = {"LeftLeg": "LeftFoot", "LeftFoot": "LeftLeg"}
    rig = tuple((names.get(name, name), names.get(parent, parent), at) for name, parent, at in samples.RIG)
    with pytest.raises(
        ValueError, match="LeftUpLeg, LeftLeg, LeftFoot do not hang from each other, as left hip"
    ):
        read_bvh(samples.bvh(tmp_path / "a.bvh", samples.swinging(2), rig))
    large = tuple((name, parent, tuple(3 * each for each in at)) for name, parent, at in samples.RIG)
    with pytest.raises(ValueError, match=r"units tall, which is a person of 1\.0 to 2.3 m in none of metres"):
        read_bvh(samples.bvh(tmp_path / "a.bvh", samples.swinging(2), large))
    (clip,) = read_bvh(tmp_path / "a.bvh", unit=0.01 / 3)
    assert joint(clip, "head")[0, 2] > 1
    (tmp_path / "b.bvh").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"b.bvh is not a BVH file \(its text is not UTF-8"):
        read_bvh(tmp_path / "b.bvh")
