"""Chains of blocks against dense least squares in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import block_banded
from solvers.block_banded import BandedLinks, ChainRows

explained = jax.jit(block_banded.explained)
log_determinant = jax.jit(block_banded.log_determinant, static_argnums=1)
solve = jax.jit(block_banded.solve, static_argnames="unroll")


def random_chain(blocks, lanes=2, size=4, inner=2, links=5, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    half = size // 2
    parts = (
        np.moveaxis(np.triu(rng.normal(size=(blocks, 2, lanes, half, half + 1))), 2, -1),
        rng.normal(size=(blocks, inner, size + 1, lanes)),
        rng.normal(size=(blocks - 1, links, 2 * size + 1, lanes)),
    )
    return ChainRows(*(jnp.asarray(part, dtype) for part in parts))


def dense(problem, lane):
    """The same rows as one dense matrix and right-hand side."""
    own, inner, coupling = (np.asarray(part, np.float64)[..., lane] for part in problem)
    blocks, _, half, _ = own.shape
    size = 2 * half
    matrix, right = [], []

    def add(begin, row):
        matrix.append(np.zeros(blocks * size))
        matrix[-1][begin : begin + len(row) - 1] = row[:-1]
        right.append(row[-1])

    for k in range(blocks):
        for side in range(2):
            for row in own[k, side]:
                add(k * size + side * half, row)
        for row in inner[k]:
            add(k * size, row)
    for k in range(blocks - 1):
        for row in coupling[k]:
            add(k * size, row)
    return np.array(matrix), np.array(right)


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 9])
def test_solves_like_dense_least_squares(float64, blocks, unroll):
    problem = random_chain(blocks)
    solution = solve(problem, unroll=unroll)
    for lane in range(2):
        matrix, right = dense(problem, lane)
        expected = np.linalg.lstsq(matrix, right, rcond=None)[0]
        np.testing.assert_allclose(solution[..., lane].ravel(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("blocks", [1, 4, 5])
def test_factor_inverts_the_normal_matrix_and_tells_the_gain(float64, blocks):
    problem = random_chain(blocks)
    vector = np.random.default_rng(1).normal(size=(blocks, 4, 2))
    chain = jax.jit(block_banded.factor)(problem)
    solution = jax.jit(block_banded.solve_normal)(chain, jnp.asarray(vector))
    for lane in range(2):
        matrix, right = dense(problem, lane)
        expected = np.linalg.solve(matrix.T @ matrix, vector[..., lane].ravel())
        np.testing.assert_allclose(solution[..., lane].ravel(), expected, rtol=1e-9, atol=1e-11)
        best = np.linalg.lstsq(matrix, right, rcond=None)[0]
        gain = right @ right - np.sum((matrix @ best - right) ** 2)
        np.testing.assert_allclose(explained(chain)[lane], gain, rtol=1e-10)


@pytest.mark.parametrize("blocks", [1, 2, 5, 8])
def test_covariances_and_determinant_are_those_of_the_dense_inverse(float64, blocks):
    problem = random_chain(blocks)
    chain = jax.jit(block_banded.factor)(problem)
    found = jax.jit(block_banded.covariances, static_argnums=1)(chain, blocks)
    for lane in range(2):
        matrix, _ = dense(problem, lane)
        normal = matrix.T @ matrix
        inverse = np.linalg.inv(normal).reshape(blocks, 4, blocks, 4)
        expected = inverse[np.arange(blocks), :, np.arange(blocks)]
        np.testing.assert_allclose(found[..., lane], expected, rtol=1e-9, atol=1e-12)
        logarithm = log_determinant(chain, blocks)[lane]
        np.testing.assert_allclose(logarithm, np.linalg.slogdet(normal)[1], rtol=1e-10)


@pytest.mark.parametrize(
    "blocks, lengths",
    [
        *((1, (4,)), (3, (8,)), (7, (4,)), (9, (2,)), (37, (3, 3, 3))),
        pytest.param(40, (7, 4), marks=pytest.mark.thorough),
    ],
)
def test_segments_solve_like_the_whole_chain(float64, blocks, lengths):
    @jax.jit
    def solve(problem):
        chains = [block_banded.factor_segments(problem, cut, unroll=False) for cut in ((), lengths)]
        return [
            (block_banded.back_substitute(chain, blocks), block_banded.explained(chain)) for chain in chains
        ]

    (expected, gain), (found, gain_of_segments) = solve(random_chain(blocks))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(gain_of_segments, gain, rtol=1e-10)


def test_nested_lengths_leave_no_more_than_one_segment():
    assert block_banded.nested_lengths(8, 8) == ()
    assert block_banded.nested_lengths(9, 8) == (8,)
    assert block_banded.nested_lengths(5001, 8) == (8, 8, 8, 8)


def test_lengths_are_chosen_by_device_and_size(monkeypatch):
    assert block_banded.choose_lengths(5001, 1) == (79,)
    assert block_banded.choose_lengths(5001, 3) == block_banded.choose_lengths(100, 1) == ()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert block_banded.choose_lengths(5001, 3) == (8, 8, 8, 8)


@pytest.mark.parametrize(
    "blocks, lengths",
    [(2, ()), (5, ()), (6, ()), (11, (4,)), pytest.param(12, (4,), marks=pytest.mark.thorough)],
)
def test_banded_links_are_the_same_links_in_every_lane(float64, blocks, lengths):
    problem = random_chain(blocks)
    coefficients = np.random.default_rng(3).normal(size=(blocks - 1, 2, 2, 6, 1))
    right = np.random.default_rng(4).normal(size=(blocks - 1, 2, 2, 2))
    links = np.zeros((blocks - 1, 4, 9, 2))
    links[:, :2, :6], links[:, 2:, 2:8] = coefficients[:, 0], coefficients[:, 1]
    links[:, :, 8] = right.reshape(blocks - 1, 4, 2)

    @jax.jit
    def solution(coupling):
        chain = block_banded.factor_segments(problem._replace(coupling=coupling), lengths, unroll=False)
        return block_banded.back_substitute(chain, blocks)

    banded = BandedLinks(jnp.asarray(coefficients), jnp.asarray(right))
    np.testing.assert_allclose(solution(banded), solution(jnp.asarray(links)), rtol=1e-9)


@pytest.mark.default_flags
def test_float32_keeps_the_digits_that_normal_equations_lose():
    # A stretch of 60 blocks that only second differences hold: the condition number of A^T A is beyond
    # float32.
    frames, weight = 120, 1e3
    own = np.zeros((frames, 2, 3, 1))
    own[[0, 1, -2, -1], 0, 0] = 1.0
    own[[0, 1, -2, -1], 0, 2] = np.array([0.0, 0.1, 5.0, 5.2])[:, None]
    # Block k holds position k and k + 1; the first link row ties the copies, the second is the second
    # difference.
    links = np.zeros((frames - 1, 2, 5, 1))
    links[:, 0, [1, 2]] = np.array([weight, -weight])[None, :, None]
    links[:, 1, [0, 1, 3]] = weight * np.array([1.0, -2.0, 1.0])[None, :, None]
    problem = [np.zeros((frames, 2, 1, 2, 1)), own, links]
    matrix, right = dense(problem, 0)
    expected = np.linalg.lstsq(matrix, right, rcond=None)[0]
    assert np.linalg.cond(matrix) ** 2 > 1 / np.finfo(np.float32).eps
    solution = solve(ChainRows(*(jnp.asarray(part, jnp.float32) for part in problem)))
    np.testing.assert_allclose(solution[..., 0].ravel(), expected, atol=2e-3)


def test_lanes_do_not_touch_each_other():
    problem = random_chain(6, lanes=5, dtype=np.float32)
    clean = solve(problem)
    spoilt = solve(problem._replace(own=problem.own.at[2, 1, 0, 1, 3].set(jnp.nan)))
    others = np.array([0, 1, 2, 4])
    np.testing.assert_array_equal(clean[..., others], spoilt[..., others])
    assert np.isnan(spoilt[..., 3]).any()


def test_undetermined_unknowns_stay_at_zero():
    problem = jax.tree.map(jnp.zeros_like, random_chain(5, dtype=np.float32))
    np.testing.assert_array_equal(solve(problem), 0)
