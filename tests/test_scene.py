"""What a scene keeps of the arrays it is given, and where its people are hidden."""

import jax.numpy as jnp
import numpy as np
import pytest
from scenes import crossing_scene

from gated_lift.drawing.pictures import draw_demo
from gated_lift.drawing.scene import hidden_stretch, mostly_hidden, prepare_scene


def test_prepared_scene_holds_no_hidden_or_non_finite_keypoint():
    scene = crossing_scene()
    keypoints = scene.keypoints.copy()
    keypoints[0, 0, 0] = [np.inf, 3.0]
    prepared = prepare_scene(scene._replace(keypoints=jnp.asarray(keypoints)))
    assert np.isnan(prepared.keypoints[scene.occluded]).all()
    assert np.isnan(prepared.keypoints[0, 0, 0]).all()
    seen = ~scene.occluded
    seen[0, 0, 0] = False
    np.testing.assert_allclose(prepared.keypoints[seen], keypoints[seen], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keypoints": np.zeros((2, 60, 16, 2))}, "keypoints has shape"),
        ({"predicted": np.zeros((2, 59, 17, 3))}, "predicted has shape"),
        ({"predicted": None}, "predicted is None"),
        ({"truth": np.zeros((2, 60, 17, 2))}, "truth has shape"),
        ({"rival": np.zeros((1, 60, 17, 3))}, "rival has shape"),
        ({"true_keypoints": np.zeros((2, 60, 17, 3))}, "true_keypoints has shape"),
        ({"occluded": np.zeros((2, 60, 17))}, "pass booleans"),
        ({"occluded": np.zeros((60, 17), bool)}, "pass booleans"),
        ({"occluded": np.zeros((0, 60, 17), bool)}, "at least one person"),
        ({"occluded": np.zeros((2, 0, 17), bool)}, "at least one person"),
        ({"occluded": np.zeros((2, 60, 25), bool)}, "but h36m_17 has 17"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"width": 0}, "width is 0"),
        ({"height": -1}, "height is -1"),
        ({"hidden_share": 0.0}, "hidden_share is 0.0"),
        ({"screen": np.zeros((60, 2, 2))}, "screen has shape"),
    ],
)
def test_bad_scene_is_named(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_demo(crossing_scene()._replace(**change), tmp_path / "demo.png")
    assert not (tmp_path / "demo.png").exists()


def test_hidden_stretch_is_the_longest():
    occluded = np.zeros((2, 40, 17), dtype=bool)
    occluded[0, 5:9] = True
    occluded[1, 20:31, :13] = True  # 13 of 17 joints: mostly hidden
    occluded[1, 33:40, :12] = True  # 12 of 17 are fewer than 75 %
    assert hidden_stretch(occluded) == (20, 31)
    assert mostly_hidden(occluded).sum() == 4 + 11
    assert hidden_stretch(occluded, 0.9) == (5, 9)


def test_hidden_stretch_falls_back():
    occluded = np.zeros((1, 9, 4), dtype=bool)
    assert hidden_stretch(occluded) == (4, 5)  # nothing hidden: the middle
    occluded[0, 7, 0] = True
    assert hidden_stretch(occluded) == (7, 8)  # the frame with the most hidden joints
    assert hidden_stretch(np.ones((1, 9, 4), dtype=bool)) == (0, 9)
