"""Losses of a joint's pixel error e = |(du, dv)|: squared, Huber and Geman-McClure.

A loss rho is given by its share rho / e^2, with which a residual's weight is multiplied in the cost, and by
its slope d rho / d e^2, with which it is multiplied in a Gauss-Newton step (iterative reweighting). Both are
1 at e = 0 and functions of e^2, so that nothing divides by e and all derivatives are finite there. The losses
are concave in e^2: a quadratic in e^2's place with this slope lies above, so that a reweighted step lowers
the true cost wherever a plain one would lower the quadratic. A loss is a pytree whose type is static and
whose scale is not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array


class Squared(NamedTuple):
    """rho(e) = e^2."""

    def share(self, square: Array) -> Array:
        return jnp.ones_like(square)

    def slope(self, square: Array) -> Array:
        return jnp.ones_like(square)

    def decrease(self, before: Array, after: Array, change: Array) -> Array:
        """rho before - rho after, from e^2 before and after and their difference ``change``, which the caller
        has without cancellation."""
        return change


class Huber(NamedTuple):
    """rho(e) = e^2 up to e = scale, 2 scale e - scale^2 beyond. scale: pixels, positive."""

    scale: Any

    def share(self, square: Array) -> Array:
        slope = self.slope(square)
        return slope * (2 - slope)

    def slope(self, square: Array) -> Array:
        # The maximum stands inside the root, which has no derivative at zero.
        return self.scale / jnp.sqrt(jnp.maximum(square, self.scale * self.scale))

    def decrease(self, before: Array, after: Array, change: Array) -> Array:
        # With m = min(e, scale), rho = m (2 e - m); between two errors e on one side of the scale the
        # difference is a multiple of ``change``.
        scale = self.scale
        limit = scale * scale
        roots = jnp.sqrt(jnp.maximum(before, limit)) + jnp.sqrt(jnp.maximum(after, limit))
        across = before * self.share(before) - after * self.share(after)
        alike = jnp.where(before > limit, change * (2 * scale / roots), change)
        return jnp.where((before > limit) == (after > limit), alike, across)


class GemanMcClure(NamedTuple):
    """rho(e) = e^2 / (1 + e^2 / scale^2), at most scale^2. scale: pixels, positive."""

    scale: Any

    def share(self, square: Array) -> Array:
        return 1 / (1 + square / (self.scale * self.scale))

    def slope(self, square: Array) -> Array:
        share = self.share(square)
        return share * share

    def decrease(self, before: Array, after: Array, change: Array) -> Array:
        return change * self.share(before) * self.share(after)


Loss = Squared | Huber | GemanMcClure
SQUARED = Squared()

# By name, each with its usual scale in pixels. Chosen for people 400 px tall, whose sound joints are a few
# pixels off: Huber's loss lets an outlier pull with 2 scale for ever, so its scale is small; Geman-McClure's
# weight has fallen to a quarter at its scale, so that a small one would throw sound joints away.
LOSSES: dict[str, tuple[Callable[..., Loss], float | None]] = {
    "squared": (Squared, None),
    "huber": (Huber, 5.0),
    "geman_mcclure": (GemanMcClure, 20.0),
}
