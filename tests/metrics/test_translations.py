"""Metrics of translators: against targets, sources, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.data import open_domains
from organza.data.options import DomainOptions
from organza.metrics import evaluate
from organza.metrics.by_translations import l1, nearest, palette, psnr
from organza.metrics.names import parse_metric
from organza.metrics.opened import open_source_and_target
from organza.metrics.pictures import Translated
from organza.runs.watch import read_best, wanted_of_translations
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008, "resolution": "16"}


@pytest.fixture(scope="module")
def runs(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    outdir = tmp_path_factory.mktemp("translators")
    return {name: train(toy(name), pairs, outdir=outdir, **SHORT).folder for name in ("pix2pix", "cyclegan")}


def test_each_figure_is_the_plain_mean_over_pairs(runs, pairs):
    T = replace(organza.load(runs["pix2pix"]), preferred="eval")
    domains = open_source_and_target(pairs, T)
    report = evaluate(T, domains, "l1,psnr,ssim,palette3,perceptual_voile64,content,fd_voile64_4_full")
    made, wanted = [], []
    for index in range(len(domains.source)):
        source, target = (side.fetch([index])[0] for side in (domains.source, domains.target))
        y = T.apply(torch.from_numpy(source / 127.5 - 1).permute(0, 3, 1, 2).float())
        made.append((y * 127.5 + 128).clamp(0, 255).byte().float())
        wanted.append(torch.from_numpy(target).permute(0, 3, 1, 2).float())
    made, wanted = torch.cat(made), torch.cat(wanted)
    assert report["l1"] == pytest.approx(float((made - wanted).abs().mean()), abs=1e-3)
    assert report["psnr"] == pytest.approx(float(psnr(made, wanted).mean()), abs=1e-3)
    assert report.figures["l1"].generated == len(domains.source) and report.figures["l1"].better == "lower"
    low, high = report.figures["ssim"].interval
    assert low <= report["ssim"] <= high and 0 <= report["palette3"] <= 1
    assert set(report.figures) >= {"perceptual", "content_voile64", "fd_voile64_4_full"}


def test_a_perfect_translator_is_perfect(pairs, runs):
    T = organza.load(runs["cyclegan"])
    same = replace(T, model=replace(T.model, apply=lambda net, x, labels, z: x))
    domains = open_domains(pairs, DomainOptions(resolution="16"))
    perfect = replace(domains, target=domains.source)
    report = evaluate(same, perfect, "l1,psnr,ssim,palette4,cycle,content", back=same)
    assert [report[name] for name in ("l1", "psnr", "cycle", "palette4")] == [0, 100, 0, 1]
    assert report["ssim"] == pytest.approx(1, abs=1e-6) and report["content_voile64"] == pytest.approx(0, abs=1e-6)


def test_names():
    for name in ("l1", "psnr", "ssim", "l1_200", "ssim_5k", "palette12", "cycle", "content", "lpips_alex"):
        metric = parse_metric(name)
        assert metric.kind == "translation", name
    assert parse_metric("l1_200").count == 200 and parse_metric("l1_200").title("l1") == "l1_200"
    assert (
        parse_metric("ssim_5k").title("ssim") == "ssim_5k" and parse_metric("palette12").title("palette") == "palette12"
    )
    assert parse_metric("lpips10k").kind == "lpips" and parse_metric("perceptual_voile64_10k").kind == "lpips"
    for name in ("palette1", "palette999", "l1_0", "l2"):
        with pytest.raises(UserError):
            parse_metric(name)


def test_a_palette_finds_the_labels_of_blurred_maps(tmp_path):
    colours = np.array([[0, 0, 255], [255, 0, 0], [0, 170, 85], [255, 255, 0], [119, 17, 17]], np.uint8)
    rng = np.random.RandomState(0)
    for side in ("A", "B"):
        (tmp_path / side).mkdir()
        for number in range(6):
            labels = rng.randint(0, 5, (4, 4)).repeat(8, 0).repeat(8, 1)
            Image.fromarray(colours[labels]).save(tmp_path / side / f"{number}.jpg", quality=85)
    domains = open_domains(tmp_path, DomainOptions(resolution="32"))
    found = palette(Translated(None, domains), 5)
    distances = np.linalg.norm(found[:, None] - colours[None].astype(float), axis=2)
    assert sorted(distances.argmin(0)) == [0, 1, 2, 3, 4] and distances.min(0).max() < 12
    images = torch.from_numpy(colours[None].astype(np.float32)).permute(0, 2, 1)[..., None]
    assert nearest(images, torch.from_numpy(colours.astype(np.float32))).flatten().tolist() == [0, 1, 2, 3, 4]
    assert l1(images, images + 2).tolist() == [2.0]


def test_the_command(runs, pairs, tmp_path, capsys):
    paired = ["evaluate", "--network", str(runs["pix2pix"]), "--data", str(pairs)]
    assert main([*paired, "--json", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("l1", "psnr", "ssim"))
    common = ["evaluate", "--network", str(runs["cyclegan"]), "--data", str(pairs)]
    assert main([*common, "--metrics", "cycle", "--model", "BtoA"]) == 0
    assert "cycle" in capsys.readouterr().out
    for words, what in (
        (paired[:3], "this translator is tried on pairs or two sets; give them with --data"),
        ([*paired, "--metrics", "cycle"], "cycle needs a way back, which pix2pix has not"),
        ([*paired, "--metrics", "ppl2_wend"], "needs a network's latent space"),
    ):
        assert main(words) == 2
        assert what in capsys.readouterr().err, words


def test_generators_have_no_translations(tiny_run, faces):
    with pytest.raises(UserError, match="l1 compares translations; give the --network of a translator"):
        evaluate(organza.load(tiny_run), organza.open_dataset(faces), "l1")


def test_snapshots_are_evaluated_and_the_best_is_kept(pairs, tmp_path):
    always = {"metrics": "l1,ssim", "metrics_share": 1.0, "snapshot_kimg": 0.004}
    run = train(toy("pix2pix"), pairs, outdir=tmp_path, **{**SHORT, **always}).folder
    best = read_best(run)
    assert best["metric"] == "l1" and (run / "checkpoints" / "best").is_dir()
    run = train(toy("cyclegan"), pairs, outdir=tmp_path, **{**SHORT, **always, "metrics": "cycle"}).folder
    assert read_best(run)["metric"] == "cycle"
    domains = open_domains(pairs, DomainOptions(resolution="16"))
    with pytest.raises(UserError, match="--metrics l1 needs pairs"):
        wanted_of_translations("l1", replace(domains, paired=False))
    assert [metric.compared for metric in wanted_of_translations("auto", domains)] == ["ssim"]
