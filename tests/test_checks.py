"""The setting, its value and the mend, for every rule."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from experiments import train_infill, train_tracklets
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
from experiments.finetune import FinetuneConfig, finetune
from experiments.judging.stretches import EvaluateConfig, read_people
from experiments.solve_weights import TuneConfig, tune
from experiments.training.configs import SMOKE
from experiments.training.loop import check_settings


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


BUCKET = Path("gs://bucket/run")


@pytest.mark.parametrize(
    "begin",
    [
        lambda: check_settings(replace(SMOKE, output=BUCKET)),
        lambda: finetune(FinetuneConfig(output=BUCKET)),
        lambda: tune(TuneConfig(output=BUCKET)),
        lambda: train_infill.train(train_infill.InfillConfig(output=BUCKET)),
        lambda: train_tracklets.train(train_tracklets.TrackletConfig(output=BUCKET)),
        lambda: read_people(EvaluateConfig((), (), output=BUCKET)),
    ],
    ids=["train", "finetune", "tune_solve", "train_infill", "train_tracklets", "evaluate"],
)
def test_nothing_is_written_to_a_bucket(begin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = r"^output is gs:/bucket/run: buckets are not written to; give a local folder, .* with --mirror"
    with pytest.raises(ValueError, match=words):
        begin()
    assert not list(tmp_path.iterdir())
