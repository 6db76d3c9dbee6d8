"""The table by kind of motion; `tests/test_model_card.py` judges a network from end to end."""

from pathlib import Path

import numpy as np
import pytest

from experiments import reporting
from experiments.judging.by_kind import METRICS, ByKind, Frames, judge, table
from experiments.judging.kinds import KINDS, ON_BACK, STANDING, TURNED, WALKING


def frames(scale):
    kinds = np.array([WALKING] * 50 + [STANDING] * 25 + [ON_BACK] * 25)
    values = scale * (1.0 + kinds) / 1000
    return Frames(kinds, {name: np.where(kinds == STANDING, np.nan, values) for name in METRICS}, 50.0)


def test_every_file_has_its_columns_and_every_kind_a_row():
    config = ByKind(("a",), (Path("one.npz"), Path("two.npz")), ratio=0.25)
    columns, rows = table(config, {"a": [(frames(1), frames(2)), (frames(10), frames(20))]})
    assert columns[2] == "one: seconds" and columns[8] == "two: seconds" and len(columns) == 2 + 2 * 6
    assert columns[6:8] == ["PA-MPJPE, 25 % hidden", "root, 25 % hidden"]
    by_title = {row[1]: row[2:] for row in rows}
    assert list(by_title) == ["all", *KINDS.values(), *TURNED.values()]
    walking = str(1 + WALKING)
    # What is turned by code counts for no other row.
    assert by_title["all"][:3] == ["2", walking, walking]
    assert by_title["walking"][:6] == ["1", *[walking] * 3, *[str(2 + 2 * WALKING)] * 2]
    assert by_title["walking"][6:8] == ["1", f"{10 + 10 * WALKING}"]
    assert by_title["standing"][:4] == ["0", "–", "–", "–"]
    assert by_title["lying"][:2] == ["0", "–"]
    assert by_title["laid on the back"][:2] == ["0", str(1 + ON_BACK)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 1.5}, "ratio is 1.5"),
        ({"stretches": 0}, "stretches is 0"),
        ({"turned": -1}, "turned is -1"),
        ({"kernel_frames": 0}, "kernel_frames is 0"),
    ],
)
def test_settings_out_of_range_are_refused_first(changes, message):
    config = ByKind(("a",), (Path("nothing.npz"),), **changes)
    with pytest.raises(ValueError, match=message):
        judge(config, None, config.data[0], reporting.console())
