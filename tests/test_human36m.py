"""Human3.6M's layout with generated motion: cameras, recorded takes, a training step and the evaluation."""

import dataclasses
import io
import json
import sys

import human36m_files as files
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lifter_oracle import random_variables
from rich.console import Console
from scipy.spatial.transform import Rotation

from experiments import batches, recorded, train
from experiments import human36m as evaluation
from experiments.configs import SMOKE, Network
from experiments.human36m import AVERAGE, Human36mConfig, join_views
from gated_lift.cameras import VirtualCamera, normalize_screen
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import MaskDistribution
from gated_lift.readers.human36m import (
    RESOLUTIONS,
    action_of,
    read_cameras,
    read_takes,
    record,
    resect_cameras,
    write_cameras,
)
from gated_lift.readers.videopose3d import (
    KEPT_JOINTS,
    TRAINING_SUBJECTS,
    read_positions_2d,
    read_positions_3d,
)
from gated_lift.skeleton import COCO_17, H36M_17, convert
from solvers import TrajectoryConfig, normalize, project

# With the weights of the paper, short paths are drawn together by some centimetres. One for all tests: each
# is compiled anew.
LIGHT = TrajectoryConfig(velocity_weight=1e-4, acceleration_weight=1e-4)


@pytest.fixture(scope="module", autouse=True)
def surroundings():
    """Optax's schedules mix dtypes themselves, which strict promotion would refuse."""
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("human36m"))


@pytest.fixture(scope="module")
def takes(folder):
    """The detector's takes of two subjects, cameras from the ground truth."""
    return read(folder, "data_2d_h36m_cpn.npz", "data_2d_h36m_gt.npz", ("S1", "S11"))


def read(folder, keypoints, cameras, subjects):
    cameras = cameras and folder / cameras
    return read_takes(folder / "data_3d_h36m.npz", folder / keypoints, cameras, True, subjects)


def take_of(takes, name, view):
    return next(take for take in takes if take.name == name and take.view == view)


# ---------------------------------------------------------------------------------------------- cameras


def test_cameras_are_found_from_the_files(takes):
    for subject in ("S1", "S11"):
        for view, known in enumerate(files.cameras()[subject]):
            camera, extrinsics, resolution = take_of(takes, f"{subject}/Walking", view).seen_by
            assert resolution == RESOLUTIONS[view]
            np.testing.assert_allclose(camera.focal, known["focal"], rtol=2e-3)
            np.testing.assert_allclose(camera.center, known["center"], atol=3)
            np.testing.assert_allclose(extrinsics.position[0], known["position"], atol=0.01)
            turn = Rotation.from_matrix(extrinsics.rotation[0] @ known["rotation"].T).magnitude()
            assert turn < np.linalg.norm(known["tangential"]) + 1e-3


def test_found_cameras_see_the_ground_truth(folder):
    for take in read(folder, "data_2d_h36m_gt.npz", None, ("S11",)):
        seen = project(jnp.asarray(take.joints), take.seen_by.camera)
        inside = ((take.keypoints >= 0) & (take.keypoints <= take.seen_by.resolution)).all(axis=-1)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(seen[inside], take.keypoints[inside], atol=0.03)


def test_hidden_keypoints_find_no_camera_but_spoil_none(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    truth = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    hidden = np.random.default_rng(0).uniform(size=truth.views[0].occluded.shape) < 0.3
    gaps = truth._replace(
        views=tuple(
            view._replace(
                keypoints=np.where(hidden[..., None], np.float32(np.nan), view.keypoints), occluded=hidden
            )
            for view in truth.views
        )
    )
    for found, whole in zip(
        resect_cameras(gaps, clips)["S9"], resect_cameras(truth, clips)["S9"], strict=True
    ):
        np.testing.assert_allclose(found.camera.focal, whole.camera.focal, rtol=1e-3)
        np.testing.assert_allclose(found.extrinsics.position, whole.extrinsics.position, atol=5e-3)


def test_detections_find_no_cameras(folder):
    with pytest.raises(ValueError, match=r"data_2d_h36m_cpn\.npz: truth of S9 view 0 is \d\.\d+ px off"):
        read(folder, "data_2d_h36m_cpn.npz", None, ("S9",))


def test_cameras_are_found_from_humans_own_joints_alone(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    truth = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    with pytest.raises(ValueError, match="truth has the layout coco"):
        resect_cameras(truth._replace(layout="coco", skeleton=COCO_17), clips)
    with pytest.raises(ValueError, match="resolutions are given for 3"):
        resect_cameras(truth, clips, RESOLUTIONS[:3])
    gap = truth._replace(views=tuple(view for view in truth.views if view.view != 1))
    with pytest.raises(ValueError, match=r"the views \[0, 2, 3\] of S9"):
        resect_cameras(gap, clips)
    unseen = truth.views[0]._replace(occluded=np.ones_like(truth.views[0].occluded))
    with pytest.raises(ValueError, match="truth of S9 view 0 has no keypoint"):
        resect_cameras(truth._replace(views=(unseen,)), clips)


def test_a_camera_file_is_read(tmp_path):
    held = files.camera_file()
    for views in held.values():
        # A quaternion is as good as a matrix, and a lens may be left out.
        matrix = np.array(views[1]["rotation"])
        views[1]["rotation"] = Rotation.from_matrix(matrix).as_quat(scalar_first=True).tolist()
        del views[2]["radial"], views[2]["tangential"]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(held))
    found = read_cameras(path)
    assert tuple(found) == files.SUBJECTS
    for subject, views in files.cameras().items():
        for view, known in enumerate(views):
            camera, extrinsics, resolution = found[subject][view]
            assert resolution == RESOLUTIONS[view]
            for name in ("focal", "center", "radial", "tangential"):
                expected = 0 if view == 2 and name in ("radial", "tangential") else known[name]
                np.testing.assert_allclose(getattr(camera, name), expected + np.zeros(len(known[name])))
            np.testing.assert_allclose(extrinsics.rotation, known["rotation"][None], atol=1e-12)
            np.testing.assert_allclose(extrinsics.position, known["position"][None])
    again = read_cameras(write_cameras(tmp_path / "again.json", found))
    jax.tree.map(np.testing.assert_array_equal, again, found)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("focal", None, "focal is missing"),
        ("skew", 0.1, "skew is unknown"),
        ("focal", [1145.0], r"focal is \[1145.0\], expected finite numbers of shape \(2,\)"),
        ("radial", [1.0, 2.0, float("nan")], "radial is"),
        ("center", "middle", "center is middle"),
        ("focal", [1145.0, -1.0], "pixels, above zero"),
        ("resolution", [0, 1000], "resolution 0 × 1000"),
        ("rotation", [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "is none: give orthonormal rows"),
        ("rotation", [0.0, 0.0, 0.0, 0.0], "a quaternion of length one"),
        ("rotation", [1.0, 0.0], r"rotation is \[1.0, 0.0\], expected .* \(3, 3\) or \(4,\)"),
    ],
)
def test_a_wrong_camera_file_is_refused(tmp_path, key, value, message):
    held = files.camera_file()
    held["S5"][2] |= {key: value}
    if value is None:
        del held["S5"][2][key]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=rf"cameras\.json: camera 2 of S5.*{message}"):
        read_cameras(path)


def test_a_file_that_is_no_camera_file_is_refused(tmp_path):
    path = tmp_path / "cameras.json"
    texts = {"{": "is not a camera file", "[1]": "it holds list", '{"S1": [3]}': "S1 is int"}
    for text, message in texts.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_cameras(path)


# ------------------------------------------------------------------------------------------------ takes


def test_takes_are_joined_from_the_three_files(folder, tmp_path):
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(files.camera_file()))
    found = read(folder, "data_2d_h36m_cpn.npz", cameras, ("S9", "S11"))
    names = ["S9/Directions", "S9/Directions 1", "S9/Walking", "S11/Directions 1", "S11/Walking"]
    assert [take.name for take in found] == [name for name in names for _ in range(4)]
    assert [take.view for take in found] == [0, 1, 2, 3] * 5
    take = take_of(found, "S11/Directions 1", 2)
    assert (take.subject, take.action) == ("S11", "Directions")
    known = files.cameras()["S11"][2]
    world = files.motion()["S11"]["Directions 1"][:, KEPT_JOINTS].astype(np.float64)
    expected = (world - known["position"]) @ known["rotation"].T
    np.testing.assert_allclose(take.joints, expected, atol=1e-5)
    assert take.keypoints.shape == (40, 17, 2) and not take.occluded.any()
    off = take.keypoints - files.project(world, known)
    assert 2.5 < off.std() < 3.5


def test_keypoints_far_outside_the_image_are_hidden(folder):
    clips = read_positions_3d(folder / "data_3d_h36m.npz", True, ("S9",))
    file = read_positions_2d(folder / "data_2d_h36m_gt.npz", True, ("S9",))
    cameras = resect_cameras(file, clips)
    keypoints = file.views[0].keypoints.copy()
    keypoints[3, 5] = (500, 1101)
    keypoints[4, 6] = (-101, 500)
    keypoints[5, 7] = (1103, 500)
    moved = file._replace(views=(file.views[0]._replace(keypoints=keypoints),))
    (take,) = record(moved, clips, cameras)
    hidden = np.zeros(take.occluded.shape, bool)
    hidden[4, 6] = hidden[5, 7] = True  # the image is 1000 × 1002
    np.testing.assert_array_equal(take.occluded, hidden)
    np.testing.assert_array_equal(np.isnan(take.keypoints), np.repeat(hidden[..., None], 2, axis=-1))


@pytest.mark.parametrize(
    ("take", "action"),
    [("Directions", "Directions"), ("Directions 1", "Directions"), ("WalkTogether 12", "WalkTogether")],
)
def test_takes_are_named_by_their_action(take, action):
    assert action_of(take) == action


def test_pickles_are_refused_unless_asked_for(folder):
    with pytest.raises(ValueError, match="can run any code"):
        read_takes(folder / "data_3d_h36m.npz", folder / "data_2d_h36m_gt.npz", subjects=("S9",))


def test_keypoints_in_cocos_order_are_converted(folder, tmp_path):
    raw = np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True)["positions_2d"].item()
    rng = np.random.default_rng(0)
    coco = {"S9": {"Walking": [rng.uniform(0, 1000, image.shape) for image in raw["S9"]["Walking"]]}}
    coco["S9"]["Walking"][1][5, 11] = np.nan  # a left hip: the hip's centre is hidden too
    pairs = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": pairs}
    np.savez_compressed(tmp_path / "coco.npz", positions_2d=coco, metadata=metadata)
    found = read(folder, tmp_path / "coco.npz", "data_2d_h36m_gt.npz", ("S9",))
    assert [take.view for take in found] == [0, 1, 2, 3]
    source = coco["S9"]["Walking"][1][:40].astype(np.float32)
    expected, hidden = convert(jnp.asarray(source), jnp.asarray(np.isnan(source).any(-1)), COCO_17, H36M_17)
    np.testing.assert_array_equal(found[1].occluded, hidden)
    assert hidden[5, 0] and hidden[5, 4] and hidden.sum() == 3  # the spine hangs from the hip's centre
    np.testing.assert_array_equal(found[1].keypoints, expected)


def test_views_without_a_camera_or_known_joints_are_refused(folder, tmp_path):
    held = files.camera_file()
    held["S9"].pop()
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps(held))
    with pytest.raises(ValueError, match="cameras have 3 views of S9, S9/Directions has one numbered 3"):
        read(folder, "data_2d_h36m_cpn.npz", cameras, ("S9",))
    raw = dict(np.load(folder / "data_2d_h36m_gt.npz", allow_pickle=True))
    metadata = raw["metadata"].item() | {"layout_name": "strange"}
    np.savez_compressed(tmp_path / "strange.npz", positions_2d=raw["positions_2d"], metadata=metadata)
    with pytest.raises(ValueError, match="file has the layout strange"):
        read(folder, tmp_path / "strange.npz", "data_2d_h36m_gt.npz", ("S9",))


# ---------------------------------------------------------------------------------------------- training

TINY = dataclasses.replace(
    SMOKE,
    network=Network(channels=8, filter_widths=(3, 3)),
    masks=MaskDistribution(1.0, (0.5, 0.5), (5,), 0.0),
    epochs=0.05,
    batch_frames=64,
    chunk_frames=8,
    context_frames=6,
    allow_pickle=True,
)


def test_a_window_is_a_stretch_of_a_recorded_take(takes):
    config = dataclasses.replace(TINY, masks=MaskDistribution(0.0, (0.0, 0.0), (1,), 0.0))
    lifter = train.make_lifter(config)
    bank = recorded.make_bank(takes, config.camera)
    draw = jax.jit(lambda key, bank: batches.draw_placed_batch(key, bank, lifter, config, 256))
    batch, placement = jax.tree.map(np.asarray, draw(jax.random.key(0), bank))
    assert batch.keypoints.shape == (256, 16, 17, 2) and batch.target.shape == (256, 8, 17, 3)
    # Without noise the camera that goes with a window sees the targets where the keypoints are.
    joints = batch.target + placement.root[:, :, None]
    seen = project(jnp.asarray(joints), placement.camera)
    off = np.asarray(normalize_screen(seen, config.camera.width, config.camera.height))
    off = off - batch.keypoints[:, 4:12]
    assert 0.8 < off.std() / (3.0 * 2 / 1000) < 1.2  # the detector's 3 px
    assert batch.weight.all()


def test_banks_undo_every_camera(folder):
    exact = read(folder, "data_2d_h36m_gt.npz", None, ("S9", "S11"))
    bank = recorded.make_bank(exact, VirtualCamera())
    slope = np.asarray(bank.joints[..., :2] / bank.joints[..., 2:])
    np.testing.assert_allclose(bank.keypoints, slope * 2 * 1145 / 1000, atol=1e-4)
    lengths = [len(take.joints) for take in exact]
    assert len(bank.first) == sum(lengths)
    np.testing.assert_array_equal(np.unique(bank.first), np.cumsum([0, *lengths[:-1]]))
    np.testing.assert_array_equal(np.unique(bank.last), np.cumsum(lengths) - 1)
    hidden = exact[0]._replace(
        occluded=np.ones_like(exact[0].occluded), keypoints=np.full_like(exact[0].keypoints, np.nan)
    )
    assert np.isfinite(recorded.make_bank([hidden], VirtualCamera()).keypoints).all()


def test_training_takes_steps_on_recorded_keypoints(folder, tmp_path):
    config = dataclasses.replace(
        TINY,
        human36m=folder / "data_3d_h36m.npz",
        keypoints_2d=folder / "data_2d_h36m_cpn.npz",
        cameras=folder / "data_2d_h36m_gt.npz",
        output=tmp_path,
    )
    console = Console(file=io.StringIO(), width=200)
    loaded = checkpoints.load_lifter(train.train(config, console))
    # Five subjects with three takes each, seen four times.
    assert f"15 clips, {15 * files.FRAMES * 4:,} frames; 2 steps" in console.file.getvalue()
    assert "Human3.6M" in loaded.description["licences"][0]
    before = train.init_state(config, train.make_lifter(config), optax.amsgrad(1e-3)).variables["params"]
    assert (before["head"]["kernel"] != loaded.variables["params"]["head"]["kernel"]).any()


def test_motion_of_human36m_may_be_seen_by_virtual_cameras(folder):
    config = dataclasses.replace(TINY, human36m=folder / "data_3d_h36m.npz")
    clips = batches.read_motion(config)
    assert [clip.subject for clip in clips] == [subject for subject in TRAINING_SUBJECTS for _ in range(3)]
    bank = batches.read_bank(config, clips)
    assert isinstance(bank, batches.VirtualBank) and len(bank.poses) == 15 * files.FRAMES


def test_training_flags_that_do_not_go_together_are_refused(folder):
    keypoints, motion = folder / "data_2d_h36m_cpn.npz", folder / "data_3d_h36m.npz"
    with pytest.raises(ValueError, match=r"keypoints_2d .* give human36m"):
        batches.read_bank(dataclasses.replace(TINY, keypoints_2d=keypoints), ())
    with pytest.raises(ValueError, match=r"keypoints_2d .* no data"):
        config = dataclasses.replace(TINY, keypoints_2d=keypoints, human36m=motion, data=(motion,))
        batches.read_bank(config, ())
    for name in ("recombined_share", "turned_share", "body_spread"):
        with pytest.raises(ValueError, match=rf"{name} is 0\.1: recorded people"):
            config = dataclasses.replace(TINY, keypoints_2d=keypoints, human36m=motion, **{name: 0.1})
            batches.read_bank(config, ())
    with pytest.raises(ValueError, match=r"cameras .* saw no keypoints"):
        batches.read_bank(dataclasses.replace(TINY, human36m=motion, cameras=keypoints), ())


def test_subjects_are_kept_out_of_training(folder):
    config = dataclasses.replace(
        TINY, human36m=folder / "data_3d_h36m.npz", exclude_subjects=("S1", "S5", "S6", "S7")
    )
    clips = batches.read_motion(config)
    assert {clip.subject for clip in clips} == {"S8"}


# -------------------------------------------------------------------------------------------- evaluation

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


def knows(takes, monkeypatch, error=0.0):
    """Stands in for the lifter: the true poses, with one joint moved sideways."""
    poses = {
        take.keypoints[0, 0].tobytes(): take.joints - take.joints[..., :1, :] for take in join_views(takes)
    }

    def lift(lifter, variables, keypoints, *_):
        truth = poses[np.asarray(keypoints)[0, 0].tobytes()].copy()
        truth[..., 16, 0] += error
        return jax.device_put(truth, jax.devices()[0])  # there on purpose, as what restored weights give

    monkeypatch.setattr("experiments.evaluate.lift", lift)


def test_the_command_writes_a_table_a_metric(folder, network, tmp_path, monkeypatch, capsys):
    flags = {
        "--positions-3d": "data_3d_h36m.npz",
        "--keypoints-2d": "data_2d_h36m_cpn.npz",
        "--cameras": "data_2d_h36m_gt.npz",
    }
    paths = [part for flag, name in flags.items() for part in (flag, str(folder / name))]
    rest = ["--allow-pickle", "--checkpoint", str(network), "--ratios", "0", "0.5", "--kernel-frames", "5"]
    more = ["--no-flip", "--subjects", "S11", "--output", str(tmp_path)]
    judge = evaluation.judge  # with the settings of the next test, so that both share what is compiled
    monkeypatch.setattr(evaluation, "judge", lambda *args: judge(*args[:6], LIGHT))
    monkeypatch.setattr(sys, "argv", ["human36m", *paths, *rest, *more])
    evaluation.main()
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
    exact = read(folder, "data_2d_h36m_gt.npz", None, ("S11",))
    expected = {"S11": tuple(take.seen_by for take in exact[:4])}
    jax.tree.map(np.testing.assert_array_equal, read_cameras(tmp_path / "cameras.json"), expected)
    assert rows[2]["mpjpe"] == pytest.approx((rows[0]["mpjpe"] + rows[1]["mpjpe"]) / 2)


def test_a_network_that_knows_the_truth_has_no_error(folder, network, monkeypatch):
    exact = read(folder, "data_2d_h36m_gt.npz", None, ("S11",))
    config = config_for(folder, network, ratios=(0.0,))
    console, loaded = Console(file=io.StringIO()), checkpoints.load_lifter(network)
    knows(exact, monkeypatch)
    rows = evaluation.rows_of("net", evaluation.measure(config, "net", loaded, join_views(exact), console))
    assert all(row.pa_mpjpe < 0.01 and row.mpjpe < 1e-3 and row.unsolved == 0 for row in rows)
    assert all(row.n_mpjpe_absolute < 0.2 for row in rows)
    knows(exact, monkeypatch, error=0.017)
    rows = evaluation.rows_of("net", evaluation.measure(config, "net", loaded, join_views(exact), console))
    assert all(row.mpjpe == pytest.approx(1.0, abs=1e-3) and 1 < row.pa_mpjpe < 3 for row in rows)


def test_masks_belong_to_the_take(takes, folder, network, monkeypatch):
    """They do not change with what else is judged."""
    seen = []
    monkeypatch.setattr(
        "experiments.evaluate.lift", lambda *args: seen.append(np.asarray(args[3])) or jnp.zeros(0)
    )
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


def test_screen_keypoints_reach_the_network_divided_by_the_image(takes, folder, network, monkeypatch):
    used = []
    monkeypatch.setattr("experiments.evaluate.lift", lambda *args: used.append(args[4:]) or jnp.zeros(0))
    sums = {metric: (jnp.ones(4), jnp.ones(4)) for metric in evaluation.METRICS}
    monkeypatch.setattr(evaluation, "judge", lambda *args: used.append(args[4]) or sums)
    config = config_for(folder, network, ratios=(0.0,), screen=True)
    joined = join_views(takes)[:1]
    loaded = checkpoints.load_lifter(network)
    evaluation.measure(config, "net", loaded, joined, Console(file=io.StringIO()))
    (camera, _, _, focal), judged = used
    assert focal == 1.0 and camera is joined[0].screen and judged is joined[0].camera
