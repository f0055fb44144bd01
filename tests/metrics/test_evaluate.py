"""Whole evaluations: sources, names, counts, the cache, processes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from organza import UserError, load, open_dataset
from organza.core import distributed
from organza.data import DataOptions
from organza.metrics import collect as collecting
from organza.metrics import evaluate, frechet_distance, kernel_distance, precision_recall
from organza.metrics.collect import Wanted, collect, collect_real
from organza.metrics.pictures import Drawn, Shown
from organza.models.sampling import Sampling
from tests.pair import alone


@pytest.fixture(scope="module")
def G(tiny_run):
    return load(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def real(faces):
    return open_dataset(faces)


@pytest.mark.usefixtures("toys")
def test_figures_are_the_pure_functions_of_features(G, real, toy_features):
    report = evaluate(G, real, "fd40_full,kd30,pr40n3_full", noise="const", batch=7)
    features = toy_features("voile64")
    ours = features(torch.from_numpy(G.generate(range(40)))).features
    theirs = features(torch.from_numpy(real.fetch(range(48))[0])).features
    assert report["fd_voile64_40_full"] == pytest.approx(frechet_distance(theirs, ours), rel=1e-4)
    precision, recall = precision_recall(theirs, ours)
    assert report["pr_voile64_40n3_full_precision"] == pytest.approx(precision)
    assert report["pr_voile64_40n3_full_recall"] == pytest.approx(recall)
    some = features(Shown(real).fetch(np.arange(30))).features
    assert report["kd_voile64_30"] == pytest.approx(kernel_distance(some, ours[:30]).value, rel=1e-4)
    assert report.figures["fd_voile64_40_full"].real == 48
    assert report.figures["kd_voile64_30"].real == 30
    for name, figure in report.figures.items():
        low, high = figure.interval
        assert low <= figure.value <= high, name
    assert report.networks["voile64"]["resize"] == "means over 4x4 tiles"


def test_names_follow_the_network(G, real, toys):
    assert set(evaluate(G, real, "fid20", features="voile64").figures) == {"fd_voile64_20"}
    assert set(evaluate(G, real, "fid20,kid20,is20,pr20n3", features="inception").figures) == {
        *("fid20", "kid20", "is20_mean", "is20_std", "pr20n3_precision", "pr20n3_recall")
    }
    assert toys == ["voile64", "inception"]
    toys.clear()
    report = evaluate(G, real, "fid20,fd_lenet_20,dc20n2")
    assert list(report.figures) == ["fid20", "fd_lenet_20", "dc_voile64_20n2_density", "dc_voile64_20n2_coverage"]
    assert toys == ["inception", "lenet", "voile64"]


def test_a_name_in_a_report_is_that_of_the_given_file(G, real, toys, toy_features):
    given = toy_features("lenet-1a2b3c4d")
    (name,) = evaluate(G, real, "fid20", features=given).figures
    assert name == "fd_lenet-1a2b3c4d_20" and not toys
    assert list(evaluate(G, real, name, features=given).figures) == [name] and not toys
    assert list(evaluate(G, real, "fd_voile64_20", features=given).figures) == ["fd_voile64_20"]
    assert toys == ["voile64"]


def statistics(path, features, data):
    table = features(torch.from_numpy(data.fetch(range(len(data)))[0])).features.double().numpy()
    np.savez(path, mu=table.mean(0), sigma=np.cov(table, rowvar=False))
    return path


@pytest.mark.usefixtures("toys")
def test_statistics_instead_of_real_images(G, real, toy_features, tmp_path):
    path = statistics(tmp_path / "stats.npz", toy_features("inception"), real)
    report = evaluate(G, None, "fid40", reference=path, noise="const")
    wanted = evaluate(G, real, "fid40_full", noise="const")
    assert report["fid40_full"] == pytest.approx(wanted["fid40_full"], rel=1e-4)
    assert report.figures["fid40_full"].real == 0
    assert report.real == {"reference": str(path), "sha256": report.real["sha256"]}
    low, high = report.figures["fid40_full"].interval
    assert low <= report["fid40_full"] <= high
    assert evaluate(G, None, "fd40", reference=path).figures.keys() == {"fid40_full"}
    assert not any("real images say too little" in note for note in report.notes)


@pytest.mark.usefixtures("toys")
def test_statistics_that_can_not_be_used(G, tmp_path):
    for arrays, metric, message in (
        ({"mu": np.zeros(7), "sigma": np.eye(7)}, "fid20", "the reference has 7 features, inception gives 6; take fid"),
        ({"mu": np.zeros(6), "sigma": np.eye(5)}, "fid20", r"no FID statistics \(a mean \[6\] with a covariance"),
        ({"mu": np.full(6, np.nan), "sigma": np.eye(6)}, "fid20", "no FID statistics .* not all finite"),
        ({"w": np.zeros(6)}, "fid20", "no FID statistics: it holds w, not mu and sigma"),
        ({"mu": np.zeros(6), "sigma": np.eye(6)}, "kid20", "kd20 needs real images"),
    ):
        np.savez(tmp_path / "stats.npz", **arrays)
        with pytest.raises(UserError, match=message):
            evaluate(G, None, metric, reference=tmp_path / "stats.npz")
    (tmp_path / "stats.npz").write_bytes(b"<html>")
    with pytest.raises(UserError, match="this is a web page"):
        evaluate(G, None, "fid20", reference=tmp_path / "stats.npz")


@pytest.mark.usefixtures("toys")
def test_mirrored_pictures_count(G, real):
    plain, mirrored = (evaluate(G, real, "fd40_full", mirror=mirror) for mirror in (False, True))
    assert mirrored.figures["fd_voile64_40_full"].real == 96
    assert plain["fd_voile64_40_full"] != mirrored["fd_voile64_40_full"]
    both = Shown(real, mirror=True)
    images = both.fetch(np.arange(96)).numpy()
    stored = {image.tobytes() for image in real.fetch(range(48))[0]}
    assert {image.tobytes() for image in images} == stored | {i[:, ::-1].tobytes() for i in real.fetch(range(48))[0]}


@pytest.mark.usefixtures("toys")
def test_data_against_data(real):
    half = real.select(range(24))
    report = evaluate(half, real, "fd24_full,kd20,ms_ssim5,swd20")
    assert report["fd_voile64_24_full"] > 0
    assert evaluate(real, real, "fd48_full")["fd_voile64_48_full"] == pytest.approx(0, abs=1e-6)
    assert list(report.figures)[-2:] == ["swd20_16", "swd20_mean"]
    assert evaluate(real, real, "swd20")["swd20_mean"] < report["swd20_mean"] + 50
    assert 0 < report["ms_ssim5"] < 1


@pytest.mark.usefixtures("toys")
def test_the_seed_decides(G, real):
    first, same, other = (evaluate(G, real, "fd30_full", seed=seed)["fd_voile64_30_full"] for seed in (0, 0, 1))
    assert first == same != other
    a, b = Drawn(G).fetch(np.arange(4)), Drawn(G, first=2).fetch(np.arange(2))
    assert (a[2:].float() - b.float()).abs().mean() < 20  # the same codes, other noise
    assert torch.equal(
        Drawn(G, sampling=Sampling(noise="const")).fetch(np.arange(4)), torch.from_numpy(G.generate(range(4)))
    )


@pytest.mark.usefixtures("toys")
def test_few_pictures_are_warned_about(G, real):
    notes = evaluate(G, real, "fd10_full,kd100").notes
    assert any("10 generated images say too little about 6 features" in note for note in notes)
    assert any("under 2000 generated images" in note for note in notes)
    assert any("only 48 real images are there" in note for note in notes)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ("fd100", {}, "fd100 needs 100 images, there are 48; ask for fewer"),
        ("pr500k3", {}, "pr500n3 takes 500 and 3 neighbours"),
        ("ms_ssim30", {}, "ms_ssim30 needs 60 images, there are 48"),
        ("ppl2_wend", {}, "needs a network's latent space; give the --network of a generator"),
        ("fd20", {"real": None}, "fd20 needs real images; give them with --data"),
        ("fd20", {"seed": 5000}, "seed 5000 is not from 0 to 4293"),
    ],
)
def test_what_can_not_be_computed(real, metrics, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(real, **{"real": real, "metrics": metrics, **options})


@pytest.mark.usefixtures("toys")
def test_separability(G, faces):
    labelled = open_dataset(faces, DataOptions(labels="auto"))
    report = evaluate(G, labelled, "sep60_w,sep60_z")
    assert report["sep_voile64_60_w"] >= 1
    assert list(report.figures) == ["sep_voile64_60_w", "sep_voile64_60_z"]
    with pytest.raises(UserError, match="needs labels in the data; open it with --labels"):
        evaluate(G, open_dataset(faces), "sep60_w")

    def bright(images):
        return torch.sigmoid((images.float().mean((1, 2, 3)) - 128) / 10)[:, None]

    def two(images):
        return torch.cat([bright(images), torch.zeros(len(images), 1)], 1)

    report = evaluate(G, None, "sep60", classifier=two)
    assert any("of 2 labels, 1 count; the others (columns 1)" in note for note in report.notes)
    with pytest.raises(UserError, match="the same answer about every image"):
        evaluate(G, None, "sep60", classifier=lambda images: torch.ones(len(images), 1))
    assert list(evaluate(G, None, "sep60", classifier=bright).figures) == ["sep_voile64_60_w"]


def test_paths_and_pairs(G):
    report = evaluate(G, None, "ppl2_20_wend,ppl_20_zfull,perceptual_voile64_10,ms_ssim10", batch=6)
    names = ["ppl2_voile64_20_wend", "ppl_voile64_20_zfull", "perceptual_voile64_10", "ms_ssim10"]
    assert list(report.figures) == names
    assert report.figures[names[0]].network == "voile64 perceptual (not LPIPS)"
    other = evaluate(G, None, "ppl2_20_wend,ppl_20_zfull", batch=20, distance="voile64")
    for name in names[:2]:
        assert report[name] > 0
        # Neither the paths nor the noise depend on how they are batched.
        assert other[name] == pytest.approx(report[name], rel=0.02)
    with pytest.raises(UserError, match="no perceptual distance is called 'resnet'"):
        evaluate(G, None, "ppl2_resnet_20_wend")


def test_labels_come_from_the_data(G, faces):
    labelled = open_dataset(faces, DataOptions(labels="auto"))
    size = labelled.spec.label_dim
    conditional = replace(G, latents=replace(G.latents, label_dim=size))
    drawn = Drawn(conditional, labels=labelled)
    labels = drawn.label(np.arange(2000))
    share = labelled.labels(np.arange(48)).mean(0)
    np.testing.assert_allclose(labels.mean(0), share, atol=0.05)
    assert torch.equal(drawn.label(np.arange(5, 9)), labels[5:9])
    paired = replace(drawn, paired=True).label(np.arange(20))
    assert torch.equal(paired[::2], paired[1::2])
    with pytest.raises(UserError, match=f"needs labels of {size} numbers, the data has 0"):
        Drawn(conditional).label(np.arange(2))


def test_one_pass_is_all_features_at_once(real, toy_features):
    features = toy_features()
    found = collect(Shown(real), features, Wanted(moments={10, 33, 48}, rows=20, logits=15), batch=7)
    every = features(Shown(real).fetch(np.arange(48)))
    for count, moments in found.moments.items():
        assert moments.count == count
        torch.testing.assert_close(moments.covariance, every.features[:count].double().T.cov(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.features, every.features[:20])
    torch.testing.assert_close(found.logits, every.logits[:15])


def test_real_features_are_kept(real, toy_features, tmp_path, monkeypatch):
    features, wanted = toy_features(), Wanted(moments={48}, rows=20)
    first = collect_real(Shown(real), features, wanted, cache=tmp_path)
    calls = []
    plain = collecting.collect
    monkeypatch.setattr(collecting, "collect", lambda *args, **kw: calls.append(1) or plain(*args, **kw))
    again = collect_real(Shown(real), features, wanted, cache=tmp_path)
    assert not calls
    assert torch.equal(first.moments[48].scatter, again.moments[48].scatter)
    assert torch.equal(first.features, again.features)
    for other in (Shown(real, mirror=True), Shown(real, seed=1), Shown(real.select(range(47, -1, -1)))):
        collect_real(other, features, wanted, cache=tmp_path)
    collect_real(Shown(real), toy_features("other"), wanted, cache=tmp_path)
    assert len(calls) == 4
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = collect_real(Shown(real), features, wanted, cache=tmp_path)
    assert len(calls) == 5  # broken files are made again
    assert torch.equal(first.features, again.features)


def reported(run, data, out, metrics, cache):
    """Write the report of an evaluation, in one process or in each of two, with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORGANZA_CACHE", cache)
        report = evaluate(load(run), open_dataset(data), metrics, noise="const", batch=6)
    if distributed.rank() == 0:
        report.write(out)


def test_two_processes_find_what_one_finds(tiny_run, faces, pair, tmp_path):
    found = []
    metrics = "fd_voile64_40_full,pr_voile64_40n3,ms_ssim9,swd20"
    for name, call in (("one", alone), ("two", pair)):
        out, cache = tmp_path / f"{name}.json", tmp_path / name
        call(reported, run=str(tiny_run), data=str(faces), out=str(out), metrics=metrics, cache=str(cache))
        found.append(json.loads(out.read_text())["values"])
    one, two = found
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6), name
