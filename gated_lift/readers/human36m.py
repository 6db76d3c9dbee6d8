"""Human3.6M as its cameras recorded it: takes with 2D keypoints, camera-space joints and real cameras.

The files are those of `videopose3d`. They hold no cameras, so these come from a file of the user's
(`read_cameras`) or from the files themselves: ground-truth 2D is the projection of the captures, and each
view's camera follows from the two (`resect_cameras`).
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32
from scipy.spatial.transform import Rotation

from gated_lift.clips import MotionClip
from gated_lift.readers.json_file import read_object
from gated_lift.readers.videopose3d import (
    TRAINING_SUBJECTS,
    KeypointFile,
    KeypointView,
    match_captures,
    read_positions_2d,
    read_positions_3d,
)
from gated_lift.skeleton import H36M_17, convert
from solvers import Camera, Extrinsics, resect

# Image sizes of the four views, in the order of the files.
RESOLUTIONS = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
RESECTED_POINTS = 4000  # joints that a view's camera is found from: of one number, so that all compile once
# Ground truth fits to thousandths (Human3.6M's lens formula is not quite ours); detections are pixels off.
LARGEST_RESIDUAL = 0.1
# Keypoints this far outside the image, in widths, count as hidden: no detector saw anything there, and a lens
# is known, and can be undone, in the image only.
MARGIN = 0.1


class RecordedCamera(NamedTuple):
    """camera: intrinsics, float64, with radial and tangential. extrinsics: of one frame (it stands still).
    resolution: (width, height) in pixels.
    """

    camera: Camera
    extrinsics: Extrinsics
    resolution: tuple[int, int]


class RecordedTake(NamedTuple):
    """One take in one view.

    keypoints: (F, 17, 2) pixels, joints of `H36M_17`; NaN where hidden.
    occluded: (F, 17), True where the 2D file has nothing, or something more than `MARGIN` outside the image.
    joints: (F, 17, 3) true joints in camera space, metres.
    action: without the take's number, as results are reported. name: "subject/take".
    """

    keypoints: Float32[np.ndarray, "frames 17 2"]
    occluded: Bool[np.ndarray, "frames 17"]
    joints: Float32[np.ndarray, "frames 17 3"]
    seen_by: RecordedCamera
    subject: str
    action: str
    name: str
    view: int


Cameras = Mapping[str, Sequence[RecordedCamera]]


def read_takes(
    positions_3d: str | Path,
    keypoints_2d: str | Path,
    cameras: str | Path | None = None,
    allow_pickle: bool = False,
    subjects: Collection[str] | None = None,
) -> tuple[RecordedTake, ...]:
    """Every take of the chosen subjects in every view, from VideoPose3D's files; the damaged one is left out.

    positions_3d: data_3d_h36m.npz. keypoints_2d: the 2D to lift, such as data_2d_h36m_cpn_ft_h36m_dbb.npz,
    data_2d_h36m_gt.npz or data_2d_h36m_detectron_ft_h36m.npz; keypoints in COCO's order are converted.
    cameras: a camera file (.json, `read_cameras`), or the ground-truth 2D (.npz) to find the cameras from;
    by default keypoints_2d itself, which must then be the ground truth.
    allow_pickle: must be True, since the .npz files hold pickles; only for files that you trust.

    Raises FileNotFoundError and ValueError as the readers, `resect_cameras` and `record` do.
    """
    clips = read_positions_3d(positions_3d, allow_pickle, subjects)
    keypoints = read_positions_2d(keypoints_2d, allow_pickle, subjects)
    source = Path(keypoints_2d if cameras is None else cameras)
    if source.suffix == ".json":
        found = read_cameras(source)
    else:
        truth = keypoints if cameras is None else read_positions_2d(source, allow_pickle, subjects)
        try:
            found = resect_cameras(truth, clips)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
    return record(keypoints, clips, found)


def read_training(positions_3d: str | Path, allow_pickle: bool = False) -> tuple[MotionClip, ...]:
    """The world-space motion of the training subjects; arguments and errors as in `read_positions_3d`."""
    return read_positions_3d(positions_3d, allow_pickle, TRAINING_SUBJECTS)


def record(file: KeypointFile, clips: Sequence[MotionClip], cameras: Cameras) -> tuple[RecordedTake, ...]:
    """Joins the views of a 2D file with their captures and cameras, in the order of the file.

    Raises ValueError for a joint layout that is neither Human3.6M's nor COCO's, for a view without a camera,
    and as `match_captures` does.
    """
    if file.skeleton is None:
        raise ValueError(f"file has the layout {file.layout}: give keypoints in the order of h36m or coco")
    takes = []
    for view, clip in match_captures(file.views, clips):
        held = cameras.get(view.subject, ())
        if view.view >= len(held):
            raise ValueError(
                f"cameras have {len(held)} views of {view.subject}, {view.subject}/{view.action} has one "
                f"numbered {view.view} (from zero): give a camera for every view, in the order of the 2D file"
            )
        keypoints, occluded = view.keypoints, view.occluded
        if file.skeleton != H36M_17:
            converted = convert(jnp.asarray(keypoints), jnp.asarray(occluded), file.skeleton, H36M_17)
            keypoints, occluded = (np.asarray(value) for value in converted)
        seen_by = held[view.view]
        margin = MARGIN * seen_by.resolution[0]
        near = (keypoints >= -margin) & (keypoints <= np.array(seen_by.resolution) + margin)
        occluded = occluded | ~near.all(axis=-1)
        rotation, position = (np.asarray(value[0], np.float64) for value in seen_by.extrinsics)
        joints = (clip.poses[0].astype(np.float64) - position) @ rotation.T
        takes.append(
            RecordedTake(
                np.where(occluded[..., None], np.float32(np.nan), keypoints),
                occluded,
                joints.astype(np.float32),
                seen_by,
                view.subject,
                action_of(view.action),
                clip.name,
                view.view,
            )
        )
    return tuple(takes)


def action_of(take: str) -> str:
    """The action of a take, which is its name without a number: "Directions 1" is one of "Directions"."""
    return re.sub(r"\s+\d+$", "", take)


def resect_cameras(
    truth: KeypointFile,
    clips: Sequence[MotionClip],
    resolutions: Sequence[tuple[int, int]] = RESOLUTIONS,
) -> dict[str, tuple[RecordedCamera, ...]]:
    """The cameras of every subject's views, from captures and their exact projections (`solvers.resect`).

    truth: ground-truth 2D in Human3.6M's joint order. resolutions: image sizes, one a view; nothing in the
    files tells them, and only `normalize_screen` needs them.

    Human3.6M projects with the lens formula of `solvers.Camera`, save that the cross term of the tangential
    part has not its factor 2. The difference is a turn of the camera by the tangential coefficients, about
    0.1°, and a shift of its centre: the camera that is found differs by so much from the published one, and
    projects to some thousandths of a pixel of it in the image. Joints that follow from it are turned
    likewise, which moves them by less than a millimetre about the root.

    Raises ValueError, with the view and the mend, for other joints, keypoints that are more than
    `LARGEST_RESIDUAL` pixels off, views that are not numbered without gaps or have no resolution, and as
    `match_captures` and `resect` do.
    """
    if truth.skeleton != H36M_17:
        raise ValueError(f"truth has the layout {truth.layout}: give Human3.6M's own joints (layout h36m)")
    pairs: dict[str, dict[int, list[tuple[KeypointView, MotionClip]]]] = {}
    for view, clip in match_captures(truth.views, clips):
        pairs.setdefault(view.subject, {}).setdefault(view.view, []).append((view, clip))
    cameras = {}
    for subject, by_view in pairs.items():
        if sorted(by_view) != list(range(len(by_view))) or len(by_view) > len(resolutions):
            raise ValueError(
                f"truth has the views {sorted(by_view)} of {subject}, resolutions are given for "
                f"{len(resolutions)}: give as many, and views without gaps"
            )
        cameras[subject] = tuple(
            _resect_view(f"{subject} view {view}", by_view[view], resolutions[view])
            for view in range(len(by_view))
        )
    return cameras


def _resect_view(
    name: str, pairs: Sequence[tuple[KeypointView, MotionClip]], resolution: tuple[int, int]
) -> RecordedCamera:
    keypoints = np.concatenate([view.keypoints for view, _ in pairs])
    # Outside the image the two lens formulas part, and no detection is there to need a camera.
    inside = ((keypoints >= 0) & (keypoints <= resolution)).all(axis=-1)
    visible = inside & ~np.concatenate([view.occluded for view, _ in pairs])
    points, keypoints = np.concatenate([clip.poses[0] for _, clip in pairs])[visible], keypoints[visible]
    if len(points) == 0:
        raise ValueError(
            f"truth of {name} has no keypoint in the image: give ground-truth 2D (data_2d_h36m_gt.npz)"
        )
    chosen = np.linspace(0, len(points) - 1, RESECTED_POINTS).round().astype(int)
    try:
        found = resect(points[chosen], keypoints[chosen])
    except ValueError as error:
        raise ValueError(f"no camera fits the truth of {name}: {error}") from error
    if found.rms > LARGEST_RESIDUAL:
        raise ValueError(
            f"truth of {name} is {found.rms:.2f} px off what the best camera sees of the captures: give "
            "ground-truth 2D of the same takes (data_2d_h36m_gt.npz) to find the cameras from, or a camera "
            "file"
        )
    return RecordedCamera(found.camera, found.extrinsics, resolution)


# ----------------------------------------------------------------------------------------- camera files

_LENGTHS = {"focal": 2, "center": 2, "radial": 3, "tangential": 2, "position": 3}


def read_cameras(path: str | Path) -> dict[str, tuple[RecordedCamera, ...]]:
    """Reads a camera file: JSON, {subject: [one camera a view, in the order of the 2D file]}, and a camera is

        {"resolution": [w, h], "focal": [fx, fy], "center": [cx, cy],           pixels
         "radial": [k1, k2, k3], "tangential": [p1, p2],                        OpenCV's; may be left out
         "rotation": 3 × 3 rows or a quaternion [w, x, y, z],                   from world to camera axes
         "position": [x, y, z]}                                                 in the world, metres

    VideoPose3D's code keeps Human3.6M's calibration in other conventions: its tangential pair is p2, p1, its
    orientation a quaternion from camera to world (negate x, y and z) and its translation the position in
    millimetres.

    Raises FileNotFoundError for a missing file and ValueError, with the camera and the key, for what is
    missing, unknown or out of range.
    """
    # `_read_camera` refuses NaN by the name of its camera and key.
    held = read_object(path, "a camera file", "see human36m.read_cameras for the layout", allow_nan=True)
    if not all(isinstance(views, list) and views for views in held.values()):
        raise ValueError(f"{path} is not {{subject: [cameras]}}: see human36m.read_cameras for the layout")
    return {
        subject: tuple(
            _read_camera(f"{path}: camera {view} of {subject}", camera) for view, camera in enumerate(views)
        )
        for subject, views in held.items()
    }


def write_cameras(path: str | Path, cameras: Cameras) -> Path:
    """Writes a camera file that `read_cameras` reads back to the same numbers; returns its path."""
    held = {
        subject: [
            {
                "resolution": list(each.resolution),
                **{name: np.asarray(getattr(each.camera, name)).tolist() for name in each.camera._fields},
                "rotation": np.asarray(each.extrinsics.rotation[0]).tolist(),
                "position": np.asarray(each.extrinsics.position[0]).tolist(),
            }
            for each in views
        ]
        for subject, views in cameras.items()
    }
    Path(path).write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    return Path(path)


def _read_camera(name: str, camera: Any) -> RecordedCamera:
    wanted = {"resolution", *_LENGTHS, "rotation"}
    if not isinstance(camera, dict):
        raise ValueError(f"{name} is {type(camera).__name__}, expected a dictionary of {', '.join(wanted)}")
    camera = {"radial": [0.0] * 3, "tangential": [0.0] * 2} | camera
    wrong = sorted(wanted ^ set(camera))
    if wrong:
        state = "is missing" if wrong[0] in wanted else "is unknown"
        raise ValueError(f"{name}: {wrong[0]} {state}; a camera has {', '.join(sorted(wanted))}")

    def numbers(key: str, *shapes: tuple[int, ...]) -> np.ndarray:
        try:
            values = np.array(camera[key], np.float64)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.shape not in shapes or not np.isfinite(values).all():
            raise ValueError(
                f"{name}: {key} is {camera[key]}, expected finite numbers of shape "
                f"{' or '.join(map(str, shapes))}"
            )
        return values

    focal, center, radial, tangential, position = (numbers(key, (size,)) for key, size in _LENGTHS.items())
    width, height = numbers("resolution", (2,))
    if not (min(width, height) >= 1 and (focal > 0).all()):
        raise ValueError(
            f"{name}: resolution {width:g} × {height:g} and focal {focal} are pixels, above zero"
        )
    rotation = numbers("rotation", (3, 3), (4,))
    if rotation.shape == (4,):
        proper = (abs(rotation) < 2).all() and math.isclose(np.linalg.norm(rotation), 1, abs_tol=1e-3)
        rotation = Rotation.from_quat(rotation, scalar_first=True).as_matrix() if proper else rotation
    else:
        # Entries of a rotation are one at most; products of much larger ones overflow.
        proper = (
            (abs(rotation) < 2).all()
            and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
            and np.linalg.det(rotation) > 0
        )
    if not proper:
        raise ValueError(
            f"{name}: rotation {camera['rotation']} is none: give orthonormal rows right, down, forward, or "
            "a quaternion of length one"
        )
    return RecordedCamera(
        Camera(focal, center, radial, tangential),
        Extrinsics(rotation[None], position[None]),
        (int(width), int(height)),
    )
