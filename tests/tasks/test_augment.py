"""Augmentation: what each change does to pixels and labels, and that nothing but seed, epoch and image decides."""

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.tasks.image_classification.augment import Augmentation, integers, uniform

DRAWS = ("flip", "shift_y", "shift_x", "erase_y", "erase_x", "mix", "box_y", "box_x", "box_size")
DRAWS += ("erase", "erase_area", "erase_ratio", "erase_fill")
CHANGES = [{"flip": "random"}, {"shift": 2}, {"erase": 4}, {"erase_area": 0.4}, {"mixup": 1.0}, {"cutmix": 1.0}]
ALL = {"flip": "alternate", "shift": 3, "erase": 5, "seed": 7}


def images(count: int = 32, size: int = 12, channels: int = 1) -> torch.Tensor:
    """Random uint8 images without a 0, so that background is recognised."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def solid(count: int = 8, size: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images that are filled with their own number, counted from 1; their labels; their indices."""
    numbers = torch.arange(count)
    return (numbers + 1.0)[:, None, None, None].expand(count, 1, size, size).clone(), numbers, numbers * 3 + 5


def augmented(batch: torch.Tensor, index: torch.Tensor, epoch: int = 4, **fields) -> torch.Tensor:
    augmentation = Augmentation(**ALL | fields)
    return augmentation.erasing(augmentation.geometric(batch, index, epoch).float(), index, epoch)


# Random numbers


@pytest.mark.parametrize("draw", DRAWS)
def test_uniform_numbers_are_uniform(draw):
    for seed, epoch in ((0, 0), (0, 1), (42, 17)):
        values = uniform(torch.arange(20_000), seed, epoch, draw).numpy()
        assert values.min() >= 0 and values.max() < 1
        assert stats.kstest(values, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03  # neighbours in the file


def test_draws_epochs_and_seeds_are_independent():
    index = torch.arange(20_000)
    columns = [uniform(index, 0, 0, draw) for draw in DRAWS]
    columns += [uniform(index, seed, epoch, "flip") for seed, epoch in ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1))]
    correlation = np.corrcoef(torch.stack(columns).numpy()) - np.eye(len(columns))
    assert np.abs(correlation).max() < 0.04


def test_integers_hit_every_value_alike():
    values = integers(torch.arange(30_000), 1, 2, "shift_x", 5)
    assert stats.chisquare(np.bincount(values)).pvalue > 1e-4
    assert set(values.tolist()) == set(range(5))


# The same image whatever is around it


def test_batch_composition_changes_nothing():
    batch, index = images(), torch.arange(100, 132)
    whole = augmented(batch, index)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augmented(batch[order], index[order]), whole[order])
    for size in (1, 5, 31):
        parts = [augmented(b, i) for b, i in zip(batch.split(size), index.split(size))]
        assert torch.equal(torch.cat(parts), whole)


def splitmix64(value: int) -> int:
    """The finaliser as its authors write it, on numbers of 64 bits without sign."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (42, 3), (2**31 - 1, 1000)])
def test_another_process_or_machine_draws_the_same_numbers(seed, epoch):
    key = (seed * 0x9E3779B1 + epoch * 0x85EBCA77 + DRAWS.index("shift_x") * 0xC2B2AE3D) % 2**63
    numbers = [0, 5, 59_999]
    expected = [(splitmix64(splitmix64(key) ^ number) >> 11) / 2**53 for number in numbers]
    assert uniform(torch.tensor(numbers), seed, epoch, "shift_x").tolist() == expected


@pytest.mark.parametrize("change", CHANGES)
def test_seed_and_epoch_decide(change):
    batch, index = images().float(), torch.arange(32)

    def changed(seed, epoch):
        augmentation = Augmentation(**change, seed=seed)
        batch_now = augmentation.random_erasing(augmentation.geometric(batch, index, epoch), index, epoch)
        batch_now = augmentation.erasing(batch_now, index, epoch)
        return augmentation.mixing(batch_now, index % 10, index, epoch)[0]

    first = changed(7, 4)
    assert not torch.equal(changed(8, 4), first) and not torch.equal(changed(7, 5), first)
    torch.manual_seed(123)  # torch's own generator plays no part
    assert torch.equal(changed(7, 4), first)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_nothing_asked_for_nothing_changed(dtype):
    batch, index, labels = images().to(dtype), torch.arange(32), torch.arange(32) % 10
    augmentation = Augmentation()
    assert torch.equal(augmentation.geometric(batch, index, 1), batch)
    assert torch.equal(augmentation.random_erasing(batch, index, 1), batch)
    assert torch.equal(augmentation.erasing(batch, index, 1), batch)
    mixed, targets = augmentation.mixing(batch, labels, index, 1)
    assert torch.equal(mixed, batch) and torch.equal(targets, labels)


# Flip and shift


def sides(batch: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """True where an image is mirrored; every image must be either."""
    mirrored = (changed == batch.flip(-1)).flatten(1).all(1)
    assert (mirrored | (changed == batch).flatten(1).all(1)).all()
    return mirrored


def test_alternate_flip_shows_each_side_every_other_epoch():
    batch, index = images(200), torch.arange(200)
    epochs = torch.stack([sides(batch, Augmentation(flip="alternate").geometric(batch, index, e)) for e in range(6)])
    assert torch.equal(epochs[0], epochs[2]) and torch.equal(epochs[0], epochs[4])
    assert torch.equal(epochs[0], ~epochs[1]) and torch.equal(epochs[1], epochs[5])
    assert 60 < epochs[0].sum() < 140


def test_random_flip_is_drawn_anew_each_epoch():
    batch, index = images(500), torch.arange(500)
    epochs = torch.stack([sides(batch, Augmentation(flip="random").geometric(batch, index, e)) for e in range(4)])
    assert all(200 < count < 300 for count in epochs.sum(1).tolist())
    assert all(200 < (epochs[0] ^ epochs[e]).sum() < 300 for e in (1, 2, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_shift_moves_and_fills_with_background(channels):
    batch, index, shift = images(300, channels=channels), torch.arange(300), 2
    shifted = Augmentation(shift=shift).geometric(batch, index, epoch=0)
    assert shifted.shape == batch.shape and shifted.dtype == batch.dtype
    padded = np.pad(batch.numpy(), ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    moves = set()
    for row in range(300):
        fits = [
            (y, x)
            for y in range(2 * shift + 1)
            for x in range(2 * shift + 1)
            if np.array_equal(padded[row, :, y : y + 12, x : x + 12], shifted[row])
        ]
        assert len(fits) == 1  # without a 0 in the images, background cannot be mistaken
        moves.add(fits[0])
    assert len(moves) == (2 * shift + 1) ** 2


# Erasing


@pytest.mark.parametrize("side", [4, 5])
def test_erasing_sets_one_square_to_the_mean(side):
    pixel_values = torch.ones(400, 3, 12, 12)
    erased = Augmentation(erase=side).erasing(pixel_values, torch.arange(400), epoch=0)
    hole = erased == 0
    assert torch.equal(erased, 1.0 - hole.float())
    assert torch.equal(hole[:, 0], hole[:, 2])
    heights, widths = hole[:, 0].any(2).sum(1), hole[:, 0].any(1).sum(1)
    assert torch.equal(hole[:, 0].sum((1, 2)), heights * widths)  # a rectangle
    assert heights.max() == widths.max() == side  # whole, or cut by the border
    assert heights.min() >= side // 2 and widths.min() >= side // 2
    assert hole.any(0).all()  # every pixel has its turn
    assert torch.equal(pixel_values, torch.ones_like(pixel_values))  # not in place


def test_random_erasing_covers_a_rectangle_with_noise():
    batch = torch.zeros(4000, 1, 20, 20, dtype=torch.uint8)
    index = torch.arange(4000) * 7
    erased = Augmentation(erase_area=0.4, erase_probability=0.25).random_erasing(batch, index, epoch=0)
    hole = erased[:, 0] != 0  # a noise pixel of 0 is missed: 1 in 256
    changed = hole.any(2).any(1)
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)
    heights, widths = hole[changed].any(2).sum(1), hole[changed].any(1).sum(1)
    assert (hole[changed].sum((1, 2)) / (heights * widths)).min() > 0.85  # a rectangle
    areas, ratios = heights * widths / 400, heights / widths
    assert areas.min() < 0.05 and 0.33 < areas.max() < 0.46
    assert ratios.log().mean() == pytest.approx(0, abs=0.1) and ratios.max() < 4.1
    assert hole.any(0).all()  # every pixel has its turn
    assert stats.kstest(erased[:, 0][hole].numpy() / 256, "uniform").pvalue > 1e-4
    assert not batch.any()  # not in place
    again = Augmentation(erase_area=0.4, erase_probability=0.25).random_erasing(batch[5:9], index[5:9], epoch=0)
    assert torch.equal(again, erased[5:9])  # whatever else is in the batch


# Mixup and cutmix


def test_mixup_blends_pixels_and_labels_alike():
    pixel_values, labels, index = solid()
    shares = []
    for epoch in range(300):
        mixed, targets = Augmentation(mixup=0.4, num_labels=8).mixing(pixel_values, labels, index, epoch)
        assert targets.shape == (8, 8) and targets.dtype == mixed.dtype == torch.float32
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        torch.testing.assert_close(mixed, (targets @ (labels + 1.0))[:, None, None, None].expand_as(mixed))
        shares.append(float(targets[3, 3]))
        assert targets[3, 2] == pytest.approx(1 - shares[-1], abs=1e-6)
    assert stats.kstest(shares, "beta", (0.4, 0.4)).pvalue > 0.01


@pytest.mark.parametrize("size", [15, 16])
def test_cutmix_labels_are_the_share_of_pixels(size):
    pixel_values, labels, index = solid(size=size)
    kept = []
    for epoch in range(60):
        mixed, targets = Augmentation(cutmix=1.0, num_labels=8).mixing(pixel_values, labels, index, epoch)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        for row in (0, 5):
            own, partner = mixed[row] == row + 1, mixed[row] == (row - 1) % 8 + 1
            assert (own | partner).all()
            assert float(targets[row, row]) == pytest.approx(float(own.float().mean()), abs=1e-6)
            assert float(targets[row, (row - 1) % 8]) == pytest.approx(float(partner.float().mean()), abs=1e-6)
        pasted = (mixed[0, 0] != 1).nonzero()
        if len(pasted):
            assert len(pasted) == (pasted.amax(0) - pasted.amin(0) + 1).prod()  # one rectangle
        kept.append(float(targets[0, 0]))
    assert min(kept) < 0.4 and max(kept) > 0.9 and len(set(kept)) > 30


def test_cutmix_in_a_share_of_the_batches():
    pixel_values, labels, index = solid()
    augmentation = Augmentation(cutmix=0.3, num_labels=8)
    batches = [augmentation.mixing(pixel_values, labels, index, epoch) for epoch in range(200)]
    untouched = [torch.equal(mixed, pixel_values) for mixed, _ in batches]
    assert 110 < sum(untouched) < 170
    kept = [float(targets[0, 0]) for (_, targets), same in zip(batches, untouched) if not same]
    assert max(kept) > 0.9  # small squares too: the draw that chooses the batch does not choose the size as well
    for (_, targets), same in zip(batches, untouched):
        if same:
            assert torch.equal(targets, torch.eye(8))


def test_mixup_and_cutmix_take_turns():
    pixel_values, labels, index = solid()
    augmentation = Augmentation(mixup=1.0, cutmix=0.5, num_labels=8)
    batches = [augmentation.mixing(pixel_values, labels, index, epoch)[0] for epoch in range(200)]
    whole_numbers = [torch.equal(mixed, mixed.round()) for mixed in batches]
    assert 60 < sum(whole_numbers) < 140
