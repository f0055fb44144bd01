"""Networks of the Hugging Face hub, ``hf:user/name``: checkpoint folders of ours, fetched and sent by its own client.

Only files that a checkpoint of ours may have are fetched, and no larger ones than those may be. They are opened like
any other folder: nothing in it is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from organza.core.cache import cache_root
from organza.core.download import offline_wished
from organza.core.errors import UserError
from organza.core.text import printable

PREFIX = "hf:"
TEXTS = ("config.json", "checksums.json", "card.json", "LICENCE-NOTE.txt")
TENSORS = ("ema.safetensors", "nets.safetensors", "norm.safetensors")
NEEDED = ("config.json", "ema.safetensors")
MOST = dict.fromkeys(TEXTS, 4 << 20) | dict.fromkeys(TENSORS, 4 << 30)
"""The files that are fetched, and the most bytes that each may have."""


def repository(text: str) -> tuple[str, str | None]:
    """The repository and the revision that ``hf:user/name`` or ``hf:user/name@revision`` means.

    Raises:
        UserError: it means none.

    Example:
        >>> repository("hf:me/faces"), repository("hf:me/faces@v1")
        (('me/faces', None), ('me/faces', 'v1'))
        >>> repository("hf:faces")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: hf:faces: is no network of the hub; write hf:user/name
    """
    match = re.fullmatch(r"hf:([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,96}))?", text, re.ASCII)
    if match is None or ".." in text:
        raise UserError("is no network of the hub", where=text, hint="write hf:user/name")
    return match[1], match[2]


def fetch(text: str, *, offline: bool | None = None) -> Path:
    """The folder of a network of the hub, from the cache where it did not change.

    Args:
        text: see `repository`.
        offline: take what is in the cache; None does as ``ORGANZA_OFFLINE`` says.

    Raises:
        UserError: it can't be had, or holds no network of Organza.
    """
    name, revision = repository(text)
    hub = client(text)
    where: dict[str, Any] = {"repo_id": name, "cache_dir": cache_root() / "hub", "allow_patterns": list(MOST)}
    with understood(text):
        if offline_wished() if offline is None else offline:
            return Path(hub.snapshot_download(**where, revision=revision, local_files_only=True))
        about = api(hub).model_info(name, revision=revision, files_metadata=True)
        check({file.rfilename: file.size for file in about.siblings or ()}, text)
        # By the name of the revision, not by what it means now: so the cache knows it when the hub is out of reach.
        folder = Path(hub.snapshot_download(**where, revision=revision, endpoint=endpoint(), tqdm_class=quiet()))
        if folder.name != about.sha:
            raise UserError("changed while it was looked at", where=text, hint="try again")
        return folder


def check(sizes: dict[str, int | None], text: str) -> None:
    """See that a repository's files are those of a network of ours, and of sizes that may be fetched.

    Raises:
        UserError: they are not.

    Example:
        >>> check({"config.json": 100, "ema.safetensors": 1 << 40}, "hf:me/faces")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: hf:me/faces: ema.safetensors has 1,048,576 MB, more than the 4,096 that ...
    """
    for name in NEEDED:
        if name not in sizes:
            hint = "`organza push` makes such; fetch files of others by hand and give their path"
            raise UserError(f"holds no network of Organza ({name} is missing)", where=text, hint=hint)
    for name, most in MOST.items():
        size = sizes.get(name)
        if name in sizes and size is None:
            raise UserError(f"the hub does not say how large {name} is", where=text)
        if size is not None and size > most:
            what = f"{name} has {size >> 20:,} MB, more than the {most >> 20:,} that it may have"
            raise UserError(what, where=text)


def client(text: str) -> Any:
    """The package huggingface_hub.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        hint = 'install it with pip install "organza[hub]"'
        raise UserError("networks of the hub need the package huggingface_hub", where=text, hint=hint) from None
    return huggingface_hub


def api(hub: Any) -> Any:
    """The hub's interface, at the address that ``HF_ENDPOINT`` names or the client's own."""
    return hub.HfApi(endpoint=endpoint(), library_name="organza")


def endpoint() -> str | None:
    """What ``HF_ENDPOINT`` says now; the client reads it only when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def quiet() -> Any:
    """A progress bar that shows nothing."""
    from tqdm import tqdm

    class Quiet(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **more: Any) -> None:
            more.pop("name", None)
            super().__init__(*args, **{**more, "disable": True})

    return Quiet


@contextmanager
def understood(text: str) -> Iterator[None]:
    """Turns what the client raises into one line.

    Raises:
        UserError: what it was.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of the client's own kinds, of the HTTP library's, of the system's
        names = {kind.__name__ for kind in type(error).__mro__}
        if {"LocalEntryNotFoundError", "OfflineModeIsEnabled"} & names:
            what, hint = "is not downloaded yet, and the hub can't be reached", "go online once"
        elif "GatedRepoError" in names:
            what, hint = "is given only to those who ask its owner", "ask on its page, then run `hf auth login`"
        elif {"RepositoryNotFoundError", "RevisionNotFoundError"} & names:
            what, hint = "there is no such network, or it is private", "look at the name, or run `hf auth login`"
        elif "LocalTokenNotFoundError" in names or getattr(getattr(error, "response", None), "status_code", 0) in (
            401,
            403,
        ):
            what, hint = "the hub does not know who you are, or you may not do this", "run `hf auth login`"
        else:
            what, hint = f"the hub can't be used ({printable(error, 160)})", "try again later"
        raise UserError(what, where=text, hint=hint) from error
