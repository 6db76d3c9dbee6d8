"""What every evaluation asks of a network and counts of its answers, whatever the people come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.judging.totals import RUNS, Condition
from gated_lift import LoadedLifter, has_path, lift, metrics, recover
from gated_lift.networks.checkpoints import without_weights
from gated_lift.occlusion import run_length
from gated_lift.pipeline import POSE_SMOOTHING
from gated_lift.recovery.sharing import share_rows
from solvers import Camera, TrajectoryConfig, solve_trajectory


def network_names(checkpoints: Sequence[str | Path], names: Sequence[str]) -> tuple[str, ...]:
    """What to call each network: its own name, or its run folder's, so that runs/small/two_stream/checkpoints
    is called two_stream. Raises ValueError unless every checkpoint has a name of its own.
    """
    paths = [Path(each).absolute() for each in checkpoints]
    folders = [path.parent.name if path.name == "checkpoints" else path.name for path in paths]
    chosen = tuple(names or folders)
    if len(chosen) != len(paths) or len(set(chosen)) != len(chosen):
        raise ValueError(f"names {chosen}: give one name a checkpoint ({len(paths)}), each once")
    return chosen


def mask_key(seed: int, condition: Condition, length: int) -> jax.Array:
    """A condition's masks depend on itself alone, not on what else is judged."""
    key = jax.random.fold_in(jax.random.key(seed + 1), length)
    for number in (condition.masks == "body", round(1e6 * condition.ratio), condition.kernel_frames):
        key = jax.random.fold_in(key, number)
    return key


# Seconds; networks are judged as users get them.
SMOOTHING = POSE_SMOOTHING


class Answer(NamedTuple):
    """What is judged of N people. poses: (N, F, J, 3) metres, camera axes. root: (N, F, 3); anything where
    not solved. solved: (N,).
    """

    poses: jax.Array
    root: jax.Array
    solved: jax.Array


class _Asked(NamedTuple):
    """What is asked of a network, compiled in; it comes without its weights."""

    network: LoadedLifter
    fps: float
    flip: bool
    trajectory: TrajectoryConfig = TrajectoryConfig()
    smoothing: float = 0.0


class _Rows(NamedTuple):
    """What is shown of N people. keypoints: (N, F, J, 2). occluded: (N, F, J). camera, lifted_from: fields
    (N, …).
    """

    keypoints: jax.Array
    occluded: jax.Array
    camera: Camera
    lifted_from: Camera | None = None


def ask(
    network: LoadedLifter,
    keypoints: jax.Array,
    occluded: jax.Array,
    camera: Camera,
    fps: float,
    trajectory: TrajectoryConfig,
    flip: bool,
    confidence: jax.Array | None = None,
    lifted_from: Camera | None = None,
) -> Answer:
    """What `recover` makes of people, also where they are not seen. The devices of the process share them.

    camera: one a person, fields (N, …). confidence: (J,) of every joint, for the solve. lifted_from: the
    cameras whose rays the network is given as they are, for networks that were trained elsewhere; people are
    placed before ``camera`` all the same.
    """
    asked = _Asked(without_weights(network), fps, flip, trajectory, SMOOTHING)
    rows = _Rows(keypoints, occluded, camera, lifted_from)
    return _ask(asked, (network.variables, confidence), rows)


@share_rows
def _ask(asked: _Asked, whole: tuple[Any, jax.Array | None], rows: _Rows) -> Answer:
    variables, confidence = whole
    network, (keypoints, occluded, camera, lifted_from) = asked.network._replace(variables=variables), rows
    if lifted_from is not None:
        raw = network._replace(focal=1.0, turned=False)
        poses = lift(raw, keypoints, occluded, lifted_from, asked.fps, asked.flip)
        placed = solve_trajectory(poses, keypoints, occluded, camera, asked.trajectory, fps=asked.fps)
        return Answer(poses, placed.root, has_path(placed.status))
    found = recover(
        network,
        keypoints,
        occluded,
        camera,
        asked.fps,
        confidence=None if confidence is None else jnp.broadcast_to(confidence, occluded.shape),
        trajectory=asked.trajectory,
        flip=asked.flip,
        keep_absent=True,
        pose_smoothing=asked.smoothing,
    )
    # Who does not fit their keypoints counts with the path that they have, however bad.
    return Answer(found.poses, found.root, has_path(found.status))


def ask_root(
    network: LoadedLifter,
    keypoints: jax.Array,
    occluded: jax.Array,
    camera: Camera,
    fps: float,
    flip: bool,
) -> jax.Array:
    """Where a network whose target is the root places people, (N, F, 3)."""
    asked = _Asked(without_weights(network), fps, flip)
    return _lift(asked, network.variables, _Rows(keypoints, occluded, camera))[..., 0, :]


@share_rows
def _lift(asked: _Asked, variables: Any, rows: _Rows) -> jax.Array:
    network = asked.network._replace(variables=variables)
    return lift(network, rows.keypoints, rows.occluded, rows.camera, asked.fps, asked.flip)


def place_by(answer: Answer, root: jax.Array) -> Answer:
    """The same poses, placed by something else than the trajectory solve."""
    return Answer(answer.poses, root, jnp.all(jnp.isfinite(root), axis=(-2, -1)))


def errors(poses: jax.Array, root: jax.Array, joints: jax.Array, fps: float) -> dict[str, jax.Array]:
    """Values of the metrics of people before a camera: (N, F, J), (N, F − 1, J) for velocities, (N, F − 2, J)
    for accelerations, (N, F) for the root. poses, root: as in `Answer`. joints: (N, F, J, 3) the truth.
    """
    truth = joints - joints[..., :1, :]
    return {
        "pa_mpjpe": metrics.pa_mpjpe(poses, truth),
        "mpjpe": metrics.mpjpe(poses, truth),
        "n_mpjpe_absolute": metrics.n_mpjpe(poses + root[..., None, :], joints),
        "mpjve": metrics.mpjve(poses, truth, fps),
        "acceleration_error": metrics.acceleration_error(poses, truth, fps),
        "pck": metrics.pck(poses, truth).astype(jnp.float32),
        "auc": metrics.auc(poses, truth),
        "root_error": metrics.root_error(root, joints[..., 0, :]),
    }


def judge(
    answer: Answer, occluded: jax.Array, joints: jax.Array, fps: float
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """(sum, count) of every metric for each person: the frames that it is defined on are added up by the
    caller. joints: (N, F, J, 3) the truth, camera axes. The devices of the process share the people.
    """
    return _judge(fps, None, (answer, occluded, joints))


@share_rows
def _judge(
    fps: float, whole: None, rows: tuple[Answer, jax.Array, jax.Array]
) -> dict[str, tuple[jax.Array, jax.Array]]:
    answer, occluded, joints = rows
    solved = answer.solved
    root = jnp.where(solved[:, None, None], answer.root, 0)
    found = errors(answer.poses, root, joints, fps)
    placed = jnp.broadcast_to(solved[:, None], occluded.shape[:2])
    run = run_length(occluded)

    def total(values: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        axes = tuple(range(1, values.ndim))
        where = jnp.ones(values.shape, bool) if where is None else jnp.broadcast_to(where, values.shape)
        return jnp.sum(jnp.where(where, values, 0), axes), jnp.sum(where, axes)

    need_a_place = {"n_mpjpe_absolute": placed[..., None], "root_error": placed}
    return {
        "hidden": total(occluded.astype(jnp.float32)),
        **{name: total(values, need_a_place.get(name)) for name, values in found.items()},
        "root_error_fully_hidden": total(found["root_error"], placed & metrics.fully_hidden(occluded)),
        "unsolved": total(1 - solved.astype(jnp.float32)[:, None]),
        **{
            name: total(found["pa_mpjpe"], (run >= shortest) & (run <= longest))
            for name, (shortest, longest) in RUNS.items()
        },
    }
