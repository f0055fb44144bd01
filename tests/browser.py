"""A browser without a window, for tests of pages: the system's Chromium, driven by Playwright, with no network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

PIXELS = """async (image) => {
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const paper = canvas.getContext("2d");
  paper.drawImage(image, 0, 0);
  const { data } = paper.getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, btoa(Array.from(data, (level) => String.fromCharCode(level)).join(""))];
}"""
"""What gives an image element's size and its RGBA as base64."""


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser that finds no host but this machine; skips where there is none.

    ``ORGANZA_CHROMIUM`` names the program where it is not on the path.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install organza[dev]")
    program = os.environ.get("ORGANZA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    words += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", *options]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=words)
        try:
            yield browser
        finally:
            browser.close()
