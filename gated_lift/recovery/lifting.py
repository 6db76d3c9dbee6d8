"""Poses from pixels: what a network makes of people at any frame rate, in the axes of their camera."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.networks.protocol import Hints, lift_clip
from gated_lift.occlusion import frame_times
from gated_lift.recovery.arguments import read_arguments
from gated_lift.recovery.observation import (
    Clock,
    from_network_frames,
    network_frames,
    observe,
    observe_clip,
    turn_back,
)
from solvers import Camera


def lift(
    lifter: LoadedLifter,
    keypoints: Any,
    occluded: Any,
    camera: Camera,
    fps: float | None = None,
    flip: bool = True,
) -> Float[Array, "*people F N 3"]:
    """Root-relative poses of every person from pixels, metres in camera axes: the first half of
    `pipeline.recover`, with its arguments. From a network whose ``target`` is the root, every person's root
    instead (N = 1). Raises ValueError as `recover` does.

    It is traced with the shapes as they are: jit it where it is called often.
    """
    given = read_arguments(lifter, keypoints, occluded, camera, fps, None, None, None)
    assert fps is not None  # read_arguments has made sure
    frames, rate = given.keypoints.shape[1], float(fps)
    clock = None
    if rate != lifter.network.fps:
        clock = Clock(rate, frames, network_frames(frames, rate, lifter.network.fps))
    arrays = (jnp.asarray(given.keypoints), jnp.asarray(given.occluded))
    poses = lift_pixels(lifter, *arrays, given.camera, flip, clock)
    return poses.reshape(*given.people, *poses.shape[1:])


def lift_pixels(
    lifter: LoadedLifter,
    keypoints: Float[Array, "P F J 2"],
    occluded: Bool[Array, "P F J"],
    camera: Camera,
    flip: bool,
    clock: Clock | None = None,
    length: Any = None,
    hints: Hints = Hints(),
) -> Float[Array, "P F N 3"]:
    """`lift` of arguments that have been checked.

    clock: how the clip's frames lie among the network's; None where the clip has the network's rate.
    length: frames of the clip that count, perhaps traced, the last being repeated on those after it; None
    where all do.
    hints: for networks that read them, the vertical in camera axes, one or one a frame, and the doubt.
    """
    network, dtype, frames = lifter.network, keypoints.dtype, keypoints.shape[1]
    if clock is None:
        times = frame_times(frames, network.fps, dtype)
        seen = observe(
            network, keypoints, occluded, camera, lifter.focal, times, lifter.turned, length, hints
        )
    else:
        seen = observe_clip(network, keypoints, occluded, camera, lifter.focal, clock, lifter.turned, hints)
        if length is not None:
            # As `network_frames`, of a length that is traced.
            last = (jnp.asarray(length, jnp.float32) - 1) * network.fps / clock.rate
            length = jnp.ceil(last - 1e-3).astype(jnp.int32) + 1
    shown, hints = seen.keypoints, seen.hints
    if length is not None:
        # The direction of the person settles on the frames after the last: what the network reads must not.
        here = jnp.minimum(jnp.arange(shown.shape[1], dtype=jnp.int32), length - 1)
        shown = jnp.take(shown, here, axis=1)
        hints = jax.tree.map(lambda hint: jnp.take(hint, here, axis=1), hints)
    variables = lifter.variables
    if dtype == jnp.float64:
        variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)
    answers = lift_clip(
        network, variables, shown, seen.occluded, lifter.skeleton, flip, seen.age, length, hints
    )
    poses = turn_back(answers.astype(dtype), seen.turn)
    return poses if clock is None else from_network_frames(network, poses, clock, frames)
