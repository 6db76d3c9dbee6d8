"""The points of C3D files, against ezc3d's and against files whose bytes are known."""

import numpy as np
import pytest
from exported import lifted_people

from experiments.fuzzing import samples
from gated_lift.exports import export
from gated_lift.readers.c3d_file import DEC, _floats, read_points

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-900, 900, (5, 3, 3)).round(1)
LABELS = ("A", "Bo", "")


def test_points_are_those_of_ezc3d(tmp_path):
    ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is in the extra exports")
    people = lifted_people(30)._replace(names=("anna", "bob"))
    (path,) = export(people, tmp_path / "clip.c3d")
    file = ezc3d.c3d(str(path))
    found = read_points(path)
    np.testing.assert_array_equal(found.values, np.moveaxis(file["data"]["points"][:3], 0, -1).swapaxes(0, 1))
    assert list(found.labels) == file["parameters"]["POINT"]["LABELS"]["value"]
    assert (found.fps, found.unit, found.y_screen) == (50, "mm", "+Y")
    # Analogue samples stand between the frames, and labels go on in a second list.
    crowd = ezc3d.c3d()
    values = np.ones((4, 300, 4))
    values[:3] = RNG.normal(size=(3, 300, 4))
    point, analog = crowd["parameters"]["POINT"], crowd["parameters"]["ANALOG"]
    point["LABELS"]["value"] = [f"p{at}" for at in range(300)]
    point["RATE"]["value"], analog["RATE"]["value"], analog["LABELS"]["value"] = (
        [100.0],
        [200.0],
        ["u", "v", "w"],
    )
    crowd["data"]["points"], crowd["data"]["analogs"] = values, RNG.normal(size=(1, 3, 8))
    crowd.write(str(tmp_path / "crowd.c3d"))
    found = read_points(tmp_path / "crowd.c3d")
    np.testing.assert_allclose(found.values, np.moveaxis(values[:3], 0, -1).swapaxes(0, 1), rtol=1e-6)
    assert found.labels[-1] == "p299" and found.fps == 100


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_and_other_processors_are_read(tmp_path, integers, order):
    missing = np.zeros((5, 3), bool)
    missing[1, 2] = True
    points = POINTS.copy()
    points[3, 0] = 0
    path = samples.c3d(tmp_path / "a.c3d", points, LABELS, 120.0, "cm", "y", integers, order, missing)
    found = read_points(path)
    expected = np.where((missing | (points == 0).all(-1))[..., None], np.nan, points)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert found[1:] == (LABELS, 120, "cm", "+Y")


def test_decs_floats_are_intels_with_their_halves_exchanged():
    numbers = np.array([1.0, -118.625, 0.1], np.float32)
    halves = (4 * numbers).view(np.uint16).reshape(-1, 2)[:, ::-1]
    np.testing.assert_array_equal(_floats(halves.tobytes(), DEC), numbers)


@pytest.mark.parametrize(
    ("at", "byte", "message"),
    [
        (1, 0, "it does not begin as one"),
        (0, 99, "it has no parameters of a processor that is known"),
        (515, 1, "it has no parameters of a processor that is known"),
        (9, 200, "it is cut off before the last of its 51205 frames"),
        (2, 0, "it has 0 points on 5 frames"),
        (534, 120, "its parameters are damaged"),
    ],
)
def test_damage_is_an_error_of_one_line_that_names_the_file(tmp_path, at, byte, message):
    path = samples.c3d(tmp_path / "bad.c3d", POINTS, LABELS)
    data = bytearray(path.read_bytes())
    data[at] = byte
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_points(path)
    assert "bad.c3d" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_cut_off_are_refused_wherever(tmp_path):
    path = samples.c3d(tmp_path / "bad.c3d", POINTS, LABELS)
    whole = path.read_bytes()
    for length in (0, 3, 511, 600, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"bad\.c3d is not a C3D file as it should be"):
            read_points(path)
