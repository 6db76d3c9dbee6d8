"""SLEAP's analysis HDF5: ``tracks`` (tracks, 2, nodes, frames), ``node_names``, ``point_scores`` (tracks,
nodes, frames), ``track_names``.

Joints go by the nodes' names; NaN is hidden; a track is a person, with the name that it has there. Point
scores are 0 to 1 (a little above it counts as 1); a file without them has confidence 1 wherever there is a
point.
"""

import numpy as np

from gated_lift.readers.detectors.arrays import number_array
from gated_lift.readers.detectors.h5_file import open_h5, read_array, texts_of
from gated_lift.readers.detectors.layouts import named_skeleton, take
from gated_lift.readers.detectors.rows import Rows, count_names
from gated_lift.readers.detectors.source import Format, Options, Source


def recognise(source: Source) -> bool:
    return source.kind == "h5" and {"tracks", "node_names"} <= set(source.value)


def read(source: Source, options: Options) -> Rows:
    path = source.path
    if source.kind != "h5":
        raise ValueError(f"{path} is no HDF5 file: export SLEAP's analysis HDF5")
    with open_h5(path) as file:
        tracks = number_array(read_array(file, "tracks", path), "tracks", path)
        nodes = read_array(file, "node_names", path)
        scores = read_array(file, "point_scores", path) if "point_scores" in file else None
        track_names = read_array(file, "track_names", path) if "track_names" in file else np.zeros(0, "S1")
    if tracks.ndim != 4 or tracks.shape[1] != 2 or 0 in tracks.shape or nodes.shape != tracks.shape[2:3]:
        raise ValueError(
            f"{path}: tracks has shape {tracks.shape} and node_names {nodes.shape}, expected (tracks, 2, "
            "nodes, frames) and (nodes,): export SLEAP's analysis HDF5"
        )
    people, _, joints, frames = tracks.shape
    if scores is None:
        confidence = np.ones((people, joints, frames))
    else:
        confidence = number_array(scores, "point_scores", path)
        if confidence.shape != (people, joints, frames):
            raise ValueError(
                f"{path}: tracks has shape {tracks.shape} and point_scores {confidence.shape}: "
                "export them again"
            )
    names = texts_of(nodes)
    people_names: tuple[str, ...] = ()
    if track_names.shape == (people,):
        # A name that two tracks share tells nobody apart.
        _, counted = count_names(texts_of(track_names))
        people_names = counted if len(counted) == people else ()
    skeleton, index = named_skeleton(names, options.skeleton, "sleap", path)
    keypoints = tracks.transpose(3, 0, 2, 1).reshape(frames * people, joints, 2)
    spread = confidence.transpose(2, 0, 1).reshape(frames * people, joints)
    return Rows(
        np.repeat(np.arange(frames), people).tolist(),
        take(keypoints, index),
        take(spread, index),
        list(range(people)) * frames,
        skeleton,
        frames,
        names=people_names,
    )


FORMAT = Format("sleap", "SLEAP's analysis HDF5", recognise, read)
