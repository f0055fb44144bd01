"""One description of an image of a generator, as requests have it, and how it becomes pixels.

The same description is an image, a cell of a grid and a keyframe: whose code (a seed's or a saved w), how it is
truncated, in which layers it takes other codes, and along which directions it is moved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, StringConstraints
from torch import Tensor

from organza.core.errors import UserError
from organza.media.images import Pixels, enlarge
from organza.models.generator import Generator
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw, load_codes
from organza.studio.directions import Direction, load_directions
from organza.studio.edit import Edit, moved
from organza.studio.mix import parse_layers
from organza.web.asked import Class, Number, Seed, Words
from organza.web.studio.workspace import LONGEST, Workspace

Id = Annotated[StrictStr, StringConstraints(min_length=1, max_length=LONGEST)]
Amount = Annotated[StrictFloat | StrictInt, Field(ge=-1000, le=1000)]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=False)
SCALE = 1 << 24
"""Pixels that an enlarged image may have."""
CODES = 256
"""Codes of seeds that are kept for each network."""


class Other(BaseModel):
    """Another code, and the layers that it gives."""

    model_config = _STRICT

    seed: Seed | None = Field(None, description="Whose code; or w.")
    w: Id | None = Field(None, description="A file of saved codes.")
    row: Annotated[StrictInt, Field(ge=0, lt=10**6)] = Field(0, description="Which of them.")
    layers: Annotated[StrictStr, StringConstraints(min_length=1, max_length=200)] = Field(
        description="coarse, middle, fine, or numbers such as 4-7."
    )


class Move(BaseModel):
    """A direction of a file, and how far."""

    model_config = _STRICT

    id: Id = Field(description="A file of organza directions.")
    index: Annotated[StrictInt, Field(ge=0, lt=10**4)] = Field(description="Which of its directions, from 0.")
    amount: Amount = Field(description="In deviations of w.")
    layers: Annotated[StrictStr, StringConstraints(max_length=200)] | None = Field(
        None, description="Unless said, those of the direction."
    )


class Recipe(BaseModel):
    """An image."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"network": "zoo/digits-vae", "seed": 3, "psi": 0.7}]}
    )

    network: Id = Field(description="The id of a generator.")
    model: Annotated[StrictStr, StringConstraints(max_length=40)] | None = Field(None, description="Of several.")
    seed: Seed = Field(0, description="Whose code.")
    w: Id | None = Field(None, description="A file of saved codes, instead of a seed.")
    row: Annotated[StrictInt, Field(ge=0, lt=10**6)] = Field(0, description="Which of its codes.")
    psi: Annotated[StrictFloat | StrictInt, Field(ge=-1000, le=1000)] = Field(1.0, description="Truncation.")
    cutoff: Annotated[StrictInt, Field(ge=0, le=1000)] | None = Field(None, description="Layers that are truncated.")
    class_: Class | Words | None = Field(None, alias="class", description="Its number or its name.")
    label: Annotated[list[Number], Field(min_length=1, max_length=4096)] | Words | None = Field(
        None, description='A whole label vector, or names: "char=A, font=alike".'
    )
    text: Words | None = Field(None, description="Of networks that take text.")
    noise: Literal["const", "random", "none"] = Field("const", description="Fine detail.")
    mix: Annotated[list[Other], Field(max_length=32)] = Field(default=[], description="Layers of other codes.")
    edits: Annotated[list[Move], Field(max_length=64)] = Field(default=[], description="Moves along directions.")
    scale: Annotated[StrictInt, Field(ge=1, le=64)] = Field(1, description="Each pixel becomes a square of so many.")
    format: Literal["png", "jpeg"] = Field("png", description="jpeg is sooner there, for while a slider moves.")

    @property
    def plain(self) -> bool:
        """Whether seeds and options of ``organza generate`` say it all."""
        return self.w is None and not self.mix and not self.edits

    def sampling(self) -> Sampling:
        """Labels, truncation and noise.

        Raises:
            UserError: two answers to one question.
        """
        if sum(value is not None for value in (self.class_, self.label, self.text)) > 1:
            raise UserError("class, label and text say the same", hint="give one of them")
        label = np.asarray(self.label, np.float32) if isinstance(self.label, list) else self.label
        labels = label if self.class_ is None else self.class_
        return Sampling(labels, float(self.psi), self.cutoff, self.noise, self.text)


@dataclass
class Kept:
    """What need not be computed or read again: codes of seeds, files of codes and of directions."""

    codes: OrderedDict[Any, Tensor] = field(default_factory=OrderedDict)
    files: OrderedDict[Any, Any] = field(default_factory=OrderedDict)

    def file(self, path: Path, read: Callable[[], Any]) -> Any:
        """What ``read`` makes of a file, as long as it is the same."""
        try:
            stat = path.stat()
        except OSError:
            raise UserError("is gone", where=path.name) from None
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self.files:
            self.files[key] = read()
            while len(self.files) > 16:
                self.files.popitem(last=False)
        self.files.move_to_end(key)
        return self.files[key]

    def code(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        """The code that ``make`` computes."""
        if key not in self.codes:
            self.codes[key] = make()
            while len(self.codes) > CODES:
                self.codes.popitem(last=False)
        self.codes.move_to_end(key)
        return self.codes[key]


def code_of(G: Generator, recipe: Recipe, workspace: Workspace, kept: Kept) -> Tensor:
    """The w's of an image, ``[1, num_ws, w_dim]``.

    Raises:
        UserError: what the network can't do, or a file that does not fit it.
    """
    sampling = recipe.sampling()
    whole = replace(sampling, psi=1.0, cutoff=None)

    def one(seed: int | None, w: str | None, row: int) -> Tensor:
        if w is None:
            label = repr(recipe.label) if isinstance(recipe.label, list) else recipe.label
            key = (seed, recipe.class_, type(recipe.class_), label, recipe.text)
            sampling.check(G.latents, 1)
            ws = kept.code(key, lambda: codes(G, [0 if seed is None else seed], whole))
        else:
            path = workspace.path(w)
            replace(sampling, labels=None, text=None).check(G.latents, None)
            saved: Tensor = kept.file(path, lambda: _saved(path, G, w))
            if row >= len(saved):
                raise UserError(f"there is no code {row}", where=w, hint=f"they go from 0 to {len(saved) - 1}")
            ws = saved[row : row + 1]
        return G.truncate(ws, sampling.psi, sampling.cutoff)

    ws = one(recipe.seed, recipe.w, recipe.row)
    if recipe.mix and G.num_ws < 2:
        raise UserError(f"{G.kind} makes each image from one code: it has no styles to mix")
    for other in recipe.mix:
        layers = parse_layers(other.layers, G.num_ws)
        ws = ws.clone()
        ws[:, layers] = one(other.seed, other.w, other.row)[:, layers]
    edits: list[Edit] = []
    for move in recipe.edits:
        found = directions_of(G, move.id, workspace, kept)
        if move.index >= len(found):
            raise UserError(f"there is no direction {move.index}", where=move.id, hint=f"it has {len(found)}")
        layers_ = None if move.layers is None else tuple(parse_layers(move.layers, G.num_ws))
        edits.append(Edit(found[move.index], float(move.amount), layers_))
    return moved(ws, edits) if edits else ws


def _saved(path: Path, G: Generator, id: str) -> Tensor:
    if not path.is_file():
        raise UserError("is no file of codes", where=id)
    return load_codes(path, G)


def directions_of(G: Generator, id: str, workspace: Workspace, kept: Kept) -> list[Direction]:
    """The directions of a file, for a network.

    Raises:
        UserError: no such file, or of another network.
    """
    path = workspace.path(id)
    if not path.is_file():
        raise UserError("is no file of directions", where=id)
    found: list[Direction] = kept.file(path, lambda: load_directions(path, G))
    return found


def image_of(G: Generator, recipe: Recipe, workspace: Workspace, kept: Kept) -> Pixels:
    """The pixels of an image, uint8 ``[H, W, C]``: to the bit those of `organza generate` for one seed.

    Raises:
        UserError: as `code_of`; more pixels than `SCALE`.
    """
    height, width = G.resolution
    if height * width * recipe.scale**2 > max(SCALE, height * width):
        raise UserError(f"{width * recipe.scale}x{height * recipe.scale} pixels", hint="give a smaller scale")
    ws = code_of(G, recipe, workspace, kept)
    return enlarge(draw(G, ws, recipe.noise, [recipe.seed])[0], recipe.scale)
