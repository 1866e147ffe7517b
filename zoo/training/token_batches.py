"""Batches of about as many tokens each, of rows of about the same length."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset

# Rows of one length that differ in the other side by less than this are shuffled: finer steps pad and shuffle less.
STEP = 2


def batch_bounds(costs: np.ndarray, budget: int, multiple: int = 1) -> np.ndarray:
    """(batches + 1,) where sorted rows are cut, so that the largest cost in a batch times its rows fits the budget.

    Args:
        costs: (rows,) tokens of each row, ascending.
        budget: Tokens of a batch with its padding; a row that is longer makes a batch of its own.
        multiple: The largest batches are halved until the number of batches is a multiple of this: every process of
            a run then has as many. Fewer rows than that stay as they are.
    """
    bounds, first = [0], 0
    for row in range(1, len(costs) + 1):
        if row == len(costs) or costs[row] * (row + 1 - first) > budget:
            bounds.append(row)
            first = row
    while (len(bounds) - 1) % multiple and len(bounds) - 1 < len(costs):
        largest = int(np.argmax(np.diff(bounds)))
        bounds.insert(largest + 1, (bounds[largest] + bounds[largest + 1]) // 2)
    return np.array(bounds)


class TokenBatchSampler:
    """Lists of rows for a data loader's `batch_sampler`; another composition and order each epoch.

    Rows are sorted by their longest side, then by how much longer the first side is than the last, in steps of `STEP`
    tokens, and rows that are equal in this are shuffled. The sorted lengths are cut where the longest side times the
    rows would exceed the budget, which is what fairseq's `--max-tokens` counts. The cuts do not depend on the shuffle,
    so every epoch has as many batches; then the batches are shuffled. Everything follows from (seed, epoch): a resumed
    run, or one of several processes, sees the same batches.

    Args:
        lengths: (rows, sides) tokens, e.g. of source and target.
        budget: Tokens of a batch: rows times the longest side of any of them.
        seed: Of the order.
        processes: Neighbouring batches of about one size go to so many processes.
    """

    def __init__(self, lengths: np.ndarray, budget: int, seed: int = 0, processes: int = 1):
        lengths = np.asarray(lengths).reshape(len(lengths), -1)
        self.longest = lengths.max(1)
        self.total = int(lengths.sum())
        self.lengths, self.seed, self.processes, self.epoch = lengths, seed, processes, 0
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
        groups = random.permutation(len(parts) // self.processes)
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


class SortedRows(Dataset):
    """A data set from its longest row to its shortest; predictions are brought back into its own order.

    Args:
        dataset: Has `lengths`, (rows, sides).
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset
        lengths = np.asarray(dataset.lengths).reshape(len(dataset), -1)
        self.order = np.lexsort(lengths.T[::-1])[::-1].copy()  # by the first side, then the others

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int) -> Any:
        return self.dataset[int(self.order[row])]

    def __getitems__(self, rows: list[int]) -> Any:
        """A whole batch at once."""
        return self.dataset.__getitems__(self.order[np.asarray(rows)])

    def restore(self, values: Any) -> Any:
        """Arrays with a row for each of the sorted rows, alone or in tuples, in the order of the data set."""
        if isinstance(values, (tuple, list)):
            return tuple(self.restore(value) for value in values)
        restored = np.empty_like(values)
        restored[self.order] = values
        return restored


__all__ = ["SortedRows", "TokenBatchSampler", "batch_bounds"]
