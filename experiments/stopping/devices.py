"""The same steps of a training in float64, on any number of simulated devices."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.stopping.trainings import TRAINING
from experiments.training import batches
from experiments.training.configs import TrainConfig
from experiments.training.loop import (
    OPTIMIZERS,
    State,
    distribute,
    init_state,
    make_lifter,
    make_schedules,
    make_step,
)

# Eight windows a step, so that eight devices have one each; no dropout, whose masks pmap draws for each
# device.
SHARED = dataclasses.replace(TRAINING, batch_frames=128)
SHARED_STEPS = 20


def in_double(tree: Any) -> Any:
    """The same arrays with their floating-point numbers as float64."""

    def double(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(double, tree)


def take_steps(config: TrainConfig, count: int, path: Path) -> None:
    """Takes steps in float64 on ``count`` simulated devices, in a process whose JAX has not started, and
    saves weights, statistics, moments and every step's numbers.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={count}"
    os.environ["NPROC"] = "64"  # devices that wait for each other need a thread each
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    lifter = make_lifter(config)
    bank: Any = batches.make_bank(batches.read_motion(config))
    _, _, learning_rate, batch_norm_rate = make_schedules(config, len(bank.first))
    optimizer = OPTIMIZERS[config.optimizer](learning_rate)
    state = init_state(config, lifter, optimizer)
    variables = in_double(state.variables)
    state = State(state.step, variables, optimizer.init(variables["params"]))

    def make(**settings: Any) -> Callable:
        return make_step(config, lifter, optimizer, batch_norm_rate, **settings)

    step, state, bank, one_copy = distribute(config, make, state, in_double(bank))
    told = []
    for _ in range(SHARED_STEPS):
        state, metrics = step(state, bank)
        told.append(one_copy(metrics))
    np.savez(path, *jax.tree.leaves((one_copy(state), told)))
