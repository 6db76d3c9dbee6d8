"""The paper's network: dilated temporal convolutions, plain or gated."""

import math
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike, Float

from gated_lift.networks.layers import NORM_EPSILON, Gating, MaskChannels, TemporalLayer, mask_channels
from gated_lift.networks.protocol import (
    TARGETS,
    Hints,
    Target,
    check_counts,
    check_dropouts,
    check_keypoints,
)
from gated_lift.occlusion import OLDEST_GAP, Fill, fill, frame_times, gap_age, joint_mean

GATINGS = get_args(Gating)
FILLS = get_args(Fill)
Framing = Literal["screen", "person"]
FRAMINGS = get_args(Framing)
MASK_CHANNELS = get_args(MaskChannels)


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
        visible value), ``cubic`` (curves with the speeds at both ends, which a causal network continues) or
        ``zero`` (as in the paper).
    framing: how keypoints enter: ``screen`` as they are (the paper's, and with it the parameter count of
        VideoPose3D), or ``person`` (`frame_person`): centred on the person and divided by their size.
    mask_channels: ``coordinate``, 2J bits as the paper writes it; ``joint``, J bits; ``age``, J bits and the
        J times to the nearest visible frame (`layers.mask_channels`).
    fade_seconds: time constants τ, in seconds, of further copies of the keypoints that fade towards zero (the
        person's or the screen's centre) as a gap ages, x exp(−age / τ), so that the first layer can weigh
        what is filled by how old it is. For networks that see the mask; none in the paper.
    gate_residual: adds the block's cropped input to the gate stream too, which the paper leaves open.
    target: ``pose``, root-relative joints; or ``root``, one joint, the root's place in camera space, metres:
        VideoPose3D's separate trajectory network, if ``gating`` is ``none`` and ``framing`` is ``screen``. It
        has to learn depth from size, which a focal length decides too, so its keypoints must be those of one
        focal length: `observation.observe` makes them so from each camera's own intrinsics.
    tilt: reads which way is up too, where that is known: the world's vertical in the axes of the keypoints.
    confidence: reads how far the detector doubts each joint too, where that is known, in both streams.
    fps: frames a second of the windows that it is trained on, and has to be given.
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
    fade_seconds: tuple[float, ...] = ()
    gate_residual: bool = False
    target: Target = "pose"
    tilt: bool = False
    confidence: bool = False
    fps: float = 50.0
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

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        for name, known in (
            ("gating", GATINGS),
            ("fill", FILLS),
            ("framing", FRAMINGS),
            ("mask_channels", MASK_CHANNELS),
            ("target", TARGETS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(known)}")
        check_counts(self, "channels", "num_joints")
        check_dropouts(self, "dropout")
        if not self.filter_widths or any(width < 1 or width % 2 == 0 for width in self.filter_widths):
            raise ValueError(
                f"filter_widths is {self.filter_widths}: give one or more odd widths, such as (3, 3, 3)"
            )
        if not all(0 < seconds < math.inf for seconds in self.fade_seconds):
            raise ValueError(f"fade_seconds is {self.fade_seconds}: give positive seconds, or none")

    def training_form(self, chunk_frames: int, chunk_stride: int) -> dict[str, Any]:
        """The strided form: one output a window strides through all of it, more of them up to
        ``chunk_stride``, which has to be one of `output_strides`.
        """
        if chunk_frames == 1:
            return {"output_stride": self.receptive_field}
        if chunk_stride not in self.output_strides:
            raise ValueError(
                f"chunk_stride is {chunk_stride}: filter_widths {self.filter_widths} allow "
                f"{', '.join(map(str, self.output_strides))}"
            )
        return {"output_stride": chunk_stride}

    def lift_frames(
        self,
        variables: Any,
        keypoints: Float[Array, "B F J 2"],
        occluded: Bool[Array, "B F J"],
        age: Float[Array, "B F J"],
        length: Any = None,
        hints: Hints = Hints(),
    ) -> Float[Array, "B F N 3"]:
        """One output for every frame of clips of any length: both ends are replicated by the padding, where
        the gaps that they are in go on ageing.

        Where no clip has a hidden joint (nor doubt, if the network reads it), the gates of two streams are
        the same on every frame: the plain network of `without_gates` is asked then, at half the cost. Clips
        that never show their person have no say in that, and their poses no meaning.
        """
        del length  # frames after it are the last one repeated, as the padding is
        before, after = self.padding
        frames = keypoints.shape[1]
        steps = jnp.arange(-before, frames + after)
        index = jnp.clip(steps, 0, frames - 1)
        beyond = jnp.abs(steps - index).astype(age.dtype) / self.fps
        hidden = occluded[:, index]
        beyond = jnp.broadcast_to(beyond[None, :, None], hidden.shape)
        older = jnp.where(hidden, jnp.minimum(age[:, index] + beyond, OLDEST_GAP), age[:, index])
        hints = jax.tree.map(lambda hint: hint[:, index], hints)
        keypoints = keypoints[:, index]
        if self.gating != "two_stream":
            return self.apply(variables, keypoints, hidden, age=older, hints=hints)
        moving = hidden | (older > 0)
        if self.confidence and hints.doubt is not None:
            moving |= hints.doubt != 0
        never_seen = jnp.all(hidden, axis=(1, 2), keepdims=True)
        return jax.lax.cond(
            jnp.any(moving & ~never_seen),
            lambda: self.apply(variables, keypoints, hidden, age=older, hints=hints),
            lambda: self.clone(gating="none").apply(
                without_gates(self, variables), keypoints, hidden, age=older, hints=hints
            ),
        )

    @nn.compact
    def __call__(
        self,
        keypoints: Float[Array, "B T J 2"],
        occluded: Bool[Array, "B T J"],
        *,
        train: bool = False,
        output_stride: int = 1,
        age: Float[Array, "B T J"] | None = None,
        hints: Hints = Hints(),
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
        hints: the world's vertical for a network with ``tilt``, and the detector's doubt for one with
            ``confidence``; a hint that is not there is zeros. Other networks do not read them.

        Raises ValueError for another joint count, for windows that are too short, and for an unknown setting.
        """
        self._check(keypoints, occluded, output_stride)
        if age is None:
            age = gap_age(occluded, frame_times(occluded.shape[1], self.fps, keypoints.dtype), self.causal)
            keypoints = fill(keypoints, occluded, self.fill, self.causal, fps=self.fps)
        features, gates = self.inputs(keypoints, occluded, age, hints)

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
        if poses.dtype != jnp.float64:  # of half precision, what comes out is single
            poses = poses.astype(jnp.float32)
        return poses.reshape(*poses.shape[:2], answers, 3)

    def inputs(
        self,
        keypoints: Float[Array, "B T J 2"],
        occluded: Bool[Array, "B T J"],
        age: Float[Array, "B T J"],
        hints: Hints = Hints(),
    ) -> tuple[Float[Array, "B T C"], Float[Array, "B T G"]]:
        """What the first layer reads of every frame, its features and its gates, from filled keypoints."""
        place: list[Array] = []
        if self.framing == "person":
            known = ~occluded if self.fill == "zero" else jnp.ones_like(occluded)
            keypoints, *place = frame_person(keypoints, known)
        gates = mask_channels(occluded, age, self.mask_channels, keypoints.dtype)
        copies, masks = [keypoints], []
        if self.gating != "none":
            copies += [keypoints * jnp.exp(-age / seconds)[..., None] for seconds in self.fade_seconds]
        if self.gating in ("mask_input", "single_stream"):
            masks = [gates]
        flat = [copy.reshape(*keypoints.shape[:2], -1) for copy in copies]
        if self.tilt:
            level = jnp.zeros((*keypoints.shape[:2], 3)) if hints.up is None else hints.up
            place.append(level.astype(keypoints.dtype))
        if self.confidence:
            doubt = jnp.zeros(occluded.shape) if hints.doubt is None else hints.doubt
            place.append(doubt.astype(keypoints.dtype))
            gates = jnp.concatenate([gates, doubt.astype(gates.dtype)], axis=-1)
        return jnp.concatenate([*flat, *place, *masks], axis=-1), gates

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

    def _crop(self, width: int, strides: Strides, outputs: Any) -> slice:
        """Frames of a block's input that its outputs stand on: the middle tap, or the last when causal."""
        start = (width - 1 if self.causal else width // 2) * strides.dilation
        return slice(start, start + (outputs - 1) * strides.stride + 1, strides.stride)

    def _check(self, keypoints: Array, occluded: Array, output_stride: int) -> None:
        self.check_settings()
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


def without_gates(lifter: TemporalLifter, variables: Any) -> dict[str, Any]:
    """The variables with which the plain network (``gating="none"``, all else alike) answers what this one of
    two streams answers where every joint is visible.

    The gate stream then reads zeros on every frame, so that layer n's gates are one vector, the same on all:

        gₙ = σ(norm(Σ over the taps of W_g applied to gₙ₋₁)),   φ(X * W_f) ⊗ gₙ = φ(gₙ ⊗ (X * W_f))

    because gates are positive; they go into the scale and offset of the feature stream's batch norm. Copies
    of the keypoints that fade with a gap's age are the keypoints themselves then: their weights are added.
    """

    def gate(name: str, gates: Array) -> Array:
        layer, running = variables["params"][name]["gate"], variables["batch_stats"][name]["gate"]["norm"]
        sums = gates @ jnp.sum(layer["convolution"]["kernel"], axis=0) - running["mean"]
        scale = layer["norm"]["scale"] / jnp.sqrt(running["var"] + NORM_EPSILON)
        return nn.sigmoid(sums * scale + layer["norm"]["bias"])

    first = variables["params"]["expand"]["gate"]["convolution"]["kernel"]
    gates = gate("expand", jnp.zeros_like(first[0, :, 0]))
    constants = {"expand": gates}
    for index in range(len(lifter.filter_widths) - 1):
        skipped = gates
        for name in (f"block{index}_dilated", f"block{index}_mix"):
            constants[name] = gates = gate(name, gates)
        if lifter.gate_residual:
            gates = gates + skipped

    params: dict[str, Any] = {"head": variables["params"]["head"]}
    for name, constant in constants.items():
        feature = variables["params"][name]["feature"]
        norm = {part: values * constant for part, values in feature["norm"].items()}
        params[name] = {"feature": {"convolution": feature["convolution"], "norm": norm}}
    kernel = params["expand"]["feature"]["convolution"]["kernel"]
    inputs, copies = 2 * lifter.num_joints, 1 + len(lifter.fade_seconds)
    added = sum(kernel[:, inputs * copy : inputs * (copy + 1)] for copy in range(copies))
    kernel = jnp.concatenate([added, kernel[:, inputs * copies :]], axis=1)
    params["expand"]["feature"]["convolution"] = {"kernel": kernel}
    statistics = {name: {"feature": variables["batch_stats"][name]["feature"]} for name in constants}
    return {"params": params, "batch_stats": statistics}


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
