"""Joints as OpenSim's marker files (`.trc`), one a person: metres, seconds, y up."""

from pathlib import Path

import numpy as np

from gated_lift.exports.axes import Up, turn_people
from gated_lift.exports.checks import check_people, ever_there
from gated_lift.exports.files import file_names
from gated_lift.exports.markers import marker_names
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One file a person who is ever there, "NAME_PERSON.trc"; for one person the path itself.

    Every file has all frames of the clip, so that files of several people keep one time. Frame numbers start
    at 1; the times are the people's, even where the rate is not. What is missing is NaN, never 0. The
    format states units but no axes: y is up unless ``up`` is "z". Raises ValueError as `check_people` and
    where nobody is ever there.
    """
    some = ever_there(check_people(people), "TRC")
    turned = turn_people(people, up or "y")
    paths = person_paths(path, [people.names[person] for person in some])

    def writer(person: int, name: str) -> Writer:
        def write(part: Path) -> None:
            joints = np.where(turned.present[person, :, None, None], turned.joints[person], np.nan)
            part.write_text(_text(joints, turned, name), encoding="utf-8", newline="\n")

        return write

    return {each: writer(int(person), each.name) for person, each in zip(some, paths, strict=True)}


def person_paths(path: Path, names: list[str]) -> list[Path]:
    """ "NAME_PERSON.suffix" for each of several people, and the path itself for one."""
    if len(names) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{name}{path.suffix}") for name in file_names(names)]


def _text(joints: np.ndarray, people: LiftedPeople, name: str) -> str:
    frames, markers, _ = joints.shape
    rate = f"{people.fps:.10g}"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{markers}\tm\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(marker_names(people.skeleton)) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{marker}" for marker in range(1, markers + 1) for axis in "XYZ"),
    ]
    rounded = np.round(joints.reshape(frames, -1).astype(np.float64), 6) + 0.0
    for number, (time, row) in enumerate(zip(people.times.tolist(), rounded.tolist(), strict=True), 1):
        # OpenSim refuses a line that ends with an empty field, and reads NaN.
        texts = [f"{value:.6f}" if np.isfinite(value) else "NaN" for value in row]
        lines.append("\t".join([str(number), f"{time:.6f}", *texts]))
    return "\n".join(lines) + "\n"
