"""Bodies and movements that nobody had: what training draws besides those that were captured."""

from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gated_lift.cameras import rotation_matrix
from gated_lift.skeleton import Skeleton

Number = float | int

# What grows together: the bones that end in these joints share a factor, left and right alike.
PROPORTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hips": ("left_hip", "right_hip"),
        "thighs": ("left_knee", "right_knee"),
        "shins": ("left_ankle", "right_ankle"),
        "trunk": ("spine", "thorax"),
        "shoulders": ("left_shoulder", "right_shoulder"),
        "upper arms": ("left_elbow", "right_elbow"),
        "forearms": ("left_wrist", "right_wrist"),
        "head": ("neck", "neck_base", "head"),
    }
)


# How far the bones that end in these joints are turned, relative to each other: arms can go anywhere, a trunk
# cannot. The root's is the whole person's.
TURNS: Mapping[str, float] = MappingProxyType(
    {"hip": 0.5, "spine": 0.5, "thorax": 0.5, "neck_base": 0.5, "neck": 0.5, "head": 0.5}
    | {f"{side}_shoulder": 0.3 for side in ("left", "right")}
    | {f"{side}_{joint}": 1.0 for side in ("left", "right") for joint in ("knee", "ankle")}
    | {f"{side}_{joint}": 2.0 for side in ("left", "right") for joint in ("elbow", "wrist")}
)


def scale_bones(
    poses: Float[Array, "*batch joints 3"], factors: Float[Array, "*batch joints"], skeleton: Skeleton
) -> Float[Array, "*batch joints 3"]:
    """The same movement of another body: x'_j = x'_parent(j) + s_j (x_j − x_parent(j)), the root as it was.

    factors: s_j of the bone that ends in joint j; those of joints without a parent are not used. Directions
    of bones, and with them joint angles, stay. Raises ValueError when the joints do not match the skeleton.
    """
    if poses.shape[-2] != skeleton.num_joints or factors.shape != poses.shape[:-1]:
        raise ValueError(
            f"poses has shape {poses.shape} and factors {factors.shape}: pass {skeleton.num_joints} joints "
            "and one factor a joint"
        )
    moved: dict[int, Array] = {}
    for joint in _parents_first(skeleton):
        parent = skeleton.parents[joint]
        if parent < 0:
            moved[joint] = poses[..., joint, :]
        else:
            bone = poses[..., joint, :] - poses[..., parent, :]
            moved[joint] = moved[parent] + factors[..., joint, None] * bone
    return jnp.stack([moved[joint] for joint in range(skeleton.num_joints)], axis=-2)


def _parents_first(skeleton: Skeleton) -> list[int]:
    order: list[int] = []
    waiting = list(range(skeleton.num_joints))
    while waiting:
        joint = waiting.pop(0)
        (order if skeleton.parents[joint] in (-1, *order) else waiting).append(joint)
    return order


def sample_proportions(key: PRNGKeyArray, spread: Number, skeleton: Skeleton) -> Float[Array, " joints"]:
    """Factors for `scale_bones` of one body: exp(spread · n), n standard normal and cut at two deviations,
    one for each of `PROPORTIONS`; 1 for all other joints.
    """
    drawn = jnp.exp(spread * jax.random.truncated_normal(key, -2.0, 2.0, (len(PROPORTIONS),)))
    groups = {name: index for index, names in enumerate(PROPORTIONS.values()) for name in names}
    return jnp.stack(
        [drawn[groups[name]] if name in groups else jnp.ones_like(drawn[0]) for name in skeleton.names]
    )


def turn_bones(
    poses: Float[Array, "*batch joints 3"], turns: Float[Array, "*once joints 3"], skeleton: Skeleton
) -> Float[Array, "*batch joints 3"]:
    """The same body in another pose: every joint's bone is turned, and with it all that hangs from it.

        x'_j = x'_parent(j) + Q_j (x_j − x_parent(j)),   Q_j = Q_parent(j) R(t_j),   Q_root = R(t_root)

    R is `cameras.rotation_matrix`. turns: t, rotation vectors in the axes of the poses,
    radians, one a joint; leading axes broadcast against those of ``poses``, so that one set may turn a whole
    movement. Bones keep their lengths, the root its place. Raises ValueError when the joints do not match the
    skeleton.
    """
    if poses.shape[-2] != skeleton.num_joints or turns.shape[-2:] != poses.shape[-2:]:
        raise ValueError(
            f"poses has shape {poses.shape} and turns {turns.shape}: pass {skeleton.num_joints} joints and "
            "one rotation vector a joint"
        )
    rotations = rotation_matrix(turns)
    moved: dict[int, Array] = {}
    turned: dict[int, Array] = {}
    for joint in _parents_first(skeleton):
        parent = skeleton.parents[joint]
        own = rotations[..., joint, :, :]
        if parent < 0:
            moved[joint], turned[joint] = poses[..., joint, :], own
        else:
            turned[joint] = turned[parent] @ own
            bone = poses[..., joint, :] - poses[..., parent, :]
            moved[joint] = moved[parent] + jnp.sum(turned[joint] * bone[..., None, :], axis=-1)
    return jnp.stack([moved[joint] for joint in range(skeleton.num_joints)], axis=-2)


def sample_turns(key: PRNGKeyArray, spread: Number, skeleton: Skeleton) -> Float[Array, "joints 3"]:
    """Rotation vectors of one pose for `turn_bones`: spread · w_j · n, n standard normal for each axis and
    cut at two deviations, w_j = `TURNS`; 0 for all other joints. spread: radians.
    """
    scale = jnp.array([TURNS.get(name, 0.0) for name in skeleton.names])
    return spread * scale[:, None] * jax.random.truncated_normal(key, -2.0, 2.0, (skeleton.num_joints, 3))


# Turns a second of a person who is spun, at least and at most, and degrees by which one is laid down.
SPIN_TURNS = (0.5, 3.0)
LAID_DEGREES = (60.0, 180.0)


def spin(
    poses: Float[Array, "frames joints 3"], turns: Float[Array, ""], seconds: Float[Array, " frames"]
) -> Float[Array, "frames joints 3"]:
    """The same movement of somebody who turns about the vertical through their hip besides, ``turns`` a
    second, either way round. poses: metres, z up, the hip first. seconds: times of the frames.
    """
    angle = 2 * jnp.pi * turns * seconds
    about = jnp.stack([jnp.zeros_like(angle), jnp.zeros_like(angle), angle], axis=-1)
    return _about_hip(poses, rotation_matrix(about), poses[:, :1])


def lay_down(
    poses: Float[Array, "frames joints 3"], axis: Float[Array, ""], angle: Float[Array, ""]
) -> Float[Array, "frames joints 3"]:
    """The same movement in axes that are turned by ``angle`` about a horizontal line through the middle
    frame's hip, at the angle ``axis`` from x, radians: on the back, on the front, on a side or head down. The
    lowest joint of all frames is as high as before. poses: metres, z up, the hip first.
    """
    about = angle * jnp.stack([jnp.cos(axis), jnp.sin(axis), jnp.zeros_like(axis)])
    found = _about_hip(poses, rotation_matrix(about)[None], poses[len(poses) // 2, None, :1])
    return found.at[..., 2].add(jnp.min(poses[..., 2]) - jnp.min(found[..., 2]))


def _about_hip(poses: Array, rotations: Array, hip: Array) -> Array:
    # Products of three numbers each: accelerators run float32 matmuls at reduced precision by default.
    rotations = jnp.broadcast_to(rotations, (len(poses), 3, 3))
    return hip + jnp.einsum("fij,fkj->fki", rotations, poses - hip, precision="highest")


def sample_spin(key: PRNGKeyArray) -> Float[Array, ""]:
    """Turns a second for `spin`, within `SPIN_TURNS`, either way round."""
    rate_key, way_key = jax.random.split(key)
    rate = jax.random.uniform(rate_key, (), minval=SPIN_TURNS[0], maxval=SPIN_TURNS[1])
    return jnp.where(jax.random.bernoulli(way_key), rate, -rate)


def sample_laid(key: PRNGKeyArray) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """An axis anywhere and an angle within `LAID_DEGREES`, for `lay_down`."""
    axis, angle = jax.random.uniform(key, (2,))
    low, high = (jnp.deg2rad(degrees) for degrees in LAID_DEGREES)
    return 2 * jnp.pi * axis, low + (high - low) * angle


# How far detectors put joints from where motion capture has them, as standard deviations of the coefficients
# in `shift_joints`: shares of half the hips' or shoulders' width, of the trunk, and of the joint's own bone.
WIDTH_SHIFT = 0.15
TRUNK_SHIFT = 0.05
BONE_SHIFT = 0.05
HEAD_SHIFT = 0.2


def sample_shift(key: PRNGKeyArray, skeleton: Skeleton) -> Float[Array, "joints joints"]:
    """Weights A, rows that sum to 1, with which x'_j = Σ_k A_jk x_k are the same body's joints as another
    detector or data set defines them: hips and shoulders wider or narrower and higher or lower on the trunk,
    limbs' joints along their own bones, left and right alike; the hip centre goes with the hips, and the
    thorax lies half of the times midway between the shoulders, as where a format has no joint of its own.
    All lie where they are captured but for normal deviates cut at two. Raises ValueError for a skeleton
    without these joints.
    """
    index = {name: joint for joint, name in enumerate(skeleton.names)}
    needed = ("hip", "thorax", "neck", "head", "spine")
    if not {*needed, *(f"{side}_{name}" for side in ("left", "right") for name in ("hip", "shoulder"))} <= {
        *index
    }:
        raise ValueError(f"skeleton {skeleton.name} lacks hips, shoulders, or what lies between: use H36M_17")
    draws = jax.random.truncated_normal(key, -2.0, 2.0, (10,))
    half = jax.random.bernoulli(jax.random.fold_in(key, 1)).astype(draws.dtype)
    shift = jnp.eye(skeleton.num_joints, dtype=draws.dtype)

    def add(shift: Array, joint: str, toward: str, away: str, amount: Array) -> Array:
        shift = shift.at[index[joint], index[toward]].add(amount)
        return shift.at[index[joint], index[away]].add(-amount)

    for name, width, trunk in (("hip", draws[0], draws[1]), ("shoulder", draws[2], draws[3])):
        for side, other in (("left", "right"), ("right", "left")):
            joint = f"{side}_{name}"
            shift = add(shift, joint, joint, f"{other}_{name}", WIDTH_SHIFT / 2 * width)
            shift = add(shift, joint, "thorax", "hip", TRUNK_SHIFT * trunk)
    shift = add(shift, "hip", "thorax", "hip", TRUNK_SHIFT * draws[1])
    for part, parent, amount in (
        ("knee", "hip", draws[4]),
        ("ankle", "knee", draws[5]),
        ("elbow", "shoulder", draws[6]),
        ("wrist", "elbow", draws[7]),
    ):
        for side in ("left", "right"):
            shift = add(shift, f"{side}_{part}", f"{side}_{part}", f"{side}_{parent}", BONE_SHIFT * amount)
    shift = add(shift, "head", "head", "neck", HEAD_SHIFT * draws[8])
    shift = add(shift, "neck", "head", "neck", HEAD_SHIFT * draws[9])
    between = (shift[index["left_shoulder"]] + shift[index["right_shoulder"]]) / 2
    thorax = shift[index["thorax"]]
    return shift.at[index["thorax"]].set(half * between + (1 - half) * thorax)


def shift_joints(
    poses: Float[Array, "*batch joints 3"], shift: Float[Array, "joints joints"]
) -> Float[Array, "*batch joints 3"]:
    """x'_j = Σ_k A_jk x_k, from `sample_shift`."""
    # Accelerators run float32 matmuls at reduced precision by default.
    return jnp.einsum("...jk,...kc->...jc", shift, poses, precision="highest")


# What stays where it is when a body gets another one's trunk, head and arms.
LOWER_BODY = ("hip", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")


def exchange_upper_body(
    poses: Float[Array, "*batch joints 3"], other: Float[Array, "*batch joints 3"], skeleton: Skeleton
) -> Float[Array, "*batch joints 3"]:
    """The legs of ``poses`` under the trunk, head and arms of ``other``, frame by frame.

    All joints but `LOWER_BODY` are those of ``other``, moved to the hip of ``poses`` and turned about the
    vertical by the angle between their hip lines, so that the trunk keeps its lean and both halves face the
    same way. Movements of two people (or of one at two times) make one that neither made. poses, other:
    metres, z up. Raises ValueError when the joints do not match the skeleton or lack those of the legs.
    """
    missing = [name for name in LOWER_BODY if name not in skeleton.names]
    if missing:
        raise ValueError(f"skeleton {skeleton.name} lacks {missing}: pass one with a hip centre and legs")
    if poses.shape != other.shape or poses.shape[-2] != skeleton.num_joints:
        raise ValueError(
            f"poses has shape {poses.shape} and other {other.shape}: pass {skeleton.num_joints} joints each"
        )
    hip, left, right = (skeleton.names.index(name) for name in LOWER_BODY[:3])
    line, other_line = (people[..., left, :2] - people[..., right, :2] for people in (poses, other))
    cosine = jnp.sum(line * other_line, axis=-1, keepdims=True)
    sine = (line[..., 1] * other_line[..., 0] - line[..., 0] * other_line[..., 1])[..., None]
    length = jnp.hypot(cosine, sine)
    directed = length > 1e-6  # somebody who lies on their side has no heading: nothing is turned
    length = jnp.where(directed, length, 1)
    cosine, sine = jnp.where(directed, cosine / length, 1), jnp.where(directed, sine / length, 0)
    x, y, z = jnp.moveaxis(other - other[..., hip, None, :], -1, 0)
    turned = jnp.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)
    lower = jnp.array([name in LOWER_BODY for name in skeleton.names])[:, None]
    return jnp.where(lower, poses, turned + poses[..., hip, None, :])
