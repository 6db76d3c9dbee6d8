"""The pinhole camera of Eq. 5 with OpenCV's lens distortion: projection, its Jacobian, and the way back to
rays.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

# Nearer points have no useful image: they are projected as if they lay at this depth, so that values and
# gradients stay finite at and behind the camera plane.
MIN_DEPTH = 1e-3

# Rounds of the bracketed Newton iteration that undoes radial distortion, and of the one that then undoes the
# tangential, which is small: ordinary lenses take three and two to float64's last digits.
RADIAL_ROUNDS = 16
TANGENTIAL_ROUNDS = 5

# r^2 of the widest ray that is looked for, 84 degrees off the axis.
WIDEST = 100.0

# What slopes and Jacobians of the lens are taken for at least, where they are divided by.
MIN_AREA = 1e-4

# A ray is one when it projects to within this many pixels of its keypoint.
RAY_TOLERANCE = 0.05


class Camera(NamedTuple):
    """Intrinsics in pixels. Leading axes, where present, match the leading axes of the points (people, then
    frames).

    focal (..., 2): f_x, f_y, positive.
    center (..., 2): principal point c_x, c_y; the image origin is its top left corner.
    radial (..., 3): OpenCV's k1, k2, k3, or None.
    tangential (..., 2): OpenCV's p1, p2, or None. They enter with OpenCV's factor 2, which VideoPose3D's
    Human3.6M
        code drops: halve nothing when the numbers come from OpenCV.
    """

    focal: Any
    center: Any
    radial: Any = None
    tangential: Any = None


class Extrinsics(NamedTuple):
    """A camera's pose in the world on every frame, or on one frame (F = 1) for a camera that does not move:
    x_camera = R (x_world - c).

    rotation: (..., F, 3, 3) from world to camera axes; the rows are the camera's right, down and forward
        directions.
    position: (..., F, 3) the camera's centre c in world metres.
    """

    rotation: Any
    position: Any


def project(points: Float[Array, "*batch 3"], camera: Camera) -> Float[Array, "*batch 2"]:
    """u = f_x x'' + c_x, v = f_y y'' + c_y of Eq. 5, where (x'', y'') is (X/Z, Y/Z) after distortion:

        x'' = x'(1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x'y' + p2 (r^2 + 2x'^2),    r^2 = x'^2 + y'^2
        y'' = y'(1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2y'^2) + 2 p2 x'y'

    points are metres in camera axes (x right, y down, z forward); the result is pixels. A point nearer than
    `MIN_DEPTH`, or behind the camera, is projected as if at `MIN_DEPTH`: finite, but no image of anything.
    Mask such points by their depth. Raises ValueError when the camera's leading axes do not match those of
    the points.
    """
    intrinsics = _align(camera, points)
    u, v = project_components(points[..., 0], points[..., 1], points[..., 2], intrinsics)
    return jnp.stack([u, v], axis=-1)


def project_jacobian(points: Float[Array, "*batch 3"], camera: Camera) -> Float[Array, "*batch 2 3"]:
    """d(u, v) / d(X, Y, Z) of `project`, in pixels per metre. The depth column is zero nearer than
    `MIN_DEPTH`.
    """
    intrinsics = _align(camera, points)
    rows = jacobian_components(points[..., 0], points[..., 1], points[..., 2], intrinsics)
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def normalize(keypoints: Float[Array, "*batch 2"], camera: Camera) -> Float[Array, "*batch 2"]:
    """(X/Z, Y/Z) of the ray through each keypoint: the inverse of `project` up to depth.

    Without distortion this is (u - c) / f, exact. With it, Newton's iteration within the part of the image
    plane where the lens model is one to one; for fish-eyes the model itself is the wrong one. Finite for
    finite keypoints: where the model has no ray, as far off the edge of a barrel lens, the result is the
    model's widest one in about that direction, see `has_ray`.
    """
    intrinsics = _align(camera, keypoints)
    x, y = normalize_components(keypoints[..., 0], keypoints[..., 1], intrinsics, widest_square(intrinsics))
    return jnp.stack([x, y], axis=-1)


def has_ray(keypoints: Float[Array, "*batch 2"], camera: Camera) -> Bool[Array, "*batch"]:
    """Whether the lens model images anything at a keypoint, (..., 2) pixels -> (...): its ray projects back
    onto it, to `RAY_TOLERANCE`, and lies where the distorted radius still grows with the radius,

        d/dr r (1 + k1 r^2 + k2 r^4 + k3 r^6) > 0   up to there.

    Beyond, coefficients that were fitted inside the image fold it over. False for keypoints that are not
    finite; true for all others without a lens. Raises ValueError like `normalize`.
    """
    intrinsics = _align(camera, keypoints)
    finite = jnp.all(jnp.isfinite(keypoints), axis=-1)
    u, v = (jnp.where(finite, keypoints[..., k], jnp.zeros_like(keypoints[..., k])) for k in range(2))
    limit = widest_square(intrinsics)
    if limit is None:
        return finite
    x, y = normalize_components(u, v, intrinsics, limit)
    back_x, back_y = _distort(x, y, intrinsics)
    (xx, xy), (yx, yy) = _distort_jacobian(x, y, intrinsics)
    off_u = intrinsics.fx * back_x + intrinsics.cx - u
    off_v = intrinsics.fy * back_y + intrinsics.cy - v
    close = off_u * off_u + off_v * off_v <= RAY_TOLERANCE**2
    return finite & close & (x * x + y * y <= limit) & (xx * yy - xy * yx > 0)


class Intrinsics(NamedTuple):
    """A camera as separate arrays that broadcast against the components of the points."""

    fx: Any
    fy: Any
    cx: Any
    cy: Any
    radial: tuple[Any, Any, Any] | None
    tangential: tuple[Any, Any] | None


def project_components(x: Array, y: Array, z: Array, camera: Intrinsics) -> tuple[Array, Array]:
    """`project` on separate arrays, for solvers that keep people on the last axis."""
    x, y, _, _ = _slopes(x, y, z)
    x, y = _distort(x, y, camera)
    return camera.fx * x + camera.cx, camera.fy * y + camera.cy


def jacobian_components(
    x: Array, y: Array, z: Array, camera: Intrinsics
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """((u_X, u_Y, u_Z), (v_X, v_Y, v_Z)) on separate arrays."""
    x, y, inverse_depth, in_front = _slopes(x, y, z)
    (xx, xy), (yx, yy) = _distort_jacobian(x, y, camera)
    u_x, u_y = camera.fx * xx * inverse_depth, camera.fx * xy * inverse_depth
    v_x, v_y = camera.fy * yx * inverse_depth, camera.fy * yy * inverse_depth
    zero = jnp.zeros_like(inverse_depth)
    u_z = jnp.where(in_front, -(u_x * x + u_y * y), zero)
    v_z = jnp.where(in_front, -(v_x * x + v_y * y), zero)
    return (u_x, u_y, u_z), (v_x, v_y, v_z)


def normalize_components(u: Array, v: Array, camera: Intrinsics, limit: Array | None) -> tuple[Array, Array]:
    """`normalize` on separate arrays; limit: `widest_square` of the camera."""
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    if limit is None:
        return x, y
    # No lens images anything there, and squares of what is farther would overflow.
    goal_x, goal_y = jnp.clip(x, -1e6, 1e6), jnp.clip(y, -1e6, 1e6)
    x, y = _undo_radial(goal_x, goal_y, camera, limit)
    if camera.tangential is None:
        return x, y

    def step(_: Any, ray: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = ray
        distorted_x, distorted_y = _distort(x, y, camera)
        off_x, off_y = goal_x - distorted_x, goal_y - distorted_y
        (xx, xy), (yx, yy) = _distort_jacobian(x, y, camera)
        # On the edge of what the lens images the Jacobian is singular.
        area = xx * yy - xy * yx
        area = jnp.where(area > MIN_AREA, area, jnp.full_like(area, MIN_AREA))
        return _within(x + (yy * off_x - xy * off_y) / area, y + (xx * off_y - yx * off_x) / area, limit)

    return jax.lax.fori_loop(0, TANGENTIAL_ROUNDS, step, (x, y))


def _within(x: Array, y: Array, limit: Array) -> tuple[Array, Array]:
    """(x, y), shortened to r^2 = limit where it is longer."""
    square = x * x + y * y
    within = square <= limit
    shrink = jnp.where(within, 1, jnp.sqrt(limit / jnp.where(within, limit, square)))
    return x * shrink, y * shrink


def _undo_radial(goal_x: Array, goal_y: Array, camera: Intrinsics, limit: Array) -> tuple[Array, Array]:
    """(x, y) with x (1 + k1 r^2 + k2 r^4 + k3 r^6) = goal_x, and so in y: one equation for r, which has one
    solution up to r^2 = limit or none. Newton's steps that would leave the bracket, or are longer than half
    of the step before, become halvings; short ones are trusted, as the last ones are rounding.
    """
    if camera.radial is None:
        return _within(goal_x, goal_y, limit)
    k1, k2, k3 = camera.radial
    square = goal_x * goal_x + goal_y * goal_y
    off_axis = square > 0  # the root has no derivative on the axis
    goal = jnp.sqrt(jnp.where(off_axis, square, jnp.ones_like(square)))
    high = jnp.sqrt(limit) + jnp.zeros_like(goal)

    def step(_: Any, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        low, high, r, longest = state
        s = r * r
        missing = goal - r * (1 + s * (k1 + s * (k2 + s * k3)))
        slope = 1 + s * (3 * k1 + s * (5 * k2 + s * 7 * k3))
        low, high = jnp.where(missing >= 0, r, low), jnp.where(missing > 0, high, r)
        newton = r + missing / jnp.where(slope > MIN_AREA, slope, jnp.full_like(slope, MIN_AREA))
        good = (newton >= low) & (newton <= high) & (jnp.abs(newton - r) <= longest)
        following = jnp.where(good, newton, (low + high) / 2)
        return low, high, following, jnp.maximum(jnp.abs(following - r) / 2, 1e-3 * jnp.sqrt(limit))

    start = jnp.zeros_like(goal), high, jnp.minimum(goal, high), high
    _, _, r, _ = jax.lax.fori_loop(0, RADIAL_ROUNDS, step, start)
    scale = jnp.where(off_axis, r / goal, jnp.ones_like(goal))
    return goal_x * scale, goal_y * scale


def widest_square(camera: Intrinsics) -> Array | None:
    """r^2 up to which the lens model is one to one, without its small tangential part: the least positive
    zero of the derivative of the distorted radius,

        g(s) = 1 + 3 k1 s + 5 k2 s^2 + 7 k3 s^3,   s = r^2,

    or `WIDEST`. None without a lens. It has no derivatives.
    """
    if camera.radial is None:
        return None if camera.tangential is None else jnp.full_like(camera.fx, WIDEST)
    k1, k2, k3 = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, camera.radial))

    def g(s: Array) -> Array:
        return 1 + s * (3 * k1 + s * (5 * k2 + s * 7 * k3))

    # Between its extremes g is monotone: the least zero lies before the first of them where g is negative.
    a, b, c = 21 * k3, 10 * k2, 3 * k1
    inside = b * b - 4 * a * c
    q = -(b + jnp.where(b < 0, -1, 1) * jnp.sqrt(jnp.maximum(inside, 0))) / 2
    end = jnp.full_like(k1, WIDEST)

    def extreme(top: Array, bottom: Array) -> Array:
        there = (inside > 0) & (bottom != 0)
        s = top / jnp.where(there, bottom, jnp.ones_like(bottom))
        return jnp.where(there & (s > 0) & (s < WIDEST), s, end)

    one, other = extreme(q, a), extreme(c, q)
    first, second = jnp.minimum(one, other), jnp.maximum(one, other)
    low = jnp.where(g(first) < 0, jnp.zeros_like(end), jnp.where(g(second) < 0, first, second))
    high = jnp.where(g(first) < 0, first, jnp.where(g(second) < 0, second, end))

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        return jnp.where(g(middle) > 0, middle, low), jnp.where(g(middle) > 0, high, middle)

    zero, _ = jax.lax.fori_loop(0, 60, halve, (low, high))
    return jnp.where(g(high) < 0, zero, end)


def _slopes(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array, Array]:
    """X/Z, Y/Z, 1/Z and where they are true images; the depth is replaced before the division, not after."""
    in_front = z > MIN_DEPTH
    inverse_depth = 1 / jnp.where(in_front, z, jnp.full_like(z, MIN_DEPTH))
    return x * inverse_depth, y * inverse_depth, inverse_depth, in_front


def _distort(x: Array, y: Array, camera: Intrinsics) -> tuple[Array, Array]:
    square = x * x + y * y
    out_x, out_y = x, y
    if camera.radial is not None:
        k1, k2, k3 = camera.radial
        growth = square * (k1 + square * (k2 + square * k3))
        out_x, out_y = out_x + x * growth, out_y + y * growth
    if camera.tangential is not None:
        p1, p2 = camera.tangential
        out_x = out_x + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        out_y = out_y + p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return out_x, out_y


def _distort_jacobian(
    x: Array, y: Array, camera: Intrinsics
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    xx, xy, yx, yy = one, zero, zero, one
    if camera.radial is not None:
        k1, k2, k3 = camera.radial
        square = x * x + y * y
        growth = square * (k1 + square * (k2 + square * k3))
        slope = 2 * (k1 + square * (2 * k2 + square * 3 * k3))
        xx, yy = xx + growth + x * x * slope, yy + growth + y * y * slope
        xy, yx = xy + x * y * slope, yx + x * y * slope
    if camera.tangential is not None:
        p1, p2 = camera.tangential
        xx, xy = xx + 2 * p1 * y + 6 * p2 * x, xy + 2 * p1 * x + 2 * p2 * y
        yx, yy = yx + 2 * p1 * x + 2 * p2 * y, yy + 6 * p1 * y + 2 * p2 * x
    return (xx, xy), (yx, yy)


def split_camera(camera: Camera, dtype: Any) -> Intrinsics:
    """The camera's numbers as arrays of shape (its leading axes), in ``dtype``."""

    def parts(name: str, count: int) -> tuple[Any, ...] | None:
        values = getattr(camera, name)
        if values is None:
            return None
        values = as_array(values, dtype)
        if values.ndim == 0 or values.shape[-1] != count:
            raise ValueError(
                f"camera.{name} has shape {values.shape}, its last axis must hold {count} numbers: "
                f"pass (..., {count}) in OpenCV's order"
            )
        return tuple(values[..., i] for i in range(count))

    focal, center = parts("focal", 2), parts("center", 2)
    if focal is None or center is None:
        raise ValueError("camera.focal and camera.center are needed: Camera(focal=(fx, fy), center=(cx, cy))")
    radial: Any = parts("radial", 3)
    tangential: Any = parts("tangential", 2)
    return Intrinsics(focal[0], focal[1], center[0], center[1], radial, tangential)


def as_array(values: Any, dtype: Any) -> Any:
    """Numbers, arrays, and lists and tuples of them, traced ones too, in one dtype; under strict promotion
    even float64 tuples must be cast on purpose.

    What is not yet on a device stays a NumPy array, so that nothing is dispatched before a jitted function
    is called.
    """
    if isinstance(values, Array):
        return values.astype(dtype)
    if has_arrays(values):
        return jnp.stack([jnp.asarray(as_array(value, dtype)) for value in values])
    return np.asarray(values, dtype)


def is_traced(values: Any) -> bool:
    """Whether a number, or any number of a list or tuple, is traced, so that its value is not known."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def shape_of(values: Any) -> tuple[int, ...]:
    """The shape of what `as_array` makes of it."""
    return (len(values), *shape_of(values[0])) if has_arrays(values) else np.shape(values)


def has_arrays(values: Any) -> bool:
    """Whether a list or tuple, nested or not, holds arrays of JAX."""
    return isinstance(values, list | tuple) and any(
        isinstance(value, Array) or has_arrays(value) for value in values
    )


def _align(camera: Camera, points: Array) -> Intrinsics:
    """Appends axes to the camera's numbers, so that they broadcast from the left against the points' leading
    axes.
    """
    lead = points.shape[:-1]

    def expand(values: Any) -> Array:
        values = jnp.asarray(values)
        if values.ndim > len(lead) or any(
            size not in (1, wanted) for size, wanted in zip(values.shape, lead, strict=False)
        ):
            raise ValueError(
                f"camera has leading axes {values.shape}, the points have {lead}: "
                "give one camera, or one for each of the first axes of the points"
            )
        return values.reshape(values.shape + (1,) * (len(lead) - values.ndim))

    return jax.tree.map(expand, split_camera(camera, points.dtype))
