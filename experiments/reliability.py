"""Measures what a training run promises about being stopped: kills it, interrupts it, and compares the end.

    python -m experiments.reliability                                # 50 SIGKILLs, 20 SIGTERMs, 20 SIGINTs
    python -m experiments.reliability --kills 3 --terminations 1 --interrupts 1 --output /tmp/reliability
    python -m experiments.reliability --small-disk /mnt/small        # besides, a file system that runs full

A small network is trained on generated motion without interruption. Then it is trained again and again, with
a signal after a random number of steps and a random delay, and resumed each time. In the end weights,
optimiser state and the best weights have to be those of the unbroken run, by the sha256 of their arrays.
Every training is a process of its own, forked before JAX has started, and runs what
`python -m experiments.train` runs. Needs an operating system with fork.
"""

import dataclasses
import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from experiments import reporting, runs
from experiments.checks import COUNT, SEED, WHOLE, check_numbers
from experiments.commands import run_script
from experiments.train import run as run_training
from experiments.training.configs import OURS, SMOKE, TrainConfig
from experiments.training.loop import OPTIMIZERS, init_state, make_lifter
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
    checkpoint_every=5,
    log_every=1,
    time_drawing=False,
)
PATIENCE = 300.0  # seconds without a step after which a training hangs


@dataclasses.dataclass(frozen=True)
class ReliabilityConfig:
    """How often a training is stopped, and where."""

    kills: int = 50
    """SIGKILLs."""
    terminations: int = 20
    """SIGTERMs."""
    interrupts: int = 20
    """SIGINTs."""
    steps: int = 240
    """Of a training, which is begun anew when it has ended."""
    stretch: int = 40
    """Steps that a training takes at most before the signal."""
    validation_windows: int = 32
    small_disk: Path | None = None
    """Folder on a file system that is too small for two checkpoints: a disk that runs full."""
    seed: int = 0
    """Of the moments of the signals."""
    output: Path = Path("runs/reliability")
    """Folder of the trainings."""
    report: Path | None = None
    """Also write the table as Markdown, with what the suite tests."""


RULES = {
    **dict.fromkeys(("kills", "terminations", "interrupts", "validation_windows"), WHOLE),
    **dict.fromkeys(("steps", "stretch"), COUNT),
    "seed": SEED,
}


class Outcome(NamedTuple):
    """Of trainings that one kind of signal stopped. stopped: how often. unfinished: after how many there
    was a save that had begun and was not complete. lost: steps that had to be taken again, in all. identical:
    of ``finished`` trainings, those that ended as the unbroken one. wrong: what was not as promised, a
    sentence each.
    """

    stopped: int
    unfinished: int
    lost: int
    identical: int
    finished: int
    wrong: tuple[str, ...]


# -------------------------------------------------------------------------------------------- processes


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


# ---------------------------------------------------------------------------------------------- signals


def stop_often(
    config: ReliabilityConfig, training: TrainConfig, unbroken: str, number: signal.Signals, times: int
) -> Outcome:
    """Trains, and stops it ``times`` times by a signal, with a resume after each."""
    rng = np.random.default_rng((config.seed, number))
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 0, signal.SIGINT: 130}[number]
    stopped = unfinished = lost = identical = finished = 0
    wrong: list[str] = []
    while stopped < times:
        output = config.output / f"{number.name.lower()}_{finished}"
        said = output.with_suffix(".txt")
        while True:
            here = dataclasses.replace(training, output=output, resume=output.exists())
            folder = output / "checkpoints"
            begin = checkpoints.newest_step(folder) or 0
            goal = begin + int(rng.integers(1, config.stretch + 1))
            delay = float(rng.uniform(0, 0.03))
            process = fork(lambda here=here: train_and_hash(here), said)
            if stopped == times or not reaches(process, output, goal, begin):
                code = wait(process)
                if code:
                    wrong.append(f"{number.name}, the end: exit code {code}, {said.read_text()[-300:]!r}")
                break
            time.sleep(delay)
            taken = last_step(output)
            os.kill(process, number)
            code = wait(process)
            if (output / "curves.png").exists():
                continue  # the signal came after the last step: only what is printed is missing
            stopped += 1
            newest = checkpoints.newest_step(folder) or 0
            begun = {path.name.partition(".")[0] for path in folder.glob("[0-9]*")}
            unfinished += any(int(name) > newest for name in begun)
            lost += max(0, last_step(output) - newest)
            name, text = f"{number.name} {stopped}", said.read_text()
            if code != expected:
                wrong.append(f"{name}: exit code {code} where {expected} was due")
            if number != signal.SIGKILL:
                if "Traceback" in text or f"{number.name}: stopped; step {newest} of" not in text:
                    wrong.append(f"{name}: said {text[-300:]!r}")
                if newest < max(taken, last_step(output)):
                    wrong.append(f"{name}: step {newest} is saved, {taken} had been taken")
        finished += 1
        identical += hash_of(said) == unbroken
    return Outcome(stopped, unfinished, lost, identical, finished, tuple(wrong))


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
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        if time.monotonic() - started > PATIENCE:
            os.kill(process, signal.SIGABRT)
            return False
        time.sleep(0.004)


# ------------------------------------------------------------------------------------------------- disk


def fill_disk(config: ReliabilityConfig, training: TrainConfig, disk: Path) -> list[str]:
    """Trains on a file system that is too small: the row of the table."""
    here = dataclasses.replace(training, output=disk / "run", checkpoint_every=1)
    said = config.output / "disk.txt"
    code = wait(fork(lambda: run_training(here), said))
    text = said.read_text().strip().splitlines()[-1]
    newest = checkpoints.newest_step(here.output / "checkpoints")
    intact = "no step complete"
    if newest is not None:
        checkpoints.verify(here.output / "checkpoints", newest)
        intact = f"step {newest} intact"
    named = code == 2 and "could not be saved" in text
    return [
        "a full disk is named, earlier checkpoints stay intact",
        f"trained on a file system of {os.statvfs(disk).f_frsize * os.statvfs(disk).f_blocks // 1024} KiB",
        "1",
        f"{'named' if named else text}, exit code {code}, {intact}",
    ]


# ---------------------------------------------------------------------------------------------- reports


def measure(config: ReliabilityConfig) -> list[list[str]]:
    """Runs everything and returns the table's rows."""
    check_numbers(config, RULES)
    if config.output.exists() and any(config.output.iterdir()):
        raise ValueError(f"output {config.output} is not empty: choose another folder or delete it")
    config.output.mkdir(parents=True, exist_ok=True)
    training = dataclasses.replace(
        TRAINING,
        epochs=config.steps / round(GENERATED_FRAMES / TRAINING.batch_frames),
        validation_windows=config.validation_windows,
        output=config.output / "unbroken",
    )
    said = config.output / "unbroken.txt"
    code = wait(fork(lambda: train_and_hash(training), said))
    unbroken = hash_of(said)
    if code or unbroken is None:
        raise RuntimeError(f"the unbroken training failed: {said.read_text()}")
    rows = []
    for number, times, promise in (
        (signal.SIGKILL, config.kills, "a killed run goes on and ends as an unbroken one"),
        (signal.SIGTERM, config.terminations, "SIGTERM: no step is lost, exit code 0, no traceback"),
        (signal.SIGINT, config.interrupts, "SIGINT: no step is lost, exit code 130, no traceback"),
    ):
        if not times:
            continue
        found = stop_often(config, training, unbroken, number, times)
        result = f"{found.identical} of {found.finished} ends identical, {found.lost} steps taken again"
        if number == signal.SIGKILL:
            result += f", {found.unfinished} kills within a save"
        if found.wrong:
            result += f"; {len(found.wrong)} not as promised: {'; '.join(found.wrong)}"
        rows.append([promise, f"{number.name} after 1 to {config.stretch} steps", str(found.stopped), result])
    if config.small_disk is not None:
        rows.append(fill_disk(config, training, config.small_disk))
    return rows


def main() -> None:
    config = tyro.cli(ReliabilityConfig, description=__doc__)
    rows = measure(config)
    columns = ["promise", "test", "times", "result"]
    console = reporting.console()
    if config.report is None:
        reporting.show(console, columns, rows)
    else:
        command = f"python -m experiments.reliability --report {config.report}"
        reporting.report(
            console, columns, rows, config.report, names=2, before=[f"`{command}`, seed {config.seed}:"]
        )


if __name__ == "__main__":
    run_script(main)
