"""Weights in the layout of a repository of the Hugging Face Hub: a model card, a configuration, one file of
arrays, and the manifest of both.

    README.md      the model card, with front matter in YAML
    config.json    the description of the network and of its training
    model.msgpack  the variables, as Flax writes them
    model.sha256   the sha256 of config.json and model.msgpack

Files only: `checkpoints.publish` writes such a folder, `checkpoints.load_lifter` reads it.
"""

import json
from pathlib import Path
from typing import Any

from flax import serialization

from gated_lift.networks.manifest import compare, hash_file, read_manifest, write_manifest
from gated_lift.readers.json_file import read_json

CARD, CONFIG, WEIGHTS, MANIFEST = "README.md", "config.json", "model.msgpack", "model.sha256"


def is_repository(folder: Path) -> bool:
    """Whether the folder holds weights in this layout, damaged ones included."""
    return (folder / WEIGHTS).is_file() or (folder / MANIFEST).is_file()


def write_repository(folder: Path, variables: dict[str, Any], description: dict[str, Any], card: str) -> None:
    """Writes the files, the manifest last. Raises ValueError where the folder holds such weights already."""
    if is_repository(folder):
        raise ValueError(f"{folder} holds weights already: choose an empty folder or delete those first")
    text = json.dumps(description, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / CONFIG).write_text(text, encoding="utf-8")
    (folder / WEIGHTS).write_bytes(serialization.msgpack_serialize(variables))
    write_manifest(folder / MANIFEST, {name: hash_file(folder / name) for name in (CONFIG, WEIGHTS)})


def read_repository(folder: Path) -> tuple[Any, Any]:
    """The description and the variables (NumPy arrays), verified against the manifest: raises ValueError for
    a file that differs or is missing. The card is not of the manifest; it may be edited on the Hub.
    """
    here = [name for name in (CONFIG, WEIGHTS) if (folder / name).is_file()]
    compare(folder, read_manifest(folder / MANIFEST), {name: hash_file(folder / name) for name in here})
    description = read_json(
        folder / CONFIG, "the description of a network", "copy the folder again from its source", True
    )
    return description, serialization.msgpack_restore((folder / WEIGHTS).read_bytes())
