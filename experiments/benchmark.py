"""Speed of the project's parts against what one would use otherwise, measured side by side in one run.

python -m experiments.benchmark trajectory
python -m experiments.benchmark trajectory --frames 100 1000 --people 1 32 --repeats 9 --output trajectory.md
python -m experiments.benchmark elimination --frames 1000 10000 --people 1 32
python -m experiments.benchmark streaming --people 1 10 --lags 25 100
python -m experiments.benchmark training --channels 128
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from experiments import batches, train
from experiments.commands import run_command
from experiments.configs import Network, TrainConfig
from experiments.reporting import markdown
from experiments.rivals import CENTER, CONTESTANTS, FOCAL, JOINTS, OURS, cost_of, walking_people
from gated_lift.networks.temporal import TemporalLifter
from solvers import Camera, TrajectoryConfig, feed, solve_trajectory, start_stream
from solvers.block_banded import (
    NESTED_LENGTH,
    BandedLinks,
    ChainRows,
    back_substitute,
    choose_lengths,
    factor_segments,
    nested_lengths,
)
from solvers.joints import lay_out, summarize
from solvers.pinhole import split_camera
from solvers.trajectory_rows import linear_rows, make_terms


@dataclass(frozen=True)
class TrajectoryBenchmark:
    """Eq. 9 for people at 4 m, half of their joints hidden and all of them for a fifth of the clip."""

    frames: tuple[int, ...] = (100, 1000, 10_000)
    people: tuple[int, ...] = (1, 32)
    repeats: int = 5
    seed: int = 0
    weights: tuple[float, float] = (1.0, 1.0)
    """lambda_1 and lambda_2."""
    budget: float = 30.0
    """Seconds; a rival whose run would take longer, judged by its smaller runs, is skipped and marked so."""
    output: Path | None = None
    """Also write the table as Markdown."""


class Timing(NamedTuple):
    seconds: float
    root: np.ndarray
    steps: str


# -------------------------------------------------------------------------------------------------------
# measurement


def measure(run: Callable[[], tuple[np.ndarray, str]], repeats: int) -> Timing:
    """The median of ``repeats`` runs, or of as many as fill half a second, after one that compiles."""
    run()
    seconds: list[float] = []
    while len(seconds) < repeats or sum(seconds) < 0.5:
        begin = time.perf_counter()
        root, steps = run()
        seconds.append(time.perf_counter() - begin)
        if sum(seconds) > 20:  # slow rivals need no second opinion
            break
    return Timing(float(np.median(seconds)), root, steps)


def run_trajectory(config: TrajectoryBenchmark) -> list[list[str]]:
    """Times every contestant at every size and prints a table; returns its rows."""
    columns = [
        "frames",
        "people",
        "solver",
        "median",
        "time against ours",
        "steps",
        "cost above best",
        "off by",
    ]
    rows: list[list[str]] = []
    known: dict[tuple[str, int, int], float] = {}
    console = Console()
    for people in sorted(config.people):
        for frames in sorted(config.frames):
            clip = walking_people(people, frames, config.seed)
            start = clip.root + 0.1
            timings: dict[str, Timing] = {}
            skipped: dict[str, str] = {}
            for name, (contestant, growth) in CONTESTANTS.items():
                expected = max(
                    (
                        seconds * (people / fewer) * (frames / shorter) ** growth
                        for (other, fewer, shorter), seconds in known.items()
                        if other == name and fewer <= people and shorter <= frames
                    ),
                    default=0.0,
                )
                if name != OURS and expected > config.budget:
                    skipped[name] = f"about {expected:.0f} s"
                    continue
                console.print(f"{frames} frames, {people} people: {name}", style="dim")
                try:
                    run = contestant(clip, config.weights, start)
                except ModuleNotFoundError as missing:
                    skipped[name] = f"{missing.name} is not installed (extra: benchmark)"
                    continue
                timings[name] = measure(run, config.repeats)
                known[name, people, frames] = timings[name].seconds
            costs = {name: cost_of(timing.root, clip, config.weights) for name, timing in timings.items()}
            best = min(cost for cost in costs.values() if np.isfinite(cost))
            reference = min((name for name in costs if np.isfinite(costs[name])), key=costs.__getitem__)
            for name in CONTESTANTS:
                size = [str(frames), str(people), name]
                if name in skipped:
                    rows.append([*size, f"skipped: {skipped[name]}", "", "", "", ""])
                    continue
                timing = timings[name]
                distance = float(np.abs(timing.root - timings[reference].root).max())
                rows.append(
                    [
                        *size,
                        f"{1e3 * timing.seconds:.2f} ms",
                        f"{timing.seconds / timings[OURS].seconds:.2f} x",
                        timing.steps,
                        f"{costs[name] / best - 1:.1e}",
                        f"{1e3 * distance:.1e} mm",
                    ]
                )
    table = Table(
        *columns, title=f"Eq. 9, weights {config.weights}, seed {config.seed}, {jax.default_backend()}"
    )
    for row in rows:
        table.add_row(*row, end_section=row[2] == list(CONTESTANTS)[-1])
    console.print(table)
    _write_markdown(config.output, columns, rows)
    return rows


@dataclass(frozen=True)
class EliminationBenchmark:
    """Elimination and back substitution of the linear start's rows in float32, in its several orders."""

    frames: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    people: tuple[int, ...] = (1, 32, 1024)
    repeats: int = 5
    seed: int = 0
    weights: tuple[float, float] = (1.0, 1.0)
    """lambda_1 and lambda_2."""
    budget: int = 1_100_000
    """Frames times people; more, which would take gigabytes, are skipped and marked so."""
    output: Path | None = None
    """Also write the table as Markdown."""


ELIMINATIONS: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    # Lengths of segments by blocks and people.
    "sequential": lambda blocks, people: (),
    "chosen": choose_lengths,
    "nested": lambda blocks, people: nested_lengths(blocks, NESTED_LENGTH),
}

# People who differ; more are their copies, which cost the same.
DISTINCT_PEOPLE = 4


def elimination_rows(people: int, frames: int, seed: int, weights: tuple[float, float]) -> ChainRows:
    """The rows of the linear start of `walking_people` in float64; call it with x64 enabled."""
    clip = walking_people(min(people, DISTINCT_PEOPLE), frames, seed)

    @jax.jit
    def rows(poses: jax.Array, keypoints: jax.Array, occluded: jax.Array) -> ChainRows:
        joints, _ = lay_out(poses, keypoints, occluded)
        camera = jax.tree.map(
            lambda value: jnp.broadcast_to(value, (1, 1, len(poses))),
            split_camera(Camera((FOCAL, FOCAL), tuple(CENTER)), poses.dtype),
        )
        velocity, acceleration = (jnp.asarray(weight, poses.dtype) for weight in weights)
        return linear_rows(make_terms(joints, summarize(joints), camera, velocity, acceleration))

    found = rows(*(jnp.asarray(part) for part in clip[:3]))

    def copied(values: jax.Array) -> jax.Array:
        repeats = -(-people // values.shape[-1])
        return jnp.tile(values, (1,) * (values.ndim - 1) + (repeats,))[..., :people]

    return _each_lane(found, copied)


def _each_lane(rows: ChainRows, change: Callable[[jax.Array], jax.Array]) -> ChainRows:
    """The rows with ``change`` made to every array that has people."""
    links = rows.coupling
    assert isinstance(links, BandedLinks)  # those of a trajectory are
    return ChainRows(change(rows.own), change(rows.inner), BandedLinks(links.coefficients, change(links.rhs)))


def run_elimination(config: EliminationBenchmark) -> list[list[str]]:
    """Times every elimination at every size and prints a table; returns its rows."""
    columns = ["frames", "people", "elimination", "segments", "compilation", "median", "against sequential"]
    columns.append("off float64 by")
    rows: list[list[str]] = []
    console = Console()

    def solve(problem: ChainRows, lengths: tuple[int, ...]) -> jax.Array:
        return back_substitute(factor_segments(problem, lengths), len(problem.own))

    for people in sorted(config.people):
        for frames in sorted(config.frames):
            if people * frames > config.budget:
                rows.append([str(frames), str(people), "all", "", "", "skipped", "", ""])
                continue
            with jax.enable_x64(True):
                precise = elimination_rows(people, frames, config.seed, config.weights)
                few = _each_lane(precise, lambda values: values[..., :DISTINCT_PEOPLE])
                exact = np.asarray(jax.jit(solve, static_argnums=1)(few, ()))
                problem = jax.tree.map(lambda values: values.astype(jnp.float32), precise)
            sequential = 0.0
            known: dict[tuple[int, ...], tuple[float, Timing]] = {}
            for name, choose in ELIMINATIONS.items():
                lengths = choose(len(problem.own), people)
                if lengths not in known:
                    console.print(f"{frames} frames, {people} people: {name}", style="dim")
                    begin = time.perf_counter()
                    compiled = jax.jit(solve, static_argnums=1).lower(problem, lengths).compile()
                    compilation = time.perf_counter() - begin

                    def run(compiled=compiled, problem=problem, exact=exact) -> tuple[np.ndarray, str]:
                        jax.block_until_ready(compiled(problem))
                        return exact, ""  # what was found is fetched once, untimed

                    timing = measure(run, config.repeats)
                    found = np.asarray(compiled(problem)[..., :DISTINCT_PEOPLE])
                    known[lengths] = compilation, timing._replace(root=found)
                compilation, timing = known[lengths]
                sequential = sequential or timing.seconds
                distance = float(np.abs(timing.root - exact).max())
                rows.append(
                    [
                        str(frames),
                        str(people),
                        name,
                        " x ".join(map(str, lengths)) or "–",
                        f"{compilation:.1f} s",
                        f"{1e3 * timing.seconds:.2f} ms",
                        f"{timing.seconds / sequential:.2f} x",
                        f"{1e3 * distance:.1e} mm",
                    ]
                )
    table = Table(
        *columns,
        title=f"Elimination, weights {config.weights}, seed {config.seed}, {jax.default_backend()}",
    )
    for row in rows:
        table.add_row(*row, end_section=row[2] in ("all", list(ELIMINATIONS)[-1]))
    console.print(table)
    _write_markdown(config.output, columns, rows)
    return rows


@dataclass(frozen=True)
class StreamingBenchmark:
    """Time that `feed` takes for a frame of the people of the trajectory benchmark, all of whom it sees at
    once, from NumPy arrays to an answer."""

    people: tuple[int, ...] = (1, 10)
    lags: tuple[int, ...] = (25, 100)
    frames: int = 2000
    """Frames fed; those before the window is full are not counted."""
    seed: int = 0
    weights: tuple[float, float] = (1.0, 1.0)
    """lambda_1 and lambda_2."""
    loss: str = "squared"
    """What a joint's error costs, see `TrajectoryConfig`."""
    max_steps: int = 60
    """Steps a frame at most; with a single one the next frame goes on from there."""
    output: Path | None = None
    """Also write the table as Markdown."""


def run_streaming(config: StreamingBenchmark) -> list[list[str]]:
    """Times every frame at every size and prints a table; returns its rows."""
    columns = ["people", "lag", "compilation", "median", "95th percentile", "first quarter", "last quarter"]
    columns += ["steps", "against the whole window"]
    rows: list[list[str]] = []
    console = Console()
    camera = Camera((FOCAL, FOCAL), tuple(CENTER))
    settings = TrajectoryConfig(*config.weights, loss=config.loss, max_steps=config.max_steps)
    for people in sorted(config.people):
        clip = walking_people(people, config.frames, config.seed)
        poses, keypoints = clip.poses.astype(np.float32), clip.keypoints.astype(np.float32)
        for lag in sorted(config.lags):
            console.print(f"{people} people, lag {lag}", style="dim")
            state = start_stream(people, JOINTS, camera, settings, lag=lag)
            seconds, steps = [], []
            for t in range(config.frames):
                begin = time.perf_counter()
                state, found = feed(state, poses[:, t], keypoints[:, t], clip.occluded[:, t])
                jax.block_until_ready(found)
                seconds.append(time.perf_counter() - begin)
                steps.append(int(found.num_steps.max()))
            timed = 1e3 * np.asarray(seconds[lag + 1 :])
            quarter = len(timed) // 4

            window = slice(config.frames - lag - 1, None)
            seen = poses[:, window], keypoints[:, window], clip.occluded[:, window]

            def anew(seen: tuple[np.ndarray, np.ndarray, np.ndarray] = seen) -> tuple[np.ndarray, str]:
                solution = jax.block_until_ready(solve_trajectory(*seen, camera, settings))
                return np.asarray(solution.root), ""

            rival = 1e3 * measure(anew, 20).seconds
            rows.append(
                [
                    str(people),
                    str(lag),
                    f"{seconds[0]:.0f} s",
                    f"{np.median(timed):.2f} ms",
                    f"{np.quantile(timed, 0.95):.2f} ms",
                    f"{np.median(timed[:quarter]):.2f} ms",
                    f"{np.median(timed[-quarter:]):.2f} ms",
                    f"{np.mean(steps[lag + 1 :]):.1f}",
                    f"{np.median(timed) / rival:.2f} x",
                ]
            )
    table = Table(
        *columns,
        title=f"A frame fed, {config.loss} loss, weights {config.weights}, {jax.default_backend()}",
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    _write_markdown(config.output, columns, rows)
    return rows


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
    console = Console()
    for chunk, stride in config.chunks:
        plain = 0.0
        for gating in ("none", "single_stream", "two_stream"):
            network = Network(gating=gating, channels=config.channels, filter_widths=config.filter_widths)
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
            cost = 3 * forward_flops(train.make_lifter(settings), chunk, stride) / chunk
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
    _write_markdown(config.output, columns, rows)
    return rows


def forward_flops(lifter: TemporalLifter, outputs: int, stride: int) -> float:
    """Floating-point operations of one window's forward pass, as XLA counts them before it fuses anything.

    outputs: how many the window has. stride: frames between them; a single one takes the strided form.
    """
    stride = lifter.receptive_field if outputs == 1 else stride
    frames = lifter.receptive_field + (outputs - 1) * stride
    keypoints = jax.ShapeDtypeStruct((1, frames, lifter.num_joints, 2), jnp.float32)
    occluded = jax.ShapeDtypeStruct(keypoints.shape[:-1], jnp.bool_)
    age = jax.ShapeDtypeStruct(occluded.shape, jnp.float32)
    variables = jax.eval_shape(lifter.init, jax.random.key(0), keypoints, occluded)
    forward = jax.jit(partial(lifter.apply, output_stride=stride))
    counted: Any = forward.lower(variables, keypoints, occluded, age=age).cost_analysis()
    return counted["flops"]


def _time_training(settings: TrainConfig, bank: batches.Bank, steps: int) -> tuple[float, float]:
    """Median seconds of a whole step and of drawing its batch."""
    lifter = train.make_lifter(settings)
    _, _, learning_rate, batch_norm_rate = train.make_schedules(settings, len(bank.first))
    optimizer = optax.amsgrad(learning_rate)
    step = jax.jit(train.make_step(settings, lifter, optimizer, batch_norm_rate))
    size = settings.batch_frames // settings.chunk_frames
    draw = jax.jit(lambda key: batches.draw_batch(key, bank, lifter, settings, size))
    state = train.init_state(settings, lifter, optimizer)

    def median(run: Callable[[int], object]) -> float:
        jax.block_until_ready(run(0))
        seconds = []
        for index in range(steps):
            start = time.perf_counter()
            jax.block_until_ready(run(index))
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))

    return median(lambda _: step(state, bank)), median(lambda index: draw(jax.random.key(index)))


def _write_markdown(path: Path | None, columns: list[str], rows: list[list[str]]) -> None:
    if path is not None:
        path.write_text("\n".join(markdown(columns, rows, names=len(columns))) + "\n", encoding="utf-8")
        print(f"wrote {path}")


COMMANDS: dict[str, tuple[type, Callable]] = {
    "trajectory": (TrajectoryBenchmark, run_trajectory),
    "elimination": (EliminationBenchmark, run_elimination),
    "streaming": (StreamingBenchmark, run_streaming),
    "training": (TrainingBenchmark, run_training),
}


if __name__ == "__main__":
    run_command("benchmark", "benchmarks", __doc__, COMMANDS)
