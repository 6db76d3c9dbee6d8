"""Everybody of one video in 3D: from tracks, or from a file of a detector."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from gated_lift.cameras import world_to_camera
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import LiftedPeople, Tracks
from gated_lift.skeleton import convert
from gated_lift.video.covering import covered_joints
from gated_lift.video.pieces import recover_in_pieces
from gated_lift.video.size import scales_of, stature
from solvers import Camera, Extrinsics


def lift_tracks(
    tracks: Tracks,
    camera: Camera,
    fps: float,
    image_size: tuple[int, int],
    lifter: LoadedLifter | None = None,
    extrinsics: Extrinsics | None = None,
    heights: dict[str, float] | None = None,
    covering_rounds: int = 0,
    covariance: bool = True,
    times: np.ndarray | None = None,
    source: str = "",
    progress: Callable[[int], Any] | None = None,
    **settings: Any,
) -> LiftedPeople:
    """`gated_lift.recover` of everybody whom `tracking.track` has found, in one space.

    camera: intrinsics of the images, whose width and height in pixels are ``image_size``. fps: frames a
    second. lifter: the weights that ship, unless given. extrinsics: the camera's pose on every frame, or on
    one; everything is in world axes then.
    heights: metres by the person's name, "" for everybody else: joints, paths and covariances grow about the
        camera by one number a person.
    covering_rounds: how often joints that somebody nearer covers are hidden and everybody is lifted again.
    times: seconds of every frame; from 0 at ``fps`` unless given. source: the file, for the record.
    progress: called with the number of frames after each piece of the video. settings: of `recover`.

    Raises ValueError where there is nobody, and for what `recover` refuses.
    """
    people, frames = tracks.hidden.shape[:2]
    if not people or not frames:
        raise ValueError(f"tracks have {people} people on {frames} frames: there is nobody to lift")
    lifter = load_lifter() if lifter is None else lifter
    keypoints, hidden, confidence = _in_skeleton(tracks, lifter)

    def solve(hidden: np.ndarray) -> Any:
        return recover_in_pieces(
            *(lifter, keypoints, hidden, camera, fps),
            extrinsics=extrinsics,
            covariance=covariance,
            progress=progress,
            **settings,
        )

    found = solve(hidden)
    for _ in range(covering_rounds):
        before_camera = found.joints
        if extrinsics is not None:
            before_camera = np.asarray(world_to_camera(jnp.asarray(found.joints), extrinsics))
        covered = covered_joints(before_camera, lifter.skeleton) & ~hidden
        # Who is covered whole would be lost: better a doubtful keypoint than none for seconds.
        covered &= ~np.all(hidden | covered, axis=-1, keepdims=True)
        if not covered.any():
            break
        hidden = hidden | covered
        found = solve(hidden)

    joints, root, spread = found.joints, found.root, found.covariance
    if heights:
        scale = scales_of(heights, tracks.names, stature(joints, lifter.skeleton))
        middle = np.zeros(3) if extrinsics is None else np.asarray(extrinsics.position)
        joints = middle[..., None, :] + scale[:, None, None, None] * (joints - middle[..., None, :])
        root = middle + scale[:, None, None] * (root - middle)
        spread = None if spread is None else scale[:, None, None, None] ** 2 * spread
    return LiftedPeople(
        joints=joints.astype(np.float32),
        root=root.astype(np.float32),
        covariance=spread,
        status=found.status,
        present=found.present,
        residual=found.residual,
        keypoints=keypoints,
        confidence=confidence,
        hidden=hidden,
        names=tracks.names,
        skeleton=lifter.skeleton,
        fps=float(fps),
        times=np.arange(frames) / fps if times is None else times,
        axes="camera" if extrinsics is None else "world",
        camera=camera,
        extrinsics=extrinsics,
        image_size=image_size,
        source=source,
    )


def _in_skeleton(tracks: Tracks, lifter: LoadedLifter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints, occlusion and confidence in the lifter's joints. A joint that the format lacks has the lower
    confidence of the two that it lies between.
    """
    keypoints = np.where(tracks.hidden[..., None], 0, tracks.keypoints).astype(np.float32)
    converted, hidden = convert(
        jnp.asarray(keypoints), jnp.asarray(tracks.hidden), tracks.skeleton, lifter.skeleton
    )
    trust = np.where(tracks.hidden, 0, tracks.confidence).astype(np.float32)
    values, _ = convert(
        jnp.asarray(trust)[..., None], jnp.asarray(tracks.hidden), tracks.skeleton, lifter.skeleton
    )
    return np.array(converted), np.array(hidden), np.array(values[..., 0])
