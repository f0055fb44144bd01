"""The pool of earlier images: what it returns, how often, and that it goes on exactly."""

from __future__ import annotations

import pytest
import torch

from organza.nn.image_pool import ImagePool


def numbered(*numbers: int) -> torch.Tensor:
    """Tiny images that can be told apart."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()


def numbers(images: torch.Tensor) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return [int(n) for n in images[:, 0, 0, 0]]


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_fills_up_with_what_it_returns():
    pool = ImagePool(4, (1, 2, 2))
    assert numbers(pool.query(numbered(1, 2, 3), rng(0))) == [1, 2, 3]
    assert pool.state["count"].item() == 3
    out = numbers(pool.query(numbered(4, 5, 6), rng(1)))
    assert out[0] == 4
    assert pool.state["count"].item() == 4
    assert sorted(numbers(pool.state["images"]) + out[1:]) == [1, 2, 3, 4, 5, 6]


def test_it_is_the_plain_algorithm():
    """Image by image with a list, from the same random numbers."""
    size, pool, kept = 3, ImagePool(3, (1, 2, 2)), []
    ours, theirs = rng(7), rng(7)
    for step in range(60):
        new = [5 * step + k for k in range(step % 4 + 1)]
        coins = torch.rand(len(new), generator=theirs) < 0.5
        slots = torch.randint(size, (len(new),), generator=theirs)
        expected = []
        for number, coin, slot in zip(new, coins.tolist(), slots.tolist(), strict=True):
            if len(kept) < size:
                kept.append(number)
                expected.append(number)
            elif coin:
                expected.append(kept[slot])
                kept[slot] = number
            else:
                expected.append(number)
        assert numbers(pool.query(numbered(*new), ours)) == expected
        assert numbers(pool.state["images"][: len(kept)]) == kept


def test_half_of_the_images_are_old_ones_from_all_places():
    size, total, pool = 10, 4000, ImagePool(10, (1, 2, 2))
    pool.query(numbered(*range(-size, 0)), rng(0))
    new = list(range(total))
    out = numbers(pool.query(numbered(*new), rng(1)))
    ages = torch.tensor(new) - torch.tensor(out)
    old = ages > 0
    assert abs(old.float().mean().item() - 0.5) < 4 * 0.5 / total**0.5
    # A stored image is taken at each step with probability 1 / (2 size), so it waits 2 size steps on average.
    waits = ages[old].float()
    assert abs(waits.mean().item() - 2 * size) < 4 * 2 * size / len(waits) ** 0.5
    assert len(set(out) | set(numbers(pool.state["images"]))) == total + size  # each is seen once, or still there


def test_it_goes_on_exactly_from_its_saved_state(tmp_path):
    def step(pool, k):
        return pool.query(numbered(3 * k, 3 * k + 1, 3 * k + 2), rng(k))

    pool = ImagePool(5, (1, 2, 2))
    for k in range(3):
        step(pool, k)
    torch.save(pool.state, tmp_path / "state.pt")
    expected = [step(pool, k) for k in range(3, 30)]

    other = ImagePool(5, (1, 2, 2))
    held = dict(other.state)
    for tensor in held.values():  # as `State.fresh` moves them
        tensor.data = tensor.clone()
    for name, saved in torch.load(tmp_path / "state.pt", weights_only=True).items():
        held[name].copy_(saved)
    assert all(torch.equal(step(other, k), images) for k, images in zip(range(3, 30), expected, strict=True))
    assert all(other.state[name] is tensor and torch.equal(tensor, pool.state[name]) for name, tensor in held.items())


def test_what_it_returns_is_apart_from_what_it_keeps():
    pool = ImagePool(1, (1, 2, 2))
    images = numbered(1).requires_grad_()
    out = pool.query(images, rng(0))
    assert not out.requires_grad
    out.zero_()
    assert numbers(pool.state["images"]) == [1]
    assert numbers(images) == [1]


def test_no_pool():
    pool = ImagePool(0, (1, 2, 2))
    images = numbered(1, 2).requires_grad_()
    out = pool.query(images, rng(0))
    assert torch.equal(out, images) and not out.requires_grad
    assert pool.state["images"].shape == (0, 1, 2, 2)


@pytest.mark.parametrize("filled", [0, 2])
def test_no_images(filled):
    pool = ImagePool(2, (1, 2, 2))
    pool.query(numbered(*range(filled)), rng(0))
    assert pool.query(torch.zeros(0, 1, 2, 2), rng(0)).shape == (0, 1, 2, 2)
    assert pool.state["count"].item() == filled
