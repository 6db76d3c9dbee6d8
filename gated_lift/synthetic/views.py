"""World-space motion as a camera and a detector see it."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from gated_lift.cameras import Extrinsics, world_to_camera
from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.detector import DetectorConfig, detect, hidden_by_confidence
from solvers import Camera, project

# A joint is not detected nearer than this (metres), nor farther from the image's centre than this many half
# widths: in front of a passing lens projections grow without bound.
NEAREST = 0.5
FARTHEST_OFF = 2.0
BODY_HEIGHT = 1.7  # metres; only scales the detector's noise with the person's size in the image


class View(NamedTuple):
    """keypoints: (..., F, J, 2) detected, pixels. occluded: (..., F, J), True where the detector's
    confidence is too low or the joint lies far outside the image.
    joints: (..., F, J, 3) true camera-space joints, metres. confidence: (..., F, J), the detector's.
    """

    keypoints: Array
    occluded: Array
    joints: Array
    confidence: Array


def view(
    key: Array,
    poses: Float[Array, "*batch frames joints 3"],
    camera: Camera,
    extrinsics: Extrinsics,
    detector: DetectorConfig,
    fps: float,
    skeleton: Skeleton,
    coverage: Float[Array, "*batch frames joints"] | None = None,
) -> View:
    """Moves world-space joints (metres) into a camera, projects them and lets a detector find them.

    ``coverage`` says how far other bodies hide each joint (`bodies.body_occlusion`); none by default.
    ``extrinsics`` is one pose a frame, or one for all; ``camera`` is one for all (vmap over cameras for
    more). Deterministic per key.
    """
    joints = world_to_camera(poses, extrinsics)
    coverage = jnp.zeros(joints.shape[:-1], joints.dtype) if coverage is None else coverage
    focal, center = jnp.asarray(camera.focal, joints.dtype), jnp.asarray(camera.center, joints.dtype)
    # Nobody is larger in the image than at arm's length: a person who brushes past the lens has finite noise.
    depth = jnp.maximum(joints[..., 0, 2], NEAREST)
    height = jnp.broadcast_to(focal[1] * BODY_HEIGHT, depth.shape) / depth
    keypoints = project(joints, camera)
    center = jnp.broadcast_to(center, keypoints.shape)
    offset = jnp.abs(keypoints - center) / center[..., :1]
    visible = (joints[..., 2] >= NEAREST) & jnp.all(offset <= FARTHEST_OFF, axis=-1)
    keypoints = jnp.where(visible[..., None], keypoints, center)
    found = detect(key, keypoints, coverage, height, detector, fps, skeleton.mirror)
    missed = hidden_by_confidence(found.confidence) | ~visible
    return View(found.keypoints, missed, joints, found.confidence)
