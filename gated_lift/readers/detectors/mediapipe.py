"""MediaPipe's 33 pose landmarks, for which there is no file format: three layouts that users can write.

JSON: ``{"image_width": 1920, "image_height": 1080, "fps": 30, "results": [{"frame": 0, "timestampMs": 0,
"landmarks": [[{"x": 0.5, "y": 0.4, "z": 0.1, "visibility": 0.9}, … 33], … people]}]}``, or the list alone.
``poseLandmarks`` and ``pose_landmarks`` are read as ``landmarks``, and a list of 33 as one person.
``.npz``: ``landmarks`` (frames, people, 33, 4) of x, y, z, visibility, and perhaps presence, with ``fps`` and
``image_size``, and perhaps ``timestamp_ms`` (frames,).
CSV: a line a landmark, with columns ``frame``, ``landmark`` (0 to 32), ``x`` and ``y`` (shares of the image)
or ``x_px`` and ``y_px``, ``visibility``, and perhaps ``presence``, ``person`` and ``timestamp_ms``.

``timestampMs`` or ``timestamp_ms``, milliseconds, are the times of frames, unless all are alike (as of single
images) or some are missing.

MediaPipe gives every landmark always, and an order of people that is not stable. Confidence is the
visibility, times the presence where that is given, and 0 for a landmark outside the image, where it is a
guess.
"""

from typing import Any

import numpy as np

from gated_lift.readers.detectors.arrays import described, flatten, number_array, with_people
from gated_lift.readers.detectors.rows import (
    MEND,
    Rows,
    are_shares,
    as_fps,
    as_size,
    as_whole,
    times_of_all,
)
from gated_lift.readers.detectors.source import Format, Options, Source, drain
from gated_lift.readers.detectors.table import header_of, read_table
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import MEDIAPIPE_33

KEYS = ("landmarks", "poseLandmarks", "pose_landmarks")
STAMPS = ("timestampMs", "timestamp_ms")
FIELDS = ("x", "y", "visibility", "presence")
COUNT = MEDIAPIPE_33.num_joints
MAX_BYTES = 2**30


def recognise(source: Source) -> bool:
    value = source.value
    if source.kind == "npz":
        return "landmarks" in value
    if source.kind == "text":
        return {"frame", "landmark"} <= set(header_of(value))
    if source.kind != "json":
        return False
    results = value.get("results") if isinstance(value, dict) else value
    first = results[0] if isinstance(results, list) and results else None
    return isinstance(first, dict) and any(key in first for key in KEYS)


def read(source: Source, options: Options) -> Rows:
    if options.skeleton not in (None, MEDIAPIPE_33):
        raise ValueError(
            f"{source.path} has MediaPipe's landmarks, skeleton is {options.skeleton.name}: leave it out"
        )
    if source.kind == "npz":
        rows = _read_npz(source)
    elif source.kind == "text":
        rows = _read_csv(source)
    elif source.kind == "json":
        rows = _read_json(source)
    else:
        raise ValueError(f"{source.path} is neither JSON, .npz nor CSV: save the landmarks as documented")
    return _hide_outside(rows)


def _hide_outside(rows: Rows) -> Rows:
    """Confidence 0 for landmarks outside the image, where it is known."""
    seen = (rows.confidence > 0) & np.isfinite(rows.keypoints).all(axis=-1)
    shares = are_shares(rows.keypoints, seen)
    if not shares and rows.image_size is None:
        return rows
    limit = np.array((1, 1) if shares else rows.image_size, np.float64)
    inside = ((rows.keypoints >= 0) & (rows.keypoints <= limit)).all(axis=-1)
    # A file of shares that are beyond the image throughout is not told apart from one of nonsense.
    return rows._replace(confidence=np.where(inside, rows.confidence, 0)) if inside.any() else rows


def _read_json(source: Source) -> Rows:
    path, value = source.path, source.value
    fps, size = None, None
    if isinstance(value, dict):
        if "fps" in value:
            fps = as_fps(value["fps"], f"{path}: fps")
        if "image_width" in value or "image_height" in value:
            size = as_size(value.get("image_width"), value.get("image_height"), f"{path}: the image's size")
    results = value.get("results") if isinstance(value, dict) else value
    if not isinstance(results, list):
        raise ValueError(f"{path} has no list of results: {MEND}")
    frames: list[int] = []
    people: list[np.ndarray] = []
    seen: dict[int, float] = {}  # milliseconds by frame, NaN where there are none
    for number, result in drain(results):
        key = next((key for key in KEYS if isinstance(result, dict) and key in result), None)
        if key is None:
            raise ValueError(f"{path}, result {number} has no landmarks: {MEND}")
        frame = as_whole(result.get("frame", number), f"{path}, result {number}: frame")
        if frame in seen:
            raise ValueError(f"{path} has frame {frame} twice: number the frames in the video's order")
        stamp = next((result[name] for name in STAMPS if name in result), None)
        if isinstance(stamp, bool) or not isinstance(stamp, int | float | None):
            raise ValueError(f"{path}, frame {frame}: {STAMPS[0]} is no number: {MEND}")
        seen[frame] = np.nan if stamp is None else float(stamp)
        found = [] if result[key] is None else result[key]
        if not isinstance(found, list):
            raise ValueError(
                f"{path}, frame {frame}: {key} is {type(found).__name__}, expected a list: {MEND}"
            )
        for index, person in enumerate([found] if found and isinstance(found[0], dict) else found):
            frames.append(frame)
            people.append(_person(person, f"{path}, frame {frame}, person {index}"))
    if not people:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    stacked = np.stack(people)
    return Rows(
        *(frames, stacked[..., :2], stacked[..., 2] * stacked[..., 3], None, MEDIAPIPE_33, max(seen) + 1),
        fps=fps,
        times=_times(np.array(list(seen)), np.array(list(seen.values())), str(path)),
        image_size=size,
    )


def _times(frames: np.ndarray, milliseconds: np.ndarray, where: str) -> np.ndarray | None:
    """Seconds of all frames from 0, or None where the stamps of ``frames`` do not tell them."""
    if (len(frames) > 1 and not np.ptp(milliseconds)) or np.isnan(milliseconds).any():
        return None
    order = np.argsort(frames)
    return times_of_all(frames[order], milliseconds[order] / 1000, where)


def _person(landmarks: Any, where: str) -> np.ndarray:
    """(33, 4) of x, y, visibility and presence, 1 where a landmark does not tell one of the latter."""
    if not isinstance(landmarks, list) or len(landmarks) != COUNT:
        count = len(landmarks) if isinstance(landmarks, list) else "no"
        raise ValueError(f"{where} has {count} landmarks, expected {COUNT}: {MEND}")
    found = np.ones((COUNT, len(FIELDS)))
    for index, landmark in enumerate(landmarks):
        if not isinstance(landmark, dict) or not {"x", "y"} <= set(landmark):
            raise ValueError(f"{where}, landmark {index} has no x and y: {MEND}")
        for column, field in enumerate(FIELDS):
            number = landmark.get(field, 1.0)
            if isinstance(number, bool) or not isinstance(number, int | float | None):
                raise ValueError(f"{where}, landmark {index}: {field} is no number: {MEND}")
            found[index, column] = np.nan if number is None else number
    return found


def _read_npz(source: Source) -> Rows:
    arrays = read_npz(source.path, ["landmarks"], ["fps", "image_size", *STAMPS], max_bytes=MAX_BYTES)
    landmarks = with_people(arrays["landmarks"], "landmarks", source.path, (4, 5))
    if landmarks.shape[2] != COUNT:
        raise ValueError(
            f"{source.path}: landmarks has {landmarks.shape[2]} joints, expected {COUNT}: {MEND}"
        )
    fps, size = described(arrays, source.path)
    frames, rows = flatten(landmarks)
    confidence = rows[..., 3:].prod(axis=-1)
    times, stamp = None, next((name for name in STAMPS if name in arrays), None)
    if stamp is not None:
        milliseconds = number_array(arrays[stamp], stamp, source.path)
        if milliseconds.shape != landmarks.shape[:1]:
            raise ValueError(
                f"{source.path}: {stamp} has shape {milliseconds.shape}, landmarks {landmarks.shape}: give "
                "one number a frame"
            )
        times = _times(np.arange(len(landmarks)), milliseconds, str(source.path))
    return Rows(
        *(frames, rows[..., :2], confidence, None, MEDIAPIPE_33, len(landmarks)),
        fps=fps,
        times=times,
        image_size=size,
    )


def _read_csv(source: Source) -> Rows:
    path = source.path
    table = read_table(
        source.value,
        path,
        ("frame", "landmark", "person", "x", "y", "x_px", "y_px", *FIELDS[2:], *map(str.lower, STAMPS)),
    )
    x, y = ("x_px", "y_px") if "x_px" in table.header else ("x", "y")
    frame, landmark = table.whole("frame"), table.whole("landmark")
    person = table.whole("person") if "person" in table.header else np.zeros(len(frame), np.int64)
    if len(landmark) and landmark.max() >= COUNT:
        at = int(landmark.argmax())
        raise ValueError(f"{path}, line {table.line[at]}: landmark {landmark[at]}, expected 0 to {COUNT - 1}")
    values = np.stack([table.number(x), table.number(y)], axis=-1)
    confidence = table.number("visibility") if "visibility" in table.header else np.ones(len(frame))
    if "presence" in table.header:
        confidence = confidence * table.number("presence")
    frames, _, keypoints, spread = table.gather(frame, person, landmark, values, confidence, COUNT)
    times = None
    stamp = next((name.lower() for name in STAMPS if name.lower() in table.header), None)
    if stamp is not None:
        times = _times(*table.times(frame, table.number(stamp)), str(path))
    return Rows(frames, keypoints, spread, None, MEDIAPIPE_33, times=times)


FORMAT = Format("mediapipe", "MediaPipe's pose landmarks", recognise, read)
