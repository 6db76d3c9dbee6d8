"""Errors of 3D poses and roots, one value per joint and frame; the caller reduces with `masked_mean`.

Arrays are (..., frames, joints, coordinates) in metres and so are the results; multiply by 1000 to print
millimetres. The alignment, if any, is in the metric's name. Predicted and true arrays must have the same
shape: nothing is broadcast. `valid` is True where a joint may enter a fit; NaN elsewhere stays where it is.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

AUC_THRESHOLDS = tuple(step * 0.005 for step in range(31))  # 0, 5, ..., 150 mm, as MPI-INF-3DHP reports it


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
) -> Float[Array, "*batch frames joints coordinates"]:
    """s R p + b with argmin over s ≥ 0, R ∈ SO(3), b of Σ_valid ‖s R p + b − t‖² per frame (Umeyama 1991).

    R is a rotation: a mirrored pose stays mirrored. Only valid joints enter the fit, but all joints are moved
    by it, so the error of a hidden joint under the fit of the seen ones is there to be read. What a frame
    leaves undetermined stays neutral: s = 1 when the valid predicted joints coincide, and any rotation that
    is optimal when they lie on a line. A frame without a valid joint has no fit and gives NaN. Not meant to
    be differentiated (SVD). Raises ValueError when the shapes differ.
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
    scale = jnp.where(coincident, 1.0, scale)
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


def _difference_error(predicted: Array, target: Array, fps: float, order: int) -> Array:
    _check_same_shape(predicted, target, "target")
    if predicted.shape[-3] <= order:
        raise ValueError(
            f"predicted has {predicted.shape[-3]} frames: a difference of order {order} needs {order + 1}"
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


def _check_same_shape(first: Array, second: Array, name: str, first_name: str = "predicted") -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"{name} has shape {second.shape}, {first_name} has {first.shape}: "
            "make them equal, nothing is broadcast"
        )
