"""Imported VideoPose3D networks against an oracle in NumPy, and against one built in PyTorch here."""

import sys

import jax
import jax.numpy as jnp
import lifter_oracle
import numpy as np
import pytest

from experiments import import_videopose3d as command
from gated_lift.networks import checkpoints
from gated_lift.networks.pytorch import convert_videopose3d, import_videopose3d
from gated_lift.networks.temporal import TemporalLifter


def random_weights(channels=6, widths=(3, 5, 3), joints=17, seed=0, prefix=""):
    """VideoPose3D's state as arrays, every number drawn at random."""
    rng = np.random.default_rng(seed)
    weights = {}

    def convolution(name, outputs, inputs, width):
        weights[f"{name}.weight"] = rng.normal(size=(outputs, inputs, width)) / np.sqrt(inputs * width)

    def norm(name):
        weights[f"{name}.weight"] = rng.uniform(0.5, 1.5, channels)
        weights[f"{name}.bias"] = 0.3 * rng.normal(size=channels)
        weights[f"{name}.running_mean"] = 0.3 * rng.normal(size=channels)
        weights[f"{name}.running_var"] = rng.uniform(0.3, 2.0, channels)
        weights[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("expand_conv", channels, 2 * joints, widths[0])
    norm("expand_bn")
    for block, width in enumerate(widths[1:]):
        for index, size in ((2 * block, width), (2 * block + 1, 1)):
            convolution(f"layers_conv.{index}", channels, channels, size)
            norm(f"layers_bn.{index}")
    convolution("shrink", 3 * joints, channels, 1)
    weights["shrink.bias"] = rng.normal(size=3 * joints)
    return {
        prefix + name: value if value.dtype == int else value.astype(np.float32)
        for name, value in weights.items()
    }


def keypoints_of(lifter, extra=4, seed=1):
    shape = (2, lifter.receptive_field + extra, lifter.num_joints, 2)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def apply(lifter, variables, keypoints):
    return np.asarray(lifter.apply(variables, jnp.asarray(keypoints), jnp.zeros(keypoints.shape[:3], bool)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("widths", "joints", "prefix"), [((3, 5, 3), 17, "module."), ((3,), 5, "")])
def test_converted_weights_are_the_networks_own(widths, joints, prefix, causal):
    weights = random_weights(widths=widths, joints=joints, prefix=prefix)
    lifter, variables = convert_videopose3d(weights, causal)
    assert lifter == TemporalLifter("none", 6, widths, joints, causal, framing="screen")
    keypoints = keypoints_of(lifter)
    expected = lifter_oracle.lift(lifter, variables, keypoints, np.zeros(keypoints.shape[:3], bool))
    np.testing.assert_allclose(apply(lifter, variables, keypoints), expected, atol=1e-5)
    abstract = jax.eval_shape(lifter.init, jax.random.key(0), keypoints, np.zeros(keypoints.shape[:3], bool))
    assert jax.tree.map(lambda leaf: leaf.shape, abstract) == jax.tree.map(np.shape, variables)


def test_every_weight_lands_in_its_place():
    # The oracle reads converted weights, so that a transposed kernel of equal sides would escape it.
    weights = random_weights()
    _, variables = convert_videopose3d(weights)
    kernel = variables["params"]["block1_dilated"]["feature"]["convolution"]["kernel"]
    for tap in range(3):
        np.testing.assert_array_equal(kernel[tap], weights["layers_conv.2.weight"][:, :, tap].T)
    norm = variables["params"]["block0_mix"]["feature"]["norm"]
    np.testing.assert_array_equal(norm["scale"], weights["layers_bn.1.weight"])
    np.testing.assert_array_equal(norm["bias"], weights["layers_bn.1.bias"])
    running = variables["batch_stats"]["expand"]["feature"]["norm"]
    np.testing.assert_array_equal(running["mean"], weights["expand_bn.running_mean"])
    np.testing.assert_array_equal(running["var"], weights["expand_bn.running_var"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expand_conv.weight": None}, "expand_conv.weight is missing"),
        ({"layers_conv.2.weight": None}, "layers_conv.2.weight is missing"),
        ({"layers_bn.3.running_var": None}, "layers_bn.3.running_var is missing"),
        ({"shrink.bias": None}, "shrink.bias is missing"),
        ({"attention.weight": np.zeros(3, np.float32)}, "attention.weight and 0 other keys"),
        ({"layers_conv.1.weight": np.zeros((6, 6, 3), np.float32)}, r"layers_conv.1.weight .*\(6, 6, 1\)"),
        ({"layers_bn.0.bias": np.zeros(5, np.float32)}, r"layers_bn.0.bias .*\(6,\)"),
        ({"layers_conv.0.weight": np.zeros((6, 6, 4), np.float32)}, "the filter width 4"),
        ({"expand_conv.weight": np.zeros((6, 34), np.float32)}, r"expand_conv.weight .*\('any', 'any', "),
        ({"expand_conv.weight": np.zeros((6, 32, 3), np.float32)}, "takes 32 numbers and .* gives 51"),
        ({"shrink.weight": np.zeros((3, 6, 1), np.float32)}, "trajectory networks"),
        ({"shrink.bias": np.zeros(51, int)}, "shrink.bias is int64"),
        ({"shrink.bias": np.full(51, np.inf, np.float32)}, "shrink.bias has numbers that are not finite"),
    ],
)  # fmt: skip
def test_other_weights_are_refused(changes, message):
    weights = random_weights() | changes
    with pytest.raises(ValueError, match=message):
        convert_videopose3d({name: value for name, value in weights.items() if value is not None})


def test_reading_a_file_without_pytorch_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'gated-lift\[pytorch\]'"):
        import_videopose3d(tmp_path / "model.bin")


# --------------------------------------------------------------------------------------- with PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (the extra 'pytorch')")


def build(torch, channels, widths, joints, causal):
    """VideoPose3D's temporal model from its description: a function of keypoints, and its modules."""
    nn = torch.nn
    modules = nn.Module()
    modules.expand_conv = nn.Conv1d(2 * joints, channels, widths[0], bias=False)
    modules.expand_bn = nn.BatchNorm1d(channels, momentum=0.1)
    convolutions, norms, dilation, dilations = [], [], widths[0], []
    for width in widths[1:]:
        convolutions += [
            nn.Conv1d(channels, channels, width, dilation=dilation, bias=False),
            nn.Conv1d(channels, channels, 1, bias=False),
        ]
        norms += [nn.BatchNorm1d(channels, momentum=0.1), nn.BatchNorm1d(channels, momentum=0.1)]
        dilations.append(dilation)
        dilation *= width
    modules.layers_conv, modules.layers_bn = nn.ModuleList(convolutions), nn.ModuleList(norms)
    modules.shrink = nn.Conv1d(channels, 3 * joints, 1)

    def run(keypoints):
        x = keypoints.flatten(2).permute(0, 2, 1)
        x = torch.relu(modules.expand_bn(modules.expand_conv(x)))
        for block, width in enumerate(widths[1:]):
            start = (width - 1 if causal else width // 2) * dilations[block]
            skipped = x
            for index in (2 * block, 2 * block + 1):
                x = torch.relu(norms[index](convolutions[index](x)))
            x = x + skipped[:, :, start : start + x.shape[2]]
        return modules.shrink(x).permute(0, 2, 1).unflatten(2, (joints, 3))

    return run, modules


@pytest.fixture
def trained(torch):
    """A network whose weights and running statistics have moved, in evaluation mode, and its keypoints."""

    def make(causal=False, widths=(3, 3, 3)):
        torch.manual_seed(0)
        run, modules = build(torch, 32, widths, 17, causal)
        for parameter in modules.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        with torch.no_grad():
            for _ in range(3):
                run(torch.rand(8, 31, 17, 2) - 0.3)
        return run, modules.eval()

    return make


class OldGenerator:
    """NumPy's random generator as NumPy before 1.17 pickled it."""

    def __init__(self, seed):
        self.seed = seed

    def __reduce__(self):
        make = getattr(np.random, "__RandomState_ctor")  # a class mangles the plain name
        return make, (), np.random.RandomState(self.seed).get_state()


def training_state(modules, prefix="", generator=np.random.RandomState):
    """All that VideoPose3D's run.py saves, NumPy's random generator included."""
    return {
        "epoch": 80,
        "lr": 1.7e-5,
        "random_state": generator(1234),
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "model_pos": {prefix + name: value for name, value in modules.state_dict().items()},
    }


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_imported_networks_give_what_pytorch_gives(torch, trained, tmp_path, causal, zipped):
    run, modules = trained(causal)
    path = tmp_path / "epoch_80.bin"
    state = training_state(modules, "module.") if zipped else training_state(modules, "", OldGenerator)
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    lifter, variables, description, _ = import_videopose3d(path, causal)
    assert lifter.channels == 32 and lifter.filter_widths == (3, 3, 3) and lifter.causal == causal
    assert description["imported"] == {"from": "VideoPose3D", "file": "epoch_80.bin"}
    keypoints = keypoints_of(lifter)
    with torch.no_grad():
        expected = run(torch.tensor(keypoints)).numpy()
    np.testing.assert_allclose(apply(lifter, variables, keypoints), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_the_command_writes_one_of_our_checkpoints(torch, trained, tmp_path, monkeypatch, capsys):
    _, modules = trained()
    torch.save(training_state(modules), tmp_path / "model.bin")
    output = tmp_path / "imported"
    monkeypatch.setattr(
        sys, "argv", ["import", "--checkpoint", str(tmp_path / "model.bin"), "--output", str(output)]
    )
    command.main()
    assert "receptive field 27 frames, 17 joints" in " ".join(capsys.readouterr().out.split())
    loaded, expected = (
        checkpoints.load_lifter(output / "checkpoints"),
        import_videopose3d(tmp_path / "model.bin"),
    )
    assert loaded.lifter == expected.lifter and loaded.description == expected.description
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, expected.variables)


class Malicious:
    """Its pickle touches a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_that_would_run_code_is_refused(torch, trained, tmp_path, zipped):
    _, modules = trained()
    path, touched = tmp_path / "model.bin", tmp_path / "touched"
    state = training_state(modules) | {"extra": Malicious(touched)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"model\.bin holds a pickle that asks for (_?io|builtins)\.open"):
        import_videopose3d(path)
    assert not touched.exists()


def test_other_files_are_refused(torch, trained, tmp_path):
    _, modules = trained()
    path = tmp_path / "model.bin"
    with pytest.raises(FileNotFoundError):
        import_videopose3d(path)
    for content in (b"", b"text", b"PK\x03\x04 and so on"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.bin (is not a whole PyTorch file|holds a pickle)"):
            import_videopose3d(path)
    for held, message in (
        ({"weights": 3}, "holds weights, not model_pos"),
        ([1], "holds list, not model_pos"),
        ({"model_pos": {"expand_conv.weight": 3}}, "expand_conv.weight of model_pos is not a plain tensor"),
        ({"model_pos": {}}, r"model\.bin: expand_conv.weight is missing"),
    ):
        torch.save(held, path)
        with pytest.raises(ValueError, match=message):
            import_videopose3d(path)
    torch.save(training_state(modules), path)
    whole = path.read_bytes()
    for end in (len(whole) // 3, len(whole) - 30):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="is not a whole PyTorch file"):
            import_videopose3d(path)
