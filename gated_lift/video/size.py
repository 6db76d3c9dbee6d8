"""How tall people are: one number a person, by which joints, paths and distances all grow alike.

A person who is larger and farther away by the same factor has the same image, whatever the path: so a clip's
sizes are solved for after the paths, as a small problem of their own. What tells them is what is known of
people in general or of this one (`size_priors`), and where feet stand (`video.floor`).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gated_lift.skeleton import Skeleton
from gated_lift.video.floor import Stances, find_stances, knows_feet, level_axes, vertical
from solvers import Extrinsics

# A standing person from the soles to the top of the head, as sums of bones that end in these joints; the
# ankle's own height is a share of the whole (Drillis and Contini's segment lengths, 1966).
LEG = ("knee", "ankle")
TRUNK = ("spine", "thorax", "neck", "head")
ANKLE_SHARE = 0.039
BONES = (*(f"{side}_{name}" for side in ("left", "right") for name in LEG), *TRUNK)

SHORTEST, TALLEST = 0.4, 2.6  # metres

# A lifted bone is more often too short than too long: where its depth is unsure the network takes less of it.
# So a bone's length is this quantile over the frames. This and all below was chosen on subjects 35, 135, 113
# and 143 (`python -m experiments.trajectory sizes --subjects 35 135 113 143` prints what it rests on).
BONE_QUANTILE = 0.7
# Of a person's distance, as a share of it, standard deviations: when the height is known, and what no size of
# the whole clip mends, from frame to frame.
HEIGHT_STD = 0.025
FRAME_STD = 0.02

# What feet that stand are off by, as lifted: heights above the floor, metres, each time and for a person
# throughout. What a vertical may be wrong by, radians, that a camera path, the user or the people themselves
# tell, and a camera's height that the user has told, metres.
STANCE_STD, PERSON_STD = 0.03, 0.04
PATH_TILT_STD, TOLD_TILT_STD, BODIES_TILT_STD = (float(np.radians(each)) for each in (0.5, 2.0, 3.0))
CAMERA_HEIGHT_STD = 0.03
# A camera of which nobody has told the height may be anywhere.
SOME_HEIGHT, SOME_HEIGHT_STD = 1.5, 50.0
# Of the ankle joint above the floor, metres.
ANKLE_HEIGHT = 0.065
# Stances of a person who counts where nobody has told the vertical.
OFTEN = 3

# Rows that are off by more standard deviations than this count ever less (Cauchy's weights): feet on stairs
# and chairs. The first steps believe ever more of them, until people of all sizes stand on the floor.
DOUBT = 2.5
STEPS = 40


class Sizes(NamedTuple):
    """scale: what a person's joints about the camera are multiplied by. std: standard deviation of its
    logarithm, which is a share of the size. floor: metres, z of the floor in the axes of the `Stances`; NaN
    where nobody stands.
    """

    scale: Float[np.ndarray, " people"]
    std: Float[np.ndarray, " people"]
    floor: float


def knows_height(skeleton: Skeleton) -> bool:
    """Whether a skeleton has the joints that a height is measured by."""
    return {*BONES} <= {*skeleton.names}


def stature(
    joints: Float[np.ndarray, "people frames joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, " people"]:
    """How tall the lifted people are, metres: the lengths of legs, trunk and head (`BONE_QUANTILE` over the
    frames).

    joints: metres, NaN where nobody is. NaN for people who are on no frame. Raises ValueError for a skeleton
    without these joints.
    """

    if not knows_height(skeleton):
        raise ValueError(f"{skeleton.name} lacks some of {', '.join(BONES)}: a height needs all of them")

    def length(name: str) -> np.ndarray:
        joint = skeleton.names.index(name)
        bone = joints[:, :, joint] - joints[:, :, skeleton.parents[joint]]
        return _quantile(np.linalg.norm(bone, axis=-1))

    legs = np.sum([length(f"{side}_{name}") for side in ("left", "right") for name in LEG], axis=0) / 2
    trunk = np.sum([length(name) for name in TRUNK], axis=0)
    return (legs + trunk) / (1 - ANKLE_SHARE)


def _quantile(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    return np.array(
        [
            np.quantile(row[own], BONE_QUANTILE) if own.any() else np.nan
            for row, own in zip(values, there, strict=True)
        ]
    )


def size_priors(
    heights: dict[str, float],
    names: tuple[str, ...],
    measured: Float[np.ndarray, " people"],
    spread: float,
    unseen: Float[np.ndarray, " people"],
) -> tuple[Float[np.ndarray, " people"], Float[np.ndarray, " people"]]:
    """Mean and standard deviation of the logarithm of each person's scale before the floor is looked at.

    heights: metres by name; the name "" is everybody without a name of their own. measured: `stature` of the
    people as lifted, NaN where it is not known. spread: relative standard deviation of a lifted person on one
    frame (`pipeline.size_spread`), for people whose height is not given: their lifted size is the best guess.
    unseen: what is to be added for want of joints that were never seen (`plausibility.unseen_size_std`).
    Raises ValueError for names that nobody has and heights that nobody has.
    """
    unknown = set(heights) - set(names) - {""}
    if unknown:
        raise ValueError(f"heights names {', '.join(sorted(unknown))}, people are {', '.join(names)}")
    for name, height in heights.items():
        if not SHORTEST <= height <= TALLEST:
            raise ValueError(f"the height of {name or 'everybody'} is {height}: give metres, such as 1.75")
    mean = np.zeros(len(names))
    std = np.full(len(names), max(spread**2 - FRAME_STD**2, FRAME_STD**2) ** 0.5)
    for person, name in enumerate(names):
        known = heights.get(name, heights.get(""))
        if known is not None and np.isfinite(measured[person]):
            mean[person], std[person] = np.log(known / measured[person]), HEIGHT_STD
    return mean, np.hypot(std, unseen)


def solve_sizes(
    mean: Float[np.ndarray, " people"],
    std: Float[np.ndarray, " people"],
    stances: Stances,
    tilt_std: float = TOLD_TILT_STD,
    camera_height: float | None = None,
) -> Sizes:
    """The sizes of a clip's people from what is known of them and where they stand.

        min  sum_p (l_p − mean_p)² / std_p²  +  sum_k rho(error_k / STANCE_STD)
        error_k = (v_k + tilt × v_k)_z − ANKLE_HEIGHT + e^−l (h_k − floor) − o_p

    over the log scale l_p of every person, the height of the floor, a small rotation ``tilt`` by which the
    vertical is wrong, and an offset o_p by which a person's feet are lifted too high throughout, or stand on
    something. v is the way from the camera to the ankle as lifted and h the camera's height: the ankle is at
    h + e^l v_z. All is divided by e^l, so that errors are those of the lifted body.

    mean, std: of `size_priors`. tilt_std: radians, how far the vertical may be off. camera_height: metres of
    the camera above the floor, for a camera that stands still. Where nobody stands the sizes are the prior's.
    """
    people, person = len(mean), stances.person
    unknowns = 2 * people + 3  # log scales, offsets, floor, tilt about x and y
    sizes, offsets, floor, tilt = np.split(np.arange(unknowns), [people, 2 * people, 2 * people + 1])
    guess = np.zeros(unknowns)
    guess[sizes] = mean
    if len(person):
        guess[floor] = np.median(stances.ankle[:, 2] + stances.height) - ANKLE_HEIGHT

    # Every unknown has a prior: what it is said to be, and with what standard deviation.
    said = np.zeros(unknowns)
    said[sizes] = mean
    said[floor] = float(stances.height.mean()) if len(person) else 0.0
    said[floor] -= SOME_HEIGHT if camera_height is None else camera_height
    sure = np.empty(unknowns)
    sure[sizes], sure[offsets], sure[tilt] = std, PERSON_STD, tilt_std
    sure[floor] = SOME_HEIGHT_STD if camera_height is None else CAMERA_HEIGHT_STD
    rows = np.arange(len(person))
    x, y, z = stances.ankle.T
    for step in range(STEPS):
        shrink = np.exp(-guess[person])
        above = stances.height - guess[floor]
        a, b = guess[tilt]
        error = z + a * y - b * x - ANKLE_HEIGHT + shrink * above - guess[offsets][person]
        slope = np.zeros((len(person), unknowns))
        slope[rows, person] = -shrink * above
        slope[rows, people + person] = -1
        slope[:, floor] = -shrink[:, None]
        slope[:, tilt] = np.stack([y, -x], axis=-1)
        doubt = DOUBT * max(1.0, 2.0 ** (4 - step))
        weighted = slope.T / STANCE_STD**2 / (1 + (error / STANCE_STD / doubt) ** 2)
        prior = 1 / sure**2
        # Somebody on a stage stands elsewhere throughout: their offset may be anything.
        prior[offsets] /= (1 + (guess[offsets] / PERSON_STD / doubt) ** 2) ** 2
        information = weighted @ slope + np.diag(prior)
        change = np.linalg.solve(information, -weighted @ error - prior * (guess - said))
        guess = guess + change
        if step > 5 and np.abs(change).max() < 1e-7:
            break
    deviation = np.sqrt(np.diag(np.linalg.inv(information)))
    return Sizes(
        np.exp(guess[sizes]), deviation[sizes], float(guess[floor][0]) if len(person) else float("nan")
    )


def find_sizes(
    joints: Float[np.ndarray, "people frames joints 3"],
    hidden: Bool[np.ndarray, "people frames joints"],
    mean: Float[np.ndarray, " people"],
    std: Float[np.ndarray, " people"],
    skeleton: Skeleton,
    fps: float,
    extrinsics: Extrinsics | None = None,
    up: Float[np.ndarray, "3"] | None = None,
    camera_height: float | None = None,
) -> Sizes:
    """`solve_sizes` of people as lifted, with what tells where the floor is.

    joints: metres, NaN where nobody is, in world axes where there are ``extrinsics`` (one pose, or one a
    frame), otherwise in the axes of a camera that stands still. hidden: True where a joint was not seen.
    up: the vertical in camera axes, a unit vector, where no extrinsics tell it; without either it is that of
    the people themselves (`floor.vertical`), and only who stands often counts: a camera that moves, of which
    nobody has told the way, would show few such feet.
    mean, std, camera_height: as `solve_sizes` takes them.
    """
    nobody = Sizes(np.exp(mean), np.array(std, np.float64), float("nan"))
    if not knows_feet(skeleton):
        return nobody
    if extrinsics is not None:
        camera = np.asarray(extrinsics.position, np.float64).reshape(-1, 3)
        return solve_sizes(mean, std, find_stances(joints, hidden, camera, skeleton, fps), PATH_TILT_STD)
    tilt_std, least = TOLD_TILT_STD, 1
    if up is None:
        up, tilt_std, least = vertical(joints, skeleton), BODIES_TILT_STD, OFTEN
    if up is None:
        return nobody
    level = joints @ level_axes(up).T.astype(joints.dtype)
    stances = find_stances(level, hidden, np.zeros((1, 3)), skeleton, fps, least)
    return solve_sizes(mean, std, stances, tilt_std, camera_height)


def scaled_about(
    points: Float[np.ndarray, "people frames *joints 3"],
    camera: Float[np.ndarray, "#frames 3"],
    scale: Float[np.ndarray, " people"],
) -> Float[np.ndarray, "people frames *joints 3"]:
    """x + (s − 1) (x − c): everybody larger and farther away by a factor of their own, which no image tells.
    Whose factor is 1 stays to the last bit. The result has the dtype of ``points``.
    """
    middle = camera.reshape(len(camera), *[1] * (points.ndim - 3), 3).astype(points.dtype)
    more = (scale - 1).reshape(-1, *[1] * (points.ndim - 1)).astype(points.dtype)
    return np.asarray(points + more * (points - middle))


def with_size(
    covariance: Float[np.ndarray, "people frames 3 3"],
    ray: Float[np.ndarray, "people frames 3"],
    scale: Float[np.ndarray, " people"],
    before: float,
    after: Float[np.ndarray, " people"],
) -> Float[np.ndarray, "people frames 3 3"]:
    """Covariances of roots, square metres, once sizes are known better: s² (P + (after² − before²) r rᵀ).

    ray: r, metres from the camera to the root as lifted. before, after: what of the size's relative standard
    deviation is in ``covariance``, and what is to be in it.
    """
    share = (after**2 - before**2)[:, None, None, None]
    known = covariance + share * ray[..., :, None] * ray[..., None, :]
    return np.asarray(scale[:, None, None, None] ** 2 * known)
