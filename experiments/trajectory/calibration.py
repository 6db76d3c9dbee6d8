"""How often the truth lies inside the regions that the solve states."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.tables import report
from experiments.trajectory.film import film_both
from experiments.trajectory.noise import FitConfig, fit_noise, region_limits, solve, squared_distance, truth
from gated_lift import charts
from solvers import TrajectoryConfig, TrajectorySolution

LEVELS = (0.5, 0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class CalibrationConfig(FitConfig):
    """Fits the noise model on the training split and checks the stated regions on the validation split."""

    objective: str = "errors"
    """What the fit makes greatest on the training split: the ``evidence`` of the keypoints, which needs no
    truth, or the likelihood of the root ``errors``, inside and outside gaps alike."""
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


def run_calibration(config: CalibrationConfig) -> dict[str, list[float]]:
    """Fits, prints and draws; returns the shares of the validation and training frames at LEVELS."""
    if config.objective not in ("evidence", "errors"):
        raise ValueError(f"objective is {config.objective!r}: choose evidence or errors")
    console = Console()
    config.output.mkdir(parents=True, exist_ok=True)
    training, validation, fps = film_both(config)
    noise, tail = fit_noise(
        config.objective, config.world, config.loss, config.rounds, training, fps, console
    )
    fitted = TrajectoryConfig.from_noise(noise.keypoint_std, noise.speed_std, noise.acceleration_std, fps)
    headings = [f"{100 * level:.0f} % region" for level in LEVELS]
    fit = (
        f"fitted on training by {config.objective}, {'world' if config.world else 'camera'} axes: "
        + ", ".join(f"{name} {value:.3g}" for name, value in noise._asdict().items())
        + f", tail {tail:.3g}; on the ground lambda_1 {fitted.velocity_weight:.3g}, "
        + f"lambda_2 {fitted.acceleration_weight:.3g}"
    )
    rows = []
    grid = np.linspace(0.02, 0.98, 49)
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
        for name, shares in coverage(solution, root, scene.gap, grid, tail).items():
            curves[f"{split}, {name}"] = (100 * grid, 100 * np.asarray(shares))
    console.print(fit)
    columns = ["split", "frames", *headings, "root error"]
    report(console, columns, rows, config.output / "calibration.md", names=2, before=[fit])
    figure = charts.draw_reliability(curves, config.output / "reliability.png")
    console.print(f"wrote {config.output / 'calibration.md'} and {figure}")
    return found
