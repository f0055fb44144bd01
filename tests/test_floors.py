"""A file imports only from its own floor or from below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "organza"
FLOORS = {
    "core": 0,
    "ops": 1,
    "nn": 2,
    "data": 2,
    "methods": 3,
    "presets": 4,
    "training": 4,
    "formats": 4,
    "generator": 4,
    "metrics": 5,
    "apps": 5,
    "cli": 6,
    "__main__": 6,
}
FORBIDDEN = {("training", "methods"), ("training", "presets"), ("data", "nn"), ("nn", "data")}


def place(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of Organza that a file imports, anywhere in it; imports for type checkers count as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("organza.")}
    return found & FLOORS.keys()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = place(path)
    if here == "__init__":
        return  # the public names, imported on first use
    for there in imported(path):
        assert FLOORS[there] <= FLOORS[here], f"{path} imports {there} from above"
        assert (here, there) not in FORBIDDEN, f"{path} imports {there}"


def test_the_loop_is_short_and_names_no_method() -> None:
    text = (ROOT / "training" / "loop.py").read_text()
    assert len(text.splitlines()) < 200
    methods = [path.stem for path in (ROOT / "methods").glob("[a-z]*.py")]
    assert methods
    assert not [name for name in [*methods, "stylegan", "wgan"] if name in text.lower()]
