"""DiscoGAN's pickled modules load as translators and give the official values; nothing of them is run."""

from __future__ import annotations

import pytest
import torch

import organza
from organza import UserError
from organza.tensors.opening import open_file
from organza.tensors.state_dict import read_state_dict
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CASES = golden.names("discogan") or ["absent"]


def path(case, net):
    return next(case.folder / name for name in case.about["files"] if name.startswith(f"model_{net}-"))


def ours(x):
    """From blue, green, red in [0, 1] to red, green, blue in [-1, 1]."""
    return 2 * x.flip(1) - 1


def theirs(x):
    return (x.flip(1) + 1) / 2


@pytest.mark.parametrize("name", CASES)
def test_generators_give_the_official_values(name, tmp_path, told):
    case = golden.load("discogan", name)
    for makes, source, way in (("A", "B", "BtoA"), ("B", "A", "AtoB")):
        T = organza.load(path(case, f"gen_{makes}"))
        assert (T.kind, T.name, T.mode) == ("discogan", way, "train")
        x = ours(case.arrays[source])
        case.check(f"gen_{makes}_out_eval", theirs(T.apply(x, mode="eval")))
        case.check(f"gen_{makes}_out_train", theirs(T.apply(x)))
    copy = organza.load(convert(path(case, "gen_B"), tmp_path / "ours"))
    assert torch.equal(copy.apply(x), T.apply(x))
    assert inspect(path(case, "gen_B")).usable
    assert "foreign code" not in told()
    assert T.translate(torch.zeros(50, 70, 3, dtype=torch.uint8).numpy()).height == 64


@pytest.mark.parametrize("name", CASES)
def test_a_discriminator_alone_is_named(name):
    with pytest.raises(UserError, match="the discriminator of DiscoGAN"):
        organza.load(path(golden.load("discogan", name), "dis_A"))


def test_files_that_are_nearly_ones(tmp_path):
    held = open_file(path(golden.load("discogan", "plain_w3"), "gen_A")).tensors
    tensors = {name: value.tensor() for name, value in held.items()}
    torch.save(tensors, tmp_path / "state.pth")  # tensors alone are enough
    assert organza.load(tmp_path / "state.pth").kind == "discogan"
    counted = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(counted, tmp_path / "old.pth")
    assert organza.load(tmp_path / "old.pth").kind == "discogan"
    for change in ({"main.99.weight": torch.zeros(3)}, {"main.6.weight": torch.zeros(5)}, {"main.20.weight": None}):
        torch.save({**tensors, **change}, tmp_path / "odd.pth")
        with pytest.raises(UserError, match="which Organza can't use"):
            organza.load(tmp_path / "odd.pth")


def test_a_generator_in_a_dictionary_goes_the_way_of_its_name_there(tmp_path):
    case = golden.load("discogan", CASES[0])
    content = read_state_dict(path(case, "gen_A"))
    for name, way in (("generator_A", "BtoA"), ("generator_B", "AtoB")):
        torch.save({name: content}, tmp_path / "all.pth")
        assert organza.load(tmp_path / "all.pth").name == way
