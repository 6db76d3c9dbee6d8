"""What recovered people are like when nothing went wrong, to tell when something did.

The limits were chosen on captured people whom neither the shipped weights nor the evaluation have seen;
docs/results.md has the distributions.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.skeleton import Skeleton

# `misfit` above which keypoints and joints do not belong together, for people seen whole and in part.
WORST_FIT = 0.28
WORST_PARTIAL_FIT = 0.4

# A person whose trunk is this far from upright (the cosine of 60 degrees) on so many of the
# frames that show them lies or hangs; who also fits worse than this, or rises or sinks by so many metres,
# probably does neither: of people who lie, 95 % move up or down by less than 0.36 m within four seconds, and
# somebody who walks three metres and whose x and y are exchanged by as much.
TILTED = 0.5
TILTED_SHARE = 0.8
TILTED_FIT = 0.1
TILTED_RISE = 0.5

# Whoever has their head down on this share of the frames cannot be so: nobody stands on the hands for long.
HANGING_SHARE = 0.9

# A joint that shows on less than this share of the frames that show the person was never seen.
SELDOM = 0.02

# A person of whom at least so many joints were never seen is known in part only: their size, and with it the
# distance, is a guess with this relative standard deviation.
UNSEEN_SIZE_STD = {4: 0.1, 7: 0.25}

# Metres: standard deviation across the ray of a root that was never seen itself, of a person known in part.
UNSEEN_ROOT_STD = 0.15


def misfit(
    residual: Float[Array, "*people F"],
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
) -> Float[Array, "*people"]:
    """The reprojection residual in units of the person's size in the picture, over the whole clip:

        √(Σ_t n_t residual_t² / Σ_t Σ_j |x_tj − x̄_t|²),   sums over the n_t visible joints of each frame

    residual: `solvers.TrajectorySolution.residual` in pixels, 0 where unknown. keypoints: pixels, finite.
    Frames that show fewer than three joints do not count; 0 where none does.
    """
    visible = (~occluded).astype(keypoints.dtype)
    count = jnp.sum(visible, axis=-1)
    telling = (count >= 3).astype(keypoints.dtype)
    middle = jnp.sum(visible[..., None] * keypoints, axis=-2, keepdims=True)
    middle = middle / jnp.maximum(count, 1)[..., None, None]
    square = visible * jnp.sum((keypoints - middle) ** 2, axis=-1)
    size = jnp.sum(telling * jnp.sum(square, axis=-1), axis=-1)
    error = jnp.sum(telling * count * residual**2, axis=-1)
    # Replaced before the root, whose slope at 0 has no end.
    known = (size > 0) & (error > 0)
    return jnp.where(known, jnp.sqrt(jnp.where(known, error, 1) / jnp.where(known, size, 1)), 0)


def never_seen(
    occluded: Bool[Array, "*people F J"], seen: Bool[Array, "*people F"]
) -> Bool[Array, "*people J"]:
    """Joints that show on hardly any of the frames that show the person."""
    there = jnp.broadcast_to(seen[..., None], occluded.shape)
    shown = jnp.sum(~occluded & there, axis=-2)
    frames = jnp.broadcast_to(jnp.sum(seen, axis=-1)[..., None], shown.shape)
    return shown.astype(jnp.float32) < SELDOM * frames.astype(jnp.float32)


def unseen_size_std(unseen: Bool[Array, "*people J"]) -> Float[Array, "*people"]:
    """Relative standard deviation of a person's size for want of the joints that were never seen; 0 for
    people who are known whole.
    """
    count = jnp.sum(unseen, axis=-1)
    spread = jnp.zeros(count.shape, jnp.float32)
    for least, std in UNSEEN_SIZE_STD.items():
        spread = jnp.where(count >= least, std, spread)
    return spread


def unseen_covariance(unseen: Bool[Array, "P J"], ray: Float[Array, "P F 3"]) -> Float[Array, "P F 3 3"]:
    """What the covariance of a root lacks, square metres, for want of the joints that were never seen: s² r
    rᵀ along the ray r from the camera, s being `unseen_size_std`, and where the root is one of these joints
    `UNSEEN_ROOT_STD` in every direction.
    """
    size = unseen_size_std(unseen).astype(ray.dtype)[:, None, None, None]
    across = jnp.where((size > 0) & unseen[:, :1, None, None], UNSEEN_ROOT_STD, 0).astype(ray.dtype)
    everywhere = jnp.eye(3, dtype=ray.dtype)[None, None]
    return size**2 * ray[..., :, None] * ray[..., None, :] + across**2 * everywhere


def trunk_cosine(
    poses: Float[Array, "*people F J 3"], skeleton: Skeleton, up: Float[Array, "..."] | None = None
) -> Float[Array, "*people F"]:
    """The cosine of the angle between a person's trunk and the vertical: 1 for who stands, −1 for who is on
    the head.

    poses: camera axes, from any origin. up (3,), with leading axes that broadcast against those of people and
    frames: the vertical in camera axes; that of the picture unless given. 1 for skeletons without a joint
    called thorax.
    """
    if "thorax" not in skeleton.names:
        return jnp.ones(poses.shape[:-2], poses.dtype)
    trunk = poses[..., skeleton.names.index("thorax"), :] - poses[..., 0, :]
    along = jnp.sum(trunk * _vertical(up, trunk), axis=-1)
    square = jnp.sum(trunk**2, axis=-1)
    return along * jax.lax.rsqrt(jnp.where(square > 0, square, 1))


def _vertical(up: Array | None, like: Array) -> Array:
    level = jnp.array([0, -1, 0], like.dtype)
    return jnp.broadcast_to(level if up is None else up.astype(like.dtype), like.shape)


def _mostly(frames: Bool[Array, "*people F"], seen: Bool[Array, "*people F"], share: float) -> Array:
    count = jnp.sum(frames & seen, axis=-1).astype(jnp.float32)
    return count > share * jnp.sum(seen, axis=-1).astype(jnp.float32)


def lies(cosine: Float[Array, "*people F"], seen: Bool[Array, "*people F"]) -> Bool[Array, "*people"]:
    """Whether a person's trunk is far from upright for most of the frames that show them. cosine: of
    `trunk_cosine`.
    """
    return _mostly(cosine <= TILTED, seen, TILTED_SHARE)


def hangs(cosine: Float[Array, "*people F"], seen: Bool[Array, "*people F"]) -> Bool[Array, "*people"]:
    """Whether a person's head is down for nearly all of the frames that show them, as nobody's is for long,
    and everybody's whose y points upwards. cosine: of `trunk_cosine`.
    """
    return _mostly(cosine < -TILTED, seen, HANGING_SHARE)


def rises(
    root: Float[Array, "*people F 3"],
    seen: Bool[Array, "*people F"],
    up: Float[Array, "..."] | None = None,
) -> Bool[Array, "*people"]:
    """Whether a person moves up or down by more than `TILTED_RISE`, over the frames that show them. root:
    camera axes, metres. up: as `trunk_cosine` takes it.
    """
    height = jnp.sum(root * _vertical(up, root), axis=-1)
    least = jnp.min(jnp.where(seen, height, jnp.inf), axis=-1)
    return jnp.max(jnp.where(seen, height, -jnp.inf), axis=-1) - least > TILTED_RISE


def fits_badly(
    misfit: Float[Array, "*people"],
    partial: Bool[Array, "*people"],
    lying: Bool[Array, "*people"],
    rising: Bool[Array, "*people"],
    hanging: Bool[Array, "*people"],
) -> Bool[Array, "*people"]:
    """Whether a person's joints are farther from their keypoints than people's ever are, whoever lies being
    allowed less, and not to rise, and nobody to hang: keypoints whose axes are exchanged, or upside down,
    lift to such people.
    """
    worse = misfit > jnp.where(partial, WORST_PARTIAL_FIT, WORST_FIT)
    return worse | hanging | (lying & ((misfit > TILTED_FIT) | rising))
