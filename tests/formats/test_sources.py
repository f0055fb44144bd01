"""Weights from addresses and by name: fetched once, checked, and never when offline."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import organza
from organza.cli.main import main
from organza.core.errors import UserError
from organza.formats import PUBLISHED, locate, sources
from tests import golden

FOLDER = golden.HERE / "nvidia_tf_pkl" / "sg2ada_tf_cond5_32"
NAME = "network-final.pkl"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ORGANZA_OFFLINE", raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(FOLDER)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{NAME}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_addresses_are_fetched_once(address):
    G = organza.load(address)
    assert G.resolution == (32, 32)
    assert locate(address, offline=True).read_bytes() == (FOLDER / NAME).read_bytes()
    assert locate(Path(address), offline=True).name == NAME  # a path has lost one of the slashes


def test_offline(address, monkeypatch, capsys):
    with pytest.raises(UserError, match="offline"):
        locate(address, offline=True)
    never = "https://example.com/network.pkl"
    for line in (
        f"inspect {never}",
        f"convert {never} --dest x",
        f"generate --network {never}",
        f"interpolate --network {never}",
        f"truncation --network {never}",
        f"mix --network {never} --rows 1 --columns 2",
        f"dataset info {never}",
        "dataset info gs://bucket/a.zip",
        "dataset fetch mnist",
        f"train dcgan --data {never}",
    ):
        assert main([*line.split(), "--offline"]) == 2, line
        assert "not downloaded yet, and offline" in capsys.readouterr().err, line
        assert "ORGANZA_OFFLINE" not in os.environ
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    with pytest.raises(UserError, match="offline"):
        organza.load("ffhq256")
    assert main(["inspect", address]) == 2
    assert os.environ["ORGANZA_OFFLINE"] == "1"


def test_help_tells_of_offline(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "--offline" in capsys.readouterr().out


def test_checksums(address, monkeypatch):
    right = hashlib.sha256((FOLDER / NAME).read_bytes()).hexdigest()
    monkeypatch.setitem(sources.PUBLISHED, "right", sources.Published(address, right))
    monkeypatch.setitem(sources.PUBLISHED, "wrong", sources.Published(address + "?", "0" * 64))
    assert organza.load("right").resolution == (32, 32)
    with pytest.raises(UserError, match="checksum"):
        organza.load("wrong")


def test_names():
    assert all(network.address.startswith("https://") for network in PUBLISHED.values())
    with pytest.raises(UserError, match="ffhq256"):
        organza.load("ffhq255")
    wanted = {"ffhq256", "ffhq512", "ffhq1024", "ffhqu256", "ffhqu1024", "afhqcat512", "afhqv2", "metfacesu1024"}
    wanted |= {"cifar10", "cifar10u", "brecahad512", "car-config-f", "stylegan3-t-ffhq-1024x1024"}
    wanted |= {"stylegan3-r-ffhqu-256x256", "stylegan3-r-afhqv2-512x512", "stylegan3-t-metfacesu-1024x1024"}
    assert wanted <= PUBLISHED.keys()
    with pytest.raises(UserError, match="no network is kept under this name"):
        organza.load("anime")
    with pytest.raises(UserError, match="does not exist"):
        organza.load("nothing/here")


def test_commands(tmp_path, capsys):
    file = str(FOLDER / NAME)
    assert main(["inspect", file]) == 0
    said = capsys.readouterr().out
    assert "TensorFlow" in said
    assert "non-commercial" in said
    assert main(["convert", file, "--dest", str(tmp_path / "net")]) == 0
    assert "non-commercial" in capsys.readouterr().err
    for network in (file, str(tmp_path / "net")):
        out = tmp_path / "pictures"
        assert main(["generate", "--network", network, "--seeds", "0", "--class", "1", "--outdir", str(out)]) == 0
        assert (out / "seed0000.png").exists()
    assert main(["inspect", str(golden.HERE / "evil" / "os_system.pkl")]) == 0
    assert "system, which was not run" in capsys.readouterr().out
    assert main(["inspect", str(golden.HERE / "evil" / "truncated.pkl")]) == 2
