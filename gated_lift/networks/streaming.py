"""A causal network one frame at a time: every layer keeps the frames of its input that it still needs.

A filter of width w and dilation d reads (w − 1) d + 1 frames of its input, at w places of a ring buffer, so
that a frame costs one product of a vector and a matrix a layer, whatever the receptive field:

    offline   x₀ x₁ x₂ x₃ x₄ x₅ x₆         ring of 7 frames   x₇ x₁ x₂ x₃ x₄ x₅ x₆
              ^        ^        ^  → y₆                       ^  ^        ^           → y₇
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gated_lift.networks.layers import NORM_EPSILON
from gated_lift.networks.protocol import Hints, mirror, mirror_hints, mirror_mask, mirror_target
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.skeleton import Skeleton


class Folded(NamedTuple):
    """A convolution with the batch normalisation behind it, y = [x_{t−(w−1)d} … x_t] kernel + offset."""

    kernel: Float[Array, "taps_inputs outputs"]
    offset: Float[Array, " outputs"]


class NetworkState(NamedTuple):
    """What the layers keep of people's earlier frames.

    place: where the next frame is written, counted modulo a multiple of all the rings' lengths.
    features: one ring (B, frames, channels) for each layer with a filter. gates: likewise for two streams,
    otherwise empty.
    """

    place: Int[Array, ""]
    features: tuple[Array, ...]
    gates: tuple[Array, ...]


def check_streaming(network: Any) -> None:
    """Raises ValueError unless a network can be asked frame by frame."""
    if not isinstance(network, TemporalLifter) or not network.causal or network.target != "pose":
        what = type(network).__name__
        if isinstance(network, TemporalLifter):
            what = "a network of roots" if network.target != "pose" else "a network that reads later frames"
        raise ValueError(
            f"lifter has {what}: a stream needs a causal TemporalLifter with poses, such as the weights "
            'load_lifter("causal"), or those of python -m experiments.train causal'
        )


def fold(network: TemporalLifter, variables: Any) -> dict[str, Folded]:
    """The network's layers by name, ``NAME/feature`` and ``NAME/gate``, and its ``head``."""
    variables, folded = jax.tree.map(jnp.asarray, variables), {}
    for name, layer in variables["params"].items():
        if name == "head":
            folded[name] = Folded(layer["kernel"], layer["bias"])
            continue
        for stream, part in layer.items():
            statistics = variables["batch_stats"][name][stream]["norm"]
            gain = part["norm"]["scale"] / jnp.sqrt(statistics["var"] + NORM_EPSILON)
            kernel = part["convolution"]["kernel"]
            kernel = kernel.reshape(-1, kernel.shape[-1]) * gain[None]
            folded[f"{name}/{stream}"] = Folded(kernel, part["norm"]["bias"] - statistics["mean"] * gain)
    return folded


def start_network(network: TemporalLifter, folded: dict[str, Folded], count: int) -> NetworkState:
    """The state before the first frame of ``count`` people, mirror images included."""
    width = network.filter_widths[0]

    def rings(stream: str) -> tuple[Array, ...]:
        first, dtype = folded[f"expand/{stream}"].kernel.shape[0] // width, folded["head"].kernel.dtype
        channels = [first, *[network.channels] * (len(network.filter_widths) - 1)]
        return tuple(
            jnp.zeros((count, frames, each), dtype)
            for frames, each in zip(_lengths(network), channels, strict=True)
        )

    gates = rings("gate") if network.gating == "two_stream" else ()
    return NetworkState(jnp.zeros((), jnp.int32), rings("feature"), gates)


def step_network(
    network: TemporalLifter,
    folded: dict[str, Folded],
    state: NetworkState,
    keypoints: Float[Array, "B J 2"],
    occluded: Bool[Array, "B J"],
    age: Float[Array, "B J"],
    started: Bool[Array, " B"],
    kept: Any,
    hints: Hints = Hints(),
) -> tuple[NetworkState, Float[Array, "B N 3"]]:
    """What `TemporalLifter.lift_frames` answers for the newest frame.

    keypoints, occluded, age: one frame as `observation.observe` makes it, gaps filled. started: who had a
    frame before; for the others this one is repeated before the first, as the offline padding does.
    kept: whether the frame goes into the state, perhaps traced; where not, the next one takes its place.
    hints: of one frame too, (B, 3) and (B, J).
    """
    of_one = jax.tree.map(lambda hint: hint[:, None], hints)
    inputs = network.inputs(keypoints[:, None], occluded[:, None], age[:, None], of_one)
    features, gates = (each[:, 0] for each in inputs)
    new_features, new_gates = [], []

    def layer(
        features: Array, gates: Array, feature_taps: Array, gate_taps: Array | None, name: str
    ) -> tuple[Array, Array]:
        outputs = jax.nn.relu(_apply(folded[f"{name}/feature"], feature_taps))
        if network.gating == "single_stream":
            outputs = outputs * jax.nn.sigmoid(_apply(folded[f"{name}/gate"], feature_taps))
        elif network.gating == "two_stream":
            assert gate_taps is not None
            gates = jax.nn.sigmoid(_apply(folded[f"{name}/gate"], gate_taps))
            outputs = outputs * gates
        return outputs, gates

    dilation = 1
    for index, width in enumerate(network.filter_widths):
        skipped, skipped_gates = features, gates
        ring, feature_taps = _read(state.features[index], state.place, features, started, width, dilation)
        new_features.append(ring)
        gate_taps = None
        if network.gating == "two_stream":
            ring, gate_taps = _read(state.gates[index], state.place, gates, started, width, dilation)
            new_gates.append(ring)
        name = "expand" if index == 0 else f"block{index - 1}_dilated"
        features, gates = layer(features, gates, feature_taps, gate_taps, name)
        if index:
            features, gates = layer(features, gates, features, gates, f"block{index - 1}_mix")
            features = features + skipped
            if network.gate_residual and network.gating == "two_stream":
                gates = gates + skipped_gates
        dilation *= width
    answers = _apply(folded["head"], features)
    place = (state.place + jnp.asarray(kept, jnp.int32)) % math.lcm(*_lengths(network))
    return NetworkState(place, tuple(new_features), tuple(new_gates)), answers.reshape(len(answers), -1, 3)


def step_averaged(
    network: TemporalLifter,
    folded: dict[str, Folded],
    state: NetworkState,
    keypoints: Float[Array, "P J 2"],
    occluded: Bool[Array, "P J"],
    age: Float[Array, "P J"],
    started: Bool[Array, " P"],
    kept: Any,
    skeleton: Skeleton,
    flip: bool,
    hints: Hints = Hints(),
) -> tuple[NetworkState, Float[Array, "P N 3"]]:
    """`step_network`, with ``flip`` the mean over everybody and their mirror images, as `lift_clip` takes it;
    the state is one of twice as many people then.
    """
    if not flip:
        return step_network(network, folded, state, keypoints, occluded, age, started, kept, hints)
    keypoints = jnp.concatenate([keypoints, mirror(keypoints, skeleton)])
    occluded = jnp.concatenate([occluded, mirror_mask(occluded, skeleton)])
    age = jnp.concatenate([age, mirror_mask(age, skeleton)])
    both = jnp.concatenate([started, started])
    hints = jax.tree.map(lambda *pair: jnp.concatenate(pair), hints, mirror_hints(hints, skeleton))
    state, answers = step_network(network, folded, state, keypoints, occluded, age, both, kept, hints)
    answers, mirrored = jnp.split(answers, 2)
    return state, (answers + mirror_target(mirrored, network.target, skeleton)) / 2


def _lengths(network: TemporalLifter) -> list[int]:
    """Frames in every layer's ring."""
    lengths, dilation = [], 1
    for width in network.filter_widths:
        lengths.append((width - 1) * dilation + 1)
        dilation *= width
    return lengths


def _read(
    ring: Array, place: Array, frame: Array, started: Array, width: int, dilation: int
) -> tuple[Array, Array]:
    """The ring with a new frame, and what the filter's taps read of it, (B, width · channels)."""
    length = ring.shape[1]
    ring = jax.lax.cond(
        jnp.all(started),
        lambda: ring,
        lambda: jnp.where(started[:, None, None], ring, frame[:, None]),
    )
    ring = jax.lax.dynamic_update_index_in_dim(ring, frame, place % length, axis=1)
    back = np.arange(width - 1, -1, -1) * dilation
    taps = jnp.take(ring, (place - jnp.asarray(back, jnp.int32)) % length, axis=1)
    return ring, taps.reshape(len(taps), -1)


def _apply(folded: Folded, inputs: Array) -> Array:
    return inputs @ folded.kernel + folded.offset[None]
