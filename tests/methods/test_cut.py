"""CUT's steps, and the relativistic loss in CUT and pix2pix, equal those written out by hand from the papers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from organza import UserError
from organza.contract.data import Batch, DataSpec
from organza.methods.translation.cut import CUT
from organza.methods.translation.pix2pix import Pix2Pix
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of

CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3, source=3)


def built(config, spec=SPEC):
    torch.manual_seed(0)
    return State.fresh(config.resolve(spec, 2).build(spec), CPU)


def adam(weights):
    return torch.optim.Adam(weights, 0.0002, (0.5, 0.999))


def by_hand(nets, players, losses, optimizer=adam):
    """One step of each player in turn, with PyTorch's own optimizer."""
    for names, loss in zip(players, losses, strict=True):
        weights = [p for name in names for p in nets[name].parameters()]
        for net in nets.values():
            net.requires_grad_(False)
        for p in weights:
            p.requires_grad_()
        found = torch.autograd.grad(loss(), weights, allow_unused=True)
        for p, grad in zip(weights, found, strict=True):
            p.grad = torch.zeros_like(p) if grad is None else grad
        optimizer(weights).step()


def assert_same(state, nets, atol=1e-5):
    """The gradients; Adam would enlarge what is only rounding, of biases before a normalisation.

    D moves before G, so the gradients of G say what has become of D, too.
    """
    for name, net in state.method.nets.items():
        for (key, weight), other in zip(net.named_parameters(), nets[name].parameters(), strict=True):
            torch.testing.assert_close(weight.grad, other.grad, rtol=1e-3, atol=atol, msg=f"{name}.{key}")


def contrast(nets, inputs, outputs, flips, rng, config):
    """Equations 2 and 3, patch by patch."""
    queries, keys = (nets["G"].features(images, config.nce_layers) for images in (outputs, inputs))
    layers = []
    positions = [torch.randperm(key[0, 0].numel(), generator=rng)[: config.nce_patches] for key in keys]
    for head, query, key, chosen in zip(nets["F"].heads, queries, keys, positions, strict=True):
        losses = []
        for n in range(len(inputs)):
            found = query[n].flip(2) if flips[n] else query[n]
            vectors = F.normalize(head(found.flatten(1).t()[chosen]), dim=1)
            own = F.normalize(head(key[n].flatten(1).t()[chosen]), dim=1).detach()
            for patch in range(len(chosen)):
                cosines = torch.exp((own @ vectors[patch]) / 0.07)
                losses.append(-torch.log(cosines[patch] / cosines.sum()))
        layers.append(torch.stack(losses).mean())
    return torch.stack(layers).mean()


CUTS = {
    "cut": CUT(),
    "fastcut": CUT(nce_weight=10.0, nce_identity=False, mirror_half=True),
    "relativistic": CUT(game="relativistic", gamma=0.7),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_step_of_cut_is_that_of_the_paper(name):
    config = CUTS[name].toy()
    # At the start, features of a tiny F are nearly constant; these are not.
    state = built(config)
    for net in state.method.nets.values():
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.3)
    nets = copy.deepcopy(dict(state.method.nets))
    batch = batch_of(SPEC, 4)
    flips = torch.rand(4, generator=generator(CPU, 0, 0, "D", 0)) < (0.5 if config.mirror_half else 0.0)
    source, target = batch.source, batch.images
    inputs = torch.stack([image.flip(2) if flip else image for image, flip in zip(source, flips, strict=True)])
    if config.mirror_half:
        assert 0 < flips.sum() < 4

    def d_loss():
        fakes = nets["G"](inputs).detach()
        real, fake = nets["D"](target), nets["D"](fakes)
        if config.game == "relativistic":
            return F.softplus(fake - real).mean() + 0.35 * (penalty(target) + penalty(fakes))
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def penalty(images):
        images = images.clone().requires_grad_()
        logits = nets["D"](images)
        (grads,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return grads.square().sum() / logits.numel()

    def g_loss():
        rng = generator(CPU, 0, 0, "G", 0)
        outputs = nets["G"](inputs)
        loss = (nets["D"](outputs) - 1).square().mean()
        if config.game == "relativistic":
            loss = F.softplus(nets["D"](target) - nets["D"](outputs)).mean()
        kept = contrast(nets, source, outputs, flips, rng, config)
        if config.nce_identity:
            kept = (kept + contrast(nets, target, nets["G"](target), flips, rng, config)) / 2
        return loss + config.nce_weight * kept

    by_hand(nets, [("D",), ("G", "F")], [d_loss, g_loss])
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training()).carry)
    assert_same(state, nets)


def test_a_relativistic_step_of_pix2pix_is_that_of_the_paper():
    spec = DataSpec((16, 16), 3, source=1)
    state = built(Pix2Pix(game="relativistic", gamma=2.0, dropout=False).toy(), spec)
    nets = copy.deepcopy(dict(state.method.nets))
    batch = batch_of(spec, 3)
    source, target = batch.source, batch.images

    def d_loss():
        fakes = nets["G"](source).detach()
        pairs = [torch.cat([source, images], 1) for images in (target, fakes)]
        loss = F.softplus(nets["D"](pairs[1]) - nets["D"](pairs[0])).mean()
        for images in (target, fakes):
            images = images.clone().requires_grad_()
            logits = nets["D"](torch.cat([source, images], 1))
            (grads,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            loss = loss + grads.square().sum() / logits.numel()
        return loss

    def g_loss():
        fakes = nets["G"](source)
        logits = [nets["D"](torch.cat([source, images], 1)) for images in (target, fakes)]
        return F.softplus(logits[0] - logits[1]).mean() + 100 * (fakes - target).abs().mean()

    by_hand(nets, [("D",), ("G",)], [d_loss, g_loss])
    for phase in state.method.phases:
        advance(state, phase, batch, Training())
    assert_same(state, nets)


@pytest.mark.parametrize("config", [Pix2Pix(game="relativistic"), CUT(game="relativistic")])
def test_penalties_are_of_single_images(config):
    """So batch normalisation in D is refused, and without a word D has no normalisation."""
    with pytest.raises(UserError, match="batch normalisation mixes images"):
        replace(config, norm_d="batch").toy().resolve(SPEC, 2).build(SPEC)
    assert built(config.toy()).method.nets["D"].layers[1].norm.__class__ == torch.nn.Identity
    plain = type(config)()
    assert config.like(plain, SPEC).norm_d == {"batch": None, "instance": "instance"}[plain.norm]
    assert plain.like(config, SPEC).norm_d == "none"


def test_cut_says_what_does_not_fit():
    with pytest.raises(UserError, match="reads images of 1 channels"):
        CUT().build(DataSpec((16, 16), 3, source=1))
    for layers in ((), (0, 99)):
        with pytest.raises(UserError, match="the encoder has the places 0 to 20"):
            CUT(nce_layers=layers).build(SPEC)


def test_heads_follow_the_encoder():
    for config in (CUT(), CUT(blur=False, nce_layers=(16, 3, 3)), CUT(width=8, nce_width=4)):
        method = replace(config, width=4, width_d=2).build(SPEC)
        places = sorted(set(config.nce_layers))
        assert [head[0].in_features for head in method.nets["F"].heads] == [method.nets["G"].places[p] for p in places]


def test_few_pixels_give_few_patches():
    """At 8x8, the innermost places have four."""
    spec = DataSpec((8, 8), 3, source=3)
    state = built(replace(CUT().toy(), nce_patches=256), spec)
    batch = Batch(torch.rand(1, 3, 8, 8), torch.zeros(1, 0), 0, torch.rand(1, 3, 8, 8))
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training()).carry)
