"""Trajectory-space factorization against NumPy and SciPy's cosine transform, over whole clips, and learning
eight of them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
from lifter_oracle import EPSILON, random_variables
from overfit import learn
from window_clips import abstract, clip, fill_gaps, mirror, mirror_mask

from experiments.training.configs import LIN
from gated_lift.networks.factorized import FactorizedLifter, cosine_bases
from gated_lift.networks.protocol import lift_clip, parameter_count
from gated_lift.networks.settings import settings_of
from gated_lift.skeleton import H36M_17

LIFTER = FactorizedLifter(window=12, bases=3, features=6, hidden=7, slide=5)
WINDOW = LIFTER.window

apply = jax.jit(LIFTER.apply)
lift = jax.jit(lift_clip, static_argnames=("lifter", "skeleton", "flip"))


VARIABLES = random_variables(abstract(LIFTER), 0)


# ------------------------------------------------------------------------------------------------- oracle


def oracle(lifter, variables, keypoints):
    """(B, F, 17, 2) without gaps to (B, F, 17, 3)."""
    double = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, running, statistics = double["params"], double["batch_stats"], double["statistics"]
    batch, frames = keypoints.shape[:2]

    def layer(parts, name):
        outputs = np.concatenate(parts, -1) @ params[name]["kernel"]
        norm, moments = params[f"{name}_norm"], running[f"{name}_norm"]
        outputs = (outputs - moments["mean"]) / np.sqrt(moments["var"] + EPSILON)
        return np.maximum(outputs * norm["scale"] + norm["bias"], 0)

    scores = (np.asarray(keypoints, np.float64) - statistics["keypoints"]["mean"]) / statistics["keypoints"][
        "std"
    ]
    seen = [scores.reshape(batch, frames, -1)]
    for index in range(5):
        seen.append(layer(seen, f"frame{index}"))
    known = []
    for part in seen:
        padded = np.pad(part, ((0, 0), (2, 2), (0, 0)))
        pooled = sum(padded[:, shift : shift + frames] for shift in range(5)) / 5
        spectrum = scipy.fft.dct(pooled, type=2, axis=1)[:, : lifter.bases] / frames
        spectrum[:, 0] *= np.sqrt(0.5)
        known.append(spectrum.reshape(batch, -1))
    for index in range(4):
        known.append(layer(known, f"path{index}"))
    paths = np.concatenate(known, -1) @ params["head"]["kernel"] + params["head"]["bias"]
    spectrum = np.zeros((batch, frames, 48))
    spectrum[:, : lifter.bases] = paths.reshape(batch, lifter.bases, 48) * np.sqrt(frames / 2)
    joints = scipy.fft.idct(spectrum, type=2, axis=1, norm="ortho").reshape(batch, frames, 16, 3)
    joints = joints * statistics["poses"]["std"] + statistics["poses"]["mean"]
    return np.concatenate([np.zeros((batch, frames, 1, 3)), joints], axis=2)


# --------------------------------------------------------------------------------------------------- bases


def test_bases_are_orthogonal():
    bases = cosine_bases(50, 50)
    np.testing.assert_allclose(bases @ bases.T, 25 * np.eye(50), atol=1e-10)
    np.testing.assert_array_equal(cosine_bases(8, 50), bases[:8])


def test_a_smooth_path_comes_back_from_eight_coefficients():
    time = np.linspace(0, 1, 50)
    path = 0.3 + 0.5 * time + 0.2 * np.sin(3 * time)
    bases = cosine_bases(8, 50)
    back = bases.T @ (2 / 50 * bases @ path)
    assert np.abs(back - path).max() < 0.05 * np.ptp(path)
    assert np.sqrt(np.mean((back - path) ** 2)) < 0.01 * np.ptp(path)
    # A path in the bases' own space comes back exactly.
    np.testing.assert_allclose(bases.T @ (2 / 50 * bases @ back), back, atol=1e-12)


@pytest.mark.parametrize("count", [0, 13])
def test_bases_number_at_most_the_frames(count):
    with pytest.raises(ValueError, match=rf"bases is {count}: choose from 1 to the window's 12 frames"):
        LIFTER.clone(bases=count).init(jax.random.key(0), *clip(12))


# ------------------------------------------------------------------------------------------------- network


def test_windows_match_numpy():
    keypoints, occluded = clip(WINDOW)
    poses = apply(VARIABLES, keypoints, occluded)
    assert poses.shape == (2, WINDOW, 17, 3) and poses.dtype == jnp.float32
    expected = oracle(LIFTER, VARIABLES, fill_gaps(keypoints, occluded))
    np.testing.assert_allclose(poses, expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=1)).max() > 0.03
    filled = apply(VARIABLES, keypoints, occluded, age=jnp.zeros(occluded.shape))
    np.testing.assert_allclose(filled, oracle(LIFTER, VARIABLES, keypoints), atol=1e-5)


def test_parameter_counts_of_the_authors_sizes():
    # Dense connections: every layer sees 34 channels and all layers before it. No bias before a batch norm.
    frame = sum((34 + 256 * index) * 256 + 2 * 256 for index in range(5))
    coefficients = 8 * (34 + 5 * 256)
    path = sum((coefficients + 1024 * index) * 1024 + 2 * 1024 for index in range(4))
    head = (coefficients + 4 * 1024 + 1) * 8 * 48
    assert parameter_count(abstract(FactorizedLifter())) == frame + path + head == 55_668_096


def test_training_updates_batch_statistics_only():
    keypoints, occluded = clip(WINDOW)
    run = jax.jit(
        lambda seed: LIFTER.apply(
            VARIABLES,
            keypoints,
            occluded,
            train=True,
            rngs={"dropout": jax.random.key(seed)},
            mutable=["batch_stats"],
        )
    )
    (first, updated), (second, _) = run(0), run(1)
    assert np.abs(np.asarray(first - second)).max() > 1e-3
    assert set(updated) == {"batch_stats"} and len(jax.tree.leaves(updated)) == 2 * 9


# --------------------------------------------------------------------------------------------- whole clips


@pytest.mark.parametrize("frames", [1, 24])
def test_windows_are_averaged(frames):
    """24 frames: windows from 0, 5 and 10, and one from 12."""
    keypoints, occluded = clip(frames)
    filled = np.asarray(fill_gaps(keypoints, occluded))
    padded = np.pad(filled, ((0, 0), (0, max(0, WINDOW - frames)), (0, 0), (0, 0)), mode="edge")
    total, count = np.zeros((*padded.shape[:3], 3)), np.zeros((1, padded.shape[1], 1, 1))
    for start in (0, 5, 10, 12) if frames == 24 else (0,):
        window = slice(start, start + WINDOW)
        total[:, window] += oracle(LIFTER, VARIABLES, padded[:, window])
        count[:, window] += 1
    poses = lift(LIFTER, VARIABLES, keypoints, occluded, H36M_17, flip=False)
    assert poses.shape == (2, frames, 17, 3)
    np.testing.assert_allclose(poses, (total / count)[:, :frames], atol=1e-5)
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


def test_windows_of_another_length_are_refused():
    with pytest.raises(
        ValueError, match=r"keypoints has shape \(2, 6, 17, 2\): .* 12 frames, .*use lift_clip"
    ):
        LIFTER.apply(VARIABLES, *clip(6))
    keypoints, occluded = clip(12)
    with pytest.raises(ValueError, match="keypoints has 16 joints, the lifter was built for 17"):
        LIFTER.apply(VARIABLES, keypoints[:, :, 1:], occluded[:, :, 1:])
    with pytest.raises(ValueError, match="slide is 0: windows begin one or more frames apart"):
        lift_clip(LIFTER.clone(slide=0), VARIABLES, keypoints, occluded, H36M_17)


# ------------------------------------------------------------------------------------------------- training


def test_statistics_are_of_the_training_frames():
    rng = np.random.default_rng(0)
    keypoints, poses = rng.normal(size=(50, 17, 2)), rng.normal(size=(50, 17, 3))
    found = LIFTER.statistics(keypoints, poses)
    np.testing.assert_allclose(found["keypoints"]["mean"], keypoints.mean(0), atol=1e-6)
    np.testing.assert_allclose(found["poses"]["std"], poses[:, 1:].std(0), atol=1e-6)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, VARIABLES["statistics"])


def test_eight_clips_are_learnt(monkeypatch):
    network = settings_of(
        FactorizedLifter, window=12, bases=4, features=8, hidden=16, feature_dropout=0.0, hidden_dropout=0.0
    )
    config = dataclasses.replace(LIN, network=network, chunk_frames=12)
    first, last = learn(config, 80, 2e-2, monkeypatch)
    assert first > 0.05 and last < 0.2 * first
