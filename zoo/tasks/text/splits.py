"""From files or a data set's name to cleaned splits of pairs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.sources import refuse_folder

from .arguments import TextArguments
from .generation import spread

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

FILES = {"train": "train_file", "validation": "validation_file", "test": "test_file"}
# Above this share of dropped training pairs the user is warned.
DROPPED = 0.1
# The splits of a data set by name and notes for the record; None if the task does not know the name.
NamedSplits = tuple[dict[str, "ParallelText"], dict[str, Any]]
ReadNamed = Callable[[TextArguments], NamedSplits | None]


@dataclass
class Corpus:
    """Pairs with their cleaned training split.

    Args:
        splits: Split -> pairs.
        own: How many training pairs, from the first on, are of the data itself.
        notes: What the record says of them.
        warnings: What the user should read.
        parts: Training pairs of each part, and its counts of pairs that were read, dropped and kept; a part that is
            repeated has counts once.
    """

    splits: dict[str, "ParallelText"]
    own: int
    notes: dict[str, Any]
    warnings: list[str]
    parts: list[tuple[int, dict[str, int] | None]]

    @property
    def train(self) -> "ParallelText":
        """The training pairs."""
        return self.splits["train"]

    def count_long(self, is_long: np.ndarray) -> None:
        """Count training pairs that are dropped because they have too many tokens; `is_long` is of shape `(rows,)`."""
        first = 0
        for rows, counts in self.parts:
            dropped = int(is_long[first : first + rows].sum())
            if counts is not None and dropped:
                counts |= {"over_long": dropped, "kept": rows - dropped}
            first += rows


def read_splits(arguments: TextArguments, read_named: ReadNamed) -> NamedSplits:
    """Read every split, and set aside what has no file of its own; also returns notes for the record.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: No data is named, or it is damaged.
    """
    from zoo.data.parallel_files import read_hub_pairs, read_pairs

    files = {split: getattr(arguments, name) for split, name in FILES.items() if getattr(arguments, name)}
    named = None
    if files:
        refuse_folder(arguments.data_dir, "a file of your own")
        if "train" not in files and "validation" in files:
            raise ValueError("--validation_file and --test_file need --train_file")
        splits = {split: read_pairs(paths, **arguments.columns) for split, paths in files.items()}
    elif arguments.dataset_name is None:
        raise ValueError("name the data: --train_file mine.tsv, two aligned files, or --dataset_name")
    elif named := read_named(arguments):
        splits = named[0]
    else:
        refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
        splits = read_hub_pairs(arguments.dataset_name, arguments.dataset_config_name, **arguments.columns)
    if named is None and "train" in splits:
        # Whoever brings validation pairs and no test pairs wants no test.
        sizes = (
            {} if "validation" in splits else {"test": arguments.test_size, "validation": arguments.validation_size}
        )
        missing = {name: size for name, size in sizes.items() if name not in splits and size}
        if missing:
            splits = {**splits, **set_aside(splits["train"], missing, arguments.split_seed)}
    notes = named[1] if named else {}
    return splits, {**notes, "known_release": next(iter(splits.values())).is_release}


def set_aside(pairs: "ParallelText", sizes: Mapping[str, float], seed: int) -> dict[str, "ParallelText"]:
    """Split training pairs; pairs with the same source stay together.

    Pairs with an empty side cannot be measured: they stay in training, where cleaning drops and counts them.

    Args:
        pairs: All pairs.
        sizes: Split -> pairs, or their share if below 1.
        seed: Seed of the choice.

    Raises:
        ValueError: No training pair would be left.
    """
    from zoo.data.parallel_text import normal_form

    rows_of: dict[str, list[int]] = {}
    for row, (source, target) in enumerate(zip(pairs.source, pairs.target)):
        rows_of.setdefault(normal_form(source) if target else "", []).append(row)
    rows: dict[str, list[int]] = {**{name: [] for name in sizes}, "train": rows_of.pop("", [])}
    groups = list(rows_of.values())
    wanted = {name: max(round(size * len(pairs)), 1) if size < 1 else int(size) for name, size in sizes.items()}
    for number in np.random.default_rng(seed).permutation(len(groups)):
        name = next((name for name in wanted if len(rows[name]) < wanted[name]), "train")
        rows[name] += groups[number]
    if not rows["train"]:
        aside = ", ".join(f"{size:,} for {name}" for name, size in wanted.items())
        raise ValueError(
            f"{pairs.origin}: {len(pairs):,} pairs are too few to set aside {aside}: bring more pairs, or files of "
            "their own with --validation_file and --test_file"
        )
    return {name: pairs.select(sorted(chosen)) for name, chosen in rows.items() if chosen}


def take(pairs: "ParallelText", limit: int | None) -> "ParallelText":
    """At most so many pairs, evenly spread."""
    return pairs if limit is None or limit >= len(pairs) else pairs.select(spread(len(pairs), limit))


def clean(
    arguments: TextArguments, pairs: "ParallelText", held_out: Collection["ParallelText"]
) -> tuple["ParallelText", dict[str, int], list[str]]:
    """Drop bad training pairs, and those that are held out for validation and test.

    Returns:
        The pairs that are left, how many were dropped by each reason, and a warning if they are many.
    """
    from zoo.data.parallel_text import clean_pairs, drop_overlap

    train, counts = clean_pairs(
        pairs,
        max_length=arguments.max_characters,
        max_ratio=arguments.max_length_ratio,
        drop_identical=arguments.drop_identical,
        drop_duplicates=arguments.drop_duplicates,
    )
    overlap = 0
    if held_out and arguments.drop_overlap != "none":
        train, overlap = drop_overlap(train, held_out, arguments.drop_overlap)
    counts = {**counts, "in_validation_or_test": overlap, "kept": len(train)}
    share = 1 - len(train) / len(pairs)
    reasons = sorted((-n, reason) for reason, n in counts.items() if reason not in ("read", "kept") and n)
    named = ", ".join(f"{reason.replace('_', ' ')} {-n:,}" for n, reason in reasons)
    warning = f"warning: {pairs.origin}: {share:.0%} of {len(pairs):,} training pairs were dropped ({named})"
    return train, counts, [warning] if share >= DROPPED else []


def read_corpus(
    arguments: TextArguments,
    splits: Mapping[str, "ParallelText"],
    read_named: ReadNamed,
    held_out: Collection["ParallelText"] = (),
) -> Corpus:
    """Clean the training pairs, repeat them and add further ones as the arguments ask for.

    Pairs that are `held_out`, or in validation or test, are not trained on.
    """
    from zoo.data.parallel_text import concatenate

    held_out = [*(splits[name] for name in ("validation", "test") if name in splits), *held_out]
    train, cleaning, warnings = clean(arguments, splits["train"], held_out)
    texts = [take(train, arguments.max_train_samples)] * arguments.repeat_train
    all_counts = [cleaning, *[None] * (arguments.repeat_train - 1)]
    notes: dict[str, Any] = {"cleaning": cleaning}
    for name in arguments.extra_train or ():
        extra, counts, more = clean(arguments, read_extra(name, arguments, read_named), held_out)
        notes.setdefault("extra_train", []).append({"source": extra.origin, "cleaning": counts})
        warnings += more
        texts.append(take(extra, arguments.max_train_samples))
        all_counts.append(counts)
    own = len(texts[0]) * arguments.repeat_train
    parts = list(zip(map(len, texts), all_counts))
    return Corpus({**splits, "train": concatenate(texts)}, own, notes, warnings, parts)


def read_extra(name: str, arguments: TextArguments, read_named: ReadNamed) -> "ParallelText":
    """Further training pairs: those of a data set that the library knows, or of a file.

    Raises:
        ValueError: The name is neither, or the file is damaged.
    """
    from zoo.data.parallel_files import read_pairs

    if Path(name).is_file():
        return read_pairs(name, **arguments.columns)
    named = read_named(replace(arguments, dataset_name=name, data_dir=None))
    if named is None:
        raise ValueError(f"extra_train: {name} is neither a file nor a data set that the library knows by name")
    return named[0]["train"]


__all__ = ["DROPPED", "Corpus", "clean", "read_corpus", "read_splits", "set_aside", "take"]
