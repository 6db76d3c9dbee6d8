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
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import scipy.linalg
import scipy.optimize
import scipy.sparse
from rich.console import Console
from rich.table import Table

from experiments import train
from experiments.commands import run_command
from experiments.configs import Network, TrainConfig
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
from solvers.pinhole import split_camera
from solvers.trajectory_rows import lay_out, linear_rows, make_terms, summarize

FOCAL, CENTER = 1145.0, np.array([512.0, 515.0])
MILLIMETRES = 1000.0
JOINTS = 17


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


class Clip(NamedTuple):
    """poses (P, F, J, 3) m, keypoints (P, F, J, 2) px, occluded (P, F, J), root (P, F, 3) m, all float64."""

    poses: np.ndarray
    keypoints: np.ndarray
    occluded: np.ndarray
    root: np.ndarray


class Timing(NamedTuple):
    seconds: float
    root: np.ndarray
    steps: str


def walking_people(people: int, frames: int, seed: int) -> Clip:
    """Rigid bodies on arcs, arms swinging, at 50 fps; 2 px of detector noise."""
    rng = np.random.default_rng(seed)
    clock = np.arange(frames) / 50
    body = rng.normal(size=(people, 1, JOINTS, 3)) * [0.2, 0.45, 0.12]
    body = np.repeat(body, frames, axis=1)
    body[:, :, -4:, 2] += 0.25 * np.sin(5.6 * clock[None, :, None] + rng.uniform(0, 6, (people, 1, 4)))
    heading = rng.uniform(0, 6, (people, 1)) + 0.3 * clock
    cos, sin = np.cos(heading)[..., None], np.sin(heading)[..., None]
    x, y, z = np.moveaxis(body, -1, 0)
    poses = np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)
    root = np.stack(
        [0.9 * np.sin(heading), 0.03 * np.sin(11 * clock) + 0 * heading, 4 + 0.9 * np.cos(heading)], axis=-1
    )
    points = poses + root[:, :, None]
    keypoints = (
        FOCAL * points[..., :2] / points[..., 2:] + CENTER + 2 * rng.normal(size=(*points.shape[:-1], 2))
    )
    occluded = rng.uniform(size=points.shape[:-1]) < 0.5
    occluded[:, 2 * frames // 5 : 3 * frames // 5] = True
    return Clip(poses, keypoints, occluded, root)


# ---------------------------------------------------------------------------------------------------- the
# contestants


def ours(clip: Clip, weights: tuple[float, float], start: np.ndarray) -> Callable[[], tuple[np.ndarray, str]]:
    """solve_trajectory in float32; it finds its own start, which the rivals are given."""
    del start
    poses, keypoints = jnp.asarray(clip.poses, jnp.float32), jnp.asarray(clip.keypoints, jnp.float32)
    occluded = jnp.asarray(clip.occluded)
    camera, config = Camera((FOCAL, FOCAL), tuple(CENTER)), TrajectoryConfig(*weights)

    def run() -> tuple[np.ndarray, str]:
        solution = jax.block_until_ready(solve_trajectory(poses, keypoints, occluded, camera, config))
        return np.asarray(solution.root, np.float64), str(int(solution.num_steps.max()))

    return run


def jaxopt_gauss_newton(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """jaxopt.GaussNewton as shipped (conjugate gradients on J^T J), float32, unknowns in millimetres."""
    roots = tuple(float(np.sqrt(weight)) for weight in weights)

    def residuals(root: jax.Array, poses: jax.Array, keypoints: jax.Array, visible: jax.Array) -> jax.Array:
        points = poses + root[:, None] / MILLIMETRES
        points = jnp.where(visible[..., None], points, jnp.ones_like(points))
        error = FOCAL * points[..., :2] / points[..., 2:] + jnp.asarray(CENTER, jnp.float32) - keypoints
        error = jnp.where(visible[..., None], error, jnp.zeros_like(error))
        velocity = root[1:] - root[:-1]
        parts = [error, roots[0] * velocity, roots[1] * (velocity[1:] - velocity[:-1])]
        return jnp.concatenate([part.ravel() for part in parts])

    # Ten micrometres: float32 cannot tell less at 4 m, and its plain Gauss-Newton would go on to the last
    # step.
    solver = jaxopt.GaussNewton(residuals, maxiter=8, tol=1e-2, implicit_diff=False, unroll=False)
    solve = jax.jit(jax.vmap(solver.run))
    arrays = [
        jnp.asarray(start * MILLIMETRES, jnp.float32),
        jnp.asarray(clip.poses, jnp.float32),
        jnp.asarray(clip.keypoints, jnp.float32),
        jnp.asarray(~clip.occluded),
    ]

    def run() -> tuple[np.ndarray, str]:
        params, state = jax.block_until_ready(solve(*arrays))
        return np.asarray(params, np.float64) / MILLIMETRES, str(int(state.iter_num.max()))

    return run


def lapack(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """Gauss-Newton in float64: NumPy assembles the normal equations, LAPACK's solveh_banded solves them."""
    smooth = _smoothness_bands(clip.root.shape[1], weights)

    def run() -> tuple[np.ndarray, str]:
        answers, most = [], 0
        for person in range(len(clip.poses)):
            frame, joint = np.nonzero(~clip.occluded[person])
            pose, keypoint = clip.poses[person][frame, joint], clip.keypoints[person][frame, joint]
            root = start[person].copy()
            for step in range(1, 31):
                most = max(most, step)
                bands, right = _normal_equations(root, frame, pose, keypoint, smooth)
                delta = scipy.linalg.solveh_banded(bands, right, lower=True, check_finite=False).reshape(
                    root.shape
                )
                root += delta
                if np.abs(delta).max() < 1e-7:
                    break
            answers.append(root)
        return np.stack(answers), str(most)

    return run


def scipy_least_squares(
    clip: Clip, weights: tuple[float, float], start: np.ndarray
) -> Callable[[], tuple[np.ndarray, str]]:
    """scipy.optimize.least_squares in float64: trust region (trf) with the analytic sparse Jacobian and
    LSMR.
    """

    def run() -> tuple[np.ndarray, str]:
        answers, most = [], 0
        for person in range(len(clip.poses)):
            one = Clip(*(part[person] for part in clip))
            found = scipy.optimize.least_squares(
                lambda x, one=one: _sparse_rows(x.reshape(-1, 3), one, weights)[0],
                start[person].ravel(),
                jac=lambda x, one=one: _sparse_rows(x.reshape(-1, 3), one, weights)[1],
                method="trf",
                tr_solver="lsmr",
                xtol=1e-8,
                ftol=1e-10,
                gtol=1e-8,
            )
            answers.append(found.x.reshape(-1, 3))
            most = max(most, found.nfev)
        return np.stack(answers), str(most)

    return run


def _smoothness_bands(frames: int, weights: tuple[float, float]) -> np.ndarray:
    """The constant part of J^T J as its lower bands 0 to 6; only every third is occupied."""
    bands = np.zeros((7, frames, 3))
    for order, weight in enumerate(weights, start=1):
        stencil = np.array([[-1.0, 1.0], [1.0, -2.0, 1.0]][order - 1])
        for i in range(order + 1):
            for j in range(i + 1):
                # Row i and column j of one stencil, over all places where it stands.
                bands[3 * (i - j), j : j + frames - order] += (
                    MILLIMETRES**2 * weight * stencil[i] * stencil[j]
                )
    return bands


def _normal_equations(
    root: np.ndarray, frame: np.ndarray, pose: np.ndarray, keypoint: np.ndarray, smooth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    frames = len(root)
    point = pose + root[frame]
    scale = FOCAL / point[:, 2]
    slope = point[:, :2] / point[:, 2:]
    error = FOCAL * slope + CENTER - keypoint
    square = scale**2

    def per_frame(values: np.ndarray) -> np.ndarray:
        return np.bincount(frame, values, frames)

    bands = smooth.copy()
    both = per_frame(square)
    bands[0, :, 0] += both
    bands[0, :, 1] += both
    bands[0, :, 2] += per_frame(square * (slope**2).sum(axis=1))
    bands[2, :, 0] -= per_frame(square * slope[:, 0])
    bands[1, :, 1] -= per_frame(square * slope[:, 1])
    right = np.stack(
        [
            per_frame(-scale * error[:, 0]),
            per_frame(-scale * error[:, 1]),
            per_frame(scale * (error * slope).sum(axis=1)),
        ],
        axis=1,
    )
    # The gradient of the smoothness at the root: its bands (symmetric) times the root.
    right -= smooth[0] * root
    for lag in (1, 2):
        right[lag:] -= smooth[3 * lag, :-lag] * root[:-lag]
        right[:-lag] -= smooth[3 * lag, :-lag] * root[lag:]
    return bands.reshape(7, -1), right.ravel()


def _sparse_rows(
    root: np.ndarray, clip: Clip, weights: tuple[float, float]
) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
    """Residuals of Eq. 9 for one person and their Jacobian by the root in metres."""
    frames = len(root)
    frame, joint = np.nonzero(~clip.occluded)
    point = clip.poses[frame, joint] + root[frame]
    error = FOCAL * point[:, :2] / point[:, 2:] + CENTER - clip.keypoints[frame, joint]
    row = np.arange(2 * len(frame)).reshape(-1, 2)
    direct = np.broadcast_to(FOCAL / point[:, 2:], error.shape)
    depth = -FOCAL * point[:, :2] / point[:, 2:] ** 2
    columns = 3 * frame[:, None] + np.arange(3)
    jacobian = scipy.sparse.coo_matrix(
        (
            np.concatenate([direct.ravel(), depth.ravel()]),
            (
                np.concatenate([row.ravel()] * 2),
                np.concatenate([columns[:, :2].ravel(), np.repeat(columns[:, 2], 2)]),
            ),
        ),
        shape=(row.size, 3 * frames),
    )
    residuals, parts = [error.ravel()], [jacobian]
    for order, weight in enumerate(weights, start=1):
        stencil = [[-1.0, 1.0], [1.0, -2.0, 1.0]][order - 1]
        difference = scipy.sparse.diags(stencil, list(range(order + 1)), shape=(frames - order, frames))
        operator = MILLIMETRES * np.sqrt(weight) * scipy.sparse.kron(difference, scipy.sparse.eye(3))
        residuals.append(operator @ root.ravel())
        parts.append(operator)
    return np.concatenate(residuals), scipy.sparse.vstack(parts).tocsr()


# -------------------------------------------------------------------------------------------------------
# measurement

OURS = "solve_trajectory (float32)"
CONTESTANTS: dict[str, tuple[Callable, float]] = {
    # How each one's time grows with the number of frames, to foresee what would take minutes.
    OURS: (ours, 1.0),
    "NumPy + LAPACK solveh_banded (float64)": (lapack, 1.0),
    "jaxopt.GaussNewton as shipped (float32)": (jaxopt_gauss_newton, 2.0),
    "SciPy least_squares, sparse (float64)": (scipy_least_squares, 1.5),
}


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
            skipped: dict[str, float] = {}
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
                    skipped[name] = expected
                    continue
                console.print(f"{frames} frames, {people} people: {name}", style="dim")
                timings[name] = measure(contestant(clip, config.weights, start), config.repeats)
                known[name, people, frames] = timings[name].seconds
            costs = {name: _cost(timing.root, clip, config.weights) for name, timing in timings.items()}
            best = min(cost for cost in costs.values() if np.isfinite(cost))
            reference = min((name for name in costs if np.isfinite(costs[name])), key=costs.__getitem__)
            for name in CONTESTANTS:
                size = [str(frames), str(people), name]
                if name in skipped:
                    rows.append([*size, f"skipped: about {skipped[name]:.0f} s", "", "", "", ""])
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
    steps: int = 10
    output: Path | None = None
    """Also write the table as Markdown."""


def run_training(config: TrainingBenchmark) -> list[list[str]]:
    """Times the step of `experiments.train` on generated motion, and the drawing of its batch alone."""
    clips = train.read_motion(TrainConfig())
    bank = train.make_bank(clips)
    columns = [
        "gating",
        "outputs a window",
        "frames apart",
        "samples/s",
        "against plain",
        "step",
        "of it drawing the batch",
    ]
    rows = []
    console = Console()
    for chunk, stride in config.chunks:
        plain = 0.0
        for gating in ("none", "single_stream", "two_stream"):
            network = Network(gating=gating, channels=config.channels, filter_widths=config.filter_widths)
            settings = TrainConfig(
                network=network, chunk_frames=chunk, chunk_stride=stride, batch_frames=config.batch_frames
            )
            console.print(f"{gating}, {chunk} outputs a window, {stride} frames apart", style="dim")
            step, drawing = _time_training(settings, bank, config.steps)
            rate = config.batch_frames / step
            plain = plain or rate
            rows.append(
                [
                    gating,
                    str(chunk),
                    str(stride) if chunk > 1 else "–",
                    f"{rate:,.0f}",
                    f"{rate / plain:.2f} x",
                    f"{1e3 * step:.0f} ms",
                    f"{1e3 * drawing:.0f} ms",
                ]
            )
    table = Table(
        *columns, title=f"Training, {config.channels} channels, widths {config.filter_widths}, median step"
    )
    for row in rows:
        table.add_row(*row, end_section=row[0] == "two_stream")
    console.print(table)
    _write_markdown(config.output, columns, rows)
    return rows


def _time_training(settings: TrainConfig, bank: train.Bank, steps: int) -> tuple[float, float]:
    """Median seconds of a whole step and of drawing its batch."""
    lifter = train.make_lifter(settings)
    _, _, learning_rate, batch_norm_rate = train.make_schedules(settings, len(bank.poses))
    optimizer = optax.amsgrad(learning_rate)
    step = jax.jit(train.make_step(settings, lifter, optimizer, batch_norm_rate))
    size = settings.batch_frames // settings.chunk_frames
    draw = jax.jit(lambda key: train.draw_batch(key, bank, lifter, settings, size))
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
        lines = [columns, ["---"] * len(columns), *rows]
        path.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
        print(f"wrote {path}")


def _cost(root: np.ndarray, clip: Clip, weights: tuple[float, float]) -> float:
    """Eq. 9 in float64, summed over people, whoever found the root."""
    return sum(
        float((_sparse_rows(root[person], Clip(*(part[person] for part in clip)), weights)[0] ** 2).sum())
        for person in range(len(root))
    )


COMMANDS: dict[str, tuple[type, Callable]] = {
    "trajectory": (TrajectoryBenchmark, run_trajectory),
    "elimination": (EliminationBenchmark, run_elimination),
    "streaming": (StreamingBenchmark, run_streaming),
    "training": (TrainingBenchmark, run_training),
}


if __name__ == "__main__":
    run_command("benchmark", "benchmarks", __doc__, COMMANDS)
