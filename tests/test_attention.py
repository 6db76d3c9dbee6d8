"""Attention over joints and frames against NumPy, over whole clips, and learning eight of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import ages, framed, random_variables
from overfit import learn
from window_clips import abstract, clip, fill_gaps, mirror, mirror_mask

from experiments.training.configs import ATTENTION
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.protocol import Lifter, lift_clip, parameter_count
from gated_lift.networks.settings import settings_of
from gated_lift.occlusion import frame_times, gap_age
from gated_lift.skeleton import H36M_17

LIFTER = AttentionLifter(window=12, patch=3, channels=8, heads=2, depth=1, slide=5)
WINDOW = LIFTER.window
# Up from the first frame and down to the last.
WEIGHT = np.array([1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1.0])

apply = jax.jit(LIFTER.apply)
lift = jax.jit(lift_clip, static_argnames=("lifter", "skeleton", "flip"))


VARIABLES = random_variables(abstract(LIFTER), 0)
DEEP = LIFTER.clone(depth=2)


# ------------------------------------------------------------------------------------------------- oracle


def oracle(lifter, variables, keypoints, occluded, age):
    """(B, F, 17, 2) without gaps to (B, F, 17, 3), with a loop over windows, joints, patches and heads."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    patches, size = lifter.window // lifter.patch, lifter.channels // lifter.heads

    def dense(values, part):
        return values @ part["kernel"] + part["bias"]

    def norm(values, name):
        centred = values - values.mean(-1, keepdims=True)
        scores = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scores * params[name]["scale"] + params[name]["bias"]

    def attend(sequence, part):
        query, key, value = (
            sequence @ part[name]["kernel"].reshape(lifter.channels, -1) + part[name]["bias"].ravel()
            for name in ("query", "key", "value")
        )
        found = np.zeros(sequence.shape)
        for head in range(lifter.heads):
            mine = slice(head * size, (head + 1) * size)
            shares = np.exp(query[:, mine] @ key[:, mine].T / np.sqrt(size))
            found[:, mine] = shares / shares.sum(-1, keepdims=True) @ value[:, mine]
        return found @ part["out"]["kernel"].reshape(-1, lifter.channels) + part["out"]["bias"]

    poses = np.zeros((*keypoints.shape[:-1], 3))
    outlines = framed(np.asarray(keypoints), np.ones(occluded.shape, bool))
    for window in range(len(keypoints)):
        tokens = np.zeros((patches, 17, lifter.channels))
        for patch, joint in np.ndindex(patches, 17):
            frames = range(patch * lifter.patch, (patch + 1) * lifter.patch)
            numbers, places = [], []
            for place, frame in enumerate(frames):
                outline = outlines[window, frame]
                numbers += [*outline[2 * joint : 2 * joint + 2], age[window, frame, joint] / 0.2]
                places += [*outline[-3:]]
                if occluded[window, frame, joint]:
                    tokens[patch, joint] += params["hidden"][joint, place]
            tokens[patch, joint] += dense(np.array(numbers), params["embed"])
            tokens[patch, joint] += dense(np.array(places), params["place"])
            tokens[patch, joint] += params["joint"][0, 0, joint] + params["time"][0, patch, 0]
        for index in range(lifter.depth):
            normed = norm(tokens, f"block{index}_joints_norm")
            for patch in range(patches):
                tokens[patch] += attend(normed[patch], params[f"block{index}_joints"])
            normed = norm(tokens, f"block{index}_frames_norm")
            for joint in range(17):
                tokens[:, joint] += attend(normed[:, joint], params[f"block{index}_frames"])
            wide = dense(norm(tokens, f"block{index}_norm"), params[f"block{index}_wide"])
            wide = wide / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
            tokens = tokens + dense(wide, params[f"block{index}_narrow"])
        answers = dense(norm(tokens, "norm"), params["head"])
        for patch, joint in np.ndindex(patches, 17):
            frames = slice(patch * lifter.patch, (patch + 1) * lifter.patch)
            poses[window, frames, joint] = answers[patch, joint].reshape(lifter.patch, 3)
    poses[:, :, 0] = 0
    return poses


# ------------------------------------------------------------------------------------------------- network


@pytest.mark.default_flags
def test_windows_match_numpy():
    keypoints, occluded = clip(WINDOW)
    variables = random_variables(abstract(DEEP), 0)
    poses = jax.jit(DEEP.apply)(variables, keypoints, occluded)
    assert poses.shape == (2, WINDOW, 17, 3) and poses.dtype == jnp.float32
    expected = oracle(DEEP, variables, fill_gaps(keypoints, occluded), occluded, ages(occluded, False))
    np.testing.assert_allclose(poses, expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=1)).max() > 0.03


def test_the_caller_may_fill_gaps():
    """From frames that lie beyond the window, say."""
    keypoints, occluded = clip(WINDOW)
    age = gap_age(occluded, frame_times(occluded.shape[-2], 50)) + 0.04
    filled = apply(VARIABLES, keypoints, occluded, age=age)
    np.testing.assert_allclose(filled, oracle(LIFTER, VARIABLES, keypoints, occluded, age), atol=1e-5)


def test_parameter_count():
    linear = 64 * 64 + 64
    norm = 2 * 64
    block = 2 * (norm + 4 * linear) + norm + (64 * 128 + 128) + (128 * 64 + 64)
    tokens = (3 * 3 + 1) * 64 + (3 * 3 + 1) * 64 + 17 * 3 * 64 + 17 * 64 + 9 * 64
    head = norm + (64 + 1) * 3 * 3
    assert parameter_count(abstract(AttentionLifter())) == tokens + 4 * block + head == 207_881


def test_it_starts_from_the_root():
    keypoints, occluded = clip(WINDOW)
    variables = jax.jit(LIFTER.init)(jax.random.key(0), keypoints, occluded)
    np.testing.assert_array_equal(apply(variables, keypoints, occluded), 0)
    assert set(variables) == {"params"} and isinstance(LIFTER, Lifter)


def test_every_joint_and_frame_sees_every_other():
    keypoints, _ = clip(WINDOW, batch=1)
    seen = jnp.zeros((1, WINDOW, 17), bool)

    @jax.jit
    def wrist_at_the_end(hidden):
        return LIFTER.apply(VARIABLES, keypoints, hidden, age=jnp.zeros(hidden.shape))[0, -1, 16]

    # What a mask bit says reaches other joints and other patches.
    moved = wrist_at_the_end(seen.at[0, 0, 3].set(True)) - wrist_at_the_end(seen)
    assert np.abs(np.asarray(moved)).max() > 1e-4


def test_bfloat16_computes_and_float32_comes_out():
    keypoints, occluded = clip(WINDOW)
    half = jax.jit(LIFTER.clone(dtype=jnp.bfloat16).apply)(VARIABLES, keypoints, occluded)
    full = np.asarray(apply(VARIABLES, keypoints, occluded))
    assert half.dtype == jnp.float32
    difference = np.abs(np.asarray(half) - full).max()
    assert 1e-4 < difference < 0.1 * np.abs(full).max()


def test_dropout_is_for_training_only():
    keypoints, occluded = clip(WINDOW)
    lifter = LIFTER.clone(dropout=0.3)

    @jax.jit
    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return lifter.apply(VARIABLES, keypoints, occluded, train=True, rngs=rngs)

    assert np.abs(np.asarray(run(0) - run(1))).max() > 1e-3
    np.testing.assert_array_equal(run(0), run(0))
    np.testing.assert_array_equal(
        jax.jit(lifter.apply)(VARIABLES, keypoints, occluded), apply(VARIABLES, keypoints, occluded)
    )


# --------------------------------------------------------------------------------------------- whole clips


@pytest.mark.parametrize("frames", [1, 24])
def test_windows_are_averaged(frames):
    """24 frames: windows from 0, 5 and 10, and one from 12. The gaps of a window are filled from the clip."""
    keypoints, occluded = clip(frames)

    def pad(values):
        width = [(0, 0), (0, max(0, WINDOW - frames))] + [(0, 0)] * (values.ndim - 2)
        return np.pad(np.asarray(values), width, mode="edge")

    filled, hidden, age = map(pad, (fill_gaps(keypoints, occluded), occluded, ages(occluded, False)))
    total, weights = np.zeros((*filled.shape[:3], 3)), np.zeros((1, filled.shape[1], 1, 1))
    for start in (0, 5, 10, 12) if frames == 24 else (0,):
        window = slice(start, start + WINDOW)
        poses = oracle(LIFTER, VARIABLES, filled[:, window], hidden[:, window], age[:, window])
        total[:, window] += WEIGHT[None, :, None, None] * poses
        weights[:, window] += WEIGHT[None, :, None, None]
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17, flip=False)
    assert poses.shape == (2, frames, 17, 3)
    np.testing.assert_allclose(poses, (total / weights)[:, :frames], atol=1e-5)
    np.testing.assert_array_equal(poses[:, :, 0], 0)


def test_mirror_images_are_averaged():
    keypoints, occluded = clip(24)
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17)
    mirrored = lift(LIFTER, VARIABLES, mirror(keypoints, H36M_17), mirror_mask(occluded, H36M_17), H36M_17)
    np.testing.assert_allclose(mirror(mirrored, H36M_17), poses, atol=1e-5)
    alone = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17, flip=False)
    assert np.abs(np.asarray(alone - poses)).max() > 1e-3


def test_hidden_values_never_matter():
    keypoints, occluded = clip(24)
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17)
    poisoned = jnp.where(occluded[..., None], jnp.nan, keypoints)
    np.testing.assert_array_equal(lift(LIFTER, VARIABLES, poisoned, occluded, H36M_17), poses)
    window, mask = poisoned[:, :WINDOW], occluded[:, :WINDOW]
    np.testing.assert_array_equal(
        apply(VARIABLES, window, mask), apply(VARIABLES, keypoints[:, :WINDOW], mask)
    )


# ------------------------------------------------------------------------------------------------ bad input


def test_bad_input_is_named():
    keypoints, occluded = clip(WINDOW)
    with pytest.raises(
        ValueError, match=r"keypoints has shape \(2, 6, 17, 2\): .* 12 frames, .*use lift_clip"
    ):
        LIFTER.apply(VARIABLES, *clip(6))
    with pytest.raises(ValueError, match="keypoints has 16 joints, the lifter was built for 17"):
        LIFTER.apply(VARIABLES, keypoints[:, :, 1:], occluded[:, :, 1:])
    for slide in (0, 13):
        with pytest.raises(ValueError, match=rf"slide is {slide}: .* at most their length of 12"):
            lift_clip(LIFTER.clone(slide=slide), VARIABLES, keypoints, occluded, H36M_17)
    for settings, message in (
        ({"patch": 5}, "patch is 5 and window 12: choose patch to divide window"),
        ({"patch": 0}, "patch is 0: give a whole number, 1 or more"),
        ({"heads": 3}, "heads is 3 and channels 8: choose heads to divide channels"),
    ):
        with pytest.raises(ValueError, match=message):
            LIFTER.clone(**settings).init(jax.random.key(0), keypoints, occluded)


# ------------------------------------------------------------------------------------------------- training


def test_eight_clips_are_learnt(monkeypatch):
    network = settings_of(AttentionLifter, window=6, channels=16, heads=2, depth=1, slide=3)
    config = dataclasses.replace(ATTENTION, network=network, chunk_frames=6)
    first, last = learn(config, 60, 1e-2, monkeypatch)
    assert first > 0.05 and last < 0.2 * first
