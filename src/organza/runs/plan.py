"""What a training is going to be: everything that can be known, and refused, before anything is written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from organza.contract.data import DataSpec, translates
from organza.contract.method import Clock, Method
from organza.contract.model import Latents, Translation
from organza.core import distributed
from organza.core.config import check as check_values
from organza.core.config import to_plain
from organza.core.device import choose_device, choose_dtype
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.core.version import __version__
from organza.data.groups import Chosen
from organza.data.material import Material, open_material
from organza.data.options import DomainOptions, VideoOptions, parse_resolution
from organza.data.techniques import TEACHER
from organza.formats import locate
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.metrics.names import Metric
from organza.models.teacher import taught
from organza.nn.augmenter import Augmented
from organza.presets import METHODS, Run, preset
from organza.runs.transfer import Origin, adopt, read_origin
from organza.runs.watch import check, wanted, wanted_of_translations
from organza.training import settings
from organza.training.estimate import Memory, check_memory, memory, on_meta, room


@dataclass(frozen=True)
class Plan:
    """A training with nothing left open.

    Attributes:
        name: the preset's, or the method's.
        run: all settings, resolved for the data.
        data: where the data is.
        material: the data, opened.
        origin: networks to start from, or None.
        metrics: of each snapshot.
        device, dtype: where, and the format of activations.
        memory: what it needs.
    """

    name: str
    run: Run
    data: str | Path | Chosen
    material: Material
    origin: Origin | None
    metrics: list[Metric]
    device: torch.device
    dtype: torch.dtype
    memory: Memory

    @property
    def label(self) -> str:
        """What the run's folder says after its number."""
        return self.name + "-" + re.sub(r"[^\w.-]+", "_", self.material.name)

    def config(self) -> dict[str, Any]:
        """What a run's and a checkpoint's ``config.json`` say: plain values, complete."""
        return {
            "organza": __version__,
            "preset": self.name,
            "method": method_name(self.run),
            "spec": to_plain(self.material.spec),
            "config": to_plain(self.run.method),
            "training": to_plain(self.run.training),
            "data": {**to_plain(self.run.data), **self.material.describe()},
            **({} if self.origin is None else {"source": self.origin.about}),
        }

    def check_memory(self) -> str:
        """What it needs and what there is, as text.

        Raises:
            UserError: far too little.
        """
        return check_memory(self.memory, *room(self.device))


def make_plan(
    what: str | Run,
    data: str | Path | Chosen,
    changes: Mapping[str, Any],
    *,
    resume: bool | str | Path = False,
    device: str | None = None,
    own_metrics: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None],
) -> Plan:
    """Open the data, fill in all settings, and refuse what can't be trained.

    Args:
        what, data, resume, device, changes, progress: as for `organza.train`.
        own_metrics: the caller evaluates snapshots.
        say: told what the user should know.

    Raises:
        UserError: unusable data or settings, or a training that needs more memory than there is.
    """
    name, run = named(what, changes)
    place = choose_device(device)
    if run.data.resolution is not None and isinstance(resume, bool):
        check_size(run, place)
    if isinstance(run.data, DomainOptions) and run.data.pairs.startswith(TEACHER) and not isinstance(data, Chosen):
        data, run = _taught_everywhere(data, run, device, progress)
    material = _open_everywhere(data, run, progress, say)
    origin = None if isinstance(resume, bool) else _origin_everywhere(resume)
    if origin is not None:
        run = adopt(run, origin, material.spec, changes)
    elif isinstance(run.method, StyleGAN2) and run.method.freeze_d:
        raise UserError("--freeze-d would keep random layers", hint="say with --resume FILE where D comes from")
    run = resolve(run, material.spec)
    method, dtype, needs = _weigh(run, material.spec, place)
    if material.held_out is not None and isinstance(method.model, Latents) and method.model.text is not None:
        what = "--held-out asks a discriminator about images alone, and this one is asked about a text as well"
        raise UserError(what, hint="leave it out")
    if material.held_out is not None and method.model.critic is None:
        raise UserError(f"{method_name(run)} has no discriminator, so there is nothing to measure with --held-out")
    check_shares(method, run.training.kimg)
    if late := never_active(method, run.training.kimg, material.spec.count):
        what = f"this training is over before the steps of {', '.join(late)} begin"
        say(f"warning: {what}; a longer one (--epochs) goes on from it, shorter stages come to them sooner")
    metrics = _metrics(run, method, material, own_metrics)
    return Plan(name, run, data, material, origin, metrics, place, dtype, needs)


def override(run: Run, changes: Mapping[str, Any]) -> Run:
    """``run`` with some settings changed, each named as on the command line, with underscores.

    Raises:
        UserError: no setting has that name, or a value is of another type or out of its range, be it changed or not.

    Example:
        >>> override(preset("stylegan2").run, {"kimg": 5, "r1_gamma": 1.0}).method.r1_gamma
        1.0
    """
    if changes.get("epochs") is None and changes.get("kimg") is not None:
        changes = {**changes, "epochs": None}  # the length that was typed, not the preset's
    elif changes.get("epochs") is not None and changes.get("kimg") is not None:
        raise UserError("--epochs and --kimg are two lengths of one training", hint="give one of them")
    parts = {f.name: getattr(run, f.name) for f in fields(run)}
    for name, value in changes.items():
        owners = [part for part, config in parts.items() if name in {f.name for f in fields(config)}]
        if not owners:
            names = {f.name for config in parts.values() for f in fields(config)}
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "`organza presets NAME` lists a preset's settings"
            raise UserError(f"no setting is called {name!r}", hint=hint)
        parts[owners[0]] = replace(parts[owners[0]], **{name: value})
    return check_values(replace(run, **parts))


def named(what: str | Run, changes: Mapping[str, Any]) -> tuple[str, Run]:
    """A preset or a run with ``changes``, and its name.

    Raises:
        UserError: it is neither, or see `override`.
    """
    if not isinstance(what, (str, Run)):
        raise UserError(f"can't train {what!r}", hint="give the name of a preset, or a Run")
    name, run = (what, preset(what).run) if isinstance(what, str) else (method_name(what), what)
    run = override(run, changes)
    if run.data.labels != "none" and not run.method.takes_labels:
        raise UserError(f"{method_name(run)} takes no labels", hint="leave out --labels")
    return name, run


def resolve(run: Run, spec: DataSpec) -> Run:
    """The run with every open setting filled in for this data and this number of processes."""
    training = settings.resolve(run.training, spec, distributed.world())
    assert training.batch is not None
    return replace(run, method=run.method.resolve(spec, training.batch), training=training)


def method_name(run: Run) -> str:
    """The name in `METHODS` of a run's method.

    Raises:
        UserError: it is not there.
    """
    for name, kind in METHODS.items():
        if type(run.method) is kind:
            return name
    raise UserError(f"{type(run.method).__name__} is not registered", hint="add it to organza.presets.METHODS")


def memorises(run: Run, count: int) -> bool:
    """Whether D is likely to memorise so few images, and the method could do something about it.

    The paper of ADA (arXiv 2006.06676, figure 1 and 7) sees overfitting clearly below some 20,000 images, once each
    has been shown some tens of times.

    Example:
        >>> run = preset("stylegan2").run
        >>> memorises(run, 2000), memorises(run, 70000), memorises(override(run, {"augment": "ada"}), 2000)
        (True, False, False)
    """
    idle = isinstance(run.method, Augmented) and run.method.augment == "none"
    return idle and count < 20_000 and run.training.kimg * 1000 > 30 * count


def check_shares(method: Method, kimg: float) -> None:
    """Batches that a method's schedule comes to must be shared equally, too; better said now than then.

    Raises:
        UserError: one can't be.
    """
    end, world = round(kimg * 1000), distributed.world()
    for seen in range(0, end, max(1, end // 1000)):
        batch = method.schedule(Clock(seen, end)).batch
        if batch is not None and batch % world:
            raise UserError(
                f"the schedule comes to a batch of {batch}, which {world} processes can't share",
                hint="give other --batches",
            )


def never_active(method: Method, kimg: float, count: int) -> list[str]:
    """The phases of later stages that a training of this length does not come to; ``count``: images in an epoch."""
    end = round(kimg * 1000)
    stages = {method.schedule(Clock(seen, end, count)).stage for seen in range(0, end, max(1, end // 1000))}
    return [phase.name for phase in method.phases if not any(map(phase.active, stages))]


def check_size(run: Run, place: torch.device) -> None:
    """See that networks for images of this size can be had, before everything is decoded.

    Args:
        run: with a resolution.
        place: where it should train.

    Raises:
        UserError: they don't fit the images, or the memory.
    """
    assert run.data.resolution is not None
    channels = 3 if run.data.channels == "auto" else int(run.data.channels)
    source = channels if translates(run.method.layout) else 0
    labels = int(run.data.labels != "none")
    words = ("word",) if run.method.layout == "captioned" and run.data.captions != "none" else ()
    told: dict[str, Any] = {"words": words, "text_length": len(words)}
    spec = DataSpec(parse_resolution(run.data.resolution), channels, labels, source=source, count=10**6, **told)
    if isinstance(run.data, VideoOptions):
        spec = replace(spec, frames=run.data.frames)
    if isinstance(run.data, DomainOptions) and run.data.label_map != "none":
        spec = replace(spec, palette=((0,) * min(source, 3), (255,) * min(source, 3)))
    check_memory(_weigh(resolve(run, spec), spec, place)[2], *room(place))


def _weigh(run: Run, spec: DataSpec, place: torch.device) -> tuple[Method, torch.dtype, Memory]:
    """The method of a resolved run as shapes alone, the format of its activations, and what it needs."""
    state = on_meta(run.method, spec)
    dtype = choose_dtype(run.training.precision, place, auto_bf16="training" in state.method.bf16)
    return state.method, dtype, memory(state, spec, run.training, dtype)


def _taught_everywhere(data: str | Path, run: Run, device: str | None, progress: Progress | None) -> tuple[Path, Run]:
    """The pairs that rank 0 has a teacher make, and the run with the teacher's whole path."""
    assert isinstance(run.data, DomainOptions)
    words = run.data.pairs
    where = user_path(words.removeprefix(TEACHER))
    if where.exists():
        words = f"{TEACHER}{where.resolve()}"
    folder = distributed.from_first(lambda: str(taught(data, words, device=device, progress=progress)))
    return Path(folder), replace(run, data=replace(run.data, pairs=words))


def _open_everywhere(
    data: str | Path | Chosen, run: Run, progress: Progress | None, say: Callable[[str], None]
) -> Material:
    """Rank 0 decodes into the cache, then all open it."""
    opened: list[Material] = []

    def decode() -> None:
        opened.append(open_material(data, run.data, run.method.layout, progress=progress, say=say))

    distributed.from_first(decode)
    return opened[0] if opened else open_material(data, run.data, run.method.layout)


def _origin_everywhere(where: str | Path) -> Origin:
    """Rank 0 downloads what has to be, then all read it."""
    distributed.from_first(lambda: str(locate(where)))
    return read_origin(where)


def _metrics(run: Run, method: Method, material: Material, own: bool) -> list[Metric]:
    """The metrics of each snapshot; what was asked for by name must be possible."""
    if own:
        return []
    if run.training.metrics == "convergence":
        if method.convergence is None:
            what = f"the log of {method_name(run)} has no figure of convergence"
            raise UserError(what, hint="--metrics auto evaluates images")
        return []
    if isinstance(method.model, Translation):
        tried = material.sequences or (material.target if material.domains is None else material.domains)
        return wanted_of_translations(run.training.metrics, tried, joint=material.also is not None)
    metrics = wanted(run.training.metrics)
    if material.spec.embedding_dim and run.training.metrics == "auto":
        return []  # evaluations take captions
    if run.training.metrics != "auto":
        check(metrics, material.target, run.data.mirror)
    return metrics
