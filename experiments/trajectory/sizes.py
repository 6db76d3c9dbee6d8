"""How far people's sizes, and with them their distances, are off: as lifted, and once more is known."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments import reporting
from experiments.checks import COUNT, NOT_NEGATIVE, SEED, SHARE, check_numbers, each
from gated_lift import LoadedLifter, MotionClip, load_lifter, metrics, recover
from gated_lift.cameras import VirtualCamera, camera_to_world, sample_static_camera
from gated_lift.occlusion import sample_mask
from gated_lift.pipeline import LIFTED_SIZE_STD
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import view
from gated_lift.video.floor import ANKLES
from gated_lift.video.size import FRAME_STD, HEIGHT_STD, Sizes, find_sizes, scaled_about, size_priors, stature
from solvers import Camera, Extrinsics, TrajectoryConfig

METRES = 5.0  # at which root errors are stated: what counts is their share of the distance


@dataclasses.dataclass(frozen=True)
class SizesConfig:
    """Errors of sizes and distances of people on one floor before a camera that stands still."""

    data: tuple[Path, ...]
    """Capture files (.npz)."""
    subjects: tuple[str, ...] = ()
    """Who is filmed; the validation split unless given."""
    checkpoint: str = "two_stream"
    """A name of the weights that ship, or a checkpoint folder."""
    frames: int = 200
    """Of every scene."""
    scenes: int = 20
    people: int = 3
    """In a scene, of different subjects where there are so many; from one clip each."""
    stature_std: float = 0.0
    """People are made larger and smaller by this share (a standard deviation), as adults are by 0.055."""
    tilt_error: float = 1.0
    """Degrees by which a tilt that is told is off, and its roll (standard deviations)."""
    ratios: tuple[float, ...] = (0.0, 0.5)
    """Shares of the joints that are hidden, K = 75 frames."""
    camera: VirtualCamera = VirtualCamera(
        width=1920, height=1080, focal=(1300.0, 1500.0), distance=(4.5, 7.0), elevation=(1.0, 2.5)
    )
    seed: int = 0
    output: Path = Path("runs/trajectory")
    """Folder for sizes.md."""


RULES = {
    "frames": COUNT,
    "scenes": COUNT,
    "people": COUNT,
    "stature_std": NOT_NEGATIVE,
    "tilt_error": NOT_NEGATIVE,
    "ratios": each(SHARE),
    "seed": SEED,
}


class Scene(NamedTuple):
    """People P on one floor (z = 0) before one camera. subjects: whose motion it is. joints (P, F, J, 3)
    true, camera axes. hidden: what the detector missed. extrinsics: one pose.
    """

    subjects: tuple[str, ...]
    keypoints: np.ndarray
    hidden: np.ndarray
    joints: np.ndarray
    camera: Camera
    extrinsics: Extrinsics


def read_clips(config: SizesConfig) -> list[MotionClip]:
    """Clips of single people that are long enough. Raises ValueError where nobody is left."""
    check_numbers(config, RULES)
    clips = motion.read_clips(config.data)
    if config.subjects:
        chosen = [clip for clip in clips if clip.subject in config.subjects]
    else:
        chosen = list(captures.split(clips)[1])
    chosen = [clip for clip in chosen if len(clip.poses) == 1 and clip.poses.shape[1] >= config.frames]
    if not chosen:
        raise ValueError(
            f"data {', '.join(map(str, config.data))} holds nobody of subjects "
            f"{', '.join(config.subjects) or 'held out'} for {config.frames} frames: give others, or fewer "
            "frames"
        )
    return chosen


def place(config: SizesConfig, clips: Sequence[MotionClip], rng: np.random.Generator) -> Any:
    """The subjects and poses (P, F, J, 3) of a scene: stretches of clips, turned and set down anywhere within
    two metres of the middle of the floor.
    """
    known = rng.permutation(sorted({clip.subject for clip in clips}))
    subjects = [str(known[number % len(known)]) for number in range(config.people)]
    poses = []
    for subject in subjects:
        own = [clip for clip in clips if clip.subject == subject]
        clip = own[rng.integers(len(own))]
        begin = rng.integers(clip.poses.shape[1] - config.frames + 1)
        pose = clip.poses[0, begin : begin + config.frames] - np.array([0, 0, clip.floor_z], np.float32)
        angle = rng.uniform(0, 2 * math.pi)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        ground = (pose[..., :2] - pose[:, 0, :2].mean(axis=0)) @ turn.T + rng.uniform(-1.8, 1.8, 2)
        size = math.exp(config.stature_std * rng.standard_normal())
        poses.append(size * np.concatenate([ground, pose[..., 2:]], axis=-1))
    return tuple(subjects), np.stack(poses).astype(np.float32)


def film(config: SizesConfig, clips: Sequence[MotionClip]) -> list[Scene]:
    """The scenes, which the seed alone decides."""
    rng = np.random.default_rng(config.seed)
    fps = clips[0].fps

    @jax.jit
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        middle = jnp.array([0.0, 0.0, 0.9], jnp.float32)
        camera, extrinsics = sample_static_camera(camera_key, middle, config.camera)
        seen = view(detector_key, poses, camera, extrinsics, DetectorConfig(), fps, SKELETON)
        return seen.keypoints, seen.occluded, seen.joints, camera, extrinsics

    scenes = []
    for number in range(config.scenes):
        subjects, poses = place(config, clips, rng)
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        scenes.append(Scene(subjects, *jax.tree.map(np.asarray, look(key, jnp.asarray(poses)))))
    return scenes


class Lifted(NamedTuple):
    """A scene as it was lifted, metres in camera axes, and what of it was hidden."""

    scene: Scene
    joints: np.ndarray
    root: np.ndarray
    hidden: np.ndarray


def lift(
    config: SizesConfig, lifter: LoadedLifter, scenes: list[Scene], ratio: float, fps: float
) -> list[Lifted]:
    found = []
    for number, scene in enumerate(scenes):
        hidden = scene.hidden
        if ratio > 0:
            key = jax.random.fold_in(jax.random.key(config.seed + 1), number)
            hidden = hidden | np.asarray(sample_mask(key, hidden.shape, ratio, 75))
        huber = TrajectoryConfig(loss="huber")
        answer = recover(
            lifter, scene.keypoints, hidden, scene.camera, fps, trajectory=huber, keep_absent=True
        )
        joints, root = np.asarray(answer.joints), np.asarray(answer.root)
        if np.isfinite(root).all():
            found.append(Lifted(scene, joints, root, hidden))
    return found


def best_scales(lifted: Lifted) -> np.ndarray:
    """(P,) the single scale a clip by which a person's distance is right, in the median."""
    true, found = (np.linalg.norm(each, axis=-1) for each in (lifted.scene.joints[:, :, 0], lifted.root))
    return np.exp(np.median(np.log(true / found), axis=1))


WAYS = (
    "as lifted",
    "floor, nothing told",
    "floor, tilt told",
    "floor, camera's pose known",
    "floor, tilt and camera's height told",
    "floor, tilt and one person's height told",
    "everybody's height told",
    "floor, tilt and everybody's height told",
    "best single scale a clip",
)


def sizes_by(way: str, lifted: Lifted, tilt_error: np.ndarray, fps: float) -> Sizes:
    """What one of `WAYS` makes of a scene. tilt_error: radians about the camera's x and z."""
    scene, people = lifted.scene, len(lifted.root)
    names = tuple(map(str, range(people)))
    heights: dict[str, float] = {}
    told = people if "everybody's height" in way else int("one person's" in way)
    if told:
        tall = stature(scene.joints, SKELETON)
        heights = {name: float(tall[int(name)]) for name in names[:told]}
    measured = stature(lifted.joints, SKELETON)
    mean, std = size_priors(heights, names, measured, LIFTED_SIZE_STD, np.zeros(people))
    if way == WAYS[-1]:
        return Sizes(best_scales(lifted), np.full(people, math.nan), math.nan)
    if not way.startswith("floor"):
        return Sizes(np.exp(mean), std, math.nan)
    known = mean, std, SKELETON, fps
    if "pose known" in way:
        world = np.asarray(camera_to_world(jnp.asarray(lifted.joints), scene.extrinsics))
        return find_sizes(world, lifted.hidden, *known, extrinsics=scene.extrinsics)
    up = None
    if "tilt" in way:
        up = scene.extrinsics.rotation[0, :, 2].astype(np.float64)
        up = up + np.cross([tilt_error[0], 0.0, tilt_error[1]], up)
        up /= np.linalg.norm(up)
    height = float(scene.extrinsics.position[0, 2]) if "camera's height" in way else None
    return find_sizes(lifted.joints, lifted.hidden, *known, up=up, camera_height=height)


class Row(NamedTuple):
    """One way under one ratio, over all people. root: mean error at `METRES`, mm. between: mean error of the
    distance between two people of a scene along the ray, mm. slide: mm/s that standing feet slide. size: mean
    and standard deviation of the log of found over true scale, %. stated: mean deviation that is stated, %,
    and the root mean square of errors over it.
    """

    ratio: float
    way: str
    root: float
    between: float
    slide: float
    bias: float
    size: float
    stated: float
    over_stated: float


def judge(way: str, ratio: float, scenes: Sequence[Lifted], tilt_errors: np.ndarray, fps: float) -> Row:
    errors: list[np.ndarray] = []
    between: list[float] = []
    slides: list[np.ndarray] = []
    logs: list[np.ndarray] = []
    stds: list[np.ndarray] = []
    ankles = np.array([SKELETON.names.index(name) for name in ANKLES])
    for lifted, tilt_error in zip(scenes, tilt_errors, strict=True):
        scene = lifted.scene
        sizes = sizes_by(way, lifted, tilt_error, fps)
        root = scaled_about(lifted.root, np.zeros((1, 3)), sizes.scale)
        true = scene.joints[:, :, 0]
        distance = np.linalg.norm(true, axis=-1)
        errors.append(METRES * np.linalg.norm(root - true, axis=-1) / distance)
        off = np.linalg.norm(root, axis=-1) - distance
        between += [np.abs(off[a] - off[b]).mean() for a in range(len(off)) for b in range(a)]
        feet = scaled_about(lifted.joints[:, :, ankles], np.zeros((1, 3)), sizes.scale)
        in_world, true_world = (
            camera_to_world(jnp.asarray(each, jnp.float32), scene.extrinsics)
            for each in (feet, scene.joints[:, :, ankles])
        )
        stands = np.asarray(metrics.foot_contact(true_world, fps))
        slides.append(np.asarray(metrics.foot_slide(in_world, fps))[stands])
        logs.append(np.log(sizes.scale / best_scales(lifted)))
        stds.append(sizes.std)
    log, std = np.concatenate(logs), np.concatenate(stds)
    return Row(
        ratio,
        way,
        1000 * float(np.mean(errors)),
        1000 * float(np.mean(between)) if between else math.nan,
        1000 * float(np.concatenate(slides).mean()),
        100 * float(log.mean()),
        100 * float(log.std()),
        100 * float(std.mean()),
        float(np.sqrt(np.mean((log / std) ** 2))),
    )


def constants(scenes: Sequence[Lifted], ratio: float) -> list[str]:
    """What the constants of `video.size` rest on, of these people: one row of the second table."""
    logs = np.concatenate([np.log(best_scales(lifted)) for lifted in scenes])
    tall = np.concatenate(
        [
            np.log(best_scales(each) * stature(each.joints, SKELETON) / stature(each.scene.joints, SKELETON))
            for each in scenes
        ]
    )
    frame = []
    for lifted in scenes:
        true, found = (np.linalg.norm(each, axis=-1) for each in (lifted.scene.joints[:, :, 0], lifted.root))
        frame.append(np.log(true / found) - np.log(best_scales(lifted))[:, None])
    spreads = (logs, tall, np.concatenate(frame).ravel())
    middles = [f"{100 * np.mean(values):+.1f}" for values in spreads[:2]]
    # Of the middle of the values, as if they were normal: a few who lie down or crouch are not to decide.
    around = [f"{100 * 1.4826 * np.median(np.abs(values - np.median(values))):.1f}" for values in spreads]
    return [f"{100 * ratio:.0f} %", middles[0], around[0], middles[1], around[1], around[2]]


def run_sizes(config: SizesConfig) -> list[Row]:
    """Prints, writes and returns one row for each share of hidden joints and each of `WAYS`."""
    console = reporting.console()
    clips = read_clips(config)
    fps = clips[0].fps
    lifter = load_lifter(config.checkpoint)
    scenes = film(config, clips)
    rows, rests = [], []
    for ratio in track(config.ratios, description="lifting", console=console):
        lifted = lift(config, lifter, scenes, ratio, fps)
        drawn = np.random.default_rng(config.seed).standard_normal((len(lifted), 2))
        errors = math.radians(config.tilt_error) * drawn
        rows += [judge(way, ratio, lifted, errors, fps) for way in WAYS]
        rests.append(constants(lifted, ratio))
    publish(config, rows, rests, scenes, console)
    return rows


def publish(
    config: SizesConfig, rows: Sequence[Row], rests: list[list[str]], scenes: list[Scene], console: Console
) -> None:
    config.output.mkdir(parents=True, exist_ok=True)
    subjects = sorted({subject for scene in scenes for subject in scene.subjects})
    console.print(f"{len(scenes)} scenes of {config.people} people of subjects {', '.join(subjects)}")
    columns = (
        "hidden",
        "sizes from",
        f"root at {METRES:g} m",
        "between two people",
        "foot slide, mm/s",
        "size: mean error",
        "deviation",
        "stated",
        "error over stated",
    )
    lines = [
        [
            f"{100 * row.ratio:.0f} %",
            row.way,
            f"{row.root:.0f}",
            f"{row.between:.0f}",
            f"{row.slide:.0f}",
            f"{row.bias:+.1f} %",
            f"{row.size:.1f} %",
            "–" if math.isnan(row.stated) else f"{row.stated:.1f} %",
            "–" if math.isnan(row.stated) else f"{row.over_stated:.2f}",
        ]
        for row in rows
    ]
    reporting.report(console, columns, lines, config.output / "sizes.md", names=2)
    titles = ("hidden", "lifted size: mean", "deviation", "known height: mean", "deviation", "frame by frame")
    console.print(
        f"in %, of distances that are right: what LIFTED_SIZE_STD ({100 * LIFTED_SIZE_STD:g}), HEIGHT_STD "
        f"({100 * HEIGHT_STD:g}) and FRAME_STD ({100 * FRAME_STD:g}) stand for"
    )
    reporting.report(console, titles, rests, config.output / "sizes_constants.md")
    console.print(f"wrote {config.output / 'sizes.md'} and {config.output / 'sizes_constants.md'}")
