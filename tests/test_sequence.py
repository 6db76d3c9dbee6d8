"""The sequence-to-sequence LSTM against NumPy in float64, over whole clips, and learning eight of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables, sigmoid
from overfit import learn
from window_clips import abstract, clip, fill_gaps

import gated_lift
from experiments.training.configs import HOSSAIN
from gated_lift.networks.checkpoints import with_training
from gated_lift.networks.protocol import lift_clip, parameter_count
from gated_lift.networks.sequence import NormalizedLSTM, SequenceLifter, smoothness_weights
from gated_lift.networks.settings import settings_of
from gated_lift.skeleton import H36M_17
from solvers import Camera

LIFTER = SequenceLifter(channels=8, window=3)
WINDOW = LIFTER.window

apply = jax.jit(LIFTER.apply)
lift = jax.jit(lift_clip, static_argnames=("lifter", "skeleton", "flip"))


VARIABLES = random_variables(abstract(LIFTER), 0)


# ------------------------------------------------------------------------------------------------- oracle


def layer_norm(values, params):
    values = (values - values.mean(-1, keepdims=True)) / np.sqrt(values.var(-1, keepdims=True) + 1e-6)
    return values * params["scale"] + params["bias"]


def lstm(hidden, memory, inputs, params):
    parts = np.split(np.concatenate([inputs, hidden], -1) @ params["gates"]["kernel"], 4, axis=-1)
    names = ("input", "candidate", "forget", "output")
    i, g, f, o = (layer_norm(part, params[name]) for part, name in zip(parts, names, strict=True))
    memory = layer_norm(memory * sigmoid(f + 1) + sigmoid(i) * np.tanh(g), params["memory"])
    return sigmoid(o) * np.tanh(memory), memory


def dense(values, params):
    return values @ params["kernel"] + params["bias"]


def oracle(variables, keypoints):
    """(B, T, 17, 2) without gaps to (B, T, 17, 3)."""
    double = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, statistics = double["params"], double["statistics"]
    keypoints = np.asarray(keypoints, np.float64)
    offsets = keypoints[:, :, 1:] - keypoints[:, :, :1]
    scores = (offsets - statistics["keypoints"]["mean"]) / statistics["keypoints"]["std"]
    batch, frames = keypoints.shape[:2]
    hidden = memory = np.zeros((batch, len(params["entry"]["bias"])))
    for frame in range(frames)[::-1]:
        inputs = dense(scores[:, frame].reshape(batch, -1), params["entry"])
        hidden, memory = lstm(hidden, memory, inputs, params["encoder"])
    poses = [np.ones((batch, 48))]
    for _ in range(frames):
        hidden, memory = lstm(hidden, memory, dense(poses[-1], params["feed"]), params["decoder"])
        poses.append(poses[-1] + dense(hidden, params["head"]))
    joints = np.stack(poses[1:], 1).reshape(batch, frames, 16, 3)
    joints = joints * statistics["poses"]["std"] + statistics["poses"]["mean"]
    return np.concatenate([np.zeros((batch, frames, 1, 3)), joints], axis=2)


# ------------------------------------------------------------------------------------------------- network


def test_a_step_of_the_lstm_matches_numpy():
    cell = NormalizedLSTM(6)
    rng = np.random.default_rng(0)
    hidden, memory, inputs = (jnp.asarray(rng.normal(size=(3, size)), jnp.float32) for size in (6, 6, 4))
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), (hidden, memory), inputs, False))
    variables = random_variables(shapes, 1)
    (shown, kept), output = cell.apply(variables, (hidden, memory), inputs, False)
    expected = lstm(*(np.asarray(each, np.float64) for each in (hidden, memory, inputs)), variables["params"])
    np.testing.assert_allclose(shown, expected[0], atol=1e-5)
    np.testing.assert_allclose(kept, expected[1], atol=1e-5)
    np.testing.assert_array_equal(output, shown)


@pytest.mark.default_flags
def test_windows_match_numpy():
    keypoints, occluded = clip(WINDOW)
    poses = apply(VARIABLES, keypoints, occluded)
    assert poses.shape == (2, WINDOW, 17, 3) and poses.dtype == jnp.float32
    expected = oracle(VARIABLES, fill_gaps(keypoints, occluded))
    np.testing.assert_allclose(poses, expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=1)).max() > 0.1
    filled = apply(VARIABLES, keypoints, occluded, age=jnp.zeros(occluded.shape))
    np.testing.assert_allclose(filled, oracle(VARIABLES, keypoints), atol=1e-5)


def test_parameter_counts_of_the_authors_sizes():
    # Linear 32 → 1024 and 48 → 1024; twice an LSTM of 1024 + 1024 inputs to four gates, with five norms of
    # two vectors each; Linear 1024 → 48.
    linear = 33 * 1024 + 49 * 1024 + 1025 * 48
    cells = 2 * (2048 * 4096 + 5 * 2 * 1024)
    assert parameter_count(abstract(SequenceLifter())) == linear + cells == 16_930_864


def test_where_a_person_stands_in_the_image_does_not_matter():
    keypoints, _ = clip(WINDOW)
    seen = jnp.zeros(keypoints.shape[:-1], bool)
    moved = keypoints + jnp.array([0.3, -0.2])[None, None, None]
    np.testing.assert_allclose(apply(VARIABLES, moved, seen), apply(VARIABLES, keypoints, seen), atol=1e-4)


def test_dropout_is_for_training_only():
    keypoints, occluded = clip(WINDOW)

    @jax.jit
    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return LIFTER.apply(VARIABLES, keypoints, occluded, train=True, rngs=rngs)

    assert np.abs(np.asarray(run(0) - run(1))).max() > 1e-3
    np.testing.assert_array_equal(run(0), run(0))


# --------------------------------------------------------------------------------------------- whole clips


@pytest.mark.parametrize("frames", [1, 12])
def test_every_frame_is_the_last_of_its_window(frames):
    keypoints, occluded = clip(frames)
    filled = np.asarray(fill_gaps(keypoints, occluded))
    padded = np.concatenate([np.repeat(filled[:, :1], WINDOW - 1, axis=1), filled], axis=1)
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17)
    assert poses.shape == (2, frames, 17, 3)
    np.testing.assert_array_equal(poses[:, :, 0], 0)
    for frame in range(frames):
        expected = oracle(VARIABLES, padded[:, frame : frame + WINDOW])[:, -1]
        np.testing.assert_allclose(poses[:, frame], expected, atol=1e-5)


def test_mirror_images_are_not_averaged():
    """Its authors do not."""
    traced = jax.make_jaxpr(lambda *clip: lift_clip(LIFTER, VARIABLES, *clip, H36M_17, flip=True))(*clip(2))
    alone = jax.make_jaxpr(lambda *clip: lift_clip(LIFTER, VARIABLES, *clip, H36M_17, flip=False))(*clip(2))
    assert str(traced) == str(alone)


def test_hidden_values_never_matter():
    keypoints, occluded = clip(12)
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17)
    poisoned = jnp.where(occluded[..., None], jnp.nan, keypoints)
    np.testing.assert_array_equal(lift(LIFTER, VARIABLES, poisoned, occluded, H36M_17), poses)
    window, mask = poisoned[:, :WINDOW], occluded[:, :WINDOW]
    np.testing.assert_array_equal(
        apply(VARIABLES, window, mask), apply(VARIABLES, keypoints[:, :WINDOW], mask)
    )


def test_pixels_of_any_camera_are_lifted():
    """From two cameras' pixels of the same rays, as from the rays themselves."""
    keypoints, occluded = clip(12)
    rays = keypoints / 2.29
    loaded = with_training(LIFTER, VARIABLES, {"view": {"focal": 2.29, "turned": False}})
    expected = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17)
    for focal, center in (((1145.0, 1145.0), (500.0, 500.0)), ((600.0, 620.0), (320.0, 240.0))):
        camera = Camera(jnp.array(focal), jnp.array(center))
        pixels = jnp.asarray(np.asarray(rays) * focal + np.asarray(center), jnp.float32)
        poses = gated_lift.lift(loaded, pixels, occluded, camera, LIFTER.fps)
        np.testing.assert_allclose(poses, expected, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------------ bad input


def test_windows_of_another_length_are_refused():
    with pytest.raises(
        ValueError, match=r"keypoints has shape \(2, 6, 17, 2\): .* \(batch, 3 frames, .*use lift_clip"
    ):
        LIFTER.apply(VARIABLES, *clip(6))
    keypoints, occluded = clip(3)
    with pytest.raises(ValueError, match="keypoints has 16 joints, the lifter was built for 17"):
        LIFTER.apply(VARIABLES, keypoints[:, :, 1:], occluded[:, :, 1:])
    with pytest.raises(ValueError, match="occluded has dtype float32"):
        lift_clip.__wrapped__(LIFTER, VARIABLES, keypoints, jnp.zeros((2, 3, 17)), H36M_17)


# ------------------------------------------------------------------------------------------------- training


def test_smoothness_weights_belong_to_joints():
    weights = dict(zip(H36M_17.names, np.asarray(smoothness_weights(H36M_17)), strict=True))
    limbs = {"knee": 2.5, "ankle": 2.5, "elbow": 4.0, "wrist": 4.0}
    for name, weight in weights.items():
        assert weight == limbs.get(name.removeprefix("left_").removeprefix("right_"), 1.0)


def test_statistics_are_of_offsets_from_the_root():
    rng = np.random.default_rng(0)
    keypoints, poses = rng.normal(size=(50, 17, 2)), rng.normal(size=(50, 17, 3))
    found = LIFTER.statistics(keypoints, poses)
    offsets = keypoints[:, 1:] - keypoints[:, :1]
    np.testing.assert_allclose(found["keypoints"]["mean"], offsets.mean(0), atol=1e-6)
    np.testing.assert_allclose(found["keypoints"]["std"], offsets.std(0), atol=1e-6)
    np.testing.assert_allclose(found["poses"]["std"], poses[:, 1:].std(0), atol=1e-6)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, VARIABLES["statistics"])


def test_eight_clips_are_learnt(monkeypatch):
    network = settings_of(SequenceLifter, channels=24, window=3, dropout=0.0)
    config = dataclasses.replace(HOSSAIN, network=network, chunk_frames=3)
    first, last = learn(config, 80, 2e-2, monkeypatch)
    assert first > 0.05 and last < 0.2 * first
