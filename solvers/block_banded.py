"""Least squares over a chain of blocks, solved by orthogonal elimination (square-root form).

    minimise  sum_k |A_k x_k - a_k|^2  +  sum_k |L_k x_k + R_k x_{k+1} - c_k|^2

Every block x_k holds a few unknowns (two frames of a path, say) and meets its neighbours only. Householder
reflections of the rows themselves never square the condition number, as the normal equations would: over 200
hidden frames that is the difference between an answer and a NaN in float32.

The chain is eliminated from both ends at once and the two halves meet in its middle block, so that even one
problem keeps two lanes of a vector unit busy and the loop is half as long.

Where problems are few, the chain is also cut into segments that are eliminated side by side, each down to its
last block; segments within segments take a depth of O(log blocks): see `factor_segments`.

The last axis of every array counts independent problems ("lanes": people). The work is elementwise over it:
one person's numbers cannot touch another's, and a CPU's vector units run along it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BandedLinks(NamedTuple):
    """Coupling rows that reach over three half blocks, with coefficients that are the same in every lane or
    each lane's own.

    coefficients (blocks - 1, 2, n/2, 3n/2, 1 or lanes):
        the first n/2 rows of a link begin with the first half of
        block k, the others with its second half; rhs (blocks - 1, 2, n/2, lanes).
    """

    coefficients: Float[Array, "links 2 half three_halves one_or_lanes"]
    rhs: Float[Array, "links 2 half lanes"]


class ChainRows(NamedTuple):
    """Rows of the least-squares problem for blocks of n unknowns (n is even), each row with its right-hand
    side as last column.

    own (blocks, 2, n/2, n/2 + 1, lanes): rows of either half of a block, [A_k | a_k], upper triangular in
        A_k; zeros where there are none.
    inner (blocks, any, n + 1, lanes): further rows of the block, of any form; there may be none.
    coupling (blocks - 1, any, 2n + 1, lanes): [L_k R_k | c_k], or `BandedLinks`, which are half the work.
    """

    own: Float[Array, "blocks 2 half columns lanes"]
    inner: Float[Array, "blocks inner_rows block_columns lanes"]
    coupling: Float[Array, "links link_rows link_columns lanes"] | BandedLinks


class ChainFactor(NamedTuple):
    """The triangular factor, in the order of elimination: halves from the ends to the middle, then the
    middle.

    The first half of the doubled lanes runs from block 0 upwards, the second from the last block downwards,
    with the halves of every block exchanged; when the number of blocks is even, the second begins with an
    empty block.

    rows: row k of every block, (half, 2n + 1 - k, two_lanes): the factor's columns k to n - 1 of the block
        itself, then n columns of the next block towards the middle, then the right-hand side.
    middle: the same for the middle block, (n + 1 - k, lanes), which has no next.
    """

    rows: tuple[Float[Array, "half columns two_lanes"], ...]
    middle: tuple[Float[Array, "columns lanes"], ...]


def absorb(
    triangle: Sequence[Float[Array, "columns lanes"]],
    rows: Float[Array, "rows columns lanes"],
    unroll: bool = True,
) -> tuple[list[Float[Array, "columns lanes"]], Float[Array, "rows rest lanes"]]:
    """QR of [triangle; rows] by n Householder reflections: the new triangle's rows, and the last columns of
    what is left.

    Row k of ``triangle`` must begin with k zeros: reflection k then moves only it and ``rows``. What stands
    before the diagonal is never read, and is rounding, not zero, in the result. Unrolled it runs up to twice
    as fast and takes XLA twice as long to compile.
    """
    size = len(triangle)
    if unroll:
        done = []
        for k in range(size):
            row, rows = _reflect(triangle[k], rows, triangle[k][k], rows[:, k])
            done.append(row)
        return done, rows[:, size:]

    def step(rows: Array, turn: tuple[Array, Array]) -> tuple[Array, Array]:
        k, row = turn
        row, rows = _reflect(row, rows, _entry(row, k), _entry(rows, k, axis=1))
        return rows, row

    rows, turned = jax.lax.scan(step, rows, (jnp.arange(size), jnp.stack(list(triangle))))
    return list(turned), rows[:, size:]


def _entry(values: Array, k: Array, axis: int = 0) -> Array:
    """values[k]; k is not negative, so that nothing need look whether it counts from the end."""
    return jax.lax.dynamic_index_in_dim(values, k, axis, keepdims=False, allow_negative_indices=False)


def _reflect(pivot_row: Array, rows: Array, pivot: Array, column: Array) -> tuple[Array, Array]:
    """One reflection that clears ``column`` of ``rows`` with ``pivot`` of ``pivot_row``: both after it.

    Whole rows are reflected, although the columns before the pivot need not be: arrays that all have one
    shape make a loop over lanes that a CPU's vector units run along, slices of columns do not.
    """
    norm = jnp.sqrt(pivot * pivot + _total(column * column))
    # H = I - v v^T / scale with v = (pivot - beta, column); an empty column needs no reflection.
    head = jnp.where(pivot > 0, pivot + norm, pivot - norm)
    scale = norm * (norm + jnp.abs(pivot))
    weights = _total(column[:, None] * rows, head[None] * pivot_row)
    # XLA stores the result of a true division instead of computing it again for every row below. A division
    # by a broadcast would become a cheap product, hence the zeros, which make the divisor a matrix.
    weights = weights / (jnp.where(scale == 0, jnp.ones_like(scale), scale)[None] + 0 * pivot_row)
    return pivot_row - head[None] * weights, rows - column[:, None] * weights[None]


def _spread(rows: Any, at: int, columns: int) -> Any:
    """Rows, an array (rows, columns, lanes) or a list of (columns, lanes), with zeros put in before column
    ``at``.
    """
    if isinstance(rows, list):
        return [_spread(row[None], at, columns)[0] for row in rows]
    gap = jnp.zeros((rows.shape[0], columns, rows.shape[-1]), rows.dtype)
    return jnp.concatenate([rows[:, :at], gap, rows[:, at:]], axis=1)


def _turned(rows: Array, halves: int, size: int) -> Array:
    """Rows (any, columns, lanes) whose first ``halves`` half blocks of columns run backwards."""
    parts = [rows[:, k * size : (k + 1) * size] for k in reversed(range(halves))]
    return jnp.concatenate([*parts, rows[:, halves * size :]], axis=1)


class _Banded(NamedTuple):
    """What eliminated blocks say of the next one, (any, n/2 + tail) of its first half only, and
    (n/2, n + tail) of both; the tail holds the right-hand side and perhaps columns of a far block.
    """

    first: Array
    both: Array

    @classmethod
    def nothing(cls, half: int, tail: int, inner: int, lanes: int, dtype: Any) -> "_Banded":
        return cls(
            jnp.zeros((2 * half + inner, half + tail, lanes), dtype),
            jnp.zeros((half, 2 * half + tail, lanes), dtype),
        )

    def rows(self) -> Array:
        """As rows of the whole block."""
        half = self.both.shape[0]
        return jnp.concatenate([_spread(self.first, half, half), self.both])

    def eliminate(
        self, own: Array, inner: Array, link: Array, unroll: bool
    ) -> tuple["_Banded", list[Array], Array]:
        """Eliminates a block (x1, x2) before its next one (x3, x4): what is said of that, the factor's rows,
        and rows of the tail alone.
        """
        half = own.shape[1]
        first, rest = absorb(list(own[0]), self.first, unroll)
        more = jnp.concatenate([self.both, inner])
        first, over = absorb(
            _spread(first, half, 2 * half),
            jnp.concatenate([_spread(more, 2 * half, half), link[0]]),
            unroll,
        )
        second, on_first = absorb(_spread(list(own[1]), half, half), over, unroll)
        second, on_both = absorb(_spread(second, 2 * half, half), link[1], unroll)
        rows = [*_spread(first, 3 * half, half), *_spread(second, 0, half)]
        return _Banded(on_first, on_both), rows, rest


class _Dense(NamedTuple):
    """What eliminated blocks say of the next one, when links have any form: (any, n + tail)."""

    both: Array

    @classmethod
    def nothing(cls, half: int, tail: int, links: int, lanes: int, dtype: Any) -> "_Dense":
        return cls(jnp.zeros((links, 2 * half + tail, lanes), dtype))

    def rows(self) -> Array:
        return self.both

    def eliminate(
        self, own: Array, inner: Array, link: Array, unroll: bool
    ) -> tuple["_Dense", list[Array], Array]:
        half = own.shape[1]
        triangle = [*_spread(list(own[0]), half, half), *_spread(list(own[1]), 0, half)]
        triangle, rest = absorb(triangle, jnp.concatenate([self.both, inner]), unroll)
        triangle, both = absorb(_spread(triangle, 2 * half, 2 * half), link, unroll)
        return _Dense(both), triangle, rest


def factor(problem: ChainRows, unroll: bool = True) -> ChainFactor:
    """Eliminates the blocks from both ends towards the middle one. ``unroll`` trades compile time: see
    `absorb`.
    """
    own, inner, coupling = problem
    blocks, _, half, _, lanes = own.shape
    size = 2 * half
    turns = blocks // 2
    # With an even number of blocks the way down is one block shorter, and waits for one turn.
    wait = 1 - blocks % 2

    def ends(values: Array, k: Array) -> tuple[Array, Array]:
        """Entry k from the front, and from the back; the latter zeros while the way down waits."""
        last = len(values) - 1
        up, down = _entry(values, k), _entry(values, jnp.minimum(last - k + wait, last))
        return up, jnp.where(k < wait, 0, down) if wait else down

    def side_by_side(up: Array, down: Array) -> Array:
        return jnp.concatenate([up, down], axis=-1)

    def link(k: Array) -> Array:
        if not isinstance(coupling, BandedLinks):
            up, down = ends(coupling, k)
            return side_by_side(up, _turned(down, 4, half))
        (up, down), (up_right, down_right) = (ends(values, k) for values in coupling)
        # The rows that begin with the last half come first on the way down.
        down = jnp.stack([_turned(rows, 3, half) for rows in down[::-1]])
        both = [jnp.broadcast_to(part, (*part.shape[:-1], lanes)) for part in (up, down)]
        right = side_by_side(up_right, down_right[::-1])
        return jnp.concatenate([side_by_side(*both), right[:, :, None]], axis=2)

    def eliminate(carried: Any, k: Array) -> tuple[Any, tuple[Array, ...]]:
        up, down = ends(own, k)
        up_inner, down_inner = ends(inner, k)
        extra = side_by_side(up_inner, _turned(down_inner, 2, half))
        carried, rows, _ = carried.eliminate(side_by_side(up, down[::-1]), extra, link(k), unroll)
        return carried, tuple(row[i:] for i, row in enumerate(rows))

    if isinstance(coupling, BandedLinks):
        carried: Any = _Banded.nothing(half, 1, inner.shape[1], 2 * lanes, own.dtype)
    else:
        carried = _Dense.nothing(half, 1, coupling.shape[1], 2 * lanes, own.dtype)
    if turns:
        carried, rows = jax.lax.scan(eliminate, carried, jnp.arange(turns))
    else:
        rows = tuple(jnp.zeros((0, 2 * size + 1 - k, 2 * lanes), own.dtype) for k in range(size))
    known = carried.rows()
    meeting = [known[..., :lanes], _turned(known[..., lanes:], 2, half), inner[turns]]
    meeting += [_spread(own[turns, 0], half, half), _spread(own[turns, 1], 0, half)]
    empty = [jnp.zeros((size + 1, lanes), own.dtype)] * size
    middle, _ = absorb(empty, jnp.concatenate(meeting), unroll=False)
    return ChainFactor(rows, tuple(row[k:] for k, row in enumerate(middle)))


class SegmentedFactor(NamedTuple):
    """The factor of a chain cut into segments, which are lanes besides those of the problems.

    rows: row k of every block but the last of each segment, in the order of elimination,
        (length - 1, 3n + 1 - k, segments * lanes): the factor's columns k to n - 1 of the block, n columns of
        the next block, n of the last block of the segment before, and the right-hand side.
    ends: the factor of what is left, a chain of the segments' last blocks.
    """

    rows: tuple[Float[Array, "steps columns segment_lanes"], ...]
    ends: "ChainFactor | SegmentedFactor"


# Blocks in a segment of nested segments. Two would be the least depth, 8 is about twice that with a third of
# the levels, each of which is compiled by itself.
NESTED_LENGTH = 8


def choose_lengths(blocks: int, lanes: int) -> tuple[int, ...]:
    """The lengths of segments, for `factor_segments`, that make elimination fastest.

    On a CPU as measured: with one or two problems a turn of the loop costs what starting its kernels costs,
    so that longer lanes come free. Short chains and more problems gain nothing. On other devices by depth
    alone, as none was at hand to measure on: there every turn waits for its kernels to start.
    """
    if jax.default_backend() != "cpu":
        return nested_lengths(blocks, NESTED_LENGTH)
    if lanes > 2 or blocks < 256:
        return ()
    return (-(-blocks // min(64 // lanes, blocks // 32)),)


def nested_lengths(blocks: int, length: int) -> tuple[int, ...]:
    """Segments of one length within segments, until no more than ``length`` blocks are left: a depth of
    O(log blocks).
    """
    levels = []
    while blocks > length:
        levels.append(length)
        blocks = -(-blocks // length)
    return tuple(levels)


def factor_segments(
    problem: ChainRows, lengths: Sequence[int], unroll: bool = True
) -> ChainFactor | SegmentedFactor:
    """Eliminates all blocks but the last of each segment of lengths[0] blocks, all segments at once, then the
    chain of those last blocks in segments of lengths[1], and so on; what is left goes to `factor`.

    A segment is eliminated from its first block to its last. Its rows keep columns for the last block of the
    segment before (the far block), which costs twice the arithmetic of `factor` and makes the loop shorter by
    the number of segments. No rows are squared or lost: it is the QR of the same rows in another order.
    ``unroll`` is for the first level, see `absorb`; the others are short.
    """
    if not lengths:
        return factor(problem, unroll)
    own, inner, coupling = problem
    blocks, _, half, _, lanes = own.shape
    size = 2 * half
    length = min(lengths[0], blocks)
    segments = -(-blocks // length)

    def fold(values: Array) -> Array:
        """(blocks or fewer, ..., lanes) -> (length, ..., segments * lanes); what is missing has no rows."""
        values = jnp.pad(values, [(0, segments * length - len(values))] + [(0, 0)] * (values.ndim - 1))
        values = jnp.moveaxis(values.reshape(segments, length, *values.shape[1:]), 0, -2)
        return values.reshape(*values.shape[:-2], segments * lanes)

    def with_far(rows: Array) -> Array:
        """Rows (any, columns, lanes) with zeros for the far block, before the right-hand side."""
        return _spread(rows, rows.shape[1] - 1, size)

    # The first block of a segment begins with the rows that tie it to the far block.
    carried: Any
    if isinstance(coupling, BandedLinks):
        both = jnp.broadcast_to(coupling.coefficients, (*coupling.coefficients.shape[:-1], lanes))
        links = fold(jnp.concatenate([both, coupling.rhs[:, :, :, None]], axis=3))
        near, far = _before(links[-1], lanes)
        nothing = _Banded.nothing(half, size + 1, inner.shape[1], segments * lanes, own.dtype)
        # near begins with the far block's first half and reaches into x1; far with its second, into x2.
        near = jnp.concatenate([near[:, size : 3 * half], near[:, :size], near[:, 3 * half :]], axis=1)
        far = jnp.concatenate([far[:, half : 3 * half], far[:, :half], far[:, 3 * half :]], axis=1)
        carried = _Banded(nothing.first.at[:half].set(near), _spread(far, size, half))
    else:
        links = fold(coupling)
        into = _before(links[-1], lanes)
        into = jnp.concatenate([into[:, size : 2 * size], into[:, :size], into[:, 2 * size :]], axis=1)
        carried = _Dense(into)
    own, inner = fold(own), fold(inner)

    def eliminate(carry: tuple[Any, ...], block: tuple[Array, ...]) -> tuple[tuple, tuple[Array, ...]]:
        carried, *far = carry
        own, inner, link = block
        link = jax.vmap(with_far)(link) if isinstance(coupling, BandedLinks) else with_far(link)
        carried, rows, rest = carried.eliminate(jax.vmap(with_far)(own), with_far(inner), link, unroll)
        far, _ = absorb(far, rest, unroll)
        return (carried, *far), tuple(row[k:] for k, row in enumerate(rows))

    nothing_far = jnp.zeros((size + 1, segments * lanes), own.dtype)
    (carried, *far), rows = jax.lax.scan(
        eliminate, (carried, *[nothing_far] * size), (own[:-1], inner[:-1], links[:-1])
    )

    # What a segment knows of its far block belongs to the end before. What is carried ties the two ends, but
    # for the first segment, which has no far block: there it is of its end alone.
    known = carried.rows()
    begins = jnp.arange(segments * lanes) < lanes
    about = [jnp.pad(row, ((0, 0), (0, lanes)))[:, lanes:] for row in far]
    about, _ = absorb(
        about,
        jnp.concatenate(
            [
                inner[-1],
                jnp.where(begins, jnp.concatenate([known[:, :size], known[:, 2 * size :]], axis=1), 0),
            ]
        ),
        unroll=False,
    )
    # Before the diagonal stands rounding, which would be read as coefficients.
    triangle = jnp.stack([jnp.pad(row[k:], ((k, 0), (0, 0))) for k, row in enumerate(about)])

    def unfold(values: Array) -> Array:
        """(..., segments * lanes) -> (segments, ..., lanes)"""
        return jnp.moveaxis(values.reshape(*values.shape[:-1], segments, lanes), -2, 0)

    ties = jnp.concatenate([known[:, size : 2 * size], known[:, :size], known[:, 2 * size :]], axis=1)
    ends = ChainRows(unfold(own[-1]), unfold(triangle), unfold(ties)[1:])
    return SegmentedFactor(rows, factor_segments(ends, lengths[1:], unroll=False))


def _before(values: Array, lanes: int) -> Array:
    """(..., segments * lanes): every segment's entry of the segment before; the first has none."""
    return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(lanes, 0)])[..., : values.shape[-1]]


def _substitute_segments(chain: SegmentedFactor, blocks: int) -> Array:
    size = len(chain.rows)
    steps, _, segment_lanes = chain.rows[0].shape
    segments = -(-blocks // (steps + 1))
    lanes = segment_lanes // segments
    ends = back_substitute(chain.ends, segments)
    last = jnp.moveaxis(ends, 0, 1).reshape(size, segment_lanes)
    far = _before(last, lanes)

    def step(after: Array, rows: tuple[Array, ...]) -> tuple[Array, Array]:
        known = jnp.concatenate([after, far])
        rhs = [row[-1] - _total(row[size - k : -1] * known) for k, row in enumerate(rows)]
        solution = _solve_upper(rows, rhs)
        return solution, solution

    found = jax.lax.scan(step, last, chain.rows, reverse=True)[1]
    found = jnp.concatenate([found, last[None]]).reshape(steps + 1, size, segments, lanes)
    return jnp.moveaxis(found, 2, 0).reshape(-1, size, lanes)[:blocks]


def back_substitute(chain: ChainFactor | SegmentedFactor, blocks: int) -> Float[Array, "blocks n lanes"]:
    """The x that the factor's rows define, from the middle to both ends.

    An unknown that no row determines is left at 0 where its pivot is exactly 0.
    """
    if isinstance(chain, SegmentedFactor):
        return _substitute_segments(chain, blocks)
    size = len(chain.middle)

    def step(after: Array, rows: tuple[Array, ...]) -> tuple[Array, Array]:
        rhs = [row[-1] - _total(row[size - k : -1] * after) for k, row in enumerate(rows)]
        solution = _solve_upper(rows, rhs)
        return solution, solution

    middle = _solve_upper(chain.middle, [row[-1] for row in chain.middle])
    start = jnp.concatenate([middle, _exchanged(middle)], axis=-1)
    halves = jax.lax.scan(step, start, chain.rows, reverse=True)[1]
    return _from_halves(halves, middle, blocks)


def solve(problem: ChainRows, unroll: bool = True) -> Float[Array, "blocks n lanes"]:
    """The minimiser; see `back_substitute` for unknowns that no row determines."""
    return back_substitute(factor(problem, unroll), problem.own.shape[0])


def factor_fast(problem: ChainRows) -> ChainFactor | SegmentedFactor:
    """`factor_segments` with the segments that suit the shape; `solve_normal` cannot use it."""
    blocks, *_, lanes = problem.own.shape
    return factor_segments(problem, choose_lengths(blocks, lanes))


def stiffest(problem: ChainRows) -> Float[Array, " lanes"]:
    """The largest sum of squares of a column, over the rows of single blocks: what damping is measured by."""
    own = jnp.sum(problem.own[:, :, :, :-1] ** 2, axis=2)
    inner = jnp.sum(problem.inner[:, :, :-1] ** 2, axis=1)
    return jnp.max(own.reshape(inner.shape) + inner, axis=(0, 1))


def explained(chain: ChainFactor | SegmentedFactor) -> Float[Array, " lanes"]:
    """|b|^2 minus the least sum of squares: how much the minimiser gains over x = 0."""
    both = _total([jnp.sum(row[:, -1] ** 2, axis=0) for row in chain.rows])
    if isinstance(chain, SegmentedFactor):
        rest = explained(chain.ends)
        return jnp.sum(both.reshape(-1, len(rest)), axis=0) + rest
    lanes = both.shape[0] // 2
    return both[:lanes] + both[lanes:] + _total([row[-1] ** 2 for row in chain.middle])


def solve_normal(
    chain: ChainFactor, vector: Float[Array, "blocks n lanes"]
) -> Float[Array, "blocks n lanes"]:
    """x with (R^T R) x = vector for the triangular factor R: the inverse of A^T A without forming A^T A."""
    half, lanes = chain.rows[0].shape[0], vector.shape[-1]
    size = len(chain.middle)

    def step(passed: Array, block: tuple[tuple[Array, ...], Array]) -> tuple[Array, Array]:
        rows, right = block
        value = _solve_lower(rows, right - passed)
        return _total([row[size - k : -1] * value[k][None] for k, row in enumerate(rows)]), value

    start = jnp.zeros((size, 2 * lanes), vector.dtype)
    passed, forward = jax.lax.scan(step, start, (chain.rows, _from_ends(vector, half)))
    meeting = vector[half] - passed[..., :lanes] - _exchanged(passed[..., lanes:])
    middle = _solve_lower(chain.middle, meeting)
    replaced = ChainFactor(
        tuple(row.at[:, -1].set(forward[:, k]) for k, row in enumerate(chain.rows)),
        tuple(row.at[-1].set(middle[k]) for k, row in enumerate(chain.middle)),
    )
    return back_substitute(replaced, vector.shape[0])


def covariances(chain: ChainFactor, blocks: int) -> Float[Array, "blocks n n lanes"]:
    """The diagonal blocks of (R^T R)^-1, by recursion from the middle to both ends:

        S_k = R_k^-1 (I + N_k S_next N_k^T) R_k^-T

    with the factor's rows [R_k N_k]. Every term is positive: nothing cancels. An unknown that no row
    determines gets no variance, where it should be infinite.
    """
    size = len(chain.middle)
    identity = jnp.broadcast_to(
        jnp.eye(size, dtype=chain.middle[0].dtype)[..., None], (size, size, chain.rows[0].shape[-1])
    )

    def product(left: Array, right: Array) -> Array:
        return _total(jnp.swapaxes(left, 0, 1)[:, :, None] * right[:, None])

    def transposed(values: Array) -> Array:
        return jnp.swapaxes(values, 0, 1)

    def inverse(rows: Sequence[Array], lanes: int) -> Array:
        return _solve_upper([row[:, None] for row in rows], list(identity[..., :lanes]))

    def step(after: Array, rows: tuple[Array, ...]) -> tuple[Array, Array]:
        inverted = inverse(rows, after.shape[-1])
        through = product(inverted, jnp.stack([row[size - k : -1] for k, row in enumerate(rows)]))
        own = product(inverted, transposed(inverted))
        found = own + product(product(through, after), transposed(through))
        return found, found

    def exchanged(values: Array) -> Array:
        return jnp.swapaxes(_exchanged(jnp.swapaxes(_exchanged(values), -3, -2)), -3, -2)

    lanes = chain.middle[0].shape[-1]
    inverted = inverse(chain.middle, lanes)
    middle = product(inverted, transposed(inverted))
    start = jnp.concatenate([middle, exchanged(middle)], axis=-1)
    halves = jax.lax.scan(step, start, chain.rows, reverse=True)[1]
    return _from_halves(halves, middle, blocks, exchanged)


def log_determinant(chain: ChainFactor, blocks: int) -> Float[Array, " lanes"]:
    """log det R^T R; minus infinity when no row determines some unknown."""
    lanes = chain.middle[0].shape[-1]
    logs = _total([jnp.log(jnp.abs(row[:, 0])) for row in chain.rows])
    down = logs[1 - blocks % 2 :, lanes:]  # without the empty block
    middle = _total([jnp.log(jnp.abs(row[0])) for row in chain.middle])
    return 2 * (jnp.sum(logs[:, :lanes], axis=0) + jnp.sum(down, axis=0) + middle)


def _from_ends(values: Array, half: int) -> Array:
    """(blocks, n, lanes) -> (half, n, 2 lanes): the two ends side by side, both running to the middle."""
    down = _exchanged(values[half + 1 :][::-1])
    return jnp.concatenate([values[:half], _pad_front(down, half)], axis=-1)


def _exchanged(values: Array) -> Array:
    """(..., n, lanes) with the two halves of a block exchanged."""
    return jnp.roll(values, values.shape[-2] // 2, axis=-2)


def _pad_front(values: Array, length: int) -> Array:
    missing = length - values.shape[0]
    return jnp.concatenate([jnp.zeros((missing, *values.shape[1:]), values.dtype), values])


def _from_halves(
    halves: Array, middle: Array, blocks: int, exchange: Callable[[Array], Array] = _exchanged
) -> Array:
    """The reverse of `_from_ends`, with the middle block in its place."""
    lanes = middle.shape[-1]
    down = exchange(halves[..., lanes:][::-1])
    return jnp.concatenate([halves[..., :lanes], middle[None], down[: blocks - 1 - len(halves)]])


def _solve_upper(rows: Sequence[Array], rhs: Sequence[Array]) -> Array:
    """x of R x = rhs; row k of R begins with its diagonal."""
    solution: list[Array] = []
    for row, value in zip(reversed(rows), reversed(rhs), strict=True):
        for offset, known in enumerate(solution[::-1]):
            value = value - row[1 + offset] * known
        solution.append(_divide(value, row[0]))
    return jnp.stack(solution[::-1])


def _solve_lower(rows: Sequence[Array], rhs: Array) -> Array:
    """x of R^T x = rhs."""
    solution: list[Array] = []
    for k, row in enumerate(rows):
        value = rhs[k]
        for j, known in enumerate(solution):
            value = value - rows[j][k - j] * known
        solution.append(_divide(value, row[0]))
    return jnp.stack(solution)


def _divide(numerator: Array, denominator: Array) -> Array:
    empty = denominator == 0
    return jnp.where(empty, jnp.zeros_like(numerator), numerator / jnp.where(empty, 1, denominator))


def _total(terms: Array | Sequence[Array], start: Array | None = None) -> Array:
    """Sum over the first axis, on top of ``start``, as plain additions: XLA's reductions do not vectorise
    along the lanes on a CPU. Of an array, slices that keep the axis are added: an operation fewer for each
    of hundreds of terms, which is time to compile.
    """
    if isinstance(terms, jax.Array):
        parts = [jax.lax.slice_in_dim(terms, k, k + 1) for k in range(len(terms))]
        whole = _total(parts) if start is None else _total(parts, start[None])
        return jax.lax.squeeze(whole, (0,))
    total, *rest = terms if start is None else (start, *terms)
    for term in rest:
        total = total + term
    return total
