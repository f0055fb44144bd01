"""The game of one generator against one discriminator: loss, penalty, clipping, optimizer and labels are settings.

The methods that play it differ in networks and defaults; their files say which paper changed what. Losses are in
`organza.nn.losses`, penalties in `organza.nn.penalties`, the ways in which D learns of labels in `organza.nn.critic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Adam, Method, Nets, Optimizer, Phase, Player, Result, RMSprop, Use
from organza.contract.model import Latents
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.critic import Critic, LabelD, label_error
from organza.nn.losses import GAME, GameLoss
from organza.nn.penalties import Function, clip_weights, interpolate, r1, r2, wgan_gp

Penalty = Literal["none", "wgan-gp", "wgan-lp", "zero-centred", "r1", "r2", "r1+r2"]
Beta = Annotated[float, Range(least=0, below=1)]


@dataclass(frozen=True, kw_only=True)
class Game(Augmented):
    """Settings of the game, whatever the networks; the defaults are the first GAN's."""

    loss: GameLoss = "non-saturating"
    """What D and G minimise."""
    penalty: Penalty = "none"
    """A penalty on the gradient of D's score: its norm near 1 (wgan-gp) or at most 1 (wgan-lp) between real and
    generated images, or near 0 there (zero-centred), at real images (r1), at generated ones (r2), at both."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the penalty: lambda; of r1 and r2 gamma, of which half counts."""
    clip: PositiveOrZero = 0.0
    """Cut D's weights off at this bound after each of its steps (WGAN: 0.01); 0 leaves them."""
    critic_steps: Count = 1
    """Steps of D for each step of G."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Of both networks."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks."""
    beta1: Beta = 0.5
    """Adam's first beta."""
    beta2: Beta = 0.999
    """Adam's second beta."""
    label_d: LabelD = "join"
    """How D learns of labels, where the data has any: as part of its input (cGAN), by naming them (AC-GAN), or by a
    product with its features (projection). G takes them beside z."""
    class_weight: PositiveOrZero = 1.0
    """Weight of the cross-entropy of labels, with auxiliary, for D and G."""


def standard_normal(batch: Batch, z_dim: int, rng: torch.Generator) -> Tensor:
    """Latent codes ``[N, z_dim]``, one for each image of ``batch``."""
    return torch.randn([len(batch), z_dim], generator=rng, device=batch.images.device)


def game(
    settings: Game, spec: DataSpec, generator: nn.Module, critic: Critic, latents: Latents, bf16: tuple[Use, ...] = ()
) -> Method:
    """The two players and their phases, ``D`` before ``G``; each samples codes of its own, for the labels of the batch.

    Args:
        settings: of the game.
        spec: of the images.
        generator: what ``latents`` makes images with, ``G``.
        critic: ``D``.
        latents: the model that comes of it.
        bf16: see `Method.bf16`.
    """
    rule, augmenter = GAME[settings.loss], Augmenter(settings)

    def generated(nets: Nets, batch: Batch, rng: torch.Generator) -> Tensor:
        z = standard_normal(batch, latents.z_dim, rng)
        images: Tensor = nets["G"](latents.mapping(nets["G"], z, batch.labels)[:, 0])
        return images

    def seen_by_d(nets: Nets, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        d = nets["D"]
        assert isinstance(d, Critic)
        return d.outputs(images, batch.labels)

    def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        with torch.no_grad():
            fakes = generated(nets, batch, rng)
            reals, fakes = augmenter(batch.images, rng), augmenter(fakes, rng)
        real, named = seen_by_d(nets, reals, batch)
        fake, named_fake = seen_by_d(nets, fakes, batch)
        loss = rule.d(real, fake).mean()
        stats = {"scores/real": real.mean(), "scores/fake": fake.mean()}
        if settings.loss == "wasserstein":
            stats["convergence/wasserstein"] = -loss
        if not rule.pairs:
            stats["signs/real"] = rule.signs(real, fake).mean()
        if named is not None and named_fake is not None:
            errors = label_error(spec, named, batch.labels) + label_error(spec, named_fake, batch.labels)
            loss, stats["terms/classes/D"] = loss + settings.class_weight * errors.mean(), errors.mean()
        if settings.penalty != "none":
            penalty = gradient_penalty(settings.penalty, lambda x: nets["D"](x, batch.labels), reals, fakes, rng)
            loss, stats["penalty/gradient"] = loss + settings.gp_weight * penalty, penalty
        stats = {"loss/D": loss, **stats, **augmenter.measure(batch, rule.signs(real, fake))}
        return Result(loss, stats)

    def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        real = None
        fake, named = seen_by_d(nets, augmenter(generated(nets, batch, rng), rng), batch)
        if rule.g_looks_at_reals:
            with torch.no_grad():
                real = nets["D"](augmenter(batch.images, rng), batch.labels)
        loss, stats = rule.g(real, fake).mean(), {}
        if named is not None:
            error = label_error(spec, named, batch.labels).mean()
            loss, stats["terms/classes/G"] = loss + settings.class_weight * error, error
        return Result(loss, {"loss/G": loss.detach(), **stats})

    def after_d(nets: Nets, result: Result, rng: torch.Generator) -> None:
        if settings.clip:
            clip_weights(nets["D"], settings.clip)
        augmenter.after(nets, result, rng)

    optimizer: Optimizer = RMSprop(settings.lr)
    if settings.optimizer == "adam":
        optimizer = Adam(settings.lr, (settings.beta1, settings.beta2))
    return Method(
        nets={"G": generator, "D": critic},
        players={"D": Player(("D",), optimizer), "G": Player(("G",), optimizer)},
        phases=(
            Phase("D", "D", d_loss, after=after_d, shapes=augmenter.shapes),
            Phase("G", "G", g_loss, every=settings.critic_steps),
        ),
        models={"G": latents},
        ema=("G",),
        augment=augmenter if settings.augment != "none" else None,
        state=augmenter.state,
        convergence="convergence/wasserstein" if settings.loss == "wasserstein" else None,
        bf16=bf16,
    )


def gradient_penalty(kind: Penalty, function: Function, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """A penalty of `Game.penalty`, a mean over the batch, before its weight; of r1 and r2 with the half.

    Args:
        kind: which; not ``"none"``.
        function: the critic, ``[N, C, H, W] -> scores``.
        real, fake: ``[N, C, H, W]``.
        rng: places points between them.

    Example:
        >>> steep, images = lambda x: 3 * x.flatten(1).mean(1), torch.zeros(2, 1, 1, 1)
        >>> rng = torch.Generator()
        >>> [gradient_penalty(k, steep, images, images, rng).item() for k in ("wgan-gp", "zero-centred", "r1", "r1+r2")]
        [4.0, 9.0, 4.5, 9.0]
    """
    if kind in ("r1", "r2", "r1+r2"):
        total = real.new_zeros(())
        if "r1" in kind:
            total = total + r1(function, real).mean() / 2
        return total + r2(function, fake).mean() / 2 if "r2" in kind else total
    between = interpolate(real, fake, rng)
    if kind == "zero-centred":  # Thanh-Tung et al. 2019 (arXiv 1902.03984), eq. 5
        return r1(function, between).mean()
    return wgan_gp(function, between, one_sided=kind == "wgan-lp").mean()
