"""Photo2Cartoon: a step by hand with its clips, the layers, the network that knows faces, and what does not fit."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import organza
from organza import PRESETS, UserError, train
from organza.contract.data import DataSpec
from organza.methods.translation.photo2cartoon import face_loss
from organza.nn.adalin import AdaLIN, SoftAdaLIN, clip_rho, clip_w
from organza.nn.hourglass import SplitBlock
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from organza.vision.face_id.mobilefacenet import MobileFaceNet
from tests.shapes import batch_of, spec_of, toy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces_file(tmp_path_factory):
    """A tiny MobileFaceNet with random weights."""
    torch.manual_seed(5)
    net = MobileFaceNet(4, ((4, 4),) * 3, (4, 4, 4), (1, 0, 1), 8, 16)
    path = tmp_path_factory.mktemp("weights") / "faces" / "model_mobilefacenet.pth"
    path.parent.mkdir()
    torch.save(net.state_dict(), path)
    return path


def state_of(faces_file, name="photo2cartoon", count=2, **changes):
    spec = spec_of(name)
    torch.manual_seed(0)
    method = replace(toy(name).method, face_weight=1.0, face_id=str(faces_file), **changes)
    return State.fresh(method.resolve(spec, count).build(spec), CPU), batch_of(spec, count)


# --- layers ---


def test_soft_adalin_is_a_mixture_of_two_styles():
    torch.manual_seed(0)
    x, content, style = torch.randn(2, 3, 4, 5), torch.randn(2, 3), torch.randn(2, 3)
    layer = SoftAdaLIN(3)
    assert layer.rho.tolist() == pytest.approx([0.9] * 3) and not layer.w_gain.any() and not layer.w_bias.any()
    plain = AdaLIN(3)
    torch.testing.assert_close(layer(x, content, style), plain(x, layer.style_gain(style), layer.style_bias(style)))
    layer.w_gain.data, layer.w_bias.data = torch.tensor([0.0, 0.3, 1.0]), torch.tensor([0.7, 0.5, 0.2])

    def perceptron(net, vector):
        return F.linear(F.relu(F.linear(vector, net[0].weight, net[0].bias)), net[2].weight, net[2].bias)

    gain = (1 - layer.w_gain) * layer.style_gain(style) + layer.w_gain * perceptron(layer.content_gain, content)
    bias = (1 - layer.w_bias) * layer.style_bias(style) + layer.w_bias * perceptron(layer.content_bias, content)
    torch.testing.assert_close(layer(x, content, style), plain(x, gain, bias))
    layer.w_gain.data, layer.rho.data = torch.tensor([-0.5, 0.5, 1.5]), torch.tensor([2.0, 0.5, -1.0])
    clip_w(nn.Sequential(layer))
    assert layer.w_gain.tolist() == [0, 0.5, 1] and layer.rho.tolist() == [2, 0.5, -1]
    clip_rho(nn.Sequential(layer))
    assert layer.rho.tolist() == [1, 0.5, 0]


def test_a_block_of_an_hourglass_by_hand():
    torch.manual_seed(0)
    block, x = SplitBlock(8), torch.randn(2, 8, 5, 6)
    inner, parts = x, []
    for conv in block.convs:
        inner = F.conv2d(F.pad(F.relu(F.instance_norm(inner)), [1] * 4, mode="reflect"), conv.weight)
        parts.append(inner)
    assert [part.shape[1] for part in parts] == [4, 2, 2]
    torch.testing.assert_close(block(x), x + torch.cat(parts, 1))


def test_contents_reach_the_blocks_in_reverse():
    torch.manual_seed(0)
    spec = DataSpec((16, 16), 3, source=3)
    method = replace(toy("photo2cartoon").method, blocks=3).resolve(spec, 1).build(spec)
    net, seen = method.nets["G_AtoB"], []
    for block in net.styled:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    images = torch.rand(2, 3, 16, 16)
    net(images)
    contents = net.encoded(images)[1]
    assert len(seen) == 3 and all(torch.equal(one, other) for one, other in zip(seen, contents[::-1], strict=True))


# --- a step ---


def mse(x, target):
    return (x - target).square().mean()


def step_by_hand(nets, face, source, target, lr=1e-4):
    """The authors' order: the discriminators, summed and not halved; then the generators; then both clips."""
    A, B = nets["G_AtoB"], nets["G_BtoA"]
    critics = [name for name in nets if name.startswith("D_")]
    adam = {"betas": (0.5, 0.999), "weight_decay": 1e-4}
    d_adam = torch.optim.Adam([p for name in critics for p in nets[name].parameters()], lr, **adam)
    g_adam = torch.optim.Adam([*A.parameters(), *B.parameters()], lr, **adam)

    fakes = {"B": A(source).detach(), "A": B(target).detach()}
    loss = 0.0
    for side, real in (("B", target), ("A", source)):
        for name in (f"D_{side}", f"D_{side}_local"):
            patches, found = nets[name].attend(real)
            patches_fake, found_fake = nets[name].attend(fakes[side])
            loss = loss + mse(patches, 1) + mse(patches_fake, 0) + mse(found.logits, 1) + mse(found_fake.logits, 0)
    d_adam.zero_grad()
    loss.backward()
    d_adam.step()

    total = 0.0
    for one, other, side, images, own in ((A, B, "B", source, target), (B, A, "A", target, source)):
        output, logits = one.with_logits(images)
        same, logits_same = one.with_logits(own)
        for name in (f"D_{side}", f"D_{side}_local"):
            patches, seen = nets[name].attend(output)
            total = total + mse(patches, 1) + mse(seen.logits, 1)
        total = total + 50 * (other(output) - images).abs().mean() + 10 * (same - own).abs().mean()
        yes, no = torch.ones_like(logits), torch.zeros_like(logits)
        bce = F.binary_cross_entropy_with_logits
        total = total + 1000 * (bce(logits, yes) + bce(logits_same, no))
        total = total + (1 - F.cosine_similarity(face(images), face(output))).mean()
    g_adam.zero_grad()
    total.backward()
    g_adam.step()
    for net in (A, B):
        for key, value in net.named_parameters():
            if key.endswith(("rho", "w_gain", "w_bias")):
                value.data.clamp_(0, 1)
    return loss, total


@pytest.mark.parametrize("name", ["photo2cartoon", "photo2cartoon-full"])
def test_a_step_is_the_authors(name, faces_file):
    state, batch = state_of(faces_file, name)
    nets = copy.deepcopy(state.method.nets)
    d_phase, g_phase = state.method.phases
    assert (d_phase.name, g_phase.name) == ("D", "G")
    d_found = advance(state, d_phase, batch, Training())
    g_found = advance(state, g_phase, batch, Training())
    d_loss, g_loss = step_by_hand(nets, state.nets["face_id"], batch.source, batch.images)
    torch.testing.assert_close(d_found.stats["loss/D"], d_loss.detach())
    torch.testing.assert_close(g_found.stats["loss/G"], g_loss.detach(), rtol=1e-4, atol=1e-4)
    for net in nets:
        hand = {**dict(nets[net].named_buffers()), **dict(nets[net].named_parameters())}
        for key, value in state.method.nets[net].state_dict().items():
            close = torch.isclose(value, hand[key], rtol=1e-3, atol=2e-5)
            if hand[key].grad is not None:
                # A constant that normalisation takes away has no gradient; Adam makes a step of its rounding.
                close |= (hand[key].grad.abs() < 2e-4) & ((value - hand[key]).abs() < 2.1e-4)
            assert close.all(), f"{net}.{key}"


def test_rho_and_w_stay_between_their_bounds(faces_file):
    state, batch = state_of(faces_file)
    layer = state.method.nets["G_AtoB"].styled[0].norm1
    layer.rho.data.fill_(1.0)
    layer.w_gain.data.fill_(0.5)
    advance(state, state.method.phases[1], batch, Training(), rate=20000.0)  # each weight moves by 2
    for value in (layer.rho, layer.w_gain, layer.w_bias):
        assert {*value.tolist()} <= {0.0, 1.0}
    assert layer.content_gain[0].weight.grad.any()


# --- the network that knows faces ---


def test_faces_pull_the_generator_and_stay_frozen(faces_file):
    state, batch = state_of(faces_file)
    net = state.nets["face_id"]
    before = copy.deepcopy(net.state_dict())
    assert not any(p.requires_grad for p in net.parameters()) and not net.training
    outputs = state.nets["G_AtoB"](batch.source)
    face_loss(net, batch.source, outputs).backward()
    assert state.method.nets["G_AtoB"].head.weight.grad.any()
    found = advance(state, state.method.phases[1], batch, Training())
    assert 0 <= found.stats["terms/face"] <= 4
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_run_with_faces_trains_resumes_and_is_used_without_the_file(pairs, faces_file, tmp_path):
    run = toy("photo2cartoon")
    run = replace(run, method=replace(run.method, face_weight=1.0))
    options = {"batch": 2, "grid": "1x1", "precision": "float32"}
    weights = tmp_path / "weights" / "faces" / faces_file.name
    weights.parent.mkdir(parents=True)
    weights.write_bytes(faces_file.read_bytes())
    folder = train(
        run, pairs, outdir=tmp_path / "runs", kimg=0.004, weights_dir=str(weights.parents[1]), **options
    ).folder
    assert "face_id" in (folder / "config.json").read_text() and '"frozen"' in (folder / "config.json").read_text()
    weights.unlink()
    T = organza.load(folder)
    assert T.apply(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)
    for changes, message in (
        ({}, "compares faces by a network that does not come with Organza"),
        ({"face_id": str(tmp_path / "no.pth")}, r"no\.pth: does not exist"),
        ({"weights_dir": str(tmp_path)}, "holds no network for faces"),
    ):
        with pytest.raises(UserError, match=message):
            train(run, pairs, outdir=tmp_path / "other", kimg=0.004, **options, **changes)
    assert not (tmp_path / "other").exists()


# --- what does not fit ---


def test_images_that_do_not_fit():
    method = PRESETS["photo2cartoon"].run.method.toy()

    def build(rows, columns, source=3, **changes):
        spec = DataSpec((rows, columns), 3, source=source)
        return replace(method, **changes).resolve(spec, 1).build(spec)

    with pytest.raises(UserError, match="can't translate images of 18x16; take sides that are multiples of 4"):
        build(18, 16)
    with pytest.raises(UserError, match="images of 24x24; take sides that are multiples of 16, 32 at least or fewer"):
        build(24, 24, levels=4)
    with pytest.raises(UserError, match="two sets of the same channels, not 1 and 3"):
        build(16, 16, source=1)
    with pytest.raises(UserError, match="hourglasses can't be 6 maps wide"):
        build(16, 16, width=6)
    with pytest.raises(UserError, match=r"16x16 images can't be halved 5 times .* take --halvings-global 2"):
        build(16, 16, halvings_global=5)
    for size, levels in (((256, 256), 4), ((96, 48), 4), ((24, 40), 3), ((44, 44), 2), ((8, 8), 2), ((8, 12), 2)):
        found = replace(method, levels=None).resolve(DataSpec(size, 3, source=3), 1)
        assert found.levels == levels, size
        if size[0] < 96:
            spec = DataSpec(size, 3, source=3)
            state = State.fresh(found.build(spec), CPU)
            for phase in state.method.phases:
                assert advance(state, phase, batch_of(spec, 1), Training()).loss.isfinite()
