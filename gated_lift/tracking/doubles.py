"""People whom a detector reports twice on a frame, with nearly equal keypoints: each becomes one row."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.people import Detections
from gated_lift.tracking.figure import SHORTEST_PAIR, Figure, sizes

CHUNK = 50_000  # pairs of rows that are compared at once


class DoubleSettings(NamedTuple):
    """nearest: heights of the person that two answers for one joint may lie apart. share: of the seen joints
    of the row that has fewer, those that must lie so near to the other's. fewest: joints that both must have.
    scale: how much larger one of the two may be than the other.
    """

    nearest: float = 0.05
    share: float = 0.9
    fewest: int = 4
    scale: float = 0.04


def merge_doubles(
    detections: Detections,
    figure: Figure,
    threshold: float = 0.3,
    settings: DoubleSettings = DoubleSettings(),
) -> Detections:
    """The detections with one row for everybody who is reported several times on a frame.

    Two rows of a frame are one person when they explain the same joints: of the row with fewer seen joints
    nearly all are seen in the other one too and lie within ``nearest`` heights of it there, and both are of
    one size (the root mean square distance of the common joints from their middle). People who stand behind
    each other share the place of some joints, and hardly ever of nearly all; where they do, whoever is behind
    is smaller. The row that is surest stays in its place, and takes from the others every joint that they are
    surer of. threshold: a joint counts as seen from this confidence on.
    """
    frame = np.asarray(detections.frame)
    seen = np.isfinite(detections.keypoints).all(axis=-1) & (detections.confidence >= threshold)
    pairs = [found for found in _pairs(frame, detections.keypoints, seen, figure, settings) if len(found)]
    if not pairs:
        return detections
    keypoints, confidence = detections.keypoints.copy(), detections.confidence.copy()
    sure = np.where(seen, confidence, 0).sum(axis=-1)
    kept = np.ones(len(frame), bool)
    # The surest first: whoever is somebody's double gives way to the surest of them.
    both = np.concatenate(pairs)
    order = np.argsort(-sure[both].max(axis=1), kind="stable")
    for one, other in both[order].tolist():
        if not (kept[one] and kept[other]):
            continue
        stays, goes = (one, other) if sure[one] >= sure[other] else (other, one)
        better = confidence[goes] > confidence[stays]
        keypoints[stays][better], confidence[stays][better] = (
            keypoints[goes][better],
            confidence[goes][better],
        )
        kept[goes] = False
    ids = detections.ids
    return detections._replace(
        frame=frame[kept],
        keypoints=keypoints[kept],
        confidence=confidence[kept],
        ids=None if ids is None else np.asarray(ids)[kept],
    )


def _pairs(
    frame: Int[np.ndarray, " rows"],
    keypoints: Float[np.ndarray, "rows joints 2"],
    seen: Bool[np.ndarray, "rows joints"],
    figure: Figure,
    settings: DoubleSettings,
) -> Iterator[np.ndarray]:
    """Pairs of rows of one frame that are one person, (pairs, 2). Rows stand in the order of frames."""
    apart, most = 1, int(np.bincount(frame).max(initial=0)) if len(frame) else 0
    while apart < most:
        first = np.flatnonzero(frame[apart:] == frame[:-apart])
        for begin in range(0, len(first), CHUNK):
            one = first[begin : begin + CHUNK]
            other = one + apart
            yield np.stack([one, other], axis=-1)[
                same_person(keypoints[one], seen[one], keypoints[other], seen[other], figure, settings)
            ]
        apart += 1


def same_person(
    one: Float[np.ndarray, "pairs joints 2"],
    one_seen: Bool[np.ndarray, "pairs joints"],
    other: Float[np.ndarray, "pairs joints 2"],
    other_seen: Bool[np.ndarray, "pairs joints"],
    figure: Figure,
    settings: DoubleSettings = DoubleSettings(),
) -> Bool[np.ndarray, " pairs"]:
    """Whether two rows explain the same joints, as `merge_doubles` says."""
    both = one_seen & other_seen
    fewer = np.minimum(one_seen.sum(axis=-1), other_seen.sum(axis=-1))
    distance = np.linalg.norm(np.where(both[..., None], one - other, 0.0), axis=-1)
    # Nobody is taller than a box around two joints over the least distance that tells a height: most people
    # are too far apart for that, and are left out before heights are looked at more closely.
    tallest = np.fmax(*(_diagonal(points, both) for points in (one, other))) / SHORTEST_PAIR
    near = both & (distance <= settings.nearest * tallest[:, None])
    enough = both.sum(axis=-1) >= settings.fewest
    maybe = np.flatnonzero((near.sum(axis=-1) >= settings.share * fewer) & enough)
    result = np.zeros(len(both), bool)
    if not len(maybe):
        return result
    one, other, both, distance = one[maybe], other[maybe], both[maybe], distance[maybe]
    # The larger of two sizes: each is that of the smallest person who has the joints.
    size = np.fmax(
        *(np.asarray(sizes(points, mask, figure)) for points, mask in ((one, both), (other, both)))
    )
    near = both & (distance <= settings.nearest * np.nan_to_num(size)[:, None])
    extents = [_extent(points, both) for points in (one, other)]
    alike = np.abs(np.log(extents[0] / extents[1])) <= np.log1p(settings.scale)
    result[maybe] = (near.sum(axis=-1) >= settings.share * fewer[maybe]) & alike
    return result


def _diagonal(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Of the box around the joints in a mask, pixels; 0 where there are none."""
    low = np.where(mask[..., None], points, np.inf).min(axis=1)
    high = np.where(mask[..., None], points, -np.inf).max(axis=1)
    return np.where(mask.any(axis=1), np.linalg.norm(np.where(low <= high, high - low, 0.0), axis=-1), 0.0)


def _extent(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Root mean square distance of the joints in a mask from their middle, at least a tenth of a pixel."""
    count = np.maximum(mask.sum(axis=-1), 1)[:, None]
    filled = np.where(mask[..., None], points, 0.0)
    middle = filled.sum(axis=1) / count
    square = np.where(mask[..., None], (filled - middle[:, None]) ** 2, 0.0).sum(axis=(1, 2))
    return np.sqrt(np.maximum(square / count[:, 0], 0.01))
