"""What an evaluation shows of captured people, and what it counts of a network that knows the truth."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from judged import LENGTH, config_for, knowing, write, write_files
from lifter_oracle import random_variables
from rich.console import Console
from silent_detector import SILENT

from experiments.judging import stretches
from experiments.judging.stretches import conditions, cut, read_people, see
from experiments.judging.totals import METRICS, RUNS
from gated_lift.cameras import VirtualCamera
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import frame_times
from gated_lift.recovery.observation import observe, turn_back
from gated_lift.synthetic import generated
from solvers import Camera, TrajectoryConfig


@pytest.fixture(autouse=True)
def unsmoothed(monkeypatch):
    """Truth that is smoothed is no longer the truth."""
    monkeypatch.setattr("experiments.judging.protocol.SMOOTHING", 0.0)


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(stretches, "STRETCHES", (LENGTH,))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("evaluate"))


ROOT = TemporalLifter("none", 8, (3, 3), target="root")


@pytest.mark.parametrize("turned", [pytest.param(True, marks=pytest.mark.thorough), False])
def test_a_network_places_the_poses(files, tmp_path, turned):
    """Roots from a network whose head knows one place only: nobody is unsolved, and all are found there, five
    metres along the axis, or along where the person is seen if it has been trained so.
    """
    shapes = jax.eval_shape(
        lambda: ROOT.init(jax.random.key(0), jnp.zeros((1, 9, 17, 2)), jnp.zeros((1, 9, 17), bool))
    )
    variables = random_variables(shapes, 0)
    variables["params"]["head"] = {
        "kernel": np.zeros((8, 3), np.float32),
        "bias": np.array([0.0, 0.0, 5.0], np.float32),
    }
    folder = tmp_path / "root"
    view = {"focal": 2.29, "turned": turned}
    checkpoints.save(folder, 1, variables, {"network": checkpoints.describe_lifter(ROOT), "view": view})
    config = config_for(files, root_network=folder, ratios=(0.0,))
    seen = {length: see(config, length, each, 50.0) for length, each in cut(read_people(config)).items()}
    network, root = checkpoints.load_lifter(config.checkpoint[0]), checkpoints.load_lifter(folder)
    console = Console(file=io.StringIO())
    totals = stretches.measure(config, "random", network, seen, 50.0, console, root)
    *_, row = stretches.rows_of("random", totals)
    (people,) = seen.values()
    camera, times = Camera(people.focal, people.center), frame_times(LENGTH, 50.0)
    look = jax.jit(observe, static_argnums=(0, 4, 6))
    shown = look(root.network, people.keypoints, people.missed, camera, 2.29, times, turned)
    place = turn_back(jnp.full((*people.missed.shape[:2], 1, 3), jnp.array([0.0, 0.0, 5.0])), shown.turn)
    distance = np.linalg.norm(people.joints[:, :, 0] - place[:, :, 0], axis=-1)
    assert row.subject == "all" and row.unsolved == 0
    assert row.root_error == pytest.approx(1000 * distance.mean(), rel=1e-4)
    with pytest.raises(ValueError, match="checkpoint root finds roots, not poses: give it as root_network"):
        stretches.measure(config, "root", root, seen, 50.0, console)
    with pytest.raises(ValueError, match=r"root_network .* finds poses, not roots: give it as checkpoint"):
        stretches.measure(config, "random", network, seen, 50.0, console, network)


# With the weights of the paper, short paths are drawn together by some centimetres. One for all tests: each
# is compiled anew.
LIGHT = TrajectoryConfig(velocity_weight=1e-4, acceleration_weight=1e-4)


def judge_with(lift, folder, **changes):
    """Rows of a network whose poses are ``lift(truth)``, truth being root-relative."""
    config = config_for(folder, detector=SILENT, trajectory=LIGHT, **changes)
    seen = {length: see(config, length, people, 50.0) for length, people in cut(read_people(config)).items()}
    (people,) = seen.values()
    truth = people.joints - people.joints[..., :1, :]
    loaded = knowing(people.keypoints, Camera(people.focal, people.center), lift(truth))
    totals = stretches.measure(config, "oracle", loaded, seen, 50.0, Console(file=io.StringIO()))
    rows = stretches.rows_of("oracle", totals)
    return [row for row in rows if row.subject == "all"]


@pytest.mark.parametrize("focal", [700.0, 2000.0])
@pytest.mark.thorough
def test_networks_see_alike_whatever_the_focal_length_of_the_evaluation(files, focal):
    """One that knows the truth has no error: what it reads has its own focal length, not the evaluation's.
    The weights that ship lift people as well as before the cameras that they know.
    """
    camera = VirtualCamera(focal=(focal, focal), width=int(focal), height=int(focal))
    (row,) = judge_with(lambda truth: truth, files, camera=camera, ratios=(0.0,))
    assert row.pa_mpjpe < 0.01 and row.mpjpe < 0.01

    def shipped(**changes):
        config = config_for(files, detector=SILENT, ratios=(0.0,), **changes)
        people = cut(read_people(config)).items()
        seen = {length: see(config, length, each, 50.0) for length, each in people}
        console = Console(file=io.StringIO())
        totals = stretches.measure(config, "net", checkpoints.load_lifter(), seen, 50.0, console)
        return stretches.rows_of("net", totals)[-1].pa_mpjpe

    known, other = shipped(), shipped(camera=camera)
    assert other == pytest.approx(known, rel=0.01)


def test_a_network_that_knows_the_truth_has_no_error(files):
    visible, joints, body = judge_with(lambda truth: truth, files)
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


def test_each_metric_sees_its_own_error(files):
    visible, *_ = judge_with(lambda truth: 1.1 * truth, files, ratios=(0.0, 0.5))
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


def test_settings_out_of_range_are_refused_first(tmp_path):
    missing = tmp_path / "missing"
    for changes in ({"ratios": (0.5, 1.5)}, {"ratios": ()}, {"kernel_frames": (0,)}, {"batch_people": 0}):
        (name,) = changes
        with pytest.raises(ValueError, match=rf"^{name} is .*give"):
            read_people(config_for(missing, **changes))


def test_data_without_anything_to_judge_is_refused(files, tmp_path):
    training = write(tmp_path / "training.npz", subjects=("16", "35", "36"))
    with pytest.raises(
        ValueError, match=r"training.npz holds no clip of the validation split: name subjects from 16"
    ):
        read_people(config_for(files, data=(training,)))
    short = write(tmp_path / "short.npz", lengths=(19, 10, 30))
    with pytest.raises(ValueError, match=r"short.npz holds no clip of 20 frames among the chosen ones"):
        read_people(config_for(files, data=(short,)))


def test_people_are_cut_into_stretches(monkeypatch):
    monkeypatch.setattr(stretches, "STRETCHES", (30, 10))
    pair = generated.crossing_pair(frames=75, fps=50.0, seed=0)._replace(subject="60+61")
    people = cut([pair])
    assert {length: [label.subject for label, _ in found] for length, found in people.items()} == {
        30: ["60", "60", "61", "61"],
        10: ["60", "61"],
    }
    np.testing.assert_array_equal(people[30][3][1], pair.poses[1, 30:60])
    np.testing.assert_array_equal(people[10][0][1], pair.poses[0, 60:70])
    assert list(cut([pair._replace(poses=pair.poses[:, :15])])) == [10]


def test_conditions_are_the_whole_grid(files):
    config = config_for(files, ratios=(0.0, 0.25, 0.5), kernel_frames=(25, 75))
    found = conditions(config)
    assert len(found) == 1 + 2 * 2 * 2 == len(set(found))
    assert found[0] == ("joints", 0.0, 25)
    assert conditions(dataclasses.replace(config, ratios=(0.5,)))[0] == ("joints", 0.5, 25)


def test_parts_hold_everyone_once():
    parts = list(stretches.parts(5, 2))
    assert [list(part) for part in parts] == [[0, 1], [2, 3], [4, 4]]


def test_errors_are_told_by_the_length_of_the_hidden_run(files, monkeypatch):
    config = config_for(files, detector=SILENT)
    seen = {length: see(config, length, people, 50.0) for length, people in cut(read_people(config)).items()}
    loaded = checkpoints.load_lifter(config.checkpoint[0])
    totals = stretches.measure(config, "random", loaded, seen, 50.0, Console(file=io.StringIO()))
    for index in range(len(totals.conditions)):
        sums = dict(zip(METRICS, totals.sums[index].sum(0), strict=True))
        by_run = np.sum([sums[name] for name in RUNS], axis=0)
        np.testing.assert_allclose(by_run, sums["pa_mpjpe"], rtol=1e-5)
        visible = sums["visible"][1] / sums["pa_mpjpe"][1]
        np.testing.assert_allclose(visible, 1 - sums["hidden"][0] / sums["hidden"][1], atol=1e-6)
