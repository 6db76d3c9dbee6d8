"""How often the truth lies inside the regions that the solve states."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import Scene, film_both
from experiments.trajectory.noise import (
    Fit,
    FitConfig,
    fit_noise,
    minimize,
    region_limits,
    solve,
    squared_distance,
    truth,
)
from gated_lift.drawing import charts
from solvers import TrajectoryConfig, TrajectorySolution

LEVELS = (0.5, 0.9, 0.95)
GRID = np.linspace(0.02, 0.98, 49)


@dataclasses.dataclass(frozen=True)
class CalibrationConfig(FitConfig):
    """Fits the noise model on the training split and checks the stated regions on the validation split."""

    objective: str = "errors"
    """What the weights make greatest on the training split: the ``evidence`` of the keypoints, which needs no
    truth, or the likelihood of the root ``errors``, inside and outside gaps alike; after the latter the
    regions are fitted to hold as many of the training frames as they say."""
    region_rounds: int = 120
    """Most solves that fitting the regions' size may take, after the weights."""
    world: bool = True
    """Smooth in world axes, the camera's motion being known; --no-world for camera axes."""


def coverage(
    solution: TrajectorySolution,
    root: jax.Array,
    gap: jax.Array,
    levels: Sequence[float] | np.ndarray,
    tail: float = math.inf,
) -> dict[str, list[float]]:
    """Share of frames on which the true root lies in the region of each level, outside and inside gaps;
    ``tail`` as in `noise.Fit`.
    """
    distance = squared_distance(solution, root)
    inside, solved = np.asarray(gap), np.isfinite(distance)
    limits = region_limits(levels, tail)
    return {
        name: [float((distance[solved & side] <= limit).mean()) for limit in limits]
        for name, side in (("outside gaps", ~inside), ("inside gaps", inside))
    }


def fit_regions(fit: Fit, config: CalibrationConfig, scene: Scene, fps: float, console: Console) -> Fit:
    """The fit with size_std, bias_std and the tail, none of which moves a path, so that the shares of the
    frames inside the regions of all levels come nearest to the levels, outside gaps and inside alike.

    The likelihood that gave the weights is decided by the spread of the large errors and is left with
    regions that are too small for the many frames with small ones.
    """
    root = truth(scene, config.world)

    def fit_of(logarithms: np.ndarray) -> Fit:
        size, bias, tail = (float(value) for value in np.exp(logarithms))
        return Fit(fit.noise._replace(size_std=size, bias_std=bias), tail)

    def score(logarithms: np.ndarray) -> float:
        trial = fit_of(logarithms)
        solution = solve(scene, jnp.asarray(trial.noise, jnp.float32), fps, config.world, config.loss)
        shares = coverage(solution, root, scene.gap, GRID, trial.tail)
        return float(np.sqrt(np.mean([(np.asarray(side) - GRID) ** 2 for side in shares.values()])))

    start = np.log([fit.noise.size_std, fit.noise.bias_std, fit.tail])
    return fit_of(minimize(score, start, config.region_rounds, 0.4, 1e-4, "fitting the regions", console))


def run_calibration(config: CalibrationConfig) -> dict[str, list[float]]:
    """Fits, prints and draws; returns the shares of the validation and training frames at LEVELS."""
    if config.objective not in ("evidence", "errors"):
        raise ValueError(f"objective is {config.objective!r}: choose evidence or errors")
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    training, validation, fps = film_both(config)
    fit = fit_noise(config.objective, config.world, config.loss, config.rounds, training, fps, console)
    if config.objective == "errors":
        fit = fit_regions(fit, config, training, fps, console)
    noise, tail = fit
    fitted = TrajectoryConfig.from_noise(noise.keypoint_std, noise.speed_std, noise.acceleration_std)
    headings = [f"{100 * level:.0f} % region" for level in LEVELS]
    described = (
        f"fitted on training by {config.objective}, {'world' if config.world else 'camera'} axes: "
        + ", ".join(f"{name} {value:.3g}" for name, value in noise._asdict().items())
        + f", tail {tail:.3g}; on the ground lambda_1 {fitted.velocity_weight:.3g}, "
        + f"lambda_2 {fitted.acceleration_weight:.3g}"
    )
    rows = []
    curves: dict[str, tuple[np.ndarray, ...]] = {}
    found: dict[str, list[float]] = {}
    for split, scene in (("training", training), ("validation", validation)):
        root = truth(scene, config.world)
        solution = solve(scene, jnp.asarray(noise, jnp.float32), fps, config.world, config.loss)
        error = np.linalg.norm(np.asarray(solution.root - root), axis=-1)
        for name, shares in coverage(solution, root, scene.gap, LEVELS, tail).items():
            side = np.asarray(scene.gap) == (name == "inside gaps")
            cells = [f"{100 * share:.1f} %" for share in shares]
            cells.append(f"{1000 * np.nanmean(error[side]):.1f} mm")
            rows.append([split, name, *cells])
            found[f"{split}, {name}"] = shares
        for name, shares in coverage(solution, root, scene.gap, GRID, tail).items():
            curves[f"{split}, {name}"] = (100 * GRID, 100 * np.asarray(shares))
    console.print(described)
    columns = ["split", "frames", *headings, "root error"]
    report(console, columns, rows, config.output / "calibration.md", names=2, before=[described])
    figure = charts.draw_reliability(curves, config.output / "reliability.png")
    console.print(f"wrote {config.output / 'calibration.md'} and {figure}")
    return found
