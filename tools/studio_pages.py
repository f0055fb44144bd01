"""Screenshots of the studio for docs/studio-web.md, of a workspace with networks to look at.

    organza demo --outdir out/demo
    python tools/studio_pages.py out/demo --generator runs/00000-stylegan2-faces --translator runs/00001-pix2pix-peeps

It starts `organza studio` in the workspace, makes directions and a video there through the page, and writes JPEG files
to docs/images/studio-web/. It needs Playwright and Chromium, as the tests of the page do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import chromium  # noqa: E402

OUT = ROOT / "docs" / "images" / "studio-web"
PORT = 7899
WAIT = 300_000  # milliseconds


class Camera:
    """Pages of the studio in one size and one theme."""

    def __init__(self, browser: Browser, width: int, height: int, scheme: str, scale: float = 1.0) -> None:
        size = {"width": width, "height": height}
        self.context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=scale)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)

    def go(self, fragment: str) -> Locator:
        """Open a part of the page, and give its panel."""
        self.page.goto("about:blank")
        self.page.goto(f"http://127.0.0.1:{PORT}/#{fragment}")
        self.page.wait_for_selector("html[data-ready]")
        self.page.wait_for_load_state("networkidle")
        return self.page.locator("[role=tabpanel]:visible")

    def take(self, name: str) -> None:
        """Write what is seen, once the line at the bottom has gone and everything has loaded."""
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("document.getElementById('said').textContent = ''")
        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(700)
        self.page.screenshot(path=OUT / f"{name}.jpg", type="jpeg", quality=82)


def shots(browser: Browser, generator: str, translator: str | None, source: Path | None) -> None:
    """All of them."""
    light, dark = Camera(browser, 1180, 760, "light"), Camera(browser, 1180, 760, "dark")
    light.go("tab=networks&network=zoo/digits-vae")
    light.take("networks")
    panel = light.go(f"tab=explore&network={generator}&seed=3")
    panel.locator("summary", has_text="Directions").first.click()
    panel.get_by_text("Find directions").click()
    panel.get_by_role("button", name="Find", exact=True).click()
    panel.locator(".job[data-state=done]").wait_for()
    panel.get_by_label("sefa0, exact").wait_for()
    panel.locator("summary", has_text="Keyframes and videos").click()
    for _ in range(4):
        panel.get_by_role("button", name="Add to the keyframes").click()
        panel.get_by_role("button", name="The next seed").click()
    panel.get_by_label("Seconds, exact").fill("2")
    panel.get_by_label("Seconds, exact").press("Tab")
    panel.get_by_role("button", name="Make the video").click()
    panel.locator(".job[data-state=done] figure").nth(1).wait_for()
    for title in ("Seed, truncation, noise", "Find directions", "Keyframes and videos"):
        panel.locator("summary", has_text=title).first.click()
    for name, value in (("sefa0", "1.2"), ("sefa2", "-0.8")):
        panel.get_by_label(f"{name}, exact").fill(value)
        panel.get_by_label(f"{name}, exact").press("Tab")
    light.take("explore")
    light.go(f"tab=generate&network={generator}&psi=0.8&grid=0-23&columns=6")
    light.take("generate")
    dark.go(f"tab=generate&network={generator}&seed=6&psi=0.8")
    dark.take("generate-dark")
    if translator and source:
        panel = light.go(f"tab=translate&network={translator}")
        panel.get_by_label("Choose an image or a video").set_input_files(source)
        panel.get_by_role("img", name="The result").wait_for()
        light.take("translate")
    panel = dark.go(f"tab=train&runs={generator}")
    panel.get_by_label("Preset").select_option("stylegan2")
    panel.get_by_label("Kimg", exact=True).wait_for()
    dark.take("train")
    panel = light.go("tab=jobs")
    panel.locator("figure").first.wait_for()
    panel.locator(".job").first.get_by_text("Command and log").click()
    light.take("jobs")
    phone = Camera(browser, 360, 720, "light", scale=1.5)
    phone.go(f"tab=generate&network={generator}&seed=3&psi=0.8")
    phone.take("phone")


def main() -> None:
    """Start the studio, take them, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--generator", default="zoo/digits-vae", help="the id of a network with styles")
    parser.add_argument("--translator", help="the id of a translator")
    parser.add_argument("--source", type=Path, help="an image for it")
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    words = ["-m", "organza", "studio", f"--workspace={given.workspace}", f"--port={PORT}", "--no-browser"]
    server = subprocess.Popen([sys.executable, *words])
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        with chromium() as browser:
            shots(browser, given.generator, given.translator, given.source)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
