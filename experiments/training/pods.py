"""What a training step would need on a TPU slice: it is compiled for a named one on this machine, without a
TPU and without data, and nothing is trained.

    python -m experiments.train paper --compile-for v5e:4x4 v5p:2x2x1

Each slice takes two compilations, at the configuration's batch and at another one. What XLA counts in them
lies nearly on a line over the batch (weights and their optimiser cost the same whatever the batch, the rest
grows with it), so the line through both tells other batches. Times are estimates: the roofline of the
published peaks, which no program reaches.
"""

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from rich.console import Console

from experiments import reporting
from experiments.commands import tell
from experiments.training.batches import SKELETON, Bank, VirtualBank, draw_batch
from experiments.training.chips import CHIPS, Chip
from experiments.training.configs import TrainConfig
from experiments.training.loop import (
    OPTIMIZERS,
    check_settings,
    init_state,
    jit_step,
    make_lifter,
    make_schedules,
    make_step,
)
from experiments.training.programs import count_collectives, count_traffic
from experiments.training.recorded import RecordedBank
from gated_lift.networks.protocol import told

# Frames of captured motion that the step is compiled for: about an hour at 50 frames a second.
BANK_FRAMES = 200_000
# Windows a chip in the second compilation, at least: with fewer, the tiles that TPUs round batches up to hide
# what a window costs.
LEAST_WINDOWS = 64
# Output frames a step that samples/s and the limit of scaling are told for.
BATCHES = (1024, 16_384)
# What TPU runtimes look for in the surroundings; without a TPU there is nobody to tell them.
NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


class DoesNotFitError(ValueError):
    """A step needs more memory than a chip has."""


class Costs(NamedTuple):
    """What a step costs a chip, by XLA's count in a compiled program or by its text; what a loop repeats is
    counted once.

    frames: output frames a step, over all chips. flops: operations. read: bytes read and written in memory.
    arguments, temporaries, outputs, program: bytes held there; outputs are those that do not replace an
    argument. collectives: by kind, how many, and the bytes of their results.
    """

    frames: float
    flops: float
    read: float
    arguments: float
    temporaries: float
    outputs: float
    program: float
    collectives: Mapping[str, tuple[float, float]]

    @property
    def held(self) -> float:
        """Bytes of memory in all."""
        return self.arguments + self.temporaries + self.outputs + self.program


class Roofline(NamedTuple):
    """Seconds that a step takes at least: products at the peak, memory at its bandwidth, links at theirs."""

    computing: float
    memory: float
    exchange: float

    @property
    def seconds(self) -> float:
        """Of a step whose products and memory overlap and whose exchange overlaps with neither."""
        return max(self.computing, self.memory) + self.exchange

    @property
    def bound(self) -> str:
        return max(("computing", "memory", "exchange"), key=lambda name: getattr(self, name))


# ----------------------------------------------------------------------------------------- arithmetic


def at_batch(small: Costs, large: Costs, frames: float) -> Costs:
    """The costs at ``frames`` output frames a step, on the line through two batches; none is below zero."""
    share = (frames - small.frames) / (large.frames - small.frames)

    def line(one: float, other: float) -> float:
        return max(0.0, one + share * (other - one))

    def lines(kind: str) -> tuple[float, float]:
        one, other = (costs.collectives.get(kind, (0, 0)) for costs in (small, large))
        return line(one[0], other[0]), line(one[1], other[1])

    return Costs(
        frames=frames,
        flops=line(small.flops, large.flops),
        read=line(small.read, large.read),
        arguments=line(small.arguments, large.arguments),
        temporaries=line(small.temporaries, large.temporaries),
        outputs=line(small.outputs, large.outputs),
        program=line(small.program, large.program),
        collectives={kind: lines(kind) for kind in {**small.collectives, **large.collectives}},
    )


def largest_batch(small: Costs, large: Costs, memory: float, multiple: int) -> int | None:
    """Output frames a step, a multiple of ``multiple``, that fill ``memory`` bytes of a chip on the line
    through two batches; 0 where not even the weights fit. None where the larger batch holds no more than the
    smaller one, so that there is no line to follow.
    """
    slope = (large.held - small.held) / (large.frames - small.frames)
    if slope <= 0:
        return None
    frames = small.frames + (memory - small.held) / slope
    return max(0, math.floor(frames / multiple) * multiple)


def roofline(costs: Costs, chip: Chip, chips: int) -> Roofline:
    """All links of a chip are taken to carry the exchange, each in both directions: an all-reduce sends
    twice the bytes of its result, but for the chip's own part, and every other collective once.
    """
    sent = sum(
        size * (2 if kind == "all-reduce" else 1) * (chips - 1) / chips
        for kind, (_, size) in costs.collectives.items()
    )
    return Roofline(costs.flops / chip.flops, costs.read / chip.bandwidth, sent / (chip.links / 2))


def scaling_limit(small: Costs, large: Costs, chip: Chip, chips: int, frames: int) -> float:
    """How many chips can share a batch of ``frames`` before more than half of a step goes into what no
    further chip makes less: weights, their optimiser, and their exchange.

    small, large: costs on ``chips`` chips. A chip has at least one window, which the caller sees to.
    """
    fixed = roofline(at_batch(small, large, 0), chip, chips)
    whole = roofline(at_batch(small, large, frames), chip, chips)
    shared = max(0.0, whole.seconds - fixed.seconds) * chips
    return shared / fixed.seconds if fixed.seconds else math.inf


# --------------------------------------------------------------------------------------- compilation


def forward_flops(config: TrainConfig) -> float:
    """Floating-point operations of one window's forward pass, as XLA counts them before it fuses anything."""
    lifter = make_lifter(config)
    form = lifter.training_form(config.chunk_frames, config.chunk_stride)

    def forward(variables: Any, batch: Any) -> jax.Array:
        return lifter.apply(
            variables, batch.keypoints, batch.occluded, age=batch.age, **told(batch.hints), **form
        )

    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    variables = jax.eval_shape(lambda: init_state(config, lifter, optimizer)).variables
    batch = jax.eval_shape(
        lambda key, bank: draw_batch(key, bank, lifter, config, 1), jax.random.key(0), bank_shapes(config)
    )
    counted: Any = jax.jit(forward).lower(variables, batch).cost_analysis()
    return counted["flops"]


def sample_flops(config: TrainConfig) -> float:
    """The model's own operations of a training step for one output frame: three times those of the forward
    pass, since the backward pass is two more of the same size.
    """
    return 3 * forward_flops(config) / config.chunk_frames


def bank_shapes(config: TrainConfig) -> Bank:
    """Shapes of what steps draw from, `BANK_FRAMES` frames of it."""

    def shape(*sizes: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct((BANK_FRAMES, *sizes), dtype)

    joints, frames = SKELETON.num_joints, shape(dtype=jnp.int32)
    if config.keypoints_2d is not None:
        return RecordedBank(
            shape(joints, 2), shape(joints, dtype=jnp.bool_), shape(joints, 3), frames, frames
        )
    files: Any = jax.ShapeDtypeStruct((2, len(config.data_shares) or 1), jnp.int32)
    return VirtualBank(shape(joints, 3), frames, frames, files)


def slice_devices(topology: str) -> Sequence[jax.Device]:
    """The chips of a TPU slice, such as v5e:4x4, which need not be there: one can compile for them.

    Raises ValueError for a slice that is not known, and where libtpu is not installed.
    """
    generation = topology.partition(":")[0]
    if generation not in CHIPS:
        raise ValueError(
            f"compile_for is {topology}: the published peaks of {', '.join(CHIPS)} are known; give one of "
            "them with its shape, such as v5e:4x4 or v5p:2x2x1"
        )
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            f"compile_for {topology} needs libtpu, which compiles for TPUs without one: "
            "pip install 'gated-lift[tpu]'"
        )
    for name, value in NO_TPU.items():
        os.environ.setdefault(name, value)
    try:
        return topologies.get_topology_desc(topology, platform="tpu").devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise ValueError(
            f"compile_for is {topology}, which libtpu does not know ({error}): give a shape that slices "
            "have, such as v5e:4x4, v5p:2x2x1 or v6e:2x4"
        ) from error


def compile_step(config: TrainConfig, devices: Sequence[jax.Device]) -> Costs:
    """Compiles the step of a configuration for ``devices`` and counts what it costs one of them.

    Raises DoesNotFitError where it needs more memory than they have.
    """
    lifter = make_lifter(config)
    _, _, learning_rate, batch_norm_rate = make_schedules(config, BANK_FRAMES)
    optimizer = OPTIMIZERS[config.optimizer](learning_rate)

    def make(**settings: Any) -> Any:
        return make_step(config, lifter, optimizer, batch_norm_rate, **settings)

    step, shared = jit_step(make, devices)
    state = jax.eval_shape(lambda: init_state(config, lifter, optimizer))
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=shared),
        (state, bank_shapes(config)),
    )
    try:
        compiled = step.lower(*shapes).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise DoesNotFitError(
            f"batch_frames {config.batch_frames} does not fit the memory of {len(devices)} chips: give a "
            f"smaller batch or a larger slice ({reason[:200]})"
        ) from error
    counted, held, text = compiled.cost_analysis(), compiled.memory_analysis(), compiled.as_text()
    return Costs(
        frames=config.batch_frames,
        flops=counted["flops"],
        read=count_traffic(text),
        arguments=held.argument_size_in_bytes,
        temporaries=held.temp_size_in_bytes,
        outputs=held.output_size_in_bytes - held.alias_size_in_bytes,
        program=held.generated_code_size_in_bytes,
        collectives=count_collectives(text),
    )


# -------------------------------------------------------------------------------------------- report


def compile_twice(config: TrainConfig, devices: Sequence[jax.Device]) -> tuple[Costs, Costs]:
    """The costs at the configuration's batch, and at one of twice as many windows and enough of them a chip;
    where that does not fit, of half as many. Raises DoesNotFitError where that is no help either.
    """
    asked = compile_step(config, devices)
    one_each = len(devices) * config.chunk_frames
    windows = config.batch_frames // one_each
    try:
        larger = max(2 * windows, LEAST_WINDOWS) * one_each
        return asked, compile_step(replace(config, batch_frames=larger), devices)
    except DoesNotFitError:
        if windows == 1:
            raise
        return asked, compile_step(replace(config, batch_frames=windows // 2 * one_each), devices)


def describe(
    topology: str, chips: int, asked: Costs, other: Costs, model_flops: float, chunk: int
) -> tuple[list[str], list[list[str]]]:
    """Lines on one slice, and rows of the table of all of them, one a batch of `BATCHES`.

    asked, other: at the batch that was asked for, and at another one. model_flops: the model's own
    operations for an output frame. chunk: output frames a window.
    """
    chip = CHIPS[topology.partition(":")[0]]
    largest = largest_batch(asked, other, chip.memory, chips * chunk)
    share = model_flops * asked.frames / (asked.flops * chips) if asked.flops else math.nan
    lines = [
        f"{topology}: {chips} chips, compiled at {asked.frames:,} and {other.frames:,} frames a step",
        f"  a step of {asked.frames:,} frames: {asked.flops * chips / 1e12:.3g} TFLOP on all chips, "
        f"{share:.0%} of them the model's ({model_flops / 1e9:.3g} GFLOP a frame); "
        f"{asked.read / 1e9:.3g} GB read and written a chip",
        f"  memory a chip: {asked.held / 1e9:.3g} GB of {chip.memory / 1e9:.3g} (arguments "
        f"{asked.arguments / 1e9:.3g}, temporaries {asked.temporaries / 1e9:.3g}, outputs "
        f"{asked.outputs / 1e9:.3g}, program {asked.program / 1e9:.3g})",
        *(
            f"  {count} {kind}, {size / 1e6:.3g} MB"
            for kind, (count, size) in sorted(asked.collectives.items())
        ),
        "  largest batch that fits (line through both): "
        + ("not told, memory does not grow with the batch" if largest is None else f"{largest:,} frames"),
    ]
    rows = []
    for frames in BATCHES:
        costs = at_batch(asked, other, frames)
        bound = roofline(costs, chip, chips)
        limit = min(scaling_limit(asked, other, chip, chips, frames), frames // chunk)
        fits = costs.held <= chip.memory
        rows.append(
            [
                topology,
                str(chips),
                f"{frames:,}",
                f"{frames / chips:,.4g}",
                f"{costs.held / 1e9:.2f}" + ("" if fits else ", too much"),
                f"{1e3 * bound.seconds:.3g}",
                f"{frames / bound.seconds:,.0f}" if fits else "–",
                bound.bound,
                f"{bound.exchange / bound.seconds:.0%}",
                f"{limit:,.0f}",
                "–" if largest is None else f"{largest:,}",
            ]
        )
    return lines, rows


COLUMNS = (
    "slice",
    "chips",
    "frames a step",
    "a chip",
    "GB a chip",
    "ms a step, at least",
    "frames/s, at most",
    "bound by",
    "exchange",
    "chips that pay",
    "largest batch",
)


def report(config: TrainConfig, console: Console | None = None) -> None:
    """Compiles the step for every slice of ``config.compile_for`` and prints what it costs.

    Raises ValueError for slices that are not known or that the batch cannot be shared by, where libtpu is
    not installed, and where the step does not fit.
    """
    console = console or reporting.console()
    if config.parallel != "jit":
        raise ValueError(f"parallel is {config.parallel}: compile_for is for jit, which shards the batch")
    slices = [(topology, slice_devices(topology)) for topology in config.compile_for]
    for _, devices in slices:
        check_settings(config, len(devices))
    model_flops = sample_flops(config)
    console.print(
        f"Motion of {BANK_FRAMES:,} frames lies on every chip. Times are estimates, the roofline of "
        "published peaks: no program is faster, and most are slower."
    )
    rows = []
    for topology, devices in slices:
        asked, other = compile_twice(config, devices)
        lines, more = describe(topology, len(devices), asked, other, model_flops, config.chunk_frames)
        console.print("\n".join(lines), highlight=False)
        rows += more
    for line in reporting.markdown(COLUMNS, rows, 1):
        console.print(line, highlight=False)


def run(config: TrainConfig) -> int:
    """The report, or what cannot be done on one line of standard error; returns what to exit with."""
    # Whatever devices there are stay with their own work.
    jax.config.update("jax_platforms", "cpu")
    try:
        report(config)
    except ValueError as error:
        tell("train", error)
        return 2
    return 0
