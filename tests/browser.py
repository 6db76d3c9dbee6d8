"""A headless Chromium for the tests of pages. Without one, or without playwright, they skip and say so."""

import shutil
import time
from contextlib import contextmanager

import pytest

LOCAL = ("file:", "data:", "about")
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium():
    """A browser, closed at the end."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, NAMES)), None)
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def opened(browser, path, **settings):
    """A page of a file, with what it complained of."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 720}, **settings})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url),
    )
    page.goto(path.as_uri())
    until(page, "document.body.dataset.frame !== undefined")
    return page, said


def until(page, condition, seconds=10.0):
    """Waits for a condition in JavaScript; asked from here, as the pages forbid strings as programs."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition} did not come true within {seconds:g} s"
        page.wait_for_timeout(20)
