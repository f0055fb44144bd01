"""What a training shows of itself: the sample grid, from fixed seeds or fixed examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from organza.contract.data import Batch
from organza.contract.method import Nets, Preview
from organza.contract.model import Latents, Translation
from organza.media.images import Pixels, make_grid, to_pixels
from organza.nn.norms import running
from organza.training.state import State

AT_ONCE = 16
"""Images that a generator makes at once, for the grid."""


def preview(state: State, examples: Batch) -> dict[str, Pixels]:
    """Images by name, uint8 ``[N, H, W, C]``: ``"samples"`` of a generator, or what its method shows.

    Args:
        state: what is trained.
        examples: real images, one for each row; a generator takes their labels or texts alone.
    """
    model, nets = state.method.model, state.averaged
    device = next(nets[model.net].parameters()).device
    with torch.no_grad():
        show = state.method.preview
        if isinstance(model, Latents):
            labels = _told(model, nets, examples, device)
            return _samples(nets[model.net], model, labels) if show is None else _shown(show, nets, model, labels)
        show, rows = show or _translated(model), []
        with running(nn.ModuleList(nets.values()), model.mode):
            for number in range(len(examples)):  # one by one, as they are translated later: batch statistics differ
                torch.manual_seed(number)  # dropout
                row = _moved(examples.part(number, number + 1), device)
                rows.append(show(nets, row, torch.Generator(device).manual_seed(number)))
    return {name: to_pixels(torch.cat([row[name] for row in rows])) for name in rows[0]}


def _told(model: Latents, nets: Nets, examples: Batch, device: torch.device) -> Tensor:
    """What the generator is told of each example: its labels, or its text."""
    if model.text is None:
        return examples.labels.to(device)
    assert examples.text is not None
    text = examples.text.to(device)
    return text if model.text.encoder is None else model.text.encode(nets[model.text.encoder], text)


def sheet(found: Mapping[str, Pixels], columns: int) -> Pixels:
    """A grid in which the images of one example lie side by side: uint8 ``[H, W, C]``.

    Example:
        >>> one = np.zeros([4, 8, 8, 3], np.uint8)
        >>> sheet({"source": one[..., :1], "output": one, "target": one}, columns=2).shape
        (19, 51, 3)
    """
    if len(found) == 1:
        return make_grid(next(iter(found.values())), columns)
    most = max(images.shape[-1] for images in found.values())
    strips = np.concatenate([_with_channels(images, most) for images in found.values()], axis=2)
    return make_grid(strips, columns, gap=gap_of(found))


def gap_of(found: Mapping[str, Pixels]) -> int:
    """Pixels between the cells of a `sheet`: none where each is a single image."""
    return 0 if len(found) == 1 else max(1, next(iter(found.values())).shape[1] // 32)


def _with_channels(images: Pixels, count: int) -> Pixels:
    """Grey as colour, and what has no transparency as opaque."""
    images = images.repeat(min(count, 3), axis=-1) if images.shape[-1] == 1 and count > 1 else images
    solid = np.full_like(images[..., :1], 255)
    return np.concatenate([images, solid], axis=-1) if images.shape[-1] < count else images


def _codes(latents: Latents, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The z of seeds 0 to N - 1, one for each label ``[N, label_dim]``, and these, a few at a time."""
    for start in range(0, len(labels), AT_ONCE):
        part = labels[start : start + AT_ONCE]
        seeds = range(start, start + len(part))
        z = np.stack([np.random.RandomState(seed).randn(latents.z_dim) for seed in seeds])
        yield torch.from_numpy(z).float().to(labels.device), part


def _samples(net: nn.Module, latents: Latents, labels: Tensor) -> dict[str, Pixels]:
    """Images of seeds, one for each label ``[N, label_dim]``."""
    images = []
    with running(net, "eval"):  # one without an average still trains
        for z, part in _codes(latents, labels):
            images.append(to_pixels(latents.synthesis(net, latents.mapping(net, z, part), "const", None)))
    return {"samples": np.concatenate(images)}


def _shown(show: Preview, nets: Nets, latents: Latents, labels: Tensor) -> dict[str, Pixels]:
    """What a method shows of the same seeds: it finds their z in what the batch carries."""
    rows = []
    for z, part in _codes(latents, labels):
        batch = Batch(z.new_zeros(len(z), 0), part, carry={"z": z})
        rows.append(show(nets, batch, torch.Generator(z.device)))
    return {name: np.concatenate([to_pixels(row[name]) for row in rows]) for name in rows[0]}


def _translated(model: Translation) -> Preview:
    """Source, output and target of each example."""

    def show(nets: Nets, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        assert batch.source is not None
        z = torch.randn(len(batch), model.z_dim, generator=rng, device=rng.device) if model.z_dim else None
        output = model.apply(nets[model.net], batch.source, batch.labels, z)
        return {"source": batch.source, "output": output, "target": batch.images}

    return show


def _moved(batch: Batch, device: torch.device) -> Batch:
    source = None if batch.source is None else batch.source.to(device)
    return Batch(batch.images.to(device), batch.labels.to(device), batch.seen, source)
