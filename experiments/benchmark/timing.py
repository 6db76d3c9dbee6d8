"""How a benchmark times, and how it writes what it found."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.reporting import markdown


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


def write_markdown(path: Path | None, columns: list[str], rows: list[list[str]]) -> None:
    if path is not None:
        path.write_text("\n".join(markdown(columns, rows, names=len(columns))) + "\n", encoding="utf-8")
        print(f"wrote {path}")
