import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from organza import load
from organza.cli.main import main
from organza.cli.record import read_record, record
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
    assert "of the variance of w in new pictures" in capsys.readouterr().out
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
    assert "odd: regression on 20 pictures, 10 of them yes" in out and "third kept" in out
    pictures = load(own_run).generate(range(30)).mean((1, 2, 3)) / 127.5 - 1
    torch.jit.script(Dark()).save("dark.pt")
    line = "directions --network run --method classifier --classifier dark.pt --names dark --samples 30"
    code = run(line)
    dark = int((pictures < -0.1).sum())
    assert code == (0 if 0 < dark < 30 else 2)
    assert ("dark: regression on 30 pictures" if code == 0 else "answers are alike") in "".join(capsys.readouterr())


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
        ("nonsense", "is no record of a command; give the .json beside a picture that Organza made"),
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
