"""The paper's tables and figures, measured on captures that everybody can get, beside the paper's own.

    python -m experiments.tables --table III --data cmu_single.npz cmu_pairs.npz --resume
    python -m experiments.tables --table all --data cmu_single.npz cmu_pairs.npz --resume
    python -m experiments.tables --table II --runs runs/human36m --resume \\
        --human36m.positions-3d data_3d_h36m.npz --human36m.keypoints-2d data_2d_h36m_cpn_ft_h36m_dbb.npz \\
        --human36m.cameras data_2d_h36m_gt.npz --human36m.allow-pickle

Networks that a table needs are trained first, one after another (`experiments.tables.networks`; a quarter to
three quarters of an hour each on one core), then judged on the validation split. ``--resume`` goes on where
an earlier call stopped: finished networks and evaluations are kept, a stopped training continues. Every table
is printed and written as Markdown, CSV and PNG.
"""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

import tyro
from rich.console import Console

from experiments import reporting
from experiments.commands import run_script
from experiments.tables import figures, layouts
from experiments.tables.networks import (
    ABLATIONS,
    CONTESTANTS,
    TRAJECTORIES,
    Human36mFiles,
    Laboratory,
    contestants_on,
)

Name = Literal["II", "III", "IV", "V", "runs", "kernels", "beyond", "ablations", "4", "5"]


@dataclasses.dataclass(frozen=True)
class TablesConfig:
    """Which tables, on which data."""

    data: tuple[Path, ...] = ()
    """Capture files (.npz): networks are trained on the training split and judged on the validation split."""
    human36m: Human36mFiles = dataclasses.field(default_factory=Human36mFiles)
    """VideoPose3D's files in place of the captures for Tables II to IV: the paper's own protocol, training on
    S1, S5, S6, S7, S8 and judging on S9, S11. Give it a ``--runs`` folder of its own."""
    table: Name | Literal["all"] = "all"
    """II, III, IV, V: the paper's. runs, kernels: errors by the length of the hidden run, and by K.
    beyond: our networks against the best rival, condition by condition. ablations: what the paper asserts.
    4, 5: its figures."""
    runs: Path = Path("runs/tables")
    """A run folder a network."""
    choose_subjects: tuple[str, ...] = ("35", "135")
    """Subjects that the ablations do not train on and are judged on: the validation split chooses nothing."""
    resume: bool = False
    """Keep what is finished and go on from there."""
    kernel_frames: tuple[int, ...] = (25, 75)
    """K of the masks in Tables II to IV."""
    output: Path = Path("runs/tables/results")
    """Folder for the tables and figures."""


def make(table: Name, config: TablesConfig, console: Console) -> None:
    """One table or figure, with all that it needs."""
    laboratory = Laboratory(config.data, config.runs, config.choose_subjects, config.resume, config.human36m)
    if table == "4":
        console.print(f"wrote {figures.masks(config.kernel_frames, config.output / 'figure_4.png')}")
    elif table == "5":
        names = ("varied", "pavllo")
        lifters = {layouts.label(name): laboratory.lifter(name, console) for name in names}
        path = figures.out_of_occlusion(
            laboratory.moving_pairs(console), lifters, config.output / "figure_5.png"
        )
        console.print(f"wrote {path}")
    elif table == "ablations":
        found = {name: laboratory.totals(name, console) for name in ABLATIONS}
        layouts.write(layouts.ablations(found), config.output, console)
        curves = {
            ABLATIONS[name][0]: config.runs / "ablations" / name
            for name in ("two_stream", "single_stream", "mask_input", "plain")
        }
        path = figures.training_curves(curves, config.output / "ablations_training.png")
        console.print(f"wrote {path}")
    elif table == "V":
        found = {layouts.label(name): laboratory.on_moving_pairs(name, console) for name in CONTESTANTS}
        for sheet in layouts.table_v(found):
            layouts.write(sheet, config.output, console)
    elif table == "beyond":
        found = {layouts.label(name): laboratory.totals(name, console) for name in CONTESTANTS}
        pairs = {layouts.label(name): laboratory.on_moving_pairs(name, console) for name in CONTESTANTS}
        layouts.write(layouts.beyond(found, pairs), config.output, console)
    elif table == "IV":
        found = {layouts.label(name): laboratory.totals(name, console, "network") for name in TRAJECTORIES}
        found["Proposed (trajectory solve)"] = laboratory.totals("proposed", console)
        if not config.human36m.positions_3d:
            found["Proposed (solve with learned weights)"] = laboratory.totals(
                "proposed", console, "learned solve"
            )
            found["Proposed (varied movements, trajectory solve)"] = laboratory.totals("varied", console)
        for kernel in config.kernel_frames:
            layouts.write(layouts.table_iv(found, kernel), config.output, console)
    else:
        found = {
            layouts.label(name): laboratory.totals(name, console) for name in contestants_on(config.human36m)
        }
        sheets = {
            "II": lambda: [layouts.table_ii(found, kernel) for kernel in config.kernel_frames],
            "III": lambda: [layouts.table_iii(found, kernel) for kernel in config.kernel_frames],
            "runs": lambda: [layouts.by_run(found, kernel) for kernel in config.kernel_frames],
            "kernels": lambda: [layouts.by_kernel(found)],
        }
        for sheet in sheets[table]():
            layouts.write(sheet, config.output, console)


def main() -> None:
    config = tyro.cli(TablesConfig, description=__doc__)
    console = reporting.console()
    if config.human36m.positions_3d and config.table not in ("II", "III", "IV", "runs", "kernels"):
        raise ValueError(
            f"table {config.table} needs the captures: on Human3.6M make II, III, IV, runs or kernels"
        )
    if not (config.data or config.human36m.positions_3d):
        raise ValueError("data is empty: name capture files, or Human3.6M's with --human36m.positions-3d")
    names: tuple[Name, ...] = get_args(Name) if config.table == "all" else (config.table,)
    for name in names:
        make(name, config, console)


if __name__ == "__main__":
    run_script(main)
