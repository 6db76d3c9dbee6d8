"""Checks of what callers hand over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.networks.checkpoints import with_training
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.recovery.arguments import read_arguments
from gated_lift.skeleton import COCO_17, H36M_17
from solvers import Camera, Extrinsics, refuse_masked

LIFTER = with_training(TemporalLifter(channels=4, filter_widths=(3,)), {}, {"skeleton": "h36m_17"})
CAMERA = Camera(focal=(1145.0, 1140.0), center=(960.0, 540.0))
PEOPLE, FRAMES = (2, 3), 5


def clip(people=PEOPLE, frames=FRAMES, dtype=np.float32):
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(400, 900, (*people, frames, 17, 2)).astype(dtype)
    return keypoints, rng.random(keypoints.shape[:-1]) < 0.3


def read(keypoints, occluded, camera=CAMERA, fps=30.0, confidence=None, extrinsics=None, skeleton=None):
    return read_arguments(LIFTER, keypoints, occluded, camera, fps, confidence, extrinsics, skeleton)


def test_people_become_one_axis():
    keypoints, occluded = clip()
    confidence = np.random.default_rng(1).random(occluded.shape)
    found = read(keypoints, occluded, confidence=confidence)
    assert found.people == PEOPLE and found.keypoints.shape == (6, FRAMES, 17, 2) and not found.traced
    np.testing.assert_array_equal(found.keypoints[4], keypoints[1, 1])
    np.testing.assert_array_equal(found.occluded[4], occluded[1, 1])
    np.testing.assert_array_equal(found.confidence[4], confidence[1, 1].astype(np.float32))
    alone = read(keypoints[0, 0], occluded[0, 0])
    assert alone.people == () and alone.keypoints.shape == (1, FRAMES, 17, 2)


@pytest.mark.parametrize(
    ("given", "worked_on"),
    [
        (np.float16, np.float32),
        (jnp.bfloat16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
    ],
)
def test_the_precision_is_single_or_that_of_the_keypoints(given, worked_on):
    keypoints, occluded = clip()
    extrinsics = Extrinsics(np.broadcast_to(np.eye(3), (FRAMES, 3, 3)), np.zeros((FRAMES, 3), np.float32))
    found = read(keypoints.astype(given), occluded, CAMERA, 30.0, np.ones(occluded.shape), extrinsics)
    leaves = jax.tree.leaves((found.keypoints, found.confidence, found.camera, found.extrinsics))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(worked_on)}


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        ((), ()),
        ((1,), (6,)),
        ((2,), (6,)),
        ((2, 1), (6,)),
        ((1, 3), (6,)),
        ((2, 3), (6,)),
        ((2, 3, 5), (6, 5)),
        ((2, 3, 1), (6, 5)),
        ((1, 1, 5), (6, 5)),
    ],
)
def test_cameras_may_be_of_people_and_frames(lead, expected):
    keypoints, occluded = clip()
    values = 1000 + np.arange(np.prod(lead, dtype=int), dtype=np.float32).reshape(lead)
    focal = np.stack([values, values + 0.5], axis=-1)
    radial = np.zeros((*lead, 3))
    found = read(keypoints, occluded, Camera(focal, CAMERA.center, radial)).camera
    assert found.focal.shape == (*expected, 2) and found.center.shape == (2,)
    assert found.radial.shape == (*expected, 3) and found.tangential is None
    full = np.broadcast_to(focal.reshape(*lead, *[1] * (3 - len(lead)), 2), (*PEOPLE, FRAMES, 2))
    own = found.focal if found.focal.ndim == 3 else np.expand_dims(found.focal, -2)
    np.testing.assert_array_equal(np.broadcast_to(own, (6, FRAMES, 2)), full.reshape(6, FRAMES, 2))


@pytest.mark.parametrize("lead", [(3,), (5,), (2, 5), (2, 3, 4), (2, 3, 5, 1), (0,)])
def test_other_cameras_are_refused(lead):
    keypoints, occluded = clip()
    with pytest.raises(ValueError, match=r"camera.focal has shape .* keypoints has leading axes \(2, 3, 5\)"):
        read(keypoints, occluded, CAMERA._replace(focal=np.full((*lead, 2), 1000.0)))


@pytest.mark.parametrize(
    ("lead", "expected"), [((5,), (5,)), ((1,), (1,)), ((2, 3, 5), (6, 5)), ((2, 3, 1), (6, 1))]
)
def test_extrinsics_are_of_frames_or_of_people_and_frames(lead, expected):
    keypoints, occluded = clip()
    position = np.random.default_rng(0).normal(size=(*lead, 3)).astype(np.float32)
    rotation = np.broadcast_to(np.eye(3), (*lead, 3, 3))
    found = read(keypoints, occluded, extrinsics=Extrinsics(rotation, position)).extrinsics
    assert found.rotation.shape == (*expected, 3, 3) and found.position.shape == (*expected, 3)
    np.testing.assert_array_equal(found.position.reshape(position.shape), position)


@pytest.mark.parametrize("lead", [(), (4,), (3, 5), (2, 5), (6, 5), (1, 1, 5)])
def test_other_extrinsics_are_refused(lead):
    keypoints, occluded = clip()
    extrinsics = Extrinsics(np.broadcast_to(np.eye(3), (FRAMES, 3, 3)), np.zeros((*lead, 3)))
    with pytest.raises(ValueError, match=r"extrinsics.position has shape .* \(2, 3, 5\): pass \(..., F, 3\)"):
        read(keypoints, occluded, extrinsics=extrinsics)


def test_cameras_may_be_lists_of_tracers():
    """Focal lengths that are being fitted, one for both axes."""
    keypoints, occluded = clip((2,))

    def focal_of(focal):
        found = read(keypoints, occluded, Camera([focal, focal + 1], (960.0, jnp.asarray(540.0))))
        assert found.traced and isinstance(found.camera.focal, jax.core.Tracer)
        assert found.camera.center.shape == (2,)
        return found.camera.focal

    def focals_of(focal):
        return read(
            keypoints, occluded, Camera([(focal, 900.0), (800.0, focal)], (960.0, 540.0))
        ).camera.focal

    np.testing.assert_array_equal(jax.jit(focal_of)(1000.0), [1000, 1001])
    np.testing.assert_array_equal(jax.jit(focals_of)(1000.0), [[1000, 900], [800, 1000]])
    np.testing.assert_array_equal(jax.jacobian(focal_of)(1000.0), [1, 1])


def test_tracers_anywhere_are_noticed():
    keypoints, occluded = clip((2,))
    places = jnp.zeros((FRAMES, 3))

    def moved(places):
        extrinsics = Extrinsics(np.broadcast_to(np.eye(3), (FRAMES, 3, 3)), places)
        found = read(keypoints, occluded, extrinsics=extrinsics)
        assert found.traced
        return found.extrinsics.position

    np.testing.assert_array_equal(jax.jit(moved)(places), places)
    # Values are not looked at: these would be refused as shares of the image.
    jax.jit(lambda keypoints: read(keypoints, occluded).keypoints)(keypoints / 1000)


def test_wrong_units_are_refused():
    keypoints, occluded = clip((2,))
    shares = keypoints / np.array([1920, 1080], np.float32)
    with pytest.raises(ValueError, match=r"keypoints of person 0 lie between .* they are shares of"):
        read(shares, occluded)
    with pytest.raises(ValueError, match="keypoints of person 1 lie between"):
        read(np.stack([keypoints[0], shares[1]]), occluded)
    for focal in (35.0, 0.9):  # millimetres, and a share of the width
        with pytest.raises(ValueError, match=f"camera.focal is {focal:g} px.* give it in pixels"):
            read(keypoints, occluded, CAMERA._replace(focal=(focal, focal)))
    with pytest.raises(ValueError, match=r"camera.center is \(0, 0\)"):
        read(keypoints, occluded, CAMERA._replace(center=(0.0, 0.0)))


def test_hidden_missing_and_centred_keypoints_tell_nothing_of_units():
    keypoints, occluded = clip((2,))
    occluded[0] = True
    keypoints[0] /= 1000
    keypoints[1, 0, :4] = [[0, 0], [-1, -1], [np.nan, 1], [np.inf, 1e38]]
    read(keypoints, occluded)
    read(keypoints, np.ones_like(occluded))
    centred, none = clip((1,))
    read(centred - np.array([960, 540], np.float32), none, CAMERA._replace(center=(0.0, 0.0)))
    rays = (centred - np.array([960, 540], np.float32)) / 1145  # with a focal length of 1: rays
    read(rays, none, Camera((1.0, 1.0), (0.0, 0.0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": None}, "fps is missing"),
        ({"fps": -30.0}, "fps is -30"),
        ({"fps": np.inf}, "fps is inf"),
        ({"fps": [30.0]}, r"fps is \[30.0\]"),
        ({"skeleton": COCO_17}, r"convert\(keypoints, occluded, COCO_17, H36M_17\)"),
        ({"camera": None}, "camera is NoneType: pass one Camera"),
        ({"camera": CAMERA._replace(center=None)}, "camera.focal and camera.center are needed"),
        ({"camera": CAMERA._replace(radial=(0.1, 0.2))}, r"camera.radial has shape \(2,\)"),
        ({"camera": CAMERA._replace(focal=1145.0)}, r"camera.focal has shape \(\)"),
        ({"extrinsics": np.eye(3)}, "extrinsics is ndarray"),
        ({"confidence": np.ones((2, FRAMES, 17), int)}, "confidence has shape .* and dtype int64"),
        ({"confidence": np.ma.ones((2, FRAMES, 17))}, "confidence is a masked array"),
        ({"occluded": np.zeros((2, FRAMES, 17))}, "occluded has dtype float64"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(changes, message):
    keypoints, occluded = clip((2,))
    with pytest.raises(ValueError, match=message):
        read(**({"keypoints": keypoints, "occluded": occluded} | changes))


def test_what_is_no_loaded_lifter_is_refused():
    keypoints, occluded = clip((2,))
    with pytest.raises(ValueError, match="lifter is TemporalLifter: pass what load_lifter returns"):
        read_arguments(LIFTER.network, keypoints, occluded, CAMERA, 30.0, None, None, H36M_17)


def test_masked_arrays_are_refused_with_what_to_do():
    keypoints = np.ma.masked_invalid(np.array([[[1.0, 2.0], [np.nan, 3.0]]]))
    with pytest.raises(ValueError, match="keypoints is a masked array with 1 of 4 values masked") as caught:
        refuse_masked("keypoints", keypoints)
    # The mend is code that works.
    data, mask = str(caught.value).split("hidden, ")[1].split(" and ")
    names = {"np": np, "keypoints": keypoints, "occluded": np.zeros((1, 2), bool)}
    np.testing.assert_array_equal(eval(mask, names), [[False, True]])
    data = eval(data, names)
    assert type(data) is np.ndarray and np.isfinite(data).all()


@pytest.mark.parametrize("mask", [False, True, np.ma.nomask])
def test_a_mask_that_hides_nothing_is_refused_too(mask):
    """Whether a call works must not depend on what a detector happened to see."""
    with pytest.raises(ValueError, match="occluded is a masked array"):
        refuse_masked("occluded", np.ma.masked_array(np.zeros((2, 3), bool), mask))


@pytest.mark.parametrize("values", [np.zeros(3), jnp.zeros(3), [1.0], None, np.zeros(3, [("a", float)])])
def test_all_else_passes(values):
    refuse_masked("keypoints", values)
