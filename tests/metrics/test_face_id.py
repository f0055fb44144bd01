"""Whether translations are the same people: against a plain recomputation, with a small network of faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.data import open_domains
from organza.data.options import DomainOptions
from organza.metrics import evaluate
from organza.metrics.by_faces import kept
from organza.metrics.names import parse_metric
from organza.vision.face_id import open_face_id
from organza.vision.face_id.mobilefacenet import MobileFaceNet
from tests.shapes import toy


@pytest.fixture(scope="module")
def faces_file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    net = MobileFaceNet(4, [(4, 4)] * 3, [4] * 3, [1, 1, 1], 8, 8)
    path = tmp_path_factory.mktemp("weights") / "faces" / "mobilefacenet.pth"
    path.parent.mkdir()
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for side in ("A", "B"):
        (folder / side).mkdir()
        for n in range(5):
            image = np.random.RandomState(n).randint(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(image).save(folder / side / f"{n}.png")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    outdir = tmp_path_factory.mktemp("runs")
    return train(toy("cyclegan"), data, outdir=outdir, batch=2, grid="2x1", kimg=0.002, resolution="32").folder


def test_the_figures_are_plain_means(run, data, faces_file):
    T, domains = organza.load(run), open_domains(data, DomainOptions(resolution="32"))
    report = evaluate(T, domains, "face_id,content", face_id=faces_file, batch=2)
    net, vectors = open_face_id(faces_file), []
    for index in range(5):
        source = torch.from_numpy(domains.source.fetch([index])[0]).permute(0, 3, 1, 2).float() / 127.5 - 1
        made = (T.apply(source) * 127.5 + 128).clamp(0, 255).byte().float() / 127.5 - 1
        with torch.no_grad():
            vectors.append((net(source)[0].double(), net(made)[0].double()))
    cosines = np.array([[float(made @ other) for other, _ in vectors] for _, made in vectors])
    assert report["face_id"] == pytest.approx(np.diag(cosines).mean(), abs=1e-6)
    assert report["face_id_others"] == pytest.approx(cosines[~np.eye(5, dtype=bool)].mean(), abs=1e-6)
    assert report["face_id_first"] == pytest.approx((cosines.argmax(1) == np.arange(5)).mean())
    assert list(report.figures)[:3] == ["face_id", "face_id_others", "face_id_first"]
    assert report.figures["face_id"].interval is not None and report.figures["face_id"].network == faces_file.name
    same = replace(T, model=replace(T.model, apply=lambda net, x, labels, z: x))
    perfect = evaluate(same, domains, "face_id_3", face_id=faces_file.parents[1])
    assert perfect["face_id_3"] == pytest.approx(1) and perfect["face_id_3_first"] == 1


def test_names_and_errors(run, data, faces_file, tiny_run, faces, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    assert parse_metric("face_id_200").count == 200 and parse_metric("face_id_others") == parse_metric("face_id")
    assert parse_metric("face_id_2k").title("face_id") == "face_id_2k"
    words = ["evaluate", "--network", str(run), "--data", str(data), "--metrics", "face_id"]
    assert main([*words, "--weights-dir", str(faces_file.parents[1])]) == 0
    assert "face_id_others" in capsys.readouterr().out
    for more, message in (
        ([], "face_id compares faces by a network that does not come with Organza; say --weights-dir FOLDER"),
        (["--face-id", str(tmp_path / "no.pth")], "no.pth: does not exist"),
        (["--weights-dir", str(data)], "holds no network for faces"),
    ):
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    with pytest.raises(UserError, match="face_id compares translations"):
        evaluate(organza.load(tiny_run), organza.open_dataset(faces), "face_id", face_id=faces_file)
    one, others, first = kept(torch.eye(3)[:2], torch.eye(3)[1:])
    assert (one.tolist(), others.tolist(), first.tolist()) == ([0, 0], [1, 0], [0, 0])


def test_a_training_logs_it(data, faces_file, tmp_path):
    options = {"batch": 2, "grid": "2x1", "kimg": 0.002, "resolution": "32", "metrics": "face_id", "metrics_share": 1.0}
    run = toy("photo2cartoon")
    run = replace(run, method=replace(run.method, face_weight=1.0, face_id=str(faces_file)))
    folder = train(run, data, outdir=tmp_path, **options).folder
    log = (folder / "log.jsonl").read_text()
    assert '"metrics/face_id"' in log and '"metrics/face_id_others"' in log and '"terms/face"' in log
