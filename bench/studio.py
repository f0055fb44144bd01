"""How soon the studio's sliders answer: milliseconds from a request to its image, as the page would wait for them.

    python bench/studio.py                                 # stylegan2 and stylegan2-tiny, 64 to 256 pixels
    python bench/studio.py --presets dcgan --sizes 64      # others

The networks have random weights; an answer takes as long with trained ones. The studio runs in a process of its own at
a free port of 127.0.0.1, and one client asks, one request after the other, over a connection that stays open. Two
sliders: psi, whose code is kept and only truncated anew, and the seed, whose code is computed. Beside them, what the
image costs without a server, and what its formats cost; and the server's work for an answer, which is what both cores
together do.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from organza.contract.data import DataSpec
from organza.core.config import to_plain
from organza.core.version import __version__
from organza.media.images import to_image
from organza.models.generator import Generator
from organza.models.load import load_generator
from organza.presets import METHODS, preset
from organza.studio.codes import codes, draw
from organza.training import checkpoint
from organza.web.answers import png

JSON = {"Content-Type": "application/json"}


def write(name: str, size: int, folder: Path) -> None:
    """A preset's network with random weights, as a checkpoint."""
    torch.manual_seed(0)
    spec = DataSpec((size, size), 3)
    settings = preset(name).run.method.resolve(spec, 16)
    method = settings.build(spec)
    kind = next(name for name, each in METHODS.items() if each is type(settings))
    model = next(iter(method.models.values()))
    config = {"format": checkpoint.FORMAT, "organza": __version__, "method": kind}
    config |= {"spec": to_plain(spec), "config": to_plain(settings)}
    checkpoint.write(folder, config, {"ema": checkpoint.flatten({model.net: method.nets[model.net]})})


@contextlib.contextmanager
def studio(workspace: Path):
    """The port and the process of a studio."""
    words = [sys.executable, "-m", "organza", "studio", "--no-browser", "--port", "0", "--workspace", str(workspace)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if " at http://" in line)
        yield int(line.split(" at http://127.0.0.1:")[1].split(";")[0]), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.stderr.close()


def ask(connection, recipe):
    """Milliseconds that the client waits, and those of the server."""
    began = time.perf_counter()
    connection.request("POST", "/api/image", json.dumps(recipe), JSON)
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data
    return 1000 * (time.perf_counter() - began), float(answer.getheader("x-organza-ms")), len(data)


def spent(pid: int) -> float:
    """Milliseconds of work that a process has done, on all cores (Linux): other programs don't lengthen them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(times):
    """Median and 95th percentile."""
    return f"{statistics.median(times):6.1f} {statistics.quantiles(times, n=20)[-1]:6.1f}"


def encoded(image, **how):
    buffer = io.BytesIO()
    to_image(image).save(buffer, **how)
    return buffer.getvalue()


FORMATS = {
    "png 1": lambda image: png(image, 1),
    "png 4": lambda image: png(image, 4),
    "jpeg": lambda image: encoded(image, format="JPEG", quality=85),
    "webp": lambda image: encoded(image, format="WEBP", quality=85, method=0),
}


def bare(G: Generator, count: int):
    """Milliseconds of the image alone, and of its formats with their bytes."""
    ws, times = codes(G, [0]), []
    for _ in range(count):
        began = time.perf_counter()
        image = draw(G, ws)[0]
        times.append(1000 * (time.perf_counter() - began))
    formats = {}
    for name, encode in FORMATS.items():
        began = time.perf_counter()
        for _ in range(20):
            data = encode(image)
        formats[name] = (50 * (time.perf_counter() - began), len(data))
    return times, formats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["stylegan2-tiny", "stylegan2"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        names = [f"{name}-{size}" for name in args.presets for size in args.sizes]
        for name in names:
            write(*name.rsplit("-", 1)[:1], int(name.rsplit("-", 1)[1]), workspace / name)
        print("milliseconds: median and 95th percentile")
        print(f"{'network':22} {'psi slider':>14} {'seed slider':>14} {'work':>6} {'bare image':>14}  formats: ms, kB")
        with studio(workspace) as (port, pid):
            for name in names:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                for seed in range(5):
                    ask(connection, {"network": name, "seed": seed})
                before = spent(pid)
                psi = [
                    ask(connection, {"network": name, "seed": 1, "psi": n / args.count})[0] for n in range(args.count)
                ]
                seeds = [ask(connection, {"network": name, "seed": 100 + n})[0] for n in range(args.count)]
                work = (spent(pid) - before) / (2 * args.count)
                connection.close()
                G = load_generator(workspace / name, precision="auto")
                draw(G, codes(G, [0]))
                times, formats = bare(G, args.count // 2)
                kinds = ", ".join(f"{kind} {ms:.1f} {size / 1000:.0f}" for kind, (ms, size) in formats.items())
                print(
                    f"{name:22} {shown(psi):>14} {shown(seeds):>14} {work:6.1f} {shown(times):>14}  {kinds}", flush=True
                )


if __name__ == "__main__":
    main()
