"""Layers of Fig. 3 against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import convolve_norm, layer, random_variables

from gated_lift.networks.layers import ConvolutionNorm, TemporalLayer, mask_channels

GATINGS = ("none", "mask_input", "single_stream", "two_stream")


def inputs(seed=0, frames=27):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2, frames, 7)).astype(np.float32)
    gates = (rng.random((2, frames, 5)) < 0.5).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(gates)


def build(module, *arguments, seed=1):
    return random_variables(jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments, False)), seed)


@pytest.mark.parametrize("gating", GATINGS)
@pytest.mark.parametrize(
    ("width", "dilation", "stride"), [(1, 1, 1), (3, 1, 1), (3, 3, 1), (5, 2, 1), (3, 1, 3)]
)
def test_layers_compute_their_equations(gating, width, dilation, stride):
    module = TemporalLayer(gating, channels=6, width=width, dilation=dilation, stride=stride)
    features, gates = inputs()
    variables = build(module, features, gates)
    outputs, next_gates = module.apply(variables, features, gates, False)
    expected, expected_gates = layer(
        gating,
        np.asarray(features, np.float64),
        np.asarray(gates, np.float64),
        variables["params"],
        variables["batch_stats"],
        dilation,
        stride,
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(next_gates, expected_gates, atol=1e-5)
    assert expected.any()


def test_only_gated_layers_have_gate_weights():
    features, gates = inputs()
    for gating in GATINGS:
        params = build(TemporalLayer(gating, 6, 3), features, gates)["params"]
        assert set(params) == ({"feature", "gate"} if gating in GATINGS[2:] else {"feature"})
        for part in params.values():
            assert set(part["convolution"]) == {"kernel"}, "no bias before batch normalisation"
    # Eq. 1 gates features by themselves, Eq. 2 by the mask.
    assert build(TemporalLayer("single_stream", 6, 3), features, gates)["params"]["gate"]["convolution"][
        "kernel"
    ].shape == (3, 7, 6)
    assert build(TemporalLayer("two_stream", 6, 3), features, gates)["params"]["gate"]["convolution"][
        "kernel"
    ].shape == (3, 5, 6)


def test_training_normalises_by_the_batch_and_updates_the_running_statistics():
    module = ConvolutionNorm(channels=6, width=3, momentum=0.9)
    features, _ = inputs()
    variables = build(module, features)
    outputs, updated = module.apply(variables, features, True, mutable=["batch_stats"])
    identity = {"norm": {"mean": np.zeros(6), "var": np.ones(6) - 1e-5}}
    unit = {
        "convolution": variables["params"]["convolution"],
        "norm": {"scale": np.ones(6), "bias": np.zeros(6)},
    }
    raw = convolve_norm(np.asarray(features, np.float64), unit, identity)
    mean, var = raw.mean((0, 1)), raw.var((0, 1))
    norm = variables["params"]["norm"]
    expected = (raw - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    old, new = variables["batch_stats"]["norm"], updated["batch_stats"]["norm"]
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * var, atol=1e-6)


def test_dropout_acts_on_features_and_spares_gates():
    module = TemporalLayer("two_stream", channels=400, width=1, dropout=0.25)
    features, gates = inputs()
    variables = build(module, features, gates)

    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return module.apply(variables, features, gates, True, rngs=rngs, mutable=["batch_stats"])[0]

    (first, first_gates), (second, second_gates) = run(0), run(1)
    np.testing.assert_array_equal(first_gates, second_gates)
    np.testing.assert_array_equal(first, run(0)[0])
    positive = np.asarray((first > 0) | (second > 0))
    dropped = (np.asarray(first)[positive] == 0).mean()
    # A positive value survives in at least one of two runs with probability 1 − 1/16.
    assert dropped == pytest.approx((0.25 - 1 / 16) / (1 - 1 / 16), abs=0.02)
    both = np.asarray((first > 0) & (second > 0))
    np.testing.assert_allclose(np.asarray(first)[both], np.asarray(second)[both], rtol=1e-6)
    kept = TemporalLayer("two_stream", channels=400, width=1, dropout=0.0)
    plain = kept.apply(variables, features, gates, True, mutable=["batch_stats"])[0][0]
    np.testing.assert_allclose(np.asarray(first)[both], np.asarray(plain)[both] / 0.75, rtol=1e-5)


def test_half_precision_computes_in_it_and_keeps_float32_weights():
    module = TemporalLayer("two_stream", channels=6, width=3, dtype=jnp.bfloat16)
    features, gates = inputs()
    # Flax's batch normalisation mixes the two dtypes itself, which strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"):
        initial = module.init(jax.random.key(0), features, gates, False)
        variables = build(module, features, gates)
        outputs, _ = module.apply(variables, features, gates, False)
    assert {leaf.dtype for leaf in jax.tree.leaves(initial)} == {jnp.dtype(jnp.float32)}
    assert outputs.dtype == jnp.bfloat16
    full, _ = TemporalLayer("two_stream", channels=6, width=3).apply(variables, features, gates, False)
    np.testing.assert_allclose(np.asarray(outputs, np.float32), full, atol=0.05)


def test_batch_statistics_join_over_a_named_axis():
    module = ConvolutionNorm(channels=6, width=3, axis_name="devices")
    features, _ = inputs()
    variables = build(module, features)
    halves = features[:, None]  # two devices with a clip each

    def run(part):
        return module.apply(variables, part, True, mutable=["batch_stats"])

    outputs, updated = jax.vmap(run, axis_name="devices")(halves)
    together, whole = ConvolutionNorm(channels=6, width=3).apply(
        variables, features, True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(outputs[:, 0], together, atol=1e-5)
    jax.tree.map(
        lambda split, joined: np.testing.assert_allclose(split, np.stack([joined, joined]), atol=1e-5),
        updated,
        whole,
    )


def test_mask_channels():
    occluded = jnp.array([[[True, False, True]]])
    age = jnp.array([[[0.4, 0.0, 0.1]]])
    # Beside keypoints that are flattened to x₀ y₀ x₁ y₁ …, each joint's two channels stand in a row.
    expected = {"joint": [1, 0, 1], "coordinate": [1, 1, 0, 0, 1, 1], "age": [1, 2, 0, 0, 1, 0.5]}
    for how, channels in expected.items():
        np.testing.assert_array_equal(mask_channels(occluded, age, how, jnp.float32), [[channels]])
        assert mask_channels(occluded, age, how, jnp.bfloat16).dtype == jnp.bfloat16
