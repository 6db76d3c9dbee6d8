"""Lifted people as JSON: everything, to stated decimals, with null where a number is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.exports.axes import Up
from gated_lift.exports.record import ARRAYS, Record, camera_arrays, from_record, to_record
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople
from gated_lift.readers.json_file import read_object
from solvers import describe_status

MAX_BYTES = 2**31
_WHAT, _MEND = "a JSON file of lifted people", "write it again with gated_lift.exports.export"
_CAMERA, _EXTRINSICS = ("focal", "center", "radial", "tangential"), ("rotation", "position")


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One text: what the file says of itself, camera and times, then ``people``, a dictionary each.

    A person has ``name``, ``status`` (number, name, advice) and the arrays of `LiftedPeople`, frames
    outermost. Decimals are those of `record.ARRAYS`; NaN is null, as JSON has no other word for it, and so
    are infinities. ``up`` as in `npz.plan`. Raises ValueError as `record.to_record`.
    """
    record = to_record(people, up)

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            head = record.words | {
                "has_covariance": people.covariance is not None,
                "times": _numbers(record.people.times, 9),
                "camera": _camera(record.people, _CAMERA),
                "extrinsics": None if people.extrinsics is None else _camera(record.people, _EXTRINSICS),
            }
            file.write(_text(head)[:-1] + ', "people": [')
            # One person's lists at a time: they take more memory than the arrays.
            for index in range(len(people.names)):
                file.write((",\n" if index else "\n") + _text(_person(record, index)))
            file.write("\n]}\n")

    return {path: write}


def read(path: Path) -> LiftedPeople:
    """The people of a file that `plan` wrote, float32 (times and camera float64), in the axes that they were
    lifted in, equal to those that were written as far as `record.ARRAYS` has decimals.

    Raises FileNotFoundError for a missing file and ValueError, with its name and the mend, for another one.
    """
    words = read_object(path, _WHAT, _MEND, max_bytes=MAX_BYTES)
    try:
        persons = words["people"]
        skeleton, frames = words["skeleton"], len(words["times"])
        joints = len(skeleton["names"])
        # Shapes are needed where nobody is there to show them.
        sides = {
            **{"joints": (joints, 3), "root": (3,), "covariance": (3, 3), "present": (), "residual": ()},
            **{"keypoints": (joints, 2), "confidence": (joints,), "hidden": (joints,)},
        }
        arrays: dict[str, Any] = {
            name: np.array(
                [person[name] for person in persons], bool if ARRAYS[name] == 0 else np.float32
            ).reshape(len(persons), frames, *sides[name])
            for name in ARRAYS
            if all(person[name] is not None for person in persons)
        }
        arrays["status"] = np.array([int(person["status"]["number"]) for person in persons], np.int32)
        arrays["times"] = np.array(words["times"], np.float64)
        for name, value in (words["camera"] | (words["extrinsics"] or {})).items():
            arrays[name] = np.array(value, np.float64)
        words["names"] = [person["name"] for person in persons]
        if not words["has_covariance"]:
            arrays["covariance"] = None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged ({what}): {_MEND}") from error
    return from_record(words, arrays, str(path))


def _person(record: Record, index: int) -> dict[str, Any]:
    number = int(record.people.status[index])
    arrays = {name: getattr(record.people, name) for name in ARRAYS}
    return {
        "name": record.words["names"][index],
        "status": {
            "number": number,
            "name": record.words["status_names"][index],
            "advice": describe_status(number),
        },
        **{
            name: None if value is None else _numbers(value[index], ARRAYS[name])
            for name, value in arrays.items()
        },
    }


def _camera(people: LiftedPeople, names: tuple[str, ...]) -> dict[str, Any]:
    values = camera_arrays(people)
    return {name: _numbers(values[name], 9) for name in names if name in values}


def _numbers(values: np.ndarray, decimals: int) -> Any:
    """Nested lists of booleans, or of numbers with None for what is not finite."""
    if values.dtype == np.bool_:
        return values.tolist()
    rounded = np.round(values.astype(np.float64), decimals) + 0.0  # no minus zeros
    if np.all(np.isfinite(rounded)):
        return rounded.tolist()
    listed = rounded.astype(object)
    listed[~np.isfinite(rounded)] = None
    return listed.tolist()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
