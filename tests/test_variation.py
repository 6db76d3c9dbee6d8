"""Bodies and movements that nobody had: lengths, angles and halves against what must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gated_lift.skeleton import BODY_25, COCO_17, H36M_17, Skeleton
from gated_lift.synthetic import generated, variation

CHILDREN, PARENTS = np.array([(child, parent) for parent, child in H36M_17.bones]).T


def bones_of(poses):
    return np.asarray(poses)[..., CHILDREN, :] - np.asarray(poses)[..., PARENTS, :]


def lengths_of(poses):
    return np.linalg.norm(bones_of(poses), axis=-1)


def test_another_body_moves_alike():
    """Bones are as long as asked, their directions and the root stay; undone by the inverse factors."""
    rng = np.random.default_rng(4)
    poses = jnp.asarray(rng.normal(size=(3, 5, 17, 3)), jnp.float32)
    factors = jnp.asarray(rng.uniform(0.7, 1.4, size=(3, 5, 17)), jnp.float32)
    moved = variation.scale_bones(poses, factors, H36M_17)
    np.testing.assert_array_equal(moved[..., 0, :], poses[..., 0, :])
    for parent, child in H36M_17.bones:
        before, after = (np.asarray(each[..., child, :] - each[..., parent, :]) for each in (poses, moved))
        np.testing.assert_allclose(after, np.asarray(factors)[..., child, None] * before, atol=1e-5)
    np.testing.assert_allclose(variation.scale_bones(moved, 1 / factors, H36M_17), poses, atol=1e-5)
    # A skeleton whose children come before their parents.
    backwards = Skeleton(
        "backwards",
        H36M_17.names[::-1],
        tuple(16 - parent if parent >= 0 else -1 for parent in H36M_17.parents[::-1]),
        (),
        (),
    )
    turned = variation.scale_bones(poses[..., ::-1, :], factors[..., ::-1], backwards)
    np.testing.assert_allclose(turned[..., ::-1, :], moved, atol=1e-6)
    with pytest.raises(ValueError, match="pass 17 joints and one factor a joint"):
        variation.scale_bones(poses[..., :16, :], factors[..., :16], H36M_17)


def test_proportions_are_symmetric_and_spread_as_asked():
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(lambda key: variation.sample_proportions(key, 0.1, H36M_17))(keys)
    np.testing.assert_array_equal(drawn[:, np.array(H36M_17.mirror)], drawn)
    np.testing.assert_array_equal(drawn[:, 0], np.ones(2000))
    logarithms = np.log(drawn[:, 1:])
    # A normal cut at two deviations has 0.88 of its standard deviation.
    np.testing.assert_allclose(logarithms.std(axis=0), 0.088, rtol=0.06)
    assert np.abs(logarithms).max() <= 0.2 + 1e-6
    thigh, shin = H36M_17.names.index("left_knee"), H36M_17.names.index("left_ankle")
    assert abs(np.corrcoef(logarithms[:, thigh - 1], logarithms[:, shin - 1])[0, 1]) < 0.1
    for skeleton in (COCO_17, BODY_25):
        assert variation.sample_proportions(keys[0], 0.1, skeleton).shape == (skeleton.num_joints,)


def test_turned_bones_keep_their_lengths_and_carry_what_hangs_from_them():
    rng = np.random.default_rng(5)
    poses = jnp.asarray(rng.normal(size=(3, 5, 17, 3)), jnp.float32)
    turns = jnp.asarray(rng.normal(size=(3, 1, 17, 3)), jnp.float32)
    turned = variation.turn_bones(poses, turns, H36M_17)
    np.testing.assert_allclose(lengths_of(turned), lengths_of(poses), rtol=1e-5)
    np.testing.assert_array_equal(turned[..., 0, :], poses[..., 0, :])
    # The right forearm's rotation is that of everything from the hip to it, one after another.
    names = ("hip", "spine", "thorax", "right_shoulder", "right_elbow", "right_wrist")
    for window in range(3):
        whole = Rotation.identity()
        for name in names:
            whole = whole * Rotation.from_rotvec(turns[window, 0, H36M_17.names.index(name)])
        elbow, wrist = (H36M_17.names.index(name) for name in names[-2:])
        before, after = (
            np.asarray(each[window, :, wrist] - each[window, :, elbow]) for each in (poses, turned)
        )
        np.testing.assert_allclose(after, whole.apply(before), atol=1e-5)
    still = variation.turn_bones(poses, jnp.zeros_like(turns), H36M_17)
    np.testing.assert_allclose(still, poses, atol=1e-5)
    with pytest.raises(ValueError, match="pass 17 joints and one rotation vector a joint"):
        variation.turn_bones(poses[..., :16, :], turns[..., :16, :], H36M_17)


def test_turns_spread_as_asked():
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(lambda key: variation.sample_turns(key, 0.1, H36M_17))(keys)
    deviation = np.asarray(drawn).std(axis=0)
    weight = np.array([variation.TURNS.get(name, 0.0) for name in H36M_17.names])
    np.testing.assert_allclose(deviation, 0.088 * np.broadcast_to(weight[:, None], (17, 3)), rtol=0.06)
    assert set(np.flatnonzero(weight == 0)) == {
        H36M_17.names.index(f"{side}_hip") for side in ("left", "right")
    }
    assert np.all(np.abs(drawn) <= 0.2 * weight[:, None] + 1e-6)
    for skeleton in (COCO_17, BODY_25):
        assert variation.sample_turns(keys[0], 0.1, skeleton).shape == (skeleton.num_joints, 3)


def test_halves_of_two_people_make_one():
    """Legs are the one's, bones above the other's, who faces wherever the legs do; their hip lines agree."""
    one, other = (
        jnp.asarray(pose, jnp.float32)
        for pose in (
            generated.walk(80, heading=0.3),
            generated.stand(80, heading=2.0, gestures=(generated.Gesture("wave", "right", 0.0, 1.2),)),
        )
    )
    made = variation.exchange_upper_body(one, other, H36M_17)
    lower = np.array([name in variation.LOWER_BODY for name in H36M_17.names])
    np.testing.assert_array_equal(made[:, lower], one[:, lower])
    above = ~lower[CHILDREN]
    np.testing.assert_allclose(lengths_of(made)[:, above], lengths_of(other)[:, above], rtol=1e-4)
    np.testing.assert_allclose(bones_of(made)[:, above, 2], bones_of(other)[:, above, 2], atol=1e-5)

    def heading_to(pose, joint):
        """Horizontal angle from the hip line to the hip → joint line."""
        line = pose[:, H36M_17.names.index("left_hip")] - pose[:, H36M_17.names.index("right_hip")]
        away = pose[:, H36M_17.names.index(joint)] - pose[:, 0]
        return np.angle(
            np.exp(1j * (np.arctan2(away[:, 1], away[:, 0]) - np.arctan2(line[:, 1], line[:, 0])))
        )

    for joint in ("left_shoulder", "right_wrist"):
        expected, found = (heading_to(np.asarray(pose), joint) for pose in (other, made))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    # Where the other stands and faces does not matter, and a half of oneself changes nothing.
    around = jnp.asarray(Rotation.from_euler("z", 1.1).as_matrix(), jnp.float32)
    moved = variation.exchange_upper_body(one, other @ around.T + jnp.array([[[3.0, -2.0, 0.0]]]), H36M_17)
    np.testing.assert_allclose(moved, made, atol=1e-5)
    np.testing.assert_allclose(variation.exchange_upper_body(one, one, H36M_17), one, atol=1e-5)


def test_halves_of_somebody_without_a_heading_are_finite():
    lying = jnp.zeros((1, 17, 3)).at[:, :, 2].set(jnp.arange(17.0)[None])
    made = variation.exchange_upper_body(lying, lying + 1, H36M_17)
    np.testing.assert_allclose(made, lying, atol=1e-5)


def test_halves_that_do_not_fit_are_refused():
    poses = jnp.zeros((4, 17, 3))
    with pytest.raises(ValueError, match="pass 17 joints each"):
        variation.exchange_upper_body(poses[:, :16], poses[:, :16], H36M_17)
    with pytest.raises(ValueError, match=r"coco_17 lacks \['hip'\]"):
        variation.exchange_upper_body(poses, poses, COCO_17)


def test_a_spin_turns_the_person_about_the_vertical_through_the_hip():
    poses = jnp.asarray(generated.crossing_pair(frames=26, fps=50.0, seed=0).poses[0])
    seconds = jnp.arange(26.0) / 50
    spun = np.asarray(variation.spin(poses, jnp.float32(2.0), seconds))
    np.testing.assert_allclose(spun[0], poses[0], atol=1e-6)
    np.testing.assert_allclose(spun[:, 0], poses[:, 0], atol=1e-6)
    np.testing.assert_allclose(spun[..., 2], poses[..., 2], atol=1e-5)
    # Half a second at two turns a second is a whole turn.
    np.testing.assert_allclose(spun[25], poses[25], atol=1e-4)
    quarter = Rotation.from_euler("z", 2 * np.pi * 2 * 0.12).as_matrix()
    away = np.asarray(poses)[6] - np.asarray(poses)[6, 0]
    np.testing.assert_allclose(spun[6] - spun[6, 0], away @ quarter.T, atol=1e-5)
    drawn = np.asarray(jax.vmap(variation.sample_spin)(jax.random.split(jax.random.key(0), 300)))
    assert 0.4 < (drawn > 0).mean() < 0.6
    assert np.abs(drawn).min() >= variation.SPIN_TURNS[0] and np.abs(drawn).max() <= variation.SPIN_TURNS[1]


def test_who_is_laid_down_moves_as_before_on_the_same_floor():
    poses = jnp.asarray(generated.crossing_pair(frames=8, fps=50.0, seed=0).poses[0])
    axis, angle = jnp.float32(0.4), jnp.float32(np.pi / 2)
    laid = np.asarray(variation.lay_down(poses, axis, angle))
    np.testing.assert_allclose(laid[..., 2].min(), np.asarray(poses)[..., 2].min(), atol=1e-5)
    about = Rotation.from_rotvec(np.pi / 2 * np.array([np.cos(0.4), np.sin(0.4), 0])).as_matrix()
    away = np.asarray(poses) - np.asarray(poses)[4, 0]
    np.testing.assert_allclose(laid - laid[4, 0], away @ about.T, atol=1e-5)
    # Standing people come to lie: their heads are no longer far above their hips.
    head = H36M_17.names.index("head")
    assert np.all(np.asarray(poses)[:, head, 2] - np.asarray(poses)[:, 0, 2] > 0.4)
    assert np.all(np.abs(laid[:, head, 2] - laid[:, 0, 2]) < 0.3)
    np.testing.assert_allclose(variation.lay_down(poses, axis, jnp.float32(0)), poses, atol=1e-5)
    drawn = jax.vmap(variation.sample_laid)(jax.random.split(jax.random.key(0), 300))
    degrees = np.rad2deg(np.asarray(drawn[1]))
    assert degrees.min() >= 60 - 1e-3 and degrees.max() <= 180 + 1e-3 and degrees.std() > 20


def test_other_detectors_joints_lie_near_and_alike_on_both_sides():
    """Rows sum to 1, so that moving and turning a body moves and turns what is shifted; left is as right."""
    keys = jax.random.split(jax.random.key(0), 300)
    shifts = np.asarray(jax.jit(jax.vmap(lambda key: variation.sample_shift(key, H36M_17)))(keys))
    np.testing.assert_allclose(shifts.sum(-1), 1, atol=1e-5)
    mirror = np.array(H36M_17.mirror)
    np.testing.assert_allclose(shifts[:, mirror][:, :, mirror], shifts, atol=1e-6)
    poses = jnp.asarray(generated.crossing_pair(frames=4, fps=50.0, seed=0).poses[0])
    moved = np.asarray(jax.vmap(lambda shift: variation.shift_joints(poses, shift))(shifts[:50]))
    distance = np.linalg.norm(moved - np.asarray(poses), axis=-1)
    assert 0.005 < distance.mean() < 0.03 and distance.max() < 0.15
    names = H36M_17.names
    hips = [names.index(name) for name in ("left_hip", "right_hip")]
    shoulders = [names.index(name) for name in ("left_shoulder", "right_shoulder")]
    between = moved[:, :, shoulders].mean(2)
    at_middle = np.abs(moved[:, :, names.index("thorax")] - between).max((1, 2)) < 1e-5
    assert 0.3 < at_middle.mean() < 0.7
    offset = moved[:, :, hips].mean(2) - np.asarray(poses)[:, hips].mean(1)
    np.testing.assert_allclose(
        offset, moved[:, :, 0] - np.asarray(poses)[:, 0], atol=1e-5
    )  # the hip centre goes with the hips
    with pytest.raises(ValueError, match="skeleton coco_17 lacks hips, shoulders"):
        variation.sample_shift(keys[0], COCO_17)
