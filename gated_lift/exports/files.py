"""Names that file systems take, and libraries that may be absent."""

import importlib
import re
import unicodedata
from collections.abc import Sequence
from types import ModuleType

MAX_NAME = 60  # characters of a person's name in a file's name
# Windows opens devices under these names, whatever the suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


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
