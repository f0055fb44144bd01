"""pix2pixHD's networks, with instance or batch normalisation: convolutions have biases before either."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def layer(conv: nn.Module, norm: str) -> list[nn.Module]:
    maps = conv.out_channels
    return [conv, nn.BatchNorm2d(maps) if norm == "batch" else nn.InstanceNorm2d(maps), nn.ReLU(True)]


class Block(nn.Module):
    def __init__(self, maps: int, norm: str) -> None:
        super().__init__()
        first, second = (layer(nn.Conv2d(maps, maps, 3), norm) for _ in range(2))
        self.conv_block = nn.Sequential(nn.ReflectionPad2d(1), *first, nn.ReflectionPad2d(1), *second[:2])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def wide(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(inputs, outputs, 7)]


def down(maps: int, norm: str) -> list[nn.Module]:
    return layer(nn.Conv2d(maps, 2 * maps, 3, 2, 1), norm)


def up(maps: int, norm: str) -> list[nn.Module]:
    return layer(nn.ConvTranspose2d(maps, maps // 2, 3, 2, 1, output_padding=1), norm)


class Global(nn.Module):
    """Without residual blocks it is the encoder."""

    def __init__(self, channels: int, width: int, halvings: int, blocks: int, norm: str) -> None:
        super().__init__()
        pad, conv = wide(channels, width)
        layers = [pad, *layer(conv, norm)]
        layers += [part for k in range(halvings) for part in down(width << k, norm)]
        layers += [Block(width << halvings, norm) for _ in range(blocks)]
        layers += [part for k in range(halvings, 0, -1) for part in up(width << k, norm)]
        self.model = nn.Sequential(*layers, *wide(width, 3), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Local(nn.Module):
    """With ``enhancers`` around it, each of one residual block."""

    def __init__(self, channels: int, width: int, halvings: int, enhancers: int, norm: str) -> None:
        super().__init__()
        self.enhancers = enhancers
        self.model = Global(channels, width << enhancers, halvings, 1, norm).model[:-3]
        for n in range(1, enhancers + 1):
            maps = width << (enhancers - n)
            pad, conv = wide(channels, maps)
            last = [*wide(width, 3), nn.Tanh()] if n == enhancers else []
            setattr(self, f"model{n}_1", nn.Sequential(pad, *layer(conv, norm), *down(maps, norm)))
            setattr(self, f"model{n}_2", nn.Sequential(Block(2 * maps, norm), *up(2 * maps, norm), *last))

    def forward(self, x: Tensor) -> Tensor:
        sizes = [x]
        for _ in range(self.enhancers):
            sizes.append(smaller(sizes[-1]))
        y = self.model(sizes.pop())
        for n in range(1, self.enhancers + 1):
            y = getattr(self, f"model{n}_2")(getattr(self, f"model{n}_1")(sizes.pop()) + y)
        return y


def smaller(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class Critic(nn.Module):
    """Of two sizes, each in one chain; the first in the file sees the smaller one."""

    def __init__(self, channels: int, width: int, norm: str) -> None:
        super().__init__()
        for n in range(2):
            layers = [nn.Conv2d(channels, width, 4, 2, 2), nn.LeakyReLU(0.2)]
            for stride, maps in ((2, width), (1, 2 * width)):
                conv, normal, _ = layer(nn.Conv2d(maps, 2 * maps, 4, stride, 2), norm)
                layers += [conv, normal, nn.LeakyReLU(0.2)]
            setattr(self, f"layer{n}", nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 2)))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.layer1(x), self.layer0(smaller(x))]
