"""Small trainings in processes of their own, which can be signalled at a step that is asked for."""

import dataclasses
import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import runs
from experiments.training.configs import OURS, SMOKE, TrainConfig
from experiments.training.loop import OPTIMIZERS, init_state, make_lifter
from experiments.training.loop import run as run_training
from gated_lift.networks import checkpoints
from gated_lift.occlusion import MaskDistribution

# Output frames of the generated motion: an epoch of the training below has as many.
GENERATED_FRAMES = 2400
TRAINING = dataclasses.replace(
    SMOKE,
    network=OURS.replace(channels=8, filter_widths=(3, 3)),
    masks=MaskDistribution(1.0, (0.5, 0.5), (5,), 0.0),
    batch_frames=64,
    context_frames=6,
    checkpoint_every=2,
    log_every=1,
    time_drawing=False,
)
PATIENCE = 300.0  # seconds without a step after which a training hangs


def fork(run: Callable[[], None], said: Path) -> int:
    """Runs a function in a process of its own, which writes what it says to ``said``; returns the process's
    number.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code: Any = 1
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        run()
        code = 0
    except SystemExit as left:
        code = left.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process: int) -> int:
    """The exit code of a process, which is minus the signal where one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def runs_on(process: int) -> bool:
    """Whether a child of this process has not ended; its exit code is left to `wait`."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def last_step(output: Path) -> int:
    """The newest step in a log that may still be written to; 0 where there is none."""
    path = output / runs.LOG
    lines = runs.read_log(path) if path.exists() else []
    return lines[-1]["step"] if lines else 0


def train_and_hash(config: TrainConfig) -> None:
    """Trains to the end, and prints the sha256 of the arrays of the newest checkpoint, optimiser included,
    and of the best weights.
    """
    run_training(config)
    lifter = make_lifter(config)
    optimizer = OPTIMIZERS[config.optimizer](lambda step: 1e-3)
    state = jax.eval_shape(lambda: init_state(config, lifter, optimizer))
    trees: list[Any] = [checkpoints.restore_training(config.output / "checkpoints", lifter, state.optimizer)]
    if config.validation_windows:
        best = checkpoints.load_lifter(config.output / "best")
        trees.append((best.step, best.variables))
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        array = np.asarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    print(f"sha256 {found.hexdigest()}")


def hash_of(said: Path) -> str | None:
    """What `train_and_hash` printed, or None where it did not get so far."""
    _, _, found = said.read_text().rpartition("sha256 ")
    return found.strip() if len(found.strip()) == 64 else None


def reaches(process: int, output: Path, goal: int, begin: int) -> bool:
    """Waits until a training has taken step ``goal``; False when it ends before, which is left to `wait`.
    Lines of a log that are newer than the checkpoint that it goes on from are of the process before.
    """
    path = output / runs.LOG
    size = path.stat().st_size if path.exists() else 0
    fresh = begin == 0 and size == 0
    started = time.monotonic()
    while True:
        # The log is cut to the checkpoint's step when a training goes on.
        now = path.stat().st_size if path.exists() else 0
        fresh = fresh or now < size or last_step(output) <= begin
        if fresh and now and last_step(output) >= goal:
            return True
        if not runs_on(process):
            return False
        if time.monotonic() - started > PATIENCE:
            os.kill(process, signal.SIGABRT)
            return False
        time.sleep(0.004)
