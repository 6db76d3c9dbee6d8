"""The camera against Eq. 5 written out in NumPy, its Jacobian against automatic differentiation, and the
plane Z = 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import Camera, normalize, project, project_jacobian

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
