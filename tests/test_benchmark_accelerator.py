"""What an accelerator is asked within its minutes, and what is told of what it cannot do."""

import jax
import numpy as np
import pytest

from experiments.benchmark import accelerator
from experiments.benchmark.accelerator import AcceleratorBenchmark, Job, in_turn, row_of, run_accelerator


def job(part, what="small", make=lambda: lambda: None, flops=None):
    return Job(part, what, 1000, flops, make)


def test_every_part_has_its_turn():
    parts = [[job("solve", 1), job("solve", 2), job("solve", 3)], [job("training", 1)], []]
    asked = [(each.part, each.what) for each in in_turn([iter(part) for part in parts])]
    assert asked == [("solve", 1), ("training", 1), ("solve", 2), ("solve", 3)]


def test_a_row_has_rate_and_share_of_the_peak(monkeypatch):
    ticks = iter([0.0, 7.0, 10.0, 10.5, 20.0, 20.5, 30.0, 30.5])
    monkeypatch.setattr(accelerator.time, "perf_counter", lambda: next(ticks))
    row = row_of(job("training", flops=2e12), 3, 1e13)
    assert row == ["training", "small", "7.0 s", "500.00 ms", "2,000", "40.0%"]


def test_what_does_not_fit_is_told_and_other_failures_are_raised():
    def fails(message):
        def run():
            raise jax.errors.JaxRuntimeError(message)

        return lambda: run

    row = row_of(job("solve", make=fails("RESOURCE_EXHAUSTED: Out of memory")), 3, None)
    assert row[3] == "does not fit the memory"
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        row_of(job("solve", make=fails("INTERNAL: a fault")), 3, None)


def test_the_table_is_written_after_every_row_and_says_what_was_left(tmp_path, monkeypatch):
    output = tmp_path / "new" / "table.md"
    clock = iter([0.0, 1.0, 59.0, 61.0])
    monkeypatch.setattr(accelerator.time, "monotonic", lambda: next(clock))
    found = []

    def look():
        found.append(output.read_text() if output.exists() else "")

    solves = [job("solve", what, lambda: look) for what in ("first", "second", "third")]
    monkeypatch.setattr(accelerator, "solves", lambda config: iter(solves))
    for part in ("eliminations", "trainings", "lifts"):
        monkeypatch.setattr(accelerator, part, lambda config: iter(()))
    rows = run_accelerator(AcceleratorBenchmark(repeats=1, minutes=1.0, output=output))
    assert [row[3] == "no time left" for row in rows] == [False, False, True]
    assert "first" not in found[0] and "| first |" in found[-1] and "| second |" not in found[-1]
    assert output.read_text().count("\n| solve |") == 3


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"segments": (0, 1)}, "segments .*give 0 for none, or 2 or more"),
        ({"minutes": 0.0}, "minutes is 0.0: give a finite number above 0"),
        ({"people": (0,)}, "people .*give a whole number, 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(changed, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        run_accelerator(AcceleratorBenchmark(output=tmp_path / "table.md", **changed))
    assert not list(tmp_path.iterdir())


def test_sizes_stay_within_the_budget():
    config = AcceleratorBenchmark(people=(4, 1), frames=(1000, 10), budget=1000)
    assert accelerator.sizes(config) == [(1, 10), (4, 10), (1, 1000)]


@pytest.mark.thorough
def test_every_part_runs(tmp_path):
    jax.config.update("jax_numpy_dtype_promotion", "standard")  # as for all of Optax's schedules
    try:
        rows = run_accelerator(
            AcceleratorBenchmark(
                people=(1,),
                frames=(40,),
                segments=(0, 4),
                networks=("small",),
                batches=(16,),
                repeats=1,
                output=tmp_path / "table.md",
            )
        )
    finally:
        jax.config.update("jax_numpy_dtype_promotion", "strict")
    assert [row[0] for row in rows] == [
        *("solve", "elimination", "training", "lifting", "elimination", "training")
    ]
    assert all(float(row[3].removesuffix(" ms")) > 0 for row in rows), rows
    assert np.unique([row[1] for row in rows]).size == 6
