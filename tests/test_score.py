"""Scoring anybody's predictions: the two files, the errors, and the command's tables and refusals."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments import score
from experiments.judging import pairs as judging
from experiments.judging import stretches, totals
from experiments.judging.protocol import Answer
from experiments.tables.layouts import hidden_error
from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.generated import crossing_pair
from gated_lift.synthetic.moving_pairs import Frozen, MovingPair, fingerprint, write_pairs
from solvers import Camera, Extrinsics

FRAMES, FPS = 30, 50.0
SHAPE = (2, FRAMES, 17)
AXES = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # right, down and ahead in a world with z up


def scene(kind, seed):
    """Walkers before a camera that moves aside; the second is hidden whole for a while, both in part."""
    world = crossing_pair(frames=FRAMES, fps=FPS, seed=seed).poses
    position = np.array([0.0, -5.0, 1.2]) + 0.02 * np.arange(FRAMES)[:, None] * np.array([1.0, 0.2, 0.0])
    joints = ((world - position[:, None]) @ AXES.T).astype(np.float32)
    occluded = np.random.default_rng(seed).random(SHAPE) < 0.2
    occluded[1, 10:18] = True
    return MovingPair(
        kind=kind,
        keypoints=(1400 * joints[..., :2] / joints[..., 2:] + np.array([960, 540])).astype(np.float32),
        occluded=occluded,
        covered=occluded,
        joints=joints,
        camera=Camera(np.float32([1400, 1400]), np.float32([960, 540])),
        extrinsics=Extrinsics(np.broadcast_to(AXES, (FRAMES, 3, 3)), position.astype(np.float32)),
        width=1920,
        height=1080,
        fps=FPS,
        meeting=FRAMES // 2,
        sources=("a", "b"),
        starts=(0, 0),
        licence="made for tests",
    )


PAIRS = (scene("across", 0), scene("dance", 1))
TRUTH = np.concatenate([np.swapaxes(pair.joints, 0, 1) for pair in PAIRS])  # (2 F, 2, 17, 3)
OCCLUDED = np.stack([pair.occluded for pair in PAIRS])  # scenes, people, frames, joints


def noisy(seed=3, size=0.05):
    return TRUTH + np.random.default_rng(seed).normal(size=TRUTH.shape).astype(np.float32) * size


def judged(tmp_path, **arrays):
    np.savez(tmp_path / "said.npz", **arrays)
    return judging.judge_pairs(judging.read_predictions(tmp_path / "said.npz", PAIRS), PAIRS)


def by_scene(frames_first):
    return np.swapaxes(frames_first.reshape(2, FRAMES, *frames_first.shape[1:]), 1, 2)


# Errors


def test_errors_are_those_of_a_loop(tmp_path):
    said = noisy()
    found = judged(tmp_path, joints=said)
    said, truth = by_scene(said).astype(np.float64), by_scene(TRUTH).astype(np.float64)
    pose = np.linalg.norm((said - said[..., :1, :]) - (truth - truth[..., :1, :]), axis=-1)
    whole = np.broadcast_to(OCCLUDED.all(axis=-1, keepdims=True), OCCLUDED.shape)
    masks = dict(zip(judging.OCCLUSIONS, (OCCLUDED | True, ~OCCLUDED, OCCLUDED, whole), strict=True))
    root = np.linalg.norm(said[..., 0, :] - truth[..., 0, :], axis=-1)
    world = said @ AXES + np.stack([pair.extrinsics.position for pair in PAIRS])[:, None, :, None]
    jerk = np.linalg.norm(np.diff(world, n=3, axis=2), axis=-1) * FPS**3
    seen_jerk = np.all([~OCCLUDED[:, :, k : FRAMES - 3 + k] for k in range(4)], axis=0)
    for which, mask in masks.items():
        for metric, mean in (("mpjpe", pose[mask].mean()), ("root_error", root[mask[..., 0]].mean())):
            assert judging.mean_error(found, metric, which) == pytest.approx(1000 * mean, rel=1e-4)
    for which, mask in (("visible", seen_jerk), ("hidden", ~seen_jerk)):
        expected = 0.1 * jerk[mask].mean()
        assert judging.mean_error(found, "jitter", which) == pytest.approx(expected, rel=1e-3)
    assert judging.mean_error(found, "mpjpe", kind="dance") == pytest.approx(1000 * pose[1].mean(), rel=1e-4)
    rows, by_kind = judging.rows_of("net", found)
    assert [row[:2] for row in rows] == [["net", occlusion] for occlusion in judging.OCCLUSIONS]
    assert [row[2] for row in rows] == [f"{100 * mask.mean():.1f}" for mask in masks.values()]
    assert [row[1:3] for row in by_kind] == [
        [kind, which] for kind in ("across", "dance") for which in ("all", "hidden")
    ]


def test_world_errors_undo_the_cameras_motion(tmp_path):
    """People who are somewhere else in the world, all the time the same, are where they should be."""
    found = judged(tmp_path, joints=TRUTH + np.array([0.3, 0.0, 0.4], np.float32))
    for metric in ("w_mpjpe", "wa_mpjpe", "root_translation_error", "mpjpe"):
        assert judging.mean_error(found, metric) < 0.1
    assert judging.mean_error(found, "root_error") == pytest.approx(500, rel=1e-4)
    # Joints that stay where they are before the camera go with it, feet that stand included.
    along = (np.arange(2 * FRAMES) % FRAMES * 0.02)[:, None, None, None].astype(np.float32)
    for joints, slides in ((TRUTH, False), (TRUTH + along, True)):
        moved = judged(tmp_path, joints=joints)
        assert (judging.mean_error(moved, "foot_slide") > 800) == slides
        assert (judging.mean_error(moved, "skating") > 90) == slides


def test_what_is_not_said_is_missing_and_a_miss(tmp_path):
    joints = TRUTH.copy()
    joints[:15, 0] = np.nan  # half of the first scene's first person
    placed = np.array([[True, False], [True, True]])
    found = judged(tmp_path, joints=joints, placed=placed)
    assert judging.mean_error(found, "missing") == pytest.approx(12.5)
    assert judging.mean_error(found, "unplaced") == pytest.approx(25)
    assert judging.mean_error(found, "pck") == judging.mean_error(found, "auc") == pytest.approx(87.5)
    assert judging.mean_error(found, "mpjpe") < 1e-3 and judging.mean_error(found, "root_error") < 1e-3
    counts = {name: found.sums[0, judging.METRICS.index(name), 0, 1] for name in judging.METRICS}
    assert counts["mpjpe"] == 45 * 17 and counts["n_mpjpe_absolute"] == 15 * 17 and counts["root_error"] == 15
    # Nothing is said of the only chunk's first frames.
    assert counts["w_mpjpe"] == 0 and counts["wa_mpjpe"] == 15 * 17 and counts["jitter"] == 12 * 17
    nowhere = judged(tmp_path, joints=TRUTH - TRUTH[..., :1, :], placed=np.zeros((2, 2), bool))
    assert judging.mean_error(nowhere, "mpjpe") < 1e-3 and np.isnan(judging.mean_error(nowhere, "w_mpjpe"))
    assert "–" in judging.rows_of("net", nowhere)[0][0]


def test_our_networks_have_the_figures_of_the_tables(tmp_path, monkeypatch):
    """Through a file of predictions, as through `experiments.tables`."""
    people = by_scene(noisy()).reshape(4, FRAMES, 17, 3)
    solved = jnp.array([True, False, True, True])

    def ask(network, keypoints, *_, **__):
        del network
        np.testing.assert_array_equal(keypoints, np.concatenate([pair.keypoints for pair in PAIRS]))
        roots = jnp.asarray(people[:, :, 0])
        return Answer(jnp.asarray(people) - roots[:, :, None], roots, solved)

    monkeypatch.setattr(judging, "ask", ask)
    monkeypatch.setattr(stretches, "ask", ask)
    loaded = LoadedLifter(TemporalLifter("two_stream", 8, (3, 3)), {}, H36M_17, 2.29, False, {})
    judging.write_predictions(tmp_path / "ours.npz", PAIRS, judging.predict(loaded, PAIRS))
    found = judging.judge_pairs(judging.read_predictions(tmp_path / "ours.npz", PAIRS), PAIRS)

    config = stretches.EvaluateConfig((), (), ratios=(0.0,), kernel_frames=(25,), batch_people=4)
    seen = stretches.stretches_of(PAIRS)
    table = stretches.measure(config, "ours", loaded, seen, FPS, Console(file=io.StringIO()))
    (condition,) = table.conditions
    for metric in set(judging.METRICS) & set(totals.METRICS):
        expected = totals.mean_error(table, metric, condition)
        assert judging.mean_error(found, metric) == pytest.approx(expected, rel=2e-5), metric
    dances = np.array([label.action == "dance" for label in table.labels])
    for kind, where in ((None, dances | True), ("dance", dances)):
        expected = hidden_error(table, condition, where)
        assert judging.mean_error(found, "pa_mpjpe", "hidden", kind) == pytest.approx(expected, rel=2e-5)
    expected = totals.mean_error(table, "root_error_fully_hidden", condition)
    assert judging.mean_error(found, "root_error", "fully hidden") == pytest.approx(expected, rel=2e-5)
    assert judging.mean_error(found, "unplaced") == totals.mean_error(table, "unsolved", condition) == 25


# Files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": TRUTH[:-1]}, r"joints has shape \(59, 2, 17, 3\) .* expected floats \(60, 2, 17, 3\)"),
        ({"joints": TRUTH.astype(int)}, "dtype int64, expected floats"),
        ({"joints": 1000 * TRUTH}, "person 0 in scene 0, frame 0 .* are beyond 200 m: give metres"),
        ({"joints": -TRUTH}, "behind the camera: give joints in camera axes"),
        ({"placed": np.ones(2, bool)}, r"placed has shape \(2,\)"),
        ({"sha256": np.array("0" * 64)}, "sha256 is '0000.*name the set"),
        ({"joints": None}, "lacks joints"),
        ({"joints": np.array([None])}, "pickled Python objects"),
    ],
)
def test_predictions_that_cannot_be_meant_are_refused(tmp_path, change, words):
    arrays = {name: value for name, value in ({"joints": TRUTH} | change).items() if value is not None}
    np.savez(tmp_path / "said.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        judging.read_predictions(tmp_path / "said.npz", PAIRS)


@pytest.mark.parametrize(("value", "words"), [(np.nan, "are NaN in part"), (np.inf, "are infinite")])
def test_refusals_name_the_frame(tmp_path, value, words):
    joints = TRUTH.copy()
    joints[FRAMES + 7, 1, 4, 2] = value
    np.savez(tmp_path / "said.npz", joints=joints)
    with pytest.raises(ValueError, match=rf"person 1 in scene 1, frame 7 \(row 37\), {words}"):
        judging.read_predictions(tmp_path / "said.npz", PAIRS)


# The command


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    name = "moving-pairs-v1"
    monkeypatch.setitem(moving_pairs.FROZEN, name, Frozen(moving_pairs.EVALUATION, fingerprint(PAIRS)))
    return write_pairs(tmp_path / f"{name}.npz", PAIRS)


def test_a_stranger_is_given_what_they_need_and_scored(tmp_path, scenes, capsys):
    path = tmp_path / "inputs.npz"
    assert score.command(["--scenes", str(scenes), "--write-inputs", str(path)]) == 0
    with np.load(path) as file:
        inputs = {name: file[name] for name in file.files}
    ends = np.cumsum(inputs["length"])
    joints = np.full((ends[-1], 2, 17, 3), np.nan, np.float32)
    for number, end in enumerate(ends):
        frames = slice(end - inputs["length"][number], end)
        # A network that knows how far everything is, so that the rays are all that it needs.
        rays = (inputs["keypoints"][frames] - inputs["center"][number]) / inputs["focal"][number]
        depth = TRUTH[frames, ..., 2:]
        seen = np.concatenate([rays, np.ones_like(depth)], axis=-1) * depth
        joints[frames] = np.where(inputs["occluded"][frames, ..., None], TRUTH[frames], seen)
    np.savez(tmp_path / "mine.npz", joints=joints, sha256=inputs["sha256"])
    np.testing.assert_array_equal(inputs["occluded"], np.concatenate(np.swapaxes(OCCLUDED, 1, 2)))
    np.testing.assert_array_equal(np.isnan(inputs["keypoints"]).any(axis=-1), inputs["occluded"])
    assert str(inputs["set"]) == "moving-pairs-v1" and "joints" not in inputs

    table = tmp_path / "tables" / "score.md"
    assert score.command([str(tmp_path / "mine.npz"), "--scenes", str(scenes), "--output", str(table)]) == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "# moving-pairs-v1" and lines[2] == f"sha256 {fingerprint(PAIRS)}"
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith(("| mine", "| truth"))]
    assert [row[0] for row in rows] == ["mine"] * 4 + ["truth"] * 4 + ["mine"] * 4 + ["truth"] * 4
    mine, truth = rows[0], rows[4]
    # Keypoints are stored in twentieths of a pixel.
    assert mine[:3] == ["mine", "all", "100.0"] and float(mine[3]) < 1 and truth[3] == "0.0"
    assert "mine" in capsys.readouterr().out


def test_refusals_are_one_line_and_leave_nothing_behind(tmp_path, scenes, capsys):
    np.savez(tmp_path / "bad.npz", joints=TRUTH[1:])
    np.savez(tmp_path / "truth.npz", joints=TRUTH)
    place = ["--scenes", str(scenes)]
    for arguments, words in (
        ([str(tmp_path / "bad.npz"), *place], "bad.npz: joints has shape (59, 2, 17, 3)"),
        ([str(tmp_path / "truth.npz"), *place], "several networks are called truth"),
        ([str(tmp_path / "none.npz"), *place], "No such file"),
        ([str(tmp_path / "bad.npz")], "name the capture files of moving-pairs-v1, or its scenes"),
        (place, "predictions is empty"),
        ([str(tmp_path / "bad.npz"), *place, "--set", "moving-pairs-v1-wrong"], "has sha256"),
        (
            [*place, "--write-predictions", "p.npz", "--write-inputs", "i.npz"],
            "one --lifter, 0 are",
        ),
    ):
        assert score.command([*arguments, "--output", str(tmp_path / "score.md")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("score: ") and words in said and said.count("\n") == 1
    assert not (tmp_path / "score.md").exists()
