"""BandedGaussNewton on a small curve-fitting chain: cost, damping, jaxopt's interface, derivatives."""

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import pytest

from solvers import BandedGaussNewton, ChainRows, Status, WeightedResiduals

# Two unknowns a block: an amplitude and a rate that a block's samples y = a exp(-b t) fix, tied to the
# neighbours.
TIMES = np.linspace(0.0, 2.0, 6)


def residuals(params, samples, weight):
    """params (blocks, 2, lanes), samples (6, blocks, lanes)."""
    amplitude, rate = params[None, :, 0], params[None, :, 1]
    times = jnp.asarray(TIMES, params.dtype)[:, None, None]
    fit = amplitude * jnp.exp(-rate * times) - samples
    ones = jnp.ones((1, 1, 1), params.dtype)
    return WeightedResiduals(
        (fit, params[1:] - params[:-1]), (ones, weight * ones), jnp.max(jnp.abs(samples), axis=(0, 1))
    )


def linearize(params, damping, samples, weight):
    blocks, size, lanes = params.shape
    amplitude, rate = params[None, :, 0], params[None, :, 1]
    times = jnp.asarray(TIMES, params.dtype)[:, None, None]
    decay = jnp.exp(-rate * times)
    columns = jnp.stack([decay, -amplitude * times * decay, samples - amplitude * decay])
    fits = jnp.moveaxis(columns, (2, 1, 0), (0, 1, 2))
    identity = (
        jnp.eye(size, size + 1, dtype=params.dtype)[None, :, :, None] * jnp.sqrt(damping)[None, None, None]
    )
    inner = jnp.concatenate([fits, jnp.broadcast_to(identity, (blocks, size, size + 1, lanes))], axis=1)
    tie = jnp.concatenate([-jnp.eye(size, dtype=params.dtype), jnp.eye(size, dtype=params.dtype)], axis=1)
    tie = jnp.broadcast_to(tie[None, :, :, None], (blocks - 1, size, 2 * size, lanes))
    right = (params[:-1] - params[1:])[:, :, None]
    coupling = jnp.sqrt(weight) * jnp.concatenate([tie, right], axis=2)
    return ChainRows(jnp.zeros((blocks, 2, 1, 2, lanes), params.dtype), inner, coupling)


def problem(dtype=np.float64, lanes=3, blocks=4, noise=0.02):
    rng = np.random.default_rng(0)
    amplitude = 2 + 0.1 * rng.normal(size=(blocks, lanes))
    rate = 1 + 0.1 * rng.normal(size=(blocks, lanes))
    samples = amplitude * np.exp(-rate * TIMES[:, None, None])
    return jnp.asarray(samples + noise * rng.normal(size=samples.shape), dtype), jnp.asarray(0.3, dtype)


def solver(**options):
    return BandedGaussNewton(
        residual_fun=residuals, linearize=linearize, **{"maxiter": 60, "tol": 1e-12} | options
    )


def starts(dtype=np.float64):
    """Close, far, and so far that a full step fails."""
    start = np.ones((4, 2, 3))
    start[:, 1] = [1.0, 3.0, 6.0]
    start[:, 0] = [1.0, -1.0, 9.0]
    return jnp.asarray(start, dtype)


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.thorough)])
def test_every_accepted_step_lowers_the_cost(dtype):
    with jax.enable_x64(dtype == np.float64):
        method, given = solver(), problem(dtype)
        update, cost = jax.jit(method.update), jax.jit(method.cost)
        params = starts(dtype)
        state = method.init_state(params, *given)
        rejected = 0
        for _ in range(40):
            before, old = params, state
            params, state = update(params, state, *given)
            moved = (params != before).any(axis=(0, 1))
            rejected += int((~moved & (old.status == Status.MAX_STEPS)).sum())
            np.testing.assert_allclose(state.value, cost(params, *given), rtol=1e-5)
            if dtype == np.float64:
                # To the rounding of the cost itself, which the last steps reach.
                assert (state.value[moved] <= old.value[moved] * (1 + 1e-14)).all()
            else:
                assert (state.value[moved] <= old.value[moved] * (1 + 1e-5)).all()
            # A settled lane stands still.
            settled = old.status != Status.MAX_STEPS
            assert not (moved & settled).any()
            np.testing.assert_array_equal(state.value[settled], old.value[settled])
        np.testing.assert_array_equal(state.status, Status.CONVERGED)
        assert rejected > 0, "no start was far enough to need damping"


def test_finds_the_minimum_that_jaxopt_finds(float64):
    given = problem()
    params, state = jax.jit(solver().run)(starts(), *given)
    np.testing.assert_array_equal(state.status, Status.CONVERGED)

    def plain(params, *given):
        found = residuals(params, *given)
        parts = [
            jnp.ravel(jnp.sqrt(w) * jnp.ones_like(r) * r)
            for r, w in zip(found.values, found.weights, strict=True)
        ]
        return jnp.concatenate(parts)

    close = jnp.ones((4, 2, 3)) * jnp.asarray([2.0, 1.0])[None, :, None]
    expected = jaxopt.GaussNewton(plain, tol=1e-12, maxiter=50).run(close, *given).params
    np.testing.assert_allclose(params, expected, atol=1e-9)
    assert jnp.max(jnp.abs(solver().optimality_fun(params, *given))) < 1e-9
    assert float(solver().l2_optimality_error(params, *given)) < 1e-8


def test_linearize_of_the_test_problem_is_its_derivative(float64):
    given, params = problem(), starts()
    rows = linearize(params, jnp.zeros(3), *given)
    gradient = jax.grad(lambda p: solver().cost(p, *given).sum())(params)
    own = -jnp.sum(rows.inner[:, :, :2] * rows.inner[:, :, 2:], axis=1)
    links = -jnp.sum(rows.coupling[:, :, :4] * rows.coupling[:, :, 4:], axis=1)
    own = own.at[:-1].add(links[:, :2]).at[1:].add(links[:, 2:])
    np.testing.assert_allclose(own, gradient, atol=1e-10)


def test_implicit_forward_reverse_unrolled_and_numeric_derivatives_agree(float64):
    samples, weight = problem(
        noise=0.3
    )  # large residuals: Gauss-Newton's Hessian alone would be visibly wrong
    probe = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2, 3)))
    close = jnp.ones((4, 2, 3)) * jnp.asarray([2.0, 1.0])[None, :, None]

    def loss_by(method):
        return lambda samples, weight: jnp.sum(probe * method.run(close, samples, weight).params)

    loss = loss_by(solver())
    reverse = jax.jit(jax.grad(loss, argnums=(0, 1)))(samples, weight)
    through_steps = loss_by(solver(implicit_diff=False, maxiter=40, jit=True))
    unrolled = jax.jit(jax.grad(through_steps, argnums=(0, 1)))(samples, weight)
    for implicit, through in zip(reverse, unrolled, strict=True):
        np.testing.assert_allclose(implicit, through, rtol=1e-6, atol=1e-9)

    direction = jnp.asarray(np.random.default_rng(2).normal(size=samples.shape))

    # The value too, so that the differences below need no program of their own.
    @jax.jit
    def value_and_slope(samples, weight):
        return jax.jvp(loss, (samples, weight), (direction, jnp.ones_like(weight)))

    forward = value_and_slope(samples, weight)[1]
    np.testing.assert_allclose(forward, jnp.vdot(reverse[0], direction) + reverse[1], rtol=1e-9)
    h = 1e-5
    ahead, back = (value_and_slope(samples + s * direction, weight + s)[0] for s in (h, -h))
    numeric = (ahead - back) / (2 * h)
    np.testing.assert_allclose(forward, numeric, rtol=1e-5)


def test_own_implicit_solve_is_used(float64):
    given = problem()

    def solve(matvec, b):
        return jaxopt.linear_solve.solve_cg(matvec, b, tol=1e-12, maxiter=200)

    def loss(samples, method):
        return jnp.sum(method.run(starts(), samples, given[1]).params ** 2)

    banded, own = (
        jax.jit(jax.jacfwd(lambda scale, method=method: loss(given[0] * scale, method)))(1.0)
        for method in (solver(), solver(implicit_diff_solve=solve))
    )
    np.testing.assert_allclose(own, banded, rtol=1e-8)


def test_a_lane_that_is_not_finite_stops_alone():
    samples, weight = problem(np.float32)
    run = jax.jit(solver(tol=1e-6).run)
    clean = run(starts(np.float32), samples, weight)
    params, state = run(starts(np.float32), samples.at[2, 1, 1].set(jnp.nan), weight)
    assert [int(status) for status in state.status] == [Status.CONVERGED, Status.NON_FINITE, Status.CONVERGED]
    for lane in (0, 2):
        np.testing.assert_array_equal(params[..., lane], clean.params[..., lane])
    assert int(state.num_steps[1]) == 0


def test_needs_a_linearization():
    with pytest.raises(ValueError, match="linearize is missing"):
        BandedGaussNewton(residual_fun=residuals)


def test_takes_no_auxiliary_values():
    with pytest.raises(ValueError, match=r"has_aux is True.*pass has_aux=False"):
        BandedGaussNewton(residual_fun=residuals, linearize=linearize, has_aux=True)
