"""A form's values as a command line, in which no value can become another option or a path of its own."""

from __future__ import annotations

import re
import threading
import typing
from collections.abc import Mapping
from typing import Any

from organza.cli.parse import option, parse
from organza.cli.web.offered import LONGEST, NUMBERS, TEXTS, WRITTEN, endings_of, told
from organza.cli.web.options import Option, Way, field_of, flat, members_of, way_of
from organza.core.errors import UserError
from organza.core.text import printable
from organza.web.studio.forms import Command, Field
from organza.web.studio.workspace import Workspace

_parsing = threading.Lock()
"""Reading a command line takes over standard error."""


def command(workspace: Workspace, verb: str, preset_name: str | None, given: Mapping[str, Any], out: str) -> Command:
    """A form's values as a command line, checked as the command line would.

    Args:
        workspace: in which ids are looked up.
        verb: one of `JOBS`, or ``"train"``.
        preset_name: for ``train``.
        given: values by the names of the form's fields; None is the default.
        out: the id of the job's own folder for results.

    Raises:
        UserError: an unknown verb or field, a value that can't be, or an id that is not there.
    """
    if verb != "train" and preset_name is not None:
        raise UserError(f"{verb} takes no preset", hint="leave it out")
    way = way_of(verb, preset_name)
    known = {each.name: (each, field) for each in way.options if (field := field_of(way, each)) is not None}
    front: list[str] = []
    words: list[str] = []
    titled: list[str] = []
    for name, value in given.items():
        if name not in known:
            shown = printable(repr(name), 60)
            raise UserError(f"{verb} has no field {shown} here", hint="GET /api/verbs lists the fields")
        each, field = known[name]
        if value is None or value == [] or name in WRITTEN or (value == "" and not field.required):
            continue
        made = _words(workspace, way, each, field, value)
        (front if each.positional else words).extend(made)
        if field.type in ("network", "dataset", "images", "run") and len(titled) < 2 and isinstance(value, str):
            titled.append(value.rpartition("/")[2])
    words += _results(way.verb, given, out)
    line = [*front, *words]
    first = (verb, preset_name) if preset_name is not None else (verb,)
    prog = " ".join(("organza", *way.words))
    with _parsing:
        parse(way.kind, line, prog, pairs=way.pairs)
    whole = (*way.words, *line)
    again = tuple(word for word in whole if not (way.verb == "train" and word == "--new"))
    title = " ".join(str(part) for part in first) + (f": {', '.join(titled)}" if titled else "")
    return Command(verb, whole, again, title)


def _words(workspace: Workspace, way: Way, each: Option, field: Field, value: Any) -> list[str]:
    """The words for one field."""
    name = option(each.word)
    if field.type in _THINGS:
        ids = value if isinstance(value, list) else [value]
        if not all(isinstance(id, str) for id in ids) or len(ids) > 1000 or (len(ids) > 1 and not field.many):
            raise UserError(f"{name} takes the id of a {field.type}")
        places = [place_of(workspace, id) for id in ids]
        if each.positional:
            return places
        return [name, *places] if field.many else [f"{name}={places[0]}"]
    if field.type == "bool":
        if not isinstance(value, bool):
            raise UserError(f"{name} is true or false")
        if bool not in (each.hint,) and type(None) in members_of(each.hint):
            return [f"{name}={value}"]
        return [name] if value else ([f"--no-{each.word}"] if way.pairs else [])
    items = flat(value) if isinstance(value, list) else [value]
    if not items or len(items) > 1000 or not all(isinstance(item, (bool, int, float, str)) for item in items):
        raise UserError(f"{name} can't be this", hint="GET /api/verbs says what it takes")
    texts = [_text(way, each, field, name, item) for item in items]
    if field.type == "choice" and texts[0] not in list(map(str, field.choices or ())):
        listed = ", ".join(map(str, field.choices or ()))
        raise UserError(f"{name} can't be {printable(repr(texts[0]), 60)}", hint=f"choose of {listed}")
    several = any(typing.get_origin(member) is tuple for member in members_of(each.hint))
    if len(items) > 1 and not several:
        raise UserError(f"{name} takes one value, not {len(items)}")
    if several:
        parts = texts if str in members_of(each.hint) else [part for text in texts for part in text.split()]
        if odd := next((part for part in parts if part.startswith("-") and not re.fullmatch(r"-[\d.]+", part)), None):
            raise UserError(f"{name} can't be {printable(repr(odd), 60)}", hint="it begins with a dash")
        return parts if each.positional else [name, *parts]
    return texts if each.positional else [f"{name}={texts[0]}"]


def _text(way: Way, each: Option, field: Field, name: str, item: Any) -> str:
    text = str(item)
    if len(text) > LONGEST or not text.isprintable():
        raise UserError(f"{name} is too long, or has letters that can't be shown")
    pattern = told(TEXTS, way.verb, each.name) if field.type == "text" else None
    if field.type == "seeds":
        pattern = r"[\d, -]*"
    elif field.type == "text" and pattern is None:
        pattern = NUMBERS
    if pattern is not None and not re.fullmatch(pattern, text):
        raise UserError(f"{name} can't be {printable(repr(text), 60)}", hint="paths and addresses have no place here")
    if each.positional and text.startswith("-"):
        raise UserError(f"{name} can't be {printable(repr(text), 60)}", hint="it begins with a dash")
    return text


_THINGS = frozenset(
    {"network", "dataset", "image", "images", "video", "directions", "codes", "run", "encoder", "table"}
)
_PLAIN = re.compile(r"(zoo|runs|studio)/.*", re.DOTALL)


def place_of(workspace: Workspace, id: str) -> str:
    """The word for what an id names: nothing that could be taken for an option, an address, a home or a published name.

    Raises:
        UserError: it is not there.
    """
    workspace.path(id)
    return id if _PLAIN.fullmatch(id) else f"./{id}"


def _results(verb: str, given: Mapping[str, Any], out: str) -> list[str]:
    """Where the results go: always into the job's own folder."""
    if verb in ("train", "inspect", "doctor"):
        return []
    if endings := endings_of(verb):
        ending = given.get("output") or endings[0]
        if ending not in endings:
            shown = printable(repr(ending), 60)
            raise UserError(f"there is no format {shown} here", hint=f"choose of {', '.join(endings)}")
        return [f"--output={out}/{verb}{ending}"]
    if verb == "convert":
        ending = {"nvidia": ".pkl", "rosinality": ".pt"}.get(str(given.get("to")), "")
        return [f"--dest={out}/network{ending}"]
    if verb == "export":
        ending = {"torchscript": ".pt", "web": ".zip"}.get(str(given.get("format")), ".onnx")
        return [f"--output={out}/network{ending}"]
    if verb == "dataset build":
        zipped = given.get("format") in (None, "", "auto", "zip")
        return [f"--dest={out}/dataset{'.zip' if zipped else ''}"]
    one = {
        "cartoon": f"--output={out}",
        "encoder": f"--output={out}/encoder.safetensors",
        "directions": f"--output={out}/directions.safetensors",
        "blend": f"--outdir={out}/blended",
        "dataset info": f"--sheet={out}/contact.png",
        "dataset align": f"--dest={out}/faces.zip",
        "faces": f"--dest={out}/faces.zip",
    }
    return [one.get(verb, f"--outdir={out}")]
