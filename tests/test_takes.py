"""Judging on Human3.6M's layout with generated motion: what networks are shown, and the command's tables."""

import dataclasses
import io
import json
import sys

import human36m_files as files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from judged import knowing
from lifter_oracle import random_variables
from rich.console import Console

from experiments import human36m
from experiments.judging import takes as evaluation
from experiments.judging.takes import AVERAGE, Human36mConfig, join_views
from gated_lift.cameras import normalize_screen
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.readers.human36m import RESOLUTIONS, read_cameras
from solvers import Camera, TrajectoryConfig, normalize


@pytest.fixture(autouse=True)
def unsmoothed(monkeypatch):
    """Truth that is smoothed is no longer the truth."""
    monkeypatch.setattr("experiments.judging.protocol.SMOOTHING", 0.0)


# With the weights of the paper, short paths are drawn together by some centimetres. One for all tests: each
# is compiled anew.
LIGHT = TrajectoryConfig(velocity_weight=1e-4, acceleration_weight=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("human36m"))


@pytest.fixture(scope="module")
def takes(folder):
    """The detector's takes of two subjects, cameras from the ground truth."""
    return files.read(folder, "data_2d_h36m_cpn.npz", "data_2d_h36m_gt.npz", ("S1", "S11"))


LIFTER = TemporalLifter("two_stream", 8, (3, 3))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    shapes = jax.eval_shape(
        lambda: LIFTER.init(jax.random.key(0), jnp.zeros((1, 9, 17, 2)), jnp.zeros((1, 9, 17), bool))
    )
    folder = tmp_path_factory.mktemp("network") / "checkpoints"
    variables = random_variables(shapes, 0, spread=0.3)
    checkpoints.save(folder, 3, variables, {"network": checkpoints.describe_lifter(LIFTER)})
    return folder


def config_for(folder, network, **changes):
    settings = {
        "checkpoint": (network,),
        "positions_3d": folder / "data_3d_h36m.npz",
        "keypoints_2d": folder / "data_2d_h36m_cpn.npz",
        "cameras": folder / "data_2d_h36m_gt.npz",
        "allow_pickle": True,
        "names": ("net",),
        "ratios": (0.0, 0.5),
        "kernel_frames": (5,),
        "flip": False,
        "trajectory": LIGHT,
    }
    return Human36mConfig(**settings | changes)


def knows(takes, error=0.0, screen=False):
    """A network that says the true poses, with one joint moved sideways."""
    joined = join_views(takes)
    cameras = [take.screen if screen else take.camera for take in joined]
    camera = Camera(
        *(None if each[0] is None else np.concatenate(each) for each in zip(*cameras, strict=True))
    )
    joints = np.concatenate([take.joints for take in joined])
    poses = joints - joints[..., :1, :]
    poses[..., 16, 0] += error
    keypoints = np.concatenate([take.keypoints for take in joined])
    return knowing(keypoints, camera, poses, 1.0 if screen else 2.29)


def test_the_command_writes_a_table_a_metric(folder, network, tmp_path, monkeypatch, capsys):
    flags = {
        "--positions-3d": "data_3d_h36m.npz",
        "--keypoints-2d": "data_2d_h36m_cpn.npz",
        "--cameras": "data_2d_h36m_gt.npz",
    }
    paths = [part for flag, name in flags.items() for part in (flag, str(folder / name))]
    rest = ["--allow-pickle", "--checkpoint", str(network), "--ratios", "0", "0.5", "--kernel-frames", "5"]
    more = ["--no-flip", "--subjects", "S11", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["human36m", *paths, *rest, *more])
    human36m.main()
    out = capsys.readouterr().out
    assert "2 takes, 8 views, 320 frames" in out and "Protocol 1" in out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["action"] for row in rows] == ["Directions", "Walking", AVERAGE] * 2
    assert [row["ratio"] for row in rows] == [0.0] * 3 + [0.5] * 3
    assert [row["frames"] for row in rows] == [160, 160, 320] * 2
    assert [row["hidden"] for row in rows[:3]] == [0, 0, 0] and all(
        30 < row["hidden"] < 70 for row in rows[3:]
    )
    for metric in ("pa_mpjpe", "mpjpe", "n_mpjpe_absolute"):
        table = (tmp_path / f"{metric}.md").read_text().splitlines()
        assert table[2] == "| network | action | 0 % | 50 %, K=5 |"
        assert table[-1].startswith(f"| {network.parent.name} | average | {rows[2][metric]:.1f} | ")
    exact = files.read(folder, "data_2d_h36m_gt.npz", None, ("S11",))
    expected = {"S11": tuple(take.seen_by for take in exact[:4])}
    jax.tree.map(np.testing.assert_array_equal, read_cameras(tmp_path / "cameras.json"), expected)
    assert rows[2]["mpjpe"] == pytest.approx((rows[0]["mpjpe"] + rows[1]["mpjpe"]) / 2)


@pytest.mark.parametrize("screen", [False, True])
@pytest.mark.thorough
def test_a_network_that_knows_the_truth_has_no_error(folder, network, screen):
    """It is shown rays, of the camera or of the screen alone as its authors want it; people are placed by the
    camera all the same.
    """
    exact = files.read(folder, "data_2d_h36m_gt.npz", None, ("S11",))
    config = config_for(folder, network, ratios=(0.0,), screen=screen)
    joined = join_views(exact)

    def judge(loaded):
        totals = evaluation.measure(config, "net", loaded, joined, Console(file=io.StringIO()))
        return evaluation.rows_of("net", totals)

    rows = judge(knows(exact, screen=screen))
    assert all(row.pa_mpjpe < 0.01 and row.mpjpe < 1e-3 and row.unsolved == 0 for row in rows)
    assert all(row.n_mpjpe_absolute < 0.2 for row in rows)
    rows = judge(knows(exact, error=0.017, screen=screen))
    assert all(row.mpjpe == pytest.approx(1.0, abs=1e-3) and 1 < row.pa_mpjpe < 3 for row in rows)
    # The other rays are not what it knows.
    rows = judge(knows(exact, screen=not screen)._replace(focal=1.0 if screen else 2.29))
    assert all(row.mpjpe > 1.0 for row in rows)


def test_masks_belong_to_the_take(takes, folder, network, monkeypatch):
    """They do not change with what else is judged."""
    seen = []
    monkeypatch.setattr(evaluation, "ask", lambda *args, **_: seen.append(np.asarray(args[2])))
    sums = {metric: (jnp.ones(4), jnp.ones(4)) for metric in evaluation.METRICS}
    monkeypatch.setattr(evaluation, "judge", lambda *_: sums)
    config = config_for(folder, network, kernel_frames=(5, 9))
    console, loaded = Console(file=io.StringIO()), checkpoints.load_lifter(network)
    joined = join_views(takes)
    evaluation.measure(config, "net", loaded, joined, console)
    masks = np.stack(seen).reshape(3, len(joined), 4, 40, 17)  # 0 %, then 50 % at either K
    assert not masks[0].any()
    different = {mask.tobytes() for mask in masks[1:].reshape(-1, 40, 17)}
    assert len(different) == 2 * len(joined) * 4
    seen.clear()
    evaluation.measure(dataclasses.replace(config, ratios=(0.5,)), "net", loaded, joined[1:], console)
    np.testing.assert_array_equal(np.stack(seen).reshape(2, len(joined) - 1, 4, 40, 17), masks[1:, 1:])


def test_screens_are_cameras_without_a_lens(takes):
    take = join_views(takes)[0]
    rays = normalize(jnp.asarray(take.keypoints), take.screen)
    for view, resolution in enumerate(RESOLUTIONS):
        expected = normalize_screen(jnp.asarray(take.keypoints[view]), *resolution)
        np.testing.assert_allclose(rays[view], expected, atol=1e-6)
    assert take.camera.radial.shape == (4, 3)
