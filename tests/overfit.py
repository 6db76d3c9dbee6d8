"""Eight clips that a network should learn by heart, and the training step that teaches it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.training import batches, loop
from gated_lift.cameras import screen_focal
from gated_lift.synthetic import generated

CLIPS = 8


def eight_clips(lifter, outputs):
    """A `batches.Batch` of clips of two walking people, seen without noise or gaps from about five metres."""
    before, after = lifter.padding
    frames = before + outputs + after
    poses = generated.crossing_pair(frames=4 * frames, fps=50.0, seed=0).poses
    world = poses.reshape(CLIPS, frames, 17, 3)
    relative = (world - world[:, :, :1])[..., [0, 2, 1]] * [1, -1, 1]  # x right, y down, z forward
    rng = np.random.default_rng(0)
    root = rng.uniform([-1, -0.3, 3], [1, 0.3, 7], (CLIPS, 1, 3)) + 0.01 * np.arange(frames)[None, :, None]
    joints = relative + root[:, :, None]
    keypoints = screen_focal() * joints[..., :2] / joints[..., 2:]
    seen = np.zeros(keypoints.shape[:-1], bool)
    answers = root[:, :, None] if lifter.target == "root" else relative
    answers = answers[:, before : before + outputs]
    return batches.Batch(
        jnp.asarray(keypoints, jnp.float32),
        jnp.asarray(seen),
        jnp.zeros(seen.shape),
        jnp.asarray(answers, jnp.float32),
        jnp.ones(answers.shape[:2]),
    )


def learn(config, steps, rate, monkeypatch):
    """Errors in metres at the first and after the last of some training steps on eight clips."""
    config = dataclasses.replace(config, batch_frames=CLIPS * config.chunk_frames)
    lifter = loop.make_lifter(config)
    batch = eight_clips(lifter, config.chunk_frames)
    monkeypatch.setattr(loop, "draw_batch", lambda *_: batch)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes itself
        optimizer = loop.OPTIMIZERS[config.optimizer](optax.constant_schedule(rate))
        state = jax.jit(lambda: loop.init_state(config, lifter, optimizer))()
        state = loop.set_statistics(state, config, lifter, None)
        step = jax.jit(loop.make_step(config, lifter, optimizer, lambda step: 0.1 + 0.0 * step))
        errors = []
        for _ in range(steps):
            state, metrics = step(state, None)
            errors.append(float(metrics["train_mpjpe_m"]))
    return errors[0], errors[-1]
