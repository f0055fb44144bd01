"""Files of vid2vid load with what lies beside them, and give the official values."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from organza import UserError
from organza.formats import read_weights
from organza.methods.translation.vid2vid_nets import moments, motion_at
from organza.models.load import load_translator
from organza.nn.norms import running
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden
from tests.standins import at_random, images

NAME = "composite_inst_32"
PARTS = ("image", "flow", "weight", "raw")
ARRAYS = ("img_final", "flow", "weight", "img_raw")


def case():
    return golden.load("vid2vid", NAME)


def test_a_generator_gives_the_official_values(tmp_path):
    found = case()
    file = found.folder / "latest_net_G0.pth"
    T = load_translator(file)
    with torch.no_grad(), running(T.net, "train"):
        frame = T.net(found.arrays["labels"], found.arrays["prev"])
    for ours, theirs in zip(PARTS, ARRAYS, strict=True):
        found.check(f"{theirs}_train", getattr(frame, ours))
    report = inspect(file)
    assert report.usable and "vid2vid" in str(report) and "2 frames remembered" in str(report)
    copy = load_translator(convert(file, tmp_path / "ours"))
    x = torch.rand(1, 4, 32, 48) * 2 - 1
    assert torch.equal(copy.apply(x), T.apply(x))


def test_what_newer_pytorch_makes_of_the_official_code():
    found = case()
    weights = read_weights(found.folder / "latest_net_G0.pth")
    assert weights.config.aligned
    method, _ = replace(weights, config=replace(weights.config, aligned=False)).build(None, critic=False)
    net = method.nets["G"]
    with torch.no_grad(), running(net, "train"):
        frame = net(found.arrays["labels"], found.arrays["prev"])
    found.check("img_final_train_newtorch", frame.image)


def test_discriminators_give_the_official_values():
    found = case()
    weights = read_weights(found.folder / "latest_net_G0.pth")
    assert set(weights.nets) == {"G", "D", "DT"} and not weights.problems
    method, _ = weights.build(None, critic=True)
    for net in ("D", "DT"):
        weights._fill(net, method.nets[net], net)
    frames, label = found.arrays["d_frames"], found.arrays["labels"][:1, -4:]
    with torch.no_grad():
        scales = method.nets["D"].net.features(frames[:, :3], label)
        (moment,) = moments(
            frames.unflatten(1, (3, 3)), motion_at(20 * found.arrays["d_flow"].unflatten(1, (2, 2)), 0), 0
        )
        motion = method.nets["DT"].features(moment, 0)
    for k in range(2):
        found.check(f"D_train_scale{k}", scales[k][-1])
        found.check(f"D_T0_train_scale{k}", motion[k][-1])
    found.check("D_feat_scale0_1", scales[0][1])
    found.check("D_T0_feat_scale0_1", motion[0][1])


def test_what_is_no_generator_by_itself(tmp_path):
    found = case()
    state = torch.load(found.folder / "latest_net_G0.pth", weights_only=True)
    for change, message in (
        (lambda n: None if "model_down_seg.1" in n and "conv_block" in n else n, "a finer generator of vid2vid"),
        (lambda n: n.replace("model_final_w.1", "indv_final.1"), "classes that the file does not say"),
        (lambda n: n.replace("model_final_w.1", "model_final_q.1"), "is unknown"),
        (lambda n: None if n.startswith("model_up_flow.0.w") else n, "missing"),
        (lambda n: None if n.startswith("model_final_img.1.b") else n, "missing"),
    ):
        file = tmp_path / "latest_net_G1.pth"
        torch.save({new: v for n, v in state.items() if (new := change(n)) is not None}, file)
        with pytest.raises(UserError, match=message):
            read_weights(file)


def test_a_file_translates_frames_in_a_row(tmp_path):
    shutil.copy(case().folder / "latest_net_G0.pth", tmp_path)
    T = load_translator(tmp_path / "latest_net_G0.pth")
    frames = [np.random.RandomState(k).randint(0, 256, (30, 41, 4)).astype(np.uint8) for k in range(3)]
    follow = T.follow(cuts=False)
    made = [follow(frame, size="own").pixels for frame in frames]
    assert [image.shape[:2] for image in made] == [(30, 41)] * 3
    assert np.array_equal(made[0], T.photo(frames[0], size="own").pixels)
    assert not np.array_equal(made[1], T.photo(frames[1], size="own").pixels)


# --- finer scales and a foreground network: networks put together here, as the authors name and chain their layers ---


def layer(conv):
    return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3) for _ in range(2))
        pad = nn.ReflectionPad2d
        self.conv_block = nn.Sequential(pad(1), *layer(first), pad(1), *layer(second)[:2])

    def forward(self, x):
        return x + self.conv_block(x)


def end(width, outputs):
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7))


def down(inputs, width, halvings):
    found = [nn.ReflectionPad2d(3), *layer(nn.Conv2d(inputs, width, 7))]
    for n in range(halvings):
        found += layer(nn.Conv2d(width << n, width << n + 1, 3, 2, 1))
    return found


def up(width, halvings):
    convs = [nn.ConvTranspose2d(width << n, width << n - 1, 3, 2, 1, 1) for n in range(halvings, 0, -1)]
    return [part for conv in convs for part in layer(conv)]


class Theirs(nn.Module):
    """A generator of scale ``level``: of 3 sources of ``seen`` channels and 2 outputs; 3 blocks where it is coarse."""

    def __init__(self, seen, width, level, foreground, halvings=2):
        super().__init__()
        self.level, self.seen, self.fg = level, seen, foreground
        chains = {"model_down_seg": 3 * seen, "model_down_img": 6} | ({"indv_down": 3 * seen} if foreground else {})
        for name, inputs in chains.items():
            blocks = 0 if level or name == "indv_down" else 2
            wide = down(inputs, width, 1 if level else halvings)
            setattr(self, name, nn.Sequential(*wide, *(Block(width << halvings) for _ in range(blocks))))
        for kind in ("model_{}_img", "model_{}_flow") + (("indv_{}",) if foreground else ()):
            if level:
                setattr(self, kind.format("up"), nn.Sequential(*(Block(2 * width) for _ in range(2)), *up(width, 1)))
                continue
            blocks = 3 if kind == "indv_{}" else 1
            setattr(self, kind.format("res"), nn.Sequential(*(Block(width << halvings) for _ in range(blocks))))
            setattr(self, kind.format("up"), nn.Sequential(*up(width, halvings)))
        ends = {"model_final_img": 3, "model_final_flow": 2, "model_final_w": 1} | (
            {"indv_final": 3} if foreground else {}
        )
        for name, outputs in ends.items():
            setattr(self, name, end(width, outputs))

    def forward(self, sources, past, first, coarser):
        x = self.model_down_seg(sources) + self.model_down_img(past)
        image, motion = (
            (x + coarser[0], x + coarser[1]) if self.level else (self.model_res_img(x), self.model_res_flow(x))
        )
        image, motion = self.model_up_img(image), self.model_up_flow(motion)
        raw = self.model_final_img(image).tanh()
        flow, weight = self.model_final_flow(motion) * 20 * 2**self.level, self.model_final_w(motion).sigmoid()
        final = raw
        if not first:
            height, width = flow.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            at = (
                torch.stack([columns + flow[:, 0], rows + flow[:, 1]], -1) * 2 / torch.tensor([width - 1, height - 1])
                - 1
            )
            moved = F.grid_sample(past[:, 3:], at, padding_mode="border", align_corners=True)
            final = raw * weight + moved * (1 - weight)
        front = None
        if self.fg:
            front = self.indv_down(sources)
            front = self.indv_up(front + coarser[2] if self.level else self.indv_res(front))
            mask = sources[:, -self.seen :][:, 26:27]
            final = self.indv_final(front).tanh() * mask + final * (1 - mask)
        return final, (image, motion, front)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "foreground"])
def finer(request, tmp_path_factory):
    """Two generators in a folder, and how many channels they read: 28 classes and borders, or four channels."""
    folder, seen = tmp_path_factory.mktemp("finer"), 29 if request.param else 3
    torch.manual_seed(0)
    nets = [Theirs(seen, width, level, request.param) for level, width in enumerate((8, 4))]
    for level, net in enumerate(nets):
        with torch.no_grad():
            net.model_final_flow[1].weight.mul_(0.05)
            for name, weight in net.model_down_img.named_parameters():
                if name.endswith("bias"):
                    weight.zero_()  # else normalisation enlarges the rounding of blank frames
        torch.save(net.requires_grad_(False).state_dict(), folder / f"latest_net_G{level}.pth")
    return folder, nets, seen


@pytest.mark.parametrize("given", ["G0", "G1"])
def test_finer_scales_are_read_together(finer, given):
    folder, nets, seen = finer
    T = load_translator(folder / f"latest_net_{given}.pth")
    assert T.net.level == 1 and T.resolution == (512, 1024) and T.multiple == 8
    report = str(inspect(folder / f"latest_net_{given}.pth"))
    assert "2: with latest_net_G0.pth, latest_net_G1.pth" in report
    assert ("taken for class 26" in report) == (seen > 4)
    levels = torch.randint(20, 28, (3, 1, 1, 6, 8)).float().repeat_interleave(4, 3).repeat_interleave(4, 4)
    frames = levels / 127.5 - 1 if seen > 4 else torch.rand(3, 1, 3, 24, 32) * 2 - 1
    read = [T.net.read(frame) for frame in frames]
    memory, made = (), [[], []]
    for t, frame in enumerate(frames):
        image, memory = T.model.follow(T.net, frame, memory)
        fine = torch.cat([read[max(0, t - k)] for k in (2, 1, 0)], 1)
        coarser, sources = None, [F.avg_pool2d(fine, 3, 2, 1, count_include_pad=False), fine]
        for net, seen_here, done in zip(nets, sources, made, strict=True):
            blank = torch.zeros(1, 3, *seen_here.shape[2:])
            past = torch.cat([done[t - k] if t >= k else blank for k in (2, 1)], 1)
            final, coarser = net(seen_here, past, not t, coarser)
            done.append(final)
        torch.testing.assert_close(image, made[1][-1], rtol=1e-3, atol=1e-3)


def test_finer_scales_are_written_as_the_authors_name_them(finer, tmp_path):
    folder, nets, _ = finer
    ours = convert(folder / "latest_net_G0.pth", tmp_path / "ours")
    there = convert(ours, tmp_path / "theirs", "vid2vid")
    assert sorted(file.name for file in there.iterdir()) == ["latest_net_G0.pth", "latest_net_G1.pth"]
    for level, net in enumerate(nets):
        written = torch.load(there / f"latest_net_G{level}.pth", weights_only=True)
        assert written.keys() == net.state_dict().keys()
        assert all(torch.equal(written[name], value) for name, value in net.state_dict().items())
    with pytest.raises(UserError, match="is there already"):
        convert(ours, there, "vid2vid")


def test_discriminators_are_written_too(tmp_path):
    found = case()
    there = convert(convert(found.folder / "latest_net_G0.pth", tmp_path / "ours"), tmp_path / "theirs", "vid2vid")
    for name in ("G0", "D", "D_T0"):
        wanted = read_weights(found.folder / "latest_net_G0.pth")
        again = read_weights(there / "latest_net_G0.pth")
        net = {"G0": "G", "D": "D", "D_T0": "DT"}[name]
        one, other = wanted.tensors(net), again.tensors(net)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_does_not_belong_together(finer, tmp_path):
    folder, _, seen = finer
    shutil.copy(folder / "latest_net_G1.pth", tmp_path)
    with pytest.raises(UserError, match=r"adds to a coarser one: latest_net_G0\.pth is not there"):
        read_weights(tmp_path / "latest_net_G1.pth")
    shutil.copy(folder / "latest_net_G0.pth", tmp_path)
    torch.save(Theirs(seen, 6, 1, seen > 4).state_dict(), tmp_path / "latest_net_G1.pth")
    weights = read_weights(tmp_path / "latest_net_G0.pth")
    assert (
        weights.config.enhancers == 0
        and "latest_net_G1.pth is not used: it has 6 feature maps" in weights.facts["finer"]
    )
    (tmp_path / "latest_net_G1.pth").write_bytes(b"nothing")
    weights = read_weights(tmp_path / "latest_net_G0.pth")
    assert weights.config.enhancers == 0 and "latest_net_G1.pth is not used" in weights.facts["finer"]
    with pytest.raises(UserError, match=r"latest_net_G1\.pth"):
        read_weights(tmp_path / "latest_net_G1.pth")


def batch(net):
    """The same network with batch normalisation, which the authors' convolutions have biases before."""
    for holder in list(net.modules()):
        for name, module in list(holder.named_children()):
            if isinstance(module, nn.InstanceNorm2d):
                setattr(holder, name, nn.BatchNorm2d(module.num_features))
    return net


@pytest.mark.parametrize("still", [False, True], ids=["flow", "still"])
def test_batch_normalisation_and_no_flow(still, tmp_path):
    net = at_random(batch(Theirs(3, 4, 0, False)))
    net.model_final_flow[1].weight.data.mul_(0.05)
    state = net.state_dict()
    if still:
        state = {name: value for name, value in state.items() if not re.match(r"model_\w+_(flow|w)\.", name)}
    torch.save(state, tmp_path / "latest_net_G0.pth")
    T = load_translator(tmp_path / "latest_net_G0.pth")
    sources, past = images(2, 9, 16, 24), images(2, 6, 16, 24)
    for mode in ("train", "eval"):
        with torch.no_grad(), running(T.net, mode), running(net, mode):
            expected, _ = net(sources, past, still, None)
            found = T.net(sources, past).image
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert T.mode == "train" and inspect(tmp_path / "latest_net_G0.pth").settings["norm"] == "batch"
    assert ("flow" in inspect(tmp_path / "latest_net_G0.pth").settings) == still
