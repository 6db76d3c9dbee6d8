"""Measures what a training run promises about being stopped: kills it, interrupts it, and compares the end.

    python -m experiments.reliability                                # 50 SIGKILLs, 20 SIGTERMs, 20 SIGINTs
    python -m experiments.reliability --kills 3 --terminations 1 --interrupts 1 --output runs/short
    python -m experiments.reliability --small-disk /mnt/small        # besides, a file system that runs full
    python -m experiments.reliability --soak 10000 --lift-minutes 60 # and a long training and lift, watched
    python -m experiments.reliability --devices 1 2 8                # and the same steps on simulated devices
    python -m experiments.reliability --worker-kills 10 --coordinator-kills 10
    python -m experiments.reliability --pair-terminations 20 --pair-interrupts 20

A small network is trained on generated motion without interruption. Then it is trained again and again, with
a signal after a random number of steps and a random delay, and resumed each time. In the end weights,
optimiser state and the best weights have to be those of the unbroken run, by the sha256 of their arrays.
Every training is a process of its own, forked before JAX has started, and runs what
`python -m experiments.train` runs. Needs an operating system with fork.
"""

import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from experiments import reporting
from experiments.checks import COUNT, NOT_NEGATIVE, SEED, WHOLE, check_numbers
from experiments.commands import run_script
from experiments.stopping.devices import SHARED, SHARED_STEPS, take_steps
from experiments.stopping.pairs import COORDINATOR, HEARTBEAT, WORKER, stop_pairs, train_pair
from experiments.stopping.soaks import soak_lifts, soak_training
from experiments.stopping.trainings import (
    GENERATED_FRAMES,
    TRAINING,
    fork,
    hash_of,
    last_step,
    reaches,
    train_and_hash,
    wait,
)
from experiments.training.configs import TrainConfig
from experiments.training.loop import run as run_training
from gated_lift.networks import checkpoints

COLUMNS = ("promise", "test", "times", "result", "command")
BEFORE = """# What a training run promises when it is stopped

A run is decided by its configuration and seed alone, so a run that was stopped and resumed has to end
with the very weights, optimiser state and best weights of one that was not. Times are how often each
test was run for this table; what the suite tests is run with every `make test`."""
AFTER = """
- **Stopping.** SIGTERM and SIGINT let the step that runs finish, save it, print one line and exit with 0
  and 130; a second signal ends the process at once. Before the first step there is nothing to save.
  While Python imports JAX, a few seconds, signals do what they do to any Python program. Several
  processes tell each other at every step, beside it, whether a signal or the notice of JAX's preemption
  service has come to any of them, and all stop after the same step, one later.
  (JAX's service names a step by itself, and was relied on before: one of twenty times two
  processes understood different steps, and four steps were lost.) docs/scaling.md says what of several
  processes has been tried. `experiments.finetune` and `experiments.train_infill` do the same;
  `experiments.tune_solve` and `experiments.train_tracklets`, which have no checkpoints, say what is lost.
- **Saving.** A save copies the arrays, and a thread writes them, then the manifest with the sha256 of
  every file. A step without a manifest was interrupted, and is cleared away by the next save. A step
  begins its save only when the one before is complete, so where saves take longer than
  `checkpoint_every` steps, training waits; `saving_seconds` in the log tells how long: 0.03 % of the
  time of the steps in 48 minutes of `wild` on one core (23,496 steps, a checkpoint every 5,000 and the
  best of every epoch beside them), 0.06 s a save.
- **The best weights.** `best/` holds those that did best, after any epoch, on `validation_windows`
  windows that stay the same. Their people are those of `--exclude-subjects`, whom training does not see.
  Without any, they are the training people in other views: that tells whether training goes well, and
  nothing about over-fitting; no clips are kept back for it, because that would change what a run trains
  on. The validation split, on which results are judged, is never read.
- **Time.** The log tells `step_seconds`, of which `drawing_seconds` is the drawing of a batch, timed by
  itself before the first step, and `computing_seconds` the rest; `saving_seconds`, what a step waited
  for saves; and `goodput`, the share of the time since the start that went into steps rather than
  reading, compiling, validation and saves. On TPUs and GPUs whose published bfloat16 peak is known here
  (`experiments/training/chips.py`), `share_of_peak` is what a step's operations, as XLA counts them,
  would take at that peak over what the step took.
- **Stalls.** When no step finishes for ten times the median of the last hundred, and for 30 seconds, the
  stack of every thread goes to standard error; the run goes on."""
# What every run of the suite tests: promise, test, name of the test.
SUITE = (
    ("a killed run ends as an unbroken one", "SIGKILL after 7 and 11 steps", "killed"),
    ("SIGTERM and SIGINT lose no step", "one of each within a run", "resumed"),
    (
        "a run whose disk is gone goes on from its mirror",
        "stopped, the folder deleted, resumed from a bucket in memory",
        "resumed",
    ),
    ("a damaged newest step is named, `--fall-back` uses the one before", "a file added", "damaged"),
    ("a save that fails is named, the step before stays intact", "no space left on the device", "hinders"),
    ("a second run into a folder is refused", "the lock is held", "hinders"),
    ("a folder deleted while a run writes to it is named within a step", "deleted after 7 steps", "hinders"),
    (
        "a loss or gradient that is not finite is named a step later at most",
        "an optimiser that spoils weights",
        "finite",
    ),
    (
        "one device, and several under jit and pmap, take the same steps",
        "2 steps in float64 without dropout on 1 and 4 simulated devices, to 1e-12",
        "four_devices",
    ),
    ("training computes what it computed", "losses of 200 steps, to 0.1 %", "golden"),
)


@dataclasses.dataclass(frozen=True)
class ReliabilityConfig:
    """How often a training is stopped, and where."""

    kills: int = 50
    """SIGKILLs."""
    terminations: int = 20
    """SIGTERMs."""
    interrupts: int = 20
    """SIGINTs."""
    worker_kills: int = 0
    """SIGKILLs of the second of two processes that train together."""
    coordinator_kills: int = 0
    """SIGKILLs of the first of two, which the others find each other by."""
    pair_terminations: int = 0
    """SIGTERMs of two processes: of both, the first and the second in turn."""
    pair_interrupts: int = 0
    """SIGINTs likewise."""
    steps: int = 240
    """Of a training, which is begun anew when it has ended."""
    stretch: int = 40
    """Steps that a training takes at most before the signal."""
    validation_windows: int = 32
    small_disk: Path | None = None
    """Folder on a file system that is too small for two checkpoints: a disk that runs full."""
    devices: tuple[int, ...] = ()
    """Numbers of simulated devices that take the same steps, under jit and under pmap; the first is what the
    others are compared with."""
    soak: int = 0
    """Steps of a long training whose memory and compilations are watched."""
    lift_minutes: float = 0.0
    """Minutes of lifting one video after the other, watched likewise."""
    seed: int = 0
    """Of the moments of the signals."""
    output: Path = Path("runs/reliability")
    """Folder of the trainings."""
    report: Path | None = None
    """Also write the table as Markdown, with what the suite tests."""


RULES = {
    **dict.fromkeys(("kills", "terminations", "interrupts", "validation_windows", "soak"), WHOLE),
    **dict.fromkeys(("worker_kills", "coordinator_kills", "pair_terminations", "pair_interrupts"), WHOLE),
    **dict.fromkeys(("steps", "stretch"), COUNT),
    "lift_minutes": NOT_NEGATIVE,
    "seed": SEED,
}


class Outcome(NamedTuple):
    """Of trainings that one kind of signal stopped. stopped: how often. unfinished: after how many there
    was a save that had begun and was not complete. points: different steps, of different trainings, that were
    gone on from. lost: steps that had to be taken again, in all. identical:
    of ``finished`` trainings, those that ended as the unbroken one. wrong: what was not as promised, a
    sentence each.
    """

    stopped: int
    unfinished: int
    points: int
    lost: int
    identical: int
    finished: int
    wrong: tuple[str, ...]


# ---------------------------------------------------------------------------------------------- signals


def stop_often(
    config: ReliabilityConfig, training: TrainConfig, unbroken: str, number: signal.Signals, times: int
) -> Outcome:
    """Trains, and stops it ``times`` times by a signal, with a resume after each."""
    rng = np.random.default_rng((config.seed, number))
    expected = {signal.SIGKILL: -9, signal.SIGTERM: 0, signal.SIGINT: 130}[number]
    stopped = unfinished = lost = identical = finished = 0
    points: set[tuple[int, int]] = set()
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
            process = fork(partial(train_and_hash, here), said)
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
            points.add((finished, newest))
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
    return Outcome(stopped, unfinished, len(points), lost, identical, finished, tuple(wrong))


# ---------------------------------------------------------------------------------------------- devices


def share_steps(config: ReliabilityConfig) -> list[str]:
    """Takes the same steps on every number of devices, both ways: the row of the table."""
    first: Any = None
    worst, compared = 0.0, []
    for count in config.devices:
        for parallel in ("jit", "pmap"):
            here = dataclasses.replace(SHARED, parallel=parallel)
            path = config.output / f"{parallel}_{count}.npz"
            said = path.with_suffix(".txt")
            if wait(fork(partial(take_steps, here, count, path), said)):
                raise RuntimeError(f"{parallel} on {count} devices failed: {said.read_text()[-2000:]}")
            with np.load(path) as found:
                arrays = list(found.values())
            first = first or arrays
            compared.append(f"{parallel} on {count}")
            apart = (np.abs(one - other).max() for one, other in zip(first, arrays, strict=True))
            worst = max(worst, *map(float, apart))
    return [
        "any number of devices, under jit and pmap, takes the same steps",
        f"{SHARED_STEPS} steps in float64 without dropout: {', '.join(compared)}",
        "1",
        f"weights, statistics, moments and losses differ by {worst:.1e} at most",
        f"`python -m experiments.reliability --kills 0 --terminations 0 --interrupts 0 --devices "
        f"{' '.join(map(str, config.devices))}`",
    ]


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
        "`python -m experiments.reliability --small-disk` with such a folder",
    ]


# ------------------------------------------------------------------------------------------------ pairs


def stop_all_pairs(config: ReliabilityConfig, training: TrainConfig) -> list[list[str]]:
    """Two processes that train together are killed one at a time and asked to stop: rows of the table."""
    kill, term, interrupt = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
    asked = (
        (WORKER, kill, "worker_kills", "a killed worker ends the others, and all go on as one unbroken run"),
        (COORDINATOR, kill, "coordinator_kills", "a killed coordinator ends the others likewise"),
        (None, term, "pair_terminations", "SIGTERM of both or either: no step is lost, exit code 0 of both"),
        (
            None,
            interrupt,
            "pair_interrupts",
            "SIGINT of both or either: no step is lost, exit code 130 of both",
        ),
    )
    if not any(getattr(config, option) for _, _, option, _ in asked):
        return []
    unbroken = train_pair(dataclasses.replace(training, output=config.output / "pair_unbroken"))
    rows = []
    for killed, number, option, promise in asked:
        times = getattr(config, option)
        if not times:
            continue
        found = stop_pairs(
            config.output, training, unbroken, killed, number, times, config.stretch, config.seed
        )
        result = f"{found.identical} of {found.finished} ends identical, {found.lost} steps taken again"
        if killed is not None:
            result += f"; the other ended within {found.slowest:.1f} s (heartbeat: {HEARTBEAT} s)"
        if found.wrong:
            result += f"; {len(found.wrong)} not as promised: {'; '.join(found.wrong)}"
        test = f"{number.name} of {'both, the first or the second' if killed is None else 'one'}"
        test += f" of two processes, after 1 to {config.stretch} steps"
        command = f"`python -m experiments.reliability --{option.replace('_', '-')} {times}`"
        rows.append([promise, test, str(found.stopped), result, command])
    return rows


# ---------------------------------------------------------------------------------------------- reports


def train_unbroken(config: ReliabilityConfig, training: TrainConfig) -> str:
    """The sha256 of what a training ends with that nothing stops."""
    said = config.output / "unbroken.txt"
    code = wait(fork(lambda: train_and_hash(training), said))
    unbroken = hash_of(said)
    if code or unbroken is None:
        raise RuntimeError(f"the unbroken training failed: {said.read_text()}")
    return unbroken


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
    unbroken = ""
    if config.kills or config.terminations or config.interrupts:
        unbroken = train_unbroken(config, training)
    rows = []
    for number, option, times, promise in (
        (signal.SIGKILL, "kills", config.kills, "a killed run goes on and ends as an unbroken one"),
        (
            signal.SIGTERM,
            "terminations",
            config.terminations,
            "SIGTERM: no step is lost, exit code 0, no traceback",
        ),
        (
            signal.SIGINT,
            "interrupts",
            config.interrupts,
            "SIGINT: no step is lost, exit code 130, no traceback",
        ),
    ):
        if not times:
            continue
        found = stop_often(config, training, unbroken, number, times)
        result = f"{found.identical} of {found.finished} ends identical, {found.lost} steps taken again, "
        result += f"gone on from {found.points} different steps"
        if number == signal.SIGKILL:
            result += f", {found.unfinished} kills within a save"
        if found.wrong:
            result += f"; {len(found.wrong)} not as promised: {'; '.join(found.wrong)}"
        command = f"`python -m experiments.reliability --{option} {times}`"
        test = f"{number.name} after 1 to {config.stretch} steps"
        rows.append([promise, test, str(found.stopped), result, command])
    rows += stop_all_pairs(config, training)
    if config.devices:
        rows.append(share_steps(config))
    if config.small_disk is not None:
        rows.append(fill_disk(config, training, config.small_disk))
    if config.soak:
        rows.append(soak_training(training, config.soak, config.output))
    if config.lift_minutes:
        rows.append(soak_lifts(config.lift_minutes, config.output))
    return rows


def report(rows: Sequence[Sequence[str]], path: Path) -> None:
    """Prints the rows that were measured, and writes them and what the suite tests to a document."""
    tested = [
        [promise, test, "every run", "as promised", f"`pytest tests/test_loop.py -k {name}`"]
        for promise, test, name in SUITE
    ]
    reporting.report(
        reporting.console(),
        COLUMNS,
        [*rows, *tested],
        path,
        names=len(COLUMNS),
        before=BEFORE.splitlines(),
        after=AFTER.strip().splitlines(),
    )


def main() -> None:
    config = tyro.cli(ReliabilityConfig, description=__doc__)
    rows = measure(config)
    if config.report is None:
        reporting.show(reporting.console(), COLUMNS, rows)
    else:
        report(rows, config.report)


if __name__ == "__main__":
    run_script(main)
