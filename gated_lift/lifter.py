"""The lifter: windows of 2D keypoints and their occlusion mask to root-relative 3D joints."""

import math
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float

from gated_lift.layers import Gating, TemporalLayer, joint_bits
from gated_lift.occlusion import Fill, fill
from gated_lift.skeleton import Skeleton

GATINGS = get_args(Gating)
FILLS = get_args(Fill)


class TemporalLifter(nn.Module):
    """Dilated temporal convolution network of the paper's section IV-B, plain or gated.

    A first layer of width w₀, then a block a further width w (a dilated layer of width w and one of width 1,
    with the block's cropped input added to the *feature* stream), then a linear head. Layers are those of
    Fig. 3.

    gating: ``none`` sees keypoints only; ``mask_input`` gets the mask as further input channels;
        ``single_stream`` is Eq. 1 with the mask as further input channels; ``two_stream`` is Eq. 2.
    filter_widths: odd widths; a layer's dilation is the product of the widths before it, so the receptive
        field is their product (27, 81 and 243 frames for three, four and five widths of 3).
    causal: outputs depend on their own frame and earlier ones only.
    fill: what stands for hidden keypoints: ``interpolate`` (linear in time; a causal network holds the last
        visible value) or ``zero`` (as in the paper).
    mask_per_coordinate: 2J mask channels as the paper writes it, or J.
    gate_residual: adds the block's cropped input to the gate stream too, which the paper leaves open.
    batch_norm_momentum: share of the old running statistics that an update keeps.
    axis_name: pmap axis over which batch statistics are averaged.
    dtype: computation type; parameters stay float32.
    """

    gating: Gating = "two_stream"
    channels: int = 1024
    filter_widths: tuple[int, ...] = (3, 3, 3, 3, 3)
    num_joints: int = 17
    causal: bool = False
    dropout: float = 0.25
    fill: Fill = "interpolate"
    mask_per_coordinate: bool = True
    gate_residual: bool = False
    batch_norm_momentum: float = 0.9
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @property
    def receptive_field(self) -> int:
        return math.prod(self.filter_widths)

    @property
    def padding(self) -> tuple[int, int]:
        """Frames that an output needs before and after its own."""
        before = self.receptive_field - 1 if self.causal else self.receptive_field // 2
        return before, self.receptive_field - 1 - before

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array, "B T J 2"],
        occluded: Bool[Array, "B T J"],
        *,
        train: bool = False,
        strided: bool = False,
        filled: bool = False,
    ) -> Float[Array, "B S J 3"]:
        """Lifts windows to S = T − RF + 1 poses, metres in camera axes, relative to the root.

        keypoints: screen-normalised (`cameras.normalize_screen`); hidden ones are never read and may be NaN.
        occluded: True where a joint is hidden.
        train: batch statistics and dropout (needs the ``dropout`` rng and ``mutable=["batch_stats"]``).
        strided: strides replace dilation, with the same weights; computes the first output only, at the least
            cost, and needs T = RF.
        filled: the caller has filled the gaps already (from frames beyond the window, say): hidden values are
            read.

        Raises ValueError for another joint count, for windows that are too short, and for an unknown setting.
        """
        self._check(keypoints, occluded, strided)
        if not filled:
            keypoints = fill(keypoints, occluded, self.fill, self.causal)
        features = keypoints.reshape(*keypoints.shape[:2], -1)
        gates = joint_bits(occluded, self.mask_per_coordinate, features.dtype)
        if self.gating in ("mask_input", "single_stream"):
            features = jnp.concatenate([features, gates], axis=-1)

        first, *rest = self.filter_widths
        features, gates = self._layer(first, 1, strided, "expand")(features, gates, train)
        dilation = first
        for index, width in enumerate(rest):
            skipped, skipped_gates = features, gates
            layer = self._layer(width, dilation, strided, f"block{index}_dilated")
            features, gates = layer(features, gates, train)
            features, gates = self._layer(1, 1, False, f"block{index}_mix")(features, gates, train)
            crop = self._crop(width, dilation, skipped.shape[1], strided)
            features = features + skipped[:, crop]
            if self.gate_residual and self.gating == "two_stream":
                gates = gates + skipped_gates[:, crop]
            dilation *= width
        # A head of zeros starts from the root instead of from noise as large as a person, which takes
        # thousands of steps to unlearn: after 300 steps of 512 windows the training MPJPE was 114 mm instead
        # of 559 mm.
        zeros = nn.initializers.zeros_init()
        head = nn.Dense(3 * self.num_joints, dtype=self.dtype, kernel_init=zeros, name="head")
        poses = head(features)
        return poses.astype(jnp.float32).reshape(*poses.shape[:2], self.num_joints, 3)

    def _layer(self, width: int, dilation: int, strided: bool, name: str) -> TemporalLayer:
        return TemporalLayer(
            gating=self.gating,
            channels=self.channels,
            width=width,
            dilation=1 if strided else dilation,
            stride=width if strided else 1,
            dropout=self.dropout,
            momentum=self.batch_norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )

    def _crop(self, width: int, dilation: int, frames: int, strided: bool) -> slice:
        """Frames of a block's input that its outputs stand on: the middle tap, or the last when causal."""
        tap = width - 1 if self.causal else width // 2
        if strided:
            return slice(tap, None, width)
        start = tap * dilation
        return slice(start, start + frames - (width - 1) * dilation)

    def _check(self, keypoints: Array, occluded: Array, strided: bool) -> None:
        if self.gating not in GATINGS:
            raise ValueError(f"gating is {self.gating!r}: choose one of {', '.join(GATINGS)}")
        if self.fill not in FILLS:
            raise ValueError(f"fill is {self.fill!r}: choose one of {', '.join(FILLS)}")
        if not self.filter_widths or any(width < 1 or width % 2 == 0 for width in self.filter_widths):
            raise ValueError(
                f"filter_widths is {self.filter_widths}: give one or more odd widths, such as (3, 3, 3)"
            )
        check_keypoints(keypoints, occluded, self.num_joints)
        if keypoints.ndim != 4:
            raise ValueError(
                f"keypoints has shape {keypoints.shape}: the network takes (batch, frames, joints, 2); "
                "use lift_clip, or add a batch axis"
            )
        needed = self.receptive_field
        frames = keypoints.shape[1]
        if frames < needed or (strided and frames != needed):
            raise ValueError(
                f"keypoints has {frames} frames, the network needs {'exactly' if strided else 'at least'} "
                f"{needed} (its receptive field): use lift_clip, which pads clips"
            )


def check_keypoints(keypoints: Array, occluded: Array, num_joints: int) -> None:
    """Raises ValueError, naming the argument and the mend, unless shapes and dtypes fit.

    keypoints: (..., T, J, 2) floats, J = ``num_joints``, nothing empty. occluded: (..., T, J) booleans.
    """
    if keypoints.ndim < 3 or keypoints.shape[-1] != 2:
        raise ValueError(
            f"keypoints has shape {keypoints.shape}: give (..., frames, joints, 2); confidences go apart"
        )
    if keypoints.shape[-2] != num_joints:
        raise ValueError(
            f"keypoints has {keypoints.shape[-2]} joints, the lifter was built for {num_joints}: convert "
            "them by name with skeleton.convert(keypoints, occluded, BODY_25, H36M_17), say"
        )
    if not jnp.issubdtype(keypoints.dtype, jnp.floating):
        raise ValueError(
            f"keypoints has dtype {keypoints.dtype}: give floating-point numbers, such as float32"
        )
    if occluded.dtype != jnp.bool_:
        raise ValueError(
            f"occluded has dtype {occluded.dtype}: give booleans, True where hidden (confidence < 0.3, say)"
        )
    if occluded.shape != keypoints.shape[:-1]:
        raise ValueError(
            f"occluded has shape {occluded.shape}, keypoints {keypoints.shape}: give one boolean a keypoint, "
            f"{keypoints.shape[:-1]}"
        )
    if 0 in keypoints.shape:
        raise ValueError(
            f"keypoints has shape {keypoints.shape}: it is empty; give at least one frame of one person"
        )


def check_values(keypoints: Array | np.ndarray, occluded: Array | np.ndarray) -> None:
    """Raises ValueError for visible keypoints that are not finite, and for a person who is never visible.

    keypoints: (..., T, J, 2), in any unit; hidden ones may be anything. occluded: (..., T, J), True = hidden.
    The message names the first such person (an index into the leading axes) and frame, and the mend. It reads
    values, so it runs before `jax.jit`, not inside; a lifter that is given such values nevertheless returns
    NaN within a receptive field of a bad keypoint, and poses without meaning for a person never seen.
    """
    values, hidden = np.asarray(keypoints), np.asarray(occluded)
    broken = ~np.isfinite(values).all(axis=-1) & ~hidden
    if broken.any():
        *person, frame, joint = (int(index) for index in np.argwhere(broken)[0])
        raise ValueError(
            f"keypoints of {_person(person)} are not finite at frame {frame}, joint {joint} "
            f"({int(broken.sum())} visible joints in all), {values[(*person, frame, joint)].tolist()}: "
            "mark what the detector missed as hidden, occluded | ~isfinite(keypoints).all(-1)"
        )
    unseen = hidden.all(axis=(-2, -1))
    if unseen.any():
        person = [int(index) for index in np.argwhere(unseen)[0]]
        raise ValueError(
            f"occluded hides every joint of {_person(person)} on all {hidden.shape[-2]} frames: leave this "
            "person out, or lower the confidence below which a joint counts as hidden"
        )


def _person(index: list[int]) -> str:
    return f"person {', '.join(map(str, index))}" if index else "the person"


def mirror(keypoints_or_poses: Float[Array, "*batch J D"], skeleton: Skeleton) -> Float[Array, "*batch J D"]:
    """Mirror image: x is negated and left and right joints change places. Its own inverse.

    Keypoints must be screen-normalised, so that x = 0 is the middle of the image.
    """
    flipped = keypoints_or_poses[..., jnp.array(skeleton.mirror), :]
    return flipped.at[..., 0].multiply(-1)


def mirror_mask(occluded: Bool[Array, "*batch J"], skeleton: Skeleton) -> Bool[Array, "*batch J"]:
    """The mask of a mirror image: left and right joints change places."""
    return occluded[..., jnp.array(skeleton.mirror)]


def lift_clip(
    lifter: TemporalLifter,
    variables: Any,
    keypoints: Float[Array, "*batch F J 2"],
    occluded: Bool[Array, "*batch F J"],
    skeleton: Skeleton,
    flip: bool = True,
) -> Float[Array, "*batch F J 3"]:
    """One root-relative pose for every frame of a clip of any length, metres in camera axes.

    Both ends are replicated by the receptive field's padding, so clips shorter than it are lifted too; gaps
    are filled over the whole clip. With ``flip`` the poses are the mean over the clip and its mirror image
    (test-time averaging).

    keypoints: screen-normalised, hidden ones may be NaN. Raises ValueError as `check_keypoints` does;
    values are not looked at (`check_values` does): where a visible keypoint is NaN or infinite, so are the
    poses that see it, of that person only.
    """
    check_keypoints(keypoints, occluded, lifter.num_joints)
    *batch, frames, joints, _ = keypoints.shape
    before, after = lifter.padding
    index = jnp.clip(jnp.arange(-before, frames + after), 0, frames - 1)
    windows = keypoints.reshape(-1, frames, joints, 2)[:, index]
    masks = occluded.reshape(-1, frames, joints)[:, index]
    poses = lifter.apply(variables, windows, masks)
    if flip:
        mirrored = lifter.apply(variables, mirror(windows, skeleton), mirror_mask(masks, skeleton))
        poses = (poses + mirror(mirrored, skeleton)) / 2
    return poses.reshape(*batch, frames, joints, 3)


def parameter_count(variables: Any) -> int:
    """Number of trained weights, batch-norm scales and offsets included, running statistics not."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
