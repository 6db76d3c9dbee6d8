"""What gross outliers among the detections do to the path, under each loss."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import FilmConfig, Scene, film, read_couples
from gated_lift.skeleton import H36M_17 as SKELETON
from solvers import TrajectoryConfig, solve_trajectory


@dataclasses.dataclass(frozen=True)
class OutliersConfig(FilmConfig):
    """Median root error on the validation split with and without gross outliers, for every loss; the weights
    are the paper's."""

    losses: tuple[str, ...] = ("squared", "huber", "geman_mcclure")
    rate: float = 0.1
    """Share of the joints that are replaced."""
    pose_error: float = 30.0
    """Constant error of the true poses, millimetres a joint and coordinate, drawn once for every person: a
    lifter's poses are not the true ones, and a loss must not take that for outliers."""


class Row(NamedTuple):
    """Median root error in mm: without outliers, with joints anywhere in the image, with limbs swapped."""

    loss: str
    clean: float
    anywhere: float
    swapped: float


def anywhere(scene: Scene, rate: float, size: tuple[float, float], seed: int) -> Scene:
    """Joints replaced by places that are uniform in an image of ``size``."""
    rng = np.random.default_rng(seed)
    keypoints = np.array(scene.keypoints)
    wrong = rng.uniform(size=keypoints.shape[:-1]) < rate
    keypoints[wrong] = rng.uniform(size=(int(wrong.sum()), 2)) * size
    return scene._replace(keypoints=jnp.asarray(keypoints))


def swapped(scene: Scene, rate: float, seed: int) -> Scene:
    """Left and right joints exchanged, pair by pair, frame by frame, so that ``rate`` of all joints are."""
    rng = np.random.default_rng(seed)
    keypoints = np.array(scene.keypoints)
    mirror = np.asarray(SKELETON.mirror)
    pairs = [joint for joint in range(len(mirror)) if joint < mirror[joint]]
    share = rate * len(mirror) / (2 * len(pairs))
    for joint in pairs:
        wrong = rng.uniform(size=keypoints.shape[:2]) < share
        both = keypoints[:, :, [joint, mirror[joint]]]
        keypoints[:, :, [joint, mirror[joint]]] = np.where(wrong[..., None, None], both[:, :, ::-1], both)
    return scene._replace(keypoints=jnp.asarray(keypoints))


def median_error(scene: Scene, poses: jax.Array, loss: str, fps: float) -> float:
    solution = solve_trajectory(
        poses, scene.keypoints, scene.occluded, scene.camera, TrajectoryConfig(loss=loss), fps=fps
    )
    return 1000 * float(np.nanmedian(np.linalg.norm(np.asarray(solution.root - scene.root), axis=-1)))


def run_outliers(config: OutliersConfig) -> list[Row]:
    """Prints, writes and returns one row a loss."""
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    _, validation = read_couples(config.data)
    # The detector's own outliers would be in the clean case too.
    detector = config.detector._replace(outlier_rate=0.0, swap_rate=0.0)
    clean = film(dataclasses.replace(config, detector=detector), validation, 2 * config.seed + 1)
    drawn = np.random.default_rng(config.seed).normal(size=(len(clean.poses), 1, *clean.poses.shape[2:]))
    offset = jnp.asarray(config.pose_error / 1000 * (drawn - drawn[:, :, :1]), jnp.float32)
    poses = clean.poses + offset
    size = (config.handheld.view.width, config.handheld.view.height)
    scenes = (
        clean,
        anywhere(clean, config.rate, size, config.seed),
        swapped(clean, config.rate, config.seed),
    )
    rows = []
    for loss in track(config.losses, description="solving", console=console):
        rows.append(Row(loss, *(median_error(scene, poses, loss, validation[0].fps) for scene in scenes)))
    lines = []
    for row in rows:
        cells = [row.loss, f"{row.clean:.1f} mm"]
        cells += [f"{value:.1f} mm ({value / row.clean:.2f} x)" for value in (row.anywhere, row.swapped)]
        lines.append(cells)
    columns = ["loss", "clean", "anywhere", "limbs swapped"]
    report(console, columns, lines, config.output / "outliers.md")
    console.print(f"wrote {config.output / 'outliers.md'}")
    return rows
