"""The rows of Eq. 9: its residuals, and every frame's joints reduced to three rows for the chain."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from solvers.block_banded import BandedLinks, ChainRows, absorb
from solvers.gauss_newton import Comparison, WeightedResiduals, compare_residuals, zero_tangent
from solvers.pinhole import (
    MIN_DEPTH,
    Intrinsics,
    jacobian_components,
    normalize_components,
    project_components,
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

# Frames times people that a core's cache holds while their joints are summed, and while they are laid out.
SUM_CHUNK = 4096
LAYOUT_CHUNK = 1024


# Three components.
Vector = tuple[Array, Array, Array]


class Joints(NamedTuple):
    """Poses, keypoints and weight by component, (joints, frames, people). visible is the weight of the
    joint's squared error: 1, or its confidence; hidden joints are zeros with weight 0.
    """

    x: Array
    y: Array
    z: Array
    u: Array
    v: Array
    visible: Array


class CameraPath(NamedTuple):
    """Where the camera is, for roots in world axes: rotation (9, frames or 1, people), R from world to camera
    axes row by row, and position (3, frames or 1, people), metres from where the solver has its origin.
    """

    rotation: Array
    position: Array


class Summary(NamedTuple):
    """What a frame's visible joints say together, (frames, people).

    shown: how many there are, whatever they weigh; centre: their mean, zeros without any; nearest:
    their least depth from the root in metres, infinite without any; largest: the largest keypoint coordinate.
    """

    shown: Array
    centre: Joints
    nearest: Array
    largest: Array


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


class Terms(NamedTuple):
    """What Eq. 9 needs. The camera's numbers are (1, frames or 1, people); the weights are (3,), one for each
    axis; speed and turn (frames - 1, 3) are those of `factored_smoothness`; centre (frames, people) is the
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
) -> Terms:
    """Everything about a clip that its solution needs at every step; a weight is one number or three."""
    velocity_weight, acceleration_weight = (
        jnp.broadcast_to(weight, (3,)) for weight in (velocity_weight, acceleration_weight)
    )
    return Terms(
        joints,
        camera,
        velocity_weight,
        acceleration_weight,
        *factored_smoothness(joints.x.shape[1], velocity_weight, acceleration_weight, begin),
        centre=summary.centre,
        magnitude=jnp.max(summary.largest, axis=0),
        path=path,
        loss=loss,
        begin=begin,
        prior=prior,
    )


@jax.custom_jvp
def lay_out(
    poses: Array, keypoints: Array, occluded: Array, confidence: Array | None = None
) -> tuple[Joints, Array]:
    """People last: from poses (people, frames, joints, 3), keypoints (..., 2), occluded and confidence
    (people, frames, joints) to `Joints` with zeros where hidden or of confidence 0, and whether (1, frames,
    people) no visible joint is NaN or infinite or has a negative confidence. Frames are transposed a few at a
    time, in the processor's cache.
    """

    def piece(begin: Array, length: int) -> tuple[Joints, Array]:
        # Whole arrays: taking components before or in the transposition is many times slower.
        def cut(values: Array) -> Array:
            return jnp.transpose(jax.lax.dynamic_slice_in_dim(values, begin, length, axis=1))

        points, pixels, hidden = (cut(values) for values in (poses, keypoints, occluded))
        trust = None if confidence is None else cut(confidence)
        finite = jnp.all(jnp.isfinite(points), axis=0) & jnp.all(jnp.isfinite(pixels), axis=0)
        if trust is not None:
            finite = finite & jnp.isfinite(trust) & (trust >= 0)
            hidden = hidden | (trust == 0)
        visible = finite & ~hidden
        x, y, z = jnp.where(visible[None], points, 0)
        u, v = jnp.where(visible[None], pixels, 0)
        sound = jnp.all(finite | hidden, axis=0, keepdims=True)
        weight = visible.astype(points.dtype) if trust is None else jnp.where(visible, trust, 0)
        return Joints(x, y, z, u, v, weight), sound

    people, frames, *_ = poses.shape
    return _by_chunks(piece, frames, max(1, LAYOUT_CHUNK // people), axis=1)


@lay_out.defjvp
def _lay_out_jvp(primals: Any, tangents: Any) -> Any:
    # Chunks would make the way back sum a whole array for each of them.
    joints, sound = lay_out(*primals)
    seen = joints.visible > 0
    (x, y, z), (u, v) = (jnp.where(seen[None], jnp.transpose(values), 0) for values in tangents[:2])
    trust = tangents[3] if len(tangents) > 3 else None
    weight = jnp.zeros_like(joints.visible) if trust is None else jnp.where(seen, jnp.transpose(trust), 0)
    still = zero_tangent(sound)
    return (joints, sound), (Joints(x, y, z, u, v, weight), still)


def summarize(joints: Joints) -> Summary:
    """The summary of every frame, which has no derivatives."""

    def one(joint: Joints) -> tuple[Joints, Array, Array]:
        seen = joint.visible > 0
        depth = jnp.where(seen, joint.z, jnp.inf)
        counted = joint._replace(visible=seen.astype(joint.x.dtype))
        return counted, depth, jnp.maximum(jnp.abs(joint.u), jnp.abs(joint.v))

    def join(sums: tuple[Joints, Array, Array], more: tuple[Joints, Array, Array]) -> Any:
        total = jax.tree.map(jnp.add, sums[0], more[0])
        return total, jnp.minimum(sums[1], more[1]), jnp.maximum(sums[2], more[2])

    total, nearest, largest = fold_joints(one, jax.lax.stop_gradient(joints), join=join)
    share = 1 / jnp.maximum(total.visible, 1)
    return Summary(total.visible, jax.tree.map(lambda values: values * share, total), nearest, largest)


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


def smoothness_determinant(terms: Terms) -> Array:
    """log of the product of the non-zero eigenvalues of the smoothness rows' normal matrix, in metres: of
    D^T T D for each axis, with first differences D, where det(D D^T) is the number of frames.
    """
    frames = len(terms.speed) + 1
    diagonal = MILLIMETRES * (terms.speed - terms.turn)
    return 2 * jnp.sum(jnp.log(diagonal)) + 3 * jnp.log(jnp.asarray(frames, diagonal.dtype))


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


def smoothness(params: Array, terms: Terms) -> WeightedResiduals:
    frames, people = terms.joints.x.shape[1:]
    root = frames_of(params, frames)
    # Differences of neighbours are exact in floating point, and so are differences of those: no digits are
    # lost.
    velocity = root[1:] - root[:-1]
    acceleration = velocity[1:] - velocity[:-1]
    padded, front = params.reshape(-1, 3, people), _spare_frames(frames)[0]
    spare = jnp.concatenate([padded[:front], padded[front + frames :]])
    one = jnp.ones((1, 1, 1), root.dtype)
    velocity_weight, acceleration_weight = (
        weight[None, :, None] for weight in (terms.velocity_weight, terms.acceleration_weight)
    )
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


def flat(camera: Intrinsics) -> Intrinsics:
    """(1, frames or 1, people) -> (frames or 1, people)"""
    return jax.tree.map(lambda value: value[0], camera)


def points_of(root: Vector, joints: Joints) -> Vector:
    """Joints in camera axes; hidden ones stand one metre ahead, where nothing can go wrong."""
    seen = joints.visible > 0
    x, y, z = (
        jnp.where(seen, value + shift, jnp.full_like(value, ahead))
        for value, shift, ahead in zip(joints[:3], root, (0.0, 0.0, 1.0), strict=True)
    )
    return x, y, z


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

    def one(joint: Joints, camera: Intrinsics, middle: tuple[Array, Array]) -> list[Array]:
        a, b = normalize_components(joint.u, joint.v, camera)
        zero = jnp.zeros_like(a)
        scale_x, scale_y = camera.fx + zero, camera.fy + zero
        columns = (
            (scale_x, zero),
            (zero, scale_y),
            (scale_x * (middle[0] - a), scale_y * (middle[1] - b)),
            (scale_x * (a * joint.z - joint.x), scale_y * (b * joint.z - joint.y)),
        )
        return products_of(columns, joint.visible)

    middle = normalize_components(terms.centre.u, terms.centre.v, flat(terms.camera))
    start = jnp.zeros((frames, 3, people), terms.joints.x.dtype)
    products = fold_joints(one, terms.joints, flat(terms.camera), middle)
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


def fold_joints(
    function: Callable[..., Any],
    joints: Joints,
    *near: Any,
    join: Callable[[Any, Any], Any] = lambda sums, more: jax.tree.map(jnp.add, sums, more),
) -> Any:
    """function(joint, *near) of all joints, joined to one (their sum), computed joint by joint for as many
    frames as the processor's cache holds the results of. near and the results are trees of (frames or 1,
    people).
    """
    count, frames, people = joints.x.shape

    def piece(begin: Array, length: int) -> Any:
        def cut(values: Array) -> Array:
            return values if len(values) == 1 else jax.lax.dynamic_slice_in_dim(values, begin, length)

        around = jax.tree.map(cut, near)

        def one(index: Array) -> Any:
            at, size = (index, begin, jnp.zeros_like(begin)), (1, length, people)
            return function(Joints(*(jax.lax.dynamic_slice(v, at, size)[0] for v in joints)), *around)

        first = one(jnp.zeros_like(begin))
        return jax.lax.fori_loop(1, count, lambda k, sums: join(sums, one(k)), first)

    return _by_chunks(piece, frames, max(1, SUM_CHUNK // people))


def _by_chunks(piece: Callable[[Array, int], Any], frames: int, length: int, axis: int = 0) -> Any:
    """piece(begin, length), computed for ``length`` frames at a time: a tree of arrays whose ``axis`` counts
    frames.
    """
    if frames <= length:
        return piece(jnp.asarray(0), frames)

    def step(index: Array, found: Any) -> Any:
        # The last chunk goes back to be as long as the others: some frames are computed twice, alike.
        begin = jnp.minimum(index * length, frames - length)
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, begin, axis),
            found,
            piece(begin, length),
        )

    def empty(part: Any) -> Array:
        return jnp.zeros((*part.shape[:axis], frames, *part.shape[axis + 1 :]), part.dtype)

    shapes = jax.eval_shape(lambda begin: piece(begin, length), jnp.asarray(0))
    return jax.lax.fori_loop(0, -(-frames // length), step, jax.tree.map(empty, shapes))


def products_of(columns: Sequence[tuple[Array, Array]], visible: Array) -> list[Array]:
    """The inner products of a joint's columns that its frame's triangle needs: 00 01 02 03 11 12 13 22 23."""
    return [
        visible * (columns[i][0] * columns[j][0] + columns[i][1] * columns[j][1])
        for i in range(3)
        for j in range(i, 4)
    ]


def triangle_of(products: list[Array], middle: tuple[Array, Array], damping: Array) -> list[list[Array]]:
    """The triangle R (row k: columns k to 3) of every frame's rows [J | r] with [sqrt(damping) I | 0] below.

    Cholesky of the inner products loses no digits here, because of the columns they are of: those of
    movement across, along, and on the ray through the middle (a, b, 1) of the visible joints,

        J M,   M = [1 0 a; 0 1 b; 0 0 1]

    are all but orthogonal, however far away the person stands. R M^-1 then is the triangle of J.
    """
    a, b = middle
    damping = damping[None]
    p00, p01, p02, p03, p11, p12, p13, p22, p23 = products
    p00, p11 = p00 + damping, p11 + damping
    p02, p12, p22 = p02 + damping * a, p12 + damping * b, p22 + damping * (1 + a * a + b * b)

    def row(pivot: Array, *rest: Array) -> list[Array]:
        norm = jnp.sqrt(jnp.maximum(pivot, 0))
        divisor = jnp.where(norm > 0, norm, jnp.ones_like(norm))
        return [norm, *(jnp.where(norm > 0, value / divisor, jnp.zeros_like(norm)) for value in rest)]

    r00, r01, r02, r03 = row(p00, p01, p02, p03)
    r11, r12, r13 = row(p11 - r01 * r01, p12 - r01 * r02, p13 - r01 * r03)
    # Of a single joint, the column on the ray is rounding, as large as that of its parts, and not the same in
    # each of its products: divided by a pivot made of it, the right-hand side would be any number.
    rounding = (4 * jnp.finfo(p22.dtype).eps) ** 2 * (p00 * a * a + p11 * b * b)
    pivot = p22 - r02 * r02 - r12 * r12
    r22, r23 = row(jnp.where(pivot > rounding, pivot, 0), p23 - r02 * r03 - r12 * r13)
    return [[r00, r01, r02 - r00 * a - r01 * b, r03], [r11, r12 - r11 * b, r13], [r22, r23]]


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
    change = velocity[1:] - velocity[:-1]
    # The last velocity's change would reach into the spare frame behind, and weighs nothing.
    speed, turn = (
        MILLIMETRES * jnp.pad(value, ((spare[0], 0), (0, 0)))[:, :, None]
        for value in (terms.speed, terms.turn)
    )
    rhs = -(speed * velocity[:-1] + turn * change)

    def stencil(*weights: int) -> Array:
        return jnp.asarray(np.kron(weights, np.eye(3)), dtype)[None]

    shared = speed * stencil(-1, 1, 0) + turn * stencil(1, -2, 1)
    return ChainRows(
        own,
        inner,
        BandedLinks(shared.reshape(blocks - 1, 2, 3, 9, 1), rhs.reshape(blocks - 1, 2, 3, people)),
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
