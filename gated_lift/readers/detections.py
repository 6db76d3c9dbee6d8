"""Keypoints of people in a video, from the files of any detector that is known here."""

from pathlib import Path

from gated_lift.people import Detections
from gated_lift.readers.detectors import (
    alphapose,
    coco,
    deeplabcut,
    easy_vitpose,
    mediapipe,
    mmpose,
    openpose,
    plain_csv,
    plain_npz,
    rtmlib,
    sleap,
    ultralytics,
    videopose3d,
)
from gated_lift.readers.detectors.rows import as_fps, as_size, finish
from gated_lift.readers.detectors.source import Format, Options, open_source
from gated_lift.skeleton import SKELETONS, Skeleton

# A new format is one more line here.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        openpose.FORMAT,
        alphapose.FORMAT,
        mmpose.FORMAT,
        coco.COCO,
        coco.DETECTRON2,
        ultralytics.FORMAT,
        ultralytics.CONFIDENCES,
        ultralytics.IDS,
        easy_vitpose.FORMAT,
        rtmlib.FORMAT,
        mediapipe.FORMAT,
        sleap.FORMAT,
        deeplabcut.FORMAT,
        videopose3d.FORMAT,
        plain_npz.FORMAT,
        plain_csv.FORMAT,
    )
}


def read_detections(
    path: str | Path,
    format: str | None = None,
    fps: float | int | None = None,
    image_size: tuple[int, int] | None = None,
    skeleton: Skeleton | str | None = None,
    allow_pickle: bool = False,
) -> Detections:
    """Reads the keypoints that a detector wrote for one video, from a file or a folder of files.

    Frames keep the numbers that the file gives them, from 0; those that it leaves out are frames with nobody,
    and their order in the file does not matter. Coordinates come out in pixels, confidence as 0 to 1 by each
    format's own map (docs/formats.md), and what means hidden (NaN, (0, 0), no confidence) as NaN with 0.

    format: one of `FORMATS`; None finds it from the content. fps: frames a second, which comes before what
    the file says. image_size: width and height of the video in pixels; needed for coordinates that are shares
    of the image. skeleton: that of the file's joints, or its name; None finds it from their number, names or
    geometry. allow_pickle: whether to read archives of pickled objects (VideoPose3D's); only for files from
    someone you trust.

    Raises FileNotFoundError if there is nothing at ``path``; and ValueError, on one line that names the file,
    the frame where there is one and the mend, for everything that is wrong: a format or skeleton that cannot
    be told for certain (naming the choices), damaged, empty or oversized files, wrong types, nobody on any
    frame, numbers that are infinite or far outside the image, ids that come twice on a frame.
    """
    if fps is not None:
        fps = as_fps(fps, "fps")
    if image_size is not None:
        if not isinstance(image_size, tuple | list) or len(image_size) != 2:
            raise ValueError(f"image_size is {str(image_size)[:40]}: give (width, height) in pixels")
        image_size = as_size(*image_size, "image_size")
    if isinstance(skeleton, str):
        if skeleton not in SKELETONS:
            raise ValueError(f"skeleton is {skeleton[:40]!r}: choose from {', '.join(SKELETONS)}")
        skeleton = SKELETONS[skeleton]
    if format is not None and format not in FORMATS:
        raise ValueError(f"format is {format[:40]!r}: choose from {', '.join(FORMATS)}")
    try:
        source = open_source(path)
        if format is not None:
            chosen = FORMATS[format]
        else:
            fitting = [each for each in FORMATS.values() if each.recognise(source)]
            if not fitting and source.files:
                raise ValueError(
                    f"{path} holds {len(source.files)} files, {source.files[0].name} among them, that are "
                    "not one detector's files of single frames: give one of them, or name the format"
                )
            if not fitting:
                raise ValueError(
                    f"{path} is in no format that is known here: name one with format, or see "
                    f"docs/formats.md for {', '.join(FORMATS)}"
                )
            if len(fitting) > 1:
                names = " or ".join(each.name for each in fitting)
                raise ValueError(f"{path} may be in the format {names}: choose one with format")
            chosen = fitting[0]
        rows = chosen.read(source, Options(skeleton, allow_pickle))
        del source  # the larger part of the memory
        return finish(rows, Path(path), chosen.name, fps, image_size)
    except ValueError as error:
        message = " ".join(str(error).split())
        if message == str(error):
            raise
        raise ValueError(message) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                f"{error.filename or path} is not there: give the file or the folder that a detector wrote"
            ) from error
        raise ValueError(
            f"{error.filename or path} cannot be read ({error.strerror}): check its permissions"
        ) from error
