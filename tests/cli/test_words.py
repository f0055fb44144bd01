"""What is typed wrongly, over every verb and all of its options: one line, exit code 2, nothing of the machinery."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing
from pathlib import Path

import pytest

from organza.cli.main import main
from organza.cli.parse import names_of, parse
from organza.cli.verbs import VERBS, module
from organza.core.errors import UserError

MACHINERY = re.compile(r"\b(STR|INT|FLOAT|PATH|BOOL|None|instantiate\w*|ValueError)\b|[│╭╰─|{}]|should not happen")


def kinds():
    """(command, dataclass) of every verb."""
    for verb in VERBS:
        its = module(verb)
        if verb == "dataset":
            yield from ((f"dataset {name}", kind) for name, (kind, _) in its._VERBS.items())
        elif verb != "train":
            yield verb, its.Options


KINDS = dict(kinds())


def options(kind):
    """(name, whether it is positional, type) of each option."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field, name in zip(dataclasses.fields(kind), names_of(kind), strict=True):
        positional = any("Positional" in repr(item) for item in getattr(hints[field.name], "__metadata__", ()))
        yield name, positional, typing.get_type_hints(kind)[field.name]


def needed(kind, path="x"):
    """Words for all that a verb asks."""
    places: list[str] = []
    words: list[str] = []
    for field, (name, positional, option) in zip(dataclasses.fields(kind), options(kind), strict=True):
        if field.default is field.default_factory:
            value = path if Path in [option, *typing.get_args(option)] else "x"
            places.append(value) if positional else words.append(f"--{name}={value}")
    return places + words


def refused(capsys, words):
    assert main(words) == 2, words
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("organza: ") and err.count("\n") == 1, err
    assert not MACHINERY.search(err), err
    return err


@pytest.mark.parametrize("command", KINDS)
def test_an_unknown_option(capsys, command):
    assert refused(capsys, [*command.split(), "--qqq", "1"]).startswith("organza: unknown option --qqq; ")


@pytest.mark.parametrize("command", KINDS)
def test_missing_arguments_are_named_and_nothing_else(capsys, command):
    required = {field.name for field in dataclasses.fields(KINDS[command]) if field.default is field.default_factory}
    wanted = []
    for field, (name, positional, kind) in zip(
        dataclasses.fields(KINDS[command]), options(KINDS[command]), strict=True
    ):
        if field.name in required and typing.get_origin(kind) is not tuple:
            wanted.append(name.upper() if positional else f"--{name}")
    if not wanted:
        pytest.skip("nothing is needed")
    said = refused(capsys, command.split()).split(";")[0]
    words = said.removeprefix("organza: ").removesuffix(" is missing").removesuffix(" are missing").split(" and ")
    assert {word.lower() for word in words} <= {*wanted, *(word.lower() for word in wanted), "dataset"}
    assert len(words) == len(wanted)


@pytest.mark.parametrize("command", KINDS)
def test_wrong_values(capsys, command):
    wrong = itertools.cycle(("x", "a/long path/" * 20, ""))
    for name, positional, kind in options(KINDS[command]):
        plain = [kind, *typing.get_args(kind)]
        if positional or kind is bool or str in plain or Path in plain:
            continue
        if typing.get_origin(kind) is typing.Literal or int in plain or float in plain:
            value = next(wrong)
            err = refused(capsys, [*command.split(), *needed(KINDS[command]), f"--{name}={value}"])
            assert f"--{name}" in err
            assert repr(value) in err


@pytest.mark.parametrize("command", KINDS)
def test_values_without_a_value(capsys, command):
    for name, positional, kind in options(KINDS[command]):
        flag = bool in [kind, *typing.get_args(kind)]
        if not (positional or flag or typing.get_origin(kind) is tuple):
            assert refused(capsys, [*command.split(), f"--{name}"]).startswith(f"organza: --{name} needs a value")


@pytest.mark.parametrize("command", KINDS)
def test_every_path_is_a_persons(command, monkeypatch, tmp_path):
    """`~` is the home folder in every option that is a path, whichever way it is written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    kind = KINDS[command]
    for field, (name, positional, option) in zip(dataclasses.fields(kind), options(kind), strict=True):
        if Path not in [option, *typing.get_args(option)]:
            continue
        for words in [[]] if positional else [[f"--{name}", "~/x"], [f"--{name}=~/x"]]:
            found = getattr(parse(kind, [*needed(kind, "~/x"), *words], "organza x"), field.name)
            for path in found if isinstance(found, tuple) else [found]:
                assert path == tmp_path / "x"


@pytest.mark.parametrize("words", [["generate", "--network", "a\0b"], ["inspect", "a\0b"], ["generate", "--network="]])
def test_what_is_no_path(capsys, words):
    refused(capsys, words)


@pytest.mark.parametrize("words", [["--tyro-write-completion", "bash", "X"], ["--tyro_write_completion", "bash", "X"]])
def test_no_option_but_our_own(capsys, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(capsys, ["generate", *words])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("generate --noise-mode soft", "--noise can't be 'soft': choose const, random, none"),
        ("generate --noise_mode", "--noise needs a value"),
        ("generate --gamma 5", "unknown option --gamma; `organza generate --help` explains the options"),
        ("generate --target a.png", "unknown option --target; name the images without an option"),
        ("generate --seed 5", "unknown option --seed (did you mean --seeds?)"),
        ("interpolate --num-keyframes 3", "each of --seeds is a keyframe"),
        ("project --output a b", "unknown option --output; here it is --outdir"),
        ("train stylegan2 --cfg big", "the configurations are presets"),
        (
            "train stylegan2 --cfg stylegan3-t",
            "is the preset stylegan3-t here; write `organza train stylegan3-t`",
        ),
        ("train stylegan2 --cond perhaps", "--cond: 'perhaps' is neither true nor false"),
        ("train stylegan2 --desc mine", "name the folder of the runs with --outdir"),
        ("train stylegan2 --glr 0.001", "--glr and --dlr are one learning rate here, --lr; give both the same, or"),
        ("train stylegan2 --glr 0.001 --dlr 0.002", "--glr and --dlr are one learning rate here"),
        ("train stylegan2 --gpus 5", "unknown option --gpus; start one process a GPU: torchrun"),
        ("train stylegan2 --p 2", "--augment-p must be from 0 to 1"),
        ("train stylegan2 --snap often", "--snap counts ticks; write --snapshot-kimg"),
        ("train stylegan2 --snap", "--snap counts ticks; write --snapshot-kimg"),
        ("train stylegan2 --workers 3", "unknown option --workers; it is chosen by itself"),
        ("train dcgan --gamma 5", "unknown option --gamma; `organza train dcgan` has no --r1-gamma"),
        ("train stylegan3-t --freezed 5", "`organza train stylegan3-t` has no --freeze-d"),
        ("train progan --aug ada", "`organza train progan` has no --augment"),
    ],
)
def test_names_of_other_tools(capsys, line, hint):
    assert hint in refused(capsys, [*line.split(), "--data=a" if "train" in line else "--network=a"])


@pytest.mark.parametrize(
    ("command", "other", "option"),
    [("translate", "mode", "norm-mode"), ("dataset align", "template", "crop")],
)
def test_other_names_of_options(capsys, command, other, option):
    line = [*command.split(), *needed(KINDS[command])]
    assert f"--{option} can't be 'q'" in refused(capsys, [*line, f"--{other}=q"])


@pytest.mark.parametrize("words", [["--debug"], ["--offline"], ["--offline", "--debug"]])
@pytest.mark.parametrize("before", [True, False])
def test_anywhere(capsys, words, before):
    line = [*words, "faces"] if before else ["faces", *words]
    assert main(line) == 2
    assert capsys.readouterr().err.endswith("organza: --dest is missing; `organza faces --help` explains the options\n")


@pytest.mark.parametrize("command", [*KINDS, "train stylegan2"])
def test_help_both_ways(capsys, command):
    said = []
    for words in ([*command.split(), "--help"], ["help", *command.split()]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and f"usage: organza {command}" in said[0]


def test_help_of_a_verb_that_is_not_there(capsys):
    assert main(["help", "genrate"]) == 2
    assert "did you mean `organza generate`?" in capsys.readouterr().err


def test_a_wrong_path_is_told_by_parse(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Options:
        """Do it."""

        many: tuple[Path, ...] = ()
        """Files."""

    Options.__module__ = __name__
    assert parse(Options, ["--many", "a", "b"], "organza x").many == (Path("a"), Path("b"))
    with pytest.raises(UserError, match="'' is not a path"):
        parse(Options, ["--many", ""], "organza x")


def test_paths_are_a_persons_in_python_too(monkeypatch, tmp_path, G):
    import organza
    from organza.data.drawn_faces.files import write_faces
    from organza.studio.attributes import read_labels
    from organza.studio.codes import codes, load_codes, save_codes
    from organza.studio.directions import load_directions, save_directions, sefa
    from organza.studio.edit import Edit, edit
    from organza.studio.generate import generate
    from organza.studio.interpolate import interpolate
    from organza.studio.mix import mix
    from organza.studio.walk import walk

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    generate(G, [1], outdir="~/a")
    generate(G, [1], output="~/b.png")
    save_codes("~/c.npz", codes(G, [1]))
    load_codes("~/c.npz", G)
    found = sefa(G, 1)
    save_directions("~/d.safetensors", found)
    load_directions("~/d.safetensors", G)
    mix(G, [1], [2], "~/e.png")
    walk(G, [1], "~/f.gif", seconds=0.2, fps=10)
    interpolate(G, [1, 2], "~/g.gif", seconds=0.2, fps=10)
    edit(G, codes(G, [1]), [Edit(found[0], 1.0)], "~/h.png")
    write_faces("~/i.zip", 2, 16)
    organza.open_dataset("~/i.zip")
    (tmp_path / "j.csv").write_text("seed,odd\n1,1\n2,0\n")
    read_labels("~/j.csv")
    with pytest.raises(UserError, match=f"^{tmp_path}/nowhere: "):
        organza.load("~/nowhere")
    assert {path.name for path in tmp_path.glob("[!.]*")} == {
        *("a", "b.png", "c.npz", "d.safetensors", "e.png", "f.gif", "g.gif", "h.png", "i.zip", "j.csv")
    }


@pytest.fixture
def G():
    import torch

    from organza.contract.data import DataSpec
    from organza.methods.stylegan.stylegan2 import StyleGAN2
    from organza.models.generator import Generator

    spec = DataSpec((16, 16), 3, 0)
    method = StyleGAN2(z_dim=8, w_dim=8, channel_base=128, channel_max=8).resolve(spec, 4).build(spec)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), torch.float32)
