import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.recovery.inspection import describe_hidden, inspect
from solvers import Camera

CAMERA = Camera(focal=(1400.0, 1400.0), center=(960.0, 540.0))
LENS = CAMERA._replace(radial=(-0.2, 0.0, 0.0))


def sound():
    keypoints = np.random.default_rng(0).uniform(300, 900, (2, 6, 5, 2)).astype(np.float32)
    return keypoints, np.zeros((2, 6, 5), bool), np.full((2, 6, 5), 0.8, np.float32)


def test_every_keypoint_that_cannot_be_meant_is_hidden_and_counted_once():
    keypoints, occluded, confidence = sound()
    keypoints[0, 0, 0] = 0
    keypoints[0, 1, 0] = -1
    keypoints[0, 2, 0] = np.nan, 5
    keypoints[0, 3, :2] = np.inf
    confidence[0, 3, 2] = np.nan
    keypoints[0, 3, 3], confidence[0, 3, 3] = 0, 0  # a placeholder first of all
    confidence[1, 0, 0] = 0
    confidence[1, 0, 1] = -0.5
    keypoints[1, 5, 4] = 2100, 1500
    keypoints[1, 4, 4], occluded[1, 4, 4] = 0, True  # was hidden already
    for call in (inspect, jax.jit(inspect)):
        found = call(jnp.asarray(keypoints), jnp.asarray(occluded), LENS, jnp.asarray(confidence))
        counts = {name: list(np.asarray(value)) for name, value in found.hidden._asdict().items()}
        assert counts == {
            "not_finite": [4, 0],
            "placeholder": [3, 0],
            "no_confidence": [0, 2],
            "no_ray": [0, 1],
        }
        changed = np.asarray(found.occluded) & ~occluded
        assert changed.sum() == 10 and changed[1, 5, 4] and changed[0, 3, 3]
        assert not np.asarray(found.keypoints)[np.asarray(found.occluded)].any()
        np.testing.assert_array_equal(
            np.asarray(found.keypoints)[~np.asarray(found.occluded)], keypoints[~np.asarray(found.occluded)]
        )
        assert not np.asarray(found.confidence)[np.asarray(found.occluded)].any()
    words = describe_hidden(found.hidden)
    assert "4 NaN or infinite" in words and "3 at exactly (0, 0)" in words and "1 where the lens" in words


def test_sound_keypoints_are_left_alone():
    keypoints, occluded, _ = sound()
    found = inspect(jnp.asarray(keypoints), jnp.asarray(occluded), LENS)
    np.testing.assert_array_equal(found.keypoints, keypoints)
    assert not found.occluded.any() and describe_hidden(found.hidden) == "" and found.confidence is None


def test_the_middle_of_a_centred_picture_is_a_place():
    keypoints, occluded, _ = sound()
    keypoints[0, 0, 0] = 0
    centred = CAMERA._replace(center=(0.0, 0.0))
    assert not inspect(jnp.asarray(keypoints), jnp.asarray(occluded), centred).occluded.any()
    own = CAMERA._replace(center=np.array([[0.0, 0.0], [960.0, 540.0]], np.float32))
    keypoints[1, 0, 0] = 0
    hidden = inspect(jnp.asarray(keypoints), jnp.asarray(occluded), own).occluded
    assert not hidden[0].any() and int(hidden[1].sum()) == 1


def test_padding_is_not_counted():
    keypoints, occluded, _ = sound()
    keypoints[:, 3:] = 0
    counted = jnp.arange(6) < 4
    found = inspect(jnp.asarray(keypoints), jnp.asarray(occluded), CAMERA, None, counted)
    assert list(np.asarray(found.hidden.placeholder)) == [5, 5] and found.occluded[:, 3:].all()
