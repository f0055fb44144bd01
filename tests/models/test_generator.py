"""A run's folder as a frozen callable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import organza
import organza.core.device
from organza import PRESETS, Generator, UserError, load, train
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.training import checkpoint
from tests.shapes import EACH, toy


@pytest.fixture(scope="module")
def labelled(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    run = PRESETS["stylegan2"].run
    outdir = tmp_path_factory.mktemp("labelled")
    run = replace(run, method=run.method.toy())
    return load(train(run, faces, outdir=outdir, kimg=0.008, batch=4, labels="auto", grid="4x2").folder, "all")


@pytest.mark.parametrize("name", [one for one in EACH if PRESETS[one.values[0]].run.method.layout == "images"])
def test_every_preset_can_be_loaded_and_draws(name: str, faces: Path, tmp_path: Path) -> None:
    options = {"kimg": 0.004, "batch": 4, "grid": "1x1", "resolution": "16"}
    G = load(train(toy(name), faces, outdir=tmp_path, **options).folder)
    labels = None if PRESETS[name].run.data.labels == "none" else 1
    assert (G.resolution, G.channels, G.label_dim > 0) == ((16, 16), 3, labels is not None)
    ws = G.mapping(G.z([0, 1]), labels, psi=0.5)
    assert ws.shape == (2, G.num_ws, G.w_dim)
    assert G.synthesis(ws).shape == (2, 3, 16, 16)
    images = G.generate([0, 1], labels)
    assert images.dtype == np.uint8
    assert images.shape == (2, 16, 16, 3)
    assert np.array_equal(images[1:], G.generate([1], labels))


def test_a_seed_means_what_it_means_in_the_official_tools(tiny_run: Path) -> None:
    G = load(tiny_run)
    expected = np.random.RandomState(7).randn(1, G.z_dim)
    assert np.array_equal(G.z([7]).numpy(), expected.astype(np.float32))


def test_truncation(tiny_run: Path) -> None:
    G = load(tiny_run)
    z = G.z([0, 1, 2])
    full = G.mapping(z)
    assert torch.allclose(G.mapping(z, psi=0.0), G.w_avg.expand_as(full))
    assert torch.allclose(G.mapping(z, psi=0.5), (full + G.w_avg) / 2, atol=1e-6)
    cut = G.mapping(z, psi=0.5, cutoff=2)
    assert torch.equal(cut[:, 2:], full[:, 2:])
    assert torch.allclose(cut[:, :2], (full[:, :2] + G.w_avg) / 2, atol=1e-6)


def test_noise(tiny_run: Path) -> None:
    G = load(tiny_run)
    for parameter_name, parameter in G.net.named_parameters():
        if "noise_strength" in parameter_name:
            parameter.fill_(0.5)
    const, fresh, none = (G.generate(seeds=[3, 4], noise=mode) for mode in ("const", "random", "none"))
    assert not np.array_equal(const, fresh)
    assert not np.array_equal(const, none)
    assert np.array_equal(fresh[1:], G.generate(seeds=[4], noise="random"))


def test_labels(labelled: Generator) -> None:
    G = labelled
    assert G.label_dim > 1
    one_hot = np.eye(G.label_dim, dtype=np.float32)
    by_class = G.generate(seeds=[0, 1], labels=1)
    assert np.array_equal(by_class, G.generate(seeds=[0, 1], labels=one_hot[1]))
    assert np.array_equal(by_class[0], G.generate(seeds=[0, 1], labels=[1, 0])[0])
    assert G.discriminator(torch.zeros(2, 3, 16, 16), labels=[0, 1]).shape == (2, 1)
    with pytest.raises(UserError, match=rf"this network needs a label of {G.label_dim} numbers; give a class from 0"):
        G.generate(seeds=[0])
    with pytest.raises(UserError, match=rf"class {G.label_dim} is not from 0 to {G.label_dim - 1}"):
        G.generate(seeds=[0], labels=G.label_dim)
    with pytest.raises(UserError, match=r"labels \[1, 1\] don't fit"):
        G.generate(seeds=[0], labels=[0.5])


def test_discriminator(tiny_run: Path) -> None:
    assert load(tiny_run, "all").discriminator(torch.zeros(4, 3, 16, 16)).shape == (4, 1)
    with pytest.raises(UserError, match=r'no discriminator is loaded; use load\(path, networks="all"\)'):
        load(tiny_run).discriminator(torch.zeros(4, 3, 16, 16))


def test_a_checkpoint_or_its_run_can_be_given(tiny_run: Path) -> None:
    (newest,) = [p for p in (tiny_run / "checkpoints").iterdir() if p.name == "000000016"]
    assert np.array_equal(load(newest).generate(seeds=[0]), load(tiny_run).generate(seeds=[0]))


def test_a_broken_newest_checkpoint_is_passed_over(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    newest = run / "checkpoints" / "000000016"
    shutil.copytree(newest, run / "checkpoints" / "000000008")
    (newest / "ema.safetensors").write_bytes(b"oops")
    assert load(run).kind == "stylegan2"
    shutil.rmtree(run / "checkpoints" / "000000008")
    with pytest.raises(UserError, match=r"ema.safetensors: broken checkpoint"):
        load(run)


def edited(run: Path, to: Path, **changes: object) -> Path:
    shutil.copytree(run / "checkpoints" / "000000016", to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **changes}))
    (to / "checksums.json").unlink()
    return to


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, r"checkpoint format 99 is not 2; update Organza"),
        ({"method": "biggan"}, r"unknown method 'biggan'; update Organza"),
        ({"spec": {"resolution": [16]}}, r"config.json: spec.resolution must be a list of 2, not \[16\]"),
        ({"spec": {"resolution": [32, 32]}}, r"ema.safetensors: tensor .* is (missing|unknown|\[)"),
        ({"config": {"depth": 3}}, r"config.json: config: StyleGAN2 has no setting 'depth'"),
    ],
)
def test_wrong_checkpoints(changes: dict[str, object], message: str, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(edited(tiny_run, tmp_path / "edited", **changes))


def test_wrong_paths(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: does not exist; give the folder of a run"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no checkpoint; give the folder of a run that has saved one"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"no device 'abacus' here"):
        load(tiny_run, device="abacus")
    with pytest.raises(UserError, match=r"seed -1 is not between 0 and 4294967295"):
        load(tiny_run).generate(seeds=[-1])


def test_one_seed_or_several(untrained) -> None:
    one = untrained.generate(3)
    assert one.shape == (1, 32, 32, 3)
    for same in ([3], (3,), np.array([3]), torch.tensor([3]), range(3, 4)):
        assert np.array_equal(untrained.generate(same), one)
    assert untrained.generate([]).shape == (0, 32, 32, 3)
    for wrong in (1.5, "0-3", None, [0.5], ["1"]):
        with pytest.raises(UserError, match="seeds are whole numbers, not"):
            untrained.generate(wrong)


def test_pillow_images(untrained, labelled) -> None:
    for network, more in ((untrained, {"psi": 0.7, "noise": "random"}), (labelled, {"labels": [1, 0], "cutoff": 1})):
        images = network.images([3, 4], **more)
        assert all(isinstance(image, Image.Image) for image in images)
        assert np.array_equal(np.stack([np.asarray(image) for image in images]), network.generate([3, 4], **more))
    assert untrained.images([]) == []


def test_public_names_have_docstrings_with_examples() -> None:
    for name in organza.__all__:
        if name != "PRESETS":
            assert ">>>" in (getattr(organza, name).__doc__ or ""), name


def test_auto_precision_is_bf16_where_processor_and_method_allow_it(tiny_run, monkeypatch):
    monkeypatch.setattr(organza.core.device, "cpu_features", lambda: frozenset({"avx512_bf16"}))
    assert load(tiny_run, precision="auto", device="cpu").precision == "bf16"
    assert load(tiny_run, device="cpu").precision == "float32"
    build = StyleGAN2.build
    with monkeypatch.context() as patch:
        patch.setattr(StyleGAN2, "build", lambda self, spec: replace(build(self, spec), bf16=("training",)))
        assert load(tiny_run, precision="auto", device="cpu").precision == "float32"
        assert load(tiny_run, precision="bf16", device="cpu").precision == "bf16"
    monkeypatch.setattr(organza.core.device, "cpu_features", frozenset)
    assert load(tiny_run, precision="auto", device="cpu").precision == "float32"


@pytest.mark.parametrize("averaged", [(), ("G",)])
def test_networks_that_nobody_averages_are_loaded_as_they_trained(averaged, faces, tmp_path, monkeypatch):
    build = StyleGAN2.build
    monkeypatch.setattr(StyleGAN2, "build", lambda self, spec: replace(build(self, spec), ema=averaged))
    run = PRESETS["stylegan2"].run
    folder = train(
        replace(run, method=run.method.toy()), faces, outdir=tmp_path, kimg=0.012, batch=4, grid="4x2"
    ).folder
    newest = next(checkpoint.newest_first(folder / "checkpoints"))
    saved = checkpoint.read_nets(newest, "ema" if averaged else "nets")
    for name, tensor in load(folder).net.state_dict().items():
        assert torch.equal(tensor, saved[f"G.{name}"]), name
    every = load(folder, "all")
    assert every.critic is not None
    file = newest / ("ema" if averaged else "nets")
    left = {name: tensor for name, tensor in saved.items() if name != "G.w_avg"}
    save_file(left, f"{file}.safetensors")
    (newest / "checksums.json").unlink()
    with pytest.raises(UserError, match=r"tensor 'G.w_avg' is missing"):
        load(newest)
