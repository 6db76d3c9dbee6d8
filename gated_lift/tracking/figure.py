"""What tracking knows of a body: where joints are in somebody who stands, and how well each is found.

Joints are known by name, so that every `Skeleton` works; a joint with another name counts in comparisons with
a middling spread, and tells nothing about a person's size.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.skeleton import Skeleton

# How far detectors and annotators spread about a joint, as a share of the square root of the person's area:
# COCO's published constants for its keypoints (cocodataset.org/#keypoints-eval), twice as used there, and
# neighbouring values for joints that COCO has not.
SPREADS = {
    "nose": 0.052,
    "eye": 0.05,
    "ear": 0.07,
    "head": 0.09,
    "neck": 0.09,
    "neck_base": 0.12,
    "thorax": 0.15,
    "spine": 0.19,
    "hip": 0.214,
    "shoulder": 0.158,
    "elbow": 0.144,
    "wrist": 0.124,
    "knee": 0.174,
    "ankle": 0.178,
    "heel": 0.178,
    "big_toe": 0.178,
    "small_toe": 0.178,
}
OTHER_SPREAD = 0.16
# A standing person's area is about so many squared heights: a box of 1 × 0.38 heights, half filled.
AREA = 0.2

# Height over the floor and distance from the middle, in heights of the person, standing with hanging arms.
STANDING = {
    "head": (0.98, 0.0),
    "nose": (0.93, 0.0),
    "eye": (0.945, 0.018),
    "ear": (0.935, 0.04),
    "neck": (0.87, 0.0),
    "neck_base": (0.83, 0.0),
    "thorax": (0.82, 0.0),
    "spine": (0.64, 0.0),
    "hip": (0.53, 0.055),
    "shoulder": (0.82, 0.11),
    "knee": (0.285, 0.055),
    "ankle": (0.045, 0.055),
    "heel": (0.02, 0.055),
}
ROWS = 10_000  # whose sizes are taken at once
# Arms reach anywhere, so they say nothing of size; and pairs nearer than this say little.
SHORTEST_PAIR = 0.25
# The middle of the trunk, half way between shoulders and hips.
MIDDLE = (STANDING["shoulder"][0] + STANDING["hip"][0]) / 2

# The joints that nearly every format has, in the order in which the pair network sees them.
LIMBS = tuple(
    f"{side}_{joint}"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)


class Figure(NamedTuple):
    """A skeleton's joints as tracking needs them.

    spread: squared deviation that counts as near, in squared heights. height: of the joint over the floor in
    a standing person, in heights, NaN where unknown. pairs, reach: joints whose distance tells the size, and
    that distance in heights. shoulders, hips: indices. mirror: permutation of left and right.
    """

    spread: Float[np.ndarray, " joints"]
    height: Float[np.ndarray, " joints"]
    pairs: Int[np.ndarray, "pairs 2"]
    reach: Float[np.ndarray, " pairs"]
    shoulders: tuple[int, ...]
    hips: tuple[int, ...]
    mirror: tuple[int, ...]


def figure_of(skeleton: Skeleton) -> Figure:
    """Looks every joint of a skeleton up by its name."""
    parts = [_part(name) for name in skeleton.names]
    spread = np.array([AREA * SPREADS.get(part, OTHER_SPREAD) ** 2 for part in parts])
    # A name such as "hip" is both the middle and a side: without a side it lies in the middle.
    place = np.array(
        [
            _standing(name, part) if part in STANDING else (np.nan, np.nan)
            for name, part in zip(skeleton.names, parts, strict=True)
        ]
    ).reshape(-1, 2)
    known = np.flatnonzero(np.isfinite(place[:, 0]))
    pairs, reach = [], []
    for i, a in enumerate(known):
        for b in known[i + 1 :]:
            distance = float(np.hypot(*(place[a] - place[b])))
            if distance >= SHORTEST_PAIR:
                pairs.append((int(a), int(b)))
                reach.append(distance)
    return Figure(
        spread=spread,
        height=place[:, 0],
        pairs=np.array(pairs, int).reshape(-1, 2),
        reach=np.array(reach, float),
        shoulders=tuple(i for i, part in enumerate(parts) if part in ("shoulder", "thorax")),
        hips=tuple(i for i, part in enumerate(parts) if part == "hip"),
        mirror=skeleton.mirror,
    )


def _part(name: str) -> str:
    for side in ("left_", "right_"):
        name = name.removeprefix(side)
    return name


def _standing(name: str, part: str) -> tuple[float, float]:
    height, across = STANDING[part]
    return height, across if name.startswith("left_") else -across if name.startswith("right_") else 0.0


def sizes(
    keypoints: Float[np.ndarray, "rows joints 2"], seen: Bool[np.ndarray, "rows joints"], figure: Figure
) -> Float[np.ndarray, " rows"]:
    """Height in pixels of the smallest upright person who has the seen joints, NaN where no pair tells it.

    size = max over pairs of |x_a − x_b| / reach_ab, with reach the distance in a person one unit tall. It is
    the same when legs or head are hidden, which the height of a box is not, and shrinks only when the whole
    body bends or points at the camera.
    """
    if not len(figure.pairs):
        return np.full(len(keypoints), np.nan)
    a, b = figure.pairs.T
    size = np.zeros(len(keypoints))
    # Pairs of joints are many times as many numbers as joints: some rows at a time.
    for begin in range(0, len(keypoints), ROWS):
        part = slice(begin, begin + ROWS)
        both = seen[part][:, a] & seen[part][:, b]
        filled = np.where(seen[part][..., None], keypoints[part], 0.0)
        apart = np.linalg.norm(filled[:, a] - filled[:, b], axis=-1) / figure.reach
        size[part] = np.where(both, apart, 0.0).max(axis=-1, initial=0.0)
    return np.where(size > 0, size, np.nan)


def centres(
    keypoints: Float[np.ndarray, "rows joints 2"],
    seen: Bool[np.ndarray, "rows joints"],
    size: Float[np.ndarray, " rows"],
    figure: Figure,
) -> Float[np.ndarray, "rows 2"]:
    """The middle of each person's trunk in pixels, from shoulders and hips where both are seen.

    Where one of them is hidden, the seen joints say where it would be in somebody upright of that ``size``
    (pixels); where none of these is known either, it is the mean of what is seen. NaN where nothing is seen.
    """
    filled = np.where(seen[..., None], keypoints, 0.0)

    def mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return (values * weight[..., None]).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)[:, None]

    def some(joints: tuple[int, ...]) -> np.ndarray:
        chosen = np.zeros(seen.shape[1], bool)
        chosen[list(joints)] = True
        return seen & chosen

    upper, lower = some(figure.shoulders), some(figure.hips)
    trunk = (mean(filled, upper) + mean(filled, lower)) / 2
    known = seen & np.isfinite(figure.height)
    below = np.where(np.isfinite(figure.height), figure.height, MIDDLE) - MIDDLE
    down = np.stack([np.zeros((len(size), len(below))), below * size[:, None]], axis=-1)
    upright = mean(filled + down, known)
    whole = upper.any(axis=1, keepdims=True) & lower.any(axis=1, keepdims=True)
    centre = np.where(whole, trunk, np.where(known.any(axis=1, keepdims=True), upright, mean(filled, seen)))
    return np.where(seen.any(axis=1, keepdims=True), centre, np.nan)
