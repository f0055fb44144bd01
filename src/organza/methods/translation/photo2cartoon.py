"""Photo2Cartoon.

minivision-ai: photo2cartoon, 2020, https://github.com/minivision-ai/photo2cartoon; there is no paper.

What it changed in U-GAT-IT (Kim et al. 2020, arXiv 1907.10830, whose equations are meant below): a portrait should stay
who it is. Hourglasses before and after the translator find the parts of a face at all sizes. Soft-AdaLIN lets the
image's own content have a say in each layer's style. And a frozen network that knows faces compares each photograph
with its cartoon. Cycles weigh five times as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Direction, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero, Range
from organza.methods.translation.cyclegan import distance, source_of
from organza.methods.translation.photo2cartoon_nets import HALVED, HourglassGenerator, sides
from organza.methods.translation.pix2pix import plain_apply
from organza.methods.translation.ugatit import adversarial, critic_loss, halvings, heat, round_trips
from organza.nn.adalin import clip_rho, clip_w
from organza.nn.attention_nets import AttentionDiscriminator
from organza.nn.losses import logistic_d
from organza.vision.face_id import cosine_distance, find_face_id, open_face_id


@dataclass(frozen=True)
class Photo2Cartoon:
    """Settings of Photo2Cartoon; the defaults are those of the published network, which is the light version."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 32
    """Feature maps of the generators at full resolution, a multiple of 4; doubled at each of two halvings."""
    blocks: Depth = 4
    """Residual blocks before the attention, and as many after it."""
    levels: Annotated[int, Range(least=1, most=12)] | None = None
    """Halvings of the hourglasses. None: 4, or as many as the images allow."""
    light: bool = True
    """The style comes from the mean of each feature map instead of all features, and images of any size can be
    translated."""
    width_d: Count = 32
    """Feature maps of the discriminators' first layer."""
    halvings_global: Depth | None = None
    """Halvings of the global discriminators. None: 5, or as many as the images allow."""
    halvings_local: Depth | None = None
    """Halvings of the local discriminators. None: 3, or as many as the images allow."""
    adversarial_weight: PositiveOrZero = 1.0
    """Weight of the generators' adversarial terms."""
    cycle_weight: PositiveOrZero = 50.0
    """Weight of the L1 distance between an image and what comes back of it."""
    identity_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between an image and its translation into its own set."""
    cam_weight: PositiveOrZero = 1000.0
    """Weight of the generators' auxiliary classifiers."""
    face_weight: PositiveOrZero = 1.0
    """Weight of the cosine distance between the faces of an image and of its translation. 0 needs no network for it."""
    face_id: str | None = None
    """File of the network that knows faces: model_mobilefacenet.pth or faceres.onnx."""
    weights_dir: str | None = None
    """Folder of helper networks; the one for faces is in its folder faces."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    weight_decay: PositiveOrZero = 0.0001
    """L2 term in the gradients."""

    def resolve(self, spec: DataSpec, batch: int) -> Photo2Cartoon:
        """The same with networks that fit the images, and the file of the network that knows faces.

        Raises:
            UserError: the images are too small for what was asked for, or there is no such file.
        """
        short = min(spec.resolution)
        whole, local = halvings(spec, self.halvings_global, self.halvings_local)
        fitting = [n for n in (4, 3, 2) if not any(side % 2**n for side in spec.resolution) and short >= 2 ** (n + 1)]
        return replace(
            self,
            levels=self.levels or next(iter(fitting), 1),
            halvings_global=whole,
            halvings_local=local,
            face_id=self._face_file(),
        )

    def _face_file(self) -> str | None:
        if not self.face_weight:
            return self.face_id
        if self.face_id is None and self.weights_dir is None:
            what = "photo2cartoon compares faces by a network that does not come with Organza"
            hint = "say --face-id FILE (model_mobilefacenet.pth or faceres.onnx), or go on with --face-weight 0"
            raise UserError(what, hint=hint)
        file = self.face_id if self.face_id is not None else str(find_face_id(self.weights_dir or ""))
        open_face_id(file)
        return file

    def like(self, other: Photo2Cartoon, spec: DataSpec) -> Photo2Cartoon:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "levels", "light", "width_d", "halvings_global", "halvings_local")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> Photo2Cartoon:
        """Tiny networks that know no faces, for tests."""
        return replace(self, width=4, blocks=1, levels=1, width_d=2, face_weight=0.0)

    def build(self, spec: DataSpec) -> Method:
        """Two generators, four discriminators, and their two phases.

        Raises:
            UserError: images of this size or with these channels can't be translated.
        """
        if self.levels is None or self.halvings_global is None or self.halvings_local is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        self._check(spec, self.levels)
        forth = spec.direction
        back: Direction = "BtoA" if forth == "AtoB" else "AtoB"
        there, home, critic, critic_home = f"G_{forth}", f"G_{back}", f"D_{forth[-1]}", f"D_{back[-1]}"

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = source_of(batch), batch.images
            with torch.no_grad():
                fakes, fakes_home = nets[there](source), nets[home](target)
            total, stats = torch.zeros((), device=target.device), Stats()
            for name, real, fake in ((critic, target, fakes), (critic_home, source, fakes_home)):
                loss = critic_loss(nets[name], real, fake) + critic_loss(nets[f"{name}_local"], real, fake)
                total, stats[f"loss/{name}"] = total + loss, loss
            return Result(total, {"loss/D": total, **stats})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = source_of(batch), batch.images
            zero = torch.zeros((), device=target.device)
            terms = dict.fromkeys(("adversarial", "cycle", "identity", "cam", "face"), zero)
            ways = ((there, home, critic, source, target), (home, there, critic_home, target, source))
            for one, other, judge, images, own in ways:
                outputs, logits = _with_logits(nets[one], images)
                kept, logits_kept = _with_logits(nets[one], own)
                terms["cycle"] = terms["cycle"] + distance(nets[other](outputs), images)  # equation 3
                terms["identity"] = terms["identity"] + distance(kept, own)  # equation 4
                terms["cam"] = terms["cam"] + logistic_d(logits, logits_kept).mean()  # equation 5
                for net in (nets[judge], nets[f"{judge}_local"]):
                    terms["adversarial"] = terms["adversarial"] + adversarial(net, outputs)  # equations 2 and 6
                if self.face_weight:
                    terms["face"] = terms["face"] + face_loss(nets["face_id"], images, outputs)
            loss = (
                self.adversarial_weight * terms["adversarial"]
                + self.cycle_weight * terms["cycle"]
                + self.identity_weight * terms["identity"]
                + self.cam_weight * terms["cam"]
                + self.face_weight * terms["face"]
            )
            shown = {f"terms/{name}": term for name, term in terms.items() if name != "face" or self.face_weight}
            return Result(loss, {"loss/G": loss, **shown})

        def clip(nets: Nets, result: Result, rng: torch.Generator) -> None:
            for name in (there, home):
                clip_rho(nets[name])
                clip_w(nets[name])

        adam = Adam(self.lr, (self.beta1, 0.999), weight_decay=self.weight_decay)
        size = None if self.light else spec.resolution
        shape: dict[str, Any] = {"blocks": self.blocks, "width": self.width, "size": size, "levels": self.levels}
        multiple, least = sides(self.levels)
        used: dict[str, Any] = {"apply": plain_apply, "multiple": multiple, "least": least, "heat": heat, "only": size}
        critics: dict[str, nn.Module] = {}
        for name, channels in ((critic, spec.channels), (critic_home, spec.source)):
            critics[name] = AttentionDiscriminator(channels, self.halvings_global, self.width_d)
            critics[f"{name}_local"] = AttentionDiscriminator(channels, self.halvings_local, self.width_d)
        return Method(
            nets={
                there: HourglassGenerator(spec.source, spec.channels, **shape),
                home: HourglassGenerator(spec.channels, spec.source, **shape),
                **critics,
            },
            players={"G": Player((there, home), adam), "D": Player(tuple(critics), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss, after=clip)),
            models={
                forth: Translation(there, spec.source, spec.channels, critic=critic, **used),
                back: Translation(home, spec.channels, spec.source, critic=critic_home, **used),
            },
            frozen={"face_id": partial(open_face_id, self.face_id)} if self.face_weight and self.face_id else {},
            preview=lambda nets, batch, rng: round_trips(nets[there], nets[home], batch),
        )

    def _check(self, spec: DataSpec, levels: int) -> None:
        if spec.source != spec.channels:  # each generator is shown images of its own set as well
            what = f"photo2cartoon needs two sets of the same channels, not {spec.source} and {spec.channels}"
            raise UserError(what, hint="say --channels 3")
        if self.width % HALVED:
            raise UserError(
                f"hourglasses can't be {self.width} maps wide", hint="take a --width that is a multiple of 4"
            )
        (height, width), (multiple, least) = spec.resolution, sides(levels)
        if height % multiple or width % multiple or min(height, width) < least:
            what = f"photo2cartoon can't translate images of {height}x{width}"
            shallower = " or fewer --levels" if levels > 1 else ""
            raise UserError(what, hint=f"take sides that are multiples of {multiple}, {least} at least{shallower}")


def face_loss(net: nn.Module, images: Tensor, outputs: Tensor) -> Tensor:
    """How far the faces of outputs are from those of the images that they come from: the mean cosine distance.

    Args:
        net: a `FaceId`.
        images, outputs: ``[N, C, H, W]`` in [-1, 1].
    """
    with torch.no_grad():
        found: Tensor = net(images)
    return cosine_distance(found, net(outputs)).mean()


def _with_logits(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = net.with_logits(images)  # type: ignore[operator]
    return found
