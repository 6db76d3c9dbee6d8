"""Where people stand: the root trajectory of Eq. 9 from root-relative poses, 2D keypoints and an occlusion
mask.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from solvers.block_banded import ChainRows, SharedLinks, back_substitute, factor_fast
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

# Eq. 9 adds squared pixels and squared millimetres: with lambda = 1 the two are then of one size (DESIGN,
# section 2).
MILLIMETRES = 1000.0

# The linear start weighs its rows as if everybody stood this far away; Gauss-Newton corrects it.
USUAL_DEPTH = 5.0

# Frames times people that are linearised at a time: with 17 joints, a core's cache holds what that takes.
CHUNK = 1024

ADVICE = {
    Status.CONVERGED: "The trajectory minimises Eq. 9.",
    Status.MAX_STEPS: "The steps ran out before the trajectory settled: raise max_steps or loosen tolerance.",
    Status.TOO_FEW_OBSERVATIONS: (
        "Too few frames show two or more joints to fix the distance: join the clip with its neighbours, "
        "or give velocity_weight a positive value so that one such frame is enough."
    ),
    Status.NON_FINITE: (
        "A visible joint, the camera or a weight is NaN, infinite or out of range: "
        "mark such joints as occluded, or mend the numbers."
    ),
    Status.BEHIND_CAMERA: (
        "The keypoints fit a person behind the camera: check that poses are in camera axes "
        "(x right, y down, z forward) and that keypoints have their origin at the top left."
    ),
}


class TrajectoryConfig(NamedTuple):
    """Settings of Eq. 9 and of its solution.

    velocity_weight, acceleration_weight: lambda_1 and lambda_2, for squared pixels against squared
    millimetres.
    max_steps: most Gauss-Newton steps, rejected ones included.
    tolerance: metres; a person has converged when no coordinate moves by more (or by more than rounding
    allows).
    window: frames that are solved together, one window after the other; None solves the whole clip at once.
    The
        paper uses 100. The last window may be shorter.
    """

    velocity_weight: Any = 1.0
    acceleration_weight: Any = 1.0
    max_steps: int = 60
    tolerance: float = 1e-7
    window: int | None = None


DEFAULT_CONFIG = TrajectoryConfig()


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
    config: TrajectoryConfig = DEFAULT_CONFIG,
    initial_root: Shaped[Any, "..."] | None = None,
) -> TrajectorySolution:
    """Eq. 9 with the masks of Eq. 7, for every person by itself:

        min_C  sum_t sum_{i visible} |rho(X_it + C_t) - x_it|^2
               + lambda_1 sum |C_t - C_{t-1}|^2 + lambda_2 sum |C_{t-1} - 2 C_t + C_{t+1}|^2

    Pixels for the first sum and millimetres for the others; arguments and results are in metres.

    poses (..., F, J, 3): root-relative joints, metres, camera axes (x right, y down, z forward).
    keypoints (..., F, J, 2): pixels, origin top left. What stands at a hidden joint does not matter: NaN is
    fine.
    occluded (..., F, J): boolean, True = hidden.
    camera: one, or one for each of the leading axes, or one for each of those and each frame.
    config: weights, limits and window. The weights may be traced and differentiated; the rest is fixed.
    initial_root (..., F, 3): a first guess. Without one the start is the solution of the linear problem
        f (X + C)_xy = (x - c) (Z + C_z), with lens distortion undone first.

    Leading axes are people (or batch); the function may be jitted and vmapped. Derivatives are implicit,
    forward and reverse, with respect to poses, keypoints, camera and weights; initial_root has none.
    Arithmetic is that of the dtype of ``poses``. See `TrajectorySolution` for what comes back and
    `describe_status` for what to do about it.

    A person gets NaN as root and the status
    NON_FINITE when a visible keypoint or its joint, the camera or a weight is NaN or infinite, or when a
    traced focal
        length or weight is out of range;
    TOO_FEW_OBSERVATIONS unless enough frames show two joints (one joint fixes a ray, two the distance): one
    frame if
        lambda_1 > 0, two if only lambda_2 > 0, all of them if both weights are zero;
    BEHIND_CAMERA when most visible joints of the linear start lie behind the camera;
    and nobody else's answer changes by a bit.

    Raises ValueError for wrong ranks, dtypes or shapes, empty clips, and concrete focal lengths or weights
    that are out of range.
    """
    poses, keypoints, occluded = jnp.asarray(poses), jnp.asarray(keypoints), jnp.asarray(occluded)
    _check_arrays(poses, keypoints, occluded)
    _check_config(config)
    *people, frames, _, _ = poses.shape
    dtype = poses.dtype
    if initial_root is not None:
        initial_root = jnp.asarray(initial_root).astype(dtype)
        if initial_root.shape != (*people, frames, 3):
            raise ValueError(
                f"initial_root has shape {initial_root.shape}, poses {poses.shape}: "
                f"pass one root a frame, {(*people, frames, 3)}"
            )
    intrinsics = split_camera(camera, dtype)
    _check_camera(intrinsics, (*people, frames))
    weights = tuple(
        as_array(weight, dtype) for weight in (config.velocity_weight, config.acceleration_weight)
    )
    return _solve_people(
        poses,
        keypoints.astype(dtype),
        occluded,
        intrinsics,
        weights,
        initial_root,
        max_steps=config.max_steps,
        tolerance=config.tolerance,
        window=config.window,
    )


def _check_arrays(poses: Array, keypoints: Array, occluded: Array) -> None:
    wanted = "poses (..., F, J, 3), keypoints (..., F, J, 2), occluded (..., F, J)"
    if poses.ndim < 3 or poses.shape[-1] != 3:
        raise ValueError(f"poses has shape {poses.shape}: pass {wanted}")
    if keypoints.ndim < 3 or keypoints.shape[-1] != 2:
        raise ValueError(f"keypoints has shape {keypoints.shape}: pass {wanted}, without confidences")
    for name, values in (("poses", poses), ("keypoints", keypoints)):
        if not jnp.issubdtype(values.dtype, jnp.floating):
            raise ValueError(f"{name} has dtype {values.dtype}: pass floating point numbers")
    if occluded.dtype != jnp.bool_:
        raise ValueError(f"occluded has dtype {occluded.dtype}: pass booleans, True = hidden")
    if 0 in poses.shape:
        raise ValueError(
            f"poses has shape {poses.shape}, which is empty: pass a person, a frame and a joint at least"
        )
    for name, shape in (("keypoints", keypoints.shape[:-1]), ("occluded", occluded.shape)):
        if shape == poses.shape[:-1]:
            continue
        if len(shape) == poses.ndim - 1:
            for axis, what in ((-1, "joints"), (-2, "frames")):
                if shape[axis] != poses.shape[axis - 1]:
                    raise ValueError(
                        f"{name} has {shape[axis]} {what}, poses has {poses.shape[axis - 1]}: "
                        f"bring both to the same {what}"
                    )
        raise ValueError(f"{name} has leading axes {shape}, poses has {poses.shape[:-1]}: pass {wanted}")


def _check_config(config: TrajectoryConfig) -> None:
    for name in ("velocity_weight", "acceleration_weight"):
        weight = getattr(config, name)
        if np.shape(weight) != ():
            raise ValueError(f"config.{name} has shape {np.shape(weight)}: pass one number")
        if not isinstance(weight, jax.core.Tracer) and not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"config.{name} is {weight}: pass a finite number that is not negative")
    if config.max_steps < 1 or not config.tolerance > 0:
        raise ValueError(
            f"config.max_steps is {config.max_steps} and config.tolerance {config.tolerance}: "
            "both must be positive"
        )
    if config.window is not None and config.window < 1:
        raise ValueError(
            f"config.window is {config.window}: pass a number of frames, or None for the whole clip"
        )


def _check_camera(camera: Intrinsics, lead: tuple[int, ...]) -> None:
    for values in jax.tree.leaves(camera):
        if values.ndim > len(lead) or values.shape != lead[: values.ndim]:
            raise ValueError(
                f"camera has leading axes {values.shape}, poses has {lead}: "
                "pass one camera, or one for each of the first axes of poses"
            )
    for name, values in (("fx", camera.fx), ("fy", camera.fy)):
        if isinstance(values, jax.core.Tracer):
            continue
        numbers = np.asarray(values)
        if not np.all(np.isfinite(numbers) & (numbers > 0)):
            raise ValueError(f"camera.focal has {name} = {numbers}: pass positive pixels")


@functools.partial(jax.jit, static_argnames=("max_steps", "tolerance", "window"))
def _solve_people(
    poses: Array,
    keypoints: Array,
    occluded: Array,
    camera: Intrinsics,
    weights: tuple[Array, Array],
    initial_root: Array | None,
    *,
    max_steps: int,
    tolerance: float,
    window: int | None,
) -> TrajectorySolution:
    *people, frames, joints, _ = poses.shape
    count = math.prod(people)

    def lanes_last(values: Array) -> Array:
        return jnp.transpose(values.reshape(count, frames, joints), (2, 1, 0))

    x, y, z = (lanes_last(poses[..., i]) for i in range(3))
    u, v = (lanes_last(keypoints[..., i]) for i in range(2))
    cameras = jax.tree.map(lambda value: _camera_lanes(jnp.asarray(value), tuple(people), frames), camera)
    clip = _Clip(x, y, z, u, v, lanes_last(occluded), cameras)
    start = None
    if initial_root is not None:
        start = jnp.transpose(initial_root.reshape(count, frames, 3), (2, 1, 0))

    # Windows of equal length are lanes like people; a shorter last one is a problem of its own shape.
    length = min(window or frames, frames)
    whole = frames - frames % length
    parts = []
    for begin, end in ((0, whole), (whole, frames)):
        if begin == end:
            continue
        folded = functools.partial(_fold, begin=begin, end=end, length=min(length, end - begin))
        root, *statistics = _solve_lanes(
            jax.tree.map(folded, clip),
            weights,
            None if start is None else folded(start),
            max_steps,
            tolerance,
        )
        windows = (end - begin) // min(length, end - begin)
        root = jnp.moveaxis(root.reshape(-1, 3, windows, count), (3, 2), (0, 1)).reshape(
            count, end - begin, 3
        )
        parts.append((root, *(value.reshape(windows, count) for value in statistics)))
    roots, status, cost, num_steps = (list(part) for part in zip(*parts, strict=True))
    return TrajectorySolution(
        jnp.concatenate(roots, axis=1).reshape(*people, frames, 3),
        jnp.max(jnp.concatenate(status), axis=0).reshape(people),
        jnp.sum(jnp.concatenate(cost), axis=0).reshape(people),
        jnp.max(jnp.concatenate(num_steps), axis=0).reshape(people),
    )


def _fold(values: Array, begin: int, end: int, length: int) -> Array:
    """(any, frames or 1, people) -> (any, length or 1, windows * people)."""
    first, frames, people = values.shape
    windows = (end - begin) // length
    if frames == 1 and end - begin > 1:
        return jnp.tile(values, (1, 1, windows))
    values = values[:, begin:end].reshape(first, windows, length, people)
    return jnp.swapaxes(values, 1, 2).reshape(first, length, windows * people)


def _camera_lanes(value: Array, people: tuple[int, ...], frames: int) -> Array:
    """One number of the camera, with the leading axes of the people and perhaps frames, as (1, frames or 1,
    people).
    """
    if value.ndim > len(people):
        return value.reshape(-1, frames).T[None]
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


def _solve_lanes(
    clip: _Clip, weights: tuple[Array, Array], start: Array | None, max_steps: int, tolerance: float
) -> tuple[Array, Array, Array, Array]:
    """Root (frames, 3, lanes), status, cost and steps of every lane: a person, or a person's window."""
    status = _prior_status(clip, weights)
    # A person who cannot be solved becomes one without observations at the origin: the masks stand before any
    # arithmetic, so that neither values nor gradients meet a NaN.
    usable = status == int(Status.CONVERGED)
    visible = ~clip.occluded & usable[None, None]

    x, y, z, u, v = (jnp.where(visible, value, jnp.zeros_like(value)) for value in clip[:5])
    camera = jax.tree.map(
        lambda value: jnp.where(usable[None, None], value, jnp.ones_like(value)), clip.camera
    )
    velocity_weight, acceleration_weight = (
        jnp.where(jnp.isfinite(weight) & (weight >= 0), weight, jnp.ones_like(weight)) for weight in weights
    )
    frames = clip.x.shape[1]
    factored = _factored_smoothness(frames, velocity_weight, acceleration_weight)
    joints = _Joints(x, y, z, u, v, visible.astype(x.dtype))
    terms = _Terms(joints, camera, velocity_weight, acceleration_weight, *factored)
    rows = _linear_rows(jax.lax.stop_gradient(terms))
    linear = _frames(back_substitute(factor_fast(rows), len(rows.own)), frames)
    depth = joints.z + linear[None, :, 2]
    behind = jnp.sum(visible & (depth <= MIN_DEPTH), axis=(0, 1)) * 2 > jnp.sum(visible, axis=(0, 1))
    status = jnp.where(usable & behind, int(Status.BEHIND_CAMERA), status)
    begin = linear if start is None else jnp.swapaxes(start, 0, 1)
    # Every joint has to start before the camera, where the cost has a slope.
    nearest = jnp.min(jnp.where(visible, joints.z, jnp.inf), axis=0)
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


class _Joints(NamedTuple):
    """Poses, keypoints and mask by component, (joints, frames, people): hidden joints are zeros with weight
    0.
    """

    x: Array
    y: Array
    z: Array
    u: Array
    v: Array
    visible: Array


class _Terms(NamedTuple):
    """What Eq. 9 needs. The camera's numbers are (1, frames or 1, people); speed and turn (frames - 1,) are
    those of `_factored_smoothness`.
    """

    joints: _Joints
    camera: Intrinsics
    velocity_weight: Array
    acceleration_weight: Array
    speed: Array
    turn: Array


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


def _factored_smoothness(
    frames: int, velocity_weight: Array, acceleration_weight: Array
) -> tuple[Array, Array]:
    """One smoothness row a frame and axis in place of two: g and e, (frames - 1,), with

        sum_k |g_k v_k + e_k (v_{k+1} - v_k)|^2 = lambda_1 sum |v_k|^2 + lambda_2 sum |v_{k+1} - v_k|^2

    for all velocities v_k = C_{k+1} - C_k. The right-hand side is v^T T v with a tridiagonal T whose
    Cholesky factor has the diagonal d_k and, beside it, e_k = -lambda_2 / d_k, where, with t_0 = 0,

        d_k^2 = t_k + lambda_1 + lambda_2,   t_{k+1} = lambda_2 (t_k + lambda_1) / d_k^2

    and d^2 = t + lambda_1 in the last row. g_k = d_k + e_k = (t_k + lambda_1) / d_k without cancellation.
    t_k is written out: with the fixed points p and -m of the recursion, (t_k - p) / (t_k + m) falls by a
    constant factor a frame.
    """
    # The implicit derivatives are those of the cost, not of its rows.
    first, second = (jax.lax.stop_gradient(w) for w in (velocity_weight, acceleration_weight))
    total = first + second
    unit = jnp.where(total > 0, total, jnp.ones_like(total))
    first, second = first / unit, second / unit
    spread = jnp.sqrt(first * (first + 4 * second))  # p + m
    upper = jnp.where(first > 0, (first + spread) / 2, jnp.ones_like(first))  # m
    point = first * second / upper  # p
    count = jnp.arange(frames - 1, dtype=first.dtype)
    fall = jnp.log1p(-jnp.where(first > 0, spread / (second + upper), jnp.zeros_like(first)))
    power = jnp.where(count == 0, 0, count * fall)
    t = -point * jnp.expm1(power) / (1 + jnp.exp(power) * point / upper)
    last = count == frames - 2
    diagonal = jnp.sqrt(t + first + jnp.where(last, jnp.zeros_like(second), second))
    divisor = jnp.where(diagonal > 0, diagonal, jnp.ones_like(diagonal))
    scale = jnp.sqrt(total)
    return scale * (t + first) / divisor, jnp.where(last, 0, -scale * second / divisor)


def _spare_frames(frames: int) -> tuple[int, int]:
    """Frames that are added before and behind the clip, which nothing but their own rows see: blocks are
    two frames, and the last velocity has to lie between two blocks, not within one.
    """
    return 1 - frames % 2, 1


def _blocks(root: Array) -> Array:
    """(frames, 3, people) -> (blocks, 6, people): a block is two frames, so that accelerations couple
    neighbours only.
    """
    frames, _, people = root.shape
    return jnp.pad(root, (_spare_frames(frames), (0, 0), (0, 0))).reshape(-1, 6, people)


def _frames(blocks: Array, frames: int) -> Array:
    front, _ = _spare_frames(frames)
    return blocks.reshape(-1, 3, blocks.shape[-1])[front : front + frames]


def _residuals(params: Array, terms: _Terms) -> WeightedResiduals:
    """The rows of Eq. 9: reprojection in pixels, first and second differences in millimetres."""
    joints = terms.joints
    _, frames, people = joints.x.shape
    root = _frames(params, frames)
    u, v = project_components(*_points(root, joints), terms.camera)
    # Differences of neighbours are exact in floating point, and so are differences of those: no digits are
    # lost.
    velocity = root[1:] - root[:-1]
    acceleration = velocity[1:] - velocity[:-1]
    padded, front = params.reshape(-1, 3, people), _spare_frames(frames)[0]
    spare = jnp.concatenate([padded[:front], padded[front + frames :]])
    one = jnp.ones((1, 1, 1), root.dtype)
    return WeightedResiduals(
        values=(u - joints.u, v - joints.v, MILLIMETRES * velocity, MILLIMETRES * acceleration, spare),
        weights=(
            joints.visible,
            joints.visible,
            terms.velocity_weight * one,
            terms.acceleration_weight * one,
            one,
        ),
        magnitude=jnp.max(jnp.maximum(jnp.abs(joints.u), jnp.abs(joints.v)), axis=(0, 1)),
    )


def _points(root: Array, joints: _Joints) -> tuple[Array, Array, Array]:
    """Joints in camera axes; hidden ones stand one metre ahead, where nothing can go wrong."""
    seen = joints.visible > 0
    x, y, z = (
        jnp.where(seen, value + root[None, :, i], jnp.full_like(value, ahead))
        for i, (value, ahead) in enumerate(((joints.x, 0.0), (joints.y, 0.0), (joints.z, 1.0)))
    )
    return x, y, z


def _linearize(params: Array, damping: Array, terms: _Terms) -> ChainRows:
    """The rows of Eq. 9 at ``params``: each frame's joints are reduced to three rows before the chain sees
    them.
    """

    def reduce(root: Array, joints: _Joints, camera: Intrinsics) -> list[list[Array]]:
        points = _points(root, joints)
        u, v = project_components(*points, camera)
        u_row, v_row = jacobian_components(*points, camera)
        seen = joints.visible
        columns = [_Column(seen * a, seen * b) for a, b in zip(u_row, v_row, strict=True)]
        columns.append(_Column(seen * (joints.u - u), seen * (joints.v - v)))
        return _reduce_rows(columns, jnp.sqrt(damping))

    root = _frames(params, terms.joints.x.shape[1])
    return _chain(params, _by_chunks(reduce, root, terms), terms)


def _linear_rows(terms: _Terms) -> ChainRows:
    """f (X + C)_xy = (u - c) (Z + C_z): reprojection with the depth cleared, and the smoothness of Eq. 9."""
    _, frames, people = terms.joints.x.shape
    start = jnp.zeros((frames, 3, people), terms.joints.x.dtype)

    def reduce(_: Array, joints: _Joints, camera: Intrinsics) -> list[list[Array]]:
        a, b = normalize_components(joints.u, joints.v, camera)
        zero = jnp.zeros_like(a)
        scale_x = joints.visible * camera.fx / USUAL_DEPTH
        scale_y = joints.visible * camera.fy / USUAL_DEPTH
        columns = [
            _Column(scale_x, zero),
            _Column(zero, scale_y),
            _Column(-scale_x * a, -scale_y * b),
            _Column(scale_x * (a * joints.z - joints.x), scale_y * (b * joints.z - joints.y)),
        ]
        return _reduce_rows(columns, jnp.zeros(people, a.dtype))

    return _chain(_blocks(start), _by_chunks(reduce, start, terms), terms)


def _by_chunks(function: Callable[..., Any], root: Array, terms: _Terms) -> Any:
    """function(root, joints, camera), computed for a few frames at a time: what it writes down on its way
    then stays in the processor's cache. Its results are trees of (frames, people).
    """
    _, frames, people = terms.joints.x.shape
    length = max(1, CHUNK // people)
    if frames <= length:
        return function(root, terms.joints, terms.camera)

    def piece(begin: Array) -> Any:
        def cut(values: Array) -> Array:
            if values.shape[1] == 1:
                return values
            return jax.lax.dynamic_slice_in_dim(values, begin, length, axis=1)

        part = jax.lax.dynamic_slice_in_dim(root, begin, length)
        return function(part, *jax.tree.map(cut, (terms.joints, terms.camera)))

    def step(index: Array, found: Any) -> Any:
        # The last chunk goes back to be as long as the others: some frames are computed twice, alike.
        begin = jnp.minimum(index * length, frames - length)
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, begin, axis=0),
            found,
            piece(begin),
        )

    shapes = jax.eval_shape(piece, jnp.asarray(0))
    empty = jax.tree.map(lambda part: jnp.zeros((frames, people), part.dtype), shapes)
    return jax.lax.fori_loop(0, -(-frames // length), step, empty)


class _Column(NamedTuple):
    """One column of every frame's rows: those of u, those of v (joints, frames, people), and those of
    damping.
    """

    u: Array
    v: Array
    damping: tuple[Array, ...] = ()

    def dot(self, other: "_Column") -> Array:
        # Joints are added one by one: XLA's reductions do not vectorise along frames and people on a CPU.
        products = self.u * other.u + self.v * other.v
        return sum(
            [*products, *(a * b for a, b in zip(self.damping, other.damping, strict=True))][1:], products[0]
        )

    def minus(self, other: "_Column", share: Array) -> "_Column":
        return _Column(
            self.u - other.u * share[None],
            self.v - other.v * share[None],
            tuple(a - b * share for a, b in zip(self.damping, other.damping, strict=True)),
        )


def _reduce_rows(columns: list[_Column], damping_root: Array) -> list[list[Array]]:
    """QR of every frame's rows [J | r], with [sqrt(damping) I | 0] below, by modified Gram-Schmidt: with the
    right-hand side carried along as a column it solves least squares as stably as reflections do.

    columns: the three of J and r. Returns R's entries (frames, people): row k holds columns k to 3.
    """
    frames = jnp.zeros(columns[0].u.shape[1:], damping_root.dtype)
    strength = frames + damping_root[None]
    columns = [
        column._replace(damping=tuple(strength if row == k else frames for row in range(3)))
        for k, column in enumerate(columns)
    ]
    triangle = []
    for k in range(3):
        norm = jnp.sqrt(columns[k].dot(columns[k]))
        divisor = jnp.where(norm == 0, jnp.ones_like(norm), norm)
        row = [norm]
        for j in range(k + 1, 4):
            # Dividing last makes XLA store the sum over joints instead of computing it again at every use.
            overlap = columns[k].dot(columns[j]) / divisor
            columns[j] = columns[j].minus(columns[k], overlap / divisor)
            row.append(overlap)
        triangle.append(row)
    return triangle


def _chain(params: Array, triangle: list[list[Array]], terms: _Terms) -> ChainRows:
    """Joins every frame's three rows with the smoothness rows, two frames a block."""
    blocks, _, people = params.shape
    frames, dtype = terms.joints.x.shape[1], params.dtype
    spare = _spare_frames(frames)

    def pairs(values: Array, filling: int) -> Array:
        """(frames, people) -> (blocks, 2, people)"""
        return jnp.pad(values, (spare, (0, 0)), constant_values=filling).reshape(blocks, 2, people)

    # A spare frame has its own rows only: x = 0.
    entries = [[pairs(value, int(j == 0)) for j, value in enumerate(row)] for row in triangle]
    zero = jnp.zeros((blocks, people), dtype)
    own = [
        [zero] * (3 * frame + k)
        + [value[:, frame] for value in entries[k][:-1]]
        + [zero] * (3 - 3 * frame)
        + [entries[k][-1][:, frame]]
        for frame in range(2)
        for k in range(3)
    ]

    padded = params.reshape(-1, 3, people)
    velocity = padded[1:] - padded[:-1]
    change = velocity[1:] - velocity[:-1]
    # The last velocity's change would reach into the spare frame behind, and weighs nothing.
    speed, turn = (MILLIMETRES * jnp.pad(value, (spare[0], 0)) for value in (terms.speed, terms.turn))
    rhs = -(speed[:, None, None] * velocity[:-1] + turn[:, None, None] * change)

    def pattern(stencil: tuple[int, ...]) -> Array:
        """The stencil from the first and from the second frame of a block, for x, y and z: (2, 3, 12)."""
        rows = [np.kron(np.roll([*stencil, 0], start), np.eye(3)) for start in range(2)]
        return jnp.asarray(np.stack(rows), dtype)[None]

    shared = speed.reshape(-1, 2, 1, 1) * pattern((-1, 1, 0)) + turn.reshape(-1, 2, 1, 1) * pattern(
        (1, -2, 1)
    )
    return ChainRows(
        jnp.stack([jnp.stack(row, axis=1) for row in own], axis=1),
        jnp.zeros((blocks, 0, 7, people), dtype),
        SharedLinks(shared.reshape(blocks - 1, 6, 12, 1), rhs.reshape(blocks - 1, 6, people)),
    )
