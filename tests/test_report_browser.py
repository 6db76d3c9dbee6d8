"""The report in a headless Chromium: what hands and keys do, and that it complains of nothing."""

import pytest
from browser import chromium, opened, until
from lifted import crossing, some_of, write_film

from gated_lift.drawing.report import show_report, write_report

BAD = "Bob </script><script>window.bad = 1</script>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    people = crossing(50, axes="world", moving=True, names=("Anna", BAD))
    return write_report(people, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser, path):
    page, said = opened(browser, path)
    yield page
    assert said == []
    page.close()


def state(page, name):
    return page.evaluate(f"document.body.dataset.{name}")


def at_frame(page, frame):
    until(page, f"document.body.dataset.frame === '{frame}'")


def ink(page, selector):
    """How many pixels of a canvas have something drawn on them."""
    return page.evaluate(
        """selector => {
          const canvas = document.querySelector(selector);
          const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
          return count;
        }""",
        selector,
    )


def test_keys_step_play_and_change_speed(page):
    page.keyboard.press("ArrowRight")
    at_frame(page, 1)
    page.keyboard.press("Shift+ArrowRight")
    at_frame(page, 26)
    page.keyboard.press("End")
    at_frame(page, 49)
    page.keyboard.press("ArrowRight")
    at_frame(page, 49)
    page.keyboard.press("Home")
    at_frame(page, 0)
    page.keyboard.press("ArrowDown")
    assert state(page, "speed") == "0.5"
    page.keyboard.press("Space")
    until(page, "+document.body.dataset.frame > 4")
    page.keyboard.press("Space")
    assert state(page, "playing") == "false"
    page.wait_for_timeout(100)
    stopped = state(page, "frame")
    page.wait_for_timeout(300)
    assert state(page, "frame") == stopped


def test_it_plays_at_the_films_own_pace_and_begins_again(page):
    """Two seconds of film; a slow machine skips frames, so it is behind by little."""
    page.click("#play")
    begin = page.evaluate("performance.now()")
    until(page, "+document.body.dataset.frame >= 25")
    passed = page.evaluate("performance.now()") - begin
    assert 800 < passed < 2500
    until(page, "+document.body.dataset.frame < 10")
    assert state(page, "playing") == "true" and page.inner_text("#play") == "Pause"
    page.keyboard.press("Space")
    assert state(page, "playing") == "false"


def test_it_is_scrubbed_by_slider_and_timelines(page):
    page.fill("#scrub", "30")
    at_frame(page, 30)
    assert "1.20 s of 2.00 s · frame 30" in page.inner_text("#clock")
    box = page.locator(".row canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.51 * box["width"], box["y"] + 10)
    at_frame(page, 25)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.81 * box["width"], box["y"] + 10)
    page.mouse.up()
    at_frame(page, 40)
    head = page.locator("#head").bounding_box()
    assert abs(head["x"] - (box["x"] + box["width"] * 40.5 / 50)) < 3


def test_people_are_followed(page):
    page.keyboard.press("1")
    assert state(page, "followed") == "Anna"
    page.keyboard.press("Escape")
    assert state(page, "followed") == ""
    page.click(".person >> nth=1")
    assert state(page, "followed") == BAD and page.inner_text(".person >> nth=1").startswith(BAD)
    page.keyboard.press("9")
    assert state(page, "followed") == ""
    # Whoever is followed stands in the middle of the panel on every frame, to be clicked at.
    page.keyboard.press("1")
    page.keyboard.press("End")
    at_frame(page, 49)
    page.wait_for_timeout(100)
    box = page.locator("#space canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert state(page, "followed") == ""
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    assert state(page, "followed") == ""


def test_hands_turn_and_zoom(page):
    box = page.locator("#space canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drawn():
        page.wait_for_timeout(80)
        return page.locator("#space canvas").screenshot()

    pictures = [drawn()]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y + 20, steps=4)
    page.mouse.up()
    pictures.append(drawn())
    page.mouse.wheel(0, -300)
    pictures.append(drawn())
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x - 60, y, steps=4)
    page.mouse.up(button="right")
    pictures.append(drawn())
    for key in "sct":
        page.keyboard.press(key)
        pictures.append(drawn())
    for layer in ("names", "paths", "tubes", "camera", "grid"):
        page.click(f"input[name={layer}]")
        pictures.append(drawn())
    assert len(set(pictures)) == len(pictures)
    page.keyboard.press("Space")
    assert state(page, "playing") == "true"  # no box has kept the focus


def test_nothing_runs_from_a_name(page):
    assert page.evaluate("window.bad") is None


@pytest.mark.parametrize("width", [1280, 900, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_and_nothing_sticks_out(width, scheme, browser, path):
    page, said = opened(browser, path, viewport={"width": width, "height": 720}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        """[...document.querySelectorAll('header, .bar, .stage, .controls, .row, #notes, footer')]
          .map(part => part.getBoundingClientRect())
          .map(({x, y, width, height}) => [x, y, x + width, y + height])"""
    )
    assert len(boxes) >= 10 and all(
        right > left + 50 and bottom > top + 8 for left, top, right, bottom in boxes
    )
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert (
                min(right, other[2]) - max(left, other[0]) < 1
                or min(bottom, other[3]) - max(top, other[1]) < 1
            )
    for selector in ("#clock", "#scrub", "#speed", "h1"):
        box = page.locator(selector).bounding_box()
        assert box["x"] > 0 and box["x"] + box["width"] < width
    if width == 1280:
        assert page.evaluate("document.documentElement.scrollHeight") <= 720
    assert ink(page, "#space canvas") > 1500 and ink(page, ".row canvas") > 1000
    assert said == []
    page.close()


def test_video_lies_under_the_keypoints(browser, tmp_path):
    pytest.importorskip("av")
    film = write_film(tmp_path / "film.mp4", 10, (192, 108))
    path = write_report(crossing(10, image_size=(192, 108)), tmp_path / "report.html", film)
    page, said = opened(browser, path)
    page.keyboard.press("End")
    at_frame(page, 9)
    page.wait_for_timeout(300)
    corners = page.evaluate(
        """() => {
          const canvas = document.querySelector('#picture canvas'), {width, height} = canvas;
          const {data} = canvas.getContext('2d').getImageData(0, 0, width, height), tall = width * 108 / 192;
          const row = (y) => Math.round(height / 2 + (y - 0.5) * tall);
          const grey = (x, y) => data[4 * (row(y) * width + Math.round(x * width))];
          return [grey(0.1, 0.15), grey(0.9, 0.85)];
        }"""
    )
    assert abs(corners[0] - 250) < 8 and abs(corners[1] - 47) < 8
    assert said == []
    page.close()


def test_nobody_is_said(browser, tmp_path):
    path = write_report(some_of(crossing(5), slice(0)), tmp_path / "report.html")
    page, said = opened(browser, path)
    assert page.inner_text("#empty") == "Nobody was found in this clip."
    page.keyboard.press("ArrowRight")
    at_frame(page, 1)
    assert said == [] and "0 people" in page.inner_text("#facts")
    page.close()


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_clips_play(frames, browser, tmp_path):
    path = write_report(crossing(frames), tmp_path / "report.html")
    page, said = opened(browser, path)
    page.keyboard.press("Space")
    page.wait_for_timeout(200)
    assert state(page, "playing") == "true" and said == []
    page.close()


def test_a_notebooks_frame_holds_the_page(browser, tmp_path):
    notebook = tmp_path / "cell.html"
    cell = show_report(crossing(10, names=("Anna", BAD)))._repr_html_()
    notebook.write_text(f"<!doctype html><body data-frame=''>{cell}", encoding="utf-8")
    page, said = opened(browser, notebook)
    frame = page.frames[1]
    until(frame, "document.body.dataset.frame === '0'")
    frame.click("#next")
    until(frame, "document.body.dataset.frame === '1'")
    assert said == [] and frame.evaluate("window.bad") is None
    page.close()
