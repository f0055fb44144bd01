"""Train organza64, the feature network that comes with the package: about ten minutes of one processor core in bf16.

    python bench/train_organza64.py --data ../shared/data --out organza64.safetensors --bf16

Images: anime faces with hair and eye colours, CelebA photographs with 40 attributes, emoji with categories, digits,
selfies, facades and their label maps, and faces that Organza draws itself. One linear layer on the features must tell:

- which set an image is from, and what the set's labels say;
- a thumbnail of 8x8 pixels, so that the features know layout and colour;
- what was done to it, and how strongly (`DISTORTIONS`: the kinds of things that generators get wrong), and how it
  was turned.

Batch normalisation is folded into the convolutions at the end; each feature is scaled to unit spread over the images.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import CHOICES, NUMBERS, ground_truth, random_faces
from organza.vision.features.organza64 import DIM, LAYERS, SIZE, Organza64

SETS = ("anime", "celeba", "emoji", "digits", "faces", "selfies", "anime256", "facades", "labelmaps")
SHARES = (0.28, 0.22, 0.10, 0.08, 0.20, 0.03, 0.02, 0.04, 0.03)
MIRRORED = ("anime", "celeba", "emoji", "selfies", "anime256", "facades", "labelmaps")
DISTORTIONS = (
    "none", "noise", "blur", "jpeg", "low resolution", "shuffled patches", "warp", "colour", "erased", "ghost",
    "grid", "contrast", "stains", "collage",
)  # fmt: skip
FACE_SIZES = tuple(len(options) for options in CHOICES.values())
HELD_OUT = 0.1


# ---------------------------------------------------------------- images


def square(image: Image.Image) -> np.ndarray:
    """The middle square on white, 64x64."""
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    w, h = image.size
    side = min(w, h)
    left, top = (w - side) // 2, (h - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))


def gather(root: Path, faces: int, digits: int) -> dict[str, dict[str, np.ndarray]]:
    """Each set's images, uint8 ``[N, 64, 64, 3]``, and its labels."""
    rng = np.random.RandomState(0)
    sets: dict[str, dict[str, np.ndarray]] = {}

    with zipfile.ZipFile(root / "anime_faces.zip") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file.open("captions.csv"), "utf-8")))
        found = {key: sorted({row[key] for row in rows if row[key]}) for key in ("hair", "eyes")}
        sets["anime"] = {"images": np.stack([square(Image.open(file.open(row["file"]))) for row in rows])} | {
            key: np.array([names.index(row[key]) if row[key] else -1 for row in rows]) for key, names in found.items()
        }

    with zipfile.ZipFile(root / "celeba_small.zip") as file:
        lines = file.read("list_attr_celeba.txt").decode().splitlines()[2:]
        labels = np.array([[int(value) for value in line.split()[1:]] for line in lines])
        pictures = [square(Image.open(file.open(f"img_align_celeba/{line.split()[0]}"))) for line in lines]
        sets["celeba"] = {"images": np.stack(pictures), "attributes": (labels + 1) / 2}

    with zipfile.ZipFile(root / "emoji.zip") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file.open("captions.csv"), "utf-8")))
        known = [name for name in sorted({row["category"] for row in rows}) if name]
        sets["emoji"] = {
            "images": np.stack([square(Image.open(file.open(row["file"]))) for row in rows]),
            "category": np.array([known.index(row["category"]) if row["category"] else -1 for row in rows]),
        }

    names = ("images-idx3", "labels-idx1")
    raw = [gzip.decompress((root / f"mnist/train-{name}-ubyte.gz").read_bytes()) for name in names]
    images = np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 28, 28)[:digits]
    labels = np.frombuffer(raw[1], np.uint8, offset=8)[:digits]
    pictures = []
    for image in images:
        ink, paper = (255, 0) if rng.rand() < 0.5 else (rng.randint(0, 256, 3), rng.randint(0, 256, 3))
        part = np.asarray(square(Image.fromarray(image)), np.float32) / 255
        pictures.append((part * ink + (1 - part) * paper).astype(np.uint8))
    sets["digits"] = {"images": np.stack(pictures), "digit": labels.astype(np.int64)}

    drawn = list(random_faces(faces, seed=64))
    truth = np.stack([ground_truth(face) for face in drawn])
    low, high = np.array(list(NUMBERS.values())).T
    sets["faces"] = {
        "images": np.stack([draw(face, SIZE) for face in drawn]),
        "choices": truth[:, : len(CHOICES)].astype(np.int64),
        "numbers": (truth[:, len(CHOICES) :] - low) / (high - low) * 2 - 1,
    }

    with zipfile.ZipFile(root / "selfie2anime.zip") as file:
        for name, folder in (("selfies", "A/"), ("anime256", "B/")):
            pictures = [image for entry in file.namelist() if f"{folder}" in entry and entry.endswith("g")
                        for image in crops(Image.open(file.open(entry)), rng)]  # fmt: skip
            sets[name] = {"images": np.stack(pictures)}
    with zipfile.ZipFile(root / "facades.zip") as file:
        pairs = [Image.open(file.open(entry)).convert("RGB") for entry in file.namelist() if entry.endswith(".jpg")]
        for name, left in (("facades", 0), ("labelmaps", 256)):
            halves = [pair.crop((left, 0, left + 256, 256)) for pair in pairs]
            sets[name] = {"images": np.stack([image for half in halves for image in crops(half, rng)])}
    return sets


def crops(image: Image.Image, rng: np.random.RandomState, count: int = 4) -> list[np.ndarray]:
    """The whole image and some parts of it: for sets of a few hundred."""
    found = [square(image)]
    for _ in range(count - 1):
        side = int(min(image.size) * rng.uniform(0.6, 0.95))
        x, y = rng.randint(0, image.width - side + 1), rng.randint(0, image.height - side + 1)
        found.append(square(image.crop((x, y, x + side, y + side))))
    return found


def split(sets: dict[str, dict[str, np.ndarray]]) -> tuple[dict, dict]:
    """Training and held-out parts; parts of one image stay together."""
    train, test = {}, {}
    for name, entry in sets.items():
        count = len(entry["images"])
        together = 4 if name in ("selfies", "anime256", "facades", "labelmaps") else 1
        groups = np.random.RandomState(1).rand(-(-count // together)) < HELD_OUT
        held = groups.repeat(together)[:count]
        train[name] = {key: torch.from_numpy(value[~held]) for key, value in entry.items()}
        test[name] = {key: torch.from_numpy(value[held]) for key, value in entry.items()}
    return train, test


# ---------------------------------------------------------------- what is done to images


def smooth_noise(n: int, channels: int, cells: int, rng: torch.Generator) -> torch.Tensor:
    """Noise that changes slowly, ``[n, channels, 64, 64]``."""
    return F.interpolate(torch.randn(n, channels, cells, cells, generator=rng), (SIZE, SIZE), mode="bicubic")


def blurred(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Each image with its own Gaussian."""
    at = torch.arange(-7.0, 8.0)
    taps = torch.exp(-(at**2) / (2 * sigma[:, None] ** 2))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = F.pad(x, (7, 7, 7, 7), mode="replicate").reshape(1, -1, SIZE + 14, SIZE + 14)
    flat = F.conv2d(flat, taps[:, None, :, None], groups=len(taps))
    return F.conv2d(flat, taps[:, None, None, :], groups=len(taps)).reshape(x.shape)


def shuffled(x: torch.Tensor, s: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A share of the blocks of 8 or 16 pixels, moved about."""
    out = x.clone()
    for i in range(len(x)):
        size = (8, 16)[int(torch.randint(2, (), generator=rng))]
        blocks = F.unfold(x[i : i + 1], size, stride=size)
        count = max(2, round(float(s[i]) * blocks.shape[2]))
        chosen = torch.randperm(blocks.shape[2], generator=rng)[:count]
        blocks[:, :, chosen] = blocks[:, :, chosen.roll(1)]
        out[i] = F.fold(blocks, (SIZE, SIZE), size, stride=size)[0]
    return out


def squeezed(x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Through JPEG, quality 70 to 5."""
    out = []
    for picture, strength in zip(x.round().byte().permute(0, 2, 3, 1).numpy(), s.tolist(), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=round(70 - 65 * strength))
        out.append(torch.from_numpy(np.array(Image.open(buffer))))
    return torch.stack(out).permute(0, 3, 1, 2).float()


def coarse(x: torch.Tensor, s: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Made small and large again, smoothly or in squares."""
    out = []
    for i in range(len(x)):
        size = round(48 - 40 * float(s[i]))
        how = ("bilinear", "nearest", "bicubic")[int(torch.randint(3, (), generator=rng))]
        small = F.interpolate(x[i : i + 1], (size, size), mode="bicubic", antialias=True)
        out.append(F.interpolate(small, (SIZE, SIZE), mode=how))
    return torch.cat(out)


def boxes(n: int, s: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Masks ``[n, 1, 64, 64]`` of one box that covers 3 to 50 per cent."""
    area = 0.03 + 0.47 * s
    ratio = torch.exp(torch.empty(n).uniform_(-0.7, 0.7, generator=rng))
    h, w = ((area * ratio).sqrt() * SIZE).clamp(2, 60), ((area / ratio).sqrt() * SIZE).clamp(2, 60)
    y, x = torch.rand(n, generator=rng) * (SIZE - h), torch.rand(n, generator=rng) * (SIZE - w)
    at = torch.arange(SIZE)
    rows = (at >= y[:, None]) & (at < (y + h)[:, None])
    columns = (at >= x[:, None]) & (at < (x + w)[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None].float()


def distort(kind: str, x: torch.Tensor, s: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Images ``[n, 3, 64, 64]``, 0 to 255, distorted with strengths ``s`` ``[n]`` from 0 (hardly) to 1 (heavily)."""
    n, k = len(x), s[:, None, None, None]
    sign = torch.randint(0, 2, (n, 1, 1, 1), generator=rng) * 2.0 - 1
    if kind == "noise":
        grey = torch.randint(0, 2, (n, 1, 1, 1), generator=rng).float()
        noise = torch.randn(x.shape, generator=rng)
        x = x + (3 + 57 * k**1.5) * (noise * (1 - grey) + noise[:, :1] * grey)
    elif kind == "blur":
        x = blurred(x, 0.4 + 2.6 * s)
    elif kind == "jpeg":
        x = squeezed(x, s)
    elif kind == "low resolution":
        x = coarse(x, s, rng)
    elif kind == "shuffled patches":
        x = shuffled(x, s, rng)
    elif kind == "warp":
        cells = (4, 7, 12)[int(torch.randint(3, (), generator=rng))]
        grid = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), list(x.shape), align_corners=False)
        moved = smooth_noise(n, 2, cells, rng).permute(0, 2, 3, 1) * (0.015 + 0.14 * k)
        x = F.grid_sample(x, grid + moved, padding_mode="reflection", align_corners=False)
    elif kind == "colour":
        gain = 1 + 0.6 * k * torch.randn(n, 3, 1, 1, generator=rng)
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * (1 + sign * k) if float(sign[0]) > 0 else x * gain + 60 * k * (gain - 1)
    elif kind == "erased":
        mask = boxes(n, s, rng)
        fill = torch.rand(n, 3, 1, 1, generator=rng) * 255
        x = x * (1 - mask) + fill * mask
    elif kind == "ghost":
        x = x * (1 - 0.5 * k) + x.roll(1, 0) * 0.5 * k
    elif kind == "grid":
        period = (2, 4, 8)[int(torch.randint(3, (), generator=rng))]
        at = (torch.arange(SIZE) % period == 0).float()
        x = x + sign * (6 + 50 * k) * (at[:, None] + at - 2 / period)
    elif kind == "contrast":
        mean = x.mean((1, 2, 3), keepdim=True)
        power = torch.exp(0.9 * sign * k)
        x = mean + (x - mean) * power if float(sign[0]) > 0 else (x / 255).clamp(0, 1) ** power * 255
    elif kind == "stains":
        cells = (3, 6, 10)[int(torch.randint(3, (), generator=rng))]
        x = x + (8 + 60 * k) * smooth_noise(n, 3, cells, rng)
    elif kind == "collage":
        mask = blurred(boxes(n, s, rng).expand(-1, 3, -1, -1), torch.full((n,), 1.0))
        x = x * (1 - mask) + x.roll(1, 0) * mask
    return x.clamp(0, 255)


# ---------------------------------------------------------------- tasks

Batch = dict[str, torch.Tensor]


class Tasks(nn.Module):
    """One linear layer for everything that is asked of the features."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.linear = nn.Linear(DIM, sum(sizes.values()))

    def forward(self, features: torch.Tensor) -> Batch:
        parts = self.linear(features).split(list(self.sizes.values()), 1)
        return dict(zip(self.sizes, parts, strict=True))


class Trained(nn.Module):
    """Organza64 with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(i, o, k, stride=s, padding=1, bias=False) for i, o, k, s in LAYERS)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in LAYERS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            y = F.leaky_relu(norm(layer(x)), 0.1)
            x = y if index % 2 == 0 else x + y
        return x.float().mean((2, 3))

    def folded(self) -> Organza64:
        """The same function without batch normalisation."""
        net = Organza64()
        with torch.no_grad():
            for ours, layer, norm in zip(net.layers, self.layers, self.norms, strict=True):
                factor = norm.weight / (norm.running_var + norm.eps).sqrt()
                ours.weight.copy_(layer.weight * factor[:, None, None, None])
                ours.bias.copy_(norm.bias - norm.running_mean * factor)
        return net.eval().requires_grad_(False)


def draw_batch(sets: dict, size: int, rng: torch.Generator) -> Batch:
    """Images of all sets, half of them distorted, with what the tasks must tell."""
    counts = torch.multinomial(torch.tensor(SHARES), size, True, generator=rng).bincount(minlength=len(SETS))
    images, parts = [], []
    for name, count in zip(SETS, counts.tolist(), strict=True):
        chosen = torch.randint(len(sets[name]["images"]), (count,), generator=rng)
        picked = sets[name]["images"][chosen].permute(0, 3, 1, 2).float()
        if name in MIRRORED:
            flip = torch.randint(0, 2, (count,), generator=rng).bool()
            picked[flip] = picked[flip].flip(3)
        images.append(picked)
        parts.append({key: value[chosen] for key, value in sets[name].items() if key != "images"})
    x = torch.cat(images)
    batch: Batch = {"set": torch.arange(len(SETS)).repeat_interleave(counts), "thumbnail": None}
    starts = [0, *counts.cumsum(0).tolist()]
    for index, entry in enumerate(parts):
        for key, value in entry.items():
            whole = torch.full((size, *value.shape[1:]), -9, dtype=value.dtype)
            whole[starts[index] : starts[index + 1]] = value
            batch[key] = whole

    # A shuffled order, so that ghosts and collages come from other sets as well.
    order = torch.randperm(size, generator=rng)
    x = x[order]
    batch = {key: value[order] for key, value in batch.items() if value is not None}
    kind = torch.randint(1, len(DISTORTIONS), (size,), generator=rng)
    kind[torch.rand(size, generator=rng) < 0.5] = 0
    strength = torch.rand(size, generator=rng)
    for index, name in enumerate(DISTORTIONS[1:], 1):
        which = (kind == index).nonzero()[:, 0]
        if len(which):
            x[which] = distort(name, x[which], strength[which], rng)
    turn = torch.where(torch.rand(size, generator=rng) < 0.25, torch.randint(0, 4, (size,), generator=rng), 0)
    for quarter in (1, 2, 3):
        x[turn == quarter] = x[turn == quarter].rot90(quarter, (2, 3))
    small = F.avg_pool2d(x, 8).flatten(1) / 127.5 - 1
    whole = ((kind == 0) | (strength < 0.5)) & (turn == 0)
    more = {"kind": kind, "strength": strength, "turn": turn, "thumbnail": small, "whole": whole}
    return {"images": x.round()} | batch | more


def losses(said: Batch, batch: Batch) -> Batch:
    """One number for each task; labels count where the image is not spoilt."""
    good = batch["whole"]

    def classes(head: str, truth: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(said[head][where], truth[where]) if where.any() else said[head].sum() * 0

    found = {
        "set": classes("set", batch["set"], torch.ones_like(good)),
        "kind": classes("kind", batch["kind"], torch.ones_like(good)),
        "turn": classes("turn", batch["turn"], batch["set"] != SETS.index("labelmaps")),
        "thumbnail": (said["thumbnail"] - batch["thumbnail"]).square().mean() * 4,
    }
    for name in ("hair", "eyes", "category", "digit"):
        found[name] = classes(name, batch[name], good & (batch[name] >= 0)) * 0.7
    bad = batch["kind"] > 0
    found["strength"] = (said["strength"][bad, 0] - batch["strength"][bad]).square().mean() * 8
    rows = good & (batch["attributes"][:, 0] >= 0)
    found["attributes"] = (
        F.binary_cross_entropy_with_logits(said["attributes"][rows], batch["attributes"][rows].float()) * 3
    )
    rows = good & (batch["choices"][:, 0] >= 0)
    parts = said["choices"][rows].split(FACE_SIZES, 1)
    truth = batch["choices"][rows].unbind(1)
    found["choices"] = sum(map(F.cross_entropy, parts, truth)) / len(parts) * 1.5
    found["numbers"] = (said["numbers"][rows] - batch["numbers"][rows].float()).square().mean() * 2
    return found


def held_out(net: nn.Module, tasks: Tasks, sets: dict) -> dict[str, float]:
    """Accuracies on images that were not trained on."""
    rng = torch.Generator().manual_seed(7)
    tallies: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad():
        for _ in range(24):
            batch = draw_batch(sets, 128, rng)
            said, good = tasks(net(batch["images"])), batch["whole"]
            everywhere = torch.ones_like(good)
            clean = good & (batch["kind"] == 0)
            for name, where in (
                ("set", clean), ("kind", everywhere), ("turn", batch["set"] < 2),
                ("hair", clean & (batch["hair"] >= 0)), ("eyes", clean & (batch["eyes"] >= 0)),
                ("category", clean & (batch["category"] >= 0)), ("digit", clean & (batch["digit"] >= 0)),
            ):  # fmt: skip
                tallies.setdefault(name, []).append((said[name].argmax(1) == batch[name])[where].float())
            rows = clean & (batch["attributes"][:, 0] >= 0)
            right = (said["attributes"][rows] > 0) == (batch["attributes"][rows] > 0.5)
            tallies.setdefault("attributes", []).append(right.float().mean(1))
            rows = clean & (batch["choices"][:, 0] >= 0)
            parts = said["choices"][rows].split(FACE_SIZES, 1)
            right = torch.stack([p.argmax(1) for p in parts], 1) == batch["choices"][rows]
            tallies.setdefault("choices", []).append(right.float().mean(1))
    return {name: round(torch.cat(values).mean().item(), 4) for name, values in tallies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="an .npz to keep the prepared images in")
    parser.add_argument("--steps", type=int, default=3250)
    parser.add_argument("--cool", type=int, default=200, help="the last steps, in which the rate falls to 0")
    parser.add_argument("--state", type=Path, help="where to keep the state every 50 steps, to go on from it later")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--digits", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="twice as fast where the processor has it")
    arguments = parser.parse_args()

    if arguments.cache and arguments.cache.exists():
        with np.load(arguments.cache) as file:
            sets: dict = {}
            for key in file.files:
                sets.setdefault(key.split(".")[0], {})[key.split(".")[1]] = file[key]
    else:
        sets = gather(arguments.data, arguments.faces, arguments.digits)
        if arguments.cache:
            np.savez(arguments.cache, **{f"{a}.{b}": value for a, part in sets.items() for b, value in part.items()})
    train, test = split(sets)
    print({name: (len(train[name]["images"]), len(test[name]["images"])) for name in SETS}, flush=True)

    torch.manual_seed(arguments.seed)
    sizes = {
        "set": len(SETS), "kind": len(DISTORTIONS), "strength": 1, "turn": 4, "thumbnail": 192,
        "hair": int(sets["anime"]["hair"].max()) + 1, "eyes": int(sets["anime"]["eyes"].max()) + 1,
        "category": int(sets["emoji"]["category"].max()) + 1, "digit": 10, "attributes": 40,
        "choices": sum(FACE_SIZES), "numbers": len(NUMBERS),
    }  # fmt: skip
    net, tasks = Trained().to(memory_format=torch.channels_last), Tasks(sizes)
    parameters = [*net.parameters(), *tasks.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.02)
    first = 0
    if arguments.state and arguments.state.exists():
        state = torch.load(arguments.state)
        for module in (net, tasks, optimizer):
            module.load_state_dict(state.pop(type(module).__name__))
        first = state["step"]

    started = time.process_time()
    for step in range(first, arguments.steps):
        # Each step has its own numbers, so a run that was interrupted ends as if it had not been.
        rng = torch.Generator().manual_seed(arguments.seed * 1_000_003 + step)
        optimizer.param_groups[0]["lr"] = arguments.rate * min(
            1, (step + 1) / 60, (arguments.steps - step) / arguments.cool
        )
        batch = draw_batch(train, arguments.batch, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            features = net(batch["images"])
        found = losses(tasks(features.float()), batch)
        optimizer.zero_grad()
        sum(found.values()).backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        if arguments.state and (step + 1) % 50 == 0 and step + 1 <= arguments.steps - arguments.cool:
            parts = {type(module).__name__: module.state_dict() for module in (net, tasks, optimizer)}
            torch.save({"step": step + 1} | parts, arguments.state)
        if step % 50 == 0 or step == arguments.steps - 1:
            parts = " ".join(f"{name} {value.item():.2f}" for name, value in found.items())
            print(f"{step:5d} {time.process_time() - started:5.0f} s  {parts}", flush=True)

    # The running statistics of bf16 steps lag behind: measure them once more with the weights as they are.
    for norm in net.norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for _ in range(30):
            net(draw_batch(train, arguments.batch, rng)["images"])
    net.eval()
    plain = net.folded()
    print("held out:", scores := held_out(net, tasks, test), flush=True)

    clean = torch.cat([train[name]["images"][:800] for name in SETS]).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        spread = torch.cat([plain(part) for part in clean.split(256)]).std(0)
    plain.scale.copy_(1 / spread.clamp(min=1e-3))
    kept = ("steps", "cool", "batch", "rate", "seed", "bf16", "faces", "digits")
    about = {
        "about": "organza64: features of 64x64 images for the metrics of Organza; bench/train_organza64.py made it",
        "recipe": json.dumps({name: getattr(arguments, name) for name in kept}),
        "held_out": json.dumps(scores),
        "trained_on": "anime faces (8,000), CelebA (6,128 photographs, for research and not for trade), EmojiOne emoji "
        "(CC BY 4.0), MNIST (CC BY-SA 3.0), selfie2anime (410), CMP facades (400 pairs), Organza's drawn faces",
        "licence": "Apache-2.0 for the weights as far as they are ours to license; no image is in them",
    }  # fmt: skip
    tensors = {name: value.half().contiguous() for name, value in plain.state_dict().items()}
    save_file(tensors, arguments.out, about)
    print(
        f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {time.process_time() - started:.0f} s of processor"
    )


if __name__ == "__main__":
    main()
