"""One focal length for a clip, found together with everybody's path."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from solvers.block_banded import (
    BandedLinks,
    ChainRows,
    back_substitute,
    covariances,
    explained,
    factor,
    factor_fast,
)
from solvers.gauss_newton import RESOLUTION, Status, inner_product, rounding
from solvers.joints import Joints, Vector, flat, fold_joints, points_of, products_of, triangle_of
from solvers.pinhole import (
    Camera,
    Extrinsics,
    Intrinsics,
    is_traced,
    jacobian_components,
    project_components,
)
from solvers.robust import GemanMcClure, Huber, Loss
from solvers.trajectory import TrajectorySolution
from solvers.trajectory_config import (
    DEFAULT_CONFIG,
    REFERENCE_FPS,
    Arguments,
    Settings,
    TrajectoryConfig,
    as_given,
    at_rate,
    read_arguments,
    read_camera,
    read_config,
    read_rate,
)
from solvers.trajectory_lanes import camera_lanes, check_distance, lay_out_clip, prepare
from solvers.trajectory_rows import (
    Terms,
    blocks_of,
    chain_of,
    compare,
    compare_scaled,
    components,
    frames_of,
    from_camera,
    linearize,
    middle_of,
    reprojection_error,
    residuals,
    smoothness,
)

# Relative standard deviation above which a clip does not tell its focal length.
UNTOLD = 0.5

# A step changes the focal length and the size by no more than this in their logarithms, and a solve by no
# more than a factor of exp(FARTHEST).
LONGEST_STEP = 0.5
FARTHEST = 3.0

# A step that would raise the cost is tried again at this share.
SHORTER = 0.25


class FocalSolution(NamedTuple):
    """focal (..., 2), focal_std (..., 2): the clip's focal lengths in pixels, in the proportion that the
    camera came with, and their standard deviation, the paths being unknown too: config.keypoint_std scales
    it, and what poses are wrong by is not in it.
    size (...), size_std (...): what all poses of the clip are multiplied by, and its standard deviation; 1
        and 0 unless it was solved for.
    status (...): a `Status` of the clip: UNOBSERVABLE where it does not tell the focal length to a factor
        of e^0.5, and all of the above and below is NaN; where nobody can be solved, the gravest of theirs.
    trajectory: everybody's path behind that camera, for people of that size, as `solve_trajectory` returns
        it; covariance, when asked for, includes what is not known of focal length and size. log_evidence is
        None. Its cost is in pixels of the image resized as the first guess has it.
    """

    focal: Float[Array, "*clips 2"]
    focal_std: Float[Array, "*clips 2"]
    size: Float[Array, "*clips"]
    size_std: Float[Array, "*clips"]
    status: Int[Array, "*clips"]
    trajectory: TrajectorySolution


def solve_focal(
    poses: Shaped[Any, "..."],
    keypoints: Shaped[Any, "..."],
    occluded: Shaped[Any, "..."],
    camera: Camera,
    config: TrajectoryConfig = DEFAULT_CONFIG,
    confidence: Shaped[Any, "..."] | None = None,
    covariance: bool = False,
    extrinsics: Extrinsics | None = None,
    solve_size: bool = False,
    fps: Any = REFERENCE_FPS,
) -> FocalSolution:
    """Eq. 9 with one more unknown, or two, that all people of a clip share:

        min_{C, phi, beta}  sum over people of Eq. 9 with f e^phi for f and e^beta X for X
                            + (sigma_px beta / sigma_size)^2

    What tells the focal length is perspective inside a body: near limbs look larger than far ones, the more
    so the nearer the person stands. Its distance alone tells nothing, as the path is unknown.

    A Gauss-Newton step is that of the bordered system

        min |A dC + G dtheta - r|^2,   A banded, G one or two columns, theta = (phi, beta)

    solved without normal equations: the chain's elimination also finds the path d = argmin |A d + G| by
    which paths answer to theta; the columns G + A d are at right angles to those of A, so that dtheta is
    their own small least-squares problem, and dC = argmin |A dC - r| + d dtheta. d starts from the movement
    that changes the images least (along the ray, in proportion to the depth), so that nothing large cancels.
    Steps that would raise the cost are shortened.

    poses (..., P, F, J, 3), keypoints (..., P, F, J, 2), occluded (..., P, F, J), confidence, extrinsics,
    fps: as in `solve_trajectory`, for P people of a clip; leading axes are clips.
    camera: its focal length is the first guess, and fx : fy stays as it is; one, or one for each clip. The
        image is resized by 1145 / f with that guess, not with the unknown, which would change what a pixel
        weighs while it is sought: a guess twice too long takes the smoothness for four times as heavy.
    config: as in `solve_trajectory`, with window None; bias_std is not read.
    covariance: also say how sure every root is.
    solve_size: also solve for one body size, drawn to 1 with the relative standard deviation
        config.size_std, positive then. A camera that stands still tells nothing of it; one whose motion is
        known in metres does.

    A person who cannot be solved has a status, as in `solve_trajectory`, and no say in the focal length; who
    ends up outside config.distance_range had one. There are no derivatives in reverse. Raises ValueError for
    what `solve_trajectory` refuses, for a window, for poses without an axis of people, and for solve_size
    without a size_std.
    """
    poses = as_given("poses", poses)
    if poses.ndim < 4:
        raise ValueError(
            f"poses has shape {poses.shape}: pass (..., P, F, J, 3), with an axis for the people of a clip"
        )
    if config.window is not None:
        raise ValueError(
            f"config.window is {config.window}: a focal length belongs to the whole clip; pass window=None"
        )
    if solve_size and not is_traced(config.size_std) and not config.size_std > 0:
        raise ValueError(
            f"config.size_std is {config.size_std}: to solve for a size, say how much sizes vary (0.06, say)"
        )
    given = read_arguments(poses, keypoints, occluded, confidence, extrinsics, None)
    dtype, clips = given.dtype, poses.shape[:-4]
    settings = read_config(config, dtype)
    intrinsics = read_camera(camera, dtype, poses.shape[:-2])
    for name, value in zip(("fx", "cx"), (intrinsics.fx, intrinsics.cx), strict=True):
        if value.ndim > len(clips):
            raise ValueError(
                f"camera has leading axes {value.shape} in {name}, the clips have {clips}: a focal "
                "length is shared by a clip's people and frames; pass one camera, or one for each clip"
            )
    return _solve_clips(
        given,
        intrinsics,
        settings,
        read_rate(fps, dtype),
        max_steps=config.max_steps,
        tolerance=config.tolerance,
        covariance=covariance,
        solve_size=solve_size,
    )


class _Search(NamedTuple):
    """Where a solve stands. params (blocks, 6, lanes); theta (1 or 2, clips): logarithms of what focal
    length and size are multiplied by; share (clips,): of the next step; status (clips,): MAX_STEPS until it
    is settled; num_steps (clips,). answers, information: those of the last `_Step`, at most that step away.
    """

    params: Array
    theta: Array
    share: Array
    status: Array
    num_steps: Array
    answers: tuple[Array, ...]
    information: Array


class _Step(NamedTuple):
    """A Gauss-Newton step of the bordered system. path (blocks, 6, lanes): argmin |A dC - r|; answers: d of
    each shared unknown, of the same shape; rests: what of that is not the slope of `_along_rays`;
    information (clips, k, k) and force (clips, k): the normal equations of dtheta; gain (clips,): by how much
    ``path`` lowers the cost.
    """

    path: Array
    answers: tuple[Array, ...]
    rests: tuple[Array, ...]
    information: Array
    force: Array
    gain: Array


@functools.partial(jax.jit, static_argnames=("max_steps", "tolerance", "covariance", "solve_size"))
def _solve_clips(
    given: Arguments,
    camera: Intrinsics,
    settings: Settings,
    fps: Array,
    *,
    max_steps: int,
    tolerance: float,
    covariance: bool,
    solve_size: bool,
) -> FocalSolution:
    given = given.cast()
    *lead, people, frames, _, _ = given.poses.shape
    clips, dtype = math.prod(lead), given.poses.dtype
    clip, origin = lay_out_clip(given, camera)
    ready = prepare(clip, at_rate(settings.weights, fps), None, settings.loss)
    solvable = ready.status == int(Status.CONVERGED)
    terms = ready.terms
    loss = terms.loss
    keypoint_std, size_std, _ = settings.spreads
    prior = jnp.zeros((2 if solve_size else 1,), dtype)
    if solve_size:
        prior = prior.at[1].set((keypoint_std / size_std) ** 2)

    start = _Search(
        params=ready.params,
        theta=jnp.zeros((len(prior), clips), dtype),
        share=jnp.ones(clips, dtype),
        status=jnp.full(clips, int(Status.MAX_STEPS)),
        num_steps=jnp.zeros(clips, jnp.int32),
        answers=(jnp.zeros_like(ready.params),) * len(prior),
        information=jnp.zeros((clips, len(prior), len(prior)), dtype),
    )
    if isinstance(loss, GemanMcClure):
        first = terms._replace(loss=Huber(loss.scale))
        found = _search(start, first, prior, people, max_steps, tolerance)
        start = start._replace(params=found.params, theta=found.theta, num_steps=found.num_steps)
    found = _search(start, terms, prior, people, max_steps, tolerance)

    # What the solution tells of the shared unknowns.
    there = _scaled(terms, found.theta, people)
    usable, information = _usable(found.information)
    shared = keypoint_std**2 * jnp.linalg.inv(information)
    deviation = jnp.sqrt(jnp.diagonal(shared, axis1=-2, axis2=-1))
    told = usable & (deviation[:, 0] < UNTOLD) & (jnp.abs(found.theta[0]) < FARTHEST)
    anybody = jnp.any(solvable.reshape(clips, people), axis=1)
    nobody = jnp.max(ready.status.reshape(clips, people), axis=1)
    status = jnp.where(
        anybody, jnp.where(told, found.status, int(Status.UNOBSERVABLE)), nobody.astype(found.status.dtype)
    )
    fine = (status == int(Status.CONVERGED)) | (status == int(Status.MAX_STEPS))

    def known(values: Array) -> Array:
        shape = (clips,) + (1,) * (values.ndim - 1)
        return jnp.where(fine.reshape(shape), values, jnp.nan).reshape(*lead, *values.shape[1:])

    scale = jnp.exp(found.theta)
    guess = [camera_lanes(jnp.asarray(values), tuple(lead))[0, 0] for values in (camera.fx, camera.fy)]
    focal = jnp.stack(guess, axis=1) * scale[0][:, None]
    ones = jnp.ones_like(scale[0])

    status_of = jnp.where(solvable, jnp.repeat(status, people), ready.status)
    path = frames_of(found.params, frames)
    status_of = check_distance(path, there, ready.summary, settings.distances, status_of)
    answered = (status_of == int(Status.CONVERGED)) | (status_of == int(Status.MAX_STEPS))
    values = compare(found.params, found.params, there).value
    error = reprojection_error(path, there) / clip.resizing[0]
    root = jnp.where(answered[None, None], path, jnp.nan)
    root = root if origin is None else root + origin.T[None]

    def lanes_first(values: Array) -> Array:
        return jnp.moveaxis(values, -1, 0).reshape(*lead, people, *values.shape[:-1])

    return FocalSolution(
        focal=known(focal),
        focal_std=known(focal * deviation[:, :1]),
        size=known(scale[1] if solve_size else ones),
        size_std=known(scale[1] * deviation[:, 1] if solve_size else jnp.zeros_like(ones)),
        status=status.reshape(lead),
        trajectory=TrajectorySolution(
            root=lanes_first(root),
            status=lanes_first(status_of),
            cost=lanes_first(jnp.where(answered, 2 * values, jnp.nan)),
            num_steps=lanes_first(jnp.repeat(found.num_steps, people)),
            covariance=lanes_first(
                jnp.where(
                    answered[None, None, None],
                    _spread(found.params, there, found.answers, shared, keypoint_std, people),
                    jnp.nan,
                )
            )
            if covariance
            else None,
            residual=lanes_first(jnp.where(answered[None] & (ready.summary.shown > 0), error, jnp.nan)),
        ),
    )


def _search(
    start: _Search, terms: Terms, prior: Array, people: int, max_steps: int, tolerance: float
) -> _Search:
    def running(search: _Search) -> Array:
        return (jnp.max(search.num_steps) < limit) & jnp.any(search.status == int(Status.MAX_STEPS))

    def step(search: _Search) -> _Search:
        here = _scaled(terms, search.theta, people)
        turn = _bordered_step(search.params, here, prior, search.theta, people)
        usable, information = _usable(turn.information)
        change = jnp.linalg.solve(information, turn.force[..., None])[..., 0].T
        change = jnp.where(usable[None], change, jnp.zeros_like(change))
        longest = jnp.max(jnp.abs(change), axis=0)
        share = jnp.minimum(search.share, LONGEST_STEP / jnp.maximum(longest, LONGEST_STEP))
        theta = jnp.clip(search.theta + share[None] * change, -FARTHEST, FARTHEST)
        by = [jnp.repeat(values, people)[None, None] for values in (share, *(theta - search.theta))]
        straight = by[0] * turn.path
        for rest, shared in zip(turn.rests, by[1:], strict=True):
            straight = straight + rest * shared
        trial = _along_rays(search.params + straight, theta - search.theta, here, people)
        whole = trial - search.params

        growth = None
        if len(theta) > 1:
            growth = jnp.repeat(jnp.exp(theta[1] - search.theta[1]), people)
        there = _scaled(terms, theta, people)
        compared = compare_scaled(search.params, trial, here, there.camera, growth)
        decrease = _over_people(compared.decrease, people)
        change_of_prior = prior[:, None] * (search.theta - theta) * (search.theta + theta)
        decrease = decrease + jnp.sum(change_of_prior, axis=0) / 2
        before = residuals(search.params, here)
        noise = _over_people(rounding(before, compared.before), people)
        gainless = turn.gain + jnp.sum(turn.force.T * change, axis=0) / 2 <= noise

        active = search.status == int(Status.MAX_STEPS)
        accepted = active & ((decrease > 0) | (gainless & (decrease >= -noise)))
        lanes = jnp.repeat(accepted, people)
        size, reach = (
            jnp.max(jnp.max(jnp.abs(values), axis=(0, 1)).reshape(-1, people), axis=1)
            for values in (whole, search.params)
        )
        resolution = RESOLUTION * jnp.finfo(size.dtype).eps * reach
        small = size <= jnp.maximum(jnp.asarray(tolerance, size.dtype), resolution)
        settled = active & ((small & (share == 1)) | gainless)
        shorter = jnp.where(accepted, jnp.ones_like(share), share * SHORTER)
        return _Search(
            params=jnp.where(lanes[None, None], trial, search.params),
            theta=jnp.where(accepted, theta, search.theta),
            share=jnp.where(active, shorter, search.share),
            status=jnp.where(settled, int(Status.CONVERGED), search.status),
            num_steps=search.num_steps + active.astype(jnp.int32),
            answers=turn.answers,
            information=turn.information,
        )

    limit = jnp.max(start.num_steps) + max_steps
    return jax.lax.while_loop(running, step, start)


def _over_people(values: Array, people: int) -> Array:
    return jnp.sum(values.reshape(-1, people), axis=1)


def _usable(information: Array) -> tuple[Array, Array]:
    """Which clips tell everything that is asked, and their information, the identity for the others."""
    diagonal = jnp.diagonal(information, axis1=-2, axis2=-1)
    usable = jnp.all(jnp.isfinite(information), axis=(-2, -1)) & jnp.all(diagonal > 0, axis=-1)
    one = jnp.eye(information.shape[-1], dtype=information.dtype)[None]
    return usable, jnp.where(usable[:, None, None], information, one)


def _scaled(terms: Terms, theta: Array, people: int) -> Terms:
    """The terms for focal lengths and, with a second row of theta, sizes that are multiplied by e^theta."""
    scale = jnp.repeat(jnp.exp(theta), people, axis=1)[:, None, None]
    camera = terms.camera._replace(fx=terms.camera.fx * scale[0], fy=terms.camera.fy * scale[0])
    if len(theta) == 1:
        return terms._replace(camera=camera)

    def grown(joints: Joints, by: Array) -> Joints:
        return joints._replace(x=joints.x * by, y=joints.y * by, z=joints.z * by)

    joints, centre = grown(terms.joints, scale[1]), grown(terms.centre, scale[1, 0])
    return terms._replace(camera=camera, joints=joints, centre=centre)


def _along_rays(params: Array, change: Array, terms: Terms, people: int) -> Array:
    """Paths whose images change least when the logarithms of focal length and size change: depths go with
    the focal length, and everything with the size. Their slope is where `_bordered_step` starts from.
    """
    scale = jnp.repeat(jnp.exp(change), people, axis=1)[:, None]
    x, y, z = components(params, terms)
    root = jnp.stack([x, y, z * scale[0]], axis=1)
    if len(change) > 1:
        root = root * scale[1][:, None]
    return blocks_of(from_camera(root, terms.path))


def _bordered_step(params: Array, terms: Terms, prior: Array, theta: Array, people: int) -> _Step:
    lanes = terms.joints.x.shape[-1]
    root = components(params, terms)
    middle = middle_of(root, terms)
    still = None if terms.path is None else terms.path._replace(position=jnp.zeros_like(terms.path.position))
    zero = jnp.zeros_like(root[2])
    first = ((zero, zero, root[2]), root)[: len(prior)]

    def one(joint: Joints, camera: Intrinsics, root: Vector, middle: Any, first: Any) -> Any:
        columns, border, slope = _columns(joint, camera, root, first, terms.loss)
        (u_x, v_x), (u_y, v_y), (u_z, v_z), error = columns
        across = (u_z + u_x * middle[0] + u_y * middle[1], v_z + v_x * middle[0] + v_y * middle[1])
        moves = ((u_x, v_x), (u_y, v_y), across)
        rights = (error, *((-u, -v) for u, v in border))
        return [products_of((*moves, right), joint.visible * slope) for right in rights]

    sums = fold_joints(one, terms.joints, flat(terms.camera), root, middle, first)
    guesses = [from_camera(jnp.stack(direction, axis=1), still) for direction in first]
    none = jnp.zeros(lanes, params.dtype)
    rows = _side_by_side(
        [
            chain_of(at, triangle_of(products, middle, none), terms)
            for at, products in zip([params, *map(blocks_of, guesses)], sums, strict=True)
        ]
    )
    chain = factor_fast(rows)
    path, *rests = jnp.split(back_substitute(chain, len(rows.own)), 1 + len(prior), axis=-1)
    answers = tuple(blocks_of(guess) + more for guess, more in zip(guesses, rests, strict=True))
    moved = tuple(components(answer, terms._replace(path=still)) for answer in answers)

    def two(joint: Joints, camera: Intrinsics, root: Vector, moved: Any) -> Any:
        (*_, error), border, slope = _columns(joint, camera, root, moved, terms.loss)
        weight = joint.visible * slope
        return [
            [weight * (u * other_u + v * other_v) for other_u, other_v in (*border[k:], error)]
            for k, (u, v) in enumerate(border)
        ]

    seen = fold_joints(two, terms.joints, flat(terms.camera), root, moved)
    smooth = [smoothness(at, terms) for at in (*answers, params)]
    count = len(prior)
    information = [[jnp.zeros((), params.dtype)] * count for _ in range(count)]
    force = []
    for k in range(count):
        *own, pull = seen[k]
        for j, entry in enumerate(own, start=k):
            total = _over_people(jnp.sum(entry, axis=0) + inner_product(smooth[k], smooth[j]), people)
            information[k][j] = information[j][k] = total + (prior[k] if j == k else 0)
        pulled = _over_people(jnp.sum(pull, axis=0) - inner_product(smooth[k], smooth[-1]), people)
        force.append(pulled - prior[k] * theta[k])
    return _Step(
        path=path,
        answers=answers,
        rests=tuple(rests),
        information=jnp.stack([jnp.stack(row, axis=-1) for row in information], axis=-1),
        force=jnp.stack(force, axis=-1),
        gain=_over_people(explained(chain)[:lanes], people) / 2,
    )


def _columns(
    joint: Joints, camera: Intrinsics, root: Vector, moved: tuple[Vector, ...], loss: Loss
) -> tuple[tuple[tuple[Array, Array], ...], list[tuple[Array, Array]], Array]:
    """Of one joint: how its pixels answer to the root's three coordinates, and their error; how they answer
    to each shared unknown when the root answers as ``moved`` says; and the loss's slope.
    """
    x, y, z = points_of(root, joint)
    u, v = project_components(x, y, z, camera)
    (u_x, u_y, u_z), (v_x, v_y, v_z) = jacobian_components(x, y, z, camera)
    border = []
    for k, (a, b, c) in enumerate(moved):
        if k == 0:
            own_u, own_v = u - camera.cx, v - camera.cy
        else:
            a, b, c = a + joint.x, b + joint.y, c + joint.z
            own_u, own_v = jnp.zeros_like(u), jnp.zeros_like(v)
        border.append((own_u + u_x * a + u_y * b + u_z * c, own_v + v_x * a + v_y * b + v_z * c))
    error = joint.u - u, joint.v - v
    slope = loss.slope(error[0] * error[0] + error[1] * error[1])
    return ((u_x, v_x), (u_y, v_y), (u_z, v_z), error), border, slope


def _side_by_side(problems: Sequence[ChainRows]) -> ChainRows:
    """Problems of the same chain as lanes of one."""

    def joined(*parts: Array) -> Array:
        return jnp.concatenate(parts, axis=-1)

    own, inner, links = zip(*problems, strict=True)
    coefficients = links[0].coefficients
    rhs = joined(*(link.rhs for link in links))
    return ChainRows(joined(*own), joined(*inner), BandedLinks(coefficients, rhs))


def _spread(
    params: Array, terms: Terms, answers: Sequence[Array], shared: Array, keypoint_std: Array, people: int
) -> Array:
    """Covariance of every root (frames, 3, 3, lanes): with the shared unknowns known, and what their own
    covariance (clips, k, k) adds.
    """
    frames = terms.joints.x.shape[1]
    rows = linearize(params, jnp.zeros(params.shape[-1], params.dtype), terms)
    spread = frames_of(covariances(factor(rows, unroll=False), len(rows.own)), frames)
    total = keypoint_std**2 * spread
    moved = [frames_of(answer, frames) for answer in answers]
    for j, left in enumerate(moved):
        for k, right in enumerate(moved):
            total = (
                total
                + jnp.repeat(shared[:, j, k], people)[None, None, None] * left[:, :, None] * right[:, None]
            )
    return total
