"""StyleGAN, what it grew from and what came of it: ProGAN, MSG-GAN, StyleGAN, StyleGAN2, StyleGAN3."""

from __future__ import annotations

from dataclasses import replace

from organza.contract.method import MethodConfig
from organza.data import DataOptions
from organza.methods.stylegan.lucidrains import LucidStyleGAN2
from organza.methods.stylegan.msg_gan import MSGGAN
from organza.methods.stylegan.progan import ProGAN
from organza.methods.stylegan.stylegan import StyleGAN
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.methods.stylegan.stylegan3 import StyleGAN3
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "stylegan": StyleGAN,
    "progan": ProGAN,
    "msg-gan": MSGGAN,
    "lucidrains": LucidStyleGAN2,
}

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
# In so little time noise inputs leave speckle. A high rate that falls to zero, small batches and residual blocks in D
# help most.
_demo = Run(
    replace(
        _small,
        z_dim=64,
        w_dim=64,
        channel_base=1024,
        channel_max=128,
        style_mixing=0.0,
        noise="none",
        architecture_d="resnet",
        r1_gamma=0.5,
        lr=0.01,
    ),
    Training(kimg=25, batch=8, ema_kimg=1.0, lr_decay=0.7, snapshot_kimg=5, tick_kimg=0.5, keep=1),
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

RUNS: dict[str, Run] = {
    "stylegan2": Run(StyleGAN2()),
    "stylegan2-256": Run(
        StyleGAN2(mapping_layers=8, channel_base=16384, mbstd_group=8, r1_gamma=1.0, lr=0.0025), _paper
    ),
    "stylegan2-512": Run(
        StyleGAN2(mapping_layers=8, channel_base=32768, mbstd_group=8, r1_gamma=0.5, lr=0.0025), _paper
    ),
    "stylegan2-1024": Run(
        StyleGAN2(mapping_layers=8, channel_base=32768, mbstd_group=4, r1_gamma=2.0, lr=0.002),
        replace(_paper, batch=32, ema_kimg=10),
    ),
    "stylegan2-cifar": Run(
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
    "stylegan2-tiny": _tiny,
    "stylegan2-demo": _demo,
    "stylegan2-a": replace(_stylegan_b, method=_stylegan_f),
    "stylegan2-b": replace(_stylegan_b, method=_stylegan2_b),
    "stylegan2-c": replace(_stylegan_b, method=_stylegan2_c),
    "stylegan2-d": replace(_stylegan_b, method=_stylegan2_d),
    "stylegan2-e": replace(_stylegan_b, method=_stylegan2_e),
    "stylegan2-f": replace(_stylegan_b, method=_stylegan2_f),
    "stylegan3-t": Run(StyleGAN3(), Training(batch=32)),
    "stylegan3-r": Run(
        StyleGAN3(kernel=1, radial=True, channel_base=65536, channel_max=1024, blur=10.0),
        Training(batch=32),
    ),
    "progan": Run(ProGAN(), replace(_growing, batch=16), _mirrored),
    "msg-progan": Run(MSGGAN(), replace(_growing, batch=16), _mirrored),
    "msg-stylegan": Run(MSGGAN(base="stylegan", loss="logistic"), replace(_growing, batch=16), _mirrored),
    "stylegan-a": _stylegan_a,
    "stylegan-b": _stylegan_b,
    "stylegan-c": replace(_stylegan_b, method=_stylegan_c),
    "stylegan-d": replace(_stylegan_b, method=_stylegan_d),
    "stylegan-e": replace(_stylegan_b, method=_stylegan_e),
    "stylegan-f": replace(_stylegan_b, method=_stylegan_f),
    "lucidrains": Run(LucidStyleGAN2(), Training(batch=32, kimg=5000)),
}
