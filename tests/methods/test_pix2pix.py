"""pix2pix: a step equals one written out by hand; without the game, L1 alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from organza import UserError, preset
from organza.nn.resnet import ResNetGenerator
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, spec_of


@pytest.mark.parametrize(("generator", "gan_weight"), [("unet", 1.0), ("unet", 0.25), ("unet", 0.0), ("resnet", 1.0)])
def test_a_step_is_the_papers(generator, gan_weight):
    torch.manual_seed(0)
    spec = spec_of("pix2pix")
    config = replace(preset("pix2pix").run.method, generator=generator).toy()
    config = replace(config, dropout=False, norm="instance", gan_weight=gan_weight)
    state = State.fresh(config.resolve(spec, 2).build(spec), torch.device("cpu"))
    G, D = (copy.deepcopy(state.method.nets[name]) for name in "GD")
    batch = batch_of(spec, 2)
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training()).carry)

    def errors(images, real: bool):
        scores = D(torch.cat([batch.source, images], 1))
        return binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))

    adam_D, adam_G = (torch.optim.Adam(net.parameters(), 0.0002, (0.5, 0.999)) for net in (D, G))
    fakes = G(batch.source).detach()  # D first, against the outputs from before G's step
    ((errors(batch.images, True) + errors(fakes, False)) / 2).backward()
    adam_D.step()
    outputs = G(batch.source)
    loss = 100 * (outputs - batch.images).abs().mean()
    if gan_weight:
        loss = loss + gan_weight * errors(outputs, True)
    adam_G.zero_grad()
    loss.backward()
    adam_G.step()
    for name, net in (("G", G), ("D", D)):
        for (key, ours), theirs in zip(state.method.nets[name].named_parameters(), net.parameters(), strict=True):
            if not key.endswith("bias"):  # before instance normalisation, gradients of biases are rounding errors
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")


def test_a_residual_generator_is_cyclegans():
    spec = spec_of("pix2pix")
    config = replace(preset("pix2pix").run.method, generator="resnet", width=8)
    assert [config.resolve(replace(spec, resolution=(side, side)), 1).blocks for side in (128, 256)] == [6, 9]
    net = config.resolve(spec, 1).build(spec).nets["G"]
    assert isinstance(net, ResNetGenerator) and len(net.blocks) == 6
    drops = [module for module in net.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(drops) == 6 and drops[0].p == 0.5
    paper = preset("pix2pix").run.method
    for wrong, what in (
        (replace(config, depth=3), "a residual network has no --depth"),
        (replace(paper, blocks=3), "a U-Net has no --blocks"),
    ):
        with pytest.raises(UserError, match=what):
            wrong.resolve(spec, 1)
    assert paper.like(config, spec).generator == "resnet"
