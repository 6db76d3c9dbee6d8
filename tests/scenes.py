"""Scenes that the tests of pictures and of the player draw, and a solve that finds nothing."""

import jax.numpy as jnp
import numpy as np

from gated_lift.drawing.scene import Scene
from gated_lift.skeleton import COCO_17, H36M_17
from solvers import TrajectorySolution

WIDTH, HEIGHT, FOCAL = 1920, 1080, 1145.0

# A standing H36M-17 figure, metres from the hip, camera axes: the head is up, at negative y.
STANDING = np.array(
    [
        *[(0, 0), (-0.13, 0), (-0.13, 0.45), (-0.13, 0.88), (0.13, 0), (0.13, 0.45), (0.13, 0.88)],
        *[(0, -0.24), (0, -0.5), (0, -0.6), (0, -0.72), (0.16, -0.45), (0.2, -0.18), (0.22, 0.07)],
        *[(-0.16, -0.45), (-0.2, -0.18), (-0.22, 0.07)],
    ]
)


def crossing_scene(frames: int = 60, fps: float = 50.0) -> Scene:
    """Person 1 walks in front of person 2, who is hidden around the middle; hidden keypoints are garbage."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, frames)
    truth = np.zeros((2, frames, 17, 3))
    for person, (sign, depth) in enumerate(((1, 3.6), (-1, 5.0))):
        root = np.stack([sign * (2.4 * t - 1.2), np.full(frames, 0.1), depth + 0.3 * np.sin(3 * t)], axis=-1)
        truth[person] = root[:, None] + np.concatenate([STANDING, np.zeros((17, 1))], axis=-1)
        swing = 0.3 * np.sin(2 * np.pi * t * frames / fps)
        truth[person, :, [3, 13], 0] += swing
        truth[person, :, [6, 16], 0] -= swing
    places = FOCAL * truth[..., :2] / truth[..., 2:] + np.array([WIDTH, HEIGHT]) / 2
    occluded = np.zeros((2, frames, 17), dtype=bool)
    occluded[1] = np.abs(places[1, ..., 0] - places[0, :, :1, 0]) < 100
    occluded[0, frames // 4 : frames // 2, 13] = True
    keypoints = places + rng.normal(0, 2, places.shape)
    keypoints[occluded] = rng.choice([np.nan, np.inf, -1e6, 5e3], size=(int(occluded.sum()), 2))
    drift = np.cumsum(rng.normal(0, 0.004, (2, frames, 1, 3)), axis=1)
    return Scene(
        skeleton=H36M_17,
        fps=fps,
        keypoints=keypoints,
        occluded=occluded,
        width=WIDTH,
        height=HEIGHT,
        predicted=truth + drift,
        truth=truth,
        rival=truth + 3 * drift,
        rival_label="plain convolution",
        true_keypoints=places,
    )


def odd_scenes():
    scene = crossing_scene()
    hidden = np.ones_like(scene.occluded)
    lost = np.full_like(scene.predicted, np.nan)
    three = {
        name: np.concatenate([getattr(scene, name)] * 2)[:3]
        for name in ("keypoints", "occluded", "predicted", "truth", "rival", "true_keypoints")
    }
    bare = {"truth": None, "rival": None, "true_keypoints": None}
    first = {name: value[:1] for name, value in three.items()}
    short = {name: value[:2, :1] for name, value in three.items()}
    return {
        "bare": scene._replace(**bare),
        "jax": scene._replace(keypoints=jnp.asarray(scene.keypoints), predicted=jnp.asarray(scene.predicted)),
        "all hidden": scene._replace(occluded=hidden, **bare),
        "nothing hidden": scene._replace(occluded=~hidden),
        "nothing recovered": scene._replace(predicted=lost, **bare),
        "one person": scene._replace(**first),
        "three people": scene._replace(**three),
        "one frame": scene._replace(**short),
        "coco": scene._replace(skeleton=COCO_17),
    }


def on_the_spot(poses, *_, **__):
    """In place of `solve_trajectory` where paths are not the matter: it is most of what is compiled."""
    people = jnp.zeros(poses.shape[0])
    frames = jnp.zeros(poses.shape[:2])
    return TrajectorySolution(
        jnp.zeros((*poses.shape[:2], 3)), people.astype(jnp.int32), people, people, residual=frames
    )
