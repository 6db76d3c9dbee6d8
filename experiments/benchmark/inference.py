"""Lifting a clip: one stream and two, with and without hidden joints, against VideoPose3D's network."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from experiments import reporting
from experiments.benchmark import videopose3d
from experiments.benchmark.timing import interleave, write_markdown
from experiments.training.configs import OURS
from gated_lift.networks.protocol import Lifter, lift_clip
from gated_lift.occlusion import frame_times, gap_age
from gated_lift.skeleton import H36M_17

CASES = ("nothing hidden", "half hidden")


@dataclass(frozen=True)
class InferenceBenchmark:
    """Milliseconds to lift clips with their mirror images, from filled keypoints, in turns. Run it under
    ``taskset -c 1`` for one thread each."""

    channels: int = 256
    filter_widths: tuple[int, ...] = (3, 3, 3)
    people: int = 1
    frames: int = 1000
    repeats: int = 30
    processor_time: bool = False
    """Counts the processor's time instead of the clock's: for one thread on a core with other work."""
    output: Path | None = None
    """Also write the table as Markdown."""


def run_inference(config: InferenceBenchmark) -> list[list[str]]:
    """Times every network in turns and prints a table; returns its rows. Weights are random ones."""
    console = reporting.console()
    rng = np.random.default_rng(0)
    shape = (config.people, config.frames, H36M_17.num_joints)
    keypoints = jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32)
    masks = {CASES[0]: jnp.zeros(shape, bool), CASES[1]: jnp.asarray(rng.random(shape) < 0.5)}
    runs: dict[Any, Callable[[], object]] = {}
    for gating in ("none", "single_stream", "two_stream"):
        network = OURS.replace(
            gating=gating, channels=config.channels, filter_widths=config.filter_widths
        ).build(num_joints=H36M_17.num_joints, fps=50.0)
        for case, occluded in masks.items():
            runs[gating, case] = lifting(network, keypoints, occluded)
    rival = videopose3d.is_there()
    if rival:
        videopose3d.use_threads(len(os.sched_getaffinity(0)))
        lift = videopose3d.lifting(config.channels, config.filter_widths, 2 * config.people, config.frames)
        runs |= {(videopose3d.NAME, case): lift for case in CASES}
    else:
        console.print(videopose3d.MISSING)
    seconds = interleave(runs, config.repeats, config.processor_time)
    columns = ["network"]
    for case in CASES:
        columns += [case, "against PyTorch"]
    rows = []
    for name in dict.fromkeys(name for name, _ in runs):
        row = [name]
        for case in CASES:
            share = f"{seconds[name, case] / seconds[videopose3d.NAME, case]:.2f} x" if rival else "–"
            row += [f"{1e3 * seconds[name, case]:.2f} ms", share]
        rows.append(row)
    table = Table(
        *columns,
        title=f"Lifting {config.people} x {config.frames} frames and their mirror images, {config.channels} "
        f"channels, widths {config.filter_widths}, {jax.default_backend()}, median",
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    write_markdown(config.output, columns, rows)
    return rows


def lifting(network: Lifter, keypoints: jax.Array, occluded: jax.Array) -> Callable[[], object]:
    """Lifts every frame of everybody, averaged over mirror images."""
    age = gap_age(occluded, frame_times(occluded.shape[1], network.fps, keypoints.dtype), network.causal)
    window = keypoints[:1, : network.receptive_field], occluded[:1, : network.receptive_field]
    variables = jax.jit(network.init)(jax.random.key(0), *window)  # type: ignore[attr-defined]

    @jax.jit
    def lift(variables: Any, keypoints: jax.Array, occluded: jax.Array, age: jax.Array) -> jax.Array:
        return lift_clip(network, variables, keypoints, occluded, H36M_17, age=age)

    return lambda: jax.block_until_ready(lift(variables, keypoints, occluded, age))
