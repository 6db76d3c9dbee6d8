"""What flows through a lift: what a detector found, who is who, and everybody in 3D.

Readers return `Detections`, tracking makes `Tracks` of them, the lift makes `LiftedPeople` of those, and
exports and reports take these. Arrays here are NumPy's: they come from files and go to files.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.clips import MotionClip
from gated_lift.skeleton import Skeleton
from solvers import Camera, Extrinsics, Status


class Detections(NamedTuple):
    """Keypoints of one video before anybody knows who is who: one row a person and frame.

    frame: the row's frame, counted from 0; rows stand in the order of their frames.
    keypoints: pixels, origin at the top left, y down; NaN where the detector gave none.
    confidence: 0 to 1, whatever the format's own scale is; 0 where the detector gave no keypoint.
    ids: whom the file says the row shows, or None if it does not say; -1 on rows without an id.
    num_frames: frames of the video as far as the file tells; frames with nobody count.
    fps: frames a second, or None if the file does not tell.
    times: seconds of every frame, from files with time stamps, or None.
    image_size: width and height in pixels, or None if the file does not tell.
    format: the name of the format, as ``--format`` takes it. source: the file or folder.
    names: what the file calls its people, an id being the place of a name here; empty where a file numbers
        people and names nobody.
    """

    frame: Int[np.ndarray, " rows"]
    keypoints: Float[np.ndarray, "rows joints 2"]
    confidence: Float[np.ndarray, "rows joints"]
    ids: Int[np.ndarray, " rows"] | None
    skeleton: Skeleton
    num_frames: int
    fps: float | None
    times: Float[np.ndarray, " frames"] | None
    image_size: tuple[int, int] | None
    format: str
    source: str
    names: tuple[str, ...] = ()


class Tracks(NamedTuple):
    """Keypoints of one video sorted by person.

    keypoints, confidence: as in `Detections`, NaN and 0 on frames on which nobody found the person.
    hidden: keypoints that do not count, True = hidden: not found, below the threshold of confidence, or
        taken back because they belong to somebody else.
    names: one a person, as files and pictures call them.
    """

    keypoints: Float[np.ndarray, "people frames joints 2"]
    confidence: Float[np.ndarray, "people frames joints"]
    hidden: Bool[np.ndarray, "people frames joints"]
    names: tuple[str, ...]
    skeleton: Skeleton


class LiftedPeople(NamedTuple):
    """Everybody's 3D joints and path in one space, with what they were made from.

    joints, root: metres in ``axes``; NaN on frames on which a person is not ``present``.
    covariance: of the root, square metres, or None if it was not asked for.
    status: one `solvers.Status` a person. residual: root mean square distance in pixels between seen
        keypoints and the projected joints on each frame, NaN where nothing is seen.
    keypoints, confidence, hidden: what was lifted, in ``skeleton`` as the joints are.
    axes: "camera" (x right, y down, z forward) or "world" (z up).
    camera: the intrinsics that were used; extrinsics: where the camera is in the world, or None.
    times: seconds of every frame.
    image_size: width and height in pixels. source: the file that all this comes from.
    rotate: degrees, 0, 90, 180 or 270, by which the video's images were turned clockwise to be those that
        keypoints, camera and image size are of.
    size, size_std: what each person's joints about the camera were multiplied by to be of the right size
        (`video.size`), and the standard deviation of its logarithm, the share by which height and distance
        may be off; None where nobody has looked.
    """

    joints: Float[np.ndarray, "people frames joints 3"]
    root: Float[np.ndarray, "people frames 3"]
    covariance: Float[np.ndarray, "people frames 3 3"] | None
    status: Int[np.ndarray, " people"]
    present: Bool[np.ndarray, "people frames"]
    residual: Float[np.ndarray, "people frames"]
    keypoints: Float[np.ndarray, "people frames joints 2"]
    confidence: Float[np.ndarray, "people frames joints"]
    hidden: Bool[np.ndarray, "people frames joints"]
    names: tuple[str, ...]
    skeleton: Skeleton
    fps: float
    times: Float[np.ndarray, " frames"]
    axes: str
    camera: Camera
    extrinsics: Extrinsics | None
    image_size: tuple[int, int]
    source: str
    rotate: int = 0
    size: Float[np.ndarray, " people"] | None = None
    size_std: Float[np.ndarray, " people"] | None = None


def people_of_clip(clip: MotionClip) -> LiftedPeople:
    """Captured or generated people in the carrier that exports take, as if they had been lifted without an
    error: in world axes, everybody present, nothing hidden, keypoints zero.

    Names are the clip's subjects, or its name, numbered where there are several people, if these are not as
    many.
    """
    people, frames, joints, _ = clip.poses.shape
    names = tuple(clip.subject.split("+"))
    if len(names) != people:
        names = tuple(f"{clip.name}_{person}" for person in range(people))
    return LiftedPeople(
        joints=clip.poses,
        root=clip.poses[:, :, 0],
        covariance=None,
        status=np.full(people, int(Status.CONVERGED), np.int32),
        present=np.ones((people, frames), bool),
        residual=np.zeros((people, frames), np.float32),
        keypoints=np.zeros((people, frames, joints, 2), np.float32),
        confidence=np.ones((people, frames, joints), np.float32),
        hidden=np.zeros((people, frames, joints), bool),
        names=names,
        skeleton=clip.skeleton,
        fps=clip.fps,
        times=np.arange(frames) / clip.fps,
        axes="world",
        camera=Camera((1000.0, 1000.0), (500.0, 500.0)),
        extrinsics=None,
        image_size=(1000, 1000),
        source=clip.source or clip.name,
    )
