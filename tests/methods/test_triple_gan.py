"""Triple-GAN: a step by hand, its classifier in use, and what it can't be trained on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from organza import UserError, load, open_dataset, train
from organza.cli.main import main
from organza.contract.data import DataSpec, LabelSet
from organza.contract.method import Clock
from organza.data.options import DataOptions
from organza.media.images import to_tensor
from organza.methods.ensembles.triple_gan import Generator, PairCritic, TripleGAN
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, toy

CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3, 3, source=3, label_sets=(LabelSet(3, "classes"),))
SHORT = {"kimg": 0.008, "batch": 4, "grid": "2x1", "metrics": "none"}


def state_of(config, spec=SPEC):
    torch.manual_seed(0)
    state = State.fresh(config.toy().resolve(spec, 6).build(spec), CPU)
    for net in state.method.nets.values():  # by hand there is neither dropout nor noise
        for part in net.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
            if isinstance(part, PairCritic):
                part.training = False
    return state


def drawn(phase):
    """Codes and classes that a phase of the first step takes."""
    rng = generator(CPU, 0, 0, phase, 0)
    z = torch.rand([6, 8], generator=rng)
    return 2 * z - 1, F.one_hot(torch.randint(3, [6], generator=rng), 3).float()


def bce(logits, target):
    chance = torch.sigmoid(logits).reshape(-1)
    return -(chance if target else 1 - chance).log()


def test_a_step_is_the_papers():
    config = replace(TripleGAN(), labelled_d=2)
    state, batch = state_of(config), batch_of(SPEC, 6)
    by_hand = {name: copy.deepcopy(net) for name, net in state.method.nets.items()}
    G, C, D = (by_hand[name] for name in "GCD")
    found = [advance(state, phase, batch, Training()) for phase in state.method.phases]
    assert [phase.name for phase in state.method.phases] == ["D", "G", "C"]

    x, known, y = batch.images, batch.source, batch.labels
    adams = {name: torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for name, net in by_hand.items()}

    def step(name, loss):
        for net in by_hand.values():
            net.zero_grad()
        loss.backward()
        adams[name].step()

    def named():
        return F.one_hot(C(x).softmax(1).argmax(1), 3).float()

    z, asked = drawn("D")
    fake, said = G(torch.cat([z, asked], 1)).detach(), named()
    real = D(torch.cat([known[:2], x]), torch.cat([y[:2], said]))
    d_loss = bce(real, 1).mean() + 0.5 * bce(D(fake, asked), 0).mean() + 0.5 * bce(D(x, said), 0).mean()
    step("D", d_loss)
    z, asked = drawn("G")
    g_loss = 0.5 * bce(D(G(torch.cat([z, asked], 1)), asked), 1).mean()
    step("G", g_loss)
    chances = C(known).softmax(1)
    c_loss = -(y * chances.log()).sum(1).mean() + 1e-4 * C.last.weight.square().sum()
    chances = C(x).softmax(1)
    said = F.one_hot(chances.argmax(1), 3).float()
    c_loss = c_loss + 0.5 * (chances.max(1).values * bce(D(x, said), 1)).mean()
    c_loss = c_loss - 0.3 * (chances * chances.log()).sum(1).mean() - 1e-3 * (chances.mean(0).log() / 3).sum()
    z, asked = drawn("C")
    fake = G(torch.cat([z, asked], 1)).detach()
    c_loss = c_loss - 0.1 * (asked * C(fake).softmax(1).log()).sum(1).mean()
    step("C", c_loss)

    for result, name, loss in zip(found, "DGC", (d_loss, g_loss, c_loss), strict=True):
        torch.testing.assert_close(result.stats[f"loss/{name}"], loss.detach(), rtol=1e-4, atol=1e-5)
    for name, net in by_hand.items():
        for got, expected in zip(state.method.nets[name].parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5, msg=name)


def test_the_classifier_goes_first():
    spec = replace(SPEC, count=100)
    method = replace(TripleGAN(warmup_epochs=2, generated_from=1, steady_epochs=3).toy(), warmup_epochs=2).build(spec)
    stages = [method.schedule(Clock(seen, 10_000, 100)) for seen in (0, 199, 200, 499, 500, 600)]
    assert [each.stage for each in stages] == [0, 0, 1, 1, 1, 1]
    assert [each.rate for each in stages] == pytest.approx([0.3, 0.3, 1, 1, 0.995, 0.995**2])
    active = [phase.name for phase in method.phases if phase.active(0)]
    assert active == ["C"] and all(phase.active(1) for phase in method.phases)


def test_alone_it_sees_the_labelled_images_only():
    state, batch = state_of(TripleGAN(alone=True)), batch_of(SPEC, 6)
    (phase,) = state.method.phases
    C = copy.deepcopy(state.method.nets["C"])
    found = advance(state, phase, replace(batch, images=batch.images * float("nan")), Training())
    loss = F.cross_entropy(C(batch.source), batch.labels) + 1e-4 * C.last.weight.square().sum()
    torch.testing.assert_close(found.stats["loss/C"], loss.detach(), rtol=1e-4, atol=1e-5)


def test_noise_is_for_training():
    torch.manual_seed(0)
    D = PairCritic(SPEC, 16)
    images, labels = batch_of(SPEC, 2).images, batch_of(SPEC, 2).labels
    assert not torch.equal(D(images, labels), D(images, labels))
    D.eval()
    assert torch.equal(D(images, labels), D(images, labels))
    images = Generator(8, SPEC, 16)(torch.rand(4, 11))
    assert images.abs().max() <= 1


def test_its_classifier_is_evaluated(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(toy("triple-gan"), faces, outdir=tmp_path, labelled=22, **SHORT).folder
    assert json.loads((run / "config.json").read_text())["data"]["labelled_images"] == 22
    G, data = load(run), open_dataset(faces, DataOptions(labels="auto"))
    pixels, labels = data.fetch(range(48))
    chances = G.classify(to_tensor(pixels))
    torch.testing.assert_close(chances.sum(1), torch.ones(48))
    right = (chances.argmax(1) == torch.from_numpy(labels).argmax(1)).float().mean().item()
    file = tmp_path / "found.json"
    line = f"evaluate --network {run} --data {faces} --json {file}"
    assert main(f"{line} --metrics accuracy48".split()) == 0
    assert json.loads(file.read_text())["figures"]["accuracy48"]["value"] == pytest.approx(right)
    assert main(f"{line} --metrics accuracy48 --labels none".split()) == 2
    assert "accuracy48 needs labels of 11 classes, the real images have none" in capsys.readouterr().err
    assert main(f"evaluate --pictures {faces} --data {faces} --metrics accuracy10".split()) == 2
    assert "accuracy10 needs a network that classifies" in capsys.readouterr().err
    plain = load(train(toy("dcgan"), faces, outdir=tmp_path, **SHORT).folder)
    with pytest.raises(UserError, match="dcgan has no classifier"):
        plain.classify(torch.zeros(1, 3, 16, 16))
    assert main(["generate", "--network", str(run), "--seeds", "0", "--class", "bob", "--outdir", str(tmp_path)]) == 0


def test_the_command_at_another_size(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"train triple-gan --data {faces} --outdir {tmp_path} --resolution 14 --labelled 11 --kimg 0.004 --batch 4"
    line += " --grid 2x1 --metrics none --width 8 --width-d 16 --width-c 4 --z-dim 8"
    assert main(line.split()) == 0
    assert "next: organza generate --network" in capsys.readouterr().err


def test_what_it_can_not_be_trained_on(faces: Path, tmp_path: Path) -> None:
    numbers = replace(SPEC, label_sets=(LabelSet(3, "numbers"),))
    for spec in (numbers, replace(SPEC, label_dim=0, label_sets=())):
        with pytest.raises(UserError, match="Triple-GAN learns classes, and these labels are none"):
            TripleGAN().toy().build(spec)
    with pytest.raises(UserError, match="8 pixels are too few for the classifier; it needs 12"):
        TripleGAN().toy().build(replace(SPEC, resolution=(8, 8)))
    with pytest.raises(UserError, match="this method learns what labels mean, and there are none"):
        train(toy("triple-gan"), faces, outdir=tmp_path, labels="none", **SHORT)
    with pytest.raises(UserError, match="100 labels of 48 images can't be kept"):
        train(toy("triple-gan"), faces, outdir=tmp_path, labelled=100, **SHORT)
