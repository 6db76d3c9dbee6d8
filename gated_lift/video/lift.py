"""Everybody of one video in 3D: from a detector's file, or from tracks."""

import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.cameras import up_of, world_to_camera
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Detections, LiftedPeople, Tracks
from gated_lift.pipeline import size_spread
from gated_lift.readers.cameras import read_camera_path, read_intrinsics
from gated_lift.readers.detections import read_detections
from gated_lift.readers.detectors.rows import as_fps
from gated_lift.recovery.lengths import laid_out
from gated_lift.recovery.plausibility import lies, never_seen, trunk_cosine, unseen_size_std
from gated_lift.skeleton import BETTER_MISSING, Missing, Skeleton, convert
from gated_lift.tracking import track
from gated_lift.video.camera import choose_camera
from gated_lift.video.covering import covered_keypoints
from gated_lift.video.pieces import Recovered, recover_in_pieces
from gated_lift.video.size import (
    FRAME_STD,
    Sizes,
    find_sizes,
    scaled_about,
    size_priors,
    stature,
    with_size,
)
from gated_lift.video.times import at_steady_rate, at_times, camera_at_times, steady_rate
from solvers import Camera, Extrinsics, TrajectoryConfig

LOGGER = logging.getLogger("gated_lift")

# Quarter turns clockwise that bring people upright, in degrees.
ROTATIONS = (0, 90, 180, 270)
# Degrees that a camera may look down: seen from above, people have no height.
STEEPEST_TILT = 80
# Metres that a camera may be above the floor, or below it.
LOWEST_CAMERA, HIGHEST_CAMERA = -20.0, 200.0


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
    tilt: float | None = None,
    roll: float = 0.0,
    camera_height: float | None = None,
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
    tilt, roll: degrees by which a camera that stands still looks down, and is then rolled clockwise as its
        operator sees it, once the images are turned (`cameras.up_of`).
    camera_height: metres of a camera that stands still above the floor that people stand on.
    lifter, progress, settings: as `lift_tracks` takes them.

    A file whose frames do not come at one rate (``times``) is brought to its usual rate for the lift, and
    joints are given at the file's own times.

    Raises ValueError, on one line, for everything that the readers, the tracker and the lift refuse.
    """
    if rotate not in ROTATIONS:
        raise ValueError(f"rotate is {rotate}: choose from {', '.join(map(str, ROTATIONS))}")
    up = told_vertical(tilt, roll, camera_path is not None)
    if camera_height is not None and camera_path is not None:
        raise ValueError("camera_height and camera_path both say where the camera is: give one of them")
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
        up=up,
        camera_height=camera_height,
        times=moments,
        source=source,
        progress=progress,
        **settings,
    )._replace(rotate=rotate)
    return lifted if steady else at_times(lifted, times)._replace(extrinsics=own_poses)


def told_vertical(tilt: float | None, roll: float, has_path: bool = False) -> np.ndarray | None:
    """The vertical in camera axes, of the tilt and roll that `lift_file` takes; None where neither is told.

    has_path: a camera path tells it already. Raises ValueError for angles out of range, a roll without a
    tilt, and a tilt beside a path.
    """
    if tilt is None and roll == 0:
        return None
    if tilt is None:
        raise ValueError(f"roll is {roll}, and nothing says the tilt: give both, 0 for a level camera")
    if has_path:
        raise ValueError("tilt and camera_path both say which way the camera looks: give one of them")
    if not -STEEPEST_TILT <= tilt <= STEEPEST_TILT:
        raise ValueError(
            f"tilt is {tilt}: give degrees between {-STEEPEST_TILT} and {STEEPEST_TILT}, positive for a "
            "camera that looks down"
        )
    if not -180 <= roll <= 180:
        raise ValueError(f"roll is {roll}: give degrees between -180 and 180, positive for clockwise")
    return np.array(up_of(math.radians(tilt), math.radians(roll)))


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
    floor: bool = True,
    up: np.ndarray | None = None,
    camera_height: float | None = None,
    covering_rounds: int = 1,
    covariance: bool = True,
    trajectory: TrajectoryConfig = TrajectoryConfig(),
    times: np.ndarray | None = None,
    source: str = "",
    progress: Callable[[int], Any] | None = None,
    **settings: Any,
) -> LiftedPeople:
    """`gated_lift.recover` of everybody whom `tracking.track` has found, in one space.

    camera: intrinsics of the images, whose width and height in pixels are ``image_size``. fps: frames a
    second. lifter: the weights that ship, unless given. extrinsics: the camera's pose on every frame, or on
    one; everything is in world axes then.
    heights: metres by the person's name, "" for everybody else.
    floor: people stand on one floor: whoever stands too low or too high on it is made smaller or larger, and
        with a height or the camera's own everybody's size follows (`video.size`). False: sizes are those that
        the network sees, but for ``heights``.
    up: the vertical in the axes of a camera that stands still, a vector of length 1, where no extrinsics tell
        it. camera_height: metres of such a camera above the floor.
    covering_rounds: how often, at most, keypoints of a person that lie on somebody nearer are hidden
        (`video.covering`) and everybody is lifted again.
    trajectory: of `recover`; its size_std (`pipeline.size_spread`) is how far lifted sizes are taken to be
        off, before heights and floor are known.
    times: seconds of every frame; from 0 at ``fps`` unless given. source: the file, for the record.
    progress: called with the number of frames after each piece of the video. settings: of `recover`.

    A size is one number a person and clip by which joints and path grow about the camera; no image changes by
    it. The result says it (``size``) and how sure it is (``size_std``), and covariances hold it.

    Raises ValueError where there is nobody, and for what `recover` refuses.
    """
    if covering_rounds < 0:
        raise ValueError(f"covering_rounds is {covering_rounds}: give how often, 0 or more")
    if camera_height is not None and not LOWEST_CAMERA <= camera_height <= HIGHEST_CAMERA:
        raise ValueError(f"camera_height is {camera_height}: give metres above the floor, such as 1.5")
    people, frames = tracks.hidden.shape[:2]
    if not people or not frames:
        raise ValueError(f"tracks have {people} people on {frames} frames: there is nobody to lift")
    lifter = load_lifter() if lifter is None else lifter
    keypoints, hidden, confidence = _in_skeleton(tracks, lifter)
    position = np.zeros((1, 3)) if extrinsics is None else np.asarray(extrinsics.position).reshape(-1, 3)
    unseen = np.asarray(_unseen_size_std(laid_out(hidden, True)), np.float64)[:people]
    lifted_std = size_spread(trajectory)

    def solve(hidden: np.ndarray) -> tuple[Recovered, Sizes]:
        found = recover_in_pieces(
            *(lifter, keypoints, hidden, camera, fps),
            extrinsics=extrinsics,
            covariance=covariance,
            trajectory=trajectory,
            up=up,
            progress=progress,
            **settings,
        )
        measured = stature(found.joints, lifter.skeleton) if heights else np.full(people, np.nan)
        mean, std = size_priors(heights or {}, tracks.names, measured, lifted_std, unseen)
        if not floor:
            return found, Sizes(np.exp(mean), std, float("nan"))
        told = mean, std, lifter.skeleton, fps, extrinsics, up, camera_height
        return found, find_sizes(found.joints, hidden, *told)

    found, sizes = solve(hidden)
    told = hidden
    for _ in range(covering_rounds):
        before_camera = scaled_about(found.joints, position, sizes.scale)
        if extrinsics is not None:
            before_camera = _before_camera(before_camera, extrinsics)
        covered = covered_keypoints(before_camera, keypoints, told, camera, lifter.skeleton, fps)
        if np.array_equal(told | covered, hidden):
            break
        hidden = told | covered
        found, sizes = solve(hidden)

    if up is None and extrinsics is None and _all_lie(found, lifter):
        LOGGER.warning(
            "everybody lies for most of the video: if they do not, the keypoints may have x and y exchanged, "
            "or the pictures need a turn (rotate)"
        )
    scale = sizes.scale
    spread = found.covariance
    if spread is not None:
        after = np.minimum(np.hypot(sizes.std, FRAME_STD), lifted_std)
        spread = with_size(spread, found.root - position, scale, lifted_std, after)
    return LiftedPeople(
        joints=scaled_about(found.joints, position, scale).astype(np.float32),
        root=scaled_about(found.root, position, scale).astype(np.float32),
        covariance=None if spread is None else spread.astype(np.float32),
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
        size=scale,
        size_std=sizes.std,
    )


# The programs below are compiled for few lengths of videos: see `recovery.lengths`.


@jax.jit
def _unseen_size_std(hidden: Bool[Array, "people frames joints"]) -> Float[Array, " people"]:
    return unseen_size_std(never_seen(hidden, ~hidden.all(axis=-1)))


_to_camera = jax.jit(world_to_camera)


def _before_camera(joints: np.ndarray, extrinsics: Extrinsics) -> np.ndarray:
    """The joints (people, frames, joints, 3) in camera axes."""
    people, frames = joints.shape[:2]
    path = Extrinsics(*map(np.asarray, extrinsics))
    if len(path.position) == frames:
        path = Extrinsics(*(laid_out(values[None])[0] for values in path))
    return np.asarray(_to_camera(laid_out(joints), path))[:people, :frames]


@partial(jax.jit, static_argnums=2)
def _lying(
    joints: Float[Array, "people frames joints 3"],
    present: Bool[Array, "people frames"],
    skeleton: Skeleton,
) -> Bool[Array, " people"]:
    return lies(trunk_cosine(joints, skeleton), present)


def _all_lie(found: Recovered, lifter: LoadedLifter) -> bool:
    lying = np.asarray(_lying(laid_out(found.joints), laid_out(found.present), lifter.skeleton))
    there = found.present.any(axis=-1)
    return bool(there.any() and lying[: len(found.joints)][there].all())


@partial(jax.jit, static_argnums=(3, 4, 5))
def _converted(
    keypoints: Float[Array, "people frames joints 2"],
    trust: Float[Array, "people frames joints"],
    hidden: Bool[Array, "people frames joints"],
    source: Skeleton,
    target: Skeleton,
    missing: Missing,
) -> tuple[Array, Array, Array]:
    places, away = convert(keypoints, hidden, source, target, missing=missing)
    values, _ = convert(trust[..., None], hidden, source, target)
    return places, away, values[..., 0]


def _in_skeleton(tracks: Tracks, lifter: LoadedLifter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints, occlusion and confidence in the lifter's joints. A joint that the format lacks has the lower
    confidence of the two that it lies between.
    """
    people, frames = tracks.hidden.shape[:2]
    keypoints = np.where(tracks.hidden[..., None], 0, tracks.keypoints).astype(np.float32)
    trust = np.where(tracks.hidden, 0, tracks.confidence).astype(np.float32)
    found = _converted(
        *(laid_out(keypoints), laid_out(trust), laid_out(tracks.hidden, True)),
        *(tracks.skeleton, lifter.skeleton, better_missing(tracks.skeleton, lifter)),
    )
    keypoints, hidden, confidence = (np.array(values[:people, :frames]) for values in map(np.asarray, found))
    return keypoints, hidden, confidence


def better_missing(skeleton: Skeleton, lifter: LoadedLifter) -> Missing:
    """What `skeleton.convert` should do about joints that a format lacks, for this lifter."""
    # Measured for the gated network; others were never shown hidden joints.
    gated = getattr(lifter.network, "gating", "none") != "none"
    return BETTER_MISSING.get(skeleton.name, "midpoint") if gated else "midpoint"
