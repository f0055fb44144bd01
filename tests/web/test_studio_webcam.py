"""A face before the webcam is cartooned by the studio, and nobody before it is no error."""

from __future__ import annotations

import base64
import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from organza import preset, train
from organza.cli.web.forms import forms
from organza.web.studio.app import make_studio
from organza.web.studio.workspace import Workspace
from tests.browser import FAKE_CAMERA, PIXELS, chromium
from tests.web.conftest import at_a_port, until

WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"
PORTRAITS = WEIGHTS.parent / "data" / "portraits_pd.zip"
HELPERS = ("mtcnn/pnet.pt", "mtcnn/rnet.pt", "mtcnn/onet.pt", "faces/selfie.onnx")

pytestmark = pytest.mark.skipif(
    not (WEIGHTS / "faces" / "selfie.onnx").is_file() or not PORTRAITS.is_file(),
    reason="needs weights of helper networks and photographs beside the checkout",
)


def film(frames, path):
    """Images as the video that Chromium's camera shows in a circle: raw frames, 4:2:0."""
    width, height = frames[0].size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            y, *colours = frame.convert("YCbCr").split()
            file.write(b"FRAME\n" + y.tobytes() + b"".join(each.reduce(2).tobytes() for each in colours))
    return path


@pytest.fixture
def camera(tmp_path):
    """One and a half seconds of a face, and as many of nobody."""
    with zipfile.ZipFile(PORTRAITS) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jpg"))
        face = Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((256, 312))
    nobody = Image.new("RGB", (640, 480), (120, 130, 140))
    seen = nobody.copy()
    seen.paste(face, (190, 80))
    return film([seen] * 15 + [nobody] * 15, tmp_path / "camera.y4m")


@pytest.fixture
def workspace(tmp_path, pairs, monkeypatch):
    """A CycleGAN of 16x16 pixels, and a cache with what finds faces."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("ORGANZA_CACHE", str(cache))
    for place in HELPERS:
        (cache / "weights" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(WEIGHTS / place, cache / "weights" / place)
    root = tmp_path / "workspace"
    (root / "runs").mkdir(parents=True)
    run = preset("cyclegan").run
    found = train(replace(run, method=run.method.toy()), pairs, outdir=root / "runs", kimg=0.004, batch=2, grid="2x1")
    found.folder.rename(root / "runs" / "paint")
    return root


def test_the_webcam_is_cartooned(workspace, camera):
    with (
        chromium(*FAKE_CAMERA, f"--use-file-for-fake-video-capture={camera}") as browser,
        at_a_port(make_studio(Workspace.at(workspace), forms())) as host,
    ):
        tab = browser.new_page()
        wrong = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto("http://{}:{}/#tab=translate&network=runs/paint".format(*host))
        tab.wait_for_selector("html[data-ready]")
        panel = tab.locator("#panel-translate")
        panel.get_by_label("Cartoon: find the faces first").check()
        panel.get_by_role("button", name="Start the webcam").click()
        said = panel.locator("p[role=status]")
        frames = "Number(document.getElementById('panel-translate').dataset.frames ?? 0)"
        until(lambda: tab.evaluate(f"{frames} > 0"), 30)
        until(lambda: said.inner_text() == "No face is seen.", 30)
        before = tab.evaluate(frames)
        until(lambda: tab.evaluate(f"{frames} > {before}"), 30)  # and the face is back
        result = panel.get_by_role("img", name="The result")
        width, height, text = result.evaluate(PIXELS)
        made = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3].astype(int)
        assert made.shape == (16, 16, 3) and (made[0, [0, -1]] > 240).all()  # the corners are white
        assert (made[4:12, 4:12] < 240).any() and made[4:12, 4:12].std() > 3
        panel.get_by_role("button", name="Stop the webcam").click()
        panel.get_by_role("button", name="Start the webcam").wait_for()
        assert panel.get_by_role("alert").all_inner_texts() in ([], [""]) and wrong == []
