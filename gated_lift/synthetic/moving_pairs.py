"""Pairs of people who hide each other before a hand-held camera: a generator, and a frozen set to judge on.

People are placed by `gated_lift.synthetic.placing`; a hand-held camera follows them, bodies hide bodies, and
a simulated detector reports what it finds. Everything follows from the clips and a `Recipe`. Cameras and
detections are computed in float64 on the CPU, and every number is stored as a multiple of a unit far coarser
than float64's rounding, so that other machines get the same integers and the same hash.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32

from gated_lift.cameras import (
    Extrinsics,
    HandheldCamera,
    VirtualCamera,
    Wander,
    sample_handheld_camera,
    world_to_camera,
)
from gated_lift.clips import MotionClip
from gated_lift.readers import captures
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.obstacles import Drawn, Obstacles, draw_obstacle
from gated_lift.synthetic.placing import KINDS, Kind, Part, PlacedPair, place_pairs
from gated_lift.synthetic.snapping import Snapping, coverers, held, snapped
from gated_lift.synthetic.views import view
from solvers import Camera, project

# Cameras are compared by every fifth frame. A joint should be hidden for at most so many seconds, and not
# within so many of either end of a scene.
LOOK_EVERY = 5
LONGEST_HIDING, AROUND_HIDING = 2.0, 0.2
ANKLES = SKELETON.names.index("left_ankle"), SKELETON.names.index("right_ankle")

# What the stored integers count: pixels, metres, entries of a rotation matrix.
PIXEL, METRE, TURN_ENTRY = 1 / 20, 1e-4, 1e-6


class Recipe(NamedTuple):
    """What a set is made from besides the clips.

    takes: cameras that are tried for each scene. The one that sees most of a person hidden by the other is
    kept; joints outside the image, hidden for longer than `LONGEST_HIDING` or hidden at the ends of the scene
    count against a camera.
    lost_share: a person of whom this share of the joints is occluded is not found at all, as detectors drop
    people of whom they find scraps. snapping: how often covered joints are put on whoever covers them, with
    the confidence of seen ones; None for a detector that is unsure of them. obstacles: what hides people
    besides each other; None for nothing. camera: a phone's full-HD video by default, held at chest height by
    someone who mostly walks along and never stands quite still.
    """

    seed: int
    parts: tuple[Part, ...]
    takes: int = 64
    lost_share: float = 0.75
    camera: HandheldCamera = HandheldCamera(
        walking=0.8,
        drift=Wander(rms=0.15, band=(0.05, 0.3), falloff=1.0),
        view=VirtualCamera(
            width=1920,
            height=1080,
            focal=(1300.0, 1500.0),
            distance=(2.4, 4.5),
            elevation=(1.0, 1.5),
            aim_jitter=(0.15, 0.1),
        ),
    )
    detector: DetectorConfig = DetectorConfig()
    snapping: Snapping | None = None
    obstacles: Obstacles | None = None


# The frozen set: this recipe on the validation split of `cmu_single.npz` and `cmu_pairs.npz`.
EVALUATION_NAME = "moving-pairs-v1"
EVALUATION = Recipe(
    seed=20200,
    parts=(
        Part("across", 12, 125),
        Part("past", 12, 125),
        Part("around", 8, 175),
        Part("beside", 6, 400),
        Part("dance", 8, 400),
    ),
)
EVALUATION_SHA256 = "3e66f342340219f143b4caa2184689e3a0e7da0f70ca9c3ca429a3f7757dd4c4"

# Another, smaller one, before a detector that is wrong and sure of it.
WRONG_NAME = "moving-pairs-v1-wrong"
WRONG = EVALUATION._replace(
    seed=20300,
    parts=(
        Part("across", 4, 125),
        Part("past", 4, 125),
        Part("around", 4, 175),
        Part("beside", 2, 400),
        Part("dance", 3, 400),
    ),
    detector=DetectorConfig(swap_rate=0.03, swap_seconds=0.25),
    snapping=Snapping(),
)
WRONG_SHA256 = "b59a281154fe50a475e395ff8d69a9a57f1f2576a3e08a267317c7aa67c7ce15"

# The second edition: the same people, every stretch of those in touch, obstacles, and a detector that is
# wrong and sure of it.
SECOND_NAME = "moving-pairs-v2"
SECOND = WRONG._replace(
    seed=20400,
    parts=(
        Part("across", 8, 125),
        Part("past", 4, 125),
        Part("around", 4, 175),
        Part("beside", 4, 400),
        Part("dance", 10, 400),
    ),
    obstacles=Obstacles(),
)
SECOND_SHA256 = "39a893014ad4f5b211c99a72cc09298c8708f65e701bce6d1d79335955cca389"


class Frozen(NamedTuple):
    """What a frozen set is made from, and the hash that it must have."""

    recipe: Recipe
    sha256: str


FROZEN = {
    EVALUATION_NAME: Frozen(EVALUATION, EVALUATION_SHA256),
    WRONG_NAME: Frozen(WRONG, WRONG_SHA256),
    SECOND_NAME: Frozen(SECOND, SECOND_SHA256),
}


class MovingPair(NamedTuple):
    """A scene as its camera saw it, in stored units turned back to pixels and metres, joints of `SKELETON`.

    keypoints: (2, F, 17, 2) pixels as the detector reports them. occluded: (2, F, 17) what a lifter is told:
    the detector is unsure of the joint, or it is outside the image. covered: (2, F, 17) the other body hides
    the joint, which no detector tells. joints: (2, F, 17, 3) true, camera axes, metres. camera: intrinsics
    (2,). extrinsics: (F, 3, 3) and (F, 3), the world's floor at z = 0. kind, meeting, sources, starts and
    licence as in `PlacedPair`.
    """

    kind: Kind
    keypoints: Float32[np.ndarray, "2 frames joints 2"]
    occluded: Bool[np.ndarray, "2 frames joints"]
    covered: Bool[np.ndarray, "2 frames joints"]
    joints: Float32[np.ndarray, "2 frames joints 3"]
    camera: Camera
    extrinsics: Extrinsics
    width: int
    height: int
    fps: float
    meeting: int
    sources: tuple[str, str]
    starts: tuple[int, int]
    licence: str


def moving_pairs(clips: Sequence[MotionClip], recipe: Recipe) -> tuple[MovingPair, ...]:
    """The scenes of ``recipe`` from ``clips`` of one split, in the order of its parts; see `place_pairs`."""
    placed = place_pairs(clips, recipe.parts, recipe.seed)
    return tuple(film_pair(pair, recipe, index) for index, pair in enumerate(placed))


def frozen_set(clips: Sequence[MotionClip], name: str = EVALUATION_NAME) -> tuple[MovingPair, ...]:
    """The set of that name in `FROZEN`, from the validation split of ``clips``, which are all of both capture
    files.

    Raises ValueError when its hash is not the one that is written down, or when the clips do not suffice.
    """
    recipe, sha256 = FROZEN[name]
    _, validation = captures.split(clips)
    return check_fingerprint(moving_pairs(validation, recipe), sha256)


def evaluation_set(clips: Sequence[MotionClip]) -> tuple[MovingPair, ...]:
    """`EVALUATION`, as `frozen_set` makes it."""
    return frozen_set(clips, EVALUATION_NAME)


def wrong_set(clips: Sequence[MotionClip]) -> tuple[MovingPair, ...]:
    """`WRONG`, as `frozen_set` makes it."""
    return frozen_set(clips, WRONG_NAME)


def check_fingerprint(
    pairs: tuple[MovingPair, ...], expected: str = EVALUATION_SHA256, where: str = "the set just built"
) -> tuple[MovingPair, ...]:
    """Returns ``pairs`` when their `fingerprint` is ``expected``; raises ValueError with the mend if not."""
    found = fingerprint(pairs)
    if found != expected:
        name = next((name for name, one in FROZEN.items() if one.sha256 == expected), EVALUATION_NAME)
        raise ValueError(
            f"{where} has sha256 {found}, expected {expected}: results on it cannot be compared. Either the "
            "captures, the code or JAX's random numbers are of another version: take the .npz that "
            f"write_pairs made of {name}, or call your set by another name"
        )
    return pairs


# Filming


class _Shot(NamedTuple):
    keypoints: Any
    occluded: Any
    covered: Any
    joints: Any
    camera: Camera
    extrinsics: Extrinsics
    behind: Any
    again: Any


@partial(jax.jit, static_argnames=("fps", "takes", "lost_share", "config", "detector", "again"))
def _shoot(
    key: Array,
    poses: Array,
    frames: Array,
    fps: float,
    takes: int,
    lost_share: float,
    config: HandheldCamera,
    detector: DetectorConfig,
    again: bool,
    obstacle: Drawn,
) -> _Shot:
    """Of a scene whose frames from ``frames`` on only repeat the last.

    again: the detector looks at everybody twice, and what it tells the second time, keypoints and whether
    they count as hidden, is returned too; people of whom too much is hidden are then left in.
    """
    camera_key, detector_key = jax.random.split(key)
    targets = jnp.mean(poses[:, :, 0], axis=0)
    longest, ends = round(LONGEST_HIDING * fps), round(AROUND_HIDING * fps)

    def outside(joints: Array, camera: Camera) -> Array:
        x, y = jnp.moveaxis(project(joints, camera), -1, 0)
        beside = (x < 0) | (x >= config.view.width) | (y < 0) | (y >= config.view.height)
        return beside | (joints[..., 2] <= 0)

    def take(key: Array) -> tuple[Array, Camera, Extrinsics]:
        camera, extrinsics = sample_handheld_camera(key, targets, fps, config)
        some = jax.tree.map(lambda values: values[::LOOK_EVERY], extrinsics)
        joints = world_to_camera(poses[:, ::LOOK_EVERY], some)
        missed = outside(joints, camera)
        hidden = body_occlusion(joints, SKELETON).hidden & ~missed
        index = jax.lax.broadcasted_iota(jnp.int32, hidden.shape, 1)
        run = index - jax.lax.cummax(jnp.where(hidden, -1, index), axis=1)
        time = index * LOOK_EVERY
        # A hiding has a before and an after within the scene, and an end in sight.
        wanted = (time >= ends) & (time < frames - ends) & (run * LOOK_EVERY <= longest)

        def share(flags: Array) -> Array:
            return jnp.mean(flags & (time < frames), axis=-1, dtype=poses.dtype)

        # A whole body that is hidden counts for more than two halves.
        worth = share(hidden & wanted) ** 4 - share(hidden & ~wanted) - share(missed)
        return jnp.sum(worth), camera, extrinsics

    score, *cameras = jax.vmap(take)(jax.random.split(camera_key, takes))
    best = jnp.argmax(score)
    camera, extrinsics = jax.tree.map(lambda values: values[best], cameras)
    joints = world_to_camera(poses, extrinsics)
    coverage = body_occlusion(joints, SKELETON).coverage
    covered = coverage > 0.5
    rows = project(joints, camera)[..., 1]
    # Frames that only repeat the last have no say in where the edge is.
    real = jnp.arange(poses.shape[1], dtype=frames.dtype) < frames
    hips, ankles = (
        jnp.nanmedian(jnp.where(real, rows[..., chosen].mean(axis=-1), jnp.nan))
        for chosen in (np.array([0]), np.array(ANKLES))
    )
    behind = obstacle.behind | (rows > hips + obstacle.edge * (ankles - hips))
    coverage = jnp.where(behind, 1.0, coverage)
    beside = outside(joints, camera) | behind
    seen = view(detector_key, poses, camera, extrinsics, detector, fps, SKELETON, coverage)
    occluded = seen.occluded | beside
    if again:
        other = jax.random.fold_in(detector_key, 1)
        second = view(other, poses, camera, extrinsics, detector, fps, SKELETON, coverage)
        told = second.keypoints, second.occluded | beside
        return _Shot(seen.keypoints, occluded, covered, seen.joints, camera, extrinsics, behind, told)
    occluded |= jnp.mean(occluded, axis=-1, keepdims=True, dtype=poses.dtype) >= lost_share
    return _Shot(seen.keypoints, occluded, covered, seen.joints, camera, extrinsics, behind, None)


def film_pair(pair: PlacedPair, recipe: Recipe, index: int) -> MovingPair:
    """``pair`` before a hand-held camera that follows the point between both, and before a detector.

    index: which scene of the recipe it is; camera and detector are drawn from the recipe's seed and this.
    Computed in float64 on the CPU, then rounded to the stored units. Raises ValueError for takes < 1.
    """
    if recipe.takes < 1:
        raise ValueError(f"takes is {recipe.takes}: try at least one camera")
    frames = pair.poses.shape[1]
    # All scenes of a recipe have one length where they are computed: each length is compiled anew.
    rest = max([frames, *(part.frames for part in recipe.parts)]) - frames
    poses = np.pad(pair.poses, ((0, 0), (0, rest), (0, 0), (0, 0)), mode="edge")
    obstacle = _obstacle(recipe, index, frames, rest, pair.fps)
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        key = jax.random.fold_in(jax.random.key(recipe.seed, impl="threefry2x32"), index)
        settings = pair.fps, recipe.takes, recipe.lost_share, recipe.camera, recipe.detector
        again = recipe.snapping is not None
        shot = jax.tree.map(
            np.asarray,
            _shoot(key, jnp.asarray(poses), jnp.asarray(frames, jnp.int32), *settings, again, obstacle),
        )
    if recipe.snapping is not None:
        shot = _snap(shot, recipe, index, pair.fps)
    counted = _counted(
        keypoints=shot.keypoints[:, :frames],
        occluded=shot.occluded[:, :frames],
        covered=shot.covered[:, :frames],
        joints=shot.joints[:, :frames],
        camera=shot.camera,
        extrinsics=Extrinsics(*(values[:frames] for values in shot.extrinsics)),
        size=(recipe.camera.view.width, recipe.camera.view.height),
        meeting=pair.meeting,
        starts=pair.starts,
    )
    return _uncounted(counted, pair.kind, pair.fps, pair.sources, pair.licence)


def _obstacle(recipe: Recipe, index: int, frames: int, rest: int, fps: float) -> Drawn:
    """Of the scene, which is padded with ``rest`` frames; the kinds of the recipe come in turn."""
    if recipe.obstacles is None:
        return Drawn(np.zeros((2, frames + rest, SKELETON.num_joints), bool), np.inf)
    kinds, longest = recipe.obstacles
    # Snapping draws from the words of seed and index alone.
    words = np.random.PCG64([recipe.seed, index, 1])
    behind, edge = draw_obstacle(words, kinds[index % len(kinds)], frames, fps, longest, SKELETON)
    return Drawn(np.pad(behind, ((0, 0), (0, rest), (0, 0))), edge)


def _snap(shot: _Shot, recipe: Recipe, index: int, fps: float) -> _Shot:
    """Puts covered joints on whoever covers them; people of whom too much is hidden after that are lost."""
    assert recipe.snapping is not None
    rate, seconds, linger, mirrored, nearest = recipe.snapping
    # NumPy keeps the stream of raw words, but not that of its distributions.
    words = np.random.PCG64([recipe.seed, index])

    def draw(shape: tuple[int, int]) -> np.ndarray:
        raw = words.random_raw(shape[0] * shape[1])
        return np.asarray((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    people, frames, joints = shot.covered.shape
    snaps = held(draw, (people, frames), seconds, fps) < rate
    where = held(draw, (people, frames), seconds, fps)
    # In float64, as everything that is hashed.
    pixels = shot.camera.focal * (shot.joints[..., :2] / shot.joints[..., 2:]) + shot.camera.center
    found = shot.occluded.mean(axis=-1) < recipe.lost_share
    coverer = coverers(pixels.mean(axis=2), shot.joints[:, :, 0, 2], found)
    covered = shot.covered.copy()
    for late in range(1, round(linger * fps) + 1):
        covered[:, late:] |= shot.covered[:, :-late]
    moved = covered & (snaps & (coverer >= 0))[..., None] & ~shot.behind
    mirror, same = np.array(SKELETON.mirror), np.arange(joints)
    there = pixels[np.maximum(coverer, 0), np.arange(frames)]
    nearer = np.linalg.norm(there[:, :, mirror] - pixels, axis=-1) < np.linalg.norm(there - pixels, axis=-1)
    other = np.where(where[..., None] < mirrored, True, nearer & (where[..., None] < mirrored + nearest))
    keypoints, occluded = snapped(
        shot.keypoints, shot.occluded, shot.again, moved, coverer, np.where(other, mirror, same)
    )
    occluded |= occluded.mean(axis=-1, keepdims=True) >= recipe.lost_share
    return shot._replace(keypoints=keypoints, occluded=occluded)


# Storing


class _Counted(NamedTuple):
    """A scene in whole units: what is hashed and written. All int32 but the two masks."""

    keypoints: np.ndarray
    occluded: np.ndarray
    covered: np.ndarray
    joints: np.ndarray
    intrinsics: np.ndarray
    rotation: np.ndarray
    position: np.ndarray
    size: np.ndarray
    meeting: np.ndarray
    starts: np.ndarray


# Which axis of a scene's array runs over frames; the others hold one entry a scene.
_FRAME_AXIS = {"keypoints": 1, "occluded": 1, "covered": 1, "joints": 1, "rotation": 0, "position": 0}
# Shapes without the frames.
_SHAPES = {
    "keypoints": (2, SKELETON.num_joints, 2),
    "occluded": (2, SKELETON.num_joints),
    "covered": (2, SKELETON.num_joints),
    "joints": (2, SKELETON.num_joints, 3),
    "intrinsics": (2, 2),
    "rotation": (3, 3),
    "position": (3,),
    "size": (2,),
    "meeting": (),
    "starts": (2,),
}


def _count(values: np.ndarray, unit: float) -> np.ndarray:
    whole = np.rint(np.asarray(values, np.float64) / unit)
    # A keypoint may be flung far away, but a number that int32 cannot hold is an error of ours.
    if not np.all(np.abs(whole) < 2**31):
        raise ValueError(f"values reach {np.abs(values).max()}, too far for int32 in units of {unit}")
    return whole.astype(np.int32)


def _value(whole: np.ndarray, unit: float) -> np.ndarray:
    return (whole * unit).astype(np.float32)


def _counted(
    keypoints: np.ndarray,
    occluded: np.ndarray,
    covered: np.ndarray,
    joints: np.ndarray,
    camera: Camera,
    extrinsics: Extrinsics,
    size: tuple[int, int],
    meeting: int,
    starts: tuple[int, int],
) -> _Counted:
    return _Counted(
        keypoints=_count(keypoints, PIXEL),
        occluded=np.asarray(occluded),
        covered=np.asarray(covered),
        joints=_count(joints, METRE),
        intrinsics=_count(np.stack([camera.focal, camera.center]), PIXEL),
        rotation=_count(extrinsics.rotation, TURN_ENTRY),
        position=_count(extrinsics.position, METRE),
        size=np.array(size, np.int32),
        meeting=np.array(meeting, np.int32),
        starts=np.array(starts, np.int32),
    )


def _recounted(pair: MovingPair) -> _Counted:
    """Exact: float32 tells the units apart within a kilometre and 400 000 pixels."""
    size = pair.width, pair.height
    return _counted(*pair[1:7], size=size, meeting=pair.meeting, starts=pair.starts)


def _uncounted(
    counted: _Counted, kind: Kind, fps: float, sources: tuple[str, str], licence: str
) -> MovingPair:
    focal, center = _value(counted.intrinsics, PIXEL)
    width, height = (int(side) for side in counted.size)
    first, second = (int(start) for start in counted.starts)
    return MovingPair(
        kind=kind,
        keypoints=_value(counted.keypoints, PIXEL),
        occluded=counted.occluded,
        covered=counted.covered,
        joints=_value(counted.joints, METRE),
        camera=Camera(focal, center),
        extrinsics=Extrinsics(_value(counted.rotation, TURN_ENTRY), _value(counted.position, METRE)),
        width=width,
        height=height,
        fps=fps,
        meeting=int(counted.meeting),
        sources=sources,
        starts=(first, second),
        licence=licence,
    )


def fingerprint(pairs: Sequence[MovingPair]) -> str:
    """sha256 of the scenes' integers, masks and names in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for pair in pairs:
        words = (pair.kind, *pair.sources, repr(float(pair.fps)), pair.licence)
        digest.update("\0".join(words).encode() + b"\0\0")
        for name, array in _recounted(pair)._asdict().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.astype("u1" if array.dtype == bool else "<i4").tobytes())
    return digest.hexdigest()


def write_pairs(path: str | Path, pairs: Sequence[MovingPair]) -> Path:
    """Writes scenes to a ``.npz`` that needs no pickle; `read_pairs` gives them back exactly.

    Frames of all scenes lie one after another; ``length`` cuts them. Raises ValueError for no scenes.
    """
    if not pairs:
        raise ValueError("pairs is empty: there is nothing to write")
    counted = [_recounted(pair) for pair in pairs]
    arrays = {}
    for name in _Counted._fields:
        values = [getattr(scene, name) for scene in counted]
        if name in _FRAME_AXIS:
            arrays[name] = np.concatenate([np.moveaxis(v, _FRAME_AXIS[name], 0) for v in values])
        else:
            arrays[name] = np.stack(values)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        allow_pickle=False,
        **arrays,
        length=np.array([pair.keypoints.shape[1] for pair in pairs], np.int32),
        kind=np.array([pair.kind for pair in pairs]),
        sources=np.array([pair.sources for pair in pairs]),
        fps=np.array([pair.fps for pair in pairs], np.float64),
        licence=np.array([pair.licence for pair in pairs]),
        units=np.array([PIXEL, METRE, TURN_ENTRY]),
        joint_names=np.array(SKELETON.names),
        parents=np.array(SKELETON.parents, np.int32),
    )
    return path


def read_pairs(path: str | Path, expected: str | None = EVALUATION_SHA256) -> tuple[MovingPair, ...]:
    """Reads what `write_pairs` wrote; ``expected`` is the hash that it must have, None for any.

    Never unpickles. Raises FileNotFoundError for a missing file and ValueError, naming it, for a broken or
    altered one.
    """
    names = (
        *_Counted._fields,
        "length",
        "kind",
        "sources",
        "fps",
        "licence",
        "units",
        "joint_names",
        "parents",
    )
    arrays = read_npz(path, names)

    def fail(what: str) -> None:
        raise ValueError(f"{path}: {what}; write the file again with moving_pairs.write_pairs")

    length = arrays["length"]
    if length.ndim != 1 or length.dtype != np.int32 or not len(length) or np.any(length < 1):
        fail(f"length has shape {length.shape} and dtype {length.dtype}, expected a positive int32 a scene")
    scenes, frames = len(length), sum(int(count) for count in length)
    for name, shape in _SHAPES.items():
        dtype = np.bool_ if name in ("occluded", "covered") else np.int32
        wanted = (frames if name in _FRAME_AXIS else scenes, *shape)
        if arrays[name].shape != wanted or arrays[name].dtype != dtype:
            fail(f"{name} has shape {arrays[name].shape} and dtype {arrays[name].dtype}, expected {wanted}")
    for name, wanted in (("kind", (scenes,)), ("sources", (scenes, 2)), ("licence", (scenes,))):
        if arrays[name].shape != wanted or arrays[name].dtype.kind != "U":
            fail(f"{name} has shape {arrays[name].shape}, expected strings {wanted}")
    unknown = sorted(set(arrays["kind"].tolist()) - set(KINDS))
    if unknown:
        fail(f"kind is {unknown}, expected {', '.join(KINDS)}")
    fps = arrays["fps"]
    if fps.shape != (scenes,) or fps.dtype.kind != "f" or not np.all(np.isfinite(fps) & (fps > 0)):
        fail(f"fps is {fps}, expected a positive number a scene")
    for name, values in (
        ("units", [PIXEL, METRE, TURN_ENTRY]),
        ("joint_names", [*SKELETON.names]),
        ("parents", [*SKELETON.parents]),
    ):
        if arrays[name].tolist() != values:
            fail(f"{name} is {arrays[name].tolist()}, expected {values}")

    pairs, begin = [], 0
    for scene, count in enumerate(length):
        cut = slice(begin, begin + int(count))
        begin = cut.stop
        counted = _Counted(
            **{
                name: np.moveaxis(arrays[name][cut], 0, _FRAME_AXIS[name])
                if name in _FRAME_AXIS
                else arrays[name][scene]
                for name in _Counted._fields
            }
        )
        first, second = arrays["sources"][scene].tolist()
        kind: Kind = arrays["kind"][scene].item()
        pairs.append(
            _uncounted(counted, kind, float(fps[scene]), (first, second), str(arrays["licence"][scene]))
        )
    found = tuple(pairs)
    return found if expected is None else check_fingerprint(found, expected, str(path))
