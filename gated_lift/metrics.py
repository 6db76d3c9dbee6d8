"""Errors of 3D poses and roots, one value per joint and frame; the caller reduces with `masked_mean`.

Arrays are (..., frames, joints, coordinates) in metres and so are the results; multiply by 1000 to print
millimetres. The alignment, if any, is in the metric's name. Predicted and true arrays must have the same
shape: nothing is broadcast. `valid` is True where a joint may enter a fit; NaN elsewhere stays where it is.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

AUC_THRESHOLDS = tuple(step * 0.005 for step in range(31))  # 0, 5, ..., 150 mm, as MPI-INF-3DHP reports it

# World-aligned errors are taken over so many frames at a time; the alignment of W-MPJPE sees the first ones.
CHUNK_FRAMES, FIRST_FRAMES = 100, 2
# An ankle joint that is this low (m above the floor) and this slow (m/s) stands on the floor. WHAM has the
# speed, as 1 cm between two frames of 30 a second. The median ankle that rests is 7 cm high in the training
# captures of CMU, whose floors are off by some centimetres.
CONTACT_HEIGHT, CONTACT_SPEED = 0.15, 0.3
# A foot that slides faster than this (m/s) while it should stand skates, as in Guided Motion Diffusion.
SKATING_SPEED = 0.5


def mpjpe(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
) -> Float[Array, "*batch frames joints"]:
    """‖p − t‖ of every joint, without alignment: MPJPE before its mean.

    Metres in, metres out (pixels for 2D keypoints). Root-relative joints give the usual MPJPE, camera-space
    joints the absolute one. A NaN joint gives NaN in its own place only. Raises ValueError when the shapes
    differ.
    """
    _check_same_shape(predicted, target, "target")
    return _distance(predicted, target)


def pa_mpjpe(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
) -> Float[Array, "*batch frames joints"]:
    """‖s R p + b − t‖ of every joint after `align_procrustes`: PA-MPJPE, the paper's Protocol 1.

    Metres in, metres out; what `valid` does and what degenerate frames give is told there.
    """
    return _distance(align_procrustes(predicted, target, valid), target)


def n_mpjpe(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
) -> Float[Array, "*batch frames joints"]:
    """‖s p − t‖ of every joint after `align_scale` in every frame: N-MPJPE.

    On absolute joints in camera coordinates it is the paper's Protocol 2: the scale keeps every joint on its
    viewing ray, so neither a wrong direction nor a wrong pose is excused, only the depth that one camera
    cannot know.
    """
    return _distance(align_scale(predicted, target, valid), target)


def mpjve(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    fps: float,
) -> Float[Array, "*batch steps joints"]:
    """‖(pₜ₊₁ − pₜ) − (tₜ₊₁ − tₜ)‖ · fps: the velocity error in m/s, (..., frames − 1, joints).

    VideoPose3D prints millimetres per frame: divide by fps and multiply by 1000 to compare. A mask of joints
    becomes one of steps through `consecutive(valid, 2)`. Raises ValueError when shapes differ, frames < 2 or
    fps ≤ 0.
    """
    return _difference_error(predicted, target, fps, order=1)


def acceleration_error(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    fps: float,
) -> Float[Array, "*batch steps joints"]:
    """‖Δ²p − Δ²t‖ · fps²: the acceleration error in m/s², (..., frames − 2, joints).

    Value k belongs to frame k + 1. A mask of joints becomes one of steps through `consecutive(valid, 3)`.
    Raises ValueError when shapes differ, frames < 3 or fps ≤ 0.
    """
    return _difference_error(predicted, target, fps, order=2)


def pck(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    threshold: float = 0.15,
) -> Float[Array, "*batch frames joints"]:
    """1 where ‖p − t‖ ≤ threshold (metres), else 0; NaN counts as a miss. The mean is the 3DPCK.

    Root-relative joints give R-PCK, camera-space joints A-PCK, joints from `align_procrustes` PA-PCK. Raises
    ValueError when shapes differ or threshold < 0.
    """
    _check_same_shape(predicted, target, "target")
    if not threshold >= 0:
        raise ValueError(
            f"threshold is {threshold}: give a distance in metres that is zero or more, such as 0.15"
        )
    return (_distance(predicted, target) <= threshold).astype(predicted.dtype)


def auc(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
) -> Float[Array, "*batch frames joints"]:
    """Mean of `pck` over the thresholds 0, 5, ..., 150 mm, from 0 to 1 for each joint: its mean is the AUC.

    Raises ValueError when the shapes differ.
    """
    _check_same_shape(predicted, target, "target")
    distance = _distance(predicted, target)
    hits = [(distance <= threshold).astype(predicted.dtype) for threshold in AUC_THRESHOLDS]
    return sum(hits[1:], hits[0]) / len(AUC_THRESHOLDS)


def root_error(
    predicted: Float[Array, "*batch frames coordinates"],
    target: Float[Array, "*like_predicted"],
) -> Float[Array, "*batch frames"]:
    """‖C_p − C_t‖ of the root in camera (or world) coordinates, in metres, one value a frame.

    The error inside full occlusions is ``masked_mean(root_error(p, t), fully_hidden(occluded))``. Raises
    ValueError when the shapes differ.
    """
    _check_same_shape(predicted, target, "target")
    return _distance(predicted, target)


def w_mpjpe(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
    chunk_frames: int = CHUNK_FRAMES,
) -> Float[Array, "*batch frames joints"]:
    """‖s R p + b − t‖ of every joint, one (s, R, b) a chunk, fitted to its first two frames: W-MPJPE.

    Predicted and target are joints in world coordinates, in metres. The clip is cut into chunks of
    ``chunk_frames`` frames from its first frame on; what is left over is a shorter chunk of its own. In each,
    the similarity that takes the joints of its first `FIRST_FRAMES` frames onto the target's
    (`align_procrustes`, all these joints at once) moves all its frames, so drift over the chunk counts. That
    is what SLAHMR, WHAM and GVHMR print under this name; WHAM differs in that the last whole chunk takes what
    is left over.

    Only valid joints enter the fit. A chunk without a valid joint in its first frames has none and gives NaN.
    Raises ValueError when the shapes differ, and for chunk_frames < 2.
    """
    return _chunk_errors(predicted, target, valid, chunk_frames, FIRST_FRAMES)


def wa_mpjpe(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
    chunk_frames: int = CHUNK_FRAMES,
) -> Float[Array, "*batch frames joints"]:
    """‖s R p + b − t‖ of every joint, one (s, R, b) a chunk, fitted to all its frames: WA-MPJPE.

    As `w_mpjpe`, but for the frames that the alignment sees.
    """
    return _chunk_errors(predicted, target, valid, chunk_frames, chunk_frames)


def root_translation_error(
    predicted: Float[Array, "*batch frames coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_frames"] | None = None,
) -> Float[Array, "*batch frames"]:
    """‖R p_f + b − t_f‖ / Σ_k ‖t_{k+1} − t_k‖ of the root's path: RTE, a share of the way that the root went.

    R and b, a rotation and a shift without scale, are those that bring the whole path p nearest to t. World
    coordinates in metres; multiply by 100 for the per cent that WHAM and GVHMR print. Over a short way, as of
    people who stay in place, the share is large for small errors. Only valid frames enter the fit; the way is
    the target's over all frames. NaN where the target does not move at all, or no frame is valid. Raises
    ValueError when the shapes differ, and for fewer than two frames.
    """
    _check_same_shape(predicted, target, "target")
    if predicted.shape[-2] < 2:
        raise ValueError(f"predicted has {predicted.shape[-2]} frames: the way of a path needs two or more")
    if valid is not None and valid.shape != predicted.shape[:-1]:
        raise ValueError(
            f"valid has shape {valid.shape}, the frames of predicted {predicted.shape[:-1]}: "
            "give one bit a frame"
        )
    # A path is fitted as one pose whose joints are its frames.
    error = _distance(align_procrustes(predicted, target, valid, scaled=False), target)
    way = jnp.sum(_distance(target[..., 1:, :], target[..., :-1, :]), axis=-1, keepdims=True)
    return jnp.where(way > 0, error / jnp.where(way > 0, way, 1.0), jnp.nan)


def jitter(
    joints: Float[Array, "*batch frames joints coordinates"], fps: float
) -> Float[Array, "*batch steps joints"]:
    """‖Δ³p‖ · fps³, the jerk of every joint in m/s³, (..., frames − 3, joints).

    World coordinates in metres. Divide by 10 for the 10 m/s³ that WHAM and GVHMR print. It needs no truth,
    and truth has jitter too, so print that beside it; noise from frame to frame grows with fps³, so compare
    at one rate. A mask of joints becomes one of steps through `consecutive(valid, 4)`. Raises ValueError for
    frames < 4 or fps ≤ 0.
    """
    return _difference_error(joints, jnp.zeros_like(joints), fps, order=3, name="joints")


def foot_contact(
    ankles: Float[Array, "*batch frames ankles coordinates"],
    fps: float,
    height: float = CONTACT_HEIGHT,
    speed: float = CONTACT_SPEED,
) -> Bool[Array, "*batch steps ankles"]:
    """True for the steps from a frame to the next in which an ankle of the truth stands on the floor.

    That is where z ≤ height on both frames and ‖Δt‖ · fps ≤ speed. ankles: true ankle joints, metres, world
    axes with the floor at z = 0. Raises ValueError for frames < 2, fps ≤ 0 and other than three coordinates.
    """
    _check_coordinates(ankles, "ankles")
    slow = _difference_error(ankles, jnp.zeros_like(ankles), fps, order=1, name="ankles") <= speed
    low = ankles[..., 2] <= height
    return slow & low[..., 1:, :] & low[..., :-1, :]


def foot_slide(
    ankles: Float[Array, "*batch frames ankles coordinates"], fps: float
) -> Float[Array, "*batch steps ankles"]:
    """‖Δ(x, y)‖ · fps: how fast a predicted ankle moves over the floor plane, m/s, one value a step.

    The foot slide is its mean over the steps in which the true ankle stands, the metres that a standing foot
    slides in a second: ``masked_mean(foot_slide(p, fps), foot_contact(t, fps))``. WHAM and GVHMR print
    millimetres a frame at 30 frames a second, of four vertices of the feet and in all three directions:
    divide by 30 and multiply by 1000 to come near. The share of these steps with more than `SKATING_SPEED` is
    the skating ratio. ankles: metres, world axes, z up. Raises as `foot_contact`.
    """
    _check_coordinates(ankles, "ankles")
    ground = ankles[..., :2]
    return _difference_error(ground, jnp.zeros_like(ground), fps, order=1, name="ankles")


def fully_hidden(occluded: Bool[Array, "*batch frames joints"]) -> Bool[Array, "*batch frames"]:
    """True in the frames where every joint of the person is hidden."""
    return jnp.all(occluded, axis=-1)


def consecutive(
    valid: Bool[Array, "*batch frames joints"], frames: int
) -> Bool[Array, "*batch windows joints"]:
    """True where `frames` frames in a row are valid: the mask of differences, (..., F − frames + 1, J).

    Raises ValueError when `valid` is shorter than `frames` or `frames` < 1.
    """
    total = valid.shape[-2]
    if not 1 <= frames <= total:
        raise ValueError(f"valid has {total} frames, frames is {frames}: give between 1 and {total}")
    windows = [valid[..., k : total - frames + 1 + k, :] for k in range(frames)]
    return jnp.all(jnp.stack(windows), axis=0)


def masked_mean(
    values: Float[Array, "*shape"],
    where: Bool[Array, "*like_values"] | None = None,
    axis: int | tuple[int, ...] | None = None,
) -> Float[Array, "*reduced"]:
    """Σ values[where] / #where over `axis` (all axes by default).

    NaN when nothing is selected: the mean of no value is unknown, and a zero would read as a perfect score.
    Values outside `where` are replaced before the sum, so their NaN does not leak; NaN inside it does. Raises
    ValueError when `where` has not the shape of `values`.
    """
    if where is None:
        where = jnp.ones(values.shape, bool)
    _check_same_shape(values, where, "where", first_name="values")
    count = jnp.sum(where, axis=axis).astype(values.dtype)
    total = jnp.sum(jnp.where(where, values, 0.0), axis=axis)
    return jnp.where(count > 0, total / jnp.maximum(count, 1.0), jnp.nan)


def align_procrustes(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
    scaled: bool = True,
) -> Float[Array, "*batch frames joints coordinates"]:
    """s R p + b with argmin over s ≥ 0, R ∈ SO(3), b of Σ_valid ‖s R p + b − t‖² per frame (Umeyama 1991).

    R is a rotation: a mirrored pose stays mirrored. Only valid joints enter the fit, but all joints are moved
    by it, so the error of a hidden joint under the fit of the seen ones is there to be read. What a frame
    leaves undetermined stays neutral: s = 1 when the valid predicted joints coincide, and any rotation that
    is optimal when they lie on a line. A frame without a valid joint has no fit and gives NaN. scaled: False
    keeps s at 1, so that R and b alone are fitted. Not meant to be differentiated (SVD). Raises ValueError
    when the shapes differ.
    """
    valid = _check_alignment(predicted, target, valid)
    # NaN in joints outside the fit must be replaced before any product, since 0 · NaN is NaN.
    weight = valid[..., None].astype(predicted.dtype)
    count = jnp.sum(weight, axis=-2, keepdims=True)

    def centred(joints: Array) -> tuple[Array, Array]:
        joints = jnp.where(valid[..., None], joints, 0.0)
        mean = jnp.sum(joints, axis=-2, keepdims=True) / count  # 0 / 0 = NaN: no valid joint, no fit
        return jnp.where(valid[..., None], joints - mean, 0.0), mean

    source, source_mean = centred(predicted)
    goal, goal_mean = centred(target)
    # Frames without a fit carry NaN in their means; the SVD sees zeros there.
    covariance = jnp.einsum("...ji,...jk->...ik", source, goal, precision=jax.lax.Precision.HIGHEST)
    left, singular, right = jnp.linalg.svd(covariance, full_matrices=False)
    # Where U Vᵀ is a reflection, the axis of the smallest singular value is the cheapest one to turn over.
    mirrored = jnp.linalg.det(left) * jnp.linalg.det(right) < 0
    signs = jnp.ones_like(singular).at[..., -1].set(jnp.where(mirrored, -1.0, 1.0))
    rotation = jnp.einsum("...ij,...j,...jk->...ik", left, signs, right, precision=jax.lax.Precision.HIGHEST)

    variance = jnp.sum(source**2, axis=(-2, -1))
    # The mean of equal numbers is rounded, so coinciding joints may stand a few ulps from it.
    size = jnp.sum(jnp.where(valid[..., None], predicted, 0.0) ** 2, axis=(-2, -1))
    coincident = variance <= (8 * jnp.finfo(predicted.dtype).eps) ** 2 * size
    scale = jnp.sum(singular * signs, axis=-1) / jnp.where(coincident, 1.0, variance)
    scale = jnp.where(coincident, 1.0, scale) if scaled else jnp.ones_like(scale)
    turned = jnp.einsum(
        "...ji,...ik->...jk", predicted - source_mean, rotation, precision=jax.lax.Precision.HIGHEST
    )
    return scale[..., None, None] * turned + goal_mean


def align_scale(
    predicted: Float[Array, "*batch frames joints coordinates"],
    target: Float[Array, "*like_predicted"],
    valid: Bool[Array, "*like_joints"] | None = None,
) -> Float[Array, "*batch frames joints coordinates"]:
    """s p with s = max(0, Σ_valid p·t / Σ_valid p·p), one scale a frame about the origin of the coordinates.

    A negative scale would turn a person behind the camera into a perfect one in front of it, so it stops at
    zero. Only valid joints enter the fit, all are scaled. s = 1 when all valid predicted joints lie at the
    origin; a frame without a valid joint gives NaN. Raises ValueError when the shapes differ.
    """
    valid = _check_alignment(predicted, target, valid)
    source = jnp.where(valid[..., None], predicted, 0.0)
    goal = jnp.where(valid[..., None], target, 0.0)
    power = jnp.sum(source**2, axis=(-2, -1))
    scale = jnp.sum(source * goal, axis=(-2, -1)) / jnp.where(power == 0, 1.0, power)
    scale = jnp.where(power == 0, 1.0, jnp.maximum(scale, 0.0))
    scale = jnp.where(jnp.any(valid, axis=-1), scale, jnp.nan)
    return scale[..., None, None] * predicted


def _distance(first: Array, second: Array) -> Array:
    squared = jnp.sum((first - second) ** 2, axis=-1)
    # The square root's slope at zero is infinite. `== 0` rather than `> 0` keeps NaN a NaN.
    coincident = squared == 0
    return jnp.where(coincident, 0.0, jnp.sqrt(jnp.where(coincident, 1.0, squared)))


def _chunk_errors(
    predicted: Array, target: Array, valid: Array | None, chunk_frames: int, fitted_frames: int
) -> Array:
    valid = _check_alignment(predicted, target, valid)
    if chunk_frames < 2:
        raise ValueError(f"chunk_frames is {chunk_frames}: give 2 or more, such as {CHUNK_FRAMES}")
    *batch, frames, joints, coordinates = predicted.shape
    whole = frames - frames % chunk_frames
    parts = []
    # All whole chunks side by side, then what is left over.
    for start, count, length in ((0, whole, chunk_frames), (whole, frames - whole, frames - whole)):
        if not count:
            continue
        cut = slice(start, start + count)
        # A chunk is fitted as one pose whose joints are those of all its frames.
        shape = (*batch, count // length, length * joints)
        first = (jnp.arange(count) % length < fitted_frames)[:, None]
        fitted = valid[..., cut, :] & jnp.broadcast_to(first, (*batch, count, joints))
        source, goal = (values[..., cut, :, :].reshape(*shape, coordinates) for values in (predicted, target))
        aligned = align_procrustes(source, goal, fitted.reshape(shape))
        parts.append(_distance(aligned, goal).reshape(*batch, count, joints))
    return jnp.concatenate(parts, axis=-2)


def _difference_error(
    predicted: Array, target: Array, fps: float, order: int, name: str = "predicted"
) -> Array:
    _check_same_shape(predicted, target, "target")
    if predicted.shape[-3] <= order:
        raise ValueError(
            f"{name} has {predicted.shape[-3]} frames: a difference of order {order} needs {order + 1}"
        )
    if not fps > 0:
        raise ValueError(f"fps is {fps}: give the frames per second of the clip, such as 50.0")
    # Differencing the error instead of both poses keeps float32 exact where the two are close.
    difference = jnp.diff(predicted - target, n=order, axis=-3)
    return _distance(difference, jnp.zeros_like(difference)) * fps**order


def _check_alignment(predicted: Array, target: Array, valid: Array | None) -> Array:
    _check_same_shape(predicted, target, "target")
    if valid is None:
        return jnp.ones(predicted.shape[:-1], bool)
    if valid.shape != predicted.shape[:-1]:
        raise ValueError(
            f"valid has shape {valid.shape}, the joints of predicted {predicted.shape[:-1]}: "
            "give one bit a joint"
        )
    return valid


def _check_coordinates(joints: Array, name: str) -> None:
    if joints.shape[-1] != 3:
        raise ValueError(f"{name} has shape {joints.shape}: give (..., frames, ankles, 3), metres with z up")


def _check_same_shape(first: Array, second: Array, name: str, first_name: str = "predicted") -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"{name} has shape {second.shape}, {first_name} has {first.shape}: "
            "make them equal, nothing is broadcast"
        )
