"""The frames of a video, small, for pages and films. PyAV reads them: the extra ``video``."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

# Programs that read a video do not agree on whether a damaged or a repeated last frame counts.
FRAMES_APART = 1


def video_frames(
    path: str | PathLike[str], image_size: tuple[int, int], count: int, side: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Every frame of a video as RGB, shrunk so that its longer side has at most ``side`` pixels.

    image_size: width and height of the picture that the keypoints are pixels of; count: how many frames they
    have. Exactly ``count`` frames are yielded; the last is given twice where the video has one frame less. A
    picture that a phone has stored lying is turned upright, as detectors see it.

    Raises ImportError without PyAV, FileNotFoundError for a file that is not there, and ValueError, naming
    the file, the numbers and the mend, for a file that is no video, one of another size, and one whose number
    of frames is further off than `FRAMES_APART`.
    """
    av = _library()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give the video that the keypoints were found in")
    mend = "give the video that the keypoints were found in"
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no pictures: {mend}")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            _check_length(path, stream.frames or count, count)
            given, last = 0, None
            for frame in container.decode(stream):
                if given == 0:
                    _check_size(path, frame, image_size)
                if given == count:
                    # What a container says of itself may be wrong by more than one.
                    _check_length(path, count + 1, count)
                    return
                last = _small(frame, side)
                given += 1
                yield last
            _check_length(path, given, count)
            if given < count and last is not None:
                yield last
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as a video ({error.strerror}): {mend}") from error


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError("reading a video needs PyAV: pip install 'gated-lift[video]'") from error
    return av


def _check_length(path: Path, frames: int, count: int) -> None:
    if frames == 0 or abs(frames - count) > FRAMES_APART:
        raise ValueError(
            f"{path} has {frames} frames, but the keypoints have {count}: give the video that the keypoints "
            "were found in, cut where they begin and end"
        )


def _check_size(path: Path, frame: Any, image_size: tuple[int, int]) -> None:
    size = (frame.width, frame.height)
    size = size[::-1] if _quarter_turns(frame) % 2 else size
    if size != tuple(image_size):
        raise ValueError(
            f"{path} is {size[0]}x{size[1]} pixels, but the keypoints are of a picture of "
            f"{image_size[0]}x{image_size[1]}: give the video that the keypoints were found in, or the image "
            "size (--image-size) that they are pixels of"
        )


def _quarter_turns(frame: Any) -> int:
    return round(frame.rotation / 90) % 4


def _small(frame: Any, side: int) -> UInt8[np.ndarray, "height width 3"]:
    scale = min(1.0, side / max(frame.width, frame.height))
    # Even numbers, because films need them.
    width, height = (max(2, 2 * round(scale * length / 2)) for length in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(small, _quarter_turns(frame)))
