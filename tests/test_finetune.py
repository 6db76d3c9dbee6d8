"""Gradients through the solve: they lower absolute errors, and people without an answer do not spoil them."""

import dataclasses
import functools
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables
from rich.console import Console

from experiments import finetune
from experiments.finetune import FinetuneConfig
from experiments.training.batches import Batch, Placement
from gated_lift.cameras import normalize_screen
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
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
    nearly.
    """
    before, after = LIFTER.padding
    frames = before + FRAMES + after
    poses = generated.crossing_pair(frames=2 * frames, fps=50.0, seed=0).poses
    world = np.concatenate([poses[:, :frames], poses[:, frames:]])
    # World z is up; this camera looks along y.
    joints = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1)
    joints = jnp.asarray(joints - joints[:, :1, :1] + np.float32([0, 0, 5]))
    camera = Camera(jnp.full((PEOPLE, 2), 1145.0), jnp.full((PEOPLE, 2), 500.0))
    keypoints = normalize_screen(jax.vmap(project)(joints, camera), 1000, 1000)
    keypoints = keypoints.at[BEHIND].multiply(-1)
    occluded = jnp.zeros(keypoints.shape[:-1], bool).at[HIDDEN].set(True).at[0, before + 2].set(True)
    truth = joints[:, before : before + FRAMES]
    root = truth[..., 0, :]
    target = truth - root[..., None, :]
    # The first person's clip ends a frame early.
    weight = jnp.ones((PEOPLE, FRAMES)).at[0, -1].set(0)
    batch = Batch(keypoints, occluded, jnp.zeros(occluded.shape), target, weight)

    shapes = jax.eval_shape(LIFTER.init, jax.random.key(0), keypoints, occluded)
    variables = random_variables(shapes, seed=1)
    head = variables["params"]["head"]
    head["kernel"] = 0.002 * head["kernel"]
    head["bias"] = np.asarray(0.9 * target[:2].mean(axis=(0, 1))).reshape(-1)
    return jax.tree.map(jnp.asarray, variables), batch, Placement(root, camera)


@functools.cache
def differentiate():
    loss = finetune.make_loss(CONFIG, LIFTER, scene()[0]["batch_stats"])
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


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
    monkeypatch.setattr(finetune, "draw_placed_batch", lambda *_: (batch, placement))

    def place(poses, batch, placement, *_):
        return finetune.Placed(poses + placement.root[..., None, :], jnp.ones(PEOPLE, bool))

    monkeypatch.setattr(finetune, "place", place)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", "strict")


def test_a_run_writes_what_evaluate_reads(surroundings, tmp_path):
    variables, _, _ = scene()
    description = {"network": checkpoints.describe_lifter(LIFTER), "licences": ["free"]}
    checkpoints.save(tmp_path / "start", 7, variables, description)
    config = dataclasses.replace(
        CONFIG, checkpoint=tmp_path / "start", loss="relative", learning_rate=1e-3, output=tmp_path / "run"
    )
    console = Console(file=io.StringIO())
    folder = finetune.finetune(config, console)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4] and log[-1]["loss"] < log[0]["loss"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["loss"] == "relative"
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    lifter, trained, told, _ = checkpoints.load_lifter(folder)
    assert checkpoints.newest_step(folder) == 4 and lifter.channels == 8 and "free" in told["licences"]
    jax.tree.map(np.testing.assert_array_equal, trained["batch_stats"], variables["batch_stats"])
    assert not np.array_equal(trained["params"]["head"]["bias"], variables["params"]["head"]["bias"])
    with pytest.raises(ValueError, match="holds a finished or stopped run: choose another folder"):
        finetune.finetune(config, console)


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
