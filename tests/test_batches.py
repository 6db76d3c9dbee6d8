"""What a training step draws, against what the movements and the cameras say."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import CLIP, TINY, UNMASKED, draw, draw_placed
from silent_detector import SILENT

from experiments.training import batches, loop
from experiments.training.configs import OURS
from gated_lift.cameras import VirtualCamera
from gated_lift.occlusion import gap_age
from gated_lift.skeleton import H36M_17

# ------------------------------------------------------------------------------------------------ windows


CLEAN = dataclasses.replace(TINY, masks=UNMASKED, detector=SILENT)


def test_a_bank_bounds_every_persons_clip():
    bank = batches.make_bank((CLIP, CLIP._replace(poses=CLIP.poses[:, :10])))
    assert bank.poses.shape == (2 * 32 + 2 * 10, 17, 3)
    np.testing.assert_array_equal(np.unique(bank.first), [0, 32, 64, 74])
    np.testing.assert_array_equal(np.unique(bank.last), [31, 63, 73, 83])
    np.testing.assert_array_equal(bank.poses[64:74], CLIP.poses[0, :10])


VARIED = dataclasses.replace(CLEAN, recombined_share=0.25, turned_share=0.25, body_spread=0.1)


@pytest.mark.parametrize("config", [CLEAN, VARIED])
def test_targets_are_what_the_keypoints_show(config):
    """Keypoints are the projection of the targets, mirrored and varied ones too: one root explains all of a
    frame, and it is where the person is said to stand.
    """
    batch, placement = draw_placed(config)
    assert batch.keypoints.shape == (256, 24, 17, 2) and batch.occluded.shape == (256, 24, 17)
    assert batch.target.shape == (256, 16, 17, 3) and batch.weight.shape == (256, 16)
    np.testing.assert_array_equal(batch.target[:, :, 0], 0)
    before = loop.make_lifter(CLEAN).padding[0]
    keypoints = np.asarray(batch.keypoints, np.float64)[:, before : before + 16]
    hidden = np.asarray(batch.occluded)[:, before : before + 16].any(-1)
    target, focal = np.asarray(batch.target, np.float64), 2 * 1145 / 1000
    # u (Z + z) = f (X + x): two linear equations a joint for the root (X, Y, Z).
    rows = np.zeros((*keypoints.shape[:3], 2, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = focal
    rows[..., 2] = -keypoints
    sides = keypoints * target[..., 2:] - focal * target[..., :2]
    residuals, roots = [], []
    for matrix, side in zip(rows[~hidden].reshape(-1, 34, 3), sides[~hidden].reshape(-1, 34), strict=True):
        root = np.linalg.lstsq(matrix, side)[0]
        residuals.append(np.abs(matrix @ root - side).max() / root[2])
        roots.append(root)
    assert np.max(residuals) < 1e-4  # of half the image's width: 0.05 px
    assert np.min(roots, axis=0)[2] > 1.0 and np.max(roots, axis=0)[2] < 10.0
    assert hidden.mean() < 0.1
    np.testing.assert_allclose(placement.root[~hidden], roots, atol=5e-3)
    np.testing.assert_array_equal(placement.camera.focal, 1145.0)


def test_the_asked_share_of_the_windows_is_varied():
    """The others are drawn as without it; halves leave the legs alone, turns every bone's length."""
    names = [name for name in H36M_17.names if name.endswith(("hip", "knee", "ankle"))]
    legs = [H36M_17.names.index(name) for name in names]
    plain = draw(CLEAN).target
    halves = draw(dataclasses.replace(CLEAN, recombined_share=0.25)).target
    differs = np.abs(halves - plain).max(axis=(1, 2, 3)) > 1e-4
    assert 0.18 < differs.mean() < 0.32
    np.testing.assert_allclose(halves[:, :, legs], plain[:, :, legs], atol=1e-5)
    turned = draw(dataclasses.replace(CLEAN, turned_share=0.25)).target
    differs = np.abs(turned - plain).max(axis=(1, 2, 3)) > 1e-4
    assert 0.18 < differs.mean() < 0.32
    lengths = [
        np.linalg.norm(each[..., 1:, :] - each[..., H36M_17.parents[1:], :], axis=-1)
        for each in (plain, turned)
    ]
    np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-4)


def test_half_of_the_windows_are_mirrored():
    def forearm(side):
        wrist, elbow = (H36M_17.names.index(f"{side}_{joint}") for joint in ("wrist", "elbow"))
        return np.linalg.norm(draw(CLEAN).target[:, 0, wrist] - draw(CLEAN).target[:, 0, elbow], axis=-1)

    # The left forearm is the longer one: where the right one is, the window was mirrored.
    ratio = forearm("left") / forearm("right")
    assert (np.isclose(ratio, 2.0, atol=0.3) | np.isclose(ratio, 0.5, atol=0.08)).all()
    assert (ratio > 1).mean() == pytest.approx(0.5, abs=0.1)


def test_masks_hide_and_gaps_are_filled():
    batch = draw()
    assert batch.occluded.mean() == pytest.approx(0.5, abs=0.05)
    assert np.isfinite(batch.keypoints).all()
    hidden = batch.occluded
    # Hidden keypoints are filled in time: between frames they jump less than visible ones, which have noise.
    assert hidden[:, 12].any() and batch.keypoints[hidden].any(-1).mean() > 0.99
    steps = np.linalg.norm(np.diff(batch.keypoints, axis=1), axis=-1)
    inside, outside = hidden[:, 1:] & hidden[:, :-1], ~hidden[:, 1:] & ~hidden[:, :-1]
    assert np.median(steps[inside]) < np.median(steps[outside])


def test_zeroed_gaps_are_zero():
    config = dataclasses.replace(TINY, network=TINY.network.replace(fill="zero"))
    batch, filled = draw(config), draw()
    np.testing.assert_array_equal(batch.occluded, filled.occluded)
    np.testing.assert_allclose(batch.target, filled.target, atol=1e-6)  # two programs round differently
    assert not batch.keypoints[batch.occluded].any()
    np.testing.assert_allclose(batch.keypoints[~batch.occluded], filled.keypoints[~batch.occluded], atol=1e-6)


def test_chunks_stay_inside_their_clip():
    batch = draw(CLEAN)
    long = batch.weight.all(axis=1)
    assert long.mean() == pytest.approx(64 / 84, abs=0.1)
    # A clip of ten frames fills ten of a chunk's sixteen outputs; the rest repeats its last, unweighted.
    np.testing.assert_array_equal(batch.weight[~long], np.tile(np.arange(16) < 10, (np.sum(~long), 1)))
    repeated = np.repeat(batch.target[~long, 9:10], 6, axis=1)
    np.testing.assert_allclose(batch.target[~long, 10:], repeated, atol=1e-6)
    assert np.abs(np.diff(batch.target[long], axis=1)).max(axis=(1, 2, 3)).min() > 1e-5


def test_a_chunks_outputs_are_a_stride_apart():
    every = draw(CLEAN)
    third = draw(dataclasses.replace(CLEAN, chunk_frames=6, chunk_stride=3))
    assert every.keypoints.shape == third.keypoints.shape
    long = every.weight.all(axis=1)
    np.testing.assert_allclose(third.target[long], every.target[long][:, ::3], atol=1e-6)
    np.testing.assert_array_equal(third.weight, every.weight[:, ::3])


def test_ages_count_from_beyond_the_window():
    """A gap may end just beyond the window, which the window alone cannot tell."""
    batch = draw(dataclasses.replace(TINY, context_frames=6, context_stride=1))
    alone = np.asarray(gap_age(jnp.asarray(batch.occluded)))
    assert (batch.age <= alone).all() and ((batch.age > 0) == batch.occluded).all()
    assert (batch.age < alone).mean() > 0.001


def test_roots_are_seen_by_one_focal_length(monkeypatch):
    """However the cameras differ: keypoints of a longer lens are scaled down to the mean one."""
    placed = draw_placed(CLEAN)
    focal = np.repeat(np.random.default_rng(0).uniform(800, 1600, (256, 1)), 2, axis=1).astype(np.float32)
    seen = placed[0].keypoints * (focal / 1145)[:, None, None]
    lenses = placed[1].camera._replace(focal=focal)
    monkeypatch.setattr(
        batches,
        "draw_placed_batch",
        lambda *_: (placed[0]._replace(keypoints=seen), placed[1]._replace(camera=lenses)),
    )
    camera = VirtualCamera(focal=(800.0, 1600.0))
    config = dataclasses.replace(CLEAN, network=OURS.replace(target="root"), camera=camera)
    batch = batches.draw_batch(None, None, loop.make_lifter(config), config, 256)
    np.testing.assert_allclose(batch.keypoints, placed[0].keypoints * (1200 / 1145), rtol=1e-5)
    np.testing.assert_array_equal(batch.target, placed[1].root[:, :, None])


def test_windows_are_decided_by_the_key():
    draw_placed.cache_clear()
    first = draw()
    draw_placed.cache_clear()
    jax.tree.map(np.testing.assert_array_equal, first, draw())
    assert (first.target != draw(seed=1).target).any()


# ------------------------------------------------------------------------------------------------- motion


def test_motion_comes_from_the_training_split(monkeypatch):
    halves = {"02": "validation", "16": "train", "35": "train", "18": "test"}
    clips = [CLIP._replace(subject=subject, split=half) for subject, half in halves.items()]
    monkeypatch.setattr(batches.motion, "read_clips", lambda paths: tuple(clips))
    config = dataclasses.replace(TINY, data=(Path("a.npz"),))
    assert [clip.subject for clip in batches.read_motion(config)] == ["16", "35"]
    kept = batches.read_motion(dataclasses.replace(config, exclude_subjects=("35",)))
    assert [clip.subject for clip in kept] == ["16"]
    with pytest.raises(ValueError, match=r"data a.npz leaves no training clip"):
        batches.read_motion(dataclasses.replace(config, exclude_subjects=("35", "16")))
    clips[1] = clips[1]._replace(fps=30.0)
    with pytest.raises(ValueError, match=r"data holds clips at \[30.0\] frames/s, training runs at 50"):
        batches.read_motion(config)


def test_without_data_motion_is_generated():
    clips = batches.read_motion(TINY)
    assert len(clips) == 4 and all(clip.fps == batches.FPS and clip.skeleton == H36M_17 for clip in clips)
    assert VirtualCamera() == TINY.camera
