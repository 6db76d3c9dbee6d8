"""What real video hides: not joints at random, but what is behind a table, one side, or a whole format."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gated_lift.skeleton import Skeleton

# Joints that detectors' formats lack, by the names of Human3.6M's skeleton: COCO's and BODY_25's joints and
# MediaPipe's have no spine, neck or top of the head, Halpe's have no spine and neck, BODY_25B's no spine.
LACKING = (("spine", "neck", "head"), ("spine", "neck"), ("spine",))


class HidingDistribution(NamedTuple):
    """What is hidden of a training window besides Eqs. 10 and 11.

    hidden_share: share of the windows of which something below is hidden; one of these, by its weight:
    line: all that lies beyond a straight line in the picture, as a table's edge or the picture's own.
    branch: a joint and all that hangs from it, such as an arm, a leg or a trunk with both arms.
    side: the left or the right arm and leg, as of somebody who is seen from the side.
    whole: everything.
    lasting: share of these that last for the whole window; others begin and end anywhere in it.
    lacking_share: share of the windows that lack the joints of one of `LACKING`, on every frame.
    """

    hidden_share: float = 0.0
    line: float = 0.35
    branch: float = 0.35
    side: float = 0.2
    whole: float = 0.1
    lasting: float = 0.5
    lacking_share: float = 0.0


def branches(skeleton: Skeleton) -> Bool[np.ndarray, "joints joints"]:
    """Row j is True for joint j and for all that hangs from it."""
    below = np.eye(skeleton.num_joints, dtype=bool)
    for joint in range(skeleton.num_joints):
        ancestor = skeleton.parents[joint]
        while ancestor >= 0:
            below[ancestor, joint] = True
            ancestor = skeleton.parents[ancestor]
    return below


def lacking_joints(skeleton: Skeleton) -> Bool[np.ndarray, "formats joints"]:
    """A row for each of `LACKING`."""
    return np.array([[name in names for name in skeleton.names] for names in LACKING])


def sample_lacking(
    key: PRNGKeyArray, batch: int, distribution: HidingDistribution, skeleton: Skeleton
) -> Bool[Array, "batch joints"]:
    """Joints that a window's format lacks, none for most windows where ``lacking_share`` is small."""
    share_key, format_key = jax.random.split(key)
    lacks = jax.random.bernoulli(share_key, distribution.lacking_share, (batch, 1))
    which = jax.random.randint(format_key, (batch,), 0, len(LACKING))
    return lacks & jnp.asarray(lacking_joints(skeleton))[which]


def sample_hiding(
    key: PRNGKeyArray,
    keypoints: Float[Array, "batch frames joints 2"],
    distribution: HidingDistribution,
    skeleton: Skeleton,
) -> Bool[Array, "batch frames joints"]:
    """Draws what is hidden of each window, as `HidingDistribution` says: True means hidden.

    keypoints: in the picture, y downwards, any unit; finite. The line lies beyond the middle frame's
    outermost third to nearly all of it, below the person three times out of five and to a side or above else,
    so that at least one joint is seen where it is drawn. frames: evenly spaced or not.
    """
    batch, frames, joints = keypoints.shape[:3]
    keys = jax.random.split(key, 8)
    weights = jnp.array([getattr(distribution, name) for name in ("line", "branch", "side", "whole")])
    kind = jax.random.categorical(keys[0], jnp.log(weights), shape=(batch,))[:, None, None]

    # Down, left, right and up in the picture.
    directions = jnp.array([[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0]], keypoints.dtype)
    chosen = jax.random.categorical(keys[1], jnp.log(jnp.array([0.6, 0.15, 0.15, 0.1])), shape=(batch,))
    along = jnp.sum(keypoints * directions[chosen][:, None, None], axis=-1)
    middle = along[:, frames // 2]
    low, high = jnp.min(middle, axis=-1), jnp.max(middle, axis=-1)
    height = jax.random.uniform(keys[2], (batch,), keypoints.dtype, 0.1, 0.95)
    line = along > (low + height * (high - low))[:, None, None]

    tops = jnp.asarray(branches(skeleton))
    branch = tops[jax.random.randint(keys[3], (batch,), 1, joints)][:, None]
    sides = np.zeros((2, joints), bool)
    sides[0, list(skeleton.left)] = sides[1, list(skeleton.right)] = True
    side = jnp.asarray(sides)[jax.random.bernoulli(keys[4], 0.5, (batch,)).astype(jnp.int32)][:, None]
    hidden = jnp.select([kind == 0, kind == 1, kind == 2], [line, branch, side], True)

    ends = jnp.sort(jax.random.uniform(keys[5], (batch, 2), keypoints.dtype, 0, frames), axis=-1)
    lasting = jax.random.bernoulli(keys[6], distribution.lasting, (batch, 1)) & (kind[..., 0] != 3)
    now = jnp.arange(frames, dtype=keypoints.dtype)[None]
    during = lasting | ((now >= ends[:, :1]) & (now < ends[:, 1:]))
    share = jax.random.bernoulli(keys[7], distribution.hidden_share, (batch, 1, 1))
    return share & during[..., None] & jnp.broadcast_to(hidden, keypoints.shape[:-1])
