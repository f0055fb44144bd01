"""Every line of the table in docs/coming-from.md is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest

from organza.cli.elsewhere import _OTHERWISE, _RULES, _SAME, CONFIGS, ours, preset_first
from organza.cli.main import main
from organza.cli.parse import defaults_of, parse
from organza.cli.runs.train import options_of
from organza.cli.verbs import VERBS, module
from organza.core.errors import UserError
from organza.presets import preset

TEXT = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
NEEDED = {
    "train": "--data=a",
    "dataset build": "--source=a --dest=b",
    "project": "--network=a x.png",
    "evaluate": "--device=cpu",
}


class Row(NamedTuple):
    """A line of a table: ``here`` is None where the option is refused, and then ``note`` says what to do instead."""

    verb: str
    there: str
    here: str | None
    note: str

    def __str__(self) -> str:
        return f"{self.verb} {self.there}"

    @property
    def preset(self) -> str:
        """Where the table is about training: which."""
        found = re.search(r"`(stylegan[\w-]+)`", self.note)
        return found[1] if found else "stylegan2"


def rows() -> Iterator[Row]:
    verb = ""
    for line in TEXT.splitlines():
        if heading := re.match(r"### .*: `organza (.*?)( PRESET)?`$", line):
            verb = heading[1]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `--") and len(cells) == 3 and not cells[0].startswith(("`--cfg`", "`--cfg=")):
            yield Row(verb, cells[0].strip("`"), None if cells[1] == "refused" else cells[1].strip("`"), cells[2])


ROWS = list(rows())


def command(row: Row) -> tuple[str, type]:
    """What the command is called, and its options."""
    if row.verb == "train":
        return f"organza train {row.preset}", options_of(preset(row.preset).run, "Train.")
    verb, *rest = row.verb.split()
    kind = module(verb)._VERBS[rest[0]][0] if rest else module(verb).Options
    return f"organza {row.verb}", kind


def read(row: Row, words: str) -> dict[str, object]:
    prog, kind = command(row)
    needed = NEEDED.get(row.verb, "--network=a").split()
    line = [*(word for word in needed if word.split("=")[0] not in words), *words.split()]
    return asdict(parse(kind, line, prog, pairs=row.verb in ("train", "evaluate")))


def apart(words: list[str]) -> list[str]:
    """Each option and its value as two words: ours may stand as they are typed."""
    return " ".join(words).replace("=", " ").split()


def test_the_table_is_whole() -> None:
    typed = {word[2:].split("=")[0] for row in ROWS for word in row.there.split()}
    assert len(ROWS) > 70 and {row.verb.split()[0] for row in ROWS} <= VERBS.keys()
    # Of these, some are other people's names: rosinality's, lucidrains' ...
    others = {"batch-size", "ckpt", "class-idx", "model", "network-pkl", "num-samples", "psi", "size", "total-kimg"}
    others |= {"trunc-psi", "truncation-cutoff", "truncation-psi", "output"}
    assert {*_SAME, *_RULES, *_OTHERWISE} - others - typed == {"cfg"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.here is not None], ids=lambda row: f"{row.verb} {row.there}"
)
def test_it_means_the_same(row: Row) -> None:
    assert row.here is not None
    here = read(row, row.here)
    assert read(row, row.there) == here
    assert read(row, re.sub(r"--\S+?(?==|$)", lambda name: "--" + name[0][2:].replace("-", "_"), row.there)) == here
    prog, kind = command(row)
    words = ours(row.there.split(), defaults_of(kind), prog)
    assert ours(words, defaults_of(kind), prog) == words
    assert apart(ours(apart([row.there]), defaults_of(kind), prog)) == apart(words)
    assert [*dict.fromkeys(words)] == row.here.split()


@pytest.mark.parametrize("row", [row for row in ROWS if row.here is None], ids=str)
def test_it_is_refused_with_the_hint(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    prog, _ = command(row)
    assert main([*prog.split()[1:], row.there]) == 2
    name = row.there.split("=")[0]
    assert capsys.readouterr().err == f"organza: unknown option {name}; {row.note}\n"


def test_configurations_are_presets() -> None:
    told = dict(re.findall(r"^\| `--cfg=(.*?)` \| `(.*?)` \|", TEXT, re.MULTILINE))
    assert told == CONFIGS
    for config, name in CONFIGS.items():
        kind = options_of(preset(name).run, "Train.")
        for words in ([f"--cfg={config}", "--data=a"], ["--data=a", "--cfg", config]):
            first, *rest = preset_first(words)
            assert first == name
            found = parse(kind, rest, f"organza train {name}", pairs=True)
            assert found.data.mirror is False
            assert parse(kind, [*rest, "--mirror=1"], f"organza train {name}", pairs=True).data.mirror is True


def test_a_whole_command_of_theirs(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "train --cfg=stylegan3-t --gpus=1 --batch=4 --gamma=8.2 --mirror=1 --snap=10 --aug=noaug --cbase=1024 --cmax=16"
    )
    words = [*line.split(), f"--outdir={tmp_path}", f"--data={faces}", "--cond=1", "--dry-run", "--settings"]
    assert main(words) == 0
    said = capsys.readouterr().out
    for wanted in ('"r1_gamma": 8.2', '"mirror": true', '"snapshot_kimg": 40', '"labels": "dataset.json"'):
        assert wanted in said, said


@pytest.mark.parametrize(
    ("kind", "blocks"),
    [("resnet", {0: 0, 4: 1, 7: 2, 10: 3, 13: 4}), ("orig", {0: 0, 3: 1, 5: 2, 11: 5}), ("skip", {0: 0, 3: 1, 9: 3})],
)
def test_layers_of_theirs_are_blocks_of_ours(kind: str, blocks: dict[int, int]) -> None:
    """As their networks count them: a block has two convolutions, and a shortcut or its own way in, or neither."""
    options = {"freeze-d": 0, "architecture-d": "resnet"}
    for layers in range(14):
        words = [f"--architecture-d={kind}", f"--freezed={layers}"]
        if layers in blocks:
            assert ours(words, options, "organza train stylegan2") == [words[0], f"--freeze-d={blocks[layers]}"]
        elif kind == "resnet":
            with pytest.raises(UserError, match=f"--freezed {layers} ends inside a block of D; --freeze-d counts bl"):
                ours(words, options, "organza train stylegan2")


def test_processes_that_torchrun_started_are_as_many_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert ours(["--gpus=8"], {}, "organza train dcgan") == []
    assert ours(["--gpus=1"], {}, "organza train dcgan") == ["--gpus=1"]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("train", "dataset")])
def test_no_option_vanishes(verb: str) -> None:
    """Of any verb: each becomes an option that the verb has, or stays to be refused."""
    options = defaults_of(module(verb).Options)
    for name in {*_SAME, *_RULES, *_OTHERWISE, "nothing"} - options.keys():
        for value in ("1", "2", "true", "noresume", "x"):
            try:
                words = ours([f"--{name}={value}"], options, f"organza {verb}")
            except UserError:
                continue
            if words in ([], [value]):  # none is needed; or an image without an option
                assert (verb, name) in [("evaluate", "gpus"), ("project", "target")] or name == "fp32"
            else:
                (word,) = words
                assert word == f"--{name}={value}" or word[2:].split("=")[0] in options


def test_what_is_ours_stays() -> None:
    options = {"mirror": None, "resume": None, "snapshot-kimg": 1.0, "output": Path("a.png"), "outdir": Path("b")}
    for words in (
        ["--mirror", "--resume", "run"],
        ["--mirror"],
        ["--no-mirror", "--outdir", "c"],
        ["--snapshot-kimg", "3", "x", "--", "--unknown", "-1"],
        ["--help"],
        ["--resume=", "--output=--x"],
        [],
    ):
        assert ours(words, options, "organza train dcgan") == words
