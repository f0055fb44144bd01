"""Files of vid2vid load with what lies beside them, and give the official values."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from organza import UserError
from organza.formats import read_weights
from organza.methods.translation.vid2vid_nets import moments, motion_at
from organza.models.load import load_translator
from organza.nn.norms import running
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

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
        (lambda n: n.replace("model_final_w.1", "indv_final.1"), "is unknown"),
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
