"""Motion from files of any form that is known here, as clips."""

from collections.abc import Callable, Iterable
from pathlib import Path

from gated_lift.clips import MotionClip, validate
from gated_lift.readers.bvh import read_bvh
from gated_lift.readers.c3d import read_c3d
from gated_lift.readers.captures import read_captures

# By what a file's name ends in; the longest ending that fits decides. A new data set is one more line here.
READERS: dict[str, Callable[[Path], tuple[MotionClip, ...]]] = {
    ".npz": read_captures,
    ".bvh": read_bvh,
    ".c3d": read_c3d,
}


def read_clips(paths: Iterable[Path]) -> tuple[MotionClip, ...]:
    """The clips of all files, in their order. Raises ValueError for a file in no form that is known here, and
    as its reader does.
    """
    return tuple(
        validate(clip)._replace(source=str(path)) for path in paths for clip in _reader_of(path)(path)
    )


def _reader_of(path: Path) -> Callable[[Path], tuple[MotionClip, ...]]:
    fitting = [ending for ending in READERS if path.name.lower().endswith(ending)]
    if not fitting:
        raise ValueError(
            f"data {path} is in no form that is known here: give files that end in {', '.join(READERS)}, or "
            "list a reader in gated_lift/readers/motion.py"
        )
    return READERS[max(fitting, key=len)]
