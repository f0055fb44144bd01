import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from organza import load
from organza.cli.main import main
from organza.cli.record import read_record, record
from organza.cli.verbs import module
from organza.core.errors import UserError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_run(tiny_run, tmp_path):
    """A copy of the tiny run that a test may damage."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def run(line):
    return main(line.split())


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("generate --network run --seeds 3,5 --trunc 0.7 --noise random", "out/seed0005.png"),
        ("generate --network run --seeds=3,5 --outdir=a --format png16", "a/seed0003.png"),
        ("generate --network run --seeds 0-3 --grid 2x2 --scale 2", "out/grid.png"),
        ("truncation --network run --seeds 1 --columns 3 --output t.jpg", "t.jpg"),
        ("mix --network run --rows 1 --columns 2,3", "out/mix.png"),
        ("noise --network run --samples 3", "out/noise.png"),
        ("interpolate --network run --seeds 1,2 --seconds 0.4 --fps 10 --output l.gif", "l.gif"),
        ("walk --network run --seeds 1 --seconds 0.4 --fps 10 --output w.webp", "w.webp"),
    ],
)
def test_the_same_bytes(capsys, own_run, line, made):
    assert main(line.split()) == 0
    first, note = Path(made).read_bytes(), Path(f"{made}.json").read_text()
    Path(made).unlink()
    capsys.readouterr()
    assert main(["redo", f"{made}.json"]) == 0
    assert capsys.readouterr().out.endswith("the same bytes as before\n")
    assert Path(made).read_bytes() == first
    assert Path(f"{made}.json").read_text() == note
    assert main(["redo", f"{made}.json", "--output", f"else/other{Path(made).suffix}"]) == 0
    assert Path(f"else/other{Path(made).suffix}").read_bytes() == first


def test_a_chain(capsys, own_run):
    """Project, find directions, edit, blend: each from what the one before made, and each made again."""
    assert run("generate --network run --seeds 3 --output a.png") == 0
    assert run("project --network run a.png --steps 3 --outdir p --tune 2 --film none") == 0
    out = capsys.readouterr().out
    assert "distance: stand-in" in out and "levels of 255 off, tuned" in out
    assert run("directions --network run --method pca --count 2 --samples 50 --layers 0-2 --output d.safetensors") == 0
    assert "pca0: GANSpace" in capsys.readouterr().out
    assert run("edit --network p/tuned --directions d.safetensors --apply pca0=2;pca1=-1@0 --w p/projected.npz") == 0
    assert run("blend --network run --second p/tuned --swap 8 --outdir b") == 0
    assert run("generate --network b --seeds 1 --output b.png") == 0
    for made in ("d.safetensors", "out/edit.png"):
        before = Path(made).read_bytes()
        capsys.readouterr()
        assert main(["redo", f"{made}.json"]) == 0
        assert capsys.readouterr().out.endswith("the same bytes as before\n")
        assert Path(made).read_bytes() == before
    assert main(["redo", "p/organza.json", "--output", "again"]) == 0
    for name in ("projected-a.png", "projected.npz", "tuned/ema.safetensors"):
        assert Path("again", name).read_bytes() == Path("p", name).read_bytes()
    assert main(["redo", "b/organza.json", "--output", "c"]) == 0
    for name in ("ema.safetensors", "comparison.png"):
        assert Path("c", name).read_bytes() == Path("b", name).read_bytes()


class Dark(torch.nn.Module):
    def forward(self, images: torch.Tensor):
        return -images.mean((1, 2, 3)) - 0.1


def test_an_encoder_starts_a_projection(capsys, own_run):
    assert run("encoder --network run --pictures 64 --batch 16 --output e.safetensors") == 0
    assert "of the variance of w in new images" in capsys.readouterr().out
    assert run("generate --network run --seeds 3 --output a.png") == 0
    assert run("project --network run a.png --steps 2 --encoder e.safetensors --film none --format jpg --outdir p") == 0
    assert Path("p/comparison.jpg").exists() and Path("p/projected-a.jpg").exists()
    assert main(["redo", "p/organza.json", "--output", "q"]) == 0
    assert Path("p/projected.npz").read_bytes() == Path("q/projected.npz").read_bytes()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_attributes(capsys, own_run):
    rows = "\n".join(f"{seed},{seed % 2},{seed % 3 == 0:d}" for seed in range(20))
    Path("a.csv").write_text(f"seed,odd,third\n{rows}\n")
    line = "directions --network run --method labels --labels a.csv --independent --strips s.jpg"
    assert run(f"{line} --output a.safetensors") == 0
    assert Path("s.jpg").exists() and not Path("a.safetensors.png").exists()
    out = capsys.readouterr().out
    assert "odd: regression on 20 images, 10 of them yes" in out and "third kept" in out
    pictures = load(own_run).generate(range(30)).mean((1, 2, 3)) / 127.5 - 1
    torch.jit.script(Dark()).save("dark.pt")
    line = "directions --network run --method classifier --classifier dark.pt --names dark --samples 30"
    code = run(line)
    dark = int((pictures < -0.1).sum())
    assert code == (0 if 0 < dark < 30 else 2)
    assert ("dark: regression on 30 images" if code == 0 else "answers are alike") in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("directions --network run --method labels", "--labels is missing; give a table of seeds and attributes"),
        ("directions --network run --method classifier", "--classifier is missing; give a TorchScript file"),
        ("directions --network run --output a.pt", "a.pt: no format is known for '.pt'"),
        ("edit --network run --directions d.safetensors --apply a=1", "d.safetensors: does not exist"),
        ("blend --network run --second run --outdir run", "run: exists already; choose another name"),
        ("project --network run none.png", "none.png: can't be read"),
    ],
)
def test_wrong_commands(capsys, own_run, line, message):
    assert run(line) == 2
    assert message in capsys.readouterr().err


def test_from_another_folder(own_run, tmp_path, monkeypatch):
    assert run("generate --network run --seeds 3 --output a.png") == 0
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert main(["redo", "../a.png.json", "--output", "b.png"]) == 0
    assert Path("b.png").read_bytes() == Path("../a.png").read_bytes()
    assert Path.cwd() == tmp_path / "sub"


@pytest.mark.parametrize(("name", "made"), [("a.png (1).json", "a.png (1).png"), ("mine.json", "mine.png")])
def test_a_record_that_was_renamed(own_run, name, made):
    assert run("generate --network run --seeds 3 --output a.png") == 0
    Path("a.png.json").rename(name)
    assert main(["redo", name]) == 0
    assert Path(made).read_bytes() == Path("a.png").read_bytes()


def test_saved_codes(own_run, capsys):
    assert run("generate --network run --seeds 3,4 --outdir a --save-w a/w.npz") == 0
    assert capsys.readouterr().out.splitlines()[0] == os.path.join("a", "w.npz")
    assert run("generate --network run --w a/w.npz --output b.png") == 0
    assert run("generate --network run --w a/w.npz --outdir c") == 0
    assert Path("c/w0001.png").read_bytes() == Path("a/seed0004.png").read_bytes()
    assert main(["redo", "c/w0001.png.json", "--output", "d.png"]) == 0
    assert Path("d.png").read_bytes() == Path("c/w0001.png").read_bytes()
    assert run("generate --network run --seeds 7 --outdir e --save-w a/w.npz") == 0
    assert fails(capsys, "b.png.json") == (
        f"organza: {os.path.join('a', 'w.npz')}: has changed since; bring back what --w was, or run another command\n"
    )


def fails(capsys, path):
    capsys.readouterr()
    assert main(["redo", str(path)]) == 2
    return capsys.readouterr().err


def test_the_run_may_go_on_but_not_change(own_run, capsys):
    assert run("generate --network run --seeds 3 --output a.png") == 0
    checkpoints = own_run / "checkpoints"
    (old,) = (p for p in checkpoints.iterdir() if p.is_dir())
    new = shutil.copytree(old, checkpoints / "999999999")
    weights = bytearray((new / "ema.safetensors").read_bytes())
    weights[-1] ^= 1
    (new / "ema.safetensors").write_bytes(weights)
    assert main(["redo", "a.png.json"]) == 0
    assert capsys.readouterr().out.endswith("the same bytes as before\n")
    (old / "ema.safetensors").write_bytes(weights)
    assert "has changed since; bring back what --network was, or run another command" in fails(capsys, "a.png.json")
    shutil.rmtree(old)
    assert "is gone; bring back what --network was" in fails(capsys, "a.png.json")


def test_a_network_that_moved(own_run, capsys):
    assert run("generate --network run --seeds 1 --output a.png") == 0
    shutil.move("run", "elsewhere")
    assert "if it was moved, say --network RUN" in fails(capsys, "a.png.json")
    assert main(["redo", "a.png.json", "--network", "elsewhere"]) == 0
    assert "the same bytes as before" in capsys.readouterr().out
    assert main(["redo", "a.png.json", "--network", "."]) == 2


def test_another_result_is_told(own_run, capsys):
    assert run("generate --network run --seeds 3 --output a.png") == 0
    note = json.loads(Path("a.png.json").read_text())
    note["sha256"], note["versions"]["torch"] = "0" * 64, "0.1"
    Path("a.png.json").write_text(json.dumps(note))
    capsys.readouterr()
    assert main(["redo", "a.png.json"]) == 0
    assert capsys.readouterr().err == "organza: differs from the first one (torch was 0.1)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is no record of a command; give the .json beside an image that Organza made"),
        ("[]", "is no record of a command"),
        ("{}", "is no record of a command"),
        ('{"command": [], "format": 2}', "is a record of another format; update Organza"),
        ('{"command": 3, "format": 1}', "command"),
    ],
)
def test_wrong_records(capsys, text, message):
    Path("a.json").write_text(text)
    err = fails(capsys, "a.json")
    assert err.startswith("organza: a.json") and message in err and err.count("\n") == 1


def test_unreadable(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        record("generate", [], tmp_path / "nothing.png")


def test_changes_override(tmp_path):
    Path("a.png").write_bytes(b"x")
    record("generate", ["--seeds", "1,2", "--class=3,4", "--flat"], Path("a.png"), changes=["--seeds", "1"])
    words = ("generate", "--class=3,4", "--flat", "--seeds", "1", "--output", "a.png")
    assert read_record(Path("a.png.json")).command == words


def foreign(changes=(), command=None, **fields):
    """A record as somebody else might write it: of an image that was really made, then changed."""
    note = json.loads(Path("a.png.json").read_text())
    note["command"] = [*(note["command"] if command is None else command), *changes]
    Path("set").mkdir(exist_ok=True)
    Path("set/a.png.json").write_text(json.dumps(note | fields))
    return "set/a.png.json"


@pytest.fixture
def made(own_run, capsys):
    assert run("generate --network run --seeds 3 --output a.png") == 0
    Path("mine").mkdir()
    Path("mine/letter.png").write_bytes(b"mine")
    capsys.readouterr()


def everything():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        ["dataset", "build", "--source", "run", "--dest", "mine", "--overwrite"],
        ["train", "stylegan2-demo", "--data", "run", "--outdir", "mine"],
        ["demo", "--outdir", "mine"],
        ["faces", "--dest", "mine/letter.zip"],
        ["convert", "run", "--dest", "mine/new"],
        ["encoder", "--network", "run", "--output", "mine/letter.safetensors"],
        ["evaluate", "--network", "run", "--json", "mine/letter.json"],
        ["compare", "run", "--output", "mine/letter.png"],
        ["ladder", "stylegan2", "--data", "run"],
        ["redo", "a.png.json", "--output", "mine/letter.png"],
        ["inspect", "https://example.org/a.pkl"],
        ["nonsense"],
        ["../redo"],
        [],
    ],
)
def test_only_verbs_that_make_images(made, capsys, command):
    path, before = foreign(command=command), everything()
    for more in ([], ["--output", "b.png"]):
        assert main(["redo", path, *more]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert "redo makes images and videos again" in err
    assert everything() | {Path(path): b""} == before | {Path(path): b""}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (["--output", "mine/letter.png"], {}),
        (["--output", "../mine/letter.png"], {"output": "../mine/letter.png"}),
        (["--output", "{cwd}/mine/letter.png"], {"output": "{cwd}/mine/letter.png", "option": "--save-w"}),
        (["--outdir", "mine"], {"option": "--outdir", "output": "mine"}),
        (["--outdir=mine", "--format", "npy"], {}),
        (["--save-w", "mine/new.npz"], {"option": "--save-w", "output": "mine/new.npz"}),
        (["--save-w=mine/letter.npz", "--save_w", "~/w.npz"], {}),
        (["--offline", "--debug"], {"folder": "/nowhere/at/all"}),
        ([], {"folder": "mine", "sha256": None}),
    ],
)
def test_nothing_is_written_elsewhere(made, capsys, changes, fields):
    here = str(Path.cwd())
    changes = [word.replace("{cwd}", here) for word in changes]
    fields = {key: value and value.replace("{cwd}", here) for key, value in fields.items()}
    note = json.loads(Path("a.png.json").read_text())
    note["command"] = [
        w if w != note["inputs"]["--network"]["path"] else str(Path(w).absolute()) for w in note["command"]
    ]
    path, before = foreign(changes, note["command"], **fields), everything()
    assert main(["redo", path]) == 0
    after = everything()
    assert {path for path in after if before.get(path) != after[path]} == {Path("set/a.png")}
    assert after[Path("set/a.png")] == before[Path("a.png")]


@pytest.mark.parametrize(
    "changes",
    [
        ["--network", "https://example.org/a.pkl"],
        ["--network", "ffhq256"],
        ["--network", "//example.org/share/a.pkl"],
        ["--network", "\\\\example.org\\share\\a.pkl"],
        ["--network", "/dev/zero"],
        ["--network", "mine"],
        ["--w", "/dev/zero"],
        ["--w", "http://example.org/w.npz"],
        ["--help"],
        ["--tyro-write-completion", "bash", "mine/letter.png"],
        ["--nothing"],
        ["--seeds", "x"],
    ],
)
def test_nothing_is_fetched_or_run(made, capsys, changes):
    path, before = foreign(changes), everything()
    err = fails(capsys, path)
    assert err.startswith("organza: ") and err.count("\n") == 1
    assert everything() == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("interpolate --network run --audio http:/example.org/a.wav --output a.gif", "is gone"),
        ("interpolate --network run --audio /dev/zero --output a.gif", "is gone"),
        ("directions --network run --method classifier --classifier a.pt --names x", "redo does not take --classifier"),
        ("project --network run a.png --distance vgg16.pt", "redo does not take --distance vgg16.pt"),
        ("project --network run a.png --align mtcnn:/x", "redo does not take --align"),
        ("project --network run /dev --steps 1", "holds no images"),
    ],
)
def test_nothing_but_files_is_read(made, capsys, command, message):
    verb = command.split()[0]
    path = foreign(command=command.split(), inputs={})
    before = everything()
    assert main(["redo", path, *(["--output", "new"] if verb == "project" else [])]) == 2
    assert message in capsys.readouterr().err
    assert everything() == before


def test_what_lies_there_stays(made, capsys):
    path = foreign()
    Path("set/a.png").write_bytes(b"a photograph")
    assert "set/a.png: is another file than the record makes; give --output FILE" in fails(capsys, path)
    assert Path("set/a.png").read_bytes() == b"a photograph"
    Path("set/a.png").unlink()
    Path("set/a.png").symlink_to("../mine/letter.png")
    assert "is another file" in fails(capsys, path)
    Path("set/a.png").unlink()
    Path("set/a.png").symlink_to("../mine/new.png")
    assert "is another file" in fails(capsys, path)
    assert [file.name for file in Path("mine").iterdir()] == ["letter.png"]
    shutil.copy("a.png", "set/b.png")
    shutil.copy(path, "set/note")
    assert "give --output FILE" in fails(capsys, "set/note")
    assert not list(Path("set").glob(".redo*"))


def test_folders_are_new_ones(made, capsys):
    assert run("project --network run a.png --steps 1 --outdir p --film none") == 0
    assert "say which new one: --output FOLDER" in fails(capsys, "p/organza.json")
    capsys.readouterr()
    assert main(["redo", "p/organza.json", "--output", "mine"]) == 2
    assert "mine: exists already" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["redo", "p/organza.json", "--output", "empty"]) == 0
    assert Path("empty/projected.npz").read_bytes() == Path("p/projected.npz").read_bytes()
    assert main(["redo", "empty/organza.json", "--output", "again"]) == 0


def test_offline_unless_the_user_says(made, monkeypatch, capsys):
    from organza.cli.studio import generate as verb

    seen = []

    def look(argv):
        seen.append(os.environ.get("ORGANZA_OFFLINE"))
        raise UserError("enough")

    monkeypatch.setattr(verb, "main", look)
    assert main(["redo", "a.png.json"]) == 2 == main(["redo", "a.png.json", "--fetch"])
    assert seen == ["1", None] and "ORGANZA_OFFLINE" not in os.environ


def test_every_option_of_the_verbs_is_known_to_redo():
    """A new option that is a path or a text must be put among those that redo reads, writes or refuses."""
    import dataclasses

    from organza.cli import redo

    refused = {"classifier", "align", "distance"}
    for verb in (*redo.FILES, *redo.FOLDERS):
        for field in dataclasses.fields(module(verb).Options):
            if not field.type.startswith("Literal[") and re.search(r"\b(Path|str)\b", field.type):
                assert field.name in redo._READ | redo._WRITTEN | redo._TEXT | refused, (verb, field.name)
