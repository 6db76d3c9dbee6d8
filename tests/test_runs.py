"""The run folder: what is written, what a resumed run keeps of it, and what is refused."""

import io
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments import runs
from experiments.fuzzing.damage import outcomes


class Pair(NamedTuple):
    first: Path
    second: tuple[float, ...]


def test_configurations_become_json():
    assert runs.as_json(Pair(Path("a/b"), (1.0, 2.0))) == {"first": "a/b", "second": [1.0, 2.0]}


def write_log(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def follow(output, steps, begin=0):
    """Tells of every step, and returns the log."""
    console = Console(file=io.StringIO(), width=200)
    with runs.follow(output, console, "running", steps, begin, "samples", 10) as tell:
        for step in range(begin + 1, steps + 1):
            tell(step, {"loss": 1 / step}, f"{step} mm")
    return runs.read_log(output / runs.LOG), console.file.getvalue()


def test_a_log_has_a_line_a_step_and_its_rate(tmp_path):
    log, printed = follow(tmp_path, 3)
    assert [line["step"] for line in log] == [1, 2, 3] and log[1]["loss"] == 0.5
    assert all(line["samples_per_second"] > 0 and line["time"] > 0 for line in log)
    assert "running" in printed and "3/3" in printed and "3 mm" in printed


def test_later_lines_are_dropped_and_a_cut_one_too(tmp_path):
    follow(tmp_path, 5)
    with (tmp_path / runs.LOG).open("a") as log:
        log.write('{"step": 6, "lo')
    log, _ = follow(tmp_path, 4, begin=3)
    assert [line["step"] for line in log] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "damage",
    [
        *("not JSON\n", "[1]\n", '{"loss": 1}\n', '{"step": "2"}\n', '{"step": true}\n', '{"step": 1}\n'),
        *("\0\0\n", "[" * 5000 + "\n", '{"step": 1e999}\n', '{"step": ' + "9" * 5000 + "}\n"),
    ],
    ids=lambda damage: damage[:12],
)
def test_a_damaged_log_is_refused(damage, tmp_path):
    path = write_log(tmp_path / runs.LOG, {"step": 1})
    with path.open("a") as log:
        log.write(damage + '{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2, is not the log of a run"):
        follow(tmp_path, 4, begin=3)


def test_damaged_text_is_named(tmp_path):
    (tmp_path / runs.LOG).write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"metrics.jsonl is not the log of a run \(.* not UTF-8"):
        runs.read_log(tmp_path / runs.LOG)
    for content in (b"\xff", b"", b"[1]", b"{" * 9999, b'{"seed": 1e999'):
        (tmp_path / runs.CONFIG).write_bytes(content)
        with pytest.raises(ValueError, match=r"config.json is not the configuration .*: start a run"):
            runs.check_same_config(tmp_path, {"seed": 0}, {}, set())


def test_damaged_runs_are_read_or_refused(tmp_path):
    described = {"seed": 0, "network": {"channels": 8, "widths": [3, 3]}, "loss": "squared"}
    runs.start(tmp_path, described, {})
    path = tmp_path / runs.CONFIG
    check = partial(runs.check_same_config, tmp_path, described, described, set())
    assert outcomes(check, path, path.read_text(), 300, path) == {"read", "refused"}
    follow(tmp_path, 5)
    path = tmp_path / runs.LOG
    assert outcomes(partial(runs.read_log, path), path, path.read_text(), 300, path) == {"read", "refused"}


def test_other_settings_are_named(tmp_path):
    described = {"seed": 0, "network": {"channels": 8}, "output": "a"}
    runs.start(tmp_path / "run", described, {})
    defaults = {"loss": "squared", "network": {"channels": 256, "target": "pose"}}
    here = {"seed": 0, "loss": "squared", "network": {"channels": 8, "target": "pose"}, "output": "b"}
    runs.check_same_config(tmp_path / "run", here, defaults, {"output"})
    runs.check_same_config(tmp_path / "nothing", here, defaults, {"output"})
    with pytest.raises(ValueError, match=r"config.json has another seed, loss: resume with the settings"):
        runs.check_same_config(tmp_path / "run", here | {"seed": 1, "loss": "l1"}, defaults, {"output"})


class Bank(NamedTuple):
    poses: np.ndarray
    first: jnp.ndarray


def test_data_is_told_by_its_arrays(tmp_path):
    bank = Bank(np.arange(6.0), jnp.arange(3))
    told = runs.describe_data(bank, [Path("somewhere/a.npz")])
    assert told["files"] == ["a.npz"] and told["arrays"]["first"]["shape"] == [3]
    runs.start(tmp_path, {}, told)
    runs.check_same_data(tmp_path, json.loads(json.dumps(told)) | {"files": ["renamed.npz"]})
    runs.check_same_data(tmp_path / "older", told)
    for other in (bank.poses + 1e-9, bank.poses.reshape(2, 3), bank.poses.astype(np.float32)):
        found = runs.describe_data(bank._replace(poses=other), [Path("b.npz")])
        assert found["arrays"]["first"] == told["arrays"]["first"]
        with pytest.raises(ValueError, match=r"other data: poses .* a.npz there and b.npz here: resume"):
            runs.check_same_data(tmp_path, found)


def test_a_folder_is_looked_at_again_once_a_run_has_it(tmp_path, monkeypatch):
    described, data = {"seed": 0, "output": "a"}, {"files": [], "arrays": {}}
    request = runs.Request(tmp_path / "run", False, described, described, {"output"})
    runs.check_request(request)
    with runs.begun(request, data) as check_there:
        check_there()
        with pytest.raises(ValueError, match="written by another run"), runs.begun(request, data):
            pass
    written = request.output / runs.CONFIG
    # As if another run had been going on since the first look, and had ended.
    monkeypatch.setattr(runs.checkpoints, "newest_step", lambda folder: 3)
    changed = request._replace(described={"seed": 0, "output": "b"})
    for refused, found, match in (
        (changed, data, "holds a finished or stopped run: add --resume or choose another folder"),
        (changed._replace(resume=True, described={"seed": 1, "output": "b"}), data, "has another seed"),
        (changed._replace(resume=True), {"files": [], "arrays": {"poses": {}}}, "tells of other data"),
    ):
        with pytest.raises(ValueError, match=match), runs.begun(refused, found):
            pass
        assert json.loads(written.read_text()) == described
    with runs.begun(changed._replace(resume=True), data):
        assert json.loads(written.read_text()) == changed.described


def test_numbers_that_are_not_finite_are_refused():
    runs.check_loss(0.5, 7, 0.1)
    with pytest.raises(runs.NonFiniteLossError, match=r"the loss is nan at step 7: .* \(0.1\) is at fault"):
        runs.check_loss(float("nan"), 7, 0.1)
    runs.check_gradient(0.5, 7, 0.1)
    with pytest.raises(runs.NonFiniteLossError, match=r"gradient is not finite at step 7 \(.* is inf\)"):
        runs.check_gradient(float("inf"), 7, 0.1)
    weights = {"head": {"kernel": jnp.ones(2)}, "body": jnp.array([1.0, jnp.inf])}
    with pytest.raises(runs.NonFiniteLossError, match=r"\['body'\] and 0 other weights .* after step 7"):
        runs.check_finite(weights, 7)
    runs.check_finite(weights["head"], 7)
