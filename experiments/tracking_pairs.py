"""Pairs of tracklets from generated crowds, with the answer to whether both are one person."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.crowds import CrowdScene
from gated_lift.tracking.clusters import FEWEST_ROWS, pieces_of
from gated_lift.tracking.figure import figure_of
from gated_lift.tracking.pairs import CHANNELS, FACTS, STEPS, candidates, ends_of, pair_input, scene_of
from gated_lift.tracking.rows import Rows, rows_of
from gated_lift.tracking.tracklets import cut_tracklets

# A tracklet is somebody's when this share of its rows is.
PURE = 0.8
LONGEST = 1.5  # seconds between the tracklets of a pair
# Of pairs far from any doubt only some are kept: those whose ends lie within this many heights all are.
DOUBTFUL, EASY_SHARE = 0.8, 0.3
MOST = 60  # pairs of one cut of a scene


class Pairs(NamedTuple):
    """series, facts: as `gated_lift.tracking.pairs.pair_input` gives them. same: both are one person."""

    series: Float32[np.ndarray, "pairs steps channels"]
    facts: Float32[np.ndarray, "pairs facts"]
    same: Bool[np.ndarray, " pairs"]


def pairs_of(scene: CrowdScene, rng: np.random.Generator) -> Pairs:
    """Pairs of a scene's tracklets as they are cut, and again after rows are taken out.

    Taken out are stretches of up to 1.4 seconds, of one person or of all at once, so that every gap length
    occurs; and each tracklet is cut in two at some place, since tracklets end wherever there is doubt.
    """
    figure = figure_of(scene.detections.skeleton)
    rows = rows_of(scene.detections, figure)
    person = scene.person[rows.source]
    found = [_pairs(rows, person, cut_tracklets(rows, figure), scene.detections.skeleton, rng)]
    kept = np.ones(len(person), bool)
    end = float(rows.time.max(initial=0.0))
    for number in np.unique(person[person >= 0]):
        for _ in range(2):
            begin, length = rng.uniform(0, end), rng.uniform(0.0, 1.4)
            kept &= ~((person == number) & (rows.time >= begin) & (rows.time < begin + length))
    fewer = Rows(*(values[kept] for values in rows))
    tracklet = cut_tracklets(fewer, figure)
    # Every tracklet is cut somewhere, half of them at the same moment as another.
    moment = rng.uniform(0, end)
    for name in np.unique(tracklet):
        index = np.flatnonzero(tracklet == name)
        where = fewer.time[index]
        at = moment if rng.random() < 0.5 else rng.uniform(where[0], where[-1] + 1e-6)
        tracklet[index[where >= at]] += len(tracklet)
    found.append(_pairs(fewer, person[kept], tracklet, scene.detections.skeleton, rng))
    return Pairs(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _pairs(
    rows: Rows,
    person: np.ndarray,
    tracklet: np.ndarray,
    skeleton: Skeleton,
    rng: np.random.Generator,
) -> Pairs:
    # Shorter ones wait until the others are joined, and never come before the network.
    _, number, counts = np.unique(tracklet, return_inverse=True, return_counts=True)
    _, pieces = pieces_of(np.where(counts[number] < FEWEST_ROWS, -1, tracklet))
    ends = [ends_of(rows, piece) for piece in pieces]
    scene = scene_of(rows, tracklet, skeleton)
    owners = []
    for piece in pieces:
        names, counts = np.unique(person[piece], return_counts=True)
        most = counts.argmax()
        owners.append(int(names[most]) if counts[most] >= PURE * len(piece) else -2)
    chosen = []
    for a, b in candidates(ends, LONGEST):
        if -2 in (owners[a], owners[b]):
            continue
        one = owners[a] == owners[b] and owners[a] >= 0
        apart = np.linalg.norm(ends[b].first_centre - ends[a].last_centre) / ends[a].last_size
        if one or apart <= DOUBTFUL or rng.random() < EASY_SHARE:
            chosen.append((int(a), int(b), one))
    if len(chosen) > MOST:
        chosen = [chosen[number] for number in rng.choice(len(chosen), MOST, replace=False)]
    series, facts, same = [], [], []
    for a, b, one in chosen:
        x, known = pair_input(scene, pieces[a], pieces[b], ends[a], ends[b])
        series.append(x)
        facts.append(known)
        same.append(one)
    return Pairs(
        np.array(series, np.float32).reshape(-1, STEPS, CHANNELS),
        np.array(facts, np.float32).reshape(-1, FACTS),
        np.array(same, bool),
    )
