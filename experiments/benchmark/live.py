"""People lifted and placed frame by frame: how long a frame takes, and whether memory grows."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from rich.progress import track
from rich.table import Table

from experiments import reporting
from experiments.benchmark.timing import write_markdown
from gated_lift.live import start_live, step_live
from gated_lift.networks.checkpoints import load_lifter
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated
from solvers import Camera

CAMERA = Camera((1145.0, 1145.0), (960.0, 540.0))
WALK = 500  # frames of the motion, which is played forwards and backwards


@dataclass(frozen=True)
class LiveBenchmark:
    """Time of `step_live` from NumPy arrays to joints, all people in view, who is who found out by the
    tracker."""

    people: tuple[int, ...] = (1, 2, 4, 8)
    frames: int = 2000
    """Frames fed, of which the first tenth is not counted."""
    fps: float = 50.0
    """Frames a second that come."""
    weights: str = "causal"
    """Weights that ship, or the folder of a run's checkpoints."""
    lag: float = 0.5
    """Seconds by which the better path is late."""
    hidden: float = 0.2
    """Share of keypoints that are hidden."""
    seed: int = 0
    output: Path | None = None
    """Also write the table as Markdown."""


def walkers(config: LiveBenchmark, people: int) -> tuple[np.ndarray, np.ndarray]:
    """(F, P, 17, 2) pixels with 2 px of noise, and (F, P, 17) confidences, 0 where hidden."""
    rng = np.random.default_rng(config.seed)
    time = WALK / config.fps
    places = 1.1 * (np.arange(people) - (people - 1) / 2)
    walks = [
        generated.walk(WALK, fps=config.fps, speed=0.6, start=(-0.3 * time, float(place))) for place in places
    ]
    # World axes with z up, seen from the side of their feet's line, which runs along the optical axis.
    x, y, z = np.moveaxis(np.stack(walks, axis=1), -1, 0)
    depth = 6 + 0.5 * people + x
    points = np.stack([y / depth, (1.0 - z) / depth], axis=-1)
    keypoints = np.asarray(CAMERA.focal) * points + np.asarray(CAMERA.center)
    index = np.abs((np.arange(config.frames) + WALK) % (2 * WALK - 2) - (WALK - 1))
    shape = (config.frames, people, 17)
    noisy = keypoints[index] + 2 * rng.normal(size=(*shape, 2))
    return noisy, np.where(rng.random(shape) < config.hidden, 0.0, 0.9)


def run_live(config: LiveBenchmark) -> list[list[str]]:
    """Times every frame for every number of people and prints a table; returns its rows."""
    columns = ["people", "compilation", "median", "99 %", "a frame and person"]
    columns += ["processor, first quarter", "last quarter", "memory grew by"]
    rows: list[list[str]] = []
    console = reporting.console()
    lifter = load_lifter(config.weights)
    for people in sorted(config.people):
        keypoints, confidence = walkers(config, people)
        begin = time.perf_counter()
        live = start_live(lifter, CAMERA, config.fps, people, H36M_17, lag=config.lag)
        compilation = time.perf_counter() - begin
        # Made now, so that what grows is not these.
        seconds, busy, memory = np.ones(config.frames), np.ones(config.frames), 0
        for t in track(range(config.frames), f"{people} people", console=console, transient=True):
            begin, busy_before = time.perf_counter(), time.process_time()
            live, _ = step_live(live, keypoints[t], confidence[t])
            seconds[t] = time.perf_counter() - begin
            busy[t] = time.process_time() - busy_before
            if t == config.frames // 10:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        timed, worked = (1e3 * each[config.frames // 10 :] for each in (seconds, busy))
        quarter = len(timed) // 4
        rows.append(
            [
                str(people),
                f"{compilation:.0f} s",
                f"{np.median(timed):.2f} ms",
                f"{np.quantile(timed, 0.99):.2f} ms",
                f"{np.median(timed) / people:.2f} ms",
                f"{np.median(worked[:quarter]):.2f} ms",
                f"{np.median(worked[-quarter:]):.2f} ms",
                f"{grown / 1024:.1f} MiB",
            ]
        )
    table = Table(*columns, title=f"A frame of {config.fps:g} a second, {jax.default_backend()}")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    write_markdown(config.output, columns, rows)
    return rows
