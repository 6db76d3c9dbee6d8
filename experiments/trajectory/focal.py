"""How well a clip tells the focal length of its camera, with true poses and with those of a lifter."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import FilmConfig, Scene, film, read_couples
from experiments.trajectory.noise import FITTED, Noise, noise_config
from gated_lift import LoadedLifter
from gated_lift import lift as lift_people
from gated_lift.drawing import charts
from gated_lift.networks import checkpoints
from gated_lift.networks.weights import TWO_STREAM
from solvers import Camera, FocalSolution, Status, TrajectoryConfig, solve_focal


@dataclasses.dataclass(frozen=True)
class FocalConfig(FilmConfig):
    """Error of the focal length found on the validation split, by where its pose came from."""

    guesses: tuple[float, ...] = (0.6, 1.0, 1.6)
    """First guesses, as multiples of the true focal length."""
    pose_errors: tuple[float, ...] = (0.0, 10.0, 30.0)
    """Constant errors of true poses, millimetres a joint and coordinate, drawn once for every person."""
    rounds: int = 3
    """Solves of every clip: each begins with the focal length found last, the first with the guess, and the
    lifter is given it too."""
    checkpoint: Path = TWO_STREAM
    noise: Noise = FITTED
    """What the weights stand for, in camera axes; see the study ``calibration``."""


class Couples(NamedTuple):
    """Scenes with an axis for the two people of a clip: poses (clips, 2, F, J, 3) and so on."""

    poses: jax.Array
    keypoints: jax.Array
    occluded: jax.Array
    camera: Camera
    root: jax.Array


def couples_of(scene: Scene) -> Couples:
    def pairs(values: jax.Array) -> jax.Array:
        return values.reshape(-1, 2, *values.shape[1:])

    camera = jax.tree.map(lambda values: values[::2], scene.camera)
    poses, keypoints, occluded, root = map(pairs, (scene.poses, scene.keypoints, scene.occluded, scene.root))
    return Couples(poses, keypoints, occluded, camera, root)


def with_focal(camera: Camera, focal: Any) -> Camera:
    return camera._replace(focal=focal)


def solve_in_turns(
    poses_of: Callable[[jax.Array], jax.Array],
    couples: Couples,
    guess: jax.Array,
    config: TrajectoryConfig,
    rounds: int,
    fps: float,
) -> FocalSolution:
    """Solves for the focal length several times, each time from the one found last: that resizes the image,
    and with it what a pixel weighs. ``poses_of`` says the poses for a focal length.
    """
    focal = guess
    for _ in range(rounds):
        camera = with_focal(couples.camera, focal)
        found = solve_focal(poses_of(focal), couples.keypoints, couples.occluded, camera, config, fps=fps)
        # A clip that does not tell stays with what it had.
        focal = jnp.where(jnp.isnan(found.focal), focal, found.focal)
    return found


def lifting(lifter: LoadedLifter, couples: Couples, fps: float) -> Callable[[jax.Array], jax.Array]:
    """The lifted poses of every clip, as a function of the focal length."""

    @jax.jit
    def lift(focal: jax.Array) -> jax.Array:
        def one(keypoints: jax.Array, occluded: jax.Array, camera: Camera) -> jax.Array:
            return lift_people(lifter, keypoints, occluded, camera, fps)

        return jax.lax.map(
            lambda clip: one(*clip), (couples.keypoints, couples.occluded, with_focal(couples.camera, focal))
        )

    return lift


class Row(NamedTuple):
    """One line of the table. errors: found over true focal length, less one, of the clips that told it;
    stated: the standard deviation that the solve states, as a share; told: share of the clips."""

    name: str
    guess: float
    errors: np.ndarray
    stated: np.ndarray
    told: float
    root: float


def _same_poses(poses: jax.Array, _focal: jax.Array) -> jax.Array:
    return poses


def judge(name: str, guess: float, found: FocalSolution, couples: Couples) -> Row:
    told = np.asarray(found.status) <= int(Status.MAX_STEPS)
    true = np.asarray(couples.camera.focal, np.float64)[:, 0]
    ratio = np.asarray(found.focal, np.float64)[:, 0] / true
    stated = np.asarray(found.focal_std / found.focal)[:, 0]
    error = np.linalg.norm(np.asarray(found.trajectory.root - couples.root), axis=-1)
    return Row(name, guess, ratio[told] - 1, stated[told], float(told.mean()), float(np.nanmedian(error)))


def run_focal(config: FocalConfig) -> list[Row]:
    """Prints, draws and returns one row for each source of poses and each guess."""
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    _, validation = read_couples(config.data)
    fps = validation[0].fps
    couples = couples_of(film(config, validation, 2 * config.seed + 1))
    weights = noise_config(config.noise, world=False, loss=config.loss)
    loaded = checkpoints.load_lifter(config.checkpoint)
    rng = np.random.default_rng(config.seed)
    drawn = rng.normal(size=(*couples.poses.shape[:2], 1, *couples.poses.shape[3:]))
    offset = jnp.asarray(drawn - drawn[..., :1, :], jnp.float32)
    true = jnp.asarray(couples.camera.focal)
    sources = [*config.pose_errors, None]
    jobs = [(source, guess) for source in sources for guess in config.guesses]
    rows = []
    for source, guess in track(jobs, description="solving", console=console):
        if source is None:
            poses_of, name = lifting(loaded, couples, fps), "lifted"
        else:
            poses_of = partial(_same_poses, couples.poses + source / 1000 * offset)
            name = f"true, off by {source:g} mm" if source else "true"
        found = solve_in_turns(poses_of, couples, guess * true, weights, config.rounds, fps)
        rows.append(judge(name, guess, found, couples))
    publish(rows, len(couples.poses), config.output, console)
    return rows


def publish(rows: list[Row], clips: int, output: Path, console: Console) -> None:
    headings = [
        "poses",
        "guess",
        "clips that tell",
        "median error",
        "median absolute error",
        "90th percentile",
        "stated std",
        "root error",
    ]
    lines = []
    for row in rows:
        size = np.abs(row.errors)
        cells = [
            row.name,
            f"{row.guess:g} x",
            f"{100 * row.told:.0f} %",
            f"{100 * np.median(row.errors):+.1f} %",
            f"{100 * np.median(size):.1f} %",
            f"{100 * np.quantile(size, 0.9):.1f} %",
            f"{100 * np.median(row.stated):.2f} %",
            f"{1000 * row.root:.0f} mm",
        ]
        lines.append(cells)
    console.print(f"{clips} clips")
    report(console, headings, lines, output / "focal.md")
    shares = np.linspace(0, 1, 101)
    # Only what is lifted depends on the guess.
    curves = {
        f"lifted, guess {row.guess:g} x" if row.name == "lifted" else row.name: (
            100 * np.quantile(np.abs(row.errors), shares),
            100 * shares,
        )
        for row in rows
        if row.name == "lifted" or row.guess == rows[0].guess
    }
    figure = charts.draw_curves(
        curves, output / "focal.png", xlabel="error of the focal length (%)", ylabel="clips within it (%)"
    )
    console.print(f"wrote {output / 'focal.md'} and {figure}")
