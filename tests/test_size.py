"""How tall people are: from their bones, from what is known of them, and from the floor that they share."""

import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.skeleton import COCO_17, H36M_17
from gated_lift.synthetic import generated
from gated_lift.video.floor import Stances
from gated_lift.video.size import (
    CAMERA_HEIGHT_STD,
    FRAME_STD,
    HEIGHT_STD,
    find_sizes,
    scaled_about,
    size_priors,
    solve_sizes,
    stature,
    with_size,
)
from solvers import Camera, Extrinsics, project

FPS = 25.0
SPREAD = 0.06


def test_stature_is_that_of_a_standing_person():
    stand = generated.stand(5)[None]
    (height,) = stature(stand.astype(np.float32), H36M_17)
    assert height == pytest.approx(stand[0, :, 10, 2].max(), abs=0.1)
    twice = np.concatenate([stand, 2 * stand, np.full_like(stand, np.nan)])
    found = stature(twice, H36M_17)
    assert found[1] == pytest.approx(2 * found[0]) and np.isnan(found[2])
    with pytest.raises(ValueError, match="coco_17 lacks some of left_knee"):
        stature(np.zeros((1, 1, 17, 3)), COCO_17)


def test_heights_by_name_replace_what_people_are_like():
    measured, unseen = np.array([1.6, 2.0, np.nan]), np.array([0.0, 0.1, 0.0])
    names = ("Ada", "Bo", "Cy")
    mean, std = size_priors({"Ada": 1.76}, names, measured, SPREAD, unseen)
    np.testing.assert_allclose(np.exp(mean), [1.1, 1, 1])
    alone = np.sqrt(SPREAD**2 - FRAME_STD**2)
    np.testing.assert_allclose(std, [HEIGHT_STD, np.hypot(alone, 0.1), alone])
    mean, std = size_priors({"": 1.6, "Bo": 1.8}, names, measured, SPREAD, unseen)
    np.testing.assert_allclose(np.exp(mean), [1, 0.9, 1])
    assert size_priors({}, names, measured, 0.0, unseen)[1].min() == FRAME_STD
    with pytest.raises(ValueError, match="heights names Dan, people are Ada, Bo, Cy"):
        size_priors({"Dan": 1.7}, names, measured, SPREAD, unseen)
    with pytest.raises(ValueError, match=r"the height of Ada is 178.0: give metres"):
        size_priors({"Ada": 178.0}, names, measured, SPREAD, unseen)


def test_a_size_about_the_camera_changes_no_image():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(2, 4, 17, 3)) + np.array([0.0, 0.0, 5.0])
    camera = Camera((1000.0, 1000.0), (500.0, 500.0), (0.1, 0.0, 0.0))
    larger = scaled_about(joints, np.zeros((1, 3)), np.array([1.1, 0.8]))
    before, after = (project(jnp.asarray(points, jnp.float32), camera) for points in (joints, larger))
    np.testing.assert_allclose(after, before, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(larger[1], axis=-1), 0.8 * np.linalg.norm(joints[1], axis=-1))
    # About a camera that moves, each frame by itself; roots are points too.
    path = rng.normal(size=(4, 3))
    moved = scaled_about(joints[:, :, 0], path, np.array([2.0, 1.0]))
    np.testing.assert_allclose(moved[0], 2 * joints[0, :, 0] - path)


def test_covariances_lose_what_is_known_now():
    ray = np.array([[[0.0, 3.0, 4.0]]])
    across = 0.01 * np.eye(3)
    before = across + SPREAD**2 * ray[..., :, None] * ray[..., None, :]
    found = with_size(before, ray, np.array([2.0]), SPREAD, np.array([0.03]))
    np.testing.assert_allclose(found[0, 0], 4 * (across + 0.03**2 * np.outer(ray, ray)))


# -------------------------------------------------------------------------------------------------- the floor


def stances_of(heights, scales, height=1.5, tilt=(0.0, 0.0), count=6):
    """Feet at several places on a floor ``height`` below the camera, of people lifted 1 / scale too small,
    each ``heights`` above it.
    """
    rng = np.random.default_rng(1)
    person, rows = [], []
    for index, (above, scale) in enumerate(zip(heights, scales, strict=True)):
        for _ in range(count):
            x, y = rng.uniform(-2, 2), rng.uniform(3, 7)
            level = np.array([x, y, above + 0.065 * scale - height]) / scale
            # What is level seems to be turned by minus the tilt.
            rows.append(level - np.cross([*tilt, 0.0], level))
            person.append(index)
    return Stances(np.array(person, np.int64), np.array(rows).reshape(-1, 3), np.zeros(len(rows)))


def solved(stances, people, camera_height=None, **known):
    mean, std = np.zeros(people), np.full(people, SPREAD)
    for index, log in known.get("logs", {}).items():
        mean[index], std[index] = log, HEIGHT_STD
    return solve_sizes(mean, std, stances, known.get("tilt_std", 0.01), camera_height)


def test_whoever_stands_alone_has_the_size_that_they_seem_to_have():
    found = solved(stances_of([0.0], [1.1]), 1)
    np.testing.assert_allclose(found.scale, 1, atol=1e-4)
    np.testing.assert_allclose(found.std, SPREAD, rtol=1e-3)
    nobody = solved(stances_of([], []), 2)
    np.testing.assert_array_equal(nobody.scale, 1)
    assert np.isnan(nobody.floor)


def test_people_on_one_floor_are_of_sizes_that_fit_each_other():
    scales = np.array([1.06, 0.97, 0.97])
    found = solved(stances_of([0, 0, 0], scales), 3)
    # Feet may be lifted too high, so a part of the difference stays.
    np.testing.assert_allclose(found.scale / found.scale[0], scales / scales[0], rtol=0.02)
    assert np.all(found.std < 0.8 * SPREAD)
    # A vertical that is wrong by two degrees shows in where they stand.
    tilted = solved(stances_of([0, 0, 0], scales, tilt=(0.035, -0.02)), 3, tilt_std=0.07)
    np.testing.assert_allclose(tilted.scale / tilted.scale[0], scales / scales[0], rtol=0.03)


def test_a_height_that_is_known_tells_everybodys():
    scales = np.array([1.1, 0.9])
    stances = stances_of([0, 0], scales)
    one = solved(stances, 2, logs={0: np.log(1.1)})
    np.testing.assert_allclose(one.scale, scales, rtol=0.06)
    camera = solved(stances, 2, camera_height=1.5)
    np.testing.assert_allclose(camera.scale, scales, rtol=0.04)
    assert np.all(camera.std < 0.6 * SPREAD) and camera.floor == pytest.approx(
        -1.5, abs=2 * CAMERA_HEIGHT_STD
    )


def test_whoever_stands_on_a_stage_does_not_make_others_small():
    scales = np.array([1.0, 1.05, 1.0])
    found = solved(stances_of([0, 0, 0.7], scales), 3)
    np.testing.assert_allclose(found.scale, [0.99, 1.04, 1.0], atol=0.03)


def test_lifted_people_are_sized_in_camera_axes_and_in_the_world():
    """Two people who stand before a camera that looks down by 20 degrees; one is lifted a tenth too small."""
    stand = np.asarray(generated.stand(30), np.float64)
    world = np.stack([stand + np.array([-0.8, 4.0, 0.0]), stand + np.array([0.8, 5.5, 0.0])])
    eye, down = np.array([[0.0, 0.0, 1.8]]), np.radians(20)
    cos, sin = np.cos(down), np.sin(down)
    rotation = np.array([[1, 0, 0], [0, -sin, -cos], [0, cos, -sin]])[None]
    lifted = scaled_about(world, eye, np.array([1.0, 1 / 1.1]))
    in_camera = (lifted - eye) @ rotation[0].T
    hidden = np.zeros(world.shape[:-1], bool)
    mean, std = size_priors({}, ("Ada", "Bo"), np.full(2, np.nan), SPREAD, np.zeros(2))
    known = hidden, mean, std, H36M_17, FPS
    for found in (
        find_sizes(lifted, *known, Extrinsics(rotation, eye)),
        find_sizes(in_camera, *known, up=np.array([0.0, -cos, -sin])),
    ):
        assert found.scale[1] / found.scale[0] == pytest.approx(1.1, abs=0.04)
        np.testing.assert_allclose(found.scale.prod(), 1, atol=0.01)
    # Nobody's feet are seen, nobody is there, nothing has feet.
    hidden[:, :, [3, 6]] = True
    np.testing.assert_allclose(find_sizes(in_camera, *known, up=np.array([0.0, -cos, -sin])).scale, 1)
    np.testing.assert_allclose(find_sizes(np.full_like(in_camera, np.nan), *known).scale, 1)
    np.testing.assert_allclose(find_sizes(in_camera, *known[:3], COCO_17, FPS).scale, 1)
