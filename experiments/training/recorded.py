"""Windows of recorded keypoints, seen by real cameras, in place of motion before virtual ones."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.readers.human36m import RecordedTake
from solvers import Camera, normalize


class RecordedBank(NamedTuple):
    """Every take in every view, end to end.

    keypoints: (N, J, 2) as a camera of focal length 1 sees them, X/Z and Y/Z. occluded: (N, J). joints:
    (N, J, 3) camera-space metres. first, last: (N,) bounds of the take that each frame belongs to.
    """

    keypoints: jax.Array
    occluded: jax.Array
    joints: jax.Array
    first: jax.Array
    last: jax.Array


def make_bank(takes: Sequence[RecordedTake]) -> RecordedBank:
    """Undoes each camera's lens, centre and focal length, so that one camera has seen all views."""
    lengths = np.array([len(take.joints) for take in takes])
    end = np.cumsum(lengths)
    cameras = [take.seen_by.camera for take in takes]
    camera = Camera(
        *(np.repeat(np.array(numbers, np.float32), lengths, axis=0) for numbers in zip(*cameras, strict=True))
    )
    occluded = jnp.concatenate([take.occluded for take in takes])
    keypoints = jnp.where(occluded[..., None], 0, jnp.concatenate([take.keypoints for take in takes]))
    return RecordedBank(
        keypoints=jax.jit(normalize)(keypoints, camera),
        occluded=occluded,
        joints=jnp.concatenate([take.joints for take in takes]),
        first=jnp.asarray(np.repeat(end - lengths, lengths).astype(np.int32)),
        last=jnp.asarray(np.repeat(end - 1, lengths).astype(np.int32)),
    )


def look_up(bank: RecordedBank, frames: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, Camera]:
    """Keypoints, missed joints and camera-space joints at ``frames`` (B, T), and the camera, one a window,
    that sees them so.
    """
    one = jnp.ones((len(frames), 2))
    camera = Camera(one, jnp.zeros_like(one))
    return bank.keypoints[frames], bank.occluded[frames], bank.joints[frames], camera
