"""Judges what people are taken to do while they are hidden whole: straight lines and cubics between what
`recover` says of them before and after, `recover` itself, and `recover` with the network that fills gaps.

    python -m experiments.judge_infill --data cmu_single.npz cmu_fbx_single.npz
    python -m experiments.judge_infill --data cmu_single.npz --validation

Whole bodies are hidden half of the time by Eqs. 10 and 11, and once as in RoHM's blackout: frames 65 to 78 of
145 at 30 a second. Only frames between two that show the person count. Each person is filmed by a camera of
their own that stands still. Errors are means over frames in millimetres.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
import tyro

from experiments import reporting
from experiments.checks import COUNT, POSITIVE, SEED, check_numbers, each
from experiments.commands import run_script
from experiments.judging.films import Film, film
from experiments.training.configs import WILD
from gated_lift import LoadedLifter, MotionClip, load_lifter, metrics, recover, solved
from gated_lift.clips import resample
from gated_lift.networks.checkpoints import LoadedInfill, load_infill
from gated_lift.networks.infill import fill_motion
from gated_lift.networks.weights import INFILL
from gated_lift.occlusion import fill_gaps, frame_times, frames_around, sample_mask
from gated_lift.pipeline import Recovery
from gated_lift.readers import captures, motion

LEVELS = (0.5, 0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """On whom, and with which weights."""

    data: tuple[Path, ...]
    """Capture files (.npz)."""
    infill: Path = INFILL
    """Checkpoint folder of the network that fills gaps (`experiments.train_infill`); the one that ships
    unless given."""
    subjects: tuple[str, ...] = WILD.exclude_subjects
    """Of the training split, kept out of training; settings are chosen on them."""
    validation: bool = False
    """Judge the people of the validation split in their place; nothing is chosen on those."""
    people: int = 48
    """Most people to judge."""
    seconds: float = 6.0
    """Of every person."""
    kernel_frames: tuple[int, ...] = (75, 150)
    """K of Eq. 11, at 50 frames a second."""
    checkpoint: str = "small"
    """A name of the weights that ship, or a checkpoint folder."""
    seed: int = 0
    output: Path = Path("runs/infill")
    """Folder for infill.md."""


RULES = {"people": COUNT, "seconds": POSITIVE, "kernel_frames": each(COUNT), "seed": SEED}


class Condition(NamedTuple):
    """hidden (P, F): frames on which the whole person is."""

    what: str
    seen: Film
    fps: float
    hidden: np.ndarray


class Row(NamedTuple):
    """Means over frames inside gaps. root: mm; beyond_ends: mm, after what the root is off at the gap's ends
    is taken off, linear between them; pose: MPJPE, mm; aligned: PA-MPJPE, mm; inside: per cent of the roots
    in the stated regions of `LEVELS`, where regions are stated.
    """

    what: str
    method: str
    root: float
    beyond_ends: float
    pose: float
    aligned: float
    inside: tuple[float, ...]


def read_people(config: JudgeConfig) -> list[MotionClip]:
    """One stretch of every clip that is long enough, a person each. Raises ValueError for settings out of
    range and where there is nobody.
    """
    check_numbers(config, RULES)
    training, validation = captures.split(motion.read_clips(config.data))
    chosen = validation
    if not config.validation:
        chosen = tuple(clip for clip in training if set(config.subjects) & set(clip.subject.split("+")))
    people = []
    for clip in chosen:
        frames = round(config.seconds * clip.fps)
        if clip.poses.shape[1] >= frames:
            people += [clip._replace(poses=poses[None, :frames]) for poses in clip.poses]
    if not people:
        who = "of the validation split" if config.validation else f"of subjects {', '.join(config.subjects)}"
        raise ValueError(
            f"data {', '.join(map(str, config.data))} holds nobody {who} for {config.seconds:g} seconds: "
            "give other files or fewer seconds"
        )
    step = max(1, len(people) // config.people)
    return people[::step][: config.people]


def conditions(config: JudgeConfig, people: Sequence[MotionClip]) -> list[Condition]:
    """The films, with what is hidden of each."""
    rate = people[0].fps
    plain = film(np.concatenate([clip.poses for clip in people]), rate, config.seed)
    found = []
    for kernel in config.kernel_frames:
        key = jax.random.fold_in(jax.random.key(config.seed + 1), kernel)
        shape = (*plain.missed.shape[:2], 1)
        mask = sample_mask(key, shape, 0.5, max(1, round(kernel * rate / 50)))[..., 0]
        found.append(Condition(f"whole bodies, K = {kernel}", plain, rate, np.asarray(mask)))
    slow = [resample(clip, 30.0).poses[:, :145] for clip in people]
    seen = film(np.concatenate(slow), 30.0, config.seed)
    blackout = np.zeros(seen.missed.shape[:2], bool)
    blackout[:, 65:79] = True
    return [*found, Condition("blackout of 14 frames at 30 a second", seen, 30.0, blackout)]


def gaps_of(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames inside gaps that begin and end, and the visible frames on either side of each frame."""
    frames = hidden.shape[1]
    before, after = (np.asarray(values) for values in frames_around(jnp.asarray(hidden), 1))
    return hidden & (before >= 0) & (after < frames), np.maximum(before, 0), np.minimum(after, frames - 1)


def errors(
    root: np.ndarray, poses: np.ndarray, truth: np.ndarray, hidden: np.ndarray, counts: np.ndarray
) -> tuple[float, float, float, float]:
    """The errors of a `Row`, means over the frames that ``counts`` of P people."""
    off = root - truth[:, :, 0]
    _, before, after = gaps_of(hidden)
    share = ((np.arange(hidden.shape[1]) - before) / np.maximum(after - before, 1))[..., None]
    first, last = (np.take_along_axis(off, index[..., None], axis=1) for index in (before, after))
    beyond = off - (1 - share) * first - share * last
    target = truth - truth[:, :, :1]
    pose = np.linalg.norm(poses - target, axis=-1).mean(axis=-1)
    aligned = np.asarray(metrics.pa_mpjpe(jnp.asarray(poses), jnp.asarray(target))).mean(axis=-1)
    values = (np.linalg.norm(off, axis=-1), np.linalg.norm(beyond, axis=-1), pose, aligned)
    root_error, beyond_error, pose_error, aligned_error = (
        1000 * float(value[counts].mean()) for value in values
    )
    return root_error, beyond_error, pose_error, aligned_error


def coverage(found: Recovery, truth: np.ndarray, counts: np.ndarray) -> tuple[float, ...]:
    """Per cent of the true roots within the regions that a recovery states, of each level."""
    off = (np.asarray(found.root, np.float64) - truth[:, :, 0])[counts]
    spread = np.asarray(found.covariance, np.float64)[counts]
    square = np.einsum("ni,ni->n", off, np.linalg.solve(spread, off[..., None])[..., 0])
    return tuple(100 * float((square <= scipy.stats.chi2.ppf(level, 3)).mean()) for level in LEVELS)


def judge(lifter: LoadedLifter, network: LoadedInfill, condition: Condition) -> list[Row]:
    """A row for every way through the gaps, over people whom both recoveries place."""
    what, seen, fps, hidden = condition
    ask = partial(
        recover,
        lifter,
        seen.keypoints,
        seen.missed | hidden[..., None],
        seen.camera,
        fps,
        covariance=True,
        keep_absent=True,
    )
    today, learned = ask(), ask(infill=network)
    placed = np.asarray(solved(today.status)) & np.asarray(solved(learned.status))
    counts = gaps_of(hidden)[0] & placed[:, None]
    occluded = jnp.broadcast_to(jnp.asarray(hidden)[..., None], seen.missed.shape)
    safe = jnp.where(jnp.asarray(placed)[:, None, None], today.root, 0)
    curve = fill_motion(today.poses, safe, occluded, fps)
    joined = jnp.concatenate([safe[:, :, None], today.poses[:, :, 1:]], axis=2)
    line = fill_gaps(joined, occluded, times=frame_times(joined.shape[1], fps))
    straight = jnp.concatenate([jnp.zeros_like(line[:, :, :1]), line[:, :, 1:]], axis=2)
    rows = []
    for method, poses, root, regions in (
        ("straight line", straight, line[:, :, 0], None),
        ("cubic", *curve, None),
        ("today", today.poses, today.root, today),
        ("learned", learned.poses, learned.root, learned),
    ):
        means = errors(np.asarray(root), np.asarray(poses), seen.joints, hidden, counts)
        inside = () if regions is None else coverage(regions, seen.joints, counts)
        rows.append(Row(what, method, *means, inside))
    return rows


def run(config: JudgeConfig) -> list[Row]:
    """Judges, prints and writes the table."""
    people = read_people(config)
    lifter = load_lifter(config.checkpoint)
    network = load_infill(config.infill)
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for condition in conditions(config, people):
        rows += judge(lifter, network, condition)
        reporting.show(console, COLUMNS, _cells(rows[-4:]))
    who = "validation split" if config.validation else f"subjects {', '.join(config.subjects)}"
    reporting.report(
        console,
        COLUMNS,
        _cells(rows),
        config.output / "infill.md",
        names=2,
        before=[f"{len(people)} people, {config.seconds:g} s each, {who}; mm, and per cent of the roots"],
    )
    console.print(f"wrote {config.output / 'infill.md'}")
    return rows


COLUMNS = ["hidden", "inside gaps", "root", "beyond its ends", "MPJPE", "PA-MPJPE"]
COLUMNS += [f"{100 * level:.0f} % region" for level in LEVELS]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    def shares(inside: tuple[float, ...]) -> list[str]:
        return [f"{share:.0f} %" for share in inside] or ["–"] * len(LEVELS)

    return [
        [row.what, row.method, *(f"{value:.0f}" for value in row[2:6]), *shares(row.inside)] for row in rows
    ]


def main() -> None:
    run(tyro.cli(JudgeConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
