"""Somebody who passes between a camera and the person it films, and what a detector makes of both."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


class PassingDistribution(NamedTuple):
    """Where somebody else passes, and how often joints that they cover are reported on them.

    share: share of the windows in which somebody passes.
    nearer: metres by which they are nearer to the camera, at least and at most; never nearer than halfway.
    aside: standard deviation of how far beside the line of sight they are at the window's middle, metres.
    speed: standard deviation of their speed across the line of sight, metres a second, besides what they do.
    snapped: share of these windows whose covered joints a detector finds on whoever covers them, as
    confidently as seen ones; on the joint of the same name or, as often, on that of the other side.
    """

    share: float = 0.0
    nearer: tuple[float, float] = (0.3, 2.5)
    aside: float = 0.25
    speed: float = 0.7
    snapped: float = 0.3


def pass_before(
    key: PRNGKeyArray,
    other: Float[Array, "frames joints 3"],
    hip: Float[Array, "3"],
    camera: Float[Array, "3"],
    seconds: Float[Array, " frames"],
    distribution: PassingDistribution,
) -> Float[Array, "frames joints 3"]:
    """The motion ``other``, moved over the ground to where it passes before ``hip`` as the camera sees it.

    other: world metres, z up; it keeps its heights. hip: of whoever is covered, at the middle frame. camera:
    the place of the camera. seconds: times of the frames, 0 at the middle one.
    """
    near_key, aside_key, speed_key = jax.random.split(key, 3)
    sight = (camera - hip)[:2]
    distance = jnp.sqrt(jnp.sum(sight**2) + 1e-6)
    sight = sight / distance
    across = jnp.stack([-sight[1], sight[0]])
    least, most = distribution.nearer
    nearer = jnp.minimum(jax.random.uniform(near_key, (), minval=least, maxval=most), distance / 2)
    aside = distribution.aside * jax.random.normal(aside_key)
    speed = distribution.speed * jax.random.normal(speed_key)
    start = hip[:2] + nearer * sight - other[len(other) // 2, 0, :2]
    shift = start[None] + (aside + speed * seconds[:, None]) * across[None]
    return other.at[..., :2].add(shift[:, None])


def sample_snapped(
    key: PRNGKeyArray,
    covered: Bool[Array, "frames joints"],
    keypoints: Float[Array, "frames joints 2"],
    coverer: Float[Array, "frames joints 2"],
    mirror: tuple[int, ...],
    distribution: PassingDistribution,
) -> tuple[Bool[Array, "frames joints"], Float[Array, "frames joints 2"]]:
    """Which of the ``covered`` joints a detector finds on the coverer instead, and by how much that moves
    them, pixels; zero for the others. It does or does not for the whole window.

    keypoints, coverer: where both people's joints truly are in the picture. mirror: `Skeleton.mirror`.
    """
    snaps_key, side_key = jax.random.split(key)
    moved = covered & jax.random.bernoulli(snaps_key, distribution.snapped)
    there = jnp.where(jax.random.bernoulli(side_key), coverer[:, jnp.array(mirror)], coverer)
    return moved, jnp.where(moved[..., None], there - keypoints, 0)
