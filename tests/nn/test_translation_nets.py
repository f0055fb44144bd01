"""Networks of image-to-image translation equal the official ones, and behave as their descriptions say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from organza.core.device import computing
from organza.core.errors import UserError
from organza.formats.ports import junyanz_names
from organza.nn import losses, penalties
from organza.nn.norms import running
from organza.nn.patchgan import PatchGAN, receptive_field
from organza.nn.resnet import ResNetGenerator
from organza.nn.unet import UNetGenerator
from organza.ops import input_gradient
from organza.tensors.entry import entry
from organza.tensors.opening import open_file
from tests import golden

LOSSES = "gan_losses_707"
CASES = [name for name in golden.names("junyanz") if name != LOSSES] or ["absent"]


def build(about) -> tuple[nn.Module, str]:
    """Our network for the arguments of the official ``define_G`` and ``define_D``, and the function for its names."""
    args = about["kwargs"]
    if "netD" in args:
        layers = {"pixel": 0, "basic": 3, "n_layers": args.get("n_layers_D", 3)}[args["netD"]]
        return PatchGAN(args["input_nc"], layers, args["ndf"], args["norm"]), "discriminator_names"
    channels, rest = (args["input_nc"], args["output_nc"]), (args["ngf"], args["norm"], args["use_dropout"])
    kind, size = args["netG"].split("_")
    if kind == "unet":
        return UNetGenerator(*channels, {"128": 7, "256": 8}[size], *rest), "unet_names"
    return ResNetGenerator(*channels, int(size.removesuffix("blocks")), *rest), "resnet_names"


def fill(net: nn.Module, path, names: str) -> None:
    """Every tensor of ours gets one of the file."""
    tensors = open_file(path).tensors
    table = getattr(junyanz_names, names)(tensors)
    net.load_state_dict({ours: entry(tensors[theirs]).read() for theirs, ours in table.items()}, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_golden_values(name):
    case = golden.load("junyanz", name)
    net, names = build(case.about)
    fill(net, case.folder / next(iter(case.about["files"])), names)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        case.check("out_eval", net.eval()(case.arrays["x"]))
        if "out_train" in case.arrays:
            with running(net, "train"):
                case.check("out_train", net(case.arrays["x"]))
            with running(net.train(), "eval"):
                case.check("out_eval", net(case.arrays["x"]))
            assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
            case.check("out_train", net(case.arrays["x"]))
        else:  # statistics of each image by itself: the modes don't differ
            case.check("out_eval", net.train()(case.arrays["x"]))


def test_losses_and_penalties_equal_golden_values():
    case = golden.load("junyanz", LOSSES)
    pred, smooth = case.arrays["pred"], {"a": 0.1, "b": 0.9}
    one, nine = torch.ones_like(pred), torch.full_like(pred, 0.9)
    expected = {
        "vanilla_real": losses.logistic_g(pred),
        "vanilla_fake": -losses.saturating_g(pred),
        "lsgan_real": 2 * losses.least_squares_g(pred),
        "lsgan_fake": 2 * losses.least_squares_d(one, pred),
        "lsgan_smooth_real": 2 * losses.least_squares_g(pred, c=0.9),
        "lsgan_smooth_fake": 2 * losses.least_squares_d(nine, pred, **smooth),
        "wgangp_real": losses.wasserstein_g(pred),
        "wgangp_fake": losses.wasserstein_d(torch.zeros_like(pred), pred),
    }
    for name, loss in expected.items():
        case.check(name, loss.mean())
    both = {
        "vanilla": losses.logistic_d(pred, pred),
        "lsgan": 2 * losses.least_squares_d(pred, pred),
        "lsgan_smooth": 2 * losses.least_squares_d(pred, pred, **smooth),
        "wgangp": losses.wasserstein_d(pred, pred),
    }
    for name, loss in both.items():
        total = case.arrays[f"{name}_real"] + case.arrays[f"{name}_fake"]
        torch.testing.assert_close(loss.mean(), total, rtol=1e-4, atol=1e-4)

    critic = PatchGAN(3, layers=2, width=6, norm="none")
    fill(critic, case.folder / "critic.pth", "discriminator_names")
    real, fake, alpha = (case.arrays[name] for name in ("real", "fake", "alpha"))
    mixed = torch.lerp(fake, real, alpha[:, :, None, None])
    for name, images in {"gp_real": real, "gp_fake": fake, "gp_mixed": mixed}.items():
        case.check(name, 10 * penalties.wgan_gp(critic, images).mean())
    mixed.requires_grad_()
    case.check("gp_mixed_grads", input_gradient(critic(mixed).sum(), mixed).flatten(1))


GENERATORS = {
    "unet": lambda norm, **more: UNetGenerator(2, 5, depth=3, width=3, norm=norm, **more),
    "deep unet": lambda norm, **more: UNetGenerator(1, 3, depth=6, width=2, norm=norm, **more),
    "resnet": lambda norm, **more: ResNetGenerator(5, 1, blocks=2, width=3, norm=norm, **more),
    "zero resnet": lambda norm, **more: ResNetGenerator(4, 2, 1, 3, norm, padding="zero", halvings=3, **more),
}
CHANNELS = {"unet": (2, 5), "deep unet": (1, 3), "resnet": (5, 1), "zero resnet": (4, 2)}
NORMS = ["batch", "instance", "none"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", GENERATORS)
def test_generators_keep_the_size_and_learn_everywhere(kind, norm):
    torch.manual_seed(0)
    net = GENERATORS[kind](norm, dropout=True)
    inputs, outputs = CHANNELS[kind]
    height, width = (max(2 * net.multiple, 8), 3 * net.multiple)
    images = torch.rand(2, inputs, height, width) * 2 - 1
    out = net(images)
    assert out.shape == (2, outputs, height, width)
    assert out.dtype == torch.float32
    assert out.abs().max() <= 1
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # A bias before normalisation by the image's own statistics changes nothing.
        assert parameter.grad.any() or (norm == "instance" and name.endswith("bias")), name
    with pytest.raises(UserError, match=f"multiples of {net.multiple}"):
        net(images[:, :, 1:])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layers", [0, 1, 3, 4])
def test_discriminators_of_any_depth_learn_everywhere(layers, norm):
    torch.manual_seed(0)
    net = PatchGAN(5, layers, width=3, norm=norm)
    sides = (4 * 2**layers, 5 * 2**layers)
    images, condition = torch.randn(2, 3, *sides), torch.randn(2, 2, *sides)
    logits = net(images, condition)
    assert logits.shape == ((2, 1, 2, 3) if layers else (2, 1, 4, 5))
    assert torch.equal(logits, net(torch.cat([condition, images], 1)))
    logits.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or (norm == "instance" and name.endswith("bias")), name


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_a_logit_depends_on_its_receptive_field(layers):
    """Exactly so many pixels along each side have a gradient."""
    net = PatchGAN(1, layers, width=2, norm="none")
    images = torch.randn(1, 1, 160, 160, requires_grad=True)
    logits = net(images)
    middle = logits.shape[2] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], images)
    rows, columns = (gradient[0, 0].any(axis).nonzero().flatten() for axis in (1, 0))
    for reached in (rows, columns):
        assert (reached.max() - reached.min() + 1).item() == receptive_field(layers)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_the_smallest_images(layers, norm):
    batch = 2 if norm != "instance" else 1
    net = PatchGAN(3, layers, width=2, norm=norm)
    side = 3 * 2**layers if layers else 2
    assert net(torch.zeros(batch, 3, side, side)).shape[2:] == ((1, 1) if layers else (2, 2))
    if layers:
        with pytest.raises(UserError, match=f"at least {side}"):
            net(torch.zeros(batch, 3, side, side - 1))
    unet = UNetGenerator(3, 3, depth=layers + 2, width=2, norm=norm)
    assert unet(torch.zeros(batch, 3, unet.multiple, unet.multiple)).shape[2:] == (unet.multiple, unet.multiple)
    resnet = ResNetGenerator(3, 3, blocks=1, width=2, norm=norm, halvings=layers)
    side = max(4, 2 * resnet.multiple)
    assert resnet(torch.zeros(batch, 3, side, side)).shape[2:] == (side, side)
    with pytest.raises(UserError, match=f"at least {side}"):
        resnet(torch.zeros(batch, 3, side, side - resnet.multiple))


def test_dropout_stands_where_the_official_networks_have_it():
    unet = UNetGenerator(3, 3, depth=8, width=1, dropout=True)
    levels = [k for k, up in enumerate(unet.ups) if isinstance(up.dropout, nn.Dropout)]
    assert levels == [4, 5, 6]
    resnet = ResNetGenerator(3, 3, blocks=2, width=1, dropout=True)
    assert sum(isinstance(module, nn.Dropout) for module in resnet.modules()) == 2


def test_residual_blocks_mirror_the_border():
    """A constant image stays constant under reflection, not under zeros."""
    torch.manual_seed(0)
    for padding, flat in {"reflect": True, "zero": False}.items():
        net = ResNetGenerator(1, 1, blocks=1, width=2, norm="none", padding=padding, halvings=0)
        out = net(torch.ones(1, 1, 12, 12))
        assert torch.allclose(out, out[:, :, :1, :1].expand_as(out), atol=1e-6) == flat


@pytest.mark.parametrize("norm", NORMS)
def test_activations_in_bf16_and_the_result_in_float32(norm):
    torch.manual_seed(0)
    nets = {
        "unet": UNetGenerator(3, 3, 3, 4, norm),
        "resnet": ResNetGenerator(3, 3, 1, 4, norm),
        "D": PatchGAN(3, 2, 4),
    }
    images = torch.rand(2, 3, 16, 16)
    for net in nets.values():
        inner = []
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda module, args, out, inner=inner: inner.append(out.dtype))
        exact = net(images)
        with computing(torch.bfloat16):
            near = net(images)
            near.sum().backward()
        assert near.dtype == torch.float32
        assert torch.bfloat16 in inner
        assert (near - exact).abs().max() < 0.1
        assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in net.parameters())


def test_weights_start_as_the_official_ones():
    torch.manual_seed(0)
    net = UNetGenerator(3, 3, depth=5, width=32)
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    weights = torch.cat([conv.weight.flatten() for conv in convs])
    assert weights.mean().abs().item() < 1e-4
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert all(not conv.bias.any() for conv in convs if conv.bias is not None)
    gains = torch.cat([m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert gains.mean().item() == pytest.approx(1, abs=0.005)
    assert gains.std().item() == pytest.approx(0.02, rel=0.1)


def test_too_shallow_a_unet_is_refused():
    with pytest.raises(ValueError, match="depth 1"):
        UNetGenerator(3, 3, depth=1)
