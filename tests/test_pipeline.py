import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift import pipeline
from gated_lift.cameras import VirtualCamera
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.pipeline import lift, recover, screen_focal, solved
from solvers import Camera, Status, TrajectorySolution, project

PEOPLE, FRAMES = 3, 24
CAMERA = Camera(focal=(1145.0, 1145.0), center=(500.0, 500.0))


@pytest.fixture(scope="module")
def network():
    lifter = TemporalLifter(channels=8, filter_widths=(3, 3))
    keypoints = jnp.zeros((1, 9, 17, 2))
    variables = lifter.init(jax.random.key(0), keypoints, jnp.zeros((1, 9, 17), bool))
    # The head starts at zero: without weights of its own every pose would be the root.
    head = variables["params"]["head"]
    head["kernel"] = 0.3 * jax.random.normal(jax.random.key(1), head["kernel"].shape)
    return lifter, variables


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    root = np.stack(
        [rng.uniform(-1, 1, PEOPLE), rng.uniform(-0.2, 0.2, PEOPLE), rng.uniform(4, 6, PEOPLE)], -1
    )
    joints = root[:, None, None] + 0.4 * rng.normal(size=(PEOPLE, 1, 17, 3)) + np.zeros((1, FRAMES, 1, 1))
    joints = jnp.asarray(joints, jnp.float32)
    return project(joints, CAMERA), jnp.asarray(rng.random((PEOPLE, FRAMES, 17)) < 0.3), joints


def test_the_camera_need_not_be_the_training_camera(network, scene):
    """The same rays seen by a wider, distorted lens give the same poses."""
    lifter, variables = network
    keypoints, occluded, joints = scene
    wide = Camera(
        focal=(800.0, 820.0),
        center=(960.0, 540.0),
        radial=jnp.array([-0.1, 0.02, 0.0]),
        tangential=jnp.array([1e-3, -5e-4]),
    )
    expected = lift(lifter, variables, keypoints, occluded, CAMERA)
    found = lift(lifter, variables, project(joints, wide), occluded, wide)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.fixture(scope="module")
def run(network, scene):
    """`recover` behind a lifter that is right, so that the solve has something to find."""
    lifter, variables = network
    truth = scene[2] - scene[2][..., :1, :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "lift_clip", lambda *_: truth)
        yield jax.jit(lambda keypoints, occluded: recover(lifter, variables, keypoints, occluded, CAMERA))


def test_joints_are_recovered_where_they_are(run, scene):
    keypoints, occluded, joints = scene
    found = run(keypoints, occluded)
    assert bool(solved(found.status).all())
    np.testing.assert_allclose(found.joints, found.poses + found.root[:, :, None], atol=1e-6)
    # The people stand still, so smoothness pulls nowhere and the exact projection gives the exact place.
    np.testing.assert_allclose(found.joints, joints, atol=2e-3)


def test_hidden_keypoints_are_never_read(run, scene):
    keypoints, occluded, _ = scene
    clean = run(keypoints, occluded)
    spoiled = run(jnp.where(occluded[..., None], jnp.nan, keypoints), occluded)
    for before, after in zip(clean, spoiled, strict=True):
        np.testing.assert_array_equal(before, after)


def test_one_bad_person_changes_nobody_else(run, scene):
    keypoints, occluded, _ = scene
    clean = run(keypoints, occluded)
    nobody = run(keypoints, occluded.at[1].set(True))
    spoiled = run(keypoints.at[1, 5, 0, 0].set(jnp.nan), occluded.at[1, 5, 0].set(False))
    assert int(nobody.status[1]) == Status.TOO_FEW_OBSERVATIONS
    assert int(spoiled.status[1]) == Status.NON_FINITE
    for other in (nobody, spoiled):
        assert bool(jnp.isnan(other.joints[1]).all())
        for person in (0, 2):
            np.testing.assert_array_equal(clean.joints[person], other.joints[person])


def test_screen_focal_is_that_of_the_normalised_screen():
    camera = VirtualCamera(width=1920, height=1080, focal=(1400.0, 1600.0))
    assert screen_focal(camera) == pytest.approx(2 * 1500 / 1920)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k, o: (k[..., :16, :], o[..., :16]), "keypoints has 16 joints"),
        (lambda k, o: (k[:, :0], o[:, :0]), "empty"),
    ],
)
def test_bad_input_names_the_argument(network, scene, change, message):
    lifter, variables = network
    keypoints, occluded, _ = scene
    with pytest.raises(ValueError, match=message):
        pipeline.recover(lifter, variables, *change(keypoints, occluded), CAMERA)


def test_confidences_weigh_the_solve(network, scene, monkeypatch):
    lifter, variables = network
    keypoints, occluded, joints = scene
    asked = []

    def solve(*arguments, confidence):
        asked.append(confidence)
        people, frames = arguments[0].shape[:2]
        zero = jnp.zeros(people)
        return TrajectorySolution(jnp.zeros((people, frames, 3)), zero.astype(int), zero, zero.astype(int))

    monkeypatch.setattr(pipeline, "lift_clip", lambda *_: joints)
    monkeypatch.setattr(pipeline, "solve_trajectory", solve)
    confidence = jnp.full(occluded.shape, 0.5)
    for given in (None, confidence):
        recover(lifter, variables, keypoints, occluded, CAMERA, confidence=given)
    assert asked[0] is None and asked[1] is confidence
