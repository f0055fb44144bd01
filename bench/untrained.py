"""How near a trained translator comes to held-out targets, beside one that was never trained.

    python bench/untrained.py RUN facades.zip [--split val]

The untrained network has the run's architecture and fresh weights. Images are read at the run's own size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from organza import UserError
from organza.contract.model import Translation
from organza.core.config import from_plain
from organza.data import open_domains
from organza.data.options import DomainOptions
from organza.formats.folder import read_folder
from organza.metrics import evaluate
from organza.models.load import candidates, load_translator
from organza.models.translator import Translator


def untrained(T: Translator, run: Path) -> Translator:
    """A translator of the same architecture with fresh weights."""
    weights = read_folder(candidates(run)[0])
    torch.manual_seed(0)
    method = weights.config.build(weights.spec)
    assert isinstance(method.model, Translation)
    net = method.nets[method.model.net].requires_grad_(False).to(T.device)
    return Translator(T.kind, T.spec, method.model, net, None, T.device, T.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    T = load_translator(options.run)
    known: dict[str, Any] = json.loads((options.run / "config.json").read_text())["data"]
    names = DomainOptions.__dataclass_fields__
    data = from_plain(DomainOptions, {name: value for name, value in known.items() if name in names})
    height, width = T.resolution
    small = DomainOptions(resolution=f"{height}x{width}", fit=data.fit, filter=data.filter)
    try:
        pairs = open_domains(options.data, small, split=options.split, direction=data.direction)
    except UserError as error:
        raise SystemExit(f"{error}") from None
    print("| network | L1, levels of 255 | SSIM | pairs |\n|---|---|---|---|")
    for name, network in (("untrained", untrained(T, options.run)), ("trained", T)):
        found = evaluate(network, pairs, "l1,ssim")
        print(f"| {name} | {found['l1']:.1f} | {found['ssim']:.3f} | {len(pairs.source)} |", flush=True)


if __name__ == "__main__":
    main()
