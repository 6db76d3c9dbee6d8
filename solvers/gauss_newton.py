"""Damped Gauss-Newton for chains of blocks: `jaxopt.GaussNewton` with a banded square-root solve inside."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
from jaxtyping import Array, Float, Int

from solvers import block_banded

# Damping is relative to the stiffest unknown. The first rejected step starts it; below the floor it is dropped.
FIRST_DAMPING = 1e-6
DAMPING_UP = 10.0
DAMPING_DOWN = 0.1
DAMPING_FLOOR = 1e-7

# Rounds of conjugate gradients in the implicit solve. Preconditioned with the Gauss-Newton factor they gain more than
# a digit a round unless residuals are huge.
IMPLICIT_ROUNDS = 60


class Status(IntEnum):
    """How a solve ended, for each lane (person)."""

    CONVERGED = 0
    MAX_STEPS = 1
    TOO_FEW_OBSERVATIONS = 2
    NON_FINITE = 3
    BEHIND_CAMERA = 4


class WeightedResiduals(NamedTuple):
    """cost = 1/2 sum w r^2, as arrays whose last axis counts lanes.

    values, weights: tuples of arrays that match or broadcast, pair by pair. Weights stay outside the residuals so that
        the cost is differentiable in a weight of zero.
    magnitude (lanes,): size of the numbers whose difference the residuals are. It tells how finely floating point
        can resolve the cost.
    """

    values: tuple[Array, ...]
    weights: tuple[Array, ...]
    magnitude: Array


class BandedState(NamedTuple):
    """jaxopt's state with one entry a lane, plus damping, status and the count of steps that each lane took.

    error is the largest change of any unknown in the last accepted step. status reads MAX_STEPS until it is settled.
    """

    iter_num: Int[Array, ""]
    value: Float[Array, " lanes"]
    error: Float[Array, " lanes"]
    delta: Float[Array, "blocks n lanes"]
    gradient: Float[Array, "blocks n lanes"]
    damping: Float[Array, " lanes"]
    status: Int[Array, " lanes"]
    num_steps: Int[Array, " lanes"]
    aux: None = None


@dataclass(eq=False)
class BandedGaussNewton(jaxopt.GaussNewton):
    """argmin_x 1/2 sum w r(x, *args)^2 over a chain x of shape (blocks, n, lanes); each lane is a problem of its own.

    residual_fun: ``residual_fun(x, *args) -> WeightedResiduals``.
    linearize: ``linearize(x, *args) -> ChainRows``, the rows [sqrt(w) J | -sqrt(w) r]. Rows of the same block may be
        compressed by any orthogonal transformation.
    maxiter, tol: most steps, and the change of an unknown below which a lane has converged (in its own unit).
    implicit_diff: derivatives of the solution by the implicit function theorem with the exact Hessian of the cost,
        forward and reverse; otherwise by unrolling the steps.
    implicit_diff_solve: ``solve(matvec, b)`` in place of the banded solve of the implicit system.

    What differs from `jaxopt.GaussNewton`, whose `run`, `init_state`, `update` and `optimality_fun` it keeps: the step
    solves the banded rows by QR (no normal equations); Levenberg damping rejects every step that would raise the cost
    (in the last steps, to within the rounding of the cost); each lane has its own status and stops by itself.
    """

    linearize: Callable[..., block_banded.ChainRows] | None = None

    def __post_init__(self) -> None:
        if self.linearize is None:
            raise ValueError("linearize is needed: pass a function (params, *args) -> ChainRows")
        super().__post_init__()
        self.optimality_fun = jax.grad(
            lambda params, *args, **kwargs: self.cost(params, *args, **kwargs).sum()
        )

    def cost(self, params: Array, *args: Any, **kwargs: Any) -> Float[Array, " lanes"]:
        """1/2 sum w r^2 of every lane."""
        return _cost(self.residual_fun(params, *args, **kwargs))

    def init_state(
        self, init_params: Float[Array, "blocks n lanes"], *args: Any, **kwargs: Any
    ) -> BandedState:
        """The state before the first step; a lane whose cost is not finite stops here."""
        value = self.cost(init_params, *args, **kwargs)
        lanes = value.shape
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(init_params), axis=(0, 1))
        return BandedState(
            iter_num=jnp.asarray(0),
            value=value,
            error=jnp.full(lanes, jnp.inf, value.dtype),
            delta=jnp.zeros_like(init_params),
            gradient=jnp.zeros_like(init_params),
            damping=jnp.zeros(lanes, value.dtype),
            status=jnp.where(finite, int(Status.MAX_STEPS), int(Status.NON_FINITE)),
            num_steps=jnp.zeros(lanes, jnp.asarray(0).dtype),
        )

    def update(
        self, params: Float[Array, "blocks n lanes"], state: BandedState, *args: Any, **kwargs: Any
    ) -> Any:
        """One trial step of every lane that has not settled; a step that raises the cost only raises the damping."""
        assert self.linearize is not None
        residuals = self.residual_fun(params, *args, **kwargs)
        rows = self.linearize(params, *args, **kwargs)
        downhill = block_banded.minus_gradient(rows)
        stiffness = block_banded.stiffness(rows)
        step = block_banded.solve(block_banded.damp(rows, jnp.sqrt(state.damping) * stiffness))
        trial = params + step
        trial_residuals = self.residual_fun(trial, *args, **kwargs)

        decrease = _decrease(residuals, trial_residuals)
        moved = state.damping * stiffness**2 * _lane_sum(step * step)
        predicted = (_lane_sum(downhill * step) + moved) / 2
        noise = _cost_rounding(residuals, state.value)
        undamped = state.damping == 0
        in_noise = undamped & (predicted <= noise)
        running = state.status == int(Status.MAX_STEPS)
        accepted = running & ((decrease > 0) | (in_noise & (decrease >= -noise)))

        size = jnp.max(jnp.abs(step), axis=(0, 1))
        resolution = 2 * jnp.finfo(params.dtype).eps * jnp.max(jnp.abs(params), axis=(0, 1))
        small = size <= jnp.maximum(jnp.asarray(self.tol, params.dtype), resolution)
        # At the rounding floor of the cost a Gauss-Newton step no longer shrinks: nothing is left to gain.
        stalled = in_noise & (size > state.error / 2)
        settled = running & undamped & (small | stalled)
        accepted = accepted | (settled & small & jnp.isfinite(size))

        raised = jnp.maximum(state.damping * DAMPING_UP, FIRST_DAMPING)
        lowered = jnp.where(state.damping * DAMPING_DOWN < DAMPING_FLOOR, 0.0, state.damping * DAMPING_DOWN)
        new_state = BandedState(
            iter_num=state.iter_num + 1,
            value=jnp.where(accepted, _cost(trial_residuals), state.value),
            error=jnp.where(accepted, size, state.error),
            delta=jnp.where(accepted[None, None], step, state.delta),
            gradient=jnp.where(running[None, None], -downhill, state.gradient),
            damping=jnp.where(running, jnp.where(accepted, lowered, raised), state.damping).astype(
                params.dtype
            ),
            status=jnp.where(settled, int(Status.CONVERGED), state.status),
            num_steps=state.num_steps + running.astype(state.num_steps.dtype),
        )
        if self.verbose:
            self.log_info(new_state, error_name="largest change")
        return jaxopt.OptStep(params=jnp.where(accepted[None, None], trial, params), state=new_state)

    def run(self, init_params: Float[Array, "blocks n lanes"], *args: Any, **kwargs: Any) -> Any:
        """(params, state) after at most ``maxiter`` steps; differentiable in args and kwargs, not in init_params."""
        if not self.implicit_diff:
            return self._run(init_params, *args, **kwargs)

        @jax.custom_jvp
        def solved(start: Any, given: Any) -> Any:
            return self._run(start, *given[0], **given[1])

        @solved.defjvp
        def implicit(primals: Any, tangents: Any) -> Any:
            start, given = primals
            out = solved(start, given)
            params, state = out.params, out.state

            def at_solution(given: Any) -> tuple[Array, Array]:
                return (
                    self.optimality_fun(params, *given[0], **given[1]),
                    self.cost(params, *given[0], **given[1]),
                )

            _, (force, value_dot) = jax.jvp(at_solution, (given,), (tangents[1],))
            params_dot = self._implicit_solve(params, given, -force)
            still = jax.tree.map(_zero_tangent, state)
            return out, jaxopt.OptStep(params=params_dot, state=still._replace(value=value_dot))

        return solved(init_params, (args, kwargs))

    def _cond_fun(self, inputs: Any) -> Array:
        _, state = inputs[0]
        return jnp.any(state.status == int(Status.MAX_STEPS))

    def _implicit_solve(self, params: Array, given: Any, force: Array) -> Array:
        """H^-1 force with the exact Hessian H of the cost, by conjugate gradients on the Gauss-Newton factor."""
        args, kwargs = given
        _, hessian = jax.linearize(lambda p: self.optimality_fun(p, *args, **kwargs), params)
        if self.implicit_diff_solve is not None:
            return self.implicit_diff_solve(hessian, force)
        assert self.linearize is not None
        chain = block_banded.factor(self.linearize(params, *args, **kwargs))

        def solve(matvec: Callable[[Array], Array], b: Array) -> Array:
            return _conjugate_gradients(matvec, lambda v: block_banded.solve_normal(chain, v), b)

        return jax.lax.custom_linear_solve(hessian, force, solve, symmetric=True)


def _conjugate_gradients(
    matvec: Callable[[Array], Array], precondition: Callable[[Array], Array], b: Array
) -> Array:
    """x with matvec(x) = b for every lane; lanes that are done, or singular, stand still."""
    target = jnp.finfo(b.dtype).eps ** 2

    def ratio(numerator: Array, denominator: Array) -> Array:
        usable = denominator > 0
        return jnp.where(usable, numerator / jnp.where(usable, denominator, jnp.ones_like(denominator)), 0.0)

    def proceed(carry: Any) -> Array:
        count, _, _, _, product, first, _ = carry
        return (count < IMPLICIT_ROUNDS) & jnp.any(product > target * first)

    def step(carry: Any) -> Any:
        count, x, residual, direction, product, first, best = carry
        active = product > target * first
        image = matvec(direction)
        length = jnp.where(active, ratio(product, _lane_sum(direction * image)), 0.0)
        x = x + length[None, None] * direction
        residual = residual - length[None, None] * image
        better = precondition(residual)
        new_product = _lane_sum(residual * better)
        # Rounding ends the descent before the target where the system is ill-conditioned.
        rising = new_product > 1e4 * best
        direction = better + ratio(new_product, product)[None, None] * direction
        new_product = jnp.where(active & ~rising, new_product, 0.0)
        return count + 1, x, residual, direction, new_product, first, jnp.minimum(best, new_product)

    start = precondition(b)
    product = _lane_sum(b * start)
    carry = (0, jnp.zeros_like(b), b, start, product, product, product)
    return jax.lax.while_loop(proceed, step, carry)[1]


def _lane_sum(values: Array) -> Array:
    return jnp.sum(values, axis=tuple(range(values.ndim - 1)))


def _cost(residuals: WeightedResiduals) -> Array:
    terms = [_lane_sum(w * r * r) for r, w in zip(residuals.values, residuals.weights, strict=True)]
    return sum(terms[1:], terms[0]) / 2


def _decrease(before: WeightedResiduals, after: WeightedResiduals) -> Array:
    """cost(before) - cost(after) as a sum of differences: the difference of the sums would drown in rounding."""
    terms = [
        _lane_sum(w * (old - new) * (old + new))
        for old, new, w in zip(before.values, after.values, before.weights, strict=True)
    ]
    return sum(terms[1:], terms[0]) / 2


def _cost_rounding(residuals: WeightedResiduals, value: Array) -> Array:
    """Error of a cost whose residuals are each off by half a unit in the last place of their magnitude."""
    slip = jnp.finfo(value.dtype).eps * residuals.magnitude
    count = sum(values.size // values.shape[-1] for values in residuals.values)
    return 4 * (slip * jnp.sqrt(2 * value) + count * slip * slip)


def _zero_tangent(value: Array) -> Any:
    return (
        jnp.zeros_like(value)
        if jnp.issubdtype(value.dtype, jnp.inexact)
        else np.zeros(value.shape, jax.dtypes.float0)
    )
