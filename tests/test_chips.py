"""Which published peak a device has."""

import pytest

from experiments.training.chips import CHIPS, peak_flops


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("TPU v5 lite", CHIPS["v5e"].flops),
        ("TPU v5", CHIPS["v5p"].flops),
        ("TPU v5p", CHIPS["v5p"].flops),
        ("TPU v6 lite", CHIPS["v6e"].flops),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("cpu", None),
        ("TPU v4", None),
    ],
)
def test_devices_are_known_by_how_their_kind_begins(kind, peak):
    assert peak_flops(kind) == peak
