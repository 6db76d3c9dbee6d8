"""The training step by the network's gates and by the outputs that share a window, against VideoPose3D's."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import optax
from rich.table import Table

from experiments import reporting
from experiments.benchmark import videopose3d
from experiments.benchmark.timing import interleave, write_markdown
from experiments.training import batches, loop
from experiments.training.configs import OURS, TrainConfig
from experiments.training.pods import sample_flops


@dataclass(frozen=True)
class TrainingBenchmark:
    """Output frames a second of the training step: one stream and two, by output frames a window; where
    PyTorch is installed, in turns with VideoPose3D's network, which has one output a window and whose batch
    is there already. Run it under ``taskset -c 1`` for one thread each."""

    channels: int = 256
    filter_widths: tuple[int, ...] = (3, 3, 3)
    chunks: tuple[tuple[int, int], ...] = ((1, 1), (8, 1), (8, 9), (32, 1))
    """Output frames a window, and frames between them."""
    batch_frames: int = 256
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    peak_tflops: float | None = None
    """What the chip can do in that type, 10¹² operations a second, for the model-FLOP utilisation: 989 for an
    H100 in bfloat16, say."""
    steps: int = 10
    processor_time: bool = False
    """Counts the processor's time instead of the clock's: for one thread on a core with other work."""
    output: Path | None = None
    """Also write the table as Markdown."""


def run_training(config: TrainingBenchmark) -> list[list[str]]:
    """Times the step of `experiments.train` on generated motion, and the drawing of its batch alone.

    A sample is an output frame. Its model FLOPs are three times those of the network's forward pass, as XLA
    counts them: the backward pass is two more of the same size.
    """
    bank = batches.make_bank(batches.read_motion(TrainConfig()))
    console = reporting.console()
    settings: dict[Any, TrainConfig] = {}
    for chunk, stride in config.chunks:
        for gating in ("none", "single_stream", "two_stream"):
            network = OURS.replace(
                gating=gating, channels=config.channels, filter_widths=config.filter_widths
            )
            settings[chunk, stride, gating] = TrainConfig(
                network=network,
                chunk_frames=chunk,
                chunk_stride=stride,
                batch_frames=config.batch_frames,
                compute_dtype=config.compute_dtype,
            )
    runs: dict[Any, Callable[[], object]] = {}
    for name, each in settings.items():
        runs[name, "step"], runs[name, "drawing"] = training_step(each, bank)
    rival = videopose3d.is_there()
    if rival:
        videopose3d.use_threads(len(os.sched_getaffinity(0)))
        runs[videopose3d.NAME] = videopose3d.training_step(
            config.channels, config.filter_widths, config.batch_frames
        )
    else:
        console.print(videopose3d.MISSING)
    seconds = interleave(runs, config.steps, config.processor_time)
    columns = [
        "gating",
        "outputs a window",
        "frames apart",
        "samples/s",
        "against plain",
        "a stream, against PyTorch",
        "step",
        "of it drawing the batch",
        "GFLOP a sample",
        "GFLOP/s",
        "of the peak",
    ]
    rows = []
    if rival:
        taken = seconds[videopose3d.NAME]
        told = [f"{config.batch_frames / taken:,.0f}", "–", "1.00 x", f"{1e3 * taken:.0f} ms"]
        rows.append([videopose3d.NAME, "1", "–", *told, *["–"] * 4])
    for (chunk, stride, gating), each in settings.items():
        step, drawing = (seconds[(chunk, stride, gating), what] for what in ("step", "drawing"))
        rate = config.batch_frames / step
        cost = sample_flops(each)
        share = "–" if config.peak_tflops is None else f"{rate * cost / config.peak_tflops / 1e12:.1%}"
        streams = 2 if gating == "two_stream" else 1
        faster = f"{streams * seconds[videopose3d.NAME] / step:.2f} x" if rival else "–"
        rows.append(
            [
                gating,
                str(chunk),
                str(stride) if chunk > 1 else "–",
                f"{rate:,.0f}",
                f"{seconds[(chunk, stride, 'none'), 'step'] / step:.2f} x",
                faster,
                f"{1e3 * step:.0f} ms",
                f"{1e3 * drawing:.0f} ms",
                f"{cost / 1e9:.3f}",
                f"{rate * cost / 1e9:,.0f}",
                share,
            ]
        )
    table = Table(
        *columns,
        title=f"Training, {config.channels} channels, widths {config.filter_widths}, {config.compute_dtype}, "
        f"{jax.default_backend()}, median step",
    )
    for row in rows:
        table.add_row(*row, end_section=row[0] == "two_stream")
    console.print(table)
    write_markdown(config.output, columns, rows)
    return rows


def training_step(
    settings: TrainConfig, bank: batches.Bank
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A whole step, and drawing its batch alone."""
    lifter = loop.make_lifter(settings)
    _, _, learning_rate, batch_norm_rate = loop.make_schedules(settings, len(bank.first))
    optimizer = optax.amsgrad(learning_rate)
    step = jax.jit(loop.make_step(settings, lifter, optimizer, batch_norm_rate))
    size = settings.batch_frames // settings.chunk_frames
    draw = jax.jit(lambda key, bank: batches.draw_batch(key, bank, lifter, settings, size))
    state, key = loop.init_state(settings, lifter, optimizer), jax.random.key(0)
    return (
        lambda: jax.block_until_ready(step(state, bank)),
        lambda: jax.block_until_ready(draw(key, bank)),
    )
