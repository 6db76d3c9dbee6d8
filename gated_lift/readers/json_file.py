"""Reading JSON that may be damaged, or of another kind: every fault is a ValueError that names the file.

Python's own reader raises whatever it stumbles over (UnicodeDecodeError, RecursionError), passes on NaN and
numbers that overflow later, and knows nothing of what the file should have been.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gated_lift.readers.text_file import decode, read_bytes

MAX_BYTES = 2**26  # the log of a very long run, many times over
MAX_DEPTH = 32  # lists and dictionaries inside each other; the project's own files have seven at most


def read_json(
    path: str | Path, what: str, mend: str, allow_nan: bool = False, max_bytes: int = MAX_BYTES
) -> Any:
    """The value that a file of UTF-8 text, packed with gzip or not, holds.

    what: what the file should be, with its article ("a camera file"). mend: what to do when it is not. Both
    are for the message. allow_nan: whether NaN and ±Infinity, which JSON has not, may stand for numbers.

    Raises FileNotFoundError for a missing file, and ValueError, "{path} is not {what} (why): {mend}", for
    text that is not UTF-8 or not JSON, values nested deeper than MAX_DEPTH, numbers that neither float64 nor
    int64 can hold, and files of more than ``max_bytes``.
    """
    return parse_json(_read_text(path, what, mend, max_bytes), str(path), what, mend, allow_nan)


def read_object(
    path: str | Path, what: str, mend: str, allow_nan: bool = False, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """`read_json` of a file that holds a dictionary; ValueError in the same words for any other value."""
    return _as_object(read_json(path, what, mend, allow_nan, max_bytes), str(path), what, mend)


def read_lines(
    path: str | Path, what: str, mend: str, allow_nan: bool = False, max_bytes: int = MAX_BYTES
) -> list[dict[str, Any]]:
    """The dictionaries of a file that holds one a line, such as a training log. A last line without an end
    was being written when its program was stopped, and is left out. ValueError names the line.
    """
    *lines, _ = _read_text(path, what, mend, max_bytes).split("\n")
    names = [f"{path}, line {number}," for number in range(1, len(lines) + 1)]
    return [
        _as_object(parse_json(line, name, what, mend, allow_nan), name, what, mend)
        for name, line in zip(names, lines, strict=True)
    ]


def parse_json(
    text: str,
    name: str,
    what: str,
    mend: str,
    allow_nan: bool = False,
    of_object: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """The value of a text; ``name`` tells in the message where it stood. Arguments and errors as above.

    of_object: what is to stand for each dictionary, called with it as soon as it is read.
    """

    def real(number: str) -> float:
        value = float(number)
        if not (allow_nan or math.isfinite(value)):
            raise ValueError(f"{number} is no finite number")
        return value

    def whole(number: str) -> int:
        if len(number) > 20 or not -(2**63) <= int(number) < 2**63:
            raise ValueError(f"{number[:20]}... is beyond 64 bits")
        return int(number)

    try:
        value = json.loads(
            text, parse_float=real, parse_int=whole, parse_constant=real, object_hook=of_object
        )
        _check_depth(value)
    except RecursionError:
        raise _error(name, what, f"nested deeper than {MAX_DEPTH}", mend) from None
    except ValueError as error:
        raise _error(name, what, str(error), mend) from error
    return value


def _read_text(path: str | Path, what: str, mend: str, max_bytes: int) -> str:
    return decode(read_bytes(path, what, mend, max_bytes), path, what, mend)


def _as_object(value: Any, name: str, what: str, mend: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _error(name, what, f"it holds {type(value).__name__}, expected a dictionary", mend)
    return value


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [
            part
            for each in level
            for part in (each.values() if isinstance(each, dict) else each)
            if isinstance(part, dict | list)
        ]
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _error(name: str, what: str, why: str, mend: str) -> ValueError:
    return ValueError(f"{name} is not {what} ({why}): {mend}")
