"""What a request may ask for, checked field by field; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, StringConstraints

from organza.core.errors import UserError
from organza.data.decode import open_picture
from organza.data.options import parse_resolution
from organza.data.source import BadPicture
from organza.models.generator import Generator
from organza.models.sampling import Sampling
from organza.models.translator import Size, Translator
from organza.web.limits import ANSWER_PIXELS, UPLOAD_PIXELS, Limits
from organza.web.served import Seeded, Wish

Seed = Annotated[StrictInt, Field(ge=0, le=2**32 - 1)]
Words = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1000)]
Class = Annotated[StrictInt, Field(ge=0, lt=2**20)]
Number = Annotated[StrictFloat | StrictInt, Field(ge=-1e6, le=1e6)]


class Generate(BaseModel):
    """Images from seeds."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=False,
        json_schema_extra={"examples": [{"seeds": [0, 1, 2], "psi": 0.7, "format": "json"}]},
    )

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1024)] = Field(description="One for each image.")
    class_: Annotated[Class | Words | Annotated[list[Class], Field(min_length=1, max_length=1024)] | None, Field()] = (
        Field(None, alias="class", description="Of networks with classes: a number, a name, or a number for each seed.")
    )
    label: Annotated[list[Number], Field(min_length=1, max_length=4096)] | Words | None = Field(
        None, description='Of networks with attributes: a whole label vector, or names: "char=A, font=alike".'
    )
    text: Words | Annotated[list[Words], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Of networks that take text: for all images, or one for each."
    )
    psi: Annotated[StrictFloat | StrictInt, Field(ge=-1000, le=1000)] = Field(
        1.0, description="Truncation: 1 for the full variety, 0 for the average image."
    )
    cutoff: Annotated[StrictInt, Field(ge=0, le=1000)] | None = Field(
        None, description="Truncate only the first so many layers."
    )
    noise: Literal["const", "random", "none"] = Field("const", description="Fine detail.")
    format: Literal["png", "json"] = Field(
        "png", description="png: one image, several in a grid. json: each as PNG in base64."
    )

    def images(self, G: Generator, limits: Limits) -> list[Seeded]:
        """What to compute.

        Raises:
            UserError: more than the server or the network can do.
        """
        count, (height, width) = len(self.seeds), G.resolution
        most = max(1, min(limits.images, ANSWER_PIXELS // (height * width)))
        if count > most:
            raise UserError(f"{count} images", hint=f"ask for at most {most} at a time")
        text = tuple(self.text) if isinstance(self.text, list) else self.text
        if self.class_ is not None and self.label is not None:
            raise UserError("class and label say the same", hint="leave one of them out")
        label = np.asarray(self.label, np.float32) if isinstance(self.label, list) else self.label
        labels = label if self.class_ is None else self.class_
        sampling = Sampling(labels, float(self.psi), self.cutoff, self.noise, text)
        sampling.check(G.latents, count)
        return [Seeded(seed, sampling.part(slice(at, at + 1), count)) for at, seed in enumerate(self.seeds)]


class Translate(BaseModel):
    """A translation of the image that is sent: fields of the address's query."""

    model_config = ConfigDict(extra="forbid")

    target: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = Field(
        None, description='Of networks with labels: what the image should become: "Blond_Hair, no Male".'
    )
    class_: Annotated[int, Field(ge=0, lt=2**20)] | None = Field(
        None, alias="class", description="Of networks with classes: its number."
    )
    size: Annotated[str, StringConstraints(max_length=11, pattern=r"^(trained|own|[1-9]\d{0,4}x[1-9]\d{0,4})$")] = (
        Field("trained", description="trained: the shorter side as in training; own: as it is; or HEIGHTxWIDTH.")
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(0, description="Of dropout and style codes.")
    format: Literal["png", "json"] = Field("png", description="json: PNG in base64.")

    def wish(self, T: Translator, data: bytes, limits: Limits) -> Wish:
        """What to compute.

        Args:
            T: the network.
            data: the upload: a PNG, JPEG, WebP ...
            limits: of the server.

        Raises:
            UserError: no image, a broken one, too many pixels, or no such target.
        """
        if (self.target is not None or self.class_ is not None) and not T.targets:
            raise UserError(f"{T.kind} has no labels", hint="leave target and class out")
        if self.target is not None and self.class_ is not None:
            raise UserError("target and class say the same", hint="leave one of them out")
        size: Size = "own" if self.size == "own" else "trained"
        if self.size not in ("own", "trained"):
            size = parse_resolution(self.size, "size")
        try:
            width, height = open_picture(data).size
            if width * height > UPLOAD_PIXELS:
                raise UserError(f"{width}x{height} pixels", hint=f"send at most {UPLOAD_PIXELS >> 20} million")
            photo = T.source_of(data)
        except BadPicture as error:
            raise UserError(f"the image can't be used: {error}") from None
        height, width = T.fitting(photo, size)
        if height * width > limits.side**2:
            what = f"{width}x{height} pixels are more than this server translates at once"
            raise UserError(what, hint=f"{limits.side**2:,} at most: make it smaller, or give a size")
        return Wish(photo, self.class_, self.target, size, self.seed)
