"""Whose file is it? The one list of formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from organza.core.errors import UserError
from organza.formats.nvidia import pickles as nvidia
from organza.formats.nvidia import tensorflow as nvidia_tf
from organza.formats.ports import (
    animegan2,
    bicyclegan,
    cartoongan,
    cut,
    dense_gan,
    discogan,
    junyanz,
    lucidrains,
    mmgeneration,
    mmgeneration_translators,
    paddlegan,
    paddlegan_translators,
    photo2cartoon,
    pix2pixhd,
    progan_torch,
    rosinality,
    stackgan,
    stackgan_v2,
    stargan,
    ugatit,
    vid2vid,
)
from organza.formats.ports.foreign import whose
from organza.formats.weights import Weights
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

Understand = Callable[[Opened], Weights | None]
"""What a file holds, or None where it is of another format."""


def _if(recognise: Callable[[Opened], bool], read: Callable[[Opened], Weights]) -> Understand:
    return lambda opened: read(opened) if recognise(opened) else None


FORMATS: tuple[Understand, ...] = (
    _if(nvidia.recognise, nvidia.read),
    _if(nvidia_tf.recognise, nvidia_tf.read),
    _if(paddlegan.recognise, paddlegan.read),
    _if(rosinality.recognise, rosinality.read),
    _if(mmgeneration.recognise, mmgeneration.read),
    _if(lucidrains.recognise, lucidrains.read),
    _if(progan_torch.recognise, progan_torch.read),
    paddlegan_translators.understood,
    mmgeneration_translators.understood,
    bicyclegan.understood,
    vid2vid.understood,
    pix2pixhd.understood,
    junyanz.understood,
    cut.understood,
    discogan.understood,
    cartoongan.understood,
    animegan2.understood,
    stackgan.understood,
    stackgan_v2.understood,
    photo2cartoon.understood,
    _if(ugatit.recognise, ugatit.read),
    _if(stargan.recognise, stargan.read),
    dense_gan.understood,
)
"""The formats, in the order in which they are tried."""


PARTS = ("ema.safetensors", "nets.safetensors", "resume.safetensors")
"""Files of a checkpoint of ours, which lie beside its ``config.json``."""


def read_weights(path: str | Path) -> Weights:
    """Understand a file of weights. Nothing in it is run; tensors are read when they are asked for.

    Raises:
        UserError: unreadable, broken, hostile or unknown; says which.
    """
    return understand(open_file(Path(path)))


def understand(opened: Opened) -> Weights:
    """The same for a file that is opened already.

    Raises:
        UserError: unknown, or not to be used.
    """
    if opened.path.name in PARTS and (opened.path.parent / "config.json").exists():
        raise UserError("a part of a checkpoint", where=opened.path, hint="give its folder")
    for understood in FORMATS:
        try:
            if (weights := understood(opened)) is not None:
                return weights
        except UserError:
            raise
        except RefusedError as error:
            raise UserError(f"refused: {error}", where=opened.path) from None
        except Exception as error:  # a value of a kind that no honest file has there
            reason = f"an odd value ({type(error).__name__}: {' '.join(str(error).split())[:80]})"
            raise UserError(f"refused: {reason}", where=opened.path) from error
    what = unknown(opened)
    beside = "give the generator's file; this one is read if it lies beside it"
    alone = "without its generator" in what and "(junyanz)" in what
    raise UserError(what, where=opened.path, hint=beside if alone else "`organza inspect` shows what is in it")


def unknown(opened: Opened) -> str:
    """Why a file that could be opened is of no use."""
    known = whose(opened)
    what = "not a network that I know" if known is None else f"this is {known}, which Organza can't use"
    if opened.foreign:
        what += f"; it names {', '.join(opened.foreign[:3])}, which was not run"
    return what
