"""The points of a C3D file: what motion capture stores of its markers, as the format's manual (c3d.org) says.

A file is blocks of 512 bytes: a header, parameters in groups, and the frames, each with its points (x, y, z
and a word with the residual) and then its analogue samples. Numbers are sixteen-bit integers times a scale,
or floats, of one of three processors. It is read here and not by a library because damaged files made the
one for it, ezc3d, crash or run on without an end: 2 of 300.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

BLOCK = 512
MAX_BYTES = 2**30
# What the byte for the processor says: integers and floats of Intel's, DEC's and MIPS' order.
INTEL, DEC, MIPS = 84, 85, 86
_MEND = "fetch it or export it again"
_WHAT = "a C3D file"


class Points(NamedTuple):
    """values: in the file's unit and axes, NaN where a point is missing (a residual below 0, or the origin).
    labels: one a point, "" for points without. unit, y_screen (the axis that points up on a screen): as the
    file says, "" where it does not.
    """

    values: Float[np.ndarray, "frames points 3"]
    labels: tuple[str, ...]
    fps: float
    unit: str
    y_screen: str


def read_points(path: Path) -> Points:
    """Raises FileNotFoundError for a missing file and ValueError, naming the file, for one that is damaged,
    cut off or larger than `MAX_BYTES`.
    """
    with path.open("rb") as file:
        if path.stat().st_size > MAX_BYTES:
            raise _error(path, f"it has more than {MAX_BYTES} bytes", "cut it into parts")
        data = file.read(MAX_BYTES + 1)
    if len(data) < 2 * BLOCK or data[1] != 0x50:
        raise _error(path, "it does not begin as one")
    begin = (data[0] - 1) * BLOCK
    processor = data[begin + 3] if 0 < begin <= len(data) - BLOCK else 0
    if processor not in (INTEL, DEC, MIPS):
        raise _error(path, "it has no parameters of a processor that is known")
    header = _words(data[:BLOCK], processor)
    points, analogue, first, last = (int(header[at]) for at in (1, 2, 3, 4))
    scale, rate = (float(_floats(data[at : at + 4], processor)[0]) for at in (12, 20))
    parameters = _read_parameters(data[begin : begin + max(data[begin + 2], 1) * BLOCK], processor, path)

    def number(group: str, name: str, other: float) -> float:
        held = parameters.get((group, name))
        return float(held[0]) if isinstance(held, np.ndarray) and held.size else other

    def text(name: str) -> str:
        held = parameters.get(("POINT", name))
        return held[0].strip(" \0")[:20] if isinstance(held, list) and held else ""

    # More frames than the header's sixteen bits count are counted elsewhere, in two words.
    ends = [_long(parameters.get(("TRIAL", f"ACTUAL_{end}_FIELD"))) for end in ("START", "END")]
    if min(ends) >= 0:
        first, last = ends
    frames = last - first + 1
    rate = number("POINT", "RATE", rate)
    scale = number("POINT", "SCALE", scale)
    if not 1 <= rate <= 10_000 or not np.isfinite(scale) or scale == 0:
        raise _error(path, f"its rate is {rate:g} frames/s and its scale {scale:g}")
    size = 4 if scale < 0 else 2
    stride = 4 * points + analogue
    start = (int(header[8]) - 1) * BLOCK
    if points == 0 or frames <= 0:
        raise _error(path, f"it has {points} points on {frames} frames", "export its markers too")
    if start <= 0 or start + frames * stride * size > len(data):
        raise _error(path, f"it is cut off before the last of its {frames} frames")
    body = data[start : start + frames * stride * size]
    numbers = _floats(body, processor) if scale < 0 else _words(body, processor).view(np.int16)
    rows = numbers.reshape(frames, stride)[:, : 4 * points].reshape(frames, points, 4)
    with np.errstate(invalid="ignore", over="ignore"):
        values = rows[..., :3].astype(np.float64) * (1.0 if scale < 0 else scale)
        missing = ~(rows[..., 3] >= 0) | ~np.all(np.isfinite(values), axis=-1)
    # Some programs mark a gap by the origin alone.
    values[missing | np.all(values == 0, axis=-1)] = np.nan
    labels = [
        each.strip(" \0") for more in ("", *map(str, range(2, 10))) for each in _texts(parameters, more)
    ]
    labels = (labels + [""] * points)[:points]
    return Points(values, tuple(labels), rate, text("UNITS"), text("Y_SCREEN"))


def _long(held: Any) -> int:
    """A number in two words, the lower first; -1 where it is something else."""
    if not isinstance(held, np.ndarray) or held.dtype != np.int16 or held.size != 2:
        return -1
    low, high = held.view(np.uint16).tolist()
    return low + (high << 16)


def _texts(parameters: dict[tuple[str, str], Any], more: str) -> list[str]:
    held = parameters.get(("POINT", f"LABELS{more}"))
    return held if isinstance(held, list) else []


def _read_parameters(section: bytes, processor: int, path: Path) -> dict[tuple[str, str], Any]:
    """By group and name: a list of texts, or an array of numbers laid flat, first index first."""
    groups: dict[int, str] = {}
    held: list[tuple[int, str, Any]] = []
    at = 4
    while at + 2 <= len(section):
        length, group = (int(each) for each in np.frombuffer(section[at : at + 2], np.int8))
        length = abs(length)
        if length == 0 or group == 0:
            break
        name = section[at + 2 : at + 2 + length].decode("latin-1").upper().strip()
        here = at + 2 + length
        if here + 2 > len(section):
            raise _error(path, "its parameters are cut off")
        step = int(_words(section[here : here + 2], processor)[0])
        if group < 0:
            groups[-group] = name
        else:
            held.append((group, name, _value(section[here + 2 :], processor, path)))
        if step == 0:
            break
        at = here + step
    return {(groups.get(group, ""), name): value for group, name, value in held}


def _value(record: bytes, processor: int, path: Path) -> Any:
    if len(record) < 2 or len(record) < 2 + record[1]:
        raise _error(path, "its parameters are cut off")
    kind = int(np.frombuffer(record[:1], np.int8)[0])
    shape = [int(each) for each in record[2 : 2 + record[1]]]
    count = 1
    for extent in shape:
        count *= extent
    body = record[2 + len(shape) :]
    width = {-1: 1, 1: 1, 2: 2, 4: 4}.get(kind)
    if width is None or count * width > len(body):
        raise _error(path, "its parameters are damaged")
    body = body[: count * width]
    if kind == -1:
        characters = shape[0] if shape else 1
        every = range(0, count, characters) if characters else ()
        return [body[first : first + characters].decode("latin-1") for first in every]
    if kind == 4:
        return _floats(body, processor)
    return _words(body, processor).view(np.int16) if kind == 2 else np.frombuffer(body, np.uint8)


def _words(data: bytes, processor: int) -> np.ndarray:
    """Sixteen-bit words, unsigned."""
    return np.frombuffer(data, ">u2" if processor == MIPS else "<u2").astype(np.uint16)


def _floats(data: bytes, processor: int) -> np.ndarray:
    if processor == DEC:
        # The halves change places, and the exponent counts from two more.
        swapped = np.frombuffer(data, "<u2").reshape(-1, 2)[:, ::-1].copy()
        return swapped.view("<f4").reshape(-1) / np.float32(4)
    return np.frombuffer(data, ">f4" if processor == MIPS else "<f4").astype(np.float32)


def _error(path: Path, what: str, mend: str = _MEND) -> ValueError:
    return ValueError(f"{path} is not {_WHAT} as it should be ({what}): {mend}")
