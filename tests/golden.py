"""A run of 200 steps whose losses are kept in golden_losses.json: training as it was when they were written.

    PYTHONPATH=.:tests python tests/golden.py     # writes them anew, where training is meant to differ

The network is smaller than that of `smoke`, so that the suite can afford the run.
"""

import dataclasses
import io
import json
import tempfile
from pathlib import Path
from unittest import mock

from drawn import CLIP, TINY
from rich.console import Console

from experiments import runs
from experiments.training import loop

PATH = Path(__file__).with_name("golden_losses.json")
CONFIG = dataclasses.replace(
    TINY, epochs=200, learning_rate=3e-3, learning_rate_decay=0.99, checkpoint_every=200, log_every=10
)


def losses(output):
    """{step: loss} of the run, which goes into the folder ``output``."""
    with mock.patch.object(loop, "read_motion", lambda config: (CLIP,)):
        loop.train(dataclasses.replace(CONFIG, output=output), Console(file=io.StringIO()))
    return {line["step"]: line["loss"] for line in runs.read_log(output / runs.LOG)}


def golden():
    return {int(step): loss for step, loss in json.loads(PATH.read_text()).items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PATH.write_text(json.dumps(losses(Path(folder) / "run"), indent=1) + "\n")
