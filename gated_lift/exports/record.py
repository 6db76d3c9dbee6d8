"""Lifted people as plain arrays and words, as the project's own `.npz` and JSON files hold them.

`to_record` and `from_record` are each other's inverse. A record says of itself what it is: its version,
units, axes, the skeleton's tree, and what the numbers of the statuses mean.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, get_args

import numpy as np

from gated_lift.exports.axes import Up, describe, turn_people
from gated_lift.exports.checks import check_people
from gated_lift.people import LiftedPeople
from gated_lift.skeleton import SKELETONS, Skeleton
from solvers import Camera, Extrinsics, Status

FORMAT = "gated_lift people"
VERSION = 1
UNITS = "joints, root, position: m; covariance: m^2; keypoints, residual, focal, center: px; times: s"
SOFTWARE = ("gated-lift", "numpy", "jax")

# Arrays of a person, their dimensions beside people and frames, and the decimals that JSON keeps of them: a
# micrometre, a thousandth of a pixel, a square micrometre.
ARRAYS = {
    "joints": 6,
    "root": 6,
    "covariance": 12,
    "present": 0,
    "residual": 3,
    "keypoints": 3,
    "confidence": 6,
    "hidden": 0,
}


class Record(NamedTuple):
    """people: turned to ``up``, so that the arrays are as the file has them. words: everything that is text
    or a single number, by name, in JSON's types.
    """

    people: LiftedPeople
    words: dict[str, Any]


def to_record(people: LiftedPeople, up: Up | None) -> Record:
    """What a file says. Raises ValueError as `check_people` and `axes.turn_to` do."""
    words = {
        "format": FORMAT,
        "version": VERSION,
        "software": {name: software_version(name) for name in SOFTWARE},
        "units": UNITS,
        "axes": people.axes,
        "up": up,
        "axes_in_words": describe(check_people(people).axes, up),
        "fps": float(people.fps),
        "image_size": [int(side) for side in people.image_size],
        "source": people.source,
        "rotate": int(people.rotate),
        "names": list(people.names),
        "size": None if people.size is None else [float(each) for each in people.size],
        "size_std": None if people.size_std is None else [float(each) for each in people.size_std],
        "status_names": [Status(int(number)).name for number in people.status],
        "skeleton": people.skeleton._asdict(),
    }
    return Record(turn_people(people, up), words)


def from_record(words: dict[str, Any], arrays: dict[str, Any], name: str) -> LiftedPeople:
    """The people that a file holds, in the axes that they were lifted in. name: of the file, for messages.

    Raises ValueError for what no `to_record` writes: a newer version, missing words, arrays of other types
    and shapes, a skeleton that is no tree.
    """
    mend = "write it again with gated_lift.exports.export"
    if words.get("format") != FORMAT:
        raise ValueError(f"{name} holds no lifted people (format is {words.get('format')!r}): {mend}")
    if words.get("version") != VERSION:
        raise ValueError(
            f"{name} has version {words.get('version')!r}, this program reads {VERSION}: update gated-lift"
        )
    try:
        up = words["up"]
        people = LiftedPeople(
            joints=_real("joints", arrays),
            root=_real("root", arrays),
            covariance=None if arrays.get("covariance") is None else _real("covariance", arrays),
            present=_boolean("present", arrays),
            residual=_real("residual", arrays),
            keypoints=_real("keypoints", arrays),
            confidence=_real("confidence", arrays),
            hidden=_boolean("hidden", arrays),
            status=np.asarray(arrays["status"]),
            names=tuple(str(each) for each in words["names"]),
            skeleton=_skeleton(words["skeleton"]),
            fps=float(words["fps"]),
            times=np.asarray(arrays["times"]),
            axes=str(words["axes"]),
            camera=Camera(
                arrays["focal"],
                arrays["center"],
                radial=arrays.get("radial"),
                tangential=arrays.get("tangential"),
            ),
            extrinsics=None
            if arrays.get("rotation") is None
            else Extrinsics(arrays["rotation"], arrays["position"]),
            image_size=(int(words["image_size"][0]), int(words["image_size"][1])),
            source=str(words["source"]),
            # Files of older versions say nothing of these.
            rotate=int(words.get("rotate", 0)),
            size=_by_person(words.get("size")),
            size_std=_by_person(words.get("size_std")),
        )
        if not np.issubdtype(people.status.dtype, np.integer):
            raise ValueError(f"status is {people.status.dtype}, not whole numbers")
        if up is not None and up not in get_args(Up):
            raise ValueError(f"up is {up!r}")
        return turn_people(check_people(people), up, back=True)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{name} is damaged ({what}): {mend}") from error


def camera_arrays(people: LiftedPeople) -> dict[str, np.ndarray]:
    """Intrinsics and extrinsics by name, without those that are None."""
    camera, extrinsics = people.camera, people.extrinsics
    values = camera._asdict() | ({} if extrinsics is None else extrinsics._asdict())
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def software_version(name: str) -> str:
    """The version of an installed package, or "unknown" where it runs without being installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _by_person(values: Any) -> np.ndarray | None:
    return None if values is None else np.array(values, np.float64)


def _boolean(key: str, arrays: dict[str, Any]) -> np.ndarray:
    if arrays[key].dtype != np.bool_:
        raise ValueError(f"{key} is {arrays[key].dtype}, not boolean")
    return arrays[key]


def _real(key: str, arrays: dict[str, Any]) -> np.ndarray:
    if not np.issubdtype(arrays[key].dtype, np.floating):
        raise ValueError(f"{key} is {arrays[key].dtype}, not real numbers")
    return arrays[key]


def _skeleton(words: dict[str, Any]) -> Skeleton:
    numbers = {key: tuple(int(each) for each in words[key]) for key in ("parents", "left", "right")}
    skeleton = Skeleton(name=str(words["name"]), names=tuple(str(each) for each in words["names"]), **numbers)
    joints = range(skeleton.num_joints)
    parents = skeleton.parents
    tree = len(parents) == len(joints) and parents.count(-1) == 1 and all(p in (-1, *joints) for p in parents)
    for joint in joints if tree else ():
        seen = {joint}
        while tree and (joint := parents[joint]) >= 0:
            tree = joint not in seen
            seen.add(joint)
    sides = skeleton.left + skeleton.right
    if not tree or len(skeleton.left) != len(skeleton.right) or not set(sides) <= set(joints):
        raise ValueError(f"skeleton {skeleton.name} is no tree of its joints")
    return SKELETONS[skeleton.name] if SKELETONS.get(skeleton.name) == skeleton else skeleton
