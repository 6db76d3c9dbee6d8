"""The whole chain on the real sample of two people, one of whom is partly hidden by the other.

    python -m experiments.real_sample --sample ../shared/data/detections_2d/pose2sim_twoperson.npz

MediaPipe's landmarks of both people and OpenPose's of the man are followed, lifted and placed as `gated-lift`
does it, before each of the two cameras, and compared with the sample's triangulated reference (good to 2 to 3
cm). "as they came" keeps who is who and every keypoint as the detector gave it; "file" keeps who is who and
takes back exchanged sides and keypoints of somebody else; "network" and "online" also find out who is who;
"wrong ones known" keeps who is who and hides what is far from the reference's image. covering: how often
keypoints that lie on somebody nearer are hidden, and everybody is lifted again.

``--landmarker ../shared/data/detections_2d/mediapipe`` adds a second table: MediaPipe's own world landmarks
against what is lifted, for the frames and the person that its files hold. "the same landmarks" lifts the 2D
landmarks of those files alone; the other rows are the same frames of the first table's, which came from
another run of MediaPipe on the whole film. All are aligned with the reference (Procrustes) on the ten joints
of `LIMBS`, which both have and name alike; world landmarks start at the hips' middle and have no root.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import tyro

from experiments.commands import run_script
from experiments.reporting import console, report
from gated_lift import metrics
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Detections, LiftedPeople, Tracks
from gated_lift.readers.json_file import read_object
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import BODY_25B, H36M_17, MEDIAPIPE_33, Skeleton
from gated_lift.tracking import track
from gated_lift.video.lift import lift_tracks
from solvers import Camera, Status, TrajectoryConfig, project

ARRAYS = ("openpose_man", "mediapipe", "ref3d_h36m", "K", "R", "t", "fps", "image_size")
LIMBS = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "knee", "ankle")
)
PEOPLE = ("man", "woman")
# Who is who, and rounds of covering.
WAYS = (
    ("as they came", 0),
    ("as they came", 1),
    ("file", 0),
    ("file", 1),
    ("network", 0),
    ("network", 1),
    ("online", 1),
    ("wrong ones known", 0),
)
# In heights of the image of the reference: what is off by more is wrong.
WRONG_BY = 0.08


@dataclass(frozen=True)
class RealSample:
    """Judges the chain on two real films."""

    sample: Path
    """The file of the two people."""
    weights: tuple[str, ...] = ("small", "two_stream", "plain")
    """Of the lifters."""
    threshold: float = 0.3
    """Keypoints of less confidence count as hidden."""
    landmarker: Path | None = None
    """Folder with MediaPipe's results before both cameras, cam01_pose_landmarker.json and cam02_…"""
    output: Path = Path("real_sample.md")
    """Where the tables go."""


def films(sample: dict[str, Any]) -> Iterator[tuple[str, int, Skeleton, np.ndarray, tuple[str, ...]]]:
    """Detector, camera, skeleton, (frames, people, joints, 3) of x, y, confidence, and who they are."""
    for camera in range(2):
        yield "MediaPipe", camera, MEDIAPIPE_33, sample["mediapipe"][camera], PEOPLE
        yield "OpenPose", camera, BODY_25B, sample["openpose_man"][camera][:, None], PEOPLE[:1]


def size_of(sample: dict[str, Any]) -> tuple[int, int]:
    """Width and height of both films, pixels."""
    width, height = sample["image_size"][0]
    return int(width), int(height)


def follow(way: str, skeleton: Skeleton, found: np.ndarray, config: RealSample, sample: dict) -> Tracks:
    """The tracks of one film, by the first word of one of the `WAYS`."""
    frames, people = found.shape[:2]
    absent = (found[..., :2] == 0).all(axis=-1) | ~(found[..., 2] > 0)
    keypoints = np.where(absent[..., None], np.nan, found[..., :2]).astype(np.float32)
    confidence = np.where(absent, 0, found[..., 2]).astype(np.float32)
    if way in ("as they came", "wrong ones known"):
        keypoints, confidence = np.moveaxis(keypoints, 0, 1), np.moveaxis(confidence, 0, 1)
        names = tuple(str(person) for person in range(people))
        return Tracks(keypoints, confidence, ~(confidence >= config.threshold), names, skeleton)
    rows = Detections(
        np.repeat(np.arange(frames), people),
        keypoints.reshape(-1, *keypoints.shape[2:]),
        confidence.reshape(-1, confidence.shape[2]),
        np.tile(np.arange(people), frames),
        *(skeleton, frames, float(sample["fps"]), None, size_of(sample), "npz", str(config.sample)),
    )
    if way == "file":
        return track(rows, ids="file", threshold=config.threshold)
    return track(rows, people, threshold=config.threshold, method="online" if way == "online" else "network")


def intrinsics(sample: dict[str, Any], camera: int) -> Camera:
    """Of one of the two cameras."""
    matrix = sample["K"][camera]
    return Camera(tuple(matrix[[0, 1], [0, 1]]), tuple(matrix[:2, 2]))


def lift(
    tracks: Tracks, rounds: int, camera: Camera, lifter: LoadedLifter, sample: dict[str, Any]
) -> LiftedPeople:
    """As ``gated-lift --no-floor`` does it, with a guess where nobody is present."""
    return lift_tracks(
        *(tracks, camera, float(sample["fps"]), size_of(sample), lifter),
        covering_rounds=rounds,
        floor=False,  # sizes as lifted: what is judged here is who is who and who hides whom
        trajectory=TrajectoryConfig(loss="huber"),
        keep_absent=True,
    )


def without_wrong(lifted: LiftedPeople, truth: np.ndarray, camera: Camera) -> Tracks:
    """The keypoints of a lift, in its skeleton, without those far from the image of the reference."""
    image = np.asarray(project(jnp.asarray(truth[: len(lifted.hidden)], jnp.float32), camera))
    height = np.ptp(image[..., 1], axis=-1)[..., None]
    wrong = np.linalg.norm(lifted.keypoints - image, axis=-1) > WRONG_BY * height
    return Tracks(lifted.keypoints, lifted.confidence, lifted.hidden | wrong, lifted.names, lifted.skeleton)


class Landmarks(NamedTuple):
    """MediaPipe's result of one person on N frames. frames: (N,). image: (N, 33, 3) of x and y in pixels and
    visibility. world: (N, 33, 3) metres, axes x right, y down, z away.
    """

    frames: np.ndarray
    image: np.ndarray
    world: np.ndarray


def read_landmarks(path: Path) -> Landmarks:
    """Reads a file of the Tasks result's layout. Raises ValueError for any other, and unless every frame has
    one person.
    """
    what, mend = "MediaPipe's result with one person's world landmarks a frame", "give a file of landmarker"
    found = read_object(path, what, mend)
    try:
        size = np.array([found["image_width"], found["image_height"], 1], float)
        results = found["results"]
        frames = np.array([result["frame"] for result in results], int)
        image, world = (
            np.array(
                [[[mark[axis] for axis in axes] for mark in result[key][0]] for result in results], float
            ).reshape(len(frames), MEDIAPIPE_33.num_joints, len(axes))
            for key, axes in (("landmarks", ("x", "y", "visibility")), ("worldLandmarks", "xyz"))
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not {what} ({error!r}): {mend}") from error
    return Landmarks(frames, image * size, world)


def limb_error(joints: np.ndarray, skeleton: Skeleton, target: np.ndarray) -> float:
    """PA-MPJPE of `LIMBS`, aligned on them alone, mm. joints: (N, J, 3). target: (N, 17, 3)."""
    own, known = (
        jnp.asarray(values[:, [of.names.index(name) for name in LIMBS]], jnp.float32)
        for values, of in ((joints, skeleton), (target, H36M_17))
    )
    return 1000 * float(np.mean(metrics.pa_mpjpe(own, known)))


def own_world(
    config: RealSample,
    sample: dict[str, Any],
    found: list[Landmarks],
    lifted: dict[tuple[str, int, str, str], np.ndarray],
) -> list[tuple[str, ...]]:
    """Rows of the second table. found: MediaPipe's results before each camera. lifted: joints (100, 17, 3) by
    lifter, camera, person and way.
    """
    rows: list[tuple[str, ...]] = []
    for camera, own in enumerate(found):
        seen = sample["mediapipe"][camera, own.frames, ..., :2]
        person = int(np.abs(seen - own.image[:, None, :, :2]).mean((0, 2, 3)).argmin())
        target = sample["ref3d_h36m"][own.frames, person] @ sample["R"][camera].T + sample["t"][camera]
        world = limb_error(own.world, MEDIAPIPE_33, target)
        names = (str(camera + 1), PEOPLE[person], str(len(own.frames)))
        rows.append(("MediaPipe's world landmarks", *names, "", f"{world:.0f}", "100"))
        tracks = follow("as they came", MEDIAPIPE_33, own.image[:, None], config, sample)
        seen_by = intrinsics(sample, camera)
        alone = {
            (weights, "the same landmarks"): lift(tracks, 0, seen_by, load_lifter(weights), sample).joints[0]
            for weights in config.weights
        }
        whole = {
            (weights, way): joints[own.frames]
            for (weights, where, name, way), joints in lifted.items()
            if (where, name) == (camera, PEOPLE[person])
        }
        for (weights, way), joints in (alone | whole).items():
            error = limb_error(joints, H36M_17, target)
            rows.append((weights, *names, way, f"{error:.0f}", f"{100 * error / world:.0f}"))
    return rows


def judge(config: RealSample) -> None:
    """Prints the tables and writes them as Markdown."""
    sample = read_npz(config.sample, ARRAYS)
    folder = config.landmarker
    names = () if folder is None else ("cam01_pose_landmarker.json", "cam02_pose_landmarker.json")
    landmarks = [read_landmarks(Path(folder or "") / name) for name in names]
    rows = []
    from_mediapipe = {}
    for weights in config.weights:
        lifter = load_lifter(weights)
        for detector, camera, skeleton, found, who in films(sample):
            truth = np.moveaxis(sample["ref3d_h36m"] @ sample["R"][camera].T + sample["t"][camera], 1, 0)
            for way, rounds in WAYS:
                tracks = follow(way, skeleton, found, config, sample)
                seen_by = intrinsics(sample, camera)
                lifted = lift(tracks, rounds, seen_by, lifter, sample)
                if way == "wrong ones known":
                    tracks = without_wrong(lifted, truth, seen_by)
                    lifted = lift(tracks, rounds, seen_by, lifter, sample)
                for person, name in enumerate(who):
                    target = truth[person]
                    image = target[..., :2] / target[..., 2:]
                    seen = lifted.joints[..., :2] / lifted.joints[..., 2:]
                    # Whom the tracker calls what is nobody's matter: people are told by where they are seen.
                    apart = [float(np.nanmean(np.abs(other - image))) for other in seen]
                    own = int(np.nanargmin(apart))
                    joints = jnp.asarray(lifted.joints[own])
                    known = jnp.asarray(target, jnp.float32)
                    if detector == "MediaPipe":
                        from_mediapipe[weights, camera, name, f"{way}, covering {rounds}"] = lifted.joints[
                            own
                        ]
                    pose = 1000 * np.nanmean(metrics.pa_mpjpe(joints, known))
                    root = 1000 * np.nanmean(metrics.root_error(joints[:, 0], known[:, 0]))
                    hidden = 100 * lifted.hidden[own].mean()
                    status = Status(int(lifted.status[own])).name
                    rows.append(
                        (
                            *(weights, detector, str(camera + 1), name, way, str(rounds)),
                            *(f"{pose:.0f}", f"{root:.0f}", f"{hidden:.0f}", status),
                        )
                    )
    columns = (
        "lifter",
        "keypoints",
        "camera",
        "person",
        "who is who",
        "covering",
        "PA-MPJPE",
        "root",
        "hidden, %",
        "status",
    )
    after = ["Millimetres, means over 100 frames; hidden: of the lifter's joints."]
    report(console(), columns, rows, config.output, names=6, after=after)
    if landmarks:
        report(
            console(),
            ("3D from", "camera", "person", "frames", "who is who", "PA-MPJPE, ten joints", "of its own, %"),
            own_world(config, sample, landmarks, from_mediapipe),
            config.output.with_stem(f"{config.output.stem}_world"),
            names=5,
        )


def main() -> None:
    judge(tyro.cli(RealSample, description=__doc__))


if __name__ == "__main__":
    run_script(main)
