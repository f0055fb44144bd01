"""Checkpoints: a folder that appears whole or not at all.

```
checkpoints/000012800/        named after the images seen
    config.json               the run's settings and what the networks were built for
    ema.safetensors           averaged networks: what generators use
    nets.safetensors          all networks as they train
    resume.safetensors        optimizers, method state and position
    norm.safetensors          of a translator, after training: with which statistics it is used best
    checksums.json            of each file, verified when its tensors are read
checkpoints/latest            name of the newest
```
Nothing in it can run code. Everything random in a training follows from the seed and the images seen, so there is no
generator state to keep. A number that is not finite is neither written nor read.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from organza.core.errors import UserError
from organza.core.files import atomic_folder, atomic_write, discard, read_error, write_error
from organza.core.jsons import read_json

FORMAT = 2
"""1 kept the optimizers in ``resume.pt`` and had no checksums; it is still read."""

OLDER = "use an older checkpoint"
T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """Where a training stands."""

    seen: int = 0
    step: int = 0
    seconds: float = 0.0
    stage: int = 0


@dataclass(frozen=True)
class Resume:
    """What a training needs beside the networks.

    Attributes:
        optimizers: by player, the state of each parameter by its number.
        state: the method's own tensors.
    """

    position: Position
    optimizers: Mapping[str, Mapping[int, Mapping[str, Tensor]]]
    state: Mapping[str, Tensor]


def flatten(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of several networks under names like ``G.mapping.fc0.weight``."""
    return {f"{n}.{k}": v.detach().cpu().contiguous() for n, net in nets.items() for k, v in net.state_dict().items()}


def unflatten(nets: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], where: object) -> None:
    """Copy tensors into networks; names and shapes must agree.

    Raises:
        UserError: a missing, unknown or misshaped tensor.
    """
    wanted = {f"{n}.{k}": v for n, net in nets.items() for k, v in net.state_dict().items()}
    if odd := sorted(set(wanted) ^ set(tensors)):
        raise UserError(f"tensor {odd[0]!r} is {'missing' if odd[0] in wanted else 'unknown'}", where=where)
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise UserError(f"tensor {name!r} is {list(tensors[name].shape)}, not {list(value.shape)}", where=where)
        value.copy_(tensors[name])


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are finite. One pass over memory, one wait for each device.

    Example:
        >>> finite([torch.ones(3), torch.tensor(1)]), finite([torch.tensor([0.0, float("nan")])])
        (True, False)
    """
    ends: dict[torch.device, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            ends[tensor.device] += [end.float() for end in torch.aminmax(tensor.detach())]
    return all(bool(torch.stack(found).isfinite().all()) for found in ends.values())


def write(
    path: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]],
    *,
    notes: Mapping[str, str] | None = None,
    metadata: Mapping[str, Mapping[str, str]] | None = None,
    replace: bool = False,
) -> None:
    """Write a checkpoint folder with its checksums, whole or not at all.

    Args:
        path: the folder to make.
        config: what its ``config.json`` says.
        tensors: by the names of the files that hold them (without ``.safetensors``).
        notes: text files to go with it.
        metadata: of files of tensors, by name. Weights have none: equal weights are equal files.
        replace: in the place of a folder that is there.

    Raises:
        UserError: it is there already or can't be written.
    """
    try:
        with atomic_folder(path, replace=replace) as work:
            texts = {"config.json": json.dumps({"format": FORMAT, **config}, indent=2) + "\n", **(notes or {})}
            for name, text in texts.items():
                (work / name).write_text(text, encoding="utf-8")
            for name, held in tensors.items():
                whole = {key: value.detach().cpu().contiguous() for key, value in held.items()}
                about = dict((metadata or {}).get(name, {})) or None  # an empty one makes the library write broken JSON
                save_file(whole, work / f"{name}.safetensors", metadata=about)
            sums = {file.name: _checksum(file) for file in sorted(work.iterdir())}
            (work / CHECKSUMS).write_text(json.dumps(sums, indent=2) + "\n")
    except SafetensorError as error:
        raise _unwritable(path, error) from error


def add(checkpoint: Path, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Add ``NAME.safetensors`` to a checkpoint that is there already, with its checksum.

    Raises:
        UserError: it can't be written; the checkpoint stays as it was.
    """
    path = checkpoint / f"{name}.safetensors"
    try:
        with atomic_write(path) as temporary:
            save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary, dict(about)
            )
        if (checkpoint / CHECKSUMS).exists():
            sums = read_json((checkpoint / CHECKSUMS).read_bytes(), checkpoint / CHECKSUMS)
            with atomic_write(checkpoint / CHECKSUMS) as temporary:
                temporary.write_text(json.dumps({**sums, path.name: _checksum(path)}, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError | SafetensorError) -> Exception:
    """What people are told where a disk is full: safetensors has the system's number in its words alone."""
    number = error.errno if isinstance(error, OSError) else None
    if found := re.search(r"\(os error (\d+)\)", str(error)):
        number = int(found[1])
    told = write_error(path, OSError(number or 0, str(error)))
    return told if isinstance(told, UserError) else UserError(f"cannot be written ({error})", where=path)


def read_added(checkpoint: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `add` wrote: tensors, and what it says about them. Both empty where there is none.

    Raises:
        UserError: it is not as it was written, or a number is not finite.
    """
    path = checkpoint / f"{name}.safetensors"
    return _read(checkpoint, path.name) if path.exists() else ({}, {})


def save(
    folder: Path,
    config: Mapping[str, Any],
    ema: Mapping[str, nn.Module],
    nets: Mapping[str, nn.Module],
    resume: Resume,
    *,
    keep: int = 0,
) -> Path:
    """Write a checkpoint into ``folder``, whole or not at all, and drop the oldest beyond ``keep``.

    Raises:
        UserError: the disk is full or the folder can't be written; older checkpoints stay as they were.
    """
    seen = resume.position.seen
    final = folder / f"{seen:09d}"
    try:
        # One that is there was found broken on resume, and is reached again from an older one.
        write(
            final,
            config,
            {"ema": flatten(ema), "nets": flatten(nets), "resume": _flat(resume)},
            metadata={"resume": {"position": json.dumps(asdict(resume.position))}},
            replace=True,
        )
        with atomic_write(folder / "latest") as temporary:
            temporary.write_text(final.name + "\n")
    except (OSError, UserError) as error:
        older = last_whole(folder)
        hint = "make room or rights" if older is None else f"make room or rights; {older} is intact"
        raise UserError(f"could not save a checkpoint ({error})", where=folder, hint=hint) from error
    if keep:  # not counting broken ones of the time to come, so that this one is never dropped for them
        for old in [path for path in newest_first(folder) if int(path.name) <= seen][keep:]:
            discard(old)
    return final


def newest_first(folder: Path) -> Iterator[Path]:
    """The complete checkpoints of a run, newest first."""
    if folder.is_dir():
        yield from sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdigit()), reverse=True)


def first_whole(checkpoints: Iterable[Path], read: Callable[[Path], T], say: Callable[[str], None]) -> T:
    """What ``read`` makes of the first checkpoint that it can read; ``say`` is told which ones it had to pass over.

    Raises:
        UserError: what is wrong with the first, if none can be read.
    """
    broken: list[UserError] = []
    for path in checkpoints:
        try:
            found = read(path)
        except UserError as error:
            broken.append(error)
        else:
            for reason in broken:
                say(f"warning: {reason}; passed over for {path.name}")
            return found
    raise broken[0] if broken else UserError("no checkpoint")


def content_mark(net: nn.Module) -> str:
    """A network's content as 16 hexadecimal digits: names and numbers, not where it lies."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def check(checkpoint: Path) -> Path:
    """``checkpoint`` itself, if a training could go on from it.

    Raises:
        UserError: something in it is missing, not as it was written, or not finite.
    """
    read_config(checkpoint)
    for which in ("nets", "ema"):
        read_nets(checkpoint, which)
    read_resume(checkpoint)
    return checkpoint


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint in ``folder`` that passes `check`."""
    try:
        return first_whole(newest_first(folder), check, lambda _: None)
    except UserError:
        return None


def read_config(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's ``config.json``.

    Raises:
        UserError: it is missing, broken or of a newer format.
    """
    path = checkpoint / "config.json"
    try:
        config: dict[str, Any] = read_json(path.read_bytes(), path)
        found = config.pop("format")
    except PermissionError as error:
        raise read_error(path, error) from error
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"not a readable checkpoint ({error})", where=path) from error
    if found not in (1, FORMAT):
        raise UserError(f"checkpoint format {found} is not {FORMAT}", where=path, hint="update Organza")
    return config


def read_nets(checkpoint: Path, which: str, *, verified: bool = False) -> dict[str, Tensor]:
    """The tensors of ``ema.safetensors`` or ``nets.safetensors``; ``verified``: see `verify`, which was called before.

    Raises:
        UserError: the file or ``config.json`` is missing or not as it was written, or a number is not finite.
    """
    if not verified:
        verify(checkpoint, "config.json")
    return _read(checkpoint, f"{which}.safetensors", verified=verified)[0]


def read_resume(checkpoint: Path) -> Resume:
    """What a training needs beside the networks.

    Raises:
        UserError: it is missing or not as it was written, or a number is not finite.
    """
    if not (checkpoint / "resume.safetensors").exists() and (checkpoint / "resume.pt").exists():
        return _read_format_1(checkpoint / "resume.pt")
    tensors, about = _read(checkpoint, "resume.safetensors")
    optimizers: dict[str, dict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    state = {}
    try:
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "state":
                state[rest] = tensor
            else:
                player, number, key = rest.split("/")
                optimizers[player][int(number)][key] = tensor
        return Resume(Position(**json.loads(about["position"])), optimizers, state)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"broken checkpoint ({error})", where=checkpoint / "resume.safetensors", hint=OLDER) from error


CHECKSUMS = "checksums.json"


def _flat(resume: Resume) -> dict[str, Tensor]:
    optimizers = {
        f"optimizers/{player}/{number}/{key}": value
        for player, numbered in resume.optimizers.items()
        for number, held in numbered.items()
        for key, value in held.items()
    }
    return optimizers | {f"state/{name}": tensor for name, tensor in resume.state.items()}


def _checksum(file: Path) -> str:
    """Against decay, not against malice; so the fastest that there is."""
    crc = 0
    with file.open("rb") as opened:
        while block := opened.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return f"crc32:{crc:08x}"


def verify(checkpoint: Path, name: str) -> None:
    """See whether one of a checkpoint's files is as it was written.

    Raises:
        UserError: it is not, or it is missing.
    """
    path = checkpoint / name
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("a pipe or a device, which would never end")
        path.open("rb").close()  # others who read it would not say what is wrong
        if not (checkpoint / CHECKSUMS).exists():  # format 1, or changed by hand
            return
        sums = read_json((checkpoint / CHECKSUMS).read_bytes(), checkpoint / CHECKSUMS)
        if isinstance(sums, dict) and sums.get(name) == _checksum(path):
            return
        reason = f"it is not as it was written, says {CHECKSUMS}"
    except PermissionError as error:
        raise read_error(path, error) from error
    except OSError as error:
        reason = f"{error}"
    by_hand = f", or delete {CHECKSUMS} if you changed it yourself" if name == "config.json" else ""
    raise UserError(f"broken checkpoint ({reason})", where=path, hint=OLDER + by_hand)


def _read(checkpoint: Path, name: str, *, verified: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = checkpoint / name
    if not verified:
        verify(checkpoint, name)
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            about: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"broken checkpoint ({error})", where=path, hint=OLDER) from error
    _refuse_odd(tensors.values(), path)
    return tensors, about


def _refuse_odd(tensors: Iterable[Tensor], path: Path) -> None:
    if not finite(tensors):
        raise UserError("holds numbers that are not finite: the training had diverged", where=path, hint=OLDER)


def _read_format_1(path: Path) -> Resume:
    from organza.tensors.entry import entry
    from organza.tensors.opening import open_file  # which is built on this module

    try:
        value = open_file(path).value
        optimizers: dict[str, dict[int, dict[str, Tensor]]] = {}
        for player, adam in value["optimizers"].items():
            numbered = adam["state"].items()
            optimizers[player] = {i: {key: entry(x).read() for key, x in held.items()} for i, held in numbered}
        state = {name: entry(x).read() for name, x in value["state"].items()}
        found = Resume(Position(**value["position"]), optimizers, state)
    except Exception as error:  # a broken file breaks in a hundred ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"broken checkpoint ({reason})", where=path, hint=OLDER) from error
    _refuse_odd((t for adam in optimizers.values() for held in adam.values() for t in held.values()), path)
    _refuse_odd(state.values(), path)
    return found
