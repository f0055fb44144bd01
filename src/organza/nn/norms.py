"""Normalisation as image-to-image networks choose it, and running a network in a mode that leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from organza.contract.model import Mode
from organza.ops import instance_norm

Norm = Literal["batch", "instance", "instance-affine", "none"]
"""Over the batch (Ioffe & Szegedy 2015, arXiv 1502.03167), over each image by itself (Ulyanov et al. 2016, arXiv
1607.08022) without or with a learned gain and bias, or no normalisation."""


class InstanceNorm2d(nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d` with `organza.ops.instance_norm`, which is faster, and right for single images."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None:
            return instance_norm(x, self.weight, self.bias, self.eps)
        if not self.training and self.track_running_stats:
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, False, 0.0, self.eps)
        with torch.no_grad():
            found = torch.var_mean(x.float(), (2, 3))
            for running, new in zip((variance, mean), found, strict=True):
                running.lerp_(new.mean(0), self.momentum or 0.0)
        return instance_norm(x, self.weight, self.bias, self.eps)


def norm_layer(kind: Norm, maps: int) -> nn.Module:
    """The normalisation of ``maps`` feature maps ``[N, maps, H, W]``.

    ``batch`` learns a gain and a bias and keeps running statistics; ``instance`` has neither; ``none`` does nothing.
    So do pix2pix and CycleGAN. ``instance-affine`` learns a gain and a bias for each map, as PaddleGAN's files hold.

    Example:
        >>> norm_layer("batch", 8), norm_layer("instance", 8)
        (BatchNorm2d(8, ..., affine=True, ...), InstanceNorm2d(8, ..., affine=False, ...))
    """
    if kind == "batch":
        return nn.BatchNorm2d(maps)
    return nn.Identity() if kind == "none" else InstanceNorm2d(maps, affine=kind == "instance-affine")


def conv_bias(kind: Norm) -> bool:
    """Whether convolutions inside a network with this normalisation have a bias: only with ``instance``, in both forms.

    Batch normalisation has a bias of its own. That ``none`` has no bias either follows the code of CycleGAN and
    pix2pix; its first and last layers make exceptions of their own.
    """
    return kind in ("instance", "instance-affine")


@contextmanager
def running(net: nn.Module, mode: Mode) -> Iterator[None]:
    """Let a network behave as in evaluation or as in training, and leave it as it was.

    In ``"train"``, normalisation takes the statistics of the batch and dropout drops, with PyTorch's default generator;
    pix2pix is tested so (Isola et al. 2017, arXiv 1611.07004, section 3.3). Running statistics stay as they are in
    either mode, to the bit. Gradients flow as ever. At the end, also after an exception, each module is in the mode
    that it was in.

    The modules' own flags are switched meanwhile, so no other thread may use the network. Contexts may be nested;
    instance normalisation with running statistics, as in files of 2018, can't be evaluated inside ``"train"``, and says
    so. Layers of other kinds that keep running numbers (power iteration in spectral normalisation) are not held back.

    Args:
        net: in any mode, its parts in different ones as well.
        mode: what ``net.eval()`` or ``net.train()`` would be.

    Example:
        >>> import torch
        >>> net = nn.BatchNorm1d(1).eval()
        >>> with running(net, "train"):
        ...     net(torch.tensor([[3.0], [5.0]])).tolist()
        [[-0.99...], [0.99...]]
        >>> net.running_mean, net.training
        (tensor([0.]), False)
    """
    flags = [(module, module.training) for module in net.modules()]
    tracking = [(module, module.track_running_stats) for module in net.modules() if isinstance(module, _BatchNorm)]
    # Instance normalisation updates its statistics whenever it does not use them, so they have to be out of its reach.
    statistics = [
        (module, module.running_mean, module.running_var)
        for module in net.modules()
        if isinstance(module, _InstanceNorm) and (mode == "train" or not module.track_running_stats)
    ]
    try:
        net.train(mode == "train")
        for batch_norm, _ in tracking:
            batch_norm.track_running_stats = False  # in training, nothing is updated; in evaluation, statistics serve
        for instance_norm, _, _ in statistics:
            instance_norm.running_mean = instance_norm.running_var = None
        yield
    finally:
        for instance_norm, mean, variance in statistics:
            instance_norm.running_mean, instance_norm.running_var = mean, variance
        for batch_norm, tracked in tracking:
            batch_norm.track_running_stats = tracked
        for module, training in flags:
            module.training = training


def depends_on_mode(net: nn.Module) -> bool:
    """Whether ``net.train()`` and ``net.eval()`` compute differently: batch normalisation, or dropout that drops."""
    dropout = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)
    return any(isinstance(m, _BatchNorm) or (isinstance(m, dropout) and m.p > 0) for m in net.modules())


def calibrated(net: nn.Module, runs: Iterable[Callable[[], object]]) -> dict[str, Tensor]:
    """Statistics of batch normalisation measured again: plain means over ``runs`` of the network, without dropout.

    Running statistics of a training follow its last steps and are those of networks with dropout; these are of the
    finished network as it is used (precise BN: Wu & Johnson 2021, arXiv 2105.07576, section 3).

    Args:
        net: it is left as it was.
        runs: each runs the network once.

    Returns:
        The means and variances by the names of their buffers; {} without batch normalisation.
    """
    norms = [(name, m) for name, m in net.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    keys = ("running_mean", "running_var", "num_batches_tracked")
    blank = {f"{name}.{key}": torch.zeros_like(module.get_buffer(key)) for name, module in norms for key in keys}
    flags = [(module, module.training) for module in net.modules()]
    momenta = [(module, module.momentum) for _, module in norms]
    try:
        net.eval()
        for _, module in norms:
            module.train()
            module.momentum = None  # a plain mean of all that comes
        with with_statistics(net, blank):
            for run in runs:
                run()
            return {name: net.get_buffer(name) for name in blank if not name.endswith("_tracked")}
    finally:
        for module, momentum in momenta:
            module.momentum = momentum
        for other, training in flags:
            other.training = training


@contextmanager
def with_statistics(net: nn.Module, statistics: Mapping[str, Tensor]) -> Iterator[None]:
    """Let batch normalisation take other statistics meanwhile, by the names of their buffers."""
    kept = {name: net.get_buffer(name) for name in statistics}
    try:
        _put(net, statistics)
        yield
    finally:
        _put(net, kept)


def _put(net: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    for name, value in buffers.items():
        owner, _, key = name.rpartition(".")
        setattr(net.get_submodule(owner), key, value)
