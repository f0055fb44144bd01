"""organza export: a trained network as a file that other programs run, or as a page for a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.core.ranges import CountOrZero
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a trained generator or translator as ONNX, as TorchScript, or as a folder with a page that runs it in any
    browser, also without a network and a server. What is written is run and compared with PyTorch."""

    network: Path
    """Folder of a run, such as runs/00000-stylegan2-faces, one of its checkpoints, or a file of somebody else's."""
    format: Literal["onnx", "torchscript", "web"] = "onnx"
    """What to write."""
    output: Path
    """The new file, .onnx or .pt; with --format web a new folder, or a .zip of one."""
    model: Annotated[str | None, tyro.conf.arg(metavar="AtoB|BtoA")] = None
    """Which direction, of networks for both."""
    part: Literal["whole", "mapping", "synthesis"] = "whole"
    """Of a generator: all of it, codes z to w alone, or w to images alone."""
    cutoff: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """Of a generator: truncate only the first so many layers."""
    noise: Literal["const", "none"] = "const"
    """Fine detail of a generator: the stored noise maps as constants, or none."""
    norm_mode: Annotated[Literal["auto", "eval", "train", "calibrated"], tyro.conf.arg(aliases=["--mode"])] = "auto"
    """Of a translator: which statistics normalisation takes; auto as `organza translate`. Dropout is left out."""
    weights: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    """How weights are stored; computed is in float32. auto: fp16 with --format web, else fp32."""
    opset: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """Version of ONNX's operators, 13 to 20; 17 unless said."""
    title: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """With --format web: what stands above the page; the method's name unless said."""
    runtime: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE.tgz")] = None
    """With --format web: the npm package onnxruntime-web, unpacked or not. Else npm fetches it once."""
    webgpu: bool = False
    """With --format web: also with what computes on GPUs, in browsers that can; the folder becomes larger."""


def main(argv: list[str]) -> int:
    """Parse, export, say where it is."""
    options = parse(Options, argv, "organza export")
    # After parsing: PyTorch takes seconds to import.
    from organza.weights.export.export import export
    from organza.weights.export.parts import OPSET, Exporting

    web = options.format == "web"
    weights = ("fp16" if web else "fp32") if options.weights == "auto" else options.weights
    how = Exporting(
        part=options.part,
        cutoff=options.cutoff,
        noise=options.noise,
        mode=None if options.norm_mode == "auto" else options.norm_mode,
        weights=weights,
        opset=OPSET if options.opset is None else options.opset,
    )
    say(
        export(
            options.network,
            options.output,
            options.format,
            how,
            model=options.model,
            title=options.title,
            runtime=options.runtime,
            webgpu=options.webgpu,
        ).path
    )
    return 0
