"""The training loop: model, step, distribution over devices, and the run from start to end.

A run is decided by its configuration and seed alone: step n draws from fold_in(seed, n), so that a resumed
run continues exactly where the newest checkpoint stopped.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console

from experiments import guards, processes, reporting, runs, watching
from experiments.checks import check_numbers
from experiments.commands import run_or_tell, tell
from experiments.draws import named_key
from experiments.training import mirror as mirrors
from experiments.training.batches import (
    FPS,
    SKELETON,
    Bank,
    Batch,
    draw_batch,
    read_bank,
    read_held_out,
    read_motion,
)
from experiments.training.chips import peak_flops
from experiments.training.configs import TRAIN_RULES, TrainConfig
from experiments.training.losses import check_loss_fits, training_loss
from experiments.training.saving import SaveError, Saver, saver
from experiments.training.validation import make_validation
from gated_lift.cameras import screen_focal
from gated_lift.clips import MotionClip
from gated_lift.drawing import charts
from gated_lift.metrics import mpjpe
from gated_lift.networks import checkpoints
from gated_lift.networks.protocol import parameter_count, told
from gated_lift.networks.settings import settings_of

# Windows whose statistics stand for the training set's.
STATISTICS_WINDOWS = 1024
# Settings of a run that do not decide its numbers.
MAY_CHANGE = {
    *("resume", "fall_back", "output", "checkpoint_every", "log_every", "data", "distributed"),
    *("allow_pickle", "time_drawing", "coordinator", "processes", "process_id", "heartbeat_seconds"),
    *("tensorboard", "wandb", "profile", "compile_for", "mirror"),
}
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
    variables = _first_variables(lifter, config.seed)
    return State(jnp.zeros((), jnp.int32), variables, optimizer.init(variables["params"]))


@functools.partial(jax.jit, static_argnums=0)
def _first_variables(lifter: Any, seed: Any) -> Any:
    """One program: operation by operation, weights would be a hundred, each of which is compiled."""
    keypoints = jnp.zeros((1, lifter.receptive_field, SKELETON.num_joints, 2))
    return lifter.init(jax.random.key(seed), keypoints, jnp.zeros(keypoints.shape[:-1], bool))


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
    """One training step. ``place`` shards a batch under jit; under pmap ``axis_name`` joins the devices, each
    of which draws the whole batch and keeps its own rows, so that both ways and any number of devices see the
    same windows.
    """
    axis = "devices" if config.parallel == "pmap" else None
    size = config.batch_frames // config.chunk_frames
    rows = size // jax.device_count()
    form = lifter.training_form(config.chunk_frames, config.chunk_stride)

    def mean(values: jax.Array, weight: jax.Array) -> jax.Array:
        # Under pmap every device divides by the mean of all: then the devices' mean is the frames' mean.
        total = jnp.sum(weight)
        return jnp.sum(values * weight) / (jax.lax.pmean(total, axis) if axis else total)

    def step(state: State, bank: Bank) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        draw_key, dropout_key = jax.random.split(key)
        batch = place(draw_batch(draw_key, bank, lifter, config, size))
        if axis:
            device = jax.lax.axis_index(axis)
            dropout_key = jax.random.fold_in(dropout_key, device)
            batch = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * rows, rows), batch)

        def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            poses, updated = lifter.apply(
                state.variables | {"params": params},
                batch.keypoints,
                batch.occluded,
                train=True,
                age=batch.age,
                **told(batch.hints),
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
        metrics |= {"gradient_norm": optax.tree.norm(gradients), "update_norm": optax.tree.norm(updates)}
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
    if config.parallel == "pmap":
        compiled = jax.pmap(make(), axis_name="devices", donate_argnums=0)

        def replicate(tree: Any) -> Any:
            count = jax.local_device_count()
            return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), tree)

        return (
            compiled,
            replicate(state),
            replicate(bank),
            lambda tree: processes.as_numpy(jax.tree.map(lambda leaf: leaf[0], tree)),
        )
    compiled, shared = jit_step(make, jax.devices())
    state, bank = (jax.device_put(processes.as_numpy(tree), shared) for tree in (state, bank))
    return compiled, state, bank, processes.as_numpy


def jit_step(make: Callable[..., Callable], devices: Sequence[jax.Device]) -> tuple[Any, NamedSharding]:
    """The step under jit, its batch shared by ``devices``, and the sharding of what all of them have whole:
    state, data and numbers. The devices need not be there for the step to be lowered and compiled.
    """
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=(AxisType.Auto,), devices=devices)
    shared = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("batch"))
    step = make(place=lambda batch: jax.lax.with_sharding_constraint(batch, split))
    return jax.jit(step, donate_argnums=0, out_shardings=(shared, shared)), shared


# ------------------------------------------------------------------------------------------------ loop


def train(config: TrainConfig, console: Console | None = None) -> Path:
    """Runs a configuration to its end and returns its checkpoint folder.

    SIGTERM and SIGINT let the step finish and save it; then `guards.Interrupted` is raised, which ends the
    process with the code that whoever sent the signal expects. Raises `runs.NonFiniteLossError`, a step late
    at most, `SaveError` where a checkpoint cannot be written, OSError where the run folder cannot, and
    ValueError for settings, data and folders that do not fit.
    """
    began = time.perf_counter()
    console = processes.console_of(console or reporting.console())
    output = config.output
    check_settings(config)
    lifter = make_lifter(config)
    folder = output / "checkpoints"
    described = runs.as_json(config)

    mirror = mirrors.place(config.mirror) if config.mirror else None
    processes.together(lambda: meet_mirror(config, mirror, console))
    defaults = runs.as_json(TrainConfig(network=settings_of(config.network.kind)))
    request = runs.Request(output, config.resume, described, defaults, MAY_CHANGE)
    runs.check_request(request)
    with guards.stop_signals() as asked:
        clips, bank, data = processes.together(lambda: read(config))
        with runs.begun(request, data) as check_there, saver(mirror, console.print) as saving:
            per_epoch, steps, learning_rate, batch_norm_rate = make_schedules(config, len(bank.first))
            optimizer = OPTIMIZERS[config.optimizer](learning_rate)
            if config.resume and config.fall_back:
                processes.together(lambda: set_aside(folder, console))
            state = processes.together(lambda: begin_state(config, lifter, optimizer, bank))
            begin = int(state.step)
            description = {
                "network": checkpoints.describe_lifter(lifter),
                "skeleton": SKELETON.name,
                "view": {"focal": screen_focal(config.camera), "turned": True},
                "config": described,
                "data": data,
                "licences": sorted({clip.licence for clip in clips}),
            }
            going_on = begin < steps
            judging = going_on and config.validation_windows
            best = Best(config, lifter, bank, output / "best", console) if judging else None
            drawing = time_drawing(config, lifter, bank) if going_on and config.time_drawing else None

            def make(**settings: Any) -> Callable:
                return make_step(config, lifter, optimizer, batch_norm_rate, **settings)

            compiled, state, bank, one_copy = distribute(config, make, state, bank)
            kind = jax.devices()[0].device_kind
            at_peak = time_at_peak(config, compiled, state, bank, kind) if going_on else None
            first = processes.is_first()
            tell_of = runs.follow if first else runs.follow_in_silence
            console.print(
                f"{parameter_count(one_copy(state).variables):,} weights, receptive field "
                f"{lifter.receptive_field} frames; {len(clips)} clips, {len(one_copy(bank).first):,} frames; "
                f"{steps:,} steps of {config.batch_frames} frames ({per_epoch} an epoch) on "
                f"{jax.device_count()} {jax.default_backend()} device(s)"
            )
            shares = Shares(began, drawing, saving, begin, at_peak)
            stopped, done, saved = asked(begin), begin, begin
            with (
                tell_of(output, console, "training", steps, begin, "samples", config.batch_frames) as tell,
                guards.watchdog() as watchdog,
                watching.watchers(
                    output, first and config.tensorboard, first and config.wandb, described, begin
                ) as show,
                watching.traced(output / "profile" if config.profile else None) as trace,
            ):
                # The step before, whose numbers are looked at while the next one runs.
                before: tuple[int, dict[str, jax.Array]] | None = None

                def look(step: int, metrics: dict[str, jax.Array]) -> dict[str, float]:
                    values = {name: float(value) for name, value in one_copy(metrics).items()}
                    runs.check_loss(values["loss"], step, config.learning_rate)
                    runs.check_gradient(values["gradient_norm"], step, config.learning_rate)
                    watchdog.finished()
                    return values

                while done < steps and stopped is None:
                    trace(done - begin)
                    state, metrics = compiled(state, bank)
                    done += 1
                    if before is not None:
                        look(*before)
                    before = done, metrics
                    check_there()
                    saving.check()
                    stopped = asked(done)
                    if done == begin + 1:
                        jax.block_until_ready(metrics)
                        shares.compiled()
                    save = done % config.checkpoint_every == 0 or done == steps or stopped is not None
                    judge = best is not None and (done % per_epoch == 0 or done == steps)
                    if done % config.log_every and not save and not judge:
                        continue
                    values, before = look(*before), None
                    line = {"epoch": done / per_epoch, **values}
                    line |= {"learning_rate": float(learning_rate(jnp.asarray(done - 1, jnp.int32)))}
                    line |= shares.since_last(done)
                    if save or judge:
                        runs.check_finite(one_copy(state).variables, done)
                    if judge and best is not None:
                        watchdog.rest()
                        line |= best.judge(done, one_copy(state).variables, description, saving)
                        shares.rested()
                    tell(done, line, f"{1000 * values['train_mpjpe_m']:.1f} mm")
                    show(done, line)
                    if save:
                        whole = one_copy(state)
                        saving.begin(folder, done, whole.variables, description, whole.optimizer)
                        shares.rested()
                        saved = done
            saving.finish()
        if stopped is not None and done < steps:
            guards.stop(stopped, guards.resumable(saved, steps, folder), console.print)
    if processes.is_first():
        draw_curves(output)
        if mirror is not None:
            mirrors.push_files(output, mirror)
    console.print(f"wrote {folder}, {output / runs.LOG} and {output / 'curves.png'}")
    return folder


def read(config: TrainConfig) -> tuple[tuple[MotionClip, ...], Bank, dict[str, Any]]:
    """The training clips, what the steps draw from, and its description."""
    clips = read_motion(config)
    bank = read_bank(config, clips)
    files = [*config.data, config.human36m, config.keypoints_2d, config.cameras]
    return clips, bank, runs.describe_data(bank, [path for path in files if path is not None])


def meet_mirror(config: TrainConfig, mirror: epath.Path | None, console: Console) -> None:
    """Brings a run that is resumed back from its mirror, for all processes. Raises ValueError where a new run
    would overwrite another there, and what `mirror.pull` raises.
    """
    if mirror is None or not processes.is_first():
        return
    if config.resume:
        step = mirrors.pull(mirror, config.output)
        if step is not None:
            console.print(f"copied step {step} from {mirror} to {config.output}")
    elif mirrors.newest_step(mirror) is not None:
        raise ValueError(f"mirror {mirror} holds a run: add --resume to go on with it, or choose another")


def set_aside(folder: Path, console: Console) -> None:
    """Sets damaged steps aside for all processes, and says which. Raises ValueError where none is intact."""
    if processes.is_first():
        for damage in checkpoints.set_aside_damaged(folder):
            console.print(f"{damage}: set aside; going on from step {checkpoints.newest_step(folder)}")


def begin_state(
    config: TrainConfig, lifter: Any, optimizer: optax.GradientTransformation, bank: Bank
) -> State:
    """The newest checkpoint's state where a run is resumed and has one, the first step's otherwise.

    Raises ValueError for a checkpoint that is damaged; `set_aside` is what comes before with
    ``config.fall_back``.
    """
    folder = config.output / "checkpoints"
    if not config.resume or checkpoints.newest_step(folder) is None:
        state = init_state(config, lifter, optimizer)
        if config.start_from is not None:
            return start_from(config.start_from, config, state)
        return set_statistics(state, config, lifter, bank)
    state = jax.eval_shape(lambda: init_state(config, lifter, optimizer))
    try:
        step, variables, moments = checkpoints.restore_training(folder, lifter, state.optimizer)
    except checkpoints.DamagedCheckpointError as error:
        raise ValueError(
            f"{error}, or add --fall-back to go on from the newest step before that is intact"
        ) from error
    return State(jnp.asarray(step, jnp.int32), variables, moments)


def start_from(source: str, config: TrainConfig, state: State) -> State:
    """The first state with the weights of a network that was trained before, for another run of its own.

    The network of this run may read more than that one did, further channels behind those of its first layer
    (a setting such as ``tilt`` or ``confidence`` that was off): their weights are zero, so that it begins
    with the same answers. It may be causal where that one was not. Raises ValueError for every other
    difference in the shapes of weights, and for weights of another skeleton or focal length.
    """
    loaded = checkpoints.load_lifter(source)
    focal = screen_focal(config.camera)
    if loaded.skeleton != SKELETON or not math.isclose(loaded.focal, focal, rel_tol=1e-6):
        raise ValueError(
            f"start_from {source} reads {loaded.skeleton.name} at a focal length of {loaded.focal:.4g}, this "
            f"run {SKELETON.name} at {focal:.4g}: give weights of the same, or the camera that they had"
        )

    def grown(path: Any, old: jax.Array, new: jax.Array) -> jax.Array:
        more = [(0, wanted - size) for size, wanted in zip(old.shape, new.shape, strict=False)]
        inputs = "['expand']" in jax.tree_util.keystr(path) and old.ndim == 3 and new.ndim == 3
        if inputs and more[0] == more[2] == (0, 0) and more[1][1] >= 0:
            return jnp.pad(old, more)
        if old.shape != new.shape:
            raise ValueError(
                f"start_from {source}: {jax.tree_util.keystr(path)} has shape {old.shape}, the network of "
                f"this run needs {new.shape}: give weights of the same widths and channels"
            )
        return jnp.asarray(old, new.dtype)

    begun, wanted = (
        {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (loaded.variables, state.variables)
    )
    if begun != wanted:
        raise ValueError(
            f"start_from {source} holds weights of another kind of network or of other layers: give those of "
            f"{type(make_lifter(config)).__name__} with this run's gating and filter widths"
        )
    variables = jax.tree_util.tree_map_with_path(grown, loaded.variables, state.variables)
    return state._replace(variables=variables)


class Best:
    """The weights that have done best on the validation windows so far, kept in a folder of their own.

    A resumed run finds how good they were in their description. A run that was killed may have kept a later
    step there than its newest checkpoint: the steps in between are taken again, with the same numbers, and
    none of them is better.
    """

    def __init__(self, config: TrainConfig, lifter: Any, bank: Bank, folder: Path, console: Console) -> None:
        self.folder = folder
        self.least = math.inf
        if checkpoints.newest_step(folder) is not None:
            try:
                self.least = checkpoints.load_lifter(folder).description["validation"]["mpjpe_m"]
            except checkpoints.DamagedCheckpointError as error:
                raise ValueError(f"{error}, or delete {folder} to go on without the best weights") from error
        held_out = read_held_out(config)
        self.people = "held-out people" if held_out else "training people, in other views"
        if held_out:
            # They need not be in every file, so no file has a share of its own.
            config = replace(config, data_shares=())
            bank = read_bank(config, held_out)
        self._validate = make_validation(config, lifter, bank)
        console.print(f"judged after every epoch on {config.validation_windows} windows of {self.people}")

    def judge(
        self, step: int, variables: Any, description: Mapping[str, Any], saving: Saver
    ) -> dict[str, float]:
        """Validates the weights and begins to save them where they are the best so far."""
        error = self._validate(variables)
        if error < self.least:
            self.least = error
            told = {"mpjpe_m": error, "people": self.people}
            saving.begin(self.folder, step, variables, {**description, "validation": told}, keep=1)
        return {"validation_mpjpe_m": error}


# ------------------------------------------------------------------------------------------------ time


def time_drawing(config: TrainConfig, lifter: Any, bank: Bank) -> float:
    """Seconds of drawing one step's batch, by itself on one device: the median of five. A step draws inside
    its compiled program, where no clock can tell it from the rest.
    """
    size = config.batch_frames // config.chunk_frames
    if config.parallel == "jit":  # under pmap every device draws the whole batch
        size //= jax.device_count()
    draw = jax.jit(lambda key, bank: draw_batch(key, bank, lifter, config, size))
    bank = jax.device_put(bank, jax.local_devices()[0])
    seconds = []
    for index in range(6):
        started = time.perf_counter()
        jax.block_until_ready(draw(jax.random.key(index), bank))
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))  # the first one compiled


def time_at_peak(config: TrainConfig, step: Any, state: Any, bank: Any, kind: str) -> float | None:
    """Seconds that a device needs for its part of a step at the published peak of its ``kind``, in bfloat16;
    None where that is not known. The operations are those that XLA counts in the step, drawing included,
    before it changes anything; what a loop repeats is counted once.
    """
    peak = peak_flops(kind)
    if peak is None:
        return None
    flops = step.lower(state, bank).cost_analysis()["flops"]
    # Under pmap it is a device's own program that is counted, under jit that of all.
    return flops / peak / (1 if config.parallel == "pmap" else jax.device_count())


class Shares:
    """Where a run's time goes. began: when it started. drawing: `time_drawing`, where that was measured.
    at_peak: `time_at_peak`, where that is known.
    """

    def __init__(
        self, began: float, drawing: float | None, saving: Saver, step: int, at_peak: float | None = None
    ) -> None:
        self._began, self._drawing, self._saving, self._at_peak = began, drawing, saving, at_peak
        self._stepping, self._told, self._saved, self._step = 0.0, 0.0, 0.0, step
        self._mark = time.perf_counter()

    def compiled(self) -> None:
        """The first step has ended, which also compiled and counts as no work."""
        self.rested()
        self._step += 1

    def rested(self) -> None:
        """Something that is no step has ended."""
        self._mark = time.perf_counter()

    def since_last(self, step: int) -> dict[str, float]:
        """Seconds a step since the line before, to ``step``, and the share of the whole time until now that
        went into steps; the rest is reading, compiling, validation and waiting for saves.
        """
        now = time.perf_counter()
        self._stepping += now - self._mark
        self._mark = now
        told = {"goodput": self._stepping / (now - self._began)}
        if step > self._step:
            each = (self._stepping - self._told) / (step - self._step)
            told["step_seconds"] = each
            if self._at_peak is not None:
                told["share_of_peak"] = self._at_peak / each
            if self._drawing is not None:
                told["drawing_seconds"] = min(self._drawing, each)
                told["computing_seconds"] = each - told["drawing_seconds"]
            told["saving_seconds"] = (self._saving.seconds - self._saved) / (step - self._step)
        self._told, self._saved, self._step = self._stepping, self._saving.seconds, step
        return told


def run(config: TrainConfig) -> None:
    """Trains; what cannot be done is told on one line of standard error, and the process exits with 2."""
    try:
        run_or_tell("train", lambda: train(config), runs.NonFiniteLossError, SaveError)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        tell("train", processes.lost(error))
        processes.leave(3)


def check_settings(config: TrainConfig, devices: int | None = None) -> None:
    """Raises ValueError for numbers out of range, windows that the network does not take, a loss that does
    not fit them, and a batch that the devices cannot share. devices: how many, by default all that are here.
    """
    check_numbers(config, TRAIN_RULES)
    watching.check_watchers(config.tensorboard, config.wandb)
    lifter = make_lifter(config)
    lifter.training_form(config.chunk_frames, config.chunk_stride)
    check_loss_fits(config, lifter.target)
    devices = jax.device_count() if devices is None else devices
    windows = config.batch_frames // config.chunk_frames
    if windows == 0 or windows % devices:
        raise ValueError(
            f"batch_frames {config.batch_frames} in chunks of {config.chunk_frames} makes {windows} windows, "
            f"which {devices} devices cannot share evenly: choose a batch of a multiple of "
            f"{config.chunk_frames * devices}"
        )


def draw_curves(output: Path) -> Path:
    """Training's MPJPE by epoch, and validation's where the run was judged."""
    lines = runs.read_log(output / runs.LOG)
    curves = {}
    for title, name in (("training", "train_mpjpe_m"), ("validation", "validation_mpjpe_m")):
        told = [(line["epoch"], 1000 * line[name]) for line in lines if name in line]
        if told:
            curves[f"{title} MPJPE"] = tuple(np.array(told).T)
    return charts.draw_curves(curves, output / "curves.png", xlabel="epoch", ylabel="MPJPE (mm)")
