"""Trains a lifter: world-space motion stays on the device, and every step draws new cameras, noise and masks.

    python -m experiments.train smoke
    python -m experiments.train small --data cmu_single.npz cmu_pairs.npz
    python -m experiments.train paper --data cmu_single.npz cmu_pairs.npz --network.gating single_stream
    python -m experiments.train hossain --data cmu_single.npz cmu_pairs.npz --masks.masked-share 0
    python -m experiments.train paper --human36m data_3d_h36m.npz --allow-pickle \
        --keypoints-2d data_2d_h36m_cpn_ft_h36m_dbb.npz --cameras data_2d_h36m_gt.npz

Any field of a configuration is a flag (`--help` after a configuration's name lists them). A run is decided by
its configuration and seed alone: step n draws from fold_in(seed, n), so `--resume` continues exactly where
the newest checkpoint stopped; SIGTERM and Ctrl-C finish the step and save it first. On a pod, start the same
command on every host with `--distributed`; `--compile-for v5e:4x4` tells without a TPU what a step needs
there (docs/scaling.md).
"""

import logging
import sys

import tyro

from experiments import processes
from experiments.commands import run_script, tell
from experiments.training import pods
from experiments.training.configs import CONFIGS
from experiments.training.loop import run


def main() -> None:
    config = tyro.extras.overridable_config_cli(CONFIGS, description=__doc__)
    if config.compile_for:
        sys.exit(pods.run(config))
    others = (config.coordinator, config.processes, config.process_id)
    if config.distributed or any(value is not None for value in others):
        try:
            processes.join(*others, config.heartbeat_seconds)
        except ValueError as error:
            tell("train", error)
            sys.exit(2)
    if processes.is_first():
        # What a reader found out about a file, such as its unit, is worth a line.
        logging.basicConfig(format="%(message)s")
        logging.getLogger("gated_lift").setLevel(logging.INFO)
    run(config)


if __name__ == "__main__":
    run_script(main)
