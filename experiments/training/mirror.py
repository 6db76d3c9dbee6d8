"""A copy of a run in a bucket: what a machine has written is still there when its disk is gone.

A run writes to a folder on a disk, because it needs what no bucket gives: a lock, renames that happen at
once, files that grow. Only complete steps are copied, each with its manifest last, so that a copy which was
interrupted is no step; the newest of them is what a run on an empty disk goes on from.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epath

from experiments import runs
from gated_lift.networks import checkpoints

FILES = (runs.CONFIG, runs.DATA, runs.LOG, "curves.png")
FOLDERS = ("checkpoints", "best")


def place(mirror: str) -> epath.Path:
    """Where a mirror is: gs://bucket/run, s3://bucket/run, or a folder.

    Raises ValueError for other addresses, and where what reads and writes them is not installed.
    """
    try:
        found = epath.Path(mirror)
        found.exists()
    except ImportError as error:
        raise ValueError(
            f"mirror {mirror} needs a package that is not installed ({error}): "
            "pip install 'gated-lift[buckets]'"
        ) from error
    except Exception as error:  # every bucket's client has errors of its own
        raise ValueError(f"mirror {mirror} cannot be reached ({_reason(error)})") from error
    if re.match(r"\w{2,}:/", mirror) and not str(found).startswith(("gs://", "s3://")):
        raise ValueError(f"mirror {mirror}: give gs://bucket/run, s3://bucket/run or a folder")
    return found


def newest_step(mirror: epath.Path) -> int | None:
    """The newest complete step of the training that is there, or None. Raises OSError where that cannot be
    told.
    """
    with _named(f"{mirror} could not be read"):
        return max(_complete(mirror / "checkpoints"), default=None)


def push(folder: Path, step: int, mirror: epath.Path) -> None:
    """Copies a complete step of a run's ``checkpoints`` or ``best``, and the run's other files; then removes
    steps from the mirror that the run no longer keeps.

    Raises OSError, with the reason, for what cannot be copied.
    """
    push_files(folder.parent, mirror)
    there = mirror / folder.name
    with _named(f"{mirror} could not be written"):
        for path in sorted((folder / str(step)).rglob("*")):
            if path.is_file():
                _copy(path, there / path.relative_to(folder).as_posix())
        # Last: until then the step is none.
        _copy(folder / f"{step}.sha256", there / f"{step}.sha256")
        for stale in _complete(there):
            if stale < step and not (folder / f"{stale}.sha256").exists():
                (there / f"{stale}.sha256").unlink()
                (there / str(stale)).rmtree()


def push_files(output: Path, mirror: epath.Path) -> None:
    """Copies a run's configuration, data, log and curves, as far as they are there. Raises OSError for what
    cannot be copied.
    """
    with _named(f"{mirror} could not be written"):
        for name in FILES:
            if (output / name).exists():
                _copy(output / name, mirror / name)


def pull(mirror: epath.Path, output: Path) -> int | None:
    """Copies a run back to a disk that has no complete step of it, and returns the step that it goes on from;
    None where the mirror has none, or the disk has that step itself.

    Raises ValueError where the disk has an older step than the mirror, which to go on from would undo what
    has been done since, and OSError where something cannot be copied. What comes is verified when it is read.
    """
    here, there = checkpoints.newest_step(output / "checkpoints"), newest_step(mirror)
    if there is None or (here is not None and here >= there):
        return None
    if here is not None:
        raise ValueError(
            f"mirror {mirror} has step {there}, output {output} step {here}: give an empty folder to go on "
            "from the mirror, or another mirror"
        )
    with _named(f"{mirror} could not be copied to {output}"):
        for name in FOLDERS:
            for step in _complete(mirror / name):
                for path in _files(mirror / name / str(step)):
                    _copy(path, output / name / str(step) / path.relative_to(mirror / name / str(step)))
                _copy(mirror / name / f"{step}.sha256", output / name / f"{step}.sha256")
        for name in FILES:
            if (mirror / name).exists():
                _copy(mirror / name, output / name)
    return there


@contextmanager
def _named(failure: str) -> Iterator[None]:
    """Whatever the block raises becomes an OSError: every bucket's client has errors of its own."""
    try:
        yield
    except Exception as error:  # of whatever kind
        raise OSError(f"{failure} ({_reason(error)})") from error


def _complete(folder: epath.Path) -> list[int]:
    if not folder.exists():
        return []
    names = {path.name for path in folder.iterdir()}
    steps = [name.removesuffix(".sha256") for name in names if re.fullmatch(r"[0-9]+\.sha256", name)]
    return sorted(int(step) for step in steps if step in names)


def _files(folder: epath.Path) -> Iterable[epath.Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _copy(source: Path | epath.Path, target: Path | epath.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
