"""What tables and folders say of images, and the groups that come of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from organza import UserError
from organza.data.groups import by_folders, by_table, make_groups, parse_ages, parse_stages, side_prefix
from organza.data.opening import open_source
from organza.media.images import save_picture

NAMES = ["trainA/1.png", "trainA/2.png", "trainA/3.png"]
AGES = (15.0, 40.0)


@pytest.fixture
def source(tmp_path: Path):
    for name in [*NAMES, "trainB/1.png", "testA/9.png", "testB/9.png"]:
        save_picture(np.zeros((8, 8, 3), np.uint8), tmp_path / "set" / name)
    return open_source(tmp_path / "set")


def said(source, text: str, factors: list[str], wish: str = "t.csv") -> list[dict[str, str]]:
    (source.path / "t.csv").write_text(text)
    return [dict(known) for known in by_table(open_source(source.path), wish, NAMES, factors, AGES)]


def test_words_and_blanks(source) -> None:
    found = said(source, "file,hair\n1.png,Dark Brown\n2.png,\n3.png,../x\n", ["hair"])
    assert found == [{"hair": "dark_brown"}, {}, {"hair": "x"}]


@pytest.mark.parametrize("cells", [("14", "15", "40"), ("3.5", "39.9", "99"), ("3", "20", "41")])
def test_numbers_called_age_are_years(source, cells) -> None:
    found = said(source, "file,age\n" + "".join(f"{n}.png,{cell}\n" for n, cell in enumerate(cells, 1)), ["age"])
    assert [known["age"] for known in found] == ["child", "young", "old"]


@pytest.mark.parametrize("cell", ["abc", "30-39", "-4"])
def test_a_slip_among_years_is_told(source, cell: str) -> None:
    """Otherwise each age would become a group of its own."""
    with pytest.raises(UserError, match=f"the column 'age' holds ages in years, and '{cell}'"):
        said(source, f"file,age\n1.png,5\n2.png,{cell}\n3.png,\n", ["age"])


def test_words_called_age_stay_words(source) -> None:
    assert said(source, "file,age\n1,Senior\n2,senior\n3,baby\n", ["age"])[1] == {"age": "senior"}


def test_attributes_and_classes(source) -> None:
    assert said(source, "file,Male\n1.png,1\n2.png,-1\n3.png,1\n", ["sex"], "t.csv:Male") == [
        {"sex": "male"},
        {"sex": "female"},
        {"sex": "male"},
    ]
    found = said(source, "file,Smiling\n1.png,1\n2.png,-1\n3.png,1\n", ["mood"], "t.csv:Smiling")
    assert [known["mood"] for known in found] == ["smiling", "no_smiling", "smiling"]
    found = said(source, "file,style\n1.png,0\n2.png,2\n3.png,1\n", ["style"])
    assert [known["style"] for known in found] == ["style0", "style2", "style1"]


@pytest.mark.parametrize("words", [("M", "f", "Man"), ("male", "Female", "m"), ("man", "woman", "male")])
def test_sexes_by_their_usual_words(source, words) -> None:
    text = "file,gender\n" + "".join(f"{n}.png,{word}\n" for n, word in enumerate(words, 1))
    assert [k["sex"] for k in said(source, text, ["sex"], "t.csv:gender")] == ["male", "female", "male"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("file,hair\n1.png,a\n1.png,b\n", "rows about trainA/1.png say both a and b"),
        ("file,hair\n1.png,0.25\n2.png,0.5\n", "holds numbers, which make no groups"),
        ("file,other\n1.png,a\n", "there is no column 'hair'"),
        ("file,hair\n77.png,a\n", "names none of the images"),
    ],
)
def test_tables_that_make_no_groups(source, text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        said(source, text, ["hair"])


def test_a_table_of_other_images_says_nothing_where_that_may_be(source) -> None:
    (source.path / "t.csv").write_text("file,hair\n77.png,a\n")
    assert by_table(open_source(source.path), "t.csv", NAMES, ["hair"], AGES, insist=False) == [{}, {}, {}]


def test_the_folder_of_a_side_says_nothing(source) -> None:
    assert side_prefix(source, NAMES) == "trainA/"
    assert side_prefix(source, ["testB/9.png"]) == "testB/"
    names = ["trainA/Old/F/1.png", "trainA/Old/2.png", "trainA/3.png", "trainA/Old/F/extra/4.png"]
    assert by_folders(names, "trainA/", ["age", "sex"]) == [
        {"age": "old", "sex": "female"},
        {"age": "old"},
        {},
        {"age": "old", "sex": "female"},
    ]


def test_a_small_side_merges_a_group_and_what_comes_of_it() -> None:
    sources = [{"age": "old", "sex": sex} for sex in ("male", "male", "female", "female")] + [{"age": "child"}] * 2
    targets = [{"age": "old", "sex": "male"}] * 3 + [{"age": "child"}]
    found = {group.name: group for group in make_groups(parse_stages("all,age,age-sex"), sources, targets, 2)}
    assert {name: group.merged for name, group in found.items()} == {
        "all": None,
        "child": "all",  # one target
        "old": None,
        "old-female": "old",  # no target
        "old-male": None,
    }
    assert found["old-male"].targets == (0, 1, 2) and found["old-male"].sources == (0, 1)
    alone = make_groups(parse_stages("all,age,age-sex"), sources, None, 5)
    assert {group.merged for group in alone} == {None, "all"} and all(g.merged == "all" for g in alone[1:])


@pytest.mark.parametrize(
    "text", ["", "age", "all,", "all,age,sex", "all,age,age-age", "all,all", "all,-", "all,age,age"]
)
def test_stages_that_cannot_be(text: str) -> None:
    with pytest.raises(UserError, match="--stages"):
        parse_stages(text)


@pytest.mark.parametrize("text", ["", "40", "40,15", "15,15", "-1,4", "a,b", "1,2,3", "٣,9"])
def test_ages_that_cannot_be(text: str) -> None:
    with pytest.raises(UserError, match="are not two ages"):
        parse_ages(text)
