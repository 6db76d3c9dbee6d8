"""A page of lifted people that needs no network: where they are, what was seen of them, and how sure it is.

The page draws with a small renderer of its own on two canvases. Stick figures, paths and a grid are a few
hundred lines and ellipses a frame, which a 2D canvas draws in a millisecond or two, while plotly's bundle is
4.5 MB before the first joint. Its parts stand in the folder ``viewer``.
"""

import base64
import io
import json
from collections.abc import Iterator
from html import escape
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from gated_lift.drawing.figures import color_of
from gated_lift.drawing.shown import Shown, check_shown, every_nth, image_size, prepare_people, thinning
from gated_lift.drawing.video import video_frames
from gated_lift.drawing.waiting import counted
from gated_lift.outputs import Writer, write_whole
from gated_lift.people import LiftedPeople
from gated_lift.video.size import knows_height, stature
from solvers import Status, describe_status

SHOWN_FPS = 60.0  # frames a second on the page, at most about
JOINT_STEP = 0.0005  # metres; joints are counted from their person's root in these
KEYPOINT_STEP = 0.125  # pixels, in pictures of up to 2047 pixels
NOTHING = -32768  # the whole number that stands for NaN
REACH = 32767

PICTURE_SIDE = 512  # pixels, the longer side of a video's frame on the page
PICTURE_QUALITY = 62  # of JPEG
# Bytes of pictures for every second of the clip, and what a short clip may take in any case. Base64 makes
# four bytes of three: 6 MB a minute are 8 MB of the page.
PICTURE_BYTES = 100_000
PICTURE_BYTES_ANYWAY = 3_000_000
PICTURES_TRIED = 24
# Browsers refuse strings of half a gigabyte, and take long over much smaller ones: longer films get fewer
# pictures, then fewer frames.
PICTURE_BYTES_AT_MOST = 60_000_000
DATA_BYTES_AT_MOST = 80_000_000
JOINT_BYTES = 20  # of the page, for a joint of one person on one frame

_PARTS = Path(__file__).parent / "viewer"
_SCRIPTS = ("decode.js", "orbit.js", "space.js", "picture.js", "rows.js", "page.js")


class ReportView(NamedTuple):
    """A report as notebooks show it: a frame of ``height`` pixels that holds the whole page."""

    page: str
    height: int = 760

    def __repr__(self) -> str:
        # A terminal is not to be flooded with the page.
        return f"{type(self).__name__}(page of {len(self.page)} characters, height={self.height})"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.page)}" width="100%" height="{self.height}" '
            'style="border: 0" title="Lifted people"></iframe>'
        )


def write_report(
    people: LiftedPeople,
    path: str | PathLike[str],
    video: str | PathLike[str] | None = None,
    *,
    title: str = "",
    overwrite: bool = False,
) -> Path:
    """Writes one HTML file that shows lifted people and loads nothing else.

    It plays them in 3D with names, paths and, where there is a covariance, the region within two standard
    deviations of each path; the camera, moving where it moves; a grid of one-metre squares at the height of
    the feet. Beside it stand the keypoints, with hidden joints as rings where the lifted joint falls on the
    picture, and below it who is hidden when, who is present, and each person's status and residual.

    video: the film that the keypoints were found in, or a smaller copy of it. Its frames go into the page as
    JPEGs of `PICTURE_SIDE` pixels, one for every frame shown, or for every second, third, ... of them, so
    that they stay within `PICTURE_BYTES` for each second; the page says how many a second there are.
    title: what stands above it instead of the name of ``people.source``.

    Joints are rounded to half of `JOINT_STEP` around their root, which is exact to a tenth of a millimetre,
    keypoints to half of `KEYPOINT_STEP` (in pictures of more than 2047 pixels to their share of that). Films
    of much more than `SHOWN_FPS` are shown with every second, third, ... frame, and so are films of hours,
    of which a browser would not read a page with everything.

    Returns the path. Raises ValueError as `shown.prepare_people` and `video.video_frames` do, FileExistsError
    for an existing file unless ``overwrite``, and OSError where it cannot be written. It is there whole or
    not at all.
    """

    return write_whole(plan_report(people, path, video, title=title), overwrite)[0]


def plan_report(
    people: LiftedPeople,
    path: str | PathLike[str],
    video: str | PathLike[str] | None = None,
    *,
    title: str = "",
) -> dict[Path, Writer]:
    """What `write_report` writes, for `outputs.write_whole` of several files at once."""

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(_page_parts(people, video, title))

    return {Path(path): write}


def show_report(
    people: LiftedPeople,
    video: str | PathLike[str] | None = None,
    *,
    title: str = "",
    height: int = 760,
) -> ReportView:
    """The page of `write_report` for a notebook, which shows what a cell returns. Raises what that raises,
    except for files.
    """
    return ReportView(report_page(people, video, title=title), height)


def report_page(people: LiftedPeople, video: str | PathLike[str] | None = None, *, title: str = "") -> str:
    """The HTML of `write_report`. Raises ValueError as that does."""
    return "".join(_page_parts(people, video, title))


def _page_parts(people: LiftedPeople, video: str | PathLike[str] | None, title: str) -> list[str]:
    """The page in parts: the one with the data is so large that it is not to be held twice."""
    data = report_data(people, title)
    if video is not None:
        data["pictures"] = _pictures(people, video, data["step"])
    # A "<" in a name could end the script element that holds the data.
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "TITLE": escape(data["title"]),
        "STYLE": (_PARTS / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        "DATA": packed,
    }
    # Split once, so that a title that looks like a placeholder stays a title.
    pieces = (_PARTS / "page.html").read_text(encoding="utf-8").split("@@")
    return [parts[piece] if index % 2 else piece for index, piece in enumerate(pieces)]


def report_data(people: LiftedPeople, title: str = "") -> dict[str, Any]:
    """What the page draws, ready for JSON: facts as they are, arrays as base64 of small numbers.

    An array is {"type", "shape", "step", "data"}: little-endian numbers in the order of NumPy, times step
    where there is one; whole numbers with a step have `NOTHING` for NaN. Raises ValueError as
    `shown.prepare_people` does.
    """
    check_shown(people)
    whole, frames = JOINT_BYTES * people.hidden.size, len(people.times)
    step = max(thinning(float(people.fps), SHOWN_FPS), ceil(whole / DATA_BYTES_AT_MOST))
    # Frames that are not shown are left out before anything is computed of them.
    people = every_nth(people, step)
    shown = prepare_people(people)
    width, height = image_size(people)
    pixel = max(KEYPOINT_STEP, 2 * max(width, height) / REACH)
    return {
        "title": title or Path(people.source).name or "Lifted people",
        "source": people.source,
        "axes": people.axes,
        "fps": float(people.fps),
        "frames": frames,
        "step": step,
        "size": [width, height],
        "bones": [list(bone) for bone in people.skeleton.bones],
        "joint_names": [name.replace("_", " ") for name in people.skeleton.names],
        "people": _facts(people),
        "low": _short(shown.low),
        "high": _short(shown.high),
        "floor": round(shown.floor, 4),
        "times": packed(np.asarray(people.times).astype("<f8")),
        "root": packed(shown.root.astype("<f4")),
        "joints": in_steps(shown.joints - shown.root[:, :, None], JOINT_STEP),
        "covariance": _upper(shown),
        "keypoints": in_steps(shown.keypoints, pixel),
        "projected": in_steps(shown.projected, pixel),
        "hidden": packed(shown.hidden.astype("u1")),
        "present": packed(np.asarray(people.present).astype("u1")),
        "residual": packed(np.asarray(people.residual).astype("<f4")),
        "eye": packed(shown.eye.astype("<f4")),
        "rays": packed(shown.rays.astype("<f4")),
    }


def packed(values: Shaped[np.ndarray, "..."]) -> dict[str, Any]:
    """An array of `report_data`, its numbers as they are."""
    names = {"<f8": "float64", "<f4": "float32", "<i2": "int16", "|u1": "uint8"}
    return {
        "type": names[values.dtype.str],
        "shape": list(values.shape),
        "data": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii"),
    }


def in_steps(values: Shaped[np.ndarray, "..."], step: float) -> dict[str, Any]:
    """An array of `report_data` in whole steps, off by half of one at most; what is farther than `REACH`
    steps from zero stops there.
    """
    known = np.isfinite(values)
    # In place: these are the largest arrays of a page, in the largest numbers.
    counts = np.where(known, values, 0.0)
    np.divide(counts, step, out=counts)
    np.rint(counts, out=counts)
    np.clip(counts, -REACH, REACH, out=counts)
    counts[~known] = NOTHING
    return packed(counts.astype("<i2")) | {"step": step}


def _facts(people: LiftedPeople) -> list[dict[str, Any]]:
    """What the page says of every person."""
    tall = (
        stature(people.joints, people.skeleton) if knows_height(people.skeleton) else people.status * np.nan
    )
    sure = tall * np.nan if people.size_std is None else tall * people.size_std
    return [
        {
            "name": name,
            "color": color_of(index),
            "status": Status(int(status)).name.lower().replace("_", " "),
            "good": int(status) == Status.CONVERGED,
            "advice": describe_status(status),
            "tall": _metres(float(tall[index]), float(sure[index])),
        }
        for index, (name, status) in enumerate(zip(people.names, people.status, strict=True))
    ]


def _metres(tall: float, sure: float) -> str:
    """A height, and how sure it is, as far as both are known."""
    if not np.isfinite(tall):
        return ""
    return f"{tall:.2f} m" if not np.isfinite(sure) else f"{tall:.2f} ± {sure:.2f} m"


def _upper(shown: Shown) -> dict[str, Any] | None:
    """xx, xy, xz, yy, yz, zz of the covariances."""
    if shown.covariance is None:
        return None
    rows, columns = np.triu_indices(3)
    return packed(shown.covariance[..., rows, columns].astype("<f4"))


def _short(values: Shaped[np.ndarray, "..."]) -> list[float]:
    return [round(float(value), 4) for value in values]


def _pictures(people: LiftedPeople, video: str | PathLike[str], step: int) -> dict[str, Any]:
    """JPEGs of a video's frames, and the frames of the page that they belong to."""
    frames = len(people.times)
    seconds = float(people.times[-1] - people.times[0]) + 1 / people.fps
    room = float(min(max(PICTURE_BYTES_ANYWAY, PICTURE_BYTES * seconds), PICTURE_BYTES_AT_MOST))
    images = counted(
        video_frames(video, image_size(people), frames, PICTURE_SIDE, people.rotate), frames, "reading video"
    )
    kept, apart = _within(images, step, frames, room)
    return {
        "every": apart,
        "data": [base64.b64encode(jpeg).decode("ascii") for jpeg in kept],
    }


def _within(images: Iterator[Any], step: int, count: int, room: float) -> tuple[list[bytes], int]:
    """Every n-th shown frame of ``count`` frames as JPEG, and n, so that all of them fit into ``room`` bytes.

    n is what the first `PICTURES_TRIED` say that it takes, and doubles whenever the others turn out larger.
    """
    kept: list[bytes] = []
    apart, shown = 1, len(range(0, count, step))
    for frame, image in enumerate(images):
        index = frame // step
        if frame % step or index % apart:
            continue
        kept.append(_jpeg(image))
        if index == PICTURES_TRIED - 1:
            apart = max(1, ceil(1.05 * sum(map(len, kept)) / len(kept) * shown / room))
            kept = kept[::apart]
        while len(kept) > 1 and sum(map(len, kept)) > room:
            kept, apart = kept[::2], 2 * apart
    return kept, apart


def _jpeg(image: Shaped[np.ndarray, "height width 3"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=PICTURE_QUALITY, optimize=True)
    return file.getvalue()
