"""Tables of text: comma, semicolon or tab between columns, and decimal commas where it is not the comma."""

import csv
from array import array
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

SEPARATORS = ",;\t"
MAX_KEYPOINTS = 2**26  # a GiB of coordinates


class Table(NamedTuple):
    """Some columns of a table with a header. numbers: by name, float64, NaN for empty cells. texts: by name.
    line: the line of the file that each row stands on. header: the names of all columns.
    """

    numbers: dict[str, np.ndarray]
    texts: dict[str, list[str]]
    line: np.ndarray
    header: Sequence[str]
    path: Path

    def number(self, name: str) -> np.ndarray:
        """A column of numbers. Raises ValueError if there is none of that name."""
        self._check(name)
        return self.numbers[name]

    def text(self, name: str) -> list[str]:
        """A column of texts without space around them. Raises ValueError if there is none of that name."""
        self._check(name)
        return self.texts[name]

    def whole(self, name: str) -> np.ndarray:
        """A column of whole numbers from 0 as int64. Raises ValueError, naming the line, for others."""
        numbers = self.number(name)
        with np.errstate(invalid="ignore"):
            bad = ~((numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers)))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"{self.path}, line {self.line[row]}: {name} is {numbers[row]:g}, not a whole number from 0: "
                "correct it"
            )
        return numbers.astype(np.int64)

    def times(self, frame: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The frames that have lines, rising, and the time of each. Raises ValueError, naming the line, for a
        frame whose lines do not agree.
        """
        known, first, inverse = np.unique(frame, return_index=True, return_inverse=True)
        of_frame = time[first]
        wrong = np.abs(time - of_frame[inverse.reshape(-1)]) > 1e-6
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"{self.path}, line {self.line[row]}: frame {frame[row]} has two times: give each frame one"
            )
        return known, of_frame

    def _check(self, name: str) -> None:
        if name not in self.header:
            raise ValueError(
                f"{self.path} has no column {name}, and has {', '.join(self.header)[:200]}: name the "
                "columns in its first line"
            )

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
        that a person has twice on a frame, and for more than MAX_KEYPOINTS.
        """
        frames, of_frame = np.unique(frame, return_inverse=True)
        people, of_person = np.unique(person, return_inverse=True)
        pairs, row = np.unique(of_frame * len(people) + of_person, return_inverse=True)
        if len(pairs) * joints > MAX_KEYPOINTS:
            raise ValueError(
                f"{self.path} has {len(pairs)} people of {joints} joints on all frames together, more than "
                "are read at once: cut it into clips"
            )
        place = row * joints + joint
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
            frames[pairs // len(people)].tolist(),
            people[pairs % len(people)].tolist(),
            keypoints.reshape(-1, joints, 2),
            spread.reshape(-1, joints),
        )


def header_of(text: str) -> list[str]:
    """The names in a text's first line, in small letters without quotes, whatever separates them."""
    first = text.lstrip()[:10_000].splitlines()[:1]
    return [] if not first else [name.strip(" \"'").lower() for name in first[0].split(_separator(first[0]))]


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text, one after another and each with its end; no second copy of the text is made."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def read_table(text: str, path: Path, numbers: Collection[str], texts: Collection[str] = ()) -> Table:
    """The table that a text holds, with the names of its first line in small letters.

    numbers, texts: the columns that are read where they are there; others are passed over.

    Raises ValueError, naming the line, for rows of other lengths, cells of ``numbers`` that are none, names
    that come twice and quotes that do not end.
    """
    lines = lines_of(text)
    first = next((line for line in lines if line.strip()), "")
    separator = _separator(first)
    names = [name.strip(" \r\n\"'").lower() for name in first.split(separator)]
    if len(set(names)) != len(names):
        raise ValueError(f"{path} names a column twice: name each column once in its first line")
    before = text.count("\n", 0, text.find(first) + len(first))
    values = {name: array("d") for name in names if name in numbers}
    words: dict[str, list[str]] = {name: [] for name in names if name in texts}
    known: dict[str, str] = {}  # each text is kept once
    stands = array("q")
    # A comma that does not separate columns may be a decimal comma.
    comma = "," if separator != "," else None
    places = [(names.index(name), name, column) for name, column in values.items()]
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in reader:
            line = before + reader.line_num
            if not any(cell and not cell.isspace() for cell in row):
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{path}, line {line} has {len(row)} cells, the first line {len(names)}: separate "
                    "columns by semicolons or tabs if numbers have decimal commas"
                )
            for place, name, column in places:
                column.append(_number(row[place], comma, name, line, path))
            for name, column_of_words in words.items():
                word = row[names.index(name)].strip()
                column_of_words.append(known.setdefault(word, word))
            stands.append(line)
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {before + reader.line_num} is no line of a table ({error}): correct it"
        ) from error
    if not stands:
        raise ValueError(f"{path} has no line below its first: nobody was found, or it is cut off")
    columns = {name: np.array(column, np.float64) for name, column in values.items()}
    return Table(columns, words, np.array(stands, np.int64), names, path)


def _number(cell: str, comma: str | None, name: str, line: int, path: Path) -> float:
    text = cell.strip()
    try:
        return float(text.replace(comma, ".") if comma else text) if text else float("nan")
    except ValueError:
        raise ValueError(f"{path}, line {line}: {name} is {cell[:40]!r}, not a number: correct it") from None


def _separator(line: str) -> str:
    """The character that most often separates names in a header."""
    return max(SEPARATORS, key=line.count)
