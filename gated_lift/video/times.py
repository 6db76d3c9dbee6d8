"""Videos whose frames do not come at one rate: keypoints are brought to one, and joints back."""

import numpy as np
from jaxtyping import Float

from gated_lift.people import LiftedPeople, Tracks

# Frame times that lie this share of a frame beside a steady rate come from rounding, not from the camera.
STEADY = 0.25


def steady_rate(times: Float[np.ndarray, " frames"]) -> tuple[float, bool]:
    """The frames a second that the times come closest to, and whether they keep to it.

    times: seconds, rising; two at least. Raises ValueError for fewer, and for times that do not rise.
    """
    steps = np.diff(times)
    if not len(steps) or not np.isfinite(times).all() or (steps <= 0).any():
        raise ValueError("times must be at least two, finite, and rise from frame to frame")
    # A straight line through all times: the first and the last are rounded like the others.
    step, first = np.polyfit(np.arange(len(times)), times, 1)
    even = first + step * np.arange(len(times))
    if np.abs(times - even).max() <= STEADY * step:
        return float(1 / step), True
    return 1 / float(np.median(steps)), False


def at_steady_rate(
    tracks: Tracks, times: Float[np.ndarray, " frames"], fps: float
) -> tuple[Tracks, Float[np.ndarray, " steady"]]:
    """The tracks as if filmed at ``fps``, and the times of these frames, from the first to the last or just
    after it, where the last is held.

    Keypoints lie on the line between those of the two frames around; where one of the two frames does not
    show a joint it is hidden, unless the other is the very frame. Confidence is the lower of the two.
    """
    steady = times[0] + np.arange(int(np.ceil((times[-1] - times[0]) * fps - 1e-6)) + 1) / fps
    after = np.clip(np.searchsorted(times, steady), 1, len(times) - 1)
    before = after - 1
    share = np.clip((steady - times[before]) / (times[after] - times[before]), 0, 1)
    # A frame that is nearly there stands alone.
    alone = np.where(share < 0.05, before, np.where(share > 0.95, after, -1))
    before, after = np.where(alone >= 0, alone, before), np.where(alone >= 0, alone, after)
    hidden = tracks.hidden[:, before] | tracks.hidden[:, after]
    keypoints = np.where(tracks.hidden[..., None], 0, tracks.keypoints)
    share = share[None, :, None, None]
    moved = (1 - share) * keypoints[:, before] + share * keypoints[:, after]
    lower = np.minimum(tracks.confidence[:, before], tracks.confidence[:, after])
    return (
        tracks._replace(
            keypoints=np.where(hidden[..., None], np.nan, moved).astype(np.float32),
            confidence=np.where(hidden, 0, lower).astype(np.float32),
            hidden=hidden,
        ),
        steady,
    )


def at_times(people: LiftedPeople, times: Float[np.ndarray, " frames"]) -> LiftedPeople:
    """People of a lift at a steady rate on the video's own frames, at ``times`` (seconds).

    Joints, paths, keypoints and covariances lie on the line between the two steady frames around, NaN where
    one of them is; what is no number is that of the nearer frame.
    """
    steady = people.times
    place = np.clip(np.interp(times, steady, np.arange(len(steady))), 0, len(steady) - 1)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, len(steady) - 1)
    share, nearest = place - before, np.round(place).astype(int)

    def between(values: np.ndarray) -> np.ndarray:
        weight = share.reshape(1, -1, *[1] * (values.ndim - 2)).astype(values.dtype)
        mixed = (1 - weight) * values[:, before] + weight * values[:, after]
        exact = np.broadcast_to(weight == 0, mixed.shape)
        return np.where(exact, values[:, before], mixed)

    covariance = people.covariance
    return people._replace(
        joints=between(people.joints),
        root=between(people.root),
        covariance=None if covariance is None else between(covariance),
        present=people.present[:, before] & people.present[:, after],
        residual=people.residual[:, nearest],
        keypoints=between(people.keypoints),
        confidence=people.confidence[:, nearest],
        hidden=people.hidden[:, nearest],
        times=times,
    )
