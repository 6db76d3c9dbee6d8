"""Recorded takes of Human3.6M as an evaluation sees them: whole, in all views, action by action."""

import dataclasses
import zlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments.checks import COUNT, LOCAL, SEED, SHARE, each
from experiments.judging.protocol import ask, ask_root, judge, mask_key, place_by
from experiments.judging.totals import METRICS, Label, Totals, condition_grid, mean_error
from gated_lift.networks import checkpoints
from gated_lift.occlusion import sample_mask
from gated_lift.readers.human36m import RecordedTake
from gated_lift.readers.videopose3d import FPS, TEST_SUBJECTS
from solvers import Camera, TrajectoryConfig

AVERAGE = "average"
ROW_METRICS = ("hidden", "pa_mpjpe", "mpjpe", "n_mpjpe_absolute", "root_error", "unsolved")


@dataclasses.dataclass(frozen=True)
class Human36mConfig:
    """Settings of one evaluation on Human3.6M."""

    checkpoint: tuple[str | Path, ...]
    """Names of weights that ship, or checkpoint folders, one a network."""
    positions_3d: Path
    """data_3d_h36m.npz."""
    keypoints_2d: Path
    """The 2D to lift, such as data_2d_h36m_cpn_ft_h36m_dbb.npz."""
    cameras: Path | None = None
    """Camera file (.json), or the ground-truth 2D file (.npz) to find the cameras from; by default
    keypoints_2d."""
    allow_pickle: bool = False
    """Read VideoPose3D's files, which hold pickles: only for files that you trust."""
    names: tuple[str, ...] = ()
    """What to call the networks, in the order of the checkpoints; their run folders' names by default."""
    subjects: tuple[str, ...] = TEST_SUBJECTS
    ratios: tuple[float, ...] = (0.0, 0.25, 0.5)
    kernel_frames: tuple[int, ...] = (25, 75)
    seed: int = 0
    flip: bool = True
    """Average over each take and its mirror image."""
    screen: bool = False
    """Divide keypoints by the image's size alone, as VideoPose3D's own weights expect, and not by the
    camera."""
    trajectory: TrajectoryConfig = dataclasses.field(default_factory=TrajectoryConfig)
    output: Path = Path("runs/human36m")
    """Folder for rows.json, a table a metric (.md), and the cameras as --cameras takes them (.json)."""


RULES = {"ratios": each(SHARE), "kernel_frames": each(COUNT), "seed": SEED, "output": LOCAL}


class Take(NamedTuple):
    """All views of one take. Arrays (V, F, ...) as in `RecordedTake`; camera: one a view.
    screen: the camera whose rays are screen-normalised keypoints.
    """

    keypoints: np.ndarray
    missed: np.ndarray
    joints: np.ndarray
    camera: Camera
    screen: Camera
    action: str
    name: str


class Row(NamedTuple):
    """One network under one condition on one action, in mm; hidden and unsolved in per cent.

    action: `AVERAGE` is the mean of the actions.
    """

    network: str
    ratio: float
    kernel_frames: int
    action: str
    frames: int
    hidden: float
    pa_mpjpe: float
    mpjpe: float
    n_mpjpe_absolute: float
    root_error: float
    unsolved: float


def join_views(takes: Sequence[RecordedTake]) -> list[Take]:
    """Takes whose views lie one after another, as in the files, with their views together."""
    joined = []
    for name, group in groupby(takes, key=lambda take: take.name):
        views = list(group)
        cameras = [view.seen_by.camera for view in views]
        half = np.array([view.seen_by.resolution for view in views], np.float32) / 2
        joined.append(
            Take(
                keypoints=np.stack([view.keypoints for view in views]),
                missed=np.stack([view.occluded for view in views]),
                joints=np.stack([view.joints for view in views]),
                camera=Camera(*(np.array(numbers, np.float32) for numbers in zip(*cameras, strict=True))),
                # x ↦ (x − w/2) / (w/2), y ↦ (y − h/2) / (w/2): `normalize_screen` as a camera.
                screen=Camera(focal=half[:, [0, 0]], center=half),
                action=views[0].action,
                name=name,
            )
        )
    return joined


def measure(
    config: Human36mConfig,
    name: str,
    loaded: checkpoints.LoadedLifter,
    takes: Sequence[Take],
    console: Console,
    root_network: checkpoints.LoadedLifter | None = None,
) -> Totals:
    """One network under every condition, take by take; ``root_network`` places the people instead of the
    trajectory solve.
    """
    grid = tuple(condition_grid(config.ratios, config.kernel_frames, ("joints",)))
    sums = np.zeros((len(grid), len(takes), len(METRICS), 2))

    for index, condition in enumerate(track(grid, description=name, console=console)):
        for number, take in enumerate(takes):
            key = jax.random.fold_in(
                mask_key(config.seed, condition, take.missed.shape[1]), zlib.crc32(take.name.encode())
            )
            mask = sample_mask(key, take.missed.shape, condition.ratio, condition.kernel_frames)
            occluded = jnp.asarray(take.missed) | mask
            keypoints = jnp.asarray(take.keypoints)
            seen_by = (keypoints, occluded, take.camera, FPS)
            screen = take.screen if config.screen else None
            answer = ask(loaded, *seen_by, config.trajectory, config.flip, lifted_from=screen)
            if root_network is not None:
                answer = place_by(answer, ask_root(root_network, *seen_by, config.flip))
            found = judge(answer, occluded, jnp.asarray(take.joints), FPS)
            sums[index, number] = [
                [np.asarray(part, np.float64).sum() for part in found[metric]] for metric in METRICS
            ]
    labels = tuple(Label(take.name.split("/")[0], take.action, take.name) for take in takes)
    frames = np.array([take.missed.shape[0] * take.missed.shape[1] for take in takes])
    return Totals(grid, labels, frames, sums)


def rows_of(name: str, totals: Totals) -> list[Row]:
    """Every condition: a row an action, and the average of the actions."""
    actions = np.array([label.action for label in totals.labels])
    rows = []
    for condition in totals.conditions:
        means = {
            action: {
                metric: mean_error(totals, metric, condition, actions == action) for metric in ROW_METRICS
            }
            for action in sorted(set(actions.tolist()))
        }
        means[AVERAGE] = {
            metric: float(np.mean([by_metric[metric] for by_metric in means.values()]))
            for metric in ROW_METRICS
        }
        for action, by_metric in means.items():
            where = (actions == action) | (action == AVERAGE)
            frames = int(totals.frames[where].sum())
            rows.append(Row(name, condition.ratio, condition.kernel_frames, action, frames, **by_metric))
    return rows
