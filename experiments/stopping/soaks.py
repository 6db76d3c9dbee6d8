"""Long runs whose memory and compilations are watched from outside, for `experiments.reliability`. They need
Linux's /proc.
"""

import dataclasses
import json
import re
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments.compilations import compilations
from experiments.stopping.trainings import GENERATED_FRAMES, TRAINING, fork, last_step, runs_on, wait
from experiments.training.configs import TrainConfig
from experiments.training.loop import run as run_training
from gated_lift.exports import plan_all
from gated_lift.outputs import write_whole
from gated_lift.video.example import EXAMPLE, EXAMPLE_CAMERA, EXAMPLE_PEOPLE
from gated_lift.video.lift import lift_file

SIZES = 10  # sizes of memory, of which a median is taken at either end
COMPILED = "Finished XLA compilation of jit(step)"
# Frames of the videos that are lifted again and again: two of the lengths that are compiled.
LENGTHS = (60, 80, 100, 150, 200, 250)


def resident(process: int) -> float | None:
    """MiB of a process's resident memory; None once it has ended."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return None if found is None else int(found[1]) / 1024


def growth(sizes: list[float]) -> str:
    """What memory did between the first and the last of the sizes that were seen, in words."""
    first, last = float(np.median(sizes[:SIZES])), float(np.median(sizes[-SIZES:]))
    return (
        f"resident memory {first:.0f} MiB after a tenth and {last:.0f} MiB at the end "
        f"({100 * (last / first - 1):+.1f} %)"
    )


def soak_training(training: TrainConfig, steps: int, output: Path) -> list[str]:
    """Trains for long and watches the process: the row of the table."""
    epochs = steps / round(GENERATED_FRAMES / TRAINING.batch_frames)
    here = dataclasses.replace(
        training, epochs=epochs, checkpoint_every=500, log_every=50, output=output / "soak"
    )

    def train() -> None:
        jax.config.update("jax_log_compiles", True)
        run_training(here)

    said = output / "soak.txt"
    process = fork(train, said)
    sizes: dict[int, float] = {}
    while runs_on(process):
        step, size = last_step(here.output), resident(process)
        if size is not None and step >= steps // 10:
            sizes[step] = size
        time.sleep(0.5)
    code = wait(process)
    compiled = said.read_text().count(COMPILED)
    return [
        "a long training compiles its step once and takes no more memory",
        f"{last_step(here.output):,} steps",
        "1",
        f"exit code {code}, {compiled} compilation(s), {growth(list(sizes.values()))}",
        f"`python -m experiments.reliability --kills 0 --terminations 0 --interrupts 0 --soak {steps}`",
    ]


def of_length(frames: int, folder: Path) -> Path:
    """The example that ships, played forwards and backwards until it has so many frames."""
    with np.load(EXAMPLE) as archive:
        example = dict(archive)
    landmarks = example["landmarks"]
    there_and_back = np.concatenate([landmarks, landmarks[-2:0:-1]])
    path = folder / f"{frames}.npz"
    np.savez(path, **example | {"landmarks": there_and_back[np.arange(frames) % len(there_and_back)]})
    return path


def lift_often(minutes: float, folder: Path) -> None:
    """Lifts videos of all `LENGTHS` and writes their people, round after round, and prints a line of JSON
    after each round: videos, frames and compilations until then.
    """
    videos = [of_length(frames, folder) for frames in LENGTHS]
    end = time.monotonic() + 60 * minutes
    rounds = 0
    with compilations() as compiled:
        while not rounds or time.monotonic() < end:
            for path in videos:
                found = lift_file(path, intrinsics=EXAMPLE_CAMERA, people=EXAMPLE_PEOPLE)
                write_whole(plan_all(found, folder / "lifted", path.stem, ("npz", "csv")), overwrite=True)
            rounds += 1
            told = {"videos": rounds * len(videos), "frames": rounds * sum(LENGTHS)}
            print(json.dumps(told | {"compiled": len(compiled)}), flush=True)


def soak_lifts(minutes: float, output: Path) -> list[str]:
    """Lifts one video after the other for so long and watches the process: the row of the table."""
    folder, said = output / "lifts", output / "lifts.txt"
    folder.mkdir()
    begun = time.monotonic()
    process = fork(partial(lift_often, minutes, folder), said)
    sizes: list[float] = []
    while runs_on(process):
        size = resident(process)
        # Until the first round is over, programs are compiled.
        if size is not None and time.monotonic() - begun > 6 * minutes and '"compiled"' in said.read_text():
            sizes.append(size)
        time.sleep(1)
    code = wait(process)
    rounds = [json.loads(line) for line in said.read_text().splitlines() if line.startswith("{")]
    if not rounds or not sizes:
        raise RuntimeError(f"lifting failed: {said.read_text()[-2000:]}")
    later = rounds[-1]["compiled"] - rounds[0]["compiled"]
    return [
        "lifting many videos compiles nothing anew and takes no more memory",
        f"{minutes:g} minutes: {rounds[-1]['videos']:,} videos of {min(LENGTHS)} to {max(LENGTHS)} frames, "
        f"{rounds[-1]['frames']:,} frames",
        "1",
        f"exit code {code}, {later} compilations after the first {len(LENGTHS)} videos, {growth(sizes)}",
        "`python -m experiments.reliability --kills 0 --terminations 0 --interrupts 0 "
        f"--lift-minutes {minutes:g}`",
    ]
