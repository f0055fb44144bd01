"""The studio's page in a real browser: every tab, a training from its start to its end, uploads, the webcam."""

from __future__ import annotations

import base64
import http.client
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import preset, train
from organza.cli.web.forms import forms
from organza.models.sampling import Sampling
from organza.studio.codes import codes
from organza.studio.directions import load_directions
from organza.studio.edit import Edit, moved
from organza.studio.mix import mixed
from organza.web.guard import Gate
from organza.web.studio.app import make_studio
from organza.web.studio.workspace import Workspace
from tests.browser import FAKE_CAMERA, PIXELS, chromium
from tests.web.conftest import at_a_port, png, until

TABS = ("networks", "generate", "explore", "translate", "train", "jobs")
STYLES, PAINT = "runs/00000-stylegan2-faces", "runs/00001-cyclegan-pairs"
REFUSED = "Failed to load resource: the server responded with a status of 422"
SECONDS = 60_000  # of a job, in milliseconds: the machine may be busy


@pytest.fixture(scope="module")
def browser():
    with chromium(*FAKE_CAMERA) as browser:
        yield browser


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_run, pairs):
    """A StyleGAN2 and a CycleGAN of 16x16 pixels, and a dataset of 40 tiny images."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copytree(tiny_run, root / STYLES)
    run = preset("cyclegan").run
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        found = train(
            replace(run, method=run.method.toy()), pairs, outdir=root / "new", kimg=0.004, batch=2, grid="2x1"
        )
    found.folder.rename(root / PAINT)
    (root / "tiny").mkdir()
    for number in range(40):
        (root / "tiny" / f"{number}.png").write_bytes(png(16, 16, seed=number))
    return root


def asked(host, method, path):
    """The answer of a server, from JSON."""
    connection = http.client.HTTPConnection(*host, timeout=30)
    connection.request(method, path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


@pytest.fixture(scope="module")
def host(workspace, browser):
    with at_a_port(make_studio(Workspace.at(workspace), forms())) as host:
        yield host
        for job in asked(host, "GET", "/api/jobs"):
            if job["state"] in ("waiting", "running"):
                asked(host, "POST", f"/api/jobs/{job['id']}/stop")
        until(lambda: all(job["state"] not in ("waiting", "running") for job in asked(host, "GET", "/api/jobs")), 60)


class Opened:
    """A page, and what its console said."""

    def __init__(self, browser, host, **options):
        self.address = "http://{}:{}/".format(*host)
        self.context = browser.new_context(**({"viewport": {"width": 1100, "height": 800}} | options))
        self.tab, self.wrong = self.context.new_page(), []
        self.tab.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))

    def go(self, fragment):
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.address}#{fragment}")
        self.tab.wait_for_selector("html[data-ready]")
        self.panel = self.tab.locator("[role=tabpanel]:visible")
        return self.panel

    def until(self, expression):
        """Wait for something of the page; the page itself may evaluate no text."""
        until(lambda: self.tab.evaluate(expression), 20)

    def shown(self):
        """The image on show, uint8 ``[H, W, 3]``, once it has come."""
        self.panel.locator(".stage[aria-busy=false][data-count] .shown").wait_for()
        return self.pixels(".shown")

    def pixels(self, which):
        width, height, text = self.panel.locator(which).evaluate(PIXELS)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]


@pytest.fixture
def page(browser, host):
    page = Opened(browser, host)
    yield page
    page.context.close()
    assert page.wrong == []


LOOK = (Path(__file__).parent / "accessible.js").read_text()


def levels(G, ws):
    """The image of one w, uint8 ``[H, W, C]``."""
    return (G.synthesis(ws) * 127.5 + 128).clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()


def unfold(page):
    for summary in page.panel.locator("details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 360)])
def test_every_tab_can_be_read(browser, host, scheme, width):
    page = Opened(browser, host, color_scheme=scheme, viewport={"width": width, "height": 780})
    for tab in TABS:
        network = PAINT if tab == "translate" else STYLES
        panel = page.go(f"tab={tab}&network={network}&runs={STYLES}")
        assert panel.get_attribute("id") == f"panel-{tab}"
        page.tab.wait_for_load_state("networkidle")
        unfold(page)
        found = page.tab.evaluate(LOOK)
        assert found["texts"] > 12 and (found["nameless"], found["faint"], found["wide"]) == ([], [], 0), (tab, found)
    page.context.close()
    assert page.wrong == []


def test_the_switch_changes_the_colours(page):
    page.go("tab=jobs")
    switch, ground = page.tab.locator("#theme"), "getComputedStyle(document.body).backgroundColor"
    assert page.tab.evaluate(ground) == "rgb(246, 245, 242)"
    switch.click()
    assert switch.get_attribute("aria-label") == "Colours: light; change to dark"
    switch.click()
    assert page.tab.evaluate(ground) == "rgb(22, 24, 28)"
    page.tab.reload()
    page.tab.wait_for_selector("html[data-theme=dark]")


def test_tabs_by_keyboard(page):
    page.go("tab=networks")
    focus = "document.activeElement.id"
    for _ in range(2):  # the link that skips the frame comes first
        page.tab.keyboard.press("Tab")
    assert page.tab.evaluate(focus) == "tab-networks"
    for key, name in (("ArrowRight", "generate"), ("End", "jobs"), ("ArrowRight", "networks"), ("ArrowLeft", "jobs")):
        page.tab.keyboard.press(key)
        page.tab.wait_for_selector(f"#panel-{name}:not([hidden])")
        assert page.tab.evaluate(focus) == f"tab-{name}"
        assert page.tab.locator("[role=tab][aria-selected=true]").get_attribute("id") == f"tab-{name}"
        assert page.tab.locator("[role=tabpanel]:visible").count() == 1
    page.tab.go_back()
    page.tab.wait_for_selector("#panel-networks:not([hidden])")


def test_a_slider_and_a_link(page, workspace):
    G = organza.load(workspace / STYLES, precision="auto")
    panel = page.go(f"tab=generate&network={STYLES}&seed=7")
    np.testing.assert_array_equal(page.shown(), G.generate([7])[0])
    sent = []
    page.tab.on("request", lambda request: sent.append(request.url) if request.url.endswith("/api/image") else None)
    # A drag gives many events: only one request is under way, and the last value is what remains.
    panel.get_by_label("Truncation psi", exact=True).evaluate("""(slider) => {
      for (let step = 100; step >= 40; step--) {
        slider.value = step / 100;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }""")
    page.until("location.hash.includes('psi=0.4')")
    until(lambda: np.array_equal(page.shown(), G.generate([7], psi=0.4)[0]))
    assert 1 <= len(sent) <= 3
    panel.get_by_role("button", name="The next seed").click()
    until(lambda: np.array_equal(page.shown(), G.generate([8], psi=0.4)[0]))
    panel.get_by_text("a grid").click()
    panel.get_by_label("Seeds").fill("3,5-6")
    panel.get_by_label("Seeds").press("Enter")
    page.until("location.hash.includes('grid=3,5-6')")
    link = page.tab.url.partition("#")[2]
    page.go(link)
    assert page.panel.locator(".shown").get_attribute("alt") == "Images of seeds 3,5-6" or page.shown() is not None
    until(lambda: page.shown().shape[1] > 32)


def test_what_is_kept(page, workspace):
    panel = page.go(f"tab=generate&network={STYLES}&seed=11&psi=0.5")
    page.shown()
    with page.tab.expect_download() as found:
        panel.get_by_role("button", name="Download the PNG").click()
    G = organza.load(workspace / STYLES, precision="auto")
    with Image.open(found.value.path()) as image:
        np.testing.assert_array_equal(np.asarray(image), G.generate([11], psi=0.5)[0])
    with page.tab.expect_download() as found:
        panel.get_by_role("button", name="Download the JSON").click()
    with open(found.value.path()) as file:
        assert json.load(file)["command"][:5] == ["generate", "--seeds", "11", "--trunc", "0.5"]
    with page.tab.expect_download() as found:
        panel.get_by_role("button", name="Download w").click()
    w = np.load(found.value.path())["w"]
    np.testing.assert_allclose(w, codes(G, [11], Sampling(psi=0.5)).numpy(), atol=1e-6)


def test_styles_are_mixed(page, workspace):
    G = organza.load(workspace / STYLES, precision="auto")
    panel = page.go(f"tab=explore&network={STYLES}&seed=1&mix=2@0-1")
    ws = codes(G, [1, 2], Sampling())

    def wanted(layers):
        return levels(G, mixed(ws[:1], ws[1:], layers)[0])

    np.testing.assert_array_equal(page.shown(), wanted([0, 1]))
    panel.get_by_text("Style mixing").click()
    panel.get_by_role("button", name="Layer 3").click()
    until(lambda: np.array_equal(page.shown(), wanted([0, 1, 3])))
    assert "mix=2@0-1,3" in page.tab.url
    panel.get_by_role("button", name="middle").click()
    until(lambda: np.array_equal(page.shown(), wanted([0, 1, 3, 4, 5])))
    panel.get_by_role("button", name="Remove source 1").click()
    until(lambda: np.array_equal(page.shown(), G.generate([1])[0]))


def test_directions_are_found_moved_along_and_renamed(page, workspace):
    G = organza.load(workspace / STYLES, precision="auto")
    panel = page.go(f"tab=explore&network={STYLES}&seed=4")
    panel.locator("summary", has_text="Directions").first.click()
    panel.get_by_text("Find directions").click()
    panel.get_by_label("How many").fill("3")
    panel.get_by_label("How many").press("Tab")
    panel.get_by_role("button", name="Find", exact=True).click()
    amount = panel.get_by_label("sefa1, exact")
    amount.wait_for(timeout=SECONDS)
    amount.fill("1.5")
    amount.press("Tab")
    (found,) = workspace.glob("studio/jobs/*-directions/out/directions.safetensors")
    ws = moved(codes(G, [4], Sampling()), [Edit(load_directions(found, G)[1], 1.5)])
    until(lambda: np.array_equal(page.shown(), levels(G, ws)))
    assert "moves=1:1.5" in page.tab.url
    panel.get_by_role("button", name="Rename sefa1").click()
    panel.get_by_label("New name of sefa1").fill("smile")
    page.tab.keyboard.press("Enter")
    panel.get_by_label("smile, exact").wait_for()
    assert [each.name for each in load_directions(found)] == ["sefa0", "smile", "sefa2"]
    assert panel.get_by_label("smile, exact").input_value() == "1.5"
    panel.get_by_role("button", name="All to 0").click()
    until(lambda: np.array_equal(page.shown(), G.generate([4])[0]))


def test_a_video_through_keyframes(page, workspace):
    G = organza.load(workspace / STYLES, precision="auto")
    panel = page.go(f"tab=explore&network={STYLES}&seed=1&mix=2@0-1")
    add = panel.get_by_role("button", name="Add to the keyframes")
    page.shown()
    add.click()
    panel.get_by_role("button", name="The next seed").click()
    add.click()
    panel.get_by_role("button", name="Move keyframe 2 forward").click()
    panel.get_by_role("button", name=re.compile("Show keyframe 1: seed 2, mixed with 2")).wait_for()
    page.tab.reload()
    panel.get_by_role("button", name=re.compile("Show keyframe 2: seed 1, mixed with 2")).wait_for()
    panel.get_by_text("Keyframes and videos").click()
    panel.get_by_text("GIF", exact=True).click()
    for name, value in (("Seconds", "1"), ("Frames a second", "5")):
        panel.get_by_label(f"{name}, exact").fill(value)
        panel.get_by_label(f"{name}, exact").press("Tab")
    panel.get_by_role("button", name="Make the video").click()
    panel.locator(".job[data-state=done]").wait_for(timeout=SECONDS)
    panel.get_by_role("img", name="interpolate.gif").wait_for()
    (saved,) = workspace.glob("studio/results/*-keyframes.npz")
    ws = codes(G, [2, 1, 2], Sampling())
    ws[:2, :2] = ws[[2, 2], :2]
    np.testing.assert_allclose(np.load(saved)["w"], ws[:2].numpy(), atol=1e-6)
    (made,) = workspace.glob("studio/jobs/*-interpolate/out/interpolate.gif")
    with Image.open(made) as image:
        assert image.n_frames == 5


def test_an_image_is_projected(page, workspace):
    panel = page.go(f"tab=explore&network={STYLES}")
    panel.get_by_text("Project an image").click()
    panel.get_by_label("Send an image").set_input_files(
        {"name": "me.png", "mimeType": "image/png", "buffer": png(16, 16)}
    )
    panel.get_by_role("img", name="The image to project: me.png").wait_for()
    panel.get_by_label("Steps, exact", exact=True).fill("3")
    panel.get_by_label("Steps, exact", exact=True).press("Tab")
    panel.get_by_role("button", name="Project", exact=True).click()
    panel.locator(".job[data-state=done]").wait_for(timeout=SECONDS)
    page.until("location.hash.includes('w=studio/jobs/')")
    G = organza.load(workspace / STYLES, precision="auto")
    (saved,) = workspace.glob("studio/jobs/*-project/out/projected.npz")
    ws = np.load(saved)["w"]
    wanted = levels(G, torch.from_numpy(ws))
    until(lambda: np.array_equal(page.shown(), wanted))


def test_a_training(page, workspace):
    panel = page.go("tab=train")
    panel.get_by_label("Dataset").select_option("tiny")
    panel.get_by_label("Preset").select_option("gan")
    panel.get_by_label("Kimg", exact=True).fill("1.5")
    unfold(page)
    panel.get_by_label("Tick kimg").fill("0.05")
    panel.get_by_label("Batch", exact=True).fill("4")
    panel.get_by_label("Metrics", exact=True).fill("none")
    panel.get_by_role("button", name="Start the training").click()
    panel.locator("svg[aria-label^='loss/G']").wait_for(timeout=SECONDS)
    plot = panel.locator("svg[aria-label^='loss/G']")
    stop = panel.locator(".run").get_by_role("button", name="Stop")
    stop.click()
    panel.locator(".run").get_by_role("button", name="Resume").wait_for(timeout=SECONDS)
    (run,) = workspace.glob("runs/*-gan-tiny")
    before = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert 0 < before[-1]["kimg"] < 1.5
    assert (run / "checkpoints").is_dir()
    plot.focus()
    page.tab.keyboard.press("Home")
    assert panel.locator(".plot", has_text="loss/G").locator(".readout").inner_text().startswith("0.05")
    panel.locator(".run").get_by_role("button", name="Resume").click()
    panel.locator(".run [data-far]", has_text="finished").wait_for(timeout=2 * SECONDS)
    after = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert after[-1]["kimg"] == 1.5 and after[: len(before) - 1] == before[:-1]
    panel.get_by_role("checkbox", name=STYLES.partition("/")[2]).check()
    panel.get_by_role("heading", name="Compared").wait_for()
    row = panel.get_by_role("row", name="preset")
    assert row.inner_text().split() == ["preset", "gan", "stylegan2"]
    (job,) = [job for job in asked_of(page, "api/jobs") if job["verb"] == "train"]
    assert job["state"] == "done" and job["command"].startswith("organza train gan --data=./tiny --kimg=1.5")


def asked_of(page, path):
    return page.tab.evaluate("(path) => fetch(path).then((answer) => answer.json())", path)


def test_images_are_translated_sent_and_seen(page, workspace):
    T = organza.load(workspace / PAINT, precision="auto")
    panel = page.go(f"tab=translate&network={PAINT}")
    data = png(16, 16, seed=5)
    panel.get_by_label("Choose an image or a video").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": data}
    )
    panel.get_by_role("img", name="The result").wait_for()
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(page.pixels("img[alt='The result']"), np.asarray(T.translate(image)))
    panel.get_by_label("Source to result").fill("20")
    assert "20%" in panel.get_by_role("img", name="The result").evaluate("(image) => image.style.clipPath")
    panel.get_by_role("button", name="Start the webcam").click()
    page.until("Number(document.getElementById('panel-translate').dataset.frames) > 3")
    assert re.search(r"^[\d.]+ frames a second$", panel.locator("p[role=status]").inner_text())
    assert page.pixels("img[alt='The result']").std() > 0
    panel.get_by_role("button", name="Stop the webcam").click()
    panel.get_by_role("button", name="Start the webcam").wait_for()


def test_images_become_a_dataset(page, workspace):
    panel = page.go("tab=train")
    sent = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": png(16, 16, seed=place)}
        for place, name in enumerate("abc")
    ]
    evil = {"name": "evil.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n" + b"\0" * 99}
    notes = {"name": "notes.docx", "mimeType": "", "buffer": b"nothing"}
    panel.get_by_label("Choose images or an archive").set_input_files([*sent, evil, notes])
    panel.get_by_text("3 images sent; 1 other file left out.").wait_for(timeout=SECONDS)
    assert panel.get_by_role("alert").inner_text().startswith("1 image refused. evil.png: ")
    (folder,) = workspace.glob("studio/uploads/set-*")
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "c.png"]
    until(lambda: panel.get_by_label("Dataset").input_value() == f"studio/uploads/{folder.name}")
    panel.get_by_role("button", name="Delete it").click()
    panel.get_by_role("button", name="Delete it: sure?").click()
    until(lambda: not folder.exists())
    page.wrong.clear()  # the refusal


def test_folders_of_a_folder_are_its_classes(page, workspace, tmp_path):
    for place, name in enumerate(("cats/1.png", "cats/2.png", "big dogs/1.png")):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(png(16, 16, seed=place))
    panel = page.go("tab=train")
    panel.get_by_label("Choose a folder").set_input_files(tmp_path / "pets")
    panel.get_by_text("3 images sent.").wait_for(timeout=SECONDS)
    chosen = panel.get_by_label("Dataset")
    until(lambda: chosen.input_value().startswith("studio/uploads/"))
    folder = workspace / chosen.input_value()
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert found == ["big-dogs/1.png", "cats/1.png", "cats/2.png"]


def test_a_hostile_upload_is_refused(page, workspace):
    panel = page.go("tab=networks")
    evil = b"\x80\x04cos\nsystem\n(S'touch /tmp/organza-was-here'\ntR."
    panel.get_by_label("Send a checkpoint").set_input_files({"name": "../../nice.pkl", "mimeType": "", "buffer": evil})
    line = panel.get_by_role("alert")
    line.wait_for(timeout=SECONDS)
    assert "\n" not in line.inner_text() and len(line.inner_text()) > 10
    assert not list(workspace.rglob("nice*")) and "nice" not in panel.inner_text().replace(line.inner_text(), "")
    assert [line.partition(" (")[0] for line in page.wrong] == [REFUSED]
    page.wrong.clear()


def test_another_network_is_offered_where_one_is_lacking(page):
    panel = page.go(f"tab=translate&network={STYLES}")
    assert "generates images; this needs a translator" in panel.inner_text()
    panel.get_by_role("button", name=f"Open {PAINT.partition('/')[2]}").click()
    panel.get_by_role("button", name="Start the webcam").wait_for()
    assert f"network={PAINT}" in page.tab.url


def test_a_job_of_any_verb(page, workspace):
    panel = page.go(f"tab=jobs&network={STYLES}")
    panel.get_by_label("What", exact=True).select_option("truncation")
    panel.get_by_label("Seeds", exact=True).fill("4,5")
    panel.get_by_label("Columns").fill("3")
    panel.get_by_role("button", name="Start", exact=True).click()
    card = panel.locator(".job", has_text="truncation")
    card.get_by_role("button", name="Show truncation.png").wait_for(timeout=SECONDS)
    (made,) = workspace.glob("studio/jobs/*-truncation/out/truncation.png")
    with Image.open(made) as image:  # two rows of three, with a line of white between them
        assert image.width >= 3 * 16 and image.height >= 2 * 16
    card.get_by_text("Command and log").click()
    assert (
        "organza truncation" in card.locator("code").inner_text() and "--seeds=4,5" in card.locator("code").inner_text()
    )
    card.get_by_role("button", name="Show truncation.png").click()
    page.tab.get_by_role("dialog", name="truncation.png").get_by_role("button", name="Close").click()
    card.get_by_role("button", name="Delete", exact=True).click()
    card.get_by_role("button", name="Delete: sure?").click()
    card.wait_for(state="detached")
    assert not made.exists()


def test_a_server_that_is_gone_is_told(browser, tmp_path):
    with at_a_port(make_studio(Workspace.at(tmp_path), forms())) as host:
        page = Opened(browser, host)
        page.go("tab=networks")
        assert "in the folder " + tmp_path.name in page.tab.locator("#about").inner_text()
        assert page.wrong == []
    page.tab.get_by_text("the server does not answer; is organza studio still running?").wait_for()
    page.context.close()


def test_a_token_is_asked_for(browser, tmp_path):
    app = make_studio(Workspace.at(tmp_path), forms(), gate=Gate(hosts=(), token="open-sesame"))
    with at_a_port(app) as host:
        page = Opened(browser, host)
        page.tab.goto(page.address)
        prompt = page.tab.get_by_role("dialog", name="A token is needed")
        prompt.get_by_label("Token").fill("wrong")
        prompt.get_by_role("button", name="Go on").click()
        prompt.get_by_text("That is not the token.").wait_for()
        prompt.get_by_label("Token").fill("open-sesame")
        page.tab.keyboard.press("Enter")
        page.tab.wait_for_selector("html[data-ready]")
        page.tab.get_by_text("digits-vae").first.wait_for()
        other = Opened(browser, host)
        other.go("token=open-sesame&tab=jobs")
        assert "token" not in other.tab.url and other.wrong == []
        page.context.close()
        other.context.close()
