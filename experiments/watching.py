"""Where people watch a training besides its log: TensorBoard, Weights & Biases, and a trace of some steps."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax

# Steps of a trace: the first ones compile and settle, and ten fill a picture.
TRACED = (11, 20)

Scalars = Callable[[int, Mapping[str, Any]], None]


def check_watchers(tensorboard: bool, wandb: bool) -> None:
    """Raises ValueError, naming the mend, where a library is asked for that is not installed."""
    for wanted, module, name, flag in (
        (tensorboard, "tensorboardX", "gated_lift[tensorboard]", "--tensorboard"),
        (wandb, "wandb", "wandb", "--wandb"),
    ):
        if wanted:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise ValueError(
                    f"{flag} needs {module}, which is not installed: pip install '{name}', or leave the flag "
                    "out; metrics.jsonl has the same numbers"
                ) from error


@contextmanager
def watchers(
    output: Path, tensorboard: bool, wandb: bool, described: Mapping[str, Any], step: int = 0
) -> Iterator[Scalars]:
    """Yields tell(step, values), which hands a line of the log on: to event files in ``output``/events, and
    to a run of Weights & Biases, which has the folder's name and id, by which a resumed run goes on with it.

    step: the newest step that is kept; events of later ones, which a resumed run writes again, are hidden.
    """
    tellers: list[Scalars] = []
    with ExitStack() as opened:
        if tensorboard:
            writer = importlib.import_module("tensorboardX").SummaryWriter(
                str(output / "events"), purge_step=step + 1
            )
            opened.callback(writer.close)

            def tell_events(step: int, values: Mapping[str, Any]) -> None:
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
                writer.flush()

            tellers.append(tell_events)
        if wandb:
            run = importlib.import_module("wandb").init(
                project="gated_lift",
                name=output.name,
                id=output.name,
                resume="allow",
                dir=str(output),
                config=dict(described),
            )
            opened.callback(run.finish)
            tellers.append(lambda step, values: run.log(dict(values), step=step))

        def tell(step: int, values: Mapping[str, Any]) -> None:
            for each in tellers:
                each(step, values)

        yield tell


@contextmanager
def traced(folder: Path | None) -> Iterator[Callable[[int], None]]:
    """Yields look(done), to be called before every step with the number of those that this process has taken:
    it records steps `TRACED` with `jax.profiler` into ``folder``, for TensorBoard's profile page or
    ui.perfetto.dev. Nothing is recorded where ``folder`` is None.
    """
    first, last = TRACED
    going = False

    def look(done: int) -> None:
        nonlocal going
        if folder is not None and done == first - 1:
            jax.profiler.start_trace(folder)
            going = True
        elif going and done == last:
            jax.profiler.stop_trace()
            going = False

    try:
        yield look
    finally:
        if going:
            jax.profiler.stop_trace()
