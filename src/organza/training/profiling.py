"""Where the time of a training goes: some of its steps under PyTorch's profiler.

The profiler sees a method only through its phases: each loss is wrapped so that the profiler knows where it begins and
ends. Neither the method nor the loop takes part.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from organza.contract.data import Batch
from organza.contract.method import Carry, Loss, Method, Nets, Phase, Result
from organza.core.files import atomic_write

WARM_UP = 2  # steps in which memory is first touched and kernels are chosen
REST = "data, averages, log"


class Profiler:
    """Profiles one cycle of steps: as many as the rarest phase needs to come once, after two to warm up.

    Args:
        folder: the run's folder; ``trace.json.gz`` (for chrome://tracing or ui.perfetto.dev) and ``profile.txt`` go
            there.
        batch: images in a step on this process, for the table.
        step: steps that the training has taken already.
        say: told where the results are.
        skip: steps before the first that is profiled.
    """

    def __init__(self, folder: Path, batch: int, step: int, say: Callable[[str], None], skip: int = WARM_UP) -> None:
        self.folder, self.batch, self.say = folder, batch, say
        self._next, self._first, self._last = step, step + skip, step + skip
        self._profile: torch.profiler.profile | None = None
        self._range: torch.profiler.record_function | None = None
        self._spent: dict[str, list[float]] = {}
        self._name, self._since = "", 0.0

    def watch(self, method: Method) -> Method:
        """The same method, whose phases tell this profiler where they are."""
        self._last = self._first + max(phase.every for phase in method.phases)
        return replace(method, phases=tuple(self._watched(phase) for phase in method.phases))

    def step(self) -> None:
        """To be called after every step of the training."""
        self._next += 1
        if self._next == self._first:
            activities = [torch.profiler.ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(torch.profiler.ProfilerActivity.CUDA)
            self._profile = torch.profiler.profile(activities=activities)
            self._profile.__enter__()  # type: ignore[no-untyped-call]
            self._enter(REST)
        elif self._next == self._last:
            self.close()

    def close(self) -> None:
        """Write what was profiled, if the training ends before its cycle does."""
        if self._profile is not None:
            self._leave()
            profile, self._profile = self._profile, None
            profile.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._write(profile, min(self._next, self._last) - self._first)
        elif self._next < self._first:
            self.say(f"too short to profile: that takes {self._first - self._next + 1} more steps")

    def _watched(self, phase: Phase) -> Phase:
        def after(nets: Nets, result: Result, rng: torch.Generator) -> Carry | None:
            left = None if phase.after is None else phase.after(nets, result, rng)
            self._enter(REST)
            return left

        return replace(phase, loss=self._watched_loss(phase), after=after)

    def _watched_loss(self, phase: Phase) -> Loss:
        def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            self._enter(f"{phase.name}: loss")
            result = phase.loss(nets, batch, rng)
            self._enter(f"{phase.name}: gradients and step")
            return result

        return loss

    def _enter(self, name: str) -> None:
        if self._profile is None:
            return
        self._leave()
        self._range = torch.profiler.record_function(name)
        self._range.__enter__()  # type: ignore[no-untyped-call]
        self._name, self._since = name, time.perf_counter()

    def _leave(self) -> None:
        if self._range is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # what this part asked for is its own time
            self._spent.setdefault(self._name, []).append(time.perf_counter() - self._since)
            self._range.__exit__(None, None, None)
            self._range = None

    def _write(self, profile: torch.profiler.profile, steps: int) -> None:
        if not steps:
            return
        with atomic_write(self.folder / "trace.json.gz") as temporary, _plain(temporary) as plain:
            profile.export_chrome_trace(str(plain))
        device = "device" if torch.cuda.is_available() else "cpu"
        ops = profile.key_averages().table(
            sort_by=f"self_{device}_time_total", row_limit=40, max_name_column_width=60, header="By operation"
        )
        with atomic_write(self.folder / "profile.txt") as temporary:
            temporary.write_text(f"{self.table(steps)}\n\n{ops}\n")
        self.say(f"{steps} steps profiled: {self.folder / 'profile.txt'}, {self.folder / 'trace.json.gz'}")

    def table(self, steps: int) -> str:
        """Time by phase, the longest first."""
        total = sum(map(sum, self._spent.values()))
        rows = [f"By phase, over {steps} steps of {self.batch} images, with the profiler's own cost", ""]
        rows.append(f"{'':32}{'calls':>6}{'seconds':>10}{'share':>8}{'ms/image':>10}")
        for name, times in sorted(self._spent.items(), key=lambda item: -sum(item[1])):
            spent = sum(times)
            rows.append(
                f"{name:32}{len(times):6d}{spent:10.3f}{spent / total:8.1%}{1000 * spent / steps / self.batch:10.2f}"
            )
        rows.append(f"{'all':32}{'':6}{total:10.3f}{'':8}{1000 * total / steps / self.batch:10.2f}")
        return "\n".join(rows)


@contextmanager
def _plain(packed: Path) -> Iterator[Path]:
    """A path for plain text that ends up compressed at ``packed``."""
    plain = packed.with_name(packed.name + ".json")
    try:
        yield plain
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=5) as target:
            while block := source.read(1 << 20):
                target.write(block)
    finally:
        plain.unlink(missing_ok=True)
