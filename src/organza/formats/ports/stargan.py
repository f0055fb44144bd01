"""StarGAN in PyTorch: ``200000-G.ckpt``, with ``200000-D.ckpt`` if it lies beside.

A file holds one network's tensors by name and nothing else. Widths and depths follow from shapes; the size of images
follows from the discriminator, without which the usual one is taken. What the labels mean is nowhere: five are taken
for the authors' attributes of CelebA, eight for RaFD's expressions, fifteen for both with their mask (unless the
discriminator tells fifteen apart as well), and any other number for classes, as the authors' code trains folders.
Early files have no running statistics; the authors' test takes each image's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from organza.contract.data import DataSpec, LabelSet
from organza.core.errors import UserError
from organza.formats.weights import Source, Weights, collect_all, stored
from organza.methods.translation.stargan import StarGAN
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

GENERATOR = ("main.0.weight", "main.1.weight", "main.9.main.0.weight", "main.9.main.3.weight")
CRITIC = ("main.0.weight", "main.2.weight", "conv1.weight", "conv2.weight")
CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
USUAL = 128
MOST = 64


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return bool(find(opened.tensors, *GENERATOR))


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    problems: dict[str, str] = {}
    try:
        generator = _renamed(next(iter(find(opened.tensors, *GENERATOR).values())), "G")
        config, spec = _settings(generator)
        bare = "stem.norm.running_mean" not in generator
        nets = {"G": collect_all(config, spec, "G", generator, _with_statistics(generator) if bare else None)}
    except RefusedError as error:
        raise UserError(f"a file of StarGAN that can't be used: {error}", where=opened.path) from None
    foreign = opened.foreign
    try:
        found, more = _critic(opened)
        if found is not None:
            critic = _renamed(found, "D")
            fitting, size = _with_critic(config, spec, critic)
            nets["D"] = collect_all(fitting, size, "D", critic)
            config, spec, foreign = fitting, size, tuple(dict.fromkeys([*foreign, *more]))
    except (RefusedError, UserError) as error:
        problems["D"] = error.what if isinstance(error, UserError) else str(error)
    return Weights(
        path=opened.path,
        format="StarGAN (PyTorch)",
        method="stargan",
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        facts=_facts(spec, bare),
        foreign=foreign,
    )


def _critic(opened: Opened) -> tuple[Network | None, tuple[str, ...]]:
    """The discriminator in the same file, or in the one beside it; and foreign names in that."""
    found = find(opened.tensors, *CRITIC)
    if found:
        return next(iter(found.values())), ()
    beside = opened.path.with_name(re.sub(r"G(?=\.\w+$)", "D", opened.path.name))
    if beside == opened.path or not beside.is_file():
        return None, ()
    other = open_file(beside)
    found = find(other.tensors, *CRITIC)
    if not found:
        raise RefusedError(f"{beside.name} holds no discriminator of StarGAN")
    return next(iter(found.values())), other.foreign


def _settings(net: Mapping[str, Entry]) -> tuple[StarGAN, DataSpec]:
    width, inputs = _sides(net, "stem.conv.weight")
    channels = _sides(net, "head.weight")[0]
    blocks = 1 + max(int(name.split(".")[1]) for name in net if name.startswith("blocks."))
    labels = inputs - channels
    if labels < 1 or blocks > MOST:
        raise RefusedError(f"{labels} labels and {blocks} residual blocks")
    names, sets = _labels(labels)
    spec = DataSpec((USUAL, USUAL), channels, labels, source=channels, label_names=names, label_sets=sets)
    return StarGAN(width=width, blocks=blocks, halvings_d=6), spec


def _with_statistics(held: Mapping[str, Entry]) -> Source:
    """As `stored`, with a mean of 0 and a variance of 1 where normalisation has no statistics."""
    given = stored(held)

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name.endswith(("running_mean", "running_var")) and name not in held:
            return constant(torch.full(shape, float(name.endswith("var"))))
        return given(name, shape)

    return source


def _labels(count: int) -> tuple[tuple[str, ...], tuple[LabelSet, ...]]:
    """Names and sets of so many labels.

    Example:
        >>> _labels(3)
        ((), (LabelSet(size=3, kind='classes'),))
    """
    celeba, rafd = LabelSet(len(CELEBA), "numbers"), LabelSet(len(RAFD), "classes")
    known = {
        celeba.size: (CELEBA, (celeba,)),
        rafd.size: (RAFD, (rafd,)),
        celeba.size + rafd.size + 2: ((*CELEBA, *RAFD), (celeba, rafd)),
    }
    return known.get(count, ((), (LabelSet(count, "classes"),)))


def _facts(spec: DataSpec, bare: bool) -> dict[str, str]:
    facts = {"statistics": "none in the file: only the mode train is right"} if bare else {}
    if not spec.label_names:
        return facts
    whose = {len(CELEBA): "attributes of CelebA", len(RAFD): "expressions of RaFD"}
    known = whose.get(spec.label_dim, "attributes of CelebA and expressions of RaFD")
    return facts | {"labels mean": f"taken for the authors' {known}; the file doesn't say"}


def _with_critic(config: StarGAN, spec: DataSpec, net: Mapping[str, Entry]) -> tuple[StarGAN, DataSpec]:
    """The same with what the discriminator says of itself, and of the images."""
    halvings = 1 + max(int(name.split(".")[1]) for name in net if name.startswith("layers."))
    told, _, height, width = _shape(net, "domains.weight")
    if halvings > 16:
        raise RefusedError(f"{halvings} halvings")
    resolution = (height << halvings, width << halvings)
    changed = replace(config, width_d=_sides(net, "layers.0.weight")[0], halvings_d=halvings)
    if told == spec.label_dim > len(spec.label_names) > 0:  # without the mask of two sets
        spec = replace(spec, label_names=(), label_sets=(LabelSet(told, "classes"),))
    return changed, replace(spec, resolution=resolution)


def our_name(theirs: str, after: int) -> str:
    """Our name of one of the generator's tensors.

    Args:
        theirs: its name in the file.
        after: the place of the first layer behind the residual blocks.

    Raises:
        RefusedError: a generator has no such tensor.

    Example:
        >>> our_name("main.4.bias", after=15), our_name("main.10.main.3.weight", 15), our_name("main.21.weight", 15)
        ('downs.0.norm.bias', 'blocks.1.conv2.weight', 'head.weight')
    """
    match = re.fullmatch(r"main\.(\d{1,3})\.(?:main\.([0134])\.)?(\w+)", theirs)
    if match is None:
        raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")
    place, inner, part = int(match[1]), match[2], match[3]
    if inner is not None and 9 <= place < after:
        return f"blocks.{place - 9}.{'conv' if inner in '03' else 'norm'}{1 if inner in '01' else 2}.{part}"
    chain = {0: "stem", 3: "downs.0", 6: "downs.1", after: "ups.0", after + 3: "ups.1"}
    layers = {at + shift: f"{name}.{kind}" for at, name in chain.items() for shift, kind in ((0, "conv"), (1, "norm"))}
    layers[after + 6] = "head"
    if inner is not None or place not in layers:
        raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")
    return f"{layers[place]}.{part}"


def _renamed(net: Network, kind: str) -> dict[str, Entry]:
    """Their tensors under our names."""
    held = {name: entry(tensor) for name, tensor in net.tensors.items()}
    if kind == "G":
        blocks = [int(match[1]) for name in held if (match := re.match(r"main\.(\d{1,3})\.main\.", name))]
        return {our_name(name, max(blocks) + 1): item for name, item in held.items()}
    found = {}
    for name, item in held.items():
        if (match := re.fullmatch(r"main\.(\d{1,2})\.(weight|bias)", name)) and int(match[1]) % 2 == 0:
            found[f"layers.{int(match[1]) // 2}.{match[2]}"] = item
        elif name in ("conv1.weight", "conv2.weight"):
            found["scores.weight" if name == "conv1.weight" else "domains.weight"] = item
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
    return found


def _shape(net: Mapping[str, Entry], name: str) -> tuple[int, ...]:
    found = net.get(name)
    if found is None or len(found.shape) != 4:
        raise RefusedError(f"the tensor for {name!r} is missing or misshaped")
    return found.shape


def _sides(net: Mapping[str, Entry], name: str) -> tuple[int, int]:
    shape = _shape(net, name)
    return shape[0], shape[1]
