"""Files that try to run code or to use up the machine are refused, or are read with their hostile part inert."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import organza
from organza.core.errors import UserError
from tests import golden
from tests.peak import PRINT_PEAK

EVIL = golden.HERE / "evil"
FILES = [entry["file"] for entry in json.loads((EVIL / "fixtures.json").read_text())["files"]]
LOADABLE = {"nvidia_G_ema_state.pkl", "nvidia_module_src.pkl"}

LOAD = f"""
import sys, time, organza
start = time.monotonic()
try:
    organza.load(sys.argv[1], networks="all")
    print("loaded")
except organza.UserError as error:
    print(error)
print(time.monotonic() - start)
{PRINT_PEAK}
"""


def find(name: str) -> Path:
    path = next(
        (root / "evil" / name for root in (golden.HERE, golden.SHARED) if (root / "evil" / name).exists()), None
    )
    if path is None:
        pytest.skip(f"needs the fixture evil/{name} beside the checkout")
    return path


@pytest.mark.parametrize("name", FILES)
def test_each_is_refused_or_inert(name, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    monkeypatch.setenv("ORGANZA_EVIL_MARKER", str(marker))
    monkeypatch.chdir(tmp_path)
    path = find(name)
    if name in LOADABLE:
        assert organza.load(path, networks="all").resolution == (8, 8)
    else:
        with pytest.raises(UserError) as caught:
            organza.load(path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_within_memory_and_time(name, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's account of peak memory")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, find(name)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    said, seconds, kilobytes = done.stdout.splitlines()
    assert said
    assert float(seconds) < 10
    assert float(kilobytes) < 1e6
    assert not list(tmp_path.iterdir())


def test_foreign_names_are_told(caplog):
    organza.load(find("nvidia_G_ema_state.pkl"))
    assert "posix.system" in caplog.text
