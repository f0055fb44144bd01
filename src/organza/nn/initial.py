"""How weights start: DCGAN's initialisation, which pix2pix and CycleGAN took over, and BicycleGAN's."""

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
    """The same with weights of convolutions and linear layers scaled by the sizes of what they join.

    Their standard deviation is ``gain * sqrt(2 / (fan in + fan out))``: Glorot & Bengio 2010, equation 16.

    Args:
        module: any module; its children are not visited.
        gain: the factor.
    """
    init_normal(module)
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight, gain)
