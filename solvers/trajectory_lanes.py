"""A clip as the solvers take it: people last, what cannot be solved masked out, and a first path."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers.block_banded import back_substitute, factor, factor_fast
from solvers.gauss_newton import Status
from solvers.joints import Joints, Summary, fold_joints, lay_out, summarize
from solvers.pinhole import MIN_DEPTH, Extrinsics, Intrinsics
from solvers.robust import Loss
from solvers.trajectory_config import REFERENCE_FOCAL, Arguments, is_rotation
from solvers.trajectory_rows import (
    MILLIMETRES,
    NEAREST,
    CameraPath,
    Drift,
    Terms,
    blocks_of,
    frames_of,
    from_camera,
    linear_rows,
    make_terms,
    to_camera,
)


class Clip(NamedTuple):
    """One clip with people last, its image resized to `REFERENCE_FOCAL`.

    sound (1, frames, people): no visible joint is NaN or infinite. resizing (1, frames or 1, people): what
    the given pixels were multiplied by. known: the movement from the frame before, as far as it is known.
    """

    joints: Joints
    sound: Array
    camera: Intrinsics
    resizing: Array
    path: CameraPath | None
    known: "KnownSteps | None" = None


class KnownSteps(NamedTuple):
    """step (3, frames, people): metres since the frame before. weight (3, frames, people): of a squared error
    in square millimetres, -1 where nothing is known.
    """

    step: Array
    weight: Array


def lay_out_clip(given: Arguments, camera: Intrinsics) -> tuple[Clip, Array | None]:
    """The clip, its leading axes flattened to people, and the origin (people, 3) in the world that its path
    is measured from, where there is one. Frames before ``begin`` are hidden, and have the camera of that
    frame.
    """
    poses, keypoints, occluded, confidence, extrinsics, begin = given[:6]
    *people, frames, _, _ = poses.shape
    count = math.prod(people)
    cameras = jax.tree.map(lambda value: camera_lanes(jnp.asarray(value), tuple(people)), camera)
    path, origin = None, None
    if extrinsics is not None:
        path, origin = _lay_out_path(extrinsics, tuple(people), begin)
    if begin is not None:
        occluded = occluded | (jnp.arange(frames) < begin).reshape((1,) * len(people) + (-1, 1))
        cameras = jax.tree.map(lambda value: _from_frame(value, begin), cameras)
    cameras, resizing = resize_image(cameras)
    joints, sound = lay_out(
        poses.reshape(count, frames, -1, 3),
        keypoints.reshape(count, frames, -1, 2),
        occluded.reshape(count, frames, -1),
        None if confidence is None else confidence.reshape(count, frames, -1),
        resizing,
    )
    return Clip(joints, sound, cameras, resizing, path), origin


def lay_out_steps(given: Arguments, keypoint_std: Array, fps: Array) -> KnownSteps | None:
    """The given velocities as a clip has them: of the movement since the frame before, with the weight of a
    squared millimetre, keypoint_std^2 (fps / 1000 velocity_std)^2, which is that of a squared pixel.
    """
    if given.velocity is None:
        return None
    *people, frames, _ = given.velocity.shape
    deviation = jnp.broadcast_to(given.velocity_std, given.velocity.shape)
    known = jnp.isfinite(given.velocity) & jnp.isfinite(deviation) & (deviation > 0)
    # Masked before any arithmetic, so that what is not known has no gradient, instead of NaN.
    velocity, deviation = jnp.where(known, given.velocity, 0), jnp.where(known, deviation, 1)
    running = jnp.isfinite(fps) & (fps > 0)
    rate = jnp.where(running, fps, jnp.ones_like(fps))
    weight = jnp.where(known, (keypoint_std * rate / (MILLIMETRES * deviation)) ** 2, -1)

    def lanes(values: Array) -> Array:
        return jnp.transpose(values.reshape(math.prod(people), frames, 3), (2, 1, 0))

    return KnownSteps(lanes(velocity / rate), lanes(weight))


def _drift(steps: KnownSteps, weights: tuple[Array, Array]) -> Drift:
    """From frame to frame, and as Eq. 9 has it where nothing is known.

    lambda_1 |s|^2 pulls the frames at both ends of every step s together, and along a path that moves
    steadily these pulls cancel but for its ends. So a run of known steps has to pull as well, or the frames
    before and after it would be drawn away from it: with the mean m of its steps, each is weighed by

        w |s - v|^2 + 2 lambda_1 m s  =  w |s - (v - lambda_1 m / w)|^2 + ...
    """
    step, weight = (jnp.swapaxes(values, 0, 1)[1:] for values in steps)
    first, second = (jnp.broadcast_to(value, (3,))[None, :, None] for value in weights)
    known = weight >= 0
    following = jnp.concatenate([known[1:], known[-1:]])
    turn = jnp.where(known == following, second, 0)
    count = len(step)
    here = jax.lax.broadcasted_iota(jnp.int32, step.shape, 0)
    before = jax.lax.cummax(jnp.where(known, -1, here), axis=0)
    after = jax.lax.cummin(jnp.where(known, count, here), axis=0, reverse=True)
    travelled = jnp.pad(jnp.cumsum(step, axis=0), ((1, 0), (0, 0), (0, 0)))
    ends = (jnp.take_along_axis(travelled, index, axis=0) for index in (after, before + 1))
    mean = jnp.subtract(*ends) / jnp.maximum(after - before - 1, 1).astype(step.dtype)
    pull = jnp.where(known, first * mean / jnp.where(known & (weight > 0), weight, 1), 0)
    return Drift(step - pull, jnp.where(known, weight, first), turn.at[-1:].set(0))


def camera_lanes(value: Array, people: tuple[int, ...]) -> Array:
    """One number of the camera, with the leading axes of the people and perhaps frames, as (1, frames or 1,
    people).
    """
    value = value.reshape(value.shape + (1,) * (len(people) + 1 - value.ndim))
    own = value.shape[-1]  # frames, or 1
    return jnp.broadcast_to(value, (*people, own)).reshape(-1, own).T[None]


def resize_image(camera: Intrinsics) -> tuple[Intrinsics, Array]:
    """The camera whose image is resized by 1145 / f, f = sqrt(fx fy), and that factor; 1 where the focal
    length is out of range. Pixels then mean the same on a telephone as in a studio (`REFERENCE_FOCAL`).
    """
    # Masked before any arithmetic, so that a person without a camera has no gradient, instead of NaN.
    sound = jnp.isfinite(camera.fx) & jnp.isfinite(camera.fy) & (camera.fx > 0) & (camera.fy > 0)
    square = jnp.where(sound, camera.fx, 1) * jnp.where(sound, camera.fy, 1)
    factor = jnp.where(sound, REFERENCE_FOCAL / jnp.sqrt(square), 1)

    def resized(value: Array) -> Array:
        finite = jnp.isfinite(value)
        return jnp.where(finite, factor * jnp.where(finite, value, 0), value)

    fx, fy, cx, cy = (resized(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    return camera._replace(fx=fx, fy=fy, cx=cx, cy=cy), factor


def _from_frame(values: Array, begin: Array) -> Array:
    """(any, frames or 1, people), where what stands before ``begin`` is what stands there."""
    frames = values.shape[1]
    index = jnp.minimum(jnp.maximum(jnp.arange(frames), begin), frames - 1)
    return values if frames == 1 else jnp.take(values, index, axis=1)


def _lay_out_path(
    extrinsics: Extrinsics, people: tuple[int, ...], begin: Array | None
) -> tuple[CameraPath, Array]:
    """The path with people last, and the origin (people, 3) in the world that it is measured from: the
    camera's first position, so that coordinates far from the world's origin lose no digits.
    """

    def lanes(values: Array, size: int) -> Array:
        """(people or none, frames or 1, ...) -> (size, frames or 1, people)"""
        count = math.prod(people)
        values = jnp.asarray(values)
        lead = values.ndim - (1 if size == 3 else 2)
        values = values.reshape(-1, values.shape[lead - 1], size)
        values = jnp.transpose(jnp.broadcast_to(values, (count, *values.shape[1:])), (2, 1, 0))
        return values if begin is None else _from_frame(values, begin)

    rotation, position = lanes(extrinsics.rotation, 9), lanes(extrinsics.position, 3)
    origin = jax.lax.stop_gradient(position[:, 0])
    origin = jnp.where(jnp.isfinite(origin), origin, jnp.zeros_like(origin))
    return CameraPath(rotation, position - origin[:, None]), origin.T


class Prepared(NamedTuple):
    """What a solver starts from. terms: people who cannot be solved have no visible joint in them; params
    (blocks, 6, people): the linear start, or the given one; status (people,): CONVERGED where nothing speaks
    against solving; summary: of every frame's joints.
    """

    terms: Terms
    params: Array
    status: Array
    summary: Summary


def prepare(
    clip: Clip,
    weights: tuple[Array, Array],
    start: Array | None,
    loss: Loss,
    begin: Array | None = None,
) -> Prepared:
    """Masks out who cannot be solved and finds a first path, which begins at frame ``begin``; start (3,
    frames, people) takes its place.
    """
    summary = summarize(clip.joints)
    status = _prior_status(clip, summary, weights, loss, begin)
    usable = status == int(Status.CONVERGED)
    joints, camera, weights, loss = keep_usable(usable, clip.joints, clip.camera, weights, loss)
    path = clip.path
    if path is not None:
        still = jnp.eye(3, dtype=path.rotation.dtype).reshape(9, 1, 1)
        path = CameraPath(
            jnp.where(usable[None, None], path.rotation, still),
            jnp.where(usable[None, None], path.position, jnp.zeros_like(path.position)),
        )
    drift = None
    if clip.known is not None:
        drift = _held(_drift(clip.known, weights), usable)
    terms = make_terms(joints, summary, camera, *weights, path, loss, begin, drift=drift)
    linear, behind = linear_start(terms, summary)
    status = jnp.where(usable & behind, int(Status.BEHIND_CAMERA), status)
    first = linear if start is None else to_camera(jnp.swapaxes(start, 0, 1), path)
    # Every joint has to start before the camera, where the cost has a slope.
    first = first.at[:, 2].set(jnp.maximum(first[:, 2], NEAREST - summary.nearest))
    solvable = status == int(Status.CONVERGED)
    kept = solvable[None, None]
    if begin is not None:
        kept = kept & (jnp.arange(len(first)) >= begin)[:, None, None]
    first = jnp.where(kept, from_camera(first, path), jnp.zeros_like(first))
    # Who turned out to stand behind the camera takes no steps, for which everybody would wait.
    joints = joints._replace(visible=jnp.where(solvable[None, None], joints.visible, 0))
    if terms.drift is not None:
        terms = terms._replace(drift=_held(terms.drift, solvable))
    return Prepared(terms._replace(joints=joints), blocks_of(first), status, summary)


def _held(drift: Drift, moving: Array) -> Drift:
    """The drift, of people (people,) who are not ``moving`` towards no movement at all."""
    return drift._replace(step=jnp.where(moving[None, None], drift.step, 0))


def keep_answered(answered: Array, found: Array, terms: Terms) -> tuple[Array, Terms]:
    """params and terms with zeros for people who got no answer, whatever stopped them: gradients of what
    people share, a weight or a camera, then meet no NaN of theirs.
    """

    def kept(values: Array) -> Array:
        return jnp.where(answered.reshape((1,) * (values.ndim - 1) + (-1,)), values, jnp.zeros_like(values))

    joints, centre = jax.tree.map(kept, (terms.joints, terms.centre))
    if terms.drift is not None:
        terms = terms._replace(drift=_held(terms.drift, answered))
    return kept(found), terms._replace(joints=joints, centre=centre, magnitude=kept(terms.magnitude))


def check_distance(root: Array, terms: Terms, summary: Summary, distances: Array, status: Array) -> Array:
    """The status (people,), IMPLAUSIBLE_DISTANCE where the root (frames, 3, people) is nearer to the camera
    than distances[0] metres, or farther than distances[1], on more than a tenth of the frames that show its
    person.
    """
    x, y, z = jnp.moveaxis(to_camera(root, terms.path), 1, 0)
    distance = jnp.sqrt(x * x + y * y + z * z)
    shown = summary.shown > 0
    outside = shown & ((distance < distances[0]) | (distance > distances[1]))
    many = 10 * jnp.sum(outside, axis=0) > jnp.sum(shown, axis=0)
    answered = (status == int(Status.CONVERGED)) | (status == int(Status.MAX_STEPS))
    return jnp.where(answered & many, int(Status.IMPLAUSIBLE_DISTANCE), status)


def keep_usable(
    usable: Array, joints: Joints, camera: Intrinsics, weights: tuple[Array, Array], loss: Loss
) -> tuple[Joints, Intrinsics, tuple[Array, Array], Loss]:
    """A person who cannot be solved becomes one without observations at the origin: the masks stand before
    any arithmetic, so that neither values nor gradients meet a NaN.
    """
    joints = joints._replace(visible=jnp.where(usable[None, None], joints.visible, 0))
    camera = jax.tree.map(lambda value: jnp.where(usable[None, None], value, jnp.ones_like(value)), camera)
    velocity_weight, acceleration_weight = (
        jnp.where(jnp.isfinite(weight) & (weight >= 0), weight, jnp.ones_like(weight)) for weight in weights
    )
    loss = jax.tree.map(
        lambda scale: jnp.where(jnp.isfinite(scale) & (scale > 0), scale, jnp.ones_like(scale)), loss
    )
    return joints, camera, (velocity_weight, acceleration_weight), loss


def linear_start(terms: Terms, summary: Summary, unroll: bool = True) -> tuple[Array, Array]:
    """The solution of the linear problem in camera axes (frames, 3, people), and of whom it has most visible
    joints behind the camera. ``unroll`` trades compile time, see `block_banded.absorb`.
    """
    frames = terms.joints.x.shape[1]
    rows = linear_rows(jax.lax.stop_gradient(terms))
    chain = factor_fast(rows) if unroll else factor(rows, unroll=False)
    linear = to_camera(frames_of(back_substitute(chain, len(rows.own)), frames), terms.path)
    behind = count_behind(terms.joints, summary.nearest, linear[:, 2])
    return linear, behind * 2 > jnp.sum(summary.shown, axis=0)


def count_behind(joints: Joints, nearest: Array, depth: Array) -> Array:
    """How many visible joints of each person lie behind the camera when the roots have this depth (frames,
    people); they are not looked through where there can be none.
    """

    def count() -> Array:
        def one(joint: Joints, depth: Array) -> Array:
            behind = (joint.z + depth <= MIN_DEPTH) & (joint.visible > 0)
            return behind.astype(depth.dtype)

        return jnp.sum(fold_joints(one, joints, depth), axis=0)

    return jax.lax.cond(
        jnp.any(nearest + depth <= MIN_DEPTH), count, lambda: jnp.zeros(depth.shape[1], depth.dtype)
    )


def _prior_status(
    clip: Clip, summary: Summary, weights: tuple[Array, Array], loss: Loss, begin: Array | None
) -> Array:
    """CONVERGED where nothing speaks against solving, else why it cannot be done."""
    finite = jnp.all(clip.sound, axis=(0, 1)) & sound_settings(clip.camera, weights, loss)
    if clip.path is not None:
        finite = finite & jnp.all(sound_poses(clip.path), axis=0)
    # One joint fixes a ray; two fix the distance as well.
    telling = jnp.sum(summary.shown >= 2, axis=0)
    frames = jnp.asarray(clip.sound.shape[1])
    if begin is not None:
        frames = jnp.maximum(frames - begin, 1)
    velocity, acceleration = (jnp.min(weight) for weight in weights)
    needed = jnp.where(velocity > 0, 1, jnp.where(acceleration > 0, jnp.minimum(2, frames), frames))
    status = jnp.where(telling >= needed, int(Status.CONVERGED), int(Status.TOO_FEW_OBSERVATIONS))
    return jnp.where(finite, status, int(Status.NON_FINITE))


def sound_settings(camera: Intrinsics, weights: tuple[Array, Array], loss: Loss) -> Array:
    """(people,): whether the camera's numbers, the weights and the loss's scale are finite and in range."""
    sound = jnp.ones(camera.fx.shape[-1], bool)
    for value in jax.tree.leaves(camera):
        sound = sound & jnp.all(jnp.isfinite(value), axis=(0, 1))
    for value in (camera.fx, camera.fy):
        sound = sound & jnp.all(value > 0, axis=(0, 1))
    for weight in weights:
        sound = sound & jnp.all(jnp.isfinite(weight) & (weight >= 0))
    for scale in loss:
        sound = sound & (jnp.isfinite(scale) & (scale > 0))
    return sound


def sound_poses(path: CameraPath) -> Array:
    """(frames, people): whether the camera's rotation is one, and its position finite."""
    rotation, position = path
    matrices = jnp.moveaxis(rotation.reshape(3, 3, *rotation.shape[1:]), (0, 1), (-2, -1))
    return is_rotation(matrices) & jnp.all(jnp.isfinite(position), axis=0)
