"""Official names of CycleGAN's and pix2pix's tensors in ours, for shapes that no golden case has."""

from __future__ import annotations

import pytest

from organza.formats.ports.junyanz_names import discriminator_names, resnet_names, unet_names
from organza.nn.resnet import ResNetGenerator
from organza.nn.unet import UNetGenerator
from organza.tensors.records import RefusedError

STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def official(blocks: int, inner: tuple[int, ...], batch: bool) -> list[str]:
    """Names of a residual generator of CycleGAN; ``inner`` are the places of a block's convolutions."""
    norm = STATISTICS if batch else ()
    convs = [1, 4, 7, 10 + blocks, 13 + blocks]
    names = [f"model.{place}.weight" for place in convs] + [
        f"model.{place + 1}.{part}" for place in convs for part in norm
    ]
    for block in range(10, 10 + blocks):
        for place in inner:
            names += [f"model.{block}.conv_block.{place}.weight"]
            names += [f"model.{block}.conv_block.{place + 1}.{part}" for part in norm]
    names += [] if batch else [name.replace("weight", "bias") for name in names]
    return [*names, f"model.{17 + blocks}.weight", f"model.{17 + blocks}.bias"]


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("inner", [(1, 5), (1, 6)], ids=["plain", "dropout"])
@pytest.mark.parametrize("blocks", [1, 6, 9])
def test_residual_generators_of_every_form(blocks, inner, batch):
    net = ResNetGenerator(3, 3, blocks, 2, "batch" if batch else "instance")
    table = resnet_names(official(blocks, inner, batch))
    assert sorted(table.values()) == sorted(net.state_dict())
    assert table[f"model.10.conv_block.{inner[1]}.weight"] == "blocks.0.conv2.weight"
    assert table[f"model.{13 + blocks}.weight"] == "ups.1.conv.weight"


def test_statistics_that_nothing_uses_are_left_out():
    old = [f"model.{place}.{part}" for place in (2, 5, 8) for part in STATISTICS[2:]]
    names = [*official(2, (1, 5), batch=False), *old, "model.10.conv_block.2.running_mean"]
    assert resnet_names(names) == resnet_names(official(2, (1, 5), batch=False))


@pytest.mark.parametrize("depth", [5, 7, 8, 9])
def test_unets_of_every_depth(depth):
    names, path = ["model.model.0.weight", "model.model.3.weight", "model.model.3.bias"], "model.model.1.model."
    for level in range(1, depth):
        innermost = level == depth - 1
        names += [f"{path}1.weight", f"{path}{3 if innermost else 5}.weight"]
        names += [f"{path}{4 if innermost else 6}.{part}" for part in STATISTICS]
        names += [] if innermost else [f"{path}2.{part}" for part in STATISTICS]
        path += "3.model."
    table = unet_names(names)
    assert sorted(table.values()) == sorted(UNetGenerator(3, 3, depth, 1).state_dict())


@pytest.mark.parametrize(
    ("function", "names", "message"),
    [
        (unet_names, ["model.model.2.weight"], "unknown"),
        (unet_names, ["model.model.1.model.0.weight"], "unknown"),
        (unet_names, ["model.model.1.model.3.weight", "model.model.1.model.5.weight"], "same place"),
        (resnet_names, ["model.1.weight"], "without residual blocks"),
        (resnet_names, official(2, (0, 3), batch=False), "a border of zeros"),
        (resnet_names, official(2, (0, 4), batch=True), "a border of zeros"),
        (resnet_names, [*official(2, (1, 5), batch=False), "model.11.weight"], "between"),
        (resnet_names, [n for n in official(3, (1, 5), batch=False) if not n.startswith("model.11.")], "between"),
        (resnet_names, [*official(2, (1, 5), batch=False), "model.9.weight"], "expected"),
        (resnet_names, [*official(2, (1, 5), batch=False), "head.weight"], "unknown"),
        (discriminator_names, ["model.1.weight"], "unknown"),
        (discriminator_names, ["scale0.model.0.weight"], "unknown"),
        (discriminator_names, ["model.0.weight", "net.0.weight"], "same place"),
    ],
)
def test_other_networks_are_refused(function, names, message):
    with pytest.raises(RefusedError, match=message):
        function(names)
