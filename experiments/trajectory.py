"""Studies of the trajectory solve on real motion before hand-held cameras.

    python -m experiments.trajectory calibration --data cmu_pairs.npz
    python -m experiments.trajectory calibration --help

calibration   fits what the weights of Eq. 9 stand for on the training split, then asks on the validation
              split how often the truth lies inside the regions that the solve states.
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gated_lift import bodies, captures, charts
from gated_lift.cameras import Extrinsics, HandheldCamera, sample_handheld_camera, world_to_camera
from gated_lift.clips import MotionClip
from gated_lift.detector import DetectorConfig
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.views import view
from solvers import Camera, TrajectoryConfig, TrajectorySolution, solve_trajectory


class Scene(NamedTuple):
    """People of equally long stretches, each seen by a hand-held camera that follows one of the couple.

    joints (N, F, J, 3) true, camera axes, metres; keypoints (N, F, J, 2) detected; occluded (N, F, J); gap
    (N, F): the whole person is hidden on purpose; camera and extrinsics: N of them, a pose a frame.
    """

    joints: jax.Array
    keypoints: jax.Array
    occluded: jax.Array
    gap: jax.Array
    camera: Camera
    extrinsics: Extrinsics

    @property
    def poses(self) -> jax.Array:
        return self.joints - self.root[:, :, None]

    @property
    def root(self) -> jax.Array:
        return self.joints[:, :, 0]


def draw_gaps(
    rng: np.random.Generator, people: int, frames: int, fps: float, seconds: tuple[float, float]
) -> np.ndarray:
    """(people, frames): full occlusions, log-uniformly as long as ``seconds`` says, one to three seconds
    apart, and none at the ends of a stretch.
    """
    gap = np.zeros((people, frames), bool)
    for row in gap:
        begin = int(rng.uniform(1, 3) * fps)
        while True:
            length = round(np.exp(rng.uniform(*np.log(seconds))) * fps)
            if begin + length > frames - fps:
                break
            row[begin : begin + length] = True
            begin += length + int(rng.uniform(1, 3) * fps)
    return gap


def film(
    clips: Sequence[MotionClip],
    frames: int,
    cameras: int,
    seconds: tuple[float, float],
    seed: int,
    handheld: HandheldCamera,
    detector: DetectorConfig,
) -> Scene:
    """Every couple's clip in stretches of ``frames``, each seen by ``cameras`` hand-held cameras."""
    fps = clips[0].fps
    stretches = np.stack(
        [
            clip.poses[:, begin : begin + frames]
            for clip in clips
            for begin in range(0, clip.poses.shape[1] - frames + 1, frames)
            for _ in range(cameras)
        ]
    )

    @jax.jit
    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        camera, extrinsics = sample_handheld_camera(camera_key, poses[0, :, 0], fps, handheld)
        pose = jax.tree.map(lambda values: values[None], extrinsics)
        coverage = bodies.body_occlusion(world_to_camera(poses, pose), SKELETON).coverage
        seen = view(detector_key, poses, camera, pose, detector, fps, SKELETON, coverage)
        return seen.joints, seen.keypoints, seen.occluded, camera, extrinsics

    keys = jax.random.split(jax.random.key(seed), len(stretches))
    joints, keypoints, occluded, camera, extrinsics = look(keys, jnp.asarray(stretches))
    count = 2 * len(stretches)
    joints, keypoints, occluded = (
        values.reshape(count, *values.shape[2:]) for values in (joints, keypoints, occluded)
    )
    gap = draw_gaps(np.random.default_rng(seed), count, frames, fps, seconds)
    twice = partial(jnp.repeat, repeats=2, axis=0)
    return Scene(
        joints,
        keypoints,
        occluded | gap[..., None],
        jnp.asarray(gap),
        jax.tree.map(twice, camera),
        jax.tree.map(twice, extrinsics),
    )


def read_couples(data: Sequence[Path]) -> tuple[list[MotionClip], list[MotionClip]]:
    """The clips of two people in the files, those of training and those of validation."""
    clips = [clip for path in data for clip in captures.read_captures(path)]
    training, validation = captures.split(clips)
    couples = [[clip for clip in part if len(clip.poses) == 2] for part in (training, validation)]
    if not all(couples):
        names = ", ".join(map(str, data))
        raise ValueError(f"data {names} lacks couples of the training or the validation split")
    return couples[0], couples[1]


# --------------------------------------------------------------------------------------------- calibration


@dataclasses.dataclass(frozen=True)
class CalibrationConfig:
    """Fits the noise model on the training split and checks the stated regions on the validation split."""

    data: tuple[Path, ...]
    """Capture files (.npz) that hold couples of both splits."""
    frames: int = 500
    """Length of a stretch; the rest of a clip is left out."""
    cameras: int = 2
    """Hand-held cameras that see every stretch."""
    gap_seconds: tuple[float, float] = (0.2, 4.0)
    """Shortest and longest full occlusion."""
    objective: str = "errors"
    """What the fit makes greatest on the training split: the ``evidence`` of the keypoints, which needs no
    truth, or the likelihood of the root ``errors``, inside and outside gaps alike."""
    rounds: int = 150
    """Most solves of the training split that the fit may take (Nelder-Mead)."""
    seed: int = 0
    handheld: HandheldCamera = dataclasses.field(default_factory=HandheldCamera)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    output: Path = Path("runs/trajectory")
    """Folder for calibration.md and reliability.png."""


class Noise(NamedTuple):
    """What the weights stand for: pixels, metres a second, metres a second squared, and a relative size."""

    keypoint_std: float
    speed_std: float
    acceleration_std: float
    size_std: float


FIRST_GUESS = Noise(3.0, 0.5, 3.0, 0.01)
LEVELS = (0.5, 0.9, 0.95)


@jax.jit
def _solve(scene: Scene, noise: jax.Array, fps: float) -> TrajectorySolution:
    keypoint, speed, acceleration, size = noise
    config = TrajectoryConfig.from_noise(keypoint, speed, acceleration, fps)._replace(size_std=size)
    return solve_trajectory(
        scene.poses, scene.keypoints, scene.occluded, scene.camera, config, covariance=True
    )


def squared_distance(solution: TrajectorySolution, truth: jax.Array) -> np.ndarray:
    """(N, F): e^T S^-1 e of the root's error under its stated covariance; NaN where nothing was solved."""
    error = np.asarray(solution.root - truth, np.float64)
    covariance = np.asarray(solution.covariance, np.float64)
    return np.einsum("nfi,nfi->nf", error, np.linalg.solve(covariance, error[..., None])[..., 0])


def error_likelihood(solution: TrajectorySolution, scene: Scene) -> float:
    """Mean log-density of the root's errors, frames inside gaps and outside weighing the same in all."""
    solved = np.isfinite(np.asarray(solution.root)).all(axis=-1)
    covariance = np.where(solved[..., None, None], np.asarray(solution.covariance, np.float64), np.eye(3))
    density = -(squared_distance(solution, scene.root) + np.linalg.slogdet(covariance)[1]) / 2
    inside = np.asarray(scene.gap)
    return float(np.mean([density[solved & side].mean() for side in (inside, ~inside)]))


def fit_noise(config: CalibrationConfig, scene: Scene, fps: float, console: Console) -> Noise:
    """Nelder-Mead over the logarithms; the evidence knows nothing of sizes, so that they are not fitted."""
    by_errors = config.objective == "errors"
    count = 4 if by_errors else 3
    with Progress(*Progress.get_default_columns(), "{task.fields[best]}", console=console) as progress:
        task = progress.add_task("fitting", total=config.rounds, best="")
        best = math.inf

        def loss(logarithms: np.ndarray) -> float:
            nonlocal best
            noise = [*np.exp(logarithms), 0.0][:4]
            solution = _solve(scene, jnp.asarray(noise, jnp.float32), fps)
            if by_errors:
                value = -error_likelihood(solution, scene)
            else:
                value = -float(jnp.nansum(solution.log_evidence)) / scene.gap.size
            best = min(best, value)
            progress.update(task, advance=1, best=f"best {best:.4f}")
            return value

        found = scipy.optimize.minimize(
            loss,
            np.log(FIRST_GUESS[:count]),
            method="Nelder-Mead",
            options={"maxfev": config.rounds, "xatol": 0.01, "fatol": 1e-4},
        )
    return Noise(*[*np.exp(found.x), 0.0][:4])


def coverage(
    solution: TrajectorySolution, scene: Scene, levels: Sequence[float] | np.ndarray
) -> dict[str, list[float]]:
    """Share of frames on which the true root lies in the region of each level, outside and inside gaps."""
    distance = squared_distance(solution, scene.root)
    inside, solved = np.asarray(scene.gap), np.isfinite(distance)
    limits = scipy.stats.chi2.ppf(np.asarray(levels), 3)
    return {
        name: [float((distance[solved & side] <= limit).mean()) for limit in limits]
        for name, side in (("outside gaps", ~inside), ("inside gaps", inside))
    }


def run_calibration(config: CalibrationConfig) -> dict[str, list[float]]:
    if config.objective not in ("evidence", "errors"):
        raise ValueError(f"objective is {config.objective!r}: choose evidence or errors")
    console = Console()
    config.output.mkdir(parents=True, exist_ok=True)
    training, validation = (
        film(clips, config.frames, config.cameras, config.gap_seconds, seed, config.handheld, config.detector)
        for seed, clips in enumerate(read_couples(config.data), start=2 * config.seed)
    )
    fps = captures.read_captures(config.data[0])[0].fps
    noise = fit_noise(config, training, fps, console)
    fitted = TrajectoryConfig.from_noise(*noise[:3], fps)
    headings = [f"{100 * level:.0f} % region" for level in LEVELS]
    lines = [
        f"fitted on training by {config.objective}: "
        + ", ".join(f"{name} {value:.3g}" for name, value in noise._asdict().items())
        + f"; lambda_1 {fitted.velocity_weight:.3g}, lambda_2 {fitted.acceleration_weight:.3g}",
        "",
        "| split | frames | "
        + " | ".join(f"{100 * level:.0f} % region" for level in LEVELS)
        + " | root error |",
        "|---|---|" + "---:|" * (len(LEVELS) + 1),
    ]
    table = Table("split", "frames", *headings, "root error")
    grid = np.linspace(0.02, 0.98, 49)
    curves: dict[str, tuple[np.ndarray, ...]] = {}
    found: dict[str, list[float]] = {}
    for split, scene in (("training", training), ("validation", validation)):
        solution = _solve(scene, jnp.asarray(noise, jnp.float32), fps)
        error = np.linalg.norm(np.asarray(solution.root - scene.root), axis=-1)
        for name, shares in coverage(solution, scene, LEVELS).items():
            side = np.asarray(scene.gap) == (name == "inside gaps")
            cells = [f"{100 * share:.1f} %" for share in shares]
            cells.append(f"{1000 * np.nanmean(error[side]):.1f} mm")
            table.add_row(split, name, *cells)
            lines.append(f"| {split} | {name} | " + " | ".join(cells) + " |")
            found[f"{split}, {name}"] = shares
        for name, shares in coverage(solution, scene, grid).items():
            curves[f"{split}, {name}"] = (100 * grid, 100 * np.asarray(shares))
    console.print(lines[0])
    console.print(table)
    (config.output / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure = charts.draw_reliability(curves, config.output / "reliability.png")
    console.print(f"wrote {config.output / 'calibration.md'} and {figure}")
    return found


COMMANDS: dict[str, tuple[type, Callable]] = {"calibration": (CalibrationConfig, run_calibration)}


def main() -> None:
    """Reads the name of the study and leaves the rest of the command line to its configuration."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        print(f"{__doc__}\nstudies: {', '.join(COMMANDS)} (--help after one of them lists its settings)")
        sys.exit(0 if name in ("-h", "--help") else 2)
    config, run = COMMANDS[name]
    run(tyro.cli(config, prog=f"trajectory {name}", description=config.__doc__, args=sys.argv[2:]))


if __name__ == "__main__":
    main()
