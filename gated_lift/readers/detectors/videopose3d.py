"""VideoPose3D's ``.npz`` of detections in anyone's video: one person, COCO's or Human3.6M's 17 joints.

The file holds pickled dictionaries, so it is read only where pickles are allowed. Missing frames were
interpolated when it was written and confidence was dropped: every keypoint counts as seen, with confidence 1.
"""

import numpy as np

from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import Rows
from gated_lift.readers.detectors.source import Format, Options, Source
from gated_lift.readers.videopose3d import read_positions_2d
from gated_lift.skeleton import COCO_17, H36M_17

MAX_BYTES = 2**30


def recognise(source: Source) -> bool:
    return source.kind == "npz" and "positions_2d" in source.value


def read(source: Source, options: Options) -> Rows:
    path = source.path
    if source.kind != "npz":
        raise ValueError(f"{path} is no .npz archive: give VideoPose3D's data_2d_custom file")
    file = read_positions_2d(path, allow_pickle=options.allow_pickle, max_bytes=MAX_BYTES)
    if len(file.views) > 1:
        first = ", ".join(f"{view.subject}/{view.action}" for view in file.views[:4])
        raise ValueError(f"{path} holds {len(file.views)} views ({first} …): give a file of one video")
    view = file.views[0]
    skeleton = file.skeleton or skeleton_of(
        view.keypoints.shape[1], (COCO_17, H36M_17), options.skeleton, path
    )
    frames = len(view.keypoints)
    return Rows(
        *(list(range(frames)), view.keypoints.astype(np.float64), view.confidence.astype(np.float64)),
        *(None, skeleton, frames),
        image_size=view.resolution,
    )


FORMAT = Format("videopose3d", "VideoPose3D's archive", recognise, read)
