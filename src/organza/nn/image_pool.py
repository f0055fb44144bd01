"""The history of generated images that a discriminator learns from.

Ashish Shrivastava et al.: Learning from Simulated and Unsupervised Images through Adversarial Training. CVPR 2017,
arXiv 1612.07828, section 2.3. The form with single images is CycleGAN's, which keeps 50 (Zhu et al. 2017, arXiv
1703.10593, section 4): half of the time the discriminator sees an image that the generator made earlier.
"""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Generated images of earlier steps, each given back once at a random later time.

    What it holds is all in `state`, so it goes on exactly from a saved copy of it. Its tensors are changed in place and
    never replaced; they may be moved by assigning their ``.data``.

    Args:
        size: how many images it keeps. 0 keeps none: `query` returns what it gets.
        shape: ``(C, H, W)`` of each.

    Attributes:
        state: ``images``, float32 ``[size, C, H, W]``, and ``count``, int64, how many of them are filled.

    Example:
        >>> pool = ImagePool(2, (3, 8, 8))
        >>> images = torch.ones(3, 3, 8, 8)
        >>> torch.equal(pool.query(images, torch.Generator().manual_seed(0)), images)
        True
        >>> pool.state["count"]
        tensor(2)
    """

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        self.size = size
        self.state = {"images": torch.zeros(size, *shape), "count": torch.zeros((), dtype=torch.int64)}

    @torch.no_grad()
    def query(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """What the discriminator is to see in place of ``images``.

        They are taken one after the other. While the pool is not full, an image is stored and returned. After that
        it is returned with probability 1/2; otherwise it takes the place of a random stored one, which is returned.
        The pool's device is never waited for.

        Args:
            images: ``[N, C, H, W]``, on the pool's device.
            rng: where the choices come from. As many numbers are taken from it while the pool fills as later.

        Returns:
            ``[N, C, H, W]``, detached.
        """
        images = images.detach()
        if self.size == 0:
            return images
        pool, count = self.state["images"], self.state["count"]
        swaps = (torch.rand(len(images), generator=rng, device=rng.device) < 0.5).to(images.device)
        slots = torch.randint(self.size, (len(images),), generator=rng, device=rng.device).to(images.device)
        seen = images.clone()
        for n in range(len(images)):
            image, full = images[n : n + 1], count >= self.size
            swap, slot = swaps[n], torch.where(full, slots[n : n + 1], count)
            old = pool.index_select(0, slot)
            new = image.to(pool.dtype)
            seen[n : n + 1] = torch.where(full & swap, old.to(image.dtype), image)
            pool.index_copy_(0, slot, torch.where(full & ~swap, old, new))
            count += ~full
        return seen
