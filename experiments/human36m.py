"""Judges lifters on Human3.6M's test subjects S9 and S11, action by action, from VideoPose3D's files.

    python -m experiments.human36m --checkpoint runs/paper/checkpoints --allow-pickle \\
        --positions-3d data_3d_h36m.npz --keypoints-2d data_2d_h36m_cpn_ft_h36m_dbb.npz \\
        --cameras data_2d_h36m_gt.npz

Takes are lifted whole, in all four views, and averaged as the literature does: every action's mean over its
frames, then the mean of the actions. Masks (Eqs. 10, 11) are decided by the seed, the condition and the take
alone. The lifted poses are placed by `solve_trajectory` before the absolute error of Protocol 2 is taken.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from experiments import reporting
from experiments.checks import check_numbers
from experiments.commands import run_script
from experiments.judging.protocol import network_names
from experiments.judging.takes import RULES, Human36mConfig, Row, join_views, measure, rows_of
from experiments.reporting import report
from gated_lift.networks import checkpoints
from gated_lift.readers.human36m import read_takes, write_cameras

TITLES = {
    "pa_mpjpe": "Protocol 1: PA-MPJPE (mm)",
    "mpjpe": "MPJPE (mm)",
    "n_mpjpe_absolute": "Protocol 2: N-MPJPE of absolute joints (mm)",
}


def write_tables(rows: Sequence[Row], output: Path, console: Console) -> None:
    """A table a metric, printed and saved: networks and actions down, conditions across."""
    columns = list(dict.fromkeys((row.ratio, row.kernel_frames) for row in rows))
    titles = [f"{100 * ratio:.0f} %, K={kernel}" if ratio else "0 %" for ratio, kernel in columns]
    for metric, title in TITLES.items():
        cells = {
            (row.network, row.action, row.ratio, row.kernel_frames): f"{getattr(row, metric):.1f}"
            for row in rows
        }
        lines = [
            [*names, *(cells[(*names, *column)] for column in columns)]
            for names in dict.fromkeys(key[:2] for key in cells)
        ]
        console.print(title)
        report(console, ["network", "action", *titles], lines, output / f"{metric}.md", 2, [f"# {title}"])


def main() -> None:
    config = tyro.cli(Human36mConfig, description=__doc__)
    console = reporting.console()
    check_numbers(config, RULES)
    names = network_names(config.checkpoint, config.names)
    takes = read_takes(
        config.positions_3d, config.keypoints_2d, config.cameras, config.allow_pickle, config.subjects
    )
    joined = join_views(takes)
    console.print(f"{len(joined)} takes, {len(takes)} views, {sum(len(t.joints) for t in takes):,} frames")
    rows = []
    for name, path in zip(names, config.checkpoint, strict=True):
        rows += rows_of(name, measure(config, name, checkpoints.load_lifter(path), joined, console))
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "rows.json").write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    write_tables(rows, config.output, console)
    used = {take.subject: [view.seen_by for view in takes if view.name == take.name] for take in takes}
    write_cameras(config.output / "cameras.json", used)
    tables = ", ".join(f"{name}.md" for name in TITLES)
    console.print(f"wrote {config.output / 'rows.json'}, {tables} and cameras.json")


if __name__ == "__main__":
    run_script(main)
