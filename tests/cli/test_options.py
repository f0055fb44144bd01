"""Whatever is typed behind an option, the answer is a result or one line that says what is wrong."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from organza.cli.main import main
from organza.cli.verbs import module
from organza.core.config import bounds, kinds
from organza.presets import PRESETS, Run

NUMBERS = "0 -1 1 2 3 4 7 16 64 100 0.5 -0.5 1e-9 1e9 1e308 -1e308 1e-320 1e400 nan inf -inf 2147483647 2147483648"
WORDS = "None none True auto x a,b 4x4 0x0 5% 0% é \u202e \U0001f3b2 ٣ - folders own txt x.csv:a bgc color"
LISTS = ["4 4", "8 8 8", "0 0", "1 -1", "4 0.5 8 0.25"]
WILD = ["", " ", "99999999999999999999", "9" * 5000, *NUMBERS.split(), *WORDS.split(" "), *LISTS]
TEXTS = st.text(max_size=6).filter(lambda text: not {*text} & {*"/.~"})  # nor all that is in some folder
values = st.sampled_from(WILD) | st.integers().map(str) | st.floats().map(str) | TEXTS
# Decoded images are as large as --resolution says: these keep the cache small, or mean nothing.
SIZES = st.sampled_from(["8", "16", "12x16", "17", "0", "-4", "4", "1", "big", "", "16x", "99999", "16384x16384"])


def check(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command line and look at how it ends."""
    with contextlib.suppress(SystemExit):
        code = main(words)
        error = capsys.readouterr().err
        assert code in (0, 2), (words, error)
        assert code == 0 or error.rstrip("\n").count("\n") == 0 or "skipped" in error, (words, error)
        assert "should not happen" not in error, (words, error)


def words_of(name: str, value: Any) -> list[str]:
    """A setting and its value as one types them."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, tuple):
        flat = [part for item in value for part in (item if isinstance(item, tuple) else (item,))]
        return [f"--{option}", *map(str, flat)]
    return [f"--{option}", str(value)]


def toy_words(run: Run) -> list[str]:
    """What makes a preset tiny."""
    toy = run.method.toy()
    changed = [f.name for f in fields(toy) if getattr(toy, f.name) != getattr(run.method, f.name)]  # type: ignore[arg-type]
    return [word for name in changed for word in words_of(name, getattr(toy, name))]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A preset, made tiny, with a few of its options set to anything."""
    name = draw(st.sampled_from(sorted(PRESETS)))
    run = PRESETS[name].run
    names = [field for part in fields(Run) for field in kinds(type(getattr(run, part.name)))] + ["device"]
    words = ["train", name, "--dry-run", "--batch", "4", "--grid", "2x1", "--metrics", "none", *toy_words(run)]
    for option in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)):
        value = draw(SIZES if option == "resolution" else values)
        typed = "--" + option.replace("_", "-")
        words += draw(st.sampled_from([[typed, *value.split(" ")], [f"{typed}={value}"], [typed]]))
    return words


Shown = Callable[[str], Path]


def fuzz(examples: int, shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = 10**9  # so that nothing large is really built
    monkeypatch.setattr("organza.training.estimate.free_memory", lambda device: gigabyte)
    monkeypatch.setattr("organza.training.estimate.total_memory", lambda device: gigabyte)
    monkeypatch.setattr("organza.core.device.keep_freed_memory", lambda: None)

    @settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(command_lines())
    def run(words: list[str]) -> None:
        check([*words, "--data", str(shown(words[1]))], capsys)

    run()


def test_options_of_presets(shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(25, shown, capsys, monkeypatch)


@pytest.mark.slow
def test_options_of_presets_at_length(
    shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzz(2000, shown, capsys, monkeypatch)


KNOWN = """
dcgan --beta1 2
dcgan --width 0
dcgan --z-dim 0
lucidrains --attention 0
progan --fade-kimg -1
progan --start-size 0
stylegan-f --batches 4 -1
stylegan2 --augment-p 2
stylegan2 --batch 0
stylegan2 --channel-base 0
stylegan2 --ema-kimg -1
stylegan2 --keep -1
stylegan2 --kimg inf
stylegan2 --lr -1
stylegan2 --lr nan
stylegan2 --lr-decay 1.1
stylegan2 --mapping-layers 0
stylegan2 --max-images 0
stylegan2 --mbstd-group 0
stylegan2 --pl-every 0
stylegan2 --r1-every 0
stylegan2 --seed -1
stylegan2 --snapshot-kimg nan
stylegan2 --style-mixing 3
stylegan2 --tick-kimg 0
stylegan2 --widths-g 8 0
stylegan3-t --kernel 0
stylegan3-t --layers 100000
vae --sigma 0
wgan-gp --critic-steps 0
"""


@pytest.mark.parametrize("line", KNOWN.strip().splitlines())
def test_values_out_of_range(line: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset, option, *value = line.split()
    for more in (["--dry-run"], ["--outdir", str(tmp_path)]):
        assert main(["train", preset, "--data", str(faces), option, *value, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"organza: {option} ") and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())


VERBS = {
    "generate": "--network RUN --seeds 0-1 --outdir OUT",
    "interpolate": "--network RUN --seeds 0-1 --seconds 0.2 --fps 10 --output OUT/a.gif",
    "walk": "--network RUN --seconds 0.3 --fps 10 --output OUT/b.gif",
    "truncation": "--network RUN --seeds 0 --columns 3 --output OUT/c.png",
    "mix": "--network RUN --rows 0 --columns 1 --output OUT/d.png",
    "noise": "--network RUN --samples 2 --output OUT/e.png",
    "encoder": "--network RUN --pictures 4 --batch 2 --output OUT/f.safetensors",
    "directions": "--network RUN --count 1 --samples 8 --output OUT/g.safetensors",
    "edit": "--network RUN --directions DIRECTIONS --apply sefa0=1 --seeds 0 --strip 2 --output OUT/h.png",
    "blend": "--network RUN --second RUN --seeds 0 --outdir OUT/blend",
    "faces": "--dest OUT/faces.zip --count 2 --resolution 8",
}
"""A verb and what makes it quick."""
FEW = "0 -1 1 2 3 5 0.5 -0.5 1e-9 1e-320 1e308 -1e308 1e400 nan inf -inf 4294967296"
SMALL = ["", "x", "٣", "None", "99999999999999999999", "9" * 5000, *FEW.split()]


def numeric(verb: str) -> list[str]:
    """The names of a verb's options that take numbers."""
    options = module(verb).Options
    return [name for name, kind in kinds(options).items() if re.search(r"\b(int|float)\b", str(kind))]


@st.composite
def other_lines(draw: st.DrawFn) -> list[str]:
    """A verb with a few of its numbers set to anything that is not a lot of work."""
    verb = draw(st.sampled_from(sorted(VERBS)))
    words = [verb, *VERBS[verb].split()]
    for name in draw(st.lists(st.sampled_from(numeric(verb)), min_size=1, max_size=3)):
        words.append(f"--{name.strip('_').replace('_', '-')}={draw(st.sampled_from(SMALL))}")
    return words


def fuzz_verbs(examples: int, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directions = tmp_path / "directions.safetensors"
    assert main(f"directions --network {run} --count 1 --output {directions}".split()) == 0
    places = {"RUN": str(run), "DIRECTIONS": str(directions)}
    quiet = list(HealthCheck)

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=quiet)
    @given(other_lines())
    def run_one(words: list[str]) -> None:
        out = tempfile.mkdtemp(dir=tmp_path)
        check([places.get(word, word).replace("OUT", out) for word in words], capsys)

    run_one()


def test_numbers_of_other_verbs(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_verbs(25, tiny_run, tmp_path, capsys)


@pytest.mark.slow
def test_numbers_of_other_verbs_at_length(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_verbs(500, tiny_run, tmp_path, capsys)


def test_every_number_has_a_range() -> None:
    """Of every setting and of every option; what may be any number, however large, is named here."""
    free = {"trunc", "rotate", "strength"}
    owners = {type(getattr(preset.run, part.name)) for preset in PRESETS.values() for part in fields(Run)}
    owners |= {module(verb).Options for verb in ("project", "ladder", "evaluate", *VERBS)}
    for owner in owners:
        for name, kind in kinds(owner).items():
            if re.search(r"\b(int|float)\b", str(kind)):
                assert bounds(kind) or name in {*free, "resample_taps", "resample_taps_d"}, (
                    f"{owner.__module__}: {name}"
                )
