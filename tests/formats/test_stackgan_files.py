"""StackGAN's files load, alone or with the discriminator beside, and give the official values."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError
from organza.cli.main import main
from organza.methods.basic.vae import gaussian_divergence
from organza.methods.text.stackgan_nets import false, real
from organza.models.load import load_generator
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CASES = golden.names("stackgan") or ["absent"]


def file_of(case: golden.Case) -> Path:
    return case.folder / "netG_epoch_600.pth"


@pytest.mark.parametrize("name", CASES)
def test_they_give_the_official_values(name: str, tmp_path: Path) -> None:
    case = golden.load("stackgan", name)
    G, arrays = load_generator(file_of(case), networks="all"), case.arrays
    told = arrays["text_embedding"]
    z = torch.cat([arrays[key] for key in ("noise", "eps1", "eps2") if key in arrays], 1)
    assert (G.z_dim, G.label_dim) == (z.shape[1], told.shape[1])
    ws = G.mapping(z, told)
    case.check("img", G.synthesis(ws))
    with torch.no_grad():
        mean, log_variance = G.net.conditions[-1](told)
        case.check("mu", mean)
        case.check("logvar", log_variance)
        case.check("kl_loss", gaussian_divergence(mean, log_variance).mean() / mean.shape[1])
        if "stage1_img" in arrays:
            case.check("stage1_img", G.net.first(ws[:, 0]))
        features = G.critic.features(arrays["d_img"])
        case.check("d_features", features)
        condition = arrays["d_cond"]
        scores = G.critic.conditional(features, condition)
        case.check("d_cond_prob", scores.sigmoid().flatten())
        fakes = G.critic.features(G.synthesis(ws))
        wrong, fake = G.critic.conditional(features[:-1], condition[1:]), G.critic.conditional(fakes, condition)
        if "d_uncond_prob" in arrays:
            alone = G.critic.unconditional(features)
            case.check("d_uncond_prob", alone.sigmoid().flatten())
            loss = (real(scores) + real(alone)) / 2
            loss = loss + (false(fake) + false(wrong) + false(G.critic.unconditional(fakes))) / 3
        else:
            loss = real(scores) + (false(fake) + false(wrong)) / 2
        case.check("errD", loss)
    copy = load_generator(convert(file_of(case), tmp_path / "ours"))
    assert torch.equal(copy.synthesis(copy.mapping(z, told)), G.synthesis(ws))
    assert torch.equal(G.discriminator(arrays["d_img"], told), G.critic(arrays["d_img"], mean))


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_them(name: str) -> None:
    case = golden.load("stackgan", name)
    report, sizes = inspect(file_of(case)), case.about["kwargs"]
    assert [net.name for net in report.networks] == ["G", f"D{sizes['stage']}"]
    assert report.kind == f"StackGAN, stage {'I' * sizes['stage']} (PyTorch)"
    assert report.settings["resolution"] == ("64x64" if sizes["stage"] == 1 else "256x256")
    assert f"vectors of {sizes['TEXT_DIMENSION']} numbers" in report.settings["text"]


def test_images_come_from_vectors_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = golden.load("stackgan", "stage1")
    vectors = tmp_path / "texts.npz"
    np.savez(vectors, embeddings=case.arrays["text_embedding"].numpy())
    command = ["generate", "--network", str(file_of(case)), "--seeds", "0-3", "--output", str(tmp_path / "a.png")]
    assert main([*command, "--embeddings", str(vectors)]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (4 * 64, 3 * 64)
    capsys.readouterr()
    for more, said in (
        ([], "this network makes images from text; say what to show: --text"),
        (["--text", "a bird"], "was trained on vectors of another text encoder; give vectors of that encoder"),
        (["--text", "a", "b"], "was trained on vectors of another text encoder"),
        (["--embeddings", str(tmp_path / "none.npy")], "does not exist"),
        (["--embeddings", str(vectors), "--text", "a"], "--text and --embeddings say the same"),
    ):
        assert main([*command, *more]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1, error
    np.save(tmp_path / "other.npy", np.zeros((2, 7), np.float32))
    assert main([*command, "--embeddings", str(tmp_path / "other.npy")]) == 2
    assert "its vectors are [2, 7]; give [N, 24] numbers" in capsys.readouterr().err


def test_a_generator_alone(tmp_path: Path) -> None:
    case = golden.load("stackgan", "stage1")
    path = tmp_path / "netG_epoch_600.pth"
    shutil.copy(file_of(case), path)
    assert load_generator(path, networks="all").critic is None
    (tmp_path / "netD_epoch_600.pth").write_bytes(b"junk")
    assert [net.name for net in inspect(path).networks if net.problem] == ["D1"]
    odd = tmp_path / "odd.pth"
    torch.save({**torch.load(path, weights_only=True), "upsample9.1.weight": torch.zeros(1)}, odd)
    with pytest.raises(UserError, match="a file of StackGAN that can't be used"):
        organza.load(odd)
