"""Smoothing in world axes, where the camera's motion is known or known badly, against camera axes."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import film_both
from experiments.trajectory.noise import FitConfig, fit_noise, solve
from gated_lift.cameras import Extrinsics, Wander, rotation_matrix, wander, world_to_camera
from gated_lift.drawing import charts
from solvers import TrajectorySolution


@dataclasses.dataclass(frozen=True)
class CamerasConfig(FitConfig):
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
    return Extrinsics(rotation_matrix(turn) @ extrinsics.rotation, extrinsics.position + shift)


def run_cameras(config: CamerasConfig) -> list[tuple[str, float, float]]:
    """(how the camera is known, root error outside gaps, inside), mm in camera axes, printed and drawn."""
    console = reporting.console()
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
        fit_noise("errors", world, config.loss, config.rounds, training, fps, console).noise
        for world in (False, True)
    ]
    in_camera, in_world = (jnp.asarray(noise, jnp.float32) for noise in noises)
    judge("unknown: smooth in camera axes", solve(validation, in_camera, fps, False, config.loss), None)
    for index, degrees in enumerate(config.path_errors):
        key = jax.random.fold_in(jax.random.key(config.seed), index)
        extrinsics = mistake(key, validation.extrinsics, degrees, fps)
        solution = solve(validation._replace(extrinsics=extrinsics), in_world, fps, True, config.loss)
        judge(f"off by {degrees:g}° and {degrees:g} cm" if degrees else "known", solution, extrinsics)
    columns = ["camera's motion", "root outside gaps", "root inside gaps"]
    cells = [[name, f"{outside:.1f} mm", f"{inside:.1f} mm"] for name, outside, inside in rows]
    fits = [f"{kind} axes: {noise}" for kind, noise in zip(("camera", "world"), noises, strict=True)]
    report(console, columns, cells, config.output / "cameras.md", before=fits)
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
