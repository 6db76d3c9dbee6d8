"""Random clips, and variables without values, for tests of networks that lift windows of fixed length."""

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift import occlusion
from gated_lift.networks import protocol

# Jitted: eager code is a program for every operation.
fill_gaps = jax.jit(occlusion.fill_gaps)
mirror = jax.jit(protocol.mirror, static_argnums=1)
mirror_mask = jax.jit(protocol.mirror_mask, static_argnums=1)


def clip(frames, seed=0, batch=2, hidden=0.3):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-1, 1, (batch, frames, 17, 2)).astype(np.float32)
    return jnp.asarray(keypoints), jnp.asarray(rng.random((batch, frames, 17)) < hidden)


def abstract(lifter):
    shape = (1, lifter.window, 17)
    return jax.eval_shape(
        lambda: lifter.init(jax.random.key(0), jnp.zeros((*shape, 2)), jnp.zeros(shape, bool))
    )
