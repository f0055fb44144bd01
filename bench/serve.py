"""What `organza serve` costs: images a second beside a bare loop, how long answers take, and a soak.

    python bench/serve.py                              # StyleGAN2 of 64x64 pixels with random weights: about 4 minutes
    python bench/serve.py --preset dcgan --batch 16    # another network, always 16 images at once
    python bench/serve.py --processes 2 --lanes 1      # two processes, asked by turns, as behind a proxy
    python bench/serve.py --soak 3600                  # an hour of mixed requests

Servers run in processes of their own at free ports of 127.0.0.1, and nothing else is asked. Bare loops and servers take
turns. There are three bare loops: one image at a time and 16 at once, each on PyTorch's own threads; and as many at
once as the server computes, in as many threads as it has lanes. The best counts.

In the soak clients ask for one to eight seeds at random, as PNG or JSON, and for translations; a fifth of the requests
is bad, and a tenth hangs up before the answer. Every answer is compared with the library's own, pixel for pixel.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from organza.contract.data import DataSpec
from organza.contract.model import Latents
from organza.core import cores
from organza.media.images import make_grid
from organza.models.generator import Generator
from organza.models.sampling import Sampling
from organza.models.translator import Translator
from organza.presets import preset
from organza.web.guard import Gate
from organza.web.limits import Limits
from organza.web.run import listen, run
from organza.web.served import Seeded, generating, serve

SEEDS = 48
JSON = {"Content-Type": "application/json"}


def network(name: str, size: int, source: int = 0) -> Generator | Translator:
    """A preset's network with random weights."""
    torch.manual_seed(0)
    spec = DataSpec((size, size), 3, source=source)
    method = preset(name).run.method.resolve(spec, 4).build(spec)
    model = next(iter(method.models.values()))
    net = method.nets[model.net].eval().requires_grad_(False)
    kind = Generator if isinstance(model, Latents) else Translator
    return kind(name, spec, model, net, None, torch.device("cpu"), torch.float32)


def painter() -> Translator:
    return network("pix2pix", 32, source=3)


def serving(args: argparse.Namespace) -> None:
    """The process of a server: it says its port, and runs until it is told to stop."""
    cores.keep()
    limits = Limits(batch=args.batch, wait_ms=args.wait_ms, lanes=args.lanes, queue=64)
    networks = {"g": serve("g", network(args.preset, args.size), limits), "t": serve("t", painter(), limits)}
    at = listen("127.0.0.1", 0)
    at.listen()
    print(at.getsockname()[1], flush=True)
    run(networks, limits, Gate(), at)


@contextlib.contextmanager
def servers(args: argparse.Namespace, argv: list[str]):
    """The processes and their ports."""
    words = [sys.executable, __file__, "--serving", *argv]
    found = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(args.processes)]
    try:
        ports = [int(process.stdout.readline()) for process in found]
        for port in ports:
            while ask(http.client.HTTPConnection("127.0.0.1", port, timeout=60), [0])[0] != 200:
                time.sleep(0.1)
        yield found, ports
    finally:
        for process in found:
            process.send_signal(signal.SIGTERM)
        for process in found:
            process.wait(60)


def ask(connection, seeds, how="png"):
    """Status and body."""
    connection.request("POST", "/v1/g/generate", json.dumps({"seeds": seeds, "format": how}), JSON)
    answer = connection.getresponse()
    return answer.status, answer.read()


def clients(ports, count, work):
    """``work(connection, number)`` in so many threads, each with a connection of its own."""
    turns = itertools.cycle(ports)
    own = [http.client.HTTPConnection("127.0.0.1", next(turns), timeout=120) for _ in range(count)]
    threads = [threading.Thread(target=work, args=[connection, number]) for number, connection in enumerate(own)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in own:
        connection.close()


def throughput(ports, seconds, count):
    """Images a second, asked one by one by ``count`` clients."""
    end, done = time.monotonic() + seconds, Counter()

    def work(connection, number):
        seed = number
        while time.monotonic() < end:
            status, _ = ask(connection, [seed % SEEDS])
            done[status] += 1
            seed += count

    began = time.monotonic()
    clients(ports, count, work)
    assert set(done) == {200}, done
    return done[200] / (time.monotonic() - began)


def bare(G, seconds, how, lanes, batch):
    """Images a second of a loop without a server."""
    default = torch.get_num_threads()
    done = itertools.count()
    end = time.monotonic() + seconds
    began = time.monotonic()

    def loop(first):
        if how == "lanes":
            torch.set_num_threads(1)
        step = {"one": 1, "batch": 16, "lanes": batch}[how]
        for start in itertools.count(first * 1000, step):
            if time.monotonic() >= end:
                return
            G.generate(range(start, start + step), batch=step)
            for _ in range(step):
                next(done)

    with ThreadPoolExecutor(lanes if how == "lanes" else 1) as pool:
        list(pool.map(loop, range(lanes if how == "lanes" else 1)))
    torch.set_num_threads(default)
    return next(done) / (time.monotonic() - began)


def latencies(ports, rate, seconds):
    """Seconds that answers take when requests come at random, ``rate`` a second in all."""
    rng, began, found = random.Random(0), time.monotonic(), []
    times = itertools.takewhile(lambda t: t < seconds, itertools.accumulate(iter(lambda: rng.expovariate(rate), None)))

    def one(at, port):
        time.sleep(max(0, began + at - time.monotonic()))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        status, _ = ask(connection, [int(at * 1000) % SEEDS])
        connection.close()
        found.append((time.monotonic() - began - at) if status == 200 else float("inf"))

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, times, itertools.cycle(ports)))
    return sorted(found)


def resident(pid):
    """Megabytes in memory."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).reshape(image.height, image.width, -1)


BAD = [
    b"{",
    b'{"seeds": []}',
    b'{"seeds": [0], "class": 1}',
    b'{"seeds": [-1]}',
    b'{"seeds": [0], "psi": NaN}',
    b"[" * 9999,
]


def soak(ports, pids, G, T, args, count):
    """Mixed requests; how they ended, and the memory of each process over time."""
    torch.set_num_threads(1)
    compute = generating(G, args.batch)
    expected = np.stack([compute([Seeded(seed, Sampling())])[0] for seed in range(SEEDS)])
    sources = [np.random.RandomState(seed).randint(0, 256, [40, 32, 3], np.uint8) for seed in range(4)]
    uploads = []
    for source in sources:
        buffer = io.BytesIO()
        Image.fromarray(source).save(buffer, format="PNG")
        uploads.append(buffer.getvalue())
    torch.set_num_threads(args.lanes)  # those of its lane: with others the last bits may differ
    painted = [T.photo(source).eight() for source in sources]
    torch.set_num_threads(1)
    ended, memory, end = Counter(), [], time.monotonic() + args.soak

    def work(connection, number):
        rng = random.Random(number)
        while time.monotonic() < end:
            kind = rng.random()
            if kind < 0.1:
                hang_up(rng.choice(ports), rng)
                ended["hung up"] += 1
            elif kind < 0.3:
                connection.request("POST", "/v1/g/generate", rng.choice(BAD), JSON)
                answer = connection.getresponse()
                answer.read()
                ended["refused" if answer.status in (400, 422) else f"WRONG: {answer.status} for a bad request"] += 1
            elif kind < 0.4:
                which = rng.randrange(len(uploads))
                connection.request("POST", "/v1/t/translate", uploads[which])
                answer = connection.getresponse()
                compare(answer.status, answer.read(), lambda data, which=which: (pixels(data), painted[which]))
            else:
                seeds = [rng.randrange(SEEDS) for _ in range(rng.randint(1, 8))]
                how = rng.choice(["png", "json"])
                status, data = ask(connection, seeds, how)
                compare(status, data, lambda data, seeds=seeds, how=how: (shown(data, how), wanted(seeds, how)))

    def shown(data, how):
        if how == "png":
            return pixels(data)
        return np.stack([pixels(base64.b64decode(each["png"])) for each in json.loads(data)["images"]])

    def wanted(seeds, how):
        images = expected[seeds]
        return images if how == "json" else images[0] if len(seeds) == 1 else make_grid(images)

    def compare(status, data, both):
        if status == 503:
            ended["come again"] += 1
            time.sleep(0.05)
        elif status != 200:
            ended[f"WRONG: {status}"] += 1
        else:
            found, right = both(data)
            ended["right" if np.array_equal(found, right) else "WRONG: pixels"] += 1

    def watch():
        while time.monotonic() < end:
            memory.append([resident(pid) for pid in pids])
            time.sleep(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    clients(ports, count, work)
    watcher.join()
    return ended, memory


def hang_up(port, rng):
    """Ask for much, and go: at once, or while it is computed."""
    body = json.dumps({"seeds": list(range(16))})
    head = "POST /v1/g/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body) + rng.randint(0, 1)}\r\n\r\n{body}".encode())
        time.sleep(rng.random() * 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="stylegan2-tiny")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--wait-ms", type=float, default=10)
    parser.add_argument("--lanes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--soak", type=float, default=120, help="seconds")
    parser.add_argument("--serving", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serving:
        serving(args)
        return
    G, T = network(args.preset, args.size), painter()
    lanes = args.lanes * args.processes
    count = 2 * lanes * args.batch + 2
    rates: dict[str, list[float]] = {"served": [], "one": [], "batch": [], "lanes": []}
    with servers(args, sys.argv[1:]) as (processes, ports):
        for _ in range(args.rounds):
            rates["served"].append(throughput(ports, args.seconds, count))
            for how in ("one", "batch", "lanes"):
                rates[how].append(bare(G, args.seconds, how, lanes, args.batch))
        middle = {how: statistics.median(found) for how, found in rates.items()}
        best = max(("one", "batch", "lanes"), key=lambda how: middle[how])
        print(f"{args.preset} {args.size}x{args.size}, batch {args.batch}, {args.processes} x {args.lanes} lanes")
        print("images/s: " + ", ".join(f"{how} {rate:.1f}" for how, rate in middle.items()), end="; ")
        ratios = [served / bare for served, bare in zip(rates["served"], rates[best], strict=True)]
        print(f"served is {statistics.median(ratios):.0%} of the best bare loop ({best}), {min(ratios):.0%} at least")
        found = latencies(ports, middle["served"] / 2, 4 * args.seconds)
        p50, p99 = (found[min(len(found) - 1, int(share * len(found)))] for share in (0.5, 0.99))
        print(f"at half load, {len(found)} requests: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms", flush=True)
        if args.soak:
            ended, memory = soak(ports, [process.pid for process in processes], G, T, args, count + 4)
            wrong = sum(number for name, number in ended.items() if name.startswith("WRONG"))
            print(f"soak of {args.soak:.0f} s: " + ", ".join(f"{name} {n}" for name, n in sorted(ended.items())))
            early = [max(row) for row in memory[len(memory) // 10 : len(memory) // 5 + 1]]
            late = [max(row) for row in memory[-max(1, len(memory) // 10) :]]
            print(
                f"wrong {wrong}; memory {statistics.median(early):.0f} MB early, {statistics.median(late):.0f} MB late"
            )


if __name__ == "__main__":
    main()
