"""Motion as BVH, one file a person: constant bones from a T-pose, rotations in degrees, centimetres, y up."""

import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gated_lift.exports.animation import Animation, animate, only_y_up
from gated_lift.exports.axes import Up
from gated_lift.exports.checks import check_people, ever_there
from gated_lift.exports.rig import Rig
from gated_lift.exports.timing import evenly
from gated_lift.exports.trc import person_paths
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople

_TIP = 5.0  # centimetres from the last joint of a chain to the end that the format wants drawn
_CHUNK = 4096  # frames whose numbers are text at once


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One file a person who is ever there, "NAME_PERSON.bvh"; for one person the path itself.

    A file begins with the person's first frame and ends with their last; frames between without them hold
    the nearest. Bones keep one length, so joints come back exactly as far as they had one, and give way where
    they had not (`rig.keep_lengths`); `rig` says what turns bones about themselves. Rotations are in the
    order Z, X, Y. The format has a rate and no times, units or axes: frames at an uneven rate are
    interpolated to ``fps``, y is up and people in the rest pose face +z.

    Raises ValueError as `check_people`, where nobody is ever there, and for ``up`` "z".
    """
    only_y_up(up, "BVH")
    check_people(people)
    even = evenly(people)
    some = ever_there(even, "BVH")
    paths = person_paths(path, [people.names[person] for person in some])

    def writer(person: int) -> Writer:
        def write(part: Path) -> None:
            animation = animate(even, person, rigid=True)
            with part.open("w", encoding="ascii", newline="\n") as file:
                file.write(_hierarchy(animation.rig, 100 * animation.lengths))
                file.write(f"MOTION\nFrames: {len(animation.joints)}\nFrame Time: {1 / even.fps:.9f}\n")
                for start in range(0, len(animation.joints), _CHUNK):
                    file.write(_motion(animation, start))

        return write

    return {each: writer(int(person)) for person, each in zip(some, paths, strict=True)}


def _hierarchy(rig: Rig, lengths: np.ndarray) -> str:
    """The rest pose; ``lengths`` in centimetres."""
    lines = ["HIERARCHY"]

    def add(node: int, depth: int) -> None:
        indent = "\t" * depth
        offset = lengths[rig.joint[node]] * rig.offset[node]
        lines.append(f"{indent}{'ROOT' if rig.parents[node] < 0 else 'JOINT'} {rig.names[node]}")
        lines.append(f"{indent}{{")
        lines.append(f"{indent}\tOFFSET {_vector(offset)}")
        channels = "Zrotation Xrotation Yrotation"
        if rig.parents[node] < 0:
            lines.append(f"{indent}\tCHANNELS 6 Xposition Yposition Zposition {channels}")
        else:
            lines.append(f"{indent}\tCHANNELS 3 {channels}")
        children = [child for child, parent in enumerate(rig.parents) if parent == node]
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.append(f"{indent}\tEnd Site")
            lines.append(f"{indent}\t{{")
            lines.append(f"{indent}\t\tOFFSET {_vector(_TIP * rig.offset[node])}")
            lines.append(f"{indent}\t}}")
        lines.append(f"{indent}}}")

    add(0, 0)
    return "\n".join(lines) + "\n"


def _motion(animation: Animation, start: int) -> str:
    rotations = animation.rotations[start : start + _CHUNK]
    frames, nodes, _ = rotations.shape
    with warnings.catch_warnings():
        # At a gimbal lock SciPy says that the angles are not the only ones; they are right all the same.
        warnings.filterwarnings("ignore", "Gimbal lock")
        angles = Rotation.from_quat(rotations.reshape(-1, 4)).as_euler("ZXY", degrees=True)
    numbers = np.concatenate(
        [100 * animation.root[start : start + _CHUNK], angles.reshape(frames, 3 * nodes)], axis=-1
    )
    rounded = np.round(numbers, 5) + 0.0
    line = " ".join(["%.5f"] * rounded.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in rounded.tolist())


def _vector(values: np.ndarray) -> str:
    return " ".join(f"{value:.5f}" for value in (np.round(values, 5) + 0.0).tolist())
