"""Rows left over where people overlapped, given to the people whose tracks have a gap there."""

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from gated_lift.tracking.figure import Figure
from gated_lift.tracking.rows import Rows
from gated_lift.tracking.similarity import likeness

# Seconds over which a gap is interpolated, or a track continued beyond its ends; the least likeness.
LONGEST, BEYOND, NEAREST = 1.5, 0.2, 0.3
# How far an interpolation may be wrong, in heights, at once and for every second to the nearest row.
SLACK, SLACK_RATE = 0.03, 0.3


def fill_gaps(
    rows: Rows, chain: Int[np.ndarray, " rows"], loose: Int[np.ndarray, " rows"], figure: Figure
) -> Int[np.ndarray, " rows"]:
    """Chains with ``loose`` rows added wherever one fits.

    chain: the chain of every row, −1 for rows of none. loose: 1 for rows that may be given to a chain.
    On each frame the loose rows are assigned to the chains that have no row there (SciPy's
    `linear_sum_assignment`), by the likeness to what lies between the chain's rows before and after: the
    centre on a straight line, the pose of the nearer one.
    """
    chain = chain.copy()
    order = np.argsort(chain, kind="stable")
    order = order[chain[order] >= 0]
    names, starts = np.unique(chain[order], return_index=True)
    pieces = np.split(order, starts[1:]) if len(names) else []
    open_rows = np.flatnonzero((loose > 0) & (chain < 0))
    for frame in np.unique(rows.frame[open_rows]):
        here = open_rows[rows.frame[open_rows] == frame]
        expected = [_expected(rows, piece, float(rows.time[here[0]]), int(frame)) for piece in pieces]
        known = [number for number, guess in enumerate(expected) if guess is not None]
        guesses = [guess for guess in expected if guess is not None]
        if not guesses:
            continue
        keypoints, near, away = (np.array(values) for values in zip(*guesses, strict=True))
        like = likeness(
            keypoints,
            rows.seen[near],
            rows.keypoints[here],
            rows.seen[here],
            rows.size[near],
            SLACK + SLACK_RATE * away,
            figure,
        )
        for a, b in zip(*linear_sum_assignment(-like), strict=True):
            if like[a, b] >= NEAREST:
                chain[here[b]] = names[known[a]]
    return chain


def _expected(rows: Rows, piece: np.ndarray, time: float, frame: int) -> tuple[np.ndarray, int, float] | None:
    """Keypoints where a chain should be, the row they come from, and the seconds between."""
    after = int(np.searchsorted(rows.frame[piece], frame))
    if after < len(piece) and rows.frame[piece[after]] == frame:
        return None
    later = int(piece[after]) if after < len(piece) else None
    earlier = int(piece[after - 1]) if after > 0 else None
    if earlier is None or later is None:
        end = later if earlier is None else earlier
        assert end is not None
        away = abs(float(rows.time[end]) - time)
        return (rows.keypoints[end], end, away) if away <= BEYOND else None
    gap = float(rows.time[later] - rows.time[earlier])
    if gap > LONGEST:
        return None
    share = (time - float(rows.time[earlier])) / gap
    near = earlier if share < 0.5 else later
    centre = rows.centre[earlier] * (1 - share) + rows.centre[later] * share
    away = min(share, 1 - share) * gap
    return rows.keypoints[near] - rows.centre[near] + centre, near, away
