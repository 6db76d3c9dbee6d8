"""Weights of Eq. 9, learned by gradient through the trajectory solve, and the file that holds them.

Learning minimises, over windows of consecutive frames that a trained lifter has lifted,

    mean |C(λ₁, λ₂, c) − C*|

with C the roots that `solve_trajectory` finds with smoothness weights λ₁, λ₂ and a confidence c_j for every
joint (left and right alike; their geometric mean is one), and C* the true roots. The lifter stays as it is:
what is learned is how far to trust its joints, and how people move. Without ``--data`` motion is generated:
for a smoke test, not for results.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from experiments import guards, reporting, runs
from experiments.checks import COUNT, LOCAL, POSITIVE, check_numbers
from experiments.training.batches import (
    SKELETON,
    Batch,
    Placement,
    check_rate,
    draw_placed_batch,
    make_bank,
    read_motion,
)
from experiments.training.configs import PATH_RULES, PathConfig
from gated_lift import solved
from gated_lift.metrics import root_error
from gated_lift.networks import checkpoints, weights
from gated_lift.readers.json_file import read_object
from gated_lift.recovery.observation import turn_back
from solvers import TrajectoryConfig, solve_trajectory

SOLVE = "solve.json"
MOST = 1e6  # of a weight in a file: far beyond any that was learned, and float32 can work with it


@dataclasses.dataclass(frozen=True)
class TuneConfig(PathConfig):
    """Everything that decides a run; it is written to the run folder as config.json."""

    checkpoint: Path = weights.TWO_STREAM
    """Checkpoint folder of the lifter."""
    joints: bool = True
    """Learn a confidence for every joint too, not the two weights alone."""
    steps: int = 300
    windows: int = 16
    """Windows a step."""
    learning_rate: float = 0.05
    """Of the logarithms, at its greatest, from which it falls to zero along half a cosine."""
    output: Path = Path("runs/tune_solve")
    """Run folder: config.json, metrics.jsonl, solve.json."""


RULES = {"steps": COUNT, "learning_rate": POSITIVE, "output": LOCAL, **PATH_RULES}


class Logarithms(NamedTuple):
    """What is learned. velocity, acceleration: log λ₁ and log λ₂. joints: (J,)."""

    velocity: jax.Array
    acceleration: jax.Array
    joints: jax.Array


class Solve(NamedTuple):
    """Weights for `solve_trajectory`. confidence: (J,), for every frame alike."""

    trajectory: TrajectoryConfig
    confidence: jax.Array


def solve_of(logarithms: Logarithms) -> Solve:
    mirrored = logarithms.joints[jnp.array(SKELETON.mirror)]
    joints = (logarithms.joints + mirrored) / 2
    return Solve(
        TrajectoryConfig(
            velocity_weight=jnp.exp(logarithms.velocity),
            acceleration_weight=jnp.exp(logarithms.acceleration),
        ),
        jnp.exp(joints - jnp.mean(joints)),
    )


def placed_error(
    logarithms: Logarithms, poses: jax.Array, batch: Batch, placement: Placement, fps: float
) -> jax.Array:
    """Mean distance (m) of the solved roots from the true ones, over people who have an answer.

    poses: (B, n, J, 3) lifted, metres, in the axes of the batch's targets.
    """
    solve = solve_of(logarithms)
    found = solve_trajectory(
        turn_back(poses, placement.turn),
        placement.keypoints,
        placement.occluded,
        placement.camera,
        solve.trajectory,
        confidence=jnp.broadcast_to(solve.confidence, placement.occluded.shape),
        fps=fps,
    )
    usable = solved(found.status)
    root = jnp.where(usable[:, None, None], found.root, placement.root)
    weight = batch.weight * usable[:, None].astype(batch.weight.dtype)
    # The distance has no slope at zero, where the placeholder stands.
    error = root_error(root + jnp.float32(1e-9), placement.root)
    return jnp.sum(error * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def tune(config: TuneConfig, console: Console | None = None) -> Path:
    """Runs a configuration to its end and returns the file with the weights.

    SIGTERM and SIGINT let the step finish; then `guards.Interrupted` is raised. There are no checkpoints, so
    the steps are lost. Raises `runs.NonFiniteLossError`.
    """
    check_numbers(config, RULES)
    console = console or reporting.console()
    with guards.stop_signals() as asked:
        loaded = checkpoints.load_lifter(config.checkpoint)
        check_rate(loaded.network)
        lifter, variables = loaded.network, loaded.variables
        training = config.as_training()
        clips = read_motion(training)
        bank = make_bank(clips)
        runs.start(config.output, runs.as_json(config), runs.describe_data(bank, config.data))
        optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
        begin = Logarithms(jnp.float32(0), jnp.float32(0), jnp.zeros(SKELETON.num_joints))

        @jax.jit
        def step(index: jax.Array, state: tuple[Logarithms, Any]) -> tuple[tuple[Logarithms, Any], jax.Array]:
            logarithms, moments = state
            key = jax.random.fold_in(jax.random.key(config.seed), index)
            batch, placement = draw_placed_batch(
                key, bank, lifter, training, config.windows, loaded.focal, loaded.turned
            )
            poses = lifter.apply(variables, batch.keypoints, batch.occluded, age=batch.age)
            error, slopes = jax.value_and_grad(placed_error)(logarithms, poses, batch, placement, lifter.fps)
            if not config.joints:
                slopes = slopes._replace(joints=jnp.zeros_like(slopes.joints))
            updates, moments = optimizer.update(slopes, moments, logarithms)
            return (optax.apply_updates(logarithms, updates), moments), error

        state = (begin, optimizer.init(begin))
        recent: list[float] = []
        stopped, done = asked(0), 0
        with runs.follow(config.output, console, "tuning", config.steps) as tell:
            while done < config.steps and stopped is None:
                state, error = step(jnp.int32(done), state)
                done += 1
                recent = [*recent[-49:], float(error)]
                runs.check_loss(recent[-1], done, config.learning_rate)
                tell(done, {"train_root_m": recent[-1]}, f"{1000 * np.mean(recent):.0f} mm")
                stopped = asked(done)
        if stopped is not None and done < config.steps:
            kept = f"{done} of {config.steps} steps are lost, and no {SOLVE} was written"
            guards.stop(stopped, f"{kept}; the same command begins anew", console.print)
    solve = solve_of(state[0])
    path = save_solve(config.output / SOLVE, solve)
    console.print(
        f"lambda_1 {float(solve.trajectory.velocity_weight):.3g}, "
        f"lambda_2 {float(solve.trajectory.acceleration_weight):.3g}, confidences "
        + ", ".join(
            f"{name} {float(value):.2f}"
            for name, value in zip(SKELETON.names, solve.confidence, strict=True)
            if not name.startswith("left_")
        )
    )
    console.print(f"wrote {path} and {config.output / runs.LOG}")
    return path


def save_solve(path: Path, solve: Solve) -> Path:
    values = {
        "velocity_weight": float(solve.trajectory.velocity_weight),
        "acceleration_weight": float(solve.trajectory.acceleration_weight),
        "joint_confidence": dict(zip(SKELETON.names, map(float, solve.confidence), strict=True)),
    }
    path.write_text(json.dumps(values, indent=1) + "\n")
    return path


def load_solve(path: Path) -> Solve:
    """Raises ValueError for a file that is not one of `save_solve`'s, or with other joints."""
    mend = "write it with experiments.tune_solve"
    held = read_object(path, "weights of a solve", mend)
    confidences = held.get("joint_confidence")
    if not isinstance(confidences, dict) or set(confidences) != set(SKELETON.names):
        raise ValueError(f"{path} does not hold weights of {SKELETON.name}, one a joint: {mend}")
    wanted = [confidences[name] for name in SKELETON.names]
    values = [held.get("velocity_weight"), held.get("acceleration_weight"), *wanted]
    wrong = [value for value in values if type(value) not in (int, float) or not 0 <= value < MOST]
    if wrong:
        raise ValueError(f"{path} holds the weight {wrong[0]!r}, expected numbers from 0 to {MOST:g}: {mend}")
    first, second, *confidence = map(float, values)
    return Solve(
        TrajectoryConfig(velocity_weight=first, acceleration_weight=second),
        jnp.asarray(confidence, jnp.float32),
    )
