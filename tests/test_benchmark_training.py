"""What the benchmarks count; what they time is theirs to tell."""

import math

import pytest

from experiments.training.configs import OURS, PAPER, TrainConfig
from experiments.training.pods import forward_flops


def layer_flops(widths, channels, inputs, outputs, stride):
    """Two operations a weight for every time that it is used, on the features of a plain network."""
    frames = math.prod(widths) + (outputs - 1) * stride
    total, apart = 0, 1
    for index, width in enumerate(widths):
        # Layers stride until the outputs are ``stride`` frames apart, and are dilated after that.
        if apart * width <= stride:
            frames, apart = frames // width, apart * width
        else:
            frames -= (width - 1) * math.prod(widths[:index]) // apart
        total += (
            2 * frames * channels * (width * (channels if index else inputs) + (channels if index else 0))
        )
    return total + 2 * frames * channels * 51


@pytest.mark.parametrize(("outputs", "stride"), [(1, 27), (8, 9), (4, 1)])
def test_the_forward_pass_of_a_plain_network_is_counted(outputs, stride):
    """Within 5 % of its convolutions: the rest is batch norm, ReLU and the person's frame."""
    network = OURS.replace(gating="none", channels=512)
    config = TrainConfig(network=network, chunk_frames=outputs, chunk_stride=stride if outputs > 1 else 1)
    expected = layer_flops((3, 3, 3), 512, 2 * 17 + 3, outputs, stride)
    assert forward_flops(config) == pytest.approx(expected, rel=0.05)


def test_a_step_of_the_papers_network_is_two_gigaflops_a_sample():
    assert 3 * forward_flops(PAPER) == pytest.approx(2.1e9, rel=0.02)
