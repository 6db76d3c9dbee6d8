"""On which frames of a clip a person is there at all."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from gated_lift.occlusion import frames_around


def present_frames(seen: Bool[Array, "*people F"], longest_gap: Any, fps: Any) -> Bool[Array, "*people F"]:
    """True from the first frame that shows a person to the last, but for gaps of more than ``longest_gap``
    seconds between two frames that do.

    seen: whether the frame shows any joint of the person. A gap is the time between the two frames that show
    the person on either side of it.
    """
    frames = seen.shape[-1]
    before, after = frames_around(~seen, seen.ndim - 1)
    gap = (after - before).astype(jnp.float32) / jnp.asarray(fps, jnp.float32)
    return (before >= 0) & (after < frames) & (gap <= jnp.asarray(longest_gap, jnp.float32))
