"""What people do on a frame, from geometry alone, and motion that is turned by code."""

import numpy as np
import pytest

from experiments.judging.kinds import (
    BENT_OVER,
    KINDS,
    LOW,
    LYING,
    ON_BACK,
    ON_FRONT,
    ON_HANDS,
    SPINNING,
    STANDING,
    TURNED,
    TWO_TURNS,
    UPSIDE_DOWN,
    WALKING,
    kinds_of,
    turned,
)
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

STILL = generated.stand(100, fps=50.0)
WALK = generated.walk(100, fps=50.0, speed=1.2)
UPPER = [joint for joint, name in enumerate(H36M_17.names) if joint > 6]


def bent(degrees):
    """Somebody who stands and lets the trunk, with all that hangs on it, go forward."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    poses = STILL.copy()
    hip = poses[:, :1]
    poses[:, UPPER] = (poses[:, UPPER] - hip) @ turn.T + hip
    return poses


@pytest.mark.parametrize(
    ("poses", "floor_z", "kind"),
    [
        (STILL, 0.0, STANDING),
        (WALK, 0.0, WALKING),
        (bent(60), 0.0, STANDING),
        (bent(120), 0.0, BENT_OVER),
        (STILL, 0.45, LOW),  # as if the floor were half-way up the shins
        (turned(STILL, 50.0, ON_BACK), 0.0, LYING),
        (turned(STILL + np.float32([0, 0, 2]), 50.0, ON_FRONT, 2.0), 2.0, LYING),
        (turned(WALK, 50.0, ON_HANDS), 0.0, UPSIDE_DOWN),
        (turned(WALK, 50.0, TWO_TURNS), 0.0, SPINNING),
    ],
)
def test_every_frame_is_of_one_kind(poses, floor_z, kind):
    np.testing.assert_array_equal(kinds_of(poses, 50.0, floor_z), kind)
    # At another frame rate too.
    np.testing.assert_array_equal(kinds_of(poses[::2], 25.0, floor_z), kind)


def test_a_clip_may_be_one_frame():
    assert kinds_of(STILL[:1], 50.0).tolist() == [STANDING]
    assert set(KINDS).isdisjoint(TURNED)


@pytest.mark.parametrize("kind", TURNED)
def test_turned_people_keep_their_bones_and_stand_on_the_floor(kind):
    found = turned(WALK, 50.0, kind, 0.3)
    assert found.dtype == np.float32 and found.shape == WALK.shape
    ends = np.array(H36M_17.bones)

    def bones(poses):
        return np.linalg.norm(poses[:, ends[:, 0]] - poses[:, ends[:, 1]], axis=-1)

    np.testing.assert_allclose(bones(found), bones(WALK), atol=1e-5)
    np.testing.assert_allclose(found[:, 0, :2], WALK[:, 0, :2], atol=1e-5)
    if kind != TWO_TURNS:
        assert found[..., 2].min() == pytest.approx(0.3, abs=1e-5)
    nose_up = {ON_BACK: 1, ON_FRONT: -1}
    if kind in nose_up:
        # Of somebody who walks along +x, forward comes to point up or down.
        shoulders = found[:, H36M_17.names.index("left_shoulder")] - found[:, 11 + 3]
        trunk = found[:, 8] - found[:, 0]
        forward = np.cross(shoulders, trunk)
        assert (np.sign(forward[:, 2]) == nose_up[kind]).all()
