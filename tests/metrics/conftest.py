import hashlib

import pytest
import torch

from organza.metrics import evaluation, features
from organza.metrics.features import Features, Output


def make_features(name="toy", dim=6, standard=False):
    """A feature network that is fast, and looks at where colours are."""
    weight = torch.randn(dim, 3 * 16, generator=torch.Generator().manual_seed(7))

    def run(images):
        images = images.expand(-1, 3, -1, -1)[:, :3]
        small = torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1) / 64
        found = small @ weight.T
        return Output(found, found[:, :4])

    digest = hashlib.sha256(f"{name}{dim}".encode()).hexdigest()
    return Features(name, dim, digest, "means over 4x4 tiles", torch.device("cpu"), run, standard)


@pytest.fixture(name="toy_features")
def _toy_features():
    return make_features


@pytest.fixture
def toys(monkeypatch):
    """Make every feature network a toy; gives the names that were asked for."""
    asked = []

    def open_features(name="organza64", *, device=None):
        asked.append(str(name))
        return make_features(str(name), standard=name == "inception")

    monkeypatch.setattr(evaluation, "open_features", open_features)
    monkeypatch.setattr(features, "open_features", open_features)
    return asked
