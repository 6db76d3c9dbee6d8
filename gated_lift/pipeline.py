"""The main job in one call: keypoints and an occlusion mask to the joints and the path of every person."""

import logging
import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gated_lift.bones import constant_bones as with_constant_bones
from gated_lift.cameras import camera_to_world, world_to_camera
from gated_lift.networks.checkpoints import LoadedInfill, LoadedLifter, without_weights
from gated_lift.networks.infill import MotionInfill
from gated_lift.networks.protocol import Hints
from gated_lift.recovery.arguments import padded, read_arguments, read_up
from gated_lift.recovery.infilling import LEAST_SEEN, turn_upright
from gated_lift.recovery.infilling import infill as fill_hidings
from gated_lift.recovery.inspection import Hidden, describe_hidden, inspect
from gated_lift.recovery.lengths import count_of, length_of
from gated_lift.recovery.lifting import lift_pixels
from gated_lift.recovery.observation import Clock, network_frames
from gated_lift.recovery.plausibility import (
    fits_badly,
    hangs,
    lies,
    misfit,
    never_seen,
    rises,
    trunk_cosine,
    unseen_covariance,
    unseen_size_std,
)
from gated_lift.recovery.presence import present_frames
from gated_lift.recovery.sharing import share_rows, sharers
from gated_lift.skeleton import Skeleton
from solvers import (
    Camera,
    Extrinsics,
    Status,
    TrajectoryConfig,
    TrajectorySolution,
    smooth,
    solve_trajectory,
)

LOGGER = logging.getLogger("gated_lift")

# How far lifted people are off, in place of the solver's defaults for keypoint_std (pixels) and size_std, for
# the covariance alone: fitted by likelihood to people of the training data whom the shipped weights have not
# seen. It is the poses that err, not the keypoints.
LIFTED_KEYPOINT_STD = 20.0
LIFTED_SIZE_STD = 0.0625

# Seconds. Chosen on subjects 35 and 135 as the most that does not raise the MPJPE of any of the conditions
# there: a person who stands still trembles a tenth as much.
POSE_SMOOTHING = 0.03

# Settings of `TrajectoryConfig` that are numbers of the compiled function; the others choose the function.
NUMBERS = ("velocity_weight", "acceleration_weight", "keypoint_std", "size_std", "bias_std", "loss_scale")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recovery:
    """Everybody's joints and paths, in metres.

    joints: (..., F, J, 3), the sum of poses and root. root: (..., F, 3). poses: (..., F, J, 3) root-relative.
    status: (...) a `solvers.Status` for each person; who has no path (`has_path`) has NaN in all the above.
    present: (..., F) True from the first frame that shows a person to the last, but for gaps longer than
        ``longest_gap``; on other frames there are no joints but NaN.
    residual: (..., F) root mean square distance in pixels between a frame's visible keypoints and the images
        of the joints; NaN where none is visible. A person whose residual leaps may have become another.
    covariance: (..., F, 3, 3) of the root, square metres, when asked for.
    hidden: keypoints of each person that came as visible and were hidden, by the reason.
    axes: "camera" (x right, y down, z forward), or "world" where the camera's motion was given.
    """

    joints: Float[Array, "*people F J 3"]
    root: Float[Array, "*people F 3"]
    poses: Float[Array, "*people F J 3"]
    status: Int[Array, "*people"]
    present: Bool[Array, "*people F"]
    residual: Float[Array, "*people F"]
    covariance: Float[Array, "*people F 3 3"] | None
    hidden: Hidden
    axes: Literal["camera", "world"] = field(metadata={"static": True})


class Options(NamedTuple):
    """What decides which function is compiled; nothing in it is traced.

    lifter: without its weights. trajectory: without its `NUMBERS`. network_frames: frames at the network's
    rate, or None where the clip has that rate. padded: whether the clip may be longer than what counts of it.
    infill: the network that fills hidings, without its weights, and infill_frames those at its rate.
    """

    lifter: LoadedLifter
    trajectory: TrajectoryConfig
    network_frames: int | None
    padded: bool
    smoothed: bool
    constant_bones: bool
    covariance: bool
    flip: bool
    infill: MotionInfill | None
    infill_frames: int


class Inputs(NamedTuple):
    """What the compiled function takes. keypoints, occluded, confidence, camera, extrinsics: as in
    `arguments.Arguments`. numbers: those of `TrajectoryConfig` that are given. length: frames that count.
    """

    variables: Any
    keypoints: Any
    occluded: Any
    confidence: Any
    camera: Camera
    extrinsics: Extrinsics | None
    fps: Any
    length: Any
    longest_gap: Any
    pose_smoothing: Any
    numbers: dict[str, Any]
    up: Any
    infill_variables: Any


class Found(NamedTuple):
    """A `Recovery` before what nobody knows is made NaN; seen (P, F): frames that show the person."""

    poses: Array
    root: Array
    status: Array
    present: Array
    seen: Array
    residual: Array
    covariance: Array | None
    hidden: Hidden


def recover(
    lifter: LoadedLifter,
    keypoints: Any,
    occluded: Any,
    camera: Camera,
    fps: float | None = None,
    confidence: Any = None,
    extrinsics: Extrinsics | None = None,
    covariance: bool = False,
    trajectory: TrajectoryConfig = TrajectoryConfig(),
    *,
    skeleton: Skeleton | None = None,
    pose_smoothing: float = POSE_SMOOTHING,
    constant_bones: bool = False,
    longest_gap: float = 4.0,
    keep_absent: bool = False,
    flip: bool = True,
    up: Any = None,
    infill: LoadedInfill | None = None,
) -> Recovery:
    """Lifts every person with the gated network and places each by Eq. 9; people are independent of each
    other.

    lifter: of `load_lifter`. keypoints (..., F, J, 2): pixels, origin top left, in the joints of
    ``lifter.skeleton``; hidden ones are never read and may be NaN. occluded (..., F, J): True where hidden.
    Leading axes are people. A clip may have any length.
    camera: intrinsics, one, or one for each of the leading axes (and frames). They undo the lens, and say
        where the pixels of Eq. 9 are. Image size and focal length need not be those of training, and people
        may stand anywhere in the picture: everybody is lifted as from a camera that is turned towards them.
    fps: frames a second of the video. It need not be that of training: the network reads keypoints at its own
        rate, interpolated, and Eq. 9 weighs speeds and accelerations in seconds.
    confidence (..., F, J): the detector's, 0 to 1, weighs the joints' errors in Eq. 9; 0 hides a joint.
        Networks with the setting ``confidence`` read it too.
    extrinsics: where the camera is on every frame, rotation (..., F, 3, 3) and position (..., F, 3), metres;
        everything that comes back is in world axes then.
    covariance: also say how sure every root is. Where ``trajectory`` leaves keypoint_std, size_std and
        bias_std at the solver's defaults, they are those of lifted people (LIFTED_KEYPOINT_STD,
        LIFTED_SIZE_STD), and more where part of the body was never seen.
    trajectory: settings of Eq. 9, see `solvers.TrajectoryConfig`.
    skeleton: of the keypoints, refused by name if it is another than the lifter's.
    pose_smoothing: seconds, time constant of smoothing the poses, see `solvers.smooth`; 0 leaves them as
        they were lifted.
    constant_bones: gives every bone of a person one length, directions kept (`bones.constant_bones`).
    longest_gap: seconds; where a person is out of sight for longer, nobody is said to be there.
    keep_absent: also keep what network and path say where a person is not present, and the poses of people
        whose path could not be solved.
    flip: average over the mirror image.
    up (3,): the world's vertical in camera axes, (0, −1, 0) for a level camera (`cameras.up_of`), where no
        ``extrinsics`` tell it; for networks that read it, others do without.
    infill: of `networks.checkpoints.load_infill`; fills times during which a whole person is hidden, longer
        than `recovery.infilling.SHORTEST_HIDING`, by what people do: poses in place of the lifter's, and
        velocities with their deviations for the path, which is solved a second time with them. It needs the
        vertical: without ``extrinsics`` and ``up`` the camera is taken to be level, which is logged.

    A visible keypoint that cannot be meant (NaN, exactly (0, 0) or (−1, −1), of confidence 0, where the lens
    has no ray) is hidden; the result counts these and a warning is logged. A person who cannot be placed has
    a status (`solvers.describe_status` says what to try) and NaN, and changes nobody else.

    Where the process has several devices, they share the people.

    The work is compiled for a few lengths and numbers of people (`recovery.lengths`): the first call of
    each costs seconds, any other what its frames take. Called under `jax.jit`, `jax.grad` and the like it is
    traced with the shapes as they are; what is not an array must then be known before.

    Raises ValueError, naming the argument and the mend, for wrong shapes, dtypes, skeletons and frame rates,
    and for keypoints, focal lengths and principal points that are not in pixels of one image.
    """
    for name, value in (
        ("covariance", covariance),
        ("constant_bones", constant_bones),
        ("keep_absent", keep_absent),
        ("flip", flip),
    ):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}: pass True or False")
    if infill is not None and not isinstance(infill, LoadedInfill):
        raise ValueError(f"infill is {type(infill).__name__}: pass what load_infill returns, or None")
    for name, seconds in (("pose_smoothing", pose_smoothing), ("longest_gap", longest_gap)):
        if not float(seconds) >= 0:
            raise ValueError(f"{name} is {seconds}: pass seconds, 0 or more")
    given = read_arguments(lifter, keypoints, occluded, camera, fps, confidence, extrinsics, skeleton)
    if lifter.network.target != "pose":
        raise ValueError("lifter finds roots, not poses: recover needs a network whose target is the pose")
    assert fps is not None  # read_arguments has made sure
    if infill is not None and infill.network.num_joints != lifter.skeleton.num_joints:
        raise ValueError(
            f"infill is for {infill.network.num_joints} joints, lifter for {lifter.skeleton.num_joints}: "
            "give one that was trained on the lifter's joints"
        )
    if infill is not None and up is None and extrinsics is None:
        LOGGER.info("infill: nothing tells the vertical (up, extrinsics), so the camera is taken to be level")
    numbers = _with_lifted_spreads({name: getattr(trajectory, name) for name in NUMBERS})
    numbers = {name: value for name, value in numbers.items() if value is not None}
    frames = given.keypoints.shape[1]
    weights = None if infill is None else infill.variables
    traced = given.traced or any(
        isinstance(value, jax.core.Tracer) for value in jax.tree.leaves((numbers, weights))
    )
    devices = 1 if traced else sharers(len(given.keypoints))
    laid_out = given
    if not traced:
        people = devices * count_of(math.ceil(len(given.keypoints) / devices))
        laid_out = padded(given, people, frames if trajectory.window else length_of(frames))
    padded_frames = laid_out.keypoints.shape[1]
    rate = float(fps)
    without_numbers: dict[str, Any] = dict.fromkeys(NUMBERS)
    options = Options(
        lifter=without_weights(lifter),
        trajectory=trajectory._replace(**without_numbers),
        network_frames=None
        if rate == lifter.network.fps
        else network_frames(padded_frames, rate, lifter.network.fps),
        padded=not traced and not trajectory.window,
        smoothed=float(pose_smoothing) > 0,
        constant_bones=constant_bones,
        covariance=covariance,
        flip=flip,
        infill=None if infill is None else infill.network,
        infill_frames=0 if infill is None else network_frames(padded_frames, rate, infill.network.fps),
    )
    inputs = Inputs(
        lifter.variables,
        laid_out.keypoints,
        laid_out.occluded,
        laid_out.confidence,
        laid_out.camera,
        laid_out.extrinsics,
        rate,
        frames,
        float(longest_gap),
        float(pose_smoothing),
        numbers,
        None if extrinsics is not None else read_up(lifter, up, infill is not None),
        weights,
    )
    if traced:
        found = _recover(options, inputs)
    else:
        found = _recover_shared(options, *_parted(inputs))
        # Cut on the host: each length would be a compilation.
        count = len(given.keypoints)
        found = jax.tree.map(lambda values: np.asarray(values)[:count], found)
        found = Found(*(_first_frames(name, value, frames) for name, value in found._asdict().items()))
        words = describe_hidden(found.hidden)
        if words:
            LOGGER.warning("%s", words)
    return _recovery(found, given.people, keep_absent, "camera" if extrinsics is None else "world", traced)


def _with_lifted_spreads(numbers: dict[str, Any]) -> dict[str, Any]:
    plain = TrajectoryConfig()
    for name in ("keypoint_std", "size_std", "bias_std"):
        value = numbers[name]
        if isinstance(value, Array) or value != getattr(plain, name):
            return numbers
    return numbers | {"keypoint_std": LIFTED_KEYPOINT_STD, "size_std": LIFTED_SIZE_STD}


def size_spread(trajectory: TrajectoryConfig) -> float:
    """Relative standard deviation of people's sizes that `recover` puts into its covariances with these
    settings: that of lifted people unless they say another.
    """
    numbers = {name: getattr(trajectory, name) for name in NUMBERS}
    return float(_with_lifted_spreads(numbers)["size_std"])


def solved(status: Int[Array | np.ndarray, "*people"]) -> Any:
    """(...) booleans: True for people whose path can be used: the solve converged or ran out of steps while
    improving, also where part of the body was never seen (PARTLY_SEEN). People who do not fit their keypoints
    (MISFIT) have a path that is not to be believed.
    """
    return (status <= int(Status.MAX_STEPS)) | (status == int(Status.PARTLY_SEEN))


def has_path(status: Int[Array | np.ndarray, "*people"]) -> Any:
    """(...) booleans: True for people who have joints and a path, believable or not; all others are NaN."""
    return solved(status) | (status == int(Status.MISFIT))


def _recover(options: Options, inputs: Inputs) -> Found:
    frames, dtype = inputs.keypoints.shape[1], inputs.keypoints.dtype
    counted = jnp.arange(frames) < inputs.length
    inspected = inspect(
        jnp.asarray(inputs.keypoints),
        jnp.asarray(inputs.occluded),
        inputs.camera,
        None if inputs.confidence is None else jnp.asarray(inputs.confidence),
        counted,
    )
    keypoints, occluded, confidence, hidden = inspected
    seen = jnp.any(~occluded, axis=-1) & jnp.broadcast_to(counted, occluded.shape[:2])
    clock = None
    if options.network_frames is not None:
        clock = Clock(inputs.fps, inputs.length, options.network_frames)
    lifter = options.lifter._replace(variables=inputs.variables)
    length = inputs.length if options.padded else None
    up = inputs.up
    if inputs.extrinsics is not None:
        up = jnp.asarray(inputs.extrinsics.rotation)[..., 2]  # of the world's z, in camera axes
    hints = Hints(up, None if confidence is None else jnp.clip(1 - confidence, 0, 1))
    poses = lift_pixels(lifter, keypoints, occluded, inputs.camera, options.flip, clock, length, hints)

    # From here on padding stands before the clip, where the solve has a beginning without a say.
    begin = frames - inputs.length if options.padded else None

    def late(values: Any, axis: int = 1) -> Any:
        if begin is None or values is None or values.ndim <= axis or values.shape[axis] != frames:
            return values
        return jnp.roll(values, begin, axis)

    def early(values: Array) -> Array:
        return values if begin is None else jnp.roll(values, -begin, 1)

    poses = late(poses)
    if options.smoothed:
        flat = poses.reshape(*poses.shape[:2], -1)
        poses = smooth(flat, inputs.pose_smoothing, inputs.fps, begin=begin).reshape(poses.shape)
    if options.constant_bones:
        weight = late(jnp.broadcast_to(seen[..., None], occluded.shape).astype(dtype))
        poses = with_constant_bones(poses, options.lifter.skeleton, weight)
    camera = jax.tree.map(
        lambda values: late(jnp.asarray(values)) if values.ndim == 3 else values, inputs.camera
    )
    extrinsics = inputs.extrinsics
    if extrinsics is not None:
        rotation, position = (jnp.asarray(values) for values in extrinsics)
        extrinsics = Extrinsics(late(rotation, rotation.ndim - 3), late(position, position.ndim - 2))
    config = options.trajectory._replace(**inputs.numbers)

    def solve(poses: Array, covariance: bool, **known: Array) -> TrajectorySolution:
        return solve_trajectory(
            poses,
            late(keypoints),
            late(occluded),
            camera,
            config,
            confidence=late(confidence),
            covariance=covariance,
            extrinsics=extrinsics,
            fps=inputs.fps,
            begin=begin,
            **known,
        )

    if options.infill is None:
        solution = solve(poses, options.covariance)
    else:
        root = solve(poses, False).root
        root = jnp.where(jnp.isfinite(root), root, 0)
        if extrinsics is not None:
            turned = Extrinsics(extrinsics.rotation, jnp.zeros_like(extrinsics.position))
            level = jnp.eye(3, dtype=dtype)[None, None]
            people_poses = camera_to_world(poses, turned)
        else:
            assumed = jnp.array([[0, -1, 0]], dtype) if inputs.up is None else inputs.up.astype(dtype)
            level, people_poses = turn_upright(assumed)[:, None], poses
        filled = fill_hidings(
            LoadedInfill(options.infill, inputs.infill_variables, None),
            early(people_poses),
            early(root),
            seen & (jnp.sum(~occluded, axis=-1) >= LEAST_SEEN),
            Clock(inputs.fps, inputs.length, options.infill_frames),
            level,
        )
        poses = late(filled.poses)
        if extrinsics is not None:
            poses = world_to_camera(poses, turned)
        if options.constant_bones:
            poses = with_constant_bones(poses, options.lifter.skeleton, weight)
        known = {"velocity": late(filled.velocity), "velocity_std": late(filled.velocity_std)}
        solution = solve(poses, options.covariance, **known)
    answered = solution.status <= int(Status.MAX_STEPS)
    told = late(answered[:, None] & jnp.broadcast_to(counted, seen.shape))
    never = never_seen(occluded, seen)
    unseen = unseen_size_std(never).astype(dtype)
    residual = early(jnp.where(told & late(seen), jnp.asarray(solution.residual), 0))
    # Frames of padding show the last one again: they are not to count.
    fit = misfit(residual, keypoints, occluded | ~seen[..., None])
    cosine = trunk_cosine(early(poses), lifter.skeleton, up)
    # Where the camera's path is given, roots are in world axes.
    vertical = up if extrinsics is None else jnp.array([0, 0, 1], dtype)
    rising = rises(early(solution.root), seen, vertical)
    bad = fits_badly(fit, unseen > 0, lies(cosine, seen), rising, hangs(cosine, seen))
    status = jnp.where(answered & (unseen > 0), int(Status.PARTLY_SEEN), solution.status)
    status = jnp.where(answered & bad, int(Status.MISFIT), status)
    # Who has no answer has zeros here; NaN are put in their place at the very end.
    root = jnp.where(told[..., None], solution.root, 0)
    covariance = None
    if solution.covariance is not None:
        seen_from = jnp.zeros_like(root)
        if extrinsics is not None:
            seen_from = jnp.broadcast_to(extrinsics.position, root.shape)
        guessed = unseen_covariance(never, jnp.where(told[..., None], root - seen_from, 0))
        covariance = early(jnp.where(told[..., None, None], solution.covariance, 0) + guessed)
    if extrinsics is not None:
        poses = camera_to_world(poses, Extrinsics(extrinsics.rotation, jnp.zeros_like(extrinsics.position)))
    return Found(
        poses=early(poses),
        root=early(root),
        status=status,
        present=present_frames(seen, inputs.longest_gap, inputs.fps),
        seen=seen,
        residual=residual,
        covariance=covariance,
        hidden=hidden,
    )


def _parted(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """What all people need, and what each has of its own; None where the other one holds it."""

    extrinsics = inputs.extrinsics
    if extrinsics is not None:
        extrinsics = Extrinsics(extrinsics.rotation.ndim > 3, extrinsics.position.ndim > 2)
    by_person = jax.tree.map(lambda _: False, inputs)._replace(
        keypoints=True,
        occluded=True,
        confidence=None if inputs.confidence is None else True,
        camera=jax.tree.map(lambda values: values.ndim > 1, inputs.camera),
        extrinsics=extrinsics,
    )
    whole = jax.tree.map(lambda split, values: None if split else values, by_person, inputs)
    rows = jax.tree.map(lambda split, values: values if split else None, by_person, inputs)
    return whole, rows


@share_rows
def _recover_shared(options: Options, whole: Inputs, rows: Inputs) -> Found:
    """`_recover` of `_parted` inputs."""
    both = jax.tree.map(
        lambda one, other: other if one is None else one, whole, rows, is_leaf=lambda leaf: leaf is None
    )
    return _recover(options, both)


def _first_frames(name: str, values: Any, frames: int) -> Any:
    return values[:, :frames] if name not in ("status", "hidden") and values is not None else values


def _recovery(
    found: Found,
    people: tuple[int, ...],
    keep_absent: bool,
    axes: Literal["camera", "world"],
    traced: bool,
) -> Recovery:
    """NaN where nothing is known, and the leading axes as they came. What is not traced is NumPy's until it
    is handed over, so that nothing is compiled for its shape.
    """
    where = jnp.where if traced else np.where
    placed = has_path(found.status)
    there = found.present | keep_absent
    told = placed[:, None] & there

    def lead(values: Any) -> Array:
        values = values.reshape((*people, *values.shape[1:]))
        return values if traced else jax.device_put(values)

    def known(values: Any, mask: Any) -> Any:
        mask = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
        return where(mask, values, np.asarray(np.nan, values.dtype))

    root = known(found.root, told)
    poses = known(found.poses, there if keep_absent else told)
    return Recovery(
        joints=lead(poses + root[:, :, None]),
        root=lead(root),
        poses=lead(poses),
        status=lead(found.status),
        present=lead(found.present),
        residual=lead(known(found.residual, found.seen & placed[:, None])),
        covariance=None if found.covariance is None else lead(known(found.covariance, told)),
        hidden=Hidden(*(lead(count) for count in found.hidden)),
        axes=axes,
    )
