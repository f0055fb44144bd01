from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from organza import load
from organza.core.errors import UserError
from organza.media.figure import cell
from organza.studio.attributes import by_classifier, read_labels
from organza.studio.blend import blend, blended, layer_sizes
from organza.studio.codes import codes, draw
from organza.studio.directions import (
    Direction,
    independent,
    load_directions,
    logistic,
    pca,
    regress,
    save_directions,
    sefa,
    style_weights,
    without,
)
from organza.studio.edit import Edit, amounts, edit, moved, overview, parse_edits
from organza.weights.save import averaged


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def near(a, b):
    return np.abs(a.astype(int) - b).max() <= 1


def same_line(a, b):
    cosine = np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    return abs(cosine) > 1 - 1e-5


@pytest.mark.parametrize("layers", [None, (0, 1)])
def test_sefa_against_numpy(G, layers):
    tensors = dict(G.net.named_parameters())
    names = ["0.conv1", "1.conv0", "1.conv1", "2.conv0", "2.conv1"]
    chosen = names if layers is None else names[:2]
    weights = np.concatenate([tensors[f"synthesis.blocks.{name}.affine.weight"].numpy() for name in chosen])
    np.testing.assert_array_equal(style_weights(G, layers).numpy(), weights)
    vectors = np.linalg.eigh(weights.T.astype(np.float64) @ weights)[1][:, ::-1].T
    found = sefa(G, 5, layers)
    assert [direction.name for direction in found] == [f"sefa{n}" for n in range(5)]
    for direction, vector in zip(found, vectors, strict=False):
        assert same_line(direction.vector.numpy(), vector)
        assert direction.vector[direction.vector.abs().argmax()] > 0
        assert direction.layers == layers


def test_sefa_of_two_styles_a_layer(G_lucid):
    tensors = dict(G_lucid.net.named_parameters())
    both = [np.concatenate([tensors[f"blocks.{n}.style{i}.weight"].numpy() for i in (1, 2)]) for n in range(3)]
    assert G_lucid.num_ws == 3
    np.testing.assert_array_equal(style_weights(G_lucid).numpy(), np.concatenate(both))
    np.testing.assert_array_equal(style_weights(G_lucid, (1,)).numpy(), both[1])


def test_sizes_of_growing_networks(G_lucid):
    sizes = layer_sizes(G_lucid)
    assert {name: sizes[f"G.blocks.{n}.conv1"] for n, name in enumerate("abc")} == {"a": 4, "b": 8, "c": 16}
    assert "G.conv.weight" not in sizes


def test_sefa_without_mapping(G_plain):
    weights = next(G_plain.net.parameters()).numpy()  # [z_dim, maps, h, w]
    vectors = np.linalg.svd(weights.reshape(8, -1), full_matrices=False)[0].T
    for direction, vector in zip(sefa(G_plain, 3), vectors, strict=False):
        assert same_line(direction.vector.numpy(), vector)


def test_pca_against_numpy(G):
    z = torch.randn(500, G.z_dim, generator=torch.Generator().manual_seed(7))
    ws = G.mapping(z)[:, 0].numpy().astype(np.float64)
    _, sizes, vectors = np.linalg.svd(ws - ws.mean(0), full_matrices=False)
    for index, direction in enumerate(pca(G, 4, samples=500, seed=7)):
        assert same_line(direction.vector.numpy(), vectors[index])
        np.testing.assert_allclose(direction.vector.norm(), sizes[index] / 500**0.5, rtol=1e-4)
        share = 100 * sizes[index] ** 2 / (sizes**2).sum()
        assert direction.about == f"GANSpace: {share:.1f}% of the variance of 500 w's"


def test_directions_with_classes(G_classes):
    assert len(pca(G_classes, 2, samples=20)) == len(sefa(G_classes, 2)) == 2
    pca(G_classes, 2, samples=20, labels=3)


def test_logistic_against_newton():
    rng = np.random.RandomState(0)
    x = rng.randn(200, 3)
    y = (x @ [2.0, -1.0, 0.0] + 0.5 + rng.randn(200) > 0).astype(float)
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    design = np.concatenate([x, np.ones([200, 1])], axis=1)
    a = np.zeros(4)
    decay = np.diag([2e-3 * 200] * 3 + [0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ a))
        gradient = design.T @ (p - y) + decay @ a
        a -= np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + decay, gradient)
    vector, offset, right = logistic(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose([*vector.tolist(), offset], a, atol=2e-3)
    assert right > 0.8


def test_a_regressed_direction_changes_its_attribute(G):
    images = G.generate(range(300)).astype(float).mean((1, 2, 3))
    middle = np.median(images)
    answers = (images > middle).astype(float)
    direction = regress(G, "bright", answers, range(300))
    assert "regression on 300 images, 150 of them yes" in direction.about
    fresh = codes(G, range(1000, 1040))
    up, down = (draw(G, moved(fresh, [Edit(direction, way)])).mean((1, 2, 3)) for way in (2.0, -2.0))
    # An untrained network is no better than this; a straight attribute is found exactly, see below.
    assert (up > down).mean() > 0.8
    by_call = regress(G, "bright", lambda images: images.astype(float).mean((1, 2, 3)) > middle, range(300))
    assert same_line(by_call.vector.numpy(), direction.vector.numpy())


def test_a_straight_attribute_is_found(G):
    true = torch.randn(8, generator=torch.Generator().manual_seed(1))
    ws = codes(G, range(600))[:, 0]
    middle = (ws @ true).median()
    direction = regress(G, "straight", (ws @ true > middle).float(), range(600))
    assert torch.cosine_similarity(direction.vector, true, 0) > 0.97
    fresh = codes(G, range(1000, 1100))
    for way in (3.0, -3.0):
        there = (moved(fresh, [Edit(direction, way)])[:, 0] @ true > middle) == (way > 0)
        assert there.float().mean() > 0.9


def test_without_leaves_the_others(G):
    a, b, c = (Direction(n, torch.randn(8, generator=torch.Generator().manual_seed(ord(n)))) for n in "abc")
    rest = without(a, [b, c])
    assert abs(rest.vector @ b.vector) < 1e-5 and abs(rest.vector @ c.vector) < 1e-5
    assert rest.about == "without b, c"
    assert without(a, []) is a


def test_independent_moves_one_answer_and_stays_likely():
    rng = np.random.RandomState(0)
    mixing = rng.randn(6, 6) * np.array([3.0, 2, 1, 1, 0.5, 0.1])
    ws = torch.from_numpy(rng.randn(5000, 6) @ mixing.T)
    names = [Direction(n, torch.from_numpy(rng.randn(6)).float(), (0, 1), n) for n in "abc"]
    found = independent(names, ws)
    answers = torch.stack([d.vector for d in names]) @ torch.stack([d.vector for d in found]).T
    off = answers - torch.diag(answers.diagonal())
    assert (answers.diagonal() > 0).all() and off.abs().max() < 1e-4 * answers.diagonal().min()
    assert [d.about for d in found] == ["a; b, c kept", "b; a, c kept", "c; a, b kept"]
    assert found[0].layers == (0, 1)
    # Of changes with the same effect, theirs is the likeliest one.
    precision = np.linalg.inv(np.cov(ws.numpy().T))
    for mine, normals in zip(found, names, strict=True):
        other = without(normals, [d for d in names if d is not normals])
        lengths = []
        for d in (mine, other):
            v = (d.vector / (d.vector @ normals.vector)).double().numpy()
            lengths.append(v @ precision @ v)
        assert lengths[0] <= lengths[1]
        # One step is a deviation of w along it.
        unit = mine.vector.double() / mine.vector.norm().double()
        assert mine.vector.norm().item() == pytest.approx((ws @ unit).std().item(), rel=1e-2)


def test_files(G, tmp_path):
    saved = [*sefa(G, 2, (0, 1)), Direction("smile", torch.arange(8.0), None, "by hand")]
    path = save_directions(tmp_path / "new" / "d.safetensors", saved)
    found = load_directions(path, G)
    assert [(d.name, d.layers, d.about) for d in found] == [(d.name, d.layers, d.about) for d in saved]
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(found, saved, strict=True))
    assert path.read_bytes() == save_directions(tmp_path / "again.safetensors", saved).read_bytes()
    assert path.stat().st_size < 2000


def test_wrong_files(G, G_plain, tmp_path):
    path = tmp_path / "d.safetensors"
    with pytest.raises(UserError, match="does not exist; organza directions makes such a file"):
        load_directions(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="can't be read; organza directions makes such files"):
        load_directions(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="holds no directions; organza directions makes such a file"):
        load_directions(path)
    save_directions(path, [Direction("a", torch.zeros(3))])
    with pytest.raises(UserError, match=r"its directions are \[3\]; this network wants \[8\]"):
        load_directions(path, G)
    with pytest.raises(UserError, match="directions need names of their own, and there must be one"):
        save_directions(path, [Direction("a", torch.zeros(3))] * 2)
    with pytest.raises(UserError, match=r"d\.pt: no format is known for '\.pt'; end the name in \.safetensors"):
        load_directions("d.pt")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda G, P: sefa(G, 9), "9 directions; this network has from 1 to 8"),
        (lambda G, P: sefa(G, 1, (5,)), "no styles in layers (5,); give numbers from 0 to 4"),
        (lambda G, P: pca(P), "10 directions; this network has from 1 to 8"),
        (lambda G, P: pca(P, 2), "in dcgan w is z, whose components are all alike; use sefa, labels or a classifier"),
        (lambda G, P: pca(G, 2, samples=1), "1 samples have no components; give 10000"),
        (lambda G, P: regress(G, "a", [1, 0], range(3)), "a: not one answer from 0 to 1 for each of 3 images"),
        (lambda G, P: regress(G, "a", [1, 2], range(2)), "a: not one answer from 0 to 1 for each of 2 images"),
        (lambda G, P: regress(G, "a", [1, 1], range(2)), "a: all 2 answers are alike; take more seeds"),
    ],
)
def test_wrong_requests(G, G_plain, call, message):
    with pytest.raises(UserError) as caught:
        call(G, G_plain)
    assert message in str(caught.value)


# --- attributes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no table of attributes"),
        ("seed\n1\n", "is no table of attributes"),
        ("seed,a\n1,yes\n", "row 2 is not a seed and 1 answers"),
        ("seed,a\n1,0\n2,1,1\n", "row 3 is not a seed and 1 answers"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_labels(tmp_path / "a.csv")


def test_no_table(tmp_path):
    with pytest.raises(UserError, match=r"a\.csv: can't be read; the head is seed,NAME,NAME"):
        read_labels(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("seed,a\n" + "9" * 200_000)  # more than a field may have
    with pytest.raises(UserError, match=r"a\.csv: can't be read; the head is seed,NAME,NAME"):
        read_labels(tmp_path / "a.csv")


class Bright(torch.nn.Module):
    def forward(self, images: torch.Tensor):
        return torch.stack([images.mean((1, 2, 3)), images[:, 0].mean((1, 2))], 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_classifier_file(G, tmp_path):
    path = tmp_path / "bright.pt"
    torch.jit.script(Bright()).save(str(path))
    found = by_classifier(G, path, ["bright", "red"], range(5))
    wanted = torch.sigmoid(G.synthesis(codes(G, range(5))).clamp(-1, 1).mean((1, 2, 3)))
    torch.testing.assert_close(found["bright"], wanted)
    assert list(by_classifier(G, path, [], [1])) == ["attribute0", "attribute1"]
    with pytest.raises(UserError, match=r"bright\.pt: 1 names for 2 attributes; name each, or none"):
        by_classifier(G, path, ["a"], [1])
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is no classifier for these images; give a TorchScript file for images"):
        by_classifier(G, path, [], [1])


# --- edits --------------------------------------------------------------------------------------------------------


def test_edits_add_up_in_their_layers(G):
    ws = codes(G, [1, 2])
    a, b = Direction("a", torch.ones(8)), Direction("b", torch.arange(8.0), (2, 3))
    found = moved(ws, [Edit(a, 2.0, (0,)), Edit(b, -1.0)], 0.5)
    wanted = ws.clone()
    wanted[:, 0] += 1
    wanted[:, 2:4] -= 0.5 * torch.arange(8.0)
    torch.testing.assert_close(found, wanted)
    with pytest.raises(UserError, match="b moves layer 3; this network has 1 layers"):
        moved(ws[:, :1], [Edit(b, 1.0)])


def test_strip(G, tmp_path):
    ws, way = codes(G, [1, 2]), [Edit(sefa(G, 1)[0], 3.0)]
    picture = read(edit(G, ws, way, tmp_path / "s.png", columns=5, scale=2))
    for row in range(2):
        assert near(cell(picture, row, 2, (16, 24), 2), G.generate([1, 2])[row])
        assert near(cell(picture, row, 4, (16, 24), 2), draw(G, moved(ws, way))[row])
        assert near(cell(picture, row, 1, (16, 24), 2), draw(G, moved(ws, way, -0.5))[row])
    assert amounts(3) == [-1.0, 0.0, 1.0]


def test_film_swings(G, tmp_path):
    way = [Edit(sefa(G, 1)[0], 3.0)]
    path = edit(G, codes(G, [1, 2]), way, tmp_path / "s.gif", seconds=1, fps=8)
    with Image.open(path) as film:
        frames = []
        for index in range(film.n_frames):
            film.seek(index)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
    assert len(frames) == 8 and frames[0].shape == (16, 48, 3)
    # The middle is met on the way there and on the way back.
    assert np.abs(frames[0] - frames[4]).mean() < 3
    assert np.abs(frames[2] - frames[6]).mean() > 3


def test_films_by_name_or_by_wish(G, tmp_path):
    way = [Edit(sefa(G, 1)[0], 3.0)]
    still, film = (
        edit(G, codes(G, [1]), way, tmp_path / f"{m}.webp", moving=m, seconds=1, fps=4) for m in (None, True)
    )
    with Image.open(still) as a, Image.open(film) as b:
        assert (a.n_frames, b.n_frames) == (1, 4)
    with pytest.raises(UserError, match=r"no format is known for '\.png'"):
        edit(G, codes(G, [1]), way, tmp_path / "a.png", moving=True)


def test_overview(G_plain, tmp_path):
    ways = sefa(G_plain, 2)
    picture = read(overview(G_plain, codes(G_plain, [1]), ways, tmp_path / "o.png", columns=3))
    for row in range(2):
        assert near(cell(picture, row, 1, (16, 16)), G_plain.generate([1])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "can't read the edit 'a'; write NAME=STRENGTH or NAME=STRENGTH@0-6"),
        ("c=1", "there is no direction 'c'; the file has a, b"),
        ("a=1.2.3", "'1.2.3' is not a number; write a strength such as 2 or -1.5"),
        ("a=1@7", "there is no layer 7; give numbers from 0 to 5"),
    ],
)
def test_wrong_edits(text, message):
    with pytest.raises(UserError) as caught:
        parse_edits(text, [Direction(n, torch.zeros(8)) for n in "ab"], 6)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edits": []}, "no edits; give at least one, such as sefa0=2"),
        ({"columns": 1}, "a strip of 1 images; give two or more, such as 7"),
        ({"output": "a.txt"}, "no format is known for '.txt'; end the name in .png, .jpg, .jpeg, .webp, .mp4 or .gif"),
        ({"output": "a.gif", "seconds": 0}, "0 seconds at 30 frames a second make no video"),
    ],
)
def test_wrong_strips(G, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    way = [Edit(Direction("a", torch.zeros(8)), 1.0)]
    with pytest.raises(UserError) as caught:
        edit(G, codes(G, [1]), **{"edits": way, "output": "a.png", **arguments})
    assert message in str(caught.value)


# --- blend --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tiny_run, tmp_path_factory):
    """The tiny run, and a network like it with other weights."""
    from organza.weights.save import save_network

    first = load(tiny_run)
    rng = torch.Generator().manual_seed(0)
    tensors = {n: v + torch.randn(v.shape, generator=rng) for n, v in averaged(first).items()}
    return first, load(save_network(first, tensors, tmp_path_factory.mktemp("pair") / "second", "noise"))


def test_sizes(pair):
    sizes = layer_sizes(pair[0])
    assert set(sizes.values()) == {4, 8, 16}
    assert sizes["G.synthesis.blocks.2.conv0.weight"] == 16


def test_swap_takes_whole_layers(pair):
    a, b = (averaged(net) for net in pair)
    found = blended(*pair, swap=8)
    for name, value in found.items():
        second = name in layer_sizes(pair[0]) and layer_sizes(pair[0])[name] >= 8
        assert torch.equal(value, (b if second else a)[name])
    other = blended(*pair, swap=8, mapping="second")
    assert torch.equal(other["G.w_avg"], b["G.w_avg"])


def test_ends_are_the_networks_themselves(pair, tmp_path):
    a, b = (averaged(net) for net in pair)
    for amount, wanted in ((0.0, a), (1.0, b)):
        found = blended(*pair, swap=None, amount=amount)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    half = blended(*pair, swap=None, amount=0.5)
    torch.testing.assert_close(half["G.w_avg"], (a["G.w_avg"] + b["G.w_avg"]) / 2)
    G = load(blend(*pair, tmp_path / "new" / "net", swap=None, amount=0.0))
    np.testing.assert_array_equal(G.generate([1]), pair[0].generate([1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"amount": 2}, "an amount of 2; give a number from 0 to 1"),
        ({"width": -1}, "a width of -1; give 0 for a clean cut, 1 or 2 for a soft one"),
        ({"swap": 0}, "a size of 0; give the first size of the second network, such as 16"),
    ],
)
def test_wrong_blends(pair, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        blend(*pair, tmp_path / "net", **arguments)
    assert not list(tmp_path.iterdir())


def test_networks_that_do_not_mix(pair, G, G_plain, tmp_path):
    with pytest.raises(UserError, match=r"the two networks are built differently \(.+\); train the second"):
        blended(pair[0], G)
    with pytest.raises(UserError, match="dcgan has no layers of known sizes; give an amount for all layers instead"):
        blended(G_plain, G_plain)
    with pytest.raises(UserError, match="the network: was not trained here"):
        blend(G, G, tmp_path / "net")
    with pytest.raises(UserError, match="exists already; choose another name"):
        blend(*pair, tmp_path)
    gone = replace(pair[0], source=tmp_path / "gone")
    with pytest.raises(UserError, match="gone: is gone; give another checkpoint, or copy one that is to stay"):
        blend(gone, gone, tmp_path / "net")


@pytest.mark.parametrize(
    "about",
    [
        "[" * 100_000,
        "{",
        "null",
        "3",
        "[3]",
        "[{}]",
        '[{"name": "a", "about": ""}]',
        '[{"name": "a", "about": "", "layers": 3}]',
        '[{"name": "a", "about": "", "layers": [-1]}]',
        '[{"name": "a", "about": "", "layers": ["x"]}]',
        '[{"name": "a", "about": "", "layers": [0.5]}]',
        '[{"name": "b", "about": "", "layers": null}]',
        '[{"name": "nan", "about": "", "layers": null}]',
        '[{"name": ["a"], "about": "", "layers": null}]',
    ],
)
def test_a_hostile_file_of_directions(tmp_path, about):
    tensors = {"a": torch.zeros(8), "nan": torch.full([8], float("nan"))}
    save_file(tensors, tmp_path / "d.safetensors", {"organza-directions-1": about})
    with pytest.raises(UserError, match=r"d\.safetensors: can't be read; organza directions makes such files"):
        load_directions(tmp_path / "d.safetensors")
