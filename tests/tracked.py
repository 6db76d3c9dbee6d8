"""Small videos of people who cross, without JAX: a pinhole camera, and who is behind is not found."""

import numpy as np

from gated_lift.people import Detections
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.generated import Proportions, walk


def project(poses, shift=0.0, scale=1.0):
    """Pixels of world poses seen along +y from 7 m away; the picture moves by ``shift`` pixels a frame."""
    depth = poses[..., 1] + 7.0
    x = 960 + 1200 * poses[..., 0] / depth + np.broadcast_to(shift, poses.shape[:1])[:, None]
    y = 540 - 1200 * (poses[..., 2] - 1.2) / depth
    return scale * np.stack([x, y], axis=-1)


def walkers(seconds=4.0, fps=30.0, lanes=((1, 0.0), (-1, 0.9)), speed=1.1):
    """World poses of people who walk across the picture and meet in its middle: (direction, depth) each."""
    frames = round(seconds * fps)
    return [
        walk(
            frames,
            fps,
            start=(-direction * speed * seconds / 2, depth),
            heading=0.0 if direction > 0 else np.pi,
            speed=speed,
            phase=0.37 * number,
            proportions=Proportions().scaled(1.0 - 0.04 * number),
        )
        for number, (direction, depth) in enumerate(lanes)
    ]


def detections_of(pictures, found, fps=30.0, seed=0, noise=0.006, scale=1.0):
    """Rows of a file, in random order within a frame, and the person of each.

    pictures: (frames, 17, 2) pixels a person. found: (people, frames) booleans.
    """
    rng = np.random.default_rng(seed)
    person, frame = np.nonzero(found)
    order = np.lexsort((rng.random(len(frame)), frame))
    person, frame = person[order], frame[order]
    keypoints = np.array(pictures)[person, frame]
    height = np.ptp(np.array(pictures)[..., 1], axis=-1).max() if len(frame) else 1.0
    keypoints = keypoints + rng.normal(0, noise * height, keypoints.shape)
    made = Detections(
        frame=frame,
        keypoints=keypoints,
        confidence=np.full(keypoints.shape[:2], 0.9),
        ids=None,
        skeleton=H36M_17,
        num_frames=found.shape[1],
        fps=fps,
        times=None,
        image_size=(round(1920 * scale), round(1080 * scale)),
        format="generated",
        source="test",
    )
    return made, person


def crossing(fps=30.0, seconds=3.0, hidden=0.5, scale=1.0, seed=0, shake=True):
    """Two people cross; the one behind is not found for ``hidden`` seconds; the camera is not still."""
    poses = walkers(seconds, fps)
    frames = len(poses[0])
    time = np.arange(frames) / fps
    shift = 60 * np.sin(2 * np.pi * 0.3 * time + seed) + 6 * np.sin(2 * np.pi * 2.1 * time) if shake else 0.0
    pictures = [project(pose, shift, scale) for pose in poses]
    found = np.ones((2, frames), bool)
    found[1, np.abs(time - seconds / 2) < hidden / 2] = False
    return detections_of(pictures, found, fps, seed, scale=scale)


def identities(made, person, tracks):
    """For each true person the names of the tracks that have keypoints of theirs, by position."""
    result = []
    for number in np.unique(person):
        rows = np.flatnonzero(person == number)
        frames = made.frame[rows]
        apart = np.abs(tracks.keypoints[:, frames] - made.keypoints[rows]).max(axis=(-1, -2))
        which = np.argwhere(np.nan_to_num(apart, nan=1e9) < 1e-6)
        result.append({tracks.names[track] for track, _ in which})
    return result
