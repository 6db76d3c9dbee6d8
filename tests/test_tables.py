"""The tables' rows and columns from sums made by hand, and the files that they are written to."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments.judging.stretches import stretches_of
from experiments.judging.totals import METRICS, RUNS, Condition, Label, Totals
from experiments.tables import layouts, networks, paper
from experiments.tables.networks import (
    ABLATIONS,
    CONTESTANTS,
    Human36mFiles,
    Laboratory,
    contestants_on,
)
from gated_lift.synthetic import generated
from gated_lift.synthetic.moving_pairs import MovingPair
from solvers import Camera

CONDITIONS = (
    Condition("joints", 0.0, 25),
    *(Condition("joints", ratio, kernel) for kernel in (25, 75, 150) for ratio in (0.25, 0.5, 0.75)),
    *(Condition("body", 0.5, kernel) for kernel in (25, 75, 150)),
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
    sheet = layouts.table_ii({"Proposed (ours)": totals_of(1.0), "Pavllo et al.": totals_of(2.0)})
    assert sheet.columns == ("salsa", "dance", "walk, run", "fight", "bend", "other", "Avg.", "all frames")
    ours, theirs = sheet.rows.values()
    index = 1 + CONDITIONS.index(Condition("joints", 0.5, 25))
    sizes = index * np.arange(1, 7)
    np.testing.assert_allclose(ours, (*sizes, sizes.mean(), np.average(sizes, weights=np.arange(1, 7))))
    np.testing.assert_allclose(theirs, 2 * np.array(ours))
    assert next(iter(sheet.rows)).startswith("Proposed")
    assert "Proposed (ours): " in sheet.notes[0]
    assert sheet.theirs == paper.TABLE_II and len(sheet.theirs_columns) == 16


def test_the_ratios_stand_side_by_side():
    sheet = layouts.table_iii({"Proposed (ours)": totals_of(1.0)}, kernel=75)
    (row,) = sheet.rows.values()
    weight = np.average(np.arange(1, 7), weights=np.arange(1, 7))
    where = [CONDITIONS.index(Condition("joints", ratio, 75)) + 1 for ratio in (0.25, 0.5)]
    np.testing.assert_allclose(row, weight * np.array([1, *where]))


def test_runs_and_kernels_have_a_column_each():
    results = {"Proposed (ours)": totals_of(1.0), "Pavllo et al.": totals_of(2.0)}
    assert layouts.by_run(results, 75).columns == tuple(RUNS)
    assert all(len(row) == len(RUNS) for row in layouts.by_run(results, 75).rows.values())
    assert len(layouts.by_kernel(results).columns) == 9
    assert "visible 16.7 %" in layouts.by_run(results, 25).notes[0]
    assert len(layouts.ablations({"two_stream": totals_of(1.0)}).rows[ABLATIONS["two_stream"][0]]) == 6


def test_ours_stand_in_per_cent_of_the_best_rival():
    """A rival's network that is best in one column may not be in the next."""
    results = {
        "Pavllo et al.": totals_of(2.0),
        "Lin et al.": totals_of(4.0),
        "Proposed (ours)": totals_of(1.0),
    }
    pairs = {
        "Pavllo et al.": totals_of(3.0),
        "Lin et al.": totals_of(2.0),
        "Proposed (ours)": totals_of(3.0),
    }
    sheet = layouts.beyond(results, pairs)
    assert list(sheet.rows) == ["Proposed (ours)"] and sheet.columns[-1] == "moving-pairs-v1"
    np.testing.assert_allclose(sheet.rows["Proposed (ours)"], [50.0] * (len(sheet.columns) - 1) + [150.0])


def test_a_sheet_is_written_in_three_forms(tmp_path):
    results = {"Proposed (ours)": totals_of(1.0), "Pavllo et al.": totals_of(2.0)}
    sheet = layouts.table_iii(results)
    printed = io.StringIO()
    layouts.write(sheet, tmp_path, Console(file=printed, width=120))
    text = (tmp_path / "table_III.md").read_text()
    ours = next(line for line in text.splitlines() if line.startswith("| Proposed (ours"))
    assert ours.count("**") == 6, "the least of every column is bold"
    assert "| Pavllo et al. | **36.5** | 40.3 | 53.2 |" in text
    rows = list(csv.reader((tmp_path / "table_III.csv").read_text().splitlines()))
    assert rows[0] == ["source", "method", "0 %", "25 %", "50 %"]
    assert float(rows[1][2]) == pytest.approx(sheet.rows["Proposed (ours)"][0])
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


def test_names_tell_networks_apart():
    """Both kinds are asked for by name, and a run folder is a name."""
    assert not set(CONTESTANTS) & set(ABLATIONS)
    assert len({layouts.label(name) for name in CONTESTANTS}) == len(CONTESTANTS)
    assert len({title for title, _ in ABLATIONS.values()}) == len(ABLATIONS)


def test_recorded_people_are_not_varied():
    recorded = contestants_on(Human36mFiles(positions_3d=Path("data_3d_h36m.npz")))
    assert set(CONTESTANTS) - set(recorded) == {"varied"}
    assert contestants_on(Human36mFiles()) == list(CONTESTANTS)


def scene_of(frames, kind, sources, value):
    """A scene whose first person's numbers are ``value`` and whose second person's are ten more."""
    people = np.array([value, value + 10], np.float32)[:, None, None, None]
    camera = Camera(np.float32([[value, value]] * 2), np.float32([[500, 400]] * 2))
    return MovingPair(
        kind=kind,
        keypoints=np.broadcast_to(people, (2, frames, 17, 2)),
        occluded=np.broadcast_to(np.array([True, False])[:, None, None], (2, frames, 17)),
        covered=np.zeros((2, frames, 17), bool),
        joints=np.broadcast_to(people, (2, frames, 17, 3)),
        camera=camera,
        extrinsics=None,
        width=1000,
        height=800,
        fps=50.0,
        meeting=0,
        sources=sources,
        starts=(0, 0),
        licence="",
    )


def test_people_of_scenes_are_told_apart_by_length_and_kind():
    scenes = [
        scene_of(30, "across", ("a", "b"), 1),
        scene_of(20, "dance", ("c", "c"), 2),
        scene_of(30, "past", ("d", "e"), 3),
    ]
    found = stretches_of(scenes)
    assert list(found) == [20, 30]
    people = found[30]
    assert [tuple(label) for label in people.labels] == [
        ("a", "across", "scene 0"),
        ("b", "across", "scene 0"),
        ("d", "past", "scene 2"),
        ("e", "past", "scene 2"),
    ]
    np.testing.assert_array_equal(people.keypoints[:, 0, 0, 0], (1, 11, 3, 13))
    np.testing.assert_array_equal(people.joints[:, 5, 3, 2], (1, 11, 3, 13))
    np.testing.assert_array_equal(people.focal[:, 0], (1, 1, 3, 3))
    np.testing.assert_array_equal(people.center, [[500, 400]] * 4)
    np.testing.assert_array_equal(people.missed[:, 0, 0], (True, False, True, False))


def test_table_v_has_a_column_a_kind_and_counts_hidden_joints_alone():
    condition = Condition("joints", 0.0, 25)
    labels = tuple(Label("a", kind, f"scene {index}") for index, kind in enumerate(("across", "dance")))
    sums = np.zeros((1, 2, len(METRICS), 2))
    sums[0, :, METRICS.index("pa_mpjpe")] = ((0.3, 10), (0.8, 10))
    sums[0, :, METRICS.index("n_mpjpe_absolute")] = ((0.4, 10), (0.9, 10))
    sums[0, :, METRICS.index("visible")] = ((0.1, 8), (0.8, 10))
    sums[0, 0, METRICS.index("13-25 frames")] = (0.2, 2)
    totals = Totals((condition,), labels, np.array([10, 10]), sums)
    everything, hidden, absolute = layouts.table_v({"Proposed (ours)": totals})
    assert everything.columns == ("across", "dance", "Avg.", "all frames")
    np.testing.assert_allclose(next(iter(everything.rows.values())), (30, 80, 55, 55))
    np.testing.assert_allclose(next(iter(hidden.rows.values())), (100, np.nan, np.nan, 100))
    np.testing.assert_allclose(next(iter(absolute.rows.values())), (40, 90, 65, 65))
    assert everything.theirs["Proposed"][-1] == 78.3


def test_finished_networks_are_kept_and_others_trained(tmp_path, monkeypatch):
    """A finished run has its curves; whatever else lies there is trained on, with --resume passed along."""
    asked = []

    def train(config, console):
        asked.append(config)
        return config.output / "checkpoints"

    monkeypatch.setattr(networks, "train", train)
    monkeypatch.setattr(networks.checkpoints, "newest_step", lambda folder: 7)
    config, console = CONTESTANTS["lin"].config, Console(file=io.StringIO())
    data = (tmp_path / "captures.npz",)

    def ensure(resume):
        return networks.ensure_trained(replace(config, data=data), tmp_path / "lin", resume, console)

    assert ensure(resume=True) == tmp_path / "lin" / "checkpoints"
    assert (asked[0].data, asked[0].output, asked[0].resume) == (data, tmp_path / "lin", True)
    (tmp_path / "lin").mkdir()
    (tmp_path / "lin" / "curves.png").write_bytes(b"")
    ensure(resume=True)
    assert len(asked) == 1, "a finished network is kept"
    ensure(resume=False)
    assert len(asked) == 2 and not asked[1].resume, "train itself refuses what is there"


def test_errors_are_measured_once_for_the_same_networks_and_settings(tmp_path, monkeypatch):
    measured = []

    def measure(config, name, loaded, seen, fps, console, root_network=None):
        measured.append((name, loaded, root_network))
        return totals_of(1.0)

    monkeypatch.setattr(networks.stretches, "measure", measure)
    monkeypatch.setattr(networks.checkpoints, "fingerprint", lambda folder: "7")
    monkeypatch.setattr(networks.checkpoints, "load_lifter", lambda folder: folder.name)
    monkeypatch.setattr(
        networks.stretches, "read_people", lambda config: [generated.crossing_pair(frames=30)]
    )
    monkeypatch.setattr(networks, "ensure_trained", lambda config, folder, *rest: made(folder))

    def made(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return folder / folder.name

    laboratory = Laboratory((tmp_path / "captures.npz",), tmp_path, ("35",), resume=True)
    console = Console(file=io.StringIO())
    first = laboratory.totals("pavllo", console)
    np.testing.assert_array_equal(laboratory.totals("pavllo", console).sums, first.sums)
    assert measured == [("pavllo", "pavllo", None)]
    laboratory.totals("pavllo", console, "network")
    assert measured[1:] == [("pavllo", "pavllo", "pavllo_trajectory")]
    laboratory.totals("two_stream", console)
    monkeypatch.setattr(networks.checkpoints, "fingerprint", lambda folder: "8")
    laboratory.totals("pavllo", console)
    assert [name for name, *_ in measured[2:]] == ["two_stream", "pavllo"], "other weights count anew"


def test_on_human36m_networks_are_trained_and_judged_on_its_files(tmp_path, monkeypatch):
    """The driver's way through: recorded keypoints for training, S9 and S11 by action for the table."""
    trained, measured = [], []

    def ensure_trained(config, folder, resume, console):
        trained.append(config)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "checkpoints"

    def measure(config, name, loaded, takes, console, root_network=None):
        measured.append((config.subjects, takes, root_network))
        actions = ("Directions", "WalkTogether", "Sitting")
        labels = tuple(Label("S9", action, f"S9/{action}") for action in actions)
        totals = totals_of(1.0)
        return totals._replace(labels=labels, frames=totals.frames[:3], sums=totals.sums[:, :3])

    monkeypatch.setattr(networks, "ensure_trained", ensure_trained)
    monkeypatch.setattr(networks, "read_takes", lambda *arguments: arguments)
    monkeypatch.setattr(networks.takes, "join_views", lambda takes: takes)
    monkeypatch.setattr(networks.takes, "measure", measure)
    monkeypatch.setattr(networks.checkpoints, "fingerprint", lambda folder: "7")
    monkeypatch.setattr(networks.checkpoints, "load_lifter", lambda folder: folder)
    files = networks.Human36mFiles(
        tmp_path / "3d.npz", tmp_path / "2d.npz", tmp_path / "gt.npz", allow_pickle=True
    )
    laboratory = Laboratory((), tmp_path, (), resume=True, human36m=files)
    console = Console(file=io.StringIO())
    found = {name: laboratory.totals(name, console) for name in ("proposed", "lin")}
    assert [config.human36m for config in trained] == [files.positions_3d] * 2
    assert all(config.keypoints_2d == files.keypoints_2d and config.allow_pickle for config in trained)
    assert measured[0][0] == ("S9", "S11")
    assert measured[0][1] == (*files[:3], True, ("S9", "S11"))
    sheet = layouts.table_ii(found)
    assert sheet.columns == ("Dir.", "Sit", "WalkT.", "Avg.", "all frames")
    laboratory.totals("pavllo", console, "network")
    assert measured[-1][2] == tmp_path / "pavllo_trajectory" / "checkpoints"
    with pytest.raises(ValueError, match="human36m lacks keypoints_2d"):
        laboratory._replace(human36m=files._replace(keypoints_2d=None)).totals("lin", console)
