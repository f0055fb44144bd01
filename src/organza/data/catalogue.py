"""Public datasets by name: where they lie, and what their files' SHA-256 is where that is known for certain.

The checksums are those that TensorFlow Datasets records for the same addresses (``url_checksums/``). Where nobody
publishes one, it is None: such a file is fetched unverified, and `fetch` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from organza.core.errors import UserError


@dataclass(frozen=True)
class File:
    """One file: its address and its SHA-256, or None."""

    url: str
    sha256: str | None
    name: str = ""

    @property
    def file_name(self) -> str:
        """What it is called on disk."""
        return self.name or self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Public:
    """A public dataset: what it is, its files, and how to train on it."""

    about: str
    files: tuple[File, ...]
    source: str


def _idx(base: str, sums: tuple[str, str, str, str]) -> tuple[File, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(File(f"{base}/{name}-ubyte.gz", digest) for name, digest in zip(names, sums, strict=True))


_CYCLEGAN = "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets"
_PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
_UNPAIRED = {
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "cezanne2photo": "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "iphone2dslr_flower": "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "ukiyoe2photo": "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    "vangogh2photo": "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
}
_PAIRED = ("facades", "maps", "cityscapes", "edges2shoes", "edges2handbags", "night2day")

PUBLIC: dict[str, Public] = {
    "mnist": Public(
        "handwritten digits, 70,000 of 28x28, 10 classes",
        _idx(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        "yann.lecun.com/exdb/mnist",
    ),
    "fashion-mnist": Public(
        "clothes, 70,000 of 28x28, 10 classes",
        _idx(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        "github.com/zalandoresearch/fashion-mnist",
    ),
    "kmnist": Public(
        "cursive Japanese letters, 70,000 of 28x28, 10 classes",
        _idx(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            (
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
        "codh.rois.ac.jp/kmnist",
    ),
    "cifar10": Public(
        "photographs, 60,000 of 32x32, 10 classes",
        (
            File(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        "www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": Public(
        "photographs, 60,000 of 32x32, 100 classes",
        (
            File(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
        "www.cs.toronto.edu/~kriz/cifar.html",
    ),
    **{
        name: Public("unpaired photographs, 256x256 (CycleGAN)", (File(f"{_CYCLEGAN}/{name}.zip", digest),), "CycleGAN")
        for name, digest in _UNPAIRED.items()
    },
    **{
        name: Public(
            "pairs side by side, 256x256 each (pix2pix)", (File(f"{_PIX2PIX}/{name}.tar.gz", None),), "pix2pix"
        )
        for name in _PAIRED
    },
}


def public(name: str) -> Public:
    """A public dataset.

    Raises:
        UserError: there is none of this name.

    Example:
        >>> public("mnist").files[0].file_name
        'train-images-idx3-ubyte.gz'
    """
    if name not in PUBLIC:
        raise UserError(f"no public dataset is called {name!r}", hint=f"there are {', '.join(PUBLIC)}")
    return PUBLIC[name]
