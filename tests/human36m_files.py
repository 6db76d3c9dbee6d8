"""A small Human3.6M of generated motion, in exactly the files that VideoPose3D's users have."""

import numpy as np

from gated_lift.readers.human36m import RESOLUTIONS, read_takes
from gated_lift.readers.videopose3d import KEPT_JOINTS, TEST_SUBJECTS, TRAINING_SUBJECTS
from gated_lift.synthetic import generated

SUBJECTS = (*TRAINING_SUBJECTS, *TEST_SUBJECTS)
TAKES = ("Directions", "Directions 1", "Walking")
FRAMES = 40  # of every take: each length is compiled anew
SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
TARGET = np.array([0.0, 0.4, 1.0])


def motion():
    """{subject: {take: (FRAMES, 32, 3) world metres}}. Joints that are dropped stand somewhere else."""
    rng = np.random.default_rng(0)
    takes = {}
    for number, subject in enumerate(SUBJECTS):
        takes[subject] = {}
        for action in TAKES:
            figure = generated.Proportions().scaled(1 + 0.02 * number)
            settings = {"start": (-0.8, 0.2 * number - 0.4), "heading": rng.uniform(0, 6)}
            if action == "Walking":
                poses = generated.walk(FRAMES, 50.0, turn_rate=1.0, proportions=figure, **settings)
            else:
                gesture = generated.Gesture("reach", "left", 0.0, 1.0)
                poses = generated.stand(FRAMES, 50.0, proportions=figure, gestures=(gesture,), **settings)
            raw = rng.normal(size=(FRAMES, 32, 3))
            raw[:, KEPT_JOINTS] = poses
            takes[subject][action] = raw.astype(np.float32)
    return takes


def cameras():
    """Four views of every subject: focal, center, radial, tangential (OpenCV's order), rotation, position."""
    rng = np.random.default_rng(1)
    views = {}
    for subject in SUBJECTS:
        views[subject] = []
        for view in range(4):
            angle = np.pi * (0.25 + 0.5 * view) + rng.uniform(-0.1, 0.1)
            position = np.array([4.5 * np.cos(angle), 4.5 * np.sin(angle), rng.uniform(1.3, 1.8)])
            forward = TARGET - position
            forward = forward / np.linalg.norm(forward)
            right = np.cross(forward, [0, 0, 1])
            right = right / np.linalg.norm(right)
            views[subject].append(
                {
                    "focal": 1145 + rng.uniform(-4, 4, 2),
                    "center": 512 + rng.uniform(-4, 4, 2),
                    "radial": np.array([-0.2, 0.24, -0.003]) + rng.uniform(-0.01, 0.01, 3),
                    "tangential": rng.uniform(-0.0015, 0.0015, 2),
                    "rotation": np.stack([right, np.cross(forward, right), forward]),
                    "position": position,
                }
            )
    return views


def project(points, camera):
    """Human3.6M's projection of world points: no factor 2 in the cross term of the tangential part."""
    seen = (points - camera["position"]) @ camera["rotation"].T
    slope = seen[..., :2] / seen[..., 2:]
    square = (slope**2).sum(axis=-1, keepdims=True)
    pair = camera["tangential"][::-1]
    radial = 1 + sum(k * square ** (power + 1) for power, k in enumerate(camera["radial"]))
    lens = slope * (radial + (slope * pair).sum(axis=-1, keepdims=True)) + pair * square
    return lens * camera["focal"] + camera["center"]


def write(folder, noise=3.0, extra=2):
    """data_3d_h36m.npz, data_2d_h36m_gt.npz and a detector's data_2d_h36m_cpn.npz; videos outrun captures."""
    takes, views = motion(), cameras()
    rng = np.random.default_rng(2)

    def see(raw, camera):
        image = project(raw[:, KEPT_JOINTS].astype(np.float64), camera)
        return np.concatenate([image, np.repeat(image[-1:], extra, axis=0)]).astype(np.float32)

    truth = {
        subject: {
            action: [see(raw, camera) for camera in views[subject]] for action, raw in by_action.items()
        }
        for subject, by_action in takes.items()
    }
    detected = {
        subject: {
            action: [image + rng.normal(size=image.shape).astype(np.float32) * noise for image in images]
            for action, images in by_action.items()
        }
        for subject, by_action in truth.items()
    }
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=takes)
    np.savez_compressed(folder / "data_2d_h36m_gt.npz", positions_2d=truth, metadata=metadata)
    np.savez_compressed(folder / "data_2d_h36m_cpn.npz", positions_2d=detected, metadata=metadata)
    return folder


def camera_file(views=None):
    """The cameras as a camera file has them."""
    return {
        subject: [
            {"resolution": list(resolution), **{name: value.tolist() for name, value in camera.items()}}
            for camera, resolution in zip(by_view, RESOLUTIONS, strict=True)
        ]
        for subject, by_view in (views or cameras()).items()
    }


def read(folder, keypoints, cameras, subjects):
    cameras = cameras and folder / cameras
    return read_takes(folder / "data_3d_h36m.npz", folder / keypoints, cameras, True, subjects)
