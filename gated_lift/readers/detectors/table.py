"""Tables of text: comma, semicolon or tab between columns, and decimal commas where it is not the comma."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_LINE = 1_000_000
SEPARATORS = ",;\t"


class Table(NamedTuple):
    """The columns of a table with a header, as text, and the line of the file that each row stands on."""

    columns: dict[str, list[str]]
    line: Sequence[int]
    path: Path
    decimal_comma: bool

    def number(self, name: str) -> np.ndarray:
        """A column as float64, with NaN for empty cells. Raises ValueError, naming the line, for others."""
        cells = self._cells(name)
        found = np.empty(len(cells))
        for row, cell in enumerate(cells):
            text = cell.strip()
            try:
                found[row] = float(text.replace(",", ".") if self.decimal_comma else text) if text else np.nan
            except ValueError:
                raise ValueError(
                    f"{self.path}, line {self.line[row]}: {name} is {cell[:40]!r}, not a number: correct it"
                ) from None
        return found

    def whole(self, name: str) -> np.ndarray:
        """A column of whole numbers from 0 as int64. Raises ValueError, naming the line, for others."""
        numbers = self.number(name)
        with np.errstate(invalid="ignore"):
            bad = ~((numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers)))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"{self.path}, line {self.line[row]}: {name} is {self.columns[name][row][:40]!r}, not a "
                "whole number from 0: correct it"
            )
        return numbers.astype(np.int64)

    def _cells(self, name: str) -> list[str]:
        if name not in self.columns:
            raise ValueError(
                f"{self.path} has no column {name}, and has {', '.join(self.columns)[:200]}: name the "
                "columns in its first line"
            )
        return self.columns[name]

    def gather(
        self,
        frame: np.ndarray,
        person: np.ndarray,
        joint: np.ndarray,
        values: np.ndarray,
        confidence: np.ndarray,
        joints: int,
    ) -> tuple[list[int], list[int], np.ndarray, np.ndarray]:
        """Lines of one keypoint each as rows of people: their frames, their person, (rows, joints, 2) and
        (rows, joints), NaN and 0 for joints without a line. Raises ValueError, naming the line, for a joint
        that a person has twice on a frame.
        """
        pairs, row = np.unique(np.stack([frame, person], axis=-1), axis=0, return_inverse=True)
        place = row.reshape(-1) * joints + joint
        order = np.argsort(place, kind="stable")
        twice = np.flatnonzero(np.diff(place[order]) == 0)
        if twice.size:
            at = order[twice[0] + 1]
            raise ValueError(
                f"{self.path}, line {self.line[at]}: the joint comes twice on frame {frame[at]}: give people "
                "ids of their own, and each joint once"
            )
        keypoints = np.full((len(pairs) * joints, 2), np.nan)
        spread = np.zeros(len(pairs) * joints)
        keypoints[place], spread[place] = values, confidence
        return (
            pairs[:, 0].tolist(),
            pairs[:, 1].tolist(),
            keypoints.reshape(-1, joints, 2),
            spread.reshape(-1, joints),
        )


def header_of(text: str) -> list[str]:
    """The names in a text's first line, in small letters without quotes, whatever separates them."""
    first = text.lstrip()[:10_000].splitlines()[:1]
    return [] if not first else [name.strip(" \"'").lower() for name in first[0].split(_separator(first[0]))]


def read_table(text: str, path: Path) -> Table:
    """The table that a text holds, with the names of its first line in small letters.

    Raises ValueError, naming the line, for rows of other lengths, names that come twice, lines of more than
    MAX_LINE characters and quotes that do not end.
    """
    separator = _separator(text.lstrip().partition("\n")[0])
    reader = csv.reader(io.StringIO(text.lstrip()), delimiter=separator, strict=True)
    names: list[str] = []
    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not names:
                names = [name.strip().lower() for name in row]
                cells = [[] for _ in names]
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{path}, line {reader.line_num} has {len(row)} cells, the first line {len(names)}: "
                    "separate columns by semicolons or tabs if numbers have decimal commas"
                )
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num} is no line of a table ({error}): correct it"
        ) from error
    if len(set(names)) != len(names):
        raise ValueError(f"{path} names a column twice: name each column once in its first line")
    if not lines:
        raise ValueError(f"{path} has no line below its first: nobody was found, or it is cut off")
    return Table(dict(zip(names, cells, strict=True)), lines, path, separator != ",")


def _separator(line: str) -> str:
    """The character that most often separates names in a header."""
    return max(SEPARATORS, key=line.count)
