"""Pictures of a recovered scene; every panel is a function on a Matplotlib Axes.

Figures are built without pyplot, so nothing global is touched and no display is needed. Hidden keypoints are
replaced by NaN before anything is drawn: whatever a detector guessed there is never shown. People whose
solve failed (NaN joints) are absent from the picture and named as not recovered in its legend.
"""

import textwrap
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D
from scipy.spatial import ConvexHull

from gated_lift.clips import runs
from gated_lift.drawing.figures import DPI, SMALL, TEXT, TITLE, TRUTH_COLOR, color_of, fit, save, tidy
from gated_lift.drawing.scene import (
    Scene,
    check_frame,
    hidden_stretch,
    mostly_hidden,
    path_joint,
    person_label,
    prepare_scene,
    upright,
    view_box,
)
from gated_lift.occlusion import fill_gaps
from gated_lift.skeleton import Skeleton

SCREEN_COLOR = "0.88"

# Panels


def plot_keypoints(
    axes: Axes, scene: Scene, frame: int, window: tuple[float, float, float, float] | None = None
) -> None:
    """Keypoints of every person at one frame: dots where seen, rings where hidden.

    window: (left, right, top, bottom) pixels to show; the whole image by default. Hidden joints stand at
    their true place when the scene has it, else at the place that linear interpolation in time gives; never
    where the detector put them. The scene's screen is a grey shape. Raises ValueError for a frame outside the
    scene.
    """
    scene = prepare_scene(scene)
    check_frame(scene, frame)
    places = _places(scene)[:, frame]
    seen = np.isfinite(scene.keypoints[:, frame, :, 0])
    # The person with fewer hidden joints is the one in front.
    for person in sorted(range(len(seen)), key=lambda p: int(seen[p].sum())):
        color, points = color_of(person), places[person]
        for parent, child in scene.skeleton.bones:
            both = bool(seen[person, parent] and seen[person, child])
            style = {"lw": 1.9} if both else {"lw": 1.0, "ls": (0, (2, 1.5)), "alpha": 0.75}
            axes.plot(*points[[parent, child]].T, color=color, zorder=2, **style)
        axes.plot(*points[seen[person]].T, "o", ms=3.6, color=color, zorder=3)
        axes.plot(*points[~seen[person]].T, "o", ms=4.2, mfc="white", mec=color, mew=1.1, zorder=3)
    left, right, top, bottom = window or (0.0, float(scene.width), 0.0, float(scene.height))
    edges = ([0, scene.width, scene.width, 0, 0], [0, 0, scene.height, scene.height, 0])
    axes.plot(*edges, color="0.6", lw=1.0, zorder=1)
    if scene.screen is not None:
        corners = scene.screen[frame][ConvexHull(scene.screen[frame]).vertices]
        axes.fill(*corners.T, color=SCREEN_COLOR, lw=0, zorder=0)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    tidy(axes)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def plot_mask(
    axes: Axes,
    occluded: Bool[Array | np.ndarray, "frames joints"],
    skeleton: Skeleton | None = None,
    fps: float | int | None = None,
    color: str = "black",
    marks: Sequence[int] = (),
) -> None:
    """A mask strip as in the paper's Fig. 4: frames run right, joints down; white = hidden, ``color`` = seen.

    skeleton names the rows, fps turns frames into seconds, marks are frames to point at from above. Raises
    ValueError for an empty mask, another rank or dtype, or a joint count that is not the skeleton's.
    """
    occluded = _checked_mask(occluded, (2,), skeleton)
    frames, joints = occluded.shape
    rate = 1.0 if fps is None else float(fps)
    shades = np.where(occluded.T[..., None], 1.0, np.asarray(to_rgb(color)))
    axes.imshow(shades, aspect="auto", interpolation="nearest", extent=(0, frames / rate, joints - 0.5, -0.5))
    axes.set_xlabel("frame" if fps is None else "time (s)", fontsize=TEXT)
    tidy(axes)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    if skeleton is not None:
        # Names may not touch: their size follows the height of a row, and rows too low go without.
        row_points = axes.get_window_extent().height / axes.figure.dpi * 72 / joints
        size = min(SMALL, 0.95 * row_points)
        if size >= 4.5:
            names = [name.replace("_", " ") for name in skeleton.names]
            axes.set_yticks(range(joints), names, fontsize=size)
            axes.tick_params(axis="y", length=0, pad=2)
    for mark in marks:
        axes.plot(
            (mark + 0.5) / rate,
            -0.5,
            "v",
            ms=5,
            color="0.25",
            clip_on=False,
            transform=axes.transData,
            zorder=5,
        )
    axes.set(xlim=(0, frames / rate), ylim=(joints - 0.5, -0.5))


def plot_pose(axes: Axes3D, scene: Scene, frame: int) -> None:
    """Prediction (colour) against truth (grey) in camera space at one frame, on 3D axes with equal scales.

    Drawn as (x, z, -y), so that up is up; hidden joints are rings. ``axes`` comes from
    ``figure.add_subplot(projection="3d")``. Raises ValueError for a frame outside the scene.
    """
    scene = prepare_scene(scene)
    check_frame(scene, frame)
    drawn = []
    for joints, is_truth in ((scene.truth, True), (scene.predicted, False)):
        if joints is None:
            continue
        points = upright(np.asarray(joints)[:, frame])
        drawn.append(points)
        for person in range(len(points)):
            color = TRUTH_COLOR if is_truth else color_of(person)
            for parent, child in scene.skeleton.bones:
                axes.plot(*points[person, [parent, child]].T, color=color, lw=2.6 if is_truth else 1.9)
            if not is_truth:
                hidden = scene.occluded[person, frame]
                axes.plot(*points[person, ~hidden].T, "o", ms=3.6, color=color)
                axes.plot(*points[person, hidden].T, "o", ms=4.2, mfc="white", mec=color, mew=1.1)
    low, high = view_box(drawn)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.0)
    axes.view_init(elev=14, azim=-62)
    for axis, label in ((axes.xaxis, "x (m)"), (axes.yaxis, "depth (m)"), (axes.zaxis, "up (m)")):
        # The x axis is seen nearly end on, and its labels would touch.
        axis.set_major_locator(MaxNLocator(2 if axis is axes.xaxis else 4))
        axis.set_label_text(label, fontsize=SMALL)
        axis.labelpad = -2
        axis.set_tick_params(labelsize=SMALL - 1, pad=-1)
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
        axis.line.set_color("0.6")


def plot_paths(axes: Axes, scene: Scene, frame: int | None = None) -> None:
    """Everybody's path from above: x against depth z, metres, with the mostly hidden stretches as broad
    bands.

    Prediction in colour with an arrow at its end, truth in grey, the rival (if any) dotted; ``frame`` marks
    one moment on each path. The camera stands at (0, 0) and looks along the depth axis.
    """
    scene = prepare_scene(scene)
    joint = path_joint(scene.skeleton)
    hidden = mostly_hidden(scene.occluded, scene.hidden_share)

    def above(joints: np.ndarray | Array) -> np.ndarray:
        return np.asarray(joints)[:, :, joint][..., [0, 2]]

    predicted = above(scene.predicted)
    truth = None if scene.truth is None else above(scene.truth)
    rival = None if scene.rival is None else above(scene.rival)
    for person in range(len(predicted)):
        color, path = color_of(person), predicted[person]
        if truth is not None:
            axes.plot(*truth[person].T, color=TRUTH_COLOR, lw=2.4, zorder=2)
        if rival is not None:
            axes.plot(*rival[person].T, color=color, lw=1.2, ls=":", alpha=0.8, zorder=3)
        for start, stop in runs(hidden[person]):
            # One frame more on either side, so that a stretch of a single frame has a length.
            band = path[max(start - 1, 0) : stop + 1]
            axes.plot(*band.T, color=color, lw=10, alpha=0.35, solid_capstyle="round", zorder=1)
        axes.plot(*path.T, color=color, lw=1.7, zorder=4)
        known = path[np.isfinite(path[:, 0])]
        if len(known) > 1:
            # The direction of the last stretch long enough to have one.
            away = np.linalg.norm(known - known[-1], axis=-1) > 0.02
            if away.any():
                tail = known[np.flatnonzero(away)[-1]]
                arrow = {
                    "arrowstyle": "-|>",
                    "color": color,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 13,
                }
                axes.annotate("", xy=tuple(known[-1]), xytext=tuple(tail), arrowprops=arrow, zorder=5)
        if frame is not None:
            check_frame(scene, frame)
            axes.plot(*path[frame], "o", ms=6, color=color, mec="white", mew=1.0, zorder=6)
    trusted = predicted if truth is None else truth
    low, high = view_box([trusted, predicted, *([] if rival is None else [rival])])
    box = axes.get_window_extent()
    low, high = _grow(low, high, box.width / box.height)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_xlabel("x (m); the camera stands at (0, 0)", fontsize=TEXT)
    axes.set_ylabel("depth (m)", fontsize=TEXT)
    axes.grid(color="0.92", lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    tidy(axes)


# Files


def draw_demo(scene: Scene, path: str | PathLike[str], title: str = "", footnote: str = "") -> Path:
    """One picture of a scene: keypoints around the crossing, masks, 3D inside the hidden stretch, paths from
    above.

    path: where to write; its suffix picks the format (.png is 2080 pixels wide). title: the errors, as text;
    footnote: for instance a licence sentence. Folders are made where missing. Returns the path. Raises
    ValueError as `prepare_scene` does.
    """
    scene = prepare_scene(scene)
    people = len(scene.predicted)
    start, stop = hidden_stretch(scene.occluded, scene.hidden_share)
    middle, moments = (start + stop) // 2, _moments(scene)
    figure = Figure(figsize=(13, 8.9), dpi=DPI)
    heading = figure.text(0.5, 0.972, title, ha="center", va="center", fontsize=12.5, weight="bold")

    top = figure.add_gridspec(1, len(moments), left=0.055, right=0.985, top=0.865, bottom=0.575, wspace=0.16)
    axes_row = [figure.add_subplot(top[column]) for column in range(len(moments))]
    box = axes_row[0].get_window_extent()
    window = _window(scene, moments, box.width / box.height)
    for axes, frame in zip(axes_row, moments, strict=True):
        plot_keypoints(axes, scene, frame, window)
        axes.set_title(f"t = {frame / scene.fps:.2f} s", fontsize=TEXT)
        axes.set_xlabel("image x (px)", fontsize=SMALL)
    axes_row[0].set_ylabel("image y (px)", fontsize=SMALL)

    strips = figure.add_gridspec(
        people, 1, left=0.085, right=0.375, top=0.465, bottom=0.085, hspace=0.24 / max(people / 2, 1)
    )
    for person in range(people):
        axes = figure.add_subplot(strips[person])
        plot_mask(
            axes,
            scene.occluded[person],
            scene.skeleton,
            scene.fps,
            color_of(person),
            marks=moments if person == 0 else (),
        )
        if person < people - 1:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)

    plot_pose(figure.add_axes((0.385, 0.08, 0.315, 0.405), projection="3d"), scene, middle)
    above = figure.add_axes((0.75, 0.085, 0.235, 0.38))
    plot_paths(above, scene, middle)

    hides = mostly_hidden(scene.occluded, scene.hidden_share)[:, middle].any()
    around, within = (", before, inside and after the hidden stretch", " while hidden") if hides else ("", "")
    for x, y, letter, words in (
        (0.012, 0.902, "a", f"On the image{around}"),
        (0.012, 0.492, "b", "Mask over time: white = hidden; ▾ frames of (a)"),
        (0.405, 0.492, "c", f"In 3D{within}, t = {middle / scene.fps:.2f} s"),
        (0.715, 0.492, "d", "Paths from above; • = moment of (c)"),
    ):
        figure.text(x, y, letter, fontsize=TITLE + 1, weight="bold", va="center")
        figure.text(x + 0.014, y, words, fontsize=TITLE, va="center")
    handles = _demo_handles(scene)
    legend = figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.937),
        ncols=len(handles),
        frameon=False,
        fontsize=TEXT,
        handlelength=1.8,
        columnspacing=1.6,
    )
    fit(legend.get_texts())
    note = figure.text(0.012, 0.012, footnote, va="bottom", fontsize=SMALL - 1, color="0.35")
    for text in (heading, note):
        text.set_parse_math(False)
        fit([text])
    return save(figure, path)


def draw_mask(
    occluded: Bool[Array | np.ndarray, "*people frames joints"],
    path: str | PathLike[str],
    skeleton: Skeleton | None = None,
    fps: float | int | None = None,
    titles: Sequence[str] = (),
) -> Path:
    """Writes the mask strip of one person (frames, joints), or one strip per person (people, frames, joints).

    titles: what stands above each strip instead of "person 1" and so on. See `plot_mask` for what it shows
    and for drawing on Axes of your own. Returns the path. Raises ValueError for an empty mask, another rank
    or dtype, or a joint count that is not the skeleton's.
    """
    strips = _checked_mask(occluded, (2, 3), skeleton)
    strips = strips[None] if strips.ndim == 2 else strips
    people = len(strips)
    figure = Figure(figsize=(9, 0.55 + 2.3 * people), dpi=DPI, layout="constrained")
    for person, strip in enumerate(strips):
        axes = figure.add_subplot(people, 1, person + 1)
        plot_mask(axes, strip, skeleton, fps, "black" if people == 1 else color_of(person))
        if people > 1 or titles:
            axes.set_title(titles[person] if titles else f"person {person + 1}", fontsize=TEXT)
    return save(figure, path)


def draw_sequences(
    scenes: Mapping[str, Scene],
    frames: Sequence[int],
    titles: Sequence[str],
    path: str | PathLike[str],
    people_names: Sequence[str] = (),
) -> Path:
    """Writes poses against truth over time: a row for every person and every scene, a column a frame.

    scenes: what the rows are called, with the same people in each; rows of one person stand together. titles:
    one a frame. people_names: what the people are called instead of "person 1" and so on. Returns the path.
    Raises ValueError for no scenes or frames, and for a frame that a scene does not have.
    """
    if not scenes or not frames or len(titles) != len(frames):
        raise ValueError(
            f"scenes {list(scenes)}, frames {list(frames)} and titles {list(titles)}: pass at least one "
            "scene and one frame, and a title for each frame"
        )
    prepared = {name: prepare_scene(scene) for name, scene in scenes.items()}
    people = len(next(iter(prepared.values())).predicted)
    rows = [(person, name) for person in range(people) for name in prepared]
    figure = Figure(figsize=(2.6 * len(frames) + 0.4, 2.7 * len(rows) + 0.6), dpi=DPI)
    grid = figure.add_gridspec(
        len(rows), len(frames), left=0.045, right=0.985, top=0.95, bottom=0.03, wspace=0.1, hspace=0.18
    )
    for row, (person, name) in enumerate(rows):
        scene = prepared[name]
        one = slice(person, person + 1)
        alone = scene._replace(
            keypoints=scene.keypoints[one],
            occluded=scene.occluded[one],
            predicted=scene.predicted[one],
            truth=None if scene.truth is None else scene.truth[one],
            rival=None,
            true_keypoints=None,
        )
        for column, (frame, title) in enumerate(zip(frames, titles, strict=True)):
            axes = figure.add_subplot(grid[row, column], projection="3d")
            plot_pose(axes, alone, frame)
            for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
                axis.set_label_text("")
            if row == 0:
                axes.set_title(title, fontsize=TEXT)
        box = grid[row, 0].get_position(figure)
        who = people_names[person] if people_names else f"person {person + 1}"
        words = textwrap.fill(name if people == 1 else f"{who}: {name}", 36)  # as wide as a row is high
        figure.text(0.012, (box.y0 + box.y1) / 2, words, rotation=90, va="center", fontsize=SMALL)
    return save(figure, path)


def _places(scene: Scene) -> Float[np.ndarray, "people frames joints 2"]:
    """Where every joint is drawn on the image: seen ones as detected, hidden ones at their true or
    interpolated place.

    A joint that is never seen has no interpolated place and stays NaN.
    """
    places = np.asarray(scene.keypoints)
    hidden = ~np.isfinite(places[..., 0])
    if scene.true_keypoints is None:
        filled = np.asarray(
            fill_gaps(jnp.asarray(places, dtype=jnp.float32), jnp.asarray(hidden)), np.float64
        )
        filled = np.where(hidden.all(axis=1)[:, None, :, None], np.nan, filled)
    else:
        filled = np.asarray(scene.true_keypoints)
    return np.where(hidden[..., None], filled, places)


def _moments(scene: Scene) -> list[int]:
    """Up to four frames: before the hidden stretch, twice inside it, and after it."""
    start, stop = hidden_stretch(scene.occluded, scene.hidden_share)
    centre, inside, outside = (start + stop - 1) / 2, (stop - start) / 4, max(stop - start, scene.fps / 2)
    wanted = centre + np.array([-outside, -inside, inside, outside])
    return sorted({int(frame) for frame in np.clip(np.rint(wanted), 0, scene.occluded.shape[1] - 1)})


def _window(scene: Scene, moments: list[int], aspect: float) -> tuple[float, float, float, float]:
    """The part of the image that holds everybody then, grown to the panel's aspect (width / height)."""
    size = np.array([scene.width, scene.height], dtype=np.float64)
    points = _places(scene)[:, moments].reshape(-1, 2)
    points = points[np.isfinite(points[:, 0])]
    if not len(points):
        low, high = np.zeros(2), size
    else:
        # An outlier far outside the image must not widen the view.
        low, high = np.clip(points.min(0), 0, size), np.clip(points.max(0), 0, size)
        margin = 0.08 * (high - low).max() + 0.01 * size.max()
        low, high = low - margin, high + margin
    low, high = _grow(low, high, aspect)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _grow(
    low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"], aspect: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """The smallest box around (low, high), with the same centre, whose width / height is ``aspect``."""
    width, height = high - low
    extra = np.array([max(aspect * height - width, 0.0), max(width / aspect - height, 0.0)]) / 2
    return low - extra, high + extra


def _demo_handles(scene: Scene) -> list[Line2D]:
    people = range(len(scene.predicted))
    handles = [Line2D([], [], color=color_of(p), lw=2, label=person_label(scene, p)) for p in people]
    if scene.truth is not None:
        handles.append(Line2D([], [], color=TRUTH_COLOR, lw=2.6, label="truth"))
    if scene.rival is not None:
        handles.append(Line2D([], [], color="0.3", lw=1.2, ls=":", label=scene.rival_label))
    place = "interpolated" if scene.true_keypoints is None else "true place"
    handles.append(Line2D([], [], color="0.2", marker="o", ms=4, ls="", label="joint seen"))
    words = f"joint hidden ({place} in a)"
    handles.append(Line2D([], [], color="0.2", marker="o", ms=5, ls="", mfc="white", mew=1.1, label=words))
    if scene.screen is not None:
        handles.append(Line2D([], [], color=SCREEN_COLOR, marker="s", ms=9, ls="", label="obstacle"))
    share = f"≥ {100 * scene.hidden_share:.0f} % of joints hidden"
    handles.append(Line2D([], [], color="0.4", lw=8, alpha=0.45, label=share))
    return handles


def _checked_mask(
    occluded: Shaped[Array | np.ndarray, "..."], ranks: tuple[int, ...], skeleton: Skeleton | None
) -> Bool[np.ndarray, "..."]:
    occluded = np.asarray(occluded)
    if occluded.ndim not in ranks or occluded.dtype != np.bool_ or occluded.size == 0:
        raise ValueError(
            f"occluded has shape {occluded.shape} and dtype {occluded.dtype}: pass booleans with "
            f"{' or '.join(map(str, ranks))} axes ending in (frames, joints), none of them empty"
        )
    if skeleton is not None and occluded.shape[-1] != skeleton.num_joints:
        raise ValueError(
            f"occluded has {occluded.shape[-1]} joints, but {skeleton.name} has {skeleton.num_joints}: "
            "pass the skeleton that the mask comes in"
        )
    return occluded
