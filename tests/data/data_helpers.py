"""Small made-up images and archives."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

BAD = Path(__file__).parents[1] / "fixtures" / "bad_datasets"


def noise(seed, height=8, width=8, channels=3):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape, np.uint8)


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def write_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def write_folder(path, entries):
    for name, data in entries.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def pngs(count, **options):
    return {f"{i:03d}.png": encoded(noise(i, **options)) for i in range(count)}
