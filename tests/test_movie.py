import logging
import shutil
import sys
from importlib.util import find_spec as find_any

import numpy as np
import pytest
from lifted import crossing, some_of, write_film
from matplotlib.colors import to_rgb
from PIL import Image

from gated_lift.drawing import movie
from gated_lift.drawing.figures import color_of
from gated_lift.drawing.movie import film_frames, write_movie
from gated_lift.drawing.shown import prepare_people

av = pytest.importorskip("av")


def pictures_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def ink(frame, color):
    """How many pixels of a frame's left and right half have about this colour."""
    near = (np.abs(frame / 255.0 - np.array(to_rgb(color))) < 0.12).all(axis=-1)
    half = frame.shape[1] // 2
    return int(near[:, :half].sum()), int(near[:, half:].sum())


def test_a_film_shows_everybody_who_is_present(tmp_path):
    path = write_movie(crossing(24, fps=24.0), tmp_path / "new" / "film.mp4")
    assert path == tmp_path / "new" / "film.mp4"
    frames = pictures_of(path)
    assert len(frames) == 24 and frames[0].shape == (720, 1280, 3)
    # Bob is not there on the first frames; what is left of his colour then is his line in the legend.
    legend, late = ink(frames[0], color_of(1)), ink(frames[20], color_of(1))
    assert late[0] > legend[0] + 25 and late[1] > legend[1] + 50
    assert min(ink(frames[0], color_of(0))) > 200
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("axes", ["camera", "world"])
def test_frames_are_thinned_and_drawn_in_both_axes(axes):
    people = crossing(12, axes=axes, moving=axes == "world")
    frames = list(film_frames(people, prepare_people(people), [None] * 12, step=5, dpi=50))
    assert len(frames) == 3 and frames[0].shape == (360, 640, 3)
    assert (frames[0] != frames[1]).any()


def test_names_are_not_mathematics():
    people = crossing(2, names=("_$\\frac{", "Bob" * 60))
    (frame, _) = film_frames(people, prepare_people(people), [None] * 2, title="$x")
    assert (frame[:, :4] == 255).all() and (frame[:, -4:] == 255).all()


def test_the_video_lies_under_the_keypoints(tmp_path):
    film = write_film(tmp_path / "in.mp4", 10, (192, 108))
    people = crossing(10, image_size=(192, 108))
    last = pictures_of(write_movie(people, tmp_path / "out.mp4", film))[-1]
    # The dark three quarters of the video's last frame.
    assert (np.abs(last[:, :640].astype(int) - 47) < 6).all(axis=-1).sum() > 60_000


def test_a_gif_keeps_the_length(tmp_path):
    path = write_movie(crossing(30, fps=30.0), tmp_path / "film.gif")
    with Image.open(path) as gif:
        assert gif.n_frames == 10 and gif.size == (768, 432)
        total = 0
        for number in range(gif.n_frames):
            gif.seek(number)
            total += gif.info["duration"]
    assert total == 1000


@pytest.mark.parametrize("program", [True, False])
def test_without_pyav(program, tmp_path, monkeypatch, caplog):
    """The program is taken where there is one, else a GIF is written and said to be one."""
    used = []
    monkeypatch.setattr(movie, "find_spec", lambda name: None if name == "av" else find_any(name))
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/ffmpeg" if program else None)

    def stand_in(path, frames, fps):
        used.append(len(list(frames)))
        path.write_bytes(b"film")

    monkeypatch.setattr(movie, "_write_with_ffmpeg", stand_in)
    with caplog.at_level(logging.WARNING):
        path = write_movie(crossing(3), tmp_path / "film.mp4")
    assert path.suffix == (".mp4" if program else ".gif") and path.exists()
    assert used == ([3] if program else [])
    assert ("neither PyAV nor an ffmpeg program: writing" in caplog.text) == (not program)


def test_the_program_is_fed_and_its_words_are_passed_on(tmp_path, monkeypatch):
    """A stand-in for ffmpeg: it writes what it was given, or complains."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    frames = [np.full((4, 6, 3), number, np.uint8) for number in range(3)]
    code = "import sys; open(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    movie._write_with_ffmpeg(tmp_path / "out.mp4", frames, 25.0)
    np.testing.assert_array_equal(
        np.frombuffer((tmp_path / "out.mp4").read_bytes(), np.uint8).reshape(3, 4, 6, 3), frames
    )
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    with pytest.raises(OSError, match="ffmpeg could not write the film: no such codec"):
        movie._write_with_ffmpeg(tmp_path / "out.mp4", frames, 25.0)


def test_nothing_half_written_and_nothing_overwritten(tmp_path):
    people = crossing(4)
    with pytest.raises(ValueError, match=r"ends in '\.avi': give a name that ends in \.mp4 or \.gif"):
        write_movie(people, tmp_path / "film.avi")
    film = write_film(tmp_path / "in.mp4", 4, (192, 120))
    with pytest.raises(ValueError, match="is 192x120 pixels"):
        write_movie(people, tmp_path / "film.mp4", film)
    assert list(tmp_path.iterdir()) == [film]
    with pytest.raises(FileExistsError, match=r"in\.mp4 exists: choose another name, or pass overwrite=True"):
        write_movie(people, film)
    before = film.read_bytes()
    assert write_movie(people, film, overwrite=True) == film and film.read_bytes() != before


def test_nobody_and_one_frame(tmp_path):
    frames = pictures_of(write_movie(some_of(crossing(3), slice(0)), tmp_path / "nobody.mp4"))
    assert len(frames) == 3
    assert len(pictures_of(write_movie(crossing(1), tmp_path / "one.mp4"))) == 1
