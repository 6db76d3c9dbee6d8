"""The whole chain on the real sample of two people, one of whom is partly hidden by the other.

    python -m experiments.real_sample --sample ../shared/data/detections_2d/pose2sim_twoperson.npz

MediaPipe's landmarks of both people and OpenPose's of the man are followed, lifted and placed as `gated-lift`
does it, before each of the two cameras, and compared with the sample's triangulated reference (good to 2 to 3
cm). "as they came" keeps who is who and every keypoint as the detector gave it; "file" keeps who is who and
takes back exchanged sides and keypoints of somebody else; "network" and "online" also find out who is who;
"wrong ones known" keeps who is who and hides what is far from the reference's image. covering: how often
keypoints that lie on somebody nearer are hidden, and everybody is lifted again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import tyro

from experiments.commands import run_script
from experiments.reporting import console, report
from gated_lift import metrics
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Detections, LiftedPeople, Tracks
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import BODY_25B, MEDIAPIPE_33, Skeleton
from gated_lift.tracking import track
from gated_lift.video.lift import lift_tracks
from solvers import Camera, Status, TrajectoryConfig, project

ARRAYS = ("openpose_man", "mediapipe", "ref3d_h36m", "K", "R", "t", "fps", "image_size")
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
    weights: tuple[str, ...] = ("two_stream", "plain")
    """Of the lifters."""
    threshold: float = 0.3
    """Keypoints of less confidence count as hidden."""
    output: Path = Path("real_sample.md")
    """Where the table goes."""


def films(sample: dict[str, Any]) -> Iterator[tuple[str, int, Skeleton, np.ndarray, tuple[str, ...]]]:
    """Detector, camera, skeleton, (frames, people, joints, 3) of x, y, confidence, and who they are."""
    for camera in range(2):
        yield "MediaPipe", camera, MEDIAPIPE_33, sample["mediapipe"][camera], ("man", "woman")
        yield "OpenPose", camera, BODY_25B, sample["openpose_man"][camera][:, None], ("man",)


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


def lift(
    tracks: Tracks, rounds: int, camera: Camera, lifter: LoadedLifter, sample: dict[str, Any]
) -> LiftedPeople:
    """As ``gated-lift`` does it, with a guess where nobody is present."""
    return lift_tracks(
        *(tracks, camera, float(sample["fps"]), size_of(sample), lifter),
        covering_rounds=rounds,
        trajectory=TrajectoryConfig(loss="huber"),
        keep_absent=True,
    )


def without_wrong(lifted: LiftedPeople, truth: np.ndarray, camera: Camera) -> Tracks:
    """The keypoints of a lift, in its skeleton, without those far from the image of the reference."""
    image = np.asarray(project(jnp.asarray(truth[: len(lifted.hidden)], jnp.float32), camera))
    height = np.ptp(image[..., 1], axis=-1)[..., None]
    wrong = np.linalg.norm(lifted.keypoints - image, axis=-1) > WRONG_BY * height
    return Tracks(lifted.keypoints, lifted.confidence, lifted.hidden | wrong, lifted.names, lifted.skeleton)


def judge(config: RealSample) -> None:
    """Prints the table and writes it as Markdown."""
    sample = read_npz(config.sample, ARRAYS)
    rows = []
    for weights in config.weights:
        lifter = load_lifter(weights)
        for detector, camera, skeleton, found, who in films(sample):
            matrix = sample["K"][camera]
            intrinsics = Camera(tuple(matrix[[0, 1], [0, 1]]), tuple(matrix[:2, 2]))
            truth = np.moveaxis(sample["ref3d_h36m"] @ sample["R"][camera].T + sample["t"][camera], 1, 0)
            for way, rounds in WAYS:
                tracks = follow(way, skeleton, found, config, sample)
                lifted = lift(tracks, rounds, intrinsics, lifter, sample)
                if way == "wrong ones known":
                    tracks = without_wrong(lifted, truth, intrinsics)
                    lifted = lift(tracks, rounds, intrinsics, lifter, sample)
                for person, name in enumerate(who):
                    target = truth[person]
                    image = target[..., :2] / target[..., 2:]
                    seen = lifted.joints[..., :2] / lifted.joints[..., 2:]
                    # Whom the tracker calls what is nobody's matter: people are told by where they are seen.
                    apart = [float(np.nanmean(np.abs(other - image))) for other in seen]
                    own = int(np.nanargmin(apart))
                    joints = jnp.asarray(lifted.joints[own])
                    known = jnp.asarray(target, jnp.float32)
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


def main() -> None:
    judge(tyro.cli(RealSample, description=__doc__))


if __name__ == "__main__":
    run_script(main)
