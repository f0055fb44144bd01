"""The whole way of `bench/attributes.py` at a small size: from drawn faces to edits that do what they say."""

import importlib.util
from pathlib import Path

import pytest

from organza import load, preset, train
from organza.data.drawn_faces.files import write_faces
from organza.runs.plan import override

BENCH = Path(__file__).parents[2] / "bench" / "attributes.py"


@pytest.mark.slow
def test_directions_change_their_attribute_and_leave_the_others(tmp_path):
    spec = importlib.util.spec_from_file_location("attributes", BENCH)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    data = write_faces(tmp_path / "faces.zip", 2000, 16)
    run = override(preset("stylegan2-demo").run, {"kimg": 12, "resolution": "16"})
    G = load(train(run, data, outdir=tmp_path / "runs").folder)
    rows = {
        row["attribute"]: row["as needed"]
        for row in bench.run(G, samples=1500, pictures=100, faces=3000, epochs=6, psi=0.7)
    }
    # Large and flat things are learnt first.
    for name in ("dark-skin", "dark-background"):
        assert rows[name]["changed"] > 0.9 and rows[name]["kept"] > 0.8
