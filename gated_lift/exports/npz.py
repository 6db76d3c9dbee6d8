"""Lifted people as one NumPy archive: everything, exactly, without pickled objects."""

import json
from pathlib import Path

import numpy as np

from gated_lift.exports.axes import Up
from gated_lift.exports.record import ARRAYS, camera_arrays, from_record, to_record
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople
from gated_lift.readers.json_file import parse_json
from gated_lift.readers.npz import read_npz

_WHAT, _MEND = "an archive of lifted people", "write it again with gated_lift.exports.export"


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One archive: `LiftedPeople`'s arrays under its fields' names, the camera's ``focal``, ``center``,
    ``radial``, ``tangential``, ``rotation`` and ``position`` where there are any, and ``about``, a JSON text
    with everything that is no array.

    For those who open it without this package, names, skeleton_names, skeleton_parents, status_names, fps,
    units and axes are arrays of their own as well. ``up`` turns joints, roots, covariances and extrinsics;
    without it they are as they were lifted. Raises ValueError as `record.to_record`.
    """
    turned, words = to_record(people, up)
    arrays = {name: getattr(turned, name) for name in (*ARRAYS, "status", "times", "size", "size_std")}
    arrays = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    told = {
        "about": np.array(json.dumps(words)),
        "names": np.array(people.names, np.str_),
        "skeleton_names": np.array(people.skeleton.names, np.str_),
        "skeleton_parents": np.array(people.skeleton.parents),
        "status_names": np.array(words["status_names"], np.str_),
        "fps": np.array(words["fps"]),
        "units": np.array(words["units"]),
        "axes": np.array(words["axes_in_words"]),
    }
    everything = arrays | camera_arrays(turned) | told

    def write(part: Path) -> None:
        with part.open("wb") as file:  # an open file, or NumPy would add a suffix to the name
            np.savez_compressed(file, allow_pickle=False, **everything)

    return {path: write}


def read(path: Path) -> LiftedPeople:
    """The people of an archive that `plan` wrote, bit for bit, in the axes that they were lifted in.

    Raises FileNotFoundError for a missing file and ValueError, with its name and the mend, for another one.
    """
    optional = ("covariance", "radial", "tangential", "rotation", "position")
    needed = (*(name for name in ARRAYS if name != "covariance"), "status", "times", "focal", "center")
    arrays = read_npz(path, (*needed, "about"), optional)
    about = parse_json(str(arrays.pop("about")), str(path), _WHAT, _MEND)
    if not isinstance(about, dict):
        raise ValueError(f"{path} is not {_WHAT}: {_MEND}")
    return from_record(about, arrays, str(path))
