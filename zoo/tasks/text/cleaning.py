"""Which pairs are worth learning from, and what a person is told of the others."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import TextArguments
from .dataset import TextDataset

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

# Above this share of dropped training pairs a person is told why.
DROPPED = 0.1


def take(pairs: "ParallelText", limit: int | None) -> "ParallelText":
    """At most so many pairs, spread evenly."""
    if limit is None or limit >= len(pairs):
        return pairs
    return pairs.select(np.linspace(0, len(pairs) - 1, limit).astype(np.int64))


def clean(
    arguments: TextArguments,
    pairs: "ParallelText",
    found: dict[str, "ParallelText"],
    others: Sequence[str] = ("validation", "test"),
) -> tuple["ParallelText", dict[str, Any]]:
    """(training pairs worth learning from, counts for the record)."""
    from zoo.data.parallel_text import clean_pairs, drop_overlap

    train, counts = clean_pairs(
        pairs,
        max_length=arguments.max_characters,
        max_ratio=arguments.max_length_ratio,
        drop_identical=arguments.drop_identical,
        drop_duplicates=arguments.drop_duplicates,
    )
    held_out = [found[name] for name in others if name in found and not name.startswith("train")]
    overlap = 0
    if held_out and arguments.drop_overlap != "none":
        train, overlap = drop_overlap(train, held_out, arguments.drop_overlap)
    return train, {**counts, "in_validation_or_test": overlap, "kept": len(train)}


def tell_dropped(origin: str, counts: Mapping[str, int]) -> list[str]:
    """A warning with the reasons, if cleaning dropped many training pairs."""
    dropped = 1 - counts["kept"] / max(counts["read"], 1)
    if dropped < DROPPED:
        return []
    reasons = {key.replace("_", " "): n for key, n in counts.items() if key not in ("read", "kept") and n}
    named = ", ".join(f"{reason} {n:,}" for reason, n in sorted(reasons.items(), key=lambda item: -item[1]))
    return [f"warning: {origin}: {dropped:.0%} of {counts['read']:,} training pairs were dropped ({named})"]


def drop_long(
    arguments: TextArguments, rows: TextDataset, origins: Sequence[str]
) -> tuple[TextDataset, list[int], list[str]]:
    """(training rows that are not over-long, dropped rows of each direction, warnings if they are many).

    Args:
        arguments: The data section.
        rows: Training rows.
        origins: Where the rows of each direction come from.

    Raises:
        ValueError: A direction has no other rows.
    """
    limits = f"max_source_length={arguments.max_source_length} or max_target_length={arguments.max_target_length}"
    dropped, remarks = [], []
    for number, origin in enumerate(origins):
        long = rows.long[rows.rows_of(number)]
        dropped.append(int(long.sum()))
        if len(long) and long.all():
            raise ValueError(f"{origin}: every pair has more than {limits} tokens")
        if len(long) and long.mean() >= DROPPED:
            remarks.append(
                f"warning: {origin}: {long.mean():.0%} of {len(long):,} training pairs were dropped, which have more "
                f"than {limits} tokens"
            )
    return rows.select(np.flatnonzero(~rows.long), rows.resample) if any(dropped) else rows, dropped, remarks


__all__ = ["clean", "drop_long", "take", "tell_dropped"]
