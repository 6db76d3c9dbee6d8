"""The paper's figures that show data: masks (Fig. 4), and poses at the end of an occlusion (Fig. 5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import runs as run_folders
from gated_lift import metrics, recover
from gated_lift.clips import runs
from gated_lift.drawing import charts, pictures
from gated_lift.drawing.scene import Scene
from gated_lift.networks import checkpoints
from gated_lift.occlusion import sample_mask
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.moving_pairs import MovingPair

# Kinds of scenes in Fig. 5, and its frames: how far from the last one on which nobody saw the person.
KINDS = ("around", "beside", "dance")
BEFORE, AFTER = 30, 15
MOMENTS = (-30, -15, 0, 5, 15)


def masks(kernels: tuple[int, ...], path: Path, frames: int = 250, seed: int = 0) -> Path:
    """Random masks with half of the joints hidden (Eqs. 10, 11), one strip a K."""
    shape = (frames, SKELETON.num_joints)
    strips = [sample_mask(jax.random.key(seed), shape, 0.5, kernel) for kernel in kernels]
    titles = [f"K = {kernel} frames" for kernel in kernels]
    return pictures.draw_mask(np.stack([np.asarray(strip) for strip in strips]), path, SKELETON, 50.0, titles)


def out_of_occlusion(
    pairs: Sequence[MovingPair], lifters: Mapping[str, checkpoints.LoadedLifter], path: Path
) -> Path:
    """Who is hidden whole for longest in each of `KINDS`, as every network lifts them while they come out.

    Poses stand where the trajectory solve puts them, before the camera. What is longest decides who is shown:
    nobody was chosen for their looks. Raises ValueError where a kind has nobody who is hidden long enough.
    """
    chosen = [longest_hiding([pair for pair in pairs if pair.kind == kind], kind) for kind in KINDS]

    def cut(values: np.ndarray | jax.Array, stop: int) -> np.ndarray:
        return np.asarray(values)[stop - 1 - BEFORE : stop + AFTER]

    scenes: dict[str, Scene] = {}
    for name, loaded in lifters.items():
        shown, errors = [], []
        for pair, person, stop in chosen:
            found = recover(
                loaded,
                pair.keypoints[person],
                pair.occluded[person],
                pair.camera,
                pair.fps,
                keep_absent=True,
            )
            joints = jnp.asarray(pair.joints[person])
            aligned = metrics.pa_mpjpe(found.poses, joints - joints[:, :1])
            errors.append(cut(aligned, stop).mean())
            arrays = (pair.keypoints[person], pair.occluded[person], found.joints, pair.joints[person])
            shown.append([cut(values, stop) for values in arrays])
        keypoints, occluded, predicted, truth = (np.stack(each) for each in zip(*shown, strict=True))
        first = chosen[0][0]
        scenes[f"{name}, {1000 * np.mean(errors):.0f} mm"] = Scene(
            SKELETON, first.fps, keypoints, occluded, first.width, first.height, predicted, truth
        )
    frames = [BEFORE + offset for offset in MOMENTS]
    fps = chosen[0][0].fps
    titles = [f"{offset / fps:+.1f} s, {'hidden' if offset <= 0 else 'seen'}" for offset in MOMENTS]
    return pictures.draw_sequences(scenes, frames, titles, path, KINDS)


def longest_hiding(pairs: Sequence[MovingPair], kind: str) -> tuple[MovingPair, int, int]:
    """(scene, person, past-the-last frame) of the longest stretch on which all joints are hidden, among those
    that leave room for the figure's frames.
    """
    hidings = [
        (stop - start, pair, person, stop)
        for pair in pairs
        for person in range(len(pair.occluded))
        for start, stop in runs(pair.occluded[person].all(axis=-1))
        if stop - start > BEFORE and stop + AFTER <= pair.occluded.shape[1]
    ]
    if not hidings:
        raise ValueError(f"pairs has nobody of kind {kind} who is hidden for more than {BEFORE} frames")
    _, pair, person, stop = max(hidings, key=lambda hiding: hiding[0])
    return pair, person, stop


def training_curves(folders: Mapping[str, Path], path: Path, smooth: int = 20) -> Path:
    """Training MPJPE of runs against their epochs, each point the mean of ``smooth`` lines of the log."""
    curves = {}
    for name, folder in folders.items():
        lines = run_folders.read_log(folder / run_folders.LOG)
        count = len(lines) // smooth * smooth
        epochs, errors = (
            np.array([line[key] for line in lines[:count]]).reshape(-1, smooth).mean(axis=1)
            for key in ("epoch", "train_mpjpe_m")
        )
        curves[name] = (epochs, 1000 * errors)
    return charts.draw_curves(curves, path, xlabel="epoch", ylabel="training MPJPE (mm)")
