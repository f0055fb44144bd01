"""StackGAN++'s files load, with the discriminators beside: networks built here as the authors name their layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from organza import UserError
from organza.models.load import load_generator
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests.standins import at_random, images
from tests.standins.stackgan_v2 import CONDITION, NOISE, Critic, Generator


def saved(folder: Path, text: int, critics: int = 2) -> tuple[Generator, list[Critic]]:
    G = at_random(Generator(text, 4, 4, 2, 1))
    nets = [at_random(Critic(size, 1, bool(text)), size) for size in (64, 128)[:critics]]
    torch.save({f"module.{name}": value for name, value in G.state_dict().items()}, folder / "netG_900.pth")
    for number, net in enumerate(nets):
        torch.save(net.state_dict(), folder / f"netD{number}.pth")
    return G, nets


@pytest.mark.parametrize("text", [6, 0])
def test_images_and_scores_are_theirs(text: int, tmp_path: Path) -> None:
    theirs, critics = saved(tmp_path, text)
    G = load_generator(tmp_path / "netG_900.pth", networks="all")
    numbers = torch.Generator().manual_seed(3)
    z, told, drawn = (torch.randn(2, length, generator=numbers) for length in (NOISE, text, CONDITION))
    assert (G.z_dim, G.label_dim, G.resolution) == (NOISE + (CONDITION if text else 0), text, (128, 128))
    ws = G.mapping(torch.cat([z, drawn], 1) if text else z, told)
    with torch.no_grad():
        expected = theirs(z, told if text else None, drawn)
        for found, made in zip(G.net(ws[:, 0]), expected, strict=True):
            torch.testing.assert_close(found, made, rtol=0, atol=1e-4)
        torch.testing.assert_close(G.synthesis(ws), expected[-1], rtol=0, atol=1e-4)
        x, condition = images(2, 3, 128, 128), drawn if text else None
        scores = critics[1](x, condition)
        torch.testing.assert_close(G.critic(x, condition), scores[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(G.critic(x, None), scores[-1], rtol=0, atol=1e-4)
    copy = load_generator(convert(tmp_path / "netG_900.pth", tmp_path / "ours"))
    assert torch.equal(copy.synthesis(ws), G.synthesis(ws))
    report = inspect(tmp_path / "netG_900.pth")
    assert report.kind == "StackGAN++ (PyTorch)" and [net.name for net in report.networks] == ["G_ema", "D1", "D2"]
    assert ("text" in report.settings) == bool(text)


def test_what_is_broken_is_told(tmp_path: Path) -> None:
    theirs, _ = saved(tmp_path, 6)
    (tmp_path / "netD0.pth").write_bytes(b"nothing")
    torch.save(Critic(64, 1, True).state_dict(), tmp_path / "netD1.pth")  # of the smaller images
    report = inspect(tmp_path / "netG_900.pth")
    assert {net.name for net in report.networks if net.problem} == {"D1", "D2"}
    for change in ({"h_net9.fc.0.weight": torch.zeros(1, 1)}, {"img_net1.img.0.bias": torch.zeros(3)}):
        torch.save({**theirs.state_dict(), **change}, tmp_path / "odd.pth")
        with pytest.raises(UserError, match=r"a file of StackGAN\+\+ that can't be used"):
            load_generator(tmp_path / "odd.pth")
