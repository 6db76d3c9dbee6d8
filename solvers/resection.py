"""A camera from points whose places in the world and in the image are both known: lens, turn and place."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.spatial.transform
from jaxtyping import Array, Float

from solvers.pinhole import Camera, Extrinsics, Intrinsics, project_components

FEWEST_POINTS = 20  # forty numbers for fifteen unknowns


class Resection(NamedTuple):
    """camera, extrinsics: float64 NumPy arrays without leading axes but the extrinsics' one frame.
    rms: root mean square distance between the given keypoints and the projected points, in pixels.
    """

    camera: Camera
    extrinsics: Extrinsics
    rms: float


def resect(
    points: Float[np.ndarray, "points world"], keypoints: Float[np.ndarray, "keypoints image"]
) -> Resection:
    """argmin over focal, center, radial, tangential, R and c of Σ ‖project(R (x − c)) − u‖².

    The start is the direct linear transform (Hartley & Zisserman, Multiple View Geometry, algorithm 7.1)
    without a lens; Levenberg-Marquardt in float64 then finds all fifteen numbers.

    points: (N, 3) world metres. keypoints: (N, 2) pixels of the same points, which must be exact or nearly
    so: a gross error pulls everything. The more of the image and of its depth they fill, the better the
    numbers are known. Raises ValueError for shapes that differ, numbers that are not finite, fewer than
    `FEWEST_POINTS` points, points that lie in a plane, and points that no camera sees so.
    """
    points, keypoints = np.asarray(points, np.float64), np.asarray(keypoints, np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or keypoints.shape != (len(points), 2):
        raise ValueError(
            f"points has shape {points.shape} and keypoints {keypoints.shape}: pass (N, 3) and (N, 2)"
        )
    if len(points) < FEWEST_POINTS:
        raise ValueError(f"points holds {len(points)} points: give at least {FEWEST_POINTS}")
    if not (np.isfinite(points).all() and np.isfinite(keypoints).all()):
        raise ValueError("points or keypoints are not finite somewhere: leave hidden ones out")
    start = _linear_start(points, keypoints)
    with jax.enable_x64(True):
        known = jnp.asarray(start.rotation), jnp.asarray(points), jnp.asarray(keypoints)
        found = scipy.optimize.least_squares(
            lambda unknown: np.asarray(_residuals(unknown, *known)),
            np.concatenate([start.focal, start.center, np.zeros(8), start.position]),
            lambda unknown: np.asarray(_jacobian(unknown, *known)),
            method="lm",
            x_scale="jac",
        )
    rms = float(np.sqrt(2 * found.cost / len(points)))
    focal, center, radial, tangential, turn, position = np.split(found.x, [2, 4, 7, 9, 12])
    rotation = scipy.spatial.transform.Rotation.from_rotvec(turn).as_matrix() @ start.rotation
    if not (np.isfinite(found.x).all() and (focal > 0).all()):
        raise ValueError(
            "points and keypoints fit no camera: check that they belong to the same frames and joints"
        )
    return Resection(
        Camera(focal, center, radial, tangential), Extrinsics(rotation[None], position[None]), rms
    )


class _Start(NamedTuple):
    focal: np.ndarray
    center: np.ndarray
    rotation: np.ndarray
    position: np.ndarray


def _linear_start(points: np.ndarray, keypoints: np.ndarray) -> _Start:
    """The direct linear transform: P of u ~ P (x, 1), and P = K R [I | −c]."""
    to_unit, space = _similarity(points), _similarity(keypoints)
    world = _homogeneous(points) @ to_unit.T
    image = _homogeneous(keypoints) @ space.T
    zero = np.zeros_like(world)
    rows = np.concatenate(
        [
            np.concatenate([world, zero, -image[:, :1] * world], axis=1),
            np.concatenate([zero, world, -image[:, 1:2] * world], axis=1),
        ]
    )
    # The right singular vectors of tall rows are the eigenvectors of a 12 × 12 matrix; digits to start from.
    values, vectors = np.linalg.eigh(rows.T @ rows)
    # Points in a plane leave two solutions: the second smallest singular value vanishes too.
    if values[1] < 1e-9 * values[-1]:
        raise ValueError(
            "points lie in a plane or nearly, which leaves the camera undetermined: add points above or "
            "below it"
        )
    matrix = np.linalg.inv(space) @ vectors[:, 0].reshape(3, 4) @ to_unit
    # The sign of P is free; people stand before the camera.
    if np.median(_homogeneous(points) @ matrix[2]) * np.linalg.det(matrix[:, :3]) < 0:
        raise ValueError(
            "points are seen mirrored: y of the keypoints points down from the top left, and the world is "
            "right-handed"
        )
    matrix = matrix * np.sign(np.linalg.det(matrix[:, :3]))
    position = -np.linalg.solve(matrix[:, :3], matrix[:, 3])
    upper, rotation = scipy.linalg.rq(matrix[:, :3])
    # RQ leaves the signs of the axes open: focal lengths are positive.
    signs = np.diag(np.sign(np.diag(upper)))
    upper, rotation = upper @ signs, signs @ rotation
    upper = upper / upper[2, 2]
    return _Start(np.diag(upper)[:2].copy(), upper[:2, 2].copy(), rotation, position)


def _similarity(values: np.ndarray) -> np.ndarray:
    """Moves values (N, D) to mean zero and a mean square of one, as a matrix on (x, 1)."""
    dims = values.shape[1]
    mean = values.mean(axis=0)
    size = np.sqrt(((values - mean) ** 2).mean())
    if size == 0:
        raise ValueError("points or keypoints all coincide: give points that fill the image")
    matrix = np.eye(dims + 1) / size
    matrix[:dims, dims] = -mean / size
    matrix[dims, dims] = 1
    return matrix


def _homogeneous(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def _project(unknown: Array, rotation: Array, points: Array) -> Array:
    focal, center, radial, tangential, turn, position = jnp.split(unknown, [2, 4, 7, 9, 12])
    zero = jnp.zeros((), unknown.dtype)
    cross = jnp.stack([zero, -turn[2], turn[1], turn[2], zero, -turn[0], -turn[1], turn[0], zero])
    rotation = jax.scipy.linalg.expm(cross.reshape(3, 3)) @ rotation
    x, y, z = ((points - position[None]) @ rotation.T).T
    (fx, fy), (cx, cy) = focal, center
    lens = Intrinsics(fx, fy, cx, cy, tuple(radial), tuple(tangential))
    return jnp.stack(project_components(x, y, z, lens), axis=-1)


@jax.jit
def _residuals(unknown: Array, rotation: Array, points: Array, keypoints: Array) -> Array:
    return (_project(unknown, rotation, points) - keypoints).ravel()


@jax.jit
def _jacobian(unknown: Array, rotation: Array, points: Array, keypoints: Array) -> Array:
    return jax.jacfwd(_residuals)(unknown, rotation, points, keypoints)
