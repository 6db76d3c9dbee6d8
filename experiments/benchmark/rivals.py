"""Who the trajectory solve is timed against: the same cost minimised by other libraries."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse

from solvers import Camera, TrajectoryConfig, solve_trajectory

FOCAL, CENTER = 1145.0, np.array([512.0, 515.0])
MILLIMETRES = 1000.0
JOINTS = 17


class Clip(NamedTuple):
    """poses (P, F, J, 3) m, keypoints (P, F, J, 2) px, occluded (P, F, J), root (P, F, 3) m, all float64."""

    poses: np.ndarray
    keypoints: np.ndarray
    occluded: np.ndarray
    root: np.ndarray


def walking_people(people: int, frames: int, seed: int) -> Clip:
    """Rigid bodies on arcs, arms swinging, at 50 fps; 2 px of detector noise."""
    rng = np.random.default_rng(seed)
    clock = np.arange(frames) / 50
    body = rng.normal(size=(people, 1, JOINTS, 3)) * [0.2, 0.45, 0.12]
    body = np.repeat(body, frames, axis=1)
    body[:, :, -4:, 2] += 0.25 * np.sin(5.6 * clock[None, :, None] + rng.uniform(0, 6, (people, 1, 4)))
    heading = rng.uniform(0, 6, (people, 1)) + 0.3 * clock
    cos, sin = np.cos(heading)[..., None], np.sin(heading)[..., None]
    x, y, z = np.moveaxis(body, -1, 0)
    poses = np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)
    root = np.stack(
        [0.9 * np.sin(heading), 0.03 * np.sin(11 * clock) + 0 * heading, 4 + 0.9 * np.cos(heading)], axis=-1
    )
    points = poses + root[:, :, None]
    keypoints = (
        FOCAL * points[..., :2] / points[..., 2:] + CENTER + 2 * rng.normal(size=(*points.shape[:-1], 2))
    )
    occluded = rng.uniform(size=points.shape[:-1]) < 0.5
    occluded[:, 2 * frames // 5 : 3 * frames // 5] = True
    return Clip(poses, keypoints, occluded, root)


def ours(clip: Clip, weights: tuple[float, float], start: np.ndarray) -> Callable[[], tuple[np.ndarray, str]]:
    """solve_trajectory in float32; it finds its own start, which the rivals are given."""
    del start
    poses, keypoints = jnp.asarray(clip.poses, jnp.float32), jnp.asarray(clip.keypoints, jnp.float32)
    occluded = jnp.asarray(clip.occluded)
    camera, config = Camera((FOCAL, FOCAL), tuple(CENTER)), TrajectoryConfig(*weights)

    def run() -> tuple[np.ndarray, str]:
        solution = jax.block_until_ready(solve_trajectory(poses, keypoints, occluded, camera, config))
        return np.asarray(solution.root, np.float64), str(int(solution.num_steps.max()))

    return run


def jaxopt_gauss_newton(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """jaxopt.GaussNewton as shipped (conjugate gradients on J^T J), float32, unknowns in millimetres."""
    residuals = _residual_function(weights)
    # Ten micrometres: float32 cannot tell less at 4 m, and its plain Gauss-Newton would go on to the last
    # step.
    solver = jaxopt.GaussNewton(residuals, maxiter=8, tol=1e-2, implicit_diff=False, unroll=False)
    solve = jax.jit(jax.vmap(solver.run))
    arrays = _millimetre_arrays(clip, start)

    def run() -> tuple[np.ndarray, str]:
        params, state = jax.block_until_ready(solve(*arrays))
        return np.asarray(params, np.float64) / MILLIMETRES, str(int(state.iter_num.max()))

    return run


def optimistix_levenberg_marquardt(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """optimistix.LevenbergMarquardt as shipped (QR of the dense J), float32, unknowns in millimetres."""
    import optimistix  # an extra: pip install 'gated-lift[benchmark]'

    residuals = _residual_function(weights)
    # Against the largest unknown, 5000 mm: ten micrometres, as for jaxopt's.
    solver = optimistix.LevenbergMarquardt(rtol=2e-6, atol=1e-2)

    @jax.jit
    @jax.vmap
    def solve(root: jax.Array, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = optimistix.least_squares(
            lambda root, arrays: residuals(root, *arrays), solver, root, arrays, max_steps=30, throw=False
        )
        return found.value, found.stats["num_steps"]

    arrays = _millimetre_arrays(clip, start)

    def run() -> tuple[np.ndarray, str]:
        root, steps = jax.block_until_ready(solve(*arrays))
        return np.asarray(root, np.float64) / MILLIMETRES, str(int(steps.max()))

    return run


def _residual_function(weights: tuple[float, float]) -> Callable[..., jax.Array]:
    """All residuals of Eq. 9 for one person as one vector, of roots in millimetres."""
    roots = tuple(float(np.sqrt(weight)) for weight in weights)

    def residuals(root: jax.Array, poses: jax.Array, keypoints: jax.Array, visible: jax.Array) -> jax.Array:
        points = poses + root[:, None] / MILLIMETRES
        points = jnp.where(visible[..., None], points, jnp.ones_like(points))
        error = FOCAL * points[..., :2] / points[..., 2:] + jnp.asarray(CENTER, jnp.float32) - keypoints
        error = jnp.where(visible[..., None], error, jnp.zeros_like(error))
        velocity = root[1:] - root[:-1]
        parts = [error, roots[0] * velocity, roots[1] * (velocity[1:] - velocity[:-1])]
        return jnp.concatenate([part.ravel() for part in parts])

    return residuals


def _millimetre_arrays(clip: Clip, start: np.ndarray) -> list[jax.Array]:
    """The start and what `_residual_function` takes besides, float32."""
    return [
        jnp.asarray(start * MILLIMETRES, jnp.float32),
        jnp.asarray(clip.poses, jnp.float32),
        jnp.asarray(clip.keypoints, jnp.float32),
        jnp.asarray(~clip.occluded),
    ]


def lapack(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """Gauss-Newton in float64: NumPy assembles the normal equations, LAPACK's solveh_banded solves them."""
    smooth = _smoothness_bands(clip.root.shape[1], weights)

    def run() -> tuple[np.ndarray, str]:
        answers, most = [], 0
        for person in range(len(clip.poses)):
            frame, joint = np.nonzero(~clip.occluded[person])
            pose, keypoint = clip.poses[person][frame, joint], clip.keypoints[person][frame, joint]
            root = start[person].copy()
            for step in range(1, 31):
                most = max(most, step)
                bands, right = _normal_equations(root, frame, pose, keypoint, smooth)
                delta = scipy.linalg.solveh_banded(bands, right, lower=True, check_finite=False).reshape(
                    root.shape
                )
                root += delta
                if np.abs(delta).max() < 1e-7:
                    break
            answers.append(root)
        return np.stack(answers), str(most)

    return run


def scipy_least_squares(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """scipy.optimize.least_squares in float64: trust region (trf) with the analytic sparse Jacobian and
    LSMR.
    """

    def run() -> tuple[np.ndarray, str]:
        answers, most = [], 0
        for person in range(len(clip.poses)):
            one = Clip(*(part[person] for part in clip))
            found = scipy.optimize.least_squares(
                lambda x, one=one: _sparse_rows(x.reshape(-1, 3), one, weights)[0],
                start[person].ravel(),
                jac=lambda x, one=one: _sparse_rows(x.reshape(-1, 3), one, weights)[1],
                method="trf",
                tr_solver="lsmr",
                xtol=1e-8,
                ftol=1e-10,
                gtol=1e-8,
            )
            answers.append(found.x.reshape(-1, 3))
            most = max(most, found.nfev)
        return np.stack(answers), str(most)

    return run


def _smoothness_bands(frames: int, weights: tuple[float, float]) -> np.ndarray:
    """The constant part of J^T J as its lower bands 0 to 6; only every third is occupied."""
    bands = np.zeros((7, frames, 3))
    for order, weight in enumerate(weights, start=1):
        stencil = np.array([[-1.0, 1.0], [1.0, -2.0, 1.0]][order - 1])
        for i in range(order + 1):
            for j in range(i + 1):
                # Row i and column j of one stencil, over all places where it stands.
                bands[3 * (i - j), j : j + frames - order] += (
                    MILLIMETRES**2 * weight * stencil[i] * stencil[j]
                )
    return bands


def _normal_equations(
    root: np.ndarray, frame: np.ndarray, pose: np.ndarray, keypoint: np.ndarray, smooth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    frames = len(root)
    point = pose + root[frame]
    scale = FOCAL / point[:, 2]
    slope = point[:, :2] / point[:, 2:]
    error = FOCAL * slope + CENTER - keypoint
    square = scale**2

    def per_frame(values: np.ndarray) -> np.ndarray:
        return np.bincount(frame, values, frames)

    bands = smooth.copy()
    both = per_frame(square)
    bands[0, :, 0] += both
    bands[0, :, 1] += both
    bands[0, :, 2] += per_frame(square * (slope**2).sum(axis=1))
    bands[2, :, 0] -= per_frame(square * slope[:, 0])
    bands[1, :, 1] -= per_frame(square * slope[:, 1])
    right = np.stack(
        [
            per_frame(-scale * error[:, 0]),
            per_frame(-scale * error[:, 1]),
            per_frame(scale * (error * slope).sum(axis=1)),
        ],
        axis=1,
    )
    # The gradient of the smoothness at the root: its bands (symmetric) times the root.
    right -= smooth[0] * root
    for lag in (1, 2):
        right[lag:] -= smooth[3 * lag, :-lag] * root[:-lag]
        right[:-lag] -= smooth[3 * lag, :-lag] * root[lag:]
    return bands.reshape(7, -1), right.ravel()


def _sparse_rows(
    root: np.ndarray, clip: Clip, weights: tuple[float, float]
) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
    """Residuals of Eq. 9 for one person and their Jacobian by the root in metres."""
    frames = len(root)
    frame, joint = np.nonzero(~clip.occluded)
    point = clip.poses[frame, joint] + root[frame]
    error = FOCAL * point[:, :2] / point[:, 2:] + CENTER - clip.keypoints[frame, joint]
    row = np.arange(2 * len(frame)).reshape(-1, 2)
    direct = np.broadcast_to(FOCAL / point[:, 2:], error.shape)
    depth = -FOCAL * point[:, :2] / point[:, 2:] ** 2
    columns = 3 * frame[:, None] + np.arange(3)
    jacobian = scipy.sparse.coo_matrix(
        (
            np.concatenate([direct.ravel(), depth.ravel()]),
            (
                np.concatenate([row.ravel()] * 2),
                np.concatenate([columns[:, :2].ravel(), np.repeat(columns[:, 2], 2)]),
            ),
        ),
        shape=(row.size, 3 * frames),
    )
    residuals, parts = [error.ravel()], [jacobian]
    for order, weight in enumerate(weights, start=1):
        stencil = [[-1.0, 1.0], [1.0, -2.0, 1.0]][order - 1]
        difference = scipy.sparse.diags(stencil, list(range(order + 1)), shape=(frames - order, frames))
        operator = MILLIMETRES * np.sqrt(weight) * scipy.sparse.kron(difference, scipy.sparse.eye(3))
        residuals.append(operator @ root.ravel())
        parts.append(operator)
    return np.concatenate(residuals), scipy.sparse.vstack(parts).tocsr()


def cost_of(root: np.ndarray, clip: Clip, weights: tuple[float, float]) -> float:
    """Eq. 9 in float64, summed over people, whoever found the root."""
    return sum(
        float((_sparse_rows(root[person], Clip(*(part[person] for part in clip)), weights)[0] ** 2).sum())
        for person in range(len(root))
    )


OURS = "solve_trajectory (float32)"
CONTESTANTS: dict[str, tuple[Callable, float]] = {
    # How each one's time grows with the number of frames, to foresee what would take minutes.
    OURS: (ours, 1.0),
    "NumPy + LAPACK solveh_banded (float64)": (lapack, 1.0),
    "jaxopt.GaussNewton as shipped (float32)": (jaxopt_gauss_newton, 2.0),
    "optimistix.LevenbergMarquardt as shipped (float32)": (optimistix_levenberg_marquardt, 3.0),
    "SciPy least_squares, sparse (float64)": (scipy_least_squares, 1.5),
}
