"""Pairs of texts to batches."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

# Training rows that are measured for the fit diagnosis.
TRAINING_ROWS = 1000
IGNORED = -100
# Texts that are tokenized at once.
CHUNK = 4096


class Tokens:
    """Token ids of many texts in one array.

    Args:
        texts: The ids of each.
    """

    def __init__(self, texts: Sequence[Sequence[int]]):
        self.lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        self.offsets = np.r_[0, np.cumsum(self.lengths)]
        self.ids = np.fromiter((token for text in texts for token in text), np.int32, self.offsets[-1])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True)
class Direction:
    """From which language into which.

    Args:
        source, target: Languages, if they are known.
        tag: Id of the target's tag, which goes before every source of a model with several directions; () without.
    """

    source: str | None = None
    target: str | None = None
    tag: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """As `--keep_pair` has it: en-de."""
        return f"{self.source}-{self.target}"


def tokenize(
    tokenizer: Any, texts: Sequence[str], limit: int, tags: Sequence[tuple[int, ...]] = ()
) -> tuple[Tokens, np.ndarray]:
    """(tokens with their end sign, (rows,) which were longer than `limit` and are cut before their end sign).

    `tags`: What stands before each text, if anything does.
    """
    found: list[list[int]] = []
    for first in range(0, len(texts), CHUNK):
        chunk = list(texts[first : first + CHUNK])
        # Not verbose: it would warn of texts above the tokenizer's `model_max_length`, which are cut here.
        found += tokenizer(chunk, return_attention_mask=False, verbose=False)["input_ids"]
    if any(tags):
        found = [[*tag, *ids] for tag, ids in zip(tags, found)]
    long = np.array([len(ids) > limit for ids in found], bool)
    return Tokens([cut(ids, limit) for ids in found]), long


def cut(ids: Sequence[int], limit: int) -> Sequence[int]:
    """At most `limit` tokens; the last one, the end sign, stays."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


class TextDataset(Dataset):
    """Pairs of one split.

    Args:
        sources: Texts that go in.
        targets: Texts that shall come out.
        tokenizer: The processor of the run.
        max_source_length: Tokens; longer ones are cut.
        max_target_length: Tokens; longer ones are cut.
        training: Whether these are the training pairs, of which only a sample is measured.
        resample: (text, seed, epoch, row, side) -> ids: another segmentation each epoch.
    """

    def __init__(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        tokenizer: Any,
        max_source_length: int,
        max_target_length: int,
        training: bool = False,
        resample: Any = None,
    ):
        self.sources, self.targets, self.tokenizer = sources, targets, tokenizer
        self.limits, self.training, self.resample, self.epoch = (
            (max_source_length, max_target_length),
            training,
            resample,
            0,
        )
        # The first direction is the one that is scored under plain names.
        self.directions: tuple[Direction, ...] = (Direction(),)
        self.direction = np.zeros(len(sources), np.int64)  # of each row
        # Of each row: its number in the split that it was taken from.
        self.numbers = np.arange(len(sources))
        # Numbers below it are of the data itself, the others of further training pairs.
        self.own = len(sources)
        # Numbers from `kept_from` on are of kept pairs of languages: in epoch e they stand for the rows of round e, of
        # which the first is this data set. So all pairs of a large corpus are seen, some of them an epoch.
        self.kept_from = len(sources)
        self.rounds: tuple[TextDataset, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def encoded(self) -> tuple[tuple[Tokens, np.ndarray], tuple[Tokens, np.ndarray]]:
        """Tokens of the sources and of the targets, each with which of them were cut."""
        return (
            tokenize(self.tokenizer, self.sources, self.limits[0], self.tags),
            tokenize(self.tokenizer, self.targets, self.limits[1]),
        )

    @property
    def tags(self) -> list[tuple[int, ...]]:
        """What stands before each source."""
        return [self.directions[number].tag for number in self.direction]

    @property
    def lengths(self) -> np.ndarray:
        """(rows, 2) tokens of source and target."""
        return np.stack([tokens.lengths for tokens, _ in self.encoded], axis=1)

    @property
    def long(self) -> np.ndarray:
        """(rows,) whether a side is longer than its limit."""
        return self.encoded[0][1] | self.encoded[1][1]

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose segmentation and whose kept pairs are drawn."""
        self.epoch = epoch
        for other in self.rounds:
            other.set_epoch(epoch)

    def is_cut(self, row: int) -> bool:
        """Whether a side of this row is longer than its limit."""
        return any(bool(long[row]) for _, long in self.encoded)

    def row_of_epoch(self, row: int) -> "tuple[TextDataset, int]":
        """(data set, row) that this row stands for in this epoch: itself, or one of a round that is not cut."""
        slot, place = int(self.numbers[row]) - self.kept_from, self.epoch % (len(self.rounds) + 1)
        if slot < 0 or place == 0 or self.rounds[place - 1].is_cut(slot):
            return self, row
        return self.rounds[place - 1], slot

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """(source ids, target ids)"""
        if self.rounds:
            chosen, place = self.row_of_epoch(row)
            if chosen is not self:
                return chosen[place]
        if self.resample is None:
            return self.encoded[0][0][row], self.encoded[1][0][row]
        number = int(self.numbers[row])
        before: tuple[tuple[int, ...], ...] = (self.directions[self.direction[row]].tag, ())
        return tuple(  # type: ignore[return-value]
            np.asarray(cut([*before[side], *self.resample(texts[row], self.epoch, number, side)], limit), np.int32)
            for side, (texts, limit) in enumerate(zip((self.sources, self.targets), self.limits))
        )

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """A whole batch at once."""
        return [self[int(row)] for row in rows]

    def select(self, rows: np.ndarray, resample: Any = None) -> "TextDataset":
        """Some rows, in this order."""
        part = TextDataset(
            [self.sources[row] for row in rows],
            [self.targets[row] for row in rows],
            self.tokenizer,
            *self.limits,
            training=self.training,
            resample=resample,
        )
        part.numbers, part.own = self.numbers[rows], self.own
        part.directions, part.direction = self.directions, self.direction[rows]
        return part

    def rows_of(self, direction: int) -> np.ndarray:
        """Numbers of the rows of a direction."""
        return np.flatnonzero(self.direction == direction)

    def with_tokenizer(self, tokenizer: Any) -> "TextDataset":
        """The same rows for another model, with the tags that it has."""
        from zoo.data.tokenizer import language_ids

        other, known = copy(self), language_ids(tokenizer)
        other.__dict__.pop("encoded", None)
        other.tokenizer = tokenizer
        tags = [(known[d.target],) if d.target in known else () for d in self.directions]
        other.directions = tuple(Direction(d.source, d.target, tag) for d, tag in zip(self.directions, tags))
        return other

    def take(self, limit: int | None) -> "TextDataset":
        """At most so many rows, spread evenly: as many of each direction, if it has them. Kept pairs may have far more
        rows than the new one, whose figures choose between checkpoints."""
        if limit is None or limit >= len(self):
            return self
        groups = sorted((rows for number in range(len(self.directions)) if len(rows := self.rows_of(number))), key=len)
        chosen: list[np.ndarray] = []
        for place, rows in enumerate(groups):
            share = (limit - sum(map(len, chosen))) // (len(groups) - place)
            chosen.append(rows[np.linspace(0, len(rows) - 1, min(share, len(rows))).astype(np.int64)])
        return self.select(np.sort(np.concatenate(chosen)), self.resample)

    @cached_property
    def measured(self) -> "TextDataset":
        """The rows that are measured: all, but of training rows a sample of the data itself, so that they resemble
        validation, without sampled segmentation."""
        if not self.training:
            return self
        own = np.flatnonzero(self.numbers < self.own)
        rows = own[np.linspace(0, len(own) - 1, min(TRAINING_ROWS, len(own))).astype(np.int64)]
        return self.select(rows)


def pad(texts: Sequence[np.ndarray], value: int) -> torch.Tensor:
    """(rows, longest) ids, padded on the right."""
    padded = np.full((len(texts), max(len(text) for text in texts)), value, np.int64)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = text
    return torch.from_numpy(padded)


class Collator:
    """(source ids, target ids) of rows -> the model's arguments.

    `decoder_input_ids` are the labels one step later, after the start sign, as in Bart and Marian: with label
    smoothing the Trainer takes the labels away from the model, which could not make them itself.
    """

    def __init__(self, pad_token_id: int, decoder_start_token_id: int):
        self.pad_token_id, self.decoder_start_token_id = pad_token_id, decoder_start_token_id

    def __call__(self, rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, torch.Tensor]:
        input_ids = pad([source for source, _ in rows], self.pad_token_id)
        labels = pad([target for _, target in rows], IGNORED)
        shifted = labels.masked_fill(labels == IGNORED, self.pad_token_id).roll(1, dims=1)
        shifted[:, 0] = self.decoder_start_token_id
        lengths = torch.tensor([len(source) for source, _ in rows])
        attention_mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "decoder_input_ids": shifted,
            "labels": labels,
        }


def build_collator(processor: Any, arguments: Any, config: Any, seed: int) -> Collator:
    """What pads a batch."""
    return Collator(processor.pad_token_id, config.decoder_start_token_id)


def build_processor(family: Any, config: Any, data: Any) -> Any:
    """The tokenizer that `load_data` trained."""
    return data.processor


def evaluation_views(dataset: TextDataset, arguments: Any) -> list[Dataset]:
    """The rows that are measured."""
    return [dataset.measured]


def parent_view(dataset: TextDataset, processor: Any) -> TextDataset | None:
    """The rows as the model reads them that a run goes on with, if a pair of languages is to be kept."""
    return dataset.with_tokenizer(processor) if len(dataset.directions) > 1 else None


def decode(tokens: np.ndarray, tokenizer: Any) -> list[str]:
    """Generated tokens, padded with -100 or the padding sign, as texts."""
    tokens = np.where(tokens == IGNORED, tokenizer.pad_token_id, tokens)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def perplexity(losses: np.ndarray, label_ids: np.ndarray) -> float:
    """exp of the mean negative log likelihood of a target token, end sign included, given the true ones before it."""
    return float(np.exp(losses.sum(dtype=np.float64) / max(int((label_ids != IGNORED).sum()), 1)))


__all__ = [
    "Collator",
    "Direction",
    "TextDataset",
    "build_collator",
    "build_processor",
    "decode",
    "evaluation_views",
    "parent_view",
    "perplexity",
]
