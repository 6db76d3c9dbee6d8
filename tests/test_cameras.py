"""Cameras: round trips, frames of reference, what is in view, and how hands shake."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import solvers
from gated_lift import cameras
from gated_lift.cameras import (
    Extrinsics,
    HandheldCamera,
    VirtualCamera,
    Wander,
    denormalize_screen,
    normalize_screen,
    rotation_matrix,
    sample_handheld_camera,
    sample_static_camera,
)

# Jitted: eager code is a program for every operation.
camera_to_world, world_to_camera, look_at, project = map(
    jax.jit, (cameras.camera_to_world, cameras.world_to_camera, cameras.look_at, solvers.project)
)
wander = jax.jit(cameras.wander, static_argnums=(2, 3))

STILL = Wander(rms=0.0, band=(0.1, 1.0), falloff=1.0)
STRAIGHT = VirtualCamera(roll_std=0.0, aim_jitter=(0.0, 0.0))
# Only what a test looks at moves; the rest of the hand is still.
QUIET = HandheldCamera(view=STRAIGHT, walking=0.0, drift=STILL, aim_drift=STILL, tremor=STILL)


def random(shape, seed=0, scale=1.0):
    return jnp.array(np.random.default_rng(seed).normal(size=shape) * scale, jnp.float32)


def random_extrinsics(shape, seed=1):
    position = random((*shape, 3), seed, 4.0)
    return Extrinsics(look_at(position, random((*shape, 3), seed + 1), random(shape, seed + 2)), position)


def assert_rotations(rotation):
    rotation = np.asarray(rotation, np.float64)
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, -1, -2), identity, atol=3e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=3e-6)


# Screen normalisation


def test_screen_corners_of_a_wide_image():
    corners = jnp.array([[0.0, 0.0], [1920.0, 1080.0], [960.0, 540.0]])
    expected = [[-1, -0.5625], [1, 0.5625], [0, 0]]
    np.testing.assert_allclose(normalize_screen(corners, 1920, 1080), expected, atol=1e-6)


def test_screen_round_trip():
    keypoints = random((2, 5, 17, 2), scale=500.0)
    back = denormalize_screen(normalize_screen(keypoints, 1000, 1002.0), 1000, 1002.0)
    np.testing.assert_allclose(back, keypoints, atol=2e-4)


@pytest.mark.parametrize("change", [normalize_screen, denormalize_screen])
@pytest.mark.parametrize("size", [(0, 100), (100, -1), (math.nan, 100)])
def test_screen_without_area_is_refused(change, size):
    with pytest.raises(ValueError, match=r"width is .* and height"):
        change(jnp.zeros((3, 2)), *size)


# Extrinsics


def test_world_to_camera_matches_numpy_and_returns():
    points, extrinsics = random((2, 6, 5, 3)), random_extrinsics((2, 6))
    local = world_to_camera(points, extrinsics)
    rotation, position = (np.asarray(part, np.float64) for part in extrinsics)
    expected = np.einsum("pfij,pfkj->pfki", rotation, np.asarray(points, np.float64) - position[:, :, None])
    np.testing.assert_allclose(local, expected, atol=1e-5)
    np.testing.assert_allclose(camera_to_world(local, extrinsics), points, atol=1e-5)


@pytest.mark.parametrize("lead", [(), (1,), (3,)])
def test_a_static_camera_serves_every_frame(lead):
    points, one = random((3, 6, 5, 3)), random_extrinsics((*lead, 1))
    repeated = Extrinsics(
        jnp.broadcast_to(one.rotation, (3, 6, 3, 3)), jnp.broadcast_to(one.position, (3, 6, 3))
    )
    np.testing.assert_array_equal(world_to_camera(points, one), world_to_camera(points, repeated))
    np.testing.assert_array_equal(camera_to_world(points, one), camera_to_world(points, repeated))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4,), r"extrinsics has 4 frames and points 6"),
        ((3, 1), r"leading axes \(3,\) and points \(3, 2\)"),
    ],
)
def test_extrinsics_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        world_to_camera(jnp.zeros((3, 2, 6, 5, 3)), random_extrinsics(shape))


def test_swapped_extrinsics_are_refused():
    rotation, position = random_extrinsics((6,))
    with pytest.raises(ValueError, match="extrinsics has rotation"):
        world_to_camera(jnp.zeros((6, 5, 3)), Extrinsics(position, rotation))


# look_at


def test_look_at_north_has_the_stated_axes():
    rotation = look_at(jnp.array([0.0, -5.0, 1.0]), jnp.array([0.0, 0.0, 1.0]), jnp.array(0.0))
    np.testing.assert_allclose(rotation, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-7)


def test_look_at_is_level_points_down_and_forward():
    position, target = random((50, 3), 0, 3.0), random((50, 3), 1)
    rotation = np.asarray(look_at(position, target, jnp.zeros(50)))
    assert_rotations(rotation)
    np.testing.assert_allclose(rotation[:, 0, 2], 0.0, atol=1e-7)
    assert (rotation[:, 1, 2] < 0).all()
    forward = np.asarray(target - position)
    np.testing.assert_allclose(
        rotation[:, 2], forward / np.linalg.norm(forward, axis=-1, keepdims=True), atol=1e-5
    )


def test_positive_roll_is_clockwise():
    """The camera's right dips, so what stood upright leans to the left of the picture."""
    rotation = look_at(jnp.array([0.0, -5.0, 0.0]), jnp.zeros(3), jnp.array(0.3))
    assert_rotations(rotation)
    np.testing.assert_allclose(rotation[0], [math.cos(0.3), 0, -math.sin(0.3)], atol=1e-6)
    head = rotation @ jnp.array([0.0, 0.0, 1.0])
    assert head[0] < 0 and head[1] < 0


@pytest.mark.parametrize(
    "offset",
    [(0, 0, -2), (0, 0, 2), (0, 0, 0), (1e-7, 0, -2), (1e-4, 1e-4, -2), (1e-25, 0, 0)],
    ids=["down", "up", "nowhere", "almost down", "nearly down", "underflow"],
)
def test_look_at_is_safe_where_right_is_undefined(offset):
    position, offset = jnp.array([1.0, 2.0, 3.0]), jnp.array(offset, jnp.float32)
    assert_rotations(look_at(position, position + offset, jnp.array(0.2)))

    def entries(position, target, roll):
        return jnp.sum(look_at(position, target, roll) * random((3, 3)))

    gradients = jax.grad(entries, argnums=(0, 1, 2))(position, position + offset, jnp.array(0.2))
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradients)


# Static cameras

sample_many = jax.jit(jax.vmap(sample_static_camera, in_axes=(0, 0, None)), static_argnums=2)


def test_static_cameras_stand_on_the_ring_and_see_the_person():
    config = VirtualCamera(focal=(900.0, 1400.0))
    targets = random((400, 3)) + jnp.array([[0.0, 0.0, 1.0]])
    camera, extrinsics = sample_many(jax.random.split(jax.random.key(0), 400), targets, config)
    assert extrinsics.rotation.shape == (400, 1, 3, 3) and extrinsics.position.shape == (400, 1, 3)
    assert_rotations(extrinsics.rotation)
    offset = np.asarray(extrinsics.position[:, 0] - targets)
    distance = np.hypot(offset[:, 0], offset[:, 1])
    assert distance.min() > 2.49 and distance.max() < 8.01 and distance.std() > 1.3
    height = np.asarray(extrinsics.position[:, 0, 2])
    assert height.min() > 0.5 and height.max() < 2.5 and height.std() > 0.5
    azimuth = np.histogram(np.arctan2(offset[:, 1], offset[:, 0]), bins=4, range=(-np.pi, np.pi))[0]
    assert azimuth.min() > 60
    focal = np.asarray(camera.focal)
    assert focal.min() > 900 and focal.max() < 1400 and focal[:, 0].std() > 100
    np.testing.assert_array_equal(focal[:, 0], focal[:, 1])
    np.testing.assert_array_equal(camera.center, np.full((400, 2), 500.0))

    local = world_to_camera(targets[:, None, None], extrinsics)
    pixels = np.abs(np.asarray(project(local, camera))[:, 0, 0] - 500)
    # A roll of a few degrees turns the box of the jitter a little.
    assert (pixels.max(axis=0) < [0.36 * 500, 0.16 * 500]).all() and pixels.max(axis=0)[0] > 0.25 * 500


def test_static_camera_without_jitter_centres_the_person_feet_below_head():
    camera, extrinsics = sample_static_camera(jax.random.key(3), jnp.array([2.0, 1.0, 1.0]), STRAIGHT)
    body = jnp.array([[2.0, 1.0, 0.0], [2.0, 1.0, 1.0], [2.0, 1.0, 1.8]])
    feet, hip, head = np.asarray(project(world_to_camera(body[None], extrinsics), camera)[0])
    np.testing.assert_allclose(hip, [500, 500], atol=1e-2)
    assert feet[1] > hip[1] > head[1]
    np.testing.assert_allclose([feet[0], head[0]], 500, atol=1e-2)


def test_static_roll_has_its_spread():
    config = VirtualCamera(roll_std=0.05)
    targets = jnp.zeros((400, 3))
    _, extrinsics = sample_many(jax.random.split(jax.random.key(0), 400), targets, config)
    rotation = np.asarray(extrinsics.rotation[:, 0])
    roll = np.arctan2(-rotation[:, 0, 2], -rotation[:, 1, 2])
    assert 0.044 < roll.std() < 0.056 and abs(roll.mean()) < 0.01


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (VirtualCamera(focal=(0.0, 1000.0)), r"config.focal is \(0.0, 1000.0\)"),
        (VirtualCamera(distance=(3.0, 2.0)), r"config.distance is \(3.0, 2.0\)"),
        (VirtualCamera(elevation=(2.0, 1.0)), r"config.elevation is \(2.0, 1.0\)"),
        (VirtualCamera(width=0), "width is 0"),
    ],
)
def test_impossible_virtual_cameras_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        sample_static_camera(jax.random.key(0), jnp.zeros(3), config)


# Wander


@pytest.mark.parametrize("fps", [25.0, 50.0, 120.0])
def test_tremor_keeps_to_its_band_and_rms_at_any_frame_rate(fps):
    config = HandheldCamera().tremor
    frames = int(40 * fps)
    times = jnp.arange(frames, dtype=jnp.float32) / fps
    keys = jax.random.split(jax.random.key(0), 30)
    drawn = jax.jit(jax.vmap(lambda key: wander(key, times, (STILL, config), 3)))(keys)
    noise = np.asarray(drawn, np.float64)
    assert not noise[:, 0].any()
    noise = noise[:, 1]
    np.testing.assert_allclose(np.sqrt((noise**2).mean()), math.radians(0.15), rtol=0.03)
    assert np.abs(noise).max() <= math.sqrt(2 * 6) * math.radians(0.15)
    power = np.abs(np.fft.rfft(noise * np.hanning(frames)[:, None], axis=1)) ** 2
    power = power.mean(axis=(0, 2))
    hertz = np.fft.rfftfreq(frames, 1 / fps)
    band = (hertz > 3.8) & (hertz < 10.2)
    assert power[band].sum() > 0.999 * power.sum()
    low, high = (power[(hertz >= a) & (hertz < a + 2)].sum() for a in (4, 8))
    assert low > 2 * high


def test_wander_axes_and_keys_are_independent():
    times = jnp.arange(4000, dtype=jnp.float32) / 50
    config = Wander(rms=1.0, band=(0.5, 5.0), falloff=0.0)
    noise = np.concatenate([wander(jax.random.key(seed), times, (config, config), 2) for seed in (0, 1)])
    assert np.abs(np.corrcoef(noise.swapaxes(1, 2).reshape(8, -1)) - np.eye(8)).max() < 0.15


@pytest.mark.parametrize("band", [(0.0, 1.0), (2.0, 1.0)])
def test_wander_refuses_an_empty_band(band):
    with pytest.raises(ValueError, match=r"configs has the band"):
        wander(jax.random.key(0), jnp.zeros(3), (Wander(1.0, band, 1.0),), 1)


# Hand-held cameras. One shape for all tests, because compiling costs more than running.

KEYS, FRAMES = 40, 300
handheld = jax.jit(jax.vmap(sample_handheld_camera, in_axes=(0, None, None, None)), static_argnums=3)


def film(path, fps, config, seed=0):
    return handheld(jax.random.split(jax.random.key(seed), KEYS), path, fps, config)


def walk(fps, speed=1.4):
    times = jnp.arange(FRAMES, dtype=jnp.float32) / fps
    return jnp.stack([speed * times, jnp.zeros_like(times), jnp.ones_like(times)], axis=-1)


def image(camera, extrinsics, path):
    """Depths (KEYS, F) and pixels (KEYS, F, 2) of the path."""
    local = world_to_camera(jnp.broadcast_to(path[:, None], (KEYS, FRAMES, 1, 3)), extrinsics)
    return np.asarray(local[:, :, 0, 2]), np.asarray(project(local, camera)[:, :, 0])


def peak(signal, fps):
    """Frequency and amplitude of the strongest sinusoid."""
    signal = signal - signal.mean()
    window = np.hanning(len(signal))
    spectrum = np.abs(np.fft.rfft(signal * window, 16 * len(signal))) * 2 / window.sum()
    return np.fft.rfftfreq(16 * len(signal), 1 / fps)[spectrum.argmax()], spectrum.max()


@pytest.mark.parametrize("speed", [0.0, 1.4, 8.0])
def test_handheld_keeps_the_person_in_view_and_at_a_distance(speed):
    path = walk(50, speed)
    camera, extrinsics = film(path, 50.0, HandheldCamera())
    assert extrinsics.rotation.shape == (KEYS, FRAMES, 3, 3)
    assert_rotations(extrinsics.rotation)
    depth, pixels = image(camera, extrinsics, path)
    assert pixels.min() > 30 and pixels.max() < 970
    assert depth.min() > 2.0


@pytest.mark.parametrize("fps", [25.0, 50.0, 60.0])
def test_walking_sway_has_its_frequencies_and_amplitudes(fps):
    _, extrinsics = film(walk(fps, 0.0), fps, QUIET._replace(walking=1.0))
    for position in np.asarray(extrinsics.position[:8], np.float64):
        bob_hertz, bob = peak(position[:, 2], fps)
        assert 1.67 < bob_hertz < 1.93 and 0.0195 < bob < 0.0305
        spread = position[:, :2] - position[:, :2].mean(axis=0)
        _, sizes, axes = np.linalg.svd(spread, full_matrices=False)
        sway_hertz, sway = peak(spread @ axes[0], fps)
        assert abs(sway_hertz - bob_hertz / 2) < 0.03 and 0.0145 < sway < 0.0255
        # All of it is across the line of sight.
        assert sizes[1] < 1e-3 * sizes[0]
        assert abs(axes[0] @ position[0, :2]) < 0.05 * np.linalg.norm(position[0, :2])


def test_half_of_the_operators_walk_with_the_person_and_the_others_stand():
    path = walk(50)
    _, extrinsics = film(path, 50.0, QUIET._replace(walking=0.5, follow=(1.0, 1.0)))
    walked = np.ptp(np.asarray(extrinsics.position), axis=1).max(axis=-1) > 1.0
    assert 0.25 < walked.mean() < 0.75
    assert np.ptp(np.asarray(extrinsics.position)[~walked], axis=1).max() < 1e-5
    offset = np.asarray(extrinsics.position - path[None])[walked, 60:]
    assert np.ptp(offset, axis=1).max() < 0.07


@pytest.mark.parametrize("fps", [10.0, 50.0, 200.0])
def test_aim_is_late_by_twice_the_lag_at_constant_speed(fps):
    """Two first-order filters in a row trail a ramp by the sum of their time constants."""
    path = walk(fps, speed=1.0)
    _, extrinsics = film(path, fps, QUIET._replace(lag=(0.15, 0.15), max_lag=1000.0))
    position, forward = np.asarray(extrinsics.position[:, -1]), np.asarray(extrinsics.rotation[:, -1, 2])
    # Where the optical axis meets the plane y = 0 in which the person walks; not for those who look along it.
    across = np.abs(forward[:, 1]) > 0.3
    aimed = position[:, 0] - forward[:, 0] * (position[:, 1] / forward[:, 1])
    assert across.sum() > 20
    np.testing.assert_allclose((np.asarray(path)[-1, 0] - aimed)[across], 0.3, atol=3e-3)


def test_tremor_and_aim_drift_turn_the_camera_by_their_rms():
    path = walk(25, 0.0)
    config = QUIET._replace(tremor=HandheldCamera().tremor, aim_drift=HandheldCamera().aim_drift)
    _, pixels = image(*film(path, 25.0, config), path)
    angle = np.degrees(np.arctan((pixels - 500) / 1145))
    spectrum = np.fft.rfft(angle, axis=1)
    spectrum[:, np.fft.rfftfreq(FRAMES, 1 / 25) < 3] = 0
    fast = np.fft.irfft(spectrum, FRAMES, axis=1)
    assert 0.12 < np.sqrt((fast**2).mean()) < 0.18
    assert 0.8 < np.sqrt((angle**2).mean()) < 1.2


def test_the_motion_is_a_function_of_time_not_of_frames():
    path = walk(50, 0.0)
    _, fast = film(path, 50.0, HandheldCamera())
    _, slow = film(path, 25.0, HandheldCamera())
    np.testing.assert_allclose(fast.position[:, ::2], slow.position[:, :150], atol=5e-5)
    np.testing.assert_allclose(fast.rotation[:, ::2], slow.rotation[:, :150], atol=5e-5)


def test_handheld_is_deterministic_per_key():
    first, again, other = (film(walk(50), 50.0, HandheldCamera(), seed) for seed in (7, 7, 8))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.abs(np.asarray(first[1].position - other[1].position)).max(axis=(1, 2)).min() > 0.01


@pytest.mark.parametrize("frames", [1, 30])
def test_handheld_gradients_are_finite(frames):
    """A person who stands still is where norms have no slope."""
    target = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (frames, 3))

    def pixels(target):
        camera, extrinsics = sample_handheld_camera(jax.random.key(0), target, 50.0, HandheldCamera())
        return jnp.sum(project(world_to_camera(target[:, None], extrinsics), camera))

    assert bool(jnp.all(jnp.isfinite(jax.jit(jax.grad(pixels))(target))))


def test_handheld_in_double_precision(float64):
    path = jnp.zeros((2, 3), jnp.float64)
    run = jax.jit(sample_handheld_camera, static_argnums=(2, 3))
    camera, extrinsics = run(jax.random.key(0), path, 50, HandheldCamera())
    assert {leaf.dtype for leaf in jax.tree.leaves((camera, extrinsics))} == {jnp.dtype("float64")}


def test_handheld_refuses_no_frames_and_no_frame_rate():
    with pytest.raises(ValueError, match="targets has 0 frames"):
        sample_handheld_camera(jax.random.key(0), jnp.zeros((0, 3)), 50.0, HandheldCamera())
    with pytest.raises(ValueError, match="fps is 0"):
        sample_handheld_camera(jax.random.key(0), jnp.zeros((3, 3)), 0, HandheldCamera())


def test_rotation_vectors_become_matrices():
    vectors = np.random.default_rng(6).normal(size=(4, 5, 3)).astype(np.float32)
    vectors[0, 0] = 0
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(4, 5, 3, 3)
    np.testing.assert_allclose(rotation_matrix(jnp.asarray(vectors)), expected, atol=1e-6)


@pytest.mark.parametrize(
    "precise", [pytest.param(False, marks=pytest.mark.default_flags), True], ids=["float32", "float64"]
)
def test_rotations_have_derivatives_everywhere(precise):
    """Forward = reverse = numeric, for the first and for the second derivatives, at the identity too."""
    sizes = np.array([0.0, 1e-20, 1e-6, 1e-3, 0.1, 0.999, 1.001, 3.0, 6.3])
    vectors = sizes[:, None] * np.array([0.48, -0.6, 0.64])

    def entries(vectors):
        return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)

    def numeric(function, vectors, step):
        """Central differences of the fourth order; the last axis is the vector's."""
        columns = []
        for axis in np.eye(3):
            one, two = (
                (function(vectors + times * step * axis) - function(vectors - times * step * axis)) / times
                for times in (1, 2)
            )
            columns.append((4 * one - two) / (6 * step))
        return np.stack(columns, axis=-1)

    def derivatives(vector):
        forward, reverse = jax.jacfwd(rotation_matrix), jax.jacrev(rotation_matrix)
        first = forward(vector), reverse(vector)
        return first, tuple(
            jacobian(vector) for jacobian in (jax.jacfwd(reverse), jax.jacrev(forward), jax.jacrev(reverse))
        )

    slope = numeric(entries, vectors, 1e-3)
    bend = numeric(lambda points: numeric(entries, points, 1e-2), vectors, 1e-2)
    with jax.enable_x64(precise):
        points = jnp.asarray(vectors, jnp.float64 if precise else jnp.float32)
        firsts, seconds = jax.jit(jax.vmap(derivatives))(points)
    for first in firsts:
        np.testing.assert_allclose(first, slope, atol=1e-9 if precise else 1e-6)
    for second in seconds:
        np.testing.assert_allclose(second, bend, atol=1e-7 if precise else 2e-6)


def test_the_vertical_of_a_tilted_and_rolled_camera():
    """`up_of` is the world's z in the axes of the camera that `look_at` makes."""
    for tilt, roll in ((0.0, 0.0), (0.5, 0.3), (-0.2, -1.0)):
        position = jnp.array([0.0, 0.0, 1 + 5 * math.tan(tilt)])
        rotation = cameras.look_at(position, jnp.array([3.0, 4.0, 1.0]), jnp.array(roll))
        np.testing.assert_allclose(rotation[:, 2], cameras.up_of(tilt, roll), atol=1e-6)
