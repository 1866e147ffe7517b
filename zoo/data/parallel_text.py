"""Pairs of texts in memory: a source and what a model should make of it (a translation, a summary)."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

# Characters added to both lengths before their ratio is taken: "Run!" -> "Fuyez donc !" is a good pair.
_SLACK = 10


@dataclass(frozen=True)
class ParallelText:
    """Pairs of texts.

    Args:
        source: Texts that the model reads.
        target: Texts that it should generate, as many.
        origin: Where the pairs came from, for the record: without a folder of this machine.
        names: A name of each pair; empty if they have none.
        is_release: Whether the bytes are those of a known release of a named data set.

    Raises:
        ValueError: Sources and targets differ in count.
    """

    source: list[str]
    target: list[str]
    origin: str = ""
    names: Sequence[str] = ()
    is_release: bool = False

    def __post_init__(self):
        if len(self.source) != len(self.target):
            raise ValueError(f"{self.origin or 'the pairs'}: {len(self.source)} sources, {len(self.target)} targets")

    def __len__(self) -> int:
        return len(self.source)

    def select(self, rows: Iterable[int]) -> "ParallelText":
        """The pairs of these rows, in their order."""
        rows = [int(row) for row in rows]
        return replace(
            self,
            source=[self.source[row] for row in rows],
            target=[self.target[row] for row in rows],
            names=[self.names[row] for row in rows] if self.names else (),
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
    """Join pairs of one or several origins."""
    if len(parts) == 1:
        return parts[0]
    return ParallelText(
        source=[text for part in parts for text in part.source],
        target=[text for part in parts for text in part.target],
        origin=" + ".join(dict.fromkeys(part.origin for part in parts)),
        is_release=all(part.is_release for part in parts),
    )


def split_by_hash(pairs: ParallelText, keys: Iterable[str], percent: Mapping[str, int]) -> dict[str, ParallelText]:
    """Split pairs into "train" and what is held out; pairs with the same key stay together, on every machine.

    Args:
        pairs: All pairs.
        keys: A key of each pair.
        percent: How many of 100 keys go to "test" and to "validation", in this order.
    """
    held_out = [split for split, count in percent.items() for _ in range(count)]
    rows: dict[str, list[int]] = {split: [] for split in ("train", "validation", "test")}
    for row, key in enumerate(keys):
        bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 100
        rows[held_out[bucket] if bucket < len(held_out) else "train"].append(row)
    return {split: pairs.select(chosen) for split, chosen in rows.items()}


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
    max_ratio: float | None = 3.0,
    drop_identical: bool = True,
    drop_duplicates: bool = True,
) -> tuple[ParallelText, dict[str, int]]:
    """Drop training pairs that teach nothing or something wrong.

    Lengths are characters, which every script has. The length ratio of a pair is relative to that of the whole corpus
    (all target characters over all source characters), so that one limit serves English to German, English to Chinese
    and text to summary.

    Args:
        max_length: Characters of a source or a target; None for no limit.
        max_ratio: How many times shorter or longer than expected from the corpus a target may be; None for no limit.
        drop_identical: Whether to drop targets that equal their source: mostly lines that nobody translated.
        drop_duplicates: Whether to keep only the first of equal pairs.

    Returns:
        The other pairs, in order, and the counts for the record: "read", "empty", "identical", "too_long",
        "length_ratio", "duplicate", "kept". A pair counts under the first reason that applies.

    Raises:
        ValueError: A limit is not positive, or no pair is left.
    """
    for name, limit in {"max_length": max_length, "max_ratio": max_ratio}.items():
        if limit is not None and limit <= 0:
            raise ValueError(f"{name}={limit}: expected a number above 0")
    expected = (sum(map(len, text.target)) or 1) / (sum(map(len, text.source)) or 1)
    dropped = dict.fromkeys(("empty", "identical", "too_long", "length_ratio", "duplicate"), 0)
    kept, seen = [], set()
    for row, (source, target) in enumerate(zip(text.source, text.target)):
        ratio = (len(target) + _SLACK) / (expected * len(source) + _SLACK)
        if not source.strip() or not target.strip():
            dropped["empty"] += 1
        elif drop_identical and source == target:
            dropped["identical"] += 1
        elif max_length and max(len(source), len(target)) > max_length:
            dropped["too_long"] += 1
        elif max_ratio and max(ratio, 1 / ratio) > max_ratio:
            dropped["length_ratio"] += 1
        elif drop_duplicates and (source, target) in seen:
            dropped["duplicate"] += 1
        else:
            kept.append(row)
            seen.add((source, target))
    if not kept:
        reasons = ", ".join(f"{name} {count}" for name, count in dropped.items() if count)
        raise ValueError(
            f"{text.origin or 'the pairs'}: no pair is left after cleaning ({reasons or 'none was read'})"
        )
    return text.select(kept), {"read": len(text), **dropped, "kept": len(kept)}


def drop_overlap(
    train: ParallelText, held_out: Iterable[ParallelText], by: str = "source"
) -> tuple[ParallelText, int]:
    """Drop training pairs that are in validation or test, too; returns the others and how many were dropped.

    Texts are compared by `normal_form`: case, punctuation and spaces do not hide a copy.

    Args:
        train: Training pairs.
        held_out: Pairs of validation and of test.
        by: "source": drop pairs whose source a held-out pair has, too. This is stricter, because a model that was
            trained on a test source with another good target is not tested. "pair": drop pairs whose source and target
            are those of one held-out pair.

    Raises:
        ValueError: Every training pair is held out.
    """

    def keys(text: ParallelText) -> list:
        sources = [normal_form(source) for source in text.source]
        return sources if by == "source" else list(zip(sources, map(normal_form, text.target)))

    held_out_keys = {key for text in held_out for key in keys(text)}
    kept = [row for row, key in enumerate(keys(train)) if key not in held_out_keys]
    if train and not kept:
        raise ValueError(f"{train.origin or 'the training pairs'}: every pair is in validation or test, too")
    return train.select(kept), len(train) - len(kept)


__all__ = ["ParallelText", "clean_pairs", "concatenate", "drop_overlap", "normal_form", "split_by_hash"]
