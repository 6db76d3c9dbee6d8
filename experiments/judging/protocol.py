"""What every evaluation asks of a network and counts of its answers, whatever the people come from."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.judging.totals import RUNS, Condition
from gated_lift import metrics, pipeline
from gated_lift.networks import checkpoints
from gated_lift.occlusion import run_length
from gated_lift.skeleton import H36M_17 as SKELETON
from solvers import Camera, TrajectoryConfig, solve_trajectory


def network_names(checkpoints: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    """What to call each network: its own name, or its run folder's, so that runs/small/two_stream/checkpoints
    is called two_stream. Raises ValueError unless every checkpoint has a name of its own.
    """
    paths = [path.absolute() for path in checkpoints]
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


lift = jax.jit(pipeline.lift, static_argnums=(0, 5, 6, 7))


@partial(jax.jit, static_argnames=("fps", "trajectory"))
def judge(
    poses: jax.Array,
    keypoints: jax.Array,
    occluded: jax.Array,
    joints: jax.Array,
    camera: Camera,
    fps: float,
    trajectory: TrajectoryConfig,
    root: jax.Array | None = None,
    confidence: jax.Array | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """(sum, count) of every metric for each person: the frames that it is defined on are added up by the
    caller.

    Apart from the lifter, so that the solve is compiled once for all networks. root: (N, F, 3) metres, where
    something else than `solve_trajectory` places the people. confidence: (J,) of every joint, for the solve.
    """
    if root is None:
        if confidence is not None:
            confidence = jnp.broadcast_to(confidence, occluded.shape)
        solution = solve_trajectory(poses, keypoints, occluded, camera, trajectory, confidence=confidence)
        root, solved = solution.root, pipeline.solved(solution.status)
    else:
        solved = jnp.all(jnp.isfinite(root), axis=(-2, -1))
    truth = joints - joints[..., :1, :]
    root = jnp.where(solved[:, None, None], root, 0)
    absolute = poses + root[..., None, :]
    placed = jnp.broadcast_to(solved[:, None], occluded.shape[:2])
    root_error = metrics.root_error(root, joints[..., 0, :])
    aligned = metrics.pa_mpjpe(poses, truth)
    run = run_length(occluded)

    def total(values: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        axes = tuple(range(1, values.ndim))
        where = jnp.ones(values.shape, bool) if where is None else jnp.broadcast_to(where, values.shape)
        return jnp.sum(jnp.where(where, values, 0), axes), jnp.sum(where, axes)

    return {
        "hidden": total(occluded.astype(jnp.float32)),
        "pa_mpjpe": total(aligned),
        "mpjpe": total(metrics.mpjpe(poses, truth)),
        "n_mpjpe_absolute": total(metrics.n_mpjpe(absolute, joints), placed[..., None]),
        "mpjve": total(metrics.mpjve(poses, truth, fps)),
        "acceleration_error": total(metrics.acceleration_error(poses, truth, fps)),
        "pck": total(metrics.pck(poses, truth).astype(jnp.float32)),
        "auc": total(metrics.auc(poses, truth)),
        "root_error": total(root_error, placed),
        "root_error_fully_hidden": total(root_error, placed & metrics.fully_hidden(occluded)),
        "unsolved": total(1 - solved.astype(jnp.float32)[:, None]),
        **{
            name: total(aligned, (run >= shortest) & (run <= longest))
            for name, (shortest, longest) in RUNS.items()
        },
    }


def ask(
    network: checkpoints.LoadedLifter,
    keypoints: jax.Array,
    occluded: jax.Array,
    camera: Camera,
    flip: bool,
    focal: float,
) -> jax.Array:
    """What a network makes of people (`pipeline.lift`)."""
    return lift(network.lifter, network.variables, keypoints, occluded, camera, SKELETON, flip, focal)
