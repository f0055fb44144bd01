"""Networks to and from a stand-in of the hub: what is fetched, what is refused, what a card says."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from organza import UserError, load
from organza.cli.main import main
from organza.formats import locate
from tests.formats.hub_server import served

pytest.importorskip("huggingface_hub", reason="needs the package huggingface_hub: pip install organza[hub]")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the client


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "secret")
    with served() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


def test_there_and_back(hub, tiny_run, tmp_path, capsys):
    words = ["--licence", "CC0", "--summary", "drawn faces | tiny", "--limits", "for tests"]
    assert main(["push", str(tiny_run), "hf:me/faces", *words]) == 0, capsys.readouterr()
    files = hub.repositories["me/faces"]
    assert {*files} == {"config.json", "checksums.json", "ema.safetensors", "README.md", "samples.png"}
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: organza\n") and "# faces\n" in card
    assert "organza generate --network hf:me/faces" in card and "![Samples](samples.png)" in card
    assert "| licence | CC0 |" in card and "drawn faces \\| tiny." in card and "| limits | for tests |" in card
    found = load("hf:me/faces")
    assert np.array_equal(found.generate([1, 2]), load(tiny_run).generate([1, 2]))
    fetched = {path.name for path in (tmp_path / "cache" / "hub").rglob("snapshots/*/*")}
    assert fetched == {"config.json", "checksums.json", "ema.safetensors"}
    # Again from the cache, with the hub gone.
    hub.calls.clear()
    assert np.array_equal(load(locate("hf:me/faces", offline=True)).generate([1]), found.generate([1]))
    assert hub.calls == []
    assert main(["generate", "--network", "hf:me/faces", "--seeds", "0", "--output", f"{tmp_path}/a.png"]) == 0


def test_only_known_files_of_bounded_size_are_fetched(hub, tiny_run, capsys):
    assert main(["push", str(tiny_run), "hf:me/faces", "--dtype", "bf16"]) == 0, capsys.readouterr()
    hub.repositories["me/faces"] |= {"evil.py": b"print()", "pytorch_model.bin": b"\x80", "deep/config.json": b"{}"}
    path = locate("hf:me/faces")
    assert {file.name for file in path.rglob("*")} == {"config.json", "checksums.json", "ema.safetensors"}
    assert not [call for call in hub.calls if "evil" in call or "pytorch" in call]
    hub.sizes["ema.safetensors"] = 1 << 42
    with pytest.raises(UserError, match=r"ema\.safetensors has 4,194,304 MB, more than the 4,096 that it may have"):
        locate("hf:me/faces")


def test_what_is_not_as_it_was_written(hub, tiny_run, capsys):
    assert main(["push", str(tiny_run), "hf:me/faces"]) == 0, capsys.readouterr()
    files = hub.repositories["me/faces"]
    files["ema.safetensors"] = files["ema.safetensors"][:-1] + b"\x7f"
    with pytest.raises(UserError, match="broken checkpoint"):
        load("hf:me/faces")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hf:me/nothing", "hf:me/nothing: there is no such network, or it is private"),
        ("hf:me/other", "hf:me/other: holds no network of Organza \\(config.json is missing\\)"),
        ("hf:me", "hf:me: is no network of the hub; write hf:user/name"),
        ("hf:../..", "is no network of the hub"),
        ("hf:me/faces/x", "is no network of the hub"),
    ],
)
def test_what_is_no_network(text, line, hub):
    hub.repositories["me/other"] = {"model.bin": b"x"}
    with pytest.raises(UserError, match=line):
        locate(text)


def test_offline_and_without_the_hub(hub, monkeypatch, tiny_run):
    with pytest.raises(UserError, match="is not downloaded yet, and the hub can't be reached; go online once"):
        locate("hf:me/faces", offline=True)
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    with pytest.raises(UserError, match="is not downloaded yet"):
        locate("hf:me/faces")
    from organza.weights.push import push

    with pytest.raises(UserError, match="offline, so nothing can be sent"):
        push(tiny_run, "hf:me/faces")
    assert hub.calls == []


def test_who_may_push(hub, tiny_run, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(tiny_run), "hf:me/faces"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "run `hf auth login`" in said, said
    assert main(["push", str(tiny_run), "hf:me/faces@v1"]) == 2
    assert "a revision can't be chosen" in capsys.readouterr().err


def test_without_the_client(monkeypatch, tiny_run):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UserError, match=r'need the package huggingface_hub; install it with pip install "organza\[hub\]"'
    ):
        locate("hf:me/faces")
