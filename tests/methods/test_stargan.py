"""StarGAN: a step by hand, two datasets by turns, and targets by name."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.contract.data import Batch, DataSpec, LabelSet
from organza.contract.targets import every_target, target_vector
from organza.data.joint import JointLoader
from organza.data.material import open_material
from organza.data.options import LabelledOptions
from organza.media.images import save_picture
from organza.methods.translation.stargan import LabelGenerator, classification, shuffled
from organza.presets import PRESETS
from organza.training.checkpoint import newest_first
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, toy

CPU = torch.device("cpu")
ATTRIBUTES = DataSpec((16, 16), 3, 3, source=3, label_sets=(LabelSet(3, "numbers"),))
SHORT = {"lr_decay": 0.0, "batch": 4, "kimg": 0.016, "grid": "1x2", "precision": "float32"}


def state_of(spec: DataSpec) -> State:
    torch.manual_seed(0)
    return State.fresh(toy("stargan").method.resolve(spec, 4).build(spec), CPU)


# --- a step ---


def domains_by_hand(logits, labels, kind):
    if kind == "classes":
        return F.cross_entropy(logits, labels.argmax(1))
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(labels)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_step_is_the_papers(kind, monkeypatch):
    spec = replace(ATTRIBUTES, label_sets=(LabelSet(3, kind),))
    state, batch = state_of(spec), batch_of(spec, 4)
    if kind == "numbers":
        batch = replace(batch, labels=torch.tensor([[0.0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1]]))
    G, D = copy.deepcopy(state.method.nets["G"]), copy.deepcopy(state.method.nets["D"])
    # The loop's randomness, seen from outside: the order of the labels and the points of the penalty.
    found = {}
    real_rand, real_perm = torch.rand, torch.randperm
    monkeypatch.setattr(torch, "rand", lambda *a, **k: found.setdefault("alpha", real_rand(*a, **k)))
    monkeypatch.setattr(torch, "randperm", lambda *a, **k: found.setdefault("order", real_perm(*a, **k)))
    d_phase, g_phase = state.method.phases
    assert (d_phase.name, g_phase.name, g_phase.every) == ("D", "G", 5)
    first = advance(state, d_phase, batch, Training())
    second = advance(state, g_phase, batch.leaving(first.carry), Training())
    monkeypatch.undo()

    x, has, wish = batch.images, batch.labels, batch.labels[found["order"]]
    adam = {"lr": 1e-4, "betas": (0.5, 0.999)}
    d_adam, g_adam = torch.optim.Adam(D.parameters(), **adam), torch.optim.Adam(G.parameters(), **adam)
    fake = G(x, wish).detach()
    scores, logits = D.both(x)
    d_loss = -scores.mean() + D(fake).mean() + domains_by_hand(logits, has, kind)
    between = (found["alpha"] * x + (1 - found["alpha"]) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    d_loss = d_loss + 10 * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    d_adam.zero_grad()
    d_loss.backward()
    d_adam.step()
    fake = G(x, wish)
    scores, logits = D.both(fake)
    g_loss = -scores.mean() + domains_by_hand(logits, wish, kind) + 10 * (G(fake, has) - x).abs().mean()
    g_adam.zero_grad()
    g_loss.backward()
    g_adam.step()

    torch.testing.assert_close(first.stats["loss/D"], d_loss.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second.stats["loss/G"], g_loss.detach(), rtol=1e-4, atol=1e-4)
    for name, net in (("G", G), ("D", D)):
        for key, value in state.method.nets[name].state_dict().items():
            off = (value - net.state_dict()[key]).abs().float()
            # Adam's first step has the rate's length: a gradient near zero may step either way.
            assert off.max() < 2.1e-4 and (off > 2e-5).float().mean() < 0.02, f"{name}.{key}"


def test_labels_are_shuffled_by_the_generator_alone():
    labels = torch.eye(6)
    one, other = (shuffled(labels, torch.Generator().manual_seed(seed)) for seed in (3, 3))
    assert torch.equal(one, other) and torch.equal(one.sum(0), labels.sum(0)) and not torch.equal(one, labels)


def test_labels_are_seen_through_normalisation():
    """Zero padding everywhere: constant planes leave a trace at the borders."""
    net = LabelGenerator(3, 2, blocks=1, width=4)
    x = torch.rand(1, 3, 16, 16)
    assert not torch.allclose(net(x, torch.tensor([[0.0, 1.0]])), net(x, torch.tensor([[1.0, 0.0]])), atol=1e-3)
    assert all(
        layer.affine and layer.track_running_stats for layer in net.modules() if isinstance(layer, nn.InstanceNorm2d)
    )


# --- two datasets ---

SETS = (LabelSet(2, "numbers"), LabelSet(3, "classes"))
JOINT = DataSpec((16, 16), 3, 7, source=3, label_names=("Male", "Young", "angry", "happy", "sad"), label_sets=SETS)


def test_each_image_counts_in_its_own_set_alone():
    logits = torch.randn(2, 5)
    labels = torch.tensor([[1.0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0, 1]])
    by_hand = (
        F.binary_cross_entropy_with_logits(logits[0, :2], labels[0, :2], reduction="sum")
        + F.cross_entropy(logits[1:, 2:], torch.tensor([1]))
    ) / 2
    torch.testing.assert_close(classification(logits, labels, SETS), by_hand)
    logits.requires_grad_()
    classification(logits, labels, SETS).backward()
    assert not logits.grad[0, 2:].any() and not logits.grad[1, :2].any()


@pytest.fixture
def two(tmp_path: Path) -> dict[str, str]:
    """Images with two attributes, and others with three classes."""
    random = np.random.RandomState(0)
    rows = ["file,Male,Young"]
    for number in range(10):
        save_picture(random.randint(0, 256, (16, 16, 3), np.uint8), tmp_path / "one" / f"{number}.png")
        rows.append(f"{number}.png,{number % 2},{number // 2 % 2}")
    for number in range(9):
        kind = ("angry", "happy", "sad")[number % 3]
        save_picture(random.randint(0, 256, (16, 16, 3), np.uint8), tmp_path / "two" / kind / f"{number}.png")
    (tmp_path / "marks.csv").write_text("\n".join(rows) + "\n")
    return {
        "data": str(tmp_path / "one"),
        "labels": f"{tmp_path / 'marks.csv'}:Male,Young",
        "also": str(tmp_path / "two"),
        "also_labels": "folders",
    }


def test_two_datasets_by_turns(two):
    options = LabelledOptions(labels=two["labels"], also=two["also"], also_labels=two["also_labels"])
    material = open_material(two["data"], options, "labelled")
    assert replace(material.spec, count=0) == JOINT and material.spec.count == 19
    assert material.about == "10 and 9 labelled images 16x16" and material.name == "one+two"
    with material.loader(seed=5) as loader:
        assert isinstance(loader, JointLoader)
        batches = [loader.batch(4 * number, 4) for number in range(40)]
        again = loader.batch(4 * 7, 4)
    assert torch.equal(again.images, batches[7].images) and torch.equal(again.labels, batches[7].labels)
    masks = torch.stack([batch.labels[:, 5:] for batch in batches])
    assert (masks == masks[:, :1]).all()  # a batch is of one dataset
    which = masks[:, 0, 1]
    assert (which[0::2] + which[1::2] == 1).all()  # one of each in every pair
    assert 0 < which[0::2].mean() < 1  # a phase at every second step meets both
    for batch, of_two in zip(batches, which.bool().tolist(), strict=True):
        own, others = (
            (batch.labels[:, 2:5], batch.labels[:, :2]) if of_two else (batch.labels[:, :2], batch.labels[:, 2:5])
        )
        assert not others.any() and (not of_two or (own.sum(1) == 1).all())
    shown = [batch for batch, of_two in zip(batches, which.bool().tolist(), strict=True) if not of_two]
    first_epoch = torch.cat([batch.images for batch in shown])[:10]
    assert len({image.numpy().tobytes() for image in first_epoch}) == 10  # each once before any twice
    half = [JointLoader((material.target, material.also), seed=5, rank=rank, world=2) for rank in (0, 1)]
    parts = [loader.batch(12, 4) for loader in half]
    for loader in half:
        loader.close()
    assert torch.equal(torch.cat([part.images for part in parts]), batches[3].images)
    assert material.examples(3).labels[:, 5:].tolist() == [[1, 0], [0, 1], [1, 0]]


def test_names_that_both_have_are_told_apart(two):
    options = LabelledOptions(labels="folders", also=two["also"], also_labels="folders")
    material = open_material(two["also"], options, "labelled")
    assert material.spec.label_names[0] == "two:angry"


def test_two_datasets_resume_exactly_and_translate(two, tmp_path):
    run, data = toy("stargan"), two.pop("data")
    run = replace(run, method=replace(run.method, critic_steps=2))
    straight = train(run, data, outdir=tmp_path / "a", **{**SHORT, "kimg": 0.032}, **two)
    train(run, data, outdir=tmp_path / "b", **SHORT, **two)
    cut = train(run, data, outdir=tmp_path / "b", **{**SHORT, "kimg": 0.032}, resume=True, **two)
    one, other = (organza.load(outcome.folder) for outcome in (straight, cut))
    for key, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[key]), key
    assert one.targets == JOINT.label_names and one.spec.label_sets == SETS
    image = Image.fromarray(np.zeros([16, 16, 3], np.uint8))
    assert list(one.domains(image)) == ["Male", "Young", "angry", "happy", "sad"]
    assert one.translate(image, target="happy").size == (16, 16)
    vector = [0.0, 0, 0, 1, 0, 0, 1]
    assert np.array_equal(one.translate(image, labels=3), one.translate(image, labels=vector))
    assert np.array_equal(one.translate(image, target="happy"), one.translate(image, labels=vector))
    with pytest.raises(UserError, match="class 5 is not from 0 to 4"):
        one.translate(image, labels=5)
    with pytest.raises(UserError, match="Male and sad are labels of two datasets"):
        one.translate(image, target="sad, Male")
    assert "also_images" in (next(newest_first(cut.folder / "checkpoints")) / "config.json").read_text()


# --- targets ---

HAIR = DataSpec((8, 8), 3, 4, label_names=("Black_Hair", "Blond_Hair", "Male", "Young"))


def test_targets_by_name():
    assert target_vector(HAIR, "Blond_Hair, Young") == [0, 1, 0, 1]
    assert target_vector(HAIR, "blond hair,-young", [1, 0, 1, 1]) == [0, 1, 1, 0]
    assert target_vector(HAIR, "no Male", [1, 0, 1, 1]) == [1, 0, 0, 1]
    assert target_vector(HAIR, "Young=0.5") == [0, 0, 0, 0.5]
    assert every_target(HAIR, [1, 0, 1, 0]) == {
        "Black_Hair": [1, 0, 1, 0],
        "Blond_Hair": [0, 1, 1, 0],
        "no Male": [1, 0, 0, 0],
        "Young": [1, 0, 1, 1],
    }
    with pytest.raises(UserError, match=r"there is no 'Yuong'; did you mean Young\?"):
        target_vector(HAIR, "Yuong")
    with pytest.raises(UserError, match="there is no 'xyz'; choose of Black_Hair, Blond_Hair, Male, Young"):
        target_vector(HAIR, "xyz")
    with pytest.raises(UserError, match="Black_Hair and Blond_Hair exclude each other"):
        target_vector(HAIR, "Black_Hair,Blond_Hair")
    with pytest.raises(UserError, match="no target is named"):
        target_vector(HAIR, " , ")
    assert target_vector(JOINT, "happy") == [0, 0, 0, 1, 0, 0, 1]
    assert target_vector(JOINT, "Male", [0, 1, 0, 0, 0, 1, 0]) == [1, 1, 0, 0, 0, 1, 0]
    assert target_vector(JOINT, "Male", [0, 0, 0, 1, 0, 0, 1]) == [1, 0, 0, 0, 0, 1, 0]  # an image of the other set
    with pytest.raises(UserError, match="'no happy' is not one class"):
        target_vector(JOINT, "no happy")


def test_on_the_command_line(two, tmp_path, capsys):
    data = two["data"]
    outcome = train(toy("stargan"), data, labels=two["labels"], outdir=tmp_path / "runs", **SHORT)
    base = ["translate", "--network", str(outcome.folder), "--input", data, "--outdir", str(tmp_path / "out")]
    base += ["--precision", "float32"]
    assert main([*base, "--target", "Young"]) == 0
    assert "taken for no: Male; name them too, or say with --labels" in capsys.readouterr().err
    plain = np.asarray(Image.open(tmp_path / "out" / "3.png"))
    T = organza.load(outcome.folder)
    image = Path(data, "3.png")
    assert np.array_equal(plain, np.asarray(T.translate(image, target="Young")))
    assert main([*base, "--target", "no Young", "--labels", two["labels"]]) == 0  # 3.png: Male, Young
    kept = np.asarray(Image.open(tmp_path / "out" / "3.png"))
    assert np.array_equal(kept, np.asarray(T.translate(image, labels=[1.0, 0.0])))
    assert main([*base, "--all-targets"]) == 0
    row = np.asarray(Image.open(tmp_path / "out" / "3.png"))
    assert row.shape == (16, 48, 3) and np.array_equal(row[:, :16], np.asarray(Image.open(image)))
    assert np.array_equal(row[:, 32:], plain)
    capsys.readouterr()
    for words, message in (
        ([], "stargan must be told what the images should become; choose of Male, Young"),
        (["--target", "Yung"], "there is no 'Yung'; did you mean Young?"),
        (["--class", "old"], "there is no 'old'; choose of Male, Young"),
        (["--target", "Male", "--all-targets"], "--class, --target and --all-targets are three answers"),
        (["--target", "Male", "--heat"], "stargan has no attention, so there is no heat map"),
        (["--target", "Male", "--labels", "folders"], "all images lie in one folder"),
    ):
        assert main([*base, *words]) == 2
        assert message in capsys.readouterr().err


def test_data_that_does_not_fit(faces, two, tmp_path):
    run = toy("stargan")
    with pytest.raises(
        UserError, match="this method learns what labels mean, and there are none; say --labels folders"
    ):
        train(run, faces, outdir=tmp_path, labels="none", **SHORT)
    with pytest.raises(UserError, match="no labels: all images lie in one folder"):
        train(run, two["data"], outdir=tmp_path, **SHORT)
    Path(tmp_path, "ages.csv").write_text("file,age\n" + "".join(f"{n}.png,{n * 7.5}\n" for n in range(10)))
    with pytest.raises(
        UserError, match="the label age is not between 0 and 1: this method takes attributes and classes"
    ):
        train(run, two["data"], outdir=tmp_path, labels=f"{tmp_path / 'ages.csv'}:age", **SHORT)
    with pytest.raises(UserError, match="the labels of other images in the batch, and there is only one"):
        train(run, faces, outdir=tmp_path, **{**SHORT, "batch": 1})
    with pytest.raises(UserError, match="--held-out is for generators"):
        train(run, faces, outdir=tmp_path, held_out="10%", **SHORT)
    with pytest.raises(UserError, match="16x16 images can't be halved 6 times; take --halvings-d 4"):
        train(run, faces, outdir=tmp_path, halvings_d=6, **SHORT)
    with pytest.raises(UserError, match="can't translate images of 18x18; take sides that are multiples of 4"):
        train(run, faces, outdir=tmp_path, resolution="18", **SHORT)
    assert PRESETS["stargan"].run.method.resolve(replace(ATTRIBUTES, resolution=(128, 128)), 16).halvings_d == 6


def test_the_grid_shows_every_domain(two):
    from organza.training.preview import preview, sheet

    spec = replace(ATTRIBUTES, label_names=("Male", "Young", "Old"))
    state = state_of(spec)
    shown = preview(state, Batch(torch.rand(2, 3, 16, 16), torch.zeros(2, 3)))
    assert list(shown) == ["source", "to/Male", "to/Young", "to/Old"]
    assert sheet(shown, 1).ndim == 3
