"""What the networks that lift a window of fixed length have in common."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.networks.protocol import Target, check_keypoints
from gated_lift.occlusion import Fill, fill_gaps, gap_age


class WindowLifter:
    """The part of `protocol.Lifter` that follows from this: ``window`` frames of filled keypoints go in, and
    as many root-relative poses come out.
    """

    window: int

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
    slide: int,
    weight: Float[np.ndarray, "W"],
) -> Float[Array, "B F J 3"]:
    """Every frame of clips of any length as the weighted mean over the windows that hold it: one every
    ``slide`` frames, and one that ends with the clip. A clip shorter than a window is continued by its last
    frame, and gaps are filled over the whole clip.

    lift: filled keypoints, mask and `occlusion.gap_age` of windows of W frames to their poses. weight: of
    each frame of a window. Raises ValueError unless windows begin one to W frames apart.
    """
    window, frames = len(weight), keypoints.shape[1]
    if not 1 <= slide <= window:
        raise ValueError(
            f"slide is {slide}: windows begin one or more frames apart, at most their length of {window}"
        )
    length = max(frames, window)
    index = np.minimum(np.arange(length), frames - 1)
    clip = [values[:, index] for values in (fill_gaps(keypoints, occluded), occluded, gap_age(occluded))]
    starts = np.append(np.arange(0, length - window, slide), length - window)
    shaped = jnp.asarray(weight)[None, :, None, None]

    def add(total: Array, start: Array) -> tuple[Array, None]:
        def cut(values: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(values, start, window, axis=1)

        poses = lift(*map(cut, clip))
        return jax.lax.dynamic_update_slice_in_dim(total, cut(total) + shaped * poses, start, axis=1), None

    # One window at a time: a few windows of everybody fill a processor, all of them its memory.
    total, _ = jax.lax.scan(add, jnp.zeros((*clip[0].shape[:-1], 3)), jnp.asarray(starts, jnp.int32))
    weights = np.zeros(length, np.float32)
    for start in starts:
        weights[start : start + window] += weight
    return (total / jnp.asarray(weights)[None, :, None, None])[:, :frames]
