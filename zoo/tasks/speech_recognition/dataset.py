"""Utterances with their features and texts, alone or joined to strings."""

import re
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from zoo.data.audio import SpeechSplit
from zoo.data.audio_features import Features

from ..text.generation import spread
from .augment import random_numbers

# Training utterances that are measured for the verdict on the fit.
TRAINING_ROWS = 1000
GROUP = re.compile(r"(\w+)<([\d.]+)")


class Row(NamedTuple):
    """Spectrograms `(frames, bins)` of a row's utterances, their joined text, the key of its random numbers, and
    whether it is augmented."""

    clips: list[np.ndarray]
    text: str
    key: tuple[int, ...]
    training: bool


class SpeechDataset(Dataset):
    """Utterances of one split, or sequences of several utterances of a speaker.

    In training with `join`, row i is a sequence of a fixed number of utterances, 1 to `join`; which they are changes
    every epoch, and each begins one sequence an epoch. Otherwise the rows are the utterances alone, then, with `join`,
    sequences in which each occurs once, but for one of a speaker that may be left over.

    Extra utterances of the split are for training only: sorted by length into groups of `extra_epochs`, of which an
    epoch reads one each.

    Args:
        features: Log-mel spectrograms of the split.
        split: Texts and speakers; the texts are normalised.
        tokenizer: Of the run.
        rows: Which utterances to use; all by default.
        join: Most utterances in a string.
        training: Whether rows change from epoch to epoch and are augmented.
        seed: Of the strings.
        extra_epochs: Epochs in which each extra utterance occurs once.
    """

    def __init__(
        self,
        features: Features,
        split: SpeechSplit,
        tokenizer: PreTrainedTokenizerFast,
        rows: Sequence[int] | np.ndarray | None = None,
        join: int = 1,
        training: bool = False,
        seed: int = 0,
        extra_epochs: int = 1,
    ):
        self.features, self.split, self.tokenizer = features, split, tokenizer
        self.join, self.training, self.seed = join, training, seed
        rows = np.arange(len(split)) if rows is None else np.asarray(rows, np.int64)
        is_extra = rows >= len(split) - split.extra
        self.utterances, extra = rows[~is_extra], rows[is_extra]
        speakers = split.speakers or [""] * len(split)
        names, numbers = np.unique([speakers[row] for row in self.utterances], return_inverse=True)
        self.by_speaker = [self.utterances[numbers == number] for number in range(len(names))]
        self.speaker_of = dict(zip(self.utterances.tolist(), numbers.tolist()))
        # A row for each group of neighbours in length; a few of the longest are left over.
        by_length = extra[np.argsort(features.lengths[extra], kind="stable")]
        self.extra = by_length[: len(by_length) // extra_epochs * extra_epochs].reshape(-1, extra_epochs)
        self.counts = np.ones(len(self.utterances), np.int64)
        if training and join > 1:
            self.counts = random_numbers(seed, 1).integers(1, join + 1, len(self.utterances))
        self.strings = [np.array([row]) for row in self.utterances]
        if join > 1 and not training:
            self.strings += self._strings_of_each()
        self.set_epoch(0)

    def _strings_of_each(self) -> list[np.ndarray]:
        """Utterances in one string of 2 to `join` of their speaker each; a last one alone is left out."""
        random = random_numbers(self.seed, 2)
        strings = []
        for own in self.by_speaker:
            shuffled = random.permutation(own)
            while len(shuffled):
                count = int(random.integers(2, self.join + 1))
                if len(shuffled) > 1:
                    strings.append(shuffled[:count])
                shuffled = shuffled[count:]
        return strings

    def set_epoch(self, epoch: int) -> None:
        """Draw the rows of an epoch; they follow from seed and epoch."""
        self.epoch = epoch
        if not self.training:
            return
        if self.join > 1:
            random = random_numbers(self.seed, 3, epoch)
            self.strings = []
            for first, count in zip(random.permutation(self.utterances), self.counts):
                own = self.by_speaker[self.speaker_of[int(first)]]
                self.strings.append(np.r_[first, own[random.integers(0, len(own), count - 1)]])
        groups = np.arange(len(self.extra))
        chosen = self.extra[groups, (epoch + groups) % self.extra.shape[1]]
        self.strings = [*self.strings[: len(self.utterances)], *chosen[:, None]]

    def __len__(self) -> int:
        return len(self.strings)

    def text(self, string: np.ndarray) -> str:
        """What is said in a string."""
        return " ".join(self.split.texts[utterance] for utterance in string)

    @property
    def texts(self) -> list[str]:
        """What is said in each row."""
        return [self.text(string) for string in self.strings]

    @property
    def speakers(self) -> list[str] | None:
        """Who speaks in each row, if it is known."""
        known = self.split.speakers
        return None if known is None else [known[string[0]] for string in self.strings]

    @cached_property
    def lengths(self) -> np.ndarray:
        """`(rows, 1)` frames; about, of training rows that change from epoch to epoch."""
        frames = self.features.lengths
        if not self.training:
            return np.array([[frames[string].sum()] for string in self.strings])
        own = frames[self.utterances]
        if self.join > 1:
            own = (self.counts * own.mean()).astype(np.int64)
        return np.r_[own, frames[self.extra].max(1)][:, None]

    def __getitem__(self, row: int) -> Row:
        string = self.strings[row]
        key = (self.epoch, row) if self.training else tuple(string.tolist())
        return Row([self.features[utterance] for utterance in string], self.text(string), key, self.training)

    def __getitems__(self, rows: Sequence[int]) -> list[Row]:
        """A whole batch at once."""
        return [self[int(row)] for row in rows]

    def take(self, count: int) -> "SpeechDataset":
        """At most so many rows, spread evenly."""
        part = copy(self)
        part.__dict__.pop("lengths", None)
        part.strings = [self.strings[row] for row in spread(len(self), count)]
        return part

    @cached_property
    def measured(self) -> "SpeechDataset":
        """The rows that are measured: all; of training data a sample, without augmentation."""
        if not self.training:
            return self
        rows = self.utterances[spread(len(self.utterances), TRAINING_ROWS)]
        return SpeechDataset(self.features, self.split, self.tokenizer, rows, self.join, seed=self.seed)

    @property
    def middle(self) -> int:
        """The row of median length."""
        return int(np.argsort(self.lengths[:, 0], kind="stable")[len(self) // 2])

    def groups(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Name -> mask of the rows of each group: alone and joined, and those of a column's values.

        Args:
            columns: Names, or `age<18` for two groups of a column of numbers; those that the data lacks are left out.
        """
        found: dict[str, np.ndarray] = {}
        if self.join > 1:
            single = np.array([len(string) == 1 for string in self.strings])
            found |= {"single": single, "joined": ~single}
        for column, limit in map(column_of, columns):
            if column not in self.split.columns:
                continue
            values = [self.split.columns[column][string[0]] for string in self.strings]
            if limit:
                below = np.array([float(value) < float(limit) for value in values])
                found |= {f"{column}_below_{limit}": below, f"{column}_from_{limit}": ~below}
            else:
                known = sorted(set(values), key=str)
                found |= {f"{column}_{value}": np.array([v == value for v in values]) for value in known}
        return found


def column_of(group: str) -> tuple[str, str]:
    """`age<18` -> `("age", "18")`, `gender` -> `("gender", "")`."""
    match = GROUP.fullmatch(group)
    return (match[1], match[2]) if match else (group, "")


__all__ = ["Row", "SpeechDataset", "column_of"]
