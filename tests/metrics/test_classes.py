"""What a network that classifies says of generated images: confidence, classes present, the class asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from organza import UserError, open_dataset
from organza.data import DataOptions
from organza.media.images import save_picture
from organza.metrics import evaluate
from organza.metrics.class_score import present
from organza.metrics.pictures import Drawn
from organza.vision.features import Features, Output


def classifier(classes: int, of=lambda images: images.mean((1, 2, 3))) -> Features:
    """Says which fifth of the brightness an image's is, and is the surer the brighter it is."""

    def run(images):
        level = of(images).clamp(0, 255.0)
        places = (level * classes / 256).long()
        logits = torch.nn.functional.one_hot(places, classes) * (level[:, None] / 50)
        return Output(level[:, None].expand(-1, 3).contiguous(), logits)

    return Features("bright", 3, "ab" * 32, "as they are", torch.device("cpu"), run)


def test_figures_are_means_over_the_images(G):
    net = classifier(4)
    report = evaluate(G, None, "classes30", features=net, noise="const")
    logits = net(torch.from_numpy(G.generate(range(30)))).logits
    chances = logits.double().softmax(1)
    assert set(report.figures) == {"classes_bright_30_confidence", "classes_bright_30_present"}
    assert report["classes_bright_30_confidence"] == pytest.approx(float(chances.max(1).values.mean()))
    assert report["classes_bright_30_present"] == present(logits.argmax(1), 4)
    low, high = report.figures["classes_bright_30_confidence"].interval
    assert low < report["classes_bright_30_confidence"] < high


@pytest.fixture
def labelled(tmp_path):
    """Twenty images of five classes."""
    for index in range(20):
        image = np.full([16, 16, 4], 255, np.uint8)
        image[..., :3] = 10 * index
        save_picture(image, tmp_path / f"class{index % 5}" / f"{index}.png")
    return open_dataset(tmp_path, DataOptions(labels="folders"))


def test_the_class_that_was_asked_for(G_classes, labelled):
    count = 24
    asked = Drawn(G_classes, 0, labels=labelled).label(np.arange(count)).argmax(1)
    calls = iter(asked.split(8))

    def perfect(images):
        return next(calls).float() * 52 + 1  # fifths of 0..255

    net = classifier(5, perfect)
    assert evaluate(G_classes, labelled, "classes24", features=net, batch=8)["classes_bright_24_right"] == 1
    calls = iter(((asked + 1) % 5).split(8))
    assert evaluate(G_classes, labelled, "classes24", features=net, batch=8)["classes_bright_24_right"] == 0
    others = evaluate(G_classes, labelled, "classes24", features=classifier(7)).figures
    assert "classes_bright_24_right" not in others  # seven classes are not these five


def test_collapse_shows(G):
    net = classifier(10, lambda images: torch.full([len(images)], 130.0))
    assert evaluate(G, None, "classes20", features=net)["classes_bright_20_present"] == 1


def test_a_network_that_does_not_classify(G):
    with pytest.raises(UserError, match="voile64 does not classify; take one that does"):
        evaluate(G, None, "classes20")


def test_labels_must_come_from_somewhere(G_classes):
    with pytest.raises(UserError, match="needs labels of 5 numbers"):
        evaluate(G_classes, None, "classes20", features=classifier(5))
