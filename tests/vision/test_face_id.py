"""Frozen networks for faces: the official values, ONNX Runtime's, gradients, and files that are something else."""

from __future__ import annotations

import copy
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from organza import UserError
from organza.tensors.onnx import read_graph
from organza.vision.face_id import MobileFaceId, cosine_distance, find_face_id, open_face_id
from organza.vision.face_id.faceres import FaceRes
from organza.vision.face_id.mobilefacenet import MobileFaceNet, crop
from organza.vision.onnx_net import OnnxNet
from organza.vision.segment import PersonSegmenter
from tests import golden

FACES = golden.SHARED.parent / "weights" / "faces"


def onnx_file(name):
    if not (FACES / name).is_file():
        pytest.skip(f"needs {name} beside the checkout")
    return FACES / name


def check(case, net):
    with torch.no_grad():
        case.check("features112", net.net(case.arrays["crop112"]))
        one, other = net(case.arrays["img_a"]), net(case.arrays["img_b"])
        case.check("features_a", one)
        case.check("cosine_distance", cosine_distance(one, other))


def test_mobilefacenet_gives_the_official_values():
    case = golden.load("photo2cartoon", "mobilefacenet_div8")
    check(case, open_face_id(case.folder / next(iter(case.about["files"]))))


def test_mobilefacenet_at_full_width():
    case = golden.load("photo2cartoon", "mobilefacenet_fullwidth_recipe")
    net, state = MobileFaceNet().eval(), {}
    for key, value in net.state_dict().items():
        a = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF).standard_normal(tuple(value.shape))
        kind, _, last = key.rpartition(".")
        if last == "running_var":
            a = 0.5 + 0.5 * np.abs(a)
        elif last in ("running_mean", "bias"):
            a = 0.2 * a
        elif kind.endswith("prelu"):
            a = 0.25 + 0.1 * a
        elif kind.split(".")[-1] == "bn" and last == "weight":
            a = 1 + 0.2 * a
        elif last == "num_batches_tracked":
            a = np.array(100)
        else:
            a = a * 1.6 / np.sqrt(np.prod(value.shape[1:]))
        state[key] = torch.as_tensor(a).to(value.dtype)
    net.load_state_dict(state)
    check(case, MobileFaceId(net))


def test_the_crop_is_the_official_square():
    images = torch.rand(1, 3, 256, 256)
    found = crop(images)
    inside = images[:, :, 57:219, 47:209]  # int(256 / 2.1 * .47), int(256 - 256 / 2.1 * .3), centred
    assert torch.equal(found, F.interpolate(inside, [112, 112], mode="bilinear", align_corners=True))
    for size in ((8, 8), (64, 20), (20, 64), (1, 1)):
        assert crop(torch.zeros(2, 3, *size)).shape == (2, 3, 112, 112)


def test_faceres_is_onnx_runtimes():
    path = onnx_file("faceres.onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 224), torch.linspace(-1, 1, 224), indexing="ij")
    images = torch.stack([rows, columns, (5 * rows).sin() * columns])[None].repeat(2, 1, 1, 1)
    images[1] = images[1].flip(0)
    net = open_face_id(path)
    assert isinstance(net, FaceRes)
    with torch.no_grad():
        found, vectors = net.person(images), net(images)
    for n in range(2):
        levels = ((images[n : n + 1] + 1) * 127.5).numpy()
        embedding, age, male = session.run(["embedding", "age", "male"], {"x": levels})
        torch.testing.assert_close(found.embedding[n], torch.from_numpy(embedding[0]), rtol=1e-4, atol=1e-4)
        assert found.age[n].item() == pytest.approx(float(age[0] @ np.arange(100)), abs=1e-3)
        assert found.male[n].item() == pytest.approx(male.item(), abs=1e-4)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert copy.deepcopy(net).to("meta")(images.to("meta")).shape == (2, 1024)  # where a training is weighed
    small = torch.rand(1, 1, 40, 32, requires_grad=True)
    cosine_distance(net(small), vectors[:1]).sum().backward()
    assert small.grad is not None and small.grad.abs().max() > 0


def test_the_segmenter_is_onnx_runtimes():
    path = onnx_file("selfie.onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[:, :, 60:, 80:180] = 0.3
    net = PersonSegmenter.read(path)
    with torch.no_grad():
        found = net(images)
        (alpha,) = session.run(["alpha"], {"x": ((images + 1) / 2).numpy()})
        torch.testing.assert_close(found, torch.from_numpy(alpha), rtol=1e-4, atol=1e-4)
        assert net(torch.zeros(2, 3, 50, 70)).shape == (2, 1, 50, 70)
    with pytest.raises(UserError, match="is another network than faceres: it gives alpha"):
        FaceRes.read(path)


def test_cosine_distance_by_hand():
    one, other = torch.tensor([[0.6, 0.8], [1.0, 0.0]]), torch.tensor([[0.8, 0.6], [-1.0, 0.0]])
    torch.testing.assert_close(cosine_distance(one, other), torch.tensor([1 - 0.96, 2.0]))


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_face_id(tmp_path / "no.pth")
    with pytest.raises(UserError, match="does not exist"):
        open_face_id("9" * 5000)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="is no MobileFaceNet: it has no tensor"):
        open_face_id(tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"holds no network for faces; put model_mobilefacenet\.pth or faceres"):
        find_face_id(tmp_path)
    for data in (b"", b"<html>", b"\x3a\xff\xff\x03", bytes(100), b"\x3a\x02\x0a\x7f", b"PK\x03\x04"):
        (tmp_path / "bad.onnx").write_bytes(data)
        with pytest.raises(UserError):
            open_face_id(tmp_path / "bad.onnx")


def test_a_graph_that_was_cut_short_or_changed_is_one_clear_line(tmp_path):
    whole = onnx_file("selfie.onnx").read_bytes()
    path: Path = tmp_path / "cut.onnx"
    for end in (10, 100, 5000, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            OnnxNet.read(path)
    path.write_bytes(whole.replace(b"Sigmoid", b"Sigmoyd"))
    with pytest.raises(UserError, match="has operations that Organza can't run: Sigmoyd"):
        OnnxNet.read(path)
    graph = read_graph(onnx_file("selfie.onnx"))
    assert graph.inputs == ("x",) and graph.outputs == ("alpha",) and len(graph.nodes) == 333
