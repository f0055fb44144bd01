import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for data_helpers: pytest's importlib mode leaves the path alone


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ORGANZA_CACHE", str(folder))
    return folder


@pytest.fixture
def shared():
    """Real datasets beside the checkout, where a developer has them."""
    folder = HERE.parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/data beside this checkout")
    return folder
