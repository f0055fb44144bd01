"""The command line as forms for the studio."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from organza.cli.record import record
from organza.cli.verbs import VERBS
from organza.cli.web.commands import command
from organza.cli.web.offered import JOBS, MAIN
from organza.cli.web.options import Way, field_of, way_of
from organza.presets import PRESETS, preset
from organza.presets.facts import FACTS
from organza.web.studio.forms import Forms


def forms() -> Forms:
    """The command line, for `organza.web.studio`."""
    return Forms(
        verbs=lambda: [_about(way_of(verb, None)) for verb in JOBS],
        presets=_presets,
        preset=lambda name: _about(way_of("train", name)),
        command=command,
        record=record,
    )


def _about(way: Way) -> dict[str, Any]:
    fields = [dataclasses.asdict(field) for each in way.options if (field := field_of(way, each)) is not None]
    if way.verb == "train":
        first = ("data", *(name for name in MAIN["train"] if name != "data"))
        fields.sort(key=lambda field: first.index(field["name"]) if field["name"] in first else len(first))
        entry = preset(way.words[1])
        return {"verb": "train", "preset": entry.name, "help": entry.summary, "fields": fields} | _paper(entry)
    help = inspect.cleandoc(way.kind.__doc__ or "").split("\n\n")[0]
    return {"verb": way.verb, "help": " ".join(help.split()), "line": _line(way.verb), "fields": fields}


def _line(verb: str) -> str:
    first, _, second = verb.partition(" ")
    return VERBS[first].help if not second else f"{second} a dataset"


def _presets() -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "family": entry.family, "help": entry.summary} | _paper(entry)
        for entry in PRESETS.values()
    ]


def _paper(entry: Any) -> dict[str, Any]:
    """What a method's file opens with: its paper, and what it changed."""
    method = entry.run.method
    home = inspect.getmodule(type(method))
    said = inspect.cleandoc((home.__doc__ if home is not None else None) or "")
    parts = [" ".join(part.split()) for part in said.split("\n\n")]
    return {
        "method": type(method).__name__,
        "paper": parts[1] if len(parts) > 1 else parts[0],
        "about": parts[2] if len(parts) > 2 else "",
        "layout": method.layout,
        "takes": _TAKES[FACTS[entry.name].takes],
    }


_TAKES = {
    "images": "a folder or an archive of images",
    "images, labels": "a folder or an archive of images; labels where there are some",
    "labels": "images with labels: a folder for each, or a table",
    "some labels": "images of which a few have labels: a folder for each, or a table",
    "captions": "images with captions",
    "pairs": "images in pairs, side by side or in two folders",
    "two sets": "two folders: trainA and trainB",
    "video pairs": "videos in pairs, or folders of frames in their order",
}
