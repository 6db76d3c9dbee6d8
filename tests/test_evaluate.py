"""The evaluation from a capture file to its table, of a random network and of one that knows the truth."""

import dataclasses
import io
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from lifter_oracle import random_variables
from rich.console import Console
from silent_detector import SILENT

from experiments import evaluate as evaluation
from experiments.evaluate import EvaluateConfig, Row, conditions, cut, pivot, read_people, see
from experiments.totals import COLUMNS, METRICS, RUNS
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.readers.captures import JOINT_NAMES
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated
from solvers import TrajectoryConfig

LIFTER = TemporalLifter("two_stream", 8, (3, 3))
LENGTH = 20


def write(path, lengths=(45, 25, 20), subjects=("02", "05", "16"), fps=50.0):
    """A capture file of walks: two stretches of a validation subject, one of another, one of neither."""
    motion = generated.crossing_pair(frames=sum(lengths), fps=50.0, seed=0).poses[0]
    start = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
    np.savez_compressed(
        path,
        poses=np.round(motion / 2e-4).astype(np.int16),
        scale=np.float32(2e-4),
        start=start,
        length=np.array(lengths, np.int32),
        clip=np.array([f"{subject}_01" for subject in subjects]),
        subject=np.array(subjects),
        action=np.array(["walk"] * len(lengths)),
        fps=np.float32(fps),
        floor_z=np.zeros(len(lengths), np.float32),
        joint_names=np.array(JOINT_NAMES),
        parents=np.array(H36M_17.parents, np.int8),
        up_axis=np.array("z"),
        licence=np.array("free for all uses"),
        split=np.array(["validation" if subject in ("02", "05") else "train" for subject in subjects]),
    )
    return path


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(evaluation, "STRETCHES", (LENGTH,))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with captures and a network of random weights."""
    folder = tmp_path_factory.mktemp("evaluate")
    write(folder / "captures.npz")
    shapes = jax.eval_shape(
        lambda: LIFTER.init(jax.random.key(0), jnp.zeros((1, 9, 17, 2)), jnp.zeros((1, 9, 17), bool))
    )
    checkpoints.save(
        folder / "random" / "checkpoints",
        3,
        random_variables(shapes, 0, spread=0.3),
        {"network": checkpoints.describe_lifter(LIFTER)},
    )
    return folder


def config_for(folder, **changes):
    settings = {
        "checkpoint": (folder / "random" / "checkpoints",),
        "data": (folder / "captures.npz",),
        "ratios": (0.0, 0.5),
        "kernel_frames": (5,),
        "flip": False,
        "batch_people": 2,
    }
    return EvaluateConfig(**(settings | changes))


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
    evaluation.main()
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


ROOT = TemporalLifter("none", 8, (3, 3), target="root")


def test_a_network_places_the_poses(files, tmp_path, monkeypatch):
    """Roots from a network whose head knows one place only: nobody is unsolved, and all are found there."""
    shapes = jax.eval_shape(
        lambda: ROOT.init(jax.random.key(0), jnp.zeros((1, 9, 17, 2)), jnp.zeros((1, 9, 17), bool))
    )
    variables = random_variables(shapes, 0)
    variables["params"]["head"] = {
        "kernel": np.zeros((8, 3), np.float32),
        "bias": np.array([0.0, 0.0, 5.0], np.float32),
    }
    folder = tmp_path / "root"
    checkpoints.save(folder, 1, variables, {"network": checkpoints.describe_lifter(ROOT)})
    config = config_for(files, root_network=folder, ratios=(0.0,))
    seen = {length: see(config, length, each, 50.0) for length, each in cut(read_people(config)).items()}
    network, root = checkpoints.load_lifter(config.checkpoint[0]), checkpoints.load_lifter(folder)
    console = Console(file=io.StringIO())
    totals = evaluation.measure(config, "random", network, seen, 50.0, console, root)
    *_, row = evaluation.rows_of("random", totals)
    (people,) = seen.values()
    distance = np.linalg.norm(people.joints[:, :, 0] - jnp.array([0.0, 0.0, 5.0])[None, None], axis=-1)
    assert row.subject == "all" and row.unsolved == 0
    assert row.root_error == pytest.approx(1000 * distance.mean(), rel=1e-4)
    with pytest.raises(ValueError, match="checkpoint root finds roots, not poses: give it as root_network"):
        evaluation.measure(config, "root", root, seen, 50.0, console)
    with pytest.raises(ValueError, match=r"root_network .* finds poses, not roots: give it as checkpoint"):
        evaluation.measure(config, "random", network, seen, 50.0, console, network)


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


def judge_with(lift, folder, monkeypatch, **changes):
    """Rows of a network whose poses are ``lift(truth)``, truth being root-relative."""
    config = config_for(folder, detector=SILENT, **changes)
    seen = {
        length: see(config, length, stretches, 50.0) for length, stretches in cut(read_people(config)).items()
    }
    (people,) = seen.values()

    def know(lifter, variables, keypoints, *rest):
        found = [
            next(i for i, known in enumerate(people.keypoints) if np.array_equal(one, known))
            for one in keypoints
        ]
        joints = people.joints[np.array(found)]
        return lift(joints - joints[..., :1, :])

    monkeypatch.setattr(evaluation, "lift", know)
    loaded = checkpoints.load_lifter(config.checkpoint[0])
    totals = evaluation.measure(config, "oracle", loaded, seen, 50.0, Console(file=io.StringIO()))
    rows = evaluation.rows_of("oracle", totals)
    return [row for row in rows if row.subject == "all"]


def test_a_network_that_knows_the_truth_has_no_error(files, monkeypatch):
    # With the weights of the paper, short paths are drawn together by some centimetres.
    light = TrajectoryConfig(velocity_weight=1e-4, acceleration_weight=1e-4)
    visible, joints, body = judge_with(lambda truth: truth, files, monkeypatch, trajectory=light)
    for row in (visible, joints, body):
        assert row.pa_mpjpe < 0.01 and row.mpjpe < 0.01 and row.mpjve < 0.1
        assert row.pck == pytest.approx(100.0)
    for row in (visible, joints):
        assert row.unsolved == 0 and row.root_error < 0.5 and row.n_mpjpe_absolute < 0.1
    assert visible.hidden < 5 and joints.hidden == pytest.approx(50, abs=12)
    assert np.isnan(visible.root_error_fully_hidden)
    # A body that is hidden at once leaves frames without any keypoint, on which the root is judged apart.
    # All of the error lies on these frames, about half of all.
    assert body.root_error_fully_hidden > 1.5 * body.root_error > 0


def test_each_metric_sees_its_own_error(files, monkeypatch):
    visible, *_ = judge_with(lambda truth: 1.1 * truth, files, monkeypatch, ratios=(0.0, 0.5))
    assert visible.pa_mpjpe < 0.01, "a wrong size is aligned away"
    assert 10 < visible.mpjpe < 100
    # A body a tenth too large is placed a tenth too far.
    assert visible.root_error > 100
    assert visible.n_mpjpe_absolute < 0.3 * visible.root_error


def test_subjects_are_chosen(files):
    def chosen(**changes):
        return [clip.subject for clip in read_people(config_for(files, **changes))]

    assert chosen() == ["02", "05"]
    assert chosen(subjects=("16",)) == ["16"]
    assert chosen(subjects=("16", "05")) == ["05", "16"]
    with pytest.raises(
        ValueError, match=r"subjects 99 are not in data .*captures.npz: choose from 02, 05, 16"
    ):
        chosen(subjects=("16", "99"))


def test_data_without_anything_to_judge_is_refused(files, tmp_path):
    training = write(tmp_path / "training.npz", subjects=("16", "35", "36"))
    with pytest.raises(
        ValueError, match=r"training.npz holds no clip of the validation split: name subjects from 16"
    ):
        read_people(config_for(files, data=(training,)))
    short = write(tmp_path / "short.npz", lengths=(19, 10, 30))
    with pytest.raises(ValueError, match=r"short.npz holds no clip of 20 frames among the chosen ones"):
        read_people(config_for(files, data=(short,)))


def test_networks_are_named_once_each(files, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"names \('a', 'b'\): give one name a checkpoint \(1\), each once"):
        run(monkeypatch, files, tmp_path, "--names", "a", "b")
    monkeypatch.undo()
    twice = str(files / "random" / "checkpoints")
    arguments = ["evaluate", "--checkpoint", twice, twice, "--data", str(files / "captures.npz")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(ValueError, match="each once"):
        evaluation.main()


def test_frame_rates_are_not_mixed(files, tmp_path, monkeypatch):
    slow = write(tmp_path / "slow.npz", fps=25.0)
    with pytest.raises(
        ValueError, match=r"data holds clips at \[25.0, 50.0\] frames/s: judge each rate by itself"
    ):
        run(monkeypatch, files, tmp_path, "--data", str(files / "captures.npz"), str(slow))


def test_people_are_cut_into_stretches(monkeypatch):
    monkeypatch.setattr(evaluation, "STRETCHES", (30, 10))
    pair = generated.crossing_pair(frames=75, fps=50.0, seed=0)._replace(subject="60+61")
    stretches = cut([pair])
    assert {length: [label.subject for label, _ in found] for length, found in stretches.items()} == {
        30: ["60", "60", "61", "61"],
        10: ["60", "61"],
    }
    np.testing.assert_array_equal(stretches[30][3][1], pair.poses[1, 30:60])
    np.testing.assert_array_equal(stretches[10][0][1], pair.poses[0, 60:70])
    assert list(cut([pair._replace(poses=pair.poses[:, :15])])) == [10]


def test_conditions_are_the_whole_grid(files):
    config = config_for(files, ratios=(0.0, 0.25, 0.5), kernel_frames=(25, 75))
    found = conditions(config)
    assert len(found) == 1 + 2 * 2 * 2 == len(set(found))
    assert found[0] == ("joints", 0.0, 25)
    assert conditions(dataclasses.replace(config, ratios=(0.5,)))[0] == ("joints", 0.5, 25)


def test_parts_hold_everyone_once():
    parts = list(evaluation._parts(5, 2))
    assert [list(part) for part in parts] == [[0, 1], [2, 3], [4, 4]]


def test_errors_are_told_by_the_length_of_the_hidden_run(files, monkeypatch):
    config = config_for(files, detector=SILENT)
    seen = {
        length: see(config, length, stretches, 50.0) for length, stretches in cut(read_people(config)).items()
    }
    loaded = checkpoints.load_lifter(config.checkpoint[0])
    totals = evaluation.measure(config, "random", loaded, seen, 50.0, Console(file=io.StringIO()))
    for index in range(len(totals.conditions)):
        sums = dict(zip(METRICS, totals.sums[index].sum(0), strict=True))
        by_run = np.sum([sums[name] for name in RUNS], axis=0)
        np.testing.assert_allclose(by_run, sums["pa_mpjpe"], rtol=1e-5)
        visible = sums["visible"][1] / sums["pa_mpjpe"][1]
        np.testing.assert_allclose(visible, 1 - sums["hidden"][0] / sums["hidden"][1], atol=1e-6)


def test_the_solves_settings_are_numbers_on_the_command_line():
    flags = ["--checkpoint", "a", "--data", "b", "--trajectory.velocity-weight", "1e-4"]
    flags += ["--trajectory.loss", "huber", "--trajectory.loss-scale", "3"]
    trajectory = tyro.cli(EvaluateConfig, args=flags).trajectory
    assert trajectory == TrajectoryConfig(velocity_weight=1e-4, loss="huber", loss_scale=3.0)
