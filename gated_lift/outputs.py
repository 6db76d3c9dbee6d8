"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

# Writes one file, whole, at the path it is given.
Writer = Callable[[Path], None]


def check_free(paths: Iterable[Path], overwrite: bool = False) -> None:
    """Whether files can be written at these paths: for before the work, which may be long.

    Raises FileExistsError for one that is there already unless ``overwrite``, IsADirectoryError where a
    folder has a file's name, and another OSError where a folder on the way is none, or is closed.
    """
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: give the name of a file")
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(
                f"{path} exists: choose another name, or pass overwrite=True (--overwrite) to replace it"
            )
        above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not above.is_dir():
            raise NotADirectoryError(
                f"{path} cannot be written ({above} is no folder): choose another folder"
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(
                f"{path} cannot be written ({above} is closed): choose a folder that you may write to"
            )


def write_whole(writers: Mapping[Path, Writer], overwrite: bool = False) -> tuple[Path, ...]:
    """Writes a set of files so that none of them is ever there half written, and returns their paths.

    Every file is written beside its final place under another name, and all are renamed at the end: an error
    or a full disk before that leaves what was there before. The renames themselves come one after the other,
    so a machine that stops between two of them leaves some files old and some new, each of them whole.
    Missing folders are made.

    Raises what `check_free` raises, and OSError for what cannot be written; nothing has been written then.
    Whatever a writer raises is passed on.
    """
    check_free(writers, overwrite)
    parts: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for path, write in writers.items():
            made += [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            # With its suffix, by which libraries choose a format.
            parts[path] = path.parent / f".{uuid.uuid4().hex}{path.suffix}"
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
        # Folders that were made for nothing, the innermost first.
        for folder in sorted(made, key=lambda each: -len(each.parts)):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return tuple(writers)
