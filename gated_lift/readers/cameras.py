"""Cameras from files: intrinsics of other tools, and the path that a camera took.

Intrinsics: JSON (``{"focal": [fx, fy], "center": [cx, cy], "radial": [k1, k2, k3], "tangential": [p1, p2],
"image_size": [width, height]}``, the last three optional), OpenCV's YAML, COLMAP's cameras.txt and Pose2Sim's
TOML. Paths: TUM (``time x y z qx qy qz qw`` a line), COLMAP's images.txt and JSON (``{"rotation": [3 x 3 a
frame], "position": [3 a frame]}``, rotation from world to camera axes, position in world metres).
"""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.spatial.transform import Rotation, Slerp

from gated_lift.readers.json_file import read_object
from gated_lift.readers.text_file import decode, read_bytes
from solvers import Camera, Extrinsics

# Bytes; a camera is a few hundred, a path a hundred a frame.
LARGEST = 64 * 2**20

WHAT = ("a camera", "give the keys that docs/formats.md lists")

# COLMAP's models by name: where fx, fy, cx, cy and the lens's k1, k2, p1, p2 stand among a camera's numbers.
COLMAP_MODELS: dict[str, tuple[tuple[int, int, int, int], tuple[int, ...], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), (), ()),
    "PINHOLE": ((0, 1, 2, 3), (), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), (3,), ()),
    "RADIAL": ((0, 0, 1, 2), (3, 4), ()),
    "OPENCV": ((0, 1, 2, 3), (4, 5), (6, 7)),
}


class FileCamera(NamedTuple):
    """Intrinsics, and the width and height in pixels of the images they are of, where the file says."""

    camera: Camera
    image_size: tuple[int, int] | None


def read_intrinsics(path: str | Path, name: str | None = None) -> FileCamera:
    """The camera of a file; the format is told by the content.

    name: which camera, where the file holds several (COLMAP's number, Pose2Sim's table or its name).
    Raises ValueError, naming the file, for anything that is no such camera: lenses of other models (fisheye),
    several cameras without a name, numbers that are missing or not finite.
    """
    path = Path(path)
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        return _of_json(path)
    if path.suffix.lower() == ".toml":
        return _of_pose2sim(path, text, name)
    if path.suffix.lower() in (".yml", ".yaml") or text.startswith("%YAML"):
        return _of_opencv(path, text)
    if any(model in text for model in ("PINHOLE", "RADIAL", "OPENCV", "FISHEYE", "FOV")):
        return _of_colmap(path, text, name)
    raise ValueError(
        f"{path} is no camera: give JSON, OpenCV's YAML, COLMAP's cameras.txt or Pose2Sim's TOML"
    )


def read_camera_path(path: str | Path, times: np.ndarray) -> Extrinsics:
    """Where the camera is on every frame of a video.

    times: (F,) seconds of the video's frames. Poses of a TUM file are taken at these times, interpolated
    (positions along lines, rotations along great circles); a file of as many poses as frames is taken frame
    by frame, whatever its time stamps say (those of a camera's clock, for example). COLMAP's images are
    sorted by name, one a frame. World axes are those of the file: the floor is level only if its z points
    up, and lengths are metres only if it measured them.
    Raises ValueError, naming the file, where there are fewer poses than frames and no times that cover them.
    """
    path = Path(path)
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        told = read_object(path, *WHAT)
        rotation = _numbers(path, told, "rotation", (-1, 3, 3))
        position = _numbers(path, told, "position", (-1, 3))
        if len(rotation) != len(position):
            raise ValueError(
                f"{path} has {len(rotation)} rotations and {len(position)} positions: one of each a frame"
            )
        stamps = _numbers(path, told, "times", (-1,)) if "times" in told else None
        return _at_times(path, Rotation.from_matrix(rotation), position, stamps, times)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = [line.split() for line in lines]
    if rows and all(len(row) == 8 for row in rows):
        values = _table(path, rows)
        turn = Rotation.from_quat(_quaternions(path, values[:, 4:]))
        return _at_times(path, turn.inv(), values[:, 1:4], values[:, 0], times)
    poses = [row for row in rows if len(row) == 10 and re.fullmatch(r"\d+", row[0])]
    if poses:
        poses.sort(key=lambda row: row[9])
        values = _table(path, [row[1:8] for row in poses])
        turn = Rotation.from_quat(_quaternions(path, values[:, [1, 2, 3, 0]]))
        position = -turn.inv().apply(values[:, 4:])
        return _at_times(path, turn, position, None, times)
    raise ValueError(
        f"{path} is no camera path: give TUM's lines (time x y z qx qy qz qw), COLMAP's images.txt or JSON"
    )


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path} is no file: give the path of one")
    return decode(read_bytes(path, *WHAT, LARGEST), path, *WHAT)


def _camera(path: Path, numbers: Any, radial: Any = (), tangential: Any = (), size: Any = None) -> FileCamera:
    try:
        fx, fy, cx, cy = (float(value) for value in numbers)
        k = [float(value) for value in radial]
        p = [float(value) for value in tangential]
        image = None if size is None else (round(float(size[0])), round(float(size[1])))
    except (TypeError, ValueError, IndexError, OverflowError):
        raise ValueError(f"{path} has something other than numbers for its camera") from None
    if len(k) > 3 or len(p) not in (0, 2):
        raise ValueError(f"{path} has {len(k)} radial and {len(p)} tangential terms: at most 3, and 0 or 2")
    if not np.isfinite([fx, fy, cx, cy, *k, *p]).all() or min(fx, fy) <= 0:
        raise ValueError(f"{path} has a focal length of {fx}, {fy} and a centre of {cx}, {cy}: give pixels")
    k += [0.0] * (3 - len(k))
    p = p or [0.0, 0.0]
    return FileCamera(Camera((fx, fy), (cx, cy), (k[0], k[1], k[2]), (p[0], p[1])), image)


def _of_json(path: Path) -> FileCamera:
    told = read_object(path, *WHAT)
    focal, center = (_numbers(path, told, name, (2,)) for name in ("focal", "center"))
    radial = _numbers(path, told, "radial", (3,)) if "radial" in told else ()
    tangential = _numbers(path, told, "tangential", (2,)) if "tangential" in told else ()
    size = _numbers(path, told, "image_size", (2,)) if "image_size" in told else None
    return _camera(path, (*focal, *center), radial, tangential, size)


def _numbers(path: Path, told: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.array(told[name], dtype=np.float64)
    except KeyError:
        raise ValueError(f"{path} lacks {name!r}") from None
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name!r} of {path} is not an array of numbers") from None
    wanted = values.shape[: values.ndim] if shape[0] < 0 else shape
    fits = values.ndim == len(shape) and values.shape[1:] == shape[1:] and values.shape == tuple(wanted)
    if not fits or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"{name!r} of {path} has shape {values.shape} or is not finite: give {shape}, −1 any"
        )
    return values


def _of_colmap(path: Path, text: str, name: str | None) -> FileCamera:
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    cameras = {row[0]: row[1:] for row in rows if len(row) > 4}
    row = _the_one(path, cameras, name)
    if row[0] not in COLMAP_MODELS:
        raise ValueError(
            f"{path} has a lens of the model {row[0]}: undistort it to {', '.join(COLMAP_MODELS)}"
        )
    places, radial, tangential = COLMAP_MODELS[row[0]]
    numbers = row[3:]
    needed = 1 + max(*places, *radial, *tangential)
    if len(numbers) < needed:
        raise ValueError(f"{path} has {len(numbers)} numbers for a {row[0]} camera, which has {needed}")
    pinhole, k, p = ([numbers[place] for place in part] for part in (places, radial, tangential))
    return _camera(path, pinhole, k, p, row[1:3])


def _of_pose2sim(path: Path, text: str, name: str | None) -> FileCamera:
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    cameras = {key: table for key, table in told.items() if isinstance(table, dict) and "matrix" in table}
    by_name = {str(table.get("name", key)): table for key, table in cameras.items()}
    table = _the_one(path, by_name if name in by_name else cameras, name)
    if table.get("fisheye"):
        raise ValueError(f"{path} has a fisheye lens: undistort the keypoints first")
    matrix = _numbers(path, table, "matrix", (3, 3))
    lens = _numbers(path, table, "distortions", (-1,)) if table.get("distortions") else np.zeros(4)
    return _of_matrix(path, matrix, lens, table.get("size"))


def _of_matrix(path: Path, matrix: np.ndarray, lens: np.ndarray, size: Any) -> FileCamera:
    """OpenCV's order of the lens: k1, k2, p1, p2, k3 and, of the rational model, more, which must be 0."""
    if len(lens) < 4 or lens[5:].any():
        raise ValueError(f"{path} has {len(lens)} terms of distortion: give k1, k2, p1, p2 and perhaps k3")
    numbers = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    return _camera(path, numbers, (*lens[:2], *lens[4:5]), lens[2:4], size)


class _OpenCVLoader(yaml.SafeLoader):
    """Plain YAML, in which OpenCV's matrices are tables."""


_OpenCVLoader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _of_opencv(path: Path, text: str) -> FileCamera:
    # OpenCV writes "%YAML:1.0", which YAML itself writes with a blank.
    body = re.sub(r"\A%YAML.*\n(---\s*\n)?", "", text)
    try:
        told = yaml.load(body, Loader=_OpenCVLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no YAML of OpenCV's: {str(error).splitlines()[0]}") from None
    if not isinstance(told, dict):
        raise ValueError(f"{path} holds no named matrices")

    def matrix(*names: str) -> np.ndarray | None:
        for key in names:
            value = told.get(key)
            if isinstance(value, dict) and "data" in value:
                return _numbers(path, value, "data", (-1,))
        return None

    numbers = matrix("camera_matrix", "cameraMatrix", "K", "M1")
    if numbers is None or numbers.size != 9:
        raise ValueError(f"{path} lacks a 3 x 3 camera_matrix")
    lens = matrix("distortion_coefficients", "dist_coeffs", "distCoeffs", "D", "D1")
    width, height = told.get("image_width"), told.get("image_height")
    size = (width, height) if width and height else None
    return _of_matrix(path, numbers.reshape(3, 3), np.zeros(4) if lens is None else lens, size)


def _the_one(path: Path, cameras: dict[str, Any], name: str | None) -> Any:
    if not cameras:
        raise ValueError(f"{path} holds no camera")
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name not in cameras:
        raise ValueError(f"{path} holds the cameras {', '.join(cameras)}: name one of them")
    return cameras[name]


def _table(path: Path, rows: list[list[str]]) -> np.ndarray:
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        raise ValueError(f"{path} has something other than numbers in its poses") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{path} has numbers that are not finite in its poses")
    return values


def _quaternions(path: Path, values: np.ndarray) -> np.ndarray:
    if (np.abs(np.linalg.norm(values, axis=1) - 1) > 0.01).any():
        raise ValueError(f"{path} has quaternions that are not of length 1")
    return values


def _at_times(
    path: Path, turn: Rotation, position: np.ndarray, stamps: np.ndarray | None, times: np.ndarray
) -> Extrinsics:
    """The poses on a video's frames; ``turn`` goes from world to camera axes."""
    if len(position) not in (1, len(times)):
        if stamps is None or len(np.unique(stamps)) < len(stamps) or np.any(np.diff(stamps) < 0):
            raise ValueError(
                f"{path} has {len(position)} poses and the video {len(times)} frames: give one a frame, or "
                "time stamps that rise"
            )
        if stamps[0] > times[0] + 1e-6 or stamps[-1] < times[-1] - 1e-6:
            raise ValueError(
                f"{path} covers {stamps[0]:.3f} to {stamps[-1]:.3f} s, the video {times[0]:.3f} to "
                f"{times[-1]:.3f} s: give poses for all of it"
            )
        position = np.stack([np.interp(times, stamps, column) for column in position.T], axis=1)
        turn = Slerp(stamps, turn)(np.clip(times, stamps[0], stamps[-1]))
    return Extrinsics(turn.as_matrix().astype(np.float32), position.astype(np.float32))
