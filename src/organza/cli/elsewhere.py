"""Options of NVIDIA's tools, under the names that they have here."""

from __future__ import annotations

from collections.abc import Iterable

_HERE: dict[str, tuple[str, ...]] = {
    "aug": ("augment",),
    "augpipe": ("augment-pipe",),
    "batch-gpu": ("micro-batch", "batch"),
    "batch-size": ("batch",),
    "cbase": ("channel-base",),
    "ckpt": ("network",),
    "class-idx": ("class",),
    "cmax": ("channel-max",),
    "cols": ("columns",),
    "cond": ("labels",),
    "dlr": ("lr",),
    "freezed": ("freeze-d",),
    "gamma": ("r1-gamma",),
    "glr": ("lr",),
    "height": ("resolution",),
    "map-depth": ("mapping-layers",),
    "model": ("network",),
    "network-pkl": ("network",),
    "noise-mode": ("noise",),
    "num-steps": ("steps",),
    "num-samples": ("samples",),
    "outdir": ("output",),
    "output": ("outdir",),
    "p": ("augment-p",),
    "projected-w": ("w",),
    "psi": ("trunc",),
    "save-video": ("film",),
    "size": ("resolution",),
    "snap": ("snapshot-kimg",),
    "subset": ("max-images",),
    "target": ("ada-target",),
    "tick": ("tick-kimg",),
    "total-kimg": ("kimg",),
    "trunc-psi": ("trunc",),
    "truncation-cutoff": ("cutoff",),
    "truncation-psi": ("trunc",),
    "w-frames": ("seconds",),
    "width": ("resolution",),
}
"""Name there -> names here, the likeliest first; one counts where the verb has it."""

_OTHERWISE = {
    "allow-tf32": "GPUs take it by themselves",
    "cfg": "the configurations are presets: `organza presets` lists them",
    "fp32": "write --precision float32",
    "gpus": "start one process a GPU: torchrun --nproc-per-node N -m organza ...",
    "metrics": "`organza evaluate` has it",
    "nhwc": "it is chosen by itself",
    "nobench": "it is chosen by itself",
    "num-keyframes": "each of --seeds is a keyframe",
    "snap": "`organza train` has --snapshot-kimg",
    "target": "name the images without an option",
    "workers": "it is chosen by itself",
}
"""Name there -> what to do, where no option here does it."""


def hint_of(name: str, options: Iterable[str]) -> str | None:
    """What to write for NVIDIA's option ``name`` in a verb that has ``options``; None where there is nothing to say.

    Example:
        >>> hint_of("noise-mode", ["network", "noise"])
        'here it is --noise'
    """
    name = name.replace("_", "-")
    known = set(options)
    for here in _HERE.get(name, ()):
        if here in known and here != name:
            return f"here it is --{here}"
    return _OTHERWISE.get(name)
