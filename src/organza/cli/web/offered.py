"""What of the command line the studio offers: which verbs are jobs, and what a request may put into an option.

An option of which nothing is said here is not offered. What names a file takes ids of the workspace; results go into
the job's own folder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

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

_NAMES, NUMBERS, _FREE = r"[\w.,=@;+ -]*", r"[\d.,;%x+ -]*", r"[^\x00-\x1f\x7f]*"
TEXTS: dict[str, str] = {
    "class_": _FREE,
    "label": _FREE,
    "text": _FREE,
    "target": _FREE,
    "title": _FREE,
    "faces.label": _NAMES,
    "resolution": NUMBERS,
    "grid": NUMBERS,
    "generate.translate": NUMBERS,
    "held_out": r"\d{0,9}(\.\d{0,9})?%?",
    "size": r"trained|own|[\dx]*",
    "clusters": NUMBERS.replace("x", "="),
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


def told(table: Mapping[str, Any] | frozenset[str], verb: str, name: str) -> Any:
    """What a table says of an option: of this verb's before that of all verbs."""
    for key in (f"{verb}.{name}", name):
        if key in table:
            return table[key] if isinstance(table, Mapping) else True
    return None


def endings_of(verb: str) -> tuple[str, ...]:
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
