"""Judges `recover` where videos differ from training: frame rate, place in the picture, image size, steep and
rolled cameras, bodies that are seen in part, joints that formats lack, and inputs that are mistaken.

    python -m experiments.robustness --data cmu_single.npz cmu_pairs.npz

The same people are filmed for every row: each by a camera of their own that stands still, with the detector's
noise. Nothing is hidden but what the row says. Errors are means over people and frames, in millimetres.
"""

import tyro

from experiments.commands import run_script
from experiments.judging.robustness import RobustnessConfig, run


def main() -> None:
    run(tyro.cli(RobustnessConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
