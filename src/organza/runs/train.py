"""Train a method on pictures: the one entry point, for the command line and for Python."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organza.contract.data import DataSpec
from organza.contract.method import Method
from organza.core import distributed
from organza.core.config import check as check_values
from organza.core.config import differences, from_plain, to_plain
from organza.core.device import choose_device, choose_dtype
from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.core.progress import Progress
from organza.core.text import say
from organza.core.version import __version__
from organza.data import Dataset, Loader, open_dataset
from organza.data.domains import single_images
from organza.data.held_out import split
from organza.data.opening import open_source
from organza.data.options import parse_resolution
from organza.data.stream import ShardLoader, Shards, remote_shards
from organza.formats import locate
from organza.metrics.names import Metric
from organza.presets import METHODS, Run, preset
from organza.runs.folder import take
from organza.runs.transfer import Origin, adopt, copy_weights, read_origin, write_licence
from organza.runs.watch import Watch, check, wanted
from organza.training import checkpoint, settings
from organza.training.estimate import Memory, check_memory, on_meta, room, seconds_per_kimg
from organza.training.estimate import memory as memory_of
from organza.training.gauge import Gauge
from organza.training.loop import Evaluate
from organza.training.loop import train as run_loop
from organza.training.monitor import UNSEEN, Monitor, duration, read_log
from organza.training.plots import plot_log
from organza.training.profiling import Profiler
from organza.training.settings import Training
from organza.training.state import State

_FREE = ("kimg", "micro_batch", "tick_kimg", "snapshot_kimg", "keep", "grid", "metrics", "metrics_share")
FREE_TO_CHANGE = {f"training.{name}" for name in _FREE} | {"data.layout"}
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


def override(run: Run, changes: Mapping[str, Any]) -> Run:
    """``run`` with some settings changed, each named as on the command line, with underscores.

    Raises:
        UserError: no setting has that name, or a value is of another type or out of its range, be it changed or not.

    Example:
        >>> override(preset("stylegan2").run, {"kimg": 5, "r1_gamma": 1.0}).method.r1_gamma
        1.0
    """
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


def train(
    what: str | Run,
    data: str | Path,
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
    """Train on the pictures at ``data`` and leave a run's folder ``outdir/00000-NAME-DATA``.

    Called again with the same settings it continues an unfinished run, exactly where it was.

    Args:
        what: a preset's name, or a `Run`.
        data: whatever `organza.open_dataset` opens.
        outdir: where runs are numbered.
        resume: True insists on continuing the newest run of this preset and data. A path, an address or a name,
            whatever `organza.load` takes, starts a run with the weights that are there, as far as they fit.
        new: start a new run even where an unfinished one could be continued.
        device: ``"cpu"``, ``"cuda:1"`` ...; None takes the GPU where there is one.
        profile: profile a cycle of steps and write ``trace.json.gz`` and ``profile.txt`` into the run's folder; the
            training goes on.
        evaluate: called with every new checkpoint's folder instead of ``metrics``; the numbers that it returns are
            logged.
        progress: called as ``progress(done, total)`` while pictures are decoded for the first time.
        **changes: settings by name, such as ``kimg=100, resolution="64", r1_gamma=1.0``.

    Raises:
        UserError: unusable data or settings, a full disk, nothing to resume, or divergence.

    Example:
        >>> from dataclasses import replace
        >>> run = preset("stylegan2").run
        >>> small = replace(run, method=run.method.toy())
        >>> outcome = train(small, faces, outdir=folder, kimg=0.008, batch=4, grid="4x2")
        >>> outcome.folder.name, outcome.seen
        ('00000-stylegan2-faces', 8)
    """
    name, run = _named(what, changes)
    distributed.start()
    place = choose_device(device)
    _check_size(run, place, resume)
    opened = _open_everywhere(data, run, progress)
    shards = opened if isinstance(opened, Shards) else None
    dataset, held_out = split(opened.first if isinstance(opened, Shards) else opened, run.data)
    origin = None if isinstance(resume, bool) else _origin_everywhere(resume)
    run = _planned(run, dataset, origin, changes)
    memory = check_memory(_needs(run, dataset, held_out, place), *room(place))
    metrics = wanted(run.training.metrics)
    if evaluate is None and run.training.metrics != "auto":
        check(metrics, dataset, run.data.mirror)
    config = describe(run, name, dataset, held_out) | ({} if origin is None else {"source": origin.about})
    state = _state(run, dataset, place)
    started = "" if origin is None else copy_weights(state, origin)
    reals, labels = _reals(dataset, run.training.grid)
    label = name + "-" + re.sub(r"[^\w.-]+", "_", dataset.name)
    runs = take(user_path(outdir), label, config, lambda old: _changed(old, config), resume=resume is True, new=new)
    with runs as folder:
        _load_newest(state, folder)
        finished = state.position.seen >= round(run.training.kimg * 1000)
        if finished:
            _say(f"{folder}: already at {state.position.seen / 1000:g} kimg; --kimg lengthens it, --new starts another")
            distributed.stop()
            return Outcome(folder, state.position.seen, True)
        if state.position.seen:
            falling = settings.lr_factor(run.training, state.position.seen)
            rates = f", with learning rates at {falling:.0%}" if run.training.lr_decay else ""
            _say(f"continuing {folder} from {state.position.seen / 1000:g} kimg{rates}")
        if distributed.rank() == 0:
            with atomic_write(folder / "config.json") as temporary:
                temporary.write_text(json.dumps(config, indent=2) + "\n")
            if origin is not None:
                write_licence(origin.about, folder)
            if held_out is not None:
                with atomic_write(folder / "held-out.txt") as temporary:
                    temporary.write_bytes("".join(f"{n}\n" for n in held_out.names).encode("utf-8", "surrogatepass"))
        sliced: dict[str, Any] = {"rank": distributed.rank(), "world": distributed.world()}
        where: dict[str, Any] = {"seed": run.training.seed, "device": place, **sliced}
        loader = Loader(dataset, **where) if shards is None else ShardLoader(shards, **where)
        dtype = _dtype(run, state.method, place)
        monitor = Monitor(folder, run.training, reals, labels, state.position)
        watch = None
        if evaluate is None and metrics and distributed.rank() == 0:
            evaluate = watch = _watch(metrics, run, state, dataset, monitor, device)
        if held_out is not None:
            monitor.gauge = _gauge(state, dataset, held_out, run, monitor)
        profiler = None
        if profile and distributed.rank() == 0:
            share = (run.training.batch or 0) // distributed.world()
            profiler = Profiler(folder, share, state.position.step, monitor.say)
            state.method, monitor.after_step = profiler.watch(state.method), profiler.step
        try:
            monitor.say(
                f"{name} on {len(dataset)} images{'' if shards is None else ' (in the first shard)'} "
                f"{dataset.spec.resolution[0]}x{dataset.spec.resolution[1]}, "
                f"on {distributed.world()} x {place.type}, {memory}: {folder}"
            )
            if started and not state.position.seen:
                monitor.say(started)
            if shards is None and advisable(run, len(dataset)):
                times = run.training.kimg * 1000 / len(dataset)
                monitor.say(
                    f"{len(dataset)} images, each shown about {times:.0f} times: D may memorise them; "
                    "--augment ada helps against it, --held-out 5% measures it"
                )
            finished = run_loop(state, loader, run.training, dtype, monitor, config, evaluate)
            if profiler is not None:
                profiler.close()
            if distributed.rank() == 0:
                plot_log(read_log(folder), folder / "plot.png")
                if watch is not None and (summary := watch.summary()):
                    monitor.say(summary)
            if not finished:
                monitor.say(f"stopped at {state.position.seen / 1000:.2f} kimg; {_how_to_continue()}")
        finally:
            monitor.close()
            loader.close()
            distributed.stop()
    return Outcome(folder, state.position.seen, finished)


def dry_run(
    what: str | Run,
    data: str | Path,
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
    name, run = _named(what, changes)
    place = choose_device(device)
    single_images(open_source(data), run.data.layout)
    _check_size(run, place, resume)
    dataset, held_out = split(open_dataset(data, run.data), run.data)
    run = _planned(run, dataset, None if isinstance(resume, bool) else read_origin(resume), changes)
    if run.training.metrics != "auto":
        check(wanted(run.training.metrics), dataset, run.data.mirror)
    needs, (free, total) = _needs(run, dataset, held_out, place), room(place)
    lines = [
        f"{name} on {len(dataset)} images {dataset.spec.resolution[0]}x{dataset.spec.resolution[1]}, "
        f"in batches of {run.training.batch}"
    ]
    for net_name, net in on_meta(run.method, dataset.spec).method.nets.items():
        lines.append(f"{net_name}: {sum(p.numel() for p in net.parameters()):,} parameters")
    lines.append(f"memory: {check_memory(needs, free, total)}")
    if free is None or needs.total <= free:
        state, size = _state(run, dataset, place), min(4, run.training.micro_batch or 4)
        with Loader(dataset, seed=run.training.seed, device=place) as loader:
            dtype = _dtype(run, state.method, place)
            seconds = seconds_per_kimg(state, loader.batch(0, size), run.training, dtype)
        length = duration(seconds * run.training.kimg)
        lines.append(f"time: about {length} for {run.training.kimg:g} kimg ({seconds:.0f} s/kimg)")
    if all_settings:
        lines += ["settings:", json.dumps(describe(run, name, dataset, held_out), indent=2)]
    return "\n".join(lines)


def _check_size(run: Run, place: torch.device, resume: bool | str | Path) -> None:
    """Where the images' size is known beforehand: see that networks for it can be had, before everything is decoded."""
    if run.data.resolution is None or not isinstance(resume, bool):
        return
    spec = DataSpec(parse_resolution(run.data.resolution), 3 if run.data.channels == "auto" else int(run.data.channels))
    training = settings.resolve(run.training, spec, distributed.world())
    assert training.batch is not None
    state = on_meta(run.method.resolve(spec, training.batch), spec)
    check_memory(memory_of(state, spec, training, _dtype(run, state.method, place)), *room(place))


def _planned(run: Run, dataset: Dataset, origin: Origin | None, changes: Mapping[str, Any]) -> Run:
    """The run with nothing left open: the origin's architecture, and what follows from the data."""
    if origin is not None:
        run = adopt(run, origin, dataset.spec, changes)
    elif getattr(run.method, "freeze_d", 0):
        raise UserError("--freeze-d would keep random layers", hint="say with --resume FILE where D comes from")
    return resolve(run, dataset)


def _needs(run: Run, dataset: Dataset, held_out: Dataset | None, place: torch.device) -> Memory:
    """The memory of a planned run, found before anything is allocated or written; and whether it can be trained so."""
    state = on_meta(run.method, dataset.spec)
    if held_out is not None and state.method.critic is None:
        raise UserError(f"{method_name(run)} has no discriminator, so there is nothing to measure with --held-out")
    _check_shares(state.method, run.training.kimg)
    return memory_of(state, dataset.spec, run.training, _dtype(run, state.method, place))


def _dtype(run: Run, method: Method, place: torch.device) -> torch.dtype:
    """The format of activations in training."""
    return choose_dtype(run.training.precision, place, auto_bf16="training" in method.bf16)


def resolve(run: Run, dataset: Dataset) -> Run:
    """The run with every open setting filled in for this data and this number of processes."""
    training = settings.resolve(run.training, dataset.spec, distributed.world())
    assert training.batch is not None
    return replace(run, method=run.method.resolve(dataset.spec, training.batch), training=training)


def describe(run: Run, name: str, dataset: Dataset, held_out: Dataset | None = None) -> dict[str, Any]:
    """What a run's and a checkpoint's ``config.json`` say: plain values, complete."""
    apart = {} if held_out is None else {"held_out_key": held_out.key, "held_out_images": len(held_out)}
    return {
        "organza": __version__,
        "preset": name,
        "method": method_name(run),
        "spec": to_plain(dataset.spec),
        "config": to_plain(run.method),
        "training": to_plain(run.training),
        "data": {**to_plain(run.data), "name": dataset.name, "key": dataset.key, "images": len(dataset), **apart},
    }


def advisable(run: Run, pictures: int) -> bool:
    """Whether D is likely to learn so few pictures by heart, and the method could do something about it.

    The paper of ADA (arXiv 2006.06676, figure 1 and 7) sees overfitting clearly below some 20,000 pictures, once each
    has been shown some tens of times.

    Example:
        >>> run = preset("stylegan2").run
        >>> advisable(run, 2000), advisable(run, 70000), advisable(override(run, {"augment": "ada"}), 2000)
        (True, False, False)
    """
    return (
        getattr(run.method, "augment", "") == "none" and pictures < 20_000 and run.training.kimg * 1000 > 30 * pictures
    )


def method_name(run: Run) -> str:
    """The name in `METHODS` of a run's method.

    Raises:
        UserError: it is not there.
    """
    for name, kind in METHODS.items():
        if type(run.method) is kind:
            return name
    raise UserError(f"{type(run.method).__name__} is not registered", hint="add it to organza.presets.METHODS")


def _named(what: str | Run, changes: Mapping[str, Any]) -> tuple[str, Run]:
    if not isinstance(what, (str, Run)):
        raise UserError(f"can't train {what!r}", hint="give the name of a preset, or a Run")
    name, run = (what, preset(what).run) if isinstance(what, str) else (method_name(what), what)
    run = override(run, changes)
    if run.data.labels != "none" and not run.method.takes_labels:
        raise UserError(f"{method_name(run)} takes no labels", hint="leave out --labels")
    return name, run


def _open_everywhere(data: str | Path, run: Run, progress: Progress | None) -> Dataset | Shards:
    """Rank 0 decodes into the cache, then all open it."""
    opened: list[Dataset | Shards] = []
    addresses = remote_shards(data)

    def decode() -> None:
        if addresses:
            opened.append(Shards(addresses, run.data, progress=progress))
            return
        if warning := single_images(open_source(data), run.data.layout):
            _say(f"warning: {warning}")
        dataset = open_dataset(data, run.data, progress=progress)
        for picture, reason in dataset.skipped[:20]:
            _say(f"skipped {picture}: {reason}")
        if len(dataset.skipped) > 20:
            _say(f"skipped {len(dataset.skipped) - 20} more; `organza dataset info` lists them")
        opened.append(dataset)

    distributed.from_first(decode)
    if opened:
        return opened[0]
    return Shards(addresses, run.data) if addresses else open_dataset(data, run.data)


def _origin_everywhere(where: str | Path) -> Origin:
    """Rank 0 downloads what has to be, then all read it."""
    distributed.from_first(lambda: str(locate(where)))
    return read_origin(where)


def _state(run: Run, dataset: Dataset, device: torch.device) -> State:
    torch.manual_seed(run.training.seed)  # the same weights on every process
    return State.fresh(run.method.build(dataset.spec), device)


def _watch(
    metrics: list[Metric], run: Run, state: State, dataset: Dataset, monitor: Monitor, device: str | None
) -> Watch:
    """What judges the checkpoints."""
    end = run.training.kimg * 1000
    return Watch(
        monitor.folder,
        dataset,
        metrics,
        run.training.metrics_share,
        trained=lambda: state.position.seconds,
        total=lambda: state.position.seconds * end / max(state.position.seen, 1),
        say=monitor.say,
        records=list(monitor.records),
        options={"mirror": run.data.mirror},
        precision=run.training.precision,
        device=device,
    )


def _gauge(state: State, dataset: Dataset, held_out: Dataset, run: Run, monitor: Monitor) -> Gauge:
    help_ = ["more data", "a stronger --r1-gamma"] if hasattr(run.method, "r1_gamma") else ["more data"]
    advice = " or ".join((["--augment ada"] if getattr(run.method, "augment", "") == "none" else []) + help_)
    return Gauge(state.method, dataset, held_out, run.training, monitor.say, advice)


def _check_shares(method: Method, kimg: float) -> None:
    """Batches that a method's schedule comes to must be shared equally, too; better said now than then."""
    end, world = round(kimg * 1000), distributed.world()
    for seen in range(0, end, max(1, end // 1000)):
        batch = method.schedule(seen).batch
        if batch is not None and batch % world:
            raise UserError(
                f"the schedule comes to a batch of {batch}, which {world} processes can't share",
                hint="give other --batches",
            )


def _changed(folder: Path, config: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    try:
        old = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {"config.json": ("unreadable", "")}
    kinds: dict[str, type[Any]] = {"training": Training}
    if old.get("method") in METHODS:
        kinds["config"] = METHODS[old["method"]]
    for part, kind in kinds.items():  # settings that are younger than the run have defaults
        with contextlib.suppress(UserError):
            old[part] = json.loads(json.dumps(to_plain(from_plain(kind, old[part]))))
    free = FREE_TO_CHANGE | {"organza"}
    return {key: pair for key, pair in differences(old, json.loads(json.dumps(config))).items() if key not in free}


def _load_newest(state: State, folder: Path) -> None:
    """Load the newest checkpoint that is whole; what is passed over is told."""
    paths = list(checkpoint.newest_first(folder / "checkpoints"))
    try:
        if paths:
            checkpoint.first_whole(paths, state.load, _say)
    except UserError as error:
        raise UserError("no intact checkpoint is left", where=folder, hint="start again with --new") from error


def _reals(dataset: Dataset, grid: str) -> tuple[Any, torch.Tensor]:
    columns, rows = settings.grid_size(grid)
    order = np.random.RandomState(0).permutation(len(dataset))
    images, labels = dataset.fetch(np.resize(order, columns * rows))
    return images, torch.from_numpy(labels)


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
        with UNSEEN:
            say(text, error=True)
