"""The lifter and the trajectory solve as programs that run without this package: StableHLO, as `jax.export`
serialises it, and a JSON file that says what goes in and what comes out.

    lift.jaxexport    pixels to root-relative poses; weights are in it; any number of people and frames
    solve.jaxexport   poses and pixels to paths; for the numbers of people and frames that it was written for
    programs.json     inputs and outputs of both: names, order, shapes, dtypes, units
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.networks.protocol import Hints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.recovery.lifting import lift_pixels
from solvers import Camera, Status, TrajectoryConfig, solve_trajectory

LIFT, SOLVE, DESCRIPTION = "lift.jaxexport", "solve.jaxexport", "programs.json"
PLATFORMS = ("cpu", "cuda", "tpu")
# Frames of the shortest clip that the lifting program takes: curves through gaps need as many.
LEAST_FRAMES = 4


class Value(NamedTuple):
    """An input or an output. shape: numbers, and the names of sizes that may be any. unit: and axes."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    unit: str


KEYPOINTS = "pixels, origin top left; hidden ones are not read and may be NaN"
HIDDEN = "true where a joint is hidden"
FOCAL = "pixels, x and y"
CENTER = "pixels, the principal point; lenses are to be undone before"
POSES = "metres from the root, camera axes (x right, y down, z forward)"


def write_programs(
    folder: Path,
    lifter: LoadedLifter,
    people: int,
    frames: int,
    trajectory: TrajectoryConfig = TrajectoryConfig(),
    flip: bool = True,
) -> Path:
    """Writes both programs and their description, the description last, and returns the folder.

    lifter: of `load_lifter`, with a `TemporalLifter` of poses; the program reads clips at its frame rate.
    people, frames: of the solve. A shorter clip stands at its end, behind ``begin`` frames that have no say;
    people who are not there are hidden on every frame. trajectory, flip: as `pipeline.recover` takes them.

    Raises ValueError for other networks, for sizes below 1, where ``folder`` is not empty, and without the
    library with which JAX serialises (the extra ``programs``).
    """
    network, joints = lifter.network, lifter.skeleton.num_joints
    if not isinstance(network, TemporalLifter) or network.target != "pose":
        raise ValueError(
            f"lifter is a {type(network).__name__}: programs are written of a TemporalLifter of poses, "
            'such as load_lifter("two_stream")'
        )
    for name, size in (("people", people), ("frames", frames)):
        if size < 1:
            raise ValueError(f"{name} is {size}: give a whole number, 1 or more")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: choose another folder or delete what is in it")
    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError("JAX serialises with flatbuffers: pip install 'gated-lift[programs]'")

    clip = ("people", "frames", joints)
    given = [
        Value("keypoints", (*clip, 2), "float32", KEYPOINTS),
        Value("occluded", clip, "bool", HIDDEN),
        Value("focal", (2,), "float32", FOCAL),
        Value("center", (2,), "float32", CENTER),
    ]
    if network.tilt:
        told = "the vertical in camera axes, length 1; (0, -1, 0) for a level camera, zeros if unknown"
        given.append(Value("up", (3,), "float32", told))
    if network.confidence:
        told = "the detector's confidence, 0 to 1; ones if unknown"
        given.append(Value("confidence", clip, "float32", told))

    def lift(keypoints: Any, occluded: Any, focal: Any, center: Any, *more: Any) -> Any:
        known = dict(zip((value.name for value in given[4:]), more, strict=True))
        up, confidence = known.get("up"), known.get("confidence")
        hints = Hints(
            None if up is None else up[None, None],
            None if confidence is None else jnp.clip(1 - confidence, 0, 1),
        )
        return lift_pixels(lifter, keypoints, occluded, Camera(focal, center), flip, hints=hints)

    fixed = (people, frames, joints)
    placed = [
        Value("poses", (*fixed, 3), "float32", POSES),
        Value("keypoints", (*fixed, 2), "float32", KEYPOINTS),
        Value("occluded", fixed, "bool", HIDDEN),
        Value("focal", (2,), "float32", FOCAL),
        Value("center", (2,), "float32", CENTER),
        Value("fps", (), "float32", "frames a second"),
        Value("begin", (), "int32", "leading frames that have no say, 0 where the clip fills the program"),
    ]

    def solve(
        poses: Any, keypoints: Any, occluded: Any, focal: Any, center: Any, fps: Any, begin: Any
    ) -> Any:
        camera = Camera(focal, center)
        found = solve_trajectory(poses, keypoints, occluded, camera, trajectory, begin=begin, fps=fps)
        return found.root, found.status, found.residual

    statuses = ", ".join(f"{status.value} {status.name.lower()}" for status in Status)
    found = [
        Value("root", (people, frames, 3), "float32", "metres, camera axes; NaN for people without a path"),
        Value("status", (people,), "int32", statuses),
        Value("residual", (people, frames), "float32", "pixels, root mean square; NaN where nothing is seen"),
    ]
    written, programs = {}, {}
    for file, run, inputs, outputs in (
        (LIFT, lift, given, [Value("poses", (*clip, 3), "float32", POSES)]),
        (SOLVE, solve, placed, found),
    ):
        exported = _export(run, inputs)
        written[file] = exported.serialize()
        programs[file] = {
            "inputs": [value._asdict() for value in inputs],
            "outputs": [value._asdict() for value in outputs],
            "sizes": {"people": "1 or more", "frames": f"{LEAST_FRAMES} or more"} if file == LIFT else {},
            "platforms": PLATFORMS,
            "calling_convention_version": exported.calling_convention_version,
            "sha256": hashlib.sha256(written[file]).hexdigest(),
        }
    description = {
        "run": "jax.export.deserialize(bytearray(file)).call(*inputs), with jax, numpy and flatbuffers",
        "joints": lifter.skeleton.names,
        "frames_a_second_of_lift": network.fps,
        "licences": (lifter.description or {}).get("licences", []),
        "jax": jax.__version__,
        "programs": programs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, program in written.items():
        (folder / file).write_bytes(program)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return folder


def _export(run: Callable[..., Any], inputs: list[Value]) -> Any:
    """The program of a function, for sizes that are names with every number from 1, frames from
    `LEAST_FRAMES`.
    """
    scope = export.SymbolicScope([f"frames >= {LEAST_FRAMES}"])
    shapes = (
        export.symbolic_shape(", ".join(map(str, value.shape)), scope=scope) if value.shape else ()
        for value in inputs
    )
    structs = [
        jax.ShapeDtypeStruct(shape, np.dtype(value.dtype))
        for shape, value in zip(shapes, inputs, strict=True)
    ]
    return export.export(jax.jit(run), platforms=PLATFORMS)(*structs)
