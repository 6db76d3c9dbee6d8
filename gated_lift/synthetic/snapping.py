"""Joints that a detector puts on whoever covers them, with the confidence of seen ones."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


class Snapping(NamedTuple):
    """How often covered joints are reported on whoever covers them, and where on that person.

    rate: share of the time in which a person's covered joints are on the coverer. seconds: mean time for
    which it is decided anew whether they are, and where. linger: seconds for which a joint stays on the
    coverer after it has come out. mirrored: share of the time in which they are on the coverer's other side;
    nearest: share in which each is on the side of the coverer that is nearer to where it is. For the rest of
    the time each is on the joint of its own name.
    """

    rate: float = 0.5
    seconds: float = 0.5
    linger: float = 0.1
    mirrored: float = 0.25
    nearest: float = 0.25


def held(
    draw: Callable[[tuple[int, int]], Float[np.ndarray, "people frames"]],
    shape: tuple[int, int],
    seconds: float,
    fps: float,
) -> Float[np.ndarray, "people frames"]:
    """Uniform numbers that are drawn anew every ``seconds`` on average; ``draw`` gives fresh ones."""
    renew = draw(shape) < -math.expm1(-1 / (fps * seconds))
    renew[:, 0] = True
    start = np.maximum.accumulate(np.where(renew, np.arange(shape[1]), 0), axis=1)
    return np.take_along_axis(draw(shape), start, axis=1)


def coverers(
    middle: Float[np.ndarray, "people frames 2"],
    depth: Float[np.ndarray, "people frames"],
    found: Bool[np.ndarray, "people frames"],
) -> Int[np.ndarray, "people frames"]:
    """Who stands before each person: of those nearer to the camera who are found the one whose middle in the
    image is nearest, −1 where nobody is. middle: pixels. depth: metres.
    """
    apart = np.linalg.norm(middle[None] - middle[:, None], axis=-1)
    before = (depth[None] < depth[:, None]) & found[None]
    apart = np.where(before, apart, np.inf)
    return np.where(before.any(axis=1), apart.argmin(axis=1), -1)


def snapped(
    keypoints: Float[np.ndarray, "people frames joints 2"],
    told: Shaped[np.ndarray, "people frames joints"],
    on: tuple[Float[np.ndarray, "people frames joints 2"], Shaped[np.ndarray, "people frames joints"]],
    moved: Bool[np.ndarray, "people frames joints"],
    coverer: Int[np.ndarray, "people frames"],
    order: Int[np.ndarray, "people frames joints"],
) -> tuple[Float[np.ndarray, "people frames joints 2"], Shaped[np.ndarray, "people frames joints"]]:
    """What a detector reports when the joints that are ``moved`` are found on the coverer.

    told: the confidence of each keypoint, or whether it counts as hidden. on: keypoints of everybody as they
    are found there, and what is told of these. coverer: −1 where nothing is moved. order: which joint of the
    coverer each joint is put on.
    """
    place = np.maximum(coverer, 0)[..., None], np.arange(coverer.shape[1])[:, None], order
    return np.where(moved[..., None], on[0][place], keypoints), np.where(moved, on[1][place], told)
