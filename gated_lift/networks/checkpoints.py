"""Checkpoints: Orbax files beside a sha256 manifest, because Orbax restores a flipped bit without a word."""

import functools
import itertools
import json
import logging
import re
import shutil
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from gated_lift.cameras import VirtualCamera, screen_focal
from gated_lift.networks import settings as networks
from gated_lift.networks import weights
from gated_lift.networks.infill import SETTINGS as INFILL_SETTINGS
from gated_lift.networks.infill import MotionInfill
from gated_lift.networks.manifest import (
    DamagedCheckpointError,
    compare,
    hash_file,
    hash_files,
    read_manifest,
    write_manifest,
)
from gated_lift.networks.protocol import Lifter
from gated_lift.networks.repository import MANIFEST, is_repository, read_repository, write_repository
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import Fill
from gated_lift.readers.json_file import read_json
from gated_lift.skeleton import H36M_17, SKELETONS, Skeleton

# What checkpoints older than a setting mean.
EARLIER = {"kind": TemporalLifter.__name__, "target": "pose", "fps": 50.0, "tilt": False, "confidence": False}


class IncompleteCheckpointWarning(UserWarning):
    """A checkpoint folder's newest step is not complete, and an older one was loaded in its place."""


class LoadedLifter(NamedTuple):
    """A network with its weights and what it was trained with, which whoever asks it has to keep to.

    network: a `protocol.Lifter`; its ``fps`` is the frame rate of training. skeleton: the joints that come in
    and go out. focal: what rays are multiplied by (`cameras.screen_focal` of the cameras of training).
    turned: whether everybody was turned to the middle of the picture (`observation.observe`).
    description: what was saved with the weights (network settings, training, licences).
    step: which of its folder's checkpoints it is; None for weights from elsewhere.
    """

    network: Any
    variables: Any
    skeleton: Skeleton
    focal: float
    turned: bool
    description: Any
    step: int | None = None


def without_weights(lifter: LoadedLifter) -> LoadedLifter:
    """What decides the function that is compiled, for `jax.jit` as a static argument."""
    return lifter._replace(variables=None, description=None, step=None)


def describe_lifter(lifter: Lifter) -> dict[str, Any]:
    """The kind of a lifter and the settings that decide its function, as plain JSON values."""
    settings = {name: getattr(lifter, name) for name in networks.setting_names(type(lifter))}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {"kind": type(lifter).__name__, **plain}


def save(
    directory: Path,
    step: int,
    variables: dict[str, Any],
    description: dict[str, Any],
    optimizer: Any = None,
    keep: int = 2,
) -> Path:
    """Writes ``directory/step`` and its manifest ``directory/step.sha256``; keeps the newest ``keep`` steps.

    variables: {"params", "batch_stats", …}. description: JSON values, with "network" from `describe_lifter`.
    optimizer: any pytree of arrays, needed to resume. The manifest is written last, so a step without one was
    interrupted; such remains are cleared away first. Older steps go only after the new one is complete.
    Raises ValueError for ``keep`` below 1 and unless ``step`` comes after every complete step of the folder,
    and TypeError for a ``description`` that JSON cannot hold.
    """
    return begin_save(directory, step, variables, description, optimizer, keep).result()


def begin_save(
    directory: Path,
    step: int,
    variables: dict[str, Any],
    description: dict[str, Any],
    optimizer: Any = None,
    keep: int = 2,
) -> Future[Path]:
    """Begins to save a step as `save` does, and returns as soon as the arrays may change: a thread writes the
    files, and the manifest after them.

    The result is there when the step is complete; an error of writing is raised when it is asked for. Wait
    for it before the next save into the same folder, which would take the unfinished step for an interrupted
    one and clear it away. Of several processes that train together, which all hold the same, one saves, from
    NumPy's arrays: it waits for no other.
    """
    directory = Path(directory).absolute()
    if keep < 1:
        raise ValueError(f"keep is {keep}: keep at least the step that is being saved")
    newest = newest_step(directory)
    if newest is not None and step <= newest:
        raise ValueError(
            f"step {step} does not come after step {newest}, which {directory} holds already: "
            "choose an empty folder or delete that one first"
        )
    json.dumps(description)  # fails here rather than in a thread of Orbax's, half way through
    _clear_interrupted(directory)
    items = {"variables": ocp.args.StandardSave(variables), "description": ocp.args.JsonSave(description)}
    if optimizer is not None:
        items["optimizer"] = ocp.args.StandardSave(optimizer)
    manager = _manager(directory, background=True)
    # JAX does not let a step overwrite what it was given to write to while somebody still reads it, so the
    # arrays may be donated from here on.
    if not manager.save(step, args=ocp.args.Composite(**items)):
        manager.close()
        raise RuntimeError(f"Orbax did not save step {step} to {directory}")
    executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
    finished = executor.submit(_finish, manager, directory, step, keep)
    executor.shutdown(wait=False)
    return finished


def _finish(manager: ocp.CheckpointManager, directory: Path, step: int, keep: int) -> Path:
    """Waits for a step's files, writes their manifest and removes what is no longer kept."""
    with manager:
        manager.wait_until_finished()
    # Orbax leaves the machine's folders in these markers; only that they exist is ever read of them.
    for marker in (directory / str(step)).rglob("commit_success.txt"):
        marker.write_text("")
    write_manifest(directory / f"{step}.sha256", hash_files(directory / str(step)))
    for stale in _complete_steps(directory)[:-keep]:
        # The manifest goes first: a step whose removal is interrupted must not look complete.
        (directory / f"{stale}.sha256").unlink()
        shutil.rmtree(directory / str(stale))
    return directory / str(step)


def newest_step(directory: Path) -> int | None:
    """The newest complete step in a checkpoint folder, or None."""
    return max(_complete_steps(Path(directory)), default=None)


def fingerprint(source: str | Path) -> str:
    """sha256 of the newest step's manifest, which holds those of all of its files: other weights have
    another, also where their folder and step are the same. source: as `load_lifter` takes it. Raises
    ValueError where there is no step.
    """
    folder = _folder_of(source)
    if is_repository(folder):
        return hash_file(folder / MANIFEST)
    directory, step = _locate(folder, None)
    return hash_file(directory / f"{step}.sha256")


def _complete_steps(directory: Path) -> list[int]:
    return [
        step
        for step in _begun_steps(directory)
        if (directory / f"{step}.sha256").is_file() and (directory / str(step)).is_dir()
    ]


def _begun_steps(directory: Path) -> list[int]:
    """Every step of which something is there: its folder, its manifest or what a save began with."""
    names = {path.name.partition(".")[0] for path in directory.glob("*")}
    return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name))


def _clear_interrupted(directory: Path) -> None:
    """Removes steps without a manifest. Orbax takes such a step for a good one: it would neither write it
    again nor save any earlier one, and report neither.
    """
    complete = {str(step) for step in _complete_steps(directory)}
    for path in directory.glob("*"):
        number, _, rest = path.name.partition(".")
        if not number.isdigit() or number in complete:
            continue
        if path.is_dir():
            # Orbax's temporary folders do no harm, and a save that failed may still be writing to one.
            shutil.rmtree(path, ignore_errors=bool(rest))
        else:
            path.unlink()


def verify(directory: Path, step: int) -> None:
    """Compares every file of a step with its manifest. Raises `DamagedCheckpointError`, a ValueError, which
    names the first that differs.
    """
    folder = Path(directory).absolute() / str(step)
    compare(folder, read_manifest(folder.with_suffix(".sha256")), hash_files(folder))


def set_aside_damaged(directory: Path) -> list[str]:
    """Renames every step that is newer than the newest intact one from ``step`` to ``damaged-step``, so that
    training can go on from the intact one, and returns a sentence for each that says what is wrong with it.

    Nothing is deleted. Raises `DamagedCheckpointError`, and renames nothing, where no step is intact.
    """
    directory = Path(directory).absolute()
    told: dict[int, str] = {}
    for step in reversed(_complete_steps(directory)):
        try:
            verify(directory, step)
            break
        except DamagedCheckpointError as error:
            told[step] = str(error)
    else:
        if told:
            raise DamagedCheckpointError(f"no step is intact: {told[max(told)]}")
    for step in told:
        aside = next(
            name
            for count in itertools.count(1)
            if not (name := directory / f"damaged-{step}{f'-{count}' * (count > 1)}").exists()
        )
        # The manifest goes first, as when a step is removed.
        (directory / f"{step}.sha256").rename(aside.with_name(aside.name + ".sha256"))
        (directory / str(step)).rename(aside)
    return list(told.values())


def load_lifter(source: str | Path = weights.DEFAULT, step: int | None = None) -> LoadedLifter:
    """Builds the lifter that a checkpoint describes and loads its weights, verified against the manifest.

    source: a name of `weights.SHIPPED` (a folder of that name in the working directory comes first), the
    folder that holds a checkpoint's steps, or one that `publish` wrote. The newest complete step is taken
    unless ``step`` names one, with an `IncompleteCheckpointWarning` when a newer one is there but not
    complete; the result's ``step`` says which was loaded. Weights stored in half precision come back as
    float32. Raises ValueError when the folder holds no checkpoint, when a file differs from the manifest,
    when the description cannot be read, when the weights do not fit the network that it names, and for a name
    that is not known, with those that are.
    """
    folder = _folder_of(source)
    if is_repository(folder):
        if step is not None:
            raise ValueError(f"step is {step}: {folder} holds one set of weights without a number")
        description, stored = read_repository(folder)
        lifter, expected = _build(description, folder)
        _check_fit(expected, stored, folder)
        return with_training(lifter, _in_single(stored), description)
    lifter, variables, description, step = _load(folder, step, _build)
    return with_training(lifter, variables, description, step)


class LoadedInfill(NamedTuple):
    """A `MotionInfill` with its weights, and what was saved with them."""

    network: MotionInfill
    variables: Any
    description: Any


def load_infill(source: str | Path = weights.INFILL, step: int | None = None) -> LoadedInfill:
    """The network that fills gaps of motion: the one that ships, or from another folder of checkpoints
    (`experiments.train_infill`). Raises ValueError as `load_lifter` does.
    """
    network, variables, description, _ = _load(Path(source), step, _build_infill)
    return LoadedInfill(network, variables, description)


def _load(directory: Path, step: int | None, build: Any) -> tuple[Any, Any, Any, int]:
    """The network that a step's description names (``build``), its variables as float32, the description and
    the step.
    """
    directory, step = _locate(directory, step)
    verify(directory, step)
    description = _read_description(directory, step)
    network, _ = build(description, directory)
    variables = _variables(directory, step, hash_file(directory / f"{step}.sha256"), build)
    # Arrays of the caller's own, who may give them to a program that writes over them.
    return network, jax.tree.map(jnp.array, variables), description, step


# TensorStore, which reads the arrays for Orbax, keeps a third of a megabyte each time that it does: weights
# that are asked for again and again, as when one video after the other is lifted, are read once.
@functools.lru_cache(maxsize=4)
def _variables(directory: Path, step: int, fingerprint: str, build: Any) -> Any:
    """The variables of a step that has been verified, as NumPy's arrays. fingerprint: sha256 of its manifest;
    another content of the same folder has another.
    """
    _, expected = build(_read_description(directory, step), directory)
    with _manager(directory) as manager:
        stored = manager.item_metadata(step)["variables"]
        _check_fit(expected, stored, directory)
        abstract = jax.tree.map(lambda leaf, saved: _here(leaf.shape, saved.dtype), expected, dict(stored))
        restored = manager.restore(
            step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(abstract))
        )
    return jax.tree.map(np.asarray, _in_single(restored["variables"]))


def _in_single(variables: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), variables)


def _read_description(directory: Path, step: int) -> Any:
    # Not by Orbax: it raises whatever damaged text makes Python's own JSON reader raise.
    return read_json(
        directory / str(step) / "description" / "metadata",
        "the description of a checkpoint",
        "restore the folder from its source or export it again",
        allow_nan=True,
    )


def _folder_of(source: str | Path) -> Path:
    folder = Path(source)
    if not isinstance(source, str) or folder.is_dir():
        return folder
    if source in weights.SHIPPED:
        return weights.SHIPPED[source]
    if folder.name == source and not folder.exists():
        raise ValueError(
            f"there are no weights {source!r}: choose from {'; '.join(summaries().values())}; or give the "
            "folder named 'checkpoints' of a training run"
        )
    return folder


def summaries() -> dict[str, str]:
    """A line about each of the weights that ship, by name: how large they are and what the network is."""
    found = {}
    for name, folder in weights.SHIPPED.items():
        directory, step = _locate(folder, None)
        network = _network_of(_read_description(directory, step))
        settings = describe_lifter(network)
        megabytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
        found[name] = (
            f"{name} ({megabytes:.1f} MB, {settings.get('gating', settings['kind'])}, "
            f"{'causal' if network.causal else 'centred'}, {network.receptive_field} frames at "
            f"{network.fps:g} a second)"
        )
    return found


def with_training(
    network: Lifter, variables: dict[str, Any], description: dict[str, Any], step: int | None = None
) -> LoadedLifter:
    """A network with what its description says of its training; what an older one does not say is as it was
    for all networks then. Raises ValueError for a skeleton that is not known here.
    """
    name = description.get("skeleton", H36M_17.name)
    if name not in SKELETONS:
        raise ValueError(f"the skeleton {name!r} is not known here: choose one of {', '.join(SKELETONS)}")
    view = description.get("view", {})
    camera = description.get("config", {}).get("camera", {})
    focal = view.get("focal", screen_focal(VirtualCamera(**camera)))
    turned = view.get("turned", "imported" not in description)
    return LoadedLifter(network, variables, SKELETONS[name], float(focal), bool(turned), description, step)


def restore_training(directory: Path, lifter: Lifter, optimizer: Any) -> tuple[int, dict[str, Any], Any]:
    """The newest step with its variables and optimiser state, exactly as they were saved.

    optimizer: a pytree (arrays or ShapeDtypeStructs) with the structure that was saved. Raises ValueError as
    `load_lifter` does, when the checkpoint was made for another network, naming each setting that differs,
    and when it holds no optimiser state or another optimiser's.
    """
    directory, step = _locate(directory, None)
    loaded = load_lifter(directory, step)
    wanted, found = describe_lifter(lifter), _in_todays_terms(loaded.description["network"])
    differing = [
        f"{name} is {found.get(name)!r} there and {wanted[name]!r} here"
        for name in wanted
        if found.get(name) != wanted[name]
    ]
    if differing:
        raise ValueError(
            f"checkpoint {directory} is for another network: {'; '.join(differing)}; "
            "resume with the settings of the run's config.json or choose another output folder"
        )
    return step, loaded.variables, _restore_optimizer(directory, step, optimizer)


def restore_infill_training(
    directory: Path, network: MotionInfill, optimizer: Any
) -> tuple[int, LoadedInfill, Any]:
    """The newest step of a training of ``network``, what `load_infill` makes of it, and the optimiser state.

    optimizer: as `restore_training` takes it. Raises ValueError as that does.
    """
    directory, step = _locate(directory, None)
    loaded = load_infill(directory, step)
    if loaded.network != network:
        raise ValueError(
            f"checkpoint {directory} is of a network with channels {loaded.network.channels} and depth "
            f"{loaded.network.depth}, not {network.channels} and {network.depth}: resume with the settings "
            "of the run's config.json or choose another output folder"
        )
    return step, loaded, _restore_optimizer(directory, step, optimizer)


def _restore_optimizer(directory: Path, step: int, optimizer: Any) -> Any:
    """The optimiser's state of a step; the arguments and errors are those of `restore_training`."""
    if not (directory / str(step) / "optimizer").is_dir():
        raise ValueError(
            f"checkpoint {directory} holds no optimiser state, as exported weights do not: resume from the "
            "checkpoints of the training run itself"
        )
    abstract = jax.tree.map(lambda leaf: _here(leaf.shape, leaf.dtype), optimizer)
    with _manager(directory) as manager:
        try:
            restored = manager.restore(
                step, args=ocp.args.Composite(optimizer=ocp.args.StandardRestore(abstract))
            )
        except ValueError as error:
            raise ValueError(
                f"checkpoint {directory} holds the state of another optimiser ({error}): resume with the one "
                "that the run began with"
            ) from error
    return restored["optimizer"]


def export(
    source: Path,
    target: Path,
    fill: Fill | None = None,
    earlier: Path | None = None,
    earlier_share: float = 0.5,
) -> Path:
    """Copies a checkpoint's newest weights, without optimiser and in float16, to a folder small enough to
    ship.

    fill: what stands for hidden keypoints from now on, in the place of what training had: curves (``cubic``)
    are nearer to the truth than lines, and cost training more than they gain it.
    earlier: a checkpoint that ``source`` was trained on from. What ships then are means, with this share of
    the earlier weights (and running statistics), which keep most of what either is good at; Wortsman et al.,
    Model soups, 2022.

    Raises ValueError as `load_lifter` does, when ``target`` holds a checkpoint already, when the share is not
    between 0 and 1, and when the two networks are not alike.
    """
    loaded = load_lifter(source)
    variables, mixed = loaded.variables, {}
    if earlier is not None:
        if not 0 <= earlier_share <= 1:
            raise ValueError(f"earlier_share is {earlier_share}: give a share between 0 and 1")
        before = load_lifter(earlier)
        if before.network != loaded.network:
            raise ValueError(
                f"earlier {earlier} holds another network than {source}: give weights of the same settings"
            )
        variables = jax.tree.map(
            lambda one, other: earlier_share * one + (1 - earlier_share) * other, before.variables, variables
        )
        mixed = {"mixed": {"earlier": _name_of(earlier), "earlier_share": earlier_share}}
    variables, description = _to_ship(loaded._replace(variables=variables))
    description |= mixed
    if fill is not None:
        description["network"] = {**description["network"], "fill": fill}
    return save(target, 0, variables, description, keep=1)


def publish(source: str | Path, target: Path, card: str) -> Path:
    """Writes the weights, in float16 and without optimiser, as a repository of the Hugging Face Hub
    (`repository`). source: as `load_lifter` takes it. card: the text of its README.md.

    Raises ValueError as `load_lifter` does, and when ``target`` holds such weights already.
    """
    write_repository(target, *_to_ship(load_lifter(source)), card)
    return target


def _name_of(checkpoint: Path) -> str:
    """Of a training's folder, which holds those that have checkpoints in them."""
    return (checkpoint.parent if checkpoint.name in ("checkpoints", "best") else checkpoint).name


def _to_ship(loaded: LoadedLifter) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables in float16 and what to say of them, without folders of the machine that trained."""
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), loaded.variables)
    description = dict(loaded.description)
    config = description.get("config")
    if isinstance(config, dict):
        kept = {name: value for name, value in config.items() if name != "output"}
        description["config"] = kept | {"data": [Path(str(path)).name for path in config.get("data", ())]}
        if kept.get("start_from"):
            description["config"]["start_from"] = _name_of(Path(kept["start_from"]))
    return variables, description


def _here(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """An array on this process's first device, wherever it was when it was saved."""
    return jax.ShapeDtypeStruct(
        shape, dtype, sharding=jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    )


def _manager(directory: Path, background: bool = False) -> ocp.CheckpointManager:
    # Orbax reports every save and restore as a warning in places; a run's own log says it better.
    logging.getLogger("absl").setLevel(logging.ERROR)
    alone: dict[str, Any] = {}
    if jax.process_count() > 1:
        # By default all processes would have to call this at the same time, and wait for each other under one
        # name, so that two folders could not be written side by side.
        me = jax.process_index()
        alone["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
            primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"{me}{directory}"
        )
        directory.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=background, create=not alone, **alone)
    handlers = {
        "variables": ocp.StandardCheckpointHandler(**alone),
        "optimizer": ocp.StandardCheckpointHandler(**alone),
        "description": ocp.JsonCheckpointHandler(**alone),
    }
    return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def _locate(directory: Path, step: int | None) -> tuple[Path, int]:
    directory = Path(directory).absolute()
    if step is None:
        step = newest_step(directory)
        newest = max(_begun_steps(directory), default=None)
        if step is not None and newest != step:
            warnings.warn(
                f"checkpoint {directory}: step {step} is taken, since the newer step {newest} has not both "
                f"its folder and its manifest ({newest}.sha256): it is still being saved, was interrupted or "
                f"copied in part; copy it again whole, or give step={step} to take that one on purpose",
                IncompleteCheckpointWarning,
                stacklevel=3,
            )
    if step is None or not (directory / str(step)).is_dir():
        raise ValueError(
            f"checkpoint {directory} holds no complete step: give the folder named 'checkpoints' of a "
            f"training run, or one of {', '.join(weights.SHIPPED)}, which ship"
        )
    return directory, step


def _build(description: Any, directory: Path) -> tuple[Any, dict[str, Any]]:
    """The lifter that a description names, with the shapes of its variables."""
    try:
        lifter = _network_of(description)
        return lifter, _abstract_variables(lifter)
    # Settings of other software may fail anywhere in the code of a network, and in Flax.
    except Exception as error:
        raise ValueError(
            f"checkpoint {directory} does not describe a lifter that is known here ({error!r}): it was "
            "written by other software or another version; export it again"
        ) from error


def _network_of(description: Any) -> Any:
    """The lifter that a description names; raises whatever a description of something else brings about."""
    described = _in_todays_terms(description["network"])
    kind = {kind.__name__: kind for kind in networks.KINDS}[described["kind"]]
    settings = {name: described[name] for name in networks.setting_names(kind)}
    return kind(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    )


def _build_infill(description: Any, directory: Path) -> tuple[MotionInfill, dict[str, Any]]:
    """The infill network that a description names, with the shapes of its variables."""
    try:
        described, known = description["network"], MotionInfill.__name__
        if described["kind"] != known:
            raise ValueError(f"its network is a {described['kind']}")
        network = MotionInfill(**{name: described[name] for name in INFILL_SETTINGS})
        return network, jax.eval_shape(network.init, jax.random.key(0), network.blank())
    # As in `_build`.
    except Exception as error:
        raise ValueError(
            f"checkpoint {directory} does not describe an infill network that is known here "
            f"({error!r}): it was written by other software or another version; train it again"
        ) from error


def _in_todays_terms(described: dict[str, Any]) -> dict[str, Any]:
    """A network's description with the settings that older checkpoints lack or had in other units."""
    described = EARLIER | described
    if "fade_frames" in described:  # until 0.2 fades were frames of 50 a second
        described["fade_seconds"] = [frames / 50 for frames in described.pop("fade_frames")]
    return described


def _abstract_variables(lifter: Any) -> dict[str, Any]:
    frames = lifter.receptive_field
    keypoints = jax.ShapeDtypeStruct((1, frames, lifter.num_joints, 2), jnp.float32)
    occluded = jax.ShapeDtypeStruct((1, frames, lifter.num_joints), jnp.bool_)
    return jax.eval_shape(lifter.init, jax.random.key(0), keypoints, occluded)


def _check_fit(expected: Any, stored: Any, directory: Path) -> None:
    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}

    wanted, found = shapes(expected), shapes(dict(stored))
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"checkpoint {directory}: {name} has shape {found.get(name)} where the described network "
                f"has {wanted.get(name)}; the weights belong to another network"
            )
    halves = (jnp.float16, jnp.bfloat16, jnp.float32)
    for path, leaf in jax.tree_util.tree_leaves_with_path(dict(stored)):
        if leaf.dtype not in halves:
            raise ValueError(
                f"checkpoint {directory}: {jax.tree_util.keystr(path)} has dtype {leaf.dtype}; "
                "expected floats"
            )
