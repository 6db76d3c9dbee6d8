"""What every keypoint format costs, on rendered detections; `experiments.rendered_formats` is the command.

The captures have no face. `HEAD` places the nose, the ears and the top of the head on the captured head.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from rich.progress import track

from experiments.checks import COUNT, SEED, SHARE, check_numbers, each
from experiments.judging.films import Film, film
from experiments.reporting import console, report
from gated_lift import H36M_17, LoadedLifter, MotionClip, Skeleton, load_lifter, metrics, recover
from gated_lift.occlusion import sample_mask
from gated_lift.readers import captures, motion
from gated_lift.skeleton import SKELETONS, Missing, convert

SECONDS = 4.0  # of every person
MASK_SECONDS = 0.5  # of noise that is filtered, which says how long gaps are

# Metres forward, to the left and up of the head's captured end, which lies about 0.09 m below the top of the
# skull: adults' heads in round numbers. Ears are 0.13 m below the top and 0.145 m apart; the tip of the nose
# is 0.02 m lower than they and 0.12 m before them.
HEAD = {
    "nose": (0.14, 0.0, -0.06),
    "left_ear": (0.02, 0.0725, -0.04),
    "right_ear": (0.02, -0.0725, -0.04),
    "top_of_head": (0.0, 0.0, 0.09),
}

# The captured joints and those of `HEAD`: what the detector is asked for.
SEEN = Skeleton(
    name="h36m_17 with a face",
    names=(*H36M_17.names, *HEAD),
    parents=(*H36M_17.parents, *(H36M_17.names.index("head"),) * len(HEAD)),
    left=(*H36M_17.left, H36M_17.num_joints + 1),
    right=(*H36M_17.right, H36M_17.num_joints + 2),
)


@dataclasses.dataclass(frozen=True)
class RenderedFormats:
    """Judges lifters on every format's joints of the same detections."""

    data: tuple[Path, ...]
    """Capture files (.npz); the people of their training split are seen, a stretch of 4 s each."""
    seen: tuple[Path, ...] = ()
    """Capture files that the weights were trained on: people who are in them are left out."""
    subjects: tuple[str, ...] = ()
    """Only these people, each with as many stretches as make up ``people``; by default everybody, once."""
    weights: tuple[str, ...] = ("two_stream", "plain")
    """Names of weights that ship, or checkpoint folders."""
    people: int = 40
    """Most people to judge."""
    hidden: tuple[float, ...] = (0.0, 0.5)
    """Shares of joints that are hidden besides those that the detector misses."""
    seed: int = 0
    """Of stretches, cameras, detections and masks."""
    output: Path = Path("rendered_formats.md")
    """Where the table goes."""


def read_people(config: RenderedFormats) -> MotionClip:
    """Stretches of `SECONDS` of clips that the seed chooses, as people of one clip: one of everybody, or of
    ``subjects`` as many of each.

    Raises ValueError for settings out of range and data without anybody who is left.
    """
    check_numbers(config, {"people": COUNT, "hidden": each(SHARE), "seed": SEED})
    known = {name for clip in motion.read_clips(config.seen) for name in clip.subject.split("+")}
    clips: dict[str, list[MotionClip]] = {}
    for clip in captures.split(motion.read_clips(config.data))[0]:
        long_enough = clip.poses.shape[1] >= round(SECONDS * clip.fps) + 1
        wanted = not config.subjects or clip.subject in config.subjects
        if long_enough and wanted and not known & set(clip.subject.split("+")):
            clips.setdefault(clip.subject, []).append(clip)
    if not clips:
        names = ", ".join(map(str, config.data))
        raise ValueError(f"data {names} has nobody for {SECONDS:g} seconds who is not in the files of seen")
    rng = np.random.default_rng(config.seed)
    people = []
    chosen = sorted(clips)[:: max(1, len(clips) // config.people)][: config.people]
    if config.subjects:
        chosen *= config.people // len(chosen)
    for subject in chosen:
        clip = clips[subject][rng.integers(len(clips[subject]))]
        frames = round(SECONDS * clip.fps) + 1
        start = rng.integers(clip.poses.shape[1] - frames + 1)
        people.append(clip._replace(poses=clip.poses[:1, start : start + frames]))
    rates = {clip.fps for clip in people}
    if len(rates) > 1:
        raise ValueError(f"data has clips of {sorted(rates)} frames a second: give files of one rate")
    return people[0]._replace(poses=np.concatenate([clip.poses for clip in people]), name="everybody")


def with_face(poses: Float[np.ndarray, "*batch 17 3"]) -> Float[np.ndarray, "*batch 21 3"]:
    """The captured joints and those of `HEAD`, in the order of `SEEN`; metres.

    Up is from the base of the skull to the head's end, left from the right shoulder to the left one,
    square to up, and forward is left × up.
    """
    neck, head, left, right = (
        poses[..., H36M_17.names.index(name), :]
        for name in ("neck", "head", "left_shoulder", "right_shoulder")
    )
    up = _unit(head - neck)
    across = left - right
    across = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    axes = np.stack([np.cross(across, up), across, up], axis=-2)
    face = head[..., None, :] + np.array(list(HEAD.values()), poses.dtype) @ axes
    return np.concatenate([poses, face], axis=-2)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def in_format(values: np.ndarray, hidden: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """(..., 21, dims) of `SEEN` as a format's joints; those that are not placed are zero and hidden.

    "head" is the head's captured end in Human3.6M's format, the top of the head in all others.
    """
    top = {} if skeleton == H36M_17 else {"head": "top_of_head"}
    names = [top.get(name, name) for name in skeleton.names]
    order = [SEEN.names.index(name) if name in SEEN.names else -1 for name in names]
    values = np.concatenate([values, np.zeros_like(values[..., :1, :])], axis=-2)
    hidden = np.concatenate([hidden, np.ones_like(hidden[..., :1])], axis=-1)
    return values[..., order, :], hidden[..., order]


class Case(NamedTuple):
    """formats: those whose joints become the same 17. given: by what is done about missing joints, keypoints
    (P, F, 17, 2) in pixels and which are hidden (P, F, 17); one entry for a format that lacks none.
    """

    formats: tuple[str, ...]
    given: dict[Missing, tuple[np.ndarray, np.ndarray]]


def cases(keypoints: np.ndarray, hidden: np.ndarray) -> list[Case]:
    """What each format makes of detections of `SEEN`: (P, F, 21, 2) in pixels and (P, F, 21)."""
    found: list[Case] = []
    for skeleton in SKELETONS.values():
        own, covered = in_format(keypoints, hidden, skeleton)
        ways: tuple[Missing, ...] = ("midpoint",) if skeleton == H36M_17 else get_args(Missing)
        given: dict[Missing, tuple[np.ndarray, np.ndarray]] = {}
        for missing in ways:
            values, occluded = map(
                np.asarray,
                convert(jnp.asarray(own), jnp.asarray(covered), skeleton, H36M_17, missing=missing),
            )
            given[missing] = np.where(occluded[..., None], 0, values), occluded
        for index, case in enumerate(found):
            if _same(case.given, given):
                found[index] = case._replace(formats=(*case.formats, skeleton.name))
                break
        else:
            found.append(Case((skeleton.name,), given))
    return found


def _same(
    first: dict[Missing, tuple[np.ndarray, np.ndarray]], second: dict[Missing, tuple[np.ndarray, np.ndarray]]
) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(one, other)
        for way in first
        for one, other in zip(first[way], second[way], strict=True)
    )


def errors(
    lifter: LoadedLifter, keypoints: np.ndarray, hidden: np.ndarray, seen: Film, fps: float
) -> np.ndarray:
    """PA-MPJPE and root error of every person, (2, P) millimetres."""
    found = recover(lifter, keypoints, hidden, seen.camera, fps, keep_absent=True)
    truth = jnp.asarray(seen.joints[..., : H36M_17.num_joints, :])
    pose = np.asarray(metrics.pa_mpjpe(found.poses, truth - truth[..., :1, :])).mean((1, 2))
    root = np.asarray(metrics.root_error(found.root, truth[..., 0, :])).mean(1)
    return 1000 * np.stack([pose, root])


def row(weights: str, share: float, case: Case, found: dict[Missing, np.ndarray]) -> list[str]:
    """One line of the table. found: by what was done about missing joints, the (2, P) of `errors`."""
    cells = [weights, ", ".join(case.formats), f"{100 * share:.0f}"]
    for kind in range(2):
        means = [f"{np.nanmean(values[kind]):.0f}" for values in found.values()]
        if len(found) == 1:
            cells += [*means, "", ""]
        else:
            apart = found["hidden"][kind] - found["midpoint"][kind]
            apart = apart[np.isfinite(apart)]
            error = f" ± {apart.std(ddof=1) / np.sqrt(len(apart)):.1f}" if len(apart) > 1 else ""
            cells += [*means, f"{apart.mean():+.1f}{error}" if len(apart) else "–"]
    return cells


def compare(config: RenderedFormats) -> None:
    """Prints the table and writes it as Markdown."""
    screen = console()
    people = read_people(config)
    seen = film(with_face(people.poses), people.fps, config.seed, SEEN)
    key, kernel = jax.random.key(config.seed + 1), max(1, round(MASK_SECONDS * people.fps))
    jobs = [
        (weights, lifter, share, case)
        for weights, lifter in ((weights, load_lifter(weights)) for weights in config.weights)
        for share in config.hidden
        for case in cases(
            seen.keypoints, seen.missed | np.asarray(sample_mask(key, seen.missed.shape, share, kernel))
        )
    ]
    rows = []
    for weights, lifter, share, case in track(jobs, description="judging", console=screen):
        found = {
            missing: errors(lifter, keypoints, hidden, seen, people.fps)
            for missing, (keypoints, hidden) in case.given.items()
        }
        rows.append(row(weights, share, case, found))
    kinds = [
        f"{kind}{column}"
        for kind in ("PA-MPJPE", "root")
        for column in (", midpoints", ", hidden", ", hidden − midpoints")
    ]
    after = [
        f"Millimetres, means over {len(people.poses)} people of {SECONDS:g} s, a camera each; ± is the "
        "standard error of the mean difference between the two ways on the same person."
    ]
    columns = ("lifter", "keypoints", "joints hidden, %", *kinds)
    report(screen, columns, rows, config.output, names=2, after=after)
