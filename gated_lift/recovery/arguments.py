"""Checks of what callers hand over, and the one shape that the work behind them takes."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.networks.protocol import Hints, check_keypoints, readable
from gated_lift.skeleton import Skeleton
from solvers import Camera, Extrinsics, refuse_masked

# A focal length below this, in pixels, is one of an image whose coordinates are not pixels.
LEAST_PIXELS = 16.0

# X/Z or Y/Z: half of all keypoints are not seen as far off the axis as this (68 degrees) by any lens that a
# pinhole describes.
FAR_OFF = 2.5


class Arguments(NamedTuple):
    """What `pipeline.recover` works on, with all leading axes of people as one, P.

    keypoints (P, F, J, 2), occluded (P, F, J), confidence (P, F, J) or None. camera: fields (k,), (P, k) or
    (P, F, k). extrinsics: None, or rotation and position with people or none, and F frames or one.
    people: the leading axes as they came. traced: whether any value is one of JAX's tracers.
    """

    keypoints: Any
    occluded: Any
    confidence: Any
    camera: Camera
    extrinsics: Extrinsics | None
    people: tuple[int, ...]
    traced: bool


def read_arguments(
    lifter: Any,
    keypoints: Any,
    occluded: Any,
    camera: Any,
    fps: Any,
    confidence: Any,
    extrinsics: Any,
    skeleton: Skeleton | None,
) -> Arguments:
    """Checks and lays out the arguments of `pipeline.recover`; raises ValueError, naming the argument and the
    mend, for what cannot be meant. Values are looked at only where they are not traced.
    """
    if not isinstance(lifter, LoadedLifter):
        raise ValueError(
            f"lifter is {type(lifter).__name__}: pass what load_lifter returns, the network with its "
            "weights, skeleton and frame rate"
        )
    check_fps(fps)
    for name, values in (("keypoints", keypoints), ("occluded", occluded), ("confidence", confidence)):
        refuse_masked(name, values)
    if skeleton is not None and skeleton != lifter.skeleton:
        raise ValueError(
            f"keypoints are in {skeleton.name}, the lifter was trained on {lifter.skeleton.name}: convert "
            f"them with skeleton.convert(keypoints, occluded, {skeleton.name.upper()}, "
            f"{lifter.skeleton.name.upper()})"
        )
    if not isinstance(camera, Camera):
        raise ValueError(
            f"camera is {type(camera).__name__}: pass one Camera; where people have cameras of their own, "
            "one whose fields begin with the axis of people, Camera(focal=(P, 2), center=(P, 2))"
        )
    if extrinsics is not None and not (isinstance(extrinsics, tuple) and len(extrinsics) == 2):
        raise ValueError(
            f"extrinsics is {type(extrinsics).__name__}: pass Extrinsics(rotation (..., F, 3, 3), "
            "position (..., F, 3))"
        )
    given = (keypoints, occluded, confidence, camera, extrinsics, lifter.variables)
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given))
    array = jnp.asarray if traced else np.asarray
    keypoints, occluded = array(keypoints), array(occluded)
    check_keypoints(keypoints, occluded, lifter.network.num_joints)
    *people, frames, joints, _ = keypoints.shape
    dtype = np.promote_types(keypoints.dtype, np.float32)
    count = math.prod(people)
    if confidence is not None:
        confidence = array(confidence)
        if confidence.shape != occluded.shape or not jnp.issubdtype(confidence.dtype, jnp.floating):
            raise ValueError(
                f"confidence has shape {confidence.shape} and dtype {confidence.dtype}, keypoints "
                f"{keypoints.shape}: pass one float a keypoint, {occluded.shape}"
            )
        confidence = confidence.reshape(count, frames, joints).astype(dtype)
    arguments = Arguments(
        keypoints.reshape(count, frames, joints, 2).astype(dtype),
        occluded.reshape(count, frames, joints),
        confidence,
        _read_camera(camera, tuple(people), frames, dtype, array),
        None
        if extrinsics is None
        else _read_extrinsics(Extrinsics(*extrinsics), tuple(people), frames, dtype, array),
        tuple(people),
        traced,
    )
    if not traced:
        _refuse_wrong_units(arguments)
    return arguments


def check_fps(fps: Any) -> None:
    """Raises ValueError unless ``fps`` is a finite number above zero."""
    if fps is None:
        raise ValueError(
            "fps is missing: pass the video's frames a second. The network knows motion in seconds and Eq. 9 "
            "weighs speeds and accelerations, so another rate is another path"
        )
    if isinstance(fps, jax.core.Tracer) or np.ndim(fps) != 0:
        raise ValueError(f"fps is {fps!r}: pass one number that is known before jax.jit, such as 29.97")
    if not (math.isfinite(float(fps)) and float(fps) > 0):
        raise ValueError(f"fps is {fps}: pass frames a second, finite and above zero")


def read_up(lifter: LoadedLifter, up: Any, wanted: bool = False) -> Any:
    """The vertical as (1, 3), or None where there is none or nobody reads it. wanted: somebody does besides
    the network. Raises ValueError for what is not a vector of length 1.
    """
    if up is None:
        return None
    read = wanted or readable(lifter.network, Hints(up=up)).up is not None
    if isinstance(up, jax.core.Tracer):
        return up[None] if read else None
    vector = np.asarray(up, np.float32)
    length = np.linalg.norm(vector)
    if vector.shape != (3,) or not 0.5 < length < 2:
        raise ValueError(
            f"up is {up!r}: give a vector of length 1 in camera axes, (0, -1, 0) for a level camera"
        )
    return vector[None] / length if read else None


def _read_camera(camera: Camera, people: tuple[int, ...], frames: int, dtype: Any, array: Any) -> Camera:
    wanted = (*people, frames)

    def read(name: str, value: Any, size: int) -> Any:
        if value is None:
            return None
        values = _numbers(value, dtype, array)
        lead = values.shape[:-1]
        if (
            values.ndim == 0
            or values.shape[-1] != size
            or len(lead) > len(wanted)
            or any(own not in (1, axis) for own, axis in zip(lead, wanted, strict=False))
        ):
            raise ValueError(
                f"camera.{name} has shape {values.shape}, keypoints has leading axes {wanted}: pass "
                f"({size},), or one for each of the first of those axes"
            )
        if not lead:
            return values
        values = values.reshape(lead + (1,) * (len(people) - len(lead)) + (size,))
        by_frame = len(lead) > len(people)
        full = jnp.broadcast_to if isinstance(values, Array) else np.broadcast_to
        values = full(values, (*(wanted if by_frame else people), size))
        return values.reshape(math.prod(people), *([frames] if by_frame else []), size)

    if camera.focal is None or camera.center is None:
        raise ValueError("camera.focal and camera.center are needed: Camera(focal=(fx, fy), center=(cx, cy))")
    sizes = {"focal": 2, "center": 2, "radial": 3, "tangential": 2}
    return Camera(**{name: read(name, getattr(camera, name), size) for name, size in sizes.items()})


def _read_extrinsics(
    extrinsics: Extrinsics, people: tuple[int, ...], frames: int, dtype: Any, array: Any
) -> Extrinsics:
    def read(name: str, value: Any, own: tuple[int, ...]) -> Any:
        values = _numbers(value, dtype, array)
        lead, tail = values.shape[: values.ndim - len(own)], values.shape[values.ndim - len(own) :]
        if tail != own or not lead or lead[-1] not in (1, frames) or lead[:-1] not in ((), people):
            raise ValueError(
                f"extrinsics.{name} has shape {values.shape}, keypoints has leading axes "
                f"{(*people, frames)}: pass (..., F, {', '.join(map(str, own))}) with the people of the "
                "keypoints or none, and their frames or one"
            )
        return values.reshape(*([math.prod(people)] if len(lead) > 1 else []), lead[-1], *own)

    return Extrinsics(read("rotation", extrinsics[0], (3, 3)), read("position", extrinsics[1], (3,)))


def _numbers(value: Any, dtype: Any, array: Any) -> Any:
    """One array of numbers, tuples or lists, of which some may be traced."""
    if any(isinstance(leaf, Array) for leaf in jax.tree.leaves(value)) and not isinstance(value, Array):
        value = jnp.stack([_numbers(part, dtype, jnp.asarray) for part in value])
    return array(value).astype(dtype)


def _refuse_wrong_units(arguments: Arguments) -> None:
    """Keypoints, focal length and principal point that are not in the pixels of one image: a person's first
    mistakes, which a solve answers without complaint.
    """
    keypoints, camera = arguments.keypoints, arguments.camera
    focal, center = (_of_every_keypoint(values, keypoints) for values in (camera.focal, camera.center))
    shown = ~arguments.occluded & np.isfinite(keypoints).all(-1) & (np.abs(keypoints) < 1e30).all(-1)
    shown &= ~((keypoints == 0).all(-1) | (keypoints == -1).all(-1))
    if not shown.any():
        return
    in_pixels = shown & (focal.min(-1) >= LEAST_PIXELS)
    for person in np.flatnonzero(in_pixels.any((1, 2))):
        found = keypoints[person][in_pixels[person]]
        if np.abs(found).max() <= 2:
            raise ValueError(
                f"keypoints of person {person} lie between {found.min():.3g} and {found.max():.3g} and the "
                f"camera's focal length is {focal[person].max():.0f} px: they are shares of the image, not "
                "pixels; multiply them by its width and height"
            )
    rays = np.abs((keypoints - center) / np.where(focal > 0, focal, 1)).max(-1)[shown & (focal > 0).all(-1)]
    if len(rays) and np.median(rays) > FAR_OFF:
        raise ValueError(
            f"camera.focal is {focal[shown].mean():.4g} px, by which half of all keypoints lie more than "
            f"{math.degrees(math.atan(np.median(rays))):.0f} degrees off the axis: give it in pixels, f_mm x "
            "image width / sensor width, not in millimetres or as a share of the width"
        )
    if in_pixels.any() and (center[in_pixels] == 0).all() and (keypoints[in_pixels] >= 0).all():
        raise ValueError(
            "camera.center is (0, 0) and no keypoint is left of or above it: give the principal point in "
            "pixels from the top left corner, near (width / 2, height / 2)"
        )


def _of_every_keypoint(values: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    lead = values.shape[:-1]
    expanded = values.reshape(lead + (1,) * (keypoints.ndim - 1 - len(lead)) + values.shape[-1:])
    return np.broadcast_to(expanded, keypoints.shape)


def padded(given: Arguments, people: int, frames: int) -> Arguments:
    """Arguments that are not traced, with people who are never seen until there are ``people``, and the last
    frame repeated until there are ``frames``.
    """
    came_people, came_frames = given.occluded.shape[:2]

    def extend(values: Any, by_person: bool, frame_axis: int | None) -> Any:
        if values is None:
            return None
        width = [(0, 0)] * values.ndim
        if by_person:
            width[0] = (0, people - came_people)
        if frame_axis is not None and values.shape[frame_axis] == came_frames:
            width[frame_axis] = (0, frames - came_frames)
        return np.pad(values, width, mode="edge")

    def camera_field(values: Any) -> Any:
        return None if values is None else extend(values, values.ndim > 1, 1 if values.ndim == 3 else None)

    def path_field(values: Any, own: int) -> Any:
        lead = values.ndim - own
        # One frame is a camera that stands still, unless the clip has one frame too.
        return extend(values, lead == 2, lead - 1)

    occluded = extend(given.occluded, True, 1)
    occluded[came_people:] = True
    extrinsics = given.extrinsics
    if extrinsics is not None:
        extrinsics = Extrinsics(path_field(extrinsics[0], 2), path_field(extrinsics[1], 1))
    return given._replace(
        keypoints=extend(given.keypoints, True, 1),
        occluded=occluded,
        confidence=extend(given.confidence, True, 1),
        camera=Camera(*(camera_field(values) for values in given.camera)),
        extrinsics=extrinsics,
    )
