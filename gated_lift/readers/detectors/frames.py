"""Frames by what files and images are called."""

import re
from collections.abc import Sequence
from pathlib import Path


def frame_of_name(name: str) -> int | None:
    """The last number in a file's name without its endings, or None: 12 of ``clip_000012_keypoints.json``."""
    digits = re.findall(r"\d+", re.sub(r"(\.[A-Za-z]+\d?)+$", "", Path(name).name))
    return int(digits[-1]) if digits and len(digits[-1]) < 19 else None


def frames_of_files(folder: Path, files: Sequence[Path]) -> list[int]:
    """The frame of every file of a folder, by `frame_of_name`. Raises ValueError for files without a number
    and for two files of one frame.
    """
    frames: list[int] = []
    named: dict[int, Path] = {}
    for file in files:
        frame = frame_of_name(file.name)
        if frame is None:
            raise ValueError(f"{file} has no frame number in its name: name it like clip_000012.json")
        if frame in named:
            raise ValueError(
                f"{folder} has two files of frame {frame}, {named[frame].name} and {file.name}: give "
                "one video's folder"
            )
        named[frame] = file
        frames.append(frame)
    return frames


def frames_of_images(names: Sequence[str], path: Path) -> list[int]:
    """Frames of images by the last number in their names; a single image is frame 0 whatever its name.

    Raises ValueError for several images one of which has no number.
    """
    frames = {each: frame_of_name(each) for each in set(names)}
    if len(frames) == 1:
        return [next(iter(frames.values())) or 0] * len(names)
    without = next((each for each, frame in frames.items() if frame is None), None)
    if without is not None:
        raise ValueError(
            f"{path}: the image {without[:80]!r} has no frame number in its name: name images like 000012.jpg"
        )
    numbered: dict[int, str] = {}
    for each, frame in sorted(frames.items()):
        assert frame is not None
        if frame in numbered:
            raise ValueError(
                f"{path}: the images {numbered[frame][:80]!r} and {each[:80]!r} are both frame {frame}: give "
                "one video's keypoints"
            )
        numbered[frame] = each
    return [frames[each] or 0 for each in names]
