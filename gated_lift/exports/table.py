"""The formats by name, and writing people in one or several of them."""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from gated_lift.exports import bvh, c3d, csv_file, glb, json_file, npz, trc
from gated_lift.exports.axes import Up
from gated_lift.exports.files import require
from gated_lift.outputs import Writer, write_whole
from gated_lift.people import LiftedPeople

# What a format's function takes and returns: the files to be, with what writes each. It looks at everything
# that can be wrong with the people first, and writes nothing itself.
Plan = Callable[[LiftedPeople, Path, Up | None], dict[Path, Writer]]

# Libraries of the extra "exports", and formats that hold one person a file.
LIBRARIES = {"c3d": "ezc3d", "glb": "pygltflib"}
ONE_A_PERSON = ("trc", "bvh")

# A format's name is the suffix of its files.
EXPORTS: dict[str, Plan] = {
    "npz": npz.plan,
    "json": json_file.plan,
    "csv": csv_file.plan,
    "trc": trc.plan,
    "c3d": c3d.plan,
    "bvh": bvh.plan,
    "glb": glb.plan,
}


def export(
    people: LiftedPeople,
    path: str | Path,
    format: str | None = None,
    up: Up | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Writes people to a file, and returns the paths of what was written.

    format: one of `EXPORTS`, or None for the one that the path's suffix names. TRC and BVH hold one person a
    file: of several, each is written to "NAME_PERSON.suffix" beside the path.
    up: "y" or "z" is up in the file; None is the format's own: y for TRC, C3D, BVH and GLB, and for the
    others the axes that the people were lifted in.

    Every file appears whole or not at all. Raises ValueError for an unknown format and for what the format's
    function says, FileExistsError for an existing file unless ``overwrite``, other OSErrors for a folder that
    cannot be written, and ImportError for a missing library; all in one line, with the mend.
    """
    path = Path(path)
    named = path.suffix.lstrip(".") if format is None else format
    return write_whole(_plan(people, path, named, up), overwrite)


def export_all(
    people: LiftedPeople,
    folder: str | Path,
    name: str,
    formats: Sequence[str] = tuple(EXPORTS),
    up: Up | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Writes people to "folder/name.FORMAT" in every one of ``formats``: all of these files, or none.

    ``up`` is for the formats that can hold it: BVH and GLB stay y up. Otherwise as `export`.
    """
    return write_whole(plan_all(people, folder, name, formats, up), overwrite)


def plan_all(
    people: LiftedPeople,
    folder: str | Path,
    name: str,
    formats: Sequence[str] = tuple(EXPORTS),
    up: Up | None = None,
) -> dict[Path, Writer]:
    """What `export_all` writes, for `outputs.write_whole` of several files at once."""
    files: dict[Path, Writer] = {}
    for format in formats:
        fixed = format in ("bvh", "glb")
        files |= _plan(people, Path(folder) / f"{name}.{format}", format, None if fixed else up)
    return files


def possible_paths(folder: str | Path, name: str, formats: Sequence[str] = tuple(EXPORTS)) -> list[Path]:
    """Where `export_all` may write, as far as that is known before there are people: of formats of one file a
    person also the files of that name that are there, whoever's they are.

    Raises ImportError for a library that one of the formats needs and that is missing.
    """
    paths = []
    for format in formats:
        if format in LIBRARIES:
            require(LIBRARIES[format], format.upper())
        paths.append(Path(folder) / f"{name}.{format}")
        if format in ONE_A_PERSON:
            paths += sorted(Path(folder).glob(f"{glob.escape(name)}_*.{format}"))
    return paths


def _plan(people: LiftedPeople, path: Path, format: str, up: Up | None) -> dict[Path, Writer]:
    if format.lower() not in EXPORTS:
        raise ValueError(
            f"{path} is to be of the format {format!r}: give one of {', '.join(EXPORTS)}, as the suffix or "
            "as format"
        )
    return EXPORTS[format.lower()](people, path, up)


def read_people(path: str | Path) -> LiftedPeople:
    """The people of a `.npz` or JSON file that `export` wrote, in the axes that they were lifted in.

    From an archive they are as they were, bit for bit; from JSON float32, to a micrometre and a thousandth
    of a pixel. Raises FileNotFoundError for a missing file and ValueError for any other file.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
    return npz.read(path) if packed else json_file.read(path)
