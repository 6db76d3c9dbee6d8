"""`recovery.observation` one frame at a time, for networks that read no later frame.

Everything that lies behind a frame is in a state of fixed size: the last visible ray of each joint and how
long ago it was, the sums behind a joint's speed, and the smoothed direction of each person.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import OLDEST_GAP, EdgeSums, coast, edge_step, joint_mean, zero_gaps
from gated_lift.recovery.observation import TURN_SECONDS, direction_of, in_turned_axes, turn_towards

# Frames since a joint was seen that never was, and where counting ends.
NEVER = 2**30


class GapState(NamedTuple):
    """value: the last visible ray of each joint. unseen: frames since then, NEVER where there is none.
    speed, sums: at the last visible frame, and what it is made of (`occlusion.edge_step`).
    """

    value: Float[Array, "people joints 2"]
    unseen: Int[Array, "people joints"]
    speed: Float[Array, "people joints 2"]
    sums: EdgeSums


class Seen(NamedTuple):
    """One frame of the stream. rays: gaps filled. since: seconds since each joint was seen, 0 where it is."""

    rays: Float[Array, "people joints 2"]
    occluded: Bool[Array, "people joints"]
    since: Float[Array, "people joints"]


def start_gaps(people: int, joints: int) -> GapState:
    """Nobody has been seen yet."""
    rays, one = jnp.zeros((people, joints, 2)), jnp.zeros((people, joints, 1))
    return GapState(rays, jnp.full((people, joints), NEVER, jnp.int32), rays, EdgeSums(one, one, rays))


def fill_frame(
    how: str,
    state: GapState,
    rays: Float[Array, "people joints 2"],
    occluded: Bool[Array, "people joints"],
    elapsed: Any,
) -> tuple[GapState, Seen]:
    """`occlusion.fill` of a causal network, for the newest frame. elapsed: seconds from frame to frame."""
    value = jnp.where(occluded[..., None], state.value, rays)
    unseen = jnp.where(occluded, jnp.minimum(state.unseen + 1, NEVER), 0)
    since = unseen.astype(rays.dtype) * elapsed
    known = (unseen < NEVER)[..., None]
    speed, sums, filled = state.speed, state.sums, value
    if how == "cubic":
        seen = (~occluded)[..., None].astype(rays.dtype)
        sums, now = edge_step(sums, zero_gaps(rays, occluded), seen, elapsed)
        speed = jnp.where(occluded[..., None], speed, now)
        gone = coast(speed, since[..., None])
        filled = value + jnp.where(occluded[..., None] & known, gone, 0)
    filled = jnp.where(known, filled, joint_mean(filled, known))
    return GapState(value, unseen, speed, sums), Seen(filled, occluded, since)


def turn_frame(
    network: TemporalLifter,
    direction: Float[Array, "people 3"],
    seen: Seen,
    started: Bool[Array, " people"],
    later: Any,
    focal: Any,
    turned: bool,
) -> tuple[Float[Array, "people 3"], Array, Array, Array]:
    """The smoothed direction with a further frame of the network, and what the network reads there:
    keypoints, age, and the turn from camera axes (`observation.Observation`).

    direction: as it was, read where somebody has ``started``. later: seconds from the frame of the stream
    to that of the network, which holds it.
    """
    age = jnp.where(seen.occluded, jnp.minimum(seen.since + later, OLDEST_GAP), 0)
    if turned:
        keep = jnp.exp(-jnp.asarray(1 / network.fps / TURN_SECONDS, seen.rays.dtype))
        now = direction_of(seen.rays)
        direction = jnp.where(started[:, None], keep * direction + (1 - keep) * now, now)
        turn = turn_towards(direction)
    else:
        turn = jnp.broadcast_to(jnp.eye(3, dtype=seen.rays.dtype), (len(seen.rays), 3, 3))
    return direction, in_turned_axes(network, seen.rays, seen.occluded, turn, focal), age, turn


def forget_gaps(state: GapState, people: Bool[Array, " people"]) -> GapState:
    """The state as if those had never been seen of whom ``people`` is True."""
    nobody = start_gaps(*state.unseen.shape)
    return jax.tree.map(
        lambda new, old: jnp.where(people.reshape(-1, *[1] * (old.ndim - 1)), new, old), nobody, state
    )
