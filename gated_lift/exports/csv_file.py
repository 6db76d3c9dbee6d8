"""Lifted people as a table in long form, one row a frame, person and joint, for pandas and spreadsheets."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gated_lift.exports.axes import Up, describe, turn_people
from gated_lift.exports.checks import check_people
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople

# frame from 0; time in seconds; x, y, z in ``unit``; u, v the keypoint in pixels; hidden 0 or 1.
COLUMNS = (
    *("frame", "time", "person", "joint", "x", "y", "z", "hidden", "confidence", "u", "v"),
    *("unit", "axes"),
)
_CHUNK = 1000  # frames whose rows are held in memory


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One table with `COLUMNS`, sorted by frame, person and joint.

    A person has no rows on frames without them, so nobody makes a table with a head and no rows. Numbers that
    are missing (the keypoint of a joint that no detector found) are empty. ``axes`` says in every row what
    the axes are, in words. Raises ValueError as `check_people` and `axes.turn_to`.
    """
    axes = describe(check_people(people).axes, up)
    turned = turn_people(people, up)

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for start in range(0, len(turned.times), _CHUNK):
                table.writerows(_rows(turned, start, axes))

    return {path: write}


def _rows(people: LiftedPeople, start: int, axes: str) -> Iterator[tuple[object, ...]]:
    """The rows of some frames."""
    frames, persons = np.nonzero(people.present[:, start : start + _CHUNK].T)
    frames = frames + start
    columns = [_texts(people.joints[persons, frames][..., axis], 6) for axis in range(3)]
    hidden = people.hidden[persons, frames].astype(int).tolist()
    confidence = _texts(people.confidence[persons, frames], 4)
    u, v = (_texts(people.keypoints[persons, frames][..., axis], 3) for axis in range(2))
    for row, (frame, person) in enumerate(zip(frames.tolist(), persons.tolist(), strict=True)):
        time, name = f"{people.times[frame]:.6f}", people.names[person]
        yield from (
            (frame, time, name, joint, x, y, z, covered, sure, right, down, "m", axes)
            for joint, x, y, z, covered, sure, right, down in zip(
                people.skeleton.names,
                *(column[row] for column in (*columns, hidden, confidence, u, v)),
                strict=True,
            )
        )


def _texts(values: np.ndarray, decimals: int) -> list[list[str]]:
    """Numbers as texts, nothing for those that are not finite."""
    # Zero is added for the numbers that rounding makes a minus zero.
    rounded = np.round(values.astype(np.float64), decimals) + 0.0
    return [
        [f"{value:.{decimals}f}" if np.isfinite(value) else "" for value in row] for row in rounded.tolist()
    ]
