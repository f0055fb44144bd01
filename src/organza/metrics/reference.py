"""Statistics of real images instead of the images: what pytorch-fid, clean-fid and TTUR write.

Source: Heusel et al. 2017, arXiv 1706.08500; the files of github.com/bioinf-jku/TTUR: ``mu`` [D] and ``sigma`` [D, D].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.core.arrays import read_arrays
from organza.core.download import digest
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.metrics.moments import Moments


@dataclass(frozen=True)
class Reference:
    """Mean and covariance of the features of real images.

    Attributes:
        path: the file.
        moments: what it holds; how many images they are of is not known.
        sha256: of the file.
    """

    path: Path
    moments: Moments
    sha256: str


def read_reference(path: str | Path) -> Reference:
    """Read FID statistics, an ``.npz`` with ``mu`` and ``sigma``.

    Raises:
        UserError: not such a file.
    """
    path = user_path(path)
    arrays = read_arrays(path)
    if not {"mu", "sigma"} <= set(arrays):
        had = ", ".join(name or "one array" for name in arrays) or "nothing"
        raise UserError(f"no FID statistics: it holds {had}, not mu and sigma", where=path)
    if arrays["mu"].dtype.kind not in "fiu" or arrays["sigma"].dtype.kind not in "fiu":
        raise UserError("its mu and sigma are no numbers", where=path)
    try:
        return Reference(path, Moments.given(arrays["mu"].squeeze(), arrays["sigma"]), digest(path))
    except (ValueError, IndexError) as error:
        raise UserError(f"no FID statistics ({error})", where=path) from None
