"""Anybody's predictions for a frozen set of pairs: what a network is given, what it says, and its errors.

A stranger's network reads the file of `write_inputs` and gives a file that `read_predictions` takes;
docs/data_card.md shows both. Errors are those that `experiments.judging.protocol` takes of this project's own
networks, and besides those in world axes, to which the true path of the camera brings the joints.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.judging.protocol import ask, errors
from experiments.judging.stretches import stretches_of
from gated_lift import LoadedLifter, metrics
from gated_lift.cameras import camera_to_world
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.moving_pairs import MovingPair, fingerprint
from gated_lift.synthetic.placing import KINDS
from solvers import Camera, Extrinsics, TrajectoryConfig

# Headings, and what sums in metres and seconds are multiplied by.
COLUMNS = {
    "pa_mpjpe": ("PA-MPJPE", 1000.0),
    "mpjpe": ("MPJPE", 1000.0),
    "n_mpjpe_absolute": ("N-MPJPE absolute", 1000.0),
    "root_error": ("root", 1000.0),
    "w_mpjpe": ("W-MPJPE", 1000.0),
    "wa_mpjpe": ("WA-MPJPE", 1000.0),
    "root_translation_error": ("RTE %", 100.0),
    "mpjve": ("MPJVE mm/s", 1000.0),
    "acceleration_error": ("accel. mm/s²", 1000.0),
    "jitter": ("jitter 10 m/s³", 0.1),
    "foot_slide": ("foot slide mm/s", 1000.0),
    "skating": ("skating %", 100.0),
    "pck": ("PCK@150 %", 100.0),
    "auc": ("AUC %", 100.0),
    "missing": ("missing %", 100.0),
    "unplaced": ("unplaced %", 100.0),
}
METRICS = tuple(COLUMNS)
# Which joints a row counts: by what the network was told of them.
OCCLUSIONS = ("all", "visible", "hidden", "fully hidden")

ANKLES = [SKELETON.names.index("right_ankle"), SKELETON.names.index("left_ankle")]
# Coordinates beyond this many metres are no metres.
FARTHEST = 200.0


class Predictions(NamedTuple):
    """What a network says of a set. joints: one (2, F, 17, 3) float32 array a scene, metres in camera axes,
    NaN for a person on the frames on which nothing is said of them. placed: (scenes, 2) False where only
    the pose is meant, not where in space the person is.
    """

    joints: tuple[np.ndarray, ...]
    placed: np.ndarray


class Judged(NamedTuple):
    """kinds: one a scene. sums: (scenes, M, 4, 2), total and count of each of METRICS over each of
    OCCLUSIONS, in metres and seconds.
    """

    kinds: tuple[str, ...]
    sums: np.ndarray


# Files


def write_inputs(path: Path, pairs: Sequence[MovingPair], name: str) -> Path:
    """Writes what a network may see of the scenes to a ``.npz`` of plain arrays, without the truth.

    Frames of all scenes (T) lie one after another; ``length`` (S,) cuts them. keypoints: (T, 2, 17, 2)
    float32 pixels, NaN where occluded, because our networks do not see those either. occluded: (T, 2, 17)
    True where the detector is unsure or the joint is outside the image. focal, center: (S, 2) float32 pixels.
    rotation, position: (T, 3, 3) and (T, 3), the camera's pose, x_camera = R (x_world − c), world z up, floor
    at 0. size: (S, 2) int32 image width and height. fps: (S,). joint_names, parents. set, sha256: which
    scenes these are. Raises ValueError for no scenes.
    """
    if not pairs:
        raise ValueError("pairs is empty: there is nothing to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    keypoints, occluded = (
        np.concatenate([np.swapaxes(getattr(pair, name), 0, 1) for pair in pairs])
        for name in ("keypoints", "occluded")
    )
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            keypoints=np.where(occluded[..., None], np.float32(np.nan), keypoints),
            occluded=occluded,
            rotation=np.concatenate([pair.extrinsics.rotation for pair in pairs]),
            position=np.concatenate([pair.extrinsics.position for pair in pairs]),
            focal=np.stack([pair.camera.focal for pair in pairs]),
            center=np.stack([pair.camera.center for pair in pairs]),
            size=np.array([(pair.width, pair.height) for pair in pairs], np.int32),
            fps=np.array([pair.fps for pair in pairs]),
            length=_lengths(pairs),
            joint_names=np.array(SKELETON.names),
            parents=np.array(SKELETON.parents, np.int32),
            set=np.array(name),
            sha256=np.array(fingerprint(pairs)),
        )
    return path


def write_predictions(path: Path, pairs: Sequence[MovingPair], found: Predictions) -> Path:
    """Writes a file that `read_predictions` takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            joints=np.concatenate([np.swapaxes(joints, 0, 1) for joints in found.joints]),
            placed=found.placed,
            sha256=np.array(fingerprint(pairs)),
        )
    return path


def read_predictions(path: Path, pairs: Sequence[MovingPair]) -> Predictions:
    """Reads somebody's predictions for the scenes of ``pairs`` from a ``.npz``.

    joints: (T, 2, 17, 3) floats, the frames and people in the order of the inputs, joints in the order of
    ``joint_names`` there, metres in camera axes (x right, y down, z ahead); NaN in all joints of a person on
    a frame says nothing of them. placed, if it is there: (S, 2) booleans, False where only the pose of a
    person in a scene is meant, not where in space they are. sha256, if it is there: that of the inputs.

    Never unpickles. Raises FileNotFoundError for a missing file and ValueError, with the file, scene and
    frame and the mend, for everything that is wrong inside one.
    """
    arrays = read_npz(path, ("joints",), optional=("placed", "sha256"))
    lengths = _lengths(pairs)
    joints = arrays["joints"]
    shape = (int(lengths.sum()), 2, SKELETON.num_joints, 3)
    if joints.shape != shape or joints.dtype.kind != "f":
        raise ValueError(
            f"{path}: joints has shape {joints.shape} and dtype {joints.dtype}, expected floats {shape}: "
            "give frames, people and joints in the order of the inputs (--write-inputs)"
        )
    placed = arrays.get("placed", np.ones((len(pairs), 2), bool))
    if placed.shape != (len(pairs), 2) or placed.dtype != bool:
        raise ValueError(
            f"{path}: placed has shape {placed.shape} and dtype {placed.dtype}, expected booleans "
            f"{(len(pairs), 2)}: give one a person and scene, or leave it out"
        )
    if "sha256" in arrays and str(arrays["sha256"]) != (expected := fingerprint(pairs)):
        raise ValueError(
            f"{path}: sha256 is {str(arrays['sha256'])[:64]!r}, the scenes have {expected}: name the set "
            "that these predictions are for (--set)"
        )
    starts = np.cumsum(lengths) - lengths

    def refuse(bad: np.ndarray, what: str) -> None:
        if bad.any():
            frame, person = (int(index[0]) for index in np.nonzero(bad))
            scene = int(np.searchsorted(starts, frame, side="right")) - 1
            raise ValueError(
                f"{path}: joints of person {person} in scene {scene}, frame {frame - starts[scene]} (row "
                f"{frame}), {what}"
            )

    unknown = np.isnan(joints).any(axis=-1)
    refuse(
        unknown.any(axis=-1) & ~unknown.all(axis=-1), "are NaN in part: give all 17, or NaN in all of them"
    )
    refuse(np.isinf(joints).any(axis=(-2, -1)), "are infinite: give finite metres")
    refuse(
        (np.abs(joints) > FARTHEST).any(axis=(-2, -1)),
        f"are beyond {FARTHEST:g} m: give metres, not millimetres",
    )
    there = np.repeat(placed, lengths, axis=0) & ~unknown[..., 0]
    if there.any() and np.median(joints[there][:, 0, 2]) <= 0:
        raise ValueError(
            f"{path}: most people stand behind the camera: give joints in camera axes, x right, y down, z "
            "ahead, or placed = False for poses without a place"
        )
    cut = np.split(np.swapaxes(joints, 0, 1).astype(np.float32), starts[1:], axis=1)
    return Predictions(tuple(cut), placed)


def _lengths(pairs: Sequence[MovingPair]) -> np.ndarray:
    return np.array([pair.keypoints.shape[1] for pair in pairs], np.int32)


# Predictions of this project's networks


def predict(
    loaded: LoadedLifter,
    pairs: Sequence[MovingPair],
    trajectory: TrajectoryConfig = TrajectoryConfig(),
    flip: bool = True,
) -> Predictions:
    """What one of our networks says of the scenes, placed by the trajectory solve. Raises ValueError for a
    network that finds roots instead of poses.
    """
    if loaded.network.target != "pose":
        raise ValueError("the network finds roots, not poses: give one whose target is the pose")
    joints: list[Any] = [None] * len(pairs)
    placed = np.zeros((len(pairs), 2), bool)
    for length, people in stretches_of(pairs).items():
        camera = Camera(people.focal, people.center)
        fps = pairs[0].fps
        answer = ask(loaded, people.keypoints, people.missed, camera, fps, trajectory, flip)
        root = jnp.where(answer.solved[:, None, None], answer.root, 0)
        found = np.asarray(answer.poses + root[:, :, None])
        scenes = np.flatnonzero(_lengths(pairs) == length)
        for place, scene in enumerate(scenes):
            joints[scene] = found[2 * place : 2 * place + 2]
            placed[scene] = np.asarray(answer.solved[2 * place : 2 * place + 2])
    return Predictions(tuple(joints), placed)


def truth(pairs: Sequence[MovingPair]) -> Predictions:
    """The true joints, whose jitter and foot slide are not zero."""
    return Predictions(tuple(pair.joints for pair in pairs), np.ones((len(pairs), 2), bool))


# Errors


def judge_pairs(found: Predictions, pairs: Sequence[MovingPair]) -> Judged:
    """Errors of ``found`` on the scenes, to be added up over those of a kind or all.

    Frames of which nothing is said count as missing, and as misses in PCK and AUC; nothing else counts them.
    People without a place count in no metric that needs one, nor do chunks of W-MPJPE of whose first frames
    nothing is said. What a metric makes of several frames, such as a velocity, is visible where its joint is
    on all of them, fully hidden where its person is on all of them, and hidden where it is not visible.
    """
    sums = []
    for pair, joints, placed in zip(pairs, found.joints, found.placed, strict=True):
        there = ~np.isnan(joints[..., 0, 0])
        extrinsics = Extrinsics(*map(jnp.asarray, pair.extrinsics))
        filled = np.nan_to_num(joints, nan=0.0)
        counted = _judge(filled, there, placed, pair.occluded, pair.joints, extrinsics, pair.fps)
        sums.append(np.stack([np.asarray(counted[name], np.float64) for name in METRICS]))
    return Judged(tuple(pair.kind for pair in pairs), np.stack(sums))


@partial(jax.jit, static_argnames="fps")
def _judge(
    joints: jax.Array,
    there: jax.Array,
    placed: jax.Array,
    occluded: jax.Array,
    target: jax.Array,
    extrinsics: Extrinsics,
    fps: float,
) -> dict[str, jax.Array]:
    """For each metric (4, 2), total and count over each of OCCLUSIONS. joints, target: (2, F, 17, 3); there:
    (2, F); placed: (2,); occluded: (2, F, 17).
    """
    root = jnp.where(placed[:, None, None], joints[:, :, 0], 0)
    values = errors(joints - joints[:, :, :1], root, target, fps)
    world, true_world = camera_to_world(joints, extrinsics), camera_to_world(target, extrinsics)
    known = jnp.broadcast_to(there[..., None], occluded.shape)
    located = known & placed[:, None, None]
    whole = jnp.broadcast_to(metrics.fully_hidden(occluded)[..., None], occluded.shape)
    hips, ankles = np.array([0]), np.array(ANKLES)

    def total(values: jax.Array, use: jax.Array, at: Any = slice(None)) -> jax.Array:
        """Sums and counts of values (2, steps, J) of the joints ``at``. Each is made of as many frames as
        there are fewer steps than frames, and one more, on all of which ``use`` must hold.
        """
        frames = use.shape[1] - values.shape[1] + 1
        seen, lost, usable = (metrics.consecutive(mask[..., at], frames) for mask in (~occluded, whole, use))
        # A chunk of W-MPJPE without a fit, and the share of a way of length zero, are NaN.
        groups = jnp.stack([jnp.ones_like(seen), seen, ~seen, lost]) & (usable & ~jnp.isnan(values))[None]
        added = jnp.sum(jnp.where(groups, values[None], 0), axis=(1, 2, 3))
        return jnp.stack([added, jnp.sum(groups, axis=(1, 2, 3)).astype(added.dtype)], axis=-1)

    slide = metrics.foot_slide(world[..., ankles, :], fps)
    # A foot that does not stand in the truth may move.
    standing = metrics.foot_contact(true_world[..., ankles, :], fps)
    slide, skating = (
        jnp.where(standing, number, jnp.nan)
        for number in (slide, (slide > metrics.SKATING_SPEED).astype(slide.dtype))
    )
    path = metrics.root_translation_error(world[:, :, 0], true_world[:, :, 0], located[..., 0])
    everything = jnp.ones_like(known)
    return {
        **{name: total(values[name], known) for name in ("pa_mpjpe", "mpjpe", "mpjve", "acceleration_error")},
        "n_mpjpe_absolute": total(values["n_mpjpe_absolute"], located),
        "root_error": total(values["root_error"][..., None], located, hips),
        "w_mpjpe": total(metrics.w_mpjpe(world, true_world, located), located),
        "wa_mpjpe": total(metrics.wa_mpjpe(world, true_world, located), located),
        "root_translation_error": total(path[..., None], located, hips),
        "jitter": total(metrics.jitter(world, fps), located),
        "foot_slide": total(slide, located, ankles),
        "skating": total(skating, located, ankles),
        **{name: total(jnp.where(known, values[name], 0), everything) for name in ("pck", "auc")},
        "missing": total((~known).astype(joints.dtype), everything),
        "unplaced": total((known & ~located).astype(joints.dtype), everything),
    }


# Tables


def rows_of(name: str, judged: Judged) -> tuple[list[list[str]], list[list[str]]]:
    """Rows by occlusion, and by kind of scene for all joints and the hidden ones."""
    by_occlusion = [[name, occlusion, *_cells(judged, occlusion)] for occlusion in OCCLUSIONS]
    by_kind = [
        [name, kind, occlusion, *_cells(judged, occlusion, kind)]
        for kind in KINDS
        if kind in judged.kinds
        for occlusion in ("all", "hidden")
    ]
    return by_occlusion, by_kind


def mean_error(judged: Judged, metric: str, occlusion: str = "all", kind: str | None = None) -> float:
    """A metric in its column's unit over the scenes of a kind, or all; NaN where it is nowhere defined."""
    value, count = _sums(judged, metric, occlusion, kind)
    return float(COLUMNS[metric][1] * value / count) if count else math.nan


def _sums(judged: Judged, metric: str, occlusion: str, kind: str | None) -> np.ndarray:
    where = np.array([kind in (None, each) for each in judged.kinds])
    return np.asarray(judged.sums[where, METRICS.index(metric), OCCLUSIONS.index(occlusion)].sum(axis=0))


def _cells(judged: Judged, occlusion: str, kind: str | None = None) -> list[str]:
    """The share of the joints that are so occluded, then each metric."""
    # Every joint has a part in AUC, said or not.
    (_, some), (_, every) = (_sums(judged, "auc", which, kind) for which in (occlusion, "all"))
    numbers = [mean_error(judged, metric, occlusion, kind) for metric in METRICS]
    return [f"{100 * some / every:.1f}", *("–" if math.isnan(one) else f"{one:.1f}" for one in numbers)]
