"""A room imports only from its own floor or from below, and nothing imports itself by way of others."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
ROOT = SOURCE / "organza"
FLOORS = [
    ("core", "moved"),
    ("contract", "media", "ops", "tensors"),
    ("data", "nn", "vision"),
    ("methods", "training"),
    ("presets",),
    ("formats",),
    ("models",),
    ("metrics", "studio", "translate", "weights"),
    ("runs",),
    ("cli", "predictors"),
    ("__main__",),
]
"""From the ground up; see docs/architecture.md."""
LEVEL = {room: number for number, floor in enumerate(FLOORS) for room in floor}
FILES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}


def room(module: str) -> str:
    return module.split(".")[1]


@cache
def imported(module: str) -> frozenset[str]:
    """The modules of Organza that a file imports, anywhere in it; imports for type checkers count as well."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            full = {alias: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in full.values()}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(name for name in found if name in MODULES)


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of names that reach each other (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in graph[name]:
                found.append(sorted(group))

    for name in graph:
        if name not in number:
            visit(name)
    return found


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"organza"}))
def test_imports_go_down(module: str) -> None:
    for other in imported(module):
        assert other != "organza", f"{module} imports the public names, which are above it"
        assert LEVEL[room(other)] <= LEVEL[room(module)], f"{module} imports {other} from above"
    assert room(module) != "training" or not {room(other) for other in imported(module)} & {"methods"}


def test_no_circles() -> None:
    graph = {name: imported(name) - {name} for name in MODULES if name != "organza"}
    assert circles(graph) == []


def test_rooms_know_each_other_in_one_direction() -> None:
    modules = MODULES.keys() - {"organza"}
    rooms: dict[str, frozenset[str]] = {room(module): frozenset() for module in modules}
    for module in modules:
        rooms[room(module)] |= {room(other) for other in imported(module)} - {room(module)}
    assert circles(rooms) == []


def test_circles_are_found() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a"), "e": frozenset("e")}
    assert circles(graph) == [["a", "b", "c"], ["e"]]


def test_the_loop_is_short_and_names_no_method() -> None:
    text = (ROOT / "training" / "loop.py").read_text()
    assert len(text.splitlines()) < 250
    methods = [path.stem for path in (ROOT / "methods").rglob("[a-z]*.py")]
    assert methods
    assert not [name for name in [*methods, "stylegan", "wgan"] if re.search(rf"\b{name}\b", text.lower())]
