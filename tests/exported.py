"""People for the tests of exports: generated, so rigid, with gaps, hidden joints and a moving camera."""

import numpy as np

from gated_lift.people import LiftedPeople
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.generated import crossing_pair
from solvers import Camera, Extrinsics


def lifted_people(frames=60, axes="world", gap=True, noise=0.0):
    """Two people in world axes, or in those of a level camera at (0, −4, 1) that looks along +y.

    gap: person 0 is absent on frames 20 to 24, person 1 on the first five and the last three. noise: metres,
    added to every joint, so that bones change their lengths.
    """
    rng = np.random.default_rng(7)
    joints = crossing_pair(frames).poses + rng.normal(scale=noise, size=(2, frames, 17, 3)).astype(np.float32)
    rotation = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    position = np.array([0, -4, 1], np.float32)
    seen = (joints - position) @ rotation.T
    keypoints = 1000 * seen[..., :2] / seen[..., 2:] + 500
    hidden = rng.random((2, frames, 17)) < 0.2
    present = np.ones((2, frames), bool)
    if gap:
        present[0, 20:25] = present[1, :5] = present[1, -3:] = False
    placed = joints if axes == "world" else seen
    keypoints[hidden] = np.nan
    spread = rng.normal(size=(2, frames, 3, 3)).astype(np.float32) * 0.02

    def where_present(values, absent=np.nan):
        mask = present.reshape(*present.shape, *[1] * (values.ndim - 2))
        return np.where(mask, values, np.array(absent, values.dtype))

    return LiftedPeople(
        joints=where_present(placed),
        root=where_present(placed[:, :, 0]),
        covariance=where_present(spread @ np.swapaxes(spread, -1, -2)),
        status=np.array([0, 8], np.int32),
        present=present,
        residual=where_present(rng.random((2, frames)).astype(np.float32)),
        keypoints=where_present(keypoints.astype(np.float32)),
        confidence=where_present(np.where(hidden, 0, 0.9).astype(np.float32), absent=0),
        hidden=hidden | ~present[..., None],
        names=("anna", "bob/2"),
        skeleton=H36M_17,
        fps=50.0,
        times=np.arange(frames) / 50.0,
        axes=axes,
        camera=Camera(np.array([1000.0, 1000.0]), np.array([500.0, 500.0]), radial=np.array([0.1, 0.0, 0.0])),
        extrinsics=Extrinsics(rotation[None], position[None]) if axes == "world" else None,
        image_size=(1000, 1000),
        source="clip.json",
        size=np.array([1.0, 1 / 1.1]),
        size_std=np.array([0.06, 0.025]),
    )


def y_up(people):
    """Joints with y up, written out by hand: what BVH, GLB, TRC and C3D files hold."""
    x, y, z = np.moveaxis(people.joints.astype(np.float64), -1, 0)
    return np.stack([x, z, -y] if people.axes == "world" else [x, -y, -z], axis=-1)


def same(first, second, decimals=None):
    """Whether two carriers hold the same: every number and every dtype, or rounded ones of any precision."""
    for name, value, other in zip(first._fields, first, second, strict=True):
        if isinstance(value, Camera | Extrinsics):
            assert same(value, other, decimals), name
        elif isinstance(value, np.ndarray) and decimals is None:
            assert value.dtype == other.dtype, name
            np.testing.assert_array_equal(value, other, err_msg=name)
        elif isinstance(value, np.ndarray):
            np.testing.assert_allclose(
                value.astype(float), other.astype(float), atol=10.0**-decimals, rtol=1e-6, err_msg=name
            )
        else:
            assert value == other, name
    return True
