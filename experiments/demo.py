"""Two people walk around each other before a hand-held camera and hide each other; each is recovered in 3D.

    python -m experiments.demo

Needs no data and no network: the people are generated (`gated_lift.synthetic.generated`), the weights ship
with the project. Hidden joints follow from the bodies (limbs as capsules between the joint and the camera),
detections from a detector model, and a person of whom the detector sees less than half is lost altogether.
The two-stream gated network, and its rival (a plain convolution trained without occlusion and fed
interpolated gaps), lift the same keypoints; the same solve places both."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.table import Table

from experiments import reporting
from experiments.commands import run_script
from gated_lift import Recovery, load_lifter, metrics, recover, solved
from gated_lift.cameras import HandheldCamera, VirtualCamera, sample_handheld_camera, world_to_camera
from gated_lift.drawing import pictures, player
from gated_lift.drawing.scene import Scene as DrawnScene
from gated_lift.networks import weights
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import generated
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import View, view
from solvers import Camera, Status, describe_status

VIEW = VirtualCamera(distance=(4.5, 5.5), elevation=(1.3, 1.6), aim_jitter=(0.1, 0.05))
DETECTED_SHARE = 0.5


@dataclass(frozen=True)
class DemoConfig:
    """Settings of the demo."""

    frames: int = 400
    """Length of the scene, at 50 frames/s."""
    seed: int = 0
    """Seed of the two people and of the detector's errors."""
    camera_seed: int = 0
    """Seed of the hand-held camera; others see the scene from elsewhere."""
    output: Path = Path("outputs")
    """Folder for demo.png and demo.html."""


class Scene(NamedTuple):
    """camera: intrinsics. seen: what the detector found, (2, F, J, ...), with the true camera-space
    joints."""

    camera: Camera
    seen: View
    fps: float


def film(config: DemoConfig) -> Scene:
    """Generates the two people and films them."""
    clip = generated.circling_pair(frames=config.frames, seed=config.seed)
    poses = jnp.asarray(clip.poses)
    camera_key, detector_key = jax.random.split(jax.random.key(config.camera_seed))
    camera, extrinsics = sample_handheld_camera(
        camera_key, poses[:, :, 0].mean(axis=0), clip.fps, HandheldCamera(view=VIEW)
    )
    joints = world_to_camera(poses, extrinsics)
    coverage = body_occlusion(joints, SKELETON).coverage
    seen = view(
        jax.random.fold_in(detector_key, config.seed),
        poses,
        camera,
        extrinsics,
        DetectorConfig(),
        clip.fps,
        SKELETON,
        coverage,
    )
    lost = jnp.mean(seen.occluded, axis=-1, keepdims=True) > 1 - DETECTED_SHARE
    return Scene(camera, seen._replace(occluded=seen.occluded | lost), clip.fps)


class Errors(NamedTuple):
    """Millimetres, for one person; ``hidden`` means the frames on which every joint is hidden."""

    pa_mpjpe: float
    pa_mpjpe_hidden_joints: float
    n_mpjpe_absolute: float
    root: float
    root_hidden: float


def measure(found: Recovery, seen: View, person: int) -> Errors:
    joints, occluded = seen.joints[person], seen.occluded[person]
    aligned = metrics.pa_mpjpe(found.poses[person], joints - joints[:, :1])
    root = metrics.root_error(found.root[person], joints[:, 0])
    errors = (
        metrics.masked_mean(aligned),
        metrics.masked_mean(aligned, occluded),
        metrics.masked_mean(metrics.n_mpjpe(found.joints[person], joints)),
        metrics.masked_mean(root),
        metrics.masked_mean(root, metrics.fully_hidden(occluded)),
    )
    return Errors(*(1000 * float(error) for error in errors))


def main() -> None:
    config = tyro.cli(DemoConfig, description=__doc__)
    console = reporting.console()
    with console.status("filming two generated people"):
        scene = film(config)
    found: dict[str, Recovery] = {}
    for name, path in (("two-stream gated", weights.TWO_STREAM), ("plain, the rival", weights.PLAIN)):
        with console.status(f"lifting and placing both people: {name}"):
            found[name] = recover(
                load_lifter(path), scene.seen.keypoints, scene.seen.occluded, scene.camera, scene.fps
            )

    hidden = np.asarray(metrics.fully_hidden(scene.seen.occluded)).sum(axis=1) / scene.fps
    share = 100 * np.asarray(scene.seen.occluded).mean(axis=(1, 2))
    table = Table(title="Errors in mm against the generated truth")
    table.add_column("person")
    table.add_column("network")
    for title in ("PA-MPJPE", "of hidden joints", "N-MPJPE absolute", "root", "root, fully hidden"):
        table.add_column(title, justify="right")
    for person in range(2):
        for name, recovery in found.items():
            if not bool(solved(recovery.status[person])):
                status = Status(int(recovery.status[person]))
                console.print(
                    f"person {person + 1}, {name}: {status.name.lower()}. {describe_status(status)}"
                )
            errors = measure(recovery, scene.seen, person)
            table.add_row(
                str(person + 1), name, *("–" if np.isnan(error) else f"{error:.0f}" for error in errors)
            )
    for person in range(2):
        console.print(
            f"person {person + 1}: {share[person]:.0f} % of joints hidden, "
            f"{hidden[person]:.2f} s not seen at all"
        )
    console.print(table)

    ours, rival = found.values()
    truth = scene.seen.joints - scene.seen.joints[..., :1, :]
    totals = [1000 * float(metrics.masked_mean(metrics.pa_mpjpe(r.poses, truth))) for r in (ours, rival)]
    title = f"PA-MPJPE {totals[0]:.0f} mm gated, {totals[1]:.0f} mm plain"
    drawn = DrawnScene(
        skeleton=SKELETON,
        fps=scene.fps,
        keypoints=np.asarray(scene.seen.keypoints),
        occluded=np.asarray(scene.seen.occluded),
        width=VIEW.width,
        height=VIEW.height,
        predicted=np.asarray(ours.joints),
        truth=np.asarray(scene.seen.joints),
        rival=np.asarray(rival.joints),
        rival_label="plain rival",
    )
    footnote = weights.LICENCE_SENTENCE
    with console.status("drawing"):
        picture = pictures.draw_demo(drawn, config.output / "demo.png", title, footnote)
        page = player.write_player(drawn, config.output / "demo.html", title, footnote)
    console.print(f"wrote {picture} and {page}")


if __name__ == "__main__":
    run_script(main)
