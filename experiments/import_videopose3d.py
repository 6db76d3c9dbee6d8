"""Turns a PyTorch checkpoint of VideoPose3D into one of ours, for `evaluate`, `human36m` and `load_lifter`.

    pip install 'gated-lift[pytorch]'
    python -m experiments.import_videopose3d --checkpoint pretrained_h36m_cpn.bin --output runs/videopose3d

The weights stay under the terms of whoever trained them; VideoPose3D's own are CC BY-NC.
"""

import dataclasses
from pathlib import Path

import tyro

from experiments import reporting
from experiments.commands import run_script
from gated_lift.networks import checkpoints
from gated_lift.networks.protocol import parameter_count
from gated_lift.networks.pytorch import import_videopose3d


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """What to import and where to."""

    checkpoint: Path
    """A checkpoint of VideoPose3D's run.py (.bin)."""
    output: Path
    """Run folder; the checkpoint goes to its folder checkpoints."""
    causal: bool = False
    """The network was trained with --causal; the file does not tell."""


def main() -> None:
    config = tyro.cli(ImportConfig, description=__doc__)
    loaded = import_videopose3d(config.checkpoint, config.causal)
    lifter, variables, description = loaded.network, loaded.variables, loaded.description
    folder = config.output / "checkpoints"
    checkpoints.save(folder, 0, variables, description)
    reporting.console().print(
        f"{parameter_count(variables):,} weights, receptive field {lifter.receptive_field} frames, "
        f"{lifter.num_joints} joints; wrote {folder}"
    )


if __name__ == "__main__":
    run_script(main)
