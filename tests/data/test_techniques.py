"""Pairs made by technique: what sources look like, that they follow from positions, and whole trainings on them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from organza import UserError, load, train
from organza.cli.main import main
from organza.data.dataset import open_dataset
from organza.data.material import open_material, other_part
from organza.data.opening import open_source
from organza.data.options import DataOptions, DomainOptions
from organza.data.techniques import KINDS, Made, technique
from organza.media.edges import canny, grey
from organza.metrics.opened import open_source_and_target
from organza.models.teacher import taught
from organza.presets import PRESETS
from organza.training.checkpoint import newest_first
from tests.shapes import toy


def options(pairs, **changes):
    return DomainOptions(resolution="16", jitter=1.0, pairs=pairs, **changes)


@pytest.fixture(scope="module")
def image():
    rng = np.random.RandomState(0)
    small = Image.fromarray(rng.randint(0, 256, (6, 8, 3)).astype(np.uint8))
    return np.asarray(small.resize((64, 48), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sources_have_a_size_and_follow_from_their_key(name, channels, image):
    how = technique(name)
    pixels = np.concatenate([image, image[..., :1]], 2)[..., :channels]
    one, same, other = how(pixels, 7), how(pixels, 7), how(pixels, 7 + (1 << 40))
    assert one.shape == (48, 64, how.channels(channels)) and one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert np.array_equal(one, other) == (name not in ("holes", "noise", "jpeg"))
    assert how(pixels[:5, :3], 0).shape[:2] == (5, 3)


def test_what_techniques_do(image):
    assert np.array_equal(technique("grey")(image, 0)[..., 0], grey(image))
    assert np.array_equal(technique("edges")(image, 0)[..., 0] == 0, canny(grey(image)))
    four, two = (np.abs(technique(f"low-res:{k}")(image, 0).astype(int) - image).mean() for k in (4, 2))
    assert four > two > 0
    holes = technique("holes")(image, 3)
    changed = (holes != image).any(2)
    assert (holes[changed] == 128).all() and 0.01 < changed.mean() < 0.9
    noise = technique("noise:20")(image, 0).astype(float) - image
    inner = (image > 80) & (image < 175)
    assert 17 < noise[inner].std() < 23
    assert len(np.unique(technique("sketch")(np.full([9, 9, 3], 90, np.uint8), 0))) == 1
    bad, good = technique("jpeg:5")(image, 0), technique("jpeg:90")(image, 0)
    assert np.abs(bad.astype(int) - image).mean() > 2 * np.abs(good.astype(int) - image).mean()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gray", "'gray' is no way to make pairs; choose grey, edges"),
        ("low-res:", "lacks a number; write low-res, or low-res:4"),
        ("low-res:1", "'1' is no number from 1.01 to 64"),
        ("low-res:x", "'x' is no number"),
        ("jpeg:99", "'99' is no number from 1 to 95"),
        ("grey:3", "grey takes no number"),
        ("teacher:", "a teacher is not named"),
        ("", "is no way to make pairs"),
    ],
)
def test_words_that_are_wrong(words, message):
    with pytest.raises(UserError, match=message):
        technique(words)


def test_a_training_sees_another_source_each_time(faces):
    material = open_material(faces, options("noise"), "pairs")
    assert "sources made by noise" in material.about and material.spec.source == 3
    count = len(material.target)
    with material.loader(seed=1) as loader, material.loader(seed=1, world=2, rank=1) as half:
        batch, again = loader.batch(0, 8), loader.batch(0, 8)
        assert torch.equal(batch.source, again.source)
        assert torch.equal(batch.source[4:], half.batch(0, 8).source)
        epoch = loader.batch(count, count)
        later = {tuple(x.flatten().tolist()): s for x, s in zip(epoch.images, epoch.source, strict=True)}
        for image, source in zip(batch.images, batch.source, strict=True):
            assert not torch.equal(later[tuple(image.flatten().tolist())], source)
    # Wherever images are looked at rather than trained on, each has one source.
    made = material.domains.source
    assert np.array_equal(made.fetch([3, 5])[0][1], made.fetch([5])[0][0])
    assert np.array_equal(made.select([5]).fetch([0])[0], made.fetch([5])[0])
    keys = {material.target.key, *(Made(material.target, technique(name)).key for name in KINDS)}
    assert len(keys) == len(KINDS) + 1


def test_sources_are_made_of_what_is_shown(faces):
    """After cropping and mirroring, which would move a technique's grid."""
    material = open_material(faces, replace(options("edges"), jitter=1.25, mirror=True), "pairs")
    assert material.spec.source == 1
    with material.loader(seed=3) as loader:
        batch = loader.batch(0, 6)
    pixels = ((batch.images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(pixels):
        assert np.array_equal(batch.source[number, 0].numpy() < 0, canny(grey(image)))


def test_parts_and_what_is_held_out(faces, tmp_path):
    source = open_source(faces)
    assert other_part(source, options("grey")) is None
    held = options("grey", held_out="25%")
    assert other_part(source, held) == "held-out"
    material = open_material(faces, held, "pairs")
    rest = open_material(faces, replace(held, split="held-out"), "pairs")
    assert (len(material.target), len(rest.target)) == (36, 12)
    assert not {*material.target.names} & {*rest.target.names}
    whole = open_dataset(faces, DataOptions(resolution="16"))
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for number, pixels in enumerate(whole.fetch(np.arange(4))[0]):
            Image.fromarray(pixels).save(tmp_path / part / f"{number}.png")
    assert other_part(open_source(tmp_path), options("grey")) == "test"
    assert len(open_material(tmp_path, options("grey"), "pairs").target) == 4
    with pytest.raises(UserError, match="there is no split 'val'; there are test, train"):
        open_material(tmp_path, options("grey", split="val"), "pairs")


@pytest.mark.parametrize(
    ("changes", "layout", "message"),
    [
        ({}, "unpaired", "this method learns from two sets"),
        ({"direction": "BtoA"}, "pairs", "go one way"),
        ({"label_map": "auto"}, "pairs", "two kinds of sources"),
        ({"split": "held-out"}, "pairs", "no images are held out"),
    ],
)
def test_what_does_not_go_together(faces, changes, layout, message):
    with pytest.raises(UserError, match=message):
        open_material(faces, options("grey", **changes), layout)


def test_pairs_are_not_made_of_pairs(pairs):
    with pytest.raises(UserError, match="two sets, A and B"):
        open_material(pairs, options("grey"), "pairs")


SMALL = {"batch": 4, "grid": "2x1", "resolution": "16", "precision": "float32", "lr_decay": 0.0}


@pytest.mark.parametrize(("name", "how"), [("pix2pix", "grey"), ("bicyclegan", "noise"), ("pix2pixhd", "holes")])
def test_paired_methods_learn_from_them(name, how, faces, tmp_path, capsys):
    run = PRESETS[name].run
    run = replace(run, method=run.method.toy())
    more = {"pairs": how, "held_out": "25%", **SMALL}
    straight = train(run, faces, outdir=tmp_path / "a", kimg=0.016, **more)
    train(run, faces, outdir=tmp_path / "b", kimg=0.008, **more)
    resumed = train(run, faces, outdir=tmp_path / "b", kimg=0.016, resume=True, **more)
    one, two = (
        (next(newest_first(o.folder / "checkpoints")) / "nets.safetensors").read_bytes() for o in (straight, resumed)
    )
    assert one == two
    assert json.loads((straight.folder / "config.json").read_text())["data"]["pairs"] == how
    T = load(straight.folder)
    assert T.model.source == (1 if how == "grey" else 3)
    domains = open_source_and_target(faces, T)
    assert isinstance(domains.source, Made) and len(domains.target) == 12 and domains.target.spec.channels == 3
    if name == "pix2pix":
        words = ["--network", str(straight.folder), "--device", "cpu"]
        assert main(["evaluate", *words, "--data", str(faces), "--metrics", "l1,psnr", "--no-intervals"]) == 0
        out = tmp_path / "out.png"
        photo = tmp_path / "photo.png"
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)).save(photo)
        assert main(["translate", *words, "--input", str(photo), "--output", str(out), "--made", "--compare"]) == 0
        with Image.open(out) as found:
            assert found.size == (3 * 24, 16)
        assert main(["translate", *words, "--input", str(photo), "--output", str(out)]) == 0


def test_made_sources_want_a_training_with_such(translator, tmp_path, pairs, capsys):
    run = PRESETS["pix2pix"].run
    outcome = train(replace(run, method=run.method.toy()), pairs, outdir=tmp_path, kimg=0.004, **SMALL)
    words = ["translate", "--network", str(outcome.folder), "--input", str(pairs / "A" / "0.png"), "--made"]
    assert main([*words, "--outdir", str(tmp_path / "out")]) == 2
    assert "its sources were not made by a technique" in capsys.readouterr().err


def test_a_teacher_makes_pairs(faces, pairs, tmp_path):
    run = PRESETS["pix2pix"].run
    toy = replace(run, method=run.method.toy())
    teacher = train(toy, pairs, outdir=tmp_path / "teacher", kimg=0.008, **SMALL)
    more = {"pairs": f"teacher:{teacher.folder}", **SMALL}
    pupil = train(toy, faces, outdir=tmp_path / "pupil", kimg=0.008, **more)
    again = train(toy, faces, outdir=tmp_path / "pupil", kimg=0.016, resume=True, **more)
    assert again.folder == pupil.folder and "by-pix2pix" in pupil.folder.name
    domains = open_source_and_target(faces, load(pupil.folder))
    T = load(teacher.folder)
    photo = Image.fromarray(domains.source.fetch([0])[0][0])
    wanted = np.asarray(T.translate(photo, size="own", mode="eval"))
    found = domains.target.fetch([0])[0][0]
    assert found.shape == wanted.shape and len(domains.target) == 48
    with pytest.raises(UserError, match="does not exist"):
        train(toy, faces, outdir=tmp_path, kimg=0.008, **{**more, "pairs": f"teacher:{tmp_path / 'nobody'}"})


def test_dataset_info_shows_them(faces, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["dataset", "info", str(faces), "--pairs", "low-res:4", "--sheet", str(sheet)]) == 0
    assert "pairs           48 made by low-res:4 (enlargement" in capsys.readouterr().out
    with Image.open(sheet) as found:
        assert found.size[0] > 100
    assert main(["dataset", "info", str(faces), "--pairs", "x", "--sheet", str(sheet)]) == 2


def test_a_teacher_keeps_images_of_one_name_apart(tmp_path, monkeypatch):
    """a.jpg beside a.png, in a folder with a dot: each is a pair of its own."""
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    levels = {"a.bmp": 20, "a.PNG": 90, "a_PNG.webp": 160, "b.png": 230}
    for name, level in levels.items():
        (tmp_path / "in" / "v1.0").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (level,) * 3).save(tmp_path / "in" / "v1.0" / name, lossless=True)
    for number in range(4):
        for side in "AB":
            (tmp_path / "pairs" / side).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (number * 60,) * 3).save(tmp_path / "pairs" / side / f"{number}.png")
    teacher = train(toy("pix2pix"), tmp_path / "pairs", outdir=tmp_path, batch=4, grid="2x1", kimg=0.004).folder
    folder = taught(tmp_path / "in", f"teacher:{teacher}")
    found = {int(np.asarray(Image.open(path))[0, 0, 0]) for path in (folder / "A").rglob("*.png")}
    assert found == set(levels.values())
    assert len(list((folder / "B" / "v1.0").iterdir())) == 4
