"""DeepLabCut's tables of poses, CSV or HDF5: columns of scorer, individuals (with several animals), bodyparts
and coords (x, y, likelihood), a row a frame.

Joints go by the body parts' names, NaN is hidden, an individual is a person of that name. The
likelihood is 0 to 1. Tables that pandas wrote hold their columns' names as pickles, which are read without
calling any code.
"""

import csv
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.readers.detectors.h5_file import open_h5, read_array
from gated_lift.readers.detectors.layouts import MAX_NAMES, named_skeleton, take
from gated_lift.readers.detectors.rows import Rows, count_names
from gated_lift.readers.detectors.source import Format, Options, Source
from gated_lift.readers.detectors.table import lines_of
from gated_lift.readers.npz import unpickle_plain

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
COORDS = ("x", "y", "likelihood")


def recognise(source: Source) -> bool:
    if source.kind == "h5":
        return bool({"df_with_missing", "keypoints"} & set(source.value)) or (
            len(source.value) == 1 and "tracks" not in source.value
        )
    return source.kind == "text" and source.value.lstrip().startswith("scorer,")


def read(source: Source, options: Options) -> Rows:
    path = source.path
    if source.kind == "h5":
        columns, values, frame = _read_h5(source)
    elif source.kind == "text":
        columns, values, frame = _read_csv(source)
    else:
        raise ValueError(f"{path} is neither CSV nor HDF5: give the table that DeepLabCut wrote")
    places: dict[tuple[str, str], dict[str, int]] = {}
    for number, column in enumerate(columns):
        *_, individual, part, coord = ("", *column)[-4:] if len(column) == 4 else ("", "", *column[-2:])
        places.setdefault((individual, part), {})[coord] = number
    individuals = list(dict.fromkeys(individual for individual, _ in places))
    names = list(dict.fromkeys(part for _, part in places))
    # Animals may have parts of their own, but a table of differences would be mostly empty.
    if len(individuals) * len(names) > 4 * len(places) or len(names) > MAX_NAMES:
        raise ValueError(
            f"{path} has {len(individuals)} individuals with {len(names)} body parts, few of which they "
            "share: give individuals the same body parts"
        )
    frames = len(values)
    found = np.full((frames, len(individuals), len(names), 3), np.nan)
    for (individual, part), of_coord in places.items():
        if not set(COORDS[:2]) <= set(of_coord):
            raise ValueError(f"{path}: {part[:40]!r} has no columns x and y: give DeepLabCut's table")
        at = individuals.index(individual), names.index(part)
        for place, coord in enumerate(COORDS):
            found[:, at[0], at[1], place] = values[:, of_coord[coord]] if coord in of_coord else 1.0
    skeleton, index = named_skeleton(names, options.skeleton, "deeplabcut", path)
    rows = found.reshape(frames * len(individuals), len(names), 3)
    # Names that are alike, or nothing, once written plainly tell nobody apart.
    _, people_names = count_names(individuals)
    ids = None if individuals == [""] else list(range(len(individuals))) * frames
    return Rows(
        np.repeat(frame, len(individuals)).tolist(),
        take(rows[..., :2], index),
        take(rows[..., 2], index),
        ids,
        skeleton,
        names=people_names if len(people_names) == len(individuals) else (),
    )


def _read_csv(source: Source) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    path = source.path
    header: list[list[str]] = []
    numbers = array("d")
    reader = csv.reader(lines_of(source.value), strict=True)
    try:
        for row in reader:
            if not row:
                continue
            if row[0] in LEVELS and not numbers:
                header.append(row[1:])
                continue
            if not header or len(row) != len(header[0]) + 1:
                raise ValueError(
                    f"{path}, line {reader.line_num} has {len(row)} cells, expected "
                    f"{len(header[0]) + 1 if header else 'a header first'}: give DeepLabCut's table"
                )
            try:
                numbers.extend([float(cell) if cell.strip() else np.nan for cell in row])
            except ValueError:
                raise ValueError(
                    f"{path}, line {reader.line_num}: a cell is no number: give DeepLabCut's table of a video"
                ) from None
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num} is no line of a table ({error}): correct it"
        ) from error
    if (
        len(header) not in (3, 4)
        or len({len(level) for level in header}) != 1
        or not numbers
        or not header[0]
    ):
        raise ValueError(f"{path} has no header of scorer, bodyparts and coords with rows: {_MEND}")
    table = np.array(numbers, np.float64).reshape(-1, len(header[0]) + 1)
    return list(zip(*header, strict=True)), table[:, 1:], _frames(table[:, 0], path)


def _read_h5(source: Source) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    path = source.path
    key = "df_with_missing" if "df_with_missing" in source.value else str(source.value[0])
    with open_h5(path) as file:
        group = file[key]
        if "table" in group:
            return _read_appendable(group, path)
        return _read_fixed(group, path)


def _read_appendable(group: Any, path: Path) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """The layout of ``to_hdf(format="table")``, which DeepLabCut uses."""
    table = read_array(group, "table", path)
    columns: list[tuple[str, ...]] = []
    blocks: list[np.ndarray] = []
    for name in table.dtype.names or ():
        if not name.startswith("values_block_"):
            continue
        raw = group["table"].attrs.get(f"{name}_kind")
        kind = unpickle_plain(bytes(raw), f"{path}: {name}") if isinstance(raw, bytes) else None
        block = np.asarray(table[name], np.float64).reshape(len(table), -1)
        if not isinstance(kind, list) or len(kind) != block.shape[1]:
            raise ValueError(f"{path}: the names of {name} do not fit its columns: {_MEND}")
        columns += [_column(each, path) for each in kind]
        blocks.append(block)
    if not blocks or "index" not in (table.dtype.names or ()):
        raise ValueError(f"{path} holds no table of poses: {_MEND}")
    return columns, np.concatenate(blocks, axis=1), _frames(np.asarray(table["index"], np.float64), path)


def _read_fixed(group: Any, path: Path) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """The layout of ``to_hdf`` by default."""
    levels = []
    for number in range(4):
        if f"block0_items_level{number}" in group:
            level = read_array(group, f"block0_items_level{number}", path)
            label = read_array(group, f"block0_items_label{number}", path)
            if label.size and not 0 <= int(label.min()) <= int(label.max()) < len(level):
                raise ValueError(f"{path}: the names of its columns do not fit: {_MEND}")
            levels.append([level[each] for each in label])
    values = np.asarray(read_array(group, "block0_values", path), np.float64)
    index = np.asarray(read_array(group, "axis1", path), np.float64)
    fits = len(levels) >= 3 and values.ndim == 2 and all(len(level) == values.shape[1] for level in levels)
    if not fits or index.shape != values.shape[:1]:
        raise ValueError(f"{path} holds no table of poses: {_MEND}")
    return [_column(each, path) for each in zip(*levels, strict=True)], values, _frames(index, path)


def _column(value: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(value, tuple) or len(value) not in (3, 4):
        raise ValueError(
            f"{path}: a column is {str(value)[:40]!r}, expected scorer, bodyparts and coords: {_MEND}"
        )
    return tuple(part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in value)


def _frames(index: np.ndarray, path: Path) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        whole = (index >= 0) & (index < 2**53) & (index == np.floor(index))
    if not len(index) or not whole.all():
        raise ValueError(f"{path}: its rows are not numbered by frames from 0: give the table of a video")
    if len(np.unique(index)) != len(index):
        raise ValueError(f"{path} has a frame twice: give the table of one video")
    return index.astype(np.int64)


_MEND = "give the table that DeepLabCut wrote"
FORMAT = Format("deeplabcut", "DeepLabCut's table", recognise, read)
