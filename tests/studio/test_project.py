import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from organza import load
from organza.core.errors import UserError
from organza.media.images import save_picture
from organza.studio.codes import codes, draw, load_codes
from organza.studio.projection.invert import Projecting, Tuning, noise_regularisation, optimise, statistics, tune
from organza.studio.projection.project import project, read_targets
from organza.vision.lpips import LPIPS, open_distance
from organza.vision.perceptual import STAND_IN, lpips, open_perceptual, stand_in

QUICK = Projecting(steps=4, samples=50)


def pixels(images, targets):
    return (images - targets).square().mean((1, 2, 3)).sqrt()


@pytest.mark.parametrize(("space", "bound"), [("w", 0.05), ("w+", 0.15)])
def test_pictures_of_the_network_are_found_again(G, space, bound):
    seeds = [1, 2, 3]
    targets = G.synthesis(codes(G, seeds))
    first, *_, last = optimise(G, targets, stand_in(3), Projecting(steps=120, samples=500, space=space))
    assert (pixels(last.images, targets) < bound * pixels(first.images, targets)).all()
    # Each is nearer to its own seed's image than to those of twenty others.
    others = G.synthesis(codes(G, range(1, 21)))
    nearest = (last.images[:, None] - others).square().mean((2, 3, 4)).argmin(1)
    assert nearest.tolist() == [0, 1, 2]


def test_z_is_found_where_there_is_no_mapping(G_plain):
    targets = G_plain.synthesis(codes(G_plain, [1, 2]))
    first, *_, last = optimise(G_plain, targets, stand_in(3), Projecting(steps=120, samples=500))
    assert last.ws.shape == (2, 1, 8) and last.noise == []
    assert (pixels(last.images, targets) < 0.2 * pixels(first.images, targets)).all()


def test_a_picture_does_not_depend_on_its_neighbours(G_noisy):
    targets = G_noisy.synthesis(codes(G_noisy, [1, 2]))
    together = list(optimise(G_noisy, targets, stand_in(3), QUICK))[-1]
    alone = list(optimise(G_noisy, targets[1:], stand_in(3), QUICK))[-1]
    torch.testing.assert_close(together.ws[1:], alone.ws, atol=1e-3, rtol=1e-3)


def test_noise_maps_stay_normal_and_white(G_noisy):
    targets = G_noisy.synthesis(codes(G_noisy, [1]))
    *_, last = optimise(G_noisy, targets, stand_in(3), Projecting(steps=30, samples=50))
    assert len(last.noise) == 5
    for noise in last.noise:
        torch.testing.assert_close(noise.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(noise.square().mean(), torch.tensor(1.0), atol=1e-4, rtol=0)
        if noise.shape[2] > 4:
            assert noise_regularisation(noise).item() < 0.02
    before = [name for name, _ in G_noisy.net.named_buffers()]
    assert before and all(buffer.ndim <= 3 for _, buffer in G_noisy.net.named_buffers())


def test_noise_regularisation_by_hand():
    noise = np.random.RandomState(0).randn(16, 16)
    wanted = 0.0
    while True:
        wanted += (noise * np.roll(noise, 1, 0)).mean() ** 2 + (noise * np.roll(noise, 1, 1)).mean() ** 2
        if len(noise) == 8:
            break
        noise = noise.reshape(8, 2, 8, 2).sum((1, 3)) / 2
    found = noise_regularisation(torch.from_numpy(np.random.RandomState(0).randn(1, 1, 16, 16)))
    np.testing.assert_allclose(found.item(), wanted, rtol=1e-6)


def test_statistics_of_w(G):
    mean, deviation = statistics(G, 2000)
    ws = codes(G, range(500))[:, 0]
    assert (mean - ws.mean(0)).norm() < 0.2 * deviation
    assert abs(deviation - (ws - ws.mean(0)).square().sum(1).mean().sqrt()) < 0.1 * deviation


def test_stand_in_is_a_distance_that_knows_places():
    rng = np.random.RandomState(0)
    a, b = (torch.from_numpy(rng.rand(1, 3, 32, 32).astype(np.float32)) * 2 - 1 for _ in range(2))
    found = stand_in(3)
    assert found.name == STAND_IN and "not LPIPS" in STAND_IN
    assert found.distance(a, a).item() == 0
    assert found.distance(a, b).item() == pytest.approx(found.distance(b, a).item())
    assert found.distance(a, a + 0.01).item() < 0.05 * found.distance(a, b).item()


class Features(torch.nn.Module):
    def forward(self, images: torch.Tensor, resize_images: bool, return_lpips: bool):
        return images.mean(3).flatten(1) / 255


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "vgg16.pt"
    torch.jit.script(Features()).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_lpips_by_a_file(scripted, tmp_path):
    found = lpips(scripted, torch.device("cpu"))
    assert found.name == "LPIPS (vgg16.pt)"
    black, white = -torch.ones(1, 1, 512, 512), torch.ones(1, 1, 512, 512)
    assert found.distance(black, white).item() == pytest.approx(3 * 256)
    (tmp_path / "a.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a\.pt: is no feature network for LPIPS; give NVIDIA's vgg16\.pt"):
        lpips(tmp_path / "a.pt", torch.device("cpu"))


def test_tuning_comes_nearer_and_leaves_others(G):
    targets = G.synthesis(codes(G, [1])).flip(3)
    pivots = codes(G, [1])
    settings = Tuning(steps=30, rate=5e-3)
    *_, tuned = tune(G, pivots, targets, stand_in(3), settings)
    before = pixels(G.synthesis(pivots), targets)
    assert (pixels(tuned.synthesis(pivots), targets) < 0.6 * before).all()
    assert torch.equal(tuned.mapping(tuned.z([5])), G.mapping(G.z([5])))
    assert not any(value.requires_grad for value in tuned.net.parameters())
    *_, loose = tune(G, pivots, targets, stand_in(3), Tuning(steps=30, rate=5e-3, locality=0))
    others = codes(G, range(10, 16))
    moved = [pixels(net.synthesis(others), G.synthesis(others)).mean() for net in (tuned, loose)]
    assert moved[0] < moved[1]


def test_on_disk(tiny_run, tmp_path):
    G = load(tiny_run)
    images = G.generate([1, 2])
    for name, image in zip("ab", images, strict=True):
        save_picture(np.pad(image, [(0, 0), (4, 4), (0, 0)]), tmp_path / "in" / f"{name}.png")
    seen = []
    found = project(
        G,
        [tmp_path / "in"],
        tmp_path / "out",
        settings=QUICK,
        tuning=Tuning(steps=2),
        scale=2,
        progress=lambda *done: seen.append(done),
    )
    assert found.names == ("a", "b") and found.perceptual == STAND_IN
    assert seen[0] == (0, 6) and seen[-1] == (6, 6)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.png",
        "film.gif",
        "projected-a.png",
        "projected-b.png",
        "projected.npz",
        "target-a.png",
        "target-b.png",
        "tuned",
        "tuned-a.png",
        "tuned-b.png",
    ]
    assert {path.name for path in found.files} == {path.name for path in (tmp_path / "out").iterdir()}
    with Image.open(tmp_path / "out" / "target-a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images[0])
    with Image.open(tmp_path / "out" / "film.gif") as film:
        assert (film.n_frames, film.size) == (5, (70, 70))
    with Image.open(tmp_path / "out" / "comparison.png") as image:
        assert image.size == (70, 104)
    with np.load(tmp_path / "out" / "projected.npz") as file:
        assert sorted(file) == ["noise0", "noise1", "noise2", "noise3", "noise4", "w"]
    tuned = load(tmp_path / "out" / "tuned")
    ws = load_codes(tmp_path / "out" / "projected.npz", tuned)
    assert torch.equal(ws, found.ws)
    with Image.open(tmp_path / "out" / "tuned-b.png") as image:
        assert np.abs(np.asarray(image).astype(int) - draw(tuned, ws)[1]).max() <= 1
    old, new = (load_file(net.source / "ema.safetensors") for net in (G, tuned))
    assert old.keys() == new.keys()
    with pytest.raises(UserError, match="tuned: exists already; choose another name"):
        project(G, [tmp_path / "in"], tmp_path / "out", settings=QUICK, tuning=Tuning(steps=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pictures": []}, "no images; give at least one"),
        ({"pictures": ["none.png"]}, "none.png: can't be read; give an image or a folder of them"),
        ({"pictures": [__file__]}, "not an image"),
        ({"settings": Projecting(steps=0)}, "a search without steps; give at least one, such as 1000"),
        ({"labels": 1}, "this network has no classes"),
        ({"tuning": Tuning(steps=1)}, "the network: was not trained here: no checkpoint to build on; convert it first"),
    ],
)
def test_wrong_requests(G, tmp_path, arguments, message):
    with pytest.raises(UserError) as caught:
        project(G, **{"pictures": [__file__], "outdir": tmp_path / "out", **arguments})
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_wrong_folders(tmp_path):
    with pytest.raises(UserError, match="holds no images; give images or a folder of them"):
        read_targets([tmp_path], (8, 8), 3)
    for name in ("a.png", "a.jpg"):
        save_picture(np.zeros([9, 9, 3], np.uint8), tmp_path / name)
    with pytest.raises(UserError, match="two images are called a; give them different names"):
        read_targets([tmp_path], (8, 8), 3)


def test_distances_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    device, rng = torch.device("cpu"), torch.Generator().manual_seed(0)
    images, others = (torch.rand(2, 3, 64, 64, generator=rng) * 2 - 1 for _ in range(2))
    assert open_perceptual(None, 3, device).name == open_perceptual("stand-in", 3, device).name == STAND_IN
    found = open_perceptual("voile64", 3, device)
    assert "not LPIPS" in found.name
    torch.testing.assert_close(found.distance(images, others), open_distance("voile64", device=device)(images, others))
    grey = images[:, :1]
    torch.testing.assert_close(found.features(grey), found.features(grey.expand(-1, 3, -1, -1)))
    assert found.features(torch.cat([images, grey], 1)).shape == found.features(images).shape
    with pytest.raises(UserError, match="no perceptual distance is called 'vgg'"):
        open_perceptual("vgg", 3, device)


def test_lpips_as_features(monkeypatch):
    """The squared length of the difference of features is the distance, for heads of any weights."""
    torch.manual_seed(0)
    net = LPIPS("squeeze").eval().requires_grad_(False)
    for head in net.heads:
        head.copy_(torch.rand(len(head)))
    monkeypatch.setattr("organza.vision.lpips.open_distance", lambda name, device: net)
    found = open_perceptual("lpips-squeeze", 3, torch.device("cpu"))
    assert found.name == "LPIPS (squeeze, heads 0.1)"
    images, others = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(found.distance(images, others), net(images, others))
    large = torch.rand(1, 3, 512, 512)
    torch.testing.assert_close(
        found.features(large), found.features(torch.nn.functional.avg_pool2d(large, 2)), atol=1e-4, rtol=1e-4
    )
