"""Writes the lifter and the trajectory solve as programs that run with JAX alone, without this package.

    python -m experiments.export_programs --output programs
    python -m experiments.export_programs --weights runs/small/checkpoints --people 4 --output programs

StableHLO as `jax.export` serialises it, for CPUs, CUDA and TPUs, and programs.json, which says what goes in
and what comes out. Needs `pip install 'gated-lift[programs]'`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.commands import run_script, tell
from gated_lift.networks import weights
from gated_lift.networks.checkpoints import load_lifter
from gated_lift.programs import write_programs


@dataclass(frozen=True)
class ProgramsConfig:
    """What is written."""

    output: Path
    """Folder for the programs; a new or an empty one."""
    weights: str = weights.DEFAULT
    """Weights that ship, by name, or the folder named checkpoints of a training run."""
    people: int = 8
    """People of the solve; lifting takes any number."""
    frames: int = 512
    """Frames of the solve; lifting takes any number."""


def main() -> None:
    config = tyro.cli(ProgramsConfig, description=__doc__)
    try:
        lifter = load_lifter(config.weights)
        folder = write_programs(config.output, lifter, config.people, config.frames)
    except (ValueError, OSError) as error:
        tell("export_programs", error)
        sys.exit(2)
    for path in sorted(folder.iterdir()):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_script(main)
