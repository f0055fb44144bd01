"""Files of U-GAT-IT, the authors' and PaddleGAN's, load with all their networks and give the official values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import UserError, train
from organza.models.load import load_translator
from organza.presets import PRESETS
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CASES = [("ugatit", name) for name in golden.names("ugatit")]
CASES += [("paddlegan", name) for name in golden.names("paddlegan") if name.startswith("ugatit")]
CASES = CASES or [("ugatit", "absent")]


def file_of(case):
    return case.folder / next(iter(case.about["files"]))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_they_give_the_official_values(kind, name, tmp_path):
    case = golden.load(kind, name)
    for model, gen, critic in (("AtoB", "genA2B", "disGB"), ("BtoA", "genB2A", "disGA")):
        T = load_translator(file_of(case), networks="all", model=model)
        x, d_x = case.arrays["x"], case.arrays["d_x"]
        case.check(f"{gen}_out", T.apply(x))
        with torch.no_grad():
            found = T.net.attend(x)
            case.check(f"{gen}_cam_logit", found.logits)
            case.check(f"{gen}_heatmap", found.heat)
            if f"{critic}_out" in case.arrays:
                patches, found = T.critic.attend(d_x)
                case.check(f"{critic}_out", patches)
                case.check(f"{critic}_cam_logit", found.logits)
                case.check(f"{critic}_heatmap", found.heat)
                assert torch.equal(T.discriminator(d_x), patches)
    report = inspect(file_of(case))
    assert report.usable
    assert {net.name for net in report.networks} == {"G_AtoB", "G_BtoA", "D_A", "D_A_local", "D_B", "D_B_local"}
    copy = load_translator(convert(file_of(case), tmp_path / "ours"), model="BtoA")
    assert torch.equal(copy.apply(x), load_translator(file_of(case), model="BtoA").apply(x))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_local_discriminators_too(kind, name):
    case = golden.load(kind, name)
    weights = organza.formats.read_weights(file_of(case))
    for ours, theirs in (("D_A_local", "disLA"), ("D_B_local", "disLB")):
        if f"{theirs}_out" not in case.arrays:
            continue
        method, _ = weights.build(critic=False)
        net = method.nets[ours].to_empty(device="cpu")
        net.load_state_dict(weights.tensors(ours))
        with torch.no_grad():
            patches, found = net.eval().attend(case.arrays["d_x"])
            case.check(f"{theirs}_out", patches)
            case.check(f"{theirs}_heatmap", found.heat)
            if f"{theirs}_out_train" in case.arrays:  # one more power iteration
                case.check(f"{theirs}_out_train", net.train().attend(case.arrays["d_x"])[0])


def test_the_full_version_takes_its_own_size_alone():
    case = golden.load("ugatit", "full_ch3_48")
    T = load_translator(file_of(case))
    with pytest.raises(UserError, match=r"32x48 does not fit this network, which was made for 48x48 alone"):
        T.apply(torch.zeros(1, 3, 32, 48))
    wide = Image.fromarray(np.zeros([30, 60, 3], np.uint8))
    assert T.translate(wide).size == (48, 24)  # the longer side fits, and the rest is mirrored and cut off again
    assert T.translate(wide, size=(20, 40)).size == (40, 20)
    with pytest.raises(UserError, match="60x30 pixels are more than the 48x48 that this network takes"):
        T.translate(wide, size="own")


def test_heat_is_laid_over_the_image():
    case = golden.load("ugatit", "light_ch4_32")
    T = load_translator(file_of(case))
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, [40, 50, 3], np.uint8))
    hot = T.heat(image, size="own")
    assert hot.size == (50, 40) and hot.mode == "RGB"
    assert [found.size for found in T.heat([image, image], size=(32, 36))] == [(36, 32)] * 2


def test_a_training_goes_on_from_a_file(pairs, tmp_path):
    case = golden.load("ugatit", "light_ch4_32")
    run = PRESETS["ugatit-light"].run
    with pytest.raises(UserError, match="can't be halved 5 times"):
        train(run, pairs, outdir=tmp_path, resume=file_of(case), kimg=0.001, batch=1, grid="1x1")
    outcome = train(
        run, pairs, outdir=tmp_path, resume=file_of(case), kimg=0.001, batch=1, grid="1x1", resolution="96", lr=0.0
    )
    x = case.arrays["x"]
    assert torch.allclose(organza.load(outcome.folder).apply(x), organza.load(file_of(case)).apply(x), atol=1e-5)


def test_a_generator_alone_and_a_broken_one(tmp_path):
    case = golden.load("ugatit", "light_ch4_32")
    whole = torch.load(file_of(case), weights_only=True)
    torch.save({"genB2A": whole["genB2A"]}, tmp_path / "one.pt")
    T = load_translator(tmp_path / "one.pt", networks="all", model="BtoA")
    case.check("genB2A_out", T.apply(case.arrays["x"]))
    assert T.critic is None
    torch.save(whole["genA2B"], tmp_path / "bare.pt")
    case.check("genA2B_out", load_translator(tmp_path / "bare.pt").apply(case.arrays["x"]))
    del whole["genA2B"]["UpBlock2.11.weight"]
    torch.save(whole, tmp_path / "broken.pt")
    with pytest.raises(UserError, match=r"U-GAT-IT that can't be used: the tensor for 'head\.weight' is missing"):
        organza.load(tmp_path / "broken.pt")


def test_a_generator_by_itself_goes_the_way_that_its_files_name_says(tmp_path):
    case = golden.load("ugatit", "light_ch4_32")
    content = torch.load(file_of(case))
    for name, way in (("selfie_genB2A.pt", "BtoA"), ("generator.pt", "AtoB")):
        torch.save(content["genB2A"], tmp_path / name)
        T = load_translator(tmp_path / name)
        assert T.name == way
        case.check("genB2A_out", T.apply(case.arrays["x"]))
