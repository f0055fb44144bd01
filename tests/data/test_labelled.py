"""Datasets of which some images keep their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from organza import UserError, open_dataset
from organza.data.labelled import PartLoader, with_labels
from organza.data.material import open_material
from organza.data.options import DataOptions, PartlyLabelled


@pytest.fixture
def classes(faces: Path):
    return open_dataset(faces, DataOptions(labels="auto"))


@pytest.mark.parametrize("count", [1, 7, 11, 30, 48])
def test_classes_keep_as_many_labels_each(classes, count):
    few = with_labels(classes, count)
    kept = few.labels(np.arange(len(few))).sum(0)
    there = classes.labels(np.arange(len(classes))).sum(0)
    assert len(few) == count == kept.sum()
    most = kept.max()
    # No class has two more than another that has images left.
    assert all(n >= most - 1 or n == whole for n, whole in zip(kept, there, strict=True))


def test_the_choice_never_changes_and_grows(classes):
    names = [with_labels(classes, count).names for count in (5, 5, 9)]
    assert names[0] == names[1] and set(names[0]) < set(names[2])
    assert with_labels(classes, None) is classes
    with pytest.raises(UserError, match="49 labels of 48 images can't be kept; give --labelled fewer"):
        with_labels(classes, 49)


def test_batches_are_a_function_of_their_position(classes):
    few = with_labels(classes, 5)
    with PartLoader(classes, few, seed=3) as one, PartLoader(classes, few, seed=3, rank=1, world=2) as half:
        assert one.count == 48
        first, again = one.batch(96, 12), one.batch(96, 12)
        share = half.batch(96, 12)
    for a, b in ((first.images, again.images), (first.source, again.source), (first.labels, again.labels)):
        assert torch.equal(a, b)
    assert torch.equal(first.source[6:], share.source) and torch.equal(first.labels[6:], share.labels)
    known, labels = few.fetch(np.arange(5))
    for image, label in zip(first.source, first.labels, strict=True):
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        (place,) = [n for n in range(5) if (known[n] == pixels).all()]
        assert (labels[place] == label.numpy()).all()


def test_it_is_told_and_part_of_the_key(faces):
    found = [open_material(faces, PartlyLabelled(labels="auto", labelled=n), "labelled") for n in (None, 5)]
    assert found[1].about == "48 images 16x16, 5 of them labelled"
    assert found[0].key != found[1].key and found[1].describe()["labelled_images"] == 5
    assert found[1].spec.count == 48
