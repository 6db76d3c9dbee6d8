"""The rows of Eq. 9: its residuals, and every frame's joints reduced to three rows for the chain."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers.block_banded import BandedLinks, ChainRows, absorb
from solvers.gauss_newton import Comparison, WeightedResiduals, compare_residuals
from solvers.joints import (
    Joints,
    Summary,
    Vector,
    flat,
    fold_joints,
    points_of,
    products_of,
    triangle_of,
)
from solvers.pinhole import (
    MIN_DEPTH,
    Intrinsics,
    jacobian_components,
    normalize_components,
    project_components,
    widest_square,
)
from solvers.robust import SQUARED, Loss

# Eq. 9 adds squared pixels and squared millimetres: with lambda = 1 the two are then of one size (DESIGN,
# section 2).
MILLIMETRES = 1000.0

# The linear start weighs a frame's rows by the distance that they tell, drawn towards the person's mean
# distance as by joints that fix it to 6 cm with 2 px of noise: squared pixels per square metre.
DEPTH_PRIOR = 1000.0

# Metres: nobody is taken to start nearer to the camera.
NEAREST = 0.1


class CameraPath(NamedTuple):
    """Where the camera is, for roots in world axes: rotation (9, frames or 1, people), R from world to camera
    axes row by row, and position (3, frames or 1, people), metres from where the solver has its origin.
    """

    rotation: Array
    position: Array


class Prior(NamedTuple):
    """What frames before the clip say of its first two, as rows whose squares add to Eq. 9:

        |triangle (x - at) - right|^2,   x = (C_0, C_1)

    triangle (6, 6, people): upper triangular; right, at (6, people). at is near the answer, so that nothing
    cancels; zeros say nothing.
    """

    triangle: Array
    right: Array
    at: Array

    @classmethod
    def nothing(cls, people: int, dtype: Any) -> "Prior":
        none = jnp.zeros((6, people), dtype)
        return cls(jnp.zeros((6, 6, people), dtype), none, none)

    def missing(self, x: Array) -> Array:
        """right - triangle (x - at) of x (6, people)."""
        return self.right - jnp.sum(self.triangle * (x - self.at)[None], axis=1)


class Drift(NamedTuple):
    """What is known of how people move from each frame to the next, in the axes that are solved in.

    step (frames - 1, 3, people): metres, zero where nothing is known. weight (frames - 1, 3, people): of its
    squared error in square millimetres, lambda_1 where nothing is known. turn (frames - 1, 3, people): that
    of the change of this error from the step to the next, lambda_2; but zero where a step that is known meets
    one that is not, and on the last.
    """

    step: Array
    weight: Array
    turn: Array


class Terms(NamedTuple):
    """What Eq. 9 needs. The camera's numbers are (1, frames or 1, people); the weights are (3,), one for each
    axis, of which a drift takes the place; speed and turn (frames - 1, 3), or (frames - 1, 3, people) with a
    drift, are those of `factored_smoothness` or `factored_drift`; centre (frames, people) is the
    mean of the visible joints; magnitude (people,) is the largest keypoint, whose rounding limits the
    residuals; path is None where roots are in camera axes; loss is that of reprojection.

    A clip may begin late, at frame ``begin``: what stands before is held at zero and tied to nothing. It may
    have a prior on its first two frames, if their number is odd, so that those two are one block.
    """

    joints: Joints
    camera: Intrinsics
    velocity_weight: Array
    acceleration_weight: Array
    speed: Array
    turn: Array
    centre: Joints
    magnitude: Array
    path: CameraPath | None
    loss: Loss
    begin: Array | None = None
    prior: Prior | None = None
    drift: Drift | None = None


def make_terms(
    joints: Joints,
    summary: Summary,
    camera: Intrinsics,
    velocity_weight: Array,
    acceleration_weight: Array,
    path: CameraPath | None = None,
    loss: Loss = SQUARED,
    begin: Array | None = None,
    prior: Prior | None = None,
    drift: Drift | None = None,
) -> Terms:
    """Everything about a clip that its solution needs at every step; a weight is one number or three."""
    velocity_weight, acceleration_weight = (
        jnp.broadcast_to(weight, (3,)) for weight in (velocity_weight, acceleration_weight)
    )
    if drift is None:
        factored = factored_smoothness(joints.x.shape[1], velocity_weight, acceleration_weight, begin)
    else:
        factored = factored_drift(drift, begin)
    return Terms(
        joints,
        camera,
        velocity_weight,
        acceleration_weight,
        *factored,
        centre=summary.centre,
        magnitude=jnp.max(summary.largest, axis=0),
        path=path,
        loss=loss,
        begin=begin,
        prior=prior,
        drift=drift,
    )


def factored_smoothness(
    frames: int, velocity_weight: Array, acceleration_weight: Array, begin: Array | None = None
) -> tuple[Array, Array]:
    """One smoothness row a frame and axis in place of two: g and e, (frames - 1, 3) for weights (3,), with

        sum_k |g_k v_k + e_k (v_{k+1} - v_k)|^2 = lambda_1 sum |v_k|^2 + lambda_2 sum |v_{k+1} - v_k|^2

    for all velocities v_k = C_{k+1} - C_k. The right-hand side is v^T T v with a tridiagonal T whose
    Cholesky factor has the diagonal d_k and, beside it, e_k = -lambda_2 / d_k, where, with t_0 = 0,

        d_k^2 = t_k + lambda_1 + lambda_2,   t_{k+1} = lambda_2 (t_k + lambda_1) / d_k^2

    and d^2 = t + lambda_1 in the last row. g_k = d_k + e_k = (t_k + lambda_1) / d_k without cancellation.
    t_k is written out: with the fixed points p and -m of the recursion, (t_k - p) / (t_k + m) falls by a
    constant factor a frame. The sums, and t_k = 0, begin at frame ``begin``; rows before it are zeros.
    """
    # The implicit derivatives are those of the cost, not of its rows.
    first, second = (jax.lax.stop_gradient(w)[None] for w in (velocity_weight, acceleration_weight))
    total = first + second
    unit = jnp.where(total > 0, total, jnp.ones_like(total))
    first, second = first / unit, second / unit
    spread = jnp.sqrt(first * (first + 4 * second))  # p + m
    upper = jnp.where(first > 0, (first + spread) / 2, jnp.ones_like(first))  # m
    point = first * second / upper  # p
    count = jnp.arange(frames - 1, dtype=first.dtype)[:, None]
    last = count == frames - 2
    if begin is not None:
        count = count - begin.astype(count.dtype)
    fall = jnp.log1p(-jnp.where(first > 0, spread / (second + upper), jnp.zeros_like(first)))
    power = jnp.where(count <= 0, 0, count * fall)
    t = -point * jnp.expm1(power) / (1 + jnp.exp(power) * point / upper)
    diagonal = jnp.sqrt(t + first + jnp.where(last, jnp.zeros_like(second), second))
    divisor = jnp.where(diagonal > 0, diagonal, jnp.ones_like(diagonal))
    scale = jnp.sqrt(total)
    speed, turn = scale * (t + first) / divisor, jnp.where(last, 0, -scale * second / divisor)
    if begin is None:
        return speed, turn
    return jnp.where(count < 0, 0, speed), jnp.where(count < 0, 0, turn)


def factored_drift(drift: Drift, begin: Array | None = None) -> tuple[Array, Array]:
    """`factored_smoothness` where weights differ from step to step and person to person: g and e,
    (frames - 1, 3, people), by its recursion as it stands, one step after the other.
    """
    first, second = jax.lax.stop_gradient((drift.weight, drift.turn))
    if begin is not None:
        within = (jnp.arange(len(first)) >= begin)[:, None, None]
        first, second = jnp.where(within, first, 0), jnp.where(within, second, 0)

    def step(t: Array, weights: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        first, second = weights
        square = t + first + second
        diagonal = jnp.sqrt(jnp.where(square > 0, square, 1))
        share = (t + first) / diagonal
        return second * share / diagonal, (share, -second / diagonal)

    _, factored = jax.lax.scan(step, jnp.zeros_like(first[0]), (first, second))
    return factored


def smoothness_determinant(terms: Terms) -> Array:
    """log of the product of the non-zero eigenvalues of the smoothness rows' normal matrix, in metres: of
    D^T T D for each axis, with first differences D, where det(D D^T) is the number of frames.
    """
    frames = jnp.asarray(len(terms.speed) + 1)
    diagonal = MILLIMETRES * (terms.speed - terms.turn)
    if terms.begin is not None:
        frames = frames - terms.begin
        before = (jnp.arange(len(diagonal)) < terms.begin).reshape(-1, *[1] * (diagonal.ndim - 1))
        diagonal = jnp.where(before, jnp.ones_like(diagonal), diagonal)
    return 2 * jnp.sum(jnp.log(diagonal), axis=(0, 1)) + 3 * jnp.log(frames.astype(diagonal.dtype))


def _spare_frames(frames: int) -> tuple[int, int]:
    """Frames that are added before and behind the clip, which nothing but their own rows see: blocks are
    two frames, and the last velocity has to lie between two blocks, not within one.
    """
    return 1 - frames % 2, 1


def blocks_of(root: Array) -> Array:
    """(frames, 3, people) -> (blocks, 6, people): a block is two frames, so that accelerations couple
    neighbours only.
    """
    frames, _, people = root.shape
    return jnp.pad(root, (_spare_frames(frames), (0, 0), (0, 0))).reshape(-1, 6, people)


def frames_of(blocks: Array, frames: int) -> Array:
    """(blocks, 6, people) -> (frames, 3, people), and of blocks' covariances (blocks, 6, 6, people) those of
    frames, (frames, 3, 3, people).
    """
    front, _ = _spare_frames(frames)
    people = blocks.shape[-1]
    if blocks.ndim == 3:
        both = blocks.reshape(-1, 3, people)
    else:
        both = jnp.stack([blocks[:, :3, :3], blocks[:, 3:, 3:]], axis=1).reshape(-1, 3, 3, people)
    return both[front : front + frames]


def to_camera(root: Array, path: CameraPath | None) -> Array:
    """(frames, 3, people) in the axes that are solved in, to camera axes: R (C - c)."""
    if path is None:
        return root
    x, y, z = jnp.moveaxis(root - jnp.swapaxes(path.position, 0, 1), 1, 0)
    return jnp.stack([_dot(path.rotation[3 * k : 3 * k + 3], (x, y, z)) for k in range(3)], axis=1)


def from_camera(root: Array, path: CameraPath | None) -> Array:
    """The inverse of `to_camera`: R^T C + c."""
    if path is None:
        return root
    components = jnp.moveaxis(root, 1, 0)
    turned = jnp.stack([_dot(path.rotation[k::3], components) for k in range(3)], axis=1)
    return turned + jnp.swapaxes(path.position, 0, 1)


def _dot(left: Sequence[Array] | Array, right: Sequence[Array] | Array) -> Array:
    """Three products, not a matmul: accelerators run float32 matmuls at reduced precision by default."""
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def residuals(params: Array, terms: Terms) -> WeightedResiduals:
    """The rows of Eq. 9: reprojection in pixels, first and second differences in millimetres.

    A robust loss multiplies a joint's weight by its share rho / e^2: 1/2 sum w r^2 is the robust cost.
    """
    joints = terms.joints
    root = to_camera(frames_of(params, joints.x.shape[1]), terms.path)
    u, v = project_components(
        *points_of((root[None, :, 0], root[None, :, 1], root[None, :, 2]), joints), terms.camera
    )
    u, v = u - joints.u, v - joints.v
    weight = joints.visible * terms.loss.share(u * u + v * v)
    smooth = smoothness(params, terms)
    return WeightedResiduals(
        values=(u, v, *smooth.values),
        weights=(weight, weight, *smooth.weights),
        magnitude=terms.magnitude,
    )


def reprojection_error(root: Array, terms: Terms) -> Array:
    """Root mean square distance (frames, people) of the visible joints from their keypoints, pixels, for a
    root (frames, 3, people); without derivatives, as a distance of zero has none.
    """
    root, terms = jax.lax.stop_gradient((root, terms))

    def one(joint: Joints, camera: Intrinsics, root: Vector) -> tuple[Array, Array]:
        u, v = project_components(*points_of(root, joint), camera)
        u, v, seen = u - joint.u, v - joint.v, joint.visible > 0
        return jnp.where(seen, u * u + v * v, 0), seen.astype(u.dtype)

    x, y, z = jnp.moveaxis(to_camera(root, terms.path), 1, 0)
    total, count = fold_joints(one, terms.joints, flat(terms.camera), (x, y, z))
    return jnp.sqrt(total / jnp.maximum(count, 1))


def smoothness(params: Array, terms: Terms) -> WeightedResiduals:
    frames, people = terms.joints.x.shape[1:]
    root = frames_of(params, frames)
    # Differences of neighbours are exact in floating point, and so are differences of those: no digits are
    # lost.
    velocity = root[1:] - root[:-1]
    if terms.drift is not None:
        velocity = velocity - terms.drift.step
    acceleration = velocity[1:] - velocity[:-1]
    padded, front = params.reshape(-1, 3, people), _spare_frames(frames)[0]
    spare = jnp.concatenate([padded[:front], padded[front + frames :]])
    one = jnp.ones((1, 1, 1), root.dtype)
    velocity_weight, acceleration_weight = (
        weight[None, :, None] for weight in (terms.velocity_weight, terms.acceleration_weight)
    )
    if terms.drift is not None:
        velocity_weight, acceleration_weight = terms.drift.weight, terms.drift.turn[:-1]
    if terms.begin is not None:
        # A difference that reaches before the beginning weighs nothing.
        within = (jnp.arange(frames - 1) >= terms.begin)[:, None, None]
        velocity_weight = jnp.where(within, velocity_weight, 0)
        acceleration_weight = jnp.where(within[:-1], acceleration_weight, 0)
    values: tuple[Array, ...] = (MILLIMETRES * velocity, MILLIMETRES * acceleration, spare)
    weights: tuple[Array, ...] = (velocity_weight, acceleration_weight, one)
    if terms.prior is not None:
        values = (*values, terms.prior.missing(params[0])[:, None])
        weights = (*weights, one)
    return WeightedResiduals(values, weights, terms.magnitude)


def compare(params: Array, trial: Array, terms: Terms) -> Comparison:
    """The cost of `residuals` at two places, in one pass over the joints."""
    return compare_scaled(params, trial, terms, terms.camera)


def compare_scaled(
    params: Array, trial: Array, terms: Terms, camera: Intrinsics, growth: Array | None = None
) -> Comparison:
    """`compare` where the second place is seen by another camera, and poses there are ``growth`` (people,)
    times as large.
    """

    def one(
        joint: Joints, cameras: tuple[Intrinsics, ...], growth: Array | None, roots: tuple[Vector, Vector]
    ) -> tuple[Array, Array, Array]:
        grown = joint
        if growth is not None:
            grown = joint._replace(x=growth * joint.x, y=growth * joint.y, z=growth * joint.z)
        (old_u, old_v), (u, v) = (
            project_components(*points_of(root, at), camera)
            for root, at, camera in zip(roots, (joint, grown), cameras, strict=True)
        )
        old_u, old_v, u, v = old_u - joint.u, old_v - joint.v, u - joint.u, v - joint.v
        before, after = old_u * old_u + old_v * old_v, u * u + v * v
        change = (old_u - u) * (old_u + u) + (old_v - v) * (old_v + v)
        decrease = terms.loss.decrease(before, after, change)
        costs = [joint.visible * (terms.loss.share(square) * square) for square in (before, after)]
        return joint.visible * decrease, costs[0], costs[1]

    roots = components(params, terms), components(trial, terms)
    cameras = flat(terms.camera), flat(camera)
    sums = fold_joints(one, terms.joints, cameras, None if growth is None else growth[None], roots)
    seen = Comparison(*(jnp.sum(values, axis=0) / 2 for values in sums))
    smooth = compare_residuals(smoothness(params, terms), smoothness(trial, terms))
    return jax.tree.map(jnp.add, seen, smooth)


def components(params: Array, terms: Terms) -> Vector:
    """The roots in camera axes, (frames, people) each."""
    root = to_camera(frames_of(params, terms.joints.x.shape[1]), terms.path)
    return root[:, 0], root[:, 1], root[:, 2]


def linearize(params: Array, damping: Array, terms: Terms) -> ChainRows:
    """The rows of Eq. 9 at ``params``: each frame's joints are reduced to three rows before the chain sees
    them. A robust loss multiplies a joint's weight by its slope: the gradient is that of the robust cost.
    """
    return chain_of(params, _reprojection(components(params, terms), damping, terms), terms)


def _reprojection(root: Vector, damping: Array, terms: Terms) -> list[list[Array]]:
    """The triangle of every frame's visible joints, see `triangle_of`, with the root in camera axes."""

    def one(joint: Joints, camera: Intrinsics, root: Vector, middle: tuple[Array, Array]) -> list[Array]:
        points = points_of(root, joint)
        u, v = project_components(*points, camera)
        (u_x, u_y, u_z), (v_x, v_y, v_z) = jacobian_components(*points, camera)
        columns = (
            (u_x, v_x),
            (u_y, v_y),
            (u_z + u_x * middle[0] + u_y * middle[1], v_z + v_x * middle[0] + v_y * middle[1]),
            (joint.u - u, joint.v - v),
        )
        error_u, error_v = columns[3]
        slope = terms.loss.slope(error_u * error_u + error_v * error_v)
        return products_of(columns, joint.visible * slope)

    middle = middle_of(root, terms)
    products = fold_joints(one, terms.joints, flat(terms.camera), root, middle)
    return triangle_of(products, middle, damping)


def middle_of(root: Vector, terms: Terms) -> tuple[Array, Array]:
    """(a, b) of the ray (a, b, 1) through the middle of every frame's visible joints."""
    depth = terms.centre.z + root[2]
    depth = jnp.where(depth > MIN_DEPTH, depth, jnp.ones_like(depth))
    return (terms.centre.x + root[0]) / depth, (terms.centre.y + root[1]) / depth


def eliminate_first(root: Array, first: Terms, prior: Prior) -> Prior:
    """What a clip's first frame, and the prior on its first two, say of the second and third: the rows that
    hold C_0, linearised at ``root`` and turned by reflections until only the first three do,

        | prior            .  | b |        | * * * | * |
        | joints   .       .  | b |   ->   | . R R | r |
        | velocity         .  | b |        | . . R | r |
        | acceleration        | b |

    root (3, 3, people): the clip's first three roots; first: its first frame alone.
    """
    people, dtype = root.shape[-1], root.dtype
    damping = jnp.zeros(people, dtype)
    camera_root = to_camera(root[:1], first.path)
    triangle = _reprojection((camera_root[:, 0], camera_root[:, 1], camera_root[:, 2]), damping, first)
    if first.path is None:
        zero = jnp.zeros_like(triangle[0][0])
        joints = jnp.stack([jnp.stack([zero] * k + row, axis=1) for k, row in enumerate(triangle)], axis=1)
    else:
        joints = _turned(triangle, first.path)

    def wide(rows: Array, right: Array) -> Array:
        """(rows, 9 or fewer, people) and (rows, people) -> (rows, 10, people)"""
        rows = jnp.pad(rows, ((0, 0), (0, 9 - rows.shape[1]), (0, 0)))
        return jnp.concatenate([rows, right[:, None]], axis=1)

    def smooth(stencil: tuple[int, ...], weight: Array) -> Array:
        scale = (MILLIMETRES * jnp.sqrt(weight))[:, None]
        rows = scale * jnp.asarray(np.kron(stencil, np.eye(3)), dtype)
        # Differences of differences, see `smoothness`.
        change = root[1] - root[0] if len(stencil) == 2 else (root[2] - root[1]) - (root[1] - root[0])
        return wide(jnp.broadcast_to(rows[..., None], (*rows.shape, people)), -scale * change)

    known = wide(prior.triangle, prior.missing(root[:2].reshape(6, people)))
    turned, _ = absorb(
        [*known, *jnp.zeros((3, 10, people), dtype)],
        jnp.concatenate(
            [
                wide(joints[0, :, :3], joints[0, :, 3]),
                smooth((-1, 1), first.velocity_weight),
                smooth((1, -2, 1), first.acceleration_weight),
            ]
        ),
        unroll=False,
    )
    # Before the diagonal stands rounding.
    rows = [jnp.pad(row[k:-1], ((k - 3, 0), (0, 0))) for k, row in enumerate(turned) if k >= 3]
    return Prior(jnp.stack(rows), jnp.stack([row[-1] for row in turned[3:]]), root[1:].reshape(6, people))


def linear_rows(terms: Terms) -> ChainRows:
    """f (X + C)_xy = (u - c) (Z + C_z): reprojection with the depth cleared, and the smoothness of Eq. 9.

    Divided by the distance, as far as the frame itself tells it, its rows are those of reprojection.
    """
    _, frames, people = terms.joints.x.shape

    def one(
        joint: Joints, camera: Intrinsics, limit: Array | None, middle: tuple[Array, Array]
    ) -> list[Array]:
        a, b = normalize_components(joint.u, joint.v, camera, limit)
        zero = jnp.zeros_like(a)
        scale_x, scale_y = camera.fx + zero, camera.fy + zero
        columns = (
            (scale_x, zero),
            (zero, scale_y),
            (scale_x * (middle[0] - a), scale_y * (middle[1] - b)),
            (scale_x * (a * joint.z - joint.x), scale_y * (b * joint.z - joint.y)),
        )
        return products_of(columns, joint.visible)

    camera = flat(terms.camera)
    limit = widest_square(camera)
    middle = normalize_components(terms.centre.u, terms.centre.v, camera, limit)
    start = jnp.zeros((frames, 3, people), terms.joints.x.dtype)
    products = fold_joints(one, terms.joints, camera, limit, middle)
    triangle = triangle_of(products, middle, jnp.zeros(people, start.dtype))
    share = 1 / _distance(triangle[2], terms.centre.z)
    rows = [[share * value for value in row] for row in triangle]
    if terms.path is not None:
        # The unknown of these rows is the root before the camera; that of the chain is zero where it stands
        # in the world's origin.
        offset = jnp.moveaxis(to_camera(start, terms.path), 1, 0)
        rows = [
            [*row[:-1], row[-1] - sum(v * offset[k + j] for j, v in enumerate(row[:-1]))]
            for k, row in enumerate(rows)
        ]
    return chain_of(blocks_of(start), rows, terms)


def _distance(along: list[Array], offset: Array) -> Array:
    """Every frame's distance in metres (frames, people) from the last row of its triangle, that of movement
    on the ray, whose entries are in pixels times metres; offset is that of the visible joints from the root.
    """
    pivot, right = along
    total = jnp.sum(pivot * pivot, axis=0, keepdims=True)
    mean = jnp.sum(pivot * (right + pivot * offset), axis=0, keepdims=True) / jnp.where(total > 0, total, 1)
    mean = jnp.where(total > 0, jnp.maximum(jnp.abs(mean), NEAREST), 1)
    prior = DEPTH_PRIOR * mean * mean
    found = (pivot * right + prior * (mean - offset)) / (pivot * pivot + prior) + offset
    return jnp.maximum(jnp.abs(found), NEAREST)


def _turned(triangle: list[list[Array]], path: CameraPath) -> Array:
    """[T R | r] of every frame, (frames, 3, 4, people), from the rows [T | r] in camera axes."""
    rows = []
    for k, (*entries, right) in enumerate(triangle):
        turned = [
            sum(value * path.rotation[3 * (k + j) + axis] for j, value in enumerate(entries))
            for axis in range(3)
        ]
        rows.append(jnp.stack([*turned, right], axis=1))
    return jnp.stack(rows, axis=1)


def chain_of(params: Array, triangle: list[list[Array]], terms: Terms) -> ChainRows:
    """Joins every frame's three rows with the smoothness rows, two frames a block."""
    blocks, _, people = params.shape
    frames, dtype = terms.joints.x.shape[1], params.dtype
    spare = _spare_frames(frames)

    def padded(values: Array, filling: int) -> Array:
        return jnp.pad(values, (spare, (0, 0)), constant_values=filling)

    inner = jnp.zeros((blocks, 0, 7, people), dtype)
    if terms.path is not None:
        # Turned to world axes the rows are no triangle any more.
        rows = _turned(triangle, terms.path)
        rows = jnp.pad(rows, (spare, (0, 0), (0, 0), (0, 0))).reshape(blocks, 2, 3, 4, people)
        inner = jnp.zeros((blocks, 6, 7, people), dtype)
        for frame in range(2):
            place = slice(3 * frame, 3 * frame + 3)
            inner = inner.at[:, place, place].set(rows[:, frame, :, :3])
            inner = inner.at[:, place, 6].set(rows[:, frame, :, 3])
        triangle = [[jnp.zeros_like(value) for value in row] for row in triangle]
    if terms.begin is not None:
        early = (jnp.arange(frames) < terms.begin)[:, None]
        triangle = [[jnp.where(early, int(j == 0), value) for j, value in enumerate(row)] for row in triangle]
    # A spare frame has its own rows only: x = 0.
    entries = [[padded(value, int(j == 0)) for j, value in enumerate(row)] for row in triangle]
    zero = jnp.zeros_like(entries[0][0])
    own = jnp.stack([jnp.stack([zero] * k + row, axis=1) for k, row in enumerate(entries)], axis=1)
    own = own.reshape(blocks, 2, 3, 4, people)
    if terms.prior is not None:
        own, inner = _with_prior(own, inner, terms.prior, params[0])

    root = params.reshape(-1, 3, people)
    velocity = root[1:] - root[:-1]
    if terms.drift is not None:
        velocity = velocity - jnp.pad(terms.drift.step, (spare, (0, 0), (0, 0)))
    change = velocity[1:] - velocity[:-1]
    # The last velocity's change would reach into the spare frame behind, and weighs nothing.
    speed, turn = (
        MILLIMETRES * jnp.pad(value, ((spare[0], 0), *[(0, 0)] * (value.ndim - 1)))
        for value in (terms.speed, terms.turn)
    )
    if terms.drift is None:
        speed, turn = speed[:, :, None], turn[:, :, None]
    rhs = -(speed * velocity[:-1] + turn * change)

    def stencil(*weights: int) -> Array:
        return jnp.asarray(np.kron(weights, np.eye(3)), dtype)[None, :, :, None]

    shared = speed[:, :, None] * stencil(-1, 1, 0) + turn[:, :, None] * stencil(1, -2, 1)
    return ChainRows(
        own,
        inner,
        BandedLinks(
            shared.reshape(blocks - 1, 2, 3, 9, shared.shape[-1]), rhs.reshape(blocks - 1, 2, 3, people)
        ),
    )


def _with_prior(own: Array, inner: Array, prior: Prior, first: Array) -> tuple[Array, Array]:
    """The prior's rows among those of the first block, which stands at ``first`` (6, people): those of its
    second frame alone join that frame's triangle, the other three are inner rows.
    """
    rows = jnp.concatenate([prior.triangle, prior.missing(first)[:, None]], axis=1)
    second, _ = absorb(list(own[0, 1]), rows[3:, 3:], unroll=False)
    triangle = jnp.stack([jnp.pad(row[k:], ((k, 0), (0, 0))) for k, row in enumerate(second)])
    more = jnp.pad(rows[None, :3], ((0, len(inner) - 1), (0, 0), (0, 0), (0, 0)))
    return own.at[0, 1].set(triangle), jnp.concatenate([inner, more], axis=1)
