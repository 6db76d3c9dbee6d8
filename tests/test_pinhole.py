"""The camera against Eq. 5 written out in NumPy, its Jacobian against automatic differentiation, and the
plane Z = 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Camera, pinhole
from solvers.pinhole import split_camera

# Jitted, so that each is one program for all cameras of a kind; eager code is one for every operation.
has_ray, normalize, project, project_jacobian, widest_square = map(
    jax.jit,
    (pinhole.has_ray, pinhole.normalize, pinhole.project, pinhole.project_jacobian, pinhole.widest_square),
)

PLAIN = Camera(focal=(1145.0, 1143.5), center=(512.5, 515.4))
LENS = Camera((1145.0, 1143.5), (512.5, 515.4), radial=(-0.2, 0.24, -0.02), tangential=(-0.0009, -0.0016))


def scattered_points(count=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform([-1.5, -1.5, 2.5], [1.5, 1.5, 6.0], (count, 3)), dtype)


def opencv_projection(points, camera):
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x**2 + y**2
    k1, k2, k3 = camera.radial or (0, 0, 0)
    p1, p2 = camera.tangential or (0, 0)
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return np.stack([camera.focal[0] * u + camera.center[0], camera.focal[1] * v + camera.center[1]], axis=-1)


@pytest.mark.parametrize("camera", [PLAIN, LENS])
def test_projects_as_opencv_documents(float64, camera):
    points = scattered_points()
    np.testing.assert_allclose(
        project(points, camera), opencv_projection(np.asarray(points), camera), rtol=1e-13
    )


@pytest.mark.parametrize("camera", [PLAIN, LENS])
def test_jacobian_matches_automatic_differentiation(float64, camera):
    points = scattered_points()
    expected = jax.vmap(jax.jacfwd(lambda point: project(point, camera)))(points)
    np.testing.assert_allclose(project_jacobian(points, camera), expected, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("camera", [PLAIN, LENS])
def test_normalize_inverts_projection_up_to_depth(float64, camera):
    points = scattered_points()
    rays = normalize(project(points, camera), camera)
    np.testing.assert_allclose(rays, points[:, :2] / points[:, 2:], atol=1e-6)


@pytest.mark.parametrize("depth", [1e-3, 0.0, -1e-30, -4.0])
@pytest.mark.parametrize("camera", [PLAIN, LENS])
def test_stays_finite_at_and_behind_the_camera(camera, depth):
    point = jnp.asarray([[0.01, -0.02, depth]], jnp.float32)
    value, pullback = jax.vjp(lambda p: project(p, camera), point)
    (gradient,) = pullback(jnp.ones_like(value))
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(project_jacobian(point, camera).sum(axis=-2), gradient, rtol=1e-5, atol=1e-3)


def test_one_camera_per_person_and_per_frame():
    points = jnp.asarray(scattered_points(24, np.float32)).reshape(2, 3, 4, 3)
    focal = jnp.asarray([[1000.0, 1001.0], [1200.0, 1201.0]])
    together = project(points, Camera(focal, jnp.asarray([[500.0, 501.0], [502.0, 503.0]])))
    for person in range(2):
        center = (500.0 + 2 * person, 501.0 + 2 * person)
        alone = project(points[person], Camera(tuple(focal[person].tolist()), center))
        np.testing.assert_array_equal(together[person], alone)
    per_frame = jnp.broadcast_to(focal[:, None], (2, 3, 2))
    shared = jnp.asarray([500.0, 500.0])
    np.testing.assert_array_equal(
        project(points, Camera(per_frame, shared)), project(points, Camera(focal, shared))
    )


def test_rejects_cameras_that_do_not_fit():
    points = scattered_points(4, np.float32)
    with pytest.raises(ValueError, match=r"camera has leading axes \(3,\), the points have \(4,\)"):
        project(points, Camera(jnp.ones((3, 2)), (0.0, 0.0)))
    with pytest.raises(ValueError, match=r"camera\.radial has shape \(2,\).*3 numbers"):
        project(points, LENS._replace(radial=(0.1, 0.2)))
    with pytest.raises(ValueError, match=r"camera\.focal and camera\.center are needed"):
        project(points, Camera(None, (0.0, 0.0)))


# ---------------------------------------------------------------------------- where a lens model has rays

LENSES = {
    "barrel": ((-0.2, 0.0, 0.0), None),
    "strong barrel": ((-0.35, 0.1, 0.0), None),
    "barrel that opens again": ((-0.3, 0.1, 0.01), (1e-3, 1e-3)),
    "pincushion": ((0.2, 0.0, 0.0), None),
    "pincushion that folds": ((0.3, -0.05, 0.0), None),
    "studio": ((-0.2, 0.24, -0.02), (-0.0009, -0.0016)),
    "k3": ((-0.1, 0.05, -0.02), None),
    "tangential": (None, (2e-3, -1e-3)),
}


def lens(name, focal=1400.0):
    radial, tangential = LENSES[name]
    return Camera((focal, focal), (960.0, 540.0), radial, tangential)


def sampled_range(camera):
    """The radius up to which the distorted radius grows, and that radius, by dense sampling."""
    r = np.linspace(0, 10, 1_000_001)
    k1, k2, k3 = camera.radial or (0, 0, 0)
    distorted = r * (1 + k1 * r**2 + k2 * r**4 + k3 * r**6)
    falls = np.nonzero(np.diff(distorted) <= 0)[0]
    last = falls[0] if len(falls) else len(r) - 1
    return r[last], distorted[last]


@pytest.mark.parametrize("name", LENSES)
def test_a_lens_is_one_to_one_as_far_as_dense_sampling_says(float64, name):
    camera = lens(name)
    expected, _ = sampled_range(camera)
    found = widest_square(jax.tree.map(jnp.asarray, split_camera(camera, np.float64)))
    np.testing.assert_allclose(np.sqrt(found), expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", LENSES)
def test_pixels_have_rays_where_dense_sampling_finds_one(name, dtype):
    camera = lens(name)
    widest, edge = sampled_range(camera)
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 3000)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    # Tangential distortion moves the edge a little.
    slack = 0.05 if camera.tangential else 0.01
    with jax.enable_x64(dtype == np.float64):
        inside = direction * rng.uniform(0, min((1 - slack) * widest, 3), (3000, 1))
        points = np.concatenate([inside, np.ones((3000, 1))], axis=1).astype(dtype)
        pixels = project(jnp.asarray(points), camera)
        assert np.all(has_ray(pixels, camera))
        limit = 1e-9 if dtype == np.float64 else 3e-5
        np.testing.assert_allclose(normalize(pixels, camera), points[:, :2], atol=limit, rtol=limit)
        # The whole image of a usual camera, the size of a wide angle's.
        # As many pixels as above: the same program.
        grid = np.stack(np.meshgrid(np.linspace(0, 1919, 60), np.linspace(0, 1079, 50)), axis=-1)
        assert np.all(has_ray(jnp.asarray(grid.reshape(3000, 2), dtype), camera))
        if widest < 10 and name != "barrel that opens again":
            beyond = direction * (edge * (1 + slack) + rng.uniform(0, 3, (3000, 1)))
            outside = (1400 * beyond + np.array([960.0, 540.0])).astype(dtype)
            assert not np.any(has_ray(jnp.asarray(outside), camera))
            assert np.all(np.isfinite(normalize(jnp.asarray(outside), camera)))


@pytest.mark.parametrize("name", LENSES)
def test_normalize_is_finite_for_every_finite_pixel(name):
    far = np.array([[1e4, 1e4], [-5e3, 200], [1e30, -1e20], [3e38, 3e38], [960, 540], [960, 540.001]])
    pixels = jnp.asarray(far, jnp.float32)
    camera = lens(name)
    rays, pull = jax.vjp(lambda pixels: normalize(pixels, camera), pixels)
    assert np.isfinite(rays).all() and np.isfinite(pull(jnp.ones_like(rays))[0]).all()
    seen = has_ray(pixels, camera)
    assert not seen[2:4].any() and seen[4:].all()


def test_only_finite_pixels_have_rays():
    pixels = jnp.asarray([[np.nan, 0.0], [0.0, np.inf], [5.0, 5.0]])
    for camera in (PLAIN, LENS, lens("tangential")):
        np.testing.assert_array_equal(has_ray(pixels, camera), [False, False, True])


def test_gradients_through_the_lens_are_those_of_differences(float64):
    camera, rng = lens("studio"), np.random.default_rng(0)
    pixels = jnp.asarray(rng.uniform([0, 0], [1920, 1080], (20, 2)))
    direction = jnp.asarray(rng.normal(size=(20, 2)))
    _, slope = jax.jvp(lambda pixels: normalize(pixels, camera), (pixels,), (direction,))
    ahead, back = (normalize(pixels + sign * 1e-3 * direction, camera) for sign in (1, -1))
    np.testing.assert_allclose(slope, (ahead - back) / 2e-3, rtol=1e-6, atol=1e-12)
