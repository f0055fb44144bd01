"""Names of labels travel with a checkpoint, and name classes of generators and translators."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.core.config import from_plain, to_plain
from organza.data.dataset import open_dataset
from organza.data.drawn_faces.files import choices_of
from organza.data.options import DataOptions
from tests.conftest import tiny
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x2", "kimg": 0.008, "metrics": "none"}


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    return train(toy("stylegan2"), faces, outdir=tmp_path_factory.mktemp("runs"), labels="own", **SHORT).folder


def test_a_generator_takes_a_class_by_its_name(run, faces):
    G = organza.load(run)
    names = G.spec.label_names
    assert names == choices_of("hair_colour")[: len(names)] or len(names) > 1
    assert open_dataset(faces, DataOptions(labels="own")).spec.label_names == names
    assert np.array_equal(G.generate([0, 1], labels=names[1]), G.generate([0, 1], labels=1))
    assert not np.array_equal(G.generate([0], labels=names[1]), G.generate([0], labels=names[0]))
    with pytest.raises(UserError, match=rf"there is no '{names[1]}x'; did you mean {names[1]}"):
        G.generate([0], labels=names[1] + "x")


def test_on_the_command_line(run, tmp_path, capsys):
    names = organza.load(run).spec.label_names
    base = ["generate", "--network", str(run), "--seeds", "0", "--precision", "float32", "--outdir", str(tmp_path)]
    assert main([*base, "--class", names[1]]) == 0
    (one,) = tmp_path.glob("*.png")
    first = one.read_bytes()
    assert main([*base, "--class", "1"]) == 0
    assert one.read_bytes() == first
    capsys.readouterr()
    assert main([*base, "--class", "xyzzy"]) == 2
    assert "there is no 'xyzzy'; choose of " in capsys.readouterr().err
    assert main(["inspect", str(run)]) == 0
    assert names[0] in capsys.readouterr().out


def test_specs_of_before_have_no_names(run):
    spec = organza.load(run).spec
    plain = to_plain(spec)
    assert from_plain(DataSpec, plain) == spec
    del plain["label_names"], plain["label_sets"]
    assert from_plain(DataSpec, plain) == replace(spec, label_names=(), label_sets=())


def test_a_run_of_before_is_continued(faces, tmp_path):
    options = {**SHORT, "labels": "own", "lr_decay": 0.0}
    folder = train(toy("stylegan2"), faces, outdir=tmp_path, **options).folder
    config = json.loads((folder / "config.json").read_text())
    del config["spec"]["label_names"], config["spec"]["label_sets"]
    (folder / "config.json").write_text(json.dumps(config))
    assert train(toy("stylegan2"), faces, outdir=tmp_path, **{**options, "kimg": 0.012}).folder == folder


def test_attributes_by_name():
    G = tiny(DataSpec((16, 16), 3, 4, label_names=("old", "hat=blue", "hat=red", "hat=none")))
    assert np.array_equal(G.generate([1], "old, hat=red"), G.generate([1], [[1, 0, 1, 0]]))
    assert not np.array_equal(G.generate([1], "old, hat=red"), G.generate([1], "hat=red"))
    with pytest.raises(UserError, match="hat=blue and hat=red exclude each other"):
        G.generate([1], "hat=blue, hat=red")
    with pytest.raises(UserError, match="there is no 'hat=green'"):
        G.generate([1], "hat=green")
