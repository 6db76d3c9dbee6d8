"""VideoPose3D's ``.npz`` layouts of Human3.6M and of detections in anyone's videos.

Both hold pickled dictionaries, so nothing is read unless the caller passes ``allow_pickle=True``.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from gated_lift.clips import MotionClip, validate
from gated_lift.readers.npz import MAX_BYTES, read_npz
from gated_lift.skeleton import COCO_17, H36M_17, Skeleton

FPS = 50.0  # Human3.6M's
RAW_JOINTS = 32
# Human3.6M repeats joints and adds ends of toes and fingers: these leave H36M_17, in its order.
REMOVED_JOINTS = (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)
KEPT_JOINTS = tuple(joint for joint in range(RAW_JOINTS) if joint not in REMOVED_JOINTS)
# The split that results on Human3.6M are reported with.
TRAINING_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
# The video of this take is damaged, so results on Human3.6M are reported without it.
DAMAGED = (("S11", "Directions"),)
LICENCE = (
    "Human3.6M (vision.imar.ro/human3.6m): academic use by agreement with its owners, not to be passed on"
)
LAYOUTS = {"h36m": H36M_17, "coco": COCO_17}


class KeypointView(NamedTuple):
    """2D keypoints of one person in one view of one take.

    keypoints: (frames, joints, 2) float32 pixels, origin top left; NaN where the detector gave nothing.
    confidence: (frames, joints) float32; one where the file tells none, zero where hidden.
    occluded: (frames, joints) bool; True where the detector gave nothing (`read_positions_2d` says how files
    tell).
    resolution: (width, height) in pixels, None where the file tells none.
    """

    keypoints: Float32[np.ndarray, "frames joints 2"]
    confidence: Float32[np.ndarray, "frames joints"]
    occluded: Bool[np.ndarray, "frames joints"]
    subject: str
    action: str
    view: int
    resolution: tuple[int, int] | None


class KeypointFile(NamedTuple):
    """All views of a file with their joint layout.

    skeleton: the skeleton of ``layout``, None when the layout is not one of `LAYOUTS`.
    left, right: indices of paired joints, in matching order.
    """

    views: tuple[KeypointView, ...]
    layout: str
    skeleton: Skeleton | None
    left: tuple[int, ...]
    right: tuple[int, ...]


def read_positions_3d(
    path: str | Path,
    allow_pickle: bool = False,
    subjects: Collection[str] | None = None,
    exclude: Collection[tuple[str, str]] = DAMAGED,
    max_bytes: int = MAX_BYTES,
) -> tuple[MotionClip, ...]:
    """Reads ``positions_3d``: {subject: {action: (frames, 32, 3) metres}}, world z up, 50 fps.

    The 32 joints become the 17 of `H36M_17`; takes come in the file's order with the name "subject/action".
    Those of `TEST_SUBJECTS` are for validation.

    allow_pickle: must be True to read the file at all, since it holds pickles; only for files that you trust.
    subjects: keep only these; None keeps all. exclude: (subject, action) of takes to leave out, by default
    the damaged S11 Directions ("Directions 1" of S11
        is a take of its own and stays).

    Raises FileNotFoundError for a missing file, and ValueError, with the file, the take and the mend, for
    pickles that were not asked for, other layouts, other joint counts, numbers that are not finite and
    unknown subjects.
    """
    positions = read_npz(path, ["positions_3d"], allow_pickle=allow_pickle, max_bytes=max_bytes)[
        "positions_3d"
    ]
    clips = []
    for subject, action, poses in _takes(path, "positions_3d", positions, subjects):
        if (subject, action) in exclude:
            continue
        name = f"{subject}/{action}"
        array = _array(path, name, poses, RAW_JOINTS, (3,))
        clip = MotionClip(
            poses=np.ascontiguousarray(array[None, :, KEPT_JOINTS]),
            fps=FPS,
            skeleton=H36M_17,
            name=name,
            subject=subject,
            action=action,
            floor_z=0.0,  # Human3.6M's world stands on the floor
            licence=LICENCE,
            split="validation" if subject in TEST_SUBJECTS else "train",
        )
        try:
            clips.append(validate(clip))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not clips:
        raise ValueError(f"{path} has no take left: widen subjects or narrow exclude")
    return tuple(clips)


def read_positions_2d(
    path: str | Path,
    allow_pickle: bool = False,
    subjects: Collection[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> KeypointFile:
    """Reads ``positions_2d``: {subject: {action: [(frames, joints, 2) pixels, one a view]}} and its
    ``metadata``.

    Custom sets (one "subject" a video) add ``video_metadata`` {video: {w, h}}; a third column is the
    detector's confidence. A keypoint is missing, and becomes NaN, hidden, with confidence zero, where a
    number of it is not finite, where its confidence is zero or less, and where it is exactly (0, 0): scripts
    leave zeros where a detector found nobody, and no detector answers with the very corner of the image.

    allow_pickle, subjects and what is raised: as for `read_positions_3d`; also ValueError when the metadata
    and the keypoints disagree on the joints.
    """
    arrays = read_npz(path, ["positions_2d", "metadata"], allow_pickle=allow_pickle, max_bytes=max_bytes)
    layout, joints, left, right = _metadata(path, arrays["metadata"])
    videos = arrays["metadata"].get("video_metadata", {})
    read = []
    for subject, action, views in _takes(path, "positions_2d", arrays["positions_2d"], subjects):
        if not isinstance(views, list | tuple | np.ndarray) or getattr(views, "ndim", 1) == 0:
            raise ValueError(f"{path}: {subject}/{action} is {type(views).__name__}, not a list of views")
        for view, keypoints in enumerate(views):
            array = _array(path, f"{subject}/{action} view {view}", keypoints, joints, (2, 3))
            confidence = array[..., 2] if array.shape[-1] == 3 else np.ones(array.shape[:-1], np.float32)
            given = np.isfinite(array).all(axis=-1) & (confidence > 0) & (array[..., :2] != 0).any(axis=-1)
            hidden = ~given
            read.append(
                KeypointView(
                    keypoints=np.where(hidden[..., None], np.float32(np.nan), array[..., :2]),
                    confidence=np.where(hidden, np.float32(0), confidence),
                    occluded=hidden,
                    subject=subject,
                    action=action,
                    view=view,
                    resolution=_resolution(path, subject, videos),
                )
            )
    if not read:
        raise ValueError(f"{path} has no keypoints: give a file with at least one view")
    return KeypointFile(tuple(read), layout, LAYOUTS.get(layout), left, right)


def match_captures(
    views: Sequence[KeypointView], clips: Sequence[MotionClip]
) -> tuple[tuple[KeypointView, MotionClip], ...]:
    """Pairs each view with the capture of its take and cuts the 2D that outruns it.

    The videos run on for some frames after the capture has ended; the first frames coincide. Views whose
    take is not among the clips are left out. Raises ValueError when a video is shorter than its capture, for
    then the two do not belong together, and when nothing matches.
    """
    by_take = {(clip.subject, clip.action): clip for clip in clips}
    pairs = []
    for each in views:
        clip = by_take.get((each.subject, each.action))
        if clip is None:
            continue
        frames, found = clip.poses.shape[1], len(each.keypoints)
        if found < frames:
            raise ValueError(
                f"{each.subject}/{each.action} view {each.view} has {found} frames of keypoints, its capture "
                f"{frames}: use 2D and 3D files that were made from the same takes"
            )
        cut = each._replace(
            keypoints=each.keypoints[:frames],
            confidence=each.confidence[:frames],
            occluded=each.occluded[:frames],
        )
        pairs.append((cut, clip))
    if not pairs:
        raise ValueError(
            "no take of views is among those of clips: check that subjects and actions have the same names"
        )
    return tuple(pairs)


def _takes(
    path: str | Path, key: str, positions: Any, subjects: Collection[str] | None
) -> list[tuple[str, str, Any]]:
    """(subject, action, value) of a nested dictionary, in its order."""
    if isinstance(subjects, str):
        raise ValueError('subjects is a collection: write ("S9",) rather than "S9"')
    if not isinstance(positions, dict) or not all(isinstance(takes, dict) for takes in positions.values()):
        raise ValueError(
            f"{path}: {key} is not a dictionary of subjects and actions: give VideoPose3D's layout"
        )
    unknown = sorted(set(subjects or ()) - set(positions))
    if unknown:
        raise ValueError(
            f"{path} has no subject {', '.join(unknown)}: choose from {', '.join(map(str, positions))}"
        )
    return [
        (str(subject), str(action), value)
        for subject, takes in positions.items()
        for action, value in takes.items()
        if subjects is None or subject in subjects
    ]


def _array(path: str | Path, name: str, value: Any, joints: int, widths: tuple[int, ...]) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{path}: {name} is {kind}, not an array of numbers: give VideoPose3D's layout")
    if value.ndim != 3 or value.shape[1] != joints or value.shape[2] not in widths:
        raise ValueError(
            f"{path}: {name} has shape {value.shape}, expected (frames, {joints}, "
            f"{' or '.join(map(str, widths))}): give VideoPose3D's layout"
        )
    if len(value) == 0:
        raise ValueError(f"{path}: {name} has no frames: leave it out of the file")
    return value.astype(np.float32)


def _metadata(path: str | Path, metadata: Any) -> tuple[str, int, tuple[int, ...], tuple[int, ...]]:
    keys = ("layout_name", "num_joints", "keypoints_symmetry")
    if not isinstance(metadata, dict) or any(key not in metadata for key in keys):
        raise ValueError(
            f"{path}: metadata is not a dictionary with {', '.join(keys)}: give VideoPose3D's layout"
        )
    layout, joints = str(metadata["layout_name"]), metadata["num_joints"]
    try:
        left, right = (tuple(int(joint) for joint in side) for side in metadata["keypoints_symmetry"])
        joints = int(joints)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: metadata's num_joints or keypoints_symmetry is malformed ({error})"
        ) from error
    if len(left) != len(right) or any(not 0 <= joint < joints for joint in (*left, *right)):
        raise ValueError(
            f"{path}: keypoints_symmetry {[left, right]} does not pair joints out of {joints}: "
            "correct the metadata"
        )
    skeleton = LAYOUTS.get(layout)
    if skeleton is not None and (joints, left, right) != (skeleton.num_joints, skeleton.left, skeleton.right):
        raise ValueError(
            f"{path}: layout {layout} with {joints} joints and symmetry {[left, right]} is not "
            f"{skeleton.name}: rename the layout or correct the metadata"
        )
    return layout, joints, left, right


def _resolution(path: str | Path, subject: str, videos: Any) -> tuple[int, int] | None:
    if not isinstance(videos, dict):
        raise ValueError(f"{path}: video_metadata is {type(videos).__name__}, expected {{video: {{w, h}}}}")
    if subject not in videos:
        return None
    size = videos[subject]
    try:
        width, height = (float(size[key]) for key in ("w", "h"))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: video_metadata of {subject} is {size}, expected {{w, h}} in pixels"
        ) from error
    if not (math.isfinite(width) and math.isfinite(height) and width >= 1 and height >= 1):
        raise ValueError(f"{path}: video_metadata of {subject} is {width} × {height}, expected pixels")
    return int(width), int(height)
