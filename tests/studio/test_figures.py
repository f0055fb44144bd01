"""The truncation, mixing and noise figures."""

import numpy as np
import pytest
import torch
from PIL import Image

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.media.figure import TEXT, captioned, cell, table
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.models.generator import Generator
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw
from organza.studio.mix import mix, mixed, parse_layers
from organza.studio.noise import deviation, fine_from, noise, noise_sizes, with_noise
from organza.studio.truncation import psis, sweep, truncation


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def near(a, b):
    """Equal but for what another batch size does to the last bit."""
    return np.abs(a.astype(int) - b).max() <= 1


def test_captions_keep_the_figure(G_classes):
    figure = table(G_classes.generate([1, 2], 0), 2, scale=3)
    below = captioned(figure, ["a", "b"], 16, 3)
    np.testing.assert_array_equal(below[:-TEXT], figure)
    strip = below[-TEXT:]
    assert strip.shape == (TEXT, 105, 4) and (strip[..., 3] == 255).all() and strip[..., 0].min() < 100
    assert (captioned(figure, ["much too long for this", ""], 16, 3)[-TEXT:] == 255).all()


def test_the_middle_column_is_the_average(G, tmp_path):
    picture = read(truncation(G, [1, 2, 3], tmp_path / "t.png", columns=5, scale=2))
    average = draw(G, G.w_avg.expand(1, G.num_ws, -1))[0]
    full = G.generate([1, 2, 3])
    for row in range(3):
        assert near(cell(picture, row, 2, (16, 24), 2), average)
        assert near(cell(picture, row, 4, (16, 24), 2), full[row])


def test_sweep_is_symmetric_about_the_average(G):
    ws = sweep(G, [1, 2], psis(5, 0.8))
    torch.testing.assert_close((ws + ws.flip(1)) / 2, G.w_avg.expand_as(ws), atol=1e-6, rtol=0)
    cut = sweep(G, [1], [0.0], Sampling(cutoff=2))
    torch.testing.assert_close(cut[:, 0, 2:], codes(G, [1])[:, 2:])


def test_truncation_without_mapping(G_plain, tmp_path):
    picture = read(truncation(G_plain, [1], tmp_path / "t.png", columns=3))
    assert near(cell(picture, 0, 1, (16, 16)), draw(G_plain, torch.zeros(1, 1, 8))[0])
    assert near(cell(picture, 0, 0, (16, 16)), draw(G_plain, -codes(G_plain, [1]))[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": 4}, "4 columns have no middle; give an odd number from 3 up, such as 9"),
        ({"columns": 1}, "1 columns have no middle"),
        ({"sampling": {"psi": 0.0}}, "a truncation of 0; give a positive number, such as 1"),
        ({"sampling": {"psi": float("inf")}}, "a truncation of inf"),
        ({"scale": 0}, "a scale of 0; give a whole number from 1 up"),
        ({"sampling": {"cutoff": 9}}, "a cutoff of 9; this network has 6 layers to truncate"),
        ({"seeds": []}, "no seeds; give at least one"),
        ({"sampling": {"labels": 1}}, "this network has no classes"),
        ({"output": "t.gif"}, "t.gif: no format is known for '.gif'"),
    ],
)
def test_wrong_truncations(G, tmp_path, arguments, message):
    given = {"seeds": [1], "output": tmp_path / "t.png", **arguments}
    with pytest.raises(UserError) as caught:
        truncation(G, **given | {"sampling": Sampling(**arguments.get("sampling", {}))})
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_all_layers_make_the_column_and_none_of_its_own_the_row(G, tmp_path):
    picture = read(mix(G, [1, 2], [3, 4, 5], tmp_path / "m.png", styles="all", sampling=Sampling(psi=0.7)))
    sources = G.generate([1, 2, 3, 4, 5], psi=0.7)
    for row in range(2):
        assert near(cell(picture, row + 1, 0, (16, 24)), sources[row])
        for column in range(3):
            assert near(cell(picture, row + 1, column + 1, (16, 24)), sources[2 + column])
            assert near(cell(picture, 0, column + 1, (16, 24)), sources[2 + column])
    assert (cell(picture, 0, 0, (16, 24)) == 255).all()


def test_mixed_takes_just_these_layers(G):
    rows, columns = codes(G, [1, 2]), codes(G, [3, 4, 5])
    ws = mixed(rows, columns, [0, 3])
    for row in range(2):
        for column in range(3):
            for layer in range(6):
                source = columns[column] if layer in (0, 3) else rows[row]
                assert torch.equal(ws[row, column, layer], source[layer])


def test_mix_with_classes_and_transparency(G_classes, tmp_path):
    picture = read(mix(G_classes, [1], [2], tmp_path / "m.png", sampling=Sampling(2)))
    assert picture.shape == (35, 35, 4)
    assert (cell(picture, 0, 0, (16, 16))[..., 3] == 0).all()


@pytest.mark.parametrize(
    ("text", "wanted"), [("coarse", range(4)), ("middle", range(4, 8)), ("fine", (8, 9)), ("9, 0-1", (0, 1, 9))]
)
def test_layers(text, wanted):
    assert parse_layers(text, 10) == list(wanted)


@pytest.mark.parametrize(
    ("styles", "message"),
    [
        ("fine", "this network has no fine layers; give numbers from 0 to 5"),
        ("big", "can't read the layers 'big'; write coarse, middle, fine, all or numbers such as 0-6"),
        ("3-1", "can't read the layers '3-1'"),
        ("6", "there is no layer 6; give numbers from 0 to 5"),
    ],
)
def test_wrong_layers(G, tmp_path, styles, message):
    with pytest.raises(UserError) as caught:
        mix(G, [1], [2], tmp_path / "m.png", styles=styles)
    assert message in str(caught.value)


STYLES = {"coarse": {0, 1, 2, 3}, "middle": {4, 5, 6, 7}, "0": {0}, "0-1": {0, 1}, "0-3": {0, 1, 2, 3}, "1,3": {1, 3}}


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("styles", [*STYLES, "0-5", "0-6"])
def test_a_mixture_is_neither_of_its_sources(tmp_path, size, channels, styles):
    """Or it is refused: of networks so small that a group is all of them, or that have no such layers."""
    G = small(DataSpec((size, size), channels, 0))
    layers = STYLES.get(styles, set(range(6 if styles == "0-5" else 7)))
    there = layers & set(range(G.num_ws))
    if len(there) in (0, G.num_ws) or (styles[0].isdigit() and there != layers):
        with pytest.raises(UserError, match=r"this network has no|there is no layer|that is all"):
            mix(G, [1], [2], tmp_path / "m.png", styles=styles)
        return
    picture = read(mix(G, [1], [2], tmp_path / "m.png", styles=styles))
    picture = picture if picture.ndim == 3 else picture[..., None]
    row, column, inside = (cell(picture, y, x, (size, size)).astype(int) for y, x in ((1, 0), (0, 1), (1, 1)))
    assert np.abs(inside - row).mean() > 1 and np.abs(inside - column).mean() > 1


def small(spec):
    torch.manual_seed(0)
    method = StyleGAN2(z_dim=8, w_dim=8, channel_base=256, channel_max=8).resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)


def test_all_layers_where_that_is_said(G, tmp_path):
    with pytest.raises(UserError, match=r"--styles 0-5: that is all 6 layers.*; give some of 0-5, or say all"):
        mix(G, [1], [2], tmp_path / "m.png", styles="0-5")
    assert mix(G, [1], [2], tmp_path / "m.png", styles="all").exists()


def test_nothing_to_mix(G_plain, tmp_path):
    with pytest.raises(UserError, match="dcgan generates each image from one code: it has no styles to mix"):
        mix(G_plain, [1], [2], tmp_path / "m.png")


def test_noise_figure(G_noisy, tmp_path):
    found = noise(G_noisy, 3, tmp_path / "n.png", samples=5)
    picture = read(found.path)
    lower = picture[1 + 17 + TEXT :]
    assert near(cell(picture, 0, 0, (16, 16)), G_noisy.generate([3])[0])
    none = cell(lower, 0, 3, (16, 16))
    assert near(none, G_noisy.generate([3], noise="none")[0])
    fresh = np.stack([cell(picture, 0, n, (16, 16)).astype(int) for n in range(1, 5)])
    assert (fresh.std(0) > 0).mean() > 0.5
    shown = cell(picture, 0, 5, (16, 16))[..., 0]
    assert shown.max() <= 255 and np.corrcoef(shown.ravel(), found.deviation.ravel())[0, 1] > 0.99


def test_deviation_against_numpy(G_noisy):
    ws = codes(G_noisy, [3])
    images = [G_noisy.synthesis(ws, "random", G_noisy.noise_rng(seed)) for seed in range(6)]
    wanted = (torch.cat(images).double() * 127.5).numpy().std(0).mean(0)
    np.testing.assert_allclose(deviation(G_noisy, ws, 6), wanted, rtol=1e-6)


def test_layers_of_noise(G_noisy):
    assert noise_sizes(G_noisy) == [4, 8, 8, 16, 16] and fine_from(G_noisy.resolution) == 8
    ws = codes(G_noisy, [3])
    rng = G_noisy.noise_rng
    silent, full = with_noise(G_noisy, lambda size: False), with_noise(G_noisy, lambda size: True)
    torch.testing.assert_close(silent.synthesis(ws, "random", rng(0)), G_noisy.synthesis(ws, "none"))
    torch.testing.assert_close(full.synthesis(ws, "random", rng(0)), G_noisy.synthesis(ws, "random", rng(0)))


def test_noise_that_can_not_be_switched(G_lucid, tmp_path):
    found = noise(G_lucid, 3, tmp_path / "n.png", samples=5)
    picture = read(found.path)
    assert picture.shape == (1 + 17 + TEXT, 1 + 7 * 17, 3) and found.deviation.max() > 0
    assert near(cell(picture, 0, 0, (16, 16)), G_lucid.generate([3])[0])
    assert near(cell(picture, 0, 5, (16, 16)), G_lucid.generate([3], noise="none")[0])


def test_no_noise_no_deviation(G, G_plain, tmp_path):
    assert noise(G, 0, tmp_path / "n.png", samples=2).deviation.max() == 0
    with pytest.raises(UserError, match="dcgan has no noise inputs; try StyleGAN2"):
        noise(G_plain, 0, tmp_path / "n.png")
    with pytest.raises(UserError, match="a deviation needs two samples or more; give 100, as in the paper"):
        noise(G, 0, tmp_path / "n.png", samples=1)
