"""Sums of errors made by hand: means, intervals and the file."""

import numpy as np
import pytest

from experiments.judging.totals import (
    METRICS,
    Condition,
    Label,
    Totals,
    interval,
    load_totals,
    mean_error,
    save_totals,
)


def test_sums_are_kept_and_added_up_by_stretch(tmp_path):
    """Three stretches of two clips: means by hand, what the file holds, and who is drawn together."""
    condition = Condition("joints", 0.5, 25)
    labels = tuple(Label(*entry) for entry in (("1", "a", "x"), ("1", "b", "x"), ("2", "a", "y")))
    sums = np.zeros((1, 3, len(METRICS), 2))
    index = METRICS.index("pa_mpjpe")
    sums[0, :, index] = ((1.0, 10), (2.0, 10), (6.0, 20))
    totals = Totals((condition,), labels, np.array([10, 10, 20]), sums)
    assert mean_error(totals, "pa_mpjpe", condition) == pytest.approx(9000 / 40)
    first = np.array([True, False, False])
    assert mean_error(totals, "pa_mpjpe", condition, first) == pytest.approx(100.0)
    assert np.isnan(mean_error(totals, "mpjpe", condition))
    # Both stretches of clip x have 150 together, clip y 300: nothing outside can be drawn.
    low, high = interval(totals, "pa_mpjpe", condition)
    assert (low, high) == pytest.approx((150.0, 300.0))
    save_totals(tmp_path / "totals.npz", totals)
    found = load_totals(tmp_path / "totals.npz")
    assert found.conditions == totals.conditions and found.labels == labels
    np.testing.assert_array_equal(found.sums, sums)
    np.savez_compressed(
        tmp_path / "other.npz", **(dict(np.load(tmp_path / "totals.npz")) | {"metrics": ["x"]})
    )
    with pytest.raises(ValueError, match="holds other metrics than today's: evaluate the network again"):
        load_totals(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": ["not JSON"]}, "conditions, is not a table"),
        ({"conditions": ["[" * 100_000]}, "nested deeper"),
        ({"conditions": ['["joints", 0.5]']}, "has .* among its conditions"),
        ({"conditions": ['["joints", "0.5", 25]']}, "has .* among its conditions"),
        ({"labels": ['["1", "a", 3]']}, "has .* among its labels"),
        ({"labels": ["{}"]}, "has .* among its labels"),
        ({"labels": ['["1", "a", "x"]'] * 2}, r"frames has shape \(1,\), expected \(2,\)"),
        ({"frames": np.array(["10"])}, "frames has shape"),
        ({"sums": np.zeros((1, 1, 3, 2))}, r"sums has shape \(1, 1, 3, 2\), expected"),
    ],
)
def test_damaged_totals_are_refused(tmp_path, changes, message):
    sums = np.zeros((1, 1, len(METRICS), 2))
    totals = Totals((Condition("joints", 0.5, 25),), (Label("1", "a", "x"),), np.array([10]), sums)
    path = tmp_path / "totals.npz"
    save_totals(path, totals)
    np.savez_compressed(path, **(dict(np.load(path)) | changes))
    with pytest.raises(ValueError, match=rf"totals\.npz.*{message}.*evaluate the network again"):
        load_totals(path)
