"""Train a method on images: the one entry point, for the command line and for Python."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import torch

from organza.contract.data import DataSpec
from organza.core import distributed
from organza.core.config import differences, from_plain, to_plain
from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.core.messages import logger
from organza.core.progress import Progress
from organza.data.dataset import Dataset
from organza.data.domains import Domains
from organza.data.groups import Chosen
from organza.data.sequences import Sequences
from organza.nn.augmenter import Augmented
from organza.presets import METHODS, Run
from organza.runs.folder import take
from organza.runs.norm_mode import settle_norm_mode, tried_on, videos_tried_on
from organza.runs.plan import Plan, make_plan, memorises
from organza.runs.transfer import copy_weights, write_licence
from organza.runs.watch import Converging, Watch, wanted_of_translations
from organza.training import checkpoint, settings
from organza.training.by_shapes import pace_of_videos
from organza.training.estimate import on_meta, room, seconds_per_kimg
from organza.training.gauge import Gauge
from organza.training.loop import Evaluate
from organza.training.loop import train as run_loop
from organza.training.monitor import Monitor, duration, read_log
from organza.training.plots import plot_log
from organza.training.profiling import Profiler
from organza.training.settings import Training
from organza.training.state import State
from organza.training.voice import Voice

log = logger(__name__)

SHORT = 0.5
"""Seconds: a step that takes less can be timed with more images."""
_LENGTH = ("kimg", "epochs", "minutes")
_OUTPUT = ("micro_batch", "tick_kimg", "snapshot_kimg", "keep", "grid", "metrics", "metrics_share")
FREE_TO_CHANGE = {f"training.{name}" for name in (*_LENGTH, *_OUTPUT)} | {
    *("data.layout", "spec.count", "organza"),
    *("spec.label_names", "spec.label_sets"),  # words for what the data's key says
}
"""Settings that a resumed run may change: the same steps follow (up to rounding, for another micro-batch)."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        folder: the run's folder, for `organza.load`.
        seen: images shown so far.
        finished: False when it was asked to stop before its end.

    Example:
        >>> Outcome(Path("runs/00000-dcgan-faces"), seen=1000, finished=True).folder.name
        '00000-dcgan-faces'
    """

    folder: Path
    seen: int
    finished: bool


def train(
    what: str | Run,
    data: str | Path | Chosen,
    *,
    outdir: str | Path = "runs",
    resume: bool | str | Path = False,
    new: bool = False,
    device: str | None = None,
    profile: bool = False,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Outcome:
    """Train on the images at ``data`` and leave a run's folder ``outdir/00000-NAME-DATA``.

    Called again with the same settings it continues an unfinished run, exactly where it was.

    Args:
        what: a preset's name, or a `Run`.
        data: whatever `organza.open_dataset` opens; for a translation, pairs or two sets, or some images of these.
        outdir: where runs are numbered.
        resume: True insists on continuing the newest run of this preset and data. A path, an address or a name,
            whatever `organza.load` takes, starts a run with the weights that are there, as far as they fit.
        new: start a new run even where an unfinished one could be continued.
        device: ``"cpu"``, ``"cuda:1"`` ...; None takes the GPU where there is one.
        profile: profile a cycle of steps and write ``trace.json.gz`` and ``profile.txt`` into the run's folder; the
            training goes on.
        evaluate: called with every new checkpoint's folder instead of ``metrics``; the numbers that it returns are
            logged.
        progress: called as ``progress(done, total)`` while images are decoded for the first time.
        **changes: settings by name, such as ``kimg=100, resolution="64", r1_gamma=1.0``.

    Raises:
        UserError: unusable data or settings, a full disk, nothing to resume, or divergence.

    Example:
        >>> from dataclasses import replace
        >>> from organza import preset
        >>> run = preset("stylegan2").run
        >>> small = replace(run, method=run.method.toy())
        >>> outcome = train(small, faces, outdir=folder, kimg=0.008, batch=4, grid="4x2")
        >>> outcome.folder.name, outcome.seen
        ('00000-stylegan2-faces', 8)
    """
    distributed.start()
    try:
        own = evaluate is not None
        plan = make_plan(
            what, data, changes, resume=resume, device=device, own_metrics=own, progress=progress, say=_say
        )
        needs = plan.check_memory()
        state = _fresh(plan)
        started = "" if plan.origin is None else copy_weights(state, plan.origin)
        config = plan.config() | frozen_marks(state)
        runs = take(
            user_path(outdir), plan.label, config, lambda old: changed(old, config), resume=resume is True, new=new
        )
        with runs as folder:
            _load_newest(state, folder)
            if settings.ended(plan.run.training, state.position.seen, state.position.seconds):
                seen = f"{state.position.seen / 1000:g} kimg"
                longer = "--kimg" if state.position.seen >= round(plan.run.training.kimg * 1000) else "--minutes"
                _say(f"{folder}: already at {seen}; {longer} lengthens it, --new starts another")
                return Outcome(folder, state.position.seen, True)
            _tell_continued(plan, state, folder)
            _note(plan, config, folder)
            processes = f"{distributed.world()} x {plan.device.type}"
            opening = [f"{plan.name} on {plan.material.about}, on {processes}, {needs}: {folder}", started]
            return _run(plan, state, folder, config, evaluate, profile, opening)
    finally:
        distributed.stop()


def dry_run(
    what: str | Run,
    data: str | Path | Chosen,
    *,
    resume: bool | str | Path = False,
    device: str | None = None,
    all_settings: bool = False,
    **changes: Any,
) -> str:
    """What `train` would do with the same arguments, as text: parameters, memory and time, or why it would refuse.

    Args:
        what, data, resume, device, changes: as for `train`.
        all_settings: list all settings as well, after the rest.

    Raises:
        UserError: unusable data or settings, or a training that needs more memory than there is.

    Example:
        >>> print(dry_run("stylegan2", faces, channel_base=128, channel_max=8, batch=4))
        stylegan2 on 48 images 16x16, in batches of 4
        G: ... parameters
        D: ... parameters
        memory: about ...
        time: about ... for 25000 kimg (... s/kimg)
    """
    plan = make_plan(what, data, changes, resume=resume, device=device, say=lambda text: None)
    training, material = plan.run.training, plan.material
    lines = [f"{plan.name} on {material.about}, in batches of {training.batch}"]
    for name, net in on_meta(plan.run.method, material.spec).method.nets.items():
        lines.append(f"{name}: {sum(p.numel() for p in net.parameters()):,} parameters")
    lines.append(f"memory: {plan.check_memory()}")
    free, _ = room(plan.device)
    if free is None or plan.memory.total <= free:
        run, spec = plan.run, material.spec
        far = pace_of_videos(run.method, spec, training, plan.dtype, plan.device) if spec.frames else None
        seconds = _pace(plan) if far is None else far.seconds
        length = min(seconds * training.kimg, (training.minutes or math.inf) * 60)
        how = "" if far is None else f"; {far.about}"
        lines.append(f"time: about {duration(length)} for {training.kimg:g} kimg ({seconds:.0f} s/kimg{how})")
    if all_settings:
        lines += ["settings:", json.dumps(plan.config(), indent=2)]
    return "\n".join(lines)


def _pace(plan: Plan) -> float:
    """Seconds for a thousand images: of a few; of more where that takes no time, since optimizers cost the same for any
    batch; of a whole micro-batch where a method needs one (GMAN)."""
    training, spec = plan.run.training, plan.material.spec
    whole = settings.micro_batch(training, max(1, (training.batch or 1) // distributed.world()))
    few, pace = min(4, whole), math.inf
    with plan.material.loader(seed=training.seed, device=plan.device) as loader:
        while True:
            try:
                pace = seconds_per_kimg(_fresh(plan), loader.batch(0, few), training, plan.dtype, spec.count)
            except UserError:
                if few == whole:
                    raise
                few = whole
                continue
            if few == whole or pace * few > 1000 * SHORT:
                return pace
            few = min(whole, 8 * few)


def _run(
    plan: Plan,
    state: State,
    folder: Path,
    config: Mapping[str, Any],
    evaluate: Evaluate | None,
    profile: bool,
    opening: list[str],
) -> Outcome:
    """The loop with all that watches it."""
    training, material, first = plan.run.training, plan.material, distributed.rank() == 0
    columns, rows = settings.grid_size(training.grid)
    voice = Voice(training.kimg, state.position.seen)
    profiler = None
    if profile and first:
        share = (training.batch or 0) // distributed.world()
        profiler = Profiler(folder, share, state.position.step, voice.say)
        state = replace(state, method=profiler.watch(state.method))
    gauge = None if material.held_out is None else _gauge(plan, state, voice)
    examples = material.examples(columns * rows)
    after_step = None if profiler is None else profiler.step
    monitor = Monitor(folder, training, examples, state.position, voice, gauge=gauge, after_step=after_step)
    watch: Watch | Converging | None = None
    if plan.metrics and first:
        evaluate = watch = _watch(plan, state, monitor, voice)
    elif training.metrics == "convergence" and evaluate is None and first:
        assert state.method.convergence is not None
        evaluate = watch = Converging(folder, state.method.convergence, monitor.records, voice.say)
    place: dict[str, Any] = {"device": plan.device, "rank": distributed.rank(), "world": distributed.world()}
    loader = material.loader(seed=training.seed, **place)
    try:
        for line in filter(None, opening if state.position.seen == 0 else opening[:1]):
            voice.say(line)
        if material.shards is None and memorises(plan.run, len(material.target)):
            times = training.kimg * 1000 / len(material.target)
            voice.say(
                f"{len(material.target)} images, each shown about {times:.0f} times: D may memorise them; "
                "--augment ada helps against it, --held-out 5% measures it"
            )
        finished = run_loop(state, loader, training, plan.dtype, monitor, config, evaluate)
        if profiler is not None:
            profiler.close()
        if first:
            if evaluate is not None:
                plot_log(read_log(folder), folder / "plot.png")  # with what was found of the last snapshot
            if watch is not None and (summary := watch.summary()):
                voice.say(summary)
            if finished and material.domains is not None:
                settle_norm_mode(folder, plan, voice.say)
        if not finished:
            voice.say(f"stopped at {state.position.seen / 1000:.2f} kimg; {_how_to_continue()}")
        return Outcome(folder, state.position.seen, finished)
    finally:
        voice.close()
        loader.close()


def _fresh(plan: Plan) -> State:
    torch.manual_seed(plan.run.training.seed)  # the same weights on every process
    return State.fresh(plan.run.method.build(plan.material.spec), plan.device)


def frozen_marks(state: State) -> dict[str, Any]:
    """For ``config.json``: which helper networks a training leans on, by their content; {} without such."""
    marks = {name: checkpoint.content_mark(net) for name, net in state.frozen.items()}
    return {"frozen": marks} if marks else {}


def changed(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which the run of a folder differs from this one, but for those that are free to change."""
    try:
        old = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {"config.json": ("unreadable", "")}
    kinds: dict[str, type[Any]] = {"training": Training, "spec": DataSpec}
    if old.get("method") in METHODS:
        kinds["config"] = METHODS[old["method"]]
    for part, kind in kinds.items():  # settings that are younger than the run have defaults
        with contextlib.suppress(UserError):
            old[part] = json.loads(json.dumps(to_plain(from_plain(kind, old[part]))))
    found = differences(old, json.loads(json.dumps(config)))
    return {key: pair for key, pair in found.items() if key not in FREE_TO_CHANGE}


def _load_newest(state: State, folder: Path) -> None:
    """Load the newest checkpoint that is whole; what is passed over is told."""
    paths = list(checkpoint.newest_first(folder / "checkpoints"))
    try:
        if paths:
            checkpoint.first_whole(paths, state.load, _say)
    except UserError as error:
        raise UserError("no intact checkpoint is left", where=folder, hint="start again with --new") from error


def _tell_continued(plan: Plan, state: State, folder: Path) -> None:
    if seen := state.position.seen:
        training = plan.run.training
        rates = f", with learning rates at {settings.lr_factor(training, seen):.0%}" if training.lr_decay else ""
        _say(f"continuing {folder} from {seen / 1000:g} kimg{rates}")


def _note(plan: Plan, config: Mapping[str, Any], folder: Path) -> None:
    """Leave in the run's folder what it is, under which licence, and which images it never sees."""
    if distributed.rank() != 0:
        return
    with atomic_write(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")
    if plan.origin is not None:
        write_licence(plan.origin.about, folder)
    if plan.material.held_out is not None:
        names = "".join(f"{name}\n" for name in plan.material.held_out.names)
        with atomic_write(folder / "held-out.txt") as temporary:
            temporary.write_bytes(names.encode("utf-8", "surrogatepass"))


def _watch(plan: Plan, state: State, monitor: Monitor, voice: Voice) -> Watch:
    """What evaluates the checkpoints."""
    training, end = plan.run.training, plan.run.training.kimg * 1000
    longest = (training.minutes or math.inf) * 60
    tried: Dataset | Domains | Sequences = plan.material.target
    metrics = plan.metrics
    if plan.material.domains is not None:
        tried = videos_tried_on(plan, voice.say) if plan.material.sequences is not None else tried_on(plan)[0]
        if training.metrics == "auto":  # of as many as are held out
            metrics = wanted_of_translations("auto", tried)
    return Watch(
        monitor.folder,
        tried,
        metrics,
        training.metrics_share,
        trained=lambda: state.position.seconds,
        total=lambda: min(state.position.seconds * end / max(state.position.seen, 1), longest),
        say=voice.say,
        records=list(monitor.records),
        options={"mirror": plan.run.data.mirror},
        precision=training.precision,
        device=str(plan.device),
    )


def _gauge(plan: Plan, state: State, voice: Voice) -> Gauge:
    assert plan.material.held_out is not None
    method = plan.run.method
    help_ = ["--augment ada"] if isinstance(method, Augmented) and method.augment == "none" else []
    help_ += ["more data"]
    if "r1_gamma" in {field.name for field in fields(method)}:  # type: ignore[arg-type]
        help_ += ["a stronger --r1-gamma"]
    target, held_out = plan.material.target, plan.material.held_out
    return Gauge(state.method, target, held_out, plan.run.training, voice.say, " or ".join(help_))


def _how_to_continue() -> str:
    """In the words of whoever started this: our command, torchrun, or a script."""
    program = Path(sys.argv[0])
    typed = program.stem == "organza" or program.parent.name == "organza"  # `python -m organza`
    world, processes = distributed.world(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if world > processes:
        return "continue with the same torchrun command on each node"
    if world > 1 and typed:
        return f"continue with: torchrun --nproc-per-node {processes} -m {shlex.join(['organza', *sys.argv[1:]])}"
    if typed:
        return f"continue with: {shlex.join(['organza', *sys.argv[1:]])}"
    return "the same call goes on from here"


def _say(text: str) -> None:
    if distributed.rank() == 0:
        log.log(WARNING if text.startswith("warning") else INFO, text)
