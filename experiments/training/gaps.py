"""Windows of captured motion with gaps, as `gated_lift.networks.infill` is to fill them, and what its answers
cost.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from experiments.training.batches import VirtualBank
from gated_lift.networks.infill import (
    Correction,
    Motion,
    MotionInfill,
    corrected_poses,
    fill_motion,
    heading_axes,
    path_velocity,
)
from gated_lift.networks.protocol import mirror
from gated_lift.occlusion import frames_around, sample_mask
from gated_lift.recovery.observation import turn_to
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.hiding import branches

# Frames of a window that are certainly seen on either side of its gap.
SEEN = 3

# Frames a second of the captures that windows are drawn from.
CAPTURED_FPS = 50.0


class GapDistribution(NamedTuple):
    """What training hides of a window, and how far off what it shows is.

    seconds: shortest and longest gap, drawn evenly in their logarithm, about the middle of each window.
    whole_share: share of the gaps that hide the whole body, the root's path with it; others hide half of it,
        a side, or a joint and all that hangs from it.
    more_share: share of the windows that have further gaps, of whole bodies by Eqs. 10 and 11.
    more_ratio: of what these hide. more_kernel: K at 50 frames a second, one half of such windows each.
    joint_share: share of the windows in which joints are hidden one by one besides, up to half of them.
    """

    seconds: tuple[float, float] = (0.2, 4.0)
    whole_share: float = 0.8
    more_share: float = 0.6
    more_ratio: float = 0.5
    more_kernel: tuple[int, int] = (50, 150)
    joint_share: float = 0.15


class LiftedNoise(NamedTuple):
    """How visible poses and paths are off, as lifted ones are: standard deviations in metres.

    exact_share: share of the windows without any of it; others have it times a factor that is drawn evenly
    from 0.3 to 1.5.
    bias: of a joint's coordinate, for the whole window. smooth: of its slow error, over a third of a second
    and more. trembling: of its fast error. depth: slow error of all joints along the camera's ray together,
    times how far the joint is drawn from the root. path: slow error of the root across the ray; path_depth:
    along it; path_trembling: fast, along it.
    """

    exact_share: float = 0.15
    bias: float = 0.018
    smooth: float = 0.022
    trembling: float = 0.006
    along: float = 0.03
    path: float = 0.01
    path_depth: float = 0.05
    path_trembling: float = 0.008


class Drawn(NamedTuple):
    """motion: what the network reads, in axes of the person, filled. poses (B, T, J, 3), root (B, T, 3): what
    was captured, in the same axes and from the same origin.
    """

    motion: Motion
    poses: Float[Array, "B T J 3"]
    root: Float[Array, "B T 3"]


def half_bodies() -> Bool[np.ndarray, "parts joints"]:
    """Parts of a body that something may hide, a row each: legs, trunk and arms, sides, and all branches."""
    names = SKELETON.names
    below = branches(SKELETON)
    side = [[name.startswith(one) for name in names] for one in ("left", "right")]
    legs = below[names.index("left_hip")] | below[names.index("right_hip")]
    rows = [legs, below[names.index("spine")], *np.array(side), *below[1:]]
    return np.unique(np.array(rows), axis=0)


def draw_windows(
    key: PRNGKeyArray,
    bank: VirtualBank,
    frame: Array,
    network: MotionInfill,
    gaps: GapDistribution,
    noise: LiftedNoise,
) -> Drawn:
    """A window about each of the bank's frames ``frame`` (B,), with a gap, at a speed, a size and in a mirror
    that are drawn.
    """
    keys = jax.random.split(key, 6)
    size, frames = len(frame), network.window
    speed = jnp.exp(jax.random.uniform(keys[0], (size, 1), minval=math.log(0.85), maxval=math.log(1.2)))
    place = (jnp.arange(frames, dtype=jnp.float32) - frames // 2)[None] * speed * (CAPTURED_FPS / network.fps)
    first = (bank.first[frame] - frame).astype(jnp.float32)[:, None]
    last = (bank.last[frame] - frame).astype(jnp.float32)[:, None]
    absent = (place < first) | (place > last)
    place = jnp.clip(place, first, last)
    lower = jnp.floor(place)
    share = (place - lower)[..., None, None]
    index = frame[:, None] + lower.astype(jnp.int32)
    following = jnp.minimum(index + 1, bank.last[frame][:, None])
    joints = bank.poses[index] * (1 - share) + bank.poses[following] * share
    mirrored = jax.random.bernoulli(keys[1], 0.5, (size, 1, 1, 1))
    joints = jnp.where(mirrored, mirror(joints, SKELETON), joints)
    grown = jnp.exp(0.07 * jax.random.truncated_normal(keys[2], -2.0, 2.0, (size, 1, 1, 1)))
    joints = grown * joints
    root = joints[:, :, 0]
    poses = joints - root[:, :, None]
    occluded = draw_gaps(keys[3], absent, network.fps, gaps)
    off_poses, off_root = draw_noise(keys[4], poses.shape, network.fps, noise)
    seen_poses, seen_root = fill_motion(poses + off_poses, root + off_root, occluded, network.fps)
    axes = heading_axes(seen_poses, ~occluded[..., 0], network.fps)
    axes = jnp.broadcast_to(axes[:, None], (size, frames, 3, 3))
    origin = root[:, frames // 2, None]

    def turned(values: Array) -> Array:
        return turn_to(values[:, :, None], axes)[:, :, 0]

    return Drawn(
        Motion(turn_to(seen_poses, axes), turned(seen_root - origin), occluded, absent),
        turn_to(poses, axes),
        turned(root - origin),
    )


def draw_gaps(
    key: PRNGKeyArray, absent: Bool[Array, "B T"], fps: float, gaps: GapDistribution
) -> Bool[Array, "B T J"]:
    """What is hidden of windows whose middle frame is not absent; what is absent is hidden too."""
    size, frames = absent.shape
    joints = SKELETON.num_joints
    keys = jax.random.split(key, 10)
    here = jnp.arange(frames)[None]
    first = jnp.argmin(absent, axis=1)
    last = frames - 1 - jnp.argmin(absent[:, ::-1], axis=1)
    shortest, longest = (math.log(seconds * fps) for seconds in gaps.seconds)
    length = jnp.exp(jax.random.uniform(keys[0], (size,), minval=shortest, maxval=longest))
    length = jnp.minimum(jnp.round(length).astype(jnp.int32), jnp.maximum(last - first + 1 - 2 * SEEN, 1))
    shift = jax.random.randint(keys[1], (size,), -8, 9)
    begin = jnp.clip(frames // 2 - length // 2 + shift, first + SEEN, last + 1 - SEEN - length)
    gap = (here >= begin[:, None]) & (here < (begin + length)[:, None])
    parts = jnp.asarray(half_bodies())
    part = parts[jax.random.randint(keys[2], (size,), 0, len(parts))]
    whole = jax.random.bernoulli(keys[3], gaps.whole_share, (size, 1))
    hidden = gap[..., None] & (part | whole)[:, None]
    near = jnp.roll(gap, SEEN, axis=1) | jnp.roll(gap, -SEEN, axis=1)
    kernels = [max(1, round(kernel * fps / CAPTURED_FPS)) for kernel in gaps.more_kernel]
    one, other = (
        sample_mask(keys[4 + k], (size, frames, 1), gaps.more_ratio, kernel)
        for k, kernel in enumerate(kernels)
    )
    more = jnp.where(jax.random.bernoulli(keys[6], 0.5, (size, 1, 1)), one, other)
    more &= jax.random.bernoulli(keys[7], gaps.more_share, (size, 1, 1)) & ~near[..., None]
    single = sample_mask(keys[8], (size, frames, joints), 0.3, kernels[0])
    single &= jax.random.bernoulli(keys[9], gaps.joint_share, (size, 1, 1))
    # The root's place is known wherever any joint is seen.
    single = single.at[..., 0].set(False)
    return hidden | more | single | absent[..., None]


def slow_noise(key: PRNGKeyArray, shape: tuple[int, ...], step: int) -> Float[Array, "..."]:
    """Standard normal noise (B, T, ...) that is drawn every ``step`` frames and linear between."""
    size, frames, *rest = shape
    count = frames // step + 2
    knots = jax.random.normal(key, (size, count, *rest))
    place = np.arange(frames) / step
    lower = place.astype(int)
    share = jnp.asarray(place - lower, jnp.float32).reshape(1, -1, *[1] * len(rest))
    # Divided by its own deviation between knots, so that every frame has the same.
    scale = jnp.sqrt(share**2 + (1 - share) ** 2)
    return (knots[:, lower] * (1 - share) + knots[:, lower + 1] * share) / scale


def draw_noise(
    key: PRNGKeyArray, shape: tuple[int, ...], fps: float, noise: LiftedNoise
) -> tuple[Float[Array, "B T J 3"], Float[Array, "B T 3"]]:
    """Errors of poses and of the path, the former zero at the root."""
    size, frames, joints, _ = shape
    keys = jax.random.split(key, 10)
    slow, fast = max(1, round(fps / 3)), max(1, round(fps / 12))
    angle = jax.random.uniform(keys[0], (size,), maxval=2 * math.pi)
    tilt = jax.random.uniform(keys[1], (size,), minval=-0.5, maxval=0.1)
    ray = jnp.stack([jnp.cos(tilt) * jnp.cos(angle), jnp.cos(tilt) * jnp.sin(angle), jnp.sin(tilt)], axis=-1)
    poses = noise.bias * jax.random.normal(keys[2], (size, 1, joints, 3))
    poses += noise.smooth * slow_noise(keys[3], shape, slow)
    poses += noise.trembling * slow_noise(keys[4], shape, fast)
    poses += noise.along * slow_noise(keys[5], (size, frames, joints, 1), slow) * ray[:, None, None]
    root = noise.path * slow_noise(keys[6], (size, frames, 3), slow)
    root += noise.path_depth * slow_noise(keys[7], (size, frames, 1), 2 * slow) * ray[:, None]
    root += noise.path_trembling * slow_noise(keys[8], (size, frames, 1), fast) * ray[:, None]
    share_key, factor_key = jax.random.split(keys[9])
    factor = jax.random.uniform(factor_key, (size, 1, 1), minval=0.3, maxval=1.5)
    factor = jnp.where(jax.random.bernoulli(share_key, noise.exact_share, (size, 1, 1)), 0, factor)
    return (factor[..., None] * poses).at[:, :, 0].set(0), factor * root


class Errors(NamedTuple):
    """Of every frame of a batch, with masks of those that count: in gaps that are seen to begin and to end.

    pose (B, T, J, 3): metres; pose_counts (B, T, J). path (B, T, 3): metres that the path between the ends of
    its gap is off, less what the ends are off themselves; path_counts (B, T). path_variance (B, T, 2): of a
    coordinate of ``path`` over the ground and up and down, square metres, by the network's spread.
    """

    pose: Array
    pose_counts: Array
    path: Array
    path_counts: Array
    path_variance: Array


def errors_of(drawn: Drawn, correction: Correction, fps: float) -> Errors:
    """What a correction leaves. The path runs from the last place that was seen to the next one: what its
    velocities miss of that is shared out in proportion to the variances, as a solve with them does.
    """
    motion = drawn.motion
    hidden, absent = motion.occluded, motion.absent[..., None]
    frames = hidden.shape[1]
    before, after = frames_around(hidden, 1)
    counts = hidden & (before >= 0) & (after < frames) & ~absent
    pose = corrected_poses(motion.poses, correction.poses, hidden, fps) - drawn.poses

    start, stop = jnp.maximum(before[..., 0], 0), jnp.minimum(after[..., 0], frames - 1)
    unknown = hidden[..., 0] | jnp.roll(hidden[..., 0], 1, axis=1).at[:, 0].set(False)
    steps = (path_velocity(motion.root, fps) + correction.velocity) / fps
    travelled = jnp.cumsum(jnp.where(unknown[..., None], steps, 0), axis=1)
    clock = jnp.cumsum(jnp.where(unknown[..., None], correction.spread**2 / fps, 0), axis=1)

    def at(values: Array, index: Array) -> Array:
        return jnp.take_along_axis(values, index[..., None], axis=1)

    total = jnp.maximum(at(clock, stop) - at(clock, start), 1e-8)
    part = (clock - at(clock, start)) / total
    variance = part * (1 - part) * total
    share = jax.lax.stop_gradient(part)[..., np.array([0, 0, 1])]
    first, second = at(motion.root, start), at(motion.root, stop)
    missed = second - first - (at(travelled, stop) - at(travelled, start))
    path = first + travelled - at(travelled, start) + share * missed
    off_first, off_second = first - at(drawn.root, start), second - at(drawn.root, stop)
    path = path - drawn.root - (1 - share) * off_first - share * off_second
    return Errors(pose, counts, path, counts[..., 0], variance)


def distance(error: Float[Array, "*any 3"]) -> Float[Array, "*any"]:
    """Lengths in metres, with a slope at zero."""
    return jnp.sqrt(jnp.sum(error**2, axis=-1) + 1e-8)


def mean_where(values: Array, counts: Array) -> Array:
    return jnp.sum(jnp.where(counts, values, 0)) / jnp.maximum(jnp.sum(counts), 1)


def loss_of(drawn: Drawn, correction: Correction, fps: float) -> tuple[Array, dict[str, Array]]:
    """Mean distances of hidden joints and roots, how far their speeds are off, and the likelihood of the
    errors as they are under the variances that are said of them; and the distances by name, metres.
    """
    found = errors_of(drawn, correction, fps)
    pose, path = distance(found.pose), distance(found.path)
    speed = jnp.abs(jnp.diff(found.pose, axis=1)).sum(axis=-1)
    path_speed = jnp.abs(jnp.diff(found.path, axis=1)).sum(axis=-1)
    # Variances are learnt from the errors, and not errors from the variances.
    pose_error, path_error = jax.lax.stop_gradient((found.pose, found.path))
    deviation = jnp.maximum(correction.pose_std, 1e-3)
    pose_odds = jnp.sum(pose_error**2, axis=-1) / (2 * deviation**2) + 3 * jnp.log(deviation)
    variance = jnp.maximum(found.path_variance, 1e-6)[..., np.array([0, 0, 1])]
    path_odds = jnp.sum(path_error**2 / (2 * variance) + jnp.log(variance) / 2, axis=-1)
    whole, seen = found.path_counts, found.pose_counts
    means = {"pose": mean_where(pose, seen), "path": mean_where(path, whole)}
    loss = 10 * (means["pose"] + means["path"])
    loss += 5 * mean_where(speed, seen[:, 1:] & seen[:, :-1])
    loss += 5 * mean_where(path_speed, whole[:, 1:] & whole[:, :-1])
    loss += 0.03 * mean_where(pose_odds, seen) + 0.05 * mean_where(path_odds, whole)
    return loss, means
