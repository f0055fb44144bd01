"""Style mixing, number by number."""

import pytest
import torch

from organza.nn.mixing import mixed_codes


def mapping(z, labels):
    return 2 * z + labels.sum(1, keepdim=True)


@pytest.mark.parametrize("seed", range(8))
def test_random_numbers_come_in_the_order_that_trainings_rely_on(seed):
    labels = torch.arange(12.0).reshape(4, 3)
    ws, mean = mixed_codes(mapping, 5, labels, 6, 0.5, torch.Generator().manual_seed(seed))
    rng = torch.Generator().manual_seed(seed)
    one = mapping(torch.randn(4, 5, generator=rng), labels)
    cutoff = int(torch.randint(1, 6, (), generator=rng))
    mix = torch.rand((), generator=rng) < 0.5
    other = mapping(torch.randn(4, 5, generator=rng), labels)
    for layer in range(6):
        assert torch.equal(ws[:, layer], other if mix and layer >= cutoff else one)
    assert torch.equal(mean, one.mean(0))


def test_both_happen_and_the_first_layer_is_never_mixed():
    labels = torch.zeros(1, 0)
    mixed = []
    for seed in range(200):
        ws, _ = mixed_codes(mapping, 4, labels, 3, 0.9, torch.Generator().manual_seed(seed))
        mixed.append(not torch.equal(ws[:, 0], ws[:, -1]))
    assert 150 < sum(mixed) < 200


def test_without_mixing_no_more_numbers_are_taken():
    rng = torch.Generator().manual_seed(0)
    ws, mean = mixed_codes(mapping, 4, torch.zeros(3, 0), 5, 0.0, rng)
    again = torch.Generator().manual_seed(0)
    w = mapping(torch.randn(3, 4, generator=again), torch.zeros(3, 0))
    assert torch.equal(ws, w[:, None].expand(3, 5, 4)) and torch.equal(mean, w.mean(0))
    assert torch.equal(rng.get_state(), again.get_state())


def test_the_mean_has_no_gradient_and_the_codes_have():
    def learned(z, labels):
        return z * weight

    weight = torch.ones((), requires_grad=True)
    ws, mean = mixed_codes(learned, 4, torch.zeros(3, 0), 5, 0.9, torch.Generator().manual_seed(0))
    assert ws.requires_grad and not mean.requires_grad
