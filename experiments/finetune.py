"""Fine-tunes a trained lifter with a loss on absolute joints, through the trajectory solve.

    python -m experiments.finetune --data cmu_single.npz cmu_pairs.npz --output runs/finetune/absolute
    python -m experiments.finetune --data cmu_single.npz cmu_pairs.npz --loss relative \
        --output runs/finetune/relative
    python -m experiments.finetune --steps 20 --output runs/finetune/smoke

SIGTERM and Ctrl-C finish the step and save it; the same command with ``--resume`` goes on from there, bit for
bit.

``--loss absolute`` minimises, over windows of consecutive frames,

    mean |X − X*|² + absolute_weight · mean |X + C(X) − J*|

with X the lifted root-relative joints, C(X) the roots that `solve_trajectory` finds for them, and X* and J*
the true joints, root-relative and in camera space. Its gradient runs through the solve (implicit
differentiation). ``--loss relative`` takes the first term alone (Eq. 3): as many further steps, on the same
windows, with the same optimiser and learning rates. Both keep the running statistics of batch normalisation
as they are, and no dropout is applied: the network that is trained is the one that is judged. Without
``--data`` motion is generated: for a smoke test, not for results.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
import tyro
from rich.console import Console

from experiments import guards, reporting, runs
from experiments.checks import COUNT, LOCAL, NOT_NEGATIVE, POSITIVE, WHOLE, check_numbers, one_of
from experiments.commands import run_or_tell, run_script
from experiments.training.batches import (
    SKELETON,
    Bank,
    Batch,
    Placement,
    check_rate,
    draw_placed_batch,
    make_bank,
    read_motion,
)
from experiments.training.configs import PATH_RULES, PathConfig
from experiments.training.loop import State
from experiments.training.saving import SaveError, saver
from gated_lift import solved
from gated_lift.drawing import charts
from gated_lift.losses import squared_joint_error
from gated_lift.metrics import mpjpe, root_error
from gated_lift.networks import checkpoints, weights
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.recovery.observation import turn_back
from solvers import TrajectoryConfig, solve_trajectory


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(PathConfig):
    """Everything that decides a run; it is written to the run folder as config.json."""

    checkpoint: Path = weights.TWO_STREAM
    """Checkpoint folder to start from."""
    loss: Literal["absolute", "relative"] = "absolute"
    """What is minimised: see above."""
    absolute_weight: float = 0.1
    """Weight of the absolute joints' distances, in metres: at 0.1 the two terms are about equally large.
    Distances, because squares would be decided by people far away: errors of depth grow with the depth."""
    steps: int = 2000
    learning_rate: float = 5e-5
    """At its greatest, from which it falls to zero along half a cosine."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero: the optimiser's first steps are as large where the
    gradient is noise as where it is not, and the network has been trained already."""
    trajectory: TrajectoryConfig = dataclasses.field(default_factory=TrajectoryConfig)
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of the metrics log."""
    output: Path = Path("runs/finetune")
    """Run folder: config.json, metrics.jsonl, curves.png, checkpoints/."""
    resume: bool = False
    """Go on from the newest checkpoint in the run folder."""


RULES = {
    "loss": one_of("absolute", "relative"),
    "absolute_weight": NOT_NEGATIVE,
    "steps": COUNT,
    "learning_rate": POSITIVE,
    "warmup_steps": WHOLE,
    "checkpoint_every": COUNT,
    "log_every": COUNT,
    "output": LOCAL,
    **PATH_RULES,
}
# Settings of a run that do not decide its numbers.
MAY_CHANGE = {"resume", "output", "checkpoint_every", "log_every", "data"}

# ------------------------------------------------------------------------------------------------ loss


class Placed(NamedTuple):
    """joints: (B, n, J, 3) absolute, camera axes, metres; anything where not solved. solved: (B,)."""

    joints: jax.Array
    solved: jax.Array


def place(poses: jax.Array, placement: Placement, fps: float, trajectory: TrajectoryConfig) -> Placed:
    """Absolute joints of lifted windows: poses (B, n, J, 3), metres, in the axes of a batch's targets, and
    the roots that Eq. 9 finds for them.

    Differentiable in the poses, also beside people without an answer: those have no gradient, and finite
    joints.
    """
    poses = turn_back(poses, placement.turn)
    found = solve_trajectory(
        poses, placement.keypoints, placement.occluded, placement.camera, trajectory, fps=fps
    )
    usable = solved(found.status)
    root = jnp.where(usable[:, None, None], found.root, 0)
    return Placed(poses + root[..., None, :], usable)


def make_loss(
    config: FinetuneConfig, lifter: TemporalLifter, statistics: Any
) -> Callable[[Any, Batch, Placement], tuple[jax.Array, dict[str, jax.Array]]]:
    """(params, batch, placement) -> the loss in square metres, and errors in metres for the log.

    statistics: the running statistics of batch normalisation, which stay as they are.
    """
    absolute = config.loss == "absolute"

    def loss(params: Any, batch: Batch, placement: Placement) -> tuple[jax.Array, dict[str, jax.Array]]:
        variables = {"params": params, "batch_stats": statistics}
        poses = lifter.apply(variables, batch.keypoints, batch.occluded, age=batch.age)
        # The log tells absolute errors of either loss; only one is differentiated through the solve.
        lifted = poses if absolute else jax.lax.stop_gradient(poses)
        placed = place(lifted, placement, lifter.fps, config.trajectory)
        truth = turn_back(batch.target, placement.turn) + placement.root[..., None, :]

        def mean(values: jax.Array, weight: jax.Array) -> jax.Array:
            total = jnp.maximum(jnp.sum(weight), jnp.ones_like(weight[0, 0]))
            return jnp.sum(values * weight) / total

        weight = batch.weight * placed.solved[:, None].astype(batch.weight.dtype)
        relative = mean(squared_joint_error(poses, batch.target).mean(-1), batch.weight)
        placed_error = mean(mpjpe(placed.joints, truth).mean(-1), weight)
        value = relative + config.absolute_weight * placed_error if absolute else relative
        metrics = {
            "loss": value,
            "train_mpjpe_m": mean(mpjpe(poses, batch.target).mean(-1), batch.weight),
            "train_absolute_m": placed_error,
            "train_root_m": mean(root_error(placed.joints[..., 0, :], placement.root), weight),
            "unsolved": 1 - jnp.mean(placed.solved.astype(jnp.float32)),
        }
        return value, metrics

    return loss


# ------------------------------------------------------------------------------------------------ step


def make_step(
    config: FinetuneConfig, loaded: checkpoints.LoadedLifter, optimizer: optax.GradientTransformation
) -> Callable[[State, Bank], tuple[State, dict[str, jax.Array]]]:
    """One step; it draws the same windows whatever the loss, and shows them as the network was trained."""
    training, lifter, statistics = config.as_training(), loaded.network, loaded.variables["batch_stats"]
    differentiate = jax.value_and_grad(make_loss(config, lifter, statistics), has_aux=True)

    def step(state: State, bank: Bank) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        batch, placement = draw_placed_batch(
            key, bank, lifter, training, config.windows, loaded.focal, loaded.turned
        )
        params = state.variables["params"]
        (_, metrics), gradients = differentiate(params, batch, placement)
        updates, moments = optimizer.update(gradients, state.optimizer, params)
        variables = {"params": optax.apply_updates(params, updates), "batch_stats": statistics}
        return State(state.step + 1, variables, moments), metrics

    return step


# ------------------------------------------------------------------------------------------------ loop


def finetune(config: FinetuneConfig, console: Console | None = None) -> Path:
    """Runs a configuration to its end and returns its checkpoint folder.

    SIGTERM and SIGINT let the step finish and save it; then `guards.Interrupted` is raised. Raises ValueError
    where the output folder holds a run that is not to be resumed, or is written to by another process, and
    for a run with other settings or data than the one that is resumed; `runs.NonFiniteLossError`, and
    `SaveError` where a checkpoint cannot be written.
    """
    console = console or reporting.console()
    check_numbers(config, RULES)
    output, folder, described = config.output, config.output / "checkpoints", runs.as_json(config)
    request = runs.Request(output, config.resume, described, runs.as_json(FinetuneConfig()), MAY_CHANGE)
    runs.check_request(request)
    with guards.stop_signals() as asked, contextlib.ExitStack() as locked, saver() as saving:
        loaded = checkpoints.load_lifter(config.checkpoint)
        check_rate(loaded.network)
        lifter, variables, origin = loaded.network, loaded.variables, loaded.description
        clips = read_motion(config.as_training())
        bank = make_bank(clips)
        data = runs.describe_data(bank, config.data)
        check_there = locked.enter_context(runs.begun(request, data))
        description = {
            "network": checkpoints.describe_lifter(lifter),
            "skeleton": SKELETON.name,
            "view": {"focal": loaded.focal, "turned": loaded.turned},
            "config": described,
            "data": data,
            "licences": sorted({clip.licence for clip in clips} | set(origin.get("licences", ()))),
        }
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, config.learning_rate, min(config.warmup_steps, config.steps // 2), config.steps
        )
        optimizer = optax.amsgrad(schedule)
        moments, begin = optimizer.init(variables["params"]), 0
        if config.resume and checkpoints.newest_step(folder) is not None:
            begin, variables, moments = checkpoints.restore_training(folder, lifter, moments)
        # On their device from the start: what a step hands back is, and another placement would compile it
        # anew.
        state, bank = jax.device_put(
            (State(jnp.asarray(begin, jnp.int32), variables, moments), bank), jax.local_devices()[0]
        )
        step = jax.jit(make_step(config, loaded, optimizer))
        console.print(
            f"{len(clips)} clips, {len(bank.poses):,} frames; {config.steps:,} steps of {config.windows} "
            f"windows of {config.frames} frames, loss: {config.loss}"
        )
        gathered: list[dict[str, jax.Array]] = []
        stopped, done, saved = asked(begin), begin, begin
        with runs.follow(output, console, "fine-tuning", config.steps, begin) as tell:
            while done < config.steps and stopped is None:
                state, metrics = step(state, bank)
                done += 1
                gathered.append(metrics)
                check_there()
                saving.check()
                stopped = asked(done)
                save = done % config.checkpoint_every == 0 or done == config.steps or stopped is not None
                if done % config.log_every and not save:
                    continue
                # Few windows a step: a line tells the mean since the last one.
                values = {
                    name: float(sum(entry[name] for entry in gathered)) / len(gathered) for name in metrics
                }
                gathered = []
                runs.check_loss(values["loss"], done, config.learning_rate)
                tell(done, values, f"{1000 * values['train_absolute_m']:.0f} mm absolute")
                if save:
                    runs.check_finite(state.variables, done)
                    saving.begin(folder, done, state.variables, description, state.optimizer)
                    saved = done
        saving.finish()
        if stopped is not None and done < config.steps:
            guards.stop(stopped, guards.resumable(saved, config.steps, folder), console.print)
    curves = draw_curves(output)
    console.print(f"wrote {folder}, {output / runs.LOG} and {curves}")
    return folder


def draw_curves(output: Path) -> Path:
    lines = runs.read_log(output / runs.LOG)
    steps = [line["step"] for line in lines]
    names = {"train_absolute_m": "absolute", "train_root_m": "root", "train_mpjpe_m": "root-relative"}
    curves = {title: (steps, [1000 * line[name] for line in lines]) for name, title in names.items()}
    return charts.draw_curves(curves, output / "curves.png", xlabel="step", ylabel="training error (mm)")


def main() -> None:
    config = tyro.cli(FinetuneConfig, description=__doc__)
    run_or_tell("finetune", lambda: finetune(config), runs.NonFiniteLossError, SaveError)


if __name__ == "__main__":
    run_script(main)
