"""StackGAN++'s generator and discriminators; without texts where ``text`` is 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONDITION, NOISE = 3, 5


def gated(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, 2 * outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(2 * outputs), nn.GLU(1)]


def larger(maps: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), *gated(maps, maps // 2))


def tiled(condition: Tensor, x: Tensor) -> Tensor:
    return torch.cat([condition[:, :, None, None].expand(-1, -1, *x.shape[2:]), x], 1)


class Start(nn.Module):
    def __init__(self, length: int, maps: int, ups: int) -> None:
        super().__init__()
        self.maps, self.ups = maps, ups
        self.fc = nn.Sequential(nn.Linear(length, 32 * maps, bias=False), nn.BatchNorm1d(32 * maps), nn.GLU(1))
        for k in range(ups):
            setattr(self, f"upsample{k + 1}", larger(maps >> k))

    def forward(self, code: Tensor) -> Tensor:
        x = self.fc(code).view(-1, self.maps, 4, 4)
        for k in range(self.ups):
            x = getattr(self, f"upsample{k + 1}")(x)
        return x


class Block(nn.Module):
    def __init__(self, maps: int) -> None:
        super().__init__()
        last = [nn.Conv2d(maps, maps, 3, 1, 1, bias=False), nn.BatchNorm2d(maps)]
        self.block = nn.Sequential(*gated(maps, maps), *last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Next(nn.Module):
    def __init__(self, maps: int, condition: int, blocks: int) -> None:
        super().__init__()
        self.jointConv = nn.Sequential(*gated(maps + condition, maps))
        self.residual = nn.Sequential(*(Block(maps) for _ in range(blocks)))
        self.upsample = larger(maps)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.upsample(self.residual(self.jointConv(tiled(condition, x))))


class Generator(nn.Module):
    """Of ``sizes`` sizes, from ``4 << ups`` on."""

    def __init__(self, text: int, width: int, ups: int, sizes: int, blocks: int) -> None:
        super().__init__()
        self.sizes = sizes
        if text:
            self.ca_net = nn.Module()
            self.ca_net.fc = nn.Linear(text, 4 * CONDITION)
        self.h_net1 = Start(NOISE + (CONDITION if text else 0), width << ups, ups)
        for k in range(sizes):
            if k:
                step = Next(width >> (k - 1), CONDITION if text else NOISE, blocks)
                setattr(self, f"h_net{k + 1}", step)
            head = nn.Module()
            head.img = nn.Sequential(nn.Conv2d(width >> k, 3, 3, 1, 1, bias=False), nn.Tanh())
            setattr(self, f"img_net{k + 1}", head)

    def forward(self, z: Tensor, text: Tensor | None, drawn: Tensor) -> list[Tensor]:
        condition, code = z, z
        if text is not None:
            mean, log_variance = nn.functional.glu(self.ca_net.fc(text), 1).chunk(2, 1)
            condition = mean + drawn * (log_variance / 2).exp()
            code = torch.cat([condition, z], 1)
        x, found = self.h_net1(code), []
        for k in range(self.sizes):
            x = getattr(self, f"h_net{k + 1}")(x, condition) if k else x
            found.append(getattr(self, f"img_net{k + 1}").img(x))
        return found


def layer(inputs: int, outputs: int, kernel: int, norm: bool = True) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, 2 if kernel == 4 else 1, 1, bias=False)
    return [conv, *([nn.BatchNorm2d(outputs)] if norm else []), nn.LeakyReLU(0.2)]


class Critic(nn.Module):
    """Of images of 64 pixels, or of 128."""

    def __init__(self, size: int, width: int, told: bool) -> None:
        super().__init__()
        chain = layer(3, width, 4, norm=False)
        for k in range(3):
            chain += layer(width << k, width << (k + 1), 4)
        self.img_code_s16 = nn.Sequential(*chain)
        if size == 128:
            self.img_code_s32 = nn.Sequential(*layer(8 * width, 16 * width, 4))
            self.img_code_s32_1 = nn.Sequential(*layer(16 * width, 8 * width, 3))
        self.logits = nn.Sequential(nn.Conv2d(8 * width, 1, 4, 4))
        if told:
            self.jointConv = nn.Sequential(*layer(8 * width + CONDITION, 8 * width, 3))
            self.uncond_logits = nn.Sequential(nn.Conv2d(8 * width, 1, 4, 4))

    def forward(self, x: Tensor, condition: Tensor | None) -> list[Tensor]:
        x = self.img_code_s16(x)
        if hasattr(self, "img_code_s32"):
            x = self.img_code_s32_1(self.img_code_s32(x))
        if condition is None:
            return [self.logits(x).flatten(1)]
        joined = self.jointConv(tiled(condition, x))
        return [self.logits(joined).flatten(1), self.uncond_logits(x).flatten(1)]
