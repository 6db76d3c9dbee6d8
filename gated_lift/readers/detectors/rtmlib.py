"""rtmlib's answers, which users save themselves: ``keypoints, scores = model(frame)``.

Layout for ``.npz``: ``keypoints`` (frames, people, joints, 2) pixels and ``scores`` (frames, people, joints),
with NaN or zeros where a frame has fewer people; or a row a person, with ``frame`` (rows,) beside (rows,
joints, 2) and (rows, joints). ``fps`` and ``image_size`` (width, height) may stand beside them. Layout for
JSON: a list a frame of ``{"keypoints": keypoints.tolist(), "scores": scores.tolist()}``, each with its
``"frame"`` if some are left out.

17 joints, Halpe's 26, 133, or 18 with ``to_openpose=True``. rtmlib's tracker returns no ids, so there are
none. Scores are the mean of two maxima of SimCC's responses, 1 for the response that it was trained to give,
and may exceed it: they count as 1 then.
"""

import numpy as np

from gated_lift.readers.detectors.arrays import described, flatten, number_array, with_people
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_numbers, as_whole
from gated_lift.readers.detectors.source import Format, Options, Source, drain
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import COCO_17, COCO_18, COCO_133, HALPE_26

JOINTS = (COCO_17, HALPE_26, COCO_133, COCO_18)
MAX_BYTES = 2**30


def recognise(source: Source) -> bool:
    value = source.value
    if source.kind == "npz":
        return {"keypoints", "scores"} <= set(value)
    first = value[0] if source.kind == "json" and isinstance(value, list) and value else None
    return isinstance(first, dict) and {"keypoints", "scores"} <= set(first)


def read(source: Source, options: Options) -> Rows:
    if source.kind not in ("npz", "json"):
        raise ValueError(f"{source.path} is neither .npz nor JSON: save keypoints and scores as documented")
    return _read_npz(source, options) if source.kind == "npz" else _read_json(source, options)


def _read_npz(source: Source, options: Options) -> Rows:
    path = source.path
    arrays = read_npz(path, ["keypoints", "scores"], ["frame", "fps", "image_size"], max_bytes=MAX_BYTES)
    fps, size = described(arrays, path)
    scores = number_array(arrays["scores"], "scores", path)
    if "frame" in arrays:
        frame = arrays["frame"]
        keypoints = with_people(arrays["keypoints"], "keypoints", path, (2,))[:, 0]
        if frame.shape != (len(keypoints),) or frame.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: frame has shape {frame.shape}, expected a whole number for each of "
                f"{len(keypoints)} rows: {MEND}"
            )
        frames, num_frames = frame.tolist(), 0
    else:
        whole = with_people(arrays["keypoints"], "keypoints", path, (2,))
        frames, keypoints = flatten(whole)
        num_frames = len(whole)
    if scores.size != keypoints[..., 0].size or scores.shape[-1:] != keypoints.shape[1:2]:
        raise ValueError(
            f"{path}: keypoints has shape {arrays['keypoints'].shape}, scores {scores.shape}: save both of "
            "the same frames"
        )
    skeleton = skeleton_of(keypoints.shape[1], JOINTS, options.skeleton, path)
    scores = scores.reshape(keypoints.shape[:2])
    return Rows(frames, keypoints, scores, None, skeleton, num_frames, fps, image_size=size)


def _read_json(source: Source, options: Options) -> Rows:
    path = source.path
    if not isinstance(source.value, list):
        raise ValueError(f"{path} holds {type(source.value).__name__}, expected a list of frames: {MEND}")
    frames: list[int] = []
    keypoints: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    seen = set()
    for number, entry in drain(source.value):
        if not isinstance(entry, dict) or not {"keypoints", "scores"} <= set(entry):
            raise ValueError(f"{path}, entry {number} has no keypoints and scores: {MEND}")
        frame = as_whole(entry.get("frame", number), f"{path}, entry {number}: frame")
        if frame in seen:
            raise ValueError(f"{path} has frame {frame} twice: number the frames in the video's order")
        seen.add(frame)
        where = f"{path}, frame {frame}"
        if isinstance(entry["keypoints"], list) and not entry["keypoints"]:
            continue
        points = as_numbers(entry["keypoints"], f"{where}: keypoints", (None, None, 2))
        if keypoints and points.shape[1] != keypoints[0].shape[1]:
            raise ValueError(
                f"{where}: {points.shape[1]} joints, but {keypoints[0].shape[1]} before it: give one model's "
                "answers"
            )
        scores.append(as_numbers(entry["scores"], f"{where}: scores", points.shape[:2]))
        keypoints.append(points)
        frames += [frame] * len(points)
    if not keypoints:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    skeleton = skeleton_of(keypoints[0].shape[1], JOINTS, options.skeleton, path)
    return Rows(frames, np.concatenate(keypoints), np.concatenate(scores), None, skeleton, max(seen) + 1)


FORMAT = Format("rtmlib", "rtmlib's keypoints and scores", recognise, read)
