"""The command line as forms for the studio: which verbs are jobs, what their fields are, and a form's values as a
command line.

Of every option it is said here what a request may put into it (`KINDS`, `TEXTS`); an option of which nothing is said
is not offered. What names a file takes ids of the workspace; results go into the job's own folder.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import itertools
import re
import textwrap
import threading
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import tyro

from organza.cli.parse import names_of, option, parse
from organza.cli.record import record
from organza.cli.runs.train import options_of
from organza.cli.verbs import VERBS, module
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.core.text import printable
from organza.presets import PRESETS, preset
from organza.presets.facts import FACTS
from organza.web.studio.forms import Command, Field, Forms
from organza.web.studio.workspace import Workspace

JOBS = (
    "evaluate",
    "compare",
    "generate",
    "translate",
    "cartoon",
    "interpolate",
    "walk",
    "truncation",
    "mix",
    "noise",
    "project",
    "reconstruct",
    "encoder",
    "directions",
    "edit",
    "blend",
    "toonify",
    "inspect",
    "convert",
    "export",
    "dataset info",
    "dataset build",
    "dataset align",
    "faces",
    "ladder",
    "bench",
    "demo",
    "doctor",
)
"""Verbs of forms; ``train`` has a form for each preset. Not here: what serves or sends things away (serve, studio,
push), what fetches (dataset fetch), what runs a record (redo), and lists that the page has anyway (zoo, presets)."""

KINDS: dict[str, str] = {
    "network": "network",
    "second": "network",
    "file": "network",
    "resume": "network",
    "w": "codes",
    "directions": "directions",
    "data": "dataset",
    "also": "dataset",
    "source": "dataset",
    "path": "dataset",
    "evaluate.pictures": "dataset",
    "project.pictures": "images",
    "images": "images",
    "input": "images",
    "photo": "images",
    "style": "image",
    "calibrate": "dataset",
    "runs": "run",
    "encoder": "encoder",
    "directions.labels": "table",
}
"""Option (or ``verb.option``) -> what its id names."""

_NAMES, _NUMBERS, _FREE = r"[\w.,=@;+ -]*", r"[\d.,;%x+ -]*", r"[^\x00-\x1f\x7f]*"
TEXTS: dict[str, str] = {
    "class_": _FREE,
    "label": _FREE,
    "text": _FREE,
    "target": _FREE,
    "title": _FREE,
    "faces.label": _NAMES,
    "resolution": _NUMBERS,
    "grid": _NUMBERS,
    "generate.translate": _NUMBERS,
    "held_out": r"\d{0,9}(\.\d{0,9})?%?",
    "size": r"trained|own|[\dx]*",
    "clusters": _NUMBERS.replace("x", "="),
    "styles": r"[a-z0-9, -]*",
    "layers": r"[a-z0-9, -]*",
    "apply": _NAMES,
    "names": _NAMES,
    "model": r"[A-Za-z0-9]*",
    "group": r"[\w-]*",
    "split": r"[\w,-]*",
    "metric": r"[a-z0-9_]*",
    "metrics": r"[a-z0-9_,]*",
    "cartoon.faces": r"all|largest|\d{1,4}",
    "worlds": r"[a-z0-9,-]*",
    "games": r"[a-z0-9,-]*",
    "augment_pipe": r"[a-z0-9,]*",
    "augment_policy": r"[a-z0-9,]*",
    "pairs": r"[a-z0-9:,.+-]*",
    "stages": r"[a-z,-]*",
    "stage_kimg": r"[\d.,]*",
    "ages": r"[\d.,]*",
    "ladder.names": r"[a-z0-9-]*",
    "bench.what": r"[a-z0-9-]*",
}
"""Option -> what may be written there. None of it is a path: where a slash is free, the option is never one."""

CHOICES: dict[str, tuple[str, ...]] = {
    "labels": ("own", "none", "folders"),
    "translate.labels": ("none", "folders"),
    "also_labels": ("own", "none", "folders"),
    "captions": ("none", "txt", "auto"),
    "groups": ("auto", "folders"),
    "target_groups": ("whole", "folders"),
    "features": ("voile64", "inception", "lenet"),
    "distance": ("stand-in", "voile64", "lpips", "lpips-alex", "lpips-squeeze"),
    "student": ("pix2pix", "pix2pixhd", "bicyclegan"),
}
"""Options that are text on the command line, because a file may stand there as well: here only these."""

LEFT_OUT = frozenset(
    {
        *("device", "workers", "overwrite", "profile", "settings", "list", "all", "only", "set", "edit.film"),
        *("audio", "embeddings", "classifier", "reference", "face_id", "weights_dir", "mtcnn", "metadata", "mnist"),
        *("align", "runtime", "targets", "label_map", "instances", "translate.hidden"),
    }
)
"""Options that are not offered: this machine's own matters, and files for which the page has no place."""

WRITTEN = frozenset({"output", "outdir", "dest", "sheet", "strips", "json", "report", "save_w"})
"""Options that name results: they are the job's matter."""

SEEDS = frozenset({"seeds", "rows", "mix.columns"})

MAIN: dict[str, tuple[str, ...]] = {
    "train": ("data", "resolution", "kimg", "batch", "mirror", "augment", "labels", "resume", "metrics"),
    "evaluate": ("network", "data", "pictures", "metrics"),
    "generate": ("network", "seeds", "w", "trunc", "class_", "text", "grid", "scale"),
    "translate": ("network", "input", "target", "size", "compare"),
    "cartoon": ("network", "photo", "faces", "paste"),
    "interpolate": ("network", "seeds", "w", "seconds", "trunc", "class_", "grid", "output"),
    "walk": ("network", "seeds", "seconds", "trunc", "class_", "grid", "output"),
    "project": ("network", "pictures", "space", "steps", "tune"),
    "directions": ("network", "method", "count", "layers"),
    "edit": ("network", "directions", "apply", "seeds", "w", "output"),
    "blend": ("network", "second", "swap", "seeds"),
    "toonify": ("network", "second", "pairs", "student", "kimg"),
    "dataset build": ("source", "resolution", "transform", "format"),
}
"""Options that most people want, of verbs with many; of others all are shown."""

LONGEST = 2000
"""Letters of a value."""
_parsing = threading.Lock()
"""Reading a command line takes over standard error."""


@dataclass(frozen=True)
class Option:
    """An option of a verb.

    Attributes:
        name: in Python.
        word: on the command line, without dashes.
        hint: its annotation.
        default: or `dataclasses.MISSING`.
        help: its docstring.
        group: the part of a preset that it belongs to.
        positional: whether it stands without its name.
    """

    name: str
    word: str
    hint: Any
    default: Any
    help: str
    group: str = ""
    positional: bool = False


@dataclass(frozen=True)
class Way:
    """How a form becomes a command line.

    Attributes:
        verb: its name in tables, such as ``"train"``.
        words: the first words after ``organza``.
        kind: the dataclass of its options.
        pairs: whether flags have their opposite.
        options: all of them.
    """

    verb: str
    words: tuple[str, ...]
    kind: type[Any]
    pairs: bool
    options: tuple[Option, ...]


def forms() -> Forms:
    """The command line, for `organza.web.studio`."""
    return Forms(
        verbs=lambda: [_about(way_of(verb, None)) for verb in JOBS],
        presets=_presets,
        preset=lambda name: _about(way_of("train", name)),
        command=command,
        record=record,
    )


@cache
def way_of(verb: str, name: str | None) -> Way:
    """The way of a verb, or of a preset's ``train``.

    Raises:
        UserError: no such verb or preset.
    """
    if verb == "train":
        if name is None:
            raise UserError("no preset is named", hint="GET /api/presets lists them")
        entry = preset(name)
        kind = options_of(entry.run, entry.summary)
        return Way("train", ("train", name), kind, True, tuple(_options(kind)))
    if verb not in JOBS:
        raise UserError(f"{printable(repr(verb), 60)} is no verb of jobs", hint=f"there are {', '.join(JOBS)}")
    first, _, second = verb.partition(" ")
    kind = module(first)._VERBS[second][0] if second else module(first).Options
    return Way(verb, tuple(verb.split()), kind, verb == "evaluate", tuple(_options(kind)))


def _options(kind: type[Any], group: str = "", help: Mapping[str, str] | None = None) -> list[Option]:
    found: list[Option] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    flat = [field for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(hints[field.name])]
    words = iter(names_of(dataclasses.make_dataclass("Flat", [(f.name, hints[f.name], _bare(f)) for f in flat])))
    said = _field_help(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            inner = _options(hint if isinstance(hint, type) else type(hint), field.name)
            default = field.default
            if default is not dataclasses.MISSING:
                inner = [dataclasses.replace(each, default=getattr(default, each.name)) for each in inner]
            found += inner
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        positional = tyro.conf.Positional in getattr(hint, "__metadata__", ())
        found.append(Option(field.name, next(words), hint, default, said.get(field.name, ""), group, positional))
    return found


def _bare(field: Any) -> Any:
    return dataclasses.field(default=None)


def _field_help(kind: type[Any]) -> Mapping[str, str]:
    """The docstring below each field of a dataclass and of those it builds on."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(each):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError, SyntaxError):  # a dataclass that was made by a function
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for node, after in itertools.pairwise(body):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if said and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                found[node.target.id] = " ".join(str(after.value.value).split())
    return found


def told(table: Mapping[str, Any] | frozenset[str], verb: str, name: str) -> Any:
    """What a table says of an option: of this verb's before that of all verbs."""
    for key in (f"{verb}.{name}", name):
        if key in table:
            return table[key] if isinstance(table, Mapping) else True
    return None


def field_of(way: Way, each: Option) -> Field | None:
    """The form's field for an option; None where a request has no say in it."""
    if each.name == "output" and each.name in WRITTEN and (endings := _endings(way.verb)):
        return Field("output", "Format", "Of the file.", "choice", endings[0], endings)
    if each.name in WRITTEN or told(LEFT_OUT, way.verb, each.name):
        return None
    members = [*_members(each.hint)]
    many = any(typing.get_origin(member) is tuple for member in members)
    range_ = next((found for found in _ranges(each.hint)), None)
    base = partial(
        Field,
        each.name,
        each.word.replace("-", " ").capitalize(),
        each.help,
        required=each.default is dataclasses.MISSING,
        advanced=way.verb in MAIN and each.name not in MAIN[way.verb] and each.default is not dataclasses.MISSING,
        group=each.group,
    )
    default = None if each.default is dataclasses.MISSING else _plain(each.default)
    if (kind := told(KINDS, way.verb, each.name)) and _could_be_a_path(members):
        return base(type=kind, many=many)
    if (choices := told(CHOICES, way.verb, each.name)) and _may_be_text(members):
        return base(type="choice", default=default, choices=_with(default, choices))
    if told(SEEDS, way.verb, each.name) and str in members:
        return base(type="seeds", default=default)
    if told(TEXTS, way.verb, each.name) is not None and (str in members or many):
        return base(type="text", default=default, many=many)
    literals = [
        choice for member in members if typing.get_origin(member) is Literal for choice in typing.get_args(member)
    ]
    if literals:
        return base(type="choice", default=default, choices=tuple(literals))
    if many and str not in members:  # numbers, as one types them
        shown = None if default is None else " ".join(map(str, _flat(default)))
        return base(type="text", default=shown)
    least, most = (
        (None, None) if range_ is None else (_first(range_.least, range_.above), _first(range_.most, range_.below))
    )
    for type_ in (bool, int, float):
        if type_ in members:
            return base(type=type_.__name__, default=default, least=least, most=most)
    return None


def _first(*bounds: float | None) -> float | None:
    return next((bound for bound in bounds if bound is not None), None)


def _with(default: Any, choices: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*([default] if isinstance(default, str) else []), *choices]))


def _members(hint: Any) -> Sequence[Any]:
    """The kinds that an annotation allows, those of a tuple as well."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _members(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(hint) for member in _members(each)]
    if origin is tuple:
        return [hint, *(member for each in typing.get_args(hint) if each is not Ellipsis for member in _members(each))]
    return [hint]


def _ranges(hint: Any) -> Sequence[Range]:
    own = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    return own + [found for each in typing.get_args(hint) if each is not Ellipsis for found in _ranges(each)]


def _could_be_a_path(members: Sequence[Any]) -> bool:
    from pathlib import Path

    return Path in members or str in members


def _may_be_text(members: Sequence[Any]) -> bool:
    return str in members or any(typing.get_origin(member) is Literal for member in members)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _flat(value: Any) -> list[Any]:
    return [part for item in value for part in _flat(item)] if isinstance(value, (list, tuple)) else [value]


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


def _endings(verb: str) -> tuple[str, ...]:
    """The formats of a verb's one file, the usual first."""
    video = (".mp4", ".gif", ".webp") if importlib.util.find_spec("av") else (".gif", ".webp")
    image = (".png", ".jpg", ".webp")
    return {
        "interpolate": video,
        "walk": video,
        "edit": (".png", ".jpg", ".gif", *(ending for ending in video if ending == ".mp4")),
        "truncation": image,
        "mix": image,
        "noise": image,
        "reconstruct": image,
        "compare": image,
    }.get(verb, ())


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
        if bool not in (each.hint,) and type(None) in _members(each.hint):
            return [f"{name}={value}"]
        return [name] if value else ([f"--no-{each.word}"] if way.pairs else [])
    items = _flat(value) if isinstance(value, list) else [value]
    if not items or len(items) > 1000 or not all(isinstance(item, (bool, int, float, str)) for item in items):
        raise UserError(f"{name} can't be this", hint="GET /api/verbs says what it takes")
    texts = [_text(way, each, field, name, item) for item in items]
    if field.type == "choice" and texts[0] not in list(map(str, field.choices or ())):
        listed = ", ".join(map(str, field.choices or ()))
        raise UserError(f"{name} can't be {printable(repr(texts[0]), 60)}", hint=f"choose of {listed}")
    several = any(typing.get_origin(member) is tuple for member in _members(each.hint))
    if len(items) > 1 and not several:
        raise UserError(f"{name} takes one value, not {len(items)}")
    if several:
        parts = texts if str in _members(each.hint) else [part for text in texts for part in text.split()]
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
        pattern = _NUMBERS
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
    if endings := _endings(verb):
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
