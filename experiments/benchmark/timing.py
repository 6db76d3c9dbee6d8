"""How a benchmark times, and how it writes what it found."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from experiments.reporting import markdown

Name = TypeVar("Name")


class Timing(NamedTuple):
    seconds: float
    root: np.ndarray
    steps: str


def measure(run: Callable[[], tuple[np.ndarray, str]], repeats: int) -> Timing:
    """The median of ``repeats`` runs, or of as many as fill half a second, after one that compiles."""
    run()
    seconds: list[float] = []
    while len(seconds) < repeats or sum(seconds) < 0.5:
        begin = time.perf_counter()
        root, steps = run()
        seconds.append(time.perf_counter() - begin)
        if sum(seconds) > 20:  # slow rivals need no second opinion
            break
    return Timing(float(np.median(seconds)), root, steps)


def interleave(
    runs: Mapping[Name, Callable[[], object]], repeats: int, processor_time: bool = False
) -> dict[Name, float]:
    """Median seconds of every run, by name: all take turns, ``repeats`` times, after one turn that compiles.

    processor_time: count the seconds that the process computed instead of the clock's, which tell one thread
    apart from other work on its core.
    """
    clock = time.process_time if processor_time else time.perf_counter
    seconds: dict[Name, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            begin = clock()
            run()
            seconds[name].append(clock() - begin)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def write_markdown(path: Path | None, columns: list[str], rows: list[list[str]]) -> None:
    if path is not None:
        path.write_text("\n".join(markdown(columns, rows, names=len(columns))) + "\n", encoding="utf-8")
        print(f"wrote {path}")
