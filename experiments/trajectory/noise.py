"""What the weights of Eq. 9 stand for, fitted on clips whose paths are known."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats
from rich.console import Console
from rich.progress import Progress

from experiments.trajectory.film import FilmConfig, Scene
from solvers import TrajectoryConfig, TrajectorySolution, solve_trajectory


@dataclasses.dataclass(frozen=True)
class FitConfig(FilmConfig):
    """Of a study that fits the noise first."""

    rounds: int = 350
    """Most solves of the training split that fitting the weights may take, for each kind of axes
    (Nelder-Mead)."""


class Noise(NamedTuple):
    """What the weights stand for: pixels of an image with a focal length of 1145 px, as `TrajectoryConfig`
    has them, metres a second and metres a second squared; people move less up and down than over the ground.
    size_std, relative, and bias_std, pixels: of how large and where a person seems to be; a detector's errors
    last for many frames, which Eq. 9 takes for independent, and the path follows them along the ray and
    across.
    """

    keypoint_std: float
    speed_std: float
    acceleration_std: float
    vertical_speed_std: float
    vertical_acceleration_std: float
    size_std: float = 0.0
    bias_std: float = 0.0


FIRST_GUESS = Noise(5.0, 4.0, 10.0, 1.5, 5.0, 0.005, 1.0)
FIRST_TAIL = 6.0

# For studies that fit nothing: near what `calibration` finds.
FITTED = Noise(7.03, 8.94, 5.81, 0.375, 8.05)


def noise_config(noise: Noise | jax.Array, world: bool, loss: str) -> TrajectoryConfig:
    """The weights for paths in world axes, or in those of cameras that are held level."""
    keypoint, speed, acceleration, vertical_speed, vertical_acceleration, size, bias = noise

    def axes(ground: Any, vertical: Any) -> Any:
        # World z is up; a camera that is held level has y for down.
        stack = jnp.stack if isinstance(ground, jax.Array) else np.stack
        return stack([ground, ground, vertical] if world else [ground, vertical, ground])

    return TrajectoryConfig.from_noise(
        keypoint,
        axes(speed, vertical_speed),
        axes(acceleration, vertical_acceleration),
        loss=loss,
        size_std=size,
        bias_std=bias,
    )


@partial(jax.jit, static_argnames=("world", "loss", "window"))
def solve(
    scene: Scene, noise: jax.Array, fps: float, world: bool, loss: str, window: int | None = None
) -> TrajectorySolution:
    """Paths in world axes, or as the cameras see them; window after window where one is given."""
    return solve_trajectory(
        scene.poses,
        scene.keypoints,
        scene.occluded,
        scene.camera,
        noise_config(noise, world, loss)._replace(window=window),
        covariance=True,
        extrinsics=scene.extrinsics if world else None,
        fps=fps,
    )


def truth(scene: Scene, world: bool) -> jax.Array:
    return scene.world_root if world else scene.root


def squared_distance(solution: TrajectorySolution, root: jax.Array) -> np.ndarray:
    """(N, F): e^T S^-1 e of the root's error under its stated covariance; NaN where nothing was solved."""
    error = np.asarray(solution.root - root, np.float64)
    covariance = np.asarray(solution.covariance, np.float64)
    return np.einsum("nfi,nfi->nf", error, np.linalg.solve(covariance, error[..., None])[..., 0])


class Fit(NamedTuple):
    """noise: what the weights stand for. tail: degrees of freedom of the multivariate Student's t that root
    errors are taken to follow, with the stated covariance as its scale matrix; infinite for a Gaussian.
    People stand and whirl, and a detector's errors last: one Gaussian would be too wide for most frames and
    too narrow for the rest.
    """

    noise: Noise
    tail: float


def error_likelihood(
    solution: TrajectorySolution, root: jax.Array, gap: jax.Array, tail: float = math.inf
) -> float:
    """Mean log-density of the root's errors, frames inside gaps and outside weighing the same in all."""
    solved = np.isfinite(np.asarray(solution.root)).all(axis=-1)
    covariance = np.where(solved[..., None, None], np.asarray(solution.covariance, np.float64), np.eye(3))
    distance = squared_distance(solution, root)
    if math.isinf(tail):
        density = -(distance + 3 * math.log(2 * math.pi)) / 2
    else:
        density = (
            math.lgamma((tail + 3) / 2)
            - math.lgamma(tail / 2)
            - 1.5 * math.log(tail * math.pi)
            - (tail + 3) / 2 * np.log1p(distance / tail)
        )
    density = density - np.linalg.slogdet(covariance)[1] / 2
    inside = np.asarray(gap)
    return float(np.mean([density[solved & side].mean() for side in (inside, ~inside)]))


def region_limits(levels: Sequence[float] | np.ndarray, tail: float) -> np.ndarray:
    """Squared distances e^T S^-1 e within which the root lies with each probability: 3 F(3, tail), or
    chi-squared(3).
    """
    if math.isinf(tail):
        return scipy.stats.chi2.ppf(np.asarray(levels), 3)
    return 3 * scipy.stats.f.ppf(np.asarray(levels), 3, tail)


def fit_noise(
    objective: str, world: bool, loss: str, rounds: int, scene: Scene, fps: float, console: Console
) -> Fit:
    """Nelder-Mead over the logarithms; keypoints alone tell nothing of sizes and tails: ``evidence`` leaves
    them at 0 and infinity.
    """
    root = truth(scene, world)
    start = np.log(FIRST_GUESS[:5] if objective == "evidence" else (*FIRST_GUESS, FIRST_TAIL))

    def fit_of(logarithms: np.ndarray) -> Fit:
        values = [float(value) for value in np.exp(logarithms)]
        return Fit(Noise(*values), math.inf) if len(values) == 5 else Fit(Noise(*values[:-1]), values[-1])

    def score(logarithms: np.ndarray) -> float:
        fit = fit_of(logarithms)
        solution = solve(scene, jnp.asarray(fit.noise, jnp.float32), fps, world, loss)
        if objective == "errors":
            return -error_likelihood(solution, root, scene.gap, fit.tail)
        return -float(jnp.nansum(solution.log_evidence)) / scene.gap.size

    return fit_of(minimize(score, start, rounds, 0.7, 1e-4, "fitting the weights", console))


def minimize(
    score: Callable[[np.ndarray], float],
    start: np.ndarray,
    rounds: int,
    spread: float,
    tolerance: float,
    title: str,
    console: Console,
) -> np.ndarray:
    """Nelder-Mead from ``start`` and points ``spread`` away along each axis, with a progress bar."""
    with Progress(*Progress.get_default_columns(), "{task.fields[best]}", console=console) as progress:
        task = progress.add_task(title, total=rounds, best="")
        best = math.inf

        def watched(values: np.ndarray) -> float:
            nonlocal best
            value = score(values)
            best = min(best, value)
            progress.update(task, advance=1, best=f"best {best:.4f}")
            return value

        found = scipy.optimize.minimize(
            watched,
            start,
            method="Nelder-Mead",
            options={
                "maxfev": rounds,
                "xatol": 0.01,
                "fatol": tolerance,
                "initial_simplex": start
                + np.concatenate([np.zeros((1, len(start))), spread * np.eye(len(start))]),
            },
        )
    return found.x
