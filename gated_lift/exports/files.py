"""Files that appear whole or not at all, under names that file systems take."""

import importlib
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

# Writes one file, whole, at the path it is given.
Writer = Callable[[Path], None]

MAX_NAME = 60  # characters of a person's name in a file's name
# Windows opens devices under these names, whatever the suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def write_whole(writers: Mapping[Path, Writer], overwrite: bool = False) -> tuple[Path, ...]:
    """Writes a set of files so that none of them is ever there half written, and returns their paths.

    Every file is written beside its final place under another name, and all are renamed at the end: an error
    or a full disk before that leaves what was there before. The renames themselves come one after the other,
    so a machine that stops between two of them leaves some files old and some new, each of them whole.
    Missing folders are made.

    Raises FileExistsError for an existing file unless ``overwrite``, IsADirectoryError where a folder has a
    file's name, and OSError for a folder that cannot be written; nothing has been written then. Whatever a
    writer raises is passed on.
    """
    for path in writers:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: give the name of a file")
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(
                f"{path} exists: choose another name, or pass overwrite=True (--overwrite) to replace it"
            )
    parts: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            parts[path] = path.parent / f".{uuid.uuid4().hex}.part"
            # Opened here first: a library that cannot open a file may say nothing, or not say which.
            with parts[path].open("xb"):
                pass
            write(parts[path])
            with parts[path].open("rb+") as file:
                if not file.seek(0, os.SEEK_END):
                    raise OSError("nothing was written")
                os.fsync(file.fileno())
        for path, part in parts.items():
            os.replace(part, path)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}): choose a folder that you may write to, "
            "with room for it"
        ) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return tuple(writers)


def file_names(names: Sequence[str]) -> tuple[str, ...]:
    """One name a person that every file system takes, in the same order, no two alike.

    Letters and digits of any script, "-", "_" and "." stay; anything else, slashes and spaces included,
    becomes "_". Names that are nothing then become "person", and later ones of equal names get "_2", "_3";
    names that differ only in case count as equal.
    """
    return _unlike([_file_name(name) for name in names])


def ascii_names(names: Sequence[str], longest: int) -> tuple[str, ...]:
    """`file_names` for formats that hold ASCII only: accents are dropped, other letters become "_", and names
    are cut to ``longest`` characters, numbers of equal names included.
    """
    plain = []
    for name in names:
        letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        plain.append(_file_name(letters)[:longest])
    return _unlike(plain, longest)


def require(module: str, format: str) -> ModuleType:
    """An optional library. Raises ImportError that names the extra to install where it is absent."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{format} files need the library {module}: pip install 'gated-lift[exports]'"
        ) from error


def _file_name(name: str) -> str:
    kept = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name))[:MAX_NAME].strip("._")
    # Letters of some scripts take four bytes, and file systems count bytes.
    kept = kept.encode()[: 3 * MAX_NAME].decode(errors="ignore")
    return f"{kept}_" if kept.split(".")[0].lower() in _DEVICES else kept or "person"


def _unlike(names: Sequence[str], longest: int = 2 * MAX_NAME) -> tuple[str, ...]:
    taken: set[str] = set()
    unlike = []
    for name in names:
        other, number = name, 1
        while other.casefold() in taken:
            number += 1
            ending = f"_{number}"
            other = name[: longest - len(ending)] + ending
        taken.add(other.casefold())
        unlike.append(other)
    return tuple(unlike)
