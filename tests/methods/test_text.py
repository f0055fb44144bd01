"""StackGAN and StackGAN++: one step is what the papers say, written out again; text goes in as it should."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import organza
from organza import UserError, train
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock
from organza.media.images import to_pixels
from organza.methods.text.stackgan import StackGAN
from organza.methods.text.stackgan_nets import Conditioning, TextCritic, sampled
from organza.methods.text.stackgan_v2 import StackGANv2, colour_distances, colours
from organza.methods.text.text_encoder import TextEncoder, contrastive, r_precision, same_text
from organza.models.generator import Generator
from organza.nn.likelihood import gaussian_divergence
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from organza.vision.features import voile64
from tests import golden
from tests.shapes import batch_of, spec_of, toy

CPU = torch.device("cpu")


# --- golden values ---


def test_conditions_are_the_authors() -> None:
    case = golden.load("losses_more", "stackgan_ca_v1")
    weights = torch.load(case.folder / "ca_net.pth", weights_only=True)
    net = Conditioning(24, 6, "relu")
    net.load_state_dict(weights)
    with torch.no_grad():
        mean, log_variance = net(case.arrays["text_embedding"])
    case.check("mu", mean)
    case.check("logvar", log_variance)
    case.check("c_code", sampled(mean, log_variance, case.arrays["eps"]))
    case.check("kl_loss", gaussian_divergence(mean, log_variance).mean() / 6)
    free = gaussian_divergence(case.arrays["mu_free"], case.arrays["logvar_free"])
    case.check("kl_free", free.mean() / 6)


def test_colours_are_the_authors() -> None:
    case, total = golden.load("losses_more", "stackganv2_color_3s"), torch.zeros(())
    for size in (8, 16, 32):
        mean, covariance = colours(case.arrays[f"img_{size}"])
        case.check(f"mean_{size}", mean[:, :, None, None])
        case.check(f"cov_{size}", covariance)
    for small, large in ((8, 16), (16, 32)):
        found = colour_distances(case.arrays[f"img_{small}"], case.arrays[f"img_{large}"])
        for what, value in zip(("mu", "cov"), found, strict=True):
            case.check(f"like_{what}_{large}_{small}", 50 * value)
            total = total + 50 * value
    case.check("total", total)


def test_only_the_larger_image_follows_the_colours() -> None:
    small, large = (torch.rand(2, 3, size, size, requires_grad=True) for size in (4, 8))
    sum(colour_distances(small, large)).backward()
    assert small.grad is None and large.grad.abs().sum() > 0


# --- a step, written out again ---


def bce(scores: Tensor, target: float) -> Tensor:
    """As in the papers: of probabilities."""
    return F.binary_cross_entropy(scores.double().sigmoid(), torch.full_like(scores, target, dtype=torch.float64))


class Step:
    """A phase as the loop runs it, and its networks as they were before."""

    def __init__(self, name: str, batch: Batch, **changes: Any) -> None:
        spec = spec_of(name) if batch.text is not None else replace(spec_of(name), words=(), text_length=0)
        torch.manual_seed(0)
        config = replace(toy(name).method, **changes).resolve(spec, len(batch))
        self.state, self.batch, self.config = State.fresh(config.build(spec), CPU), batch, config

    def noise(self, name: str, length: int) -> Tensor:
        rng = generator(CPU, 0, self.batch.seen, name, 0)
        return torch.randn(len(self.batch), length, generator=rng)

    def run(self, name: str, player: str, loss: Callable[[dict[str, nn.Module]], Tensor]) -> None:
        """See that the loss of a phase, and its gradient by its player, are those of ``loss``."""
        nets = {key: copy.deepcopy(net) for key, net in self.state.nets.items()}
        phase = next(phase for phase in self.state.method.phases if phase.name == name)
        result = advance(self.state, phase, self.batch, Training())
        self.batch = self.batch.leaving(result.carry)
        parameters = [
            p.requires_grad_() for key in self.state.method.players[player].nets for p in nets[key].parameters()
        ]
        wanted = loss(nets)
        torch.testing.assert_close(result.loss.double(), wanted.detach(), rtol=1e-5, atol=1e-6)
        gradients = torch.autograd.grad(wanted, parameters, materialize_grads=True)
        flat = torch.cat([grad.flatten() for grad in gradients])
        torch.testing.assert_close(self.state.learners[player].flat, flat, rtol=1e-4, atol=1e-6)


def test_a_step_of_stackgan() -> None:
    batch = batch_of(spec_of("stackgan"), 5, seen=30)
    assert (batch.text[0] == batch.text[4]).all()  # so that a wrong text may be the right one
    batch = replace(batch, text=batch.text[[0, 4, 1, 2, 3]])
    step = Step("stackgan", batch)
    n, (noise, condition) = 5, (step.config.z_dim, step.config.condition)
    assert step.config.halvings == 1

    def parts(nets: dict[str, nn.Module], z: Tensor, stage: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images, mean and log variance."""
        told, G = nets["text"](batch.text).detach(), nets["G"]
        eps = [z[:, noise : noise + condition], z[:, noise + condition :]]
        found = [G.conditions[k](told) for k in range(2)]
        drawn = [mean + eps[k] * (log_variance / 2).exp() for k, (mean, log_variance) in enumerate(found)]
        small = G.low(torch.cat([z[:, :noise], drawn[0]], 1))
        images = small if stage == 1 else G.high(small.detach(), drawn[1])
        return images, *found[stage - 1]

    def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
        return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).double().mean()

    # Texts 0 and 1 are the same: of the n - 1 wrong pairs the first is none.
    def wrong(D: TextCritic, features: Tensor, mean: Tensor) -> Tensor:
        scores = D.conditional(features[: n - 1], mean[1:])
        return bce(scores[1:], 0.0)

    z1, z2 = (step.noise(name, noise + 2 * condition) for name in ("D1", "D2"))

    def d1(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, _ = parts(nets, z1, 1)
        D, mean = nets["D1"], mean.detach()
        real = D.features(F.avg_pool2d(batch.images, 2))
        fake = bce(D.conditional(D.features(images.detach()), mean), 0.0)
        return bce(D.conditional(real, mean), 1.0) + 0.5 * (wrong(D, real, mean) + fake)

    def g1(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, log_variance = parts(nets, z1, 1)
        D = nets["D1"]
        return bce(D.conditional(D.features(images), mean.detach()), 1.0) + 2 * kl(mean, log_variance)

    def d2(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, _ = parts(nets, z2, 2)
        D, mean = nets["D2"], mean.detach()
        real, fake = D.features(batch.images), D.features(images.detach())
        positive = bce(D.conditional(real, mean), 1.0) + bce(D.unconditional(real), 1.0)
        negative = bce(D.conditional(fake, mean), 0.0) + bce(D.unconditional(fake), 0.0)
        return positive / 2 + (negative + wrong(D, real, mean)) / 3

    def g2(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, log_variance = parts(nets, z2, 2)
        D = nets["D2"]
        features = D.features(images)
        fits = bce(D.conditional(features, mean.detach()), 1.0)
        return fits + bce(D.unconditional(features), 1.0) + 2 * kl(mean, log_variance)

    step.run("D1", "D1", d1)
    step.run("G", "G", g1)
    step.batch = batch  # in its own stage, D2 is the only one that leaves anything
    step.run("D2", "D2", d2)
    low = copy.deepcopy(step.state.method.nets["G"].low)
    for learner in step.state.learners.values():
        learner.restart()
    step.run("G", "G", g2)
    for before, after in zip(low.parameters(), step.state.method.nets["G"].low.parameters(), strict=True):
        assert torch.equal(before, after)  # the first stage holds still


@pytest.mark.parametrize("told", [True, False])
def test_a_step_of_stackgan_v2(told: bool) -> None:
    batch = batch_of(spec_of("stackgan-v2"), 4, seen=30)
    if not told:
        batch = replace(batch, text=None)
    step = Step("stackgan-v2", batch, alone_weight=0.5)
    noise, condition = step.config.z_dim, step.config.condition if told else 0
    assert step.config.branches == 2 and step.config.colour_weight == (0 if told else 50)
    z = step.noise("D", noise + condition)

    def parts(nets: dict[str, nn.Module]) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        if not told:
            return nets["G"](z), None, None
        mean, log_variance = nets["G"].condition(nets["text"](batch.text).detach())
        drawn = mean + z[:, noise:] * (log_variance / 2).exp()
        return nets["G"](torch.cat([z[:, :noise], drawn], 1)), mean, log_variance

    def d(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, _ = parts(nets)
        total = torch.zeros((), dtype=torch.float64)
        for number, size in ((1, 8), (2, 16)):
            D, reals = nets[f"D{number}"], F.adaptive_avg_pool2d(batch.images, size)
            real, fake = D.features(reals), D.features(images[number - 1].detach())
            if mean is None:
                total = total + bce(D.unconditional(real), 1.0) + bce(D.unconditional(fake), 0.0)
                continue
            told, wrong = mean.detach(), D.features(reals.roll(1, 0))
            total = total + bce(D.conditional(real, told), 1.0) + 0.5 * bce(D.unconditional(real), 1.0)
            total = total + bce(D.conditional(wrong, told), 0.0) + 0.5 * bce(D.unconditional(wrong), 1.0)
            total = total + bce(D.conditional(fake, told), 0.0) + 0.5 * bce(D.unconditional(fake), 0.0)
        return total

    def g(nets: dict[str, nn.Module]) -> Tensor:
        images, mean, log_variance = parts(nets)
        total = torch.zeros((), dtype=torch.float64)
        for number in (1, 2):
            D = nets[f"D{number}"]
            features = D.features(images[number - 1])
            alone = bce(D.unconditional(features), 1.0)
            total = total + (alone if mean is None else bce(D.conditional(features, mean.detach()), 1.0) + 0.5 * alone)
        if mean is not None:
            return total + 2 * (-0.5) * (1 + log_variance - mean**2 - log_variance.exp()).double().mean()
        (m1, c1), (m2, c2) = (
            (x.mean(2), torch.stack([torch.cov(one, correction=0) for one in x]))
            for x in (i.flatten(2) for i in images)
        )
        return total + 50 * ((m2 - m1.detach()).square().mean() + 5 * (c2 - c1.detach()).square().mean())

    step.run("D", "D", d)
    step.run("G", "G", g)


def test_a_step_of_the_encoder() -> None:
    batch = batch_of(spec_of("stackgan"), 5)
    step = Step("stackgan", batch)

    def loss(nets: dict[str, nn.Module]) -> Tensor:
        net = nets["text"]
        texts = F.normalize(net.text_head(net(batch.text)), dim=1).double()
        places = nets["voile64"].stages(voile64.prepare((batch.images + 1) * 127.5))[-1].flatten(1)
        normal = (places - places.mean(1, keepdim=True)) / (places.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        images = F.normalize(net.image_head(normal), dim=1).double()
        fit, total = images @ texts.T * net.log_scale.exp(), torch.zeros((), dtype=torch.float64)
        for i in range(5):
            right = [j for j in range(5) if batch.text[i].tolist() == batch.text[j].tolist()]
            for j in right:
                total = total - (fit[i].log_softmax(0)[j] + fit[:, i].log_softmax(0)[j]) / len(right) / 2
        return total / 5

    step.run("text", "text", loss)


# --- the encoder ---


def test_the_encoder_reads_words_in_their_order_and_no_padding() -> None:
    torch.manual_seed(0)
    net = TextEncoder(words=5, length=4, width=8, layers=2, dim=6).eval()
    with torch.no_grad():
        short, padded = net(torch.tensor([[1, 2]])), net(torch.tensor([[1, 2, 0, 0]]))
        torch.testing.assert_close(short, padded)
        assert (net(torch.tensor([[2, 1]])) - short).abs().max() > 1e-3
        torch.testing.assert_close(short.mean(1), torch.zeros(1), atol=1e-5, rtol=0)
        assert net(torch.zeros(2, 4, dtype=torch.int64)).isfinite().all()


def test_captions_that_are_the_same_are_no_mistakes() -> None:
    same = same_text(torch.tensor([[1, 2], [3, 0], [1, 2]]))
    assert same.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    fit = torch.tensor([[0.0, 1.0, 9.0], [5.0, 1.0, 0.0], [9.0, 0.0, 0.0]])
    assert r_precision(fit, same).item() == pytest.approx(2 / 3)
    even = contrastive(torch.zeros(3, 3), same)
    torch.testing.assert_close(even, torch.full((3,), np.log(3)).float())


def test_the_encoder_learns_which_captions_are_whose(captioned: Path, tmp_path: Path) -> None:
    options = {"text_width": 16, "text_dim": 16, "text_lr": 0.003, "text_epochs": 1000}
    short = {"kimg": 0.8, "tick_kimg": 0.1, "batch": 24, "grid": "1x1", "metrics": "none"}
    outcome = train(toy("stackgan"), captioned, outdir=tmp_path, **options, **short)
    log = [json.loads(line) for line in (outcome.folder / "log.jsonl").read_text().splitlines()]
    found = [record["r_precision/real"] for record in log if "r_precision/real" in record]
    assert found[-1] > 0.8 > 0.3 > found[0]


# --- stages and sizes ---


def test_stages_follow_each_other() -> None:
    config = StackGAN(text_epochs=2, stage1_epochs=3, halve1=1, halve2=2)
    found = [config.schedule(Clock(seen * 100, count=100)) for seen in range(9)]
    assert [schedule.stage for schedule in found] == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert [schedule.rate for schedule in found] == [1, 1, 1, 0.5, 0.25, 1, 1, 0.5, 0.5]
    given = DataSpec((16, 16), embedding_dim=7)
    method = config.toy().resolve(given, 4).build(given)
    assert method.schedule(Clock(0, count=100)).stage == 1 and "text" not in method.nets
    assert method.model.text.encoder is None and method.model.label_dim == 7


@pytest.mark.parametrize(("side", "sizes"), [(256, [64, 256]), (64, [16, 64]), (32, [8, 32]), (16, [8, 16])])
def test_the_first_stage_is_small(side: int, sizes: list[int]) -> None:
    spec = replace(spec_of("stackgan"), resolution=(side, side))
    G = StackGAN().toy().resolve(spec, 4).build(spec).nets["G"]
    codes = torch.randn(2, sum(G.lengths))
    assert [G.first(codes).shape[2], G.second(codes).shape[2]] == sizes
    assert torch.equal(G(codes)[:, :, :: side // sizes[0], :: side // sizes[0]], G.first(codes))
    G.eval().stage.fill_(2)
    assert torch.equal(G(codes), G.second(codes))


@pytest.mark.parametrize(
    ("shape", "sizes"), [((256, 256), 3), ((64, 96), 3), ((48, 48), 3), ((16, 16), 2), ((8, 8), 1)]
)
def test_the_tree_has_as_many_sizes_as_fit(shape: tuple[int, int], sizes: int) -> None:
    spec = replace(spec_of("stackgan-v2"), resolution=shape)
    method = StackGANv2().toy().resolve(spec, 4).build(spec)
    G = method.nets["G"]
    images = G(torch.randn(2, G.length))
    assert len(images) == sizes and images[-1].shape[2:] == shape
    for number, made in enumerate(images, 1):
        assert made.shape[3] == made.shape[2] * shape[1] // shape[0]
        assert method.nets[f"D{number}"](made, torch.zeros(2, 4)).shape == (2, 1)


@pytest.mark.parametrize(
    ("name", "shape", "changes", "said"),
    [
        ("stackgan", (17, 17), {}, "can't be halved"),
        ("stackgan", (17, 17), {"stages": 1}, "can't halve 17x17"),
        ("stackgan", (4, 4), {}, "can't halve 2x2|can't read images"),
        ("stackgan", (72, 72), {"halvings": 2}, "the second stage can't read images of 18x18|can't halve 18x18"),
        ("stackgan-v2", (17, 17), {}, "can't be made at 2 sizes"),
        ("stackgan-v2", (16, 16), {"branches": 3}, "can't be made at 3 sizes"),
    ],
)
def test_sizes_that_do_not_fit(name: str, shape: tuple[int, int], changes: dict[str, Any], said: str) -> None:
    spec = replace(spec_of(name), resolution=shape)
    with pytest.raises(UserError, match=said):
        replace(toy(name).method, **changes).resolve(spec, 4).build(spec)


@pytest.mark.parametrize("name", ["stackgan", "stackgan-v2"])
def test_one_image_has_no_wrong_text(name: str) -> None:
    spec = spec_of(name)
    with pytest.raises(UserError, match="another image's text"):
        toy(name).method.resolve(spec, 1)
    state = State.fresh(toy(name).method.resolve(spec, 4).build(spec), CPU)
    phase = next(phase for phase in state.method.phases if phase.name.startswith("D"))
    with pytest.raises(UserError, match="--micro-batch of 2 at least"):
        advance(state, phase, batch_of(spec, 4), Training(micro_batch=1))


# --- from images with captions to images of a text ---


@pytest.fixture(scope="module")
def trained(captioned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of both, through all stages, by name."""
    outdir, options = tmp_path_factory.mktemp("text"), {"kimg": 0.032, "batch": 8, "grid": "2x1", "metrics": "none"}
    return {name: train(toy(name), captioned, outdir=outdir, **options).folder for name in ("stackgan", "stackgan-v2")}


@pytest.mark.parametrize("name", ["stackgan", "stackgan-v2"])
def test_a_text_becomes_images(name: str, trained: dict[str, Path]) -> None:
    G = organza.load(trained[name], networks="all")
    assert isinstance(G, Generator) and G.label_dim == 8 and G.reader is not None
    assert "pink" in G.spec.words and len(G.spec.words) == 66
    images = G.generate([0, 1], text="a pink bob")
    assert images.shape == (2, 16, 16, 3)
    assert np.array_equal(images[1:], G.generate(1, text=["a pink bob"]))
    other = G.generate([0, 1], text=["a pink bob", "green eyes"])
    assert np.array_equal(images[0], other[0])
    one, two = (G.synthesis(G.mapping(G.z(1), G.texts(text))) for text in ("a pink bob", "green eyes"))
    assert not torch.equal(one, two) and np.array_equal(to_pixels(two)[0], other[1])
    told = G.texts("a pink bob")
    assert np.array_equal(images, G.generate([0, 1], labels=told)) and told.shape == (1, 8)
    assert G.discriminator(torch.zeros(2, 3, 16, 16), told).shape == (2, 1)
    assert np.array_equal(np.asarray(G.images([0], text="a pink bob")[0]), images[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "this network makes images from text; say what to show"),
        ({"text": ""}, "the text is empty; say what to show"),
        ({"text": " ,.! "}, "the text is empty"),
        ({"text": "quarrelsome zeppelins"}, "no word of 'quarrelsome zeppelins' is known to this network; it knows"),
        ({"text": "a pinc bob"}, "the word 'pinc' is in none of the captions .* did you mean pink"),
        ({"text": "pink " * 99}, "the text has 99 known words; the longest caption .* has"),
        ({"text": ["pink", "green", "teal"]}, "3 texts for 2 images"),
        ({"labels": 1}, "this network makes images from text"),
        ({"labels": [0.5, 0.5]}, "labels .* are no text; this network takes text, as vectors of 8 numbers"),
    ],
)
def test_what_is_no_text(options: dict[str, Any], said: str, trained: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=said):
        organza.load(trained["stackgan"]).generate([0, 1], **options)


def test_words_that_nobody_knows_are_left_out(trained: dict[str, Path], told: Callable[[], str]) -> None:
    G = organza.load(trained["stackgan-v2"])
    found = G.generate([0], text="the girl with a pink bob, dancing")
    assert "left out of the text, because no caption has it: girl, dancing" in told()
    known = [word for word in ["the", "girl", "with", "a", "pink", "bob", "dancing"] if word in G.spec.words]
    assert {"pink", "bob"} <= {*known} and np.array_equal(found, G.generate([0], text=" ".join(known)))


def test_a_network_without_text_is_asked_for_one(tiny_run: Path) -> None:
    with pytest.raises(UserError, match="this network takes no text; train stackgan"):
        organza.load(tiny_run).generate([0], text="pink")


def test_missing_captions(captioned: Path, faces: Path, tmp_path: Path) -> None:
    short = {"outdir": tmp_path, "kimg": 0.008, "batch": 4, "grid": "1x1"}
    with pytest.raises(UserError, match=r"there are no captions; looked for .txt files, captions.csv"):
        train(toy("stackgan"), faces, **short)
    with pytest.raises(UserError, match="StackGAN makes images from text, and there are no captions; say --captions"):
        train(toy("stackgan"), faces, captions="none", **short)
    with pytest.raises(UserError, match="--held-out asks a discriminator about images alone"):
        train(toy("stackgan"), captioned, held_out="4", **short)
    (tmp_path / "none.csv").write_text("file,caption\n" + "".join(f"{n}.png,!\n" for n in range(48)))
    with pytest.raises(UserError, match="none of its images has a caption"):
        train(toy("stackgan"), captioned, captions=f"{tmp_path / 'none.csv'}:caption", **short)


def test_a_training_that_is_too_short_for_its_stages_says_so(
    captioned: Path, tmp_path: Path, told: Callable[[], str]
) -> None:
    short = {"outdir": tmp_path, "batch": 4, "grid": "1x1", "metrics": "none", "stage1_epochs": 0.5}
    folder = train(toy("stackgan"), captioned, kimg=0.008, **short).folder
    assert "warning: this training is over before the steps of D2 begin" in told()
    assert organza.load(folder).net.stage == 1
    again = train(toy("stackgan"), captioned, kimg=0.04, **short)
    assert again.folder == folder and "warning" not in told()
    assert organza.load(folder).net.stage == 2


def test_images_without_a_caption_are_left_out(captioned: Path, tmp_path: Path, told: Callable[[], str]) -> None:
    lines = (captioned / "captions.csv").read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join(lines[:-2]) + "\n47.png,\n")
    short = {"outdir": tmp_path, "kimg": 0.008, "batch": 4, "grid": "1x1", "metrics": "none"}
    outcome = train(toy("stackgan"), captioned, captions=f"{tmp_path / 'few.csv'}:caption", **short)
    assert re.search(r"warning: 2 of 48 images have no caption and are left out, such as 4\d\.png", told())
    assert organza.load(outcome.folder).spec.count == 46


def test_without_captions_the_tree_is_unconditional(faces: Path, tmp_path: Path) -> None:
    short = {"outdir": tmp_path, "kimg": 0.008, "batch": 4, "grid": "1x1", "metrics": "none"}
    outcome = train(toy("stackgan-v2"), faces, captions="none", **short)
    G = organza.load(outcome.folder)
    assert G.label_dim == 0 and G.generate([0]).shape == (1, 16, 16, 3)
    assert "terms/colours" in (outcome.folder / "log.jsonl").read_text()
    with pytest.raises(UserError, match="this network takes no text"):
        G.generate([0], text="pink")


def test_given_vectors_stand_for_captions(faces: Path, tmp_path: Path) -> None:
    from organza import open_dataset

    names, vectors = open_dataset(faces).names, np.random.RandomState(0).randn(48, 2, 5).astype(np.float32)
    np.savez(tmp_path / "given.npz", embeddings=vectors[::-1], names=names[::-1])
    short = {"outdir": tmp_path, "kimg": 0.016, "batch": 4, "grid": "1x1"}
    folder = train(toy("stackgan"), faces, embeddings=str(tmp_path / "given.npz"), **short).folder
    G = organza.load(folder)
    assert G.generate([0, 1], labels=vectors[0]).shape == (2, 16, 16, 3)
    with pytest.raises(UserError, match="trained on vectors of another text encoder; give vectors of that encoder"):
        G.generate([0], text="pink")
    assert "loss/text" not in (folder / "log.jsonl").read_text()
    for array, said in (
        ({"embeddings": vectors[:40]}, "40 embeddings for 48 images; add an array of names"),
        ({"embeddings": vectors[:40], "names": names[:40]}, "it has no embedding of"),
        ({"embeddings": np.full((48, 3), np.nan)}, "its embeddings are not finite"),
        ({"a": vectors, "b": vectors}, r"holds no embeddings \[N, D\]"),
    ):
        np.savez(tmp_path / "bad.npz", **array)
        with pytest.raises(UserError, match=said):
            train(toy("stackgan"), faces, embeddings=str(tmp_path / "bad.npz"), **short)


def test_a_training_starts_from_another(trained: dict[str, Path], captioned: Path, tmp_path: Path) -> None:
    short = {"outdir": tmp_path, "kimg": 0.008, "batch": 4, "grid": "1x1", "metrics": "none"}
    for name, folder in trained.items():
        outcome = train(toy(name), captioned, resume=folder, lr=0.0, text_lr=0.0, **short)
        one, other = organza.load(folder), organza.load(outcome.folder)
        assert torch.equal(one.texts("pink bob"), other.texts("pink bob"))
        assert one.spec.words == other.spec.words


def test_a_training_goes_on_from_the_authors_file(faces: Path, tmp_path: Path) -> None:
    case = golden.load("stackgan", "stage1")
    np.save(tmp_path / "given.npy", np.random.RandomState(0).randn(48, 24).astype(np.float32))
    short = {"kimg": 0.004, "batch": 4, "grid": "1x1", "metrics": "none", "lr": 0.0}
    given = {"embeddings": str(tmp_path / "given.npy"), "resolution": "64"}
    file = case.folder / "netG_epoch_600.pth"
    outcome = train("stackgan", faces, outdir=tmp_path, resume=file, **given, **short)
    one, other = organza.load(file), organza.load(outcome.folder)
    assert torch.equal(one.net.low.fc.weight, other.net.low.fc.weight)
