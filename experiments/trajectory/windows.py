"""Windows of frames that are solved one after the other, as in the paper, against whole clips."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import FilmConfig, Scene, film, read_couples
from experiments.trajectory.noise import FITTED, Noise, solve
from gated_lift import metrics
from gated_lift.cameras import world_to_camera
from gated_lift.drawing import charts
from solvers import TrajectoryConfig, solve_trajectory


@dataclasses.dataclass(frozen=True)
class WindowsConfig(FilmConfig):
    """Root errors and jumps at the seams between windows, on validation clips with short and long gaps."""

    frames: int = 700
    """Length of a stretch; the rest of a clip is left out."""
    cameras: int = 4
    """Hand-held cameras that see every stretch."""
    window: int = 100
    """Frames that are solved together; the paper's F."""
    gap_seconds: tuple[float, float] = (0.2, 1.5)
    """Shortest and longest full occlusion of the first scene: shorter than the window."""
    long_gap_seconds: tuple[float, float] = (2.5, 6.0)
    """The same of the second scene: longer than the window."""
    noise: Noise = FITTED
    """What the fitted weights stand for, in world axes; by default what ``calibration`` found on training."""


class Seams(NamedTuple):
    """One way of solving one scene; lengths in metres, pairs are outside and inside gaps.

    windows, paths, share: windows without an answer, paths with such a window, share of frames in them.
    root: mean error of the root. where_windows_fail: the same on frames that this path answers and the other
    does not. at_seams, elsewhere: mean jump from a frame to the next where that crosses a seam, and where it
    does not. Means but for where_windows_fail are over the frames that both ways answer; NaN where there are
    none.
    """

    windows: int
    paths: int
    share: float
    root: tuple[float, float]
    where_windows_fail: float
    at_seams: tuple[float, float]
    elsewhere: tuple[float, float]


def seam_steps(frames: int, window: int) -> np.ndarray:
    """(frames − 1,): True where the step from a frame to the next leads from one window into another."""
    return np.arange(1, frames) % window == 0


def metres_of_error(root: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N, F): the distance between two paths (N, F, 3)."""
    return np.asarray(metrics.root_error(jnp.asarray(root), jnp.asarray(truth)))


def measure(root: np.ndarray, truth: np.ndarray, gap: np.ndarray, window: int, both: np.ndarray) -> Seams:
    """Errors of paths (N, F, 3) against the true ones, metres, and how far they jump at seams.

    The jump of a step is |(C_t − C_{t−1}) − (C*_t − C*_{t−1})|: what the path moves beyond the true motion.
    root: NaN where there is no answer. gap: (N, F). both: (N, F), the frames that both ways of solving
    answer. A step lies inside a gap when one of its two frames does. Raises ValueError for a stretch that
    windows do not divide.
    """
    people, frames = gap.shape
    if frames % window:
        raise ValueError(
            f"frames is {frames}, which windows of {window} do not divide: choose a multiple, such as "
            f"{frames + window - frames % window}"
        )
    answered = np.isfinite(root).all(axis=-1)
    failed = ~answered.reshape(people, -1, window).all(axis=-1)
    error = metres_of_error(root, truth)
    # At one frame a second the velocity's error is that of a step.
    path, true_path = (jnp.asarray(values)[:, :, None] for values in (root, truth))
    jump = np.asarray(metrics.mpjve(path, true_path, fps=1.0))[..., 0]
    hidden = gap[:, 1:] | gap[:, :-1]
    kept = both[:, 1:] & both[:, :-1]
    seams = seam_steps(frames, window)[None]

    def mean(values: np.ndarray, where: np.ndarray) -> float:
        return float(values[where].mean()) if where.any() else float("nan")

    return Seams(
        int(failed.sum()),
        int(failed.any(axis=1).sum()),
        float(1 - answered.mean()),
        (mean(error, both & ~gap), mean(error, both & gap)),
        mean(error, answered & ~both),
        (mean(jump, kept & ~hidden & seams), mean(jump, kept & hidden & seams)),
        (mean(jump, kept & ~hidden & ~seams), mean(jump, kept & hidden & ~seams)),
    )


def by_distance(values: np.ndarray, both: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of (N, F) values by frames to the nearest seam, −window/2 to window/2: before it and after it.

    Frames nearer to an end of the stretch than to a seam are left out.
    """
    frame = np.arange(values.shape[1])
    half = window // 2
    seam = np.clip((frame + half) // window * window, window, values.shape[1] - window)
    distances = np.arange(-half, half)
    means = []
    for distance in distances:
        where = both & (frame - seam == distance)[None]
        means.append(values[where].mean() if where.any() else np.nan)
    return distances, np.asarray(means)


def solvers_of(config: WindowsConfig, fps: float) -> dict[str, Callable[[Scene, int | None], np.ndarray]]:
    """By name, functions of a scene and a window to roots (N, F, 3) in camera axes."""

    def paper(scene: Scene, window: int | None) -> np.ndarray:
        settings = TrajectoryConfig(window=window)
        found = solve_trajectory(
            scene.poses, scene.keypoints, scene.occluded, scene.camera, settings, fps=fps
        )
        return np.asarray(found.root)

    def fitted(scene: Scene, window: int | None) -> np.ndarray:
        found = solve(scene, jnp.asarray(config.noise, jnp.float32), fps, True, config.loss, window)
        return np.asarray(world_to_camera(found.root[:, :, None], scene.extrinsics)[:, :, 0])

    return {"λ = (1, 1)": paper, "fitted": fitted}


def run_windows(config: WindowsConfig) -> dict[tuple[str, str, str], Seams]:
    """Prints and draws; returns what was measured by gaps, weights, and windows or whole clips."""
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    _, validation = read_couples(config.data)
    fps = validation[0].fps
    headings = (
        "gaps", "weights", "solved as", "root outside gaps", "inside", "where windows fail",
        "jump at seams outside gaps", "elsewhere", "jump at seams inside gaps", "elsewhere",
    )  # fmt: skip
    rows, notes = [], []
    found: dict[tuple[str, str, str], Seams] = {}
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for seconds in (config.gap_seconds, config.long_gap_seconds):
        gaps = f"{seconds[0]:g}–{seconds[1]:g} s"
        scene = film(dataclasses.replace(config, gap_seconds=seconds), validation, 2 * config.seed + 1)
        truth, gap = np.asarray(scene.root), np.asarray(scene.gap)
        for weights, solver in solvers_of(config, fps).items():
            paths = {"windows": solver(scene, config.window), "whole clip": solver(scene, None)}
            answered = {name: np.isfinite(root).all(axis=-1) for name, root in paths.items()}
            both = answered["windows"] & answered["whole clip"]
            for name, root in paths.items():
                error = metres_of_error(root, truth)
                seams = measure(root, truth, gap, config.window, both)
                found[gaps, weights, name] = seams
                if seams.windows:
                    notes.append(
                        f"{gaps}, {weights}, {name}: no answer in {seams.windows} of "
                        f"{gap.size // config.window} windows, on {seams.paths} of {len(gap)} paths: "
                        f"{100 * seams.share:.1f} % of the frames"
                    )
                values = [*seams.root, seams.where_windows_fail]
                for pair in zip(seams.at_seams, seams.elsewhere, strict=True):
                    values += pair
                cells = ["–" if np.isnan(value) else f"{1000 * value:.1f} mm" for value in values]
                rows.append([gaps, weights, name, *cells])
                if seconds == config.gap_seconds:
                    curves[f"{weights}, {name}"] = by_distance(1000 * error, both, config.window)
    report(console, headings, rows, config.output / "windows.md", names=3, after=notes)
    console.print(*notes, sep="\n")
    figure = charts.draw_curves(
        curves,
        config.output / "windows.png",
        xlabel="frames from the nearest seam",
        ylabel="root error (mm)",
    )
    console.print(f"wrote {config.output / 'windows.md'} and {figure}")
    return found
