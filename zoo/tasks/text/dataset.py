"""Pairs of texts as token ids, and batches of them."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from .generation import IGNORED, mask_of, pad, shift_right, spread

# Training rows that are measured for the fit verdict.
TRAINING_ROWS = 200
# (text, epoch, row, side) -> ids
Resample = Callable[[str, int, int, int], list[int]]
# Texts that are tokenized at once.
CHUNK = 4096


def truncate(ids: Sequence[int], limit: int) -> Sequence[int]:
    """At most `limit` tokens; the last one, EOS, stays."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


class Tokens:
    """Token ids of many texts in one array.

    Args:
        texts: The ids of each; the last one is EOS.
        limit: Tokens of a text at most; longer ones are truncated.

    Attributes:
        lengths (`np.ndarray` of shape `(texts,)`): Tokens of each text.
        is_long (`np.ndarray` of shape `(texts,)`): Whether it was truncated.
        ids (`np.ndarray` of shape `(tokens,)`): All tokens.
    """

    def __init__(self, texts: Sequence[Sequence[int]], limit: int):
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.is_long = lengths > limit
        self.lengths = np.minimum(lengths, limit)
        self.offsets = np.r_[0, np.cumsum(self.lengths)]
        self.ids = np.fromiter(
            (token for text in texts for token in truncate(text, limit)), np.int32, self.offsets[-1]
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


class EncodedPairs(NamedTuple):
    """The tokens of all sources and of all targets."""

    sources: Tokens
    targets: Tokens


class TextDataset(Dataset):
    """Pairs of one split.

    Args:
        sources: Source texts.
        targets: Target texts.
        tokenizer: The processor of the run.
        limits: Tokens of a source and of a target at most; longer ones are truncated.
        training: Whether these are training pairs, of which only a sample is measured.
        resample: `(text, epoch, row, side) -> ids`: another tokenization each epoch.
    """

    def __init__(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        tokenizer: PreTrainedTokenizerFast,
        limits: tuple[int, int],
        training: bool = False,
        resample: Resample | None = None,
    ):
        self.sources, self.targets, self.tokenizer, self.limits = sources, targets, tokenizer, limits
        self.training, self.resample, self.epoch = training, resample, 0
        # The number of each row in the whole split; numbers below `own` are of the data itself, not of further pairs.
        self.numbers, self.own = np.arange(len(sources)), len(sources)

    def __len__(self) -> int:
        return len(self.sources)

    def prefix(self, row: int) -> tuple[int, ...]:
        """Ids that go before the source of a row."""
        return ()

    @cached_property
    def encoded(self) -> EncodedPairs:
        """The tokens of all rows."""

        def tokenize(texts: Sequence[str]) -> list[list[int]]:
            chunks = (list(texts[first : first + CHUNK]) for first in range(0, len(texts), CHUNK))
            # Not verbose: it would warn of texts above the tokenizer's `model_max_length`, which are truncated here.
            batches = (self.tokenizer(chunk, return_attention_mask=False, verbose=False) for chunk in chunks)
            return [ids for batch in batches for ids in batch["input_ids"]]

        sources = [[*self.prefix(row), *ids] for row, ids in enumerate(tokenize(self.sources))]
        return EncodedPairs(Tokens(sources, self.limits[0]), Tokens(tokenize(self.targets), self.limits[1]))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of source and target, of shape `(rows, 2)`."""
        return np.stack([side.lengths for side in self.encoded], axis=1)

    @property
    def is_long(self) -> np.ndarray:
        """Whether a side has more tokens than its limit, of shape `(rows,)`."""
        return self.encoded.sources.is_long | self.encoded.targets.is_long

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose tokenization `resample` draws."""
        self.epoch = epoch

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of source and target."""
        if self.resample is None:
            return self.encoded.sources[row], self.encoded.targets[row]
        number = int(self.numbers[row])
        source, target = (
            self.resample(texts[row], self.epoch, number, side)
            for side, texts in enumerate((self.sources, self.targets))
        )
        return (
            np.asarray(truncate([*self.prefix(row), *source], self.limits[0]), np.int32),
            np.asarray(truncate(target, self.limits[1]), np.int32),
        )

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """A whole batch at once."""
        return [self[int(row)] for row in rows]

    def select(self, rows: np.ndarray, resample: Resample | None = None) -> "TextDataset":
        """Some rows, in this order."""
        part = copy(self)
        part.__dict__.pop("encoded", None)
        part.__dict__.pop("measured", None)
        part.sources, part.targets = [self.sources[row] for row in rows], [self.targets[row] for row in rows]
        part.numbers, part.resample, part.epoch = self.numbers[rows], resample, 0
        return part

    def take(self, limit: int | None) -> "TextDataset":
        """At most so many rows, spread evenly."""
        if limit is None or limit >= len(self):
            return self
        return self.select(spread(len(self), limit), self.resample)

    @cached_property
    def measured(self) -> "TextDataset":
        """The rows that are measured, without sampled tokenization.

        All, but of training rows a sample of the data itself, which resembles validation.
        """
        if not self.training:
            return self
        own = np.flatnonzero(self.numbers < self.own)
        return self.select(own[spread(len(own), TRAINING_ROWS)])


def collate(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], pad_token_id: int, decoder_start_token_id: int
) -> dict[str, torch.Tensor]:
    """Rows of a `TextDataset` as arguments of a model's forward."""
    labels = pad([target for _, target in rows], IGNORED)
    return {
        "input_ids": pad([source for source, _ in rows], pad_token_id),
        "attention_mask": mask_of([len(source) for source, _ in rows]),
        "decoder_input_ids": shift_right(labels, pad_token_id, decoder_start_token_id),
        "labels": labels,
    }


__all__ = ["TextDataset", "collate"]
