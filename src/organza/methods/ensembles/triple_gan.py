"""Triple-GAN.

Chongxuan Li, Kun Xu, Jun Zhu, Bo Zhang: Triple Generative Adversarial Nets. NeurIPS 2017, arXiv 1703.02291.

Learns classes from a few labelled images and many others. A classifier C gives images labels, a generator G makes
images for labels, and a discriminator D tells such pairs from real ones. In a game of two, D would have to look at
images and labels at once; here C and G are not each other's adversaries, and both can be right (section 3). Networks,
weights and schedule are those of the authors' code for MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, PositiveOrZero, Range
from organza.nn.ensembles import cross_entropy, triple_c, triple_d, triple_g, unlabelled_c
from organza.nn.joined import joined_latents
from organza.nn.normed import NormedLinear


@dataclass(frozen=True)
class TripleGAN:
    """Settings of Triple-GAN; the defaults are those of the authors' code for MNIST with 100 labels."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "labelled"
    alone: bool = False
    """Train the classifier on the labelled images alone: what the game must beat."""
    z_dim: Count = 100
    """Length of the latent vector, of numbers uniform between 0 and 1."""
    width: Count = 500
    """Units of the generator's two hidden layers."""
    width_d: Annotated[int, Range(least=4, most=2**20)] = 1000
    """Units of the discriminator's first layer; the others have a half and a quarter."""
    width_c: Count = 32
    """Feature maps of the classifier's first layer; the others have twice and four times as many."""
    labelled_d: Count = 1
    """Labelled pairs among the real ones of a step of D, beside a batch of images with the classifier's labels."""
    entropy_weight: PositiveOrZero = 0.3
    """Weight of the classifier's entropy on unlabelled images: it should be sure of each."""
    balance_weight: PositiveOrZero = 0.001
    """Weight of the term that lets the classifier use all classes alike."""
    decay: PositiveOrZero = 0.0001
    """Weight of the squares of the classifier's last layer."""
    generated_weight: PositiveOrZero = 0.1
    """Weight of the classifier's cross-entropy on generated images."""
    generated_from: CountOrZero = 300
    """Epoch from which on that counts."""
    warmup_epochs: CountOrZero = 30
    """Epochs at the start in which the classifier alone learns, from labelled and unlabelled images (the authors' code
    has them where there are 100 labels or fewer)."""
    warmup_balance: PositiveOrZero = 0.3
    """The balance weight meanwhile."""
    warmup_rate: PositiveOrZero = 0.3
    """Factor on the learning rate meanwhile."""
    steady_epochs: CountOrZero = 300
    """Epochs of the game with a constant rate; then it is multiplied by 0.995 at each."""
    lr: PositiveOrZero = 0.001
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> TripleGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: TripleGAN, spec: DataSpec) -> TripleGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width, width_d=other.width_d, width_c=other.width_c)

    def toy(self) -> TripleGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=8, width_d=16, width_c=4, generated_from=0, warmup_epochs=0)

    def build(self, spec: DataSpec) -> Method:
        """The three networks and their phases: D, G, C, or C alone.

        Raises:
            UserError: no classes, or images too small for the classifier.
        """
        if not spec.label_dim or any(part.kind != "classes" for part in spec.label_sets):
            what = "Triple-GAN learns classes, and these labels are none"
            raise UserError(what, hint="give a class for each image: --labels folders, or a table with one column")
        if min(spec.resolution) < 12:
            raise UserError(f"{min(spec.resolution)} pixels are too few for the classifier", hint="it needs 12")

        def generated(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
            """Images and their labels, every class as likely."""
            device = batch.images.device
            z = torch.rand([len(batch), self.z_dim], generator=rng, device=device) * 2 - 1
            classes = torch.randint(spec.label_dim, [len(batch)], generator=rng, device=device)
            labels = F.one_hot(classes, spec.label_dim).float()
            return nets["G"](torch.cat([z, labels], 1)), labels

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            D = nets["D"]
            with torch.no_grad():
                fakes, asked = generated(nets, batch, rng)
                named = likeliest(nets["C"](batch.images))
            known = labelled(batch)
            images = torch.cat([known[: self.labelled_d], batch.images])
            real = D(images, torch.cat([batch.labels[: self.labelled_d], named]))
            made, said = D(fakes, asked), D(batch.images, named)
            loss = triple_d(real, made, said)
            stats = {"loss/D": loss, "scores/real": real.mean(), "scores/fake": made.mean()}
            return Result(loss, {**stats, "scores/classified": said.mean()})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss = triple_g(nets["D"](*generated(nets, batch, rng))).mean()
            return Result(loss, {"loss/G": loss.detach()})

        def supervised(nets: Nets, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            """What the labelled images ask of C."""
            C = nets["C"]
            assert isinstance(C, Classifier)
            guess = C(labelled(batch)).softmax(1)
            loss = cross_entropy(guess, batch.labels).mean()
            right = (guess.argmax(1) == batch.labels.argmax(1)).float().mean()
            return loss + self.decay * C.last.weight.square().sum(), {
                "labels/loss": loss.detach(),
                "labels/right": right,
            }

        def unsupervised(logits: Tensor, balance: float) -> Tensor:
            """What the other images ask of C before any game."""
            entropy, even = unlabelled_c(logits.softmax(1))
            return self.entropy_weight * entropy + balance * even

        def c_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss, stats = supervised(nets, batch)
            logits = nets["C"](batch.images)
            if batch.seen < self.warmup_epochs * spec.count:
                loss = loss + unsupervised(logits, self.warmup_balance)
                return Result(loss, {"loss/C": loss.detach(), **stats})
            game = triple_c(nets["D"](batch.images, likeliest(logits)), logits.softmax(1)).mean()
            loss = loss + game + unsupervised(logits, self.balance_weight)
            if batch.seen >= (self.warmup_epochs + self.generated_from) * spec.count:
                with torch.no_grad():
                    fakes, asked = generated(nets, batch, rng)
                loss = loss + self.generated_weight * cross_entropy(nets["C"](fakes).softmax(1), asked).mean()
            return Result(loss, {"loss/C": loss.detach(), "loss/game": game.detach(), **stats})

        def alone_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss, stats = supervised(nets, batch)
            return Result(loss, {"loss/C": loss.detach(), **stats})

        def schedule(clock: Clock) -> Schedule:
            epoch = clock.epoch if self.alone else clock.epoch - self.warmup_epochs
            if epoch < 0:  # stage 0: D and G wait
                return Schedule(rate=self.warmup_rate)
            return Schedule(rate=0.995 ** max(int(epoch) - self.steady_epochs + 1, 0), stage=1)

        phases = (
            Phase("D", "D", d_loss, active=bool),
            Phase("G", "G", g_loss, active=bool),
            Phase("C", "C", c_loss),
        )
        adam = Adam(self.lr, (self.beta1, 0.999))
        return Method(
            nets={"G": Generator(self.z_dim, spec, self.width), "C": Classifier(spec, self.width_c)}
            | {"D": PairCritic(spec, self.width_d)},
            players={name: Player((name,), adam) for name in ("C" if self.alone else "DGC")},
            phases=(Phase("C", "C", alone_loss),) if self.alone else phases,
            models={"G": joined_latents("G", self.z_dim, spec.label_dim, "D", "C")},
            ema=("G", "C"),
            schedule=schedule,
        )


class Generator(nn.Module):
    """A code with labels to an image: two hidden layers that are shown the labels again."""

    def __init__(self, z_dim: int, spec: DataSpec, width: int) -> None:
        super().__init__()
        self.z_dim, pixels = z_dim, spec.channels * spec.resolution[0] * spec.resolution[1]
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs + spec.label_dim, width, bias=False), nn.BatchNorm1d(width), nn.Softplus())
            for inputs in (z_dim, width)
        )
        self.last = NormedLinear(width + spec.label_dim, pixels, scaled=True)
        self.shape = nn.Unflatten(1, (spec.channels, *spec.resolution))

    def forward(self, codes: Tensor) -> Tensor:
        """``[N, z_dim + label_dim]``, the code in [-1, 1] -> ``[N, C, H, W]`` in [-1, 1]."""
        x, labels = (codes[:, : self.z_dim] + 1) / 2, codes[:, self.z_dim :]
        for layer in self.hidden:
            x = layer(torch.cat([x, labels], 1))
        images: Tensor = self.shape(2 * self.last(torch.cat([x, labels], 1)).sigmoid() - 1)
        return images


class PairCritic(nn.Module):
    """Image and label to one logit, through layers with noise before them that are shown the label again."""

    def __init__(self, spec: DataSpec, width: int) -> None:
        super().__init__()
        pixels = spec.channels * spec.resolution[0] * spec.resolution[1]
        sizes = [pixels, width, width // 2, width // 4, width // 4, width // 4]
        self.layers = nn.ModuleList(
            NormedLinear(inputs + spec.label_dim, outputs)
            for inputs, outputs in zip(sizes, [*sizes[1:], 1], strict=True)
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[N, C, H, W]``, ``[N, L]`` -> ``[N, 1]``."""
        x = (images.flatten(1) + 1) / 2
        for number, layer in enumerate(self.layers):
            if number:
                x = x.relu()
            if self.training:
                x = x + (0.5 if number else 0.3) * torch.randn_like(x)
            x = layer(torch.cat([x, labels], 1))
        return x


class Classifier(nn.Module):
    """An image to logits of its class: five convolutions with batch normalisation, and the mean over all places."""

    def __init__(self, spec: DataSpec, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(*_block(spec.channels, width, 5, 0), nn.MaxPool2d(2), nn.Dropout(0.5)),
            *_block(width, 2 * width, 3, 1),
            *(*_block(2 * width, 2 * width, 3, 0), nn.MaxPool2d(2), nn.Dropout(0.5)),
            *_block(2 * width, 4 * width, 3, 1),
            *_block(4 * width, 4 * width, 3, 1),
        )
        self.last = nn.Linear(4 * width, spec.label_dim)
        nn.init.normal_(self.last.weight, 0.0, 0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, label_dim]``."""
        logits: Tensor = self.last(self.layers((images + 1) / 2).mean((2, 3)))
        return logits


def _block(inputs: int, outputs: int, size: int, padding: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, outputs, size, 1, padding, bias=False)
    nn.init.normal_(conv.weight, 0.0, 0.05)
    return conv, nn.BatchNorm2d(outputs), nn.ReLU()


def likeliest(logits: Tensor) -> Tensor:
    """The likeliest class of each row, one-hot.

    Example:
        >>> likeliest(torch.tensor([[0.1, 2.0, -1.0]]))
        tensor([[0., 1., 0.]])
    """
    return F.one_hot(logits.argmax(1), logits.shape[1]).float()


def labelled(batch: Batch) -> Tensor:
    """The images that the batch's labels belong to."""
    assert batch.source is not None
    return batch.source
