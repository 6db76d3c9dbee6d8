"""Motion captures in the project's own ``.npz`` layout, and the split that every result is judged by.

Keys: ``poses`` (frames, 17, 3) or (frames, people, 17, 3), metres after ``* scale``, z up; ``start`` and
``length`` cut the clips; ``clip``, ``subject``, ``action``, ``floor_z`` one entry a clip; ``fps``,
``joint_names``, ``parents``, ``up_axis``, ``licence`` for the file.
"""

import re
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.clips import MotionClip, validate
from gated_lift.readers.npz import MAX_BYTES, read_npz
from gated_lift.skeleton import H36M_17

# The file's own words for the joints of `H36M_17`, in its order.
JOINT_NAMES = (
    *("Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax", "Neck", "Head"),
    *("LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist"),
)
KEYS = (
    *("poses", "scale", "start", "length", "clip", "subject", "action", "floor_z"),
    *("fps", "joint_names", "parents", "up_axis", "licence"),
)

# Nothing is ever fitted on these, a threshold included.
VALIDATION_SUBJECTS = ("02", "05", "06", "07", "26", "27")
# The salsa couple is in both halves (there is no other), so its trials are split instead: new motion, known
# people.
VALIDATION_TRIALS = {"60+61": (11, 12, 14)}
# The hand-shake that ships with the small files: for tests of the software, neither trained nor judged on.
TEST_SUBJECTS = ("18", "19")


def read_captures(
    path: str | Path,
    subjects: Collection[str] | None = None,
    exclude: Collection[str] = (),
    max_bytes: int = MAX_BYTES,
) -> tuple[MotionClip, ...]:
    """Reads the clips of a capture file, in its order; poses (people, frames, 17, 3) float32 metres, z up.

    subjects: keep only clips in which one of these takes part ("60+61" matches "60"); None keeps all.
    exclude: drop clips in which one of these takes part.
    max_bytes: refuse files whose arrays unpack to more.

    Never unpickles. Raises FileNotFoundError for a missing file, and ValueError naming the file, the array
    and the mend for a broken archive, missing or wrong arrays, clips that lie outside the poses or overlap,
    other joints, values that are not finite, a subject that the file does not hold, or when no clip is left.
    """
    if isinstance(subjects, str) or isinstance(exclude, str):
        raise ValueError('subjects and exclude are collections: write ("02",) rather than "02"')
    arrays = read_npz(path, KEYS, max_bytes=max_bytes)
    _check_layout(path, arrays)
    poses, scale = arrays["poses"], np.float32(arrays["scale"])
    if poses.ndim == 3:
        poses = poses[:, None]

    held = {part for subject in arrays["subject"] for part in _people(str(subject))}
    unknown = sorted(set(subjects or ()) - held)
    if unknown:
        raise ValueError(f"{path} has no subject {', '.join(unknown)}: choose from {', '.join(sorted(held))}")

    clips = []
    for index, (start, length) in enumerate(zip(arrays["start"], arrays["length"], strict=True)):
        subject = str(arrays["subject"][index])
        people = _people(subject)
        if (subjects is not None and not people & set(subjects)) or people & set(exclude):
            continue
        frames = poses[start : start + length].astype(np.float32) * scale
        clip = MotionClip(
            poses=np.ascontiguousarray(np.moveaxis(frames, 1, 0)),
            fps=float(arrays["fps"]),
            skeleton=H36M_17,
            name=str(arrays["clip"][index]),
            subject=subject,
            action=str(arrays["action"][index]),
            floor_z=float(arrays["floor_z"][index]),
            licence=str(arrays["licence"]),
        )
        try:
            clips.append(validate(clip))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not clips:
        raise ValueError(
            f"{path} has no clip left: it holds {', '.join(sorted(held))}, and exclude drops "
            f"{', '.join(sorted(exclude))}"
        )
    return tuple(clips)


def is_validation(clip: MotionClip) -> bool:
    """True when a validation subject takes part or the trial is a validation trial ("60_11+61_11a": trial
    11).
    """
    if _people(clip.subject) & set(VALIDATION_SUBJECTS):
        return True
    trials = VALIDATION_TRIALS.get(clip.subject)
    return trials is not None and not trials_of(clip).isdisjoint(trials)


def split(clips: Iterable[MotionClip]) -> tuple[tuple[MotionClip, ...], tuple[MotionClip, ...]]:
    """(training, validation) clips by `is_validation`; clips of `TEST_SUBJECTS` are in neither."""
    kept = [clip for clip in clips if not _people(clip.subject) & set(TEST_SUBJECTS)]
    training = tuple(clip for clip in kept if not is_validation(clip))
    return training, tuple(clip for clip in kept if is_validation(clip))


def trials_of(clip: MotionClip) -> set[int]:
    """The trial numbers in a clip's name: {11} for "60_11+61_11a". Raises ValueError for a name of another
    form.
    """
    matches = [re.fullmatch(r"\d+_(\d+)[a-z]*", part) for part in clip.name.split("+")]
    if not all(matches):
        raise ValueError(
            f"clip {clip.name!r} has no trial number: name it subject_trial, such as 60_11+61_11a"
        )
    return {int(match[1]) for match in matches if match}


def _people(subject: str) -> set[str]:
    return set(subject.split("+"))


def _check_layout(path: str | Path, arrays: dict[str, Any]) -> None:
    def fail(what: str) -> None:
        raise ValueError(f"{path}: {what}; write the file again in the layout of gated_lift.readers.captures")

    poses = arrays["poses"]
    if poses.dtype.kind not in "if":
        fail(f"poses are {poses.dtype}, expected integers or floats")
    if poses.ndim not in (3, 4) or poses.shape[-2:] != (H36M_17.num_joints, 3):
        fail(f"poses have shape {poses.shape}, expected (frames, 17, 3) or (frames, people, 17, 3)")
    for name in ("scale", "fps"):
        value = arrays[name]
        if value.shape != () or value.dtype.kind not in "if" or not (np.isfinite(value) and value > 0):
            fail(f"{name} is {value}, expected one positive number")
    for name in ("up_axis", "licence"):
        if arrays[name].shape != () or arrays[name].dtype.kind != "U":
            fail(f"{name} is not one string")
    if str(arrays["up_axis"]) != "z":
        fail(f"up_axis is {arrays['up_axis']}, expected z: turn the poses")
    names, parents = arrays["joint_names"].tolist(), arrays["parents"].tolist()
    if names != list(JOINT_NAMES) or parents != list(H36M_17.parents):
        fail(f"joint_names {names} with parents {parents} are not the 17 joints of {H36M_17.name} in order")

    start, length = arrays["start"], arrays["length"]
    for name in ("start", "length", "clip", "subject", "action", "floor_z"):
        kinds = {"start": "iu", "length": "iu", "floor_z": "f"}.get(name, "U")
        if arrays[name].dtype.kind not in kinds or arrays[name].shape != (len(arrays["clip"].ravel()),):
            fail(f"{name} has shape {arrays[name].shape} and dtype {arrays[name].dtype}, expected one a clip")
    # Python integers: a sum of int32 may wrap round to a number that looks right.
    spans = sorted((int(s), int(s) + int(n)) for s, n in zip(start, length, strict=True))
    for first, end in spans:
        if not 0 <= first < end <= len(poses):
            fail(f"a clip from {first} to {end} lies outside the {len(poses)} frames or is empty")
    for (_, end), (first, _) in pairwise(spans):
        if first < end:
            fail(
                f"a clip starts at frame {first} before another has ended at {end}: shared frames would leak"
            )
