"""A film of lifted people: what was seen of them on the left, where they are in 3D on the right."""

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice, repeat
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D, proj3d
from PIL import Image

from gated_lift.drawing.figures import SMALL, TEXT, color_of, fit
from gated_lift.drawing.shown import Shown, image_size, prepare_people, thinning
from gated_lift.drawing.video import video_frames
from gated_lift.drawing.waiting import counted
from gated_lift.outputs import Writer, write_whole
from gated_lift.people import LiftedPeople

FILM_FPS, GIF_FPS = 30.0, 10.0  # frames a second, at most about
SIZE = (12.8, 7.2)  # inches
FILM_DPI, GIF_DPI = 100, 60  # 1280 x 720 and 768 x 432 pixels
VIDEO_SIDE = 640  # pixels, the longer side of a video's frame, about what it is drawn at
LONGEST_NAME = 24  # characters
ELEVATION, AZIMUTH = 14.0, -62.0  # degrees, of the view in 3D

Frames = Iterable[UInt8[np.ndarray, "height width 3"]]

_log = logging.getLogger(__name__)


def write_movie(
    people: LiftedPeople,
    path: str | PathLike[str],
    video: str | PathLike[str] | None = None,
    *,
    title: str = "",
    overwrite: bool = False,
) -> Path:
    """Writes a film of lifted people and returns its path.

    Left are the keypoints over the video's frames, or over an empty picture: dots where seen, rings at the
    place of the lifted joint where hidden. Right are the people in 3D at a fixed view, with the ground path
    that they have come. A film of more than `FILM_FPS` shows every second, third, ... frame. Frames follow
    each other at ``people.fps``, whatever their ``times``.

    path: ``.mp4`` or ``.gif``. MP4 is written by PyAV (pip install 'gated-lift[video]') or by an ffmpeg
    program; where there is neither, a GIF is written beside it and a warning logged that says so. GIFs show
    about `GIF_FPS` frames a second and are smaller.
    video: the film that the keypoints were found in; see `video.video_frames`.
    title: what stands above instead of the name of ``people.source``.

    Raises ValueError for another suffix and as `shown.prepare_people` and `video.video_frames` do,
    FileExistsError for an existing file unless ``overwrite``, and OSError where it cannot be written. The
    film is there whole or not at all. After two seconds a bar says how far it is.
    """
    return write_whole(plan_movie(people, path, video, title=title), overwrite)[0]


def movie_path(path: str | PathLike[str]) -> Path:
    """Where `write_movie` writes the film of that path. Raises ValueError for a suffix of no film."""
    return _encoder(Path(path))[0]


def plan_movie(
    people: LiftedPeople,
    path: str | PathLike[str],
    video: str | PathLike[str] | None = None,
    *,
    title: str = "",
) -> dict[Path, Writer]:
    """What `write_movie` writes, for `outputs.write_whole` of several files at once."""
    path, encode = _encoder(Path(path))
    film = encode is not _write_gif
    shown = prepare_people(people)
    step = thinning(float(people.fps), FILM_FPS if film else GIF_FPS)
    count = shown.joints.shape[1]

    def write(part: Path) -> None:
        pictures: Iterable[Any] = repeat(None, count)
        if video is not None:
            pictures = video_frames(video, image_size(people), count, VIDEO_SIDE, people.rotate)
        drawn = film_frames(people, shown, pictures, step, FILM_DPI if film else GIF_DPI, title)
        encode(part, counted(drawn, len(range(0, count, step)), "drawing film"), float(people.fps) / step)

    return {path: write}


def film_frames(
    people: LiftedPeople,
    shown: Shown,
    pictures: Iterable[UInt8[np.ndarray, "height width 3"] | None],
    step: int = 1,
    dpi: int = FILM_DPI,
    title: str = "",
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Every ``step``-th frame of the film as RGB. pictures: of the video, one for every frame, or None.

    What never moves is drawn once: a frame costs its figures and its picture.
    """
    figure = Figure(figsize=SIZE, dpi=dpi, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    width, height = image_size(people)
    # The picture takes what its shape needs, and half at most.
    share = min(0.5, 0.82 * SIZE[1] / SIZE[0] * width / height + 0.02)
    flat = figure.add_axes((0.015, 0.09, share - 0.02, 0.82))
    solid = figure.add_axes((share, 0.07, 0.995 - share, 0.86), projection="3d")
    heading = figure.text(0.015, 0.955, title or Path(people.source).name, fontsize=12, weight="bold")
    heading.set_parse_math(False)
    clock = figure.text(0.985, 0.955, "", ha="right", fontsize=TEXT, animated=True)
    _legend(figure, people)
    # On screens one sees the picture's own frame, not its axes.
    flat.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=(), yticks=())
    flat.set_facecolor("0.95")
    for spine in flat.spines.values():
        spine.set_color("0.8")
    image = flat.imshow(
        np.full((2, 2, 3), 240, np.uint8),
        extent=(0, width, height, 0),
        zorder=0,
        animated=True,
        interpolation="bilinear",
    )
    _prepare_space(solid, shown)
    draw_flat = [_flat_figure(flat, people, shown, person) for person in range(len(people.names))]
    draw_solid = [_solid_figure(solid, people, shown, person) for person in range(len(people.names))]

    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    away = np.radians(AZIMUTH)
    toward = np.array([np.cos(away), np.sin(away)])
    for frame, picture in enumerate(pictures):
        if frame % step:
            continue
        canvas.restore_region(still)
        if picture is not None:
            image.set_data(picture)
            flat.draw_artist(image)
        for draw in draw_flat:
            _draw(flat, draw(frame))
        # Who is nearer is drawn later; whoever is not there has no place in the order and no lines.
        nearness = np.nan_to_num(shown.root[:, frame, :2] @ toward, nan=-np.inf)
        for person in np.argsort(nearness, kind="stable"):
            _draw(solid, draw_solid[person](frame))
        clock.set_text(f"{people.times[frame] - people.times[0]:.2f} s   frame {frame}")
        figure.draw_artist(clock)
        yield np.array(canvas.buffer_rgba())[..., :3]


def _draw(axes: Axes, artists: Iterable[Artist]) -> None:
    for artist in artists:
        axes.draw_artist(artist)


def _flat_figure(
    axes: Axes, people: LiftedPeople, shown: Shown, person: int
) -> Callable[[int], Iterable[Artist]]:
    """Sets a person's lines on the picture to a frame."""
    lines = _lines(lambda **style: axes.plot([], [], animated=True, **style)[0], color_of(person))
    hidden = shown.hidden[person]
    places = np.where(hidden[..., None], shown.projected[person], shown.keypoints[person])

    def at(frame: int) -> Iterable[Artist]:
        for artist, points in zip(lines, _parts(places[frame], hidden[frame], people), strict=True):
            artist.set_data(*points.T)
        return lines

    return at


def _solid_figure(
    axes: Axes3D, people: LiftedPeople, shown: Shown, person: int
) -> Callable[[int], Iterable[Artist]]:
    """Sets a person's lines in 3D, and the path on the ground, to a frame."""
    color = color_of(person)
    lines = _lines(lambda **style: axes.plot([], [], [], animated=True, **style)[0], color)
    (path,) = axes.plot([], [], [], color=color, lw=1.6, alpha=0.7, animated=True)
    ground = shown.root[person].copy()
    ground[:, 2] = np.where(np.isfinite(ground[:, 2]), shown.floor, np.nan)

    def at(frame: int) -> Iterable[Artist]:
        path.set_data_3d(*ground[: frame + 1].T)
        parts = _parts(shown.joints[person, frame], shown.hidden[person, frame], people)
        for artist, points in zip(lines, parts, strict=True):
            artist.set_data_3d(*points.T)
        return [path, *lines]

    return at


def _lines(make: Callable[..., Any], color: str) -> list[Any]:
    """Bones seen, bones in doubt, joints seen, joints hidden."""
    return [
        make(color=color, lw=2.2, solid_capstyle="round"),
        make(color=color, lw=1.1, ls=(0, (2, 1.5)), alpha=0.85),
        make(color=color, marker="o", ms=4.2, ls="", mec="white", mew=0.5),
        make(color=color, marker="o", ms=4.6, ls="", mfc="white", mec=color, mew=1.1),
    ]


def _parts(places: np.ndarray, hidden: np.ndarray, people: LiftedPeople) -> list[np.ndarray]:
    """The points of each of `_lines`, with NaN between bones."""
    gap = np.full((1, places.shape[-1]), np.nan)
    bones: list[list[np.ndarray]] = [[gap], [gap]]
    for parent, child in people.skeleton.bones:
        bones[int(hidden[parent] or hidden[child])] += [places[[parent, child]], gap]
    seen, doubtful = (np.concatenate(rows) for rows in bones)
    return [seen, doubtful, places[~hidden], places[hidden]]


def _prepare_space(axes: Axes3D, shown: Shown) -> None:
    low, high = shown.low, shown.high
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    axes.set_box_aspect(high - low, zoom=_zoom(axes, low, high))
    for axis, label in ((axes.xaxis, "x (m)"), (axes.yaxis, "y (m)"), (axes.zaxis, "up (m)")):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_label_text(label, fontsize=SMALL)
        axis.set_tick_params(labelsize=SMALL - 1, pad=-1)
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
        axis.line.set_color("0.6")


def _zoom(axes: Axes3D, low: np.ndarray, high: np.ndarray) -> float:
    """What makes a box fill its panel; Matplotlib lets long boxes run over its edges."""
    panel = axes.get_window_extent()
    axes.set_box_aspect(high - low, zoom=1.0)
    axes.apply_aspect()
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    x, y, _ = proj3d.proj_transform(*corners.T, axes.get_proj())
    spots = axes.transData.transform(np.stack([x, y], axis=-1))
    wide, tall = np.ptp(spots, axis=0)
    # The rest is for ticks and their labels.
    return float(0.82 * min(panel.width / wide, panel.height / tall))


def _legend(figure: Figure, people: LiftedPeople) -> None:
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in people.names]
    # A name that begins with an underscore would be left out of the legend without the blank.
    handles = [Line2D([], [], color=color_of(p), lw=2.2, label=f" {name}") for p, name in enumerate(names)]
    handles.append(Line2D([], [], color="0.3", marker="o", ms=4.2, ls="", label="joint seen"))
    handles.append(
        Line2D([], [], color="0.3", marker="o", ms=4.6, ls="", mfc="white", mew=1.1, label="joint hidden")
    )
    legend = figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.005),
        ncols=len(handles),
        frameon=False,
        fontsize=TEXT,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    fit(legend.get_texts())


# Files


def _encoder(path: Path) -> tuple[Path, Callable[[Path, Frames, float], None]]:
    """Where the film is written, and by what."""
    suffix = path.suffix.lower()
    if suffix == ".gif":
        return path, _write_gif
    if suffix != ".mp4":
        raise ValueError(f"{path} ends in {path.suffix!r}: give a name that ends in .mp4 or .gif")
    if find_spec("av") is not None:
        return path, _write_with_pyav
    if shutil.which("ffmpeg"):
        return path, _write_with_ffmpeg
    other = path.with_suffix(".gif")
    _log.warning(
        "there is neither PyAV nor an ffmpeg program: writing %s instead of %s; "
        "pip install 'gated-lift[video]' makes MP4",
        other,
        path.name,
    )
    return other, _write_gif


def _rate(fps: float) -> Fraction:
    """29.97 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def _write_with_pyav(path: Path, frames: Frames, fps: float) -> None:
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=_rate(fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {"q": "3"}
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())


def _write_with_ffmpeg(path: Path, frames: Frames, fps: float) -> None:
    iterator = iter(frames)
    first = next(iterator)
    height, width = first.shape[:2]
    given = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
        "-r",
        str(_rate(fps)),
        "-i",
        "-",
    ]
    command = ["ffmpeg", "-y", "-loglevel", "error", *given, "-an", "-pix_fmt", "yuv420p", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            process.stdin.write(first.tobytes())
            for frame in iterator:
                process.stdin.write(frame.tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # what it says of itself is below
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise OSError(f"ffmpeg could not write the film: {' '.join(said.split()) or process.returncode}")


def _write_gif(path: Path, frames: Frames, fps: float) -> None:
    images = (Image.fromarray(frame).quantize(128) for frame in frames)
    first = next(images)
    # GIF counts hundredths of a second; the film as a whole keeps its length.
    ends = np.rint(100 * np.arange(1, 100_001) / fps)
    durations = (10 * np.diff(ends, prepend=0.0)).astype(int)
    kept = [first, *islice(images, len(durations) - 1)]
    kept[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=kept[1:],
        duration=[int(value) for value in durations[: len(kept)]],
        loop=0,
    )
