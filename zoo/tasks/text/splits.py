"""From files or a data set's name to cleaned splits of pairs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.sources import refuse_folder

from .arguments import TextArguments
from .dataset import TextDataset, spread

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

FILES = {"train": "train_file", "validation": "validation_file", "test": "test_file"}
# Above this share of dropped training pairs the user is warned.
DROPPED = 0.1
# The splits of a data set by name and notes for the record; None if the task does not know the name.
ReadNamed = Callable[[Any], tuple[dict[str, "ParallelText"], dict[str, Any]] | None]


@dataclass
class Corpus:
    """Pairs with their cleaned training split.

    Args:
        splits: Split -> pairs.
        cleaning: How many training pairs cleaning read, dropped by each reason, and kept.
        own: How many training pairs, from the first on, are of the data itself.
        notes: What else the record says of them.
        warnings: What the user should read.
    """

    splits: dict[str, "ParallelText"]
    cleaning: dict[str, Any]
    own: int
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def train(self) -> "ParallelText":
        """The training pairs."""
        return self.splits["train"]

    def count_long(self, dropped: int) -> None:
        """Count training pairs that were dropped because they have too many tokens."""
        if dropped:
            self.cleaning |= {"over_long": dropped, "kept": len(self.train) - dropped}


def read_splits(arguments: TextArguments, read_named: ReadNamed) -> tuple[dict[str, "ParallelText"], dict[str, Any]]:
    """Read every split, and set aside what has no file of its own.

    Returns:
        Split -> pairs, and notes for the record.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: No data is named, or it is damaged.
    """
    named: Any = None
    notes: dict[str, Any] = {}
    if any(getattr(arguments, name) for name in FILES.values()):
        refuse_folder(arguments.data_dir, "a file of your own")
        splits = read_files(arguments)
    elif arguments.dataset_name is None:
        raise ValueError("name the data: --train_file mine.tsv, two aligned files, or --dataset_name")
    else:
        named = read_named(arguments)
        if named is None:
            refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
            splits = read_hub(arguments)
        else:
            splits, notes = named
    if named is None and "train" in splits:
        sizes = {"test": arguments.test_size, "validation": arguments.validation_size}
        missing = {name: size for name, size in sizes.items() if name not in splits and size}
        # Whoever brings validation pairs and no test pairs wants no test.
        if "test" in missing and "validation" in splits:
            del missing["test"]
        if missing:
            splits = {**splits, **set_aside(splits["train"], missing, arguments.split_seed)}
    return splits, {**notes, "known_release": next(iter(splits.values())).is_release}


def read_files(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of own files: training pairs among them, or a test alone.

    Raises:
        ValueError: A validation file comes without a training file, or a file is damaged.
        FileNotFoundError: A file does not exist.
    """
    from zoo.data.parallel_files import read_pairs

    files = {split: getattr(arguments, name) for split, name in FILES.items() if getattr(arguments, name)}
    if "train" not in files and "validation" in files:
        raise ValueError("--validation_file and --test_file need --train_file")
    return {split: read_pairs(paths, **columns_of(arguments)) for split, paths in files.items()}


def read_hub(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of a data set of the Hub."""
    from zoo.data.parallel_files import read_hub_pairs

    return read_hub_pairs(arguments.dataset_name or "", arguments.dataset_config_name, **columns_of(arguments))


def columns_of(arguments: TextArguments) -> dict[str, str | None]:
    """What finds the columns of source and target."""
    source_lang, target_lang = arguments.languages
    return {
        "source_lang": source_lang,
        "target_lang": target_lang,
        "source_column": arguments.source_column,
        "target_column": arguments.target_column,
    }


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

    keys = [normal_form(source) if target else "" for source, target in zip(pairs.source, pairs.target)]
    groups = list(dict.fromkeys(filter(None, keys)))
    order = np.random.default_rng(seed).permutation(len(groups))
    rows_of: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    rows: dict[str, list[int]] = {**{name: [] for name in sizes}, "train": rows_of.pop("", [])}
    wanted = {name: max(round(size * len(pairs)), 1) if size < 1 else int(size) for name, size in sizes.items()}
    for number in order:
        name = next((name for name in wanted if len(rows[name]) < wanted[name]), "train")
        rows[name] += rows_of[groups[number]]
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
) -> tuple["ParallelText", dict[str, Any], list[str]]:
    """Drop bad training pairs, and those that are measured too.

    Args:
        arguments: The data section.
        pairs: Training pairs.
        held_out: Pairs of validation and test.

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
        train, overlap = drop_overlap(train, list(held_out), arguments.drop_overlap)
    counts = {**counts, "in_validation_or_test": overlap, "kept": len(train)}
    dropped = 1 - counts["kept"] / max(counts["read"], 1)
    if dropped < DROPPED:
        return train, counts, []
    reasons = {key.replace("_", " "): n for key, n in counts.items() if key not in ("read", "kept") and n}
    named = ", ".join(f"{reason} {n:,}" for reason, n in sorted(reasons.items(), key=lambda item: -item[1]))
    return train, counts, [
        f"warning: {pairs.origin}: {dropped:.0%} of {counts['read']:,} training pairs were dropped ({named})"
    ]  # fmt: skip


def read_corpus(
    arguments: TextArguments,
    splits: Mapping[str, "ParallelText"],
    read_named: ReadNamed,
    held_out: Collection["ParallelText"] = (),
) -> Corpus:
    """Clean the training pairs, repeat them and add further ones as the arguments ask for.

    Args:
        arguments: The data section.
        splits: Split -> pairs as they were read.
        read_named: Reads a data set by its name.
        held_out: Pairs that training must not see, beside validation and test.
    """
    from zoo.data.parallel_text import concatenate

    held_out = [*(splits[name] for name in ("validation", "test") if name in splits), *held_out]
    train, cleaning, warnings = clean(arguments, splits["train"], held_out)
    train = take(train, arguments.max_train_samples)
    parts, notes = [train] * arguments.repeat_train, []
    for name in arguments.extra_train or ():
        extra, counts, more = clean(arguments, read_extra(name, arguments, read_named), held_out)
        notes.append({"source": extra.origin, "cleaning": counts})
        warnings += more
        parts.append(take(extra, arguments.max_train_samples))
    whole = parts[0] if len(parts) == 1 else concatenate(parts)
    return Corpus(
        {**splits, "train": whole},
        cleaning,
        len(train) * arguments.repeat_train,
        {"cleaning": cleaning, **({"extra_train": notes} if notes else {})},
        warnings,
    )


def read_extra(name: str, arguments: TextArguments, read_named: ReadNamed) -> "ParallelText":
    """Further training pairs: those of a data set that the library knows, or of a file.

    Raises:
        ValueError: The name is neither, or the file is damaged.
    """
    if Path(name).is_file():
        return read_files(replace(arguments, train_file=[name], validation_file=None, test_file=None))["train"]
    named = read_named(replace(arguments, dataset_name=name, data_dir=None))
    if named is None:
        raise ValueError(f"extra_train: {name} is neither a file nor a data set that the library knows by name")
    return named[0]["train"]


def drop_long(
    arguments: TextArguments, rows: TextDataset, parts: Sequence[tuple[str, np.ndarray]]
) -> tuple[TextDataset, list[int], list[str]]:
    """Drop training rows with more tokens than the limits.

    Args:
        arguments: The data section.
        rows: Training rows.
        parts: For each origin its name and the numbers of its rows.

    Returns:
        The other rows, how many of each origin were dropped, and warnings if they are many.

    Raises:
        ValueError: Every row of an origin is too long.
    """
    limits = f"max_source_length={arguments.max_source_length} or max_target_length={arguments.max_target_length}"
    dropped, warnings, is_long = [], [], rows.is_long
    for origin, numbers in parts:
        long = is_long[numbers]
        dropped.append(int(long.sum()))
        if len(long) and long.all():
            raise ValueError(f"{origin}: every pair has more than {limits} tokens")
        if len(long) and long.mean() >= DROPPED:
            warnings.append(
                f"warning: {origin}: {long.mean():.0%} of {len(long):,} training pairs were dropped, which have more "
                f"than {limits} tokens"
            )
    return rows.select(np.flatnonzero(~is_long), rows.resample) if any(dropped) else rows, dropped, warnings


__all__ = ["Corpus", "clean", "drop_long", "read_corpus", "read_splits", "set_aside", "take"]
