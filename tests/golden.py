"""Golden values of official implementations: see ``tests/fixtures/*/fixtures.json`` for what each array is.

The package carries a few cases; all of them are used where the full collection lies beside the checkout.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent / "fixtures"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures"


@dataclass(frozen=True)
class Case:
    """One case: its description, its folder and its arrays."""

    about: dict[str, Any]
    folder: Path
    arrays: dict[str, Tensor]

    def check(self, name: str, got: Tensor) -> None:
        """Compare with the tolerances that the case states; large images are stored thinned out."""
        stored = self.about["arrays"][name]
        if "subsample" in stored:
            step = -(-stored["full_shape"][2] // stored["shape"][2])
            got = got[:, :, ::step, ::step]
        rtol = self.about["tolerance"]["rtol"]
        torch.testing.assert_close(got, self.arrays[name], rtol=rtol, atol=stored["atol"], msg=lambda m: f"{name}: {m}")


def _index(kind: str) -> list[dict[str, Any]]:
    path = next(
        (root / kind / "fixtures.json" for root in (HERE, SHARED) if (root / kind / "fixtures.json").exists()), None
    )
    cases: list[dict[str, Any]] = [] if path is None else json.loads(path.read_text())["cases"]
    return cases


def names(kind: str) -> list[str]:
    """Every case of one format that is known here."""
    return [case["case"] for case in _index(kind)]


def load(kind: str, name: str) -> Case:
    """A case, or skip the test where its files are absent."""
    folder = next((root / kind / name for root in (HERE, SHARED) if (root / kind / name).is_dir()), None)
    if folder is None:
        pytest.skip(f"needs the fixture {kind}/{name} beside the checkout")
    about = next(c for c in _index(kind) if c["case"] == name)
    with np.load(folder / "expected.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    return Case(about, folder, arrays)
