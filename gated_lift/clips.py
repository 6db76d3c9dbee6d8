"""Motion clips on the host: poses of one or more people with what is needed to use them rightly."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from scipy.interpolate import CubicSpline

from gated_lift.skeleton import Skeleton

Split = Literal["train", "validation", "test"]
SPLITS = get_args(Split)


class MotionClip(NamedTuple):
    """People who move together in one world frame.

    poses: (people, frames, joints, 3) float32, metres, world z up.
    fps: frames per second.
    floor_z: height of the floor in metres, in the same world frame.
    subject: who moves; several people are joined by "+", as in "60+61".
    licence: the terms of the data, to be kept with anything made of it.
    split: what the clip may be used for: "train" to fit on, "validation" to judge by and nothing else, "test"
    for tests of the software, neither fitted nor judged on.
    source: the file that it comes from, by which training says how often each file is drawn from.
    """

    poses: Float32[np.ndarray, "people frames joints 3"]
    fps: float
    skeleton: Skeleton
    name: str
    subject: str
    action: str
    floor_z: float
    licence: str
    split: Split = "train"
    source: str = ""


class MotionBank(NamedTuple):
    """Every person of many clips laid end to end, so that a trainer can draw windows by index.

    poses: (N, joints, 3) float32, metres, world z up.
    start, length: (M,) int32; person m is ``poses[start[m] : start[m] + length[m]]``.
    """

    poses: Float32[np.ndarray, "frames joints 3"]
    start: Int32[np.ndarray, " people"]
    length: Int32[np.ndarray, " people"]


def validate(clip: MotionClip) -> MotionClip:
    """Returns the clip unchanged when it keeps what `MotionClip` promises; raises ValueError otherwise."""
    poses = clip.poses
    if not isinstance(poses, np.ndarray) or poses.dtype != np.float32:
        kind = poses.dtype if hasattr(poses, "dtype") else type(poses).__name__
        raise ValueError(f"poses of clip {clip.name!r} are {kind}: convert them to a float32 NumPy array")
    if poses.ndim != 4 or poses.shape[-1] != 3:
        raise ValueError(
            f"poses of clip {clip.name!r} have shape {poses.shape}: give (people, frames, joints, 3), "
            "with a leading axis of one for one person"
        )
    if poses.shape[0] == 0 or poses.shape[1] == 0:
        raise ValueError(
            f"poses of clip {clip.name!r} have shape {poses.shape}: leave out clips without people or frames"
        )
    if poses.shape[2] != clip.skeleton.num_joints:
        raise ValueError(
            f"poses of clip {clip.name!r} have {poses.shape[2]} joints, {clip.skeleton.name} has "
            f"{clip.skeleton.num_joints}: name the skeleton that the poses come in, or use skeleton.convert"
        )
    broken = np.argwhere(~np.isfinite(poses))
    if len(broken):
        person, frame, joint, _ = broken[0]
        raise ValueError(
            f"poses of clip {clip.name!r} are not finite at person {person}, frame {frame}, joint {joint} "
            f"({len(broken)} numbers in all): cut the clip there, motion has no missing-data mark"
        )
    if not (math.isfinite(clip.fps) and clip.fps > 0):
        raise ValueError(f"fps of clip {clip.name!r} is {clip.fps}: give the frames per second, such as 50.0")
    if not math.isfinite(clip.floor_z):
        raise ValueError(f"floor_z of clip {clip.name!r} is {clip.floor_z}: give metres, 0.0 when unknown")
    if clip.split not in SPLITS:
        raise ValueError(f"split of clip {clip.name!r} is {clip.split!r}: give one of {', '.join(SPLITS)}")
    return clip


def concatenate_people(clips: Sequence[MotionClip]) -> MotionBank:
    """Lays every person of every clip end to end, clip by clip and person by person.

    Each person is a stretch of its own: a window drawn inside [start, start + length) never joins two people.
    Raises ValueError for no clips, for an invalid clip, and when frame rates or skeletons differ.
    """
    if not clips:
        raise ValueError("clips is empty: give at least one clip")
    first = clips[0]
    for clip in clips:
        validate(clip)
        if clip.fps != first.fps:
            raise ValueError(
                f"clip {clip.name!r} has {clip.fps} frames per second, {first.name!r} has {first.fps}: "
                "bring them to one rate with clips.resample"
            )
        if clip.skeleton != first.skeleton:
            raise ValueError(
                f"clip {clip.name!r} has skeleton {clip.skeleton.name}, {first.name!r} has "
                f"{first.skeleton.name}: bring them to one with skeleton.convert"
            )
    people = [person for clip in clips for person in clip.poses]
    length = np.array([len(person) for person in people], np.int32)
    start = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int32)
    return MotionBank(np.concatenate(people), start, length)


def bone_lengths(
    poses: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, "*batch bones"]:
    """‖x_child − x_parent‖ of every bone in the order of ``skeleton.bones``, in the unit of the poses.

    Raises ValueError when the joint counts differ.
    """
    if poses.shape[-2] != skeleton.num_joints:
        raise ValueError(
            f"poses have {poses.shape[-2]} joints, {skeleton.name} has {skeleton.num_joints}: "
            "name the skeleton that the poses come in"
        )
    parents, children = (list(ends) for ends in zip(*skeleton.bones, strict=True))
    return np.linalg.norm(poses[..., children, :] - poses[..., parents, :], axis=-1)


def resample(clip: MotionClip, fps: float) -> MotionClip:
    """The same motion at another frame rate: a cubic spline through the frames, read at 0, 1/fps, 2/fps, ...

    The last frame is the last that lies inside the clip's duration: nothing is extrapolated. Body motion
    above half the new rate is not filtered out first; at 25 fps and more there is hardly any. Joints are
    interpolated one by one, so bones may change length between frames, by less than a millimetre at 50 fps.
    Raises ValueError for an invalid clip or fps ≤ 0.
    """
    validate(clip)
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}: give the wanted frames per second, such as 50.0")
    frames = clip.poses.shape[1]
    if fps == clip.fps or frames == 1:
        return clip._replace(fps=fps)
    # The small term keeps the last frame when (frames − 1) · fps / clip.fps is whole but for rounding.
    count = math.floor((frames - 1) * fps / clip.fps + 1e-6) + 1
    times = np.minimum(np.arange(count) * (clip.fps / fps), frames - 1)
    spline = CubicSpline(np.arange(frames), clip.poses.astype(np.float64), axis=1)
    return clip._replace(poses=spline(times).astype(np.float32), fps=fps)


def runs(flags: Bool[np.ndarray, " frames"]) -> list[tuple[int, int]]:
    """(first, past-the-last) index of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
