"""Replay: pairs of languages that a model must not forget, as a share of the training pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...text.arguments import TextArguments
from ...text.dataset import Resample
from ...text.splits import Corpus, NamedSplits, ReadNamed, clean, read_splits, take
from ..arguments import KEEP_PAIR, TranslationArguments
from ..dataset import TranslationDataset

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

# Epochs until the same pairs are replayed again, if there are enough of them.
ROUNDS = 8


@dataclass
class OldPair:
    """A language pair that is replayed."""

    source: str
    target: str
    splits: "Mapping[str, ParallelText]"

    @property
    def name(self) -> str:
        """As in `en-de`."""
        return f"{self.source}-{self.target}"

    @property
    def measured(self) -> "list[ParallelText]":
        """Its validation and test splits, if it has them."""
        return [text for split, text in self.splits.items() if split != "train"]


@dataclass
class ReplayCorpus(Corpus):
    """The training pairs of an old language pair: those of its first round, and of later ones.

    Args:
        pair: The language pair.
        rounds: Training pairs of each round.
    """

    pair: OldPair
    rounds: "list[ParallelText]"

    def count_long(self, is_long: np.ndarray) -> None:
        """Count training pairs that are dropped because they have too many tokens."""
        self.notes["train"] -= int(is_long.sum())
        self.notes["cleaning"]["over_long"] = int(is_long.sum())


def read_old_pairs(arguments: TranslationArguments, read_named: ReadNamed) -> list[OldPair]:
    """The data of every `keep_pair`; a pair that comes again has training pairs only.

    Raises:
        ValueError, FileNotFoundError: One is neither a file nor a known data set, or it is damaged.
    """
    pairs: list[OldPair] = []
    for text in arguments.keep_pair or ():
        again = text.partition(":")[0] in [pair.name for pair in pairs]
        sizes = replace(arguments, validation_size=0.0, test_size=0.0) if again else arguments
        pair = read_old_pair(text, sizes, read_named)
        pairs.append(replace(pair, splits={"train": pair.splits["train"]}) if again else pair)
    return pairs


def read_old_pair(text: str, arguments: TranslationArguments, read_named: ReadNamed) -> OldPair:
    """The data of SOURCE-TARGET:FILE."""
    source, target, name = KEEP_PAIR.fullmatch(text).groups()  # type: ignore[union-attr]  # checked by the arguments
    files = [name] if Path(name).is_file() else name.split(",")
    is_file = [Path(file).is_file() for file in files]
    if len(files) == 2 and sum(is_file) == 1:
        raise ValueError(f"--keep_pair {text}: {files[is_file.index(False)]} is not a file")
    of_files = len(files) < 3 and all(is_file)
    own = replace(
        arguments,
        source_lang=source, target_lang=target, source_column=None, target_column=None, keep_pair=None, data_dir=None,
        train_file=files if of_files else None, validation_file=None, test_file=None,
        dataset_name=None if of_files else name,
    )  # fmt: skip

    def read_known(arguments: TextArguments) -> NamedSplits:
        known = read_named(arguments)
        if known is None:
            raise ValueError(
                f"--keep_pair {text}: {name} is neither a file nor a data set that the library knows by name"
            )
        return known

    return OldPair(source, target, read_splits(own, read_known)[0])


def measured_reversed(source: str, target: str, others: Sequence[OldPair]) -> "list[ParallelText]":
    """Validation and test splits of the opposite direction, reversed: no training pair may be in those."""
    opposite = [pair for pair in others if (pair.source, pair.target) == (target, source)]
    return [text.reverse() for pair in opposite for text in pair.measured]


def replay_corpora(
    arguments: TranslationArguments, old: Sequence[OldPair], splits: "Mapping[str, ParallelText]", rows: int
) -> list[ReplayCorpus]:
    """The pairs to replay: the share `keep_ratio` of all training pairs, if there are enough.

    If there are more, each epoch replays others: a round has as many, of about the same lengths. `splits` are those of
    the new language pair, of which `rows` pairs are trained on.
    """
    ratio = arguments.keep_ratio
    wanted = round(ratio / (1 - ratio) * rows / max(len(old), 1))
    new = OldPair(arguments.source_lang or "", arguments.target_lang or "", splits)
    corpora = []
    for pair in old:
        same = [other for other in old if other.name == pair.name]
        held_out = [text for other in (new, *same) for text in other.measured]
        held_out += measured_reversed(pair.source, pair.target, [new, *old])
        train, cleaning, warnings = clean(arguments, pair.splits["train"], held_out)
        rounds = rounds_of(train, wanted, arguments.split_seed)
        count = len(rounds[0])
        notes = {
            "pair": pair.name, "source": train.origin, "train": count, "wanted": wanted, "rounds": len(rounds),
            "cleaning": cleaning,
        }  # fmt: skip
        if count < wanted:
            warnings.append(
                f"warning: {train.origin}: keep_ratio={ratio:g} asks for {wanted:,} training pairs of {pair.name}, "
                f"and there are {count:,}"
            )
        corpora.append(ReplayCorpus({**pair.splits, "train": rounds[0]}, 0, notes, warnings, [], pair, rounds))
    return corpora


def rounds_of(pairs: "ParallelText", wanted: int, seed: int) -> "list[ParallelText]":
    """Parts of `wanted` pairs each, at most `ROUNDS`; a row of one part is about as long as that of another."""
    count = min(len(pairs) // max(wanted, 1), ROUNDS)
    if count < 2:
        return [take(pairs, wanted)]
    pairs = take(pairs, wanted * count)
    order = np.argsort(
        [len(source) + len(target) for source, target in zip(pairs.source, pairs.target)], kind="stable"
    )
    groups = np.random.default_rng(seed).permuted(order.reshape(wanted, count), axis=1)
    return [pairs.select(groups[:, number]) for number in range(count)]


class ReplayDataset(TranslationDataset):
    """Training pairs of which the replayed ones change with the epoch.

    In epoch e a replayed row is replaced by the row of the same number in round e, if that is not too long. So all
    pairs of a large corpus are seen, some of them each epoch.
    """

    first = 0  # the number of the first replayed row
    rounds: tuple[TranslationDataset, ...] = ()  # of epochs 1, 2...: epoch 0 has the rows of this data set

    def add_rounds(self, corpora: Sequence[ReplayCorpus], first: int) -> None:
        """Add the rows of later rounds; `first` is the number of the first replayed row."""
        from zoo.data.parallel_text import concatenate

        rounds = []
        for number in range(1, max(len(corpus.rounds) for corpus in corpora)):
            texts = [corpus.rounds[number % len(corpus.rounds)] for corpus in corpora]
            pairs = concatenate(texts)
            rows = TranslationDataset(
                pairs.source,
                pairs.target,
                directions=self.directions,
                direction=np.repeat(np.arange(1, len(texts) + 1), [len(text) for text in texts]),
                tokenizer=self.tokenizer,
                limits=self.limits,
                training=True,
                resample=self.resample,
            )
            rows.numbers = rows.numbers + first
            rounds.append(rows)
        self.first, self.rounds = first, tuple(rounds)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose pairs are replayed and whose tokenization is drawn."""
        self.epoch = epoch
        for rows in self.rounds:
            rows.set_epoch(epoch)

    def row_of_epoch(self, row: int) -> tuple[TranslationDataset, int]:
        """(data set, row) that replaces this row in this epoch: itself, or one of a round."""
        slot, place = int(self.numbers[row]) - self.first, self.epoch % (len(self.rounds) + 1)
        if slot < 0 or place == 0 or self.rounds[place - 1].is_long[slot]:
            return self, row
        return self.rounds[place - 1], slot

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of source and target."""
        if self.rounds:
            rows, place = self.row_of_epoch(row)
            if rows is not self:
                return rows[place]
        return super().__getitem__(row)

    def select(self, rows: np.ndarray, resample: Resample | None = None) -> "ReplayDataset":
        """Some rows, in this order, the same in every epoch."""
        part: Any = super().select(rows, resample)
        part.rounds = ()
        return part


__all__ = ["OldPair", "ReplayCorpus", "ReplayDataset", "read_old_pairs", "replay_corpora"]
