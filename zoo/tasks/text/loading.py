"""From files or a data set's name to cleaned, tokenized splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.sources import refuse_folder
from zoo.task import TaskData

from .arguments import TextArguments
from .dataset import Direction, TextDataset
from .tokenizing import adapt_tokenizer, build_sampler, check_tokenizer, fit_tokenizer

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText

FILES = {"train": "train_file", "validation": "validation_file", "test": "test_file"}
LIMITS = {"train": "max_train_samples", "validation": "max_eval_samples", "test": "max_predict_samples"}
# Above this share of dropped training pairs a person is told why.
DROPPED = 0.1
# Epochs until the same kept pairs of languages come again, if there are enough of them.
ROUNDS = 8
# Splits of a data set by name, and what the record says of them; None if the task knows no data set of that name.
ReadNamed = Callable[[Any], tuple[dict[str, "ParallelText"], dict[str, Any]] | None]


def set_aside(pairs: "ParallelText", sizes: Mapping[str, float], seed: int) -> dict[str, "ParallelText"]:
    """Cut splits off the training pairs; pairs with the same source stay together. Those with an empty side measure
    nothing: they stay in training, where cleaning drops and counts them.

    Args:
        pairs: All pairs.
        sizes: Split -> pairs, or their share if below 1.
        seed: Of the choice.

    Raises:
        ValueError: No training pair would be left.
    """
    from zoo.data.parallel_text import normal_form

    keys = [normal_form(source) if target else "" for source, target in zip(pairs.source, pairs.target)]
    groups = list(dict.fromkeys(filter(None, keys)))
    order = np.random.default_rng(seed).permutation(len(groups))
    numbers: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        numbers.setdefault(key, []).append(row)
    found: dict[str, list[int]] = {**{name: [] for name in sizes}, "train": numbers.pop("", [])}
    wanted = {name: max(round(size * len(pairs)), 1) if size < 1 else int(size) for name, size in sizes.items()}
    for number in order:
        name = next((name for name in wanted if len(found[name]) < wanted[name]), "train")
        found[name] += numbers[groups[number]]
    if not found["train"]:
        aside = ", ".join(f"{size:,} for {name}" for name, size in wanted.items())
        raise ValueError(
            f"{pairs.origin}: {len(pairs):,} pairs are too few to set aside {aside}: bring more pairs, or files of "
            "their own with --validation_file and --test_file"
        )
    return {name: pairs.select(sorted(rows)) for name, rows in found.items() if rows}


def read_files(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of own files: the training pairs among them, or a test alone.

    Raises:
        ValueError: There is no training file beside one for validation, or one is damaged.
        FileNotFoundError: A file does not exist.
    """
    from zoo.data.parallel_files import read_pairs

    named = {split: getattr(arguments, name) for split, name in FILES.items() if getattr(arguments, name)}
    if "train" not in named and "validation" in named:
        raise ValueError("--validation_file and --test_file need --train_file")
    languages = {name: getattr(arguments, name, None) for name in ("source_lang", "target_lang")}
    found = {}
    for split, files in named.items():
        file = files[0] if len(files) == 1 else files
        found[split] = read_pairs(
            file, source_column=arguments.source_column, target_column=arguments.target_column, **languages
        )
    return found


def read_hub(arguments: TextArguments) -> dict[str, "ParallelText"]:
    """The splits of a data set of the Hub."""
    from zoo.data.parallel_files import read_hub_pairs

    return read_hub_pairs(
        arguments.dataset_name or "",
        arguments.dataset_config_name,
        source_column=arguments.source_column,
        target_column=arguments.target_column,
        source_lang=getattr(arguments, "source_lang", None),
        target_lang=getattr(arguments, "target_lang", None),
    )


def read(arguments: TextArguments, read_named: ReadNamed) -> tuple[dict[str, "ParallelText"], dict[str, Any]]:
    """({split: its pairs}, notes for the record)."""
    named: Any = None
    notes: dict[str, Any] = {}
    if any(getattr(arguments, name) for name in FILES.values()):
        refuse_folder(arguments.data_dir, "a file of your own")
        found = read_files(arguments)
    elif arguments.dataset_name is None:
        raise ValueError("name the data: --train_file mine.tsv, two aligned files, or --dataset_name")
    else:
        named = read_named(arguments)
        if named is None:
            refuse_folder(arguments.data_dir, f"dataset_name={arguments.dataset_name}")
            found = read_hub(arguments)
        else:
            found, notes = named
    if named is None and "train" in found:
        sizes = {"test": arguments.test_size, "validation": arguments.validation_size}
        # What has a file of its own is not cut off the training pairs, nor is a test without one.
        missing = {name: size for name, size in sizes.items() if name not in found and size}
        if "test" in missing and "validation" in found:
            del missing["test"]
        if missing:
            found = {**found, **set_aside(found["train"], missing, arguments.split_seed)}
    return found, {**notes, "known_release": next(iter(found.values())).is_release}


def read_extra(name: str, arguments: TextArguments, read_named: ReadNamed) -> "ParallelText":
    """Further training pairs: those of a data set that the library knows, or of a file.

    Raises:
        ValueError: There is neither, or the file is damaged.
    """
    if Path(name).is_file():
        return read_files(replace(arguments, train_file=[name], validation_file=None, test_file=None))["train"]
    named = read_named(replace(arguments, dataset_name=name, data_dir=None))
    if named is None:
        raise ValueError(f"extra_train: {name} is neither a file nor a data set that the library knows by name")
    return named[0]["train"]


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


def check_positions(config: Any, arguments: TextArguments) -> None:
    """A model with a table of positions reads and writes no more than it has.

    Raises:
        ValueError: The recipe's limits are above it.
    """
    most = getattr(config, "max_position_embeddings", None)
    for name in ("max_source_length", "max_target_length"):
        # The decoder also reads the sign that starts it, but not the end sign.
        if most is not None and getattr(arguments, name) > most:
            raise ValueError(f"{name}={getattr(arguments, name)} is above the model's max_position_embeddings={most}")


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
        splits = {**found, **{f"{name} of {pair.target}": text for name, text in pair.splits.items()}}
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


def check_target(arguments: TextArguments, processor: Any) -> None:
    """Texts without a tag teach a model nothing of a language that it tells by tags.

    Raises:
        ValueError: The model of the processor has tags, and the language of the targets is not given.
    """
    from zoo.data.tokenizer import language_ids

    tags = language_ids(processor)
    if tags and not getattr(arguments, "target_lang", ""):
        raise ValueError(
            f"the model has tags of target languages ({', '.join(tags)}): say which one the targets are in, or name a "
            "new one, with --target_lang"
        )


def directions_of(
    arguments: TextArguments, kept: Sequence[KeptPair], tokenizer: Any, tagged: bool
) -> tuple[Direction, ...]:
    """The new direction and the kept ones, with their tags."""
    from zoo.data.tokenizer import language_ids

    pairs = [
        (getattr(arguments, "source_lang", None), getattr(arguments, "target_lang", None)),
        *((pair.source, pair.target) for pair in kept),
    ]
    tags = language_ids(tokenizer) if tagged else {}
    return tuple(Direction(source, target, (tags[target],) if target in tags else ()) for source, target in pairs)


def fields_of(tokenizer: Any) -> dict[str, Any]:
    """What of a config follows from the tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.bos_token_id,
    }


def load_test(arguments: TextArguments, processor: Any, pairs: "ParallelText", notes: dict[str, Any]) -> TaskData:
    """Pairs to measure a trained model on, without those of its training.

    Raises:
        ValueError: There is no model, or it does not say which of its languages the targets are in.
    """
    from zoo.data.tokenizer import language_ids

    if processor is None:
        raise ValueError("--validation_file and --test_file need --train_file")
    check_target(arguments, processor)
    pairs = take(pairs, arguments.max_predict_samples)
    rows = TextDataset(pairs.source, pairs.target, processor, arguments.max_source_length, arguments.max_target_length)
    rows.directions = directions_of(arguments, (), processor, bool(language_ids(processor)))
    rows.direction, rows.own = np.zeros(len(rows), np.int64), len(rows)
    return TaskData(
        train=None,
        validation=None,
        test=rows,
        model_fields=fields_of(processor),
        fingerprint={"test": pairs.fingerprint()},
        source=pairs.origin,
        notes=notes,
        processor=processor,
    )


def load_data(
    arguments: TextArguments,
    config: Any,
    processor: Any = None,
    *,
    read_named: ReadNamed = lambda arguments: None,
    kept: Sequence[KeptPair] = (),
    keep_ratio: float = 0.0,
) -> TaskData:
    """The pairs of a run. The tokenizer is of training texts, or comes with the weights that the run starts from.

    Training pairs are cleaned, and those that stand in validation or test too are dropped; validation and test stay as
    they are, every row of them. Rows of kept pairs of languages come behind those of the data itself, in every split.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: The data is damaged, or nothing is left of it.
    """
    from zoo.data.parallel_text import concatenate
    from zoo.data.tokenizer import language_ids

    check_positions(config, arguments)
    found, notes = read(arguments, read_named)
    if "train" not in found:
        return load_test(arguments, processor, found["test"], notes)
    held_out = {**found, **turned_round(*languages_of(arguments), kept)}
    train, notes["cleaning"] = clean(arguments, found["train"], held_out, [*held_out])
    remarks = tell_dropped(train.origin, notes["cleaning"])
    train = take(train, arguments.max_train_samples)
    parts = [train] * arguments.repeat_train
    for name in arguments.extra_train or ():
        extra, cleaning = clean(arguments, read_extra(name, arguments, read_named), held_out, [*held_out])
        notes.setdefault("extra_train", []).append({"source": extra.origin, "cleaning": cleaning})
        remarks += tell_dropped(extra.origin, cleaning)
        parts.append(take(extra, arguments.max_train_samples))
    own = len(train) * arguments.repeat_train
    whole = parts[0] if len(parts) == 1 else concatenate(parts)
    old, kept_notes = kept_training(arguments, kept, found, len(whole), keep_ratio)
    if kept:
        notes["kept_pairs"] = kept_notes
        remarks += tell_kept(kept_notes, keep_ratio)
    tagged = bool(kept) or getattr(arguments, "language_tags", False)
    tagged = tagged or (processor is not None and bool(language_ids(processor)))
    languages = list(dict.fromkeys([getattr(arguments, "target_lang", None) or "", *(pair.target for pair in kept)]))
    tags = [language for language in languages if language] if tagged else []
    origins = None
    rounds = [[parts[number % len(parts)] for parts in old] for number in range(max(map(len, old), default=1))]
    everything = concatenate([whole, *rounds[0]]) if old else whole
    if processor is None:
        tokenizer = fit_tokenizer(arguments, config, everything, tags)
    else:
        check_tokenizer(config, processor)
        check_target(arguments, processor)
        texts = everything if arguments.vocabulary == "replace" else train
        tokenizer, origins, notes["vocabulary"], told = adapt_tokenizer(arguments, processor, texts, tags)
        remarks += told
    directions = directions_of(arguments, kept, tokenizer, tagged)
    if tagged:
        notes["tags"] = list(language_ids(tokenizer))
    splits = {}
    for split in LIMITS:
        training = split == "train"
        limit = getattr(arguments, LIMITS[split])
        texts_of = [whole, *rounds[0]] if training else [found.get(split), *(pair.splits.get(split) for pair in kept)]
        present = [
            (number, text if training else take(text, limit))
            for number, text in enumerate(texts_of)
            if text is not None and len(text)
        ]
        if not present:
            continue
        pairs = present[0][1] if len(present) == 1 else concatenate([text for _, text in present])
        rows = TextDataset(
            pairs.source,
            pairs.target,
            tokenizer,
            arguments.max_source_length,
            arguments.max_target_length,
            training=training,
            resample=build_sampler(arguments, tokenizer) if training else None,
        )
        rows.directions = directions
        rows.direction = np.repeat([number for number, _ in present], [len(text) for _, text in present])
        rows.own = own if training else len(rows)
        if training and arguments.over_long == "drop" and rows.long.any():
            rows, dropped, told = drop_long(arguments, rows, [text.origin for text in (whole, *rounds[0])])
            remarks += told
            if dropped[0]:
                notes["cleaning"] |= {"over_long": dropped[0], "kept": len(rows.rows_of(0))}
            for note, count in zip(kept_notes, dropped[1:]):
                note["train"] -= count
                note["cleaning"]["over_long"] = count
        elif rows.long.any():
            notes.setdefault("truncated", {})[split] = int(rows.long.sum())
        splits[split] = rows
    add_rounds(splits["train"], rounds[1:], len(whole))
    counts = [int(tokens.lengths.sum()) for tokens, _ in splits["train"].encoded]
    notes["tokens_per_text"] = [round(count / len(splits["train"]), 2) for count in counts]
    return TaskData(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        model_fields=fields_of(tokenizer),
        fingerprint={split: pairs.fingerprint() for split, pairs in {**found, "train": everything}.items()},
        source=everything.origin,
        notes=notes,
        processor=tokenizer,
        origins=origins,
        remarks=remarks,
    )


__all__ = ["KeptPair", "load_data", "read", "set_aside"]
