"""Every endpoint, against the library's own answers."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient

from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.media.images import make_grid
from organza.web.app import make_app
from organza.web.limits import Limits
from organza.web.served import Served, named, open_networks, serve
from tests.web.conftest import at_a_port, pixels, png, toy, until


def images_of(answer):
    return [pixels(base64.b64decode(each["png"])) for each in answer.json()["images"]]


def test_health_and_networks(client):
    assert client.get("/health").json() == {"status": "ok"}
    about = {each["name"]: each for each in client.get("/v1/networks").json()["networks"]}
    assert about["plain"] | {"does": "generate", "height": 16, "width": 16, "labels": 0} == about["plain"]
    assert about["classes"]["label_names"] == ["cat", "dog", "owl"] and about["classes"]["labels"] == 3
    assert about["words"]["text"] and about["words"]["labels"] == 0
    assert about["star"]["does"] == "translate" and about["star"]["targets"] == ["Smile", "Young"]


@pytest.mark.parametrize("more", [{}, {"psi": 0.5}, {"psi": 0.3, "cutoff": 2}, {"noise": "none"}, {"noise": "random"}])
def test_generate_is_what_the_library_generates(client, networks, more):
    G = networks["plain"]
    answer = client.post("/v1/plain/generate", json={"seeds": [7, 2**32 - 1], "format": "json", **more})
    assert answer.status_code == 200, answer.text
    assert [each["seed"] for each in answer.json()["images"]] == [7, 2**32 - 1]
    np.testing.assert_array_equal(np.stack(images_of(answer)), G.generate([7, 2**32 - 1], batch=1, **more))


def test_png_is_one_image_or_a_grid(client, networks):
    one = client.post("/v1/plain/generate", json={"seeds": [3]})
    assert one.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(one.content), networks["plain"].generate([3])[0])
    grid = client.post("/v1/plain/generate", json={"seeds": [3, 4, 5]})
    np.testing.assert_array_equal(pixels(grid.content), make_grid(networks["plain"].generate([3, 4, 5], batch=1)))


@pytest.mark.parametrize(
    ("asked", "labels"),
    [({"class": 1}, 1), ({"class": "owl"}, 2), ({"class": [2, 0]}, [2, 0]), ({"label": [0, 0.5, 0.5]}, [0, 0.5, 0.5])],
)
def test_classes_by_number_name_and_vector(client, networks, asked, labels):
    answer = client.post("/v1/classes/generate", json={"seeds": [0, 1], "format": "json", **asked})
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.stack(images_of(answer)), networks["classes"].generate([0, 1], labels, batch=1))


def test_text(client, networks):
    asked = {"seeds": [0, 1], "text": ["pink hair", "blonde hair"], "format": "json"}
    answer = client.post("/v1/words/generate", json=asked)
    assert answer.status_code == 200, answer.text
    expected = networks["words"].generate([0, 1], text=["pink hair", "blonde hair"], batch=1)
    np.testing.assert_array_equal(np.stack(images_of(answer)), expected)


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("plain", {"seeds": [0], "class": 1}, "this network has no classes"),
        ("plain", {"seeds": [0], "text": "pink"}, "this network takes no text"),
        ("plain", {"seeds": [0], "cutoff": 99}, "a cutoff of 99; this network has"),
        ("plain", {"seeds": list(range(65))}, "65 images; ask for at most 64"),
        ("plain", {"seeds": [-1]}, "seeds.0: "),
        ("plain", {"seeds": [0], "sedes": 1}, "sedes: "),
        ("plain", {"seeds": [True]}, "seeds.0: "),
        ("plain", {"seeds": [0], "psi": "0.5"}, "psi"),
        ("plain", {}, "seeds: "),
        ("classes", {"seeds": [0]}, "this network needs a label of 3 numbers"),
        ("classes", {"seeds": [0], "class": 3}, "class 3 is not from 0 to 2"),
        ("classes", {"seeds": [0], "class": "cow"}, "there is no 'cow'; "),
        ("classes", {"seeds": [0], "class": 1, "label": [0, 1, 0]}, "class and label say the same"),
        ("classes", {"seeds": [0, 1, 2], "class": [0, 1]}, "2 classes for 3 seeds"),
        ("words", {"seeds": [0]}, "this network makes images from text"),
        ("words", {"seeds": [0], "text": "blond"}, "did you mean blonde?"),
    ],
)
def test_what_a_network_does_not_take(client, name, asked, said):
    answer = client.post(f"/v1/{name}/generate", json=asked)
    assert answer.status_code == 422
    assert said in answer.json()["error"] and "\n" not in answer.text


@pytest.mark.parametrize("size", ["trained", "own", "12x20"])
def test_translate_is_what_the_library_translates(client, networks, size):
    sent, T = png(24, 20), networks["paint"]
    answer = client.post("/v1/paint/translate", params={"size": size}, content=sent)
    assert answer.status_code == 200, answer.text
    wanted = T.photo(T.read(sent_as_image(sent)), size=(12, 20) if size == "12x20" else size).eight()
    np.testing.assert_array_equal(pixels(answer.content), wanted)


def sent_as_image(data):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(data))


def test_translate_with_a_style_code_is_of_the_seed(client):
    sent = png()
    first, again, other = (
        client.post("/v1/dice/translate", params={"seed": seed}, content=sent).content for seed in (1, 1, 2)
    )
    assert first == again != other


def test_translate_to_targets(client, networks):
    answer = client.post("/v1/star/translate", params={"target": "Young, no Smile", "format": "json"}, content=png())
    (found,) = images_of(answer)
    wanted = networks["star"].photo(sent_as_image(png()), target="Young, no Smile").eight()
    np.testing.assert_array_equal(found, wanted)
    missing = client.post("/v1/star/translate", content=png())
    assert missing.status_code == 422 and "choose of Smile, Young" in missing.json()["error"]
    unknown = client.post("/v1/star/translate", params={"target": "Yuong"}, content=png())
    assert unknown.status_code == 422 and "did you mean Young?" in unknown.json()["error"]


@pytest.mark.parametrize(
    ("name", "asked"),
    [("paint", {"target": "Young"}), ("paint", {"class": 0}), ("star", {"target": "Young", "class": 1})],
)
def test_targets_that_mean_nothing(client, name, asked):
    assert client.post(f"/v1/{name}/translate", params=asked, content=png()).status_code == 422


def test_translate_to_a_class(client, networks):
    answer = client.post("/v1/star/translate", params={"class": 1}, content=png())
    wanted = networks["star"].photo(sent_as_image(png()), 1).eight()
    np.testing.assert_array_equal(pixels(answer.content), wanted)


def test_transparency_stays(client):
    answer = client.post("/v1/paint/translate", content=png(mode="RGBA"))
    assert pixels(answer.content).shape[2] == 4


def test_errors_are_json(client):
    for answer, status in [
        (client.post("/v1/nothing/generate", json={"seeds": [0]}), 404),
        (client.post("/v1/plain/translate", content=png()), 404),
        (client.get("/nowhere"), 404),
        (client.get("/v1/plain/generate"), 405),
        (client.post("/v1/plain/generate", content=b"{", headers={"content-type": "application/json"}), 400),
    ]:
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]


def test_metrics_count(client):
    client.post("/v1/plain/generate", json={"seeds": [0, 1, 2]})
    client.post("/v1/plain/generate", json={"seeds": []})
    client.post("/v1/plain/generate", json={"seeds": [0], "class": 1})
    lines = client.get("/metrics").text.splitlines()
    assert 'organza_requests_total{network="plain",status="200"} 1.0' in lines
    assert 'organza_requests_total{network="plain",status="422"} 1.0' in lines  # what is no request is not counted
    assert 'organza_images_total{network="plain"} 3.0' in lines
    assert 'organza_waiting{network="plain"} 0.0' in lines
    assert 'organza_seconds_count{network="plain"} 1.0' in lines


def test_the_description_names_every_network(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/plain/generate", "/v1/star/translate", "/health", "/metrics", "/v1/networks"} <= set(paths)
    assert set(paths["/v1/plain/generate"]["post"]["responses"]["200"]["content"]) == {"image/png", "application/json"}
    assert "cat, dog, owl" in paths["/v1/classes/generate"]["post"]["description"]


def test_many_at_once_get_their_own(networks):
    G = networks["plain"]
    expected = G.generate(range(32), batch=1)
    wrong = []
    app = make_app({"plain": serve("plain", G, Limits(lanes=2))})
    with at_a_port(app) as (host, port):

        def ask(seed):
            connection = http.client.HTTPConnection(host, port, timeout=30)
            for _ in range(2):
                body = json.dumps({"seeds": [seed]})
                connection.request("POST", "/v1/plain/generate", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                if answer.status != 200 or (pixels(answer.read()) != expected[seed]).any():
                    wrong.append(seed)
            connection.close()

        threads = [threading.Thread(target=ask, args=[seed]) for seed in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong


class Held:
    """A network whose lanes wait until they are let go."""

    def __init__(self, G, limits):
        self.go, self.entered = threading.Event(), threading.Event()
        served = serve("held", G, limits)
        inner = served.lanes._compute

        def compute(asks):
            self.entered.set()
            assert self.go.wait(20)
            return inner(asks)

        served.lanes._compute = compute
        self.served: Served = served


def request(port, seeds):
    body = json.dumps({"seeds": seeds}).encode()
    head = f"POST /v1/held/generate HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_full_queue_says_when_to_come_again_and_the_end_answers_what_waits(networks):
    held = Held(networks["plain"], Limits(lanes=1, queue=4))
    with TestClient(make_app({"held": held.served}), base_url="http://localhost") as client:
        answers = []

        def ask(seeds):
            answers.append(client.post("/v1/held/generate", json={"seeds": seeds}).status_code)

        threads = [threading.Thread(target=ask, args=[seeds]) for seeds in ([0], [1, 2, 3])]
        for thread in threads:
            thread.start()
            assert held.entered.wait(10)
        until(lambda: held.served.lanes.waiting == 3)
        full = client.post("/v1/held/generate", json={"seeds": [4, 5]})
        assert full.status_code == 503
        assert 1 <= int(full.headers["retry-after"]) <= 60
        assert "come again" in full.json()["error"]
        held.go.set()
        for thread in threads:
            thread.join(20)
        assert answers == [200, 200]
        assert client.post("/v1/held/generate", json={"seeds": [4, 5]}).status_code == 200


def test_who_hangs_up_leaves_the_queue(networks):
    held = Held(networks["plain"], Limits(lanes=1))
    with at_a_port(make_app({"held": held.served})) as (host, port):
        first, second = (socket.create_connection((host, port)) for _ in range(2))
        first.sendall(request(port, [0]))
        assert held.entered.wait(10)
        second.sendall(request(port, [1, 2, 3]))
        until(lambda: held.served.lanes.waiting == 3)
        second.close()
        until(lambda: held.served.lanes.waiting == 0)
        held.go.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200")
        first.close()


def test_what_takes_too_long_is_given_up(networks):
    limits = Limits(lanes=1, timeout=0.2)
    held = Held(networks["plain"], limits)
    with TestClient(make_app({"held": held.served}, limits), base_url="http://localhost") as client:
        answer = client.post("/v1/held/generate", json={"seeds": [0, 1, 2]})
        assert answer.status_code == 503 and answer.json() == {"error": "it took too long"}
        assert held.served.lanes.waiting == 0
        held.go.set()


def test_a_fault_is_a_line_too(networks):
    served = serve("broken", networks["plain"])

    def broken(asks):
        raise ZeroDivisionError("secret")

    served.lanes._compute = broken
    app = make_app({"broken": served})
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/v1/broken/generate", json={"seeds": [0]})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.status_code == 500 and "secret" not in answer.text and list(answer.json()) == ["error"]
        assert client.get("/health").status_code == 200


def test_answers_have_a_most():
    G = toy("dcgan", DataSpec((16, 16), 3))
    app = make_app({"few": serve("few", G)}, Limits(images=2))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.post("/v1/few/generate", json={"seeds": [0, 1]}).status_code == 200
        assert client.post("/v1/few/generate", json={"seeds": [0, 1, 2]}).json() == {
            "error": "3 images; ask for at most 2 at a time"
        }


def test_names():
    assert [each.name for each in named(["runs/a b", "x=y=z", "models/ffhq.pkl"])] == ["a-b", "x", "ffhq"]
    for words in (["a", "b/a"], [], ["/"], ["x="]):
        with pytest.raises(UserError):
            named(words)


def test_both_ways_of_a_translator(networks, monkeypatch):
    def load(path, *, model=None, device=None, precision="auto"):
        return replace(networks["paint"], name=model or "AtoB", names=("AtoB", "BtoA"))

    monkeypatch.setattr("organza.web.served.load", load)
    found = open_networks(["art=x"])
    assert {name: served.about()["model"] for name, served in found.items()} == {"art": "AtoB", "art-BtoA": "BtoA"}
    with pytest.raises(UserError, match="two networks are called art-BtoA"):
        open_networks(["art=x", "art-BtoA=y"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--network x", "does not exist"),
        ("--network x --host 0.0.0.0", "a token is needed"),
        ("--network x --host 0.0.0.0 --token short", "a token has 16 to 256"),
        ("--network x --host 203.0.113.1 --token a-token-of-some-length", "can't listen there"),
        ("--network a=x b/a --network a=y", "two networks are called a"),
        ("--network grün=x", "'grün' can't be a part of an address"),
        ("--network x --batch 0", "--batch"),
        ("--network x --timeout nan", "--timeout"),
    ],
)
def test_what_the_command_refuses(words, said, capsys, monkeypatch):
    monkeypatch.delenv("ORGANZA_TOKEN", raising=False)
    assert main(["serve", "--port", "0", *words.split()]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_the_command_serves_until_it_is_told_to_stop(tiny_run, tmp_path):
    words = [sys.executable, "-m", "organza", "serve", "--network", f"toy={tiny_run}", "--port", "0", "--lanes", "1"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    asking = socket.socket()
    try:
        line = ""
        while "serving" not in line:
            line = process.stderr.readline()
            assert line, process.wait(10)
        port = int(line.split(":")[2].split(";")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/v1/toy/generate", '{"seeds": [5]}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200 and pixels(answer.read()).shape == (16, 16, 3)
        connection.close()
        asking.connect(("127.0.0.1", port))
        asking.sendall(request(port, list(range(64))).replace(b"held", b"toy"))
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert asking.recv(100).startswith(b"HTTP/1.1 200")  # what had come is answered
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out == "" and err.splitlines()[-1].startswith("stopped")
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.communicate()
        asking.close()
