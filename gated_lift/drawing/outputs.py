"""Pages and films that appear whole or not at all."""

import os
import uuid
from collections.abc import Callable
from os import PathLike
from pathlib import Path


def write_whole(path: str | PathLike[str], write: Callable[[Path], None], overwrite: bool = False) -> Path:
    """Lets ``write`` make a file under another name beside ``path``, and renames it when it is complete.

    ``write`` is given a path with the same suffix, as libraries choose a format by it. An error on the way
    leaves whatever was there before and nothing else. Missing folders are made. Returns the path.

    Raises FileExistsError for an existing file unless ``overwrite``, IsADirectoryError where a folder has the
    name, and OSError for a folder that cannot be written, before ``write`` is called; whatever that raises is
    passed on.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{path} exists: choose another name, or pass overwrite=True (--overwrite) to replace it"
        )
    part = path.parent / f".{uuid.uuid4().hex}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Minutes of drawing should not end with a folder that turns out to be closed.
        part.touch(exist_ok=False)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}): choose a folder that you may write to"
        ) from error
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
