"""Text on the command line: from a table of captions to a grid of images, and one line where something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from organza.cli.main import main
from organza.presets import preset
from tests.cli.test_options import toy_words

QUICK = ["--kimg", "0.032", "--batch", "8", "--grid", "2x1", "--metrics", "none"]


@pytest.fixture(scope="module")
def run(captioned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a StackGAN++ that was trained by a command."""
    outdir = tmp_path_factory.mktemp("runs")
    words = ["--data", str(captioned), "--captions", "captions.csv:caption", "--outdir", str(outdir)]
    assert main(["train", "stackgan-v2", *words, *QUICK, *toy_words(preset("stackgan-v2").run)]) == 0
    (folder,) = outdir.iterdir()
    return folder


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    assert main(words) == 2, words
    error = capsys.readouterr().err
    assert error.startswith("organza: ") and error.count("\n") == 1, error
    return error


def test_training_says_how_to_ask(captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(captioned), "--outdir", str(tmp_path), *toy_words(preset("stackgan").run)]
    assert main(["train", "stackgan", *words, *QUICK]) == 0
    said = capsys.readouterr().err
    assert "48 images 16x16 with captions of 66 words" in said and '--text "WORDS"' in said
    assert main(["train", "stackgan", *words, "--dry-run"]) == 0
    assert "text: " in capsys.readouterr().out


def test_one_text_and_many_seeds(run: Path, tmp_path: Path) -> None:
    command = ["generate", "--network", str(run), "--text", "a pink bob and green eyes", "--seeds", "0-3"]
    assert main([*command, "--outdir", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"seed000{n}.png" for n in range(4)]
    assert main([*command, "--output", str(tmp_path / "all.png")]) == 0
    with Image.open(tmp_path / "all.png") as image:
        assert image.size == (32, 32)


def test_several_texts_are_rows(run: Path, tmp_path: Path) -> None:
    command = ["generate", "--network", str(run), "--text", "pink bob", "green eyes", "--seeds", "0-2"]
    assert main([*command, "--outdir", str(tmp_path)]) == 0
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (3 * 16, 2 * 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "this network makes images from text; say what to show"),
        (["--text="], "the text is empty"),
        (["--text", "zeppelins"], "no word of 'zeppelins' is known to this network; it knows"),
        (["--text", "a pink bobb"], "the word 'bobb' is in none of the captions"),
        (["--text", "pink", "green", "--grid", "2x2"], "several texts make the rows of a grid, and seeds its columns"),
        (["--text", "pink", "--class", "1"], "a text and a class say the same"),
        (["--class", "1"], "this network makes images from text"),
        (["--label", "1,0"], "labels [1, 2] are no text"),
    ],
)
def test_what_is_no_text(run: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, ["generate", "--network", str(run), "--seeds", "0", *words])


def test_networks_without_text(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = ["--network", str(tiny_run), "--seeds", "0"]
    assert "this network takes no text; leave --text out" in refused(capsys, ["generate", *network, "--text", "pink"])
    assert "this network takes no text" in refused(capsys, ["generate", *network, "--text", "pink", "green"])
    assert "does not exist" in refused(capsys, ["generate", *network, "--embeddings", str(tmp_path / "a.npy")])


def test_other_verbs_take_one_text(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = ["interpolate", "--network", str(run), "--seeds", "0-1", "--seconds", "0.2", "--fps", "10"]
    film += ["--output", str(tmp_path / "a.gif")]
    assert main([*film, "--text", "pink bob"]) == 0
    assert "put one text into quotes" in refused(capsys, [*film, "--text", "pink", "bob"])
    assert "makes images from text" in refused(capsys, film)


def test_captions_that_are_missing(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "stackgan", "--data", str(faces), "--outdir", str(tmp_path), *toy_words(preset("stackgan").run)]
    assert "there are no captions; looked for .txt files" in refused(capsys, words)
    assert "there are no captions; say --captions auto" in refused(capsys, [*words, "--captions", "none"])
    assert not list(tmp_path.iterdir())


def test_it_is_evaluated_with_captions(
    run: Path, captioned: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--network", str(run), "--metrics", "fd40,r_precision40", "--json", str(tmp_path / "a.json")]
    assert main([*command, "--data", str(captioned)]) == 0
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert [*figures] == ["fd_voile64_40", "r_precision40", "r_precision40_real"]
    assert all(0 <= figures[name]["value"] <= 1 for name in figures if name.startswith("r_"))
    assert "there is no captions.csv in it" in refused(capsys, [*command, "--data", str(faces)])
