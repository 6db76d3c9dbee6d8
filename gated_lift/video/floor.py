"""Where feet stand: what a clip tells about the sizes of its people besides how they look.

A person twice as large, twice as far away, has the same image. But people stand on one floor: seen from one
camera, whoever is taken to be too large stands below it and whoever is taken to be too small above it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from gated_lift.clips import runs
from gated_lift.skeleton import Skeleton

ANKLES = ("left_ankle", "right_ankle")
CHEST = "thorax"

# An ankle stands while it is slower than this (m/s, averaged over so many seconds) and not higher (m) above
# the lowest place that either ankle of the person reaches within so many seconds of it. These and all below
# were chosen on subjects 35, 135, 113 and 143.
STANDING_SPEED, SPEED_SECONDS = 0.4, 0.1
STANDING_HEIGHT, LOWEST_SECONDS = 0.08, 2.0
# A foot that stands for less tells nothing; one that stands for longer is several stances (seconds).
SHORTEST_STANCE, LONGEST_STANCE = 0.1, 1.0
# Stances of one person that are kept, spread over the clip: more tell nothing more of a long video.
MOST_STANCES = 300

# A person is stretched while the way from the ankles to the chest is this share of its longest.
STRETCHED = 0.9


class Stances(NamedTuple):
    """Feet that stand, one row for each foot and stretch of time, in metres and in axes whose z is up.

    person: whose foot. ankle: from the camera to the ankle of the person as lifted, the mean over the
    stretch. height: z of the camera meanwhile.
    """

    person: Int[np.ndarray, " stances"]
    ankle: Float[np.ndarray, "stances 3"]
    height: Float[np.ndarray, " stances"]


def knows_feet(skeleton: Skeleton) -> bool:
    """Whether a skeleton has the joints by which the floor and the vertical are found."""
    return {*ANKLES, CHEST} <= {*skeleton.names}


def find_stances(
    joints: Float[np.ndarray, "people frames joints 3"],
    hidden: Bool[np.ndarray, "people frames joints"],
    camera: Float[np.ndarray, "#frames 3"],
    skeleton: Skeleton,
    fps: float,
    least: int = 1,
) -> Stances:
    """The stretches in which ankles of ``joints`` stand and are seen.

    joints: metres, z up, NaN where nobody is. hidden: True where the ankle was not seen; such frames are left
    out. camera: its place on every frame, or on all. least: people with fewer stances have none. The skeleton
    needs ankles (`knows_feet`).
    """
    ankles = [skeleton.names.index(name) for name in ANKLES]
    place = np.asarray(joints, np.float64)[:, :, ankles]
    frames = place.shape[1]
    camera = np.broadcast_to(np.asarray(camera, np.float64), (frames, 3))
    seen = ~hidden[:, :, ankles] & np.isfinite(place).all(axis=-1)
    place = np.where(seen[..., None], place, 0.0)
    # Faster than any foot where a frame or its neighbour does not show it, so that it does not stand there.
    step = np.full(seen.shape, 10.0)
    both = seen[:, 1:] & seen[:, :-1]
    step[:, 1:][both] = np.minimum(np.linalg.norm(np.diff(place, axis=1), axis=-1)[both] * fps, 10.0)
    step[:, :-1] = np.minimum(step[:, :-1], step[:, 1:])
    speed = uniform_filter1d(step, max(1, round(SPEED_SECONDS * fps)), axis=1, mode="nearest")
    height = np.where(seen, place[..., 2], np.inf)
    reach = 2 * round(LOWEST_SECONDS * fps) + 1
    lowest = minimum_filter1d(height.min(axis=-1), reach, axis=1, mode="nearest")
    stands = seen & (speed < STANDING_SPEED) & (height < lowest[..., None] + STANDING_HEIGHT)

    rows: list[tuple[int, np.ndarray, float]] = []
    shortest, longest = (max(2, round(each * fps)) for each in (SHORTEST_STANCE, LONGEST_STANCE))
    for person, by_foot in enumerate(np.moveaxis(stands, -1, 1)):
        own: list[tuple[int, int, np.ndarray, float]] = []
        for foot, times in enumerate(by_foot):
            for begin, end in runs(times):
                for part in np.array_split(np.arange(begin, end), -(-(end - begin) // longest)):
                    if len(part) >= shortest:
                        way = place[person, part, foot] - camera[part]
                        own.append((begin, person, way.mean(axis=0), float(camera[part, 2].mean())))
        own.sort(key=lambda row: row[0])
        if len(own) >= least:
            rows += [row[1:] for row in own[:: -(-len(own) // MOST_STANCES) or 1]]
    return Stances(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64).reshape(-1, 3),
        np.array([row[2] for row in rows], np.float64),
    )


def vertical(
    joints: Float[np.ndarray, "people frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, "3"] | None:
    """Which way is up for people who mostly stand: the direction from their ankles to their chest while they
    are stretched, a median over frames and people.

    joints: metres in any axes, NaN where nobody is. A unit vector in these axes, or None where nobody is. The
    skeleton needs ankles and a chest (`knows_feet`).
    """
    low = joints[:, :, [skeleton.names.index(name) for name in ANKLES]].mean(axis=2)
    trunk = np.asarray(joints[:, :, skeleton.names.index(CHEST)] - low, np.float64)
    ways = []
    for way, length in zip(trunk, np.linalg.norm(trunk, axis=-1), strict=True):
        there = np.isfinite(length) & (length > 0)
        if there.any():
            stretched = there & (length >= STRETCHED * np.quantile(length[there], 0.9))
            ways.append(np.median(way[stretched] / length[stretched, None], axis=0))
    if not ways:
        return None
    middle = np.median(ways, axis=0)
    length = float(np.linalg.norm(middle))
    return middle / length if length > 0 else None


def level_axes(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation from camera axes, in which the unit vector ``up`` is up, to axes whose z is up: x_level =
    R x_camera. Level x is to the camera's right, or as near to that as it gets.
    """
    up = np.asarray(up, np.float64)
    forward = np.cross(up, [1.0, 0.0, 0.0])
    if np.linalg.norm(forward) < 1e-6:  # a camera on its side
        forward = np.cross(up, [0.0, 1.0, 0.0])
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(forward, up), forward, up])
