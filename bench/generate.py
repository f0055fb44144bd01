"""How fast pictures are drawn: StyleGAN2 configuration F (feature maps 32768 / size, at most 512; mapping of 8 layers).

    python bench/generate.py                             # 256 and 1024 pixels, batches of 1 and 8, on all cores
    python bench/generate.py --sizes 256 --batches 1 --repeats 10
    taskset -c 1 python bench/generate.py --threads 1    # one core of a machine that does other work

Contestants take turns: the fast way in bf16 and in float32, and the plain reference twin in float32, laid out as
PyTorch does by default. They run in one process, so their ratios belong together; the C library keeps freed memory for
all. Beside stand the floor, which is the products of the convolutions at the machine's measured peak, and the error
against the reference, of pictures scaled to a deviation of 0.5 in [-1, 1].
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time

import torch

from organza import ops
from organza.core import device
from organza.core.method import DataSpec
from organza.generator import Generator
from organza.methods import stylegan2

FORMATS = {"bf16": torch.bfloat16, "float32": torch.float32}


def network(size: int, base: int) -> Generator:
    torch.manual_seed(0)
    spec = DataSpec((size, size))
    method = stylegan2.StyleGAN2(channel_base=base, mapping_layers=8).resolve(spec, 4).build(spec)
    net = method.nets["G"].eval().requires_grad_(False)
    for name, value in net.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.1)
    return Generator("stylegan2", spec, method.latents, net, None, torch.device("cpu"), torch.float32)


def products(net: torch.nn.Module) -> float:
    """Multiplications and additions of one picture's modulated 3x3 convolutions, in billions, without filters."""
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


def measure(size: int, batch: int, base: int, repeats: int, peaks: dict[str, float]) -> None:
    G = network(size, base)
    copy = network(size, base)
    copy.net.to(memory_format=torch.contiguous_format)
    z = torch.randn(batch, G.z_dim, generator=torch.Generator().manual_seed(1))
    both = {name: Generator(G.kind, G.spec, G.latents, G.net, None, G.device, FORMATS[name]) for name in FORMATS}
    contestants = {
        **{name: lambda one=one: one.synthesis(one.mapping(z)) for name, one in both.items()},
        "reference": lambda: plain(copy, z),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    images = {}
    for turn in range(repeats + 1):
        for name, draw in contestants.items():
            if name == "reference" and turn > max(1, repeats // 3):
                continue  # slow, and it varies little
            started = time.perf_counter()
            images[name] = draw()
            if turn:
                times[name].append(time.perf_counter() - started)
    best = {name: min(values) / batch for name, values in times.items()}
    gflop = products(G.net)
    print(f"{size}x{size}, batch {batch}: {gflop:.0f} GFLOP a picture in convolutions; milliseconds a picture:")
    for name, values in times.items():
        line = f"  {name:10} {best[name] * 1000:7.0f} (median {statistics.median(values) / batch * 1000:.0f})"
        line += f"  {best['reference'] / best[name]:5.2f}x"
        if name in peaks:
            line += f"  floor {gflop / peaks[name] * 1000:.0f} at {peaks[name]:.0f} GFLOP/s"
            error = (images[name] - images["reference"]) / images["reference"].std() / 4  # in [0, 1]
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
    given = parser.parse_args()
    device.keep_freed_memory()
    torch.set_num_threads(given.threads)
    with torch.no_grad():
        peaks = {name: peak(dtype) for name, dtype in FORMATS.items()}
    print(f"{given.threads} threads; torch {torch.__version__}")
    for size in given.sizes:
        for batch in given.batches:
            measure(size, batch, given.base, given.repeats if size <= 256 else max(3, given.repeats // 2), peaks)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
