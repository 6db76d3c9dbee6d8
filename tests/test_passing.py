"""Passers-by: where they walk, and which joints a detector finds on them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import CLIP, TINY

from experiments.training import batches
from gated_lift.cameras import Extrinsics, look_at
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.passing import PassingDistribution, pass_before, sample_snapped
from solvers import Camera

HIP, CAMERA = jnp.array([1.0, 2.0, 0.9]), jnp.array([1.0, -4.0, 1.5])
SECONDS = jnp.arange(-10.0, 11.0) / 50
ALWAYS = PassingDistribution(share=1.0, snapped=1.0)


def test_a_passer_by_walks_between_the_person_and_the_camera():
    other = jax.random.normal(jax.random.key(1), (21, 17, 3))
    keys = jax.random.split(jax.random.key(0), 400)
    run = jax.jit(jax.vmap(lambda key: pass_before(key, other, HIP, CAMERA, SECONDS, ALWAYS)))
    passed = np.asarray(run(keys))
    # They move as they did, over the ground, heights as they are.
    np.testing.assert_allclose(passed[..., 2], np.broadcast_to(other[..., 2], passed.shape[:-1]), atol=1e-6)
    moved = passed - np.asarray(other)
    np.testing.assert_allclose(moved, moved[:, :, :1].repeat(17, 2), atol=1e-5)
    middle = passed[:, 10, 0]
    # The camera looks along y: nearer means a smaller y, aside means x.
    nearer = 2.0 - middle[:, 1]
    assert nearer.min() >= 0.3 - 1e-5 and nearer.max() <= 2.5 + 1e-5 and nearer.std() > 0.4
    assert abs(middle[:, 0].std() - 1 * 0.25) < 0.03 and abs(middle[:, 0].mean() - 1) < 0.05
    speed = (moved[:, 20, 0] - moved[:, 0, 0]) / float(SECONDS[-1] - SECONDS[0])
    assert abs(speed[:, 0].std() - 0.7) < 0.1
    np.testing.assert_allclose(speed[:, 1], 0, atol=1e-4)


def test_nobody_passes_behind_the_camera():
    near = jnp.array([1.0, 1.4, 1.5])
    keys = jax.random.split(jax.random.key(0), 50)
    other = jnp.zeros((21, 17, 3))
    run = jax.jit(jax.vmap(lambda key: pass_before(key, other, HIP, near, SECONDS, ALWAYS)))
    assert np.all(np.asarray(run(keys))[:, 10, 0, 1] >= 1.7 - 1e-5)


def test_covered_joints_are_found_on_the_same_or_the_mirrored_joint():
    rng = np.random.default_rng(0)
    own, other = (jnp.asarray(rng.normal(size=(5, 17, 2)), jnp.float32) for _ in range(2))
    covered = jnp.asarray(rng.random((5, 17)) < 0.5)
    run = jax.jit(jax.vmap(lambda key: sample_snapped(key, covered, own, other, H36M_17.mirror, ALWAYS)))
    moved, shift = map(np.asarray, run(jax.random.split(jax.random.key(0), 20)))
    np.testing.assert_array_equal(moved, np.broadcast_to(covered, moved.shape))
    assert not shift[~moved].any()
    on = np.asarray(own) + shift
    mirrored = np.asarray(other)[:, list(H36M_17.mirror)]
    same = [np.allclose(each[covered], np.asarray(other)[covered], atol=1e-6) for each in on]
    turned = [np.allclose(each[covered], mirrored[covered], atol=1e-6) for each in on]
    assert all(a != b for a, b in zip(same, turned, strict=True)) and 0 < sum(same) < 20
    never = ALWAYS._replace(snapped=0.0)
    moved, shift = sample_snapped(jax.random.key(0), covered, own, other, H36M_17.mirror, never)
    assert not moved.any() and not shift.any()


@pytest.fixture(scope="module")
def filmed():
    """Four windows of one person before one camera."""
    poses = jnp.asarray(np.stack([CLIP.poses[0, :9]] * 4))
    target = poses[0, 4, 0]
    position = (target + jnp.array([0.0, -5.0, 0.5]))[None]
    extrinsics = Extrinsics(look_at(position, target[None], jnp.zeros(1)), position)
    camera = Camera(jnp.array([1000.0, 1000.0]), jnp.array([500.0, 500.0]))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (4, *leaf.shape)), (camera, extrinsics)), poses


@pytest.mark.parametrize("snapped", [0.0, 1.0])
def test_only_the_first_windows_of_a_batch_have_a_passer_by(filmed, snapped):
    """Two of four, exactly before the person, where they cover most of them; the detector either misses the
    covered joints or moves them, and the others are untouched.
    """
    (camera, extrinsics), poses = filmed
    passing = PassingDistribution(0.5, (1.0, 1.0), 0.0, 0.0, snapped)
    config = dataclasses.replace(TINY, passing=passing)
    found = batches._passed(jax.random.key(0), (poses, camera, extrinsics), np.arange(-4, 5), config)
    coverage, shift = np.asarray(found.coverage), np.linalg.norm(found.shift, axis=-1)
    assert not coverage[2:].any() and not shift[2:].any()
    if snapped:
        # Somebody a fifth nearer is a fifth larger: most joints lie elsewhere.
        assert (shift[:2] > 3).mean() > 0.4 and (coverage[:2] > 0.5).mean() == 0
    else:
        assert not shift.any() and (coverage[:2] > 0.5).mean() > 0.4
