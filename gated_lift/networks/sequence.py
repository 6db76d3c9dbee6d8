"""The sequence-to-sequence LSTM of Hossain & Little 2018, a rival that the paper compares with."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float

from gated_lift.networks.protocol import check_counts, check_dropouts
from gated_lift.networks.standardize import Standardize, statistics_of
from gated_lift.networks.windows import WindowLifter, check_window
from gated_lift.occlusion import fill_gaps
from gated_lift.skeleton import Skeleton

FORGET_BIAS = 1.0

State = tuple[Array, Array]


class NormalizedLSTM(nn.Module):
    """One step of an LSTM with layer normalisation (Ba et al. 2016):

        i, g, f, o = LN([x, h] W), each by itself
        c' = LN(c ⊗ σ(f + 1) + σ(i) ⊗ dropout(tanh g)),   h' = σ(o) ⊗ tanh c'

    W has no bias, because LN (with scale and offset) follows it. Dropout acts on what is new and never on the
    memory. state: (h, c), (B, channels) each.
    """

    channels: int
    dropout: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, state: State, inputs: Float[Array, "B C"], train: bool
    ) -> tuple[State, Float[Array, "B D"]]:
        hidden, memory = state
        both = jnp.concatenate([inputs, hidden], axis=-1)
        parts = nn.Dense(4 * self.channels, use_bias=False, dtype=self.dtype, name="gates")(both)

        def norm(values: Array, name: str) -> Array:
            return nn.LayerNorm(dtype=self.dtype, name=name)(values)

        names = ("input", "candidate", "forget", "output")
        opened, candidate, kept, shown = (
            norm(part, name) for part, name in zip(jnp.split(parts, 4, axis=-1), names, strict=True)
        )
        candidate = nn.Dropout(self.dropout, deterministic=not train)(jnp.tanh(candidate))
        memory = memory * nn.sigmoid(kept + FORGET_BIAS) + nn.sigmoid(opened) * candidate
        memory = norm(memory, "memory")
        hidden = nn.sigmoid(shown) * jnp.tanh(memory)
        return (hidden, memory), hidden


class SequenceLifter(WindowLifter, nn.Module):
    """Windows of keypoints to as many poses by an encoder and a decoder, each a Linear layer and a
    `NormalizedLSTM`.

    The encoder reads the window backwards; its last state is the decoder's first. The decoder starts from
    ones, and after that reads the pose that it has just given; a pose is a Linear layer of its state plus
    what it read. Both ends are z-scores (`Standardize`). The root is neither read nor given: keypoints enter
    as their offsets from the root's, poses are root-relative with the root at 0.

    window: frames, at ``fps`` a second. Training takes all of its poses; a clip's poses are each the last of
    its window (`lift_frames`), so that no output sees a later frame but through filled gaps.
    dtype: computation type; parameters and z-scores stay float32.
    """

    channels: int = 1024
    window: int = 5
    num_joints: int = 17
    fps: float = 50.0
    dropout: float = 0.5
    dtype: DTypeLike | None = None

    @property
    def flip_averaging(self) -> bool:
        return False

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        check_counts(self, "channels", "window")
        check_dropouts(self, "dropout")

    def statistics(
        self, keypoints: Float[Array | np.ndarray, "N J 2"], poses: Float[Array | np.ndarray, "N J 3"]
    ) -> dict[str, Any]:
        """The variables' ``statistics`` from frames of training data: screen-normalised keypoints without
        gaps and root-relative poses in metres.
        """
        offsets = keypoints[:, 1:] - keypoints[:, :1]
        return {"keypoints": statistics_of(offsets), "poses": statistics_of(poses[:, 1:])}

    def lift_frames(
        self,
        variables: Any,
        keypoints: Float[Array, "B F J 2"],
        occluded: Bool[Array, "B F J"],
        age: Float[Array, "B F J"],
        length: Any = None,
    ) -> Float[Array, "B F J 3"]:
        """Every frame as the last of its window; the first frame is replicated before the clip."""
        del age, length  # it reads filled keypoints of earlier frames alone
        people, frames = occluded.shape[:2]
        ends = jnp.arange(frames)
        index = jnp.maximum(ends[:, None] + jnp.arange(1 - self.window, 1)[None], 0)
        windows = keypoints[:, index].reshape(people * frames, self.window, self.num_joints, 2)
        seen = jnp.zeros(windows.shape[:-1], bool)
        poses = self.apply(variables, windows, seen, age=jnp.zeros(seen.shape))[:, -1]
        return poses.reshape(people, frames, self.num_joints, 3)

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array, "B T J 2"],
        occluded: Bool[Array, "B T J"],
        *,
        train: bool = False,
        age: Float[Array, "B T J"] | None = None,
    ) -> Float[Array, "B T J 3"]:
        """Lifts windows of exactly ``window`` frames to a pose a frame, metres in camera axes, root at 0.

        keypoints: screen-normalised; hidden ones are never read and may be NaN, unless ``age`` says that the
        caller has filled the gaps already (its values are not used). train: dropout, which needs the
        ``dropout`` rng. Raises ValueError for another joint count and for windows of another length.
        """
        self.check_settings()
        check_window(keypoints, occluded, self.num_joints, self.window)
        if age is None:
            keypoints = fill_gaps(keypoints, occluded)
        numbers = self.num_joints - 1
        read = Standardize((numbers, 2), name="keypoints")
        written = Standardize((numbers, 3), name="poses")
        batch = len(keypoints)
        scores = read(keypoints[:, :, 1:] - keypoints[:, :, :1]).reshape(batch, self.window, -1)

        def linear(width: int, name: str) -> nn.Dense:
            return nn.Dense(width, dtype=self.dtype, name=name)

        def cell(name: str) -> NormalizedLSTM:
            return NormalizedLSTM(self.channels, self.dropout, self.dtype, name=name)

        encode, decode = cell("encoder"), cell("decoder")
        entry, feed, head = (
            linear(self.channels, "entry"),
            linear(self.channels, "feed"),
            linear(3 * numbers, "head"),
        )
        start = jnp.zeros((batch, self.channels), self.dtype or scores.dtype)
        state = (start, start)
        for frame in reversed(range(self.window)):
            state, _ = encode(state, entry(scores[:, frame]), train)
        pose = jnp.ones((batch, 3 * numbers), scores.dtype)
        poses = []
        for _ in range(self.window):
            state, shown = decode(state, feed(pose), train)
            pose = pose + head(shown).astype(scores.dtype)
            poses.append(pose)
        joints = written.undo(jnp.stack(poses, axis=1).reshape(batch, self.window, numbers, 3))
        return jnp.concatenate([jnp.zeros_like(joints[:, :, :1]), joints], axis=2)


def smoothness_weights(skeleton: Skeleton) -> jax.Array:
    """(J,) how much each joint's motion counts in Hossain & Little's loss: 1, knees and ankles 2.5, elbows
    and wrists 4.
    """
    weights = {"knee": 2.5, "ankle": 2.5, "elbow": 4.0, "wrist": 4.0}
    return jnp.array([weights.get(name.split("_")[-1], 1.0) for name in skeleton.names], jnp.float32)
