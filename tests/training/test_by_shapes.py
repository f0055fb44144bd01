"""What a step of videos computes is counted without numbers; short ones are simply tried."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from organza.contract.data import DataSpec
from organza.methods.translation.vid2vid import Vid2Vid
from organza.training import by_shapes
from organza.training.by_shapes import Operations, pace_of_videos
from organza.training.settings import Training, resolve

CPU = torch.device("cpu")


def test_operations_are_those_of_pytorch():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1), nn.Conv2d(4, 4, 3, groups=2), nn.BatchNorm2d(4)
    )
    x = torch.zeros(2, 3, 16, 20)
    with Operations([net]) as found, FlopCounterMode(display=False) as wanted:
        net(x)
    assert found.total == wanted.get_total_flops() > 0
    net(x)
    assert found.total == wanted.get_total_flops()


def test_a_long_step_is_estimated_and_a_short_one_is_not(monkeypatch):
    spec = DataSpec((32, 32), 3, source=3, frames=12, count=20)
    config = replace(Vid2Vid().toy(), first_frames=6, vgg_weight=0.0).resolve(spec, 1)
    settings = resolve(Training(kimg=0.1, batch=1), spec, 1)
    assert pace_of_videos(config, spec, settings, torch.float32, CPU) is None
    monkeypatch.setattr(by_shapes, "LONG", 0)
    monkeypatch.setattr(by_shapes, "seconds_of_an_operation", lambda dtype, device: 1e-9)
    whole = pace_of_videos(config, spec, settings, torch.float32, CPU)
    assert "estimated" in whole.about
    half = pace_of_videos(replace(config, recompute=False), spec, settings, torch.float32, CPU)
    assert whole.seconds * 3 / 4 == pytest.approx(half.seconds)
    longer = pace_of_videos(config, replace(spec, frames=24), settings, torch.float32, CPU)
    # Of five epochs two have 6 frames, and three 12; with longer sequences two have 12, and the last one 24.
    assert longer.seconds / whole.seconds == pytest.approx((2 * 6 + 2 * 12 + 24) / (2 * 6 + 3 * 12))
