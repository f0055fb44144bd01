"""Every Python that we promise reads the code; where it has PyTorch, it imports all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
OTHERS = [f"python3.{minor}" for minor in range(10, 14) if minor != sys.version_info.minor]

COMPILE = """
import pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True)
"""
IMPORT = """
import importlib, importlib.util, pathlib, sys
if any(importlib.util.find_spec(name) is None for name in ("torch", "numpy", "PIL", "safetensors", "tyro", "rich")):
    sys.exit("not installed")
root = pathlib.Path(sys.argv[1])
for path in sorted(root.rglob("*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith("__main__"):
        importlib.import_module(name)
print("all imported")
"""


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = pyenv.glob(f"{program.removeprefix('python')}.*/bin/{program}") if "/" not in program else ()
    found = next(map(str, kept), None) or shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program} here")
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([found, *words], capture_output=True, text=True, env=env, timeout=120)
    if (
        "is not installed" in done.stderr or "command not found" in done.stderr
    ):  # a switch between versions, set to none
        pytest.skip(f"{program} can't be run here")
    return done


@pytest.mark.parametrize("program", OTHERS)
def test_it_reads_the_code_and_gives_help(program: str) -> None:
    done = run(program, "-c", COMPILE, str(SOURCE))
    assert done.returncode == 0, done.stderr
    helped = run(program, "-m", "organza", "--help")
    assert helped.returncode == 0 and "organza VERB" in helped.stdout, helped.stderr


@pytest.mark.parametrize("program", [*OTHERS, sys.executable])
def test_it_imports_everything(program: str) -> None:
    done = run(program, "-c", IMPORT, str(SOURCE))
    if "not installed" in done.stderr:
        pytest.skip(f"{program} has not all that Organza needs")
    assert done.stdout == "all imported\n", done.stderr
