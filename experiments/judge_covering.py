"""Judges what is done about joints that a detector has put on whoever covers them, in 3D.

    python -m experiments.judge_covering --data cmu_single.npz cmu_pairs.npz
    python -m experiments.judge_covering --data cmu_single.npz cmu_pairs.npz --split training   # to choose on
    python -m experiments.judge_covering --data cmu_single.npz cmu_pairs.npz --pairs unsure

The first is on the frozen set moving-pairs-v1-wrong, the last on moving-pairs-v1, whose detector is unsure of
covered joints. Keypoints are lifted and placed with Huber's loss as they came; with exchanged sides and jumps
onto somebody else taken back (`gated_lift.tracking.swaps`); with keypoints that lie on somebody nearer hidden
(`gated_lift.video.covering`), once or twice; with both; and with exactly those hidden that are wrong.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import tyro

from experiments.commands import run_script
from experiments.reporting import console, report
from gated_lift import metrics
from gated_lift.cameras import camera_to_world
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Tracks
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.moving_pairs import EVALUATION, WRONG, MovingPair
from gated_lift.tracking.figure import figure_of
from gated_lift.tracking.swaps import taken_back
from gated_lift.video.lift import lift_tracks
from solvers import Extrinsics, TrajectoryConfig, project

# In heights of the person: what is off by more is wrong, what is off by less is right.
WRONG_BY, RIGHT_BY, HEIGHT = 0.08, 0.05, 1.7
# A person counts as covered where the other hides more than this share of their joints.
COVERED = 0.1


class Way(NamedTuple):
    """back: exchanged sides and jumps are taken back. rounds: of covering. oracle: what is wrong is known."""

    name: str
    back: bool
    rounds: int
    oracle: bool = False


WAYS = (
    Way("as they came", False, 0),
    Way("taken back", True, 0),
    Way("covering, 1 round", False, 1),
    Way("covering, 2 rounds", False, 2),
    Way("both, 1 round", True, 1),
    Way("both, 2 rounds", True, 2),
    Way("the wrong ones known", False, 0, oracle=True),
)


@dataclasses.dataclass(frozen=True)
class JudgeCoveringConfig:
    """Which scenes are judged with which lifter."""

    data: tuple[Path, ...]
    """Capture files (.npz): single people and couples."""
    split: Literal["evaluation", "training"] = "evaluation"
    """evaluation: the frozen set. training: another of the same form from the training split."""
    pairs: Literal["wrong", "unsure"] = "wrong"
    """What the detector is with covered joints: wrong and sure of it, or unsure."""
    seed: int = 1
    """Of a training set; the evaluation sets have their own."""
    weights: str = "two_stream"
    """Of the lifter."""
    output: Path = Path("judge_covering.md")
    """Where the table goes."""


class Judged(NamedTuple):
    """One way on one scene: errors (2, F) in millimetres, and which keypoints were hidden by it, were wrong,
    and were right (2, F, 17).
    """

    pose: np.ndarray
    root: np.ndarray
    hidden: np.ndarray
    wrong: np.ndarray
    right: np.ndarray


def keypoint_errors(pair: MovingPair) -> np.ndarray:
    """(2, F, 17) in heights of the person."""
    height = float(pair.camera.focal[1]) * HEIGHT / np.maximum(pair.joints[:, :, 0, 2], 0.5)
    true = np.asarray(project(jnp.asarray(pair.joints), pair.camera))
    return np.asarray(np.linalg.norm(pair.keypoints - true, axis=-1) / height[..., None])


def judge_pair(pair: MovingPair, way: Way, lifter: LoadedLifter) -> Judged:
    """Lifts a scene in world axes by one of the `WAYS`."""
    errors = keypoint_errors(pair)
    wrong, right = ~pair.occluded & (errors > WRONG_BY), ~pair.occluded & (errors < RIGHT_BY)
    hidden = pair.occluded | (wrong if way.oracle else False)
    if way.back:
        times = np.arange(hidden.shape[1]) / pair.fps
        hidden = hidden | taken_back(pair.keypoints, hidden, times, figure_of(SKELETON))
    tracks = Tracks(pair.keypoints, (~hidden).astype(np.float32), hidden, ("1", "2"), SKELETON)
    extrinsics = Extrinsics(*map(jnp.asarray, pair.extrinsics))
    found = lift_tracks(
        *(tracks, pair.camera, pair.fps, (pair.width, pair.height), lifter, extrinsics),
        covering_rounds=way.rounds,
        covariance=False,
        floor=False,  # sizes as lifted: what is judged here is who is who and who hides whom
        trajectory=TrajectoryConfig(loss="huber"),
        keep_absent=True,
    )
    truth = camera_to_world(jnp.asarray(pair.joints), extrinsics)
    joints = jnp.asarray(found.joints)
    return Judged(
        1000 * np.asarray(metrics.pa_mpjpe(joints, truth)).mean(axis=-1),
        1000 * np.asarray(metrics.root_error(joints[:, :, 0], truth[:, :, 0])),
        *(found.hidden & ~pair.occluded, wrong, right),
    )


def row(way: Way, pairs: Sequence[MovingPair], judged: Sequence[Judged]) -> list[str]:
    """One line of the table."""
    covered = [pair.covered.mean(axis=-1) > COVERED for pair in pairs]
    whose = [pair.covered.mean(axis=(1, 2)) > COVERED for pair in pairs]

    def mean(values: str, frames: Sequence[np.ndarray]) -> str:
        every = [getattr(one, values)[flags] for one, flags in zip(judged, frames, strict=True)]
        return f"{np.nanmean(np.concatenate(every)):.1f}"

    def share(of: str) -> str:
        hidden = sum(int((one.hidden & getattr(one, of)).sum()) for one in judged)
        return f"{100 * hidden / max(sum(int(getattr(one, of).sum()) for one in judged), 1):.1f}"

    groups = (
        [np.broadcast_to(people[:, None], flags.shape) for people, flags in zip(whose, covered, strict=True)],
        [people[:, None] & flags for people, flags in zip(whose, covered, strict=True)],
        [
            np.broadcast_to(~people[:, None], flags.shape)
            for people, flags in zip(whose, covered, strict=True)
        ],
    )
    numbers = [mean(values, frames) for frames in groups for values in ("pose", "root")]
    return [way.name, *numbers, share("wrong"), share("right")]


COLUMNS = (
    *("keypoints", "covered people, PA-MPJPE", "root", "while covered, PA-MPJPE", "root"),
    *("others, PA-MPJPE", "root", "wrong ones hidden %", "right ones hidden %"),
)
LEGEND = (
    f"Millimetres. covered people: the other hides more than {100 * COVERED:g} % of their joints over the "
    f"scene; while covered: on frames on which that is so. wrong: seen, and more than {100 * WRONG_BY:g} % "
    f"of the person's height off; right: less than {100 * RIGHT_BY:g} % off.",
)


def build(config: JudgeCoveringConfig) -> tuple[MovingPair, ...]:
    """The scenes that are asked for."""
    clips = motion.read_clips(config.data)
    if config.split == "evaluation":
        return (moving_pairs.wrong_set if config.pairs == "wrong" else moving_pairs.evaluation_set)(clips)
    training, _ = captures.split(clips)
    recipe = WRONG if config.pairs == "wrong" else EVALUATION._replace(parts=WRONG.parts)
    return moving_pairs.moving_pairs(training, recipe._replace(seed=config.seed))


def judge(config: JudgeCoveringConfig) -> None:
    """Prints the table and writes it as Markdown."""
    pairs, lifter = build(config), load_lifter(config.weights)
    rows = [row(way, pairs, [judge_pair(pair, way, lifter) for pair in pairs]) for way in WAYS]
    seen = np.concatenate([~pair.occluded.ravel() for pair in pairs])
    wrong = np.concatenate([keypoint_errors(pair).ravel() > WRONG_BY for pair in pairs])
    after = [*LEGEND, f"{100 * (wrong & seen).sum() / seen.sum():.1f} % of the seen keypoints are wrong."]
    report(console(), COLUMNS, rows, config.output, after=after)


def main() -> None:
    judge(tyro.cli(JudgeCoveringConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
