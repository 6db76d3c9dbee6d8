"""OpenPose's JSON: a folder with a file a frame, or one such file.

``{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, c, …]}]}``, with ``people: []``
where nobody is found. Frames are numbered by the files' names; missing files are frames with nobody. Other
tools write the same files with other joints, so 17, 26, 33 and 133 are read too. Confidence is 0 to 1.
"""

from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.readers.detectors.frames import frame_of_name, frames_of_files
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers
from gated_lift.readers.detectors.source import (
    Format,
    Options,
    Source,
    read_json,
)
from gated_lift.skeleton import (
    BODY_25,
    BODY_25B,
    COCO_17,
    COCO_18,
    COCO_133,
    HALPE_26,
    MEDIAPIPE_33,
)

JOINTS = (BODY_25, BODY_25B, COCO_18, COCO_17, HALPE_26, MEDIAPIPE_33, COCO_133)
# The second is what versions before 1.2 wrote.
KEYS = ("pose_keypoints_2d", "pose_keypoints")


def recognise(source: Source) -> bool:
    return source.kind in ("json", "json folder") and _is_frame(source.value)


def read(source: Source, options: Options) -> Rows:
    files: tuple[Path, ...]
    if source.kind == "json":
        files, frames = (source.path,), [frame_of_name(source.path.name) or 0]
    else:
        files, frames = source.files, frames_of_files(source.path, source.files)
    of_frame: list[int] = []
    ids: list[int] = []
    people: list[np.ndarray] = []
    for file, frame in zip(files, frames, strict=True):
        value = source.value if source.kind == "json" else read_json(file)
        for person, person_id in read_people(value, file):
            if people and len(person) != len(people[0]):
                raise ValueError(
                    f"{file} has {len(person)} joints a person, the files before it {len(people[0])}: give a "
                    "folder of one detector's files"
                )
            of_frame.append(frame)
            ids.append(person_id)
            people.append(person)
    if not people:
        raise ValueError(f"{source.path} shows nobody on any frame: give a video that people were found in")
    found = np.stack(people)
    keypoints, confidence = found[..., :2], found[..., 2]
    if not (confidence > 0).any():
        raise ValueError(f"{source.path} shows nobody on any frame: its confidences are all 0, less or NaN")
    skeleton = skeleton_of(keypoints.shape[1], JOINTS, options.skeleton, source.path, keypoints, confidence)
    return Rows(of_frame, _scaled(keypoints, confidence), confidence, ids, skeleton, max(frames) + 1)


def read_people(value: Any, file: Path, mend: str = MEND) -> list[tuple[np.ndarray, int]]:
    """(joints, 3) and the id of every person of one frame. Raises ValueError, beginning with ``file`` and
    ending with ``mend``, for what is none.
    """
    if not _is_frame(value):
        raise ValueError(f"{file} is not a frame of OpenPose (no list of people): {mend}")
    found = []
    for number, person in enumerate(value["people"]):
        where = f"{file}, person {number}"
        key = next((key for key in KEYS if isinstance(person, dict) and key in person), None)
        if key is None:
            raise ValueError(f"{where} has no {KEYS[0]}: {mend}")
        flat = as_numbers(person[key], f"{where}: {key}", (None,), mend)
        if len(flat) == 0:  # hands or a face without a body
            continue
        if len(flat) % 3:
            raise ValueError(f"{where}: {key} has {len(flat)} numbers, not x, y, c of each joint: {mend}")
        found.append((flat.reshape(-1, 3), as_id(person.get("person_id"), f"{where}: person_id")))
    return found


def _is_frame(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("people"), list)


def _scaled(keypoints: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Shares of the image from −1 to 1 (``--keypoint_scale 4``) as shares from 0 to 1; others unchanged.

    Shares from 0 to 1 never are negative, because OpenPose finds nothing outside the image.
    """
    visible = keypoints[confidence > 0]
    if visible.size and np.nanmax(np.abs(visible), initial=0) <= 1 and (visible < 0).any():
        return np.where(confidence[..., None] > 0, (keypoints + 1) / 2, keypoints)
    return keypoints


FORMAT = Format("openpose", "OpenPose's JSON", recognise, read)
