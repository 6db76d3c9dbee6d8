"""Arrays of (frames, people, joints, …) from archives, as rows."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from gated_lift.readers.detectors.rows import MEND, as_fps, as_size


def number_array(value: np.ndarray, name: str, path: Path) -> Float64[np.ndarray, "..."]:
    """The array as float64. Raises ValueError for dtypes that hold no real numbers."""
    if value.dtype.kind not in "iufb":
        raise ValueError(f"{path}: {name} is {value.dtype}, not an array of numbers: {MEND}")
    return value.astype(np.float64)


def with_people(
    value: np.ndarray, name: str, path: Path, widths: tuple[int, ...]
) -> Float64[np.ndarray, "frames people joints width"]:
    """(frames, people, joints, width) of that, or of one person's (frames, joints, width)."""
    value = number_array(value, name, path)
    if value.ndim == 3:
        value = value[:, None]
    if value.ndim != 4 or value.shape[-1] not in widths or 0 in value.shape:
        raise ValueError(
            f"{path}: {name} has shape {value.shape}, expected (frames, people, joints, "
            f"{' or '.join(map(str, widths))}): {MEND}"
        )
    return value


def flatten(
    value: Float64[np.ndarray, "frames people ..."],
) -> tuple[list[int], Float64[np.ndarray, "rows ..."]]:
    """The frame of each row of (frames, people, …), and these as (rows, …)."""
    frames, people = value.shape[:2]
    return np.repeat(np.arange(frames), people).tolist(), value.reshape(frames * people, *value.shape[2:])


def described(arrays: dict[str, Any], path: Path) -> tuple[float | None, tuple[int, int] | None]:
    """Frames a second and the image's size from the arrays ``fps`` and ``image_size``, None for those that
    are not there. Raises ValueError for malformed ones.
    """
    fps = arrays.get("fps")
    if fps is not None:
        if np.shape(fps) not in ((), (1,)) or np.asarray(fps).dtype.kind not in "iuf":
            raise ValueError(f"{path}: fps has shape {np.shape(fps)}, expected one number: {MEND}")
        fps = as_fps(float(np.ravel(fps)[0]), f"{path}: fps")
    size = arrays.get("image_size")
    if size is not None:
        if np.shape(size) != (2,) or np.asarray(size).dtype.kind not in "iuf":
            raise ValueError(f"{path}: image_size has shape {np.shape(size)}, expected width, height: {MEND}")
        size = as_size(float(size[0]), float(size[1]), f"{path}: image_size")
    return fps, size
