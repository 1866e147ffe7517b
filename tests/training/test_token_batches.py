"""Batches by tokens: within their budget, the same again from (seed, epoch), as many in every epoch."""

import numpy as np
import pytest

from zoo.training.token_batches import SortedRows, TokenBatchSampler, batch_bounds


@pytest.fixture
def lengths():
    random = np.random.default_rng(0)
    source = random.integers(3, 40, 2000)
    return np.stack([source, np.clip(source + random.integers(-4, 5, 2000), 2, None)], axis=1)


def test_every_row_is_in_one_batch_within_the_budget(lengths):
    sampler = TokenBatchSampler(lengths, 512)
    for epoch in range(3):
        batches = sampler.batches(epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert max(len(rows) * lengths[rows].max() for rows in batches) <= 512
        assert len(batches) == len(sampler)


def test_batches_follow_from_seed_and_epoch(lengths):
    def batches(seed, epoch):
        return [rows.tolist() for rows in TokenBatchSampler(lengths, 512, seed).batches(epoch)]

    assert batches(1, 4) == batches(1, 4)
    assert batches(1, 4) != batches(1, 5) and batches(1, 4) != batches(2, 4)
    # Not only another order of the same batches.
    assert {tuple(sorted(rows)) for rows in batches(1, 4)} != {tuple(sorted(rows)) for rows in batches(1, 5)}


def test_the_sampler_iterates_over_its_epoch(lengths):
    sampler = TokenBatchSampler(lengths, 512)
    sampler.epoch = 3
    assert list(sampler) == [rows.tolist() for rows in sampler.batches(3)]


def test_short_padding(lengths):
    sampler = TokenBatchSampler(lengths, 2048)
    order = np.random.default_rng(0).permutation(len(lengths))
    rows_a_batch = len(lengths) // len(sampler)
    parts = [order[first : first + rows_a_batch] for first in range(0, len(order), rows_a_batch)]
    padded = sum(len(rows) * lengths[rows].max(0).sum() for rows in parts)
    assert sampler.padding_share() < 0.1 < 0.4 < 1 - lengths.sum() / padded


def test_processes_get_as_many_batches_of_about_one_size(lengths):
    sampler = TokenBatchSampler(lengths, 512, processes=3)
    batches = sampler.batches(0)
    assert len(batches) % 3 == 0
    for first in range(0, len(batches), 3):
        longest = [lengths[rows].max() for rows in batches[first : first + 3]]
        assert max(longest) - min(longest) <= 8


@pytest.mark.parametrize(
    ("costs", "budget", "multiple", "bounds"),
    [
        ([3, 3, 3, 3], 6, 1, [0, 2, 4]),
        ([3, 9], 5, 1, [0, 1, 2]),  # a row above the budget is a batch of its own
        ([1, 1, 1, 1], 100, 3, [0, 1, 2, 4]),
        ([5], 1, 4, [0, 1]),
    ],
)
def test_bounds(costs, budget, multiple, bounds):
    assert batch_bounds(np.array(costs), budget, multiple).tolist() == bounds


class Rows:
    def __init__(self, lengths):
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, row):
        return row


def test_sorted_rows_come_back_in_order():
    rows = SortedRows(Rows(np.array([[3, 1], [9, 2], [3, 5]])))
    assert [rows[row] for row in range(3)] == [1, 2, 0]
    values, other = rows.restore((np.array([1, 2, 0]), np.array([[1.0], [2.0], [0.0]])))
    assert values.tolist() == [0, 1, 2] and other.ravel().tolist() == [0, 1, 2]


def test_a_curriculum_begins_with_the_shortest_rows(lengths):
    sampler = TokenBatchSampler(lengths, 512, shortest_first_epochs=1)
    longest = [int(lengths[rows].max()) for rows in sampler.batches(0)]
    assert longest == sorted(longest) and len(longest) == len(sampler)
    assert [rows.tolist() for rows in sampler.batches(1)] == [
        rows.tolist() for rows in TokenBatchSampler(lengths, 512).batches(1)
    ]
