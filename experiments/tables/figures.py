"""The paper's figures that show data: masks (Fig. 4), and poses at the end of an occlusion (Fig. 5)."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import evaluate
from experiments.evaluate import EvaluateConfig
from gated_lift import checkpoints, metrics, pictures, pipeline
from gated_lift.occlusion import sample_mask
from gated_lift.scene import Scene
from gated_lift.skeleton import H36M_17 as SKELETON
from solvers import Camera

FPS = 50.0
# Frames of Fig. 5: how far from the last hidden one.
MOMENTS = (-40, -20, 0, 5, 15)


def masks(kernels: tuple[int, ...], path: Path, frames: int = 250, seed: int = 0) -> Path:
    """Random masks with half of the joints hidden (Eqs. 10, 11), one strip a K."""
    shape = (frames, SKELETON.num_joints)
    strips = [sample_mask(jax.random.key(seed), shape, 0.5, kernel) for kernel in kernels]
    titles = [f"K = {kernel} frames" for kernel in kernels]
    return pictures.draw_mask(np.stack([np.asarray(strip) for strip in strips]), path, SKELETON, FPS, titles)


def out_of_occlusion(
    data: tuple[Path, ...],
    lifters: Mapping[str, checkpoints.LoadedLifter],
    path: Path,
    people: int = 2,
    hidden_frames: int = 75,
) -> Path:
    """Validation people who are hidden whole for a second and a half, as every network lifts them.

    The people are the first of different subjects among the stretches of 300 frames: nobody chose them for
    their looks. Poses stand where the trajectory solve puts them, before the camera.
    """
    config = EvaluateConfig(checkpoint=(), data=data)
    length = evaluate.STRETCHES[0]
    stretches = evaluate.cut(evaluate.read_people(config))[length]
    first = {label.subject: index for index, (label, _) in reversed(list(enumerate(stretches)))}
    chosen = [stretches[index] for index in sorted(first.values())[:people]]
    seen = evaluate.see(config, length, chosen, FPS)
    start = length // 2 - hidden_frames // 2
    stop = start + hidden_frames
    inside = (np.arange(length) >= start) & (np.arange(length) < stop)
    occluded = seen.missed | jnp.asarray(inside)[None, :, None]
    camera = Camera(seen.focal, seen.center)
    scenes: dict[str, Scene] = {}
    for name, loaded in lifters.items():
        found = pipeline.recover(
            loaded.lifter, loaded.variables, seen.keypoints, occluded, camera, SKELETON, config.trajectory
        )
        aligned = metrics.pa_mpjpe(found.poses, seen.joints - seen.joints[..., :1, :])
        error = 1000 * float(jnp.mean(aligned[:, inside]))
        scenes[f"{name}, {error:.0f} mm while hidden"] = Scene(
            SKELETON,
            FPS,
            np.asarray(seen.keypoints),
            np.asarray(occluded),
            config.camera.width,
            config.camera.height,
            np.asarray(found.joints),
            np.asarray(seen.joints),
        )
    moments = [stop - 1 + offset for offset in MOMENTS]
    words = ["hidden" if inside[frame] else "seen" for frame in moments]
    titles = [
        f"{(frame - stop + 1) / FPS:+.1f} s, {word}" for frame, word in zip(moments, words, strict=True)
    ]
    return pictures.draw_sequences(scenes, moments, titles, path)
