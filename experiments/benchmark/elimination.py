"""Eliminations of the trajectory solve's rows in their several orders."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from experiments import reporting
from experiments.benchmark.rivals import CENTER, FOCAL, walking_people
from experiments.benchmark.timing import Timing, measure, write_markdown
from solvers import Camera
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
    console = reporting.console()

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
    write_markdown(config.output, columns, rows)
    return rows
