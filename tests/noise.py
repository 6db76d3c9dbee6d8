"""A batch of noise, for tests of the trainer to which it does not matter what a step sees."""

import jax
import jax.numpy as jnp

from experiments.training import batches


def noise(key, bank, lifter, config, size):
    """Stands in for `draw_batch`, which takes long to compile."""
    frames = sum(lifter.padding) + config.chunk_frames
    target = jax.random.normal(key, (size, config.chunk_frames, 17, 3))
    hidden = jnp.zeros((size, frames, 17), bool)
    age = jnp.zeros(hidden.shape)
    return batches.Batch(jnp.ones((size, frames, 17, 2)), hidden, age, target, jnp.ones(target.shape[:2]))
