"""What the studies see: couples of real dancers before hand-held cameras and a simulated detector."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.cameras import (
    Extrinsics,
    HandheldCamera,
    camera_to_world,
    sample_handheld_camera,
    world_to_camera,
)
from gated_lift.clips import MotionClip
from gated_lift.readers import captures, motion
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import bodies
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import view
from solvers import Camera


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """What every study films, and how its paths are solved."""

    data: tuple[Path, ...]
    """Capture files (.npz) that hold couples of both splits."""
    frames: int = 500
    """Length of a stretch; the rest of a clip is left out."""
    cameras: int = 2
    """Hand-held cameras that see every stretch."""
    gap_seconds: tuple[float, float] = (0.2, 4.0)
    """Shortest and longest full occlusion."""
    loss: str = "geman_mcclure"
    """What a joint's error costs, see `TrajectoryConfig`: squared, huber or geman_mcclure."""
    seed: int = 0
    handheld: HandheldCamera = dataclasses.field(default_factory=HandheldCamera)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    output: Path = Path("runs/trajectory")
    """Folder for the table and the figure."""


class Scene(NamedTuple):
    """People of equally long stretches, each seen by a hand-held camera that follows one of the couple.

    joints (N, F, J, 3) true, camera axes, metres; keypoints (N, F, J, 2) detected; occluded (N, F, J); gap
    (N, F): the whole person is hidden on purpose; camera and extrinsics: N of them, a pose a frame.
    """

    joints: jax.Array
    keypoints: jax.Array
    occluded: jax.Array
    gap: jax.Array
    camera: Camera
    extrinsics: Extrinsics

    @property
    def poses(self) -> jax.Array:
        return self.joints - self.root[:, :, None]

    @property
    def root(self) -> jax.Array:
        """(N, F, 3) in camera axes."""
        return self.joints[:, :, 0]

    @property
    def world_root(self) -> jax.Array:
        return camera_to_world(self.root[:, :, None], self.extrinsics)[:, :, 0]


def draw_gaps(
    rng: np.random.Generator, people: int, frames: int, fps: float, seconds: tuple[float, float]
) -> np.ndarray:
    """(people, frames): full occlusions, log-uniformly as long as ``seconds`` says, one to three seconds
    apart, and none at the ends of a stretch.
    """
    gap = np.zeros((people, frames), bool)
    for row in gap:
        begin = int(rng.uniform(1, 3) * fps)
        while True:
            length = round(np.exp(rng.uniform(*np.log(seconds))) * fps)
            if begin + length > frames - fps:
                break
            row[begin : begin + length] = True
            begin += length + int(rng.uniform(1, 3) * fps)
    return gap


def film(config: FilmConfig, clips: Sequence[MotionClip], seed: int) -> Scene:
    """Every couple's clip in stretches, each seen by several hand-held cameras."""
    fps, frames = clips[0].fps, config.frames
    stretches = np.stack(
        [
            clip.poses[:, begin : begin + frames]
            for clip in clips
            for begin in range(0, clip.poses.shape[1] - frames + 1, frames)
            for _ in range(config.cameras)
        ]
    )

    @jax.jit
    @jax.vmap
    def look(key: jax.Array, poses: jax.Array) -> tuple[Any, ...]:
        camera_key, detector_key = jax.random.split(key)
        camera, extrinsics = sample_handheld_camera(camera_key, poses[0, :, 0], fps, config.handheld)
        pose = jax.tree.map(lambda values: values[None], extrinsics)
        coverage = bodies.body_occlusion(world_to_camera(poses, pose), SKELETON).coverage
        seen = view(detector_key, poses, camera, pose, config.detector, fps, SKELETON, coverage)
        return seen.joints, seen.keypoints, seen.occluded, camera, extrinsics

    keys = jax.random.split(jax.random.key(seed), len(stretches))
    joints, keypoints, occluded, camera, extrinsics = look(keys, jnp.asarray(stretches))
    count = 2 * len(stretches)
    joints, keypoints, occluded = (
        values.reshape(count, *values.shape[2:]) for values in (joints, keypoints, occluded)
    )
    gap = draw_gaps(np.random.default_rng(seed), count, frames, fps, config.gap_seconds)
    twice = partial(jnp.repeat, repeats=2, axis=0)
    return Scene(
        joints,
        keypoints,
        occluded | gap[..., None],
        jnp.asarray(gap),
        jax.tree.map(twice, camera),
        jax.tree.map(twice, extrinsics),
    )


def read_couples(data: Sequence[Path]) -> tuple[list[MotionClip], list[MotionClip]]:
    """The clips of two people in the files, those of training and those of validation."""
    clips = motion.read_clips(data)
    training, validation = captures.split(clips)
    couples = [[clip for clip in part if len(clip.poses) == 2] for part in (training, validation)]
    if not all(couples):
        names = ", ".join(map(str, data))
        raise ValueError(f"data {names} lacks couples of the training or the validation split")
    return couples[0], couples[1]


def film_both(config: FilmConfig) -> tuple[Scene, Scene, float]:
    """Training and validation couples, and their frames a second."""
    training, validation = read_couples(config.data)
    return (
        film(config, training, 2 * config.seed),
        film(config, validation, 2 * config.seed + 1),
        training[0].fps,
    )
