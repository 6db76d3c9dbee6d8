"""A person's joints as an animated rig: what BVH and GLB have in common."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gated_lift.bones import constant_bones
from gated_lift.exports.axes import Up, turn_people
from gated_lift.exports.checks import nearest_frames, there
from gated_lift.exports.rig import Rig, build_rig, keep_lengths, solve_rotations
from gated_lift.people import LiftedPeople


class Animation(NamedTuple):
    """One person on the frames from the first to the last on which they are there; metres, y up.

    start: the clip's frame on which the animation's first stands.
    there: whether the person is there; a frame without them holds the nearest with them.
    joints: as they were lifted, or moved so that bones keep their lengths.
    lengths: one a bone, named by the joint that it leads to, 0 for the root.
    rotations: of the rig's nodes against their parents, quaternions x, y, z, w.
    """

    rig: Rig
    start: int
    there: Bool[np.ndarray, " frames"]
    joints: Float[np.ndarray, "frames joints 3"]
    lengths: Float[np.ndarray, " joints"]
    rotations: Float[np.ndarray, "frames nodes 4"]

    @property
    def root(self) -> Float[np.ndarray, "frames 3"]:
        return self.joints[:, self.rig.joint[0]]


def animate(people: LiftedPeople, person: int, rigid: bool) -> Animation:
    """The animation of one of the people, who has to be there on a frame at least.

    Bones have the lengths of `bones.constant_bones`, with hidden joints left out and others counted by their
    confidence. rigid: joints give way so that every bone has its length on every frame
    (`rig.keep_lengths`); otherwise they stay, and lengths are those of the rest pose only. Rotations follow
    `rig.solve_rotations`.
    """
    turned = turn_people(people, "y")
    usable = there(people)[person]
    first, last = np.flatnonzero(usable)[[0, -1]]
    cut = slice(first, last + 1)
    held = first + nearest_frames(usable[cut])
    joints = turned.joints[person, held].astype(np.float64)
    rig = build_rig(people.skeleton)
    lengths = _lengths(turned, person, usable)
    if rigid:
        joints = keep_lengths(rig.skeleton, joints, lengths)
    return Animation(
        rig=rig,
        start=int(first),
        there=usable[cut],
        joints=joints,
        lengths=lengths,
        rotations=solve_rotations(rig, joints),
    )


def only_y_up(up: Up | None, format: str) -> None:
    """Raises ValueError for another ``up`` than y, which is the format's own."""
    if up not in (None, "y"):
        raise ValueError(f"up is {up!r}, and readers of {format} take y as up: give 'y', programs turn it")


def bone_lengths_of(
    joints: Float[np.ndarray, "frames joints 3"], parents: tuple[int, ...]
) -> Float[np.ndarray, "frames joints"]:
    """The distance of every joint from its parent, 0 for the root."""
    above = [joint if parent < 0 else parent for joint, parent in enumerate(parents)]
    return np.linalg.norm(joints - joints[:, above], axis=-1)


def _lengths(people: LiftedPeople, person: int, usable: np.ndarray) -> np.ndarray:
    believed = np.where(people.hidden[person], 0, np.nan_to_num(people.confidence[person]))
    believed = np.maximum(np.where(usable[:, None], believed, 0), 0)
    # About the root: float32 has fewer digits of a joint that is far away.
    joints = people.joints[person] - people.joints[person, :, :1]
    rigid = np.asarray(
        constant_bones(jnp.asarray(joints, jnp.float32), people.skeleton, jnp.asarray(believed, jnp.float32))
    )
    return np.median(bone_lengths_of(rigid[usable], people.skeleton.parents), axis=0).astype(np.float64)
