"""Damped Gauss-Newton for chains of blocks: `jaxopt.GaussNewton` with a banded square-root solve inside."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import jaxopt.loop
import numpy as np
from jaxtyping import Array, Float, Int

from solvers import block_banded

# Damping is what Levenberg adds to the diagonal of J^T J. The first rejected step sets it to this share of
# the largest entry there; below the floor it is dropped, so that the last steps are pure Gauss-Newton.
FIRST_DAMPING = 1e-6
DAMPING_UP = 10.0
DAMPING_DOWN = 0.1
DAMPING_FLOOR = 1e-7

# Steps are not asked to get below this many units in the last place of the largest unknown (in float32 15 um
# at 4 m): over long gaps the elimination itself is no finer.
RESOLUTION = 32

# Rounds of conjugate gradients in the implicit solve. Preconditioned with the Gauss-Newton factor they gain
# more than a digit a round unless residuals are huge.
IMPLICIT_ROUNDS = 60


class Status(IntEnum):
    """How a solve ended, for each lane (person)."""

    CONVERGED = 0
    MAX_STEPS = 1
    TOO_FEW_OBSERVATIONS = 2
    NON_FINITE = 3
    BEHIND_CAMERA = 4
    UNOBSERVABLE = 5
    IMPLAUSIBLE_DISTANCE = 6
    MISFIT = 7
    PARTLY_SEEN = 8


class WeightedResiduals(NamedTuple):
    """cost = 1/2 sum w r^2, as arrays whose last axis counts lanes.

    values, weights: tuples of arrays that match or broadcast, pair by pair. Weights stay outside the
    residuals so
        that the cost is differentiable in a weight of zero. Weights that depend on x make a robust cost:
        then `compare` has to be given, and the rows of `linearize` must have its gradient, J^T r.
    magnitude (lanes,): size of the numbers whose differences the residuals are. It tells how finely floating
    point
        can resolve the cost.
    """

    values: tuple[Array, ...]
    weights: tuple[Array, ...]
    magnitude: Array


class Comparison(NamedTuple):
    """before, value (lanes,): the cost before a step and after it; decrease (lanes,): their difference, a sum
    of differences, as the difference of the sums would drown in rounding.
    """

    decrease: Array
    before: Array
    value: Array


class BandedState(NamedTuple):
    """One entry a lane, as far as lanes differ.

    iter_num: trial steps so far; num_steps: those that the lane took part in, rejected ones included.
    value: 1/2 sum w r^2 at the parameters, infinite before the first step; error: the largest change of an
    unknown in the last accepted step.
    damping: what was added to the diagonal of J^T J; status: MAX_STEPS until it is settled.
    """

    iter_num: Int[Array, ""]
    value: Float[Array, " lanes"]
    error: Float[Array, " lanes"]
    damping: Float[Array, " lanes"]
    status: Int[Array, " lanes"]
    num_steps: Int[Array, " lanes"]
    aux: None = None


@dataclass(eq=False)
class BandedGaussNewton(jaxopt.GaussNewton):
    """argmin_x 1/2 sum w r(x, *args)^2 over a chain x of shape (blocks, n, lanes), every lane a problem of
    its own.

    residual_fun: ``residual_fun(x, *args) -> WeightedResiduals``.
    linearize: ``linearize(x, damping, *args) -> ChainRows``, the rows [sqrt(w) J | -sqrt(w) r] with the rows
        [sqrt(damping) I | 0] among them; damping has shape (lanes,). Rows may be replaced by others with
        the same sum of squares but for a constant: reduced by any orthogonal transformation, for instance.
    compare: ``compare(x, trial, *args) -> Comparison``, where that is quicker than from the two residuals.
    maxiter, tol: most steps, and the change of an unknown that the next step may still bring (as the last two
        foretell) when a lane counts as converged, in the unknown's unit.
    implicit_diff: derivatives of the solution by the implicit function theorem with the exact Hessian of the
    cost,
        forward and reverse; otherwise by unrolling the steps (reverse only).
    implicit_diff_solve: ``solve(matvec, b)`` in place of the banded solve of the implicit system.

    `run`, `init_state`, `update` and `optimality_fun` are those of `jaxopt.GaussNewton`. What differs: a step
    solves the banded rows by QR (no normal equations); Levenberg's damping rejects every step that would
    raise the cost (in the last steps, to within its rounding); every lane stops by itself, with its status.
    """

    # jaxopt's own fields, spelt in today's types.
    residual_fun: Callable[..., WeightedResiduals]
    implicit_diff_solve: Callable[..., Any] | None = None
    verbose: bool | int = False
    unroll: bool | str = "auto"
    linearize: Callable[..., block_banded.ChainRows] | None = None
    compare: Callable[..., Comparison] | None = None

    def __post_init__(self) -> None:
        if self.linearize is None:
            raise ValueError("linearize is missing: pass a function (params, damping, *args) -> ChainRows")
        if self.has_aux:
            raise ValueError(
                "has_aux is True, and residual_fun returns WeightedResiduals: pass has_aux=False"
            )
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
        """The state before the first step, which will know the cost; a lane that is not finite stops here."""
        finite = jnp.all(jnp.isfinite(init_params), axis=(0, 1))
        status = jnp.where(finite, int(Status.MAX_STEPS), int(Status.NON_FINITE))
        unknown = jnp.full(init_params.shape[-1], jnp.inf, init_params.dtype)
        return BandedState(
            iter_num=jnp.asarray(0),
            value=unknown,
            error=unknown,
            damping=jnp.zeros_like(unknown),
            status=status,
            num_steps=jnp.zeros_like(status),
        )

    def update(
        self, params: Float[Array, "blocks n lanes"], state: BandedState, *args: Any, **kwargs: Any
    ) -> jaxopt.OptStep:
        """One trial step of every lane that has not settled; one that raises the cost only raises the
        damping.
        """
        rows = self._rows(params, state.damping, *args, **kwargs)
        chain = block_banded.factor_fast(rows)
        step = block_banded.back_substitute(chain, params.shape[0])
        trial = params + step
        residuals = self.residual_fun(params, *args, **kwargs)  # their number and magnitude
        decrease, before, value = self._compare(params, trial, *args, **kwargs)

        running = state.status == int(Status.MAX_STEPS)
        lost = running & ~jnp.isfinite(before)
        undamped = state.damping == 0
        noise = rounding(residuals, before)
        gainless = block_banded.explained(chain) / 2 <= noise
        in_noise = undamped & gainless
        size = jnp.max(jnp.abs(step), axis=(0, 1))
        resolution = RESOLUTION * jnp.finfo(params.dtype).eps * jnp.max(jnp.abs(params), axis=(0, 1))
        limit = jnp.maximum(jnp.asarray(self.tol, params.dtype), resolution)
        accepted = running & ((decrease > 0) | (in_noise & (decrease >= -noise)))
        # Steps shrink in proportion: the last two foretell the next, which need not be made if it is small.
        # They are trusted with one digit at most, as the first steps shrink faster than the last. Below the
        # rounding of the cost a comparison tells nothing: there steps shrink until only rounding is left.
        shrinkage = jnp.where(jnp.isinf(state.error), 1, jnp.clip(size / state.error, 0.1, 1))
        small = (size <= limit) | (accepted & (size * shrinkage <= limit))
        settled = running & undamped & (small | (in_noise & jnp.isfinite(state.error) & (shrinkage > 0.5)))

        stiffest = block_banded.stiffest(rows)
        raised = jnp.maximum(state.damping * DAMPING_UP, FIRST_DAMPING * stiffest)
        lowered = state.damping * DAMPING_DOWN
        lowered = jnp.where(lowered < DAMPING_FLOOR * stiffest, jnp.zeros_like(lowered), lowered)
        # Where the cost can no longer judge a step, damping has nothing to go by.
        damping = jnp.where(gainless, jnp.zeros_like(lowered), jnp.where(accepted, lowered, raised))
        new_state = BandedState(
            iter_num=state.iter_num + 1,
            value=jnp.where(running, jnp.where(accepted, value, before), state.value),
            error=jnp.where(accepted, size, state.error),
            damping=jnp.where(running, damping, state.damping),
            status=jnp.where(
                lost, int(Status.NON_FINITE), jnp.where(settled, int(Status.CONVERGED), state.status)
            ),
            num_steps=state.num_steps + (running & ~lost).astype(state.num_steps.dtype),
        )
        if self.verbose:
            self.log_info(new_state, error_name="largest change")
        return jaxopt.OptStep(params=jnp.where(accepted[None, None], trial, params), state=new_state)

    def run(self, init_params: Float[Array, "blocks n lanes"], *args: Any, **kwargs: Any) -> Any:
        """(params, state) after at most ``maxiter`` steps; differentiable in args and kwargs, not in
        init_params.
        """
        if not self.implicit_diff:
            return self._run(init_params, *args, **kwargs)
        return self.differentiable(self.search(init_params, *args, **kwargs), *args, **kwargs)

    def search(
        self, init_params: Float[Array, "blocks n lanes"], *args: Any, **kwargs: Any
    ) -> jaxopt.OptStep:
        """`run` without derivatives."""
        fixed = jax.lax.stop_gradient((init_params, args, kwargs))
        return self._run(fixed[0], *fixed[1], **fixed[2])

    def differentiable(self, found: jaxopt.OptStep, *args: Any, **kwargs: Any) -> jaxopt.OptStep:
        """What `search` has found, with the derivatives of params and value in args and kwargs by the
        implicit function theorem.

        They need not be what was searched with: where a lane turned out to have no answer, whatever is not
        finite there can be masked first, so that it does not meet the gradients of what lanes share.
        """

        @jax.custom_jvp
        def solved(found: Any, given: Any) -> Any:
            return found

        @solved.defjvp
        def implicit(primals: Any, tangents: Any) -> Any:
            found, given = primals
            params, state = found

            def at_solution(given: Any) -> tuple[Array, Array]:
                return (
                    self.optimality_fun(params, *given[0], **given[1]),
                    self.cost(params, *given[0], **given[1]),
                )

            _, (force, value_dot) = jax.jvp(at_solution, (given,), (tangents[1],))
            params_dot = self._implicit_solve(params, given, -force)
            still = jax.tree.map(zero_tangent, state)
            return found, jaxopt.OptStep(params=params_dot, state=still._replace(value=value_dot))

        return solved(found, (args, kwargs))

    def _run(self, init_params: Array, *args: Any, **kwargs: Any) -> jaxopt.OptStep:
        # jaxopt traces its first step outside the loop, which would compile the elimination twice.
        start = jaxopt.OptStep(init_params, self.init_state(init_params, *args, **kwargs))
        return jaxopt.loop.while_loop(
            cond_fun=self._cond_fun,
            body_fun=self._body_fun,
            init_val=(start, (args, kwargs)),
            maxiter=self.maxiter,
            jit=self.jit,
            unroll=self._get_unroll_option(),
        )[0]

    def _cond_fun(self, inputs: Any) -> Array:
        _, state = inputs[0]
        return jnp.any(state.status == int(Status.MAX_STEPS))

    def _rows(self, params: Array, damping: Array, *args: Any, **kwargs: Any) -> block_banded.ChainRows:
        assert self.linearize is not None  # __post_init__ has made sure
        return self.linearize(params, damping, *args, **kwargs)

    def _compare(self, params: Array, trial: Array, *args: Any, **kwargs: Any) -> Comparison:
        if self.compare is not None:
            return self.compare(params, trial, *args, **kwargs)
        return compare_residuals(*(self.residual_fun(at, *args, **kwargs) for at in (params, trial)))

    def _implicit_solve(self, params: Array, given: Any, force: Array) -> Array:
        """H^-1 force with the exact Hessian H of the cost, by conjugate gradients on the Gauss-Newton
        factor.
        """
        args, kwargs = given
        _, hessian = jax.linearize(lambda p: self.optimality_fun(p, *args, **kwargs), params)
        if self.implicit_diff_solve is not None:
            return self.implicit_diff_solve(hessian, force)
        rows = self._rows(params, jnp.zeros(params.shape[-1], params.dtype), *args, **kwargs)
        chain = block_banded.factor(rows, unroll=False)

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
    # A first axis that is the shorter one, that of joints before frames, is added term by term: XLA's
    # reductions do not vectorise along the others on a CPU.
    if values.ndim > 2 and 1 < values.shape[0] <= min(64, values.shape[1]):
        values = sum(values[1:], values[0])
    return jnp.sum(values, axis=tuple(range(values.ndim - 1)))


def inner_product(left: WeightedResiduals, right: WeightedResiduals) -> Array:
    """sum w r s of every lane, with the weights of the first."""
    terms = [_lane_sum(w * r * s) for r, s, w in zip(left.values, right.values, left.weights, strict=True)]
    return sum(terms[1:], terms[0])


def _cost(residuals: WeightedResiduals) -> Array:
    return inner_product(residuals, residuals) / 2


def compare_residuals(before: WeightedResiduals, after: WeightedResiduals) -> Comparison:
    """`Comparison` of two places' residuals."""
    terms = [
        _lane_sum(w * (old - new) * (old + new))
        for old, new, w in zip(before.values, after.values, before.weights, strict=True)
    ]
    return Comparison(sum(terms[1:], terms[0]) / 2, _cost(before), _cost(after))


def rounding(residuals: WeightedResiduals, value: Array) -> Array:
    """Error of a cost whose residuals are each off by half a unit in the last place of their magnitude."""
    slip = jnp.finfo(value.dtype).eps * residuals.magnitude
    count = sum(values.size // values.shape[-1] for values in residuals.values)
    return 4 * (slip * jnp.sqrt(2 * value) + count * slip * slip)


def zero_tangent(value: Array) -> Any:
    return (
        jnp.zeros_like(value)
        if jnp.issubdtype(value.dtype, jnp.inexact)
        else np.zeros(value.shape, jax.dtypes.float0)
    )
