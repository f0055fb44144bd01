"""Steps and stages of CartoonGAN and AnimeGAN equal those written out by hand from the papers."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from organza import UserError
from organza.contract.data import DataSpec
from organza.contract.method import Clock
from organza.media.edges import edge_smoothed
from organza.methods.translation.animegan import SCALE, AnimeGAN, colour_distance, grey, variation
from organza.methods.translation.animegan_nets import AnimeCritic, AnimeGenerator
from organza.methods.translation.cartoongan import CartoonGAN
from organza.methods.translation.cartoongan_nets import with_smooth_edges
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from organza.vision.perceptor import VGG19, Voile64Layers, open_perceptor
from tests.methods.test_cut import assert_same, by_hand
from tests.shapes import batch_of

CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3, source=3)


def built(config, spec=SPEC):
    torch.manual_seed(0)
    state = State.fresh(config.resolve(spec, 2).build(spec), CPU)
    for net in state.method.nets.values():
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.2)
    return state


def steep(spec, count=3):
    """Images with edges."""
    batch = batch_of(spec, count)
    blocks = (torch.rand(count, 3, 4, 4) > 0.5).float() * 2 - 1
    return replace(batch, images=F.interpolate(blocks, scale_factor=4.0) * 0.9)


def smoothed_by_hand(images):
    pixels = (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    found = np.stack([edge_smoothed(image) for image in pixels])
    assert (found != pixels).any()
    return torch.from_numpy(found).permute(0, 3, 1, 2).float() / 127.5 - 1


def content(net, images, others):
    return (net.content(images) - net.content(others).detach()).abs().mean()


def test_steps_of_cartoongan_are_those_of_the_paper():
    state = built(CartoonGAN().toy())
    nets, vgg = copy.deepcopy(dict(state.method.nets)), state.method.frozen["perceptor"]
    batch = steep(SPEC)
    source, cartoons = batch.source, batch.images
    bce = F.binary_cross_entropy

    def d_loss():
        real, fake, smooth = (
            torch.sigmoid(nets["D"](x)) for x in (cartoons, nets["G"](source).detach(), smoothed_by_hand(cartoons))
        )
        ones, zeros = torch.ones_like(real), torch.zeros_like(real)
        return bce(real, ones) + bce(fake, zeros) + bce(smooth, zeros)

    def g_loss():
        outputs = nets["G"](source)
        score = torch.sigmoid(nets["D"](outputs))
        return bce(score, torch.ones_like(score)) + 10 * content(vgg, outputs, source)

    by_hand(nets, [("D",), ("G",)], [d_loss, g_loss])
    for phase in state.method.phases:
        if phase.active(1):
            advance(state, phase, batch, Training())
    assert_same(state, nets)


def test_the_first_stage_of_cartoongan_is_the_content_alone():
    state = built(CartoonGAN().toy())
    nets, vgg = copy.deepcopy(dict(state.method.nets)), state.method.frozen["perceptor"]
    batch = steep(SPEC)
    by_hand(nets, [("G",)], [lambda: 10 * content(vgg, nets["G"](batch.source), batch.source)])
    (phase,) = (phase for phase in state.method.phases if phase.active(0))
    advance(state, phase, batch, Training())
    for one, other in zip(state.method.nets["G"].parameters(), nets["G"].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_steps_of_animegan_are_those_of_the_code():
    config = AnimeGAN().toy()
    state = built(config)
    nets, vgg = copy.deepcopy(dict(state.method.nets)), state.method.frozen["perceptor"]
    for name, value in (("sum", [0.6, -0.2, 0.2]), ("count", 2.0)):  # means of the style's channels, twice
        state.method.state[f"tone/{name}"].copy_(torch.tensor(value))
    batch = steep(SPEC)
    source, anime, scale = batch.source, batch.images, SCALE["voile64"]
    cast = torch.tensor([0.3, -0.1, 0.1])
    toned = (anime + (cast.mean() - cast)[:, None, None]).clamp(-1, 1)

    def dull(images):
        y = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
        return torch.stack([y, y, y], 1)

    def d_loss():
        D = nets["D"]
        loss = 1.7 * (D(toned) - 1).square().mean() + 1.7 * D(nets["G"](source).detach()).square().mean()
        loss = loss + 1.7 * D(dull(anime)).square().mean() + D(dull(smoothed_by_hand(anime))).square().mean()
        return 300 * loss

    def gram(features):
        n, c, h, w = features.shape
        flat = features.reshape(n, c, h * w)
        return torch.einsum("nip,njp->nij", flat, flat) / (c * h * w)

    def g_loss():
        outputs = nets["G"](source)
        made = scale * vgg.content(outputs)
        loss = 300 * (nets["D"](outputs) - 1).square().mean()
        loss = loss + 1.5 * (made - scale * vgg.content(source).detach()).abs().mean()
        loss = loss + 2.5 * (gram(made) - gram(scale * vgg.content(dull(anime))).detach()).abs().mean()
        one, other = (outputs + 1) / 2, (source + 1) / 2
        y, u, v = (
            0.299 * (one - other)[:, 0] + 0.587 * (one - other)[:, 1] + 0.114 * (one - other)[:, 2],
            (-0.14714119 * (one - other)[:, 0] - 0.28886916 * (one - other)[:, 1] + 0.43601035 * (one - other)[:, 2]),
            (0.61497538 * (one - other)[:, 0] - 0.51496512 * (one - other)[:, 1] - 0.10001026 * (one - other)[:, 2]),
        )
        loss = loss + 10 * (y.abs().mean() + 0.5 * u.square().mean() + 0.5 * v.square().mean())
        down, across = outputs[:, :, 1:] - outputs[:, :, :-1], outputs[..., 1:] - outputs[..., :-1]
        return loss + (down.square() / 2).mean() + (across.square() / 2).mean()

    # Spectral normalisation takes a power iteration in each forward pass: here as many, in the same order.
    by_hand(nets, [("D",)], [d_loss], lambda weights: torch.optim.Adam(weights, 0.00004, (0.5, 0.999)))
    by_hand(nets, [("G",)], [g_loss])
    for phase in state.method.phases:
        if phase.active(1):
            advance(state, phase, batch, Training())
    for name, net in state.method.nets.items():
        for (key, weight), other in zip(net.named_parameters(), nets[name].parameters(), strict=True):
            torch.testing.assert_close(weight.grad, other.grad, rtol=2e-3, atol=1e-3, msg=f"{name}.{key}")
    assert state.method.state["tone/count"] == 3


def test_tone_is_the_mean_over_all_that_was_seen():
    state, total = built(AnimeGAN().toy()), torch.zeros(3)
    for number in range(3):
        batch = batch_of(SPEC, 4)
        stage = min(number, 1)
        for phase in state.method.phases:
            if phase.active(stage):
                advance(state, phase, batch, Training(micro_batch=2))
        total += batch.images.mean((0, 2, 3))
    torch.testing.assert_close(state.method.state["tone/sum"], total)
    assert state.method.state["tone/count"] == 3


def test_stages_and_rates_at_their_borders():
    for config in (CartoonGAN(), AnimeGAN()):
        schedule = config._schedule
        for total, border in ((11000, 1000), (5000, 500)):  # 110 epochs and 50 of 100 images
            assert [schedule(Clock(seen, total, 100)).stage for seen in (0, border - 1, border)] == [0, 0, 1]
        assert [schedule(Clock(seen, 1000)).stage for seen in (0, 99, 100)] == [0, 0, 1]
    schedule = CartoonGAN(warm_epochs=0)._schedule
    rates = [schedule(Clock(seen, 1000, 10)).rate for seen in (0, 499, 500, 749, 750, 999)]
    assert rates == [1, 1, 0.1, 0.1, 0.01, 0.01]
    warm = AnimeGAN()._schedule(Clock(0, 11000, 100))
    assert warm.rates["G"] * AnimeGAN().lr == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("config", "spec", "message"),
    [
        (CartoonGAN(), DataSpec((18, 16), 3, source=3), "CartoonGAN can't translate images of 16x18"),
        (AnimeGAN(), DataSpec((16, 16), 1, source=1), "compares colours, not images of 1 and 1 channels"),
        (AnimeGAN(halvings_d=5), SPEC, "can't be halved 5 times"),
        (AnimeGAN(perceptor="vgg19"), DataSpec((8, 8), 3, source=3), "too small for VGG-19"),
    ],
)
def test_what_does_not_fit(config, spec, message):
    with pytest.raises(UserError, match=message):
        config.resolve(spec, 1).build(spec)


def test_parts_of_the_losses():
    x, y = torch.rand(2, 3, 8, 8) * 2 - 1, torch.rand(2, 3, 8, 8) * 2 - 1
    assert torch.equal(grey(x)[:, 0], grey(x)[:, 2])
    assert colour_distance(x, x) == 0 and colour_distance(x, y) > 0
    assert variation(torch.ones(1, 3, 4, 4)) == 0
    flat = torch.full([1, 3, 16, 16], 0.2)
    torch.testing.assert_close(with_smooth_edges(flat), flat, atol=1 / 127, rtol=0)


def test_networks_take_the_sizes_that_they_say():
    generator = AnimeGenerator(3, 3, (2, 3, 4, 5))
    for size in ((8, 8), (9, 15), (30, 45)):
        assert generator(torch.zeros(1, 3, *size)).shape[2:] == size
    with pytest.raises(UserError, match="multiples of 4"):
        AnimeGenerator(3, 3, (2, 3, 4, 5), align_corners=False)(torch.zeros(1, 3, 9, 12))
    assert AnimeCritic(3, 2, 2)(torch.zeros(1, 3, 9, 16)).shape == (1, 1, 2, 4)


def test_perceptors(monkeypatch):
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    with torch.device("meta"):
        shapes = [tuple(x.shape) for x in VGG19("trained").stages(torch.zeros(1, 3, 32, 32))]
        assert [shape[1:3] for shape in shapes] == [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)]
        assert VGG19("unit").content(torch.zeros(1, 1, 32, 32)).shape == (1, 512, 4, 4)
        assert isinstance(open_perceptor("vgg19"), VGG19) and isinstance(open_perceptor("voile64"), Voile64Layers)
    net = VGG19("trained")
    white = net._shown(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]))
    with pytest.raises(UserError, match="or take --perceptor voile64"):
        open_perceptor("vgg19")
