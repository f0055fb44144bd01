"""The relativistic pairing loss with both gradient penalties, for discriminators of patches.

Yiwen Huang, Aaron Gokaslan, Volodymyr Kuleshov, James Tompkin: The GAN is dead; long live the GAN! A Modern GAN
Baseline. NeurIPS 2024, arXiv 2501.05441, section 2. The loss is Jolicoeur-Martineau's (2018, arXiv 1807.00734): D tells
a generated image from a real one that it is paired with, here patch by patch. R1 on real and R2 on generated images
(Mescheder et al. 2018, arXiv 1801.04406) make it converge; both are taken at every step.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from organza.contract.method import Result
from organza.core.errors import UserError
from organza.nn.losses import relativistic_d, relativistic_g
from organza.nn.norms import Norm
from organza.nn.penalties import Function, r1, r2

PairedGame = Literal["logistic", "least-squares", "relativistic"]
"""Adversarial losses of methods whose discriminator can be shown a real image beside each generated one."""


def paired_d(critic: Function, reals: Tensor, fakes: Tensor, gamma: float) -> Result:
    """D's loss: softplus(D(fake) - D(real)) + gamma / 2 (R1 + R2).

    The penalties are squared gradient norms of the sum of all logits, divided by their number: where patches don't
    overlap, that is the mean of each patch's own penalty, and ``gamma`` means the same for images of all sizes.

    Args:
        critic: images to logits, ``[N, 1, h, w]``; what it is conditioned on has no share in the penalties.
        reals, fakes: ``[N, C, H, W]``, paired by their places in the batch.
        gamma: weight of both penalties; 0 leaves them out.
    """
    real, fake = critic(reals), critic(fakes)
    loss = relativistic_d(real, fake).mean()
    stats = {"scores/real": real.mean(), "scores/fake": fake.mean()}
    if gamma:
        logits = real[0].numel()
        on_reals, on_fakes = (p.mean() / logits for p in (r1(critic, reals), r2(critic, fakes)))
        loss = loss + gamma / 2 * (on_reals + on_fakes)
        stats |= {"penalty/r1": on_reals, "penalty/r2": on_fakes}
    return Result(loss, {"loss/D": loss, **stats})


def paired_g(critic: Function, reals: Tensor, fakes: Tensor) -> Tensor:
    """G's loss: softplus(D(real) - D(fake)), the mean over patches and images."""
    return relativistic_g(critic(reals), critic(fakes)).mean()


def norm_of_d(chosen: Norm | None, norm: Norm, game: PairedGame) -> Norm:
    """D's normalisation: what was chosen, or none for the relativistic loss and ``norm`` for others.

    Raises:
        UserError: batch normalisation, which mixes images, so that there is no gradient of a single image.
    """
    if game != "relativistic":
        return chosen or norm
    if chosen == "batch":
        what = "--game relativistic has penalties for single images, and batch normalisation mixes images"
        raise UserError(what, hint="leave --norm-d out, or say --norm-d instance")
    return chosen or "none"
