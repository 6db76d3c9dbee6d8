"""A small configuration, two people who cross, and windows drawn of them, for tests of training."""

import dataclasses
import functools

import jax
import numpy as np

from experiments.training import batches, loop
from experiments.training.configs import OURS, SMOKE
from gated_lift.occlusion import MaskDistribution
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

UNMASKED = MaskDistribution(masked_share=0.0, kernel_frames=(1,))
TINY = dataclasses.replace(
    SMOKE,
    network=OURS.replace(channels=8, filter_widths=(3, 3)),
    masks=MaskDistribution(1.0, (0.5, 0.5), (5,), 0.0),
    epochs=12,
    batch_frames=64,
    chunk_frames=16,
    context_frames=6,
    checkpoint_every=5,
    log_every=2,
    validation_windows=0,
    time_drawing=False,
)
CLIP = generated.crossing_pair(frames=32, fps=batches.FPS, seed=0)


def make_bank():
    """Two people over 32 frames and over 10, the left forearm of each twice as long as the right."""
    poses = CLIP.poses.copy()
    wrist, elbow = (H36M_17.names.index(f"left_{joint}") for joint in ("wrist", "elbow"))
    poses[:, :, wrist] += poses[:, :, wrist] - poses[:, :, elbow]
    return batches.make_bank((CLIP._replace(poses=poses), CLIP._replace(poses=poses[:, :10])))


@functools.cache
def drawing(config):
    """The program that draws 256 windows and where their people stand, compiled once for all seeds."""
    lifter = loop.make_lifter(config)
    return jax.jit(lambda key, bank: batches.draw_placed_batch(key, bank, lifter, config, 256))


@functools.cache
def draw_placed(config=TINY, seed=0):
    """256 windows and where their people stand, in NumPy."""
    return jax.tree.map(np.asarray, drawing(config)(jax.random.key(seed), make_bank()))


def draw(config=TINY, seed=0):
    return draw_placed(config, seed)[0]
