"""Train voile64, the feature network that comes with the package: a quarter of an hour of one processor core in bf16.

    python bench/train_voile64.py --data ../shared/data --out voile64.safetensors --bf16

Images: only such as may be used by anybody for anything, with names where their licence wants it (`SETS`). One linear
layer on the features must tell:

- which set an image is from, and what the set's labels say: a class for each column of its table;
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
from organza.vision.features.voile64 import DIM, LAYERS, SIZE, Voile64

SETS = {
    "lorelei": (
        0.13,
        ("hair", "head", "eyes", "eyebrows", "nose", "mouth", "hairColor", "skinColor", "glasses", "beard"),
    ),
    "pixel": (0.13, ("clothing", "eyes", "mouth", "hair", "clothingColor", "hairColor", "skinColor", "glasses", "hat")),
    "avatars": (0.08, ("style", "hairColor", "skinColor", "nose")),
    "portraits": (0.12, ("gender", "grey", "born")),
    "photos": (0.14, ("label",)),
    "emoji": (0.06, ("category",)),
    "vendors": (0.07, ("category", "vendor")),
    "glyphs": (0.06, ("char", "category")),
    "digits": (0.05, ("digit",)),
    "peeps": (0.04, ("head", "face", "skinColor")),
    "lines": (0.02, ("head", "face")),
    "faces": (0.10, ()),
}
"""Set -> its share of what is shown, and the columns that features must tell."""
SOURCES = (
    "DiceBear avatars: lorelei, pixel-art, open-peeps (CC0), personas, micah, adventurer (CC BY 4.0), avataaars (free "
    "for any use); 874 portraits in the public domain; 2,950 photographs: flowers (CC BY 2.0), groceries (MIT, Marcus "
    "Klasson), clothing (CC0); emoji: EmojiOne (CC BY 4.0), Twemoji (CC BY 4.0), Noto (Apache 2.0), Fluent (MIT); "
    "letters of 165 fonts (OFL 1.1, Apache 2.0); MNIST (CC BY-SA 3.0); Organza's drawn faces"
)
MIRRORED = ("lorelei", "pixel", "avatars", "portraits", "photos", "emoji", "vendors", "peeps", "lines")
CROPPED = ("portraits", "photos")
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
    """Each set's images, uint8 ``[N, 64, 64, 3]``, and its labels: classes by column, -1 where nothing is said."""
    rng = np.random.RandomState(0)
    sets: dict[str, dict[str, np.ndarray]] = {}
    for name, file in (
        ("lorelei", "avatars_lorelei"),
        ("pixel", "avatars_pixel"),
        ("avatars", "avatars"),
        ("portraits", "portraits_pd"),
        ("photos", "photos_clean"),
        ("glyphs", "glyphs"),
        ("vendors", "emoji_vendors"),
        ("peeps", "peeps_lines"),
    ):
        with zipfile.ZipFile(root / f"{file}.zip") as archive:
            rows = [json.loads(line) for line in archive.read("attributes.jsonl").decode().splitlines()]
            if name == "vendors":
                folders = sorted({entry.split("/")[0] for entry in archive.namelist() if entry.endswith(".png")})
                rows = [{**row, "vendor": at, "file": f"{at}/{row['file']}"} for row in rows for at in folders]
            if name == "avatars":
                rows = [{**row, "style": row["file"].split("/")[0]} for row in rows]
            for row in rows:
                row["born"] = row["born"] // 10 if row.get("born") else None
            images = [Image.open(archive.open(row["file"])).convert("RGB") for row in rows]
        if name == "peeps":  # pairs: coloured, and its lines
            for side, left in (("peeps", 0), ("lines", 128)):
                halves = [square(image.crop((left, 0, left + 128, 128))) for image in images]
                sets[side] = {"images": np.stack(halves)} | classes(rows, SETS[side][1])
            continue
        times = 4 if name in CROPPED else 1
        shown = [each for image in images for each in crops(image, rng, times)]
        rows = [row for row in rows for _ in range(times)]
        sets[name] = {"images": np.stack(shown)} | classes(rows, SETS[name][1])

    with zipfile.ZipFile(root / "emoji.zip") as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("captions.csv"), "utf-8")))
        images = [square(Image.open(archive.open(row["file"]))) for row in rows]
        sets["emoji"] = {"images": np.stack(images)} | classes(rows, SETS["emoji"][1])

    names = ("images-idx3", "labels-idx1")
    raw = [gzip.decompress((root / f"mnist/train-{name}-ubyte.gz").read_bytes()) for name in names]
    drawn = np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 28, 28)[:digits]
    labels = np.frombuffer(raw[1], np.uint8, offset=8)[:digits]
    coloured = []
    for image in drawn:
        ink, paper = (255, 0) if rng.rand() < 0.5 else (rng.randint(0, 256, 3), rng.randint(0, 256, 3))
        part = np.asarray(square(Image.fromarray(image)), np.float32) / 255
        coloured.append((part * ink + (1 - part) * paper).astype(np.uint8))
    sets["digits"] = {"images": np.stack(coloured), "digit": labels.astype(np.int64)}

    people = list(random_faces(faces, seed=64))
    truth = np.stack([ground_truth(face) for face in people])
    low, high = np.array(list(NUMBERS.values())).T
    sets["faces"] = {
        "images": np.stack([draw(face, SIZE) for face in people]),
        "choices": truth[:, : len(CHOICES)].astype(np.int64),
        "numbers": (truth[:, len(CHOICES) :] - low) / (high - low) * 2 - 1,
    }
    return sets


def classes(rows: list[dict], columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each column's values by number, in the order of their names; what fewer than ten images have is not asked."""
    found = {}
    for column in columns:
        words = ["" if row.get(column) is None else str(row[column]) for row in rows]
        names = sorted(word for word in {*words} - {""} if words.count(word) >= 10)
        found[column] = np.array([names.index(word) if word in names else -1 for word in words])
    return found


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
        together = 4 if name in CROPPED else 3 if name == "vendors" else 1
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
    """Voile64 with batch normalisation."""

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

    def folded(self) -> Voile64:
        """The same function without batch normalisation."""
        net = Voile64()
        with torch.no_grad():
            for ours, layer, norm in zip(net.layers, self.layers, self.norms, strict=True):
                factor = norm.weight / (norm.running_var + norm.eps).sqrt()
                ours.weight.copy_(layer.weight * factor[:, None, None, None])
                ours.bias.copy_(norm.bias - norm.running_mean * factor)
        return net.eval().requires_grad_(False)


def draw_batch(sets: dict, size: int, rng: torch.Generator) -> Batch:
    """Images of all sets, half of them distorted, with what the tasks must tell."""
    shares = torch.tensor([share for share, _ in SETS.values()])
    counts = torch.multinomial(shares, size, True, generator=rng).bincount(minlength=len(SETS))
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
    batch: Batch = {"set": torch.arange(len(SETS)).repeat_interleave(counts)}
    starts = [0, *counts.cumsum(0).tolist()]
    for index, (name, entry) in enumerate(zip(SETS, parts, strict=True)):
        for key, value in entry.items():
            whole = torch.full((size, *value.shape[1:]), -9, dtype=value.dtype)
            whole[starts[index] : starts[index + 1]] = value
            batch[head(name, key)] = whole

    # A shuffled order, so that ghosts and collages come from other sets as well.
    order = torch.randperm(size, generator=rng)
    x = x[order]
    batch = {key: value[order] for key, value in batch.items()}
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


def head(name: str, column: str) -> str:
    """What tells a column of a set."""
    return column if name == "faces" else f"{name}.{column}"


HEADS = [head(name, column) for name, (_, columns) in SETS.items() for column in columns]


def losses(said: Batch, batch: Batch) -> Batch:
    """One number for each task; labels count where the image is not spoilt."""
    good = batch["whole"]

    def classes(head: str, truth: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(said[head][where], truth[where]) if where.any() else said[head].sum() * 0

    everywhere = torch.ones_like(good)
    found = {
        "set": classes("set", batch["set"], everywhere),
        "kind": classes("kind", batch["kind"], everywhere),
        "turn": classes("turn", batch["turn"], everywhere),
        "thumbnail": (said["thumbnail"] - batch["thumbnail"]).square().mean() * 4,
    }
    told = []
    for name, (share, columns) in SETS.items():
        for column in columns:
            key = head(name, column)
            told.append(classes(key, batch[key], good & (batch[key] >= 0)) * share / len(columns))
    found["labels"] = torch.stack(told).sum() * 3
    bad = batch["kind"] > 0
    found["strength"] = (said["strength"][bad, 0] - batch["strength"][bad]).square().mean() * 8
    rows = good & (batch["choices"][:, 0] >= 0)
    parts = said["choices"][rows].split(FACE_SIZES, 1)
    truth = batch["choices"][rows].unbind(1)
    if rows.any():
        found["choices"] = sum(map(F.cross_entropy, parts, truth)) / len(parts)
        found["numbers"] = (said["numbers"][rows] - batch["numbers"][rows].float()).square().mean() * 2
    return found


def held_out(net: nn.Module, tasks: Tasks, sets: dict) -> dict[str, float]:
    """Accuracies on images that were not trained on."""
    rng = torch.Generator().manual_seed(7)
    tallies: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad():
        for _ in range(48):
            batch = draw_batch(sets, 128, rng)
            said, clean = tasks(net(batch["images"])), batch["whole"] & (batch["kind"] == 0)
            everywhere = torch.ones_like(clean)
            for name, where in {"set": clean, "kind": everywhere, "turn": everywhere}.items():
                tallies.setdefault(name, []).append((said[name].argmax(1) == batch[name])[where].float())
            for name in HEADS:
                where = clean & (batch[name] >= 0)
                tallies.setdefault(name, []).append((said[name].argmax(1) == batch[name])[where].float())
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
    parser.add_argument("--steps", type=int, default=5000)
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
                sets.setdefault(key.split("/")[0], {})[key.split("/")[1]] = file[key]
    else:
        sets = gather(arguments.data, arguments.faces, arguments.digits)
        if arguments.cache:
            np.savez(arguments.cache, **{f"{a}/{b}": value for a, part in sets.items() for b, value in part.items()})
    train, test = split(sets)
    print({name: (len(train[name]["images"]), len(test[name]["images"])) for name in SETS}, flush=True)

    torch.manual_seed(arguments.seed)
    sizes = {
        "set": len(SETS), "kind": len(DISTORTIONS), "strength": 1, "turn": 4, "thumbnail": 192,
        "choices": sum(FACE_SIZES), "numbers": len(NUMBERS),
    } | {
        head(name, column): int(sets[name][column].max()) + 1
        for name, (_, columns) in SETS.items() for column in columns
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
        "about": "voile64: features of 64x64 images for the metrics of Organza; bench/train_voile64.py made it",
        "recipe": json.dumps({name: getattr(arguments, name) for name in kept}),
        "held_out": json.dumps(scores),
        "trained_on": SOURCES,
        "licence": "Apache-2.0 for the weights as far as they are ours to license; no image is in them",
    }  # fmt: skip
    tensors = {name: value.half().contiguous() for name, value in plain.state_dict().items()}
    save_file(tensors, arguments.out, about)
    print(
        f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {time.process_time() - started:.0f} s of processor"
    )


if __name__ == "__main__":
    main()
