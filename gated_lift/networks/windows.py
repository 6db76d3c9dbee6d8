"""What the networks that lift a window of fixed length have in common."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.networks.protocol import Target, check_keypoints
from gated_lift.occlusion import Fill


class WindowLifter:
    """The part of `protocol.Lifter` that follows from this: ``window`` frames of filled keypoints go in, and
    as many root-relative poses come out.
    """

    window: int
    fps: float

    @property
    def fill(self) -> Fill:
        return "interpolate"

    @property
    def causal(self) -> bool:
        return False

    @property
    def target(self) -> Target:
        return "pose"

    @property
    def receptive_field(self) -> int:
        return self.window

    @property
    def padding(self) -> tuple[int, int]:
        """None: in training every frame of a window is an output."""
        return 0, 0

    def training_form(self, chunk_frames: int, chunk_stride: int) -> dict[str, Any]:
        if (chunk_frames, chunk_stride) != (self.window, 1):
            raise ValueError(
                f"chunk_frames is {chunk_frames} and chunk_stride {chunk_stride}: the outputs of this "
                f"network are the frames of its window, so give {self.window} and 1"
            )
        return {}


def check_window(keypoints: Array, occluded: Array, num_joints: int, window: int) -> None:
    """Raises ValueError unless the arrays are windows of that many frames (`check_keypoints` besides)."""
    check_keypoints(keypoints, occluded, num_joints)
    if keypoints.ndim != 4 or keypoints.shape[1] != window:
        raise ValueError(
            f"keypoints has shape {keypoints.shape}: the network takes (batch, {window} frames, joints, 2); "
            "use lift_clip, which cuts clips into windows"
        )


def average_windows(
    lift: Callable[[Array, Array, Array], Array],
    keypoints: Float[Array, "B F J 2"],
    occluded: Bool[Array, "B F J"],
    age: Float[Array, "B F J"],
    slide: int,
    weight: Float[np.ndarray, " W"],
    length: Any = None,
) -> Float[Array, "B F J 3"]:
    """Every frame of clips of any length as the weighted mean over the windows that hold it: one every
    ``slide`` frames, and one that ends with the clip. A clip shorter than a window is continued by its last
    frame.

    lift: filled keypoints, mask and `occlusion.gap_age` of windows of W frames to their poses. weight: of
    each frame of a window. length: as in `protocol.Lifter.lift_frames`. Raises ValueError unless windows
    begin one to W frames apart.
    """
    window, frames = len(weight), keypoints.shape[1]
    if not 1 <= slide <= window:
        raise ValueError(
            f"slide is {slide}: windows begin one or more frames apart, at most their length of {window}"
        )
    room = max(frames, window)
    # Gaps stop ageing with the clip, also where it is followed by frames that do not count.
    index = jnp.minimum(jnp.arange(room, dtype=jnp.int32), (frames if length is None else length) - 1)
    clip = [jnp.take(values, index, axis=1) for values in (keypoints, occluded, age)]
    last = jnp.maximum((frames if length is None else length) - window, 0)
    last = last.astype(jnp.int32)
    starts = jnp.arange(0, room - window + slide, slide, dtype=jnp.int32)
    # The window that ends with the clip is the first that would reach beyond it; those after it do not count.
    counted = starts - slide < last
    starts = jnp.minimum(starts, last)
    shaped = jnp.asarray(weight, keypoints.dtype)

    def add(sums: tuple[Array, Array], each: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        start, count = each

        def cut(values: Array, axis: int = 1) -> Array:
            return jax.lax.dynamic_slice_in_dim(values, start, window, axis)

        total, weights = sums
        share = shaped * count.astype(shaped.dtype)
        poses = cut(total) + share[None, :, None, None] * lift(*map(cut, clip))
        total = jax.lax.dynamic_update_slice_in_dim(total, poses, start, axis=1)
        weights = jax.lax.dynamic_update_slice_in_dim(weights, cut(weights, 0) + share, start, axis=0)
        return (total, weights), None

    # One window at a time: a few windows of everybody fill a processor, all of them its memory.
    empty = (jnp.zeros((*clip[0].shape[:-1], 3), shaped.dtype), jnp.zeros(room, shaped.dtype))
    (total, weights), _ = jax.lax.scan(add, empty, (starts, counted))
    divisor = jnp.where(weights > 0, weights, jnp.ones_like(weights))
    return (total / divisor[None, :, None, None])[:, :frames]
