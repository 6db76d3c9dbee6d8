"""How much two sets of keypoints look like one person, whatever the size of the picture."""

import numpy as np
from jaxtyping import Bool, Float

from gated_lift.tracking.figure import Figure

# Left and right of a whole person are sometimes exchanged; such a likeness counts a little less.
MIRRORED = 0.9


def likeness(
    expected: Float[np.ndarray, "a joints 2"],
    expected_seen: Bool[np.ndarray, "a joints"],
    found: Float[np.ndarray, "b joints 2"],
    found_seen: Bool[np.ndarray, "b joints"],
    size: Float[np.ndarray, " a"],
    slack: Float[np.ndarray, " a"],
    figure: Figure,
) -> Float[np.ndarray, "a b"]:
    """Object keypoint similarity with room for motion: the mean over joints of exp(−d² / 2 s² (k² + m²)).

    d: pixels between where a joint of person a is expected and where row b has it; only joints that both have
    count. size: s, pixels, of person a. k²: `Figure.spread`. slack: m, how far the expectation may be wrong,
    in heights of the person; 0 is COCO's measure (cocodataset.org/#keypoints-eval). The person with left and
    right exchanged is tried too (`MIRRORED`). 0 where the two have fewer than two joints in common.
    """
    room = 2 * size[:, None] ** 2 * (figure.spread + slack[:, None] ** 2)

    def mean(order: list[int]) -> np.ndarray:
        other, other_seen = found[:, order], found_seen[:, order]
        both = expected_seen[:, None] & other_seen[None]
        square = ((expected[:, None] - other[None]) ** 2).sum(axis=-1)
        near = np.where(both, np.exp(-square / room[:, None]), 0.0).sum(axis=-1)
        count = both.sum(axis=-1)
        return np.where(count >= 2, near / np.maximum(count, 1), 0.0)

    straight = mean(list(range(len(figure.mirror))))
    if figure.mirror == tuple(range(len(figure.mirror))):
        return straight
    return np.maximum(straight, MIRRORED * mean(list(figure.mirror)))


def boxes(
    keypoints: Float[np.ndarray, "rows joints 2"], seen: Bool[np.ndarray, "rows joints"]
) -> Float[np.ndarray, "rows 4"]:
    """Left, top, right and bottom, in pixels, of the box around the seen joints of each row."""
    low = np.where(seen[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(seen[..., None], keypoints, -np.inf).max(axis=1)
    return np.concatenate([low, high], axis=-1)


def overlaps(a: Float[np.ndarray, "a 4"], b: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """Intersection over union of every box of ``a`` with every one of ``b``; 0 where both are empty."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=-1) for box in (a, b))
    union = area_a[:, None] + area_b[None] - common
    return np.where(union > 0, common / np.where(union > 0, union, 1.0), 0.0)
