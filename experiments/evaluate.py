"""Judges lifters on held-out people: occlusion ratios × box lengths K × every metric, as a table and figure.

    python -m experiments.evaluate --checkpoint runs/small/checkpoints --data cmu_single.npz cmu_pairs.npz
    python -m experiments.evaluate --checkpoint A/checkpoints B/checkpoints --data FILE --subjects 35 135

By default the validation split of the files is judged; ``--subjects`` names others. Every network sees the
same clips, cameras, detections and masks, which the seed alone decides. Clips are cut into stretches of 300
and 100 frames (a shorter rest is left out). Masks hide joints one by one, as in the paper, and, in rows of
their own, whole bodies, which is what the error inside full occlusions needs. The lifted poses are placed by
`solve_trajectory` before absolute errors are taken.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from experiments.totals import (
    COLUMNS,
    METRICS,
    RUNS,
    Condition,
    Label,
    Totals,
    condition_grid,
    mean_error,
)
from experiments.tune_solve import load_solve
from gated_lift import metrics, pipeline
from gated_lift.cameras import VirtualCamera, sample_static_camera
from gated_lift.clips import MotionClip
from gated_lift.drawing import charts
from gated_lift.networks import checkpoints
from gated_lift.occlusion import run_length, sample_mask
from gated_lift.readers import captures
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import view
from solvers import Camera, TrajectoryConfig, solve_trajectory

# Few lengths, because every length is compiled anew.
STRETCHES = (300, 100)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of one evaluation."""

    checkpoint: tuple[Path, ...]
    """Checkpoint folders, one a network."""
    data: tuple[Path, ...]
    """Capture files (.npz)."""
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
    """People lifted and placed at once; only memory depends on it."""
    output: Path = Path("runs/evaluate")
    """Folder for rows.json, table.md and pa_mpjpe.png."""


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
    clips = [clip for path in config.data for clip in captures.read_captures(path)]
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


def see(
    config: EvaluateConfig, length: int, stretches: list[tuple[Label, np.ndarray]], fps: float
) -> Stretches:
    """A camera and a detector of its own for every stretch."""
    poses = jnp.asarray(np.stack([poses for _, poses in stretches]))
    key = jax.random.fold_in(jax.random.key(config.seed), length)

    @jax.jit
    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        target = poses[:, 0].mean(axis=0)
        camera, extrinsics = sample_static_camera(camera_key, target, config.camera)
        seen = view(detector_key, poses, camera, extrinsics, config.detector, fps, SKELETON)
        return seen.keypoints, seen.occluded, seen.joints, camera.focal, camera.center

    keypoints, missed, joints, focal, center = look(jax.random.split(key, len(poses)), poses)
    return Stretches(keypoints, missed, joints, focal, center, tuple(label for label, _ in stretches))


def conditions(config: EvaluateConfig) -> list[Condition]:
    """Joint by joint and whole bodies."""
    return condition_grid(config.ratios, config.kernel_frames, ("joints", "body"))


lift = jax.jit(pipeline.lift, static_argnums=(0, 5, 6, 7))


@partial(jax.jit, static_argnames=("fps", "trajectory"))
def judge(
    poses: jax.Array,
    keypoints: jax.Array,
    occluded: jax.Array,
    joints: jax.Array,
    camera: Camera,
    fps: float,
    trajectory: TrajectoryConfig,
    root: jax.Array | None = None,
    confidence: jax.Array | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """(sum, count) of every metric for each person: the frames that it is defined on are added up by the
    caller.

    Apart from the lifter, so that the solve is compiled once for all networks. root: (N, F, 3) metres, where
    something else than `solve_trajectory` places the people. confidence: (J,) of every joint, for the solve.
    """
    if root is None:
        if confidence is not None:
            confidence = jnp.broadcast_to(confidence, occluded.shape)
        solution = solve_trajectory(poses, keypoints, occluded, camera, trajectory, confidence=confidence)
        root, solved = solution.root, pipeline.solved(solution.status)
    else:
        solved = jnp.all(jnp.isfinite(root), axis=(-2, -1))
    truth = joints - joints[..., :1, :]
    root = jnp.where(solved[:, None, None], root, 0)
    absolute = poses + root[..., None, :]
    placed = jnp.broadcast_to(solved[:, None], occluded.shape[:2])
    root_error = metrics.root_error(root, joints[..., 0, :])
    aligned = metrics.pa_mpjpe(poses, truth)
    run = run_length(occluded)

    def total(values: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        axes = tuple(range(1, values.ndim))
        where = jnp.ones(values.shape, bool) if where is None else jnp.broadcast_to(where, values.shape)
        return jnp.sum(jnp.where(where, values, 0), axes), jnp.sum(where, axes)

    return {
        "hidden": total(occluded.astype(jnp.float32)),
        "pa_mpjpe": total(aligned),
        "mpjpe": total(metrics.mpjpe(poses, truth)),
        "n_mpjpe_absolute": total(metrics.n_mpjpe(absolute, joints), placed[..., None]),
        "mpjve": total(metrics.mpjve(poses, truth, fps)),
        "acceleration_error": total(metrics.acceleration_error(poses, truth, fps)),
        "pck": total(metrics.pck(poses, truth).astype(jnp.float32)),
        "auc": total(metrics.auc(poses, truth)),
        "root_error": total(root_error, placed),
        "root_error_fully_hidden": total(root_error, placed & metrics.fully_hidden(occluded)),
        "unsolved": total(1 - solved.astype(jnp.float32)[:, None]),
        **{
            name: total(aligned, (run >= shortest) & (run <= longest))
            for name, (shortest, longest) in RUNS.items()
        },
    }


def ask(
    network: checkpoints.LoadedLifter,
    keypoints: jax.Array,
    occluded: jax.Array,
    camera: Camera,
    flip: bool,
    focal: float,
) -> jax.Array:
    """What a network makes of people (`pipeline.lift`)."""
    return lift(network.lifter, network.variables, keypoints, occluded, camera, SKELETON, flip, focal)


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
    if loaded.lifter.target != "pose":
        raise ValueError(f"checkpoint {name} finds roots, not poses: give it as root_network")
    if root_network is not None and root_network.lifter.target != "root":
        raise ValueError(f"root_network {config.root_network} finds poses, not roots: give it as checkpoint")
    grid = conditions(config)
    labels = [label for people in seen.values() for label in people.labels]
    frames = [length for length, people in seen.items() for _ in people.labels]
    sums = np.zeros((len(grid), len(labels), len(METRICS), 2))
    trajectory, confidence = load_solve(config.solve) if config.solve else (config.trajectory, None)
    focal = pipeline.screen_focal(config.camera)
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
            for part in _parts(len(people.labels), config.batch_people):
                keypoints, joints = people.keypoints[part], people.joints[part]
                camera = Camera(people.focal[part], people.center[part])
                hidden = occluded[part]
                seen_by = (keypoints, hidden, camera, config.flip, focal)
                poses = ask(loaded, *seen_by)
                root = None
                if root_network is not None:
                    root = ask(root_network, *seen_by)[..., 0, :]
                found = judge(poses, keypoints, hidden, joints, camera, fps, trajectory, root, confidence)
                # The last part is filled up with its first person, who is written twice, the same both times.
                sums[index, first + part] = np.stack(
                    [np.stack([np.asarray(entry) for entry in found[metric]], -1) for metric in METRICS], 1
                )
            first += len(people.labels)
    return Totals(tuple(grid), tuple(labels), np.array(frames), sums)


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


def mask_key(seed: int, condition: Condition, length: int) -> jax.Array:
    """A condition's masks depend on itself alone, not on what else is judged."""
    key = jax.random.fold_in(jax.random.key(seed + 1), length)
    for number in (condition.masks == "body", round(1e6 * condition.ratio), condition.kernel_frames):
        key = jax.random.fold_in(key, number)
    return key


def _parts(count: int, size: int) -> Iterator[np.ndarray]:
    """Indices in parts of one size; the last is filled up with its own first index."""
    for start in range(0, count, size):
        part = np.arange(start, start + size)
        yield np.where(part < count, part, start)


def markdown(rows: Sequence[Row]) -> str:
    """Every metric as a table of its own, networks down and conditions across, over all subjects."""
    parts = []
    for masks, how in (("joints", "joints hidden one by one"), ("body", "whole bodies hidden at a time")):
        for metric, (title, _) in COLUMNS.items():
            lines = pivot(rows, masks, metric)
            if lines:
                parts.append(f"## {title}, {how}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def pivot(rows: Sequence[Row], masks: str, metric: str) -> list[str]:
    """One metric as the lines of a Markdown table; the best network of every condition is bold.

    The first column is that where nothing is hidden, which is the same for both kinds of masks.
    """
    cells = {
        (row.network, row.kernel_frames if row.ratio else 0, row.ratio): getattr(row, metric)
        for row in rows
        if row.subject == "all" and (row.masks == masks or row.ratio == 0)
    }
    columns = sorted({key[1:] for key in cells})
    if not columns or columns[-1] == (0, 0.0):
        return []
    names = list(dict.fromkeys(row.network for row in rows))
    titles = [f"{100 * ratio:.0f} %, K={kernel}" if ratio else "0 %" for kernel, ratio in columns]
    lines = ["| network | " + " | ".join(titles) + " |", "|---" + "|---:" * len(columns) + "|"]
    best = {"pck": max, "auc": max, "hidden": None, "unsolved": None}.get(metric, min)
    for name in names:
        texts = []
        for column in columns:
            value = cells.get((name, *column), float("nan"))
            values = [cells[key] for key in cells if key[1:] == column and not math.isnan(cells[key])]
            bold = best is not None and len(values) > 1 and value == best(values)
            texts.append("–" if math.isnan(value) else f"**{value:.1f}**" if bold else f"{value:.1f}")
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return lines


def print_table(rows: Sequence[Row], console: Console) -> None:
    """PA-MPJPE of every network by mask, K and ratio; table.md has the other metrics."""
    everyone = {
        (row.network, row.masks, row.kernel_frames, row.ratio): row for row in rows if row.subject == "all"
    }
    ratios = sorted({key[3] for key in everyone})
    table = Table(title="PA-MPJPE in mm, all subjects, by hidden share")
    for title in ("network", "masks", "K", *(f"{100 * ratio:.0f} %" for ratio in ratios)):
        table.add_column(title, justify="left" if title in ("network", "masks") else "right")
    for network, masks, kernel in dict.fromkeys(key[:3] for key in everyone if key[3] > 0):
        cells = []
        for ratio in ratios:
            # Where nothing is hidden, neither the kind of mask nor K matters: one row serves all.
            keys = (
                [(network, masks, kernel, ratio)]
                if ratio
                else [key for key in everyone if key[::3] == (network, 0)]
            )
            found = everyone.get(keys[0]) if keys else None
            cells.append(f"{found.pa_mpjpe:.1f}" if found else "–")
        table.add_row(network, masks, str(kernel), *cells)
    console.print(table)


def main() -> None:
    config = tyro.cli(EvaluateConfig, description=__doc__)
    console = Console()
    names = network_names(config.checkpoint, config.names)
    clips = read_people(config)
    fps = clips[0].fps
    if any(clip.fps != fps for clip in clips):
        raise ValueError(
            f"data holds clips at {sorted({clip.fps for clip in clips})} frames/s: judge each rate by itself"
        )
    seen = {length: see(config, length, stretches, fps) for length, stretches in cut(clips).items()}
    total = sum(length * len(people.labels) for length, people in seen.items())
    left_out = sum(clip.poses.shape[0] * clip.poses.shape[1] for clip in clips) - total
    console.print(
        f"{len(clips)} clips, {total:,} frames of one person each "
        f"({left_out:,} in rests of clips are left out)"
    )

    rows = []
    root_network = None if config.root_network is None else checkpoints.load_lifter(config.root_network)
    for name, path in zip(names, config.checkpoint, strict=True):
        loaded = checkpoints.load_lifter(path)
        rows += rows_of(name, measure(config, name, loaded, seen, fps, console, root_network))
    print_table(rows, console)
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "rows.json").write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    (config.output / "table.md").write_text(markdown(rows))
    figure = charts.draw_error_by_ratio(
        [
            charts.ErrorRow(row.network, kernel, row.ratio, row.pa_mpjpe)
            for row in rows
            for kernel in (config.kernel_frames if row.ratio == 0 else (row.kernel_frames,))
            if row.subject == "all" and row.masks == "joints"
        ],
        config.output / "pa_mpjpe.png",
        metric="PA-MPJPE",
    )
    console.print(f"wrote {config.output / 'rows.json'}, {config.output / 'table.md'} and {figure}")


def network_names(checkpoints: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    """What to call each network: its own name, or its run folder's, so that runs/small/two_stream/checkpoints
    is called two_stream. Raises ValueError unless every checkpoint has a name of its own.
    """
    paths = [path.absolute() for path in checkpoints]
    folders = [path.parent.name if path.name == "checkpoints" else path.name for path in paths]
    chosen = tuple(names or folders)
    if len(chosen) != len(paths) or len(set(chosen)) != len(chosen):
        raise ValueError(f"names {chosen}: give one name a checkpoint ({len(paths)}), each once")
    return chosen


if __name__ == "__main__":
    main()
