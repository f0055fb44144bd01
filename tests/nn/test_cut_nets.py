"""CUT's networks and its contrastive loss equal the official ones."""

from __future__ import annotations

import pytest
import torch

from organza.formats.ports import junyanz_names
from organza.nn.patch_nce import PatchHeads, patch_nce, patches, unit
from organza.nn.patchgan import PatchGAN, receptive_field
from organza.nn.penalties import r1
from organza.nn.resnet import ResNetGenerator
from organza.tensors.entry import entry
from organza.tensors.opening import open_file
from tests import golden

CASES = golden.names("cut") or ["absent"]
LAYERS = (0, 4, 8, 12, 16)


def tensors(case, player):
    held = open_file(case.folder / f"latest_net_{player}.pth").tensors
    return {name: value for name, value in held.items() if not name.endswith(".filt")}


def generator(case):
    about = case.about["generator"]
    net = ResNetGenerator(
        3,
        3,
        int(about["netG"].removeprefix("resnet_").removesuffix("blocks")),
        about["ngf"],
        about["norm"],
        blur_down=not about["no_antialias"],
        blur_up=not about["no_antialias_up"],
    )
    held = tensors(case, "G")
    names = junyanz_names.resnet_names(held)
    net.load_state_dict({ours: entry(held[theirs]).read() for theirs, ours in names.items()})
    return net


def heads(case, net):
    found = PatchHeads([net.places[place] for place in LAYERS], case.about["sampler"]["netF_nc"])
    held = tensors(case, "F")
    found.load_state_dict({f"heads.{name.removeprefix('mlp_')}": entry(value).read() for name, value in held.items()})
    return found


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_outputs_and_features_equal_golden_values(name):
    case = golden.load("cut", name)
    net = generator(case)
    case.check("out_eval", net(case.arrays["x"]))
    for place, feature in zip(LAYERS, net.features(case.arrays["x"], LAYERS), strict=True):
        case.check(f"feat_{place}", feature)
        assert feature.shape[1] == net.places[place]


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_discriminators_equal_golden_values(name):
    case = golden.load("cut", name)
    about = case.about["discriminator"]
    net = PatchGAN(3, about["n_layers_D"], about["ndf"], about["norm"], blur=not about["no_antialias"])
    held = tensors(case, "D")
    order = sorted({int(name.split(".")[1]) for name in held})

    def ours(name):
        _, place, part = name.split(".")
        return f"layers.{order.index(int(place))}.conv.{part}"

    net.load_state_dict({ours(name): entry(value).read() for name, value in held.items()})
    case.check("d_out_eval", net(case.arrays["x"]))


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_contrast_of_patches_equals_golden_values(name):
    case = golden.load("cut", name)
    net = generator(case)
    head = heads(case, net)
    positions = [case.arrays[f"ids_{place}"] for place in LAYERS]
    keys, queries = (head(net.features(case.arrays[side], LAYERS), positions) for side in ("x", "y"))
    losses = {"own": [], "all": []}
    for place, key, query in zip(LAYERS, keys, queries, strict=True):
        case.check(f"sample_x_{place}", key.flatten(0, 1))
        own = patch_nce(query, key)
        case.check(f"nce_own_{place}", own.flatten())
        together = patch_nce(query.flatten(0, 1)[None], key.flatten(0, 1)[None])  # negatives of all images
        case.check(f"nce_all_{place}", together.flatten())
        losses["own"].append(own.mean())
        losses["all"].append(together.mean())
    case.check("sample_y_16", queries[-1].flatten(0, 1))
    case.check("sample_nomlp_x_4", unit(patches(net.features(case.arrays["x"], [4])[0], positions[1])).flatten(0, 1))
    for which, found in losses.items():
        case.check(f"nce_{which}_total", torch.stack(found).mean())


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_logit_with_blurs_depends_on_its_receptive_field(layers):
    net = PatchGAN(1, layers, width=3, norm="none", blur=True)
    side = 3 * receptive_field(layers, blur=True) + 1
    images = torch.rand(1, 1, side, side, requires_grad=True)
    logits = net(images)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    rows = images.grad[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() + 1 == receptive_field(layers, blur=True)


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("layers", [1, 3])
def test_discriminators_with_blurs_have_as_many_logits_as_without(layers, side):
    images = torch.zeros(1, 3, side * 2**layers, 5 * 2**layers)
    assert PatchGAN(3, layers, 2, blur=True)(images).shape == PatchGAN(3, layers, 2)(images).shape


def test_penalties_of_discriminators_with_blurs_are_learnt_from():
    torch.manual_seed(0)
    net = PatchGAN(3, 2, 4, norm="instance", blur=True)
    r1(net, torch.rand(2, 3, 24, 24)).mean().backward()
    assert all(p.grad.any() for name, p in net.named_parameters() if name.endswith("weight"))


def test_features_stop_at_what_is_asked_for():
    net = ResNetGenerator(3, 3, blocks=1, width=2, padding="zero")
    images = torch.rand(1, 3, 8, 8)
    padded, last = net.features(images, [0, len(net.places) - 1])
    assert torch.equal(padded[:, :, 3:-3, 3:-3], images) and not padded[:, :, :3].any()
    x = net.stem(images)
    for layer in (*net.downs, *net.blocks):
        x = layer(x)
    torch.testing.assert_close(last, x)  # laid out in another way, so rounded in another
