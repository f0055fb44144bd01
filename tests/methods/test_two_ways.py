"""DualGAN's and DiscoGAN's steps equal those written out by hand; DiscoGAN's losses equal the official ones."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from organza import UserError
from organza.contract.data import Batch, DataSpec
from organza.methods.translation.discogan import DiscoGAN, feature_matching
from organza.methods.translation.dualgan import DualGAN
from organza.tensors.entry import entry
from organza.tensors.opening import open_file
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from tests import golden
from tests.methods.test_cut import assert_same, by_hand
from tests.shapes import batch_of

CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3, source=1)


def built(config, spec=SPEC):
    torch.manual_seed(0)
    return State.fresh(config.resolve(spec, 2).build(spec), CPU)


def steps(state, batch):
    for phase in state.method.phases:
        advance(state, phase, batch, Training())


@pytest.mark.parametrize("game", ["wgan", "wgan-gp", "logistic"])
def test_a_step_of_dualgan_is_that_of_the_paper(game):
    state = built(replace(DualGAN().toy(), game=game, dropout=False))
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 3)
    A, B = batch.source, batch.images
    AtoB, BtoA, D_A, D_B = (nets[name] for name in ("G_AtoB", "G_BtoA", "D_A", "D_B"))
    rng = generator(CPU, 0, 0, "D", 0)

    def d_loss():
        total = 0
        for net, real, fake in ((D_B, B, AtoB(A).detach()), (D_A, A, BtoA(B).detach())):
            if game == "logistic":
                total = total - torch.sigmoid(net(real)).log().mean() - (1 - torch.sigmoid(net(fake))).log().mean()
            else:
                total = total + net(fake).mean() - net(real).mean()
            if game == "wgan-gp":
                share = torch.rand(3, 1, 1, 1, generator=rng)
                between = (share * real + (1 - share) * fake).requires_grad_()
                values = net(between).mean((1, 2, 3)).sum()
                (grads,) = torch.autograd.grad(values, between, create_graph=True)
                total = total + 10 * (grads.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
        return total

    def g_loss():
        made, back = AtoB(A), BtoA(B)
        cycle = (BtoA(made) - A).abs().mean() + (AtoB(back) - B).abs().mean()
        if game == "logistic":
            return 500 * cycle - torch.sigmoid(D_B(made)).log().mean() - torch.sigmoid(D_A(back)).log().mean()
        return 500 * cycle - D_B(made).mean() - D_A(back).mean()

    critics = [p for net in (D_A, D_B) for p in net.parameters()]
    clip = (lambda: [p.data.clamp_(-0.01, 0.01) for p in critics]) if game == "wgan" else (lambda: None)

    def optimizer(weights):
        return torch.optim.RMSprop(weights, 0.00005, 0.9)

    by_hand(nets, [("D_B", "D_A"), ("G_AtoB", "G_BtoA")], [d_loss, lambda: (clip(), g_loss())[1]], optimizer)
    steps(state, batch)
    assert_same(state, nets)
    bound = max(p.abs().max() for name in ("D_A", "D_B") for p in state.method.nets[name].parameters())
    assert (bound <= 0.01) == (game == "wgan")


def test_the_critics_of_dualgan_take_more_steps():
    phases = {phase.name: phase for phase in built(DualGAN().toy()).method.phases}
    ran = {name: [step for step in range(7) if phase.due(step)] for name, phase in phases.items()}
    assert ran == {"D": [0, 1, 2, 3, 4, 5, 6], "G": [0, 3, 6]}


def test_a_penalty_wants_critics_without_batch_normalisation():
    with pytest.raises(UserError, match="--game wgan-gp has a penalty for single images"):
        built(replace(DualGAN().toy(), game="wgan-gp", norm_d="batch"))
    assert DualGAN(game="wgan-gp").like(DualGAN(), SPEC).norm_d is None


def official(case):
    """Our networks with the weights of a case. The colours stay as they are in the files."""
    width, latent = case.about["width"], case.about["latent"]
    state = built(DiscoGAN(width=width, bottleneck=latent), DataSpec((64, 64), 3, source=3))
    for name, net in {"gen_A": "G_BtoA", "gen_B": "G_AtoB", "dis_A": "D_A", "dis_B": "D_B"}.items():
        path = next(case.folder / file for file in case.about["files"] if file.startswith(f"model_{name}-"))
        values = [entry(value).read() for value in open_file(path).tensors.values()]
        wanted = state.method.nets[net].state_dict()
        if name.startswith("dis"):  # convolutions and norms alternate in both
            assert len(wanted) == len(values)
        state.method.nets[net].load_state_dict(dict(zip(wanted, values, strict=True)))
    return state


@pytest.mark.parametrize("name", golden.names("discogan") or ["absent"])
def test_losses_of_discogan_equal_golden_values(name):
    case = golden.load("discogan", name)
    state = official(case)
    A, B = (2 * case.arrays[side] - 1 for side in "AB")
    batch = Batch(B, torch.zeros(len(B), 0), 0, A)
    d, g = state.method.phases
    nets, rng = state.method.nets, torch.Generator()
    with torch.no_grad():
        case.check("loss_dis_total", d.loss(nets, batch, rng).loss)
        case.check("loss_gen_total_rate0.01", g.loss(nets, batch, rng).loss)
        case.check("loss_gen_total_rate0.5", g.loss(nets, replace(batch, seen=640_000), rng).loss)
        for side, real, fake in (("A", A, nets["G_BtoA"](B)), ("B", B, nets["G_AtoB"](A))):
            found = [nets[f"D_{side}"].features(x) for x in (real, fake)]
            case.check(f"loss_fm{side}", feature_matching(found[0][1], found[1][1]))
        case.check("loss_reconA", ((nets["G_BtoA"](nets["G_AtoB"](A)) - A) / 2).square().mean())


@pytest.mark.parametrize("name", golden.names("discogan") or ["absent"])
def test_networks_of_discogan_equal_golden_values(name):
    case = golden.load("discogan", name)
    nets = official(case).method.nets
    with torch.no_grad():
        for side, other, way in (("A", "B", "BtoA"), ("B", "A", "AtoB")):
            x = 2 * case.arrays[other] - 1
            case.check(f"gen_{side}_out_eval", (nets[f"G_{way}"].eval()(x) + 1) / 2)
        logits, features = nets["D_A"].eval().features(2 * case.arrays["A"] - 1)
        case.check("dis_A_eval", torch.sigmoid(logits))
        for index, feature in enumerate(features):
            case.check(f"dis_A_eval_feat{index}", feature)


def test_a_step_of_discogan_is_that_of_the_paper():
    config = replace(DiscoGAN().toy(), bottleneck=5)
    state = built(config)
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 4, seen=10)
    A, B = batch.source, batch.images
    AtoB, BtoA, D_A, D_B = (nets[name] for name in ("G_AtoB", "G_BtoA", "D_A", "D_B"))

    def d_loss():
        total = 0
        for net, real, fake in ((D_B, B, AtoB(A).detach()), (D_A, A, BtoA(B).detach())):
            total = total - torch.sigmoid(net(real)).log().mean() / 2 - (1 - torch.sigmoid(net(fake))).log().mean() / 2
        return total

    def g_loss():
        made, back = AtoB(A), BtoA(B)
        total = F.mse_loss((BtoA(made) + 1) / 2, (A + 1) / 2) / 2 + F.mse_loss((AtoB(back) + 1) / 2, (B + 1) / 2) / 2
        for net, real, fake in ((D_B, B, made), (D_A, A, back)):
            (_, seen), (logits, found) = net.features(real), net.features(fake)
            matching = sum(
                (one.mean(0) - other.mean(0)).square().mean() for one, other in zip(seen, found, strict=True)
            )
            total = total + (-0.1 * torch.sigmoid(logits).log().mean() + 0.9 * matching) / 2
        return total

    def optimizer(weights):
        return torch.optim.Adam(weights, 0.0002, (0.5, 0.999), weight_decay=0.00001)

    by_hand(nets, [("D_B", "D_A"), ("G_AtoB", "G_BtoA")], [d_loss, g_loss], optimizer)
    steps(state, batch)
    assert_same(state, nets)


def test_generators_of_discogan_rest_while_discriminators_learn():
    phases = {phase.name: phase for phase in built(DiscoGAN().toy()).method.phases}
    ran = {name: [step for step in range(7) if phase.due(step)] for name, phase in phases.items()}
    assert ran == {"D": [0, 3, 6], "G": [1, 2, 4, 5]}


def test_a_bottleneck_takes_a_single_image():
    state = built(replace(DiscoGAN().toy(), bottleneck=3))
    net = state.method.nets["G_AtoB"].train()
    assert net(torch.zeros(1, 1, 16, 16)).isfinite().all()
    with pytest.raises(UserError, match="at least 16"):
        net(torch.zeros(1, 1, 8, 16))


@pytest.mark.parametrize(
    ("config", "size", "what"),
    [
        (DiscoGAN(), (17, 17), "can't halve 17x17"),
        (DiscoGAN(depth=5), (16, 16), "16x16 images can't be halved 5 times"),
        (DualGAN(), (18, 18), "18x18 images can't be halved twice"),
        (DualGAN(depth=5), (16, 16), "16x16 images can't be halved 5 times"),
    ],
)
def test_sizes_that_do_not_fit(config, size, what):
    with pytest.raises(UserError, match=re.escape(what)):
        built(config, DataSpec(size, 3, source=3))
