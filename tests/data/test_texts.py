"""Captions come to a training as tokens; which is shown is a function of the position. Vectors find their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from organza import UserError, open_dataset
from organza.contract.data import DataSpec
from organza.contract.texts import captions_as_tokens, text_as_tokens, vocabulary, words_of
from organza.data.loader import Loader
from organza.data.material import open_material
from organza.data.options import CaptionedOptions
from organza.data.texts import texts_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images with captions in files beside them; the first has three."""
    said = ["Red hair!\nhair, red\n\nblue", "blue eyes", "a blue, blue hat", "red"]
    for number, text in enumerate(said):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(text)
    return tmp_path


def test_a_vocabulary_is_the_captions_words(folder: Path) -> None:
    texts = texts_of(open_dataset(folder, CaptionedOptions()))
    assert texts.words == ("a", "blue", "eyes", "hair", "hat", "red")
    assert texts.starts.tolist() == [0, 3, 4, 5, 6]
    assert texts.rows.tolist()[:3] == [[6, 4, 0, 0], [4, 6, 0, 0], [2, 0, 0, 0]]


def test_which_caption_is_shown_follows_from_the_position(folder: Path) -> None:
    material = open_material(folder, CaptionedOptions(), "captioned")
    assert (material.spec.text_length, len(material.spec.words), material.spec.count) == (4, 6, 4)
    with material.loader(seed=3) as loader:
        shown = [loader.batch(4 * step, 4) for step in range(40)]
    with material.loader(seed=3) as loader:
        later = loader.batch(4 * 17, 4)
    assert np.array_equal(later.text, shown[17].text)
    texts = texts_of(material.target)
    seen: dict[int, set[tuple[int, ...]]] = {number: set() for number in range(4)}
    for batch in shown:
        for image, row in zip(batch.images, batch.text.tolist(), strict=True):
            seen[round((image[0, 0, 0].item() + 1) * 127.5) // 40].add(tuple(row))
    for number, rows in seen.items():
        assert rows == {tuple(row) for row in texts.rows[texts.starts[number] : texts.starts[number + 1]].tolist()}
    examples = material.examples(6)
    assert examples.text.shape == (6, 4) and examples.part(2, 4).text.shape == (2, 4)


def test_two_processes_share_the_texts(folder: Path) -> None:
    dataset = open_dataset(folder, CaptionedOptions())
    texts, parts = texts_of(dataset), []
    with Loader(dataset, seed=0, texts=texts) as loader:
        whole = loader.batch(8, 4).text
    for rank in (0, 1):
        with Loader(dataset, seed=0, texts=texts, rank=rank, world=2) as loader:
            parts.append(loader.batch(8, 4).text)
    assert np.array_equal(np.concatenate(parts), whole)


def test_words() -> None:
    assert words_of("It's MINE\u2019s, 2-3 caf\u00e9s_x") == ["it's", "mine\u2019s", "2", "3", "caf\u00e9s", "x"]
    assert words_of(" \u2026!?") == []
    assert captions_as_tokens([], ()).shape == (0, 0)
    assert vocabulary([]) == ()


def test_other_methods_take_no_notice(folder: Path) -> None:
    material = open_material(folder, CaptionedOptions(), "images")
    assert material.spec.words == () and material.examples(1).text is None


@pytest.mark.parametrize("text", ["", "?", "\n", "zzz", "a " * 5, "blew", "\x1b[2J"])
def test_a_text_that_can_not_be_read_is_one_line(text: str) -> None:
    spec = DataSpec((8, 8), words=("a", "blue"), text_length=3)
    with pytest.raises(UserError) as error:
        text_as_tokens(spec, [text])
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)
