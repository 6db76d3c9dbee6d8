"""Motion captures in the project's own ``.npz`` layout, and the split that every result is judged by.

Keys: ``poses`` (frames, 17, 3) or (frames, people, 17, 3), metres after ``* scale``, z up; ``start`` and
``length`` cut the clips; ``clip``, ``subject``, ``action``, ``floor_z`` one entry a clip; ``fps``,
``joint_names``, ``parents``, ``up_axis``, ``licence`` for the file. ``split`` may stand beside them: what
each clip is for, one of `clips.SPLITS`.

A file without ``split`` is all training, but for those of the CMU Graphics Lab Motion Capture Database, which
name it in ``licence``: this project splits them by subject and trial, and their files need not repeat it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gated_lift.clips import SPLITS, MotionClip, Split, validate
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

# What `write_captures` rounds to: far below what any capture resolves, and sixteen bits reach 6.5 m.
STEP = 2e-4  # metres

# CMU's files say so in ``licence``. Nothing is ever fitted on the validation people, a threshold included.
CMU = "mocap.cs.cmu.edu"
CMU_VALIDATION_SUBJECTS = ("02", "05", "06", "07", "26", "27")
# The salsa couple is in both halves (there is no other), so its trials are split instead: new motion, known
# people.
CMU_VALIDATION_TRIALS = {"60+61": (11, 12, 14)}
# The hand-shake that ships with the small files: for tests of the software, neither trained nor judged on.
CMU_TEST_SUBJECTS = ("18", "19")


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
    arrays = read_npz(path, KEYS, optional=("split",), max_bytes=max_bytes)
    _check_layout(path, arrays)
    poses, scale = arrays["poses"], np.float32(arrays["scale"])
    if poses.ndim == 3:
        poses = poses[:, None]

    held = {part for subject in arrays["subject"] for part in _people(str(subject))}
    unknown = sorted(set(subjects or ()) - held)
    if unknown:
        raise ValueError(f"{path} has no subject {', '.join(unknown)}: choose from {', '.join(sorted(held))}")

    clips = []
    for index, (first, end) in enumerate(_spans(arrays)):
        subject = str(arrays["subject"][index])
        people = _people(subject)
        if (subjects is not None and not people & set(subjects)) or people & set(exclude):
            continue
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused below
            frames = poses[first:end].astype(np.float32) * scale
        clip = MotionClip(
            poses=np.ascontiguousarray(np.moveaxis(frames, 1, 0)),
            fps=float(arrays["fps"]),
            skeleton=H36M_17,
            name=str(arrays["clip"][index]),
            subject=subject,
            action=str(arrays["action"][index]),
            floor_z=float(arrays["floor_z"][index]),
            licence=str(arrays["licence"]),
            split=_split_of(path, arrays, index),
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


def write_captures(path: str | Path, clips: Sequence[MotionClip]) -> Path:
    """Writes clips to one capture file, which `read_captures` reads back; returns its path.

    Coordinates are rounded to whole numbers of `STEP` (0.2 mm, so they are off by 0.1 mm at most), as
    sixteen-bit integers where everybody stays within 6.55 m of the origin and thirty-two-bit ones elsewhere;
    all else comes back as it was, the split included. Clips of a file that was written so come back bit for
    bit. The path is used as it is, without a suffix being added.

    Raises ValueError for no clips, an invalid clip, joints other than `H36M_17`'s, coordinates beyond 400 km,
    and when clips differ in frame rate, licence or number of people: a file has one of each.
    """
    if not clips:
        raise ValueError("clips is empty: give at least one clip")
    first = clips[0]
    for clip in clips:
        validate(clip)
        if clip.skeleton != H36M_17:
            raise ValueError(
                f"clip {clip.name!r} has the joints of {clip.skeleton.name}, a capture file has those of "
                f"{H36M_17.name}: bring them to it with skeleton.convert"
            )
        for name, here, there in (
            ("fps", clip.fps, first.fps),
            ("licence", clip.licence, first.licence),
            ("people", len(clip.poses), len(first.poses)),
        ):
            if here != there:
                raise ValueError(
                    f"clip {clip.name!r} has {name} {here!r}, clip {first.name!r} {there!r}: a capture file "
                    "has one for all its clips; write several files"
                )
    steps = np.concatenate([np.moveaxis(clip.poses, 0, 1) for clip in clips]).astype(np.float64) / STEP
    reach = float(np.abs(steps).max())
    if reach > np.iinfo(np.int32).max:
        raise ValueError(f"clips reach {reach * STEP:.0f} m from the origin: give metres, 400 km at most")
    whole = np.rint(steps).astype(np.int16 if reach < np.iinfo(np.int16).max else np.int32)
    length = np.array([clip.poses.shape[1] for clip in clips], np.int64)
    arrays: dict[str, Any] = {
        "poses": whole[:, 0] if len(first.poses) == 1 else whole,
        "scale": np.float32(STEP),
        "start": np.cumsum(length) - length,
        "length": length,
        **{
            name: np.array([getattr(clip, field) for clip in clips])
            for name, field in (("clip", "name"), *((field,) * 2 for field in ("subject", "action", "split")))
        },
        "floor_z": np.array([clip.floor_z for clip in clips], np.float64),
        "fps": np.float64(first.fps),
        "joint_names": np.array(JOINT_NAMES),
        "parents": np.array(H36M_17.parents, np.int8),
        "up_axis": np.array("z"),
        "licence": np.array(first.licence),
    }
    path = Path(path)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def split(clips: Iterable[MotionClip]) -> tuple[tuple[MotionClip, ...], tuple[MotionClip, ...]]:
    """(training, validation) clips by their own `MotionClip.split`; test clips are in neither."""
    clips = tuple(clips)
    training, validation = (
        tuple(clip for clip in clips if clip.split == half) for half in ("train", "validation")
    )
    return training, validation


def _split_of(path: str | Path, arrays: dict[str, Any], index: int) -> Split:
    """What a clip is for: what the file says, else CMU's rule for a file of CMU's, else training."""
    if "split" in arrays:
        return next(half for half in SPLITS if half == str(arrays["split"][index]))
    if CMU not in str(arrays["licence"]):
        return "train"
    subject = str(arrays["subject"][index])
    people = _people(subject)
    if people & set(CMU_TEST_SUBJECTS):
        return "test"
    if people & set(CMU_VALIDATION_SUBJECTS):
        return "validation"
    trials = CMU_VALIDATION_TRIALS.get(subject, ())
    if trials and not _trials(path, str(arrays["clip"][index])).isdisjoint(trials):
        return "validation"
    return "train"


def _trials(path: str | Path, name: str) -> set[int]:
    """The trial numbers in the name of one of CMU's clips: {11} for "60_11+61_11a"."""
    matches = [re.fullmatch(r"\d+_(\d+)[a-z]*", part) for part in name.split("+")]
    if not all(matches):
        raise ValueError(
            f"{path}: clip {name!r} has no trial number, by which this couple's clips are split: name it "
            "subject_trial, such as 60_11+61_11a, or write a split into the file"
        )
    return {int(match[1]) for match in matches if match}


def _people(subject: str) -> set[str]:
    return set(subject.split("+"))


def _spans(arrays: dict[str, Any]) -> list[tuple[int, int]]:
    """The first frame of every clip and the one behind its last, in Python's integers: the sum of two of
    NumPy's may wrap round to a number that looks right, and that of uint64 and int64 is a float.
    """
    pairs = zip(arrays["start"], arrays["length"], strict=True)
    return [(int(start), int(start) + int(length)) for start, length in pairs]


def _check_layout(path: str | Path, arrays: dict[str, Any]) -> None:
    def fail(what: str) -> None:
        raise ValueError(f"{path}: {what}; write the file again in the layout of gated_lift.readers.captures")

    poses = arrays["poses"]
    if poses.dtype.kind not in "iuf":
        fail(f"poses are {poses.dtype}, expected integers or floats")
    if poses.ndim not in (3, 4) or poses.shape[-2:] != (H36M_17.num_joints, 3):
        fail(f"poses have shape {poses.shape}, expected (frames, 17, 3) or (frames, people, 17, 3)")
    for name in ("scale", "fps"):
        value = arrays[name]
        # As float32, in which the poses are scaled: what vanishes there would put everybody on the origin.
        with np.errstate(over="ignore", under="ignore"):
            usable = value.shape == () and value.dtype.kind in "iuf" and 0 < value.astype(np.float32) < np.inf
        if not usable:
            fail(f"{name} is {value}, expected one positive number")
    for name in ("up_axis", "licence"):
        if arrays[name].shape != () or arrays[name].dtype.kind != "U":
            fail(f"{name} is not one string")
    if str(arrays["up_axis"]) != "z":
        fail(f"up_axis is {arrays['up_axis']}, expected z: turn the poses")
    names, parents = arrays["joint_names"].tolist(), arrays["parents"].tolist()
    if (
        arrays["parents"].dtype.kind not in "iu"
        or names != list(JOINT_NAMES)
        or parents != [*H36M_17.parents]
    ):
        fail(f"joint_names {names} with parents {parents} are not the 17 joints of {H36M_17.name} in order")

    for name in ("start", "length", "clip", "subject", "action", "floor_z", "split"):
        if name not in arrays:
            continue
        kinds = {"start": "iu", "length": "iu", "floor_z": "f"}.get(name, "U")
        if arrays[name].dtype.kind not in kinds or arrays[name].shape != (arrays["clip"].size,):
            fail(f"{name} has shape {arrays[name].shape} and dtype {arrays[name].dtype}, expected one a clip")
    if arrays["clip"].size == 0:
        fail("it holds no clip")
    unknown = sorted(set(arrays.get("split", np.array(SPLITS)).tolist()) - set(SPLITS))
    if unknown:
        fail(f"split has {', '.join(map(repr, unknown))}, expected {', '.join(map(repr, SPLITS))}")
    spans = sorted(_spans(arrays))
    for first, end in spans:
        if not 0 <= first < end <= len(poses):
            fail(f"a clip from {first} to {end} lies outside the {len(poses)} frames or is empty")
    for (_, end), (first, _) in pairwise(spans):
        if first < end:
            fail(
                f"a clip starts at frame {first} before another has ended at {end}: shared frames would leak"
            )
