"""Exported files compute what `organza.load` computes: every preset, other batches and sizes than were traced."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from organza import Generator, UserError, load
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.models.translator import Translator
from organza.weights.export.compact import compact
from organza.weights.export.export import described, export
from organza.weights.export.graph import OPSETS, as_onnx, as_torchscript
from organza.weights.export.parity import psnr
from organza.weights.export.parts import Exporting, Part, Port, part_of
from tests.shapes import EACH, toy
from tests.weights.networks import CPU, untrained

onnx = pytest.importorskip("onnx", reason="needs the package onnx: pip install organza[export]")
ort = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime: pip install organza[export]")
PLAIN = Exporting()
SLOW = ("photo2cartoon", "photo2cartoon-full")
NAMES = [pytest.param(*one.values, marks=pytest.mark.slow) if one.values[0] in SLOW else one for one in EACH]
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def run(path: Path, **inputs):
    """What ONNX Runtime makes of tensors."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: np.asarray(value) for name, value in inputs.items()})
    return torch.from_numpy(found)


def near(found, wanted) -> None:
    assert found.shape == wanted.shape
    assert float(wanted.std()) > 0
    # Images of tiny networks may be faint: what counts is the share of the largest number.
    assert float((found - wanted).abs().max()) <= 1e-4 * max(float(wanted.abs().max()), 1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset(name, tmp_path):
    network, path = untrained(name), tmp_path / "a.onnx"
    path.write_bytes(as_onnx(part_of(network, "whole", PLAIN), {"organza": "0"}))
    if isinstance(network, Generator):
        check_generator(network, path)
    else:
        check_translator(network, path)


def check_generator(G: Generator, path: Path) -> None:
    for seeds in ([3], [4, 5, 6]):
        labels, more = None, {}
        if G.latents.text is not None:
            labels = G.texts(["blue hair", "red eyes", "red blue hair"][: len(seeds)])
            more["text"] = [[[1, 3, 0]], [[1, 3, 0], [4, 2, 0], [4, 1, 3]]][len(seeds) > 1]
        elif G.label_dim:
            labels = [2, 0, 1][: len(seeds)]
            more["label"] = np.eye(3, dtype=np.float32)[labels]
        for psi in (1.0, 0.5):
            wanted = G.synthesis(G.mapping(G.z(seeds), labels, psi))
            near(run(path, z=G.z(seeds), psi=np.float32([psi]), **more), wanted)


def check_translator(T: Translator, path: Path) -> None:
    for module in T.net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    height, width = T.model.only or (2 * T.multiple * -(-16 // T.multiple), T.multiple * -(-24 // T.multiple))
    images = torch.rand(2, T.model.source, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = [1, 2] if T.model.label_dim else None
    z = torch.randn(2, T.model.z_dim) if T.model.z_dim else None
    more = {"label": np.eye(3, dtype=np.float32)[labels]} if labels else {}
    more |= {} if z is None else {"z": z}
    # One by one, as `organza translate` does: statistics of an image don't depend on its neighbours.
    each = [T.apply(images[n : n + 1], labels and labels[n], None if z is None else z[n : n + 1]) for n in (0, 1)]
    near(run(path, image=images, **more), torch.cat(each))


def test_halves_are_the_whole(G_noisy, tmp_path):
    for half in ("mapping", "synthesis"):
        (tmp_path / f"{half}.onnx").write_bytes(as_onnx(part_of(G_noisy, half, PLAIN), {}))
    z = G_noisy.z([1, 2, 3])
    w = run(tmp_path / "mapping.onnx", z=z, psi=np.float32([0.6]))
    near(w, G_noisy.mapping(z, psi=0.6))
    near(run(tmp_path / "synthesis.onnx", w=w), G_noisy.synthesis(G_noisy.mapping(z, psi=0.6)))


def test_cutoff_and_noise(G_noisy, tmp_path):
    z, path = G_noisy.z([1]), tmp_path / "a.onnx"
    G_noisy.net.w_avg.normal_()
    how = Exporting(cutoff=2, noise="none")
    part = part_of(G_noisy, "whole", how)
    path.write_bytes(as_onnx(part, {}))
    near(run(path, z=z, psi=np.float32([0.3])), G_noisy.synthesis(G_noisy.mapping(z, psi=0.3, cutoff=2), "none"))
    assert part.notes == ("noise inputs are left out",)
    with pytest.raises(UserError, match="a cutoff of 99; this network has 6 layers to truncate"):
        part_of(G_noisy, "whole", Exporting(cutoff=99))


@pytest.mark.parametrize("mode", ["eval", "train", "calibrated"])
def test_modes_of_a_translator(mode, tmp_path):
    T, path = untrained("pix2pix"), tmp_path / "a.onnx"
    T = T.calibrate([torch.rand(4, 3, 16, 16) * 2 - 1])
    part = part_of(T, "whole", Exporting(mode=mode))
    path.write_bytes(as_onnx(part, {}))
    assert bool(part.notes) == any(isinstance(m, torch.nn.Dropout) and m.p for m in T.net.modules()) * (mode == "train")
    for module in T.net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    images = torch.rand(1, 3, 32, 16) * 2 - 1
    near(run(path, image=images), T.apply(images, mode=mode))


def test_what_was_exported_is_left_as_it_was():
    T = untrained("pix2pix")
    before = {name: value.clone() for name, value in T.net.state_dict().items()}
    part_of(T, "whole", Exporting(mode="train"))
    assert {name for name, _ in T.net.named_modules() if "OwnStatistics" in type(_).__name__} == set()
    assert all(torch.equal(value, before[name]) for name, value in T.net.state_dict().items())


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
@pytest.mark.parametrize("name", ["stylegan2-f", "cyclegan", "stylegan3-t"])
def test_opsets(name, opset, tmp_path):
    network, path = untrained(name), tmp_path / "a.onnx"
    path.write_bytes(as_onnx(part_of(network, "whole", PLAIN), {}, opset))
    assert [held.version for held in onnx.load(str(path)).opset_import if held.domain == ""] == [opset]
    check_generator(network, path) if isinstance(network, Generator) else check_translator(network, path)


@pytest.mark.parametrize(("weights", "least", "share"), [("fp32", 100, 1), ("fp16", 60, 0.55), ("int8", 30, 0.35)])
def test_weights_in_fewer_bytes(weights, least, share, tmp_path):
    torch.manual_seed(0)
    spec = DataSpec((32, 32), 3)
    method = StyleGAN2(z_dim=32, w_dim=32, channel_base=1024, channel_max=64).resolve(spec, 4).build(spec)
    G = Generator("stylegan2", spec, method.model, method.nets["G"].eval(), None, CPU, torch.float32)
    plain, path = tmp_path / "plain.onnx", tmp_path / "a.onnx"
    for file, kind in ((plain, "fp32"), (path, weights)):
        file.write_bytes(compact(as_onnx(part_of(G, "whole", PLAIN), {"licence": "mine"}), kind))
    z, psi = G.z([1, 2]), np.float32([1])
    wanted = G.synthesis(G.mapping(z))
    scale = wanted.abs().max()
    assert psnr((run(path, z=z, psi=psi) / scale).numpy(), (wanted / scale).numpy()) > least
    sizes = [sum(len(tensor.raw_data) for tensor in onnx.load(str(file)).graph.initializer) for file in (path, plain)]
    assert sizes[0] <= share * sizes[1]
    assert [(entry.key, entry.value) for entry in onnx.load(str(path)).metadata_props] == [("licence", "mine")]


def test_metadata(tmp_path):
    T, path = untrained("stargan"), tmp_path / "a.onnx"
    part = part_of(T, "whole", PLAIN)
    path.write_bytes(as_onnx(part, described(T, part, "only for tests")))
    found = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert found["licence"] == "only for tests" and found["method"] == "stargan"
    assert json.loads(found["spec"])["resolution"] == [16, 16]
    ports = json.loads(found["inputs"])
    assert [port["name"] for port in ports] == ["image", "label"]
    assert ports[0]["shape"] == ["batch", 3, "height", "width"] and "multiples of" in ports[0]["about"]
    assert "127.5" in found["normalisation"]


def test_a_run(tiny_run, tmp_path, told):
    G, z = load(tiny_run), np.random.RandomState(7).randn(1, 8).astype(np.float32)
    wanted = G.synthesis(G.mapping(torch.from_numpy(z), psi=0.8))
    assert main(f"export --network {tiny_run} --output {tmp_path}/a.onnx".split()) == 0
    said = told()
    assert "from PyTorch (PSNR" in said and "tried 1x16x16, 3x16x16" in said
    near(run(tmp_path / "a.onnx", z=z, psi=np.float32([0.8])), wanted)
    assert main(f"export --network {tiny_run} --format torchscript --output {tmp_path}/a.pt".split()) == 0
    files = {"organza.json": ""}
    script = torch.jit.load(str(tmp_path / "a.pt"), _extra_files=files)
    near(script(torch.from_numpy(z), torch.tensor([0.8])), wanted)
    assert json.loads(files["organza.json"])["method"] == "stylegan2"


@pytest.mark.parametrize("name", ["stylegan2-f", "cyclegan", "mad-gan", "stackgan"])
def test_torchscript(name, tmp_path):
    network = untrained(name)
    part = part_of(network, "whole", PLAIN)
    (tmp_path / "a.pt").write_bytes(as_torchscript(part, {}))
    for batch in (1, 3):
        inputs = part.samples(batch, seed=5)
        near(torch.jit.load(str(tmp_path / "a.pt"))(*inputs), part.module(*inputs))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--output {out}/a.onnx --opset 9", "opset 9 is too old: these networks need 13 at least"),
        ("--output {out}/a.onnx --opset 99", "opset 99 is newer than PyTorch's exporter knows"),
        ("--output {out}/a.png", "a.png: is no name for such a file; end it in .onnx"),
        ("--output {out}/a", "a: is no name for such a file"),
        ("--output {out}/there.onnx", "there.onnx: is there already; give a new name"),
        ("--output {out}/there.onnx/a.onnx", "a part of this path is a file, not a folder"),
        ("--output {out}/a.pt --format torchscript --weights fp16", "TorchScript files hold float32 alone"),
        ("--output {out}/a.onnx --format pickle", "--format can't be 'pickle': choose onnx, torchscript, web"),
        ("--output {out}/a.onnx --cutoff 99", "a cutoff of 99; this network has 6 layers to truncate"),
        ("--output {out}/page --format web --part mapping", "a page has the whole network"),
    ],
)
def test_what_can_not_be_done(words, line, tiny_run, tmp_path, capsys):
    (tmp_path / "there.onnx").write_text("mine")
    assert main(["export", "--network", str(tiny_run), *words.format(out=tmp_path).split()]) == 2
    said = capsys.readouterr().err.splitlines()
    assert line in said[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_right_to_write(tiny_run, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="you may not write here"):
        export(tiny_run, tmp_path / "a.onnx")


def test_without_the_package(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r'not here; install it with pip install "organza\[export\]"'):
        export(tiny_run, tmp_path / "a.onnx")
    assert export(tiny_run, tmp_path / "a.pt", "torchscript").parity.largest < 1e-4


def test_half_of_a_translator():
    with pytest.raises(UserError, match="cyclegan is a translator and has no mapping; leave --part out"):
        part_of(untrained("cyclegan"), "mapping", PLAIN)
    with pytest.raises(UserError, match="cyclegan is a translator; --cutoff and --noise are for generators"):
        part_of(untrained("cyclegan"), "whole", Exporting(noise="none"))
    with pytest.raises(UserError, match="gan makes images from seeds; --norm-mode is for translators"):
        part_of(untrained("gan"), "whole", Exporting(mode="eval"))


@pytest.mark.parametrize("features", [0, 2])
def test_label_maps(features, tmp_path):
    """pix2pixHD reads the colours of classes; what its features are is said by a style code."""
    torch.manual_seed(0)
    palette = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    spec = DataSpec((32, 32), 3, source=3, palette=palette)
    method = replace(toy("pix2pixhd").method, features=features).resolve(spec, 1).build(spec)
    T = Translator("pix2pixhd", spec, method.model, method.nets[method.model.net].eval(), None, CPU, torch.float32)
    if features:  # several clusters of two classes, none of the third
        T.net.remember(torch.cat([torch.arange(16)[:, None] % 2, torch.ones(16, 1), torch.randn(16, features)], 1))
    path = tmp_path / "a.onnx"
    path.write_bytes(as_onnx(part_of(T, "whole", PLAIN), {}))
    classes = torch.randint(0, 3, (2, 32, 64), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(palette).float()[classes].permute(0, 3, 1, 2) / 127.5 - 1
    z = torch.randn(2, T.model.z_dim) if T.model.z_dim else None
    wanted = torch.cat([T.apply(images[n : n + 1], z=None if z is None else z[n : n + 1]) for n in (0, 1)])
    near(run(path, image=images, **({} if z is None else {"z": z})), wanted)


def test_an_operation_that_onnx_has_not(capfd):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.special.ndtr(x)

    port = Port("image", ("batch", 3, "height", "width"), "float32", "")
    with pytest.raises(UserError, match="can't be written as ONNX: Exporting the operator 'aten::special_ndtr'"):
        as_onnx(Part(Odd().eval(), (port,), port, (8, 8)), {})
    assert capfd.readouterr() == ("", "")
