"""What every lifter is: windows of 2D keypoints and their occlusion mask in, root-relative 3D joints out."""

from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from gated_lift.occlusion import Fill, fill, frame_times, gap_age
from gated_lift.skeleton import Skeleton
from solvers import refuse_masked

Target = Literal["pose", "root"]
TARGETS = get_args(Target)


@runtime_checkable
class Lifter(Protocol):
    """What `lift_clip` and training know of a network, a Linen module, one of `settings.KINDS`.

    ``module.apply(variables, keypoints, occluded, train=False, age=None)`` lifts windows, as
    `TemporalLifter.__call__` says.

    num_joints: joints that come in. fps: frames a second that it was trained on, and has to be given. fill,
    causal: what stands for hidden ones (`occlusion.fill`).
    target: whether root-relative poses come out or the root's place in camera space.
    receptive_field: frames of the shortest window. padding: of those, the ones before the first output and
    after the last. flip_averaging: whether its authors average over each clip and its mirror image.
    """

    num_joints: int
    fps: float

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

    def check_settings(self) -> None:
        """Raises ValueError, naming the setting, its value and the mend, for one that is out of range."""
        ...

    def training_form(self, chunk_frames: int, chunk_stride: int) -> dict[str, Any]:
        """Keyword arguments of ``apply`` with which a window has ``chunk_frames`` outputs, ``chunk_stride``
        frames apart, at the least cost. Raises ValueError where the network has no such windows.
        """
        ...

    def lift_frames(
        self,
        variables: Any,
        keypoints: Float[Array, "B F J 2"],
        occluded: Bool[Array, "B F J"],
        age: Float[Array, "B F J"],
        length: Any = None,
    ) -> Float[Array, "B F N 3"]:
        """One answer for every frame of clips of any length, in metres, from keypoints whose gaps are filled
        and the `occlusion.gap_age` of these.

        length: frames that the clips really have, perhaps traced; the last of them is repeated on all frames
        after it, whose answers mean nothing, so that clips of many lengths are one compilation.
        """
        ...


class Hints(NamedTuple):
    """What some networks read besides keypoints and mask; None where nothing is known of it.

    up: (..., F, 3) the world's vertical, unit vectors in the axes of the keypoints, zeros where unknown.
    doubt: (..., F, J) one minus the detector's confidence, zeros where it is unknown and for hidden joints.
    """

    up: Any = None
    doubt: Any = None


def readable(lifter: Lifter, hints: Hints) -> Hints:
    """The hints that a network reads, None for the others: the vertical if it has the setting ``tilt``, the
    doubt if it has the setting ``confidence``. ``apply`` and ``lift_frames`` of such networks take ``hints``.
    """
    return Hints(
        up=hints.up if getattr(lifter, "tilt", False) else None,
        doubt=hints.doubt if getattr(lifter, "confidence", False) else None,
    )


def told(hints: Hints) -> dict[str, Hints]:
    """``hints`` as keyword arguments of a network: none where there are none, which every network takes."""
    return {} if all(hint is None for hint in hints) else {"hints": hints}


def mirror_hints(hints: Hints, skeleton: Skeleton) -> Hints:
    """The hints of a mirror image."""
    up, doubt = hints
    return Hints(
        up=None if up is None else up.at[..., 0].multiply(-1),
        doubt=None if doubt is None else mirror_mask(doubt, skeleton),
    )


def check_counts(lifter: Any, *names: str) -> None:
    """Raises ValueError unless these settings are whole numbers from 1."""
    for name in names:
        value = getattr(lifter, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value}: give a whole number, 1 or more")


def check_dropouts(lifter: Any, *names: str) -> None:
    """Raises ValueError unless these settings are shares that leave something over."""
    for name in names:
        value = getattr(lifter, name)
        if not 0 <= value < 1:
            raise ValueError(f"{name} is {value}: give the share that is dropped, from 0 to below 1")


def check_keypoints(keypoints: Array | np.ndarray, occluded: Array | np.ndarray, num_joints: int) -> None:
    """Raises ValueError, naming the argument and the mend, unless shapes and dtypes fit.

    keypoints: (..., T, J, 2) floats, J = ``num_joints``, nothing empty. occluded: (..., T, J) booleans.
    """
    refuse_masked("keypoints", keypoints)
    refuse_masked("occluded", occluded)
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
    age: Float[Array, "*batch F J"] | None = None,
    length: Any = None,
    hints: Hints = Hints(),
) -> Float[Array, "*batch F N 3"]:
    """One root-relative pose for every frame of a clip of any length, metres in camera axes; from a network
    whose ``target`` is the root, one root (N = 1).

    How windows are laid and short clips are padded is each network's own matter (its ``lift_frames``). With
    ``flip`` the poses are the mean over the clip and its mirror image (test-time averaging), both lifted in
    one batch, unless the network's authors do not average (its ``flip_averaging``).

    keypoints: what the network reads (`observation.observe`), at the network's own frame rate. Without
    ``age`` hidden ones may be NaN and gaps are filled here, over the whole clip; with it, their
    `occlusion.gap_age`, the caller has filled them. length: as in `Lifter.lift_frames`.
    hints: those that the network does not read are left out (`readable`). Raises ValueError as
    `check_keypoints` does; values are not looked at (`check_values` does): where a visible keypoint is NaN or
    infinite, so are the poses that see it, of that person only.
    """
    check_keypoints(keypoints, occluded, lifter.num_joints)
    *batch, frames, joints, _ = keypoints.shape
    if age is None:
        age = gap_age(occluded, frame_times(frames, lifter.fps, keypoints.dtype), lifter.causal)
        keypoints = fill(keypoints, occluded, lifter.fill, lifter.causal, fps=lifter.fps)
    people = keypoints.reshape(-1, frames, joints, 2)
    masks, ages = occluded.reshape(-1, frames, joints), age.reshape(-1, frames, joints)
    known = jax.tree.map(lambda hint: hint.reshape(-1, *hint.shape[len(batch) :]), readable(lifter, hints))
    averaged = flip and lifter.flip_averaging
    if averaged:
        people = jnp.concatenate([people, mirror(people, skeleton)])
        masks = jnp.concatenate([masks, mirror_mask(masks, skeleton)])
        ages = jnp.concatenate([ages, mirror_mask(ages, skeleton)])
        mirrored_hints = mirror_hints(known, skeleton)
        known = jax.tree.map(lambda *pair: jnp.concatenate(pair), known, mirrored_hints)
    poses = lifter.lift_frames(variables, people, masks, ages, length, **told(known))
    if averaged:
        poses, mirrored = jnp.split(poses, 2)
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
