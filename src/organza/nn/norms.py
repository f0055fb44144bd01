"""Normalisation as image-to-image networks choose it, and running a network in a mode that leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from organza.contract.model import Mode

Norm = Literal["batch", "instance", "instance-affine", "none"]
"""Over the batch (Ioffe & Szegedy 2015, arXiv 1502.03167), over each image by itself (Ulyanov et al. 2016, arXiv
1607.08022) without or with a learned gain and bias, or no normalisation."""


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
    return nn.Identity() if kind == "none" else nn.InstanceNorm2d(maps, affine=kind == "instance-affine")


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
