"""The training step by the network's gates and by the outputs that share a window."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import optax
from rich.table import Table

from experiments import reporting
from experiments.benchmark.timing import write_markdown
from experiments.training import batches, loop
from experiments.training.configs import OURS, TrainConfig
from experiments.training.pods import forward_flops


@dataclass(frozen=True)
class TrainingBenchmark:
    """Output frames a second of the training step: one stream and two, by output frames a window."""

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
    output: Path | None = None
    """Also write the table as Markdown."""


def run_training(config: TrainingBenchmark) -> list[list[str]]:
    """Times the step of `experiments.train` on generated motion, and the drawing of its batch alone.

    A sample is an output frame. Its model FLOPs are three times those of the network's forward pass, as XLA
    counts them: the backward pass is two more of the same size.
    """
    clips = batches.read_motion(TrainConfig())
    bank = batches.make_bank(clips)
    columns = [
        "gating",
        "outputs a window",
        "frames apart",
        "samples/s",
        "against plain",
        "step",
        "of it drawing the batch",
        "GFLOP a sample",
        "GFLOP/s",
        "of the peak",
    ]
    rows = []
    console = reporting.console()
    for chunk, stride in config.chunks:
        plain = 0.0
        for gating in ("none", "single_stream", "two_stream"):
            network = OURS.replace(
                gating=gating, channels=config.channels, filter_widths=config.filter_widths
            )
            settings = TrainConfig(
                network=network,
                chunk_frames=chunk,
                chunk_stride=stride,
                batch_frames=config.batch_frames,
                compute_dtype=config.compute_dtype,
            )
            console.print(f"{gating}, {chunk} outputs a window, {stride} frames apart", style="dim")
            step, drawing = _time_training(settings, bank, config.steps)
            rate = config.batch_frames / step
            plain = plain or rate
            cost = 3 * forward_flops(settings) / chunk
            share = "–" if config.peak_tflops is None else f"{rate * cost / config.peak_tflops / 1e12:.1%}"
            rows.append(
                [
                    gating,
                    str(chunk),
                    str(stride) if chunk > 1 else "–",
                    f"{rate:,.0f}",
                    f"{rate / plain:.2f} x",
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


def _time_training(settings: TrainConfig, bank: batches.Bank, steps: int) -> tuple[float, float]:
    """Median seconds of a whole step and of drawing its batch."""
    lifter = loop.make_lifter(settings)
    _, _, learning_rate, batch_norm_rate = loop.make_schedules(settings, len(bank.first))
    optimizer = optax.amsgrad(learning_rate)
    step = jax.jit(loop.make_step(settings, lifter, optimizer, batch_norm_rate))
    size = settings.batch_frames // settings.chunk_frames
    draw = jax.jit(lambda key: batches.draw_batch(key, bank, lifter, settings, size))
    state = loop.init_state(settings, lifter, optimizer)

    def median(run: Callable[[int], object]) -> float:
        jax.block_until_ready(run(0))
        seconds = []
        for index in range(steps):
            start = time.perf_counter()
            jax.block_until_ready(run(index))
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))

    return median(lambda _: step(state, bank)), median(lambda index: draw(jax.random.key(index)))
