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

from experiments import reporting, runs
from experiments.checks import COUNT, POSITIVE, check_numbers
from experiments.training.batches import (
    SKELETON,
    Batch,
    Placement,
    draw_placed_batch,
    make_bank,
    read_motion,
    seen_outputs,
)
from experiments.training.configs import PATH_RULES, PathConfig
from gated_lift import pipeline
from gated_lift.cameras import VirtualCamera
from gated_lift.metrics import root_error
from gated_lift.networks import checkpoints, weights
from solvers import TrajectoryConfig, solve_trajectory


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


RULES = {"steps": COUNT, "learning_rate": POSITIVE, **PATH_RULES}


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
    logarithms: Logarithms,
    poses: jax.Array,
    batch: Batch,
    placement: Placement,
    before: int,
    camera: VirtualCamera,
) -> jax.Array:
    """Mean distance (m) of the solved roots from the true ones, over people who have an answer.

    poses: (B, n, J, 3) lifted, metres. before: frames of the batch's windows before their first output.
    """
    keypoints, occluded = seen_outputs(batch, before, camera)
    # Somebody who is never seen has no path, and 0 · NaN for a gradient: they are solved as if they were seen
    # and count for nothing.
    unseen = occluded.all(axis=(1, 2))
    occluded = occluded & ~unseen[:, None, None]
    solve = solve_of(logarithms)
    confidence = jnp.broadcast_to(solve.confidence, occluded.shape)
    found = solve_trajectory(
        poses, keypoints, occluded, placement.camera, solve.trajectory, confidence=confidence
    )
    solved = pipeline.solved(found.status)
    root = jnp.where(solved[:, None, None], found.root, placement.root)
    weight = batch.weight * (solved & ~unseen)[:, None].astype(batch.weight.dtype)
    # The distance has no slope at zero, where the placeholder stands.
    error = root_error(root + jnp.float32(1e-9), placement.root)
    return jnp.sum(error * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def tune(config: TuneConfig, console: Console | None = None) -> Path:
    """Runs a configuration to its end and returns the file with the weights.

    Raises `runs.NonFiniteLossError`.
    """
    check_numbers(config, RULES)
    console = console or reporting.console()
    lifter, variables, *_ = checkpoints.load_lifter(config.checkpoint)
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
        batch, placement = draw_placed_batch(key, bank, lifter, training, config.windows)
        poses = lifter.apply(variables, batch.keypoints, batch.occluded, age=batch.age)
        error, slopes = jax.value_and_grad(placed_error)(
            logarithms, poses, batch, placement, lifter.padding[0], config.camera
        )
        # A step with a path that could not be solved has no gradient, and changes nothing.
        usable = jnp.all(jnp.array([jnp.all(jnp.isfinite(slope)) for slope in slopes]))
        slopes = jax.tree.map(lambda slope: jnp.where(usable, slope, jnp.zeros_like(slope)), slopes)
        if not config.joints:
            slopes = slopes._replace(joints=jnp.zeros_like(slopes.joints))
        updates, moments = optimizer.update(slopes, moments, logarithms)
        return (optax.apply_updates(logarithms, updates), moments), error

    state = (begin, optimizer.init(begin))
    recent: list[float] = []
    with runs.follow(config.output, console, "tuning", config.steps) as tell:
        for index in range(config.steps):
            state, error = step(jnp.int32(index), state)
            recent = [*recent[-49:], float(error)]
            runs.check_loss(recent[-1], index + 1, config.learning_rate)
            tell(index + 1, {"train_root_m": recent[-1]}, f"{1000 * np.mean(recent):.0f} mm")
    solve = solve_of(state[0])
    path = save_solve(config.output / "solve.json", solve)
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
    try:
        values = json.loads(path.read_text())
        confidence = [float(values["joint_confidence"][name]) for name in SKELETON.names]
        first, second = float(values["velocity_weight"]), float(values["acceleration_weight"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not hold weights of {SKELETON.name} ({error!r}): write it with "
            "experiments.tune_solve"
        ) from error
    return Solve(
        TrajectoryConfig(velocity_weight=first, acceleration_weight=second),
        jnp.asarray(confidence, jnp.float32),
    )
