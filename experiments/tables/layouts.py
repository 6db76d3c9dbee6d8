"""Errors laid out in the paper's rows and columns."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.judging.totals import METRICS, RUNS, Condition, Totals, interval, mean_error
from experiments.reporting import markdown, report, show
from experiments.tables import paper
from experiments.tables.networks import ABLATIONS, CONTESTANTS
from gated_lift.drawing import charts
from gated_lift.synthetic import moving_pairs

# The captures' actions in groups, by the first of these words that the action's name holds.
ACTIONS = {
    "salsa": ("salsa",),
    "dance": ("dance",),
    "walk, run": ("walk", "run"),
    "fight": ("sword", "punch"),
    "wash": ("wash",),
    "bend": ("bend",),
    "jump": ("jump",),
}


# Human3.6M's actions as the paper's columns name them.
HUMAN36M = dict(
    zip(
        (
            *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
            *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
        ),
        paper.ACTIONS,
        strict=False,
    )
)


class Sheet(NamedTuple):
    """One table: values (mm) are those of ``rows`` by ``columns``; NaN where there is none.

    name: of its files. theirs: the rows below ours that the paper reports, under ``theirs_columns``.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    theirs_columns: tuple[str, ...] = ()
    theirs: Mapping[str, tuple[float, ...]] = {}
    notes: tuple[str, ...] = ()


def group_of(action: str) -> str:
    """The column of an action: Human3.6M's own, else the captures' group."""
    if action in HUMAN36M:
        return HUMAN36M[action]
    for group, words in ACTIONS.items():
        if any(word in action.lower() for word in words):
            return group
    return "other"


def label(name: str) -> str:
    """What a contestant is called in the tables; the layouts take results by these names."""
    who = CONTESTANTS[name]
    return f"{who.method} ({who.how})"


def by_action(
    results: Mapping[str, Totals], metric: str, condition: Condition
) -> tuple[tuple[str, ...], dict]:
    """Columns and rows by group of actions, with the mean over groups, as the paper's average, and over all
    frames.
    """
    some = next(iter(results.values()))
    groups = np.array([group_of(entry.action) for entry in some.labels])
    columns = [group for group in (*paper.ACTIONS[:-1], *ACTIONS, "other") if group in groups]
    rows = {}
    for name, totals in results.items():
        values = [mean_error(totals, metric, condition, groups == group) for group in columns]
        everything = mean_error(totals, metric, condition)
        rows[name] = (*values, float(np.mean(values)), everything)
    return (*columns, "Avg.", "all frames"), rows


def intervals(results: Mapping[str, Totals], metric: str, condition: Condition) -> tuple[str, ...]:
    """A note a network: its error over all frames with the 95 % bootstrap interval over clips."""
    notes = []
    for name, totals in results.items():
        low, high = interval(totals, metric, condition)
        notes.append(f"{name}: {mean_error(totals, metric, condition):.1f} [{low:.1f}, {high:.1f}]")
    return ("All frames, with the 95 % bootstrap interval over clips: " + "; ".join(notes) + ".",)


def table_ii(results: Mapping[str, Totals], kernel: int = 25) -> Sheet:
    """The paper does not tell its K; its figures stand beside K = 25."""
    condition = Condition("joints", 0.5, kernel)
    columns, rows = by_action(results, "pa_mpjpe", condition)
    return Sheet(
        "table_II" if kernel == 25 else f"table_II_K{kernel}",
        f"Table II: PA-MPJPE (Protocol 1) in mm, 50 % of the joints hidden, K = {kernel}",
        columns,
        rows,
        paper.ACTIONS,
        paper.TABLE_II if kernel == 25 else {},
        intervals(results, "pa_mpjpe", condition),
    )


def table_iii(results: Mapping[str, Totals], kernel: int = 25) -> Sheet:
    conditions = [Condition("joints", 0.0, 25), *(Condition("joints", r, kernel) for r in (0.25, 0.5))]
    rows = {
        name: tuple(mean_error(totals, "pa_mpjpe", condition) for condition in conditions)
        for name, totals in results.items()
    }
    return Sheet(
        "table_III" if kernel == 25 else f"table_III_K{kernel}",
        f"Table III: PA-MPJPE (Protocol 1) in mm by occlusion ratio, K = {kernel}",
        ("0 %", "25 %", "50 %"),
        rows,
        ("0 %", "25 %", "50 %"),
        paper.TABLE_III if kernel == 25 else {},
        intervals(results, "pa_mpjpe", conditions[-1]),
    )


def table_iv(results: Mapping[str, Totals], kernel: int = 25) -> Sheet:
    """``results`` has the poses of each network placed as it places them."""
    condition = Condition("joints", 0.5, kernel)
    columns, rows = by_action(results, "n_mpjpe_absolute", condition)
    return Sheet(
        "table_IV" if kernel == 25 else f"table_IV_K{kernel}",
        "Table IV: N-MPJPE on absolute joints (Protocol 2) in mm, 50 % of the joints hidden, "
        f"K = {kernel}; Pavllo et al. with their trajectory network, ours with the trajectory solve",
        columns,
        rows,
        paper.ACTIONS,
        paper.TABLE_IV if kernel == 25 else {},
        intervals(results, "n_mpjpe_absolute", condition),
    )


def table_v(results: Mapping[str, Totals]) -> list[Sheet]:
    """By kind of scene of the frozen set: all joints, hidden joints, and absolute joints."""
    condition = Condition("joints", 0.0, 25)
    some = next(iter(results.values()))
    kinds = np.array([entry.action for entry in some.labels])
    columns = tuple(dict.fromkeys(kinds.tolist()))

    def sheet(name: str, title: str, error: Callable[[Totals, np.ndarray], float], **more: Any) -> Sheet:
        rows = {}
        for who, totals in results.items():
            values = [error(totals, kinds == kind) for kind in columns]
            rows[who] = (*values, float(np.mean(values)), error(totals, kinds != ""))
        return Sheet(name, f"Table V: {title}", (*columns, "Avg.", "all frames"), rows, **more)

    return [
        sheet(
            "table_V",
            "PA-MPJPE (Protocol 1) in mm on moving-pairs-v1",
            lambda totals, where: mean_error(totals, "pa_mpjpe", condition, where),
            theirs_columns=paper.KINDS,
            theirs=paper.TABLE_V,
            notes=intervals(results, "pa_mpjpe", condition),
        ),
        sheet(
            "table_V_hidden",
            "PA-MPJPE in mm of the hidden joints of moving-pairs-v1",
            lambda totals, where: hidden_error(totals, condition, where),
        ),
        sheet(
            "table_V_absolute",
            "N-MPJPE on absolute joints (Protocol 2) in mm on moving-pairs-v1",
            lambda totals, where: mean_error(totals, "n_mpjpe_absolute", condition, where),
        ),
    ]


def hidden_error(totals: Totals, condition: Condition, where: np.ndarray) -> float:
    """PA-MPJPE in mm over hidden joints alone."""
    sums = totals.sums[totals.conditions.index(condition)][where]
    hidden = [METRICS.index(name) for name in RUNS if name != "visible"]
    value, count = sums[:, hidden].sum(axis=(0, 1))
    return float(1000 * value / count) if count else math.nan


def by_run(results: Mapping[str, Totals], kernel: int, ratio: float = 0.5) -> Sheet:
    condition = Condition("joints", ratio, kernel)
    return Sheet(
        f"runs_K{kernel}",
        f"PA-MPJPE in mm by how long the joint is hidden at a stretch, {100 * ratio:.0f} % hidden, "
        f"K = {kernel}",
        tuple(RUNS),
        {name: tuple(mean_error(totals, run, condition) for run in RUNS) for name, totals in results.items()},
        notes=(f"Share of joints: {_shares(next(iter(results.values())), condition)}.",),
    )


def _shares(totals: Totals, condition: Condition) -> str:
    counts = totals.sums[totals.conditions.index(condition), :, :, 1].sum(0)
    known = {name: counts[METRICS.index(name)] for name in RUNS}
    return ", ".join(f"{name} {100 * count / sum(known.values()):.1f} %" for name, count in known.items())


def by_kernel(results: Mapping[str, Totals]) -> Sheet:
    grid = [(ratio, kernel) for ratio in (0.25, 0.5, 0.75) for kernel in (25, 75, 150)]
    return Sheet(
        "kernels",
        "PA-MPJPE in mm by occlusion ratio and box length K",
        tuple(f"{100 * ratio:.0f} %, K={kernel}" for ratio, kernel in grid),
        {
            name: tuple(
                mean_error(totals, "pa_mpjpe", Condition("joints", ratio, kernel)) for ratio, kernel in grid
            )
            for name, totals in results.items()
        },
    )


def beyond(results: Mapping[str, Totals], pairs: Mapping[str, Totals]) -> Sheet:
    """What our networks make of each condition, in per cent of the best rival there.

    pairs: the same networks' errors on the frozen set.
    """
    grid = [Condition("joints", 0.0, 25)]
    grid += [Condition("joints", ratio, kernel) for ratio in (0.25, 0.5, 0.75) for kernel in (25, 75, 150)]
    grid += [Condition("body", 0.5, kernel) for kernel in (25, 75, 150)]

    def title(condition: Condition) -> str:
        if not condition.ratio:
            return "0 %"
        whole = "bodies " if condition.masks == "body" else ""
        return f"{whole}{100 * condition.ratio:.0f} %, K={condition.kernel_frames}"

    errors = {
        name: [
            *(mean_error(totals, "pa_mpjpe", condition) for condition in grid),
            mean_error(pairs[name], "pa_mpjpe", grid[0]),
        ]
        for name, totals in results.items()
    }
    ours = [name for name in results if name.startswith("Proposed")]
    best = np.min([values for name, values in errors.items() if name not in ours], axis=0)
    return Sheet(
        "beyond",
        "Beyond: PA-MPJPE in per cent of the best rival's",
        (*(title(condition) for condition in grid), moving_pairs.EVALUATION_NAME),
        {name: tuple((100 * np.array(errors[name]) / best).tolist()) for name in ours},
    )


def ablations(results: Mapping[str, Totals]) -> Sheet:
    grid = (("0 %", 0.0, 25), ("50 %, K=25", 0.5, 25), ("50 %, K=75", 0.5, 75))
    columns = [*(f"PA-MPJPE {title}" for title, *_ in grid), *(f"MPJVE {title} mm/s" for title, *_ in grid)]
    rows = {}
    for name, totals in results.items():
        conditions = [Condition("joints", ratio, kernel) for _, ratio, kernel in grid]
        rows[ABLATIONS[name][0]] = tuple(
            mean_error(totals, metric, condition)
            for metric in ("pa_mpjpe", "mpjve")
            for condition in conditions
        )
    return Sheet("ablations", "What the paper asserts or leaves open", tuple(columns), rows)


def write(sheet: Sheet, folder: Path, console: Console) -> None:
    """Prints a sheet and writes it as Markdown, CSV and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"\n[bold]{sheet.title}[/bold]")
    stem = folder / sheet.name
    headings = ("the paper, on its own data", *sheet.theirs_columns)
    theirs = _cells(sheet.theirs, sheet.theirs_columns) if sheet.theirs else []
    below = ["", *markdown(headings, theirs, 1)] if theirs else []
    report(
        console,
        ("measured here", *sheet.columns),
        _cells(sheet.rows, sheet.columns),
        stem.with_suffix(".md"),
        before=(f"**{sheet.title}**",),
        after=(*sheet.notes, *below),
    )
    for note in sheet.notes:
        console.print(note)
    if theirs:
        show(console, headings, theirs)
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "method", *sheet.columns))
        writer.writerows(("measured", name, *values) for name, values in sheet.rows.items())
        if sheet.theirs:
            writer.writerow(("source", "method", *sheet.theirs_columns))
            writer.writerows(("paper", name, *values) for name, values in sheet.theirs.items())
    figure = charts.draw_bars(sheet.columns, sheet.rows, stem.with_suffix(".png"), ylabel="mm")
    console.print(f"wrote {stem.with_suffix('.md')}, {stem.with_suffix('.csv')} and {figure}")


def _cells(rows: Mapping[str, Sequence[float]], columns: Sequence[str]) -> list[list[str]]:
    """Texts, the least of each column in bold."""
    values = np.array([list(row) for row in rows.values()], float).reshape(len(rows), len(columns))
    least = [np.nanmin(column) if np.isfinite(column).any() else math.nan for column in values.T]

    def text(value: float, low: float) -> str:
        if math.isnan(value):
            return "–"
        return f"**{value:.1f}**" if value == low and len(rows) > 1 else f"{value:.1f}"

    return [
        [name, *(text(value, low) for value, low in zip(row, least, strict=True))]
        for name, row in rows.items()
    ]
