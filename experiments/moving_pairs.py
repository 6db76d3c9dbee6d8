"""Builds the set of pairs before moving cameras, and says how much of them is hidden, beside random masks.

    python -m experiments.moving_pairs --data cmu_single.npz cmu_pairs.npz
    python -m experiments.moving_pairs --data cmu_single.npz cmu_pairs.npz --split wrong
    python -m experiments.moving_pairs --data cmu_single.npz cmu_pairs.npz --split second
    python -m experiments.moving_pairs --data cmu_single.npz cmu_pairs.npz --split training --seed 1

The first is the frozen evaluation set, of the validation split; its hash is checked. The second is a smaller
one before a detector that puts covered joints on whoever covers them. The third is the second edition, which
has obstacles as well. The last is another set in the form of the first, of the training split, to train or to
choose settings on.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments import reporting
from experiments.commands import run_script
from experiments.reporting import markdown, report, show
from gated_lift.cameras import camera_to_world
from gated_lift.clips import runs
from gated_lift.drawing import pictures
from gated_lift.drawing.figures import DPI, SMALL, TEXT, TITLE, color_of, save, tidy
from gated_lift.drawing.scene import Scene, hidden_stretch
from gated_lift.occlusion import sample_mask
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.moving_pairs import (
    EVALUATION,
    EVALUATION_NAME,
    SECOND_NAME,
    WRONG_NAME,
    MovingPair,
)
from gated_lift.synthetic.placing import KINDS, nearest_joints
from solvers import Extrinsics, project


@dataclasses.dataclass(frozen=True)
class MovingPairsConfig:
    """Which set is built, and where it goes."""

    data: tuple[Path, ...]
    """Capture files (.npz): single people and couples."""
    split: Literal["evaluation", "wrong", "second", "training"] = "evaluation"
    """evaluation, wrong, second: the frozen sets. training: another of the first one's form from the training
    split."""
    seed: int = 0
    """Of a training set; the evaluation set has its own."""
    ratios: tuple[float, ...] = (0.25, 0.5)
    """Hidden shares of the random masks in the table."""
    kernel_frames: tuple[int, ...] = (25, 75)
    """K of the random masks in the table."""
    output: Path = Path("runs/moving_pairs")
    """Folder for the scenes (.npz), statistics.md and scenes.png."""


FROZEN_NAMES = {"evaluation": EVALUATION_NAME, "wrong": WRONG_NAME, "second": SECOND_NAME}


class Statistics(NamedTuple):
    """How much is hidden in masks. Shares of all joints, or of all frames of all people; runs are stretches
    in which one joint stays hidden, hidings stretches in which a whole person does, both in frames. The ends
    of a scene cut them short.
    """

    joints: float
    runs: np.ndarray
    people: float
    hidings: np.ndarray


def measure(masks: Sequence[np.ndarray]) -> Statistics:
    """Of masks (people, frames, joints), one a scene, True = hidden. Raises ValueError for none."""
    if not masks:
        raise ValueError("masks is empty: give one a scene")

    def lengths(flags: np.ndarray) -> list[int]:
        return [stop - start for row in flags.reshape(-1, flags.shape[-1]) for start, stop in runs(row)]

    whole = [np.asarray(mask.all(axis=-1)) for mask in masks]
    return Statistics(
        joints=float(np.concatenate([mask.ravel() for mask in masks]).mean()),
        runs=np.array([n for mask in masks for n in lengths(np.moveaxis(mask, -1, 1))], int),
        people=float(np.concatenate([mask.ravel() for mask in whole]).mean()),
        hidings=np.array([n for mask in whole for n in lengths(mask)], int),
    )


def random_masks(
    pairs: Sequence[MovingPair], ratio: float, kernel_frames: int, seed: int
) -> list[np.ndarray]:
    """Masks of Eqs. 10 and 11 in the shapes of the scenes'."""
    keys = jax.random.split(jax.random.key(seed), len(pairs))
    return [
        np.asarray(sample_mask(key, pair.occluded.shape, ratio, kernel_frames))
        for key, pair in zip(keys, pairs, strict=True)
    ]


COLUMNS = (
    *("scenes", "covered %", "hidden %", "outside %", "run, frames", "50 / 90 / 99 %", "run, s"),
    *("fully hidden frames %", "hidings", "seconds 50 / 90 / 100 %", "hips, m", "joints, m"),
)
LEGEND = (
    "covered: joints that the other body hides. hidden: joints that a lifter gets as occluded, because the "
    "detector is unsure, the joint is outside the image, or the person is not found. run: mean length of a "
    "stretch in which one joint is hidden, and its quantiles in frames. hidings: stretches in which all "
    "joints of a person are hidden, and their lengths. hips, joints: the least distance of the two people's "
    "hips over the ground, and of any of their joints.",
    "Stretches that reach an end of a scene count with what is inside it.",
)


def row(name: str, masks: Sequence[np.ndarray], fps: float, pairs: Sequence[MovingPair] = ()) -> list[str]:
    """One line of the table; what only scenes have is left open for random masks."""
    found = measure(masks)

    def quantiles(values: np.ndarray, shares: Sequence[int], digits: int) -> str:
        if not len(values):
            return "–"
        return " / ".join(f"{value:.{digits}f}" for value in np.percentile(values, shares))

    covered, outside, hips, joints = "–", "–", "–", "–"
    if pairs:
        covered = f"{100 * np.concatenate([pair.covered.ravel() for pair in pairs]).mean():.1f}"
        outside = f"{100 * np.concatenate([out_of_image(pair).ravel() for pair in pairs]).mean():.1f}"
        worlds = [world_joints(pair) for pair in pairs]
        apart = [np.linalg.norm(world[0, :, 0, :2] - world[1, :, 0, :2], axis=-1) for world in worlds]
        hips = f"{min(distance.min() for distance in apart):.2f}"
        joints = f"{min(nearest_joints(world) for world in worlds):.2f}"
    mean = found.runs.mean() if len(found.runs) else 0.0
    return [
        name,
        str(len(masks)),
        covered,
        f"{100 * found.joints:.1f}",
        outside,
        f"{mean:.1f}",
        quantiles(found.runs, (50, 90, 99), 0),
        f"{mean / fps:.2f}",
        f"{100 * found.people:.1f}",
        str(len(found.hidings)),
        quantiles(found.hidings / fps, (50, 90, 100), 2),
        hips,
        joints,
    ]


def world_joints(pair: MovingPair) -> np.ndarray:
    """(2, F, 17, 3) metres, z up."""
    return np.asarray(
        camera_to_world(jnp.asarray(pair.joints), Extrinsics(*map(jnp.asarray, pair.extrinsics)))
    )


def true_pixels(pair: MovingPair) -> np.ndarray:
    return np.asarray(project(jnp.asarray(pair.joints), pair.camera))


def out_of_image(pair: MovingPair) -> np.ndarray:
    pixels = true_pixels(pair)
    outside = (pixels < 0) | (pixels >= np.array([pair.width, pair.height]))
    return outside.any(axis=-1) | (pair.joints[..., 2] <= 0)


def table_one(pairs: Sequence[MovingPair]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the paper's Table I: videos and frames by action."""
    kinds = [kind for kind in KINDS if any(pair.kind == kind for pair in pairs)]
    groups = [[pair for pair in pairs if pair.kind == kind] for kind in kinds]
    frames = [sum(pair.keypoints.shape[1] for pair in group) for group in groups]
    return ["", *kinds, "total"], [
        ["# Videos", *(str(len(group)) for group in groups), str(len(pairs))],
        ["# Frames", *(f"{count:,}" for count in frames), f"{sum(frames):,}"],
    ]


def plot_above(axes: Axes, pair: MovingPair, frame: int) -> None:
    """Paths of both people and of the camera from above, metres; dots and the field of view at ``frame``."""
    hips = world_joints(pair)[:, :, 0, :2]
    camera = pair.extrinsics.position[:, :2]
    hidden = np.asarray(pair.occluded.all(axis=-1))
    for person, path in enumerate(hips):
        color = color_of(person)
        for start, stop in runs(hidden[person]):
            band = path[max(start - 1, 0) : stop + 1]
            axes.plot(*band.T, color=color, lw=8, alpha=0.3, solid_capstyle="round", zorder=1)
        axes.plot(*path.T, color=color, lw=1.7, zorder=3)
        tail = path[np.flatnonzero(np.linalg.norm(path - path[-1], axis=-1) > 0.03)[-1:]]
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
        for place in tail:
            axes.annotate("", xy=tuple(path[-1]), xytext=tuple(place), arrowprops=arrow, zorder=4)
        axes.plot(*path[frame], "o", ms=6, color=color, mec="white", mew=1.0, zorder=5)
    right, _, ahead = pair.extrinsics.rotation[frame][:, :2]
    slope = pair.width / 2 / float(pair.camera.focal[0])
    reach = np.linalg.norm(hips[:, frame] - camera[frame], axis=-1).max() + 0.4
    edges = [camera[frame] + reach * (ahead + side * slope * right) for side in (-1, 1)]
    axes.fill(*np.stack([camera[frame], *edges]).T, color="0.94", lw=0, zorder=0)
    axes.plot(*camera.T, color="0.35", lw=1.2, zorder=2)
    axes.plot(*camera[frame], "s", ms=6, color="0.25", mec="white", mew=1.0, zorder=5)
    every = np.concatenate([*hips, camera])
    middle = (every.min(axis=0) + every.max(axis=0)) / 2
    half = (every.max(axis=0) - every.min(axis=0)).max() / 2 + 0.4
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axes.set_aspect("equal")
    axes.grid(color="0.9", lw=0.6)
    axes.set_axisbelow(True)
    tidy(axes)


def as_picture(pair: MovingPair) -> Scene:
    return Scene(
        skeleton=SKELETON,
        fps=pair.fps,
        keypoints=pair.keypoints,
        occluded=pair.occluded,
        width=pair.width,
        height=pair.height,
        predicted=pair.joints,
        true_keypoints=true_pixels(pair),
    )


def around(pair: MovingPair, frame: int) -> tuple[float, float, float, float]:
    """The square of the image (left, right, top, bottom) that holds both people."""
    pixels = true_pixels(pair)[:, frame].reshape(-1, 2)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    x, y = ((low + high) / 2).tolist()
    half = 0.56 * float((high - low).max())
    return x - half, x + half, y - half, y + half


def draw(pairs: Sequence[MovingPair], path: Path) -> Path:
    """One scene of each kind: from above, in the image at its longest hiding, and its masks in time. It is
    the scene of its kind with the middle share of hidden joints.
    """
    kinds = [kind for kind in KINDS if any(pair.kind == kind for pair in pairs)]
    figure = Figure(figsize=(2.7 * len(kinds), 9.0), dpi=DPI)
    grid = figure.add_gridspec(
        4,
        len(kinds),
        height_ratios=(1.0, 0.9, 0.42, 0.42),
        left=0.05,
        right=0.99,
        top=0.935,
        bottom=0.06,
        wspace=0.2,
        hspace=0.2,
    )
    for column, kind in enumerate(kinds):
        group = sorted(
            (pair for pair in pairs if pair.kind == kind), key=lambda pair: float(pair.occluded.mean())
        )
        pair = group[len(group) // 2]
        start, stop = hidden_stretch(pair.occluded)
        frame = (start + stop) // 2
        above, image, *strips = (figure.add_subplot(grid[line, column]) for line in range(4))
        plot_above(above, pair, frame)
        above.set_title(f"{kind}: {' and '.join(pair.sources)}", fontsize=TITLE - 1)
        pictures.plot_keypoints(image, as_picture(pair), frame, around(pair, frame))
        image.set(xticks=[], yticks=[])
        for side in image.spines.values():
            side.set_visible(False)
        image.set_xlabel(f"image at {frame / pair.fps:.2f} s", fontsize=SMALL, labelpad=1)
        for person, axes in enumerate(strips):
            marks = (frame,) if person == 0 else ()
            pictures.plot_mask(axes, pair.occluded[person], None, pair.fps, color_of(person), marks)
            axes.set_yticks([])
            if person == 0:
                axes.set_xlabel("")
                axes.tick_params(labelbottom=False)
        if column == 0:
            above.set_ylabel("world (m)", fontsize=TEXT)
            for person, axes in enumerate(strips):
                axes.set_ylabel(f"person {person + 1}\njoints", fontsize=TEXT)
    handles = [
        Line2D([], [], color=color_of(0), lw=2, label="person 1"),
        Line2D([], [], color=color_of(1), lw=2, label="person 2"),
        Line2D([], [], color="0.4", lw=8, alpha=0.4, label="fully hidden"),
        Line2D([], [], color="0.35", lw=1.2, marker="s", ms=5, label="camera and its field of view"),
        Line2D([], [], color="0.2", marker="o", ms=5, ls="", mfc="white", label="hidden joint"),
        Line2D([], [], color="0.2", marker="v", ms=5, ls="", label="moment of the image"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), frameon=False, fontsize=TEXT)
    return save(figure, path)


def run(config: MovingPairsConfig) -> Sequence[MovingPair]:
    """Builds the set, writes and draws it, and prints its tables."""
    console = reporting.console()
    clips = motion.read_clips(config.data)
    if config.split in FROZEN_NAMES:
        name = FROZEN_NAMES[config.split]
        pairs = moving_pairs.frozen_set(clips, name)
    else:
        training, _ = captures.split(clips)
        pairs = moving_pairs.moving_pairs(training, EVALUATION._replace(seed=config.seed))
        name = f"moving-pairs-training-{config.seed}"
    scenes = moving_pairs.write_pairs(config.output / f"{name}.npz", pairs)
    fingerprint = moving_pairs.fingerprint(pairs)
    console.print(f"{name}, sha256 {fingerprint}")

    fps = pairs[0].fps
    headings, counts = table_one(pairs)
    before = [
        f"# {name}",
        "",
        f"sha256 {fingerprint}",
        "",
        *markdown(headings, counts, 1),
    ]
    show(console, headings, counts)
    rows = [
        row(kind, [pair.occluded for pair in group], fps, group)
        for kind in KINDS
        if (group := [pair for pair in pairs if pair.kind == kind])
    ]
    rows.append(row("all", [pair.occluded for pair in pairs], fps, pairs))
    rows += [
        row(f"random mask, {100 * ratio:g} %, K = {kernel}", random_masks(pairs, ratio, kernel, 0), fps)
        for ratio in config.ratios
        for kernel in config.kernel_frames
    ]
    report(console, ("", *COLUMNS), rows, config.output / "statistics.md", before=before, after=LEGEND)
    picture = draw(pairs, config.output / "scenes.png")
    console.print(f"wrote {scenes}, {config.output / 'statistics.md'} and {picture}")
    return pairs


def main() -> None:
    run(tyro.cli(MovingPairsConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
