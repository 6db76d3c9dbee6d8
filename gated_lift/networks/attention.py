"""Attention over joints and frames, as the lifters from 2021 on have it, small enough for two cores."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float

from gated_lift.networks.layers import AGE_UNIT
from gated_lift.networks.protocol import check_counts, check_dropouts
from gated_lift.networks.temporal import frame_person
from gated_lift.networks.windows import WindowLifter, average_windows, check_window
from gated_lift.occlusion import fill_gaps, frame_times, gap_age

MLP_RATIO = 2


class AttentionLifter(WindowLifter, nn.Module):
    """A window of keypoints to as many poses by attention over joints and over frames, in turn.

    A rival of the years since the paper, in the spirit of MixSTE (Zhang et al. 2022), MotionBERT (Zhu et al.
    2023) and MotionAGFormer (Mehraban et al. 2024): a token a joint and frame in, a joint and frame out. Here
    a token holds ``patch`` frames of a joint, so that there are that many times fewer. It is a linear map of
    the outlines' coordinates (`temporal.frame_person`) and the ages of gaps, in units of `AGE_UNIT`, plus

    - a mask token for every frame of the patch on which the joint is hidden, learnt for each joint and place
      in the patch (so a bit among the coordinates would add nothing);
    - a linear map of the person's place and size on these frames, the same for all joints;
    - what is learnt for each joint and for each patch of the window.

    Then ``depth`` blocks, each of attention among the joints of a patch, attention among the patches of a
    joint and two layers with GELU between, all on layer-normed tokens and added to them; a last layer norm
    and a linear head for all joints but the root, which is the origin.

    window: frames F, at ``fps`` a second, a multiple of ``patch``. channels: of a token, a multiple of
    ``heads``. dropout: of what is added to the tokens. slide: frames between the windows of a clip
    (`lift_frames`). dtype: type of the linear maps and of attention, softmax included; what they are added
    to, norms, parameters and poses stay float32.
    """

    window: int = 27
    patch: int = 3
    channels: int = 64
    heads: int = 4
    depth: int = 4
    dropout: float = 0.0
    slide: int = 9
    num_joints: int = 17
    fps: float = 50.0
    dtype: DTypeLike | None = None

    @property
    def flip_averaging(self) -> bool:
        return True

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        check_counts(self, "window", "patch", "channels", "heads", "depth", "slide")
        check_dropouts(self, "dropout")
        for name, part in (("window", "patch"), ("channels", "heads")):
            whole, divisor = getattr(self, name), getattr(self, part)
            if whole % divisor:
                raise ValueError(f"{part} is {divisor} and {name} {whole}: choose {part} to divide {name}")
        if self.slide > self.window:
            raise ValueError(f"slide is {self.slide} and window {self.window}: give slide from 1 to window")

    def lift_frames(
        self,
        variables: Any,
        keypoints: Float[Array, "B F J 2"],
        occluded: Bool[Array, "B F J"],
        age: Float[Array, "B F J"],
        length: Any = None,
    ) -> Float[Array, "B F J 3"]:
        """Every frame as a mean over the windows that hold it (`windows.average_windows`). Weights fall
        linearly from a window's middle to its ends, which know one side of their surroundings only.
        """

        def lift(keypoints: Array, occluded: Array, age: Array) -> Array:
            return self.apply(variables, keypoints, occluded, age=age)

        rising = np.arange(1, self.window + 1, dtype=np.float32)
        weight = np.minimum(rising, rising[::-1])
        return average_windows(lift, keypoints, occluded, age, self.slide, weight, length)

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

        keypoints: screen-normalised; hidden ones are never read and may be NaN, unless ``age``
        (`occlusion.gap_age`) says that the caller has filled the gaps already. train: dropout (needs the
        ``dropout`` rng). Raises ValueError for another joint count, for windows of another length and for
        settings that do not divide each other.
        """
        self.check_settings()
        check_window(keypoints, occluded, self.num_joints, self.window)
        if age is None:
            age = gap_age(occluded, frame_times(self.window, self.fps, keypoints.dtype))
            keypoints = fill_gaps(keypoints, occluded)
        outline, place = frame_person(keypoints, jnp.ones_like(occluded))
        batch, patches = len(keypoints), self.window // self.patch

        def merged(values: Array) -> Array:
            """(B, F, J, C) to (B, F / patch, J, patch · C)."""
            values = values.reshape(batch, patches, self.patch, *values.shape[2:]).swapaxes(2, 3)
            return values.reshape(*values.shape[:3], -1)

        def dense(width: int, name: str, **settings: Any) -> nn.Dense:
            return nn.Dense(width, dtype=self.dtype, name=name, **settings)

        def learnt(name: str, *shape: int) -> Array:
            # As large as what they are added to, so that joints and times can be told apart from the start.
            values = self.param(name, nn.initializers.normal(0.5), (*shape, self.channels))
            return jnp.asarray(values, keypoints.dtype)

        bits = occluded[..., None].astype(keypoints.dtype)
        numbers = jnp.concatenate([outline, age[..., None] / AGE_UNIT], axis=-1)
        tokens = dense(self.channels, "embed")(merged(numbers)).astype(keypoints.dtype)
        tokens += dense(self.channels, "place")(merged(place[:, :, None])).astype(keypoints.dtype)
        tokens += jnp.einsum("bgjp,jpc->bgjc", merged(bits), learnt("hidden", self.num_joints, self.patch))
        tokens += learnt("joint", 1, 1, self.num_joints) + learnt("time", 1, patches, 1)

        def dropped(values: Array) -> Array:
            return nn.Dropout(self.dropout, deterministic=not train)(values).astype(keypoints.dtype)

        for index in range(self.depth):
            for name in ("joints", "frames"):
                attention = nn.MultiHeadDotProductAttention(
                    self.heads, dtype=self.dtype, name=f"block{index}_{name}"
                )
                normed = nn.LayerNorm(name=f"block{index}_{name}_norm")(tokens)
                # Tokens see each other along the axis before the channels.
                if name == "frames":
                    found = attention(normed.swapaxes(1, 2)).swapaxes(1, 2)
                else:
                    found = attention(normed)
                tokens += dropped(found)
            normed = nn.LayerNorm(name=f"block{index}_norm")(tokens)
            wide = nn.gelu(dense(MLP_RATIO * self.channels, f"block{index}_wide")(normed))
            tokens += dropped(dense(self.channels, f"block{index}_narrow")(wide))
        # A head of zeros starts from the root, as in `TemporalLifter`.
        head = dense(3 * self.patch, "head", kernel_init=nn.initializers.zeros_init())
        joints = head(nn.LayerNorm(name="norm")(tokens[:, :, 1:])).astype(jnp.float32)
        joints = joints.reshape(batch, patches, -1, self.patch, 3).swapaxes(2, 3)
        joints = joints.reshape(batch, self.window, -1, 3)
        return jnp.concatenate([jnp.zeros_like(joints[:, :, :1]), joints], axis=2)
