"""An image has the same bits alone and among others, whatever is asked at the same time."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.models.generator import at_once
from organza.models.sampling import Sampling
from organza.presets import PRESETS
from organza.web.limits import Limits
from organza.web.served import Seeded, Wish, check_neighbours, generating, serve
from tests.web.conftest import toy

NAMES = sorted(name for name, known in PRESETS.items() if known.run.method.layout == "images")


def made(name):
    labels = 3 if PRESETS[name].run.method.takes_labels else 0
    return toy(name, DataSpec((16, 16), 3, labels))


def asked(G, seeds):
    return [Seeded(seed, Sampling(seed % 3 if G.label_dim else None, psi=1 - seed / 50)) for seed in seeds]


def alone(G, ask, **more):
    (image,) = G.generate([ask.seed], ask.sampling.labels, ask.sampling.psi, **more)
    return image


@pytest.mark.parametrize("name", NAMES)
def test_two_lanes_give_what_one_call_gives(name):
    G = made(name)
    asks = asked(G, range(12))
    expected = [alone(G, ask) for ask in asks]
    lanes = serve("toy", G, Limits(lanes=2)).lanes
    lanes.start()
    found = [future.result(20) for future in lanes.submit(asks)]
    lanes.close()
    for image, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize("name", [name for name in NAMES if "stylegan3" not in name])
def test_a_batch_that_is_always_full(name):
    G = made(name)
    compute, asks = generating(G, 8), asked(G, range(8))
    together = compute(asks)
    for place in (0, 3, 7):
        np.testing.assert_array_equal(compute([asks[place]])[0], together[place])
    np.testing.assert_array_equal(compute([asks[5], asks[2], asks[5]])[1], together[2])


@pytest.mark.parametrize("name", ["stylegan3-t", "stylegan3-r"])
def test_networks_whose_images_depend_on_neighbours_are_refused(name):
    G = made(name)
    check_neighbours(G, 1)
    with pytest.raises(UserError, match="leave --batch at 1"):
        serve("toy", G, Limits(batch=8))


def test_batches_are_no_larger_than_is_fast():
    G = toy("dcgan", DataSpec((64, 64), 3))
    assert serve("toy", G, Limits(batch=100)).batch == at_once((64, 64)) == 16


def test_fresh_noise_is_of_the_seed(networks):
    G = networks["plain"]
    asks = [Seeded(seed, Sampling(noise="random")) for seed in (3, 9)]
    for batch in (1, 4):
        for ask, image in zip(asks, generating(G, batch)(asks), strict=True):
            np.testing.assert_array_equal(image, alone(G, ask, noise="random"))
    assert (alone(G, asks[0], noise="random") != alone(G, asks[0])).any()


def test_one_bad_request_spoils_no_batch(networks):
    G = networks["classes"]
    asks = [Seeded(0, Sampling("cat")), Seeded(1, Sampling("cow")), Seeded(2, Sampling("owl"))]
    first, bad, last = generating(G, 8)(asks)
    assert isinstance(bad, UserError) and "no 'cow'" in str(bad)
    np.testing.assert_array_equal(first, generating(G, 8)([asks[0]])[0])
    np.testing.assert_array_equal(last, generating(G, 8)([asks[2]])[0])


def test_translators_at_the_same_time_keep_their_dice(networks):
    T = networks["dice"]
    photos = [T.read(np.random.RandomState(seed).randint(0, 256, [20, 20, 3], np.uint8)) for seed in range(4)]
    wishes = [Wish(photo, seed=seed) for seed, photo in enumerate(photos)]
    expected = [T.photo(wish.photo, seed=wish.seed).pixels for wish in wishes]
    assert (T.photo(photos[0], seed=5).pixels != expected[0]).any()
    servers = [
        serve(name, each, Limits(lanes=2)) for name, each in {"a": T, "b": replace(T, net=deepcopy(T.net))}.items()
    ]
    futures = []
    for each in servers:
        each.lanes.start()
        futures.append(each.lanes.submit(wishes * 3))
    for row in futures:
        for future, wanted in zip(row, expected * 3, strict=True):
            np.testing.assert_array_equal(future.result(20), wanted)
    for each in servers:
        each.lanes.close()
