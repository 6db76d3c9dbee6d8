"""What every export relies on, looked at before anything is written, and who is there at all."""

import math

import numpy as np
from jaxtyping import Bool, Int

from gated_lift.people import LiftedPeople


def check_people(people: LiftedPeople) -> LiftedPeople:
    """The people unchanged. Raises ValueError, with the field and both shapes, for arrays that do not belong
    together, no frames, times that do not increase, a frame rate that is not positive, and unknown axes.
    """
    if people.joints.ndim != 4 or people.joints.shape[-1] != 3:
        raise ValueError(f"joints have shape {people.joints.shape}: give (people, frames, joints, 3)")
    persons, frames, joints, _ = people.joints.shape
    if frames == 0:
        raise ValueError("joints have 0 frames: lift at least one")
    if joints != people.skeleton.num_joints:
        raise ValueError(
            f"joints are {joints}, skeleton {people.skeleton.name} has {people.skeleton.num_joints}: name "
            "the skeleton that they come in"
        )
    shapes = {
        "root": (persons, frames, 3),
        "covariance": (persons, frames, 3, 3),
        "status": (persons,),
        "present": (persons, frames),
        "residual": (persons, frames),
        "keypoints": (persons, frames, joints, 2),
        "confidence": (persons, frames, joints),
        "hidden": (persons, frames, joints),
        "times": (frames,),
        "size": (persons,),
        "size_std": (persons,),
    }
    for name, shape in shapes.items():
        value = getattr(people, name)
        if value is not None and value.shape != shape:
            raise ValueError(f"{name} has shape {value.shape}, joints {people.joints.shape}: give {shape}")
    if len(people.names) != persons:
        raise ValueError(f"names are {len(people.names)} and joints of {persons} people: give one name each")
    if not (math.isfinite(people.fps) and people.fps > 0):
        raise ValueError(f"fps is {people.fps}: give frames a second, above zero")
    if not (np.all(np.isfinite(people.times)) and np.all(np.diff(people.times) > 0)):
        raise ValueError("times are not finite and increasing: give the seconds of every frame")
    if people.axes not in ("camera", "world"):
        raise ValueError(f"axes is {people.axes!r}: give 'camera' or 'world'")
    return people


def there(people: LiftedPeople) -> Bool[np.ndarray, "people frames"]:
    """Whether a person is present on a frame with every joint finite: what can be drawn and animated."""
    return people.present & np.all(np.isfinite(people.joints), axis=(-2, -1))


def ever_there(people: LiftedPeople, format: str) -> Int[np.ndarray, " some"]:
    """Indices of the people who are `there` on a frame at least. Raises ValueError when nobody is."""
    some = np.flatnonzero(np.any(there(people), axis=-1))
    if not len(some):
        raise ValueError(
            f"nobody is present on any frame, and a {format} file needs somebody: look at the statuses, or "
            "export npz, json or csv, which can be empty"
        )
    return some


def nearest_frames(usable: Bool[np.ndarray, " frames"]) -> Int[np.ndarray, " frames"]:
    """For every frame the nearest one that is usable, the earlier of two; at least one must be."""
    frames = np.flatnonzero(usable)
    every = np.arange(len(usable))
    after = np.clip(np.searchsorted(frames, every), 0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(frames[before] - every) <= np.abs(frames[after] - every)
    return np.where(closer, frames[before], frames[after])
