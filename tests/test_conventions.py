"""What the names, sizes and axes of motion files are taken to mean."""

from pathlib import Path

import numpy as np
import pytest

from gated_lift.readers import conventions
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

STAND = generated.stand(3).astype(np.float64)
SIDES = ("left", "right")


@pytest.mark.parametrize(
    "names",
    [
        "Left{UpLeg Leg Foot Arm ForeArm Hand Shoulder}",  # MotionBuilder, CMU, Perception Neuron
        "mixamorig:Left{UpLeg Leg Foot Arm ForeArm Hand Shoulder}",
        "Character1_Left{UpLeg Leg Foot Arm ForeArm Hand Shoulder}",
        "Left{Hip Knee Ankle Shoulder Elbow Wrist Collar}",  # Xsens
        "Left{Thigh Shin Foot Arm ForeArm Hand Shoulder}",  # Rokoko
        "Left{UpperLeg LowerLeg Foot UpperArm LowerArm Hand Shoulder}",  # Unity
        "{thigh shin foot upper_arm forearm hand shoulder}.L",  # Blender
        "{thigh calf foot upperarm lowerarm hand clavicle}_l",  # Unreal
        "{upperleg01 lowerleg01 foot upperarm01 lowerarm01 wrist clavicle}.L",  # MakeHuman
        "Bip01_L_{Thigh Calf Foot UpperArm Forearm Hand Clavicle}",  # 3ds Max
        "l{Thigh Shin Foot Shldr ForeArm Hand Collar}",  # Daz
        "L_{Hip Knee Ankle Shoulder Elbow Wrist Collar}",  # SMPL
        "J_Bip_L_{UpperLeg LowerLeg Foot UpperArm LowerArm Hand Shoulder}",  # VRoid
    ],
)
def test_limbs_are_found_by_the_names_of_common_rigs(names):
    before, _, rest = names.partition("{")
    parts, _, after = rest.partition("}")
    left = [f"{before}{part}{after}" for part in parts.split()]
    swapped = ((f"{before}{part}{after}", part) for part in parts.split())
    other = {"Left": "Right", ".L": ".R", "_l": "_r", "L_": "R_", "l": "r"}
    key = next(key for key in other if before.endswith(key) or after.endswith(key))
    right = [
        f"{before.replace(key, other[key])}{part}{after.replace(key, other[key])}" for _, part in swapped
    ]
    middle = {"Character1_": "Character1_Hips", "Bip01_": "Bip01_Spine", "J_Bip_": "J_Bip_C_Hips"}
    spine = next((name for start, name in middle.items() if before.startswith(start)), "Spine")
    found = conventions.find_limbs(conventions.plain(["Root", *left, spine, *right]))
    joints = [*conventions.LIMBS]
    assert {name: index - 1 for name, index in found.items() if name.startswith("left")} == {
        f"left_{joint}": at for at, joint in enumerate(joints)
    }
    assert {name: index - 9 for name, index in found.items() if name.startswith("right")} == {
        f"right_{joint}": at for at, joint in enumerate(joints)
    }


def test_a_unit_makes_a_person():
    for name, metres in conventions.UNITS.items():
        for height in (1.2, 1.75, 2.1):
            size = height / 1.75 / metres
            assert conventions.find_unit(size * STAND, Path("a.bvh")) == (name, metres)
    with pytest.raises(
        ValueError, match=r"a.bvh: its skeleton is 6\.\d+ units tall, .* 1.0 to 2.3 m in none"
    ):
        conventions.find_unit(3.6 * STAND, Path("a.bvh"))


def test_up_is_where_heads_are():
    ascent = conventions.ascents(STAND)
    assert conventions.vertical(ascent) == "z"
    y_up = STAND[..., [0, 2, 1]] * [1, 1, -1]
    assert conventions.vertical(conventions.ascents(y_up)) == "y"
    np.testing.assert_array_equal(conventions.turned(y_up, "y"), STAND)
    assert conventions.turned(STAND, "z") is STAND
    # Head down, on the side, and half of the time each way.
    for other in (-ascent, ascent[:, [2, 0, 1]], np.concatenate([ascent, -ascent])):
        assert conventions.vertical(other) is None


def test_what_no_clip_may_hold_is_refused():
    poses = STAND[None]
    assert conventions.in_float32(poses, Path("a")).dtype == np.float32
    assert conventions.floor_below(poses) == pytest.approx(0, abs=0.03)
    head, neck = (H36M_17.names.index(name) for name in ("head", "neck"))
    poses = STAND[None].copy()
    poses[:, :, head] = poses[:, :, neck]
    with pytest.raises(ValueError, match="a: head stands where neck does, so that bone has no length"):
        conventions.in_float32(poses, Path("a"))
    with pytest.raises(ValueError, match=r"a: joints are .* m from the origin, more than 10000"):
        conventions.in_float32(STAND[None] + 2e4, Path("a"))
