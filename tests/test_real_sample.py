"""MediaPipe's own 3D is read, and compared on joints that both formats name."""

import json
import re

import numpy as np
import pytest

from experiments.real_sample import LIMBS, limb_error, read_landmarks
from gated_lift.skeleton import H36M_17, MEDIAPIPE_33


def result(frame, world):
    marks = [{"x": 0.5, "y": 0.25, "z": 0.0, "visibility": 0.75}] * 33
    places = [dict(zip("xyz", map(float, place), strict=True)) for place in world]
    return {"frame": frame, "landmarks": [marks], "worldLandmarks": [places]}


def test_landmarks_are_pixels_and_metres(tmp_path):
    world = np.random.default_rng(0).normal(size=(2, 33, 3))
    path = tmp_path / "cam01_pose_landmarker.json"
    found = {"image_width": 100, "image_height": 200}
    results = [result(7 + frame, places) for frame, places in enumerate(world)]
    path.write_text(json.dumps(found | {"results": results}))
    read = read_landmarks(path)
    assert read.frames.tolist() == [7, 8] and read.image.shape == (2, 33, 3)
    np.testing.assert_array_equal(read.image[0, 0], [50, 50, 0.75])
    np.testing.assert_array_equal(read.world, world)
    results[1]["worldLandmarks"] = []
    path.write_text(json.dumps(found | {"results": results}))
    with pytest.raises(ValueError, match=re.escape(f"{path} is not MediaPipe's result with one person")):
        read_landmarks(path)


def test_limbs_are_compared_by_name():
    joints = np.random.default_rng(1).normal(size=(2, 33, 3))
    target = np.full((2, 17, 3), np.nan)
    for name in LIMBS:
        # Half as large again, turned and moved.
        place = 1.5 * joints[:, MEDIAPIPE_33.names.index(name)][:, [1, 2, 0]] + 3
        target[:, H36M_17.names.index(name)] = place
    assert limb_error(joints, MEDIAPIPE_33, target) < 0.01
    target[:, H36M_17.names.index("left_wrist"), 0] += 0.01
    assert 1 < limb_error(joints, MEDIAPIPE_33, target) < 3
