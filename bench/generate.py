"""How fast images are drawn: StyleGAN2 configuration F (feature maps 32768 / size, at most 512; mapping of 8 layers).

    python bench/generate.py                             # 256 and 1024 pixels, batches of 1 and 8, on all cores
    python bench/generate.py --sizes 256 --batches 1 --repeats 10
    taskset -c 1 python bench/generate.py --threads 1    # one core of a machine that does other work

Contestants take turns, each in a process of its own: the fast way in bf16 and in float32, and the plain reference twin
in float32, laid out as PyTorch does by default and with the C library's own memory management, as a plain program
would run it. Beside stand the floor, which is the products of plain convolutions at the machine's measured peak
(Winograd's way goes below it), and the error against the reference, of images scaled to a deviation of 0.5.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import torch

from organza import ops
from organza.contract.data import DataSpec
from organza.core import device
from organza.methods.stylegan import stylegan2
from organza.models.generator import Generator

FORMATS = {"bf16": torch.bfloat16, "float32": torch.float32}


def network(size: int, base: int) -> Generator:
    torch.manual_seed(0)
    spec = DataSpec((size, size))
    method = stylegan2.StyleGAN2(channel_base=base, mapping_layers=8).resolve(spec, 4).build(spec)
    net = method.nets["G"].eval().requires_grad_(False)
    for name, value in net.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.1)
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)


def products(net: torch.nn.Module) -> float:
    """Multiplications and additions of one image's modulated 3x3 convolutions, in billions, without filters."""
    total = 0
    for module in net.modules():
        if isinstance(module, stylegan2.SynthesisLayer):
            pixels = module.noise_const.numel() // module.up**2  # a transposed convolution works on its input's
            total += 2 * module.weight.numel() * pixels
    return total / 1e9


def peak(dtype: torch.dtype) -> float:
    """Billions of operations in a second of a large matrix product, the best of several."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started) / 1e9)
    return best


def plain(G: Generator, z: torch.Tensor) -> torch.Tensor:
    """The reference twin, without channels last."""
    fast = stylegan2.to_compute
    stylegan2.to_compute = lambda x: x.contiguous()
    try:
        with ops.using("reference"), torch.no_grad():
            ws = G.latents.mapping(G.net, z, torch.zeros(len(z), 0))
            return G.latents.synthesis(G.net, ws, "const", None)
    finally:
        stylegan2.to_compute = fast


def work(mode: str, size: int, batch: int, base: int, result: str) -> None:
    """A contestant: draws once for each line that comes, and answers with the seconds; keeps the last images."""
    G = network(size, base)
    z = torch.randn(batch, G.z_dim, generator=torch.Generator().manual_seed(1))
    if mode == "reference":
        G.net.to(memory_format=torch.contiguous_format)
    else:
        device.keep_freed_memory()
        G = replace(G, dtype=FORMATS[mode])
    images = torch.zeros(())
    for _ in sys.stdin:
        started = time.perf_counter()
        images = plain(G, z) if mode == "reference" else G.synthesis(G.mapping(z))
        seconds = time.perf_counter() - started
        torch.save(images, result)
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)


def measure(size: int, batch: int, given: argparse.Namespace, peaks: dict[str, float], folder: str) -> None:
    """Let the contestants take turns, and print what came out."""
    modes = (*FORMATS, "reference")
    files = {mode: f"{folder}/{mode}.pt" for mode in modes}
    shape = [str(v) for v in (size, batch, given.base)]
    started = {
        mode: subprocess.Popen(
            [sys.executable, __file__, "--threads", str(given.threads), "--work", mode, *shape, files[mode]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mode in modes
    }
    repeats = given.repeats if size <= 256 else max(2, given.repeats // 2)
    times: dict[str, list[float]] = {mode: [] for mode in modes}
    memory: dict[str, float] = {}
    for turn in range(repeats + 1):
        for mode, process in started.items():
            if mode == "reference" and turn > max(1, repeats // 3):
                continue  # slow, and it varies little
            assert process.stdin is not None and process.stdout is not None
            print("go", file=process.stdin, flush=True)
            seconds, memory[mode] = map(float, process.stdout.readline().split())
            if turn:  # the first call folds weights and touches memory
                times[mode].append(seconds)
    for process in started.values():
        process.communicate()
    images = {mode: torch.load(file) for mode, file in files.items()}
    gflop = products(network(size, given.base).net)
    slow = min(times["reference"])
    print(f"{size}x{size}, batch {batch}: {gflop:.0f} GFLOP an image in convolutions; milliseconds an image:")
    for mode, values in times.items():
        least, usual = (pick(values) / batch * 1000 for pick in (min, statistics.median))
        line = f"  {mode:10}{least:7.0f} (median {usual:.0f}) {slow / min(values):6.2f}x  {memory[mode]:.2f} GiB"
        if mode in peaks:
            line += f"  floor {gflop / peaks[mode] * 1000:.0f} at {peaks[mode]:.0f} GFLOP/s"
            error = (images[mode] - images["reference"]) / images["reference"].std() / 4  # in [0, 1]
            psnr = -20 * error.square().mean().sqrt().log10()
            line += f"; mean error {255 * error.abs().mean():.3f}/255, PSNR {psnr:.1f} dB"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--base", type=int, default=32768)
    parser.add_argument("--repeats", type=int, default=6, help="the reference runs a third as often")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.work:
        mode, size, batch, base, result = given.work
        work(mode, int(size), int(batch), int(base), result)
        return
    with torch.no_grad():
        peaks = {name: peak(dtype) for name, dtype in FORMATS.items()}
    print(f"{given.threads} threads; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            for batch in given.batches:
                measure(size, batch, given, peaks, folder)


if __name__ == "__main__":
    main()
