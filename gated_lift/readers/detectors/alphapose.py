"""AlphaPose's results: one JSON list of people in all images.

``[{"image_id": "12.jpg", "category_id": 1, "keypoints": [x, y, c, …], "score": 2.9, "box": […], "idx": 1}]``
with COCO's 17 joints, Halpe's 26 or 133; ``idx`` is there after tracking, as a number or a list of one. With
``--format open`` and ``cmu`` it is ``{"12.jpg": {"people" or "bodies": […]}}`` with OpenPose's 18 joints.

Confidence: models differ in their scale, 0 to 1 or (COCO's older weights) 0 to 6. A file in which some
confidence is above 1.5 is taken to be of the second kind and divided by 6.
"""

from typing import Any

import numpy as np

from gated_lift.readers.detectors.frames import frames_of_images
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import MEND, Rows, as_id, as_numbers, as_whole
from gated_lift.readers.detectors.source import Format, Options, Source, drain
from gated_lift.skeleton import COCO_17, COCO_18, COCO_133, HALPE_26

JOINTS = (COCO_17, HALPE_26, COCO_133)
LARGEST_PLAIN, LARGEST = 1.5, 6.0


def recognise(source: Source) -> bool:
    value = source.value
    if source.kind != "json" or not value:
        return False
    if isinstance(value, dict):
        return all(_images_people(image) is not None for image in value.values())
    first = value[0] if isinstance(value, list) else None
    if not isinstance(first, dict) or not {"image_id", "keypoints"} <= set(first):
        return False
    return isinstance(first["image_id"], str) or bool({"box", "idx"} & set(first)) or "bbox" not in first


def read(source: Source, options: Options) -> Rows:
    path, value = source.path, source.value
    images: list[Any] = []
    ids: list[int] = []
    people: list[np.ndarray] = []
    if isinstance(value, dict):
        flat = [
            (
                image,
                person.get("joints", person.get("pose_keypoints_2d")) if isinstance(person, dict) else None,
            )
            for image, frame in value.items()
            for person in _images_people(frame) or ()
        ]
        entries = [{"image_id": image, "keypoints": keypoints} for image, keypoints in flat]
    else:
        entries = value if isinstance(value, list) else []
    for number, entry in drain(entries):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict) or not {"image_id", "keypoints"} <= set(entry):
            raise ValueError(f"{where} has no image_id and keypoints: {MEND}")
        where = f"{path}, image {str(entry['image_id'])[:40]}, entry {number}"
        flat_person = as_numbers(entry["keypoints"], f"{where}: keypoints", (None,))
        if len(flat_person) % 3 or not len(flat_person):
            raise ValueError(f"{where}: {len(flat_person)} numbers, not x, y, c of each joint: {MEND}")
        if people and len(flat_person) != people[0].size:
            raise ValueError(
                f"{where}: {len(flat_person) // 3} joints, but {len(people[0])} before it: give one model's "
                "results"
            )
        images.append(entry["image_id"])
        ids.append(as_id(entry.get("idx"), f"{where}: idx"))
        people.append(flat_person.reshape(-1, 3))
    if not people:
        raise ValueError(f"{path} shows nobody on any frame: give a video that people were found in")
    if all(isinstance(image, str) for image in images):
        frames = frames_of_images(images, path)
    else:
        frames = [as_whole(image, f"{path}: image_id") for image in images]
    found = np.stack(people)
    keypoints, confidence = found[..., :2], found[..., 2]
    candidates = (COCO_18,) if isinstance(value, dict) else JOINTS
    skeleton = skeleton_of(keypoints.shape[1], candidates, options.skeleton, path)
    if np.nanmax(confidence, initial=0) > LARGEST_PLAIN:
        confidence = confidence / LARGEST
    return Rows(frames, keypoints, confidence, ids, skeleton)


def _images_people(image: Any) -> list[Any] | None:
    if not isinstance(image, dict):
        return None
    people = image.get("bodies", image.get("people"))
    return people if isinstance(people, list) else None


FORMAT = Format("alphapose", "AlphaPose's results", recognise, read)
