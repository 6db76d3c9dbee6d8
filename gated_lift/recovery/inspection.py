"""What keypoints are worth: a visible one that cannot be meant is hidden and counted, whoever brings it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from solvers import Camera, has_ray


class Hidden(NamedTuple):
    """How many keypoints of each person came as visible and were hidden, by the reason.

    not_finite: NaN or infinite coordinates or confidence. placeholder: exactly (0, 0) or (−1, −1), which
    detectors write for what they missed. no_confidence: a confidence of 0 or less. no_ray: pixels that no ray
    reaches through the lens (`solvers.has_ray`).
    """

    not_finite: Int[Array, "*people"]
    placeholder: Int[Array, "*people"]
    no_confidence: Int[Array, "*people"]
    no_ray: Int[Array, "*people"]


class Inspected(NamedTuple):
    """keypoints: zeros where hidden. occluded: with what was hidden here. confidence: zeros where hidden."""

    keypoints: Float[Array, "*people F J 2"]
    occluded: Bool[Array, "*people F J"]
    confidence: Float[Array, "*people F J"] | None
    hidden: Hidden


def inspect(
    keypoints: Float[Array, "*people F J 2"],
    occluded: Bool[Array, "*people F J"],
    camera: Camera,
    confidence: Float[Array, "*people F J"] | None = None,
    counted: Bool[Array, " F"] | None = None,
) -> Inspected:
    """Hides visible keypoints that are not finite, placeholders of a detector, of no confidence or outside
    the lens; each is counted once, for the first of these reasons.

    (0, 0) and (−1, −1) are placeholders where pixels are counted from the top left corner. Where the
    principal point is there, (0, 0) is the middle of the picture and stays. counted: frames that are no
    padding, all by default.
    """
    center = jnp.broadcast_to(_lifted(camera.center, keypoints), keypoints.shape)
    x, y = keypoints[..., 0], keypoints[..., 1]
    from_corner = ~jnp.all(center == 0, axis=-1)
    finite = jnp.all(jnp.isfinite(keypoints), axis=-1)
    trusted = jnp.ones_like(occluded)
    if confidence is not None:
        finite = finite & jnp.isfinite(confidence)
        trusted = confidence > 0
    placeholder = from_corner & (((x == 0) & (y == 0)) | ((x == -1) & (y == -1)))
    usable = finite & ~placeholder & trusted
    safe = jnp.where((usable & ~occluded)[..., None], keypoints, center)
    reasons = (~finite, placeholder, ~trusted, ~has_ray(safe, camera))
    real = jnp.ones_like(occluded)
    if counted is not None:
        real = jnp.broadcast_to(counted[:, None], occluded.shape)
    counts, hidden = [], occluded
    for reason in reasons:
        counts.append(jnp.sum(reason & ~hidden & real, axis=(-2, -1)))
        hidden = hidden | reason
    return Inspected(
        jnp.where(hidden[..., None], jnp.zeros_like(keypoints), keypoints),
        hidden,
        None if confidence is None else jnp.where(hidden, jnp.zeros_like(confidence), confidence),
        Hidden(*counts),
    )


def describe_hidden(hidden: Hidden) -> str:
    """One sentence on what was hidden, or nothing where nothing was."""
    words = {
        "not_finite": "NaN or infinite",
        "placeholder": "at exactly (0, 0) or (-1, -1), as detectors write what they missed",
        "no_confidence": "of confidence 0 or less",
        "no_ray": "where the lens model has no ray",
    }
    found = {name: int(np.sum(np.asarray(getattr(hidden, name)))) for name in Hidden._fields}
    parts = [f"{count} {words[name]}" for name, count in found.items() if count]
    return f"keypoints that came as visible and were hidden: {'; '.join(parts)}" if parts else ""


def _lifted(center: Any, keypoints: Array) -> Array:
    """The principal point with axes of one for those of the keypoints that it lacks."""
    values = jnp.asarray(center, keypoints.dtype)
    return values.reshape(values.shape[:-1] + (1,) * (keypoints.ndim - values.ndim) + (2,))
