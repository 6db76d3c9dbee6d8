"""Cameras of other tools' files, and the paths that they took."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gated_lift.readers.cameras import read_camera_path, read_intrinsics

OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 320., 0., 510., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.1, 0.02, 0.001, -0.002, 0.003 ]
"""
TOML = """[cam_1]
name = "left"
size = [ 640, 480]
matrix = [ [500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1.0]]
distortions = [ -0.1, 0.02, 0.001, -0.002]
fisheye = false
"""


def written(path, text):
    path.write_text(text)
    return path


def test_one_camera_in_every_format(tmp_path):
    told = {
        "focal": [500, 510],
        "center": [320, 240],
        "radial": [-0.1, 0.02, 0.003],
        "image_size": [640, 480],
    }
    told["tangential"] = [0.001, -0.002]
    for name, text, third in (
        ("a.json", json.dumps(told), 0.003),
        ("b.yml", OPENCV, 0.003),
        ("c.toml", TOML, 0.0),
        ("cameras.txt", "# comment\n1 OPENCV 640 480 500 510 320 240 -0.1 0.02 0.001 -0.002\n", 0.0),
    ):
        camera, size = read_intrinsics(written(tmp_path / name, text))
        assert camera.focal == (500, 510) and camera.center == (320, 240) and size == (640, 480), name
        assert camera.radial == (-0.1, 0.02, third) and camera.tangential == (0.001, -0.002), name


def test_colmaps_models_and_several_cameras(tmp_path):
    path = written(
        tmp_path / "cameras.txt", "1 SIMPLE_RADIAL 640 480 500 320 240 0.1\n2 PINHOLE 64 48 5 6 3 2\n"
    )
    assert read_intrinsics(path, "1").camera.radial == (0.1, 0, 0)
    assert read_intrinsics(path, "2").camera.focal == (5, 6)
    with pytest.raises(ValueError, match="holds the cameras 1, 2: name one of them"):
        read_intrinsics(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not a camera"),
        ("a.json", '{"focal": [500, 510]}', "lacks 'center'"),
        ("a.json", '{"focal": [0, 510], "center": [1, 1]}', "focal length of 0.0"),
        ("a.json", '{"focal": "far", "center": [1, 1]}', "'focal' of .* is not an array of numbers"),
        ("cameras.txt", "1 OPENCV_FISHEYE 640 480 1 2 3 4 5 6 7 8", "lens of the model OPENCV_FISHEYE"),
        ("cameras.txt", "1 PINHOLE 640 480 500 510", "has 2 numbers for a PINHOLE camera, which has 4"),
        ("a.toml", TOML.replace("false", "true"), "fisheye lens"),
        ("a.toml", "[", "is no TOML"),
        ("a.yml", "%YAML:1.0\n---\na: [", "is no YAML of OpenCV's"),
        ("a.yml", "a: 1", "lacks a 3 x 3 camera_matrix"),
        ("a.txt", "hello", "is no camera: give JSON"),
    ],
)
def test_what_is_no_camera_is_named(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_intrinsics(written(tmp_path / name, text))


def test_a_path_is_that_of_the_world(tmp_path):
    rng = np.random.default_rng(0)
    turn, position = Rotation.random(5, rng=0), rng.normal(size=(5, 3))  # from world to camera axes
    times = np.arange(5) / 25
    back, forth = turn.inv().as_quat(), turn.as_quat()
    shift = -turn.apply(position)
    rows = [" ".join(map(str, (t, *p, *q))) for t, p, q in zip(times, position, back, strict=True)]
    tum = "\n".join(["# time x y z", *rows])
    images = "\n".join(
        f"{k + 1} {q[3]} {q[0]} {q[1]} {q[2]} {t[0]} {t[1]} {t[2]} 1 frame_{k:03d}.jpg\n"
        for k, (q, t) in enumerate(zip(forth, shift, strict=True))
    )
    plain = json.dumps({"rotation": turn.as_matrix().tolist(), "position": position.tolist()})
    for name, text in (("tum.txt", tum), ("images.txt", images), ("path.json", plain)):
        found = read_camera_path(written(tmp_path / name, text), times)
        np.testing.assert_allclose(found.rotation, turn.as_matrix(), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.position, position, atol=1e-6, err_msg=name)
    # Between its time stamps a path is interpolated; it has to cover the video.
    halves = np.arange(9) / 50
    found = read_camera_path(tmp_path / "tum.txt", halves)
    np.testing.assert_allclose(found.position[1], position[:2].mean(axis=0), atol=1e-6)
    with pytest.raises(ValueError, match=r"covers 0.000 to 0.160 s, the video 0.000 to 0.180 s"):
        read_camera_path(tmp_path / "tum.txt", np.arange(10) / 50)
    with pytest.raises(ValueError, match="has 5 poses and the video 9 frames"):
        read_camera_path(tmp_path / "images.txt", halves)
    with pytest.raises(ValueError, match="is no camera path"):
        read_camera_path(written(tmp_path / "a.txt", "hello"), times)
    with pytest.raises(ValueError, match="quaternions that are not of length 1"):
        read_camera_path(written(tmp_path / "b.txt", "0 0 0 0 1 1 1 1"), times)
