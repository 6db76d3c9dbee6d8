import sys

import numpy as np
import pytest
from lifted import FILMS, write_film

from gated_lift.drawing.video import video_frames

av = pytest.importorskip("av")


def test_every_frame_comes_small_and_in_order(tmp_path):
    film = write_film(tmp_path / "film.mp4", 12, (192, 108))
    frames = list(video_frames(film, (192, 108), 12, 96))
    assert {frame.shape for frame in frames} == {(54, 96, 3)}
    grey = [float(frame[40:, 60:].mean()) for frame in frames]
    np.testing.assert_allclose(grey, 20 + 3 * np.arange(12), atol=4)
    (whole, *_) = video_frames(film, (192, 108), 12, 4000)
    assert whole.shape == (108, 192, 3)


@pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_rotation"), reason="this PyAV writes no rotation"
)
@pytest.mark.parametrize(("rotation", "corner"), [(-90, (0, 1)), (180, (1, 1)), (90, (1, 0))])
def test_a_lying_film_is_turned_as_players_turn_it(rotation, corner, tmp_path):
    """The white quarter, top left in the file, goes clockwise for a negative angle."""
    film = write_film(tmp_path / "film.mp4", 3, (192, 108), rotation)
    size = (192, 108) if rotation == 180 else (108, 192)
    (frame, *_) = video_frames(film, size, 3, 192)
    assert frame.shape[1::-1] == size
    assert brightest_quarter(frame) == corner


def brightest_quarter(frame):
    rows, columns = np.array(frame.shape[:2]) // 2
    quarters = frame[: 2 * rows, : 2 * columns, 0].reshape(2, rows, 2, columns).mean(axis=(1, 3))
    return np.unravel_index(quarters.argmax(), (2, 2))


@pytest.mark.parametrize(("rotate", "corner"), [(90, (0, 1)), (180, (1, 1)), (270, (1, 0))])
def test_pictures_are_turned_as_the_keypoints_were(rotate, corner, tmp_path):
    film = write_film(tmp_path / "film.mp4", 1, (192, 108), 0)
    size = (192, 108) if rotate == 180 else (108, 192)
    (frame,) = video_frames(film, size, 1, 192, rotate)
    assert frame.shape[1::-1] == size
    assert brightest_quarter(frame) == corner
    with pytest.raises(
        ValueError, match=r"is 192x108 pixels, but .* of a picture of 108x192, before they were"
    ):
        list(video_frames(film, (192, 108), 1, 192, 90))


def test_a_copy_of_another_size_is_taken_and_said(tmp_path, caplog):
    film = write_film(tmp_path / "film.mp4", 2, (192, 108))
    frames = list(video_frames(film, (854, 480), 2, 4000))
    assert {frame.shape for frame in frames} == {(108, 192, 3)}
    (said,) = caplog.messages
    assert "film.mp4 is 192x108 pixels and is scaled to the 854x480 of the keypoints' picture" in said


@pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_rotation"), reason="this PyAV writes no rotation"
)
def test_keypoints_of_the_lying_picture_of_a_phone(tmp_path, caplog):
    """The detector knew nothing of how the film is to be shown."""
    film = write_film(tmp_path / "film.mp4", 1, (192, 108), -90)
    (frame,) = video_frames(film, (192, 108), 1, 192)
    assert frame.shape == (108, 192, 3) and brightest_quarter(frame) == (0, 0)
    assert "it is shown as it is stored" in caplog.text
    # Turned by --rotate, it is as a player shows it.
    (frame,) = video_frames(film, (108, 192), 1, 192, 90)
    assert frame.shape == (192, 108, 3) and brightest_quarter(frame) == (0, 1)


@pytest.mark.parametrize("count", [9, 10, 11])
def test_one_frame_more_or_less_is_taken(count, tmp_path):
    film = write_film(tmp_path / "film.mp4", 10)
    frames = list(video_frames(film, (192, 108), count, 96))
    assert len(frames) == count
    if count == 11:
        np.testing.assert_array_equal(frames[-1], frames[-2])


@pytest.mark.parametrize(
    ("size", "count", "words"),
    [
        ((192, 108), 20, "has 10 frames, but the keypoints have 20"),
        ((192, 108), 5, "has 10 frames, but the keypoints have 5"),
        ((1920, 1200), 10, "is 192x108 pixels, but the keypoints are of a picture of 1920x1200"),
    ],
)
def test_another_film_is_named_on_one_line(size, count, words, tmp_path):
    film = write_film(tmp_path / "film.mp4", 10)
    with pytest.raises(ValueError, match=words) as raised:
        list(video_frames(film, size, count, 96))
    said = str(raised.value)
    assert str(film) in said and "give the video" in said and "\n" not in said


def test_what_is_no_film(tmp_path):
    for content in (b"", b"no film at all" * 100):
        (tmp_path / "film.mp4").write_bytes(content)
        with pytest.raises(ValueError, match=r"film.mp4 cannot be read as a video \(Invalid data"):
            list(video_frames(tmp_path / "film.mp4", (192, 108), 10, 96))
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4 is not there"):
        list(video_frames(tmp_path / "gone.mp4", (192, 108), 10, 96))


def test_a_cut_off_film_is_named(tmp_path):
    film = write_film(tmp_path / "film.mkv", 60)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 3])
    with pytest.raises(ValueError, match=r"film\.mkv"):
        list(video_frames(film, (192, 108), 60, 96))


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"gated-lift\[video\]"):
        list(video_frames(write_nothing(tmp_path), (192, 108), 10, 96))


def write_nothing(folder):
    (folder / "film.mp4").write_bytes(b"")
    return folder / "film.mp4"


@pytest.mark.skipif(not FILMS.is_dir(), reason="the real films are not here")
def test_real_films():
    frames = list(video_frames(FILMS / "cam01.mp4", (1088, 1920), 100, 320))
    assert len(frames) == 100 and frames[0].shape == (320, 182, 3)
    assert np.std(frames[50]) > 30
