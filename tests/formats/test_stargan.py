"""StarGAN's files load, alone or with the discriminator beside, and give the official values."""

from __future__ import annotations

import shutil

import pytest
import torch

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
