"""The frames of a video, small, for pages and films. PyAV reads them: the extra ``video``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

LOGGER = logging.getLogger("gated_lift")

# Programs that read a video do not agree on whether a damaged or a repeated last frame counts.
FRAMES_APART = 1
# Sides of a smaller copy of a video are rounded: its shape may differ by this share.
SAME_SHAPE = 0.01
MEND = "give the video that the keypoints were found in"


def video_frames(
    path: str | PathLike[str], image_size: tuple[int, int], count: int, side: int, rotate: int = 0
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Every frame of a video as RGB, shrunk so that its longer side has at most ``side`` pixels.

    image_size: width and height of the picture that the keypoints are pixels of; count: how many frames they
    have. Exactly ``count`` frames are yielded; the last is given twice where the video has one frame less.
    rotate: degrees by which pictures are turned clockwise, as `LiftedPeople.rotate` says.

    A picture that a phone has stored lying is turned upright first, as players and most detectors see it;
    where only the lying one has the shape of the keypoints' picture, the detector has seen that. A copy of
    the video of another size and the same shape is taken too. Both are said in a log message.

    Raises ImportError without PyAV, FileNotFoundError for a file that is not there, and ValueError, naming
    the file, the numbers and the mend, for a file that is no video, one of another shape, and one whose
    number of frames is further off than `FRAMES_APART`.
    """
    path = Path(path)
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_length(path, stream.frames or count, count)
        given, last, turns = 0, None, 0
        for frame in container.decode(stream):
            if given == 0:
                turns = _turns(path, frame, image_size, rotate)
            if given == count:
                # What a container says of itself may be wrong by more than one.
                _check_length(path, count + 1, count)
                return
            last = _small(frame, side, turns)
            given += 1
            yield last
        _check_length(path, given, count)
        if given < count and last is not None:
            yield last


def check_video(path: str | PathLike[str]) -> None:
    """Raises what `video_frames` raises of a file that is no video, before anything is known of keypoints."""
    with _opened(Path(path)):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """PyAV's container of a file with pictures; errors, also of what is done with it inside, as above."""
    av = _library()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: {MEND}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no pictures: {MEND}")
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as a video ({error.strerror}): {MEND}") from error


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError("reading a video needs PyAV: pip install 'gated-lift[video]'") from error
    return av


def _check_length(path: Path, frames: int, count: int) -> None:
    if frames == 0 or abs(frames - count) > FRAMES_APART:
        raise ValueError(
            f"{path} has {frames} frames, but the keypoints have {count}: {MEND}, cut where they begin and "
            "end"
        )


def _turns(path: Path, frame: Any, image_size: tuple[int, int], rotate: int) -> int:
    """Quarter turns, against the clock, from a frame as it is stored to the keypoints' picture."""
    stored = (frame.width, frame.height)
    own = round(frame.rotation / 90) % 4
    upright = stored[::-1] if own % 2 else stored
    # The picture that the detector saw, before the keypoints were turned.
    width, height = image_size[::-1] if rotate % 180 else image_size

    def alike(size: tuple[int, int]) -> bool:
        return abs(size[0] * height / (size[1] * width) - 1) <= SAME_SHAPE

    if not (alike(upright) or alike(stored)):
        turned = f", before they were turned by {rotate} degrees" if rotate else ""
        raise ValueError(
            f"{path} is {upright[0]}x{upright[1]} pixels, but the keypoints are of a picture of "
            f"{width}x{height}{turned}: {MEND}, or the image size (--image-size) that they are pixels of"
        )
    if not alike(upright):
        LOGGER.warning(
            "%s is to be shown turned by %d degrees, and the keypoints are of the picture as it is stored: "
            "it is shown as it is stored",
            *(path, frame.rotation),
        )
        own, upright = 0, stored
    if upright != (width, height):
        LOGGER.warning(
            "%s is %dx%d pixels and is scaled to the %dx%d of the keypoints' picture",
            *(path, *upright, width, height),
        )
    return (own - rotate // 90) % 4


def _small(frame: Any, side: int, turns: int) -> UInt8[np.ndarray, "height width 3"]:
    scale = min(1.0, side / max(frame.width, frame.height))
    # Even numbers, because films need them.
    width, height = (max(2, 2 * round(scale * length / 2)) for length in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(small, turns))
