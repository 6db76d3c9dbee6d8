"""Few shapes for many videos: arrays get padding up to the next size, so that few programs are compiled."""

import math

import numpy as np
from jaxtyping import Shaped

# Clips are padded to this length, doubled as often as needed.
SHORTEST = 128


def length_of(frames: int) -> int:
    """The least of SHORTEST and its doubles that holds this many frames."""
    return SHORTEST * 2 ** max(0, math.ceil(math.log2(frames / SHORTEST)))


def count_of(people: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, … that holds this many people."""
    power = 2 ** math.ceil(math.log2(people))
    return power * 3 // 4 if power >= 4 and people <= power * 3 // 4 else power


def laid_out(
    values: Shaped[np.ndarray, "people frames *rest"], padding: float | bool = 0.0
) -> Shaped[np.ndarray, "more_people more_frames *rest"]:
    """The array with people and frames of ``padding`` at the ends, up to `count_of` the people and
    `length_of` the frames. What a compiled function makes of it is cut back to the people and frames that
    came.
    """
    people, frames = values.shape[:2]
    more = [(0, count_of(people) - people), (0, length_of(frames) - frames)]
    return np.pad(values, more + [(0, 0)] * (values.ndim - 2), constant_values=padding)
