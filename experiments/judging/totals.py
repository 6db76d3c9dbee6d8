"""What networks' errors add up to, stretch by stretch: every mean, grouping and interval follows from it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gated_lift.readers.json_file import parse_json
from gated_lift.readers.npz import read_npz

COLUMNS = {
    "hidden": ("hidden %", 100.0),
    "pa_mpjpe": ("PA-MPJPE", 1000.0),
    "mpjpe": ("MPJPE", 1000.0),
    "n_mpjpe_absolute": ("N-MPJPE absolute", 1000.0),
    "mpjve": ("MPJVE mm/s", 1000.0),
    "acceleration_error": ("accel. mm/s²", 1000.0),
    "pck": ("PCK@150 %", 100.0),
    "auc": ("AUC %", 100.0),
    "root_error": ("root", 1000.0),
    "root_error_fully_hidden": ("root in full occlusion", 1000.0),
    "unsolved": ("unsolved %", 100.0),
}
# PA-MPJPE by the frames for which a joint is hidden at a stretch: shortest and longest.
RUNS = {
    "visible": (0, 0),
    "1-12 frames": (1, 12),
    "13-25 frames": (13, 25),
    "26-50 frames": (26, 50),
    "51-100 frames": (51, 100),
    "over 100 frames": (101, 10**6),
}
METRICS = (*COLUMNS, *RUNS)


class Label(NamedTuple):
    """Whose stretch it is, what they do, and the clip that it was cut from."""

    subject: str
    action: str
    clip: str


class Condition(NamedTuple):
    """masks: ``joints`` hides joints one by one (Eqs. 10, 11), ``body`` the whole person at a time."""

    masks: str
    ratio: float
    kernel_frames: int


def condition_grid(ratios: Sequence[float], kernels: Sequence[int], kinds: Sequence[str]) -> list[Condition]:
    """Ratio 0 once, then every ratio at every K for each kind of masks."""
    grid = [
        Condition(masks, ratio, kernel)
        for masks in kinds
        for kernel in kernels
        for ratio in ratios
        if ratio > 0
    ]
    visible = [Condition("joints", 0.0, kernels[0])] if 0.0 in ratios else []
    return visible + grid


class Totals(NamedTuple):
    """What a network's errors add up to, stretch by stretch: every mean and interval follows from it.

    conditions: C of them. labels, frames: one a stretch, N. sums: (C, N, M, 2), total and count of each of
    METRICS, in metres and seconds.
    """

    conditions: tuple[Condition, ...]
    labels: tuple[Label, ...]
    frames: np.ndarray
    sums: np.ndarray


def save_totals(path: Path, totals: Totals) -> None:
    """An .npz of plain arrays."""
    np.savez_compressed(
        path,
        conditions=np.array([json.dumps(condition) for condition in totals.conditions]),
        labels=np.array([json.dumps(label) for label in totals.labels]),
        metrics=np.array(METRICS),
        frames=totals.frames,
        sums=totals.sums,
    )


def load_totals(path: Path) -> Totals:
    """Raises ValueError where the file was written with other metrics, or is damaged."""
    mend = "evaluate the network again"
    arrays = read_npz(path, ("conditions", "labels", "metrics", "frames", "sums"))
    if tuple(arrays["metrics"].tolist()) != METRICS:
        raise ValueError(f"{path} holds other metrics than today's: {mend}")

    def rows(name: str, kinds: tuple[Any, ...]) -> list[list[Any]]:
        held = [parse_json(str(text), f"{path}, {name},", "a table", mend) for text in arrays[name].ravel()]
        for row in held:
            fits = isinstance(row, list) and len(row) == len(kinds) and all(map(isinstance, row, kinds))
            if not fits:
                raise ValueError(f"{path} has {row!r} among its {name}: {mend}")
        return held

    conditions = tuple(Condition(*row) for row in rows("conditions", (str, float | int, int)))
    labels = tuple(Label(*row) for row in rows("labels", (str, str, str)))
    shapes = {"frames": (len(labels),), "sums": (len(conditions), len(labels), len(METRICS), 2)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind not in "iuf":
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}: {mend}")
    return Totals(conditions, labels, arrays["frames"], arrays["sums"])


def mean_error(totals: Totals, metric: str, condition: Condition, where: np.ndarray | None = None) -> float:
    """A metric over the stretches of ``where`` (N; all by default), in its column's unit; NaN where it is
    nowhere defined.
    """
    value, count = _sums(totals, metric, condition, where).sum(0)
    return float(_scale(metric) * value / count) if count else math.nan


def interval(
    totals: Totals,
    metric: str,
    condition: Condition,
    where: np.ndarray | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % bootstrap interval of `mean_error` over clips: stretches of one clip are drawn together."""
    sums = _sums(totals, metric, condition, where)
    chosen = np.ones(len(totals.labels), bool) if where is None else where
    names = [label.clip for label, keep in zip(totals.labels, chosen, strict=True) if keep]
    clips, owner = np.unique(names, return_inverse=True)
    by_clip = np.zeros((len(clips), 2))
    np.add.at(by_clip, owner, sums)
    times = np.random.default_rng(seed).multinomial(len(clips), np.full(len(clips), 1 / len(clips)), draws)
    value, count = (times @ by_clip).T
    low, high = np.nanquantile(np.where(count > 0, value / np.maximum(count, 1), np.nan), (0.025, 0.975))
    return float(_scale(metric) * low), float(_scale(metric) * high)


def _sums(totals: Totals, metric: str, condition: Condition, where: np.ndarray | None) -> np.ndarray:
    sums = totals.sums[totals.conditions.index(condition), :, METRICS.index(metric)]
    return sums if where is None else sums[where]


def _scale(metric: str) -> float:
    return COLUMNS[metric][1] if metric in COLUMNS else 1000.0
