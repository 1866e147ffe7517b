"""Pairs of several language pairs."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from ..text.dataset import Resample, TextDataset
from ..text.generation import spread


@dataclass(frozen=True)
class Direction:
    """A language pair.

    Args:
        source, target: Languages, if they are known.
        tag: Id of the target's language tag, which goes before every source; () without tags.
    """

    source: str | None = None
    target: str | None = None
    tag: tuple[int, ...] = ()

    @classmethod
    def of(cls, source: str | None, target: str | None, tokenizer: PreTrainedTokenizerFast) -> "Direction":
        """A language pair with the tag that a tokenizer has for its target."""
        from zoo.data.tokenizer import language_ids

        tags = language_ids(tokenizer)
        return cls(source, target, (tags[target],) if target in tags else ())

    @property
    def name(self) -> str:
        """As in `en-de`."""
        return f"{self.source}-{self.target}"


class TranslationDataset(TextDataset):
    """Pairs of one split, of one or several directions.

    Args:
        sources: Source texts.
        targets: Target texts.
        directions: Metrics under plain names are of the first.
        direction (`np.ndarray` of shape `(rows,)`): The number of each row's direction.
        options: Further arguments of `TextDataset`.
    """

    def __init__(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        directions: Sequence[Direction],
        direction: np.ndarray,
        **options: Any,
    ):
        super().__init__(sources, targets, **options)
        self.directions, self.direction = tuple(directions), direction

    def prefix(self, row: int) -> tuple[int, ...]:
        """The language tag of a row."""
        return self.directions[self.direction[row]].tag

    def rows_of(self, direction: int) -> np.ndarray:
        """Numbers of the rows of a direction."""
        return np.flatnonzero(self.direction == direction)

    def select(self, rows: np.ndarray, resample: Resample | None = None) -> "TranslationDataset":
        """Some rows, in this order."""
        part: Any = super().select(rows, resample)
        part.direction = self.direction[rows]
        return part

    def take(self, limit: int | None) -> "TranslationDataset":
        """At most so many rows, spread evenly: as many of each direction, if it has them.

        A large language pair would leave few rows of the others, whose metrics choose between checkpoints.
        """
        if limit is None or limit >= len(self):
            return self
        groups = sorted((rows for number in range(len(self.directions)) if len(rows := self.rows_of(number))), key=len)
        chosen: list[np.ndarray] = []
        for place, rows in enumerate(groups):
            share = (limit - sum(map(len, chosen))) // (len(groups) - place)
            chosen.append(rows[spread(len(rows), share)])
        return self.select(np.sort(np.concatenate(chosen)), self.resample)

    def with_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> "TranslationDataset":
        """The same rows for another model, with the language tags that it has."""
        other = copy(self)
        other.__dict__.pop("encoded", None)
        other.tokenizer = tokenizer
        other.directions = tuple(Direction.of(pair.source, pair.target, tokenizer) for pair in self.directions)
        return other


__all__ = ["Direction", "TranslationDataset"]
