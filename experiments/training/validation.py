"""How well a network that is being trained does on a few windows that stay the same all along.

They are drawn once, with a key that no step has and no seed changes, in views, masks and detectors of the
training's distribution. The people are those of ``exclude_subjects``, whom training does not see; without
any, they are the training people in other views, which tells one run's weights from another's and says
nothing about over-fitting. The validation split, on which results are judged, is never read here.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.draws import named_key
from experiments.training.batches import Bank, Batch, draw_batch
from experiments.training.configs import TrainConfig
from gated_lift.metrics import mpjpe
from gated_lift.networks.protocol import told
from gated_lift.recovery.sharing import share_rows


def make_validation(config: TrainConfig, lifter: Any, bank: Bank) -> Callable[[Any], float]:
    """(variables) -> MPJPE in metres on ``config.validation_windows`` windows of the people in ``bank``. The
    devices of the process share the windows; of several processes that train together, each takes them all.
    """
    windows = config.validation_windows
    draw = jax.jit(lambda key, bank: draw_batch(key, bank, lifter, config, windows))
    batch = jax.tree.map(np.asarray, draw(named_key(jax.random.key(0), "validation"), bank))
    form = lifter.training_form(config.chunk_frames, config.chunk_stride)

    @share_rows
    def errors(options: None, variables: Any, batch: Batch) -> jax.Array:
        hints = told(batch.hints)
        poses = lifter.apply(variables, batch.keypoints, batch.occluded, age=batch.age, **hints, **form)
        return mpjpe(poses, batch.target).mean(-1)

    def validate(variables: Any) -> float:
        # Averaged in double precision: the value decides which weights are kept as the best.
        return float(np.average(np.asarray(errors(None, variables, batch), np.float64), weights=batch.weight))

    return validate
