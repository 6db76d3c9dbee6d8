"""The training loop: model, step, distribution over devices, and the run from start to end.

A run is decided by its configuration and seed alone: step n draws from fold_in(seed, n), so that a resumed
run continues exactly where the newest checkpoint stopped.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console

from experiments import reporting, runs
from experiments.checks import check_numbers
from experiments.draws import named_key
from experiments.training.batches import FPS, SKELETON, Bank, Batch, draw_batch, read_bank, read_motion
from experiments.training.configs import TRAIN_RULES, TrainConfig
from experiments.training.losses import check_loss_fits, training_loss
from gated_lift.cameras import screen_focal
from gated_lift.drawing import charts
from gated_lift.metrics import mpjpe
from gated_lift.networks import checkpoints
from gated_lift.networks.protocol import parameter_count
from gated_lift.networks.settings import settings_of

# Windows whose statistics stand for the training set's.
STATISTICS_WINDOWS = 1024
# Settings of a run that do not decide its numbers.
MAY_CHANGE = {"resume", "output", "checkpoint_every", "log_every", "data", "distributed", "allow_pickle"}
OPTIMIZERS = {"amsgrad": optax.amsgrad, "adam": optax.adam}


# ----------------------------------------------------------------------------------------------- model


class State(NamedTuple):
    """step counts finished steps. variables: {"params"}, and where the network has them {"batch_stats"} and
    {"statistics"}.
    """

    step: jax.Array
    variables: Any
    optimizer: Any


def make_schedules(config: TrainConfig, frames: int) -> tuple[int, int, optax.Schedule, Callable]:
    """Steps an epoch, steps in all, learning rate by step, and batch-norm rate by step."""
    per_epoch = max(1, round(frames / config.batch_frames))
    steps = max(1, round(per_epoch * config.epochs))
    decay = optax.exponential_decay(
        config.learning_rate, per_epoch, config.learning_rate_decay, staircase=True
    )
    drops = optax.piecewise_constant_schedule(
        1.0, {round(epoch * per_epoch): 0.1 for epoch in config.learning_rate_drops}
    )

    def learning_rate(step: jax.Array) -> jax.Array:
        return decay(step) * drops(step) if config.learning_rate_drops else decay(step)

    begin, end = config.batch_norm_rate

    def batch_norm_rate(step: jax.Array) -> jax.Array:
        return begin * jnp.exp(step.astype(jnp.float32) / steps * math.log(end / begin))

    return per_epoch, steps, learning_rate, batch_norm_rate


def make_lifter(config: TrainConfig) -> Any:
    # Momentum 0 hands back each batch's own statistics; the step blends them in at the scheduled rate.
    return config.network.build(
        num_joints=SKELETON.num_joints,
        fps=FPS,
        batch_norm_momentum=0.0,
        axis_name="devices" if config.parallel == "pmap" else None,
        dtype=jnp.bfloat16 if config.compute_dtype == "bfloat16" else None,
    )


def init_state(config: TrainConfig, lifter: Any, optimizer: optax.GradientTransformation) -> State:
    keypoints = jnp.zeros((1, lifter.receptive_field, SKELETON.num_joints, 2))
    variables = lifter.init(jax.random.key(config.seed), keypoints, jnp.zeros(keypoints.shape[:-1], bool))
    return State(jnp.zeros((), jnp.int32), variables, optimizer.init(variables["params"]))


def set_statistics(state: State, config: TrainConfig, lifter: Any, bank: Bank) -> State:
    """Sets what a network standardises by, if it does, from windows as training draws them."""
    if "statistics" not in state.variables:
        return state
    key = named_key(jax.random.key(config.seed), "statistics")
    draw = jax.jit(lambda key, bank: draw_batch(key, bank, lifter, config, STATISTICS_WINDOWS))
    batch = jax.tree.map(np.asarray, draw(key, bank))
    counted = batch.weight > 0
    statistics = lifter.statistics(batch.keypoints[counted], batch.target[counted])
    return state._replace(variables=state.variables | {"statistics": statistics})


# ------------------------------------------------------------------------------------------------ step


def make_step(
    config: TrainConfig,
    lifter: Any,
    optimizer: optax.GradientTransformation,
    batch_norm_rate: Callable,
    place: Callable[[Batch], Batch] = lambda batch: batch,
) -> Callable[[State, Bank], tuple[State, dict[str, jax.Array]]]:
    """One training step. ``place`` shards a batch under jit; under pmap ``axis_name`` joins the devices."""
    axis = "devices" if config.parallel == "pmap" else None
    devices = jax.device_count() if axis else 1
    size = config.batch_frames // config.chunk_frames // devices
    form = lifter.training_form(config.chunk_frames, config.chunk_stride)

    def mean(values: jax.Array, weight: jax.Array) -> jax.Array:
        # Under pmap every device divides by the mean of all: then the devices' mean is the frames' mean.
        total = jnp.sum(weight)
        return jnp.sum(values * weight) / (jax.lax.pmean(total, axis) if axis else total)

    def step(state: State, bank: Bank) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        if axis:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis))
        draw_key, dropout_key = jax.random.split(key)
        batch = place(draw_batch(draw_key, bank, lifter, config, size))

        def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            poses, updated = lifter.apply(
                state.variables | {"params": params},
                batch.keypoints,
                batch.occluded,
                train=True,
                age=batch.age,
                **({} if batch.up is None else {"up": batch.up}),
                rngs={"dropout": dropout_key},
                mutable=["batch_stats"],
                **form,
            )
            return training_loss(config, poses, batch, mean), (poses, updated)

        params = state.variables["params"]
        (value, (poses, updated)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        error = mpjpe(poses, batch.target).mean(-1)
        metrics = {"loss": value, "train_mpjpe_m": mean(error, batch.weight)}
        if axis:
            gradients, metrics = jax.lax.pmean((gradients, metrics), axis)
        updates, moments = optimizer.update(gradients, state.optimizer, params)
        rate = batch_norm_rate(state.step)
        # A network without batch norm has updated nothing.
        blended = {
            name: jax.tree.map(
                lambda old, new: (1 - rate) * old + rate * new, state.variables[name], statistics
            )
            for name, statistics in updated.items()
        }
        variables = state.variables | blended | {"params": optax.apply_updates(params, updates)}
        return State(state.step + 1, variables, moments), metrics

    return step


def distribute(
    config: TrainConfig, make: Callable[..., Callable], state: State, bank: Bank
) -> tuple[Callable, State, Bank, Callable[[Any], Any]]:
    """Compiles the step for all devices. Returns it, the placed state and data, and a reader of one copy."""
    devices = jax.device_count()
    if config.parallel == "pmap":
        compiled = jax.pmap(make(), axis_name="devices", donate_argnums=0)

        def replicate(tree: Any) -> Any:
            count = jax.local_device_count()
            return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), tree)

        return (
            compiled,
            replicate(state),
            replicate(bank),
            lambda tree: jax.tree.map(lambda leaf: leaf[0], tree),
        )
    mesh = jax.make_mesh((devices,), ("batch",), axis_types=(AxisType.Auto,))
    shared = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("batch"))
    step = make(place=lambda batch: jax.lax.with_sharding_constraint(batch, split))
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(shared, shared))
    return compiled, jax.device_put(state, shared), jax.device_put(bank, shared), lambda tree: tree


# ------------------------------------------------------------------------------------------------ loop


def train(config: TrainConfig, console: Console | None = None) -> Path:
    """Runs a configuration to its end and returns its checkpoint folder."""
    console = console or reporting.console()
    output = config.output
    check_settings(config)
    lifter = make_lifter(config)
    folder = output / "checkpoints"
    described = runs.as_json(config)
    if config.resume:
        defaults = runs.as_json(TrainConfig(network=settings_of(config.network.kind)))
        runs.check_same_config(output, described, defaults, MAY_CHANGE)
    else:
        runs.check_unused(output, "add --resume or choose another folder")

    clips = read_motion(config)
    bank = read_bank(config, clips)
    files = [*config.data, config.human36m, config.keypoints_2d, config.cameras]
    data = runs.describe_data(bank, [path for path in files if path is not None])
    if config.resume:
        runs.check_same_data(output, data)
    runs.start(output, described, data)
    per_epoch, steps, learning_rate, batch_norm_rate = make_schedules(config, len(bank.first))
    optimizer = OPTIMIZERS[config.optimizer](learning_rate)
    state = init_state(config, lifter, optimizer)
    if config.resume and checkpoints.newest_step(folder) is not None:
        step, variables, moments = checkpoints.restore_training(folder, lifter, state.optimizer)
        state = State(jnp.asarray(step, jnp.int32), variables, moments)
    else:
        state = set_statistics(state, config, lifter, bank)
    begin = int(state.step)
    description = {
        "network": checkpoints.describe_lifter(lifter),
        "skeleton": SKELETON.name,
        "view": {"focal": screen_focal(config.camera), "turned": True},
        "config": described,
        "data": data,
        "licences": sorted({clip.licence for clip in clips}),
    }

    def make(**settings: Any) -> Callable:
        return make_step(config, lifter, optimizer, batch_norm_rate, **settings)

    compiled, state, bank, one_copy = distribute(config, make, state, bank)
    console.print(
        f"{parameter_count(one_copy(state).variables):,} weights, receptive field {lifter.receptive_field} "
        f"frames; {len(clips)} clips, {len(one_copy(bank).first):,} frames; {steps:,} steps of "
        f"{config.batch_frames} frames ({per_epoch} an epoch) on {jax.device_count()} "
        f"{jax.default_backend()} device(s)"
    )
    with runs.follow(output, console, "training", steps, begin, "samples", config.batch_frames) as tell:
        for index in range(begin, steps):
            state, metrics = compiled(state, bank)
            done = index + 1
            if done % config.log_every and done != steps and done % config.checkpoint_every:
                continue
            values = {name: float(value) for name, value in one_copy(metrics).items()}
            runs.check_loss(values["loss"], done, config.learning_rate)
            tell(done, {"epoch": done / per_epoch, **values}, f"{1000 * values['train_mpjpe_m']:.1f} mm")
            if done % config.checkpoint_every == 0 or done == steps:
                saved = one_copy(state)
                runs.check_finite(saved.variables, done)
                checkpoints.save(folder, done, saved.variables, description, saved.optimizer)
    draw_curves(output)
    console.print(f"wrote {folder}, {output / runs.LOG} and {output / 'curves.png'}")
    return folder


def check_settings(config: TrainConfig) -> None:
    """Raises ValueError for numbers out of range, windows that the network does not take, a loss that does
    not fit them, and a batch that the devices cannot share.
    """
    check_numbers(config, TRAIN_RULES)
    lifter = make_lifter(config)
    lifter.training_form(config.chunk_frames, config.chunk_stride)
    check_loss_fits(config, lifter.target)
    devices = jax.device_count()
    windows = config.batch_frames // config.chunk_frames
    if windows == 0 or windows % devices:
        raise ValueError(
            f"batch_frames {config.batch_frames} in chunks of {config.chunk_frames} makes {windows} windows, "
            f"which {devices} devices cannot share evenly: choose a batch of a multiple of "
            f"{config.chunk_frames * devices}"
        )


def draw_curves(output: Path) -> Path:
    lines = runs.read_log(output / runs.LOG)
    epochs = np.array([line["epoch"] for line in lines])
    errors = 1000 * np.array([line["train_mpjpe_m"] for line in lines])
    curves = {"training MPJPE": (epochs, errors)}
    return charts.draw_curves(curves, output / "curves.png", xlabel="epoch", ylabel="MPJPE (mm)")
