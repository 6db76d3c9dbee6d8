"""Motion in C3D, the file format of motion capture, from points that are joints.

Labels are the joints' names, as this project's own files have them (`gated_lift.exports.c3d`) and as rigs do
(`conventions.LIMBS`); a joint that no label names is the middle of two that have one (`MIDDLES`). Labels
"person:joint" are several people, who make one clip.

Markers on the skin are refused by name. Joints lie centimetres inside of them, by amounts that depend on the
person and the marker set; models of the body place them there (Plug-in Gait in Nexus, OpenSim, Visual3D),
and what these write as points is read. No guess is made here, since nothing would tell how wrong it is.
"""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import CubicSpline

from gated_lift.clips import MotionClip, runs
from gated_lift.readers.c3d_file import Points, read_points
from gated_lift.readers.conventions import (
    Up,
    ascents,
    clip_of,
    find,
    find_limbs,
    find_unit,
    floor_below,
    in_float32,
    listed,
    plain,
    subject_of,
    turned,
    vertical,
)
from gated_lift.skeleton import H36M_17

LOGGER = logging.getLogger("gated_lift")

# Seconds of a point's gap that are filled by a curve; clips are cut at longer ones.
LONGEST_GAP = 0.2
# Clips of fewer frames than this are left out.
SHORTEST = 2

# Besides limbs. A rig's "Head" is the base of the skull where it has a top of the head too.
TRUNK = {
    "hip": ("hip", "hips", "pelvis", "midhip"),
    "spine": ("spine",),
    "thorax": ("thorax", "neck"),
    "neck": ("skullbase",),
    "head": ("headtop", "headtopend", "headend", "headnub"),
}
MIDDLES = {
    "hip": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("hip", "thorax"),
}
# Labels of markers on the skin, of the sets in common use: by several of them a set is known.
ON_SKIN = (
    "lasi",
    "rasi",
    "lpsi",
    "rpsi",
    "sacr",
    "c7",
    "t10",
    "clav",
    "strn",
    "lkne",
    "rkne",
    "lank",
    "rank",
)
UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0}


def read_c3d(path: str | Path, up: Up | None = None, unit: float | None = None) -> tuple[MotionClip, ...]:
    """The clips of a file: `H36M_17`, metres, z up, at the file's own frame rate (`clips.resample` brings it
    to another), for training. One person is a subject of the file's stem; of several, each is one of the name
    in front of the labels.

    up: the file's axis that points up. unit: metres. The file says both (POINT:Y_SCREEN, UNITS); where it
    does not, or they are no person's, they are found from the motion and logged.

    A point that is missing (residual below 0, NaN, or the origin) for `LONGEST_GAP` seconds at most is filled
    by a cubic spline through its other frames; at longer gaps, and where one of the people is not there, the
    file is cut, and every stretch of `SHORTEST` frames or more is a clip, named after its first frame.

    Raises FileNotFoundError for a missing file and ValueError, naming the file, for files that are damaged,
    joints that lack (markers on the skin are named as such), a size that is no person's, and where no stretch
    has everybody.
    """
    path = Path(path)
    points = read_points(path)
    stem = path.name.removesuffix(path.suffix)
    people = _people(points.labels)
    joints = np.stack([_joints(points, own, path) for own in people.values()])
    known = np.all(np.isfinite(joints), axis=-1)
    joints, known = _fill(joints, known, round(LONGEST_GAP * points.fps))
    spans = _spans(np.all(known, axis=(0, 2)))
    if not spans:
        raise ValueError(
            f"{path}: on no {SHORTEST} frames running has everybody all joints, or gaps of "
            f"{LONGEST_GAP:g} s at most: fill the gaps where it was captured"
        )
    with np.errstate(all="ignore"):
        whole = np.concatenate([joints[:, first:end] for first, end in spans], axis=1)
        name, metres = _unit(points, whole[0], path) if unit is None else ("given", unit)
        ascent = np.concatenate([ascents(each) for each in whole])
        said: Up | None = next((axis for axis in ("y", "z") if points.y_screen.lower() == f"+{axis}"), None)
        axis = up or said or vertical(ascent) or "z"
        placed = in_float32(turned(whole * metres, axis), path)
    LOGGER.info(
        "%s: %d people, %d frames in %d clips at %.6g frames/s, unit: %s, up: %s",
        *(path.name, len(people), placed.shape[1], len(spans), points.fps, name, axis),
    )
    floor = floor_below(placed)
    subject = "+".join(map(subject_of, people)) if len(people) > 1 else subject_of(stem)
    clips, begin = [], 0
    for first, end in spans:
        called = stem if len(spans) == 1 else f"{stem}_{first}"
        poses = placed[:, begin : begin + end - first]
        clips.append(clip_of(poses, points.fps, called, subject, stem, floor))
        begin += end - first
    return tuple(clips)


def _people(labels: tuple[str, ...]) -> dict[str, list[int]]:
    """The points of every person, by the name before the last colon; "" where there is none."""
    people: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        people.setdefault(label.rpartition(":")[0], []).append(at)
    # Points without a person, beside people who have names, are nobody's: props, unnamed markers.
    return {name: own for name, own in people.items() if name} or people


def _joints(points: Points, own: list[int], path: Path) -> Float[np.ndarray, "frames 17 3"]:
    """A person's joints in the file's unit and axes, NaN where a point is missing."""
    labels = [points.labels[at] for at in own]
    names = plain(labels)
    found = {joint: own[at] for joint, at in find_limbs(names).items()}
    for joint, choices in TRUNK.items():
        at = find(names, choices)
        if at is not None:
            found[joint] = own[at]
    # "Head" is the end of the one that has no other.
    head = find(names, ("head",))
    if head is not None:
        found.setdefault("head" if "neck" in found else "neck", own[head])
    values = {joint: points.values[:, at] for joint, at in found.items()}
    for joint, parts in MIDDLES.items():
        if joint not in values and all(part in values for part in parts):
            values[joint] = (values[parts[0]] + values[parts[1]]) / 2
    lacking = [joint for joint in H36M_17.names if joint not in values]
    if lacking:
        on_skin = [label for label, name in zip(labels, names, strict=True) if name in ON_SKIN]
        if len(on_skin) > 3:
            raise ValueError(
                f"{path}: {listed(on_skin)} are markers on the skin, and joints are needed: let a model of "
                "the body place them (Plug-in Gait, OpenSim, Visual3D) and write them as points LHip, LKnee, "
                "LAnkle, LShoulder, LElbow, LWrist, RHip, …, Neck, SkullBase, Head"
            )
        raise ValueError(
            f"{path}: no point is known to be {', '.join(lacking)}, among {listed(labels)}: name them LHip, "
            "LKnee, LAnkle, LShoulder, LElbow, LWrist, RHip, …, Neck, SkullBase, Head"
        )
    return np.stack([values[joint] for joint in H36M_17.names], axis=1)


def _unit(points: Points, poses: np.ndarray, path: Path) -> tuple[str, float]:
    """What the file says, unless nobody is so tall."""
    found = find_unit(poses, path)
    said = UNITS.get(points.unit.lower())
    if said is None or not np.isclose(said, found[1]):
        LOGGER.warning("%s: its unit is %r, and people are taken to be in %s", path, points.unit, found[0])
    return found


def _fill(
    joints: Float[np.ndarray, "people frames 17 3"], known: Bool[np.ndarray, "people frames 17"], longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Joints with gaps of up to ``longest`` frames filled, and what is known then. A gap at an end stays."""
    joints, known = joints.copy(), known.copy()
    for person, joint in np.ndindex(known.shape[0], known.shape[2]):
        there = np.flatnonzero(known[person, :, joint])
        gaps = np.diff(there) - 1
        short = [
            np.arange(there[at] + 1, there[at + 1]) for at in np.flatnonzero((gaps > 0) & (gaps <= longest))
        ]
        if short:
            frames = np.concatenate(short)
            curve = CubicSpline(there, joints[person, there, joint])
            joints[person, frames, joint] = curve(frames)
            known[person, frames, joint] = True
    return joints, known


def _spans(whole: Bool[np.ndarray, " frames"]) -> list[tuple[int, int]]:
    """First frame and the one behind the last, of every run of `SHORTEST` frames or more."""
    return [(first, end) for first, end in runs(whole) if end - first >= SHORTEST]
