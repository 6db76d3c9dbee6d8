"""Captured people before virtual cameras that stand still, one a person, as a detector would see them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gated_lift import H36M_17, Skeleton
from gated_lift.cameras import VirtualCamera, sample_static_camera
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import view
from solvers import Camera


class Film(NamedTuple):
    """keypoints (P, F, J, 2) pixels. missed (P, F, J). joints (P, F, J, 3) metres, camera axes. camera: one
    a person.
    """

    keypoints: np.ndarray
    missed: np.ndarray
    joints: np.ndarray
    camera: Camera


def film(
    poses: Float[np.ndarray, "people frames joints 3"],
    fps: float,
    seed: int,
    skeleton: Skeleton = H36M_17,
    views: VirtualCamera = VirtualCamera(),
) -> Film:
    """Each person alone before a camera of their own, drawn from ``views``. poses: metres, z up, the hips
    first.

    The cameras follow from the seed and the people's first frames alone: they are the same at every ``fps``.
    """

    @jax.jit
    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        camera, extrinsics = sample_static_camera(camera_key, poses[0, 0], views)
        seen = view(detector_key, poses, camera, extrinsics, DetectorConfig(), fps, skeleton)
        return seen.keypoints, seen.occluded, seen.joints, camera

    found = look(jax.random.split(jax.random.key(seed), len(poses)), jnp.asarray(poses))
    keypoints, missed, joints, camera = jax.tree.map(np.asarray, found)
    return Film(keypoints, missed, joints, camera)
