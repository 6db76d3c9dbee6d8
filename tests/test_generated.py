"""Generated motion: rigid bones, planted feet, the numbers of human gait, and the crossing that the demo
shows.
"""

import math

import numpy as np
import pytest

from gated_lift.clips import bone_lengths, validate
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.generated import (
    SPEEDS,
    Gesture,
    Proportions,
    circling_pair,
    crossing_pair,
    stand,
    walk,
)

RIGHT_ANKLE, LEFT_ANKLE, RIGHT_WRIST, LEFT_WRIST = 3, 6, 16, 13
FIGURE = Proportions()
# In the order of H36M_17.bones: right leg, left leg, trunk, left arm, right arm.
LENGTHS = [FIGURE.hip, FIGURE.thigh, FIGURE.shin] * 2 + [*FIGURE[3:7], *FIGURE[7:], *FIGURE[7:]]
EVERYTHING = tuple(
    Gesture(kind, side, start, 1.5)
    for start, (kind, side) in enumerate(
        [("wave", "left"), ("reach", "right"), ("raise", "left"), ("turn", "right"), ("wave", "right")]
    )
)


def flexion(poses, upper, middle, lower):
    """Degrees by which a hinge is bent."""
    first, second = poses[:, middle] - poses[:, upper], poses[:, lower] - poses[:, middle]
    cosine = (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize(
    "poses",
    [
        walk(200),
        walk(300, gestures=EVERYTHING),
        walk(200, speed=SPEEDS[0], heading=2.0, turn_rate=0.8),
        walk(200, speed=SPEEDS[1], turn_rate=-0.8),
        stand(300, gestures=EVERYTHING),
    ],
    ids=["walk", "gestures", "slow turn", "fast turn", "stand"],
)
def test_bodies_are_rigid_finite_smooth_and_above_the_floor(poses):
    assert poses.dtype == np.float32 and np.isfinite(poses).all()
    np.testing.assert_allclose(
        bone_lengths(poses, H36M_17), np.broadcast_to(LENGTHS, (len(poses), 16)), atol=1e-5
    )
    assert poses[..., 2].min() >= 0.0699  # the ankle's height over its sole
    assert poses[:, 10, 2].min() > 1.4
    velocity = np.linalg.norm(np.diff(poses, axis=0), axis=-1) * 50
    assert velocity.max() < 8.0  # m/s: the wrist of a brisk gesture, a swinging ankle has 5


@pytest.mark.parametrize("turn_rate", [0.0, 0.7, -0.7])
@pytest.mark.parametrize("speed", [*SPEEDS, 1.3])
@pytest.mark.parametrize(("ankle", "lag"), [(RIGHT_ANKLE, 0.0), (LEFT_ANKLE, 0.5)])
def test_planted_feet_do_not_slide(speed, turn_rate, ankle, lag):
    poses = walk(400, speed=speed, turn_rate=turn_rate, phase=0.3)
    stride = 1.4 * math.sqrt(speed / 1.3)
    cycles = 0.3 + lag + np.arange(400) / 50 * speed / stride
    step, phase = np.floor(cycles), cycles % 1
    checked = 0
    for k in np.unique(step):
        planted = poses[(step == k) & (phase >= 0.15) & (phase <= 0.42), ankle]
        if len(planted) > 1:
            assert np.ptp(planted, axis=0).max() < 1e-4
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("turn_rate", [0.0, 1.0])
def test_nothing_jumps_between_steps(turn_rate):
    """A jump of any size would be a huge speed at a thousand frames a second."""
    poses = walk(3000, fps=1000.0, speed=1.3, turn_rate=turn_rate).astype(float)
    assert np.linalg.norm(np.diff(poses, axis=0), axis=-1).max() * 1000 < 6.0


def test_the_path_is_the_one_asked_for():
    straight = walk(501, start=(1.0, -2.0), heading=0.5, speed=1.2)[:, 0]
    expected = np.array([1.0, -2.0]) + 12.0 * np.array([math.cos(0.5), math.sin(0.5)])
    np.testing.assert_allclose(straight[0, :2], [1.0, -2.0], atol=0.05)  # the hips sway by 3.5 cm
    np.testing.assert_allclose(straight[-1, :2], expected, atol=0.05)
    circle = walk(501, speed=1.0, turn_rate=2 * math.pi / 10)[:, 0]
    np.testing.assert_allclose(circle[-1, :2], circle[0, :2], atol=0.1)
    np.testing.assert_allclose(circle[250, :2], [0.0, 2 * 10 / (2 * math.pi)], atol=0.1)  # to the left


def test_the_gait_has_human_numbers():
    poses = walk(400, speed=1.3).astype(float)
    reach = poses[:, RIGHT_ANKLE, 0] - poses[:, 0, 0]
    strikes = [f for f in range(20, 380) if reach[f] == reach[f - 20 : f + 21].max()]
    assert 1.0 < np.diff(strikes).mean() / 50 < 1.15  # seconds a cycle
    np.testing.assert_allclose(np.diff(poses[strikes, 0, 0]).mean(), 1.4, atol=0.02)  # metres a cycle
    for hip in (1, 4):
        knee = flexion(poses, hip, hip + 1, hip + 2)
        assert 60 < knee.max() < 75 and 5 < knee.min() < 20
    assert 0.03 < np.ptp(poses[:, 0, 2]) < 0.045
    assert 0.86 < poses[:, 0, 2].mean() < 0.92
    for shoulder in (11, 14):
        elbow = flexion(poses, shoulder, shoulder + 1, shoulder + 2)
        assert elbow.min() > 15 and elbow.max() < 40
    for wrist, ankle in ((RIGHT_WRIST, RIGHT_ANKLE), (LEFT_WRIST, LEFT_ANKLE)):
        arm, leg = (poses[:, joint, 0] - poses[:, 0, 0] for joint in (wrist, ankle))
        assert np.corrcoef(arm, leg)[0, 1] < -0.8  # arms swing against the legs
    assert (
        poses[:, LEFT_ANKLE, 1] > poses[:, RIGHT_ANKLE, 1]
    ).all()  # left is left: y grows to the left of +x
    assert (poses[:, 11, 1] > poses[:, 14, 1]).all()


def test_the_frame_rate_only_samples_the_motion():
    gestures = (Gesture("wave", "left", 0.5, 2.0),)
    fine, coarse = walk(101, fps=50.0, gestures=gestures), walk(51, fps=25.0, gestures=gestures)
    np.testing.assert_allclose(fine[::2], coarse, atol=1e-6)


def test_proportions_are_kept():
    tall = Proportions().scaled(1.1)._replace(forearm=0.26)
    poses = walk(120, proportions=tall)
    lengths = bone_lengths(poses, H36M_17)
    np.testing.assert_allclose(lengths[:, [12, 15]], 0.26, atol=1e-5)
    np.testing.assert_allclose(lengths[:, [1, 4]], tall.thigh, atol=1e-5)
    np.testing.assert_allclose(poses[:, 0, 2].mean(), 1.1 * walk(120)[:, 0, 2].mean(), atol=0.005)


@pytest.mark.parametrize("make", [walk, stand])
@pytest.mark.parametrize("side", ["left", "right"])
def test_gestures_move_their_arm_and_only_then(make, side):
    shoulder, wrist = (11, 13) if side == "left" else (14, 16)
    other = [14, 15, 16] if side == "left" else [11, 12, 13]
    plain = make(200)

    def gesturing(kind):
        return make(200, gestures=(Gesture(kind, side, 1.0, 2.0),))

    for kind in ("wave", "reach", "raise", "turn"):
        poses = gesturing(kind)
        np.testing.assert_array_equal(poses[:50], plain[:50])
        np.testing.assert_array_equal(poses[151:], plain[151:])
        np.testing.assert_array_equal(poses[:, :8], plain[:, :8])
        if kind != "turn":
            np.testing.assert_array_equal(poses[:, other], plain[:, other])
    held = slice(80, 121)  # frames at full weight
    rise = gesturing("wave")[held, wrist, 2] - plain[held, shoulder, 2]
    assert rise.min() > 0.1
    assert (gesturing("raise")[held, wrist, 2] > plain[held, 10, 2]).all()
    assert (gesturing("reach")[held, wrist, 0] - plain[held, shoulder, 0]).min() > 0.35
    line = gesturing("turn")[held, 11] - gesturing("turn")[held, 14]
    yaw = np.degrees(np.arctan2(-line[:, 0], line[:, 1]))
    assert (yaw * (1 if side == "left" else -1) > 28).all()


def test_standing_feet_stay():
    poses = stand(300, start=(2.0, 1.0), heading=1.0)
    assert np.ptp(poses[:, [RIGHT_ANKLE, LEFT_ANKLE]], axis=0).max() < 1e-6
    np.testing.assert_allclose(poses[:, 0, :2].mean(axis=0), [2.0, 1.0], atol=0.03)
    assert flexion(poses, 1, 2, 3).max() < 35


@pytest.mark.parametrize("seed", range(4))
def test_two_people_cross(seed):
    clip = validate(crossing_pair(seed=seed))
    assert clip.poses.shape == (2, 300, 17, 3) and clip.fps == 50.0 and clip.floor_z == 0.0
    first, second = clip.poses.astype(float)
    side = np.sign(first[:, 0, 0] - second[:, 0, 0])
    changes = np.flatnonzero(np.diff(side))
    assert len(changes) == 1 and abs(changes[0] - 150) < 10  # once, mid-way
    assert first[0, 0, 0] < second[0, 0, 0]
    assert (second[:, 0, 1] - first[:, 0, 1])[100:200].min() > 0.5  # person 0 passes in front, seen along +y
    gap = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    assert gap.min() > 0.1  # nobody walks through anybody
    trunk = [0, 1, 4, 7, 8, 9, 11, 14]
    low, high = (
        np.stack([edge(p[:, trunk, 0], axis=1) for p in (first, second)]) for edge in (np.min, np.max)
    )
    overlap = (low.max(axis=0) < high.min(axis=0)).sum() / clip.fps
    assert 0.4 < overlap < 1.5  # seconds in which one trunk is before the other
    arms = [flexion(p, s, s + 1, s + 2).max() for p in (first, second) for s in (11, 14)]
    assert max(arms) > 40  # they gesture


@pytest.mark.parametrize("side", [0.0, 2.0, 4.0])
def test_two_people_circle_and_hide_each_other_from_any_side(side):
    clip = validate(circling_pair(seed=1))
    first, second = clip.poses.astype(float)
    gap = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    assert gap.min() > 0.1  # nobody walks through anybody
    np.testing.assert_allclose(np.linalg.norm((first + second)[:, 0, :2] / 2, axis=-1), 0, atol=0.1)
    forward, right = np.array([np.cos(side), np.sin(side), 0]), np.array([-np.sin(side), np.cos(side), 0])
    nearer = np.sign((second - first)[:, 0] @ forward)
    in_line = np.abs((second - first)[:, 0] @ right) < 0.3
    wide = circling_pair(frames=1, seed=1, radius=0.9).poses[:, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(wide[0] - wide[1]), 1.8, atol=0.1)
    with pytest.raises(ValueError, match=r"radius is 0\.4"):
        circling_pair(radius=0.4)
    for front in (1, -1):  # each is in front of the other for a while
        assert 0.3 < (in_line & (nearer == front)).sum() / clip.fps < 2


def test_the_crossing_follows_its_seed():
    np.testing.assert_array_equal(crossing_pair(seed=3).poses, crossing_pair(seed=3).poses)
    assert np.abs(crossing_pair(seed=3).poses - crossing_pair(seed=4).poses).max() > 0.05
    short = crossing_pair(frames=50, fps=25.0)
    assert short.poses.shape == (2, 50, 17, 3) and short.fps == 25.0
    assert crossing_pair(frames=1).poses.shape == (2, 1, 17, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": math.inf}, "fps is inf"),
        ({"speed": 3.0}, "speed is 3.0 m/s: a walk has 0.6 to 1.6"),
        ({"speed": math.nan}, "speed is nan"),
        ({"turn_rate": 2.0}, "turn_rate is 2.0"),
        ({"heading": math.nan}, "heading nan"),
        ({"start": (0.0, math.inf)}, "start .*inf"),
        ({"proportions": Proportions(head=0.0)}, "proportions.head is 0.0"),
        ({"proportions": Proportions(thigh=0.7)}, "a thigh of 0.7 and a shin of 0.44"),
        ({"gestures": (Gesture("wave", "left", 0.0, 0.5),)}, "a gesture lasts 0.5 s from 0.0 s"),
        ({"gestures": (Gesture("bow", "left", 0.0, 2.0),)}, "kind 'bow'"),
    ],
)
def test_bad_arguments_name_themselves(arguments, message):
    with pytest.raises(ValueError, match=message):
        walk(**({"frames": 10} | arguments))
    if set(arguments) <= {"frames", "fps", "heading", "start", "proportions", "gestures"}:
        with pytest.raises(ValueError, match=message):
            stand(**({"frames": 10} | arguments))
