"""Batches of similar numbers of tokens, of rows of similar length, for training and for evaluation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset

# Rows of one length that differ in the other side by less than this are shuffled: finer steps pad and shuffle less.
STEP = 2


def batch_bounds(costs: np.ndarray, budget: int, multiple: int = 1) -> np.ndarray:
    """Where sorted rows are split into batches, so that the longest row times the rows of a batch fits the budget.

    Args:
        costs (`np.ndarray` of shape `(rows,)`): Tokens of each row.
        budget: Tokens of a batch, padding included; a longer row makes a batch of its own.
        multiple: The largest batches are halved until their number is a multiple of this, so that every process gets
            as many. Fewer rows than that stay as they are.

    Returns:
        `np.ndarray` of shape `(batches + 1,)`.
    """
    bounds, first, longest = [0], 0, 0
    for row, cost in enumerate(costs):
        longest = max(longest, cost)
        if row > first and longest * (row + 1 - first) > budget:
            bounds.append(row)
            first, longest = row, cost
    if len(costs):
        bounds.append(len(costs))
    while (len(bounds) - 1) % multiple and len(bounds) - 1 < len(costs):
        largest = int(np.argmax(np.diff(bounds)))
        bounds.insert(largest + 1, (bounds[largest] + bounds[largest + 1]) // 2)
    return np.array(bounds)


class TokenBatchSampler:
    """Lists of rows for a data loader's `batch_sampler`; another composition and order each epoch.

    Rows are sorted by their longest side, then by how much longer the first side is than the last, in steps of `STEP`
    tokens, and rows that are equal in this are shuffled. The sorted rows are split where the longest side times the
    rows would exceed the budget, which is what fairseq's `--max-tokens` counts. The splits do not depend on the
    shuffle, so every epoch has as many batches; then the batches are shuffled. Everything follows from (seed, epoch):
    a resumed run, or one of several processes, sees the same batches.

    Args:
        lengths (`np.ndarray` of shape `(rows, sides)`): Tokens, e.g. of source and target.
        budget: Tokens of a batch: rows times the longest side of any of them.
        seed: Seed of the order.
        processes: Neighbouring batches of similar size go to so many processes.
        shortest_first_epochs: In so many epochs the batches come from the shortest rows to the longest (curriculum).
    """

    def __init__(
        self, lengths: np.ndarray, budget: int, seed: int = 0, processes: int = 1, shortest_first_epochs: int = 0
    ):
        lengths = np.asarray(lengths).reshape(len(lengths), -1)
        self.longest = lengths.max(1)
        self.total = int(lengths.sum())
        self.lengths, self.seed, self.processes, self.epoch = lengths, seed, processes, 0
        self.shortest_first_epochs = shortest_first_epochs
        steps = (lengths[:, 0] - lengths[:, -1]) // STEP
        # Every other length runs through the steps backwards, so that neighbours stay alike at its borders.
        self.keys = (np.where(self.longest % 2, -steps, steps), self.longest)
        self.bounds = batch_bounds(np.sort(self.longest), budget, processes)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch."""
        random = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        order = np.lexsort((random.random(len(self.longest)), *self.keys))
        parts = np.split(order, self.bounds[1:-1])
        count = len(parts) // self.processes
        groups = np.arange(count) if epoch < self.shortest_first_epochs else random.permutation(count)
        numbers = (groups[:, None] * self.processes + np.arange(self.processes)).ravel()
        rest = np.arange(len(numbers), len(parts))  # fewer rows than processes
        return [parts[number] for number in (*numbers, *rest)]

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches(self.epoch):
            yield batch.tolist()

    def padding_share(self, epoch: int = 0) -> float:
        """Padding tokens by all tokens of an epoch's batches, over all sides."""
        padded = sum(len(rows) * int(self.lengths[rows].max(0).sum()) for rows in self.batches(epoch))
        return 1 - self.total / max(padded, 1)


class LengthBatches:
    """Neighbouring rows for a data loader's `batch_sampler`, in their order: fewer where rows are long.

    Args:
        lengths (`np.ndarray` of shape `(rows, sides)`): Tokens.
        rows: Rows of average length in a batch.
    """

    def __init__(self, lengths: np.ndarray, rows: int):
        longest = lengths.max(1)
        self.bounds = batch_bounds(longest, int(rows * longest.mean()) if len(longest) else 0)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[list[int]]:
        for first, end in zip(self.bounds, self.bounds[1:]):
            yield list(range(first, end))


class SortedRows(Dataset):
    """A data set from its longest row to its shortest.

    Args:
        dataset: Its attribute `lengths` has the shape `(rows,)` or `(rows, sides)`.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset
        lengths = np.asarray(dataset.lengths).reshape(len(dataset), -1)
        self.order = np.lexsort(lengths.T[::-1])[::-1].copy()  # by the first side, then the others
        self.lengths = lengths[self.order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int) -> Any:
        return self.dataset[int(self.order[row])]

    def __getitems__(self, rows: list[int]) -> Any:
        """A whole batch at once."""
        return self.dataset.__getitems__(self.order[np.asarray(rows)])

    def restore(self, values: Any) -> Any:
        """Arrays, alone or in tuples, from the sorted order into that of the data set."""
        if values is None:
            return None
        if isinstance(values, (tuple, list)):
            return tuple(self.restore(value) for value in values)
        restored = np.empty_like(values)
        restored[self.order] = values
        return restored


__all__ = ["LengthBatches", "SortedRows", "TokenBatchSampler", "batch_bounds"]
