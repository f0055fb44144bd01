"""Training in stages: which images are in which group, that each run starts from the one before, and exact resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import organza
from organza import UserError
from organza.cli.main import main
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import random_faces
from organza.data.groups import make_groups, parse_stages
from organza.media.images import save_picture
from organza.models.staged import read_staged
from organza.runs.stages import Staging, _check_known, look_again, train_stages
from organza.training.checkpoint import newest_first
from tests.shapes import toy

SMALL: dict[str, Any] = {"batch": 2, "grid": "2x1", "metrics": "none", "jitter": 1.0, "tick_kimg": 0.004}
HOW = Staging("all,age,age-sex", "folders", kimg=(0.008, 0.004, 0.004), least=3)
WORDS = [("old", "male")] * 4 + [("old", "female")] * 2 + [("young", "male")] * 3 + [("young", "female")] * 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve line drawings in folders by age and sex, one more of each sex held out, and eight painted faces."""
    folder = tmp_path_factory.mktemp("groups") / "faces"
    faces = list(random_faces(24, seed=3))
    table = ["file,age,gender,empty"]
    for number, (age, sex) in enumerate(WORDS):
        save_picture(draw(faces[number], 16, "line"), folder / "trainA" / age / sex / f"{number}.png")
        table.append(f"{number}.png,{60 if age == 'old' else 20},{sex[0].upper()},")
    for number, sex in ((12, "male"), (13, "female")):
        save_picture(draw(faces[number], 16, "line"), folder / "testA" / "old" / sex / f"{number}.png")
        save_picture(draw(faces[number], 16, "paint"), folder / "testB" / f"b{number}.png")
    for number in range(14, 22):
        save_picture(draw(faces[number], 16, "paint"), folder / "trainB" / f"b{number}.png")
        table.append(f"b{number}.png,{60 if number < 18 else 20},{'M' if number % 2 else 'F'},")
    (folder / "attributes.csv").write_text("\n".join(table) + "\n")
    return folder


def tensors(run: Path, which: str = "nets") -> dict[str, torch.Tensor]:
    return load_file(next(newest_first(run / "checkpoints")) / f"{which}.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def staged(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outcome = train_stages(toy("cyclegan"), data, HOW, outdir=tmp_path_factory.mktemp("staged"), **SMALL)
    assert outcome.finished and outcome.folder.name == "00000-cyclegan-faces-stages"
    return outcome.folder


def test_a_run_for_each_group_from_the_one_before(staged: Path) -> None:
    found = read_staged(staged)
    assert {name: (part.sources, part.targets, part.merged) for name, part in found.parts.items()} == {
        "all": (12, 8, None),
        "old": (6, 8, None),
        "young": (6, 8, None),
        "old-female": (2, 8, "old"),
        "old-male": (4, 8, None),
        "young-female": (3, 8, None),
        "young-male": (3, 8, None),
    }
    assert (found.parts["old-male"].kimg, found.parts["old-male"].total_kimg) == (0.004, 0.016)
    config = json.loads((found.run("old-male") / "config.json").read_text())
    assert config["data"]["source_images"] == 4 and config["data"]["images"] == 8
    parent = found.run("old")
    assert config["source"]["file"] == f"{parent.name}/000000004"
    assert found.run("old-female") == parent and "faces-old-male" in found.run("old-male").name


def test_every_network_is_handed_on(data: Path, tmp_path: Path) -> None:
    how = Staging("all,age", "folders", kimg=(0.002, 0.002), least=3)
    folder = train_stages(toy("cyclegan"), data, how, outdir=tmp_path, **{**SMALL, "lr": 0.0}).folder
    found = read_staged(folder)
    first, last = tensors(found.run("all")), tensors(found.run("young"))
    assert {name.partition(".")[0] for name in first} == {"G_AtoB", "G_BtoA", "D_A", "D_B"}
    assert all(torch.equal(first[name], last[name]) for name in first)


@pytest.mark.parametrize(
    "name", ["cut", *(pytest.param(name, marks=pytest.mark.slow) for name in ("photo2cartoon", "ugatit-light"))]
)
def test_every_translator_of_two_sets(name: str, data: Path, tmp_path: Path) -> None:
    more = {"face_weight": 0.0} if name == "photo2cartoon" else {}
    how = Staging("all,age", "attributes.csv:age", "attributes.csv:age", kimg=(0.002, 0.002), least=3)
    folder = train_stages(toy(name), data, how, outdir=tmp_path, **SMALL, **more).folder
    parts = read_staged(folder).parts
    assert {key: (part.sources, part.targets) for key, part in parts.items()} == {
        "all": (12, 8),
        "old": (6, 4),
        "young": (6, 4),
    }
    assert not same(folder / str(parts["old"].run), folder / str(parts["young"].run))


class Killed(BaseException):
    """As if the power had failed."""


@pytest.mark.parametrize("after", [1, 2])
def test_killed_anywhere_it_comes_to_the_same(
    after: int, staged: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checkpoints in the first stage, one in each run of the second: it dies before one is whole."""
    saved = []

    def dying(*args: Any, **settings: Any) -> Any:
        saved.append(1)
        if len(saved) > after:
            raise Killed
        return save(*args, **settings)

    from organza.training import checkpoint

    save, how = checkpoint.save, Staging("all,age", "folders", kimg=(0.008, 0.004), least=3)
    more: dict[str, Any] = {"outdir": tmp_path, "snapshot_kimg": 0.004, **SMALL}
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            train_stages(toy("cyclegan"), data, how, **more)
    again = train_stages(toy("cyclegan"), data, how, **more)
    assert again.folder.name == "00000-cyclegan-faces-stages" and len(list(tmp_path.glob("0*"))) == 1
    one, other = read_staged(again.folder), read_staged(staged)
    for name in ("all", "old", "young"):
        assert len(list((again.folder / "groups" / name).glob("0*"))) == 1
        assert same(one.run(name), other.run(name)), name


def test_the_same_command_when_all_is_done_does_nothing(staged: Path, data: Path, told: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in staged.rglob("nets.safetensors")}
    outcome = train_stages(toy("cyclegan"), data, HOW, outdir=staged.parent, **SMALL)
    assert outcome.folder == staged and outcome.finished
    assert {path: path.stat().st_mtime_ns for path in staged.rglob("nets.safetensors")} == before
    said = told()
    assert "old-female has 2 and 8 images, which are too few: old's model stands for it" in said
    assert "old-male: 4 and 8 images, 0.004 kimg of 0.016" in said


def test_a_group_is_loaded_by_its_name(staged: Path, told: Any) -> None:
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    found = read_staged(staged)
    for group in ("old-male", "young"):
        T = organza.load(staged, group=group)
        assert torch.equal(T.apply(x), organza.load(found.run(group)).apply(x))
    told()
    assert organza.load(staged).source == organza.load(found.run("all")).source
    assert "the model of the stage all; its groups are all, old, young" in told()
    assert organza.load(staged, group="old-female").source == organza.load(found.run("old")).source
    assert "the group old-female has no model of its own, old's is taken" in told()
    with pytest.raises(UserError, match="there is no group 'nobody'; choose all, old, young"):
        organza.load(staged, group="nobody")
    with pytest.raises(UserError, match="was not trained in stages"):
        organza.load(found.run("all"), group="old")


def test_translate_takes_a_group(staged: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    photo = data / "testA" / "old" / "male" / "12.png"
    words = ["translate", "--network", str(staged), "--input", str(photo), "--output"]
    assert main([*words, str(tmp_path / "a.png"), "--group", "old-male"]) == 0
    assert main([*words, str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert main([*words, str(tmp_path / "c.png"), "--group", "x"]) == 2
    assert "there is no group 'x'" in capsys.readouterr().err


def test_a_training_in_stages_teaches(staged: Path, data: Path, tmp_path: Path) -> None:
    """Pairs of aligned faces by the model of all; a group's run can be named as well."""
    from organza import train
    from organza.metrics.opened import open_source_and_target

    more = {**SMALL, "kimg": 0.004}
    for teacher, model in ((staged, "all"), (read_staged(staged).run("old-male"), "old-male")):
        pupil = train(toy("pix2pix"), data / "trainA", outdir=tmp_path, pairs=f"teacher:{teacher}", **more).folder
        domains = open_source_and_target(data / "trainA", organza.load(pupil))
        assert len(domains.source) == 12
        wanted = organza.load(staged, group=model).photo(domains.source.fetch([3])[0][0], seed=3)
        assert np.array_equal(domains.target.fetch([3])[0][0], wanted.eight())


def test_other_images_find_their_groups(staged: Path, data: Path) -> None:
    from organza.metrics.opened import open_source_and_target

    T = organza.load(staged)
    held_out = open_source_and_target(data, T)
    groups = {group.name: group.sources for group in look_again(read_staged(staged), data, held_out)}
    assert {name: len(numbers) for name, numbers in groups.items()} == {
        "all": 2,
        "old": 2,
        "old-female": 1,
        "old-male": 1,
    }
    (row,) = groups["old-male"]
    assert held_out.source.names[row].endswith("old/male/12.png")


def test_figures_of_each_group_beside_one_network_for_all(
    staged: Path, data: Path, tmp_path: Path, toys: Any, capsys: Any
) -> None:
    from organza import train
    from organza.metrics import evaluate
    from organza.metrics.opened import open_source_and_target

    mixed = train(toy("cyclegan"), data, outdir=tmp_path, kimg=0.02, snapshot_kimg=0.004, keep=0, **SMALL).folder
    words = [str(staged), str(mixed), "--data", str(data), "--metrics", "cycle,kd_toy_2_full"]
    file = tmp_path / "c.json"
    assert main(["compare", *words, "--output", str(file.with_suffix(".png"))]) == 0
    heads = capsys.readouterr().out.splitlines()[0].split()
    assert heads == ["group", "images", "kimg", "cycle", "kd_toy", "mixed", "kimg", "mixed", "cycle", "mixed", "kd_toy"]
    words[-1] = "kd_toy_2_full"
    assert main(["evaluate", "--network", words[0], *words[2:], "--split", "train", "--json", str(file)]) == 0
    rows = {row["group"]: row for row in json.loads(file.read_text())["groups"]}
    assert {name: (row["model"], row["sources"], row["kimg"]) for name, row in rows.items()} == {
        "all": ("all", 12, 0.008),
        "old": ("old", 6, 0.012),
        "young": ("young", 6, 0.012),
        "old-female": ("old", 2, 0.012),
        "old-male": ("old-male", 4, 0.016),
        "young-female": ("young-female", 3, 0.016),
        "young-male": ("young-male", 3, 0.016),
    }
    domains = open_source_and_target(data, organza.load(staged), part="train")
    some = [n for n, name in enumerate(domains.source.names) if "old/male" in name]
    domains = type(domains)(domains.source.select(some), domains.target, False)
    by_hand = evaluate(organza.load(staged, group="old-male"), domains, "kd_toy_2_full")
    (found,) = rows["old-male"]["figures"].values()
    assert found["value"] == pytest.approx(by_hand["kd_toy_2_full"])
    assert "old-female (model of old)" in capsys.readouterr().out

    assert main(["compare", *words, "--output", str(file.with_suffix(".png"))]) == 0
    rows = {row["group"]: row for row in json.loads(file.read_text())["groups"]}
    assert set(rows) == {"all", "old", "old-female", "old-male"}  # those of the part that was held out
    assert [rows[name]["mixed_kimg"] for name in ("all", "old", "old-male")] == [0.008, 0.012, 0.016]
    assert rows["old-male"]["note"] != "" and rows["all"]["mixed"]  # one image is too few
    assert main(["compare", words[0], *words[2:]]) == 2
    assert "is compared with one run on all images" in capsys.readouterr().err


def test_auto_asks_the_network_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that takes dark drawings for old men."""
    from organza.models import people

    asked = []

    class Net:
        def person(self, images: torch.Tensor) -> Any:
            asked.append(len(images))
            dark = images.mean((1, 2, 3)) < float(np.median(MEANS))
            return people.FaceRes.person.__globals__["Person"](None, 20.0 + 40 * dark, dark.float())

    from organza import open_dataset

    pixels = open_dataset(data / "trainA").fetch(np.arange(12))[0]
    MEANS = pixels.mean((1, 2, 3)) / 127.5 - 1
    file = tmp_path / "faceres.onnx"
    file.write_bytes(b"weights")
    monkeypatch.setattr(people.FaceRes, "read", classmethod(lambda cls, path: Net()))
    how = Staging("all,age,age-sex", f"auto:{file}", kimg=(0.002, 0.002, 0.002), least=3)
    folder = train_stages(toy("cut"), data, how, outdir=tmp_path, **SMALL).folder
    assert sum(asked) == 14  # those of the training and those held out
    train_stages(toy("cut"), data, how, outdir=tmp_path, **SMALL)
    assert sum(asked) == 14
    parts = read_staged(folder).parts
    assert {name: part.sources for name, part in parts.items()} == {
        "all": 12,
        "old": 6,
        "young": 6,
        "old-male": 6,
        "young-female": 6,
    }

    from organza.translate.by_face import chooser

    choose = chooser(folder)
    assert choose is not None
    dark, light = int(MEANS.argmin()), int(MEANS.argmax())
    from organza.data.photo import Photo

    assert [choose.group_of(Photo(pixels[n])) for n in (dark, light)] == ["old-male", "young-female"]
    assert choose(Photo(pixels[dark])).source == organza.load(folder, group="old-male").source
    sheet, words = tmp_path / "one.png", ["translate", "--network", str(folder), "--input"]
    name = next(path for path in sorted((data / "trainA").rglob("*.png")) if path.stem == "0")
    assert main([*words, str(name), "--output", str(sheet), "--precision", "float32"]) == 0
    T = organza.load(folder, group=choose.group_of(Photo(np.asarray(organza.load(folder).read(name).pixels))))
    wanted = np.asarray(T.translate(name))
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(sheet)), wanted)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"stages": "age"}, "the first stage is all"),
        ({"stages": "all,age,sex"}, "does not part the groups"),
        ({"stages": "all,age-age"}, "does not part the groups"),
        ({"kimg": (1.0,)}, "are not lengths for 3 stages"),
        ({"ages": "40,15"}, "are not two ages"),
        ({"groups": "auto", "stages": "all,hair", "kimg": ()}, "auto knows age and sex, not hair"),
        ({"target_groups": "auto"}, "ages are found in photographs"),
        ({"groups": "attributes.csv"}, "there is no column 'sex'"),
        ({"groups": "attributes.csv:age"}, "1 columns for age and sex"),
        ({"groups": "nothing.csv:age,gender"}, "there is no nothing.csv"),
        ({"groups": "attributes.csv:empty,gender"}, "of no image it says what the stage age needs"),
        ({"groups": "auto:nowhere"}, "holds no network that knows ages"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    changes: dict[str, Any], line: str, data: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match=line):
        train_stages(toy("cut"), data, replace(HOW, **changes), outdir=tmp_path / "runs", **SMALL)
    assert not (tmp_path / "runs").exists()


def test_images_in_no_group_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    stages, known = parse_stages("all,age,age-sex"), [{"age": "old", "sex": "male"}, {"age": "old"}, {}]
    _check_known(make_groups(stages, known, None, 1), stages, known, HOW)
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert told == [
        f"{n} of 3 images are in no group of the stage {stage}" for n, stage in ((1, "age"), (2, "age-sex"))
    ]


def test_methods_of_one_set_or_of_pairs_have_no_stages(data: Path, pairs: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(UserError, match="is not for two sets"):
        train_stages(toy("pix2pix"), pairs, HOW, outdir=tmp_path, **SMALL)
    assert main(["train", "cut", "--data", str(data), "--groups", "folders"]) == 2
    assert "--groups is for stages; say --stages all,age,age-sex as well" in capsys.readouterr().err
    assert main(["train", "cut", "--data", str(data), "--stages", "all", "--stage-kimg", "x"]) == 2
    assert "are no lengths" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 1}', '{"format": 2, "parts": {}}'])
def test_broken_notes_are_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text(text)
    with pytest.raises(UserError):
        organza.load(tmp_path)


def test_notes_name_no_run_elsewhere(staged: Path, tmp_path: Path) -> None:
    plain = json.loads((staged / "stages.json").read_text())
    for place in ("../other", str(staged)):
        plain["parts"]["all"]["run"] = place
        (tmp_path / "stages.json").write_text(json.dumps(plain))
        with pytest.raises(UserError, match="outside of its folder"):
            organza.load(tmp_path)


def test_images_of_which_a_word_is_not_known_stay_in_the_groups_before() -> None:
    known = [{"age": "old"}, {"age": "old", "sex": "male"}, {"sex": "male"}, {}]
    groups = make_groups(parse_stages("all,age,age-sex"), known, known[:2], 1)
    assert [(g.name, g.sources, g.targets, g.parent) for g in groups] == [
        ("all", (0, 1, 2, 3), None, None),
        ("old", (0, 1), (0, 1), "all"),
        ("old-male", (1,), (1,), "old"),
    ]
