"""Manifests: which files belong to weights, with the sha256 of each, in JSON."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gated_lift.readers.json_file import read_object


class DamagedCheckpointError(ValueError):
    """Files are not those that their manifest lists; the message names the first that differs."""


def hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def write_manifest(path: Path, hashes: Mapping[str, str]) -> None:
    """All or nothing, and last: files without a manifest are those of an interrupted save."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dict(hashes), indent=1))
    partial.replace(path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises `DamagedCheckpointError` where the manifest is missing or no manifest."""
    try:
        return read_object(path, "a manifest", "copy it again")
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(
            f"checkpoint {path.with_suffix('')} has no readable manifest ({path.name}): it was interrupted "
            "or copied in part; use another step or copy the whole folder again"
        ) from error


def compare(folder: Path, expected: Mapping[str, Any], found: Mapping[str, str]) -> None:
    """Raises `DamagedCheckpointError` for the first file of ``folder`` that is not what the manifest says."""
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            state = (
                "is missing" if name not in found else "was added" if name not in expected else "has changed"
            )
            raise DamagedCheckpointError(
                f"checkpoint {folder}: the file {name} {state} since it was saved; "
                "the weights cannot be trusted, restore the folder from its source"
            )
