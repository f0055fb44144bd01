"""Translations of videos are evaluated in the order of their time, with memory; flicker along exact motion."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from organza import UserError, load, train
from organza.cli.main import main
from organza.metrics import evaluate
from organza.metrics.by_videos import warping_error
from organza.metrics.names import parse_metric
from organza.metrics.opened import open_source_and_target, open_videos
from organza.metrics.pictures import Followed
from organza.presets import PRESETS

SHORT = {"batch": 2, "grid": "2x1", "kimg": 0.002, "resolution": "16"}


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    whole = PRESETS["vid2vid-64"].run
    whole = replace(whole, method=replace(whole.method.toy(), vgg_weight=0.0))
    return train(whole, films, outdir=tmp_path_factory.mktemp("runs"), **SHORT).folder


@pytest.fixture(scope="module")
def T(run):
    T = load(run)
    with torch.no_grad():
        T.net.flow.weight.mul_(0.1)  # farther random motion enlarges rounding
        for name, weight in T.net.read_past.named_parameters():
            if name.endswith("bias"):
                weight.zero_()  # so does a normalisation of blank frames
    return T


def by_hand(films, T):
    """Of each scene sources, targets, motion (from the file's own bytes), and what is made frame after frame."""
    scenes = []
    with zipfile.ZipFile(films) as file:

        def pixels(name):
            return np.asarray(Image.open(BytesIO(file.read(name))).convert("RGB")).astype(np.float64)

        names = sorted(name for name in file.namelist() if name.startswith("A/") and name.endswith(".png"))
        for folder in sorted({name.rpartition("/")[0] for name in names}):
            own = sorted(name for name in names if name.startswith(f"{folder}/"))
            memory, rows = (), []
            for number, name in enumerate(own):
                x = torch.from_numpy(pixels(name) / 127.5 - 1).permute(2, 0, 1)[None].float()
                with torch.no_grad():
                    y, memory = T.model.follow(T.net, x, memory)
                made = ((y[0].permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).round().double().numpy()
                motion = None
                if number:
                    high, middle, low = pixels(f"flow{name[1:]}").astype(int).transpose(2, 0, 1)
                    motion = np.stack([high * 16 + middle // 16, middle % 16 * 256 + low])
                rows.append((pixels(f"B{name[1:]}"), made, motion))
            scenes.append(rows)
    return scenes


def error(here, before, motion):
    """Bilinear, pixel by pixel, where the motion is not 0, which stands for unknown."""
    height, width, _ = here.shape
    found = []
    for i in range(height):
        for j in range(width):
            if motion[0, i, j]:
                x, y = (
                    np.clip(at + (m - 2048) / 32, 0, side - 1)
                    for at, m, side in ((j, motion[0, i, j], width), (i, motion[1, i, j], height))
                )
                left, top = min(int(x), width - 2), min(int(y), height - 2)
                a, b = x - left, y - top
                rows = [before[top + k, left] * (1 - a) + before[top + k, left + 1] * a for k in (0, 1)]
                found.append(np.abs(here[i, j] - rows[0] * (1 - b) - rows[1] * b).mean())
    return np.mean(found)


def test_figures_are_those_of_frames_in_a_row(films, T):
    videos = open_videos(films, T)
    report = evaluate(T, videos, "l1,flicker")
    scenes = by_hand(films, T)
    frames = [frame for rows in scenes for frame in rows]
    assert len(frames) == 8 and report.figures["l1"].generated == 8
    wanted = np.mean([np.abs(made - target).mean() for target, made, _ in frames])
    assert report["l1"] == pytest.approx(wanted, abs=0.05)
    pairs = [(rows[t], rows[t - 1]) for rows in scenes for t in range(1, len(rows))]
    for ending, side in (("", 1), ("_targets", 0)):
        wanted = np.mean([error(here[side], before[side], here[2]) for here, before in pairs])
        assert report[f"flicker{ending}"] == pytest.approx(wanted, rel=0.02, abs=0.02)
    assert report.figures["flicker"].generated == len(pairs) == 6 and report.figures["flicker"].better == "lower"
    alone = evaluate(T, videos.domains, "l1")
    assert abs(alone["l1"] - report["l1"]) > 0.01  # each as a first one
    small = evaluate(T, videos, "l1,flicker", batch=3)
    assert small.figures == report.figures
    assert evaluate(T, videos, "l1_3").figures["l1_3"].generated == 3


def test_frames_are_the_same_in_any_order(films, T):
    videos = open_videos(films, T)
    whole = Followed(T, videos.domains, sequences=videos).fetch(np.arange(8))
    assert sorted(Followed(T, videos.domains, sequences=videos).starts) == [0, 4]
    other = Followed(T, videos.domains, sequences=videos)
    for index in (6, 2, 3, 3, 1, 7, 4, 0, 5):
        assert torch.equal(other.fetch(np.array([index]))[0], whole[index])


def test_single_images_flicker_too(films, tmp_path):
    run = replace(PRESETS["pix2pix"].run, method=PRESETS["pix2pix"].run.method.toy())
    P = load(train(run, films, outdir=tmp_path, **SHORT).folder)
    report = evaluate(P, open_videos(films, P), "l1,flicker")
    assert report["flicker"] > 0 and report["flicker_targets"] > 1
    assert report["l1"] == pytest.approx(evaluate(P, open_source_and_target(films, P), "l1")["l1"], abs=1e-9)
    with pytest.raises(UserError, match="flicker is of videos"):
        evaluate(P, open_source_and_target(films, P), "flicker")


def test_names():
    assert parse_metric("flicker_targets") == parse_metric("flicker")
    assert parse_metric("flicker_200").count == 200 == parse_metric("flicker_200_targets").count


def test_unknown_motion_counts_nowhere():
    pair = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    pair[1, 0] = 90
    motion = torch.zeros(3, 4, 4)
    assert warping_error(pair, motion).isnan()
    motion[2, :2] = 1
    assert float(warping_error(pair, motion)) == 45


def test_on_the_command_line(run, films, capsys):
    assert main(["evaluate", "--network", f"{run}", "--data", f"{films}"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("l1", "ssim", "flicker_targets"))
    assert main(["evaluate", "--network", f"{run}", "--data", f"{films}", "--max-images", "3"]) == 2
    assert "would tear frames out of videos" in capsys.readouterr().err


def test_while_it_trains(films, tmp_path):
    whole = PRESETS["vid2vid-64"].run
    whole = replace(whole, method=replace(whole.method.toy(), vgg_weight=0.0))
    folder = train(whole, films, outdir=tmp_path, metrics="flicker", metrics_share=1.0, **SHORT).folder
    assert "flicker_targets" in (folder / "log.jsonl").read_text()
    pix2pix = replace(PRESETS["pix2pix"].run, method=PRESETS["pix2pix"].run.method.toy())
    with pytest.raises(UserError, match="flicker is of videos"):
        train(pix2pix, films, outdir=tmp_path, metrics="flicker", **SHORT)
