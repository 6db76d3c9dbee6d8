"""VideoPose3D's network in PyTorch, written from its paper, for the benchmarks to be timed against.

Pavllo et al., 3D human pose estimation in video with temporal convolutions and semi-supervised training,
CVPR 2019: a convolution over frames, then blocks of a dilated one and one of width 1 with what came in added,
each followed by batch normalisation, ReLU and dropout, then a linear layer. PyTorch is the extra ``pytorch``.
"""

import importlib.util
import math
from collections.abc import Callable
from typing import Any

NAME = "VideoPose3D in PyTorch"
JOINTS = 17
MISSING = "PyTorch is not installed, so VideoPose3D's network is not timed: pip install 'gated-lift[pytorch]'"


def is_there() -> bool:
    return importlib.util.find_spec("torch") is not None


def build(channels: int, filter_widths: tuple[int, ...], strided: bool) -> Any:
    """The network, which maps (B, 2J, T) to (B, 3J, S).

    strided: the form that it is trained in, whose filters move by their width, so that a window of the
    receptive field is one output; otherwise the dilated form that clips are lifted with. Centred.
    """
    import torch
    from torch import nn

    def layer(inputs: int, width: int, apart: int) -> Any:
        moves = {"stride": width} if strided else {"dilation": apart}
        convolution = nn.Conv1d(inputs, channels, width, bias=False, **moves)
        return nn.Sequential(convolution, nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(0.25))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first, *rest = filter_widths
            self.expand = layer(2 * JOINTS, first, 1)
            apart = [math.prod(filter_widths[: index + 1]) for index in range(len(rest))]
            self.dilated = nn.ModuleList(map(layer, [channels] * len(rest), rest, apart))
            self.mix = nn.ModuleList(layer(channels, 1, 1) for _ in rest)
            self.crops = [
                slice(width // 2, None, width) if strided else slice(width // 2 * step, -(width // 2 * step))
                for width, step in zip(rest, apart, strict=True)
            ]
            self.shrink = nn.Conv1d(channels, 3 * JOINTS, 1)

        def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
            features = self.expand(keypoints)
            for dilated, mix, crop in zip(self.dilated, self.mix, self.crops, strict=True):
                features = features[:, :, crop] + mix(dilated(features))
            return self.shrink(features)

    return Network()


def training_step(channels: int, filter_widths: tuple[int, ...], windows: int) -> Callable[[], object]:
    """A step on one batch of windows, which is there already: VideoPose3D's loss, a distance, and AMSGrad."""
    import torch

    network = build(channels, filter_widths, strided=True).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, amsgrad=True)
    keypoints = torch.randn(windows, 2 * JOINTS, math.prod(filter_widths))
    target = torch.randn(windows, JOINTS, 3)

    def step() -> object:
        optimizer.zero_grad()
        poses = network(keypoints).reshape(windows, JOINTS, 3)
        loss = torch.linalg.vector_norm(poses - target, dim=-1).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def lifting(channels: int, filter_widths: tuple[int, ...], clips: int, frames: int) -> Callable[[], object]:
    """Lifts every frame of clips; both ends are padded already."""
    import torch

    network = build(channels, filter_widths, strided=False).eval()
    keypoints = torch.randn(clips, 2 * JOINTS, frames + math.prod(filter_widths) - 1)

    def lift() -> object:
        with torch.inference_mode():
            return network(keypoints)

    return lift


def use_threads(count: int) -> None:
    """Lets PyTorch compute with this many threads."""
    import torch

    torch.set_num_threads(count)
