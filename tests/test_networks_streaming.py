"""A causal network frame by frame, against the same network on whole clips."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables

from gated_lift.networks import weights
from gated_lift.networks.checkpoints import load_lifter
from gated_lift.networks.protocol import Hints, lift_clip, readable
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.streaming import check_streaming, fold, start_network, step_averaged
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.skeleton import H36M_17

CAUSAL = partial(TemporalLifter, channels=8, causal=True)
NETWORKS = {
    "gated": CAUSAL(
        *("two_stream",),
        filter_widths=(3, 5),
        mask_channels="age",
        gate_residual=True,
        tilt=True,
        confidence=True,
    ),
    "one stream": CAUSAL("single_stream", filter_widths=(3, 3, 3), fill="zero", framing="person"),
    "plain": CAUSAL("none", filter_widths=(5,), fade_seconds=(0.1,)),
}


def randomised(network):
    shapes = jax.eval_shape(
        network.init,
        jax.random.key(0),
        jnp.zeros((1, network.receptive_field, 17, 2)),
        jnp.zeros((1, network.receptive_field, 17), bool),
    )
    return random_variables(shapes, seed=1)


def clip(frames, people=2):
    rng = np.random.default_rng(0)
    keypoints = 0.3 * rng.normal(size=(people, frames, 17, 2)).astype(np.float32)
    occluded = rng.random((people, frames, 17)) < 0.3
    age = np.where(occluded, rng.uniform(0, 2, occluded.shape), 0).astype(np.float32)
    up, doubt = rng.normal(size=(people, frames, 3)), rng.random(occluded.shape)
    return keypoints, occluded, age, up.astype(np.float32), doubt.astype(np.float32)


def stream(network, variables, arrays):
    """The answers of every frame, each of them after one that did not stay."""
    folded = fold(network, variables)
    people, frames = arrays[1].shape[:2]
    state, answers = start_network(network, folded, 2 * people), []
    step = jax.jit(
        lambda folded, state, frame, started, kept: step_averaged(
            *(network, folded, state, *frame[:3], started, kept, H36M_17, True),
            readable(network, Hints(*frame[3:])),
        )
    )
    started = np.zeros(people, bool)
    for t in range(frames):
        guess = tuple(values[:, (7 * t) % frames] for values in arrays)
        state, _ = step(folded, state, guess, started, False)
        state, answer = step(folded, state, tuple(values[:, t] for values in arrays), started, True)
        started = np.ones(people, bool)
        answers.append(np.asarray(answer))
    return np.stack(answers, axis=1)


def whole(network, variables, arrays):
    lift = jax.jit(
        lambda *each: lift_clip(network, variables, *each[:2], H36M_17, True, each[2], None, Hints(*each[3:]))
    )
    return np.asarray(lift(*map(jnp.asarray, arrays)))


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_frame_by_frame_is_the_whole_clip(kind):
    """From the first frame on, and for longer than a receptive field."""
    network = NETWORKS[kind]
    variables, arrays = randomised(network), clip(40)
    # A clip goes on from its first frame as if that had stood still: so had its gaps.
    arrays[2][:, 0] = np.where(arrays[1][:, 0], 2, 0)
    expected = whole(network, variables, arrays)
    assert np.abs(np.diff(expected, axis=1)).max() > 0.1
    np.testing.assert_allclose(stream(network, variables, arrays), expected, atol=1e-5)


@pytest.mark.skipif("causal" not in weights.SHIPPED, reason="no causal weights ship")
def test_the_weights_that_ship_are_for_a_stream():
    lifter = load_lifter("causal")
    check_streaming(lifter.network)
    arrays = clip(40, people=1)
    arrays[2][:, 0] = np.where(arrays[1][:, 0], 2, 0)
    expected = whole(lifter.network, lifter.variables, arrays)
    np.testing.assert_allclose(stream(lifter.network, lifter.variables, arrays), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (TemporalLifter(), "a network that reads later frames"),
        (TemporalLifter(causal=True, target="root"), "a network of roots"),
        (SequenceLifter(), "SequenceLifter"),
    ],
)
def test_others_are_refused(network, what):
    with pytest.raises(ValueError, match=f"lifter has {what}: a stream needs a causal TemporalLifter"):
        check_streaming(network)
