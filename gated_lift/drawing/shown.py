"""Lifted people as reports and films show them: upright, with their camera, and on the picture."""

from math import ceil, isfinite
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.drawing.scene import upright
from gated_lift.people import LiftedPeople
from solvers import Camera, Extrinsics, project

NEAREST = 0.05  # metres before the camera; what is nearer has no place on the picture
AXES = ("camera", "world")
FRAMES_AT_ONCE = 5000


class Shown(NamedTuple):
    """P people over F frames in one space whose third axis is up, in metres. NaN is not drawn.

    covariance: of the root, square metres, NaN where the root is.
    keypoints: pixels of the joints that were seen. projected: pixels of the lifted joints.
    eye: where the camera is, rays: from there to the corners of its picture (top left, top right, bottom
        right, bottom left), as far as one metre before it; one row for a camera that never changes.
    low, high: corners of a box that holds the people, whatever a few frames say. floor: the height of feet.
    """

    joints: Float[np.ndarray, "people frames joints 3"]
    root: Float[np.ndarray, "people frames 3"]
    covariance: Float[np.ndarray, "people frames 3 3"] | None
    keypoints: Float[np.ndarray, "people frames joints 2"]
    projected: Float[np.ndarray, "people frames joints 2"]
    hidden: Bool[np.ndarray, "people frames joints"]
    eye: Float[np.ndarray, "rows 3"]
    rays: Float[np.ndarray, "rows 4 3"]
    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]
    floor: float


def prepare_people(people: LiftedPeople) -> Shown:
    """What is drawn of lifted people, in float64.

    Joints are drawn where their person is ``present`` and they are finite; seen keypoints where they are
    finite. In "camera" axes (x right, y down, z forward) up is (0, -1, 0); "world" axes stand upright as they
    are.

    Raises ValueError, naming the field, its shape and the mend, where shapes disagree, where there are no
    frames, and where axes, frame rate, times or image size cannot be meant.
    """
    check_shown(people)
    there = np.asarray(people.present)[..., None] & np.isfinite(people.joints).all(axis=-1)
    joints = np.where(there[..., None], people.joints, np.nan).astype(np.float64)
    rooted = np.asarray(people.present) & np.isfinite(people.root).all(axis=-1)
    root = np.where(rooted[..., None], people.root, np.nan).astype(np.float64)
    seen = ~np.asarray(people.hidden) & np.isfinite(people.keypoints).all(axis=-1)
    covariance = None
    if people.covariance is not None:
        covariance = np.where(rooted[..., None, None], people.covariance, np.nan).astype(np.float64)
    rotation, position = _extrinsics(people)
    eye, rays = _frustum(people, rotation, position)
    if people.axes == "camera":
        # Rows of the matrix are what `upright` takes of the camera's axes.
        turn = upright(np.eye(3)).T
        joints_up, root_up, eye, rays = upright(joints), upright(root), upright(eye), upright(rays)
        covariance = None if covariance is None else turn @ covariance @ turn.T
    else:
        joints_up, root_up = joints, root
    low, high, floor = _box(joints_up, root_up, eye, rays)
    return Shown(
        joints=joints_up,
        root=root_up,
        covariance=covariance,
        keypoints=np.where(seen[..., None], people.keypoints, np.nan).astype(np.float64),
        projected=_projected(joints, people.camera, rotation, position),
        hidden=~seen,
        eye=eye,
        rays=rays,
        low=low,
        high=high,
        floor=floor,
    )


def every_nth(people: LiftedPeople, step: int) -> LiftedPeople:
    """The same people on every ``step``-th frame, the first among them. ``fps`` stays that of all frames."""
    frames, every = len(people.times), slice(None, None, step)

    def path(values: Any, rows: int) -> Any:
        """A field of a camera, whose axis number ``rows`` is frames if it has one row for each."""
        shape = () if values is None else np.shape(values)
        if len(shape) < -rows or shape[rows] != frames:
            return values
        return np.moveaxis(np.moveaxis(np.asarray(values), rows, 0)[every], 0, rows)

    def lens(values: Any) -> Any:
        return path(values, -2) if values is not None and np.ndim(values) == 3 else values

    extrinsics = people.extrinsics
    if extrinsics is not None:
        extrinsics = Extrinsics(path(extrinsics.rotation, -3), path(extrinsics.position, -2))
    covariance = people.covariance
    return people._replace(
        joints=people.joints[:, every],
        root=people.root[:, every],
        covariance=None if covariance is None else covariance[:, every],
        present=people.present[:, every],
        residual=people.residual[:, every],
        keypoints=people.keypoints[:, every],
        confidence=people.confidence[:, every],
        hidden=people.hidden[:, every],
        times=people.times[every],
        camera=Camera(*map(lens, people.camera)),
        extrinsics=extrinsics,
    )


def image_size(people: LiftedPeople) -> tuple[int, int]:
    """Width and height as Python's own whole numbers."""
    width, height = people.image_size
    return int(width), int(height)


def thinning(fps: float, wanted: float) -> int:
    """Show every how-manieth frame, so that the rate comes nearest to ``wanted`` frames a second or stays
    below. The nearest rate, not the nearest below: 60.01 frames a second are not to be shown as 30.
    """
    return min(range(1, ceil(fps / wanted) + 1), key=lambda step: abs(fps / step - wanted))


def _extrinsics(
    people: LiftedPeople,
) -> tuple[Float[np.ndarray, "rows 3 3"], Float[np.ndarray, "rows 3"]]:
    """Rotation and position of the one camera in the axes of the joints, a row a frame or one for all."""
    if people.axes == "camera" or people.extrinsics is None:
        return np.eye(3)[None], np.zeros((1, 3))
    rotation = np.asarray(people.extrinsics.rotation, np.float64)
    position = np.asarray(people.extrinsics.position, np.float64)
    # Leading axes repeat the camera for every person.
    return rotation.reshape(-1, *rotation.shape[-3:])[0], position.reshape(-1, *position.shape[-2:])[0]


def _projected(
    joints: Float[np.ndarray, "people frames joints 3"],
    camera: Camera,
    rotation: Float[np.ndarray, "rows 3 3"],
    position: Float[np.ndarray, "rows 3"],
) -> Float[np.ndarray, "people frames joints 2"]:
    frames = joints.shape[1]
    rotation = np.broadcast_to(rotation, (frames, 3, 3))
    eye = np.einsum("fij,fj->fi", rotation, np.broadcast_to(position, (frames, 3)))
    points = np.full((*joints.shape[:-1], 2), np.nan)
    # A lens may have a row a frame, so that it is one call; all the rest is done for some frames at a time.
    safe = np.empty(joints.shape, np.float32)
    visible = np.empty(joints.shape[:-1], bool)
    for begin in range(0, frames, FRAMES_AT_ONCE):
        part = slice(begin, begin + FRAMES_AT_ONCE)
        from_eye = np.einsum("fij,pfnj->pfni", rotation[part], joints[:, part]) - eye[part, None, :]
        visible[:, part] = from_eye[..., 2] > NEAREST  # False for NaN
        safe[:, part] = np.where(visible[:, part, :, None], from_eye, [0.0, 0.0, 1.0])
    if visible.any():
        lens = Camera(*(None if field is None else jnp.asarray(field, jnp.float32) for field in camera))
        np.copyto(points, np.asarray(project(jnp.asarray(safe), lens)), where=visible[..., None])
    return points


def _frustum(
    people: LiftedPeople, rotation: Float[np.ndarray, "rows 3 3"], position: Float[np.ndarray, "rows 3"]
) -> tuple[Float[np.ndarray, "views 3"], Float[np.ndarray, "views 4 3"]]:
    """The eye and the rays to the picture's corners, without the lens's distortion, in the joints' axes."""
    focal, center = (_one_camera(field) for field in people.camera[:2])
    width, height = people.image_size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    slopes = (corners - center[:, None]) / focal[:, None]
    rays = np.concatenate([slopes, np.ones((*slopes.shape[:-1], 1))], axis=-1)
    rows = max(len(rays), len(rotation), len(position))
    rays = np.einsum(
        "fji,fcj->fci", np.broadcast_to(rotation, (rows, 3, 3)), np.broadcast_to(rays, (rows, 4, 3))
    )
    return np.array(np.broadcast_to(position, (rows, 3))), rays


def _one_camera(field: Float[Array | np.ndarray, "..."] | tuple[float, float]) -> Float[np.ndarray, "rows 2"]:
    """Focal lengths or centres of the first person, a row a frame or one for all."""
    values = np.asarray(field, np.float64)
    return values.reshape(1, 2) if values.ndim == 1 else values[0].reshape(-1, 2)


def _box(
    joints: Float[np.ndarray, "people frames joints 3"],
    root: Float[np.ndarray, "people frames 3"],
    eye: Float[np.ndarray, "rows 3"],
    rays: Float[np.ndarray, "rows 4 3"],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], float]:
    """A box around the people and the height of their feet. Percentiles: some frames far off, or a person
    whose path has gone astray, must not shrink everybody else to dots.
    """
    points = joints[np.isfinite(joints).all(axis=-1)]
    if not len(points):
        ahead = eye[0] + 4.0 * rays[0].mean(axis=0)
        size = np.array([2.0, 2.0, 1.0])
        return ahead - size, ahead + size, float(ahead[2] - 1.0)
    stood = np.isfinite(joints[..., 2]).any(axis=-1)
    lowest = np.where(np.isfinite(joints[..., 2]), joints[..., 2], np.inf).min(axis=-1)[stood]
    floor = float(np.percentile(lowest, 5))
    roots = root[np.isfinite(root).all(axis=-1)]
    low, high = np.percentile(roots if len(roots) else points, [2, 98], axis=0)
    reach = np.array([0.8, 0.8, 0.0])  # of arms around a root
    low, high = low - reach, high + reach
    low[2], high[2] = floor, max(float(np.percentile(points[:, 2], 99)), floor + 0.5)
    return low, high, floor


def check_shown(people: LiftedPeople) -> None:
    """Raises what `prepare_people` raises."""
    joints = np.shape(people.joints)
    wanted = "pass (people, frames, joints, 3) in metres"
    if len(joints) != 4 or joints[-1] != 3 or 0 in joints[1:]:
        raise ValueError(f"joints has shape {joints}: {wanted}, with at least one frame")
    if joints[2] != people.skeleton.num_joints:
        raise ValueError(
            f"joints has {joints[2]} joints, but {people.skeleton.name} has {people.skeleton.num_joints}: "
            "pass the skeleton that the arrays come in"
        )
    count, frames, _, _ = joints
    shapes = {
        "root": (count, frames, 3),
        "covariance": (count, frames, 3, 3),
        "status": (count,),
        "present": (count, frames),
        "residual": (count, frames),
        "keypoints": (*joints[:3], 2),
        "hidden": joints[:3],
        "names": (count,),
        "times": (frames,),
    }
    for name, shape in shapes.items():
        value = getattr(people, name)
        if not (name == "covariance" and value is None) and np.shape(value) != shape:
            raise ValueError(
                f"{name} has shape {np.shape(value)}, but joints has {joints}: pass {name} as {shape}"
            )
    if people.axes not in AXES:
        raise ValueError(f"axes is {people.axes!r}: pass one of {', '.join(AXES)}")
    for name, value in (
        ("fps", people.fps),
        ("image width", people.image_size[0]),
        ("image height", people.image_size[1]),
    ):
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: pass a positive, finite number")
    steps = np.diff(people.times)
    if not np.isfinite(people.times).all() or (steps <= 0).any():
        at = int(np.argmax(~(steps > 0))) + 1 if len(steps) else 0
        raise ValueError(
            f"times goes back or is not finite at frame {at}: pass seconds that grow from frame to frame"
        )
    if people.axes == "world" and people.extrinsics is not None:
        rows = np.shape(people.extrinsics.rotation)[-3]
        if rows not in (1, frames):
            raise ValueError(
                f"extrinsics has {rows} frames, but joints has {frames}: pass one, or one a frame"
            )
