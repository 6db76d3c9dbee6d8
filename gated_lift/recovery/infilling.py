"""Poses and root velocities of people who are hidden, by a network on their motion before and after."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.networks.checkpoints import LoadedInfill
from gated_lift.networks.infill import (
    Motion,
    corrected_poses,
    fill_motion,
    heading_axes,
    path_velocity,
)
from gated_lift.occlusion import frames_around
from gated_lift.recovery.observation import Clock, between_frames, mix_frames, turn_back, turn_to

# Seconds: shorter hidings of a whole person are left to the lifter, and so are longer ones, of which the
# network's window shows too little on either side.
SHORTEST_HIDING = 0.2
LONGEST_HIDING = 4.5

# Joints: whoever shows fewer on a frame is hidden as a whole, but for what the path makes of these.
LEAST_SEEN = 3

# Frames of the network's that are answered by one window, the one about their longest gap.
CHUNK = 16


class Infilled(NamedTuple):
    """What people are taken to do, in the axes in which their motion was given.

    poses (P, F, J, 3): metres, as given outside the gaps that are filled. velocity (P, F, 3): metres a second
    since the frame before. velocity_std (P, F, 3): of its coordinates as independent from frame to frame,
    infinite outside those gaps. pose_std (P, F, J): metres, of a joint's coordinate; 0 outside.
    """

    poses: Float[Array, "P F J 3"]
    velocity: Float[Array, "P F 3"]
    velocity_std: Float[Array, "P F 3"]
    pose_std: Float[Array, "P F J"]


def hidings(seen: Bool[Array, "P F"], fps: Any) -> tuple[Bool[Array, "P F"], Bool[Array, "P F"]]:
    """Frames of hidings that are filled: of whole people between two frames that show them, longer than
    SHORTEST_HIDING and not than LONGEST_HIDING; and frames before anybody is seen or after.
    """
    before, after = frames_around(~seen, 1)
    frames = seen.shape[-1]
    hiding = ~seen & (before >= 0) & (after < frames)
    seconds = (after - before - 1).astype(jnp.float32) / jnp.asarray(fps, jnp.float32)
    filled = hiding & (seconds > SHORTEST_HIDING) & (seconds <= LONGEST_HIDING)
    return filled, (before < 0) | (after >= frames)


def turn_upright(up: Float[Array, "... 3"]) -> Float[Array, "... 3 3"]:
    """Rotations from axes in which ``up`` is the vertical, a unit vector, to ones with z up."""
    # Whichever of two axes is farther from the vertical becomes a level one.
    first, second = jnp.zeros_like(up).at[..., 0].set(1), jnp.zeros_like(up).at[..., 2].set(1)
    other = jnp.where(jnp.abs(up[..., :1]) < 0.8, first, second)
    across = other - jnp.sum(other * up, axis=-1, keepdims=True) * up
    across = across * jax.lax.rsqrt(jnp.sum(across**2, axis=-1, keepdims=True))
    return jnp.stack([across, jnp.cross(up, across), up], axis=-2)


def infill(
    loaded: LoadedInfill,
    poses: Float[Array, "P F J 3"],
    root: Float[Array, "P F 3"],
    seen: Bool[Array, "P F"],
    clock: Clock,
    level: Float[Array, "... 3 3"],
) -> Infilled:
    """Fills the `hidings` of every person.

    poses: root-relative, metres. root: metres; what both hold inside hidings is not read. seen: frames that
    show the person. clock: how the clip's frames lie among the network's. level (P or 1, F or 1, 3, 3): from
    the axes of poses and root to ones with z up.
    """
    network = loaded.network
    people, frames, joints, _ = poses.shape
    rate = clock.rate
    gap, absent = hidings(seen, rate)
    level = jnp.broadcast_to(level, (people, frames, 3, 3))
    occluded = jnp.broadcast_to((gap | absent)[..., None], (people, frames, joints))
    filled, path = fill_motion(turn_to(poses, level), _turned(root, level), occluded, rate)

    # On the network's frames.
    wanted = jnp.arange(clock.frames, dtype=poses.dtype) * (rate / network.fps)
    lower, share = between_frames(jnp.minimum(wanted, jnp.asarray(frames - 1, poses.dtype)))
    upper = jnp.minimum(lower + (share > 0).astype(lower.dtype), frames - 1)
    motion = Motion(
        mix_frames(filled, lower, upper, share, axis=-3),
        mix_frames(path, lower, upper, share, axis=-2),
        occluded[:, lower] | occluded[:, upper],
        absent[:, lower] | absent[:, upper],
    )
    corrections, velocity, pose_std, spread = _answers(loaded, motion)

    # And back.
    here = jnp.arange(frames, dtype=poses.dtype)
    at_frames = here * (network.fps / rate)
    at_steps = jnp.maximum((here - 0.5) * (network.fps / rate) + 0.5, 0)

    def back(values: Array, place: Array) -> Array:
        lower, share = between_frames(jnp.minimum(place, jnp.asarray(clock.frames - 1, poses.dtype)))
        return mix_frames(values, lower, jnp.minimum(lower + 1, clock.frames - 1), share, axis=1)

    corrected = corrected_poses(filled, back(corrections, at_frames), occluded, rate)
    velocity = path_velocity(path, rate) + back(velocity, at_steps)
    spread = back(spread, at_steps)[..., np.array([0, 0, 1])]
    velocity = _bridged(velocity, spread, path, gap, rate)
    # Steps of a Brownian motion: its variance grows by spread² dt, and a speed is a step over dt.
    deviation = spread * jnp.sqrt(jnp.asarray(rate, poses.dtype))
    square = jnp.sum(jnp.swapaxes(level, -1, -2) ** 2 * (deviation**2)[..., None, :], axis=-1)
    moved = gap | _earlier(gap)
    return Infilled(
        jnp.where(gap[..., None, None], turn_back(corrected, level), poses),
        _turned(velocity, jnp.swapaxes(level, -1, -2)),
        jnp.where(moved[..., None], jnp.sqrt(square), jnp.inf),
        jnp.where(gap[..., None], back(pose_std, at_frames), 0),
    )


def _earlier(values: Array) -> Array:
    """What stands on the frame before; zero on the first."""
    return jnp.pad(values, ((0, 0), (1, 0)))[:, :-1]


def _bridged(
    velocity: Float[Array, "P F 3"],
    spread: Float[Array, "P F 3"],
    path: Float[Array, "P F 3"],
    gap: Bool[Array, "P F"],
    rate: Any,
) -> Float[Array, "P F 3"]:
    """Velocities that lead from where a person is before each gap to where they are after it: what they miss
    of that is shared out among the steps in proportion to their variances.
    """
    before, after = frames_around(gap, 1)
    here = jnp.broadcast_to(jnp.arange(gap.shape[1], dtype=jnp.int32), gap.shape)
    first, last = jnp.where(gap, before, _earlier(before)), jnp.where(gap, after, here)
    moved = (gap | _earlier(gap))[..., None]
    travelled = jnp.cumsum(jnp.where(moved, velocity / rate, 0), axis=1)
    variance = jnp.where(moved, spread**2, 0)
    clock = jnp.cumsum(variance, axis=1)

    def between(values: Array) -> Array:
        ends = (jnp.take_along_axis(values, index[..., None], axis=1) for index in (last, first))
        return jnp.subtract(*ends)

    total = between(clock)
    share = variance / jnp.where(total > 0, total, 1)
    return velocity + jnp.where(moved, rate * share * (between(path) - between(travelled)), 0)


def _turned(vectors: Float[Array, "P F 3"], axes: Float[Array, "P F 3 3"]) -> Float[Array, "P F 3"]:
    return turn_to(vectors[:, :, None], axes)[:, :, 0]


def _answers(loaded: LoadedInfill, motion: Motion) -> tuple[Array, ...]:
    """The fields of `networks.infill.Correction` on every frame of whole clips, in the axes of ``motion``.

    Every CHUNK of frames is answered by the window about the longest hiding among them, so that the network
    sees as much before it as after.
    """
    network, dtype = loaded.network, motion.poses.dtype
    people, frames = motion.root.shape[:2]
    chunks = -(-frames // CHUNK)
    here = np.minimum(np.arange(chunks * CHUNK), frames - 1)
    hidden = motion.occluded[..., 0] & ~motion.absent
    around = frames_around(hidden, 1)
    before, after = (values[:, here].reshape(people, chunks, CHUNK) for values in around)
    inside = hidden[:, here].reshape(people, chunks, CHUNK)
    longest = jnp.argmax(jnp.where(inside, after - before, 0), axis=-1, keepdims=True)
    middle = jnp.take_along_axis((before + after) // 2, longest, axis=-1)[..., 0]
    middle = jnp.where(jnp.any(inside, axis=-1), middle, jnp.arange(chunks)[None] * CHUNK + CHUNK // 2)
    start = middle - network.window // 2
    index = start[..., None] + jnp.arange(network.window)[None, None]
    beyond = (index < 0) | (index >= frames)
    index = jnp.clip(index, 0, frames - 1).reshape(people, -1)

    def cut(values: Array) -> Array:
        """(P, T, ...) -> (P * chunks, window, ...)"""
        place = index.reshape(*index.shape, *[1] * (values.ndim - 2))
        found = jnp.take_along_axis(values, place, axis=1)
        return found.reshape(people * chunks, network.window, *values.shape[2:])

    beyond = beyond.reshape(people * chunks, network.window)
    windows = Motion(*(cut(values) for values in motion))
    windows = windows._replace(occluded=windows.occluded | beyond[..., None], absent=windows.absent | beyond)
    turn = heading_axes(windows.poses, ~windows.occluded[..., 0], network.fps)
    turn = jnp.broadcast_to(turn[:, None], (people * chunks, network.window, 3, 3))
    person = windows._replace(poses=turn_to(windows.poses, turn), root=_turned(windows.root, turn))
    person = jax.tree.map(
        lambda values: values if values.dtype == bool else values.astype(jnp.float32), person
    )
    found = network.apply(loaded.variables, person)
    answers = (
        turn_back(found.poses.astype(dtype), turn),
        _turned(found.velocity.astype(dtype), jnp.swapaxes(turn, -1, -2)),
        found.pose_std.astype(dtype),
        found.spread.astype(dtype),
    )
    own = jnp.asarray(here).reshape(chunks, CHUNK)[None] - start[..., None]
    own = jnp.clip(own, 0, network.window - 1).reshape(people * chunks, CHUNK)

    def join(values: Array) -> Array:
        """(P * chunks, window, ...) -> (P, T, ...)"""
        place = own.reshape(*own.shape, *[1] * (values.ndim - 2))
        values = jnp.take_along_axis(values, place, axis=1)
        return values.reshape(people, chunks * CHUNK, *values.shape[2:])[:, :frames]

    return tuple(join(values) for values in answers)
