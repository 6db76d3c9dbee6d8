"""Errors by what people do, of any networks; `experiments.by_kind` is the command."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments import reporting
from experiments.checks import COUNT, SEED, SHARE, WHOLE, check_numbers
from experiments.judging.kinds import KINDS, TURNED, kinds_of, turned
from experiments.judging.protocol import Answer, ask, errors, mask_key, network_names
from experiments.judging.stretches import EvaluateConfig, cut, parts, read_people, see, spread
from experiments.judging.totals import Condition
from gated_lift import LoadedLifter, load_lifter
from gated_lift.occlusion import sample_mask
from solvers import Camera, TrajectoryConfig

METRICS = {"pa_mpjpe": "PA-MPJPE", "mpjpe": "MPJPE", "root_error": "root"}


@dataclasses.dataclass(frozen=True)
class ByKind:
    """Settings of the table."""

    checkpoint: tuple[str, ...]
    """Names of weights that ship, or checkpoint folders."""
    data: tuple[Path, ...]
    """Capture files (.npz), each judged by itself."""
    subjects: tuple[str, ...] = ()
    """Subjects to judge on; the validation split where none is named."""
    ratio: float = 0.5
    """Share of joints that are hidden the second time."""
    kernel_frames: int = 25
    """How long gaps are, as in Eq. 10."""
    stretches: int | None = None
    """Most stretches of each length and file, spread evenly over all; all by default."""
    turned: int = 32
    """Most stretches of each file that are turned by code, spread evenly, two seconds each."""
    seed: int = 0
    flip: bool = True
    """Average over each clip and its mirror image."""
    batch_people: int = 32
    """People lifted and placed at once; only memory depends on it."""
    output: Path = Path("runs/by_kind.md")
    """Where the table goes."""


RULES = {"ratio": SHARE, "kernel_frames": COUNT, "turned": WHOLE, "seed": SEED, "batch_people": COUNT}


class Frames(NamedTuple):
    """Errors on every frame of one file under one condition, over all of its stretches one after another.

    kinds: (n,), keys of `KINDS` and `TURNED`. errors: by name in `METRICS`, (n,) metres, NaN where there is
    none.
    fps: frames a second.
    """

    kinds: np.ndarray
    errors: dict[str, np.ndarray]
    fps: float

    def where(self, kind: int | None) -> np.ndarray:
        """(n,), frames of the kind, or all that were not turned by code."""
        return self.kinds < len(KINDS) if kind is None else self.kinds == kind

    def mean(self, metric: str, kind: int | None) -> float:
        """Millimetres, NaN where no frame is of the kind."""
        values = self.errors[metric][self.where(kind)]
        values = values[np.isfinite(values)]
        return 1000 * float(values.mean()) if values.size else float("nan")


@partial(jax.jit, static_argnames="fps")
def of_frames(answer: Answer, joints: jax.Array, fps: float) -> dict[str, jax.Array]:
    """Errors of N people on each of F frames, (N, F) metres; the root's is NaN for people without a path."""
    found = errors(answer.poses, jnp.where(answer.solved[:, None, None], answer.root, jnp.nan), joints, fps)
    return {name: found[name].mean(-1) if found[name].ndim == 3 else found[name] for name in METRICS}


def judge(config: ByKind, lifter: LoadedLifter, path: Path, console: Console) -> list[Frames]:
    """A file's people with nothing hidden, and with joints hidden one by one.

    Raises ValueError for settings out of range, and as `stretches.read_people` does.
    """
    check_numbers(config, RULES)
    if config.stretches is not None:
        check_numbers(config, {"stretches": COUNT})
    judged = EvaluateConfig((), (path,), config.subjects, seed=config.seed)
    clips = read_people(judged)
    floors = {clip.name: clip.floor_z for clip in clips}
    fps = clips[0].fps
    if any(clip.fps != fps for clip in clips):
        raise ValueError(f"data {path} holds clips at {sorted({clip.fps for clip in clips})} frames/s")
    pieces = cut(clips)
    # Their length, the pieces, and how they were turned.
    groups: list[tuple[int, list[Any], int | None]] = [
        (length, spread(some, config.stretches), None) for length, some in pieces.items()
    ]
    shortest = min(pieces)
    short = [(label, poses[:shortest]) for some in pieces.values() for label, poses in some]
    for kind in TURNED if config.turned else ():
        some = spread(short, config.turned)
        some = [(label, turned(poses, fps, kind, floors[label.clip])) for label, poses in some]
        groups.append((shortest, some, kind))
    kinds = [
        kinds_of(poses, fps, floors[label.clip]) if kind is None else np.full(length, kind)
        for length, some, kind in groups
        for label, poses in some
    ]
    seen = [(length, see(judged, length, some, fps)) for length, some, _ in groups]
    conditions = [
        Condition("joints", 0.0, config.kernel_frames),
        Condition("joints", config.ratio, config.kernel_frames),
    ]
    batches = [
        (length, people, part, condition)
        for condition in conditions
        for length, people in seen
        for part in parts(len(people.labels), config.batch_people)
    ]
    found: dict[Condition, list[dict[str, np.ndarray]]] = {condition: [] for condition in conditions}
    for length, people, part, condition in track(batches, description=path.stem, console=console):
        mask = sample_mask(
            mask_key(config.seed, condition, length),
            people.missed.shape,
            condition.ratio,
            config.kernel_frames,
        )
        camera = Camera(people.focal[part], people.center[part])
        hidden = (people.missed | mask)[part]
        answer = ask(lifter, people.keypoints[part], hidden, camera, fps, TrajectoryConfig(), config.flip)
        # The last part is filled up with its first person again.
        count = len(np.unique(part))
        values = of_frames(answer, people.joints[part], fps)
        found[condition].append({name: np.asarray(each)[:count].ravel() for name, each in values.items()})
    return [
        Frames(
            np.concatenate(kinds),
            {name: np.concatenate([batch[name] for batch in each]) for name in METRICS},
            fps,
        )
        for each in found.values()
    ]


def table(
    config: ByKind, judged: Mapping[str, Sequence[Sequence[Frames]]]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows. judged: by network, for each file the two conditions of `judge`."""
    columns = ["network", "kind"]
    for path in config.data:
        columns += [f"{path.stem}: seconds", "PA-MPJPE", "MPJPE", "root"]
        columns += [f"{title}, {100 * config.ratio:.0f} % hidden" for title in ("PA-MPJPE", "root")]
    rows = []
    for network, files in judged.items():
        for kind, title in ((None, "all"), *KINDS.items(), *TURNED.items()):
            cells = [network, title]
            for seen, hidden in files:
                cells.append(f"{seen.where(kind).sum() / seen.fps:.0f}")
                values = [seen.mean(metric, kind) for metric in METRICS]
                values += [hidden.mean(metric, kind) for metric in ("pa_mpjpe", "root_error")]
                cells += ["–" if np.isnan(value) else f"{value:.0f}" for value in values]
            rows.append(cells)
    return columns, rows


NOTE = (
    "Millimetres, means over all frames of the kind. The kinds follow from the true motion and exclude each "
    "other, the first of the list that holds; a fast spin is a turn a second or more over a quarter of a "
    'second. The last rows, which "all" leaves out, are two seconds of the same people, turned by code.'
)


def run(config: ByKind) -> None:
    """Prints the table and writes it as Markdown."""
    console = reporting.console()
    names = network_names(config.checkpoint, ())
    judged = {}
    for name, checkpoint in zip(names, config.checkpoint, strict=True):
        lifter = load_lifter(checkpoint)
        judged[name] = [judge(config, lifter, path, console) for path in config.data]
    columns, rows = table(config, judged)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    reporting.report(console, columns, rows, config.output, names=2, after=[NOTE])
    console.print(f"wrote {config.output}")
