"""The lifter: windows of 2D keypoints and their occlusion mask to root-relative 3D joints."""

import math
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float, Shaped

from gated_lift.layers import Gating, MaskChannels, TemporalLayer, mask_channels
from gated_lift.occlusion import Fill, fill, gap_age, joint_mean
from gated_lift.skeleton import Skeleton

GATINGS = get_args(Gating)
FILLS = get_args(Fill)
Framing = Literal["screen", "person"]
FRAMINGS = get_args(Framing)
MASK_CHANNELS = get_args(MaskChannels)
Target = Literal["pose", "root"]
TARGETS = get_args(Target)


@runtime_checkable
class Lifter(Protocol):
    """What `lift_clip` and training know of a network, a Linen module: `TemporalLifter`,
    `sequence_lifter.SequenceLifter`, `factorized_lifter.FactorizedLifter` or
    `attention_lifter.AttentionLifter`.

    ``module.apply(variables, keypoints, occluded, train=False, age=None)`` lifts windows, as
    `TemporalLifter.__call__` says.

    num_joints: joints that come in. fill, causal: what stands for hidden ones (`occlusion.fill`).
    target: whether root-relative poses come out or the root's place in camera space.
    receptive_field: frames of the shortest window. padding: of those, the ones before the first output and
    after the last. flip_averaging: whether its authors average over each clip and its mirror image.
    """

    num_joints: int

    @property
    def fill(self) -> Fill: ...

    @property
    def causal(self) -> bool: ...

    @property
    def target(self) -> Target: ...

    @property
    def receptive_field(self) -> int: ...

    @property
    def padding(self) -> tuple[int, int]: ...

    @property
    def flip_averaging(self) -> bool: ...

    def lift_frames(
        self, variables: Any, keypoints: Float[Array, "B F J 2"], occluded: Bool[Array, "B F J"]
    ) -> Float[Array, "B F N 3"]:
        """One answer for every frame of clips of any length, in metres; hidden keypoints may be NaN."""
        ...


class Strides(NamedTuple):
    """How a filter moves: ``stride`` frames of its input between outputs, ``dilation`` between its taps."""

    stride: int
    dilation: int


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
    framing: how keypoints enter: ``screen`` as they are (the paper's, and with it the parameter count of
        VideoPose3D), or ``person`` (`frame_person`): centred on the person and divided by their size.
    mask_channels: ``coordinate``, 2J bits as the paper writes it; ``joint``, J bits; ``age``, J bits and the
        J times to the nearest visible frame (`layers.mask_channels`).
    fade_frames: time constants τ, in frames, of further copies of the keypoints that fade towards zero (the
        person's or the screen's centre) as a gap ages, x exp(−age / τ), so that the first layer can weigh
        what is filled by how old it is. For networks that see the mask; none in the paper.
    gate_residual: adds the block's cropped input to the gate stream too, which the paper leaves open.
    target: ``pose``, root-relative joints; or ``root``, one joint, the root's place in camera space, metres:
        VideoPose3D's separate trajectory network, if ``gating`` is ``none`` and ``framing`` is ``screen``. It
        has to learn depth from size, which a focal length decides too, so its keypoints must be those of one
        focal length: `pipeline.lift` and training make them so from each camera's own intrinsics, as
        normalised image-plane rays ((x − cₓ) / f, (y − c_y) / f) times `pipeline.screen_focal`, a constant.
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
    framing: Framing = "screen"
    mask_channels: MaskChannels = "coordinate"
    fade_frames: tuple[float, ...] = ()
    gate_residual: bool = False
    target: Target = "pose"
    batch_norm_momentum: float = 0.9
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @property
    def output_strides(self) -> tuple[int, ...]:
        """Frames that may lie between two outputs: the products of the first filter widths, however many."""
        products = (math.prod(self.filter_widths[:count]) for count in range(len(self.filter_widths) + 1))
        return tuple(dict.fromkeys(products))

    @property
    def receptive_field(self) -> int:
        return math.prod(self.filter_widths)

    @property
    def padding(self) -> tuple[int, int]:
        """Frames that an output needs before and after its own."""
        before = self.receptive_field - 1 if self.causal else self.receptive_field // 2
        return before, self.receptive_field - 1 - before

    @property
    def flip_averaging(self) -> bool:
        return True

    def lift_frames(
        self, variables: Any, keypoints: Float[Array, "B F J 2"], occluded: Bool[Array, "B F J"]
    ) -> Float[Array, "B F N 3"]:
        """One output for every frame of clips of any length: both ends are replicated by the padding, and
        gaps are filled over the whole clip.
        """
        before, after = self.padding
        frames = keypoints.shape[1]
        index = jnp.clip(jnp.arange(-before, frames + after), 0, frames - 1)
        return self.apply(variables, keypoints[:, index], occluded[:, index])

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array, "B T J 2"],
        occluded: Bool[Array, "B T J"],
        *,
        train: bool = False,
        output_stride: int = 1,
        age: Float[Array, "B T J"] | None = None,
    ) -> Float[Array, "B S N 3"]:
        """Lifts windows to S = (T − RF) // output_stride + 1 root-relative poses, or roots (N = 1), metres in
        camera axes.

        keypoints: screen-normalised (`cameras.normalize_screen`); hidden ones are never read and may be NaN.
        occluded: True where a joint is hidden.
        train: batch statistics and dropout (needs the ``dropout`` rng and ``mutable=["batch_stats"]``).
        output_stride: frames between outputs; the product of the first filter widths, however many, so that
            the layers up to it stride instead of being followed by dilated ones, with the same weights. 1 is
            the dense form. The receptive field itself is the paper's training form: one output a window, at
            the least cost. What lies between lets few frames of a long window serve many outputs.
        age: `occlusion.gap_age` of these frames, from a caller who has filled the gaps already (from frames
            beyond the window, say): hidden values are read. Without it gaps are filled from the T frames.

        Raises ValueError for another joint count, for windows that are too short, and for an unknown setting.
        """
        self._check(keypoints, occluded, output_stride)
        if age is None:
            age = gap_age(occluded, self.causal)
            keypoints = fill(keypoints, occluded, self.fill, self.causal)
        place: list[Array] = []
        if self.framing == "person":
            known = ~occluded if self.fill == "zero" else jnp.ones_like(occluded)
            keypoints, *place = frame_person(keypoints, known)
        gates = mask_channels(occluded, age, self.mask_channels, keypoints.dtype)
        copies, masks = [keypoints], []
        if self.gating != "none":
            copies += [keypoints * jnp.exp(-age / frames)[..., None] for frames in self.fade_frames]
        if self.gating in ("mask_input", "single_stream"):
            masks = [gates]
        flat = [copy.reshape(*keypoints.shape[:2], -1) for copy in copies]
        features = jnp.concatenate([*flat, *place, *masks], axis=-1)

        first, *rest = self.filter_widths
        strides = self._strides(output_stride)
        features, gates = self._layer(first, strides[0], "expand")(features, gates, train)
        for index, (width, stride) in enumerate(zip(rest, strides[1:], strict=True)):
            skipped, skipped_gates = features, gates
            features, gates = self._layer(width, stride, f"block{index}_dilated")(features, gates, train)
            features, gates = self._layer(1, Strides(1, 1), f"block{index}_mix")(features, gates, train)
            crop = self._crop(width, stride, features.shape[1])
            features = features + skipped[:, crop]
            if self.gate_residual and self.gating == "two_stream":
                gates = gates + skipped_gates[:, crop]
        # A head of zeros starts from the root instead of from noise as large as a person, which takes
        # thousands of steps to unlearn: after 300 steps of 512 windows the training MPJPE was 114 mm instead
        # of 559 mm.
        zeros = nn.initializers.zeros_init()
        answers = self.num_joints if self.target == "pose" else 1
        head = nn.Dense(3 * answers, dtype=self.dtype, kernel_init=zeros, name="head")
        poses = head(features)
        return poses.astype(jnp.float32).reshape(*poses.shape[:2], answers, 3)

    def _strides(self, output_stride: int) -> list[Strides]:
        """How every layer moves: a layer strides until the outputs are ``output_stride`` frames apart; after
        that layers dilate on the coarser grid.
        """
        strides, dilation = [], 1
        for width in self.filter_widths:
            if dilation * width <= output_stride:
                strides.append(Strides(stride=width, dilation=1))
            else:
                strides.append(Strides(stride=1, dilation=dilation // output_stride))
            dilation *= width
        return strides

    def _layer(self, width: int, strides: Strides, name: str) -> TemporalLayer:
        return TemporalLayer(
            gating=self.gating,
            channels=self.channels,
            width=width,
            dilation=strides.dilation,
            stride=strides.stride,
            dropout=self.dropout,
            momentum=self.batch_norm_momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )

    def _crop(self, width: int, strides: Strides, outputs: int) -> slice:
        """Frames of a block's input that its outputs stand on: the middle tap, or the last when causal."""
        start = (width - 1 if self.causal else width // 2) * strides.dilation
        return slice(start, start + (outputs - 1) * strides.stride + 1, strides.stride)

    def _check(self, keypoints: Array, occluded: Array, output_stride: int) -> None:
        for name, known in (
            ("gating", GATINGS),
            ("fill", FILLS),
            ("framing", FRAMINGS),
            ("mask_channels", MASK_CHANNELS),
            ("target", TARGETS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(known)}")
        if not self.filter_widths or any(width < 1 or width % 2 == 0 for width in self.filter_widths):
            raise ValueError(
                f"filter_widths is {self.filter_widths}: give one or more odd widths, such as (3, 3, 3)"
            )
        if not all(frames > 0 for frames in self.fade_frames):
            raise ValueError(f"fade_frames is {self.fade_frames}: give positive numbers of frames, or none")
        check_keypoints(keypoints, occluded, self.num_joints)
        if keypoints.ndim != 4:
            raise ValueError(
                f"keypoints has shape {keypoints.shape}: the network takes (batch, frames, joints, 2); "
                "use lift_clip, or add a batch axis"
            )
        if output_stride not in self.output_strides:
            raise ValueError(
                f"output_stride is {output_stride}: filter_widths {self.filter_widths} allow "
                f"{', '.join(map(str, self.output_strides))}"
            )
        frames = keypoints.shape[1]
        if frames < self.receptive_field:
            raise ValueError(
                f"keypoints has {frames} frames, the network needs at least {self.receptive_field} (its "
                "receptive field): use lift_clip, which pads clips"
            )


class FramedPerson(NamedTuple):
    """outline: (..., J, 2) keypoints centred on the person, in units of their size. place: (..., 3)."""

    outline: Float[Array, "*batch J 2"]
    place: Float[Array, "*batch 3"]


def frame_person(keypoints: Float[Array, "*batch J 2"], known: Bool[Array, "*batch J"]) -> FramedPerson:
    """Every frame's keypoints as an outline, and where and how large it is.

        y_j = (x_j − c) / s,   c = mean of the known x_j,   s² = mean of the known |x_j − c|² + 1e-6

    place is 2c and log s + 1.5, which are of order one for a person on a normalised screen. A person at 8 m
    and at 2.5 m has the same outline, so that the network need not learn to divide. Joints that are not
    ``known`` are zero; a frame without any is all zeros but for s, which is then 1e-3.

    keypoints: screen-normalised and finite.
    """
    known = known[..., None]
    center = joint_mean(keypoints, known)
    offset = jnp.where(known, keypoints - center, jnp.zeros_like(keypoints))
    square = jnp.sum(joint_mean(offset**2, known), axis=-1, keepdims=True)
    size = jnp.sqrt(square + 1e-6)
    place = jnp.concatenate([2 * center[..., 0, :], jnp.log(size[..., 0, :]) + 1.5], axis=-1)
    return FramedPerson(offset / size, place)


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


def mirror_mask(occluded: Shaped[Array, "*batch J"], skeleton: Skeleton) -> Shaped[Array, "*batch J"]:
    """The mask (or the age of its gaps) of a mirror image: left and right joints change places."""
    return occluded[..., jnp.array(skeleton.mirror)]


def lift_clip(
    lifter: Lifter,
    variables: Any,
    keypoints: Float[Array, "*batch F J 2"],
    occluded: Bool[Array, "*batch F J"],
    skeleton: Skeleton,
    flip: bool = True,
) -> Float[Array, "*batch F N 3"]:
    """One root-relative pose for every frame of a clip of any length, metres in camera axes; from a network
    whose ``target`` is the root, one root (N = 1).

    How windows are laid and short clips are padded is each network's own matter (its ``lift_frames``); gaps
    are filled over the whole clip. With ``flip`` the poses are the mean over the clip and its mirror image
    (test-time averaging), unless the network's authors do not average (its ``flip_averaging``).

    keypoints: screen-normalised, hidden ones may be NaN. Raises ValueError as `check_keypoints` does;
    values are not looked at (`check_values` does): where a visible keypoint is NaN or infinite, so are the
    poses that see it, of that person only.
    """
    check_keypoints(keypoints, occluded, lifter.num_joints)
    *batch, frames, joints, _ = keypoints.shape
    people = keypoints.reshape(-1, frames, joints, 2)
    masks = occluded.reshape(-1, frames, joints)
    poses = lifter.lift_frames(variables, people, masks)
    if flip and lifter.flip_averaging:
        mirrored = lifter.lift_frames(variables, mirror(people, skeleton), mirror_mask(masks, skeleton))
        poses = (poses + mirror_target(mirrored, lifter.target, skeleton)) / 2
    return poses.reshape(*batch, frames, *poses.shape[-2:])


def mirror_target(
    answers: Float[Array, "*batch N 3"], target: Target, skeleton: Skeleton
) -> Float[Array, "*batch N 3"]:
    """`mirror` of what a network with this ``target`` answers: a root has no left and right to swap, and
    x = 0 is the optical axis, the middle of the image.
    """
    return mirror(answers, skeleton) if target == "pose" else answers.at[..., 0].multiply(-1)


def parameter_count(variables: Any) -> int:
    """Number of trained weights, batch-norm scales and offsets included, running statistics not."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
