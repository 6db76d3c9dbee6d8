"""The training of the infill network: a signal at a certain step, and what goes on from there."""

import dataclasses
import functools
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import guards, train_infill
from experiments.train_infill import InfillConfig
from experiments.training.gaps import Drawn
from gated_lift.networks import checkpoints
from gated_lift.networks.infill import MotionInfill

CONFIG = InfillConfig(channels=8, depth=1, steps=5, batch=2, judge_every=2, judge_windows=2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A short window, and noise in the place of what is drawn and of errors, which take long to compile."""

    def draw_windows(key, bank, frames, network, gaps, noise):
        blank = network.blank()
        poses = jax.random.normal(key, (len(frames), *blank.poses.shape[1:]))
        motion = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(frames), *leaf.shape[1:])), blank)
        return Drawn(motion._replace(poses=poses), poses, motion.root)

    def loss_of(drawn, found, fps):
        error = jnp.mean((found.poses - drawn.poses) ** 2)
        return error, {"pose": error, "path": error}

    lengths = {name: np.zeros(5) for name in ("pose", "path", "inside")}
    network = functools.partial(MotionInfill, window=16, patch=4, heads=2)
    monkeypatch.setattr(train_infill, "MotionInfill", network)
    monkeypatch.setattr(train_infill, "draw_windows", draw_windows)
    monkeypatch.setattr(train_infill, "loss_of", loss_of)
    monkeypatch.setattr(train_infill, "judge", lambda *_: lengths)
    # Optax mixes dtypes itself, which strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"):
        yield


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_a_training_that_was_asked_to_stop_goes_on_bit_for_bit(tmp_path, monkeypatch, capsys):
    """SIGTERM while step 2 is judged: the next one is saved."""
    straight = dataclasses.replace(CONFIG, output=tmp_path / "straight")
    finished = checkpoints.load_infill(train_infill.train(straight))
    stopped = dataclasses.replace(CONFIG, output=tmp_path / "stopped")
    folder, calls = stopped.output / "checkpoints", []
    with monkeypatch.context() as patch:
        judge = train_infill.judge

        def signalled(*given):
            calls.append(given)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return judge(*given)

        patch.setattr(train_infill, "judge", signalled)
        with pytest.raises(guards.Interrupted) as left:
            train_infill.train(stopped)
    assert left.value.code == 0 and checkpoints.newest_step(folder) == 3
    told = f"SIGTERM: stopped; step 3 of 5 is saved in {folder}; the same command with --resume goes on"
    assert told in capsys.readouterr().out and not (stopped.output / "trained").exists()

    with pytest.raises(ValueError, match="holds a finished or stopped run: add --resume or choose another"):
        train_infill.train(stopped)
    again = dataclasses.replace(stopped, resume=True)
    with guards.only_run(stopped.output), pytest.raises(ValueError, match="written by another run"):
        train_infill.train(again)
    with pytest.raises(ValueError, match="another steps: resume with the settings of that file"):
        train_infill.train(dataclasses.replace(again, steps=6))
    same(checkpoints.load_infill(train_infill.train(again)), finished)
    same(checkpoints.load_infill(folder), checkpoints.load_infill(straight.output / "checkpoints"))
    # A finished run has nothing to do, and says what it has.
    same(checkpoints.load_infill(train_infill.train(again)), finished)
    (stopped.output / "config.json").unlink()
    with pytest.raises(ValueError, match=r"is of a network with channels 8 and depth 1, not 16 and 1"):
        train_infill.train(dataclasses.replace(again, channels=16))


def test_what_cannot_be_done_is_told_on_one_line(tmp_path, monkeypatch, capsys):
    for flag, given, told in (
        ("--data", tmp_path / "none.npz", f"{tmp_path / 'none.npz'}"),
        ("--output", Path("gs://bucket/run"), "output is gs:/bucket/run: buckets are not written to"),
    ):
        monkeypatch.setattr("sys.argv", ["train_infill", "--output", str(tmp_path / "run"), flag, str(given)])
        with pytest.raises(SystemExit) as left:
            train_infill.main()
        (line,) = capsys.readouterr().err.splitlines()
        assert left.value.code == 2 and line.startswith("train_infill: ") and told in line
    assert not list(tmp_path.iterdir())
