"""Charts: lines through the right numbers, gaps where there are none, and files with ink on them."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from gated_lift.drawing.charts import (
    ErrorRow,
    draw_bars,
    draw_curves,
    draw_error_by_ratio,
    plot_bars,
    plot_curves,
    plot_error_by_ratio,
)


def test_curves_leave_gaps(tmp_path):
    steps = np.arange(5)
    history = {
        "training": (steps, [5.0, 4.0, np.nan, np.inf, 1.0]),
        "validation": (jnp.arange(2), jnp.ones(2)),
    }
    axes = Figure().add_subplot()
    plot_curves(axes, history)
    assert [line.get_label() for line in axes.lines] == ["training", "validation"]
    np.testing.assert_array_equal(np.isnan(axes.lines[0].get_ydata()), [0, 0, 1, 1, 0])
    path = draw_curves(history, tmp_path / "curves.png", "step", "loss", log=True)
    assert (imread(path)[..., :3].mean(axis=-1) < 0.9).mean() > 0.003


@pytest.mark.parametrize(
    ("history", "words"),
    [({}, "history is empty"), ({"loss": (np.zeros(3), np.zeros(4))}, "history\\['loss'\\] has shapes")],
)
def test_bad_curves(history, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_curves(history, tmp_path / "curves.png", "step", "loss")


def rows():
    return [
        ErrorRow(network, kernel, ratio, error)
        for kernel in (25, 75)
        for ratio in (0.5, 0.0)
        for network, error in (("gated", 70 + 60 * ratio), ("plain", 80 + 100 * ratio))
    ]


def test_error_lines_run_by_ratio_and_keep_their_colour():
    figure = Figure()
    both, alone = figure.subplots(1, 2)
    plot_error_by_ratio(both, [row for row in rows() if row.kernel_frames == 25], ["gated", "plain"])
    plain = [row for row in rows() if row.network == "plain" and row.kernel_frames == 75]
    plot_error_by_ratio(alone, [*plain, ErrorRow("plain", 75, 1.0, np.nan)], ["gated", "plain"])
    np.testing.assert_allclose(both.lines[0].get_xydata(), [[0, 70], [50, 100]])
    np.testing.assert_allclose(alone.lines[1].get_xydata(), [[0, 80], [50, 130]])
    assert alone.lines[1].get_color() == both.lines[1].get_color() != both.lines[0].get_color()


def test_error_file_has_a_panel_per_kernel(tmp_path):
    path = draw_error_by_ratio(rows(), tmp_path / "ratio.png", "PA-MPJPE")
    dark = imread(path)[..., :3].mean(axis=-1) < 0.3
    # The left spine of each panel is a long dark column.
    spines = np.flatnonzero(dark.mean(axis=0) > 0.5)
    assert (np.diff(spines) > 20).sum() + 1 == 2


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "rows is empty"),
        ([*rows(), rows()[0]], "more than once"),
        ([ErrorRow("gated", 25, 50.0, 70.0)], "not per cent"),
    ],
)
def test_bad_rows(bad, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_error_by_ratio(bad, tmp_path / "ratio.png")


def test_network_without_a_place_in_the_legend():
    with pytest.raises(ValueError, match="plain"):
        plot_error_by_ratio(Figure().add_subplot(), rows()[:2], ["gated"])


def test_bars_stand_beside_each_other_in_their_group(tmp_path):
    series = {"gated": (50.0, 60.0), "plain": (55.0, np.nan), "other": (70.0, 80.0)}
    axes = Figure().add_subplot()
    plot_bars(axes, ("walk", "dance"), series)
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    np.testing.assert_array_equal(heights, list(series.values()))
    centres = np.array([[bar.get_x() + bar.get_width() / 2 for bar in group] for group in axes.containers])
    np.testing.assert_allclose(centres.mean(axis=0), (0, 1), atol=1e-6)
    # No two bars overlap, and groups stay apart.
    edges = np.sort(centres.ravel())
    assert np.diff(edges).min() > axes.containers[0][0].get_width()
    path = draw_bars(("walk", "dance"), series, tmp_path / "bars.png", "mm", "errors")
    assert (imread(path)[..., :3].mean(axis=-1) < 0.9).mean() > 0.05
    with pytest.raises(ValueError, match=r"series\['gated'\] has 1 values: pass one for each of 2"):
        draw_bars(("walk", "dance"), {"gated": (1.0,)}, tmp_path / "bars.png", "mm")
    with pytest.raises(ValueError, match="groups or series is empty"):
        draw_bars((), {}, tmp_path / "bars.png", "mm")
