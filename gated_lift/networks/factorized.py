"""The trajectory-space factorization of Lin & Lee 2019, a rival that the paper compares with."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float

from gated_lift.networks.protocol import check_counts, check_dropouts
from gated_lift.networks.standardize import Standardize, statistics_of
from gated_lift.networks.windows import WindowLifter, average_windows, check_window
from gated_lift.occlusion import fill_gaps

POOL = 5  # frames
CONVOLUTIONS = 5
HIDDEN_LAYERS = 4


def cosine_bases(count: int, frames: int) -> np.ndarray:
    """The first rows of the discrete cosine transform, (K, F) float64:

        b₀(t) = √½,   b_k(t) = cos(π k (t + ½) / F)

    so that B Bᵀ = F/2 · 1: coefficients are 2/F B x, and Bᵀ times them is the nearest path in that space.
    Raises ValueError unless 1 ≤ K ≤ F.
    """
    if not 1 <= count <= frames:
        raise ValueError(f"bases is {count}: choose from 1 to the window's {frames} frames")
    bases = np.cos(np.pi * np.arange(count)[:, None] * (np.arange(frames) + 0.5) / frames)
    bases[0] = np.sqrt(0.5)
    return bases


def pooled_bases(count: int, frames: int) -> np.ndarray:
    """(F, K) what takes a window's features to coefficients: the mean over five frames (with zeros beyond the
    ends), then 2/F times the bases. Both are linear in time, so they are one matrix.
    """
    time = np.arange(frames)
    pool = (np.abs(time[:, None] - time) <= POOL // 2) / POOL
    return pool @ cosine_bases(count, frames).T * (2 / frames)


class FactorizedLifter(WindowLifter, nn.Module):
    """A window of keypoints to the coefficients of every coordinate's path on `cosine_bases`.

    Five layers that see one frame at a time, each of all before it and the z-scored keypoints (dense
    connections: Linear, batch norm, ReLU, dropout); their outputs averaged over five frames and projected on
    the bases (`pooled_bases`); four layers of the same kind on the coefficients; and a Linear layer to three
    paths for each joint but the root, z-scores that `Standardize` takes back to metres.

    window: frames F, at ``fps`` a second. bases: coefficients K of a path. features, hidden: channels of the
    two kinds of layers. slide: frames between the windows of a clip, which are averaged (`lift_frames`).
    batch_norm_momentum, axis_name, dtype: as in `TemporalLifter`.
    """

    window: int = 50
    bases: int = 8
    features: int = 256
    hidden: int = 1024
    slide: int = 5
    num_joints: int = 17
    fps: float = 50.0
    feature_dropout: float = 0.5
    hidden_dropout: float = 0.25
    batch_norm_momentum: float = 0.9
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @property
    def flip_averaging(self) -> bool:
        return True

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        check_counts(self, "window", "bases", "features", "hidden", "slide")
        check_dropouts(self, "feature_dropout", "hidden_dropout")
        for name in ("bases", "slide"):
            if getattr(self, name) > self.window:
                raise ValueError(
                    f"{name} is {getattr(self, name)} and window {self.window}: give {name} from 1 to window"
                )

    def statistics(
        self, keypoints: Float[Array | np.ndarray, "N J 2"], poses: Float[Array | np.ndarray, "N J 3"]
    ) -> dict[str, Any]:
        """The variables' ``statistics`` from frames of training data: screen-normalised keypoints without
        gaps and root-relative poses in metres.
        """
        return {"keypoints": statistics_of(keypoints), "poses": statistics_of(poses[:, 1:])}

    def lift_frames(
        self,
        variables: Any,
        keypoints: Float[Array, "B F J 2"],
        occluded: Bool[Array, "B F J"],
        age: Float[Array, "B F J"],
        length: Any = None,
    ) -> Float[Array, "B F J 3"]:
        """Every frame as the plain mean over the windows that hold it (`windows.average_windows`)."""

        def lift(keypoints: Array, occluded: Array, age: Array) -> Array:
            return self.apply(variables, keypoints, occluded, age=age)

        weight = np.ones(self.window, np.float32)
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

        keypoints: screen-normalised; hidden ones are never read and may be NaN, unless ``age`` says that the
        caller has filled the gaps already (its values are not used). train: batch statistics and dropout
        (needs the ``dropout`` rng and ``mutable=["batch_stats"]``). Raises ValueError for another joint
        count, for windows of another length and for too many bases.
        """
        check_window(keypoints, occluded, self.num_joints, self.window)
        project = jnp.asarray(pooled_bases(self.bases, self.window), jnp.float32)
        restore = jnp.asarray(cosine_bases(self.bases, self.window), jnp.float32)
        if age is None:
            keypoints = fill_gaps(keypoints, occluded)
        read = Standardize((self.num_joints, 2), name="keypoints")
        written = Standardize((self.num_joints - 1, 3), name="poses")
        batch = len(keypoints)

        def layer(inputs: list[Array], width: int, dropout: float, name: str) -> Array:
            joined = jnp.concatenate(inputs, axis=-1)
            outputs = nn.Dense(width, use_bias=False, dtype=self.dtype, name=name)(joined)
            outputs = nn.BatchNorm(
                use_running_average=not train,
                momentum=self.batch_norm_momentum,
                axis_name=self.axis_name if train else None,
                dtype=self.dtype,
                name=f"{name}_norm",
            )(outputs)
            return nn.Dropout(dropout, deterministic=not train)(nn.relu(outputs))

        seen = [read(keypoints).reshape(batch, self.window, -1).astype(self.dtype or keypoints.dtype)]
        for index in range(CONVOLUTIONS):
            seen.append(layer(seen, self.features, self.feature_dropout, f"frame{index}"))
        # Each by itself: together they are long, and only K of F frames are left of them.
        coefficients = [jnp.einsum("btc,tk->bkc", part, project.astype(part.dtype)) for part in seen]
        known = [part.reshape(batch, -1) for part in coefficients]
        for index in range(HIDDEN_LAYERS):
            known.append(layer(known, self.hidden, self.hidden_dropout, f"path{index}"))
        numbers = 3 * (self.num_joints - 1)
        head = nn.Dense(self.bases * numbers, dtype=self.dtype, name="head")
        paths = head(jnp.concatenate(known, axis=-1)).astype(jnp.float32).reshape(batch, self.bases, numbers)
        # At full precision: accelerators would round the bases, which are all that a path is made of.
        scores = jnp.einsum("bkc,kt->btc", paths, restore, precision=jax.lax.Precision.HIGHEST)
        joints = written.undo(scores.reshape(batch, self.window, -1, 3))
        return jnp.concatenate([jnp.zeros_like(joints[:, :, :1]), joints], axis=2)
