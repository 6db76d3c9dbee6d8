"""A whole small run, its exact continuation, and what a step sees and does."""

import dataclasses
import functools
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import golden
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from buckets import ADDRESS, empty_bucket
from drawn import CLIP, TINY, draw, make_bank
from jax.experimental.compilation_cache import compilation_cache
from lifter_oracle import random_variables
from noise import noise
from rich.console import Console
from signals import sender

from experiments import guards, runs
from experiments.stopping.devices import in_double
from experiments.training import batches, loop, mirror, validation
from experiments.training.configs import CONFIGS, OURS
from experiments.training.saving import SaveError
from gated_lift.losses import squared_joint_error
from gated_lift.networks import checkpoints
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.protocol import Hints
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.settings import settings_of
from gated_lift.occlusion import MaskDistribution
from gated_lift.synthetic.detector import DetectorConfig

STEPS = 12
GOLDEN_TOLERANCE = 1e-3


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory):
    """Optax's schedules mix dtypes themselves, which strict promotion would refuse. And runs of one
    configuration compile the same program, each anew: here they share what XLA made of it.
    """
    settings = {
        "jax_numpy_dtype_promotion": "standard",
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # files before may have found that there is none
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    # JAX reads the folder's name once: other files of this process would go on with it.
    compilation_cache.reset_cache()


@pytest.fixture
def motion(monkeypatch):
    """Two people over 32 frames: one step of 64 frames is an epoch."""
    monkeypatch.setattr(loop, "read_motion", lambda config: (CLIP,))


def silent():
    return Console(file=io.StringIO(), width=200)


def lines(output):
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def read(output, config):
    lifter = loop.make_lifter(config)
    state = loop.init_state(config, lifter, optax.amsgrad(lambda step: 1e-3))
    return checkpoints.restore_training(output / "checkpoints", lifter, state.optimizer)


# ------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run from start to end, with what it printed."""
    output = tmp_path_factory.mktemp("run") / "straight"
    config = dataclasses.replace(TINY, output=output)
    console = silent()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "read_motion", lambda config: (CLIP,))
        loop.train(config, console)
    return config, output, console.file.getvalue()


def test_a_run_writes_its_folder(finished):
    _, output, printed = finished
    assert json.loads((output / "config.json").read_text())["network"]["channels"] == 8
    log = lines(output)
    assert [line["step"] for line in log] == [2, 4, 5, 6, 8, 10, 12]
    assert all(np.isfinite(line["loss"]) and line["samples_per_second"] > 0 for line in log)
    assert log[-1]["epoch"] == STEPS and log[-1]["train_mpjpe_m"] < log[0]["train_mpjpe_m"]
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert checkpoints.newest_step(output / "checkpoints") == STEPS
    assert "receptive field 9 frames" in printed and "64 frames; 12 steps of 64 frames" in printed
    loaded = checkpoints.load_lifter(output / "checkpoints")
    assert loaded.description["skeleton"] == "h36m_17" and loaded.description["licences"] == [CLIP.licence]
    assert loaded.network.channels == 8 and loaded.network.batch_norm_momentum == 0.9
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loaded.variables))


def test_a_resumed_run_equals_a_straight_one_bit_for_bit(finished, motion, tmp_path, monkeypatch):
    config, straight, _ = finished
    bucket = empty_bucket()
    config = dataclasses.replace(config, output=tmp_path / "resumed", mirror=ADDRESS)
    for number, code, after in ((signal.SIGTERM, 0, 6), (signal.SIGINT, 130, 9)):
        console = silent()
        with monkeypatch.context() as patch:
            patch.setattr(runs, "check_loss", sender(number, after))
            with pytest.raises(guards.Interrupted) as stopped:
                loop.train(dataclasses.replace(config, resume=after == 9), console)
        # The signal comes while the numbers of a step are looked at and the next one runs, which is saved.
        step = checkpoints.newest_step(config.output / "checkpoints")
        assert stopped.value.code == code and step in (after, after + 1)
        told = (
            f"{number.name}: stopped; step {step} of 12 is saved in {config.output / 'checkpoints'}; the same"
        )
        assert told in console.file.getvalue()
        assert not (config.output / "curves.png").exists()
        # As a kill leaves it: later lines of the log that have no checkpoint, the last one cut.
        with (config.output / "metrics.jsonl").open("a") as log:
            log.write('{"step": 11, "epoch": 11.0, "loss": 1.0}\n{"step": 12, "ep')
        if number == signal.SIGTERM:
            # The disk goes with the machine: the run goes on from its mirror.
            shutil.rmtree(config.output)
            with pytest.raises(ValueError, match=f"mirror {ADDRESS} holds a run: add --resume"):
                loop.train(config, silent())
    loop.train(dataclasses.replace(config, resume=True), silent())
    assert mirror.newest_step(bucket) == STEPS and (bucket / "curves.png").exists()

    first, second = read(straight, config), read(config.output, config)
    assert first[0] == second[0] == STEPS
    same(first[1], second[1])
    same(first[2], second[2])
    stamps = {"samples_per_second", "time", "goodput", "step_seconds", "saving_seconds"}
    resumed, unbroken = (
        {line["step"]: {k: v for k, v in line.items() if k not in stamps} for line in lines(output)}
        for output in (config.output, straight)
    )
    # Where it was stopped it has a line more.
    assert {step: resumed[step] for step in unbroken} == unbroken


def test_losses_are_those_of_the_golden_run(tmp_path):
    """With XLA's own flags instead of the suite's, and so other roundings, they differ by less than a
    hundredth of what is allowed. `python tests/golden.py` writes them anew.
    """
    found, expected = golden.losses(tmp_path), golden.golden()
    assert list(found) == list(expected) and len(found) == 20
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=GOLDEN_TOLERANCE)
    assert found[200] < 0.5 * found[10]


def test_a_run_starts_from_weights_of_a_network_that_read_less(finished):
    """What it reads besides has no weight yet, so the answers are the same; another width is refused."""
    config, output, _ = finished
    source = str(output / "checkpoints")
    more = dataclasses.replace(config, network=config.network.replace(tilt=True, confidence=True))
    lifter, optimizer = loop.make_lifter(more), optax.amsgrad(1e-3)
    begun = loop.start_from(source, more, loop.init_state(more, lifter, optimizer))
    batch, loaded = draw(), checkpoints.load_lifter(source)
    window = [jnp.asarray(values[:2]) for values in (batch.keypoints, batch.occluded)]
    hints = Hints(jnp.ones((*window[1].shape[:2], 3)), jnp.ones(window[1].shape))
    expected = jax.jit(loaded.network.apply)(loaded.variables, *window)
    found = jax.jit(lifter.apply)(begun.variables, *window, hints=hints)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    wide = dataclasses.replace(config, network=config.network.replace(channels=16))
    with pytest.raises(ValueError, match=r"the network of this run needs .*same widths and channels"):
        loop.start_from(source, wide, loop.init_state(wide, loop.make_lifter(wide), optimizer))
    plain = dataclasses.replace(config, network=config.network.replace(gating="none"))
    with pytest.raises(ValueError, match="another kind of network or of other layers"):
        loop.start_from(source, plain, loop.init_state(plain, loop.make_lifter(plain), optimizer))


def test_a_finished_run_is_not_written_over(finished):
    config, output, _ = finished
    before = (output / "config.json").read_text()
    with pytest.raises(
        ValueError, match=r"holds a finished or stopped run: add --resume or choose another folder"
    ):
        loop.train(dataclasses.replace(config, seed=9), silent())
    assert (output / "config.json").read_text() == before


def test_resuming_with_another_network_names_the_setting(finished, motion, tmp_path):
    config, output, _ = finished
    shutil.copytree(output, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").unlink()
    other = config.network.replace(channels=16)
    with pytest.raises(ValueError, match="channels is 8 there and 16 here"):
        loop.train(
            dataclasses.replace(config, network=other, output=tmp_path / "copy", resume=True), silent()
        )


def test_resuming_with_other_settings_names_them(finished, motion, tmp_path):
    config, output, _ = finished
    shutil.copytree(output, tmp_path / "copy")
    other = dataclasses.replace(
        config, seed=config.seed + 1, learning_rate=0.5, output=tmp_path / "copy", resume=True
    )
    with pytest.raises(
        ValueError, match="another learning_rate, seed: resume with the settings of that file"
    ):
        loop.train(other, silent())


def test_resuming_with_other_data_names_what_differs(finished, motion, tmp_path, monkeypatch):
    config, output, _ = finished
    shutil.copytree(output, tmp_path / "copy")
    config = dataclasses.replace(config, output=tmp_path / "copy", resume=True)
    poses = CLIP.poses.copy()
    poses[0, 7, 3, 1] += 0.001
    monkeypatch.setattr(loop, "read_motion", lambda config: (CLIP._replace(poses=poses),))
    with pytest.raises(ValueError, match=r"data.json tells of other data: poses \[64, 17, 3\] there and"):
        loop.train(config, silent())
    told = checkpoints.load_lifter(output / "checkpoints").description["data"]
    assert told == json.loads((output / "data.json").read_text()) and set(told["arrays"]["poses"]) == {
        "shape",
        "sha256",
    }


def test_the_best_weights_are_kept(motion, tmp_path, monkeypatch):
    for module in (loop, validation):
        monkeypatch.setattr(module, "draw_batch", noise)
    errors = iter((0.3, 0.2, 0.1, 0.4, 0.2))
    monkeypatch.setattr(loop, "make_validation", lambda *_: lambda variables: next(errors))
    monkeypatch.setattr(loop, "read_held_out", lambda config: ())
    config = dataclasses.replace(TINY, validation_windows=4, time_drawing=True, epochs=4, output=tmp_path)
    console = silent()
    loop.train(config, console)
    assert "after every epoch on 4 windows of training people, in other views" in console.file.getvalue()
    log = lines(tmp_path)
    assert [line["validation_mpjpe_m"] for line in log] == [0.3, 0.2, 0.1, 0.4]
    best = checkpoints.load_lifter(tmp_path / "best")
    assert best.step == 3
    assert best.description["validation"] == {"mpjpe_m": 0.1, "people": "training people, in other views"}
    # Time is told apart, and so are learning rate, gradient and update.
    for before, line in itertools.pairwise(log):
        parts = line["drawing_seconds"] + line["computing_seconds"]
        assert parts == pytest.approx(line["step_seconds"]) and line["saving_seconds"] >= 0
        assert "share_of_peak" not in line  # nobody published one of this machine
        assert 0 < line["goodput"] < 1 and line["gradient_norm"] > 0 and line["update_norm"] > 0
        assert line["learning_rate"] == pytest.approx(0.95 * before["learning_rate"])
    with pytest.raises(ValueError, match=r"delete .*best to go on without the best weights"):
        (tmp_path / "best" / "3.sha256").write_text("")
        loop.Best(config, None, None, tmp_path / "best", silent())
    # A run that was killed before its first checkpoint may have kept its best weights already.
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match="holds a finished or stopped run"):
        loop.train(config, silent())


def test_what_hinders_writing_is_named(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    config = dataclasses.replace(TINY, output=tmp_path / "run")
    hash_files, calls = checkpoints.hash_files, []

    def full(folder):
        calls.append(folder.name)
        if folder.name == "10":
            raise OSError(28, "No space left on device")
        return hash_files(folder)

    monkeypatch.setattr(checkpoints, "hash_files", full)
    words = r"step 10 could not be saved .*No space left on device.*; step 5 is complete there: make room"
    with pytest.raises(SaveError, match=words):
        loop.train(config, silent())
    checkpoints.verify(config.output / "checkpoints", 5)
    assert checkpoints.newest_step(config.output / "checkpoints") == 5
    monkeypatch.undo()
    # A second run into the folder.
    monkeypatch.setattr(loop, "read_motion", lambda config: (CLIP,))
    monkeypatch.setattr(loop, "draw_batch", noise)
    before = (config.output / "metrics.jsonl").read_text()
    with guards.only_run(config.output), pytest.raises(ValueError, match="written by another run"):
        loop.train(dataclasses.replace(config, resume=True), silent())
    assert (config.output / "metrics.jsonl").read_text() == before

    def delete(value, step, learning_rate):
        if step == 7:
            shutil.rmtree(config.output)

    monkeypatch.setattr(runs, "check_loss", delete)
    with (
        pytest.warns(checkpoints.IncompleteCheckpointWarning, match="step 5 is taken"),
        pytest.raises(FileNotFoundError, match="was deleted, moved or replaced while the run"),
    ):
        loop.train(dataclasses.replace(config, resume=True), silent())
    assert not config.output.exists()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The configuration of a run on noise, from start to end."""
    config = dataclasses.replace(TINY, output=tmp_path_factory.mktemp("noise") / "unbroken", log_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "read_motion", lambda config: (CLIP,))
        patch.setattr(loop, "draw_batch", noise)
        loop.train(config, silent())
    return config


def test_a_damaged_checkpoint_is_named_and_an_older_one_used(unbroken, motion, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    config, straight = unbroken, unbroken.output
    shutil.copytree(straight, tmp_path / "copy")
    config = dataclasses.replace(config, output=tmp_path / "copy", resume=True)
    folder = tmp_path / "copy" / "checkpoints"
    (folder / "12" / "extra").write_text("")
    with pytest.raises(ValueError, match=r"12: the file extra was added .*, or add --fall-back to go"):
        loop.train(config, silent())
    console = silent()
    loop.train(dataclasses.replace(config, fall_back=True), console)
    assert "the file extra was added" in console.file.getvalue()
    assert "set aside; going on from step 10" in console.file.getvalue()
    assert (folder / "damaged-12").is_dir()
    first, second = read(straight, config), read(config.output, config)
    assert second[0] == STEPS
    same(first[1:], second[1:])


KILLED = """
import dataclasses, os, signal, sys
from pathlib import Path
from buckets import ADDRESS, empty_bucket
from drawn import CLIP, TINY
from noise import noise
from experiments import train
from experiments.stopping import trainings
from experiments.training import loop
loop.draw_batch, loop.read_motion = noise, lambda config: (CLIP,)
output = Path(sys.argv[1])
for goal in (7, 11):  # the newest checkpoint is of step 5, or of 10, if that was complete in time
    config = dataclasses.replace(TINY, output=output, resume=output.exists(), log_every=1)
    begin = loop.checkpoints.newest_step(output / "checkpoints") or 0
    process = trainings.fork(lambda: loop.run(config), output.with_suffix(".txt"))
    if trainings.reaches(process, output, goal, begin):
        os.kill(process, signal.SIGKILL)
    print(trainings.wait(process))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs an operating system with fork")
def test_a_killed_run_ends_as_an_unbroken_one(unbroken, motion, tmp_path, monkeypatch):
    """`python -m experiments.reliability` kills more, at random moments."""
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    monkeypatch.setattr(loop, "draw_batch", noise)
    killed = dataclasses.replace(unbroken, output=tmp_path / "killed", resume=True)
    arguments = [sys.executable, "-c", KILLED, killed.output]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["-9", "-9"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", checkpoints.IncompleteCheckpointWarning)
        loop.train(killed, silent())
    first, second = read(unbroken.output, unbroken), read(killed.output, killed)
    assert first[0] == second[0] == STEPS
    same(first[1:], second[1:])


def test_a_loss_that_is_not_finite_stops_the_run(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    monkeypatch.setitem(loop.OPTIMIZERS, "amsgrad", lambda rate: optax.scale(float("inf")))
    config = dataclasses.replace(TINY, output=tmp_path)
    with pytest.raises(
        runs.NonFiniteLossError, match=r"the loss is (nan|inf) at step 2: .* learning rate \(0.001\)"
    ):
        loop.train(config, silent())
    assert checkpoints.newest_step(tmp_path / "checkpoints") is None


def test_weights_that_are_not_finite_are_not_saved(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    monkeypatch.setitem(loop.OPTIMIZERS, "amsgrad", lambda rate: optax.scale(float("inf")))
    # One step only: its loss is from before the weights were spoiled.
    config = dataclasses.replace(TINY, output=tmp_path, epochs=1)
    with pytest.raises(
        runs.NonFiniteLossError, match=r"weights are not finite after step 1, though the loss"
    ):
        loop.train(config, silent())
    assert checkpoints.newest_step(tmp_path / "checkpoints") is None


@pytest.mark.parametrize(("batch", "chunk"), [(64, 128), (48, 32)])
def test_a_batch_that_devices_cannot_share_is_refused(batch, chunk, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = dataclasses.replace(TINY, batch_frames=batch, chunk_frames=chunk)
    with pytest.raises(
        ValueError, match=rf"makes {batch // chunk} windows, which 2 devices cannot share evenly"
    ):
        loop.check_settings(config)


def test_a_chunk_stride_that_the_network_cannot_take_is_refused(tmp_path):
    config = dataclasses.replace(TINY, chunk_frames=8, chunk_stride=2, output=tmp_path / "run")
    with pytest.raises(ValueError, match=r"chunk_stride is 2: filter_widths \(3, .*allow 1, 3"):
        loop.train(config, silent())
    assert not config.output.exists()


def test_a_run_that_is_older_than_a_setting_is_the_same_run(finished, motion, tmp_path):
    config, output, _ = finished
    shutil.copytree(output, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    described = json.loads(path.read_text())
    for name in ("loss", "velocity_weight", "optimizer", "learning_rate_drops"):
        del described[name]
    del described["network"]["target"]
    path.write_text(json.dumps(described))
    config = dataclasses.replace(config, output=tmp_path / "copy", resume=True)
    assert loop.train(config, silent()) == config.output / "checkpoints"
    path.write_text(json.dumps(described))
    with pytest.raises(ValueError, match="another velocity_weight: resume"):
        loop.train(dataclasses.replace(config, velocity_weight=1.0), silent())
    with pytest.raises(ValueError, match="another network, loss: resume"):
        other = dataclasses.replace(config, network=settings_of(SequenceLifter, window=16), loss="sequence")
        loop.train(other, silent())


def test_a_rival_is_trained_and_loaded(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    monkeypatch.setattr(loop, "STATISTICS_WINDOWS", 16)
    network = settings_of(SequenceLifter, channels=4, window=2)
    config = dataclasses.replace(
        CONFIGS["hossain"][1],
        network=network,
        chunk_frames=2,
        batch_frames=64,
        epochs=1,
        validation_windows=0,
        time_drawing=False,
        output=tmp_path,
    )
    loaded = checkpoints.load_lifter(loop.train(config, silent()))
    assert loaded.network.channels == 4 and set(loaded.variables) == {"params", "statistics"}
    spread = np.asarray(loaded.variables["statistics"]["poses"]["std"])
    # Of the noise: about 1 each, but set, so not 1 exactly.
    assert spread.min() > 0.5 and spread.max() < 2.0 and spread.std() > 0.01


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"network": settings_of(SequenceLifter), "chunk_frames": 4},
            "chunk_frames is 4 and .* so give 5 and 1",
        ),
        ({"loss": "l1"}, "loss is 'l1': choose one of squared, distance, sequence, absolute, depth_weighted"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0: give a whole number, 1 or more"),
        ({"log_every": 0}, "log_every is 0: give a whole number, 1 or more"),
        ({"batch_frames": 0}, "batch_frames is 0: give a whole number, 1 or more"),
        ({"epochs": 0}, "epochs is 0: give a finite number above 0"),
        ({"epochs": float("nan")}, "epochs is nan: give a finite number above 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0: give a finite number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf: give a finite number above 0"),
        (
            {"batch_norm_rate": (0.1, 0.0)},
            "batch_norm_rate is .*: for each of 2 or more entries",
        ),
        ({"masks": MaskDistribution(masked_share=-0.1)}, "masks.masked_share is -0.1: give a share from 0"),
        ({"masks": MaskDistribution(ratio=(0.5, 0.1))}, "masks.ratio is .*: for both ends, the lower first"),
        ({"masks": MaskDistribution(kernel_frames=())}, "masks.kernel_frames is .*: for each of 1 or more"),
        ({"detector": DetectorConfig(swap_rate=2.0)}, "detector.swap_rate is 2.0: give a share"),
        ({"network": OURS.replace(channels=0)}, "channels is 0: give a whole number, 1 or more"),
        ({"network": OURS.replace(dropout=1.5)}, "dropout is 1.5: give the share"),
        ({"network": OURS.replace(filter_widths=())}, "filter_widths is .*: give one or more odd widths"),
        (
            {"network": settings_of(AttentionLifter, heads=3), "chunk_frames": 27},
            "heads is 3 and channels",
        ),
        ({"loss": "depth_weighted"}, "loss is depth_weighted and network.target pose"),
        ({"network": OURS.replace(target="root")}, "loss is squared and network.target root"),
        ({"turned_share": 30.0}, "turned_share is 30.0: give a share from 0 to 1"),
        ({"velocity_weight": -1.0}, "velocity_weight is -1.0: give zero or more"),
        ({"velocity_weight": 1.0, "chunk_frames": 1}, "velocity_weight is 1.0 and a window has 1 outputs"),
        (
            {"velocity_weight": 1.0, "chunk_frames": 8, "chunk_stride": 3},
            "8 outputs 3 frames apart: motion needs consecutive ones",
        ),
        ({"loss": "sequence", "chunk_frames": 1}, "loss is sequence and a window has 1 outputs"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_read(changes, match, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "read_motion", None)
    config = dataclasses.replace(TINY, output=tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=match):
        loop.train(config, silent())
    assert not config.output.exists()


def test_configurations_describe_themselves():
    ours = {
        "smoke",
        "small",
        "varied",
        "wild",
        "wilder",
        "crowded",
        "wild_causal",
        "causal",
        "ablation",
        "trajectory",
        "paper",
    }
    assert set(CONFIGS) == ours | {"hossain", "lin", "attention"}
    for words, config in CONFIGS.values():
        assert words and config.batch_frames % config.chunk_frames == 0
        loop.check_settings(config)
        described = json.loads(json.dumps(dataclasses.asdict(config), default=str))
        assert described["network"] == json.loads(json.dumps(vars(config.network)))
    paper = CONFIGS["paper"][1]
    lifter = loop.make_lifter(paper)
    assert (lifter.receptive_field, lifter.channels, lifter.dropout, lifter.fill) == (243, 1024, 0.25, "zero")
    assert (paper.batch_frames, paper.epochs, paper.learning_rate_decay, paper.chunk_frames) == (
        1024,
        80,
        0.95,
        1,
    )


def test_schedules():
    config = dataclasses.replace(
        TINY, epochs=4, batch_frames=100, learning_rate=1e-3, learning_rate_decay=0.5
    )
    per_epoch, steps, learning_rate, batch_norm_rate = loop.make_schedules(config, frames=1010)
    assert (per_epoch, steps) == (10, 40)
    np.testing.assert_allclose([learning_rate(step) for step in (0, 9, 10, 39)], [1e-3, 1e-3, 5e-4, 1.25e-4])
    drops = dataclasses.replace(config, learning_rate_decay=1.0, learning_rate_drops=(2, 3))
    learning_rate = loop.make_schedules(drops, frames=1010)[2]
    np.testing.assert_allclose(
        [learning_rate(step) for step in (0, 19, 21, 29, 31, 39)],
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5],
        rtol=1e-5,
    )
    rates = [float(batch_norm_rate(jnp.array(step))) for step in (0, 20, 40)]
    np.testing.assert_allclose(rates, [0.1, 0.01, 0.001], rtol=1e-5)


# -------------------------------------------------------------------------------------------------- steps


def test_one_output_a_window_has_the_loss_of_the_dense_form():
    """With running statistics: batch statistics differ, because the dense form sees more positions."""
    lifter = loop.make_lifter(TINY)
    variables = random_variables(loop.init_state(TINY, lifter, optax.amsgrad(1e-3)).variables, 0)
    batch = jax.tree.map(jnp.asarray, draw())
    run = jax.jit(
        lambda keypoints, occluded, age, output_stride: lifter.apply(
            variables, keypoints, occluded, output_stride=output_stride, age=age
        ),
        static_argnums=3,
    )
    dense = squared_joint_error(run(batch.keypoints, batch.occluded, batch.age, 1), batch.target)
    assert dense.shape == (256, 16, 17)
    for output in (0, 7, 15):
        window = slice(output, output + lifter.receptive_field)
        inputs = (batch.keypoints[:, window], batch.occluded[:, window], batch.age[:, window])
        poses = run(*inputs, lifter.receptive_field)
        strided = squared_joint_error(poses, batch.target[:, output : output + 1])
        np.testing.assert_allclose(strided[:, 0], dense[:, output], rtol=1e-4, atol=1e-5)


def fixed_step(config, distribute=loop.distribute, cast=lambda tree: tree):
    """A compiled step and the state that it starts from; no dropout. cast: what becomes of its arrays."""
    lifter = loop.make_lifter(config)
    optimizer = optax.amsgrad(1e-2)
    variables = cast(random_variables(loop.init_state(config, lifter, optimizer).variables, 3))
    state = loop.State(jnp.zeros((), jnp.int32), variables, optimizer.init(variables["params"]))

    def make(**settings):
        return loop.make_step(config, lifter, optimizer, lambda step: 0.25 + 0.0 * step, **settings)

    return distribute(config, make, state, cast(make_bank()))


def two_steps(parallel, distribute=loop.distribute):
    """(state, metrics) after two steps in float64."""
    config = dataclasses.replace(TINY, parallel=parallel, network=TINY.network.replace(dropout=0.0))
    compiled, state, bank, one_copy = fixed_step(config, distribute, in_double)
    for _ in range(2):
        state, metrics = compiled(state, bank)
    return jax.tree.map(np.asarray, one_copy((state, metrics)))


def check_two_steps():
    """One device, four under jit and four under pmap take the same steps, to what float64 can hold."""
    assert jax.device_count() == 4 and jax.config.jax_enable_x64
    alone = two_steps("jit", lambda _, make, *given: (jax.jit(make()), *given, lambda tree: tree))
    assert alone[0].step == 2 and np.isfinite(alone[1]["loss"]) and alone[1]["loss"].dtype == np.float64
    for parallel in ("jit", "pmap"):
        shared = two_steps(parallel)
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_four_devices_take_the_step_of_one_under_jit_and_pmap():
    """On simulated devices: windows, statistics and gradients are those of the whole batch. And what people
    are lifted to is what one device makes of them, also when they are judged.
    """
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4",
        "NPROC": "64",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    program = (
        "import jax, test_loop, test_pipeline, test_sharing; test_loop.check_two_steps()\n"
        "jax.config.update('jax_enable_x64', False); test_pipeline.check_people_are_shared()\n"
        "test_sharing.check_four_devices_judge_as_one()\n"
    )
    arguments = [sys.executable, "-c", program]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_share_of_the_peak_is_told_where_a_device_has_a_known_one(monkeypatch):
    class Counted:
        def lower(self, *_):
            return self

        def cost_analysis(self):
            return {"flops": 4 * 989e10}

    jit, pmap = (dataclasses.replace(TINY, parallel=parallel) for parallel in ("jit", "pmap"))
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    assert loop.time_at_peak(jit, Counted(), None, None, "NVIDIA H200") == pytest.approx(0.01)
    assert loop.time_at_peak(pmap, Counted(), None, None, "NVIDIA H200") == pytest.approx(0.04)
    assert loop.time_at_peak(jit, Counted(), None, None, "cpu") is None
    for at_peak, told in ((0.01, 0.5), (None, None)):
        now = iter([0.0, 1.0, 1.08])
        monkeypatch.setattr(loop.time, "perf_counter", lambda now=now: next(now))
        shares = loop.Shares(0.0, None, SimpleNamespace(seconds=0.0), 0, at_peak)
        shares.rested()
        line = shares.since_last(4)
        assert line["step_seconds"] == pytest.approx(0.02)
        assert line.get("share_of_peak") == (told and pytest.approx(told))


def test_statistics_are_of_the_frames_that_count(monkeypatch):
    config = dataclasses.replace(TINY, network=settings_of(SequenceLifter, channels=4, window=16))
    lifter = loop.make_lifter(config)
    rng = np.random.default_rng(0)
    keypoints, target = rng.normal(size=(9, 16, 17, 2)), rng.normal(size=(9, 16, 17, 3))
    weight = np.arange(16)[None] < rng.integers(1, 16, (9, 1))
    keypoints[~weight] = target[~weight] = 99.0
    batch = batches.Batch(
        keypoints.astype(np.float32), None, None, target.astype(np.float32), weight.astype(np.float32)
    )
    monkeypatch.setattr(loop, "draw_batch", lambda *_: batch)
    blank = {"params": {}, "statistics": {}}
    state = loop.set_statistics(loop.State(None, blank, None), config, lifter, None)
    offsets = keypoints[weight][:, 1:] - keypoints[weight][:, :1]
    found = state.variables["statistics"]
    np.testing.assert_allclose(found["keypoints"]["mean"], offsets.mean(0), atol=1e-5)
    np.testing.assert_allclose(found["poses"]["std"], target[weight][:, 1:].std(0), atol=1e-5)
    # Networks that standardise nothing are left alone.
    plain = loop.State(None, {"params": {}}, None)
    assert loop.set_statistics(plain, TINY, loop.make_lifter(TINY), None) is plain


def test_every_step_draws_anew(monkeypatch):
    monkeypatch.setattr(loop, "draw_batch", noise)
    config = dataclasses.replace(TINY, network=TINY.network.replace(dropout=0.0))
    compiled, state, bank, _ = fixed_step(config)

    def loss(step):
        copy = jax.tree.map(jnp.copy, state)._replace(step=jnp.array(step, jnp.int32))
        return float(compiled(copy, bank)[1]["loss"])

    assert loss(0) == loss(0) and len({loss(step) for step in range(4)}) == 4


def test_running_statistics_move_by_the_scheduled_rate(monkeypatch):
    config = dataclasses.replace(TINY, network=TINY.network.replace(dropout=0.0))
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[:4]), draw())
    monkeypatch.setattr(loop, "draw_batch", lambda *arguments: batch)
    compiled, state, bank, _ = fixed_step(config)
    before = jax.tree.map(np.asarray, state.variables)
    lifter = loop.make_lifter(config)
    look = jax.jit(functools.partial(lifter.apply, train=True, mutable=["batch_stats"]))
    _, own = look(before, batch.keypoints, batch.occluded, age=batch.age)
    after, _ = compiled(state, bank)
    expected = jax.tree.map(
        lambda old, new: 0.75 * old + 0.25 * new, before["batch_stats"], own["batch_stats"]
    )
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, atol=1e-5),
        after.variables["batch_stats"],
        expected,
    )
