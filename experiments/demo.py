"""Two people walk around a round counter before a hand-held camera; each is recovered in 3D.

    python -m experiments.demo

Needs no data and no network: the people are generated (`gated_lift.synthetic.generated`), the weights ship
with the project. The counter hides the legs of whoever walks behind it for a second or two, and the people
hide each other (limbs as capsules between the joint and the camera). Detections come from a detector model,
and a person of whom the detector sees less than a quarter is lost altogether. The two-stream gated network,
and its rival (a plain convolution trained without occlusion and fed interpolated gaps), lift the same
keypoints; the same solve places both.

The scene is made to show where gating matters: long gaps in a part of the body. It is one scene; the measure
are the tables of docs/results.md, over many people.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float
from rich.table import Table

from experiments import reporting
from experiments.commands import run_script
from gated_lift import Recovery, load_lifter, metrics, recover, solved
from gated_lift.cameras import (
    Extrinsics,
    HandheldCamera,
    VirtualCamera,
    sample_handheld_camera,
    world_to_camera,
)
from gated_lift.drawing import pictures, player
from gated_lift.drawing.scene import Scene as DrawnScene
from gated_lift.networks import weights
from gated_lift.occlusion import run_length
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import generated
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.views import View, view
from solvers import Camera, Status, describe_status, project

VIEW = VirtualCamera(distance=(4.5, 5.5), elevation=(1.3, 1.6), aim_jitter=(0.1, 0.05))
DETECTED_SHARE = 0.25
RADIUS = 0.9  # metres: of the circle on which the people walk
LONG_GAP = 1.0  # seconds
GAP_SHARE = (
    0.2  # the knees and ankles are 4 of 17 joints: a person without them counts as hidden in the picture
)


@dataclass(frozen=True)
class DemoConfig:
    """Settings of the demo."""

    frames: int = 400
    """Length of the scene, at 50 frames/s."""
    seed: int = 0
    """Seed of the two people and of the detector's errors."""
    camera_seed: int = 8
    """Seed of the hand-held camera; others see the scene from elsewhere. 8 is the first of 0, 1, 2, … before
    which both people walk behind the counter well within the scene, not as it begins or ends."""
    output: Path = Path("outputs")
    """Folder for demo.png and demo.html."""


class Counter(NamedTuple):
    """A solid cylinder that stands on the world's origin, metres."""

    radius: float = 0.6
    height: float = 1.0


COUNTER = Counter()


def covered(
    poses: Float[Array, "people frames joints 3"],
    positions: Float[Array, "frames 3"],
    counter: Counter = COUNTER,
    margin: float = 0.03,
) -> Float[Array, "people frames joints"]:
    """How far the counter hides each joint from the camera: smoothly from 0 to 1 as `body_occlusion` has it.

    The line of sight from the camera c to the joint x is inside the cylinder's walls for t₁ < t < t₂ of
    c + t (x − c), the roots of a quadratic in t, cut to 0…1. How deep it dips into the cylinder is the lesser
    of two distances: from where it comes nearest to the axis to the wall, and from its lower end to the top.
    poses, positions: world metres.
    """
    start = positions[None, :, None, :]
    way = poses - start
    square = jnp.sum(way[..., :2] ** 2, axis=-1)
    nearest = -jnp.sum(start[..., :2] * way[..., :2], axis=-1) / square
    away = jnp.sum(start[..., :2] ** 2, axis=-1) - nearest**2 * square  # squared, of the axis from the line
    half = jnp.sqrt(jnp.maximum(counter.radius**2 - away, 0) / square)
    enters, leaves = (jnp.clip(nearest + sign * half, 0, 1) for sign in (-1, 1))
    lower = start[..., 2] + jnp.minimum(enters * way[..., 2], leaves * way[..., 2])
    depth = jnp.minimum(counter.radius - jnp.sqrt(jnp.maximum(away, 0)), counter.height - lower)
    t = jnp.clip((jnp.where(enters < leaves, depth, -margin) + margin) / (2 * margin), 0, 1)
    return t**2 * (3 - 2 * t)


def outline(camera: Camera, extrinsics: Extrinsics, counter: Counter = COUNTER) -> Array:
    """Pixels of the counter's two rims on every frame, (F, 64, 2)."""
    angles = jnp.linspace(0, 2 * jnp.pi, 32, endpoint=False)
    rim = counter.radius * jnp.stack([jnp.cos(angles), jnp.sin(angles), jnp.zeros_like(angles)], axis=-1)
    rims = jnp.concatenate([rim, rim.at[:, 2].set(counter.height)])
    frames = len(extrinsics.position)
    return project(world_to_camera(jnp.broadcast_to(rims, (frames, *rims.shape)), extrinsics), camera)


class Scene(NamedTuple):
    """camera: intrinsics. seen: what the detector found, (2, F, J, ...), with the true camera-space
    joints. counter: its outline on the image, (F, 64, 2)."""

    camera: Camera
    seen: View
    fps: float
    counter: Array


def film(config: DemoConfig) -> Scene:
    """Generates the two people and films them."""
    clip = generated.circling_pair(frames=config.frames, seed=config.seed, radius=RADIUS)
    poses = jnp.asarray(clip.poses)

    @jax.jit  # one program: compiling its hundreds of operations one by one takes much longer
    def shoot() -> tuple[Camera, Extrinsics, View]:
        camera_key, detector_key = jax.random.split(jax.random.key(config.camera_seed))
        camera, extrinsics = sample_handheld_camera(
            camera_key, poses[:, :, 0].mean(axis=0), clip.fps, HandheldCamera(view=VIEW)
        )
        joints = world_to_camera(poses, extrinsics)
        by_bodies = body_occlusion(joints, SKELETON).coverage
        seen = view(
            jax.random.fold_in(detector_key, config.seed),
            poses,
            camera,
            extrinsics,
            DetectorConfig(),
            clip.fps,
            SKELETON,
            jnp.maximum(by_bodies, covered(poses, extrinsics.position)),
        )
        lost = jnp.mean(seen.occluded, axis=-1, keepdims=True) > 1 - DETECTED_SHARE
        return camera, extrinsics, seen._replace(occluded=seen.occluded | lost)

    camera, extrinsics, seen = shoot()
    return Scene(camera, seen, clip.fps, outline(camera, extrinsics))


class Errors(NamedTuple):
    """Millimetres: means over the joints of one or more people, PA-MPJPE first.

    hidden: of hidden joints; long_gap: of those that stay hidden for `LONG_GAP` or longer; seen: of all
    others. root_hidden: of the root on frames on which every joint of the person is hidden.
    """

    hidden: float
    long_gap: float
    seen: float
    n_mpjpe_absolute: float
    root: float
    root_hidden: float


def measure(found: Recovery, scene: Scene, person: int | slice = slice(None)) -> Errors:
    joints, occluded = scene.seen.joints[person], scene.seen.occluded[person]
    aligned = metrics.pa_mpjpe(found.poses[person], joints - joints[..., :1, :])
    root = metrics.root_error(found.root[person], joints[..., 0, :])
    long_gap = occluded & (run_length(occluded) >= round(LONG_GAP * scene.fps))
    errors = (
        metrics.masked_mean(aligned, occluded),
        metrics.masked_mean(aligned, long_gap),
        metrics.masked_mean(aligned, ~occluded),
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
    for name, path in (("two-stream gated", weights.SMALL), ("plain, the rival", weights.PLAIN)):
        with console.status(f"lifting and placing both people: {name}"):
            found[name] = recover(
                load_lifter(path), scene.seen.keypoints, scene.seen.occluded, scene.camera, scene.fps
            )

    gated, plain = found.values()
    ours, rival = measure(gated, scene), measure(plain, scene)
    console.print(
        f"Inside gaps, on hidden joints: PA-MPJPE {ours.hidden:.0f} mm gated, {rival.hidden:.0f} mm plain.\n"
        f"Elsewhere, on seen joints: {ours.seen:.0f} mm gated, {rival.seen:.0f} mm plain.\n"
        "A scene that was made for long gaps; docs/results.md measures both networks on many people."
    )
    table = Table(title="Errors in mm against the generated truth")
    table.add_column("person")
    table.add_column("network")
    for title in (
        *("PA-MPJPE, hidden joints", f"hidden {LONG_GAP:g} s or longer", "seen joints"),
        *("N-MPJPE absolute", "root", "root, fully hidden"),
    ):
        table.add_column(title, justify="right")
    for person in range(2):
        for name, recovery in found.items():
            if not bool(solved(recovery.status[person])):
                status = Status(int(recovery.status[person]))
                console.print(
                    f"person {person + 1}, {name}: {status.name.lower()}. {describe_status(status)}"
                )
            errors = measure(recovery, scene, person)
            table.add_row(
                str(person + 1), name, *("–" if np.isnan(error) else f"{error:.0f}" for error in errors)
            )
    share = 100 * np.asarray(scene.seen.occluded).mean(axis=(1, 2))
    lost = np.asarray(metrics.fully_hidden(scene.seen.occluded)).sum(axis=1) / scene.fps
    for person in range(2):
        console.print(
            f"person {person + 1}: {share[person]:.0f} % of joints hidden, "
            f"{lost[person]:.2f} s not seen at all"
        )
    console.print(table)

    title = (
        f"PA-MPJPE inside gaps {ours.hidden:.0f} mm gated, {rival.hidden:.0f} mm plain; "
        f"of seen joints {ours.seen:.0f} and {rival.seen:.0f} mm"
    )
    drawn = DrawnScene(
        skeleton=SKELETON,
        fps=scene.fps,
        keypoints=np.asarray(scene.seen.keypoints),
        occluded=np.asarray(scene.seen.occluded),
        width=VIEW.width,
        height=VIEW.height,
        predicted=np.asarray(gated.joints),
        truth=np.asarray(scene.seen.joints),
        rival=np.asarray(plain.joints),
        rival_label="plain rival",
        true_keypoints=np.asarray(project(scene.seen.joints, scene.camera)),
        hidden_share=GAP_SHARE,
        screen=np.asarray(scene.counter),
    )
    footnote = weights.LICENCE_SENTENCE
    with console.status("drawing"):
        picture = pictures.draw_demo(drawn, config.output / "demo.png", title, footnote)
        page = player.write_player(drawn, config.output / "demo.html", title, footnote)
    console.print(f"wrote {picture} and {page}")


if __name__ == "__main__":
    run_script(main)
