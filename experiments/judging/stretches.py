"""Captured people as an evaluation sees them: in stretches of few lengths, before cameras of their own.

Every network sees the same clips, cameras, detections and masks, which the seed alone decides.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments.checks import COUNT, LOCAL, SEED, SHARE, VIEW_RULES, check_numbers, each
from experiments.judging.protocol import ask, ask_root, judge, mask_key, place_by
from experiments.judging.totals import COLUMNS, METRICS, Condition, Label, Totals, condition_grid, mean_error
from experiments.solve_weights import load_solve
from gated_lift.cameras import VirtualCamera, sample_static_camera
from gated_lift.clips import MotionClip
from gated_lift.networks import checkpoints
from gated_lift.occlusion import sample_mask
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.moving_pairs import MovingPair
from gated_lift.synthetic.views import view
from solvers import Camera, TrajectoryConfig

# Few lengths, because every length is compiled anew.
STRETCHES = (300, 100)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of one evaluation."""

    checkpoint: tuple[str | Path, ...]
    """Names of weights that ship, or checkpoint folders, one a network."""
    data: tuple[Path, ...]
    """Files of motion (.npz, .bvh, .c3d)."""
    subjects: tuple[str, ...] = ()
    """Subjects to judge on; the validation split where none is named."""
    names: tuple[str, ...] = ()
    """What to call the networks, in the order of the checkpoints; their run folders' names by default."""
    ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    kernel_frames: tuple[int, ...] = (25, 75, 150)
    seed: int = 0
    flip: bool = True
    """Average over each clip and its mirror image."""
    trajectory: TrajectoryConfig = dataclasses.field(default_factory=TrajectoryConfig)
    solve: Path | None = None
    """A solve.json of `experiments.tune_solve`: its weights and joint confidences place the people."""
    root_network: Path | None = None
    """Checkpoint folder of a network whose target is the root (`experiments.train trajectory`): it places all
    poses, as VideoPose3D does, instead of the trajectory solve."""
    camera: VirtualCamera = dataclasses.field(default_factory=VirtualCamera)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    batch_people: int = 32
    """People lifted and placed at once, on all devices together; only memory depends on it."""
    output: Path = Path("runs/evaluate")
    """Folder for rows.json, table.md and pa_mpjpe.png."""


RULES = {
    "ratios": each(SHARE),
    "kernel_frames": each(COUNT),
    "seed": SEED,
    "batch_people": COUNT,
    "output": LOCAL,
    **VIEW_RULES,
}


class Stretches(NamedTuple):
    """People of one stretch length. keypoints: (N, F, J, 2) px. missed: (N, F, J). joints: (N, F, J, 3)
    camera metres. focal, center: (N, 2). labels: N.
    """

    keypoints: jax.Array
    missed: jax.Array
    joints: jax.Array
    focal: jax.Array
    center: jax.Array
    labels: tuple[Label, ...]


class Row(NamedTuple):
    """One network under one condition on one subject ("all": every frame of every subject).

    Errors in mm, mm/s, mm/s²; shares in per cent.
    """

    network: str
    masks: str
    ratio: float
    kernel_frames: int
    subject: str
    frames: int
    hidden: float
    pa_mpjpe: float
    mpjpe: float
    n_mpjpe_absolute: float
    mpjve: float
    acceleration_error: float
    pck: float
    auc: float
    root_error: float
    root_error_fully_hidden: float
    unsolved: float


def read_people(config: EvaluateConfig) -> list[MotionClip]:
    """The clips to judge on. Raises ValueError for settings out of range (`RULES`), subjects that are not in
    the files, and data without anything to judge.
    """
    check_numbers(config, RULES)
    clips = motion.read_clips(config.data)
    held = {name for clip in clips for name in clip.subject.split("+")}
    unknown = sorted(set(config.subjects) - held)
    if unknown:
        raise ValueError(
            f"subjects {', '.join(unknown)} are not in data {_names(config.data)}: choose from "
            f"{', '.join(sorted(held))}"
        )
    if config.subjects:
        chosen = [clip for clip in clips if set(config.subjects) & set(clip.subject.split("+"))]
    else:
        chosen = list(captures.split(clips)[1])
    if not chosen:
        raise ValueError(
            f"data {_names(config.data)} holds no clip of the validation split: name subjects from "
            f"{', '.join(sorted(held))}"
        )
    if max(clip.poses.shape[1] for clip in chosen) < STRETCHES[-1]:
        raise ValueError(
            f"data {_names(config.data)} holds no clip of {STRETCHES[-1]} frames among the chosen ones: a "
            "shorter clip is left out, so nothing is left to judge"
        )
    return chosen


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def cut(clips: Sequence[MotionClip]) -> dict[int, list[tuple[Label, np.ndarray]]]:
    """Every person's clip as stretches of the lengths in STRETCHES, longest first.

    {length: [(label, poses), ...]}.
    """
    found: dict[int, list[tuple[Label, np.ndarray]]] = {length: [] for length in STRETCHES}
    for clip in clips:
        subjects = clip.subject.split("+")
        for person, poses in enumerate(clip.poses):
            subject = subjects[person] if len(subjects) == len(clip.poses) else clip.subject
            label = Label(subject, clip.action, clip.name)
            start = 0
            for length in STRETCHES:
                while len(poses) - start >= length:
                    found[length].append((label, poses[start : start + length]))
                    start += length
    return {length: stretches for length, stretches in found.items() if stretches}


def spread(pieces: Sequence[Any], most: int | None) -> list[Any]:
    """At most so many of them, evenly spread; all for None."""
    step = -(-len(pieces) // (most or len(pieces)))
    return list(pieces[::step])


def see(
    config: EvaluateConfig, length: int, stretches: list[tuple[Label, np.ndarray]], fps: float
) -> Stretches:
    """A camera and a detector of its own for every stretch."""
    poses = jnp.asarray(np.stack([poses for _, poses in stretches]))
    key = jax.random.fold_in(jax.random.key(config.seed), length)
    keys = jax.random.split(key, len(poses))
    keypoints, missed, joints, focal, center = _look(keys, poses, config.camera, config.detector, fps)
    return Stretches(keypoints, missed, joints, focal, center, tuple(label for label, _ in stretches))


@partial(jax.jit, static_argnums=(2, 3, 4))
def _look(
    keys: jax.Array, poses: jax.Array, cameras: VirtualCamera, detector: DetectorConfig, fps: float
) -> tuple[Any, ...]:
    """Poses (N, F, J, 3), a camera each: the arrays of `Stretches`."""

    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        target = poses[:, 0].mean(axis=0)
        camera, extrinsics = sample_static_camera(camera_key, target, cameras)
        seen = view(detector_key, poses, camera, extrinsics, detector, fps, SKELETON)
        return seen.keypoints, seen.occluded, seen.joints, camera.focal, camera.center

    return look(keys, poses)


def stretches_of(pairs: Sequence[MovingPair]) -> dict[int, Stretches]:
    """Every person of the scenes, by the length of the scenes; the action is the scene's kind."""
    found: dict[int, Stretches] = {}
    for length in sorted({pair.keypoints.shape[1] for pair in pairs}):
        scenes = [(number, pair) for number, pair in enumerate(pairs) if pair.keypoints.shape[1] == length]
        alone = [pair for _, pair in scenes]
        focal, center = (
            np.concatenate(
                [np.broadcast_to(np.float32(getattr(pair.camera, name)), (2, 2)) for pair in alone]
            )
            for name in ("focal", "center")
        )
        labels = [
            Label(source, pair.kind, f"scene {number}") for number, pair in scenes for source in pair.sources
        ]
        found[length] = Stretches(
            jnp.concatenate([pair.keypoints for pair in alone]),
            jnp.concatenate([pair.occluded for pair in alone]),
            jnp.concatenate([pair.joints for pair in alone]),
            jnp.asarray(focal),
            jnp.asarray(center),
            tuple(labels),
        )
    return found


def conditions(config: EvaluateConfig) -> list[Condition]:
    """Joint by joint and whole bodies."""
    return condition_grid(config.ratios, config.kernel_frames, ("joints", "body"))


def measure(
    config: EvaluateConfig,
    name: str,
    loaded: checkpoints.LoadedLifter,
    seen: dict[int, Stretches],
    fps: float,
    console: Console,
    root_network: checkpoints.LoadedLifter | None = None,
) -> Totals:
    """One network under every condition; ``root_network`` places the people instead of the trajectory solve.

    Raises ValueError for a network of the other kind.
    """
    if loaded.network.target != "pose":
        raise ValueError(f"checkpoint {name} finds roots, not poses: give it as root_network")
    if root_network is not None and root_network.network.target != "root":
        raise ValueError(f"root_network {config.root_network} finds poses, not roots: give it as checkpoint")
    grid = conditions(config)
    labels = [label for people in seen.values() for label in people.labels]
    frames = [length for length, people in seen.items() for _ in people.labels]
    sums = np.zeros((len(grid), len(labels), len(METRICS), 2))
    trajectory, confidence = load_solve(config.solve) if config.solve else (config.trajectory, None)
    for index, condition in enumerate(track(grid, description=name, console=console)):
        first = 0
        for length, people in seen.items():
            mask = sample_mask(
                mask_key(config.seed, condition, length),
                people.missed.shape,
                condition.ratio,
                condition.kernel_frames,
                condition.masks == "body",
            )
            occluded = people.missed | mask
            for part in parts(len(people.labels), config.batch_people):
                keypoints, joints = people.keypoints[part], people.joints[part]
                camera = Camera(people.focal[part], people.center[part])
                hidden = occluded[part]
                seen_by = (keypoints, hidden, camera, fps)
                answer = ask(loaded, *seen_by, trajectory, config.flip, confidence)
                if root_network is not None:
                    answer = place_by(answer, ask_root(root_network, *seen_by, config.flip))
                found = judge(answer, hidden, joints, fps)
                # The last part is filled up with its first person, who is written twice, the same both times.
                sums[index, first + part] = np.stack(
                    [np.stack([np.asarray(entry) for entry in found[metric]], -1) for metric in METRICS], 1
                )
            first += len(people.labels)
    return Totals(tuple(grid), tuple(labels), np.array(frames), sums)


def parts(count: int, size: int) -> Iterator[np.ndarray]:
    """Indices in parts of one size; the last is filled up with its own first index."""
    for start in range(0, count, size):
        part = np.arange(start, start + size)
        yield np.where(part < count, part, start)


def rows_of(name: str, totals: Totals) -> list[Row]:
    """Every condition: a row a subject and one for all of them."""
    owners = np.array([label.subject for label in totals.labels])
    groups = {subject: owners == subject for subject in set(owners.tolist())}
    groups["all"] = np.ones(len(owners), bool)
    rows = []
    for condition in totals.conditions:
        for subject in sorted(groups):
            where = groups[subject]
            means: dict[str, Any] = {
                metric: mean_error(totals, metric, condition, where) for metric in COLUMNS
            }
            rows.append(Row(name, *condition, subject, int(totals.frames[where].sum()), **means))
    return rows
