import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import organza
from organza.cli import main as cli
from organza.cli.data import faces as faces_verb
from organza.cli.main import main, usage
from organza.cli.verbs import VERBS
from organza.core.errors import UserError


def command(*words, **options):
    return subprocess.run([sys.executable, "-m", "organza", *words], capture_output=True, text=True, **options)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help(capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out == usage() + "\n"
    assert all(f"\n  {verb} " in out for verb in VERBS)
    assert all(len(line) <= 100 for line in out.splitlines())


def test_every_verb_has_a_file():
    folder = Path(cli.__file__).parent
    assert all((folder / about.room / f"{verb}.py").exists() for verb, about in VERBS.items())


def test_help_is_quick_and_imports_nothing_heavy():
    start = time.perf_counter()
    done = command("--help")
    elapsed = time.perf_counter() - start
    assert done.returncode == 0
    assert done.stdout == usage() + "\n"
    # 0.05 s on an idle machine; tests share theirs.
    assert elapsed < 2
    code = "import sys, organza.cli.main as m; m.main(['--help']); print({'torch', 'tyro', 'numpy'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.endswith("set()\n")


HELP_OF_ALL = """
import contextlib, io, sys, time
from organza.cli.main import main
from organza.cli.verbs import VERBS, module

lines = [[verb, "--help"] for verb in VERBS] + [["dataset", verb, "--help"] for verb in module("dataset")._VERBS]
for words in [*lines, ["help", "train"], ["help", "dataset", "build"], ["train"], ["presets"]]:
    start, code = time.perf_counter(), 0
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
    heavy = {"torch", "numpy", "PIL", "matplotlib"} & {*sys.modules}
    assert code == (2 if words == ["train"] else 0) and said.getvalue() and not heavy, (words, code, heavy)
    print(time.perf_counter() - start)
"""


def test_help_of_every_verb_and_lists_are_quick_and_import_no_pytorch():
    done = subprocess.run([sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times = [float(line) for line in done.stdout.split()]
    assert len(times) > len(VERBS) + 5
    # Imports included, none took more than 0.1 s on an idle machine.
    assert max(times) < 2


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"organza {organza.__version__}\n"


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("genrate", "organza: there is no 'genrate'; did you mean `organza generate`?\n"),
        ("xyz", "organza: there is no 'xyz'; `organza --help` lists what there is\n"),
        ("--nothing", "organza: there is no '--nothing'; `organza --help` lists what there is\n"),
    ],
)
def test_unknown_verb(capsys, verb, message):
    assert main([verb]) == 2
    assert capsys.readouterr().err == message


def fails_with(monkeypatch, error):
    def fail(argv):
        raise error

    monkeypatch.setattr(faces_verb, "main", fail)


def test_user_errors_are_one_line(capsys, monkeypatch):
    fails_with(monkeypatch, UserError("is empty", where="photos", hint="add images"))
    assert main(["faces"]) == 2
    assert capsys.readouterr().err == "organza: photos: is empty; add images\n"


@pytest.mark.parametrize("words", [["--debug", "faces"], ["faces", "--debug"]])
def test_debug_shows_where(capsys, monkeypatch, words):
    fails_with(monkeypatch, UserError("is empty"))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("organza: is empty\n")


def test_unexpected_errors_ask_for_a_report(capsys, monkeypatch):
    fails_with(monkeypatch, KeyError("a\nb"))
    assert main(["faces"]) == 1
    assert capsys.readouterr().err == (
        "organza: KeyError: 'a\\nb'; this should not happen: run it again with --debug and report what it prints\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 7 TiB for an array"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 GB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4000 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_too_little_memory(capsys, monkeypatch, error):
    fails_with(monkeypatch, error)
    assert main(["faces"]) == 1
    said = f" ({error})" if str(error) else ""
    assert capsys.readouterr().err == (
        f"organza: not enough memory; take fewer or smaller images at a time, or a smaller network{said}\n"
    )


def test_garbage_is_collected_as_usual_after_the_imports():
    code = (
        "import gc, sys; usual = gc.get_threshold(); import organza.cli.main as m; m._collect_later()\n"
        "assert gc.get_threshold()[0] == 120_000; gc.collect(0)\n"
        "assert gc.get_threshold() == usual and gc.get_freeze_count() > 1000 and not gc.callbacks and gc.isenabled()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interrupted(capsys, monkeypatch):
    fails_with(monkeypatch, KeyboardInterrupt())
    assert main(["faces"]) == 130
    assert capsys.readouterr().err == "organza: stopped\n"


@pytest.mark.skipif(os.name == "nt", reason="no such pipes there")
def test_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "organza", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
