"""What is computed for a few frames at a time is what the whole clip at once would give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory_oracle as oracle

from solvers import Camera
from solvers.block_banded import back_substitute, factor_segments, nested_lengths
from solvers.joints import SUM_CHUNK, fold_joints, lay_out, summarize
from solvers.pinhole import split_camera
from solvers.trajectory_rows import linear_rows, make_terms


def clip(people, frames, joints=3):
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(people, frames, joints, 3)).astype(np.float32)
    keypoints = rng.normal(size=(people, frames, joints, 2)).astype(np.float32)
    return poses, keypoints, rng.uniform(size=poses.shape[:-1]) < 0.3


def test_lay_out_transposes_masks_and_finds_what_is_not_finite():
    poses, keypoints, occluded = clip(2, 1300)
    occluded[0, 1299, 0], occluded[1, 1298, 1], occluded[1, 5, 2] = False, True, False
    poses[0, 1299, 0, 1] = np.nan
    keypoints[1, 1298, 1, 0] = np.inf  # hidden
    keypoints[1, 5, 2, 1] = np.inf
    joints, sound = jax.jit(lay_out)(*map(jnp.asarray, (poses, keypoints, occluded)))
    assert sorted(zip(*np.nonzero(~np.asarray(sound[0])), strict=True)) == [(5, 1), (1299, 0)]
    visible = ~occluded
    visible[0, 1299, 0] = visible[1, 5, 2] = False
    np.testing.assert_array_equal(joints.visible, visible.T)
    components = [*np.moveaxis(poses, -1, 0), *np.moveaxis(keypoints, -1, 0)]
    for found, values in zip(joints, components, strict=False):
        np.testing.assert_array_equal(found, np.where(visible, values, 0).T)


def test_lay_out_has_the_derivative_of_a_masked_transposition():
    poses, keypoints, occluded = clip(2, 1300)
    probe = np.random.default_rng(1).normal(size=(3, 1300, 2)).astype(np.float32)

    def loss(poses):
        return jnp.sum(probe * lay_out(poses, jnp.asarray(keypoints), jnp.asarray(occluded))[0].y)

    slope = jax.grad(loss)(jnp.asarray(poses))
    np.testing.assert_array_equal(slope[..., 1], np.where(occluded, 0, probe.T))
    assert not slope[..., ::2].any()


def test_fold_joints_by_chunks_is_the_sum():
    joints, _ = lay_out(*map(jnp.asarray, clip(3, SUM_CHUNK // 3 + 50)))
    near = jnp.arange(joints.x.shape[1], dtype=joints.x.dtype)[:, None] * jnp.ones((1, 3), joints.x.dtype)
    found = fold_joints(lambda joint, near, one: joint.x * near + one, joints, near, jnp.ones((1, 3)))
    np.testing.assert_allclose(found, jnp.sum(joints.x * near[None] + 1, axis=0), rtol=1e-4, atol=1e-2)


@jax.jit
def start_rows(scene, weights):
    """The rows of the linear start, whose answer is positions and not a last small step."""
    joints, _ = lay_out(jnp.asarray(scene.poses), jnp.asarray(scene.keypoints), jnp.asarray(scene.occluded))
    dtype = joints.x.dtype
    camera = jax.tree.map(
        lambda value: jnp.broadcast_to(value, (1, 1, len(scene.poses))),
        split_camera(Camera(oracle.FOCAL, oracle.CENTER), dtype),
    )
    return linear_rows(
        make_terms(joints, summarize(joints), camera, *(jnp.asarray(w, dtype) for w in weights))
    )


def test_a_frame_with_one_visible_joint_has_no_pivot_made_of_rounding(float64):
    scene = oracle.walking_people(2, 300)
    scene.occluded[:, ::3] = True
    scene.occluded[:, ::3, 5] = False
    own = np.asarray(start_rows(jax.tree.map(jnp.asarray, scene), (jnp.ones(()), jnp.ones(()))).own)
    # Pixels a metre and pixels: rounding over rounding used to reach 1e9.
    assert np.abs(own).max() < 1e4


@functools.partial(jax.jit, static_argnames="length")
def both_eliminations(rows, length):
    blocks = len(rows.own)
    chains = (factor_segments(rows, cut, unroll=False) for cut in ((), nested_lengths(blocks, length)))
    return [back_substitute(chain, blocks) for chain in chains]


# Few levels: each takes seconds to compile.
@pytest.mark.parametrize(
    "frames, gap, length", [(1000, 200, 16), pytest.param(10_000, 2000, 20, marks=pytest.mark.thorough)]
)
def test_elimination_in_nested_segments_is_the_sequential_one(float64, frames, gap, length):
    scene = jax.tree.map(jnp.asarray, oracle.walking_people(2, frames, gap=gap))
    for weights in [(1.0, 1.0), (0.01, 0.01), (0.0, 1.0), (1.0, 0.0)]:
        rows = start_rows(scene, tuple(jnp.asarray(weight) for weight in weights))
        expected, nested = both_eliminations(rows, length)
        np.testing.assert_allclose(nested, expected, atol=1e-9, rtol=0, err_msg=f"weights {weights}")
        coarse = both_eliminations(jax.tree.map(lambda values: values.astype(jnp.float32), rows), length)
        sequential_error, nested_error = (
            np.abs(np.asarray(found) - np.asarray(expected)).max() for found in coarse
        )
        # Below 10 um rounding decides, and with it the code generator; a solve resolves 15 um.
        assert nested_error <= max(sequential_error, 1e-5), f"weights {weights}"
