"""The main job in one call: keypoints and an occlusion mask to camera-space joints of every person."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gated_lift.cameras import VirtualCamera
from gated_lift.networks.protocol import Lifter, check_keypoints, lift_clip
from gated_lift.skeleton import H36M_17, Skeleton
from solvers import Camera, Status, TrajectoryConfig, normalize, solve_trajectory


class Recovery(NamedTuple):
    """poses: (..., F, J, 3) root-relative metres, camera axes. root: (..., F, 3) metres. joints: their sum.
    status: (...) `solvers.Status` of each person's path; where it is neither converged nor max_steps, root
    and joints are NaN.
    """

    poses: Float[Array, "*people F J 3"]
    root: Float[Array, "*people F 3"]
    joints: Float[Array, "*people F J 3"]
    status: Int[Array, "*people"]


def screen_focal(camera: VirtualCamera = VirtualCamera()) -> float:
    """Focal length in screen-normalised units (2f/w) of the cameras that a lifter was trained behind."""
    return sum(camera.focal) / camera.width


def lift(
    lifter: Lifter,
    variables: Any,
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
    camera: Camera,
    skeleton: Skeleton = H36M_17,
    flip: bool = True,
    focal: float = screen_focal(),
) -> Float[Array, "*people F N 3"]:
    """Root-relative poses of every person from pixels: the first half of `recover`, with its arguments.

    From a network whose ``target`` is the root, every person's root instead (N = 1).
    """
    check_keypoints(keypoints, occluded, lifter.num_joints)
    seen = jnp.where(occluded[..., None], jnp.zeros_like(keypoints), keypoints)
    return lift_clip(lifter, variables, normalize(seen, camera) * focal, occluded, skeleton, flip)


def recover(
    lifter: Lifter,
    variables: Any,
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
    camera: Camera,
    skeleton: Skeleton = H36M_17,
    trajectory: TrajectoryConfig = TrajectoryConfig(),
    flip: bool = True,
    focal: float = screen_focal(),
    confidence: Float[Array, "*people F J"] | None = None,
) -> Recovery:
    """Lifts every person with the gated network and places each by Eq. 9; people are independent of each
    other.

    keypoints: pixels, hidden ones may be NaN. occluded: True where hidden. camera: intrinsics, which also
    undistort the keypoints and turn them into those of the lifter's training camera (``focal``, see
    `screen_focal`), so that the image size and the lens need not be those of the training. flip: average over
    the mirror image. confidence: the detector's, weights the joints' errors in Eq. 9 (a joint of confidence 0
    is hidden there); the lifter reads ``occluded`` alone. ``trajectory.loss`` chooses a robust loss.

    Raises ValueError for wrong shapes and dtypes. A person whose visible keypoints are not finite, or who is
    never visible, gets a status and NaN, and changes nobody else. Can be jitted; the lifter, skeleton and
    settings are then static.
    """
    poses = lift(lifter, variables, keypoints, occluded, camera, skeleton, flip, focal)
    solution = solve_trajectory(poses, keypoints, occluded, camera, trajectory, confidence=confidence)
    return Recovery(poses, solution.root, poses + solution.root[..., None, :], solution.status)


def solved(status: Int[Array, "*people"]) -> Bool[Array, "*people"]:
    """True for people whose path can be used: the solve converged or ran out of steps while improving."""
    return status <= int(Status.MAX_STEPS)
