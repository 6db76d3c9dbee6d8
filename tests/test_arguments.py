import jax.numpy as jnp
import numpy as np
import pytest

from solvers import refuse_masked


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
