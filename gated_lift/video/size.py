"""How tall people are: one number a person, by which joints, paths and distances all grow alike."""

import numpy as np
from jaxtyping import Float

from gated_lift.skeleton import Skeleton

# A standing person from the soles to the top of the head, as sums of bones that end in these joints; the
# ankle's own height is a share of the whole (Drillis and Contini's segment lengths, 1966).
LEG = ("knee", "ankle")
TRUNK = ("spine", "thorax", "neck", "head")
ANKLE_SHARE = 0.039

SHORTEST, TALLEST = 0.4, 2.6  # metres


def stature(
    joints: Float[np.ndarray, "people frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, " people"]:
    """How tall the lifted people are, metres: the lengths of legs, trunk and head, medians over frames.

    joints: metres, NaN where nobody is. NaN for people who are on no frame. Raises ValueError for a skeleton
    without these joints.
    """

    def length(name: str) -> np.ndarray:
        if name not in skeleton.names:
            raise ValueError(f"{skeleton.name} has no {name}: a height needs legs, trunk and head")
        joint = skeleton.names.index(name)
        bone = joints[:, :, joint] - joints[:, :, skeleton.parents[joint]]
        return _median(np.linalg.norm(bone, axis=-1))

    legs = np.sum([length(f"{side}_{name}") for side in ("left", "right") for name in LEG], axis=0) / 2
    trunk = np.sum([length(name) for name in TRUNK], axis=0)
    return (legs + trunk) / (1 - ANKLE_SHARE)


def _median(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    return np.array(
        [np.median(row[own]) if own.any() else np.nan for row, own in zip(values, there, strict=True)]
    )


def scales_of(
    heights: dict[str, float], names: tuple[str, ...], measured: Float[np.ndarray, " people"]
) -> Float[np.ndarray, " people"]:
    """What each person's metres are multiplied by; 1 for people whose height is not given.

    heights: metres by name; the name "" is everybody without a name of their own. Raises ValueError for names
    that nobody has and heights that nobody has.
    """
    unknown = set(heights) - set(names) - {""}
    if unknown:
        raise ValueError(f"heights names {', '.join(sorted(unknown))}, people are {', '.join(names)}")
    for name, height in heights.items():
        if not SHORTEST <= height <= TALLEST:
            raise ValueError(f"the height of {name or 'everybody'} is {height}: give metres, such as 1.75")
    scale = np.ones(len(names), np.float32)
    for person, name in enumerate(names):
        known = heights.get(name, heights.get(""))
        if known is not None and np.isfinite(measured[person]):
            scale[person] = known / measured[person]
    return scale
