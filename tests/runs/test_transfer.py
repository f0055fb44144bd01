"""Training from other networks: what fits is copied, at the same size and at another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza import PRESETS, UserError, train
from organza.cli.main import main
from organza.data.drawn_faces.files import write_faces
from organza.formats import read_weights
from organza.runs.train import changed
from organza.training.checkpoint import newest_first
from tests import golden

QUICK = {"batch": 4, "grid": "4x2", "precision": "float32", "kimg": 0.004, "lr": 0.0, "w_avg_decay": 1.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "faces.zip"
    write_faces(path, 12, 64, seed=0)
    return path


def tensors(folder: Path, which: str) -> dict[str, torch.Tensor]:
    return load_file(next(newest_first(folder / "checkpoints")) / f"{which}.safetensors")


def fixture(kind: str, file: str) -> Path:
    case = golden.load(kind, golden.names(kind)[0] if kind != "nvidia_ada_pkl" else "uncond_skip_resnet_32")
    (path,) = case.folder.glob(file)
    return path


@pytest.mark.parametrize(
    ("kind", "file"), [("nvidia_ada_pkl", "*.pkl"), ("rosinality_pt", "*.pt"), ("nvidia_tf_pkl", "*.pkl")]
)
@pytest.mark.parametrize("resolution", [32, 64, 16])
def test_files_of_others_at_any_size(kind, file, resolution, data, tmp_path, capsys):
    path = fixture(kind, file)
    weights = read_weights(path)
    run = train("stylegan2", data, outdir=tmp_path, resume=path, resolution=str(resolution), ema_kimg=1e9, **QUICK)
    said = capsys.readouterr().err
    assert f"starting from {path.name}: " in said and "tensors of G and" in said
    config = json.loads((run.folder / "config.json").read_text())
    assert config["source"]["file"] == path.name and config["config"]["channel_base"] == weights.config.channel_base
    if weights.licence is not None:
        assert weights.licence in (run.folder / "LICENCE-NOTE.txt").read_text()

    ema, nets = tensors(run.folder, "ema"), tensors(run.folder, "nets")
    theirs = weights.tensors("G_ema")
    same = [name for name, value in theirs.items() if torch.equal(ema.get(f"G.{name}", torch.empty(0)), value)]
    assert {"mapping.layers.1.weight", "synthesis.blocks.0.const"} <= set(same)
    assert torch.equal(nets["G.w_avg"], weights.tensors("G" if "G" in weights.nets else "G_ema")["w_avg"])
    assert any(name.startswith(f"synthesis.blocks.{min(resolution, 32).bit_length() - 3}.") for name in same)
    if resolution == 32 and not weights.spec.label_dim:
        assert {*same, "w_avg"} >= {name for name in theirs if "noise_const" not in name}
    if "D" in weights.nets:
        critic = weights.tensors("D")
        assert torch.equal(nets["D.conv.weight"], critic["conv.weight"])
        # The last block shrinks 8x8 to 4x4 at every resolution.
        ours = resolution.bit_length() - 4  # and the file draws 32x32
        assert torch.equal(nets[f"D.blocks.{ours}.conv1.weight"], critic["blocks.2.conv1.weight"])


@pytest.mark.parametrize(
    ("preset", "kind", "case", "resolution"),
    [
        ("progan", "progan", "fair_s3_alpha03", 32),
        ("progan", "progan", "akanimax_32", 16),
        ("progan", "progan", "fair_s1_alpha06", 16),
        ("stylegan-f", "nvidia_tf_pkl", "sg1_32", 32),
        ("stylegan-f", "nvidia_tf_pkl", "sg1_32", 16),
        ("stylegan3-t", "stylegan3_pkl", "t_32", 32),
        ("stylegan3-t", "stylegan3_pkl", "t_32", 64),
        ("lucidrains", "lucidrains", "const_16", 16),
    ],
)
def test_every_method_goes_on_from_files(preset, kind, case, resolution, data, tmp_path, capsys):
    (path,) = (path for path in golden.load(kind, case).folder.iterdir() if path.suffix in (".pkl", ".pt", ".bin"))
    weights = read_weights(path)
    run = train(preset, data, outdir=tmp_path, resume=path, resolution=str(resolution), batch=4, grid="2x1", kimg=0.004)
    said = capsys.readouterr().err
    assert f"starting from {path.name}: " in said
    size = weights.spec.resolution[0]
    assert ("fresh" in said) == (resolution > size)
    settings = json.loads((run.folder / "config.json").read_text())
    assert settings["config"]["z_dim"] == weights.config.z_dim
    if "start_size" in settings["config"]:  # what is there need not grow again
        level = int(weights.tensors("G" if "G" in weights.nets else "G_ema")["grown"])
        assert settings["config"]["start_size"] == 4 << level
        assert tensors(run.folder, "nets")["G.grown"] == min(resolution.bit_length() - 3, level)


def test_an_autoencoder_goes_on_too(data, tmp_path):
    run = PRESETS["vae"].run
    first = train(run, data, outdir=tmp_path / "a", resolution="16", width=2, z_dim=2, batch=4, grid="2x1", kimg=0.004)
    again = train(
        run, data, outdir=tmp_path / "b", resume=first.folder, resolution="16", batch=4, grid="2x1", kimg=0.004
    )
    assert json.loads((again.folder / "config.json").read_text())["config"]["width"] == 2


def test_a_run_of_ours_and_its_own_continuation(faces, tiny_run, tmp_path, told):
    run = PRESETS["stylegan2"].run
    options = {**QUICK, "lr": 0.002, "w_avg_decay": 0.995}
    half = train(run, faces, outdir=tmp_path / "a", resume=tiny_run, **{**options, "kimg": 0.008})
    assert "fresh" not in told()
    again = train(run, faces, outdir=tmp_path / "a", resume=tiny_run, **{**options, "kimg": 0.016})
    assert again.folder == half.folder and "continuing" in told()
    straight = train(run, faces, outdir=tmp_path / "b", resume=tiny_run, **{**options, "kimg": 0.016})
    one, other = tensors(again.folder, "nets"), tensors(straight.folder, "nets")
    assert all(torch.equal(one[name], other[name]) for name in one)
    settings = json.loads((again.folder / "config.json").read_text())
    assert settings["source"]["file"].startswith(tiny_run.name) and settings["training"]["ema_rampup"] is None


def test_frozen_blocks_keep_what_was_transferred(faces, tiny_run, tmp_path):
    options = {**QUICK, "lr": 0.002, "kimg": 0.008}
    run = train("stylegan2", faces, outdir=tmp_path, resume=tiny_run, freeze_d=1, **options)
    before, after = tensors(tiny_run, "nets"), tensors(run.folder, "nets")
    for name in before:
        if name.startswith("D.") and "taps" not in name:
            assert torch.equal(before[name], after[name]) == name.startswith("D.blocks.0."), name


def test_contradictions(faces, tiny_run, tmp_path):
    with pytest.raises(UserError, match=r"--channel-base 64 contradicts .*, which has 128; leave --channel-base out"):
        train("stylegan2", faces, outdir=tmp_path, resume=tiny_run, channel_base=64, **QUICK)
    with pytest.raises(UserError, match="holds a network of stylegan2, not of dcgan"):
        train("dcgan", faces, outdir=tmp_path, resume=tiny_run, kimg=0.004)
    with pytest.raises(UserError, match="--freeze-d would keep random layers"):
        train("stylegan2", faces, outdir=tmp_path, freeze_d=1, **QUICK)
    assert not list(tmp_path.iterdir())


def test_what_is_typed_counts_even_where_the_preset_says_the_same(faces, tiny_run, tmp_path, capsys):
    """stylegan2-256 has a channel_base of 16384, the network that it should go on from 128."""
    common = ["train", "stylegan2-256", "--data", str(faces), "--outdir", str(tmp_path), "--resume", str(tiny_run)]
    assert main([*common, "--channel-base", "16384", "--dry-run"]) == 2
    assert "--channel-base 16384 contradicts" in capsys.readouterr().err
    with pytest.raises(UserError, match="--channel-base 16384 contradicts"):
        train("stylegan2-256", faces, outdir=tmp_path, resume=tiny_run, channel_base=16384)
    assert not list(tmp_path.iterdir())
    # Transfer leaves the ramp-up of averages out, unless somebody wants it; and starts where a network has grown to.
    for typed, ramp in (([], None), (["--ema_rampup=0.05"], 0.05)):
        assert main([*common, "--batch=4", "--grid=2x1", "--kimg=0.004", "--metrics=none", "--new", *typed]) == 0
        newest = max(tmp_path.iterdir())
        config = json.loads((newest / "config.json").read_text())
        assert config["training"]["ema_rampup"] == ramp and config["config"]["channel_base"] == 128


def test_resume_with_and_without_a_value_on_the_command_line(faces, tiny_run, tmp_path, capsys):
    common = [
        "--data",
        str(faces),
        "--outdir",
        str(tmp_path),
        "--batch",
        "4",
        "--grid",
        "4x2",
        "--precision",
        "float32",
    ]
    assert main(["train", "stylegan2", "--resume", *common]) == 2
    assert "no run of stylegan2-faces to resume" in capsys.readouterr().err
    assert main(["train", "stylegan2", "--resume", str(tiny_run), *common, "--kimg", "0.004"]) == 0
    assert f"starting from {tiny_run.name}" in capsys.readouterr().err
    assert main(["train", "stylegan2", *common, "--kimg", "0.004", "--resume", "no/such/file"]) == 2


def test_runs_from_before_a_setting_was_there_continue(faces, tmp_path):
    run = replace(PRESETS["stylegan2"].run, method=PRESETS["stylegan2"].run.method.toy())
    options = {"batch": 4, "grid": "4x2", "kimg": 0.004}
    folder = train(run, faces, outdir=tmp_path, **options).folder
    config = json.loads((folder / "config.json").read_text())
    older = json.loads(json.dumps(config))
    for name in ("augment", "loss", "freeze_d"):
        del older["config"][name]
    del older["training"]["lr_decay"]
    (folder / "config.json").write_text(json.dumps(older))
    assert changed(folder, config) == {}
    assert train(run, faces, outdir=tmp_path, resume=True, **options).folder == folder
