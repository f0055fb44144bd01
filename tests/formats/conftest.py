import pytest

from organza.formats import weights


@pytest.fixture(autouse=True)
def _announce_again(monkeypatch):
    """Notes on a file are printed once in a process: start each test anew."""
    monkeypatch.setattr(weights, "_ANNOUNCED", set())
