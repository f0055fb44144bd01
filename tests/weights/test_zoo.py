"""The networks that come with the package, and folders of half the bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from organza import Generator, UserError, load
from organza.cli.main import main
from organza.core import zoo
from organza.core.config import to_plain
from organza.core.zoo import FOLDER, Card, read_card, zoo_folder, zoo_names
from organza.formats.folder import read_folder
from organza.models.translator import Translator
from organza.presets import METHODS
from organza.training import checkpoint
from organza.weights.convert import convert
from organza.weights.push import Told, write_model
from organza.weights.slim import write_slim
from tests.shapes import spec_of, toy


def saved(name: str, folder: Path) -> Path:
    """A preset's tiny networks of random numbers, as a checkpoint."""
    torch.manual_seed(0)
    spec, method = spec_of(name, 16), toy(name).method
    config = method.resolve(spec, 4)
    built = config.build(spec)
    kind = next(key for key, value in METHODS.items() if value is type(method))
    about = {"organza": "0", "method": kind, "spec": to_plain(spec), "config": to_plain(config)}
    ema = {key: built.nets[key] for key in built.ema}
    checkpoint.write(folder, about, {"ema": checkpoint.flatten(ema), "nets": checkpoint.flatten(built.nets)})
    return folder


@pytest.mark.parametrize("name", ["stylegan2-f", "vae", "stackgan", "triple-gan", "cyclegan", "bicyclegan"])
@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_all_that_is_used_and_no_more(name, dtype, tmp_path):
    whole = saved(name, tmp_path / "whole")
    slim = write_slim(read_folder(whole), tmp_path / "slim", dtype)
    held = {name.partition(".")[0] for file in slim.glob("*.safetensors") for name in load_file(file)}
    assert held and not held & {"D", "D_A", "D_B", "D0", "D1"}
    one, other = load(whole), load(slim)
    assert type(one) is type(other) and (one.encoder is None) == (other.encoder is None)
    if isinstance(one, Translator):
        # BicycleGAN's style code comes from the default generator.
        pair = []
        for T in (one, other):
            torch.manual_seed(1)
            pair.append(T.apply(torch.linspace(-1, 1, 3 * 256).reshape(1, 3, 16, 16)))
    else:
        assert isinstance(other, Generator)
        assert (one.reader is None) == (other.reader is None) and (one.classifier is None) == (other.classifier is None)
        labels = [0, 1] if one.label_dim and one.latents.text is None else None
        labels = one.texts(["blue", "red eyes"]) if one.latents.text is not None else labels
        pair = [G.synthesis(G.mapping(G.z([1, 2]), labels)) for G in (one, other)]
    if dtype == "float32":
        assert torch.equal(*pair)
    else:
        torch.testing.assert_close(*pair, rtol=0, atol=0.03 * float(pair[0].abs().max()))


def test_what_was_measured_of_a_translator_goes_with_it(tmp_path):
    whole = saved("pix2pix", tmp_path / "whole")
    T = load(whole)
    assert isinstance(T, Translator)
    T = T.calibrate([torch.rand(4, 3, 16, 16) * 2 - 1])
    tensors = {f"{T.model.net}.{key}": value for key, value in T.statistics.items()}
    checkpoint.add(whole, "norm", tensors, {"mode": "calibrated"})
    slim = load(write_slim(read_folder(whole), tmp_path / "slim", "bf16"))
    assert isinstance(slim, Translator) and slim.mode == "calibrated" and slim.statistics.keys() == T.statistics.keys()


def test_convert_to_half_the_bytes(tiny_run, tmp_path, capsys):
    assert main(["convert", str(tiny_run), "--dest", str(tmp_path / "slim"), "--dtype", "bf16"]) == 0
    assert {path.name for path in (tmp_path / "slim").iterdir()} == {"config.json", "checksums.json", "ema.safetensors"}
    one, other = load(tiny_run).generate([1, 2, 3]), load(tmp_path / "slim").generate([1, 2, 3])
    assert np.abs(one.astype(float) - other).mean() < 2
    for more, line in (
        (["--dtype", "bf16"], "slim: is there already"),
        (["--dtype", "bf16", "--to", "nvidia"], "the layout of nvidia has a format of numbers of its own"),
        (["--dtype", "int3"], "--dtype can't be 'int3': choose all, float32, bf16"),
    ):
        assert main(["convert", str(tiny_run), "--dest", str(tmp_path / "slim"), *more]) == 2
        assert line in capsys.readouterr().err
    with pytest.raises(UserError, match="or --dtype bf16, or copy the folder"):
        convert(tiny_run, tmp_path / "other")


def test_the_card_of_a_translator(tmp_path):
    write_model(saved("cyclegan", tmp_path / "whole"), tmp_path / "out", "hf:me/x", Told(licence="MIT"), "bf16")
    said = (tmp_path / "out" / "README.md").read_text()
    assert "organza translate --network hf:me/x" in said and "pipeline_tag: image-to-image" in said
    assert "| licence | MIT |" in said and "samples.png" not in said
    both = [load(tmp_path / "out", model=name) for name in ("AtoB", "BtoA")]
    assert [T.name for T in both if isinstance(T, Translator)] == ["AtoB", "BtoA"]


# --- the zoo ---


@pytest.mark.parametrize("name", zoo_names())
def test_each_network(name, tmp_path):
    folder = zoo_folder(name)
    card = read_card(folder)
    assert card is not None and all((card.summary, card.data, card.licence, card.command, card.machine, card.limits))
    assert card.command.startswith("organza train ") and card.kimg > 0 and card.minutes > 0
    assert (folder / "samples.png").is_file() and (folder / "LICENCE-NOTE.txt").is_file()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
    network = load(f"zoo/{name}")
    if isinstance(network, Generator):
        assert network.generate([0, 1], None if not network.label_dim else [0, 0]).std() > 10
    command = recipes()[name].words
    assert card.command.startswith(f"organza train {command} --data")


def recipes():
    import importlib.util

    spec = importlib.util.spec_from_file_location("zoo_recipes", Path(__file__).parents[2] / "tools" / "zoo.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules["zoo_recipes"] = found
    spec.loader.exec_module(found)
    return found.RECIPES


def test_the_zoo_is_small_and_recorded():
    assert {*zoo_names()} <= {*recipes()}
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 16_000_000


def test_the_list_and_a_card(capsys):
    assert main(["zoo"]) == 0
    said = capsys.readouterr().out
    assert all(f"zoo/{name}" in said for name in zoo_names()) and "MB" in said
    name = zoo_names()[0]
    for words in ([name], [f"zoo/{name}"]):
        assert main(["zoo", *words]) == 0
        said = capsys.readouterr().out
        assert "licence: " in said and "command: organza train" in said and "limits: " in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("zoo digit-vea", "zoo/digit-vea: no network of this name comes with Organza; did you mean zoo/digits-vae"),
        ("generate --network zoo/DIGITS-VAE", "did you mean zoo/digits-vae"),
        ("inspect zoo/qqqqq", "zoo/qqqqq: no network of this name comes with Organza; `organza zoo` lists them"),
        ("generate --network zoo/..", "zoo/..: no network of this name comes with Organza"),
    ],
)
def test_names_that_are_not_there(words, line, capsys):
    assert main(words.split()) == 2
    assert line in capsys.readouterr().err


def test_a_path_wins(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run, tmp_path / "zoo" / "digits-vae")
    assert load("zoo/digits-vae").kind == "stylegan2"


def test_everywhere_a_network_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in (
        "inspect zoo/digits-vae",
        "generate --network zoo/digits-vae --seeds 0-3 --grid 2x2 --output a.png",
        "interpolate --network zoo/digits-vae --seeds 0,1 --seconds 0.2 --fps 10 --output a.gif",
        "walk --network zoo/digits-vae --seconds 0.3 --fps 10 --output b.gif",
        "convert zoo/digits-vae --dest copy --dtype float32",
    ):
        assert main(line.split()) == 0, capsys.readouterr()


def test_a_broken_card(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "card.json").write_text("{")
    with pytest.raises(UserError, match=r"card\.json: not valid JSON"):
        read_card(folder)
    (folder / "card.json").write_text(json.dumps({**vars(Card("a", "b", "c", "d", 1.0, 1.0, "e")), "kimg": "many"}))
    with pytest.raises(UserError, match="kimg must be"):
        read_card(folder)


def test_the_list_comes_without_pytorch():
    code = "import sys; from organza.cli.main import main; main(['zoo']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_demo_shows_them_at_once(tmp_path):
    from PIL import Image

    from organza.runs.demo import at_once

    with Image.open(at_once(tmp_path / "new", columns=3)) as image:
        assert image.width == 3 * 98 + 2 and image.height % 98 == 2 and np.asarray(image).std() > 10
