"""Charts of training and of evaluation; every panel is a function on a Matplotlib Axes."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gated_lift.drawing.figures import COLORS, DPI, SMALL, TEXT, TITLE, color_of, save, tidy

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")


class ErrorRow(NamedTuple):
    """One cell of an evaluation: a network's error (mm) at a hidden share (0 to 1) and kernel K (frames)."""

    network: str
    kernel_frames: int
    ratio: float
    error_mm: float


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
    axes.legend(frameon=False, fontsize=TEXT)
    tidy(axes)


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
    axes.set_xlabel("hidden joints (%)", fontsize=TEXT)
    axes.grid(color="0.92", lw=0.8)
    tidy(axes)


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
    figure = Figure(figsize=(7.5, 4.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    plot_curves(axes, history)
    axes.set_xlabel(xlabel, fontsize=TEXT)
    axes.set_ylabel(ylabel, fontsize=TEXT)
    if log:
        axes.set_yscale("log")
        axes.tick_params(which="both", labelsize=SMALL)
    return save(figure, path)


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
    figure = Figure(figsize=(1.2 + 3.4 * max(len(kernels), 2), 4.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(kernels), sharey=True, squeeze=False)[0]
    for axes, kernel in zip(panels, kernels, strict=True):
        plot_error_by_ratio(axes, [row for row in rows if row.kernel_frames == kernel], networks)
        axes.set_title(f"K = {kernel} frames", fontsize=TITLE)
    panels[0].set_ylabel(f"{metric} (mm)", fontsize=TEXT)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(len(networks), max(len(kernels), 2))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=TEXT)
    return save(figure, path)


def plot_bars(
    axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float]], legend: bool = True
) -> None:
    """Groups of bars, one bar a series in each; values that are not finite leave a gap.

    Raises ValueError when there is nothing to draw, or when a series has not one value a group.
    """
    if not groups or not series:
        raise ValueError("groups or series is empty: pass at least one of each")
    for name, values in series.items():
        if len(values) != len(groups):
            raise ValueError(f"series[{name!r}] has {len(values)} values: pass one for each of {len(groups)}")
    width = 0.8 / len(series)
    places = np.arange(len(groups))
    for index, (name, values) in enumerate(series.items()):
        offset = (index - (len(series) - 1) / 2) * width
        axes.bar(places + offset, values, 0.9 * width, color=color_of(index), label=name)
    # Long names would run into each other.
    crowded = sum(map(len, groups)) > 60
    axes.set_xticks(places, groups, rotation=20 if crowded else 0, ha="right" if crowded else "center")
    axes.grid(axis="y", color="0.92", lw=0.8)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(frameon=False, fontsize=SMALL)
    tidy(axes)


def draw_bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    path: str | PathLike[str],
    ylabel: str,
    title: str = "",
) -> Path:
    """Writes groups of bars as `plot_bars` draws them, with the legend below. Returns the path."""
    figure = Figure(figsize=(max(6.0, 1.2 + 1.05 * len(groups)), 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    plot_bars(axes, groups, series, legend=False)
    axes.set_ylabel(ylabel, fontsize=TEXT)
    axes.set_title(title, fontsize=TITLE)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(3, len(series)), frameon=False, fontsize=SMALL
    )
    return save(figure, path)


def draw_reliability(
    curves: Mapping[str, tuple[Sequence | np.ndarray | Array, ...]], path: str | PathLike[str]
) -> Path:
    """Writes how often (%) the truth lay in regions of each stated probability (%): a line per name, and the
    diagonal on which statements are true. Above it regions are too wide, below it too narrow.

    Returns the path. Raises ValueError as `plot_curves` does.
    """
    figure = Figure(figsize=(5.2, 5.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.fill_between((0, 100), (-5, 95), (5, 105), color="0.93", lw=0)
    axes.plot((0, 100), (0, 100), color="0.6", lw=1)
    plot_curves(axes, curves)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xlabel("stated probability (%)", fontsize=TEXT)
    axes.set_ylabel("truth inside the region (%)", fontsize=TEXT)
    return save(figure, path)


def _series_dash(index: int) -> str:
    return _DASHES[index // len(COLORS) % len(_DASHES)]


def _check_rows(rows: Sequence[ErrorRow]) -> None:
    cells = [(row.network, row.kernel_frames, row.ratio) for row in rows]
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise ValueError(f"rows holds {twice[0]} more than once: average over subjects first")
    for row in rows:
        if not 0 <= row.ratio <= 1:
            raise ValueError(f"row {row} has ratio {row.ratio}: pass a share between 0 and 1, not per cent")
