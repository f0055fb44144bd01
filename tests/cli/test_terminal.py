"""What reaches the terminal: nothing that moves its cursor, whatever files are called; and terminals of every kind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

import organza
from organza.cli.console import terminal
from organza.cli.main import main
from organza.core.text import say

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202egnp\u2028x"


def clean(capsys, words, code=None):
    done = main(words)
    assert code is None or done == code
    said = "".join(capsys.readouterr())
    assert said
    hidden = {unicodedata.category(c) for c in said if c != "\n"} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not hidden, said
    return said


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder with images and other things whose names are hostile."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"set{HOSTILE}"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}{HOSTILE}.png")
    (folder / f"broken{HOSTILE}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / f"text{HOSTILE}.txt").write_text("words")
    return folder


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_data_with_hostile_names(capsys, hostile):
    assert "owned" in clean(capsys, ["dataset", "info", str(hostile)], 0)
    assert "owned" in clean(capsys, ["dataset", "build", "--source", str(hostile), "--dest", f"a{HOSTILE}.zip"], 0)
    clean(capsys, ["dataset", "build", "--source", str(hostile), "--dest", f"b{HOSTILE}.zip", "--strict"], 2)
    clean(capsys, ["dataset", "info", f"a{HOSTILE}.zip", "--all"], 0)
    clean(capsys, ["faces", "--count", "1", "--dest", f"f{HOSTILE}.zip"], 0)
    clean(capsys, ["train", "dcgan", "--data", str(hostile), "--dry-run"])


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_weights_with_hostile_names(capsys, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    name = f"w{HOSTILE}.safetensors"
    save_file({f"G{HOSTILE}.weight": torch.zeros(2)}, name)
    assert "owned" in clean(capsys, ["inspect", name])
    clean(capsys, ["generate", "--network", name], 2)
    torch.save({f"G{HOSTILE}": {f"x{HOSTILE}": torch.zeros(2)}, HOSTILE: HOSTILE}, f"w{HOSTILE}.pt")
    assert "owned" in clean(capsys, ["inspect", f"w{HOSTILE}.pt"])


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_images_with_hostile_names(capsys, network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "owned" in clean(capsys, ["generate", "--network", "a", "--output", f"{HOSTILE}.png"], 0)
    assert "owned" in clean(capsys, ["mix", "--network", "a", "--output", f"{HOSTILE}/a.png"], 0)


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        ["help", HOSTILE],
        ["presets", HOSTILE],
        ["train", HOSTILE],
        ["dataset", HOSTILE],
        ["dataset", "fetch", HOSTILE],
        ["dataset", "info", HOSTILE],
        ["inspect", HOSTILE],
        ["redo", HOSTILE],
        ["faces", "--dest", "a.zip", "--label", HOSTILE],
        ["generate", "--network", HOSTILE],
        ["generate", f"--x{HOSTILE}"],
        ["generate", "--network", "a", "--trunc", HOSTILE],
        ["generate", "--network", "a", "--noise", HOSTILE],
        ["generate", "--network", "a", "--seeds", HOSTILE],
        ["generate", "--network", "a", HOSTILE],
    ],
)
def test_hostile_words(capsys, words):
    clean(capsys, words, 2)


def test_errors_of_all_kinds(capsys, monkeypatch):
    from organza.cli.data import faces

    for error in (ValueError(HOSTILE), OSError(5, HOSTILE, HOSTILE), MemoryError(HOSTILE)):
        monkeypatch.setattr(faces, "main", lambda argv, error=error: (_ for _ in ()).throw(error))
        clean(capsys, ["faces"])
        clean(capsys, ["--debug", "faces"])


def test_tables_and_lines(capsys):
    from rich.table import Table

    table = Table("a")
    table.add_row(HOSTILE)
    terminal(width=200).print(table)
    say(f"a{HOSTILE}\nb", error=True)
    out, err = capsys.readouterr()
    assert "\\x1b[2J" in out and "\x1b" not in out + err
    assert err.count("\n") == 1


ROOT = Path(organza.__file__).parent
PRINTING = {
    "core/text.py": {"print"},
    "core/messages.py": {"say", "getLogger"},
    "cli/console.py": {"Console"},
    "training/voice.py": {"Console"},  # the progress line
}
"""File -> what it may use although others must not."""


def others_logger(call: ast.Call) -> bool:
    """Whether this asks for another library's logger by its name, to keep it still."""
    name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    return isinstance(name, str) and not name.startswith("organza")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_printed_by_another_way(path):
    """The command line prints with `say` and `terminal`; whatever is below tells its `logger`."""
    file = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {node.id for node in called if isinstance(node, ast.Name)} & {"Console"}  # elsewhere it is a type
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"print"}
    others = {call.func for call in ast.walk(tree) if isinstance(call, ast.Call) and others_logger(call)}
    attributes = {node for node in ast.walk(tree) if isinstance(node, ast.Attribute)} - others
    found |= {node.attr for node in attributes} & {"getLogger"}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "organza.core.text"
        for alias in node.names
    }
    if not file.startswith("cli/"):
        found |= imported & {"say"}
    assert found <= PRINTING.get(file, set()), "use say() or terminal() in cli/, and elsewhere a logger()"


def command(*words, **more):
    env = {**os.environ, **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "organza", *words], capture_output=True, env=env, check=False, **more)


NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.skipif(os.name == "nt", reason="another system of locales")
@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, NARROW, {"PYTHONIOENCODING": "ascii"}, {**NARROW, "LANG": ""}])
def test_narrow_locales(tmp_path, env):
    name = "Bilder ä 画像.zip"
    done = command("faces", "--count", "2", "--resolution", "16", "--dest", name, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / name).is_file()
    done = command("dataset", "info", name, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    done = command("faces", "--dest", "画/../画", "--label", "ä", cwd=tmp_path, env=env)
    assert done.returncode == 2 and b"should not happen" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="another system of locales")
@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_everything_in_narrow_locales(tmp_path, env):
    toy = ["--width", "8", "--z-dim", "8", "--kimg", "0.008", "--batch", "4", "--grid", "2x2"]
    for words in (
        ["presets"],
        ["presets", "stylegan2"],
        ["faces", "--count", "16", "--resolution", "16", "--dest", "ä.zip"],
        ["train", "dcgan", "--data", "ä.zip", "--outdir", "ö", *toy],
        ["generate", "--network", "ö/00000-dcgan-ä", "--output", "ü/é.png"],
        ["redo", "ü/é.png.json", "--output", "ü/again.png"],
        ["inspect", "ö/00000-dcgan-ä"],
        ["dataset", "build", "--source", "ä.zip", "--dest", "ß"],
    ):
        done = command(*words, cwd=tmp_path, env=env)
        assert done.returncode == 0, (words, done.stderr)


def test_a_name_that_is_no_text(capsys, monkeypatch):
    """As Rust's libraries say it of a path whose bytes are not UTF-8."""
    from organza.cli.data import faces

    monkeypatch.setattr(faces, "main", lambda argv: "\udcff.png".encode())
    clean(capsys, ["faces"], 2)


@pytest.mark.skipif(os.name == "nt", reason="no such streams there")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("faces --help", 0), ("faces", 2), ("nonsense", 2)])
def test_closed_streams(closed, words, code):
    line = f"'{sys.executable}' -m organza {words} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr + done.stdout and b"should not happen" not in done.stderr + done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk_under_the_output():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "organza", "--help"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (2, b"organza: No space left on device\n")


def test_what_is_public():
    assert {*organza.__all__} <= {*dir(organza)}
    assert [name for name in dir(organza) if not name.startswith("_")] == sorted(organza.__all__)
    assert (Path(organza.__file__).parent / "py.typed").exists()
    import pydoc

    shown = pydoc.render_doc(organza, renderer=pydoc.plaintext)
    assert "class Generator" in shown and "open_dataset(" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="no such files there")
@pytest.mark.parametrize("place", ["/proc/x", "/proc/self/x", "loop/x", "a" * 300, "b" * 5000, "file/x", "dir"])
@pytest.mark.parametrize(
    "line",
    [
        "generate --network a --seeds 1 --output {}.png",
        "generate --network a --seeds 1 --outdir {}",
        "generate --network a --seeds 1 --output a.png --save-w {}.npz",
        "mix --network a --rows 1 --columns 2 --output {}.png",
        "noise --network a --samples 2 --output {}.png",
        "walk --network a --seconds 0.2 --fps 10 --output {}.gif",
        "directions --network a --count 1 --output {}.safetensors",
        "faces --count 1 --resolution 16 --dest {}.zip",
        "demo --outdir {}",
    ],
)
def test_where_nothing_can_be_written(capsys, network, tmp_path, monkeypatch, line, place):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").write_text("x")
    for suffix in ("png", "npz", "gif", "safetensors", "zip"):
        Path(f"dir.{suffix}").mkdir()
    if place == "dir" and "outdir" in line:
        pytest.skip("a folder is right there")
    assert main(line.format(place).split()) == 2
    err = capsys.readouterr().err
    assert "should not happen" not in err
    assert err.splitlines()[-1].startswith("organza: ")
