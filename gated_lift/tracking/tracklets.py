"""Pieces of tracks that nobody doubts: rows of neighbouring frames that can only be one person."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from gated_lift.tracking.figure import Figure
from gated_lift.tracking.rows import Rows
from gated_lift.tracking.similarity import boxes, likeness, overlaps


class TrackletSettings(NamedTuple):
    """nearest: the least similarity of neighbouring rows. margin: how much less similar every other choice
    must be, on both sides. overlap: the weight of the boxes' overlap beside the keypoints' likeness. tight:
    the share of `Figure.spread` that counts here, since a detector differs less from itself on the next frame
    than from the truth. slack,
    slack_rate: how far an expectation may be wrong, in heights, and how much farther a second. skip: seconds
    without a row that do not end a tracklet. smoothing: seconds over which speed is taken.
    """

    nearest: float = 0.3
    margin: float = 0.05
    overlap: float = 0.1
    tight: float = 0.15
    slack: float = 0.02
    slack_rate: float = 0.4
    skip: float = 0.2
    smoothing: float = 0.1


def cut_tracklets(
    rows: Rows, figure: Figure, settings: TrackletSettings = TrackletSettings()
) -> Int[np.ndarray, " rows"]:
    """The tracklet of every row, counted from 0 in the order in which they begin.

    Every tracklet is moved on at its speed to the next frame and compared with that frame's rows,

        similarity = (1 − w) likeness of keypoints + w overlap of boxes,

    the best one-to-one assignment is kept (SciPy's `linear_sum_assignment`), and of it only pairs that are
    similar enough and whose rows have no other choice nearly as similar: any doubt ends a tracklet, and what
    follows begins another.
    """
    tracklet = np.full(len(rows.frame), -1)
    box = boxes(rows.keypoints, rows.seen)
    starts = np.flatnonzero(np.diff(rows.frame, prepend=-1))
    ends = [*starts[1:], len(rows.frame)]
    velocity, begun = np.zeros((len(rows.frame), 2)), np.zeros(len(rows.frame), bool)
    before: np.ndarray = np.zeros(0, int)  # the last row of every tracklet that still may go on
    count = 0
    for begin, end in zip(starts, ends, strict=True):
        here = np.arange(begin, end)
        frame, time = rows.frame[begin], rows.time[begin]
        going = (rows.frame[before] == frame - 1) | (time - rows.time[before] <= settings.skip)
        before = before[going]
        pairs, missed = _pairs(rows, box, velocity, before, here, figure, settings)
        for a, b in pairs:
            tracklet[b] = tracklet[a]
            passed = time - rows.time[a]
            keep = np.exp(-passed / settings.smoothing)
            velocity[b] = keep * velocity[a] + (1 - keep) * (rows.centre[b] - rows.centre[a]) / passed
            if begun[a]:  # no speed is known yet
                velocity[b] = (rows.centre[b] - rows.centre[a]) / passed
        for row in here[tracklet[here] < 0]:
            tracklet[row] = count
            begun[row] = True
            count += 1
        before = np.concatenate([missed, here]).astype(int)
    return tracklet


def _pairs(
    rows: Rows,
    box: np.ndarray,
    velocity: np.ndarray,
    before: np.ndarray,
    here: np.ndarray,
    figure: Figure,
    settings: TrackletSettings,
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Pairs (earlier row, row here) without a doubt, and the earlier rows that nothing here resembles."""
    if not len(before) or not len(here):
        return [], before
    passed = rows.time[here[0]] - rows.time[before]
    moved = velocity[before] * passed[:, None]
    like = likeness(
        rows.keypoints[before] + moved[:, None],
        rows.seen[before],
        rows.keypoints[here],
        rows.seen[here],
        rows.size[before],
        settings.slack + settings.slack_rate * passed,
        figure._replace(spread=settings.tight * figure.spread),
    )
    common = overlaps(box[before] + np.tile(moved, 2), box[here])
    similarity = (1 - settings.overlap) * like + settings.overlap * common
    found = []
    for a, b in zip(*linear_sum_assignment(-similarity), strict=True):
        value = similarity[a, b]
        rival = max(
            np.delete(similarity[a], b).max(initial=0.0), np.delete(similarity[:, b], a).max(initial=0.0)
        )
        if value >= settings.nearest and value - rival >= settings.margin:
            found.append((int(before[a]), int(here[b])))
    # A tracklet that had a choice ends; one that had none may only have been missed.
    return found, before[similarity.max(axis=1) < settings.nearest]
