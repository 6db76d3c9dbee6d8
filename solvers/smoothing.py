"""Whittaker's smoother: values over time, smoothed by a time constant in seconds."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
from jaxtyping import Array, Float, Shaped

from solvers.block_banded import BandedLinks, ChainRows, solve
from solvers.gauss_newton import BandedGaussNewton, WeightedResiduals
from solvers.pinhole import is_traced
from solvers.trajectory_config import arithmetic_dtype, as_given, check_rate, read_begin

STEPS = 2


def smooth(
    values: Shaped[Any, "..."],
    seconds: Any,
    fps: Any,
    weight: Shaped[Any, "..."] | None = None,
    begin: Any = None,
) -> Float[Array, "..."]:
    """Every channel by itself:

        argmin_y  sum_t w_t |x_t - y_t|^2 + (seconds fps)^4 sum_t |y_{t-1} - 2 y_t + y_{t+1}|^2

    The gain at the angular frequency omega is 1 / (1 + (seconds omega)^4) for frequencies well below the
    frame rate: a movement of period 2 pi * seconds keeps half of its amplitude, at every rate. Constants and
    straight lines stay what they are.

    values x (..., F, C): any unit. seconds: the time constant, not negative; 0 returns the values as they
    are. fps: frames a second, finite and positive. Either is one number and may be traced.
    weight w (..., F): not negative, 1 without it. A frame of weight 0 has no say, and may hold NaN; y there
        is what the other frames say: the value of one frame alone, and NaN if there is none.
    begin: how many leading frames have no say at all; they are returned as they came.

    Returns (..., F, C) in the dtype of values (float32 for shorter ones). Solved by QR of the rows, in O(F);
    the derivatives in values, weight, seconds and fps are one more solve of the same system. Jits and vmaps.
    Raises ValueError for shapes that do not fit, values that are not floating point, masked arrays, and
    concrete numbers out of range. A frame with a say that is NaN or infinite makes its channel NaN.
    """
    values = as_given("values", values)
    if values.ndim < 2 or 0 in values.shape:
        raise ValueError(f"values has shape {values.shape}: pass (..., F, C), none of them empty")
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"values has dtype {values.dtype}: pass floating point numbers")
    if weight is not None:
        weight = as_given("weight", weight)
        if weight.shape != values.shape[:-1]:
            raise ValueError(
                f"weight has shape {weight.shape}, values {values.shape}: pass one number a frame, "
                f"{values.shape[:-1]}"
            )
        if not is_traced(weight) and not np.all(np.isfinite(weight) & (np.asarray(weight) >= 0)):
            raise ValueError("weight holds a number that is negative or not finite: pass 0 for no say")
    check_rate(fps)
    if np.shape(seconds) != () or (not is_traced(seconds) and not (np.isfinite(seconds) and seconds >= 0)):
        raise ValueError(f"seconds is {seconds}: pass one time constant, finite and not negative")
    if begin is not None:
        begin = read_begin(begin, values.shape[-2])
    return _smooth(values, seconds, fps, weight, begin)


class _Problem(NamedTuple):
    """x, w (frames, lanes): values and weights, a lane for every channel, zeros where a frame has no say;
    frames are even in number. stiffness (): (seconds fps)^2. tied (frames - 2, 1): 1 where three frames are
    tied, 0 where one of them stands before the beginning or behind the end. idle (frames, lanes): 1 where a
    value is held at zero, because it stands there or nothing tells it.
    """

    x: Array
    w: Array
    stiffness: Array
    tied: Array
    idle: Array


def _second_differences(y: Array) -> Array:
    # Differences of neighbours are exact in floating point, and so are those of differences.
    change = y[1:] - y[:-1]
    return change[1:] - change[:-1]


def _residuals(params: Array, problem: _Problem) -> WeightedResiduals:
    y = params.reshape(problem.x.shape)
    ties = problem.stiffness * problem.stiffness * problem.tied
    # The ties multiply the rounding of y by the stiffness.
    magnitude = jnp.max(jnp.abs(problem.x), axis=0) * (1 + problem.stiffness)
    return WeightedResiduals(
        (y - problem.x, _second_differences(y), y), (problem.w, ties, problem.idle), magnitude
    )


def _linearize(params: Array, damping: Array, problem: _Problem) -> ChainRows:
    """Two frames a block: one row a frame, and rows that tie three frames and begin with either half."""
    blocks, _, lanes = params.shape
    y = params.reshape(problem.x.shape)
    pivot = jnp.sqrt(problem.w + problem.idle + damping[None])
    pull = problem.w * (problem.x - y) - problem.idle * y
    right = pull / jnp.where(pivot > 0, pivot, jnp.ones_like(pivot))
    ties = problem.stiffness * problem.tied
    stencil = jnp.asarray([[1, -2, 1]], y.dtype)
    return ChainRows(
        jnp.stack([pivot, right], axis=1).reshape(blocks, 2, 1, 2, lanes),
        jnp.zeros((blocks, 0, 3, lanes), y.dtype),
        BandedLinks(
            (ties * stencil).reshape(blocks - 1, 2, 1, 3, 1),
            (-ties * _second_differences(y)).reshape(blocks - 1, 2, 1, lanes),
        ),
    )


def _solve(problem: _Problem) -> Array:
    """The minimiser (blocks, 2, lanes), with derivatives in the problem.

    A linear problem is solved by its first step; the second mends what rounding has left of it. One loop of
    short elimination code: unrolled, it would take as long to compile as the path of Eq. 9.
    """
    start = jax.lax.stop_gradient(problem.x).reshape(-1, 2, problem.x.shape[1])
    still = jax.lax.stop_gradient(problem)
    undamped = jnp.zeros(start.shape[-1], start.dtype)

    def step(_: Any, y: Array) -> Array:
        return y + solve(_linearize(y, undamped, still), unroll=False)

    found = jax.lax.fori_loop(0, STEPS, step, start)
    solver = BandedGaussNewton(residual_fun=_residuals, linearize=_linearize)
    state = solver.init_state(found, problem)
    return solver.differentiable(jaxopt.OptStep(found, state), problem).params


@jax.jit
def _smooth(values: Array, seconds: Any, fps: Any, weight: Array | None, begin: Any) -> Array:
    given = jnp.asarray(values).astype(arithmetic_dtype(values.dtype))
    dtype, (*lead, frames, channels) = given.dtype, given.shape
    time_constant, rate = (jnp.asarray(number).astype(dtype) for number in (seconds, fps))
    stiffness = (time_constant * rate) ** 2
    x = jnp.moveaxis(given, -2, 0).reshape(frames, -1)
    w = jnp.ones_like(x)
    if weight is not None:
        trust = jnp.moveaxis(jnp.asarray(weight).astype(dtype), -1, 0)
        w = jnp.broadcast_to(trust[..., None], (frames, *lead, channels)).reshape(frames, -1)
    index = jnp.arange(frames + frames % 2)
    first = jnp.zeros_like(index[0]) if begin is None else jnp.asarray(begin).astype(index.dtype)
    within = (index[:frames] >= first)[:, None]

    # Masked before any arithmetic, so that neither values nor gradients meet a NaN.
    told = within & (w > 0)
    lost = jnp.any(told & ~jnp.isfinite(x), axis=0) | jnp.any(within & ~(w >= 0), axis=0)
    count = jnp.where(lost, 0, jnp.sum(told, axis=0))
    told = told & (count > 0)[None]
    x = jnp.where(told, x, 0)
    solved = told & (count > 1)[None]
    behind = ((0, frames % 2), (0, 0))
    inside = (index >= first) & (index < frames)
    problem = _Problem(
        x=jnp.pad(jnp.where(solved, x, 0), behind),
        w=jnp.pad(jnp.where(solved, w, 0), behind),
        stiffness=stiffness,
        tied=(inside[:-2] & inside[2:]).astype(dtype)[:, None],
        idle=(~inside[:, None] | (count < 2)[None]).astype(dtype),
    )
    found = _solve(problem)
    # One frame alone says that the value is always the same.
    y = found.reshape(problem.x.shape)[:frames] + jnp.where(count == 1, jnp.sum(x, axis=0), 0)[None]
    y = jnp.where((count > 0)[None], y, jnp.nan)
    y = jnp.moveaxis(y.reshape(frames, *lead, channels), 0, -2)
    early = ~within.reshape(frames, 1)
    return jnp.where(early | (stiffness == 0), given, y)
