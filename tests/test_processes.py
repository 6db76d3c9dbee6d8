"""Two processes of two devices each train one network, over the loopback address."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import processes
from experiments.stopping.pairs import free_address
from experiments.training import loop
from experiments.training.configs import SMOKE
from gated_lift.networks import checkpoints

STEPS = 2
CONFIG = dataclasses.replace(
    SMOKE,
    network=SMOKE.network.replace(channels=8),
    epochs=STEPS / 9,  # of generated motion an epoch has nine steps
    checkpoint_every=1,
    validation_windows=0,
    time_drawing=False,
)
FLAGS = [
    *("smoke", "--network.channels", "8", "--epochs", str(CONFIG.epochs), "--checkpoint-every", "1"),
    *("--validation-windows", "0", "--no-time-drawing"),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


def train_together(compiled, outputs):
    """Exit codes and errors of one process for each of ``outputs``."""
    address = free_address()
    environment = {
        **os.environ,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "NPROC": "8",
    }
    begun = []
    for index, output in enumerate(outputs):
        flags = ["--coordinator", address, "--processes", str(len(outputs)), "--process-id", str(index)]
        flags += ["--heartbeat-seconds", "10", "--output", str(output)]
        command = [sys.executable, "-m", "experiments.train", *FLAGS, *flags]
        begun.append(subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True))
    said = [process.communicate(timeout=240) for process in begun]
    return [process.returncode for process in begun], said


def test_two_processes_write_one_run_which_one_process_goes_on_with(compiled, tmp_path):
    output = tmp_path / "run"
    codes, said = train_together(compiled, [output, output])
    assert codes == [0, 0], said
    told = [out.replace("\n", "") for out, _ in said]  # lines are wrapped
    assert f"wrote {output / 'checkpoints'}" in told[0] and "wrote" not in told[1]
    assert "on 4 cpu device(s)" in told[0]
    log = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert not (output / processes.TOKEN).exists()
    for step in (1, 2):
        checkpoints.verify(output / "checkpoints", step)
    # One process with one device takes the second step as the four took it.
    alone = tmp_path / "alone"
    shutil.copytree(output, alone)
    shutil.rmtree(alone / "checkpoints" / "2")
    (alone / "checkpoints" / "2.sha256").unlink()
    jax.config.update("jax_numpy_dtype_promotion", "standard")  # as for all of Optax's schedules
    try:
        loop.train(dataclasses.replace(CONFIG, output=alone, resume=True))
    finally:
        jax.config.update("jax_numpy_dtype_promotion", "strict")
    first, second = (checkpoints.load_lifter(run / "checkpoints") for run in (output, alone))
    assert first.step == second.step == STEPS
    for one, other in zip(jax.tree.leaves(first.variables), jax.tree.leaves(second.variables), strict=True):
        # AMSGrad's first steps divide by next to nothing, where sums in another order show.
        np.testing.assert_allclose(one, other, atol=2e-3)
        assert np.mean(np.abs(one - other) > 1e-4) < 0.01


ASKING = """
import os, signal, sys, time
from experiments import guards, processes

address, index = sys.argv[1], int(sys.argv[2])
processes.join(address, 2, index, 10)


def steps_taken(happens):
    with guards.stop_signals() as asked:
        for step in range(40):
            if (number := asked(step)) is not None:
                return step, number.name
            if step == 5 and index == 1:
                happens()
            time.sleep(0.005 * index)  # the first process waits for the second one


def take_back():
    guards.multihost_utils.reached_preemption_sync_point = lambda step: step == 9


def send(number):
    os.kill(os.getpid(), number)


happening = (take_back, lambda: send(signal.SIGINT), lambda: send(signal.SIGTERM))
print(*map(steps_taken, happening))
processes.leave(0)
"""


def test_a_signal_to_one_process_stops_all_after_the_same_step():
    """The second of two is told by the preemption service, which says nothing to the first, and is then sent
    either signal.
    """
    address = free_address()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parent.parent)}
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", ASKING, address, index], env=environment, stdout=-1, stderr=-1, text=True
        )
        for index in "01"
    ]
    said = [process.communicate(timeout=120) for process in begun]
    # What happens in step 5 is gathered by the call for step 6, and known by that for step 7.
    told = [out.splitlines()[-1] for out, _ in said]
    assert told == 2 * ["(10, 'SIGTERM') (7, 'SIGINT') (7, 'SIGTERM')"], said


def test_two_folders_for_one_run_are_refused(compiled, tmp_path):
    codes, said = train_together(compiled, [tmp_path / "a", tmp_path / "b"])
    assert codes == [2, 2]
    assert f"output {tmp_path / 'b'} of process 1 is not the folder of process 0" in said[1][1]
    assert "process 1 of this run could not begin" in said[0][1]
    assert not (tmp_path / "a" / "checkpoints").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"coordinator": "127.0.0.1:1"}, "--processes, --process-id is missing: give all three"),
        (
            {"coordinator": "127.0.0.1", "processes": 2, "process_id": 0},
            "coordinator is 127.0.0.1: give address and port",
        ),
        (
            {"coordinator": "127.0.0.1:1", "processes": 2, "process_id": 2},
            "the other processes are not known or cannot be reached",
        ),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused(given, match):
    before = jax.config.jax_cpu_collectives_implementation
    try:
        with pytest.raises(ValueError, match=match):
            processes.join(**given)
    finally:
        jax.config.update("jax_cpu_collectives_implementation", before)


def test_one_process_asks_nobody(tmp_path):
    assert processes.is_first() and processes.together(lambda: 3) == 3
    processes.check_one_folder(tmp_path)
    processes.check_alike("the data", "a", "none")
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as left:
        processes.leave(2)
    assert left.value.code == 2
