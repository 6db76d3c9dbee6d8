"""Training losses, elementwise: the caller reduces."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_joint_error(
    predicted: Float[Array, "*batch joints 3"], target: Float[Array, "*batch joints 3"]
) -> Float[Array, "*batch joints"]:
    """‖X̂ᵢ − X*ᵢ‖² of Eq. 3 for every joint; its mean over joints and samples is the paper's loss.

    Metres in, square metres out. Raises ValueError when the shapes differ: nothing is broadcast.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted has shape {predicted.shape} and target {target.shape}: pass one target a prediction"
        )
    return jnp.sum(jnp.square(predicted - target), axis=-1)
