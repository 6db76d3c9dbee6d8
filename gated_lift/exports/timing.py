"""Frames at an even rate, for formats that hold a rate and no times."""

import numpy as np
from jaxtyping import Float

from gated_lift.people import LiftedPeople
from solvers import Extrinsics

TOLERANCE = 0.25  # of a frame: what a time may be off its even place and stay where it is


def evenly(people: LiftedPeople) -> LiftedPeople:
    """The same people on frames at t0, t0 + 1/fps, t0 + 2/fps, ...; unchanged where they are already.

    Joints and roots are interpolated linearly between the frames before and after, and are NaN where either
    is; everything else is taken from the nearest frame. The last frame is the last that lies inside the clip.
    """
    times, fps = people.times, people.fps
    steps = (times - times[0]) * fps
    if np.all(np.abs(steps - np.arange(len(times))) <= TOLERANCE):
        return people
    # The small term keeps the last frame when the length is a whole number of frames but for rounding.
    every = np.arange(int(np.floor(steps[-1] + 1e-6)) + 1)
    after = np.clip(np.searchsorted(steps, every), 1, len(steps) - 1)
    weight = np.clip((every - steps[after - 1]) / (steps[after] - steps[after - 1]), 0, 1)
    # On a frame but for rounding is on it: nothing of the other frame then.
    weight = np.where(np.abs(weight - np.round(weight)) < 1e-6, np.round(weight), weight)
    nearest = np.where(weight > 0.5, after, after - 1)

    def between(values: Float[np.ndarray, "people frames *rest"]) -> Float[np.ndarray, "people new *rest"]:
        share = weight.reshape(-1, *[1] * (values.ndim - 2)).astype(values.dtype)
        low, high = values[:, after - 1], values[:, after]
        # A weight of nothing must not let the NaN of an absent neighbour in.
        return np.where(share == 0, low, np.where(share == 1, high, low + share * (high - low)))

    joints, root = between(people.joints), between(people.root)
    extrinsics = people.extrinsics
    if extrinsics is not None and np.shape(extrinsics.position)[-2] == len(times):
        extrinsics = Extrinsics(
            np.asarray(extrinsics.rotation)[..., nearest, :, :],
            np.asarray(extrinsics.position)[..., nearest, :],
        )
    return people._replace(
        joints=joints,
        root=root,
        covariance=None if people.covariance is None else people.covariance[:, nearest],
        present=people.present[:, nearest] & np.all(np.isfinite(joints), axis=(-2, -1)),
        residual=people.residual[:, nearest],
        keypoints=people.keypoints[:, nearest],
        confidence=people.confidence[:, nearest],
        hidden=people.hidden[:, nearest],
        times=times[0] + every / fps,
        extrinsics=extrinsics,
    )
