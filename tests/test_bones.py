"""Constant bone lengths by what they must keep: lengths, directions, the root, and whatever is not known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.bones import constant_bones
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17
from gated_lift.synthetic import generated

CHILDREN, PARENTS = np.array([(child, parent) for parent, child in H36M_17.bones]).T
straighten = jax.jit(constant_bones, static_argnums=1)


def bones_of(poses):
    bones = np.asarray(poses)[..., CHILDREN, :] - np.asarray(poses)[..., PARENTS, :]
    lengths = np.linalg.norm(bones, axis=-1)
    return bones / np.maximum(lengths, 1e-9)[..., None], lengths


def people(seed=0, shape=(2, 3, 41)):
    return np.random.default_rng(seed).normal(size=(*shape, 17, 3)).astype(np.float32)


def test_every_bone_has_the_median_of_both_sides_and_its_own_directions():
    poses = people()
    fixed = straighten(poses, H36M_17)
    assert fixed.dtype == jnp.float32
    np.testing.assert_array_equal(fixed[..., 0, :], poses[..., 0, :])
    directions, lengths = bones_of(fixed)
    before, lengths_before = bones_of(poses)
    np.testing.assert_allclose(directions, before, atol=2e-4)
    mirrored = np.array(H36M_17.mirror)[CHILDREN] - 1  # bones are named by their ends, the root has none
    both = np.concatenate([lengths_before, lengths_before[..., mirrored]], axis=-2)
    expected = np.broadcast_to(np.median(both, axis=-2, keepdims=True), lengths.shape)
    np.testing.assert_allclose(lengths, expected, rtol=1e-4)
    np.testing.assert_allclose(straighten(fixed, H36M_17), fixed, atol=1e-5)  # nothing is left to do


def test_rigid_people_stay_as_they_are_and_a_few_bad_frames_change_nothing():
    poses = generated.walk(80)
    np.testing.assert_allclose(straighten(poses, H36M_17), poses, atol=2e-3)
    broken = poses.copy()
    broken[30:40, 16] += 3.0
    fixed = np.asarray(straighten(broken, H36M_17))
    kept = np.r_[0:30, 40:80]
    np.testing.assert_allclose(fixed[kept], np.asarray(straighten(poses, H36M_17))[kept], atol=1e-3)
    assert np.linalg.norm(fixed[30:40, 16] - fixed[30:40, 15], axis=-1).max() < 0.4


def test_weights_choose_the_frames_and_bones_without_any_take_all():
    poses = people(1, (2, 20))
    weight = np.zeros((2, 20, 17), np.float32)
    weight[:, 5:12] = 0.5
    chosen = straighten(poses, H36M_17, weight)
    _, expected = bones_of(straighten(poses[:, 5:12], H36M_17))
    np.testing.assert_allclose(bones_of(chosen)[1][:, 0], expected[:, 0], rtol=1e-4)
    np.testing.assert_allclose(straighten(poses, H36M_17, weight > 0), chosen, atol=1e-6)
    # A wrist that is never believed has no forearm of its own: the other arm's stands for it.
    weight[..., 13] = 0
    one_sided = bones_of(straighten(poses, H36M_17, weight))[1]
    own = bones_of(poses)[1][:, 5:12, 15]
    np.testing.assert_allclose(one_sided[:, 0, [12, 15]], np.median(own, axis=1)[:, None] * [1, 1], rtol=1e-4)
    nothing = straighten(poses, H36M_17, jnp.zeros((2, 20, 17)))
    np.testing.assert_allclose(nothing, straighten(poses, H36M_17), atol=1e-6)


def test_what_is_not_finite_stays_so_and_changes_nothing_else():
    poses = people(2, (2, 30))
    broken = poses.copy()
    broken[0, 10:20] = np.nan
    fixed = np.asarray(straighten(broken, H36M_17))
    assert np.isnan(fixed[0, 10:20]).all()
    kept = np.delete(poses[0], np.arange(10, 20), axis=0)
    np.testing.assert_allclose(
        np.delete(fixed[0], np.arange(10, 20), axis=0), straighten(kept, H36M_17), atol=1e-5
    )
    np.testing.assert_array_equal(fixed[1], straighten(poses, H36M_17)[1])
    assert np.isnan(straighten(np.full_like(poses, np.nan), H36M_17)).all()


def test_bones_without_length_stay_and_have_finite_gradients():
    poses = people(3, (7,))
    poses[3, 16] = poses[3, 15]
    poses[:, 10] = poses[:, 9]
    fixed = np.asarray(straighten(poses, H36M_17))
    assert np.isfinite(fixed).all()
    np.testing.assert_allclose(fixed[3, 16], fixed[3, 15], atol=1e-6)
    np.testing.assert_allclose(fixed[:, 10], fixed[:, 9], atol=1e-6)
    slope = jax.jit(jax.grad(lambda values: jnp.sum(constant_bones(values, H36M_17) ** 2)))
    for each in (poses, np.zeros_like(poses)):
        assert np.isfinite(slope(each)).all()


@pytest.mark.parametrize("skeleton", [COCO_17, BODY_25])
def test_other_skeletons(skeleton):
    poses = np.random.default_rng(4).normal(size=(9, skeleton.num_joints, 3)).astype(np.float32)
    fixed = np.asarray(straighten(poses, skeleton))
    for parent, child in skeleton.bones:
        lengths = np.linalg.norm(fixed[:, child] - fixed[:, parent], axis=-1)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="poses has 16 joints, skeleton h36m_17 has 17: pass"):
        constant_bones(jnp.zeros((5, 16, 3)), H36M_17)
    with pytest.raises(ValueError, match="without frames: pass at least one"):
        constant_bones(jnp.zeros((0, 17, 3)), H36M_17)
    with pytest.raises(ValueError, match=r"weight has shape \(5, 1\), poses \(5, 17, 3\): pass one weight"):
        constant_bones.__wrapped__(jnp.zeros((5, 17, 3)), H36M_17, jnp.zeros((5, 1)))
