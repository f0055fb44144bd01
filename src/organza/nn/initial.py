"""How weights start: as in DCGAN, pix2pix and CycleGAN, or scaled by the layer's size: CUT, BicycleGAN."""

from __future__ import annotations

from torch import nn


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Start one layer; for a whole network, ``net.apply(init_normal)``.

    Weights of convolutions and linear layers are from N(0, std), gains of batch normalisation from N(1, std), biases
    are 0: Radford et al. 2016 (arXiv 1511.06434), section 4. Other layers stay as they are.

    Args:
        module: any module; its children are not visited.
        std: the standard deviation.

    Example:
        >>> layer = nn.Conv2d(3, 64, 4)
        >>> init_normal(layer)
        >>> round(layer.weight.std().item(), 2), layer.bias.abs().max().item()
        (0.02, 0.0)
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)):
        if module.weight is not None:
            nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_xavier(module: nn.Module, gain: float = 0.02) -> None:
    """Start one layer as CUT does; for a whole network, ``net.apply(init_xavier)``.

    The standard deviation is ``gain * sqrt(2 / (inputs + outputs))``: Glorot & Bengio 2010, eq. 12 for an activation of
    slope 1, times ``gain``. Batch normalisation starts as in `init_normal`, biases are 0.

    Args:
        module: any module; its children are not visited.
        gain: factor on the standard deviation.

    Example:
        >>> layer = nn.Linear(200, 200)
        >>> init_xavier(layer)
        >>> round(layer.weight.std().item(), 4), layer.bias.abs().max().item()
        (0.0014, 0.0)
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight, gain)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    else:
        init_normal(module)
