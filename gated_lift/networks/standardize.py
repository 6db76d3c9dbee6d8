"""z-scores whose mean and standard deviation lie among a network's variables."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Standardize(nn.Module):
    """x ↦ (x − mean) / std, and back, number by number.

    mean and std are a collection of their own, ``statistics``, taken once from training data
    (`statistics_of`) and saved with the weights. A batch norm without scale and offset would do for what
    comes in, but never sees the poses that what goes out has to be scaled to; and numbers that do not move
    need no schedule. Until they are set they are 0 and 1.

    shape: (J, C), of the last two axes.
    """

    shape: tuple[int, int]

    def setup(self) -> None:
        self.mean = self.variable("statistics", "mean", jnp.zeros, self.shape)
        self.std = self.variable("statistics", "std", jnp.ones, self.shape)

    def __call__(self, values: Float[Array, "*batch J C"]) -> Float[Array, "*batch J C"]:
        mean, std = (jnp.broadcast_to(each.value, values.shape) for each in (self.mean, self.std))
        return (values - mean) / std

    def undo(self, scores: Float[Array, "*batch J C"]) -> Float[Array, "*batch J C"]:
        mean, std = (jnp.broadcast_to(each.value, scores.shape) for each in (self.mean, self.std))
        return mean + scores * std


def statistics_of(values: Float[Array | np.ndarray, "samples J C"]) -> dict[str, Any]:
    """The variables of a `Standardize`: mean and std over the samples, float32. A number that never changes
    has 1 for its std.
    """
    sample = np.asarray(values, np.float64)
    mean, std = sample.mean(axis=0), sample.std(axis=0)
    std = np.where(std > 1e-6, std, 1.0)
    return {"mean": jnp.asarray(mean, jnp.float32), "std": jnp.asarray(std, jnp.float32)}
