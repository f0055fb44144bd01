"""Official StyleGAN2 weights into our networks: a test helper."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from torch import nn

from organza.core.method import DataSpec, Method
from organza.methods.stylegan2 import StyleGAN2
from tests.nvidia_pickle import Module, read


def _ours(name: str, doublings: int) -> str | None:
    """Our name of an official parameter or buffer; None for copies of the resampling filter."""
    if name.endswith("resample_filter"):
        return None
    name = re.sub(r"^mapping\.w_avg$", "w_avg", name)
    name = re.sub(r"mapping\.fc(\d+)\.", r"mapping.layers.\1.", name)
    name = name.replace("torgb.", "to_rgb.").replace("fromrgb.", "from_rgb.")
    if name.startswith("synthesis."):
        return re.sub(r"\.b(\d+)\.", lambda m: f".blocks.{int(m[1]).bit_length() - 3}.", name)
    name = re.sub(r"^b4\.fc\.", "dense.", name)
    name = re.sub(r"^b4\.", "", name)
    return re.sub(r"^b(\d+)\.", lambda m: f"blocks.{doublings + 3 - int(m[1]).bit_length()}.", name)


def _fill(net: nn.Module, module: Module, doublings: int) -> None:
    found = {_ours(name, doublings): value for name, value in module.tensors().items()}
    found.pop(None, None)
    missing, unexpected = net.load_state_dict(found, strict=False)
    assert not unexpected, unexpected
    assert all(name.endswith("taps") for name in missing), missing


def load(path: Path, networks: str = "G_ema", **changes: object) -> tuple[StyleGAN2, DataSpec, Method]:
    """The configuration, data and method of a snapshot, with its ``G_ema`` or ``G`` and its ``D``."""
    snapshot = read(path)
    g, d = snapshot[networks].arguments, snapshot["D"].arguments
    size = g["img_resolution"]
    spec = DataSpec((size, size), g["img_channels"], g["c_dim"])
    synthesis = g["synthesis_kwargs"]
    config = StyleGAN2(
        z_dim=g["z_dim"],
        w_dim=g["w_dim"],
        mapping_layers=g["mapping_kwargs"]["num_layers"],
        channel_base=synthesis["channel_base"],
        channel_max=synthesis["channel_max"],
        architecture_g=synthesis.get("architecture", "skip"),
        architecture_d=d.get("architecture", "resnet"),
        mbstd_group=d["epilogue_kwargs"]["mbstd_group_size"],
        conv_clamp=synthesis["conv_clamp"],
    )
    config = replace(config, **changes).resolve(spec, batch=4)  # type: ignore[arg-type]
    method = config.build(spec)
    doublings = size.bit_length() - 3
    _fill(method.nets["G"], snapshot[networks], doublings)
    _fill(method.nets["D"], snapshot["D"], doublings)
    return config, spec, method
