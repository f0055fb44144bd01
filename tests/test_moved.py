"""Programs of 0.1 find modules under the names that these had then, and are told where they are now."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from organza.moved import MOVED


@pytest.mark.parametrize("old", [name for name, homes in MOVED.items() if homes])
def test_old_names_lead_to_what_is_there_now(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=old):
        module = importlib.import_module(old)
    for home in map(importlib.import_module, MOVED[old]):
        for name, value in vars(home).items():
            if getattr(value, "__module__", None) == home.__name__ and not name.startswith("_"):
                assert getattr(module, name) is not None
    assert not hasattr(module, "no_such_name")


def test_no_old_name_hides_a_module_of_today() -> None:
    """Python asks for these last; one that is found before would never be reached."""
    code = "import sys; sys.meta_path.pop(); import importlib.util as u\n"
    code += f"for name in {[*MOVED]!r}:\n"
    code += "    try: found = u.find_spec(name)\n    except ModuleNotFoundError: found = None\n"
    code += "    assert found is None, name\n"
    done = subprocess.run([sys.executable, "-c", f"import organza; {code}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_of_then_runs() -> None:
    code = (
        "from organza.core.method import Adam, Batch, DataSpec, Latents\n"
        "from organza.formats.nvidia_write import write_nvidia\n"
        "from organza.apps import edit\n"
        "from organza.apps.directions import regress\n"
        "from organza.generator import Generator, load\n"
        "from organza.methods.stylegan2 import StyleGAN2\n"
        "import organza\n"
        "assert Generator is organza.Generator and load is organza.load\n"
        "assert DataSpec((8, 8)).channels == 3 and edit.edit and callable(regress)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
