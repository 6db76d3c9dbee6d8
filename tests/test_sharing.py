"""Rows that devices share: on one device here, on four in a process that `test_loop` starts."""

import dataclasses
import io
import tempfile
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from drawn import TINY
from judged import LENGTH, config_for, write_files
from noise import noise
from rich.console import Console

from experiments.judging import stretches
from experiments.training import validation
from gated_lift import pipeline
from gated_lift.networks import checkpoints
from gated_lift.recovery import sharing
from solvers import TrajectorySolution


@sharing.share_rows
def counted(options, whole, rows):
    """Every row's number of companions on its device, and the row times ``options`` plus ``whole``."""
    return jnp.full(len(rows), len(rows)), options * rows + whole


def test_one_device_has_all_rows():
    rows = np.arange(10.0, dtype=np.float32).reshape(5, 2)
    companions, values = counted(2, jnp.float32(1), rows)
    np.testing.assert_array_equal(companions, 5)
    np.testing.assert_array_equal(values, 2 * rows + 1)


def test_the_last_row_is_repeated():
    rows = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(sharing._repeat_last(rows, 2), [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]])
    assert sharing._repeat_last(rows, 0) is rows


def in_the_middle(poses, keypoints, occluded, camera, config, **_):
    """Takes the place of the solve, which takes most of the time of compiling: everybody four metres away
    where their keypoints are.
    """
    del occluded, config
    offset = (jnp.mean(keypoints, 2) - camera.center[:, None]) / camera.focal[:, None]
    root = 4.0 * jnp.concatenate([offset, jnp.ones_like(offset[..., :1])], -1) + poses[:, :, 3]
    zeros = jnp.zeros(root.shape[:2])
    status = jnp.zeros(len(root), jnp.int32)
    told = {"cost": zeros[:, 0], "num_steps": status, "residual": zeros, "covariance": None}
    return TrajectorySolution(root=root, status=status, **told)


def judged(folder):
    """Every metric of every subject under every condition, in mm, of people in parts of five."""
    config = config_for(folder, batch_people=5)
    pieces = stretches.cut(stretches.read_people(config))
    seen = {length: stretches.see(config, length, each, 50.0) for length, each in pieces.items()}
    loaded = checkpoints.load_lifter(config.checkpoint[0])
    totals = stretches.measure(config, "random", loaded, seen, 50.0, Console(file=io.StringIO()))
    return np.array([row[6:] for row in stretches.rows_of("random", totals)])


def validated():
    """What a network that says nothing is off, on six windows of noise."""
    lifter = SimpleNamespace(
        padding=(0, 0),
        training_form=lambda frames, stride: {"outputs": frames},
        apply=lambda variables, keypoints, occluded, age, outputs: (
            jnp.zeros((len(keypoints), outputs, 17, 3)) + variables
        ),
    )
    config = dataclasses.replace(TINY, validation_windows=6, chunk_frames=8)
    return validation.make_validation(config, lifter, None)(jnp.ones(3))


def check_four_devices_judge_as_one():
    """For a process with four devices, in which `test_loop` looks at training and lifting too. In float32
    errors agree to a micrometre or five millionths, whichever is more.
    """
    assert jax.local_device_count() == 4
    pipeline.solve_trajectory = in_the_middle
    rows = np.arange(10.0, dtype=np.float32).reshape(5, 2)
    companions, values = counted(2, jnp.float32(1), rows)
    np.testing.assert_array_equal(companions, 2)
    np.testing.assert_array_equal(values, 2 * rows + 1)
    stretches.STRETCHES = (LENGTH,)
    validation.draw_batch = noise
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder))
        shared = judged(files), validated()
        sharing.sharers = lambda rows: 1
        np.testing.assert_array_equal(counted(2, jnp.float32(1), rows)[0], 5)
        alone = judged(files), validated()
    assert shared[0].shape == (9, 11) and np.isfinite(shared[0]).sum() > 80
    np.testing.assert_allclose(shared[0], alone[0], rtol=5e-6, atol=1e-3)
    np.testing.assert_allclose(shared[1], alone[1], rtol=1e-6)
