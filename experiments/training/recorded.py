"""Windows of recorded keypoints, seen by real cameras, in place of motion before virtual ones."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.cameras import VirtualCamera
from gated_lift.pipeline import screen_focal
from gated_lift.readers.human36m import RecordedTake
from solvers import Camera, normalize


class RecordedBank(NamedTuple):
    """Every take in every view, end to end.

    keypoints: (N, J, 2) screen-normalised, as the virtual camera without a lens would see them. occluded:
    (N, J). joints: (N, J, 3) camera-space metres. first, last: (N,) bounds of the take that each frame
    belongs to.
    """

    keypoints: jax.Array
    occluded: jax.Array
    joints: jax.Array
    first: jax.Array
    last: jax.Array


def make_bank(takes: Sequence[RecordedTake], virtual: VirtualCamera) -> RecordedBank:
    """Undoes each camera's lens, centre and focal length, so that all views enter as `pipeline.lift` has
    them.
    """
    lengths = np.array([len(take.joints) for take in takes])
    end = np.cumsum(lengths)
    cameras = [take.seen_by.camera for take in takes]
    camera = Camera(
        *(np.repeat(np.array(numbers, np.float32), lengths, axis=0) for numbers in zip(*cameras, strict=True))
    )
    occluded = jnp.concatenate([take.occluded for take in takes])
    keypoints = jnp.where(occluded[..., None], 0, jnp.concatenate([take.keypoints for take in takes]))
    return RecordedBank(
        keypoints=jax.jit(normalize)(keypoints, camera) * screen_focal(virtual),
        occluded=occluded,
        joints=jnp.concatenate([take.joints for take in takes]),
        first=jnp.asarray(np.repeat(end - lengths, lengths).astype(np.int32)),
        last=jnp.asarray(np.repeat(end - 1, lengths).astype(np.int32)),
    )


def look_up(
    bank: RecordedBank, frames: jax.Array, virtual: VirtualCamera
) -> tuple[jax.Array, jax.Array, jax.Array, Camera]:
    """Keypoints, missed joints and camera-space joints at ``frames`` (B, T), and the camera, one a window,
    that sees them so: the virtual one.
    """
    focal = jnp.full((len(frames), 2), screen_focal(virtual) * virtual.width / 2)
    center = jnp.broadcast_to(jnp.array([virtual.width / 2, virtual.height / 2]), focal.shape)
    return bank.keypoints[frames], bank.occluded[frames], bank.joints[frames], Camera(focal, center)
