"""What an uploaded file is, by its content. Run as a program of its own, so that a library that ends its process on a
damaged file ends only this one: ``python -m organza.web.studio.look FILE`` prints one line of JSON.

Nothing of the file is run: images go through `organza.data.decode`, archives through the dataset readers, weights
through the parsers of `organza.tensors`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.core.sniff import HEAD, instead, stand_in
from organza.data.decode import decode, open_picture
from organza.data.source import BadPicture
from organza.web.studio.settings import PIXELS

_VIDEO = "a video"
_WEIGHTS = (".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".h5", ".pdparams", ".bin", ".npz")


@dataclass(frozen=True)
class Looked:
    """What a file is.

    Attributes:
        what: image, images, network, video, codes, directions or table (of seeds and attributes).
        note: in a few words.
        ending: that its name should have.
        about: more, of networks.
    """

    what: str
    note: str
    ending: str
    about: dict[str, Any] = field(default_factory=dict)


def look_at_image(data: bytes) -> Looked | None:
    """What an image is; None where the bytes are no image at all.

    Raises:
        UserError: a damaged one, or more pixels than `PIXELS`.
    """
    head = data[:HEAD]
    if not _may_be_image(head):
        return None
    try:
        image = open_picture(data)
        width, height = image.size
        if width * height > PIXELS:
            raise UserError(f"{width}x{height} pixels", hint=f"at most {PIXELS >> 20} million")
        name = image.format or "PNG"
        decode(image)
    except BadPicture as error:
        raise UserError(f"the image can't be used: {error}") from None
    return Looked("image", f"{width}x{height}", _ENDINGS.get(name, ".png"))


_ENDINGS = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "PPM": ".ppm",
}


def _may_be_image(head: bytes) -> bool:
    known = instead(head)
    if known is not None and known[0].endswith("image"):
        return True
    return head[:2] in (b"BM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") or head.startswith(
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
    )


def look_at(path: Path) -> Looked:
    """What a file is.

    Raises:
        UserError: nothing that the studio takes, or damaged.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise UserError("an empty file")
    if found := stand_in(head):
        raise UserError(f"this is {found[0]}", hint=found[1])
    if _may_be_image(head):
        if path.stat().st_size > 1 << 30:
            raise UserError("an image of more than a gigabyte")
        looked = look_at_image(path.read_bytes())
        assert looked is not None
        return looked
    known = instead(head)
    kind = "" if known is None else known[0]
    ending = path.suffix.lower()
    if kind == "a zip archive" or head[257:262] == b"ustar" or kind == "a parquet file":
        return _archive(path, ".tar" if head[257:262] == b"ustar" else ".parquet" if "parquet" in kind else ".zip")
    if kind in ("a NumPy array (.npy)", "NumPy arrays (.npz)"):
        return _arrays(path, ".npz" if "npz" in kind else ".npy")
    if kind == _VIDEO or head.startswith(b"\x1aE\xdf\xa3") or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return _video(path, ending)
    if kind and kind not in ("a PyTorch file", "an HDF5 file"):
        raise UserError(f"this is {kind}, which the studio does not take", hint=known[1] if known else None)
    if ending in (".csv", ".txt"):
        return _table(path)
    return _weights(path, ending)


def _table(path: Path) -> Looked:
    from organza.studio.attributes import read_labels

    if path.stat().st_size > 1 << 26:
        raise UserError("a table of more than 64 MB")
    seeds, columns = read_labels(path)
    return Looked("table", f"{len(seeds)} seeds, {', '.join(columns)}"[:200], ".csv")


def _archive(path: Path, ending: str) -> Looked:
    from organza.data.opening import open_source

    named = path.with_name(f"{path.stem}{ending}")
    if named != path:
        path = path.rename(named)
    source = open_source(path)
    count = sum(1 for _ in source.entries())
    if not count:
        raise UserError("holds no images")
    return Looked("images", f"{count} images", ending, {"count": count})


def _arrays(path: Path, ending: str) -> Looked:
    from organza.core.arrays import read_arrays

    named = path.with_name(f"{path.stem}{ending}")
    if named != path:
        path = path.rename(named)
    arrays = read_arrays(path)
    shapes = {name: list(array.shape) for name, array in arrays.items() if array.dtype.kind == "f"}
    if not any(len(shape) in (2, 3) for shape in shapes.values()):
        raise UserError("holds no codes", hint="w's are floats [N, layers, w_dim]")
    listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:4])
    return Looked("codes", listed[:200], ending)


def _video(path: Path, ending: str) -> Looked:
    from organza.media.clip import CLIP_SUFFIXES, open_clip

    if ending not in CLIP_SUFFIXES:
        path = path.rename(path.with_suffix(ending := ".mp4"))
    clip = open_clip(path)
    height, width = clip.size
    return Looked("video", f"{width}x{height}, {clip.seconds:.1f} s", ending)


def _weights(path: Path, ending: str) -> Looked:
    if ending not in _WEIGHTS:
        path = path.rename(path.with_suffix(ending := ".pt" if path.read_bytes()[:2] == b"PK" else ".pkl"))
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if ending == ".safetensors" and b"organza-directions-1" in head:
        from organza.studio.directions import load_directions

        found = load_directions(path)
        return Looked("directions", ", ".join(each.name for each in found)[:200], ending)
    from organza.formats import read_weights

    weights = read_weights(path)
    height, width = weights.spec.resolution
    about = {"kind": weights.method, "width": width, "height": height, "licence": weights.licence}
    about["does"] = "translate" if weights.spec.source else "generate"
    return Looked("network", f"{weights.format}, {width}x{height}", ending, about)


def main() -> int:
    """Look at the file that is named, and say what it is or why it is refused, in one line of JSON."""
    path = Path(sys.argv[1])
    try:
        _bounded()
        answer: dict[str, Any] = asdict(look_at(path))
    except UserError as error:
        answer = {"error": UserError(error.what, hint=error.hint).args[0]}
    except MemoryError:
        answer = {"error": "it would take too much memory"}
    except OSError as error:
        answer = {"error": f"can't be read ({error.strerror or error})"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _bounded() -> None:
    """No core dumps, no new processes' worth of time: ten minutes of work at most."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (600, 600))


if __name__ == "__main__":
    sys.exit(main())
