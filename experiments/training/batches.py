"""What a training step draws: captured movements before new cameras, new detectors and new masks."""

from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.draws import named_key
from experiments.training import recorded
from experiments.training.configs import TrainConfig
from experiments.training.recorded import RecordedBank
from gated_lift.cameras import (
    Extrinsics,
    sample_static_camera,
    screen_focal,
    world_to_camera,
)
from gated_lift.clips import MotionClip, concatenate_people, resample
from gated_lift.networks.protocol import Hints, Lifter, mirror, mirror_hints, mirror_mask, readable
from gated_lift.occlusion import sample_training_masks
from gated_lift.readers import captures, human36m, motion
from gated_lift.recovery.observation import observe, turn_to
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic import generated
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import as_another_detector
from gated_lift.synthetic.hiding import sample_hiding, sample_lacking
from gated_lift.synthetic.passing import pass_before, sample_snapped
from gated_lift.synthetic.rates import at_slower_rates
from gated_lift.synthetic.variation import (
    exchange_upper_body,
    lay_down,
    sample_laid,
    sample_proportions,
    sample_shift,
    sample_spin,
    sample_turns,
    scale_bones,
    shift_joints,
    spin,
    turn_bones,
)
from gated_lift.synthetic.views import NEAREST, view
from solvers import Camera, project

FPS = 50.0


class VirtualBank(NamedTuple):
    """poses: (N, J, 3) world metres. first, last: (N,) bounds of the stretch that each frame belongs to.
    files: (2, S) the first frame of every file and one behind its last.
    """

    poses: jax.Array
    first: jax.Array
    last: jax.Array
    files: jax.Array


Bank = VirtualBank | RecordedBank


class Batch(NamedTuple):
    """keypoints: (B, T, J, 2) as `observation.observe` gives them, gaps filled. occluded: (B, T, J).
    age: (B, T, J) seconds to the nearest visible frame, also beyond the window.
    target: (B, n, J, 3) root-relative metres, or (B, n, 1, 3) roots, in the axes that have the person in the
    middle. weight: (B, n), zero for frames beyond the end of a clip.
    hints: (B, T, …) for networks that read them.
    """

    keypoints: jax.Array
    occluded: jax.Array
    age: jax.Array
    target: jax.Array
    weight: jax.Array
    hints: Hints = Hints()


class Passed(NamedTuple):
    """What somebody who passes does to the keypoints of a window. coverage: (B, T, J), of the joints that are
    not found on the passer-by. shift: (B, T, J, 2) pixels by which the others are moved there.
    """

    coverage: jax.Array
    shift: jax.Array


class Placement(NamedTuple):
    """How cameras see the outputs of a batch. keypoints: (B, n, J, 2) pixels. occluded: (B, n, J), with the
    frames beyond the end of a clip. root: (B, n, 3) camera-space metres. turn: (B, n, 3, 3) from camera axes
    to those of the targets. camera: one a window.
    """

    keypoints: jax.Array
    occluded: jax.Array
    root: jax.Array
    turn: jax.Array
    camera: Camera


def read_motion(config: TrainConfig) -> tuple[MotionClip, ...]:
    """Training clips, at `FPS` frames a second: the training split of every file, or generated motion where
    there is none.
    """
    if not config.data and config.human36m is None:
        return tuple(generated.crossing_pair(frames=300, fps=FPS, seed=seed) for seed in range(4))
    kept = tuple(clip for clip in _read_split(config) if not _excluded(clip, config))
    if not kept:
        raise ValueError(
            f"data {', '.join(map(str, config.data))} leaves no training clip: all are in the validation "
            f"split or in exclude_subjects {config.exclude_subjects}"
        )
    return kept


def read_held_out(config: TrainConfig) -> tuple[MotionClip, ...]:
    """Clips of the training split that ``exclude_subjects`` keeps out of training; of generated motion, a
    pair of another seed. They are at `FPS` frames a second too.
    """
    if not config.data and config.human36m is None:
        return (generated.crossing_pair(frames=300, fps=FPS, seed=4),)
    if not config.exclude_subjects:
        return ()
    return tuple(clip for clip in _read_split(config) if _excluded(clip, config))


def _read_split(config: TrainConfig) -> tuple[MotionClip, ...]:
    training, _ = captures.split(motion.read_clips(config.data))
    if config.human36m is not None:
        training += human36m.read_training(config.human36m, config.allow_pickle)
    return tuple(resample(clip, FPS) for clip in training)


def _excluded(clip: MotionClip, config: TrainConfig) -> bool:
    return not set(config.exclude_subjects).isdisjoint(clip.subject.split("+"))


def make_bank(clips: tuple[MotionClip, ...]) -> VirtualBank:
    stretches = concatenate_people(clips)
    first = np.repeat(stretches.start, stretches.length).astype(np.int32)
    last = np.repeat(stretches.start + stretches.length - 1, stretches.length).astype(np.int32)
    frames = np.cumsum([clip.poses.shape[0] * clip.poses.shape[1] for clip in clips])
    ends = [
        end
        for end, clip, following in zip(frames, clips, (*clips[1:], None), strict=True)
        if following is None or following.source != clip.source
    ]
    files = np.array([[0, *ends[:-1]], ends], np.int32)
    return VirtualBank(*map(jnp.asarray, (stretches.poses, first, last, files)))


def read_bank(config: TrainConfig, clips: tuple[MotionClip, ...]) -> Bank:
    """What the steps draw from: the clips' motion, or the keypoints that were recorded of it."""
    if config.keypoints_2d is None:
        if config.cameras is not None:
            raise ValueError(f"cameras {config.cameras} saw no keypoints: give keypoints_2d too, or neither")
        bank = make_bank(clips)
        if config.data_shares and len(config.data_shares) != bank.files.shape[1]:
            raise ValueError(
                f"data_shares {config.data_shares} are not one a file: training clips come from "
                f"{bank.files.shape[1]} files, {', '.join(dict.fromkeys(clip.source for clip in clips))}"
            )
        return bank
    if config.data or config.human36m is None:
        raise ValueError(
            f"keypoints_2d {config.keypoints_2d} are Human3.6M's: give human36m (data_3d_h36m.npz), no data"
        )
    for name in (
        "recombined_share",
        "turned_share",
        "body_spread",
        "wide_share",
        "shifted_share",
        "slow_share",
        "spun_share",
        "laid_share",
        "passing.share",
    ):
        if attrgetter(name)(config):
            raise ValueError(
                f"{name} is {attrgetter(name)(config)}: recorded people (keypoints_2d) keep their movements "
                "and bodies, give 0"
            )
    subjects = {clip.subject for clip in clips}
    takes = human36m.read_takes(
        config.human36m, config.keypoints_2d, config.cameras, config.allow_pickle, subjects
    )
    return recorded.make_bank(takes)


def check_rate(lifter: Lifter) -> None:
    """Raises ValueError for a network that has been trained at another frame rate than windows are drawn."""
    if lifter.fps != FPS:
        raise ValueError(
            f"checkpoint is of a network for {lifter.fps:g} frames/s, training runs at {FPS:g}: give one "
            f"that was trained at {FPS:g}"
        )


def draw_batch(key: jax.Array, bank: Bank, lifter: Lifter, config: TrainConfig, size: int) -> Batch:
    """``size`` windows at random frames, each with a mask of its own, and unless it is recorded with a camera
    and a detector of its own.
    """
    batch, placement = draw_placed_batch(key, bank, lifter, config, size)
    if lifter.target == "root":
        return batch._replace(target=turn_to(placement.root[..., None, :], placement.turn))
    return batch


def draw_placed_batch(
    key: jax.Array,
    bank: Bank,
    lifter: Lifter,
    config: TrainConfig,
    size: int,
    focal: float | None = None,
    turned: bool = True,
) -> tuple[Batch, Placement]:
    """Windows with poses for targets, as in `draw_batch`, and how the cameras see them.

    focal, turned: as in `observation.observe`, for a network that was trained before; by default those of a
    network that is trained on these cameras.
    """
    frame_key, camera_key, detector_key, mask_key, flip_key = jax.random.split(key, 5)
    outputs = np.arange(config.chunk_frames, dtype=np.int32) * config.chunk_stride
    before, after = lifter.padding
    window = np.arange(-before, outputs[-1] + after + 1, dtype=np.int32)
    # Gaps are filled from frames beyond the window too, a few of them: the network reads none of these.
    margin = (
        np.arange(1, config.context_frames // config.context_stride + 1, dtype=np.int32)
        * config.context_stride
    )
    times = np.concatenate([window[0] - margin[::-1], window, window[-1] + margin])
    inside = slice(len(margin), len(margin) + len(window))

    frame = draw_frames(frame_key, bank, config.data_shares, size)
    first, last = bank.first[frame], bank.last[frame]
    # A chunk starts inside its clip and stays there where the clip is long enough.
    start = jnp.clip(frame - outputs[-1] // 2, first, jnp.maximum(first, last - outputs[-1]))
    frames = jnp.clip(start[:, None] + times[None], first[:, None], last[:, None])
    weight = (start[:, None] + outputs[None] <= last[:, None]).astype(jnp.float32)

    def film(camera_key: jax.Array, poses: jax.Array) -> tuple[jax.Array, Camera, Extrinsics]:
        middle = poses[len(poses) // 2, 0]
        camera, extrinsics = sample_static_camera(camera_key, middle, config.camera)
        if config.wide_share:
            wide_key, share_key = jax.random.split(named_key(camera_key, "wide"))
            wide = sample_static_camera(wide_key, middle, config.wide_camera)
            chosen = jax.random.bernoulli(share_key, config.wide_share)
            camera, extrinsics = jax.tree.map(
                lambda one, other: jnp.where(chosen, one, other), wide, (camera, extrinsics)
            )
        shown = poses
        if config.shifted_share:
            shift_key, share_key = jax.random.split(named_key(camera_key, "shift"))
            chosen = jax.random.bernoulli(share_key, config.shifted_share)
            other = sample_shift(shift_key, SKELETON)
            shown = shift_joints(poses, jnp.where(chosen, other, jnp.eye(SKELETON.num_joints)))
        return shown, camera, extrinsics

    def look(
        detector_key: jax.Array,
        poses: jax.Array,
        filmed: tuple[jax.Array, Camera, Extrinsics],
        passed: Passed | None,
    ) -> tuple[Any, ...]:
        shown, camera, extrinsics = filmed
        coverage = None if passed is None else passed.coverage
        seen = view(detector_key, shown, camera, extrinsics, config.detector, FPS, SKELETON, coverage)
        if passed is not None:
            seen = seen._replace(keypoints=seen.keypoints + passed.shift)
        joints = seen.joints if not config.shifted_share else world_to_camera(poses, extrinsics)
        doubt = 1 - as_another_detector(named_key(detector_key, "confidence"), seen.confidence)
        return seen.keypoints, seen.occluded, joints, camera, Hints(extrinsics.rotation[..., 2], doubt)

    if isinstance(bank, RecordedBank):
        pixels, missed, joints, camera = recorded.look_up(bank, frames)
        hints = Hints()
    else:
        poses = vary(key, bank.poses[frames], bank, times, config)
        filmed = jax.vmap(film)(jax.random.split(camera_key, size), poses)
        passed = _passed(named_key(key, "passing"), filmed, times, config) if config.passing.share else None
        pixels, missed, joints, camera, hints = jax.vmap(look)(
            jax.random.split(detector_key, size), poses, filmed, passed
        )
    shape = (size, int(times[-1] - times[0]) + 1, SKELETON.num_joints)
    occluded = missed | sample_training_masks(mask_key, shape, config.masks)[:, times - times[0]]
    if config.hiding.hidden_share:
        occluded |= sample_hiding(named_key(key, "hiding"), pixels, config.hiding, SKELETON)
    if config.hiding.lacking_share:
        occluded |= sample_lacking(named_key(key, "lacking"), size, config.hiding, SKELETON)[:, None]
    hints = _withheld(key, readable(lifter, hints), config, size)
    if config.slow_share:
        pixels, occluded, hints = _slowed(key, pixels, occluded, hints, inside, config, lifter.causal)
    seconds = jnp.asarray(times / FPS, jnp.float32)
    focal = screen_focal(config.camera) if focal is None else focal
    seen = observe(lifter, pixels, occluded, camera, focal, seconds, turned, hints=hints)
    keypoints, occluded, age, turn = (values[:, inside] for values in seen[:4])
    hints = jax.tree.map(lambda hint: hint[:, inside], seen.hints)
    shown = slice(before, before + len(outputs)) if config.chunk_stride == 1 else before + outputs
    turn, pixels = turn[:, shown], pixels[:, inside][:, shown]
    joints = joints[:, inside][:, shown]
    root = joints[..., 0, :]
    target = turn_to(joints - root[..., None, :], turn)

    # The mirror image is that in the optical axis: what camera and network see of it are mirror images too.
    flip = jax.random.bernoulli(flip_key, 0.5, (size,))[:, None, None]
    keypoints = jnp.where(flip[..., None], mirror(keypoints, SKELETON), keypoints)
    occluded = jnp.where(flip, mirror_mask(occluded, SKELETON), occluded)
    age = jnp.where(flip, mirror_mask(age, SKELETON), age)
    target = jnp.where(flip[..., None], mirror(target, SKELETON), target)
    hints = jax.tree.map(lambda *pair: jnp.where(flip, *pair), mirror_hints(hints, SKELETON), hints)
    axis = jnp.broadcast_to(camera.center[:, None, None], pixels.shape)
    pixels = jnp.where(flip[..., None], mirror(pixels - axis, SKELETON) + axis, pixels)
    root = jnp.where(flip, root.at[..., 0].multiply(-1), root)
    signs = jnp.array([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    turn = jnp.where(flip[..., None], turn * jnp.broadcast_to(signs, turn.shape), turn)
    hidden = occluded[:, shown] | (weight == 0)[..., None]
    batch = Batch(keypoints, occluded, age, target, weight, hints)
    return batch, Placement(pixels, hidden, root, turn, camera)


def _passed(
    key: jax.Array, filmed: tuple[jax.Array, Camera, Extrinsics], times: np.ndarray, config: TrainConfig
) -> Passed:
    """The first windows of the batch have the person of the next window pass before theirs. Windows are drawn
    independently, so which ones it is does not matter, and the others cost nothing.
    """
    size, frames = filmed[0].shape[:2]
    count = round(config.passing.share * size)
    seconds = jnp.asarray((times - times[len(times) // 2]) / FPS, jnp.float32)

    def cover(key: jax.Array, other: jax.Array, filmed: tuple[jax.Array, Camera, Extrinsics]) -> Passed:
        shown, camera, extrinsics = filmed
        place_key, snap_key = jax.random.split(key)
        middle, place = shown[frames // 2, 0], extrinsics.position[0]
        passer = pass_before(place_key, other, middle, place, seconds, config.passing)
        people = world_to_camera(jnp.stack([shown, passer]), extrinsics)
        coverage = body_occlusion(people, SKELETON).coverage[0]
        before = people.at[..., 2].set(jnp.maximum(people[..., 2], NEAREST))
        pixels = project(before, camera)
        moved, shift = sample_snapped(
            snap_key, coverage > 0.5, pixels[0], pixels[1], SKELETON.mirror, config.passing
        )
        return Passed(jnp.where(moved, 0, coverage), shift)

    some = jax.tree.map(lambda leaf: leaf[:count], filmed)
    others = jnp.roll(filmed[0], -1, axis=0)[:count]
    found = jax.vmap(cover)(jax.random.split(key, count), others, some)
    return jax.tree.map(
        lambda leaf: jnp.concatenate([leaf, jnp.zeros((size - count, *leaf.shape[1:]), leaf.dtype)]), found
    )


def _withheld(key: jax.Array, hints: Hints, config: TrainConfig, size: int) -> Hints:
    """The hints of the windows whose network is told them, zeros for the others."""

    def withhold(name: str, hint: jax.Array | None, share: float) -> jax.Array | None:
        if hint is None:
            return None
        told = jax.random.bernoulli(named_key(key, name), share, (size, 1, 1))
        return jnp.where(told, hint, jnp.zeros_like(hint))

    return Hints(
        withhold("level", hints.up, config.level_share),
        withhold("doubt", hints.doubt, config.confidence_share),
    )


def _slowed(
    key: jax.Array,
    pixels: jax.Array,
    occluded: jax.Array,
    hints: Hints,
    inside: slice,
    config: TrainConfig,
    causal: bool,
) -> tuple[jax.Array, jax.Array, Hints]:
    """Some windows as of a video of fewer frames a second, of which the frames ``inside`` are the window."""
    share_key, rate_key, phase_key = jax.random.split(named_key(key, "rate"), 3)
    size = len(pixels)
    slow, fast = config.slow_rates
    rate = slow * (fast / slow) ** jax.random.uniform(rate_key, (size,))
    chosen = jax.random.bernoulli(share_key, config.slow_share, (size,))[:, None, None]
    values, hidden = pixels[:, inside], occluded[:, inside]
    if hints.doubt is not None:
        values = jnp.concatenate([values, hints.doubt[:, inside, :, None]], axis=-1)
    phase = jax.random.uniform(phase_key, (size,))
    slowed, later_hidden = at_slower_rates(values, hidden, FPS / rate, phase, causal)
    slowed = jnp.where(chosen[..., None], slowed, values)
    occluded = occluded.at[:, inside].set(jnp.where(chosen, later_hidden, hidden))
    pixels = pixels.at[:, inside].set(slowed[..., :2])
    if hints.doubt is not None:
        hints = hints._replace(doubt=hints.doubt.at[:, inside].set(slowed[..., 2]))
    return pixels, occluded, hints


def draw_frames(key: jax.Array, bank: Bank, shares: tuple[float, ...], size: int) -> jax.Array:
    """Any frame of the bank, or where ``shares`` are given, first a file by its share and then any frame of
    it; recorded banks have one file.
    """
    if not shares or isinstance(bank, RecordedBank):
        return jax.random.randint(key, (size,), 0, len(bank.first))
    file_key, frame_key = jax.random.split(key)
    first, end = bank.files[:, jax.random.categorical(file_key, jnp.log(jnp.array(shares)), shape=(size,))]
    return jax.random.randint(frame_key, (size,), first, end)


def vary(
    key: jax.Array, poses: jax.Array, bank: VirtualBank, times: np.ndarray, config: TrainConfig
) -> jax.Array:
    """What the configuration makes of the captured movements (B, T, J, 3): other halves, angles and bodies.

    times: (T,) frames of a window. Each has a key of its own, so that everything else is drawn as without it.
    """
    size = len(poses)
    body_key, half_key, turn_key = (named_key(key, name) for name in ("bodies", "halves", "turns"))
    spin_key, laid_key = (named_key(key, name) for name in ("spun", "laid"))
    if config.recombined_share:
        frame_key, mirror_key, share_key = jax.random.split(half_key, 3)
        start = jax.random.randint(frame_key, (size,), 0, len(bank.first))
        first, last = bank.first[start], bank.last[start]
        other = bank.poses[jnp.clip(start[:, None] + times[None], first[:, None], last[:, None])]
        mirrored = jax.random.bernoulli(mirror_key, 0.5, (size, 1, 1, 1))
        other = jnp.where(mirrored, mirror(other, SKELETON), other)
        chosen = jax.random.bernoulli(share_key, config.recombined_share, (size, 1, 1, 1))
        poses = jnp.where(chosen, exchange_upper_body(poses, other, SKELETON), poses)
    if config.turned_share:
        angle_key, share_key = jax.random.split(turn_key)
        keys = jax.random.split(angle_key, size)
        turns = jax.vmap(lambda key: sample_turns(key, config.turn_spread, SKELETON))(keys)
        chosen = jax.random.bernoulli(share_key, config.turned_share, (size, 1, 1))
        poses = turn_bones(poses, jnp.where(chosen, turns, 0)[:, None], SKELETON)
    if config.body_spread:
        keys = jax.random.split(body_key, size)
        factors = jax.vmap(lambda key: sample_proportions(key, config.body_spread, SKELETON))(keys)
        poses = scale_bones(poses, jnp.broadcast_to(factors[:, None], poses.shape[:-1]), SKELETON)
    if config.spun_share:
        rate_key, share_key = jax.random.split(spin_key)
        turns = jax.vmap(sample_spin)(jax.random.split(rate_key, size))
        turns = jnp.where(jax.random.bernoulli(share_key, config.spun_share, (size,)), turns, 0)
        poses = jax.vmap(spin, (0, 0, None))(poses, turns, jnp.asarray(times / FPS, poses.dtype))
    if config.laid_share:
        angle_key, share_key = jax.random.split(laid_key)
        axis, angle = jax.vmap(sample_laid)(jax.random.split(angle_key, size))
        angle = jnp.where(jax.random.bernoulli(share_key, config.laid_share, (size,)), angle, 0)
        poses = jax.vmap(lay_down)(poses, axis, angle)
    return poses
