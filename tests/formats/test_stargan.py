"""StarGAN's files load, alone or with the discriminator beside, and give the official values."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

import organza
from organza import UserError, train
from organza.contract.data import LabelSet
from organza.methods.translation.stargan import classification
from organza.models.load import load_translator
from organza.nn.penalties import wgan_gp
from organza.presets import PRESETS
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden
from tests.standins import at_random, images

CASES = golden.names("stargan") or ["absent"]


def file_of(case):
    return next(case.folder / name for name in case.about["files"] if "-G" in name)


@pytest.mark.parametrize("name", CASES)
def test_they_give_the_official_values(name, tmp_path):
    case = golden.load("stargan", name)
    T = load_translator(file_of(case), networks="all")
    x, wish = case.arrays["x"], case.arrays["c_trg"]
    assert T.mode == "train" and T.resolution == tuple(x.shape[2:])
    case.check("out_train", T.apply(x, wish))
    case.check("out_eval", T.apply(x, wish, mode="eval"))
    case.check("out_train", T.apply(x, wish))  # nothing was changed by it
    with torch.no_grad():
        scores, logits = T.critic.both(x)
    case.check("d_src", scores)
    case.check("d_cls", logits)
    assert torch.equal(T.discriminator(x), scores)
    copy = load_translator(convert(file_of(case), tmp_path / "ours"))
    assert torch.equal(copy.apply(x, wish), T.apply(x, wish))
    assert (copy.spec, copy.model.label_dim) == (T.spec, wish.shape[1])
    assert [net.name for net in inspect(file_of(case)).networks] == ["G", "D"]


@pytest.mark.parametrize("name", CASES)
def test_losses_are_the_official_ones(name):
    case = golden.load("stargan", name)
    count = case.arrays["c_trg"].shape[1]
    logits, labels = case.arrays["d_cls"], case.arrays["label_org"]
    case.check("loss_cls_celeba", classification(logits, labels, (LabelSet(count, "numbers"),)))
    classes = torch.nn.functional.one_hot(torch.arange(len(logits)) % count, count).float()
    case.check("loss_cls_rafd", classification(logits, classes, (LabelSet(count, "classes"),)))
    T = load_translator(file_of(case), networks="all")
    x, alpha = case.arrays["x"], case.arrays["alpha"]
    between = alpha * x + (1 - alpha) * T.apply(x, case.arrays["c_trg"])
    case.check("gradient_penalty", wgan_gp(T.critic, between).mean().detach())


def test_names_are_the_authors(tmp_path):
    case = golden.load("stargan", "celeba_32")
    T = organza.load(file_of(case))
    assert T.targets == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    assert "taken for the authors' attributes of CelebA" in inspect(file_of(case)).settings["labels mean"]
    assert organza.load(file_of(golden.load("stargan", "cdim8_64"))).targets[-1] == "surprised"


def test_a_generator_alone(tmp_path):
    case = golden.load("stargan", "celeba_32")
    path = tmp_path / "200000-G.ckpt"
    shutil.copy(file_of(case), path)
    T = load_translator(path, networks="all")
    assert T.critic is None and T.resolution == (128, 128)
    case.check("out_train", T.apply(case.arrays["x"], case.arrays["c_trg"]))
    (tmp_path / "200000-D.ckpt").write_bytes(b"junk")
    report = inspect(path)
    assert report.usable and [net.name for net in report.networks if net.problem] == ["D"]
    case.check("out_train", load_translator(path).apply(case.arrays["x"], case.arrays["c_trg"]))
    torch.save({**torch.load(path, weights_only=True), "main.99.weight": torch.zeros(1)}, tmp_path / "odd-G.ckpt")
    with pytest.raises(UserError, match=r"can't be used: the tensor 'main\.99\.weight' is unknown"):
        organza.load(tmp_path / "odd-G.ckpt")
    alone = tmp_path / "only-D.ckpt"
    shutil.copy(case.folder / "200000-D.ckpt", alone)
    with pytest.raises(UserError, match="this is StarGAN"):
        organza.load(alone)


def test_a_training_goes_on_from_a_file(tmp_path):
    from organza.data.drawn_faces.files import write_faces

    case = golden.load("stargan", "celeba_32")
    write_faces(tmp_path / "faces.zip", 8, 32, seed=0)
    labels = "".join(
        f"{n:08d}"[:5] + f"/img{n:08d}.png,{n % 2},{1 - n % 2},{n % 3 % 2},{n // 4},{n % 2}\n" for n in range(8)
    )
    (tmp_path / "marks.csv").write_text("file,a,b,c,d,e\n" + labels)
    outcome = train(
        PRESETS["stargan"].run,
        tmp_path / "faces.zip",
        outdir=tmp_path,
        resume=file_of(case),
        labels=f"{tmp_path / 'marks.csv'}:a,b,c,d,e",
        kimg=0.002,
        batch=2,
        grid="1x1",
        lr=0.0,
    )
    T = organza.load(outcome.folder)
    assert T.targets == ("a", "b", "c", "d", "e")
    x, wish = case.arrays["x"], case.arrays["c_trg"]
    assert torch.allclose(T.apply(x, wish), organza.load(file_of(case)).apply(x, wish), atol=1e-5)


def official(channels: int, labels: int, *, statistics: bool) -> nn.Sequential:
    """The tensors of a generator of width 2 with one residual block, by their official names."""

    def norm(maps: int) -> nn.Module:
        return nn.InstanceNorm2d(maps, affine=True, track_running_stats=statistics)

    def layer(conv: nn.Module, maps: int) -> list[nn.Module]:
        return [conv, norm(maps), nn.ReLU(True)]

    def conv(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)

    layers = layer(conv(channels + labels, 2, 7, 1, 3), 2)
    layers += [*layer(conv(2, 4, 4, 2, 1), 4), *layer(conv(4, 8, 4, 2, 1), 8), nn.Module()]
    layers[-1].main = nn.Sequential(*layer(conv(8, 8, 3, 1, 1), 8), conv(8, 8, 3, 1, 1), norm(8))
    layers[-1].forward = lambda x, block=layers[-1]: x + block.main(x)
    for maps in (8, 4):
        layers += layer(nn.ConvTranspose2d(maps, maps // 2, 4, 2, 1, bias=False), maps // 2)
    return nn.Sequential(*layers, conv(2, channels, 7, 1, 3), nn.Tanh())


@pytest.mark.parametrize(("channels", "labels", "statistics"), [(3, 5, False), (1, 15, True)])
def test_early_files_and_labels_that_only_look_like_the_authors(channels, labels, statistics, tmp_path):
    """Of 2017 there are no statistics; fifteen classes are no joint training if the discriminator tells all fifteen."""
    net = at_random(official(channels, labels, statistics=statistics))
    torch.save({f"main.{name}": value for name, value in net.state_dict().items()}, tmp_path / "9-G.ckpt")
    critic = {"main.0.weight": (2, channels, 4, 4), "main.0.bias": (2,), "main.2.weight": (4, 2, 4, 4)}
    critic |= {"main.2.bias": (4,), "conv1.weight": (1, 4, 3, 3), "conv2.weight": (labels, 4, 2, 2)}
    torch.save({name: torch.zeros(shape) for name, shape in critic.items()}, tmp_path / "9-D.ckpt")
    T = load_translator(tmp_path / "9-G.ckpt", networks="all")
    x, wish = images(2, channels, 8, 12), torch.eye(labels)[:2]
    planes = wish[:, :, None, None].expand(-1, -1, 8, 12)
    with torch.no_grad():
        expected = net.train()(torch.cat([x, planes], 1))
    torch.testing.assert_close(T.apply(x, wish), expected, rtol=0, atol=1e-4)
    assert (T.spec.label_dim, T.resolution) == (labels, (8, 8))
    assert T.spec.label_sets == (LabelSet(labels, "classes" if labels == 15 else "numbers"),)
    assert ("statistics" in inspect(tmp_path / "9-G.ckpt").settings) is not statistics
