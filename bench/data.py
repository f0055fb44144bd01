"""How fast data is built and read, as ratios to what the same machine does with Pillow alone.

    python bench/data.py [--data ../shared/data] [--quick] [--cpu]

Build: against a bare loop that reads each image from the zip, decodes, crops, resizes and encodes it with Pillow.
Reading: images per second of one core from the cache, and how the memory grows over a set that does not fit a budget.
Opening: a zip of 100,000 entries, and its cache.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from organza.data import DataOptions, Loader, open_dataset
from organza.data.cache import prepare
from organza.data.export.build import build
from organza.data.readers.archive import ZipSource


def cpu():
    """Seconds of processor time, with ended child processes."""
    return sum(os.times()[:4])


def timed(act, repeats=3, clock=time.perf_counter):
    best = float("inf")
    for _ in range(repeats):
        started = clock()
        act()
        best = min(best, clock() - started)
    return best


def bare_loop(source, side):
    """What Pillow needs by itself."""
    with zipfile.ZipFile(source) as file:
        for name in sorted(file.namelist()):
            if name.endswith((".jpg", ".png")):
                image = Image.open(io.BytesIO(file.read(name))).convert("RGB")
                short = min(image.size)
                left, top = (image.width - short) // 2, (image.height - short) // 2
                image = image.crop((left, top, left + short, top + short))
                image = image.resize((side, side), Image.Resampling.LANCZOS)
                image.save(io.BytesIO(), "PNG", compress_level=1)


def build_ratios(source, side, tmp, repeats, clock):
    options = DataOptions(resolution=str(side))
    floor = timed(lambda: bare_loop(source, side), repeats, clock)
    one, two = (
        timed(lambda w=w: build(source, tmp / "out.zip", options, workers=w, overwrite=True), repeats, clock)
        for w in (1, 2)
    )
    print(f"build {source.name} to {side}: bare loop {floor:.2f} s; one worker {one / floor:.2f}x of it", end="; ")
    print(
        f"two workers {two / one:.2f}x the processor time" if clock is cpu else f"two workers {one / two:.2f}x as fast"
    )


def rss(kind="VmRSS"):
    """Kilobytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reading(source, repeats):
    data = open_dataset(source, DataOptions(resolution="64"))
    rng = np.random.RandomState(0)
    batches = [rng.randint(0, len(data), 64) for _ in range(300)]
    spent = timed(lambda: [data.fetch(b) for b in batches], repeats)
    print(f"fetch 64x64 RGB: {300 * 64 / spent:,.0f} pictures/s as contiguous uint8")
    with Loader(data, seed=0) as loader:
        spent = timed(lambda: [loader.batch(i * 64, 64) for i in range(300)], repeats)
    print(f"loader: {300 * 64 / spent:,.0f} pictures/s as float32 batches")


def memory(tmp, gigabytes):
    """Random reading all over a cache of so many GB."""
    count = int(gigabytes * 2**30) // (256 * 256 * 3)
    folder = tmp / "big-0"
    folder.mkdir()
    with open(folder / "images.u8", "wb") as file:
        block = np.random.RandomState(0).bytes(256 * 256 * 3 * 64)
        for _ in range(count // 64 + 1):
            file.write(block)
        file.truncate(count * 256 * 256 * 3)
    meta = prepare.Meta(prepare.FORMAT, "bench", (256, 256), 3, 0, (), count, count, None, ())
    from organza.data.dataset import Dataset

    data = Dataset("big", folder, meta)
    rng = np.random.RandomState(0)
    data.fetch(rng.randint(0, count, 64))
    before = rss()
    for _ in range(2 * count // 64):
        data.fetch(rng.randint(0, count, 64))
    print(f"memory while reading {gigabytes} GB twice over: {(rss() - before) / 1024:+.0f} MB")


def opening(tmp, repeats):
    path = tmp / "many.zip"
    with zipfile.ZipFile(path, "w") as file:
        picture = io.BytesIO()
        Image.new("L", (4, 4)).save(picture, "PNG")
        for i in range(100_000):
            file.writestr(zipfile.ZipInfo(f"{i // 1000:05d}/img{i:08d}.png"), picture.getvalue())
    print(f"open a zip of 100,000: {timed(lambda: ZipSource(path).entries(), repeats):.2f} s", end="; ")
    print(f"(zipfile: {timed(lambda: zipfile.ZipFile(path).close(), 1):.2f} s)", end="; ")
    os.environ["ORGANZA_CACHE"] = str(tmp / "cache")
    open_dataset(path)
    print(f"its cache: {timed(lambda: open_dataset(path), repeats) * 1000:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--quick", action="store_true", help="each thing once, and 1 GB instead of 4")
    parser.add_argument("--cpu", action="store_true", help="count processor time: for machines that do other work too")
    given = parser.parse_args()
    repeats = 1 if given.quick else 3
    with tempfile.TemporaryDirectory() as name:
        tmp = Path(name)
        os.environ["ORGANZA_CACHE"] = str(tmp / "cache")
        if given.data.is_dir():
            for source in ("anime_faces.zip", "selfie2anime.zip"):
                for side in (64, 256):
                    build_ratios(given.data / source, side, tmp, repeats, cpu if given.cpu else time.perf_counter)
            reading(given.data / "anime_faces.zip", repeats)
        memory(tmp, 1 if given.quick else 4)
        opening(tmp, repeats)


if __name__ == "__main__":
    main()
