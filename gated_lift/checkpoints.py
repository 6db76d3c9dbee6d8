"""Checkpoints: Orbax files beside a sha256 manifest, because Orbax restores a flipped bit without a word."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from gated_lift.lifter import TemporalLifter

NETWORK_SETTINGS = (
    "gating",
    "channels",
    "filter_widths",
    "num_joints",
    "causal",
    "dropout",
    "fill",
    "mask_per_coordinate",
    "gate_residual",
)


class LoadedLifter(NamedTuple):
    """A lifter with its weights. description: what was saved with them (network settings, skeleton, training, licence)."""

    lifter: TemporalLifter
    variables: dict[str, Any]
    description: dict[str, Any]


def describe_lifter(lifter: TemporalLifter) -> dict[str, Any]:
    """The settings that decide a lifter's function, as plain JSON values."""
    settings = {name: getattr(lifter, name) for name in NETWORK_SETTINGS}
    return {**settings, "filter_widths": list(lifter.filter_widths)}


def save(
    directory: Path,
    step: int,
    variables: dict[str, Any],
    description: dict[str, Any],
    optimizer: Any = None,
    keep: int = 2,
) -> Path:
    """Writes ``directory/step`` and its manifest ``directory/step.sha256``; keeps the newest ``keep`` steps.

    variables: {"params", "batch_stats"}. description: JSON values, with "network" from `describe_lifter`. optimizer: any
    pytree of arrays, needed to resume. The manifest is written last, so a step without one was interrupted.
    """
    directory = Path(directory).absolute()
    items = {"variables": ocp.args.StandardSave(variables), "description": ocp.args.JsonSave(description)}
    if optimizer is not None:
        items["optimizer"] = ocp.args.StandardSave(optimizer)
    with _manager(directory, keep) as manager:
        manager.save(step, args=ocp.args.Composite(**items))
        manager.wait_until_finished()
    if jax.process_index() == 0:
        manifest = directory / f"{step}.sha256"
        manifest.with_suffix(".partial").write_text(json.dumps(_hash_files(directory / str(step)), indent=1))
        manifest.with_suffix(".partial").replace(manifest)
        for stale in directory.glob("*.sha256"):
            if not (directory / stale.stem).exists():
                stale.unlink()
    return directory / str(step)


def newest_step(directory: Path) -> int | None:
    """The newest complete step in a checkpoint folder, or None."""
    manifests = Path(directory).glob("*.sha256")
    steps = [int(path.stem) for path in manifests if path.stem.isdigit() and path.with_suffix("").is_dir()]
    return max(steps, default=None)


def verify(directory: Path, step: int) -> None:
    """Compares every file of a step with its manifest; raises ValueError naming the first that differs."""
    folder = Path(directory).absolute() / str(step)
    manifest = folder.with_suffix(".sha256")
    try:
        expected = json.loads(manifest.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint {folder} has no readable manifest ({manifest.name}): it was interrupted or copied in part; "
            "use another step or copy the whole folder again"
        ) from error
    found = _hash_files(folder)
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            state = "is missing" if name not in found else "was added" if name not in expected else "has changed"
            raise ValueError(
                f"checkpoint {folder}: the file {name} {state} since it was saved; "
                "the weights cannot be trusted, restore the folder from its source"
            )


def load_lifter(directory: Path, step: int | None = None) -> LoadedLifter:
    """Builds the lifter that a checkpoint describes and loads its weights, verified against the manifest.

    directory: the folder that holds the steps; the newest complete step is taken unless ``step`` names one. Weights stored
    in half precision come back as float32. Raises ValueError when the folder holds no checkpoint, when a file differs from the
    manifest, and when the weights do not fit the network that the description names.
    """
    directory, step = _locate(directory, step)
    verify(directory, step)
    with _manager(directory) as manager:
        description = manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))["description"]
        lifter = _build(description, directory)
        expected = _abstract_variables(lifter)
        stored = manager.item_metadata(step)["variables"]
        _check_fit(expected, stored, directory)
        abstract = jax.tree.map(lambda leaf, saved: jax.ShapeDtypeStruct(leaf.shape, saved.dtype), expected, dict(stored))
        restored = manager.restore(step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(abstract)))
    variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), restored["variables"])
    return LoadedLifter(lifter, variables, description)


def restore_training(directory: Path, lifter: TemporalLifter, optimizer: Any) -> tuple[int, dict[str, Any], Any]:
    """The newest step with its variables and optimiser state, exactly as they were saved.

    optimizer: a pytree (arrays or ShapeDtypeStructs) with the structure that was saved. Raises ValueError as `load_lifter`
    does, and when the checkpoint was made for another network, naming each setting that differs.
    """
    directory, step = _locate(directory, None)
    loaded = load_lifter(directory, step)
    wanted, found = describe_lifter(lifter), loaded.description["network"]
    differing = [f"{name} is {found.get(name)!r} there and {wanted[name]!r} here" for name in wanted if found.get(name) != wanted[name]]
    if differing:
        raise ValueError(
            f"checkpoint {directory} is for another network: {'; '.join(differing)}; "
            "resume with the settings of the run's config.json or choose another output folder"
        )
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), optimizer)
    with _manager(directory) as manager:
        restored = manager.restore(step, args=ocp.args.Composite(optimizer=ocp.args.StandardRestore(abstract)))
    return step, loaded.variables, restored["optimizer"]


def export(source: Path, target: Path) -> Path:
    """Copies a checkpoint's newest weights, without its optimiser and in float16, to a folder that is small enough to ship."""
    loaded = load_lifter(source)
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), loaded.variables)
    return save(target, 0, variables, loaded.description, keep=1)


def _manager(directory: Path, keep: int | None = None) -> ocp.CheckpointManager:
    # Orbax reports every save and restore on the root logger's warning level in places; a run's own log says it better.
    logging.getLogger("absl").setLevel(logging.ERROR)
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    handlers = {
        "variables": ocp.StandardCheckpointHandler(),
        "optimizer": ocp.StandardCheckpointHandler(),
        "description": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def _locate(directory: Path, step: int | None) -> tuple[Path, int]:
    directory = Path(directory).absolute()
    step = newest_step(directory) if step is None else step
    if step is None or not (directory / str(step)).is_dir():
        raise ValueError(
            f"checkpoint {directory} holds no complete step: give the folder named 'checkpoints' of a training run"
        )
    return directory, step


def _hash_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _build(description: Any, directory: Path) -> TemporalLifter:
    try:
        settings = {name: description["network"][name] for name in NETWORK_SETTINGS}
        return TemporalLifter(**{**settings, "filter_widths": tuple(settings["filter_widths"])})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"checkpoint {directory} does not describe a TemporalLifter ({error!r}): it was written by other software "
            "or another version; export it again"
        ) from error


def _abstract_variables(lifter: TemporalLifter) -> dict[str, Any]:
    frames = lifter.receptive_field
    keypoints = jax.ShapeDtypeStruct((1, frames, lifter.num_joints, 2), jnp.float32)
    occluded = jax.ShapeDtypeStruct((1, frames, lifter.num_joints), jnp.bool_)
    return jax.eval_shape(lifter.init, jax.random.key(0), keypoints, occluded)


def _check_fit(expected: Any, stored: Any, directory: Path) -> None:
    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}

    wanted, found = shapes(expected), shapes(dict(stored))
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"checkpoint {directory}: {name} has shape {found.get(name)} where the described network has "
                f"{wanted.get(name)}; the weights belong to another network"
            )
    halves = (jnp.float16, jnp.bfloat16, jnp.float32)
    for path, leaf in jax.tree_util.tree_leaves_with_path(dict(stored)):
        if leaf.dtype not in halves:
            raise ValueError(f"checkpoint {directory}: {jax.tree_util.keystr(path)} has dtype {leaf.dtype}; expected floats")
