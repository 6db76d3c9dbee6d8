"""What files of motion do not say: which joint a name means, what the unit is, which way is up, and where the
floor is.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from gated_lift.clips import MotionClip, validate
from gated_lift.skeleton import H36M_17
from gated_lift.video.size import ANKLE_HEIGHT, stature

Up = Literal["y", "z"]

# Of a clip whose file has no word for its licence.
NOT_SAID = "not said in the file: its owner's terms"

# What animation programs and captures call a joint of a limb, without its side and in small letters; a name
# that stands earlier is preferred. "LeftShoulder" is the collar bone of a rig that has a "LeftArm" too, and
# "LeftHip" no more than a branch where there is a "LeftUpLeg".
LIMBS = {
    "hip": ("upleg", "upperleg", "thigh", "hip"),
    "knee": ("leg", "lowerleg", "lowleg", "shin", "calf", "knee"),
    "ankle": ("foot", "ankle"),
    "shoulder": ("arm", "upperarm", "uparm", "shldr", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "elbow"),
    "wrist": ("hand", "wrist"),
}
SIDES = {"left": "l", "right": "r"}

# Metres a unit. CMU's skeletons, and the BVH files that were made of them, count in inches / 0.45.
UNITS = {"metres": 1.0, "inches / 0.45": 0.0254 / 0.45, "inches": 0.0254, "centimetres": 0.01, "mm": 0.001}
# A person's height, metres: no two units give one that is between these, but for a sliver.
SHORTEST, TALLEST, USUAL = 1.0, 2.3, 1.7

# How far feet and head have to agree with an axis, as a mean cosine, for it to be the vertical.
CLEARLY = 0.7
# A root that is farther from the origin, in metres, leaves too few digits for the joints.
FARTHEST = 10_000.0
# Characters of the list of names in a message.
LISTED = 400


def plain(names: Sequence[str]) -> list[str]:
    """Names in small letters and digits, without a namespace ("mixamorig:") and without what all names but
    the first, which may be a root of another kind, begin with ("Bip01_", "Character1_").
    """
    bare = [re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower()) for name in names]
    shared = min(bare[1:], default="")
    while not all(name.startswith(shared) for name in bare[1:]):
        shared = shared[:-1]
    return [name.removeprefix(shared) for name in bare]


def find(names: Sequence[str], choices: Sequence[str]) -> int | None:
    """The index of the first choice that is among the `plain` names."""
    return next((names.index(choice) for choice in choices if choice in names), None)


def find_limbs(names: Sequence[str]) -> dict[str, int]:
    """Indices of the limbs' joints by their names in `H36M_17`, of those that are among the `plain` names."""
    found = {}
    for side, letter in SIDES.items():
        for joint, words in LIMBS.items():
            numbered = [spelled for word in words for spelled in (word, f"{word}01")]
            choices = [
                choice
                for word in numbered
                for choice in (f"{side}{word}", f"{letter}{word}", f"{word}{side}", f"{word}{letter}")
            ]
            index = find(names, choices)
            if index is not None:
                found[f"{side}_{joint}"] = index
    return found


def listed(names: Sequence[str]) -> str:
    """Names on one line, cut where they are many."""
    line = " ".join(", ".join(names).split())
    return line if len(line) <= LISTED else f"{line[:LISTED]}… ({len(names)} in all)"


def find_unit(poses: Float[np.ndarray, "frames 17 3"], path: Path) -> tuple[str, float]:
    """The unit that makes somebody a person of `SHORTEST` to `TALLEST` metres: its name and metres a unit.
    Raises ValueError where none does.
    """
    (tall,) = stature(poses[None], H36M_17)
    fitting = {name: unit for name, unit in UNITS.items() if SHORTEST <= tall * unit <= TALLEST}
    if not fitting:
        raise ValueError(
            f"{path}: its skeleton is {tall:.4g} units tall, which is a person of {SHORTEST} to {TALLEST} m "
            f"in none of {', '.join(UNITS)}: give the reader the unit, in metres"
        )
    name = min(fitting, key=lambda each: abs(np.log(tall * fitting[each] / USUAL)))
    return name, fitting[name]


def vertical(ascent: Float[np.ndarray, "frames 3"]) -> Up | None:
    """The axis that points up, of vectors from the feet to the head; None where they favour neither y nor z,
    as those of a person who lies or turns over.
    """
    length = np.linalg.norm(ascent, axis=-1, keepdims=True)
    mean = np.mean(ascent / np.where(length > 0, length, 1), axis=0)
    clear: dict[float, Up] = {float(mean[1]): "y", float(mean[2]): "z"}
    best = max(clear)
    return clear[best] if best > CLEARLY else None


def ascents(poses: Float[np.ndarray, "frames 17 3"]) -> Float[np.ndarray, "frames 3"]:
    """From the middle of the ankles to the head."""
    left, right, head = (H36M_17.names.index(name) for name in ("left_ankle", "right_ankle", "head"))
    return poses[:, head] - (poses[:, left] + poses[:, right]) / 2


def turned(points: Float[np.ndarray, "*batch 3"], up: Up) -> Float[np.ndarray, "*batch 3"]:
    """Points with z up, of points with y or z up; right-handed axes stay so."""
    if up == "z":
        return points
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def in_float32(
    poses: Float[np.ndarray, "people frames 17 3"], path: Path
) -> Float32[np.ndarray, "people frames 17 3"]:
    """Poses in metres as clips hold them. Raises ValueError for bones without length, and for joints that are
    not finite or kilometres away.
    """
    reach = np.abs(poses).max()
    if not reach <= FARTHEST:
        raise ValueError(
            f"{path}: joints are {reach:.4g} m from the origin, more than {FARTHEST:g}: move them to it"
        )
    for parent, child in H36M_17.bones:
        if np.median(np.linalg.norm(poses[:, :, child] - poses[:, :, parent], axis=-1)) < 0.01:
            raise ValueError(
                f"{path}: {H36M_17.names[child]} stands where {H36M_17.names[parent]} does, so that bone has "
                "no length: give a skeleton whose joints are apart"
            )
    return poses.astype(np.float32)


def floor_below(poses: Float[np.ndarray, "people frames 17 3"]) -> float:
    """The height of the floor in metres, z up: an ankle's height below where the lower ankles are when low
    (the lowest twentieth of the frames).
    """
    ankles = [H36M_17.names.index(name) for name in ("left_ankle", "right_ankle")]
    return float(np.quantile(poses[:, :, ankles, 2].min(axis=-1), 0.05) - ANKLE_HEIGHT)


def subject_of(name: str) -> str:
    """A subject's name, without the sign that joins several."""
    return name.replace("+", "_")


def clip_of(
    poses: Float32[np.ndarray, "people frames 17 3"],
    fps: float,
    name: str,
    subject: str,
    action: str,
    floor_z: float,
) -> MotionClip:
    """A clip of people as they were found in a file: joints of `H36M_17`, metres, z up. Raises ValueError as
    `clips.validate` does.
    """
    return validate(MotionClip(poses, fps, H36M_17, name, subject, action, floor_z, NOT_SAID))
