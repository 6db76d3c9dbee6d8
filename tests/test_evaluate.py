"""The command from a capture file to its table."""

import json
import sys

import numpy as np
import pytest
import tyro
from judged import LENGTH, write, write_files

from experiments import evaluate
from experiments.evaluate import pivot
from experiments.judging import stretches
from experiments.judging.stretches import EvaluateConfig, Row
from experiments.judging.totals import COLUMNS
from solvers import TrajectoryConfig


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(stretches, "STRETCHES", (LENGTH,))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("evaluate"))


def run(monkeypatch, folder, output, *flags):
    arguments = ["--checkpoint", folder / "random" / "checkpoints", "--data", folder / "captures.npz"]
    arguments += [
        "--ratios",
        0,
        0.5,
        "--kernel-frames",
        5,
        "--no-flip",
        "--batch-people",
        2,
        "--output",
        output,
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments), *flags])
    evaluate.main()
    return json.loads((output / "rows.json").read_text())


def test_the_command_writes_table_rows_and_figure(files, tmp_path, monkeypatch, capsys):
    rows = run(monkeypatch, files, tmp_path / "first")
    printed = capsys.readouterr().out
    assert "2 clips, 60 frames of one person each (10 in rests of clips are left out)" in " ".join(
        printed.split()
    )
    # Ratio 0 once; 50 % joint by joint and whole bodies; each for two subjects and for all.
    assert len(rows) == 3 * 3
    assert {(row["subject"], row["frames"]) for row in rows} == {("02", 40), ("05", 20), ("all", 60)}
    assert {row["network"] for row in rows} == {"random"}
    for row in rows:
        if row["subject"] == "all":
            assert row["hidden"] == pytest.approx(
                100 * row["ratio"], abs=12 if row["masks"] == "joints" else 40
            )
        assert row["pa_mpjpe"] > 0 and row["pa_mpjpe"] < row["mpjpe"]
        assert np.isfinite(row["mpjve"]) and 0 <= row["pck"] <= 100 and 0 <= row["unsolved"] <= 100
    total = {row["subject"]: row for row in rows if row["ratio"] == 0}
    mean = (40 * total["02"]["mpjpe"] + 20 * total["05"]["mpjpe"]) / 60
    assert total["all"]["mpjpe"] == pytest.approx(mean, rel=1e-5)

    table = (tmp_path / "first" / "table.md").read_text().splitlines()
    assert sum(line.startswith("## ") for line in table) == 2 * len(COLUMNS)
    heading = table.index("## PA-MPJPE, whole bodies hidden at a time")
    half = next(row for row in rows if (row["subject"], row["masks"], row["ratio"]) == ("all", "body", 0.5))
    assert table[heading + 2] == "| network | 0 % | 50 %, K=5 |"
    assert table[heading + 4] == f"| random | {total['all']['pa_mpjpe']:.1f} | {half['pa_mpjpe']:.1f} |"
    assert (tmp_path / "first" / "pa_mpjpe.png").read_bytes().startswith(b"\x89PNG")

    # The seed decides everything: the same one gives the same rows, another gives others.
    assert run(monkeypatch, files, tmp_path / "again") == rows
    other = run(monkeypatch, files, tmp_path / "other", "--seed", "1")
    assert [row["frames"] for row in other] == [row["frames"] for row in rows]
    assert all(one["mpjpe"] != two["mpjpe"] for one, two in zip(other, rows, strict=True))


def test_the_best_network_is_bold():
    def row(network, ratio, kernel, value, masks="joints"):
        numbers = dict.fromkeys(COLUMNS, value)
        return Row(network, masks, ratio, kernel, "all", frames=1, **numbers)

    rows = [row("a", 0.0, 25, 1.0), row("a", 0.5, 25, 3.0), row("a", 0.5, 75, float("nan"))]
    rows += [row("b", 0.0, 25, 2.0), row("b", 0.5, 25, 2.0), row("b", 0.5, 75, 4.0)]
    head, rule, *body = pivot(rows, "joints", "mpjpe")
    assert head == "| network | 0 % | 50 %, K=25 | 50 %, K=75 |" and rule == "|---|---:|---:|---:|"
    assert body == ["| a | **1.0** | 3.0 | – |", "| b | 2.0 | **2.0** | 4.0 |"]
    assert pivot(rows, "joints", "auc")[2:] == ["| a | 1.0 | **3.0** | – |", "| b | **2.0** | 2.0 | 4.0 |"]
    assert pivot(rows, "body", "mpjpe") == []


def test_networks_are_named_once_each(files, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"names \('a', 'b'\): give one name a checkpoint \(1\), each once"):
        run(monkeypatch, files, tmp_path, "--names", "a", "b")
    monkeypatch.undo()
    twice = str(files / "random" / "checkpoints")
    arguments = ["evaluate", "--checkpoint", twice, twice, "--data", str(files / "captures.npz")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(ValueError, match="each once"):
        evaluate.main()


def test_frame_rates_are_not_mixed(files, tmp_path, monkeypatch):
    slow = write(tmp_path / "slow.npz", fps=25.0)
    with pytest.raises(
        ValueError, match=r"data holds clips at \[25.0, 50.0\] frames/s: judge each rate by itself"
    ):
        run(monkeypatch, files, tmp_path, "--data", str(files / "captures.npz"), str(slow))


def test_the_solves_settings_are_numbers_on_the_command_line():
    flags = ["--checkpoint", "a", "--data", "b", "--trajectory.velocity-weight", "1e-4"]
    flags += ["--trajectory.loss", "huber", "--trajectory.loss-scale", "3"]
    trajectory = tyro.cli(EvaluateConfig, args=flags).trajectory
    assert trajectory == TrajectoryConfig(velocity_weight=1e-4, loss="huber", loss_scale=3.0)
