"""One way to write a file: `organza.core.files`. It is whole or not at all, with the permissions of any new file."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from organza.cli.main import main

ROOT = Path(__file__).parent.parent / "src" / "organza"
OURS = {"atomic_write", "atomic_folder"}
NAMES = {"write_text", "write_bytes", "save_file", "savez", "savefig", "mkstemp", "NamedTemporaryFile"}
ALLOWED = {
    "core/files.py": "the way itself",
    "core/lock.py": "a lock file is nobody's to read",
    "core/download.py": "a part that is continued after a break, then renamed",
    "data/cache/prepare.py": "raw pixels in a folder of its own, then renamed",
    "data/export/sinks.py": "formats of many files or a stream, in a part that is then renamed",
    "data/cache/parallel.py": "answers to the parent process",
    "media/animation.py": "into the file that its caller has from atomic_write",
    "media/clip.py": "into the file that its caller has from atomic_write",
    "media/video.py": "into the file that its caller has from atomic_write",
    "training/profiling.py": "beside the file from atomic_write, and removed",
}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def writes(call: ast.Call) -> bool:
    name = name_of(call)
    if name in NAMES:
        return True
    if "os.devnull" in ast.unparse(call):
        return False
    if name == "save":  # of an image, an array or a network, unless into memory
        target = call.args[0] if call.args else None
        if isinstance(target, ast.Name) and target.id in ("buffer", "encoded", "file"):
            return False
        return ast.unparse(call.func) not in ("state.save", "checkpoint.save", "monitor.save")
    if name in ("open", "ZipFile"):
        given = [*call.args, *(word.value for word in call.keywords if word.arg in ("mode", "flags"))]
        modes = [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        flags = {node.attr for arg in given for node in ast.walk(arg) if isinstance(node, ast.Attribute)}
        plain = [mode for mode in modes if set(mode) <= set("rwaxbt+:|")]
        return any(set(mode) & set("wax+") for mode in plain) or bool(flags & {"O_RDWR", "O_CREAT"})
    return False


def stray(tree: ast.AST) -> list[str]:
    """Calls that write outside of a ``with atomic_write(...)`` or ``atomic_folder(...)``."""
    found: list[str] = []

    def walk(node: ast.AST, ours: bool) -> None:
        if isinstance(node, ast.With):
            items = [item.context_expr for item in node.items]
            ours = ours or any(isinstance(item, ast.Call) and name_of(item) in OURS for item in items)
        if isinstance(node, ast.Call) and not ours and writes(node):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        for child in ast.iter_child_nodes(node):
            walk(child, ours)

    walk(tree, False)
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_are_written_in_one_way(path: Path) -> None:
    found = stray(ast.parse(path.read_text()))
    assert (path.relative_to(ROOT).as_posix() in ALLOWED) or not found


def test_the_list_of_exceptions_is_short_and_needed() -> None:
    assert all(stray(ast.parse((ROOT / name).read_text())) for name in ALLOWED)


VERBS = [
    "generate --network {run} --seeds 0-1 --outdir files",
    "generate --network {run} --seeds 0 --output one.webp",
    "generate --network {run} --grid 2x1 --output grid.jpg",
    "interpolate --network {run} --seeds 0,1 --seconds 0.2 --fps 10 --output loop.gif",
    "interpolate --network {run} --seeds 0,1 --seconds 0.2 --fps 10 --output loop.webp",
    "walk --network {run} --seeds 0,1 --seconds 0.4 --fps 10 --output walk.mp4",
    "truncation --network {run} --seeds 0 --columns 3 --output truncation.png",
    "mix --network {run} --rows 0 --columns 1 --styles 0-2 --output mix.png",
    "noise --network {run} --seed 0 --samples 2 --output noise.png",
    "faces --dest faces.zip --count 3 --resolution 16",
    "directions --network {run} --count 2 --output directions.safetensors",
    "blend --network {run} --second {run} --swap 8 --outdir blended",
    "convert {run} --dest ours.pkl --to nvidia",
    "convert ours.pkl --dest ours",
    "dataset build --source faces.zip --dest built.zip",
    "dataset build --source faces.zip --dest built",
]


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_permissions_follow_the_umask(umask, tiny_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    old = os.umask(umask)
    try:
        for line in VERBS:
            assert main(line.format(run=tiny_run).split()) == 0, capsys.readouterr()
    finally:
        os.umask(old)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) > len(VERBS)
    for path in found:
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path
