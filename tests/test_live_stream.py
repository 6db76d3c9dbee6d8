"""People frame by frame: equal to the causal answer on whole clips, and slots that people come to and leave.

A stream compiles for seconds: the tests with paths share one.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_lifting import CAMERA, clip
from test_lifting import loaded as randomised
from test_pipeline import loaded

from gated_lift.live import start_live, step_live, stream
from gated_lift.live.clock import beat
from gated_lift.live.stream import Rows, Settings, lift_frame, start_lift
from gated_lift.networks.checkpoints import without_weights
from gated_lift.networks.protocol import Hints
from gated_lift.networks.streaming import fold
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.recovery.lifting import lift_pixels
from gated_lift.recovery.observation import Clock, network_frames
from gated_lift.skeleton import BODY_25, H36M_17
from gated_lift.synthetic import generated
from solvers import Camera, Status, project, streaming

CAUSAL = partial(TemporalLifter, channels=8, filter_widths=(3, 3), causal=True, mask_channels="age")
NETWORKS = {
    50.0: CAUSAL("two_stream", framing="person", fade_seconds=(0.1,), tilt=True),
    30.0: CAUSAL("single_stream", fill="cubic", tilt=True, confidence=True),
    72.0: CAUSAL("two_stream", fill="zero"),
}

# ------------------------------------------------------------------------------- poses, without their paths


@pytest.mark.parametrize("fps", list(NETWORKS))
def test_every_frame_is_the_last_one_of_the_clip_so_far(fps):
    frames, lifter = 20, randomised(NETWORKS[fps])
    _, keypoints, occluded = clip(frames, fps=fps)
    occluded[0, :, 5] = occluded[1, 3:9] = True

    up = np.float32([[0.0, -0.8, -0.6]])
    doubt = jnp.asarray(np.random.default_rng(0).random(occluded.shape, np.float32))

    # Of clips of all lengths, the last frame; with the network's frames up to it and just beyond.
    @jax.jit
    def whole(keypoints, occluded, length):
        clock = None if fps == 50 else Clock(fps, length, network_frames(frames, fps, 50.0))
        return lift_pixels(lifter, keypoints, occluded, CAMERA, True, clock, length, Hints(up, doubt))

    settings = Settings(without_weights(lifter), H36M_17, "midpoint", fps, True)
    folded = fold(lifter.network, lifter.variables)
    state = start_lift(lifter, folded, 3, True)
    camera = Camera(*(None if value is None else jnp.asarray(value) for value in CAMERA))
    for t in range(frames):
        rows = Rows.nobody(3, 17)
        rows.hidden[:2] = occluded[:, t]
        rows.confidence[:2] = np.where(occluded[:, t], 0, 1 - doubt[:, t])
        rows.keypoints[:2] = keypoints[:, t]
        state, poses, *_ = lift_frame(settings, folded, camera, up, state, rows, beat(t, fps, 50.0))
        expected = whole(keypoints, occluded, t + 1)[:, t]
        np.testing.assert_allclose(poses[:2], expected, atol=1e-5)


# ------------------------------------------------------------------------------------------ people and paths

LIFTER = loaded(CAUSAL("two_stream", framing="person"))
FPS, LAG = 25.0, 5


@pytest.fixture(scope="module")
def begun():
    return start_live(LIFTER, CAMERA, FPS, 2, H36M_17, lag=LAG / FPS, longest_gap=0.4)


def walkers(people, frames=24):
    """Keypoints (F, P, 17, 2) of people beside each other, who come nearer."""
    walk = generated.walk(frames, fps=FPS, speed=1.0, start=(0.0, 0.0))
    x, y, z = np.moveaxis(walk[:, None] + [[[0, 1.5 * k, 0]] for k in range(people)], -1, 0)
    joints = np.stack([y - 0.75, 1.0 - z, 6.0 - x], axis=-1).astype(np.float32)
    return np.array(project(jnp.asarray(joints), CAMERA))


def follow(live, keypoints, ids=None):
    found = []
    for t, frame in enumerate(keypoints):
        live, now = step_live(live, frame, ids=None if ids is None else ids[t])
        found.append(now)
    return live, found


def test_people_are_found_and_placed(begun):
    keypoints = walkers(2)
    _, found = follow(begun, keypoints)
    for number, frame in enumerate(found):
        assert frame.frame == number and frame.ids == (0, 1) and frame.lag == LAG and not frame.left_out
        assert not frame.hidden.any()
    np.testing.assert_array_equal(found[-1].status, Status.CONVERGED)
    last = found[-1]
    assert last.joints.shape == (2, 17, 3) and np.isfinite(last.joints).all()
    # Where they are drawn is where they were seen, as well as the poses of random weights allow.
    drawn = np.asarray(project(jnp.asarray(last.joints), CAMERA))
    assert np.abs(drawn - keypoints[-1]).mean() < 30
    np.testing.assert_allclose(last.joints[:, 0], last.root, atol=0.05)
    assert all(np.isnan(frame.lagged_root).all() for frame in found[:LAG])
    assert all(np.isfinite(frame.lagged_root).all() for frame in found[LAG:])
    assert np.linalg.norm(last.lagged_root - found[-1 - LAG].root, axis=-1).max() < 0.3


def test_nothing_grows_and_nothing_is_compiled_once_it_has_begun(begun):
    programs = lift_frame, stream._forget, streaming._feed
    before = [program._cache_size() for program in programs]
    live, _ = follow(begun, walkers(2)[:3])
    later, _ = follow(live, walkers(3))
    assert [program._cache_size() for program in programs] == before
    first, last = (jax.tree.leaves(each._replace(tracker=None)) for each in (live, later))
    assert [(np.shape(leaf), type(leaf)) for leaf in first] == [(np.shape(leaf), type(leaf)) for leaf in last]


def test_someone_who_comes_later_is_as_in_a_stream_of_their_own(begun):
    """Also in a place that was somebody else's."""
    keypoints = walkers(3)
    alone, expected = follow(begun, keypoints[12:, 2:], [[7]] * 12)
    ids = [[3, 9]] * 2 + [[9]] * 10 + [[7, 9]] * 12
    rows = [*keypoints[:2, :2], *keypoints[2:12, 1:2], *keypoints[12:, [2, 1]]]
    _, found = follow(begun, rows, ids)
    # For 0.4 s somebody who is not seen is still there, hidden.
    assert [frame.ids for frame in found[10:13]] == [(3, 9), (3, 9), (7, 9)]
    assert found[11].hidden[0].all() and np.isfinite(found[11].joints).all()
    for frame, other in zip(found[12:], expected, strict=True):
        poses, others = (each.joints[0] - each.root[0] for each in (frame, other))
        np.testing.assert_allclose(poses, others, atol=1e-5)
        # The frames before are in the window too, with nobody on them.
        np.testing.assert_allclose(frame.root[0], other.root[0], atol=0.01)
        np.testing.assert_array_equal(np.isnan(frame.lagged_root[0]), np.isnan(other.lagged_root[0]))
    # And nobody else notices.
    _, alone = follow(begun, keypoints[:, 1:2], [[9]] * 24)
    for frame, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(frame.joints[1], other.joints[0], atol=1e-5)


def test_for_more_people_than_places_someone_is_left_out(begun):
    keypoints = walkers(3)
    keypoints[0, 0, :9] = np.nan  # of whom less is seen
    _, found = follow(begun, keypoints[:2], [[5, 6, 4]] * 2)
    for frame in found:
        assert frame.ids == (4, 6) and frame.left_out == (5,)
    # Until somebody has been hidden for a quarter of a second.
    _, found = follow(begun, [keypoints[0], *keypoints[1:10, :2]], [[5, 6, 4]] + [[5, 6]] * 9)
    assert [frame.ids for frame in found[6:9]] == [(4, 6), (4, 6), (5, 6)]
    assert [frame.left_out for frame in found[6:9]] == [(5,), (5,), ()]


def test_lost_frames_pass_with_nobody_on_them(begun):
    keypoints = walkers(2)
    live, _ = follow(begun, keypoints[:6])
    empty = np.zeros((0, 17, 2))
    by_hand, _ = follow(live, [empty] * 4)
    by_hand, expected = step_live(by_hand, keypoints[10])
    _, found = step_live(live, keypoints[10], skipped=4)
    assert found.frame == expected.frame == 10 and found.ids == expected.ids
    np.testing.assert_array_equal(found.joints, expected.joints)
    # A long loss takes no longer than that of somebody who is then forgotten.
    _, found = step_live(live, keypoints[10], skipped=10**9)
    assert found.frame == 10**9 + 6 and found.ids == (2, 3) and np.isfinite(found.joints).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((1, 25, 2))}, r"keypoints has shape \(1, 25, 2\): pass \(people, 17, 2\)"),
        ({"confidence": np.ones((1, 5))}, r"confidence has shape \(1, 5\)"),
        ({"keypoints": np.full((1, 17, 2), 0.5)}, "keypoints are shares of the image, not pixels"),
        ({"ids": [1, 1]}, "ids are .* for 1 people: pass one number from 0 for each"),
        ({"ids": [-1]}, "ids are .* pass one number from 0 for each"),
        ({"skipped": -1}, "skipped is -1: pass a whole number"),
        ({"ids": [4]}, "ids came, and the frames before had none"),
    ],
)
def test_a_frame_that_does_not_fit_names_the_argument_and_the_mend(begun, change, message):
    live, _ = follow(begun, walkers(1)[:1])
    with pytest.raises(ValueError, match=message):
        step_live(live, **({"keypoints": walkers(1)[1]} | change))


def test_ids_that_stay_away(begun):
    live, _ = follow(begun, walkers(1)[:1], [[4]])
    with pytest.raises(ValueError, match="ids are missing, and the frames before had them"):
        step_live(live, walkers(1)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lifter": 3}, "lifter is int: pass what load_lifter returns"),
        ({"lifter": loaded(TemporalLifter("none", 8, (3,)))}, "lifter has a network that reads later frames"),
        ({"fps": 0}, "fps is 0: pass frames a second"),
        ({"lag": 0}, "lag is 0: pass seconds"),
        ({"longest_gap": -1}, "longest_gap is -1: pass seconds"),
        ({"threshold": 1.5}, "threshold is 1.5: pass a confidence"),
        ({"people": 0}, "people is 0: pass a whole number"),
    ],
)
def test_a_stream_that_cannot_start_names_the_argument_and_the_mend(change, message):
    arguments = {"lifter": LIFTER, "camera": CAMERA, "fps": FPS, "people": 1, "skeleton": BODY_25} | change
    with pytest.raises(ValueError, match=message):
        start_live(**arguments)
