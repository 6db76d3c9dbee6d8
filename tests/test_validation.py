"""The windows that a network is judged on while it is trained."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import TINY
from noise import noise

from experiments.training import validation


def test_windows_stay_the_same_and_frames_beyond_a_clip_do_not_count(monkeypatch):
    drawn = []

    def half(key, bank, lifter, config, size):
        batch = noise(key, bank, lifter, config, size)
        target = batch.target.at[:, 4:].set(99.0)
        drawn.append((size, bank))
        return batch._replace(target=target, weight=batch.weight.at[:, 4:].set(0))

    monkeypatch.setattr(validation, "draw_batch", half)
    lifter = SimpleNamespace(
        padding=(0, 0),
        training_form=lambda frames, stride: {"outputs": frames},
        apply=lambda variables, keypoints, occluded, age, outputs: (
            jnp.zeros((len(keypoints), outputs, 17, 3)) + variables
        ),
    )
    errors = []
    for seed in (0, 1):
        config = dataclasses.replace(TINY, validation_windows=3, chunk_frames=8, seed=seed)
        validate = validation.make_validation(config, lifter, None)
        errors.append([validate(jnp.array(shift)) for shift in (0.0, 1.0)])
    assert errors[0] == errors[1] and {size for size, _ in drawn} == {3}
    # The mean length of a vector of three normal numbers is 1.6.
    assert errors[0][0] == pytest.approx(np.sqrt(8 / np.pi), rel=0.1) and errors[0][1] > errors[0][0]
