"""Least squares over a chain of blocks, solved by orthogonal elimination (square-root form).

    minimise  sum_k |A_k x_k - a_k|^2  +  sum_k |L_k x_k + R_k x_{k+1} - c_k|^2

Every block x_k holds a few unknowns (two frames of a path, say) and meets its neighbours only. Householder
reflections of the rows themselves never square the condition number, as the normal equations would: over 200
hidden frames that is the difference between an answer and a NaN in float32.

The chain is eliminated from both ends at once and the two halves meet in its middle block, so that even one
problem keeps two lanes of a vector unit busy and the loop is half as long.

The last axis of every array counts independent problems ("lanes": people). The work is elementwise over it:
one person's numbers cannot touch another's, and a CPU's vector units run along it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class ChainRows(NamedTuple):
    """Rows of the least-squares problem for blocks of n unknowns, each row with its right-hand side as last
    column.

    own (blocks, n, n + 1, lanes): [A_k | a_k], upper triangular in A_k. `compress` makes it from any rows.
    inner (blocks, any, n + 1, lanes): further rows of the same block, of any form.
    coupling (blocks - 1, any, 2n + 1, lanes): [L_k R_k | c_k].
    """

    own: Float[Array, "blocks n columns lanes"]
    inner: Float[Array, "blocks inner_rows columns lanes"]
    coupling: Float[Array, "links link_rows link_columns lanes"]


class ChainFactor(NamedTuple):
    """The triangular factor, in the order of elimination: halves from the ends to the middle, then the
    middle.

    The first half of the doubled lanes runs from block 0 upwards, the second from the last block downwards;
    when the number of blocks is even, the second begins with an empty block. Row k reads
    diagonal_k x_k + upper_k x_{next k} = rhs_k.
    """

    diagonal: Float[Array, "half n n two_lanes"]
    upper: Float[Array, "half n n two_lanes"]
    rhs: Float[Array, "half n two_lanes"]
    middle: Float[Array, "n n lanes"]
    middle_rhs: Float[Array, "n lanes"]


def absorb(
    triangle: Float[Array, "n columns lanes"], rows: Float[Array, "rows columns lanes"], unroll: bool = True
) -> tuple[Float[Array, "n columns lanes"], Float[Array, "rows rest lanes"]]:
    """QR of [triangle; rows] by n Householder reflections: the new triangle, and the last columns of what is
    left.

    The first n columns of ``triangle`` must be upper triangular: reflection k then moves only its row k and
    ``rows``. The first n columns of the rest are zero and are dropped. Unrolled it runs up to twice as fast
    and takes XLA three times as long to compile.
    """
    size = triangle.shape[0]
    if unroll:
        done = []
        for k in range(size):
            row, rows = _reflect(triangle[k, k:], rows)
            done.append(jnp.concatenate([jnp.zeros((k, *row.shape[1:]), row.dtype), row]))
        return jnp.stack(done), rows

    def step(rows: Array, pivot_row: Array) -> tuple[Array, Array]:
        # The pivot's column always stands first; what has become zero goes round to the end.
        row, rows = _reflect(pivot_row, rows)
        return jnp.concatenate([rows, jnp.zeros_like(rows[:, :1])], axis=1), row

    turned = jnp.stack([jnp.roll(row, -k, axis=0) for k, row in enumerate(triangle)])
    rows, turned = jax.lax.scan(step, rows, turned)
    return jnp.stack([jnp.roll(row, k, axis=0) for k, row in enumerate(turned)]), rows[
        :, : rows.shape[1] - size
    ]


def _reflect(pivot_row: Array, rows: Array) -> tuple[Array, Array]:
    """One reflection that clears the first column of ``rows``: the new pivot row, and the rows without that
    column.
    """
    pivot = pivot_row[0]
    norm = jnp.sqrt(pivot * pivot + _total(rows[:, 0] * rows[:, 0]))
    # H = I - v v^T / scale with v = (pivot - beta, column); an empty column needs no reflection.
    beta = jnp.where(pivot > 0, -norm, norm)
    head = pivot - beta
    scale = norm * (norm + jnp.abs(pivot))
    weights = head[None] * pivot_row[1:]
    for row in rows:
        weights = weights + row[:1] * row[1:]
    # XLA stores the result of a true division instead of computing it again for every row below. A division
    # by a broadcast would become a cheap product, hence the zeros, which make the divisor a matrix.
    weights = weights / (jnp.where(scale == 0, jnp.ones_like(scale), scale)[None] + 0 * pivot_row[1:])
    new_row = jnp.concatenate([beta[None], pivot_row[1:] - head[None] * weights])
    return new_row, rows[:, 1:] - rows[:, :1] * weights[None]


def compress(rows: Float[Array, "blocks rows columns lanes"]) -> Float[Array, "blocks n columns lanes"]:
    """The upper triangular rows [R | Q^T b] of every block's rows [A | b]: `ChainRows.own` from rows of any
    form.
    """
    _, _, columns, lanes = rows.shape
    empty = jnp.zeros((columns - 1, columns, lanes), rows.dtype)
    return jax.vmap(lambda block: absorb(empty, block, unroll=False)[0])(rows)


def factor(problem: ChainRows, unroll: bool = True) -> ChainFactor:
    """Eliminates the blocks from both ends towards the middle one. ``unroll`` trades compile time: see
    `absorb`.
    """
    own, inner, coupling = problem
    blocks, size, _, lanes = own.shape
    half = blocks // 2
    swapped = jnp.concatenate(
        [coupling[:, :, size : 2 * size], coupling[:, :, :size], coupling[:, :, 2 * size :]], axis=2
    )
    halves = (
        _from_ends(own, half),
        _from_ends(inner, half),
        jnp.concatenate([coupling[:half], _pad_front(swapped[half:][::-1], half)], axis=-1),
    )

    def eliminate(
        carried: Array, block: tuple[Array, Array, Array]
    ) -> tuple[Array, tuple[Array, Array, Array]]:
        triangle, extra, link = block
        triangle, _ = absorb(triangle, jnp.concatenate([carried, extra]), unroll)
        left, right = triangle[:, :size], triangle[:, size:]
        widened = jnp.concatenate([left, jnp.zeros_like(left), right], axis=1)
        widened, carried = absorb(widened, link, unroll)
        return carried, (widened[:, :size], widened[:, size : 2 * size], widened[:, 2 * size])

    start = jnp.zeros((coupling.shape[1], size + 1, 2 * lanes), own.dtype)
    carried, (diagonal, upper, rhs) = jax.lax.scan(eliminate, start, halves)
    meeting = jnp.concatenate([carried[..., :lanes], carried[..., lanes:], inner[half]])
    middle, _ = absorb(own[half], meeting, unroll=False)
    return ChainFactor(diagonal, upper, rhs, middle[:, :size], middle[:, size])


def back_substitute(chain: ChainFactor, blocks: int) -> Float[Array, "blocks n lanes"]:
    """The x that the factor's rows define, from the middle to both ends.

    An unknown that no row determines is left at 0 where its pivot is exactly 0.
    """

    def step(after: Array, block: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        diagonal, upper, rhs = block
        solution = _solve_upper(diagonal, rhs - _total(jnp.swapaxes(upper, 0, 1) * after[:, None]))
        return solution, solution

    middle = _solve_upper(chain.middle, chain.middle_rhs)
    start = jnp.concatenate([middle, middle], axis=-1)
    halves = jax.lax.scan(step, start, (chain.diagonal, chain.upper, chain.rhs), reverse=True)[1]
    return _from_halves(halves, middle, blocks)


def solve(problem: ChainRows, unroll: bool = True) -> Float[Array, "blocks n lanes"]:
    """The minimiser; see `back_substitute` for unknowns that no row determines."""
    return back_substitute(factor(problem, unroll), problem.own.shape[0])


def explained(chain: ChainFactor) -> Float[Array, " lanes"]:
    """|b|^2 minus the least sum of squares: how much the minimiser gains over x = 0."""
    both = jnp.sum(chain.rhs**2, axis=(0, 1))
    lanes = both.shape[0] // 2
    return both[:lanes] + both[lanes:] + jnp.sum(chain.middle_rhs**2, axis=0)


def solve_normal(
    chain: ChainFactor, vector: Float[Array, "blocks n lanes"]
) -> Float[Array, "blocks n lanes"]:
    """x with (R^T R) x = vector for the triangular factor R: the inverse of A^T A without forming A^T A."""
    half, lanes = chain.rhs.shape[0], vector.shape[-1]

    def step(passed: Array, block: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        diagonal, upper, right = block
        value = _solve_lower(jnp.swapaxes(diagonal, 0, 1), right - passed)
        return _total(upper * value[:, None]), value

    start = jnp.zeros((vector.shape[1], 2 * lanes), vector.dtype)
    halves = (chain.diagonal, chain.upper, _from_ends(vector, half))
    passed, forward = jax.lax.scan(step, start, halves)
    meeting = vector[half] - passed[..., :lanes] - passed[..., lanes:]
    middle = _solve_lower(jnp.swapaxes(chain.middle, 0, 1), meeting)
    return back_substitute(chain._replace(rhs=forward, middle_rhs=middle), vector.shape[0])


def _from_ends(values: Array, half: int) -> Array:
    """(blocks, ..., lanes) -> (half, ..., 2 lanes): the two ends side by side, both running towards the
    middle.
    """
    return jnp.concatenate([values[:half], _pad_front(values[half + 1 :][::-1], half)], axis=-1)


def _pad_front(values: Array, length: int) -> Array:
    missing = length - values.shape[0]
    return jnp.concatenate([jnp.zeros((missing, *values.shape[1:]), values.dtype), values])


def _from_halves(halves: Array, middle: Array, blocks: int) -> Array:
    """The reverse of `_from_ends`, with the middle block in its place."""
    lanes = middle.shape[-1]
    down = halves[..., lanes:][::-1]
    return jnp.concatenate([halves[..., :lanes], middle[None], down[: blocks - 1 - len(halves)]])


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
    empty = denominator == 0
    return jnp.where(empty, jnp.zeros_like(numerator), numerator / jnp.where(empty, 1, denominator))


def _total(terms: Array) -> Array:
    """Sum over the first axis as plain additions: XLA's reductions do not vectorise along the lanes on a
    CPU.
    """
    total = terms[0]
    for k in range(1, terms.shape[0]):
        total = total + terms[k]
    return total
