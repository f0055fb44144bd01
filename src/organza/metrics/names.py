"""What metrics are called: ``fid50k_full``, ``fd_voile64_2k``, ``pr50k3_full``, ``ppl2_wend`` ...

A name says everything that decides the figure but the data: what is measured, with which feature network, on how many
generated images, against how many real ones. So equal names can be compared and others can't.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from organza.core.errors import UserError
from organza.core.successors import current

Kind = Literal[
    "fd",
    "kd",
    "pr",
    "dc",
    "is",
    "classes",
    "ppl",
    "sep",
    "lpips",
    "ms_ssim",
    "swd",
    "accuracy",
    "asked",
    "r_precision",
    "translation",
]
Compared = Literal["l1", "psnr", "ssim", "distance", "palette", "cycle", "content", "face_id", "flicker"]
"""What is measured of translations one by one."""

STANDARD = {"fid": "fd", "kid": "kd", "perceptual": "lpips"}
"""Names of the same figure with one network and with others: FID and KID belong to the standard Inception alone."""
NEAREST = {"pr": 3, "dc": 5}
"""Neighbours that make a manifold, as the papers take them."""

EXAMPLES: dict[str, str] = {
    "fid50k_full": "Frechet distance of 50 thousand generated images from all real ones, in Inception's features",
    "fid10k": "the same of 10 thousand from 10 thousand; any number: fid5k, fid1000",
    "fd_voile64_2k_full": "Frechet distance in the features of another network: voile64, lenet, or a file's",
    "kid50k_full": "kernel distance (x 1000 is common in papers); kd_voile64_2k and so on with other networks",
    "pr50k3_full": "improved precision and recall of 50 thousand, 3 neighbours; of 500: pr500n3 (or pr500_3)",
    "dc10k5_full": "density and coverage of 10 thousand, 5 neighbours; of 500: dc500n5",
    "is50k": "Inception score: mean and deviation over 10 splits; needs a network that classifies",
    "classes2k": "by a network that classifies: its mean confidence, classes that are there, share made as asked",
    "ppl2_wend": "perceptual path length in w at the ends of paths, whole images; 50 thousand paths",
    "ppl_zfull": "the same in z along whole paths, cropped to the face as in StyleGAN; ppl2_10k_zfull: 10 thousand",
    "sep10k_w": "linear separability of the data's labels in w (or z)",
    "lpips10k": "variety: mean LPIPS between the images of 10 thousand pairs; perceptual_voile64_10k with ours",
    "ms_ssim10k": "variety: mean structural similarity of 10 thousand pairs, lower is more varied",
    "accuracy10k": "of a network that classifies (triple-gan): share of 10 thousand real images whose class it names",
    "swd16k": "sliced Wasserstein distance of patches at each scale, 16384 images as in ProGAN",
    "r_precision2k": "of networks of text: how often the own caption fits an image best, of 100; _real: of real images",
    "l1": "of translations: mean distance from the targets of pairs, in levels of 255; l1_200: of 200 pairs, not 1000",
    "psnr": "the same as a signal-to-noise ratio in dB",
    "ssim": "structural similarity with the targets, 1 for equals",
    "lpips": "perceptual distance from the targets (lpips_alex, perceptual_voile64: by another network)",
    "palette12": "pixels whose nearest of 12 colours is the target's, for label maps: the targets' own main colours",
    "cycle": "of two directions: L1 between an image and what comes back of it, in levels of 255",
    "content": "perceptual distance of translations from their sources: low where content is kept",
    "face_id": "of translations of faces: cosine of who an input and its output are; _others: with other people's",
    "flicker": "of videos: distance of a result from the one before, moved along the motion; _targets: their own",
    "asked200": "of networks with labels (stargan): share of 200 images' translations that show the label asked for",
}
"""Typical names, for `organza evaluate --list`."""


@dataclass(frozen=True)
class Metric:
    """One metric as it was asked for.

    Attributes:
        kind: what is measured.
        count: generated images (pairs for ``lpips`` and ``ms_ssim``, paths for ``ppl``).
        full: against every real image; otherwise against ``count`` of them.
        near: neighbours that make a manifold.
        network: the feature network or distance that the name asks for; None leaves it to the caller.
        implied: the network that is meant where neither the name nor the caller says one.
        space, sampling, crop: of a path length, and the space of a separability.
        compared: of ``translation``: what is measured.
        colours: of a palette.
    """

    kind: Kind
    count: int
    full: bool = False
    near: int = 0
    network: str | None = None
    implied: str | None = None
    space: Literal["z", "w"] = "w"
    sampling: Literal["full", "end"] = "full"
    crop: bool = False
    compared: Compared | None = None
    colours: int = 0

    @property
    def of_pairs(self) -> bool:
        """Whether each translation is compared with its own target."""
        return self.compared in ("l1", "psnr", "ssim", "distance", "palette")

    @property
    def by_features(self) -> bool:
        """Whether a feature network is needed."""
        return self.kind in ("fd", "kd", "pr", "dc", "is", "classes", "sep", "asked")

    @property
    def by_distance(self) -> bool:
        """Whether a perceptual distance is needed."""
        return self.kind in ("ppl", "lpips") or self.compared in ("distance", "content")

    @property
    def against_real(self) -> bool:
        """Whether real images are needed."""
        return self.kind in ("fd", "kd", "pr", "dc", "swd", "sep", "accuracy", "asked", "r_precision")

    @property
    def by_codes(self) -> bool:
        """Whether a network's latent codes are needed, so that images alone won't do."""
        return self.kind in ("ppl", "sep", "r_precision")

    @property
    def figures(self) -> tuple[str, ...]:
        """Endings of the names of its figures."""
        return ENDINGS.get(self.compared or self.kind, ("",))

    def title(self, prefix: str) -> str:
        """The metric's full name.

        Args:
            prefix: its kind and network, such as ``"fid"``, ``"fd_voile64"``, ``"ppl"``.

        Example:
            >>> parse_metric("fid1000_full").title("fd_voile64"), parse_metric("pr50k").title("pr")
            ('fd_voile64_1k_full', 'pr50k3')
        """
        size = count_text(self.count, 1024 if self.kind == "swd" else 1000)
        if self.kind == "translation":
            colours = str(self.colours) if self.compared == "palette" else ""
            return f"{prefix}{colours}" + ("" if self.count == TRANSLATIONS else f"_{size}")
        if self.kind == "ppl":
            middle = "" if self.count == 50_000 else f"_{size}"
            return f"{prefix}{middle}_{self.space}{self.sampling}"
        tail = size
        if self.near:
            tail += f"{self.near}" if size.endswith("k") else f"n{self.near}"
        tail += "_full" if self.full else ""
        tail += f"_{self.space}" if self.kind == "sep" else ""
        return f"{prefix}{'_' if prefix not in PLAIN else ''}{tail}"


PLAIN = {
    "fd",
    "kd",
    "fid",
    "kid",
    "pr",
    "dc",
    "is",
    "classes",
    "swd",
    "ms_ssim",
    "lpips",
    "sep",
    "accuracy",
    "asked",
    "r_precision",
}
"""Prefixes that a count follows at once."""

_COUNT = r"(?P<count>\d+)(?P<k>k)?"
_SETS = re.compile(
    rf"(?P<kind>fid|kid|fd|kd|pr|dc|is|classes|sep|swd|ms_ssim|lpips|perceptual|accuracy|asked|r_precision)"
    rf"(?:_(?P<network>.+?)_)?{_COUNT}"
    r"(?:(?P<n>n|_)?(?P<near>\d+))?(?P<full>_full)?(?:_(?P<space>[zw]))?"
)
TRANSLATIONS = 1000
"""Translations are compared one by one, at most so many unless the name says another number."""
_TRANSLATIONS = re.compile(
    rf"(?:(?P<plain>l1|psnr|ssim|cycle|face_id|flicker)|palette(?P<colours>\d+))(?:_{_COUNT})?"
    r"|(?P<distance>lpips|perceptual|content)(?:_(?P<network>[A-Za-z][A-Za-z0-9-]*))?"
)
ENDINGS: dict[str, tuple[str, ...]] = {
    "pr": ("_precision", "_recall"),
    "dc": ("_density", "_coverage"),
    "is": ("_mean", "_std"),
    "classes": ("_confidence", "_present", "_right"),
    "asked": ("", "_kept", "_real"),
    "face_id": ("", "_others", "_first"),
    "flicker": ("", "_targets"),
    "r_precision": ("", "_real"),
}
"""What is added to the name of a metric of several figures, for each."""
_FIGURES = re.compile(
    r"(?P<metric>(?:pr|dc|is|classes|swd|asked)[\d_].*)"
    r"_(?:precision|recall|density|coverage|mean|std|confidence|present|right|kept|real)"
    r"|(?P<swd>swd\d+k?)_\d+|(?P<text>r_precision\d+k?)_real|(?P<face>face_id(?:_\d+k?)?)_(?:others|first)"
    r"|(?P<moving>flicker(?:_\d+k?)?)_targets"
)
"""Names of single figures, as reports have them."""
_PATHS = re.compile(
    rf"ppl(?P<whole>2)?(?:_(?P<network>[A-Za-z].*?))?(?:_{_COUNT})?_(?P<space>[zw])(?P<sampling>full|end)"
)


def parse_metric(text: str) -> Metric:
    """Read a metric's name, or that of one of its figures (``pr50k3_recall``, ``swd16k_32``).

    Raises:
        UserError: no metric has that name; the message shows the nearest.

    Example:
        >>> parse_metric("fd_voile64_2k_full")
        Metric(kind='fd', count=2000, full=True, near=0, network='voile64', ...)
        >>> parse_metric("dc500n4").near, parse_metric("ppl2_10k_wend").count, parse_metric("swd16k").count
        (4, 10000, 16384)
    """
    name = text.strip()
    if ending := _FIGURES.fullmatch(name):
        name = ending["metric"] or ending["swd"] or ending["text"] or ending["face"] or ending["moving"]
    if found := _PATHS.fullmatch(name):
        count = _count(found, 1000) if found["count"] else 50_000
        crop = found["whole"] is None
        space: Literal["z", "w"] = "z" if found["space"] == "z" else "w"
        sampling: Literal["full", "end"] = "full" if found["sampling"] == "full" else "end"
        metric = Metric("ppl", count, network=current(found["network"]), space=space, sampling=sampling, crop=crop)
        return _sound(metric, name)
    if found := _TRANSLATIONS.fullmatch(name):
        kinds: dict[str, Compared] = {"lpips": "distance", "perceptual": "distance", "content": "content"}
        plain: Compared | None = found["plain"]  # type: ignore[assignment]
        compared = plain or kinds.get(found["distance"], "palette")
        count = _count(found, 1000) if found["count"] else TRANSLATIONS
        network = current(found["network"]) or ("voile64" if found["distance"] == "perceptual" else None)
        colours = int(found["colours"] or 0)
        if compared == "palette" and not 2 <= colours <= 256:
            raise UserError(f"{name}: {colours} colours", hint="give 2 to 256, as in palette12")
        return _sound(Metric("translation", count, network=network, compared=compared, colours=colours), name)
    found = _SETS.fullmatch(name)
    if not found or not _fits(found):
        near = difflib.get_close_matches(name, EXAMPLES, n=1, cutoff=0.4)
        hint = f"did you mean something like {near[0]}? " if near else ""
        raise UserError(f"no metric is called {name!r}", hint=f"{hint}`organza evaluate --list` explains the names")
    kind: Kind = STANDARD.get(found["kind"], found["kind"])  # type: ignore[assignment]
    implied = "inception" if found["kind"] in ("fid", "kid", "is") else None
    return _sound(
        Metric(
            kind,
            _count(found, 1024 if kind == "swd" else 1000),
            full=found["full"] is not None,
            near=int(found["near"] or NEAREST.get(kind, 0)),
            network=current(found["network"]),
            implied=implied,
            space="z" if found["space"] == "z" else "w",
        ),
        name,
    )


def parse_metrics(text: str) -> list[Metric]:
    """Several names with commas between them, each once.

    Raises:
        UserError: none, or an unknown one.

    Example:
        >>> [metric.kind for metric in parse_metrics("fid2k, kid2k,fid2k")]
        ['fd', 'kd']
    """
    found = dict.fromkeys(parse_metric(part) for part in text.split(",") if part.strip())
    if not found:
        raise UserError("no metric is named", hint="`organza evaluate --list` explains the names")
    return list(found)


def count_text(count: int, thousand: int = 1000) -> str:
    """A count as names have it.

    Example:
        >>> count_text(50000), count_text(1500)
        ('50k', '1500')
    """
    return str(count) if count % thousand else f"{count // thousand}k"


def _count(found: re.Match[str], thousand: int) -> int:
    return int(found["count"]) * (thousand if found["k"] else 1)


def _fits(found: re.Match[str]) -> bool:
    """Whether the parts of a name go together: neighbours belong to manifolds, spaces to separability ..."""
    kind = found["kind"]
    if found["near"] and (kind not in NEAREST or not (found["n"] or found["k"])):
        return False
    if found["full"] and kind not in ("fid", "kid", "fd", "kd", "pr", "dc", "accuracy"):
        return False
    if found["network"] and kind in ("fid", "kid", "swd", "ms_ssim", "accuracy", "r_precision"):
        return False
    return not (found["space"] and kind != "sep")


def _sound(metric: Metric, name: str) -> Metric:
    least = 1 if metric.kind == "translation" else max(2, metric.near + 1, 10 if metric.kind == "is" else 2)
    if not least <= metric.count <= 10**7:
        raise UserError(f"{name}: a count of {metric.count}", hint=f"give at least {least}, as in fid5k")
    return metric
