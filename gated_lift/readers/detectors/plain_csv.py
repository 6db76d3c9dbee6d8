"""A table that anyone can write: a line a keypoint.

Columns, in any order, named in the first line: ``frame`` (from 0) or ``time`` (seconds) or both, ``joint`` (a
name, or with a skeleton given its number), ``x``, ``y`` (pixels, or shares of the image), and perhaps
``confidence`` (0 to 1; 1 where there is none), and ``id`` or ``person`` (a number or a name). Joints may be
left out of a frame. Columns are separated by commas, or by semicolons or tabs, and then numbers may have
decimal commas.
"""

import numpy as np

from gated_lift.readers.detectors.layouts import named_skeleton, take
from gated_lift.readers.detectors.rows import Rows, count_names, times_of_all
from gated_lift.readers.detectors.source import Format, Options, Source
from gated_lift.readers.detectors.table import Table, header_of, read_table


def recognise(source: Source) -> bool:
    if source.kind != "text":
        return False
    header = set(header_of(source.value))
    return {"joint", "x", "y"} <= header and bool({"frame", "time"} & header)


def read(source: Source, options: Options) -> Rows:
    path = source.path
    if source.kind != "text":
        raise ValueError(f"{path} is no text: give a table with the columns frame, joint, x and y")
    table = read_table(
        source.value, path, ("frame", "time", "x", "y", "confidence"), ("joint", "id", "person")
    )
    frame, times = _frames(table)
    who = next((name for name in ("id", "person") if name in table.header), None)
    person, known, people_names = _people([""] * len(frame) if who is None else table.text(who))
    joints = table.text("joint")
    names = list(dict.fromkeys(joints))
    if options.skeleton is not None and all(name.isdecimal() and len(name) < 6 for name in names):
        beyond = next((name for name in names if int(name) >= options.skeleton.num_joints), None)
        if beyond is not None:
            raise ValueError(
                f"{path}: joint {beyond}, but skeleton {options.skeleton.name} has "
                f"{options.skeleton.num_joints}: number joints from 0"
            )
        skeleton, names = options.skeleton, [str(number) for number in range(options.skeleton.num_joints)]
        index = list(range(len(names)))
        joints = [str(int(name)) for name in joints]
    else:
        skeleton, index = named_skeleton(names, options.skeleton, "csv", path)
    number = {name: each for each, name in enumerate(names)}
    values = np.stack([table.number("x"), table.number("y")], axis=-1)
    confidence = table.number("confidence") if "confidence" in table.header else np.ones(len(frame))
    place = np.array([number[name] for name in joints], np.int64)
    frames, people, keypoints, spread = table.gather(frame, person, place, values, confidence, len(names))
    return Rows(
        *(frames, take(keypoints, index), take(spread, index), people if known else None, skeleton),
        times=times,
        names=people_names,
    )


def _frames(table: Table) -> tuple[np.ndarray, np.ndarray | None]:
    """The frame of each line, and the seconds of every frame where there are time stamps."""
    if "time" not in table.header:
        return table.whole("frame"), None
    time = table.number("time")
    if not np.isfinite(time).all():
        row = int((~np.isfinite(time)).argmax())
        raise ValueError(f"{table.path}, line {table.line[row]}: time is no number of seconds: correct it")
    if "frame" not in table.header:
        times, frame = np.unique(time, return_inverse=True)
        return frame.reshape(-1).astype(np.int64), times
    frame = table.whole("frame")
    known, of_frame = table.times(frame, time)
    return frame, times_of_all(known, of_frame, str(table.path))


def _people(texts: list[str]) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """A number for whom each line shows, whether any line says, and the names: whole numbers stay as they
    are, names are counted in their order, empty cells are -1.
    """
    named = {text for text in texts if text}
    if all(text.isdecimal() and len(text) < 19 for text in named):
        return np.array([int(text) if text else -1 for text in texts], np.int64), bool(named), ()
    numbers, names = count_names(texts)
    return np.array(numbers, np.int64), bool(names), names


FORMAT = Format("csv", "a table of keypoints", recognise, read)
