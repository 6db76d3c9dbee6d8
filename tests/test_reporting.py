"""Tables as they come out of a pipe, and as Markdown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import reporting

PROGRAM = """
from experiments import reporting
columns = [f"column number {index}" for index in range(30)]
console = reporting.console()
reporting.show(console, columns, [[f"cell {index} of the row" for index in range(30)]])
console.print("a sentence that is longer than a terminal is wide " * 4)
"""


def through_a_pipe(**changes):
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=kept | changes,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_a_table_is_not_cut_in_a_pipe():
    lines = through_a_pipe().splitlines()
    assert len(lines) == 6 and "…" not in "".join(lines)
    for index in range(30):
        assert f"column number {index}" in lines[1] and f"cell {index} of the row" in lines[3]
    assert len(lines[1]) < 1000, "no wider than the table is"


def test_columns_may_be_asked_for_and_cut_no_table():
    lines = through_a_pipe(COLUMNS="60").splitlines()
    assert lines[:5] == through_a_pipe().splitlines()[:5]
    assert len(lines) > 6 and max(map(len, lines[5:])) <= 60


@pytest.mark.parametrize("before", [(), ("above",)])
def test_a_report_is_printed_and_written(before, tmp_path, capsys):
    path = tmp_path / "table.md"
    rows = [["a", "1.0"], ["b", "2.0"]]
    reporting.report(reporting.console(), ("name", "mm"), rows, path, before=before, after=("below",))
    table = ["| name | mm |", "|---|---:|", "| a | 1.0 |", "| b | 2.0 |"]
    above = [*before, ""] if before else []
    assert path.read_text().splitlines() == [*above, *table, "", "below"]
    assert "2.0" in capsys.readouterr().out
