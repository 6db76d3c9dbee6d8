"""Opening HDF5 files, for which the extra ``h5`` is needed, with every fault as a ValueError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_NUMBERS = 2**27  # one array of float64 in 1 GiB


@contextmanager
def open_h5(path: Path) -> Iterator[Any]:
    """An open ``h5py.File``. Raises ValueError, naming the extra, where ``h5py`` is not installed, and for
    files that are damaged; also around what is done with the file inside.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path} is an HDF5 file, which needs h5py: pip install 'gated-lift[h5]'") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    # What h5py was seen to raise on damaged files, besides ValueError.
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is a damaged HDF5 file ({error}): fetch or write it again") from error


def h5_names(path: Path) -> tuple[str, ...]:
    """The names of what stands at the root of a file."""
    with open_h5(path) as file:
        return tuple(str(name) for name in file)


def read_array(file: Any, name: str, path: Path) -> Any:
    """A data set as a NumPy array. Raises ValueError if it is missing or larger than MAX_NUMBERS."""
    import h5py

    held = file.get(name)
    if not isinstance(held, h5py.Dataset):
        raise ValueError(f"{path} has no data set {name}, and has {', '.join(file)[:200]}: write it again")
    # A few bytes of a damaged or hostile file can declare any size.
    if held.size is None or held.size * max(held.dtype.itemsize, 1) > 8 * MAX_NUMBERS:
        raise ValueError(
            f"{path}: {name} has shape {held.shape}, more than is read at once: cut it into clips"
        )
    return held[()]


def texts_of(values: Any) -> list[str]:
    """The texts of a data set of texts, which h5py gives as bytes or as text."""
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
