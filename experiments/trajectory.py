"""Studies of the trajectory solve on real motion before hand-held cameras.

    python -m experiments.trajectory calibration --data cmu_pairs.npz
    python -m experiments.trajectory cameras --data cmu_pairs.npz
    python -m experiments.trajectory calibration --help

calibration   fits what the weights of Eq. 9 stand for on the training split, then asks on the validation
              split how often the truth lies inside the regions that the solve states.
cameras       compares smoothing in world axes, where the camera's motion is known or known badly, with
              smoothing in camera axes.

Both splits are couples of real dancers before cameras and detectors that are drawn from a seed; poses are the
true ones, so that what is judged is the path alone.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.commands import run_command
from gated_lift import bodies, captures, charts
from gated_lift.cameras import (
    Extrinsics,
    HandheldCamera,
    Wander,
    camera_to_world,
    sample_handheld_camera,
    wander,
    world_to_camera,
)
from gated_lift.clips import MotionClip
from gated_lift.detector import DetectorConfig
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.views import view
from solvers import Camera, TrajectoryConfig, TrajectorySolution, solve_trajectory


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """What every study films, and how its paths are solved."""

    data: tuple[Path, ...]
    """Capture files (.npz) that hold couples of both splits."""
    frames: int = 500
    """Length of a stretch; the rest of a clip is left out."""
    cameras: int = 2
    """Hand-held cameras that see every stretch."""
    gap_seconds: tuple[float, float] = (0.2, 4.0)
    """Shortest and longest full occlusion."""
    loss: str = "geman_mcclure"
    """What a joint's error costs, see `TrajectoryConfig`: squared, huber or geman_mcclure."""
    rounds: int = 150
    """Most solves of the training split that fitting the weights may take, for each kind of axes
    (Nelder-Mead)."""
    seed: int = 0
    handheld: HandheldCamera = dataclasses.field(default_factory=HandheldCamera)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    output: Path = Path("runs/trajectory")
    """Folder for the table and the figure."""


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
        """(N, F, 3) in camera axes."""
        return self.joints[:, :, 0]

    @property
    def world_root(self) -> jax.Array:
        return camera_to_world(self.root[:, :, None], self.extrinsics)[:, :, 0]


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


def film(config: FilmConfig, clips: Sequence[MotionClip], seed: int) -> Scene:
    """Every couple's clip in stretches, each seen by several hand-held cameras."""
    fps, frames = clips[0].fps, config.frames
    stretches = np.stack(
        [
            clip.poses[:, begin : begin + frames]
            for clip in clips
            for begin in range(0, clip.poses.shape[1] - frames + 1, frames)
            for _ in range(config.cameras)
        ]
    )

    @jax.jit
    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        camera, extrinsics = sample_handheld_camera(camera_key, poses[0, :, 0], fps, config.handheld)
        pose = jax.tree.map(lambda values: values[None], extrinsics)
        coverage = bodies.body_occlusion(world_to_camera(poses, pose), SKELETON).coverage
        seen = view(detector_key, poses, camera, pose, config.detector, fps, SKELETON, coverage)
        return seen.joints, seen.keypoints, seen.occluded, camera, extrinsics

    keys = jax.random.split(jax.random.key(seed), len(stretches))
    joints, keypoints, occluded, camera, extrinsics = look(keys, jnp.asarray(stretches))
    count = 2 * len(stretches)
    joints, keypoints, occluded = (
        values.reshape(count, *values.shape[2:]) for values in (joints, keypoints, occluded)
    )
    gap = draw_gaps(np.random.default_rng(seed), count, frames, fps, config.gap_seconds)
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
class CalibrationConfig(FilmConfig):
    """Fits the noise model on the training split and checks the stated regions on the validation split."""

    objective: str = "errors"
    """What the fit makes greatest on the training split: the ``evidence`` of the keypoints, which needs no
    truth, or the likelihood of the root ``errors``, inside and outside gaps alike."""
    world: bool = True
    """Smooth in world axes, the camera's motion being known; --no-world for camera axes."""


class Noise(NamedTuple):
    """What the weights stand for: pixels, metres a second and metres a second squared; people move less up
    and down than over the ground.
    """

    keypoint_std: float
    speed_std: float
    acceleration_std: float
    vertical_speed_std: float
    vertical_acceleration_std: float


FIRST_GUESS = Noise(5.0, 4.0, 10.0, 1.5, 5.0)
LEVELS = (0.5, 0.9, 0.95)


@partial(jax.jit, static_argnames=("world", "loss"))
def solve(scene: Scene, noise: jax.Array, fps: float, world: bool, loss: str) -> TrajectorySolution:
    """Paths in world axes, or as the cameras see them."""
    keypoint, speed, acceleration, vertical_speed, vertical_acceleration = noise

    def axes(ground: jax.Array, vertical: jax.Array) -> jax.Array:
        # World z is up; a camera that is held level has y for down.
        return jnp.stack([ground, ground, vertical] if world else [ground, vertical, ground])

    config = TrajectoryConfig.from_noise(
        keypoint, axes(speed, vertical_speed), axes(acceleration, vertical_acceleration), fps, loss=loss
    )
    return solve_trajectory(
        scene.poses,
        scene.keypoints,
        scene.occluded,
        scene.camera,
        config,
        covariance=True,
        extrinsics=scene.extrinsics if world else None,
    )


def truth(scene: Scene, world: bool) -> jax.Array:
    return scene.world_root if world else scene.root


def squared_distance(solution: TrajectorySolution, root: jax.Array) -> np.ndarray:
    """(N, F): e^T S^-1 e of the root's error under its stated covariance; NaN where nothing was solved."""
    error = np.asarray(solution.root - root, np.float64)
    covariance = np.asarray(solution.covariance, np.float64)
    return np.einsum("nfi,nfi->nf", error, np.linalg.solve(covariance, error[..., None])[..., 0])


def error_likelihood(solution: TrajectorySolution, root: jax.Array, gap: jax.Array) -> float:
    """Mean log-density of the root's errors, frames inside gaps and outside weighing the same in all."""
    solved = np.isfinite(np.asarray(solution.root)).all(axis=-1)
    covariance = np.where(solved[..., None, None], np.asarray(solution.covariance, np.float64), np.eye(3))
    density = -(squared_distance(solution, root) + np.linalg.slogdet(covariance)[1]) / 2
    inside = np.asarray(gap)
    return float(np.mean([density[solved & side].mean() for side in (inside, ~inside)]))


def fit_noise(
    objective: str, world: bool, loss: str, rounds: int, scene: Scene, fps: float, console: Console
) -> Noise:
    """Nelder-Mead over the logarithms."""
    root = truth(scene, world)
    with Progress(*Progress.get_default_columns(), "{task.fields[best]}", console=console) as progress:
        task = progress.add_task("fitting", total=rounds, best="")
        best = math.inf

        def score(logarithms: np.ndarray) -> float:
            nonlocal best
            solution = solve(scene, jnp.asarray(np.exp(logarithms), jnp.float32), fps, world, loss)
            if objective == "errors":
                value = -error_likelihood(solution, root, scene.gap)
            else:
                value = -float(jnp.nansum(solution.log_evidence)) / scene.gap.size
            best = min(best, value)
            progress.update(task, advance=1, best=f"best {best:.4f}")
            return value

        start = np.log(FIRST_GUESS)
        found = scipy.optimize.minimize(
            score,
            start,
            method="Nelder-Mead",
            options={
                "maxfev": rounds,
                "xatol": 0.01,
                "fatol": 1e-4,
                "initial_simplex": start + np.concatenate([np.zeros((1, 5)), 0.7 * np.eye(5)]),
            },
        )
    return Noise(*(float(value) for value in np.exp(found.x)))


def coverage(
    solution: TrajectorySolution, root: jax.Array, gap: jax.Array, levels: Sequence[float] | np.ndarray
) -> dict[str, list[float]]:
    """Share of frames on which the true root lies in the region of each level, outside and inside gaps."""
    distance = squared_distance(solution, root)
    inside, solved = np.asarray(gap), np.isfinite(distance)
    limits = scipy.stats.chi2.ppf(np.asarray(levels), 3)
    return {
        name: [float((distance[solved & side] <= limit).mean()) for limit in limits]
        for name, side in (("outside gaps", ~inside), ("inside gaps", inside))
    }


def film_both(config: FilmConfig) -> tuple[Scene, Scene, float]:
    """Training and validation couples, and their frames a second."""
    training, validation = read_couples(config.data)
    return (
        film(config, training, 2 * config.seed),
        film(config, validation, 2 * config.seed + 1),
        training[0].fps,
    )


def run_calibration(config: CalibrationConfig) -> dict[str, list[float]]:
    """Fits, prints and draws; returns the shares of the validation and training frames at LEVELS."""
    if config.objective not in ("evidence", "errors"):
        raise ValueError(f"objective is {config.objective!r}: choose evidence or errors")
    console = Console()
    config.output.mkdir(parents=True, exist_ok=True)
    training, validation, fps = film_both(config)
    noise = fit_noise(config.objective, config.world, config.loss, config.rounds, training, fps, console)
    fitted = TrajectoryConfig.from_noise(noise.keypoint_std, noise.speed_std, noise.acceleration_std, fps)
    headings = [f"{100 * level:.0f} % region" for level in LEVELS]
    lines = [
        f"fitted on training by {config.objective}, {'world' if config.world else 'camera'} axes: "
        + ", ".join(f"{name} {value:.3g}" for name, value in noise._asdict().items())
        + f"; lambda_1 {fitted.velocity_weight:.3g}, lambda_2 {fitted.acceleration_weight:.3g} on the ground",
        "",
        f"| split | frames | {' | '.join(headings)} | root error |",
        "|---|---|" + "---:|" * (len(LEVELS) + 1),
    ]
    table = Table("split", "frames", *headings, "root error")
    grid = np.linspace(0.02, 0.98, 49)
    curves: dict[str, tuple[np.ndarray, ...]] = {}
    found: dict[str, list[float]] = {}
    for split, scene in (("training", training), ("validation", validation)):
        root = truth(scene, config.world)
        solution = solve(scene, jnp.asarray(noise, jnp.float32), fps, config.world, config.loss)
        error = np.linalg.norm(np.asarray(solution.root - root), axis=-1)
        for name, shares in coverage(solution, root, scene.gap, LEVELS).items():
            side = np.asarray(scene.gap) == (name == "inside gaps")
            cells = [f"{100 * share:.1f} %" for share in shares]
            cells.append(f"{1000 * np.nanmean(error[side]):.1f} mm")
            table.add_row(split, name, *cells)
            lines.append(f"| {split} | {name} | " + " | ".join(cells) + " |")
            found[f"{split}, {name}"] = shares
        for name, shares in coverage(solution, root, scene.gap, grid).items():
            curves[f"{split}, {name}"] = (100 * grid, 100 * np.asarray(shares))
    console.print(lines[0])
    console.print(table)
    (config.output / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure = charts.draw_reliability(curves, config.output / "reliability.png")
    console.print(f"wrote {config.output / 'calibration.md'} and {figure}")
    return found


# ------------------------------------------------------------------------------------------------- cameras


@dataclasses.dataclass(frozen=True)
class CamerasConfig(FilmConfig):
    """Root error on the validation split when the camera's motion is unknown, known, and known badly."""

    path_errors: tuple[float, ...] = (0.0, 0.3, 1.0, 3.0, 10.0)
    """Root mean square error of the camera's rotation in degrees; its position is off by a centimetre a
    degree. Both wander slowly, as a tracker's drift does."""


def mistake(key: jax.Array, extrinsics: Extrinsics, degrees: float, fps: float) -> Extrinsics:
    """The camera's pose with slowly wandering errors, of one centimetre of position a degree of rotation."""
    times = jnp.arange(extrinsics.rotation.shape[1], dtype=jnp.float32) / fps

    def drift(key: jax.Array) -> jax.Array:
        wanders = (Wander(math.radians(degrees), (0.05, 0.5), 1.0), Wander(0.01 * degrees, (0.05, 0.5), 1.0))
        return wander(key, times, wanders, 3)

    turn, shift = jnp.moveaxis(jax.vmap(drift)(jax.random.split(key, len(extrinsics.position))), 1, 0)
    angle = jnp.linalg.norm(turn, axis=-1, keepdims=True)[..., None]
    x, y, z = jnp.moveaxis(turn, -1, 0)
    zero = jnp.zeros_like(x)
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    # Rodrigues' formula; sinc is sin(pi x) / (pi x).
    error = (
        jnp.eye(3)[None, None]
        + jnp.sinc(angle / math.pi) * cross
        + jnp.sinc(angle / (2 * math.pi)) ** 2 / 2 * (cross @ cross)
    )
    return Extrinsics(error @ extrinsics.rotation, extrinsics.position + shift)


def run_cameras(config: CamerasConfig) -> list[tuple[str, float, float]]:
    """(how the camera is known, root error outside gaps, inside), mm in camera axes, printed and drawn."""
    console = Console()
    config.output.mkdir(parents=True, exist_ok=True)
    training, validation, fps = film_both(config)
    rows: list[tuple[str, float, float]] = []

    def judge(name: str, solution: TrajectorySolution, extrinsics: Extrinsics | None) -> None:
        root = solution.root
        if extrinsics is not None:
            root = world_to_camera(root[:, :, None], extrinsics)[:, :, 0]
        error = 1000 * np.linalg.norm(np.asarray(root - validation.root), axis=-1)
        inside = np.asarray(validation.gap)
        rows.append((name, float(np.nanmean(error[~inside])), float(np.nanmean(error[inside]))))

    noises = [
        fit_noise("errors", world, config.loss, config.rounds, training, fps, console)
        for world in (False, True)
    ]
    in_camera, in_world = (jnp.asarray(noise, jnp.float32) for noise in noises)
    judge("unknown: smooth in camera axes", solve(validation, in_camera, fps, False, config.loss), None)
    for index, degrees in enumerate(config.path_errors):
        key = jax.random.fold_in(jax.random.key(config.seed), index)
        extrinsics = mistake(key, validation.extrinsics, degrees, fps)
        solution = solve(validation._replace(extrinsics=extrinsics), in_world, fps, True, config.loss)
        judge(f"off by {degrees:g}° and {degrees:g} cm" if degrees else "known", solution, extrinsics)
    table = Table("camera's motion", "root outside gaps", "root inside gaps")
    lines = [
        *(f"{kind} axes: {noise}" for kind, noise in zip(("camera", "world"), noises, strict=True)),
        "",
        "| camera's motion | root outside gaps | root inside gaps |",
        "|---|---:|---:|",
    ]
    for name, outside, inside in rows:
        table.add_row(name, f"{outside:.1f} mm", f"{inside:.1f} mm")
        lines.append(f"| {name} | {outside:.1f} mm | {inside:.1f} mm |")
    console.print(table)
    (config.output / "cameras.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    errors = np.asarray(config.path_errors)
    figure = charts.draw_curves(
        {
            "inside gaps, world axes": (errors, [inside for _, _, inside in rows[1:]]),
            "inside gaps, camera axes": (errors, [rows[0][2]] * len(errors)),
            "outside gaps, world axes": (errors, [outside for _, outside, _ in rows[1:]]),
            "outside gaps, camera axes": (errors, [rows[0][1]] * len(errors)),
        },
        config.output / "cameras.png",
        xlabel="error of the camera's pose (degrees, and centimetres)",
        ylabel="root error (mm)",
    )
    console.print(f"wrote {config.output / 'cameras.md'} and {figure}")
    return rows


COMMANDS: dict[str, tuple[type, Callable]] = {
    "calibration": (CalibrationConfig, run_calibration),
    "cameras": (CamerasConfig, run_cameras),
}


if __name__ == "__main__":
    run_command("trajectory", "studies", __doc__, COMMANDS)
