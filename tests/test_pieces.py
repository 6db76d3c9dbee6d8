"""Long videos in pieces: every frame once, and the answer of one pass."""

import jax.numpy as jnp
import numpy as np
import pytest
from test_pipeline import CAMERA, LIFTER, seen_from

from gated_lift.cameras import world_to_camera
from gated_lift.pipeline import recover
from gated_lift.synthetic import generated
from gated_lift.video.pieces import cut, recover_in_pieces
from solvers import project


@pytest.mark.parametrize(("piece", "margin"), [(10, 2), (7, 3), (50, 4), (100, 0)])
def test_every_frame_is_kept_once_and_has_its_margins(piece, margin):
    for frames in range(1, 60):
        kept = np.zeros(frames, int)
        for part in cut(frames, piece, margin):
            kept[part.first : part.last] += 1
            assert part.end - part.begin == min(piece, frames)
            assert part.first - part.begin >= margin or part.begin == 0
            assert part.end - part.last >= margin or part.end == frames
        np.testing.assert_array_equal(kept, 1)


def test_margins_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="piece is 10 frames and its margins 5 each"):
        list(cut(100, 10, 5))


def test_pieces_give_the_answer_of_one_pass():
    # Two people a few metres away; at 25 frames a second 512 frames hold two margins of eight seconds.
    frames = 900
    pair = generated.circling_pair(frames, 25.0)
    _, still = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], pair.poses[0])
    joints = world_to_camera(jnp.asarray(pair.poses, jnp.float32), still)
    rng = np.random.default_rng(0)
    keypoints = np.array(project(joints, CAMERA)) + rng.normal(size=(2, frames, 17, 2))
    keypoints = keypoints.astype(np.float32)
    occluded = rng.random(keypoints.shape[:-1]) < 0.3
    occluded[0, 290:320] = True
    occluded[1, :330] = True
    told = []
    whole = recover(LIFTER, keypoints, occluded, CAMERA, 25.0, covariance=True)
    found = recover_in_pieces(
        *(LIFTER, keypoints, occluded, CAMERA, 25.0), piece=512, progress=told.append, covariance=True
    )
    assert sum(told) == frames and len(told) > 1
    np.testing.assert_array_equal(found.status, whole.status)
    np.testing.assert_array_equal(found.present, whole.present)
    np.testing.assert_allclose(found.joints, whole.joints, atol=1e-4)
    np.testing.assert_allclose(found.root, whole.root, atol=1e-4)
    np.testing.assert_allclose(found.residual, whole.residual, atol=0.01)
    np.testing.assert_allclose(found.covariance, whole.covariance, rtol=1e-2, atol=1e-6)
    assert not np.isnan(found.joints[0]).any()
