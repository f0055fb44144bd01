"""Failures of translators that no loss tells."""

from __future__ import annotations

import numpy as np

import organza
from organza import train
from organza.training import monitor
from organza.training.diagnosis import checkerboard, findings
from tests.shapes import toy


def noise(seed: int, level: float = 60, size: int = 32) -> np.ndarray:
    """Smooth images with some texture."""
    rng = np.random.RandomState(seed)
    coarse = rng.rand(4, size // 8, size // 8, 3).repeat(8, 1).repeat(8, 2)
    return np.clip(40 + coarse * 150 + rng.randn(4, size, size, 3) * level / 8, 0, 255).astype(np.uint8)


def names(shown, records=()):
    return [name for name, _ in findings(shown, records)]


def test_healthy_images_have_no_findings():
    assert names({"source": noise(0), "output": noise(1), "target": noise(2), "cycle": noise(3)}) == []
    assert names({"samples": noise(0)}) == []


def test_outputs_that_equal_their_sources():
    source = noise(0)
    assert names({"source": source, "output": source + 1, "target": noise(1)}) == ["identity"]
    assert names({"source": source, "output": source, "target": source + 2}) == []  # as they should be


def test_exchanged_brightness_matters_where_nothing_else_holds_it():
    source = noise(0)
    shown = {"source": source, "output": 255 - source, "target": noise(1)}
    assert names({**shown, "cycle": source}) == ["inverted"] and names(shown) == []


def test_a_checkerboard():
    board = (np.indices([32, 32]).sum(0) % 2 * 30 - 15)[None, ..., None]
    output = np.clip(noise(1).astype(int) + board, 0, 255).astype(np.uint8)
    assert names({"source": noise(0), "output": output, "target": noise(2)}) == ["checkerboard"]
    stripes = np.clip(noise(1).astype(int) + (np.arange(32) % 2 * 30 - 15)[:, None], 0, 255).astype(np.uint8)
    assert checkerboard(stripes) > 10 * checkerboard(noise(1))
    assert checkerboard(np.zeros([2, 1, 1, 3], np.uint8)) == 0


def test_style_codes_without_effect():
    one = noise(0)
    assert names({"source": one, "sample 1": one, "sample 2": one}) == ["style"]
    assert names({"source": one, "sample 1": noise(1), "sample 2": noise(2)}) == []


def test_a_discriminator_that_has_won():
    def ticks(values):
        return [{"loss/D_A": value, "loss/D_B": 0.2, "loss/G": 0.0, "images_per_second": 1.0} for value in values]

    assert names({}, ticks([0.2] + [0.001] * 5)) == ["won/D_A"]
    assert names({}, ticks([0.001] * 4)) == [] and names({}, ticks([0.001] * 4 + [0.3])) == []
    assert names({}, ticks([-3.0] * 6)) == []  # a critic's loss is no probability


def test_a_training_says_it_once(pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(monitor, "findings", lambda shown, records: [("odd", f"something odd in {sorted(shown)}")])
    options = {"batch": 4, "grid": "2x2", "kimg": 0.012, "snapshot_kimg": 0.004, "resolution": "16", "metrics": "none"}
    train(toy("pix2pix"), pairs, outdir=tmp_path, **options)
    assert capsys.readouterr().err.count("warning: something odd in ['output', 'source', 'target']") == 1


def test_drawn_faces_are_no_checkerboards(faces):
    assert checkerboard(organza.open_dataset(faces).fetch(np.arange(8))[0]) < 0.02
