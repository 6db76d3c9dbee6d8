"""MMPose's predictions, of its inferencer and of its demos' ``--save-predictions``.

A video: ``[{"frame_id": 0, "instances": [{"keypoints": [[x, y], …], "keypoint_scores": […]}]}]``, or the same
list as ``instance_info`` beside ``meta_info``. An image: the list of instances alone, and a folder of such
files for a folder of images. 17, 26 or 133 joints. ``track_id`` is read where an instance has it.

Confidence: heat maps' are 0 to 1; those of RTMPose (SimCC) are maxima of its responses, 1 for the response it
was trained to give, and may exceed it: they count as 1 then, and thresholds mean what they mean in MMPose.
"""

from typing import Any

import numpy as np

from gated_lift.readers.detectors.frames import frame_of_name, frames_of_files
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers, as_whole
from gated_lift.readers.detectors.source import (
    Format,
    Options,
    Source,
    drain,
    read_json,
)
from gated_lift.skeleton import COCO_17, COCO_133, HALPE_26

JOINTS = (COCO_17, HALPE_26, COCO_133)


def recognise(source: Source) -> bool:
    value = source.value
    if source.kind == "json folder":
        return _is_instances(value)
    if source.kind != "json":
        return False
    if isinstance(value, dict):
        return isinstance(value.get("instance_info"), list)
    return _is_instances(value) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "instances" in value[0]
    )


def read(source: Source, options: Options) -> Rows:
    frames = _frames(source)
    last = max((frame for frame, _ in frames), default=0)
    of_frame: list[int] = []
    ids: list[int] = []
    keypoints: list[np.ndarray] = []
    confidence: list[np.ndarray] = []
    for _, (frame, instances) in drain(frames):
        if not isinstance(instances, list):
            raise ValueError(f"{source.path}, frame {frame} has no list of instances: {MEND}")
        for number, instance in enumerate(instances):
            where = f"{source.path}, frame {frame}, instance {number}"
            if not isinstance(instance, dict) or not {"keypoints", "keypoint_scores"} <= set(instance):
                raise ValueError(f"{where} has no keypoints and keypoint_scores: {MEND}")
            points = as_numbers(instance["keypoints"], f"{where}: keypoints", (None, 2))
            scores = as_numbers(instance["keypoint_scores"], f"{where}: keypoint_scores", (len(points),))
            if keypoints and len(points) != len(keypoints[0]):
                raise ValueError(
                    f"{where}: {len(points)} joints, but {len(keypoints[0])} before it: give one model's "
                    "predictions"
                )
            of_frame.append(frame)
            ids.append(as_id(instance.get("track_id"), f"{where}: track_id"))
            keypoints.append(points)
            confidence.append(scores)
    if not keypoints:
        raise ValueError(f"{source.path} shows nobody on any frame: give a video that people were found in")
    skeleton = skeleton_of(len(keypoints[0]), JOINTS, options.skeleton, source.path)
    return Rows(of_frame, np.stack(keypoints), np.stack(confidence), ids, skeleton, last + 1)


def _frames(source: Source) -> list[tuple[int, Any]]:
    path, value = source.path, source.value
    if source.kind == "json folder":
        numbers = frames_of_files(source.path, source.files)
        return [(number, read_json(file)) for number, file in zip(numbers, source.files, strict=True)]
    if _is_instances(value):
        return [(frame_of_name(path.name) or 0, value)]
    listed = value.get("instance_info") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise ValueError(f"{path} has no list of frames: {MEND}")
    frames: dict[int, Any] = {}
    for number, entry in drain(listed):
        if not isinstance(entry, dict) or "instances" not in entry:
            raise ValueError(f"{path}, entry {number} has no instances: {MEND}")
        frame = as_whole(entry.get("frame_id", number), f"{path}, entry {number}: frame_id")
        if frame in frames:
            raise ValueError(f"{path} has frame {frame} twice: give one video's predictions")
        frames[frame] = entry["instances"]
    return list(frames.items())


def _is_instances(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and {"keypoints", "keypoint_scores"} <= set(value[0])
    )


FORMAT = Format("mmpose", "MMPose's predictions", recognise, read)
