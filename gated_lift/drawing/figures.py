"""What all figures share: colours, sizes, and how they are saved."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

# Okabe and Ito's colours, which the colour-blind can tell apart; one a person (or a network), in this order
# everywhere.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TRUTH_COLOR = "#8A8A8A"
DPI = 160
TITLE, TEXT, SMALL = 10.5, 9.0, 8.0


def color_of(index: int) -> str:
    """The colour of a person, or of a line in a chart; it repeats after the last one."""
    return COLORS[index % len(COLORS)]


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white")
    return path


def fit(texts: Sequence[Text]) -> None:
    """Shrinks texts that stand in one row of a figure so that the caller's long words stay inside it."""
    figure = texts[0].get_figure()
    if figure is None:
        return
    # What is beside the words (legend handles, margins) needs about a fortieth of the width each.
    room = figure.bbox.width * (1 - (len(texts) + 1) / 25)
    width = sum(text.get_window_extent().width for text in texts)
    for text in texts:
        text.set_fontsize(float(text.get_fontsize()) * min(1.0, room / max(width, 1.0)))


def tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
