"""The three temporal convolution layers of the paper's Fig. 3, as Linen modules.

A layer maps ``(features, gates)`` to ``(features, gates)``; ``gates`` passes through layers that have no gate
stream. Every convolution is valid (no padding) and has no bias, because batch normalisation follows it.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike, Float

Gating = Literal["none", "mask_input", "single_stream", "two_stream"]
MaskChannels = Literal["coordinate", "joint", "age"]

# Seconds: ages enter the networks in numbers of order one.
AGE_UNIT = 0.2
# Added to the variances that batch normalisation divides by.
NORM_EPSILON = 1e-5


class ConvolutionNorm(nn.Module):
    """Temporal convolution followed by batch normalisation.

    Input (B, T, C), output (B, T', channels). One that strides by its width is not dilated.
    """

    channels: int
    width: int
    dilation: int = 1
    stride: int = 1
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "B T C"], train: bool) -> Float[Array, "B S D"]:
        outputs = nn.Conv(
            self.channels,
            (self.width,),
            strides=(self.stride,),
            kernel_dilation=(self.dilation,),
            padding="VALID",
            use_bias=False,
            dtype=self.dtype,
            name="convolution",
        )(inputs)
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            axis_name=self.axis_name if train else None,
            epsilon=NORM_EPSILON,
            dtype=self.dtype,
            name="norm",
        )(outputs)


class TemporalLayer(nn.Module):
    """One layer of Fig. 3: φ is ReLU, σ the logistic function, * a temporal convolution with batch norm.

    - ``none``, ``mask_input`` (Fig. 3a): X' = φ(X * W_f)
    - ``single_stream`` (Fig. 3b, Eq. 1): X' = φ(X * W_f) ⊗ σ(X * W_g)
    - ``two_stream`` (Fig. 3c, Eq. 2): M' = σ(M * W_g), X' = φ(X * W_f) ⊗ M'

    Dropout acts on φ's output. ``features`` is (B, T, C); ``gates`` is (B, T, G) with two streams, otherwise
    anything, and returned as it came.
    """

    gating: Gating
    channels: int
    width: int
    dilation: int = 1
    stride: int = 1
    dropout: float = 0.25
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "B T C"], gates: Float[Array, "B U G"], train: bool
    ) -> tuple[Float[Array, "B S D"], Float[Array, "B R H"]]:
        def convolve(inputs: Array, name: str) -> Array:
            return ConvolutionNorm(
                self.channels,
                self.width,
                self.dilation,
                self.stride,
                self.momentum,
                self.axis_name,
                self.dtype,
                name=name,
            )(inputs, train)

        outputs = nn.relu(convolve(features, "feature"))
        outputs = nn.Dropout(self.dropout, deterministic=not train)(outputs)
        if self.gating == "single_stream":
            outputs = outputs * nn.sigmoid(convolve(features, "gate"))
        elif self.gating == "two_stream":
            gates = nn.sigmoid(convolve(gates, "gate"))
            outputs = outputs * gates
        return outputs, gates


def mask_channels(
    occluded: Bool[Array, "B T J"], age: Float[Array, "B T J"], how: MaskChannels, dtype: DTypeLike
) -> Float[Array, "B T C"]:
    """The mask as channels: ``joint`` J bits, 1 = hidden; ``coordinate`` 2J bits, each joint's for x and for
    y, as the paper writes it; ``age`` 2J numbers, each joint's bit and its ``age``, the time to
    the nearest visible frame (`occlusion.gap_age`), in units of `AGE_UNIT`.
    """
    bits = occluded.astype(dtype)
    if how == "joint":
        return bits
    second = bits if how == "coordinate" else (age / AGE_UNIT).astype(dtype)
    return jnp.stack([bits, second], axis=-1).reshape(*bits.shape[:-1], -1)
