"""Forms are made of the verbs' own options; what a form gives is a command line that can do no more than it says."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from organza.cli.parse import parse
from organza.cli.verbs import VERBS, module
from organza.cli.web import commands, forms
from organza.cli.web.commands import command
from organza.cli.web.offered import CHOICES, JOBS, KINDS, LEFT_OUT, SEEDS, TEXTS, WRITTEN, told
from organza.cli.web.options import field_of, members_of, way_of
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.presets import PRESETS
from tests.web.studio import fill

OUT = "studio/jobs/0001-x/out"
WAYS = [("train", name) for name in PRESETS] + [(verb, None) for verb in JOBS]
NOT_JOBS = {"train", "studio", "serve", "push", "redo", "zoo", "presets", "dataset"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_run, faces):
    return fill(tmp_path_factory.mktemp("forms"), tiny_run, faces)


def test_every_verb_is_a_job_or_left_out_on_purpose():
    assert {verb.split()[0] for verb in JOBS} | NOT_JOBS == set(VERBS)
    assert {verb.split()[1] for verb in JOBS if " " in verb} | {"fetch", "export"} == set(module("dataset")._VERBS)


@pytest.mark.parametrize(("verb", "name"), WAYS, ids=[name or verb for verb, name in WAYS])
def test_of_every_option_it_is_said_what_a_request_may_put_there(verb, name):
    """A new option that is text or a path is not offered before somebody has thought about it."""
    for each in way_of(verb, name).options:
        members = {*members_of(each.hint)}
        if not members & {Path, str}:
            continue
        tables = (KINDS, TEXTS, CHOICES, LEFT_OUT, WRITTEN, SEEDS)
        assert any(told(table, verb, each.name) is not None for table in tables), f"{verb} --{each.word}"
        field = field_of(way_of(verb, name), each)
        if field is not None and Path in members:
            assert field.type in commands._THINGS or (each.name in WRITTEN and field.type == "choice"), each.name


@pytest.mark.parametrize(("verb", "name"), WAYS, ids=[name or verb for verb, name in WAYS])
def test_fields_are_the_options(verb, name):
    way = way_of(verb, name)
    listed = forms._about(way)["fields"]
    assert len({field["name"] for field in listed}) == len(listed) > (0 if verb != "doctor" else -1)
    by = {each.name: each for each in way.options}
    for field in listed:
        each = by[field["name"]]
        assert field["type"] in {"int", "float", "bool", "choice", "text", "seeds", *commands._THINGS}
        assert field["help"] and field["label"], field
        assert field["required"] == (each.default is dataclasses.MISSING)
        if field["type"] == "choice":
            assert field["choices"] and (field["default"] is None or field["default"] in field["choices"]), field
        if field["type"] in ("int", "float") and field["default"] is not None:
            assert field["least"] is None or field["default"] >= field["least"], field
    shown = [field["name"] for field in listed if not field["advanced"]]
    assert shown, verb
    if verb == "train":
        assert shown[0] == "data" and len(shown) < 12


def test_ranges_and_help_are_those_of_the_options():
    by = {field["name"]: field for field in forms._about(way_of("blend", None))["fields"]}
    assert (by["amount"]["least"], by["amount"]["most"], by["amount"]["default"]) == (0, 1, 1.0)
    assert by["amount"]["help"] == "How much of --second its layers have, from 0 to 1."
    assert by["mapping"]["choices"] == ("first", "second")
    by = {field["name"]: field for field in forms._about(way_of("train", "stylegan2-tiny"))["fields"]}
    assert by["kimg"]["default"] == PRESETS["stylegan2-tiny"].run.training.kimg and by["kimg"]["least"] == 0.001
    assert by["z_dim"]["default"] == PRESETS["stylegan2-tiny"].run.method.z_dim
    hints = typing.get_type_hints(type(PRESETS["stylegan2-tiny"].run.training), include_extras=True)
    assert any(isinstance(extra, Range) and extra.least == 0.001 for extra in hints["kimg"].__metadata__)


def test_presets_name_their_papers():
    listed = forms._presets()
    assert [each["name"] for each in listed] == list(PRESETS)
    by = {each["name"]: each for each in listed}
    assert "arXiv 1912.04958" in by["stylegan2-tiny"]["paper"] and by["stylegan2-tiny"]["family"] == "stylegan"
    assert "arXiv 1703.10593" in by["cyclegan"]["paper"] and by["cyclegan"]["about"].startswith("What it changed")
    assert by["cyclegan"]["layout"] == "unpaired" and "trainA" in by["cyclegan"]["takes"]
    assert by["cgan"]["takes"].startswith("images with labels") and "where there are" in by["dcgan"]["takes"]
    without = [name for name, each in by.items() if "arXiv" not in each["paper"] + each["about"]]
    assert {*without} <= {"cartoongan", "animegan"}  # whose papers are not there


def made(workspace, verb, preset=None, **given_):
    return command(workspace, verb, preset, given_, OUT)


def test_what_a_form_becomes(workspace):
    run = f"runs/{next(workspace.runs.iterdir()).name}"
    for verb, preset, values, wanted in [
        (
            "train",
            "dcgan",
            {"data": "faces.zip", "kimg": 2, "mirror": False, "new": True},
            "train dcgan --data=./faces.zip --kimg=2 --no-mirror --new",
        ),
        (
            "walk",
            None,
            {"network": run, "seeds": "0,2-3", "seconds": 1.5, "output": ".gif", "class_": None},
            f"walk --network={run} --seeds=0,2-3 --seconds=1.5 --output={OUT}/walk.gif",
        ),
        (
            "project",
            None,
            {"network": run, "pictures": ["photos/0.png", "photos/1.png"], "steps": 10},
            f"project ./photos/0.png ./photos/1.png --network={run} --steps=10 --outdir={OUT}",
        ),
        ("generate", None, {"network": "zoo/digits-vae", "text": ["a b", "c"]}, None),
        (
            "dataset build",
            None,
            {"source": "photos", "resolution": "16"},
            f"dataset build --source=./photos --resolution=16 --dest={OUT}/dataset.zip",
        ),
        (
            *("export", None, {"network": run, "format": "web", "webgpu": True}),
            f"export --network={run} --format=web --webgpu --output={OUT}/network.zip",
        ),
        ("convert", None, {"file": run, "to": "nvidia"}, f"convert {run} --to=nvidia --dest={OUT}/network.pkl"),
        ("compare", None, {"runs": [run]}, f"compare {run} --output={OUT}/compare.png"),
        ("evaluate", None, {"network": run, "mirror": True, "intervals": False, "metrics": "fd2k"}, None),
        ("inspect", None, {"file": "zoo/digits-vae"}, "inspect zoo/digits-vae"),
    ]:
        found = made(workspace, verb, preset, **values)
        if wanted is not None:
            assert shlex.join(found.words) == wanted
        assert found.verb == verb
    words = made(workspace, "generate", network="zoo/digits-vae", text=["a b", "c"]).words
    assert words == ("generate", "--network=zoo/digits-vae", "--text", "a b", "c", f"--outdir={OUT}")
    again = made(workspace, "train", "dcgan", data="photos", new=True).again
    assert "--new" not in again and again[0] == "train"
    lists = made(workspace, "train", "stylegan2", data="photos", widths_g="8 16").words
    assert lists[-3:] == ("--widths-g", "8", "16")


WRONG = [
    ("train", None, {"data": "photos"}, "no preset"),
    ("train", "nothing", {"data": "photos"}, "nothing"),
    ("train", "dcgan", {}, "--data is missing"),
    ("train", "dcgan", {"data": "photos", "kimg": -1}, "--kimg must be"),
    ("train", "dcgan", {"data": "photos", "outdir": "/tmp"}, "no field 'outdir'"),
    ("train", "dcgan", {"data": "photos", "device": "cuda"}, "no field 'device'"),
    ("train", "dcgan", {"data": "../secret"}, "not in the workspace"),
    ("train", "dcgan", {"data": "http://example.org/a.zip"}, "not in the workspace"),
    ("train", "dcgan", {"data": "photos", "resume": "hf:someone/thing"}, "not in the workspace"),
    ("train", "dcgan", {"data": "photos", "resume": "ffhq256"}, "not in the workspace"),
    ("train", "dcgan", {"data": "photos", "labels": "/etc/passwd:a"}, "--labels can't be"),
    ("train", "dcgan", {"data": "photos", "held_out": "../x"}, "--held-out can't be"),
    ("train", "dcgan", {"data": "photos", "metrics": "fid5k_/etc/x.pt"}, "--metrics can't be"),
    ("train", "dcgan", {"data": "photos", "batch": "x"}, "--batch"),
    ("train", "dcgan", {"data": "photos", "batch": [1, 2]}, "--batch"),
    ("train", "dcgan", {"data": "photos", "batch": {"a": 1}}, "--batch"),
    ("train", "dcgan", {"data": ["photos", "photos"]}, "--data takes the id"),
    ("train", "dcgan", {"data": 3}, "--data takes the id"),
    ("train", "dcgan", {"data": "photos", "mirror": "yes"}, "--mirror is true or false"),
    ("walk", "dcgan", {"network": "zoo/digits-vae"}, "takes no preset"),
    ("walk", None, {"network": "zoo/digits-vae", "output": "/tmp/x.mp4"}, "there is no format"),
    ("walk", None, {"network": "zoo/digits-vae", "noise": "x"}, "--noise can't be"),
    ("walk", None, {"network": "zoo/digits-vae", "class_": "a\nb"}, "--class"),
    ("walk", None, {"network": "zoo/digits-vae", "class_": "a" * 5000}, "--class"),
    ("walk", None, {"network": "zoo/digits-vae", "--outdir": "x"}, "no field"),
    ("generate", None, {"network": "zoo/digits-vae", "text": ["--outdir=/tmp/x"]}, "begins with a dash"),
    ("generate", None, {"network": "zoo/digits-vae", "text": ["a", "-h"]}, "begins with a dash"),
    ("generate", None, {"network": "zoo/digits-vae", "save_w": "/tmp/x.npz"}, "no field"),
    ("ladder", None, {"names": ["--outdir=/tmp"], "data": "photos"}, "--names can't be"),
    ("bench", None, {"what": "-h"}, "--what can't be"),
    ("toonify", None, {"network": "zoo/digits-vae", "second": "zoo/digits-vae", "set": ["x=1"]}, "no field"),
    ("translate", None, {"network": "zoo/digits-vae", "input": "photos", "group": "../../x"}, "--group can't be"),
    ("translate", None, {"network": "zoo/digits-vae", "input": "photos", "report": "/tmp/x.html"}, "no field"),
    ("dataset build", None, {"source": "hf:a/b"}, "not in the workspace"),
    ("export", None, {"network": "zoo/digits-vae", "format": "exe"}, "--format can't be"),
    ("push", None, {"run": "photos"}, "no verb of jobs"),
    ("serve", None, {}, "no verb of jobs"),
    ("studio", None, {}, "no verb of jobs"),
    ("redo", None, {}, "no verb of jobs"),
    ("dataset fetch", None, {}, "no verb of jobs"),
    ("--help", None, {}, "no verb of jobs"),
    ("", None, {}, "no verb of jobs"),
]


@pytest.mark.parametrize(("verb", "preset", "values", "said"), WRONG, ids=range(len(WRONG)))
def test_what_no_form_may_ask(workspace, verb, preset, values, said):
    before = sorted(workspace.root.rglob("*"))
    with pytest.raises(UserError) as caught:
        command(workspace, verb, preset, values, OUT)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(workspace.root.rglob("*")) == before


def test_odd_names_in_the_workspace_are_only_files(workspace):
    """A file may be called like an option, a home folder, an address or a published network."""
    for name in ("-h", "--outdir=x", "~", "~root", "ffhq256", "hf-x"):
        (workspace.root / name).mkdir(exist_ok=True)
        words = made(workspace, "inspect", file=name).words
        assert words == ("inspect", f"./{name}")
        options = parse(module("inspect").Options, words[1:], "organza inspect")
        assert options.file == f"./{name}"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
RUN = "RUN"
ASKS = [
    ("generate", {"network": RUN, "seeds": "0-1", "grid": "2x1"}, ["grid.png"]),
    ("interpolate", {"network": RUN, "seeds": "0,1", "seconds": 0.2, "fps": 10, "output": ".gif"}, ["interpolate.gif"]),
    ("walk", {"network": RUN, "seeds": "0", "seconds": 0.3, "fps": 10, "output": ".webp"}, ["walk.webp"]),
    ("truncation", {"network": RUN, "seeds": "0", "columns": 3}, ["truncation.png"]),
    ("mix", {"network": RUN, "rows": "0", "columns": "1", "styles": "0-2", "output": ".jpg"}, ["mix.jpg"]),
    ("noise", {"network": RUN, "samples": 2}, ["noise.png"]),
    ("project", {"network": RUN, "pictures": ["photos/0.png"], "steps": 2, "film": "none"}, ["projected.npz"]),
    ("reconstruct", {"network": "zoo/digits-vae", "images": ["photos/0.png"]}, ["reconstruct.png"]),
    ("encoder", {"network": RUN, "pictures": 8, "batch": 4}, ["encoder.safetensors"]),
    ("directions", {"network": RUN, "count": 2}, ["directions.safetensors", "directions.safetensors.png"]),
    ("edit", {"network": RUN, "directions": "ways.safetensors", "apply": "sefa0=2@0-1", "seeds": "0"}, ["edit.png"]),
    ("blend", {"network": RUN, "second": RUN, "swap": 8, "seeds": "0"}, ["blended/ema.safetensors"]),
    ("inspect", {"file": "zoo/digits-vae"}, []),
    ("convert", {"file": RUN, "to": "nvidia"}, ["network.pkl"]),
    ("convert", {"file": RUN, "dtype": "bf16"}, ["network/ema.safetensors"]),
    ("compare", {"runs": [RUN]}, []),
    ("dataset info", {"path": "photos"}, ["contact.png"]),
    ("dataset build", {"source": "photos", "resolution": "8"}, ["dataset.zip"]),
    ("dataset build", {"source": "faces.zip", "format": "folder", "max_images": 2}, ["dataset/dataset.json"]),
    ("faces", {"count": 3, "resolution": "16"}, ["faces.zip"]),
]


@pytest.mark.parametrize(("verb", "values", "files"), ASKS, ids=[f"{n}-{ask[0]}" for n, ask in enumerate(ASKS)])
def test_what_a_form_asks_is_done(workspace, verb, values, files, monkeypatch, capsys):
    """Each command runs, and what it makes is in its job's own folder and nowhere else."""
    import organza
    from organza.cli.main import main
    from organza.studio.directions import save_directions, sefa

    monkeypatch.chdir(workspace.root)
    run = f"runs/{next(workspace.runs.iterdir()).name}"
    save_directions(workspace.root / "ways.safetensors", sefa(organza.load(run), 2))
    given = values
    values = {name: run if each == RUN else [run] if each == [RUN] else each for name, each in values.items()}
    out = f"studio/jobs/{ASKS.index((verb, given, files)):04d}-x/out"
    found = command(workspace, verb, None, values, out)
    before = {path for path in workspace.root.rglob("*") if not path.is_relative_to(workspace.jobs)}
    assert main(list(found.words)) == 0, capsys.readouterr().err
    for name in files:
        assert (workspace.root / out / name).exists(), sorted((workspace.root / out).rglob("*"))
    assert {path for path in workspace.root.rglob("*") if not path.is_relative_to(workspace.jobs)} == before


IDS = "zoo/digits-vae faces.zip photos photos/0.png ../secret /etc/passwd http://a/b hf:a/b ~/x x:y"
LIKELY = st.sampled_from([*IDS.split(), "-h", "--outdir=/tmp", "0-3", "none", "16", "", ".gif", "a=1@0-2"])


def fuzz(workspace, examples):
    """Whatever is asked: a refusal in one line, or words whose every path lies inside."""
    root = workspace.root
    refusals: list[str] = []

    @st.composite
    def asks(draw):
        verb, name = draw(st.sampled_from(WAYS))
        fields = [each.name for each in way_of(verb, name).options] + ["x"]
        chosen = draw(st.lists(st.sampled_from(fields), max_size=6))
        values = {field: draw(LIKELY | ANYTHING) for field in chosen}
        for each in way_of(verb, name).options:
            if each.default is dataclasses.MISSING and draw(st.integers(0, 4)):
                values[each.name] = draw(st.sampled_from(["zoo/digits-vae", "photos", "faces.zip", ["photos"]]))
        return verb, name, values

    @settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(asks())
    def ask(wish):
        verb, name, values = wish
        try:
            found = command(workspace, verb, name, values, OUT)
        except UserError as error:
            refusals.append(str(error))
            return
        way = way_of(verb, name)
        options = parse(way.kind, found.words[len(way.words) :], "organza x", pairs=way.pairs)
        for path in paths(options):
            place = str(path)
            assert not place.startswith(("/", "~", "http", "hf:")) and ".." not in Path(place).parts, found.words
            assert place.startswith((OUT, "zoo/", "runs")) or (root / place).exists() or place == "out", found.words

    ask()
    assert refusals and not any("\n" in line for line in refusals)


def paths(options):
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from paths(value)
        else:
            yield from (item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Path))


def test_forms_with_anything_at_all(workspace):
    fuzz(workspace, 40)


@pytest.mark.slow
def test_forms_with_anything_at_length(workspace):
    fuzz(workspace, 3000)
