"""Everything that is worth knowing of one accelerator, in the minutes for which one has it."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import reporting
from experiments.benchmark.elimination import DISTINCT_PEOPLE, elimination_rows
from experiments.benchmark.inference import lifting
from experiments.benchmark.rivals import CENTER, FOCAL, walking_people
from experiments.benchmark.training import training_step
from experiments.checks import COUNT, POSITIVE, Rule, check_numbers, each
from experiments.training import batches
from experiments.training.chips import peak_flops
from experiments.training.configs import PAPER, SMALL, TrainConfig
from experiments.training.loop import make_lifter
from experiments.training.pods import sample_flops
from gated_lift.skeleton import H36M_17
from solvers import Camera, solve_trajectory
from solvers.block_banded import back_substitute, factor_segments, nested_lengths


@dataclass(frozen=True)
class AcceleratorBenchmark:
    """Eq. 9 over people and frames, its elimination by segment lengths, training steps by batch and type, and
    lifting, within so many minutes. What is timed comes from every part in turn, small sizes first, and the
    table is written anew after each row, so that nothing is lost where the machine is."""

    people: tuple[int, ...] = (1, 32, 512, 4096)
    frames: tuple[int, ...] = (100, 1000, 10_000)
    budget: int = 5_000_000
    """Frames times people; what has more is left out."""
    segments: tuple[int, ...] = (0, 4, 8, 16, 32)
    """Blocks in a segment of nested segments; 0 eliminates one block after the other."""
    networks: tuple[Literal["small", "paper"], ...] = ("small", "paper")
    batches: tuple[int, ...] = (256, 1024, 4096, 16_384)
    """Output frames of a training step."""
    repeats: int = 5
    minutes: float = 9.0
    """After these nothing further is begun."""
    output: Path = Path("runs/accelerator.md")
    """The table as Markdown."""


RULES = {
    **dict.fromkeys(("people", "frames", "batches"), each(COUNT)),
    "segments": each(Rule(lambda value: value == 0 or value >= 2, "give 0 for none, or 2 or more")),
    "budget": COUNT,
    "repeats": COUNT,
    "minutes": POSITIVE,
}

COLUMNS = ("part", "what", "compilation", "median", "frames/s", "of the peak")
NETWORKS: dict[str, TrainConfig] = {"small": SMALL, "paper": PAPER}
CLIP = 1000  # frames of each person that is lifted


class Job(NamedTuple):
    """Something to time. frames: that one run answers for. flops: operations of the model in one run, None
    where they are not counted. make: returns what is run, which its first call compiles.
    """

    part: str
    what: str
    frames: int
    flops: float | None
    make: Callable[[], Callable[[], object]]


def run_accelerator(config: AcceleratorBenchmark) -> list[list[str]]:
    """Times what there is time for, prints a row after each and writes the table; returns its rows.

    A step that needs more memory than the device has is a row that says so. Raises ValueError for settings
    out of range.
    """
    check_numbers(config, RULES)
    console = reporting.console()
    kind = jax.devices()[0].device_kind
    head = f"{kind}, {jax.default_backend()}, JAX {jax.__version__}; at most {config.minutes:g} minutes"
    console.print(head)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * config.minutes
    rows: list[list[str]] = []
    for job in in_turn([solves(config), eliminations(config), trainings(config), lifts(config)]):
        if time.monotonic() > end:
            rows.append([job.part, job.what, "", "no time left", "", ""])
        else:
            rows.append(row_of(job, config.repeats, peak_flops(kind)))
            console.print("  ".join(rows[-1]), highlight=False)
        lines = [head, "", *reporting.markdown(COLUMNS, rows, 2)]
        config.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    reporting.show(console, COLUMNS, rows)
    console.print(f"wrote {config.output}")
    return rows


def in_turn(parts: Sequence[Iterator[Job]]) -> list[Job]:
    """The first of every part, then the second of every part, and so on."""
    return [job for turn in itertools.zip_longest(*parts) for job in turn if job is not None]


def row_of(job: Job, repeats: int, peak: float | None) -> list[str]:
    """Compiles and times a job. peak: bfloat16 operations a second of the device, where that is known."""
    try:
        begin = time.perf_counter()
        run = job.make()
        run()
        compilation = time.perf_counter() - begin
        seconds: list[float] = []
        while len(seconds) < repeats and sum(seconds) < 5:
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return [job.part, job.what, "", "does not fit the memory", "", ""]
    median = float(np.median(seconds))
    share = "–" if peak is None or job.flops is None else f"{job.flops / median / peak:.1%}"
    rate = f"{job.frames / median:,.0f}"
    return [job.part, job.what, f"{compilation:.1f} s", f"{1e3 * median:.2f} ms", rate, share]


# ------------------------------------------------------------------------------------------------ parts


def sizes(config: AcceleratorBenchmark) -> list[tuple[int, int]]:
    """People and frames within the budget, the fewest first."""
    pairs = itertools.product(config.people, config.frames)
    return sorted((pair for pair in pairs if pair[0] * pair[1] <= config.budget), key=np.prod)


def solves(config: AcceleratorBenchmark) -> Iterator[Job]:
    """The whole solve, from poses and keypoints to the path."""
    for people, frames in sizes(config):
        make = partial(_solve, people, frames)
        yield Job("solve", f"{people} people x {frames} frames", people * frames, None, make)


def _solve(people: int, frames: int) -> Callable[[], object]:
    clip = walking_people(min(people, DISTINCT_PEOPLE), frames, 0)
    copies = -(-people // len(clip.poses))

    def copied(values: np.ndarray, dtype: Any) -> jax.Array:
        return jnp.asarray(np.tile(values, (copies,) + (1,) * (values.ndim - 1))[:people].astype(dtype))

    given = copied(clip.poses, np.float32), copied(clip.keypoints, np.float32), copied(clip.occluded, bool)
    camera = Camera((FOCAL, FOCAL), tuple(CENTER))

    @jax.jit
    def solve(poses: jax.Array, keypoints: jax.Array, occluded: jax.Array) -> jax.Array:
        return solve_trajectory(poses, keypoints, occluded, camera).root

    return lambda: jax.block_until_ready(solve(*given))


def eliminations(config: AcceleratorBenchmark) -> Iterator[Job]:
    """The elimination alone by the lengths of its segments, which a solve does once or twice a step."""
    for people, frames in sizes(config):
        # Chains of so few blocks have no segments worth the name.
        if frames < min(1000, max(config.frames)):
            continue
        for length in config.segments:
            cut = f"segments of {length}" if length else "no segments"
            what = f"{people} people x {frames} frames, {cut}"
            make = partial(_eliminate, people, frames, length)
            yield Job("elimination", what, people * frames, None, make)


def _eliminate(people: int, frames: int, length: int) -> Callable[[], object]:
    with jax.enable_x64(True):
        precise = elimination_rows(people, frames, 0, (1.0, 1.0))
        problem = jax.tree.map(lambda values: values.astype(jnp.float32), precise)
    blocks = len(problem.own)
    lengths = nested_lengths(blocks, length) if length else ()
    eliminate = jax.jit(lambda problem: back_substitute(factor_segments(problem, lengths), blocks))
    return lambda: jax.block_until_ready(eliminate(problem))


def trainings(config: AcceleratorBenchmark) -> Iterator[Job]:
    """The whole step of `experiments.train`, its batch drawn inside, by batch and type."""
    bank = batches.make_bank(batches.read_motion(TrainConfig()))
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    # Counted once for each network: it takes seconds of the minutes.
    flops = {name: sample_flops(NETWORKS[name]) for name in config.networks}
    for size in sorted(config.batches):
        for name, dtype in itertools.product(config.networks, dtypes):
            make = partial(_train, replace(NETWORKS[name], batch_frames=size, compute_dtype=dtype), bank)
            what = f"{name}, {dtype}, {size} frames a step"
            yield Job("training", what, size, size * flops[name], make)


def _train(settings: TrainConfig, bank: batches.Bank) -> Callable[[], object]:
    return training_step(settings, bank)[0]


def lifts(config: AcceleratorBenchmark) -> Iterator[Job]:
    """Lifting with the mirror image, half of the joints hidden."""
    for people in sorted(people for people in config.people if people * CLIP <= config.budget):
        for name in config.networks:
            what = f"{name}, {people} people x {CLIP} frames"
            yield Job("lifting", what, people * CLIP, None, partial(_lift, NETWORKS[name], people))


def _lift(settings: TrainConfig, people: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    shape = (people, CLIP, H36M_17.num_joints)
    keypoints = jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32)
    return lifting(make_lifter(settings), keypoints, jnp.asarray(rng.random(shape) < 0.5))
