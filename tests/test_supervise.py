"""The supervisor's loop, with a command that ends as it is told to; the pod's commands, printed only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "experiments"
# Writes its arguments to a file, a line a run, and ends with the next of the exit codes.
COMMAND = r"""
echo "begun $*" >> "$LOG"
set -- $CODES
shift $(($(wc -l < "$LOG") - 1))
exit "$1"
"""


def supervise(tmp_path, codes, times=3):
    """The supervisor's exit code, and the arguments of every run."""
    log = tmp_path / "log"
    environment = os.environ | {"LOG": str(log), "CODES": codes, "TIMES": str(times), "PAUSE": "0"}
    command = [SCRIPTS / "supervise.sh", "bash", "-c", COMMAND, "train", "--output", "x"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, log.read_text().splitlines(), done.stderr


def test_a_training_that_ends_goes_on_until_it_is_done(tmp_path):
    code, runs, said = supervise(tmp_path, "3 137 0")
    assert code == 0
    assert runs == ["begun --output x", *["begun --output x --resume"] * 2]
    assert "exit code 3; going on in 0 s (1 of 3)" in said and "exit code 137" in said


@pytest.mark.parametrize("code", [0, 130])
def test_a_training_that_was_stopped_stays_so(tmp_path, code):
    assert supervise(tmp_path, f"{code} 0")[:2] == (code, ["begun --output x"])


def test_it_goes_on_no_more_often_than_it_is_told(tmp_path):
    code, runs, _ = supervise(tmp_path, "3 2 2 0", times=2)
    assert code == 2 and len(runs) == 3


# A shell cannot trap what was ignored when it began, as SIGINT is in a suite in the background.
HEEDING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_once_and_ends_it(tmp_path, number, code):
    # As a training does: it saves after the first signal, which takes a moment.
    name = number.name.removeprefix("SIG")
    run = f"trap 'sleep 0.2; echo saved; exit {code}' {name}; echo ready; while :; do sleep 0.05; done"
    command = [sys.executable, "-c", HEEDING, SCRIPTS / "supervise.sh", "bash", "-c", run]
    with subprocess.Popen(command, stdout=-1, text=True) as running:
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        assert running.wait(30) == code
        assert running.stdout.read() == "saved\n"


def test_without_a_command_it_says_what_to_give():
    done = subprocess.run([SCRIPTS / "supervise.sh"], capture_output=True, text=True)
    assert done.returncode == 2 and "give a command" in done.stderr


def pod(word, **variables):
    environment = os.environ | {"DRY": "echo", **variables}
    done = subprocess.run([SCRIPTS / "pod.sh", word], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_pods_commands_are_those_of_its_variables():
    for script in ("pod.sh", "supervise.sh"):
        subprocess.run(["bash", "-n", SCRIPTS / script], check=True)
    variables = {"NAME": "slice", "ACCELERATOR": "v6e-16", "RUNTIME": "v2-alpha-tpuv6e"}
    assert "tpu-vm create slice" in (said := pod("create", **variables)[1])
    assert "--accelerator-type=v6e-16 --version=v2-alpha-tpuv6e" in said
    code, said, _ = pod("run", DATA="/data/a.npz b.npz", RESUME="--resume")
    assert code == 0 and "--worker=all" in said
    assert "experiments.train paper --distributed --data a.npz b.npz --output /mnt/runs/paper" in said
    assert said.rstrip().endswith("--resume")
    assert pod("fly")[0] == 2
