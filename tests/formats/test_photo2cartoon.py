"""Files of Photo2Cartoon, minivision's and PaddleGAN's, load with all their networks and give the official values."""

from __future__ import annotations

import pytest
import torch

import organza
from organza import PRESETS, UserError, train
from organza.models.load import load_translator
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

MINIVISION = [("photo2cartoon", name) for name in golden.names("photo2cartoon") if not name.startswith("mobile")]
PADDLE = [("paddlegan", name) for name in golden.names("paddlegan") if name.startswith("photo2cartoon")]
CASES = MINIVISION + PADDLE or [("photo2cartoon", "absent")]


def file_of(case):
    return case.folder / next(iter(case.about["files"]))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_they_give_the_official_values(kind, name, tmp_path):
    case = golden.load(kind, name)
    T = load_translator(file_of(case), networks="all")
    x, main = case.arrays["x"], "" if "out" in case.arrays else "genA2B_"
    case.check(f"{main}out", T.apply(x))
    with torch.no_grad():
        found = T.net.attend(x)
    case.check(f"{main}cam_logit", found.logits)
    case.check(f"{main}heatmap", found.heat)
    report = inspect(file_of(case))
    assert report.usable and "Photo2Cartoon" in str(report)
    copy = load_translator(convert(file_of(case), tmp_path / "ours"))
    assert torch.equal(copy.apply(x), T.apply(x))


def test_the_way_back_and_the_discriminators():
    case = golden.load("photo2cartoon", "full_ngf4_32_all")
    case.check("genB2A_out", load_translator(file_of(case), model="BtoA").apply(case.arrays["x"]))
    weights = organza.formats.read_weights(file_of(case))
    assert set(weights.nets) == {"G_AtoB", "G_BtoA", "D_A", "D_A_local", "D_B", "D_B_local"} and not weights.problems
    assert not weights.config.light and weights.spec.resolution == (32, 32) and weights.config.levels == 4
    for ours, theirs in (("D_A", "disGA"), ("D_A_local", "disLA"), ("D_B", "disGB"), ("D_B_local", "disLB")):
        method, _ = weights.build(critic=False)
        net = method.nets[ours].to_empty(device="cpu")
        net.load_state_dict(weights.tensors(ours))
        with torch.no_grad():
            patches, found = net.eval().attend(case.arrays["d_x"])
        case.check(f"{theirs}_out", patches)
        case.check(f"{theirs}_cam_logit", found.logits)


def test_a_training_goes_on_from_a_file(pairs, tmp_path):
    case = golden.load("photo2cartoon", "light_ngf4_48")
    run, options = PRESETS["photo2cartoon"].run, {"kimg": 0.001, "batch": 1, "grid": "1x1", "lr": 0.0}
    with pytest.raises(UserError, match="compares faces by a network that does not come with Organza; say --face-id"):
        train(run, pairs, outdir=tmp_path, resume=file_of(case), resolution="96", **options)
    outcome = train(
        run, pairs, outdir=tmp_path, resume=file_of(case), resolution="96", face_weight=0.0, width_d=2, **options
    )
    x = case.arrays["x"]
    assert torch.allclose(organza.load(outcome.folder).apply(x), organza.load(file_of(case)).apply(x), atol=1e-5)


def test_a_broken_one(tmp_path):
    case = golden.load("photo2cartoon", "light_ngf4_48")
    whole = torch.load(file_of(case), weights_only=True)
    torch.save(whole["genA2B"], tmp_path / "bare.pt")
    case.check("out", load_translator(tmp_path / "bare.pt").apply(case.arrays["x"]))
    changes = {
        "lost": (lambda net: net.pop("UpBlock1.2.weight"), r"the tensor for 'ups\.0\.conv\.weight' is missing"),
        "odd": (lambda net: net.update({"HourGlass1.HG.7.weight": torch.zeros(1)}), "of an hourglass is unknown"),
        "much": (lambda net: net.update({"DecodeBlock9.conv1.weight": torch.zeros(1)}), "is too much"),
        "shape": (lambda net: net.update({"FC.0.weight": torch.zeros(3, 3)}), "no squares"),
        "flat": (lambda net: net.update({"ConvBlock2.1.weight": torch.zeros(3)}), "misshaped"),
    }
    for name, (change, message) in changes.items():
        net = dict(whole["genA2B"])
        change(net)
        torch.save({"genA2B": net}, tmp_path / f"{name}.pt")
        with pytest.raises(UserError, match=f"Photo2Cartoon that can't be used: .*{message}"):
            organza.load(tmp_path / f"{name}.pt")
