"""easy_ViTPose's JSON.

``{"keypoints": [{"0": [[y, x, c], …]}, …], "skeleton": {"0": "nose", …}}``: one dictionary a frame, from the
tracker's id to the person's joints, **y before x**; ``{}`` where nobody is found. 17 joints, 25 or 133.
Confidence is 0 to 1.
"""

import numpy as np

from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers
from gated_lift.readers.detectors.source import Format, Options, Source, drain
from gated_lift.skeleton import COCO_17, COCO_133, VITPOSE_25

JOINTS = (COCO_17, VITPOSE_25, COCO_133)


def recognise(source: Source) -> bool:
    value = source.value
    return (
        source.kind == "json"
        and isinstance(value, dict)
        and isinstance(value.get("keypoints"), list)
        and "skeleton" in value
        and all(isinstance(frame, dict) for frame in value["keypoints"][:100])
    )


def read(source: Source, options: Options) -> Rows:
    path, value = source.path, source.value
    if not isinstance(value, dict) or not isinstance(value.get("keypoints"), list):
        raise ValueError(f"{path} has no list of frames under keypoints: {MEND}")
    of_frame: list[int] = []
    ids: list[int] = []
    people: list[np.ndarray] = []
    for frame, found in drain(value["keypoints"]):
        if not isinstance(found, dict):
            raise ValueError(
                f"{path}, frame {frame} is {type(found).__name__}, expected people by id: {MEND}"
            )
        for key, joints in found.items():
            where = f"{path}, frame {frame}, id {key[:20]!r}"
            person = as_numbers(joints, where, (None, 3))
            if people and len(person) != len(people[0]):
                raise ValueError(
                    f"{where}: {len(person)} joints, but {len(people[0])} before it: give one model's results"
                )
            of_frame.append(frame)
            ids.append(as_id(key, where))
            people.append(person)
    if not people:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    stacked = np.stack(people)
    skeleton = skeleton_of(stacked.shape[1], JOINTS, options.skeleton, path)
    return Rows(of_frame, stacked[..., 1::-1], stacked[..., 2], ids, skeleton, len(value["keypoints"]))


FORMAT = Format("easy_vitpose", "easy_ViTPose's JSON", recognise, read)
