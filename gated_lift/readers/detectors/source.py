"""What lies at a path that somebody calls keypoints: JSON, text or arrays, one file or a folder of frames.

The kind of a file is told by its first bytes, never by its name.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from gated_lift.readers.detectors.rows import Rows
from gated_lift.readers.json_file import parse_json
from gated_lift.readers.npz import npz_names
from gated_lift.readers.text_file import decode, read_bytes
from gated_lift.skeleton import Skeleton

Kind = Literal["json", "json folder", "text", "text folder", "npz", "h5"]

WHAT = "a file of keypoints"
MEND = "write or fetch it again"
SPLIT = (
    "split it by frames into several files that each begin at frame 0, and lift one after the other; or save "
    "the keypoints as .npz (docs/formats.md), which takes half as much or less"
)
MAX_BYTES = 2**29  # an hour of four people in the wordiest format
# Lists and dictionaries of one JSON file. Empty ones are twenty times larger in memory than in a file.
MAX_PARTS = 10_000_000
LEAST_COMPACT = 8
ZIP_MAGIC, HDF_MAGIC = b"PK", b"\x89HDF\r\n\x1a\n"
# Endings that a detector's files of one frame may have; pictures and videos beside them are passed over.
ENDINGS = (".json", ".txt", ".json.gz", ".txt.gz")


class Source(NamedTuple):
    """What lies at a path.

    value: of "json", the value that the file holds; of "text", its text; of "npz", the names of its arrays;
        of "h5", the names of what stands at its root; of a folder, the value or text of its first file that
        is not empty.
    files: of a folder, its files in the order of their names; otherwise empty.
    """

    path: Path
    kind: Kind
    value: Any
    files: tuple[Path, ...] = ()


class Options(NamedTuple):
    """What the caller knows of a file. skeleton: that of its joints, or None to find out. allow_pickle:
    whether arrays may be pickled objects, as `npz.read_npz` says.
    """

    skeleton: Skeleton | None = None
    allow_pickle: bool = False


class Format(NamedTuple):
    """One format of keypoint files.

    name: as ``--format`` takes it. what: how messages call such a file, with its article.
    recognise: whether a source looks like one; cheap, and never raises. read: its rows; raises ValueError,
    naming the file, the frame where it applies and the mend, for everything that is wrong inside.
    """

    name: str
    what: str
    recognise: Callable[[Source], bool]
    read: Callable[[Source, Options], Rows]


def open_source(path: str | Path) -> Source:
    """Looks at a file or a folder. A folder that holds a single file of keypoints is that file.

    Raises FileNotFoundError if there is nothing at ``path``, and ValueError, naming the file and the mend,
    for empty files and folders, folders that mix kinds of files, text that is not UTF-8, damaged JSON, gzip
    and archives, files of more than MAX_BYTES, packed or unpacked, and files that cannot be read.
    """
    path = Path(path)
    try:
        return _open_folder(path) if path.is_dir() else open_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(
            f"{error.filename or path} cannot be read ({error.strerror}): check its permissions"
        ) from error


def open_file(path: Path) -> Source:
    """`open_source` of a file."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(ZIP_MAGIC):
        return Source(path, "npz", npz_names(path))
    if start.startswith(HDF_MAGIC):
        from gated_lift.readers.detectors.h5_file import h5_names

        return Source(path, "h5", h5_names(path))
    text = read_text(path)
    if text.lstrip()[:1] in ("[", "{"):
        return Source(path, "json", read_json(path, text))
    return Source(path, "text", text)


def read_text(path: Path) -> str:
    """The text of one file. Raises ValueError for an empty one, and as `text_file.read_bytes` does."""
    data = read_bytes(path, WHAT, MEND, MAX_BYTES, SPLIT)
    text = decode(data, path, WHAT, MEND)
    if not text.strip():
        raise ValueError(f"{path} is empty: {MEND}")
    if "\0" in text:
        raise ValueError(f"{path} is not {WHAT} (it holds zero bytes): {MEND}")
    return text


def read_json(path: Path, text: str | None = None) -> Any:
    """The value of one JSON file, in which NaN and infinities may stand for numbers, with longer lists of
    numbers in dictionaries as float64 arrays (null is NaN). Raises ValueError as `json_file.parse_json` does,
    and for more than MAX_PARTS lists and dictionaries.
    """
    text = read_text(path) if text is None else text
    if text.count("[") + text.count("{") > MAX_PARTS:
        raise ValueError(
            f"{path} is not {WHAT} (it has more than {MAX_PARTS} lists and dictionaries): {SPLIT}"
        )
    return parse_json(text, str(path), WHAT, MEND, allow_nan=True, of_object=_compact)


def _compact(held: dict[str, Any]) -> dict[str, Any]:
    """A dictionary whose lists of numbers, and lists of equally long lists of numbers, from LEAST_COMPACT on
    are float64 arrays: a fifth of the memory.
    """
    for key, value in held.items():
        if type(value) is not list or len(value) < LEAST_COMPACT:
            continue
        kinds = set(map(type, value))
        rows = kinds == {list} and len(set(map(len, value))) == 1
        flat = [number for row in value for number in row] if rows else value
        if flat and set(map(type, flat)) <= {int, float, type(None)}:
            array = np.array(flat, np.float64)
            held[key] = array.reshape(len(value), -1) if rows else array
    return held


def drain(entries: list[Any]) -> Iterator[tuple[int, Any]]:
    """The entries of a list with their numbers, each taken out of the list as it comes: what was read of
    hours of video is not kept beside what is made of it.
    """
    for number, entry in enumerate(entries):
        entries[number] = None
        yield number, entry


def _open_folder(path: Path) -> Source:
    files = tuple(
        file for file in sorted(path.iterdir()) if file.name.lower().endswith(ENDINGS) and file.is_file()
    )
    if not files:
        others = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
        if len(others) == 1:
            return open_file(others[0])
        raise ValueError(
            f"{path} holds no .json or .txt file: give the folder that the detector wrote, or one file"
        )
    if len(files) == 1:
        return open_file(files[0])
    endings = {file.name.lower().removesuffix(".gz").rsplit(".", 1)[-1] for file in files}
    if len(endings) > 1:
        raise ValueError(
            f"{path} mixes .json and .txt files: give a folder with the files of one detector, or one file"
        )
    if endings == {"json"}:
        # Some detectors write an empty list for a frame with nobody.
        first: Any = next((value for value in map(read_json, files) if value), [])
        return Source(path, "json folder", first, files)
    # A label file of a frame with nobody is empty.
    filled = next((file for file in files if file.stat().st_size), None)
    if filled is None:
        raise ValueError(f"{path} holds empty files only: nobody was found, or the detector was stopped")
    return Source(path, "text folder", read_text(filled), files)
