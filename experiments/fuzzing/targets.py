"""Every reader with a small whole file of its own, which damage is done to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import runs
from experiments.fuzzing import samples
from gated_lift.clips import MotionClip
from gated_lift.exports import export, read_people
from gated_lift.exports.markers import marker_names
from gated_lift.people import people_of_clip
from gated_lift.readers import cameras, captures, human36m, videopose3d
from gated_lift.readers.bvh import read_bvh
from gated_lift.readers.c3d import read_c3d
from gated_lift.readers.detections import read_detections
from gated_lift.skeleton import COCO_17, H36M_17
from gated_lift.synthetic import generated

FRAMES = 6


class Target(NamedTuple):
    """write: makes a whole file in a folder and returns it. read: the reader, which may raise ValueError."""

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], Any]


def _detections(format: str | None) -> Callable[[Path], Any]:
    return lambda path: read_detections(path, format=format, fps=25.0, image_size=samples.SIZE)


def _text(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = samples.TEXTS[name](folder / "file_0.json")
        return Path(path)

    return write


def _archive(**arrays: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "file.npz", **arrays)
        return folder / "file.npz"

    return write


def _words(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def _lifted(suffix: str) -> Callable[[Path], Path]:
    people = people_of_clip(generated.crossing_pair(FRAMES, fps=25.0))

    def write(folder: Path) -> Path:
        path = folder / f"people{suffix}"
        export(people, path, overwrite=True)
        return path

    return write


def _captures(folder: Path) -> Path:
    poses = generated.walk(FRAMES, fps=50.0)[None].astype(np.float32)
    clip = MotionClip(poses, 50.0, H36M_17, "a", "1", "walk", 0.0, "free")
    return captures.write_captures(folder / "motion.npz", [clip])


def _c3d(integers: bool) -> Callable[[Path], Path]:
    joints = generated.walk(FRAMES, fps=50.0).astype(np.float64)
    labels = marker_names(H36M_17)
    return lambda folder: samples.c3d(folder / "motion.c3d", 1000 * joints, labels, integers=integers)


TUM = "".join(f"{0.04 * t:.2f} {t} 0 1.5 0 0 0 1\n" for t in range(FRAMES))
TIMES = np.arange(FRAMES) / 25.0
CAMERA = '{"focal": [1000, 1000], "center": [640, 360], "radial": [0.1, 0, 0], "image_size": [1280, 720]}'
STILL = (
    '{"S1": [{"resolution": [1000, 1000], "focal": [1145, 1145], "center": [512, 515], "rotation": '
    '[1, 0, 0, 0], "position": [0, 0, 1]}]}'
)
OPENCV = (
    "%YAML:1.0\n---\ncamera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
    "   data: [1000., 0., 640., 0., 1000., 360., 0., 0., 1.]\n"
)
POSE2SIM = (
    '[cam_01]\nname = "cam_01"\nsize = [1280.0, 720.0]\n'
    "matrix = [[1000.0, 0.0, 640.0], [0.0, 1000.0, 360.0], [0.0, 0.0, 1.0]]\n"
    "distortions = [0.0, 0.0, 0.0, 0.0]\nrotation = [0.0, 0.0, 0.0]\ntranslation = [0.0, 0.0, 0.0]\n"
)
COLMAP = "# Camera list\n1 OPENCV 1280 720 1000 1000 640 360 0.1 0 0 0\n"
LOG = '{"step": 1, "loss": 0.5, "epoch": 0.1}\n{"step": 2, "loss": 0.4, "epoch": 0.2}\n'

# A new reader is one more line here.
TARGETS: tuple[Target, ...] = (
    *(Target(f"{name}, found", _text(name), _detections(None)) for name in samples.TEXTS),
    *(Target(name, _text(name), _detections(name)) for name in samples.TEXTS),
    Target(
        "npz",
        _archive(keypoints=samples.people(COCO_17)[:1], skeleton="coco_17", fps=25),
        _detections(None),
    ),
    Target("rtmlib npz", lambda folder: samples.rtmlib_npz(folder / "file.npz"), _detections("rtmlib")),
    Target("mediapipe npz", _archive(landmarks=samples.landmarks()[:1]), _detections("mediapipe")),
    Target("videopose3d 2D", lambda folder: samples.videopose3d(folder / "file.npz"), _detections(None)),
    Target(
        "videopose3d 3D",
        _archive(positions_3d={"S1": {"walk": np.zeros((4, 32, 3), np.float32)}}),
        videopose3d.read_positions_3d,
    ),
    Target("captures", _captures, captures.read_captures),
    Target("bvh", lambda folder: samples.bvh(folder / "a.bvh", samples.swinging(FRAMES)), read_bvh),
    Target("c3d", _c3d(integers=False), read_c3d),
    Target("c3d of integers", _c3d(integers=True), read_c3d),
    Target("lifted npz", _lifted(".npz"), read_people),
    Target("lifted json", _lifted(".json"), read_people),
    Target("camera json", _words("camera.json", CAMERA), cameras.read_intrinsics),
    Target("camera opencv", _words("camera.yml", OPENCV), cameras.read_intrinsics),
    Target("camera pose2sim", _words("camera.toml", POSE2SIM), cameras.read_intrinsics),
    Target("camera colmap", _words("cameras.txt", COLMAP), cameras.read_intrinsics),
    Target("path tum", _words("path.txt", TUM), lambda path: cameras.read_camera_path(path, TIMES)),
    Target("cameras of human36m", _words("cameras.json", STILL), human36m.read_cameras),
    Target("training log", _words("metrics.jsonl", LOG), runs.read_log),
)
