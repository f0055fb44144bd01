import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from organza.core.errors import UserError
from organza.studio.codes import codes
from organza.studio.projection.encoder import Encoder, Teaching, load_encoder, save_encoder, teach
from organza.studio.projection.invert import Projecting, optimise
from organza.vision.perceptual import stand_in


@pytest.fixture(scope="module")
def taught(G):
    return teach(G, Teaching(pictures=4096, batch=32, width=16))


def test_it_learns_w_and_starts_nearer(G, taught):
    encoder, left = taught
    ws = codes(G, range(500, 532))[:, 0]
    guess = encoder(G.synthesis(codes(G, range(500, 532))))
    unexplained = ((guess - ws) / encoder.deviation).square().mean().item()
    # New images; what was said of them while it learned holds.
    assert unexplained < 0.5 and abs(unexplained - left) < 0.15
    targets = G.synthesis(codes(G, [500, 501]))
    settings = Projecting(steps=1, samples=200, jitter=0.0)
    (plain, *_), (warm, *_) = (
        optimise(G, targets, stand_in(3), settings, start=start) for start in (None, encoder(targets))
    )
    assert (warm.distance < plain.distance).all()
    assert torch.equal(warm.ws[:, 0], encoder(targets))


def test_the_same_again(G):
    first, second = (teach(G, Teaching(pictures=32, batch=16, width=8))[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_any_size_and_classes(G_classes, G_plain):
    assert teach(G_classes, Teaching(pictures=16, batch=8, width=8))[0](torch.zeros(1, 4, 16, 16)).shape == (1, 8)
    assert teach(G_plain, Teaching(pictures=16, batch=8, width=8))[0](torch.zeros(1, 3, 16, 16)).shape == (1, 8)
    assert Encoder(3, (300, 200), 5, 8).size == (64, 43)
    assert Encoder(3, (300, 200), 5, 8)(torch.zeros(2, 3, 300, 200)).shape == (2, 5)


def test_files(G, G_plain, taught, tmp_path):
    path = save_encoder(tmp_path / "e.safetensors", taught[0], G)
    images = G.synthesis(codes(G, [1]))
    assert torch.equal(load_encoder(path, G)(images), taught[0](images))
    with pytest.raises(UserError, match=r"e\.safetensors: is an encoder for another network; make one for"):
        load_encoder(path, G_plain)
    with pytest.raises(UserError, match="does not exist; organza encoder makes such a file"):
        load_encoder(tmp_path / "none.safetensors", G)
    for content in (b"nothing", np.random.RandomState(0).bytes(1000)):
        (tmp_path / "b.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="holds no encoder"):
            load_encoder(tmp_path / "b.safetensors", G)
    with pytest.raises(UserError, match="0 images for batches of 32; give a thousand or more"):
        teach(G, Teaching(pictures=0))


@pytest.mark.parametrize(
    "about",
    [
        "[" * 100_000,
        "{}",
        "[]",
        "null",
        '{"width": 1e400}',
        '{"width": 1000000000, "right": 1}',
        '{"width": "x", "right": 1}',
    ],
)
def test_a_hostile_file_of_an_encoder(G, tmp_path, about):
    right = {"channels": G.channels, "size": list(G.resolution), "w_dim": G.w_dim}
    if "right" in about:
        about = json.dumps({**right, "width": json.loads(about)["width"]})
    save_file({"mean": torch.zeros(8)}, tmp_path / "e.safetensors", {"organza-encoder-1": about})
    with pytest.raises(UserError, match=r"e\.safetensors: (holds no encoder|is an encoder for another network)"):
        load_encoder(tmp_path / "e.safetensors", G)
