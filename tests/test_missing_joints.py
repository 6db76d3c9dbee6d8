"""The comparison of midpoints with hidden joints looks at every view once, in each format's own joints."""

import numpy as np
import pytest

from experiments.fuzzing.samples import people
from experiments.missing_joints import of_body_25b, views
from gated_lift.skeleton import BODY_25, BODY_25B, COCO_17, HALPE_26


@pytest.mark.parametrize("skeleton", [BODY_25B, HALPE_26, BODY_25, COCO_17], ids=lambda s: s.name)
def test_body_25b_in_other_joints(skeleton):
    found = people(BODY_25B)[:, 0]
    made = of_body_25b(found, skeleton)
    assert made.shape == (len(found), skeleton.num_joints, 3)
    for joint, name in enumerate(skeleton.names):
        if name in BODY_25B.names:
            np.testing.assert_array_equal(made[:, joint], found[:, BODY_25B.names.index(name)])
        else:
            part = {"hip": "hip", "neck_base": "shoulder"}[name]
            left, right = (found[:, BODY_25B.names.index(f"{side}_{part}")] for side in ("left", "right"))
            np.testing.assert_allclose(made[:, joint, :2], (left + right)[:, :2] / 2)
            np.testing.assert_array_equal(made[:, joint, 2], np.minimum(left, right)[:, 2])


def test_views_and_their_targets():
    rng = np.random.default_rng(0)
    frames = 5
    sample = {
        "openpose_man": np.stack([people(BODY_25B, frames)[:, 0]] * 2),
        "mediapipe": rng.random((2, frames, 2, 33, 3)),
        "ref3d_h36m": rng.random((frames, 2, 17, 3)),
        "K": np.array([[[1000.0, 0, 500], [0, 1100, 400], [0, 0, 1]]] * 2),
        "R": np.stack([np.eye(3)[[1, 2, 0]], np.eye(3)]),
        "t": np.array([[0, 0, 3.0], [0, 1, 5]]),
    }
    rows = list(views(sample))
    assert len(rows) == 2 * (4 + 2 + 2) and len({name for name, _ in rows}) == 8
    for name, view in rows:
        assert view.target.shape == (frames, 17, 3) and view.target[..., 2].min() >= 3
        assert view.keypoints.shape == (frames, view.skeleton.num_joints, 3)
        if name.startswith("native"):
            pixels = view.target[..., :2] / view.target[..., 2:] * view.camera.focal + view.camera.center
            np.testing.assert_allclose(view.keypoints[..., :2], pixels)
