"""Anybody's network as a feature network: a TorchScript or an ONNX file.

The name says what the file doesn't: ``net.onnx?size=224&range=-1,1&layout=nchw``. A TorchScript file is a program, and
opening it runs that program: only for files that one trusts.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.sniff import HEAD, instead, refuse_stand_in
from organza.vision.features.base import Output
from organza.vision.features.resize import bicubic, bilinear_tf1, to_grey, to_rgb

VERSION = 1
"""Of the preparation of images: part of the digest."""
MAX_SIZE = 4096
_RESIZERS = {"bicubic": bicubic, "tf1": bilinear_tf1}


@dataclass(frozen=True)
class Convention:
    """How a file wants its images.

    Attributes:
        size: height and width; None where the file takes any.
        range: what black and white become.
        mean, std: subtracted and divided by after that, one number for each channel; () for nothing.
        layout: ``"nchw"`` or ``"nhwc"``.
        channels: 3 (RGB) or 1 (grey).
        resize: ``"bicubic"`` (antialiased) or ``"tf1"``.
        output: which of several outputs are the features, from 0.
    """

    size: tuple[int, int] | None = None
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: str = "nchw"
    channels: int = 3
    resize: str = "bicubic"
    output: int = 0

    def prepare(self, images: Tensor) -> Tensor:
        """Float ``[N, 1 | 3 | 4, H, W]`` in 0..255 to what the file wants."""
        x = to_grey(images) if self.channels == 1 else to_rgb(images)
        if self.size is not None:
            x = _RESIZERS[self.resize](x, *self.size)
        low, high = self.range
        x = x * ((high - low) / 255) + low
        if self.mean:
            x = x - x.new_tensor(self.mean)[:, None, None]
        if self.std:
            x = x / x.new_tensor(self.std)[:, None, None]
        return x.permute(0, 2, 3, 1).contiguous() if self.layout == "nhwc" else x.contiguous()

    @property
    def words(self) -> str:
        """How images come to size."""
        if self.size is None:
            return "none: the file takes images as they are"
        how = "antialiased bicubic" if self.resize == "bicubic" else "TF1-style bilinear"
        return f"{how} to {self.size[0]}x{self.size[1]}"


def parse(text: str, where: object = None) -> Convention:
    """The options after the question mark.

    Raises:
        UserError: an unknown option or a value that makes no sense.

    Example:
        >>> parse("size=224&range=-1,1").words
        'antialiased bicubic to 224x224'
        >>> parse("size=big")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: the option size=big makes no sense; give size=224 or size=256x192
    """
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in _READERS:
            hint = f"there are {', '.join(f.name for f in fields(Convention))}"
            raise UserError(f"no option is called {name!r}", where=where, hint=hint)
        read, example = _READERS[name]
        try:
            found[name] = read(value)
        except ValueError:
            raise UserError(f"the option {name}={value} makes no sense", where=where, hint=f"give {example}") from None
    chosen = Convention(**found)
    for name in ("mean", "std"):
        if len(getattr(chosen, name)) not in (0, 1, chosen.channels):
            what = f"{name} has {len(getattr(chosen, name))} numbers for {chosen.channels} channels"
            raise UserError(what, where=where, hint="give one number for each channel")
    return chosen


def _size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2) or not all(1 <= side <= MAX_SIZE for side in sides):
        raise ValueError
    return sides[0], sides[-1]


def _range(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    if not low < high:
        raise ValueError
    return low, high


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def _spread(text: str) -> tuple[float, ...]:
    if not all(number > 0 for number in _numbers(text)):
        raise ValueError
    return _numbers(text)


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return read


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "size": (_size, "size=224 or size=256x192"),
    "range": (_range, "range=0,1, range=-1,1 or range=0,255"),
    "mean": (_numbers, "mean=0.485,0.456,0.406"),
    "std": (_spread, "std=0.229,0.224,0.225"),
    "layout": (_one_of("nchw", "nhwc"), "layout=nchw or layout=nhwc"),
    "channels": (lambda text: int(_one_of("1", "3")(text)), "channels=3 or channels=1"),
    "resize": (_one_of("bicubic", "tf1"), "resize=bicubic or resize=tf1"),
    "output": (lambda text: int(_one_of(*map(str, range(100)))(text)), "output=0, output=1 ..."),
}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a program of TorchScript, as far as its table of contents says."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names)


def load_torchscript(path: Path, device: torch.device) -> Any:
    """The program of a TorchScript file. What is in it is run.

    Raises:
        UserError: broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its end is announced; the files are what people have
            net = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"a broken TorchScript file ({_short(error)})", where=path) from None
    return net.eval()


def open_any(
    path: Path, convention: Convention, device: torch.device
) -> tuple[Callable[[Tensor], Output], int, Convention]:
    """A TorchScript or ONNX file as a function of float images ``[N, 1 | 3 | 4, H, W]`` in 0..255.

    Returns:
        The function, the length of its features, and the convention with what the file itself says.

    Raises:
        UserError: broken, something else, or it doesn't give features for images prepared in this way.
    """
    refuse_stand_in(path)
    if is_torchscript(path):
        call: Callable[[Tensor], Any] = load_torchscript(path, device)
    elif path.suffix.lower() == ".onnx":
        call, convention = _load_onnx(path, convention, device)
    else:
        hint = "give a .onnx file, a TorchScript file, or inception:PATH or lenet:PATH for files of weights"
        with path.open("rb") as file:
            other = instead(file.read(HEAD))
        what = "neither TorchScript nor ONNX" if other is None else f"this is {other[0]}, neither TorchScript nor ONNX"
        raise UserError(what, where=path, hint=(other and other[1]) or hint)

    def run(images: Tensor) -> Output:
        found = call(convention.prepare(images))
        outputs = list(found) if isinstance(found, (tuple, list)) else [found]
        if convention.output >= len(outputs) or not isinstance(outputs[convention.output], Tensor):
            raise UserError(f"has no tensor as output {convention.output}", where=path)
        features = outputs[convention.output].float()
        if features.ndim == 4 and convention.layout == "nhwc":
            features = features.permute(0, 3, 1, 2)
        features = features.flatten(2).mean(2) if features.ndim > 2 else features
        if features.ndim != 2 or len(features) != len(images):
            what = f"gives {list(outputs[convention.output].shape)} for {len(images)} images, not [N, D]"
            raise UserError(what, where=path, hint="choose another output with ?output=1")
        return Output(features, None)

    trial = torch.zeros(2, convention.channels, *(convention.size or (64, 64)), device=device)
    try:
        with torch.no_grad():
            dim = run(trial).features.shape[1]
    except (RuntimeError, ValueError) as error:
        what = f"fails on images of {trial.shape[2]}x{trial.shape[3]} ({_short(error)})"
        raise UserError(what, where=path, hint="say how it wants them: ?size=224&range=-1,1&layout=nchw") from None
    return run, dim, convention


def _load_onnx(path: Path, convention: Convention, device: torch.device) -> tuple[Callable[[Tensor], Any], Convention]:
    try:
        import onnxruntime
    except ImportError:
        hint = 'install it with pip install "organza[onnx]"'
        raise UserError("ONNX files need the package onnxruntime", where=path, hint=hint) from None
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    there = [name for name in [*wanted, "CPUExecutionProvider"] if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=there)
    except Exception as error:  # onnxruntime has a class of its own for each trouble, all outside of its public names
        raise UserError(f"a broken ONNX file ({_short(error)})", where=path) from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in ("tensor(float)", "tensor(float16)") or len(inputs[0].shape) != 4:
        raise UserError("takes something else than one batch of float images", where=path)
    declared = inputs[0].shape[2:] if convention.layout == "nchw" else inputs[0].shape[1:3]
    if convention.size is None and all(isinstance(side, int) and 0 < side <= MAX_SIZE for side in declared):
        convention = replace(convention, size=(declared[0], declared[1]))
    fixed = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) else None
    half = inputs[0].type == "tensor(float16)"

    def call(images: Tensor) -> Any:
        parts = []
        for part in torch.split(images.cpu(), fixed or len(images)):
            real = len(part)
            if fixed is not None and real < fixed:  # the file insists on its batch
                part = torch.cat([part, part[-1:].expand(fixed - real, -1, -1, -1)])
            array = (part.half() if half else part.float()).numpy()
            try:
                found = session.run(None, {inputs[0].name: array})
            except Exception as error:
                raise RuntimeError(_short(error)) from None
            parts.append([value[:real] for value in found])
        joined = [torch.cat([torch.from_numpy(part[i]) for part in parts]) for i in range(len(parts[0]))]
        return [value.to(device) for value in joined]

    return call, convention


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
