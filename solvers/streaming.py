"""Where people stand, live: Eq. 9 over the last frames, and a prior for all the older ones.

A frame that leaves the window is not forgotten. Its rows, linearised where the window has put it, are
eliminated by reflections (no normal equations) onto the two frames after it, as a triangle of six rows:

    frames   0  1  2  3  4  5  6  7            the window of `solve_trajectory`
             ------>  P  .  .  .  .  *         P: the prior; *: the frame just fed

so that a frame costs the same, whatever has been fed before it.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from solvers.gauss_newton import BandedGaussNewton, Status
from solvers.joints import Joints, lay_out, summarize
from solvers.pinhole import Camera, Extrinsics, Intrinsics, as_array, is_traced
from solvers.robust import GemanMcClure, Huber, Loss
from solvers.trajectory_config import (
    DEFAULT_CONFIG,
    REFERENCE_FPS,
    TrajectoryConfig,
    arithmetic_dtype,
    as_given,
    at_rate,
    is_rotation,
    read_camera,
    read_config,
    read_rate,
)
from solvers.trajectory_lanes import (
    camera_lanes,
    check_distance,
    keep_usable,
    linear_start,
    resize_image,
    sound_poses,
    sound_settings,
)
from solvers.trajectory_rows import (
    NEAREST,
    CameraPath,
    Prior,
    blocks_of,
    compare,
    eliminate_first,
    frames_of,
    from_camera,
    linearize,
    make_terms,
    residuals,
    to_camera,
)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """What a stream is compiled for, besides its shapes."""

    lag: int
    max_steps: int
    tolerance: float


class StreamState(NamedTuple):
    """What `feed` needs of the frames so far; its size does not depend on how many there were. A pytree of
    arrays with people last, to be passed on as it is; the roots in it are read with `window_root`.

    camera, resizing: that of the image resized to `REFERENCE_FOCAL`, and by how much (1, 1, people).
    weights: those at the stream's rate; distances: config.distance_range.
    filled: frames in the window, which are its last ones.
    joints, path: what was fed, (any, frames, people); path is None where roots are in camera axes.
    origin (3, people): metres in world axes, from where the roots are measured.
    roots (frames, 3, people): the newest answer; huber: that with Huber's loss, where Geman-McClure's starts
        from it.
    prior: of all older frames, on the first two of the window.
    settled (people,): enough was seen to fix the path; until then frames that leave the window are forgotten.
    answered (people,): whether roots are an answer.
    """

    settings: StreamSettings
    camera: Intrinsics
    resizing: Array
    weights: tuple[Array, Array]
    loss: Loss
    distances: Array
    filled: Array
    joints: Joints
    path: CameraPath | None
    origin: Array
    roots: Array
    huber: Array | None
    prior: Prior
    settled: Array
    answered: Array


class StreamEstimate(NamedTuple):
    """root (P, 3): of the frame just fed, metres, in camera axes or, where the camera's motion is fed, in
    world axes. NaN for a person without an answer.
    lagged (P, 3): of the frame `lag` frames before, which the frames since then have corrected; NaN as long
    as there is none.
    status (P,): a `Status` for each person. NON_FINITE speaks of the frame just fed, which then counts as
    hidden: a person who had an answer keeps one.
    num_steps (P,): steps tried, those of a robust start included.
    """

    root: Float[Array, "people 3"]
    lagged: Float[Array, "people 3"]
    status: Int[Array, " people"]
    num_steps: Int[Array, " people"]


def start_stream(
    people: Any,
    joints: Any,
    camera: Camera,
    config: TrajectoryConfig = DEFAULT_CONFIG,
    lag: Any = 25,
    moving: bool = False,
    dtype: Any = jnp.float32,
    fps: Any = REFERENCE_FPS,
) -> StreamState:
    """The state before the first frame of a fixed-lag solve of Eq. 9, which `feed` continues:

        min_C  |prior (C_s, C_s+1)|^2 + sum_{t = s..now} sum_{i visible} w_it |rho(X_it + C_t) - x_it|^2
               + lambda_1 sum |C_t - C_{t-1}|^2 + lambda_2 sum |C_{t-1} - 2 C_t + C_{t+1}|^2

    over the last lag + 1 frames, with the units of `solve_trajectory`. As long as no frame has left them
    there is no prior, and the answer is that of `solve_trajectory` for the frames so far. An odd lag takes
    one frame more, so that the prior lies on one block of the elimination.

    people, joints: P and J, how many every frame holds; who is absent is hidden.
    camera: one, or one for each person; it stays the same.
    config: weights, loss, max_steps and tolerance. With max_steps = 1 the next frame goes on from where a
        frame has ended, and the status is MAX_STEPS.
    lag: frames by which `StreamEstimate.lagged` is late, one at least.
    moving: every frame comes with the camera's pose, and roots are in world axes. Coordinates are measured
        from where the camera was on the first frame.
    dtype: of the arithmetic, float32 or, with jax_enable_x64, float64.
    fps: frames a second that will be fed, one number; it stays the same.

    Raises ValueError for numbers of people, joints or frames that are no positive integers, a window in
    config, two smoothness weights that are both zero, a dtype that is not floating point or shorter than
    float32, and whatever `solve_trajectory` refuses in camera, config and fps.
    """
    for name, number in (("people", people), ("joints", joints), ("lag", lag)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name} is {number!r}: pass a whole number, 1 at least")
    dtype = jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype is {dtype}: pass float32, or float64 with jax_enable_x64")
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError("dtype is float64, which JAX has switched off: set jax_enable_x64, or pass float32")
    if arithmetic_dtype(dtype) != dtype:
        raise ValueError(f"dtype is {dtype}, whose digits do not suffice for a path: pass float32")
    weights, _, loss, distances = read_config(config, dtype)
    rate = read_rate(fps, dtype)
    if config.window is not None:
        raise ValueError(f"config.window is {config.window}: a stream has its lag instead, pass None")
    if not is_traced(weights):
        first, second = (np.asarray(weight) for weight in weights)
        if not np.all((first > 0) | (second > 0)):
            raise ValueError(
                f"config.velocity_weight is {config.velocity_weight} and config.acceleration_weight "
                f"{config.acceleration_weight}, which leaves an axis without either: give one of them a "
                "positive value, or frames have nothing in common"
            )
    intrinsics = read_camera(camera, dtype, (people,))

    people, joints = int(people), int(joints)
    frames = lag + 1 + lag % 2

    def empty(*shape: int) -> Array:
        return jnp.zeros((*shape, people), dtype)

    loss = jax.tree.map(jnp.asarray, loss)
    lens, resizing = resize_image(
        jax.tree.map(lambda value: camera_lanes(jnp.asarray(value), (people,)), intrinsics)
    )
    path = None
    if moving:
        still = jnp.eye(3, dtype=dtype).reshape(9, 1, 1)
        path = CameraPath(jnp.broadcast_to(still, (9, frames, people)), empty(3, frames))
    return StreamState(
        settings=StreamSettings(int(lag), int(config.max_steps), float(config.tolerance)),
        camera=lens,
        resizing=resizing,
        weights=at_rate((jnp.asarray(weights[0]), jnp.asarray(weights[1])), jnp.asarray(rate)),
        loss=loss,
        distances=jnp.asarray(distances),
        filled=jnp.asarray(0),
        joints=Joints(*(empty(joints, frames) for _ in Joints._fields)),
        path=path,
        origin=empty(3),
        roots=empty(frames, 3),
        huber=empty(frames, 3) if isinstance(loss, GemanMcClure) else None,
        prior=Prior.nothing(people, dtype),
        settled=jnp.zeros(people, bool),
        answered=jnp.zeros(people, bool),
    )


def feed(
    state: StreamState,
    poses: Shaped[Any, "..."],
    keypoints: Shaped[Any, "..."],
    occluded: Shaped[Any, "..."],
    confidence: Shaped[Any, "..."] | None = None,
    extrinsics: Extrinsics | None = None,
) -> tuple[StreamState, StreamEstimate]:
    """One frame more of the problem of `start_stream`: the state after it, and its root and that of `lag`
    frames ago. What is fed is as in `solve_trajectory`, without its axis of frames.

    poses (P, J, 3): root-relative joints, metres, camera axes.
    keypoints (P, J, 2): pixels; occluded (P, J): boolean, True = hidden. What stands at a hidden joint does
    not matter.
    confidence (P, J): weight of the joint's squared error, finite and not negative; 0 is hidden.
    extrinsics: where the camera is, rotation (3, 3) or (P, 3, 3) and position (3,) or (P, 3); for streams
        that were started with moving=True, and for those on every frame.

    Arithmetic is that of the state's dtype; the function may be jitted, and is so by itself.

    Statuses of a person:
    TOO_FEW_OBSERVATIONS until one frame within the window shows two joints (two frames, if lambda_1 = 0):
        somebody who was never there, or not yet. From then on there is an answer for ever, in gaps of any
        length that of the smoothness;
    NON_FINITE when a visible joint of the frame, its confidence or the camera's pose is NaN, infinite, out of
        range or too large to square. The frame counts as hidden for this person, whose root is then what the
        other frames say;
    BEHIND_CAMERA when most visible joints of a first answer lie behind the camera; the next frame tries
        again;
    IMPLAUSIBLE_DISTANCE as long as the root is outside config.distance_range on more than a tenth of the
        window's frames that show the person;
    MAX_STEPS when the steps ran out: the next frame goes on from there.
    Nobody else's answer changes by a bit.

    Raises ValueError for wrong dtypes and shapes, extrinsics that are missing or not expected, and a concrete
    rotation that is none.
    """
    count, *_, people = state.joints.x.shape
    dtype = state.roots.dtype
    # What is not yet on a device stays with NumPy until the jitted function is called, which is quicker.
    poses, keypoints, occluded = (
        as_given(name, values)
        for name, values in (("poses", poses), ("keypoints", keypoints), ("occluded", occluded))
    )
    wanted = {"poses": (people, count, 3), "keypoints": (people, count, 2), "occluded": (people, count)}
    given = {"poses": poses, "keypoints": keypoints, "occluded": occluded}
    if confidence is not None:
        confidence = as_given("confidence", confidence)
        wanted["confidence"], given["confidence"] = (people, count), confidence
    for name, values in given.items():
        _check_values(name, values, wanted[name])
    if (extrinsics is None) == (state.path is not None):
        raise ValueError(
            "extrinsics are missing: the stream was started with moving=True, pass the camera's pose"
            if extrinsics is None
            else "extrinsics were passed, but the stream has roots in camera axes: start it with moving=True"
        )
    pose = None if extrinsics is None else _check_pose(extrinsics, people, dtype)
    return _feed(state, poses, keypoints, occluded, confidence, pose)


def window_root(state: StreamState) -> Float[Array, "people frames 3"]:
    """(P, lag + 1, 3): the newest answer for the root on each of the last lag + 1 frames, oldest first, in
    the axes of `StreamEstimate.root`. NaN for a person without an answer and for frames before the first.
    """
    frames, lag = len(state.roots), state.settings.lag
    fed = jnp.arange(frames) >= frames - state.filled
    known = fed[:, None, None] & state.answered[None, None]
    root = jnp.where(known, state.roots + state.origin[None], jnp.nan)
    return jnp.transpose(root[frames - lag - 1 :], (2, 0, 1))


def forget(state: StreamState, people: Shaped[Any, "..."]) -> StreamState:
    """The state as if nobody had been seen where ``people`` (P,), boolean, is True: for a place that somebody
    else takes. Raises ValueError for another shape or dtype.
    """
    people, count = jnp.asarray(people), len(state.settled)
    if people.shape != (count,) or people.dtype != jnp.bool_:
        raise ValueError(
            f"people has shape {people.shape} and dtype {people.dtype}: pass {count} booleans, True = forget"
        )
    nothing = jax.tree.map(
        lambda values: jnp.where(people.reshape((1,) * (values.ndim - 1) + (-1,)), 0, values),
        (state.joints, state.roots, state.huber, state.prior),
    )
    joints, roots, huber, prior = nothing
    return state._replace(
        joints=joints,
        roots=roots,
        huber=huber,
        prior=prior,
        settled=state.settled & ~people,
        answered=state.answered & ~people,
    )


def _check_values(name: str, values: Any, wanted: tuple[int, ...]) -> None:
    if values.shape != wanted:
        if len(values.shape) == len(wanted):
            for axis, what in ((0, "people"), (1, "joints")):
                if values.shape[axis] != wanted[axis]:
                    mend = (
                        "start another stream, or keep who is absent as hidden"
                        if axis == 0
                        else "convert them, or start another stream"
                    )
                    raise ValueError(
                        f"{name} has {values.shape[axis]} {what}, the stream was started for "
                        f"{wanted[axis]}: {mend}"
                    )
        raise ValueError(f"{name} has shape {values.shape}: pass one frame of everybody, {wanted}")
    if name == "occluded":
        if values.dtype != jnp.bool_:
            raise ValueError(f"occluded has dtype {values.dtype}: pass booleans, True = hidden")
    elif not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"{name} has dtype {values.dtype}: pass floating point numbers")


def _check_pose(extrinsics: Extrinsics, people: int, dtype: Any) -> Extrinsics:
    rotation, position = (as_array(values, dtype) for values in extrinsics)
    for name, values, size in (("rotation", rotation, (3, 3)), ("position", position, (3,))):
        if values.shape not in (size, (people, *size)):
            raise ValueError(
                f"extrinsics.{name} has shape {values.shape}: pass that of one frame, {size}, or one for "
                f"each person, {(people, *size)}"
            )
    if not is_traced(rotation) and not bool(np.all(is_rotation(np.asarray(rotation)))):
        raise ValueError(
            "extrinsics.rotation holds a matrix that is no rotation: pass orthonormal rows with determinant "
            "1, from world to camera axes"
        )
    # One camera for all is compiled as one for each.
    return Extrinsics(_for_each(rotation, (people, 3, 3)), _for_each(position, (people, 3)))


def _for_each(values: Any, shape: tuple[int, ...]) -> Any:
    if values.shape == shape:
        return values
    return (jnp if isinstance(values, Array) else np).broadcast_to(values, shape)


class _Frame(NamedTuple):
    """One frame with people last, its axis of frames kept; sound (people,): nothing in it is NaN, infinite or
    out of range. Where something is, the person is hidden.
    """

    joints: Joints
    sound: Array
    path: CameraPath | None


def _lay_out_frame(
    poses: Array,
    keypoints: Array,
    occluded: Array,
    confidence: Array | None,
    pose: Extrinsics | None,
    resizing: Array,
) -> _Frame:
    def alone(values: Array) -> Array:
        # Cast here and not before: what stands at a hidden joint may be NaN, see `Arguments.cast`.
        return jnp.asarray(values).astype(resizing.dtype)[:, None]

    joints, sound = lay_out(
        alone(poses),
        alone(keypoints),
        occluded[:, None],
        None if confidence is None else alone(confidence),
        resizing,
    )
    sound, path = sound[0, 0], None
    if pose is not None:
        people = len(poses)
        path = CameraPath(pose.rotation.reshape(people, 1, 9).T, pose.position.reshape(people, 1, 3).T)
        placed = sound_poses(path)[0]
        still = jnp.eye(3, dtype=pose.rotation.dtype).reshape(9, 1, 1)
        path = CameraPath(
            jnp.where(placed[None, None], path.rotation, still),
            jnp.where(placed[None, None], path.position, 0),
        )
        sound = sound & placed
    return _Frame(jax.tree.map(lambda values: jnp.where(sound[None, None], values, 0), joints), sound, path)


def _shifted(window: Any, new: Any, axis: int) -> Any:
    """The window without its oldest frame and with a new one."""

    def shift(values: Array, value: Array) -> Array:
        kept = jax.lax.slice_in_dim(values, 1, None, axis=axis)
        return jnp.concatenate([kept, value], axis=axis)

    return jax.tree.map(shift, window, new)


@jax.jit
def _feed(
    state: StreamState,
    poses: Array,
    keypoints: Array,
    occluded: Array,
    confidence: Array | None,
    pose: Extrinsics | None,
) -> tuple[StreamState, StreamEstimate]:
    settings, window = state.settings, len(state.roots)
    new = _lay_out_frame(poses, keypoints, occluded, confidence, pose, state.resizing)
    origin, path = state.origin, None
    if new.path is not None:
        origin = jnp.where(state.filled == 0, new.path.position[:, 0], origin)
        path = _shifted(state.path, new.path._replace(position=new.path.position - origin[:, None]), 1)

    sound = sound_settings(state.camera, state.weights, state.loss)
    prior = _older(state, sound)
    everything = _shifted(state.joints, new.joints, 1)
    filled = jnp.minimum(state.filled + 1, window)
    guess = jnp.concatenate([state.roots[1:], state.roots[-1:]])

    summary = summarize(everything)
    telling = jnp.sum(summary.shown >= 2, axis=0)
    velocity, acceleration = (jnp.min(weight) for weight in state.weights)
    # Two frames fix a path for ever if lambda_1 = 0; a single first one is an answer, but not yet a path.
    lasting = jnp.where(velocity > 0, 1, jnp.where(acceleration > 0, 2, window + 1))
    usable = sound & (state.settled | (telling >= jnp.minimum(lasting, filled)))

    joints, camera, weights, loss = keep_usable(usable, everything, state.camera, state.weights, state.loss)
    terms = make_terms(joints, summary, camera, *weights, path, loss, window - filled, prior)
    # Who has no path yet begins with the linear problem's.
    fresh = usable & ~state.settled
    first_guess = guess if state.huber is None else jnp.concatenate([state.huber[1:], state.huber[-1:]])
    warm = to_camera(first_guess, path)
    linear, behind = jax.lax.cond(
        jnp.any(fresh),
        lambda: linear_start(terms, summary, unroll=False),  # once a person, but compiled by everybody
        lambda: (warm, jnp.zeros_like(usable)),
    )
    begin = jnp.where(fresh[None, None], linear, warm)
    solvable = usable & ~(fresh & behind)
    # Who turned out to stand behind the camera takes no steps, for which everybody would wait.
    visible = jnp.where(solvable[None, None], joints.visible, 0)
    terms = terms._replace(joints=joints._replace(visible=visible))
    # Every joint has to start before the camera, where the cost has a slope.
    begin = begin.at[:, 2].set(jnp.maximum(begin[:, 2], NEAREST - summary.nearest))
    within = (jnp.arange(window) >= window - filled)[:, None, None]
    begin = jnp.where(solvable[None, None] & within, from_camera(begin, path), 0)

    solver = BandedGaussNewton(
        residual_fun=residuals,
        linearize=linearize,
        compare=compare,
        maxiter=settings.max_steps,
        tol=settings.tolerance,
    )
    params, steps, huber = blocks_of(begin), 0, None
    if isinstance(loss, GemanMcClure):
        first = solver.run(params, terms._replace(loss=Huber(loss.scale)))
        params, steps = first.params, first.state.num_steps
        huber = frames_of(params, window)
    params, solved = solver.run(params, terms)

    # A frame that overflows is left out, and whatever else the window holds of who has no path yet.
    spoilt = solvable & (solved.status == int(Status.NON_FINITE))
    answered = solvable & (~spoilt | state.settled)

    def kept(values: Array, older: Array) -> Array:
        return jnp.where(spoilt[None, None], older, jnp.where(answered[None, None], values, 0))

    newest = (jnp.arange(window) == window - 1)[None, :, None]
    left_out = spoilt[None, None] & (newest | ~state.settled[None, None])
    status = jnp.where(solvable, solved.status, int(Status.BEHIND_CAMERA))
    status = jnp.where(usable, status, int(Status.TOO_FEW_OBSERVATIONS))
    found = frames_of(params, window)
    status = check_distance(found, terms, summary, state.distances, status)
    believed = answered & (status != int(Status.IMPLAUSIBLE_DISTANCE))
    status = jnp.where(sound & new.sound, status, int(Status.NON_FINITE))

    after = state._replace(
        filled=filled,
        joints=jax.tree.map(lambda values: jnp.where(left_out, 0, values), everything),
        path=path,
        origin=origin,
        roots=kept(found, guess),
        huber=None if huber is None else kept(huber, first_guess),
        prior=prior,
        settled=state.settled | (solvable & ~spoilt & (telling >= lasting)),
        answered=believed,
    )
    told = window_root(after)
    return after, StreamEstimate(told[:, -1], told[:, 0], status, solved.num_steps + steps)


def _older(state: StreamState, sound: Array) -> Prior:
    """The prior for the window of the next frame: the old one, with the window's first frame."""

    def first_of(values: Array) -> Array:
        return values[:, :1]

    joints = jax.tree.map(first_of, state.joints)
    kept = sound & state.settled
    joints, camera, weights, loss = keep_usable(kept, joints, state.camera, state.weights, state.loss)
    path = None if state.path is None else jax.tree.map(first_of, state.path)
    first = make_terms(joints, summarize(joints), camera, *weights, path, loss)
    prior = eliminate_first(state.roots[:3], first, state.prior)
    full = state.filled == len(state.roots)
    return jax.tree.map(
        lambda values, old: jnp.where((kept & full).reshape((1,) * (old.ndim - 1) + (-1,)), values, old),
        prior,
        Prior.nothing(len(sound), state.roots.dtype),
    )
