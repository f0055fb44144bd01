"""How images are sampled, as one value."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from organza.core.errors import UserError
from organza.models.sampling import Sampling


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"psi": float("nan")}, "a truncation of nan; give a number such as 0.7"),
        ({"psi": -1e9}, "a truncation of -1000000000.0"),
        ({"cutoff": -1}, "a cutoff of -1; give the number of layers to truncate"),
        ({"noise": "loud"}, "there is no noise 'loud'; choose const, random or none"),
    ],
)
def test_what_no_network_can_do_is_refused_at_once(given, message):
    with pytest.raises(UserError, match=message):
        Sampling(**given)
    with pytest.raises(UserError, match=message):
        replace(Sampling(), **given)


@pytest.mark.parametrize(
    ("given", "count", "message"),
    [
        ({"cutoff": 7}, 3, "a cutoff of 7; this network has 6 layers to truncate"),
        ({"cutoff": 7, "labels": 1}, None, "a cutoff of 7; this network has 6 layers to truncate"),
        ({}, 3, "this network needs a label of 5 numbers; give a class from 0 to 4"),
        ({"labels": 5}, 3, "class 5 is not from 0 to 4"),
        ({"labels": [0, -1, 1]}, 3, r"class \[0, -1, 1\] is not from 0 to 4"),
        ({"labels": [0, 1]}, 3, "2 classes for 3 seeds; give one class for all or one for each seed"),
        ({"labels": [0.5]}, 3, r"labels \[1, 1\] don't fit; give \[3, 5\] finite numbers"),
        ({"labels": np.full([3, 5], np.nan)}, 3, r"labels \[3, 5\] don't fit"),
        ({"labels": np.zeros([2, 5])}, 3, r"labels \[2, 5\] don't fit"),
    ],
)
def test_what_a_network_can_not_do(given, count, message):
    with pytest.raises(UserError, match=message):
        Sampling(**given).check(LABELS, count)


LABELS = type("Latents", (), {"num_ws": 6, "label_dim": 5, "text": None})()


@pytest.mark.parametrize("labels", [0, [4], [0, 1, 2], np.zeros(5), np.zeros([1, 5]), torch.zeros(3, 5), range(3)])
def test_labels_that_fit(labels):
    Sampling(labels, cutoff=6).check(LABELS, 3)
    Sampling(labels, cutoff=0).check(LABELS, None)
    Sampling().check(LABELS, None)


def test_no_labels_where_there_are_no_classes():
    plain = type("Latents", (), {"num_ws": 6, "label_dim": 0, "text": None})()
    Sampling().check(plain, 3)
    for count in (3, None):
        with pytest.raises(UserError, match="this network has no classes; leave the class out"):
            Sampling(1).check(plain, count)


@pytest.mark.parametrize("labels", [[3, 1, 2], range(3), np.eye(3), torch.eye(3)])
def test_a_part_has_its_own_labels(labels):
    part = Sampling(labels, psi=0.5).part(slice(1, None), 3)
    assert part.psi == 0.5
    assert np.array_equal(part.labels, np.asarray(labels)[1:])


@pytest.mark.parametrize("labels", [None, 3, [3], np.zeros(3), np.zeros([1, 3]), [3, 1]])
def test_one_label_for_all_stays(labels):
    assert Sampling(labels).part(slice(1, None), 3).labels is labels


def test_the_command_line_checks_it_before_pytorch_is_loaded():
    code = "import sys, organza.models.sampling as s; s.Sampling(psi=0.5); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
