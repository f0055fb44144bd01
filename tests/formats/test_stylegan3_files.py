"""StyleGAN3 snapshots of other sizes than the official ones at hand: the modules are put together here."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.nvidia.pickle_write import Call, dumps, tensor
from organza.formats.reading import understand
from organza.methods.stylegan.stylegan3 import StyleGAN3, plan
from organza.tensors.opening import Opened
from organza.tensors.records import Global, Module, Storage, TensorRef
from organza.weights.inspect import inspect

TOY = StyleGAN3(
    z_dim=6, w_dim=8, channel_base=64, channel_max=8, channel_base_d=64, channel_max_d=8, layers=4, critical=1, margin=4
)
VARIANTS = {
    "grey with labels": (replace(TOY, mapping_layers=3), DataSpec((16, 16), 1, 3)),
    "other bands": (replace(TOY, first_cutoff=1.5, first_stopband=3.0), DataSpec((16, 16))),
    "config R": (replace(TOY, kernel=1, radial=True, channel_max=12), DataSpec((32, 32))),
    "short filters": (replace(TOY, filter_size=4, oversampling=4, conv_clamp=None), DataSpec((16, 16))),
    "odd widths": (replace(TOY, widths_g=(7, 6, 5, 3), output_scale=0.5, magnitude_decay=0.9), DataSpec((16, 16))),
    "48 pixels": (TOY, DataSpec((48, 48))),
}


def ref(value):
    value = value.detach().contiguous()
    storage = Storage(value.dtype, value.numel(), lambda: value.numpy().tobytes())
    return TensorRef(storage, 0, tuple(value.shape), tuple(value.stride()))


def module(name, state, tensors, children=None):
    own = {key: ref(value) for key, value in tensors.items() if "." not in key}
    return Module(name, 6, {**state, "_parameters": own, "_buffers": {}, "_modules": children or {}})


def linear(tensors, prefix, rate=1.0):
    own = {key: tensors[f"{prefix}.{key}"] for key in ("weight", "bias")}
    return module("FullyConnectedLayer", {"bias_gain": rate, "activation": "lrelu"}, own)


def snapshot(config, spec, less=(), seed=0):
    """The generator as NVIDIA's modules hold it, with random numbers; ``less`` are attributes that are left out."""
    torch.manual_seed(seed)
    net = config.build(spec).nets["G"]
    tensors = {
        key: value if key.endswith(("_filter", "transform")) else torch.randn(value.shape)
        for key, value in net.state_dict().items()
    }
    tensors |= {key: value.abs() + 0.1 for key, value in tensors.items() if key.endswith("magnitude")}
    grids, layers = plan(config, spec.resolution), {}
    for index, (before, after) in enumerate(zip([grids[0], *grids[:-1]], grids, strict=True)):
        prefix, colours = f"synthesis.layers.{index}", index == config.layers
        layer = net.synthesis.layers[index]
        own = {"weight": "weight", "bias": "bias", "magnitude_ema": "magnitude"}
        own |= {name: name for name in ("up_filter", "down_filter") if f"{prefix}.{name}" in tensors}
        fine = max(before.rate, after.rate) * (1 if colours else config.oversampling)
        state = {
            "is_torgb": colours,
            "is_critically_sampled": index >= config.layers - config.critical,
            "in_size": list(before.size[::-1]),
            "out_size": list(after.size[::-1]),
            "in_sampling_rate": before.rate,
            "out_sampling_rate": after.rate,
            "tmp_sampling_rate": fine,
            "in_cutoff": before.cutoff,
            "out_cutoff": after.cutoff,
            "in_half_width": before.half_width,
            "out_half_width": after.half_width,
            "up_factor": layer.up,
            "up_taps": 1 if layer.up_filter is None else len(layer.up_filter),
            "down_factor": layer.down,
            "down_taps": 1 if layer.down_filter is None else len(layer.down_filter),
            "down_radial": layer.down_filter is not None and layer.down_filter.ndim == 2,
            "conv_clamp": config.conv_clamp,
            "magnitude_ema_beta": config.magnitude_decay,
        }
        held = {theirs: tensors[f"{prefix}.{ours}"] for theirs, ours in own.items() if theirs not in less}
        kept = {key: value for key, value in state.items() if key not in less}
        affine = {"affine": linear(tensors, f"{prefix}.affine")}
        layers[f"L{index}_{after.size[0]}_{layer.weight.shape[0]}"] = module("SynthesisLayer", kept, held, affine)
    waves = {"freqs": "frequencies", "phases": "phases", "transform": "transform", "weight": "weight"}
    waves = {theirs: tensors[f"synthesis.input.{ours}"] for theirs, ours in waves.items()}
    layers["input"] = module("SynthesisInput", {}, waves, {"affine": linear(tensors, "synthesis.input.affine")})
    about = {"margin_size": config.margin, "output_scale": config.output_scale, "_init_kwargs": {}}
    synthesis = module("SynthesisNetwork", about, {}, layers)
    inner = {f"fc{i}": linear(tensors, f"mapping.layers.{i}", 0.01) for i in range(config.mapping_layers)}
    if spec.label_dim:
        inner["embed"] = linear(tensors, "mapping.embed")
    mapping = module("MappingNetwork", {"w_avg_beta": 0.998}, {"w_avg": tensors["w_avg"]}, inner)
    sizes = {"z_dim": config.z_dim, "w_dim": config.w_dim, "c_dim": spec.label_dim}
    sizes |= {"img_resolution": spec.resolution[0], "img_channels": spec.channels}
    whole = module("Generator", sizes, {}, {"synthesis": synthesis, "mapping": mapping})
    return Opened(Path("network-snapshot.pkl"), "pickle", {"G_ema": whole}), tensors


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("less", [(), ("up_filter", "down_filter")])
def test_other_sizes(name, less):
    config, spec = VARIANTS[name]
    config = config.resolve(spec, 32)
    opened, tensors = snapshot(config, spec, less)
    weights = understand(opened)
    assert weights.spec == spec and weights.method == "stylegan3" and not weights.problems
    found = weights.tensors("G_ema")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], value) for key, value in tensors.items())
    net, again = (made.build(spec).nets["G"].requires_grad_(False) for made in (config, weights.config))
    net.load_state_dict(tensors)
    again.load_state_dict(found)
    z, labels = torch.randn(2, config.z_dim), torch.eye(max(spec.label_dim, 2))[:2, : spec.label_dim]
    images = net(z, labels)
    torch.testing.assert_close(again(z, labels), images, rtol=1e-5, atol=1e-5)


def test_missing_attributes_take_the_papers():
    spec = DataSpec((16, 16))
    config = TOY.resolve(spec, 32)
    opened, _ = snapshot(
        config, spec, ("in_size", "out_size", "up_factor", "up_taps", "tmp_sampling_rate", "down_taps")
    )
    weights = understand(opened)
    assert (weights.config.filter_size, weights.config.oversampling, weights.config.cutoffs) == (6, 2, None)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("out_cutoff", math.nan),
        ("out_half_width", -1.0),
        ("up_taps", 10**9),
        ("up_taps", 7),
        ("tmp_sampling_rate", 3),
        ("in_sampling_rate", 10**12),
        ("out_size", [10**9, 10**9]),
        ("conv_clamp", -1),
        ("magnitude_ema_beta", "a"),
    ],
)
def test_odd_numbers_are_refused(attribute, value):
    spec = DataSpec((16, 16))
    opened, _ = snapshot(TOY.resolve(spec, 32), spec)
    layers = opened.value["G_ema"].child("synthesis").children()
    layers["L1_24_8"].state[attribute] = value
    with pytest.raises(UserError):
        understand(opened)


def test_other_architectures_are_named(tmp_path):
    """R3GAN's networks sit in NVIDIA's snapshots: to be seen, not to be used."""
    inner = Call(Global("R3GAN.Networks", "Generator"), (), (("weight", tensor(torch.zeros(3, 4))),))
    state = {
        "z_dim": 64,
        "c_dim": 0,
        "img_resolution": 32,
        "_parameters": {},
        "_buffers": {},
        "_modules": {"Model": inner},
    }
    meta = {"type": "class", "version": 6, "module_src": "1/0", "class_name": "Generator", "state": state}
    net = Call(Global("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(dumps({"G": net, "D": net, "G_ema": net, "training_set_kwargs": {}}))
    report = inspect(path)
    assert not report.usable
    assert "not built here: its generator is a Generator made of Model (R3GAN.Networks.Generator)" in report.kind
    assert {network.name: network.numbers for network in report.networks} == {"G": 12, "D": 12, "G_ema": 12}
    assert any("R3GAN.Networks.Generator" in note for note in report.notes)
