import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.recovery.plausibility import (
    TILTED_FIT,
    UNSEEN_SIZE_STD,
    WORST_FIT,
    WORST_PARTIAL_FIT,
    fits_badly,
    hangs,
    lies,
    misfit,
    never_seen,
    rises,
    trunk_cosine,
    unseen_size_std,
)
from gated_lift.skeleton import COCO_17, H36M_17


def test_the_misfit_is_the_residual_in_sizes_of_the_person():
    rng = np.random.default_rng(0)
    keypoints = rng.normal(0, 80, (3, 7, 6, 2)) + 500
    occluded = rng.random((3, 7, 6)) < 0.4
    residual = rng.uniform(1, 9, (3, 7))
    expected = []
    for person in range(3):
        error = size = 0.0
        for frame in range(7):
            points = keypoints[person, frame][~occluded[person, frame]]
            if len(points) >= 3:
                error += len(points) * residual[person, frame] ** 2
                size += ((points - points.mean(axis=0)) ** 2).sum()
        expected.append(np.sqrt(error / size))
    given = [jnp.asarray(values, jnp.float32) for values in (residual, keypoints)]
    found = misfit(*given, jnp.asarray(occluded))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(misfit(3 * given[0], 3 * given[1], jnp.asarray(occluded)), expected, rtol=1e-4)


def test_nobody_and_a_perfect_fit_have_no_misfit_and_finite_slopes():
    keypoints = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5, 2)), jnp.float32)
    occluded = jnp.zeros((2, 4, 5), bool).at[1].set(True)
    value, slope = jax.value_and_grad(lambda r: misfit(r, keypoints, occluded).sum())(jnp.zeros((2, 4)))
    assert value == 0 and np.isfinite(slope).all()


def test_joints_that_hardly_ever_show_were_never_seen():
    occluded = np.ones((1, 200, 17), bool)
    occluded[:, 100:, :10] = False
    occluded[:, 100:103, 12] = False  # three of the hundred frames that show the person
    occluded[:, 100, 13] = False
    seen = jnp.asarray(~occluded.all(axis=-1))
    found = np.flatnonzero(never_seen(jnp.asarray(occluded), seen)[0])
    assert list(found) == [10, 11, 13, 14, 15, 16]
    for count in range(10):
        unseen = jnp.arange(17)[None] < count
        known = [std for least, std in UNSEEN_SIZE_STD.items() if count >= least]
        assert float(unseen_size_std(unseen)[0]) == np.float32(max(known, default=0.0))


def test_who_lies_and_who_hangs():
    poses = np.zeros((3, 50, 17, 3), np.float32)
    poses[0, :, 8] = 0, -0.5, 0.1  # upright: y points down
    poses[1, :, 8] = 0.5, 0.1, 0
    poses[2, :, 8] = 0, 0.5, 0  # on the head
    poses[2, :15, 8] = 0, -0.5, 0
    seen = np.ones((3, 50), bool)

    def told(up=None):
        cosine = trunk_cosine(jnp.asarray(poses), H36M_17, up)
        return [list(flags(cosine, jnp.asarray(seen))) for flags in (lies, hangs)]

    assert told() == [[False, True, False], [False, False, False]]
    seen[2, :15] = False
    assert told() == [[False, True, True], [False, False, True]]
    # A camera that hangs upside down, and is known to; and one that lies on its side.
    assert told(jnp.array([[0.0, 1.0, 0.0]])) == [[True, True, False], [True, False, False]]
    assert told(jnp.array([[[1.0, 0.0, 0.0]]] * 50).swapaxes(0, 1)) == [[True, False, True], [False] * 3]
    np.testing.assert_array_equal(trunk_cosine(jnp.asarray(poses), COCO_17), 1)
    assert np.isfinite(trunk_cosine(jnp.zeros((1, 2, 17, 3)), H36M_17)).all()


def test_what_fits_badly():
    def bad(fit, partial=False, lying=False, rising=False, hanging=False):
        flags = (jnp.array([flag]) for flag in (partial, lying, rising, hanging))
        return bool(fits_badly(jnp.array([fit]), *flags)[0])

    assert bad(WORST_FIT + 0.01) and not bad(WORST_FIT - 0.01)
    assert not bad(WORST_FIT + 0.01, partial=True) and bad(WORST_PARTIAL_FIT + 0.01, partial=True)
    assert bad(TILTED_FIT + 0.01, lying=True) and not bad(TILTED_FIT - 0.01, lying=True)
    assert bad(0.01, lying=True, rising=True) and not bad(0.01, rising=True)
    assert bad(0.01, hanging=True)


def test_who_rises_moves_up_or_down_where_they_are_seen():
    root = np.zeros((3, 5, 3), np.float32)
    root[0, :, [0, 2]] = np.arange(5)
    root[1, :, 1] = 0.2 * np.arange(5)
    root[2, 4, 1] = -9
    seen = np.ones((3, 5), bool)
    seen[2, 4] = False
    assert list(rises(jnp.asarray(root), jnp.asarray(seen))) == [False, True, False]
    along = jnp.array([[0.0, 0.0, 1.0]])  # a camera that looks straight up or down
    assert list(rises(jnp.asarray(root), jnp.asarray(seen), along)) == [True, False, False]
