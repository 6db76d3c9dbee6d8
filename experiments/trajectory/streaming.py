"""What the fixed-lag form loses against the whole clip, by its lag."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from rich.progress import track

from experiments import reporting
from experiments.reporting import report
from experiments.trajectory.film import FilmConfig, Scene, film, read_couples
from experiments.trajectory.noise import FITTED, Noise, noise_config, solve, truth
from gated_lift.cameras import Extrinsics
from gated_lift.drawing import charts
from solvers import TrajectoryConfig, feed, start_stream

# What `calibration` fits on the training split in world axes: docs/trajectory.md, section 2.


@dataclasses.dataclass(frozen=True)
class StreamingConfig(FilmConfig):
    """Root error of the fixed-lag form on the validation split: on the frame just fed, and `lag` later."""

    lags: tuple[int, ...] = (5, 12, 25, 50, 100)
    """Frames that an answer may be late."""
    noise: Noise = FITTED
    """What the weights stand for; the default is what `calibration` fitted."""
    world: bool = True
    """Smooth in world axes, the camera's motion being known; --no-world for camera axes."""


class Streamed(NamedTuple):
    """(N, F, 3): the root of every frame as it was when the frame was fed, and ``lag`` frames later, NaN
    where the clip ends before.
    """

    current: np.ndarray
    lagged: np.ndarray


def stream(scene: Scene, config: TrajectoryConfig, lag: int, world: bool, fps: float) -> Streamed:
    """The answers of a stream that is fed a scene frame by frame."""
    people, frames, joints, _ = scene.joints.shape
    state = start_stream(people, joints, scene.camera, config, lag=lag, moving=world, fps=fps)
    current, lagged = [], []
    clip = [np.asarray(v) for v in (scene.poses, scene.keypoints, scene.occluded, *scene.extrinsics)]
    for t in track(range(frames), f"lag {lag}", transient=True):
        poses, keypoints, occluded, rotation, position = (values[:, t] for values in clip)
        pose = Extrinsics(rotation, position) if world else None
        state, found = feed(state, poses, keypoints, occluded, extrinsics=pose)
        current.append(np.asarray(found.root))
        lagged.append(np.asarray(found.lagged))
    late = np.concatenate([lagged[lag:], np.full((min(lag, frames), people, 3), np.nan)])
    return Streamed(np.stack(current, axis=1), np.moveaxis(late, 0, 1))


def frames_until_seen(gap: np.ndarray) -> np.ndarray:
    """(N, F): for how many frames a gap goes on, 0 outside gaps; the end of a stretch ends no gap."""
    until = np.zeros(gap.shape)
    left = np.full(len(gap), np.inf)
    for t in reversed(range(gap.shape[1])):
        left = np.where(gap[:, t], left + 1, 0)
        until[:, t] = left
    return until


def run_streaming(config: StreamingConfig) -> list[tuple[str, float, float, float, float, float]]:
    """(which answer, root error in mm outside gaps, inside, its distance from the whole clip's answer in mm
    outside gaps, inside, and inside where the answer has seen the gap's end), printed and drawn. Frames at
    either end of a stretch, as many as the longest lag, are left out, so that all lags are judged on the
    same ones.
    """
    margin = max(config.lags)
    if config.frames <= 2 * margin:
        raise ValueError(f"frames is {config.frames}: pass more than twice the longest lag, {margin}")
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    _, clips = read_couples(config.data)
    scene, fps = film(config, clips, 2 * config.seed + 1), clips[0].fps
    root = np.asarray(truth(scene, config.world))
    whole = np.asarray(
        solve(scene, jnp.asarray(config.noise, jnp.float32), fps, config.world, config.loss).root
    )
    gap = np.asarray(scene.gap)
    judged = (np.arange(config.frames) >= margin) & (np.arange(config.frames) < config.frames - margin)
    sides = judged[None] & ~gap, judged[None] & gap
    until = frames_until_seen(gap)
    rows: list[tuple[str, float, float, float, float, float]] = []

    def judge(name: str, answer: np.ndarray, lag: int) -> None:
        error, apart = (1000 * np.linalg.norm(answer - other, axis=-1) for other in (root, whole))
        outside, inside, outside_apart, inside_apart = (
            float(np.nanmean(values[side])) for values in (error, apart) for side in sides
        )
        over = apart[sides[1] & (until <= lag)]
        over_apart = float(np.nanmean(over)) if over.size else np.nan
        rows.append((name, outside, inside, outside_apart, inside_apart, over_apart))

    settings = noise_config(config.noise, config.world, config.loss)
    for lag in config.lags:
        found = stream(scene, settings, lag, config.world, fps)
        if lag == config.lags[0]:
            judge("the frame just fed", found.current, 0)
        judge(f"{lag} frames ({1000 * lag / fps:.0f} ms) later", found.lagged, lag)
    judge("whole clip", whole, config.frames)

    headings = ["answer", "root outside gaps", "root inside gaps"]
    headings += ["from the whole clip's, outside", "inside", "inside, its end seen"]
    about = (
        f"{len(root)} people, frames {margin} to {config.frames - margin} of {config.frames} at {fps:g} fps; "
        f"{config.loss}, {'world' if config.world else 'camera'} axes, {config.noise}"
    )
    cells = [
        [name, *(f"{value:.1f} mm" if np.isfinite(value) else "–" for value in values)]
        for name, *values in rows
    ]
    report(console, headings, cells, config.output / "streaming.md", before=[about])
    seconds = [0.0, *(lag / fps for lag in config.lags)]
    figure = charts.draw_curves(
        {
            "inside gaps": (seconds, [row[2] for row in rows[:-1]]),
            "inside gaps, whole clip": (seconds, [rows[-1][2]] * len(seconds)),
            "outside gaps": (seconds, [row[1] for row in rows[:-1]]),
            "outside gaps, whole clip": (seconds, [rows[-1][1]] * len(seconds)),
        },
        config.output / "streaming.png",
        xlabel="how late the answer is (s)",
        ylabel="root error (mm)",
    )
    console.print(f"wrote {config.output / 'streaming.md'} and {figure}")
    return rows
