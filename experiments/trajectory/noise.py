"""What the weights of Eq. 9 stand for, fitted on clips whose paths are known."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from rich.console import Console
from rich.progress import Progress

from experiments.trajectory.film import Scene
from solvers import TrajectoryConfig, TrajectorySolution, solve_trajectory


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


@partial(jax.jit, static_argnames=("world", "loss", "window"))
def solve(
    scene: Scene, noise: jax.Array, fps: float, world: bool, loss: str, window: int | None = None
) -> TrajectorySolution:
    """Paths in world axes, or as the cameras see them; window after window where one is given."""
    keypoint, speed, acceleration, vertical_speed, vertical_acceleration = noise

    def axes(ground: jax.Array, vertical: jax.Array) -> jax.Array:
        # World z is up; a camera that is held level has y for down.
        return jnp.stack([ground, ground, vertical] if world else [ground, vertical, ground])

    config = TrajectoryConfig.from_noise(
        keypoint,
        axes(speed, vertical_speed),
        axes(acceleration, vertical_acceleration),
        fps,
        loss=loss,
        window=window,
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
