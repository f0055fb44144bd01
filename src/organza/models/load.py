"""Trained networks from whatever holds them: ours, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from organza.contract.model import Latents
from organza.core.device import Precision, choose_device, choose_dtype
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.formats import locate, read_weights
from organza.formats.folder import read_folder
from organza.formats.weights import Weights
from organza.models.generator import Generator
from organza.models.norm_mode import stored
from organza.models.staged import in_stages
from organza.models.translator import Translator
from organza.training import checkpoint

log = logger(__name__)

Networks = Literal["ema", "all"]
T = TypeVar("T")


def load(
    path: str | Path,
    networks: Networks = "ema",
    *,
    model: str | None = None,
    group: str | None = None,
    device: str | None = None,
    precision: Precision = "float32",
) -> Generator | Translator:
    """Open a trained network: ours, or somebody else's.

    Args:
        path: a run's folder (its newest intact checkpoint is taken), one checkpoint, a file of NVIDIA, rosinality or
            lucidrains, its address, or a name such as ``"ffhq256"``.
        networks: ``"ema"``, the (averaged) generator alone, or ``"all"``, with the discriminator.
        model: which, where a method trains several: ``"AtoB"`` or ``"BtoA"``; None takes the first.
        group: of a training in stages, whose model: ``"old-male"``; None takes that of all images.
        device: ``"cpu"``, ``"cuda"``, ...; None takes the GPU where there is one.
        precision: format of activations: ``"float32"``, ``"bf16"``, or ``"auto"``: bf16 where the processor
            multiplies it natively and the method allows it (docs/performance.md says how far off that is).

    Raises:
        UserError: nothing there that Organza can read, it is broken, or it has no such model.

    Example:
        >>> G = load(tiny_run, networks="all")
        >>> images = G.synthesis(G.mapping(G.z([0, 1, 2, 3]), psi=0.7))
        >>> G.discriminator(images).shape
        torch.Size([4, 1])
    """
    here = locate(path)
    choose_device(device)  # before anything large is read
    if group is not None:
        here = in_stages(here, group)
    if here.is_file():
        weights = read_weights(here)
        weights.announce()
        return opened(weights, networks, model, device, precision)
    return newest(here, lambda folder: opened(read_folder(folder), networks, model, device, precision))


def load_generator(
    path: str | Path, networks: Networks = "ema", *, device: str | None = None, precision: Precision = "float32"
) -> Generator:
    """`load`, where nothing but a generator will do.

    Raises:
        UserError: as `load`, or it is a translator.
    """
    found = load(path, networks, device=device, precision=precision)
    if isinstance(found, Generator):
        return found
    raise UserError(f"{found.kind} makes images from images, not from seeds", where=path, hint="use organza translate")


def load_translator(
    path: str | Path,
    networks: Networks = "ema",
    *,
    model: str | None = None,
    group: str | None = None,
    device: str | None = None,
    precision: Precision = "float32",
) -> Translator:
    """`load`, where nothing but a translator will do.

    Raises:
        UserError: as `load`, or it is a generator.
    """
    found = load(path, networks, model=model, group=group, device=device, precision=precision)
    if isinstance(found, Translator):
        return found
    raise UserError(f"{found.kind} makes images from seeds, not from images", where=path, hint="use organza generate")


def newest(path: Path, read: Callable[[Path], T]) -> T:
    """What ``read`` makes of the newest whole checkpoint that ``path`` may mean; what it passes over is told.

    Raises:
        UserError: there is none.
    """
    return checkpoint.first_whole(candidates(path), read, log.warning)


def candidates(path: Path) -> list[Path]:
    """The checkpoints that ``path`` may mean, best first.

    Raises:
        UserError: there are none.
    """
    if not path.exists():
        raise UserError("does not exist", where=path, hint="give the folder of a run, such as runs/00000-...")
    if (path / "ema.safetensors").exists():
        return [path]
    path = in_stages(path, None)
    found = list(checkpoint.newest_first(path / "checkpoints")) or list(checkpoint.newest_first(path))
    if not found:
        raise UserError("holds no checkpoint", where=path, hint="give the folder of a run that has saved one")
    return found


def opened(
    weights: Weights, networks: Networks, model: str | None, device: str | None, precision: Precision
) -> Generator | Translator:
    """A model of ``weights``, ready for use."""
    method, chosen = weights.build(model, critic=networks == "all")
    place = choose_device(device)
    for net in method.nets.values():
        net.eval().requires_grad_(False)
    net, critic = method.nets[chosen.net].to(place), chosen.critic and method.nets[chosen.critic].to(place)
    dtype = choose_dtype(precision, place, auto_bf16="sampling" in method.bf16)
    encoder = None if chosen.encoder is None else method.nets[chosen.encoder].to(place)
    parts = (net, critic or None, place, dtype, weights.path)
    if isinstance(chosen, Latents):
        words = None if chosen.text is None else chosen.text.encoder
        reader, classifier = (name and method.nets[name].to(place) for name in (words, chosen.classifier))
        own = (weights.method, weights.spec, chosen, *parts, encoder)
        return Generator(*own, reader=reader or None, classifier=classifier or None)
    names = tuple(method.models)
    name = model or names[0]
    made = Translator(weights.method, weights.spec, chosen, *parts, name=name, names=names, encoder=encoder)
    return stored(weights.path, made)
