"""Modules under the names that they had in 0.1, for programs that were written then. Each warns when it is imported.

They stay until 1.0. Nothing in Organza uses them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ROOMS = (
    ("apps", "studio", "attributes blend codes directions edit generate interpolate mix noise truncation walk"),
    ("apps", "studio.projection", "encoder invert project"),
    ("apps", "runs", "compare dataset demo ladder train transfer watch"),
    ("apps", "weights", "convert inspect save"),
    ("apps", "media", "animation exact figure video"),
    ("methods", "methods.basic", "dcgan vae wgan_gp"),
    ("methods", "methods.stylegan", "lucidrains msg_gan progan stylegan2 stylegan3"),
    ("formats", "formats.ports", "lucidrains mmgeneration paddlegan progan_torch rosinality rosinality_write"),
    ("formats", "tensors", "opening records state_dict"),
    ("metrics", "vision", "features lpips"),
    ("data", "core", "download"),
)
"""(the room then, the room now, modules)."""
_RENAMED = {
    "core.method": ("contract.method", "contract.data", "contract.model"),
    "core.pictures": ("media.images",),
    "generator": ("models.generator", "models.load"),
    "formats.nvidia_write": ("formats.nvidia.write",),
    "apps.loudness": ("media.audio",),
    "apps.perceptual": ("vision.perceptual",),
    "apps.landmarks": ("vision.mtcnn",),
    "apps.evaluate": ("metrics.opened",),
    "apps.doctor": ("core.doctor",),
    "data.faces": ("data.drawn_faces.face", "data.drawn_faces.files"),
    "data.prepare": ("data.cache.prepare",),
    "data.build": ("data.export.build",),
    "data.labels": ("data.tables.labels", "data.tables.values"),
}


def _table() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "organza.apps", ()  # only what lay in it
    for then, now, modules in _ROOMS:
        for module in modules.split():
            yield f"organza.{then}.{module}", (f"organza.{now}.{module}",)
    for old, homes in _RENAMED.items():
        yield f"organza.{old}", tuple(f"organza.{home}" for home in homes)


MOVED: dict[str, tuple[str, ...]] = dict(_table())
"""The name then -> where its contents are now; what is not in the first is looked for in the next."""


class Finder:
    """Finds a module by its old name, after everything else has failed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A stand-in for the modules that it has become."""
        if fullname not in MOVED:
            return None
        return ModuleSpec(fullname, self, is_package=not MOVED[fullname])  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python does it."""

    def exec_module(self, module: ModuleType) -> None:
        """Warn, and look names up where they are now."""
        homes = MOVED[module.__name__]
        if homes:
            warnings.warn(f"{module.__name__} is now {' and '.join(homes)}", DeprecationWarning, stacklevel=2)

        def look(name: str) -> Any:
            for home in map(import_module, homes):
                if hasattr(home, name):
                    return getattr(home, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__dict__["__getattr__"] = look


def install() -> None:
    """Let Python find modules by their old names."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
