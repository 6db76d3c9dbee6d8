"""Everybody of one video in 3D: from a detector's file, or from tracks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from gated_lift.cameras import world_to_camera
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Detections, LiftedPeople, Tracks
from gated_lift.readers.cameras import read_camera_path, read_intrinsics
from gated_lift.readers.detections import read_detections
from gated_lift.readers.detectors.rows import as_fps
from gated_lift.skeleton import BETTER_MISSING, Missing, Skeleton, convert
from gated_lift.tracking import track
from gated_lift.video.camera import choose_camera
from gated_lift.video.covering import covered_keypoints
from gated_lift.video.pieces import recover_in_pieces
from gated_lift.video.size import scales_of, stature
from gated_lift.video.times import at_steady_rate, at_times, camera_at_times, steady_rate
from solvers import Camera, Extrinsics

# Quarter turns clockwise that bring people upright, in degrees.
ROTATIONS = (0, 90, 180, 270)


def lift_file(
    path: str | Path,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    *,
    format: str | None = None,
    skeleton: Skeleton | str | None = None,
    allow_pickle: bool = False,
    people: int | None = None,
    ids: Literal["own", "file"] = "own",
    tracker: Literal["network", "online"] = "network",
    threshold: float = 0.3,
    focal: float | None = None,
    fov: float | None = None,
    intrinsics: str | Path | None = None,
    camera_name: str | None = None,
    camera_path: str | Path | None = None,
    heights: dict[str, float] | None = None,
    rotate: int = 0,
    lifter: LoadedLifter | None = None,
    progress: Callable[[int], Any] | None = None,
    **settings: Any,
) -> LiftedPeople:
    """From a detector's keypoint file to everybody's 3D joints and path.

    path, fps, image_size, format, skeleton, allow_pickle: as `readers.detections.read_detections` takes them.
    fps and image_size come before what the file says; one of the two ways must say them.
    people, ids, tracker (its method), threshold: as `tracking.track` takes them.
    focal, fov: see `video.camera.choose_camera`. intrinsics: a camera's file, of which ``camera_name`` is the
        camera (`readers.cameras.read_intrinsics`). camera_path: where the camera was on every frame
        (`readers.cameras.read_camera_path`); everything is in world axes then.
    heights: metres by the person's name, "" for everybody else.
    rotate: degrees, 0, 90, 180 or 270, by which images are to be turned clockwise so that people are upright.
        Keypoints, camera and image size of the result are those of the turned images, and reports and films
        turn the video likewise.
    lifter, progress, settings: as `lift_tracks` takes them.

    A file whose frames do not come at one rate (``times``) is brought to its usual rate for the lift, and
    joints are given at the file's own times.

    Raises ValueError, on one line, for everything that the readers, the tracker and the lift refuse.
    """
    if rotate not in ROTATIONS:
        raise ValueError(f"rotate is {rotate}: choose from {', '.join(map(str, ROTATIONS))}")
    detections = read_detections(path, format, fps, image_size, skeleton, allow_pickle)
    if detections.image_size is None:
        raise ValueError(
            f"{path} does not say how large the images are: give image_size, such as 1920x1080; the camera's "
            "centre is taken to be their middle"
        )
    if detections.fps is None and detections.times is None:
        raise ValueError(
            f"{path} does not say how many frames a second there are: give fps; speeds, and how long a joint "
            "has been hidden, are measured by it"
        )
    detections = _turned(detections, rotate)
    assert detections.image_size is not None
    known = None if intrinsics is None else read_intrinsics(intrinsics, camera_name)
    camera = choose_camera(detections.image_size, focal, fov, known)
    tracks = track(detections, people, ids, threshold, tracker)
    times, rate, frames, source = detections.times, detections.fps, detections.num_frames, detections.source
    size = detections.image_size
    del detections  # as large as the tracks, and not needed any more
    if not len(tracks.names):
        raise ValueError(f"{path} shows nobody for long enough to be followed")

    steady = True
    if times is None:
        assert rate is not None
        times = np.arange(frames) / rate
    elif len(times) > 1:
        usual, steady = steady_rate(times)
        rate = usual if rate is None or not steady else rate
    if rate is None:
        raise ValueError(f"{path} has one frame and no frame rate: give fps")
    as_fps(rate, f"{path}: the rate that its times, in seconds, come to")
    moments = times
    if not steady:
        tracks, moments = at_steady_rate(tracks, times, rate)
    own_poses = None if camera_path is None else read_camera_path(camera_path, times)
    extrinsics = own_poses if steady else camera_at_times(own_poses, times, moments)
    lifted = lift_tracks(
        *(tracks, camera, rate, size, lifter, extrinsics, heights),
        times=moments,
        source=source,
        progress=progress,
        **settings,
    )._replace(rotate=rotate)
    return lifted if steady else at_times(lifted, times)._replace(extrinsics=own_poses)


def _turned(detections: Detections, degrees: int) -> Detections:
    """Keypoints in images that are turned clockwise."""
    assert detections.image_size is not None
    width, height = detections.image_size
    x, y = np.moveaxis(detections.keypoints, -1, 0)
    x, y, size = {
        0: (x, y, (width, height)),
        90: (height - y, x, (height, width)),
        180: (width - x, height - y, (width, height)),
        270: (y, width - x, (height, width)),
    }[degrees]
    return detections._replace(keypoints=np.stack([x, y], axis=-1), image_size=size)


def lift_tracks(
    tracks: Tracks,
    camera: Camera,
    fps: float,
    image_size: tuple[int, int],
    lifter: LoadedLifter | None = None,
    extrinsics: Extrinsics | None = None,
    heights: dict[str, float] | None = None,
    covering_rounds: int = 1,
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
    covering_rounds: how often, at most, keypoints of a person that lie on somebody nearer are hidden
        (`video.covering`) and everybody is lifted again.
    times: seconds of every frame; from 0 at ``fps`` unless given. source: the file, for the record.
    progress: called with the number of frames after each piece of the video. settings: of `recover`.

    Raises ValueError where there is nobody, and for what `recover` refuses.
    """
    if covering_rounds < 0:
        raise ValueError(f"covering_rounds is {covering_rounds}: give how often, 0 or more")
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
    told = hidden
    for _ in range(covering_rounds):
        before_camera = found.joints
        if extrinsics is not None:
            before_camera = np.asarray(world_to_camera(jnp.asarray(found.joints), extrinsics))
        covered = covered_keypoints(before_camera, keypoints, told, camera, lifter.skeleton, fps)
        if np.array_equal(told | covered, hidden):
            break
        hidden = told | covered
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
    missing = better_missing(tracks.skeleton, lifter)
    converted, hidden = convert(
        jnp.asarray(keypoints),
        jnp.asarray(tracks.hidden),
        tracks.skeleton,
        lifter.skeleton,
        missing=missing,
    )
    trust = np.where(tracks.hidden, 0, tracks.confidence).astype(np.float32)
    values, _ = convert(
        jnp.asarray(trust)[..., None], jnp.asarray(tracks.hidden), tracks.skeleton, lifter.skeleton
    )
    return np.array(converted), np.array(hidden), np.array(values[..., 0])


def better_missing(skeleton: Skeleton, lifter: LoadedLifter) -> Missing:
    """What `skeleton.convert` should do about joints that a format lacks, for this lifter."""
    # Measured for the gated network; others were never shown hidden joints.
    gated = getattr(lifter.network, "gating", "none") != "none"
    return BETTER_MISSING.get(skeleton.name, "midpoint") if gated else "midpoint"
