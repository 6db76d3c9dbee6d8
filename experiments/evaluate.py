"""Judges lifters on held-out people: occlusion ratios × box lengths K × every metric, as a table and figure.

    python -m experiments.evaluate --checkpoint small runs/own/checkpoints --data cmu_single.npz cmu_pairs.npz
    python -m experiments.evaluate --checkpoint A/checkpoints B/checkpoints --data FILE --subjects 35 135

By default the validation split of the files is judged; ``--subjects`` names others. Every network sees the
same clips, cameras, detections and masks, which the seed alone decides. Clips are cut into stretches of 300
and 100 frames (a shorter rest is left out). Masks hide joints one by one, as in the paper, and, in rows of
their own, whole bodies, which is what the error inside full occlusions needs. The lifted poses are placed by
`solve_trajectory` before absolute errors are taken.
"""

import json
import math
from collections.abc import Sequence

import tyro
from rich.console import Console
from rich.table import Table

from experiments import reporting
from experiments.commands import run_script
from experiments.judging.protocol import network_names
from experiments.judging.stretches import EvaluateConfig, Row, cut, measure, read_people, rows_of, see
from experiments.judging.totals import COLUMNS
from gated_lift.drawing import charts
from gated_lift.networks import checkpoints


def markdown(rows: Sequence[Row]) -> str:
    """Every metric as a table of its own, networks down and conditions across, over all subjects."""
    parts = []
    for masks, how in (("joints", "joints hidden one by one"), ("body", "whole bodies hidden at a time")):
        for metric, (title, _) in COLUMNS.items():
            lines = pivot(rows, masks, metric)
            if lines:
                parts.append(f"## {title}, {how}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def pivot(rows: Sequence[Row], masks: str, metric: str) -> list[str]:
    """One metric as the lines of a Markdown table; the best network of every condition is bold.

    The first column is that where nothing is hidden, which is the same for both kinds of masks.
    """
    cells = {
        (row.network, row.kernel_frames if row.ratio else 0, row.ratio): getattr(row, metric)
        for row in rows
        if row.subject == "all" and (row.masks == masks or row.ratio == 0)
    }
    columns = sorted({key[1:] for key in cells})
    if not columns or columns[-1] == (0, 0.0):
        return []
    names = list(dict.fromkeys(row.network for row in rows))
    titles = [f"{100 * ratio:.0f} %, K={kernel}" if ratio else "0 %" for kernel, ratio in columns]
    lines = ["| network | " + " | ".join(titles) + " |", "|---" + "|---:" * len(columns) + "|"]
    best = {"pck": max, "auc": max, "hidden": None, "unsolved": None}.get(metric, min)
    for name in names:
        texts = []
        for column in columns:
            value = cells.get((name, *column), float("nan"))
            values = [cells[key] for key in cells if key[1:] == column and not math.isnan(cells[key])]
            bold = best is not None and len(values) > 1 and value == best(values)
            texts.append("–" if math.isnan(value) else f"**{value:.1f}**" if bold else f"{value:.1f}")
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return lines


def print_table(rows: Sequence[Row], console: Console) -> None:
    """PA-MPJPE of every network by mask, K and ratio; table.md has the other metrics."""
    everyone = {
        (row.network, row.masks, row.kernel_frames, row.ratio): row for row in rows if row.subject == "all"
    }
    ratios = sorted({key[3] for key in everyone})
    table = Table(title="PA-MPJPE in mm, all subjects, by hidden share")
    for title in ("network", "masks", "K", *(f"{100 * ratio:.0f} %" for ratio in ratios)):
        table.add_column(title, justify="left" if title in ("network", "masks") else "right")
    for network, masks, kernel in dict.fromkeys(key[:3] for key in everyone if key[3] > 0):
        cells = []
        for ratio in ratios:
            # Where nothing is hidden, neither the kind of mask nor K matters: one row serves all.
            keys = (
                [(network, masks, kernel, ratio)]
                if ratio
                else [key for key in everyone if key[::3] == (network, 0)]
            )
            found = everyone.get(keys[0]) if keys else None
            cells.append(f"{found.pa_mpjpe:.1f}" if found else "–")
        table.add_row(network, masks, str(kernel), *cells)
    console.print(table)


def main() -> None:
    config = tyro.cli(EvaluateConfig, description=__doc__)
    console = reporting.console()
    names = network_names(config.checkpoint, config.names)
    clips = read_people(config)
    fps = clips[0].fps
    if any(clip.fps != fps for clip in clips):
        raise ValueError(
            f"data holds clips at {sorted({clip.fps for clip in clips})} frames/s: judge each rate by itself"
        )
    seen = {length: see(config, length, stretches, fps) for length, stretches in cut(clips).items()}
    total = sum(length * len(people.labels) for length, people in seen.items())
    left_out = sum(clip.poses.shape[0] * clip.poses.shape[1] for clip in clips) - total
    console.print(
        f"{len(clips)} clips, {total:,} frames of one person each "
        f"({left_out:,} in rests of clips are left out)"
    )

    rows = []
    root_network = None if config.root_network is None else checkpoints.load_lifter(config.root_network)
    for name, path in zip(names, config.checkpoint, strict=True):
        loaded = checkpoints.load_lifter(path)
        rows += rows_of(name, measure(config, name, loaded, seen, fps, console, root_network))
    print_table(rows, console)
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "rows.json").write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    (config.output / "table.md").write_text(markdown(rows))
    figure = charts.draw_error_by_ratio(
        [
            charts.ErrorRow(row.network, kernel, row.ratio, row.pa_mpjpe)
            for row in rows
            for kernel in (config.kernel_frames if row.ratio == 0 else (row.kernel_frames,))
            if row.subject == "all" and row.masks == "joints"
        ],
        config.output / "pa_mpjpe.png",
        metric="PA-MPJPE",
    )
    console.print(f"wrote {config.output / 'rows.json'}, {config.output / 'table.md'} and {figure}")


if __name__ == "__main__":
    run_script(main)
