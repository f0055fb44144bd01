"""NVIDIA's PyTorch snapshots: StyleGAN2-ADA, and StyleGAN2 networks of the StyleGAN3 repository.

A snapshot is a pickled dictionary with the networks ``G``, ``D`` and ``G_ema``; PTI saves one alone. Each is stored as
the attributes of its modules, so that shapes and settings are read from what was built rather than from the arguments
that built it. The pickle also carries the source code of the networks; it is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.nvidia import plain as nvidia_plain
from organza.formats.nvidia import stylegan2 as nvidia_sg2
from organza.formats.nvidia import stylegan3 as nvidia_sg3
from organza.formats.weights import NVIDIA_LICENCE, Weights, licence_of, usable
from organza.tensors.entry import Entry
from organza.tensors.networks import Network, cast, near, objects
from organza.tensors.opening import Opened
from organza.tensors.records import Global, Module, RefusedError, Stub, brief


def recognise(opened: Opened) -> bool:
    """Whether it is a snapshot of NVIDIA's PyTorch code."""
    return bool(networks(opened))


def networks(opened: Opened) -> dict[str, Module]:
    """The networks, wherever they lie: in a snapshot, alone, or as tensors by their names."""
    modules = objects(opened.value, Module) or nvidia_plain.modules(opened.tensors)
    critics = {path for path, net in modules.items() if net.child("b4") is not None or path.endswith("D.")}
    generators = modules.keys() - critics - {path for path in modules if path.endswith("augment_pipe.")}
    found = cast(*({path: Network(path, {}) for path in modules if path in part} for part in (generators, critics)))
    return {name: modules[net.path] for name, net in found.items()}


def read(opened: Opened) -> Weights:
    """Our settings and tensors for a snapshot.

    Raises:
        UserError: another kind of network, or one with parts that we don't have.
    """
    nets = networks(opened)
    main = nets["G_ema"]
    problems: dict[str, str] = {}
    try:
        kind = _kind(main)
        if kind not in _KINDS:
            raise UserError(kind, where=opened.path, hint="`organza inspect` shows its networks and sizes")
        method, settings_of, collect_of = _KINDS[kind]
        spec, config = settings_of(nets, main, problems)
        found = usable(nets, "G_ema", problems, lambda name: collect_of(nets[name], name[0], config, spec))
    except RefusedError as error:
        raise UserError(f"a snapshot that can't be used: {error}", where=opened.path) from None
    return Weights(
        path=opened.path,
        format="NVIDIA snapshot (PyTorch)" if main.name else f"NVIDIA's {kind} by tensors' names (PyTorch)",
        method=method,
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        facts=_facts(opened.value, main),
        licence=licence_of(opened.value, NVIDIA_LICENCE),
        foreign=opened.foreign,
    )


def _kind(net: Module) -> str:
    """A key of `_KINDS`, or what is to be said of another architecture."""
    if net.version != 6:
        raise RefusedError(f"its networks are stored in version {brief(net.version)}, not 6")
    synthesis = net.child("synthesis")
    if synthesis is not None and net.child("mapping") is not None:
        if synthesis.child("input") is not None:
            return "StyleGAN3"
        if synthesis.child("b4") is not None:
            return "StyleGAN2"
    parts = net.state.get("_modules")
    inner = (
        sorted(f"{brief(name)[1:-1]}{_class(part)}" for name, part in parts.items()) if isinstance(parts, dict) else []
    )
    made_of = f" made of {', '.join(inner[:3])}" if inner else ""
    return f"a snapshot of an architecture that is not built here: its generator is a {net.name[:80]}{made_of}"


def _class(part: object) -> str:
    """The class of a module that pickles itself the usual way, as R3GAN's do."""
    return f" ({brief(part.kind)})" if isinstance(part, Stub) and isinstance(part.kind, Global) else ""


_KINDS: dict[
    str,
    tuple[
        str,
        Callable[[Mapping[str, Module], Module, dict[str, str]], tuple[DataSpec, Any]],
        Callable[[Module, str, Any, DataSpec], dict[str, Entry]],
    ],
] = {
    "StyleGAN2": ("stylegan2", nvidia_sg2.settings, nvidia_sg2.collect_networks),
    "StyleGAN3": ("stylegan3", nvidia_sg3.settings, nvidia_sg3.collect_networks),
}
"""Our method, how to find its settings, how to find its tensors."""


def _facts(value: Any, main: Module) -> dict[str, str]:
    """What the file tells of its training, and what had to be assumed."""
    found = {}
    data = near(value, "", "training_set_kwargs")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        found["trained on"] = data["path"][:200]
    if not main.name:
        found["assumed"] = nvidia_plain.ASSUMED
    return found
