"""Command lines of NVIDIA's StyleGAN tools, in our options; docs/coming-from.md has the table, and a test walks it.

Most options have another name here and the same values (`_SAME`). Of some the value means something else (`_RULES`).
The rest there is no need for, and a hint says why (`_OTHERWISE`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from organza.core.errors import UserError

_SAME: dict[str, tuple[str, ...]] = {
    "augpipe": ("augment-pipe",),
    "batch-gpu": ("micro-batch", "batch"),
    "batch-size": ("batch",),
    "ckpt": ("network",),
    "class-idx": ("class",),
    "cols": ("columns",),
    "gamma": ("r1-gamma",),
    "map-depth": ("mapping-layers",),
    "model": ("network",),
    "network-pkl": ("network",),
    "noise-mode": ("noise",),
    "num-samples": ("samples",),
    "num-steps": ("steps",),
    "p": ("augment-p",),
    "projected-w": ("w",),
    "psi": ("trunc",),
    "size": ("resolution",),
    "subset": ("max-images",),
    "tick": ("tick-kimg",),
    "total-kimg": ("kimg",),
    "trunc-psi": ("trunc",),
    "truncation-cutoff": ("cutoff",),
    "truncation-psi": ("trunc",),
}
"""Name there -> names here, the likeliest first; one counts where the verb has it."""

_OTHERWISE = {
    "allow-tf32": "GPUs take it by themselves",
    "cfg": "the configurations are presets: `organza presets` lists them",
    "desc": "name the folder of the runs with --outdir",
    "gpus": "start one process a GPU: torchrun --nproc-per-node N -m organza ...",
    "height": "--resolution takes HEIGHTxWIDTH",
    "metrics": "`organza evaluate` has it",
    "nhwc": "it is chosen by itself",
    "nobench": "it is chosen by itself",
    "num-keyframes": "each of --seeds is a keyframe",
    "output": "here it is --outdir",
    "shuffle-seed": "give --seeds in the order that you like",
    "snap": "`organza train` has --snapshot-kimg",
    "target": "name the images without an option",
    "verbose": "progress is shown by itself",
    "w-frames": "--seconds is the length of the whole video",
    "width": "--resolution takes HEIGHTxWIDTH",
    "workers": "it is chosen by itself",
}
"""Name there -> what to do, where no option here does it."""

CONFIGS = {
    "auto": "stylegan2",
    "stylegan2": "stylegan2-f",
    "paper256": "stylegan2-256",
    "paper512": "stylegan2-512",
    "paper1024": "stylegan2-1024",
    "cifar": "stylegan2-cifar",
    "stylegan3-t": "stylegan3-t",
    "stylegan3-r": "stylegan3-r",
}
"""What ``--cfg`` of their train.py takes -> our preset."""

_YES, _NO = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")
_ALIKE = {"mirror": (*_YES, *_NO), "resume": ("noresume",)}
"""Name there and here -> values that only theirs takes."""
_TICK = "4"
"""kimg of a tick of theirs."""


@dataclass(frozen=True)
class Line:
    """A command line: the words before its options, all that its options may be, and those that stand in it.

    Attributes:
        prog: such as ``organza train stylegan2``.
        options: the verb's own options and their defaults.
        typed: option -> value, of theirs and ours alike.
    """

    prog: str
    options: Mapping[str, object]
    typed: Mapping[str, str | None]

    @property
    def verb(self) -> str:
        """Such as ``train``."""
        return self.prog.split()[1]


def ours(argv: Sequence[str], options: Mapping[str, object], prog: str) -> list[str]:
    """``argv`` with NVIDIA's options as ours; what is ours already, or nobody's, stays as it is.

    Raises:
        UserError: a value that nothing here corresponds to.

    Example:
        >>> options = {"noise": "const", "trunc": 1.0, "output": Path("out/mix.png")}
        >>> ours(["--noise-mode", "none", "--trunc=0.7", "--outdir", "a"], options, "organza mix")
        ['--noise=none', '--trunc=0.7', '--output=a/mix.png']
    """
    pairs = _pairs(argv)
    line = Line(prog, options, {name: value for name, value in pairs if name})
    words: list[str] = []
    number = 0
    while number < len(argv):
        word, (name, value) = argv[number], pairs[number]
        theirs = _translated(name, value, line) if name else None
        words += [word] if theirs is None else theirs
        number += 2 if theirs is not None and value is not None and "=" not in word else 1
    return words


def hint_of(name: str, options: Sequence[str], prog: str = "") -> str | None:
    """What to do instead of NVIDIA's option ``name``, which `ours` left; None where there is nothing to say.

    Example:
        >>> hint_of("workers", ["network"])
        'it is chosen by itself'
        >>> hint_of("gamma", ["lr"], "organza train dcgan")
        '`organza train dcgan` has no --r1-gamma'
    """
    if prog.startswith("organza train ") and name in _LACKING:
        return f"`{prog}` has no --{_LACKING[name]}"
    return _OTHERWISE.get(name) if name != "output" or "outdir" in options else None


def preset_first(argv: Sequence[str]) -> list[str]:
    """The words after ``organza train`` with the preset in front, where ``--cfg`` names one instead.

    Example:
        >>> preset_first(["--outdir=runs", "--cfg", "paper256"])
        ['stylegan2-256', '--outdir=runs', '--cfg', 'paper256']
    """
    preset = CONFIGS.get(dict(_pairs(argv)).get("cfg") or "")
    return list(argv) if preset is None or not argv[0].startswith("-") else [preset, *argv]


def _pairs(argv: Sequence[str]) -> list[tuple[str, str | None]]:
    """Of each word the option's name and the value beside it; an empty name for words that are no options."""
    pairs: list[tuple[str, str | None]] = []
    for word, after in zip(argv, [*argv[1:], "--"], strict=False):
        name, equals, value = word[2:].partition("=")
        following = None if after.startswith("--") else after
        is_option = word.startswith("--")
        pairs.append((name.replace("_", "-"), value if equals else following) if is_option else ("", None))
    return pairs


def _translated(name: str, value: str | None, line: Line) -> list[str] | None:
    """Our words for an option of theirs; None where it stays as it is."""
    if name in line.options or name in _ALIKE:
        theirs = name in line.options and value is not None and value.lower() in _ALIKE.get(name, ())
        return _RULES[name](value, line) if theirs else None
    if name in _RULES:
        return _RULES[name](value, line)
    here = next((here for here in _SAME.get(name, ()) if here in line.options), None)
    return None if here is None else [_word(here, value)]


def _word(name: str, value: object) -> str:
    return f"--{name}" if value is None else f"--{name}={value}"


def _yes(name: str, value: str | None) -> bool:
    if value is not None and value.lower() not in (*_YES, *_NO):
        raise UserError(f"--{name}: {value!r} is neither true nor false")
    return value is None or value.lower() in _YES


def _aug(value: str | None, line: Line) -> list[str] | None:
    return [_word("augment", "none" if value == "noaug" else value)] if "augment" in line.options else None


def _cfg(value: str | None, line: Line) -> list[str] | None:
    """The preset stands in front already. Our config F mirrors images as the paper does; theirs only if told to."""
    if line.verb != "train" or value not in CONFIGS:
        return None
    preset = line.prog.split()[2]
    if CONFIGS[value] != preset:
        here = CONFIGS[value]
        raise UserError(f"--cfg {value} is the preset {here} here", hint=f"write `organza train {here}`")
    return ["--no-mirror"] if line.options.get("mirror") is True and "mirror" not in line.typed else []


def _channels(name: str) -> Callable[[str | None, Line], list[str] | None]:
    """Theirs holds for G and D; config R of StyleGAN3 has a multiple of it in G."""

    def rule(value: str | None, line: Line) -> list[str] | None:
        if name not in line.options:
            return None
        of_g, of_d = line.options[name], line.options.get(f"{name}-d")
        if not (isinstance(of_g, int) and isinstance(of_d, int) and value is not None and value.isdecimal()):
            return [_word(name, value)]
        return [_word(name, int(value) * of_g // of_d), _word(f"{name}-d", value)]

    return rule


def _cond(value: str | None, line: Line) -> list[str] | None:
    return [_word("labels", "dataset.json" if _yes("cond", value) else "none")] if line.verb == "train" else None


def _fp32(value: str | None, line: Line) -> list[str] | None:
    if "precision" not in line.options:
        return None
    return [_word("precision", "float32")] if _yes("fp32", value) else []


def _freezed(value: str | None, line: Line) -> list[str] | None:
    """Theirs counts layers of D, ours its blocks."""
    if "freeze-d" not in line.options or value is None or not value.isdecimal():
        return [_word("freeze-d", value)] if "freeze-d" in line.options else None
    kind = line.typed.get("architecture-d") or line.options.get("architecture-d")
    first, each = {"resnet": (4, 3), "orig": (3, 2)}.get(str(kind), (3, 3))
    layers = int(value)
    more, left = divmod(layers - first, each)
    if layers and (left or more < 0):
        hint = f"--freeze-d counts blocks: {first} layers the first, {each} each of the others"
        raise UserError(f"--freezed {value} ends inside a block of D", hint=hint)
    return [_word("freeze-d", 1 + more if layers else 0)]


def _gpus(value: str | None, line: Line) -> list[str] | None:
    enough = value == os.environ.get("WORLD_SIZE", "1")
    return [] if enough and line.verb in ("train", "evaluate") else None


def _mirror(value: str | None, line: Line) -> list[str] | None:
    yes = _yes("mirror", value)
    if line.options["mirror"] is None:  # where it may also be left open, ours has a value
        return [_word("mirror", yes)]
    return ["--mirror" if yes else "--no-mirror"]


def _outdir(value: str | None, line: Line) -> list[str] | None:
    """Where we write one file, it gets its usual name in that folder."""
    usual = line.options.get("output")
    return [_word("output", Path(value) / usual.name)] if value is not None and isinstance(usual, Path) else None


def _rate(value: str | None, line: Line) -> list[str] | None:
    """Where both networks have one rate here, theirs must agree."""
    if "lr" not in line.options:
        return None
    rates = line.typed.get("glr"), line.typed.get("dlr")
    if rates[0] != rates[1]:
        raise UserError("--glr and --dlr are one learning rate here, --lr", hint="give both the same, or write --lr")
    return [_word("lr", value)]


def _rate_of(here: str) -> Callable[[str | None, Line], list[str] | None]:
    return lambda value, line: [_word(here, value)] if "lr-d" in line.options else _rate(value, line)


def _resume(value: str | None, line: Line) -> list[str] | None:
    return []


def _save_video(value: str | None, line: Line) -> list[str] | None:
    return [_word("film", "mp4" if _yes("save-video", value) else "none")] if line.verb == "project" else None


def _snap(value: str | None, line: Line) -> list[str] | None:
    """Theirs counts ticks."""
    if "snapshot-kimg" not in line.options:
        return None
    try:
        kimg = float(value or "") * float(line.typed.get("tick") or line.typed.get("tick-kimg") or _TICK)
    except ValueError:
        raise UserError("--snap counts ticks", hint="write --snapshot-kimg instead, in thousands of images") from None
    return [_word("snapshot-kimg", f"{kimg:.10g}")]


def _target(value: str | None, line: Line) -> list[str] | None:
    """Of train.py: what ADA aims at. Of projector.py: the image."""
    if "ada-target" in line.options:
        return [_word("ada-target", value)]
    return [value] if value is not None and line.verb == "project" else None


_RULES: dict[str, Callable[[str | None, Line], list[str] | None]] = {
    "aug": _aug,
    "cbase": _channels("channel-base"),
    "cfg": _cfg,
    "cmax": _channels("channel-max"),
    "cond": _cond,
    "dlr": _rate_of("lr-d"),
    "fp32": _fp32,
    "freezed": _freezed,
    "glr": _rate_of("lr"),
    "gpus": _gpus,
    "mirror": _mirror,
    "outdir": _outdir,
    "resume": _resume,
    "save-video": _save_video,
    "snap": _snap,
    "target": _target,
}
"""Name there -> (value, command line) -> our words; None where this verb has nothing like it."""

_LACKING = {
    **{name: here[0] for name, here in _SAME.items()},
    "aug": "augment",
    "cbase": "channel-base",
    "cmax": "channel-max",
    "dlr": "lr",
    "freezed": "freeze-d",
    "glr": "lr",
    "target": "ada-target",
}
"""Name there -> the setting here that a method may lack."""
