"""Gradients through the solve: they lower absolute errors, and people without an answer do not spoil them."""

import dataclasses
import functools
import io
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lifter_oracle import random_variables
from rich.console import Console
from signals import sender

from experiments import finetune, guards, runs
from experiments.finetune import FinetuneConfig
from experiments.training.batches import Batch, Placement
from gated_lift.cameras import rotation_matrix, screen_focal
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.recovery.observation import turn_back, turn_to
from gated_lift.synthetic import generated
from solvers import Camera, project

PEOPLE, FRAMES = 4, 8
HIDDEN, BEHIND = 2, 3
LIFTER = TemporalLifter(channels=8, filter_widths=(3,), dropout=0.0, framing="person")
CONFIG = FinetuneConfig(
    steps=4, warmup_steps=1, windows=PEOPLE, frames=FRAMES, log_every=1, checkpoint_every=2
)


@functools.cache
def scene():
    """Four people five metres away: two who can be placed, one never visible, one whose keypoints stand on
    their heads, which fits somebody behind the camera. And a lifter that gives everybody the same pose,
    nearly, in axes that are turned by a fifth of a radian from those of the camera.
    """
    before, after = LIFTER.padding
    frames = before + FRAMES + after
    poses = generated.crossing_pair(frames=2 * frames, fps=50.0, seed=0).poses
    world = np.concatenate([poses[:, :frames], poses[:, frames:]])
    # World z is up; this camera looks along y.
    joints = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1)
    joints = jnp.asarray(joints - joints[:, :1, :1] + np.float32([0, 0, 5]))
    camera = Camera(jnp.full((PEOPLE, 2), 1145.0), jnp.full((PEOPLE, 2), 500.0))
    center = jnp.full((PEOPLE, 1, 1, 2), 500.0)
    pixels = jax.vmap(project)(joints, camera)
    pixels = pixels.at[BEHIND].set(1000.0 - pixels[BEHIND])
    keypoints = screen_focal() * (pixels - center) / 1145.0
    occluded = jnp.zeros(keypoints.shape[:-1], bool).at[HIDDEN].set(True).at[0, before + 2].set(True)
    inside = slice(before, before + FRAMES)
    truth = joints[:, inside]
    root = truth[..., 0, :]
    turn = jnp.broadcast_to(rotation_matrix(jnp.array([0.0, 0.2, 0.0])), (PEOPLE, FRAMES, 3, 3))
    target = turn_to(truth - root[..., None, :], turn)
    # The first person's clip ends a frame early.
    weight = jnp.ones((PEOPLE, FRAMES)).at[0, -1].set(0)
    batch = Batch(keypoints, occluded, jnp.zeros(occluded.shape), target, weight)
    hidden = occluded[:, inside] | (weight == 0)[..., None]
    placement = Placement(pixels[:, inside], hidden, root, turn, camera)

    shapes = jax.eval_shape(LIFTER.init, jax.random.key(0), keypoints, occluded)
    variables = random_variables(shapes, seed=1)
    head = variables["params"]["head"]
    head["kernel"] = 0.002 * head["kernel"]
    head["bias"] = np.asarray(0.9 * target[:2].mean(axis=(0, 1))).reshape(-1)
    return jax.tree.map(jnp.asarray, variables), batch, placement


@functools.cache
def differentiate():
    loss = finetune.make_loss(CONFIG, LIFTER, scene()[0]["batch_stats"])
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


@pytest.mark.thorough
def test_gradients_are_finite_beside_people_without_an_answer():
    variables, batch, placement = scene()
    (value, metrics), gradient = differentiate()(variables["params"], batch, placement)
    assert float(metrics["unsolved"]) == 0.5
    assert np.isfinite(value) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    # It is those two: where they stand is in neither the loss nor its gradient.
    far = placement._replace(root=placement.root.at[jnp.array([HIDDEN, BEHIND])].add(100.0))
    (moved, _), unmoved = differentiate()(variables["params"], batch, far)
    np.testing.assert_array_equal(value, moved)
    jax.tree.map(np.testing.assert_array_equal, gradient, unmoved)


def test_steps_along_the_gradient_lower_the_absolute_error():
    variables, batch, placement = scene()
    params, errors = variables["params"], []
    for _ in range(6):
        (_, metrics), gradient = differentiate()(params, batch, placement)
        errors.append(float(metrics["train_absolute_m"]))
        params = jax.tree.map(lambda leaf, slope: leaf - 0.02 * slope, params, gradient)
    assert errors[-1] < 0.8 * errors[0]


@pytest.fixture
def surroundings(monkeypatch):
    """One batch instead of drawn ones, and no solve: neither is what the run is tested for here. Optax's
    schedules mix dtypes, which strict promotion would refuse.
    """
    _, batch, placement = scene()
    asked = []
    monkeypatch.setattr(
        finetune, "draw_placed_batch", lambda *args: asked.append(args[5:]) or (batch, placement)
    )

    def place(poses, placement, *_):
        joints = turn_back(poses, placement.turn) + placement.root[..., None, :]
        return finetune.Placed(joints, jnp.ones(PEOPLE, bool))

    monkeypatch.setattr(finetune, "place", place)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield asked
    jax.config.update("jax_numpy_dtype_promotion", "strict")


def write_start(folder):
    """A checkpoint to begin with."""
    variables, _, _ = scene()
    description = {"network": checkpoints.describe_lifter(LIFTER), "licences": ["free"]}
    description["view"] = {"focal": 3.25, "turned": False}
    checkpoints.save(folder / "start", 7, variables, description)
    return variables


def test_a_run_writes_what_evaluate_reads(surroundings, tmp_path):
    variables = write_start(tmp_path)
    config = dataclasses.replace(
        CONFIG, checkpoint=tmp_path / "start", loss="relative", learning_rate=1e-3, output=tmp_path / "run"
    )
    console = Console(file=io.StringIO())
    folder = finetune.finetune(config, console)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4] and log[-1]["loss"] < log[0]["loss"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["loss"] == "relative"
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    loaded = checkpoints.load_lifter(folder)
    trained = loaded.variables
    assert loaded.step == 4 and loaded.network == LIFTER and "free" in loaded.description["licences"]
    # It goes on as it began: the windows are shown to it as it was trained to see people.
    assert (loaded.focal, loaded.turned) == (3.25, False) and surroundings == [(3.25, False)]
    jax.tree.map(np.testing.assert_array_equal, trained["batch_stats"], variables["batch_stats"])
    assert not np.array_equal(trained["params"]["head"]["bias"], variables["params"]["head"]["bias"])
    with pytest.raises(
        ValueError, match="holds a finished or stopped run: add --resume or choose another folder"
    ):
        finetune.finetune(config, console)


def test_a_run_that_was_asked_to_stop_goes_on_bit_for_bit(surroundings, tmp_path, monkeypatch):
    """SIGTERM while the numbers of the second step are looked at: it or the next one is saved."""
    write_start(tmp_path)
    config = dataclasses.replace(
        CONFIG, checkpoint=tmp_path / "start", checkpoint_every=4, output=tmp_path / "unbroken"
    )
    console = Console(file=io.StringIO(), width=1000)
    finetune.finetune(config, console)
    stopped = dataclasses.replace(config, output=tmp_path / "stopped")
    folder = stopped.output / "checkpoints"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "check_loss", sender(signal.SIGTERM, 2))
        with pytest.raises(guards.Interrupted) as left:
            finetune.finetune(stopped, console)
    assert left.value.code == 0 and checkpoints.newest_step(folder) == 3
    told = f"SIGTERM: stopped; step 3 of 4 is saved in {folder}; the same command with --resume goes on"
    assert told in console.file.getvalue()
    again = dataclasses.replace(stopped, resume=True)
    with guards.only_run(stopped.output), pytest.raises(ValueError, match="written by another run"):
        finetune.finetune(again, console)
    with pytest.raises(ValueError, match="another learning_rate: resume with the settings of that file"):
        finetune.finetune(dataclasses.replace(again, learning_rate=1.0), console)
    finetune.finetune(again, console)
    log = [json.loads(line) for line in (stopped.output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    moments = optax.amsgrad(lambda step: 1e-3).init(scene()[0]["params"])
    first, second = (
        checkpoints.restore_training(run.output / "checkpoints", LIFTER, moments) for run in (config, again)
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_network_of_another_frame_rate_is_refused(tmp_path):
    variables, _, _ = scene()
    slow = {"network": checkpoints.describe_lifter(LIFTER.clone(fps=25.0))}
    checkpoints.save(tmp_path / "slow", 1, variables, slow)
    config = dataclasses.replace(CONFIG, checkpoint=tmp_path / "slow", output=tmp_path / "run")
    with pytest.raises(ValueError, match="a network for 25 frames/s, training runs at 50"):
        finetune.finetune(config)
    assert not config.output.exists()


def test_what_cannot_be_done_is_told_on_one_line(tmp_path, monkeypatch, capsys):
    arguments = ["finetune", "--checkpoint", str(tmp_path / "none"), "--output", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as left:
        finetune.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and line.startswith(f"finetune: checkpoint {tmp_path / 'none'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "steps is 0: give a whole number, 1 or more"),
        ({"loss": "both"}, "loss is both: choose one of absolute, relative"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: give a finite number above 0"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
        ({"absolute_weight": -1.0}, "absolute_weight is -1.0: give zero or more"),
    ],
)
def test_settings_out_of_range_are_refused_first(changes, match, tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint=tmp_path / "none", output=tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=match):
        finetune.finetune(config)
    assert not config.output.exists()
