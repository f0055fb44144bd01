"""vid2vid's steps equal those written out by hand; sequences, stages, memory, and what remembers in use."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from organza import UserError, load, train
from organza.contract.data import DataSpec
from organza.contract.method import Clock
from organza.core.device import computing
from organza.methods.translation.vid2vid import Vid2Vid
from organza.methods.translation.vid2vid_nets import SequentialGenerator, moments, motion_at, shortest
from organza.ops.flow import along, compose
from organza.presets import PRESETS
from organza.training.estimate import memory, on_meta
from organza.training.loop import advance
from organza.training.settings import Training, resolve
from organza.training.state import State
from tests.methods.test_cut import assert_same, by_hand
from tests.shapes import batch_of

CPU = torch.device("cpu")
DEFAULT = Vid2Vid()
SPEC = DataSpec((16, 16), 3, source=3, frames=7)


def built(config=DEFAULT, spec=SPEC, **changes):
    torch.manual_seed(0)
    return State.fresh(replace(config.toy(), **changes).resolve(spec, 2).build(spec), CPU)


def moved(image, flow):
    """Bilinear, pixel by pixel: ``[C, H, W]`` along ``[2, H, W]``, edges repeated."""
    _, height, width = image.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = (columns + flow[0]).clamp(0, width - 1), (rows + flow[1]).clamp(0, height - 1)
    left, top = x.detach().floor().clamp(max=width - 2), y.detach().floor().clamp(max=height - 2)
    across, down = x - left, y - top
    left, top = left.long(), top.long()
    upper = image[:, top, left] * (1 - across) + image[:, top, left + 1] * across
    lower = image[:, top + 1, left] * (1 - across) + image[:, top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def test_flow_moves_pixels_and_gradients():
    x = torch.rand(2, 3, 6, 5, requires_grad=True)
    flow = (torch.rand(2, 2, 6, 5) * 6 - 3).requires_grad_()
    found, wanted = along(x, flow), torch.stack([moved(*pair) for pair in zip(x, flow, strict=True)])
    torch.testing.assert_close(found, wanted)
    weights = torch.rand_like(found)
    ours = torch.autograd.grad((found * weights).sum(), (x, flow))
    theirs = torch.autograd.grad((wanted * weights).sum(), (x, flow))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    steps = torch.rand(1, 3, 2, 6, 5) * 2 - 1
    whole = steps[0, 2] + moved(steps[0, 1], steps[0, 2])
    torch.testing.assert_close(compose(steps)[0], whole + moved(steps[0, 0], whole))


@pytest.mark.parametrize("recompute", [False, True])
def test_a_step_is_that_of_the_authors(recompute):
    """Terms and weights as in NVIDIA/vid2vid's discriminator model, averaged over the frames of a sequence."""
    state = built(recompute=recompute, first_frames=7)
    with torch.no_grad():  # farther random motion enlarges rounding from frame to frame, beyond any comparison
        state.method.nets["G"].flow.weight.mul_(0.1)
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 2)
    frozen = state.method.frozen["perceptor"]
    G, D, DT = nets["G"], nets["D"].net, nets["DT"]
    real, source, flow = batch.images, batch.source, batch.flow[:, :, :2]
    known = batch.flow[:, :, 2:]
    pool = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def frames():
        """Sources before the first are the first; outputs before it are black in [-1, 1]'s middle, and not used."""
        made = []
        for t in range(7):
            seen = torch.cat([source[:, max(0, t - 2)], source[:, max(0, t - 1)], source[:, t]], 1)
            past = [made[t - k][0].detach() if t >= k else torch.zeros_like(real[:, 0]) for k in (2, 1)]
            x = G.read_source(seen) + G.read_past(torch.cat(past, 1))
            raw = torch.tanh(G.image(G.to_image(x)))
            motion = G.to_motion(x)
            own, weight = 20 * G.flow(motion), torch.sigmoid(G.weight(motion))
            image = raw
            if t:
                before = torch.stack([moved(*pair) for pair in zip(past[-1], own, strict=True)])
                image = raw * weight + before * (1 - weight)
            made.append((image, raw, own, weight))
        return made

    def scores(net, both):
        return [net.scales[0].features(both), net.scales[1].features(pool(both))]

    def fooled(found):
        return sum((scale[-1] - 1).square().mean() for scale in found)

    def match(found, wanted):
        total = 0
        for one, other in zip(found, wanted, strict=True):
            total = total + sum(
                (4 / 2) * (1 / 2) * (x - y.detach()).abs().mean() for x, y in zip(one[:-1], other[:-1], strict=False)
            )
        return total

    def triples(images, rate):
        step = 3**rate
        for start in range(7 - 2 * step):
            at = [start, start + step, start + 2 * step]
            motion = [compose(flow[:, a : a + step]) / 20 for a in at[:2]]
            yield torch.cat([images[:, a] for a in at] + motion, 1)

    first = frames()
    made_before = [torch.stack([frame[k].detach() for frame in first], 1) for k in (0, 1)]

    def g_loss():
        made = frames()
        loss = 0
        for t, (image, raw, own, weight) in enumerate(made):
            wanted = scores(D, torch.cat([source[:, t], real[:, t]], 1))
            for one in (image, raw):
                found = scores(D, torch.cat([source[:, t], one], 1))
                loss = loss + (fooled(found) + 10 * match(found, wanted)) / 7
                for w, x, y in zip(
                    (1 / 8, 1 / 4, 1 / 2, 1), frozen.stages(one), frozen.stages(real[:, t]), strict=False
                ):
                    loss = loss + 10 * w * (x - y).abs().mean() / 7
            if t:
                sure, reference = known[:, t - 1], flow[:, t - 1]
                loss = loss + 10 * (sure * (own - reference)).abs().mean() / 6
                target = torch.stack([moved(*pair) for pair in zip(real[:, t - 1], own, strict=True)])
                loss = loss + 10 * (sure * (target - real[:, t])).abs().mean() / 6
                last = made[t - 1][0].detach()
                before = torch.stack([moved(*pair) for pair in zip(last, reference, strict=True)])
                loss = loss + 10 * (sure * (image - before)).abs().mean() / 6 + (sure * weight).abs().mean() / 6
        images = torch.stack([frame[0] for frame in made], 1)
        for rate in (0, 1):
            pairs = list(zip(triples(images, rate), triples(real, rate), strict=True))
            for fake, true in pairs:
                found, wanted = (scores(DT.rates[rate], x) for x in (fake, true))
                loss = loss + (fooled(found) + 10 * match(found, wanted)) / len(pairs)
        return loss

    def game(wanted, found):
        pairs = zip(wanted, found, strict=True)
        return sum(0.5 * (one[-1] - 1).square().mean() + 0.5 * other[-1].square().mean() for one, other in pairs)

    def d_loss():
        loss = 0
        for t in range(7):
            wanted = scores(D, torch.cat([source[:, t], real[:, t]], 1))
            for images in made_before:
                loss = loss + game(wanted, scores(D, torch.cat([source[:, t], images[:, t]], 1))) / 7
        return loss

    def motion_loss():
        loss = 0
        for rate in (0, 1):
            pairs = list(zip(triples(real, rate), triples(made_before[0], rate), strict=True))
            for true, fake in pairs:
                loss = loss + game(scores(DT.rates[rate], true), scores(DT.rates[rate], fake)) / len(pairs)
        return loss

    by_hand(nets, [("G",), ("D",), ("DT",)], [g_loss, d_loss, motion_loss])
    assert [phase.name for phase in state.method.phases] == ["G", "D", "DT"]
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training()).carry)
    assert_same(state, nets)


def fine_spec():
    """Label maps of four classes at 32x32, three frames."""
    return DataSpec((32, 32), 3, source=1, palette=((0,), (3,), (7,), (26,)), frames=3)


def labelled(spec, count):
    """Noise for targets; half a background class, in it a block of the others."""
    batch = batch_of(spec, count)
    levels = torch.zeros(count, spec.frames, 1, *spec.resolution)
    for n in range(count):
        for t in range(spec.frames):
            top, left = 3 + 5 * n + 2 * t, 20 - 6 * n - t
            levels[n, t, 0, top : top + 9, left : left + 11] = 26
            levels[n, t, 0, top : top + 3, left : left + 4] = 7
    flow = torch.rand(count, spec.frames - 1, 2, *spec.resolution) * 2 - 1
    known = (torch.rand(count, spec.frames - 1, 1, *spec.resolution) > 0.3).float()
    return replace(batch, source=levels / 127.5 - 1, flow=torch.cat([flow, known], 2))


@pytest.mark.parametrize("level", [0, 1])
def test_a_step_with_finer_scales_a_foreground_and_a_face(level):
    """Written from the paper's appendix and what the authors' code is known to do: two scales, each with its own last
    outputs; labels alone make what the mask shows; the face is looked at by itself."""
    spec = fine_spec()
    config = replace(DEFAULT.toy(), enhancers=1, blocks_local=1, foreground=(26,), face_weight=2.0, first_frames=3)
    torch.manual_seed(0)
    state = State.fresh(replace(config, vgg_weight=0.0).resolve(spec, 2).build(spec), CPU)
    with torch.no_grad():
        for net in (state.method.nets["G"], state.method.nets["G"].enhancers[0]):
            net.flow.weight.mul_(0.1)
    nets, batch = copy.deepcopy(dict(state.method.nets)), labelled(spec, 2)
    G, D, DT, DF = nets["G"], nets["D"].net, nets["DT"], nets["DF"].net
    pool = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    hot = torch.stack([G.labels(batch.source[:, t]) for t in range(3)], 1)
    assert hot.shape[2] == 5
    fine, coarse = hot, torch.stack([pool(hot[:, t]) for t in range(3)], 1)
    real, flow, known = batch.images, batch.flow[:, :, :2], batch.flow[:, :, 2:]
    if not level:
        real = torch.stack([pool(real[:, t]) for t in range(3)], 1)
        share = torch.stack([pool(known[:, t]) for t in range(2)], 1)
        sums = torch.stack([pool(known[:, t] * flow[:, t]) for t in range(2)], 1)
        plain = torch.stack([pool(flow[:, t]) for t in range(2)], 1)
        flow, known = torch.where(share > 0, sums / share.clamp(min=1e-6), plain) / 2, share
    source = fine if level else coarse

    def one(net, seen, past, reach, inner, t):
        x = net.read_source(seen) + net.read_past(past)
        image = net.to_image(x + inner[0] if inner else x)
        motion = net.to_motion(x + inner[1] if inner else x)
        raw, own, weight = torch.tanh(net.image(image)), reach * net.flow(motion), torch.sigmoid(net.weight(motion))
        final = raw
        if t:
            before = torch.stack([moved(*pair) for pair in zip(past[:, 3:], own, strict=True)])
            final = raw * weight + before * (1 - weight)
        z = net.read_foreground(seen)
        front = net.to_foreground(z + inner[2] if inner else z)
        mask = seen[:, -5:][:, 3:4]
        made = torch.tanh(net.foreground(front))
        return (made * mask + final * (1 - mask), made * mask + raw * (1 - mask), own, weight), (image, motion, front)

    def frames():
        small, large = [], []
        for t in range(3):
            at = [max(0, t - 2), max(0, t - 1), t]
            inputs = [torch.cat([part[:, a] for a in at], 1) for part in (coarse, fine)]
            blank = [torch.zeros(2, 3, side, side) for side in (16, 32)]
            past = [
                torch.cat([done[t - k][0].detach() if t >= k else empty for k in (2, 1)], 1)
                for done, empty in zip((small, large), blank, strict=True)
            ]
            frame, features = one(G, inputs[0], past[0], 20, (), t)
            small.append(frame)
            large.append(one(G.enhancers[0], inputs[1], past[1], 40, features, t)[0])
        return large if level else small

    def scores(net, both):
        found = [net.scales[0].features(both)]
        return [*found, net.scales[1].features(pool(both))] if len(net.scales) > 1 else found

    def fooled(found):
        return sum((scale[-1] - 1).square().mean() for scale in found)

    def match(found, wanted):
        pairs = zip(found, wanted, strict=True)
        return sum(
            (4 / (len(one) - 1)) / len(found) * (x - y.detach()).abs().mean()
            for one, other in pairs
            for x, y in zip(one[:-1], other[:-1], strict=True)
        )

    side = 8

    def face(images, t):
        """A window of 8x8 (a quarter of 32) around all that is not the most frequent class."""
        found = []
        for image, seen in zip(images, source[:, t], strict=True):
            size = seen.shape[1]
            off = (seen - seen.flatten(1).median(1).values[:, None, None]).abs().amax(0) > 0.1
            middle = [(int(where.min()) + int(where.max())) // 2 for where in off.nonzero().T]
            top, left = (min(max(at - side // 2, 0), size - side) for at in middle)
            found.append(image[:, top : top + side, left : left + side])
        return torch.stack(found)

    def triple(images):
        motion = [compose(flow[:, a : a + 1]) / 20 for a in (0, 1)]
        return torch.cat([images[:, t] for t in range(3)] + motion, 1)

    made_before = [torch.stack([frame[k].detach() for frame in frames()], 1) for k in (0, 1)]

    def g_loss():
        made, loss = frames(), 0
        for t, (image, raw, own, weight) in enumerate(made):
            wanted = scores(D, torch.cat([source[:, t], real[:, t]], 1))
            for output in (image, raw):
                found = scores(D, torch.cat([source[:, t], output], 1))
                loss = loss + (fooled(found) + 10 * match(found, wanted)) / 3
            faces = [torch.cat([face(source[:, t], t), face(x, t)], 1) for x in (image, real[:, t])]
            found, wanted = (scores(DF, x) for x in faces)
            loss = loss + 2 * (fooled(found) + 10 * match(found, wanted)) / 3
            if t:
                sure, reference = known[:, t - 1], flow[:, t - 1]
                loss = loss + 10 / 2**level * (sure * (own - reference)).abs().mean() / 2
                target = torch.stack([moved(*pair) for pair in zip(real[:, t - 1], own, strict=True)])
                loss = loss + 10 * (sure * (target - real[:, t])).abs().mean() / 2
                last = made[t - 1][0].detach()
                before = torch.stack([moved(*pair) for pair in zip(last, reference, strict=True)])
                loss = loss + 10 * (sure * (image - before)).abs().mean() / 2 + (sure * weight).abs().mean() / 2
        images = torch.stack([frame[0] for frame in made], 1)
        found, wanted = (scores(DT.rates[0], triple(x)) for x in (images, real))
        return loss + fooled(found) + 10 * match(found, wanted)

    def game(wanted, found):
        pairs = zip(wanted, found, strict=True)
        return sum(0.5 * (one[-1] - 1).square().mean() + 0.5 * other[-1].square().mean() for one, other in pairs)

    def d_loss():
        pairs = [(images[:, t], t) for t in range(3) for images in made_before]
        both = [[torch.cat([source[:, t], x], 1) for x in (real[:, t], image)] for image, t in pairs]
        return sum(game(*(scores(D, x) for x in pair)) for pair in both) / 3

    def motion_loss():
        return game(*(scores(DT.rates[0], triple(x)) for x in (real, made_before[0])))

    def face_loss():
        pairs = [(real[:, t], made_before[0][:, t], t) for t in range(3)]
        both = [[torch.cat([face(source[:, t], t), face(x, t)], 1) for x in pair] for *pair, t in pairs]
        return sum(game(*(scores(DF, x) for x in pair)) for pair in both) / 3

    by_hand(nets, [("G",), ("D",), ("DT",), ("DF",)], [g_loss, d_loss, motion_loss, face_loss])
    assert [phase.name for phase in state.method.phases] == ["G0/3", "G1/3/fixed", "G", "D", "DT", "DF"]
    stage = 2 * level
    for phase in state.method.phases:
        if phase.active(stage):
            batch = batch.leaving(advance(state, phase, batch, Training(), stage=stage).carry)
    if level:
        nets["G"].enhanced.fill_(1)
    assert_same(state, nets, atol=1e-4)


def test_what_holds_still_while_scales_are_added():
    spec = replace(fine_spec(), resolution=(64, 64), frames=2)
    config = replace(DEFAULT.toy(), enhancers=2, blocks_local=1).resolve(spec, 1)
    stages = [(0, False, 2), (1, True, 2), (1, False, 2), (2, True, 2), (2, False, 2)]
    assert [tuple(stage) for stage in config.stages(2)] == stages
    state = State.fresh(config.build(spec), CPU)
    G, moved_parts = state.method.nets["G"], []
    for stage in range(5):
        before = copy.deepcopy(G.state_dict())
        state.enter(stage)
        phase = next(phase for phase in state.method.phases if phase.active(stage))
        carry = advance(state, phase, labelled(spec, 1), Training(), stage=stage).carry
        assert carry["outputs"].shape[-1] == (16, 32, 32, 64, 64)[stage] and int(G.enhanced) == (0, 1, 1, 2, 2)[stage]
        changed = {name for name, value in G.state_dict().items() if not torch.equal(value, before[name])}
        moved_parts.append({name[:11] if name[0] == "e" else "coarse" for name in changed - {"enhanced"}})
    assert moved_parts == [
        {"coarse"},
        {"enhancers.0"},
        {"coarse", "enhancers.0"},
        {"enhancers.1"},
        {"coarse", "enhancers.0", "enhancers.1"},
    ]


def test_a_coarse_generator_follows_at_full_size():
    """While finer scales have not begun, frames are halved, translated and enlarged; later all scales remember."""
    torch.manual_seed(0)
    G = SequentialGenerator(3, 3, 4, 1, 2, enhancers=1, blocks_local=1).requires_grad_(False)
    x = torch.rand(3, 1, 3, 16, 24) * 2 - 1
    small = [torch.nn.functional.avg_pool2d(frame, 3, 2, 1, count_include_pad=False) for frame in x]
    memory, plain = (), ()
    for frame, reduced in zip(x, small, strict=True):
        image, memory = G.use(frame, memory)
        wanted, plain = G.step(reduced, plain, level=0)
        enlarged = torch.nn.functional.interpolate(wanted.image, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(image, enlarged)
        assert memory[0].shape[2:] == (16, 24) and len(memory) == 2
    G.enhanced.fill_(1)
    memory = ()
    frames = G.sequence(x.transpose(0, 1))
    for frame, wanted in zip(x, frames, strict=True):
        image, memory = G.use(frame, memory)
        torch.testing.assert_close(image, wanted.image)
    assert [part.shape[1:] for part in memory] == [(6, 16, 24), (6, 8, 12), (6, 16, 24)]


def test_enhancers_as_in_the_paper():
    def found(*size):
        return DEFAULT.resolve(DataSpec(size, 3, source=3, frames=4), 1).enhancers

    assert [found(256, 512), found(512, 1024), found(1024, 2048), found(2048, 4096), found(500, 1024)] == [
        0,
        1,
        2,
        2,
        0,
    ]


def test_a_batch_may_be_cut():
    spec, found = replace(SPEC, frames=4), []
    for micro in (1, 2):
        state, batch = built(spec=spec, first_frames=4), noise(spec)
        with torch.no_grad():
            state.method.nets["G"].flow.weight.mul_(0.1)
        for phase in state.method.phases:
            batch = batch.leaving(advance(state, phase, batch, Training(micro_batch=micro)).carry)
        found.append({name: learner.flat.clone() for name, learner in state.learners.items()})
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-3, atol=1e-4)


def noise(spec):
    torch.manual_seed(1)
    return batch_of(spec, 2)


def test_gradients_go_through_one_frame():
    G = built().method.nets["G"].requires_grad_()
    source = torch.rand(1, 3, 3, 16, 16)
    last = G.sequence(source)[-1].image
    assert last.requires_grad
    frame, memory = G.step(source[:, 0], ())
    assert not any(part.requires_grad for part in memory)
    assert torch.equal(frame.image, frame.raw)
    assert torch.equal(memory[0], source[:, 0].repeat(1, 2, 1, 1))
    assert not memory[1][:, :3].any() and torch.equal(memory[1][:, 3:], frame.image)


def test_moments():
    frames = torch.arange(8.0).reshape(1, 8, 1, 1, 1).expand(1, 8, 1, 4, 4)
    flow = torch.ones(1, 7, 2, 4, 4)
    near, far = (moments(frames, motion_at(flow, rate), rate) for rate in (0, 1))
    assert [m[0, :, 0, 0].tolist()[:3] for m in near] == [[k, k + 1, k + 2] for k in range(6)]
    assert [m[0, :, 0, 0].tolist()[:3] for m in far] == [[0, 3, 6], [1, 4, 7]]
    assert near[0].shape == (1, 7, 4, 4)
    torch.testing.assert_close(far[0][0, 3:, 0, 0], torch.full([4], 3 / 20))
    assert [shortest(rate) for rate in range(3)] == [3, 7, 19]


def test_sequences_grow():
    config = Vid2Vid(first_frames=3)
    state = built(config, first_frames=3)
    method = state.method
    assert [phase.name for phase in method.phases] == ["G/3", "G/6", "G", "D", "DT"]
    for seen, name in ((0, "G/3"), (33, "G/3"), (34, "G/6"), (66, "G/6"), (67, "G"), (100, "G")):
        stage = config._stage(Clock(seen, 100), 3).stage
        assert [phase.name for phase in method.phases if phase.active(stage)] == [name, "D", "DT"]
    carry = advance(state, method.phases[0], batch_of(SPEC, 1), Training()).carry
    assert carry["outputs"].shape == (1, 3, 3, 16, 16) == carry["raw"].shape
    batch = batch_of(SPEC, 1).leaving(carry)
    assert all("loss" in next(iter(advance(state, phase, batch, Training()).stats)) for phase in method.phases[3:])
    assert Vid2Vid(first_frames=9).lengths(7) == (7,)
    by_epochs = Vid2Vid(stage_epochs=1.5)
    assert [by_epochs._stage(Clock(seen, 9000, 10), 3).stage for seen in (14, 15, 29, 30, 9000)] == [0, 1, 1, 2, 2]


def test_memory_hardly_grows_with_length():
    def activations(frames, recompute):
        spec = replace(SPEC, resolution=(32, 32), frames=frames)
        config = replace(Vid2Vid().toy(), width=16, first_frames=9, recompute=recompute).resolve(spec, 1)
        return memory(on_meta(config, spec), spec, resolve(Training(batch=1), spec, 1), torch.float32).activations

    lean, plain = ([activations(frames, how) for frames in (3, 9)] for how in (True, False))
    assert plain[1] > 2.5 * plain[0] and lean[1] < plain[1] / 3
    frame = 4 * 32 * 32 * 100  # what is kept of each: sources, outputs, flow, moments
    assert lean[1] - lean[0] < 6 * frame


def test_sizes_in_bf16():
    G = SequentialGenerator(3, 3, 16, 1, 2)
    with computing(torch.bfloat16):
        frame, memory = G.step(torch.rand(1, 3, 16, 16), ())
        frame, _ = G.step(torch.rand(1, 3, 16, 16), memory)
    assert {part.dtype for part in frame} == {torch.float32}


@pytest.mark.parametrize(
    ("config", "spec", "message"),
    [
        (Vid2Vid(), DataSpec((12, 17), 3, source=3, frames=4), "17x12 frames can't be halved 1 times"),
        (Vid2Vid(halvings=4), SPEC, "16x16 frames can't be halved 4 times"),
        (Vid2Vid(scales=8), SPEC, "too small for discriminators at 8 sizes"),
        (Vid2Vid(perceptor="vgg19"), replace(SPEC, resolution=(8, 8)), "too small for VGG-19"),
    ],
)
def test_what_does_not_fit(config, spec, message):
    with pytest.raises(UserError, match=message):
        config.resolve(spec, 1).build(spec)


# --- in use ---


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    whole = PRESETS["vid2vid-64"].run
    whole = replace(whole, method=whole.method.toy())
    more = {"batch": 2, "grid": "2x1", "kimg": 0.004, "resolution": "16"}
    return train(whole, films, outdir=tmp_path_factory.mktemp("runs"), **more).folder


def test_a_run_remembers_frames_and_forgets_at_cuts(run):
    T = load(run)
    rng = np.random.RandomState(0)
    still = rng.randint(0, 256, (16, 16, 3)).astype(np.uint8)
    other = np.ascontiguousarray(255 - still[::-1, ::-1])
    follow = T.follow()
    made = [follow(frame, size="own").pixels for frame in (still, still, still, other, still)]
    alone = [T.photo(frame, size="own").pixels for frame in (still, other)]
    assert np.array_equal(made[0], alone[0]) and np.array_equal(made[3], alone[1])
    assert np.array_equal(made[4], alone[0]) and not np.array_equal(made[1], alone[0])
    assert follow.found == 2
    memory, by_hand = (), []
    x = torch.from_numpy(still).permute(2, 0, 1)[None].float() / 127.5 - 1
    for _ in range(3):
        y, memory = T.model.follow(T.net, x, memory)
        by_hand.append(y)
    for image, y in zip(made, by_hand, strict=False):
        wanted = (y[0].permute(1, 2, 0) * 127.5 + 127.5).round().clamp(0, 255)
        assert np.abs(image.astype(int) - wanted.numpy()).max() <= 1
    follow.reset()
    assert np.array_equal(follow(still, size="own").pixels, alone[0])
    follow(other[:8], size="own")  # another size
    assert follow.found == 2
    with pytest.raises(UserError, match="remembers whole frames, not tiles"):
        T.tiled(64, 8).follow()


def test_enhancers_begin_with_a_coarser_run(run, films, tmp_path):
    """A run with enhancers takes the coarse generator of another, translates at each of its stages, and is resumed."""
    whole = PRESETS["vid2vid-64"].run
    whole = replace(whole, method=replace(whole.method.toy(), blocks_local=1, vgg_weight=0.0, stage_epochs=None))
    more = {"batch": 2, "grid": "2x1", "resolution": "16", "enhancers": 1, "face_weight": 2.0, "lr": 0.0}
    first = train(whole, films, outdir=tmp_path, resume=run, kimg=0.002, **more)
    T, coarse = load(first.folder), load(run)
    assert len(T.net.enhancers) == 1 and T.multiple == 4
    for name, value in coarse.net.state_dict().items():
        assert torch.equal(T.net.state_dict()[name], value), name
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    assert T.apply(x).shape == (1, 3, 16, 16)
    again = train(whole, films, outdir=tmp_path, resume=first.folder, kimg=0.004, **more)
    assert again.seen == 4 and load(again.folder).apply(x).isfinite().all()


def test_frames_in_a_folder_are_a_video(run, films, tmp_path):
    from organza.media.images import save_picture
    from organza.translate.files import translate_files

    rng = np.random.RandomState(0)
    still = rng.randint(0, 150, (16, 16, 3)).astype(np.uint8)
    frames = [still + np.uint8(8 * k) for k in range(11)]
    for number, frame in enumerate(frames):
        save_picture(frame, tmp_path / "in" / "one" / f"{number}.png")
    save_picture(frames[0], tmp_path / "in" / "two" / "0.png")
    T = load(run)
    done = translate_files(T, tmp_path / "in", outdir=tmp_path / "out")
    assert len(done.written) == 12
    follow = T.follow()
    wanted = [follow(frame).pixels for frame in frames]

    def read(name):
        return load(run).read(tmp_path / "out" / name).pixels

    for number in (0, 1, 2, 10):
        assert np.array_equal(read(f"one/{number}.png"), wanted[number])
    assert np.array_equal(read("two/0.png"), wanted[0])


def test_a_video_is_translated_by_what_remembers(run, tmp_path, capsys):
    pytest.importorskip("av")
    from organza.cli.main import main
    from organza.media.clip import Reading, open_clip
    from tests.media.test_clip import write

    source = write(tmp_path / "a.mp4", 5, size=(32, 32))
    assert main(["translate", "--network", f"{run}", "--input", f"{source}", "--output", f"{tmp_path / 'b.mp4'}"]) == 0
    assert "5 frames" in capsys.readouterr().out
    T = load(run)
    follow, near, far = T.follow(), [], []
    films = [Reading(open_clip(file)).frames() for file in (source, tmp_path / "b.mp4")]
    for frame, made in zip(*films, strict=True):
        for found, wanted in ((near, follow(frame.pixels)), (far, T.photo(frame.pixels))):
            found.append(np.abs(wanted.eight().astype(int) - made.pixels).mean())
    assert near[0] == far[0] and all(one < other for one, other in zip(near[1:], far[1:], strict=True))
    assert main(["translate", "--network", f"{run}", "--input", f"{source}", "--tile", "8", "--overlap", "0"]) == 2
    assert "remembers whole frames" in capsys.readouterr().err
