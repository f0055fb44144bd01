"""Files of CartoonGAN and AnimeGAN2 load and give the official values."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from organza import UserError
from organza.formats import read_weights
from organza.models.load import load_translator
from organza.nn.losses import logistic_d, logistic_g, saturating_g
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden


@pytest.mark.parametrize("name", [n for n in golden.names("cartoongan") if n.startswith("nf")] or ["absent"])
def test_cartoongan(name, tmp_path):
    case = golden.load("cartoongan", name)
    file = case.folder / "generator_param.pkl"
    T = load_translator(file, networks="all")
    arrays = case.arrays
    case.check("out_eval", T.apply(arrays["x"]))
    real, fake, edge = (T.discriminator(x) for x in (arrays["y"], T.apply(arrays["x"]), arrays["e"]))
    for key, logits in (("d_real", real), ("d_fake", fake), ("d_edge", edge)):
        case.check(key, torch.sigmoid(logits))
    case.check("loss_d", logistic_d(real, fake).mean() - saturating_g(edge).mean())
    case.check("loss_g_adv", logistic_g(fake).mean())
    assert "CartoonGAN" in str(inspect(file)) and inspect(file).usable
    copy = load_translator(convert(file, tmp_path / "ours"))
    assert torch.equal(copy.apply(arrays["x"]), T.apply(arrays["x"]))
    odd = np.random.RandomState(0).randint(0, 256, (33, 47, 3)).astype(np.uint8)
    assert T.translate(odd, size="own").size == (47, 33)
    shutil.copy(file, tmp_path / "generator_param.pkl")
    assert set(read_weights(tmp_path / "generator_param.pkl").nets) == {"G"}
    with pytest.raises(UserError, match="the discriminator of CartoonGAN, without its generator"):
        read_weights(case.folder / "discriminator_param.pkl")


@pytest.mark.parametrize("name", golden.names("animegan2") or ["absent"])
def test_animegan2(name, tmp_path):
    case = golden.load("animegan2", name)
    file = next(case.folder.glob("*.pt"))
    T = load_translator(file)
    for key in ("0", "1"):
        if f"x{key}" in case.arrays:  # the second of odd sizes
            case.check(f"out{key}_eval", T.apply(case.arrays[f"x{key}"]))
    if "out0_eval_noalign" in case.arrays:
        T.net.align_corners = False
        case.check("out0_eval_noalign", T.apply(case.arrays["x0"]))
        T.net.align_corners = True
    assert "AnimeGAN2" in str(inspect(file)) and inspect(file).usable
    copy = load_translator(convert(file, tmp_path / "ours"))
    assert torch.equal(copy.apply(case.arrays["x0"]), T.apply(case.arrays["x0"]))
    odd = np.random.RandomState(0).randint(0, 256, (33, 47, 3)).astype(np.uint8)
    assert T.translate(odd, size="own").size == (47, 33)
