"""A small capture file, a network of random weights and one that knows the truth, to test evaluations."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from lifter_oracle import random_variables

from experiments.judging.stretches import EvaluateConfig
from gated_lift import LoadedLifter
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.readers.captures import JOINT_NAMES
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated
from solvers import normalize

LIFTER = TemporalLifter("two_stream", 8, (3, 3))
LENGTH = 20


def write(path, lengths=(45, 25, 20), subjects=("02", "05", "16"), fps=50.0):
    """A capture file of walks: two stretches of a validation subject, one of another, one of neither."""
    motion = generated.crossing_pair(frames=sum(lengths), fps=50.0, seed=0).poses[0]
    start = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
    np.savez_compressed(
        path,
        poses=np.round(motion / 2e-4).astype(np.int16),
        scale=np.float32(2e-4),
        start=start,
        length=np.array(lengths, np.int32),
        clip=np.array([f"{subject}_01" for subject in subjects]),
        subject=np.array(subjects),
        action=np.array(["walk"] * len(lengths)),
        fps=np.float32(fps),
        floor_z=np.zeros(len(lengths), np.float32),
        joint_names=np.array(JOINT_NAMES),
        parents=np.array(H36M_17.parents, np.int8),
        up_axis=np.array("z"),
        licence=np.array("free for all uses"),
        split=np.array(["validation" if subject in ("02", "05") else "train" for subject in subjects]),
    )
    return path


def write_files(folder):
    """A folder with captures and a network of random weights."""
    write(folder / "captures.npz")
    shapes = jax.eval_shape(
        lambda: LIFTER.init(jax.random.key(0), jnp.zeros((1, 9, 17, 2)), jnp.zeros((1, 9, 17), bool))
    )
    checkpoints.save(
        folder / "random" / "checkpoints",
        3,
        random_variables(shapes, 0, spread=0.3),
        {"network": checkpoints.describe_lifter(LIFTER)},
    )
    return folder


def config_for(folder, **changes):
    settings = {
        "checkpoint": (folder / "random" / "checkpoints",),
        "data": (folder / "captures.npz",),
        "ratios": (0.0, 0.5),
        "kernel_frames": (5,),
        "flip": False,
        "batch_people": 2,
    }
    return EvaluateConfig(**(settings | changes))


@dataclass(frozen=True)
class Knowing:
    """A network that finds people by what it is shown and says what it knows of them. Whatever differs from
    what it has been told it would be shown bends its answers, a metre for every unit.
    """

    num_joints: int = 17
    fps: float = 50.0
    fill: str = "interpolate"
    causal: bool = False
    target: str = "pose"
    receptive_field: int = 1
    padding: tuple[int, int] = (0, 0)
    flip_averaging: bool = False

    def check_settings(self):
        pass

    def training_form(self, chunk_frames, chunk_stride):
        return {}

    def lift_frames(self, variables, keypoints, occluded, age, length=None):
        visible = ~occluded[:, None, ..., None]
        known = variables["keypoints"][None]
        off = jnp.where(visible, jnp.abs(keypoints[:, None] - known), 0).mean((-1, -2, -3))
        person = jnp.argmin(off, axis=1)
        bent = jnp.asarray(np.random.default_rng(0).normal(size=(17, 3)), keypoints.dtype)
        bent = bent.at[0].set(0)[None, None] * jnp.min(off, axis=1)[:, None, None, None]
        return variables["poses"][person] + bent


def knowing(keypoints, camera, poses, focal=2.29):
    """Keypoints (N, F, 17, 2) in pixels of one camera a person, and what is to be said of them."""
    rays = normalize(jnp.asarray(keypoints), jax.tree.map(jnp.asarray, camera))
    variables = {"keypoints": focal * rays, "poses": jnp.asarray(poses)}
    return LoadedLifter(Knowing(), variables, H36M_17, focal, False, {})
