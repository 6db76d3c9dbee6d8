"""Learns the weights of Eq. 9, by gradient through the trajectory solve.

    python -m experiments.tune_solve --data cmu_single.npz cmu_pairs.npz --output runs/tune_solve
    python -m experiments.evaluate ... --solve runs/tune_solve/solve.json
    python -m experiments.tune_solve --steps 20 --output runs/tune_solve/smoke

Minimises, over windows of consecutive frames that a trained lifter has lifted,

    mean |C(λ₁, λ₂, c) − C*|

with C the roots that `solve_trajectory` finds with smoothness weights λ₁, λ₂ and a confidence c_j for every
joint (left and right alike; their geometric mean is one), and C* the true roots. The lifter stays as it is:
what is learned is how far to trust its joints, and how people move. Without ``--data`` motion is generated:
for a smoke test, not for results.
"""

import tyro

from experiments import runs
from experiments.commands import run_or_tell, run_script
from experiments.solve_weights import TuneConfig, tune


def main() -> None:
    config = tyro.cli(TuneConfig, description=__doc__)
    run_or_tell("tune_solve", lambda: tune(config), runs.NonFiniteLossError)


if __name__ == "__main__":
    run_script(main)
