"""Joints as C3D, the file format of motion capture, through ezc3d: millimetres, everybody in one file."""

from pathlib import Path

import numpy as np

from gated_lift.exports.axes import Up, turn_people
from gated_lift.exports.checks import check_people, ever_there
from gated_lift.exports.files import ascii_names, require
from gated_lift.exports.markers import marker_names
from gated_lift.exports.record import software_version
from gated_lift.exports.timing import evenly
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople

MAX_FRAMES = 65535  # the header counts frames in sixteen bits
MAX_LABEL = 32  # characters that every program shows of a label
# The axes that point right and up on a screen: people stand there as the camera saw them.
_SCREEN = {"y": ("+X", "+Y"), "z": ("+X", "+Z")}


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One file with the markers of everybody who is ever there.

    Labels are "person:marker", or the marker alone for one person; names are cut and made unlike where 32
    ASCII characters do not hold them. A missing marker has the residual −1. Units, rate and axes (X_SCREEN,
    Y_SCREEN) are in the file; y is up unless ``up`` is "z". The format has a rate and no times: frames at an
    uneven rate are interpolated to ``fps`` (`timing.evenly`).

    Raises ImportError without ezc3d, and ValueError as `check_people`, where nobody is ever there and for
    more than `MAX_FRAMES` frames.
    """
    ezc3d = require("ezc3d", "C3D")
    some = ever_there(check_people(people), "C3D")
    turned = evenly(turn_people(people, up or "y"))
    frames = len(turned.times)
    if frames > MAX_FRAMES:
        raise ValueError(
            f"the clip has {frames} frames and C3D holds {MAX_FRAMES}: export parts of it, or trc or npz"
        )
    markers = marker_names(people.skeleton)
    labels = list(markers)
    if len(some) > 1:
        longest = MAX_LABEL - 1 - max(len(marker) for marker in markers)
        persons = ascii_names([people.names[person] for person in some], longest)
        labels = [f"{person}:{marker}" for person in persons for marker in markers]

    def write(part: Path) -> None:
        joints = np.where(turned.present[some][..., None, None], turned.joints[some], np.nan)
        # From (people, frames, joints, 3) to millimetres as (3, points, frames).
        points = 1e3 * np.moveaxis(joints.astype(np.float64), (3, 0, 2, 1), (0, 1, 2, 3))
        points = points.reshape(3, len(labels), frames)
        missing = ~np.all(np.isfinite(points), axis=0)
        file = ezc3d.c3d()
        point = file["parameters"]["POINT"]
        point["RATE"]["value"] = [float(turned.fps)]
        point["UNITS"]["value"] = ["mm"]
        point["LABELS"]["value"] = labels
        file["data"]["points"] = np.concatenate([np.where(missing, 0, points), np.ones((1, *missing.shape))])
        file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0)[None]
        file["data"]["meta_points"]["camera_masks"] = np.zeros((7, *missing.shape), bool)
        right, top = _SCREEN[up or "y"]
        file.add_parameter("POINT", "X_SCREEN", [right])
        file.add_parameter("POINT", "Y_SCREEN", [top])
        file.add_parameter("MANUFACTURER", "COMPANY", ["gated_lift"])
        file.add_parameter("MANUFACTURER", "SOFTWARE", ["gated_lift"])
        file.add_parameter("MANUFACTURER", "VERSION_LABEL", [software_version("gated-lift")])
        # ezc3d appends the suffix to a name that lacks it.
        suffixed = part.with_name(f"{part.name}.c3d")
        try:
            file.write(str(suffixed))
            suffixed.replace(part)
        finally:
            suffixed.unlink(missing_ok=True)

    return {path: write}
