"""A training that is killed ends as one that is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from noise import noise
from experiments import reliability
from experiments.training import loop
loop.draw_batch = noise  # compiles in no time; in this process and in those that are forked from it
rows = reliability.measure(reliability.ReliabilityConfig(
    kills=2, terminations=0, interrupts=0, steps=24, stretch=10, validation_windows=0,
    output=Path(sys.argv[1]),
))
for row in rows:
    print(*row, sep=" | ")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs an operating system with fork")
def test_a_killed_training_ends_as_an_unbroken_one(tmp_path):
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    arguments = [sys.executable, "-c", PROGRAM, tmp_path / "runs"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split(" | ") for line in done.stdout.strip().splitlines()]
    assert len(rows) == 1 and rows[0][1].startswith("SIGKILL") and rows[0][2] == "2"
    assert rows[0][3].startswith("1 of 1 ends identical") and "not as promised" not in rows[0][3]
