"""What a training step draws, against what the movements and the cameras say."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import CLIP, TINY, UNMASKED, draw, draw_placed, drawing, make_bank
from silent_detector import SILENT

from experiments.training import batches, loop
from experiments.training.configs import OURS
from gated_lift.cameras import VirtualCamera, screen_focal
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import frame_times, gap_age
from gated_lift.recovery.observation import observe
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.hiding import HidingDistribution
from solvers import project

# ------------------------------------------------------------------------------------------------ windows


CLEAN = dataclasses.replace(TINY, masks=UNMASKED, detector=SILENT)


def test_a_bank_bounds_every_persons_clip():
    bank = batches.make_bank((CLIP, CLIP._replace(poses=CLIP.poses[:, :10])))
    assert bank.poses.shape == (2 * 32 + 2 * 10, 17, 3)
    np.testing.assert_array_equal(np.unique(bank.first), [0, 32, 64, 74])
    np.testing.assert_array_equal(np.unique(bank.last), [31, 63, 73, 83])
    np.testing.assert_array_equal(bank.poses[64:74], CLIP.poses[0, :10])


VARIED = dataclasses.replace(
    CLEAN, recombined_share=0.25, turned_share=0.25, body_spread=0.1, spun_share=0.25, laid_share=0.25
)


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
    # u (Z + z) = f (X + x): two linear equations a joint for the root (X, Y, Z), in the axes of the targets.
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
    turned = np.einsum("bnij,bnj->bni", placement.turn, placement.root)
    np.testing.assert_allclose(turned[~hidden], roots, atol=5e-3)
    np.testing.assert_array_equal(placement.camera.focal, 1145.0)


def test_people_are_in_the_middle_of_what_the_network_sees():
    """Their targets are seen along the axis, wherever the camera has them, and what is level stays level."""
    _, placement = draw_placed(CLEAN)
    turn = np.asarray(placement.turn, np.float64)
    np.testing.assert_allclose(
        turn @ np.swapaxes(turn, -1, -2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(turn), 1.0, atol=1e-6)
    np.testing.assert_array_equal(turn[..., 0, 1], 0)
    in_camera = placement.root[..., :2] / placement.root[..., 2:]
    turned = np.einsum("bnij,bnj->bni", turn, placement.root)
    slope = turned[..., :2] / turned[..., 2:]
    assert in_camera[..., 0].std() > 0.08 and slope[..., 0].std() < 0.015
    assert np.abs(slope).max() < 0.06


MASKED = dataclasses.replace(TINY, detector=SILENT)


@pytest.mark.parametrize("config", [CLEAN, MASKED])
def test_a_batch_turned_back_and_placed_projects_onto_its_keypoints(config):
    """In its own camera, also the mirrored windows, of which half are."""
    batch, placement = draw_placed(config)
    joints = back(batch.target, placement.turn) + placement.root[:, :, None]
    seen = np.asarray(jax.jit(project)(jnp.asarray(joints), placement.camera))
    shown = ~placement.occluded
    assert shown.mean() > (0.4 if config is MASKED else 0.8)
    np.testing.assert_allclose(seen[shown], placement.keypoints[shown], atol=0.05)
    assert not shown[batch.weight == 0].any()
    before = loop.make_lifter(config).padding[0]
    hidden = batch.occluded[:, before : before + 16]
    np.testing.assert_array_equal(placement.occluded, hidden | (batch.weight == 0)[..., None])


def back(values, turn):
    return np.einsum("bnji,bnkj->bnki", np.asarray(turn, np.float64), np.asarray(values, np.float64))


@pytest.mark.parametrize("fill", ["interpolate", "zero"])
def test_the_network_reads_what_it_would_of_these_pixels(fill):
    """Training and use share one way from pixels to the network: asserted where the window is all there is,
    without margins, and its outputs are every frame of it, mirrored or not.
    """
    lifter = TemporalLifter("two_stream", 8, (1, 1), fill=fill)
    assert lifter.padding == (0, 0)
    config = dataclasses.replace(TINY, context_frames=0, detector=SILENT)
    run = jax.jit(lambda key, bank: batches.draw_placed_batch(key, bank, lifter, config, 64))
    batch, placement = jax.tree.map(np.asarray, run(jax.random.key(0), make_bank()))
    whole = batch.weight.all(axis=1)
    assert batch.keypoints.shape == (64, 16, 17, 2) and 0.5 < whole.mean() < 1
    times = frame_times(16, batches.FPS)
    camera = jax.tree.map(lambda values: values[whole], placement.camera)
    pixels = np.where(placement.occluded[..., None], np.nan, placement.keypoints)[whole]
    hidden = placement.occluded[whole]
    seen = jax.jit(lambda *arrays: observe(lifter, *arrays, camera, screen_focal(config.camera), times))(
        pixels, hidden
    )
    np.testing.assert_array_equal(seen.occluded, batch.occluded[whole])
    np.testing.assert_allclose(seen.keypoints, batch.keypoints[whole], atol=2e-5)
    np.testing.assert_allclose(seen.age, batch.age[whole], atol=1e-6)
    np.testing.assert_allclose(seen.turn, placement.turn[whole], atol=2e-6)


def test_the_asked_share_of_the_windows_is_varied():
    """The others are drawn as without it; halves leave the legs alone, turns every bone's length."""
    names = [name for name in H36M_17.names if name.endswith(("hip", "knee", "ankle"))]
    legs = [H36M_17.names.index(name) for name in names]

    def in_camera(config):
        # The middle of a person, and with it the turn, is another for another body.
        batch, placement = draw_placed(config)
        return back(batch.target, placement.turn)

    plain = in_camera(CLEAN)
    halves = in_camera(dataclasses.replace(CLEAN, recombined_share=0.25))
    differs = np.abs(halves - plain).max(axis=(1, 2, 3)) > 1e-4
    assert 0.18 < differs.mean() < 0.32
    np.testing.assert_allclose(halves[:, :, legs], plain[:, :, legs], atol=1e-5)
    turned = in_camera(dataclasses.replace(CLEAN, turned_share=0.25))
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
    batch, placement = draw_placed(CLEAN)
    long = batch.weight.all(axis=1)
    assert long.mean() == pytest.approx(64 / 84, abs=0.1)
    # A clip of ten frames fills ten of a chunk's sixteen outputs; the rest repeats its last, unweighted.
    np.testing.assert_array_equal(batch.weight[~long], np.tile(np.arange(16) < 10, (np.sum(~long), 1)))
    in_camera = back(batch.target, placement.turn)
    repeated = np.repeat(in_camera[~long, 9:10], 6, axis=1)
    np.testing.assert_allclose(in_camera[~long, 10:], repeated, atol=1e-6)
    assert np.abs(np.diff(in_camera[long], axis=1)).max(axis=(1, 2, 3)).min() > 1e-5


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
    frames = batch.occluded.shape[1]
    alone = np.asarray(gap_age(jnp.asarray(batch.occluded), frame_times(frames, batches.FPS)))
    assert (batch.age < alone + 1e-6).all() and ((batch.age > 0) == batch.occluded).all()
    assert (batch.age < alone - 1e-3).mean() > 0.001


def test_rays_have_one_focal_length_however_the_cameras_differ():
    """The mean one, which a network is said to have been trained with."""
    config = dataclasses.replace(
        CLEAN,
        network=OURS.replace(channels=8, filter_widths=(3, 3), target="root"),
        camera=VirtualCamera(focal=(800.0, 1600.0)),
    )
    lifter = loop.make_lifter(config)

    @jax.jit
    def run(key, bank):
        _, placement = batches.draw_placed_batch(key, bank, lifter, config, 256)
        return batches.draw_batch(key, bank, lifter, config, 256), placement

    batch, placement = jax.tree.map(np.asarray, run(jax.random.key(0), make_bank()))
    focal = placement.camera.focal
    assert focal.min() < 850 and focal.max() > 1550
    # The root is what the targets say, and its own keypoint lies on its ray times the mean focal length.
    turned_root = np.einsum("bnij,bnj->bni", placement.turn, placement.root)
    np.testing.assert_allclose(batch.target[:, :, 0], turned_root, atol=1e-5)
    before = lifter.padding[0]
    shown = ~batch.occluded[:, before : before + 16, 0]
    seen = batch.keypoints[:, before : before + 16, 0]
    slope = batch.target[:, :, 0, :2] / batch.target[:, :, 0, 2:]
    assert shown.mean() > 0.9
    np.testing.assert_allclose(seen[shown], 2 * 1200 / 1000 * slope[shown], atol=2e-4)


def test_windows_are_decided_by_the_key():
    first = draw()
    drawing.cache_clear()  # so that the program is traced anew, too
    draw_placed.cache_clear()
    jax.tree.map(np.testing.assert_array_equal, first, draw())
    assert (first.target != draw(seed=1).target).any()


WILD = dataclasses.replace(
    CLEAN,
    network=TINY.network.replace(tilt=True, confidence=True),
    detector=SILENT._replace(noise=0.008),
    wide_share=0.5,
    slow_share=0.5,
    level_share=0.75,
    shifted_share=0.5,
    hiding=HidingDistribution(hidden_share=0.5, lacking_share=0.5),
)


def test_the_vertical_is_that_of_the_targets_axes():
    """A thigh and a trunk that point up in the world point along ``up`` in the axes of the targets."""
    batch, placement = draw_placed(WILD)
    told = np.linalg.norm(batch.hints.up, axis=-1)
    np.testing.assert_allclose(told[told > 0], 1, atol=1e-5)
    assert 0.65 < (told[:, 0] > 0).mean() < 0.85
    before = loop.make_lifter(WILD).padding[0]
    up = batch.hints.up[:, before : before + 16]
    trunk = batch.target[:, :, H36M_17.names.index("thorax")]
    upright = np.sum(up * trunk, axis=-1) / np.linalg.norm(trunk, axis=-1)
    assert upright[told[:, before : before + 16] > 0].min() > 0.9  # the two who cross walk upright
    down = np.einsum("bnij,bni->bnj", placement.turn, up)  # back in camera axes
    assert (down[..., 2] < -0.5).any() and np.abs(down[..., 0]).max() > 0.2  # steep and rolled cameras


def test_doubt_is_told_of_half_of_the_windows_and_slow_videos_are_smoother():
    batch, _ = draw_placed(WILD)
    doubt, hidden = np.asarray(batch.hints.doubt), np.asarray(batch.occluded)
    assert ((doubt >= 0) & (doubt < 1)).all() and not doubt[hidden].any()
    told = (doubt > 0).any((1, 2))
    assert 0.4 < told.mean() < 0.6 and (doubt > 0)[told][~hidden[told]].all()
    # Between two frames of a video that is more than twice as slow as the network, three lie on a line: of
    # rates with even logarithms six tenths, and of the windows half of those.
    bends = np.abs(np.diff(np.asarray(batch.keypoints), n=2, axis=1)).max((-1, -2))
    straight = (bends < 1e-4).any(axis=1)
    assert 0.2 < straight.mean() < 0.4


def test_files_are_drawn_by_their_shares(monkeypatch):
    clips = [CLIP._replace(source=name, split="train") for name in ("a.npz", "a.npz", "b.npz")]
    bank = batches.make_bank(tuple(clips))
    frames = CLIP.poses.shape[0] * CLIP.poses.shape[1]
    np.testing.assert_array_equal(bank.files, [[0, 2 * frames], [2 * frames, 3 * frames]])
    config = dataclasses.replace(TINY, data=(Path("a.npz"), Path("b.npz")), data_shares=(1.0, 3.0))
    frame = np.asarray(batches.draw_frames(jax.random.key(0), bank, config.data_shares, 2000))
    assert 0.7 < (frame >= 2 * frames).mean() < 0.8 and frame.max() == 3 * frames - 1
    with pytest.raises(ValueError, match=r"data_shares \(1.0,\) are not one a file: .* 2 files, a.n"):
        batches.read_bank(dataclasses.replace(config, data_shares=(1.0,)), tuple(clips))


# ------------------------------------------------------------------------------------------------- motion


def test_motion_comes_from_the_training_split(monkeypatch):
    halves = {"02": "validation", "16": "train", "35": "train", "18": "test"}
    clips = [CLIP._replace(subject=subject, split=half) for subject, half in halves.items()]
    monkeypatch.setattr(batches.motion, "read_clips", lambda paths: tuple(clips))
    config = dataclasses.replace(TINY, data=(Path("a.npz"),))
    assert [clip.subject for clip in batches.read_motion(config)] == ["16", "35"]
    kept = batches.read_motion(dataclasses.replace(config, exclude_subjects=("35",)))
    assert [clip.subject for clip in kept] == ["16"]
    # Never of the split that results are judged on.
    held = batches.read_held_out(dataclasses.replace(config, exclude_subjects=("35", "02", "18")))
    assert [clip.subject for clip in held] == ["35"] and batches.read_held_out(config) == ()
    assert len(batches.read_held_out(TINY)) == 1
    with pytest.raises(ValueError, match=r"data a.npz leaves no training clip"):
        batches.read_motion(dataclasses.replace(config, exclude_subjects=("35", "16")))


def test_motion_is_brought_to_the_rate_of_training(monkeypatch):
    clips = (
        CLIP._replace(subject="16", split="train"),
        CLIP._replace(subject="35", split="train", fps=100.0),
    )
    monkeypatch.setattr(batches.motion, "read_clips", lambda paths: clips)
    config = dataclasses.replace(TINY, data=(Path("a.npz"),))
    same, halved = batches.read_motion(config)
    assert same.fps == halved.fps == batches.FPS and same.poses is CLIP.poses
    np.testing.assert_allclose(halved.poses, CLIP.poses[:, ::2], atol=1e-6)
    (held,) = batches.read_held_out(dataclasses.replace(config, exclude_subjects=("35",)))
    np.testing.assert_array_equal(held.poses, halved.poses)


def test_without_data_motion_is_generated():
    clips = batches.read_motion(TINY)
    assert len(clips) == 4 and all(clip.fps == batches.FPS and clip.skeleton == H36M_17 for clip in clips)
    assert VirtualCamera() == TINY.camera
