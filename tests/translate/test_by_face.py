"""Who chooses the model of a training in stages, and what is known of faces by the network itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from organza import UserError
from organza.data.dataset import open_dataset
from organza.data.photo import Photo
from organza.models.people import find_faceres, known_of
from organza.translate.by_face import chooser
from organza.translate.faces.pipeline import translating

SHARED = Path(__file__).parents[3] / "shared"
FACERES, PORTRAITS = SHARED / "weights/faces/faceres.onnx", SHARED / "data/portraits_pd.zip"


@pytest.mark.skipif(not (FACERES.is_file() and PORTRAITS.is_file()), reason="needs ../shared")
def test_sexes_of_portraits_are_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(PORTRAITS) as archive:
        rows = [json.loads(line) for line in archive.read("attributes.jsonl").splitlines()]
        some = [row for sex in ("female", "male") for row in [r for r in rows if r.get("gender") == sex][:5]]
        for row in some:
            file = tmp_path / "set" / Path(row["file"]).name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(archive.read(row["file"]))
    dataset = open_dataset(tmp_path / "set", cache_dir=tmp_path / "cache")
    wanted = {Path(row["file"]).name: row["gender"] for row in some}
    found = known_of(dataset, FACERES, (15.0, 40.0))
    right = [known["sex"] == wanted[name] for name, known in zip(dataset.names, found, strict=True)]
    assert sum(right) >= 9
    assert "child" not in {known["age"] for known in found}
    assert known_of(dataset, Path(FACERES), (99.0, 100.0))[0]["age"] == "child"  # other ages, the same looks


def test_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "cache"))
    for where in (tmp_path / "w", None):
        with pytest.raises(UserError, match="holds no network that knows ages"):
            find_faceres(where)
    for root in (tmp_path / "w", tmp_path / "cache/weights"):
        (root / "faces").mkdir(parents=True)
        (root / "faces/faceres.onnx").write_bytes(b"")
    assert (
        find_faceres(tmp_path / "w")
        == find_faceres(tmp_path / "w/faces/faceres.onnx")
        == find_faceres(tmp_path / "w/faces")
    )
    assert find_faceres() == tmp_path / "cache/weights/faces/faceres.onnx"


def test_other_networks_have_nothing_to_choose(tiny_run: Path) -> None:
    assert chooser(tiny_run) is None
    with pytest.raises(UserError, match="was not trained in stages, so no face chooses a model"):
        chooser(tiny_run, "weights", insist=True)


def test_a_cartoonist_asks_for_each_face(translator: Any) -> None:
    from dataclasses import replace

    other = replace(translator, name="BtoA")
    asked: list[Photo] = []

    def choose(photo: Photo) -> Any:
        asked.append(photo)
        return other

    crop = np.full((16, 16, 3), 200, np.uint8)
    made = translating(translator, choose)(crop)
    assert np.array_equal(asked[0].pixels, crop) and np.array_equal(made, other.photo(crop).eight())
