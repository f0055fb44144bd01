import io
import shutil
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from data_helpers import encoded, noise

from organza import train
from organza.core.errors import UserError
from organza.data.options import DataOptions
from organza.data.stream import ShardLoader, Shards, remote_shards


class Quiet(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


def write_shard(path, first, count, classes=3):
    with tarfile.open(path, "w") as tar:
        for i in range(first, first + count):
            for name, data in ((f"{i:04d}.png", encoded(noise(i))), (f"{i:04d}.cls", str(i % classes).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


COUNTS = [5, 3, 7, 4, 6]


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """The address of five shards of unequal size, and what was asked of the server."""
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("organza.core.download.PAUSE", 0.0)
    (tmp_path / "served").mkdir()
    for number, count in enumerate(COUNTS):
        write_shard(tmp_path / "served" / f"set-{number:02d}.tar", 100 * number, count)
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/set-{{00..04}}.tar", server.asked
        server.shutdown()
        thread.join()


def batches(where, starts, **settings):
    options = DataOptions(resolution="8", labels="own")
    with ShardLoader(Shards(remote_shards(where), options, **settings), seed=7) as loader:
        return [loader.batch(start, 5) for start in starts]


def numbers(found):
    """Which image each of a batch is: its number is the seed of its noise."""
    known = {noise(100 * s + i).tobytes(): 100 * s + i for s, n in enumerate(COUNTS) for i in range(n)}
    pixels = ((found.images.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)
    return [known[image.tobytes()] for image in pixels]


def test_each_epoch_shows_every_image_once_in_another_order(shards):
    where, asked = shards
    found = batches(where, range(0, 50, 5))
    shown = [number for batch in found for number in numbers(batch)]
    assert sorted(shown[:25]) == sorted(shown[25:]) == [100 * s + i for s, n in enumerate(COUNTS) for i in range(n)]
    assert shown[:25] != shown[25:]
    assert [int(label.argmax()) for batch in found for label in batch.labels] == [number % 3 for number in shown]
    assert len(asked) == 5


def test_training_starts_before_all_is_there(shards):
    where, asked = shards
    stream = Shards(remote_shards(where), DataOptions(resolution="8"))
    assert stream.fetch(np.arange(3), seed=7)[0].shape == (3, 8, 8, 3)
    stream.close()
    assert len(asked) <= 4  # of two windows of two
    assert asked[0] == "/set-00.tar"


def test_resume_is_exact_also_where_the_cache_was_lost(shards, tmp_path):
    where, asked = shards
    whole = [numbers(batch) for batch in batches(where, range(0, 50, 5))]
    assert [numbers(batch) for batch in batches(where, [35, 40])] == whole[7:9]
    assert len(asked) == 5
    shutil.rmtree(tmp_path / "cache")
    assert [numbers(batch) for batch in batches(where, [20, 25])] == whole[4:6]


def test_the_cache_is_bounded(shards, tmp_path):
    where, asked = shards
    whole = [numbers(batch) for batch in batches(where, range(0, 75, 5))]
    shutil.rmtree(tmp_path / "cache")
    asked.clear()
    assert [numbers(batch) for batch in batches(where, range(0, 75, 5), kept=0)] == whole
    assert len(asked) > 5  # some were let go of and fetched again
    left = list((tmp_path / "cache" / "streams").glob("*/??????"))
    assert len(left) <= 5
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_two_processes_share_the_stream(shards):
    where, _ = shards
    options = DataOptions(resolution="8")
    parts = []
    for rank in range(2):
        with ShardLoader(Shards(remote_shards(where), options), seed=7, rank=rank, world=2) as loader:
            parts.append(numbers(loader.batch(20, 10)))
    options = DataOptions(resolution="8", labels="own")
    with ShardLoader(Shards(remote_shards(where), options), seed=7) as loader:
        assert parts[0] + parts[1] == numbers(loader.batch(20, 10))


@pytest.mark.parametrize("damage", ["missing", "page", "other count", "class"])
def test_a_bad_shard_is_told(shards, tmp_path, damage):
    where, _ = shards
    bad = tmp_path / "served" / "set-03.tar"
    if damage == "missing":
        bad.unlink()
    elif damage == "page":
        bad.write_text("<!doctype html><title>Quota exceeded</title>" + "x" * 20000)
    elif damage == "class":
        write_shard(bad, 300, 4, classes=100)
    else:
        batches(where, range(0, 25, 5), kept=0)
        for home in (tmp_path / "cache").glob("streams/*/??????"):
            shutil.rmtree(home)
        write_shard(bad, 300, 3)
    with pytest.raises(UserError, match=r"set-03\.tar: "):
        batches(where, range(0, 25, 5), kept=0)


def test_what_a_stream_cannot_do_is_said(shards):
    where, _ = shards
    with pytest.raises(UserError, match="--held-out can't be used with streamed shards"):
        Shards(remote_shards(where), DataOptions(held_out="5%"))


def test_training_on_a_stream_resumes_exactly(shards, tmp_path):
    where, _ = shards
    small = {
        "resolution": "8",
        "width": 4,
        "z_dim": 4,
        "batch": 5,
        "grid": "2x2",
        "metrics": "none",
        "snapshot_kimg": 0.02,
    }
    whole = train("dcgan", where, outdir=tmp_path / "a", kimg=0.04, **small)
    train("dcgan", where, outdir=tmp_path / "b", kimg=0.02, **small)
    again = train("dcgan", where, outdir=tmp_path / "b", kimg=0.04, **small)
    assert again.folder.name == whole.folder.name == "00000-dcgan-set-00-and-4-more"
    for name in ("nets", "ema"):
        files = [run.folder / "checkpoints" / "000000040" / f"{name}.safetensors" for run in (whole, again)]
        assert files[0].read_bytes() == files[1].read_bytes()
