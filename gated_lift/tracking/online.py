"""A causal tracker: each frame is answered when it comes, from what came before.

    state = start(skeleton)
    for frame in frames:
        state, ids = step(state, frame)

Every person moves on at constant speed; the rows of a new frame are assigned to the expected people by the
likeness of their keypoints (`similarity.likeness`). People who are not found are kept for a while, and move
as the visible people do beside their own speed, since a hand-held camera moves all of them at once.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from gated_lift.skeleton import Skeleton
from gated_lift.tracking.figure import Figure, centres, figure_of, sizes
from gated_lift.tracking.rows import FEWEST_JOINTS
from gated_lift.tracking.similarity import likeness


class OnlineSettings(NamedTuple):
    """Times in seconds, lengths in heights of the person.

    threshold: a joint counts as seen from this confidence on. remember: how long somebody who is not found
    is waited for. recent: people found within this time have the first choice of rows. nearest: the least
    likeness that joins a row to a person. slack, slack_rate: how far an expectation may be wrong at once, and
    how much farther a second. smoothing: time constant of the filter of speeds.
    """

    threshold: float = 0.3
    remember: float = 1.5
    recent: float = 0.15
    nearest: float = 0.2
    tight: float = 0.15
    slack: float = 0.02
    slack_rate: float = 0.5
    smoothing: float = 0.35


class Frame(NamedTuple):
    """What a detector found on one frame, in any order.

    time: seconds. keypoints: pixels, NaN where there are none. confidence: 0 to 1.
    """

    time: float
    keypoints: Float[np.ndarray, "rows joints 2"]
    confidence: Float[np.ndarray, "rows joints"]


class OnlineState(NamedTuple):
    """Everybody who is known, one entry a person; a new state is made on every frame.

    keypoints: pixels, relative to ``centre``, each joint as it was last seen. seen: joints that ever were.
    centre: pixels; velocity: pixels a second; size: pixels; last: when the person was last found, seconds.
    """

    figure: Figure
    settings: OnlineSettings
    time: float
    next_id: int
    ids: Int[np.ndarray, " people"]
    keypoints: Float[np.ndarray, "people joints 2"]
    seen: Float[np.ndarray, "people joints"]
    centre: Float[np.ndarray, "people 2"]
    velocity: Float[np.ndarray, "people 2"]
    size: Float[np.ndarray, " people"]
    last: Float[np.ndarray, " people"]


# A joint that was not seen for so long no longer counts in a comparison.
STALE = 0.5


def start(skeleton: Skeleton, settings: OnlineSettings = OnlineSettings()) -> OnlineState:
    """The state before the first frame. Raises ValueError for settings that are not positive."""
    for name, value in settings._asdict().items():
        if not value >= 0 or (name in ("remember", "smoothing") and value == 0):
            raise ValueError(f"settings.{name} is {value}: pass a positive number")
    joints = skeleton.num_joints
    return OnlineState(
        figure=figure_of(skeleton),
        settings=settings,
        time=-np.inf,
        next_id=0,
        ids=np.zeros(0, int),
        keypoints=np.zeros((0, joints, 2)),
        seen=np.zeros((0, joints)),
        centre=np.zeros((0, 2)),
        velocity=np.zeros((0, 2)),
        size=np.zeros(0),
        last=np.zeros(0),
    )


def step(state: OnlineState, frame: Frame) -> tuple[OnlineState, Int[np.ndarray, " rows"]]:
    """Takes one frame in; returns the new state and the person of each of its rows.

    Ids count from 0 in the order in which people appear; −1 marks a row with too few seen joints to tell.
    Raises ValueError when time does not grow or the joints are not those of the skeleton.
    """
    joints = state.keypoints.shape[1]
    if frame.keypoints.shape[1:] != (joints, 2) or frame.confidence.shape != frame.keypoints.shape[:2]:
        raise ValueError(
            f"frame.keypoints has shape {frame.keypoints.shape} and confidence {frame.confidence.shape}: "
            f"pass (rows, {joints}, 2) and (rows, {joints})"
        )
    if not np.isfinite(frame.time) or not frame.time > state.time:
        raise ValueError(
            f"frame.time is {frame.time} s after {state.time} s: pass frames in order, times in seconds"
        )
    settings, figure = state.settings, state.figure
    seen = np.isfinite(frame.keypoints).all(axis=-1) & (frame.confidence >= settings.threshold)
    keypoints = np.where(seen[..., None], frame.keypoints, 0.0).astype(float)
    usable = np.flatnonzero(seen.sum(axis=1) >= min(FEWEST_JOINTS, joints))
    size = sizes(keypoints, seen, figure)
    known = np.isfinite(size)
    others = np.concatenate([size[known], state.size])
    size = np.where(known, size, np.median(others) if len(others) else 1.0)
    centre = centres(keypoints, seen, size, figure)

    state = _forget(state, frame.time)
    passed = frame.time - state.time if len(state.ids) else 0.0
    expected = state.centre + state.velocity * passed
    ids = np.full(len(keypoints), -1)
    matches = _assign(state, expected, frame.time, keypoints, seen, usable)

    # What all visible people do beside their own speed is taken for the camera's motion.
    surprise = np.array([centre[row] - expected[person] for person, row in matches]).reshape(-1, 2)
    shake = surprise.sum(axis=0) / (len(surprise) + 1)
    gain = -np.expm1(-passed / settings.smoothing)
    new: dict[str, Any] = {name: np.array(getattr(state, name)) for name in _PERSON}
    found = np.zeros(len(state.ids), bool)
    found[[person for person, _ in matches]] = True
    new["centre"] = np.where(found[:, None], new["centre"], expected + shake)
    if passed > 0:
        new["velocity"] = np.where(found[:, None], new["velocity"], new["velocity"] + gain * shake / passed)
    for person, row in matches:
        ids[row] = state.ids[person]
        gap = max(frame.time - state.last[person], 1e-6)
        moved = (centre[row] - expected[person]) / gap
        new["velocity"][person] += -np.expm1(-gap / settings.smoothing) * moved
        new["centre"][person] = centre[row]
        if known[row]:
            new["size"][person] += -np.expm1(-gap / 0.5) * (size[row] - new["size"][person])
        new["keypoints"][person] = np.where(
            seen[row][:, None], keypoints[row] - centre[row], new["keypoints"][person]
        )
        new["seen"][person] = np.where(seen[row], frame.time, new["seen"][person])
        new["last"][person] = frame.time

    # People who were not expected, from left to right.
    strangers = [int(row) for row in usable if ids[row] < 0]
    strangers.sort(key=lambda row: (centre[row, 0], centre[row, 1]))
    next_id = state.next_id
    for row in strangers:
        ids[row] = next_id
        entry: dict[str, Any] = {
            "ids": next_id,
            "keypoints": np.where(seen[row][:, None], keypoints[row] - centre[row], 0.0),
            "seen": np.where(seen[row], frame.time, -np.inf),
            "centre": centre[row],
            "velocity": shake / passed * gain if passed > 0 else np.zeros(2),
            "size": size[row],
            "last": frame.time,
        }
        new = {name: np.concatenate([new[name], np.array(entry[name])[None]]) for name in _PERSON}
        next_id += 1
    return state._replace(time=float(frame.time), next_id=next_id, **new), ids


_PERSON = ("ids", "keypoints", "seen", "centre", "velocity", "size", "last")


def _forget(state: OnlineState, time: float) -> OnlineState:
    kept = time - state.last <= state.settings.remember
    people: dict[str, Any] = {name: getattr(state, name)[kept] for name in _PERSON}
    return state._replace(**people)


def _assign(
    state: OnlineState,
    expected: np.ndarray,
    time: float,
    keypoints: np.ndarray,
    seen: np.ndarray,
    usable: np.ndarray,
) -> list[tuple[int, int]]:
    """(person, row) of those that belong together; people found recently choose first."""
    settings = state.settings
    if not len(state.ids) or not len(usable):
        return []
    gap = time - state.last
    like = likeness(
        expected[:, None] + state.keypoints,
        # A limb moves on: only what was seen shortly before the person was lost says where it is.
        state.last[:, None] - state.seen <= STALE,
        keypoints[usable],
        seen[usable],
        state.size,
        settings.slack + settings.slack_rate * gap,
        state.figure._replace(spread=settings.tight * state.figure.spread),
    )
    matches: list[tuple[int, int]] = []
    recent = gap <= max(settings.recent, float(gap.min()))
    free = np.ones(len(usable), bool)
    for people in (np.flatnonzero(recent), np.flatnonzero(~recent)):
        rows = np.flatnonzero(free)
        if not len(people) or not len(rows):
            continue
        for a, b in zip(*linear_sum_assignment(-like[np.ix_(people, rows)]), strict=True):
            if like[people[a], rows[b]] >= settings.nearest:
                matches.append((int(people[a]), int(usable[rows[b]])))
                free[rows[b]] = False
    return matches
