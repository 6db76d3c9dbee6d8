"""What people do while nobody sees them: a network on 3D motion that corrects a cubic through its gaps."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.networks.protocol import check_counts
from gated_lift.occlusion import fill_gaps_cubic, frame_times, nearest_visible

# Seconds after which the correction of a joint that is hidden counts in full; it begins at nothing where the
# joint was seen last, so that poses stay continuous.
BLEND_SECONDS = 0.1

# Seconds: visible frames count exp(−age / this) towards the heading of a window, with their age from its
# middle.
HEADING_SECONDS = 1.0

# Metres a second below which an ankle is taken to stand.
STANDING_SPEED = 0.4

# Before training: the standard deviation of a hidden joint's coordinate in metres, which begins at the first
# number and has risen by the second after long; and how fast a hidden root's path spreads, metres by root of
# seconds, over the ground and up and down.
POSE_STD = (0.02, 0.1)
SPREAD = (0.2, 0.06)

# What the network answers of a frame besides three numbers a joint: its velocity (the root's place), a
# logarithm a joint, and two of the root.
_ROOT_LOGARITHMS = 2


class Motion(NamedTuple):
    """Windows of a person's motion whose gaps are filled, axes with z up.

    poses (B, T, J, 3): metres from the root, joint 0, which is at zero. root (B, T, 3): its path in metres
    from any origin. occluded (B, T, J): True where a joint is not known and was filled; of joint 0, where the
    root's place is not. absent (B, T): True before and after the clip, where nothing is known or wanted.
    """

    poses: Float[Array, "B T J 3"]
    root: Float[Array, "B T 3"]
    occluded: Bool[Array, "B T J"]
    absent: Bool[Array, "B T"]


class Correction(NamedTuple):
    """What the network adds to a filled motion.

    poses (B, T, J, 3): metres, to be blended in by `corrected_poses`. velocity (B, T, 3): metres a second, to
    be added to that of the filled path from the frame before to this one.
    pose_std (B, T, J): metres, standard deviation of a coordinate of a hidden joint. spread (B, T, 2): how
    fast the path of a hidden root spreads, over the ground and up and down, as a Brownian motion that grows
    by spread² dt in variance.
    """

    poses: Float[Array, "B T J 3"]
    velocity: Float[Array, "B T 3"]
    pose_std: Float[Array, "B T J"]
    spread: Float[Array, "B T 2"]


class MotionInfill(nn.Module):
    """Attention over patches of frames of a `Motion`, all of whose answers start at zero: before training the
    filled motion stays as it is.

    A token is ``patch`` frames: poses, velocity and place of the root, whether the ankles stand, which joints
    are hidden and for how long the root is, and which frames are absent. ``depth`` blocks of attention among
    the window's tokens, with a learnt preference for each distance in time (so that nothing depends on where
    in the window a gap lies), and of two layers ``widen`` times as wide, ReLU between them; each reads layer-
    normed tokens and is added to them. A token answers for its own frames and half a patch on either side,
    and neighbours' answers fade into each other.

    window: frames T, a multiple of ``patch``, which is even. channels: of a token, a multiple of ``heads``.
    fps: of the frames. What the network reads is to be in axes of the person (`heading_axes`).
    """

    window: int = 128
    patch: int = 8
    channels: int = 128
    heads: int = 4
    depth: int = 4
    widen: int = 3
    num_joints: int = 17
    fps: float = 25.0

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        check_counts(self, "window", "patch", "channels", "heads", "depth", "widen", "num_joints")
        for name, part in (("window", "patch"), ("channels", "heads"), ("patch", 2)):
            whole = getattr(self, name)
            divisor = part if isinstance(part, int) else getattr(self, part)
            if whole % divisor:
                what = f"{part} {divisor}" if isinstance(part, str) else f"{divisor}"
                raise ValueError(f"{name} is {whole}: give a multiple of {what}")
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"fps is {self.fps}: give frames a second, finite and above zero")

    def blank(self, batch: int = 1) -> Motion:
        """Windows in which nobody moves, to learn shapes from."""
        frames = (batch, self.window)
        return Motion(
            jnp.zeros((*frames, self.num_joints, 3)),
            jnp.zeros((*frames, 3)),
            jnp.zeros((*frames, self.num_joints), bool),
            jnp.zeros(frames, bool),
        )

    @nn.compact
    def __call__(self, motion: Motion, ankles: tuple[int, ...] = (3, 6)) -> Correction:
        """ankles: the joints of which it is told whether they stand. Raises ValueError for settings out of
        range, for windows of another length and for another number of joints.
        """
        self.check_settings()
        batch, frames, joints, _ = motion.poses.shape
        if (frames, joints) != (self.window, self.num_joints):
            raise ValueError(
                f"motion has {frames} frames and {joints} joints, the network reads {self.window} and "
                f"{self.num_joints}: cut windows of that length at {self.fps:g} frames a second"
            )
        features = motion_features(motion, self.fps, ankles)
        count, wide = frames // self.patch, 2 * self.patch
        tokens = nn.Dense(self.channels, name="embed")(features.reshape(batch, count, -1))
        distance = np.arange(count)[:, None] - np.arange(count) + count - 1
        for index in range(self.depth):
            normed = nn.LayerNorm(name=f"block{index}_attention_norm")(tokens)
            parts = nn.Dense(3 * self.channels, name=f"block{index}_attention_in")(normed)
            query, key, value = jnp.moveaxis(parts.reshape(batch, count, 3, self.heads, -1), 2, 0)
            preference = self.param(
                f"block{index}_distance", nn.initializers.zeros_init(), (self.heads, 2 * count - 1)
            )
            found = jax.nn.dot_product_attention(query, key, value, bias=preference[None, :, distance])
            tokens += nn.Dense(self.channels, name=f"block{index}_attention_out")(
                found.reshape(batch, count, -1)
            )
            normed = nn.LayerNorm(name=f"block{index}_norm")(tokens)
            hidden = nn.relu(nn.Dense(self.widen * self.channels, name=f"block{index}_wide")(normed))
            tokens += nn.Dense(self.channels, name=f"block{index}_narrow")(hidden)
        head = nn.Dense(
            wide * (4 * (joints - 1) + 3 + _ROOT_LOGARITHMS),
            kernel_init=nn.initializers.zeros_init(),
            name="head",
        )
        answers = head(nn.LayerNorm(name="norm")(tokens)).astype(jnp.float32)
        numbers = _overlapping(answers.reshape(batch, count, wide, -1), self.patch)
        poses, velocity, deviations, spread = jnp.split(
            numbers, np.cumsum([3 * (joints - 1), 3, joints - 1]), axis=-1
        )
        poses = poses.reshape(batch, frames, joints - 1, 3)
        age = hidden_for(motion.occluded, self.fps)[..., 1:]
        start, rise = POSE_STD
        deviations = (start + rise * (1 - jnp.exp(-age))) * jnp.exp(jnp.clip(deviations, -4, 4))
        first = jnp.asarray(SPREAD, jnp.float32)[None, None]
        return Correction(
            poses=jnp.concatenate([jnp.zeros_like(poses[:, :, :1]), poses], axis=2),
            velocity=velocity,
            pose_std=jnp.concatenate([jnp.zeros_like(age[..., :1]), deviations], axis=2),
            spread=first * jnp.exp(jnp.clip(spread, -4, 4)),
        )


def _overlapping(answers: Float[Array, "B N W C"], patch: int) -> Float[Array, "B T C"]:
    """Sums the answers of tokens for W = 2 patch frames each, of which neighbours share a half, with weights
    that rise and fall linearly and add to one.
    """
    batch, count, _, channels = answers.shape
    rising = (np.arange(patch, dtype=np.float32) + 0.5) / patch
    weight = jnp.asarray(np.concatenate([rising, rising[::-1]]))[None, None, :, None]
    early, late = jnp.split(answers * weight, 2, axis=2)
    total = jnp.pad(early, ((0, 0), (0, 1), (0, 0), (0, 0))) + jnp.pad(late, ((0, 0), (1, 0), (0, 0), (0, 0)))
    frames = total.reshape(batch, (count + 1) * patch, channels)
    return frames[:, patch // 2 : patch // 2 + count * patch]


def motion_features(motion: Motion, fps: float, ankles: tuple[int, ...]) -> Float[Array, "B T C"]:
    """What the network reads of every frame."""
    poses, root, occluded, absent = motion
    batch, frames = root.shape[:2]
    velocity = path_velocity(root, fps)
    middle = root[:, frames // 2, None]
    feet = poses[:, :, np.array(ankles)] + root[:, :, None]
    speed = jnp.sum(jnp.diff(feet, axis=1, prepend=feet[:, :1]) ** 2, axis=-1) * fps**2
    standing = jnp.where(occluded[:, :, np.array(ankles)], 0, jnp.exp(-speed / STANDING_SPEED**2))
    since, until = since_and_until(occluded[..., :1], fps)
    parts = (
        2 * poses[:, :, 1:].reshape(batch, frames, -1),
        velocity,
        root - middle,
        standing,
        occluded.astype(poses.dtype),
        jnp.log1p(since),
        jnp.log1p(until),
        absent[..., None].astype(poses.dtype),
    )
    return jnp.concatenate(parts, axis=-1)


def path_velocity(root: Float[Array, "*people T 3"], fps: Any) -> Float[Array, "*people T 3"]:
    """Metres a second from the frame before to each frame, zero on the first."""
    return jnp.diff(root, axis=-2, prepend=root[..., :1, :]) * fps


def since_and_until(
    occluded: Bool[Array, "*people T J"], fps: Any
) -> tuple[Float[Array, "*people T J"], Float[Array, "*people T J"]]:
    """Seconds since each joint was visible last and until it is again; the length of the series where it was
    not, or is not.
    """
    frames = occluded.shape[-2]
    times = frame_times(frames, fps)
    before, after = nearest_visible(occluded, times)
    now = jnp.broadcast_to(times[:, None], occluded.shape)
    longest = frames / jnp.asarray(fps, times.dtype)
    return jnp.minimum(now - before, longest), jnp.minimum(after - now, longest)


def hidden_for(occluded: Bool[Array, "*people T J"], fps: Any) -> Float[Array, "*people T J"]:
    """Seconds to the nearest frame that shows each joint."""
    return jnp.minimum(*since_and_until(occluded, fps))


def corrected_poses(
    filled: Float[Array, "*people T J 3"],
    correction: Float[Array, "*people T J 3"],
    occluded: Bool[Array, "*people T J"],
    fps: Any,
) -> Float[Array, "*people T J 3"]:
    """Filled poses with their `Correction`, which counts 1 − exp(−age / BLEND_SECONDS) of a joint that was
    seen ``age`` seconds away: visible joints stay as they are.
    """
    share = -jnp.expm1(-hidden_for(occluded, fps) / BLEND_SECONDS)
    return filled + share[..., None].astype(filled.dtype) * correction


def fill_motion(
    poses: Float[Array, "*people T J 3"],
    root: Float[Array, "*people T 3"],
    occluded: Bool[Array, "*people T J"],
    fps: Any,
) -> tuple[Float[Array, "*people T J 3"], Float[Array, "*people T 3"]]:
    """Poses and path with curves through their gaps (`occlusion.fill_gaps_cubic`), the root's by the mask of
    joint 0. What stands at hidden joints is never read.
    """
    times = frame_times(root.shape[-2], fps, root.dtype)
    joined = jnp.concatenate([root[..., None, :], poses[..., 1:, :]], axis=-2)
    filled = fill_gaps_cubic(joined, occluded, times=times, fps=1.0)
    origin = jnp.zeros_like(filled[..., :1, :])
    return jnp.concatenate([origin, filled[..., 1:, :]], axis=-2), filled[..., 0, :]


def heading_axes(
    poses: Float[Array, "B T J 3"],
    visible: Bool[Array, "B T"],
    fps: float,
    sides: tuple[int, ...] = (4, 1, 11, 14),
) -> Float[Array, "B 3 3"]:
    """Rotations about the vertical after which the person of each window looks along x, with y to the left.

    visible: frames that show the person; they count less the farther they are from the window's middle.
    sides: left and right hip, left and right shoulder.
    """
    frames = poses.shape[1]
    left_hip, right_hip, left_shoulder, right_shoulder = sides
    across = poses[:, :, left_hip] - poses[:, :, right_hip]
    across += poses[:, :, left_shoulder] - poses[:, :, right_shoulder]
    distance = np.abs(np.arange(frames) - frames // 2) / fps
    weight = jnp.asarray(np.exp(-distance / HEADING_SECONDS), poses.dtype)[None] * visible.astype(poses.dtype)
    x, y = jnp.moveaxis(jnp.sum(weight[..., None] * across, axis=1), -1, 0)[:2]
    # Whoever has no direction is left as they are; a tenth of a millimetre decides nothing for others.
    forward_x, forward_y = y + 1e-4, -x
    length = jax.lax.rsqrt(forward_x**2 + forward_y**2 + 1e-12)
    cosine, sine, none = forward_x * length, forward_y * length, jnp.zeros_like(x)
    rows = [[cosine, sine, none], [-sine, cosine, none], [none, none, jnp.ones_like(x)]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


# The settings of `MotionInfill` that decide its function, all of which a checkpoint tells.
SETTINGS = ("window", "patch", "channels", "heads", "depth", "widen", "num_joints", "fps")


def describe_infill(network: MotionInfill) -> dict[str, Any]:
    """The settings of a network as plain JSON values."""
    return {"kind": type(network).__name__, **{name: getattr(network, name) for name in SETTINGS}}
