"""COCO's JSON: a list of results, or a data set's annotations; and Detectron2's results, which look the same.

Results: ``[{"image_id": 12, "category_id": 1, "keypoints": [x, y, c, …], "score": 0.9, "bbox": […]}]``, 17
joints, 26 or 133; ``track_id`` is read where it is there. Annotations: ``{"images": […], "annotations":
[…]}``, where c is 0 (absent), 1 (marked though hidden) or 2 (seen). ``image_id`` is the frame.

Confidence: results' own are 0 to 1; annotations' are halved. Detectron2's are the probabilities of single
pixels of a heat map, small where a person is large, or logits: p becomes p^0.4, which takes Detectron2's own
threshold for drawing, 0.05, to 0.3; a logit l becomes 1 / (1 + exp(2.847 − l)), which takes Detectron's, 2,
to 0.3. Detectron2 subtracts half a pixel, which is added back. Results with boxes do not tell which of the
two wrote them unless there are logits among them.
"""

from typing import Any

import numpy as np

from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers, as_size, as_whole, one_size
from gated_lift.readers.detectors.source import Format, Options, Source, drain
from gated_lift.skeleton import COCO_17, COCO_133, HALPE_26

JOINTS = (COCO_17, HALPE_26, COCO_133)
# Above any probability and below any logit of a joint that is seen well.
LOGIT = 2.0
EXPONENT = 0.4  # log 0.3 / log 0.05, rounded
OFFSET = 2.847  # 2 − log(0.3 / 0.7)


def recognise_coco(source: Source) -> bool:
    value = source.value
    if source.kind == "json" and isinstance(value, dict):
        return isinstance(value.get("annotations"), list)
    return _is_results(source) and not _has_logits(source.value)


def recognise_detectron2(source: Source) -> bool:
    return _is_results(source) and {"bbox", "score"} <= set(source.value[0])


def read_coco(source: Source, options: Options) -> Rows:
    path, value = source.path, source.value
    if not isinstance(value, dict):
        return _rows(source, value, options, None)
    images = value.get("images", [])
    if not isinstance(images, list) or not isinstance(value.get("annotations"), list):
        raise ValueError(f"{path} has no lists of images and annotations: {MEND}")
    sizes = set()
    for number, image in enumerate(images):
        where = f"{path}, image {number}"
        if not isinstance(image, dict):
            raise ValueError(f"{where} is {type(image).__name__}, expected a dictionary: {MEND}")
        if "width" in image or "height" in image:
            sizes.add(as_size(image.get("width"), image.get("height"), f"{where}: its size"))
    marked = [
        entry for entry in value["annotations"] if not (isinstance(entry, dict) and entry.get("iscrowd"))
    ]
    rows = _rows(source, marked, options, one_size(sizes, path))
    return rows._replace(confidence=rows.confidence / 2)


def read_detectron2(source: Source, options: Options) -> Rows:
    rows = _rows(source, source.value, options, None)
    confidence = rows.confidence
    with np.errstate(over="ignore"):
        if np.nanmax(confidence, initial=0) > LOGIT or np.nanmin(confidence, initial=0) < 0:
            confidence = 1 / (1 + np.exp(OFFSET - confidence))
        else:
            confidence = np.maximum(confidence, 0) ** EXPONENT
    given = (rows.keypoints != 0).any(axis=-1, keepdims=True)
    return rows._replace(keypoints=rows.keypoints + 0.5 * given, confidence=confidence)


def _rows(source: Source, entries: Any, options: Options, size: tuple[int, int] | None) -> Rows:
    path = source.path
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds {type(entries).__name__}, expected a list of people: {MEND}")
    frames: list[int] = []
    ids: list[int] = []
    people: list[np.ndarray] = []
    for number, entry in drain(entries):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict) or not {"image_id", "keypoints"} <= set(entry):
            raise ValueError(f"{where} has no image_id and keypoints: {MEND}")
        frame = as_whole(entry["image_id"], f"{where}: image_id")
        flat = as_numbers(entry["keypoints"], f"{path}, frame {frame}, entry {number}: keypoints", (None,))
        if len(flat) % 3 or not len(flat):
            raise ValueError(
                f"{path}, frame {frame}, entry {number}: {len(flat)} numbers, not x, y, c of each "
                f"joint: {MEND}"
            )
        if people and flat.size != people[0].size:
            raise ValueError(
                f"{path}, frame {frame}, entry {number}: {len(flat) // 3} joints, but {len(people[0])} "
                "before it: give one model's results"
            )
        frames.append(frame)
        ids.append(as_id(entry.get("track_id"), f"{path}, frame {frame}, entry {number}: track_id"))
        people.append(flat.reshape(-1, 3))
    if not people:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    found = np.stack(people)
    skeleton = skeleton_of(found.shape[1], JOINTS, options.skeleton, path)
    return Rows(frames, found[..., :2], found[..., 2], ids, skeleton, image_size=size)


def _is_results(source: Source) -> bool:
    value = source.value
    if source.kind != "json" or not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    first = value[0]
    return (
        {"image_id", "keypoints"} <= set(first)
        and isinstance(first["image_id"], int)
        and not {"box", "idx"} & set(first)
    )


def _has_logits(entries: list[Any]) -> bool:
    """Whether a list of results that Detectron2 may have written has a confidence that is no probability."""
    for entry in entries:
        keypoints = entry.get("keypoints") if isinstance(entry, dict) else None
        if isinstance(keypoints, np.ndarray) and keypoints.ndim == 1 and "bbox" in entry:
            third = keypoints[2::3]
            if ((third > LOGIT) | (third < 0)).any():
                return True
    return False


COCO = Format("coco", "COCO's results or annotations", recognise_coco, read_coco)
DETECTRON2 = Format("detectron2", "Detectron2's results", recognise_detectron2, read_detectron2)
