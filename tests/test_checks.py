"""The setting, its value and the mend, for every rule."""

from pathlib import Path
from typing import NamedTuple

import pytest

from experiments.checks import (
    COUNT,
    LOCAL,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    WHOLE,
    check_numbers,
    each,
    one_of,
    rising,
)


class Inner(NamedTuple):
    value: object


class Config(NamedTuple):
    value: object
    inner: Inner


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (COUNT, (1, 99), (0, -1, 1.5, NAN)),
        (WHOLE, (0, 1), (-1, 0.5)),
        (SEED, (0, 2**32 - 1), (-1, 2**32)),
        (POSITIVE, (1e-9, 3), (0, -1.0, NAN, INF)),
        (NOT_NEGATIVE, (0, 2.5), (-1e-9, NAN, INF)),
        (SHARE, (0, 0.5, 1), (-0.1, 1.1, NAN)),
        (each(COUNT), ((1,), (1, 2)), ((), (1, 0))),
        (each(POSITIVE, least=0), ((), (1.0,)), ((0.0,),)),
        (rising(SHARE), ((0.1, 0.1), (0, 1)), ((0.2, 0.1), (0.5, 1.5), (0.1,), (NAN, 1))),
        (LOCAL, (Path("runs/a"), Path("C:/runs")), (Path("gs://bucket/run"), Path("s3://bucket"))),
        (one_of("a", "b"), ("a", "b"), ("c", "")),
    ],
)
def test_rules_name_what_breaks_them(rule, good, bad):
    for value in good:
        check_numbers(Config(value, Inner(value)), {"value": rule, "inner.value": rule})
    for value in bad:
        with pytest.raises(ValueError) as refused:
            check_numbers(Config(good[0], Inner(value)), {"value": rule, "inner.value": rule})
        assert str(refused.value) == f"inner.value is {value}: {rule.mend}"
