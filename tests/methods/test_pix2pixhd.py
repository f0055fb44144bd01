"""pix2pixHD's steps and stages equal those written out by hand from the paper; label maps, instances, clusters."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from organza import UserError, load, train
from organza.cli.main import main
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock
from organza.data.material import open_material
from organza.data.options import DomainOptions
from organza.methods.translation.pix2pixhd import Pix2PixHD
from organza.methods.translation.pix2pixhd_nets import CoarseToFine
from organza.metrics.opened import open_source_and_target
from organza.nn.clusters import clusters, codes
from organza.nn.label_maps import LabelMaps, laid_out, region_means
from organza.presets import PRESETS
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.methods.test_cut import assert_same, by_hand
from tests.shapes import batch_of

CPU = torch.device("cpu")
PALETTE = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
PLAIN = DataSpec((16, 16), 3, source=3)
LABELLED = DataSpec((16, 16), 3, source=4, palette=PALETTE)


def built(config, spec):
    torch.manual_seed(0)
    return State.fresh(config.toy().resolve(spec, 2).build(spec), CPU)


def label_batch(count=2, side=16):
    """Squares of three classes with instances, as images in [-1, 1]."""
    rng = np.random.RandomState(0)
    blocks = rng.randint(0, 3, (count, 4, 4)).repeat(side // 4, 1).repeat(side // 4, 2)
    instances = rng.randint(1, 4, (count, 2, 2)).repeat(side // 2, 1).repeat(side // 2, 2)
    pixels = np.concatenate([np.array(PALETTE)[blocks], instances[..., None]], 3).transpose(0, 3, 1, 2)
    source = torch.from_numpy(pixels / 127.5 - 1).float()
    return Batch(torch.rand(count, 3, side, side) * 2 - 1, torch.zeros(count, 0), 0, source), blocks, instances


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("features", [0, 3])
def test_a_step_is_that_of_the_paper(features, coarse):
    config = Pix2PixHD(features=features, scales=2)
    state = built(config, LABELLED)
    nets = copy.deepcopy(dict(state.method.nets))
    frozen = state.method.frozen["perceptor"]
    batch, classes, instances = label_batch()
    G = nets["G"]
    pool = torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    # Section 3.3: one map for each class, and one pixel on each side of a border between instances.
    hot = F.one_hot(torch.from_numpy(classes), 3).permute(0, 3, 1, 2).float()
    regions = torch.from_numpy(classes + 10 * instances)
    edges = torch.zeros(2, 1, 16, 16)
    for n in range(2):
        for y in range(16):
            for x in range(16):
                near = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
                near = [(v, u) for v, u in near if 0 <= v < 16 and 0 <= u < 16]
                edges[n, 0, y, x] = float(any(regions[n, v, u] != regions[n, y, x] for v, u in near))
    seen = torch.cat([hot, edges], 1)

    def given():
        if not features:
            return seen
        maps, pooled = nets["E"](batch.images), torch.zeros(2, 3, 16, 16)
        for n in range(2):
            for region in regions[n].unique():
                mask = (regions[n] == region)[None].expand(3, -1, -1)
                mean = maps[n][mask].reshape(3, -1).mean(1)
                pooled[n] = torch.where(mask, mean[:, None, None], pooled[n])
        return torch.cat([seen, pooled], 1)

    def outputs():
        if coarse:
            return G.coarse(pool(given()))
        inner = G.coarse.trunk(pool(given()))
        enhancer = G.enhancers[0]
        return torch.tanh(enhancer.head(enhancer(given(), inner)))

    condition, target = (pool(seen), pool(batch.images)) if coarse else (seen, batch.images)

    def scores(images):
        both = torch.cat([condition, images], 1)
        return [nets["D"].net.scales[0].features(both), nets["D"].net.scales[1].features(pool(both))]

    made_before = outputs().detach()

    def g_loss():
        made = outputs()
        fake, real = scores(made), scores(target)
        loss = sum((scale[-1] - 1).square().mean() for scale in fake)
        for one, other in zip(fake, real, strict=True):
            for x, y in zip(one[:-1], other[:-1], strict=True):
                loss = loss + 10 * (4 / 2) * (1 / 2) * (x - y.detach()).abs().mean()
        for weight, x, y in zip((1 / 8, 1 / 4, 1 / 2, 1), frozen.stages(made), frozen.stages(target), strict=True):
            loss = loss + 10 * weight * (x - y).abs().mean()
        return loss

    def d_loss():
        fake, real = scores(made_before), scores(target)
        return sum(
            0.5 * (one[-1] - 1).square().mean() + 0.5 * other[-1].square().mean()
            for one, other in zip(real, fake, strict=True)
        )

    by_hand(nets, [("G", "E") if features else ("G",), ("D",)], [g_loss, d_loss])
    for phase in state.method.phases:
        if phase.active(0 if coarse else 1):
            batch = batch.leaving(advance(state, phase, batch, Training()).carry)
    assert_same(state, nets)
    assert int(state.method.nets["G"].enhanced) == (0 if coarse else 1)
    assert bool(state.method.nets["G"].filled.any()) == bool(features)


def test_stages_at_their_borders():
    config = replace(Pix2PixHD(), coarse_epochs=None, fixed_epochs=None)
    for total, borders in ((30000, (200, 210)), (6000, (40, 42))):  # 300 and 60 epochs of 100 images
        clocks = [Clock(100 * epoch + off, total, 100) for epoch in borders for off in (-1, 0)]
        assert [config._schedule(clock).stage for clock in clocks] == [0, 1, 1, 2]
        rates = [round(config._schedule(Clock(100 * epoch, total, 100)).rate, 2) for epoch in (0, borders[0] / 2)]
        assert rates == [1, 1] and config._schedule(Clock(100 * borders[0] - 1, total, 100)).rate < 0.01
        assert config._schedule(Clock(100 * borders[0], total, 100)).rate == 1
        assert config._schedule(Clock(total, total, 100)).rate == 0
    assert [config._schedule(Clock(seen, 300)).stage for seen in (0, 199, 200, 209, 210, 299)] == [0, 0, 1, 1, 2, 2]
    assert replace(config, coarse_epochs=5, fixed_epochs=0).borders(Clock(0, 1000, 100)) == (5, 5)
    assert replace(config, enhancers=0)._schedule(Clock(50, 100, 10)).stage == 0


def test_what_holds_still_in_each_stage():
    state, batch = built(Pix2PixHD(), PLAIN), batch_of(PLAIN, 2)
    moved = []
    for stage in (0, 1, 2):
        before = {name: p.detach().clone() for name, p in state.method.nets["G"].named_parameters()}
        state.enter(stage)
        state.position = replace(state.position, stage=stage)
        for phase in state.method.phases:
            if phase.active(stage) and phase.due(0):
                batch = batch.leaving(advance(state, phase, batch, Training(), stage=stage).carry)
        after = state.method.nets["G"].named_parameters()
        moved.append({name.split(".")[0] for name, p in after if not torch.equal(before[name], p)})
    assert moved == [{"coarse"}, {"enhancers"}, {"coarse", "enhancers"}]


def test_a_coarse_checkpoint_translates_at_full_size():
    G = CoarseToFine(3, 3, 4, 1, 1, 2, 1, "instance")
    x = torch.rand(1, 3, 32, 24)
    assert G(x).shape == (1, 3, 32, 24) and G.multiple == 8 and G.least == 16
    small = G.coarse(F.avg_pool2d(F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 3, 2, 1, count_include_pad=False))
    torch.testing.assert_close(G(x), F.interpolate(small, scale_factor=4, mode="bilinear"))
    G.enhanced.fill_(2)
    assert torch.equal(G(x), G.fine(x))


@pytest.mark.parametrize(
    ("config", "spec", "message"),
    [
        (Pix2PixHD(features=3), PLAIN, "the sources are plain images; say --label-map auto"),
        (Pix2PixHD(), DataSpec((12, 18), 3, source=3), "18x12 images can't be halved 2 times"),
        (Pix2PixHD(halvings=9), PLAIN, "16x16 images can't be halved 10 times"),
        (Pix2PixHD(features=3, halvings_e=5), LABELLED, "16x16 images can't be halved 5 times by the encoder"),
        (Pix2PixHD(scales=8), PLAIN, "too small for discriminators at 8 sizes"),
        (Pix2PixHD(width=3), PLAIN, "a width of 3 can't be halved"),
        (Pix2PixHD(perceptor="vgg19"), PLAIN, "too small for VGG-19"),
    ],
)
def test_what_does_not_fit(config, spec, message):
    with pytest.raises(UserError, match=message):
        config.resolve(spec, 1).build(spec)


# --- features and their clusters ---


def test_features_of_the_last_regions_are_remembered():
    G = CoarseToFine(4, 3, 4, 1, 1, 1, 1, "instance", PALETTE, features=1)
    first = torch.tensor([[0, 0.5, 1.0], [2, 0.4, 2.0], [0, 0.001, 9.0], [0, 0.1, 3.0]])
    G.remember(first)
    assert G.filled.tolist() == [2, 0, 1]
    assert G.memory[0, :2, 0].tolist() == [1, 3] and G.memory[2, 0, 0] == 2
    G.remember(torch.tensor([[2, 1.0, float(k)] for k in range(256)]))
    assert G.filled.tolist() == [2, 0, 257] and G.memory[2, 0, 0] == 255 and G.memory[2, 1, 0] == 0


def test_an_edit_takes_a_cluster():
    G = CoarseToFine(4, 3, 4, 1, 1, 1, 1, "instance", PALETTE, features=2)
    G.memory[1, :6] = torch.tensor([[1.0, 1], [1.1, 1], [0.9, 1], [5, 0], [5, 0.1], [-4, -4]])
    G.filled[1] = 6
    table = clusters(G.memory, G.filled, 3)
    torch.testing.assert_close(table[1], torch.tensor([[1.0, 1], [5, 0.05], [-4, -4]]), atol=1e-3, rtol=0)
    assert table[0].isnan().all()
    batch, classes, _ = label_batch()
    ones = torch.from_numpy(classes) == 1
    for cluster, wanted in enumerate(clusters(G.memory, G.filled)[1, :3]):
        z = codes(clusters(G.memory, G.filled), {1: cluster})
        laid = G.chosen(batch.source, z.expand(2, -1))
        assert torch.equal(laid.permute(0, 2, 3, 1)[ones], wanted.expand(int(ones.sum()), -1))
        assert not laid.permute(0, 2, 3, 1)[~ones].any()
    for choice, message in (({7: 0}, "no class 7"), ({1: 6}, "class 1 has no cluster 6"), ({0: 1}, "class 0 has no")):
        with pytest.raises(UserError, match=message):
            codes(clusters(G.memory, G.filled), choice)


def test_means_of_regions():
    maps, regions = torch.rand(2, 3, 6, 5), torch.randint(0, 4, (2, 6, 5))
    means, shares = region_means(maps, regions, 4)
    laid = laid_out(means, regions)
    for n in range(2):
        for region in regions[n].unique():
            mask = regions[n] == region
            torch.testing.assert_close(laid[n][:, mask].mean(1), maps[n][:, mask].mean(1))
            assert shares[n, region] == pytest.approx(mask.float().mean().item())


def test_the_nearest_colour_is_the_class():
    maps = LabelMaps(PALETTE)
    x = torch.tensor([250.0, 10, 20])[None, :, None, None].expand(1, 3, 2, 2) / 127.5 - 1
    assert maps.classes(x).unique().tolist() == [1]


# --- label maps on disk ---


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Twelve label maps as PNGs with a palette, photographs, and instance maps, 24x20."""
    folder, rng = tmp_path_factory.mktemp("maps"), np.random.RandomState(0)
    for name in ("A", "B", "inst"):
        (folder / name).mkdir()
    for number in range(12):
        index = rng.randint(0, 3, (5, 6)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
        image = Image.fromarray(index)
        image.putpalette(np.array(PALETTE, np.uint8).flatten().tolist())
        assert image.mode == "P"
        image.save(folder / "A" / f"{number}.png")
        noise = rng.randint(0, 60, (20, 24, 3))
        Image.fromarray((np.array(PALETTE)[index] // 2 + noise).astype(np.uint8)).save(folder / "B" / f"{number}.png")
        numbers = (26000 + index.astype(int) + (np.arange(24) > 11)).astype(np.uint16)
        Image.fromarray(numbers).save(folder / "inst" / f"{number}.png")
    return folder


def options(**changes):
    return DomainOptions(resolution="16", jitter=1.0, label_map="auto", **changes)


def test_palettes_and_instances_are_read(maps, tmp_path):
    found = open_material(maps, options(), "pairs")
    assert found.spec.palette == tuple(sorted(PALETTE)) and found.spec.palette_exact and found.spec.source == 3
    found = open_material(maps, options(instances="inst"), "pairs")
    assert found.spec.source == 4
    pixels = found.domains.source.fetch([0])[0]
    assert set(np.unique(pixels[..., 3])) <= {1, 2, 3, 4}
    found = open_material(maps, options(instances=str(maps / "inst")), "pairs")
    assert found.spec.source == 4 and np.array_equal(pixels, found.domains.source.fetch([0])[0])
    listed = tmp_path / "palette.txt"
    listed.write_text("0 0 0 road\n0 0 255 sky  # comment\n255 0 0 car\n9 9 9 other\n")
    found = open_material(maps, replace(options(), label_map=str(listed)), "pairs")
    assert found.spec.palette == ((0, 0, 0), (0, 0, 255), (255, 0, 0), (9, 9, 9))
    found = open_material(maps, replace(options(), label_map="3"), "pairs")
    assert sorted(found.spec.palette) == sorted(PALETTE) and not found.spec.palette_exact


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_map": "FILE"}, "the value \\(0, 0, 255\\) is no class of this palette"),
        ({"label_map": "BROKEN"}, "line 2 is no colour of 3 levels"),
        ({"label_map": "1"}, "1 classes; say from 2 to 256"),
        ({"label_map": "missing.txt"}, "missing.txt"),
        ({"label_map": "none", "instances": "inst"}, "--instances are of label maps"),
        ({"instances": "nowhere"}, "nowhere"),
        ({"instances": "small"}, "its instance map is 8x8, not 24x20"),
        ({"direction": "BtoA"}, "a label map has at most 256; of JPEGs say how many main colours"),
    ],
)
def test_label_maps_that_are_wrong(maps, tmp_path, changes, message):
    for name, text in (("FILE", "0 0 0\n255 0 0\n"), ("BROKEN", "0 0 0\n1 2\n")):
        (tmp_path / name).write_text(text)
        changes = {key: value.replace(name, str(tmp_path / name)) for key, value in changes.items()}
    (maps / "small").mkdir(exist_ok=True)
    for number in range(12):
        Image.fromarray(np.zeros([8, 8], np.uint8)).save(maps / "small" / f"{number}.png")
    with pytest.raises(UserError, match=message):
        open_material(maps, replace(options(), **changes), "pairs")


def test_label_maps_from_training_to_edits(maps, tmp_path, capsys):
    run = PRESETS["pix2pixhd"].run
    run = replace(run, method=replace(run.method.toy(), features=3, coarse_epochs=0.1, fixed_epochs=0.1))
    more = {"label_map": "auto", "instances": "inst", "resolution": "16", "batch": 4, "grid": "1x1"}
    outcome = train(run, maps, outdir=tmp_path, kimg=0.024, **more)
    T = load(outcome.folder)
    assert T.model.z_dim == 3 and int(T.net.enhanced) == 1
    table = T.model.clusters(T.net)
    assert table.shape[:2] == (3, 10) and not table[:, 0].isnan().any()
    domains = open_source_and_target(maps, T)
    assert domains.source.spec.channels == 4
    label = maps / "A" / "0.png"
    words = ["translate", "--network", str(outcome.folder), "--input", str(label), "--outdir", str(tmp_path / "out")]
    assert main([*words, "--clusters", "1=0,2=1"]) == 0
    assert main([*words, "--samples", "2"]) == 0
    for choice, message in (("9=0", "there is no class 9"), ("x", "'x' is no choice"), ("1=99", "no cluster 99")):
        assert main([*words, "--clusters", choice]) == 2
        assert message in capsys.readouterr().err
    Image.fromarray(np.full([20, 24, 3], 77, np.uint8)).save(tmp_path / "odd.png")
    words[4] = str(tmp_path / "odd.png")
    assert main(words) == 2
    assert "the value (77, 77, 77) is no class of this palette" in capsys.readouterr().err
