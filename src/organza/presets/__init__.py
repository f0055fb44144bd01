"""Every preset by name: the only registry. A new method adds its config to `METHODS` and its presets to `PRESETS`.

Presets are plain values; one that varies another is written as `replace(that, one change)`.
"""

from __future__ import annotations

import difflib
from dataclasses import replace

from organza.contract.method import MethodConfig
from organza.core.errors import UserError
from organza.data import DataOptions
from organza.methods.basic.dcgan import DCGAN
from organza.methods.basic.vae import VAE
from organza.methods.basic.wgan_gp import WGANGP
from organza.methods.stylegan.lucidrains import LucidStyleGAN2
from organza.methods.stylegan.msg_gan import MSGGAN
from organza.methods.stylegan.progan import ProGAN
from organza.methods.stylegan.stylegan import StyleGAN
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.methods.stylegan.stylegan3 import StyleGAN3
from organza.methods.translation.cyclegan import CycleGAN
from organza.methods.translation.pix2pix import Pix2Pix
from organza.presets.run import Preset, Run
from organza.presets.translation import PRESETS as TRANSLATION
from organza.training.settings import Training

__all__ = ["METHODS", "PRESETS", "Preset", "Run", "preset"]

METHODS: dict[str, type[MethodConfig]] = {
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "stylegan": StyleGAN,
    "progan": ProGAN,
    "msg-gan": MSGGAN,
    "lucidrains": LucidStyleGAN2,
    "dcgan": DCGAN,
    "wgan-gp": WGANGP,
    "vae": VAE,
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
}
"""Method names, as checkpoints store them, and their settings' classes."""


_auto = Run(StyleGAN2())
_paper = Training(batch=64, ema_kimg=20, ema_rampup=None)
# On a small budget the plain architectures learn faster than skip connections and residuals, and a higher rate with a
# stronger penalty faster than the automatic ones.
_small = StyleGAN2(
    z_dim=256,
    w_dim=256,
    channel_base=2048,
    channel_max=256,
    architecture_g="orig",
    architecture_d="orig",
    pl_weight=0.0,
    style_mixing=0.5,
    r1_gamma=1.0,
    lr=0.004,
)
_tiny = Run(_small, Training(kimg=150, batch=16, snapshot_kimg=5, tick_kimg=0.5), DataOptions(mirror=True))
# In so few steps the noise inputs leave speckle, and a high rate that falls to zero gets furthest.
_demo = Run(
    replace(
        _small,
        z_dim=64,
        w_dim=64,
        channel_base=1024,
        channel_max=128,
        style_mixing=0.0,
        noise="none",
        r1_gamma=0.2,
        lr=0.01,
    ),
    Training(kimg=30, batch=16, ema_kimg=1.0, lr_decay=0.7, snapshot_kimg=5, tick_kimg=0.5, keep=1),
    DataOptions(mirror=True),
)
# Eight GPUs, as the official implementations of ProGAN and StyleGAN have it.
_progan = ProGAN(
    pool_first=True,
    fade_kimg=600.0,
    stable_kimg=600.0,
    batches=((4, 512), (8, 256), (16, 128), (32, 64), (64, 0)),
    rates=((128, 0.0015), (256, 0.002), (512, 0.003)),
)
_growing = Training(kimg=12000, batch=32, ema_kimg=10, ema_rampup=None, snapshot_kimg=100, tick_kimg=10)
_mirrored = DataOptions(mirror=True)
_stylegan_a = Run(_progan, _growing, _mirrored)
_stylegan_b = replace(
    _stylegan_a,
    method=replace(_progan, blur=True, loss="logistic", start_size=8, label_d="select"),
    training=replace(_growing, kimg=25000),
)
_stylegan_f = StyleGAN(batches=_progan.batches, rates=_progan.rates)
_stylegan_e = replace(_stylegan_f, style_mixing=0.0)
_stylegan_d = replace(_stylegan_e, noise=False)
_stylegan_c = replace(_stylegan_d, const_input=False)
# StyleGAN2's table 1 goes on from there.
_stylegan2_b = replace(_stylegan_f, demodulate=True)
_stylegan2_c = replace(_stylegan2_b, r1_every=16)
_stylegan2_d = replace(_stylegan2_c, pl_weight=2.0)
_stylegan2_e = StyleGAN2(mapping_layers=8, channel_base=16384, mbstd_group=4, r1_gamma=100.0, lr=0.002)
_stylegan2_f = replace(_stylegan2_e, channel_base=32768, r1_gamma=10.0)
_dcgan = Run(DCGAN(), Training(kimg=2000, batch=128, ema_kimg=10))

PRESETS: dict[str, Preset] = {
    "stylegan2": Preset("StyleGAN2 with settings chosen from the pictures' size", _auto),
    "stylegan2-256": Preset(
        "StyleGAN2 at 256x256 as in the paper, half the feature maps of config F",
        Run(StyleGAN2(mapping_layers=8, channel_base=16384, mbstd_group=8, r1_gamma=1.0, lr=0.0025), _paper),
    ),
    "stylegan2-512": Preset(
        "StyleGAN2 config F at 512x512",
        Run(StyleGAN2(mapping_layers=8, channel_base=32768, mbstd_group=8, r1_gamma=0.5, lr=0.0025), _paper),
    ),
    "stylegan2-1024": Preset(
        "StyleGAN2 config F at 1024x1024, as in the paper",
        Run(
            StyleGAN2(mapping_layers=8, channel_base=32768, mbstd_group=4, r1_gamma=2.0, lr=0.002),
            replace(_paper, batch=32, ema_kimg=10),
        ),
    ),
    "stylegan2-cifar": Preset(
        "StyleGAN2 for 32x32 pictures of many kinds, as StyleGAN2-ADA trains CIFAR-10",
        Run(
            StyleGAN2(
                mapping_layers=2,
                channel_base=32768,
                mbstd_group=32,
                architecture_d="orig",
                r1_gamma=0.01,
                pl_weight=0.0,
                style_mixing=0.0,
                lr=0.0025,
            ),
            Training(kimg=100000, batch=64, ema_kimg=500),
        ),
    ),
    "stylegan2-tiny": Preset("a small StyleGAN2 for laptops: faces at 64x64 within an hour on two cores", _tiny),
    "stylegan2-demo": Preset("what `make demo` trains: 32x32 in a few minutes on two cores", _demo),
    "stylegan2-a": Preset(
        "StyleGAN2's table 1, A: the StyleGAN it began with", replace(_stylegan_b, method=_stylegan_f)
    ),
    "stylegan2-b": Preset("B: A with weight demodulation", replace(_stylegan_b, method=_stylegan2_b)),
    "stylegan2-c": Preset("C: B with lazy regularisation", replace(_stylegan_b, method=_stylegan2_c)),
    "stylegan2-d": Preset("D: C with path lengths regularised", replace(_stylegan_b, method=_stylegan2_d)),
    "stylegan2-e": Preset(
        "E: D without growing, with skip connections in G and residual ones in D",
        replace(_stylegan_b, method=_stylegan2_e),
    ),
    "stylegan2-f": Preset("F: E with larger networks", replace(_stylegan_b, method=_stylegan2_f)),
    "stylegan3-t": Preset(
        "StyleGAN3 config T: detail moves with what it belongs to", Run(StyleGAN3(), Training(batch=32))
    ),
    "stylegan3-r": Preset(
        "StyleGAN3 config R: the same for turning",
        Run(
            StyleGAN3(kernel=1, radial=True, channel_base=65536, channel_max=1024, blur=10.0),
            Training(batch=32),
        ),
    ),
    "progan": Preset(
        "ProGAN with the paper's settings, for one GPU",
        Run(ProGAN(), replace(_growing, batch=16), _mirrored),
    ),
    "msg-progan": Preset(
        "MSG-GAN on ProGAN: all sizes at once, WGAN-GP", Run(MSGGAN(), replace(_growing, batch=16), _mirrored)
    ),
    "msg-stylegan": Preset(
        "MSG-GAN on StyleGAN: all sizes at once, non-saturating loss and R1",
        Run(MSGGAN(base="stylegan", loss="logistic"), replace(_growing, batch=16), _mirrored),
    ),
    "stylegan-a": Preset("StyleGAN's table 1, A: the ProGAN it began with", _stylegan_a),
    "stylegan-b": Preset("B: A with smoothing, from 8x8, non-saturating loss and R1, for longer", _stylegan_b),
    "stylegan-c": Preset("C: B with a mapping network and styles", replace(_stylegan_b, method=_stylegan_c)),
    "stylegan-d": Preset("D: C beginning with a learned constant", replace(_stylegan_b, method=_stylegan_d)),
    "stylegan-e": Preset("E: D with noise", replace(_stylegan_b, method=_stylegan_e)),
    "stylegan-f": Preset("F: E with style mixing: StyleGAN as in its paper", replace(_stylegan_b, method=_stylegan_f)),
    "lucidrains": Preset(
        "StyleGAN2 as lucidrains' package builds it, to train on from its files",
        Run(LucidStyleGAN2(), Training(batch=32, kimg=5000)),
    ),
    "dcgan": Preset("DCGAN with the paper's settings", _dcgan),
    "wgan-gp": Preset(
        "WGAN-GP on DCGAN's networks, five critic steps",
        replace(_dcgan, method=WGANGP(), training=replace(_dcgan.training, batch=64)),
    ),
    "vae": Preset(
        "variational autoencoder on DCGAN's pyramids", Run(VAE(), Training(kimg=1000, batch=64, ema_kimg=10))
    ),
    **TRANSLATION,
}


def preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UserError: there is none; the message names the nearest.

    Example:
        >>> preset("dcgan").summary
        "DCGAN with the paper's settings"
    """
    if name not in PRESETS:
        raise UserError(f"no preset is called {name!r}", hint=_nearest(name))
    return PRESETS[name]


_KNOWN_AS = {
    "gan": "dcgan",
    "pggan": "progan",
    "stylegan1": "stylegan-f",
    "stylegan2-ada": "stylegan2 (with --augment ada)",
    "wgan": "wgan-gp",
}


def _nearest(name: str) -> str:
    """What somebody may have meant: the same in other letters, a family of presets, or names that look alike.

    Example:
        >>> _nearest("stylegan")
        'did you mean one of stylegan-a to stylegan-f, or stylegan2?'
        >>> _nearest("StyleGAN3"), _nearest("dcgam")
        ('did you mean stylegan3-t or stylegan3-r?', 'did you mean dcgan?')
    """
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    if plain in PRESETS or plain in _KNOWN_AS:
        return f"did you mean {_KNOWN_AS.get(plain, plain)}?"
    family = [preset for preset in PRESETS if preset.startswith(f"{plain}-")]
    near = difflib.get_close_matches(plain, [preset for preset in PRESETS if preset not in family], n=1)
    if len(family) > 2:
        return f"did you mean {', or '.join([f'one of {family[0]} to {family[-1]}', *near])}?"
    if found := family or near:
        return f"did you mean {' or '.join(found)}?"
    return "`organza presets` lists them"
