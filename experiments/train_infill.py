"""Trains the network that fills gaps of 3D motion (`gated_lift.networks.infill`) on captured people.

    python -m experiments.train_infill --data-shares 0.35 0.08 0.52 0.05 \
        --data cmu_single.npz cmu_pairs.npz cmu_fbx_single.npz cmu_fbx_pairs.npz
    python -m experiments.train_infill --steps 40 --batch 8    # generated motion: a try

Whole bodies, halves and single joints are hidden for 0.2 to 4 seconds; what is left is off as lifted people
are. The validation split is not touched, and the subjects of --exclude-subjects are kept to choose on: their
errors inside whole-body gaps are printed beside those of the cubic that the network starts from. SIGTERM and
Ctrl-C finish the step and save it; the same command with --resume goes on from there, bit for bit unless
--minutes decides when the training ends.
"""

import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array

from experiments import guards, runs
from experiments.checks import COUNT, LOCAL, NOT_NEGATIVE, POSITIVE, SEED, SHARE, check_numbers, each, rising
from experiments.commands import run_or_tell, run_script
from experiments.training.batches import VirtualBank, draw_frames, make_bank, read_held_out, read_motion
from experiments.training.configs import WILD, TrainConfig
from experiments.training.gaps import (
    Drawn,
    GapDistribution,
    LiftedNoise,
    distance,
    draw_windows,
    errors_of,
    loss_of,
)
from experiments.training.saving import SaveError, Saver, saver
from gated_lift.clips import MotionClip
from gated_lift.networks import checkpoints
from gated_lift.networks.infill import Correction, MotionInfill, describe_infill
from gated_lift.networks.protocol import parameter_count

# Seconds that the lengths of gaps are judged by: each up to the next.
LENGTHS = (0.2, 0.4, 0.8, 1.6, 2.6, 4.1)

# Steps in which the learning rate rises.
WARM_UP = 100


@dataclass(frozen=True)
class InfillConfig:
    """How the infill network is trained, and where its weights go."""

    data: tuple[Path, ...] = ()
    """Capture files (.npz), of which the training split is used. Without any, generated motion: for a try."""
    data_shares: tuple[float, ...] = ()
    """How often windows are drawn from each file; by default as often as it has frames."""
    exclude_subjects: tuple[str, ...] = WILD.exclude_subjects
    """Subjects kept out besides the validation split, to choose on."""
    channels: int = 128
    depth: int = 4
    steps: int = 8000
    minutes: float = 0.0
    """The training ends after so many, where the steps are not done by then; 0: never. The learning rate
    falls with what is nearer to its end."""
    batch: int = 32
    """Windows a step."""
    learning_rate: float = 1.5e-3
    """At its highest, after a hundred steps; it falls to nothing along a cosine."""
    weight_decay: float = 1e-3
    gaps: GapDistribution = field(default_factory=GapDistribution)
    noise: LiftedNoise = field(default_factory=LiftedNoise)
    judge_windows: int = 384
    """Windows of the kept subjects that are judged, always the same."""
    judge_every: int = 500
    """Steps between two judgements, each of which also saves a checkpoint."""
    seed: int = 0
    start_from: Path | None = None
    """Checkpoint folder of weights to begin with, of a network of this size; give another seed than theirs
    had."""
    output: Path = Path("runs/infill")
    """Run folder: config.json, checkpoints/ with the newest weights, and trained/ with those that may ship,
    in half precision."""
    resume: bool = False
    """Go on from the newest checkpoint in the run folder."""


RULES = {
    "data_shares": each(NOT_NEGATIVE, least=0),
    "channels": COUNT,
    "depth": COUNT,
    "steps": COUNT,
    "minutes": NOT_NEGATIVE,
    "batch": COUNT,
    "learning_rate": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "gaps.seconds": rising(POSITIVE),
    "gaps.whole_share": SHARE,
    "gaps.more_share": SHARE,
    "gaps.more_ratio": SHARE,
    "gaps.more_kernel": each(COUNT, least=2),
    "gaps.joint_share": SHARE,
    "noise.exact_share": SHARE,
    **{f"noise.{name}": NOT_NEGATIVE for name in LiftedNoise._fields if name != "exact_share"},
    "judge_windows": COUNT,
    "judge_every": COUNT,
    "seed": SEED,
    "output": LOCAL,
}
# Settings of a run that do not decide its numbers.
MAY_CHANGE = {"resume", "output", "judge_every", "data"}


def held_out(config: InfillConfig, network: MotionInfill, training: TrainConfig) -> Drawn:
    """Windows of the kept subjects, whole bodies hidden once in each for times of all lengths."""
    bank = make_bank(read_held_out(training))
    frame_key, key = jax.random.split(jax.random.key(1))
    frames = draw_frames(frame_key, bank, (), config.judge_windows)
    once = config.gaps._replace(whole_share=1.0, more_share=0.0, joint_share=0.0)
    return draw_windows(key, bank, frames, network, once, config.noise)


def judge(drawn: Drawn, correction: Correction, fps: float) -> dict[str, np.ndarray]:
    """Mean distances in mm of joints and roots inside gaps of each of `LENGTHS`, and the share of the errors
    that lie within the region of 90 % of what the spread says.
    """
    found = errors_of(drawn, correction, fps)
    counts = np.asarray(found.path_counts)
    pose = np.asarray(distance(found.pose))[..., 1:].mean(axis=-1)
    path, variance = np.asarray(distance(found.path)), np.asarray(found.path_variance)
    square = np.asarray(found.path) ** 2 / np.maximum(variance[..., [0, 0, 1]], 1e-6)
    inside = square.sum(axis=-1) < 6.25  # of chi-squared with three degrees
    seconds = counts.sum(axis=1, keepdims=True) / fps
    rows = []
    for low, high in pairwise(LENGTHS):
        where = counts & (seconds >= low - 1e-6) & (seconds < high)
        values = (1000 * pose, 1000 * path, 100.0 * inside)
        rows.append([value[where].mean() if where.any() else np.nan for value in values])
    return dict(zip(("pose", "path", "inside"), np.array(rows).T, strict=True))


def told(found: dict[str, np.ndarray], names: tuple[str, ...] = ("pose", "path", "inside")) -> str:
    return "; ".join(f"{name} " + " / ".join(f"{value:.0f}" for value in found[name]) for name in names)


def train(config: InfillConfig) -> Path:
    """Trains, prints and writes; returns the folder of the weights that may ship.

    SIGTERM and SIGINT let the step finish and save it; then `guards.Interrupted` is raised. Raises ValueError
    where the output folder holds a run that is not to be resumed, or is written to by another process, and
    for a run with other settings or data than the one that is resumed; `SaveError` where a checkpoint cannot
    be written.
    """
    check_numbers(config, RULES)
    described, defaults = runs.as_json(config), runs.as_json(InfillConfig())
    request = runs.Request(config.output, config.resume, described, defaults, MAY_CHANGE)
    runs.check_request(request)
    network = MotionInfill(channels=config.channels, depth=config.depth)
    network.check_settings()
    training = TrainConfig(
        data=config.data, data_shares=config.data_shares, exclude_subjects=config.exclude_subjects
    )
    with guards.stop_signals() as asked:
        clips = read_motion(training)
        bank = make_bank(clips)
        if config.data_shares and len(config.data_shares) != bank.files.shape[1]:
            raise ValueError(
                f"data_shares {config.data_shares} are not one a file: give {bank.files.shape[1]}"
            )
        judged = held_out(config, network, training)
        data = runs.describe_data(bank, config.data)
        with runs.begun(request, data) as check_there, saver() as saving:

            def go_on(step: int) -> signal.Signals | None:
                check_there()
                saving.check()
                return asked(step)

            return _train(config, network, clips, bank, judged, saving, go_on)


def _train(
    config: InfillConfig,
    network: MotionInfill,
    clips: Sequence[MotionClip],
    bank: VirtualBank,
    judged: Drawn,
    saving: Saver,
    asked: Callable[[int], signal.Signals | None],
) -> Path:
    """What `train` does once it has its data and the run folder.

    asked: of `guards.stop_signals`; it also raises where the folder is gone or a save has failed.
    """
    folder, ready = config.output / "checkpoints", config.output / "trained"
    fps = network.fps
    key = jax.random.key(config.seed)
    variables = jax.jit(network.init)(key, network.blank())
    if config.start_from is not None:
        earlier = checkpoints.load_infill(config.start_from)
        if earlier.network != network:
            raise ValueError(
                f"start_from {config.start_from} is of a network with channels {earlier.network.channels} "
                f"and depth {earlier.network.depth}: give these, or another folder"
            )
        variables = earlier.variables
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(),
        optax.add_decayed_weights(config.weight_decay),
    )

    @jax.jit
    def step(variables: Any, state: Any, number: Array, rate: Array, bank: VirtualBank) -> Any:
        frame_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
        frames = draw_frames(frame_key, bank, config.data_shares, config.batch)
        drawn = draw_windows(draw_key, bank, frames, network, config.gaps, config.noise)

        def loss(variables: Any) -> tuple[Array, dict[str, Array]]:
            return loss_of(drawn, network.apply(variables, drawn.motion), fps)

        (value, means), gradient = jax.value_and_grad(loss, has_aux=True)(variables)
        updates, state = optimizer.update(gradient, state, variables)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        return optax.apply_updates(variables, updates), state, {"loss": value, **means}

    apply = jax.jit(network.apply)

    def judged_now() -> dict[str, np.ndarray]:
        return judge(judged, apply(variables, judged.motion), fps)

    description: dict[str, Any] = {
        "network": describe_infill(network),
        # Folders of the machine that trained say nothing to others.
        "training": {
            name: value
            for name, value in runs.as_json(config).items()
            if name not in ("output", "start_from", "resume")
        }
        | {"data": [path.name for path in config.data], "frames": len(bank.first)},
        "licences": sorted({clip.licence for clip in clips}),
    }
    state, done, before, what = optimizer.init(variables), 0, 0.0, "cubic"
    if config.resume and checkpoints.newest_step(folder) is not None:
        done, loaded, state = checkpoints.restore_infill_training(folder, network, state)
        variables, before, what = loaded.variables, loaded.description["seconds"], f"step {done}"
        description |= {name: loaded.description[name] for name in ("held_out", "steps", "seconds")}
    lengths = " / ".join(f"{low:g}" for low in LENGTHS[:-1])
    print(
        f"{parameter_count(variables)} weights, {len(bank.first)} frames of {len(clips)} clips; inside gaps "
        f"of {lengths} seconds and more, mm: {what} {told(judged_now(), ('pose', 'path'))}",
        flush=True,
    )

    def share_of(done: int, seconds: float) -> float:
        return max(done / config.steps, seconds / 60 / config.minutes if config.minutes else 0.0)

    began, recent, share = time.perf_counter() - before, [], share_of(done, before)
    stopped, saved = asked(done), done
    while share < 1 and stopped is None:
        falling = min((done + 1) / WARM_UP, (1 + math.cos(math.pi * share)) / 2)
        rate = jnp.asarray(config.learning_rate * falling, jnp.float32)
        variables, state, found = step(variables, state, jnp.asarray(done), rate, bank)
        recent.append(found)
        done += 1
        seconds = time.perf_counter() - began
        share = share_of(done, seconds)
        stopped = asked(done)
        if done % 100 == 0 or share >= 1:
            means = {name: float(np.mean([each[name] for each in recent])) for name in recent[0]}
            print(
                f"step {done} ({100 * min(share, 1):.0f} %) loss {means['loss']:.3f} "
                f"pose {1000 * means['pose']:.1f} path {1000 * means['path']:.1f} mm, "
                f"{done / seconds:.2f} steps/s, {done * config.batch / seconds:.0f} windows/s",
                flush=True,
            )
            recent = []
        if done % config.judge_every == 0 or share >= 1 or stopped is not None:
            result = judged_now()
            description["held_out"] = {name: [round(float(v), 1) for v in result[name]] for name in result}
            description |= {"steps": done, "seconds": round(seconds, 1)}
            print(f"step {done}: kept subjects {told(result)} %", flush=True)
            saving.begin(folder, done, variables, description, state, keep=1)
            saved = done
    saving.finish()
    if stopped is not None and share < 1:
        guards.stop(stopped, guards.resumable(saved, config.steps, folder), partial(print, flush=True))
    if checkpoints.newest_step(ready) is None:
        halves = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), variables)
        saving.begin(ready, 0, halves, description, keep=1)
        saving.finish()
    size = sum(path.stat().st_size for path in ready.rglob("*") if path.is_file())
    print(f"{ready}: {size / 1e6:.2f} MB")
    return ready


def main() -> None:
    config = tyro.cli(InfillConfig, description=__doc__)
    run_or_tell("train_infill", lambda: train(config), SaveError)


if __name__ == "__main__":
    run_script(main)
