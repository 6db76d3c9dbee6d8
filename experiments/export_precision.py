"""How far joints are from where a BVH file puts them: the price of bones that keep one length.

    python -m experiments.export_precision

Two generated people walk across each other before a camera that stands still; bodies hide each other, a
detector model finds keypoints, the shipped weights lift them. Compared are the joints as they were lifted and
those of `gated_lift.exports.bvh`: forward kinematics of the rotations and lengths that it writes. That the
file holds these is for the tests, which read it back with bvhio."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.table import Table

from experiments import reporting
from experiments.commands import run_script
from gated_lift import load_lifter, recover
from gated_lift.cameras import VirtualCamera, sample_static_camera, world_to_camera
from gated_lift.exports.animation import animate
from gated_lift.exports.rig import place_joints
from gated_lift.networks import weights
from gated_lift.people import LiftedPeople
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.generated import crossing_pair
from gated_lift.synthetic.views import view
from solvers import Camera


@dataclass(frozen=True)
class PrecisionConfig:
    """Settings of the comparison."""

    frames: int = 300
    """Length of the scene, at 50 frames/s."""
    seed: int = 0
    """Seed of the two people, the camera and the detector's errors."""


def people_of(joints: np.ndarray, hidden: np.ndarray, camera: Camera, fps: float) -> LiftedPeople:
    """Joints (people, frames, 17, 3) in camera axes, in the carrier that exports take."""
    people, frames, _, _ = joints.shape
    present = np.all(np.isfinite(joints), axis=(-2, -1))
    return LiftedPeople(
        joints=joints,
        root=joints[:, :, 0],
        covariance=None,
        status=np.zeros(people, np.int32),
        present=present,
        residual=np.zeros((people, frames), np.float32),
        keypoints=np.zeros((*joints.shape[:-1], 2), np.float32),
        confidence=np.ones(joints.shape[:-1], np.float32),
        hidden=hidden,
        names=tuple(str(person) for person in range(people)),
        skeleton=H36M_17,
        fps=fps,
        times=np.arange(frames) / fps,
        axes="camera",
        camera=camera,
        extrinsics=None,
        image_size=(1000, 1000),
        source="generated",
    )


def errors_of(people: LiftedPeople) -> np.ndarray:
    """Millimetres between joints and what BVH makes of them, on everybody's frames, one row a frame."""
    errors = []
    for person in range(len(people.names)):
        lifted, told = (animate(people, person, rigid=rigid) for rigid in (False, True))
        placed = place_joints(told.rig, told.rotations, told.root, told.lengths[None])
        errors.append(1000 * np.linalg.norm(placed - lifted.joints, axis=-1)[told.there])
    return np.concatenate(errors)


def main() -> None:
    config = tyro.cli(PrecisionConfig, description=__doc__)
    console = reporting.console()
    clip = crossing_pair(config.frames, seed=config.seed)
    poses = jnp.asarray(clip.poses)
    camera_key, detector_key = jax.random.split(jax.random.key(config.seed))
    middle = poses[:, :, 0].mean(axis=(0, 1))
    camera, extrinsics = sample_static_camera(camera_key, middle, VirtualCamera(distance=(4.5, 5.5)))
    joints = world_to_camera(poses, extrinsics)
    coverage = body_occlusion(joints, H36M_17).coverage
    seen = view(detector_key, poses, camera, extrinsics, DetectorConfig(), clip.fps, H36M_17, coverage)
    hidden = np.asarray(seen.occluded)
    found = {"generated, rigid": np.asarray(joints)}
    lifter = load_lifter(weights.TWO_STREAM)
    for name, constant in (("lifted", False), ("lifted with constant_bones", True)):
        with console.status(name):
            recovery = recover(
                lifter, seen.keypoints, seen.occluded, camera, clip.fps, constant_bones=constant
            )
        found[name] = np.asarray(recovery.joints)
    table = Table(title="Joints in a BVH file against those that were lifted, mm")
    for title in ("people", "mean", "95 %", "most", "wrists and ankles, mean"):
        table.add_column(title, justify="left" if title == "people" else "right")
    for name, values in found.items():
        error = errors_of(people_of(values, hidden, camera, clip.fps))
        ends = error[:, [3, 6, 13, 16]]
        numbers = (error.mean(), np.percentile(error, 95), error.max(), ends.mean())
        table.add_row(name, *(f"{number:.3f}" for number in numbers))
    console.print(table)


if __name__ == "__main__":
    run_script(main)
