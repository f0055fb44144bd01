"""What the page asks for and waits for: networks, images, grids, translations, cartoons, and what is saved of them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import anyio
import anyio.to_thread
import numpy as np
import torch
from fastapi import FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, StringConstraints

from organza.core.errors import UserError
from organza.data.decode import open_picture
from organza.data.photo import read_photo
from organza.data.source import BadPicture
from organza.media.images import Pixels, make_grid, over_white, to_image
from organza.models.translator import Translator
from organza.studio.codes import save_codes
from organza.studio.directions import load_directions, save_directions
from organza.studio.generate import from_codes, from_seeds, generate
from organza.translate.faces.pipeline import Cartoonist
from organza.vision.helpers import has_helper
from organza.web.answers import computed, png
from organza.web.asked import Seed, Translate
from organza.web.lanes import ClosedError, FullError
from organza.web.limits import Limits
from organza.web.served import Wish, translating
from organza.web.studio.forms import Forms
from organza.web.studio.opened import Networks, Opened, about
from organza.web.studio.recipe import SCALE, Id, Recipe, code_of, directions_of, image_of
from organza.web.studio.settings import PIXELS, Room
from organza.web.studio.workspace import LONGEST, Workspace, clean, fresh

T = TypeVar("T")
IMAGE = {f"image/{format}": {"schema": {"type": "string", "format": "binary"}} for format in ("png", "jpeg")}
LEVEL = 1
"""Of zlib: a preview is soon there, and one more level costs more than the shorter way saves."""
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
OPENING = 16
"""Threads that open networks, or wait for one."""
SAVED = 10_000
"""Files that are kept as results."""
UPLOADS = 4
"""Images that are sent, decoded or waiting at a time."""


class Named(BaseModel):
    """A network."""

    model_config = ConfigDict(extra="forbid")

    id: Id
    model: Annotated[StrictStr, StringConstraints(max_length=40)] | None = None


class Grid(Recipe):
    """Several images in one."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=256)] = Field(description="One for each image.")
    columns: Annotated[StrictInt, Field(ge=1, le=256)] | None = Field(None, description="Unless said, about square.")


class Save(Recipe):
    """An image, or several, to keep."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=256)] | None = None
    columns: Annotated[StrictInt, Field(ge=1, le=256)] | None = None
    name: Annotated[StrictStr, StringConstraints(max_length=80)] | None = Field(None, description="Of the files.")


class Keyframes(BaseModel):
    """Images whose codes are wanted in one file."""

    model_config = ConfigDict(extra="forbid")

    recipes: Annotated[list[Recipe], Field(min_length=1, max_length=64)] = Field(description="All of one network.")


class Renamed(BaseModel):
    """A new name for a direction."""

    model_config = ConfigDict(extra="forbid")

    id: Id
    index: Annotated[StrictInt, Field(ge=0, lt=10**4)]
    name: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class ToTranslate(Translate):
    """A translation of the image that is sent."""

    network: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    model: Annotated[str, StringConstraints(max_length=40)] | None = None
    format: Literal["png", "jpeg"] = "png"  # type: ignore[assignment]


class ToCartoon(BaseModel):
    """A cartoon of the photograph that is sent."""

    model_config = ConfigDict(extra="forbid")

    network: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    model: Annotated[str, StringConstraints(max_length=40)] | None = None
    paste: bool = Field(False, description="Into the photograph; otherwise the cartoon alone.")
    faces: Annotated[str, StringConstraints(pattern=r"^(all|largest|[1-9]\d?)$")] = "largest"
    background: Literal["white", "keep"] = Field("white", description="keep: the network's own, around the person.")
    match_colours: bool = False
    format: Literal["png", "jpeg"] = "png"


@dataclass
class AtOnce:
    """What all of it needs.

    Attributes:
        workspace, room, forms, networks: see there.
        newest: of each page, what it asked for last.
        sending: images that are on their way.
        opening: threads that wait for networks: others must not wait for them.
    """

    workspace: Workspace
    room: Room
    forms: Forms
    networks: Networks
    newest: dict[str, tuple[Opened, Any]] = field(default_factory=dict)
    sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS))
    opening: anyio.CapacityLimiter | None = None

    async def open(self, id: str, model: str | None = None) -> Opened:
        """See `Networks.open`."""
        if self.opening is None:
            self.opening = anyio.CapacityLimiter(OPENING)
        return await anyio.to_thread.run_sync(self.networks.open, id, model, limiter=self.opening)

    async def run(self, request: Request, opened: Opened, work: Callable[[], T], page: str | None = None) -> T:
        """Let the network's lane do something.

        Raises:
            FullError, ClosedError, GoneError, SupersededError, TimeoutError, UserError: see `computed`.
        """
        if page is not None and (before := self.newest.pop(page, None)) is not None:
            before[0].lanes.cancel(before[1])
        try:
            futures = opened.lanes.submit([work])
        except ClosedError:  # four others were opened meanwhile
            raise FullError(1) from None
        if page is not None:
            self.newest[page] = (opened, futures)
            while len(self.newest) > 256:
                self.newest.pop(next(iter(self.newest)))
        try:
            (answer,) = await computed(request, opened.lanes, futures, self.room.timeout)
        finally:
            if page is not None and self.newest.get(page, (None, None))[1] is futures:
                del self.newest[page]
        found: T = answer
        return found

    async def show(
        self,
        request: Request,
        opened: Opened,
        make: Callable[[], Pixels],
        format: str,
        began: float,
        page: str | None = None,
    ) -> Response:
        """The image that `make` gives in the network's lane, and in a header the milliseconds since ``began``.

        Raises:
            FullError, ClosedError, GoneError, SupersededError, TimeoutError, UserError: as `run`.
        """
        data = await self.run(request, opened, lambda: _encoded(make(), format), page)
        spent = f"{1000 * (time.monotonic() - began):.1f}"
        return Response(data, media_type=f"image/{format}", headers={"x-organza-ms": spent})


def add(app: FastAPI, all: AtOnce) -> None:
    """Put the routes into an application."""
    _add_networks(app, all)
    _add_images(app, all)
    _add_translations(app, all)


def _add_networks(app: FastAPI, all: AtOnce) -> None:
    @app.post("/api/network", summary="Open a network, and say what it can do")
    async def network(request: Request, body: Named) -> dict[str, Any]:
        opened = await all.open(body.id, body.model)
        folder = all.workspace.path(body.id)
        return await all.run(request, opened, lambda: about(opened, folder))

    @app.get("/api/directions", summary="What a file of directions holds")
    async def directions(
        request: Request, id: Annotated[str, Query(max_length=LONGEST)], network: Annotated[str | None, Query()] = None
    ) -> dict[str, Any]:
        path = all.workspace.path(id)
        if network is None:
            found = await anyio.to_thread.run_sync(load_directions, path)
        else:
            opened = await all.open(network)
            G = opened.generator
            found = await all.run(request, opened, lambda: directions_of(G, id, all.workspace, opened.kept))
        listed = [
            {"index": index, "name": each.name, "layers": each.layers, "about": each.about, "range": [-3.0, 3.0]}
            for index, each in enumerate(found)
        ]
        return {"id": id, "directions": listed}

    @app.post("/api/directions", summary="Rename a direction")
    async def rename(body: Renamed) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(_rename, all.workspace, body)


def _rename(workspace: Workspace, body: Renamed) -> dict[str, Any]:
    path = workspace.path(body.id)
    if path.is_symlink() or not path.is_file():
        raise UserError("is no file of directions", where=body.id)
    found = load_directions(path)
    if body.index >= len(found):
        raise UserError(f"there is no direction {body.index}", where=body.id, hint=f"it has {len(found)}")
    if any(each.name == body.name for number, each in enumerate(found) if number != body.index):
        raise UserError(f"another direction is called {body.name}", where=body.id, hint="choose another name")
    found[body.index] = replace(found[body.index], name=body.name)
    save_directions(path, found)
    return {"id": body.id, "names": [each.name for each in found]}


def _add_images(app: FastAPI, all: AtOnce) -> None:
    @app.post(
        "/api/image",
        summary="Generate an image",
        response_class=Response,
        responses={200: {"description": "The image.", "content": IMAGE}},
    )
    async def image(
        request: Request, body: Recipe, x_organza_page: Annotated[str | None, Header(max_length=64)] = None
    ) -> Response:
        began = time.monotonic()
        opened = await all.open(body.network, body.model)
        G = opened.generator

        def make() -> Pixels:
            return image_of(G, body, all.workspace, opened.kept)

        return await all.show(request, opened, make, body.format, began, x_organza_page)

    @app.post(
        "/api/grid",
        summary="Generate several images in one",
        response_class=Response,
        responses={200: {"description": "The image.", "content": IMAGE}},
    )
    async def grid(
        request: Request, body: Grid, x_organza_page: Annotated[str | None, Header(max_length=64)] = None
    ) -> Response:
        began = time.monotonic()
        opened = await all.open(body.network, body.model)
        G = opened.generator
        _check_count(len(body.seeds), all.room, G.resolution, body.scale)
        one = Recipe.model_validate(body.model_dump(by_alias=True, exclude={"seeds", "columns"}))

        def make() -> Pixels:
            images = [
                image_of(G, one.model_copy(update={"seed": seed}), all.workspace, opened.kept) for seed in body.seeds
            ]
            return make_grid(np.stack(images), body.columns or None)

        return await all.show(request, opened, make, body.format, began, x_organza_page)

    @app.post("/api/save", summary="Keep an image, its codes, and what makes it again")
    async def save(request: Request, body: Save) -> dict[str, Any]:
        opened = await all.open(body.network, body.model)
        seeds = body.seeds or [body.seed]
        _check_count(len(seeds), all.room, opened.generator.resolution, body.scale)
        return await all.run(request, opened, lambda: _saved(all, opened, body, seeds))

    @app.post("/api/codes", summary="Keep the codes of several images, in their order, in one file")
    async def codes(request: Request, body: Keyframes) -> dict[str, Any]:
        first = body.recipes[0]
        if any((each.network, each.model) != (first.network, first.model) for each in body.recipes):
            raise UserError("the images are of several networks", hint="ask for one network's at a time")
        opened = await all.open(first.network, first.model)
        return await all.run(request, opened, lambda: _kept(all, opened, body.recipes))


def _kept(all: AtOnce, opened: Opened, recipes: list[Recipe]) -> dict[str, Any]:
    """Write the codes of images: keyframes of `organza interpolate --w`."""
    G, workspace = opened.generator, all.workspace
    ws = torch.cat([code_of(G, each, workspace, opened.kept) for each in recipes])
    stem = clean(Path(recipes[0].network).name, "image").removesuffix(".npz")
    path = save_codes(fresh(workspace.results, f"{stem}-keyframes.npz"), ws)
    return {"id": workspace.id_of(path), "name": path.name, "count": len(ws)}


def _check_count(count: int, room: Room, resolution: tuple[int, int], scale: int) -> None:
    most = max(1, min(room.images, SCALE // (resolution[0] * resolution[1] * scale**2)))
    if count > most:
        raise UserError(f"{count} images", hint=f"ask for at most {most} of this size at a time")


def _saved(all: AtOnce, opened: Opened, body: Save, seeds: list[int]) -> dict[str, Any]:
    """Write PNG, codes, and a record of the command that makes the PNG from them or from its seeds."""
    G, workspace = opened.generator, all.workspace
    if sum(1 for _ in workspace.results.iterdir()) >= SAVED:
        raise UserError("too many results", where="studio/results", hint="remove some")
    fields = {"seeds", "columns", "name"}
    one = Recipe.model_validate(body.model_dump(by_alias=True, exclude=fields))
    recipes = [one.model_copy(update={"seed": seed}) for seed in seeds]
    ws = torch.cat([code_of(G, each, workspace, opened.kept) for each in recipes])
    stem = clean(body.name or "", "") or f"{clean(Path(body.network).name, 'image')}-seed{seeds[0]}"
    stem = stem.removesuffix(".png")
    target = fresh(workspace.results, f"{stem}.png")
    codes = save_codes(fresh(workspace.results, f"{target.stem}.npz"), ws)
    columns = body.columns or max(1, round(len(seeds) ** 0.5))
    grid = (columns, -(-len(seeds) // columns)) if len(seeds) > 1 else None
    argv: list[str] = []
    inputs: dict[str, Path | None] = {"--network": G.source}
    if one.plain:
        job = from_seeds(G, seeds, one.sampling())
        argv += ["--seeds", ",".join(map(str, seeds)), "--trunc", str(float(one.psi)), *_labels(one)]
        argv += [] if one.cutoff is None else ["--cutoff", str(one.cutoff)]
    else:
        plain = replace(one.sampling(), psi=1.0, cutoff=None, labels=None, text=None)
        job = from_codes(G, ws, plain)
        inputs["--w"] = codes
    argv += ["--noise", one.noise, "--scale", str(one.scale)]
    argv += [] if grid is None else ["--grid", f"{grid[0]}x{grid[1]}"]
    (path,) = generate(G, job, output=target, grid=grid, scale=one.scale)
    made = all.forms.record(
        "generate",
        argv,
        path,
        inputs=inputs,
        changes=["--precision", G.precision],
        folder=workspace.root,
    )
    return {"files": [{"id": workspace.id_of(each), "name": each.name} for each in (path, made, codes)]}


def _labels(one: Recipe) -> list[str]:
    if one.class_ is not None:
        return ["--class", str(one.class_)]
    if one.label is not None:
        return ["--label", one.label if isinstance(one.label, str) else ",".join(map(str, one.label))]
    return [] if one.text is None else ["--text", one.text]


def _add_translations(app: FastAPI, all: AtOnce) -> None:
    @app.post(
        "/api/translate",
        summary="Translate the image that is sent",
        response_class=Response,
        responses={200: {"description": "The image.", "content": IMAGE}},
        openapi_extra=BODY,
    )
    async def translate(
        request: Request,
        query: Annotated[ToTranslate, Query()],
        x_organza_page: Annotated[str | None, Header(max_length=64)] = None,
    ) -> Response:
        began = time.monotonic()
        opened = await all.open(query.network, query.model)
        T = opened.translator
        opened.lanes.check_room()
        limits = Limits(side=all.room.side)
        async with _slot(all):
            data = await request.body()
            wish: Wish = await anyio.to_thread.run_sync(query.wish, T, data, limits)
            del data
            once = translating(T)

            def make() -> Pixels:
                (found,) = once([wish])
                if isinstance(found, Exception):
                    raise found
                return found

            return await all.show(request, opened, make, query.format, began, x_organza_page)

    @app.post(
        "/api/cartoon",
        summary="A cartoon of the photograph that is sent",
        response_class=Response,
        responses={200: {"description": "The image.", "content": IMAGE}},
        openapi_extra=BODY,
    )
    async def cartoon(request: Request, query: Annotated[ToCartoon, Query()]) -> Response:
        began = time.monotonic()
        opened = await all.open(query.network, query.model)
        T = opened.translator
        opened.lanes.check_room()
        async with _slot(all):
            data = await request.body()
            photo = await anyio.to_thread.run_sync(_photo, data)
            del data

            return await all.show(request, opened, lambda: _cartoon(opened, T, photo, query), query.format, began)


def _slot(all: AtOnce) -> asyncio.Semaphore:
    if all.sending.locked():
        raise FullError(1)
    return all.sending


def _photo(data: bytes) -> Pixels:
    try:
        width, height = open_picture(data).size
        if width * height > PIXELS // 4:
            raise UserError(f"{width}x{height} pixels", hint=f"send at most {PIXELS >> 22} million")
        return read_photo(data, 3).eight()
    except BadPicture as error:
        raise UserError(f"the image can't be used: {error}") from None


def faces_at_hand() -> bool:
    """Whether the helper networks of `organza cartoon` are in the cache; nothing is fetched."""
    return has_helper("mtcnn") and has_helper("selfie")


def _cartoon(opened: Opened, T: Translator, photo: Pixels, query: ToCartoon) -> Pixels:
    if not faces_at_hand():
        hint = "docs/cartoon.md says where they come from; `organza cartoon` fetches what is published"
        raise UserError("the networks that find faces are not here", hint=hint)
    if opened.cartoonist is None:
        opened.cartoonist = Cartoonist.open(T)
    C: Cartoonist = opened.cartoonist
    wanted: Any = int(query.faces) if query.faces.isdecimal() else query.faces
    found = C.portraits(photo, wanted)
    if not found:
        raise UserError("no face was found", hint="send another photograph")
    if query.paste:
        return C.pasted(photo, found, match_colours=query.match_colours)
    images = [each.cartoon if query.background == "white" else each.translated for each in found]
    return images[0] if len(images) == 1 else make_grid(np.stack(images))


def _encoded(image: Pixels, format: str) -> bytes:
    if format == "png":
        return png(image, LEVEL)
    buffer = io.BytesIO()
    over_white(to_image(image)).save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
