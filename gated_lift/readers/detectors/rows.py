"""What every reader hands over, one row a person and frame, and the checks that all of them share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.people import Detections
from gated_lift.skeleton import Skeleton

MAX_FRAMES = 4_000_000  # eighteen hours at 60 frames a second
MAX_SIDE = 100_000  # pixels
# Frames a second. With fewer nothing is known of how people move from one frame to the next.
LEAST_FPS, MOST_FPS = 1.0, 100_000.0
# Coordinates mostly up to here are shares of the image: nobody is two pixels tall, and a landmark outside the
# image may lie beyond 1.
NORMALISED = 2.0
# Widths or heights of the image that a keypoint may lie outside.
OUTSIDE = 10.0
MEND = "write or fetch the file again"
LONGEST_NAME = 80  # characters of a person's name


class Rows(NamedTuple):
    """Keypoints as a file gives them, before what means hidden is sorted out.

    frame: the frame of each row, from 0. keypoints: (rows, joints, 2) pixels or shares of the image.
    confidence: (rows, joints), mapped to 0–1 already; zero, less, and NaN mean hidden.
    ids: who each row is, -1 for nobody known; None where the file does not say.
    num_frames: frames that the file lists, with people or without, or 0 to go by the last row.
    normalised: whether coordinates are shares of the image's width and height; None to see from the numbers.
    names: what the file calls its people, of whom ids are the places here; empty where it only numbers them.
    """

    frame: Sequence[int]
    keypoints: Float[np.ndarray, "rows joints 2"]
    confidence: Float[np.ndarray, "rows joints"]
    ids: Sequence[int] | None
    skeleton: Skeleton
    num_frames: int = 0
    fps: float | None = None
    times: Float[np.ndarray, " frames"] | None = None
    image_size: tuple[int, int] | None = None
    normalised: bool | None = None
    names: Sequence[str] = ()


def finish(
    rows: Rows,
    path: Path,
    name: str,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> Detections:
    """`Detections` of a file's rows, in the order of frames; within a frame in the file's order.

    A keypoint is hidden, NaN with confidence 0, where its confidence is zero or less or NaN, where a
    coordinate is NaN, and where it is exactly (0, 0). Rows without any other keypoint are left out, and so is
    a row that repeats another of its frame in every number. Confidences above 1 count as 1. Normalised
    coordinates become pixels.

    path, name: of the file and the format. fps, image_size: the caller's, which come before the file's frame
    rate and have to agree with the file's size.

    Raises ValueError, naming the file, the frame and the mend, where no row is left, frames are negative or
    beyond MAX_FRAMES, numbers are infinite, coordinates lie far outside the image or mostly outside it,
    normalised coordinates have no image size, image sizes differ, and an id comes twice on a frame.
    """
    if image_size is not None and rows.image_size is not None and image_size != rows.image_size:
        raise ValueError(
            f"{path} is of a {_size(rows.image_size)} video, image_size is {_size(image_size)}: leave "
            "image_size out, or give the file of the video that you mean"
        )
    size = image_size or rows.image_size
    frame, keypoints, confidence, ids = _hide(rows, path)
    visible = confidence > 0
    shares = _to_pixels(rows, path, frame, keypoints, visible, size)
    _check_inside(path, frame, keypoints, visible, size, shares)
    ids = _check_ids(path, frame, ids, rows.names)
    num_frames = max(rows.num_frames, int(frame[-1]) + 1)
    times = rows.times
    if times is not None:
        num_frames = max(num_frames, len(times))
    if num_frames > MAX_FRAMES:
        raise ValueError(
            f"{path} goes to frame {num_frames - 1}, beyond {MAX_FRAMES - 1}: number the frames, or name the "
            "images, in the video's order from 0"
        )
    return Detections(
        frame=frame,
        keypoints=keypoints.astype(np.float32),
        confidence=confidence.astype(np.float32),
        ids=ids,
        skeleton=rows.skeleton,
        num_frames=num_frames,
        fps=fps if fps is not None else rows.fps,
        times=times,
        image_size=size,
        format=name,
        source=str(path),
        names=() if ids is None else tuple(rows.names),
    )


def times_of_all(
    known: Int[np.ndarray, " some"], times: Float[np.ndarray, " some"], where: str
) -> Float[np.ndarray, " frames"] | None:
    """Seconds of all frames from 0, of those of the rising frames ``known``: others lie evenly between them,
    and those before the first as far apart as the first two known ones. None where frames go beyond
    MAX_FRAMES, which `finish` refuses.

    Raises ValueError, beginning with ``where``, for times that are not finite or do not rise.
    """
    wrong = ~np.isfinite(times)
    wrong[1:] |= ~(np.diff(times) > 0)
    if wrong.any():
        raise ValueError(
            f"{where}: frame {known[wrong.argmax()]} is not later than the frame before it: number frames in "
            "time's order"
        )
    if known[-1] >= MAX_FRAMES:
        return None
    step = (times[1] - times[0]) / (known[1] - known[0]) if len(known) > 1 else 0.0
    found = np.interp(np.arange(known[-1] + 1), known, times)
    before = np.arange(known[0])
    found[before] = times[0] - (known[0] - before) * step
    return found


def as_numbers(value: Any, where: str, shape: tuple[int | None, ...], mend: str = MEND) -> np.ndarray:
    """A float64 array of nested lists of numbers, or an array of them as `source.read_json` makes them; null
    is NaN. shape: with None where any length will do.

    Raises ValueError, beginning with ``where`` and ending with ``mend``, for any other value.
    """
    if isinstance(value, np.ndarray):
        return _of_shape(value, where, shape, mend)
    flat = value
    for _ in shape[1:]:
        if not isinstance(flat, list) or not all(isinstance(part, list) for part in flat):
            raise ValueError(f"{where} is not {_shape(shape)} numbers: {mend}")
        flat = [number for part in flat for number in part]
    if not isinstance(flat, list) or not set(map(type, flat)) <= {int, float, type(None)}:
        raise ValueError(f"{where} is not {_shape(shape)} numbers: {mend}")
    try:
        found = np.array(value, np.float64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{where} is not {_shape(shape)} numbers: {mend}") from error
    if value == [] and not shape[0]:
        found = found.reshape(tuple(side or 0 for side in shape))
    return _of_shape(found, where, shape, mend)


def _of_shape(found: np.ndarray, where: str, shape: tuple[int | None, ...], mend: str) -> np.ndarray:
    fits = found.ndim == len(shape) and all(
        wanted in (None, side) for wanted, side in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{where} has shape {found.shape}, expected {_shape(shape)} numbers: {mend}")
    return found


def as_id(value: Any, where: str) -> int:
    """A person's number from what files write: 3, 3.0, "3", [3]; -1 for null, negative ones and []. Raises
    ValueError, beginning with ``where``, for any other value.
    """
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 19:
        value = int(value)
    if value is None:
        return -1
    if _is_number(value) and abs(value) < 2**62 and value == int(value):
        return max(int(value), -1)
    raise ValueError(f"{where} is {str(value)[:40]!r}, not a person's whole number: correct or remove it")


def count_names(texts: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The id of each text, and the names that ids are the places of, in the order in which they first come.

    Spaces and control characters around and in a name count as one space; a text without anything else is
    nobody's, -1. Only the first LONGEST_NAME characters count.
    """
    plain = {
        text: " ".join("".join(each if each.isprintable() else " " for each in text).split())[:LONGEST_NAME]
        for text in set(texts)
    }
    order: dict[str, int] = {}
    ids = [order.setdefault(plain[text], len(order)) if plain[text] else -1 for text in texts]
    return ids, tuple(order)


def as_whole(value: Any, where: str) -> int:
    """A whole number from 0. Raises ValueError, beginning with ``where``, for any other value."""
    if _is_number(value) and 0 <= value < 2**62 and value == int(value):
        return int(value)
    raise ValueError(f"{where} is {str(value)[:40]!r}, not a whole number from 0: correct it")


def as_size(width: Any, height: Any, where: str) -> tuple[int, int]:
    """An image's width and height in pixels. Raises ValueError, beginning with ``where``, for others."""
    for side in (width, height):
        if not _is_number(side) or not 1 <= side <= MAX_SIDE or side != int(side):
            raise ValueError(
                f"{where} is {str(width)[:20]} × {str(height)[:20]}, not a width and height in whole pixels: "
                "correct it"
            )
    return int(width), int(height)


def as_fps(value: Any, where: str) -> float:
    """Frames a second. Raises ValueError, beginning with ``where``, for what is no rate of a video."""
    if not _is_number(value) or not LEAST_FPS <= value <= MOST_FPS:
        raise ValueError(
            f"{where} is {str(value)[:40]!r}, not frames a second ({LEAST_FPS:g} to {MOST_FPS:g}): "
            "give a number such as 29.97"
        )
    return float(value)


def one_size(sizes: set[tuple[int, int]], path: Path) -> tuple[int, int] | None:
    """The size that all images of a file have, None if it tells none. Raises ValueError for several."""
    if len(sizes) > 1:
        first, second = sorted(sizes)[:2]
        raise ValueError(
            f"{path} mixes images of {_size(first)} and {_size(second)}: give the keypoints of one video"
        )
    return next(iter(sizes), None)


def _hide(rows: Rows, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    frame = np.array(rows.frame, np.int64)
    ids = None if rows.ids is None else np.array(rows.ids, np.int64)
    keypoints, confidence = rows.keypoints, rows.confidence
    for values, what in ((keypoints, "coordinate"), (confidence, "confidence")):
        infinite = np.isinf(values).reshape(len(values), -1).any(axis=1) if len(values) else np.zeros(0, bool)
        if infinite.any():
            raise ValueError(
                f"{path}, frame {frame[infinite.argmax()]}: an infinite {what}; write NaN and confidence 0 "
                "for a hidden keypoint"
            )
    visible = ~np.isnan(keypoints).any(axis=-1) & (confidence > 0) & (keypoints != 0).any(axis=-1)
    kept = visible.any(axis=-1)
    if not kept.any():
        raise ValueError(
            f"{path} shows nobody on any frame: give the keypoints of a video that the detector found "
            "people in"
        )
    for wrong in (frame < 0, frame >= MAX_FRAMES):
        if (wrong & kept).any():
            raise ValueError(
                f"{path}: frame {frame[(wrong & kept).argmax()]} is not from 0 to {MAX_FRAMES - 1}: number "
                "the frames, or name the images, in the video's order from 0"
            )
    order = np.argsort(frame[kept], kind="stable")
    frame, visible = frame[kept][order], visible[kept][order]
    keypoints = np.where(visible[..., None], keypoints[kept][order], np.nan)
    confidence = np.where(visible, np.minimum(confidence[kept][order], 1), 0)
    ids = None if ids is None else ids[kept][order]
    new = np.ones(len(frame), bool)
    seen: dict[bytes, None] = {}
    for row in range(len(frame)):
        if row and frame[row] != frame[row - 1]:
            seen = {}
        same = keypoints[row].tobytes() + confidence[row].tobytes()
        new[row] = (same + (b"" if ids is None else ids[row].tobytes())) not in seen
        seen[same + (b"" if ids is None else ids[row].tobytes())] = None
    return frame[new], keypoints[new], confidence[new], None if ids is None else ids[new]


def _to_pixels(
    rows: Rows,
    path: Path,
    frame: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: tuple[int, int] | None,
) -> bool:
    """Turns shares of the image into pixels, in place. Whether they were shares."""
    far = np.where(visible[..., None], np.abs(keypoints), 0).max(axis=(1, 2))
    shares = are_shares(keypoints, visible) if rows.normalised is None else rows.normalised
    if not shares:
        return False
    if far.max() > OUTSIDE:
        raise ValueError(
            f"{path}, frame {frame[far.argmax()]}: a coordinate of {far.max():g}, but the file's are "
            "shares of the image from 0 to 1: correct it, or give the file as the detector wrote it"
        )
    if size is None:
        raise ValueError(
            f"{path} has coordinates up to {far.max():.3g}, shares of the image's width and height: give "
            "image_size=(width, height), --image-size 1920x1080 say"
        )
    keypoints *= np.array(size, np.float64)
    return True


def are_shares(
    keypoints: Float[np.ndarray, "rows joints 2"], visible: Bool[np.ndarray, "rows joints"]
) -> bool:
    """Whether coordinates are shares of the image's width and height rather than pixels, by their median."""
    return bool(visible.any() and np.median(np.abs(keypoints[visible])) <= NORMALISED)


def _check_inside(
    path: Path,
    frame: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: tuple[int, int] | None,
    shares: bool,
) -> None:
    limit = np.array(size if size else (MAX_SIDE, MAX_SIDE), np.float64)
    outside = visible & ((keypoints < 0) | (keypoints > limit)).any(axis=-1)
    if size is not None and not shares and outside.sum() > visible.sum() / 2:
        row = outside.any(axis=1).argmax()
        raise ValueError(
            f"{path}, frame {frame[row]}: {outside.sum()} of {visible.sum()} keypoints lie outside the "
            f"{_size(size)} image: give as image_size the size of the video that they were found in"
        )
    low, high = (-OUTSIDE * limit, (OUTSIDE + 1) * limit) if size else (-limit, limit)
    beyond = visible & ((keypoints < low) | (keypoints > high)).any(axis=-1)
    if beyond.any():
        row, joint = np.unravel_index(beyond.argmax(), beyond.shape)
        x, y = keypoints[row, joint]
        seen = f"a {_size(size)} image" if size else "any image"
        raise ValueError(
            f"{path}, frame {frame[row]}: the keypoint ({x:.6g}, {y:.6g}) lies far outside {seen}: correct "
            "it, or give it confidence 0"
        )


def _check_ids(
    path: Path, frame: np.ndarray, ids: np.ndarray | None, names: Sequence[str]
) -> np.ndarray | None:
    if ids is None or (ids < 0).all():
        return None
    known = np.flatnonzero(ids >= 0)
    order = known[np.lexsort((ids[known], frame[known]))]
    twice = (np.diff(frame[order]) == 0) & (np.diff(ids[order]) == 0)
    if twice.any():
        row = order[twice.argmax()]
        raise ValueError(
            f"{path}, frame {frame[row]}: two people have the id "
            f"{names[ids[row]] if names else ids[row]}: correct the ids, or remove all "
            "of them and let people be told apart anew"
        )
    return ids


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _shape(shape: tuple[int | None, ...]) -> str:
    return " × ".join("n" if side is None else str(side) for side in shape)
