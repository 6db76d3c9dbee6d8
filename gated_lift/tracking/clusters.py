"""Joining tracklets into people: an assignment over the graph of pairs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gated_lift.skeleton import Skeleton
from gated_lift.tracking.figure import Figure
from gated_lift.tracking.filling import fill_gaps
from gated_lift.tracking.network import LoadedPairs, load_pairs, logits
from gated_lift.tracking.pairs import Ends, Scene, candidates, ends_of, pair_input, scene_of
from gated_lift.tracking.rows import Rows

FEWEST_ROWS = 3


class LinkSettings(NamedTuple):
    """longest: seconds that may lie between two tracklets of one person. shortest: tracklets of fewer
    seconds, or of fewer than `FEWEST_ROWS`, wait until the others are joined, and fill gaps then
    (`filling.fill_gaps`). least: log odds that a link needs in the middle of the picture; far below zero,
    because people seldom appear or vanish there: an unlikely link is mostly likelier than somebody new. Where
    the earlier tracklet ends or the later one begins within ``border`` heights of the picture's edge, half of
    it is needed, where both do, none.
    """

    longest: float = 1.5
    shortest: float = 0.3
    least: float = -9.0
    border: float = 0.5


def link(
    rows: Rows,
    tracklet: Int[np.ndarray, " rows"],
    figure: Figure,
    skeleton: Skeleton,
    settings: LinkSettings = LinkSettings(),
    image_size: tuple[int, int] | None = None,
    loaded: LoadedPairs | None = None,
) -> Int[np.ndarray, " rows"]:
    """The chain of tracklets, one a person, that every row belongs to.

    Of all ways to give every tracklet at most one successor, which begins after its end, and at most one
    predecessor, the one with the largest sum of log odds over the links is taken. That assignment is exact
    (SciPy's `linear_sum_assignment`, for each connected part of the graph); since a link only goes forward in
    time, no chain has two rows on one frame. image_size: width and height in pixels; without it, the box
    around everything that is seen. loaded: the pair network, by default the one that ships.
    """
    loaded = load_pairs() if loaded is None else loaded
    scene = scene_of(rows, tracklet, skeleton)
    loose = _short(rows, tracklet, settings.shortest)
    _, tracklet = np.unique(tracklet, return_inverse=True)
    chain = np.where(loose, -1, tracklet)
    edges = _edges(rows, image_size)
    chain = _join(rows, chain, scene, settings, edges, loaded)
    chain = fill_gaps(rows, chain, loose.astype(int), figure)
    # What is left over takes part in a second round.
    chain = np.where(chain < 0, tracklet, chain)
    return _join(rows, chain, scene, settings, edges, loaded)


def _edges(rows: Rows, image_size: tuple[int, int] | None) -> np.ndarray:
    """Left, top, right and bottom of the picture in pixels."""
    if image_size is not None:
        return np.array([0.0, 0.0, *image_size])
    points = rows.keypoints[rows.seen]
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _short(rows: Rows, tracklet: np.ndarray, shortest: float) -> np.ndarray:
    _, number, counts = np.unique(tracklet, return_inverse=True, return_counts=True)
    first, last = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    np.minimum.at(first, number, rows.time)
    np.maximum.at(last, number, rows.time)
    # n rows last n frames, not n - 1.
    seconds = (last - first) * counts / np.maximum(counts - 1, 1)
    return ((counts < FEWEST_ROWS) | (seconds < shortest - 1e-6))[number]


def _join(
    rows: Rows,
    chain: np.ndarray,
    scene: Scene,
    settings: LinkSettings,
    edges: np.ndarray,
    loaded: LoadedPairs,
) -> np.ndarray:
    """The pair network on all pairs, the best assignment, and chains with the links that it takes."""
    _, pieces = pieces_of(chain)
    ends = [ends_of(rows, piece) for piece in pieces]
    pairs = candidates(ends, settings.longest)
    if not len(pairs):
        return chain
    inputs = [pair_input(scene, pieces[a], pieces[b], ends[a], ends[b]) for a, b in pairs]
    series, facts = (np.stack(values) for values in zip(*inputs, strict=True))
    odds = logits(loaded, series, facts)
    inner = [
        _inside(ends[a].last_centre, ends[a].last_size, edges, settings.border)
        + _inside(ends[b].first_centre, ends[b].first_size, edges, settings.border)
        for a, b in pairs
    ]
    least = settings.least * np.array(inner) / 2
    predecessor = {int(b): int(a) for a, b in _chosen(pairs, odds - least)}
    chain = chain.copy()
    for b in np.argsort([end.first for end in ends], kind="stable").tolist():
        if b in predecessor:
            chain[pieces[b]] = chain[pieces[predecessor[b]][0]]
    return chain


def pieces_of(chain: Int[np.ndarray, " rows"]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The names in ``chain`` that are not negative, and the rows of each in the order of time."""
    order = np.argsort(chain, kind="stable")
    order = order[chain[order] >= 0]
    names, starts = np.unique(chain[order], return_index=True)
    return names, np.split(order, starts[1:]) if len(names) else []


def _inside(centre: np.ndarray, size: float, edges: np.ndarray, border: float) -> bool:
    """Whether somebody of a size in pixels stands away from the picture's edges."""
    near = border * size
    return bool(np.all(centre - near > edges[:2]) and np.all(centre + near < edges[2:]))


def _chosen(pairs: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """The links of the assignment with the largest sum of ``worth``; no link is worth nothing."""
    good = worth > 0
    count = int(pairs.max()) + 1
    graph = coo_array(
        (np.ones(good.sum()), (pairs[good, 0], count + pairs[good, 1])), shape=(2 * count, 2 * count)
    )
    _, part = connected_components(graph, directed=False)
    kept = np.zeros(len(pairs), bool)
    index = np.flatnonzero(good)
    order = index[np.argsort(part[pairs[index, 0]], kind="stable")]
    bounds = np.flatnonzero(np.diff(part[pairs[order, 0]])) + 1
    for edges in np.split(order, bounds):
        if not len(edges):
            continue
        earlier, row = np.unique(pairs[edges, 0], return_inverse=True)
        later, column = np.unique(pairs[edges, 1], return_inverse=True)
        gain = np.zeros((len(earlier), len(later)))
        number = np.full(gain.shape, -1)
        gain[row, column] = worth[edges]
        number[row, column] = edges
        for i, j in zip(*linear_sum_assignment(-gain), strict=True):
            if number[i, j] >= 0:
                kept[number[i, j]] = True
    return pairs[kept]


def limit_people(rows: Rows, chain: Int[np.ndarray, " rows"], people: int) -> Int[np.ndarray, " rows"]:
    """Joins chains, the likeliest first, until no more than ``people`` are left; then drops the shortest.

    Chains are joined that do not overlap in time, over any gap, by how far they are apart for its length and
    how much their sizes differ. Rows that are dropped become −1.
    """
    names, pieces = pieces_of(chain)
    ends = [ends_of(rows, piece) for piece in pieces]
    costs = np.array([[_cost(a, b) for b in ends] for a in ends]).reshape(len(ends), len(ends))
    left = np.ones(len(ends), bool)
    while left.sum() > people:
        a, b = divmod(int(costs.argmin()), len(ends))
        if np.isfinite(costs[a, b]):
            pieces[a], ends[a] = np.concatenate([pieces[a], pieces[b]]), _joined(ends[a], ends[b])
        else:  # all overlap
            b = min(np.flatnonzero(left).tolist(), key=lambda number: len(pieces[number]))
            a = -1
        left[b] = False
        costs[b], costs[:, b] = np.inf, np.inf
        if a >= 0:
            for number in np.flatnonzero(left):
                costs[a, number] = _cost(ends[a], ends[number])
                costs[number, a] = _cost(ends[number], ends[a])
    result = np.full(len(chain), -1)
    for number in np.flatnonzero(left):
        result[pieces[number]] = names[number]
    return result


def _joined(a: Ends, b: Ends) -> Ends:
    return Ends(
        *(a.first, b.last, a.first_centre, b.last_centre),
        *(a.first_speed, b.last_speed, a.first_size, b.last_size),
    )


def _cost(a: Ends, b: Ends) -> float:
    gap = b.first - a.last
    if gap <= 0:
        return np.inf
    size = float(np.sqrt(a.last_size * b.first_size))
    straight = b.first_centre - a.last_centre
    # Who is away for long has gone anywhere.
    speed = (a.last_speed + b.first_speed) / 2 * np.exp(-gap)
    apart = float(np.linalg.norm(straight - gap * speed)) / (size * (0.3 + gap))
    return apart + abs(float(np.log(b.first_size / a.last_size))) / 0.2
