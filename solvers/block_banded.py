"""Least squares over a chain of blocks, solved by orthogonal elimination (square-root form).

    minimise  sum_k |A_k x_k - a_k|^2  +  sum_k |L_k x_k + R_k x_{k+1} - c_k|^2

Every block x_k holds a few unknowns (two frames of a path, say) and meets its neighbours only. Householder reflections
of the rows themselves never square the condition number, as the normal equations would: over 200 hidden frames that
is the difference between an answer and a NaN in float32.

The last axis of every array counts independent problems ("lanes": people). The work is elementwise over it, so one
person's numbers cannot touch another's, and a CPU's vector units run along it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class ChainRows(NamedTuple):
    """Rows of the least-squares problem, each with its right-hand side as the last column.

    own (blocks, rows, n + 1, lanes): [A_k | a_k].
    coupling (blocks - 1, rows, 2n + 1, lanes): [L_k R_k | c_k].
    """

    own: Float[Array, "blocks rows columns lanes"]
    coupling: Float[Array, "links link_rows link_columns lanes"]


class ChainFactor(NamedTuple):
    """The triangular factor: block row k reads diagonal_k x_k + upper_k x_{k+1} = rhs_k."""

    diagonal: Float[Array, "blocks n n lanes"]
    upper: Float[Array, "blocks n n lanes"]
    rhs: Float[Array, "blocks n lanes"]


def absorb(
    triangle: Float[Array, "n columns lanes"], rows: Float[Array, "rows columns lanes"]
) -> tuple[Float[Array, "n columns lanes"], Float[Array, "rows columns lanes"]]:
    """QR of [triangle; rows] by n Householder reflections; returns the new triangle and what is left of the rows.

    The first n columns of ``triangle`` must be upper triangular: reflection k then moves only its row k and ``rows``.
    The first n columns of the rest are zero up to rounding and are set to zero.
    """
    size = triangle.shape[0]
    done = []
    for k in range(size):
        pivot_row = triangle[k, k:]
        pivot = pivot_row[0]
        norm = jnp.sqrt(pivot * pivot + _total(rows[:, 0] * rows[:, 0]))
        # H = I - v v^T / (norm (norm + |pivot|)) with v = (pivot - beta, column); an empty column needs no reflection.
        beta = jnp.where(pivot > 0, -norm, norm)
        head = pivot - beta
        scale = norm * (norm + jnp.abs(pivot))
        weights = head[None] * pivot_row[1:]
        for row in rows:
            weights = weights + row[:1] * row[1:]
        # XLA stores the result of a true division instead of computing it again for every row below; a division by a
        # broadcast would become a cheap product, hence the zeros, which make the divisor a matrix.
        weights = weights / (jnp.where(scale == 0, jnp.ones_like(scale), scale)[None] + 0 * pivot_row[1:])
        done.append(jnp.concatenate([beta[None], pivot_row[1:] - head[None] * weights], axis=0))
        rows = rows[:, 1:] - rows[:, :1] * weights[None]
    triangle = jnp.stack(
        [
            jnp.concatenate([jnp.zeros((k, *row.shape[1:]), row.dtype), row], axis=0)
            for k, row in enumerate(done)
        ]
    )
    return triangle, rows


def factor(problem: ChainRows) -> ChainFactor:
    """Eliminates the blocks from first to last."""
    own, coupling = problem
    size = own.shape[2] - 1
    # The last block couples to nothing: a link of zeros keeps the loop uniform.
    coupling = jnp.concatenate([coupling, jnp.zeros((1, *coupling.shape[1:]), own.dtype)], axis=0)
    empty = jnp.zeros((size, *own.shape[2:]), own.dtype)
    triangles = jax.vmap(lambda rows: absorb(empty, rows)[0])(own)

    def eliminate(carried: Array, block: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array, Array]]:
        triangle, link = block
        triangle, _ = absorb(triangle, carried)
        widened = jnp.concatenate(
            [triangle[:, :size], jnp.zeros_like(triangle[:, :size]), triangle[:, size:]], axis=1
        )
        widened, carried = absorb(widened, link)
        return carried, (widened[:, :size], widened[:, size : 2 * size], widened[:, 2 * size])

    start = jnp.zeros((coupling.shape[1], *own.shape[2:]), own.dtype)
    _, (diagonal, upper, rhs) = jax.lax.scan(eliminate, start, (triangles, coupling))
    return ChainFactor(diagonal, upper, rhs)


def back_substitute(chain: ChainFactor) -> Float[Array, "blocks n lanes"]:
    """x_k = diagonal_k^-1 (rhs_k - upper_k x_{k+1}), from last to first."""

    def step(after: Array, block: ChainFactor) -> tuple[Array, Array]:
        rhs = block.rhs - _total(jnp.swapaxes(block.upper, 0, 1) * after[:, None])
        solution = _solve_upper(block.diagonal, rhs)
        return solution, solution

    return jax.lax.scan(step, jnp.zeros_like(chain.rhs[0]), chain, reverse=True)[1]


def solve(problem: ChainRows) -> Float[Array, "blocks n lanes"]:
    """The minimiser. An unknown that no row determines is left at 0 where the elimination meets an exact zero pivot."""
    return back_substitute(factor(problem))


def damp(problem: ChainRows, strength: Float[Array, " lanes"]) -> ChainRows:
    """Adds the rows strength * x_k = 0 of Levenberg's method to every block."""
    blocks, _, columns, lanes = problem.own.shape
    identity = jnp.eye(columns - 1, columns, dtype=problem.own.dtype)[None, :, :, None]
    rows = jnp.broadcast_to(identity * strength[None, None, None], (blocks, columns - 1, columns, lanes))
    return problem._replace(own=jnp.concatenate([problem.own, rows], axis=1))


def minus_gradient(problem: ChainRows) -> Float[Array, "blocks n lanes"]:
    """A^T b over all rows: minus the gradient, at x = 0, of half the sum of squares."""
    size = problem.own.shape[2] - 1
    own = jnp.sum(problem.own[:, :, :size] * problem.own[:, :, size:], axis=1)
    links = jnp.sum(problem.coupling[:, :, : 2 * size] * problem.coupling[:, :, 2 * size :], axis=1)
    empty = jnp.zeros((1, *own.shape[1:]), own.dtype)
    return own + jnp.concatenate([links[:, :size], empty]) + jnp.concatenate([empty, links[:, size:]])


def stiffness(problem: ChainRows) -> Float[Array, " lanes"]:
    """The largest column norm of the own rows: the scale that damping is measured against."""
    size = problem.own.shape[2] - 1
    return jnp.sqrt(jnp.max(jnp.sum(problem.own[:, :, :size] ** 2, axis=1), axis=(0, 1)))


def solve_normal(
    chain: ChainFactor, vector: Float[Array, "blocks n lanes"]
) -> Float[Array, "blocks n lanes"]:
    """x with (R^T R) x = vector for the triangular factor R: the inverse of A^T A without forming A^T A."""

    def step(
        before: tuple[Array, Array], block: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        last_upper, last = before
        diagonal, upper, right = block
        value = _solve_lower(jnp.swapaxes(diagonal, 0, 1), right - _total(last_upper * last[:, None]))
        return (upper, value), value

    start = (jnp.zeros_like(chain.upper[0]), jnp.zeros_like(vector[0]))
    forward = jax.lax.scan(step, start, (chain.diagonal, chain.upper, vector))[1]
    return back_substitute(chain._replace(rhs=forward))


def _solve_upper(triangle: Array, rhs: Array) -> Array:
    solution: list[Array] = []
    for k in reversed(range(triangle.shape[0])):
        value = rhs[k]
        for offset, known in enumerate(reversed(solution)):
            value = value - triangle[k, k + 1 + offset] * known
        solution.append(_divide(value, triangle[k, k]))
    return jnp.stack(solution[::-1])


def _solve_lower(triangle: Array, rhs: Array) -> Array:
    return _solve_upper(triangle[::-1, ::-1], rhs[::-1])[::-1]


def _divide(numerator: Array, denominator: Array) -> Array:
    zero = denominator == 0
    return jnp.where(
        zero, jnp.zeros_like(numerator), numerator / jnp.where(zero, jnp.ones_like(denominator), denominator)
    )


def _total(terms: Array) -> Array:
    """Sum over the first axis as plain additions: XLA's reductions do not vectorise along the lanes on a CPU."""
    total = terms[0]
    for k in range(1, terms.shape[0]):
        total = total + terms[k]
    return total
