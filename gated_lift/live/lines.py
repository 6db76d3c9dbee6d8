"""A stream as text: one line of JSON a frame in, one out (docs/live.md)."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gated_lift.live.stream import LiveFrame
from gated_lift.readers.detectors import openpose
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import as_id, as_numbers, as_whole
from gated_lift.readers.json_file import parse_json
from gated_lift.readers.text_file import decode
from gated_lift.skeleton import Skeleton
from solvers import Status

MEND = 'write one frame a line, {"people": [{"keypoints": [[x, y, c], …]}]}'
WHAT = "a frame of people"
DIGITS = 4  # of metres


class Line(NamedTuple):
    """One frame as it came. number: of the line, from 1. frame, time (seconds): None where it has none.
    people: x, y and confidence. ids: None where nobody has one.
    """

    number: int
    frame: int | None
    time: float | None
    people: Float[np.ndarray, "people joints 3"]
    ids: tuple[int, ...] | None


class Pace(NamedTuple):
    """Where a stream is. last: number of the last frame that was answered, None before the first. next: of
    the line that comes, where it does not say. time: seconds, of the last line that had one. carry: share of
    a frame by which the lines' times are ahead of their frames.
    """

    last: int | None = None
    next: int = 0
    time: float | None = None
    carry: float = 0.0

    def without_line(self) -> "Pace":
        """After a line that could not be read, which was a frame nevertheless."""
        return self._replace(next=self.next + 1)


def read_line(text: bytes, number: int) -> Line:
    """One line: ``people``, each with ``keypoints`` and perhaps ``id``, or as OpenPose writes them
    (``pose_keypoints_2d``, ``person_id``); and perhaps ``frame`` and ``time``.

    Raises ValueError, on one line that names the line and the mend, for anything else.
    """
    where = f"line {number}"
    value = parse_json(decode(text, where, WHAT, MEND), where, WHAT, MEND)
    if not isinstance(value, dict) or not isinstance(value.get("people"), list):
        raise ValueError(f"{where} is not {WHAT} (no list of people): {MEND}")
    people, ids = [], []
    if all(isinstance(person, dict) and "keypoints" in person for person in value["people"]):
        for index, person in enumerate(value["people"]):
            inside = f"{where}, person {index}"
            points = as_numbers(person["keypoints"], f"{inside}: keypoints", (None, None), MEND)
            if points.shape[1] not in (2, 3):
                raise ValueError(f"{inside}: keypoints has {points.shape[1]} numbers a joint: {MEND}")
            sure = np.ones((len(points), 3 - points.shape[1]))
            people.append(np.concatenate([points, sure], axis=1))
            ids.append(as_id(person.get("id"), f"{inside}: id"))
    else:
        for points, own in openpose.read_people(value, Path(where), MEND):
            people.append(points)
            ids.append(own)
    counts = {len(points) for points in people}
    if len(counts) > 1:
        raise ValueError(f"{where} has people of {' and '.join(map(str, sorted(counts)))} joints: {MEND}")
    named = [own for own in ids if own >= 0]
    if len(named) not in (0, len(ids)) or len(set(named)) < len(named):
        raise ValueError(f"{where} has the ids {ids}: give everybody an id of their own, or nobody")
    frame, time = value.get("frame"), value.get("time")
    if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
        raise ValueError(f"{where}: time is {str(time)[:40]!r}, not seconds: correct or remove it")
    return Line(
        number=number,
        frame=None if frame is None else as_whole(frame, f"{where}: frame"),
        time=None if time is None else float(time),
        people=np.stack(people) if people else np.zeros((0, 0, 3)),
        ids=tuple(named) if named else None,
    )


def skeleton_of_line(line: Line, given: Skeleton | None) -> Skeleton:
    """The skeleton of a line that shows somebody: the given one, or the one that the number of joints tells.
    Raises ValueError where that is not certain.
    """
    keypoints, confidence = line.people[..., :2], line.people[..., 2]
    where = Path(f"line {line.number}")
    return skeleton_of(line.people.shape[1], openpose.JOINTS, given, where, keypoints, confidence)


def next_frame(pace: Pace, line: Line, fps: float) -> tuple[Pace, int, int]:
    """The pace after a line, the number of its frame, and how many frames were lost before it.

    A line's ``frame`` tells; without one its ``time`` does, to the nearest frame after that of the line
    before; without either it is the next. Raises ValueError where frame or time does not grow.
    """
    where, carry, number = f"line {line.number}", 0.0, pace.next
    if line.time is not None and pace.time is not None and not line.time > pace.time:
        raise ValueError(
            f"{where}: time is {line.time} after {pace.time}: write frames in their order, times in seconds"
        )
    if line.frame is not None:
        number = line.frame
        if pace.last is not None and number <= pace.last:
            raise ValueError(f"{where}: frame is {number} after {pace.last}: write frames in their order")
    elif line.time is not None and pace.time is not None and pace.last is not None:
        passed = (line.time - pace.time) * fps + pace.carry
        steps = max(math.floor(passed + 0.5), 1)
        # A camera that is faster than it says does not run up a debt that lost frames would pay.
        carry, number = max(passed - steps, -0.5), pace.last + steps
    lost = 0 if pace.last is None else number - pace.last - 1
    time = pace.time if line.time is None else line.time
    return Pace(number, number + 1, time, carry), number, lost


def record_of(number: int, time: float | None, frame: LiveFrame | None) -> dict[str, Any]:
    """What is written for a frame, as JSON values: metres in camera axes, null where nothing is known.
    frame: None before anybody was seen.
    """
    record: dict[str, Any] = {"frame": number}
    if time is not None:
        record["time"] = time
    record["people"] = []
    if frame is None:
        return record
    for index, person in enumerate(frame.ids):
        record["people"].append(
            {
                "id": person,
                "status": Status(int(frame.status[index])).name.lower(),
                "joints": _numbers(frame.joints[index]),
                "root": _numbers(frame.root[index]),
                "hidden": frame.hidden[index].tolist(),
                "lagged_root": _numbers(frame.lagged_root[index]),
            }
        )
    record["lagged_frame"] = number - frame.lag
    if frame.left_out:
        record["left_out"] = list(frame.left_out)
    return record


def _numbers(values: np.ndarray) -> list[Any] | None:
    return np.round(values.astype(np.float64), DIGITS).tolist() if np.isfinite(values).all() else None
