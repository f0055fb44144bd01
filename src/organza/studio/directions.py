"""Directions in latent space: found in closed form, by principal components, or from labels; kept in small files."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.jsons import read_json
from organza.media.images import Pixels, check_suffix
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from organza.models.generator import Generator

FORMAT = "organza-directions-1"


@dataclass(frozen=True)
class Direction:
    """A way to move w's.

    Attributes:
        name: unique in its file; letters, digits, ``-``, ``_`` and ``.``.
        vector: ``[w_dim]``, as long as one step of strength 1: a deviation of w along it.
        layers: those that it should move; None for all.
        about: how it was found, for people.
    """

    name: str
    vector: Tensor
    layers: tuple[int, ...] | None = None
    about: str = ""


def style_weights(G: Generator, layers: Sequence[int] | None = None) -> Tensor:
    """The weights that first meet w (or z, where there is no w), ``[features, w_dim]``: see `StyleAccess.affine`.

    Args:
        G: a network from `organza.load`.
        layers: numbers of w's; None for all.

    Raises:
        UserError: layers without such weights, or a network of another make.
    """
    styles, first = G.latents.styles, G.latents.first
    if styles is None:
        if first is None:
            raise UserError(f"{G.kind} has no weights that SeFa knows", hint="use pca, labels or a classifier")
        return first(G.net)
    each = styles.affine(G.net)
    wanted = range(len(each)) if layers is None else [layer for layer in layers if layer < len(each)]
    if not wanted:
        raise UserError(f"no styles in layers {layers}", hint=f"give numbers from 0 to {len(each) - 1}")
    return torch.cat([each[layer] for layer in wanted])


def sefa(G: Generator, count: int = 10, layers: Sequence[int] | None = None) -> list[Direction]:
    """SeFa: Closed-Form Factorization of Latent Semantics in GANs (Shen & Zhou 2021, arXiv 2007.06600).

    The unit vectors n that move styles most, the maxima of ``|A n|^2`` (equation 5), are the eigenvectors of ``A^T A``
    with the largest eigenvalues, where A is `style_weights` of ``layers``.

    Args:
        G: a network from `organza.load`.
        count: how many, strongest first.
        layers: whose weights count, and which the directions move; None for all.

    Raises:
        UserError: more than there are, or see `style_weights`.

    Example:
        >>> [direction.name for direction in sefa(G, 2)]
        ['sefa0', 'sefa1']
    """
    _check_count(G, count)
    matrix = style_weights(G, layers).double().cpu()
    vectors = torch.linalg.eigh(matrix.t() @ matrix)[1].flip(1)[:, :count].t()
    ws = codes(G, range(256), Sampling(labels=_any_class(G)))[:, 0].double().cpu()
    scale = (ws - ws.mean(0)).matmul(vectors.t()).std(0)
    return [
        Direction(f"sefa{index}", _signed(vector * scale[index]), _some(layers), "SeFa")
        for index, vector in enumerate(vectors)
    ]


def pca(
    G: Generator, count: int = 10, *, samples: int = 10000, labels: ArrayLike | None = None, seed: int = 0
) -> list[Direction]:
    """GANSpace: Discovering Interpretable GAN Controls (Härkönen et al. 2020, arXiv 2004.02546): PCA of w.

    Each direction is a principal component, as long as w's deviation along it (section 2.2).

    Args:
        G: a network with a mapping from z to w.
        count: how many, strongest first.
        samples: w's to look at.
        labels: for conditional networks: a class; None takes all in turn.
        seed: of the w's.

    Raises:
        UserError: w is z, so no component stands out; more than there are.

    Example:
        >>> [direction.name for direction in pca(G, 2, samples=100)]
        ['pca0', 'pca1']
    """
    _check_count(G, count)
    if G.num_ws == 1:
        raise UserError(f"in {G.kind} w is z, whose components are all alike", hint="use sefa, labels or a classifier")
    if samples < 2:
        raise UserError(f"{samples} samples have no components", hint="give 10000")
    ws = some_codes(G, samples, labels, seed).double().cpu()
    values, vectors = torch.linalg.eigh(torch.cov(ws.t(), correction=0))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    share = values / values.sum().clamp_min(1e-12)
    return [
        Direction(
            f"pca{index}",
            _signed(vectors[:, index] * values[index].sqrt()),
            about=f"GANSpace: {100 * float(share[index]):.1f}% of the variance of {samples} w's",
        )
        for index in range(count)
    ]


def some_codes(G: Generator, samples: int = 10000, labels: ArrayLike | None = None, seed: int = 0) -> Tensor:
    """Random w's of the first layer, ``[samples, w_dim]``; of all classes in turn, where none is given."""
    z = torch.randn(samples, G.z_dim, generator=torch.Generator().manual_seed(seed))
    classes = [n % G.label_dim for n in range(samples)] if G.label_dim and labels is None else labels
    return G.mapping(z, classes)[:, 0]


def logistic(ws: Tensor, answers: Tensor, weight_decay: float = 1e-3) -> tuple[Tensor, float, float]:
    """Logistic regression on standardised w's: a vector, an offset, and how often it is right.

    Args:
        ws: ``[N, w_dim]``.
        answers: from 0 to 1, ``[N]``.
        weight_decay: of the weights, without which separable data would have no solution.

    Returns:
        ``a [w_dim]`` and ``b``, where ``sigmoid(w a + b)`` is the probability; and the share of answers on their side.

    Example:
        >>> w = torch.tensor([[-1.0], [1.0], [2.0]])
        >>> round(logistic(w, torch.tensor([0.0, 1.0, 1.0]))[2], 2)
        1.0
    """
    x, y = ws.detach().double().cpu(), answers.double().cpu()
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-9)
    x = (x - mean) / deviation
    a = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([a, b], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ a + b, y) + weight_decay * a.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    right = ((x @ a + b > 0) == (y > 0.5)).double().mean()
    vector = (a / deviation).detach()
    return vector.float(), float(b.detach() - (vector * mean).sum()), float(right)


def regress(
    G: Generator,
    name: str,
    answers: ArrayLike | Callable[[Pixels], ArrayLike],
    seeds: Sequence[int],
    sampling: Sampling = Sampling(),
) -> Direction:
    """The direction in which an attribute grows: the normal of a logistic regression on w.

    As InterFaceGAN (Shen et al. 2020, arXiv 2005.09635, section 3.1), with regression in place of a support vector
    machine.

    Args:
        G: a network from `organza.load`.
        name: of the attribute.
        answers: 0 to 1 for each seed; or a classifier: images uint8 ``[N, H, W, C]`` -> 0 to 1 ``[N]``.
        seeds: which images.
        sampling: of these images.

    Raises:
        UserError: not one answer for each seed, or all are alike.

    Example:
        >>> regress(G, "red", lambda images: images[..., 0].mean((1, 2)) > images[..., 0].mean(), range(20)).name
        'red'
    """
    ws = codes(G, seeds, sampling)
    found = answers(draw(G, ws, sampling.noise, seeds)) if callable(answers) else answers
    values = torch.as_tensor(found).double().flatten()
    if len(values) != len(ws) or not bool(((values >= 0) & (values <= 1)).all()):
        raise UserError(f"{name}: not one answer from 0 to 1 for each of {len(ws)} images", hint="0 no, 1 yes")
    yes = int((values > 0.5).sum())
    if yes in (0, len(values)):
        raise UserError(f"{name}: all {len(values)} answers are alike", hint="take more seeds, or another attribute")
    first = ws[:, 0]
    vector, _, right = logistic(first, values)
    vector = vector.to(first.device)
    unit = vector / vector.norm()
    step = (first @ unit).std()
    about = f"regression on {len(values)} images, {yes} of them yes; {100 * right:.0f}% on their side"
    return Direction(name, (unit * step).cpu(), None, about)


def without(direction: Direction, others: Sequence[Direction]) -> Direction:
    """``direction`` less its parts along ``others``, which it then leaves as they are (InterFaceGAN, section 3.3).

    Example:
        >>> a, b = Direction("a", torch.tensor([1.0, 1.0])), Direction("b", torch.tensor([0.0, 2.0]))
        >>> without(a, [b]).vector
        tensor([1., 0.])
    """
    if not others:
        return direction
    basis = torch.linalg.qr(torch.stack([other.vector for other in others]).double().t())[0]
    vector = direction.vector.double()
    names = ", ".join(other.name for other in others)
    rest = (vector - basis @ (basis.t() @ vector)).float()
    return replace(direction, vector=rest, about=f"{direction.about}; without {names}".lstrip("; "))


def independent(directions: Sequence[Direction], ws: Tensor) -> list[Direction]:
    """For each attribute the likeliest change of w that moves it and leaves the others where they are.

    `regress` gives normals ``a_i``: an attribute grows with ``a_i w``. Of all changes with ``a_i d = 1`` and
    ``a_j d = 0`` for the others, these have the least Mahalanobis length, so that w stays where the mapping puts it:
    ``d = S A^T (A S A^T)^-1 e_i``, with the covariance S of w. That is how the mean of a normal w moves when its ith
    attribute is given another value; `without` is the same with a white w.

    Args:
        directions: of `regress`, all from one network.
        ws: codes of that network, ``[N, w_dim]``, more than ``w_dim`` of them.

    Returns:
        Directions of the same names, each as long as a deviation of w along it.

    Example:
        >>> a, b = Direction("a", torch.tensor([1.0, 1.0])), Direction("b", torch.tensor([0.0, 2.0]))
        >>> ws = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> [(d.vector.abs() > 1e-6).tolist() for d in independent([a, b], ws)]
        [[True, False], [True, True]]
    """
    normals = torch.stack([direction.vector for direction in directions]).double()
    normals = normals / normals.norm(dim=1, keepdim=True)
    x = ws.double().cpu() - ws.double().cpu().mean(0)
    spread = x.t() @ x / len(x)
    # A thousandth of the mean variance keeps what w never does from being moved without end.
    spread += 1e-3 * spread.diagonal().mean() * torch.eye(len(spread), dtype=torch.float64)
    moves = torch.linalg.solve(normals @ spread @ normals.t(), normals @ spread)
    found = []
    for direction, move in zip(directions, moves, strict=True):
        unit = move / move.norm()
        step = (x @ unit).square().mean().sqrt()
        others = ", ".join(other.name for other in directions if other is not direction)
        about = f"{direction.about}; {others} kept".lstrip("; ") if others else direction.about
        found.append(replace(direction, vector=(unit * step).float(), about=about))
    return found


def save_directions(path: str | os.PathLike[str], directions: Sequence[Direction]) -> Path:
    """Write ``directions`` as a small ``.safetensors`` file.

    Raises:
        UserError: none, two of one name, another suffix, or the file can't be written.
    """
    path = check_suffix(path, (".safetensors",))
    names = [direction.name for direction in directions]
    if not names or len({*names}) != len(names):
        raise UserError("directions need names of their own, and there must be one", where=path)
    about = [{"name": d.name, "layers": d.layers, "about": d.about} for d in directions]
    tensors = {d.name: d.vector.detach().cpu().float().contiguous() for d in directions}
    with atomic_write(path) as temporary:
        # One entry: the order of several is another in each process.
        temporary.write_bytes(save(tensors, metadata={FORMAT: json.dumps(about)}))
    return path


def load_directions(path: str | os.PathLike[str], G: Generator | None = None) -> list[Direction]:
    """The directions in a file, in their order.

    Args:
        path: a file of `save_directions`.
        G: the network they are for, which is then checked.

    Raises:
        UserError: no such file, or another network's.

    Example:
        >>> [d.name for d in load_directions(save_directions(folder / "d.safetensors", sefa(G, 2)), G)]
        ['sefa0', 'sefa1']
    """
    path = check_suffix(path, (".safetensors",))
    if not path.exists():
        raise UserError("does not exist", where=path, hint="organza directions makes such a file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            about = read_json(metadata[FORMAT], path) if FORMAT in metadata else []
            found = [_direction(entry, file.get_tensor(entry["name"])) for entry in about]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, UserError) as error:
        raise UserError("can't be read", where=path, hint="organza directions makes such files") from error
    if not found:
        raise UserError("holds no directions", where=path, hint="organza directions makes such a file")
    if G is not None and any(direction.vector.shape != (G.w_dim,) for direction in found):
        size = list(found[0].vector.shape)
        raise UserError(f"its directions are {size}", where=path, hint=f"this network wants [{G.w_dim}]")
    return found


def _direction(entry: dict[str, Any], vector: Tensor) -> Direction:
    layers = None if entry["layers"] is None else tuple(map(operator.index, entry["layers"]))
    if min(layers or (0,)) < 0 or vector.ndim != 1 or not vector.isfinite().all():
        raise ValueError("no direction")
    return Direction(str(entry["name"]), vector.float(), layers, str(entry["about"]))


def _check_count(G: Generator, count: int) -> None:
    if not 1 <= count <= G.w_dim:
        raise UserError(f"{count} directions", hint=f"this network has from 1 to {G.w_dim}")


def _any_class(G: Generator) -> list[int] | None:
    """Classes in turn for 256 codes of a conditional network."""
    return [n % G.label_dim for n in range(256)] if G.label_dim else None


def _some(layers: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if layers is None else tuple(layers)


def _signed(vector: Tensor) -> Tensor:
    """The same on every machine: of the two signs of an eigenvector, the one whose largest entry is positive."""
    return (vector * vector[vector.abs().argmax()].sign()).float()
