"""The lifter in NumPy and float64: layers as sums over filter taps, gaps left to the caller."""

import jax
import numpy as np

EPSILON = 1e-5  # of the batch normalisation


def random_variables(abstract, seed, spread=1.0):
    """Weights, scales, offsets and running statistics drawn at random, so that no part of the network is
    idle.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        kind = path[-1].key
        if kind == "kernel":
            value = rng.normal(size=leaf.shape) * spread / np.sqrt(np.prod(leaf.shape[:-1]))
        elif kind in ("var", "std"):
            value = rng.uniform(0.3, 2.0, leaf.shape)
        elif kind == "scale":
            value = rng.uniform(0.5, 1.5, leaf.shape)
        else:
            value = 0.3 * rng.normal(size=leaf.shape)
        return value.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, abstract)


def convolve_norm(inputs, params, statistics, dilation=1, stride=1):
    """(B, T, C) to (B, T', D): y_t = Σ_k x_{t·stride + k·dilation} W_k, then (y − mean) / √(var + ε) · scale
    + bias.
    """
    kernel = np.asarray(params["convolution"]["kernel"], np.float64)
    width, frames = len(kernel), inputs.shape[1]
    count = (frames - (width - 1) * dilation - 1) // stride + 1
    outputs = np.zeros((len(inputs), count, kernel.shape[-1]))
    for tap in range(width):
        start = tap * dilation
        outputs += inputs[:, start : start + (count - 1) * stride + 1 : stride] @ kernel[tap]
    norm = {
        name: np.asarray(value, np.float64) for name, value in (params["norm"] | statistics["norm"]).items()
    }
    return (outputs - norm["mean"]) / np.sqrt(norm["var"] + EPSILON) * norm["scale"] + norm["bias"]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def layer(gating, features, gates, params, statistics, dilation=1, stride=1):
    """X', M' of Eq. 1, Eq. 2 or the plain layer of Fig. 3."""

    def part(name, inputs):
        return convolve_norm(inputs, params[name], statistics[name], dilation, stride)

    outputs = np.maximum(part("feature", features), 0)
    if gating == "single_stream":
        outputs = outputs * sigmoid(part("gate", features))
    elif gating == "two_stream":
        gates = sigmoid(part("gate", gates))
        outputs = outputs * gates
    return outputs, gates


def framed(keypoints, known):
    """Frame by frame: shape, place and size of the known joints, for `framing="person"`."""
    features = np.zeros((*keypoints.shape[:-2], 2 * keypoints.shape[-2] + 3))
    for index in np.ndindex(*keypoints.shape[:-2]):
        points = keypoints[index][known[index]].astype(np.float64)
        center = points.mean(axis=0) if len(points) else np.zeros(2)
        spread = ((points - center) ** 2).sum() / max(len(points), 1)
        size = np.sqrt(spread + 1e-6)
        shape = np.zeros(keypoints[index].shape)
        shape[known[index]] = (points - center) / size
        features[index] = [*shape.ravel(), *(2 * center), np.log(size) + 1.5]
    return features


def ages(occluded, causal):
    """Seconds to the nearest visible frame at 50 frames a second (a causal network: since the last), at most
    two, joint by joint."""
    found = np.full(occluded.shape, 2.0)
    for *person, frame, joint in np.ndindex(occluded.shape):
        seen = np.flatnonzero(~np.asarray(occluded)[(*person, slice(None), joint)])
        seen = seen[seen <= frame] if causal else seen
        if len(seen):
            found[(*person, frame, joint)] = min(2.0, np.abs(seen - frame).min() / 50)
    return found


def lift(lifter, variables, keypoints, occluded):
    """Poses (B, T − RF + 1, J, 3) of a dense network from keypoints whose gaps have been filled."""
    params, statistics = variables["params"], variables["batch_stats"]
    batch, frames, joints, _ = keypoints.shape
    features, place = (
        np.asarray(keypoints, np.float64).reshape(batch, frames, -1),
        np.zeros((batch, frames, 0)),
    )
    if lifter.framing == "person":
        known = ~np.asarray(occluded) if lifter.fill == "zero" else np.ones(occluded.shape, bool)
        features, place = np.split(framed(np.asarray(keypoints), known), [2 * joints], axis=-1)
    faded = [
        features * np.exp(-np.repeat(ages(occluded, lifter.causal), 2, axis=-1) / time)
        for time in lifter.fade_seconds
        if lifter.gating != "none"
    ]
    features = np.concatenate([features, *faded, place], axis=-1)
    bits = np.asarray(occluded, np.float64)
    gates = bits
    if lifter.mask_channels != "joint":
        second = bits if lifter.mask_channels == "coordinate" else ages(occluded, lifter.causal) / 0.2
        gates = np.stack([bits, second], axis=-1).reshape(*bits.shape[:-1], -1)
    if lifter.gating in ("mask_input", "single_stream"):
        features = np.concatenate([features, gates], axis=-1)
    features, gates = layer(lifter.gating, features, gates, params["expand"], statistics["expand"])
    dilation = lifter.filter_widths[0]
    for index, width in enumerate(lifter.filter_widths[1:]):
        before = (width - 1 if lifter.causal else (width - 1) // 2) * dilation
        after = (width - 1) * dilation - before
        skipped, skipped_gates = (x[:, before : x.shape[1] - after] for x in (features, gates))
        for name, step in ((f"block{index}_dilated", dilation), (f"block{index}_mix", 1)):
            features, gates = layer(lifter.gating, features, gates, params[name], statistics[name], step)
        features = features + skipped
        if lifter.gate_residual and lifter.gating == "two_stream":
            gates = gates + skipped_gates
        dilation *= width
    head = {name: np.asarray(value, np.float64) for name, value in params["head"].items()}
    return (features @ head["kernel"] + head["bias"]).reshape(batch, -1, joints, 3)
