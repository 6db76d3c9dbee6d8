"""Reading NumPy archives that others made: sizes are checked before memory is spent, pickles are opt-in."""

import io
import math
import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAX_BYTES = 2**31  # room for an hour of 50 fps motion capture many times over

# What NumPy itself writes into a pickle of arrays, dictionaries and lists. Anything else is refused.
_PICKLE_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
# A damaged pickle is a damaged program: these are what running one was seen to raise.
_UNPICKLING_ERRORS = (
    *(pickle.UnpicklingError, LookupError, AttributeError, TypeError, ValueError, OverflowError),
    *(EOFError, MemoryError, RuntimeError, SystemError),
)


# What a damaged archive makes zipfile raise; the name before an array's bytes may be no text.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, UnicodeDecodeError)


def read_npz(
    path: str | Path,
    names: Sequence[str],
    optional: Sequence[str] = (),
    allow_pickle: bool = False,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Reads the arrays `names`, and those of `optional` that are there, from a ``.npz`` file.

    Each array's declared shape and dtype are compared with the archive's own sizes before anything is
    unpacked, and the arrays together may take `max_bytes`. Arrays of Python objects are pickles: they are
    refused unless `allow_pickle`, and then they may hold arrays, dictionaries, lists, tuples, strings and
    numbers only; such an array of shape () comes back as the object in it. That stops a pickle from calling
    code, not from crashing NumPy with malformed arrays, so a stranger's pickle stays a risk. Raises
    FileNotFoundError for a missing file and ValueError, with the file's name and the mend, for everything
    that is wrong inside one.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read_members(archive, path, names, optional, allow_pickle, max_bytes)
        # An OSError once the file is open is a seek to where a damaged directory points.
        except _BROKEN as error:
            raise ValueError(
                f"{path} is not a whole .npz archive ({_short(error)}): fetch or write it again"
            ) from error


def npz_names(path: str | Path) -> tuple[str, ...]:
    """The names of the arrays in a ``.npz`` file. Nothing is unpacked. Raises as `read_npz` does for a file
    that is no archive.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                held = archive.namelist()
        except (*_BROKEN, ValueError) as error:
            raise ValueError(
                f"{path} is not a whole .npz archive ({_short(error)}): fetch or write it again"
            ) from error
    return tuple(name.removesuffix(".npy") for name in held if name.endswith(".npy"))


def _short(error: Exception) -> str:
    """One line of an error that may quote the archive's own bytes at any length."""
    return " ".join(str(error).split())[:120]


def _read_members(
    archive: zipfile.ZipFile,
    path: Path,
    names: Sequence[str],
    optional: Sequence[str],
    allow_pickle: bool,
    max_bytes: int,
) -> dict[str, Any]:
    present = {info.filename: info for info in archive.infolist()}
    missing = [name for name in names if f"{name}.npy" not in present]
    if missing:
        held = ", ".join(sorted(name.removesuffix(".npy") for name in present)) or "nothing"
        raise ValueError(
            f"{path} lacks {', '.join(missing)} and holds {held}: give a file in the layout that this reader "
            "is for"
        )
    wanted = [*names, *(name for name in optional if f"{name}.npy" in present)]
    infos = [present[f"{name}.npy"] for name in wanted]
    declared = sum(info.file_size for info in infos)
    if declared > max_bytes:
        raise ValueError(
            f"{path} unpacks to {declared} bytes, max_bytes is {max_bytes}: save it in parts, or raise "
            "max_bytes if you trust it"
        )
    return {
        name: _read_member(archive, info, path, allow_pickle)
        for name, info in zip(wanted, infos, strict=True)
    }


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, allow_pickle: bool) -> Any:
    # LZMA's dictionaries can ask for memory that no declared size bounds; NumPy never writes them.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{path}: {info.filename} is packed as NumPy never does: save it again with np.savez"
        )
    data = archive.read(info)
    stream = io.BytesIO(data)
    shape, fortran_order, dtype = _read_header(stream, info, path)
    if dtype.hasobject:
        return _read_objects(stream, info, path, shape, dtype, allow_pickle)
    # The header may claim any shape: nothing is allocated until what is there agrees.
    size, held = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if size != held or dtype.itemsize == 0:
        raise ValueError(
            f"{path}: {info.filename} declares {shape} {dtype}, {size} bytes, but holds {held}: fetch or "
            "write the file again"
        )
    return np.ndarray(shape, dtype, data, stream.tell(), order="F" if fortran_order else "C")


def _read_header(
    stream: io.BytesIO, info: zipfile.ZipInfo, path: Path
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"its format version is {version}")
    # NumPy reads the header as Python text, so a damaged one fails in the tokenizer too.
    except (ValueError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(
            f"{path}: {info.filename} is not a NumPy array ({_short(error)}): save it again with np.savez"
        ) from error
    shape, _, _ = header
    if any(side < 0 for side in shape):
        raise ValueError(f"{path}: {info.filename} declares the shape {shape}: fetch or write the file again")
    return header


def _read_objects(
    stream: io.BytesIO,
    info: zipfile.ZipInfo,
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    allow_pickle: bool,
) -> Any:
    if not allow_pickle:
        raise ValueError(
            f"{path}: {info.filename} holds pickled Python objects. A pickle can run any code of its author "
            "when it is read: pass allow_pickle=True only for a file from someone you trust, or save plain "
            "arrays instead"
        )
    if dtype != np.dtype(object):
        raise ValueError(f"{path}: {info.filename} mixes objects into {dtype}: save plain arrays instead")
    try:
        objects = _ArrayUnpickler(stream, encoding="latin1").load()
    except _UNPICKLING_ERRORS as error:
        raise ValueError(f"{path}: {info.filename} cannot be unpickled: {error}") from error
    if not isinstance(objects, np.ndarray) or objects.shape != shape:
        raise ValueError(f"{path}: {info.filename} does not hold the array it declares: write it again")
    return objects[()] if shape == () else objects


def unpickle_plain(data: bytes, where: str) -> Any:
    """The plain containers, strings, numbers and arrays of a pickle that can call no other code. ``where`` is
    for the message. Raises ValueError for every other pickle.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except _UNPICKLING_ERRORS as error:
        raise ValueError(f"{where} cannot be unpickled: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and Python's plain containers, and nothing that could call other code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLE_NAMES:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which arrays and plain containers do not need: do not trust it"
            )
        return super().find_class(module, name)
