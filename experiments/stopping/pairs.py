"""Two processes that train one network together, of which one is killed, or one or both are asked to stop."""

import dataclasses
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import processes
from experiments.guards import EXIT_CODES
from experiments.stopping.trainings import fork, hash_of, last_step, reaches, train_and_hash, wait
from experiments.training.configs import TrainConfig
from experiments.training.loop import run as run_training
from gated_lift.networks import checkpoints

# Seconds of silence after which a process is taken for dead, and how much longer the other may live.
HEARTBEAT, AFTER = 10, 5.0
WORKER, COORDINATOR = 1, 0
# What ends a process whose coordinator is gone: our own exit, or JAX's, which aborts it with a message.
ENDED = (3, -signal.SIGABRT)


class PairOutcome(NamedTuple):
    """Of pairs of processes that were stopped. stopped: how often. slowest: seconds that the other lived on
    at most after a kill. lost: steps that had to be taken again, in all. identical: of ``finished``
    trainings, those that ended as the unbroken pair's. wrong: what was not as promised, a sentence each.
    """

    stopped: int
    slowest: float
    lost: int
    identical: int
    finished: int
    wrong: tuple[str, ...]


def said_by(output: Path, index: int) -> Path:
    """Where process ``index`` of a pair writes what it says."""
    return output.with_name(f"{output.name}_{index}.txt")


def _member(config: TrainConfig, address: str, index: int) -> None:
    processes.join(address, 2, index, HEARTBEAT)
    try:
        # The first process writes, and so knows when all is written.
        (train_and_hash if processes.is_first() else run_training)(config)
    finally:
        # They wait for each other, as at the end of every script that uses JAX: not of a process that is
        # forked. Whose coordinator ends before is aborted.
        jax.distributed.shutdown()


def free_address() -> str:
    """A loopback address with a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start_pair(config: TrainConfig) -> list[int]:
    """The numbers of two new processes that train together; the first is the coordinator."""
    address = free_address()
    return [fork(partial(_member, config, address, index), said_by(config.output, index)) for index in (0, 1)]


def train_pair(config: TrainConfig) -> str:
    """The sha256 of a training of two processes that nobody stops. Raises RuntimeError if it fails."""
    codes = [wait(process) for process in start_pair(config)]
    found = hash_of(said_by(config.output, 0))
    if codes != [0, 0] or found is None:
        said = [said_by(config.output, index).read_text()[-500:] for index in (0, 1)]
        raise RuntimeError(f"the unbroken pair ended with {codes}: {said}")
    return found


def stop_pairs(
    output: Path,
    training: TrainConfig,
    unbroken: str,
    killed: int | None,
    number: signal.Signals,
    times: int,
    stretch: int,
    seed: int,
) -> PairOutcome:
    """Trains in pairs and sends them a signal ``times`` times, with a resume after each: to process
    ``killed``, or with None to both, to the first and to the second in turn, all of which then have to stop.
    """
    rng = np.random.default_rng((seed, int(number) if killed is None else killed))
    name = number.name.lower() if killed is None else ("coordinator", "worker")[killed]
    stopped = lost = identical = finished = 0
    slowest = 0.0
    wrong: list[str] = []
    while stopped < times:
        folder = output / f"pair_{name}_{finished}"
        while True:
            here = dataclasses.replace(training, output=folder, resume=folder.exists())
            begin = checkpoints.newest_step(folder / "checkpoints") or 0
            goal = begin + int(rng.integers(1, stretch + 1))
            pair = start_pair(here)
            if stopped == times or not reaches(pair[0], folder, goal, begin):
                codes = [wait(process) for process in pair]
                if codes != [0, 0]:
                    wrong.append(f"{name}, the end: exit codes {codes}")
                break
            time.sleep(float(rng.uniform(0, 0.03)))
            began = time.monotonic()
            taken = last_step(folder)
            for process in (pair, pair[:1], pair[1:])[stopped % 3] if killed is None else [pair[killed]]:
                os.kill(process, number)
            codes = [wait(process) for process in pair]
            seconds = time.monotonic() - began
            if (folder / "curves.png").exists():
                continue  # the signal came after the last step
            stopped += 1
            newest = checkpoints.newest_step(folder / "checkpoints") or 0
            lost += max(0, last_step(folder) - newest)
            if killed is None:
                if codes != 2 * [EXIT_CODES[number]] or newest < taken:
                    said = [said_by(folder, index).read_text()[-300:] for index in (0, 1)]
                    steps = f"step {newest} saved of {taken}"
                    wrong.append(f"{number.name} {stopped}: exit codes {codes}, {steps}, said {said}")
                continue
            slowest = max(slowest, seconds)
            other = 1 - killed
            text = said_by(folder, other).read_text()
            named = "another process of this run has ended" in text or "coordination service" in text
            if codes[other] not in ENDED or seconds > HEARTBEAT + AFTER or not named:
                wrong.append(
                    f"{name} {stopped}: the other ended with {codes[other]} after {seconds:.1f} s and said "
                    f"{text[-300:]!r}"
                )
        finished += 1
        identical += hash_of(said_by(folder, 0)) == unbroken
    return PairOutcome(stopped, slowest, lost, identical, finished, tuple(wrong))
