"""The rows of a detector's file as tracking compares them: seen joints, centre, size and time."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.people import Detections
from gated_lift.tracking.figure import Figure, centres, sizes

# With fewer seen joints than this (or than a skeleton has) nobody can be told from anybody.
FEWEST_JOINTS = 3


class Rows(NamedTuple):
    """Rows that show enough of somebody, in the order of their frames, within a frame from left to right.

    frame: counted from 0. time: seconds. keypoints: pixels, 0 where not ``seen``. centre: pixels, the middle
    of the trunk. size: pixels, the height of somebody upright. source: the row's index in the detections.
    """

    frame: Int[np.ndarray, " rows"]
    time: Float[np.ndarray, " rows"]
    keypoints: Float[np.ndarray, "rows joints 2"]
    seen: Bool[np.ndarray, "rows joints"]
    centre: Float[np.ndarray, "rows 2"]
    size: Float[np.ndarray, " rows"]
    source: Int[np.ndarray, " rows"]


def frame_times(detections: Detections) -> Float[np.ndarray, " frames"]:
    """Seconds of every frame: the file's own time stamps, or frame / fps.

    Raises ValueError where the file tells neither, and for times that do not grow.
    """
    if detections.times is not None:
        times = np.asarray(detections.times, float)
        if len(times) < detections.num_frames:
            raise ValueError(
                f"{detections.source}: times has {len(times)} entries and the video "
                f"{detections.num_frames} frames: give one time a frame"
            )
        times = times[: detections.num_frames]
        if not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
            raise ValueError(f"{detections.source}: times must be finite and grow from frame to frame")
        return times
    fps = detections.fps
    if fps is None or not np.isfinite(fps) or fps <= 0:
        raise ValueError(
            f"{detections.source}: fps is {fps}, and how far people move between frames depends on it: give "
            "the video's frames a second (detections._replace(fps=30.0), --fps 30), or a time a frame"
        )
    return np.arange(detections.num_frames) / float(fps)


def check_rows(detections: Detections, threshold: float) -> None:
    """Raises ValueError for shapes that do not fit, frames outside the video, and bad thresholds."""
    count, joints = detections.keypoints.shape[:2]
    if joints != detections.skeleton.num_joints:
        raise ValueError(
            f"{detections.source}: keypoints has {joints} joints and {detections.skeleton.name} has "
            f"{detections.skeleton.num_joints}: pass the skeleton that the keypoints come in"
        )
    if detections.confidence.shape != (count, joints) or detections.frame.shape != (count,):
        raise ValueError(
            f"{detections.source}: keypoints has shape {detections.keypoints.shape}, confidence "
            f"{detections.confidence.shape} and frame {detections.frame.shape}: pass (rows, joints, 2), "
            "(rows, joints) and (rows,)"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}: pass a confidence from 0 to 1")
    outside = (detections.frame < 0) | (detections.frame >= detections.num_frames)
    if outside.any():
        raise ValueError(
            f"{detections.source}: frame is {detections.frame[outside][0]} in a video of "
            f"{detections.num_frames} frames: count from 0"
        )


def rows_of(detections: Detections, figure: Figure, threshold: float = 0.3) -> Rows:
    """Picks and orders the rows that show at least `FEWEST_JOINTS` joints.

    threshold: a joint counts as seen from this confidence on. Where a row's joints do not tell its size, it
    is the median of the other rows of the video, or else the diagonal of the box around what is seen. Raises
    ValueError as `check_rows` and `frame_times` do.
    """
    check_rows(detections, threshold)
    joints = detections.skeleton.num_joints
    times = frame_times(detections)
    keypoints = np.asarray(detections.keypoints, float)
    seen = np.isfinite(keypoints).all(axis=-1) & (detections.confidence >= threshold)
    keypoints = np.where(seen[..., None], keypoints, 0.0)
    size = _filled_sizes(keypoints, seen, figure)
    centre = centres(keypoints, seen, size, figure)
    usable = np.flatnonzero(seen.sum(axis=1) >= min(FEWEST_JOINTS, joints))
    # Left to right, then top to bottom: a file's order of people must not decide anything.
    order = np.lexsort((centre[usable, 1], centre[usable, 0], detections.frame[usable]))
    kept = usable[order]
    frame = np.asarray(detections.frame)[kept].astype(int)
    return Rows(frame, times[frame], keypoints[kept], seen[kept], centre[kept], size[kept], kept)


def _filled_sizes(keypoints: np.ndarray, seen: np.ndarray, figure: Figure) -> np.ndarray:
    size = sizes(keypoints, seen, figure)
    known: np.ndarray = np.asarray(np.isfinite(size))
    if known.any():
        return np.where(known, size, np.median(size[known]))
    low = np.where(seen[..., None], keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen[..., None], keypoints, -np.inf).max(axis=1, initial=-np.inf)
    some: np.ndarray = np.asarray(seen.any(axis=1))
    diagonal = np.linalg.norm(np.where(some[:, None], high - low, 0.0), axis=-1)
    # A single joint has no extent; any size is as good as any other then.
    return np.maximum(diagonal, 1.0)
