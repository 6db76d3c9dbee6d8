"""Two tracklets side by side, as the pair network sees them: one time axis, the gap in its middle.

The idea is TrackletNet's (Wang et al. 2019, arXiv 1811.07258): both tracklets lie on a common axis of 64
steps with masks of presence, and a temporal network says whether they are one person. Here keypoints stand
where that work has an appearance vector.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gated_lift.skeleton import Skeleton
from gated_lift.tracking.figure import LIMBS
from gated_lift.tracking.rows import Rows

STEPS, STEP_RATE = 64, 15.0  # steps of the axis, and steps a second: 4.3 s at every frame rate
CHANNELS = 2 + 1 + 3 * len(LIMBS) + 2 + 2 + 1
FACTS = 9
# Speeds at the ends of tracklets are taken over so many seconds, sizes over so many.
SPEED_SECONDS, SIZE_SECONDS = 0.35, 0.7


class Scene(NamedTuple):
    """What all pairs of one video share.

    limbs: (rows, 12) index of each of `LIMBS` among the joints, −1 where the skeleton lacks it. frame_time:
    seconds of the frames that have rows; shake: (those frames, 2) pixels by which everybody visible has moved
    together since the first of them. starts: first row of each of those frames.
    """

    rows: Rows
    limbs: Int[np.ndarray, " limbs"]
    frame_time: Float[np.ndarray, " frames"]
    shake: Float[np.ndarray, "frames 2"]
    starts: Int[np.ndarray, " frames_and_end"]


def scene_of(rows: Rows, tracklet: Int[np.ndarray, " rows"], skeleton: Skeleton) -> Scene:
    """Prepares a video's rows; ``tracklet`` says which rows of neighbouring frames are one person."""
    names = list(skeleton.names)
    limbs = np.array([names.index(name) if name in names else -1 for name in LIMBS])
    starts = np.flatnonzero(np.diff(rows.frame, prepend=-1))
    order = np.lexsort((rows.frame, tracklet))
    one, next_one = order[:-1], order[1:]
    joined = (tracklet[one] == tracklet[next_one]) & (tracklet[one] >= 0)
    place = np.searchsorted(rows.frame[starts], rows.frame[next_one[joined]])
    step = rows.centre[next_one[joined]] - rows.centre[one[joined]]
    total, count = np.zeros((len(starts), 2)), np.zeros(len(starts))
    np.add.at(total, place, step)
    np.add.at(count, place, 1)
    shake = np.cumsum(total / np.maximum(count, 1)[:, None], axis=0)
    return Scene(rows, limbs, rows.time[starts], shake, np.append(starts, len(rows.frame)))


class Ends(NamedTuple):
    """Both ends of a piece of a track: seconds, centres and speeds in pixels (a second), sizes in pixels."""

    first: float
    last: float
    first_centre: np.ndarray
    last_centre: np.ndarray
    first_speed: np.ndarray
    last_speed: np.ndarray
    first_size: float
    last_size: float


def ends_of(rows: Rows, piece: Int[np.ndarray, " piece"]) -> Ends:
    """piece: indices of rows in the order of time."""
    time = rows.time[piece]
    head, tail = time - time[0] <= SPEED_SECONDS, time[-1] - time <= SPEED_SECONDS
    first, first_speed = _at(time[head], rows.centre[piece][head], 0)
    last, last_speed = _at(time[tail], rows.centre[piece][tail], -1)
    return Ends(
        float(time[0]),
        float(time[-1]),
        first,
        last,
        first_speed,
        last_speed,
        float(np.median(rows.size[piece][time - time[0] <= SIZE_SECONDS])),
        float(np.median(rows.size[piece][time[-1] - time <= SIZE_SECONDS])),
    )


def _at(time: np.ndarray, centre: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Place and speed at one end of a short stretch, from a straight line through it."""
    passed = time - time[end]
    if len(time) < 3 or np.ptp(time) <= 0:
        return centre[end], np.zeros(2)
    middle = passed.mean()
    speed = ((passed - middle)[:, None] * centre).sum(axis=0) / ((passed - middle) ** 2).sum()
    # Short stretches have noisy speeds; people mostly stand or walk.
    speed = speed * min(1.0, float(np.ptp(time)) / 0.15)
    return centre.mean(axis=0) - speed * middle, speed


def candidates(
    ends: Sequence[Ends], longest: float, reach: tuple[float, float] = (0.7, 2.5)
) -> Int[np.ndarray, "pairs 2"]:
    """Pairs (earlier, later) that might be one person.

    longest: seconds of the gap between them. reach: the later one begins within so many heights of where the
    earlier one ended or would have gone, and so many more for every second of the gap.
    """
    if not ends:
        return np.zeros((0, 2), int)
    first, last = np.array([e.first for e in ends]), np.array([e.last for e in ends])
    begun = np.argsort(first, kind="stable")
    pairs = []
    for a, end in enumerate(ends):
        low = np.searchsorted(first[begun], last[a], side="right")
        high = np.searchsorted(first[begun], last[a] + longest + 1e-9, side="right")
        for b in begun[low:high]:
            gap = first[b] - last[a]
            size = max(end.last_size, ends[b].first_size)
            straight = ends[b].first_centre - end.last_centre
            apart = min(np.linalg.norm(straight), np.linalg.norm(straight - gap * end.last_speed))
            if apart <= size * (reach[0] + reach[1] * gap):
                pairs.append((a, int(b)))
    return np.array(pairs, int).reshape(-1, 2)


def pair_input(
    scene: Scene, a: np.ndarray, b: np.ndarray, a_ends: Ends, b_ends: Ends
) -> tuple[np.ndarray, np.ndarray]:
    """Series (`STEPS`, `CHANNELS`) and facts (`FACTS`,), float32, of the rows ``a`` and the later rows ``b``.

    Lengths are in heights, the mean of both people's; places are relative to the middle between the end of a
    and the beginning of b. Channels: centre (2), log size, limbs relative to the centre (2 × 12), masks of
    the limbs (12), presence of a and of b, the motion that everybody shares (2), and how near somebody else
    is to where the person is or would be on a straight line through the gap. Facts: the gap in seconds; how
    far off a moved on at its speed is, b moved back, both less the shared motion, and neither moved; the
    ratio of sizes; how much a's last and b's first poses differ; and whether that is known.
    """
    rows = scene.rows
    gap = b_ends.first - a_ends.last
    middle = (b_ends.first + a_ends.last) / 2
    size = float(np.sqrt(a_ends.last_size * b_ends.first_size))
    origin = (a_ends.last_centre + b_ends.first_centre) / 2
    series = np.zeros((STEPS, CHANNELS), np.float32)
    limbs, places = len(LIMBS), slice(3, 3 + 2 * len(LIMBS))
    masks = slice(places.stop, places.stop + limbs)
    presence, shared, nearby = masks.stop, slice(masks.stop + 2, masks.stop + 4), masks.stop + 4

    for side, piece in enumerate((a, b)):
        step = np.floor((rows.time[piece] - middle) * STEP_RATE).astype(int) + STEPS // 2
        # Rounding must not put a tracklet on the other side of the gap.
        step = np.minimum(step, STEPS // 2 - 1) if side == 0 else np.maximum(step, STEPS // 2)
        inside = (step >= 0) & (step < STEPS)
        piece, step = piece[inside], step[inside]
        if not len(piece):
            continue
        seen = rows.seen[piece][:, scene.limbs] & (scene.limbs >= 0)
        offset = (rows.keypoints[piece][:, scene.limbs] - rows.centre[piece][:, None]) / size
        count, known = np.zeros(STEPS), np.zeros((STEPS, limbs))
        summed = np.zeros((STEPS, 3)), np.zeros((STEPS, limbs, 2))
        np.add.at(count, step, 1)
        np.add.at(known, step, seen)
        own = np.concatenate(
            [(rows.centre[piece] - origin) / size, np.log(rows.size[piece] / size)[:, None]], -1
        )
        np.add.at(summed[0], step, own)
        np.add.at(summed[1], step, np.where(seen[..., None], offset, 0.0))
        here = count > 0
        series[here, :3] = summed[0][here] / count[here, None]
        series[here, places] = (summed[1][here] / np.maximum(known[here], 1)[..., None]).reshape(
            -1, 2 * limbs
        )
        series[here, masks] = known[here] > 0
        series[here, presence + side] = 1

    times = middle + (np.arange(STEPS) - STEPS // 2 + 0.5) / STEP_RATE
    shake = np.stack([np.interp(times, scene.frame_time, scene.shake[:, axis]) for axis in range(2)], -1)
    at_middle = [np.interp(middle, scene.frame_time, scene.shake[:, axis]) for axis in range(2)]
    series[:, shared] = (shake - np.array(at_middle)) / size
    series[:, nearby] = _nearby(scene, series, times, origin, size, a, b, a_ends, b_ends)
    np.clip(series, -4, 4, out=series)
    return series, _facts(scene, int(a[-1]), int(b[0]), a_ends, b_ends, gap, size)


def _nearby(
    scene: Scene,
    series: np.ndarray,
    times: np.ndarray,
    origin: np.ndarray,
    size: float,
    a: np.ndarray,
    b: np.ndarray,
    a_ends: Ends,
    b_ends: Ends,
) -> np.ndarray:
    rows = scene.rows
    present = series[:, 3 + 3 * len(LIMBS)] + series[:, 4 + 3 * len(LIMBS)] > 0
    share = np.clip((times - a_ends.last) / max(b_ends.first - a_ends.last, 1e-6), 0, 1)[:, None]
    line = a_ends.last_centre * (1 - share) + b_ends.first_centre * share
    place = np.where(present[:, None], series[:, :2] * size + origin, line)
    frame = np.clip(np.searchsorted(scene.frame_time, times), 0, len(scene.frame_time) - 1)
    # All rows of the frames of all steps, in one list with the step that each belongs to.
    length = scene.starts[frame + 1] - scene.starts[frame]
    length = np.where(np.abs(scene.frame_time[frame] - times) <= 0.15, length, 0)
    step = np.repeat(np.arange(STEPS), length)
    row = np.repeat(scene.starts[frame] - np.cumsum(length) + length, length) + np.arange(length.sum())
    mine = np.isin(row, a) | np.isin(row, b)
    row, step = row[~mine], step[~mine]
    square = ((rows.centre[row] - place[step]) ** 2).sum(axis=-1)
    found = np.zeros(STEPS)
    np.maximum.at(found, step, np.exp(-square / (2 * (0.3 * size) ** 2)))
    return found


def _facts(
    scene: Scene, last: int, first: int, a_ends: Ends, b_ends: Ends, gap: float, size: float
) -> np.ndarray:
    rows = scene.rows
    shake = np.array(
        [
            np.interp(b_ends.first, scene.frame_time, scene.shake[:, axis])
            - np.interp(a_ends.last, scene.frame_time, scene.shake[:, axis])
            for axis in range(2)
        ]
    )
    straight = b_ends.first_centre - a_ends.last_centre
    forward, backward = straight - gap * a_ends.last_speed, straight - gap * b_ends.first_speed
    mean = straight - gap * (a_ends.last_speed + b_ends.first_speed) / 2
    both = rows.seen[last] & rows.seen[first]
    pose = 0.0
    if both.sum() >= 2:
        offsets = [rows.keypoints[row][both] - rows.centre[row] for row in (last, first)]
        pose = float(np.linalg.norm(offsets[0] - offsets[1], axis=-1).mean()) / size
    norms = [np.linalg.norm(v) / size for v in (forward, backward, mean, mean - shake, straight)]
    ratio = abs(np.log(b_ends.first_size / a_ends.last_size))
    return np.array([gap, *np.minimum(norms, 4), ratio, pose, float(both.sum() >= 2)], np.float32)
