"""Joints by component, people last: laid out, summed up frame by frame, reduced to three rows a frame."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.gauss_newton import zero_tangent
from solvers.pinhole import Intrinsics

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


class Summary(NamedTuple):
    """What a frame's visible joints say together, (frames, people).

    shown: how many there are, whatever they weigh; centre: their mean, zeros without any; nearest:
    their least depth from the root in metres, infinite without any; largest: the largest keypoint coordinate.
    """

    shown: Array
    centre: Joints
    nearest: Array
    largest: Array


@jax.custom_jvp
def lay_out(
    poses: Array,
    keypoints: Array,
    occluded: Array,
    confidence: Array | None = None,
    resizing: Array | None = None,
) -> tuple[Joints, Array]:
    """People last: from poses (people, frames, joints, 3), keypoints (..., 2), occluded and confidence
    (people, frames, joints) to `Joints` with zeros where hidden or of confidence 0, and whether (1, frames,
    people) no visible joint is NaN or infinite or has a negative confidence. resizing (1, frames or 1,
    people) multiplies the keypoints. Frames are transposed a few at a time, in the processor's cache.
    """

    def piece(begin: Array, length: int) -> tuple[Joints, Array]:
        # Whole arrays: taking components before or in the transposition is many times slower.
        def cut(values: Array) -> Array:
            return jnp.transpose(_part(values, begin, length, axis=1))

        points, pixels, hidden = (cut(values) for values in (poses, keypoints, occluded))
        trust = None if confidence is None else cut(confidence)
        finite = jnp.all(jnp.isfinite(points), axis=0) & jnp.all(jnp.isfinite(pixels), axis=0)
        if trust is not None:
            finite = finite & jnp.isfinite(trust) & (trust >= 0)
            hidden = hidden | (trust == 0)
        visible = finite & ~hidden
        x, y, z = jnp.where(visible[None], points, 0)
        u, v = jnp.where(visible[None], pixels, 0)
        if resizing is not None:
            still = resizing.shape[1] == 1
            by = resizing if still else _part(resizing, begin, length, axis=1)
            u, v = u * by, v * by
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
    trust, growth = (*tangents[3:], None, None)[:2]
    weight = jnp.zeros_like(joints.visible) if trust is None else jnp.where(seen, jnp.transpose(trust), 0)
    if growth is not None:
        resizing = primals[4]
        u, v = (
            moved * resizing + value * (growth / resizing) for moved, value in ((u, joints.u), (v, joints.v))
        )
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

    total, nearest, largest = fold_joints(
        one, jax.lax.stop_gradient(joints), join=join, begin_with=(0.0, jnp.inf, 0.0)
    )
    share = 1 / jnp.maximum(total.visible, 1)
    return Summary(total.visible, jax.tree.map(lambda values: values * share, total), nearest, largest)


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


def fold_joints(
    function: Callable[..., Any],
    joints: Joints,
    *near: Any,
    join: Callable[[Any, Any], Any] = lambda sums, more: jax.tree.map(jnp.add, sums, more),
    begin_with: Any = 0.0,
) -> Any:
    """function(joint, *near) of all joints, joined to one (their sum), computed joint by joint for as many
    frames as the processor's cache holds the results of. near and the results are trees of (frames or 1,
    people); begin_with is what joining leaves alone: one number, or a tree of them.
    """
    count, frames, people = joints.x.shape

    def piece(begin: Array, length: int) -> Any:
        def cut(values: Array) -> Array:
            return values if len(values) in (1, length) else _part(values, begin, length)

        around = jax.tree.map(cut, near)

        def one(index: Array) -> Any:
            at, size = (index, begin, jnp.zeros_like(begin)), (1, length, people)
            # None of the three is negative: looking whether they are was a tenth of a solve's operations.
            cuts = (jax.lax.dynamic_slice(v, at, size, allow_negative_indices=False) for v in joints)
            return function(Joints(*(jax.lax.squeeze(v, (0,)) for v in cuts)), *around)

        def filled(number: float, shapes: Any) -> Any:
            return jax.tree.map(lambda like: jnp.full(like.shape, number, like.dtype), shapes)

        # Not from the first joint's results: the function would be compiled twice.
        nothing = jax.tree.map(filled, begin_with, jax.eval_shape(one, begin))
        return jax.lax.fori_loop(0, count, lambda k, sums: join(sums, one(k)), nothing)

    return _by_chunks(piece, frames, max(1, SUM_CHUNK // people))


def _part(values: Array, begin: Array, length: int, axis: int = 0) -> Array:
    """``length`` entries from ``begin`` on, which is not negative."""
    return jax.lax.dynamic_slice_in_dim(values, begin, length, axis, allow_negative_indices=False)


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
