"""The trajectory solve against rivals that minimise the same cost."""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from rich.table import Table

from experiments import reporting
from experiments.benchmark.rivals import CONTESTANTS, OURS, cost_of, walking_people
from experiments.benchmark.timing import Timing, measure, write_markdown


@dataclass(frozen=True)
class TrajectoryBenchmark:
    """Eq. 9 for people at 4 m, half of their joints hidden and all of them for a fifth of the clip."""

    frames: tuple[int, ...] = (100, 1000, 10_000)
    people: tuple[int, ...] = (1, 32)
    repeats: int = 5
    seed: int = 0
    weights: tuple[float, float] = (1.0, 1.0)
    """lambda_1 and lambda_2."""
    budget: float = 30.0
    """Seconds; a rival whose run would take longer, judged by its smaller runs, is skipped and marked so."""
    output: Path | None = None
    """Also write the table as Markdown."""


def run_trajectory(config: TrajectoryBenchmark) -> list[list[str]]:
    """Times every contestant at every size and prints a table; returns its rows."""
    columns = [
        "frames",
        "people",
        "solver",
        "median",
        "time against ours",
        "steps",
        "cost above best",
        "off by",
    ]
    rows: list[list[str]] = []
    known: dict[tuple[str, int, int], float] = {}
    console = reporting.console()
    for people in sorted(config.people):
        for frames in sorted(config.frames):
            clip = walking_people(people, frames, config.seed)
            start = clip.root + 0.1
            timings: dict[str, Timing] = {}
            skipped: dict[str, str] = {}
            for name, (contestant, growth) in CONTESTANTS.items():
                expected = max(
                    (
                        seconds * (people / fewer) * (frames / shorter) ** growth
                        for (other, fewer, shorter), seconds in known.items()
                        if other == name and fewer <= people and shorter <= frames
                    ),
                    default=0.0,
                )
                if name != OURS and expected > config.budget:
                    skipped[name] = f"about {expected:.0f} s"
                    continue
                console.print(f"{frames} frames, {people} people: {name}", style="dim")
                try:
                    run = contestant(clip, config.weights, start)
                except ModuleNotFoundError as missing:
                    skipped[name] = f"{missing.name} is not installed (extra: benchmark)"
                    continue
                timings[name] = measure(run, config.repeats)
                known[name, people, frames] = timings[name].seconds
            costs = {name: cost_of(timing.root, clip, config.weights) for name, timing in timings.items()}
            best = min(cost for cost in costs.values() if np.isfinite(cost))
            reference = min((name for name in costs if np.isfinite(costs[name])), key=costs.__getitem__)
            for name in CONTESTANTS:
                size = [str(frames), str(people), name]
                if name in skipped:
                    rows.append([*size, f"skipped: {skipped[name]}", "", "", "", ""])
                    continue
                timing = timings[name]
                distance = float(np.abs(timing.root - timings[reference].root).max())
                rows.append(
                    [
                        *size,
                        f"{1e3 * timing.seconds:.2f} ms",
                        f"{timing.seconds / timings[OURS].seconds:.2f} x",
                        timing.steps,
                        f"{costs[name] / best - 1:.1e}",
                        f"{1e3 * distance:.1e} mm",
                    ]
                )
    table = Table(
        *columns, title=f"Eq. 9, weights {config.weights}, seed {config.seed}, {jax.default_backend()}"
    )
    for row in rows:
        table.add_row(*row, end_section=row[2] == list(CONTESTANTS)[-1])
    console.print(table)
    write_markdown(config.output, columns, rows)
    return rows
