"""The tables' rows and columns from sums made by hand, and the files that they are written to."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from experiments.evaluate import METRICS, RUNS, Condition, Label, Totals
from experiments.tables import layouts, paper
from experiments.tables.networks import ABLATIONS, CONTESTANTS

CONDITIONS = (
    Condition("joints", 0.0, 25),
    *(Condition("joints", ratio, kernel) for kernel in (25, 75, 150) for ratio in (0.25, 0.5, 0.75)),
)
LABELS = (
    Label("60", "salsa dance", "60_11"),
    Label("05", "dance - pirouette", "05_02"),
    Label("07", "slow walk", "07_01"),
    Label("02", "swordplay", "02_07"),
    Label("02", "bend over, scoop up", "02_05"),
    Label("99", "something new", "99_01"),
)


def totals_of(error):
    """Every metric of stretch n under condition c is ``error`` (c + 1) (n + 1) mm on 10 (n + 1) frames."""
    sums = np.zeros((len(CONDITIONS), len(LABELS), len(METRICS), 2))
    count = 10.0 * np.arange(1, len(LABELS) + 1)
    sums[..., 1] = count[:, None]
    size = np.arange(1, len(CONDITIONS) + 1)[:, None] * np.arange(1, len(LABELS) + 1)
    sums[..., 0] = (error / 1000 * size * count)[..., None]
    return Totals(CONDITIONS, LABELS, count.astype(int), sums)


def test_actions_are_grouped_by_their_words():
    assert [layouts.group_of(label.action) for label in LABELS] == [
        *("salsa", "dance", "walk, run", "fight", "bend", "other")
    ]


def test_a_table_by_action_has_the_mean_over_actions_and_over_frames():
    sheet = layouts.table_ii({"proposed": totals_of(1.0), "pavllo": totals_of(2.0)})
    assert sheet.columns == ("salsa", "dance", "walk, run", "fight", "bend", "other", "Avg.", "all frames")
    ours, theirs = sheet.rows.values()
    index = 1 + CONDITIONS.index(Condition("joints", 0.5, 25))
    sizes = index * np.arange(1, 7)
    np.testing.assert_allclose(ours, (*sizes, sizes.mean(), np.average(sizes, weights=np.arange(1, 7))))
    np.testing.assert_allclose(theirs, 2 * np.array(ours))
    assert next(iter(sheet.rows)).startswith("Proposed")
    assert "Proposed (gaps filled, with their age): " in sheet.notes[0]
    assert sheet.theirs == paper.TABLE_II and len(sheet.theirs_columns) == 16


def test_the_ratios_stand_side_by_side():
    sheet = layouts.table_iii({"proposed": totals_of(1.0)}, kernel=75)
    (row,) = sheet.rows.values()
    weight = np.average(np.arange(1, 7), weights=np.arange(1, 7))
    where = [CONDITIONS.index(Condition("joints", ratio, 75)) + 1 for ratio in (0.25, 0.5)]
    np.testing.assert_allclose(row, weight * np.array([1, *where]))


def test_runs_and_kernels_have_a_column_each():
    results = {"proposed": totals_of(1.0), "pavllo": totals_of(2.0)}
    assert layouts.by_run(results, 75).columns == tuple(RUNS)
    assert all(len(row) == len(RUNS) for row in layouts.by_run(results, 75).rows.values())
    assert len(layouts.by_kernel(results).columns) == 9
    assert "visible 16.7 %" in layouts.by_run(results, 25).notes[0]
    assert len(layouts.ablations({"two_stream": totals_of(1.0)}).rows[ABLATIONS["two_stream"][0]]) == 6


def test_a_sheet_is_written_in_three_forms(tmp_path):
    results = {"proposed": totals_of(1.0), "pavllo": totals_of(2.0)}
    sheet = layouts.table_iii(results)
    printed = io.StringIO()
    layouts.write(sheet, tmp_path, Console(file=printed, width=120))
    text = (tmp_path / "table_III.md").read_text()
    ours = next(line for line in text.splitlines() if line.startswith("| Proposed (gaps"))
    assert ours.count("**") == 6, "the least of every column is bold"
    assert "| Pavllo et al. | **36.5** | 40.3 | 53.2 |" in text
    rows = list(csv.reader((tmp_path / "table_III.csv").read_text().splitlines()))
    assert rows[0] == ["source", "method", "0 %", "25 %", "50 %"]
    assert float(rows[1][2]) == pytest.approx(sheet.rows[layouts.label("proposed")][0])
    assert ["paper", "Proposed", "37.2", "39.2", "43.8"] in rows
    assert (tmp_path / "table_III.png").read_bytes().startswith(b"\x89PNG")
    assert "table_III.csv" in printed.getvalue()


def test_the_papers_tables_are_as_printed():
    """The averages of Table II and IV are means over actions, but for Lin et al.'s, who are 0.75 mm off."""
    for table in (paper.TABLE_II, paper.TABLE_IV):
        for method, values in table.items():
            assert len(values) == len(paper.ACTIONS)
            assert np.mean(values[:-1]) == pytest.approx(values[-1], abs=0.8 if "Lin" in method else 0.06)
    assert sum(paper.TABLE_I["frames"]) == 51_751


def test_the_fair_rivals_differ_from_the_papers_by_their_masks_alone():
    for name in ("hossain", "pavllo", "lin"):
        as_in_paper, on_masks = CONTESTANTS[name].config, CONTESTANTS[f"{name}_masks"].config
        assert as_in_paper.masks.masked_share == 0 < on_masks.masks.masked_share
        assert as_in_paper.network == on_masks.network and as_in_paper.epochs == on_masks.epochs
