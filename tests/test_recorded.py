"""Training on Human3.6M's layout with generated motion: what is drawn, and a run."""

import dataclasses
import io

import human36m_files as files
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

from experiments.training import batches, loop, recorded
from experiments.training.configs import OURS, SMOKE
from gated_lift.cameras import screen_focal
from gated_lift.networks import checkpoints
from gated_lift.occlusion import MaskDistribution
from gated_lift.readers.human36m import TRAINING_SUBJECTS
from solvers import project


@pytest.fixture(scope="module", autouse=True)
def surroundings():
    """Optax's schedules mix dtypes themselves, which strict promotion would refuse."""
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("human36m"))


@pytest.fixture(scope="module")
def takes(folder):
    """The detector's takes of two subjects, cameras from the ground truth."""
    return files.read(folder, "data_2d_h36m_cpn.npz", "data_2d_h36m_gt.npz", ("S1", "S11"))


TINY = dataclasses.replace(
    SMOKE,
    network=OURS.replace(channels=8, filter_widths=(3, 3)),
    masks=MaskDistribution(1.0, (0.5, 0.5), (5,), 0.0),
    epochs=0.05,
    batch_frames=64,
    chunk_frames=8,
    context_frames=6,
    allow_pickle=True,
    validation_windows=0,
    time_drawing=False,
)


CLEAR = dataclasses.replace(TINY, masks=MaskDistribution(0.0, (0.0, 0.0), (1,), 0.0))


def draw(bank, config, size=256):
    lifter = loop.make_lifter(config)
    run = jax.jit(lambda key, bank: batches.draw_placed_batch(key, bank, lifter, config, size))
    return jax.tree.map(np.asarray, run(jax.random.key(0), bank))


def back(values, turn):
    """Camera axes from those of the targets."""
    return np.einsum("bnji,bnkj->bnki", np.asarray(turn, np.float64), np.asarray(values, np.float64))


def test_a_window_is_a_stretch_of_a_recorded_take(takes):
    batch, placement = draw(recorded.make_bank(takes), CLEAR)
    assert batch.keypoints.shape == (256, 16, 17, 2) and batch.target.shape == (256, 8, 17, 3)
    # Without noise the camera that goes with a window sees the targets where the keypoints are.
    joints = back(batch.target, placement.turn) + placement.root[:, :, None]
    off = np.asarray(project(jnp.asarray(joints), placement.camera)) - placement.keypoints
    assert 0.8 < off.std() / (3.0 / 1145) < 1.2  # the detector's 3 px
    # And so does the network, in axes that have the person in the middle.
    root = np.einsum("bnij,bnj->bni", placement.turn, placement.root)
    joints = batch.target + root[:, :, None]
    off = screen_focal() * joints[..., :2] / joints[..., 2:] - batch.keypoints[:, 4:12]
    assert 0.8 < off.std() / (3.0 * 2 / 1000) < 1.2
    assert batch.weight.all()


def test_exact_takes_turned_back_and_placed_project_onto_their_keypoints(folder):
    """Also the mirrored windows, through the lens that the bank has undone."""
    exact = files.read(folder, "data_2d_h36m_gt.npz", None, ("S9", "S11"))
    for config in (CLEAR, TINY):
        batch, placement = draw(recorded.make_bank(exact), config)
        joints = back(batch.target, placement.turn) + placement.root[:, :, None]
        seen = np.asarray(jax.jit(project)(jnp.asarray(joints), placement.camera))
        shown = ~placement.occluded
        assert shown.mean() > 0.4
        np.testing.assert_allclose(seen[shown], placement.keypoints[shown], atol=0.05 / 1145)


def test_banks_undo_every_camera(folder):
    exact = files.read(folder, "data_2d_h36m_gt.npz", None, ("S9", "S11"))
    bank = recorded.make_bank(exact)
    slope = np.asarray(bank.joints[..., :2] / bank.joints[..., 2:])
    np.testing.assert_allclose(bank.keypoints, slope, atol=4e-5)
    lengths = [len(take.joints) for take in exact]
    assert len(bank.first) == sum(lengths)
    np.testing.assert_array_equal(np.unique(bank.first), np.cumsum([0, *lengths[:-1]]))
    np.testing.assert_array_equal(np.unique(bank.last), np.cumsum(lengths) - 1)
    hidden = exact[0]._replace(
        occluded=np.ones_like(exact[0].occluded), keypoints=np.full_like(exact[0].keypoints, np.nan)
    )
    assert np.isfinite(recorded.make_bank([hidden]).keypoints).all()


def test_training_takes_steps_on_recorded_keypoints(folder, tmp_path):
    config = dataclasses.replace(
        TINY,
        human36m=folder / "data_3d_h36m.npz",
        keypoints_2d=folder / "data_2d_h36m_cpn.npz",
        cameras=folder / "data_2d_h36m_gt.npz",
        output=tmp_path,
    )
    console = Console(file=io.StringIO(), width=200)
    loaded = checkpoints.load_lifter(loop.train(config, console))
    # Five subjects with three takes each, seen four times.
    assert f"15 clips, {15 * files.FRAMES * 4:,} frames; 2 steps" in console.file.getvalue()
    assert "Human3.6M" in loaded.description["licences"][0]
    before = loop.init_state(config, loop.make_lifter(config), optax.amsgrad(1e-3)).variables["params"]
    assert (before["head"]["kernel"] != loaded.variables["params"]["head"]["kernel"]).any()


def test_motion_of_human36m_may_be_seen_by_virtual_cameras(folder):
    config = dataclasses.replace(TINY, human36m=folder / "data_3d_h36m.npz")
    clips = batches.read_motion(config)
    assert [clip.subject for clip in clips] == [subject for subject in TRAINING_SUBJECTS for _ in range(3)]
    bank = batches.read_bank(config, clips)
    assert isinstance(bank, batches.VirtualBank) and len(bank.poses) == 15 * files.FRAMES


def test_training_flags_that_do_not_go_together_are_refused(folder):
    keypoints, motion = folder / "data_2d_h36m_cpn.npz", folder / "data_3d_h36m.npz"
    with pytest.raises(ValueError, match=r"keypoints_2d .* give human36m"):
        batches.read_bank(dataclasses.replace(TINY, keypoints_2d=keypoints), ())
    with pytest.raises(ValueError, match=r"keypoints_2d .* no data"):
        config = dataclasses.replace(TINY, keypoints_2d=keypoints, human36m=motion, data=(motion,))
        batches.read_bank(config, ())
    for name in ("recombined_share", "turned_share", "body_spread"):
        with pytest.raises(ValueError, match=rf"{name} is 0\.1: recorded people"):
            config = dataclasses.replace(TINY, keypoints_2d=keypoints, human36m=motion, **{name: 0.1})
            batches.read_bank(config, ())
    with pytest.raises(ValueError, match=r"cameras .* saw no keypoints"):
        batches.read_bank(dataclasses.replace(TINY, human36m=motion, cameras=keypoints), ())


def test_subjects_are_kept_out_of_training(folder):
    config = dataclasses.replace(
        TINY, human36m=folder / "data_3d_h36m.npz", exclude_subjects=("S1", "S5", "S6", "S7")
    )
    clips = batches.read_motion(config)
    assert {clip.subject for clip in clips} == {"S8"}
