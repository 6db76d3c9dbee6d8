"""Weights learned through the solve: they get nearer to the truth, and the file holds them."""

import dataclasses
import io
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from signals import sender

from experiments import guards, runs, solve_weights
from experiments.fuzzing.damage import outcomes
from experiments.judging.stretches import EvaluateConfig
from experiments.solve_weights import (
    Logarithms,
    Solve,
    TuneConfig,
    load_solve,
    placed_error,
    save_solve,
    solve_of,
    tune,
)
from experiments.training.batches import Batch, Placement, draw_placed_batch, make_bank, read_motion
from gated_lift.cameras import rotation_matrix
from gated_lift.networks import checkpoints
from gated_lift.recovery.observation import turn_to
from gated_lift.skeleton import H36M_17
from solvers import Camera, TrajectoryConfig, project


def test_left_and_right_count_alike_and_the_mean_is_one():
    rng = np.random.default_rng(0)
    logarithms = Logarithms(jnp.float32(1), jnp.float32(-2), jnp.asarray(rng.normal(size=17), jnp.float32))
    solve = solve_of(logarithms)
    np.testing.assert_allclose(solve.confidence[jnp.array(H36M_17.mirror)], solve.confidence)
    np.testing.assert_allclose(np.log(solve.confidence).mean(), 0, atol=1e-6)
    np.testing.assert_allclose(solve.trajectory.velocity_weight, np.e, rtol=1e-6)
    np.testing.assert_allclose(solve.trajectory.acceleration_weight, np.exp(-2), rtol=1e-6)


def test_the_file_holds_the_weights(tmp_path):
    solve = Solve(TrajectoryConfig(velocity_weight=0.5, acceleration_weight=3.0), jnp.linspace(0.5, 2, 17))
    found = load_solve(save_solve(tmp_path / "solve.json", solve))
    np.testing.assert_allclose(found.confidence, solve.confidence)
    assert found.trajectory == solve.trajectory
    (tmp_path / "solve.json").write_text(json.dumps({"velocity_weight": 1.0}))
    with pytest.raises(ValueError, match="does not hold weights of h36m_17"):
        load_solve(tmp_path / "solve.json")
    path = save_solve(tmp_path / "solve.json", solve)
    assert outcomes(lambda: load_solve(path), path, path.read_text(), 300, path) == {"read", "refused"}


TINY = TuneConfig(steps=1, windows=4, frames=40, learning_rate=0.02)


@pytest.fixture(scope="module")
def error_of():
    """The error of a solve on the windows of the first step."""
    loaded = checkpoints.load_lifter(TINY.checkpoint)
    lifter, variables = loaded.network, loaded.variables
    training = TINY.as_training()
    bank = make_bank(read_motion(training))
    key = jax.random.fold_in(jax.random.key(TINY.seed), 0)
    draw = jax.jit(lambda key: draw_placed_batch(key, bank, lifter, training, TINY.windows))
    batch, placement = draw(key)
    poses = jax.jit(lifter.apply)(variables, batch.keypoints, batch.occluded, age=batch.age)
    error = jax.jit(placed_error)
    return lambda solve: float(
        error(
            Logarithms(
                jnp.log(jnp.float32(solve.trajectory.velocity_weight)),
                jnp.log(jnp.float32(solve.trajectory.acceleration_weight)),
                jnp.log(solve.confidence),
            ),
            *(poses, batch, placement, lifter.fps),
        )
    )


def test_confidences_are_equal_where_they_are_not_learned(tmp_path, monkeypatch):
    """Of an error that hangs on all weights, and compiles at once."""

    def error(logarithms, *_):
        return (
            -logarithms.velocity
            - logarithms.acceleration
            + jnp.sum(logarithms.joints * jnp.arange(17.0, dtype=jnp.float32))
        )

    monkeypatch.setattr(solve_weights, "placed_error", error)
    config = dataclasses.replace(TINY, joints=False, output=tmp_path)
    with jax.numpy_dtype_promotion("standard"):
        found = load_solve(tune(config))
    weights = found.trajectory.velocity_weight, found.trajectory.acceleration_weight
    np.testing.assert_allclose(np.log(weights), 0.02, rtol=1e-3)
    np.testing.assert_array_equal(found.confidence, 1)
    assert json.loads((tmp_path / "config.json").read_text())["joints"] is False


def test_a_run_that_was_asked_to_stop_says_what_is_lost(tmp_path, monkeypatch):
    """SIGINT while the numbers of the second step are looked at."""
    shown = jnp.zeros((1, 27, 17))
    batch = Batch(jnp.zeros((*shown.shape, 2)), shown > 0, shown, None, None)
    monkeypatch.setattr(solve_weights, "draw_placed_batch", lambda *_: (batch, None))
    monkeypatch.setattr(solve_weights, "placed_error", lambda logarithms, *_: -logarithms.velocity)
    monkeypatch.setattr(runs, "check_loss", sender(signal.SIGINT, 2))
    console = Console(file=io.StringIO(), width=1000)
    config = dataclasses.replace(TINY, steps=4, output=tmp_path)
    with jax.numpy_dtype_promotion("standard"), pytest.raises(guards.Interrupted) as stopped:
        tune(config, console)
    assert stopped.value.code == 130
    told = "SIGINT: stopped; 2 of 4 steps are lost, and no solve.json was written; the same command begins"
    assert told in console.file.getvalue() and not (tmp_path / "solve.json").exists()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_step_places_its_people_better(tmp_path, error_of):
    """Downhill on its own windows, by the length of a step of Adam; the log holds what was before it."""
    config = dataclasses.replace(TINY, joints=True, output=tmp_path)
    # Optax mixes dtypes itself, which strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"):
        found = load_solve(tune(config))
    before, after = error_of(Solve(TrajectoryConfig(), jnp.ones(17))), error_of(found)
    assert 0 < after < before
    weights = found.trajectory.velocity_weight, found.trajectory.acceleration_weight
    np.testing.assert_allclose(np.abs(np.log(weights)), 0.02, rtol=0.02)  # Adam's epsilon
    logs = np.log(found.confidence)
    assert 0.01 < np.abs(logs).max() < 0.04
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert told.keys() == {"step", "train_root_m", "steps_per_second", "time"} and told["step"] == 1
    assert told["train_root_m"] == pytest.approx(before, rel=1e-3)
    assert EvaluateConfig((), (), solve=tmp_path / "solve.json").solve is not None


def test_settings_out_of_range_are_refused_first(tmp_path):
    for name, value in (("steps", 0), ("windows", 0), ("learning_rate", 0.0), ("seed", -1)):
        with pytest.raises(ValueError, match=f"{name} is {value}: give"):
            tune(TuneConfig(**{name: value}, checkpoint=tmp_path / "none", output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# One program for the error and its slope, of whoever.
error_and_slope = jax.jit(jax.value_and_grad(placed_error))


@pytest.mark.parametrize("unsolved", ["never seen", "behind the camera"])
@pytest.mark.thorough
def test_the_slope_is_that_of_finite_differences_and_who_has_no_path_counts_for_nothing(unsolved):
    """Two people whose lifted wrists are off; one of them cannot be placed."""
    rng = np.random.default_rng(3)
    frames = 12
    poses = jnp.asarray(0.3 * rng.normal(size=(2, frames, 17, 3)), jnp.float32).at[..., 0, :].set(0)
    root = jnp.stack([jnp.linspace(0, 0.5, frames), jnp.zeros(frames), jnp.full(frames, 4.0)], -1)
    root = jnp.broadcast_to(root, (2, frames, 3)).astype(jnp.float32)
    camera = Camera(jnp.full((2, 2), 1100.0), jnp.full((2, 2), 500.0))
    pixels = jax.vmap(project)(poses + root[..., None, :], camera)
    occluded = jnp.zeros(pixels.shape[:-1], bool)
    if unsolved == "never seen":
        occluded = occluded.at[1].set(True)
    else:
        pixels = pixels.at[1].set(1000.0 - pixels[1])
    turn = jnp.broadcast_to(rotation_matrix(jnp.array([0.1, 0.3, 0.0])), (2, frames, 3, 3))
    off = turn_to(poses.at[..., 13, :].add(jnp.array([0.1, 0.05, 0.0])), turn)
    batch = Batch(pixels, occluded, jnp.zeros(occluded.shape), turn_to(poses, turn), jnp.ones((2, frames)))
    placement = Placement(pixels, occluded, root, turn, camera)
    begin = Logarithms(jnp.float32(0), jnp.float32(1), jnp.zeros(17))

    def loss(logs, placement=placement):
        return error_and_slope(logs, off, batch, placement, 50.0)[0]

    value, slopes = error_and_slope(begin, off, batch, placement, 50.0)
    assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)
    # Only the first person counts: the wrist's 11 cm move the root by less.
    assert 0 < float(value) < 0.11
    moved = placement._replace(root=root.at[1].add(100.0))
    assert float(loss(begin, moved)) == pytest.approx(float(value), rel=1e-5)
    step = 0.05
    for name in ("velocity", "acceleration"):
        up, down = (begin._replace(**{name: getattr(begin, name) + side * step}) for side in (1, -1))
        slope = (loss(up) - loss(down)) / (2 * step)
        np.testing.assert_allclose(getattr(slopes, name), slope, rtol=0.05, atol=2e-6)
    bump = step * jnp.eye(17)[13]
    slope = (loss(begin._replace(joints=bump)) - loss(begin._replace(joints=-bump))) / (2 * step)
    np.testing.assert_allclose(slopes.joints[13], slope, rtol=0.05)
