"""From a detector's rows to people: `track`."""

import logging
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int

from gated_lift.people import Detections, Tracks
from gated_lift.tracking.clusters import LinkSettings, limit_people, link
from gated_lift.tracking.doubles import merge_doubles
from gated_lift.tracking.figure import Figure, figure_of
from gated_lift.tracking.online import Frame, OnlineSettings, start, step
from gated_lift.tracking.rows import Rows, check_rows, frame_times, rows_of
from gated_lift.tracking.similarity import likeness
from gated_lift.tracking.swaps import taken_back
from gated_lift.tracking.tracklets import cut_tracklets

LOGGER = logging.getLogger("gated_lift")

Ids = Literal["own", "file"]
Method = Literal["network", "online"]
IDS, METHODS = get_args(Ids), get_args(Method)

# A track of fewer seconds than this is spurious, unless it fills half of the video.
SHORTEST_TRACK = 0.3
# Keypoints of everybody on all frames: seventy people on 100,000 frames of 17 joints.
MAX_KEYPOINTS = 2**27
# A track that on this share of its rows is as like another, longer track's person as this is its double.
DOUBLE_SHARE, DOUBLE_LIKENESS = 0.6, 0.8


class Labelled(NamedTuple):
    """The person of every row of the detections, −1 for rows of nobody; people count from 0 in the order in
    which they appear, on one frame from left to right. spurious, doubles, unusable: tracks and rows that were
    dropped.
    """

    person: Int[np.ndarray, " rows"]
    people: int
    spurious: int
    doubles: int
    unusable: int


def track(
    detections: Detections,
    people: int | None = None,
    ids: Ids = "own",
    threshold: float = 0.3,
    method: Method = "network",
    shortest: float = SHORTEST_TRACK,
) -> Tracks:
    """Sorts the rows of a file by person and hides keypoints that belong to somebody else.

    ids: "own" finds out who is who; "file" keeps the file's ids, and drops rows without one (−1); people,
        method and shortest have no part then. Where the file names its people, so does the answer: with
        "own", whoever has more of a name's rows than anybody else has the name, if these are more than
        half of this person's rows that have any.
    people: how many there are, if that is known: tracks are then joined over any gap until no more than so
        many are left, and the shortest of what cannot be joined are dropped. By default a person who is not
        found for longer than `clusters.LinkSettings.longest` seconds comes back as somebody new.
    threshold: keypoints below this confidence are hidden, and do not count in tracking.
    method: "network" looks at the whole video: tracklets, then a network that says which belong together.
        "online" is the causal tracker of `online`.
    shortest: tracks with rows on fewer seconds are dropped as spurious, unless they have rows on at least
        half of the video's frames; so are tracks that are `DOUBLE_LIKENESS` like another, longer one on
        `DOUBLE_SHARE` of their rows. Not with ids="file".

    Rows of one frame with nearly equal keypoints are one person (`doubles.merge_doubles`), but with
    ids="file" they are whom they say. Everything is measured in seconds and in heights of the person, so that
    neither the frame rate nor the size of the image matters. What was dropped, merged and taken back is
    counted in a log message. Returns tracks in
    the order in which people appear, named "person 1" and so on, or by the file's names or ids in the order
    of ids; none where nobody is found. Raises ValueError when neither fps nor times are known, when
    ids="file" and the file has no ids or one id twice on a frame, for people < 1, for more people on more
    frames than MAX_KEYPOINTS, and for shapes that do not fit.
    """
    if ids not in IDS or method not in METHODS:
        raise ValueError(
            f"ids is {ids!r} and method {method!r}: choose from {', '.join(IDS)} and {', '.join(METHODS)}"
        )
    if people is not None and people < 1:
        raise ValueError(f"people is {people}: say how many there are, at least 1, or None")
    if not shortest >= 0:
        raise ValueError(f"shortest is {shortest}: pass seconds, at least 0")
    figure = figure_of(detections.skeleton)
    if ids == "file":
        person, names = _ids_of_file(detections)
        frame_times(detections)
        unusable = int((person < 0).sum())
        if unusable:
            LOGGER.info("%s: %d rows without an id were dropped", detections.source, unusable)
    else:
        check_rows(detections, threshold)
        single = merge_doubles(detections, figure, threshold)
        if len(single.frame) < len(detections.frame):
            LOGGER.info(
                "%s: %d rows showed somebody a second time, and were merged with the first",
                *(detections.source, len(detections.frame) - len(single.frame)),
            )
        detections = single
        found = label(detections, people, threshold, method, shortest)
        person, names = found.person, _names(detections, found)
        if found.spurious or found.doubles or found.unusable:
            LOGGER.info(
                "%s: %d people; dropped %d spurious tracks, %d doubles and %d rows with too few keypoints",
                *(detections.source, found.people, found.spurious, found.doubles, found.unusable),
            )
    tracks = _sorted_by_person(detections, person, names, threshold)
    back = taken_back(tracks.keypoints, tracks.hidden, frame_times(detections), figure)
    back &= ~tracks.hidden
    if back.any():
        LOGGER.info(
            "%s: %d keypoints were on somebody else or on the other side, and are hidden",
            *(detections.source, int(back.sum())),
        )
    return tracks._replace(hidden=tracks.hidden | back)


def label(
    detections: Detections,
    people: int | None = None,
    threshold: float = 0.3,
    method: Method = "network",
    shortest: float = SHORTEST_TRACK,
    links: LinkSettings = LinkSettings(),
) -> Labelled:
    """Finds the person of every row; arguments as for `track`. links: how tracklets are joined."""
    figure = figure_of(detections.skeleton)
    rows = rows_of(detections, figure, threshold)
    count = len(detections.frame)
    if not len(rows.frame):
        return Labelled(np.full(count, -1), 0, 0, 0, count)
    if method == "online":
        chain = _online(rows, detections, threshold)
    else:
        chain = link(
            rows, cut_tracklets(rows, figure), figure, detections.skeleton, links, detections.image_size
        )
    times = frame_times(detections)
    frame_seconds = float(np.median(np.diff(times))) if len(times) > 1 else shortest
    doubles = _doubles(rows, chain, figure)
    chain = np.where(np.isin(chain, doubles), -1, chain)
    names, seen = np.unique(chain[chain >= 0], return_counts=True)
    short = (seen * frame_seconds < shortest) & (seen < detections.num_frames / 2)
    spurious = names[short]
    if people is not None:
        # Whoever says how many there are wants them all: only what is too many goes, the shortest first.
        spurious = spurious[np.argsort(seen[short], kind="stable")][: max(len(names) - people, 0)]
    chain = np.where(np.isin(chain, spurious), -1, chain)
    if people is not None:
        chain = limit_people(rows, chain, people)
    # Rows stand in the order of frames and from left to right: so do first appearances.
    _, first, inverse = np.unique(chain, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(np.where(chain[first] < 0, -1, first)))
    rank -= int((chain < 0).any())
    person = np.full(count, -1)
    person[rows.source] = np.where(chain < 0, -1, rank[inverse])
    return Labelled(
        person, int(person.max(initial=-1)) + 1, len(spurious), len(doubles), count - len(rows.frame)
    )


def _online(rows: Rows, detections: Detections, threshold: float) -> np.ndarray:
    state = start(detections.skeleton, OnlineSettings(threshold=threshold))
    chain = np.full(len(rows.frame), -1)
    # Rows are in the order of frames: each frame's lie together.
    starts = np.flatnonzero(np.diff(rows.frame, prepend=-1))
    for begin, end in zip(starts, [*starts[1:], len(rows.frame)], strict=True):
        source = rows.source[begin:end]
        frame = Frame(
            float(rows.time[begin]),
            np.asarray(detections.keypoints[source], float),
            np.asarray(detections.confidence[source], float),
        )
        state, chain[begin:end] = step(state, frame)
    return chain


def _doubles(rows: Rows, chain: np.ndarray, figure: Figure) -> np.ndarray:
    """Tracks that are another track's person found twice."""
    names, counts = np.unique(chain, return_counts=True)
    longer = dict(zip(names.tolist(), counts.tolist(), strict=True))
    alike: dict[tuple[int, int], int] = {}
    starts = np.flatnonzero(np.diff(rows.frame, prepend=-1))
    for begin, end in zip(starts, [*starts[1:], len(rows.frame)], strict=True):
        if end - begin < 2:
            continue
        cut = slice(begin, end)
        still = np.zeros(end - begin)
        keypoints, seen = rows.keypoints[cut], rows.seen[cut]
        like = likeness(keypoints, seen, keypoints, seen, rows.size[cut], still, figure)
        for a, b in np.argwhere(like >= DOUBLE_LIKENESS):
            pair = int(chain[begin + a]), int(chain[begin + b])
            if pair[0] != pair[1]:
                alike[pair] = alike.get(pair, 0) + 1
    found = {
        a
        for (a, b), times in alike.items()
        if times >= DOUBLE_SHARE * longer[a] and (longer[a], -a) < (longer[b], -b)
    }
    return np.array(sorted(found), int)


def _ids_of_file(detections: Detections) -> tuple[np.ndarray, tuple[str, ...]]:
    if detections.ids is None:
        raise ValueError(f"{detections.source}: the file has no ids: track with ids='own'")
    given = np.asarray(detections.ids)
    known = given >= 0
    pairs = np.stack([detections.frame[known], given[known]], axis=-1)
    values, counts = np.unique(pairs, axis=0, return_counts=True)
    if (counts > 1).any():
        frame, repeated = values[counts > 1][0]
        raise ValueError(
            f"{detections.source}: frame {frame} has id {repeated} {counts.max()} times: mend the file, or "
            "let ids='own' find out who is who"
        )
    names, person = np.unique(given[known], return_inverse=True)
    people = np.full(len(given), -1)
    people[known] = person
    return people, tuple(detections.names[name] if detections.names else str(name) for name in names)


def _names(detections: Detections, found: Labelled) -> tuple[str, ...]:
    """A name for every person: the file's by majority, as `track` says, and "person N" for the others."""
    plain = [f"person {number + 1}" for number in range(found.people)]
    if detections.ids is None or not detections.names or not found.people:
        return tuple(plain)
    # Somebody whom the file does not name must not get a name that it has for somebody else.
    taken = set(detections.names)
    names = [f"unnamed {number + 1}" if name in taken else name for number, name in enumerate(plain)]
    told = (detections.ids >= 0) & (found.person >= 0)
    counts = np.zeros((found.people, len(detections.names)), int)
    np.add.at(counts, (found.person[told], detections.ids[told]), 1)
    for number, name in enumerate(detections.names):
        person = int(counts[:, number].argmax())
        if 2 * counts[person, number] > counts[person].sum():
            names[person] = name
    return tuple(names)


def _sorted_by_person(
    detections: Detections, person: np.ndarray, names: tuple[str, ...], threshold: float
) -> Tracks:
    joints = detections.skeleton.num_joints
    shape = (len(names), detections.num_frames, joints)
    if len(names) * detections.num_frames * joints > MAX_KEYPOINTS:
        raise ValueError(
            f"{detections.source}: {len(names)} people on {detections.num_frames} frames are more than are "
            "lifted at once: say how many there are (people, --people), or cut it into clips"
        )
    dtype = detections.keypoints.dtype
    keypoints, confidence = np.full((*shape, 2), np.nan, dtype), np.zeros(shape, dtype)
    kept = person >= 0
    place = person[kept], detections.frame[kept]
    keypoints[place] = detections.keypoints[kept]
    confidence[place] = np.nan_to_num(detections.confidence[kept])
    hidden = ~((confidence >= threshold) & np.isfinite(keypoints).all(axis=-1))
    return Tracks(keypoints, confidence, hidden, names, detections.skeleton)
