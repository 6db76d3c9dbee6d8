"""ultralytics' results: a folder of label files, or JSON.

Label files, ``<video>_<frame>.txt``, frames counted from 1: a line a person, ``class x y w h`` of the box and
``x y c`` of every joint, all but the class and c as shares of the image's width and height; then the box's
confidence (``save_conf``), then the tracker's id, each where it was asked for. One extra number is a
confidence where it has decimals and an id where it is whole and a person has a larger one than 1; else it is
ambiguous, and ``ultralytics_conf`` or ``ultralytics_ids`` says which. Lines of one file or others that lack
the id were not tracked.

JSON (``to_json`` of every frame): a list a frame of ``{"track_id": 1, "keypoints": {"x": […], "y": […],
"visible": […]}}``, in one file or a file a frame; pixels, or shares where it was normalised.

17 joints. Confidence is 0 to 1; releases write x = y = 0 where it is below 0.5.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gated_lift.readers.detectors.frames import frame_of_name, frames_of_files
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers
from gated_lift.readers.detectors.source import (
    Format,
    Options,
    Source,
    read_json,
    read_text,
)
from gated_lift.skeleton import COCO_17

BOX = 5
Extra = Literal["find out", "confidence", "id"]


def recognise(source: Source) -> bool:
    value = source.value
    if source.kind in ("text", "text folder"):
        numbers = _numbers(value.strip().splitlines()[0])
        return numbers is not None and len(numbers) >= BOX + 3 * 5
    if source.kind == "json folder":
        return _is_frame(value) and bool(value)
    return (
        source.kind == "json"
        and isinstance(value, list)
        and any(_is_frame(frame) for frame in [value, *value])
    )


def read(source: Source, options: Options, extra: Extra = "find out") -> Rows:
    if source.kind in ("text", "text folder"):
        return _read_text(source, options, extra)
    if source.kind not in ("json", "json folder") or not isinstance(source.value, list):
        raise ValueError(f"{source.path} is neither a folder of label files nor a list: {MEND}")
    return _read_json(source, options)


def _read_text(source: Source, options: Options, extra: Extra) -> Rows:
    files: tuple[Path, ...]
    if source.kind == "text":
        files, numbers = (source.path,), [frame_of_name(source.path.name) or 0]
    else:
        files, numbers = source.files, frames_of_files(source.path, source.files)
    joints = (options.skeleton or COCO_17).num_joints
    plain = BOX + 3 * joints
    first = 0 if 0 in numbers else 1
    frames: list[int] = []
    lines: list[list[float]] = []
    for file, number in zip(files, numbers, strict=True):
        text = source.value if source.kind == "text" else _label_text(file)
        for at, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            found = _numbers(line)
            if found is None or not plain <= len(found) <= plain + 2:
                count = "other than numbers" if found is None else f"{len(found)} numbers"
                raise ValueError(
                    f"{file}, line {at}, has {count}, expected {plain} to {plain + 2} of {joints} joints: "
                    "give ultralytics' label files of a pose model"
                )
            frames.append(number - first)
            lines.append(found)
    if not lines:
        raise ValueError(f"{source.path} shows nobody on any frame: give a video that people were found in")
    ids = _ids(lines, plain, extra, source)
    found_all = np.array([line[BOX:plain] for line in lines]).reshape(len(lines), joints, 3)
    return Rows(
        frames,
        found_all[..., :2],
        found_all[..., 2],
        ids,
        skeleton_of(joints, (COCO_17,), options.skeleton, source.path),
        max(numbers) - first + 1,
        normalised=True,
    )


def _ids(lines: list[list[float]], plain: int, extra: Extra, source: Source) -> list[int] | None:
    """The people's ids from what stands after the joints, None where that is no id."""
    counts = {len(line) - plain for line in lines}
    if counts == {0, 2}:
        raise ValueError(
            f"{source.path} mixes lines with and without the box's confidence: give one run's label files"
        )
    last = [line[-1] for line in lines if len(line) - plain == 1]
    if counts == {1} and extra == "find out":
        whole = all(value == int(value) and value >= 0 for value in last if np.isfinite(value))
        if not whole:
            extra = "confidence"
        elif max(last) > 1:
            extra = "id"
        else:
            raise ValueError(
                f"{source.path} has {plain + 1} numbers a line, the last of which may be the box's "
                "confidence or the person's id: choose the format ultralytics_conf or ultralytics_ids"
            )
    if counts == {0} or (counts == {1} and extra == "confidence"):
        return None
    tracked = max(counts)
    return [
        as_id(line[-1], f"{source.path}: the last number of a line") if len(line) - plain == tracked else -1
        for line in lines
    ]


def _label_text(file: Path) -> str:
    # A label file of a frame with nobody may be empty.
    return read_text(file) if file.stat().st_size else ""


def _read_json(source: Source, options: Options) -> Rows:
    path, value = source.path, source.value
    if source.kind == "json folder":
        numbers = frames_of_files(source.path, source.files)
        contents = [read_json(file) for file in source.files]
    elif value and _is_frame(value):
        numbers, contents = [frame_of_name(path.name) or 0], [value]
    else:
        numbers, contents = list(range(len(value))), value
    frames: list[int] = []
    ids: list[int] = []
    people: list[np.ndarray] = []
    for frame, found in zip(numbers, contents, strict=True):
        if not isinstance(found, list):
            raise ValueError(f"{path}, frame {frame} is {type(found).__name__}, expected a list: {MEND}")
        for number, person in enumerate(found):
            where = f"{path}, frame {frame}, person {number}"
            held = person.get("keypoints") if isinstance(person, dict) else None
            if not isinstance(held, dict) or not {"x", "y"} <= set(held):
                raise ValueError(
                    f"{where} has no keypoints with x and y: run a pose model, and save it again"
                )
            x = as_numbers(held["x"], f"{where}: x", (None,))
            y = as_numbers(held["y"], f"{where}: y", (len(x),))
            given = held.get("visible")
            seen = np.ones(len(x)) if given is None else as_numbers(given, f"{where}: visible", (len(x),))
            if people and len(x) != len(people[0]):
                raise ValueError(
                    f"{where}: {len(x)} joints, but {len(people[0])} before it: give one model's results"
                )
            frames.append(frame)
            ids.append(as_id(person.get("track_id"), f"{where}: track_id"))
            people.append(np.stack([x, y, seen], axis=-1))
    if not people:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    stacked = np.stack(people)
    skeleton = skeleton_of(stacked.shape[1], (COCO_17,), options.skeleton, path)
    return Rows(frames, stacked[..., :2], stacked[..., 2], ids, skeleton, max(numbers) + 1)


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return None


def _is_frame(value: Any) -> bool:
    """Whether a value is the list of one frame's people, somebody among them."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and isinstance(value[0].get("keypoints"), dict)
        and "x" in value[0]["keypoints"]
    )


def _never(source: Source) -> bool:
    return False


FORMAT = Format("ultralytics", "ultralytics' label files or JSON", recognise, read)
# Only by name: they say what a lone last number is.
CONFIDENCES = Format(
    "ultralytics_conf", "ultralytics' label files with confidence", _never, partial(read, extra="confidence")
)
IDS = Format("ultralytics_ids", "ultralytics' label files with ids", _never, partial(read, extra="id"))
