"""Pairs of texts in memory: a source and what a model should make of it (a translation, a summary)."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# Characters added to both lengths before their ratio is taken: "Run!" -> "Fuyez donc !" is a good pair.
_SLACK = 10


@dataclass(frozen=True)
class ParallelText:
    """Pairs of texts, and the place of each in its file.

    Args:
        source: Texts that the model reads.
        target: Texts that it should generate, as many.
        origin: Where the pairs came from, for the record: without a folder of this machine.
        place: The place of a pair in messages, with {} for its number: "mine.tsv, line {}".
        numbers: The number (or name) of each pair; empty if they are 1, 2, 3...
        is_release: Whether the bytes are those of a known release of a named data set.

    Raises:
        ValueError: Sources and targets (or numbers) differ in count.
    """

    source: list[str]
    target: list[str]
    origin: str = ""
    place: str = "pair {}"
    numbers: Sequence[int | str] = ()
    is_release: bool = False

    def __post_init__(self):
        if len(self.source) != len(self.target):
            raise ValueError(f"{self.origin or 'the pairs'}: {len(self.source)} sources, {len(self.target)} targets")
        if len(self.numbers) not in (0, len(self.source)):
            raise ValueError(f"{self.origin or 'the pairs'}: {len(self.source)} pairs, {len(self.numbers)} numbers")

    def __len__(self) -> int:
        return len(self.source)

    def where(self, row: int) -> str:
        """The place of a pair, such as "mine.tsv, line 17"."""
        return self.place.format(self.numbers[row] if self.numbers else row + 1)

    def select(self, rows: Iterable[int]) -> "ParallelText":
        """The pairs of these rows, in their order."""
        rows = [int(row) for row in rows]
        return replace(
            self,
            source=[self.source[row] for row in rows],
            target=[self.target[row] for row in rows],
            numbers=[self.numbers[row] if self.numbers else row + 1 for row in rows],
        )

    def reverse(self) -> "ParallelText":
        """The other direction."""
        return replace(self, source=self.target, target=self.source)

    def fingerprint(self) -> str:
        """sha256 of the pairs in their order."""
        digest = hashlib.sha256(f"{len(self)}".encode())
        for text in (*self.source, *self.target):
            content = text.encode("utf-8", "surrogatepass")
            # The length goes first, so that no two different lists give the same bytes.
            digest.update(b"%d:" % len(content) + content)
        return digest.hexdigest()


def concatenate(parts: Sequence[ParallelText]) -> ParallelText:
    """Join pairs of several origins.

    Raises:
        ValueError: There are no parts.
    """
    if not parts:
        raise ValueError("no pairs to join")
    return ParallelText(
        source=[text for part in parts for text in part.source],
        target=[text for part in parts for text in part.target],
        origin=" + ".join(dict.fromkeys(part.origin for part in parts)),
        is_release=all(part.is_release for part in parts),
    )


class _Letters(dict):
    """Table for `str.translate`: letters, marks and digits stay, everything else becomes a space."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        return self[code]


_LETTERS = _Letters()


def normal_form(text: str) -> str:
    """A text without case, punctuation, width variants and runs of spaces: equal for near-copies of a sentence.

    A text without letters and digits keeps its punctuation, so that "!" and "?" differ.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_LETTERS).split()) or " ".join(folded.split())


def clean_pairs(
    text: ParallelText,
    *,
    max_length: int | None = 1000,
    max_target_length: int | None = None,
    max_ratio: float | None = 3.0,
    drop_identical: bool = True,
    drop_duplicates: bool = True,
) -> tuple[ParallelText, dict[str, int]]:
    """Drop training pairs that teach nothing or something wrong.

    Lengths are characters, which every script has. The length ratio of a pair is relative to that of the whole corpus
    (all target characters over all source characters), so that one limit serves English to German, English to Chinese
    and text to summary.

    Args:
        max_length: Characters of a source, and of a target without `max_target_length`; None for no limit.
        max_target_length: Characters of a target.
        max_ratio: How many times shorter or longer than expected from the corpus a target may be; None for no limit.
        drop_identical: Whether to drop targets that equal their source: mostly lines that nobody translated.
        drop_duplicates: Whether to keep only the first of equal pairs.

    Returns:
        The other pairs, in order, and the counts for the record: "read", "empty", "identical", "too_long",
        "length_ratio", "duplicate", "kept". A pair counts under the first reason that applies.

    Raises:
        ValueError: A limit is not positive, or no pair is left.
    """
    if max_target_length is None:
        max_target_length = max_length
    for name, limit in (
        ("max_length", max_length), ("max_target_length", max_target_length), ("max_ratio", max_ratio),
    ):  # fmt: skip
        if limit is not None and limit <= 0:
            raise ValueError(f"{name}={limit}: expected a number above 0")
    expected = (sum(map(len, text.target)) or 1) / (sum(map(len, text.source)) or 1)
    reasons = Counter[str]()
    kept, seen = [], set()
    for row, (source, target) in enumerate(zip(text.source, text.target)):
        lengths = len(source), len(target)
        ratio = (lengths[1] + _SLACK) / (expected * lengths[0] + _SLACK)
        if not source.strip() or not target.strip():
            reasons["empty"] += 1
        elif drop_identical and source == target:
            reasons["identical"] += 1
        elif (max_length and lengths[0] > max_length) or (max_target_length and lengths[1] > max_target_length):
            reasons["too_long"] += 1
        elif max_ratio and max(ratio, 1 / ratio) > max_ratio:
            reasons["length_ratio"] += 1
        elif drop_duplicates and (source, target) in seen:
            reasons["duplicate"] += 1
        else:
            kept.append(row)
            seen.add((source, target))
    names = ("empty", "identical", "too_long", "length_ratio", "duplicate")
    counts = {"read": len(text), **{name: reasons[name] for name in names}, "kept": len(kept)}
    if not kept:
        dropped = ", ".join(f"{name} {reasons[name]}" for name in names if reasons[name])
        raise ValueError(
            f"{text.origin or 'the pairs'}: no pair is left after cleaning ({dropped or 'none was read'})"
        )
    return text.select(kept), counts


def drop_overlap(
    train: ParallelText, held_out: ParallelText | Sequence[ParallelText], by: str = "source"
) -> tuple[ParallelText, int]:
    """Drop training pairs that are in validation or test, too; returns the others and how many were dropped.

    Texts are compared by `normal_form`: case, punctuation and spaces do not hide a copy.

    Args:
        train: Training pairs.
        held_out: Pairs of validation, of test, or a list of both.
        by: "source": drop pairs whose source a held-out pair has, too. This is stricter, because a model that was
            trained on a test source with another good target is not tested. "pair": drop pairs whose source and target
            are those of one held-out pair.

    Raises:
        ValueError: `by` is something else, or every training pair is held out.
    """
    if by not in ("source", "pair"):
        raise ValueError(f"by={by!r}: expected source or pair")

    def keys(text: ParallelText) -> list:
        sources = [normal_form(source) for source in text.source]
        return sources if by == "source" else list(zip(sources, map(normal_form, text.target)))

    parts = [held_out] if isinstance(held_out, ParallelText) else held_out
    held = {key for part in parts for key in keys(part)}
    kept = [row for row, key in enumerate(keys(train)) if key not in held]
    if train and not kept:
        raise ValueError(f"{train.origin or 'the training pairs'}: every pair is in validation or test, too")
    return train.select(kept), len(train) - len(kept)


__all__ = ["ParallelText", "clean_pairs", "concatenate", "drop_overlap", "normal_form"]
