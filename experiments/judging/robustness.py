"""How `recover` does where videos differ from training; `experiments.robustness` is the command."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track

from experiments import reporting
from experiments.judging.films import Film, film
from gated_lift import H36M_17, LoadedLifter, MotionClip, load_lifter, metrics, recover
from gated_lift.cameras import VirtualCamera, up_of
from gated_lift.clips import resample
from gated_lift.occlusion import sample_mask
from gated_lift.readers import captures, motion
from gated_lift.recovery.observation import turn_to
from solvers import Camera, Status, project

SECONDS = 4.0  # of every person
RATES = (10.0, 25.0, 30.0, 50.0, 60.0, 120.0)
ANGLES = (0, 20, 33, 45)
WIDTHS = (1920, 640, 320)
TILTS = (0, 20, 40, 55)  # degrees below the horizon
ROLLS = (15, 30)
DISTANCE = 5.0  # metres over the ground, of tilted cameras
PARTS = {
    "whole": (),
    "knees and ankles never seen": (2, 3, 5, 6),
    "hips and legs never seen": (0, 1, 2, 3, 4, 5, 6),
    "left side never seen": (4, 5, 6, 11, 12, 13),
    "without spine, neck and head (COCO)": (7, 9, 10),
    "without spine and neck (Halpe)": (7, 9),
}


@dataclasses.dataclass(frozen=True)
class RobustnessConfig:
    """Settings of the study."""

    data: tuple[Path, ...]
    """Capture files (.npz); the people of their validation split are judged."""
    subjects: tuple[str, ...] = ()
    """People of any split in the place of the validation split, to choose settings on those whom training was
    kept from."""
    checkpoint: str = "small"
    """A name of the weights that ship, or a checkpoint folder."""
    people: int = 48
    """Most people to judge."""
    seed: int = 0
    output: Path = Path("runs/robustness")
    """Folder for robustness.md."""


class Row(NamedTuple):
    """pose, root: mm, over people with a path. flagged: share of people whose status is not CONVERGED."""

    what: str
    pose: float
    root: float
    flagged: float


def read_people(config: RobustnessConfig) -> list[MotionClip]:
    """One stretch of SECONDS of every clip that is long enough, of the validation split or of ``subjects``, a
    person each.
    """
    clips = motion.read_clips(config.data)
    if config.subjects:
        clips = tuple(clip for clip in clips if set(config.subjects) & set(clip.subject.split("+")))
    else:
        clips = captures.split(clips)[1]
    people = []
    for clip in clips:
        frames = round(SECONDS * clip.fps) + 1
        if clip.poses.shape[1] >= frames:
            people += [clip._replace(poses=poses[None, :frames]) for poses in clip.poses]
    if not people:
        whom = f"of subjects {config.subjects}" if config.subjects else "of the validation split"
        raise ValueError(f"data {config.data} holds nobody {whom} for {SECONDS:g} seconds")
    step = max(1, len(people) // config.people)
    return people[::step][: config.people]


def film_at(
    people: Sequence[MotionClip], fps: float, seed: int, camera: VirtualCamera = VirtualCamera()
) -> Film:
    """Everybody at another frame rate, seen by the same cameras at every rate."""
    return film(np.concatenate([resample(clip, fps).poses for clip in people]), fps, seed, views=camera)


def turned(seen: Film, degrees: float) -> Film:
    """The same people and the same errors of the detector, before cameras turned away from them, with a lens
    of 700 px.
    """
    angle = math.radians(degrees)
    turn = np.array(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    axes = jnp.broadcast_to(jnp.asarray(turn, jnp.float32), (*seen.joints.shape[:2], 3, 3))
    joints = turn_to(jnp.asarray(seen.joints), axes)
    wide = seen.camera._replace(focal=np.full_like(seen.camera.focal, 700.0))
    error = seen.keypoints - np.asarray(project(jnp.asarray(seen.joints), seen.camera))
    share = (wide.focal / seen.camera.focal)[:, None, None]
    keypoints = np.asarray(project(joints, wide)) + share * np.where(seen.missed[..., None], 0, error)
    return Film(keypoints.astype(np.float32), seen.missed, np.asarray(joints), wide)


def scaled(seen: Film, scale: float) -> Film:
    """The same film in an image of another size."""
    camera = Camera(seen.camera.focal * scale, seen.camera.center * scale)
    return seen._replace(keypoints=(seen.keypoints * scale).astype(np.float32), camera=camera)


class Job(NamedTuple):
    """hidden: joints that are hidden besides what the detector missed, (P, F, J) or (J,). up: the vertical,
    if `recover` is told.
    """

    what: str
    seen: Film
    fps: float
    hidden: Any = False
    up: tuple[float, float, float] | None = None


def judge(lifter: LoadedLifter, job: Job) -> Row:
    seen = job.seen
    found = recover(
        lifter, seen.keypoints, seen.missed | job.hidden, seen.camera, job.fps, keep_absent=True, up=job.up
    )
    truth = jnp.asarray(seen.joints)
    pose = np.asarray(metrics.pa_mpjpe(found.poses, truth - truth[..., :1, :])).mean((1, 2))
    root = np.asarray(metrics.root_error(found.root, truth[..., 0, :])).mean(1)
    flagged = np.asarray(found.status) != int(Status.CONVERGED)
    return Row(job.what, 1000 * float(pose.mean()), 1000 * float(np.nanmean(root)), float(flagged.mean()))


def rolled(seen: Film, degrees: float) -> Film:
    """The same film from cameras rolled by so much, clockwise as their operators see it."""
    angle = math.radians(degrees)
    turn = np.array(
        [[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]], np.float32
    )
    center = seen.camera.center[:, None, None]
    keypoints = (seen.keypoints - center) @ turn[:2, :2].T + center
    return seen._replace(keypoints=keypoints.astype(np.float32), joints=seen.joints @ turn.T)


def height_of(degrees: float) -> float:
    """Metres above the floor of a camera that looks down so far at hips `DISTANCE` away."""
    return 0.9 + DISTANCE * math.tan(math.radians(degrees))


def steep_jobs(people: Sequence[MotionClip], fps: float, seed: int) -> list[Job]:
    """Everybody before level, tilted and rolled cameras, with and without being told which way is up."""
    jobs = []
    for degrees in TILTS:
        height = height_of(degrees)
        camera = VirtualCamera(
            distance=(DISTANCE, DISTANCE), elevation=(height, height), roll_std=0.0, aim_jitter=(0.0, 0.0)
        )
        seen = film_at(people, fps, seed, camera)
        up = up_of(math.radians(degrees))
        jobs.append(Job(f"{degrees} degrees down", seen, fps))
        jobs.append(Job(f"{degrees} degrees down, told so", seen, fps, up=up))
        for roll in ROLLS if degrees == TILTS[0] else ():
            up = up_of(0.0, math.radians(roll))
            jobs.append(Job(f"rolled by {roll} degrees", rolled(seen, roll), fps))
            jobs.append(Job(f"rolled by {roll} degrees, told so", rolled(seen, roll), fps, up=up))
    return jobs


def part_jobs(seen: Film, fps: float) -> list[Job]:
    """Everybody with parts of the body that are never seen."""
    numbers = np.arange(H36M_17.num_joints)
    return [Job(what, seen, fps, np.isin(numbers, joints)) for what, joints in PARTS.items()]


def mistakes(seen: Film) -> dict[str, np.ndarray]:
    """What people hand over by mistake the first time, as keypoints."""
    height = 2 * seen.camera.center[:, None, None, 1]
    upwards = np.stack([seen.keypoints[..., 0], height - seen.keypoints[..., 1]], axis=-1)
    return {
        "y upwards": upwards.astype(np.float32),
        "x and y exchanged": np.ascontiguousarray(seen.keypoints[..., ::-1]),
        "joints in another order": seen.keypoints[..., ::-1, :],
    }


def jobs_of(people: Sequence[MotionClip], seed: int) -> list[Job]:
    rate = people[0].fps
    films = {fps: film_at(people, fps, seed) for fps in (*RATES, rate)}
    plain = films[rate]
    jobs = [Job(f"{fps:g} frames a second", films[fps], fps) for fps in RATES]
    for fps in RATES:
        # Half a second of noise is filtered, so that gaps are as long in time at every rate.
        key, kernel = jax.random.key(seed + 1), max(1, round(0.5 * fps))
        mask = np.asarray(sample_mask(key, films[fps].missed.shape, 0.5, kernel))
        jobs.append(Job(f"{fps:g} frames a second, half of the joints hidden", films[fps], fps, mask))
    jobs += [Job(f"{angle} degrees off the axis", turned(plain, angle), rate) for angle in ANGLES]
    jobs += [Job(f"{width} px wide", scaled(plain, width / 1000), rate) for width in WIDTHS]
    jobs += steep_jobs(people, rate, seed)
    jobs += part_jobs(plain, rate)
    wrong = mistakes(plain).items()
    return jobs + [Job(what, plain._replace(keypoints=keypoints), rate) for what, keypoints in wrong]


def run(config: RobustnessConfig) -> list[Row]:
    """Prints, writes and returns the rows."""
    console = reporting.console()
    lifter = load_lifter(config.checkpoint)
    people = read_people(config)
    jobs = jobs_of(people, config.seed)
    rows = [judge(lifter, job) for job in track(jobs, description="judging", console=console)]
    config.output.mkdir(parents=True, exist_ok=True)
    columns = ("", "PA-MPJPE", "root", "not CONVERGED, %")
    lines = [[row.what, f"{row.pose:.1f}", f"{row.root:.0f}", f"{100 * row.flagged:.0f}"] for row in rows]
    path = config.output / "robustness.md"
    reporting.report(console, columns, lines, path)
    console.print(f"{len(people)} stretches of {SECONDS:g} s, a person each; wrote {path}")
    return rows
