"""Where people stand: the root trajectory of Eq. 9 from root-relative poses, 2D keypoints and an occlusion
mask.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from solvers.block_banded import back_substitute, covariances, factor, factor_fast, log_determinant
from solvers.gauss_newton import BandedGaussNewton, Status
from solvers.pinhole import (
    MIN_DEPTH,
    Camera,
    Extrinsics,
    Intrinsics,
    as_array,
    split_camera,
)
from solvers.robust import GemanMcClure, Huber, Loss
from solvers.trajectory_config import (
    DEFAULT_CONFIG,
    TrajectoryConfig,
    check_arrays,
    check_camera,
    check_confidence,
    check_config,
    check_loss,
    check_path,
    is_rotation,
    make_loss,
    per_axis,
)
from solvers.trajectory_rows import (
    NEAREST,
    CameraPath,
    Joints,
    Summary,
    Terms,
    blocks_of,
    compare,
    fold_joints,
    frames_of,
    from_camera,
    lay_out,
    linear_rows,
    linearize,
    make_terms,
    residuals,
    smoothness_determinant,
    summarize,
    to_camera,
)

ADVICE = {
    Status.CONVERGED: "The trajectory minimises Eq. 9.",
    Status.MAX_STEPS: "The steps ran out before the trajectory settled: raise max_steps or loosen tolerance.",
    Status.TOO_FEW_OBSERVATIONS: (
        "Too few frames show two or more joints to fix the distance: join the clip with its neighbours, "
        "or give velocity_weight a positive value so that one such frame is enough."
    ),
    Status.NON_FINITE: (
        "A visible joint, its confidence, the camera or a weight is NaN, infinite or out of range: "
        "mark such joints as occluded, or mend the numbers."
    ),
    Status.BEHIND_CAMERA: (
        "The keypoints fit a person behind the camera: check that poses are in camera axes "
        "(x right, y down, z forward) and that keypoints have their origin at the top left."
    ),
}


class TrajectorySolution(NamedTuple):
    """root (..., F, 3): metres; in camera axes, or in world axes where the camera's motion was given. NaN
    where the status is not CONVERGED or MAX_STEPS.
    status (...): a `Status` for each person; over several windows the gravest.
    cost (...): Eq. 9 at the root, in squared pixels, summed over windows; NaN like the root.
    num_steps (...): steps tried, rejected ones and those of a robust start included, in the slowest window.
    covariance (..., F, 3, 3): of every frame's root, square metres, when asked for: keypoint_std^2 times the
        diagonal blocks of the inverse Gauss-Newton matrix, and the share of `TrajectoryConfig.size_std`.
    log_evidence (...): logarithm of the marginal likelihood of the visible keypoints, with the path
        integrated out (Laplace's approximation), up to a constant of their number; when covariance is asked
        for. The weights and keypoint_std that make its sum over clips greatest fit them best. It takes a
        positive velocity_weight.
    """

    root: Float[Array, "*people frames 3"]
    status: Int[Array, "*people"]
    cost: Float[Array, "*people"]
    num_steps: Int[Array, "*people"]
    covariance: Float[Array, "*people frames 3 3"] | None = None
    log_evidence: Float[Array, "*people"] | None = None


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
    confidence: Shaped[Any, "..."] | None = None,
    covariance: bool = False,
    extrinsics: Extrinsics | None = None,
) -> TrajectorySolution:
    """Eq. 9 with the masks of Eq. 7, for every person by itself:

        min_C  sum_t sum_{i visible} w_it |rho(X_it + C_t) - x_it|^2
               + lambda_1 sum |C_t - C_{t-1}|^2 + lambda_2 sum |C_{t-1} - 2 C_t + C_{t+1}|^2

    Pixels for the first sum and millimetres for the others; arguments and results are in metres. w_it is the
    confidence, 1 without one; config.loss puts a robust loss in place of the square in the first sum.

    poses (..., F, J, 3): root-relative joints, metres, camera axes (x right, y down, z forward).
    keypoints (..., F, J, 2): pixels, origin top left. What stands at a hidden joint does not matter: NaN is
    fine.
    occluded (..., F, J): boolean, True = hidden.
    camera: one, or one for each of the leading axes, or one for each of those and each frame.
    config: weights, limits and window. The weights may be traced and differentiated; the rest is fixed.
    initial_root (..., F, 3): a first guess. Without one the start is the solution of the linear problem
        f (X + C)_xy = (x - c) (Z + C_z), with lens distortion undone first.
    confidence (..., F, J): weight of the joint's squared error, finite and not negative, usually 0 to 1.
        A joint of confidence 0 is hidden in every respect; what stands at a hidden joint does not matter.
    covariance: also say how sure every root is, see `TrajectorySolution`. It costs one more elimination.
    extrinsics: where the camera is on every frame, rotation (..., F, 3, 3) and position (..., F, 3), with one
        frame for a camera that stands still and without leading axes for one camera that sees everybody. The
        unknowns are then the roots in world axes, where people move as smoothly as they do and not as the
        camera shakes; poses stay in camera axes, initial_root is in world axes.

    Leading axes are people (or batch); the function may be jitted and vmapped. Derivatives are implicit,
    forward and reverse, with respect to poses, keypoints, camera, weights, confidence and loss_scale;
    initial_root has none, and a hidden joint (one of confidence 0 is) has none in its confidence.
    Arithmetic is that of the dtype of ``poses``. See `TrajectorySolution` for what comes back and
    `describe_status` for what to do about it.

    A person gets NaN as root and the status
    NON_FINITE when a visible keypoint, its joint or its confidence, the camera, its pose or a weight is NaN
        or infinite, when a confidence is negative, or when a traced focal length, weight, rotation or
        loss_scale is out of range;
    TOO_FEW_OBSERVATIONS unless enough frames show two joints (one joint fixes a ray, two the distance): one
    frame if
        lambda_1 > 0, two if only lambda_2 > 0, all of them if both weights are zero;
    BEHIND_CAMERA when most visible joints of the linear start lie behind the camera;
    and nobody else's answer changes by a bit.

    Raises ValueError for wrong ranks, dtypes or shapes, empty clips, an unknown loss, and concrete focal
    lengths, weights, rotations or loss_scale that are out of range.
    """
    # A short clip is solved in half a millisecond: conversions that change nothing would be a tenth of it.
    poses, keypoints, occluded = (
        values if isinstance(values, Array) else jnp.asarray(values)
        for values in (poses, keypoints, occluded)
    )
    check_arrays(poses, keypoints, occluded)
    check_config(config)
    check_loss(config)
    *people, frames, _, _ = poses.shape
    dtype = poses.dtype
    if initial_root is not None:
        initial_root = jnp.asarray(initial_root).astype(dtype)
        if initial_root.shape != (*people, frames, 3):
            raise ValueError(
                f"initial_root has shape {initial_root.shape}, poses {poses.shape}: "
                f"pass one root a frame, {(*people, frames, 3)}"
            )
    if confidence is not None:
        confidence = jnp.asarray(confidence)
        check_confidence(confidence, poses.shape[:-1])
        confidence = confidence.astype(dtype)
    intrinsics = split_camera(camera, dtype)
    check_camera(intrinsics, (*people, frames))
    # One number or three, the compiled function is the same.
    weights = tuple(
        per_axis(as_array(weight, dtype)) for weight in (config.velocity_weight, config.acceleration_weight)
    )
    spreads = tuple(as_array(value, dtype) for value in (config.keypoint_std, config.size_std))
    path = None if extrinsics is None else check_path(extrinsics, tuple(people), frames, dtype)
    return _solve_people(
        poses,
        keypoints if keypoints.dtype == dtype else keypoints.astype(dtype),
        occluded,
        intrinsics,
        weights,
        initial_root,
        spreads if covariance else None,
        path,
        confidence,
        make_loss(config, dtype),
        max_steps=config.max_steps,
        tolerance=config.tolerance,
        window=config.window,
    )


@functools.partial(jax.jit, static_argnames=("max_steps", "tolerance", "window"))
def _solve_people(
    poses: Array,
    keypoints: Array,
    occluded: Array,
    camera: Intrinsics,
    weights: tuple[Array, Array],
    initial_root: Array | None,
    spreads: tuple[Array, Array] | None,
    extrinsics: Extrinsics | None,
    confidence: Array | None,
    loss: Loss,
    *,
    max_steps: int,
    tolerance: float,
    window: int | None,
) -> TrajectorySolution:
    *people, frames, _, _ = poses.shape
    count = math.prod(people)

    joints, sound = lay_out(
        poses.reshape(count, frames, -1, 3),
        keypoints.reshape(count, frames, -1, 2),
        occluded.reshape(count, frames, -1),
        None if confidence is None else confidence.reshape(count, frames, -1),
    )
    cameras = jax.tree.map(lambda value: camera_lanes(jnp.asarray(value), tuple(people), frames), camera)
    path, origin = None, None
    if extrinsics is not None:
        path, origin = _lay_out_path(extrinsics, tuple(people))
    clip = _Clip(joints, sound, cameras, path)
    start = None
    if initial_root is not None:
        start = jnp.transpose(initial_root.reshape(count, frames, 3), (2, 1, 0))
        start = start if origin is None else start - origin.T[:, None]

    # Windows of equal length are lanes like people; a shorter last one is a problem of its own shape.
    length = min(window or frames, frames)
    whole = frames - frames % length
    parts = []
    for begin, end in ((0, whole), (whole, frames)):
        if begin == end:
            continue
        folded = functools.partial(_fold, begin=begin, end=end, length=min(length, end - begin))
        found = _solve_lanes(
            jax.tree.map(folded, clip),
            weights,
            None if start is None else folded(start),
            spreads,
            loss,
            max_steps,
            tolerance,
        )
        parts.append(jax.tree.map(functools.partial(_unfold, people=count), found))

    found = jax.tree.map(lambda *values: jnp.concatenate(values, axis=1), *parts)

    def lead(values: Array) -> Array:
        return values.reshape(*people, *values.shape[1:])

    covariance, evidence = found.covariance, found.log_evidence
    root = found.root if origin is None else found.root + origin[:, None]
    return TrajectorySolution(
        root=lead(root),
        status=lead(jnp.max(found.status, axis=1)),
        cost=lead(jnp.sum(found.cost, axis=1)),
        num_steps=lead(jnp.max(found.num_steps, axis=1)),
        covariance=None if covariance is None else lead(covariance),
        log_evidence=None if evidence is None else lead(jnp.sum(evidence, axis=1)),
    )


def _fold(values: Array, begin: int, end: int, length: int) -> Array:
    """(any, frames or 1, people) -> (any, length or 1, windows * people)."""
    first, frames, people = values.shape
    windows = (end - begin) // length
    if frames == 1 and end - begin > 1:
        return jnp.tile(values, (1, 1, windows))
    values = values[:, begin:end].reshape(first, windows, length, people)
    return jnp.swapaxes(values, 1, 2).reshape(first, length, windows * people)


def _unfold(values: Array, people: int) -> Array:
    """(length, ..., windows * people) -> (people, windows * length, ...); without a first axis of frames,
    (windows * people) -> (people, windows).
    """
    values = values.reshape(*values.shape[:-1], -1, people)
    if values.ndim == 2:
        return values.T
    length, *rest, windows, _ = values.shape
    return jnp.moveaxis(values, (-1, -2), (0, 1)).reshape(people, windows * length, *rest)


def camera_lanes(value: Array, people: tuple[int, ...], frames: int) -> Array:
    """One number of the camera, with the leading axes of the people and perhaps frames, as (1, frames or 1,
    people).
    """
    if value.ndim > len(people):
        return value.reshape(-1, frames).T[None]
    value = value.reshape(value.shape + (1,) * (len(people) - value.ndim))
    return jnp.broadcast_to(value, people).reshape(1, 1, -1)


def _lay_out_path(extrinsics: Extrinsics, people: tuple[int, ...]) -> tuple[CameraPath, Array]:
    """The path with people last, and the origin (people, 3) in the world that it is measured from: the
    camera's first position, so that coordinates far from the world's origin lose no digits.
    """

    def lanes(values: Array, size: int) -> Array:
        """(people or none, frames or 1, ...) -> (size, frames or 1, people)"""
        count = math.prod(people)
        values = jnp.asarray(values)
        lead = values.ndim - (1 if size == 3 else 2)
        values = values.reshape(-1, values.shape[lead - 1], size)
        return jnp.transpose(jnp.broadcast_to(values, (count, *values.shape[1:])), (2, 1, 0))

    rotation, position = lanes(extrinsics.rotation, 9), lanes(extrinsics.position, 3)
    origin = jax.lax.stop_gradient(position[:, 0])
    origin = jnp.where(jnp.isfinite(origin), origin, jnp.zeros_like(origin))
    return CameraPath(rotation, position - origin[:, None]), origin.T


class _Clip(NamedTuple):
    """One clip with people last; sound (1, frames, people): no visible joint is NaN or infinite."""

    joints: Joints
    sound: Array
    camera: Intrinsics
    path: CameraPath | None


def _solve_lanes(
    clip: _Clip,
    weights: tuple[Array, Array],
    start: Array | None,
    spreads: tuple[Array, Array] | None,
    loss: Loss,
    max_steps: int,
    tolerance: float,
) -> TrajectorySolution:
    """The solution of every lane, a person or a person's window, with lanes as the last axis."""
    frames = clip.sound.shape[1]
    summary = summarize(clip.joints)
    status = _prior_status(clip, summary, weights, loss)
    usable = status == int(Status.CONVERGED)
    joints, camera, weights, loss = keep_usable(usable, clip.joints, clip.camera, weights, loss)
    path = clip.path
    if path is not None:
        still = jnp.eye(3, dtype=path.rotation.dtype).reshape(9, 1, 1)
        path = CameraPath(
            jnp.where(usable[None, None], path.rotation, still),
            jnp.where(usable[None, None], path.position, jnp.zeros_like(path.position)),
        )
    terms = make_terms(joints, summary, camera, *weights, path, loss)
    linear, behind = linear_start(terms, summary)
    status = jnp.where(usable & behind, int(Status.BEHIND_CAMERA), status)
    begin = linear if start is None else to_camera(jnp.swapaxes(start, 0, 1), path)
    # Every joint has to start before the camera, where the cost has a slope.
    begin = begin.at[:, 2].set(jnp.maximum(begin[:, 2], NEAREST - summary.nearest))
    solvable = status == int(Status.CONVERGED)
    begin = jnp.where(solvable[None, None], from_camera(begin, path), jnp.zeros_like(begin))

    solver = BandedGaussNewton(
        residual_fun=residuals, linearize=linearize, compare=compare, maxiter=max_steps, tol=tolerance
    )
    params, steps = blocks_of(begin), 0
    if isinstance(loss, GemanMcClure):
        # Where it does not see the sound joints it has no slope; Huber's loss always has one.
        first = solver.run(params, jax.lax.stop_gradient(terms._replace(loss=Huber(loss.scale))))
        params, steps = jax.lax.stop_gradient(first.params), first.state.num_steps
    params, state = solver.run(params, terms)
    status = jnp.where(solvable, state.status, status)
    answered = (status == int(Status.CONVERGED)) | (status == int(Status.MAX_STEPS))
    root = jnp.where(answered[None, None], frames_of(params, frames), jnp.nan)
    cost = jnp.where(answered, 2 * state.value, jnp.nan)
    solution = TrajectorySolution(root, status, cost, state.num_steps + steps)
    if spreads is None:
        return solution
    keypoint_std, size_std = spreads
    rows = linearize(params, jnp.zeros_like(state.value), terms)
    chain = factor(rows, unroll=False)
    spread = frames_of(covariances(chain, len(rows.own)), frames)
    # A person of another size stands elsewhere on the ray from the camera.
    ray = root if path is None else root - jnp.swapaxes(path.position, 0, 1)
    covariance = keypoint_std**2 * spread + size_std**2 * ray[:, :, None] * ray[:, None]
    determinants = log_determinant(chain, len(rows.own)) - smoothness_determinant(terms)
    freedom = 2 * jnp.sum(summary.shown, axis=0) - 3
    evidence = -(cost / keypoint_std**2 + 2 * freedom * jnp.log(keypoint_std) + determinants) / 2
    return solution._replace(
        covariance=jnp.where(answered[None, None, None], covariance, jnp.nan), log_evidence=evidence
    )


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


def _prior_status(clip: _Clip, summary: Summary, weights: tuple[Array, Array], loss: Loss) -> Array:
    """CONVERGED where nothing speaks against solving, else why it cannot be done."""
    finite = jnp.all(clip.sound, axis=(0, 1)) & sound_settings(clip.camera, weights, loss)
    if clip.path is not None:
        finite = finite & jnp.all(sound_poses(clip.path), axis=0)
    # One joint fixes a ray; two fix the distance as well.
    telling = jnp.sum(summary.shown >= 2, axis=0)
    frames = clip.sound.shape[1]
    velocity, acceleration = (jnp.min(weight) for weight in weights)
    needed = jnp.where(velocity > 0, 1, jnp.where(acceleration > 0, min(2, frames), frames))
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
