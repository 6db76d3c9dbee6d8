"""Where feet stand, and which way is up."""

import numpy as np
import pytest

from gated_lift.cameras import up_of
from gated_lift.skeleton import COCO_17, H36M_17
from gated_lift.synthetic import generated
from gated_lift.video.floor import LONGEST_STANCE, find_stances, knows_feet, level_axes, vertical

FPS = 50.0
CAMERA = np.array([[0.0, -5.0, 1.4]])


def test_the_feet_of_somebody_who_walks_stand_on_the_floor_in_turn():
    walk = np.asarray(generated.walk(150, fps=FPS))[None]
    hidden = np.zeros(walk.shape[:-1], bool)
    found = find_stances(walk, hidden, CAMERA, H36M_17, FPS)
    ankles = walk[0, :, [3, 6], 2]
    place = found.ankle + CAMERA
    assert 4 <= len(found.person) <= 12
    np.testing.assert_allclose(found.height, 1.4)
    assert np.all(place[:, 2] < ankles.min() + 0.08)
    # Steps lie one after the other along the way.
    assert np.ptp(place[:, 0]) > 0.6 * np.ptp(walk[0, :, 0, 0])
    hidden[:, :, 3] = True
    half = find_stances(walk, hidden, CAMERA, H36M_17, FPS)
    assert 0 < len(half.person) < len(found.person)
    assert not len(find_stances(walk, hidden, CAMERA, H36M_17, FPS, least=20).person)


def test_a_long_stance_is_several_and_nobody_stands_nowhere():
    stand = np.asarray(generated.stand(150), np.float64)
    both = np.stack([stand, np.full_like(stand, np.nan)])
    hidden = np.zeros(both.shape[:-1], bool)
    found = find_stances(both, hidden, CAMERA, H36M_17, FPS)
    assert len(found.person) == 2 * round(150 / FPS / LONGEST_STANCE) and not found.person.any()
    one = find_stances(both[:, :1], hidden[:, :1], CAMERA, H36M_17, FPS)
    assert not len(one.person)
    assert knows_feet(H36M_17) and not knows_feet(COCO_17)


@pytest.mark.parametrize(("tilt", "roll"), [(0.0, 0.0), (0.5, 0.1), (-0.2, -0.4), (0.0, np.pi / 2)])
def test_level_axes_have_z_up(tilt, roll):
    up = np.array(up_of(tilt, roll))
    turn = level_axes(up)
    np.testing.assert_allclose(turn @ up, [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    if roll == 0:
        np.testing.assert_allclose(turn @ [1, 0, 0], [1, 0, 0], atol=1e-9)


def test_people_who_stand_tell_the_vertical():
    stand = np.asarray(generated.stand(20), np.float64)
    walk = np.asarray(generated.walk(20, fps=FPS), np.float64)
    lying = stand[..., [2, 1, 0]]
    up = vertical(np.stack([stand, walk, lying]), H36M_17)
    assert np.degrees(np.arccos(up[2])) < 5
    assert vertical(np.full((1, 3, 17, 3), np.nan), H36M_17) is None
