"""What to do about joints that a detector's format lacks, measured on the real sample of two people.

    python -m experiments.missing_joints --sample ../shared/data/detections_2d/pose2sim_twoperson.npz

Every format's keypoints are brought to Human3.6M's 17 joints twice: with midpoints in the place of missing
joints, and with missing joints hidden (`skeleton.convert`). Both are lifted with the shipped weights and
compared with the sample's triangulated reference, which is good to 2–3 cm. Formats that no detector of the
sample writes are made of BODY_25B's keypoints: the same detections, with the joints of that format. "native"
is the reference itself, projected: what perfect keypoints of all 17 joints give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
import tyro

import gated_lift
from experiments.commands import run_script
from experiments.reporting import console, report
from gated_lift import metrics
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import (
    BODY_25,
    BODY_25B,
    COCO_17,
    H36M_17,
    HALPE_26,
    MEDIAPIPE_33,
    Missing,
    Skeleton,
    convert,
)
from solvers import Camera

ARRAYS = ("openpose_man", "mediapipe", "ref3d_h36m", "K", "R", "t", "fps")


@dataclass(frozen=True)
class MissingJoints:
    """Compares midpoints with hidden joints, format by format.

    sample: the file of the two people. weights: of the lifters. threshold: of confidence, below which a
    keypoint is hidden. output: where the table goes.
    """

    sample: Path
    weights: tuple[str, ...] = ("small", "two_stream", "plain")
    threshold: float = 0.3
    output: Path = Path("missing_joints.md")


class View(NamedTuple):
    """One person in one camera. keypoints: (frames, joints, 3) of x, y, confidence. target: (frames, 17, 3)
    metres in the camera's axes.
    """

    skeleton: Skeleton
    keypoints: np.ndarray
    camera: Camera
    target: np.ndarray


def views(sample: dict[str, Any]) -> Iterator[tuple[str, View]]:
    """Every row of the table with each of its views."""
    for camera in range(2):
        matrix = sample["K"][camera]
        intrinsics = Camera(matrix[[0, 1], [0, 1]], matrix[:2, 2])
        # (frames, people, 17, 3)
        target = sample["ref3d_h36m"] @ sample["R"][camera].T + sample["t"][camera]
        man = sample["openpose_man"][camera].astype(np.float64)
        for skeleton in (BODY_25B, HALPE_26, BODY_25, COCO_17):
            view = View(skeleton, of_body_25b(man, skeleton), intrinsics, target[:, 0])
            yield f"{skeleton.name}, the man", view
        for person, name in enumerate(("the man, partly hidden", "the woman")):
            found = sample["mediapipe"][camera, :, person].astype(np.float64)
            yield f"mediapipe_33, {name}", View(MEDIAPIPE_33, found, intrinsics, target[:, person])
        for person, name in enumerate(("the man", "the woman")):
            seen = target[:, person] @ matrix.T
            pixels = np.concatenate([seen[..., :2] / seen[..., 2:], np.ones_like(seen[..., :1])], axis=-1)
            yield f"native, {name}", View(H36M_17, pixels, intrinsics, target[:, person])


def of_body_25b(found: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """BODY_25B's keypoints in another format, whose centres are the middles of hips and shoulders."""
    joints = {name: found[:, joint] for joint, name in enumerate(BODY_25B.names)}
    for name, part in (("hip", "hip"), ("neck_base", "shoulder")):
        pair = np.stack([joints[f"{side}_{part}"] for side in ("left", "right")])
        joints[name] = np.concatenate([pair[..., :2].mean(axis=0), pair[..., 2:].min(axis=0)], axis=-1)
    return np.stack([joints[name] for name in skeleton.names], axis=1)


def errors(lifter: Any, view: View, missing: Missing, fps: float, threshold: float) -> tuple[float, float]:
    """PA-MPJPE and the mean error of the root, in metres."""
    hidden = ~(view.keypoints[..., 2] >= threshold) | (view.keypoints[..., :2] == 0).all(axis=-1)
    keypoints, occluded = convert(
        np.nan_to_num(view.keypoints[..., :2]).astype(np.float32),
        hidden,
        view.skeleton,
        H36M_17,
        missing=missing,
    )
    found = gated_lift.recover(lifter, keypoints, occluded, view.camera, fps=fps, keep_absent=True)
    joints, target = np.asarray(found.joints), view.target
    known = np.isfinite(target).all(axis=(-1, -2)) & np.isfinite(joints).all(axis=(-1, -2))
    lifted, truth = (jnp.asarray(values[known], jnp.float32) for values in (joints, target))
    pose = metrics.pa_mpjpe(lifted, truth)
    root = metrics.root_error(lifted[:, 0], truth[:, 0])
    return float(np.mean(pose)), float(np.mean(root))


def compare(config: MissingJoints) -> None:
    """Prints the table and writes it as Markdown."""
    sample = read_npz(config.sample, ARRAYS)
    rows = []
    for weights in config.weights:
        lifter = gated_lift.load_lifter(weights)
        found: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for name, view in views(sample):
            for missing in get_args(Missing):
                row = found.setdefault(name, {}).setdefault(missing, [])
                row.append(errors(lifter, view, missing, float(sample["fps"]), config.threshold))
        for name, both in found.items():
            means = {missing: 1000 * np.mean(values, axis=0) for missing, values in both.items()}
            cells = [f"{means[missing][kind]:.0f}" for kind in range(2) for missing in get_args(Missing)]
            rows.append((weights, name, *cells))
    columns = (
        *("lifter", "keypoints"),
        *("PA-MPJPE, midpoints", "PA-MPJPE, hidden", "root, midpoints", "root, hidden"),
    )
    after = ["Millimetres, means over two cameras and 100 frames."]
    report(console(), columns, rows, config.output, names=2, after=after)


def main() -> None:
    compare(tyro.cli(MissingJoints, description=__doc__))


if __name__ == "__main__":
    run_script(main)
