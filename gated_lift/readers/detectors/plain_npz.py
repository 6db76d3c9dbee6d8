"""An archive that anyone can write with ``np.savez``.

``keypoints`` (frames, people, joints, 2), pixels or shares of the image, or 3 with the confidence last, or
without the axis of people; perhaps ``confidence`` (frames, people, joints), 0 to 1; ``joint_names`` (joints,)
or ``skeleton``, the name of one that the project knows; ``ids``, numbers or names, (people,) if a column is
one person throughout or (frames, people); ``fps``, ``image_size`` (width, height) and ``times`` (frames,)
seconds.
Without names the number of joints tells the skeleton where only one has it, and geometry one of 25.
"""

from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.readers.detectors.arrays import described, flatten, number_array, with_people
from gated_lift.readers.detectors.layouts import named_skeleton, skeleton_of, take
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, count_names
from gated_lift.readers.detectors.source import Format, Options, Source
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import SKELETONS

MAX_BYTES = 2**30
OPTIONAL = ("confidence", "joint_names", "skeleton", "ids", "fps", "image_size", "times")


def recognise(source: Source) -> bool:
    names = set(source.value) if source.kind == "npz" else set()
    return "keypoints" in names and not {"scores", "landmarks", "positions_2d"} & names


def read(source: Source, options: Options) -> Rows:
    path = source.path
    if source.kind != "npz":
        raise ValueError(f"{path} is no .npz archive: write it with np.savez")
    arrays = read_npz(path, ["keypoints"], OPTIONAL, max_bytes=MAX_BYTES)
    found = with_people(arrays["keypoints"], "keypoints", path, (2, 3))
    shape = found.shape[:3]
    if "confidence" in arrays:
        confidence = number_array(arrays["confidence"], "confidence", path)
        if confidence.ndim == 2:
            confidence = confidence[:, None]
        if confidence.shape != shape:
            raise ValueError(
                f"{path}: keypoints has shape {arrays['keypoints'].shape}, confidence "
                f"{arrays['confidence'].shape}: give one number a keypoint"
            )
    else:
        confidence = found[..., 2] if found.shape[-1] == 3 else np.ones(shape)
    if np.nanmax(confidence, initial=0) > 1.5:
        raise ValueError(
            f"{path}: confidence reaches {np.nanmax(confidence):.4g}, expected 0 to 1: bring it to that scale"
        )
    frames, keypoints = flatten(found[..., :2])
    confidence = confidence.reshape(keypoints.shape[:2])
    names = _names(arrays, shape[2], path)
    if names is not None:
        skeleton, index = named_skeleton(names, options.skeleton, "npz", path)
        keypoints, confidence = take(keypoints, index), take(confidence, index)
    else:
        skeleton = skeleton_of(
            shape[2], tuple(SKELETONS.values()), options.skeleton, path, keypoints, confidence
        )
    fps, size = described(arrays, path)
    times = arrays.get("times")
    if times is not None:
        times = number_array(times, "times", path)
        if times.shape != shape[:1] or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError(
                f"{path}: times has shape {times.shape}, expected {shape[:1]} seconds that rise from "
                "frame to frame"
            )
    ids, people_names = _ids(arrays, shape, path)
    return Rows(
        *(frames, keypoints, confidence, ids, skeleton, shape[0], fps, times, size), names=people_names
    )


def _names(arrays: dict[str, Any], joints: int, path: Path) -> list[str] | None:
    """The joints' names, or None where the file does not tell them."""
    if "joint_names" in arrays:
        names = arrays["joint_names"]
        if names.shape != (joints,) or names.dtype.kind not in "US":
            raise ValueError(
                f"{path}: joint_names has shape {names.shape} and dtype {names.dtype}, expected "
                f"{joints} names"
            )
        return [_text(name) for name in names]
    if "skeleton" in arrays:
        skeleton = arrays["skeleton"]
        name = _text(skeleton[()]) if skeleton.shape == () and skeleton.dtype.kind in "US" else ""
        if name not in SKELETONS or SKELETONS[name].num_joints != joints:
            raise ValueError(
                f"{path}: skeleton is {name[:40]!r}, and keypoints have {joints} joints: choose from "
                f"{', '.join(SKELETONS)}, or give joint_names"
            )
        return list(SKELETONS[name].names)
    return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _ids(
    arrays: dict[str, Any], shape: tuple[int, ...], path: Path
) -> tuple[list[int] | None, tuple[str, ...]]:
    """The id of every row, and the people's names where the file has names."""
    if "ids" not in arrays:
        return None, ()
    ids = arrays["ids"]
    if ids.shape not in (shape[1:2], shape[:2]) or ids.dtype.kind not in "iufUS":
        raise ValueError(
            f"{path}: ids has shape {ids.shape} and dtype {ids.dtype}, expected whole numbers or names, one "
            f"a person or {shape[:2]}: {MEND}"
        )
    known, place = np.unique(np.broadcast_to(ids, shape[:2]), return_inverse=True)
    if ids.dtype.kind in "US":
        numbers, names = count_names([_text(name) for name in known])
    else:
        numbers = [-1 if np.isnan(value) else as_id(value.item(), f"{path}: ids") for value in known]
        names = ()
    return np.array(numbers)[place.reshape(-1)].tolist(), names


FORMAT = Format("npz", "an archive of keypoints", recognise, read)
