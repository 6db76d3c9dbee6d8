"""Where people stand: the root trajectory of Eq. 9 from root-relative poses, 2D keypoints and an occlusion
mask.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
from jaxtyping import Array, Float, Int, Shaped

from solvers.block_banded import covariances, factor, log_determinant
from solvers.gauss_newton import BandedGaussNewton, Status
from solvers.pinhole import Camera, Extrinsics, Intrinsics
from solvers.robust import GemanMcClure, Huber
from solvers.trajectory_config import (
    DEFAULT_CONFIG,
    REFERENCE_FPS,
    Arguments,
    Settings,
    TrajectoryConfig,
    as_given,
    at_rate,
    first_frame,
    read_arguments,
    read_camera,
    read_config,
    read_rate,
)
from solvers.trajectory_lanes import (
    Clip,
    check_distance,
    keep_answered,
    lay_out_clip,
    lay_out_steps,
    prepare,
)
from solvers.trajectory_rows import (
    compare,
    frames_of,
    linearize,
    reprojection_error,
    residuals,
    smoothness_determinant,
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
    Status.UNOBSERVABLE: (
        "The clip does not tell the focal length: people are too far off, too flat or too briefly seen; "
        "give one that is known, or join the clip with others of the same camera."
    ),
    Status.IMPLAUSIBLE_DISTANCE: (
        "The person would stand nearer or farther than distance_range allows: check that keypoints are "
        "pixels and not shares of the image (0 to 1), that poses are in metres, and the focal length."
    ),
    Status.MISFIT: (
        "The keypoints are farther from the projected pose than people ever are: check for y pointing up, x "
        "and y exchanged, another order of joints (COCO's 17 without conversion), a focal length in "
        "millimetres or as a share of the width, a principal point at (0, 0), or two people who exchanged "
        "identities."
    ),
    Status.PARTLY_SEEN: (
        "The trajectory minimises Eq. 9, but joints of the body were seen on no frame: what is said of those "
        "is the network's guess."
    ),
}


class TrajectorySolution(NamedTuple):
    """root (..., F, 3): metres; in camera axes, or in world axes where the camera's motion was given. NaN
    where the status is not CONVERGED or MAX_STEPS, and on frames before ``begin``.
    status (...): a `Status` for each person; over several windows the gravest.
    cost (...): Eq. 9 at the root, in squared pixels of the image resized to `REFERENCE_FOCAL`, summed over
        windows; NaN where nothing was solved.
    num_steps (...): steps tried, rejected ones and those of a robust start included, in the slowest window.
    covariance (..., F, 3, 3): of every frame's root, square metres, when asked for: keypoint_std^2 times the
        diagonal blocks of the inverse Gauss-Newton matrix, and the shares of config.size_std and bias_std.
    residual (..., F): root mean square distance of a frame's visible joints from their keypoints, in pixels
        of the given image, all joints alike; NaN where the root is and where the frame shows nobody. It has
        no derivatives. None from solvers that do not say.
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
    residual: Float[Array, "*people frames"] | None = None


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
    begin: Any = None,
    fps: Any = REFERENCE_FPS,
    velocity: Shaped[Any, "..."] | None = None,
    velocity_std: Shaped[Any, "..."] | None = None,
) -> TrajectorySolution:
    """Eq. 9 with the masks of Eq. 7, for every person by itself:

        min_C  sum_t sum_{i visible} w_it |s (rho(X_it + C_t) - x_it)|^2
               + lambda_1 r^2 sum |C_t - C_{t-1}|^2 + lambda_2 r^4 sum |C_{t-1} - 2 C_t + C_{t+1}|^2

        s = 1145 / sqrt(fx fy),   r = fps / 50

    Pixels for the first sum and millimetres for the others; arguments and results are in metres. s resizes
    the image to `REFERENCE_FOCAL` and r brings the smoothness to `REFERENCE_FPS`, so that one motion gets one
    path at every image size and frame rate. w_it is the confidence, 1 without one; config.loss puts a robust
    loss in place of the square in the first sum.

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
    begin: how many leading frames have no say at all, as padding has none; what they hold does not matter.
        Everything is as if the clip began after them, but for the answer's length, with NaN there. It may be
        traced (below 0 counts as 0); not with a window.
    fps: frames a second, one number, which may be traced.
    velocity (..., F, 3): metres a second from the frame before to each frame, in the axes that are solved in,
        as far as it is known from elsewhere; that of the first frame is not read. velocity_std (..., F, 3),
        or (..., F, 1): the standard deviations of its coordinates, taken for independent from frame to
        frame, infinite where nothing is known. Where both are finite,

            keypoint_std^2 |(C_t - C_{t-1}) fps - velocity_t|^2 / velocity_std_t^2

        stands in place of lambda_1 |C_t - C_{t-1}|^2, whose pull on the frames at both ends of such a run
        stays, and lambda_2 weighs changes of what the movement differs from that velocity by, but none where
        known velocities begin and end. config.keypoint_std so decides how far it counts against keypoints.

    Leading axes are people (or batch); the function may be jitted and vmapped. Derivatives are implicit,
    forward and reverse, with respect to poses, keypoints, camera, extrinsics, weights, fps, confidence,
    velocity, velocity_std and loss_scale; initial_root has none, and a hidden joint (one of confidence 0 is)
    has none in its confidence.
    People without an answer have none and leave those of the others finite: mask their NaN with `jnp.where`.
    Arithmetic is that of the dtype of ``poses``, float32 for float16 and bfloat16. See `TrajectorySolution`
    for what comes back and `describe_status` for what to do about it.

    A person gets NaN as root and the status
    NON_FINITE when a visible keypoint, its joint or its confidence, the camera, its pose or a weight is NaN
        or infinite, when a confidence is negative, or when a traced focal length, weight, rotation, fps or
        loss_scale is out of range;
    TOO_FEW_OBSERVATIONS unless enough frames show two joints (one joint fixes a ray, two the distance): one
    frame if
        lambda_1 > 0, two if only lambda_2 > 0, all of them if both weights are zero;
    BEHIND_CAMERA when most visible joints of the linear start lie behind the camera;
    IMPLAUSIBLE_DISTANCE when the root is outside config.distance_range on more than a tenth of the frames
        that show the person;
    and nobody else's answer changes by a bit.

    Raises ValueError for wrong ranks, dtypes or shapes, masked arrays, empty clips, an unknown loss, begin
    with a window, and concrete focal lengths, weights, rotations, begin, fps or loss_scale that are out of
    range.
    """
    given = read_arguments(poses, keypoints, occluded, confidence, extrinsics, begin, velocity, velocity_std)
    dtype, lead = given.dtype, given.poses.shape[:-2]
    settings = read_config(config, dtype)
    intrinsics = read_camera(camera, dtype, lead, first_frame(given.begin))
    if begin is not None and config.window is not None:
        raise ValueError(
            f"begin is {begin} and config.window {config.window}: windows count from the first frame; pass "
            "window=None, or a clip without its padding"
        )
    if initial_root is not None:
        initial_root = as_given("initial_root", initial_root)
        if initial_root.shape != (*lead, 3):
            raise ValueError(
                f"initial_root has shape {initial_root.shape}, poses {given.poses.shape}: "
                f"pass one root a frame, {(*lead, 3)}"
            )
    return _solve_people(
        given,
        intrinsics,
        settings,
        read_rate(fps, dtype),
        initial_root,
        covariance=covariance,
        max_steps=config.max_steps,
        tolerance=config.tolerance,
        window=config.window,
    )


def joint_covariance(
    solution: TrajectorySolution,
    poses: Float[Array, "*people frames J 3"],
    config: TrajectoryConfig = DEFAULT_CONFIG,
    pose_std: Any = 0.0,
    extrinsics: Extrinsics | None = None,
) -> Float[Array, "*people frames J 3 3"]:
    """Covariance of every joint C + X, square metres, from that of the root:

        Cov(C + X) = S + sigma_size^2 p p^T + sigma_pose^2 I

    S is the root's covariance without its share of size_std, and p the joint as seen from the camera: a
    person of another size stands elsewhere on the ray, with every joint. In the axes of the solution.

    solution: of `solve_trajectory` with covariance=True, the same config and extrinsics. poses: as given to
    it, in camera axes. pose_std: metres, standard deviation of a coordinate of X, one number or one a joint
    (J,); its errors are taken for independent of the root's. Raises ValueError without a covariance.
    """
    if solution.covariance is None:
        raise ValueError("solution has no covariance: solve with covariance=True")
    root, joints = solution.root, poses
    if extrinsics is not None:
        rotation, position = (jnp.asarray(values).astype(poses.dtype) for values in extrinsics)
        root = root - position.reshape((1,) * (root.ndim - position.ndim) + position.shape)
        rotation = rotation.reshape((1,) * (root.ndim + 1 - rotation.ndim) + rotation.shape)
        joints = _rotate_back(rotation, poses)
    size_std = read_config(config, poses.dtype).spreads.size_std
    seen = root[..., None, :] + joints
    of_size = (
        seen[..., :, None] * seen[..., None, :] - (root[..., :, None] * root[..., None, :])[..., None, :, :]
    )
    spread = jnp.broadcast_to(jnp.asarray(pose_std, poses.dtype), poses.shape[:-1])
    pose = spread[..., None, None] ** 2 * jnp.broadcast_to(jnp.eye(3, dtype=poses.dtype), of_size.shape)
    return solution.covariance[..., None, :, :] + size_std**2 * of_size + pose


def _rotate_back(rotation: Array, points: Array) -> Array:
    """R^T X of every joint, (..., J, 3), by three products (see `trajectory_rows`)."""
    parts = [rotation[..., None, k, :] * points[..., k, None] for k in range(3)]
    return parts[0] + parts[1] + parts[2]


@functools.partial(jax.jit, static_argnames=("covariance", "max_steps", "tolerance", "window"))
def _solve_people(
    given: Arguments,
    camera: Intrinsics,
    settings: Settings,
    fps: Array,
    initial_root: Array | None,
    *,
    covariance: bool,
    max_steps: int,
    tolerance: float,
    window: int | None,
) -> TrajectorySolution:
    given = given.cast()
    *people, frames, _, _ = given.poses.shape
    count = math.prod(people)
    clip, origin = lay_out_clip(given, camera)
    clip = clip._replace(known=lay_out_steps(given, settings.spreads.keypoint_std, fps))
    settings = settings._replace(weights=at_rate(settings.weights, fps))
    start = None
    if initial_root is not None:
        start = jnp.asarray(initial_root).astype(given.poses.dtype)
        start = jnp.transpose(start.reshape(count, frames, 3), (2, 1, 0))
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
            settings,
            None if start is None else folded(start),
            given.begin,
            covariance,
            max_steps,
            tolerance,
        )
        parts.append(jax.tree.map(functools.partial(_unfold, people=count), found))

    found = jax.tree.map(lambda *values: jnp.concatenate(values, axis=1), *parts)

    def lead(values: Array) -> Array:
        return values.reshape(*people, *values.shape[1:])

    spread, evidence = found.covariance, found.log_evidence
    root = found.root if origin is None else found.root + origin[:, None]
    return TrajectorySolution(
        root=lead(root),
        status=lead(jnp.max(found.status, axis=1)),
        cost=lead(jnp.sum(found.cost, axis=1)),
        num_steps=lead(jnp.max(found.num_steps, axis=1)),
        covariance=None if spread is None else lead(spread),
        log_evidence=None if evidence is None else lead(jnp.sum(evidence, axis=1)),
        residual=lead(found.residual),
    )


def _fold(values: Array, begin: int, end: int, length: int) -> Array:
    """(any, frames or 1, people) -> (any, length or 1, windows * people)."""
    first, frames, people = values.shape
    windows = (end - begin) // length
    if frames == 1:
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


def _solve_lanes(
    clip: Clip,
    settings: Settings,
    start: Array | None,
    begin: Array | None,
    covariance: bool,
    max_steps: int,
    tolerance: float,
) -> TrajectorySolution:
    """The solution of every lane, a person or a person's window, with lanes as the last axis."""
    ready = prepare(clip, settings.weights, start, settings.loss, begin)
    terms, frames = ready.terms, clip.sound.shape[1]
    loss, solvable = terms.loss, ready.status == int(Status.CONVERGED)
    solver = BandedGaussNewton(
        residual_fun=residuals, linearize=linearize, compare=compare, maxiter=max_steps, tol=tolerance
    )
    params, steps = ready.params, 0
    if isinstance(loss, GemanMcClure):
        # Where it does not see the sound joints it has no slope; Huber's loss always has one.
        params, first = solver.search(params, terms._replace(loss=Huber(loss.scale)))
        steps = first.num_steps
    params, state = solver.search(params, terms)
    status = jnp.where(solvable, state.status, ready.status)
    status = check_distance(frames_of(params, frames), terms, ready.summary, settings.distances, status)
    answered = (status == int(Status.CONVERGED)) | (status == int(Status.MAX_STEPS))
    # Before what only derivatives need: without them it is never computed.
    error = reprojection_error(frames_of(params, frames), terms) / clip.resizing[0]
    params, terms = keep_answered(answered, params, terms)
    params, state = solver.differentiable(jaxopt.OptStep(params, state), terms)

    path = frames_of(params, frames)
    told = jnp.broadcast_to(answered[None], (frames, len(answered)))
    if begin is not None:
        told = told & (jnp.arange(frames) >= begin)[:, None]
    seen = told & (ready.summary.shown > 0)
    solution = TrajectorySolution(
        root=jnp.where(told[:, None], path, jnp.nan),
        status=status,
        cost=jnp.where(answered, 2 * state.value, jnp.nan),
        num_steps=state.num_steps + steps,
        residual=jnp.where(seen, error, jnp.nan),
    )
    if not covariance:
        return solution
    keypoint_std, size_std, bias_std = settings.spreads
    rows = linearize(params, jnp.zeros_like(state.value), terms)
    chain = factor(rows, unroll=False)
    spread = frames_of(covariances(chain, len(rows.own)), frames)
    # A person of another size stands elsewhere on the ray from the camera.
    ray = path if terms.path is None else path - jnp.swapaxes(terms.path.position, 0, 1)
    along = ray[:, :, None] * ray[:, None]
    across = jnp.sum(ray * ray, axis=1)[:, None, None] * jnp.eye(3, dtype=ray.dtype)[None, :, :, None] - along
    angle = bias_std**2 / (terms.camera.fx * terms.camera.fy)
    total = keypoint_std**2 * spread + size_std**2 * along
    total = total + jnp.swapaxes(angle, 0, 1)[..., None, :] * across
    determinants = log_determinant(chain, len(rows.own)) - smoothness_determinant(terms)
    freedom = 2 * jnp.sum(ready.summary.shown, axis=0) - 3
    evidence = -(2 * state.value / keypoint_std**2 + 2 * freedom * jnp.log(keypoint_std) + determinants) / 2
    return solution._replace(
        covariance=jnp.where(told[:, None, None], total, jnp.nan),
        log_evidence=jnp.where(answered, evidence, jnp.nan),
    )
