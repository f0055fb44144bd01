"""The page of an exported network, opened from disk in a browser that finds no host."""

from __future__ import annotations

import base64
import io
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza import UserError
from organza.cli.main import main
from organza.weights.export.export import export, halves
from organza.weights.export.parity import psnr
from organza.weights.export.parts import Exporting, part_of
from organza.weights.export.runtime import CODE, runtime
from organza.weights.export.web import write_web
from tests.browser import FAKE_CAMERA, chromium
from tests.weights.networks import untrained

pytest.importorskip("onnx", reason="needs the package onnx: pip install organza[export]")
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture(scope="session")
def ort_web(tmp_path_factory):
    """ONNX Runtime for browsers: from ORGANZA_RUNTIME (a folder or a .tgz), or fetched by npm."""
    given = os.environ.get("ORGANZA_RUNTIME")
    try:
        return runtime(Path(given) if given else None, webgpu=False)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tab():
    with chromium(*FAKE_CAMERA) as browser:
        yield browser.new_page()


def open_page(tab, index: Path, fragment: str = "") -> None:
    tab.goto("about:blank")  # another fragment alone would not load it anew
    tab.goto(f"{index.as_uri()}#{fragment}")
    tab.wait_for_function("typeof organza === 'object' && organza.ready")
    tab.evaluate("organza.ready")


def page(folder: Path, network, runtime_, weights="fp16") -> Path:
    parts = {name: part_of(network, half, Exporting()) for name, half in halves(network, "web", "whole").items()}
    write_web(folder, network, parts, weights, 17, runtime_, "only for tests", "Ünder <test>")
    assert {path.name for path in folder.iterdir()} == {"index.html", "model.js", "runtime.js", "LICENCES.txt"}
    return folder / "index.html"


PIXELS = """
(() => {
  const canvas = document.getElementById("result");
  const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [width, height, btoa(Array.from(data, (level) => String.fromCharCode(level)).join(""))];
})()
"""


def shown(tab) -> np.ndarray:
    """The image on the page, uint8 ``[H, W, 4]``."""
    width, height, text = tab.evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def alike(found: np.ndarray, wanted: np.ndarray, least: float) -> None:
    assert found.shape == wanted.shape and wanted.std() > 3
    assert psnr(found / np.float32(127.5) - 1, wanted / np.float32(127.5) - 1) > least


def test_a_generator(tab, ort_web, tmp_path):
    G = untrained("stylegan2-f", label_dim=3, label_names=("cat", "dog", "hen"))
    open_page(tab, page(tmp_path / "page", G, ort_web), "seed=4000000000&psi=0.7&label=2")
    assert tab.evaluate("document.title") == "Ünder <test>"
    assert "only for tests" in tab.evaluate("document.getElementById('notes').textContent")
    assert "a second), wasm" in tab.evaluate("document.getElementById('state').textContent")
    wanted = G.generate([4000000000], [2], psi=0.7)[0]
    alike(shown(tab)[..., :3], wanted, 55)
    # Style mixing: the last 2 of all layers from the second seed.
    tab.evaluate("Object.assign(organza.state, {seed: 1, second: 2, mix: 2, label: 0, psi: 1}); organza.show()")
    ws = G.mapping(G.z([1, 2]), [0, 0])
    mixed = torch.cat([ws[:1, :-2], ws[1:, -2:]], 1)
    levels = (G.synthesis(mixed) * 127.5 + 128).clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    alike(shown(tab)[..., :3], levels, 55)
    tab.evaluate("Object.assign(document.getElementById('label'), {value: 1}).dispatchEvent(new Event('change'))")
    tab.evaluate("organza.show()")
    assert tab.evaluate("organza.state.label") == 1


def test_seeds_are_numpys(tab, ort_web, tmp_path):
    open_page(tab, page(tmp_path / "page", untrained("dcgan-course"), ort_web, "fp32"))
    for seed in (0, 1, 77, 2**31, 2**32 - 1):
        found = np.array(tab.evaluate(f"[...organza.normals({seed}, 1001)]"), np.float32)
        np.testing.assert_allclose(found, np.random.RandomState(seed).randn(1001).astype(np.float32), rtol=1e-6)


def test_one_w(tab, ort_web, tmp_path):
    G = untrained("dcgan-course")
    open_page(tab, page(tmp_path / "page", G, ort_web, "fp32"), "seed=5&second=6&mix=10")
    ws = G.mapping(G.z([5, 6]))
    levels = (G.synthesis(ws.mean(0, keepdim=True)) * 127.5 + 128).clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    alike(shown(tab)[..., :3], levels, 60)


def test_text(tab, ort_web, tmp_path):
    G = untrained("stackgan-v2")
    open_page(tab, page(tmp_path / "page", G, ort_web, "fp32"), "seed=5&text=red%20Hair,%20with%20nothing")
    alike(shown(tab)[..., :3], G.generate([5], text="red hair")[0], 60)


def opened(tab, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    tab.evaluate(f"fetch('data:image/png;base64,{text}').then((answer) => answer.blob()).then(organza.opened)")


@pytest.mark.parametrize("size", [(16, 16), (16, 22), (27, 16)])
def test_a_translator(tab, ort_web, tmp_path, size):
    T = untrained("stargan", label_names=("cat", "dog", "hen"))
    noise = np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    open_page(tab, page(tmp_path / "page", T, ort_web), "label=1")
    assert "Open an image" in tab.evaluate("document.getElementById('state').textContent")
    opened(tab, image)
    alike(shown(tab)[..., :3], np.asarray(T.translate(image, target="dog")), 50)


def test_the_webcam(tab, ort_web, tmp_path):
    open_page(tab, page(tmp_path / "page", untrained("cyclegan"), ort_web))
    tab.evaluate("document.getElementById('webcam').click()")
    tab.wait_for_function("document.getElementById('state').textContent.includes('a second)')", timeout=20000)
    assert shown(tab).std() > 0
    tab.evaluate("document.getElementById('webcam').click()")
    assert tab.evaluate("document.getElementById('webcam').textContent") == "Webcam"


def test_what_is_no_image(tab, ort_web, tmp_path):
    open_page(tab, page(tmp_path / "page", untrained("cyclegan"), ort_web))
    tab.evaluate("organza.opened(new Blob(['nothing']))")
    assert "no image that the browser can open" in tab.evaluate("document.getElementById('state').textContent")


# --- without a browser ---


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            packed.addfile(about, io.BytesIO(data))
    return path


FILES = {
    "package/package.json": b'{"version": "9.9.9"}',
    f"package/dist/{CODE[False]}": b'load("ort-wasm-x.wasm", import.meta.url)',
    "package/dist/ort-wasm-x.wasm": b"\0asm1",
    "package/dist/../../../evil.wasm": b"\0asm",
}


def test_a_runtime_from_an_archive_or_a_folder(tmp_path):
    found = runtime(archive(tmp_path / "a.tgz", FILES), webgpu=False)
    assert (found.version, found.wasm) == ("9.9.9", b"\0asm1")
    for name, data in FILES.items():
        if ".." not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    assert runtime(tmp_path / "package", webgpu=False) == runtime(tmp_path / "package/dist", webgpu=False) == found
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({}, "holds no ort.wasm.bundle.min.mjs; give the npm package onnxruntime-web"),
        ({f"package/dist/{CODE[False]}": b"x"}, "is not the script of onnxruntime-web"),
        (FILES | {"package/dist/ort-wasm-x.wasm": b"<html>"}, "ort-wasm-x.wasm is no WebAssembly"),
    ],
)
def test_archives_of_other_things(files, line, tmp_path):
    with pytest.raises(UserError, match=line):
        runtime(archive(tmp_path / "a.tgz", files), webgpu=False)


def test_what_is_no_archive(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a\.tgz: "):
        runtime(tmp_path / "a.tgz", webgpu=False)
    with pytest.raises(UserError, match="nowhere: does not exist"):
        runtime(tmp_path / "nowhere", webgpu=False)


def npm(folder: Path, script: str) -> str:
    """A folder for PATH in which npm is this."""
    folder.mkdir(exist_ok=True)
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for npm")
def test_npm(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    words = ["export", "--network", str(tiny_run), "--format", "web", "--output", str(tmp_path / "page")]
    usual = os.environ["PATH"]

    def said(path: str, *more: str) -> str:
        monkeypatch.setenv("PATH", path)
        assert main([*words, *more]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "there is no npm here; install npm, or fetch the npm package" in said(str(tmp_path))
    assert "onnxruntime-web is not downloaded yet, and offline" in said(usual, "--offline")
    fails = npm(tmp_path / "fails", "echo 'no such host' >&2; exit 1")
    assert "npm can't fetch onnxruntime-web (no such host)" in said(f"{fails}:{usual}")
    other = npm(tmp_path / "other", "echo hello > onnxruntime-web-1.tgz")
    assert "its checksum is another" in said(f"{other}:{usual}")
    assert not (tmp_path / "page").exists() and not (tmp_path / "cache").exists()


def test_a_page_is_written_whole_or_not_at_all(tiny_run, tmp_path):
    given = archive(tmp_path / "a.tgz", FILES)
    found = export(tiny_run, tmp_path / "page", "web", Exporting(weights="fp16"), runtime=given)
    text = (found.path / "index.html").read_text()
    assert "http://" not in text and "https://" not in text and "<title>stylegan2</title>" in text
    assert "MIT licence" in (found.path / "LICENCES.txt").read_text()
    with pytest.raises(UserError, match="page: is there already"):
        export(tiny_run, tmp_path / "page", "web", runtime=given)


def test_a_page_in_a_zip(tiny_run, tmp_path):
    given = archive(tmp_path / "a.tgz", FILES)
    folder = export(tiny_run, tmp_path / "mine", "web", Exporting(weights="fp16"), runtime=given).path
    found = export(tiny_run, tmp_path / "mine.zip", "web", Exporting(weights="fp16"), runtime=given)
    with zipfile.ZipFile(found.path) as archived:
        texts = {name: archived.read(name) for name in archived.namelist()}
    assert texts == {f"mine/{file.name}": file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(UserError, match=r"mine\.zip: is there already"):
        export(tiny_run, tmp_path / "mine.zip", "web", runtime=given)


def test_texts_of_another_encoder(tmp_path):
    G = replace(untrained("stackgan"), reader=None)
    with pytest.raises(UserError, match="takes texts as vectors of an encoder that is not in it"):
        page(tmp_path / "page", G, runtime(archive(tmp_path / "a.tgz", FILES), webgpu=False))
    assert not (tmp_path / "page").exists()
