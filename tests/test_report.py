import base64
import io
import json
import re

import numpy as np
import pytest
from lifted import FILMS, crossing, some_of, write_film
from PIL import Image

from gated_lift.drawing import report
from gated_lift.drawing.report import (
    JOINT_STEP,
    KEYPOINT_STEP,
    NOTHING,
    PICTURE_BYTES,
    report_data,
    report_page,
    show_report,
    write_report,
)
from gated_lift.drawing.scene import upright
from solvers import Status

TYPES = {"int16": "<i2", "uint8": "u1", "float32": "<f4", "float64": "<f8"}


def decoded(array):
    """What the page makes of an array."""
    values = np.frombuffer(base64.b64decode(array["data"]), TYPES[array["type"]]).reshape(array["shape"])
    if "step" not in array:
        return values
    return np.where(values == NOTHING, np.nan, values * array["step"])


def data_of(page):
    """The data in a page's HTML, found as a browser finds it: up to the first end of a script element."""
    (packed,) = re.findall(r'<script type="application/json" id="data">(.*?)</script', page, re.S)
    return json.loads(packed)


# ----------------------------------------------------------------------------------------- what it holds


@pytest.mark.parametrize("axes", ["camera", "world"])
def test_joints_come_back_within_the_stated_rounding(axes, tmp_path):
    people = crossing(axes=axes, moving=axes == "world")
    data = data_of(write_report(people, tmp_path / "report.html").read_text(encoding="utf-8"))
    stand = upright if axes == "camera" else np.asarray
    root, joints = decoded(data["root"]).astype(np.float64), decoded(data["joints"])
    np.testing.assert_allclose(root, stand(people.root), atol=1e-5, equal_nan=True)
    np.testing.assert_allclose(
        root[:, :, None] + joints, stand(people.joints), atol=JOINT_STEP / 2 + 1e-5, equal_nan=True
    )
    np.testing.assert_allclose(
        decoded(data["keypoints"]), people.keypoints, atol=KEYPOINT_STEP / 2 + 1e-6, equal_nan=True
    )
    np.testing.assert_array_equal(decoded(data["hidden"]).astype(bool), people.hidden)
    np.testing.assert_array_equal(decoded(data["present"]).astype(bool), people.present)
    np.testing.assert_allclose(decoded(data["residual"]), people.residual, atol=1e-5, equal_nan=True)
    np.testing.assert_array_equal(decoded(data["times"]), people.times)
    assert np.isnan(joints[1, :6]).all() and np.isfinite(joints[0]).all()
    assert data["axes"] == axes and data["size"] == [1920, 1080]
    assert [person["status"] for person in data["people"]] == ["converged", "partly seen"]
    known = people._replace(size=np.ones(2), size_std=np.array([0.05, np.nan]))
    tall = [person["tall"] for person in report.report_data(known)["people"]]
    assert tall[0].endswith("± 0.08 m") and tall[1].endswith(" m") and "±" not in tall[1]
    assert "±" not in data["people"][0]["tall"]


def test_long_films_are_thinned(monkeypatch):
    monkeypatch.setattr(report, "DATA_BYTES_AT_MOST", 10_000)
    people = crossing(60)
    data = report_data(people)
    assert data["step"] == 5 and data["joints"]["shape"][1] == 12
    # What a joint takes is what is reckoned, but for the rest that is not the joints'.
    monkeypatch.undo()
    size = len(report_page(crossing(1000))) - len(report_page(crossing(10)))
    assert 0.9 < size / (report.JOINT_BYTES * 990 * 2 * 17) < 1.4


def test_a_fast_film_is_thinned():
    data = report_data(crossing(60, fps=120.0))
    assert data["step"] == 2 and data["joints"]["shape"] == [2, 30, 17, 3] and data["frames"] == 60
    np.testing.assert_allclose(decoded(data["times"]), np.arange(30) / 60)
    assert report_data(crossing(10, fps=60.0005))["step"] == 1


@pytest.mark.parametrize(
    "bad", ["</script><script>bad()</script>", "<!--<script>", "@@DATA@@", "\u2028'\"&\\"]
)
def test_names_are_harmless(bad):
    people = crossing(3, names=(bad, "Bob"))._replace(source=f"clips/{bad.replace('/', '')}")
    page = report_page(people, title=bad)
    assert data_of(page)["people"][0]["name"] == bad and data_of(page)["title"] == bad
    harmless = report_page(crossing(3), title="x")
    assert page.count("<script") == harmless.count("<script") and page.count("<!--") == harmless.count("<!--")


def test_a_page_asks_for_nothing():
    page = report_page(crossing(3))
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!data:)[\w/.]|@import|url\(|fetch\(|https?:""", page)


# -------------------------------------------------------------------------------------------------- size


def test_a_minute_of_two_people_is_small(tmp_path):
    """Without video 1.3 MB at 25 frames a second, most of it joints and their places on the picture."""
    path = write_report(crossing(1500), tmp_path / "report.html")
    assert path.stat().st_size < 1.5e6
    fastest = write_report(crossing(3600, fps=60.0), tmp_path / "fast.html")
    assert fastest.stat().st_size < 4e6


def test_pictures_stay_within_their_bytes(monkeypatch):
    """Noise is what JPEG can do least for. A minute's bytes of pictures and data are below 10 MB."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (288, 512, 3), dtype=np.uint8) for _ in range(20)]
    for count in (20, 100):  # fewer than are tried, and more
        kept, apart = report._within((frames[i % 20] for i in range(count)), 1, count, 800_000.0)
        assert 300_000 < sum(map(len, kept)) <= 800_000 and len(kept) == -(-count // apart)
    kept, apart = report._within(iter(frames), 5, 20, 1e9)
    assert len(kept) == 4 and apart == 1
    # A film that turns from black to noise fits too.
    film = [np.zeros_like(frames[0])] * 100 + frames * 5
    kept, apart = report._within(iter(film), 1, 200, 800_000.0)
    assert sum(map(len, kept)) <= 800_000 and len(kept) == -(-200 // apart)
    assert PICTURE_BYTES * 60 * 4 / 3 + 1.5e6 < 10e6


def test_pictures_are_the_videos_frames(tmp_path):
    pytest.importorskip("av")
    film = write_film(tmp_path / "film.mp4", 10, (192, 108))
    data = data_of(report_page(crossing(10, image_size=(192, 108)), film))
    assert data["pictures"]["every"] == 1 and len(data["pictures"]["data"]) == 10
    grey = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))))[80:, 120:].mean()
        for jpeg in data["pictures"]["data"]
    ]
    np.testing.assert_allclose(grey, 20 + 3 * np.arange(10), atol=5)


@pytest.mark.skipif(not FILMS.is_dir(), reason="the real films are not here")
def test_a_real_film(tmp_path):
    pytest.importorskip("av")
    people = crossing(100, fps=60.0, image_size=(1088, 1920))
    path = write_report(people, tmp_path / "report.html", FILMS / "cam02.mp4")
    assert 0.5e6 < path.stat().st_size < 4.5e6


# ----------------------------------------------------------------------------------- files and bad input


def test_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "report.html"
    assert write_report(crossing(3), path) == path
    before = path.read_text(encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"report\.html exists: choose another name, or pass"):
        write_report(crossing(4), path)
    with pytest.raises(ValueError, match="axes is 'sideways'"):
        write_report(crossing(4)._replace(axes="sideways"), path, overwrite=True)
    assert path.read_text(encoding="utf-8") == before and list(path.parent.iterdir()) == [path]
    write_report(crossing(4), path, overwrite=True)
    assert data_of(path.read_text(encoding="utf-8"))["frames"] == 4
    with pytest.raises(IsADirectoryError, match="new is a folder"):
        write_report(crossing(3), tmp_path / "new", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        write_report(crossing(3), tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": np.zeros((2, 3, 16, 3))}, "joints has 16 joints, but h36m_17 has 17"),
        ({"joints": np.zeros((2, 0, 17, 3))}, "at least one frame"),
        ({"root": np.zeros((2, 4, 3))}, r"root has shape \(2, 4, 3\)"),
        ({"names": ("Anna",)}, r"names has shape \(1,\)"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"image_size": (0, 1080)}, "image width is 0"),
        ({"times": np.array([0.0, 0.2, 0.1])}, "times goes back or is not finite at frame 2"),
        ({"times": np.array([0.0, np.nan, 0.1])}, "times goes back or is not finite at frame 1"),
    ],
)
def test_bad_people_are_named(change, words):
    with pytest.raises(ValueError, match=words) as raised:
        report_page(crossing(3)._replace(**change))
    assert "\n" not in str(raised.value)


def test_nobody_and_nobody_placed():
    nobody = data_of(report_page(some_of(crossing(3), slice(0))))
    assert nobody["people"] == [] and nobody["frames"] == 3
    people = crossing(3)
    lost = people._replace(
        joints=np.full_like(people.joints, np.nan),
        root=np.full_like(people.root, np.nan),
        status=np.full(2, Status.MISFIT),
    )
    assert [person["good"] for person in data_of(report_page(lost))["people"]] == [False, False]


def test_a_notebook_shows_the_page():
    view = show_report(crossing(3), height=500)
    html = view._repr_html_()
    assert len(repr(view)) < 100
    (inside,) = re.findall(r'srcdoc="([^"]*)"', html)
    assert 'height="500"' in html and "&lt;!doctype html&gt;" in inside
