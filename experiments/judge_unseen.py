"""Asks whether paths through hidings contradict the film: whoever is hidden whole is behind somebody or
outside the picture, and a path that is in the picture and behind nobody cannot be.

    python -m experiments.judge_unseen --data cmu_single.npz cmu_pairs.npz

Two films of people of the training split: pairs who cover each other, and people who walk out of a narrower
picture and come back. On the frames that contradict, the place is moved across the image to the nearest that
does not, which is the least that rows for it in the solve would do; errors are printed before and after.
"""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import reporting
from experiments.checks import COUNT, POSITIVE, SEED, SHARE, check_numbers
from experiments.commands import run_script
from experiments.judging.films import film
from experiments.judging.pairs import predict
from experiments.training.configs import WILD
from gated_lift import LoadedLifter, load_lifter, recover, solved
from gated_lift.clips import runs
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.bodies import body_occlusion
from solvers import project

# Somebody of whom so much is covered is hidden whole.
COVERED = 0.25
# Steps in which a place is moved towards whoever hides it.
STEPS = 20
# Seconds that the lengths of hidings are told by: each up to the next.
LENGTHS = (0.0, 0.2, 0.5, 1.0, 5.0)


@dataclasses.dataclass(frozen=True)
class UnseenConfig:
    """On whom, and with which weights."""

    data: tuple[Path, ...]
    """Capture files (.npz): single people and couples."""
    weights: str = "small"
    """Of the lifter."""
    people: int = 160
    """Most people who walk out of the picture."""
    seconds: float = 8.0
    """Of each of them."""
    shown: float = 0.6
    """Share of the time for which the narrower picture shows anything of a person."""
    seed: int = 1
    output: Path = Path("runs/judge_unseen.md")
    """Where the table goes."""


RULES = {"people": COUNT, "seconds": POSITIVE, "shown": SHARE, "seed": SEED}


class Hiding(NamedTuple):
    """One time for which a whole person is hidden. root, truth: (F, 3) metres, camera axes. allowed: (F, 3),
    ``root`` where it contradicts nothing, and else the nearest place across the image that does not.
    """

    seconds: float
    root: np.ndarray
    truth: np.ndarray
    allowed: np.ndarray


def stretches(hidden: np.ndarray) -> list[slice]:
    """Those of (F,) between two frames that show the person."""
    return [slice(begin, end) for begin, end in runs(hidden) if begin > 0 and end < len(hidden)]


def behind(joints: np.ndarray, nearer: np.ndarray) -> np.ndarray:
    """(F,): true where somebody nearer covers the person (F, J, 3)."""
    coverage = body_occlusion(jnp.asarray(np.stack([joints, nearer])), SKELETON).coverage[0]
    return np.array(coverage.mean(axis=-1) > COVERED)


def moved_behind(joints: np.ndarray, nearer: np.ndarray) -> np.ndarray:
    """Places (F, 3) of the root, at its depth, moved towards the other's until they are behind them."""
    root = joints[:, 0].copy()
    goal = nearer[:, 0] * (root[:, 2:] / nearer[:, :1, 2])
    found, done = root.copy(), behind(joints, nearer)
    for step in range(1, STEPS + 1):
        place = root + step / STEPS * (goal - root)
        now = behind(joints + (place - root)[:, None], nearer) & ~done
        found[now] = place[now]
        done |= now
    return found


def covered_people(config: UnseenConfig, lifter: LoadedLifter) -> list[Hiding]:
    """Pairs as in the second frozen set, of other people and without obstacles."""
    training, _ = captures.split(motion.read_clips(config.data))
    recipe = moving_pairs.SECOND._replace(seed=config.seed, obstacles=None)
    pairs = moving_pairs.moving_pairs(training, recipe)
    hidings = []
    found = predict(lifter, pairs)
    for pair, joints, placed in zip(pairs, found.joints, found.placed, strict=True):
        for person, other in ((0, 1), (1, 0)) if placed.all() else ():
            own, size = joints[person], np.array([pair.width, pair.height])
            pixels = np.asarray(project(jnp.asarray(own[:, 0]), pair.camera))
            outside = np.any((pixels < 0) | (pixels >= size), axis=-1)
            allowed = np.where(outside[:, None], own[:, 0], moved_behind(own, joints[other]))
            for part in stretches(pair.occluded[person].all(axis=-1)):
                seconds = (part.stop - part.start) / pair.fps
                hidings.append(Hiding(seconds, own[part, 0], pair.joints[person, part, 0], allowed[part]))
    return hidings


def leaving_people(config: UnseenConfig, lifter: LoadedLifter) -> list[Hiding]:
    """People kept out of training, before cameras whose picture ends where they walk."""
    training, _ = captures.split(motion.read_clips(config.data))
    poses: list[Any] = []
    for clip in training:
        frames = round(config.seconds * clip.fps)
        if set(WILD.exclude_subjects) & set(clip.subject.split("+")):
            for start in range(0, clip.poses.shape[1] - frames + 1, frames):
                poses += list(clip.poses[:, start : start + frames])
    if not poses:
        raise ValueError(
            f"data {', '.join(map(str, config.data))} holds nobody of subjects "
            f"{', '.join(WILD.exclude_subjects)} for {config.seconds:g} seconds: give other files"
        )
    fps = training[0].fps
    seen = film(np.stack(poses[:: max(1, len(poses) // config.people)][: config.people]), fps, config.seed)
    true = np.asarray(jax.vmap(project)(jnp.asarray(seen.joints), seen.camera))
    edge = np.quantile(true[..., 0].min(axis=-1), config.shown, axis=1)[:, None]
    hidden = seen.missed | (true[..., 0] > edge[..., None])
    answer = recover(lifter, seen.keypoints, hidden, seen.camera, fps, keep_absent=True)
    root = np.asarray(answer.root)
    hidings = []
    for person in np.flatnonzero(np.asarray(solved(answer.status))):
        focal, center = seen.camera.focal[person, 0], seen.camera.center[person, 0]
        allowed = root[person].copy()
        allowed[:, 0] = np.maximum(allowed[:, 0], (edge[person] - center) / focal * allowed[:, 2])
        for part in stretches(hidden[person].all(axis=-1)):
            truth = seen.joints[person, part, 0]
            hidings.append(Hiding((part.stop - part.start) / fps, root[person, part], truth, allowed[part]))
    return hidings


def rows(name: str, hidings: list[Hiding]) -> list[list[str]]:
    """A line for each range of `LENGTHS`."""
    lines = []
    for low, high in pairwise(LENGTHS):
        some = [each for each in hidings if low <= each.seconds < high]
        if not some:
            continue
        root, truth, allowed = (np.concatenate([each[field] for each in some]) for field in (1, 2, 3))
        off = np.linalg.norm(root - truth, axis=-1)
        after = np.linalg.norm(allowed - truth, axis=-1)
        contradicts = np.any(root != allowed, axis=-1)
        cells = [f"{low:g} to {high:g} s", str(len(some)), f"{100 * contradicts.mean():.1f}"]
        cells += [f"{1000 * off.mean():.0f}", f"{1000 * after.mean():.0f}"]
        both = (off[contradicts], after[contradicts])
        cells += [f"{1000 * value.mean():.0f}" if value.size else "–" for value in both]
        lines.append([name, *cells])
    return lines


COLUMNS = (
    *("film", "hidden for", "times", "frames that contradict %"),
    *("root, all", "moved", "root, those frames", "moved"),
)


def run(config: UnseenConfig) -> None:
    """Prints the table and writes it as Markdown."""
    check_numbers(config, RULES)
    lifter = load_lifter(config.weights)
    lines = rows("somebody covers them", covered_people(config, lifter))
    lines += rows("they leave the picture", leaving_people(config, lifter))
    config.output.parent.mkdir(parents=True, exist_ok=True)
    reporting.report(reporting.console(), COLUMNS, lines, config.output, names=2, after=[LEGEND])
    reporting.console().print(f"wrote {config.output}")


LEGEND = "Millimetres, means over the frames of whole-person hidings that begin and end in the film."


def main() -> None:
    run(tyro.cli(UnseenConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
