"""Pictures of a recovered scene, of training and of evaluation; every panel is a function on a Matplotlib
Axes.

Figures are built without pyplot, so nothing global is touched and no display is needed. Hidden keypoints are
replaced by NaN before anything is drawn: whatever a detector guessed there is never shown. People whose
solve failed (NaN joints) are absent from the picture and named as not recovered in its legend.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from gated_lift.occlusion import fill_gaps
from gated_lift.skeleton import Skeleton

# Okabe and Ito's colours, which the colour-blind can tell apart; one a person (or a network), in this order
# everywhere.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TRUTH_COLOR = "#8A8A8A"
# A person with at least this share of joints hidden counts as mostly hidden.
MOSTLY_HIDDEN = 0.75
# What other paths may add to the view of the trusted ones, in metres: a diverged path must not shrink the
# rest to a dot.
VIEW_SLACK = 1.5

_DPI = 160
_TITLE, _TEXT, _SMALL = 10.5, 9.0, 8.0
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")


class Scene(NamedTuple):
    """What the pictures and the player show of P people over F frames.

    keypoints: pixels, origin top left; where ``occluded`` is True they may be anything and are not used.
    occluded: True = hidden.
    width, height: of the image, pixels.
    predicted, truth, rival: absolute joints in metres, camera axes x right, y down, z forward; a person
    whose solve
        failed is NaN.
    true_keypoints: where hidden joints really are on the image; without it they are interpolated in time.
    """

    skeleton: Skeleton
    fps: float
    keypoints: Float[Array | np.ndarray, "people frames joints 2"]
    occluded: Bool[Array | np.ndarray, "people frames joints"]
    width: int
    height: int
    predicted: Float[Array | np.ndarray, "people frames joints 3"]
    truth: Float[Array | np.ndarray, "people frames joints 3"] | None = None
    rival: Float[Array | np.ndarray, "people frames joints 3"] | None = None
    rival_label: str = "rival"
    true_keypoints: Float[Array | np.ndarray, "people frames joints 2"] | None = None


class ErrorRow(NamedTuple):
    """One cell of an evaluation: a network's error (mm) at a hidden share (0 to 1) and kernel K (frames)."""

    network: str
    kernel_frames: int
    ratio: float
    error_mm: float


def prepare_scene(scene: Scene) -> Scene:
    """The scene as NumPy arrays (float64), with NaN for hidden keypoints and for everything that is not
    finite.

    Raises ValueError, naming the field, both shapes and the mend, when there are no people or frames, when
    shapes disagree, when ``occluded`` is not boolean, or when fps, width or height are not positive.
    """
    occluded = np.asarray(scene.occluded)
    if occluded.ndim != 3 or occluded.dtype != np.bool_:
        raise ValueError(
            f"occluded has shape {occluded.shape} and dtype {occluded.dtype}: "
            "pass booleans (people, frames, joints), True where a joint is hidden"
        )
    if 0 in occluded.shape:
        raise ValueError(
            f"occluded has shape {occluded.shape}: a scene needs at least one person, frame and joint"
        )
    if occluded.shape[-1] != scene.skeleton.num_joints:
        raise ValueError(
            f"occluded has {occluded.shape[-1]} joints, but {scene.skeleton.name} has "
            f"{scene.skeleton.num_joints}: pass the skeleton that the arrays come in"
        )
    for name, value in (("fps", scene.fps), ("width", scene.width), ("height", scene.height)):
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: pass a positive, finite number")

    def array(name: str, dims: int) -> np.ndarray | None:
        value = getattr(scene, name)
        if value is None:
            return None
        value = np.asarray(value)
        if value.shape != (*occluded.shape, dims):
            raise ValueError(
                f"{name} has shape {value.shape}, but occluded has {occluded.shape}: "
                f"pass {name} as {(*occluded.shape, dims)}"
            )
        value = value.astype(np.float64)
        return np.where(np.isfinite(value).all(axis=-1, keepdims=True), value, np.nan)

    keypoints, predicted = array("keypoints", 2), array("predicted", 3)
    if keypoints is None or predicted is None:
        raise ValueError("keypoints or predicted is None: pass pixels and metres, NaN where a solve failed")
    return scene._replace(
        keypoints=np.where(occluded[..., None], np.nan, keypoints),
        occluded=occluded,
        predicted=predicted,
        truth=array("truth", 3),
        rival=array("rival", 3),
        true_keypoints=array("true_keypoints", 2),
    )


def mostly_hidden(
    occluded: Bool[Array | np.ndarray, "people frames joints"],
) -> Bool[np.ndarray, "people frames"]:
    """mean over joints of occluded >= MOSTLY_HIDDEN."""
    return np.asarray(np.asarray(occluded).mean(axis=-1) >= MOSTLY_HIDDEN)


def hidden_stretch(occluded: Bool[Array | np.ndarray, "people frames joints"]) -> tuple[int, int]:
    """(first, past-the-last) frame of the longest stretch in which one person is mostly hidden.

    Where nobody is, the single frame at which one person has the most hidden joints (the middle frame when
    every joint is seen).
    """
    best = (0, 0)
    for flags in mostly_hidden(occluded):
        for start, stop in _runs(flags):
            if stop - start > best[1] - best[0]:
                best = (start, stop)
    if best[1]:
        return best
    hidden = np.asarray(occluded).mean(axis=-1).max(axis=0)
    frame = int(hidden.argmax()) if hidden.any() else len(hidden) // 2
    return frame, frame + 1


def path_joint(skeleton: Skeleton) -> int:
    """The joint that stands for a person on a path: the hip centre, or the root where a format has none."""
    return skeleton.names.index("hip") if "hip" in skeleton.names else 0


def person_label(scene: Scene, person: int) -> str:
    """'person 1', counted from one, with a note when nothing of the person was recovered."""
    lost = not np.isfinite(np.asarray(scene.predicted)[person]).any()
    return f"person {person + 1}" + (" (not recovered)" if lost else "")


def color_of(index: int) -> str:
    """The colour of a person, or of a line in a chart; it repeats after the last one."""
    return COLORS[index % len(COLORS)]


# Panels


def plot_keypoints(
    axes: Axes, scene: Scene, frame: int, window: tuple[float, float, float, float] | None = None
) -> None:
    """Keypoints of every person at one frame: dots where seen, rings where hidden.

    window: (left, right, top, bottom) pixels to show; the whole image by default. Hidden joints stand at
    their true place when the scene has it, else at the place that linear interpolation in time gives; never
    where the detector put them. Raises ValueError for a frame outside the scene.
    """
    scene = prepare_scene(scene)
    _check_frame(scene, frame)
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
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    _tidy(axes)
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
    axes.set_xlabel("frame" if fps is None else "time (s)", fontsize=_TEXT)
    _tidy(axes)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    if skeleton is not None:
        # Names may not touch: their size follows the height of a row, and rows too low go without.
        row_points = axes.get_window_extent().height / axes.figure.dpi * 72 / joints
        size = min(_SMALL, 0.95 * row_points)
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
    _check_frame(scene, frame)
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
        axis.set_major_locator(MaxNLocator(4))
        axis.set_label_text(label, fontsize=_SMALL)
        axis.labelpad = -2
        axis.set_tick_params(labelsize=_SMALL - 1, pad=-1)
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
    hidden = mostly_hidden(scene.occluded)

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
        for start, stop in _runs(hidden[person]):
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
            _check_frame(scene, frame)
            axes.plot(*path[frame], "o", ms=6, color=color, mec="white", mew=1.0, zorder=6)
    trusted = predicted if truth is None else truth
    low, high = view_box([trusted, predicted, *([] if rival is None else [rival])])
    box = axes.get_window_extent()
    low, high = _grow(low, high, box.width / box.height)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_xlabel("x (m); the camera stands at (0, 0)", fontsize=_TEXT)
    axes.set_ylabel("depth (m)", fontsize=_TEXT)
    axes.grid(color="0.92", lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    _tidy(axes)


def plot_curves(axes: Axes, history: Mapping[str, tuple[Sequence | np.ndarray | Array, ...]]) -> None:
    """One line per name over its (x, y) arrays; values that are not finite are gaps.

    Raises ValueError when there are no curves, or when an x and its y are not vectors of one length.
    """
    if not history:
        raise ValueError("history is empty: pass at least one name with its (x, y) arrays")
    for index, (name, curve) in enumerate(history.items()):
        shapes = [np.shape(values) for values in curve]
        if len(curve) != 2 or shapes[0] != shapes[1] or len(shapes[0]) != 1:
            raise ValueError(f"history[{name!r}] has shapes {shapes}: pass (x, y), two vectors of one length")
        x, y = (np.asarray(values, dtype=np.float64) for values in curve)
        y = np.where(np.isfinite(y), y, np.nan)
        # A curve of few points gets dots: a single point would not show otherwise.
        marker = "o" if len(x) < 30 else ""
        axes.plot(
            x, y, color=color_of(index), ls=_series_dash(index), lw=1.6, marker=marker, ms=3.5, label=name
        )
    axes.grid(color="0.92", lw=0.8)
    axes.legend(frameon=False, fontsize=_TEXT)
    _tidy(axes)


def plot_error_by_ratio(axes: Axes, rows: Sequence[ErrorRow], networks: Sequence[str]) -> None:
    """Error (mm) against occlusion ratio (%), one line per network, for rows of one K.

    networks fixes which colour and marker each name gets, so that panels agree. Errors that are not finite
    leave their point out. Raises ValueError when a (network, ratio) occurs twice or a row's network is not
    listed.
    """
    _check_rows(rows)
    unknown = sorted({row.network for row in rows} - set(networks))
    if unknown:
        raise ValueError(f"rows name networks that networks lacks: {unknown}; add them to networks")
    for index, network in enumerate(networks):
        cells = sorted((row.ratio, row.error_mm) for row in rows if row.network == network)
        x, y = np.asarray(cells, dtype=np.float64).reshape(-1, 2).T
        known = np.isfinite(y)
        axes.plot(
            100 * x[known],
            y[known],
            color=color_of(index),
            ls=_series_dash(index),
            marker=_MARKERS[index % len(_MARKERS)],
            ms=5,
            lw=1.6,
            label=network,
        )
    ratios = sorted({100 * row.ratio for row in rows})
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.set_xlabel("hidden joints (%)", fontsize=_TEXT)
    axes.grid(color="0.92", lw=0.8)
    _tidy(axes)


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
    start, stop = hidden_stretch(scene.occluded)
    middle, moments = (start + stop) // 2, _moments(scene)
    figure = Figure(figsize=(13, 8.9), dpi=_DPI)
    heading = figure.text(0.5, 0.972, title, ha="center", va="center", fontsize=12.5, weight="bold")

    top = figure.add_gridspec(1, len(moments), left=0.055, right=0.985, top=0.865, bottom=0.575, wspace=0.16)
    axes_row = [figure.add_subplot(top[column]) for column in range(len(moments))]
    box = axes_row[0].get_window_extent()
    window = _window(scene, moments, box.width / box.height)
    for axes, frame in zip(axes_row, moments, strict=True):
        plot_keypoints(axes, scene, frame, window)
        axes.set_title(f"t = {frame / scene.fps:.2f} s", fontsize=_TEXT)
        axes.set_xlabel("image x (px)", fontsize=_SMALL)
    axes_row[0].set_ylabel("image y (px)", fontsize=_SMALL)

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

    hides = mostly_hidden(scene.occluded)[:, middle].any()
    around, within = (", before, inside and after the hidden stretch", " while hidden") if hides else ("", "")
    for x, y, letter, words in (
        (0.012, 0.902, "a", f"On the image{around}"),
        (0.012, 0.492, "b", "Mask over time: white = hidden; ▾ frames of (a)"),
        (0.405, 0.492, "c", f"In 3D{within}, t = {middle / scene.fps:.2f} s"),
        (0.715, 0.492, "d", "Paths from above; • = moment of (c)"),
    ):
        figure.text(x, y, letter, fontsize=_TITLE + 1, weight="bold", va="center")
        figure.text(x + 0.014, y, words, fontsize=_TITLE, va="center")
    handles = _demo_handles(scene)
    legend = figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.937),
        ncols=len(handles),
        frameon=False,
        fontsize=_TEXT,
        handlelength=1.8,
        columnspacing=1.6,
    )
    _fit(legend.get_texts())
    note = figure.text(0.012, 0.012, footnote, va="bottom", fontsize=_SMALL - 1, color="0.35")
    for text in (heading, note):
        text.set_parse_math(False)
        _fit([text])
    return _save(figure, path)


def draw_mask(
    occluded: Bool[Array | np.ndarray, "*people frames joints"],
    path: str | PathLike[str],
    skeleton: Skeleton | None = None,
    fps: float | int | None = None,
) -> Path:
    """Writes the mask strip of one person (frames, joints), or one strip per person (people, frames, joints).

    See `plot_mask` for what it shows and for drawing on Axes of your own. Returns the path. Raises
    ValueError for an empty mask, another rank or dtype, or a joint count that is not the skeleton's.
    """
    strips = _checked_mask(occluded, (2, 3), skeleton)
    strips = strips[None] if strips.ndim == 2 else strips
    people = len(strips)
    figure = Figure(figsize=(9, 0.55 + 2.3 * people), dpi=_DPI, layout="constrained")
    for person, strip in enumerate(strips):
        axes = figure.add_subplot(people, 1, person + 1)
        plot_mask(axes, strip, skeleton, fps, "black" if people == 1 else color_of(person))
        if people > 1:
            axes.set_title(f"person {person + 1}", fontsize=_TEXT)
    return _save(figure, path)


def draw_curves(
    history: Mapping[str, tuple[Sequence | np.ndarray | Array, ...]],
    path: str | PathLike[str],
    xlabel: str,
    ylabel: str,
    log: bool = False,
) -> Path:
    """Writes training curves as `plot_curves` draws them; ``log`` scales y by decades.

    Returns the path. Raises ValueError as `plot_curves` does.
    """
    figure = Figure(figsize=(7.5, 4.4), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    plot_curves(axes, history)
    axes.set_xlabel(xlabel, fontsize=_TEXT)
    axes.set_ylabel(ylabel, fontsize=_TEXT)
    if log:
        axes.set_yscale("log")
        axes.tick_params(which="both", labelsize=_SMALL)
    return _save(figure, path)


def draw_error_by_ratio(rows: Sequence[ErrorRow], path: str | PathLike[str], metric: str = "error") -> Path:
    """Writes error (mm) against occlusion ratio: one panel per K, one line per network, in the order of the
    rows.

    metric: its name on the axis, for instance "PA-MPJPE". Returns the path. Raises ValueError when there are
    no rows, when a (network, K, ratio) occurs twice, or when a ratio is outside 0 to 1.
    """
    if not rows:
        raise ValueError("rows is empty: pass at least one ErrorRow")
    _check_rows(rows)
    kernels = sorted({row.kernel_frames for row in rows})
    networks = list(dict.fromkeys(row.network for row in rows))
    figure = Figure(figsize=(1.2 + 3.4 * max(len(kernels), 2), 4.6), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(kernels), sharey=True, squeeze=False)[0]
    for axes, kernel in zip(panels, kernels, strict=True):
        plot_error_by_ratio(axes, [row for row in rows if row.kernel_frames == kernel], networks)
        axes.set_title(f"K = {kernel} frames", fontsize=_TITLE)
    panels[0].set_ylabel(f"{metric} (mm)", fontsize=_TEXT)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(len(networks), max(len(kernels), 2))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=_TEXT)
    return _save(figure, path)


def _save(figure: Figure, path: str | PathLike[str]) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, facecolor="white")
    return path


def _fit(texts: Sequence[Text]) -> None:
    """Shrinks texts that stand in one row of a figure so that the caller's long words stay inside it."""
    figure = texts[0].get_figure()
    if figure is None:
        return
    # What is beside the words (legend handles, margins) needs about a fortieth of the width each.
    room = figure.bbox.width * (1 - (len(texts) + 1) / 25)
    width = sum(text.get_window_extent().width for text in texts)
    for text in texts:
        text.set_fontsize(float(text.get_fontsize()) * min(1.0, room / max(width, 1.0)))


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=_SMALL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _series_dash(index: int) -> str:
    return _DASHES[index // len(COLORS) % len(_DASHES)]


def upright(points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Camera axes (x right, y down, z forward) as plot axes (x right, z away, up)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _runs(flags: Bool[np.ndarray, " frames"]) -> list[tuple[int, int]]:
    """(first, past-the-last) index of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


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
    start, stop = hidden_stretch(scene.occluded)
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


def view_box(clouds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a box around the first cloud that has points; later ones may widen it by VIEW_SLACK."""
    low = high = None
    for cloud in clouds:
        points = cloud.reshape(-1, cloud.shape[-1])
        points = points[np.isfinite(points).all(axis=-1)]
        if not len(points):
            continue
        if low is None or high is None:
            low, high = points.min(0), points.max(0)
            floor, ceiling = low - VIEW_SLACK, high + VIEW_SLACK
        low = np.minimum(low, np.maximum(points.min(0), floor))
        high = np.maximum(high, np.minimum(points.max(0), ceiling))
    if low is None or high is None:
        low, high = np.zeros(clouds[0].shape[-1]), np.ones(clouds[0].shape[-1])
    margin = 0.06 * (high - low).max() + 0.05
    return low - margin, high + margin


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
    share = f"≥ {100 * MOSTLY_HIDDEN:.0f} % of joints hidden"
    handles.append(Line2D([], [], color="0.4", lw=8, alpha=0.45, label=share))
    return handles


def _check_frame(scene: Scene, frame: int) -> None:
    frames = np.shape(scene.occluded)[1]
    if not 0 <= frame < frames:
        raise ValueError(f"frame is {frame}, but the scene has {frames} frames: pass 0 to {frames - 1}")


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


def _check_rows(rows: Sequence[ErrorRow]) -> None:
    cells = [(row.network, row.kernel_frames, row.ratio) for row in rows]
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise ValueError(f"rows holds {twice[0]} more than once: average over subjects first")
    for row in rows:
        if not 0 <= row.ratio <= 1:
            raise ValueError(f"row {row} has ratio {row.ratio}: pass a share between 0 and 1, not per cent")
