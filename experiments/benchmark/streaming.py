"""The streaming solve, frame by frame, against solving its whole window anew."""

import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from rich.table import Table

from experiments import reporting
from experiments.benchmark.rivals import CENTER, FOCAL, JOINTS, walking_people
from experiments.benchmark.timing import measure, write_markdown
from solvers import Camera, TrajectoryConfig, feed, solve_trajectory, start_stream


@dataclass(frozen=True)
class StreamingBenchmark:
    """Time that `feed` takes for a frame of the people of the trajectory benchmark, all of whom it sees at
    once, from NumPy arrays to an answer."""

    people: tuple[int, ...] = (1, 10)
    lags: tuple[int, ...] = (25, 100)
    frames: int = 2000
    """Frames fed; those before the window is full are not counted."""
    seed: int = 0
    weights: tuple[float, float] = (1.0, 1.0)
    """lambda_1 and lambda_2."""
    loss: str = "squared"
    """What a joint's error costs, see `TrajectoryConfig`."""
    max_steps: int = 60
    """Steps a frame at most; with a single one the next frame goes on from there."""
    output: Path | None = None
    """Also write the table as Markdown."""


def run_streaming(config: StreamingBenchmark) -> list[list[str]]:
    """Times every frame at every size and prints a table; returns its rows."""
    columns = ["people", "lag", "compilation", "median", "95th percentile", "first quarter", "last quarter"]
    columns += ["steps", "against the whole window"]
    rows: list[list[str]] = []
    console = reporting.console()
    camera = Camera((FOCAL, FOCAL), tuple(CENTER))
    settings = TrajectoryConfig(*config.weights, loss=config.loss, max_steps=config.max_steps)
    for people in sorted(config.people):
        clip = walking_people(people, config.frames, config.seed)
        poses, keypoints = clip.poses.astype(np.float32), clip.keypoints.astype(np.float32)
        for lag in sorted(config.lags):
            console.print(f"{people} people, lag {lag}", style="dim")
            state = start_stream(people, JOINTS, camera, settings, lag=lag)
            seconds, steps = [], []
            for t in range(config.frames):
                begin = time.perf_counter()
                state, found = feed(state, poses[:, t], keypoints[:, t], clip.occluded[:, t])
                jax.block_until_ready(found)
                seconds.append(time.perf_counter() - begin)
                steps.append(int(found.num_steps.max()))
            timed = 1e3 * np.asarray(seconds[lag + 1 :])
            quarter = len(timed) // 4

            window = slice(config.frames - lag - 1, None)
            seen = poses[:, window], keypoints[:, window], clip.occluded[:, window]

            def anew(seen: tuple[np.ndarray, np.ndarray, np.ndarray] = seen) -> tuple[np.ndarray, str]:
                solution = jax.block_until_ready(solve_trajectory(*seen, camera, settings))
                return np.asarray(solution.root), ""

            rival = 1e3 * measure(anew, 20).seconds
            rows.append(
                [
                    str(people),
                    str(lag),
                    f"{seconds[0]:.0f} s",
                    f"{np.median(timed):.2f} ms",
                    f"{np.quantile(timed, 0.95):.2f} ms",
                    f"{np.median(timed[:quarter]):.2f} ms",
                    f"{np.median(timed[-quarter:]):.2f} ms",
                    f"{np.mean(steps[lag + 1 :]):.1f}",
                    f"{np.median(timed) / rival:.2f} x",
                ]
            )
    table = Table(
        *columns,
        title=f"A frame fed, {config.loss} loss, weights {config.weights}, {jax.default_backend()}",
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    write_markdown(config.output, columns, rows)
    return rows
