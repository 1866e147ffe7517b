"""Pairs of languages that a model knows and shall not lose: a share of the training pairs, other ones each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import TextArguments
from .cleaning import clean, take, tell_dropped
from .dataset import TextDataset

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

# Epochs until the same kept pairs of languages come again, if there are enough of them.
ROUNDS = 8


@dataclass
class KeptPair:
    """A pair of languages that a model knows and shall not lose, and its data.

    Args:
        source, target: Languages.
        splits: Split -> pairs.
    """

    source: str
    target: str
    splits: dict[str, "ParallelText"]


def languages_of(arguments: TextArguments) -> tuple[str, str]:
    """Of the new pair, "" where they are not given."""
    return getattr(arguments, "source_lang", None) or "", getattr(arguments, "target_lang", None) or ""


def turned_round(source: str, target: str, others: Sequence[KeptPair]) -> dict[str, "ParallelText"]:
    """Validation and test splits of the opposite direction, read the other way: no training pair may hold those."""
    return {
        f"{name} of {pair.source}-{pair.target}": text.reverse()
        for pair in others
        if (pair.source, pair.target) == (target, source)
        for name, text in pair.splits.items()
        if name != "train"
    }


def kept_training(
    arguments: TextArguments, kept: Sequence[KeptPair], found: dict[str, "ParallelText"], rows: int, ratio: float
) -> tuple[list[list["ParallelText"]], list[dict[str, Any]]]:
    """(training pairs of each kept pair, round by round, notes): the share `ratio` of all training pairs, if there are
    enough. If there are more, each epoch sees others: a round has as many, of about the same lengths.

    Args:
        arguments: The data section, for the cleaning.
        kept: The pairs of languages.
        found: The splits of the new pair.
        rows: Its training pairs.
        ratio: 0 to below 1.
    """
    wanted = round(ratio / (1 - ratio) * rows / max(len(kept), 1))
    texts, notes = [], []
    for pair in kept:
        others = [KeptPair(*languages_of(arguments), found), *kept]
        own = [other for other in kept if (other.source, other.target) == (pair.source, pair.target)]
        held_out = {f"{name} of {pair.target}": text for other in reversed(own) for name, text in other.splits.items()}
        splits = {**found, **held_out}
        splits |= turned_round(pair.source, pair.target, others)
        train, cleaning = clean(arguments, pair.splits["train"], splits, [*splits])
        texts.append(rounds_of(train, wanted, arguments.split_seed))
        notes.append(
            {"pair": f"{pair.source}-{pair.target}", "source": train.origin, "train": len(texts[-1][0]),
             "wanted": wanted, "rounds": len(texts[-1]), "cleaning": cleaning}
        )  # fmt: skip
    return texts, notes


def rounds_of(pairs: "ParallelText", wanted: int, seed: int) -> list["ParallelText"]:
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


def add_rounds(train: TextDataset, rounds: Sequence[Sequence["ParallelText"]], first: int) -> None:
    """Give training rows those that stand in for the kept pairs in later epochs.

    Args:
        train: The rows, with the kept pairs of the first round behind the others.
        rounds: Of the later ones, the texts of each kept pair.
        first: Number of the first kept row.
    """
    from zoo.data.parallel_text import concatenate

    later = []
    for texts in rounds:
        pairs = texts[0] if len(texts) == 1 else concatenate(list(texts))
        rows = TextDataset(pairs.source, pairs.target, train.tokenizer, *train.limits, True, train.resample)
        rows.numbers = rows.numbers + first
        rows.directions = train.directions
        rows.direction = np.repeat(np.arange(1, len(texts) + 1), [len(text) for text in texts])
        later.append(rows)
    train.kept_from, train.rounds = first, tuple(later)


def tell_kept(notes: Sequence[Mapping[str, Any]], ratio: float) -> list[str]:
    """Warnings of kept pairs that lost much in cleaning, or are fewer than they should be."""
    remarks = [remark for note in notes for remark in tell_dropped(note["source"], note["cleaning"])]
    return remarks + [
        f"warning: {note['source']}: keep_ratio={ratio:g} asks for {note['wanted']:,} training pairs of "
        f"{note['pair']}, and there are {note['train']:,}"
        for note in notes
        if note["train"] < note["wanted"]
    ]


__all__ = ["KeptPair", "add_rounds", "kept_training", "languages_of", "tell_kept", "turned_round"]
