"""What a run leaves behind: a folder with its configuration, a log with one line a step, and checkpoints.

config.json    what was asked for
metrics.jsonl  {"step": 50, "loss": 0.01, ..., "steps_per_second": 12.3, "time": 1.7e9}, line by line
checkpoints/   of `gated_lift.networks.checkpoints`
best/          another such folder, where a run is validated on the way: the weights that did best
trained/       another, of `experiments.train_infill`: the weights of the end, in half precision
lock           held by the run that writes, if it has checkpoints
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments import guards, processes
from gated_lift.networks import checkpoints
from gated_lift.readers.json_file import read_lines, read_object

CONFIG = "config.json"
DATA = "data.json"
LOG = "metrics.jsonl"


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names the step and what to try."""


# --------------------------------------------------------------------------------------- configuration


def as_json(value: Any) -> Any:
    """A configuration as JSON values, NamedTuples with their names and paths as text."""
    if is_dataclass(value):
        return {name: as_json(entry) for name, entry in vars(value).items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_json(entry) for name, entry in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [as_json(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def start(output: Path, described: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Makes the run folder, with the configuration and the data's description in it."""
    output.mkdir(parents=True, exist_ok=True)
    (output / CONFIG).write_text(json.dumps(described, indent=1) + "\n")
    (output / DATA).write_text(json.dumps(data, indent=1) + "\n")


def check_same_config(
    output: Path, described: Mapping[str, Any], defaults: Mapping[str, Any], free: Set[str]
) -> None:
    """Raises ValueError where the run in ``output`` began with other settings, and names them: what decides
    a run's numbers may not change half-way.

    defaults: what a setting has there that is younger than the run. free: settings that may change.
    """
    path = output / CONFIG
    if not path.exists():
        return
    mend = "start a run in another output folder"
    before = _filled(read_object(path, "the configuration of a run", mend, allow_nan=True), defaults)
    changed = [name for name in described if name not in free and before.get(name) != described[name]]
    if changed:
        raise ValueError(
            f"resume: {path} has another {', '.join(changed)}: resume with the settings of that file, "
            "or start a run in another output folder"
        )


def _filled(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``stored`` with what it lacks, also inside of it."""
    both = {
        name: _filled(stored[name], default)
        for name, default in defaults.items()
        if isinstance(default, Mapping) and isinstance(stored.get(name), Mapping)
    }
    return {**defaults, **stored, **both}


def describe_data(arrays: NamedTuple, files: Sequence[Path]) -> dict[str, Any]:
    """What a run draws from, as JSON values: its files' names, and the shape and sha256 of every array."""
    described = {}
    for name, values in arrays._asdict().items():
        array = np.ascontiguousarray(values)
        digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode() + array.tobytes()).hexdigest()
        described[name] = {"shape": list(array.shape), "sha256": digest}
    return {"files": [path.name for path in files], "arrays": described}


def check_same_data(output: Path, data: Mapping[str, Any]) -> None:
    """Raises ValueError where the run in ``output`` began with other data (`describe_data`), and names what
    differs. Files of another name that hold the same are the same data.
    """
    path = output / DATA
    if not path.exists():
        return
    before = json.loads(path.read_text())
    old, new = before["arrays"], data["arrays"]
    differing = [
        f"{name} {old.get(name, {}).get('shape')} there and {new.get(name, {}).get('shape')} here"
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise ValueError(
            f"resume: {path} tells of other data: {'; '.join(differing)}; files {_names(before)} there and "
            f"{_names(data)} here: resume with the run's own files, or start a run in another output folder"
        )


def _names(data: Mapping[str, Any]) -> str:
    return ", ".join(data["files"]) or "none"


def check_unused(output: Path) -> None:
    """Raises ValueError where ``output`` holds a run with checkpoints."""
    if any(checkpoints.newest_step(output / name) is not None for name in ("checkpoints", "best", "trained")):
        raise ValueError(
            f"output {output} holds a finished or stopped run: add --resume or choose another folder"
        )


# ------------------------------------------------------------------------------------------- beginning


class Request(NamedTuple):
    """What decides whether a run may write to the folder ``output``.

    resume: whether it goes on with the run there. described: its configuration, as JSON values. defaults:
    what a setting has there that is younger than the run that goes on. free: settings that may change.
    """

    output: Path
    resume: bool
    described: Mapping[str, Any]
    defaults: Mapping[str, Any]
    free: Set[str]


def check_request(request: Request, data: Mapping[str, Any] | None = None) -> None:
    """Raises ValueError, in all processes that train together, where a run that is resumed began with other
    settings or other ``data`` (`describe_data`), and where a new one would write over another.

    data: None where it has not been read yet.
    """

    def check() -> None:
        if not request.resume:
            check_unused(request.output)
            return
        check_same_config(request.output, request.described, request.defaults, request.free)
        if data is not None:
            check_same_data(request.output, data)

    processes.together(check)


@contextmanager
def begun(request: Request, data: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    """Makes and locks a run's folder for as long as the block runs, and writes its configuration and the
    description of its ``data`` (`describe_data`) there.

    Yields check() of `guards.only_run`. Whoever reads data first asks `check_request` before, so that a run
    that may not begin is refused at once; here it is asked again, since another run may have ended in the
    folder meanwhile. Raises ValueError as `check_request` does, where another process writes to the folder,
    and where processes that train together were given different folders, settings or data.
    """
    output = request.output

    def make_folder() -> None:
        if processes.is_first():
            output.mkdir(parents=True, exist_ok=True)

    processes.together(make_folder)
    processes.check_one_folder(output)
    decisive = {name: value for name, value in request.described.items() if name not in request.free}
    processes.check_alike("what was asked", json.dumps(decisive), "start all with the same flags")
    processes.check_alike("the data", json.dumps(data["arrays"]), "give all the same files")
    with ExitStack() as locked:
        check_there = processes.together(lambda: locked.enter_context(guards.only_run(output)))
        check_request(request, data)
        # Not before all have read what the first one writes over.
        if processes.is_first():
            start(output, request.described, data)
        yield check_there


# ------------------------------------------------------------------------------------------------- log


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics log, one a step. A last line without an end was being written when the run was
    stopped, and is left out. Raises ValueError, with the file and the line, for any other line that is not
    one of a run's.
    """
    mend = "delete what does not belong to the run, or start one in another output folder"
    found = read_lines(path, "the log of a run", mend, allow_nan=True)
    before = 0
    for number, line in enumerate(found, 1):
        step = line.get("step")
        if type(step) is not int or (number > 1 and step <= before):
            raise ValueError(
                f"{path}, line {number}, is not the log of a run (step {step} does not follow on the line "
                f"before): {mend}"
            )
        before = step
    return found


@contextmanager
def follow(
    output: Path,
    console: Console,
    name: str,
    steps: int,
    begin: int = 0,
    unit: str = "steps",
    units_a_step: int = 1,
) -> Iterator[Callable[[int, Mapping[str, float], str], None]]:
    """A progress bar and the metrics log of steps ``begin`` + 1 to ``steps``.

    Yields tell(step, values, shown), which writes the step, its values and the rate since the line before to
    the log, and ``shown`` beside the bar. A rate counts ``unit``, of which a step has ``units_a_step``. Lines
    of later steps, which a resumed run writes again, are dropped at the start, so that the log has each once.
    """
    path = output / LOG
    kept = [line for line in read_log(path) if line["step"] <= begin] if path.exists() else []
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{{task.fields[rate]}} {unit}/s, {{task.fields[shown]}}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress, path.open("a") as log:
        task = progress.add_task(name, total=steps, completed=begin, rate="–", shown="–")
        mark, marked = time.perf_counter(), begin

        def tell(step: int, values: Mapping[str, float], shown: str) -> None:
            nonlocal mark, marked
            now = time.perf_counter()
            rate = (step - marked) * units_a_step / (now - mark)
            mark, marked = now, step
            line = {"step": step, **values, f"{unit}_per_second": rate, "time": time.time()}
            log.write(json.dumps(line) + "\n")
            log.flush()
            text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
            progress.update(task, completed=step, rate=text, shown=shown)

        yield tell


@contextmanager
def follow_in_silence(*arguments: Any, **settings: Any) -> Iterator[Callable[..., None]]:
    """`follow` in the processes whose log another one writes."""
    yield lambda step, values, shown: None


# -------------------------------------------------------------------------------------- finite numbers


def check_loss(value: float, step: int, learning_rate: float) -> None:
    """Raises NonFiniteLossError unless the loss is finite."""
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"the loss is {value} at step {step}: the data or the learning rate ({learning_rate:g}) is at "
            "fault; choose a smaller one, or go on from the newest checkpoint, which is from before"
        )


def check_gradient(norm: float, step: int, learning_rate: float) -> None:
    """Raises NonFiniteLossError unless the gradient's norm is finite; its loss may still have been."""
    if not math.isfinite(norm):
        raise NonFiniteLossError(
            f"the gradient is not finite at step {step} (its norm is {norm}), though the loss still was: the "
            f"data or the learning rate ({learning_rate:g}) is at fault; the newest checkpoint is from before"
        )


def check_finite(variables: Any, step: int) -> None:
    """A finite loss may still have had a gradient that was not: such weights must not replace good ones.
    Raises NonFiniteLossError.
    """
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    broken = [jax.tree_util.keystr(path) for path, leaf in leaves if not bool(jnp.isfinite(leaf).all())]
    if broken:
        raise NonFiniteLossError(
            f"{broken[0]} and {len(broken) - 1} other weights are not finite after step {step}, though the "
            "loss still was: the data or the learning rate is at fault; the newest checkpoint is from before"
        )
