"""Where people stand: the root trajectory of Eq. 9 from root-relative poses, 2D keypoints and an occlusion mask."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from solvers.block_banded import ChainRows, solve
from solvers.gauss_newton import BandedGaussNewton, Status, WeightedResiduals
from solvers.pinhole import (
    MIN_DEPTH,
    Camera,
    Intrinsics,
    as_array,
    jacobian_components,
    normalize_components,
    project_components,
    split_camera,
)

# Eq. 9 adds squared pixels and squared millimetres: with lambda = 1 the two are then of one size (DESIGN, section 2).
MILLIMETRES = 1000.0

# The linear start weighs its rows as if everybody stood this far away; Gauss-Newton corrects it.
USUAL_DEPTH = 5.0

ADVICE = {
    Status.CONVERGED: "The trajectory minimises Eq. 9.",
    Status.MAX_STEPS: "The steps ran out before the trajectory settled: raise max_steps or loosen tolerance.",
    Status.TOO_FEW_OBSERVATIONS: (
        "Too few frames show two or more joints to fix the distance: join the clip with its neighbours, "
        "or give velocity_weight a positive value so that one such frame is enough."
    ),
    Status.NON_FINITE: (
        "A visible joint, the camera or a weight is NaN, infinite or out of range: mark such joints as occluded."
    ),
    Status.BEHIND_CAMERA: (
        "The keypoints fit a person behind the camera: check that poses are in camera axes "
        "(x right, y down, z forward) and that keypoints have their origin at the top left."
    ),
}


class TrajectoryConfig(NamedTuple):
    """Settings of Eq. 9 and of its solution.

    velocity_weight, acceleration_weight: lambda_1 and lambda_2, for squared pixels against squared millimetres.
    max_steps: most Gauss-Newton steps, rejected ones included.
    tolerance: metres; a person has converged when no coordinate moves by more (or by more than rounding allows).
    window: frames that are solved together, one window after the other; None solves the whole clip at once. The
        paper uses 100. The last window may be shorter.
    """

    velocity_weight: Any = 1.0
    acceleration_weight: Any = 1.0
    max_steps: int = 60
    tolerance: float = 1e-7
    window: int | None = None


class TrajectorySolution(NamedTuple):
    """root (..., F, 3): metres, camera axes. NaN where the status is not CONVERGED or MAX_STEPS.
    status (...): a `Status` for each person; over several windows the gravest.
    cost (...): Eq. 9 at the root, in squared pixels, summed over windows; NaN like the root.
    num_steps (...): steps tried, rejected ones included, in the slowest window.
    """

    root: Float[Array, "*people frames 3"]
    status: Int[Array, "*people"]
    cost: Float[Array, "*people"]
    num_steps: Int[Array, "*people"]


def describe_status(status: Any) -> str:
    """One sentence on how a solve ended and what to try."""
    return ADVICE[Status(int(status))]


def solve_trajectory(
    poses: Shaped[Any, "..."],
    keypoints: Shaped[Any, "..."],
    occluded: Shaped[Any, "..."],
    camera: Camera,
    config: TrajectoryConfig = TrajectoryConfig(),
    initial_root: Shaped[Any, "..."] | None = None,
) -> TrajectorySolution:
    poses, keypoints, occluded = jnp.asarray(poses), jnp.asarray(keypoints), jnp.asarray(occluded)
    dtype = poses.dtype
    *people, frames, joints, _ = poses.shape
    count = int(np.prod(people))

    def lanes_last(values: Array) -> Array:
        # (people, frames, joints) -> (joints, frames, people)
        return jnp.transpose(values.reshape(count, frames, joints), (2, 1, 0))

    keypoints = keypoints.astype(dtype)
    intrinsics = jax.tree.map(
        lambda value: _camera_lanes(value, tuple(people), frames), split_camera(camera, dtype)
    )
    clip = _Clip(
        *(lanes_last(poses[..., i]) for i in range(3)),
        *(lanes_last(keypoints[..., i]) for i in range(2)),
        lanes_last(occluded),
        intrinsics,
    )
    weights = (as_array(config.velocity_weight, dtype), as_array(config.acceleration_weight, dtype))
    start = None
    if initial_root is not None:
        start = jnp.transpose(jnp.asarray(initial_root).astype(dtype).reshape(count, frames, 3), (1, 2, 0))
    root, status, cost, num_steps = _solve_lanes(clip, weights, start, config.max_steps, config.tolerance)
    return TrajectorySolution(
        jnp.transpose(root, (2, 0, 1)).reshape(*people, frames, 3),
        status.reshape(people),
        cost.reshape(people),
        num_steps.reshape(people),
    )


def _camera_lanes(value: Array, people: tuple[int, ...], frames: int) -> Array:
    """One number of the camera, with leading axes (), people or (people, frames), as (1, frames or 1, people)."""
    if value.ndim > len(people):
        return jnp.broadcast_to(value, (*people, frames)).reshape(-1, frames).T[None]
    value = value.reshape(value.shape + (1,) * (len(people) - value.ndim))
    return jnp.broadcast_to(value, people).reshape(1, 1, -1)


class _Clip(NamedTuple):
    """One clip with people last: poses and keypoints by component, each (joints, frames, people)."""

    x: Array
    y: Array
    z: Array
    u: Array
    v: Array
    occluded: Array
    camera: Intrinsics


@functools.partial(jax.jit, static_argnames=("max_steps", "tolerance"))
def _solve_lanes(
    clip: _Clip, weights: tuple[Array, Array], start: Array | None, max_steps: int, tolerance: float
) -> tuple[Array, Array, Array, Array]:
    status = _prior_status(clip, weights)
    # A person who cannot be solved becomes one without observations at the origin: the masks stand before any
    # arithmetic, so that neither values nor gradients meet a NaN.
    usable = status == int(Status.CONVERGED)
    visible = ~clip.occluded & usable[None, None]

    def keep(value: Array, mask: Array) -> Array:
        return jnp.where(mask, value, jnp.zeros_like(value))

    camera = jax.tree.map(
        lambda value: jnp.where(usable[None, None], value, jnp.ones_like(value)), clip.camera
    )
    terms = _Terms(
        *(keep(value, visible) for value in clip[:5]),
        visible.astype(clip.x.dtype),
        camera,
        *(
            jnp.where(jnp.isfinite(weight) & (weight >= 0), weight, jnp.ones_like(weight))
            for weight in weights
        ),
    )
    frames = clip.x.shape[1]
    linear = _frames(solve(_linear_rows(jax.lax.stop_gradient(terms))), frames)
    depth = terms.z + linear[None, :, 2]
    behind = jnp.sum(visible & (depth <= MIN_DEPTH), axis=(0, 1)) * 2 > jnp.sum(visible, axis=(0, 1))
    status = jnp.where(usable & behind, int(Status.BEHIND_CAMERA), status)
    begin = linear if start is None else start
    # Every joint has to start before the camera, where the cost has a slope.
    nearest = jnp.min(jnp.where(visible, terms.z, jnp.inf), axis=0)
    floor = jnp.where(jnp.isfinite(nearest), 0.1 - nearest, -jnp.inf)
    begin = begin.at[:, 2].set(jnp.maximum(begin[:, 2], floor))
    solvable = status == int(Status.CONVERGED)
    begin = jnp.where(solvable[None, None], begin, jnp.zeros_like(begin))

    solver = BandedGaussNewton(
        residual_fun=_residuals, linearize=_linearize, maxiter=max_steps, tol=tolerance
    )
    params, state = solver.run(_blocks(begin), terms)
    status = jnp.where(solvable, state.status, status)
    answered = (status == int(Status.CONVERGED)) | (status == int(Status.MAX_STEPS))
    root = jnp.where(answered[None, None], _frames(params, frames), jnp.nan)
    return root, status, jnp.where(answered, 2 * state.value, jnp.nan), state.num_steps


class _Terms(NamedTuple):
    """What Eq. 9 needs, masked: hidden joints are zeros with weight 0. Arrays are (joints, frames, people)."""

    x: Array
    y: Array
    z: Array
    u: Array
    v: Array
    visible: Array
    camera: Intrinsics
    velocity_weight: Array
    acceleration_weight: Array


def _prior_status(clip: _Clip, weights: tuple[Array, Array]) -> Array:
    """CONVERGED where nothing speaks against solving, else why it cannot be done."""
    visible = ~clip.occluded
    finite = functools.reduce(jnp.logical_and, (jnp.isfinite(value) | clip.occluded for value in clip[:5]))
    finite = jnp.all(finite, axis=(0, 1))
    for value in jax.tree.leaves(clip.camera):
        finite = finite & jnp.all(jnp.isfinite(value), axis=(0, 1))
    for value in (clip.camera.fx, clip.camera.fy):
        finite = finite & jnp.all(value > 0, axis=(0, 1))
    for weight in weights:
        finite = finite & (jnp.isfinite(weight) & (weight >= 0))
    # One joint fixes a ray; two fix the distance as well.
    telling = jnp.sum(jnp.sum(visible, axis=0) >= 2, axis=0)
    frames = clip.x.shape[1]
    velocity, acceleration = weights
    needed = jnp.where(velocity > 0, 1, jnp.where(acceleration > 0, min(2, frames), frames))
    status = jnp.where(telling >= needed, int(Status.CONVERGED), int(Status.TOO_FEW_OBSERVATIONS))
    return jnp.where(finite, status, int(Status.NON_FINITE))


def _blocks(root: Array) -> Array:
    """(frames, 3, people) -> (blocks, 6, people): a block is two frames, so that accelerations couple neighbours only.

    An odd clip gets one more frame, which nothing but its own row sees.
    """
    frames, _, people = root.shape
    if frames % 2:
        root = jnp.concatenate([root, jnp.zeros((1, 3, people), root.dtype)])
    return root.reshape(-1, 6, people)


def _frames(blocks: Array, frames: int) -> Array:
    return blocks.reshape(-1, 3, blocks.shape[-1])[:frames]


def _residuals(params: Array, terms: _Terms) -> WeightedResiduals:
    """The rows of Eq. 9: reprojection in pixels, first and second differences in millimetres."""
    joints, frames, people = terms.x.shape
    root = _frames(params, frames)
    u, v = project_components(*_points(root, terms), terms.camera)
    # Differences of neighbours are exact in floating point, and so are differences of those: no digits are lost.
    velocity = root[1:] - root[:-1]
    acceleration = velocity[1:] - velocity[:-1]
    spare = params.reshape(-1, 3, people)[frames:]
    one = jnp.ones((1, 1, 1), root.dtype)
    return WeightedResiduals(
        values=(u - terms.u, v - terms.v, MILLIMETRES * velocity, MILLIMETRES * acceleration, spare),
        weights=(
            terms.visible,
            terms.visible,
            terms.velocity_weight * one,
            terms.acceleration_weight * one,
            one,
        ),
        magnitude=jnp.max(jnp.maximum(jnp.abs(terms.u), jnp.abs(terms.v)), axis=(0, 1)),
    )


def _points(root: Array, terms: _Terms) -> tuple[Array, Array, Array]:
    """Joints in camera axes; hidden ones stand one metre ahead, where nothing can go wrong."""
    seen = terms.visible > 0
    x, y, z = (
        jnp.where(seen, value + root[None, :, i], jnp.full_like(value, ahead))
        for i, (value, ahead) in enumerate(((terms.x, 0.0), (terms.y, 0.0), (terms.z, 1.0)))
    )
    return x, y, z


def _linearize(params: Array, terms: _Terms) -> ChainRows:
    """The rows of Eq. 9 at ``params``: every frame's joints are reduced to three rows before the chain sees them."""
    root = _frames(params, terms.x.shape[1])
    points = _points(root, terms)
    u, v = project_components(*points, terms.camera)
    u_row, v_row = jacobian_components(*points, terms.camera)
    columns = [jnp.stack([terms.visible * a, terms.visible * b]) for a, b in zip(u_row, v_row, strict=True)]
    columns.append(jnp.stack([terms.visible * (terms.u - u), terms.visible * (terms.v - v)]))
    return _chain(params, _reduce_rows(columns), terms)


def _linear_rows(terms: _Terms) -> ChainRows:
    """f (X + C)_xy = (u - c) (Z + C_z): reprojection made linear by clearing the depth, with the smoothness of Eq. 9."""
    a, b = normalize_components(terms.u, terms.v, terms.camera)
    zero = jnp.zeros_like(a)
    scale_x = terms.visible * terms.camera.fx / USUAL_DEPTH
    scale_y = terms.visible * terms.camera.fy / USUAL_DEPTH
    columns = [
        jnp.stack([scale_x, zero]),
        jnp.stack([zero, scale_y]),
        jnp.stack([-scale_x * a, -scale_y * b]),
        jnp.stack([scale_x * (a * terms.z - terms.x), scale_y * (b * terms.z - terms.y)]),
    ]
    _, frames, people = terms.x.shape
    return _chain(_blocks(jnp.zeros((frames, 3, people), a.dtype)), _reduce_rows(columns), terms)


def _reduce_rows(columns: list[Array]) -> list[list[Array]]:
    """QR of every frame's rows [J | r] by modified Gram-Schmidt, which solves least squares as stably as reflections
    do when the right-hand side is carried along as a column.

    columns: the three of J and r, each (2, joints, frames, people). Returns R's entries: row k holds columns k to 3.
    """
    columns = list(columns)
    triangle = []
    for k in range(3):
        pivot = columns[k]
        square = jnp.sum(pivot * pivot, axis=(0, 1))
        norm = jnp.sqrt(square)
        unit = (
            pivot
            * jnp.where(square > 0, 1 / jnp.where(square > 0, norm, jnp.ones_like(norm)), 0.0)[None, None]
        )
        row = [norm]
        for j in range(k + 1, 4):
            overlap = jnp.sum(unit * columns[j], axis=(0, 1))
            columns[j] = columns[j] - unit * overlap[None, None]
            row.append(overlap)
        triangle.append(row)
    return triangle


def _chain(params: Array, triangle: list[list[Array]], terms: _Terms) -> ChainRows:
    """Joins every frame's three rows with the smoothness rows, two frames a block."""
    blocks, _, people = params.shape
    frames = terms.x.shape[1]
    dtype = params.dtype
    zero = jnp.zeros_like(triangle[0][0])
    rows = jnp.stack(
        [jnp.stack([zero] * k + row) for k, row in enumerate(triangle)]
    )  # (3, 4, frames, people)
    rows = jnp.moveaxis(rows, 2, 0)
    odd = frames % 2
    if odd:
        rows = jnp.concatenate([rows, jnp.zeros((1, *rows.shape[1:]), dtype)])
    rows = rows.reshape(blocks, 2, 3, 4, people)
    gap = jnp.zeros((blocks, 3, 3, people), dtype)
    first = jnp.concatenate([rows[:, 0, :, :3], gap, rows[:, 0, :, 3:]], axis=2)
    second = jnp.concatenate([gap, rows[:, 1]], axis=2)

    root = params.reshape(-1, 3, people)
    velocity = root[1:] - root[:-1]
    acceleration = velocity[1:] - velocity[:-1]
    speed = MILLIMETRES * jnp.sqrt(terms.velocity_weight)
    turn = MILLIMETRES * jnp.sqrt(terms.acceleration_weight)

    def smooth(stencil: tuple[int, ...], weight: Array, residual: Array) -> Array:
        """Rows weight * (stencil of neighbouring frames = -residual), for x, y and z."""
        pattern = np.kron(np.asarray(stencil), np.eye(3))[..., None]
        coefficients = jnp.broadcast_to(
            (weight * jnp.asarray(pattern, dtype))[None], (residual.shape[0], 3, 3 * len(stencil), people)
        )
        return jnp.concatenate([coefficients, -(weight * residual)[:, :, None]], axis=2)

    within = smooth((-1, 1), speed, velocity[0::2])
    between = [
        smooth((0, -1, 1, 0), speed, velocity[1::2]),
        smooth((1, -2, 1, 0), turn, acceleration[0::2]),
        smooth((0, 1, -2, 1), turn, acceleration[1::2]),
    ]
    if odd:
        # The spare frame has its own row only: x_spare = 0.
        spare = smooth((0, 1), jnp.ones_like(speed), root[-1:])
        within = jnp.concatenate([within[:-1], spare])
        if blocks > 1:
            last = jnp.zeros((1, *between[2].shape[1:]), dtype)
            between[2] = jnp.concatenate([between[2][:-1], last])
    return ChainRows(jnp.concatenate([first, second, within], axis=1), jnp.concatenate(between, axis=1))
