"""Files, folders and archives through a translator, on the command line and from Python."""

from __future__ import annotations

import re
import shutil
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import PRESETS, UserError, train
from organza.cli.main import main
from organza.cli.verbs import module
from organza.data.places import free_place
from organza.media.images import save_picture, to_pixels, to_tensor
from organza.translate.files import translate_files
from organza.translate.hidden import hidden
from tests.shapes import toy

SHORT = {"batch": 4, "grid": "2x1", "kimg": 0.008}


@pytest.fixture(scope="module")
def runs(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    outdir = tmp_path_factory.mktemp("translators")
    return {name: train(toy(name), pairs, outdir=outdir, **SHORT).folder for name in ("pix2pix", "cyclegan")}


def image(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels), np.uint8)


def test_both_ways_of_a_cycle_and_one_of_pairs(runs: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    T, home = (organza.load(runs["cyclegan"], model=model) for model in ("AtoB", "BtoA"))
    assert (T.name, home.name, T.names) == ("AtoB", "BtoA", ("AtoB", "BtoA"))
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    assert not torch.equal(T.apply(x), home.apply(x))
    assert organza.load(runs["cyclegan"]).name == "AtoB"
    back = train(toy("pix2pix"), pairs, outdir=tmp_path, direction="BtoA", **SHORT).folder
    assert organza.load(back).name == organza.load(back, model="BtoA").name == "BtoA"
    with pytest.raises(UserError, match="it has no model 'AtoB'; choose BtoA"):
        organza.load(back, model="AtoB")


def test_the_discriminator_wants_what_it_was_trained_with(runs: dict[str, Path]) -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    one, two = (organza.load(runs[name], networks="all") for name in ("pix2pix", "cyclegan"))
    assert one.discriminator(x, x).shape == two.discriminator(x).shape == (2, 1, 6, 6)
    with pytest.raises(UserError, match="the discriminator of pix2pix needs the source images as well"):
        one.discriminator(x)
    with pytest.raises(UserError, match="the discriminator of cyclegan takes no source images"):
        two.discriminator(x, x)


def test_modes_change_nothing_in_the_network(runs: dict[str, Path]) -> None:
    T = organza.load(runs["pix2pix"])
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    before = {name: value.clone() for name, value in T.net.state_dict().items()}
    first = T.apply(x, mode="eval")
    assert torch.equal(T.apply(x), T.apply(x, mode=T.mode))
    assert len({tuple(T.apply(x, mode=mode).flatten().tolist()) for mode in ("eval", "train", "calibrated")}) == 3
    assert torch.equal(T.apply(x, mode="eval"), first)
    assert all(torch.equal(value, before[name]) for name, value in T.net.state_dict().items())
    assert T.apply(x[:1], mode="eval").allclose(first[:1], atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (17, 31), (5, 90), (1, 1), (40, 3)])
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_images_of_any_size(name: str, size: tuple[int, int], runs: dict[str, Path]) -> None:
    T = organza.load(runs[name])
    made = T.translate(image(*size), size="own")
    assert made.size == size[::-1]
    trained = T.translate(image(*size))
    assert min(trained.size) == 16
    assert T.translate(image(*size), size=(20, 36)).size == (36, 20)


def test_a_margin_is_cut_off_where_it_was_added(runs: dict[str, Path]) -> None:
    """An image that needs none comes out as the network gives it."""
    T = organza.load(runs["cyclegan"])
    pixels = image(16, 24)
    raw = to_pixels(T.apply(to_tensor(pixels[None])))[0]
    assert np.array_equal(np.asarray(T.translate(pixels, size="own")), raw)


def test_whatever_people_have(runs: dict[str, Path], tmp_path: Path) -> None:
    T = organza.load(runs["cyclegan"])
    pixels = image(16, 16)
    path = save_picture(pixels, tmp_path / "a.png")
    expected = np.asarray(T.translate(pixels))
    for given in (path, str(path), Image.fromarray(pixels)):
        assert np.array_equal(np.asarray(T.translate(given)), expected)
    several = T.translate([path, image(20, 30, 1), Image.new("L", (9, 9)), Image.new("P", (16, 16))])
    assert [one.size for one in several] == [(16, 16), (24, 16), (16, 16), (16, 16)]
    assert np.array_equal(np.asarray(several[0]), expected)
    assert [np.array_equal(np.asarray(one), expected) for one in T.translate(pixels[None])] == [True]
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"text.png: can't be used"):
        T.translate(tmp_path / "text.png")
    with pytest.raises(UserError, match=r"nothing\.png"):
        T.translate(tmp_path / "nothing.png")


def test_what_the_raw_surface_refuses(runs: dict[str, Path]) -> None:
    T = organza.load(runs["pix2pix"])
    with pytest.raises(UserError, match=r"images \[1, 1, 16, 16\] don't fit; give \[N, 3, H, W\]"):
        T.apply(torch.zeros(1, 1, 16, 16))
    with pytest.raises(UserError, match="18x16 pixels; width and height must be multiples of 16"):
        T.apply(torch.zeros(1, 3, 16, 18))
    with pytest.raises(UserError, match="there is no mode 'test'; choose eval, train or calibrated"):
        T.apply(torch.zeros(1, 3, 16, 16), mode="test")
    with pytest.raises(UserError, match="takes no style codes"):
        T.apply(torch.zeros(1, 3, 16, 16), z=torch.zeros(1, 8))


def test_a_folder_keeps_its_names(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "deep/b.png", "c.webp"):
        save_picture(image(16, 20), tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG nothing")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    done = translate_files(organza.load(runs["cyclegan"]), tmp_path / "in", outdir=tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in done.written)
    assert found == ["a.png", "a_png.png", "c.png", "deep/b.png"]
    assert [name for name, _ in done.skipped] == ["broken.png"]


def test_names_of_archives_stay_below_the_folder(runs: dict[str, Path], tmp_path: Path) -> None:
    save_picture(image(16, 16), tmp_path / "x.png")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        for name in ("../../outside.png", "/etc/absolute.png", "fine/x.png"):
            file.writestr(name, (tmp_path / "x.png").read_bytes())
    done = translate_files(organza.load(runs["cyclegan"]), tmp_path / "evil.zip", outdir=tmp_path / "a" / "b" / "out")
    assert all(tmp_path / "a" / "b" / "out" in path.resolve().parents for path in done.written)
    assert not (tmp_path / "outside.png").exists() and not (tmp_path / "a" / "outside.png").exists()


def test_nothing_is_overwritten_by_its_own_translation(runs: dict[str, Path], tmp_path: Path) -> None:
    T = organza.load(runs["cyclegan"])
    path = save_picture(image(16, 16), tmp_path / "in" / "a.png")
    before = path.read_bytes()
    with pytest.raises(UserError, match="its translation would overwrite it"):
        translate_files(T, path, outdir=tmp_path / "in")
    with pytest.raises(UserError, match="the results would lie among the images"):
        translate_files(T, tmp_path / "in", outdir=tmp_path / "in" / "made")
    assert path.read_bytes() == before


def test_command(runs: dict[str, Path], pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["translate", "--network", str(runs["cyclegan"]), "--input"]
    source = str(save_picture(image(30, 20), tmp_path / "a.png"))
    one = tmp_path / "made.png"
    assert main([*start, source, "--output", str(one), "--size", "own", "--compare"]) == 0
    with Image.open(one) as made:
        assert made.size == (40, 30)
    assert main([*start, str(pairs / "B"), "--model", "BtoA", "--outdir", str(tmp_path / "many"), "--format=webp"]) == 0
    assert len(list((tmp_path / "many").glob("*.webp"))) == 24
    wide = str(save_picture(image(16, 32), tmp_path / "wide.png"))
    assert main([*start, wide, "--side", "right", "--output", str(tmp_path / "half.png"), "--size=own"]) == 0
    with Image.open(tmp_path / "half.png") as made:
        assert made.size == (16, 16)
    capsys.readouterr()
    for words, message in (
        ([str(tmp_path / "nothing")], "there is no such file or folder"),
        ([source, "--model", "CtoD"], "it has no model 'CtoD'; choose AtoB or BtoA"),
        ([source, "--size", "big"], "'big' is not a size"),
        ([str(pairs), "--output", str(one)], "--output names one file, but there are many images"),
    ):
        assert main([*start, *words]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_verbs_know_generators_from_translators(
    runs: dict[str, Path], tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "--network", str(runs["pix2pix"])]) == 2
    assert "pix2pix makes images from images, not from seeds; use organza translate" in capsys.readouterr().err
    assert main(["translate", "--network", str(tiny_run), "--input", "x"]) == 2
    assert "stylegan2 makes images from seeds, not from images; use organza generate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("preset", "data", "message"),
    [
        ("stylegan2", "pairs", "it holds two sets, A and B, but this method learns single images"),
        ("pix2pix", "faces", "it holds no pairs and no two sets"),
        ("cyclegan", "faces", "it holds no pairs and no two sets"),
        ("pix2pix", "unpaired", "it holds two sets whose images are no pairs (24 and 24 images, 0 names in common)"),
    ],
)
def test_data_of_another_layout_is_refused(
    preset: str,
    data: str,
    message: str,
    faces: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"faces": faces, "pairs": pairs, "unpaired": tmp_path / "unpaired"}
    for side in "AB":
        for path in (pairs / side).iterdir():
            (tmp_path / "unpaired" / f"train{side}").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "unpaired" / f"train{side}" / f"{side}{path.name}")
    for more in ([], ["--dry-run"]):
        command = ["train", preset, "--data", str(places[data]), "--outdir", str(tmp_path / "out"), *more]
        assert main(command) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()


def test_sets_without_pairs_and_of_unequal_size(pairs: Path, tmp_path: Path) -> None:
    for side, count in (("A", 5), ("B", 9)):
        for number in range(count):
            save_picture(image(16, 16, number), tmp_path / "set" / f"train{side}" / f"{side}{number}.png")
    outcome = train(toy("cyclegan"), tmp_path / "set", outdir=tmp_path / "out", epochs=2, batch=3, grid="2x1")
    assert outcome.seen == 18  # two passes over the larger set
    with Image.open(outcome.folder / "samples" / "000000018.png") as sheet:
        assert sheet.size == (2 * (6 * 16 + 1) + 1, 16 + 2)


def test_grey_sources_and_colour(tmp_path: Path) -> None:
    for number in range(6):
        save_picture(image(16, 16, number, 1), tmp_path / "set" / "A" / f"{number}.png")
        save_picture(image(16, 16, number), tmp_path / "set" / "B" / f"{number}.png")
    T = organza.load(train(toy("pix2pix"), tmp_path / "set", outdir=tmp_path, **SHORT).folder)
    assert T.apply(torch.zeros(1, 1, 16, 16)).shape == (1, 3, 16, 16)
    assert T.translate(image(20, 20)).mode == "RGB"
    with pytest.raises(UserError, match="the identity term compares images of 1 with images of 3 channels"):
        train(toy("cyclegan"), tmp_path / "set", outdir=tmp_path, **SHORT)


def test_every_option_of_the_page_on_coming_from_pytorch_cyclegan_exists() -> None:
    page = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text()
    rows = [line.split("|")[2] for line in page.split("## pytorch-CycleGAN")[1].splitlines() if line.count("|") == 3]
    ours = re.findall(r"--[a-z][a-z0-9-]*", "".join(rows))
    kinds = [part for name in PRESETS if PRESETS[name].family == "translation" for part in vars(toy(name)).values()]
    verbs = [module(verb).Options for verb in ("translate", "convert")]
    known = {field.name for kind in (*kinds, *verbs) for field in fields(kind)} | {"data", "resume"}
    assert len(ours) > 15
    assert not {option.removeprefix("--").removeprefix("no-").replace("-", "_") for option in ours} - known


def test_results_of_one_name_never_replace_each_other(runs: dict[str, Path], tmp_path: Path) -> None:
    names = ["v1.0/a.b.jpg", "v1.0/a.b.png", "v1.0/a_b.jpg", "v1.0/a_b.png", "v1.0/a_b_png.png", "../v1.0/a_b.png"]
    taken: set[Path] = set()
    places = [free_place(name, ".png", taken) for name in names]
    assert len(set(places)) == len(names) == len(taken) and {place.parent for place in places} == {Path("v1.0")}
    for name in names[:5]:
        save_picture(image(16, 16), tmp_path / "in" / name)
    done = translate_files(organza.load(runs["pix2pix"]), tmp_path / "in", outdir=tmp_path / "out")
    assert len(set(done.written)) == 5 and all(path.parent == tmp_path / "out" / "v1.0" for path in done.written)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("pix2pix", ["--class", "7"], "pix2pix has no labels, so it takes no class"),
        ("pix2pix", ["--target", "Young"], "pix2pix has no labels, so it takes no target"),
        ("pix2pix", ["--all-targets"], "pix2pix has no labels, so it takes no target"),
        ("pix2pix", ["--labels", "folders"], "pix2pix has no labels, so it takes no labels of images"),
        ("pix2pix", ["--overlap", "8"], "give --tile N"),
        ("pix2pix", ["--size", "0x8"], "--size: 0x8 is out of range"),
        ("cyclegan", ["--hidden", "--compare"], "--compare is of plain translations"),
        ("cyclegan", ["--hidden", "--heat"], "--heat is of plain translations"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    name: str, words: list[str], said: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_picture(image(16, 16), tmp_path / "in" / "x" / "0.png")
    where = ["--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    assert main(["translate", "--network", str(runs[name]), *where, *words]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_what_a_cycle_hides_in_a_strip(runs: dict[str, Path]) -> None:
    """One pixel high, colours must stay colours; and 16 bits become the 8 that a JPEG file holds."""
    there, home = (organza.load(runs["cyclegan"], model=model) for model in ("AtoB", "BtoA"))
    strip = image(1, 24)
    found = hidden(there, home, strip, size="own", noise=0)
    assert found.after_noise.shape == (1, 24, 3) and np.array_equal(found.after_noise, found.cycle)
    deep = hidden(there, home, strip.astype(np.uint16) * 257, size="own")
    assert np.array_equal(deep.output, found.output)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"size": (0, 5)}, r"there is no size \(0, 5\); give \(height, width\)"),
        ({"size": (-5, -5)}, "there is no size"),
        ({"size": (64.5, 20)}, "there is no size"),
        ({"size": (1, 2, 3)}, "there is no size"),
        ({"labels": 3}, "pix2pix has no labels, so it takes none"),
        ({"labels": np.ones([1, 2])}, "pix2pix has no labels"),
        ({"target": "x"}, "pix2pix has no labels, so it takes no target"),
        ({"z": torch.zeros(1, 8)}, "pix2pix takes no style codes"),
    ],
)
def test_what_python_is_told(more: dict[str, object], said: str, runs: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=said):
        organza.load(runs["pix2pix"]).translate(image(16, 16), **more)


def test_style_codes_are_counted_and_finite(pairs: Path, tmp_path: Path) -> None:
    T = organza.load(train(toy("bicyclegan"), pairs, outdir=tmp_path, **SHORT).folder)
    two, codes = [image(16, 16), image(16, 16, 1)], T.encode([image(16, 16), image(16, 20)])
    assert T.encode([]).shape == (0, codes.shape[1])
    one, other = T.translate(two, z=codes)
    assert np.array_equal(np.asarray(other), np.asarray(T.translate(two[1], z=codes[1:])))
    for z, said in (
        (codes[:1].repeat(1, 2), "don't fit"),
        (codes[[0, 0, 1]], "for 2 images"),
        (codes[0], "for 2 images"),
    ):
        with pytest.raises(UserError, match=said):
            T.translate(two, z=z)
    with pytest.raises(UserError, match="not finite"):
        T.translate(two[0], z=codes[:1] * float("nan"))
    assert np.asarray(one).shape == (16, 16, 3)
