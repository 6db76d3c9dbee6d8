"""Videos whose frames do not come at one rate: keypoints are brought to one, and joints back."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from gated_lift.people import LiftedPeople, Tracks
from solvers import Extrinsics

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


def at_times(people: LiftedPeople, times: Float[np.ndarray, " other"]) -> LiftedPeople:
    """The same people on frames at other ``times``, seconds inside those of the clip.

    Joints, paths, keypoints and covariances lie on the line between the two frames around, NaN where one of
    them is; a camera turns evenly between them; what is no number is that of the nearer frame. Frames that
    are there but for rounding stay as they are, and ``fps`` is not touched.
    """
    before, after, share = _around(people.times, times)
    nearest = np.where(share > 0.5, after, before)

    def between(values: Float[np.ndarray, "people frames *rest"]) -> Float[np.ndarray, "people other *rest"]:
        weight = share.reshape(-1, *[1] * (values.ndim - 2)).astype(values.dtype)
        low, high = values[:, before], values[:, after]
        # A weight of nothing must not let the NaN of an absent neighbour in.
        return np.where(weight == 0, low, np.where(weight == 1, high, low + weight * (high - low)))

    covariance = people.covariance
    # Where a frame alone counts, the other has no say.
    first, second = np.where(share == 1, after, before), np.where(share == 0, before, after)
    return people._replace(
        joints=between(people.joints),
        root=between(people.root),
        covariance=None if covariance is None else between(covariance),
        present=people.present[:, first] & people.present[:, second],
        residual=people.residual[:, nearest],
        keypoints=between(people.keypoints),
        confidence=people.confidence[:, nearest],
        hidden=people.hidden[:, nearest],
        times=times,
        extrinsics=camera_at_times(people.extrinsics, people.times, times),
    )


def camera_at_times(
    extrinsics: Extrinsics | None, times: Float[np.ndarray, " frames"], others: Float[np.ndarray, " other"]
) -> Extrinsics | None:
    """A camera's pose at ``others``, of its pose at ``times`` (seconds, rising): positions along lines,
    rotations along great circles, held before the first and after the last. A camera with one pose for the
    whole clip, and none, stay as they are.
    """
    if extrinsics is None or np.shape(extrinsics.position)[-2] != len(times) or len(times) == 1:
        return extrinsics
    position, rotation = np.asarray(extrinsics.position), np.asarray(extrinsics.rotation)
    before, after, share = _around(times, others)
    weight = share[:, None].astype(position.dtype)
    moved = position[..., before, :] + weight * (position[..., after, :] - position[..., before, :])
    within = np.clip(others, times[0], times[-1])
    turned = [
        Slerp(times, Rotation.from_matrix(path))(within).as_matrix()
        for path in rotation.reshape(-1, len(times), 3, 3)
    ]
    turned_all = np.array(turned, rotation.dtype).reshape(*rotation.shape[:-3], len(others), 3, 3)
    # What is exactly on a frame does not go through quaternions.
    exact = (share == 0) | (share == 1)
    nearest = rotation[..., np.where(share > 0.5, after, before), :, :]
    return Extrinsics(np.where(exact[:, None, None], nearest, turned_all), moved)


def _around(
    times: Float[np.ndarray, " frames"], others: Float[np.ndarray, " other"]
) -> tuple[Int[np.ndarray, " other"], Int[np.ndarray, " other"], Float[np.ndarray, " other"]]:
    """The frames before and after each of some times, and the share of the way from one to the other."""
    after = np.clip(np.searchsorted(times, others), 1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    length = np.where(after > before, times[after] - times[before], 1.0)
    share = np.clip((others - times[before]) / length, 0, 1)
    # On a frame but for rounding is on it: nothing of the other frame then.
    return before, after, np.where(np.abs(share - np.round(share)) < 1e-6, np.round(share), share)
