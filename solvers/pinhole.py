"""The pinhole camera of Eq. 5 with OpenCV's lens distortion: projection, its Jacobian, and the way back to
rays.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Nearer points have no useful image: they are projected as if they lay at this depth, so that values and
# gradients stay finite at and behind the camera plane.
MIN_DEPTH = 1e-3

# The fixed-point iteration of `normalize` gains about one digit a round for the distortion of ordinary
# lenses.
UNDISTORT_ROUNDS = 12


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

    Without distortion this is (u - c) / f, exact. With it, the fixed-point iteration that OpenCV's
    undistortPoints uses, `UNDISTORT_ROUNDS` rounds: good to float32 rounding for ordinary lenses, not for
    fish-eyes.
    """
    intrinsics = _align(camera, keypoints)
    x, y = normalize_components(keypoints[..., 0], keypoints[..., 1], intrinsics)
    return jnp.stack([x, y], axis=-1)


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


def normalize_components(u: Array, v: Array, camera: Intrinsics) -> tuple[Array, Array]:
    """`normalize` on separate arrays."""
    goal_x, goal_y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    x, y = goal_x, goal_y
    if camera.radial is None and camera.tangential is None:
        return x, y
    for _ in range(UNDISTORT_ROUNDS):
        distorted_x, distorted_y = _distort(x, y, camera)
        x, y = x + (goal_x - distorted_x), y + (goal_y - distorted_y)
    return x, y


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
    """Numbers, tuples and arrays in one dtype; under strict promotion even float64 tuples must be cast on
    purpose.

    What is not yet on a device stays a NumPy array, so that nothing is dispatched before a jitted function
    is called.
    """
    return values.astype(dtype) if isinstance(values, Array) else np.asarray(values, dtype)


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
