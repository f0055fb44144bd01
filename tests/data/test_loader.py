import time

import numpy as np
import pytest
import torch
from data_helpers import encoded, noise, pngs, write_folder

from organza.data import DataOptions, Loader, open_dataset
from organza.data.hashing import permutation
from organza.data.loader import flips


@pytest.fixture
def data(tmp_path):
    return open_dataset(write_folder(tmp_path / "set", pngs(7)))


def numbers(dataset, batch):
    """Which images a batch shows, and whether each is mirrored."""
    pixels = ((batch.images.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    every, _ = dataset.fetch(range(len(dataset)))
    found = []
    for image in pixels:
        plain = (every == image).all((1, 2, 3))
        mirrored = (every[:, :, ::-1] == image).all((1, 2, 3))
        assert plain.sum() + mirrored.sum() == 1
        found.append((int((plain | mirrored).argmax()), bool(mirrored.any())))
    return found


def test_a_batch(data):
    with Loader(data, seed=0) as loader:
        batch = loader.batch(14, 5)
    assert batch.images.shape == (5, 3, 8, 8)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.shape == (5, 0)
    assert batch.seen == 14
    first = data.fetch(loader.indices(loader.positions(14, 5)))[0]
    wanted = torch.from_numpy(first).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(batch.images, wanted), "exactly -1 to 1, as x / 127.5 - 1"


def test_each_epoch_shows_each_picture_once(data):
    with Loader(data, seed=3) as loader:
        shown = [n for position in range(0, 28, 4) for n, _ in numbers(data, loader.batch(position, 4))]
    orders = [shown[i : i + 7] for i in range(0, 28, 7)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_batches_are_a_function_of_position(data):
    with Loader(data, seed=1) as one, Loader(data, seed=1) as other, Loader(data, seed=2) as different:
        forward = [one.batch(p, 4).images for p in range(0, 40, 4)]
        backward = [other.batch(p, 4).images for p in reversed(range(0, 40, 4))][::-1]
        assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
        assert not all(torch.equal(a, different.batch(p * 4, 4).images) for p, a in enumerate(forward))
        assert torch.equal(torch.cat(forward)[2:12], one.batch(2, 10).images), "batch size is no part of the order"


def test_two_processes_share_one_stream(tmp_path):
    data = open_dataset(write_folder(tmp_path / "set", pngs(7)), DataOptions(mirror=True))
    with Loader(data, seed=5) as whole:
        halves = [Loader(data, seed=5, rank=rank, world=2) for rank in (0, 1)]
        for position in range(0, 30, 6):
            parts = [half.batch(position, 6) for half in halves]
            batch = whole.batch(position, 6)
            assert torch.equal(torch.cat([p.images for p in parts]), batch.images)
            assert torch.equal(torch.cat([p.labels for p in parts]), batch.labels)
            assert parts[1].seen == batch.seen == position
        for half in halves:
            half.close()


def test_unequal_shares_are_refused(data):
    with Loader(data, seed=0, world=2) as loader, pytest.raises(ValueError, match="a batch of 5 can't be shared by 2"):
        loader.batch(0, 5)


def test_mirror_flips_half(tmp_path):
    data = open_dataset(write_folder(tmp_path / "set", pngs(20)), DataOptions(mirror=True))
    with Loader(data, seed=0) as loader:
        shown = numbers(data, loader.batch(0, 400))
    assert 140 < sum(mirrored for _, mirrored in shown) < 260
    both = {n for n, m in shown if m} & {n for n, m in shown if not m}
    assert len(both) == 20


def test_hashes_stay_what_they_were():
    """A change here would change the order of every resumed run."""
    assert permutation(10, seed=0, epoch=0).tolist() == [0, 9, 1, 6, 3, 5, 4, 2, 8, 7]
    assert permutation(10, seed=-1, epoch=2).tolist() == [7, 4, 3, 5, 2, 0, 9, 8, 6, 1]
    assert flips(np.arange(12), seed=0).astype(int).tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_training_does_not_wait(data):
    with Loader(data, seed=0) as loader:
        loader.batch(0, 4)
        time.sleep(0.05)
        before = loader.waited
        loader.batch(4, 4)
        assert loader.waited - before < 0.01


def test_trouble_in_the_thread_reaches_the_caller(data, monkeypatch):
    with Loader(data, seed=0) as loader:
        loader.batch(0, 2)
        monkeypatch.setattr(data, "fetch", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loader.batch(100, 2)


def test_labels_come_along(tmp_path):
    entries = {f"{kind}/{i}.png": encoded(noise(i)) for i, kind in enumerate("abcab")}
    data = open_dataset(write_folder(tmp_path / "set", entries), DataOptions(labels="folders"))
    with Loader(data, seed=0) as loader:
        batch = loader.batch(0, 5)
    shown = [n for n, _ in numbers(data, batch)]
    assert batch.labels.argmax(1).tolist() == [data.classes.index(data.names[n][0]) for n in shown]
