"""Whose file is it? The one list of formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from organza.core.errors import UserError
from organza.formats.nvidia import pickles as nvidia
from organza.formats.nvidia import tensorflow as nvidia_tf
from organza.formats.ports import cut, discogan, junyanz, lucidrains, mmgeneration, paddlegan, progan_torch, rosinality
from organza.formats.ports.foreign import whose
from organza.formats.weights import Weights
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

FORMATS: dict[Callable[[Opened], bool], Callable[[Opened], Weights]] = {
    nvidia.recognise: nvidia.read,
    nvidia_tf.recognise: nvidia_tf.read,
    paddlegan.recognise: paddlegan.read,
    rosinality.recognise: rosinality.read,
    mmgeneration.recognise: mmgeneration.read,
    lucidrains.recognise: lucidrains.read,
    progan_torch.recognise: progan_torch.read,
    junyanz.recognise: junyanz.read,
    cut.recognise: cut.read,
    discogan.recognise: discogan.read,
}
"""How to tell a format, and how to read it."""


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
    for recognise, read in FORMATS.items():
        try:
            if recognise(opened):
                return read(opened)
        except UserError:
            raise
        except RefusedError as error:
            raise UserError(f"refused: {error}", where=opened.path) from None
        except Exception as error:  # a value of a kind that no honest file has there
            reason = f"an odd value ({type(error).__name__}: {' '.join(str(error).split())[:80]})"
            raise UserError(f"refused: {reason}", where=opened.path) from error
    raise UserError(unknown(opened), where=opened.path, hint="`organza inspect` shows what is in it")


def unknown(opened: Opened) -> str:
    """Why a file that could be opened is of no use."""
    known = whose(opened)
    what = "not a network that I know" if known is None else f"this is {known}, which Organza can't use"
    if opened.foreign:
        what += f"; it names {', '.join(opened.foreign[:3])}, which was not run"
    return what
